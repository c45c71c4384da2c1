//! Who an ordinal is: name, number, MAC, address, node. A pure function of the specification, the ordinal and what
//! was allotted before; what was allotted once never changes, whatever becomes of the specification.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::spec::{AddressPool, SetSpec};
use crate::id::{ClusterId, NodeName, Vmid};

/// Who an ordinal is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The ordinal.
    pub ordinal: u32,
    /// Guest name and host name: `web-0`.
    pub name: String,
    /// Its number.
    pub vmid: Vmid,
    /// The number of the container that owns its volumes, where it has some.
    pub keeper: Option<Vmid>,
    /// The node it is on; volumes on local storage are there as well.
    pub node: NodeName,
    /// MAC of its first network card; locally administered.
    pub mac: String,
    /// Address with prefix, where the set gives addresses.
    pub address: Option<String>,
}

/// What the tag begins with that says which set a guest belongs to.
const SET_TAG: &str = "gantry-set.";

/// The tag that says which set a guest belongs to.
pub fn set_tag(set: &str) -> String {
    format!("{SET_TAG}{set}")
}

/// The set that a tag names, where it names one.
pub fn set_of_tag(tag: &str) -> Option<&str> {
    tag.strip_prefix(SET_TAG)
}

/// The keeper of an ordinal's volumes is called after it.
pub fn keeper_name(pod: &str) -> String {
    format!("{pod}-volumes")
}

/// Why no identity can be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unallotted {
    /// All numbers are in use.
    #[error("every number from {from} to {to} is in use")]
    NoNumber {
        /// First.
        from: Vmid,
        /// Last.
        to: Vmid,
    },
    /// The pool ends before this ordinal.
    #[error("the address pool ends before {ordinal}")]
    NoAddress {
        /// The ordinal.
        ordinal: u32,
    },
    /// No node is named.
    #[error("the set names no node")]
    NoNode,
}

/// Chooses an identity for an ordinal that has none. `taken` are the numbers of guests that exist and of other
/// ordinals' identities.
///
/// # Errors
/// [`Unallotted`]: nothing fits.
pub fn allot(
    cluster: &ClusterId,
    spec: &SetSpec,
    ordinal: u32,
    taken: &BTreeSet<Vmid>,
) -> Result<Identity, Unallotted> {
    let place = ordinal.saturating_sub(spec.first_ordinal);
    let range = spec.vmids;
    let none = Unallotted::NoNumber { from: range.from, to: range.to };
    let numbers = range.from.get()..=range.to.get();
    let free = |n: &Vmid| !taken.contains(n);
    // Its own place first, so that numbers are easy to guess; else the nearest free one of the range.
    let own = (range.from.get() + place).try_into().ok().filter(|v| range.contains(*v) && free(v));
    let vmid = own
        .or_else(|| numbers.clone().filter_map(|n| n.try_into().ok()).find(free))
        .ok_or_else(|| none.clone())?;
    let keeper = if spec.has_volumes() {
        let free = |n: &Vmid| free(n) && *n != vmid;
        let own = range.to.get().checked_sub(place).and_then(|n| n.try_into().ok());
        let own = own.filter(|v| range.contains(*v) && free(v));
        let other = || numbers.rev().filter_map(|n| n.try_into().ok()).find(free);
        Some(own.or_else(other).ok_or(none)?)
    } else {
        None
    };
    let nodes = spec.nodes.len().max(1);
    let node = spec.nodes.get(place as usize % nodes).cloned().ok_or(Unallotted::NoNode)?;
    let address = match &spec.addresses {
        Some(pool) => Some(address_of(pool, place).ok_or(Unallotted::NoAddress { ordinal })?),
        None => None,
    };
    Ok(Identity {
        ordinal,
        name: format!("{}-{ordinal}", spec.name),
        vmid,
        keeper,
        node,
        mac: mac_of(cluster, &spec.name, ordinal),
        address,
    })
}

