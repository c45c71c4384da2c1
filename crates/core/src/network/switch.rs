//! What only the kernel of a node knows of its bridges, and the API has no name for: spanning tree, multicast snooping,
//! isolation of ports. Set over the node shell, seen by reading it back, put back with everything else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Edit, Net};
use crate::id::NodeName;
use crate::plan::Change;

/// Bridges whose spanning tree is lost, or may be, that a plan names; beyond that they are counted.
pub(super) const LOST_TOLD_MAX: usize = 12;

/// A switch of a bridge or of one of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// The spanning tree protocol.
    Stp,
    /// Multicast snooping.
    Snooping,
    /// Whether a port is kept from other isolated ones.
    Isolated,
}

impl Switch {
    /// What people call it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stp => "spanning tree",
            Self::Snooping => "multicast snooping",
            Self::Isolated => "port isolation",
        }
    }
}

/// A switch and how it shall be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flip {
    /// The node, where the change is not about one node alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The bridge.
    pub bridge: String,
    /// The port, for what is a port's.
    #[serde(default)]
    pub port: Option<String>,
    /// Which switch.
    pub switch: Switch,
    /// On or off.
    pub on: bool,
}

impl Flip {
    /// The bridge or the port, as people read it.
    pub fn shown(&self) -> String {
        let bridge = match &self.node {
            Some(node) => format!("{} on {node}", self.bridge),
            None => self.bridge.clone(),
        };
        match &self.port {
            Some(port) => format!("{port} of {bridge}"),
            None => bridge,
        }
    }

    /// By what its bridge is known in [`Kernel::Said`].
    pub fn key(&self) -> String {
        match &self.node {
            Some(node) => bridge_on(node, &self.bridge),
            None => self.bridge.clone(),
        }
    }
}

/// A bridge as the kernel has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeNow {
    /// Whether it runs the spanning tree protocol.
    pub stp: bool,
    /// Whether it follows multicast memberships.
    pub snooping: bool,
    /// Its ports, and whether each is isolated.
    pub ports: BTreeMap<String, bool>,
}

/// The bridges of a node as its kernel has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// Nobody has asked.
    #[default]
    Unasked,
    /// There is no node shell for that node.
    NotSetUp,
    /// It did not answer.
    Silent(String),
    /// What it said: bridges by name, those of several nodes by [`bridge_on`].
    Said(BTreeMap<String, BridgeNow>),
}

/// By what the bridge of one of several nodes is known: `pve1/vmbr0`. No interface has a slash in its name.
pub fn bridge_on(node: &NodeName, bridge: &str) -> String {
    format!("{node}/{bridge}")
}

