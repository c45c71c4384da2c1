//! What lies on a storage: list, show, allocate, annotate, delete.

use serde_json::{Value, json};

use super::{Call, storage};
use crate::effect::Effect;
use crate::guest::GuestKind;
use crate::reply::{Refusal, Reply};
use crate::schema::bytes_of;
use crate::state::State;
use crate::task::Script;
use crate::volume::{Volume, content_of, disk_owner};

/// The format a file's name tells.
fn format(name: &str) -> &'static str {
    const ENDINGS: [(&str, &str); 14] = [
        (".tar.zst", "tzst"),
        (".tar.xz", "txz"),
        (".tar.gz", "tgz"),
        (".tgz", "tgz"),
        (".tar.bz2", "tbz2"),
        (".tar", "tar"),
        (".vma.zst", "vma.zst"),
        (".iso", "iso"),
        (".img", "iso"),
        (".qcow2", "qcow2"),
        (".raw", "raw"),
        (".vmdk", "vmdk"),
        (".ova", "ova"),
        (".ovf", "ovf"),
    ];
    if let Some((_, format)) = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)) {
        return format;
    }
    match content_of(name) {
        "backup" if name.contains("/vm/") => "pbs-vm",
        "backup" => "pbs-ct",
        "snippets" => "snippet",
        _ if name.contains("subvol-") || name.contains("basevol-") => "subvol",
        _ => "raw",
    }
}

/// Content type and owner, as the list shows them.
fn nature(state: &State, name: &str) -> (&'static str, Option<String>) {
    match content_of(name) {
        "images" => {
            let owner = disk_owner(name);
            let lxc = owner
                .and_then(|vmid| state.guests.get(&vmid))
                .is_some_and(|g| g.kind == GuestKind::Lxc);
            (if lxc { "rootdir" } else { "images" }, owner.map(|vmid| vmid.to_string()))
        }
        "backup" => ("backup", name.split('/').nth(2).map(str::to_owned)),
        other => (other, None),
    }
}

pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let name = call.text("storage").unwrap_or_default();
    let (wanted, vmid) = (call.text("content"), call.text("vmid"));
    let node = call.node();
    let storage = storage::here(call, &name)?;
    let owner = storage.owner(&node);
    let mut rows = Vec::new();
    for ((_, volume), facts) in storage.volumes.iter().filter(|((o, _), _)| *o == owner) {
        let (kind, whose) = nature(call.state, volume);
        let fits = wanted.as_ref().is_none_or(|w| w == kind) && (vmid.is_none() || whose == vmid);
        if !fits {
            continue;
        }
        let mut row = json!({
            "volid": format!("{name}:{volume}"), "content": kind, "format": format(volume),
            "size": facts.bytes, "ctime": facts.created,
        });
        if let Some(map) = row.as_object_mut() {
            match (whose, kind) {
                // Text in the real answer of some plugins.
                (Some(id), "backup") => map.insert("vmid".into(), json!(id)),
                (Some(id), _) => map.insert("vmid".into(), json!(id.parse::<u32>().unwrap_or(0))),
                (None, _) => None,
            };
            if let Some(notes) = &facts.notes {
                map.insert("notes".into(), json!(notes));
            }
            if facts.protected {
                map.insert("protected".into(), json!(1));
            }
        }
        rows.push(row);
    }
    Ok(Value::Array(rows).into())
}

/// The volume id a path speaks of, with or without its storage.
fn volid(call: &Call<'_>) -> Result<String, Refusal> {
    let given = call.text("volume").unwrap_or_default();
    match call.text("storage") {
        Some(storage) => match given.split_once(':') {
            Some((other, _)) if other != storage => Err(Refusal::parameter(
                "storage",
                format!("storage mismatch ('{other}' <> '{storage}')"),
            )),
            Some(_) => Ok(given),
            None => Ok(format!("{storage}:{given}")),
        },
        None if given.contains(':') => Ok(given),
        None => Err(Refusal::parameter(
            "storage",
            "storage ID not specified, and not contained in volume ID",
        )),
    }
}

/// May the caller look into this volume?
fn readable(call: &Call<'_>, volid: &str) -> Result<(), Refusal> {
    let (storage, name) = volid.split_once(':').unwrap_or_default();
    let path = format!("/storage/{storage}");
    if call.need(&path, &["Datastore.Allocate"]).is_ok() {
        return Ok(());
    }
    if let Some(owner) = disk_owner(name) {
        call.need(&path, &["Datastore.Audit"])?;
        return call.need(&format!("/vms/{owner}"), &["VM.Config.Disk"]);
    }
    call.need_any(&path, &["Datastore.Audit", "Datastore.AllocateSpace"])
}

