//! Volumes: what lies on storages, who owns it, what it is called, how much room it takes.
//!
//! Every disk of a guest and every template, image and backup is one entry, kept by the node that holds it (or by
//! nobody, when its storage is shared). A disk's owner is in its name, as on the real server: `vm-100-disk-1`
//! belongs to 100 wherever it is mounted. `data` stands for the bytes inside: it survives moves and renames, so a
//! test can tell a kept volume from a new one of the same name.

use crate::guest::{Guest, GuestKind, is_disk, size_text};
use crate::noise::wave;
use crate::state::{State, Storage};

/// Highest disk number tried for one guest on one storage.
const DISK_NUMBERS: u32 = 1_000;

/// One volume.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volume {
    pub(crate) bytes: u64,
    /// A guest's disk, thin: it takes less room than it promises.
    pub(crate) disk: bool,
    /// Seconds since the epoch.
    pub(crate) created: u64,
    /// Which content is in it; another number, another content.
    pub(crate) data: u64,
    /// Where an image came from: an OCI reference or a URL.
    pub(crate) reference: Option<String>,
    /// Digest of an image, `sha256:…` or bare hex.
    pub(crate) digest: Option<String>,
    /// Guests made from this image never become healthy.
    pub(crate) unhealthy: bool,
    pub(crate) notes: Option<String>,
    pub(crate) protected: bool,
}

/// Whom and where a new disk is for.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) node: String,
    pub(crate) vmid: u32,
    pub(crate) kind: GuestKind,
}

/// The guest a disk's name says it belongs to.
pub(crate) fn disk_owner(name: &str) -> Option<u32> {
    let last = name.rsplit(['/', ':']).next()?;
    let rest = ["vm-", "base-", "subvol-", "basevol-"].iter().find_map(|p| last.strip_prefix(p))?;
    rest.split('-').next()?.parse().ok()
}

/// Is this volume a disk rather than a file for guests (template, image, backup)?
pub(crate) fn is_disk_name(name: &str) -> bool {
    disk_owner(name).is_some() && !matches!(content_of(name), "backup" | "iso" | "vztmpl")
}

/// The content type a name tells.
pub(crate) fn content_of(name: &str) -> &'static str {
    match name.split('/').next().unwrap_or_default() {
        "iso" => "iso",
        "vztmpl" => "vztmpl",
        "backup" => "backup",
        "snippets" => "snippets",
        "import" => "import",
        _ => "images",
    }
}

/// The volume id in a configuration text; `None` for bind mounts, empty drives and CD-ROMs.
pub(crate) fn volid_of(text: &str) -> Option<&str> {
    let first = text.split(',').next()?;
    let volid = first.trim_start_matches("volume=").trim_start_matches("file=");
    (volid.contains(':') && !volid.starts_with('/') && !text.contains("media=cdrom"))
        .then_some(volid)
}

/// `storage:8` asks for a new disk: the storage and the bytes.
pub(crate) fn wanted_disk(text: &str) -> Option<(&str, u64)> {
    let (storage, size) = volid_of(text)?.split_once(':')?;
    let gib: f64 = size.parse().ok()?;
    (gib >= 0.0).then_some((storage, (gib * f64::from(1 << 30)) as u64))
}

impl State {
    pub(crate) fn volume(&self, node: &str, volid: &str) -> Option<&Volume> {
        let (storage, name) = volid.split_once(':')?;
        let storage = self.storage(storage)?;
        storage.volumes.get(&(storage.owner(node), name.to_owned()))
    }

    pub(crate) fn volume_mut(&mut self, node: &str, volid: &str) -> Option<&mut Volume> {
        let (storage, name) = volid.split_once(':')?;
        let storage = self.storages.iter_mut().find(|s| s.spec.name == storage)?;
        let owner = storage.owner(node);
        storage.volumes.get_mut(&(owner, name.to_owned()))
    }

    pub(crate) fn volume_exists(&self, node: &str, volid: &str) -> bool {
        self.volume(node, volid).is_some()
    }

    /// Puts a volume where it belongs; a storage that does not exist takes nothing.
    pub(crate) fn put_volume(&mut self, node: &str, volid: &str, volume: Volume) {
        let Some((storage, name)) = volid.split_once(':') else { return };
        if let Some(storage) = self.storages.iter_mut().find(|s| s.spec.name == storage) {
            let owner = storage.owner(node);
            storage.volumes.insert((owner, name.to_owned()), volume);
        }
    }

    pub(crate) fn take_volume(&mut self, node: &str, volid: &str) -> Option<Volume> {
        let (storage, name) = volid.split_once(':')?;
        let storage = self.storages.iter_mut().find(|s| s.spec.name == storage)?;
        let owner = storage.owner(node);
        storage.volumes.remove(&(owner, name.to_owned()))
    }

    /// New content, unlike any other.
    pub(crate) const fn fresh_data(&mut self) -> u64 {
        self.next_data += 1;
        self.next_data
    }

