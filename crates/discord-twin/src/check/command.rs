//! Application commands: names, options and their nesting, 8000 characters, bulk overwrite.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::shape::{Key, Kind, at, length, object, opt, req, whole};
use crate::fault::Findings;

/// Characters of names, descriptions and values of one command together.
const COMMAND_SIZE: usize = 8000;
/// Commands per scope: chat input, user, message, primary entry point.
const PER_KIND: [usize; 4] = [100, 15, 15, 1];

const INTEGER_BOUND: Kind = Kind::Number;

const COMMAND: &[Key] = &[
    opt("id", Kind::Snowflake),
    req("name", Kind::Text(1, 32)),
    opt("name_localizations", Kind::Object),
    opt("description", Kind::Text(0, 100)),
    opt("description_localizations", Kind::Object),
    opt("options", Kind::List(0, 25)),
    opt("default_member_permissions", Kind::Bits),
    opt("dm_permission", Kind::Bool),
    opt("default_permission", Kind::Bool),
    opt("integration_types", Kind::List(1, 2)),
    opt("contexts", Kind::List(1, 3)),
    opt("type", Kind::Int(1, 4)),
    opt("nsfw", Kind::Bool),
    opt("handler", Kind::Int(1, 2)),
];
const OPTION: &[Key] = &[
    req("type", Kind::Int(1, 11)),
    req("name", Kind::Text(1, 32)),
    opt("name_localizations", Kind::Object),
    req("description", Kind::Text(1, 100)),
    opt("description_localizations", Kind::Object),
    opt("required", Kind::Bool),
    opt("choices", Kind::List(0, 25)),
    opt("options", Kind::List(0, 25)),
    opt("channel_types", Kind::List(0, 12)),
    opt("min_value", INTEGER_BOUND),
    opt("max_value", INTEGER_BOUND),
    opt("min_length", Kind::Int(0, 6000)),
    opt("max_length", Kind::Int(1, 6000)),
    opt("autocomplete", Kind::Bool),
];
const CHOICE: &[Key] = &[
    req("name", Kind::Text(1, 100)),
    opt("name_localizations", Kind::Object),
    req("value", Kind::Any),
];
/// Locales Discord has; a localization for another is refused.
const LOCALES: &[&str] = &[
    "id", "da", "de", "en-GB", "en-US", "es-ES", "es-419", "fr", "hr", "it", "lt", "hu", "nl",
    "no", "pl", "pt-BR", "ro", "fi", "sv-SE", "vi", "tr", "cs", "el", "bg", "ru", "uk", "hi", "th",
    "zh-CN", "ja", "zh-TW", "ko", "ar", "he",
];

/// Which part of a command is being registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// Everything is given.
    Whole,
    /// Only what changes (PATCH).
    Partial,
}

/// The documented pattern of chat-input names.
fn name_pattern() -> Option<&'static Regex> {
    static PATTERN: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$").ok());
    PATTERN.as_ref()
}

/// Checks one command.
pub(crate) fn command(found: &mut Findings, path: &str, value: &Value, part: Registered) {
    let Some(map) = (match part {
        Registered::Whole => object(found, path, value, COMMAND),
        Registered::Partial => {
            let mut filled = value.clone();
            if let Some(map) = filled.as_object_mut() {
                map.entry("name").or_insert_with(|| "x".into());
            }
            object(found, path, &filled, COMMAND);
            value.as_object()
        }
    }) else {
        return;
    };
    let kind = map.get("type").and_then(whole).unwrap_or(1);
    let description = map.get("description").and_then(Value::as_str).map_or(0, length);
    if kind == 1 {
        chat_name(found, path, map);
        let missing = description == 0;
        if missing && (part == Registered::Whole || map.contains_key("description")) {
            let message = "This field is required";
            found.add(&at(path, "description"), "BASE_TYPE_REQUIRED", message);
        }
    } else {
        if description > 0 {
            let message = "Context menu commands cannot have a description";
            found.add(
                &at(path, "description"),
                "APPLICATION_COMMAND_DESCRIPTION_NOT_ALLOWED",
                message,
            );
        }
        if map.get("options").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            let message = "Context menu commands cannot have options";
            found.add(&at(path, "options"), "APPLICATION_COMMAND_OPTIONS_NOT_ALLOWED", message);
        }
    }
    localizations(found, path, map, kind == 1);
    numbers(found, path, map, "contexts", 2);
    numbers(found, path, map, "integration_types", 1);
    if let Some(list) = map.get("options").and_then(Value::as_array) {
        options(found, &at(path, "options"), list, 0);
    }
    if size(value) > COMMAND_SIZE {
        let message = format!("Command exceeds maximum size ({COMMAND_SIZE})");
        found.add(path, "APPLICATION_COMMAND_TOO_LARGE", message);
    }
}