pub(super) fn show(call: &mut Call<'_>) -> Reply {
    let volid = volid(call)?;
    let (name, volume) = volid.split_once(':').unwrap_or_default();
    storage::here(call, name)?;
    readable(call, &volid)?;
    let Some(facts) = call.state.volume(&call.node(), &volid) else {
        return Err(Refusal::failed(format!("volume_size_info on '{volid}' failed")));
    };
    let path = match content_of(volume) {
        "vztmpl" => volume.replacen("vztmpl/", "template/cache/", 1),
        "iso" => volume.replacen("iso/", "template/iso/", 1),
        _ => volume.to_owned(),
    };
    let mut answer = json!({
        "path": format!("/var/lib/vz/{path}"), "size": facts.bytes, "used": facts.bytes, "format": format(volume),
    });
    if let Some(map) = answer.as_object_mut() {
        if let Some(notes) = &facts.notes {
            map.insert("notes".into(), json!(notes));
        }
        if facts.protected {
            map.insert("protected".into(), json!(1));
        }
    }
    Ok(answer.into())
}

/// `POST …/content`: a new disk for a guest, which need not exist.
pub(super) fn allocate(call: &mut Call<'_>) -> Reply {
    let name = call.text("storage").unwrap_or_default();
    let filename = call.text("filename").unwrap_or_default();
    let vmid = call.vmid();
    let storage = storage::here(call, &name)?;
    let file_based = matches!(storage.spec.plugin.as_str(), "dir" | "nfs");
    if disk_owner(&filename) != Some(vmid) {
        return Err(Refusal::failed(format!(
            "illegal name '{filename}' - should be 'vm-{vmid}-*'"
        )));
    }
    let size = call.text("size").unwrap_or_default();
    // A bare number is kilobytes here.
    let bytes = match size.parse::<u64>() {
        Ok(kib) => kib << 10,
        Err(_) => bytes_of(&size).unwrap_or(0),
    };
    let node = call.node();
    let below = if file_based { format!("{vmid}/{filename}") } else { filename };
    let volid = format!("{name}:{below}");
    if call.state.volume_exists(&node, &volid) {
        return Err(Refusal::failed(format!("disk image '{below}' already exists")));
    }
    call.state.room(&node, &name, vmid).map_err(Refusal::failed)?;
    let (now, user) = (call.now, call.caller.id());
    let volume = Volume {
        bytes,
        disk: true,
        created: now as u64,
        data: call.state.fresh_data(),
        ..Volume::default()
    };
    call.state.put_volume(&node, &volid, volume);
    call.state.note(now, "alloc", Some(vmid), &node, &user, &volid);
    Ok(json!(volid).into())
}

/// Notes and protection.
pub(super) fn annotate(call: &mut Call<'_>) -> Reply {
    let volid = volid(call)?;
    let name = volid.split(':').next().unwrap_or_default().to_owned();
    storage::here(call, &name)?;
    call.need(&format!("/storage/{name}"), &["Datastore.Allocate"])?;
    let (notes, protected) = (call.text("notes"), call.text("protected"));
    let node = call.node();
    let Some(volume) = call.state.volume_mut(&node, &volid) else {
        return Err(Refusal::failed(format!("volume '{volid}' does not exist")));
    };
    if content_of(volid.split(':').nth(1).unwrap_or_default()) != "backup" {
        return Err(Refusal::failed("attribute 'notes' is not supported for volume type"));
    }
    if let Some(notes) = notes {
        volume.notes = Some(notes).filter(|n| !n.is_empty());
    }
    if let Some(protected) = protected {
        volume.protected = protected == "1";
    }
    Ok(Value::Null.into())
}

pub(super) fn delete(call: &mut Call<'_>) -> Reply {
    let volid = volid(call)?;
    let (name, volume) = volid.split_once(':').unwrap_or_default();
    storage::here(call, name)?;
    let path = format!("/storage/{name}");
    match disk_owner(volume) {
        // The owner's configuration rights are enough for a disk, the storage's for everything.
        Some(owner) if call.need(&format!("/vms/{owner}"), &["VM.Config.Disk"]).is_ok() => {
            call.need_any(&path, &["Datastore.Allocate", "Datastore.AllocateSpace"])?;
        }
        _ if content_of(volume) == "vztmpl" || content_of(volume) == "iso" => {
            call.need_any(&path, &["Datastore.Allocate", "Datastore.AllocateTemplate"])?;
        }
        _ => call.need(&path, &["Datastore.Allocate"])?,
    }
    let node = call.node();
    if let Some(vmid) = call.state.user_of(&node, &volid) {
        return Err(Refusal::failed(format!(
            "cannot remove volume '{volid}': it is in use by guest {vmid}"
        )));
    }
    if call.state.volume(&node, &volid).is_some_and(|v| v.protected) {
        return Err(Refusal::failed(format!("can't remove volume '{volid}', it is protected")));
    }
    let (id, line) =
        (volid.replace(':', "@").replace('/', "-"), format!("Removed volume '{volid}'"));
    let script =
        Script::new().act(0.6, Effect::DropVolume { node, volid: volid.clone() }).say(0.0, line);
    call.task("imgdel", &id, script)
}
