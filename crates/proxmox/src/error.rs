//! One error per fact of the API, and what to do about it.
//!
//! Every text is a sentence for people and holds no secret. [`Error::advice`] is the contract with the durable
//! operations: `Probe` means *it may have been carried out*, so look before doing anything again.

use std::collections::BTreeMap;
use std::time::Duration;

pub use gantry_core::advice::Advice;
use gantry_core::id::NodeName;

/// Why a TLS connection was refused by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsProblem {
    /// The node shows another certificate than the pinned one.
    Fingerprint {
        /// The configured SHA-256 fingerprints, as Proxmox prints them.
        expected: Vec<String>,
        /// The one that was shown.
        got: String,
    },
    /// The certificate chain is not trusted.
    Untrusted {
        /// The verifier's words.
        why: String,
    },
}

impl std::fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fingerprint { expected, got } => {
                write!(
                    f,
                    "certificate fingerprint changed: expected {}, got {got}",
                    expected.join(" or ")
                )
            }
            Self::Untrusted { why } => write!(f, "certificate not trusted: {why}"),
        }
    }
}

/// Everything that can come instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work; nothing was sent.
    #[error("{why}")]
    Config {
        /// What is wrong, in a sentence.
        why: String,
    },
    /// 401. Never repeated: each one costs 3 s.
    #[error("Proxmox does not accept the API token ({reason})")]
    Auth {
        /// The server's words.
        reason: String,
    },
    /// 403.
    #[error("{}", denied(path.as_deref(), privilege.as_deref(), reason))]
    Denied {
        /// The object, for example `/vms/100`, when the server named it.
        path: Option<String>,
        /// The missing privilege, when the server named it.
        privilege: Option<String>,
        /// The server's words.
        reason: String,
    },
    /// 400 or an `errors` map: parameters were refused. Also made locally, before anything is sent.
    #[error("Proxmox refused the parameters: {}", joined(errors, reason))]
    Invalid {
        /// Parameter → why.
        errors: BTreeMap<String, String>,
        /// The server's words.
        reason: String,
    },
    /// Somebody else works on the guest or file.
    #[error("it is locked ({kind})")]
    Locked {
        /// `backup`, `migrate`, … for a guest; `file lock` or `cluster lock` for a lock timeout.
        kind: String,
    },
    /// The digest is stale: the configuration was changed by somebody else.
    #[error("the configuration was changed by somebody else in between")]
    Conflict,
    /// The VMID, pool or interface is taken.
    #[error("it already exists: {what}")]
    Exists {
        /// The server's words.
        what: String,
    },
    /// The guest, storage, task or node is not there.
    #[error("not found: {what}")]
    NotFound {
        /// The server's words.
        what: String,
    },
    /// The guest is not running.
    #[error("it is not running: {what}")]
    NotRunning {
        /// The server's words.
        what: String,
    },
    /// The cluster has lost its quorum; reads still work.
    #[error("the cluster has no quorum, so it changes nothing")]
    NoQuorum,
    /// 595–599: the endpoint answered, but the node it asked did not.
    #[error("{} is offline for the cluster ({why})", node_name(node.as_ref()))]
    NodeOffline {
        /// The node that was asked.
        node: Option<NodeName>,
        /// The server's words.
        why: String,
        /// Whether a write was passed on.
        write: bool,
    },
    /// No connection; nothing was sent.
    #[error("{endpoint} is unreachable ({why})")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// The cause.
        why: String,
    },
    /// The request may have arrived; its answer did not.
    #[error("{endpoint} gave no answer ({why})")]
    AnswerLost {
        /// Host and port.
        endpoint: String,
        /// The cause.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
    /// 501: this server has no such call.
    #[error("this Proxmox version cannot do that ({what})")]
    NotImplemented {
        /// The server's words.
        what: String,
    },
    /// Too many calls at once; nothing was sent.
    #[error("too many requests for this cluster at once; try again in {}", seconds(*retry_in))]
    RateLimited {
        /// When there is room again.
        retry_in: Duration,
    },
    /// The subject did not answer lately, so it was not asked; nothing was sent.
    #[error("{subject} {why}; next try in {}", seconds(*retry_in))]
    BreakerOpen {
        /// A node name, or host and port.
        subject: String,
        /// `unreachable since 12:03 UTC (connection timed out)`.
        why: String,
        /// When it is asked again.
        retry_in: Duration,
    },
    /// The node's certificate was refused; nothing was sent.
    #[error("{endpoint}: {problem}")]
    Tls {
        /// Host and port.
        endpoint: String,
        /// What was wrong.
        problem: TlsProblem,
    },
    /// A file that was handed on broke off; Proxmox has kept nothing of it.
    #[error("the file broke off on its way: {why}")]
    Broken {
        /// The source's words.
        why: String,
    },
    /// Proxmox could not deliver a test of a notification target.
    #[error("Proxmox could not deliver the test ({why})")]
    Undelivered {
        /// The server's words, without the target's secrets.
        why: String,
    },
    /// The answer was larger than the limit.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// Whether it was a write.
        write: bool,
    },
    /// The answer is not what the API promises.
    #[error("the answer to {what} could not be understood ({why})")]
    Decode {
        /// Method and path template.
        what: String,
        /// Where it broke.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
    /// Anything else.
    #[error("Proxmox answered {status} {reason}")]
    Other {
        /// HTTP status.
        status: u16,
        /// The server's words.
        reason: String,
        /// Whether it was a write.
        write: bool,
    },
}

