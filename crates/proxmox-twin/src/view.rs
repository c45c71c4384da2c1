//! What tests and the control API see: plain records with the field names of the control contract.

use serde::Serialize;
use serde_json::{Value, json};

use crate::guest::Guest;
use crate::sdn::{Part, pending};
use crate::state::State;
use crate::volume::{content_of, disk_owner};

/// Something that was really carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Counts from 1.
    pub n: u64,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// `destroy`, `create`, `start`, `stop`, `shutdown`, `reboot`, `suspend`, `resume`, `config`, …
    pub what: String,
    /// The guest, where there is one.
    pub vmid: Option<u32>,
    /// Where.
    pub node: String,
    /// Who: the token's full name, or `control` for changes made behind the API's back.
    pub user: String,
    /// A few more words.
    pub detail: String,
}

/// A request that was served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// HTTP method.
    pub method: String,
    /// Path below `/api2/json`.
    pub path: String,
    /// Parameters; passwords masked.
    pub params: Value,
    /// Status answered; 0 when no answer was given.
    pub status: u16,
    /// The node whose port was used.
    pub node: String,
    /// Number of the connection.
    pub conn: u64,
}

/// A guest as tests look at it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuestView {
    /// Its id.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// `lxc` or `qemu`.
    pub r#type: String,
    /// Where it is.
    pub node: String,
    /// `running` or `stopped`.
    pub status: String,
    /// Its lock.
    pub lock: Option<String>,
    /// `a;b`
    pub tags: String,
    /// Its pool.
    pub pool: Option<String>,
    /// Is it a template?
    pub template: bool,
    /// Its raw configuration.
    pub config: std::collections::BTreeMap<String, String>,
    /// Names of its snapshots.
    pub snapshots: Vec<String>,
    /// What it was made from: a template's volume id, or the reference of its OCI image.
    pub image: Option<String>,
    /// Running, and not made from an image that never answers its health check.
    pub healthy: bool,
}

impl GuestView {
    pub(crate) fn of(guest: &Guest) -> Self {
        Self {
            vmid: guest.vmid,
            name: guest.name(),
            r#type: guest.kind.path().to_owned(),
            node: guest.node.clone(),
            status: guest.status().to_owned(),
            lock: guest.lock().map(str::to_owned),
            tags: guest.config.get("tags").cloned().unwrap_or_default(),
            pool: guest.pool.clone(),
            template: guest.is_template(),
            config: guest.config.clone(),
            snapshots: guest.snapshots.iter().map(|s| s.name.clone()).collect(),
            image: guest.image.clone(),
            healthy: guest.running.is_some() && !guest.unhealthy,
        }
    }
}

/// A volume as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeView {
    /// `storage:name`
    pub volid: String,
    /// The guest its name says it belongs to.
    pub vmid: Option<u32>,
    /// Its size.
    pub bytes: u64,
    /// Stands for what is in it: kept by moves and renames, new for every new volume.
    pub data: u64,
    /// Where an image came from: an OCI reference or a URL.
    pub reference: Option<String>,
    /// Digest of an image.
    pub digest: Option<String>,
}

/// An interface of a node as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceView {
    /// Whose.
    pub node: String,
    /// Its name.
    pub iface: String,
    /// Is it there now?
    pub live: bool,
    /// `new`, `changed` or `deleted` while it waits for a reload.
    pub staged: Option<&'static str>,
    /// Its options by their API names; the staged ones when there are some.
    pub options: std::collections::BTreeMap<String, String>,
}

/// A task as tests look at it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskView {
    /// Its UPID.
    pub upid: String,
    /// Where it runs.
    pub node: String,
    /// `vzstart`, …
    pub r#type: String,
    /// Usually a VMID.
    pub id: String,
    /// Who started it.
    pub user: String,
    /// `running` or `stopped`.
    pub status: String,
    /// How it ended.
    pub exitstatus: Option<String>,
    /// Seconds since the epoch.
    pub starttime: u64,
    /// Seconds since the epoch.
    pub endtime: Option<u64>,
}

impl State {
    /// What lies on a storage, as a node sees it.
    pub(crate) fn volume_views(&self, node: &str, storage: &str) -> Vec<VolumeView> {
        let Some(found) = self.storage(storage).filter(|s| s.on(node)) else { return Vec::new() };
        let owner = found.owner(node);
        found
            .volumes
            .iter()
            .filter(|((o, _), _)| *o == owner)
            .map(|((_, name), volume)| VolumeView {
                volid: format!("{storage}:{name}"),
                vmid: disk_owner(name),
                bytes: volume.bytes,
                data: volume.data,
                reference: volume.reference.clone(),
                digest: volume.digest.clone(),
            })
            .collect()
    }

    /// Every interface of every node, live or staged.
    pub(crate) fn network_views(&self) -> Vec<InterfaceView> {
        let mut rows = Vec::new();
        for node in &self.nodes {
            let Some(network) = self.networks.get(&node.name) else { continue };
            let mut names: Vec<&String> =
                network.live.keys().chain(network.shown().keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let own = network.shown().get(name).or_else(|| network.live.get(name));
                rows.push(InterfaceView {
                    node: node.name.clone(),
                    iface: name.clone(),
                    live: network.live.contains_key(name),
                    staged: network.state_of(name).name(),
                    options: own.cloned().unwrap_or_default(),
                });
            }
        }
        rows
    }

