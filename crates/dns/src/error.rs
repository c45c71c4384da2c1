//! One error per fact, and what to do about it.
//!
//! Every text is a sentence for people and holds no key. [`Error::advice`] is the contract with the durable
//! operations: `Probe` means *it may have been carried out*, so look before doing anything again.

use std::time::Duration;

use gantry_core::advice::Advice;
use gantry_core::dns::Name;

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProblem {
    /// PowerDNS: 401.
    ApiKey,
    /// TSIG BADKEY: no key of this name and algorithm.
    Unknown {
        /// Name of the key, which is no secret.
        key: String,
    },
    /// TSIG BADSIG: the name is known, the secret another.
    Secret {
        /// Name of the key.
        key: String,
    },
    /// TSIG BADTIME: the clocks differ by more than the signature allows (300 s).
    Clock {
        /// How many seconds the server's clock is ahead of ours.
        ahead_s: i64,
    },
    /// NOTAUTH without a signature: PowerDNS does not say what it dislikes (name, secret or clock).
    Rejected {
        /// Name of the key.
        key: String,
    },
    /// The server answered without a signature.
    Unsigned,
}

impl std::fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ApiKey => f.write_str("it does not accept the API key"),
            Self::Unknown { key } => write!(f, "it does not know a key {key} with this algorithm"),
            Self::Secret { key } => write!(f, "it has another secret for the key {key}"),
            Self::Clock { ahead_s } if *ahead_s < 0 => {
                write!(f, "its clock is {} s behind this machine's", ahead_s.unsigned_abs())
            }
            Self::Clock { ahead_s } => {
                write!(f, "its clock is {ahead_s} s ahead of this machine's")
            }
            Self::Rejected { key } => {
                write!(f, "it does not accept the key {key} (name, algorithm, secret or clock)")
            }
            Self::Unsigned => f.write_str("it does not sign its answers"),
        }
    }
}

/// Everything that can come instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error("{why}")]
    Config {
        /// What is wrong.
        why: String,
    },
    /// The service cannot be published by anybody; nothing was sent.
    #[error("{why}")]
    Service {
        /// Every mistake, in one sentence each.
        why: String,
    },
    /// The key was not accepted; nothing was changed.
    #[error("{server} refuses the key: {problem}")]
    Key {
        /// Host and port.
        server: String,
        /// What is wrong with it.
        problem: KeyProblem,
    },
    /// The server does not want to; nothing was changed.
    #[error("{server} refuses it for zone {zone} ({why})")]
    Refused {
        /// Host and port.
        server: String,
        /// Which zone.
        zone: Name,
        /// The server's words or code.
        why: String,
    },
    /// The server does not hold the zone.
    #[error("{server} has no zone {zone}")]
    NoZone {
        /// Host and port.
        server: String,
        /// Which zone.
        zone: Name,
    },
    /// The name falls into none of the zones.
    #[error("{name} is outside of {zones}")]
    OutOfZone {
        /// The name.
        name: String,
        /// The zones there are.
        zones: String,
    },
    /// Somebody else changed the same records in between, or an alias stands there; nothing was changed.
    #[error("the records in zone {zone} are not as they were read ({why})")]
    Conflict {
        /// Which zone.
        zone: Name,
        /// The server's words or code.
        why: String,
    },
    /// Other records stand where the service's would; nothing was changed.
    #[error("{service} cannot be published in zone {zone}: {why}")]
    Blocked {
        /// The service's name.
        service: Name,
        /// Which zone.
        zone: Name,
        /// What stands there.
        why: String,
    },
    /// The server does not take what it was told; nothing was changed.
    #[error("{server} does not accept the records: {why}")]
    Invalid {
        /// Host and port.
        server: String,
        /// The server's words or code.
        why: String,
    },
    /// No connection; nothing was sent.
    #[error("{server} is unreachable ({why})")]
    Unreachable {
        /// Host and port.
        server: String,
        /// The cause.
        why: String,
    },
    /// The request may have arrived; its answer did not.
    #[error("{server} gave no answer ({why})")]
    AnswerLost {
        /// Host and port.
        server: String,
        /// The cause.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
    /// The server had a failure of its own.
    #[error("{server} failed: {why}")]
    Server {
        /// Host and port.
        server: String,
        /// The server's words or code.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
    /// More than a message or an answer may hold.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit in bytes.
        limit: usize,
        /// Whether something may have been changed.
        write: bool,
    },
    /// The answer is not what it should be.
    #[error("the answer of {server} could not be understood ({why})")]
    Decode {
        /// Host and port.
        server: String,
        /// Where it broke.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
    /// The server says yes and shows something else, again and again.
    #[error("zone {zone} does not become what it shall be after {rounds} rounds ({why})")]
    NotSettled {
        /// Which zone.
        zone: Name,
        /// Rounds of reading and writing.
        rounds: u32,
        /// What went wrong last.
        why: String,
    },
}

/// After a refused connection or a silence.
const CONNECT_PAUSE: Duration = Duration::from_secs(5);
/// After somebody else's change: read again soon.
const CONFLICT_PAUSE: Duration = Duration::from_secs(1);
/// After a zone that does not settle: somebody is fighting over it.
const UNSETTLED_PAUSE: Duration = Duration::from_secs(60);

impl Error {
    /// What a caller may do now.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Unreachable { .. } => Advice::RetryAfter(CONNECT_PAUSE),
            Self::Conflict { .. } => Advice::RetryAfter(CONFLICT_PAUSE),
            Self::NotSettled { .. } => Advice::RetryAfter(UNSETTLED_PAUSE),
            Self::AnswerLost { write, .. } | Self::Server { write, .. } => {
                if *write {
                    Advice::Probe
                } else {
                    Advice::RetryAfter(CONNECT_PAUSE)
                }
            }
            Self::TooLarge { write: true, .. } | Self::Decode { write: true, .. } => Advice::Probe,
            Self::TooLarge { .. }
            | Self::Decode { .. }
            | Self::Config { .. }
            | Self::Service { .. }
            | Self::Key { .. }
            | Self::Refused { .. }
            | Self::NoZone { .. }
            | Self::OutOfZone { .. }
            | Self::Blocked { .. }
            | Self::Invalid { .. } => Advice::GiveUp,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Config { .. } => "Correct [[dns]] in the configuration.",
            Self::Service { .. } => "Correct the service.",
            Self::Key { problem: KeyProblem::ApiKey, .. } => {
                "Compare key_file with `api-key` in pdns.conf."
            }
            Self::Key { problem: KeyProblem::Clock { .. }, .. } => {
                "Set both clocks, for example with NTP."
            }
            Self::Key { .. } => {
                "Compare key name, algorithm and secret with the key in the server's configuration."
            }
            Self::Refused { .. } => {
                "Allow the key to update and to query the zone (`allow-update`, `acl`)."
            }
            Self::NoZone { .. } => "Create the zone there, or correct zones in [[dns]].",
            Self::OutOfZone { .. } => "Choose a zone that is configured in [[dns]].",
            Self::Conflict { .. } | Self::NotSettled { .. } => "See who else writes these records.",
            Self::Blocked { .. } => "Remove what stands there, or give the service another name.",
            Self::Invalid { .. } => "See the server's log; it knows more.",
            Self::Unreachable { .. } | Self::AnswerLost { .. } | Self::Server { .. } => {
                "See whether the name server runs and this machine reaches it."
            }
            Self::TooLarge { .. } => "Give gantry a zone of its own, or make the service smaller.",
            Self::Decode { .. } => "See whether that address is the name server's.",
        }
    }
}
