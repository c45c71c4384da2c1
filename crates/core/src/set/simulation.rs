//! A cluster in a few lines, and a gantry that does what `reconcile` says: whatever happens to the pods meanwhile,
//! it converges, takes no more ready pods away than allowed, and touches nothing that is not the set's.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::identity::{allot, keeper_name, set_tag};
use super::seen::{Index, Observed, Pod, Readiness, observe};
use super::spec::{Keep, Management, SetKind, SetSpec, Update, VmidRange, VolumeSpec};
use super::state::{Facts, Halt, Revision, Set, SlotRecord};
use super::{Act, Phase, reconcile};
use crate::id::{ChannelId, GuestKind, GuildId, OperationId, UserId, Vmid};
use crate::pod::{Network, PodTemplate, Root};
use crate::world::{ClusterView, Guest, GuestStatus, Node, NodeState, OWN_TAG};

/// Passes after the last disturbance within which everything must be as it shall be.
const PASSES_MAX: usize = 400;
/// Time between two passes.
const PASS_MS: i64 = 10_000;

pub(super) fn sample(name: &str, replicas: u32) -> SetSpec {
    SetSpec {
        name: name.into(),
        kind: SetKind::Stateful,
        replicas,
        first_ordinal: 0,
        vmids: VmidRange { from: 700.try_into().unwrap(), to: 799.try_into().unwrap() },
        nodes: ["pve1", "pve2", "pve3"].iter().map(|n| n.parse().unwrap()).collect(),
        addresses: Some(super::spec::AddressPool { first: "10.0.0.10/24".into(), gateway: None }),
        service: Some(super::spec::ServiceSpec {
            name: name.into(),
            zone: "lab.internal".parse().unwrap(),
            ports: vec![],
            publish_not_ready: false,
        }),
        volumes: vec![],
        on_scale_down: Keep::Retain,
        on_delete: Keep::Retain,
        management: Management::Ordered,
        min_ready_s: 0,
        update: Update::default(),
        progress_deadline_s: 60,
        history: 10,
        restarts: 0,
        template: PodTemplate {
            image: "local:vztmpl/good-1.tar.zst".into(),
            root: Root { storage: Some("local-lvm".parse().unwrap()), size_gib: 4 },
            networks: vec![Network::dhcp("vmbr0")],
            ..PodTemplate::default()
        },
    }
}

pub(super) fn set_of(spec: SetSpec) -> Set {
    let key = spec.key();
    Set {
        cluster: "lab".parse().unwrap(),
        newest: Revision {
            number: 1,
            key,
            spec,
            by_name: "alice".into(),
            at_ms: 0,
            why: "created".into(),
        },
        good: None,
        paused: None,
        halted: None,
        deleting: None,
        by: UserId(1),
        by_name: "alice".into(),
        guild: GuildId(1),
        channel: ChannelId(1),
        command: OperationId::new(0, 1),
    }
}

struct World {
    set: Set,
    records: BTreeMap<u32, SlotRecord>,
    guests: BTreeMap<u32, Guest>,
    /// Guests whose image never becomes ready.
    sick: BTreeSet<u32>,
    /// Numbers that are not the set's, with what they looked like: nothing may ever change about them.
    strangers: BTreeMap<u32, Guest>,
    /// Operations that go on over the next passes, by ordinal.
    busy: BTreeMap<u32, u32>,
    /// Content of each keeper: another number, other content.
    data: BTreeMap<u32, u64>,
    made: u64,
    now_ms: i64,
    reports: usize,
}

impl World {
    fn new(spec: SetSpec) -> Self {
        Self {
            set: set_of(spec),
            records: BTreeMap::new(),
            guests: BTreeMap::new(),
            sick: BTreeSet::new(),
            strangers: BTreeMap::new(),
            busy: BTreeMap::new(),
            data: BTreeMap::new(),
            made: 0,
            now_ms: 1_000_000,
            reports: 0,
        }
    }

