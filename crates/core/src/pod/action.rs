//! What is done to a pod that exists, beyond what is done to every guest.

use serde::{Deserialize, Serialize};

use super::diff::Edit;
use super::{NOTES_KEY, PodSpec};
use crate::action::GuestRef;
use crate::id::{GuestKind, OperationId};
use crate::operation::Expect;

/// A change of a pod, with its target resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "pod", rename_all = "kebab-case")]
pub enum PodAction {
    /// Make it what its specification says.
    Apply {
        /// Which pod.
        guest: GuestRef,
        /// What it shall be.
        spec: Box<PodSpec>,
        /// Only these settings; empty: all.
        #[serde(default)]
        only: Vec<String>,
        /// Whether it is restarted where a change needs that.
        restart: bool,
        /// How long going down may take, seconds.
        timeout_s: u32,
    },
    /// Delete what a creation left behind.
    Clean {
        /// What is left.
        guest: GuestRef,
        /// The operation that created it.
        operation: OperationId,
    },
}

impl PodAction {
    /// The pod it is about.
    pub fn guest(&self) -> &GuestRef {
        match self {
            Self::Apply { guest, .. } | Self::Clean { guest, .. } => guest,
        }
    }
}

/// One thing that is done to a pod at Proxmox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "kebab-case")]
pub enum PodStep {
    /// Change settings, all in one call.
    Configure {
        /// What is set and taken out.
        edits: Vec<Edit>,
    },
    /// Let a disk grow.
    Grow {
        /// The disk: `rootfs`, `mp0`.
        disk: String,
        /// To this size, GiB.
        size_gib: u64,
    },
}

impl PodStep {
    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Configure { .. } => "Changing its settings",
            Self::Grow { .. } => "Growing a disk",
        }
    }

    /// A short name for lists and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Configure { .. } => "configure",
            Self::Grow { .. } => "grow disk",
        }
    }

    /// The worker types Proxmox may give its task.
    pub fn task_types(&self) -> &'static [&'static str] {
        match self {
            Self::Configure { .. } => &[],
            Self::Grow { .. } => &["resize"],
        }
    }

    /// What must be seen before it counts as done; the settings themselves are compared besides.
    pub fn expects(&self, _: GuestKind) -> Expect {
        Expect::Exists
    }

    /// What has to be seen in the configuration.
    pub fn edits(&self) -> Vec<Edit> {
        match self {
            Self::Configure { edits } => edits.clone(),
            Self::Grow { disk, size_gib } => vec![Edit::Grow(disk.clone(), *size_gib)],
        }
    }

    /// The settings it touches, as people call them; the notes go without saying.
    pub fn touches(&self) -> Vec<String> {
        self.edits()
            .iter()
            .filter_map(|edit| match edit {
                Edit::Set(key, _) | Edit::Unset(key) | Edit::Grow(key, _) => Some(key.clone()),
                Edit::Nothing => None,
            })
            .filter(|key| key != NOTES_KEY)
            .collect()
    }
}
