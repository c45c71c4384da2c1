//! The world as gantry last saw it: clusters, nodes, guests, storages, each with the time it was read.
//!
//! Made by the inventory, read by policy, plans, autocompletion and cards. Nothing here is ever taken as
//! true right before a destructive step: that reads live state again.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::action::GuestRef;
use crate::id::{ClusterId, GuestKind, NodeName, StorageId, Vmid};

/// The tag on every guest that gantry owns.
pub const OWN_TAG: &str = "gantry";

/// Whether a guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestStatus {
    /// On.
    Running,
    /// Off.
    Stopped,
    /// A virtual machine frozen in memory.
    Paused,
    /// A container frozen, or a virtual machine saved to disk.
    Suspended,
    /// Nobody can say, for example because the node does not answer.
    Unknown,
}

impl GuestStatus {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Unknown => "unknown",
        }
    }

    /// Reads Proxmox's `status` and, for virtual machines, `qmpstatus`.
    pub fn read(status: &str, qmp: Option<&str>) -> Self {
        match (status, qmp) {
            ("running", Some("paused")) => Self::Paused,
            ("running" | "prelaunch", Some("suspended")) => Self::Suspended,
            ("running", _) => Self::Running,
            ("stopped", _) => Self::Stopped,
            ("paused" | "frozen", _) => Self::Paused,
            ("suspended", _) => Self::Suspended,
            _ => Self::Unknown,
        }
    }
}

/// A container or virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its number.
    pub vmid: Vmid,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Its name; not unique, and anybody with rights at Proxmox chooses it.
    pub name: String,
    /// Where it is now.
    pub node: NodeName,
    /// Whether it runs.
    pub status: GuestStatus,
    /// The lock Proxmox holds on it (`backup`, `create`, …).
    pub lock: Option<String>,
    /// Its tags, in Proxmox's order.
    pub tags: Vec<String>,
    /// Its resource pool.
    pub pool: Option<String>,
    /// Whether it is a template.
    pub template: bool,
    /// Load, as a share of `cores` (0 to 1).
    pub cpu: f64,
    /// CPU cores given to it.
    pub cores: f64,
    /// Memory in use, bytes.
    pub mem: u64,
    /// Memory given to it, bytes.
    pub mem_max: u64,
    /// Disk in use, bytes (containers only; 0 where Proxmox does not know).
    pub disk: u64,
    /// Size of its root disk, bytes.
    pub disk_max: u64,
    /// Seconds since it started; 0 when off.
    pub uptime_s: u64,
    /// State of its high-availability resource, where it is one.
    pub ha: Option<String>,
}

impl Guest {
    /// Its address.
    pub fn address(&self) -> GuestRef {
        GuestRef { cluster: self.cluster.clone(), vmid: self.vmid }
    }

    /// Whether gantry owns it.
    pub fn is_pod(&self) -> bool {
        self.kind == GuestKind::Lxc && self.tags.iter().any(|t| t == OWN_TAG)
    }
}

/// Whether a node answers. Three states: not knowing is not the same as being down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Answers, or the cluster says it is online.
    Up,
    /// The cluster says it is offline.
    Down,
    /// Neither it nor the cluster says.
    Unknown,
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Whether it answers.
    pub state: NodeState,
    /// Since when it has been in that state, milliseconds.
    pub since_ms: i64,
    /// Why it is not `Up`, in people's words.
    pub reason: Option<String>,
    /// When the figures below were read, milliseconds.
    pub seen_ms: i64,
    /// Load, as a share of `cores` (0 to 1).
    pub cpu: f64,
    /// CPU cores.
    pub cores: f64,
    /// Memory in use, bytes.
    pub mem: u64,
    /// Memory, bytes.
    pub mem_max: u64,
    /// Root file system in use, bytes.
    pub disk: u64,
    /// Root file system, bytes.
    pub disk_max: u64,
    /// Seconds since it booted.
    pub uptime_s: u64,
}

/// A storage as one node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// Its id.
    pub id: StorageId,
    /// The node it was seen from.
    pub node: NodeName,
    /// `dir`, `zfspool`, `nfs`, …
    pub kind: String,
    /// Whether all nodes see the same content.
    pub shared: bool,
    /// Bytes in use.
    pub used: u64,
    /// Bytes in all.
    pub total: u64,
    /// Whether it can be used now.
    pub active: bool,
    /// What it may hold (`rootdir`, `images`, `vztmpl`, …).
    pub content: Vec<String>,
}

/// An image on a storage as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenImage {
    /// The node it was seen from.
    pub node: NodeName,
    /// Whether all nodes see it.
    pub shared: bool,
    /// Its volume id.
    pub volid: String,
    /// `vztmpl`, `iso` or `import`.
    pub kind: String,
}

