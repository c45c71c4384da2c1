//! A headless service: names for the pods of a set instead of one address in front of them.
//!
//! `web-0.nginx.<zone>` is one pod, `nginx.<zone>` all that are ready, `_http._tcp.nginx.<zone>` where they listen,
//! and each address has its name in the reverse zone. What gantry wrote is listed in a [`claim`]; [`plan`] never
//! touches anything else. Called by the publisher of `gantry-dns` and by the engine.

pub mod claim;
pub mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dns::{Data, Key, Kind, NAME_MAX, Name, Record, Set, Sets, is_host_label, sets};
use crate::pod::Problem;

/// Most members of a service: BIND refuses sets of more than 100 records (`max-records-per-type`, its default since
/// 9.18.28), and the name of the service has one for each member.
pub const MEMBERS_MAX: usize = 100;
/// Most ports of a service; each is a set with a record for each member.
pub const PORTS_MAX: usize = 8;
/// Most addresses of one member that are published; a pod has two or three.
pub const ADDRESSES_MAX: usize = 8;
/// TTL where nobody says, seconds: how long a caller may go on asking a pod that is no longer ready.
pub const TTL_DEFAULT_S: u32 = 30;
/// Longest TTL, seconds. A day: an hour is already long for pods.
pub const TTL_MAX_S: u32 = 86_400;
/// Longest name of a port (RFC 6335 §5.1).
const PORT_NAME_MAX: usize = 15;
/// Longest owner; keeps the first string of a claim well under 255 bytes.
const OWNER_MAX: usize = 128;
/// Weight of every SRV record. All alike, and not 0: with 0 everywhere some clients always take the first
/// (the choice by running sum in RFC 2782 gives equal shares only to weights above 0).
const SRV_WEIGHT: u16 = 100;

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port that every member listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// What is spoken there, as in `_http._tcp`: `http`.
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// 1 to 65535.
    pub port: u16,
}

/// A headless service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// First label of its name: `nginx`.
    pub name: String,
    /// What its name stands under: `lab.example`. A configured zone or below one.
    pub zone: Name,
    /// Who owns it, written into the claim: `lab/web` (cluster and set). Two owners never share a service.
    pub owner: String,
    /// Where its members listen; one SRV name each.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// How long others may remember its records, seconds.
    #[serde(default = "ttl_default")]
    pub ttl_s: u32,
    /// Whether members that are not ready have names too, for software that finds its peers while it starts.
    #[serde(default)]
    pub publish_not_ready: bool,
    /// Whether loopback addresses have names too: where everything is simulated on one machine.
    #[serde(default)]
    pub loopback: bool,
}

fn ttl_default() -> u32 {
    TTL_DEFAULT_S
}

/// A pod of the service, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its label: `web-0`.
    pub name: String,
    /// Its addresses. Loopback, link-local, multicast and unspecified ones are left out: they mean nothing elsewhere.
    pub addresses: Vec<IpAddr>,
    /// Whether it passed its health check.
    pub ready: bool,
}

impl Service {
    /// `nginx.lab.example`. Fails where [`Service::problems`] has something to say.
    pub fn full_name(&self) -> Option<Name> {
        self.zone.child(&self.name).ok()
    }

