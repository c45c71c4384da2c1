//! Software-defined networks: zones, vnets, subnets, addresses; what is configured, applied, and where.
//!
//! Objects change in the configuration only. Applying copies it to the running configuration and, node by node, to
//! what is live there; a vnet becomes a bridge of that name. A lock with a token guards the whole.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::network::Options;

/// Objects by id.
pub(crate) type Objects = BTreeMap<String, Options>;

/// One state of the objects that are applied together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) zones: Objects,
    pub(crate) vnets: Objects,
    pub(crate) subnets: Objects,
}

/// Which kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Zone,
    Vnet,
    Subnet,
}

impl Part {
    /// As in paths and answers.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Vnet => "vnet",
            Self::Subnet => "subnet",
        }
    }
}

impl Config {
    pub(crate) const fn part(&self, part: Part) -> &Objects {
        match part {
            Part::Zone => &self.zones,
            Part::Vnet => &self.vnets,
            Part::Subnet => &self.subnets,
        }
    }

    pub(crate) const fn part_mut(&mut self, part: Part) -> &mut Objects {
        match part {
            Part::Zone => &mut self.zones,
            Part::Vnet => &mut self.vnets,
            Part::Subnet => &mut self.subnets,
        }
    }

    /// Zone of a vnet.
    pub(crate) fn zone_of(&self, vnet: &str) -> Option<(&str, &Options)> {
        let zone = self.vnets.get(vnet)?.get("zone")?;
        Some((zone.as_str(), self.zones.get(zone)?))
    }

    /// Subnets of a vnet.
    pub(crate) fn subnets_of<'a>(
        &'a self,
        vnet: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Options)> {
        self.subnets
            .iter()
            .filter(move |(_, own)| own.get("vnet").is_some_and(|v| v == vnet))
            .map(|(id, own)| (id.as_str(), own))
    }
}

/// An address that IPAM knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) zone: String,
    pub(crate) vnet: String,
    /// `10.8.0.0/24`
    pub(crate) subnet: String,
    pub(crate) ip: String,
    pub(crate) mac: String,
    pub(crate) hostname: String,
    pub(crate) vmid: Option<u32>,
    pub(crate) gateway: bool,
}

/// The cluster's SDN.
#[derive(Debug)]
pub(crate) struct Sdn {
    pub(crate) config: Config,
    pub(crate) running: Config,
    /// What each node has taken up.
    pub(crate) nodes: BTreeMap<String, Config>,
    pub(crate) version: u32,
    pub(crate) lock: Option<String>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) ipams: Objects,
    pub(crate) dns: Objects,
}

impl Default for Sdn {
    fn default() -> Self {
        Self {
            config: Config::default(),
            running: Config::default(),
            nodes: BTreeMap::new(),
            version: 0,
            lock: None,
            addresses: Vec::new(),
            // Always there, as on the real server.
            ipams: BTreeMap::from([("pve".to_owned(), crate::network::options([("type", "pve")]))]),
            dns: Objects::new(),
        }
    }
}

/// Is the zone on this node?
fn covers(zone: &Options, node: &str) -> bool {
    zone.get("nodes").is_none_or(|nodes| nodes.split(',').any(|n| n == node))
}

/// `10.8.0.0/24` of a subnet's id (`z1-10.8.0.0-24`).
pub(crate) fn cidr_of(id: &str) -> String {
    let rest = id.split_once('-').map_or(id, |(_, rest)| rest);
    match rest.rsplit_once('-') {
        Some((ip, mask)) => format!("{ip}/{mask}"),
        None => rest.to_owned(),
    }
}

/// Is the address in the IPv4 network?
pub(crate) fn inside(cidr: &str, ip: &str) -> bool {
    let Some((network, mask)) = cidr.split_once('/') else { return false };
    let (Ok(network), Ok(ip), Ok(mask)) =
        (network.parse::<Ipv4Addr>(), ip.parse::<Ipv4Addr>(), mask.parse::<u32>())
    else {
        // IPv6 is not looked into here.
        return ip.contains(':') && network.contains(':');
    };
    let shift = 32_u32.saturating_sub(mask.min(32));
    let cut = |a: Ipv4Addr| u64::from(u32::from(a)) >> shift;
    cut(network) == cut(ip)
}

/// First and last address of a `start-address=…,end-address=…` range.
pub(crate) fn range(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let part = |key: &str| text.split(',').find_map(|p| p.trim().strip_prefix(key));
    let (start, end) = (part("start-address=")?, part("end-address=")?);
    let (start, end): (Ipv4Addr, Ipv4Addr) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some((start, end))
}

