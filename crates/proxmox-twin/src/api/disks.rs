//! Disks of guests after creation: resize, move to another storage, give to another guest.
//!
//! The order of the refusals follows the real server: a test of a client sees the same sentence first.

use super::{Call, config};
use crate::effect::Effect;
use crate::guest::{Guest, GuestKind, disk_bytes, size_text};
use crate::reply::{Refusal, Reply};
use crate::schema::bytes_of;
use crate::task::Script;
use crate::volume::volid_of;

pub(super) fn resize(call: &mut Call<'_>) -> Reply {
    if call.flag("skiplock") && !call.caller.is_root() {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    let vmid = call.vmid();
    let disk = call.text("disk").unwrap_or_default();
    let size = call.text("size").unwrap_or_default();
    let guest = call.guest()?;
    call.quorum()?;
    config::digest(call)?;
    call.unlocked()?;
    let Some(text) = guest.config.get(&disk) else {
        // An errors map in a 500 (measured).
        let mut refusal = Refusal::failed("format error");
        refusal.errors = Some(std::collections::BTreeMap::from([(
            "volume".to_owned(),
            "property is missing and it is not optional".to_owned(),
        )]));
        return Err(refusal);
    };
    let old = disk_bytes(text);
    let given = bytes_of(size.trim_start_matches('+')).unwrap_or(0);
    let bytes = if size.starts_with('+') { old + given } else { given };
    if bytes < old {
        return Err(Refusal::failed("unable to shrink disk size"));
    }
    let volume = text.split([':', ',']).nth(1).unwrap_or_default().to_owned();
    let script = Script::new()
        .say(0.6, format!("  Size of logical volume pve/{volume} changed from {old} to {bytes}."))
        .say(0.1, format!("  Logical volume pve/{volume} successfully resized."))
        .act(0.3, Effect::Resize { vmid, disk, bytes });
    call.task("resize", &vmid.to_string(), script)
}

/// The text that moving or giving away finds under a key.
fn disk<'a>(guest: &'a Guest, key: &str) -> Result<(&'a str, &'a str), Refusal> {
    let text = guest.config.get(key).ok_or_else(|| {
        Refusal::failed(format!("volume '{key}' for container '{}' does not exist", guest.vmid))
    })?;
    let volid = volid_of(text).ok_or_else(|| {
        Refusal::failed("Cannot move a bindmount or device mount to another container")
    })?;
    Ok((text, volid))
}

/// `POST …/move_volume`: either to a storage or to a guest.
pub(super) fn move_volume(call: &mut Call<'_>) -> Reply {
    match (call.text("storage"), call.number("target-vmid")) {
        (Some(_), Some(_)) => both("either set 'storage' or 'target-vmid', but not both"),
        (None, None) => both("both 'storage' and 'target-vmid' missing, either needs to be set"),
        (Some(storage), None) => to_storage(call, storage),
        (None, Some(target)) => to_guest(call, u32::try_from(target).unwrap_or_default()),
    }
}

