//! Holds recorded requests (and the twin's own answers) against Discord's official OpenAPI
//! document. Only tests use it; the document itself is never part of this repository.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Value, json};

use crate::state::LogEntry;

/// Why the official document could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there.
    #[error("cannot read {path}")]
    Read {
        /// Where it was looked for.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("cannot parse {path}")]
    Parse {
        /// Where it was found.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Something the official schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// METHOD and template.
    pub route: String,
    /// JSON pointer into the body.
    pub at: String,
    /// What is wrong.
    pub why: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}: {}", self.route, self.at, self.why)
    }
}

/// Keys of any value, wherever they stand, that Discord takes as number and as text, while the
/// document insists on one of them. Each row is a deviation of the document, not of ours.
const IDS: [&str; 8] = [
    // serenity numbers new attachments with integers; the documentation's examples do too.
    "attachments/id",
    "message_reference/message_id",
    "message_reference/channel_id",
    "message_reference/guild_id",
    "recipient_id",
    "sku_id",
    "emoji/id",
    "default_values/id",
];
/// Lists of ids for which the same holds.
const ID_LISTS: [&str; 3] = ["allowed_mentions/users", "allowed_mentions/roles", "sticker_ids"];
/// The documentation says "bit set as text", the document says integer.
const BITS: [&str; 1] = ["default_member_permissions"];

/// Compiled schemas, a compilation each (about 12 ms), kept.
pub struct Checker {
    spec: Value,
    compiled: Mutex<HashMap<String, Option<Arc<Validator>>>>,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

impl Checker {
    /// Reads the official document (`discord-openapi.json`).
    ///
    /// # Errors
    /// When the file is missing or not JSON.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: shown(), source })?;
        let spec =
            serde_json::from_str(&text).map_err(|source| Error::Parse { path: shown(), source })?;
        Ok(Self { spec, compiled: Mutex::default() })
    }

    /// Checks the body of one recorded request. A request that the twin refused with 4xx is not
    /// checked: the schema may well agree that it is wrong.
    pub fn check(&self, entry: &LogEntry) -> Vec<Violation> {
        if (400..500).contains(&entry.status) {
            return Vec::new();
        }
        self.request(&entry.route, &entry.body)
    }

    /// Checks a request body for an endpoint, given as METHOD and template.
    pub fn request(&self, route: &str, body: &Value) -> Vec<Violation> {
        let Some(pointer) = self.request_pointer(route) else { return Vec::new() };
        if body.is_null() {
            return Vec::new();
        }
        let mut body = body.clone();
        normalise(&mut body, "");
        self.against(route, &pointer, body)
    }

    /// Checks the twin's answer to a recorded request.
    pub fn answer(&self, entry: &LogEntry) -> Vec<Violation> {
        if entry.status == 0 || entry.status == 204 || entry.status >= 300 {
            return Vec::new();
        }
        let Some((method, template)) = entry.route.split_once(' ') else { return Vec::new() };
        let pointer = format!(
            "/paths/{}/{}/responses/{}/content/application~1json/schema",
            escape(template),
            method.to_lowercase(),
            entry.status
        );
        if self.spec.pointer(&pointer).is_none() {
            return Vec::new();
        }
        self.against(&entry.route, &pointer, entry.answer.clone())
    }

    /// Whether the document has this endpoint at all.
    pub fn knows(&self, route: &str) -> bool {
        route.split_once(' ').is_some_and(|(method, template)| {
            let pointer = format!("/paths/{}/{}", escape(template), method.to_lowercase());
            self.spec.pointer(&pointer).is_some()
        })
    }

    fn request_pointer(&self, route: &str) -> Option<String> {
        let (method, template) = route.split_once(' ')?;
        let pointer = format!(
            "/paths/{}/{}/requestBody/content/application~1json/schema",
            escape(template),
            method.to_lowercase()
        );
        self.spec.pointer(&pointer).is_some().then_some(pointer)
    }

    fn against(&self, route: &str, pointer: &str, body: Value) -> Vec<Violation> {
        let Some(validator) = self.validator(pointer) else {
            let why = "the official schema does not compile".to_owned();
            return vec![Violation { route: route.to_owned(), at: String::new(), why }];
        };
        let mut found = Vec::new();
        for error in validator.iter_errors(&body) {
            expand(&error, &mut |at, why| {
                found.push(Violation { route: route.to_owned(), at, why });
            });
        }
        found
    }

    fn validator(&self, pointer: &str) -> Option<Arc<Validator>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(pointer) {
            return known.clone();
        }
        let fragment = pointer.replace('{', "%7B").replace('}', "%7D");
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#{fragment}"),
            "components": self.spec["components"],
            "paths": self.spec["paths"],
        });
        let built = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .ok()
            .map(Arc::new);
        compiled.insert(pointer.to_owned(), built.clone());
        built
    }
}

fn escape(template: &str) -> String {
    template.replace('~', "~0").replace('/', "~1")
}

/// A failed union says nothing useful; the branch that fits the value's own `type` does.
fn expand(error: &ValidationError<'_>, note: &mut impl FnMut(String, String)) {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        let mut why = error.to_string();
        if why.len() > 300 {
            why = why.chars().take(300).chain("…".chars()).collect();
        }
        note(error.instance_path().to_string(), why);
        return;
    };
    let here = error.instance_path().to_string();
    let of_type = |branch: &&Vec<ValidationError<'static>>| {
        !branch.iter().any(|inner| {
            let at = inner.instance_path().to_string();
            let wrong_type = at == format!("{here}/type");
            wrong_type || (at == here && matches!(inner.kind(), ValidationErrorKind::Type { .. }))
        })
    };
    let best = context.iter().filter(of_type).min_by_key(|branch| branch.len());
    match best.or_else(|| context.iter().min_by_key(|branch| branch.len())) {
        Some(branch) => branch.iter().for_each(|inner| expand(inner, note)),
        None => note(here, "fits no branch of the union".to_owned()),
    }
}

/// Irons out the deviations listed above. `holder` is the key whose value is being walked.
fn normalise(value: &mut Value, holder: &str) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| normalise(one, holder)),
        Value::Object(map) => {
            for (key, inner) in map {
                let path = format!("{holder}/{key}");
                let named =
                    |list: &[&str]| list.contains(&path.as_str()) || list.contains(&key.as_str());
                if named(&IDS) {
                    // `normalise` need not look inside: ids are plain values.
                    number_to_text(inner);
                } else if named(&ID_LISTS) {
                    inner.as_array_mut().into_iter().flatten().for_each(number_to_text);
                } else if named(&BITS) {
                    if let Some(bits) = inner.as_str().and_then(|text| text.parse::<u64>().ok()) {
                        *inner = json!(bits);
                    }
                } else {
                    normalise(inner, key);
                }
            }
        }
        _ => {}
    }
}

fn number_to_text(value: &mut Value) {
    if value.is_number() {
        *value = json!(value.to_string());
    }
}
