//! Operations: each is worked on by one worker at a time, and what a worker that lost it writes is refused.

use std::collections::HashSet;

use gantry_core::action::{Action, GuestRef};
use gantry_core::audit::AuditEvent;
use gantry_core::operation::{OpState, Operation, Outcome};
use gantry_core::pod::{Network, PodSpec, PodTemplate, Root};
use gantry_store::{OpFilter, StoreError};

use crate::harness::*;

const LEASE: i64 = 30_000;
/// Longer than any test here takes, and shorter than what a clock that was set back would leave.
const HALF_AN_HOUR: i64 = 30 * 60 * 1000;

fn running(op: &Operation) -> Operation {
    Operation { state: OpState::Running, started_ms: Some(NOW), ..op.clone() }
}

fn ended(op: &Operation, state: OpState) -> Operation {
    let outcome = Outcome {
        summary: "done".into(),
        reason: Some("OK".into()),
        log: vec![],
        now: "it is stopped".into(),
        now_ms: Some(NOW),
        advice: None,
    };
    Operation { state, ended_ms: Some(NOW + 5), outcome: Some(outcome), ..op.clone() }
}

pub fn pod(name: &str) -> PodSpec {
    PodSpec {
        name: name.into(),
        node: Some("pve1".parse().unwrap()),
        template: PodTemplate {
            image: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst".into(),
            cores: 2,
            memory_mib: 1024,
            root: Root { storage: Some("local-lvm".parse().unwrap()), size_gib: 8 },
            networks: vec![Network::dhcp("vmbr0")],
            ..PodTemplate::default()
        },
    }
}

