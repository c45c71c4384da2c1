//! Holds samples against rules. The state of each alert is small and explicit, so that it can be kept and explained.
//!
//! ```text
//! Pending ──bad long enough──▶ Firing ──good long enough──▶ Over
//!    └──────excused──────────▶ Held ───no longer excused──▶ Firing
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Effective, Excuse, Metric, Reading, Rule, Rules, Sample, Severity, Subject, Told, Unit,
};
use crate::id::IncidentId;

/// So many firings within the window are flapping.
const FLAPS: usize = 4;
/// That window.
const FLAP_WINDOW_MS: i64 = 30 * 60 * 1000;
/// What flaps must be good for this long before it is over.
const FLAP_CALM_MS: i64 = 10 * 60 * 1000;
/// What others said holds this long without being said again. Alertmanager says it again every four hours.
const HEARD_MS: i64 = 2 * 24 * 3600 * 1000;
/// Firings remembered of one alert.
const FIRES_KEPT: usize = 8;

/// Which alert: rule and subject.
pub type Key = (String, String);

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Bad, not yet for long enough.
    Pending,
    /// Bad, and explained.
    Held,
    /// Bad.
    Firing,
    /// Good again; remembered for a while to see flapping.
    Over,
}

impl Phase {
    /// The text kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Firing => "firing",
            Self::Over => "over",
        }
    }
}

/// Why an alert is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The value is good again.
    Good,
    /// What it was about is not there any more.
    Gone,
    /// The rule was switched off for it.
    Off,
    /// An event, and its time has passed.
    Passed,
    /// Others said it, and have not said it again for long.
    Unheard,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// The rule.
    pub rule: String,
    /// What the rule looks at.
    pub metric: Metric,
    /// What it is about.
    pub subject: Subject,
    /// Where it stands.
    pub phase: Phase,
    /// Since when it is bad, milliseconds.
    pub bad_since_ms: i64,
    /// When it fired last, milliseconds; 0: never.
    pub fired_ms: i64,
    /// Since when it is good again while it still counts as firing.
    pub good_since_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// The newest value.
    pub value: f64,
    /// What it was held against.
    pub threshold: f64,
    /// What people should know.
    pub detail: String,
    /// How bad; never milder while it fires.
    pub severity: Severity,
    /// Why it is held.
    pub excuse: Option<Excuse>,
    /// When it fired before, newest last.
    pub fires: Vec<i64>,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
    /// Folded into the trouble of its node.
    #[serde(default)]
    pub folded: bool,
    /// Why it is not told.
    #[serde(default)]
    pub muted: Option<String>,
    /// When it was seen last, milliseconds.
    pub seen_ms: i64,
    /// Who says it, where it is not gantry itself.
    #[serde(default)]
    pub told: Option<Box<Told>>,
}

impl Tracked {
    /// Its key.
    pub fn key(&self) -> Key {
        (self.rule.clone(), self.subject.key())
    }

    /// Whether it comes and goes.
    pub fn flaps(&self, now_ms: i64) -> bool {
        self.fires.iter().filter(|at| **at > now_ms - FLAP_WINDOW_MS).count() >= FLAPS
    }

    /// The value as people read it, with what it is held against.
    pub fn shown(&self) -> String {
        let value = self.metric.shown(self.value);
        if value.is_empty() {
            return self.metric.words().to_owned();
        }
        format!("{} {value} (limit {})", self.metric.words(), self.metric.shown(self.threshold))
    }
}

/// What changed about an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It fires.
    Fired(Key),
    /// It fires and got worse.
    Rose(Key),
    /// It is over.
    Cleared(Key, Ended),
    /// It would fire, but is explained.
    Held(Key),
    /// It was held and is over.
    Released(Key),
}

/// All alerts of one server, by rule and subject.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    /// The alerts.
    pub tracked: BTreeMap<Key, Tracked>,
    /// Those that have to be written down.
    pub dirty: BTreeSet<Key>,
    /// Those that have to be forgotten.
    pub gone: BTreeSet<Key>,
}

impl Book {
    /// A book of what was kept.
    pub fn of(kept: impl IntoIterator<Item = Tracked>) -> Self {
        Self { tracked: kept.into_iter().map(|t| (t.key(), t)).collect(), ..Self::default() }
    }

    fn touch(&mut self, key: &Key) {
        self.gone.remove(key);
        self.dirty.insert(key.clone());
    }

