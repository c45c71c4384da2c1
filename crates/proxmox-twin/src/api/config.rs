//! Reading and changing a guest's configuration: digests, locks, pending changes, rights per option.
//!
//! A change that fails at the network has already written the rest (measured): a 500 does not mean that
//! nothing changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Call, create};
use crate::guest::{GuestKind, is_disk};
use crate::reply::{Refusal, Reply};
use crate::schema::{Table, property_string};
use crate::state::unique_tags;

/// Parameters of a change that are not options of the guest.
const NOT_OPTIONS: [&str; 8] =
    ["node", "vmid", "digest", "delete", "revert", "skiplock", "force", "import-working-storage"];

/// What a running virtual machine takes up only at its next start.
const COLD_QEMU: [&str; 13] = [
    "cores", "sockets", "memory", "cpu", "bios", "machine", "numa", "balloon", "vga", "scsihw",
    "ostype", "boot", "agent",
];
/// What a running container takes up at once because nothing has to happen.
const FAST_LXC: [&str; 9] = [
    "description",
    "onboot",
    "startup",
    "protection",
    "hostname",
    "hookscript",
    "cores",
    "tags",
    "lock",
];

/// Is a change carried out at once, or does it wait for the next start? `old` says that there is a value now.
fn at_once(kind: GuestKind, running: bool, key: &str, old: bool, deleting: bool) -> bool {
    if !running {
        return true;
    }
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    match kind {
        GuestKind::Qemu => !COLD_QEMU.contains(&key),
        GuestKind::Lxc if FAST_LXC.contains(&key) => true,
        GuestKind::Lxc if deleting => {
            matches!(stem, "swap" | "cpulimit" | "cpuunits" | "net" | "unused")
        }
        // A new mount point is mounted into the running container, a changed one is not.
        GuestKind::Lxc if stem == "mp" => !old,
        GuestKind::Lxc => {
            matches!(stem, "memory" | "swap" | "cpulimit" | "cpuunits" | "net" | "unused")
        }
    }
}

pub(super) fn show(call: &mut Call<'_>) -> Reply {
    let guest = call.guest()?;
    if let Some(name) = call.text("snapshot") {
        let snapshot = guest.snapshots.iter().find(|s| s.name == name);
        let Some(snapshot) = snapshot else {
            return Err(Refusal::failed(format!("snapshot '{name}' does not exist")));
        };
        return Ok(Value::Object(guest.config_json(&snapshot.config)).into());
    }
    let mut config = guest.config.clone();
    if !call.flag("current") {
        for (key, value) in &guest.pending {
            match value {
                Some(value) => config.insert(key.clone(), value.clone()),
                None => config.remove(key),
            };
        }
    }
    Ok(Value::Object(guest.config_json(&config)).into())
}

pub(super) fn pending(call: &mut Call<'_>) -> Reply {
    let guest = call.guest()?;
    let keys: BTreeSet<&String> = guest.config.keys().chain(guest.pending.keys()).collect();
    let mut rows: Vec<Value> = keys
        .into_iter()
        .map(|key| {
            let mut row = json!({"key": key});
            if let Some(map) = row.as_object_mut() {
                if let Some(value) = guest.config.get(key) {
                    map.insert("value".into(), json!(value));
                }
                match guest.pending.get(key) {
                    Some(Some(value)) => {
                        map.insert("pending".into(), json!(value));
                    }
                    Some(None) => {
                        map.insert("delete".into(), json!(1));
                    }
                    None => {}
                }
            }
            row
        })
        .collect();
    rows.push(json!({"key": "digest", "value": guest.digest()}));
    Ok(Value::Array(rows).into())
}

/// The privilege an option needs.
fn privilege(kind: GuestKind, key: &str) -> &'static str {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem {
        "cores" | "cpulimit" | "cpuunits" | "sockets" | "cpu" | "vcpus" | "numa" | "affinity" => {
            "VM.Config.CPU"
        }
        "memory" | "swap" | "balloon" | "shares" | "hugepages" => "VM.Config.Memory",
        "net" | "nameserver" | "searchdomain" => "VM.Config.Network",
        "hostname" if kind == GuestKind::Lxc => "VM.Config.Network",
        "rootfs" | "mp" | "unused" | "scsi" | "virtio" | "sata" | "ide" | "efidisk"
        | "tpmstate" => "VM.Config.Disk",
        "cipassword" | "ciuser" | "sshkeys" | "ipconfig" | "cicustom" | "citype" | "ciupgrade" => {
            "VM.Config.Cloudinit"
        }
        "vga" | "bios" | "machine" | "scsihw" | "usb" | "hostpci" | "serial" | "parallel"
        | "audio" | "rng" | "acpi" | "watchdog" => "VM.Config.HWType",
        "cdrom" => "VM.Config.CDROM",
        _ => "VM.Config.Options",
    }
}

