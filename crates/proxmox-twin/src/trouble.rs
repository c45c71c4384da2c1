//! Faults as plain state: what is wrong at the moment, and how often it will still go wrong.
//!
//! Nothing here acts; servers, dispatcher and tasks ask. A trouble without `times` lasts until it is cleared.

use serde::{Deserialize, Serialize};

/// One kind of trouble. `match` is a method and a path below `/api2/json` with `*` for one segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trouble {
    /// The node is offline in the cluster's eyes: its port refuses, calls proxied to it end in 595 at once.
    NodeDown {
        /// Its name.
        node: String,
    },
    /// The node accepts TCP and never answers; proxied calls end in 595 after the proxy timeout.
    NodeSilent {
        /// Its name.
        node: String,
    },
    /// The node's own network is broken: it never answers, and the others do not hear of it. A reload that takes
    /// its address away makes this by itself; ending it stands for somebody at the console.
    NetworkBroken {
        /// Its name.
        node: String,
    },
    /// Carried out, then the connection is cut without an answer.
    AnswerLost {
        /// Which requests.
        #[serde(rename = "match")]
        matching: String,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// The connection is cut before anything happens.
    RequestLost {
        /// Which requests.
        #[serde(rename = "match")]
        matching: String,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// The request is held before the action.
    Hang {
        /// Which requests.
        #[serde(rename = "match")]
        matching: String,
        /// Wall milliseconds; absent = until this trouble is cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
        /// Carried out at the end of the hold even when the client has gone; else it is dropped with the client.
        #[serde(default)]
        anyway: bool,
    },
    /// The answer is held after the action.
    HangAfter {
        /// Which requests.
        #[serde(rename = "match")]
        matching: String,
        /// Wall milliseconds; absent = until this trouble is cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// A given status line instead of the action.
    Error {
        /// Which requests.
        #[serde(rename = "match")]
        matching: String,
        /// HTTP status, 400..=599.
        status: u16,
        /// Reason phrase and message.
        #[serde(default)]
        reason: String,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// A command over a node's SSH ends like this instead of the action; matched as `SSH /nodes/{node}/{verb}`.
    ShellFails {
        /// Which commands.
        #[serde(rename = "match")]
        matching: String,
        /// Exit status of the script: 64 refused, 65 not possible, 69 missing, 70 broken off, 75 busy, 76 conflict.
        status: u32,
        /// What it says.
        #[serde(default)]
        reason: String,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// The body ends halfway.
    Truncate {
        /// Which requests.
        #[serde(rename = "match")]
        matching: String,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// Tasks of this type fail and do not act.
    TaskFails {
        /// Task type, or `*`.
        task: String,
        /// What the task ends with.
        exitstatus: String,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// Tasks of this type act and end in `WARNINGS: n`.
    TaskWarns {
        /// Task type, or `*`.
        task: String,
        /// How many.
        warnings: u32,
        /// How often; absent = until cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<u32>,
    },
    /// Tasks of this type take this many more wall seconds, whatever the speed factor.
    TaskSlow {
        /// Task type, or `*`.
        task: String,
        /// Wall seconds.
        seconds: f64,
    },
    /// Writes to the cluster file system are refused.
    NoQuorum,
    /// A guest is locked.
    Locked {
        /// Which.
        vmid: u32,
        /// `backup`, `migrate`, …
        lock: String,
    },
    /// A storage is filled to a percentage.
    FillStorage {
        /// On which node; any node's name for a shared one.
        node: String,
        /// Which.
        storage: String,
        /// 0..=100.
        percent: f64,
    },
}

impl Trouble {
    fn times(&mut self) -> Option<&mut Option<u32>> {
        match self {
            Self::AnswerLost { times, .. }
            | Self::RequestLost { times, .. }
            | Self::Hang { times, .. }
            | Self::HangAfter { times, .. }
            | Self::Error { times, .. }
            | Self::ShellFails { times, .. }
            | Self::Truncate { times, .. }
            | Self::TaskFails { times, .. }
            | Self::TaskWarns { times, .. } => Some(times),
            _ => None,
        }
    }

    fn matching(&self) -> Option<&str> {
        match self {
            Self::AnswerLost { matching, .. }
            | Self::RequestLost { matching, .. }
            | Self::Hang { matching, .. }
            | Self::HangAfter { matching, .. }
            | Self::Error { matching, .. }
            | Self::ShellFails { matching, .. }
            | Self::Truncate { matching, .. } => Some(matching),
            _ => None,
        }
    }

    fn task(&self) -> Option<&str> {
        match self {
            Self::TaskFails { task, .. }
            | Self::TaskWarns { task, .. }
            | Self::TaskSlow { task, .. } => Some(task),
            _ => None,
        }
    }
}

/// A trouble with its number.
#[derive(Debug, Clone, Serialize)]
pub struct ActiveTrouble {
    /// Its number, for clearing it.
    pub id: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub trouble: Trouble,
}

/// The list of what is wrong.
#[derive(Default)]
pub(crate) struct Troubles {
    next: u64,
    pub(crate) active: Vec<ActiveTrouble>,
}

impl Troubles {
    pub(crate) fn add(&mut self, trouble: Trouble) -> u64 {
        self.next += 1;
        self.active.push(ActiveTrouble { id: self.next, trouble });
        self.next
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Trouble> {
        let at = self.active.iter().position(|t| t.id == id)?;
        Some(self.active.remove(at).trouble)
    }

    pub(crate) fn is_active(&self, id: u64) -> bool {
        self.active.iter().any(|t| t.id == id)
    }

    /// The troubles that meet this request, each counted as used.
    pub(crate) fn for_request(&mut self, method: &str, path: &str) -> Vec<ActiveTrouble> {
        self.take(|t| t.matching().is_some_and(|m| matches(m, method, path)))
    }

    /// The troubles that meet this task, each counted as used.
    pub(crate) fn for_task(&mut self, kind: &str) -> Vec<ActiveTrouble> {
        self.take(|t| t.task().is_some_and(|wanted| wanted == "*" || wanted == kind))
    }

    fn take(&mut self, wanted: impl Fn(&Trouble) -> bool) -> Vec<ActiveTrouble> {
        let mut met = Vec::new();
        for active in &mut self.active {
            if !wanted(&active.trouble) {
                continue;
            }
            match active.trouble.times() {
                Some(Some(0)) => continue,
                Some(Some(left)) => *left -= 1,
                _ => {}
            }
            met.push(active.clone());
        }
        // A hang without an end is ended by clearing it, so it stays listed though used up.
        self.active.retain_mut(|t| {
            let endless = matches!(
                t.trouble,
                Trouble::Hang { ms: None, .. } | Trouble::HangAfter { ms: None, .. }
            );
            endless || !matches!(t.trouble.times(), Some(Some(0)))
        });
        met
    }

    pub(crate) fn down(&self, node: &str) -> bool {
        self.active.iter().any(|t| matches!(&t.trouble, Trouble::NodeDown { node: n } if n == node))
    }

    pub(crate) fn silent(&self, node: &str) -> bool {
        self.active
            .iter()
            .any(|t| matches!(&t.trouble, Trouble::NodeSilent { node: n } | Trouble::NetworkBroken { node: n } if n == node))
    }

    /// Not heard of because its own network is broken.
    pub(crate) fn cut_off(&self, node: &str) -> bool {
        self.active
            .iter()
            .any(|t| matches!(&t.trouble, Trouble::NetworkBroken { node: n } if n == node))
    }

    pub(crate) fn no_quorum(&self) -> bool {
        self.active.iter().any(|t| t.trouble == Trouble::NoQuorum)
    }

    pub(crate) fn fill(&self, node: &str, storage: &str, shared: bool) -> Option<f64> {
        self.active.iter().find_map(|t| match &t.trouble {
            Trouble::FillStorage { node: n, storage: s, percent }
                if s == storage && (shared || n == node) =>
            {
                Some(*percent)
            }
            _ => None,
        })
    }
}

/// Does `METHOD /path/*/x` (or `*`) describe this request?
fn matches(pattern: &str, method: &str, path: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (wanted, shape) = pattern.split_once(' ').unwrap_or(("*", pattern));
    if wanted != "*" && !wanted.eq_ignore_ascii_case(method) {
        return false;
    }
    if shape == "*" {
        return true;
    }
    let shape: Vec<&str> = shape.trim_matches('/').split('/').collect();
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    shape.len() == path.len() && shape.iter().zip(&path).all(|(s, p)| *s == "*" || s == p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_segment_by_segment() {
        assert!(matches("DELETE /nodes/*/lxc/*", "DELETE", "/nodes/pve1/lxc/105"));
        assert!(!matches("DELETE /nodes/*/lxc/*", "DELETE", "/nodes/pve1/lxc/105/snapshot"));
        assert!(!matches("DELETE /nodes/*/lxc/*", "GET", "/nodes/pve1/lxc/105"));
        assert!(matches("* /version", "GET", "/version"));
    }

    #[test]
    fn times_run_out() {
        let mut troubles = Troubles::default();
        troubles.add(Trouble::AnswerLost { matching: "*".into(), times: Some(2) });
        assert_eq!(troubles.for_request("GET", "/version").len(), 1);
        assert_eq!(troubles.for_request("GET", "/version").len(), 1);
        assert!(troubles.for_request("GET", "/version").is_empty());
        assert!(troubles.active.is_empty());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = r#"{"kind":"node_down","node":"pve1","nodes":1}"#;
        assert!(serde_json::from_str::<Trouble>(text).is_err());
    }
}
