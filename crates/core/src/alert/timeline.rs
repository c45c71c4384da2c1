//! Stories in relative time, with a clock that is moved: what a server is told, and what not, and why.

use super::stage::*;
use super::*;
use crate::id::{ChannelId, GuildId, IncidentId, MuteId, RoleId, UserId};
use crate::policy::Selector;
use crate::world::NodeState;

#[test]
fn a_quiet_cluster_says_nothing_for_hours() {
    let mut stage = Stage::new();
    stage.passes(4 * 3600);
    assert_eq!(stage.messages(), [""; 0]);
    assert!(stage.desk.book.tracked.is_empty());
}

#[test]
fn a_node_goes_and_returns_in_one_message_that_names_its_guests() {
    let mut stage = Stage::new();
    stage.node_is("pve2", NodeState::Down);
    stage.passes(10);
    assert_eq!(stage.messages(), ["Node down: pve2 · 1/0/0/0 · open"]);
    let incident = stage.desk.incidents.values().next().unwrap();
    assert!(incident.summary.lines[0].detail.contains("3 guests there: web-1, web-3, web-5"));
    assert_eq!(incident.calls.len(), 1, "critical: the role is called");
    stage.passes(300);
    assert_eq!(stage.messages().len(), 1);
    stage.node_is("pve2", NodeState::Up);
    stage.passes(20);
    assert_eq!(stage.messages(), ["Node down: pve2 · 0/0/0/1 · over"]);
}

#[test]
fn what_is_on_a_lost_node_is_folded_and_counted() {
    let mut stage = Stage::new();
    stage.view.nodes[1].state = NodeState::Unknown;
    stage.passes(60);
    stage.view.storages[1].active = false;
    stage.stops(201);
    stage.passes(120);
    // Storages of a node that cannot be asked say nothing; the guest is known to be off.
    assert_eq!(stage.messages(), ["Node does not answer: pve2 · 1/0/1/0 · open"]);
    stage.view.nodes[1].state = NodeState::Up;
    stage.passes(120);
    let mut messages = stage.messages();
    messages.sort();
    assert_eq!(
        messages,
        [
            "Guest went off: web-1 (CT 201) · 1/0/0/0 · open",
            "Node does not answer: pve2 · 0/0/0/1 · over",
            "Storage is not available: local on pve2 · 1/0/0/0 · open",
        ]
    );
}

#[test]
fn a_guest_that_somebody_stopped_is_not_an_alert() {
    let mut stage = Stage::new();
    stage.task("vzshutdown", "200", "root@pam", None, false);
    stage.stops(200);
    stage.task("vzstop", "201", "gantry@pve!bot", None, false);
    stage.stops(201);
    stage.stops(202);
    stage.passes(600);
    assert_eq!(stage.messages(), ["Guest went off: web-2 (CT 202) · 1/0/0/0 · open"]);
}

#[test]
fn a_backup_that_stops_its_guest_is_held_and_says_why() {
    let mut stage = Stage::new();
    stage.guest(200).lock = Some("backup".into());
    stage.stops(200);
    stage.passes(120);
    assert_eq!(stage.messages(), [""; 0]);
    let held = stage.desk.book.tracked.values().next().unwrap();
    assert_eq!(held.excuse.as_ref().unwrap().words(), "a backup is running");
    stage.guest(200).lock = None;
    stage.starts(200);
    stage.passes(60);
    assert_eq!(stage.messages(), [""; 0]);
    // The other way: the backup ends and the guest stays off.
    stage.guest(201).lock = Some("backup".into());
    stage.stops(201);
    stage.passes(120);
    stage.guest(201).lock = None;
    stage.passes(60);
    assert_eq!(stage.messages(), ["Guest went off: web-1 (CT 201) · 1/0/0/0 · open"]);
}

