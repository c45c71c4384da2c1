//! What is seen of a set: its records laid over one reading of the cluster. Pure, and cheap enough for every set of a
//! cluster on every reading.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::identity::{keeper_name, set_of_tag, set_tag};
use super::spec::SetSpec;
use super::state::{Facts, Set, SlotRecord};
use crate::id::{GuestKind, NodeName, Vmid};
use crate::world::{ClusterView, Guest, GuestStatus, NodeState, OWN_TAG};

/// Memory given to a guest and memory as the summary tells it may differ by rounding, bytes.
const MEMORY_SLACK: u64 = 1 << 20;

/// Something about a pod that gantry did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What is different, a sentence each.
    pub what: Vec<String>,
    /// Tells this drift from any other.
    pub fingerprint: String,
    /// Whether making the pod again, or taking it as it is, would end it: it is about the set's own pod.
    pub mendable: bool,
}

impl Drift {
    fn new(ordinal: u32, what: Vec<String>, mendable: bool) -> Option<Self> {
        if what.is_empty() {
            return None;
        }
        let text = format!("{ordinal}\n{}", what.join("\n"));
        let fingerprint = hex::encode(&Sha256::digest(text.as_bytes())[..8]);
        Some(Self { what, fingerprint, mendable })
    }
}

/// What stands at an ordinal's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pod {
    /// Nothing.
    Absent,
    /// Its pod.
    Ours {
        /// Whether it runs.
        status: GuestStatus,
        /// Where.
        node: NodeName,
        /// A lock that Proxmox holds on it.
        lock: Option<String>,
    },
    /// A guest that is not the set's: never touched.
    Stranger,
    /// Nobody can say: its node does not answer.
    Unseen,
}

/// Whether a pod does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It does, since then, milliseconds.
    Ready(i64),
    /// It does not; why.
    NotReady(String),
}

/// What is known of one ordinal.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// What is written down.
    pub record: SlotRecord,
    /// What stands at its number.
    pub pod: Pod,
    /// Whether the keeper of its volumes is there.
    pub keeper: bool,
    /// Whether it does its work.
    pub readiness: Readiness,
    /// The open operation that works on it, by us or by somebody.
    pub busy: Option<String>,
    /// What gantry did not do.
    pub drift: Option<Drift>,
}

impl Slot {
    /// The ordinal.
    pub fn ordinal(&self) -> u32 {
        self.record.identity.ordinal
    }

    /// Whether its pod has done its work for at least that long, seconds.
    pub fn is_ready(&self, min_ready_s: u32, now_ms: i64) -> bool {
        self.busy.is_none()
            && matches!(self.pod, Pod::Ours { status: GuestStatus::Running, .. })
            && match self.readiness {
                Readiness::Ready(since) => now_ms >= since + i64::from(min_ready_s) * 1000,
                Readiness::NotReady(_) => false,
            }
    }
}

/// A set as it was seen at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// When the cluster was read, milliseconds.
    pub at_ms: i64,
    /// Why it could not be read the last time.
    pub fault: Option<String>,
    /// Ordinals that have an identity, ascending.
    pub slots: Vec<Slot>,
}

impl Observed {
    /// The slot of this ordinal.
    pub fn slot(&self, ordinal: u32) -> Option<&Slot> {
        self.slots.iter().find(|s| s.ordinal() == ordinal)
    }

    /// Fingerprint of what decisions rest on: an action is carried out only while this is still what is seen.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for slot in &self.slots {
            let r = &slot.record;
            let ready = matches!(slot.readiness, Readiness::Ready(_));
            let line = format!(
                "{} {} {:?} {} {ready} {:?} {:?} {:?} {} {:?}\n",
                slot.ordinal(),
                r.identity.vmid,
                slot.pod,
                slot.keeper,
                slot.busy,
                r.key,
                r.operation,
                r.published,
                slot.drift.as_ref().map(|d| &d.fingerprint)
            );
            hash.update(line.as_bytes());
        }
        hex::encode(&hash.finalize()[..8])
    }
}

/// One reading of a cluster, indexed once for all its sets.
pub struct Index<'a> {
    view: &'a ClusterView,
    by_number: HashMap<Vmid, &'a Guest>,
    /// Numbers of all guests with a set's tag, by that tag.
    by_tag: HashMap<&'a str, Vec<&'a Guest>>,
}

impl<'a> Index<'a> {
    /// Indexes a reading.
    pub fn new(view: &'a ClusterView) -> Self {
        let mut by_tag: HashMap<&str, Vec<&Guest>> = HashMap::new();
        for guest in &view.guests {
            for tag in guest.tags.iter().filter(|t| set_of_tag(t).is_some()) {
                by_tag.entry(tag).or_default().push(guest);
            }
        }
        Self { view, by_number: view.guests.iter().map(|g| (g.vmid, g)).collect(), by_tag }
    }

    /// The guest with that number.
    pub fn guest(&self, vmid: Vmid) -> Option<&'a Guest> {
        self.by_number.get(&vmid).copied()
    }

    /// Guests that say they belong to that set.
    pub fn of_set(&self, set: &str) -> &[&'a Guest] {
        self.by_tag.get(set_tag(set).as_str()).map_or(&[], Vec::as_slice)
    }

    /// Numbers of all guests.
    pub fn numbers(&self) -> impl Iterator<Item = Vmid> + '_ {
        self.by_number.keys().copied()
    }

    /// The reading.
    pub fn view(&self) -> &'a ClusterView {
        self.view
    }
}

