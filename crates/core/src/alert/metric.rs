//! What is measured, in which unit, and how a value reads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SubjectKind;

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 1: so; 0: not so.
    Flag,
    /// 0 to 100.
    Percent,
    /// A plain number.
    Number,
    /// Days.
    Days,
    /// Something that happened once. It fires when it is seen and is over a while later by itself.
    Event,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:ident, $unit:ident, $words:literal;)*) => {
        /// What is measured. The text form stands in rules.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Metric { $($(#[$doc])* $variant,)* }

        impl Metric {
            /// Every metric.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text form: `storage.used`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is measured of. Failed backups may be of a guest or of a job.
            pub fn kind(self) -> SubjectKind {
                match self { $(Self::$variant => SubjectKind::$kind,)* }
            }

            /// Its unit.
            pub fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit,)* }
            }

            /// What people call it.
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)* }
            }
        }

        impl FromStr for Metric {
            type Err = UnknownMetric;
            fn from_str(text: &str) -> Result<Self, UnknownMetric> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownMetric(text.chars().take(80).collect())),
                }
            }
        }
    };
}

metrics! {
    /// The cluster has lost its quorum: nothing can be changed.
    NoQuorum = "cluster.no-quorum", Cluster, Flag, "no quorum";
    /// gantry cannot read the cluster.
    Unreachable = "cluster.unreachable", Cluster, Flag, "unreachable";
    /// The cluster says the node is offline.
    NodeDown = "node.down", Node, Flag, "down";
    /// The node answers nobody, or nobody says.
    NodeUnknown = "node.unknown", Node, Flag, "unreachable";
    /// CPU of a node.
    NodeCpu = "node.cpu", Node, Percent, "CPU";
    /// Memory of a node.
    NodeMemory = "node.memory", Node, Percent, "memory";
    /// Root file system of a node.
    NodeDisk = "node.disk", Node, Percent, "root disk";
    /// Swap of a node.
    NodeSwap = "node.swap", Node, Percent, "swap";
    /// Load of 5 minutes for each core.
    NodeLoad = "node.load", Node, Number, "load a core";
    /// The guest went off, and nobody is known to have asked for it.
    GuestStopped = "guest.stopped", Guest, Flag, "stopped";
    /// CPU of a guest.
    GuestCpu = "guest.cpu", Guest, Percent, "CPU";
    /// Memory of a guest.
    GuestMemory = "guest.memory", Guest, Percent, "memory";
    /// Root disk of a container.
    GuestDisk = "guest.disk", Guest, Percent, "root disk";
    /// High availability has given up on the guest.
    GuestHa = "guest.ha-error", Guest, Flag, "HA error";
    /// Somebody other than gantry started, stopped or moved a guest.
    GuestChanged = "guest.changed", Guest, Event, "changed by others";
    /// Storage in use.
    StorageUsed = "storage.used", Storage, Percent, "in use";
    /// The storage cannot be used.
    StorageInactive = "storage.inactive", Storage, Flag, "not available";
    /// Replication of a guest fails.
    Replication = "replication.failed", Guest, Number, "failed replications";
    /// A task of anybody failed.
    TaskFailed = "task.failed", Task, Event, "failed";
    /// The newest backup failed.
    BackupFailed = "backup.failed", Task, Flag, "backup failed";
    /// Days since the newest backup.
    BackupAge = "backup.age", Guest, Days, "since the last backup";
    /// No backup job has the guest.
    BackupNone = "backup.none", Guest, Flag, "in no backup job";
    /// Days until the node's certificate ends.
    CertificateDays = "certificate.days", Node, Days, "certificate left";
    /// A disk says that it is failing (SMART).
    DiskFailing = "disk.failing", Disk, Flag, "failing";
    /// A ZFS pool is not whole.
    PoolDegraded = "pool.degraded", Disk, Flag, "not whole";
    /// Ceph's own word: 1 is a warning, 2 an error.
    CephHealth = "ceph.health", Cluster, Flag, "Ceph is not well";
    /// gantry's own database: seconds an answer takes.
    OwnDatabase = "gantry.database", Gantry, Number, "seconds for an answer";
    /// gantry has no connection to Discord's gateway: nobody can ask it anything.
    OwnGateway = "gantry.gateway", Gantry, Flag, "not connected to Discord";
    /// gantry does not send to a node for now, because it did not answer.
    OwnBreaker = "gantry.breaker", Node, Flag, "not asked for now";
    /// How long the oldest message has waited to be sent, seconds.
    OwnQueue = "gantry.queue", Gantry, Number, "seconds a message waits";
    /// How much of the room for what webhooks tell is in use; all of it when something was turned away.
    OwnHooks = "gantry.hooks", Gantry, Percent, "of the room for webhooks in use";
    /// How far this machine's time is from gantry's, seconds.
    OwnClock = "gantry.clock", Gantry, Number, "seconds off";
    /// Somebody else says that something is wrong, until they say that it is over.
    Told = "told.alert", Outside, Flag, "reported";
    /// Somebody else says that something happened.
    ToldEvent = "told.event", Outside, Event, "reported";
}

/// A text that names no metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not measured; metrics look like `storage.used` or `node.down`, see docs/alerts.md"
)]
pub struct UnknownMetric(pub String);

impl TryFrom<String> for Metric {
    type Error = UnknownMetric;
    fn try_from(text: String) -> Result<Self, UnknownMetric> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.as_str().to_owned()
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Metric {
    /// Whether small values are the bad ones.
    pub fn low_is_bad(self) -> bool {
        self == Self::CertificateDays
    }

    /// Whether it says that a node cannot be relied on; what is on the node is folded into it.
    pub fn folds(self) -> bool {
        matches!(self, Self::NodeDown | Self::NodeUnknown)
    }

    /// Whether others say it: no look of gantry's own gives a value of it.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Told | Self::ToldEvent)
    }

    /// A value as people read it; empty where the metric says it all.
    pub fn shown(self, value: f64) -> String {
        match self.unit() {
            Unit::Flag | Unit::Event => String::new(),
            Unit::Percent => format!("{value:.0} %"),
            Unit::Number => format!("{value:.1}"),
            Unit::Days => format!("{value:.1} days"),
        }
    }
}