/// One cluster at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Which cluster.
    pub cluster: ClusterId,
    /// When this was read, milliseconds; 0 = never.
    pub observed_ms: i64,
    /// Whether the cluster has quorum; `None` when nobody said.
    pub quorate: Option<bool>,
    /// Version of Proxmox VE.
    pub version: Option<String>,
    /// Nodes, by name.
    pub nodes: Vec<Node>,
    /// Guests, by VMID.
    pub guests: Vec<Guest>,
    /// Storages, by id and node.
    pub storages: Vec<Storage>,
    /// Container templates seen, as volume ids, for autocompletion.
    pub templates: Vec<String>,
    /// Images seen on storages, by volume id and node, for completion.
    pub images: Vec<SeenImage>,
    /// Templates that can be had, with their headline, for completion.
    pub catalogue: Vec<(String, String)>,
    /// Why the newest read failed, in people's words; `None` when it did not.
    pub fault: Option<String>,
}

impl ClusterView {
    /// A cluster nobody has read yet.
    pub fn unseen(cluster: ClusterId) -> Self {
        Self {
            cluster,
            observed_ms: 0,
            quorate: None,
            version: None,
            nodes: Vec::new(),
            guests: Vec::new(),
            storages: Vec::new(),
            templates: Vec::new(),
            images: Vec::new(),
            catalogue: Vec::new(),
            fault: None,
        }
    }

    /// The guest with this number.
    pub fn guest(&self, vmid: Vmid) -> Option<&Guest> {
        self.guests.iter().find(|g| g.vmid == vmid)
    }

    /// The node with this name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == *name)
    }
}

/// What a name or number leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'a> {
    /// Exactly one guest.
    One(&'a Guest),
    /// No guest; names that are close, at most five.
    Nothing {
        /// Near misses, as `name (cluster/vmid)`.
        similar: Vec<String>,
    },
    /// Several guests answer to it: ask, never guess.
    Several(Vec<&'a Guest>),
}

/// Finds the guest that `text` means: `201`, `web-0`, `lab/201` or `lab/web-0`.
///
/// Digits alone are a VMID; anything else is a whole name. Names that only look like `text` (other Unicode
/// composition, other letter case, look-alike letters of the same shape class) never match, but turn a match into a question.
pub fn find_guest<'a>(views: &'a [std::sync::Arc<ClusterView>], text: &str) -> Found<'a> {
    let text = text.trim();
    let (cluster, rest) = match text.split_once('/') {
        Some((cluster, rest)) if views.iter().any(|v| v.cluster.as_str() == cluster) => {
            (Some(cluster), rest)
        }
        _ => (None, text),
    };
    let guests = || {
        views
            .iter()
            .filter(move |v| cluster.is_none_or(|c| v.cluster.as_str() == c))
            .flat_map(|v| &v.guests)
    };
    let mut hits: Vec<&Guest> = match rest.parse::<Vmid>() {
        Ok(vmid) => guests().filter(|g| g.vmid == vmid || g.name == rest).collect(),
        Err(_) => {
            let folded = fold(rest);
            let exact = guests().any(|g| g.name == rest);
            guests().filter(|g| exact && looks_like(&g.name, rest, &folded)).collect()
        }
    };
    match hits.as_slice() {
        [] => Found::Nothing { similar: similar(guests(), rest) },
        [_] => Found::One(hits.remove(0)),
        _ => Found::Several(hits),
    }
}

/// Whether a person could take `name` for `text`; folding is only paid for where letters are not ASCII.
fn looks_like(name: &str, text: &str, folded: &str) -> bool {
    if name.is_ascii() && text.is_ascii() {
        name.eq_ignore_ascii_case(text)
    } else {
        fold(name) == folded
    }
}

/// Folds away differences a person cannot see on a phone.
fn fold(name: &str) -> String {
    name.nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}'))
        .map(|c| match c {
            'а' => 'a',
            'е' => 'e',
            'о' => 'o',
            'р' => 'p',
            'с' => 'c',
            'х' => 'x',
            'у' => 'y',
            'і' => 'i',
            'ο' => 'o',
            'α' => 'a',
            'ν' => 'v',
            other => other,
        })
        .collect()
}

fn similar<'a>(guests: impl Iterator<Item = &'a Guest>, text: &str) -> Vec<String> {
    let want = fold(text);
    let mut scored: Vec<(usize, String)> = guests
        .filter_map(|g| {
            let have = fold(&g.name);
            let near = if !want.is_empty() && (have.contains(&want) || want.contains(&have)) {
                1
            } else {
                distance(&have, &want)
            };
            (near <= 2).then(|| (near, format!("{} ({})", g.name, g.address())))
        })
        .collect();
    scored.sort();
    scored.into_iter().take(5).map(|(_, name)| name).collect()
}

