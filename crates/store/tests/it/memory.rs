//! Interactions, screens, pods, settings, counters; and texts that look like SQL.

use futures::future::join_all;
use gantry_core::audit::AuditEvent;
use gantry_core::id::UserId;
use gantry_store::testing;
use gantry_store::{PodRow, Screen};

use crate::harness::*;
use crate::leases::pod;

/// What people and clusters may call things.
const NASTY: &[&str] = &[
    "'; DROP TABLE plans; --",
    "\" OR 1=1 --",
    "$1 ?1 :name @x %s {}",
    "\\'; SELECT pg_sleep(10); --",
    "web\u{202e}-0 \u{1f4a5} ñ\n\t\r\u{7}",
    "${jndi:ldap://x}",
    "",
];

both! {
    async fn an_interaction_is_new_once(db: Db) {
        let asks = (0..64).map(|n| {
            let store = db.store.clone();
            tokio::spawn(async move { store.first_sight(u64::MAX - n % 4, NOW).await.unwrap() })
        });
        let answers = join_all(asks).await.into_iter().map(Result::unwrap);
        assert_eq!(answers.filter(|new| *new).count(), 4);
    }

    async fn old_interactions_and_screens_are_forgotten(db: Db) {
        for n in 0..1200 {
            assert!(db.store.first_sight(n, NOW + i64::try_from(n).unwrap()).await.unwrap());
        }
        let screen = Screen {
            id: "sc_1".into(),
            kind: "page".into(),
            owner: UserId(7),
            data: r#"{"page":1}"#.into(),
            created_ms: NOW,
            expires_ms: NOW + 500,
        };
        db.store.save_screen(&screen).await.unwrap();
        let newer = Screen { data: r#"{"page":2}"#.into(), ..screen.clone() };
        db.store.save_screen(&newer).await.unwrap();
        assert_eq!(db.store.find_screen("sc_1", NOW + 499).await.unwrap(), Some(newer));
        assert_eq!(db.store.find_screen("sc_1", NOW + 500).await.unwrap(), None);
        assert_eq!(db.store.find_screen("sc_2", NOW).await.unwrap(), None);
        assert_eq!(db.store.forget(NOW + 1100).await.unwrap(), 1101);
        assert!(db.store.first_sight(5, NOW).await.unwrap());
        assert!(!db.store.first_sight(1150, NOW).await.unwrap());
    }

    async fn pods_are_kept_by_cluster_and_number(db: Db) {
        let row = |cluster: &str, n, name: &str| PodRow {
            cluster: cluster.parse().unwrap(),
            vmid: vmid(n),
            name: name.into(),
            spec: pod(name),
            operation: "op_x".into(),
            created_ms: NOW,
        };
        for pod in [row("lab", 300, "b"), row("lab", 200, "a"), row("attic", 200, "c")] {
            db.store.save_pod(&pod).await.unwrap();
        }
        let changed = row("lab", 300, "renamed");
        db.store.save_pod(&changed).await.unwrap();
        let names = |pods: Vec<PodRow>| pods.into_iter().map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(db.store.list_pods(None).await.unwrap()), ["c", "a", "renamed"]);
        assert_eq!(names(db.store.list_pods(Some(&lab())).await.unwrap()), ["a", "renamed"]);
        assert_eq!(db.store.find_pod(&lab(), vmid(300)).await.unwrap(), Some(changed));
        assert!(db.store.remove_pod(&lab(), vmid(300)).await.unwrap());
        assert!(!db.store.remove_pod(&lab(), vmid(300)).await.unwrap());
        assert_eq!(db.store.find_pod(&lab(), vmid(300)).await.unwrap(), None);
    }

    async fn settings_and_counters_keep_count(db: Db) {
        assert_eq!(db.store.setting("hash").await.unwrap(), None);
        db.store.set_setting("hash", "1", NOW).await.unwrap();
        db.store.set_setting("hash", "2", NOW).await.unwrap();
        assert_eq!(db.store.setting("hash").await.unwrap().as_deref(), Some("2"));
        let bumps = (0..20).map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move { store.bump_counter("identify", 19_675, 1).await.unwrap() })
        });
        let mut sums: Vec<_> = join_all(bumps).await.into_iter().map(Result::unwrap).collect();
        sums.sort_unstable();
        assert_eq!(sums, (1..=20).collect::<Vec<_>>());
        assert_eq!(db.store.bump_counter("identify", 19_676, 5).await.unwrap(), 5);
    }

    async fn texts_that_look_like_sql_come_back_as_they_were(db: Db) {
        for (n, text) in (0..).zip(NASTY) {
            let mut plan = plan(n);
            plan.name = (*text).into();
            plan.effects = vec![format!("{text}\0")];
            let mut row = audit(n, AuditEvent::Proposed, &plan);
            row.detail = (*text).into();
            row.user_name = (*text).into();
            db.store.save_plan(&plan, &card(n), &row).await.unwrap();
            assert_eq!(db.store.find_plan(&plan.id).await.unwrap().unwrap().plan, plan);
            let page = db.store.list_audit(&Default::default(), 0, 1).await.unwrap();
            assert_eq!(page.rows[0].detail, *text);
            db.store.set_setting(text, text, NOW).await.unwrap();
            assert_eq!(db.store.setting(text).await.unwrap().as_deref(), Some(*text));
            db.store.card_retry(&card(n).id, "c", NOW, text).await.unwrap();
            assert_eq!(db.store.find_screen(text, NOW).await.unwrap(), None);
            db.store.claim_operation(text, NOW, 1).await.unwrap();
        }
        // PostgreSQL has no NUL in texts; a column gets the replacement character on both.
        db.store.set_setting("nul", "a\0b", NOW).await.unwrap();
        assert_eq!(db.store.setting("nul").await.unwrap().as_deref(), Some("a\u{fffd}b"));
        let plans = testing::number(&db.store, "SELECT COUNT(*) FROM plans").await.unwrap();
        assert_eq!(plans, i64::try_from(NASTY.len()).unwrap());
    }
}