/// A lock is usually gone after a short while; ten seconds is also Proxmox's own wait for it.
const LOCK_PAUSE: Duration = Duration::from_secs(10);
/// Quorum comes back when nodes come back.
const QUORUM_PAUSE: Duration = Duration::from_secs(30);
/// After a refused connection.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);

impl Error {
    /// What a caller may do now.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Unreachable { .. } => Advice::RetryAfter(CONNECT_PAUSE),
            Self::RateLimited { retry_in } | Self::BreakerOpen { retry_in, .. } => {
                Advice::RetryAfter(*retry_in)
            }
            Self::Locked { .. } => Advice::RetryAfter(LOCK_PAUSE),
            Self::NoQuorum => Advice::RetryAfter(QUORUM_PAUSE),
            Self::AnswerLost { write, .. } | Self::NodeOffline { write, .. } => {
                if *write {
                    Advice::Probe
                } else {
                    Advice::RetryAfter(CONNECT_PAUSE)
                }
            }
            // A 500 does not mean that nothing was changed (measured on PUT lxc/config).
            Self::Other { status, write: true, .. } if *status >= 500 => Advice::Probe,
            Self::TooLarge { write: true, .. } | Self::Decode { write: true, .. } => Advice::Probe,
            Self::Other { .. }
            | Self::TooLarge { .. }
            | Self::Decode { .. }
            | Self::Config { .. }
            | Self::Auth { .. }
            | Self::Denied { .. }
            | Self::Invalid { .. }
            | Self::Conflict
            | Self::Broken { .. }
            | Self::Undelivered { .. }
            | Self::Exists { .. }
            | Self::NotFound { .. }
            | Self::NotRunning { .. }
            | Self::NotImplemented { .. }
            | Self::Tls { .. } => Advice::GiveUp,
        }
    }

    /// True when it is certain that no byte of the request left this process.
    pub fn is_not_sent(&self) -> bool {
        matches!(
            self,
            Self::Config { .. }
                | Self::Unreachable { .. }
                | Self::RateLimited { .. }
                | Self::BreakerOpen { .. }
                | Self::Tls { .. }
        )
    }

    /// A parameter that was refused here, before anything was sent.
    pub(crate) fn refused(parameter: &str, why: impl Into<String>) -> Self {
        Self::Invalid {
            errors: BTreeMap::from([(parameter.to_owned(), why.into())]),
            reason: "Parameter verification failed.".to_owned(),
        }
    }
}

fn denied(path: Option<&str>, privilege: Option<&str>, reason: &str) -> String {
    match (path, privilege) {
        (Some(path), Some(privilege)) => {
            format!("the API token lacks {privilege} on {path}")
        }
        _ => format!("Proxmox denied it ({reason})"),
    }
}

fn joined(errors: &BTreeMap<String, String>, reason: &str) -> String {
    if errors.is_empty() {
        return reason.to_owned();
    }
    let parts: Vec<String> = errors.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    parts.join("; ")
}

fn node_name(node: Option<&NodeName>) -> &str {
    node.map_or("a node", NodeName::as_str)
}

fn seconds(d: Duration) -> String {
    let s = d.as_secs_f64().ceil().max(1.0);
    format!("{s:.0} s")
}
