//! Status line and body → [`Error`], by the measured table of Proxmox's answers.
//!
//! The reason phrase often is the only text there is (401, 595, all of PVE 8); the body's `message` is longer
//! where it exists. Texts are cut and cleaned: the server may be hostile.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::id::NodeName;

use crate::answer::envelope::Bad;
use crate::error::Error;

/// Longest text of the server that is passed on to people.
const TEXT_MAX: usize = 600;
/// Longest text of several lines that is kept: a diff of a network configuration.
const LINES_MAX: usize = 64 * 1024;
/// Most entries of an `errors` map that are passed on.
const ERRORS_MAX: usize = 25;

/// What was asked, as far as it changes the meaning of an answer.
pub(crate) struct Asked<'a> {
    pub(crate) write: bool,
    pub(crate) node: Option<&'a NodeName>,
    /// The token's secret, to be blotted out should the server echo it.
    pub(crate) secret: &'a str,
}

/// Makes a server's text fit for people: one line, no control characters, bounded, without our secret.
pub(crate) fn clean(text: &str, secret: &str) -> String {
    let text = text.trim();
    let text = if secret.is_empty() { text.to_owned() } else { text.replace(secret, "•••") };
    let mut out = String::new();
    for c in text.chars().take(TEXT_MAX) {
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// The same for a text of several lines, whose lines and tabs stay.
pub(crate) fn clean_lines(text: &str, secret: &str) -> String {
    let text = if secret.is_empty() { text.to_owned() } else { text.replace(secret, "•••") };
    let keep = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c };
    text.chars().take(LINES_MAX).map(keep).collect()
}

/// The error that an answer with a status of 300 or more stands for.
pub(crate) fn error(status: u16, reason: &str, body: &[u8], asked: &Asked<'_>) -> Error {
    let bad: Bad = serde_json::from_slice(body).unwrap_or_default();
    let say = |text: &str| clean(text, asked.secret);
    let message = bad.message.as_deref().map(say).filter(|m| !m.is_empty());
    let reason = message.unwrap_or_else(|| say(reason));
    let errors: BTreeMap<String, String> = bad
        .errors
        .unwrap_or_default()
        .into_iter()
        .take(ERRORS_MAX)
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (say(&key), say(&text))
        })
        .collect();
    let write = asked.write;
    match status {
        401 => Error::Auth { reason: or(reason, "401") },
        403 => denied(reason),
        429 => Error::RateLimited { retry_in: Duration::from_secs(5) },
        501 => Error::NotImplemented { what: or(reason, "501") },
        595..=599 => Error::NodeOffline {
            node: asked.node.cloned(),
            why: or(reason, "no connection between the nodes"),
            write,
        },
        300..=399 => Error::Other {
            status,
            reason: "with a redirect, which is never followed".to_owned(),
            write,
        },
        400 => parameters(errors, reason),
        // Only notifications answer 404 for an object that is not there (proxmox-notify).
        404 if is_unknown(&reason) => Error::NotFound { what: reason },
        _ if status >= 500 && !errors.is_empty() => parameters(errors, reason),
        500 => failure(reason, write),
        _ => Error::Other { status, reason, write },
    }
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

/// `Permission check failed (/vms/100, VM.PowerMgmt)`; some name no path, some have words in the parentheses.
fn denied(reason: String) -> Error {
    let inner = reason
        .strip_prefix("Permission check failed (")
        .and_then(|rest| rest.strip_suffix(')'))
        .filter(|inner| inner.starts_with('/'))
        .and_then(|inner| inner.split_once(", "))
        .map(|(path, privilege)| (path.to_owned(), privilege.to_owned()));
    let (path, privilege) = inner.unzip();
    Error::Denied { path, privilege, reason }
}

fn parameters(errors: BTreeMap<String, String>, reason: String) -> Error {
    let mut values = errors.values();
    if let (Some(only), None) = (values.next(), values.next()) {
        if only.contains("already exists") {
            return Error::Exists { what: only.clone() };
        }
        if only.contains("no such task") || only.contains("does not exist") {
            return Error::NotFound { what: only.clone() };
        }
    }
    // Notifications say these with 400 where everything else says them with 500 (proxmox-notify).
    if errors.is_empty() && reason.contains("detected modified configuration") {
        return Error::Conflict;
    }
    if errors.is_empty() && reason.contains("an entity with the same name already exists") {
        return Error::Exists { what: reason };
    }
    Error::Invalid { errors, reason }
}

/// A 500: the text is all there is.
fn failure(reason: String, write: bool) -> Error {
    let has = |part: &str| reason.contains(part);
    // The work under the lock ran for its whole 60 s: it may be half done.
    if has("-locked command timed out") {
        return Error::Other { status: 500, reason, write };
    }
    if has("no quorum") {
        return Error::NoQuorum;
    }
    if let Some(why) = reason.strip_prefix("Could not test target") {
        return Error::Undelivered { why: why.trim_start_matches([':', ' ']).to_owned() };
    }
    if has("detected modified configuration") || has("checksum mismatch (file change") {
        return Error::Conflict;
    }
    if has("got lock request timeout") {
        return Error::Locked { kind: "cluster lock".to_owned() };
    }
    if has("can't lock file") && has("got timeout") {
        return Error::Locked { kind: "file lock".to_owned() };
    }
    if let Some((_, rest)) = reason.split_once("is locked (")
        && let Some((kind, _)) = rest.split_once(')')
    {
        return Error::Locked { kind: kind.to_owned() };
    }
    if has("already exists on node") || has("config file already exists") || is_taken(&reason) {
        return Error::Exists { what: reason };
    }
    if is_absent(&reason) {
        return Error::NotFound { what: reason };
    }
    if reason.ends_with("not running") {
        return Error::NotRunning { what: reason };
    }
    Error::Other { status: 500, reason, write }
}

fn is_unknown(reason: &str) -> bool {
    let known = ["endpoint '", "matcher '", "entity '"].iter().any(|what| reason.starts_with(what));
    known && (reason.ends_with("not found") || reason.ends_with("does not exist"))
}

fn is_taken(reason: &str) -> bool {
    reason.starts_with("create ") && reason.trim_end_matches('.').ends_with("already exists")
}

/// Only texts of checks that come before any change. `bridge 'x' does not exist` is not among them: it was
/// measured after a half-written configuration.
fn is_absent(reason: &str) -> bool {
    let of_a_check = ["Configuration file '", "storage '", "pool '"];
    let absent = reason.trim_end_matches('.').ends_with("does not exist");
    if absent && of_a_check.iter().any(|start| reason.starts_with(start)) {
        return true;
    }
    ["no such cluster node", "no such task", "hostname lookup '"]
        .iter()
        .any(|start| reason.starts_with(start))
}
