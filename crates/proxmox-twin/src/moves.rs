//! What keeps a guest from being moved, as the server words it, and moving one.

use crate::guest::{Guest, GuestKind};
use crate::state::State;
use crate::volume::{disk_owner, disks_of, volid_name};

/// Storages whose plugin sends a disk together with its snapshots.
const SENDS_SNAPSHOTS: [&str; 2] = ["zfspool", "btrfs"];

impl State {
    /// Storages a guest's disks lie on that another node does not have.
    pub(crate) fn missing_storages(&self, guest: &Guest, target: &str) -> Vec<String> {
        let mut missing: Vec<String> = named(guest)
            .iter()
            .filter_map(|volid| volid.split_once(':').map(|(s, _)| s.to_owned()))
            .filter(|name| self.storage(name).is_some_and(|s| !s.on(target)))
            .collect();
        missing.sort();
        missing.dedup();
        missing
    }

    fn is_local(&self, volid: &str) -> bool {
        let name = volid.split(':').next().unwrap_or_default();
        self.storage(name).is_none_or(|s| !s.spec.shared)
    }

    /// Disks and discs that only the guest's node sees: volume id, size, whether it is a disc.
    pub(crate) fn local_disks(&self, guest: &Guest) -> Vec<(String, u64, bool)> {
        let disc = |key: &str| guest.config.get(key).is_some_and(|t| t.contains("media=cdrom"));
        disks_of(&guest.config)
            .filter(|(_, volid)| self.is_local(volid))
            .map(|(key, volid)| {
                let size = guest.config.get(key).map_or(0, |t| crate::guest::disk_bytes(t));
                (volid.to_owned(), size, disc(key))
            })
            .collect()
    }

    /// Why the worker gives up before it copies anything, if so.
    pub(crate) fn unmovable(&self, vmid: u32, target: &str, with_disks: bool) -> Option<String> {
        let guest = self.guests.get(&vmid)?;
        let (short, running) = (guest.kind.short(), guest.running.is_some());
        for (key, text) in &guest.config {
            let path = key.starts_with("mp") && text.starts_with('/');
            if path && !text.contains("shared=1") {
                return Some(format!("cannot migrate local bind mount point '{key}'"));
            }
        }
        if let Some(storage) = self.missing_storages(guest, target).first() {
            return Some(format!("storage '{storage}' is not available on node '{target}'"));
        }
        let resources = local_resources(guest);
        if !resources.is_empty() {
            let names = resources.join(", ");
            return Some(format!("can't migrate {short} which uses local devices: {names}"));
        }
        let check_log = Some(format!("can't migrate {short} - check log"));
        for (volid, _, disc) in self.local_disks(guest) {
            if disc && !volid.contains("cloudinit") {
                return check_log;
            }
            if disk_owner(&volid).is_some_and(|owner| owner != vmid) {
                return check_log;
            }
            if guest.kind == GuestKind::Qemu && running && !with_disks {
                return Some(
                    "can't live migrate attached local disks without with-local-disks option"
                        .to_owned(),
                );
            }
            let plugin = volid.split(':').next().and_then(|s| self.storage(s));
            let sends = plugin.is_some_and(|s| SENDS_SNAPSHOTS.contains(&s.spec.plugin.as_str()));
            let inside = guest.kind == GuestKind::Qemu && volid_name(&volid).ends_with(".qcow2");
            let live = guest.kind == GuestKind::Qemu && running;
            if guest.in_snapshot(&volid) && (live || !(sends || inside)) {
                return check_log;
            }
        }
        None
    }

    /// What a move meets whose target does not answer any more.
    pub(crate) fn lost_on_the_way(&self, vmid: u32, target: &str) -> String {
        let live = self
            .guests
            .get(&vmid)
            .is_some_and(|g| g.kind == GuestKind::Qemu && g.running.is_some());
        if live {
            return "migration status error: failed - Unable to write to socket: Broken pipe"
                .to_owned();
        }
        let address = self.node(target).map(|n| n.address.clone()).unwrap_or_default();
        format!(
            "command '/usr/bin/ssh -e none -o 'BatchMode=yes' root@{address}' failed: exit code 255"
        )
    }

    /// Why a rollback gives up before it changes anything, if so: ZFS goes back to the newest snapshot only.
    pub(crate) fn not_newest(&self, vmid: u32, name: &str) -> Option<String> {
        let guest = self.guests.get(&vmid)?;
        if guest.snapshots.last().is_none_or(|s| s.name == name) {
            return None;
        }
        let (volid, _) = guest.volumes().into_iter().find(|(volid, _)| {
            let storage = volid.split(':').next().and_then(|s| self.storage(s));
            storage.is_some_and(|s| s.spec.plugin == "zfspool")
        })?;
        Some(format!("can't rollback, '{name}' is not most recent snapshot on '{volid}'"))
    }
}

/// What the worker of a move writes when it cannot go on, and the exit status it ends with. `live`: a machine that goes on
/// running where it is; everything else was only copied.
pub(crate) fn broken_off(why: &str, live: bool) -> (Vec<String>, &'static str) {
    if live {
        let lines = vec![
            format!("ERROR: online migrate failure - {why}"),
            "aborting phase 2 - cleanup resources".to_owned(),
            "migrate_cancel".to_owned(),
            "ERROR: migration finished with problems (duration 00:00:05)".to_owned(),
        ];
        return (lines, "migration problems");
    }
    let lines = vec![
        format!("ERROR: {why}"),
        "aborting phase 1 - cleanup resources".to_owned(),
        "start final cleanup".to_owned(),
        format!("ERROR: migration aborted (duration 00:00:05): {why}"),
    ];
    (lines, "migration aborted")
}

/// Volumes that a guest and its snapshots name.
fn named(guest: &Guest) -> Vec<String> {
    let mut named: Vec<String> = disks_of(&guest.config).map(|(_, v)| v.to_owned()).collect();
    for snapshot in &guest.snapshots {
        named.extend(disks_of(&snapshot.config).map(|(_, v)| v.to_owned()));
    }
    named
}

/// Hardware of its node that a machine uses.
pub(crate) fn local_resources(guest: &Guest) -> Vec<String> {
    const KINDS: [&str; 4] = ["hostpci", "usb", "serial", "parallel"];
    let tied = |key: &str, text: &str| {
        let kind = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let passed = text == "socket" || text.contains("spice") || text.contains("mapping=");
        kind.len() < key.len() && KINDS.contains(&kind) && !passed
    };
    let all = guest.config.iter().filter(|_| guest.kind == GuestKind::Qemu);
    all.filter(|(k, t)| tied(k, t)).map(|(k, _)| k.clone()).collect()
}
