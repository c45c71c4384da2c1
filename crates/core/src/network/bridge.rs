//! Bridges of a node: names, what one shall be, and which settings of an interface the API can write.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BridgeNow, Flip, Settings, Switch};
use crate::pod::Problem;

/// Longest interface name Linux takes (IFNAMSIZ less its end). Proxmox's schema says 20; the kernel does not.
const NAME_MAX: usize = 15;
/// Longest comment; keeps cards readable.
const COMMENT_MAX: usize = 200;
/// Smallest and largest MTU Proxmox takes (`mtu`).
const MTU_RANGE: std::ops::RangeInclusive<u32> = 1280..=65520;
/// Most ports of one bridge; a bound against slips, not a promise of Proxmox.
const PORTS_MAX: usize = 32;

/// A network interface's name: a letter, then letters, digits, `_`, `-` and `.` (`pve-iface`, and the kernel's length).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfaceName(String);

/// A text that names no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the name of an interface: a letter, then letters, digits, _, - and ., 2 to 15 characters"
)]
pub struct BadIface(String);

impl IfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfaceName {
    type Err = BadIface;
    fn from_str(text: &str) -> Result<Self, BadIface> {
        let ok = (2..=NAME_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if ok { Ok(Self(text.to_owned())) } else { Err(BadIface(text.chars().take(40).collect())) }
    }
}

impl TryFrom<String> for IfaceName {
    type Error = BadIface;
    fn try_from(text: String) -> Result<Self, BadIface> {
        text.parse()
    }
}

impl From<IfaceName> for String {
    fn from(name: IfaceName) -> Self {
        name.0
    }
}

impl fmt::Display for IfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a new Linux bridge shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeSpec {
    /// Its name: `vmbr5`.
    pub name: IfaceName,
    /// What it is for: kept in its comment as `gantry:<deployment>`.
    #[serde(default)]
    pub deployment: Option<String>,
    /// Free text in its comment.
    #[serde(default)]
    pub comment: Option<String>,
    /// Interfaces that are plugged into it; none for a network inside the node.
    #[serde(default)]
    pub ports: Vec<IfaceName>,
    /// The node's own IPv4 address on it: `10.9.0.1/24`.
    #[serde(default)]
    pub cidr: Option<String>,
    /// Default gateway of the node over IPv4.
    #[serde(default)]
    pub gateway: Option<String>,
    /// The node's own IPv6 address on it.
    #[serde(default)]
    pub cidr6: Option<String>,
    /// MTU, bytes; the ports' where left out.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Whether it tells VLANs apart.
    #[serde(default)]
    pub vlan_aware: bool,
    /// Which VLANs may pass: `2-4094`, `10 20 30-40`.
    #[serde(default)]
    pub vids: Option<String>,
    /// Whether it takes part in the spanning tree protocol. The API cannot set it.
    #[serde(default)]
    pub stp: bool,
}

impl BridgeSpec {
    /// Everything that is wrong with it by itself.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |ok: bool, field: &'static str, why: &str| {
            if !ok {
                found.push(Problem { field: field.to_owned(), why: why.to_owned() });
            }
        };
        let label = |t: &str| {
            (1..=40).contains(&t.len())
                && t.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        check(
            self.deployment.as_deref().is_none_or(label),
            "deployment",
            "letters, digits, -, _ and ., at most 40 characters",
        );
        check(
            self.comment.as_deref().is_none_or(|c| {
                c.chars().count() <= COMMENT_MAX && !c.chars().any(char::is_control)
            }),
            "comment",
            "one line of at most 200 characters",
        );
        check(self.ports.len() <= PORTS_MAX, "ports", "at most 32 ports");
        check(!self.ports.contains(&self.name), "ports", "a bridge cannot be plugged into itself");
        check(
            self.cidr.as_deref().is_none_or(|c| is_cidr(c, false)),
            "address",
            "an IPv4 address with prefix such as 10.9.0.1/24",
        );
        check(
            self.cidr6.as_deref().is_none_or(|c| is_cidr(c, true)),
            "address6",
            "an IPv6 address with prefix such as fd00:9::1/64",
        );
        check(
            self.gateway.as_deref().is_none_or(|g| g.parse::<std::net::Ipv4Addr>().is_ok()),
            "gateway",
            "an IPv4 address such as 10.9.0.254",
        );
        check(
            self.gateway.is_none() || self.cidr.is_some(),
            "gateway",
            "a gateway needs an address on the same bridge",
        );
        check(self.mtu.is_none_or(|m| MTU_RANGE.contains(&m)), "mtu", "1280 to 65520");
        check(
            self.vids.as_deref().is_none_or(is_vid_list),
            "vlans",
            "VLAN ids and ranges from 2 to 4094, such as 10 20 30-40",
        );
        check(
            self.vids.is_none() || self.vlan_aware,
            "vlans",
            "VLAN ids need a bridge that tells VLANs apart (vlan_aware)",
        );
        found
    }

