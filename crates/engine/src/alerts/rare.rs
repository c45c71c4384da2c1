//! What is read rarely, because it is slow and changes slowly: backups, and what ages. Each is read beside the looks, so
//! that a storage or a disk that hangs keeps nobody from hearing of anything else.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::alert::Wear;
use gantry_core::id::Vmid;
use gantry_core::world::{ClusterView, NodeState};
use gantry_proxmox::{Client, Freshness};

use super::wear;

/// Pause between the beginnings of two readings: a call a storage, and slow calls to every node.
pub(super) const RARE_EVERY_MS: i64 = 30 * 60_000;
/// Longest for the backups of all storages. Proxmox itself gives a storage that hangs up after half a minute.
const BACKUPS_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Longest for what ages; nodes are read side by side.
const WEAR_WITHIN: Duration = Duration::from_secs(2 * 60);
/// Most storages whose backups are read. With more of them nobody could say which backup is a guest's newest.
const STORAGES_MAX: usize = 128;

/// One thing that is read rarely.
pub(super) struct Rarely<T> {
    /// When it was begun last, milliseconds.
    begun_ms: i64,
    /// Whether it is being read.
    reading: bool,
    /// What was read and no look has taken in yet.
    found: Option<T>,
}

impl<T> Default for Rarely<T> {
    fn default() -> Self {
        Self { begun_ms: 0, reading: false, found: None }
    }
}

impl<T> Rarely<T> {
    /// Whether it has to be read now; it is being read then.
    pub(super) fn begin(&mut self, now_ms: i64) -> bool {
        let due = !self.reading && now_ms - self.begun_ms >= RARE_EVERY_MS;
        if due {
            (self.begun_ms, self.reading) = (now_ms, true);
        }
        due
    }

    /// It was read; `None`: it could not be.
    pub(super) fn done(&mut self, found: Option<T>) {
        self.reading = false;
        self.found = found.or(self.found.take());
    }

    /// What no look has taken in yet.
    pub(super) fn take(&mut self) -> Option<T> {
        self.found.take()
    }
}

/// The backups of a cluster, within its time.
pub(super) async fn backups_in_time(
    client: &Client,
    view: &ClusterView,
) -> Option<BTreeMap<Vmid, i64>> {
    tokio::time::timeout(BACKUPS_WITHIN, backups(client, view)).await.ok().flatten()
}

/// What ages in a cluster, within its time.
pub(super) async fn wear_in_time(client: &Client, view: &ClusterView, now_ms: i64) -> Option<Wear> {
    tokio::time::timeout(WEAR_WITHIN, wear::read(client, view, now_ms)).await.ok()
}

/// The newest backup of each guest; `None` when a storage could not be read, since a guest's newest may be there.
pub(super) async fn backups(client: &Client, view: &ClusterView) -> Option<BTreeMap<Vmid, i64>> {
    let mut newest: BTreeMap<Vmid, i64> = BTreeMap::new();
    let mut shared = Vec::new();
    let holds = view.storages.iter().filter(|s| s.content.iter().any(|c| c == "backup"));
    let mut read_of = 0_usize;
    for storage in holds {
        if storage.shared && shared.contains(&&storage.id) {
            continue;
        }
        read_of += 1;
        if read_of > STORAGES_MAX {
            tracing::warn!(cluster = %view.cluster, most = STORAGES_MAX, "too many storages hold backups; their age is not watched");
            return None;
        }
        if !storage.active || view.node(&storage.node).is_none_or(|n| n.state != NodeState::Up) {
            return None;
        }
        if storage.shared {
            shared.push(&storage.id);
        }
        let read =
            client.storage_content(&storage.node, &storage.id, Some("backup"), Freshness::Shared);
        let volumes = match read.await {
            Ok(volumes) => volumes,
            Err(error) => {
                tracing::debug!(storage = %storage.id, %error, "could not read backups");
                return None;
            }
        };
        for volume in volumes.iter() {
            let (Some(vmid), Some(at_s)) = (volume.vmid, volume.ctime) else { continue };
            let at_ms = i64::try_from(at_s).unwrap_or(0).saturating_mul(1000);
            let known = newest.entry(vmid).or_insert(at_ms);
            *known = at_ms.max(*known);
        }
    }
    Some(newest)
}
