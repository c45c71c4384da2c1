//! What the kernel of a node knows of its bridges and the API does not: STP, multicast snooping, flags of ports.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::guest::GuestKind;
use crate::state::State;

/// Switches of a bridge that differ from what its configuration makes of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switches {
    pub(crate) stp: bool,
    pub(crate) no_snooping: bool,
    pub(crate) filtering: Option<bool>,
}

/// Flags of a port that differ from the kernel's defaults, and since when the port is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    isolated: bool,
    no_learning: bool,
    no_flood: bool,
    /// The start of the guest it belongs to: after another start it is another port.
    since: Option<u64>,
}

/// The bridges of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bridges {
    pub(crate) switches: BTreeMap<String, Switches>,
    flags: BTreeMap<(String, String), Flags>,
    /// What is set again at boot: the line without its value, and the value.
    pub(crate) kept: Vec<(String, bool)>,
}

impl Bridges {
    fn remember(&mut self, line: String, on: bool) {
        self.kept.retain(|(l, _)| *l != line);
        self.kept.push((line, on));
    }

    /// After a reload of the node's network: Proxmox writes `bridge-stp off` into every bridge, and VLAN filtering
    /// follows the configuration. What is no bridge any more is forgotten.
    pub(crate) fn reloaded(&mut self, there: &[String]) {
        self.switches.retain(|name, _| there.contains(name));
        for switches in self.switches.values_mut() {
            switches.stp = false;
            switches.filtering = None;
        }
    }
}

impl State {
    /// The ports of a live bridge, and when the guest behind each was started.
    fn bridge_ports(&self, node: &str, bridge: &str) -> Vec<(String, Option<u64>)> {
        let own = self.networks.get(node).and_then(|n| n.live.get(bridge));
        let mut ports: Vec<(String, Option<u64>)> = own
            .and_then(|o| o.get("bridge_ports"))
            .into_iter()
            .flat_map(|list| list.split([' ', ',']))
            .filter(|p| !p.is_empty())
            .map(|p| (p.to_owned(), None))
            .collect();
        for guest in self.guests.values().filter(|g| g.node == node) {
            let Some(since) = guest.running else { continue };
            for (key, text) in guest.config.iter().filter(|(k, _)| k.starts_with("net")) {
                let number = key.trim_start_matches("net");
                let on = text.split(',').any(|p| p == format!("bridge={bridge}"));
                if !on || number.parse::<u8>().is_err() {
                    continue;
                }
                let vmid = guest.vmid;
                let name = match (text.split(',').any(|p| p == "firewall=1"), guest.kind) {
                    (true, _) => format!("fwpr{vmid}p{number}"),
                    (false, GuestKind::Lxc) => format!("veth{vmid}i{number}"),
                    (false, GuestKind::Qemu) => format!("tap{vmid}i{number}"),
                };
                ports.push((name, Some((since * 1e3) as u64)));
            }
        }
        ports
    }

    /// The answer of `bridge-show`.
    pub(super) fn show_bridge(&self, node: &str, bridge: &str) -> Result<String, String> {
        if !self.has_bridge(node, bridge) {
            return Err(format!("{bridge} is not a bridge of this node"));
        }
        let none = Bridges::default();
        let bridges = self.shells.get(node).map_or(&none, |s| &s.bridges);
        let switches = bridges.switches.get(bridge).cloned().unwrap_or_default();
        let own = self.networks.get(node).and_then(|n| n.live.get(bridge));
        let option = |key: &str| own.and_then(|o| o.get(key)).map(String::as_str);
        let filtering =
            switches.filtering.unwrap_or(option("bridge_vlan_aware").is_some_and(|v| v == "1"));
        let mtu: u32 = option("mtu").and_then(|m| m.parse().ok()).unwrap_or(1500);
        let shown = json!([{
            "ifname": bridge,
            "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            "mtu": mtu,
            "operstate": "UP",
            "linkinfo": {"info_kind": "bridge", "info_data": {
                "stp_state": u8::from(switches.stp),
                "vlan_filtering": u8::from(filtering),
                "mcast_snooping": u8::from(!switches.no_snooping),
            }},
        }]);
        let ports: Vec<Value> = self
            .bridge_ports(node, bridge)
            .into_iter()
            .map(|(port, since)| {
                let known = bridges.flags.get(&(bridge.to_owned(), port.clone()));
                let flags = known.filter(|f| f.since == since).cloned().unwrap_or_default();
                json!({
                    "ifname": port,
                    "mtu": mtu,
                    "master": bridge,
                    "linkinfo": {"info_slave_kind": "bridge", "info_slave_data": {
                        "state": "forwarding",
                        "isolated": flags.isolated,
                        "learning": !flags.no_learning,
                        "flood": !flags.no_flood,
                    }},
                })
            })
            .collect();
        let mut text = format!("bridge {shown}\nports {}\n", Value::Array(ports));
        for (line, on) in &bridges.kept {
            let words: Vec<&str> = line.split(' ').collect();
            if let [kind, name, rest @ ..] = words.as_slice()
                && *name == bridge
            {
                let value = if *on { "on" } else { "off" };
                text.push_str(&format!("kept {kind} {} {value}\n", rest.join(" ")));
            }
        }
        Ok(text)
    }

    /// The answer of `bridge-set`.
    pub(super) fn set_bridge(
        &mut self,
        node: &str,
        bridge: &str,
        setting: &str,
        on: bool,
    ) -> Result<String, String> {
        if !self.has_bridge(node, bridge) {
            return Err(format!("{bridge} is not a bridge of this node"));
        }
        let bridges = &mut self.shells.entry(node.to_owned()).or_default().bridges;
        let switches = bridges.switches.entry(bridge.to_owned()).or_default();
        match setting {
            "stp" => switches.stp = on,
            "mcast-snooping" => switches.no_snooping = !on,
            _ => switches.filtering = Some(on),
        }
        bridges.remember(format!("bridge {bridge} {setting}"), on);
        self.show_bridge(node, bridge)
    }

    /// The answer of `port-set`.
    pub(super) fn set_port(
        &mut self,
        node: &str,
        (bridge, port): (&str, &str),
        flag: &str,
        on: bool,
    ) -> Result<String, String> {
        let found = self.bridge_ports(node, bridge).into_iter().find(|(name, _)| name == port);
        let Some((_, since)) = found else {
            let value = if on { "on" } else { "off" };
            return Err(format!(
                "{port} does not take {flag} {value}: {port} is not a port of {bridge}"
            ));
        };
        let bridges = &mut self.shells.entry(node.to_owned()).or_default().bridges;
        let flags = bridges.flags.entry((bridge.to_owned(), port.to_owned())).or_default();
        if flags.since != since {
            *flags = Flags { since, ..Flags::default() };
        }
        match flag {
            "isolated" => flags.isolated = on,
            "learning" => flags.no_learning = !on,
            _ => flags.no_flood = !on,
        }
        bridges.remember(format!("port {bridge} {port} {flag}"), on);
        self.show_bridge(node, bridge)
    }
}
