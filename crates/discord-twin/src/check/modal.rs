//! Modals: 1 to 5 rows, each an action row with one text input, or a label around one input.
//! The API schema says 40 rows; clients show 5, and this twin holds to 5.

use serde_json::Value;

use super::component::{Seen, kind_of, select};
use super::shape::{Key, Kind, at, object, opt, req, whole};
use crate::fault::Findings;

/// Rows of a modal.
const ROWS: usize = 5;

const MODAL: &[Key] = &[
    req("custom_id", Kind::Text(1, 100)),
    req("title", Kind::Text(1, 45)),
    req("components", Kind::List(1, ROWS)),
];
const KIND: Key = req("type", Kind::Int(1, 23));
const ID: Key = opt("id", Kind::Int(0, i32::MAX as i64));
const ROW: &[Key] = &[KIND, ID, req("components", Kind::List(1, 1))];
const LABEL: &[Key] = &[
    KIND,
    ID,
    req("label", Kind::Text(1, 45)),
    opt("description", Kind::Text(0, 100)),
    req("component", Kind::Object),
];
const TEXT_INPUT: &[Key] = &[
    KIND,
    ID,
    req("custom_id", Kind::Text(1, 100)),
    req("style", Kind::Int(1, 2)),
    opt("label", Kind::Text(1, 45)),
    opt("min_length", Kind::Int(0, 4000)),
    opt("max_length", Kind::Int(1, 4000)),
    opt("required", Kind::Bool),
    opt("value", Kind::Text(0, 4000)),
    opt("placeholder", Kind::Text(0, 100)),
];
const TEXT_DISPLAY: &[Key] = &[KIND, ID, req("content", Kind::Text(1, 4000))];
const FILE_UPLOAD: &[Key] = &[
    KIND,
    ID,
    req("custom_id", Kind::Text(1, 100)),
    opt("min_values", Kind::Int(0, 10)),
    opt("max_values", Kind::Int(1, 10)),
    opt("required", Kind::Bool),
];
const GROUP: &[Key] = &[
    KIND,
    ID,
    req("custom_id", Kind::Text(1, 100)),
    req("options", Kind::List(1, 10)),
    opt("min_values", Kind::Int(0, 10)),
    opt("max_values", Kind::Int(1, 10)),
    opt("required", Kind::Bool),
];
const CHECKBOX: &[Key] =
    &[KIND, ID, req("custom_id", Kind::Text(1, 100)), opt("default", Kind::Bool)];

/// Checks the data of a modal response.
pub(super) fn modal(found: &mut Findings, path: &str, value: &Value) {
    let Some(map) = object(found, path, value, MODAL) else { return };
    let mut seen = Seen::default();
    let rows = map.get("components").and_then(Value::as_array);
    for (n, row) in rows.into_iter().flatten().enumerate() {
        let here = at(path, format!("components.{n}"));
        match kind_of(found, &here, row, &[1, 10, 18]) {
            Some(1) => {
                object(found, &here, row, ROW);
                for (m, input) in row["components"].as_array().into_iter().flatten().enumerate() {
                    let inner = at(&here, format!("components.{m}"));
                    if kind_of(found, &inner, input, &[4]).is_some() {
                        text_input(found, &inner, input, true, &mut seen);
                    }
                }
            }
            Some(10) => {
                object(found, &here, row, TEXT_DISPLAY);
            }
            Some(18) => {
                object(found, &here, row, LABEL);
                if let Some(inner) = row.get("component").filter(|inner| inner.is_object()) {
                    labelled(found, &at(&here, "component"), inner, &mut seen);
                }
            }
            _ => {}
        }
    }
}

fn labelled(found: &mut Findings, path: &str, value: &Value, seen: &mut Seen) {
    let keys = match kind_of(found, path, value, &[3, 4, 5, 6, 7, 8, 19, 21, 22, 23]) {
        Some(4) => return text_input(found, path, value, false, seen),
        Some(kind @ (3 | 5..=8)) => return select(found, path, value, kind, true, seen),
        Some(19) => FILE_UPLOAD,
        Some(21 | 22) => GROUP,
        Some(23) => CHECKBOX,
        _ => return,
    };
    if let Some(map) = object(found, path, value, keys) {
        seen.custom_id(found, path, map);
    }
}

fn text_input(found: &mut Findings, path: &str, value: &Value, in_row: bool, seen: &mut Seen) {
    let Some(map) = object(found, path, value, TEXT_INPUT) else { return };
    seen.custom_id(found, path, map);
    let label = map.get("label").filter(|label| !label.is_null());
    if in_row && label.is_none() {
        found.add(&at(path, "label"), "BASE_TYPE_REQUIRED", "This field is required");
    }
    if !in_row && label.is_some() {
        let message = "A text input within a label has no label of its own";
        found.add(&at(path, "label"), "TEXT_INPUT_LABEL_NOT_ALLOWED", message);
    }
    let bound = |key: &str| map.get(key).and_then(whole);
    if let (Some(min), Some(max)) = (bound("min_length"), bound("max_length"))
        && min > max
    {
        let message = "min_length must not be greater than max_length";
        found.add(&at(path, "min_length"), "TEXT_INPUT_INVALID_MIN_LENGTH", message);
    }
    let written = map.get("value").and_then(Value::as_str).map(|text| text.chars().count());
    let max = bound("max_length").and_then(|max| usize::try_from(max).ok());
    if let (Some(written), Some(max)) = (written, max)
        && written > max
    {
        let message = format!("Must be {max} or fewer in length.");
        found.add(&at(path, "value"), "BASE_TYPE_MAX_LENGTH", message);
    }
}