/// Lays what is written down over what was read. `busy` names the open operation on a guest; `ready` tells what a
/// health check says about one, where the set has one.
pub fn observe(
    set: &Set,
    records: Vec<SlotRecord>,
    index: &Index<'_>,
    busy: impl Fn(&SlotRecord) -> Option<String>,
    ready: impl Fn(&SlotRecord, &Guest) -> Readiness,
) -> Observed {
    let tagged = index.of_set(set.name());
    let slots = records
        .into_iter()
        .map(|record| {
            let guest = index.guest(record.identity.vmid);
            let keeper = record.identity.keeper.and_then(|v| index.guest(v));
            let ours = guest.filter(|g| is_ours(set, g));
            let unknown = |g: &Guest| {
                g.status == GuestStatus::Unknown
                    || index.view.node(&g.node).is_some_and(|n| n.state != NodeState::Up)
            };
            let pod = match (guest, ours) {
                (None, _) => Pod::Absent,
                (Some(_), None) => Pod::Stranger,
                (_, Some(g)) if unknown(g) => Pod::Unseen,
                (_, Some(g)) => {
                    Pod::Ours { status: g.status, node: g.node.clone(), lock: g.lock.clone() }
                }
            };
            let readiness = match ours {
                Some(g) if g.status == GuestStatus::Running => ready(&record, g),
                _ => Readiness::NotReady("it does not run".into()),
            };
            let twins: Vec<&Guest> = tagged
                .iter()
                .copied()
                .filter(|g| g.name == record.identity.name && g.vmid != record.identity.vmid)
                .collect();
            Slot {
                drift: drift(&record, guest, ours, &twins),
                keeper: keeper.is_some_and(|g| {
                    is_ours(set, g) && g.name == keeper_name(&record.identity.name)
                }),
                busy: busy(&record),
                pod,
                readiness,
                record,
            }
        })
        .collect();
    Observed { at_ms: index.view.observed_ms, fault: index.view.fault.clone(), slots }
}

/// Whether a guest says that it is this set's: a container with gantry's tag and the set's.
pub fn is_ours(set: &Set, guest: &Guest) -> bool {
    is_of(set.name(), guest)
}

/// Containers that own volumes which an earlier set of this name left to an ordinal, by number: they carry the set's
/// tags, are called after the ordinal's pod and have a number of the set's.
pub fn left_keepers<'a>(spec: &SetSpec, ordinal: u32, index: &Index<'a>) -> Vec<&'a Guest> {
    if !spec.has_volumes() {
        return Vec::new();
    }
    let name = keeper_name(&format!("{}-{ordinal}", spec.name));
    let all = index.of_set(&spec.name).iter().copied();
    let mut left: Vec<&Guest> = all
        .filter(|g| g.name == name && is_of(&spec.name, g) && spec.vmids.contains(g.vmid))
        .collect();
    left.sort_by_key(|g| g.vmid);
    left
}

fn is_of(set: &str, guest: &Guest) -> bool {
    let tag = set_tag(set);
    guest.kind == GuestKind::Lxc
        && guest.tags.iter().any(|t| t == OWN_TAG)
        && guest.tags.contains(&tag)
}

fn drift(
    record: &SlotRecord,
    guest: Option<&Guest>,
    ours: Option<&Guest>,
    twins: &[&Guest],
) -> Option<Drift> {
    let mut what = Vec::new();
    let mut mendable = false;
    match (guest, ours) {
        // Its name is not said: whoever reads that may not be allowed to see the guest.
        (Some(g), None) => what.push(format!(
            "{} {} does not carry the set's tags: it is not touched.",
            g.kind.short(),
            g.vmid
        )),
        (_, Some(g)) => {
            if let Some(facts) = &record.facts {
                what.extend(differences(facts, &Facts::of(g)));
            }
            what.extend(record.strayed.iter().filter(|s| !record.adopted.contains(s)).cloned());
            if g.template {
                what.push("It was made a template.".into());
            }
            mendable = !what.is_empty();
        }
        (None, None) => {}
    }
    for twin in twins {
        what.push(format!(
            "{} {} on {} says it is {} as well.",
            twin.kind.short(),
            twin.vmid,
            twin.node,
            record.identity.name
        ));
    }
    Drift::new(record.identity.ordinal, what, mendable)
}

fn differences(want: &Facts, have: &Facts) -> Vec<String> {
    let mut what = Vec::new();
    if want.name != have.name {
        what.push(format!("It is called {} instead of {}.", have.name, want.name));
    }
    if (want.cores - have.cores).abs() > f64::EPSILON {
        what.push(format!("It has {} cores instead of {}.", have.cores, want.cores));
    }
    if want.memory.abs_diff(have.memory) > MEMORY_SLACK {
        let mib = |bytes: u64| bytes >> 20;
        what.push(format!(
            "It has {} MiB of memory instead of {}.",
            mib(have.memory),
            mib(want.memory)
        ));
    }
    what
}