/// A MAC that stays the same: hashed from cluster, set and ordinal; the second bit of the first byte says that it
/// was not given by a manufacturer.
pub fn mac_of(cluster: &ClusterId, set: &str, ordinal: u32) -> String {
    let digest = Sha256::digest(format!("{cluster}/{set}/{ordinal}").as_bytes());
    let tail: Vec<String> = digest[..5].iter().map(|b| format!("{b:02X}")).collect();
    format!("02:{}", tail.join(":"))
}

/// The address `place` after the first one, still inside its network: neither the network's own address nor, for
/// IPv4, the broadcast address.
pub fn address_of(pool: &AddressPool, place: u32) -> Option<String> {
    let (first, prefix) = pool.first.split_once('/')?;
    let bits: u32 = prefix.parse().ok()?;
    match first.parse().ok()? {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            let base = u32::from(v4);
            let next = base.checked_add(place)?;
            let inside = bits <= 32 && next & mask == base & mask;
            let usable = bits >= 31 || (next & !mask != 0 && next & !mask != !mask);
            (inside && usable).then(|| format!("{}/{bits}", Ipv4Addr::from(next)))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            let base = u128::from(v6);
            let next = base.checked_add(u128::from(place))?;
            (bits <= 128 && next & mask == base & mask)
                .then(|| format!("{}/{bits}", Ipv6Addr::from(next)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::spec::VolumeSpec;

    fn cluster() -> ClusterId {
        "lab".parse().unwrap()
    }

    #[test]
    fn the_same_ordinal_is_always_the_same() {
        let spec = crate::set::simulation::sample("web", 3);
        let one = allot(&cluster(), &spec, 1, &BTreeSet::new()).unwrap();
        assert_eq!(one, allot(&cluster(), &spec, 1, &BTreeSet::new()).unwrap());
        assert_eq!((one.name.as_str(), one.vmid.get(), one.node.as_str()), ("web-1", 701, "pve2"));
        assert_eq!(one.address.as_deref(), Some("10.0.0.11/24"));
        assert_eq!(one.mac, mac_of(&cluster(), "web", 1));
        let first = u8::from_str_radix(&one.mac[..2], 16).unwrap();
        assert_eq!(first & 0b11, 0b10, "locally administered, for one card");
        assert_ne!(one.mac, mac_of(&cluster(), "web", 2));
    }

    #[test]
    fn volumes_get_a_keeper_from_the_other_end_and_taken_numbers_are_passed_over() {
        let mut spec = crate::set::simulation::sample("web", 3);
        spec.volumes = vec![VolumeSpec {
            name: "data".into(),
            storage: "local-lvm".parse().unwrap(),
            size_gib: 4,
            path: "/data".into(),
            backup: false,
        }];
        let taken = [701u32, 798].iter().map(|n| Vmid::try_from(*n).unwrap()).collect();
        let one = allot(&cluster(), &spec, 1, &taken).unwrap();
        assert_eq!((one.vmid.get(), one.keeper.map(Vmid::get)), (700, Some(799)));
        let two = allot(&cluster(), &spec, 2, &taken).unwrap();
        assert_eq!((two.vmid.get(), two.keeper.map(Vmid::get)), (702, Some(797)));
    }

    #[test]
    fn addresses_never_leave_their_network() {
        let pool = |first: &str| AddressPool { first: first.into(), gateway: None };
        assert_eq!(address_of(&pool("10.0.0.250/24"), 4).as_deref(), Some("10.0.0.254/24"));
        assert_eq!(address_of(&pool("10.0.0.250/24"), 5), None, "broadcast");
        assert_eq!(address_of(&pool("10.0.0.250/24"), 6), None);
        assert_eq!(address_of(&pool("10.0.0.0/24"), 0), None, "the network itself");
        assert_eq!(address_of(&pool("fd00::a/64"), 6).as_deref(), Some("fd00::10/64"));
        assert_eq!(address_of(&pool("nonsense"), 0), None);
        assert_eq!(address_of(&pool("10.0.0.1/33"), 0), None);
    }
}
