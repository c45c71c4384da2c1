//! Plans are carried out at most once, whoever presses and however often.

use futures::future::join_all;
use gantry_core::audit::AuditEvent;
use gantry_core::id::PlanId;
use gantry_store::{Confirmation, OpFilter, PlanState};

use crate::harness::*;

both! {
    async fn a_shown_plan_reads_back(db: Db) {
        let plan = proposed(&db.store, 1).await;
        let stored = db.store.find_plan(&plan.id).await.unwrap().unwrap();
        assert_eq!(stored.plan, plan);
        assert_eq!(stored.state, PlanState::Open);
        assert_eq!(stored.card, card(1).id);
        let shown = db.store.find_card_of_plan(&plan.id).await.unwrap().unwrap();
        assert_eq!((shown.wanted, shown.shown, shown.created_ms), (0, 0, plan.created_ms));
        assert_eq!(audited(&db.store, AuditEvent::Proposed).await, 1);
        assert_eq!(db.store.find_plan(&PlanId::new(NOW, 999)).await.unwrap(), None);
    }

    async fn pressed_by_32_at_once_it_starts_once(db: Db) {
        let plan = proposed(&db.store, 1).await;
        let presses = (0..32).map(|m| {
            let (store, plan) = (db.store.clone(), plan.clone());
            tokio::spawn(async move { confirm(&store, &plan, m).await })
        });
        let answers: Vec<_> = join_all(presses).await.into_iter().map(Result::unwrap).collect();
        let started = answers.iter().filter(|a| **a == Confirmation::Started).count();
        assert_eq!(started, 1, "{answers:?}");
        let ops = db.store.list_operations(&OpFilter::default(), 0, 100).await.unwrap();
        assert_eq!(ops.total, 1);
        let the_one = Confirmation::Already(ops.rows[0].id.clone());
        assert!(answers.iter().all(|a| *a == Confirmation::Started || *a == the_one));
        assert_eq!(audited(&db.store, AuditEvent::Confirmed).await, 1);
        let card = db.store.find_card_of_operation(&ops.rows[0].id).await.unwrap().unwrap();
        assert_eq!(card.wanted, 1);
    }

    async fn dropped_and_confirmed_at_once_only_one_happens(db: Db) {
        for n in 0..20 {
            let plan = proposed(&db.store, n).await;
            let drop = {
                let (store, plan) = (db.store.clone(), plan.clone());
                let row = audit(30_000 + n, AuditEvent::Dropped, &plan);
                tokio::spawn(async move { store.drop_plan(&plan.id, "cancelled by ada", &row).await })
            };
            let press = {
                let (store, plan) = (db.store.clone(), plan.clone());
                tokio::spawn(async move { confirm(&store, &plan, n).await })
            };
            let dropped = drop.await.unwrap().unwrap();
            let confirmed = press.await.unwrap();
            let state = db.store.find_plan(&plan.id).await.unwrap().unwrap().state;
            if dropped {
                let why = "cancelled by ada".to_owned();
                assert_eq!(confirmed, Confirmation::Dropped(why.clone()));
                assert_eq!(state, PlanState::Dropped(why));
            } else {
                assert_eq!(confirmed, Confirmation::Started);
                assert_eq!(state, PlanState::Confirmed(operation(&plan, n).id));
            }
            let ops = db.store.list_operations(&OpFilter::default(), 0, 1000).await.unwrap();
            assert_eq!(ops.rows.iter().any(|o| o.plan == plan.id), !dropped);
        }
        let both = audited(&db.store, AuditEvent::Dropped).await
            + audited(&db.store, AuditEvent::Confirmed).await;
        assert_eq!(both, 20);
    }

    async fn a_newer_plan_takes_the_card_over(db: Db) {
        let old = proposed(&db.store, 1).await;
        let new = plan(2);
        let rows = [audit(1, AuditEvent::Dropped, &old), audit(2, AuditEvent::Proposed, &new)];
        assert!(db.store.replace_plan(&old.id, "the world changed", &new, &rows).await.unwrap());
        let again = plan(3);
        assert!(!db.store.replace_plan(&old.id, "again", &again, &[]).await.unwrap());
        assert_eq!(db.store.find_plan(&again.id).await.unwrap(), None);

        let stored = db.store.find_plan(&old.id).await.unwrap().unwrap();
        assert_eq!(stored.state, PlanState::Dropped("the world changed".into()));
        let taken = db.store.find_card(&card(1).id).await.unwrap().unwrap();
        assert_eq!((&taken.about, taken.wanted), (&gantry_store::CardAbout::Plan(new.id.clone()), 1));
        // Whoever still looks for the old plan's card finds the same message.
        assert_eq!(db.store.find_card_of_plan(&old.id).await.unwrap().as_ref(), Some(&taken));
        assert_eq!(confirm(&db.store, &old, 1).await, Confirmation::Dropped("the world changed".into()));
        assert_eq!(confirm(&db.store, &new, 2).await, Confirmation::Started);
        let card = db.store.find_card_of_operation(&operation(&new, 2).id).await.unwrap().unwrap();
        assert_eq!((card.id, card.wanted), (taken.id, 2));
    }

    async fn plans_expire_with_an_audit_row_each(db: Db) {
        for n in 0..120 {
            proposed(&db.store, n).await;
        }
        let confirmed = plan(5);
        assert_eq!(confirm(&db.store, &confirmed, 5).await, Confirmation::Started);
        let drop_row = |plan: &gantry_core::plan::Plan| {
            let n = u32::try_from(plan.created_ms - NOW).unwrap();
            audit(40_000 + n, AuditEvent::Dropped, plan)
        };
        assert_eq!(db.store.expire_plans(NOW + LIFE - 1, drop_row).await.unwrap(), 0);
        assert_eq!(db.store.expire_plans(NOW + LIFE, drop_row).await.unwrap(), 1);
        // A sweep takes at most 100.
        assert_eq!(db.store.expire_plans(NOW + 2 * LIFE, drop_row).await.unwrap(), 100);
        assert_eq!(db.store.expire_plans(NOW + 2 * LIFE, drop_row).await.unwrap(), 18);
        assert_eq!(db.store.expire_plans(NOW + 2 * LIFE, drop_row).await.unwrap(), 0);
        assert_eq!(audited(&db.store, AuditEvent::Dropped).await, 119);
        let stored = db.store.find_plan(&plan(0).id).await.unwrap().unwrap();
        assert_eq!(stored.state, PlanState::Dropped("expired".into()));
        assert_eq!(db.store.find_card(&card(0).id).await.unwrap().unwrap().wanted, 1);
        let stored = db.store.find_plan(&confirmed.id).await.unwrap().unwrap();
        assert!(matches!(stored.state, PlanState::Confirmed(_)));
    }

    async fn a_plan_over_its_time_starts_nothing_even_before_the_sweep(db: Db) {
        let plan = proposed(&db.store, 1).await;
        let mut op = operation(&plan, 1);
        op.created_ms = plan.expires_ms;
        let row = audit(1, AuditEvent::Confirmed, &plan);
        let answer = db.store.confirm_plan(&plan.id, &op, &row).await.unwrap();
        assert_eq!(answer, Confirmation::Dropped("expired".into()));
        assert_eq!(db.store.find_operation(&op.id).await.unwrap(), None);
        assert_eq!(audited(&db.store, AuditEvent::Confirmed).await, 0);
        op.created_ms = plan.expires_ms - 1;
        let answer = db.store.confirm_plan(&plan.id, &op, &row).await.unwrap();
        assert_eq!(answer, Confirmation::Started);
    }

    async fn a_plan_nobody_made_is_not_found(db: Db) {
        assert_eq!(confirm(&db.store, &plan(1), 1).await, Confirmation::NotFound);
        let row = audit(1, AuditEvent::Dropped, &plan(1));
        assert!(!db.store.drop_plan(&plan(1).id, "x", &row).await.unwrap());
        assert_eq!(audited(&db.store, AuditEvent::Dropped).await, 0);
    }

    async fn what_needs_no_confirmation_starts_with_a_card_to_show(db: Db) {
        let op = started(&db.store, 1).await;
        let stored = db.store.find_plan(&op.plan).await.unwrap().unwrap();
        assert_eq!(stored.state, PlanState::Confirmed(op.id.clone()));
        assert_eq!(db.store.find_operation(&op.id).await.unwrap().as_ref(), Some(&op));
        let card = db.store.find_card_of_operation(&op.id).await.unwrap().unwrap();
        assert_eq!((card.wanted, card.shown), (1, 0));
        assert_eq!(confirm(&db.store, &plan(1), 9).await, Confirmation::Already(op.id));
    }
}
