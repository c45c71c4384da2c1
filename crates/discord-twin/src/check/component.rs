//! Message components: legacy action rows, and the structure and limits of Components V2.
//! custom_ids are unique within a message or modal.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::shape::{Key, Kind, at, length, object, opt, req, whole};
use crate::fault::Findings;

/// Action rows of a legacy message.
const ROWS: usize = 5;
/// Components of a V2 message, nested ones included.
const V2_TOTAL: usize = 40;
/// Characters over all text displays of a V2 message.
const V2_TEXT: usize = 4000;

const KIND: Key = req("type", Kind::Int(1, 23));
const ID: Key = opt("id", Kind::Int(0, i32::MAX as i64));
const CUSTOM_ID: Key = req("custom_id", Kind::Text(1, 100));

const ROW: &[Key] = &[KIND, ID, req("components", Kind::List(1, 5))];
const BUTTON: &[Key] = &[
    KIND,
    ID,
    req("style", Kind::Int(1, 6)),
    opt("label", Kind::Text(0, 80)),
    opt("emoji", Kind::Object),
    opt("custom_id", Kind::Text(1, 100)),
    opt("sku_id", Kind::Snowflake),
    opt("url", Kind::Url(false)),
    opt("disabled", Kind::Bool),
];
const EMOJI: &[Key] =
    &[opt("id", Kind::Snowflake), opt("name", Kind::Text(0, 32)), opt("animated", Kind::Bool)];
const SELECT: &[Key] = &[
    KIND,
    ID,
    CUSTOM_ID,
    opt("placeholder", Kind::Text(0, 150)),
    opt("min_values", Kind::Int(0, 25)),
    opt("max_values", Kind::Int(1, 25)),
    opt("disabled", Kind::Bool),
    opt("required", Kind::Bool),
    opt("options", Kind::List(1, 25)),
    opt("default_values", Kind::List(0, 25)),
    opt("channel_types", Kind::List(0, 25)),
];
const CHOICE: &[Key] = &[
    req("label", Kind::Text(1, 100)),
    req("value", Kind::Text(1, 100)),
    opt("description", Kind::Text(0, 100)),
    opt("emoji", Kind::Object),
    opt("default", Kind::Bool),
];
const DEFAULT_VALUE: &[Key] = &[req("id", Kind::Snowflake), req("type", Kind::Text(1, 10))];
const SECTION: &[Key] =
    &[KIND, ID, req("components", Kind::List(1, 3)), req("accessory", Kind::Object)];
const TEXT_DISPLAY: &[Key] = &[KIND, ID, req("content", Kind::Text(1, V2_TEXT))];
const THUMBNAIL: &[Key] = &[
    KIND,
    ID,
    req("media", Kind::Object),
    opt("description", Kind::Text(0, 1024)),
    opt("spoiler", Kind::Bool),
];
const GALLERY: &[Key] = &[KIND, ID, req("items", Kind::List(1, 10))];
const GALLERY_ITEM: &[Key] = &[
    req("media", Kind::Object),
    opt("description", Kind::Text(0, 1024)),
    opt("spoiler", Kind::Bool),
];
const FILE: &[Key] = &[KIND, ID, req("file", Kind::Object), opt("spoiler", Kind::Bool)];
const MEDIA: &[Key] = &[req("url", Kind::Url(true))];
const SEPARATOR: &[Key] = &[KIND, ID, opt("divider", Kind::Bool), opt("spacing", Kind::Int(1, 2))];
const CONTAINER: &[Key] = &[
    KIND,
    ID,
    req("components", Kind::List(1, V2_TOTAL)),
    opt("accent_color", Kind::Int(0, 0xff_ff_ff)),
    opt("spoiler", Kind::Bool),
];

/// What has been seen so far in one message or modal.
#[derive(Default)]
pub(super) struct Seen {
    custom_ids: HashSet<String>,
    total: usize,
    text: usize,
}

