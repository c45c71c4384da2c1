//! `/cluster/sdn`: zones, vnets and subnets as configured, running or pending.
//!
//! The writers share one shape: check, lock token, digest, the kind's own rules, then the configuration.

use serde_json::{Map, Value, json};

use super::Call;
use crate::network::Options;
use crate::reply::{Refusal, Reply};
use crate::schema::text_of;
use crate::sdn::{Part, cidr_of, inside, pending, range, row};

/// Parameters that are not options of an object.
const NOT_OPTIONS: [&str; 6] = ["lock-token", "digest", "delete", "zone_of", "pending", "running"];
/// Zone types this twin knows.
const ZONE_TYPES: [&str; 4] = ["simple", "vlan", "qinq", "vxlan"];

pub(super) fn index(_: &mut Call<'_>) -> Reply {
    let names = ["vnets", "zones", "controllers", "ipams", "dns", "fabrics"];
    Ok(Value::Array(names.iter().map(|id| json!({"id": id})).collect()).into())
}

/// Writes need the token while the configuration is locked.
pub(super) fn unlocked(call: &Call<'_>) -> Result<(), Refusal> {
    match (&call.state.sdn.lock, call.text("lock-token")) {
        (Some(lock), Some(given)) if *lock == given => Ok(()),
        (None, None) => Ok(()),
        _ => Err(Refusal::failed("invalid lock token provided!")),
    }
}