    /// Its settings as the API takes them. Spanning tree is not among them: the API has no name for it.
    pub fn settings(&self) -> Settings {
        let mut all = Settings::new();
        let mut put = |k: &str, v: Option<String>| {
            if let Some(v) = v {
                all.insert(k.to_owned(), v);
            }
        };
        let ports: Vec<&str> = self.ports.iter().map(IfaceName::as_str).collect();
        let note: Vec<String> = self
            .deployment
            .iter()
            .map(|d| format!("gantry:{d}"))
            .chain(self.comment.iter().map(|c| c.trim().to_owned()))
            .filter(|t| !t.is_empty())
            .collect();
        put("type", Some("bridge".into()));
        put("autostart", Some("1".into()));
        put("bridge_ports", (!ports.is_empty()).then(|| ports.join(" ")));
        put("cidr", self.cidr.clone());
        put("gateway", self.gateway.clone());
        put("cidr6", self.cidr6.clone());
        put("mtu", self.mtu.map(|m| m.to_string()));
        put("bridge_vlan_aware", self.vlan_aware.then(|| "1".into()));
        put("bridge_vids", self.vids.as_deref().map(spaced));
        put("comments", (!note.is_empty()).then(|| note.join(" ")));
        all
    }
}

/// The object that holds the defaults of a node's own firewall. No interface can be called so.
pub const FIREWALL: &str = "node firewall";
/// Defaults that keep nobody out who plays by the rules: packets with broadcast senders, and TCP flags that no
/// honest program combines. They hold where the cluster's firewall is switched on.
const FIREWALL_DEFAULTS: &[&str] = &["nosmurfs", "tcpflags"];

/// What makes an existing bridge safer. `None` leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secure {
    /// Tell VLANs apart.
    #[serde(default)]
    pub vlan_aware: Option<bool>,
    /// Which VLANs may pass.
    #[serde(default)]
    pub vids: Option<String>,
    /// Multicast snooping. The API cannot set it.
    #[serde(default)]
    pub multicast_snooping: Option<bool>,
    /// Ports that may not talk to each other. The API cannot set it on a plain bridge.
    #[serde(default)]
    pub isolate_ports: Option<bool>,
    /// Spanning tree. The API cannot set it.
    #[serde(default)]
    pub stp: Option<bool>,
    /// Defaults of the node's firewall that drop what no honest program sends.
    #[serde(default)]
    pub firewall: Option<bool>,
}

impl Secure {
    /// What is wrong with it by itself.
    pub fn problems(&self) -> Vec<Problem> {
        let bad = self.vids.as_deref().is_some_and(|v| !is_vid_list(v));
        let why = "VLAN ids and ranges from 2 to 4094, such as 10 20 30-40".to_owned();
        bad.then_some(Problem { field: "vlans".to_owned(), why }).into_iter().collect()
    }

    /// The settings of a bridge that has `before` now.
    pub fn settings(&self, before: &Settings) -> Settings {
        let mut after = before.clone();
        match self.vlan_aware {
            Some(true) => {
                after.insert("bridge_vlan_aware".into(), "1".into());
            }
            Some(false) => {
                after.remove("bridge_vlan_aware");
                after.remove("bridge_vids");
            }
            None => {}
        }
        if let Some(vids) = &self.vids {
            after.insert("bridge_vlan_aware".into(), "1".into());
            after.insert("bridge_vids".into(), spaced(vids));
        }
        after
    }

    /// The firewall's settings of a node that has `before` now; `None` where nobody speaks of them.
    pub fn firewall(&self, before: &Settings) -> Option<Settings> {
        let on = self.firewall?;
        let mut after = before.clone();
        for key in FIREWALL_DEFAULTS {
            after.insert((*key).to_owned(), u8::from(on).to_string());
        }
        Some(after)
    }

    /// What was asked for that the API has no name for.
    pub fn beyond_the_api(&self) -> Vec<Switch> {
        let asked = [
            (self.stp, Switch::Stp),
            (self.multicast_snooping, Switch::Snooping),
            (self.isolate_ports, Switch::Isolated),
        ];
        asked.iter().filter(|(on, _)| on.is_some()).map(|(_, what)| *what).collect()
    }

    /// The switches that makes of a bridge. `uplinks` are ports of its configuration: guests are kept from each other,
    /// never from what is beyond.
    pub fn flips(&self, bridge: &str, uplinks: &str, now: &BridgeNow) -> Vec<Flip> {
        let flip = |port: Option<&String>, switch: Switch, on: bool| Flip {
            node: None,
            bridge: bridge.to_owned(),
            port: port.cloned(),
            switch,
            on,
        };
        let mut all = Vec::new();
        all.extend(self.stp.map(|on| flip(None, Switch::Stp, on)));
        all.extend(self.multicast_snooping.map(|on| flip(None, Switch::Snooping, on)));
        if let Some(on) = self.isolate_ports {
            let guests = now.ports.keys().filter(|p| !uplinks.split(' ').any(|u| u == p.as_str()));
            all.extend(guests.map(|port| flip(Some(port), Switch::Isolated, on)));
        }
        all
    }
}

