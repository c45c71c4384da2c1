//! Moving a guest to another node: what is asked, what Proxmox and the cluster say about it, what it comes to.
//!
//! A running container is never moved live: it is shut down, moved, and started there. A running virtual machine is moved
//! live, with its local disks where it has any. Everything that would make Proxmox's task fail half way and that can be
//! known before is a refusal here, with the reason.

mod plan;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::action::GuestRef;
use crate::id::{GuestKind, NodeName, Vmid};
use crate::operation::Expect;
use crate::plan::LiveGuest;

pub use plan::plan_migration;

/// A move of a guest, with its target resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Which guest.
    pub guest: GuestRef,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// The node it goes to.
    pub to: NodeName,
    /// Whether it may be shut down and started for it, where it cannot be moved while it runs.
    pub restart: bool,
}

/// How a guest is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is off and stays off.
    Offline,
    /// It goes on running.
    Online,
    /// It is shut down, moved and started there.
    Restart,
}

/// The one step of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateStep {
    /// The node it goes to.
    pub to: NodeName,
    /// How.
    pub how: How,
    /// Whether disks that only its node sees are copied along while it runs.
    pub local_disks: bool,
    /// Whether the manager of high availability carries it out: the task that asks for it ends long before the move does.
    pub ha: bool,
}

impl MigrateStep {
    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self.how {
            How::Offline | How::Online => "Moving to another node",
            How::Restart => "Shutting down, moving and starting",
        }
    }

    /// The worker types Proxmox may give its task; `hamigrate` only asks the manager of high availability.
    pub fn task_types(&self) -> &'static [&'static str] {
        &["vzmigrate", "qmigrate", "hamigrate"]
    }

    /// Where it is now is compared besides.
    pub fn expects(&self) -> Expect {
        Expect::Exists
    }
}

/// The node a guest shall go to, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetNode {
    /// Whether the cluster says it is online.
    pub online: bool,
    /// Memory not in use, bytes.
    pub memory_free: u64,
    /// Storages that can be used there now.
    pub storages: Vec<String>,
}

/// One thing in a guest's configuration that holds data or lets it reach some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its key: `rootfs`, `mp0`, `scsi0`.
    pub key: String,
    /// Its volume id, or the path on the node that is passed on.
    pub what: String,
    /// Its storage; `None` for a path on the node.
    pub storage: Option<String>,
    /// The kind of its storage, where known: `lvmthin`, `zfspool`.
    pub plugin: Option<String>,
    /// Whether all nodes see the same content.
    pub shared: bool,
    /// Whether it is a disc in a drive.
    pub disc: bool,
}

impl Volume {
    /// Reads a disk's line of a configuration: `local-lvm:vm-201-disk-0,size=8G`. `None` for an empty drive.
    pub fn read(key: &str, text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let what = parts.next().unwrap_or_default().to_owned();
        let rest: Vec<&str> = parts.collect();
        if what.is_empty() || what == "none" {
            return None;
        }
        let path = what.starts_with('/');
        let storage = what.split_once(':').filter(|_| !path).map(|(s, _)| s.to_owned());
        // A path that is the same everywhere is said to be by hand.
        let shared = rest.contains(&"shared=1");
        let disc = rest.contains(&"media=cdrom") && !what.contains("cloudinit");
        Some(Self { key: key.to_owned(), what, storage, plugin: None, shared, disc })
    }

    /// The guest a volume belongs to, by its name: `vm-201-disk-0`, `subvol-201-disk-0`, `base-9000-disk-0`.
    pub fn owner(&self) -> Option<Vmid> {
        let name = self.what.split_once(':')?.1.rsplit('/').next()?;
        let mut parts = name.split('-');
        let known = matches!(parts.next()?, "vm" | "subvol" | "base" | "basevol");
        parts.next().filter(|_| known)?.parse().ok()
    }

    /// Whether only its node sees it.
    pub fn is_local(&self) -> bool {
        !self.shared && !self.disc
    }
}

/// What Proxmox itself says about a move, where it has that call (QEMU always, containers from 9 on).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// Nodes it may go to; `None` where it does not say.
    pub allowed: Option<Vec<String>>,
    /// Why the node asked about is not among them, in Proxmox's terms.
    pub why_not: Vec<String>,
    /// What of the guest's hardware ties it to its node: `hostpci0`, `usb1`.
    pub local_resources: Vec<String>,
    /// Disks that only its node sees, with their size in bytes where known.
    pub local_disks: Vec<(String, Option<u64>)>,
    /// Discs in its drives that only its node sees.
    pub local_discs: Vec<String>,
    /// Other guests that high availability moves along.
    pub along: Vec<String>,
}

/// What a move rests on, read just now.
#[derive(Debug, Clone, PartialEq)]
pub struct MoveFacts {
    /// The guest.
    pub live: LiveGuest,
    /// What it holds.
    pub volumes: Vec<Volume>,
    /// Number of its snapshots.
    pub snapshots: usize,
    /// The node it shall go to; `None`: the cluster has no such node.
    pub target: Option<TargetNode>,
    /// The nodes there are, by name, for a sentence about one that is not there.
    pub nodes: Vec<String>,
    /// What Proxmox says; `None` where this version cannot be asked.
    pub says: Option<Precondition>,
}
