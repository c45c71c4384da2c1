//! Nothing moves without its audit row: when the row cannot be written, neither is the move.

use gantry_core::audit::AuditEvent;
use gantry_core::id::UserId;
use gantry_core::operation::{OpState, Operation};
use gantry_store::{AuditFilter, OpFilter, PlanState};

use crate::harness::*;

both! {
    async fn without_its_audit_row_no_state_moves(db: Db) {
        let store = &db.store;
        let open = proposed(store, 1).await;
        let op = started(store, 2).await;
        let lease = store.claim_operation("w", NOW, 30_000).await.unwrap().unwrap();
        let cards = (
            store.find_card(&card(1).id).await.unwrap(),
            store.find_card(&card(2).id).await.unwrap(),
        );
        break_audit(store).await;

        let row = |n, event| audit(n, event, &plan(1));
        let new = plan(3);
        assert!(store.save_plan(&new, &card(3), &row(1, AuditEvent::Proposed)).await.is_err());
        let (fresh, rows) = (operation(&new, 3), [row(2, AuditEvent::Confirmed)]);
        assert!(store.save_started(&new, &card(3), &fresh, &rows).await.is_err());
        let (pressed, confirmed) = (operation(&open, 1), row(3, AuditEvent::Confirmed));
        assert!(store.confirm_plan(&open.id, &pressed, &confirmed).await.is_err());
        assert!(store.drop_plan(&open.id, "x", &row(4, AuditEvent::Dropped)).await.is_err());
        let rows = [row(5, AuditEvent::Dropped)];
        assert!(store.replace_plan(&open.id, "x", &new, &rows).await.is_err());
        let sweep = store.expire_plans(NOW + 2 * LIFE, |_| row(6, AuditEvent::Dropped)).await;
        assert!(sweep.is_err());
        let running = Operation { state: OpState::Running, ..op.clone() };
        let about_to = row(7, AuditEvent::AboutTo);
        let saved = store.save_operation(&running, lease.generation, Some(&about_to)).await;
        assert!(saved.is_err());
        assert!(store.ask_cancel(&op.id, "ada", &row(8, AuditEvent::CancelAsked)).await.is_err());
        assert!(store.append_audit(&row(9, AuditEvent::Denied)).await.is_err());

        mend_audit(store).await;
        let stored = store.find_plan(&open.id).await.unwrap().unwrap();
        assert_eq!(stored.state, PlanState::Open);
        assert_eq!(store.find_plan(&new.id).await.unwrap(), None);
        assert_eq!(store.find_card(&card(3).id).await.unwrap(), None);
        assert_eq!(store.list_operations(&OpFilter::default(), 0, 9).await.unwrap().rows, [op]);
        let after = (
            store.find_card(&card(1).id).await.unwrap(),
            store.find_card(&card(2).id).await.unwrap(),
        );
        assert_eq!(after, cards);
        assert_eq!(store.list_audit(&AuditFilter::default(), 0, 9).await.unwrap().total, 2);
    }

    async fn every_event_is_kept_and_found(db: Db) {
        for (n, event) in (0..).zip(AuditEvent::ALL) {
            let mut row = audit(n, *event, &plan(n % 2));
            if n == 0 {
                (row.user, row.guild, row.channel, row.plan) = (None, None, None, None);
            }
            if n == 3 {
                row.user = Some(UserId(u64::MAX));
                row.operation = Some(operation(&plan(1), 1).id);
            }
            db.store.append_audit(&row).await.unwrap();
            let page = db.store.list_audit(&AuditFilter::default(), 0, 1).await.unwrap();
            assert_eq!((page.rows, page.total), (vec![row], u64::from(n) + 1));
        }
        let count = async |filter: AuditFilter| {
            let page = db.store.list_audit(&filter, 0, 100).await.unwrap();
            assert_eq!(page.rows.len() as u64, page.total);
            page.total
        };
        let plan_1 = Some(plan(1).id);
        let op = Some(operation(&plan(1), 1).id);
        assert_eq!(count(AuditFilter { plan: plan_1.clone(), ..Default::default() }).await, 4);
        assert_eq!(count(AuditFilter { operation: op.clone(), ..Default::default() }).await, 1);
        let max = Some(UserId(u64::MAX));
        assert_eq!(count(AuditFilter { user: max, ..Default::default() }).await, 1);
        let all = AuditFilter { plan: plan_1, operation: op, user: max };
        assert_eq!(count(all.clone()).await, 1);
        assert_eq!(count(AuditFilter { user: Some(UserId(7)), ..all }).await, 0);
        assert_eq!(count(AuditFilter { user: Some(UserId(7)), ..Default::default() }).await, 7);
        let page = db.store.list_audit(&AuditFilter::default(), 6, 100).await.unwrap();
        assert_eq!((page.rows.len(), page.total), (3, 9));
    }

    async fn the_same_row_again_is_one_row_and_another_with_its_id_is_refused(db: Db) {
        let row = audit(1, AuditEvent::Denied, &plan(1));
        db.store.append_audit(&row).await.unwrap();
        db.store.append_audit(&row).await.unwrap();
        assert_eq!(audited(&db.store, AuditEvent::Denied).await, 1);
        let other = audit(1, AuditEvent::Proposed, &plan(1));
        assert!(db.store.append_audit(&other).await.is_err());
        assert_eq!(audited(&db.store, AuditEvent::Proposed).await, 0);
    }
}
