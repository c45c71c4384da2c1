//! What is done to sets: by people's commands, and by the reconciler to one ordinal at a time.

use serde::{Deserialize, Serialize};

use super::identity::{Identity, keeper_name};
use super::spec::{Keep, SetSpec};
use super::state::{Revision, SetRef};
use crate::id::{GuestKind, Vmid};
use crate::operation::Expect;

/// What becomes of a drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// It shall be as it is now.
    Adopt,
    /// The pod is replaced by one that is as it shall be.
    Restore,
    /// Leave it, and do not speak of exactly this again.
    Ignore,
}

impl Choice {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Restore => "restore",
            Self::Ignore => "ignore",
        }
    }
}

/// Work on one ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Make the container that owns its volumes.
    MakeKeeper,
    /// Make its pod and start it.
    Create,
    /// Switch its pod on.
    Start,
    /// Shut its pod down and delete it, not its volumes.
    Remove,
    /// Delete the container that owns its volumes.
    DropVolumes,
}

impl Work {
    /// Whether it is done to the keeper of the volumes rather than to the pod.
    pub fn is_keeper(self) -> bool {
        matches!(self, Self::MakeKeeper | Self::DropVolumes)
    }
}

/// What is done to a set, with everything it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "set_do", rename_all = "kebab-case")]
pub enum SetAction {
    /// It shall be this: creating, applying, scaling, restarting, undoing.
    Put {
        /// Which.
        set: SetRef,
        /// What it shall be.
        spec: Box<SetSpec>,
        /// What it came from: `created`, `scaled from 3 to 5`, …
        why: String,
    },
    /// Pause the rollout, or go on with it.
    Pause {
        /// Which.
        set: SetRef,
        /// Whether it pauses.
        on: bool,
    },
    /// Delete all pods, then forget the set.
    Delete {
        /// Which.
        set: SetRef,
        /// What becomes of the volumes.
        volumes: Keep,
    },
    /// What becomes of one drift.
    Resolve {
        /// Which.
        set: SetRef,
        /// Which pod.
        ordinal: u32,
        /// Its name.
        pod: String,
        /// What is different.
        what: Vec<String>,
        /// Fingerprint of exactly that drift.
        drift: String,
        /// What becomes of it.
        choice: Choice,
    },
    /// The reconciler's work on one ordinal.
    Member {
        /// Which.
        set: SetRef,
        /// Which ordinal.
        identity: Box<Identity>,
        /// What is done.
        work: Work,
        /// What its pod is made from.
        revision: Box<Revision>,
        /// Why, as a sentence.
        why: String,
    },
}

impl SetAction {
    /// Which set.
    pub fn set(&self) -> &SetRef {
        match self {
            Self::Put { set, .. }
            | Self::Pause { set, .. }
            | Self::Delete { set, .. }
            | Self::Resolve { set, .. }
            | Self::Member { set, .. } => set,
        }
    }

    /// The number of the guest that is worked on.
    pub fn vmid(&self) -> Option<Vmid> {
        match self {
            Self::Member { identity, work, .. } if work.is_keeper() => identity.keeper,
            Self::Member { identity, .. } => Some(identity.vmid),
            _ => None,
        }
    }

    /// The name of the guest that is worked on.
    pub fn guest_name(&self) -> Option<String> {
        match self {
            Self::Member { identity, work, .. } if work.is_keeper() => {
                Some(keeper_name(&identity.name))
            }
            Self::Member { identity, .. } => Some(identity.name.clone()),
            _ => None,
        }
    }
}

/// A step on a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "set_step", rename_all = "kebab-case")]
pub enum SetStep {
    /// Write down what it shall be. Nothing is done at Proxmox.
    Record,
    /// Watch until it is so, or until it is clear that it will not be.
    Converge,
    /// Make the keeper of an ordinal's volumes.
    MakeKeeper,
    /// Make an ordinal's pod.
    Create,
    /// Take the protection from a keeper that shall be deleted.
    Unprotect,
}

impl SetStep {
    /// What people read while it runs.
    pub fn doing(self) -> &'static str {
        match self {
            Self::Record => "Writing down what it shall be",
            Self::Converge => "Bringing the pods there",
            Self::MakeKeeper => "Making its volumes",
            Self::Create => "Creating the container",
            Self::Unprotect => "Taking the protection off",
        }
    }

    /// A short name for lists and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Converge => "converge",
            Self::MakeKeeper => "make volumes",
            Self::Create => "create",
            Self::Unprotect => "unprotect",
        }
    }

    /// Worker types of its task.
    pub fn task_types(self) -> &'static [&'static str] {
        match self {
            Self::MakeKeeper | Self::Create => &["vzcreate"],
            Self::Record | Self::Converge | Self::Unprotect => &[],
        }
    }

    /// What must be seen before it counts as done.
    pub fn expects(self, _: GuestKind) -> Expect {
        Expect::Exists
    }
}
