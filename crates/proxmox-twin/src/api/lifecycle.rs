//! Destroy, clone, migrate, template.

use serde_json::{Value, json};

use super::{Call, cluster, config, create};
use crate::effect::Effect;
use crate::guest::{GuestKind, disk_bytes, is_disk};
use crate::moves::local_resources;
use crate::reply::{Refusal, Reply};
use crate::script;
use crate::task::Script;
use crate::volume::{Place, volid_of};

pub(super) fn destroy(call: &mut Call<'_>) -> Reply {
    if call.flag("skiplock") && !call.caller.is_root() {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    let (vmid, short) = (call.vmid(), call.kind.short());
    let (force, purge) = (call.flag("force"), call.flag("purge"));
    let unreferenced = call.flag("destroy-unreferenced-disks");
    let guest = call.guest()?;
    if guest.is_protected() {
        return Err(Refusal::failed(format!(
            "can't remove {short} {vmid} - protection mode enabled"
        )));
    }
    call.quorum()?;
    call.unlocked()?;
    if guest.running.is_some() && !force {
        return Err(Refusal::failed(match call.kind {
            GuestKind::Lxc => format!("unable to destroy CT {vmid} - container is running"),
            GuestKind::Qemu => format!("VM {vmid} is running - destroy failed"),
        }));
    }
    let script = script::destroy(guest, purge, force, unreferenced);
    call.task(&format!("{}destroy", call.kind.prefix()), &vmid.to_string(), script)
}

pub(super) fn clone(call: &mut Call<'_>) -> Reply {
    let (vmid, kind) = (call.vmid(), call.kind);
    let new = call.number("newid").and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    call.need(&format!("/vms/{vmid}"), &["VM.Clone"])?;
    if create::may_allocate(call, new).is_err() {
        return Err(Refusal::denied(&format!("/vms/{new}, VM.Allocate")));
    }
    let source = call.guest()?.clone();
    create::pool_exists(call)?;
    call.quorum()?;
    call.unlocked()?;
    if let Some(text) = cluster::taken(call, new) {
        return Err(Refusal::failed(match kind {
            GuestKind::Lxc => text,
            GuestKind::Qemu => format!("unable to create VM {new}: config file already exists"),
        }));
    }
    let full = call.text("full").map_or(!source.is_template(), |v| v == "1");
    if !full && !source.is_template() {
        let (volid, disk) = (
            source.volumes().into_iter().next().map(|(v, _)| v).unwrap_or_default(),
            source.boot_disk(),
        );
        return Err(Refusal::failed(format!(
            "Linked clone feature is not supported for drive '{disk}' ({volid})"
        )));
    }
    if kind == GuestKind::Lxc && full && source.running.is_some() && call.text("snapname").is_none()
    {
        return Err(Refusal::failed(
            "Cannot do full clones on a running container without snapshots",
        ));
    }
    if let Some(name) = call.text("snapname")
        && !source.snapshots.iter().any(|s| s.name == name)
    {
        return Err(Refusal::failed(format!("snapshot '{name}' does not exist")));
    }
    let target = call.text("target").unwrap_or_else(|| source.node.clone());
    if call.state.node(&target).is_none() {
        return Err(Refusal::failed(format!("no such cluster node '{target}'")));
    }
    let local = source.volumes().iter().any(|(v, _)| {
        call.state.storage(v.split(':').next().unwrap_or_default()).is_none_or(|s| !s.spec.shared)
    });
    if target != source.node && local {
        return Err(Refusal::failed(format!(
            "can't clone {} to node '{target}' ({} uses local storage)",
            kind.short(),
            kind.short()
        )));
    }
    let storage = call.text("storage");
    if let Some(name) = &storage
        && call.state.storage(name).is_none()
    {
        return Err(Refusal::failed(format!("storage '{name}' does not exist")));
    }
    let mut copied = source.config.clone();
    for key in ["template", "lock", "protection"] {
        copied.remove(key);
    }
    copied.retain(|key, _| !key.starts_with("unused"));
    let place = Place { node: target.clone(), vmid: new, kind };
    for (key, value) in &mut copied {
        if is_disk(key) {
            let Some(old) = volid_of(value).map(str::to_owned) else { continue };
            let from = old.split(':').next().unwrap_or_default().to_owned();
            let bytes =
                call.state.volume(&source.node, &old).map_or(disk_bytes(value), |v| v.bytes);
            let store = storage.clone().unwrap_or(from);
            let volid = call.state.new_disk(call.now, &place, &store, bytes);
            *value = value.replacen(&old, &volid, 1);
        } else if key.starts_with("net") && key != "nameserver" {
            let without: Vec<&str> =
                value.split(',').filter(|p| !p.starts_with("hwaddr=")).collect();
            let mut fresh = without.join(",");
            if kind == GuestKind::Qemu
                && let Some((model, rest)) = value.split_once('=')
            {
                fresh = format!("{model},{}", rest.split_once(',').map_or("", |(_, r)| r))
                    .trim_end_matches(',')
                    .to_owned();
            }
            config::complete_net(kind, u64::from(new), key, &mut fresh);
            *value = fresh;
        }
    }
    let (key, given) = match kind {
        GuestKind::Lxc => ("hostname", call.text("hostname").unwrap_or_else(|| format!("CT{new}"))),
        GuestKind::Qemu => {
            ("name", call.text("name").unwrap_or_else(|| format!("Copy-of-VM-{}", source.name())))
        }
    };
    copied.insert(key.to_owned(), given);
    if let Some(text) = call.text("description") {
        copied.insert("description".to_owned(), text);
    }
    let mut copy = create::newborn(call, new, &target, copied, Vec::new());
    copy.image.clone_from(&source.image);
    copy.unhealthy = source.unhealthy;
    call.state.guests.insert(new, copy.clone());
    let script = script::clone(&source, &copy, full);
    call.task(&format!("{}clone", kind.prefix()), &vmid.to_string(), script)
}

pub(super) fn migrate_info(call: &mut Call<'_>) -> Reply {
    let guest = call.guest()?;
    if call.kind == GuestKind::Qemu {
        call.unlocked()?;
    }
    let others = call.state.nodes.iter().map(|n| n.name.as_str());
    let others = others.filter(|n| *n != guest.node && call.state.online(n));
    let running = u8::from(guest.running.is_some());
    let (mut allowed, mut not_allowed) = (Vec::new(), serde_json::Map::new());
    for node in others {
        let missing = call.state.missing_storages(guest, node);
        // While it runs, its disks may go to other storages.
        if call.kind == GuestKind::Lxc || running == 1 || missing.is_empty() {
            allowed.push(node);
        } else {
            not_allowed.insert(node.to_owned(), json!({"unavailable_storages": missing}));
        }
    }
    Ok(match call.kind {
        GuestKind::Lxc => json!({"running": running, "allowed-nodes": allowed, "not-allowed-nodes": {}, "dependent-ha-resources": []}),
        GuestKind::Qemu => {
            let disks: Vec<Value> = call
                .state
                .local_disks(guest)
                .into_iter()
                .map(|(volid, size, disc)| json!({"volid": volid, "size": size, "cdrom": u8::from(disc), "is_attached": 1, "is_unused": 0}))
                .collect();
            json!({
                "running": running, "allowed_nodes": allowed, "not_allowed_nodes": not_allowed, "local_disks": disks,
                "local_resources": local_resources(guest),
                "mapped-resources": [], "mapped-resource-info": {}, "dependent-ha-resources": [], "has-dbus-vmstate": 1,
            })
        }
    }
    .into())
}

/// Checked at once: the target, quorum, how a running guest is moved; for machines also lock and storages.
pub(super) fn migrate(call: &mut Call<'_>) -> Reply {
    let (vmid, kind) = (call.vmid(), call.kind);
    let target = call.text("target").unwrap_or_default();
    let guest = call.guest()?;
    if target == guest.node {
        return Err(Refusal::parameter("target", "target is local node."));
    }
    let Some(node) = call.state.node(&target) else {
        return Err(Refusal::failed(format!("no such cluster node '{target}'")));
    };
    let address = node.address.clone();
    call.quorum()?;
    if kind == GuestKind::Qemu {
        call.unlocked()?;
    }
    let running = guest.running.is_some();
    if running {
        match kind {
            GuestKind::Lxc if !call.flag("restart") && !call.flag("online") => {
                return Err(Refusal::failed(
                    "can't migrate running container without --online or --restart",
                ));
            }
            GuestKind::Qemu if !call.flag("online") => {
                return Err(Refusal::failed("can't migrate running VM without --online"));
            }
            _ => {}
        }
    }
    let moved = call.text("targetstorage").is_some();
    if kind == GuestKind::Qemu
        && !moved
        && let Some(storage) = call.state.missing_storages(guest, &target).first()
    {
        return Err(Refusal::failed(format!(
            "storage '{storage}' is not available on node '{target}'"
        )));
    }
    if guest.ha.is_some() {
        let script = script::ask_ha(guest, &target);
        return call.task("hamigrate", &vmid.to_string(), script);
    }
    let reachable = call.state.online(&target);
    let script = if running && kind == GuestKind::Lxc && call.flag("online") {
        let text = "lxc live migration is currently not implemented".to_owned();
        Script::new().act(0.1, Effect::CheckLock { vmid }).act(0.1, Effect::Fail(text))
    } else if reachable {
        script::migrate(guest, &target, &address, call.flag("with-local-disks"))
    } else {
        Script::new()
            .say(
                0.3,
                format!(
                    "{{ts}} # /usr/bin/ssh -e none -o 'BatchMode=yes' root@{address} /bin/true"
                ),
            )
            .say(2.0, format!("{{ts}} ssh: connect to host {address} port 22: No route to host"))
            .act(
                0.1,
                Effect::Fail("Can't connect to destination address using public key".to_owned()),
            )
    };
    let task = if kind == GuestKind::Lxc { "vzmigrate" } else { "qmigrate" };
    call.task(task, &vmid.to_string(), script)
}

/// A container becomes a template at once; a virtual machine in a task.
pub(super) fn template(call: &mut Call<'_>) -> Reply {
    let (vmid, short) = (call.vmid(), call.kind.short());
    let guest = call.guest()?;
    call.quorum()?;
    call.unlocked()?;
    if !guest.snapshots.is_empty() {
        return Err(Refusal::failed(format!(
            "unable to create template, because {short} contains snapshots"
        )));
    }
    if guest.is_template() {
        return Err(Refusal::failed("you can't convert a template to a template"));
    }
    if guest.running.is_some() {
        return Err(Refusal::failed(format!(
            "you can't convert a {short} to template if the {short} is running"
        )));
    }
    if call.kind == GuestKind::Qemu {
        let script = script::quick(vmid, 1.2, Effect::Template { vmid });
        return call.task("qmtemplate", &vmid.to_string(), script);
    }
    let (now, user) = (call.now, call.caller.id());
    call.state.apply(now, &user, &Effect::Template { vmid }).map_err(Refusal::failed)?;
    Ok(Value::Null.into())
}
