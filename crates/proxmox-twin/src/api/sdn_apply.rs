//! `/cluster/sdn`: apply, roll back, lock; what nodes have taken up; addresses, IPAMs and DNS plugins.

use serde_json::{Map, Value, json};

use super::{Call, people, sdn};
use crate::effect::Effect;
use crate::network::{Options, unified};
use crate::reply::{Refusal, Reply};
use crate::sdn::{Address, Sdn, cidr_of};
use crate::task::Script;

/// Releases the lock when that is asked for.
fn release(call: &mut Call<'_>) {
    // The default is to release a lock whose token was given.
    if call.text("release-lock").is_none_or(|v| v == "1") {
        call.state.sdn.lock = None;
    }
}

pub(super) fn apply(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    sdn::unlocked(call)?;
    call.state.sdn.commit();
    release(call);
    let mut script = Script::new();
    let nodes: Vec<String> = call.state.nodes.iter().map(|n| n.name.clone()).collect();
    for node in nodes {
        script = script.say(0.1, format!("{node}: reloading network config"));
        if call.state.online(&node) {
            script = script.act(0.8, Effect::ReloadSdn { node });
        } else {
            script = script.say(0.5, format!("{node}: reload failed: node is offline"));
        }
    }
    let (user, now, local) = (call.caller.id(), call.now, call.local.clone());
    let upid = call.state.spawn(now, &local, "reloadnetworkall", "", &user, script);
    Ok(Value::String(upid).into())
}

pub(super) fn rollback(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    sdn::unlocked(call)?;
    call.state.sdn.config = call.state.sdn.running.clone();
    release(call);
    let (now, user) = (call.now, call.caller.id());
    call.state.note(now, "sdn-rollback", None, "", &user, "");
    Ok(Value::Null.into())
}

pub(super) fn lock(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    if call.state.sdn.lock.is_some() {
        return Err(Refusal::failed("configuration has already been locked"));
    }
    if call.state.sdn.has_pending() && !call.flag("allow-pending") {
        return Err(Refusal::failed("configuration has uncommitted changes"));
    }
    let token = people::uuid();
    call.state.sdn.lock = Some(token.clone());
    Ok(json!(token).into())
}

pub(super) fn unlock(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    if !call.flag("force") {
        match (&call.state.sdn.lock, call.text("lock-token")) {
            (Some(lock), Some(given)) if *lock == given => {}
            (None, _) => return Err(Refusal::failed("configuration is not locked")),
            _ => return Err(Refusal::failed("invalid lock token provided!")),
        }
    }
    call.state.sdn.lock = None;
    Ok(Value::Null.into())
}

pub(super) fn dry_run(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let empty = crate::sdn::Config::default();
    let live = call.state.sdn.nodes.get(&node).unwrap_or(&empty);
    let (old, new) = (Sdn::written(live, &node), Sdn::written(&call.state.sdn.config, &node));
    Ok(json!({"interfaces-diff": unified(&old, &new), "frr-diff": ""}).into())
}

/// Zones as a node sees them.
pub(super) fn node_zones(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let sdn = &call.state.sdn;
    let mut rows: Vec<Value> = sdn
        .running
        .zones
        .keys()
        .filter(|zone| {
            call.need_any(&format!("/sdn/zones/{zone}"), &["SDN.Audit", "SDN.Use"]).is_ok()
        })
        .map(|zone| {
            let there = sdn.nodes.get(&node).is_some_and(|live| live == &sdn.running);
            json!({"zone": zone, "status": if there { "available" } else { "pending" }})
        })
        .collect();
    rows.push(json!({"zone": "localnetwork", "status": "available"}));
    Ok(Value::Array(rows).into())
}

