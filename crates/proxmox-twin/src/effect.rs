//! What tasks really do to the cluster, one effect at a time, each with its own refusals.
//!
//! Every effect that changes something is noted in the list of changes: tests count there what was really
//! carried out. Called by `state` when a step is due.

use std::collections::BTreeMap;

use crate::guest::{Guest, GuestKind, Snapshot, is_disk, size_text};
use crate::state::State;
use crate::trouble::Trouble;
use crate::volume::{Volume, volid_of};

/// One change to the cluster.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Fails when the guest is locked or gone.
    CheckLock {
        vmid: u32,
    },
    /// Sets a lock; fails when one is there.
    Lock {
        vmid: u32,
        lock: &'static str,
    },
    /// Takes that lock away, and no other.
    Unlock {
        vmid: u32,
        lock: &'static str,
    },
    /// Fails when the volume does not exist.
    NeedVolume {
        node: String,
        volid: String,
        vmid: u32,
    },
    /// Fails when the storage has no room.
    NeedRoom {
        node: String,
        storage: String,
        vmid: u32,
    },
    /// The new guest is complete; `start` chains a start task.
    Created {
        vmid: u32,
        start: bool,
        what: &'static str,
    },
    /// Removes a guest that was not completed, without noting it.
    Abandon {
        vmid: u32,
    },
    Destroy {
        vmid: u32,
        purge: bool,
        /// Frees disks of this owner that no configuration names, too.
        unreferenced: bool,
    },
    /// Copies a disk to another storage; the old one is removed or becomes unused.
    MoveDisk {
        vmid: u32,
        key: String,
        storage: String,
        delete: bool,
    },
    /// Gives a disk to another guest on the same node, under a new name.
    Reassign {
        vmid: u32,
        key: String,
        target: u32,
        target_key: String,
    },
    Start {
        vmid: u32,
    },
    /// Pulls the plug; `quiet` does not mind a stopped guest.
    Stop {
        vmid: u32,
        quiet: bool,
    },
    /// Asks to shut down; fails after its time for guests that ignore it.
    Shutdown {
        vmid: u32,
        timeout: u64,
        force: bool,
    },
    Reboot {
        vmid: u32,
    },
    Reset {
        vmid: u32,
    },
    Suspend {
        vmid: u32,
    },
    Resume {
        vmid: u32,
    },
    SnapTake {
        vmid: u32,
        name: String,
        description: String,
        vmstate: bool,
    },
    SnapDrop {
        vmid: u32,
        name: String,
    },
    Rollback {
        vmid: u32,
        name: String,
        start: bool,
    },
    /// What is looked at before anything is copied.
    CheckMove {
        vmid: u32,
        target: String,
        with_disks: bool,
    },
    /// Fails when the node a guest is on its way to is lost.
    Reach {
        vmid: u32,
        target: String,
    },
    Migrate {
        vmid: u32,
        target: String,
    },
    /// The manager of high availability begins a move it was asked for.
    HaMove {
        vmid: u32,
        target: String,
    },
    Resize {
        vmid: u32,
        disk: String,
        bytes: u64,
    },
    Template {
        vmid: u32,
    },
    DropVolume {
        node: String,
        volid: String,
    },
    /// A file is complete: it takes its room, or there is none.
    PutVolume {
        node: String,
        volid: String,
        volume: Volume,
    },
    /// The staged interfaces of a node become the live ones.
    ReloadNetwork {
        node: String,
    },
    /// A node takes up the applied SDN configuration.
    ReloadSdn {
        node: String,
    },
    /// Ends the task with this text.
    Fail(String),
}

