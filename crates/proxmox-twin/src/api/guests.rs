//! Guests as they are: lists, present status, features, interfaces.

use serde_json::{Map, Value, json};

use super::Call;
use crate::guest::{Guest, GuestKind};
use crate::reply::Reply;

/// The fields lists and `status/current` share.
fn row(call: &Call<'_>, guest: &Guest) -> Map<String, Value> {
    let cores = guest.cores(call.state.node(&guest.node).map_or(1, |n| n.cores));
    let figures = guest.figures(call.now);
    let figure = |get: fn(&crate::guest::Figures) -> u64| json!(figures.as_ref().map_or(0, get));
    let mut row = Map::new();
    row.insert("vmid".into(), json!(guest.vmid));
    row.insert("name".into(), json!(guest.name()));
    row.insert("status".into(), json!(guest.status()));
    row.insert("cpus".into(), json!(cores));
    row.insert("maxmem".into(), json!(guest.max_mem()));
    row.insert("maxdisk".into(), json!(guest.max_disk()));
    row.insert("cpu".into(), figures.as_ref().map_or(json!(0), |f| json!(f.cpu)));
    row.insert("mem".into(), figure(|f| f.mem));
    row.insert("disk".into(), figure(|f| f.disk));
    row.insert("uptime".into(), figure(|f| f.uptime));
    row.insert("netin".into(), figure(|f| f.netin));
    row.insert("netout".into(), figure(|f| f.netout));
    row.insert("diskread".into(), figure(|f| f.diskread));
    row.insert("diskwrite".into(), figure(|f| f.diskwrite));
    if guest.kind == GuestKind::Lxc {
        row.insert("type".into(), json!("lxc"));
        row.insert("maxswap".into(), json!(guest.max_swap()));
        row.insert("swap".into(), json!(0));
    } else {
        row.insert("memhost".into(), figure(|f| f.mem + (f.mem >> 5)));
    }
    if guest.running.is_some() {
        row.insert("pid".into(), json!(guest.pid));
    }
    if guest.is_template() {
        row.insert("template".into(), json!(1));
    }
    if let Some(tags) = guest.config.get("tags") {
        row.insert("tags".into(), json!(tags));
    }
    if let Some(lock) = guest.lock() {
        row.insert("lock".into(), json!(lock));
    }
    row
}

pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let rows = call
        .state
        .guests
        .values()
        .filter(|g| g.kind == call.kind && g.node == node)
        .filter(|g| call.need(&format!("/vms/{}", g.vmid), &["VM.Audit"]).is_ok())
        .map(|g| {
            let mut row = row(call, g);
            if g.kind == GuestKind::Qemu && call.flag("full") {
                row.insert("qmpstatus".into(), json!(qmp(g)));
            }
            Value::Object(row)
        })
        .collect();
    Ok(Value::Array(rows).into())
}

const fn qmp(guest: &Guest) -> &'static str {
    match (guest.running.is_some(), guest.paused) {
        (true, true) => "paused",
        (true, false) => "running",
        _ => "stopped",
    }
}

pub(super) fn current(call: &mut Call<'_>) -> Reply {
    let guest = call.guest()?;
    let mut row = row(call, guest);
    row.insert(
        "ha".into(),
        match &guest.ha {
            Some(state) => json!({"managed": 1, "state": state}),
            None => json!({"managed": 0}),
        },
    );
    if guest.kind == GuestKind::Qemu {
        row.insert("qmpstatus".into(), json!(qmp(guest)));
        if guest.config.get("agent").is_some_and(|a| a.starts_with('1') || a.contains("enabled=1"))
        {
            row.insert("agent".into(), json!(1));
        }
        if guest.running.is_some() {
            row.insert("running-machine".into(), json!("pc-i440fx-10.1+pve0"));
            row.insert("running-qemu".into(), json!("10.1.2"));
        }
    }
    Ok(Value::Object(row).into())
}

pub(super) fn feature(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let guest = call.guest()?;
    let has = match call.text("feature").as_deref() {
        Some("snapshot") => call.state.can_snapshot(vmid),
        Some("clone") => guest.is_template(),
        _ => true,
    };
    let mut answer = json!({"hasFeature": u8::from(has)});
    if let (GuestKind::Qemu, Some(map)) = (call.kind, answer.as_object_mut()) {
        map.insert("nodes".into(), json!([guest.node]));
    }
    Ok(answer.into())
}