    fn forget(&mut self, key: &Key) {
        if self.tracked.remove(key).is_some() {
            self.dirty.remove(key);
            self.gone.insert(key.clone());
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Bad,
    Between,
    Good,
}

fn verdict(metric: Metric, rule: &Effective, value: f64) -> Verdict {
    let (value, threshold, clear) = if metric.low_is_bad() {
        (-value, -rule.threshold, -rule.clear)
    } else {
        (value, rule.threshold, rule.clear)
    };
    match () {
        () if value >= threshold => Verdict::Bad,
        () if value < clear || clear >= threshold => Verdict::Good,
        () => Verdict::Between,
    }
}

fn severity(metric: Metric, rule: &Effective, value: f64) -> Severity {
    let critical =
        rule.critical.is_some_and(|at| if metric.low_is_bad() { value <= at } else { value >= at });
    if critical { Severity::Critical } else { rule.severity }
}

/// Holds a reading against the rules. What is bad for long enough fires; what nobody can say about stays as it was.
pub fn evaluate(rules: &Rules, reading: &Reading, book: &mut Book, now_ms: i64) -> Vec<Change> {
    let (mut changes, seen) = judge(rules, reading, book, now_ms);
    let others: Vec<Key> = book
        .tracked
        .iter()
        .filter(|(key, t)| t.subject.cluster == reading.cluster && !seen.contains(*key))
        .map(|(key, _)| key.clone())
        .collect();
    for key in others {
        unseen(rules, reading, &key, book, now_ms, &mut changes);
    }
    changes
}

/// Holds the samples of a reading against the rules; says which alerts they are about. What is not in it is left alone.
pub(super) fn judge(
    rules: &Rules,
    reading: &Reading,
    book: &mut Book,
    now_ms: i64,
) -> (Vec<Change>, BTreeSet<Key>) {
    let mut changes = Vec::new();
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    for rule in &rules.rules {
        for sample in reading.samples.iter().filter(|s| s.metric == rule.metric) {
            let key = (rule.id.clone(), sample.subject.key());
            match rule.effective(&sample.subject) {
                Some(effective) if effective.enabled => {
                    one(rule, &effective, sample, &key, book, now_ms, &mut changes);
                    if rule.metric == Metric::Told && book.tracked.contains_key(&key) {
                        // That it was said again is kept: what is kept must not grow silent over a restart.
                        book.touch(&key);
                    }
                    seen.insert(key);
                }
                _ => {}
            }
        }
    }
    (changes, seen)
}

/// An alert whose subject was not in the reading, or that its rule no longer covers.
fn unseen(
    rules: &Rules,
    reading: &Reading,
    key: &Key,
    book: &mut Book,
    now_ms: i64,
    changes: &mut Vec<Change>,
) {
    let Some(t) = book.tracked.get(key) else { return };
    let rule = rules.find(&t.rule);
    let effective = rule.and_then(|r| r.effective(&t.subject)).filter(|e| e.enabled);
    let ended = match &effective {
        None => Some(Ended::Off),
        Some(e) if t.metric.unit() == Unit::Event => {
            (now_ms - t.seen_ms >= e.calm_ms).then_some(Ended::Passed)
        }
        Some(_) => reading.covers.contains(&t.metric).then_some(Ended::Gone),
    };
    if t.phase == Phase::Over {
        if now_ms - t.ended_ms.unwrap_or(0) > FLAP_WINDOW_MS {
            book.forget(key);
        }
        return;
    }
    if t.metric == Metric::Told
        && let Some((rule, effective)) = rule.zip(effective.as_ref())
    {
        still(rule, effective, key, book, now_ms, changes);
        return;
    }
    if let Some(ended) = ended {
        end(key, book, ended, now_ms, changes);
    }
}

/// Time passes for what others said: it holds until they say otherwise.
fn still(
    rule: &Rule,
    effective: &Effective,
    key: &Key,
    book: &mut Book,
    now_ms: i64,
    changes: &mut Vec<Change>,
) {
    let Some(t) = book.tracked.get(key) else { return };
    let seen_ms = t.seen_ms;
    if now_ms - seen_ms >= HEARD_MS {
        end(key, book, Ended::Unheard, now_ms, changes);
        return;
    }
    let mut sample = Sample::new(t.subject.clone(), t.metric, t.value).detail(t.detail.clone());
    sample.told.clone_from(&t.told);
    one(rule, effective, &sample, key, book, now_ms, changes);
    if let Some(t) = book.tracked.get_mut(key) {
        t.seen_ms = seen_ms;
    }
}

fn end(key: &Key, book: &mut Book, ended: Ended, now_ms: i64, changes: &mut Vec<Change>) {
    let Some(t) = book.tracked.get_mut(key) else { return };
    let was = t.phase;
    t.phase = Phase::Over;
    t.ended_ms = Some(now_ms);
    t.good_since_ms = None;
    t.excuse = None;
    match was {
        Phase::Firing => changes.push(Change::Cleared(key.clone(), ended)),
        Phase::Held => changes.push(Change::Released(key.clone())),
        Phase::Pending | Phase::Over => {}
    }
    if t.fires.is_empty() || ended == Ended::Gone && was != Phase::Firing {
        // Never told: nothing to remember.
        book.forget(key);
    } else {
        book.touch(key);
    }
}

fn one(
    rule: &Rule,
    effective: &Effective,
    sample: &Sample,
    key: &Key,
    book: &mut Book,
    now_ms: i64,
    changes: &mut Vec<Change>,
) {
    let Some(value) = sample.value else {
        // Nobody can say: what was true stays, and does not become good meanwhile.
        if let Some(t) = book.tracked.get_mut(key) {
            t.seen_ms = now_ms;
            t.good_since_ms = None;
        }
        return;
    };
    match verdict(rule.metric, effective, value) {
        Verdict::Bad => bad(rule, effective, sample, value, key, book, now_ms, changes),
        Verdict::Between => between(key, book, value, now_ms),
        Verdict::Good => good(effective, key, book, value, now_ms, changes),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one sample against one rule, with the state of both"
)]
fn bad(
    rule: &Rule,
    effective: &Effective,
    sample: &Sample,
    value: f64,
    key: &Key,
    book: &mut Book,
    now_ms: i64,
    changes: &mut Vec<Change>,
) {
    let own = || severity(rule.metric, effective, value);
    let how_bad = sample.told.as_ref().map_or_else(own, |told| told.severity);
    let is_new = !book.tracked.contains_key(key);
    let t = book.tracked.entry(key.clone()).or_insert_with(|| Tracked {
        rule: rule.id.clone(),
        metric: rule.metric,
        subject: sample.subject.clone(),
        phase: Phase::Pending,
        bad_since_ms: now_ms,
        fired_ms: 0,
        good_since_ms: None,
        ended_ms: None,
        value,
        threshold: effective.threshold,
        detail: String::new(),
        severity: how_bad,
        excuse: None,
        fires: Vec::new(),
        incident: None,
        folded: false,
        muted: None,
        seen_ms: now_ms,
        told: None,
    });
    let before = (t.phase, t.severity, t.excuse.clone(), t.subject.clone());
    let worth = (t.value - value).abs() >= 1.0 || t.detail != sample.detail;
    t.subject = sample.subject.clone();
    t.value = value;
    t.threshold = effective.threshold;
    t.detail.clone_from(&sample.detail);
    t.told.clone_from(&sample.told);
    t.seen_ms = now_ms;
    if t.good_since_ms.take().is_some() && t.phase == Phase::Firing {
        // Nearly over, and bad again: that counts as another time when looking for flapping.
        remember(&mut t.fires, now_ms);
    }
    if t.phase == Phase::Over {
        t.phase = Phase::Pending;
        t.bad_since_ms = now_ms;
        t.severity = how_bad;
        t.ended_ms = None;
        t.folded = false;
        t.muted = None;
    }
    if t.phase != Phase::Firing {
        t.severity = how_bad;
        let excuse = sample.excuse.clone().filter(|_| rule.excusable);
        if now_ms - t.bad_since_ms >= effective.hold_ms {
            if let Some(excuse) = excuse {
                if t.phase != Phase::Held {
                    changes.push(Change::Held(key.clone()));
                }
                t.phase = Phase::Held;
                t.excuse = Some(excuse);
            } else {
                t.phase = Phase::Firing;
                t.excuse = None;
                t.fired_ms = now_ms;
                remember(&mut t.fires, now_ms);
                changes.push(Change::Fired(key.clone()));
            }
        }
    } else if how_bad > t.severity {
        t.severity = how_bad;
        changes.push(Change::Rose(key.clone()));
    }
    let after = (t.phase, t.severity, t.excuse.clone(), t.subject.clone());
    if is_new || before != after || worth {
        book.touch(key);
    }
}

fn remember(fires: &mut Vec<i64>, now_ms: i64) {
    fires.push(now_ms);
    if fires.len() > FIRES_KEPT {
        fires.remove(0);
    }
}

fn between(key: &Key, book: &mut Book, value: f64, now_ms: i64) {
    let Some(t) = book.tracked.get_mut(key) else { return };
    t.seen_ms = now_ms;
    match t.phase {
        Phase::Firing => {
            t.value = value;
            t.good_since_ms = None;
        }
        // Not bad any more before it was bad for long enough.
        Phase::Pending | Phase::Held => {
            if t.fires.is_empty() {
                book.forget(key);
            } else {
                t.phase = Phase::Over;
                t.ended_ms = Some(now_ms);
                book.touch(key);
            }
        }
        Phase::Over => {}
    }
}

fn good(
    effective: &Effective,
    key: &Key,
    book: &mut Book,
    value: f64,
    now_ms: i64,
    changes: &mut Vec<Change>,
) {
    let Some(t) = book.tracked.get_mut(key) else { return };
    t.seen_ms = now_ms;
    t.value = value;
    match t.phase {
        Phase::Firing => {
            let since = *t.good_since_ms.get_or_insert(now_ms);
            let calm = if t.flaps(now_ms) { FLAP_CALM_MS } else { effective.calm_ms };
            if now_ms - since >= calm {
                end(key, book, Ended::Good, now_ms, changes);
            } else {
                book.touch(key);
            }
        }
        Phase::Pending | Phase::Held => end(key, book, Ended::Good, now_ms, changes),
        Phase::Over => {
            if now_ms - t.ended_ms.unwrap_or(0) > FLAP_WINDOW_MS {
                book.forget(key);
            }
        }
    }
}
