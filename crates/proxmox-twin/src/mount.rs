//! Disks in a guest's configuration: put in, taken out, moved, given away; what waits for the next start.
//!
//! Invariant: a disk that leaves a key is listed as unused by its guest, never lost; only freeing an unused entry
//! or destroying its owner ends it.

use crate::guest::{Guest, is_disk};
use crate::state::State;
use crate::volume::{Place, disk_owner, disks_of, volid_of, wanted_disk};

/// Highest `unused[n]` (256 in reality).
const UNUSED_KEYS: u32 = 256;

impl State {
    /// Puts a disk under a key of a guest, at once; what was there becomes unused.
    ///
    /// # Errors
    /// As `resolve_disk`.
    pub(crate) fn set_disk(
        &mut self,
        at: f64,
        vmid: u32,
        key: &str,
        text: &str,
    ) -> Result<(), String> {
        let Some(guest) = self.guests.get(&vmid) else { return Ok(()) };
        let place = Place { node: guest.node.clone(), vmid, kind: guest.kind };
        if let Some((storage, _)) = wanted_disk(text) {
            self.room(&place.node, storage, vmid)?;
        }
        let text = self.resolve_disk(at, &place, key, text)?;
        let Some(guest) = self.guests.get_mut(&vmid) else { return Ok(()) };
        // A volume that is put to use again is no longer unused.
        if let Some(volid) = volid_of(&text).map(str::to_owned) {
            guest.config.retain(|k, v| !k.starts_with("unused") || *v != volid || k == key);
        }
        let old = guest.config.insert(key.to_owned(), text.clone());
        if let Some(old) = old.as_deref().and_then(volid_of)
            && volid_of(&text) != Some(old)
        {
            guest.add_unused(old);
        }
        Ok(())
    }

    /// Takes a disk from a guest, at once: a mounted one becomes unused, an unused one is freed.
    pub(crate) fn drop_disk(&mut self, vmid: u32, key: &str) {
        let Some(guest) = self.guests.get_mut(&vmid) else { return };
        let Some(text) = guest.config.remove(key) else { return };
        let Some(volid) = volid_of(&text).map(str::to_owned) else { return };
        if !key.starts_with("unused") {
            guest.add_unused(&volid);
            return;
        }
        let node = guest.node.clone();
        let in_use = guest.in_snapshot(&volid) || guest.volumes().iter().any(|(v, _)| *v == volid);
        if !in_use && disk_owner(&volid) == Some(vmid) {
            self.take_volume(&node, &volid);
        }
    }

    /// Applies what waited for the next start; gives what could not be applied.
    pub(crate) fn apply_pending(&mut self, at: f64, vmid: u32) -> Vec<(String, String)> {
        let Some(guest) = self.guests.get_mut(&vmid) else { return Vec::new() };
        let mut errors = Vec::new();
        for (key, value) in std::mem::take(&mut guest.pending) {
            match (value, is_disk(&key)) {
                (Some(value), true) => {
                    if let Err(error) = self.set_disk(at, vmid, &key, &value) {
                        if let Some(guest) = self.guests.get_mut(&vmid) {
                            guest.pending.insert(key.clone(), Some(value));
                        }
                        errors.push((key, error));
                    }
                }
                (None, true) => self.drop_disk(vmid, &key),
                (Some(value), false) => {
                    if let Some(guest) = self.guests.get_mut(&vmid) {
                        guest.config.insert(key, value);
                    }
                }
                (None, false) => {
                    if let Some(guest) = self.guests.get_mut(&vmid) {
                        guest.config.remove(&key);
                    }
                }
            }
        }
        errors
    }