/// An option as the API shows it.
fn shown(key: &str, value: &str) -> Value {
    match key {
        "tag" | "mtu" | "vxlan-port" | "vrf-vxlan" | "dp-id" | "ttl" | "section" => {
            value.parse::<u64>().map_or_else(|_| json!(value), |n| json!(n))
        }
        "isolate-ports" | "vlanaware" | "snat" | "bridge-disable-mac-learning" => {
            json!(u8::from(value == "1"))
        }
        // Kept with a line a range.
        "dhcp-range" => json!(
            value
                .lines()
                .map(|line| {
                    let part = |key: &str| line.split(',').find_map(|p| p.strip_prefix(key));
                    json!({
                        "start-address": part("start-address=").unwrap_or_default(),
                        "end-address": part("end-address=").unwrap_or_default(),
                    })
                })
                .collect::<Vec<_>>()
        ),
        _ => json!(value),
    }
}

/// An object with its id.
pub(crate) fn row(part: Part, id: &str, own: &Options) -> Map<String, Value> {
    let mut row: Map<String, Value> =
        own.iter().map(|(key, value)| (key.clone(), shown(key, value))).collect();
    row.insert(part.key().to_owned(), json!(id));
    if part == Part::Subnet {
        let cidr = cidr_of(id);
        let (network, mask) = cidr.split_once('/').unwrap_or((&cidr, ""));
        row.insert("network".into(), json!(network));
        row.insert("mask".into(), json!(mask));
        row.insert("cidr".into(), json!(cidr));
        row.insert("zone".into(), json!(id.split('-').next().unwrap_or_default()));
    }
    row
}

/// What is running beside what is configured, object by object.
pub(crate) fn pending(part: Part, running: &Objects, config: &Objects) -> Vec<Map<String, Value>> {
    let mut ids: Vec<&String> = running.keys().chain(config.keys()).collect();
    ids.sort();
    ids.dedup();
    let empty = Options::new();
    ids.into_iter()
        .map(|id| {
            let (old, new) = (running.get(id), config.get(id));
            let mut row = row(part, id, old.unwrap_or(&empty));
            let mut changes = Map::new();
            if let Some(new) = new {
                for (key, value) in new {
                    if key == "type" {
                        row.insert(key.clone(), json!(value));
                    } else if old.and_then(|o| o.get(key)) != Some(value) {
                        changes.insert(key.clone(), shown(key, value));
                    }
                }
                for key in old.into_iter().flat_map(BTreeMap::keys) {
                    if !new.contains_key(key) {
                        changes.insert(key.clone(), json!("deleted"));
                    }
                }
            }
            let state = match (old, new) {
                (None, Some(_)) => Some("new"),
                (Some(_), None) => Some("deleted"),
                _ if !changes.is_empty() => Some("changed"),
                _ => None,
            };
            if let Some(state) = state {
                row.insert("state".into(), json!(state));
                row.insert("pending".into(), Value::Object(changes));
            }
            row
        })
        .collect()
}

impl Sdn {
    /// Names of the applied vnets a node has as bridges.
    pub(crate) fn live_vnets(&self, node: &str) -> Vec<String> {
        let Some(live) = self.nodes.get(node) else { return Vec::new() };
        live.vnets
            .keys()
            .filter(|vnet| live.zone_of(vnet).is_some_and(|(_, zone)| covers(zone, node)))
            .cloned()
            .collect()
    }

    /// Does the configuration differ from what runs?
    pub(crate) fn has_pending(&self) -> bool {
        self.config != self.running
    }

    /// Digest of one kind of object, as changes are guarded by.
    pub(crate) fn digest(&self, part: Part) -> String {
        let mut hash = Sha256::new();
        for (id, own) in self.config.part(part) {
            hash.update(format!("{id}: {own:?}\n"));
        }
        hex::encode(hash.finalize()).chars().take(40).collect()
    }

    /// The configuration becomes what runs.
    pub(crate) fn commit(&mut self) {
        self.running = self.config.clone();
        self.version += 1;
    }

    /// A node takes up what runs.
    pub(crate) fn take_up(&mut self, node: &str) {
        self.nodes.insert(node.to_owned(), self.running.clone());
    }

