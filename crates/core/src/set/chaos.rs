//! Whatever happens to a set's pods, in whatever order, it converges and harms nobody.

use proptest::prelude::*;

use super::Phase;
use super::identity::set_tag;
use super::seen::Pod;
use super::simulation::{World, sample, with_volumes};
use super::spec::{Management, Update};
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
