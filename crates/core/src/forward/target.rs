//! Where a forward leads: which of its guest's addresses, and why none of them may be it.
//!
//! A fixed address stands in the guest's configuration, which its own root cannot write: it is followed. What a guest
//! says of itself is only the word of whoever is root inside: it counts where somebody has confirmed that very address.
//! Numbers of guests are used again: only the guest of the name that was asked for is led to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Entry, FORWARDS_MAX, Family, ForwardSpec, KeptForward};
use crate::id::{ForwardId, NodeName, Vmid};

/// A guest that forwards lead to, read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leads {
    /// Its name.
    pub name: String,
    /// The node it is on.
    pub node: NodeName,
    /// The fixed addresses of its configuration, in the order of its cards.
    pub fixed: Vec<IpAddr>,
    /// What it says of itself, while it runs.
    pub given: Vec<IpAddr>,
    /// Whether its bridges end at its node, so that no other node reaches it.
    pub ends_there: bool,
}

/// Why a forward leads nowhere now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The guest is gone.
    Gone,
    /// Its number belongs to a guest of this name now: another one, or one that was renamed.
    Another(String),
    /// It could not be read, and no line of it is in force that could stay.
    Unread,
    /// Nobody can listen at that address.
    BadListen(IpAddr, &'static str),
    /// The node has more forwards than its table takes.
    Full,
    /// The guest has no address of that family that is known.
    NoAddress,
    /// The guest says that it has another address than the one that was confirmed.
    Moved {
        /// The one that was confirmed.
        from: IpAddr,
        /// The one it says now.
        to: IpAddr,
    },
    /// The guest has no fixed address any more, and nobody has confirmed the one it says.
    Unconfirmed(IpAddr),
    /// That address may never be led to.
    Forbidden(IpAddr, &'static str),
    /// The guest is on another node, which this one does not reach it from.
    Elsewhere(NodeName),
}

impl Broken {
    /// In people's words, with the way on where there is one.
    pub fn words(&self, spec: &ForwardSpec) -> String {
        let apply = |node: &NodeName| format!("`/forward apply node:{node}`");
        match self {
            Self::Gone => "its guest is gone".to_owned(),
            Self::Another(name) => format!(
                "it was asked for {}, and the guest {} is called {name} now; {} shows that and asks, `/forward remove` takes it off the list",
                spec.name,
                spec.vmid,
                apply(&spec.node)
            ),
            Self::Unread => "what it leads to could not be read".to_owned(),
            Self::BadListen(address, why) => {
                format!("{address} is {why}, and nothing from outside arrives there")
            }
            Self::Full => {
                format!(
                    "{} has more than {FORWARDS_MAX} forwards, the most a node can have",
                    spec.node
                )
            }
            Self::NoAddress => "its guest has no address of that family that is known".to_owned(),
            Self::Moved { from, to } => format!(
                "its guest had {from} when this was confirmed and says {to} now; {} shows that and asks",
                apply(&spec.node)
            ),
            Self::Unconfirmed(to) => format!(
                "its guest has no fixed address any more and says {to}, which nobody has confirmed; {} shows that and asks",
                apply(&spec.node)
            ),
            Self::Forbidden(address, why) => {
                format!("its guest has {address}, which is {why} and never led to")
            }
            Self::Elsewhere(node) => format!(
                "its guest is on {node} now, on a bridge that ends there; {} makes {node} listen instead",
                apply(node)
            ),
        }
    }
}

/// Why `address` is not that of one machine which others reach; `None`: it is. Just what a node's table takes: global
/// unicast and unique local addresses.
pub fn unfit_address(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(a) => a.is_link_local() || a.is_broadcast(),
        IpAddr::V6(a) => a.segments()[0] & 0xffc0 == 0xfe80,
    };
    let usual = match address {
        IpAddr::V4(a) => (1..=223).contains(&a.octets()[0]),
        IpAddr::V6(a) => a.segments()[0] & 0xe000 == 0x2000 || a.segments()[0] & 0xfe00 == 0xfc00,
    };
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_unspecified() {
        Some("no address at all")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if link_local {
        Some("a link-local address")
    } else if !usual {
        Some("an address of a range that no machine has")
    } else {
        None
    }
}

/// Why nothing is ever led to `address`; `None`: it may be. `own` are the nodes' addresses.
pub fn forbidden(address: IpAddr, own: &BTreeSet<IpAddr>) -> Option<&'static str> {
    if own.contains(&address.to_canonical()) {
        return Some("an address of a node");
    }
    unfit_address(address)
}