impl Kernel {
    /// Its bridges; none where it was not read.
    pub fn bridges(&self) -> BTreeMap<String, BridgeNow> {
        match self {
            Self::Said(bridges) => bridges.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// How a switch stands; `None`: there is no such bridge or port.
    pub fn now(&self, flip: &Flip) -> Option<bool> {
        let Self::Said(bridges) = self else { return None };
        let bridge = bridges.get(&flip.key())?;
        match (flip.switch, &flip.port) {
            (Switch::Stp, _) => Some(bridge.stp),
            (Switch::Snooping, _) => Some(bridge.snooping),
            (Switch::Isolated, Some(port)) => bridge.ports.get(port).copied(),
            (Switch::Isolated, None) => None,
        }
    }

    /// Whether all stand as they shall; what is not there any more needs nothing where `gone` is fine.
    pub fn has(&self, flips: &[Flip], gone: bool) -> bool {
        flips.iter().all(|f| self.now(f).map_or(gone, |on| on == f.on))
    }
}

/// The same switches as they stand now; what is not there yet is off.
pub fn as_now(kernel: &Kernel, flips: &[Flip]) -> Vec<Flip> {
    let now = |f: &Flip| Flip { on: kernel.now(f).unwrap_or(false), ..f.clone() };
    flips.iter().map(now).collect()
}

/// Which bridges lose their spanning tree by a reload although nobody asked for that: Proxmox writes `bridge-stp off`
/// into every one. `asked` are the switches somebody did ask for.
pub fn lost_by_reload(kernel: &Kernel, edits: &[Edit], asked: &[Flip]) -> Vec<Flip> {
    let stays =
        |name: &str| !edits.iter().any(|e| matches!(e, Edit::Delete { key } if key == name));
    let is_asked = |name: &str| asked.iter().any(|f| f.bridge == name && f.switch == Switch::Stp);
    let bridges = kernel.bridges();
    let lost = bridges.iter().filter(|(name, now)| now.stp && stays(name) && !is_asked(name));
    lost.map(|(name, _)| {
        let (node, bridge) = match name.split_once('/') {
            Some((node, bridge)) => (node.parse().ok(), bridge),
            None => (None, name.as_str()),
        };
        Flip { node, bridge: bridge.to_owned(), port: None, switch: Switch::Stp, on: true }
    })
    .collect()
}

/// Said before the network of nodes without a node shell is reloaded, with the bridges that are up there: nobody can say
/// which of them run the spanning tree protocol, and nobody would switch it on again. `None` without such nodes.
pub fn lost_unseen(nodes: &[(NodeName, Vec<String>)]) -> Option<String> {
    if nodes.is_empty() {
        return None;
    }
    let names: Vec<&str> = nodes.iter().map(|(node, _)| node.as_str()).collect();
    let bridges: Vec<String> = nodes
        .iter()
        .flat_map(|(node, bridges)| bridges.iter().map(move |b| format!("{b} on {node}")))
        .collect();
    let mut shown = bridges[..bridges.len().min(LOST_TOLD_MAX)].join(", ");
    match bridges.len().saturating_sub(LOST_TOLD_MAX) {
        0 if bridges.is_empty() => shown.push_str("could not be read"),
        0 => {}
        more => shown.push_str(&format!(" and {more} more")),
    }
    Some(format!(
        "Without a node shell: {}. Where spanning tree was switched on by hand there, the reload switches it off, and gantry \
         can neither see that nor switch it on again. Bridges that are up there: {shown}.",
        names.join(", ")
    ))
}

/// Before and after of each switch that changes, a line each.
pub fn switch_lines(flips: &[Flip], before: &[Flip]) -> Vec<Change> {
    let word = |on: bool| if on { "on" } else { "off" }.to_owned();
    let pairs = flips.iter().zip(before).filter(|(f, b)| f.on != b.on);
    pairs
        .map(|(flip, before)| Change {
            what: format!("{}: {}", flip.shown(), flip.switch.words()),
            before: word(before.on),
            after: word(flip.on),
        })
        .collect()
}

/// Fingerprint of everything a change rests on, with the switches it touches as they stand.
pub fn fingerprint(net: &Net, before: &[Flip]) -> String {
    if before.is_empty() {
        return net.fingerprint();
    }
    let text = serde_json::json!([net.fingerprint(), before]).to_string();
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(stp: bool) -> Kernel {
        let now = BridgeNow { stp, snooping: true, ports: [("veth5".to_owned(), false)].into() };
        Kernel::Said([("vmbr5".to_owned(), now)].into())
    }

    fn flip(bridge: &str, port: Option<&str>, switch: Switch, on: bool) -> Flip {
        Flip { node: None, bridge: bridge.into(), port: port.map(Into::into), switch, on }
    }

    #[test]
    fn how_a_switch_stands_and_what_is_not_there() {
        let kernel = kernel(true);
        assert_eq!(kernel.now(&flip("vmbr5", None, Switch::Stp, true)), Some(true));
        assert_eq!(kernel.now(&flip("vmbr5", Some("veth5"), Switch::Isolated, true)), Some(false));
        assert_eq!(kernel.now(&flip("vmbr5", Some("veth6"), Switch::Isolated, true)), None);
        let gone = [flip("vmbr7", None, Switch::Stp, true)];
        assert!(kernel.has(&gone, true) && !kernel.has(&gone, false));
        assert_eq!(as_now(&kernel, &gone), [flip("vmbr7", None, Switch::Stp, false)]);
        assert!(Kernel::NotSetUp.bridges().is_empty());
    }

    #[test]
    fn a_reload_takes_the_spanning_tree_of_bridges_nobody_spoke_of() {
        let stp = flip("vmbr5", None, Switch::Stp, true);
        assert_eq!(lost_by_reload(&kernel(true), &[], &[]), std::slice::from_ref(&stp));
        assert!(lost_by_reload(&kernel(false), &[], &[]).is_empty());
        assert!(lost_by_reload(&kernel(true), &[], &[Flip { on: false, ..stp }]).is_empty());
        let gone = [Edit::Delete { key: "vmbr5".into() }];
        assert!(lost_by_reload(&kernel(true), &gone, &[]).is_empty());
    }

    #[test]
    fn what_nobody_can_see_is_named_before_it_is_lost() {
        let node = |name: &str, bridges: usize| {
            let names = (0..bridges).map(|n| format!("vmbr{n}")).collect();
            (name.parse::<NodeName>().unwrap(), names)
        };
        assert_eq!(lost_unseen(&[]), None);
        let two = lost_unseen(&[node("pve1", 2), node("pve2", 1)]).unwrap();
        assert!(two.contains("shell: pve1, pve2."), "{two}");
        assert!(two.ends_with("there: vmbr0 on pve1, vmbr1 on pve1, vmbr0 on pve2."), "{two}");
        let many = lost_unseen(&[node("pve1", LOST_TOLD_MAX + 3)]).unwrap();
        assert!(many.contains("vmbr11") && many.ends_with(" and 3 more."), "{many}");
        assert!(lost_unseen(&[node("pve1", 0)]).unwrap().ends_with("could not be read."));
    }

    #[test]
    fn bridges_of_several_nodes_are_told_apart() {
        let now = |stp| BridgeNow { stp, ..BridgeNow::default() };
        let [one, two]: [NodeName; 2] = ["pve1", "pve2"].map(|n| n.parse().unwrap());
        let said = [(bridge_on(&one, "vmbr0"), now(false)), (bridge_on(&two, "vmbr0"), now(true))];
        let kernel = Kernel::Said(said.into());
        let lost = lost_by_reload(&kernel, &[], &[]);
        assert_eq!(lost, [Flip { node: Some(two), ..flip("vmbr0", None, Switch::Stp, true) }]);
        assert_eq!((lost[0].shown(), kernel.now(&lost[0])), ("vmbr0 on pve2".into(), Some(true)));
        let kept = serde_json::to_string(&flip("vmbr0", None, Switch::Stp, true)).unwrap();
        let read: Flip = serde_json::from_str(&kept).unwrap();
        assert!(read.node.is_none() && !kept.contains("node"), "{kept}");
    }
}
