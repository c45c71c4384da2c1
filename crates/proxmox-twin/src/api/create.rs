//! Creating guests: everything the server checks before it forks, then a task.

use std::collections::BTreeMap;

use super::{Call, cluster, config};
use crate::guest::{Guest, GuestKind, Load, is_disk};
use crate::noise::mix;
use crate::reply::{Refusal, Reply};
use crate::script;
use crate::volume::{Place, disk_owner, volid_of, wanted_disk};

/// The right to make a guest with this id, directly or through a pool.
pub(super) fn may_allocate(call: &Call<'_>, vmid: u32) -> Result<(), Refusal> {
    if call.need(&format!("/vms/{vmid}"), &["VM.Allocate"]).is_ok() {
        return Ok(());
    }
    let pool = call.text("pool");
    if pool.is_some_and(|p| call.need(&format!("/pool/{p}"), &["VM.Allocate"]).is_ok()) {
        return Ok(());
    }
    Err(Refusal::denied(""))
}

pub(super) fn pool_exists(call: &Call<'_>) -> Result<(), Refusal> {
    match call.text("pool") {
        Some(pool) if !call.state.pools.contains_key(&pool) => {
            Err(Refusal::failed(format!("pool '{pool}' does not exist")))
        }
        _ => Ok(()),
    }
}

/// Checks a storage for new volumes.
fn storage_for(call: &Call<'_>, name: &str, content: &str) -> Result<(), Refusal> {
    let node = call.node();
    let Some(storage) = call.state.storage(name) else {
        return Err(Refusal::failed(format!("storage '{name}' does not exist")));
    };
    if !storage.on(&node) {
        return Err(Refusal::failed(format!("storage '{name}' is not available on node '{node}'")));
    }
    call.need(&format!("/storage/{name}"), &["Datastore.AllocateSpace"])?;
    if storage.holds(content) {
        return Ok(());
    }
    Err(Refusal::failed(if content == "rootdir" {
        format!("storage '{name}' does not support container directories")
    } else {
        format!("storage '{name}' does not support content-type '{content}'")
    }))
}

/// Checks what a disk text asks for: a storage for new disks, access to an existing one.
pub(super) fn check_disk(call: &Call<'_>, vmid: u32, text: &str) -> Result<(), Refusal> {
    let content = if call.kind == GuestKind::Lxc { "rootdir" } else { "images" };
    if let Some(source) = text.split(',').find_map(|p| p.strip_prefix("import-from="))
        && source.contains(':')
        && !call.state.volume_exists(&call.node(), source)
    {
        return Err(Refusal::failed(format!("volume '{source}' does not exist")));
    }
    if let Some((storage, _)) = wanted_disk(text) {
        return storage_for(call, storage, content);
    }
    let first = text.split(',').next().unwrap_or_default();
    let volid = first.trim_start_matches("volume=").trim_start_matches("file=");
    let Some((storage, name)) = volid.split_once(':') else { return Ok(()) };
    if name == "cloudinit" {
        return storage_for(call, storage, "images");
    }
    if call.state.storage(storage).is_none() {
        return Err(Refusal::failed(format!("storage '{storage}' does not exist")));
    }
    if name.starts_with("iso/") {
        let node = call.node();
        if !call.state.volume_exists(&node, volid) {
            return Err(Refusal::failed(format!("volume '{volid}' does not exist")));
        }
        return call.need_any(
            &format!("/storage/{storage}"),
            &["Datastore.Audit", "Datastore.AllocateSpace"],
        );
    }
    // Whoever owns the storage may mount everything on it; others what is theirs.
    let path = format!("/storage/{storage}");
    if call.need(&path, &["Datastore.Allocate"]).is_ok() {
        return Ok(());
    }
    match disk_owner(name) {
        Some(owner) if owner == vmid => Ok(()),
        Some(owner) => {
            call.need(&path, &["Datastore.Audit"])?;
            call.need(&format!("/vms/{owner}"), &["VM.Config.Disk"])
        }
        None => Err(Refusal::failed(format!("missing privileges to access {volid}"))),
    }
}