pub(super) fn node_zone_content(call: &mut Call<'_>) -> Reply {
    let (node, zone) = (call.node(), call.text("zone").unwrap_or_default());
    if zone == "localnetwork" {
        let bridges: Vec<Value> = call
            .state
            .networks
            .get(&node)
            .into_iter()
            .flat_map(crate::network::Network::bridges)
            .map(|b| json!({"vnet": b, "status": "available"}))
            .collect();
        return Ok(Value::Array(bridges).into());
    }
    let sdn = &call.state.sdn;
    let live = sdn.live_vnets(&node);
    let rows = sdn
        .running
        .vnets
        .iter()
        .filter(|(_, own)| own.get("zone") == Some(&zone))
        .map(|(vnet, _)| {
            if live.contains(vnet) {
                json!({"vnet": vnet, "status": "available"})
            } else {
                json!({"vnet": vnet, "status": "pending", "statusmsg": "not applied yet"})
            }
        })
        .collect();
    Ok(Value::Array(rows).into())
}

/// The addresses of an IPAM.
pub(super) fn addresses(call: &mut Call<'_>) -> Reply {
    let ipam = call.text("ipam").unwrap_or_default();
    let sdn = &call.state.sdn;
    if !sdn.ipams.contains_key(&ipam) {
        return Err(Refusal::failed(format!("sdn '{ipam}' does not exist")));
    }
    let mut rows = Vec::new();
    for (id, own) in &sdn.config.subnets {
        let (zone, vnet) = (id.split('-').next().unwrap_or_default(), own.get("vnet"));
        let path = format!("/sdn/zones/{zone}/{}", vnet.map_or("", String::as_str));
        let of_this = sdn.config.zones.get(zone).and_then(|z| z.get("ipam")) == Some(&ipam);
        if !of_this || call.need_any(&path, &["SDN.Audit", "SDN.Allocate"]).is_err() {
            continue;
        }
        if let Some(gateway) = own.get("gateway") {
            rows.push(json!({"zone": zone, "vnet": vnet, "subnet": cidr_of(id), "ip": gateway, "gateway": 1}));
        }
        for a in sdn.addresses.iter().filter(|a| a.zone == zone && a.subnet == cidr_of(id)) {
            let mut row = json!({"zone": zone, "vnet": a.vnet, "subnet": a.subnet, "ip": a.ip, "mac": a.mac, "hostname": a.hostname});
            if let (Some(vmid), Some(map)) = (a.vmid, row.as_object_mut()) {
                map.insert("vmid".into(), json!(vmid));
            }
            rows.push(row);
        }
    }
    Ok(Value::Array(rows).into())
}

pub(super) fn add_address(call: &mut Call<'_>) -> Reply {
    let [vnet, zone, ip, mac] =
        ["vnet", "zone", "ip", "mac"].map(|key| call.text(key).unwrap_or_default());
    let subnet = call
        .state
        .sdn
        .config
        .subnets_of(&vnet)
        .map(|(id, _)| cidr_of(id))
        .find(|cidr| crate::sdn::inside(cidr, &ip));
    let Some(subnet) = subnet else {
        return Err(Refusal::failed(format!("can't find any subnet for ip {ip}")));
    };
    if call.state.sdn.addresses.iter().any(|a| a.zone == zone && a.ip == ip) {
        return Err(Refusal::failed(format!("IP '{ip}' already exist")));
    }
    let vmid = call.number("vmid").and_then(|n| u32::try_from(n).ok());
    let hostname =
        vmid.and_then(|v| call.state.guests.get(&v)).map(|g| g.name()).unwrap_or_default();
    let address = Address { zone, vnet, subnet, ip, mac, hostname, vmid, gateway: false };
    call.state.sdn.addresses.push(address);
    Ok(Value::Null.into())
}

/// Another address for a network card.
pub(super) fn move_address(call: &mut Call<'_>) -> Reply {
    let (vnet, mac) = (call.text("vnet"), call.text("mac"));
    call.state
        .sdn
        .addresses
        .retain(|a| Some(&a.vnet) != vnet.as_ref() || Some(&a.mac) != mac.as_ref());
    add_address(call)
}