/// `/sdn/zones/<zone>[/<vnet>]` of an object.
fn acl_path(call: &Call<'_>, part: Part, id: &str, own: &Map<String, Value>) -> String {
    let of = |key: &str| {
        own.get(key)
            .or_else(|| own.get("pending").and_then(|p| p.get(key)))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match part {
        Part::Zone => format!("/sdn/zones/{id}"),
        Part::Vnet => format!("/sdn/zones/{}/{id}", of("zone")),
        Part::Subnet => {
            let vnet = call.text("vnet").unwrap_or_default();
            format!("/sdn/zones/{}/{vnet}", id.split('-').next().unwrap_or_default())
        }
    }
}

fn rows(call: &Call<'_>, part: Part) -> Vec<Map<String, Value>> {
    let sdn = &call.state.sdn;
    let plain = |objects: &crate::sdn::Objects| -> Vec<Map<String, Value>> {
        objects.iter().map(|(id, own)| row(part, id, own)).collect()
    };
    if call.flag("pending") {
        pending(part, sdn.running.part(part), sdn.config.part(part))
    } else if call.flag("running") {
        plain(sdn.running.part(part))
    } else {
        let mut rows = plain(sdn.config.part(part));
        for row in &mut rows {
            row.insert("digest".into(), json!(sdn.digest(part)));
        }
        rows
    }
}

fn visible(call: &Call<'_>, part: Part) -> Vec<Map<String, Value>> {
    let vnet = call.text("vnet");
    rows(call, part)
        .into_iter()
        .filter(|own| {
            let id = own.get(part.key()).and_then(Value::as_str).unwrap_or_default();
            let path = acl_path(call, part, id, own);
            call.need_any(&path, &["SDN.Audit", "SDN.Allocate"]).is_ok()
        })
        .filter(|own| {
            let whose = own.get("vnet").or_else(|| own.get("pending").and_then(|p| p.get("vnet")));
            part != Part::Subnet || whose.and_then(Value::as_str) == vnet.as_deref()
        })
        .collect()
}

fn list(call: &Call<'_>, part: Part) -> Reply {
    let kind = call.text("type");
    let rows = visible(call, part)
        .into_iter()
        .filter(|own| {
            kind.as_deref().is_none_or(|k| own.get("type").and_then(Value::as_str) == Some(k))
        })
        .map(Value::Object)
        .collect();
    Ok(Value::Array(rows).into())
}

fn absent(part: Part, id: &str) -> Refusal {
    Refusal::failed(match part {
        Part::Subnet => format!("sdn subnet '{id}' does not exist"),
        _ => format!("sdn '{id}' does not exist"),
    })
}

fn show(call: &Call<'_>, part: Part) -> Reply {
    let id = call.text(part.key()).unwrap_or_default();
    let found = visible(call, part)
        .into_iter()
        .find(|own| own.get(part.key()).and_then(Value::as_str) == Some(id.as_str()));
    match found {
        Some(own) => Ok(Value::Object(own).into()),
        None => Err(absent(part, &id)),
    }
}

pub(super) fn zones(call: &mut Call<'_>) -> Reply {
    list(call, Part::Zone)
}

pub(super) fn zone(call: &mut Call<'_>) -> Reply {
    show(call, Part::Zone)
}

pub(super) fn vnets(call: &mut Call<'_>) -> Reply {
    list(call, Part::Vnet)
}

pub(super) fn vnet(call: &mut Call<'_>) -> Reply {
    show(call, Part::Vnet)
}

pub(super) fn subnets(call: &mut Call<'_>) -> Reply {
    let vnet = call.text("vnet").unwrap_or_default();
    let known = call.state.sdn.config.vnets.contains_key(&vnet)
        || call.state.sdn.running.vnets.contains_key(&vnet);
    if !known {
        return Err(absent(Part::Vnet, &vnet));
    }
    list(call, Part::Subnet)
}

pub(super) fn subnet(call: &mut Call<'_>) -> Reply {
    show(call, Part::Subnet)
}

/// The options among the parameters.
fn given(call: &Call<'_>, part: Part) -> Options {
    let mut own = Options::new();
    for (key, value) in &call.args {
        let skip = NOT_OPTIONS.contains(&key.as_str()) || key == part.key();
        if skip || (part == Part::Subnet && key == "type") {
            continue;
        }
        let text = match value {
            Value::Array(many) => many.iter().map(text_of).collect::<Vec<_>>().join("\n"),
            one => text_of(one),
        };
        own.insert(key.clone(), text);
    }
    own
}

fn failed(what: &str, part: Part, why: &str) -> Refusal {
    Refusal::failed(format!("{what} sdn {} object failed: {why}", part.key()))
}

/// What may be set for one type of zone, and what must be.
fn zone_rules(own: &Options) -> Result<(), String> {
    const COMMON: [&str; 7] = ["type", "nodes", "ipam", "dns", "reversedns", "dnszone", "mtu"];
    let kind = own.get("type").map_or("", String::as_str);
    if !ZONE_TYPES.contains(&kind) {
        return Err(format!("{kind} zones are not part of this simulation"));
    }
    let (needed, more): (&[&str], &[&str]) = match kind {
        "simple" => (&[], &["dhcp"]),
        "vlan" => (&["bridge"], &["bridge-disable-mac-learning"]),
        "qinq" => (&["bridge", "tag"], &["vlan-protocol", "bridge-disable-mac-learning"]),
        _ => (&[], &["peers", "vxlan-port", "fabric"]),
    };
    if let Some(key) = own.keys().find(|k| {
        !COMMON.contains(&k.as_str())
            && !needed.contains(&k.as_str())
            && !more.contains(&k.as_str())
    }) {
        return Err(format!("unexpected property '{key}'"));
    }
    if let Some(key) = needed.iter().find(|k| !own.contains_key(**k)) {
        return Err(format!("missing value for required option '{key}'"));
    }
    if kind == "vxlan" && !own.contains_key("peers") && !own.contains_key("fabric") {
        return Err("either peers or fabric need to be set".to_owned());
    }
    Ok(())
}

/// What a zone's type says about a vnet in it.
fn vnet_rules(call: &Call<'_>, id: &str, own: &Options) -> Result<(), Refusal> {
    let config = &call.state.sdn.config;
    let name = own.get("zone").cloned().unwrap_or_default();
    let Some(zone) = config.zones.get(&name) else { return Err(absent(Part::Zone, &name)) };
    let tag = own.get("tag").and_then(|t| t.parse::<u32>().ok());
    let kind = zone.get("type").map_or("", String::as_str);
    let say = |text: String| Err(Refusal::parameter("tag", text));
    match (kind, tag) {
        ("simple", Some(_)) => return say("vlan tag is not allowed on simple zone".to_owned()),
        ("vlan" | "qinq", None) => return say("missing vlan tag".to_owned()),
        ("vlan" | "qinq", Some(4097..)) => return say("vlan tag max value is 4096".to_owned()),
        ("vxlan", None) => return say("missing vxlan tag".to_owned()),
        _ => {}
    }
    let twice = config.vnets.iter().find(|(other, o)| {
        *other != id && o.get("zone") == Some(&name) && o.get("tag") == own.get("tag")
    });
    if let (Some(tag), Some((other, _))) = (tag, twice) {
        return say(format!("tag {tag} already exist in zone {name} in vnet {other}"));
    }
    let aware = own.get("vlanaware").is_some_and(|v| v == "1");
    if aware && config.subnets_of(id).next().is_some() {
        let text = "vlanaware vnet is not compatible with subnets";
        return Err(Refusal::parameter("vlanaware", text));
    }
    Ok(())
}

fn subnet_rules(call: &Call<'_>, id: &str, own: &Options) -> Result<(), Refusal> {
    let config = &call.state.sdn.config;
    let vnet = own.get("vnet").cloned().unwrap_or_default();
    let Some(above) = config.vnets.get(&vnet) else {
        return Err(Refusal::parameter("vnet", format!("{vnet} don't exist")));
    };
    if above.get("vlanaware").is_some_and(|v| v == "1") {
        let text = "you can't add a subnet on a vlanaware vnet";
        return Err(Refusal::parameter("vnet", text));
    }
    let cidr = cidr_of(id);
    if let Some(gateway) = own.get("gateway")
        && !inside(&cidr, gateway)
        && !cidr.ends_with("/32")
    {
        let text = format!("{gateway} is not in subnet {cidr}");
        return Err(Refusal::parameter("gateway", text));
    }
    for line in own.get("dhcp-range").into_iter().flat_map(|r| r.lines()) {
        let Some((from, to)) = range(line) else {
            return Err(Refusal::parameter(
                "dhcp-range",
                "invalid format - format error\nstart-address: property is missing and it is not optional\n",
            ));
        };
        for ip in [from, to] {
            if !inside(&cidr, &ip.to_string()) {
                let text = format!("DHCP range {from} - {to} is not in subnet {cidr}");
                return Err(Refusal::parameter("dhcp-range", text));
            }
        }
    }
    Ok(())
}

fn rules(call: &Call<'_>, what: &str, part: Part, id: &str, own: &Options) -> Result<(), Refusal> {
    match part {
        Part::Zone => zone_rules(own).map_err(|why| failed(what, part, &why)),
        Part::Vnet => vnet_rules(call, id, own),
        Part::Subnet => subnet_rules(call, id, own),
    }
}

/// The id an object gets: a subnet's is made of its zone and network.
fn new_id(call: &Call<'_>, part: Part) -> Result<String, Refusal> {
    let given = call.text(part.key()).unwrap_or_default();
    if part != Part::Subnet {
        return Ok(given);
    }
    let vnet = call.text("vnet").unwrap_or_default();
    let Some(zone) = call.state.sdn.config.vnets.get(&vnet).and_then(|v| v.get("zone")) else {
        return Err(absent(Part::Vnet, &vnet));
    };
    Ok(format!("{zone}-{}", given.replace('/', "-")))
}

fn note(call: &mut Call<'_>, what: &str, id: &str) {
    let (now, user) = (call.now, call.caller.id());
    call.state.note(now, what, None, "", &user, id);
}

fn create(call: &mut Call<'_>, part: Part) -> Reply {
    call.quorum()?;
    let id = new_id(call, part)?;
    if part == Part::Subnet {
        let vnet = call.text("vnet").unwrap_or_default();
        let zone = id.split('-').next().unwrap_or_default().to_owned();
        call.need(&format!("/sdn/zones/{zone}/{vnet}"), &["SDN.Allocate"])?;
    }
    unlocked(call)?;
    let mut own = given(call, part);
    match part {
        Part::Zone => {
            own.entry("ipam".to_owned()).or_insert_with(|| "pve".to_owned());
        }
        Part::Vnet => {
            own.insert("type".to_owned(), "vnet".to_owned());
        }
        Part::Subnet => {
            own.insert("type".to_owned(), "subnet".to_owned());
        }
    }
    if call.state.sdn.config.part(part).contains_key(&id) {
        let why = format!("sdn {} object ID '{id}' already defined", part.key());
        return Err(failed("create", part, &why));
    }
    rules(call, "create", part, &id, &own)?;
    call.state.sdn.config.part_mut(part).insert(id.clone(), own);
    note(call, &format!("sdn-{}", part.key()), &id);
    Ok(Value::Null.into())
}

/// The object a write speaks of, and the right to change it.
fn existing(call: &Call<'_>, part: Part) -> Result<(String, Options), Refusal> {
    let id = call.text(part.key()).unwrap_or_default();
    let Some(own) = call.state.sdn.config.part(part).get(&id).cloned() else {
        return Err(absent(part, &id));
    };
    let path = acl_path(call, part, &id, &row(part, &id, &own));
    call.need(&path, &["SDN.Allocate"])?;
    Ok((id, own))
}

fn update(call: &mut Call<'_>, part: Part) -> Reply {
    call.quorum()?;
    let (id, mut own) = existing(call, part)?;
    unlocked(call)?;
    if call.text("digest").is_some_and(|d| d != call.state.sdn.digest(part)) {
        let why = "detected modified configuration - file changed by other user? Try again.";
        return Err(failed("update", part, why));
    }
    let old_zone = own.get("zone").cloned();
    for key in call.text("delete").unwrap_or_default().split([',', ';', ' ']) {
        own.remove(key);
    }
    own.extend(given(call, part));
    let has_subnets = call.state.sdn.config.subnets_of(&id).next().is_some();
    if part == Part::Vnet && has_subnets && own.get("zone") != old_zone.as_ref() {
        return Err(Refusal::parameter("zone", "can't change zone if subnets exist"));
    }
    rules(call, "update", part, &id, &own)?;
    call.state.sdn.config.part_mut(part).insert(id.clone(), own);
    note(call, &format!("sdn-{}", part.key()), &id);
    Ok(Value::Null.into())
}

fn delete(call: &mut Call<'_>, part: Part) -> Reply {
    call.quorum()?;
    let (id, _) = existing(call, part)?;
    unlocked(call)?;
    let config = &call.state.sdn.config;
    match part {
        Part::Zone => {
            let user = config.vnets.iter().find(|(_, o)| o.get("zone") == Some(&id));
            if let Some((vnet, _)) = user {
                let why = format!("zone {id} is used by vnet {vnet}");
                return Err(failed("delete", part, &why));
            }
        }
        Part::Vnet if config.subnets_of(&id).next().is_some() => {
            return Err(Refusal::parameter("vnet", "Can't delete vnet if subnets exists"));
        }
        Part::Vnet => {}
        Part::Subnet => {
            let cidr = cidr_of(&id);
            let zone = id.split('-').next().unwrap_or_default();
            let used = call
                .state
                .sdn
                .addresses
                .iter()
                .any(|a| a.zone == zone && a.subnet == cidr && !a.gateway);
            if used {
                return Err(failed(
                    "delete",
                    part,
                    &format!("cannot delete subnet '{cidr}', not empty"),
                ));
            }
        }
    }
    call.state.sdn.config.part_mut(part).remove(&id);
    note(call, &format!("sdn-{}", part.key()), &id);
    Ok(Value::Null.into())
}

pub(super) fn create_zone(call: &mut Call<'_>) -> Reply {
    create(call, Part::Zone)
}

pub(super) fn update_zone(call: &mut Call<'_>) -> Reply {
    update(call, Part::Zone)
}

pub(super) fn delete_zone(call: &mut Call<'_>) -> Reply {
    delete(call, Part::Zone)
}

pub(super) fn create_vnet(call: &mut Call<'_>) -> Reply {
    create(call, Part::Vnet)
}

pub(super) fn update_vnet(call: &mut Call<'_>) -> Reply {
    update(call, Part::Vnet)
}

pub(super) fn delete_vnet(call: &mut Call<'_>) -> Reply {
    delete(call, Part::Vnet)
}

pub(super) fn create_subnet(call: &mut Call<'_>) -> Reply {
    create(call, Part::Subnet)
}

pub(super) fn update_subnet(call: &mut Call<'_>) -> Reply {
    update(call, Part::Subnet)
}

pub(super) fn delete_subnet(call: &mut Call<'_>) -> Reply {
    delete(call, Part::Subnet)
}