    /// The applied subnet with a DHCP server on a vnet, its network and its ranges.
    fn served<'a>(
        &'a self,
        node: &str,
        vnet: &'a str,
    ) -> Option<(String, Vec<(Ipv4Addr, Ipv4Addr)>)> {
        let live = self.nodes.get(node)?;
        let (_, zone) = live.zone_of(vnet)?;
        if zone.get("dhcp").is_none_or(|d| d != "dnsmasq") {
            return None;
        }
        live.subnets_of(vnet).find_map(|(id, own)| {
            let ranges: Vec<_> =
                own.get("dhcp-range").map(|r| r.lines().filter_map(range).collect())?;
            Some((cidr_of(id), ranges))
        })
    }

    /// The address IPAM has given to a network card.
    pub(crate) fn address_of(&self, vnet: &str, mac: &str) -> Option<String> {
        let found =
            self.addresses.iter().find(|a| a.vnet == vnet && a.mac.eq_ignore_ascii_case(mac))?;
        let mask = found.subnet.split('/').nth(1).unwrap_or("24");
        Some(format!("{}/{mask}", found.ip))
    }

    /// Gives a network card an address on a vnet that has a DHCP server, once.
    ///
    /// # Errors
    /// All addresses are taken.
    pub(crate) fn allocate(
        &mut self,
        node: &str,
        vnet: &str,
        vmid: u32,
        hostname: &str,
        mac: &str,
    ) -> Result<(), String> {
        if self.address_of(vnet, mac).is_some() {
            return Ok(());
        }
        let Some((subnet, ranges)) = self.served(node, vnet) else { return Ok(()) };
        let zone = self.running.zone_of(vnet).map_or("", |(zone, _)| zone).to_owned();
        let taken = |ip: &str| self.addresses.iter().any(|a| a.zone == zone && a.ip == ip);
        let free = ranges
            .iter()
            .flat_map(|(from, to)| u32::from(*from)..=u32::from(*to))
            .map(|n| Ipv4Addr::from(n).to_string())
            .find(|ip| !taken(ip));
        let Some(ip) = free else {
            return Err(format!("can't find any free ip in zone {zone} for IPv4"));
        };
        self.addresses.push(Address {
            zone,
            vnet: vnet.to_owned(),
            subnet,
            ip,
            mac: mac.to_owned(),
            hostname: hostname.to_owned(),
            vmid: Some(vmid),
            gateway: false,
        });
        Ok(())
    }

    /// The generated file of a node.
    pub(crate) fn written(config: &Config, node: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for (vnet, own) in &config.vnets {
            let Some((_, zone)) = config.zone_of(vnet).filter(|(_, z)| covers(z, node)) else {
                continue;
            };
            lines.push(format!("auto {vnet}"));
            lines.push(format!("iface {vnet}"));
            for (id, subnet) in config.subnets_of(vnet) {
                if let Some(gateway) = subnet.get("gateway") {
                    let cidr = cidr_of(id);
                    let mask = cidr.split('/').nth(1).unwrap_or("24");
                    lines.push(format!("\taddress {gateway}/{mask}"));
                }
            }
            let kind = zone.get("type").map_or("", String::as_str);
            let tag = own.get("tag").cloned().unwrap_or_default();
            let ports = match kind {
                "vlan" => format!("{}.{tag}", zone.get("bridge").map_or("", String::as_str)),
                "vxlan" => format!("vxlan_{vnet}"),
                _ => "none".to_owned(),
            };
            lines.push(format!("\tbridge_ports {ports}"));
            lines.push("\tbridge_stp off".to_owned());
            lines.push("\tbridge_fd 0".to_owned());
            if let Some(mtu) = zone.get("mtu") {
                lines.push(format!("\tmtu {mtu}"));
            }
            if let Some(alias) = own.get("alias") {
                lines.push(format!("\talias {alias}"));
            }
            lines.push(String::new());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::options;

    #[test]
    fn networks_hold_their_addresses() {
        assert!(inside("10.8.0.0/24", "10.8.0.7"));
        assert!(!inside("10.8.0.0/24", "10.8.1.7"));
        assert_eq!(cidr_of("z1-10.8.0.0-24"), "10.8.0.0/24");
        assert!(range("start-address=10.8.0.9,end-address=10.8.0.2").is_none());
    }

    #[test]
    fn states_tell_what_an_apply_would_do() {
        let running = Objects::from([
            ("a".to_owned(), options([("type", "vnet"), ("tag", "1")])),
            ("b".to_owned(), options([("type", "vnet")])),
            ("same".to_owned(), options([("type", "vnet")])),
        ]);
        let config = Objects::from([
            ("a".to_owned(), options([("type", "vnet"), ("tag", "2")])),
            ("c".to_owned(), options([("type", "vnet"), ("tag", "3")])),
            ("same".to_owned(), options([("type", "vnet")])),
        ]);
        let rows = pending(Part::Vnet, &running, &config);
        let states: Vec<_> =
            rows.iter().map(|r| (r["vnet"].clone(), r.get("state").cloned())).collect();
        assert_eq!(
            states,
            [
                (json!("a"), Some(json!("changed"))),
                (json!("b"), Some(json!("deleted"))),
                (json!("c"), Some(json!("new"))),
                (json!("same"), None),
            ]
        );
        assert_eq!((&rows[0]["tag"], &rows[0]["pending"]["tag"]), (&json!(1), &json!(2)));
    }
}