/// Checks the rights to set `options` on the guest `vmid`, as creation and changes both do.
pub(super) fn rights(
    call: &Call<'_>,
    vmid: u32,
    options: &BTreeMap<String, String>,
    creating: bool,
) -> Result<(), Refusal> {
    let path = format!("/vms/{vmid}");
    for (key, value) in options {
        only_root(call, key, value)?;
        // Whoever may create the guest may give it everything.
        if !creating {
            call.need(&path, &[privilege(call.kind, key)])?;
        }
        if key.starts_with("net")
            && key != "nameserver"
            && let Some(bridge) = value.split(',').find_map(|p| p.strip_prefix("bridge="))
        {
            let zone = call.state.sdn.running.zone_of(bridge).map_or("localnetwork", |(z, _)| z);
            call.need(&format!("/sdn/zones/{zone}/{bridge}"), &["SDN.Use"])?;
        }
    }
    Ok(())
}

/// What only the real root@pam by ticket may set.
fn only_root(call: &Call<'_>, key: &str, value: &str) -> Result<(), Refusal> {
    if call.caller.is_root() {
        return Ok(());
    }
    let lxc = call.kind == GuestKind::Lxc;
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let text = match stem {
        "features"
            if lxc && value.split(',').any(|f| !f.starts_with("nesting=") && !f.is_empty()) =>
        {
            "changing feature flags (except nesting) is only allowed for root@pam"
        }
        "mp" | "rootfs" if lxc && value.trim_start_matches("volume=").starts_with('/') => {
            "mount point type bind is only allowed for root@pam"
        }
        "dev" if lxc => "configuring device passthrough is only allowed for root@pam",
        "hookscript" => "changing the hookscript is only allowed for root@pam",
        "args" => return Err(Refusal::failed("only root can set 'args' config")),
        _ => return Ok(()),
    };
    Err(Refusal::denied(text))
}

/// Registered tags may be set or removed by those with Sys.Modify on `/` only.
pub(super) fn tag_rights(call: &Call<'_>, old: &str, new: &str) -> Result<(), Refusal> {
    if call.need("/", &["Sys.Modify"]).is_ok() {
        return Ok(());
    }
    let set = |text: &str| -> BTreeSet<String> { text.split(';').map(str::to_owned).collect() };
    let (old, new) = (set(&unique_tags(old)), set(&unique_tags(new)));
    for tag in old.symmetric_difference(&new) {
        if call.state.registered_tags.contains(tag) {
            return Err(Refusal::failed(format!(
                "'Sys.Modify' required on '/' for modifying tag '{tag}'"
            )));
        }
    }
    Ok(())
}

/// The options among the parameters, as they will be stored.
pub(super) fn options(call: &Call<'_>, known: &str) -> BTreeMap<String, String> {
    let table = Table::parse(known).unwrap_or_default();
    call.args
        .keys()
        .filter(|key| !NOT_OPTIONS.contains(&key.as_str()) && table.find(key).is_some())
        .filter_map(|key| {
            let text = call.text(key)?;
            let text = if key == "tags" { unique_tags(&text) } else { text };
            Some((key.clone(), text))
        })
        .collect()
}

/// Refuses a stale digest; the two kinds of guest word it differently.
pub(super) fn digest(call: &Call<'_>) -> Result<(), Refusal> {
    let Some(given) = call.text("digest") else { return Ok(()) };
    if given == call.guest()?.digest() {
        return Ok(());
    }
    Err(Refusal::failed(match call.kind {
        GuestKind::Lxc => {
            "detected modified configuration - file changed by other user? Try again."
        }
        GuestKind::Qemu => "checksum mismatch (file change by other user?)",
    }))
}

fn group(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Lxc => "@lxc-options",
        GuestKind::Qemu => "@qemu-options",
    }
}