/// Settings of a node's interface that the API can write (`POST`/`PUT /nodes/{node}/network`, PVE 9.1).
const SETTABLE: &[&str] = &[
    "type",
    "autostart",
    "bond-primary",
    "bond_mode",
    "bond_xmit_hash_policy",
    "bridge_ports",
    "bridge_vids",
    "bridge_vlan_aware",
    "cidr",
    "cidr6",
    "address",
    "address6",
    "netmask",
    "netmask6",
    "gateway",
    "gateway6",
    "mtu",
    "comments",
    "comments6",
    "ovs_bonds",
    "ovs_bridge",
    "ovs_options",
    "ovs_ports",
    "ovs_tag",
    "slaves",
    "vlan-id",
    "vlan-raw-device",
];

/// What can be written of an interface as the API shows it, in one form: addresses with their prefix, yes as `1`,
/// nothing empty, comments without their line break.
pub fn settable<'a>(raw: impl IntoIterator<Item = (&'a str, String)>) -> Settings {
    let mut all: Settings = raw
        .into_iter()
        .filter(|(k, _)| SETTABLE.contains(k))
        .map(|(k, v)| (k.to_owned(), v.trim_end().to_owned()))
        .filter(|(_, v)| !v.trim().is_empty())
        .collect();
    for (cidr, address, mask) in [("cidr", "address", "netmask"), ("cidr6", "address6", "netmask6")]
    {
        if !all.contains_key(cidr)
            && let (Some(a), Some(m)) = (all.get(address), all.get(mask))
        {
            let joined = format!("{a}/{m}");
            all.insert(cidr.to_owned(), joined);
        }
        if all.contains_key(cidr) {
            all.remove(address);
            all.remove(mask);
        }
    }
    // A yes that is a no is not there at all: Proxmox leaves it out as often as it says 0.
    for flag in ["bridge_vlan_aware", "autostart"] {
        if all.get(flag).is_some_and(|v| v == "0" || v == "false") {
            all.remove(flag);
        } else if let Some(v) = all.get_mut(flag) {
            *v = "1".to_owned();
        }
    }
    for list in ["bridge_ports", "bridge_vids", "slaves", "ovs_ports"] {
        if let Some(v) = all.get_mut(list) {
            *v = spaced(v);
        }
    }
    // Every bridge that tells VLANs apart has these unless somebody says otherwise.
    if !all.contains_key("bridge_vlan_aware")
        || all.get("bridge_vids").is_some_and(|v| v == "2-4094")
    {
        all.remove("bridge_vids");
    }
    if all.get("bridge_ports").is_some_and(|v| v == "none") {
        all.remove("bridge_ports");
    }
    all
}

/// A list with single spaces, whatever stood between.
fn spaced(list: &str) -> String {
    list.split([' ', ',', ';']).filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ")
}

fn is_vid_list(text: &str) -> bool {
    let vid = |t: &str| t.parse::<u16>().is_ok_and(|n| (2..=4094).contains(&n));
    let list = spaced(text);
    !list.is_empty()
        && list.split(' ').all(|part| match part.split_once('-') {
            Some((a, b)) => vid(a) && vid(b) && a.parse::<u16>().ok() <= b.parse::<u16>().ok(),
            None => vid(part),
        })
}

pub(super) fn is_cidr(text: &str, v6: bool) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let Ok(prefix) = prefix.parse::<u8>() else { return false };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => !v6 && (1..=32).contains(&prefix),
        Ok(IpAddr::V6(_)) => v6 && (1..=128).contains(&prefix),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> BridgeSpec {
        serde_json::from_value(serde_json::json!({ "name": name })).unwrap()
    }

    #[test]
    fn names_of_interfaces() {
        for good in ["vmbr0", "lo", "eno1", "br-web_1.20"] {
            assert!(good.parse::<IfaceName>().is_ok(), "{good}");
        }
        for bad in ["", "x", "0br", "vm br", "vmbr0;reboot", "averyveryverylongname", "vmbr/0"] {
            assert!(bad.parse::<IfaceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_told_together() {
        let mut bad = spec("vmbr5");
        bad.cidr = Some("10.0.0.1".into());
        bad.mtu = Some(99);
        bad.vids = Some("1-9999".into());
        let fields: Vec<String> = bad.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["address", "mtu", "vlans", "vlans"]);
        assert!(spec("vmbr5").problems().is_empty());
    }

    #[test]
    fn what_proxmox_shows_and_what_it_takes_are_one_form() {
        let raw = [
            ("type", "bridge"),
            ("address", "10.0.0.1"),
            ("netmask", "24"),
            ("active", "1"),
            ("bridge_ports", ""),
            ("bridge_stp", "off"),
            ("comments", "gantry:web\n"),
            ("bridge_vlan_aware", "1"),
            ("bridge_vids", "2-4094"),
            ("autostart", "1"),
        ];
        let seen = settable(raw.map(|(k, v)| (k, v.to_owned())));
        let mut wanted = spec("vmbr5");
        wanted.cidr = Some("10.0.0.1/24".into());
        wanted.vlan_aware = true;
        wanted.deployment = Some("web".into());
        assert_eq!(seen, wanted.settings());
    }
}
