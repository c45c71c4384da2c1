//! Sets: one leader at a time, one operation on an ordinal at a time, and nobody overwrites what others wrote.

use gantry_core::audit::AuditEvent;
use gantry_core::id::{ChannelId, GuildId, OperationId, UserId};
use gantry_core::operation::OpState;
use gantry_core::set::identity::allot;
use gantry_core::set::spec::VmidRange;
use gantry_core::set::{Revision, Set, SetSpec, SlotRecord};
use gantry_store::{LedSets, Member, Store};

use crate::harness::*;
use crate::leases::pod;

/// How long a leader leads in these tests, milliseconds.
const LEAD: i64 = 60_000;

fn set(name: &str) -> Set {
    let range = VmidRange { from: vmid(700), to: vmid(799) };
    let nodes = vec!["pve1".parse().unwrap()];
    let spec =
        SetSpec { name: name.into(), ..SetSpec::new(2, range, nodes, pod("web-0").template) };
    Set {
        cluster: lab(),
        newest: Revision {
            number: 1,
            key: spec.key(),
            spec,
            by_name: "ada".into(),
            at_ms: NOW,
            why: "created".into(),
        },
        good: None,
        paused: None,
        halted: None,
        deleting: None,
        names: Default::default(),
        adopts: Vec::new(),
        by: UserId(1),
        by_name: "ada".into(),
        guild: GuildId(1),
        channel: ChannelId(2),
        command: OperationId::new(NOW, 1),
    }
}

fn record(set: &Set, ordinal: u32) -> SlotRecord {
    SlotRecord::new(allot(&set.cluster, set.spec(), ordinal, &Default::default()).unwrap())
}

async fn led(store: &Store, set: &Set) -> i64 {
    assert!(store.put_set(set, None, NOW).await.unwrap());
    generation(store.lead_sets(&lab(), "one", NOW, LEAD).await.unwrap(), set).unwrap()
}

/// Of the lease on a set, where it is led.
fn generation(led: LedSets, set: &Set) -> Option<i64> {
    let row = led.all.rows.into_iter().find(|row| row.set.name() == set.name())?;
    led.led.contains(set.name()).then_some(row.generation)
}

both! {
    async fn what_a_set_shall_be_is_changed_by_one_command_at_a_time(db: Db) {
        let web = set("web");
        assert!(db.store.put_set(&web, None, NOW).await.unwrap());
        assert!(!db.store.put_set(&web, None, NOW).await.unwrap(), "there is one already");
        let row = db.store.find_set(&web.address()).await.unwrap().unwrap();
        assert_eq!((row.set.clone(), row.version), (web.clone(), 1));
        let mut spec = web.spec().clone();
        spec.template.cores = 4;
        let next = web.clone().with(spec, "bea", NOW + 1, "applied");
        assert!(db.store.put_set(&next, Some(1), NOW).await.unwrap());
        assert!(!db.store.put_set(&web, Some(1), NOW).await.unwrap(), "made on what is not any more");
        let numbers: Vec<u32> =
            db.store.list_revisions(&web.address()).await.unwrap().iter().map(|r| r.number).collect();
        assert_eq!(numbers, [2, 1]);
        assert_eq!(db.store.list_sets(Some(&lab())).await.unwrap().len(), 1);
    }
}

both! {
    async fn of_two_processes_one_leads(db: Db) {
        let web = set("web");
        let generation = led(&db.store, &web).await;
        let leads = async |who: &str, now_ms: i64| {
            self::generation(db.store.lead_sets(&lab(), who, now_ms, LEAD).await.unwrap(), &web)
        };
        assert_eq!(leads("two", NOW + 1).await, None);
        assert_eq!(leads("one", NOW + 2).await, Some(generation), "leading on is no new lease");
        // What is led for half of its time is led anew, and is still the same lease.
        assert_eq!(leads("one", NOW + LEAD / 2 + 1).await, Some(generation));
        assert_eq!(leads("two", NOW + LEAD + 1).await, None);
        let at = web.address();
        assert!(db.store.add_slot(&at, generation, &record(&web, 0)).await.unwrap());
        // The first one sleeps through its lease.
        let later = NOW + LEAD / 2 + 1 + LEAD;
        assert_eq!(leads("two", later).await, Some(generation + 1));
        assert!(!db.store.add_slot(&at, generation, &record(&web, 1)).await.unwrap());
        let changed = db.store.change_slot(&at, 0, Some(generation), |r| r.failures = 9).await;
        assert!(!changed.unwrap());
        let mut bad = web.clone();
        bad.paused = Some("ghost".into());
        assert!(!db.store.lead_put_set(&bad, 1, generation, NOW).await.unwrap());
        assert!(!db.store.remove_slot(&at, 0, generation).await.unwrap());
        assert!(!db.store.remove_set(&at, generation).await.unwrap());
        let slots = db.store.list_slots(&lab(), Some("web")).await.unwrap();
        assert_eq!((slots.len(), slots[0].record.failures), (1, 0), "nothing of it was kept");
        assert!(db.store.remove_set(&at, generation + 1).await.unwrap());
        assert!(db.store.list_slots(&lab(), None).await.unwrap().is_empty());
        assert!(db.store.find_set(&at).await.unwrap().is_none());
    }
}