impl Seen {
    /// Notes a custom_id; a second one of the same name is a mistake.
    pub(super) fn custom_id(&mut self, found: &mut Findings, path: &str, map: &Map<String, Value>) {
        if let Some(id) = map.get("custom_id").and_then(Value::as_str)
            && !self.custom_ids.insert(id.to_owned())
        {
            let message = "Component custom id cannot be duplicated";
            found.add(&at(path, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", message);
        }
    }
}

/// Checks the `components` list of a message.
pub(super) fn components(found: &mut Findings, path: &str, list: &[Value], v2: bool) {
    let mut seen = Seen::default();
    if !v2 && list.len() > ROWS {
        let message = format!("Must be between 1 and {ROWS} in length.");
        found.add(path, "BASE_TYPE_BAD_LENGTH", message);
    }
    let allowed: &[i64] = if v2 { &[1, 9, 10, 12, 13, 14, 17] } else { &[1] };
    for (n, component) in list.iter().enumerate() {
        one(found, &at(path, n), component, allowed, &mut seen);
    }
    if v2 && seen.total > V2_TOTAL {
        let message = format!("A message has at most {V2_TOTAL} components.");
        found.add(path, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", message);
    }
    if seen.text > V2_TEXT {
        let message = format!("Text displays have at most {V2_TEXT} characters together.");
        found.add(path, "COMPONENT_MAX_TOTAL_TEXT_EXCEEDED", message);
    }
}

/// The component's type, if it is one of those allowed here.
pub(super) fn kind_of(
    found: &mut Findings,
    path: &str,
    value: &Value,
    allowed: &[i64],
) -> Option<i64> {
    if !value.is_object() {
        found.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType");
        return None;
    }
    let kind = value.get("type").and_then(whole);
    if let Some(kind) = kind.filter(|kind| allowed.contains(kind)) {
        return Some(kind);
    }
    let list: Vec<String> = allowed.iter().map(i64::to_string).collect();
    let message = format!("Value of field \"type\" must be one of ({}).", list.join(", "));
    found.add(&at(path, "type"), "UNION_TYPE_CHOICES", message);
    None
}

fn one(found: &mut Findings, path: &str, value: &Value, allowed: &[i64], seen: &mut Seen) {
    let Some(kind) = kind_of(found, path, value, allowed) else { return };
    seen.total += 1;
    match kind {
        1 => row(found, path, value, seen),
        2 => button(found, path, value, seen),
        3 | 5..=8 => select(found, path, value, kind, false, seen),
        9 => {
            let Some(map) = object(found, path, value, SECTION) else { return };
            each(found, path, map, "components", &[10], seen);
            if let Some(accessory) = map.get("accessory") {
                one(found, &at(path, "accessory"), accessory, &[2, 11], seen);
            }
        }
        10 => {
            object(found, path, value, TEXT_DISPLAY);
            seen.text += value.get("content").and_then(Value::as_str).map_or(0, length);
        }
        11 => {
            object(found, path, value, THUMBNAIL);
            media(found, path, value, "media");
        }
        12 => {
            let Some(map) = object(found, path, value, GALLERY) else { return };
            for (n, item) in list(map, "items").iter().enumerate() {
                let here = at(path, format!("items.{n}"));
                object(found, &here, item, GALLERY_ITEM);
                media(found, &here, item, "media");
            }
        }
        13 => {
            object(found, path, value, FILE);
            media(found, path, value, "file");
        }
        14 => {
            object(found, path, value, SEPARATOR);
        }
        17 => {
            let Some(map) = object(found, path, value, CONTAINER) else { return };
            each(found, path, map, "components", &[1, 9, 10, 12, 13, 14], seen);
        }
        _ => {}
    }
}

fn each(
    found: &mut Findings,
    path: &str,
    map: &Map<String, Value>,
    key: &str,
    allowed: &[i64],
    seen: &mut Seen,
) {
    for (n, child) in list(map, key).iter().enumerate() {
        one(found, &at(path, format!("{key}.{n}")), child, allowed, seen);
    }
}

fn list<'m>(map: &'m Map<String, Value>, key: &str) -> &'m [Value] {
    map.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn media(found: &mut Findings, path: &str, value: &Value, key: &str) {
    if let Some(media) = value.get(key) {
        object(found, &at(path, key), media, MEDIA);
    }
}

fn row(found: &mut Findings, path: &str, value: &Value, seen: &mut Seen) {
    let Some(map) = object(found, path, value, ROW) else { return };
    each(found, path, map, "components", &[2, 3, 5, 6, 7, 8], seen);
    let children = list(map, "components");
    let selects = children.iter().filter(|child| child["type"] != 2).count();
    if selects > 0 && children.len() > 1 {
        let message = "The specified component exceeds the maximum width";
        found.add(&at(path, "components"), "COMPONENT_LAYOUT_WIDTH_EXCEEDED", message);
    }
}

fn button(found: &mut Findings, path: &str, value: &Value, seen: &mut Seen) {
    let Some(map) = object(found, path, value, BUTTON) else { return };
    let has = |key: &str| map.get(key).is_some_and(|value| !value.is_null());
    seen.custom_id(found, path, map);
    let style = map.get("style").and_then(whole).unwrap_or(0);
    let (needed, forbidden): (&str, &[&str]) = match style {
        5 => ("url", &["custom_id", "sku_id"]),
        6 => ("sku_id", &["custom_id", "url", "label", "emoji"]),
        _ => ("custom_id", &["url", "sku_id"]),
    };
    if !has(needed) {
        found.add(&at(path, needed), "BASE_TYPE_REQUIRED", "This field is required");
    }
    for key in forbidden.iter().filter(|key| has(key)) {
        let message = format!("A button of style {style} cannot have a {key}");
        found.add(&at(path, key), "BUTTON_COMPONENT_FIELD_NOT_ALLOWED", message);
    }
    if map.get("url").and_then(Value::as_str).is_some_and(|url| url.len() > 512) {
        found.add(&at(path, "url"), "BASE_TYPE_MAX_LENGTH", "Must be 512 or fewer in length.");
    }
    if let Some(emoji) = map.get("emoji").filter(|emoji| !emoji.is_null()) {
        object(found, &at(path, "emoji"), emoji, EMOJI);
    }
    let labelled = map.get("label").and_then(Value::as_str).is_some_and(|label| length(label) > 0);
    if style != 6 && !labelled && !has("emoji") {
        let message = "A button must have a label or emoji";
        found.add(path, "BUTTON_COMPONENT_INVALID_LABEL_OR_EMOJI", message);
    }
}

/// Checks a select menu (3 string, 5 user, 6 role, 7 mentionable, 8 channel).
pub(super) fn select(
    found: &mut Findings,
    path: &str,
    value: &Value,
    kind: i64,
    in_modal: bool,
    seen: &mut Seen,
) {
    let Some(map) = object(found, path, value, SELECT) else { return };
    seen.custom_id(found, path, map);
    let options = list(map, "options");
    let present = |key: &str| map.get(key).filter(|value| !value.is_null());
    if kind == 3 && options.is_empty() {
        found.add(&at(path, "options"), "BASE_TYPE_REQUIRED", "This field is required");
    }
    if kind != 3 && present("options").is_some() {
        let message = "Only a string select has options";
        found.add(&at(path, "options"), "SELECT_COMPONENT_OPTIONS_NOT_ALLOWED", message);
    }
    if kind != 8 && present("channel_types").is_some() {
        let message = "Only a channel select has channel types";
        found.add(&at(path, "channel_types"), "SELECT_COMPONENT_FIELD_NOT_ALLOWED", message);
    }
    if in_modal && present("disabled").and_then(Value::as_bool) == Some(true) {
        let message = "A select in a modal cannot be disabled";
        found.add(&at(path, "disabled"), "SELECT_COMPONENT_FIELD_NOT_ALLOWED", message);
    }
    let min = present("min_values").and_then(whole).unwrap_or(1);
    let max = present("max_values").and_then(whole).unwrap_or(1);
    if min > max {
        let message = "min_values must not be greater than max_values";
        found.add(&at(path, "min_values"), "SELECT_COMPONENT_INVALID_MIN_VALUES", message);
    }
    let count = i64::try_from(options.len()).unwrap_or(i64::MAX);
    if kind == 3 && !options.is_empty() && (max > count || min > count) {
        let message = "The menu has fewer options than values may be chosen";
        found.add(&at(path, "max_values"), "SELECT_COMPONENT_MAX_VALUES_EXCEED_OPTIONS", message);
    }
    let (mut values, mut defaults) = (HashSet::new(), 0);
    for (n, option) in options.iter().enumerate() {
        let here = at(path, format!("options.{n}"));
        object(found, &here, option, CHOICE);
        if let Some(emoji) = option.get("emoji").filter(|emoji| !emoji.is_null()) {
            object(found, &at(&here, "emoji"), emoji, EMOJI);
        }
        if option["default"] == true {
            defaults += 1;
        }
        if let Some(text) = option["value"].as_str()
            && !values.insert(text)
        {
            let message = "The specified option value is already used";
            found.add(&at(&here, "value"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", message);
        }
    }
    for (n, value) in list(map, "default_values").iter().enumerate() {
        object(found, &at(path, format!("default_values.{n}")), value, DEFAULT_VALUE);
        defaults += 1;
    }
    if defaults > max {
        let message = "More defaults than values may be chosen";
        found.add(path, "SELECT_COMPONENT_MAX_DEFAULTS_EXCEEDED", message);
    }
}
