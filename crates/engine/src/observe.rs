//! Live reads: what is true right now, past every cache. Used when planning, right before and right after a step.

use gantry_core::action::GuestRef;
use gantry_core::id::{ClusterId, GuestKind, NodeName, StorageId, Upid, Vmid};
use gantry_core::plan::LiveGuest;
use gantry_core::pod::{LivePlace, PodSpec};
use gantry_core::world::{Guest, GuestStatus, NodeState};
use gantry_proxmox::{Freshness, GuestRef as At, Resource, ResourceKind, TaskFilter, TaskStatus};

use crate::{Engine, Error};

/// Newest tasks of a guest that are looked at when one has to be found again.
const TASKS_LOOKED_AT: u64 = 50;
/// How far above the next free VMID gantry looks for one that no other operation of its own has taken.
const VMID_SEARCH: u32 = 1000;

impl Error {
    /// Whether Proxmox does not know what was asked about.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Proxmox { source, .. } => {
                matches!(**source, gantry_proxmox::Error::NotFound { .. })
            }
            _ => false,
        }
    }

    /// Whether the same read may work a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Proxmox { source, .. } => {
                matches!(source.advice(), gantry_proxmox::Advice::RetryAfter(_))
                    || matches!(**source, gantry_proxmox::Error::Other { status, .. } if status >= 500)
            }
            Self::Store { source, .. } => source.is_passing(),
            Self::Shell { source, .. } => {
                matches!(source.advice(), gantry_proxmox::Advice::RetryAfter(_))
            }
            _ => false,
        }
    }
}

impl Engine {
    /// The nodes of a cluster as they were seen last. Right after a start none was seen yet; then they are read.
    pub(crate) async fn nodes(
        &self,
        cluster: &ClusterId,
    ) -> Result<Vec<(NodeName, NodeState)>, Error> {
        let view = self.view(cluster);
        let seen = view.iter().flat_map(|v| &v.nodes).map(|n| (n.name.clone(), n.state));
        let seen: Vec<_> = seen.collect();
        if !seen.is_empty() {
            return Ok(seen);
        }
        let fail = Error::proxmox("look for the nodes of the cluster", cluster);
        let rows = self.client(cluster)?.resources(Freshness::Fresh).await.map_err(fail)?;
        let state = |row: &Resource| match row.status.as_deref() {
            Some("online") => NodeState::Up,
            _ => NodeState::Down,
        };
        let nodes = rows.iter().filter(|r| r.kind == ResourceKind::Node);
        Ok(nodes.filter_map(|r| Some((r.node.clone()?, state(r)))).collect())
    }

    /// A node of the cluster, one that is up before others, for the audit log: the call goes to whichever answers.
    pub(crate) async fn some_node(&self, cluster: &ClusterId) -> Result<NodeName, Error> {
        let nodes = self.nodes(cluster).await?;
        let up = nodes.iter().find(|(_, state)| *state == NodeState::Up);
        let node = up.or(nodes.first()).map(|(name, _)| name.clone());
        node.ok_or_else(|| Error::Missing { what: format!("a node of {cluster}") })
    }

    /// A guest as it is now; `None` when the cluster does not know a guest of that kind and number.
    pub(crate) async fn look_at_guest(
        &self,
        guest: &GuestRef,
        kind: GuestKind,
    ) -> Result<Option<LiveGuest>, Error> {
        let seen = self
            .view(&guest.cluster)
            .and_then(|v| v.guest(guest.vmid).filter(|g| g.kind == kind).cloned());
        let client = self.client(&guest.cluster)?;
        let what = format!("look for {} {}", kind.short(), guest.vmid);
        let rows = client
            .resources(Freshness::Fresh)
            .await
            .map_err(Error::proxmox(what, &guest.cluster))?;
        let row = rows.iter().find(|r| r.vmid == Some(guest.vmid) && r.guest_kind() == Some(kind));
        if let Some(mut seen) = seen {
            // Its pool stands nowhere else, and policy goes by it.
            if let Some(row) = row {
                seen.pool = row.pool.clone();
            }
            if let Some(live) = self.read_guest(guest, kind, &seen).await? {
                return Ok(Some(live));
            }
        }
        // Not where it was seen last: it moved, is new, or is gone.
        let Some(found) = row.and_then(|row| placed(row, guest, kind)) else { return Ok(None) };
        if let Some(live) = self.read_guest(guest, kind, &found).await? {
            return Ok(Some(live));
        }
        // It moved, or went, between the two reads: nothing is called gone on a list that is older than that.
        let what = format!("look for {} {} again", kind.short(), guest.vmid);
        let rows = client
            .resources(Freshness::Fresh)
            .await
            .map_err(Error::proxmox(what, &guest.cluster))?;
        let row = rows.iter().find(|r| r.vmid == Some(guest.vmid) && r.guest_kind() == Some(kind));
        let Some(moved) = row.and_then(|row| placed(row, guest, kind)) else { return Ok(None) };
        self.read_guest(guest, kind, &moved).await
    }