both! {
    async fn eight_workers_claim_five_hundred_once_each(db: Db) {
        for n in 0..500 {
            started(&db.store, n).await;
        }
        let workers = (0..8).map(|w| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                let owner = format!("worker-{w}");
                while let Some(lease) = store.claim_operation(&owner, NOW, LEASE).await.unwrap() {
                    assert_eq!(lease.generation, 1);
                    mine.push(lease.operation.id);
                }
                mine
            })
        });
        let mut all = Vec::new();
        for worker in workers.collect::<Vec<_>>() {
            all.extend(worker.await.unwrap());
        }
        assert_eq!(all.len(), 500);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 500);
    }

    async fn the_oldest_is_claimed_first_and_ended_ones_never(db: Db) {
        let (old, new) = (started(&db.store, 1).await, started(&db.store, 2).await);
        let first = db.store.claim_operation("a", NOW, LEASE).await.unwrap().unwrap();
        assert_eq!(first.operation, old);
        assert!(db.store.save_operation(&running(&old), 1, None).await.unwrap());
        let over = ended(&running(&old), OpState::Succeeded);
        assert!(db.store.save_operation(&over, 1, None).await.unwrap());
        let second = db.store.claim_operation("a", NOW + LEASE, LEASE).await.unwrap().unwrap();
        assert_eq!(second.operation, new);
        assert_eq!(db.store.claim_operation("a", NOW + LEASE, LEASE).await.unwrap(), None);
        assert!(!db.store.renew(&old.id, 1, NOW, LEASE).await.unwrap());
    }

    async fn a_worker_that_slept_through_its_lease_changes_nothing(db: Db) {
        let op = started(&db.store, 1).await;
        let slow = db.store.claim_operation("slow", NOW, LEASE).await.unwrap().unwrap();
        assert_eq!(db.store.claim_operation("quick", NOW + LEASE - 1, LEASE).await.unwrap(), None);
        assert!(db.store.renew(&op.id, slow.generation, NOW + 10, LEASE).await.unwrap());
        assert_eq!(db.store.claim_operation("quick", NOW + LEASE, LEASE).await.unwrap(), None);
        let quick =
            db.store.claim_operation("quick", NOW + LEASE + 10, LEASE).await.unwrap().unwrap();
        assert_eq!(quick.generation, slow.generation + 1);

        let wanted = |db: &Db| {
            let store = db.store.clone();
            async move { store.find_card(&card(1).id).await.unwrap().unwrap().wanted }
        };
        let before = wanted(&db).await;
        let row = audit(1, AuditEvent::AboutTo, &plan(1));
        let late = ended(&running(&op), OpState::Failed);
        assert!(!db.store.save_operation(&late, slow.generation, Some(&row)).await.unwrap());
        assert!(!db.store.renew(&op.id, slow.generation, NOW, LEASE).await.unwrap());
        assert!(!db.store.release(&op.id, slow.generation).await.unwrap());
        assert_eq!(db.store.find_operation(&op.id).await.unwrap().unwrap(), op);
        assert_eq!(audited(&db.store, AuditEvent::AboutTo).await, 0);
        assert_eq!(wanted(&db).await, before);

        assert!(db.store.save_operation(&running(&op), quick.generation, Some(&row)).await.unwrap());
        assert_eq!(audited(&db.store, AuditEvent::AboutTo).await, 1);
        assert_eq!(wanted(&db).await, before + 1);
    }

    async fn a_released_operation_is_had_at_once(db: Db) {
        let op = started(&db.store, 1).await;
        let lease = db.store.claim_operation("a", NOW, LEASE).await.unwrap().unwrap();
        assert!(db.store.release(&op.id, lease.generation).await.unwrap());
        let next = db.store.claim_operation("b", NOW, LEASE).await.unwrap().unwrap();
        assert_eq!(next.generation, 2);
    }

    async fn moves_that_no_state_leads_to_are_refused(db: Db) {
        let mut n = 0;
        for from in OpState::ALL {
            for to in OpState::ALL {
                n += 1;
                let mut op = started(&db.store, n).await;
                // Those that stay open keep their lease, and each claim takes the next.
                let mut claimed = None;
                for _ in 0..=n {
                    let lease = db.store.claim_operation("a", NOW, HALF_AN_HOUR).await.unwrap().unwrap();
                    if lease.operation.id == op.id {
                        claimed = Some(lease);
                        break;
                    }
                }
                let lease = claimed.unwrap();
                if *from != OpState::Queued {
                    op = running(&op);
                    assert!(db.store.save_operation(&op, lease.generation, None).await.unwrap());
                }
                if from.is_terminal() {
                    op = ended(&op, *from);
                    assert!(db.store.save_operation(&op, lease.generation, None).await.unwrap());
                }
                let mut moved = Operation { state: *to, ..op.clone() };
                moved.name = "moved".into();
                let answer = db.store.save_operation(&moved, lease.generation, None).await;
                let stored = db.store.find_operation(&op.id).await.unwrap().unwrap();
                let waits = *from == OpState::Queued && to == from;
                if waits || from.may_become(*to) {
                    assert_eq!((answer, stored), (Ok(true), moved), "{from:?} to {to:?}");
                } else {
                    let operation = op.id.clone();
                    let refused = StoreError::IllegalMove { operation, from: *from, to: *to };
                    assert_eq!((answer, stored), (Err(refused), op), "{from:?} to {to:?}");
                }
            }
        }
    }

    async fn saving_the_end_twice_is_the_same_end(db: Db) {
        let op = started(&db.store, 1).await;
        let lease = db.store.claim_operation("a", NOW, LEASE).await.unwrap().unwrap();
        let over = ended(&running(&op), OpState::Succeeded);
        assert!(db.store.save_operation(&running(&op), lease.generation, None).await.unwrap());
        let row = audit(1, AuditEvent::Ended, &plan(1));
        for _ in 0..2 {
            assert!(db.store.save_operation(&over, lease.generation, Some(&row)).await.unwrap());
        }
        assert_eq!(audited(&db.store, AuditEvent::Ended).await, 1);
        // Only the very same end: another one is an illegal move.
        let other = Operation { ended_ms: Some(1), ..over };
        assert!(db.store.save_operation(&other, lease.generation, None).await.is_err());
    }

    async fn a_wish_to_stop_survives_the_worker_that_does_not_know_of_it(db: Db) {
        let op = started(&db.store, 1).await;
        let lease = db.store.claim_operation("a", NOW, LEASE).await.unwrap().unwrap();
        let wanted = db.store.find_card(&card(1).id).await.unwrap().unwrap().wanted;
        let row = |n| audit(n, AuditEvent::CancelAsked, &plan(1));
        assert!(db.store.ask_cancel(&op.id, "grace", &row(1)).await.unwrap());
        assert!(!db.store.ask_cancel(&op.id, "linus", &row(2)).await.unwrap());
        assert_eq!(audited(&db.store, AuditEvent::CancelAsked).await, 1);
        assert_eq!(db.store.find_card(&card(1).id).await.unwrap().unwrap().wanted, wanted + 1);

        assert!(db.store.save_operation(&running(&op), lease.generation, None).await.unwrap());
        let stored = db.store.find_operation(&op.id).await.unwrap().unwrap();
        assert_eq!((stored.state, stored.cancel_by.as_deref()), (OpState::Running, Some("grace")));
        let again = db.store.claim_operation("b", NOW + LEASE, LEASE).await.unwrap().unwrap();
        assert_eq!(again.operation.cancel_by.as_deref(), Some("grace"));

        let over = ended(&stored, OpState::Cancelled);
        assert!(db.store.save_operation(&over, again.generation, None).await.unwrap());
        assert!(!db.store.ask_cancel(&op.id, "grace", &row(3)).await.unwrap());
        assert_eq!(audited(&db.store, AuditEvent::CancelAsked).await, 1);
    }

    async fn two_pods_never_reserve_the_same_number(db: Db) {
        let mut leases = Vec::new();
        for n in 1..=2 {
            let mut plan = plan(n);
            plan.action = Action::CreatePod { cluster: lab(), spec: Box::new(pod("web")), placed: None, fetch: None };
            let op = operation(&plan, n);
            let row = audit(n, AuditEvent::Confirmed, &plan);
            db.store.save_started(&plan, &card(n), &op, &[row]).await.unwrap();
            leases.push(db.store.claim_operation("a", NOW, LEASE).await.unwrap().unwrap());
        }
        assert_eq!(db.store.reserved_vmids(&lab()).await.unwrap(), []);
        let with = |i: usize, n| Operation { vmid: Some(vmid(n)), ..running(&leases[i].operation) };
        assert!(db.store.save_operation(&with(0, 300), 1, None).await.unwrap());
        let error = db.store.save_operation(&with(1, 300), 1, None).await.unwrap_err();
        assert!(error.is_taken(), "{error}");
        assert!(db.store.save_operation(&with(1, 301), 1, None).await.unwrap());
        assert_eq!(db.store.reserved_vmids(&lab()).await.unwrap(), [vmid(300), vmid(301)]);
        let other = "other".parse().unwrap();
        assert_eq!(db.store.reserved_vmids(&other).await.unwrap(), []);
        // An ended operation reserves nothing.
        let over = ended(&with(0, 300), OpState::Succeeded);
        assert!(db.store.save_operation(&over, 1, None).await.unwrap());
        assert_eq!(db.store.reserved_vmids(&lab()).await.unwrap(), [vmid(301)]);
        assert!(db.store.save_operation(&with(1, 300), 1, None).await.unwrap());
        // It is found by the guest it creates.
        let guest = GuestRef { cluster: lab(), vmid: vmid(300) };
        let filter = OpFilter { guest: Some(guest), ..OpFilter::default() };
        assert_eq!(db.store.list_operations(&filter, 0, 10).await.unwrap().total, 2);
    }

    async fn lists_come_newest_first_in_pages(db: Db) {
        for n in 0..25 {
            started(&db.store, n).await;
        }
        let lease = db.store.claim_operation("a", NOW, LEASE).await.unwrap().unwrap();
        let over = ended(&lease.operation, OpState::Failed);
        assert!(db.store.save_operation(&over, 1, None).await.unwrap());
        let all = OpFilter::default();
        let page = db.store.list_operations(&all, 0, 10).await.unwrap();
        let names: Vec<_> = page.rows.iter().map(|o| o.name.as_str()).collect();
        assert_eq!((names[0], names[9], page.total), ("web-24", "web-15", 25));
        let last = db.store.list_operations(&all, 20, 10).await.unwrap();
        assert_eq!((last.rows.len(), last.rows[4].name.as_str(), last.total), (5, "web-0", 25));
        let open = OpFilter { open_only: true, ..OpFilter::default() };
        assert_eq!(db.store.list_operations(&open, 0, 5).await.unwrap().total, 24);
        let guest = Some(GuestRef { cluster: lab(), vmid: vmid(203) });
        let one = OpFilter { open_only: true, guest, cluster: Some(lab()), turn: None };
        let page = db.store.list_operations(&one, 0, 5).await.unwrap();
        assert_eq!((page.rows[0].name.as_str(), page.total), ("web-3", 1));
        let elsewhere = OpFilter { cluster: Some("other".parse().unwrap()), ..OpFilter::default() };
        assert_eq!(db.store.list_operations(&elsewhere, 0, 5).await.unwrap().total, 0);
        let contradiction = OpFilter { cluster: elsewhere.cluster, ..one };
        assert_eq!(db.store.list_operations(&contradiction, 0, 5).await.unwrap().total, 0);
    }
}
