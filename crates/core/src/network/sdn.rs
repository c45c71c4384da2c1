//! The software-defined network: zones, vnets and subnets that gantry can make.

use serde::{Deserialize, Serialize};

use super::bridge::is_cidr;
use super::{Edit, Settings};
use crate::pod::Problem;

/// Longest id of a zone or vnet: it becomes the name of an interface (`pve-sdn-zone-id`, `pve-sdn-vnet-id`).
const ID_MAX: usize = 8;
/// Largest VXLAN number (24 bits).
const VNI_MAX: u32 = 16_777_215;

/// How a zone carries its vnets between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ZoneKind {
    /// Not at all: a bridge on every node, each by itself.
    Simple,
    /// As VLANs of a bridge every node has.
    Vlan {
        /// That bridge.
        bridge: String,
    },
    /// Inside UDP packets between the nodes.
    Vxlan {
        /// Addresses of the nodes.
        peers: Vec<String>,
    },
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSpec {
    /// Its id.
    pub id: String,
    /// How it carries its vnets.
    pub kind: ZoneKind,
}

/// Addresses of a vnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSpec {
    /// The network: `10.8.0.0/24`.
    pub cidr: String,
    /// The nodes' own address in it, where guests send what goes out.
    pub gateway: Option<String>,
    /// Whether guests reach the outside under the node's address.
    pub snat: bool,
}

/// A vnet, with its zone where that is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VnetSpec {
    /// Its id; also the name of its bridge on every node.
    pub id: String,
    /// The zone it is in.
    pub zone: String,
    /// The zone to make first, where there is none of that name.
    pub new_zone: Option<ZoneSpec>,
    /// VLAN or VXLAN number; not in simple zones.
    pub tag: Option<u32>,
    /// A readable name.
    pub alias: Option<String>,
    /// Guests on one node may talk to the gateway only, not to each other.
    pub isolate_ports: bool,
    /// Whether guests may use VLANs inside it.
    pub vlan_aware: bool,
    /// Its addresses.
    pub subnet: Option<SubnetSpec>,
}

/// A zone's or vnet's id: letters and digits, beginning with a letter.
fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

impl VnetSpec {
    /// Everything that is wrong with it by itself.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |ok: bool, field: &'static str, why: &str| {
            if !ok {
                found.push(Problem { field: field.to_owned(), why: why.to_owned() });
            }
        };
        let id = "letters and digits, beginning with a letter, at most 8 characters";
        check(is_id(&self.id), "name", id);
        check(is_id(&self.zone), "zone", id);
        check(self.tag.is_none_or(|t| (1..=VNI_MAX).contains(&t)), "tag", "1 to 16777215");
        check(
            self.alias.as_deref().is_none_or(|a| {
                a.chars().count() <= 256
                    && a.chars().all(|c| c.is_alphanumeric() || "()-_. ".contains(c))
            }),
            "alias",
            "letters, digits, spaces and ( ) - _ ., at most 256 characters",
        );
        match self.new_zone.as_ref().map(|z| &z.kind) {
            Some(ZoneKind::Simple) => {
                check(self.tag.is_none(), "tag", "vnets of a simple zone have no number");
            }
            Some(ZoneKind::Vlan { bridge }) => {
                check(
                    bridge.parse::<super::IfaceName>().is_ok(),
                    "bridge",
                    "the name of a bridge that every node has",
                );
                check(
                    self.tag.is_some_and(|t| t <= 4094),
                    "tag",
                    "a VLAN number from 1 to 4094 is needed",
                );
            }
            Some(ZoneKind::Vxlan { peers }) => {
                check(
                    !peers.is_empty()
                        && peers.iter().all(|p| p.parse::<std::net::IpAddr>().is_ok()),
                    "peers",
                    "the addresses of the nodes, separated by spaces",
                );
                check(self.tag.is_some(), "tag", "a VXLAN number is needed");
            }
            None => {}
        }
        if let Some(subnet) = &self.subnet {
            check(
                is_cidr(&subnet.cidr, false) || is_cidr(&subnet.cidr, true),
                "subnet",
                "a network such as 10.8.0.0/24",
            );
            check(
                subnet.gateway.as_deref().is_none_or(|g| g.parse::<std::net::IpAddr>().is_ok()),
                "gateway",
                "an IP address such as 10.8.0.1",
            );
            check(
                !subnet.snat || subnet.gateway.is_some(),
                "snat",
                "guests can only go out through a gateway",
            );
        }
        found
    }

    /// What has to be staged.
    pub fn edits(&self) -> Vec<Edit> {
        let text = |pairs: &[(&str, String)]| -> Settings {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
        };
        let mut edits = Vec::new();
        if let Some(zone) = &self.new_zone {
            let settings = match &zone.kind {
                ZoneKind::Simple => text(&[("type", "simple".into()), ("ipam", "pve".into())]),
                ZoneKind::Vlan { bridge } => text(&[
                    ("type", "vlan".into()),
                    ("bridge", bridge.clone()),
                    ("ipam", "pve".into()),
                ]),
                ZoneKind::Vxlan { peers } => text(&[
                    ("type", "vxlan".into()),
                    ("peers", peers.join(",")),
                    ("ipam", "pve".into()),
                ]),
            };
            edits.push(Edit::Create { key: format!("zone/{}", zone.id), settings });
        }
        let mut vnet = text(&[("zone", self.zone.clone())]);
        let mut put = |k: &str, v: Option<String>| {
            if let Some(v) = v {
                vnet.insert(k.to_owned(), v);
            }
        };
        put("tag", self.tag.map(|t| t.to_string()));
        put("alias", self.alias.clone());
        put("isolate-ports", self.isolate_ports.then(|| "1".into()));
        put("vlanaware", self.vlan_aware.then(|| "1".into()));
        edits.push(Edit::Create { key: format!("vnet/{}", self.id), settings: vnet });
        if let Some(subnet) = &self.subnet {
            let mut settings = Settings::new();
            if let Some(gateway) = &subnet.gateway {
                settings.insert("gateway".into(), gateway.clone());
            }
            if subnet.snat {
                settings.insert("snat".into(), "1".into());
            }
            // Proxmox makes the id out of zone and network.
            let id = format!("{}-{}", self.zone, subnet.cidr.replace('/', "-"));
            edits.push(Edit::Create { key: format!("subnet/{}/{id}", self.id), settings });
        }
        edits
    }
}

