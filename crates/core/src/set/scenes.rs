//! What happens to a set in the simulated cluster, one thing at a time.

use super::reconcile::{STALE_MS, reconcile};
use super::seen::Pod;
use super::simulation::{World, ordinal_of, sample, with_volumes};
use super::spec::{Keep, Update};
use super::state::Names;
use super::{Act, Phase};
use crate::id::GuestKind;
use crate::world::Guest;

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
    let decision = reconcile(&world.set, &seen, world.now_ms + STALE_MS + 1);
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

#[test]
fn a_foreign_change_of_the_configuration_is_told_once_adopted_or_made_again() {
    let mut world = World::new(sample("web", 2));
    world.settle();
    let strayed = vec!["Swap: 2048 MiB instead of 0 MiB.".to_owned()];
    world.records.get_mut(&1).unwrap().strayed = strayed.clone();
    assert_eq!(world.settle(), Phase::Converged);
    world.pass();
    assert_eq!(world.reports, 1);
    let drift = world.observe().slots[1].drift.clone().unwrap();
    assert_eq!((drift.what, drift.mendable), (strayed.clone(), true));
    // Adopted: nothing is different any more, until something else is.
    world.records.get_mut(&1).unwrap().adopted = strayed.clone();
    assert_eq!(world.observe().slots[1].drift, None);
    let more = [strayed, vec!["Card eth1 (vmbr1) was added.".to_owned()]].concat();
    world.records.get_mut(&1).unwrap().strayed = more.clone();
    world.pass();
    assert_eq!(world.reports, 2);
    assert_eq!(world.observe().slots[1].drift.clone().unwrap().what, more[1..]);
    world.records.get_mut(&1).unwrap().key = None;
    assert_eq!(world.settle(), Phase::Converged);
    assert_eq!(world.observe().slots[1].drift, None, "made again");
}

#[test]
fn names_that_could_not_all_be_published_are_told_and_tried_again() {
    let mut world = World::new(sample("web", 1));
    world.settle();
    let said = vec!["The name server ns1 refuses the key.".to_owned()];
    world.set.names = Names { said: said.clone(), again: true };
    let decision = reconcile(&world.set, &world.observe(), world.now_ms);
    assert_eq!((decision.acts, decision.waits), (vec![Act::Publish(vec![0])], said.clone()));
    assert_ne!(decision.phase, Phase::Converged, "not as it shall be");
    // Records of somebody else stay, and are told; nothing is tried again.
    world.set.names.again = false;
    let decision = reconcile(&world.set, &world.observe(), world.now_ms);
    assert_eq!((decision.acts, decision.waits, decision.phase), (vec![], said, Phase::Converged));
}

#[test]
fn volumes_are_not_deleted_while_a_stranger_has_the_pods_number() {
    let mut world = World::new(with_volumes(sample("web", 3)));
    world.settle();
    let data = world.data.clone();
    let vmid = world.records[&2].identity.vmid.get();
    // It runs on; somebody only took its tags off.
    world.guests.get_mut(&vmid).unwrap().tags = vec!["precious".into()];
    world.strangers.insert(vmid, world.guests[&vmid].clone());
    world.set.deleting = Some(Keep::Delete);
    assert_ne!(world.settle(), Phase::Deleted);
    assert_eq!(world.data, data);
    let decision = reconcile(&world.set, &world.observe(), world.now_ms);
    assert!(decision.waits.iter().any(|w| w.contains("not deleted")), "{:?}", decision.waits);
    // Gone with its owner's consent, its volumes go as well.
    world.strangers.clear();
    world.guests.remove(&vmid);
    assert_eq!(world.settle(), Phase::Deleted);
    assert!(world.data.is_empty());
}

