//! Stories of what once was told wrongly: restarts, silences of lost nodes, backups and guests that are gone.

use std::collections::BTreeMap;

use super::stage::{MIN, NOON, guest, node};
use super::*;
use crate::id::{ChannelId, ClusterId, GuildId, IncidentId, MuteId, UserId};
use crate::policy::Selector;
use crate::world::{ClusterView, NodeState};

const DAY: i64 = 24 * 60 * MIN;

fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

fn heard(key: &str, on: &str) -> Heard {
    Heard {
        key: key.into(),
        name: format!("host-{key}"),
        state: HeardState::Firing,
        at_ms: NOON,
        detail: "it is so".into(),
        cluster: lab(),
        node: on.parse().ok(),
        vmid: None,
        task: None,
        told: Told {
            hook: "prom".into(),
            group: key.into(),
            title: format!("Trouble {key}"),
            severity: Severity::Error,
            runbook: None,
            labels: BTreeMap::new(),
        },
    }
}

/// A desk that is looked at, and what of its book stands in a database.
struct Stage {
    desk: Desk,
    view: ClusterView,
    around: Around,
    before: Option<Snapshot>,
    now: i64,
    ids: u128,
    kept: BTreeMap<Key, Tracked>,
}

impl Stage {
    fn new() -> Self {
        let mut view = ClusterView::unseen(lab());
        view.observed_ms = 1;
        view.quorate = Some(true);
        view.nodes = vec![node("pve1"), node("pve2")];
        view.guests = vec![guest(201, "web-1", "pve1"), guest(202, "web-2", "pve1")];
        let desk = Desk {
            route: Route::of(GuildId(1), ChannelId(2)),
            rules: defaults(),
            mutes: vec![],
            book: Book::default(),
            incidents: BTreeMap::new(),
        };
        let around = Around { tasks: Some(vec![]), ..Around::default() };
        let kept = BTreeMap::new();
        let mut stage = Self { desk, view, around, before: None, now: NOON, ids: 0, kept };
        stage.look();
        stage
    }

    fn step(&mut self, reading: &Reading) {
        let (ids, now) = (&mut self.ids, self.now);
        let mut id = || {
            *ids += 1;
            IncidentId::new(now, *ids)
        };
        self.desk.step(reading, self.now, &mut id);
        let book = &mut self.desk.book;
        for key in std::mem::take(&mut book.dirty) {
            self.kept.insert(key.clone(), book.tracked[&key].clone());
        }
        for key in std::mem::take(&mut book.gone) {
            self.kept.remove(&key);
        }
    }

    fn look(&mut self) {
        let derived = derive(self.before.as_ref(), &self.view, &self.around, self.now);
        self.before = Some(derived.snapshot);
        self.step(&derived.reading);
    }

    fn hears(&mut self, heard: &Heard) {
        for reading in readings(&lab(), Some(&self.view), [heard], |_| None, self.now) {
            self.step(&reading);
        }
    }

    /// Time passes, looking every minute.
    fn passes(&mut self, minutes: i64) {
        for _ in 0..minutes {
            self.now += MIN;
            self.look();
        }
    }

    /// The process is killed and another one begins with what stands in the database.
    fn restarts(&mut self) {
        self.desk.book = Book::of(self.kept.values().cloned());
    }

    fn node_is(&mut self, name: &str, state: NodeState) {
        let node = self.view.nodes.iter_mut().find(|n| n.name.as_str() == name).unwrap();
        node.state = state;
    }

    fn silences(&mut self, subjects: Vec<String>, rule: &str) {
        self.desk.mutes.push(Muting {
            id: MuteId::new(self.now, 1),
            guild: GuildId(1),
            kind: MuteKind::Silence,
            rule: Some(rule.into()),
            on: Selector::everything(),
            subjects,
            from_ms: self.now,
            until_ms: self.now + 7 * DAY,
            by: UserId(3),
            by_name: "olga".into(),
            reason: String::new(),
        });
    }