#[test]
fn a_failed_backup_is_over_when_the_next_one_succeeds() {
    let mut stage = Stage::new();
    stage.task("vzdump", "203", "root@pam", Some("job errors"), false);
    stage.passes(20);
    assert_eq!(stage.messages(), ["Backup failed: backup of web-3 (CT 203) · 1/0/0/0 · open"]);
    stage.passes(3600);
    assert_eq!(stage.messages().len(), 1, "told once");
    stage.task("vzdump", "203", "root@pam", None, false);
    stage.passes(10);
    assert_eq!(stage.messages(), ["Backup failed: backup of web-3 (CT 203) · 0/0/0/1 · over"]);
}

#[test]
fn failed_tasks_are_grouped_and_gantrys_own_are_left_to_their_message() {
    let mut stage = Stage::new();
    for n in 0..3 {
        stage.task("vzmigrate", &format!("20{n}"), "root@pam", Some("no space"), false);
    }
    stage.task("vzstart", "200", "gantry@pve!bot", Some("no space"), false);
    stage.passes(10);
    let messages = stage.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].starts_with("Tasks failed: vzmigrate web-"), "{messages:?}");
    assert!(messages[0].contains("· 3/0/0/0 · open"), "{messages:?}");
    stage.passes(3600);
    assert_eq!(stage.desk.incidents.len(), 1);
    assert!(stage.messages()[0].ends_with("3 · over"), "{:?}", stage.messages());
}

#[test]
fn a_storm_is_one_message_with_exact_counts() {
    let mut stage = Stage::new();
    stage.view.guests = (0..5000).map(|n| guest(1000 + n, &format!("g{n}"), "pve1")).collect();
    stage.look();
    stage.touched = 0;
    for n in 0..5000 {
        stage.stops(1000 + n);
    }
    stage.passes(60);
    let incident = stage.desk.incidents.values().next().unwrap();
    assert_eq!(incident.summary.firing, 5000);
    assert_eq!(incident.summary.lines.len(), 12);
    assert_eq!(stage.messages().len(), 1);
    assert!(stage.touched <= 2, "shown {} times", stage.touched);
}

#[test]
fn a_second_time_within_the_cooldown_goes_on_in_the_same_message() {
    let mut stage = Stage::new();
    stage.fills("pve1", 90);
    stage.passes(70);
    stage.fills("pve1", 10);
    stage.passes(60);
    assert_eq!(stage.messages(), ["Storage fills up: local on pve1 · 0/0/0/1 · over"]);
    stage.fills("pve1", 90);
    stage.passes(70);
    assert_eq!(stage.messages(), ["Storage fills up: local on pve1 · 1/0/0/1 · open"]);
    stage.fills("pve1", 10);
    stage.passes(600);
    stage.fills("pve1", 90);
    stage.passes(70);
    assert_eq!(stage.messages().len(), 2, "after the cooldown it is another one");
}

#[test]
fn an_acknowledged_incident_calls_nobody_and_stays_acknowledged() {
    let mut stage = Stage::new();
    stage.desk.route.escalation = vec![
        Step { after_ms: 5 * MIN, role: Some(RoleId(77)), channel: None },
        Step { after_ms: 15 * MIN, role: None, channel: Some(ChannelId(8)) },
    ];
    stage.desk.route.duty.people = vec![UserId(5)];
    stage.node_is("pve3", NodeState::Down);
    stage.passes(290);
    let calls = |stage: &Stage| -> Vec<(u32, Option<u64>, Option<u64>)> {
        let incident = stage.desk.incidents.values().next().unwrap();
        let ids = |c: &Call| (c.n, c.user.map(|u| u.0), c.role.map(|r| r.0));
        incident.calls.iter().map(ids).collect()
    };
    assert_eq!(calls(&stage), [(0, Some(5), None)], "who is on call first");
    stage.passes(30);
    assert_eq!(calls(&stage).last(), Some(&(1, None, Some(77))));
    let id = stage.desk.incidents.keys().next().unwrap().clone();
    let ack = Ack { user: UserId(3), name: "olga".into(), at_ms: stage.now };
    stage.desk.acknowledged(&id, &ack, &mut Outcome::default());
    stage.passes(7200);
    assert_eq!(calls(&stage).len(), 2);
    assert!(stage.messages()[0].ends_with("acknowledged"));
}

