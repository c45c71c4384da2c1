//! Port forwards: which port of which node leads to which guest. What a node's table shall be follows from the
//! forwards that were asked for and the addresses of their guests; a forward that leads nowhere is said to be broken,
//! not hidden. Pure; the table itself is put in force by the node shell.

mod plan;
mod step;
mod target;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use plan::{Asking, Facts, Found, plan_add, plan_apply, plan_remove};
pub use step::{Confirmed, ForwardAction, ForwardStep};
pub use target::{Broken, Desired, Ground, Leads, ends_at_node, forbidden, target, unfit_address};

use crate::id::{ClusterId, ForwardId, NodeName, Vmid};

/// Most forwards of one node; so many go to it in one line.
pub const FORWARDS_MAX: usize = 256;

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Proto {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// IPv4 or IPv6. A forward stays within one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// `ipv4` or `ipv6`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// A forward as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardSpec {
    /// In which cluster.
    pub cluster: ClusterId,
    /// On which node it listens.
    pub node: NodeName,
    /// TCP or UDP.
    pub proto: Proto,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The address it listens at; `None` is every address of the node but loopback.
    pub listen: Option<IpAddr>,
    /// The port it listens at.
    pub port: u16,
    /// The guest it leads to. Its address is looked up: it may change.
    pub vmid: Vmid,
    /// That guest's name when it was asked for.
    pub name: String,
    /// The port there.
    pub target_port: u16,
}

impl ForwardSpec {
    /// Where it listens, as people read it: `tcp ipv4 *:8080 on pve1`.
    pub fn place(&self) -> String {
        let at = match self.listen {
            Some(IpAddr::V6(a)) => format!("[{a}]"),
            Some(a) => a.to_string(),
            None => "*".to_owned(),
        };
        let (proto, family) = (self.proto.as_str(), self.family.as_str());
        format!("{proto} {family} {at}:{} on {}", self.port, self.node)
    }

    /// The whole of it, for somebody who may see its guest or not.
    pub fn shown_to(&self, sees: bool) -> String {
        if sees {
            self.to_string()
        } else {
            format!("{} → a guest you may not see", self.place())
        }
    }
}

impl fmt::Display for ForwardSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}:{}", self.place(), self.name, self.target_port)
    }
}

/// A forward as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptForward {
    /// Its id; in the comment of its firewall rule, so that the rule is found again.
    pub id: ForwardId,
    /// What was asked for.
    pub spec: ForwardSpec,
    /// The name of the port in the pod's specification it comes from; `None` for one that was asked for by itself.
    #[serde(default)]
    pub port: Option<String>,
    /// The address that was confirmed where the guest has no fixed one, but only says what it has.
    #[serde(default)]
    pub pinned: Option<IpAddr>,
    /// Who asked.
    pub created_by: String,
    /// When, milliseconds.
    pub created_ms: i64,
}

impl KeptForward {
    /// The comment of its rule in the guest's firewall.
    pub fn comment(&self) -> String {
        comment(&self.id)
    }
}

/// The comment of the rule of the forward of that id in its guest's firewall.
pub fn comment(id: &ForwardId) -> String {
    format!("gantry {id}")
}

/// The addresses a guest's network cards were given, in their order: `net0` first, without their prefix. What comes by
/// DHCP or router advertisements is not among them.
pub fn fixed_addresses<'a>(config: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<IpAddr> {
    let mut cards: Vec<(u8, &str)> = config
        .filter_map(|(key, value)| Some((key.strip_prefix("net")?.parse().ok()?, value)))
        .collect();
    cards.sort_unstable();
    cards
        .into_iter()
        .flat_map(|(_, card)| card.split(','))
        .filter_map(|part| part.strip_prefix("ip=").or_else(|| part.strip_prefix("ip6=")))
        .filter_map(|cidr| cidr.split('/').next()?.parse().ok())
        .collect()
}

/// Ports a node needs for itself, and what for. Forwarding one away would lock everybody out, gantry included.
const NODE_PORTS: &[(u16, u16, &str)] = &[
    (22, 22, "SSH"),
    (3128, 3128, "SPICE"),
    (5404, 5412, "the cluster's own traffic"),
    (5900, 5999, "consoles"),
    (8006, 8006, "Proxmox's API and page"),
    (60000, 60050, "live migration"),
];