    fn guest(&self, vmid: Vmid, name: &str, node: &str, tags: Vec<String>) -> Guest {
        Guest {
            cluster: "lab".parse().unwrap(),
            vmid,
            kind: GuestKind::Lxc,
            name: name.into(),
            node: node.parse().unwrap(),
            status: GuestStatus::Running,
            lock: None,
            tags,
            pool: None,
            template: false,
            cpu: 0.0,
            cores: 1.0,
            mem: 0,
            mem_max: 512 << 20,
            disk: 0,
            disk_max: 0,
            uptime_s: 100,
            ha: None,
        }
    }

    fn view(&self) -> ClusterView {
        let mut view = ClusterView::unseen("lab".parse().unwrap());
        view.observed_ms = self.now_ms;
        view.nodes = ["pve1", "pve2", "pve3"]
            .iter()
            .map(|name| Node {
                name: name.parse().unwrap(),
                state: NodeState::Up,
                since_ms: 0,
                reason: None,
                seen_ms: self.now_ms,
                cpu: 0.0,
                cores: 4.0,
                mem: 0,
                mem_max: 0,
                disk: 0,
                disk_max: 0,
                uptime_s: 0,
            })
            .collect();
        view.guests = self.guests.values().cloned().collect();
        view
    }

    fn observe(&self) -> Observed {
        let view = self.view();
        let index = Index::new(&view);
        observe(
            &self.set,
            self.records.values().cloned().collect(),
            &index,
            |r| self.busy.get(&r.identity.ordinal).map(|_| "op_1".to_owned()),
            |_, g| match self.sick.contains(&g.vmid.get()) {
                true => Readiness::NotReady("HTTP 500".into()),
                false => Readiness::Ready(0),
            },
        )
    }

    fn available(&self) -> u32 {
        let seen = self.observe();
        let wanted = self.set.spec().ordinals();
        let up = |s: &&super::Slot| wanted.contains(&s.ordinal()) && s.is_ready(0, self.now_ms);
        seen.slots.iter().filter(up).count() as u32
    }

