//! `/nodes/{node}/network`: list, stage, reload, revert.

use serde_json::{Map, Value, json};

use super::Call;
use crate::effect::Effect;
use crate::network::{Network, Options};
use crate::reply::{Data, Refusal, Reply};
use crate::task::{Script, calendar};

/// Parameters of a write that are not options of the interface.
const NOT_OPTIONS: [&str; 7] =
    ["node", "iface", "delete", "address", "netmask", "address6", "netmask6"];

fn network<'a>(call: &'a Call<'_>) -> Result<&'a Network, Refusal> {
    call.state.networks.get(&call.node()).ok_or_else(|| Refusal::failed("no such node"))
}

fn network_mut<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Network, Refusal> {
    let node = call.node();
    call.state.networks.get_mut(&node).ok_or_else(|| Refusal::failed("no such node"))
}

pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let wanted = call.text("type");
    let network = network(call)?;
    let mut rows: Vec<Map<String, Value>> = network
        .shown()
        .iter()
        .enumerate()
        .map(|(n, (name, own))| network.row(name, own, n + 3))
        .collect();
    let node = call.node();
    for vnet in call.state.sdn.live_vnets(&node) {
        let mut row = Map::new();
        row.insert("iface".into(), json!(vnet));
        row.insert("type".into(), json!("vnet"));
        row.insert("active".into(), json!(1));
        rows.push(row);
    }
    rows.retain(|row| {
        let kind = row.get("type").and_then(Value::as_str).unwrap_or_default();
        match wanted.as_deref() {
            None => kind != "vnet",
            Some("include_sdn") => true,
            Some("any_bridge") => matches!(kind, "bridge" | "OVSBridge" | "vnet"),
            Some("any_local_bridge") => matches!(kind, "bridge" | "OVSBridge"),
            Some(wanted) => kind == wanted,
        }
    });
    let rows = Value::Array(rows.into_iter().map(Value::Object).collect());
    let stamp = format!("{}.000000000 +0000", calendar(call.now));
    let mut data = Data::from(rows);
    data.changes = network.changes(&stamp);
    Ok(data)
}

fn name(call: &Call<'_>) -> String {
    call.text("iface").unwrap_or_default()
}

pub(super) fn show(call: &mut Call<'_>) -> Reply {
    let iface = name(call);
    let network = network(call)?;
    let Some(own) = network.shown().get(&iface) else {
        return Err(Refusal::parameter("iface", "interface does not exist"));
    };
    let mut row = network.row(&iface, own, 3);
    row.remove("iface");
    Ok(Value::Object(row).into())
}

/// The options of a write, with address and mask in one.
fn given(call: &Call<'_>) -> Result<Options, Refusal> {
    let mut own: Options = call
        .args
        .keys()
        .filter(|key| !NOT_OPTIONS.contains(&key.as_str()))
        .filter_map(|key| Some((key.clone(), call.text(key)?)))
        .collect();
    for suffix in ["", "6"] {
        let (address, netmask) = (format!("address{suffix}"), format!("netmask{suffix}"));
        let cidr = format!("cidr{suffix}");
        let split = call.text(&address).zip(call.text(&netmask));
        if call.args.contains_key(&cidr) {
            for key in [&address, &netmask] {
                if call.args.contains_key(key) {
                    return Err(Refusal::parameter(key, format!("{key} conflicts with {cidr}")));
                }
            }
        } else if let Some((ip, mask)) = split {
            own.insert(cidr, format!("{ip}/{}", mask_length(&mask)));
        }
    }
    // Port lists are written with spaces.
    for key in ["bridge_ports", "slaves", "ovs_ports", "ovs_bonds"] {
        if let Some(ports) = own.get_mut(key) {
            *ports = crate::network::words(ports).collect::<Vec<_>>().join(" ");
        }
    }
    if own.get("bridge_vlan_aware").is_some_and(|v| v == "1") {
        own.entry("bridge_vids".to_owned()).or_insert_with(|| "2-4094".to_owned());
    }
    Ok(own)
}

/// `255.255.255.0` or `24`.
fn mask_length(mask: &str) -> u32 {
    mask.parse::<std::net::Ipv4Addr>()
        .map_or_else(|_| mask.parse().unwrap_or(24), |ip| u32::from(ip).count_ones())
}

/// Only one interface may have the default gateway.
fn one_gateway(call: &Call<'_>, iface: &str, own: &Options) -> Result<(), Refusal> {
    for (key, what) in [("gateway", "Default gateway"), ("gateway6", "Default ipv6 gateway")] {
        if !own.contains_key(key) {
            continue;
        }
        let other = network(call)?.shown().iter().find(|(n, o)| *n != iface && o.contains_key(key));
        if let Some((other, _)) = other {
            let sentence = format!("{what} already exists on interface '{other}'.");
            return Err(Refusal::parameter(key, sentence));
        }
    }
    Ok(())
}

/// Stages one interface, or refuses what the file's writer refuses.
fn stage(call: &mut Call<'_>, iface: &str, own: Option<Options>) -> Reply {
    let mut all = network(call)?.shown().clone();
    match own {
        Some(own) => all.insert(iface.to_owned(), own),
        None => all.remove(iface),
    };
    Network::check(&all).map_err(Refusal::failed)?;
    *network_mut(call)?.stage() = all;
    Ok(Value::Null.into())
}

pub(super) fn create(call: &mut Call<'_>) -> Reply {
    let iface = name(call);
    if network(call)?.shown().contains_key(&iface) {
        return Err(Refusal::parameter("iface", "interface already exists"));
    }
    let own = given(call)?;
    one_gateway(call, &iface, &own)?;
    let kind = own.get("type").cloned().unwrap_or_default();
    if kind.starts_with("OVS") {
        return Err(Refusal::failed(
            "Open VSwitch is not installed (need package 'openvswitch-switch')",
        ));
    }
    if kind == "vnet" || kind == "fabric" {
        return Err(Refusal::parameter("type", "cannot create interfaces of this type"));
    }
    stage(call, &iface, Some(own))
}

pub(super) fn update(call: &mut Call<'_>) -> Reply {
    let iface = name(call);
    let Some(mut own) = network(call)?.shown().get(&iface).cloned() else {
        return Err(Refusal::parameter("iface", "interface does not exist"));
    };
    let delete = call.text("delete").unwrap_or_default();
    for key in delete.split([',', ';', ' ']).filter(|k| !k.is_empty()) {
        own.remove(key);
        if key == "bridge_vlan_aware" {
            own.remove("bridge_vids");
        }
    }
    let new = given(call)?;
    one_gateway(call, &iface, &new)?;
    // Without an address in the call the interface has none afterwards.
    for key in ["cidr", "cidr6"] {
        if !new.contains_key(key) {
            own.remove(key);
            own.remove(if key == "cidr" { "gateway" } else { "gateway6" });
        }
    }
    own.extend(new);
    stage(call, &iface, Some(own))
}

pub(super) fn delete(call: &mut Call<'_>) -> Reply {
    let iface = name(call);
    if !network(call)?.shown().contains_key(&iface) {
        return Err(Refusal::parameter("iface", "interface does not exist"));
    }
    stage(call, &iface, None)
}

/// Drops what is staged.
pub(super) fn revert(call: &mut Call<'_>) -> Reply {
    network_mut(call)?.staged = None;
    Ok(Value::Null.into())
}

pub(super) fn reload(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let script = Script::new().say(0.8, "ifreload -a").act(1.6, Effect::ReloadNetwork { node });
    call.task("srvreload", "networking", script)
}