#[test]
fn a_set_is_not_forgotten_while_its_names_answer() {
    let mut world = World::new(sample("web", 1));
    world.settle();
    world.set.deleting = Some(Keep::Retain);
    let vmid = world.records[&0].identity.vmid.get();
    world.guests.remove(&vmid);
    // The name server did not take it: what was published stays written down, and is tried again.
    let said = vec!["The name server ns1 does not answer.".to_owned()];
    world.set.names = Names { said: said.clone(), again: true };
    let decision = reconcile(&world.set, &world.observe(), world.now_ms);
    assert_eq!(decision.acts, [Act::Publish(vec![])]);
    assert!(decision.waits.contains(&said[0]), "{:?}", decision.waits);
    // The pods' names went, those of their addresses did not.
    world.records.clear();
    let decision = reconcile(&world.set, &world.observe(), world.now_ms);
    assert_eq!(decision.acts, [Act::Publish(vec![])]);
    world.set.names = Names::default();
    assert_eq!(world.settle(), Phase::Deleted);
}

/// What is told of the pod of ordinal 1 once something has happened to the guests; nothing but telling may be done.
fn told(happens: impl Fn(&mut World, u32)) -> (Vec<String>, bool) {
    let mut world = World::new(sample("web", 3));
    world.settle();
    let vmid = world.records[&1].identity.vmid.get();
    happens(&mut world, vmid);
    let decision = reconcile(&world.set, &world.observe(), world.now_ms);
    assert!(!decision.acts.iter().any(|a| ordinal_of(a) == Some(1)), "{decision:?}");
    let told = decision.acts.iter().find_map(|a| match a {
        Act::Report(1, drift) => Some((drift.what.clone(), drift.mendable)),
        _ => None,
    });
    told.expect("it is told")
}

fn change(world: &mut World, vmid: u32, how: impl Fn(&mut Guest)) {
    how(world.guests.get_mut(&vmid).unwrap());
}

#[test]
fn a_stranger_in_a_pods_place_is_told_by_its_number_and_left_alone() {
    let untouched = |kind: &str, vmid| {
        format!("{kind} {vmid} does not carry the set's tags: it is not touched.")
    };
    // Somebody's own container has the number. What it is called is not for everybody to read.
    let (what, mendable) = told(|world, vmid| {
        change(world, vmid, |g| {
            g.tags = vec!["payroll".into()];
            g.name = "payroll-db".into();
        });
    });
    assert_eq!((what, mendable), (vec![untouched("CT", 701)], false));
    // One of the set's two tags is not enough, and a machine is no container whatever it carries.
    let (what, _) = told(|world, vmid| change(world, vmid, |g| g.tags.truncate(1)));
    assert_eq!(what, [untouched("CT", 701)]);
    let (what, mendable) = told(|world, vmid| change(world, vmid, |g| g.kind = GuestKind::Qemu));
    assert_eq!((what, mendable), (vec![untouched("VM", 701)], false));
    // The set's own pod under another name can be made again.
    let (what, mendable) = told(|world, vmid| change(world, vmid, |g| g.name = "mine".into()));
    assert_eq!((what, mendable), (vec!["It is called mine instead of web-1.".to_owned()], true));
    // Another guest with the set's tags says that it is the pod: that is the other one's fault, not the pod's.
    let twin = |world: &mut World, vmid: u32| {
        let mut guest = world.guests[&vmid].clone();
        (guest.vmid, guest.node) = (950.try_into().unwrap(), "pve3".parse().unwrap());
        world.guests.insert(950, guest);
    };
    let (what, mendable) = told(twin);
    assert_eq!((what, mendable), (vec!["CT 950 on pve3 says it is web-1 as well.".into()], false));
    // Both at once: both are told, and nothing of it is gantry's to mend.
    let (what, mendable) = told(|world, vmid| {
        twin(world, vmid);
        change(world, vmid, |g| g.tags.clear());
    });
    let both = [untouched("CT", 701), "CT 950 on pve3 says it is web-1 as well.".to_owned()];
    assert_eq!((what.as_slice(), mendable), (&both[..], false));
}
