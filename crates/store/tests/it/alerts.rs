//! What the alert desks keep: one step at once, fenced by the lease, with messages that are made once.

use gantry_core::alert::{
    Ack, Book, Desk, Duty, Metric, Phase, Reading, Route, Rules, Sample, Severity, Subject,
    defaults,
};
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{AuditId, ChannelId, ClusterId, GuildId, IncidentId, UserId};
use gantry_store::{AlertWork, CardAbout, DeskWork};

use crate::harness::*;

const GUILD: GuildId = GuildId(1);

fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

/// A desk whose one alert fires.
fn desk() -> Desk {
    let mut desk = Desk {
        route: Route {
            guild: GUILD,
            channel: ChannelId(2),
            clusters: vec![],
            least: Severity::Info,
            mention_from: Severity::Critical,
            mention: None,
            quiet: None,
            per_hour: 9,
            cooldown_ms: 0,
            escalation: vec![],
            duty: Duty::default(),
            threads: true,
            reports: vec![],
        },
        rules: Rules {
            rules: defaults().rules.into_iter().filter(|r| r.id == "quorum-lost").collect(),
        },
        mutes: vec![],
        book: Book::default(),
        incidents: std::collections::BTreeMap::new(),
    };
    for at_ms in [NOW, NOW + 60_000] {
        let sample = Sample::new(Subject::cluster(&lab()), Metric::NoQuorum, 1.0);
        let reading = Reading {
            cluster: lab(),
            at_ms,
            covers: vec![Metric::NoQuorum],
            samples: vec![sample],
        };
        desk.step(&reading, at_ms, &mut || IncidentId::new(NOW, 7));
    }
    desk
}

fn work(desk: &Desk) -> AlertWork<'_> {
    AlertWork {
        desks: vec![DeskWork {
            guild: GUILD,
            alerts: desk.book.tracked.values().collect(),
            gone: vec![],
            incidents: desk.incidents.values().collect(),
        }],
        look: None,
        taken: vec![],
    }
}

fn row(n: u128) -> AuditRow {
    AuditRow {
        id: AuditId::new(NOW, n),
        at_ms: NOW,
        event: AuditEvent::Confirmed,
        user: Some(UserId(7)),
        user_name: "olga".into(),
        guild: Some(GUILD),
        channel: None,
        verb: gantry_core::action::Verb::AlertAck,
        target: "x".into(),
        plan: None,
        operation: None,
        detail: String::new(),
    }
}

