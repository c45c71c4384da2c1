//! A cluster in a few lines, and a gantry that does what `reconcile` says: whatever happens to the pods meanwhile,
//! it converges, takes no more ready pods away than allowed, and touches nothing that is not the set's.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::{allot, keeper_name, set_tag};
use super::seen::{Index, Observed, Readiness, observe};
use super::spec::{Keep, Management, SetKind, SetSpec, Update, VmidRange, VolumeSpec};
use super::state::{Facts, Halt, Revision, Set, SlotRecord};
use super::{Act, Phase, reconcile};
use crate::id::{ChannelId, GuildId, OperationId, UserId, Vmid};
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
        names: Default::default(),
        adopts: Vec::new(),
        by: UserId(1),
        by_name: "alice".into(),
        guild: GuildId(1),
        channel: ChannelId(1),
        command: OperationId::new(0, 1),
    }
}

pub(super) struct World {
    pub(super) set: Set,
    pub(super) records: BTreeMap<u32, SlotRecord>,
    pub(super) guests: BTreeMap<u32, Guest>,
    /// Guests whose image never becomes ready.
    pub(super) sick: BTreeSet<u32>,
    /// Numbers that are not the set's, with what they looked like: nothing may ever change about them.
    pub(super) strangers: BTreeMap<u32, Guest>,
    /// Operations that go on over the next passes, by ordinal.
    pub(super) busy: BTreeMap<u32, u32>,
    /// Content of each keeper: another number, other content.
    pub(super) data: BTreeMap<u32, u64>,
    pub(super) made: u64,
    pub(super) now_ms: i64,
    pub(super) reports: usize,
}

impl World {
    pub(super) fn new(spec: SetSpec) -> Self {
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

    pub(super) fn guest(&self, vmid: Vmid, name: &str, node: &str, tags: Vec<String>) -> Guest {
        Guest {
            node: node.parse().unwrap(),
            tags,
            mem_max: 512 << 20,
            uptime_s: 100,
            ..Guest::sample(vmid.get(), name)
        }
    }

    pub(super) fn view(&self) -> ClusterView {
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

    pub(super) fn observe(&self) -> Observed {
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

    pub(super) fn available(&self) -> u32 {
        let seen = self.observe();
        let wanted = self.set.spec().ordinals();
        let up = |s: &&super::Slot| wanted.contains(&s.ordinal()) && s.is_ready(0, self.now_ms);
        seen.slots.iter().filter(up).count() as u32
    }

    /// One pass; returns where the set stands.
    pub(super) fn pass(&mut self) -> Phase {
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
            assert_eq!(decision.fingerprint, seen.fingerprint());
            self.carry_out_with_fresh_eyes(&seen, act);
        }
        for (vmid, stranger) in &self.strangers {
            assert_eq!(self.guests.get(vmid), Some(stranger), "a stranger was touched");
        }
        decision.phase
    }

    /// Fresh eyes: an action whose evidence is gone is not carried out.
    pub(super) fn carry_out_with_fresh_eyes(&mut self, seen: &Observed, act: &Act) {
        if let Some(ordinal) = ordinal_of(act)
            && self.observe().slot(ordinal) != seen.slot(ordinal)
        {
            return;
        }
        self.carry_out(act);
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
                record.strayed.clear();
                record.adopted.clear();
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

    pub(super) fn settle(&mut self) -> Phase {
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

    pub(super) fn put(&mut self, change: impl Fn(&mut SetSpec)) {
        let mut spec = self.set.spec().clone();
        change(&mut spec);
        self.set = self.set.clone().with(spec, "alice", self.now_ms, "applied");
    }

    /// Ready pods of this image.
    pub(super) fn running(&self, image: &str) -> usize {
        let key_is = |r: &SlotRecord| {
            let revisions = [Some(&self.set.newest), self.set.good.as_ref()];
            let found = revisions.into_iter().flatten().find(|v| Some(&v.key) == r.key.as_ref());
            found.is_some_and(|v| v.spec.template.image.contains(image))
        };
        let seen = self.observe();
        seen.slots.iter().filter(|s| key_is(&s.record) && s.is_ready(0, self.now_ms)).count()
    }
}

pub(super) fn ordinal_of(act: &Act) -> Option<u32> {
    match act {
        Act::MakeKeeper(n)
        | Act::Create(n)
        | Act::Start(n)
        | Act::Remove(n)
        | Act::DropVolumes(n) => Some(*n),
        _ => None,
    }
}

pub(super) fn with_volumes(mut spec: SetSpec) -> SetSpec {
    spec.volumes = vec![VolumeSpec {
        name: "data".into(),
        storage: "local-lvm".parse().unwrap(),
        size_gib: 4,
        path: "/data".into(),
        backup: false,
    }];
    spec
}
