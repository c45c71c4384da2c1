//! Snapshots of a guest: taken, deleted, rolled back to. What is asked, what is there, what it comes to.
//!
//! A snapshot is the settings and disks of a guest at one moment. Rolling back loses everything written since, and the
//! plan says since when. A rollback cannot be told from its outcome alone: a guest may well have been at that snapshot
//! before, so only its task counts.

mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::action::{GuestRef, Tier};
use crate::id::GuestKind;
use crate::operation::Expect;
use crate::plan::LiveGuest;

pub use plan::plan_snapshot;

/// Longest name Proxmox takes (schema: `pve-configid`, at most 40).
pub const NAME_MAX: usize = 40;
/// Longest note; Proxmox sets no limit, a card does.
pub const NOTE_MAX: usize = 400;
/// What Proxmox keeps for itself, for one kind of guest or the other.
const RESERVED: [&str; 3] = ["current", "pending", "vzdump"];

/// A snapshot's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

/// A text that is no snapshot's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be a snapshot's name: {rule}")]
pub struct BadSnapshotName {
    text: String,
    rule: &'static str,
}

impl SnapshotName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name made from a moment, for whoever gives none: `gantry-20261122-041500`.
    pub fn at(now_ms: i64) -> Self {
        let digits: String = crate::alert::utc(now_ms)
            .chars()
            .map(|c| if c == ' ' { '-' } else { c })
            .filter(|c| c.is_ascii_digit() || *c == '-')
            .collect();
        // `2026-11-22-041530`: the day's dashes go, the one before the time stays.
        let (day, time) = digits.rsplit_once('-').unwrap_or((&digits, ""));
        Self(format!("gantry-{}-{time}", day.replace('-', "")))
    }
}

impl FromStr for SnapshotName {
    type Err = BadSnapshotName;
    fn from_str(text: &str) -> Result<Self, BadSnapshotName> {
        let bad = |rule| BadSnapshotName { text: text.chars().take(60).collect(), rule };
        if RESERVED.iter().any(|r| text.eq_ignore_ascii_case(r)) {
            return Err(bad("Proxmox keeps that word for itself"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !begins || !(2..=NAME_MAX).contains(&text.len()) || !text.chars().all(fits) {
            return Err(bad(
                "2 to 40 letters, digits, - and _, the first one a letter, as in before-upgrade",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = BadSnapshotName;
    fn try_from(text: String) -> Result<Self, BadSnapshotName> {
        text.parse()
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something done to a guest's snapshots; both what is asked for and the step that does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "snapshot", rename_all = "kebab-case")]
pub enum SnapshotStep {
    /// Take one.
    Create {
        /// Its name.
        name: SnapshotName,
        /// What it is for.
        note: String,
        /// Whether the memory of a running machine is kept with it.
        ram: bool,
    },
    /// Delete one.
    Delete {
        /// Its name.
        name: SnapshotName,
    },
    /// Go back to one.
    Rollback {
        /// Its name.
        name: SnapshotName,
    },
}

/// A guest's snapshots changed, with the target resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotAction {
    /// Which guest.
    pub guest: GuestRef,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// The change.
    pub change: SnapshotStep,
}

impl SnapshotAction {
    /// The least confirmation it takes.
    pub fn tier(&self) -> Tier {
        match self.change {
            SnapshotStep::Create { .. } => Tier::Button,
            SnapshotStep::Delete { .. } | SnapshotStep::Rollback { .. } => Tier::TypedName,
        }
    }
}

impl SnapshotStep {
    /// The snapshot it is about.
    pub fn snapshot(&self) -> &SnapshotName {
        match self {
            Self::Create { name, .. } | Self::Delete { name } | Self::Rollback { name } => name,
        }
    }

    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Create { .. } => "Taking the snapshot",
            Self::Delete { .. } => "Deleting the snapshot",
            Self::Rollback { .. } => "Rolling back",
        }
    }

    /// A short name for lists and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "snapshot",
            Self::Delete { .. } => "delete snapshot",
            Self::Rollback { .. } => "roll back",
        }
    }

    /// In `could not … web-0`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "take a snapshot of",
            Self::Delete { .. } => "delete a snapshot of",
            Self::Rollback { .. } => "roll back",
        }
    }

    /// The worker types Proxmox may give its task.
    pub fn task_types(&self) -> &'static [&'static str] {
        match self {
            Self::Create { .. } => &["vzsnapshot", "qmsnapshot"],
            Self::Delete { .. } => &["vzdelsnapshot", "qmdelsnapshot"],
            Self::Rollback { .. } => &["vzrollback", "qmrollback"],
        }
    }

    /// The list of snapshots is compared besides.
    pub fn expects(&self) -> Expect {
        Expect::Exists
    }
}

/// A snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its name. Proxmox's own tools make names that gantry would not.
    pub name: String,
    /// What it is for.
    pub note: String,
    /// When it was taken, milliseconds, by its node's clock; `None` where Proxmox does not say.
    pub at_ms: Option<i64>,
    /// The one before it.
    pub parent: Option<String>,
    /// Whether memory was kept with it.
    pub ram: bool,
    /// `prepare` or `delete` while it is being made or deleted, and after that has broken off.
    pub unfinished: Option<String>,
}

/// A guest's snapshots, read just now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// Those there are, oldest first.
    pub taken: Vec<Taken>,
    /// The one the guest goes on from now.
    pub current: Option<String>,
}

impl Snapshots {
    /// The one of that name.
    pub fn find(&self, name: &SnapshotName) -> Option<&Taken> {
        self.taken.iter().find(|t| t.name == name.as_str())
    }

    /// Names of those that were taken later than one.
    pub fn after(&self, one: &Taken) -> Vec<&str> {
        let later = |t: &&Taken| t.name != one.name && t.at_ms > one.at_ms;
        self.taken.iter().filter(later).map(|t| t.name.as_str()).collect()
    }
}

/// What a change of snapshots rests on, read just now.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotFacts {
    /// The guest.
    pub live: LiveGuest,
    /// Its snapshots.
    pub snapshots: Snapshots,
    /// Whether Proxmox says that it can have snapshots; `None` where that was not asked.
    pub able: Option<bool>,
    /// The storages its disks lie on, with their kind: `local (dir)`.
    pub storages: Vec<String>,
    /// Disks of which only the newest snapshot can be gone back to.
    pub newest_only: Vec<String>,
}
