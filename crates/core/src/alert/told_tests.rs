//! What others tell goes the way of what gantry sees itself: incidents, silences, folding, and an end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::id::{ChannelId, ClusterId, GuildId, IncidentId, MuteId, UserId};
use crate::policy::Selector;

const MIN: i64 = 60_000;
const NOON: i64 = 1_700_308_800_000;

fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

fn desk() -> Desk {
    Desk {
        route: Route {
            guild: GuildId(1),
            channel: ChannelId(2),
            clusters: vec![],
            least: Severity::Warning,
            mention_from: Severity::Critical,
            mention: None,
            quiet: None,
            per_hour: 1000,
            cooldown_ms: 5 * MIN,
            escalation: vec![],
            duty: Duty::default(),
            threads: true,
            reports: vec![],
        },
        rules: defaults(),
        mutes: vec![],
        book: Book::default(),
        incidents: BTreeMap::new(),
    }
}

fn heard(key: &str, title: &str, state: HeardState) -> Heard {
    Heard {
        key: key.into(),
        name: format!("host-{key}"),
        state,
        at_ms: NOON,
        detail: "it is so".into(),
        cluster: lab(),
        node: None,
        vmid: None,
        task: None,
        told: Told {
            hook: "prom".into(),
            group: title.into(),
            title: title.into(),
            severity: Severity::Error,
            runbook: None,
            labels: [("alertname".to_owned(), title.to_owned())].into(),
        },
    }
}

struct Stage {
    desk: Desk,
    now: i64,
    ids: u128,
}

impl Stage {
    fn new() -> Self {
        Self { desk: desk(), now: NOON, ids: 0 }
    }

    fn hears(&mut self, all: &[Heard]) {
        let all = readings(&lab(), None, all, |_| None, self.now);
        let (ids, now) = (&mut self.ids, self.now);
        let mut id = || {
            *ids += 1;
            IncidentId::new(now, *ids)
        };
        self.desk.step_told(&all, self.now, &mut id);
    }

    fn steps(&mut self, reading: &Reading) {
        let (ids, now) = (&mut self.ids, self.now);
        let mut id = || {
            *ids += 1;
            IncidentId::new(now, *ids)
        };
        self.desk.step(reading, self.now, &mut id);
    }

    /// Time passes; the cluster is looked at, which says nothing about what others tell.
    fn passes(&mut self, minutes: i64) {
        for _ in 0..minutes {
            self.now += MIN;
            let reading = Reading {
                cluster: lab(),
                at_ms: self.now,
                covers: vec![Metric::NodeDown, Metric::GuestStopped],
                samples: vec![],
            };
            self.steps(&reading);
        }
    }

    fn told(&self) -> Vec<String> {
        let told = self.desk.incidents.values().filter(|i| i.posted_ms.is_some());
        told.map(|i| format!("{}{}", i.headline(), if i.is_open() { "" } else { " (over)" }))
            .collect()
    }
}

#[test]
fn alerts_of_one_group_are_one_message_until_they_are_over() {
    let mut s = Stage::new();
    s.hears(&[
        heard("a", "Disk full", HeardState::Firing),
        heard("b", "Disk full", HeardState::Firing),
        heard("c", "Web down", HeardState::Firing),
    ]);
    assert_eq!(s.told(), ["Disk full: host-a, 1 more", "Web down: host-c"]);
    s.passes(60);
    assert_eq!(s.told().len(), 2, "it holds until somebody says otherwise: {:?}", s.told());
    s.hears(&[heard("a", "Disk full", HeardState::Resolved)]);
    assert_eq!(s.told()[0], "Disk full: host-b");
    s.hears(&[
        heard("b", "Disk full", HeardState::Resolved),
        heard("c", "Web down", HeardState::Resolved),
    ]);
    assert!(s.told().iter().all(|t| t.ends_with("(over)")), "{:?}", s.told());
}