    /// Copies a disk to another storage, content and all.
    ///
    /// # Errors
    /// The disk is gone, or there is no room.
    pub(crate) fn move_disk(
        &mut self,
        at: f64,
        vmid: u32,
        key: &str,
        storage: &str,
        delete: bool,
    ) -> Result<(), String> {
        let guest = self.need(vmid)?;
        let place = Place { node: guest.node.clone(), vmid, kind: guest.kind };
        let text = guest.config.get(key).cloned().unwrap_or_default();
        let Some(old) = volid_of(&text).map(str::to_owned) else {
            return Err(format!("disk '{key}' does not exist"));
        };
        self.room(&place.node, storage, vmid)?;
        let Some(source) = self.volume(&place.node, &old).cloned() else {
            return Err(format!("volume '{old}' does not exist"));
        };
        let new = self.new_disk(at, &place, storage, source.bytes);
        if let Some(volume) = self.volume_mut(&place.node, &new) {
            volume.data = source.data;
        }
        let guest = self.need(vmid)?;
        guest.config.insert(key.to_owned(), text.replacen(&old, &new, 1));
        if delete && !guest.in_snapshot(&old) {
            self.take_volume(&place.node, &old);
        } else {
            guest.add_unused(&old);
        }
        Ok(())
    }

    /// Gives a disk to another guest of the same node: renamed, taken from one configuration, put into the other.
    ///
    /// # Errors
    /// The disk is gone or the key is taken by now.
    pub(crate) fn reassign(
        &mut self,
        at: f64,
        vmid: u32,
        key: &str,
        target: u32,
        target_key: &str,
    ) -> Result<(), String> {
        let taken = self.need(target)?.config.contains_key(target_key);
        if taken {
            return Err(format!(
                "Target volume key '{target_key}' is already in use for container '{target}'"
            ));
        }
        let guest = self.need(vmid)?;
        let text = guest.config.get(key).cloned().unwrap_or_default();
        let (node, kind) = (guest.node.clone(), guest.kind);
        let Some(old) = volid_of(&text).map(str::to_owned) else {
            return Err(format!("volume '{key}' for container '{vmid}' does not exist"));
        };
        let storage = old.split(':').next().unwrap_or_default().to_owned();
        let Some(volume) = self.take_volume(&node, &old) else {
            return Err(format!("volume '{old}' does not exist"));
        };
        let place = Place { node: node.clone(), vmid: target, kind };
        let new = format!("{storage}:{}", self.free_disk(&place, &storage));
        self.put_volume(&node, &new, volume);
        self.need(vmid)?.config.remove(key);
        if target_key.starts_with("unused") {
            self.need(target)?.config.insert(target_key.to_owned(), new);
            return Ok(());
        }
        self.set_disk(at, target, target_key, &text.replacen(&old, &new, 1))
    }

    /// Takes a guest's disks on local storages along to another node.
    ///
    /// # Errors
    /// The other node does not have such a storage.
    pub(crate) fn carry(&mut self, vmid: u32, target: &str) -> Result<(), String> {
        let guest = self.need(vmid)?;
        let from = guest.node.clone();
        let mut named: Vec<String> = guest.volumes().into_iter().map(|(v, _)| v).collect();
        for snapshot in &guest.snapshots {
            named.extend(disks_of(&snapshot.config).map(|(_, v)| v.to_owned()));
        }
        named.sort();
        named.dedup();
        for volid in &named {
            let name = volid.split(':').next().unwrap_or_default();
            if self.storage(name).is_some_and(|s| !s.on(target)) {
                return Err(format!("storage '{name}' is not available on node '{target}'"));
            }
        }
        for volid in named {
            if let Some(volume) = self.take_volume(&from, &volid) {
                self.put_volume(target, &volid, volume);
            }
        }
        Ok(())
    }
}

impl Guest {
    /// Is the volume part of a snapshot?
    pub(crate) fn in_snapshot(&self, volid: &str) -> bool {
        self.snapshots.iter().any(|s| disks_of(&s.config).any(|(_, v)| v == volid))
    }

    /// Lists a volume under the first free `unused[n]`.
    pub(crate) fn add_unused(&mut self, volid: &str) {
        if self.config.iter().any(|(k, v)| is_disk(k) && volid_of(v) == Some(volid)) {
            return;
        }
        let free = (0..UNUSED_KEYS)
            .map(|n| format!("unused{n}"))
            .find(|key| !self.config.contains_key(key));
        if let Some(key) = free {
            self.config.insert(key, volid.to_owned());
        }
    }
}