/// Makes the new disks of a guest that is being created; gives the existing volumes it takes over.
fn allocate_all(
    call: &mut Call<'_>,
    vmid: u32,
    config: &mut BTreeMap<String, String>,
) -> Result<Vec<String>, Refusal> {
    // The root disk is always number 0.
    let mut keys: Vec<String> = config.keys().filter(|k| is_disk(k)).cloned().collect();
    keys.sort_by_key(|k| (k != "rootfs", k.clone()));
    for key in &keys {
        if let Some(text) = config.get(key) {
            check_disk(call, vmid, text)?;
        }
    }
    let place = Place { node: call.node(), vmid, kind: call.kind };
    let mut borrowed = Vec::new();
    for key in keys {
        let Some(text) = config.get(&key).cloned() else { continue };
        let given = volid_of(&text).filter(|_| wanted_disk(&text).is_none()).map(str::to_owned);
        if let Some((storage, "cloudinit")) = given.as_deref().and_then(|v| v.split_once(':')) {
            config.insert(key, format!("{storage}:vm-{vmid}-cloudinit,media=cdrom"));
            continue;
        }
        // A volume that is not there fails in the task.
        if let Ok(text) = call.state.resolve_disk(call.now, &place, &key, &text) {
            config.insert(key, text);
        }
        borrowed.extend(given);
    }
    for (key, value) in config.iter_mut() {
        config::complete_net(call.kind, u64::from(vmid), key, value);
    }
    Ok(borrowed)
}

/// A guest that exists from now on, locked until its task is done.
pub(super) fn newborn(
    call: &mut Call<'_>,
    vmid: u32,
    node: &str,
    mut config: BTreeMap<String, String>,
    borrowed: Vec<String>,
) -> Guest {
    config.insert("lock".to_owned(), "create".to_owned());
    let guest = Guest {
        vmid,
        kind: call.kind,
        node: node.to_owned(),
        config,
        pending: BTreeMap::new(),
        pool: call.text("pool"),
        snapshots: Vec::new(),
        parent: None,
        running: None,
        paused: false,
        pid: 0,
        load: Load::from_seed(mix(call.state.settings.seed ^ u64::from(vmid))),
        ignores_shutdown: false,
        born: call.now,
        runs: Vec::new(),
        image: None,
        unhealthy: false,
        borrowed,
        ha: None,
    };
    call.state.guests.insert(vmid, guest.clone());
    guest
}

/// The operating system a template's name tells.
fn ostype(template: &str) -> &'static str {
    let file = template.split('/').next_back().unwrap_or_default();
    const KNOWN: [(&str, &str); 8] = [
        ("debian", "debian"),
        ("ubuntu", "ubuntu"),
        ("alpine", "alpine"),
        ("archlinux", "archlinux"),
        ("fedora", "fedora"),
        ("centos", "centos"),
        ("rockylinux", "centos"),
        ("opensuse", "opensuse"),
    ];
    KNOWN.iter().find(|(prefix, _)| file.starts_with(prefix)).map_or("unmanaged", |(_, os)| os)
}

fn new_vmid(call: &Call<'_>) -> Result<u32, Refusal> {
    let vmid = call.vmid();
    may_allocate(call, vmid)?;
    pool_exists(call)?;
    call.quorum()?;
    Ok(vmid)
}

