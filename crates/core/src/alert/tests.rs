//! Every default rule fires and clears; what explains a change keeps it quiet; values that nobody knows change nothing.

use proptest::prelude::*;

use super::evaluate::{Book, Change, Ended, evaluate};
use super::*;
use crate::id::{ClusterId, GuildId};
use crate::policy::Selector;

const S: i64 = 1000;

fn lab() -> ClusterId {
    "lab".parse().unwrap()
}

fn subject(metric: Metric) -> Subject {
    Subject {
        cluster: lab(),
        kind: metric.kind(),
        id: "x".into(),
        name: "x".into(),
        node: Some("pve1".parse().unwrap()),
        vmid: None,
        guest: None,
        tags: vec!["prod".into()],
        pool: None,
    }
}

fn reading(metric: Metric, value: Option<f64>, at_ms: i64) -> Reading {
    let mut sample = Sample::new(subject(metric), metric, 0.0);
    sample.value = value;
    Reading { cluster: lab(), at_ms, covers: vec![metric], samples: vec![sample] }
}

fn empty(metric: Metric, at_ms: i64) -> Reading {
    Reading { samples: vec![], ..reading(metric, None, at_ms) }
}

/// The bad and the good value of a rule.
fn values(rule: &Rule) -> (f64, f64) {
    let by = if rule.metric.low_is_bad() { -0.5 } else { 0.5 };
    (rule.threshold + by, rule.clear.unwrap_or(rule.threshold) - by)
}

#[test]
fn the_files_of_default_rules_are_right() {
    let files = ["nodes", "guests", "storage", "work", "gantry", "told"];
    let mut count = 0;
    for name in files {
        let path = format!("{}/../../config/alerts/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        count += Rules::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}")).rules.len();
    }
    let all = defaults();
    assert_eq!(all.rules.len(), count);
    assert_eq!(all.problems(), Vec::<String>::new());
    for metric in Metric::ALL {
        assert!(all.rules.iter().any(|r| r.metric == *metric), "no rule looks at {metric}");
        assert_eq!(metric.as_str().parse::<Metric>().as_ref(), Ok(metric));
    }
    for rule in &all.rules {
        assert!(!rule.advice.is_empty(), "{} says nothing to do", rule.id);
    }
}

#[test]
fn every_default_rule_fires_after_its_time_and_clears_after_its_time() {
    for mut rule in defaults().rules {
        rule.enabled = true;
        let (bad, good) = values(&rule);
        let (id, metric) = (rule.id.clone(), rule.metric);
        let hold = i64::from(rule.hold_s) * S;
        let calm = rule.effective(&subject(metric)).unwrap().calm_ms;
        let rules = Rules { rules: vec![rule] };
        let mut book = Book::default();
        let key = (id.clone(), subject(metric).key());
        if hold > 0 {
            assert_eq!(evaluate(&rules, &reading(metric, Some(bad), 0), &mut book, 0), [], "{id}");
            let early = hold - 1;
            let none = evaluate(&rules, &reading(metric, Some(bad), early), &mut book, early);
            assert_eq!(none, [], "{id} is early");
        }
        let fired = evaluate(&rules, &reading(metric, Some(bad), hold), &mut book, hold);
        assert_eq!(fired, [Change::Fired(key.clone())], "{id}");
        // A value nobody knows changes nothing, however long it lasts.
        let late = hold + calm + 100 * S;
        if metric.unit() == Unit::Event {
            assert_eq!(evaluate(&rules, &empty(metric, hold + 1), &mut book, hold + 1), [], "{id}");
            let passed = evaluate(&rules, &empty(metric, late), &mut book, late);
            assert_eq!(passed, [Change::Cleared(key, Ended::Passed)], "{id}");
            continue;
        }
        assert_eq!(evaluate(&rules, &reading(metric, None, late), &mut book, late), [], "{id}");
        let again = late + S;
        let first = evaluate(&rules, &reading(metric, Some(good), again), &mut book, again);
        if calm > 0 {
            assert_eq!(first, [], "{id} is over too early");
            let end = again + calm;
            let over = evaluate(&rules, &reading(metric, Some(good), end), &mut book, end);
            assert_eq!(over, [Change::Cleared(key, Ended::Good)], "{id}");
        } else {
            assert_eq!(first, [Change::Cleared(key, Ended::Good)], "{id}");
        }
    }
}

fn storage_rule() -> Rules {
    Rules { rules: defaults().rules.into_iter().filter(|r| r.id == "storage-full").collect() }
}

fn at(rules: &Rules, book: &mut Book, value: f64, now: i64) -> Vec<Change> {
    evaluate(rules, &reading(Metric::StorageUsed, Some(value), now), book, now)
}