both! {
    async fn a_step_is_kept_whole_and_its_message_is_made_once(db: Db) {
        let desk = desk();
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        for _ in 0..3 {
            assert!(db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap());
        }
        let kept = db.store.list_alerts(GUILD).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].phase, Phase::Firing);
        let incident = db.store.incidents_lately(GUILD, NOW, 10).await.unwrap().remove(0);
        assert_eq!(Some(&incident), desk.incidents.values().next());
        let card = db.store.find_card_of_incident(&incident.id).await.unwrap().unwrap();
        assert_eq!((card.about, card.wanted), (CardAbout::Incident(incident.id.clone()), 3));
        let claimed = db.store.claim_card("c", NOW, 1000, 10_000).await.unwrap();
        assert_eq!(claimed.map(|c| c.id), Some(card.id), "nobody waits for an answer to post it");
        assert_eq!(db.store.list_alerts(GuildId(2)).await.unwrap(), []);
    }

    async fn whoever_leads_no_more_keeps_nothing(db: Db) {
        let desk = desk();
        let old = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        assert_eq!(db.store.lead_alerts("b", NOW + 999, 1000).await.unwrap(), None);
        assert_eq!(db.store.lead_alerts("a", NOW + 999, 1000).await.unwrap(), Some(old));
        let new = db.store.lead_alerts("b", NOW + 5000, 1000).await.unwrap().unwrap();
        assert!(new > old);
        assert!(!db.store.save_alerts(old, &work(&desk), NOW).await.unwrap());
        assert_eq!(db.store.list_alerts(GUILD).await.unwrap(), []);
        assert_eq!(db.store.lead_alerts("a", NOW + 5500, 1000).await.unwrap(), None);
    }

    async fn what_is_wrong_on_a_cluster_is_found_behind_what_is_wrong_elsewhere(db: Db) {
        let mut desk = desk();
        let first = desk.incidents.values().next().unwrap().clone();
        for n in 1..=30_u8 {
            let mut other = first.clone();
            other.id = IncidentId::new(NOW + i64::from(n), n.into());
            other.opened_ms += i64::from(n);
            other.cluster = (n > 1).then(|| "far".parse().unwrap());
            other.severity = if n == 2 { Severity::Critical } else { Severity::Warning };
            desk.incidents.insert(other.id.clone(), other);
        }
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        let (far, lab) = ("far".parse().unwrap(), lab());
        let of = async |cluster| db.store.open_incidents_of(GUILD, cluster, 5).await.unwrap();
        let page = of(Some(&lab)).await;
        assert_eq!((page.total, page.rows[0].id.clone()), (1, first.id));
        let page = of(Some(&far)).await;
        assert_eq!((page.total, page.rows.len()), (29, 5));
        assert_eq!(page.rows[0].severity, Severity::Critical, "the worst first");
        assert_eq!(of(None).await.total, 1, "about no cluster");
        let nowhere = "nowhere".parse().unwrap();
        assert_eq!(of(Some(&nowhere)).await.total, 0);
    }

    async fn of_many_incidents_a_leader_begins_with_those_that_go_on(db: Db) {
        let mut desk = desk();
        let first = desk.incidents.values().next().unwrap().clone();
        for n in 1..=9_u8 {
            let mut other = first.clone();
            other.id = IncidentId::new(NOW + i64::from(n), n.into());
            other.opened_ms += i64::from(n);
            other.resolved_ms = (n > 3).then_some(NOW + 100 + i64::from(n));
            desk.incidents.insert(other.id.clone(), other);
        }
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        let open = async |most| {
            let all = db.store.incidents_lately(GUILD, NOW, most).await.unwrap();
            assert!(all.is_sorted_by_key(|i| i.opened_ms), "oldest first");
            (all.iter().filter(|i| i.is_open()).count(), all.len())
        };
        assert_eq!(open(100).await, (4, 10));
        assert_eq!(open(6).await, (4, 6), "all that go on, and the newest of the others");
        assert_eq!(open(3).await, (3, 3));
        let newest = db.store.incidents_lately(GUILD, NOW, 3).await.unwrap();
        assert_eq!(newest[2].opened_ms, first.opened_ms + 3);
    }

    async fn an_acknowledgement_is_one_persons_and_survives_what_the_desk_writes(db: Db) {
        let desk = desk();
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        let id = desk.incidents.keys().next().unwrap();
        let ack = |n: u64| Ack { user: UserId(n), name: format!("p{n}"), at_ms: NOW };
        assert!(db.store.acknowledge(id, &ack(7), &row(1)).await.unwrap());
        assert!(!db.store.acknowledge(id, &ack(8), &row(2)).await.unwrap());
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        assert_eq!(db.store.find_incident(id).await.unwrap().unwrap().ack, Some(ack(7)));
        assert_eq!(db.store.incident_acks(GUILD).await.unwrap(), [(id.clone(), ack(7))]);
        let page = db.store.list_incidents(GUILD, true, 0, 10).await.unwrap();
        assert_eq!((page.total, page.rows.len()), (1, 1));
    }

    async fn a_message_that_nobody_tried_any_more_is_tried_again_when_its_incident_changes(db: Db) {
        let desk = desk();
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        let card = db.store.claim_card("c", NOW, 1000, 0).await.unwrap().unwrap();
        db.store.card_given_up(&card.id, "c", "Missing Access").await.unwrap();
        assert_eq!(db.store.claim_card("c", NOW, 1000, 0).await.unwrap(), None);
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        let again = db.store.claim_card("c", NOW, 1000, 0).await.unwrap().unwrap();
        assert_eq!((again.id, again.attempts), (card.id, 0));
    }

    async fn a_message_whose_time_lies_ahead_is_brought_back(db: Db) {
        let desk = desk();
        let lead = db.store.lead_alerts("a", NOW, 1000).await.unwrap().unwrap();
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        let card = db.store.claim_card("c", NOW, 1000, 0).await.unwrap().unwrap();
        db.store.card_retry(&card.id, "c", NOW + 7_200_000, "later").await.unwrap();
        assert_eq!(db.store.claim_card("c", NOW + 60_000, 1000, 0).await.unwrap(), None);
        db.store.bring_back(NOW).await.unwrap();
        let card = db.store.claim_card("c", NOW, 1000, 0).await.unwrap().unwrap();
        // Also one that shows all there is: what comes next does not wait either.
        db.store.card_shown(&card.id, "c", card.wanted, NOW + 7_200_000).await.unwrap();
        db.store.bring_back(NOW).await.unwrap();
        db.store.save_alerts(lead, &work(&desk), NOW).await.unwrap();
        assert!(db.store.claim_card("c", NOW, 1000, 0).await.unwrap().is_some());
        // A lease of a clock that ran ahead is nobody's.
        let far = db.store.lead_alerts("ahead", NOW + 1_800_000, 20_000).await.unwrap();
        assert!(far.is_some());
        assert!(db.store.lead_alerts("right", NOW, 20_000).await.unwrap().is_some());
    }
}