    fn told(&self) -> Vec<String> {
        let told = self.desk.incidents.values().filter(|i| i.posted_ms.is_some());
        told.map(|i| {
            let s = &i.summary;
            let over = if i.is_open() { "" } else { " (over)" };
            format!("{} {}/{}/{}{over}", i.title, s.firing, s.muted, s.folded)
        })
        .collect()
    }

    fn backed_up(&mut self, newest: &[(u32, i64)]) {
        let newest = newest.iter().map(|(vmid, at_ms)| ((*vmid).try_into().unwrap(), *at_ms));
        self.around.backups = Some(newest.collect());
    }
}

#[test]
fn what_is_said_again_and_again_still_holds_after_a_restart() {
    let mut s = Stage::new();
    s.hears(&heard("tls", ""));
    for _ in 0..15 {
        s.passes(4 * 60);
        s.hears(&heard("tls", ""));
    }
    s.restarts();
    s.passes(1);
    assert_eq!(s.told(), ["Trouble tls 1/0/0"], "said four hours ago, 60 h after it began");
    // Not said again for two days, it is over as before; time that passes is no word of its sender's.
    s.passes(47 * 60);
    assert_eq!(s.told(), ["Trouble tls 1/0/0"]);
    s.restarts();
    s.passes(62);
    assert!(s.told().is_empty() || s.told() == ["Trouble tls 0/0/0 (over)"], "{:?}", s.told());
}

#[test]
fn a_silence_of_nothing_silences_nothing() {
    let mut s = Stage::new();
    s.silences(vec![], "node-down");
    s.node_is("pve2", NodeState::Down);
    s.passes(5);
    assert_eq!(s.told(), ["Node down 1/0/0"]);
}

#[test]
fn what_is_on_a_node_moves_to_the_incident_that_says_it_is_lost() {
    let mut s = Stage::new();
    s.node_is("pve2", NodeState::Unknown);
    s.passes(3);
    s.hears(&heard("disk", "pve2"));
    assert_eq!(s.told(), ["Node does not answer 1/0/1"]);
    s.node_is("pve2", NodeState::Down);
    s.passes(10);
    let told = s.told();
    assert!(told.contains(&"Node does not answer 0/0/0 (over)".to_owned()), "{told:?}");
    assert!(told.contains(&"Node down 1/0/1".to_owned()), "{told:?}");
    assert_eq!(told.len(), 2, "and nothing else: {told:?}");
}

#[test]
fn silencing_a_dead_node_sets_nothing_free_that_was_folded_into_it() {
    let mut s = Stage::new();
    s.node_is("pve2", NodeState::Down);
    s.passes(3);
    s.hears(&heard("disk", "pve2"));
    assert_eq!(s.told(), ["Node down 1/0/1"]);
    s.silences(vec!["lab/node/pve2".into()], "node-down");
    s.passes(5);
    s.hears(&heard("web", "pve2"));
    s.passes(5);
    assert_eq!(s.told(), ["Node down 0/1/2"], "what comes later is folded as well");
    s.node_is("pve2", NodeState::Up);
    s.passes(10);
    let told = s.told();
    assert_eq!(told.len(), 3, "the node is back; what still fires stands for itself: {told:?}");
}

#[test]
fn a_node_that_was_silent_before_anybody_was_told_hides_nothing() {
    let mut s = Stage::new();
    s.silences(vec!["lab/node/pve2".into()], "node-down");
    s.node_is("pve2", NodeState::Down);
    s.passes(3);
    s.hears(&heard("disk", "pve2"));
    s.passes(3);
    assert_eq!(s.told(), ["Trouble disk 1/0/0"]);
}