    /// The first free disk name of a guest on a storage.
    pub(crate) fn free_disk(&self, place: &Place, storage: &str) -> String {
        let (node, vmid) = (place.node.as_str(), place.vmid);
        let Some(found) = self.storage(storage) else { return format!("vm-{vmid}-disk-0") };
        let owner = found.owner(node);
        let taken = |number: u32| {
            let tail = format!("-{vmid}-disk-{number}");
            found.volumes.keys().any(|(o, name)| {
                *o == owner
                    && disk_owner(name) == Some(vmid)
                    && name.split('.').next().is_some_and(|stem| stem.ends_with(&tail))
            })
        };
        let number = (0..DISK_NUMBERS).find(|n| !taken(*n)).unwrap_or(DISK_NUMBERS);
        match (found.spec.plugin.as_str(), place.kind) {
            ("zfspool", GuestKind::Lxc) => format!("subvol-{vmid}-disk-{number}"),
            ("dir" | "nfs", GuestKind::Lxc) => format!("{vmid}/vm-{vmid}-disk-{number}.raw"),
            ("dir" | "nfs", GuestKind::Qemu) => format!("{vmid}/vm-{vmid}-disk-{number}.qcow2"),
            _ => format!("vm-{vmid}-disk-{number}"),
        }
    }

    /// Refuses new disks on a storage that is nearly full.
    pub(crate) fn room(&self, node: &str, storage: &str, vmid: u32) -> Result<(), String> {
        // A thin pool refuses new volumes before it is quite full.
        if self.storage_percent(node, storage) < 95.0 {
            return Ok(());
        }
        Err(format!(
            "lvcreate 'pve/vm-{vmid}-disk-0' error:   Cannot create new thin volume, free space in thin pool pve/{storage} reached threshold."
        ))
    }

    /// Makes a disk and gives its volume id.
    pub(crate) fn new_disk(&mut self, at: f64, place: &Place, storage: &str, bytes: u64) -> String {
        let volid = format!("{storage}:{}", self.free_disk(place, storage));
        let volume = Volume {
            bytes,
            disk: true,
            created: at as u64,
            data: self.fresh_data(),
            ..Volume::default()
        };
        self.put_volume(&place.node, &volid, volume);
        volid
    }

    /// Turns `storage:8,…` into a new volume and gives an existing volume its size.
    ///
    /// # Errors
    /// No room, or the named volume is not there.
    pub(crate) fn resolve_disk(
        &mut self,
        at: f64,
        place: &Place,
        key: &str,
        text: &str,
    ) -> Result<String, String> {
        let keep = |part: &&str| {
            !part.is_empty() && !part.starts_with("import-from=") && !part.starts_with("size=")
        };
        let rest: Vec<&str> = text.split(',').skip(1).filter(keep).collect();
        let tail = if rest.is_empty() { String::new() } else { format!(",{}", rest.join(",")) };
        if let Some((storage, bytes)) = wanted_disk(text) {
            let bytes = match key {
                "efidisk0" | "tpmstate0" => 4 << 20,
                _ if text.contains("import-from=") => self.imported_bytes(&place.node, text),
                _ => bytes,
            };
            let volid = self.new_disk(at, place, storage, bytes);
            return Ok(format!("{volid}{tail},size={}", size_text(bytes)));
        }
        let Some(volid) = volid_of(text) else { return Ok(text.to_owned()) };
        if volid.ends_with("cloudinit") || content_of(volid_name(volid)) != "images" {
            return Ok(text.to_owned());
        }
        if self.storage(volid.split(':').next().unwrap_or_default()).is_none() {
            return Ok(text.to_owned());
        }
        match self.volume(&place.node, volid) {
            Some(_) if key.starts_with("unused") => Ok(volid.to_owned()),
            Some(volume) => Ok(format!("{volid}{tail},size={}", size_text(volume.bytes))),
            None => Err(format!("volume '{volid}' does not exist")),
        }
    }

    /// Bytes of what a disk is imported from.
    fn imported_bytes(&self, node: &str, text: &str) -> u64 {
        let source = text.split(',').find_map(|p| p.strip_prefix("import-from="));
        // A compressed image grows when it becomes a disk.
        source
            .and_then(|s| self.volume(node, s))
            .map_or(4 << 30, |v| (v.bytes * 4).div_ceil(1 << 30) << 30)
    }

    /// Registers the disks a guest's configuration names, for guests that are there from the start.
    pub(crate) fn adopt_disks(&mut self, guest: &Guest) {
        for (volid, bytes) in guest.volumes() {
            if self.volume(&guest.node, &volid).is_some_and(|v| v.bytes > 0) {
                continue;
            }
            let data = self.fresh_data();
            let created = guest.born as u64;
            let volume = Volume { bytes, disk: true, created, data, ..Volume::default() };
            self.put_volume(&guest.node, &volid, volume);
        }
    }

