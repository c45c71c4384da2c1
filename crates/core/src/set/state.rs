//! What is written down about a set: what it shall be, which revision was good, and who each ordinal is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::spec::{Keep, SetSpec};
use crate::id::{ChannelId, ClusterId, GuildId, OperationId, UserId, Vmid};
use crate::world::Guest;

/// A set's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetRef {
    /// The cluster.
    pub cluster: ClusterId,
    /// The name.
    pub name: String,
}

impl fmt::Display for SetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.name)
    }
}

/// One specification that pods were, or shall be, made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Counts up from 1.
    pub number: u32,
    /// `SetSpec::key`: tells whether two revisions make the same pods.
    pub key: String,
    /// The specification.
    pub spec: SetSpec,
    /// Who asked for it.
    pub by_name: String,
    /// When, milliseconds.
    pub at_ms: i64,
    /// What it came from: `created`, `applied`, `undo of 3 to 2`.
    pub why: String,
}

impl Revision {
    /// The revision it went back to, where it is one that goes back: its pods are as those of that one were.
    pub fn same_as(&self) -> Option<u32> {
        self.why.strip_prefix("undo of ")?.split_once(" to ")?.1.parse().ok()
    }
}

/// A rollout that was stopped because it did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// The revision that did not work.
    pub revision: u32,
    /// Why, as a sentence.
    pub why: String,
    /// When, milliseconds.
    pub at_ms: i64,
    /// The revision that was gone back to; `None` where there was none that had worked.
    pub undone_to: Option<u32>,
}

/// What there is to say about a set's names in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Names {
    /// What could not be published, or was left to somebody else, a sentence each.
    pub said: Vec<String>,
    /// Whether something of it is tried again.
    pub again: bool,
}

/// A set as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The cluster.
    pub cluster: ClusterId,
    /// What it shall be.
    pub newest: Revision,
    /// The newest revision that all pods were ready with.
    pub good: Option<Revision>,
    /// Who paused the rollout.
    pub paused: Option<String>,
    /// Why the rollout was stopped.
    pub halted: Option<Halt>,
    /// It shall be deleted, and this shall become of its volumes.
    pub deleting: Option<Keep>,
    /// What there is to say about its names.
    #[serde(default)]
    pub names: Names,
    /// Keepers of volumes that an earlier set of this name left and that whoever confirmed this one took up.
    #[serde(default)]
    pub adopts: Vec<Vmid>,
    /// Who confirmed what it shall be; pods are made and deleted in their name.
    pub by: UserId,
    /// Their name then.
    pub by_name: String,
    /// The server it was asked for in.
    pub guild: GuildId,
    /// The channel it was asked for in; what happens by itself is told there.
    pub channel: ChannelId,
    /// The command that was applied last.
    pub command: OperationId,
}

impl Set {
    /// Its address.
    pub fn address(&self) -> SetRef {
        SetRef { cluster: self.cluster.clone(), name: self.name().to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.newest.spec.name
    }

    /// What it shall be.
    pub fn spec(&self) -> &SetSpec {
        &self.newest.spec
    }

    /// Whether the rollout stands still because nothing that worked is there to go back to.
    pub fn is_stuck(&self) -> bool {
        self.halted.as_ref().is_some_and(|h| h.undone_to.is_none())
    }

    /// The revision that the pod of this ordinal shall be made from: below the partition the last good one.
    pub fn revision_for(&self, ordinal: u32) -> &Revision {
        match &self.good {
            Some(good) if ordinal < self.spec().partition() => good,
            _ => &self.newest,
        }
    }

    /// Takes a new specification; a new revision only where pods would be made differently.
    #[must_use]
    pub fn with(mut self, spec: SetSpec, by_name: &str, at_ms: i64, why: &str) -> Self {
        let key = spec.key();
        if key == self.newest.key {
            self.newest.spec = spec;
            return self;
        }
        let number = self.newest.number + 1;
        self.newest =
            Revision { number, key, spec, by_name: by_name.to_owned(), at_ms, why: why.to_owned() };
        self.halted = None;
        self
    }

    /// Goes back to what pods were made from in `to`; everything else (replicas, service, …) stays.
    #[must_use]
    pub fn back_to(self, to: &Revision, by_name: &str, at_ms: i64) -> Self {
        let why = format!("undo of {} to {}", self.newest.number, to.number);
        let mut spec = self.newest.spec.clone();
        spec.template = to.spec.template.clone();
        spec.volumes = to.spec.volumes.clone();
        spec.restarts = to.spec.restarts;
        self.with(spec, by_name, at_ms, &why)
    }
}

/// What a pod's guest is expected to look like in the cluster's summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Name.
    pub name: String,
    /// Cores.
    pub cores: f64,
    /// Memory, bytes.
    pub memory: u64,
}

impl Facts {
    /// As the summary shows a guest.
    pub fn of(guest: &Guest) -> Self {
        Self { name: guest.name.clone(), cores: guest.cores, memory: guest.mem_max }
    }
}

/// What is written down about one ordinal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Who it is.
    pub identity: Identity,
    /// `SetSpec::key` that its pod was made from; `None` where none was made.
    pub key: Option<String>,
    /// Number of that revision.
    pub revision: u32,
    /// When its pod was made, milliseconds.
    pub made_ms: i64,
    /// When its pod was ready for the first time, milliseconds.
    pub ready_ms: Option<i64>,
    /// What its guest is expected to look like: as it was made, or as somebody adopted it.
    pub facts: Option<Facts>,
    /// What of its configuration is not as it was made, as read last, a sentence each.
    #[serde(default)]
    pub strayed: Vec<String>,
    /// What of that somebody adopted.
    #[serde(default)]
    pub adopted: Vec<String>,
    /// The operation that worked on it last.
    pub operation: Option<OperationId>,
    /// The operation whose end was taken notice of.
    pub settled: Option<OperationId>,
    /// How often in a row such an operation failed.
    pub failures: u32,
    /// When one failed last, milliseconds.
    pub failed_ms: i64,
    /// What it said.
    pub failed: Option<String>,
    /// The drift that somebody chose to ignore: exactly that one.
    pub ignored: Option<String>,
    /// The drift that was told last.
    pub reported: Option<String>,
    /// Whether its names answer.
    pub published: bool,
}

impl SlotRecord {
    /// An ordinal that has an identity and nothing else.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            key: None,
            revision: 0,
            made_ms: 0,
            ready_ms: None,
            facts: None,
            strayed: Vec::new(),
            adopted: Vec::new(),
            operation: None,
            settled: None,
            failures: 0,
            failed_ms: 0,
            failed: None,
            ignored: None,
            reported: None,
            published: false,
        }
    }
}