#[test]
fn without_acknowledgement_every_step_is_taken_once() {
    let mut stage = Stage::new();
    stage.desk.route.escalation = vec![
        Step { after_ms: 5 * MIN, role: Some(RoleId(77)), channel: None },
        Step { after_ms: 15 * MIN, role: None, channel: Some(ChannelId(8)) },
    ];
    stage.node_is("pve3", NodeState::Down);
    stage.passes(2 * 3600);
    let incident = stage.desk.incidents.values().next().unwrap();
    let steps: Vec<_> = incident.calls.iter().map(|c| (c.n, c.role.map(|r| r.0))).collect();
    assert_eq!(steps, [(0, Some(9)), (1, Some(77)), (2, Some(9))]);
}

fn silence(stage: &Stage, on: &str, minutes: i64) -> Muting {
    Muting {
        id: MuteId::new(stage.now, 1),
        guild: GuildId(1),
        kind: MuteKind::Silence,
        rule: None,
        on: Selector::try_from(on.to_owned()).unwrap(),
        subjects: vec![],
        from_ms: stage.now,
        until_ms: stage.now + minutes * MIN,
        by: UserId(3),
        by_name: "olga".into(),
        reason: "known".into(),
    }
}

#[test]
fn a_silence_keeps_it_untold_and_when_it_ends_it_is_told() {
    let mut stage = Stage::new();
    let mute = silence(&stage, "name:web-2", 30);
    stage.desk.mutes.push(mute);
    stage.stops(202);
    stage.stops(203);
    stage.passes(600);
    assert_eq!(stage.messages(), ["Guest went off: web-3 (CT 203) · 1/0/0/0 · open"]);
    let muted: Vec<_> = stage.desk.book.tracked.values().filter_map(|t| t.muted.clone()).collect();
    assert_eq!(muted, ["silenced by olga: known"], "counted, with the reason");
    stage.passes(1500);
    assert_eq!(stage.messages(), ["Guest went off: web-2 (CT 202), 1 more · 2/0/0/0 · open"]);
}

#[test]
fn an_incident_that_is_silenced_later_stays_and_says_so() {
    let mut stage = Stage::new();
    stage.stops(202);
    stage.passes(30);
    let mute = silence(&stage, "name:web-2", 30);
    stage.desk.mutes.push(mute);
    stage.passes(30);
    assert_eq!(stage.messages(), ["Guest went off: web-2 (CT 202) · 0/1/0/0 · open"]);
    let course = |stage: &Stage| -> Vec<String> {
        let i = stage.desk.incidents.values().next().unwrap();
        i.timeline.iter().map(|e| e.text.clone()).collect()
    };
    let said = "web-2 (CT 202): silenced by olga: known";
    assert!(course(&stage).iter().any(|e| e == said), "{:?}", course(&stage));
    stage.starts(202);
    stage.passes(30);
    assert!(stage.messages()[0].ends_with("over"));
    assert!(stage.messages()[0].starts_with("Guest went off: web-2 (CT 202)"));
}

#[test]
fn recoveries_share_the_fate_of_their_firings_in_quiet_hours() {
    let mut stage = Stage::new();
    // Quiet until one hour from now.
    stage.desk.route.quiet = Some(QuietHours {
        from_min: 22 * 60,
        until_min: 13 * 60,
        offset_min: 0,
        except_from: Severity::Critical,
    });
    stage.stops(200);
    stage.passes(60);
    stage.starts(200);
    stage.passes(60);
    assert_eq!(stage.messages(), [""; 0], "neither it nor its end");
    stage.stops(201);
    stage.node_is("pve3", NodeState::Down);
    stage.passes(60);
    assert_eq!(stage.messages(), ["Node down: pve3 · 1/0/0/0 · open"], "critical is told at once");
    stage.passes(3600);
    let messages = stage.messages().join("\n");
    assert!(messages.contains("Guest went off: web-1"), "what is still so is told: {messages}");
}