    /// Frees the disks that go with a guest: those that its configuration and snapshots name and that are its own;
    /// with `all`, every disk of that owner. Gives the lines of the log.
    pub(crate) fn free_disks(&mut self, guest: &Guest, all: bool) -> Vec<String> {
        let mut named: Vec<String> = guest.volumes().into_iter().map(|(volid, _)| volid).collect();
        for snapshot in &guest.snapshots {
            named.extend(disks_of(&snapshot.config).map(|(_, volid)| volid.to_owned()));
        }
        if all {
            named.extend(self.disks_owned(&guest.node, guest.vmid));
        }
        named.sort();
        named.dedup();
        let (short, vmid) = (guest.kind.short(), guest.vmid);
        let mut lines = Vec::new();
        for volid in named {
            if guest.borrowed.contains(&volid) {
                continue;
            }
            if disk_owner(&volid) == Some(vmid) {
                self.take_volume(&guest.node, &volid);
                lines.push(format!("  Logical volume \"{}\" removed.", volid_name(&volid)));
            } else if disk_owner(&volid).is_some() {
                lines
                    .push(format!("ignore deletion of '{volid}', {short} {vmid} isn't the owner!"));
            }
        }
        lines
    }

    /// The disks on a node's storages whose name says this owner.
    pub(crate) fn disks_owned(&self, node: &str, vmid: u32) -> Vec<String> {
        let mut found = Vec::new();
        for storage in self.storages.iter().filter(|s| s.on(node)) {
            let owner = storage.owner(node);
            for (_, name) in storage.volumes.keys().filter(|(o, _)| *o == owner) {
                if is_disk_name(name) && disk_owner(name) == Some(vmid) {
                    found.push(format!("{}:{name}", storage.spec.name));
                }
            }
        }
        found
    }

    /// The guest whose configuration names this volume.
    pub(crate) fn user_of(&self, node: &str, volid: &str) -> Option<u32> {
        let shared = self
            .storage(volid.split(':').next().unwrap_or_default())
            .is_some_and(|s| s.spec.shared);
        self.guests
            .values()
            .filter(|g| shared || g.node == node)
            .find(|g| g.volumes().iter().any(|(v, _)| v == volid) || g.in_snapshot(volid))
            .map(|g| g.vmid)
    }

    /// Used and total bytes of a storage as seen from a node.
    pub(crate) fn storage_use(&self, node: &str, storage: &Storage) -> (u64, u64) {
        let total = storage.spec.total_gib << 30;
        if let Some(percent) = self.troubles.fill(node, &storage.spec.name, storage.spec.shared) {
            return ((total as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64, total);
        }
        let owner = storage.owner(node);
        let own = storage
            .volumes
            .range((owner.clone(), String::new())..)
            .take_while(|((o, _), _)| *o == owner)
            // Thin volumes hold what was written, not what was promised.
            .map(|(_, v)| if v.disk { v.bytes / 3 } else { v.bytes })
            .sum::<u64>();
        let drift = 1.0 + 0.01 * wave(self.settings.seed ^ total, self.now());
        let base = (total as f64 * storage.spec.used * drift) as u64;
        ((base + own).min(total), total)
    }

    pub(crate) fn storage_percent(&self, node: &str, storage: &str) -> f64 {
        self.storage(storage).map_or(0.0, |s| {
            let (used, total) = self.storage_use(node, s);
            100.0 * used as f64 / total.max(1) as f64
        })
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

/// Keys and volume ids of the disks a configuration names.
pub(crate) fn disks_of(
    config: &std::collections::BTreeMap<String, String>,
) -> impl Iterator<Item = (&str, &str)> {
    config
        .iter()
        .filter(|(key, _)| is_disk(key))
        .filter_map(|(key, text)| Some((key.as_str(), volid_of(text)?)))
}

/// The part after the storage.
pub(crate) fn volid_name(volid: &str) -> &str {
    volid.split_once(':').map_or(volid, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_owner() {
        assert_eq!(disk_owner("vm-100-disk-1"), Some(100));
        assert_eq!(disk_owner("nas:100/vm-100-disk-1.raw"), Some(100));
        assert_eq!(disk_owner("subvol-101-disk-0"), Some(101));
        assert_eq!(disk_owner("vztmpl/debian-12.tar.zst"), None);
        assert!(!is_disk_name("backup/vm-104-x"));
    }

    #[test]
    fn a_number_behind_the_storage_asks_for_a_disk() {
        assert_eq!(wanted_disk("local-lvm:8,mp=/data"), Some(("local-lvm", 8 << 30)));
        assert_eq!(wanted_disk("volume=local-lvm:0.5"), Some(("local-lvm", 512 << 20)));
        assert_eq!(wanted_disk("local-lvm:vm-1-disk-0"), None);
        assert_eq!(wanted_disk("/srv/data,mp=/data"), None);
    }
}
