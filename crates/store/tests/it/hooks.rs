//! What webhooks told: kept whole or not at all, taken in once, in order; silences that are mirrored and ended.

use gantry_core::alert::{DutyShift, Heard, HeardState, Mirror, MuteKind, Muting, Severity, Told};
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{AuditId, GuildId, MuteId, UserId};
use gantry_core::policy::Selector;
use gantry_store::{AlertWork, Kept};

use crate::harness::*;

fn heard(key: &str, state: HeardState) -> Heard {
    Heard {
        key: key.into(),
        name: key.into(),
        state,
        at_ms: NOW,
        detail: String::new(),
        cluster: "lab".parse().unwrap(),
        node: None,
        vmid: None,
        task: None,
        told: Told {
            hook: "prom".into(),
            group: "g".into(),
            title: "t".into(),
            severity: Severity::Error,
            runbook: None,
            labels: [("a".to_owned(), "b".to_owned())].into(),
        },
    }
}

fn row(n: u128) -> AuditRow {
    AuditRow {
        id: AuditId::new(NOW, n),
        at_ms: NOW,
        event: AuditEvent::Confirmed,
        user: Some(UserId(7)),
        user_name: "olga".into(),
        guild: Some(GuildId(1)),
        channel: None,
        verb: gantry_core::action::Verb::AlertSilence,
        target: "x".into(),
        plan: None,
        operation: None,
        detail: String::new(),
    }
}

fn mute(n: u128) -> Muting {
    Muting {
        id: MuteId::new(NOW, n),
        guild: GuildId(1),
        kind: MuteKind::Silence,
        rule: None,
        on: Selector::everything(),
        subjects: vec![],
        from_ms: NOW,
        until_ms: NOW + 60_000,
        by: UserId(7),
        by_name: "olga".into(),
        reason: String::new(),
    }
}

