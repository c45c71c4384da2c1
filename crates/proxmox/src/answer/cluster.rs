//! Answers about the whole cluster: version, status, nodes, resources, pools.

use gantry_core::id::{GuestKind, NodeName, StorageId, Vmid};
use serde::Deserialize;

use crate::lenient;

/// `GET /version`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Version {
    /// For example `9.1.3`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version: Option<String>,
    /// For example `9.1`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub release: Option<String>,
    /// Commit of the build.
    #[serde(default, deserialize_with = "lenient::text")]
    pub repoid: Option<String>,
}

impl Version {
    /// The number before the first point.
    pub fn major(&self) -> Option<u32> {
        let text = self.version.as_deref().or(self.release.as_deref())?;
        text.split(['.', '-']).next()?.parse().ok()
    }
}

/// `GET /cluster/status`, sorted into the cluster itself and its nodes.
#[derive(Debug, Clone, Default)]
pub struct ClusterStatus {
    /// The cluster's name; `None` for a single node.
    pub name: Option<String>,
    /// Whether it may change anything; a single node always may.
    pub quorate: bool,
    /// Its nodes.
    pub nodes: Vec<ClusterStatusNode>,
}

/// One node of `GET /cluster/status`.
#[derive(Debug, Clone)]
pub struct ClusterStatusNode {
    /// Its name.
    pub node: NodeName,
    /// Whether corosync sees it.
    pub online: bool,
    /// Whether it is the one that answered.
    pub local: bool,
    /// Its cluster address.
    pub ip: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct StatusRow {
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    ip: Option<String>,
    #[serde(default, deserialize_with = "lenient::flag")]
    online: bool,
    #[serde(default, deserialize_with = "lenient::flag")]
    local: bool,
    #[serde(default, deserialize_with = "lenient::bool")]
    quorate: Option<bool>,
}

impl<'de> Deserialize<'de> for ClusterStatus {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let rows: Vec<StatusRow> = lenient::list(d)?;
        let mut all = Self { name: None, quorate: true, nodes: Vec::new() };
        for row in rows {
            match row.kind.as_deref() {
                Some("cluster") => {
                    all.quorate = row.quorate.unwrap_or(true);
                    all.name = row.name;
                }
                Some("node") => {
                    if let Some(node) = row.name.and_then(|n| n.parse().ok()) {
                        let (online, local) = (row.online, row.local);
                        all.nodes.push(ClusterStatusNode { node, online, local, ip: row.ip });
                    }
                }
                _ => {}
            }
        }
        Ok(all)
    }
}

/// One row of `GET /nodes`. Without pvestatd a node is `unknown` and has no figures.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    /// Its name; rows with a name outside the grammar have none.
    #[serde(default, deserialize_with = "lenient::parsed")]
    pub node: Option<NodeName>,
    /// `online`, `offline` or `unknown`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
    /// Load of all cores together, 0 to 1.
    #[serde(default, deserialize_with = "lenient::f64")]
    pub cpu: Option<f64>,
    /// Cores.
    #[serde(default, deserialize_with = "lenient::f64")]
    pub maxcpu: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub mem: Option<u64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub maxmem: Option<u64>,
    /// Root file system in use, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub disk: Option<u64>,
    /// Root file system, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub maxdisk: Option<u64>,
    /// Seconds since boot.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub uptime: Option<u64>,
    /// SHA-256 of the node's certificate, for pinning.
    #[serde(default, deserialize_with = "lenient::text")]
    pub ssl_fingerprint: Option<String>,
}

impl Node {
    /// Whether Proxmox calls it online.
    pub fn is_online(&self) -> bool {
        self.status.as_deref() == Some("online")
    }
}

/// What a row of `GET /cluster/resources` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResourceKind {
    /// A node.
    Node,
    /// A container or virtual machine.
    Guest(GuestKind),
    /// A storage on one node.
    Storage,
    /// A pool.
    Pool,
    /// SDN objects and what later versions add.
    #[default]
    Other,
}

impl std::str::FromStr for ResourceKind {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "node" => Self::Node,
            "lxc" => Self::Guest(GuestKind::Lxc),
            "qemu" => Self::Guest(GuestKind::Qemu),
            "storage" => Self::Storage,
            "pool" => Self::Pool,
            _ => Self::Other,
        })
    }
}

/// One row of `GET /cluster/resources`; which fields are there depends on the kind.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Resource {
    /// What it is.
    #[serde(default, rename = "type", deserialize_with = "kind")]
    pub kind: ResourceKind,
    /// Where it is.
    #[serde(default, deserialize_with = "lenient::parsed")]
    pub node: Option<NodeName>,
    /// The guest's number.
    #[serde(default, deserialize_with = "lenient::vmid")]
    pub vmid: Option<Vmid>,
    /// The guest's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// `running`, `stopped`, `paused`, `online`, `available`, `unknown`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
    /// `backup`, `create`, … while something works on it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub lock: Option<String>,
    /// Tags, separated by `;`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub tags: Option<String>,
    /// The pool it belongs to.
    #[serde(default, deserialize_with = "lenient::text")]
    pub pool: Option<String>,
    /// State for the HA manager, when managed.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hastate: Option<String>,
    /// A template cannot run.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
    /// Load, 0 to 1.
    #[serde(default, deserialize_with = "lenient::f64")]
    pub cpu: Option<f64>,
    /// Cores.
    #[serde(default, deserialize_with = "lenient::f64")]
    pub maxcpu: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub mem: Option<u64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub maxmem: Option<u64>,
    /// Disk in use, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub disk: Option<u64>,
    /// Disk, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub maxdisk: Option<u64>,
    /// Received since start, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub netin: Option<u64>,
    /// Sent since start, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub netout: Option<u64>,
    /// Seconds since start.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub uptime: Option<u64>,
    /// The storage's id.
    #[serde(default, deserialize_with = "lenient::parsed")]
    pub storage: Option<StorageId>,
    /// What the storage holds: `iso,vztmpl,…`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub content: Option<String>,
    /// The storage's type: `dir`, `zfspool`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub plugintype: Option<String>,
    /// Whether all nodes see the same content.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub shared: bool,
}

impl Resource {
    /// The guest's kind, when it is one.
    pub fn guest_kind(&self) -> Option<GuestKind> {
        match self.kind {
            ResourceKind::Guest(kind) => Some(kind),
            _ => None,
        }
    }

    /// The tags, one by one.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.tags.as_deref().unwrap_or_default();
        tags.split([';', ',', ' ']).filter(|t| !t.is_empty())
    }
}

fn kind<'de, D: serde::Deserializer<'de>>(d: D) -> Result<ResourceKind, D::Error> {
    Ok(lenient::parsed(d)?.unwrap_or_default())
}

/// One row of `GET /pools`.
#[derive(Debug, Clone, Deserialize)]
pub struct Pool {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub poolid: Option<String>,
    /// Its comment.
    #[serde(default, deserialize_with = "lenient::text")]
    pub comment: Option<String>,
}
