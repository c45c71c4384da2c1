//! Reads one configuration document, section by section, and remembers every mistake instead of stopping at the first.
//!
//! A value comes from the environment, else from the file, else from its default; `keys()` says which. Keys nobody
//! asked for are mistakes. Secret values never reach a message: only their key and what would be right.
//! Called by the section files of this folder and by nobody else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::wording::plain;

/// Every environment variable that gantry reads as configuration starts with this.
pub const ENV_PREFIX: &str = "GANTRY__";

/// What stands in the place of a secret wherever a configuration is shown.
pub const MASK: &str = "********";

/// Largest secret file read, in bytes; a token is some hundred bytes, a larger file is the wrong file.
const SECRET_FILE_MAX: u64 = 64 * 1024;

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key's path, `clusters[0].endpoints`, or the environment variable's name.
    pub at: String,
    /// What is wrong and what would be right, as a sentence.
    pub what: String,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File,
    /// This environment variable.
    Environment(String),
}

/// One key that was asked for.
#[derive(Debug, Clone)]
pub struct Key {
    /// The section's path; `clusters[0]`.
    pub section: String,
    /// The key in it.
    pub name: &'static str,
    /// What applies; secrets are masked. `None` when nothing is set.
    pub value: Option<Value>,
    /// What applies when nobody says anything.
    pub default: Option<Value>,
    /// Where it came from.
    pub origin: Origin,
}

/// What all sections of one document share.
#[derive(Debug)]
pub struct Reader {
    mistakes: RefCell<Vec<Mistake>>,
    keys: RefCell<Vec<Key>>,
    environment: RefCell<BTreeMap<String, String>>,
    /// Names of variables that were looked for.
    names: RefCell<Vec<String>>,
    base: PathBuf,
}

impl Reader {
    /// A reader. `base` is what relative paths are relative to; `environment` holds variables as the process got them.
    pub fn new(base: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            mistakes: RefCell::default(),
            keys: RefCell::default(),
            environment: RefCell::new(
                environment.into_iter().filter(|(k, _)| k.starts_with(ENV_PREFIX)).collect(),
            ),
            names: RefCell::default(),
            base: base.to_owned(),
        }
    }

    /// The document as one section.
    pub fn root(&self, table: Table) -> Section<'_> {
        Section {
            reader: self,
            path: String::new(),
            env: ENV_PREFIX.trim_end_matches("__").to_owned(),
            table,
            asked: Vec::new(),
        }
    }

    /// Ends the reading: variables nobody asked for are mistakes, too.
    pub fn finish(self) -> (Vec<Key>, Vec<Mistake>) {
        let mut mistakes = self.mistakes.into_inner();
        let names = self.names.into_inner();
        let known: Vec<(&str, &str)> = names.iter().filter_map(|n| n.rsplit_once("__")).collect();
        for name in self.environment.into_inner().into_keys() {
            let near = name.rsplit_once("__").and_then(|(section, key)| {
                let keys = known.iter().filter(|(s, _)| *s == section);
                let keys: Vec<&str> = keys.map(|(_, k)| *k).collect();
                nearest(key, &keys).map(|k| format!("{section}__{k}"))
            });
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => "names look like GANTRY__DISCORD__TOKEN or \
                         GANTRY__CLUSTERS__LAB__TOKEN_SECRET (the cluster's id, - as _)"
                    .to_owned(),
            };
            let what = format!("no key of this name exists; {hint}");
            mistakes.push(Mistake { at: name, what });
        }
        (self.keys.into_inner(), mistakes)
    }

    /// A path as the configuration means it: relative ones start at the configuration file's folder.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// Records that what stands at the path `at` is wrong.
    pub fn mistake(&self, at: impl Into<String>, what: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { at: at.into(), what: what.into() });
    }
}

/// One table of the document.
#[derive(Debug)]
pub struct Section<'r> {
    reader: &'r Reader,
    path: String,
    env: String,
    table: Table,
    asked: Vec<&'static str>,
}

/// The mistake is recorded already.
struct Told;

/// A raw value with where it came from.
struct Found {
    value: Value,
    origin: Origin,
}

impl<'r> Section<'r> {
    /// The section's path, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What relative paths are relative to, and where other mistakes go.
    pub fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// Uses `id` in the names of environment variables from here on: a cluster is named, not counted.
    pub fn called(&mut self, id: &str) {
        if let Some((front, _)) = self.env.rsplit_once("__") {
            self.env = format!("{front}__{}", env_word(id));
        }
    }

    /// Records that `key` is wrong.
    pub fn mistake(&self, key: &str, what: impl Into<String>) {
        self.reader.mistake(join(&self.path, key), what);
    }

    /// A value with a default.
    pub fn take<T: DeserializeOwned + Serialize>(&mut self, key: &'static str, default: T) -> T {
        let shown_default = Value::try_from(&default).ok();
        match self.typed::<T>(key, shown_default) {
            Some(Some(value)) => value,
            _ => default,
        }
    }