    /// Reads status and configuration on the node where `seen` is; `None` when it is not there.
    async fn read_guest(
        &self,
        guest: &GuestRef,
        kind: GuestKind,
        seen: &Guest,
    ) -> Result<Option<LiveGuest>, Error> {
        let client = self.client(&guest.cluster)?;
        let what = || format!("read {} {}", kind.short(), guest.vmid);
        let at = At::new(seen.node.clone(), kind, guest.vmid);
        let status = match client.guest_status(&at, Freshness::Fresh).await {
            Ok(status) => status,
            Err(gantry_proxmox::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(Error::proxmox(what(), &guest.cluster)(error)),
        };
        let config = match client.guest_config(&at, Freshness::Fresh).await {
            Ok(config) => config,
            Err(gantry_proxmox::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(Error::proxmox(what(), &guest.cluster)(error)),
        };
        let mut now = seen.clone();
        now.status = GuestStatus::read(
            status.status.as_deref().unwrap_or("unknown"),
            status.qmpstatus.as_deref(),
        );
        now.name = config
            .name
            .clone()
            .or_else(|| status.name.clone())
            .unwrap_or_else(|| format!("{} {}", kind.short(), guest.vmid));
        now.lock = config.lock.clone().or_else(|| status.lock.clone()).filter(|l| !l.is_empty());
        now.tags = config
            .tags
            .as_deref()
            .unwrap_or_default()
            .split([';', ',', ' '])
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
            .collect();
        now.template = config.template;
        now.uptime_s = status.uptime.unwrap_or(0);
        now.cpu = status.cpu.unwrap_or(now.cpu);
        now.cores = status.cpus.unwrap_or(now.cores);
        now.mem = status.mem.unwrap_or(now.mem);
        now.mem_max = status.maxmem.unwrap_or(now.mem_max);
        now.disk = status.disk.unwrap_or(now.disk);
        now.disk_max = status.maxdisk.unwrap_or(now.disk_max);
        now.ha = status.ha_managed.then(|| now.ha.unwrap_or_else(|| "managed".into()));
        Ok(Some(LiveGuest {
            guest: now,
            digest: config.digest.clone().unwrap_or_default(),
            // Emptied drives and ISO images stay; only what is deleted is named.
            disks: config
                .volumes()
                .filter(|(_, v)| !v.contains("media=cdrom") && *v != "none")
                .map(|(key, value)| disk(key, value))
                .collect(),
            protected: config.protection,
            snapshots: None,
            read_ms: self.now_ms(),
        }))
    }

    /// The place on `node` where a pod shall be created, as it is now.
    pub(crate) async fn look_at_place(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        spec: &PodSpec,
    ) -> Result<LivePlace, Error> {
        let client = self.client(cluster)?;
        let fail = || Error::proxmox(format!("look at {node}"), cluster);
        let rows = client.resources(Freshness::Fresh).await.map_err(fail())?;
        let row =
            rows.iter().find(|r| r.kind == ResourceKind::Node && r.node.as_ref() == Some(node));
        let mut place = LivePlace::unread(node.clone());
        place.online = row.is_some_and(|n| n.status.as_deref() == Some("online"));
        place.memory_free =
            row.map_or(0, |n| n.maxmem.unwrap_or(0).saturating_sub(n.mem.unwrap_or(0)));
        place.same_name = rows
            .iter()
            .filter(|r| r.guest_kind().is_some() && r.name.as_deref() == Some(&spec.name))
            .filter_map(|r| r.vmid.map(|v| format!("{cluster}/{v}")))
            .collect();
        place.name_taken = !place.same_name.is_empty();
        place.read_ms = self.now_ms();
        if !place.online {
            return Ok(place);
        }
        let storages = client.storages(node, Freshness::Fresh).await.map_err(fail())?;
        place.storages = storages
            .iter()
            .filter(|s| s.active && s.holds("rootdir"))
            .filter_map(|s| {
                let free = || s.total.unwrap_or(0).saturating_sub(s.used.unwrap_or(0));
                Some((s.storage.clone()?, s.avail.unwrap_or_else(free)))
            })
            .collect();
        let image = &spec.template.image;
        let image_storage = image.split(':').next().and_then(|s| s.parse::<StorageId>().ok());
        if let Some(storage) = image_storage
            && storages.iter().any(|s| s.storage.as_ref() == Some(&storage))
        {
            let there = client
                .storage_content(node, &storage, Some("vztmpl"), Freshness::Fresh)
                .await
                .map_err(fail())?;
            place.images = there.iter().filter_map(|v| v.volid.clone()).collect();
            place.has_image = place.images.contains(image);
        }
        place.bridges = client
            .networks(node, Freshness::Shared)
            .await
            .map_err(fail())?
            .iter()
            .filter(|i| i.is_bridge())
            .filter_map(|i| i.iface.clone())
            .collect();
        if spec.template.sets_process() {
            place.version = self.pve_version(cluster, node).await?;
        }
        place.read_ms = self.now_ms();
        Ok(place)
    }

    /// The version of Proxmox VE on a node, as major and minor number; `None` where it does not say.
    pub(crate) async fn pve_version(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
    ) -> Result<Option<(u32, u32)>, Error> {
        let client = self.client(cluster)?;
        let status = client
            .node_status(node, Freshness::Shared)
            .await
            .map_err(Error::proxmox(format!("read the version of {node}"), cluster))?;
        Ok(status.pveversion.as_deref().and_then(crate::images::version))
    }

    /// Counts the snapshots that go with a guest when it is deleted.
    pub(crate) async fn count_snapshots(&self, live: &mut LiveGuest) -> Result<(), Error> {
        let g = &live.guest;
        let client = self.client(&g.cluster)?;
        let at = At::new(g.node.clone(), g.kind, g.vmid);
        let what = format!("read the snapshots of {} {}", g.kind.short(), g.vmid);
        let rows = client.snapshots(&at).await.map_err(Error::proxmox(what, &g.cluster))?;
        // The list always ends with the present, which is none.
        let taken = rows.iter().filter(|s| s.name.as_deref() != Some("current"));
        live.snapshots = u32::try_from(taken.count()).ok();
        Ok(())
    }

    /// A free VMID that no open operation of gantry's, no ordinal of a set and no forward has taken: a set's pod that is
    /// being replaced is not there for a while, its number is. Nothing is reserved at Proxmox: creating may still find it taken.
    pub(crate) async fn free_vmid(&self, cluster: &ClusterId) -> Result<Vmid, Error> {
        let client = self.client(cluster)?;
        let fail = || Error::proxmox("choose a VMID", cluster);
        let first = client.next_id().await.map_err(fail())?;
        let unread = || Error::store("read which VMIDs are taken");
        let mut taken = self.store().reserved_vmids(cluster).await.map_err(unread())?;
        taken.extend(self.store().set_vmids(cluster).await.map_err(unread())?);
        // A forward whose guest is gone still means that one.
        let forwards = self.store().list_forwards(Some(cluster)).await.map_err(unread())?;
        taken.extend(forwards.iter().map(|k| k.spec.vmid));
        if !taken.contains(&first) {
            return Ok(first);
        }
        let rows = client.resources(Freshness::Fresh).await.map_err(fail())?;
        (first.get()..first.get().saturating_add(VMID_SEARCH))
            .filter_map(|n| Vmid::try_from(n).ok())
            .find(|vmid| !taken.contains(vmid) && !rows.iter().any(|r| r.vmid == Some(*vmid)))
            .ok_or_else(|| Error::Missing { what: "a free VMID".into() })
    }

    /// Tasks of gantry's own token of one of `kinds` on a guest, newest first.
    pub(crate) async fn tasks_like(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        vmid: Vmid,
        kinds: &[&str],
    ) -> Result<Vec<Upid>, Error> {
        let client = self.client(cluster)?;
        let filter =
            TaskFilter { vmid: Some(vmid), limit: Some(TASKS_LOOKED_AT), ..TaskFilter::default() };
        let tasks = client
            .node_tasks(node, &filter)
            .await
            .map_err(Error::proxmox(format!("read the tasks of {node}"), cluster))?;
        let ours = client.token_id();
        Ok(tasks
            .iter()
            .map(|t| &t.upid)
            .filter(|u| u.user() == ours && kinds.contains(&u.kind()) && u.id() == vmid.to_string())
            .cloned()
            .collect())
    }

    pub(crate) async fn task_status(
        &self,
        cluster: &ClusterId,
        upid: &Upid,
    ) -> Result<TaskStatus, Error> {
        self.client(cluster)?
            .task_status(upid)
            .await
            .map_err(Error::proxmox(format!("read the task {}", upid.kind()), cluster))
    }

    /// The last lines of a task's log; empty when they cannot be read, since a card is better without than not at all.
    pub(crate) async fn log_tail(
        &self,
        cluster: &ClusterId,
        upid: &Upid,
        lines: u32,
    ) -> Vec<String> {
        let Ok(client) = self.client(cluster) else { return Vec::new() };
        match client.task_log_tail(upid, u64::from(lines)).await {
            Ok(log) => log.lines,
            Err(error) => vec![format!("(the log could not be read: {error})")],
        }
    }

    /// A guest's notes; `None` when it is not there.
    pub(crate) async fn notes(
        &self,
        guest: &GuestRef,
        kind: GuestKind,
    ) -> Result<Option<String>, Error> {
        let Some(live) = self.look_at_guest(guest, kind).await? else { return Ok(None) };
        let config = self
            .client(&guest.cluster)?
            .guest_config(&At::new(live.guest.node, kind, guest.vmid), Freshness::Fresh)
            .await
            .map_err(Error::proxmox(format!("read {}", guest.vmid), &guest.cluster))?;
        Ok(Some(config.description.clone().unwrap_or_default()))
    }
}

/// A volume as people read it: `rootfs: 8G on local-lvm (vm-201-disk-0)`.
fn disk(key: &str, value: &str) -> String {
    let mut parts = value.split(',');
    let volume = parts.next().unwrap_or_default();
    let size = parts.find_map(|p| p.strip_prefix("size="));
    match (volume.split_once(':'), size) {
        (Some((storage, name)), Some(size)) => format!("{key}: {size} on {storage} ({name})"),
        _ => format!("{key}: {value}"),
    }
}

/// The least that is known of a guest from one row of the summary.
pub(crate) fn placed(row: &Resource, guest: &GuestRef, kind: GuestKind) -> Option<Guest> {
    Some(Guest {
        cluster: guest.cluster.clone(),
        vmid: guest.vmid,
        kind,
        name: row.name.clone().unwrap_or_default(),
        node: row.node.clone()?,
        status: GuestStatus::read(row.status.as_deref().unwrap_or("unknown"), None),
        lock: row.lock.clone(),
        tags: row.tags().map(str::to_owned).collect(),
        pool: row.pool.clone(),
        template: row.template,
        cpu: row.cpu.unwrap_or(0.0),
        cores: row.maxcpu.unwrap_or(0.0),
        mem: row.mem.unwrap_or(0),
        mem_max: row.maxmem.unwrap_or(0),
        disk: row.disk.unwrap_or(0),
        disk_max: row.maxdisk.unwrap_or(0),
        uptime_s: row.uptime.unwrap_or(0),
        ha: row.hastate.clone(),
    })
}
