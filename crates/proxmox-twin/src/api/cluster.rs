//! `/version` and `/cluster/…`: the whole cluster at a glance.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Call, RELEASE, REPOID, VERSION};
use crate::access::privilege;
use crate::guest::{Figures, GuestKind};
use crate::reply::{Data, Refusal, Reply};

pub(super) fn version(_: &mut Call<'_>) -> Reply {
    Ok(json!({"version": VERSION, "release": RELEASE, "repoid": REPOID}).into())
}

pub(super) fn status(call: &mut Call<'_>) -> Reply {
    let state = &call.state;
    let quorate = u8::from(!state.troubles.no_quorum());
    let mut rows = vec![json!({
        "id": "cluster",
        "name": state.settings.cluster,
        "type": "cluster",
        "nodes": state.nodes.len(),
        "version": state.nodes.len(),
        "quorate": quorate,
    })];
    for (n, node) in state.nodes.iter().enumerate() {
        rows.push(json!({
            "id": format!("node/{}", node.name),
            "name": node.name,
            "type": "node",
            "nodeid": n + 1,
            "ip": node.address,
            "level": "",
            "local": u8::from(node.name == call.local),
            "online": u8::from(state.online(&node.name)),
        }));
    }
    Ok(Value::Array(rows).into())
}

pub(super) fn resources(call: &mut Call<'_>) -> Reply {
    let wanted = call.text("type");
    let wants = |kind: &str| wanted.as_deref().is_none_or(|w| w == kind);
    let mut rows = Vec::with_capacity(32);
    if wants("node") {
        node_rows(call, &mut rows);
    }
    if wants("storage") {
        storage_rows(call, &mut rows);
    }
    if wants("sdn") {
        for node in call.state.nodes.iter().filter(|n| call.state.online(&n.name)) {
            rows.push(json!({"id": format!("sdn/{}/localnetwork", node.name), "type": "sdn", "sdn": "localnetwork", "node": node.name, "status": "ok"}));
            for zone in call.state.sdn.running.zones.keys() {
                rows.push(json!({"id": format!("sdn/{}/{zone}", node.name), "type": "sdn", "sdn": zone, "node": node.name, "status": "ok"}));
            }
        }
    }
    // Rows of guests are written at once: there may be tens of thousands.
    let mut out = vec![b'['];
    if wants("vm") {
        guest_rows(call, &mut out);
    }
    for row in rows {
        write_row(&row, &mut out);
    }
    if out.len() > 1 {
        out.pop();
    }
    out.push(b']');
    Ok(Data::written(out))
}

/// Writes one row and a comma. Writing to a Vec cannot fail.
fn write_row(row: &impl Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(&mut *out, row);
    out.push(b',');
}

/// A guest in `cluster/resources`; figures are absent while its node is not heard of.
#[derive(Serialize)]
struct GuestRow<'a> {
    id: String,
    r#type: &'a str,
    vmid: u32,
    node: &'a str,
    name: String,
    template: u8,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hastate: Option<&'a str>,
    #[serde(flatten)]
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<GuestFigures>,
}

/// The figures of a guest whose node is online.
#[derive(Serialize)]
struct GuestFigures {
    maxcpu: u32,
    maxmem: u64,
    maxdisk: u64,
    cpu: f64,
    mem: u64,
    memhost: u64,
    disk: u64,
    uptime: u64,
    netin: u64,
    netout: u64,
    diskread: u64,
    diskwrite: u64,
}

fn guest_rows(call: &Call<'_>, out: &mut Vec<u8>) {
    let state = &call.state;
    let audit = privilege("VM.Audit");
    let nodes: HashMap<&str, (u32, bool)> =
        state.nodes.iter().map(|n| (n.name.as_str(), (n.cores, state.online(&n.name)))).collect();
    for guest in state.guests.values() {
        let path = format!("/vms/{}", guest.vmid);
        if state.access.effective(&call.caller, &path, guest.pool.as_deref()) & audit == 0 {
            continue;
        }
        let (cores, online) = nodes.get(guest.node.as_str()).copied().unwrap_or((1, false));
        let figures = online.then(|| {
            let now = guest.figures(call.now);
            let figure = |get: fn(&Figures) -> u64| now.as_ref().map_or(0, get);
            GuestFigures {
                maxcpu: guest.cores(cores),
                maxmem: guest.max_mem(),
                maxdisk: guest.max_disk(),
                cpu: now.as_ref().map_or(0.0, |f| f.cpu),
                mem: figure(|f| f.mem),
                memhost: figure(|f| f.mem + (f.mem >> 5)),
                disk: figure(|f| f.disk),
                uptime: figure(|f| f.uptime),
                netin: figure(|f| f.netin),
                netout: figure(|f| f.netout),
                diskread: figure(|f| f.diskread),
                diskwrite: figure(|f| f.diskwrite),
            }
        });
        let row = GuestRow {
            id: format!("{}/{}", guest.kind.path(), guest.vmid),
            r#type: guest.kind.path(),
            vmid: guest.vmid,
            node: &guest.node,
            name: guest.name(),
            template: u8::from(guest.is_template()),
            status: if online { guest.status() } else { "unknown" },
            pool: guest.pool.as_deref(),
            tags: guest.config.get("tags").map(String::as_str),
            lock: guest.lock(),
            hastate: guest.ha.as_deref(),
            figures,
        };
        write_row(&row, out);
    }
}