/// Checks a bulk overwrite.
pub(crate) fn bulk(found: &mut Findings, list: &[Value]) {
    let mut names = HashSet::new();
    let mut counts = [0_usize; 4];
    for (n, value) in list.iter().enumerate() {
        let path = n.to_string();
        command(found, &path, value, Registered::Whole);
        let kind = value["type"].as_u64().unwrap_or(1);
        if let Some(slot) =
            usize::try_from(kind).ok().and_then(|kind| counts.get_mut(kind.wrapping_sub(1)))
        {
            *slot += 1;
        }
        if !names.insert((kind, value["name"].as_str().unwrap_or_default())) {
            let message = "Application command names must be unique";
            found.add(&path, "APPLICATION_COMMANDS_DUPLICATE_NAME", message);
        }
    }
    for (count, max) in counts.into_iter().zip(PER_KIND) {
        if count > max {
            let message = format!("Maximum number of application commands reached ({max}).");
            found.add("", "APPLICATION_COMMANDS_MAX_EXCEEDED", message);
        }
    }
}

fn chat_name(found: &mut Findings, path: &str, map: &Map<String, Value>) {
    let Some(name) = map.get("name").and_then(Value::as_str) else { return };
    if !valid_name(name) {
        found.add(&at(path, "name"), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
    }
}

fn valid_name(name: &str) -> bool {
    name_pattern().is_none_or(|pattern| pattern.is_match(name)) && name.to_lowercase() == name
}

fn localizations(found: &mut Findings, path: &str, map: &Map<String, Value>, chat: bool) {
    for (key, max) in [("name_localizations", 32), ("description_localizations", 100)] {
        let Some(table) = map.get(key).and_then(Value::as_object) else { continue };
        for (locale, text) in table {
            let here = at(path, format!("{key}.{locale}"));
            if !LOCALES.contains(&locale.as_str()) {
                found.add(&here, "APPLICATION_COMMAND_INVALID_LOCALE", "Unknown locale");
            }
            super::one(found, &here, text, Kind::Text(1, max));
            let bad = text.as_str().is_some_and(|text| !valid_name(text));
            if chat && key == "name_localizations" && bad {
                found.add(&here, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
            }
        }
    }
}

fn numbers(found: &mut Findings, path: &str, map: &Map<String, Value>, key: &str, max: i64) {
    let mut seen = HashSet::new();
    for (n, value) in map.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
        let here = at(path, format!("{key}.{n}"));
        super::one(found, &here, value, Kind::Int(0, max));
        if !seen.insert(whole(value)) {
            found.add(&here, "SET_TYPE_CONTAINS_DUPLICATES", "The values must be unique.");
        }
    }
}

/// Checks a list of options; `depth` 0 is the command, 1 a group or subcommand, 2 below a group.
fn options(found: &mut Findings, path: &str, list: &[Value], depth: u8) {
    let (mut names, mut optional_seen) = (HashSet::new(), false);
    let nested = |value: &Value| matches!(value["type"].as_i64(), Some(1 | 2));
    if list.iter().any(nested) && !list.iter().all(nested) {
        let message = "Sub-command and sub-command group option types are mutually exclusive to all other types";
        found.add(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
    }
    for (n, value) in list.iter().enumerate() {
        let here = at(path, n);
        let Some(map) = object(found, &here, value, OPTION) else { continue };
        let kind = map.get("type").and_then(whole).unwrap_or(0);
        let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
        if !valid_name(name) {
            let message = "Command name is invalid";
            found.add(&at(&here, "name"), "APPLICATION_COMMAND_INVALID_NAME", message);
        }
        if !names.insert(name) {
            let message = "Option with that name already exists";
            found.add(&here, "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", message);
        }
        localizations(found, &here, map, true);
        let required = map.get("required") == Some(&Value::Bool(true));
        if required && optional_seen {
            let message = "Required options must be placed before non-required options";
            found.add(&here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message);
        }
        optional_seen |= !required && kind > 2;
        one_option(found, &here, map, kind, depth);
    }
}

fn one_option(found: &mut Findings, path: &str, map: &Map<String, Value>, kind: i64, depth: u8) {
    let present = |key: &str| map.get(key).filter(|value| !value.is_null());
    let nonempty =
        |key: &str| present(key).and_then(Value::as_array).filter(|list| !list.is_empty());
    let mut refuse = |key: &str| {
        let message = format!("An option of type {kind} cannot have {key}");
        found.add(&at(path, key), "APPLICATION_COMMAND_OPTIONS_FIELD_NOT_ALLOWED", message);
    };
    if kind > 2 && nonempty("options").is_some() {
        refuse("options");
    }
    if !matches!(kind, 3 | 4 | 10) {
        for key in ["choices", "min_value", "max_value"] {
            if nonempty(key).is_some() || present(key).is_some_and(Value::is_number) {
                refuse(key);
            }
        }
        if present("autocomplete") == Some(&Value::Bool(true)) {
            refuse("autocomplete");
        }
    }
    if kind != 3 {
        for key in ["min_length", "max_length"] {
            if present(key).is_some() {
                refuse(key);
            }
        }
    }
    if kind != 7 && nonempty("channel_types").is_some() {
        refuse("channel_types");
    }
    if nonempty("choices").is_some() && present("autocomplete") == Some(&Value::Bool(true)) {
        refuse("autocomplete");
    }
    for (low, high) in [("min_value", "max_value"), ("min_length", "max_length")] {
        let bound = |key: &str| present(key).and_then(Value::as_f64);
        if bound(low).zip(bound(high)).is_some_and(|(min, max)| min > max) {
            let message = format!("{low} must not be greater than {high}");
            found.add(&at(path, low), "APPLICATION_COMMAND_OPTIONS_BOUNDS_INVALID", message);
        }
    }
    for key in ["min_value", "max_value"] {
        if kind == 4 && present(key).is_some_and(|value| whole(value).is_none()) {
            found.add(
                &at(path, key),
                "NUMBER_TYPE_COERCE",
                "The bound of an integer is an integer.",
            );
        }
    }
    choices(found, path, map, kind);
    let children = present("options").and_then(Value::as_array);
    match (kind, depth) {
        (1, 0 | 1) => {
            if let Some(list) = children {
                if list.iter().any(|child| matches!(child["type"].as_i64(), Some(1 | 2))) {
                    let message = "A sub-command cannot hold sub-commands";
                    found.add(
                        &at(path, "options"),
                        "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
                        message,
                    );
                }
                options(found, &at(path, "options"), list, 2);
            }
        }
        (2, 0) => {
            let list = children.map_or(&[][..], Vec::as_slice);
            if list.is_empty() || list.iter().any(|child| child["type"] != 1) {
                let message = "A sub-command group holds sub-commands only, at least one";
                found.add(
                    &at(path, "options"),
                    "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
                    message,
                );
            }
            options(found, &at(path, "options"), list, 1);
        }
        (1 | 2, _) => {
            let message = "Sub-commands and groups are not nested this deep";
            found.add(&at(path, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
        }
        _ => {}
    }
}

fn choices(found: &mut Findings, path: &str, map: &Map<String, Value>, kind: i64) {
    let mut names = HashSet::new();
    for (n, choice) in
        map.get("choices").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        let here = at(path, format!("choices.{n}"));
        object(found, &here, choice, CHOICE);
        let value = &choice["value"];
        match kind {
            3 => super::one(found, &at(&here, "value"), value, Kind::Text(1, 100)),
            4 if whole(value).is_none() => {
                found.add(
                    &at(&here, "value"),
                    "NUMBER_TYPE_COERCE",
                    format!("Value \"{value}\" is not int."),
                );
            }
            10 if !value.is_number() => {
                found.add(
                    &at(&here, "value"),
                    "NUMBER_TYPE_COERCE",
                    format!("Value \"{value}\" is not a number."),
                );
            }
            _ => {}
        }
        if !names.insert(choice["name"].as_str().unwrap_or_default()) {
            let message = "Choice with that name already exists";
            found.add(&here, "APPLICATION_COMMAND_OPTIONS_CHOICES_NAME_ALREADY_EXISTS", message);
        }
    }
}

/// Characters that count against the 8000: names, descriptions (the longest localization) and
/// text values of the command, its options and their choices.
pub(crate) fn size(value: &Value) -> usize {
    let mut total = 0;
    for (key, table) in
        [("name", "name_localizations"), ("description", "description_localizations")]
    {
        let own = value[key].as_str().map_or(0, |text| text.chars().count());
        let others = value[table].as_object().into_iter().flat_map(Map::values);
        let longest = others.filter_map(Value::as_str).map(|text| text.chars().count()).max();
        total += own.max(longest.unwrap_or(0));
    }
    for key in ["options", "choices"] {
        total += value[key].as_array().into_iter().flatten().map(size).sum::<usize>();
    }
    total + value["value"].as_str().map_or(0, |text| text.chars().count())
}
