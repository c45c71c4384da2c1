//! Whatever happens to a set's pods, in whatever order, it converges and harms nobody.

use proptest::prelude::*;

use super::Phase;
use super::identity::set_tag;
use super::reconcile::{STALE_MS, reconcile};
use super::seen::{Pod, Slot};
use super::simulation::{World, sample, with_volumes};
use super::spec::{Management, SetSpec, Update};
use super::state::SlotRecord;
use crate::id::Vmid;
use crate::world::{GuestStatus, OWN_TAG};

/// What may happen to a set while gantry is not looking.
#[derive(Debug, Clone)]
enum Mishap {
    Deleted(usize),
    Stopped(usize),
    Renamed(usize),
    Changed(usize),
    Strayed(u32),
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
        (0u32..8).prop_map(Mishap::Strayed),
        (0usize..8).prop_map(Mishap::Untagged),
        (0usize..8).prop_map(Mishap::Duplicate),
        (700u32..720).prop_map(Mishap::Stranger),
        (0u32..4).prop_map(Mishap::Image),
        (0u32..7).prop_map(Mishap::Scale),
        Just(Mishap::Pass),
        Just(Mishap::Pass),
    ]
}

/// What somebody may do to single pods behind gantry's back, and what leaves them the set's.
fn drift() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        (0usize..8).prop_map(Mishap::Deleted),
        (0usize..8).prop_map(Mishap::Stopped),
        (0usize..8).prop_map(Mishap::Renamed),
        (0usize..8).prop_map(Mishap::Changed),
        (0u32..3).prop_map(Mishap::Strayed),
        (0usize..8).prop_map(Mishap::Duplicate),
    ]
}

/// The same, and what makes strangers of them.
fn meddling() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        6 => drift(),
        2 => (0usize..8).prop_map(Mishap::Untagged),
        1 => (700u32..720).prop_map(Mishap::Stranger),
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
            Mishap::Strayed(n) => {
                if let Some(record) = self.records.get_mut(n) {
                    record.strayed = vec!["Swap: 64 MiB instead of 0 MiB.".into()];
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

/// The cases of each property.
fn cases() -> ProptestConfig {
    ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() }
}

fn spec_of(volumes: bool, parallel: bool, service: bool, max_unavailable: u32) -> SetSpec {
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
    spec
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_happens_it_converges_and_harms_nobody(
        mishaps in proptest::collection::vec(mishap(), 0..25),
        volumes in any::<bool>(),
        parallel in any::<bool>(),
        service in any::<bool>(),
        max_unavailable in 1u32..3,
    ) {
        let mut world = World::new(spec_of(volumes, parallel, service, max_unavailable));
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
        let blocked: Vec<u32> =
            seen.slots.iter().filter(|s| s.pod == Pod::Stranger).map(Slot::ordinal).collect();
        let replicas = world.set.spec().replicas;
        if blocked.is_empty() {
            prop_assert_eq!(phase, Phase::Converged, "{:?} {:?} {:?}", world.set.halted, seen, strange);
            prop_assert_eq!(world.running("good-last"), replicas as usize);
        }
        for slot in seen.slots.iter().filter(|s| blocked.contains(&s.ordinal())) {
            let told = slot.drift.as_ref().map(|d| &d.fingerprint);
            prop_assert_eq!(slot.record.reported.as_ref(), told, "a stranger is told of");
        }
        // Ordered ones wait for those before them; the others wait for nobody, unless too many are missing to go on.
        let missing = blocked.iter().filter(|n| **n < replicas).count();
        if parallel && missing < max_unavailable as usize {
            prop_assert_eq!(world.running("good-last"), replicas as usize - missing, "{:?}", seen);
        }
        for (vmid, data) in &kept {
            prop_assert_eq!(world.data.get(vmid), Some(data), "volumes that shall be kept are kept");
        }
    }

    #[test]
    fn what_drifted_comes_back_as_itself_or_is_told_and_left_as_it_is(
        mishaps in proptest::collection::vec(prop_oneof![4 => drift(), 1 => Just(Mishap::Pass)], 1..25),
        volumes in any::<bool>(),
        parallel in any::<bool>(),
    ) {
        let mut world = World::new(spec_of(volumes, parallel, true, 1));
        prop_assert_eq!(world.settle(), Phase::Converged);
        let identities: Vec<_> = world.records.values().map(|r| r.identity.clone()).collect();
        let (data, made) = (world.data.clone(), world.made);
        for mishap in &mishaps {
            world.befall(mishap);
        }
        let drifted = world.guests.clone();
        prop_assert_eq!(world.settle(), Phase::Converged, "{:?}", world.observe());
        let now: Vec<_> = world.records.values().map(|r| r.identity.clone()).collect();
        prop_assert_eq!(now, identities, "who they are does not change");
        prop_assert_eq!((world.available(), &world.data, world.made), (3, &data, made));
        prop_assert!(world.records.values().all(|r| r.published), "their names answer");
        // What somebody has changed stays so; only whether it runs is gantry's.
        for (vmid, was) in &drifted {
            let mut was = was.clone();
            let now = &world.guests[vmid];
            was.status = now.status;
            prop_assert_eq!(now, &was, "nothing is undone silently");
        }
        for slot in &world.observe().slots {
            let told = slot.drift.as_ref().map(|d| &d.fingerprint);
            prop_assert!(told.is_none() || slot.record.reported.as_ref() == told, "{:?}", slot);
        }
        let reports = world.reports;
        for _ in 0..5 {
            world.pass();
        }
        prop_assert_eq!(world.reports, reports, "told once");
    }

    #[test]
    fn on_old_news_nothing_is_done_and_on_a_look_that_was_overtaken_nobody_is_harmed(
        before in proptest::collection::vec(mishap(), 0..10),
        meanwhile in proptest::collection::vec(meddling(), 1..6),
        late_ms in 0i64..2 * STALE_MS,
        parallel in any::<bool>(),
    ) {
        let mut world = World::new(spec_of(true, parallel, true, 1));
        world.settle();
        for mishap in &before {
            world.befall(mishap);
        }
        // Decided on this reading, while the world goes on.
        let (seen, set) = (world.observe(), world.set.clone());
        for mishap in &meanwhile {
            world.befall(mishap);
        }
        let decision = reconcile(&set, &seen, seen.at_ms + late_ms);
        if late_ms > STALE_MS {
            prop_assert!(decision.acts.is_empty(), "{:?}", decision);
        }
        for act in &decision.acts {
            world.carry_out_with_fresh_eyes(&seen, act);
        }
        for (vmid, stranger) in &world.strangers {
            prop_assert_eq!(world.guests.get(vmid), Some(stranger), "a stranger was touched");
        }
        // And the next passes make good whatever that led to.
        world.put(|s| s.template.image = "local:vztmpl/good-last.tar.zst".into());
        world.settle();
        let seen = world.observe();
        if seen.slots.iter().all(|s| s.pod != Pod::Stranger) {
            prop_assert_eq!(world.running("good-last"), world.set.spec().replicas as usize);
        }
    }
}