/// The address a forward leads to.
///
/// # Errors
/// Why it leads nowhere.
pub fn target(
    forward: &KeptForward,
    guest: Option<&Leads>,
    own: &BTreeSet<IpAddr>,
) -> Result<IpAddr, Broken> {
    let spec = &forward.spec;
    let Some(guest) = guest else { return Err(Broken::Gone) };
    if guest.name != spec.name {
        return Err(Broken::Another(guest.name.clone()));
    }
    if guest.ends_there && guest.node != spec.node {
        return Err(Broken::Elsewhere(guest.node.clone()));
    }
    let of_family = |all: &[IpAddr]| -> Vec<IpAddr> {
        all.iter().copied().filter(|a| Family::of(*a) == spec.family).collect()
    };
    // The first that may be led to; where there is none, why the first is not.
    let choose = |all: &[IpAddr]| {
        let free = all.iter().copied().find(|a| forbidden(*a, own).is_none());
        match (free, all.first()) {
            (Some(address), _) => Ok(address),
            (None, Some(first)) => {
                Err(Broken::Forbidden(*first, forbidden(*first, own).unwrap_or_default()))
            }
            (None, None) => Err(Broken::NoAddress),
        }
    };
    let fixed = of_family(&guest.fixed);
    if !fixed.is_empty() {
        return choose(&fixed);
    }
    let given = of_family(&guest.given);
    match forward.pinned {
        Some(pinned) if given.contains(&pinned) => choose(&[pinned]),
        Some(from) => Err(Broken::Moved { from, to: choose(&given)? }),
        None => Err(Broken::Unconfirmed(choose(&given)?)),
    }
}

/// What a node's table shall be, and which forwards cannot be in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// The table, in a fixed order.
    pub entries: Vec<Entry>,
    /// Forwards that lead nowhere.
    pub broken: Vec<(ForwardSpec, Broken)>,
    /// Forwards whose guest could not be read: the line that is in force stays.
    pub unread: Vec<ForwardSpec>,
    /// Ports of pods whose address was seen for the first time: it is theirs from now on. A pod has none yet when it is
    /// asked for.
    pub learned: Vec<(ForwardId, IpAddr)>,
}

/// Forwards and what they rest on, read now.
#[derive(Debug, Clone, Default)]
pub struct Ground {
    /// All forwards of the cluster.
    pub all: Vec<KeptForward>,
    /// The guests that exist, of those that were looked at.
    pub guests: BTreeMap<Vmid, Leads>,
    /// Guests that could not be read.
    pub unread: BTreeSet<Vmid>,
    /// The nodes' own addresses.
    pub own: BTreeSet<IpAddr>,
    /// Whether some of the nodes' own addresses could not be read, and are not known from before either.
    pub own_unread: bool,
    /// The table in force on the node that it is about.
    pub in_force: Vec<Entry>,
}

impl Ground {
    /// The address a forward leads to.
    ///
    /// # Errors
    /// Why it leads nowhere.
    pub fn target(&self, forward: &KeptForward) -> Result<IpAddr, Broken> {
        if self.unread.contains(&forward.spec.vmid) {
            return Err(Broken::Unread);
        }
        target(forward, self.guests.get(&forward.spec.vmid), &self.own)
    }

    /// The table `node` shall have. Whatever the forwards and guests are: the node shell takes every line of it.
    pub fn desired(&self, node: &NodeName) -> Desired {
        let mut table = Desired::default();
        for forward in self.all.iter().filter(|f| f.spec.node == *node) {
            let spec = &forward.spec;
            if let Some((at, why)) = spec.listen.and_then(|at| Some((at, unfit_address(at)?))) {
                table.broken.push((spec.clone(), Broken::BadListen(at, why)));
                continue;
            }
            let target = match (self.target(forward), &forward.port) {
                _ if table.entries.len() >= FORWARDS_MAX => Err(Broken::Full),
                (Err(Broken::Unread), _) => match self.line_of(spec) {
                    Some(line) => {
                        table.unread.push(spec.clone());
                        Ok(line.target)
                    }
                    None => Err(Broken::Unread),
                },
                (Err(Broken::Unconfirmed(first)), Some(_)) if !self.own_unread => {
                    table.learned.push((forward.id.clone(), first));
                    Ok(first)
                }
                (Ok(target), _) if self.own_unread => {
                    // It may be an address of a node. One that is led to already was looked at.
                    let led = self.line_of(spec).is_some_and(|line| line.target == target);
                    if led { Ok(target) } else { Err(Broken::Unread) }
                }
                (target, _) => target,
            };
            match target {
                Ok(target) => table.entries.push(spec.entry(target)),
                Err(why) => table.broken.push((spec.clone(), why)),
            }
        }
        table.entries.sort();
        table
    }

