//! Webhooks in: what each sender says becomes the same kind of thing. Pure: bytes and the time in, what was said out.

mod alertmanager;
mod generic;
mod proxmox;
mod setup;
#[cfg(test)]
mod tests;

use gantry_core::alert::{Heard, Severity};
use gantry_core::id::ClusterId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use setup::proxmox_commands;

use crate::Hook;
use crate::auth::Lock;

/// Most things taken from one request; of more, the rest is counted as left out. Alertmanager puts no bound on a group by
/// default, and what is refused with 4xx it never sends again.
const SAID_MAX: usize = 5000;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookKind {
    /// Prometheus Alertmanager, webhook version 4.
    Alertmanager,
    /// Proxmox VE's own notifications.
    Proxmox,
    /// Any program.
    Generic,
}

impl HookKind {
    /// The word in its path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Proxmox => "proxmox",
            Self::Generic => "generic",
        }
    }
}

/// `alertmanager/prom`
pub(crate) fn path_of(kind: HookKind, name: &str) -> String {
    format!("{}/{name}", kind.as_str())
}

/// A hook, ready to take requests.
#[derive(Debug)]
pub(crate) struct Hooked {
    pub(crate) name: String,
    pub(crate) lock: Lock,
    kind: HookKind,
    cluster: ClusterId,
    clusters: Vec<ClusterId>,
}

/// What a request said.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) heard: Vec<Heard>,
    /// Things the sender says it left out.
    pub(crate) left_out: u64,
}

impl Hooked {
    pub(crate) fn new(hook: &Hook, clusters: &[ClusterId]) -> Self {
        Self {
            name: hook.name.clone(),
            lock: Lock::new(&hook.token),
            kind: hook.kind,
            cluster: hook.cluster.clone(),
            clusters: clusters.to_vec(),
        }
    }

    /// Reads a body. Errors are sentences for whoever sets the sender up.
    pub(crate) fn read(&self, body: &[u8], now_ms: i64) -> Result<Read, String> {
        let mut read = match self.kind {
            HookKind::Alertmanager => alertmanager::read(self, body)?,
            HookKind::Proxmox => proxmox::read(self, body, now_ms)?,
            HookKind::Generic => generic::read(self, body, now_ms)?,
        };
        let beyond = read.heard.len().saturating_sub(SAID_MAX);
        read.heard.truncate(SAID_MAX);
        read.left_out += u64::try_from(beyond).unwrap_or(u64::MAX);
        Ok(read)
    }

    /// The cluster somebody names, where there is one of that name; else the hook's own.
    fn cluster(&self, named: Option<&str>) -> ClusterId {
        let found = self.clusters.iter().find(|c| Some(c.as_str()) == named);
        found.unwrap_or(&self.cluster).clone()
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    // Bounds depth by itself: more than 128 levels are refused.
    serde_json::from_slice(body).map_err(|e| format!("not the JSON that is expected here: {e}"))
}

/// How bad, in the words people use.
fn severity(word: Option<&str>) -> Severity {
    match word.unwrap_or_default().to_ascii_lowercase().as_str() {
        "critical" | "page" | "emergency" | "fatal" | "disaster" => Severity::Critical,
        "error" | "high" | "major" => Severity::Error,
        "info" | "none" | "low" | "debug" | "notice" | "ok" => Severity::Info,
        _ => Severity::Warning,
    }
}

/// A short digest: enough to tell things of one sender apart.
fn digest(parts: &[&str]) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update(part.len().to_le_bytes());
        sum.update(part.as_bytes());
    }
    hex::encode(sum.finalize().get(..12).unwrap_or_default())
}

/// RFC 3339 to milliseconds; `None` for what is none, and for Go's year 1, which means never.
fn moment(text: &str) -> Option<i64> {
    let at = chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
    (at > 0).then_some(at)
}