pub(super) fn update(call: &mut Call<'_>) -> Reply {
    let (vmid, kind) = (call.vmid(), call.kind);
    if call.flag("skiplock") && !call.caller.is_root() {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    call.guest()?;
    let mut set = options(call, group(kind));
    let list = |name: &str| -> Vec<String> {
        call.text(name)
            .map(|t| {
                t.split([',', ';', ' ']).filter(|p| !p.is_empty()).map(str::to_owned).collect()
            })
            .unwrap_or_default()
    };
    let (delete, revert) = (list("delete"), list("revert"));
    if set.is_empty() && delete.is_empty() && revert.is_empty() {
        return Err(Refusal::failed("no options specified"));
    }
    let mut touched = set.clone();
    touched.extend(delete.iter().map(|key| (key.clone(), String::new())));
    rights(call, vmid, &touched, false)?;
    let guest = call.guest()?;
    let old_tags = guest.config.get("tags").cloned().unwrap_or_default();
    if let Some(tags) = set.get("tags") {
        tag_rights(call, &old_tags, tags)?;
    } else if delete.iter().any(|k| k == "tags") {
        tag_rights(call, &old_tags, "")?;
    }
    call.quorum()?;
    digest(call)?;
    call.unlocked()?;
    if kind == GuestKind::Lxc
        && (set.contains_key("unprivileged") || delete.iter().any(|k| k == "unprivileged"))
    {
        return Err(Refusal::failed("unable to modify read-only option: 'unprivileged'"));
    }
    if let Some(key) = delete.iter().find(|k| *k == "rootfs") {
        return Err(Refusal::failed(format!("unable to delete required option '{key}'")));
    }
    let table = Table::parse(group(kind)).unwrap_or_default();
    if let Some(key) = delete.iter().find(|k| table.find(k).is_none()) {
        return Err(Refusal::parameter("delete", format!("unknown option '{key}'")));
    }
    for (_, text) in set.iter().filter(|(key, _)| is_disk(key)) {
        create::check_disk(call, vmid, text)?;
    }
    let broken = bridge_missing(call, &set);
    for (key, value) in &mut set {
        complete_net(kind, u64::from(vmid), key, value);
    }
    let keys: Vec<String> = set.keys().chain(&delete).cloned().collect();
    let errors = change(call, set, delete, &revert)?;
    let (now, user) = (call.now, call.caller.id());
    let mut keys = keys;
    keys.sort();
    call.state.note_guest(now, "config", vmid, &user, &keys.join(","));
    if !errors.is_empty() {
        return Err(Refusal::invalid(errors));
    }
    match broken {
        Some(text) => Err(Refusal::failed(text)),
        None => Ok(Value::Null.into()),
    }
}

/// Carries a checked change out; what cannot be applied stays pending and is told.
fn change(
    call: &mut Call<'_>,
    set: BTreeMap<String, String>,
    delete: Vec<String>,
    revert: &[String],
) -> Result<BTreeMap<String, String>, Refusal> {
    let (vmid, kind, now) = (call.vmid(), call.kind, call.now);
    let guest = call.guest_mut()?;
    let running = guest.running.is_some();
    for key in revert {
        guest.pending.remove(key);
    }
    let mut errors = BTreeMap::new();
    for key in delete {
        let guest = call.guest_mut()?;
        guest.pending.remove(&key);
        if !at_once(kind, running, &key, true, true) {
            if guest.config.contains_key(&key) {
                guest.pending.insert(key, None);
            }
        } else if is_disk(&key) {
            call.state.drop_disk(vmid, &key);
        } else {
            guest.config.remove(&key);
        }
    }
    for (key, value) in set {
        let guest = call.guest_mut()?;
        guest.pending.remove(&key);
        let old = guest.config.get(&key);
        if old == Some(&value) {
            continue;
        }
        if !at_once(kind, running, &key, old.is_some(), false) {
            guest.pending.insert(key, Some(value));
        } else if is_disk(&key) {
            if let Err(text) = call.state.set_disk(now, vmid, &key, &value) {
                call.guest_mut()?.pending.insert(key.clone(), Some(value));
                let lead = if running {
                    format!("unable to hotplug {key}: ")
                } else {
                    format!("unable to apply pending change {key} : ")
                };
                errors.insert(key, format!("{lead}{text}\n"));
            }
        } else if key == "description" && value.is_empty() {
            guest.config.remove(&key);
        } else {
            guest.config.insert(key, value);
        }
    }
    Ok(errors)
}

/// The same for a virtual machine as a task; what can be refused at once still is.
pub(super) fn update_in_task(call: &mut Call<'_>) -> Reply {
    update(call)?;
    let id = call.vmid().to_string();
    call.task("qmconfig", &id, crate::task::Script::new())
}

fn bridge_missing(call: &Call<'_>, set: &BTreeMap<String, String>) -> Option<String> {
    set.iter().filter(|(k, _)| k.starts_with("net") && *k != "nameserver").find_map(|(_, value)| {
        let bridge = value.split(',').find_map(|p| p.strip_prefix("bridge="))?;
        let known = call.state.has_bridge(&call.node(), bridge);
        (!known).then(|| format!("bridge '{bridge}' does not exist"))
    })
}

/// A network card gets its address when none is given.
pub(super) fn complete_net(kind: GuestKind, seed: u64, key: &str, value: &mut String) {
    let Some(index) = key.strip_prefix("net").and_then(|n| n.parse::<u64>().ok()) else { return };
    let mac = crate::world::mac(seed ^ (index << 32));
    match kind {
        GuestKind::Lxc => {
            let parts = property_string("lxc-net", key, value).unwrap_or_default();
            if !parts.contains_key("hwaddr") {
                value.push_str(&format!(",hwaddr={mac}"));
            }
            if !parts.contains_key("type") {
                value.push_str(",type=veth");
            }
        }
        GuestKind::Qemu => {
            let (first, rest) = value.split_once(',').unwrap_or((value, ""));
            if !first.contains('=') {
                *value = if rest.is_empty() {
                    format!("{first}={mac}")
                } else {
                    format!("{first}={mac},{rest}")
                };
            }
        }
    }
}
