//! What ages and breaks without anybody doing anything: replication, certificates, disks, pools, Ceph, backup jobs.

use std::collections::{BTreeMap, BTreeSet};

/// The state of all that. By default everything is well, there is no Ceph, and every guest is in a backup job.
#[derive(Debug, Clone, Default)]
pub struct Wear {
    /// Replication jobs.
    pub replications: Vec<Replication>,
    /// Days until the certificate of a node ends; a year where nothing is said.
    pub certificate_days: BTreeMap<String, f64>,
    /// What SMART says of `/dev/sda` of a node; `PASSED` where nothing is said.
    pub smart: BTreeMap<String, String>,
    /// The health of the ZFS pool `rpool` of a node; nodes that are not named have no ZFS.
    pub pools: BTreeMap<String, String>,
    /// Ceph's status and the message of its check; `None`: not installed.
    pub ceph: Option<(String, String)>,
    /// Guests that no backup job has.
    pub uncovered: BTreeSet<u32>,
}

/// One replication job.
#[derive(Debug, Clone)]
pub struct Replication {
    /// The guest.
    pub guest: u32,
    /// Where it runs.
    pub source: String,
    /// Where its copy goes.
    pub target: String,
    /// Failures in a row.
    pub fail_count: u64,
    /// Why it failed.
    pub error: String,
}
