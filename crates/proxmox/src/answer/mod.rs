//! What the API answers, typed leniently: only what gantry needs, every field optional where Proxmox leaves it
//! out. One file a subject; `envelope` is what stands around all of them.

mod cluster;
pub(crate) mod envelope;
mod guest;
mod moves;
mod node;
mod rrd;
mod storage;
mod task;

pub use cluster::{ClusterStatus, ClusterStatusNode, Node, Pool, Resource, ResourceKind, Version};
pub use guest::{GuestConfig, GuestStatus, LxcInterface, PendingSetting};
pub(crate) use moves::Feature;
pub use moves::{LocalDisk, MigrateCheck, Snapshot};
pub use node::{Iface, NodeStatus};
pub use rrd::{RrdPoint, Timeframe};
pub use storage::{AplTemplate, Storage, StorageDefinition, UrlMetadata, Volume};
pub use task::{ExitStatus, TaskEntry, TaskFilter, TaskLog, TaskSource, TaskStatus};
pub(crate) use task::{LogRow, TaskRow};