both! {
    async fn an_ordinal_is_worked_on_by_one_operation_at_a_time(db: Db) {
        let web = set("web");
        let generation = led(&db.store, &web).await;
        let at = web.address();
        assert!(db.store.add_slot(&at, generation, &record(&web, 0)).await.unwrap());
        let start = async |n: u32| {
            let plan = plan(n);
            let op = operation(&plan, n);
            let audit = audit(n, AuditEvent::Confirmed, &plan);
            let member = Member {
                set: &at,
                ordinal: 0,
                generation,
                plan: &plan,
                operation: &op,
                card: Err(card(n)),
                audit: &audit,
            };
            (db.store.start_member(&member).await.unwrap(), op)
        };
        let (begun, op) = start(1).await;
        assert!(begun);
        assert!(!start(2).await.0, "the first one has not been settled");
        let slot = db.store.list_slots(&lab(), None).await.unwrap().remove(0);
        assert_eq!(slot.operation.map(|o| o.id), Some(op.id.clone()));
        // The operation writes what it made while the leader writes something else: both are kept.
        let made = |r: &mut SlotRecord| r.key = Some("abc".into());
        assert!(db.store.change_slot(&at, 0, None, made).await.unwrap());
        let lease = db.store.claim_operation("worker", NOW, LEAD).await.unwrap().unwrap();
        let mut running = lease.operation.clone();
        running.state = OpState::Running;
        assert!(db.store.save_operation(&running, lease.generation, None).await.unwrap());
        let settled = op.id.clone();
        let settle = move |r: &mut SlotRecord| r.settled = Some(settled);
        assert!(db.store.change_slot(&at, 0, Some(generation), settle).await.unwrap());
        let slot = db.store.list_slots(&lab(), None).await.unwrap().remove(0);
        assert_eq!((slot.record.key.as_deref(), slot.operation), (Some("abc"), None));
        assert!(start(3).await.0);
        assert_eq!(audited(&db.store, AuditEvent::Confirmed).await, 2);
    }
}

both! {
    async fn no_number_is_given_to_two_ordinals(db: Db) {
        let web = set("web");
        let generation = led(&db.store, &web).await;
        let at = web.address();
        assert!(db.store.add_slot(&at, generation, &record(&web, 0)).await.unwrap());
        let mut twin = record(&web, 1);
        twin.identity.vmid = vmid(700);
        assert!(!db.store.add_slot(&at, generation, &twin).await.unwrap());
        assert!(!db.store.add_slot(&at, generation, &record(&web, 0)).await.unwrap());
    }
}

both! {
    async fn a_set_that_does_not_read_back_hides_no_other(db: Db) {
        let (web, mail) = (set("web"), set("mail"));
        assert!(db.store.put_set(&mail, None, NOW).await.unwrap());
        let generation = led(&db.store, &web).await;
        for (set, at) in [(&web, 0), (&mail, 1)] {
            assert!(db.store.add_slot(&set.address(), generation, &record(set, at)).await.unwrap());
        }
        let broken = |what: &str| format!("UPDATE {what} SET data = '{{}}' WHERE name = 'mail'");
        gantry_store::testing::execute(&db.store, &broken("sets")).await.unwrap();
        gantry_store::testing::execute(&db.store, &broken("set_ordinals")).await.unwrap();
        let names = |rows: Vec<gantry_store::SetRow>| {
            rows.iter().map(|r| r.set.name().to_owned()).collect::<Vec<_>>()
        };
        let led = db.store.lead_sets(&lab(), "one", NOW, LEAD).await.unwrap().all;
        assert_eq!((names(led.rows), led.damaged[0].0.as_str()), (vec!["web".to_owned()], "mail"));
        let slots = db.store.sound_slots(&lab()).await.unwrap();
        assert_eq!((slots.rows.len(), slots.damaged[0].0.as_str()), (1, "mail"));
        assert!(slots.damaged[0].1.contains("does not read back"), "{:?}", slots.damaged);
        // Whoever needs all of them, as before something is deleted, is told.
        assert!(db.store.list_sets(Some(&lab())).await.is_err());
    }
}

both! {
    async fn numbers_of_ordinals_stay_theirs_while_no_guest_has_them(db: Db) {
        let web = set("web");
        let generation = led(&db.store, &web).await;
        let mut zero = record(&web, 0);
        zero.identity.keeper = Some(vmid(799));
        assert!(db.store.add_slot(&web.address(), generation, &zero).await.unwrap());
        assert_eq!(db.store.set_vmids(&lab()).await.unwrap(), [vmid(700), vmid(799)]);
        assert_eq!(db.store.set_vmids(&"other".parse().unwrap()).await.unwrap(), []);
    }
}

both! {
    async fn an_answer_to_a_drift_is_written_with_its_set_or_not_at_all(db: Db) {
        let web = set("web");
        let generation = led(&db.store, &web).await;
        let at = web.address();
        let mut zero = record(&web, 0);
        zero.key = Some("abc".into());
        assert!(db.store.add_slot(&at, generation, &zero).await.unwrap());
        let key = async || db.store.list_slots(&lab(), None).await.unwrap()[0].record.key.clone();
        let clear = |r: &mut SlotRecord| r.key = None;
        assert!(!db.store.put_set_and_slot(&web, 9, NOW, 0, clear).await.unwrap());
        assert_eq!(key().await.as_deref(), Some("abc"), "somebody was quicker with the set");
        assert!(!db.store.put_set_and_slot(&web, 1, NOW, 7, clear).await.unwrap());
        let row = db.store.find_set(&at).await.unwrap().unwrap();
        assert_eq!(row.version, 1, "there is no such ordinal");
        assert!(db.store.put_set_and_slot(&web, 1, NOW, 0, clear).await.unwrap());
        let row = db.store.find_set(&at).await.unwrap().unwrap();
        assert_eq!((key().await, row.version), (None, 2));
    }
}