fn node_rows(call: &Call<'_>, rows: &mut Vec<Value>) {
    let state = &call.state;
    let loads = state.node_load(call.now);
    for node in &state.nodes {
        let mut row = json!({
            "id": format!("node/{}", node.name),
            "type": "node",
            "node": node.name,
            "status": if state.online(&node.name) { "online" } else { "offline" },
        });
        let path = format!("/nodes/{}", node.name);
        let audit = call.need(&path, &["Sys.Audit"]).is_ok();
        if let (true, true, Some(map)) = (state.online(&node.name), audit, row.as_object_mut()) {
            let (cpu, mem) = loads.get(node.name.as_str()).copied().unwrap_or_default();
            let (disk, maxdisk) = state.root_disk(&node.name);
            let more = json!({
                "level": "",
                "cgroup-mode": 2,
                "cpu": cpu,
                "maxcpu": node.cores,
                "mem": mem,
                "maxmem": node.memory,
                "disk": disk,
                "maxdisk": maxdisk,
                "uptime": (call.now - node.booted) as u64,
            });
            if let Value::Object(more) = more {
                map.extend(more);
            }
        }
        rows.push(row);
    }
}

fn storage_rows(call: &Call<'_>, rows: &mut Vec<Value>) {
    let state = &call.state;
    for storage in &state.storages {
        let name = &storage.spec.name;
        let path = format!("/storage/{name}");
        if call.need_any(&path, &["Datastore.Audit", "Datastore.AllocateSpace"]).is_err() {
            continue;
        }
        for node in state.nodes.iter().filter(|n| storage.on(&n.name)) {
            let online = state.online(&node.name);
            let (used, total) = state.storage_use(&node.name, storage);
            let mut row = json!({
                "id": format!("storage/{}/{name}", node.name),
                "type": "storage",
                "node": node.name,
                "storage": name,
                "plugintype": storage.spec.plugin,
                "content": storage.spec.content,
                "shared": u8::from(storage.spec.shared),
                "status": if online { "available" } else { "unknown" },
            });
            if let (true, Some(map)) = (online, row.as_object_mut()) {
                map.insert("disk".into(), json!(used));
                map.insert("maxdisk".into(), json!(total));
            }
            rows.push(row);
        }
    }
}

/// The first free id from 100 on; nothing is reserved, so two askers get the same.
pub(super) fn nextid(call: &mut Call<'_>) -> Reply {
    if let Some(vmid) = call.number("vmid").and_then(|v| u32::try_from(v).ok()) {
        if call.state.guests.contains_key(&vmid) {
            return Err(Refusal::parameter("vmid", format!("VM {vmid} already exists")));
        }
        return Ok(json!(vmid.to_string()).into());
    }
    let free = (100..1_000_000).find(|vmid| !call.state.guests.contains_key(vmid));
    match free {
        Some(vmid) => Ok(json!(vmid.to_string()).into()),
        None => Err(Refusal::failed("unable to get any free VMID in range [100, 1000000]")),
    }
}

pub(super) fn options(call: &mut Call<'_>) -> Reply {
    call.need("/", &["Sys.Audit"])?;
    let mut tags: Vec<String> = call.state.registered_tags.clone();
    for guest in call.state.guests.values() {
        tags.extend(
            guest.config.get("tags").into_iter().flat_map(|t| t.split(';')).map(str::to_owned),
        );
    }
    tags.sort();
    tags.dedup();
    Ok(json!({
        "console": "html5",
        "keyboard": "en-us",
        "allowed-tags": tags,
        "registered-tags": call.state.registered_tags,
        "mac_prefix": "BC:24:11",
    })
    .into())
}

pub(super) fn log(call: &mut Call<'_>) -> Reply {
    let max = usize::try_from(call.number("max").unwrap_or(50)).unwrap_or(50);
    let rows: Vec<Value> = call
        .state
        .tasks
        .iter()
        .rev()
        .take(max)
        .map(|(n, task)| {
            json!({
                "uid": n,
                "id": n + 1,
                "time": task.start as u64,
                "node": task.node,
                "pid": task.pid,
                "pri": 6,
                "tag": "pvedaemon",
                "user": task.user,
                "msg": format!("starting task {}\n", task.upid),
            })
        })
        .collect();
    Ok(Value::Array(rows).into())
}

/// Guests no backup job covers: all but those in the pool `prod`.
pub(super) fn not_backed_up(call: &mut Call<'_>) -> Reply {
    let rows: Vec<Value> = call
        .state
        .guests
        .values()
        .filter(|g| g.pool.as_deref() != Some("prod"))
        .map(|g| json!({"vmid": g.vmid, "name": g.name(), "type": g.kind.path()}))
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn ha_status(call: &mut Call<'_>) -> Reply {
    let node = call.local.clone();
    let quorate = !call.state.troubles.no_quorum();
    let status = if quorate { "OK".to_owned() } else { format!("No quorum on node '{node}'!") };
    Ok(json!([{
        "id": "quorum",
        "type": "quorum",
        "node": node,
        "status": status,
        "quorate": u8::from(quorate),
    }])
    .into())
}

/// Is this id that of a container? Used where a message names the kind of an existing guest.
pub(super) fn taken(call: &Call<'_>, vmid: u32) -> Option<String> {
    let guest = call.state.guests.get(&vmid)?;
    let short = if guest.kind == GuestKind::Lxc { "CT" } else { "VM" };
    Some(format!("{short} {vmid} already exists on node '{}'", guest.node))
}
