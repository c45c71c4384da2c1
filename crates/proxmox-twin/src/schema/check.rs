//! The one validator: arguments against a table, with the server's own sentences.
//!
//! The order of the checks (type, format, pattern, lengths, bounds, enumeration) decides which sentence is
//! seen, so it follows the server. Called by the dispatcher for every request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Kind, Param, Table, format, tables::property_table};

/// Sentence for a key nobody knows.
const UNKNOWN: &str =
    "property is not defined in schema and the schema does not allow additional properties";
/// Sentence for a required key that is absent.
const MISSING: &str = "property is missing and it is not optional";

/// Checks `args` (all parameters of a call, path parts included) against `table`.
///
/// # Errors
/// A sentence for each offending parameter.
pub(crate) fn check(
    table: &Table,
    args: &BTreeMap<String, Value>,
) -> Result<(), BTreeMap<String, String>> {
    let mut errors = BTreeMap::new();
    for (name, value) in args {
        match table.find(name) {
            None => {
                errors.insert(name.clone(), UNKNOWN.to_owned());
            }
            Some(param) => {
                if let Err(sentence) = scalar(param, name, value) {
                    errors.insert(name.clone(), sentence);
                }
                if let Some(needed) = &param.requires
                    && !args.contains_key(needed)
                {
                    errors.insert(
                        needed.clone(),
                        format!("missing property - '{name}' requires this property"),
                    );
                }
            }
        }
    }
    for param in table.params().filter(|p| p.required) {
        if !args.contains_key(&param.name) {
            errors.insert(param.name.clone(), MISSING.to_owned());
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The text of a value as a form would have carried it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "1".to_owned(),
        Value::Bool(false) => "0".to_owned(),
        other => other.to_string(),
    }
}

fn scalar(param: &Param, name: &str, value: &Value) -> Result<(), String> {
    let text = match value {
        Value::Array(many) if param.kind == Kind::List => {
            return many.iter().try_for_each(|one| scalar(param, name, one));
        }
        Value::Array(_) => {
            return Err(format!("type check ('{}') failed - got ARRAY", param.kind.name()));
        }
        Value::Object(_) => {
            return Err(format!("type check ('{}') failed - got HASH", param.kind.name()));
        }
        Value::Null => return Err(MISSING.to_owned()),
        // JSON bodies may carry real booleans; only a boolean parameter takes them.
        Value::Bool(flag) if param.kind == Kind::Boolean => u8::from(*flag).to_string(),
        other => text_of(other),
    };
    typed(param, name, &text)
}

fn typed(param: &Param, name: &str, text: &str) -> Result<(), String> {
    let fits = match param.kind {
        Kind::Text | Kind::List => true,
        Kind::Boolean => matches!(text, "0" | "1"),
        Kind::Integer => is_integer(text),
        Kind::Number => text.trim_start_matches(['+', '-']).parse::<f64>().is_ok(),
    };
    if !fits {
        return Err(format!("type check ('{}') failed - got '{text}'", param.kind.name()));
    }
    if let Some(table) = &param.property {
        property_string(table, name, text).map_err(|e| format!("invalid format - {e}"))?;
    }
    if let Some(wanted) = &param.format {
        format::check(wanted, name, text).map_err(|e| format!("invalid format - {e}"))?;
    }
    if let Some(pattern) = &param.pattern
        && !pattern.is_match(text)
    {
        return Err("value does not match the regex pattern".to_owned());
    }
    let length = text.chars().count();
    if let Some(most) = param.max_length
        && length > most
    {
        return Err(format!("value may only be {most} characters long"));
    }
    if let Some(fewest) = param.min_length
        && length < fewest
    {
        return Err(format!("value must be at least {fewest} characters long"));
    }
    if matches!(param.kind, Kind::Integer | Kind::Number) {
        let number: f64 = text.trim_start_matches('+').parse().unwrap_or_default();
        if let Some(min) = param.min
            && number < min
        {
            return Err(format!("value must have a minimum value of {min}"));
        }
        if let Some(max) = param.max
            && number > max
        {
            return Err(format!("value must have a maximum value of {max}"));
        }
    }
    if !param.choices.is_empty() && !param.choices.iter().any(|c| c == text) {
        return Err(format!(
            "value '{text}' does not have a value in the enumeration '{}'",
            param.choices.join(", ")
        ));
    }
    Ok(())
}

/// "5", "+5" and "-1" pass; "5.0", "1e3", " 5" and "0x5" do not (measured).
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Takes a property string (`key=value,key=value`) apart and checks every key.
///
/// # Errors
/// The server's text, newline included, as it stands after "invalid format - ".
pub(crate) fn property_string(
    table: &str,
    path: &str,
    text: &str,
) -> Result<BTreeMap<String, String>, String> {
    let Some(table) = property_table(table) else { return Ok(BTreeMap::new()) };
    let mut found = BTreeMap::new();
    for part in text.split(',') {
        if part.trim().is_empty() {
            continue;
        }
        let (key, value) = match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && key.chars().all(is_key_char) => {
                (key.to_owned(), value.to_owned())
            }
            _ => {
                let Some(default) = table.params().find(|p| p.default_key) else {
                    return Err(
                        "value without key, but schema does not define a default key\n".to_owned()
                    );
                };
                (default.name.clone(), part.to_owned())
            }
        };
        let key = match table.find(&key).and_then(|p| p.alias.clone()) {
            Some(real) => real,
            None => key,
        };
        if found.insert(key.clone(), value).is_some() {
            return Err(format!("duplicate key in comma-separated list property: {key}\n"));
        }
    }
    let args = found.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
    match check(table, &args) {
        Ok(()) => Ok(found),
        Err(errors) => {
            let mut text = "format error\n".to_owned();
            for (key, sentence) in errors {
                text.push_str(&format!("{path}.{key}: {sentence}\n"));
            }
            Err(text)
        }
    }
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str, value: &str) -> Option<String> {
        let table = Table::parse(line).unwrap();
        let name = line.split([' ', '!']).next().unwrap().to_owned();
        let args = BTreeMap::from([(name.clone(), Value::String(value.to_owned()))]);
        check(&table, &args).err().and_then(|mut e| e.remove(&name))
    }

    #[test]
    fn integers_as_measured() {
        for good in ["5", "+5", "-1"] {
            assert_eq!(one("a int", good), None, "{good}");
        }
        for bad in ["5.0", "1e3", " 5", "0x5", ""] {
            assert_eq!(
                one("a int", bad),
                Some(format!("type check ('integer') failed - got '{bad}'"))
            );
        }
    }

    #[test]
    fn booleans_are_zero_or_one_in_forms() {
        assert_eq!(one("a bool", "1"), None);
        for bad in ["true", "yes", "on", "", "01"] {
            assert_eq!(
                one("a bool", bad),
                Some(format!("type check ('boolean') failed - got '{bad}'"))
            );
        }
    }

    #[test]
    fn the_format_speaks_before_the_bound() {
        assert_eq!(
            one("vmid! int fmt=pve-vmid min=100 max=999999999", "99"),
            Some("invalid format - value does not look like a valid VM ID\n".to_owned())
        );
    }

    #[test]
    fn property_strings_name_the_inner_key() {
        assert_eq!(
            property_string("lxc-net", "net0", "bridge=vmbr0"),
            Err("format error\nnet0.name: property is missing and it is not optional\n".to_owned())
        );
        assert_eq!(
            property_string("lxc-net", "net0", "eth0"),
            Err("value without key, but schema does not define a default key\n".to_owned())
        );
    }
}
