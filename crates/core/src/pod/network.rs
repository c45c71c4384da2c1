//! A pod's network cards and name resolution.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::problem::{Problems, is_domain, is_interface};
use super::unit::{Cidr4, Cidr6, Milli};

/// Most trunks on one card; keeps the property string within Proxmox's limits.
const TRUNKS_MAX: usize = 64;

/// How a card gets its IPv4 address: `none`, `dhcp` or `10.0.0.5/24`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ipv4 {
    /// None from Proxmox; the system inside may set one.
    #[default]
    None,
    /// From a DHCP server.
    Dhcp,
    /// Fixed.
    Fixed(Cidr4),
}

/// How a card gets its IPv6 address: `none`, `auto` (SLAAC), `dhcp` or `fd00::5/64`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ipv6 {
    /// None from Proxmox; the system inside may set one.
    #[default]
    None,
    /// From router advertisements (SLAAC).
    Auto,
    /// From a DHCPv6 server.
    Dhcp,
    /// Fixed.
    Fixed(Cidr6),
}

impl FromStr for Ipv4 {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" | "manual" | "" => Ok(Self::None),
            "dhcp" => Ok(Self::Dhcp),
            other => other
                .parse()
                .map(Self::Fixed)
                .map_err(|_| format!("`{other}` is not none, dhcp or an address like 10.0.0.5/24")),
        }
    }
}

impl FromStr for Ipv6 {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" | "manual" | "" => Ok(Self::None),
            "auto" => Ok(Self::Auto),
            "dhcp" => Ok(Self::Dhcp),
            other => other.parse().map(Self::Fixed).map_err(|_| {
                format!("`{other}` is not none, auto, dhcp or an address like fd00::5/64")
            }),
        }
    }
}

impl fmt::Display for Ipv4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Dhcp => f.write_str("dhcp"),
            Self::Fixed(cidr) => cidr.fmt(f),
        }
    }
}

impl fmt::Display for Ipv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Auto => f.write_str("auto"),
            Self::Dhcp => f.write_str("dhcp"),
            Self::Fixed(cidr) => cidr.fmt(f),
        }
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
text_form!(Ipv4, Ipv6);

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Name inside the pod; left out: `eth0`, `eth1`, … by position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Linux bridge or SDN vnet it is on.
    pub bridge: String,
    /// VLAN tag, 1 to 4094.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// VLANs passed through tagged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trunks: Vec<u16>,
    /// IPv4 address.
    #[serde(skip_serializing_if = "super::is_default")]
    pub ipv4: Ipv4,
    /// IPv4 gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway4: Option<Ipv4Addr>,
    /// IPv6 address.
    #[serde(skip_serializing_if = "super::is_default")]
    pub ipv6: Ipv6,
    /// IPv6 gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<Ipv6Addr>,
    /// Hardware address; left out: Proxmox chooses one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Largest packet, bytes; left out: the bridge's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Rate limit, MB/s (Proxmox's unit for `rate`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_mb_s: Option<Milli>,
    /// Whether the Proxmox firewall filters it.
    #[serde(skip_serializing_if = "super::is_true")]
    pub firewall: bool,
    /// Whether its cable is pulled.
    #[serde(skip_serializing_if = "super::is_default")]
    pub link_down: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            name: None,
            bridge: String::new(),
            vlan: None,
            trunks: Vec::new(),
            ipv4: Ipv4::None,
            gateway4: None,
            ipv6: Ipv6::None,
            gateway6: None,
            mac: None,
            mtu: None,
            rate_mb_s: None,
            firewall: true,
            link_down: false,
        }
    }
}

impl Network {
    /// A card on `bridge` that asks a DHCP server.
    pub fn dhcp(bridge: impl Into<String>) -> Self {
        Self { bridge: bridge.into(), ipv4: Ipv4::Dhcp, ..Self::default() }
    }

