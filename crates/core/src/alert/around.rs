//! What is looked at beside the cluster itself: tasks, what nodes say of themselves, what ages and breaks.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NodeName, Upid, Vmid};

/// A task as the cluster lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSeen {
    /// Its id.
    pub upid: Upid,
    /// When it ended, milliseconds; `None` while it runs.
    pub ended_ms: Option<i64>,
    /// Why it failed; `None` while it runs and when it did not.
    pub failure: Option<String>,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeFigures {
    /// Which.
    pub node: NodeName,
    /// Swap in use, percent; `None` where it has none.
    pub swap: Option<f64>,
    /// Load of 5 minutes for each core.
    pub load: Option<f64>,
}

/// A disk or a pool as its node speaks of it.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskSeen {
    /// The node.
    pub node: NodeName,
    /// `/dev/sda`, or the pool's name.
    pub name: String,
    /// Whether it is a pool.
    pub is_pool: bool,
    /// Whether it is well.
    pub well: bool,
    /// What the node says of it.
    pub says: String,
}

/// What is read rarely: what ages and breaks by itself. What could not be read is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wear {
    /// Days the certificate of a node holds that its API shows.
    pub certificates: Vec<(NodeName, f64)>,
    /// Disks and pools.
    pub disks: Vec<DiskSeen>,
    /// Whether every node was read: only then is a disk that is missing gone.
    pub whole: bool,
    /// Ceph's word, 0 to 2, with its reasons; `None` where there is no Ceph.
    pub ceph: Option<(u8, String)>,
    /// Guests that no backup job has; `None`: not known.
    pub uncovered: Option<BTreeSet<Vmid>>,
}

/// What is looked at beside the cluster itself.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// Tasks, newest first; `None`: they could not be read.
    pub tasks: Option<Vec<TaskSeen>>,
    /// The user gantry is at this cluster, token included.
    pub own_user: String,
    /// Guests that gantry's operations work on, with the operation.
    pub own: BTreeMap<Vmid, String>,
    /// What nodes say of themselves; `None`: not read this time.
    pub figures: Option<Vec<NodeFigures>>,
    /// When each guest was backed up last, milliseconds; `None`: not read this time.
    pub backups: Option<BTreeMap<Vmid, i64>>,
    /// Failures in a row of the replication of guests that have one, with the error; `None`: not read this time.
    pub replications: Option<BTreeMap<Vmid, (u32, String)>>,
    /// What ages and breaks; `None`: not read this time.
    pub wear: Option<Wear>,
    /// Nodes that the client does not ask for now, with the reason; `None`: not known.
    pub breakers: Option<BTreeMap<NodeName, String>>,
}