    /// One pass; returns where the set stands.
    fn pass(&mut self) -> Phase {
        self.now_ms += PASS_MS;
        self.busy.retain(|_, left| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        let seen = self.observe();
        let decision = reconcile(&self.set, &seen, self.now_ms);
        assert_eq!(decision, reconcile(&self.set, &seen, self.now_ms), "the same again");
        let before = self.available();
        let unready = decision.wanted.saturating_sub(before);
        let taken: Vec<u32> = decision
            .acts
            .iter()
            .filter_map(|a| match a {
                Act::Remove(n) => Some(*n),
                _ => None,
            })
            .filter(|n| self.set.deleting.is_none() && self.set.spec().ordinals().contains(n))
            .filter(|n| seen.slot(*n).is_some_and(|s| s.is_ready(0, self.now_ms)))
            .collect();
        if !taken.is_empty() {
            let after = unready + taken.len() as u32;
            let max = self.set.spec().max_unavailable();
            assert!(after <= max, "{after} pods would be unready, {max} may be: {decision:?}");
        }
        for act in &decision.acts {
            // Fresh eyes: an action whose evidence is gone is not carried out.
            let still = self.observe().slot(ordinal_of(act).unwrap_or(u32::MAX)).cloned();
            let then = ordinal_of(act).and_then(|n| seen.slot(n).cloned());
            if ordinal_of(act).is_some() && still != then {
                continue;
            }
            assert_eq!(decision.fingerprint, seen.fingerprint());
            self.carry_out(act);
        }
        for (vmid, stranger) in &self.strangers {
            assert_eq!(self.guests.get(vmid), Some(stranger), "a stranger was touched");
        }
        decision.phase
    }

    fn carry_out(&mut self, act: &Act) {
        let now_ms = self.now_ms;
        match act {
            Act::Allot(n) => {
                let taken = self
                    .guests
                    .keys()
                    .filter_map(|v| (*v).try_into().ok())
                    .chain(self.records.values().flat_map(|r| {
                        [Some(r.identity.vmid), r.identity.keeper].into_iter().flatten()
                    }))
                    .collect();
                if let Ok(id) = allot(&self.set.cluster, self.set.spec(), *n, &taken) {
                    self.records.insert(*n, SlotRecord::new(id));
                }
            }
            Act::MakeKeeper(n) => {
                let id = self.records[n].identity.clone();
                let keeper = id.keeper.unwrap();
                let tags = vec![OWN_TAG.into(), set_tag(self.set.name())];
                let mut guest = self.guest(keeper, &keeper_name(&id.name), id.node.as_str(), tags);
                guest.status = GuestStatus::Stopped;
                assert!(self.guests.insert(keeper.get(), guest).is_none());
                self.made += 1;
                self.data.insert(keeper.get(), self.made);
                self.busy.insert(*n, 2);
            }
            Act::Create(n) => {
                let revision = self.set.revision_for(*n).clone();
                let record = self.records.get_mut(n).unwrap();
                let id = record.identity.clone();
                record.key = Some(revision.key);
                record.revision = revision.number;
                record.made_ms = now_ms;
                record.ready_ms = None;
                let tags = vec![OWN_TAG.into(), set_tag(self.set.name())];
                let guest = self.guest(id.vmid, &id.name, id.node.as_str(), tags);
                self.records.get_mut(n).unwrap().facts = Some(Facts::of(&guest));
                assert!(self.guests.insert(id.vmid.get(), guest).is_none(), "one at a time");
                if revision.spec.template.image.contains("bad") {
                    self.sick.insert(id.vmid.get());
                }
                self.busy.insert(*n, 2);
            }
            Act::Start(n) => {
                let vmid = self.records[n].identity.vmid.get();
                self.guests.get_mut(&vmid).unwrap().status = GuestStatus::Running;
                self.busy.insert(*n, 1);
            }
            Act::Remove(n) => {
                let record = &self.records[n];
                assert!(!record.published, "names go first");
                let vmid = record.identity.vmid.get();
                self.guests.remove(&vmid);
                self.sick.remove(&vmid);
                self.busy.insert(*n, 2);
            }
            Act::DropVolumes(n) => {
                let keeper = self.records[n].identity.keeper.unwrap().get();
                self.guests.remove(&keeper);
                self.data.remove(&keeper);
            }
            Act::Forget(n) => {
                self.records.remove(n);
            }
            Act::NoteReady(n) => {
                let record = self.records.get_mut(n).unwrap();
                record.ready_ms = Some(now_ms);
                record.failures = 0;
            }
            Act::Publish(shall) => {
                for (n, record) in &mut self.records {
                    record.published = shall.contains(n);
                }
            }
            Act::Good => self.set.good = Some(self.set.newest.clone()),
            Act::Halt(why) => {
                let failed = self.set.newest.number;
                let good = self.set.good.clone().filter(|g| g.key != self.set.newest.key);
                let undone_to = good.as_ref().map(|g| g.number);
                if let Some(good) = good {
                    self.set = self.set.clone().back_to(&good, "gantry", now_ms);
                }
                self.set.halted =
                    Some(Halt { revision: failed, why: why.clone(), at_ms: now_ms, undone_to });
            }
            Act::Report(n, drift) => {
                self.records.get_mut(n).unwrap().reported = Some(drift.fingerprint.clone());
                self.reports += 1;
            }
            Act::Gone => {}
        }
    }

    fn settle(&mut self) -> Phase {
        let mut last = Phase::Waiting;
        for _ in 0..PASSES_MAX {
            last = self.pass();
            if self.busy.is_empty()
                && matches!(last, Phase::Converged | Phase::Paused | Phase::Halted | Phase::Deleted)
            {
                return last;
            }
        }
        last
    }

    fn put(&mut self, change: impl Fn(&mut SetSpec)) {
        let mut spec = self.set.spec().clone();
        change(&mut spec);
        self.set = self.set.clone().with(spec, "alice", self.now_ms, "applied");
    }

    /// Ready pods of this image.
    fn running(&self, image: &str) -> usize {
        let key_is = |r: &SlotRecord| {
            let revisions = [Some(&self.set.newest), self.set.good.as_ref()];
            let found = revisions.into_iter().flatten().find(|v| Some(&v.key) == r.key.as_ref());
            found.is_some_and(|v| v.spec.template.image.contains(image))
        };
        let seen = self.observe();
        seen.slots.iter().filter(|s| key_is(&s.record) && s.is_ready(0, self.now_ms)).count()
    }
}

fn ordinal_of(act: &Act) -> Option<u32> {
    match act {
        Act::MakeKeeper(n)
        | Act::Create(n)
        | Act::Start(n)
        | Act::Remove(n)
        | Act::DropVolumes(n) => Some(*n),
        _ => None,
    }
}

fn with_volumes(mut spec: SetSpec) -> SetSpec {
    spec.volumes = vec![VolumeSpec {
        name: "data".into(),
        storage: "local-lvm".parse().unwrap(),
        size_gib: 4,
        path: "/data".into(),
        backup: false,
    }];
    spec
}

#[test]
fn a_new_set_comes_up_in_order_and_is_published() {
    let mut world = World::new(with_volumes(sample("web", 3)));
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!((world.guests.len(), world.data.len()), (6, 3));
    assert!(world.records.values().all(|r| r.published));
    assert_eq!(world.set.good.as_ref().map(|g| g.number), Some(1));
}

#[test]
fn a_pod_that_is_lost_comes_back_as_itself() {
    let mut world = World::new(with_volumes(sample("web", 3)));
    world.settle();
    let (before, data) = (world.records[&1].identity.clone(), world.data.clone());
    world.guests.remove(&before.vmid.get());
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!(world.records[&1].identity, before);
    assert_eq!(world.data, data, "the volumes are the same");
    assert!(world.guests.contains_key(&before.vmid.get()));
}

#[test]
fn scaled_down_volumes_wait_for_the_ordinal_to_come_back() {
    let mut world = World::new(with_volumes(sample("web", 5)));
    world.settle();
    let data = world.data.clone();
    world.put(|s| s.replicas = 2);
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!((world.available(), &world.data), (2, &data));
    world.put(|s| s.replicas = 5);
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!((world.available(), &world.data), (5, &data));
    world.put(|s| {
        s.replicas = 1;
        s.on_scale_down = Keep::Delete;
    });
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!(world.data.len(), 1);
}

#[test]
fn a_rollout_that_fails_halts_and_goes_back_by_itself() {
    let mut world = World::new(sample("web", 3));
    world.settle();
    world.put(|s| s.template.image = "local:vztmpl/bad-2.tar.zst".into());
    assert_eq!(world.settle(), Phase::Converged);
    let halt = world.set.halted.clone().unwrap();
    assert_eq!((halt.revision, halt.undone_to), (2, Some(1)));
    assert!(halt.why.contains("web-2 was not ready within 60 s: HTTP 500"), "{}", halt.why);
    assert_eq!((world.running("good-1"), world.set.newest.number), (3, 3));
}

#[test]
fn a_first_revision_that_fails_halts_without_anything_to_go_back_to() {
    let mut spec = sample("web", 3);
    spec.template.image = "local:vztmpl/bad-1.tar.zst".into();
    let mut world = World::new(spec);
    assert_eq!(world.settle(), Phase::Halted);
    assert_eq!(world.guests.len(), 1, "no more of the same is made");
    world.put(|s| s.template.image = "local:vztmpl/good-1.tar.zst".into());
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!(world.running("good-1"), 3);
}

#[test]
fn a_partition_leaves_the_lower_ordinals_as_they_are() {
    let mut world = World::new(sample("web", 4));
    world.settle();
    world.put(|s| {
        s.template.image = "local:vztmpl/good-2.tar.zst".into();
        s.update = Update::Rolling { partition: 2, max_unavailable: 1 };
    });
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!((world.running("good-1"), world.running("good-2")), (2, 2));
    // One that is lost below the partition comes back as it was.
    let vmid = world.records[&0].identity.vmid.get();
    world.guests.remove(&vmid);
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!(world.running("good-1"), 2);
}

#[test]
fn a_paused_rollout_waits_but_still_heals() {
    let mut world = World::new(sample("web", 3));
    world.settle();
    world.put(|s| s.template.image = "local:vztmpl/good-2.tar.zst".into());
    world.set.paused = Some("alice".into());
    assert_eq!(world.settle(), Phase::Paused);
    assert_eq!(world.running("good-1"), 3);
    let vmid = world.records[&1].identity.vmid.get();
    world.guests.remove(&vmid);
    assert_eq!(world.settle(), Phase::Paused);
    assert_eq!(world.available(), 3);
    world.set.paused = None;
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!(world.running("good-2"), 3);
}

#[test]
fn nothing_is_done_on_old_news_or_to_pods_whose_node_is_silent() {
    let mut world = World::new(sample("web", 2));
    world.settle();
    let mut seen = world.observe();
    seen.slots[0].pod = Pod::Absent;
    let decision = reconcile(&world.set, &seen, world.now_ms + super::reconcile::STALE_MS + 1);
    assert_eq!((decision.acts, decision.phase), (vec![], Phase::Waiting));
    assert!(decision.waits[0].contains("old news"), "{:?}", decision.waits);
    seen.slots[0].pod = Pod::Unseen;
    let decision = reconcile(&world.set, &seen, world.now_ms);
    assert!(!decision.acts.iter().any(|a| ordinal_of(a).is_some()), "{decision:?}");
    assert!(decision.waits[0].contains("may still run"), "{:?}", decision.waits);
}

#[test]
fn what_somebody_changed_is_told_once_and_not_undone() {
    let mut world = World::new(sample("web", 2));
    world.settle();
    let vmid = world.records[&1].identity.vmid.get();
    world.guests.get_mut(&vmid).unwrap().mem_max = 4 << 30;
    assert_eq!(world.settle(), Phase::Converged);
    for _ in 0..5 {
        world.pass();
    }
    assert_eq!(world.reports, 1);
    assert_eq!(world.guests[&vmid].mem_max, 4 << 30);
    // Restoring is asking for it to be made again.
    world.records.get_mut(&1).unwrap().key = None;
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!(world.guests[&vmid].mem_max, 512 << 20);
}

#[test]
fn deleting_keeps_volumes_unless_told_otherwise() {
    for (keep, left) in [(Keep::Retain, 3), (Keep::Delete, 0)] {
        let mut world = World::new(with_volumes(sample("web", 3)));
        world.settle();
        world.set.deleting = Some(keep);
        assert_eq!(world.settle(), Phase::Deleted);
        assert_eq!((world.guests.len(), world.data.len()), (left, left));
    }
}

/// What may happen to a set while gantry is not looking.
#[derive(Debug, Clone)]
enum Mishap {
    Deleted(usize),
    Stopped(usize),
    Renamed(usize),
    Changed(usize),
    Untagged(usize),
    Duplicate(usize),
    Stranger(u32),
    Image(u32),
    Scale(u32),
    Pass,
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        (0usize..8).prop_map(Mishap::Deleted),
        (0usize..8).prop_map(Mishap::Stopped),
        (0usize..8).prop_map(Mishap::Renamed),
        (0usize..8).prop_map(Mishap::Changed),
        (0usize..8).prop_map(Mishap::Untagged),
        (0usize..8).prop_map(Mishap::Duplicate),
        (700u32..720).prop_map(Mishap::Stranger),
        (0u32..4).prop_map(Mishap::Image),
        (0u32..7).prop_map(Mishap::Scale),
        Just(Mishap::Pass),
        Just(Mishap::Pass),
    ]
}