both! {
    async fn what_is_told_again_is_counted_and_waits_anew(db: Db) {
        let fired = heard("a", HeardState::Firing);
        let event = heard("e", HeardState::Event);
        let both = [fired.clone(), event.clone()];
        let kept = |new, again| Some(Kept { new, again });
        assert_eq!(db.store.keep_heard(&both, NOW, 10).await.unwrap(), kept(2, 0));
        let waiting = db.store.waiting_heard(10).await.unwrap();
        assert_eq!(waiting.iter().map(|r| &r.heard).collect::<Vec<_>>(), [&fired, &event]);
        assert_eq!(db.store.figures().await.unwrap().hooks_waiting, 2);

        // Told again between being read and being taken in: it is not lost.
        assert_eq!(db.store.keep_heard(&both, NOW + 5, 10).await.unwrap(), kept(0, 2));
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        let taken = waiting.iter().map(|r| (r.id.as_str(), r.seq)).collect();
        let work = AlertWork { desks: vec![], look: None, taken };
        assert!(db.store.save_alerts(lead, &work, NOW + 6).await.unwrap());
        let waiting = db.store.waiting_heard(10).await.unwrap();
        assert_eq!(waiting.iter().map(|r| r.heard.key.as_str()).collect::<Vec<_>>(), ["a"]);

        // Whoever leads no more takes nothing in.
        let taken = waiting.iter().map(|r| (r.id.as_str(), r.seq)).collect();
        let work = AlertWork { desks: vec![], look: None, taken };
        assert!(!db.store.save_alerts(lead + 1, &work, NOW + 7).await.unwrap());
        assert_eq!(db.store.waiting_heard(10).await.unwrap().len(), 1);
    }

    async fn more_than_may_wait_is_refused_whole(db: Db) {
        let two = [heard("a", HeardState::Firing), heard("b", HeardState::Firing)];
        assert_eq!(db.store.keep_heard(&two, NOW, 1).await.unwrap(), None);
        assert!(db.store.waiting_heard(10).await.unwrap().is_empty());
        assert!(db.store.keep_heard(&two, NOW, 2).await.unwrap().is_some());
        assert_eq!(db.store.keep_heard(&two[..1], NOW, 2).await.unwrap(), None);
        db.store.forget_heard(NOW + 1).await.unwrap();
        assert_eq!(db.store.waiting_heard(10).await.unwrap().len(), 2, "what waits is not forgotten");
    }

    async fn a_mirrored_silence_is_worked_on_by_one_and_ended_with_its_own(db: Db) {
        let mut mute = mute(1);
        let mirror = Mirror {
            id: format!("{}-0", mute.id),
            mute: mute.id.clone(),
            hook: "prom".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            from_ms: NOW,
            until_ms: mute.until_ms,
            by: "olga".into(),
            comment: "c".into(),
        };
        db.store.save_mute(&mute, std::slice::from_ref(&mirror), &row(1)).await.unwrap();
        let claimed = db.store.claim_mirror("prom", NOW, NOW + 100).await.unwrap().unwrap();
        assert_eq!((claimed.mirror.clone(), claimed.ending, claimed.attempts), (mirror.clone(), false, 1));
        assert_eq!(db.store.claim_mirror("prom", NOW + 99, NOW + 200).await.unwrap(), None, "one at a time");
        // It ends while it is being made: whoever makes it still notes which it is.
        mute.until_ms = NOW + 50;
        db.store.end_mute(&mute, &row(2)).await.unwrap();
        db.store.mirror_made(&mirror.id, "am-1").await.unwrap();
        let ending = db.store.claim_mirror("prom", NOW + 60, NOW + 200).await.unwrap().unwrap();
        assert_eq!((ending.ending, ending.silence.as_deref()), (true, Some("am-1")));
        db.store.mirror_over(&claimed, Some("late")).await.unwrap();
        assert_eq!(db.store.mirrors_of(&mute.id).await.unwrap()[0].state, "ending", "an old try ends nothing");
        db.store.mirror_retry(&mirror.id, NOW + 300, "no answer").await.unwrap();
        assert_eq!(db.store.claim_mirror("prom", NOW + 299, NOW + 400).await.unwrap(), None);
        let ending = db.store.claim_mirror("prom", NOW + 300, NOW + 400).await.unwrap().unwrap();
        db.store.mirror_over(&ending, None).await.unwrap();
        let state = db.store.mirrors_of(&mute.id).await.unwrap().remove(0);
        assert_eq!((state.state.as_str(), state.last_error), ("ended", None));
        assert!(db.store.list_mutes(GuildId(1), NOW + 51).await.unwrap().is_empty());
    }

    async fn what_a_clock_that_ran_ahead_wrote_is_brought_back(db: Db) {
        let ahead = NOW + 7_200_000;
        let silence = Muting { from_ms: ahead, until_ms: ahead + 60_000, ..mute(1) };
        let mirror = Mirror {
            id: format!("{}-0", silence.id),
            mute: silence.id.clone(),
            hook: "prom".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            from_ms: ahead,
            until_ms: silence.until_ms,
            by: "olga".into(),
            comment: "c".into(),
        };
        db.store.save_mute(&silence, std::slice::from_ref(&mirror), &row(1)).await.unwrap();
        db.store.mirror_retry(&mirror.id, ahead, "no answer").await.unwrap();
        let shift = DutyShift {
            guild: GuildId(1),
            user: UserId(9),
            from_ms: ahead,
            until_ms: ahead + 3_600_000,
            by_name: "olga".into(),
        };
        db.store.add_shift(&shift, ahead, &row(2)).await.unwrap();
        assert_eq!(db.store.claim_mirror("prom", NOW, NOW + 100).await.unwrap(), None);
        for _ in 0..2 {
            db.store.bring_back(NOW).await.unwrap();
            let mute = db.store.list_mutes(GuildId(1), NOW).await.unwrap().remove(0);
            assert_eq!((mute.from_ms, mute.until_ms), (NOW, NOW + 60_000), "as long as it was meant");
            let shift = db.store.list_shifts(GuildId(1), NOW).await.unwrap().remove(0);
            assert_eq!((shift.from_ms, shift.until_ms), (NOW, NOW + 3_600_000));
        }
        assert!(db.store.list_mutes(GuildId(1), NOW + 60_000).await.unwrap().is_empty());
        assert!(db.store.claim_mirror("prom", NOW, NOW + 100).await.unwrap().is_some());
    }

    async fn a_hook_that_does_not_answer_keeps_no_other_waiting(db: Db) {
        let mute = mute(1);
        let mirror = |n: i64, hook: &str| Mirror {
            id: format!("{}-{n}", mute.id),
            mute: mute.id.clone(),
            hook: hook.into(),
            labels: [("a".to_owned(), n.to_string())].into(),
            from_ms: NOW,
            until_ms: mute.until_ms,
            by: "olga".into(),
            comment: "c".into(),
        };
        let all = [mirror(0, "gone"), mirror(1, "slow"), mirror(2, "slow"), mirror(3, "prom")];
        db.store.save_mute(&mute, &all, &row(1)).await.unwrap();
        for n in [1, 2] {
            let slow = db.store.claim_mirror("slow", NOW, NOW + 100).await.unwrap().unwrap();
            assert_eq!(slow.mirror, all[n]);
        }
        let other = db.store.claim_mirror("prom", NOW, NOW + 100).await.unwrap().unwrap();
        assert_eq!(other.mirror, all[3]);
        // One of a hook that nobody works on any more waits no longer than it was to hold.
        db.store.end_lapsed_mirrors(mute.until_ms - 1).await.unwrap();
        let waiting = async || db.store.figures().await.unwrap().mirrors_waiting;
        assert_eq!(waiting().await, 4);
        db.store.end_lapsed_mirrors(mute.until_ms).await.unwrap();
        assert_eq!(waiting().await, 0);
    }

    async fn two_that_tell_the_same_in_another_order_do_not_block_each_other(db: Db) {
        let all: Vec<Heard> = (0..60).map(|n| heard(&format!("k{n}"), HeardState::Firing)).collect();
        let turned: Vec<Heard> = all.iter().rev().cloned().collect();
        db.store.keep_heard(&all, NOW, 1000).await.unwrap();
        for n in 0..10 {
            let (a, b) = tokio::join!(
                db.store.keep_heard(&all, NOW + n, 1000),
                db.store.keep_heard(&turned, NOW + n, 1000),
            );
            assert_eq!(a.unwrap().unwrap().again, 60);
            assert_eq!(b.unwrap().unwrap().again, 60);
        }
        // Each is taken in in the order in which it was told last.
        let waiting = db.store.waiting_heard(100).await.unwrap();
        assert_eq!(waiting.len(), 60);
        let once = [heard("z", HeardState::Firing), heard("a", HeardState::Firing)];
        db.store.keep_heard(&once, NOW + 99_000, 1000).await.unwrap();
        let waiting = db.store.waiting_heard(100).await.unwrap();
        let last: Vec<&str> = waiting[60..].iter().map(|r| r.heard.key.as_str()).collect();
        assert_eq!(last, ["z", "a"], "as they were said");
    }
}

both! {
    async fn what_one_hook_told_since_a_moment_is_read_newest_first(db: Db) {
        let mut other = heard("x", HeardState::Event);
        other.told.hook = "pve".into();
        db.store.keep_heard(&[heard("a", HeardState::Firing)], NOW, 10).await.unwrap();
        db.store.keep_heard(&[heard("b", HeardState::Firing), other], NOW + 5, 10).await.unwrap();
        let row = db.store.waiting_heard(1).await.unwrap().remove(0);
        let taken = vec![(row.id.as_str(), row.seq)];
        let work = AlertWork { desks: Vec::new(), look: None, taken };
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        assert!(db.store.save_alerts(lead, &work, NOW + 9).await.unwrap());
        let keys = async |since| -> Vec<(i64, String)> {
            let all = db.store.heard_since("prom", since).await.unwrap();
            all.into_iter().map(|(at, heard)| (at, heard.key)).collect()
        };
        let (a, b) = ((NOW, "a".to_owned()), (NOW + 5, "b".to_owned()));
        assert_eq!(keys(0).await, [b.clone(), a], "taken in or not");
        assert_eq!(keys(NOW + 1).await, [b]);
        assert_eq!(keys(NOW + 6).await, []);
    }
}