/// Edit distance, cut off at 3; both texts are short names.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut left_up = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = left_up + usize::from(ca != *cb);
            left_up = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()].min(3)
}

/// Guests that use something, for somebody who may not see them all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// Those they may see, as people read them: `web-0 (CT 201)`.
    pub shown: Vec<String>,
    /// How many there are besides.
    pub hidden: usize,
}

/// Users that are named at most.
const USERS_SHOWN: usize = 8;

impl Users {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.hidden == 0
    }

    /// How many there are, and who: `3 guests are (web-0 (CT 201), 2 you may not see)`.
    pub fn words(&self) -> String {
        let all = self.shown.len() + self.hidden;
        let mut named: Vec<String> = self.shown.iter().take(USERS_SHOWN).cloned().collect();
        let more = self.shown.len().saturating_sub(named.len());
        if more > 0 {
            named.push(format!("{more} more"));
        }
        if self.hidden > 0 && !named.is_empty() {
            named.push(format!("{} you may not see", self.hidden));
        }
        let who = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        let (guests, are) = if all == 1 { ("guest", "is") } else { ("guests", "are") };
        format!("{all} {guests}{who} {are}")
    }
}

#[cfg(test)]
impl Guest {
    /// A running container of the cluster `lab` on `pve1`; tests change what they are about.
    pub(crate) fn sample(vmid: u32, name: &str) -> Self {
        Self {
            cluster: "lab".parse().unwrap(),
            vmid: vmid.try_into().unwrap(),
            kind: GuestKind::Lxc,
            name: name.to_owned(),
            node: "pve1".parse().unwrap(),
            status: GuestStatus::Running,
            lock: None,
            tags: vec![],
            pool: None,
            template: false,
            cpu: 0.0,
            cores: 1.0,
            mem: 0,
            mem_max: 0,
            disk: 0,
            disk_max: 0,
            uptime_s: 0,
            ha: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn guest(cluster: &str, vmid: u32, name: &str) -> Guest {
        Guest { cluster: cluster.parse().unwrap(), ..Guest::sample(vmid, name) }
    }

    fn views(guests: Vec<Guest>) -> Vec<Arc<ClusterView>> {
        let mut names: Vec<_> = guests.iter().map(|g| g.cluster.clone()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .map(|c| {
                let mut view = ClusterView::unseen(c.clone());
                view.guests = guests.iter().filter(|g| g.cluster == c).cloned().collect();
                Arc::new(view)
            })
            .collect()
    }

    #[test]
    fn a_name_that_starts_with_digits_is_a_name() {
        let v = views(vec![guest("lab", 300, "3proxy"), guest("lab", 103, "x")]);
        assert!(matches!(find_guest(&v, "3proxy"), Found::One(g) if g.vmid.get() == 300));
        assert!(matches!(find_guest(&v, "3"), Found::Nothing { .. }));
    }

    #[test]
    fn the_same_name_twice_asks() {
        let v = views(vec![guest("lab", 100, "db"), guest("prod", 100, "db")]);
        assert!(matches!(find_guest(&v, "db"), Found::Several(g) if g.len() == 2));
        assert!(matches!(find_guest(&v, "100"), Found::Several(_)));
        assert!(matches!(find_guest(&v, "prod/db"), Found::One(g) if g.cluster.as_str() == "prod"));
        assert!(matches!(find_guest(&v, "lab/100"), Found::One(g) if g.cluster.as_str() == "lab"));
    }

    #[test]
    fn a_guest_whose_name_is_another_ones_number_asks() {
        let v = views(vec![guest("lab", 100, "101"), guest("lab", 101, "db")]);
        assert!(matches!(find_guest(&v, "101"), Found::Several(_)));
    }

    #[test]
    fn look_alikes_ask_and_never_match_alone() {
        let v = views(vec![guest("lab", 100, "db"), guest("lab", 101, "d\u{200b}b")]);
        assert!(matches!(find_guest(&v, "db"), Found::Several(_)));
        let v = views(vec![guest("lab", 100, "caf\u{e9}")]);
        match find_guest(&v, "cafe\u{301}") {
            Found::Nothing { similar } => assert_eq!(similar.len(), 1),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_typo_gets_suggestions() {
        let v = views(vec![guest("lab", 100, "web-0"), guest("lab", 101, "mail")]);
        match find_guest(&v, "wep-0") {
            Found::Nothing { similar } => assert_eq!(similar, ["web-0 (lab/100)"]),
            other => panic!("{other:?}"),
        }
    }
}