    /// Checks everything that can be known without asking a name server; reports all mistakes together.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |ok: bool, field: &'static str, why: String| {
            if !ok {
                found.push(Problem { field: field.to_owned(), why });
            }
        };
        check(
            is_host_label(&self.name),
            "service",
            "letters a-z, digits and -, starting and ending with a letter or digit, at most 63 characters"
                .to_owned(),
        );
        // Room for the longest name made from it: `_<port>._tcp.` and a member's `<label>.` in front.
        let longest = (self.zone.as_str().len() + 1 + self.name.len()).saturating_add(64);
        check(
            longest <= NAME_MAX && self.full_name().is_some(),
            "zone",
            format!("a name is at most {NAME_MAX} characters long, with 64 left for the pods"),
        );
        check(
            !self.owner.is_empty()
                && self.owner.len() <= OWNER_MAX
                && self.owner.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)),
            "owner",
            format!("letters, digits, -, _, . and /, at most {OWNER_MAX} characters"),
        );
        check((1..=TTL_MAX_S).contains(&self.ttl_s), "ttl", format!("1 to {TTL_MAX_S} seconds"));
        check(self.ports.len() <= PORTS_MAX, "ports", format!("at most {PORTS_MAX} ports"));
        for port in &self.ports {
            check(
                is_port_name(&port.name),
                "ports",
                format!(
                    "`{}`: the name of a port is a-z, 0-9 and single - inside, with a letter, at most {PORT_NAME_MAX} characters",
                    port.name.chars().take(40).collect::<String>()
                ),
            );
            check(port.port != 0, "ports", "a port is 1 to 65535".to_owned());
        }
        let names: BTreeSet<_> = self.ports.iter().map(|p| (&p.name, p.protocol)).collect();
        check(
            names.len() == self.ports.len(),
            "ports",
            "two ports have the same name and protocol".to_owned(),
        );
        found
    }

    /// The mistakes of members: those that cannot be known from the specification.
    pub fn member_problems(&self, members: &[Member]) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for member in members {
            if !is_host_label(&member.name) {
                let why = format!("`{}` cannot be part of a name", member.name.escape_debug());
                found.push(Problem { field: "members".to_owned(), why });
            } else if !seen.insert(&member.name) {
                let why = format!("{} is there twice", member.name);
                found.push(Problem { field: "members".to_owned(), why });
            }
        }
        if members.len() > MEMBERS_MAX {
            let why = format!("a headless service has at most {MEMBERS_MAX} members");
            found.push(Problem { field: "members".to_owned(), why });
        }
        found
    }

    /// Everything the DNS shall say about the service, in whatever zones that falls. Names that cannot be made
    /// (see [`Service::problems`]) are left out.
    pub fn records(&self, members: &[Member]) -> BTreeSet<Record> {
        let mut out = BTreeSet::new();
        let Some(service) = self.full_name() else { return out };
        let mut add = |name: Name, data: Data| {
            out.insert(Record { name, ttl_s: self.ttl_s, data });
        };
        for member in members {
            let Ok(name) = service.child(&member.name) else { continue };
            if !member.ready && !self.publish_not_ready {
                continue;
            }
            let addresses: BTreeSet<IpAddr> =
                member.addresses.iter().copied().filter(|a| self.takes(*a)).collect();
            for address in addresses.iter().take(ADDRESSES_MAX) {
                add(name.clone(), Data::of_address(*address));
                add(Name::reverse(*address), Data::Ptr(name.clone()));
                add(service.clone(), Data::of_address(*address));
            }
            // A place to connect to without an address would be no help.
            for port in self.ports.iter().filter(|_| !addresses.is_empty()) {
                let Some(srv) = self.port_name(port) else { continue };
                let (weight, target) = (SRV_WEIGHT, name.clone());
                add(srv, Data::Srv { priority: 0, weight, port: port.port, target });
            }
        }
        out
    }

    /// Whether an address means something to whoever asks for it.
    fn takes(&self, address: IpAddr) -> bool {
        if address.is_loopback() { self.loopback } else { means_something(address) }
    }

    /// `_http._tcp.nginx.lab.example`.
    fn port_name(&self, port: &Port) -> Option<Name> {
        self.full_name()?.child(&format!("_{}._{}", port.name, port.protocol)).ok()
    }

    /// [`Service::records`] by the zones they fall in, the most special first, and what falls in none of them.
    /// Each of `zones` is in the answer, so that what is no longer wanted there is found.
    pub fn by_zone(&self, members: &[Member], zones: &[Name]) -> (BTreeMap<Name, Sets>, Sets) {
        let mut split: BTreeMap<Name, Sets> =
            zones.iter().map(|z| (z.clone(), Sets::new())).collect();
        let mut unserved = Sets::new();
        for (key, set) in sets(self.records(members)) {
            match key.name.zone_among(zones).and_then(|z| split.get_mut(z)) {
                Some(sets) => sets.insert(key, set),
                None => unserved.insert(key, set),
            };
        }
        (split, unserved)
    }

    /// Whether `key` can be one of this service's: under its own name, or the name of an address.
    pub fn may_write(&self, key: &Key) -> bool {
        let Some(full) = self.full_name() else { return false };
        match key.kind {
            Kind::Ptr => ["in-addr.arpa", "ip6.arpa"]
                .iter()
                .any(|z| key.name.as_str().ends_with(&format!(".{z}"))),
            Kind::A | Kind::Aaaa | Kind::Srv => key.name.is_within(&full),
            Kind::Cname | Kind::Txt => false,
        }
    }
}

/// The first set of the claim's kind in `found`, if any.
pub(crate) fn set_at<'s>(found: &'s Sets, name: &Name, kind: Kind) -> Option<&'s Set> {
    found.get(&Key { name: name.clone(), kind })
}

fn is_port_name(text: &str) -> bool {
    is_host_label(text)
        && text.len() <= PORT_NAME_MAX
        && text.contains(|c: char| c.is_ascii_lowercase())
        && !text.contains("--")
}

fn means_something(address: IpAddr) -> bool {
    let special = address.is_unspecified() || address.is_multicast();
    !special
        && match address {
            IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.to_ipv4_mapped().is_none(),
        }
}

#[cfg(test)]
mod tests;
