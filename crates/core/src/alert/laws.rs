//! What holds in every story: N alerts in are N visible or counted, through rules, excuses, silences, quiet hours, folding,
//! damping, the hour's maximum and digests, for what gantry sees and for what others tell.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::stage::{MIN, S, Stage};
use super::*;
use crate::id::{GuildId, IncidentId, MuteId, UserId};
use crate::policy::Selector;
use crate::world::NodeState;

/// What may happen in a random story.
#[derive(Debug, Clone)]
enum Deed {
    Stop(u32),
    Start(u32),
    Node(usize, u8),
    Fill(usize, u64),
    Lock(u32, bool),
    Mute(u32),
    MuteTold,
    Unmute,
    Hear { key: u8, group: u8, on: bool, node: Option<usize>, bad: u8 },
    Quiet(bool),
    Wait(i64),
}

fn deed() -> impl Strategy<Value = Deed> {
    let hear = (0u8..10, 0u8..4, any::<bool>(), proptest::option::of(0usize..3), 0u8..4);
    prop_oneof![
        (0u32..6).prop_map(|n| Deed::Stop(200 + n)),
        (0u32..6).prop_map(|n| Deed::Start(200 + n)),
        (0usize..3, 0u8..3).prop_map(|(n, s)| Deed::Node(n, s)),
        (0usize..3, 0u64..100).prop_map(|(n, p)| Deed::Fill(n, p)),
        (0u32..6, any::<bool>()).prop_map(|(n, l)| Deed::Lock(200 + n, l)),
        (0u32..6).prop_map(Deed::Mute),
        Just(Deed::MuteTold),
        Just(Deed::Unmute),
        hear.prop_map(|(key, group, on, node, bad)| Deed::Hear { key, group, on, node, bad }),
        any::<bool>().prop_map(Deed::Quiet),
        (1i64..30).prop_map(Deed::Wait),
    ]
}

fn said(key: u8, group: u8, on: bool, node: Option<usize>, bad: u8) -> Heard {
    Heard {
        key: format!("k{key}"),
        name: format!("host-{key}"),
        state: if on { HeardState::Firing } else { HeardState::Resolved },
        at_ms: 0,
        detail: String::new(),
        cluster: "lab".parse().unwrap(),
        node: node.map(|n| ["pve1", "pve2", "pve3"][n].parse().unwrap()),
        vmid: None,
        task: None,
        told: Told {
            hook: "prom".into(),
            group: format!("g{group}"),
            title: format!("Group {group}"),
            severity: Severity::ALL[usize::from(bad)],
            runbook: None,
            labels: BTreeMap::new(),
        },
    }
}

impl Stage {
    /// Others tell something.
    fn hears(&mut self, heard: &[Heard]) {
        let lab = "lab".parse().unwrap();
        let all = readings(&lab, Some(&self.view), heard, |_| None, self.now);
        let (ids, now) = (&mut self.ids, self.now);
        let mut id = || {
            *ids += 1;
            IncidentId::new(now, *ids)
        };
        self.desk.step_told(&all, self.now, &mut id);
    }
}

/// Somebody silences something for five minutes.
fn silence(stage: &Stage, rule: Option<&str>, on: &str) -> Muting {
    Muting {
        id: MuteId::new(stage.now, 1),
        guild: GuildId(1),
        kind: MuteKind::Silence,
        rule: rule.map(str::to_owned),
        on: Selector::try_from(on.to_owned()).unwrap(),
        subjects: vec![],
        from_ms: stage.now,
        until_ms: stage.now + 5 * MIN,
        by: UserId(3),
        by_name: "olga".into(),
        reason: "known".into(),
    }
}

/// What the database would hold, and what was counted beside the desk.
#[derive(Default)]
struct Ledger {
    kept: BTreeMap<IncidentId, Incident>,
    /// Alerts that fire, with their incident.
    firing: BTreeMap<Key, Option<IncidentId>>,
    /// Ends of alerts that were in an incident.
    ended: u32,
}

impl Ledger {
    fn looks(&mut self, desk: &Desk) {
        let now: BTreeMap<Key, Option<IncidentId>> = desk
            .book
            .tracked
            .iter()
            .filter(|(_, t)| t.phase == Phase::Firing)
            .map(|(key, t)| (key.clone(), t.incident.clone()))
            .collect();
        for (key, incident) in &self.firing {
            if incident.is_some() && !now.contains_key(key) {
                self.ended += 1;
            }
        }
        self.firing = now;
        self.kept.extend(desk.incidents.iter().map(|(id, i)| (id.clone(), i.clone())));
    }

    fn alerts(&self) -> impl Iterator<Item = &Incident> {
        self.kept.values().filter(|i| i.kind == Kind::Alerts)
    }
}

fn stood_for(i: &Incident) -> u32 {
    i.counted() + i.summary.over
}

