//! Discord's error bodies: `{code, message}` and, for invalid forms, `errors` by path.
//! Codes and sentences are those of the documentation's table of JSON error codes.

use serde_json::{Map, Value, json};

/// An answer that is not a success.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) code: u64,
    pub(crate) message: String,
    pub(crate) findings: Findings,
}

impl Fault {
    /// A fault with a JSON error code.
    pub(crate) fn new(status: u16, code: u64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), findings: Findings::default() }
    }

    /// The body people see.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({"message": self.message, "code": self.code});
        if !self.findings.is_empty() {
            body["errors"] = self.findings.tree();
        }
        body
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, 0, "401: Unauthorized")
    }
    pub(crate) fn not_found() -> Self {
        Self::new(404, 0, "404: Not Found")
    }
    pub(crate) fn unknown(what: &'static str) -> Self {
        let code = match what {
            "Application" => 10_002,
            "Channel" => 10_003,
            "Guild" => 10_004,
            "Member" => 10_007,
            "Message" => 10_008,
            "User" => 10_013,
            "Emoji" => 10_014,
            "Webhook" => 10_015,
            "Interaction" => 10_062,
            "application command" => 10_063,
            "application command permissions" => 10_066,
            _ => 0,
        };
        Self::new(404, code, format!("Unknown {what}"))
    }
    pub(crate) fn missing_access() -> Self {
        Self::new(403, 50_001, "Missing Access")
    }
    pub(crate) fn missing_permissions() -> Self {
        Self::new(403, 50_013, "Missing Permissions")
    }
    pub(crate) fn empty_message() -> Self {
        Self::new(400, 50_006, "Cannot send an empty message")
    }
    pub(crate) fn invalid_webhook_token() -> Self {
        Self::new(401, 50_027, "Invalid Webhook Token")
    }
    pub(crate) fn invalid_form(findings: Findings) -> Self {
        Self { findings, ..Self::new(400, 50_035, "Invalid Form Body") }
    }
    /// One finding, as a whole answer.
    pub(crate) fn form(path: &str, code: &'static str, message: impl Into<String>) -> Self {
        let mut findings = Findings::default();
        findings.add(path, code, message);
        Self::invalid_form(findings)
    }
}

/// One thing wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Everything wrong with a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) list: Vec<Finding>,
}

impl Findings {
    /// Notes a mistake at a dotted path.
    pub(crate) fn add(&mut self, path: &str, code: &'static str, message: impl Into<String>) {
        self.list.push(Finding { path: path.to_owned(), code, message: message.into() });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// `Ok` when nothing was found.
    pub(crate) fn into_result(self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(Fault::invalid_form(self)) }
    }

    /// Discord's nested form, `_errors` at the leaves.
    pub(crate) fn tree(&self) -> Value {
        let mut root = Map::new();
        for finding in &self.list {
            let leaf = json!({"code": finding.code, "message": finding.message});
            let path: Vec<&str> = finding.path.split('.').filter(|part| !part.is_empty()).collect();
            graft(&mut root, &path, leaf);
        }
        Value::Object(root)
    }
}

/// Hangs a leaf under a path, making the branches it needs.
fn graft(here: &mut Map<String, Value>, path: &[&str], leaf: Value) {
    let Some((segment, rest)) = path.split_first() else {
        if let Value::Array(list) = here.entry("_errors").or_insert_with(|| json!([])) {
            list.push(leaf);
        }
        return;
    };
    let next = here.entry(*segment).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(map) = next {
        graft(map, rest, leaf);
    }
}