impl World {
    fn pods(&self) -> Vec<u32> {
        let numbers = self.records.values().map(|r| r.identity.vmid.get());
        numbers.filter(|v| self.guests.contains_key(v) && !self.strangers.contains_key(v)).collect()
    }

    fn befall(&mut self, mishap: &Mishap) {
        let pods = self.pods();
        let pick = |n: &usize| pods.get(n % pods.len().max(1)).copied();
        match mishap {
            Mishap::Deleted(n) => {
                if let Some(vmid) = pick(n) {
                    self.guests.remove(&vmid);
                    self.sick.remove(&vmid);
                }
            }
            Mishap::Stopped(n) => {
                if let Some(g) = pick(n).and_then(|v| self.guests.get_mut(&v)) {
                    g.status = GuestStatus::Stopped;
                }
            }
            Mishap::Renamed(n) => {
                if let Some(g) = pick(n).and_then(|v| self.guests.get_mut(&v)) {
                    g.name = "mine-now".into();
                }
            }
            Mishap::Changed(n) => {
                if let Some(g) = pick(n).and_then(|v| self.guests.get_mut(&v)) {
                    g.mem_max = 8 << 30;
                }
            }
            Mishap::Untagged(n) => {
                if let Some(vmid) = pick(n)
                    && let Some(g) = self.guests.get_mut(&vmid)
                {
                    g.tags = vec!["precious".into()];
                    self.strangers.insert(vmid, g.clone());
                }
            }
            Mishap::Duplicate(n) => {
                let name = pick(n).and_then(|v| self.guests.get(&v)).map(|g| g.name.clone());
                let vmid = 900 + self.made as u32 + self.strangers.len() as u32;
                if let Some(name) = name {
                    let tags = vec![OWN_TAG.into(), set_tag("web")];
                    let guest = self.guest(vmid.try_into().unwrap(), &name, "pve1", tags);
                    self.guests.insert(vmid, guest.clone());
                    self.strangers.insert(vmid, guest);
                }
            }
            Mishap::Stranger(vmid) => {
                let used = |r: &SlotRecord| {
                    r.identity.vmid.get() == *vmid
                        || r.identity.keeper.map(Vmid::get) == Some(*vmid)
                };
                if !self.guests.contains_key(vmid) && !self.records.values().any(used) {
                    let guest = self.guest((*vmid).try_into().unwrap(), "mail", "pve2", vec![]);
                    self.guests.insert(*vmid, guest.clone());
                    self.strangers.insert(*vmid, guest);
                }
            }
            Mishap::Image(n) => {
                let name = if *n == 3 { "bad".to_owned() } else { format!("good-{n}") };
                self.put(|s| s.template.image = format!("local:vztmpl/{name}.tar.zst"));
            }
            Mishap::Scale(n) => self.put(|s| s.replicas = *n),
            Mishap::Pass => {
                self.pass();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_it_converges_and_harms_nobody(
        mishaps in proptest::collection::vec(mishap(), 0..25),
        volumes in any::<bool>(),
        parallel in any::<bool>(),
        service in any::<bool>(),
        max_unavailable in 1u32..3,
    ) {
        let mut spec = sample("web", 3);
        if volumes {
            spec = with_volumes(spec);
        }
        if parallel {
            spec.management = Management::Parallel;
        }
        if !service {
            spec.service = None;
        }
        spec.update = Update::Rolling { partition: 0, max_unavailable };
        let mut world = World::new(spec);
        world.settle();
        let kept = world.data.clone();
        for mishap in &mishaps {
            world.befall(mishap);
        }
        // Somebody takes the hands off: an image that works.
        let strange = world.pods().len();
        world.put(|s| s.template.image = "local:vztmpl/good-last.tar.zst".into());
        let phase = world.settle();
        // An ordinal whose number a stranger has is told about and waited for; all others are as they shall be.
        let seen = world.observe();
        let blocked = seen.slots.iter().any(|s| s.pod == Pod::Stranger);
        if !blocked {
            prop_assert_eq!(phase, Phase::Converged, "{:?} {:?} {:?}", world.set.halted, seen, strange);
            let replicas = world.set.spec().replicas as usize;
            prop_assert_eq!(world.running("good-last"), replicas);
        }
        for (vmid, data) in &kept {
            prop_assert_eq!(world.data.get(vmid), Some(data), "volumes that shall be kept are kept");
        }
    }
}