/// `POST …/move_disk` of a virtual machine: to a storage, running or not. Giving it to another machine is not played.
pub(super) fn move_disk(call: &mut Call<'_>) -> Reply {
    if call.args.contains_key("target-vmid") {
        return Err(Refusal::failed("moving a disk to another VM is not part of this simulation"));
    }
    let Some(storage) = call.text("storage") else {
        return Err(Refusal::parameter("storage", "Either 'storage' or 'target-vmid' must be set"));
    };
    let (vmid, node) = (call.vmid(), call.node());
    let key = call.text("disk").unwrap_or_default();
    call.need(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let guest = call.guest()?;
    call.quorum()?;
    config::digest(call)?;
    call.unlocked()?;
    let Some(volid) = guest.config.get(&key).and_then(|text| volid_of(text)) else {
        return Err(Refusal::failed(format!("disk '{key}' does not exist")));
    };
    let same = volid.split(':').next() == Some(storage.as_str());
    if same && call.text("format").is_none() {
        return Err(Refusal::failed("you can't move to the same storage with same format"));
    }
    let Some(target) = call.state.storage(&storage).filter(|s| s.on(&node)) else {
        return Err(Refusal::failed(format!("storage '{storage}' does not exist")));
    };
    if !target.holds("images") {
        return Err(Refusal::failed(format!(
            "storage '{storage}' does not support content-type 'images'"
        )));
    }
    let (bytes, delete) =
        (call.state.volume(&node, volid).map_or(0, |v| v.bytes), call.flag("delete"));
    let total = bytes as f64 / f64::from(1 << 30);
    let mut script = Script::new()
        .act(0.0, Effect::Lock { vmid, lock: "disk" })
        .undo(Effect::Unlock { vmid, lock: "disk" })
        .say(0.3, format!("create full clone of drive {key} ({volid})"));
    for part in 1..=10 {
        let done = total * f64::from(part) / 10.0;
        let line = format!("transferred {done:.1} GiB of {total:.1} GiB ({part}0.00%)");
        script = script.say(0.5 + bytes as f64 / 5e10, line);
    }
    let script = script.act(0.3, Effect::MoveDisk { vmid, key, storage, delete });
    call.task("qmmove", &vmid.to_string(), script)
}

fn both(sentence: &str) -> Reply {
    Err(Refusal::invalid(
        ["target-vmid", "storage"].map(|key| (key.to_owned(), sentence.to_owned())).into(),
    ))
}

fn to_storage(call: &mut Call<'_>, storage: String) -> Reply {
    let (vmid, node) = (call.vmid(), call.node());
    let key = call.text("volume").unwrap_or_default();
    call.need(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let guest = call.guest()?;
    call.quorum()?;
    call.unlocked()?;
    if guest.running.is_some() {
        return Err(Refusal::failed("cannot move volumes of a running container"));
    }
    if key.starts_with("unused") {
        return Err(Refusal::failed(format!(
            "cannot move volume '{key}', only configured volumes can be moved to another storage"
        )));
    }
    let (_, volid) = disk(guest, &key)?;
    let delete = call.flag("delete");
    if delete && guest.in_snapshot(volid) {
        return Err(Refusal::failed(
            "you can't move a volume with snapshots and delete the source",
        ));
    }
    config::digest(call)?;
    let fails = match call.state.storage(&storage) {
        None => Some(format!("storage '{storage}' does not exist")),
        Some(s) if !s.on(&node) => {
            Some(format!("storage '{storage}' is not available on node '{node}'"))
        }
        Some(s) if !s.holds("rootdir") => {
            Some(format!("storage '{storage}' does not support content-type 'rootdir'"))
        }
        Some(_) => None,
    };
    let bytes = call.state.volume(&node, volid).map_or(0, |v| v.bytes);
    let mut script = Script::new()
        .act(0.0, Effect::Lock { vmid, lock: "disk" })
        .undo(Effect::Unlock { vmid, lock: "disk" });
    script = match fails {
        Some(text) => script.act(0.2, Effect::Fail(text)),
        None => {
            let blocks = bytes / 4096;
            let inodes = blocks / 4;
            script
                .say(
                    0.6,
                    format!("Creating filesystem with {blocks} 4k blocks and {inodes} inodes"),
                )
                .say(2.0 + bytes as f64 / 2e10, format!("Total file size: {} bytes", bytes / 3))
                .say(0.1, format!("copied {} of data", size_text(bytes >> 20 << 20)))
                .act(0.3, Effect::MoveDisk { vmid, key, storage, delete })
        }
    };
    call.task("move_volume", &vmid.to_string(), script)
}

fn to_guest(call: &mut Call<'_>, target: u32) -> Reply {
    let vmid = call.vmid();
    let key = call.text("volume").unwrap_or_default();
    let target_key = call.text("target-volume").unwrap_or_else(|| key.clone());
    call.need(&format!("/vms/{target}"), &["VM.Config.Disk"])?;
    let refuse = |text: String| Err(Refusal::failed(text));
    if key == "rootfs" || target_key == "rootfs" {
        return refuse("Cannot move to/from 'rootfs'".to_owned());
    }
    if key.starts_with("unused") && !target_key.starts_with("unused") {
        return refuse("Moving an unused volume to a used one is not possible".to_owned());
    }
    let guest = call.guest()?;
    let Some(other) = call.state.guests.get(&target).filter(|g| g.kind == GuestKind::Lxc) else {
        return refuse(format!("could not find CT {target}"));
    };
    if other.node != guest.node {
        return refuse(format!(
            "Both containers need to be on the same node ({} != {})",
            guest.node, other.node
        ));
    }
    call.quorum()?;
    call.unlocked()?;
    if let Some(lock) = other.lock() {
        return refuse(format!("CT is locked ({lock})"));
    }
    if guest.is_template() || other.is_template() {
        return refuse("Can't move volumes from or to template CT".to_owned());
    }
    for (name, whose) in [("digest", guest), ("target-digest", other)] {
        if call.text(name).is_some_and(|given| given != whose.digest()) {
            return refuse(format!(
                "Container {}: detected modified configuration - file changed by other user? Try again.",
                whose.vmid
            ));
        }
    }
    let (_, volid) = disk(guest, &key)?;
    if other.config.contains_key(&target_key) {
        return refuse(format!(
            "Target volume key '{target_key}' is already in use for container '{target}'"
        ));
    }
    if guest.in_snapshot(volid) {
        return refuse("Cannot move volume used by a snapshot to another container".to_owned());
    }
    if guest.running.is_some() && !key.starts_with("unused") {
        return refuse(
            "Cannot move in-use volume while the source CT is running - detach or shutdown first"
                .to_owned(),
        );
    }
    let storage = volid.split(':').next().unwrap_or_default();
    call.need(&format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let id = format!("{vmid}-{key}>{target}-{target_key}");
    let script = Script::new()
        .say(0.2, format!("moving volume '{key}' from container '{vmid}' to '{target}'"))
        .say(0.3, format!("removing volume '{key}' from container '{vmid}' config"))
        .act(0.2, Effect::Reassign { vmid, key, target, target_key: target_key.clone() })
        .say(0.1, format!("target container '{target}' updated with '{target_key}'"));
    call.task("move_volume", &id, script)
}