    /// A whole number with a default and the range that makes sense.
    pub fn number(
        &mut self,
        key: &'static str,
        default: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> u32 {
        let n = self.take(key, default);
        if range.contains(&n) {
            return n;
        }
        self.mistake(
            key,
            format!("{n} is out of range; from {} to {}", range.start(), range.end()),
        );
        default
    }

    /// A value that may be left out.
    pub fn may<T: DeserializeOwned + Serialize>(&mut self, key: &'static str) -> Option<T> {
        self.typed::<T>(key, None).flatten()
    }

    /// A value that must be there. `right` says what to write.
    pub fn need<T: DeserializeOwned + Serialize>(
        &mut self,
        key: &'static str,
        right: &str,
    ) -> Option<T> {
        match self.typed::<T>(key, None) {
            None => None,
            Some(Some(value)) => Some(value),
            Some(None) => {
                self.mistake(key, format!("is missing; {right}"));
                None
            }
        }
    }

    /// A list whose elements are read one by one, so that each wrong one is told.
    pub fn each<T: DeserializeOwned + Serialize>(&mut self, key: &'static str) -> Vec<T> {
        let Some(values) = self.typed::<Vec<Value>>(key, Some(Value::Array(Vec::new()))).flatten()
        else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (n, value) in values.into_iter().enumerate() {
            match T::deserialize(value) {
                Ok(element) => out.push(element),
                Err(e) => self.mistake(&format!("{key}[{n}]"), plain(&e.to_string())),
            }
        }
        out
    }

    /// A secret: `key`, or `key_file` naming a file that holds it and nothing else. `what` completes "is missing; ".
    pub fn secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        what: &str,
    ) -> Option<Secret<String>> {
        let secret = self.find_secret(key, file_key, None);
        if let Ok(None) = &secret {
            self.mistake(key, format!("is missing; {what}"));
        }
        secret.ok().flatten()
    }

    /// The same, where there may be none.
    pub fn may_secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
    ) -> Option<Secret<String>> {
        self.find_secret(key, file_key, None).ok().flatten()
    }

    /// The same with a default that is no secret.
    pub fn secret_or(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        default: &str,
    ) -> Option<Secret<String>> {
        match self.find_secret(key, file_key, Some(default)) {
            Ok(found) => Some(found.unwrap_or_else(|| Secret::new(default.to_owned()))),
            Err(Told) => None,
        }
    }

    fn find_secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        default: Option<&str>,
    ) -> Result<Option<Secret<String>>, Told> {
        let value = self.find(key);
        let file = self.find(file_key);
        // The environment goes before the file, whichever form either of them uses.
        let (value, file) = match (value, file) {
            (Some(v), Some(f)) if is_env(&v) == is_env(&f) => {
                self.mistake(key, format!("stands next to `{file_key}`; keep one of the two"));
                (Some(v), None)
            }
            (Some(_), Some(f)) if is_env(&f) => (None, Some(f)),
            (Some(v), Some(_)) => (Some(v), None),
            either => either,
        };
        let default = default.map(|d| Value::String(d.to_owned()));
        let mask = Value::String(MASK.to_owned());
        let shown = match (&value, &file) {
            (Some(_), _) => Some(mask),
            (None, Some(_)) => None,
            (None, None) => default.clone(),
        };
        self.record(key, shown, default, value.as_ref().map(|f| f.origin.clone()));
        let path = file.as_ref().map(|f| f.value.clone());
        self.record(file_key, path, None, file.as_ref().map(|f| f.origin.clone()));
        let (at, wrong) = match (value, file) {
            (None, None) => return Ok(None),
            (Some(Found { value: Value::String(text), .. }), _) if !text.trim().is_empty() => {
                return Ok(Some(Secret::new(text.trim().to_owned())));
            }
            (Some(Found { value: Value::String(_), .. }), _) => (key, "is empty".to_owned()),
            (Some(_), _) => (key, "must be text in quotes".to_owned()),
            (None, Some(Found { value: Value::String(path), .. })) => {
                match read_secret(&self.reader.resolve(&path)) {
                    Ok(secret) => return Ok(Some(secret)),
                    Err(why) => (file_key, why),
                }
            }
            (None, Some(_)) => (file_key, "must be a path in quotes".to_owned()),
        };
        self.mistake(at, wrong);
        Err(Told)
    }

    /// A table below this one; empty when absent.
    pub fn section(&mut self, key: &'static str) -> Section<'r> {
        self.asked.push(key);
        let table = match self.table.remove(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.mistake(key, format!("must be a section: [{}]", join(&self.path, key)));
                Table::new()
            }
        };
        Section {
            reader: self.reader,
            path: join(&self.path, key),
            env: format!("{}__{}", self.env, env_word(key)),
            table,
            asked: Vec::new(),
        }
    }

    /// The tables of a list of tables; empty when absent.
    pub fn sections(&mut self, key: &'static str) -> Vec<Section<'r>> {
        self.asked.push(key);
        let path = join(&self.path, key);
        let values = match self.table.remove(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => {
                self.mistake(key, format!("must be a list of sections: [[{path}]]"));
                Vec::new()
            }
        };
        let mut out = Vec::new();
        for (n, value) in values.into_iter().enumerate() {
            match value {
                Value::Table(table) => out.push(Section {
                    reader: self.reader,
                    path: format!("{path}[{n}]"),
                    env: format!("{}__{}__{n}", self.env, env_word(key)),
                    table,
                    asked: Vec::new(),
                }),
                _ => self.mistake(&format!("{key}[{n}]"), format!("must be a section: [[{path}]]")),
            }
        }
        out
    }

    /// Ends the section: keys nobody asked for are mistakes.
    pub fn finish(self) {
        for key in self.table.keys() {
            let hint = nearest(key, &self.asked).map_or_else(
                || format!("keys here: {}", self.asked.join(", ")),
                |k| format!("did you mean `{k}`?"),
            );
            self.mistake(key, format!("no key of this name exists here; {hint}"));
        }
    }

    /// `None`: there was a mistake. `Some(None)`: it is not set.
    fn typed<T: DeserializeOwned + Serialize>(
        &mut self,
        key: &'static str,
        default: Option<Value>,
    ) -> Option<Option<T>> {
        let Some(found) = self.find(key) else {
            self.record(key, default.clone(), default, None);
            return Some(None);
        };
        match read_as::<T>(&found) {
            Ok(value) => {
                let shown = Value::try_from(&value).ok();
                self.record(key, shown, default, Some(found.origin));
                Some(Some(value))
            }
            Err(why) => {
                self.record(key, None, default, Some(found.origin.clone()));
                match found.origin {
                    Origin::Environment(name) => self.reader.mistake(name, why),
                    _ => self.mistake(key, why),
                }
                None
            }
        }
    }

    fn find(&mut self, key: &'static str) -> Option<Found> {
        self.asked.push(key);
        let in_file = self.table.remove(key);
        let name = format!("{}__{}", self.env, env_word(key));
        self.reader.names.borrow_mut().push(name.clone());
        if let Some(text) = self.reader.environment.borrow_mut().remove(&name) {
            return Some(Found { value: Value::String(text), origin: Origin::Environment(name) });
        }
        in_file.map(|value| Found { value, origin: Origin::File })
    }

    fn record(
        &self,
        name: &'static str,
        value: Option<Value>,
        default: Option<Value>,
        origin: Option<Origin>,
    ) {
        self.reader.keys.borrow_mut().push(Key {
            section: self.path.clone(),
            name,
            value,
            default,
            origin: origin.unwrap_or(Origin::Default),
        });
    }
}