/// Settings of SDN objects that the API can write (PVE 9.1); zones, vnets and subnets by the first part of the key.
const ZONE_SETTABLE: &[&str] = &[
    "type",
    "bridge",
    "bridge-disable-mac-learning",
    "controller",
    "dhcp",
    "dns",
    "dnszone",
    "exitnodes",
    "ipam",
    "mac",
    "mtu",
    "nodes",
    "peers",
    "reversedns",
    "tag",
    "vlan-protocol",
    "vrf-vxlan",
    "vxlan-port",
];
const VNET_SETTABLE: &[&str] = &["zone", "tag", "alias", "vlanaware", "isolate-ports"];
const SUBNET_SETTABLE: &[&str] =
    &["gateway", "snat", "dnszoneprefix", "dhcp-dns-server", "dhcp-range"];

/// What can be written of an SDN object as the API shows it; a no and nothing are not there at all.
pub fn settable_sdn<'a>(kind: &str, raw: impl IntoIterator<Item = (&'a str, String)>) -> Settings {
    let list = match kind {
        "zone" => ZONE_SETTABLE,
        "vnet" => VNET_SETTABLE,
        _ => SUBNET_SETTABLE,
    };
    let flag = |k: &str| matches!(k, "vlanaware" | "isolate-ports" | "snat");
    raw.into_iter()
        .filter(|(k, v)| list.contains(k) && !v.is_empty() && !(flag(k) && v == "0"))
        .map(|(k, v)| (k.to_owned(), v))
        .collect()
}

/// The network of a subnet's id: `z1-10.8.0.0-24` → `10.8.0.0/24`.
pub fn subnet_cidr(id: &str) -> Option<String> {
    let (_, rest) = id.split_once('-')?;
    let (network, mask) = rest.rsplit_once('-')?;
    Some(format!("{network}/{mask}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vnet_is_staged_zone_first() {
        let spec = VnetSpec {
            id: "web".into(),
            zone: "z1".into(),
            new_zone: Some(ZoneSpec { id: "z1".into(), kind: ZoneKind::Simple }),
            tag: None,
            alias: None,
            isolate_ports: true,
            vlan_aware: false,
            subnet: Some(SubnetSpec {
                cidr: "10.8.0.0/24".into(),
                gateway: Some("10.8.0.1".into()),
                snat: true,
            }),
        };
        assert!(spec.problems().is_empty(), "{:?}", spec.problems());
        let keys: Vec<String> = spec.edits().iter().map(|e| e.key().to_owned()).collect();
        assert_eq!(keys, ["zone/z1", "vnet/web", "subnet/web/z1-10.8.0.0-24"]);
    }

    #[test]
    fn a_vlan_needs_its_number() {
        let spec = VnetSpec {
            id: "toolongname".into(),
            zone: "z1".into(),
            new_zone: Some(ZoneSpec {
                id: "z1".into(),
                kind: ZoneKind::Vlan { bridge: "vmbr0".into() },
            }),
            tag: None,
            alias: None,
            isolate_ports: false,
            vlan_aware: false,
            subnet: None,
        };
        let fields: Vec<String> = spec.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["name", "tag"]);
    }
}
