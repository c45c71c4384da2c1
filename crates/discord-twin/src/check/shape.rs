//! The form checker: objects against tables of keys. Everything the documentation says about
//! one key on its own (type, length, range) is a row; rules across keys live in the siblings.

use serde_json::{Map, Value};

use crate::fault::Findings;
use crate::snowflake;

/// What a key may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Text of so many characters (code points, trimmed, as Discord counts).
    Text(usize, usize),
    /// A whole number in a range.
    Int(i64, i64),
    /// Any number.
    Number,
    /// true or false.
    Bool,
    /// A snowflake, as text or number.
    Snowflake,
    /// An http(s) address; `attachment://` too when true.
    Url(bool),
    /// ISO 8601.
    Time,
    /// A list with so many entries; its entries are checked by the caller.
    List(usize, usize),
    /// An object, checked by the caller.
    Object,
    /// A permission bit set, as text of digits or number.
    Bits,
    /// Text or a whole number (nonce, attachment ids).
    TextOrInt(usize),
    /// Anything.
    Any,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    name: &'static str,
    kind: Kind,
    required: bool,
}

impl Key {
    /// Whether this row is about `name`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

/// A key that must be there and not null.
pub(crate) const fn req(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, required: true }
}

/// A key that may be absent or null.
pub(crate) const fn opt(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, required: false }
}

/// `base.key`.
pub(crate) fn at(base: &str, key: impl std::fmt::Display) -> String {
    if base.is_empty() { key.to_string() } else { format!("{base}.{key}") }
}

/// Characters as Discord counts them.
pub(crate) fn length(text: &str) -> usize {
    text.trim().chars().count()
}

/// Checks one object; `None` when it is not an object at all.
pub(crate) fn object<'v>(
    found: &mut Findings,
    path: &str,
    value: &'v Value,
    keys: &[Key],
) -> Option<&'v Map<String, Value>> {
    let Value::Object(map) = value else {
        found.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType");
        return None;
    };
    for name in map.keys() {
        if !keys.iter().any(|key| key.name == name) {
            let message = format!("Unknown key \"{name}\": Discord would ignore it silently");
            found.add(&at(path, name), "TWIN_UNKNOWN_KEY", message);
        }
    }
    for key in keys {
        match map.get(key.name) {
            None | Some(Value::Null) if key.required => {
                found.add(&at(path, key.name), "BASE_TYPE_REQUIRED", "This field is required");
            }
            None | Some(Value::Null) => {}
            Some(value) => one(found, &at(path, key.name), value, key.kind),
        }
    }
    Some(map)
}

/// Checks one value against its kind.
pub(crate) fn one(found: &mut Findings, path: &str, value: &Value, kind: Kind) {
    match kind {
        Kind::Any => {}
        Kind::Text(min, max) => match value.as_str() {
            Some(text) => bounds(found, path, length(text), min, max),
            None => {
                found.add(
                    path,
                    "STRING_TYPE_CONVERT",
                    format!("Could not interpret \"{value}\" as string."),
                );
            }
        },
        Kind::Int(min, max) => match whole(value) {
            Some(number) if number < min => {
                let message = format!("int value should be greater than or equal to {min}.");
                found.add(path, "NUMBER_TYPE_MIN", message);
            }
            Some(number) if number > max => {
                let message = format!("int value should be less than or equal to {max}.");
                found.add(path, "NUMBER_TYPE_MAX", message);
            }
            Some(_) => {}
            None => found.add(path, "NUMBER_TYPE_COERCE", format!("Value \"{value}\" is not int.")),
        },
        Kind::Number => {
            if !value.is_number() {
                found.add(
                    path,
                    "NUMBER_TYPE_COERCE",
                    format!("Value \"{value}\" is not a number."),
                );
            }
        }
        Kind::Bool => {
            if !value.is_boolean() {
                found.add(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
            }
        }
        Kind::Snowflake => {
            if snowflake::from_json(value).is_none() {
                let message = format!("Value \"{value}\" is not snowflake.");
                found.add(path, "NUMBER_TYPE_COERCE", message);
            }
        }
        Kind::Url(attachment) => url(found, path, value, attachment),
        Kind::Time => {
            let good = value
                .as_str()
                .is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok());
            if !good {
                let message = format!("Could not parse {value}. Should be ISO8601.");
                found.add(path, "DATE_TIME_TYPE_PARSE", message);
            }
        }
        Kind::List(min, max) => match value.as_array() {
            Some(list) => bounds(found, path, list.len(), min, max),
            None => {
                found.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
            }
        },
        Kind::Object => {
            if !value.is_object() {
                found.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType");
            }
        }
        Kind::Bits => {
            if snowflake::from_json(value).is_none() {
                found.add(path, "NUMBER_TYPE_COERCE", format!("Value \"{value}\" is not int."));
            }
        }
        Kind::TextOrInt(max) => match value {
            Value::String(text) => bounds(found, path, text.chars().count(), 0, max),
            Value::Number(number) if number.is_i64() || number.is_u64() => {}
            _ => found.add(
                path,
                "STRING_TYPE_CONVERT",
                format!("Could not interpret \"{value}\" as string."),
            ),
        },
    }
}

fn bounds(found: &mut Findings, path: &str, length: usize, min: usize, max: usize) {
    if length >= min && length <= max {
        return;
    }
    if length == 0 && min > 0 {
        found.add(path, "BASE_TYPE_REQUIRED", "This field is required");
    } else if min == 0 {
        let message = format!("Must be {max} or fewer in length.");
        found.add(path, "BASE_TYPE_MAX_LENGTH", message);
    } else {
        let message = format!("Must be between {min} and {max} in length.");
        found.add(path, "BASE_TYPE_BAD_LENGTH", message);
    }
}

/// A whole number; `1.0` counts, as it does for Discord and JSON Schema.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    if let Some(int) = number.as_i64() {
        return Some(int);
    }
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be integral and small")]
    (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64)
}

fn url(found: &mut Findings, path: &str, value: &Value, attachment: bool) {
    let Some(text) = value.as_str() else {
        found.add(
            path,
            "STRING_TYPE_CONVERT",
            format!("Could not interpret \"{value}\" as string."),
        );
        return;
    };
    let scheme = text.split_once("://").map(|(scheme, rest)| (scheme, !rest.is_empty()));
    let space = text.contains(char::is_whitespace);
    match scheme {
        Some(("http" | "https", true)) if !space => bounds(found, path, text.len(), 0, 2048),
        Some(("attachment", true)) if attachment => {}
        Some((other, _)) if !matches!(other, "http" | "https") => {
            let message = format!(
                "Scheme \"{other}\" is not supported. Scheme must be one of ('http', 'https')."
            );
            found.add(path, "URL_TYPE_INVALID_SCHEME", message);
        }
        _ => found.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL."),
    }
}
