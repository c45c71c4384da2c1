//! One error per way it can go wrong, and what to do about it.
//!
//! Every text is a sentence for people and holds no secret. [`Error::advice`] is the contract with durable
//! operations: `Probe` means *it may have been carried out*, so look before doing anything again.

use std::time::Duration;

use gantry_core::advice::Advice;
use gantry_core::id::NodeName;

/// Everything that can come instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work; nothing was sent.
    #[error("{why}")]
    Config {
        /// What is wrong, in a sentence.
        why: String,
    },
    /// No node shell is set up for this node.
    #[error("no node shell is set up for {node}")]
    UnknownNode {
        /// The node.
        node: NodeName,
    },
    /// No connection; nothing was sent.
    #[error("{node} cannot be reached over SSH ({why})")]
    Unreachable {
        /// The node.
        node: NodeName,
        /// The cause.
        why: String,
    },
    /// The node did not answer lately, so it was not asked; nothing was sent.
    #[error("{node} could not be reached over SSH lately ({why}); next try in {}", seconds(*retry_in))]
    Resting {
        /// The node.
        node: NodeName,
        /// The cause, last time.
        why: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The node shows another host key than the pinned ones: it was set up anew, or somebody sits in between.
    /// Nothing was sent.
    #[error("the SSH host key of {node} changed: expected {}, got {got}", expected.join(" or "))]
    HostKey {
        /// The node.
        node: NodeName,
        /// The pinned fingerprints.
        expected: Vec<String>,
        /// The fingerprint that was shown.
        got: String,
    },
    /// The node does not take gantry's key; nothing was sent.
    #[error("{node} does not accept gantry's SSH key for user {user}")]
    Auth {
        /// The node.
        node: NodeName,
        /// The user.
        user: String,
    },
    /// Too much to do at once; nothing was sent.
    #[error("too many commands for {node} at once; try again in {}", seconds(*retry_in))]
    Busy {
        /// The node.
        node: NodeName,
        /// When there may be room again.
        retry_in: Duration,
    },
    /// The script took the line for none of its own; nothing was done.
    #[error("{node} refused the command ({why})")]
    Refused {
        /// The node.
        node: NodeName,
        /// The script's words.
        why: String,
    },
    /// The forced command is not there or cannot be run; nothing was done.
    #[error("the script is not installed on {node} ({why})")]
    NotInstalled {
        /// The node.
        node: NodeName,
        /// What came instead.
        why: String,
    },
    /// It is not possible as things are; nothing was changed.
    #[error("{why} ({node})")]
    Failed {
        /// The node.
        node: NodeName,
        /// The script's words.
        why: String,
    },
    /// A program is missing on the node; nothing was changed.
    #[error("{why} ({node})")]
    Missing {
        /// The node.
        node: NodeName,
        /// Which one.
        why: String,
    },
    /// Somebody else's change is under way on the node; nothing was changed.
    #[error("{why} ({node})")]
    Locked {
        /// The node.
        node: NodeName,
        /// The script's words.
        why: String,
    },
    /// Something else is there already, or was changed in between; nothing was changed.
    #[error("{why} ({node})")]
    Conflict {
        /// The node.
        node: NodeName,
        /// The script's words.
        why: String,
    },
    /// The script broke off on the way.
    #[error("{why} ({node})")]
    Broken {
        /// The node.
        node: NodeName,
        /// What it said.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
    /// The command was sent; how it ended is not known.
    #[error("{node} gave no answer ({why})")]
    AnswerLost {
        /// The node.
        node: NodeName,
        /// The cause.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
    /// The answer was larger than the limit.
    #[error("the answer of {node} is larger than {limit} bytes")]
    TooLarge {
        /// The node.
        node: NodeName,
        /// The limit in bytes.
        limit: usize,
        /// Whether it was a write.
        write: bool,
    },
    /// The answer is not what the script promises.
    #[error("the answer of {node} to {verb} could not be understood ({why})")]
    Decode {
        /// The node.
        node: NodeName,
        /// The command's verb.
        verb: &'static str,
        /// Where it broke.
        why: String,
        /// Whether it was a write.
        write: bool,
    },
}

/// After a refused or cut connection.
const CONNECT_PAUSE: Duration = Duration::from_secs(2);
/// A change on a node takes a second or two.
const LOCK_PAUSE: Duration = Duration::from_secs(5);

impl Error {
    /// What a caller may do now.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Unreachable { .. } => Advice::RetryAfter(CONNECT_PAUSE),
            Self::Resting { retry_in, .. } | Self::Busy { retry_in, .. } => {
                Advice::RetryAfter(*retry_in)
            }
            Self::Locked { .. } => Advice::RetryAfter(LOCK_PAUSE),
            Self::AnswerLost { write: false, .. } => Advice::RetryAfter(CONNECT_PAUSE),
            Self::Broken { write: true, .. }
            | Self::AnswerLost { write: true, .. }
            | Self::TooLarge { write: true, .. }
            | Self::Decode { write: true, .. } => Advice::Probe,
            Self::Config { .. }
            | Self::UnknownNode { .. }
            | Self::HostKey { .. }
            | Self::Auth { .. }
            | Self::Refused { .. }
            | Self::NotInstalled { .. }
            | Self::Failed { .. }
            | Self::Missing { .. }
            | Self::Conflict { .. }
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::Decode { .. } => Advice::GiveUp,
        }
    }

    /// True when it is certain that no command left this process.
    pub fn is_not_sent(&self) -> bool {
        matches!(
            self,
            Self::Config { .. }
                | Self::UnknownNode { .. }
                | Self::Unreachable { .. }
                | Self::Resting { .. }
                | Self::HostKey { .. }
                | Self::Auth { .. }
                | Self::Busy { .. }
        )
    }
}

fn seconds(d: Duration) -> String {
    format!("{:.0} s", d.as_secs_f64().ceil().max(1.0))
}