fn is_env(found: &Found) -> bool {
    matches!(found.origin, Origin::Environment(_))
}

/// Text from the environment is taken as it stands where text is wanted, and as TOML elsewhere (`5`, `true`, `["a"]`).
fn read_as<T: DeserializeOwned>(found: &Found) -> Result<T, String> {
    let direct = T::deserialize(found.value.clone());
    match (direct, &found.origin, &found.value) {
        (Ok(value), ..) => Ok(value),
        (Err(first), Origin::Environment(_), Value::String(text)) => format!("v = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut t| t.remove("v"))
            .and_then(|v| T::deserialize(v).ok())
            .ok_or_else(|| plain(&first.to_string())),
        (Err(e), ..) => Err(plain(&e.to_string())),
    }
}

fn read_secret(path: &Path) -> Result<Secret<String>, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!(
            "there is no file {shown}; this makes it from what you paste, ended by Ctrl-D: install -D -m 600 /dev/stdin {shown}"
        ),
        _ => format!("cannot read {shown}: {e}"),
    });
    let size = size?.len();
    if size > SECRET_FILE_MAX {
        return Err(format!("{shown} holds {size} bytes; a secret is one line"));
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("cannot read {shown}: {}", e.kind()))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{shown} is empty; put the secret there, on one line"));
    }
    if text.lines().count() > 1 {
        return Err(format!("{shown} has several lines; put only the secret there, on one line"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn env_word(key: &str) -> String {
    key.to_ascii_uppercase().replace('-', "_")
}

/// The known key that takes the fewest edits, when that is at most a third of its length.
fn nearest<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|k| (edits(text, k), *k))
        .filter(|(n, k)| *n <= k.len().div_ceil(3))
        .min()
        .map(|(_, k)| k)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let old = row[j + 1];
            row[j + 1] = (corner + usize::from(ca != *cb)).min(old + 1).min(row[j] + 1);
            corner = old;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_what_a_person_mistypes() {
        assert_eq!(edits("tokn", "token"), 1);
        assert_eq!(nearest("tokn", &["token", "shards"]), Some("token"));
        assert_eq!(nearest("colour", &["token", "shards"]), None);
    }
}