/// Until a DHCP server has answered a container that has just started.
const DHCP_SECONDS: f64 = 4.0;

/// The link-local address a network card gives itself (EUI-64).
fn link_local(mac: &str) -> String {
    let bytes: Vec<u8> = mac.split(':').filter_map(|p| u8::from_str_radix(p, 16).ok()).collect();
    match bytes.as_slice() {
        [a, b, c, d, e, f] => {
            format!(
                "fe80::{:x}:{:x}:{:x}:{:x}",
                u16::from(a ^ 2) << 8 | u16::from(*b),
                u16::from(*c) << 8 | 0xff,
                0xfe00 | u16::from(*d),
                u16::from(*e) << 8 | u16::from(*f)
            )
        }
        _ => "fe80::1".to_owned(),
    }
}

/// What whoever is root inside has made of them goes before what was given.
/// A stopped container has `null`, not an empty list (measured).
pub(super) fn interfaces(call: &mut Call<'_>) -> Reply {
    let guest = call.guest()?;
    if guest.running.is_none() {
        return Ok(Value::Null.into());
    }
    let mut rows = vec![json!({
        "name": "lo", "hwaddr": "00:00:00:00:00:00", "hardware-address": "00:00:00:00:00:00",
        "inet": "127.0.0.1/8", "inet6": "::1/128",
        "ip-addresses": [
            {"ip-address": "127.0.0.1", "ip-address-type": "inet", "prefix": "8"},
            {"ip-address": "::1", "ip-address-type": "inet6", "prefix": "128"},
        ],
    })];
    for value in guest
        .config
        .iter()
        .filter(|(k, _)| k.starts_with("net") && *k != "nameserver")
        .map(|(_, v)| v)
    {
        let part = |key: &str| value.split(',').find_map(|p| p.strip_prefix(key));
        let mac = part("hwaddr=").unwrap_or("BC:24:11:00:00:01").to_lowercase();
        let up = call.now - guest.running.unwrap_or(call.now);
        let leased = up >= DHCP_SECONDS * call.state.settings.speed;
        let mut addresses = vec![json!({
            "ip-address": link_local(&mac), "ip-address-type": "inet6", "prefix": "64",
        })];
        let mut row = json!({
            "name": part("name=").unwrap_or("eth0"), "hwaddr": mac, "hardware-address": mac,
            "inet6": format!("{}/64", link_local(&mac)),
        });
        let said = call.state.said_addresses.get(&guest.vmid).filter(|s| !s.is_empty());
        let inet = match part("ip=") {
            _ if said.is_some() => said.and_then(|s| s.first()).map(|a| format!("{a}/16")),
            Some(fixed) if fixed.contains('/') => Some(fixed.to_owned()),
            Some("dhcp") if leased => {
                call.state.lease(guest, part("bridge=").unwrap_or_default(), &mac)
            }
            _ => None,
        };
        if let (Some(inet), Some(map)) = (inet, row.as_object_mut()) {
            let (address, prefix) = inet.split_once('/').unwrap_or((&inet, "24"));
            let shown = json!({"ip-address": address, "ip-address-type": "inet", "prefix": prefix});
            addresses.insert(0, shown);
            map.insert("inet".into(), json!(inet));
        }
        for more in said.into_iter().flatten().skip(1) {
            addresses.push(json!({"ip-address": more, "ip-address-type": "inet", "prefix": "16"}));
        }
        if let Some(map) = row.as_object_mut() {
            if let Some(fixed) = part("ip6=").filter(|v| v.contains('/')) {
                let (address, prefix) = fixed.split_once('/').unwrap_or((fixed, "64"));
                addresses.push(
                    json!({"ip-address": address, "ip-address-type": "inet6", "prefix": prefix}),
                );
                map.insert("inet6".into(), json!(fixed));
            }
            map.insert("ip-addresses".into(), json!(addresses));
        }
        rows.push(row);
    }
    Ok(Value::Array(rows).into())
}