fn holds(stage: &Stage, ledger: &Ledger) -> Result<(), TestCaseError> {
    let desk = &stage.desk;
    let mut counted = 0;
    for (key, incident) in &ledger.firing {
        let t = &desk.book.tracked[key];
        let open = incident.as_ref().is_some_and(|id| desk.incidents[id].is_open());
        prop_assert!(open || t.muted.is_some(), "{} is nowhere", t.subject.label());
        counted += u32::from(open);
    }
    let shown: u32 = ledger.alerts().filter(|i| i.is_open()).map(Incident::counted).sum();
    prop_assert_eq!(shown, counted, "what fires is counted once");
    let over: u32 = ledger.alerts().map(|i| i.summary.over).sum();
    prop_assert_eq!(over, ledger.ended, "what ended is counted once");
    for i in ledger.alerts() {
        prop_assert!(i.posted_ms.is_some() || i.hold.is_some(), "{} is silent", i.title);
    }
    // What the hour has no room for stands in an open digest, to the last alert.
    let digest = desk.incidents.values().find(|i| i.kind == Kind::Overflow && i.is_open());
    let held: Vec<&Incident> = ledger
        .alerts()
        .filter(|i| i.hold == Some(Hold::Overflow) && i.posted_ms.is_none())
        .filter(|i| i.is_open() || digest.is_some_and(|d| i.resolved_ms >= Some(d.opened_ms)))
        .collect();
    match digest {
        None => prop_assert!(held.is_empty(), "{} are held and in no digest", held.len()),
        Some(digest) if !held.is_empty() => {
            let alerts: u32 = held.iter().map(|i| stood_for(i)).sum();
            let want = format!("{} incidents with {alerts} alerts, counted here", held.len());
            prop_assert_eq!(&digest.body[0], &want);
        }
        Some(_) => {}
    }
    let most = desk.route.per_hour + (desk.route.per_hour / 5).max(5);
    let posted =
        ledger.alerts().filter(|i| i.posted_ms.is_some_and(|at| stage.now - at < 60 * MIN));
    prop_assert!(posted.count() <= most as usize, "more than an hour's messages");
    let called = |i: &Incident| i.severity >= desk.route.mention_from && i.posted_ms.is_some();
    for i in ledger.alerts().filter(|i| i.is_open() && i.summary.firing > 0 && called(i)) {
        prop_assert!(!i.calls.is_empty(), "nobody was called for {}", i.title);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn n_alerts_in_are_n_visible_or_counted(
        deeds in proptest::collection::vec(deed(), 1..80),
        per_hour in 0u32..6,
        least in 0usize..3,
    ) {
        let mut stage = Stage::new();
        stage.desk.route.per_hour = per_hour;
        stage.desk.route.least = Severity::ALL[least];
        let mut ledger = Ledger::default();
        for deed in deeds {
            match deed {
                Deed::Stop(vmid) => stage.stops(vmid),
                Deed::Start(vmid) => stage.starts(vmid),
                Deed::Node(n, s) => {
                    let state = [NodeState::Up, NodeState::Down, NodeState::Unknown][usize::from(s)];
                    stage.node_is(["pve1", "pve2", "pve3"][n], state);
                }
                Deed::Fill(n, percent) => stage.view.storages[n].used = percent,
                Deed::Lock(vmid, on) => stage.guest(vmid).lock = on.then(|| "backup".into()),
                Deed::Mute(n) => stage.desk.mutes = vec![silence(&stage, None, &format!("name:web-{n}"))],
                Deed::MuteTold => {
                    let mute = silence(&stage, Some("told"), "*");
                    stage.desk.mutes.push(mute);
                }
                Deed::Unmute => stage.desk.mutes.clear(),
                Deed::Hear { key, group, on, node, bad } => {
                    stage.hears(&[said(key, group, on, node, bad)]);
                    ledger.looks(&stage.desk);
                    holds(&stage, &ledger)?;
                }
                Deed::Quiet(on) => {
                    // All day, or not at all.
                    let all_day = QuietHours { from_min: 0, until_min: 1440, offset_min: 0, except_from: Severity::Critical };
                    stage.desk.route.quiet = on.then_some(all_day);
                }
                Deed::Wait(n) => {
                    for _ in 0..n {
                        stage.passes(10);
                        ledger.looks(&stage.desk);
                    }
                }
            }
            stage.passes(10);
            ledger.looks(&stage.desk);
            holds(&stage, &ledger)?;
        }
        // Quiet hours end: what came and went in them is told.
        stage.desk.route.quiet = None;
        stage.now += S;
        stage.passes(20);
        ledger.looks(&stage.desk);
        holds(&stage, &ledger)?;
        for i in ledger.alerts().filter(|i| i.hold == Some(Hold::Quiet)) {
            prop_assert!(i.told || i.is_open(), "{} came and went unheard", i.title);
            prop_assert!(!i.is_open(), "{} is still held back", i.title);
        }
    }
}