#[test]
fn between_threshold_and_clear_nothing_begins_and_nothing_ends() {
    let (rules, mut book) = (storage_rule(), Book::default());
    at(&rules, &mut book, 82.0, 0);
    assert!(book.tracked.is_empty());
    at(&rules, &mut book, 86.0, 10 * S);
    assert_eq!(at(&rules, &mut book, 86.0, 70 * S).len(), 1);
    assert_eq!(at(&rules, &mut book, 81.0, 80 * S), []);
    assert_eq!(at(&rules, &mut book, 81.0, 500 * S), []);
    assert_eq!(at(&rules, &mut book, 79.0, 510 * S), []);
    assert_eq!(at(&rules, &mut book, 79.0, 540 * S).len(), 1, "30 s good");
}

#[test]
fn a_dip_before_the_time_is_over_begins_anew() {
    let (rules, mut book) = (storage_rule(), Book::default());
    at(&rules, &mut book, 86.0, 0);
    at(&rules, &mut book, 84.0, 30 * S);
    at(&rules, &mut book, 86.0, 40 * S);
    assert_eq!(at(&rules, &mut book, 86.0, 90 * S), []);
    assert_eq!(at(&rules, &mut book, 86.0, 100 * S).len(), 1);
}

#[test]
fn it_rises_to_critical_once_and_stays_one_alert() {
    let (rules, mut book) = (storage_rule(), Book::default());
    at(&rules, &mut book, 86.0, 0);
    at(&rules, &mut book, 86.0, 60 * S);
    assert!(matches!(at(&rules, &mut book, 96.0, 70 * S)[..], [Change::Rose(_)]));
    assert_eq!(at(&rules, &mut book, 97.0, 80 * S), []);
    assert_eq!(book.tracked.len(), 1);
}

#[test]
fn a_raised_threshold_ends_what_it_no_longer_covers() {
    let (rules, mut book) = (storage_rule(), Book::default());
    at(&rules, &mut book, 86.0, 0);
    at(&rules, &mut book, 86.0, 60 * S);
    let said = Override {
        guild: GuildId(1),
        rule: "storage-full".into(),
        exception: Exception {
            on: Selector::everything(),
            enabled: None,
            threshold: Some(92.0),
            clear: None,
            critical: None,
            hold_s: None,
            severity: None,
        },
        by_name: "olga".into(),
        at_ms: 1,
    };
    let raised = rules.clone().overridden(std::slice::from_ref(&said));
    let effective = raised.rules[0].effective(&subject(Metric::StorageUsed)).unwrap();
    assert_eq!((effective.threshold, effective.clear), (92.0, 87.0));
    at(&raised, &mut book, 86.0, 70 * S);
    assert_eq!(at(&raised, &mut book, 86.0, 100 * S).len(), 1, "it is over");
    let off = Override { exception: Exception { enabled: Some(false), ..said.exception }, ..said };
    let (mut book, rules) = (Book::default(), storage_rule());
    at(&rules, &mut book, 96.0, 0);
    at(&rules, &mut book, 96.0, 60 * S);
    let off = rules.overridden(&[off]);
    assert!(matches!(at(&off, &mut book, 96.0, 70 * S)[..], [Change::Cleared(_, Ended::Off)]));
}

#[test]
fn what_is_gone_is_over_and_what_was_not_read_is_not() {
    let (rules, mut book) = (storage_rule(), Book::default());
    at(&rules, &mut book, 96.0, 0);
    at(&rules, &mut book, 96.0, 60 * S);
    let mut blind = empty(Metric::StorageUsed, 70 * S);
    blind.covers.clear();
    assert_eq!(evaluate(&rules, &blind, &mut book, 70 * S), []);
    let gone = evaluate(&rules, &empty(Metric::StorageUsed, 80 * S), &mut book, 80 * S);
    assert!(matches!(gone[..], [Change::Cleared(_, Ended::Gone)]));
}

#[test]
fn what_flaps_is_one_alert_until_it_is_calm() {
    let (rules, mut book) = (storage_rule(), Book::default());
    let (mut fired, mut cleared, mut now) = (0, 0, 0);
    // A thousand times up and down, 100 s each.
    for n in 0..2000 {
        for _ in 0..10 {
            now += 10 * S;
            for change in at(&rules, &mut book, if n % 2 == 0 { 90.0 } else { 10.0 }, now) {
                match change {
                    Change::Fired(_) => fired += 1,
                    Change::Cleared(..) => cleared += 1,
                    _ => {}
                }
            }
        }
    }
    assert!((2..6).contains(&fired), "{fired} times told of 1000 flaps");
    assert!(cleared <= fired);
    for _ in 0..200 {
        now += 10 * S;
        cleared += at(&rules, &mut book, 10.0, now).len();
    }
    assert_eq!(fired, cleared);
    now += 3_600 * S;
    at(&rules, &mut book, 10.0, now);
    assert!(book.tracked.is_empty(), "forgotten at last");
}

