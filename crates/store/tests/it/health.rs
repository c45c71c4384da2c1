//! How pods are, and who asks them.

use gantry_core::pod::{Condition, Health, Life, PodSpec, PodTemplate, Probe, Pulse};
use gantry_store::PodRow;

use crate::harness::*;

const WATCH: &str = "health lab";

fn pulse(good: bool) -> Pulse {
    let mut pulse = Pulse::new(Life { made_ms: NOW, uptime_s: 100 }, NOW);
    let answer = if good { Ok(()) } else { Err("refused".to_owned()) };
    pulse.answered(&Health::new(Probe::Tcp { port: 80 }), answer, NOW + 1);
    pulse
}

async fn has_pod(db: &Db, vmid: u32) {
    let name = format!("web-{vmid}");
    let spec = PodSpec { name: name.clone(), node: None, template: PodTemplate::default() };
    let row = PodRow {
        cluster: "lab".parse().unwrap(),
        vmid: vmid.try_into().unwrap(),
        name,
        spec,
        operation: "op_1".into(),
        created_ms: NOW,
    };
    db.store.save_pod(&row).await.unwrap();
}

both! {
    async fn one_process_at_a_time_asks(db: Db) {
        let hold = async |who: &str, now: i64| {
            db.store.hold_watch(WATCH, who, now, 1_000).await.unwrap()
        };
        assert_eq!(hold("a", NOW).await, Some(1));
        assert_eq!(hold("b", NOW + 500).await, None);
        assert_eq!(hold("a", NOW + 500).await, Some(1), "renewed");
        assert_eq!(hold("b", NOW + 1_400).await, None);
        assert_eq!(hold("b", NOW + 1_500).await, Some(2), "run out");
        assert_eq!(hold("a", NOW + 1_600).await, None);
        assert_eq!(hold("b", NOW + 9_000).await, Some(3), "nobody knows what happened meanwhile");
        let other = db.store.hold_watch("health prod", "a", NOW, 1_000).await.unwrap();
        assert_eq!(other, Some(1));
    }

    async fn what_was_answered_is_kept_by_whoever_asks_now(db: Db) {
        let lab = "lab".parse().unwrap();
        for vmid in [201, 202] {
            has_pod(&db, vmid).await;
        }
        let old = db.store.hold_watch(WATCH, "a", NOW, 1_000).await.unwrap().unwrap();
        let one = 201.try_into().unwrap();
        assert!(db.store.save_health((WATCH, old), &lab, &[(one, pulse(true))]).await.unwrap());
        let new = db.store.hold_watch(WATCH, "b", NOW + 2_000, 1_000).await.unwrap().unwrap();
        let late = db.store.save_health((WATCH, old), &lab, &[(one, pulse(false))]).await.unwrap();
        assert!(!late, "its watch is another's");
        let two = 202.try_into().unwrap();
        assert!(db.store.save_health((WATCH, new), &lab, &[(two, pulse(false))]).await.unwrap());
        let all = db.store.list_health(&lab).await.unwrap();
        assert_eq!(all, [(one, pulse(true)), (two, pulse(false))]);
        assert_eq!(all[0].1.condition, Condition::Healthy);
        assert!(db.store.list_health(&"prod".parse().unwrap()).await.unwrap().is_empty());
        // A pod that is forgotten takes its health along.
        db.store.remove_pod(&lab, one).await.unwrap();
        db.store.forget_health(&lab).await.unwrap();
        assert_eq!(db.store.list_health(&lab).await.unwrap().len(), 1);
    }
}