    /// Vnets, applied or waiting.
    fn vnet_rows(&self) -> Vec<Value> {
        pending(Part::Vnet, &self.sdn.running.vnets, &self.sdn.config.vnets)
            .into_iter()
            .map(|row| {
                let part = |key: &str| {
                    row.get(key).or_else(|| row.get("pending").and_then(|p| p.get(key))).cloned()
                };
                json!({"vnet": part("vnet"), "zone": part("zone"), "alias": part("alias"), "state": row.get("state")})
            })
            .collect()
    }

    /// Templates, OCI images, ISO files and disk images on all storages.
    fn image_rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        for storage in &self.storages {
            for ((node, name), volume) in &storage.volumes {
                if matches!(content_of(name), "vztmpl" | "iso" | "import") {
                    rows.push(json!({
                        "volid": format!("{}:{name}", storage.spec.name),
                        "node": Some(node).filter(|n| !n.is_empty()),
                        "bytes": volume.bytes,
                        "reference": volume.reference,
                        "digest": volume.digest,
                        "unhealthy": volume.unhealthy,
                    }));
                }
            }
        }
        rows
    }

    /// Newest first.
    pub(crate) fn task_views(&self) -> Vec<TaskView> {
        self.tasks
            .values()
            .rev()
            .map(|task| TaskView {
                upid: task.upid.clone(),
                node: task.node.clone(),
                r#type: task.kind.clone(),
                id: task.id.clone(),
                user: task.user.clone(),
                status: if task.is_running() { "running" } else { "stopped" }.to_owned(),
                exitstatus: task.end.as_ref().map(|(_, exit)| exit.clone()),
                starttime: task.start as u64,
                endtime: task.end.as_ref().map(|(end, _)| *end as u64),
            })
            .collect()
    }

    /// The document of `GET /control/state`.
    pub(crate) fn control_state(&self) -> Value {
        let now = self.now();
        let loads = self.node_load(now);
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .map(|node| {
                let online = self.online(&node.name);
                let (cpu, mem) = loads.get(node.name.as_str()).copied().unwrap_or_default();
                let mut trouble = Vec::new();
                if !online {
                    trouble.push("node_down");
                }
                if self.troubles.silent(&node.name) {
                    trouble.push("node_silent");
                }
                let (disk, maxdisk) = self.root_disk(&node.name);
                json!({
                    "name": node.name,
                    "status": if online { "online" } else { "offline" },
                    "trouble": trouble,
                    "cpu": if online { cpu } else { 0.0 },
                    "maxcpu": node.cores,
                    "mem": if online { mem } else { 0 },
                    "maxmem": node.memory,
                    "disk": disk,
                    "maxdisk": maxdisk,
                    "uptime": if online { (now - node.booted) as u64 } else { 0 },
                })
            })
            .collect();
        let guests: Vec<Value> = self
            .guests
            .values()
            .map(|guest| {
                let known = self.online(&guest.node);
                let cores = guest.cores(self.node(&guest.node).map_or(1, |n| n.cores));
                let figures = guest.figures(now).filter(|_| known);
                json!({
                    "vmid": guest.vmid,
                    "name": guest.name(),
                    "type": guest.kind.path(),
                    "node": guest.node,
                    "status": if known { guest.status() } else { "unknown" },
                    "lock": guest.lock(),
                    "tags": guest.config.get("tags").cloned().unwrap_or_default(),
                    "pool": guest.pool,
                    "cpu": figures.as_ref().map_or(0.0, |f| f.cpu),
                    "maxcpu": cores,
                    "mem": figures.as_ref().map_or(0, |f| f.mem),
                    "maxmem": guest.max_mem(),
                    "disk": figures.as_ref().map_or(0, |f| f.disk),
                    "maxdisk": guest.max_disk(),
                    "uptime": figures.as_ref().map_or(0, |f| f.uptime),
                    "template": guest.is_template(),
                    "image": guest.image,
                    "healthy": guest.running.is_some() && !guest.unhealthy,
                })
            })
            .collect();
        let mut storages = Vec::new();
        for node in &self.nodes {
            for storage in self.storages.iter().filter(|s| s.on(&node.name)) {
                let (used, total) = self.storage_use(&node.name, storage);
                storages.push(json!({
                    "node": node.name,
                    "storage": storage.spec.name,
                    "type": storage.spec.plugin,
                    "content": storage.spec.content,
                    "shared": storage.spec.shared,
                    "used": used,
                    "total": total,
                    "active": self.online(&node.name),
                }));
            }
        }
        let mut tasks = self.task_views();
        tasks.truncate(50);
        json!({
            "cluster": {
                "name": self.settings.cluster,
                "quorate": !self.troubles.no_quorum(),
                "version": crate::api::VERSION,
            },
            "nodes": nodes,
            "guests": guests,
            "storages": storages,
            "tasks": tasks,
            "networks": self.network_views(),
            "vnets": self.vnet_rows(),
            "images": self.image_rows(),
            "trouble": self.troubles.active,
        })
    }

    /// Used and total bytes of a node's root disk.
    pub(crate) fn root_disk(&self, node: &str) -> (u64, u64) {
        match self.storage("local") {
            Some(storage) => self.storage_use(node, storage),
            None => (12 << 30, 94 << 30),
        }
    }
}
