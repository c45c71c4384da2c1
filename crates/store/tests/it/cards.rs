//! Cards: people end up seeing the newest version, and never more edits than needed.

use std::collections::HashSet;

use gantry_core::id::{ChannelId, MessageId};
use gantry_core::operation::OpState;

use crate::harness::*;

const LEASE: i64 = 10_000;
const GRACE: i64 = 5_000;

both! {
    async fn what_was_skipped_in_between_is_never_shown(db: Db) {
        let op = started(&db.store, 0).await;
        let id = card(0).id;
        db.store.card_posted(&id, ChannelId(9), MessageId(77)).await.unwrap();
        let lease = db.store.claim_operation("w", NOW, LEASE).await.unwrap().unwrap();
        let mut running = op.clone();
        running.state = OpState::Running;
        for _ in 0..5 {
            assert!(db.store.save_operation(&running, lease.generation, None).await.unwrap());
        }
        let claimed = db.store.claim_card("c", NOW, LEASE, GRACE).await.unwrap().unwrap();
        assert_eq!((claimed.wanted, claimed.shown), (6, 0));
        assert_eq!((claimed.channel, claimed.message), (ChannelId(9), Some(MessageId(77))));
        assert_eq!(db.store.claim_card("d", NOW, LEASE, GRACE).await.unwrap(), None);

        // While it is being shown, something newer comes.
        assert!(db.store.save_operation(&running, lease.generation, None).await.unwrap());
        db.store.card_shown(&id, "c", claimed.wanted, NOW + 1_000).await.unwrap();
        assert_eq!(db.store.claim_card("c", NOW + 999, LEASE, GRACE).await.unwrap(), None);
        let newer = db.store.claim_card("c", NOW + 1_000, LEASE, GRACE).await.unwrap().unwrap();
        assert_eq!((newer.wanted, newer.shown), (7, 6));
        db.store.card_shown(&id, "c", newer.wanted, NOW + 2_000).await.unwrap();
        assert_eq!(db.store.claim_card("c", NOW + 99_000, LEASE, GRACE).await.unwrap(), None);
        // A straggler does not turn time back.
        db.store.card_shown(&id, "c", 3, NOW).await.unwrap();
        assert_eq!(db.store.find_card(&id).await.unwrap().unwrap().shown, 7);
    }

    async fn a_card_whose_message_is_not_told_waits_for_the_grace(db: Db) {
        started(&db.store, 0).await;
        assert_eq!(db.store.claim_card("c", NOW + GRACE - 1, LEASE, GRACE).await.unwrap(), None);
        let card = db.store.claim_card("c", NOW + GRACE, LEASE, GRACE).await.unwrap().unwrap();
        assert_eq!(card.message, None);
    }

    async fn a_courier_that_died_is_replaced_when_its_claim_ends(db: Db) {
        started(&db.store, 0).await;
        let id = card(0).id;
        db.store.card_posted(&id, ChannelId(2), MessageId(77)).await.unwrap();
        assert!(db.store.claim_card("c", NOW, LEASE, GRACE).await.unwrap().is_some());
        assert_eq!(db.store.claim_card("d", NOW + LEASE - 1, LEASE, GRACE).await.unwrap(), None);
        assert!(db.store.claim_card("d", NOW + LEASE, LEASE, GRACE).await.unwrap().is_some());
    }

    async fn failures_are_counted_and_waited_out(db: Db) {
        started(&db.store, 0).await;
        let id = card(0).id;
        db.store.card_posted(&id, ChannelId(2), MessageId(77)).await.unwrap();
        for n in 0..3 {
            let at = NOW + n * 100;
            let claimed = db.store.claim_card("c", at, LEASE, GRACE).await.unwrap().unwrap();
            assert_eq!(i64::from(claimed.attempts), n);
            db.store.card_retry(&id, "c", at + 100, "503").await.unwrap();
            assert_eq!(db.store.claim_card("c", at + 99, LEASE, GRACE).await.unwrap(), None);
        }
        let row = db.store.find_card(&id).await.unwrap().unwrap();
        assert_eq!((row.attempts, row.last_error.as_deref()), (3, Some("503")));
        db.store.card_shown(&id, "c", 1, NOW).await.unwrap();
        let row = db.store.find_card(&id).await.unwrap().unwrap();
        assert_eq!((row.attempts, row.last_error), (0, None));
    }

    async fn a_deleted_message_is_posted_anew(db: Db) {
        started(&db.store, 0).await;
        let id = card(0).id;
        db.store.card_posted(&id, ChannelId(2), MessageId(77)).await.unwrap();
        db.store.card_shown(&id, "c", 1, NOW + 60_000).await.unwrap();
        db.store.card_lost(&id).await.unwrap();
        let again = db.store.claim_card("c", NOW + GRACE, LEASE, GRACE).await.unwrap().unwrap();
        assert_eq!((again.message, again.wanted, again.shown), (None, 1, 0));
    }

    async fn a_card_given_up_is_left_alone(db: Db) {
        let op = started(&db.store, 0).await;
        let id = card(0).id;
        db.store.card_posted(&id, ChannelId(2), MessageId(77)).await.unwrap();
        db.store.card_given_up(&id, "c", "the channel is gone").await.unwrap();
        let row = audit(1, gantry_core::audit::AuditEvent::CancelAsked, &plan(0));
        assert!(db.store.ask_cancel(&op.id, "ada", &row).await.unwrap());
        assert_eq!(db.store.claim_card("c", NOW + 99_000, LEASE, GRACE).await.unwrap(), None);
        let row = db.store.find_card(&id).await.unwrap().unwrap();
        assert!(row.given_up);
        assert_eq!(row.last_error.as_deref(), Some("the channel is gone"));
    }

    async fn a_card_that_is_being_sent_is_kept_and_who_lost_it_changes_nothing(db: Db) {
        started(&db.store, 0).await;
        let id = card(0).id;
        db.store.card_posted(&id, ChannelId(2), MessageId(77)).await.unwrap();
        assert!(db.store.cards_pending().await.unwrap());
        let mine = db.store.claim_card("c", NOW, LEASE, GRACE).await.unwrap().unwrap();
        // Kept before the lease runs out: nobody else gets it.
        assert!(db.store.keep_card(&id, "c", NOW + LEASE - 1, LEASE).await.unwrap());
        assert_eq!(db.store.claim_card("d", NOW + LEASE, LEASE, GRACE).await.unwrap(), None);
        // Not kept: another one shows it, and the first can neither keep it nor note anything.
        let late = NOW + 3 * LEASE;
        let theirs = db.store.claim_card("d", late, LEASE, GRACE).await.unwrap().unwrap();
        assert!(!db.store.keep_card(&id, "c", late, LEASE).await.unwrap());
        db.store.card_retry(&id, "c", late, "503").await.unwrap();
        db.store.card_given_up(&id, "c", "gone").await.unwrap();
        db.store.card_shown(&id, "c", mine.wanted, late).await.unwrap();
        assert_eq!(db.store.claim_card("e", late, LEASE, GRACE).await.unwrap(), None);
        db.store.card_shown(&id, "d", theirs.wanted, late).await.unwrap();
        // The first one's edit came last and is older: the card is shown once more.
        let again = db.store.claim_card("d", late, LEASE, GRACE).await.unwrap().unwrap();
        assert_eq!((again.wanted, again.attempts), (theirs.wanted + 1, 0));
        db.store.card_shown(&id, "d", again.wanted, late).await.unwrap();
        assert!(!db.store.cards_pending().await.unwrap());
    }

    async fn an_answer_holds_its_card_until_it_stands(db: Db) {
        started(&db.store, 0).await;
        let id = card(0).id;
        let late = NOW + GRACE;
        assert!(db.store.keep_card(&id, "c", NOW + GRACE - 1, LEASE).await.unwrap());
        assert_eq!(db.store.claim_card("d", late, LEASE, GRACE).await.unwrap(), None);
        db.store.card_answered(&id, "c", ChannelId(2), MessageId(77)).await.unwrap();
        let card = db.store.claim_card("d", late, LEASE, GRACE).await.unwrap().unwrap();
        assert_eq!(card.message, Some(MessageId(77)));
        // An answer that comes even later does not take the card from who shows it.
        db.store.card_answered(&id, "c", ChannelId(2), MessageId(78)).await.unwrap();
        assert_eq!(db.store.claim_card("c", late, LEASE, GRACE).await.unwrap(), None);
    }

    async fn a_lease_from_before_the_clock_was_set_back_counts_as_lapsed(db: Db) {
        let op = started(&db.store, 0).await;
        let id = card(0).id;
        db.store.card_posted(&id, ChannelId(2), MessageId(77)).await.unwrap();
        let ahead = NOW + 2 * 60 * 60 * 1000;
        assert!(db.store.claim_card("c", ahead, LEASE, GRACE).await.unwrap().is_some());
        assert!(db.store.claim_operation("w", ahead, LEASE).await.unwrap().is_some());
        assert!(db.store.claim_card("d", NOW, LEASE, GRACE).await.unwrap().is_some());
        let taken = db.store.claim_operation("x", NOW, LEASE).await.unwrap().unwrap();
        assert_eq!(taken.operation.id, op.id);
        assert_eq!(db.store.claim_operation("w", NOW, LEASE).await.unwrap().map(|l| l.generation), None);
    }

    async fn couriers_never_share_a_card(db: Db) {
        for n in 0..100 {
            started(&db.store, n).await;
        }
        let couriers = (0..4).map(|c| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let (mut mine, owner) = (Vec::new(), format!("courier-{c}"));
                let now = NOW + 60_000;
                while let Some(card) = store.claim_card(&owner, now, LEASE, GRACE).await.unwrap() {
                    mine.push(card.id);
                }
                mine
            })
        });
        let mut all = Vec::new();
        for courier in couriers.collect::<Vec<_>>() {
            all.extend(courier.await.unwrap());
        }
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (100, 100));
    }
}