#[test]
fn a_backup_that_is_deleted_does_not_make_its_age_good() {
    let mut s = Stage::new();
    s.backed_up(&[(201, NOON - 10 * DAY), (202, NOON - DAY)]);
    s.passes(1);
    let first = s.told();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].ends_with(" 1/0/0"), "{first:?}");
    s.backed_up(&[(202, NOON - DAY)]);
    s.passes(60);
    assert_eq!(s.told(), first, "still firing");
    let age =
        |s: &Stage| s.desk.book.tracked.values().map(|t| t.detail.clone()).collect::<Vec<_>>();
    assert_eq!(age(&s), ["no backup of it is left"]);
    s.backed_up(&[(201, s.now), (202, NOON - DAY)]);
    s.passes(30);
    assert!(s.told()[0].ends_with("(over)"), "{:?}", s.told());
}

#[test]
fn whoever_never_had_a_backup_is_not_said_to_have_an_old_one() {
    let mut s = Stage::new();
    s.backed_up(&[]);
    s.passes(3);
    assert_eq!(s.told(), Vec::<String>::new());
}

#[test]
fn a_failed_backup_of_a_guest_that_is_gone_is_over() {
    let mut s = Stage::new();
    let upid = format!("UPID:pve1:0000ABCD:00000001:{:08X}:vzdump:201:root@pam:", s.now / 1000);
    let task = TaskSeen {
        upid: upid.parse().unwrap(),
        ended_ms: Some(s.now + MIN),
        failure: Some("job errors".into()),
    };
    s.around.tasks = Some(vec![task]);
    s.passes(3);
    let told = s.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("Backup failed 1/"), "{told:?}");
    // While its node is lost, nobody can say that the guest is gone.
    let there = s.view.guests.clone();
    s.node_is("pve1", NodeState::Unknown);
    s.view.guests.retain(|g| g.vmid.get() != 201);
    s.passes(1);
    assert!(s.told().contains(&told[0]), "{:?}", s.told());
    s.node_is("pve1", NodeState::Up);
    s.passes(1);
    assert!(s.told().iter().any(|t| t.starts_with("Backup failed 0/")), "{:?}", s.told());
    // Another guest of the same number begins anew.
    s.view.guests = there;
    s.passes(30);
    let open =
        s.told().into_iter().filter(|t| t.starts_with("Backup failed") && !t.ends_with("(over)"));
    assert_eq!(open.count(), 0);
}

#[test]
fn what_an_alert_is_about_is_what_policy_looks_at() {
    use crate::policy::{Actor, Policy, Target, rule};
    let rules = r#"
[[rules]]
name = "all"
roles = [5]
verbs = ["alert.*"]
on = ["cluster:lab"]
[[rules]]
name = "critical is closed"
effect = "deny"
roles = [5]
verbs = ["alert.*"]
on = ["tag:critical", "vmid:202", "name:secret-*"]
"#;
    let policy: Policy = toml::from_str(rules).unwrap();
    let actor = Actor {
        user: UserId(1),
        name: "olga".into(),
        roles: vec![crate::id::RoleId(5)],
        guild: GuildId(1),
        channel: ChannelId(2),
        parent_channel: None,
    };
    let may = |s: &Subject| {
        rule(&policy, &actor, crate::action::Verb::AlertSilence, Target::Subject(s)).is_allowed()
    };
    let on = "pve1".parse().unwrap();
    assert!(may(&Subject::guest(&guest(201, "web-1", "pve1"))));
    let mut critical = guest(201, "web-1", "pve1");
    critical.tags = vec!["critical".into()];
    assert!(!may(&Subject::guest(&critical)));
    assert!(!may(&Subject::task(&lab(), "vzdump/202", "backup of web-2", &on)), "by its number");
    assert!(may(&Subject::task(&lab(), "vzdump@pve1", "backup job on pve1", &on)));
    let upid = "UPID:pve1:00000001:00000001:65590000:qmstart:202:root@pam:";
    assert!(!may(&Subject::task(&lab(), upid, "qmstart web-2", &on)));
    // A name that a sender made up gives and takes nothing.
    assert!(may(&Subject::outside(&lab(), "prom:x", "secret-1", None, None)));
}
