//! Port forwards of a node: one forward, the whole table, and the generation that proves which table is in force.
//!
//! A table is always sent as a whole and put in force in one transaction. Two forwards that listen at the same place
//! cannot be in one table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Forwards of one node; so many fit into one line.
pub const FORWARDS_MAX: usize = 256;

/// Ports a node needs for itself: SSH, SPICE, corosync, consoles, the API, migration. Forwarding them away would
/// lock everybody out, gantry included.
pub const RESERVED_PORTS: &[RangeInclusive<u16>] =
    &[22..=22, 3128..=3128, 5404..=5412, 5900..=5999, 8006..=8006, 60000..=60050];

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// `ipv4` or `ipv6`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Where a forward listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listen {
    /// At every address of the node except loopback.
    Any,
    /// At this address only; it goes before `Any`.
    At(IpAddr),
}

/// Why something is not a forward, or two are not a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadForward {
    /// Port 0.
    #[error("port 0 does not exist")]
    PortZero,
    /// A port the node needs.
    #[error("the node needs port {0} for itself")]
    Reserved(u16),
    /// Loopback, link-local, multicast, unspecified, IPv4 inside IPv6 and the like.
    #[error("{0} is not the address of a machine that can be forwarded to")]
    Address(IpAddr),
    /// Listens at IPv4, goes to IPv6, or the other way round.
    #[error("{0} and {1} are of different families; a forward stays within IPv4 or IPv6")]
    Families(IpAddr, IpAddr),
    /// Not the text of a forward.
    #[error("`{0}` is not a forward")]
    Text(String),
    /// Two forwards listen at the same place.
    #[error("{0} and {1} listen at the same place")]
    Conflict(Forward, Forward),
    /// More than [`FORWARDS_MAX`].
    #[error("{0} forwards; a node has at most {FORWARDS_MAX}")]
    TooMany(usize),
}

/// What arrives at one place of the node goes to one place of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forward {
    protocol: Protocol,
    listen: Listen,
    port: u16,
    target: IpAddr,
    target_port: u16,
}

fn v4_ok(a: Ipv4Addr) -> bool {
    let [first, ..] = a.octets();
    (1..=223).contains(&first) && !a.is_loopback() && !a.is_link_local()
}

/// Global unicast (2000::/3) or unique local (fc00::/7).
fn v6_ok(a: Ipv6Addr) -> bool {
    let first = a.segments()[0];
    (first & 0xe000) == 0x2000 || (first & 0xfe00) == 0xfc00
}

fn address_ok(a: IpAddr) -> Result<(), BadForward> {
    let ok = match a {
        IpAddr::V4(a) => v4_ok(a),
        IpAddr::V6(a) => v6_ok(a),
    };
    if ok { Ok(()) } else { Err(BadForward::Address(a)) }
}

impl Forward {
    /// A forward.
    ///
    /// # Errors
    /// [`BadForward`] for a port or address that must not be forwarded.
    pub fn new(
        protocol: Protocol,
        listen: Listen,
        port: u16,
        target: IpAddr,
        target_port: u16,
    ) -> Result<Self, BadForward> {
        if port == 0 || target_port == 0 {
            return Err(BadForward::PortZero);
        }
        if RESERVED_PORTS.iter().any(|r| r.contains(&port)) {
            return Err(BadForward::Reserved(port));
        }
        address_ok(target)?;
        if let Listen::At(address) = listen {
            address_ok(address)?;
            if address.is_ipv4() != target.is_ipv4() {
                return Err(BadForward::Families(address, target));
            }
        }
        Ok(Self { protocol, listen, port, target, target_port })
    }

    /// TCP or UDP.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        Family::of(self.target)
    }

    /// Where it listens.
    pub fn listen(&self) -> Listen {
        self.listen
    }

    /// The port it listens at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The guest's address.
    pub fn target(&self) -> IpAddr {
        self.target
    }

    /// The guest's port.
    pub fn target_port(&self) -> u16 {
        self.target_port
    }

    /// What must be unique in a table.
    fn place(&self) -> (Protocol, Family, Listen, u16) {
        (self.protocol, self.family(), self.listen, self.port)
    }
}

impl fmt::Display for Forward {
    /// As it is sent: `tcp,ipv4,any,8080,10.0.0.5,80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},", self.protocol.as_str(), self.family().as_str())?;
        match self.listen {
            Listen::Any => f.write_str("any")?,
            Listen::At(a) => a.fmt(f)?,
        }
        write!(f, ",{},{},{}", self.port, self.target, self.target_port)
    }
}