    /// Its name inside, where it is the card at `position`.
    pub fn inner_name(&self, position: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("eth{position}"))
    }

    /// As people read it: `vmbr0 VLAN 20, 10.0.0.5/24 via 10.0.0.1`.
    pub fn describe(&self) -> String {
        let mut text = self.bridge.clone();
        if let Some(vlan) = self.vlan {
            text.push_str(&format!(" VLAN {vlan}"));
        }
        if !self.trunks.is_empty() {
            let list: Vec<String> = self.trunks.iter().map(u16::to_string).collect();
            text.push_str(&format!(" trunks {}", list.join(" ")));
        }
        match self.ipv4 {
            Ipv4::None => {}
            Ipv4::Dhcp => text.push_str(", DHCP"),
            Ipv4::Fixed(cidr) => text.push_str(&format!(", {cidr}")),
        }
        if let Some(gateway) = self.gateway4 {
            text.push_str(&format!(" via {gateway}"));
        }
        match self.ipv6 {
            Ipv6::None => {}
            Ipv6::Auto => text.push_str(", IPv6 SLAAC"),
            Ipv6::Dhcp => text.push_str(", DHCPv6"),
            Ipv6::Fixed(cidr) => text.push_str(&format!(", {cidr}")),
        }
        if let Some(gateway) = self.gateway6 {
            text.push_str(&format!(" via {gateway}"));
        }
        if self.ipv4 == Ipv4::None && self.ipv6 == Ipv6::None {
            text.push_str(", no address");
        }
        if self.link_down {
            text.push_str(", cable pulled");
        }
        text
    }

    pub(super) fn check(&self, at: &str, found: &mut Problems) {
        let key = |name: &str| format!("{at}.{name}");
        found.check(
            self.name.as_deref().is_none_or(is_interface),
            key("name"),
            "the name of a network card such as eth0, at most 15 characters",
        );
        found.check(
            is_interface(&self.bridge),
            key("bridge"),
            "the name of a bridge or vnet such as vmbr0",
        );
        let vlan = |v: &u16| (1..=4094).contains(v);
        if let Some(bad) = self.vlan.filter(|v| !vlan(v)) {
            found.check(false, key("vlan"), format!("{bad} is none; 1 to 4094"));
        }
        found.check(
            self.trunks.iter().all(vlan) && self.trunks.len() <= TRUNKS_MAX,
            key("trunks"),
            "VLANs from 1 to 4094, at most 64",
        );
        found.check(
            self.gateway4.is_none() || matches!(self.ipv4, Ipv4::Fixed(_)),
            key("gateway4"),
            "a gateway needs a fixed address; DHCP tells its own",
        );
        found.check(
            self.gateway6.is_none() || matches!(self.ipv6, Ipv6::Fixed(_)),
            key("gateway6"),
            "a gateway needs a fixed address; router advertisements tell their own",
        );
        found.check(
            self.mac.as_deref().is_none_or(is_mac),
            key("mac"),
            "six pairs of hexadecimal digits such as BC:24:11:00:00:01, the first even",
        );
        found.check(self.mtu.is_none_or(|m| m >= 64), key("mtu"), "64 to 65535");
        found.check(
            self.rate_mb_s.is_none_or(|r| (1..=100_000_000).contains(&r.0)),
            key("rate_mb_s"),
            "0.001 to 100000 MB/s",
        );
    }
}

/// A unicast hardware address. Proxmox refuses multicast ones.
pub(super) fn is_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() == 6
        && pairs.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
        && u8::from_str_radix(pairs[0], 16).is_ok_and(|n| n & 1 == 0)
}

/// Name resolution inside the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Servers asked; empty: the node's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
    /// Domains searched; empty: the node's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
}

impl Dns {
    pub(super) fn check(&self, found: &mut Problems) {
        // resolv.conf takes three servers and, since glibc 2.26, any number of domains; six was the limit before.
        found.check(self.servers.len() <= 3, "dns.servers", "at most 3: resolvers ask no more");
        found.check(
            self.search.len() <= 6 && self.search.iter().all(|d| is_domain(d)),
            "dns.search",
            "at most 6 domain names",
        );
    }
}