#[test]
fn what_came_and_went_in_quiet_hours_is_told_in_one_message_after() {
    let mut stage = Stage::new();
    stage.desk.route.quiet = Some(QuietHours {
        from_min: 0,
        until_min: 13 * 60,
        offset_min: 0,
        except_from: Severity::Critical,
    });
    stage.stops(200);
    stage.fills("pve1", 90);
    stage.passes(120);
    stage.starts(200);
    stage.fills("pve1", 10);
    stage.passes(3600);
    assert_eq!(stage.messages(), ["During quiet hours 2 came and went: lab · 0/0/0/0 · over"]);
    let note = stage.desk.incidents.values().find(|i| i.kind == Kind::CatchUp).unwrap();
    assert_eq!(note.body.len(), 2);
    stage.passes(3600);
    assert_eq!(stage.messages().iter().filter(|m| m.contains("quiet")).count(), 0, "once");
}

#[test]
fn more_than_an_hours_messages_are_counted_in_a_digest() {
    let mut stage = Stage::new();
    stage.desk.route.per_hour = 2;
    stage.desk.rules.rules = (0..5)
        .map(|n| {
            let mut rule = defaults().find("storage-full").unwrap().clone();
            rule.id = format!("storage-{n}");
            rule.title = format!("Storage {n}");
            rule
        })
        .collect();
    stage.fills("pve1", 90);
    stage.passes(70);
    let messages = stage.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(stage.held(), [Hold::Overflow; 3]);
    let digest = stage.desk.incidents.values().find(|i| i.kind == Kind::Overflow).unwrap();
    assert_eq!(digest.body.len(), 4);
    assert_eq!(digest.body[0], "3 incidents with 3 alerts, counted here");
    stage.passes(3600);
    assert_eq!(stage.held().len(), 1, "with the next hour the next are told");
}

#[test]
fn mild_ones_are_listed_and_not_told() {
    let mut stage = Stage::new();
    stage.desk.route.least = Severity::Critical;
    stage.stops(200);
    stage.passes(60);
    assert_eq!((stage.messages().len(), stage.held()), (0, vec![Hold::Mild]));
}

#[test]
fn after_a_restart_a_guest_that_went_off_meanwhile_is_found() {
    let mut stage = Stage::new();
    let kept = serde_json::to_string(&stage.before).unwrap();
    stage.before = serde_json::from_str(&kept).unwrap();
    stage.now += 20 * MIN;
    stage.stops(200);
    stage.task("vzstop", "201", "root@pam", None, false);
    stage.stops(201);
    let derived = derive(stage.before.as_ref(), &stage.view, &stage.around, stage.now);
    assert_eq!(
        derived.happenings,
        [
            "web-0 (CT 200) went off: nobody is known to have asked",
            "web-1 (CT 201) went off: root@pam asked for it at Proxmox (vzstop)",
        ]
    );
    stage.passes(60);
    assert_eq!(stage.messages(), ["Guest went off: web-0 (CT 200) · 1/0/0/0 · open"]);
}

#[test]
fn a_cluster_that_cannot_be_read_is_told_and_changes_nothing_else() {
    let mut stage = Stage::new();
    stage.stops(200);
    stage.passes(60);
    stage.view.fault = Some("no answer within 20 s".into());
    stage.passes(120);
    let mut messages = stage.messages();
    messages.sort();
    assert_eq!(
        messages,
        [
            "Cluster cannot be read: lab · 1/0/0/0 · open",
            "Guest went off: web-0 (CT 200) · 1/0/0/0 · open",
        ]
    );
}

#[test]
fn duty_turns_and_a_stand_in_comes_first() {
    let mut duty =
        Duty { people: vec![UserId(1), UserId(2)], days: 7, start_ms: 0, shifts: vec![] };
    let day = 24 * 60 * MIN;
    assert_eq!(duty.now(3 * day), Some(UserId(1)));
    assert_eq!(duty.now(8 * day), Some(UserId(2)));
    assert_eq!(duty.now(15 * day), Some(UserId(1)));
    assert_eq!(duty.until_ms(8 * day), 14 * day);
    duty.shifts.push(DutyShift {
        guild: GuildId(1),
        user: UserId(9),
        from_ms: 8 * day,
        until_ms: 9 * day,
        by_name: "olga".into(),
    });
    assert_eq!(duty.now(8 * day), Some(UserId(9)));
    assert_eq!(duty.now(9 * day), Some(UserId(2)));
}