impl FromStr for Forward {
    type Err = BadForward;
    fn from_str(text: &str) -> Result<Self, BadForward> {
        let bad = || BadForward::Text(text.chars().take(120).collect());
        let parts: Vec<&str> = text.split(',').collect();
        let [protocol, family, listen, port, target, target_port] = parts[..] else {
            return Err(bad());
        };
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(bad()),
        };
        let listen = match listen {
            "any" => Listen::Any,
            address => Listen::At(address.parse().map_err(|_| bad())?),
        };
        let port = port.parse().map_err(|_| bad())?;
        let target = target.parse().map_err(|_| bad())?;
        let target_port = target_port.parse().map_err(|_| bad())?;
        let forward = Self::new(protocol, listen, port, target, target_port)?;
        // One text a forward: no leading zeros, no other spelling of an address, the family as it is.
        if forward.family().as_str() == family && forward.to_string() == text {
            Ok(forward)
        } else {
            Err(bad())
        }
    }
}

/// Which table: the first 16 hexadecimal digits of the SHA-256 over its sorted lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generation(String);

impl Generation {
    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let ok = text.len() == 16
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        ok.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All forwards of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwardTable(BTreeSet<Forward>);

impl ForwardTable {
    /// A table of these forwards; the same forward twice is one.
    ///
    /// # Errors
    /// [`BadForward::Conflict`] when two listen at the same place, [`BadForward::TooMany`].
    pub fn new(forwards: impl IntoIterator<Item = Forward>) -> Result<Self, BadForward> {
        let set: BTreeSet<Forward> = forwards.into_iter().collect();
        if set.len() > FORWARDS_MAX {
            return Err(BadForward::TooMany(set.len()));
        }
        let mut places = BTreeMap::new();
        for forward in &set {
            if let Some(other) = places.insert(forward.place(), *forward) {
                return Err(BadForward::Conflict(other, *forward));
            }
        }
        Ok(Self(set))
    }

    /// The forwards, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Forward> {
        self.0.iter()
    }

    /// Whether it holds this forward.
    pub fn contains(&self, forward: &Forward) -> bool {
        self.0.contains(forward)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which table this is.
    pub fn generation(&self) -> Generation {
        let mut lines: Vec<String> = self.0.iter().map(Forward::to_string).collect();
        lines.sort();
        let mut hash = Sha256::new();
        for line in lines {
            hash.update(line);
            hash.update("\n");
        }
        Generation(hex::encode(hash.finalize())[..16].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(text: &str) -> Result<Forward, BadForward> {
        text.parse()
    }

    #[test]
    fn a_forward_has_one_text() {
        for good in [
            "tcp,ipv4,any,8080,10.0.0.5,80",
            "udp,ipv4,203.0.113.7,53,10.0.0.5,53",
            "tcp,ipv6,any,443,fd00::5,8443",
            "udp,ipv6,2001:db8::1,53,fd00::5,53",
        ] {
            assert_eq!(forward(good).unwrap().to_string(), good);
        }
        for bad in [
            "tcp,ipv6,any,8080,10.0.0.5,80",
            "tcp,ipv4,any,08080,10.0.0.5,80",
            "tcp,ipv4,any,8080,10.0.0.05,80",
            "tcp,ipv6,any,8080,FD00::5,80",
            "tcp,ipv6,any,8080,fd00:0::5,80",
            "sctp,ipv4,any,8080,10.0.0.5,80",
            "tcp,ipv4,any,8080,10.0.0.5,80,",
            "tcp,ipv4,any,+80,10.0.0.5,80",
            "",
        ] {
            assert!(forward(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_would_lock_people_out_or_leak_is_refused() {
        assert_eq!(forward("tcp,ipv4,any,8006,10.0.0.5,80"), Err(BadForward::Reserved(8006)));
        assert_eq!(forward("tcp,ipv4,any,22,10.0.0.5,80"), Err(BadForward::Reserved(22)));
        for target in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            let text = format!("tcp,ipv4,any,80,{target},80");
            assert!(matches!(forward(&text), Err(BadForward::Address(_))), "{target}");
        }
        for target in ["::1", "::", "fe80::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::1"] {
            let text = format!("tcp,ipv6,any,80,{target},80");
            assert!(matches!(forward(&text), Err(BadForward::Address(_))), "{target}");
        }
    }

    #[test]
    fn two_that_listen_at_one_place_are_no_table() {
        let a = forward("tcp,ipv4,any,80,10.0.0.5,80").unwrap();
        let b = forward("tcp,ipv4,any,80,10.0.0.6,80").unwrap();
        let c = forward("udp,ipv4,any,80,10.0.0.6,80").unwrap();
        assert!(matches!(ForwardTable::new([a, b]), Err(BadForward::Conflict(..))));
        assert_eq!(ForwardTable::new([a, c, a]).unwrap().len(), 2);
    }

    #[test]
    fn the_generation_is_that_of_the_sorted_lines() {
        // printf 'tcp,ipv4,any,80,10.0.0.5,80\n' | sha256sum
        let a = forward("tcp,ipv4,any,80,10.0.0.5,80").unwrap();
        let one = ForwardTable::new([a]).unwrap().generation();
        let expected = hex::encode(Sha256::digest("tcp,ipv4,any,80,10.0.0.5,80\n"));
        assert_eq!(one.as_str(), &expected[..16]);
        assert_ne!(one, ForwardTable::default().generation());
    }
}