impl State {
    /// Carries out one effect at `at` (seconds since the epoch) for `user`.
    ///
    /// # Errors
    /// The text the task ends with.
    pub(crate) fn apply(&mut self, at: f64, user: &str, effect: &Effect) -> Result<(), String> {
        match effect {
            Effect::Fail(text) => Err(text.clone()),
            Effect::CheckLock { vmid } => self.not_locked(*vmid),
            Effect::Lock { vmid, lock } => {
                self.not_locked(*vmid)?;
                self.need(*vmid)?.config.insert("lock".into(), (*lock).to_owned());
                Ok(())
            }
            Effect::Unlock { vmid, lock } => {
                if let Some(guest) = self.guests.get_mut(vmid)
                    && guest.lock() == Some(*lock)
                {
                    guest.config.remove("lock");
                }
                Ok(())
            }
            Effect::NeedVolume { node, volid, vmid } => {
                if self.volume_exists(node, volid) {
                    return Ok(());
                }
                Err(format!("unable to create CT {vmid} - volume '{volid}' does not exist"))
            }
            Effect::NeedRoom { node, storage, vmid } => self
                .room(node, storage, *vmid)
                .map_err(|text| format!("unable to create CT {vmid} - {text}")),
            Effect::Created { vmid, start, what } => {
                let guest = self.need(*vmid)?;
                guest.config.remove("lock");
                guest.borrowed.clear();
                let (node, kind) = (guest.node.clone(), guest.kind);
                let name = guest.name();
                self.note(at, what, Some(*vmid), &node, user, &name);
                if *start {
                    let script = crate::script::start(*vmid);
                    let id = vmid.to_string();
                    self.spawn(at, &node, &format!("{}start", kind.prefix()), &id, user, script);
                }
                Ok(())
            }
            Effect::Abandon { vmid } => {
                if let Some(guest) = self.guests.remove(vmid) {
                    self.free_disks(&guest, false);
                }
                Ok(())
            }
            Effect::Destroy { vmid, purge, unreferenced } => {
                let guest = self.need(*vmid)?;
                let (node, name) = (guest.node.clone(), guest.name());
                self.sdn.addresses.retain(|a| a.vmid != Some(*vmid));
                self.firewall.remove(&format!("guest/{vmid}"));
                if let Some(guest) = self.guests.remove(vmid) {
                    self.free_disks(&guest, *unreferenced);
                }
                self.note(
                    at,
                    "destroy",
                    Some(*vmid),
                    &node,
                    user,
                    &format!("{name} purge={}", u8::from(*purge)),
                );
                Ok(())
            }
            Effect::Start { vmid } => self.start_guest(at, user, *vmid),
            Effect::Stop { vmid, quiet } => {
                let guest = self.need(*vmid)?;
                if guest.running.is_none() {
                    let text = format!("{} {vmid} not running", guest.kind.short());
                    return if *quiet { Ok(()) } else { Err(text) };
                }
                guest.stop(at);
                self.note_guest(at, "stop", *vmid, user, "");
                Ok(())
            }
            Effect::Shutdown { vmid, timeout, force } => {
                let guest = self.need(*vmid)?;
                if guest.running.is_none() {
                    return Ok(());
                }
                if guest.ignores_shutdown && !force {
                    return Err(match guest.kind {
                        GuestKind::Lxc => format!(
                            "command 'lxc-stop -n {vmid} --timeout {timeout}' failed: got timeout"
                        ),
                        GuestKind::Qemu => "VM quit/powerdown failed - got timeout".to_owned(),
                    });
                }
                let forced = guest.ignores_shutdown;
                guest.stop(at);
                self.note_guest(at, if forced { "stop" } else { "shutdown" }, *vmid, user, "");
                Ok(())
            }
            Effect::Reboot { vmid } => {
                let pid = self.next_pid();
                let guest = self.need(*vmid)?;
                if guest.running.is_none() {
                    return Err(format!("VM {vmid} not running"));
                }
                if guest.ignores_shutdown {
                    return Err("VM quit/powerdown failed - got timeout".to_owned());
                }
                guest.stop(at);
                self.apply_pending(at, *vmid);
                self.need(*vmid)?.start(at, pid);
                self.note_guest(at, "reboot", *vmid, user, "");
                Ok(())
            }
            Effect::Reset { vmid } => {
                self.running(*vmid)?;
                self.note_guest(at, "reset", *vmid, user, "");
                Ok(())
            }
            Effect::Suspend { vmid } => {
                self.running(*vmid)?.paused = true;
                self.note_guest(at, "suspend", *vmid, user, "");
                Ok(())
            }
            Effect::Resume { vmid } => {
                self.running(*vmid)?.paused = false;
                self.note_guest(at, "resume", *vmid, user, "");
                Ok(())
            }
            Effect::SnapTake { vmid, name, description, vmstate } => {
                let able = self.can_snapshot(*vmid);
                let guest = self.need(*vmid)?;
                if guest.is_template() {
                    return Err("you can't take a snapshot if it's a template".to_owned());
                }
                if !able {
                    return Err("snapshot feature is not available".to_owned());
                }
                if guest.snapshots.iter().any(|s| s.name == *name) {
                    return Err(format!("snapshot name '{name}' already used"));
                }
                let mut config = guest.config.clone();
                config.remove("lock");
                let parent = guest.parent.replace(name.clone());
                guest.snapshots.push(Snapshot {
                    name: name.clone(),
                    description: description.clone(),
                    parent,
                    time: at as u64,
                    vmstate: *vmstate,
                    config,
                });
                guest.config.remove("lock");
                self.note_guest(at, "snapshot", *vmid, user, name);
                Ok(())
            }
            Effect::SnapDrop { vmid, name } => {
                let guest = self.need(*vmid)?;
                let Some(found) = guest.snapshots.iter().position(|s| s.name == *name) else {
                    return Err(format!("snapshot '{name}' does not exist"));
                };
                let gone = guest.snapshots.remove(found);
                for snapshot in &mut guest.snapshots {
                    if snapshot.parent.as_ref() == Some(&gone.name) {
                        snapshot.parent.clone_from(&gone.parent);
                    }
                }
                if guest.parent.as_ref() == Some(&gone.name) {
                    guest.parent = gone.parent;
                }
                guest.config.remove("lock");
                self.note_guest(at, "delsnapshot", *vmid, user, name);
                Ok(())
            }
            Effect::Rollback { vmid, name, start } => {
                let guest = self.need(*vmid)?;
                let Some(snapshot) = guest.snapshots.iter().find(|s| s.name == *name).cloned()
                else {
                    return Err(format!("snapshot '{name}' does not exist"));
                };
                if let Some(text) = self.not_newest(*vmid, name) {
                    return Err(text);
                }
                let guest = self.need(*vmid)?;
                guest.stop(at);
                let now_named: Vec<String> =
                    guest.volumes().into_iter().map(|(volid, _)| volid).collect();
                guest.config = snapshot.config;
                for volid in now_named {
                    guest.add_unused(&volid);
                }
                guest.pending.clear();
                guest.parent = Some(snapshot.name);
                let (node, kind) = (guest.node.clone(), guest.kind);
                self.note_guest(at, "rollback", *vmid, user, name);
                if *start || snapshot.vmstate {
                    let script = crate::script::start(*vmid);
                    let id = vmid.to_string();
                    self.spawn(at, &node, &format!("{}start", kind.prefix()), &id, user, script);
                }
                Ok(())
            }
            Effect::CheckMove { vmid, target, with_disks } => {
                self.need(*vmid)?;
                match self.unmovable(*vmid, target, *with_disks) {
                    Some(text) => Err(text),
                    None => Ok(()),
                }
            }
            Effect::Reach { vmid, target } => match self.online(target) {
                true => Ok(()),
                false => Err(self.lost_on_the_way(*vmid, target)),
            },
            Effect::HaMove { vmid, target } => {
                let guest = self.need(*vmid)?.clone();
                let address = self.node(target).map(|n| n.address.clone()).unwrap_or_default();
                let kind = if guest.kind == GuestKind::Lxc { "vzmigrate" } else { "qmigrate" };
                let script = crate::script::migrate(&guest, target, &address, true);
                self.spawn(at, &guest.node, kind, &vmid.to_string(), "root@pam", script);
                Ok(())
            }
            Effect::Migrate { vmid, target } => {
                self.carry(*vmid, target)?;
                let guest = self.need(*vmid)?;
                let from = std::mem::replace(&mut guest.node, target.clone());
                guest.config.remove("lock");
                self.note_guest(at, "migrate", *vmid, user, &format!("{from} to {target}"));
                Ok(())
            }
            Effect::Resize { vmid, disk, bytes } => {
                let guest = self.need(*vmid)?;
                let Some(text) = guest.config.get_mut(disk) else {
                    return Err(format!("disk '{disk}' does not exist"));
                };
                *text = with_size(text, *bytes);
                let volid = volid_of(text).map(str::to_owned);
                let node = guest.node.clone();
                if let Some(volume) = volid.and_then(|v| self.volume_mut(&node, &v)) {
                    volume.bytes = *bytes;
                }
                self.note_guest(
                    at,
                    "resize",
                    *vmid,
                    user,
                    &format!("{disk} {}", size_text(*bytes)),
                );
                Ok(())
            }
            Effect::Template { vmid } => {
                let guest = self.need(*vmid)?;
                guest.config.insert("template".into(), "1".into());
                let node = guest.node.clone();
                let renamed = rename_base(&mut guest.config);
                for (old, new) in renamed {
                    if let Some(volume) = self.take_volume(&node, &old) {
                        self.put_volume(&node, &new, volume);
                    }
                }
                self.note_guest(at, "template", *vmid, user, "");
                Ok(())
            }
            Effect::DropVolume { node, volid } => {
                if self.take_volume(node, volid).is_none() {
                    return Err(format!("volume '{volid}' does not exist"));
                }
                self.note(at, "imgdel", None, node, user, volid);
                Ok(())
            }
            Effect::PutVolume { node, volid, volume } => {
                let name = volid.split(':').next().unwrap_or_default();
                let left = self.storage(name).map_or(0, |s| {
                    let (used, total) = self.storage_use(node, s);
                    total - used
                });
                if left < volume.bytes {
                    return Err(format!("unable to write '{volid}': No space left on device"));
                }
                let mut volume = volume.clone();
                volume.created = at as u64;
                volume.data = self.fresh_data();
                self.put_volume(node, volid, volume);
                self.note(at, "image", None, node, user, volid);
                Ok(())
            }
            Effect::ReloadNetwork { node } => {
                let address = self.node(node).map(|n| n.address.clone()).unwrap_or_default();
                let fine = self.networks.get_mut(node).is_none_or(|n| n.reload(&address));
                self.bridges_reloaded(node);
                let detail = if fine { "" } else { "cut off" };
                self.note(at, "network", None, node, user, detail);
                if !fine && !self.troubles.cut_off(node) {
                    self.trouble(Trouble::NetworkBroken { node: node.clone() })?;
                }
                Ok(())
            }
            Effect::ReloadSdn { node } => {
                self.sdn.take_up(node);
                // It is the same `ifreload -a`.
                self.bridges_reloaded(node);
                self.note(at, "sdn", None, node, user, "");
                Ok(())
            }
            Effect::MoveDisk { vmid, key, storage, delete } => {
                self.move_disk(at, *vmid, key, storage, *delete)?;
                self.need(*vmid)?.config.remove("lock");
                self.note_guest(at, "move_volume", *vmid, user, &format!("{key} to {storage}"));
                Ok(())
            }
            Effect::Reassign { vmid, key, target, target_key } => {
                self.reassign(at, *vmid, key, *target, target_key)?;
                let detail = format!("{key} to {target} {target_key}");
                self.note_guest(at, "reassign", *vmid, user, &detail);
                Ok(())
            }
        }
    }