    /// The line of a forward in the table in force, where nothing is against it.
    fn line_of(&self, spec: &ForwardSpec) -> Option<&Entry> {
        self.in_force.iter().find(|line| {
            line.is_of(spec)
                && line.target_port == spec.target_port
                && forbidden(line.target, &self.own).is_none()
        })
    }
}

impl ForwardSpec {
    /// Its line in the table, leading to `target`.
    pub fn entry(&self, target: IpAddr) -> Entry {
        Entry {
            proto: self.proto,
            listen: self.listen,
            port: self.port,
            target,
            target_port: self.target_port,
        }
    }
}

/// Whether a card's bridge ends at its node. `ports` are the bridges of that node with what is plugged into each;
/// `simple` the vnets of zones that are a bridge on each node by itself; `vnets` all of them.
pub fn ends_at_node(
    bridge: &str,
    ports: &BTreeMap<String, bool>,
    vnets: &BTreeMap<String, bool>,
) -> bool {
    match (ports.get(bridge), vnets.get(bridge)) {
        (Some(plugged), _) => !plugged,
        (None, Some(simple)) => *simple,
        // Nobody knows that bridge: what stands is left standing.
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::Proto;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forward(pinned: Option<&str>) -> KeptForward {
        KeptForward {
            id: ForwardId::new(1, 1),
            spec: ForwardSpec {
                cluster: "lab".parse().unwrap(),
                node: "pve1".parse().unwrap(),
                proto: Proto::Tcp,
                family: Family::Ipv4,
                listen: None,
                port: 8080,
                vmid: 201.try_into().unwrap(),
                name: "web-0".into(),
                target_port: 80,
            },
            port: None,
            pinned: pinned.map(address),
            created_by: "ada".into(),
            created_ms: 1,
        }
    }

    fn guest(fixed: &[&str], given: &[&str]) -> Leads {
        let all = |list: &[&str]| list.iter().map(|a| address(a)).collect();
        Leads {
            name: "web-0".into(),
            node: "pve1".parse().unwrap(),
            fixed: all(fixed),
            given: all(given),
            ends_there: false,
        }
    }

    fn leads(pinned: Option<&str>, fixed: &[&str], given: &[&str]) -> Result<IpAddr, Broken> {
        let own = [address("10.0.0.1"), address("2001:db8::1")].into();
        target(&forward(pinned), Some(&guest(fixed, given)), &own)
    }

    #[test]
    fn a_fixed_address_is_followed_and_a_given_one_only_as_it_was_confirmed() {
        assert_eq!(leads(None, &["fd00::5", "10.0.0.5"], &[]), Ok(address("10.0.0.5")));
        assert_eq!(leads(Some("10.0.0.9"), &["10.0.0.5"], &["10.0.0.9"]), Ok(address("10.0.0.5")));
        assert_eq!(
            leads(Some("10.0.0.9"), &[], &["10.0.0.7", "10.0.0.9"]),
            Ok(address("10.0.0.9"))
        );
        let (from, to) = (address("10.0.0.9"), address("10.0.0.7"));
        assert_eq!(leads(Some("10.0.0.9"), &[], &["10.0.0.7"]), Err(Broken::Moved { from, to }));
        assert_eq!(leads(None, &[], &["10.0.0.7"]), Err(Broken::Unconfirmed(to)));
        assert_eq!(leads(Some("10.0.0.9"), &[], &["fd00::5"]), Err(Broken::NoAddress));
        assert_eq!(target(&forward(None), None, &BTreeSet::new()), Err(Broken::Gone));
    }

    #[test]
    fn nothing_is_ever_led_to_a_node_or_to_where_no_guest_can_be() {
        for bad in [
            "10.0.0.1",
            "127.0.0.1",
            "127.20.0.5",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
        ] {
            for (pinned, fixed, given) in [
                (None, &[bad][..], &[][..]),
                (Some(bad), &[][..], &[bad][..]),
                (None, &[][..], &[bad][..]),
            ] {
                let found = leads(pinned, fixed, given);
                assert!(matches!(found, Err(Broken::Forbidden(..))), "{bad}: {found:?}");
            }
        }
        let own = [address("2001:db8::1"), address("10.0.0.1")].into();
        for bad in [
            "fe80::1",
            "::1",
            "ff02::1",
            "::",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::1",
            "100::1",
            "fec0::1",
            "240.0.0.9",
            "0.1.2.3",
            "255.0.0.1",
        ] {
            assert!(forbidden(address(bad), &own).is_some(), "{bad}");
        }
        assert_eq!(forbidden(address("fd00::5"), &own), None);
        // What it says beside that is looked at all the same.
        assert_eq!(
            leads(None, &[], &["10.0.0.1", "10.0.0.7"]),
            Err(Broken::Unconfirmed(address("10.0.0.7")))
        );
    }

    #[test]
    fn a_guest_that_moved_is_told_of_where_its_bridge_ends() {
        let mut moved = guest(&["10.0.0.5"], &[]);
        moved.node = "pve2".parse().unwrap();
        let own = BTreeSet::new();
        assert!(target(&forward(None), Some(&moved), &own).is_ok(), "its bridge reaches pve1");
        moved.ends_there = true;
        let why = target(&forward(None), Some(&moved), &own).unwrap_err();
        assert_eq!(why, Broken::Elsewhere("pve2".parse().unwrap()));
        assert!(why.words(&forward(None).spec).contains("/forward apply node:pve2"));
        let ports = [("vmbr0".to_owned(), true), ("vmbr5".to_owned(), false)].into();
        let vnets = [("web".to_owned(), false), ("alone".to_owned(), true)].into();
        let ends: Vec<bool> = ["vmbr0", "vmbr5", "web", "alone", "other"]
            .map(|b| ends_at_node(b, &ports, &vnets))
            .into();
        assert_eq!(ends, [false, true, false, true, false]);
    }

    #[test]
    fn a_port_of_a_pod_keeps_the_first_address_it_is_seen_with() {
        let node: NodeName = "pve1".parse().unwrap();
        let mut ground = Ground { all: vec![forward(None)], ..Ground::default() };
        ground.guests.insert(201.try_into().unwrap(), guest(&[], &["10.0.0.7"]));
        let asked = ground.desired(&node);
        assert_eq!((asked.entries.len(), asked.broken.len()), (0, 1), "nobody has confirmed it");
        ground.all[0].port = Some("http".into());
        let pod = ground.desired(&node);
        assert_eq!(pod.learned, [(ground.all[0].id.clone(), address("10.0.0.7"))]);
        assert_eq!(pod.entries.len(), 1);
        ground.all[0].pinned = Some(address("10.0.0.8"));
        assert_eq!(ground.desired(&node).broken.len(), 1, "it says another one now");
    }

    #[test]
    fn one_odd_forward_or_guest_leaves_the_others_in_force() {
        let node: NodeName = "pve1".parse().unwrap();
        let at = |port: u16, vmid: u32, listen: Option<&str>| {
            let mut one = forward(None);
            (one.id, one.spec.port) = (ForwardId::new(1, u128::from(port)), port);
            (one.spec.vmid, one.spec.listen) = (vmid.try_into().unwrap(), listen.map(address));
            one
        };
        let mut ground = Ground {
            all: vec![
                at(8080, 201, None),
                at(8081, 202, None),
                at(8082, 201, Some("169.254.0.9")),
                at(8083, 203, None),
                at(8084, 204, None),
            ],
            ..Ground::default()
        };
        ground.guests.insert(201.try_into().unwrap(), guest(&["10.0.0.5"], &[]));
        ground.guests.insert(202.try_into().unwrap(), guest(&["240.0.0.1"], &[]));
        ground.unread = [203.try_into().unwrap(), 204.try_into().unwrap()].into();
        let before = at(8083, 203, None).spec.entry(address("10.0.0.7"));
        ground.in_force = vec![before.clone()];
        let desired = ground.desired(&node);
        let first = ground.all[0].spec.entry(address("10.0.0.5"));
        assert_eq!(desired.entries, [first, before]);
        assert_eq!(desired.unread.len(), 1);
        let broken: Vec<u16> = desired.broken.iter().map(|(s, _)| s.port).collect();
        assert_eq!(broken, [8081, 8082, 8084], "{:?}", desired.broken);
        // Where nobody knows what the nodes' addresses are, only what is led to already is led to.
        ground.own_unread = true;
        assert_eq!(ground.desired(&node).entries.len(), 1);
        ground.own_unread = false;
        // A line in force that leads to a node does not stay because its guest cannot be read.
        ground.own = [address("10.0.0.7")].into();
        assert_eq!(ground.desired(&node).entries.len(), 1);
        // More than a table takes do not make it one that is refused.
        let more = (0..300).map(|n| at(10_000 + n, 201, None));
        ground.all.extend(more);
        let full = ground.desired(&node);
        assert_eq!(full.entries.len(), FORWARDS_MAX);
        assert!(full.broken.iter().any(|(_, why)| *why == Broken::Full));
    }
}
