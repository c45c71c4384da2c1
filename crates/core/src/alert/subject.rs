//! What an alert is about. Guests are known by cluster and number, never by node: they move.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, GuestKind, NodeName, Upid, Vmid};
use crate::policy::Facts;
use crate::world::{Guest, Node, Storage};

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// A whole cluster.
    Cluster,
    /// A node.
    Node,
    /// A container or virtual machine.
    Guest,
    /// A storage.
    Storage,
    /// A task, such as a backup job.
    Task,
    /// A physical disk, or a pool of disks, of a node.
    Disk,
    /// gantry itself.
    Gantry,
    /// What somebody else watches.
    Outside,
}

impl SubjectKind {
    /// The word in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Guest => "guest",
            Self::Storage => "storage",
            Self::Task => "task",
            Self::Disk => "disk",
            Self::Gantry => "gantry",
            Self::Outside => "outside",
        }
    }
}

/// What an alert is about, with what selectors look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its cluster.
    pub cluster: ClusterId,
    /// What it is.
    pub kind: SubjectKind,
    /// What it is called inside its cluster and kind: `201`, `pve1`, `local@pve1`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where it is, or was when it was seen last.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// A guest's number.
    #[serde(default)]
    pub vmid: Option<Vmid>,
    /// Container or virtual machine.
    #[serde(default)]
    pub guest: Option<GuestKind>,
    /// A guest's tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// A guest's pool.
    #[serde(default)]
    pub pool: Option<String>,
}

impl Subject {
    fn new(cluster: &ClusterId, kind: SubjectKind, id: &str, name: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            kind,
            id: id.to_owned(),
            name: name.to_owned(),
            node: None,
            vmid: None,
            guest: None,
            tags: Vec::new(),
            pool: None,
        }
    }

    /// A cluster.
    pub fn cluster(cluster: &ClusterId) -> Self {
        Self::new(cluster, SubjectKind::Cluster, "", cluster.as_str())
    }

    /// A node.
    pub fn node(cluster: &ClusterId, node: &Node) -> Self {
        let name = node.name.as_str();
        Self { node: Some(node.name.clone()), ..Self::new(cluster, SubjectKind::Node, name, name) }
    }

    /// A guest.
    pub fn guest(guest: &Guest) -> Self {
        Self {
            node: Some(guest.node.clone()),
            vmid: Some(guest.vmid),
            guest: Some(guest.kind),
            tags: guest.tags.clone(),
            pool: guest.pool.clone(),
            ..Self::new(&guest.cluster, SubjectKind::Guest, &guest.vmid.to_string(), &guest.name)
        }
    }

    /// A storage; one that all nodes share is one subject.
    pub fn storage(cluster: &ClusterId, storage: &Storage) -> Self {
        let id = storage.id.as_str();
        if storage.shared {
            return Self::new(cluster, SubjectKind::Storage, id, id);
        }
        let name = format!("{id} on {}", storage.node);
        Self {
            node: Some(storage.node.clone()),
            ..Self::new(cluster, SubjectKind::Storage, &format!("{id}@{}", storage.node), &name)
        }
    }

    /// A disk or a pool of a node.
    pub fn disk(cluster: &ClusterId, name: &str, node: &NodeName) -> Self {
        let (id, shown) = (format!("{name}@{node}"), format!("{name} on {node}"));
        Self { node: Some(node.clone()), ..Self::new(cluster, SubjectKind::Disk, &id, &shown) }
    }

    /// A part of gantry itself. Its cluster is a word that stands for gantry.
    pub fn gantry(own: &ClusterId, part: &str) -> Self {
        Self::new(own, SubjectKind::Gantry, part, part)
    }

    /// A task, or what a kind of task on a node is called together.
    pub fn task(cluster: &ClusterId, id: &str, name: &str, node: &NodeName) -> Self {
        Self { node: Some(node.clone()), ..Self::new(cluster, SubjectKind::Task, id, name) }
    }

    /// What somebody else watches, with the node and the guest it is about where the cluster has them.
    pub fn outside(
        cluster: &ClusterId,
        id: &str,
        name: &str,
        node: Option<NodeName>,
        guest: Option<&Guest>,
    ) -> Self {
        Self {
            node: node.or_else(|| guest.map(|g| g.node.clone())),
            vmid: guest.map(|g| g.vmid),
            tags: guest.map(|g| g.tags.clone()).unwrap_or_default(),
            pool: guest.and_then(|g| g.pool.clone()),
            ..Self::new(cluster, SubjectKind::Outside, id, name)
        }
    }

    /// What it is known by: `lab/guest/201`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.cluster, self.kind.as_str(), self.id)
    }

    /// What it is, for people: `web-0 (CT 201)`.
    pub fn label(&self) -> String {
        match (self.guest, self.vmid) {
            (Some(kind), Some(vmid)) => format!("{} ({} {vmid})", self.name, kind.short()),
            _ => self.name.clone(),
        }
    }

    /// The guest it is about: itself, the one a sender names, or the one a task works on.
    pub fn about(&self) -> Option<Vmid> {
        let of_task = || {
            let upid = || self.id.parse::<Upid>().ok()?.id().parse().ok();
            self.id.strip_prefix("vzdump/").and_then(|id| id.parse().ok()).or_else(upid)
        };
        self.vmid.or_else(|| (self.kind == SubjectKind::Task).then(of_task).flatten())
    }

    /// What policy looks at. Only a guest's own name is a name to go by: senders call things what they like.
    pub(crate) fn rights(&self) -> Facts<'_> {
        let own = self.kind == SubjectKind::Guest;
        let vmid = self.about().map(Vmid::get);
        Facts { name: own.then_some(self.name.as_str()), vmid, ..self.facts() }
    }

    /// What selectors look at.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            cluster: &self.cluster,
            node: self.node.as_ref().map(NodeName::as_str),
            name: Some(&self.name),
            tags: &self.tags,
            pool: self.pool.as_deref(),
            vmid: self.vmid.map(Vmid::get),
            kind: self.guest.map(GuestKind::as_str),
        }
    }
}