#[test]
fn what_begins_and_ends_between_two_looks_is_still_told() {
    let mut s = Stage::new();
    s.hears(&[heard("a", "Blip", HeardState::Firing), heard("a", "Blip", HeardState::Resolved)]);
    assert_eq!(s.told(), ["Blip: host-a (over)"]);
    s.hears(&[heard("z", "Never seen", HeardState::Resolved)]);
    assert_eq!(s.told().len(), 1, "an end without a beginning is no news");
}

#[test]
fn an_event_is_told_once_and_passes() {
    let mut s = Stage::new();
    s.hears(&[heard("e", "Fencing", HeardState::Event)]);
    assert_eq!(s.told(), ["Fencing: host-e"]);
    s.passes(31);
    assert_eq!(s.told(), ["Fencing: host-e (over)"]);
}

#[test]
fn what_gantry_saw_itself_is_held_and_says_so() {
    let mut s = Stage::new();
    let seen = |_: &Heard| Some(Excuse::Seen { what: "UPID:x".into() });
    for reading in readings(&lab(), None, &[heard("e", "Backup", HeardState::Event)], seen, NOON) {
        s.steps(&reading);
    }
    assert_eq!(s.told(), Vec::<String>::new());
    let held: Vec<_> = s.desk.book.tracked.values().filter(|t| t.phase == Phase::Held).collect();
    assert_eq!(held.len(), 1);
    assert!(held[0].excuse.as_ref().unwrap().words().contains("saw it itself"));
}

#[test]
fn what_is_not_heard_of_for_two_days_is_over_and_does_not_come_back_by_itself() {
    let mut s = Stage::new();
    s.hears(&[heard("a", "Disk full", HeardState::Firing)]);
    s.passes(47 * 60);
    assert_eq!(s.told(), ["Disk full: host-a"]);
    s.passes(2 * 60);
    let over = s.desk.incidents.values().filter(|i| !i.is_open()).count();
    assert!(over <= 1 && s.desk.incidents.values().all(|i| !i.is_open()));
    s.passes(60);
    assert!(s.desk.incidents.values().all(|i| !i.is_open()));
    s.hears(&[heard("a", "Disk full", HeardState::Firing)]);
    assert_eq!(s.told().last().map(String::as_str), Some("Disk full: host-a"));
}

#[test]
fn what_flaps_ends_when_it_was_good_for_long() {
    let mut s = Stage::new();
    for _ in 0..5 {
        s.hears(&[heard("a", "Blip", HeardState::Firing)]);
        s.passes(1);
        s.hears(&[heard("a", "Blip", HeardState::Resolved)]);
        s.passes(1);
    }
    assert_eq!(s.told(), ["Blip: host-a"], "it comes and goes: one message, open");
    s.passes(11);
    assert_eq!(s.told(), ["Blip: host-a (over)"]);
}

#[test]
fn a_thousand_times_of_one_thing_are_one_message_with_few_lines() {
    let mut s = Stage::new();
    let flaps: Vec<Heard> = (0..2000)
        .map(|n| {
            let state = if n % 2 == 0 { HeardState::Firing } else { HeardState::Resolved };
            heard("a", "Blip", state)
        })
        .collect();
    s.hears(&flaps);
    assert_eq!(s.told(), ["Blip: host-a"]);
    let i = s.desk.incidents.values().next().unwrap();
    assert!(i.entries() < 20, "{:?}", i.timeline);
    s.passes(11);
    assert_eq!(s.told(), ["Blip: host-a (over)"]);
}

