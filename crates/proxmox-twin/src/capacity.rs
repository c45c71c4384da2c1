//! Room on storages: what is used, what exists, what can have snapshots.
//!
//! Volumes of guests follow from their configuration; only templates, images and backups are kept as volumes.

use crate::guest::Guest;
use crate::noise::wave;
use crate::state::{State, Storage};

impl State {
    /// Used and total bytes of a storage as seen from a node.
    pub(crate) fn storage_use(&self, node: &str, storage: &Storage) -> (u64, u64) {
        let guests = self
            .guests
            .values()
            .filter(|g| storage.spec.shared || g.node == node)
            .flat_map(Guest::volumes)
            .filter(|(volid, _)| {
                volid.split(':').next().is_some_and(|name| name == storage.spec.name)
            })
            // Thin volumes hold what was written, not what was promised.
            .map(|(_, bytes)| bytes / 3)
            .sum::<u64>();
        self.storage_use_with(node, storage, guests)
    }

    /// The same with the guests' share already summed up.
    pub(crate) fn storage_use_with(
        &self,
        node: &str,
        storage: &Storage,
        guests: u64,
    ) -> (u64, u64) {
        let total = storage.spec.total_gib << 30;
        if let Some(percent) = self.troubles.fill(node, &storage.spec.name, storage.spec.shared) {
            return ((total as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64, total);
        }
        let owner = storage.owner(node);
        let own = storage
            .volumes
            .range((owner.clone(), String::new())..)
            .take_while(|((o, _), _)| *o == owner)
            .map(|(_, v)| v.bytes)
            .sum::<u64>();
        let drift = 1.0 + 0.01 * wave(self.settings.seed ^ total, self.now());
        let base = (total as f64 * storage.spec.used * drift) as u64;
        ((base + own + guests).min(total), total)
    }

    pub(crate) fn storage_percent(&self, node: &str, storage: &str) -> f64 {
        self.storage(storage).map_or(0.0, |s| {
            let (used, total) = self.storage_use(node, s);
            100.0 * used as f64 / total.max(1) as f64
        })
    }

    pub(crate) fn volume_exists(&self, node: &str, volid: &str) -> bool {
        let Some((storage, name)) = volid.split_once(':') else { return false };
        self.storage(storage)
            .is_some_and(|s| s.volumes.contains_key(&(s.owner(node), name.to_owned())))
    }

    pub(crate) fn drop_volume(&mut self, node: &str, volid: &str) -> Result<(), String> {
        let (name, rest) = volid.split_once(':').unwrap_or_default();
        let gone = self
            .storages
            .iter_mut()
            .find(|s| s.spec.name == name)
            .and_then(|s| s.volumes.remove(&(s.owner(node), rest.to_owned())));
        gone.map(|_| ()).ok_or_else(|| format!("volume '{volid}' does not exist"))
    }

    /// Snapshots need a storage that has them.
    pub(crate) fn can_snapshot(&self, vmid: u32) -> bool {
        self.guests.get(&vmid).is_some_and(|guest| {
            guest.volumes().iter().all(|(volid, _)| {
                let storage = volid.split(':').next().unwrap_or_default();
                self.storage(storage).is_some_and(|s| {
                    matches!(s.spec.plugin.as_str(), "lvmthin" | "zfspool" | "rbd")
                })
            })
        })
    }
}
