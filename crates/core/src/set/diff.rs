//! What is different between two specifications of a set, as lines people read. Values that are nobody's business are
//! not among them.

use std::collections::BTreeMap;

use super::spec::SetSpec;
use crate::plan::Change;

/// Lines that differ between two specifications, by key.
pub fn differences(old: &SetSpec, new: &SetSpec) -> Vec<Change> {
    let (old, new) = (flat(old), flat(new));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let none = "—".to_owned();
    keys.into_iter()
        .filter(|k| old.get(*k) != new.get(*k))
        .map(|k| {
            let (before, after) = (old.get(k), new.get(k));
            let shown = |value: Option<&String>, hidden: &str| match value {
                Some(_) if is_secret(k) => hidden.to_owned(),
                value => value.unwrap_or(&none).clone(),
            };
            let other = if before.is_some() { "another value" } else { "a value" };
            Change { what: k.clone(), before: shown(before, "a value"), after: shown(after, other) }
        })
        .collect()
}

/// Whether a value is nobody's business: of the environment, and words of a command, which may be passwords.
fn is_secret(key: &str) -> bool {
    ["template.env.", "template.health.probe.command.run."].iter().any(|k| key.starts_with(k))
}

/// A specification as `template.cores = 2`, a line a value.
fn flat(spec: &SetSpec) -> BTreeMap<String, String> {
    fn walk(path: &str, value: &serde_json::Value, out: &mut BTreeMap<String, String>) {
        let under = |key: &str| {
            if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
        };
        match value {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(k, v)| walk(&under(k), v, out));
            }
            serde_json::Value::Array(list) => {
                list.iter().enumerate().for_each(|(n, v)| walk(&under(&n.to_string()), v, out));
            }
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => {
                out.insert(path.to_owned(), text.clone());
            }
            other => {
                out.insert(path.to_owned(), other.to_string());
            }
        }
    }
    let mut out = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(spec) {
        walk("", &value, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::simulation::sample;

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let old = sample("web", 1);
        let mut new = old.clone();
        new.template.env.0.insert("PASSWORD".into(), "hunter2".into());
        let added = differences(&old, &new);
        assert_eq!((added[0].before.as_str(), added[0].after.as_str()), ("—", "a value"));
        let mut other = new.clone();
        other.template.env.0.insert("PASSWORD".into(), "hunter3".into());
        let changed = differences(&new, &other);
        let change = (changed[0].before.as_str(), changed[0].after.as_str());
        assert_eq!(change, ("a value", "another value"));
        assert!(!format!("{added:?}{changed:?}").contains("hunter"));
    }
}