#[test]
fn an_excuse_holds_it_back_and_when_it_ends_it_is_told() {
    let rules =
        Rules { rules: defaults().rules.into_iter().filter(|r| r.id == "guest-stopped").collect() };
    let mut book = Book::default();
    let mut go = |excuse: Option<Excuse>, value: f64, now: i64| {
        let mut reading = reading(Metric::GuestStopped, Some(value), now);
        reading.samples[0].excuse = excuse;
        evaluate(&rules, &reading, &mut book, now)
    };
    assert_eq!(go(Some(Excuse::Backup), 1.0, 0), []);
    assert!(matches!(go(Some(Excuse::Backup), 1.0, 20 * S)[..], [Change::Held(_)]));
    assert_eq!(go(Some(Excuse::Backup), 1.0, 900 * S), []);
    assert!(matches!(go(None, 1.0, 910 * S)[..], [Change::Fired(_)]));
    assert_eq!(go(None, 0.0, 920 * S), []);
    assert!(matches!(go(None, 0.0, 930 * S)[..], [Change::Cleared(..)]));
}

#[test]
fn rules_that_cannot_be_meant_are_refused_with_words() {
    for (text, word) in [
        (
            "[[rule]]\nid = \"A\"\ntitle = \"t\"\nmetric = \"node.cpu\"\nseverity = \"info\"",
            "its id",
        ),
        (
            "[[rule]]\nid = \"a\"\ntitle = \"\"\nmetric = \"node.cpu\"\nseverity = \"info\"",
            "its title",
        ),
        (
            "[[rule]]\nid = \"a\"\ntitle = \"t\"\nmetric = \"node.cup\"\nseverity = \"info\"",
            "not measured",
        ),
        (
            "[[rule]]\nid = \"a\"\ntitle = \"t\"\nmetric = \"node.cpu\"\nseverity = \"bad\"",
            "unknown variant",
        ),
        (
            "[[rule]]\nid = \"a\"\ntitle = \"t\"\nmetric = \"node.cpu\"\nseverity = \"info\"\nfoo = 1",
            "unknown field",
        ),
        (
            "[[rule]]\nid = \"a\"\ntitle = \"t\"\nmetric = \"node.cpu\"\nseverity = \"info\"\nthreshold = 80\nclear = 90",
            "bad side",
        ),
        (
            "[[rule]]\nid = \"a\"\ntitle = \"t\"\nmetric = \"certificate.days\"\nseverity = \"info\"\nthreshold = 10\ncritical = 20",
            "good side",
        ),
    ] {
        let error = Rules::parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}\n{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A 20-line model of one alert agrees with the real one on any course of values.
    #[test]
    fn one_alert_follows_its_model(course in proptest::collection::vec((0u8..4, 1i64..90), 1..120)) {
        let (rules, mut book) = (storage_rule(), Book::default());
        let (mut now, mut bad_since, mut good_since, mut firing) = (0, None, None, false);
        let mut fires: Vec<i64> = Vec::new();
        for (kind, pause) in course {
            now += pause * S;
            let value = [Some(50.0), Some(82.0), Some(90.0), None][usize::from(kind)];
            let changes = evaluate(&rules, &reading(Metric::StorageUsed, value, now), &mut book, now);
            let before = firing;
            match kind {
                2 => {
                    if good_since.take().is_some() && firing { fires.push(now); }
                    let since = *bad_since.get_or_insert(now);
                    if !firing && now - since >= 60 * S { firing = true; fires.push(now); }
                }
                0 => {
                    if firing {
                        let since = *good_since.get_or_insert(now);
                        let lately = fires.iter().rev().take(8).filter(|f| **f > now - 1800 * S).count();
                        let calm = if lately >= 4 { 600 * S } else { 30 * S };
                        if now - since >= calm { firing = false; }
                    }
                    if !firing { bad_since = None; good_since = None; }
                }
                1 => { good_since = None; if !firing { bad_since = None; } }
                _ => good_since = None,
            }
            let is = book.tracked.values().any(|t| t.phase == Phase::Firing);
            prop_assert_eq!(is, firing);
            prop_assert_eq!(changes.len(), usize::from(before != firing));
        }
    }
}

/// The documentation's table of built-in rules is what is built in.
#[test]
fn every_rule_stands_in_the_documentation_with_its_values() {
    let docs = include_str!("../../../../docs/alerts.md");
    let mut rows = 0;
    for r in defaults().rules {
        let shown = |v: Option<f64>| v.map(|v| r.metric.shown(v)).unwrap_or_default();
        let (threshold, clear, critical) =
            (shown(Some(r.threshold)), shown(r.clear), shown(r.critical));
        let off = if r.enabled { "" } else { " (off)" };
        let row = format!(
            "| `{}` | {} | `{}` | {threshold} | {clear} | {critical} | {} | {}{off} |",
            r.id,
            r.title,
            r.metric.as_str(),
            r.hold_s,
            r.severity
        );
        assert!(docs.contains(&row), "docs/alerts.md lacks:\n{row}");
        rows += 1;
    }
    let table = docs.lines().skip_while(|l| !l.starts_with("| rule | title")).skip(2);
    assert_eq!(table.take_while(|l| l.starts_with('|')).count(), rows, "and no others");
}