pub(super) fn drop_address(call: &mut Call<'_>) -> Reply {
    let (zone, ip) = (call.text("zone"), call.text("ip"));
    let before = call.state.sdn.addresses.len();
    call.state
        .sdn
        .addresses
        .retain(|a| Some(&a.zone) != zone.as_ref() || Some(&a.ip) != ip.as_ref());
    if before == call.state.sdn.addresses.len() {
        return Err(Refusal::failed("can't delete a non existing ip"));
    }
    Ok(Value::Null.into())
}

fn plugin_rows(call: &Call<'_>, key: &str, objects: &crate::sdn::Objects) -> Reply {
    let kind = call.text("type");
    let rows = objects
        .iter()
        .filter(|(id, _)| {
            call.need_any(&format!("/sdn/{key}s/{id}"), &["SDN.Audit", "SDN.Allocate"]).is_ok()
        })
        .filter(|(_, own)| kind.is_none() || own.get("type") == kind.as_ref())
        .map(|(id, own)| Value::Object(plugin_row(key, id, own)))
        .collect();
    Ok(Value::Array(rows).into())
}

fn plugin_row(key: &str, id: &str, own: &Options) -> Map<String, Value> {
    let mut row: Map<String, Value> = own.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    row.insert(key.to_owned(), json!(id));
    row
}

pub(super) fn ipams(call: &mut Call<'_>) -> Reply {
    plugin_rows(call, "ipam", &call.state.sdn.ipams)
}

pub(super) fn ipam(call: &mut Call<'_>) -> Reply {
    let id = call.text("ipam").unwrap_or_default();
    match call.state.sdn.ipams.get(&id) {
        Some(own) => Ok(Value::Object(plugin_row("ipam", &id, own)).into()),
        None => Err(Refusal::failed(format!("sdn '{id}' does not exist"))),
    }
}

pub(super) fn dns_plugins(call: &mut Call<'_>) -> Reply {
    plugin_rows(call, "dns", &call.state.sdn.dns)
}

pub(super) fn dns_plugin(call: &mut Call<'_>) -> Reply {
    let id = call.text("dns").unwrap_or_default();
    match call.state.sdn.dns.get(&id) {
        Some(own) => Ok(Value::Object(plugin_row("dns", &id, own)).into()),
        None => Err(Refusal::failed(format!("sdn '{id}' does not exist"))),
    }
}

fn dns_options(call: &Call<'_>) -> Options {
    call.args
        .keys()
        .filter(|k| !["dns", "lock-token", "digest", "delete"].contains(&k.as_str()))
        .filter_map(|k| Some((k.clone(), call.text(k)?)))
        .collect()
}

pub(super) fn create_dns(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    sdn::unlocked(call)?;
    let id = call.text("dns").unwrap_or_default();
    if call.state.sdn.dns.contains_key(&id) {
        let text =
            format!("create sdn dns object failed: sdn dns object ID '{id}' already defined");
        return Err(Refusal::failed(text));
    }
    let own = dns_options(call);
    call.state.sdn.dns.insert(id, own);
    Ok(Value::Null.into())
}

pub(super) fn update_dns(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    sdn::unlocked(call)?;
    let id = call.text("dns").unwrap_or_default();
    let new = dns_options(call);
    match call.state.sdn.dns.get_mut(&id) {
        Some(own) => own.extend(new),
        None => return Err(Refusal::failed(format!("sdn '{id}' does not exist"))),
    }
    Ok(Value::Null.into())
}

pub(super) fn delete_dns(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    sdn::unlocked(call)?;
    let id = call.text("dns").unwrap_or_default();
    if let Some((zone, _)) =
        call.state.sdn.config.zones.iter().find(|(_, z)| z.get("dns") == Some(&id))
    {
        let text = format!("delete sdn dns object failed: dns {id} is used by zone {zone}");
        return Err(Refusal::failed(text));
    }
    if call.state.sdn.dns.remove(&id).is_none() {
        return Err(Refusal::failed(format!("sdn '{id}' does not exist")));
    }
    Ok(Value::Null.into())
}