#[test]
fn a_critical_one_is_told_and_called_when_mild_ones_have_used_up_the_hour() {
    let mut s = Stage::new();
    s.desk.route.per_hour = 5;
    s.desk.route.mention = Some(crate::id::RoleId(9));
    let mild: Vec<Heard> = (0..30)
        .map(|n| heard(&format!("k{n}"), &format!("Mild {n}"), HeardState::Firing))
        .collect();
    s.hears(&mild);
    let mut bad = heard("x", "Fire", HeardState::Firing);
    bad.told.severity = Severity::Critical;
    s.hears(&[bad]);
    let fire = s.desk.incidents.values().find(|i| i.title == "Fire").unwrap();
    assert!(fire.posted_ms.is_some() && fire.calls.len() == 1, "{fire:?}");
    let digest = s.desk.incidents.values().find(|i| i.kind == Kind::Overflow).unwrap();
    assert_eq!(digest.body[0], "25 incidents with 25 alerts, counted here");
}

#[test]
fn a_silence_is_mirrored_alert_by_alert_and_only_where_it_can_be() {
    let mut s = Stage::new();
    let mut other = heard("c", "Disk full", HeardState::Firing);
    other.told.hook = "elsewhere".into();
    s.hears(&[
        heard("a", "Disk full", HeardState::Firing),
        heard("b", "Disk full", HeardState::Firing),
        other,
    ]);
    let firing: Vec<Tracked> = s.desk.book.tracked.values().cloned().collect();
    let mute = Muting {
        id: MuteId::new(NOON, 1),
        guild: GuildId(1),
        kind: MuteKind::Silence,
        rule: Some("told".into()),
        on: Selector::everything(),
        subjects: firing.iter().map(|t| t.subject.key()).filter(|k| !k.ends_with(":b")).collect(),
        from_ms: NOON,
        until_ms: NOON + 60 * MIN,
        by: UserId(7),
        by_name: "olga\n@everyone".into(),
        reason: "known".into(),
    };
    let made = mirrors(&mute, &firing, &["prom".into()]);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0].labels["alertname"], "Disk full");
    assert!(
        made[0].comment.contains(&format!("[gantry {}-0]", mute.id)) && !made[0].by.contains('\n')
    );
    assert_eq!(mirrors(&mute, &firing, &[]), []);
}

#[test]
fn too_many_labels_are_kept_not_at_all() {
    let mut h = heard("a", "Disk full", HeardState::Firing);
    h.told.labels = (0..40).map(|n| (format!("l{n}"), String::new())).collect();
    assert!(h.limited().told.labels.is_empty(), "a silence by some of them would be too wide");
}

proptest! {
    /// N in = N visible or counted, whatever comes in which order.
    #[test]
    fn everything_that_fires_is_counted(said in prop::collection::vec((0_u8..12, 0_u8..3, any::<bool>()), 1..60)) {
        let mut s = Stage::new();
        let mut firing = BTreeMap::new();
        for (key, group, on) in said {
            let (key, title) = (format!("k{key}"), format!("Group {group}"));
            let state = if on { HeardState::Firing } else { HeardState::Resolved };
            s.hears(&[heard(&key, &title, state)]);
            firing.insert(key, on);
        }
        let open: u32 = s.desk.incidents.values().filter(|i| i.is_open()).map(Incident::counted).sum();
        let want = firing.values().filter(|on| **on).count();
        let tracked = s.desk.book.tracked.values().filter(|t| t.phase == Phase::Firing).count();
        prop_assert_eq!(usize::try_from(open).unwrap(), tracked);
        // What comes and goes stays counted a while longer.
        prop_assert!(tracked >= want, "{} told, {} fire", tracked, want);
    }
}

#[test]
fn keys_that_differ_only_at_their_end_are_two_alerts() {
    let long = |end: &str| {
        let mut one = heard("", "Long", HeardState::Firing);
        one.key = format!("{}{end}", "k".repeat(400));
        one.told.group = one.key.clone();
        one.limited()
    };
    let (a, b) = (long("a"), long("b"));
    assert_ne!(a.key, b.key);
    assert_ne!(a.told.group, b.told.group);
    assert_eq!(a.key.chars().count(), 256);
    assert_eq!(a.clone().limited(), a, "cut once");
    assert_eq!(long("a"), a, "the same each time");
}
