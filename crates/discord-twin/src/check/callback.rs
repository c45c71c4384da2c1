//! Interaction responses: which types answer which interaction, and the data of each.

use serde_json::Value;

use super::message::{Body, message};
use super::shape::{Key, Kind, at, object, opt, req, whole};
use super::{EPHEMERAL, modal};
use crate::fault::Findings;

/// What is being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A slash command.
    Command,
    /// A button or select.
    Component,
    /// Autocomplete; for an option of this type (3, 4 or 10).
    Autocomplete(i64),
    /// A modal, sent from a message (true) or from a command.
    Modal(bool),
}

const CALLBACK: &[Key] = &[req("type", Kind::Int(1, 99)), opt("data", Kind::Object)];
const CHOICES: &[Key] = &[opt("choices", Kind::List(0, 25))];
const CHOICE: &[Key] = &[
    req("name", Kind::Text(1, 100)),
    opt("name_localizations", Kind::Object),
    req("value", Kind::Any),
];

/// Checks a callback; returns its type when it may answer this interaction.
pub(crate) fn callback(
    found: &mut Findings,
    value: &Value,
    source: Source,
    v2_before: bool,
) -> Option<i64> {
    let map = object(found, "", value, CALLBACK)?;
    let kind = map.get("type").and_then(whole)?;
    let allowed: &[i64] = match source {
        Source::Command => &[4, 5, 9],
        Source::Modal(false) => &[4, 5],
        Source::Component => &[4, 5, 6, 7, 9],
        Source::Autocomplete(_) => &[8],
        Source::Modal(true) => &[4, 5, 6, 7],
    };
    if !allowed.contains(&kind) {
        let list: Vec<String> = allowed.iter().map(i64::to_string).collect();
        let message = format!("Value must be one of {{{}}}.", list.join(", "));
        found.add("type", "BASE_TYPE_CHOICES", message);
        return None;
    }
    let data = map.get("data").filter(|data| !data.is_null());
    match (kind, data) {
        (4 | 7, Some(data)) => message(found, "data", data, Body::Response, kind == 7 && v2_before),
        (5, Some(data)) => {
            message(found, "data", data, Body::Response, false);
            deferred(found, data);
        }
        (8, Some(data)) => choices(found, data, source),
        (9, Some(data)) => modal::modal(found, "data", data),
        (4 | 7 | 8 | 9, None) => {
            found.add("data", "BASE_TYPE_REQUIRED", "This field is required");
        }
        _ => {}
    }
    Some(kind)
}

/// A deferred response takes one flag and nothing that would be shown.
fn deferred(found: &mut Findings, data: &Value) {
    if data["flags"].as_u64().is_some_and(|flags| flags & !EPHEMERAL != 0) {
        let message = "Only EPHEMERAL can be set on a deferred response";
        found.add("data.flags", "MESSAGE_FLAGS_NOT_ALLOWED", message);
    }
    for key in ["content", "embeds", "components", "attachments"] {
        let value = &data[key];
        let empty = value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
        if !empty {
            let message = "A deferred response shows nothing; Discord would drop this silently";
            found.add(&at("data", key), "TWIN_DEFERRED_WITH_CONTENT", message);
        }
    }
}

fn choices(found: &mut Findings, data: &Value, source: Source) {
    let Some(map) = object(found, "data", data, CHOICES) else { return };
    let list = map.get("choices").and_then(Value::as_array);
    for (n, choice) in list.into_iter().flatten().enumerate() {
        let here = format!("data.choices.{n}");
        object(found, &here, choice, CHOICE);
        let value = &choice["value"];
        match source {
            Source::Autocomplete(4) if whole(value).is_none() => {
                let message = format!("Value \"{value}\" is not int.");
                found.add(&at(&here, "value"), "NUMBER_TYPE_COERCE", message);
            }
            Source::Autocomplete(10) if !value.is_number() => {
                let message = format!("Value \"{value}\" is not a number.");
                found.add(&at(&here, "value"), "NUMBER_TYPE_COERCE", message);
            }
            Source::Autocomplete(3) => {
                super::one(found, &at(&here, "value"), value, Kind::Text(1, 100));
            }
            _ => {}
        }
    }
}