/// Why a forward cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Port 0.
    #[error("port 0 does not exist; choose 1 to 65535")]
    PortZero,
    /// The node needs it.
    #[error("{node} needs port {port} for itself ({what}); choose another")]
    NodePort {
        /// The node.
        node: NodeName,
        /// The port.
        port: u16,
        /// What for.
        what: &'static str,
    },
    /// Listens at an address of the other family.
    #[error("{0} is not an {1} address")]
    OtherFamily(IpAddr, &'static str),
    /// Loopback, multicast and the like are nobody's to listen at.
    #[error("nothing from outside arrives at {0}, which is {1}")]
    Nowhere(IpAddr, &'static str),
    /// Taken.
    #[error("that port is taken: {0}")]
    Taken(Box<ForwardSpec>),
    /// Full.
    #[error("{0} has {FORWARDS_MAX} forwards, which is the most a node can have")]
    Full(NodeName),
}

impl Unfit {
    /// In words for somebody who is told of other guests' forwards only where `sees` says so.
    pub fn told(&self, sees: &dyn Fn(&ForwardSpec) -> bool) -> String {
        match self {
            Self::Taken(other) if !sees(other) => {
                "that port is taken by the forward of a guest you may not see".to_owned()
            }
            other => other.to_string(),
        }
    }
}

impl ForwardSpec {
    /// Whether `other` listens where this one does. A forward at every address and one at a single address of the same
    /// port go together: the single address goes first.
    pub fn collides(&self, other: &Self) -> bool {
        (&self.cluster, &self.node, self.proto, self.family, self.listen, self.port)
            == (&other.cluster, &other.node, other.proto, other.family, other.listen, other.port)
    }

    /// Checks it by itself and against those that are there.
    ///
    /// # Errors
    /// The first reason why it cannot be.
    pub fn check(&self, there: &[Self]) -> Result<(), Unfit> {
        if self.port == 0 || self.target_port == 0 {
            return Err(Unfit::PortZero);
        }
        if let Some((_, _, what)) =
            NODE_PORTS.iter().find(|(from, to, _)| (*from..=*to).contains(&self.port))
        {
            return Err(Unfit::NodePort { node: self.node.clone(), port: self.port, what });
        }
        if let Some(at) = self.listen {
            if Family::of(at) != self.family {
                return Err(Unfit::OtherFamily(at, self.family.as_str()));
            }
            if let Some(why) = unfit_address(at) {
                return Err(Unfit::Nowhere(at, why));
            }
        }
        if let Some(other) = there.iter().find(|o| self.collides(o)) {
            return Err(Unfit::Taken(Box::new(other.clone())));
        }
        let here = there.iter().filter(|o| o.cluster == self.cluster && o.node == self.node);
        if here.count() >= FORWARDS_MAX {
            return Err(Unfit::Full(self.node.clone()));
        }
        Ok(())
    }
}

/// One line of a node's table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// TCP or UDP.
    pub proto: Proto,
    /// Where it listens; `None` is everywhere.
    pub listen: Option<IpAddr>,
    /// The port it listens at.
    pub port: u16,
    /// Where it leads.
    pub target: IpAddr,
    /// The port there.
    pub target_port: u16,
}

impl Entry {
    /// Whether it listens where `spec` does.
    pub fn is_of(&self, spec: &ForwardSpec) -> bool {
        (self.proto, Family::of(self.target), self.listen, self.port)
            == (spec.proto, spec.family, spec.listen, spec.port)
    }
}

/// What is in a node's table that should not be, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// There, and not wanted.
    pub extra: Vec<Entry>,
    /// Wanted, and not there.
    pub missing: Vec<Entry>,
}

/// Compares the table a node has with the one it shall have; `None` when they are the same.
pub fn drift(has: &[Entry], desired: &Desired) -> Option<Drift> {
    let only = |a: &[Entry], b: &[Entry]| -> Vec<Entry> {
        a.iter().filter(|e| !b.contains(e)).cloned().collect()
    };
    let drift = Drift { extra: only(has, &desired.entries), missing: only(&desired.entries, has) };
    (drift != Drift::default()).then_some(drift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(port: u16, listen: Option<&str>) -> ForwardSpec {
        ForwardSpec {
            cluster: "lab".parse().unwrap(),
            node: "pve1".parse().unwrap(),
            proto: Proto::Tcp,
            family: Family::Ipv4,
            listen: listen.map(|a| a.parse().unwrap()),
            port,
            vmid: 201.try_into().unwrap(),
            name: "web-0".into(),
            target_port: 80,
        }
    }

    #[test]
    fn what_a_node_needs_is_refused_with_its_use() {
        for (port, what) in [(22, "SSH"), (8006, "API"), (3128, "SPICE"), (5950, "consoles")] {
            let error = forward(port, None).check(&[]).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(forward(0, None).check(&[]), Err(Unfit::PortZero));
        assert_eq!(forward(8080, None).check(&[]), Ok(()));
    }

    #[test]
    fn one_place_leads_to_one_guest() {
        let there = [forward(8080, None)];
        assert!(matches!(forward(8080, None).check(&there), Err(Unfit::Taken(_))));
        // Another address, protocol, family or node is another place.
        assert_eq!(forward(8080, Some("192.0.2.1")).check(&there), Ok(()));
        let udp = ForwardSpec { proto: Proto::Udp, ..forward(8080, None) };
        assert_eq!(udp.check(&there), Ok(()));
        let six = ForwardSpec { family: Family::Ipv6, ..forward(8080, None) };
        assert_eq!(six.check(&there), Ok(()));
        let other = ForwardSpec { node: "pve2".parse().unwrap(), ..forward(8080, None) };
        assert_eq!(other.check(&there), Ok(()));
    }

    #[test]
    fn nobody_listens_where_nothing_arrives() {
        for at in ["127.0.0.1", "224.0.0.1", "0.0.0.0", "fd00::1"] {
            assert!(forward(8080, Some(at)).check(&[]).is_err(), "{at}");
        }
    }

    #[test]
    fn fixed_addresses_are_read_from_the_cards_in_their_order() {
        let config = [
            ("net1", "name=eth1,bridge=vmbr1,ip=10.9.0.5/24"),
            ("net0", "name=eth0,bridge=vmbr0,ip=dhcp,ip6=fd00::5/64"),
            ("nameserver", "10.0.0.53"),
        ];
        let found = fixed_addresses(config.into_iter());
        assert_eq!(found, ["fd00::5".parse::<IpAddr>().unwrap(), "10.9.0.5".parse().unwrap()]);
    }

    #[test]
    fn what_is_extra_and_what_is_missing_is_told() {
        let lead = |to: &str| forward(8080, None).entry(to.parse().unwrap());
        let (has, shall) = ([lead("10.0.0.5")], [lead("10.0.0.9")]);
        let desired = |all: &[Entry]| Desired { entries: all.to_vec(), ..Desired::default() };
        let change = drift(&has, &desired(&shall)).unwrap();
        assert_eq!((change.extra, change.missing), (has.to_vec(), shall.to_vec()));
        assert_eq!(drift(&has, &desired(&has)), None);
    }
}