pub(super) fn lxc(call: &mut Call<'_>) -> Reply {
    let vmid = new_vmid(call)?;
    let mut config = config::options(call, "@lxc-options");
    config::rights(call, vmid, &config, true)?;
    if let Some(tags) = config.get("tags") {
        config::tag_rights(call, "", tags)?;
    }
    if config.get("unprivileged").is_some_and(|v| v == "0") {
        call.need("/", &["Sys.Modify"])?;
    }
    if call.flag("restore") {
        return Err(Refusal::failed("restoring backups is not part of this simulation"));
    }
    if let Some(text) = cluster::taken(call, vmid) {
        return Err(Refusal::failed(text));
    }
    let template = call.text("ostemplate").unwrap_or_default();
    let Some((store, _)) = template.split_once(':') else {
        return Err(Refusal::failed(format!("unable to parse volume ID '{template}'")));
    };
    let Some(storage) = call.state.storage(store) else {
        return Err(Refusal::failed(format!("storage '{store}' does not exist")));
    };
    if !storage.on(&call.node()) {
        return Err(Refusal::failed(format!(
            "storage '{store}' is not available on node '{}'",
            call.node()
        )));
    }
    call.need_any(&format!("/storage/{store}"), &["Datastore.Audit", "Datastore.AllocateSpace"])?;
    if !config.contains_key("rootfs") {
        let place = call.text("storage").unwrap_or_else(|| "local".to_owned());
        config.insert("rootfs".to_owned(), format!("{place}:4"));
    }
    let borrowed = allocate_all(call, vmid, &mut config)?;
    let defaults = [
        ("arch", "amd64"),
        ("memory", "512"),
        ("swap", "512"),
        // The 9.x line makes containers unprivileged unless told otherwise.
        ("unprivileged", "1"),
        ("ostype", ostype(&template)),
    ];
    for (key, value) in defaults {
        config.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    config.remove("lock");
    config.entry("hostname".to_owned()).or_insert_with(|| format!("CT{vmid}"));
    let node = call.node();
    let image = call.state.volume(&node, &template).cloned();
    let reference = image.as_ref().and_then(|v| v.reference.clone()).unwrap_or_default();
    if let Some(remote) = call.state.internet.image(&reference) {
        // What the image says about itself becomes part of the configuration, unless something else is asked for.
        let entrypoint = remote.entrypoint.clone();
        config.entry("entrypoint".to_owned()).or_insert(entrypoint);
    }
    let mut guest = newborn(call, vmid, &node, config, borrowed);
    guest.unhealthy = image.as_ref().is_some_and(|v| v.unhealthy);
    guest.image = image.and_then(|v| v.reference).or_else(|| Some(template.clone()));
    call.state.guests.insert(vmid, guest.clone());
    let script = script::create_lxc(&guest, &template, call.flag("start"));
    call.task("vzcreate", &vmid.to_string(), script)
}

pub(super) fn qemu(call: &mut Call<'_>) -> Reply {
    let vmid = new_vmid(call)?;
    let mut config = config::options(call, "@qemu-options");
    config::rights(call, vmid, &config, true)?;
    if let Some(tags) = config.get("tags") {
        config::tag_rights(call, "", tags)?;
    }
    if call.args.contains_key("archive") {
        return Err(Refusal::failed("restoring backups is not part of this simulation"));
    }
    if cluster::taken(call, vmid).is_some() {
        return Err(Refusal::failed(format!(
            "unable to create VM {vmid} - {}",
            cluster::taken(call, vmid).unwrap_or_default()
        )));
    }
    let borrowed = allocate_all(call, vmid, &mut config)?;
    config.remove("lock");
    config.entry("memory".to_owned()).or_insert_with(|| "512".to_owned());
    config.insert("vmgenid".to_owned(), super::people::uuid());
    config.insert("smbios1".to_owned(), format!("uuid={}", super::people::uuid()));
    config.insert("meta".to_owned(), format!("creation-qemu=10.1.2,ctime={}", call.now as u64));
    let node = call.node();
    let guest = newborn(call, vmid, &node, config, borrowed);
    let script = script::create_qemu(&guest, call.flag("start"));
    call.task("qmcreate", &vmid.to_string(), script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Caller;

    #[test]
    fn a_token_of_root_is_not_root() {
        let token = Caller { user: "root@pam".into(), token: Some("t".into()) };
        assert!(!token.is_root());
        assert!(Caller { user: "root@pam".into(), token: None }.is_root());
    }

    #[test]
    fn templates_tell_their_system() {
        assert_eq!(ostype("local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"), "debian");
        assert_eq!(ostype("local:vztmpl/own.tar.gz"), "unmanaged");
    }
}