#[test]
fn what_was_noted_by_a_clock_that_ran_ahead_does_not_stand_still() {
    let mut stage = Stage::new();
    stage.desk.route.escalation =
        vec![Step { after_ms: 5 * MIN, role: Some(RoleId(77)), channel: None }];
    // The clock runs two hours ahead for a while.
    stage.now += 120 * MIN;
    stage.node_is("pve3", NodeState::Down);
    stage.fills("pve1", 90);
    stage.passes(300);
    let mute = silence(&stage, "name:web-2", 30);
    assert_eq!(stage.messages().len(), 2, "{:?}", stage.messages());
    // It is set right, and another process begins with what is kept.
    stage.now -= 120 * MIN;
    let touched = stage.desk.bring_back(stage.now).touched;
    assert_eq!(touched.len(), 2, "they are kept anew");
    assert_eq!(stage.desk.bring_back(stage.now).touched.len(), 0, "once");
    if let Some(before) = &mut stage.before {
        before.at_ms = before.at_ms.min(stage.now);
    }
    let mute = mute.brought_back(stage.now).unwrap();
    assert!(mute.holds(stage.now + 29 * MIN) && !mute.holds(stage.now + 31 * MIN));
    assert_eq!(mute.brought_back(stage.now), None);
    stage.passes(6 * 60);
    let node = stage.desk.incidents.values().find(|i| i.title == "Node down").unwrap();
    let called: Vec<_> = node.calls.iter().map(|c| c.n).collect();
    assert_eq!(called, [0, 1], "nobody acknowledged: the next one is called");
    stage.node_is("pve3", NodeState::Up);
    stage.fills("pve1", 10);
    stage.passes(600);
    assert!(stage.messages().iter().all(|m| m.ends_with("over")), "{:?}", stage.messages());
}

#[test]
fn a_digest_names_nothing_of_another_cluster_or_channel() {
    let mut stage = Stage::new();
    stage.desk.route.per_hour = 0;
    stage.desk.route.mention_from = Severity::Critical;
    let mut rules = vec![];
    for (n, channel) in [(0, None), (1, Some(ChannelId(8)))] {
        let mut rule = defaults().find("storage-full").unwrap().clone();
        (rule.id, rule.title) = (format!("storage-{n}"), format!("Storage {n}"));
        rule.channel = channel;
        rules.push(rule);
    }
    stage.desk.rules.rules = rules;
    let far = |s: &Stage| {
        let mut view = s.view.clone();
        view.cluster = "far".parse().unwrap();
        view.storages.iter_mut().for_each(|s| s.used = 91);
        view
    };
    stage.fills("pve1", 90);
    let mut before = None;
    for _ in 0..40 {
        let derived = derive(before.as_ref(), &far(&stage), &stage.around, stage.now);
        let (ids, now) = (&mut stage.ids, stage.now);
        let mut id = || {
            *ids += 1;
            IncidentId::new(now, *ids)
        };
        stage.desk.step(&derived.reading, now, &mut id);
        before = Some(derived.snapshot);
        stage.passes(10);
    }
    let digests: Vec<_> =
        stage.desk.incidents.values().filter(|i| i.kind == Kind::Overflow).collect();
    let mut about: Vec<_> = digests
        .iter()
        .map(|i| (i.channel.0, i.cluster.as_ref().unwrap().as_str(), i.body[0].as_str()))
        .collect();
    about.sort();
    let (one, three) =
        ("1 incidents with 1 alerts, counted here", "1 incidents with 3 alerts, counted here");
    assert_eq!(about, [(2, "far", three), (2, "lab", one), (8, "far", three), (8, "lab", one)]);
    for i in digests {
        let cluster = i.cluster.as_ref().unwrap();
        assert!(i.title.ends_with(cluster.as_str()), "{}", i.title);
        let rule = if i.channel.0 == 8 { "Storage 1" } else { "Storage 0" };
        assert!(i.body[1..].iter().all(|line| line.contains(rule)), "{:?}", i.body);
    }
}