    fn bridges_reloaded(&mut self, node: &str) {
        let there = self.networks.get(node).map(|n| n.bridges().map(str::to_owned).collect());
        let there: Vec<String> = there.unwrap_or_default();
        if let Some(shell) = self.shells.get_mut(node) {
            shell.bridges.reloaded(&there);
        }
    }

    pub(crate) fn not_locked(&mut self, vmid: u32) -> Result<(), String> {
        let guest = self.need(vmid)?;
        match guest.lock() {
            Some(lock) => Err(format!("{} is locked ({lock})", guest.kind.short())),
            None => Ok(()),
        }
    }

    fn running(&mut self, vmid: u32) -> Result<&mut Guest, String> {
        let guest = self.need(vmid)?;
        if guest.running.is_none() {
            return Err(format!("{} {vmid} not running", guest.kind.short()));
        }
        Ok(guest)
    }

    pub(crate) fn need(&mut self, vmid: u32) -> Result<&mut Guest, String> {
        self.guests
            .get_mut(&vmid)
            .ok_or_else(|| format!("Configuration file for {vmid} does not exist"))
    }
}

/// A volume text with another size.
fn with_size(text: &str, bytes: u64) -> String {
    let mut parts: Vec<String> =
        text.split(',').filter(|p| !p.starts_with("size=")).map(str::to_owned).collect();
    parts.push(format!("size={}", size_text(bytes)));
    parts.join(",")
}

/// Templates have `base-…` volumes. Gives the old and new volume ids.
fn rename_base(config: &mut BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut renamed = Vec::new();
    for (key, value) in config.iter_mut().filter(|(key, _)| is_disk(key)) {
        let new = value
            .replacen("vm-", "base-", usize::from(!key.starts_with("unused")))
            .replacen("subvol-", "basevol-", 1);
        if let (Some(old), Some(new)) = (volid_of(value), volid_of(&new))
            && old != new
        {
            renamed.push((old.to_owned(), new.to_owned()));
        }
        *value = new;
    }
    renamed
}
