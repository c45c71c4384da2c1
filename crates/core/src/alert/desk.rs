//! The alert desk of one server: what fires is grouped into incidents, folded into the trouble of its node, muted,
//! told or counted, and escalated when nobody takes care. Pure: a reading and the time in, what changed out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::incident::NAMED_MAX;
use super::{
    Ack, Book, Change, Ended, Hold, Incident, Key, Kind, Line, Muting, Phase, Reading, Route,
    Rules, Severity, Summary, Tracked, evaluate, judge,
};
use crate::id::{ChannelId, ClusterId, IncidentId, NodeName, RoleId, UserId};

pub(super) const HOUR_MS: i64 = 3_600_000;
/// Values that only move are shown again after this.
const REFRESH_MS: i64 = 60_000;
/// Names in one entry of a timeline; more are counted.
const LISTED_MAX: usize = 5;
/// Reasons named for silenced alerts.
const REASONS_MAX: usize = 3;

/// Somebody is called about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// 0: when it was told; n: the nth step of escalation.
    pub n: u32,
    /// A person.
    pub user: Option<UserId>,
    /// Or a role.
    pub role: Option<RoleId>,
    /// In which channel; the incident's own where it is left out.
    pub channel: Option<ChannelId>,
    /// When, milliseconds.
    pub at_ms: i64,
}

/// What a step changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Incidents that have to be kept, and shown where they have a message.
    pub touched: BTreeSet<IncidentId>,
}

/// The alert desk of one server.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Where its alerts go.
    pub route: Route,
    /// Its rules.
    pub rules: Rules,
    /// Silences and maintenance windows.
    pub mutes: Vec<Muting>,
    /// Its alerts.
    pub book: Book,
    /// Incidents that are open, or ended not long ago.
    pub incidents: BTreeMap<IncidentId, Incident>,
}

impl Desk {
    /// Takes in a reading. `id` makes ids.
    pub fn step(
        &mut self,
        reading: &Reading,
        now_ms: i64,
        id: &mut dyn FnMut() -> IncidentId,
    ) -> Outcome {
        let mut out = Outcome::default();
        if self.wants(reading) {
            let changes = evaluate(&self.rules, reading, &mut self.book, now_ms);
            self.settle(&reading.cluster, &changes, now_ms, id, &mut out);
        }
        self.tick(now_ms, id, &mut out);
        out
    }

    /// Takes in what others told, one reading after the other; those that change nothing, such as the hundredth time of
    /// something that comes and goes, cost nothing.
    pub fn step_told(
        &mut self,
        readings: &[Reading],
        now_ms: i64,
        id: &mut dyn FnMut() -> IncidentId,
    ) -> Outcome {
        let mut out = Outcome::default();
        for reading in readings {
            if !self.wants(reading) {
                continue;
            }
            let (changes, _) = judge(&self.rules, reading, &mut self.book, now_ms);
            if changes.is_empty() {
                continue;
            }
            self.settle(&reading.cluster, &changes, now_ms, id, &mut out);
            // What is over with the next reading has to be told before.
            self.tick(now_ms, id, &mut out);
        }
        self.tick(now_ms, id, &mut out);
        out
    }

    /// What came of a reading: what is over, what is muted or folded, where the rest belongs, what got worse.
    fn settle(
        &mut self,
        cluster: &ClusterId,
        changes: &[Change],
        now_ms: i64,
        id: &mut dyn FnMut() -> IncidentId,
        out: &mut Outcome,
    ) {
        self.ends(changes, now_ms, out);
        self.mute(now_ms);
        self.unfold(cluster);
        self.group(now_ms, id, out);
        self.rises(changes, now_ms, out);
    }

    /// Time passes: summaries, messages that were held back, escalation.
    pub fn tick(&mut self, now_ms: i64, id: &mut dyn FnMut() -> IncidentId, out: &mut Outcome) {
        self.mute(now_ms);
        self.summarise(now_ms, out);
        self.post(now_ms, out);
        self.overflow(now_ms, id, out);
        self.after_quiet(now_ms, id, out);
        self.escalate(now_ms, out);
        let keep = HOUR_MS.max(self.route.cooldown_ms);
        self.incidents.retain(|_, i| {
            let untold = i.hold == Some(Hold::Quiet) && !i.told;
            untold || i.resolved_ms.is_none_or(|at| now_ms - at <= keep)
        });
    }

    fn wants(&self, reading: &Reading) -> bool {
        let clusters = &self.route.clusters;
        // What ails gantry is everybody's who is told by it.
        clusters.is_empty()
            || clusters.contains(&reading.cluster)
            || reading.cluster.as_str() == super::OWN
    }

    /// Somebody takes care of an incident.
    pub fn acknowledged(&mut self, incident: &IncidentId, ack: &Ack, out: &mut Outcome) {
        if let Some(i) = self.incidents.get_mut(incident)
            && i.ack.as_ref() != Some(ack)
        {
            i.ack = Some(ack.clone());
            i.note(ack.at_ms, format!("acknowledged by {}", ack.name));
            out.touched.insert(incident.clone());
        }
    }

    /// Says what happened while nobody looked, since `since_ms`.
    pub fn catch_up(
        &mut self,
        cluster: &ClusterId,
        body: Vec<String>,
        since_ms: i64,
        now_ms: i64,
        id: IncidentId,
    ) -> IncidentId {
        let title = format!("gantry did not see {cluster} for a while");
        let mut incident = self.fresh(id.clone(), Kind::CatchUp, &title, Severity::Info, now_ms);
        incident.blind_ms = Some((since_ms, now_ms));
        incident.cluster = Some(cluster.clone());
        incident.resolved_ms = Some(now_ms);
        incident.posted_ms = Some(now_ms);
        incident.body = body;
        self.incidents.insert(id.clone(), incident);
        id
    }

    /// An incident that begins now and has no message yet.
    pub fn fresh(
        &self,
        id: IncidentId,
        kind: Kind,
        title: &str,
        severity: Severity,
        now_ms: i64,
    ) -> Incident {
        Incident {
            id,
            guild: self.route.guild,
            channel: self.route.channel,
            cluster: None,
            kind,
            rule: String::new(),
            group: None,
            title: title.to_owned(),
            severity,
            opened_ms: now_ms,
            changed_ms: now_ms,
            resolved_ms: None,
            posted_ms: None,
            hold: None,
            summary: Summary::default(),
            advice: String::new(),
            runbook: None,
            ack: None,
            calls: Vec::new(),
            timeline: Vec::new(),
            older: 0,
            body: Vec::new(),
            blind_ms: None,
            told: false,
            notes: Vec::new(),
        }
    }

    fn ends(&mut self, changes: &[Change], now_ms: i64, out: &mut Outcome) {
        // One entry for all that end in the same way at once: a storm's end is a line, not thousands.
        let mut ended: BTreeMap<IncidentId, BTreeMap<Ended, Vec<String>>> = BTreeMap::new();
        for change in changes {
            let Change::Cleared(key, how) = change else { continue };
            let Some(t) = self.book.tracked.get(key) else { continue };
            let Some(i) = t.incident.as_ref().and_then(|id| self.incidents.get_mut(id)) else {
                continue;
            };
            i.summary.over = i.summary.over.saturating_add(1);
            let ways = ended.entry(i.id.clone()).or_default();
            ways.entry(*how).or_default().push(t.subject.label());
        }
        for (id, ways) in ended {
            let Some(i) = self.incidents.get_mut(&id) else { continue };
            for (how, names) in ways {
                let one = names.len() == 1;
                let words = match how {
                    Ended::Good if one => "is good again",
                    Ended::Good => "are good again",
                    Ended::Gone if one => "is not there any more",
                    Ended::Gone => "are not there any more",
                    Ended::Off if one => "is not watched any more",
                    Ended::Off => "are not watched any more",
                    Ended::Passed if one => "was a while ago",
                    Ended::Passed => "were a while ago",
                    Ended::Unheard if one => "was not told again for two days",
                    Ended::Unheard => "were not told again for two days",
                };
                i.note(now_ms, format!("{} {words}", listed(&names)));
            }
            out.touched.insert(id);
        }
    }

    fn rises(&mut self, changes: &[Change], now_ms: i64, out: &mut Outcome) {
        for change in changes {
            let Change::Rose(key) = change else { continue };
            let Some(t) = self.book.tracked.get(key) else { continue };
            let Some(i) = t.incident.as_ref().and_then(|id| self.incidents.get_mut(id)) else {
                continue;
            };
            i.note(now_ms, format!("{} is {} now: {}", t.subject.label(), t.severity, t.shown()));
            out.touched.insert(i.id.clone());
        }
    }

    /// Notes which alerts are muted, and why.
    fn mute(&mut self, now_ms: i64) {
        let holding: Vec<&Muting> = self.mutes.iter().filter(|m| m.holds(now_ms)).collect();
        let mut moved = Vec::new();
        let mut said: BTreeMap<(IncidentId, String), Vec<String>> = BTreeMap::new();
        for (key, t) in &mut self.book.tracked {
            if t.phase != Phase::Firing {
                continue;
            }
            let why = holding.iter().find(|m| m.covers(&t.rule, &t.subject)).map(|m| m.words());
            if t.muted != why {
                let words = why.clone().unwrap_or_else(|| "not silenced any more".into());
                if let Some(id) = &t.incident {
                    said.entry((id.clone(), words)).or_default().push(t.subject.label());
                }
                t.muted = why;
                moved.push(key.clone());
            }
        }
        self.book.dirty.extend(moved);
        for ((id, words), names) in said {
            if let Some(i) = self.incidents.get_mut(&id).filter(|i| i.is_open()) {
                i.note(now_ms, format!("{}: {words}", listed(&names)));
            }
        }
    }

    /// What was folded into the trouble of a node that is back stands for itself again; what was folded into an incident
    /// that no longer says so moves to the one that does.
    fn unfold(&mut self, cluster: &ClusterId) {
        let hosts: BTreeSet<_> = self.lost(cluster).into_iter().collect();
        for (key, t) in &mut self.book.tracked {
            if t.phase != Phase::Firing || !t.folded || t.subject.cluster != *cluster {
                continue;
            }
            let host = t.subject.node.clone().map(|n| (n, t.incident.clone()));
            if !host.is_some_and(|host| hosts.contains(&host)) {
                t.folded = false;
                t.incident = None;
                self.book.dirty.insert(key.clone());
            }
        }
    }

    /// Nodes of a cluster that are known to be lost, with the incident that says so. What was told of a node before it
    /// was silenced still stands for what is on it: a silence shall make it quiet, not loud.
    fn lost(&self, cluster: &ClusterId) -> Vec<(NodeName, Option<IncidentId>)> {
        let stands = |t: &&Tracked| {
            let told = t.incident.as_ref().and_then(|id| self.incidents.get(id));
            t.muted.is_none() || told.is_some_and(|i| i.is_open() && i.posted_ms.is_some())
        };
        let all = self.book.tracked.values().filter(|t| t.subject.cluster == *cluster);
        all.filter(|t| t.phase == Phase::Firing && t.metric.folds())
            .filter(stands)
            .filter_map(|t| Some((t.subject.node.clone()?, t.incident.clone())))
            .collect()
    }

    /// Gives every alert that fires its incident: nodes first, so that others can be folded into them.
    fn group(&mut self, now_ms: i64, id: &mut dyn FnMut() -> IncidentId, out: &mut Outcome) {
        let waiting = |desk: &Self, nodes: bool| -> Vec<Key> {
            let is_open = |i: &IncidentId| desk.incidents.get(i).is_some_and(Incident::is_open);
            desk.book
                .tracked
                .iter()
                .filter(|(_, t)| t.phase == Phase::Firing && t.metric.folds() == nodes)
                .filter(|(_, t)| !t.incident.as_ref().is_some_and(is_open))
                // What nobody shall be told needs no message; it is counted where alerts are listed.
                .filter(|(_, t)| t.muted.is_none())
                .map(|(key, _)| key.clone())
                .collect()
        };
        for nodes in [true, false] {
            let mut joined: BTreeMap<IncidentId, Vec<String>> = BTreeMap::new();
            let mut lost: BTreeMap<ClusterId, BTreeMap<NodeName, Option<IncidentId>>> =
                BTreeMap::new();
            for key in waiting(self, nodes) {
                let Some(t) = self.book.tracked.get(&key).cloned() else { continue };
                let host = t.subject.node.as_ref().filter(|_| !nodes).and_then(|node| {
                    let cluster = &t.subject.cluster;
                    let known =
                        || self.lost(cluster).into_iter().filter(|(_, i)| i.is_some()).collect();
                    let lost = lost.entry(cluster.clone()).or_insert_with(known);
                    lost.get(node).cloned().flatten()
                });
                let (incident, folded) = match host {
                    Some(host) => (host, true),
                    None => (self.incident_for(&t, now_ms, id), false),
                };
                if let Some(t) = self.book.tracked.get_mut(&key) {
                    t.incident = Some(incident.clone());
                    t.folded = folded;
                }
                self.book.dirty.insert(key);
                joined.entry(incident).or_default().push(t.subject.label());
            }
            for (id, names) in joined {
                if let Some(i) = self.incidents.get_mut(&id) {
                    let word = if i.timeline.is_empty() { "began" } else { "also" };
                    i.note(now_ms, format!("{word}: {}", listed(&names)));
                    out.touched.insert(id);
                }
            }
        }
    }

    /// The open incident of an alert's rule and cluster, one that ended a moment ago, or a new one.
    fn incident_for(
        &mut self,
        t: &Tracked,
        now_ms: i64,
        id: &mut dyn FnMut() -> IncidentId,
    ) -> IncidentId {
        let cooldown = self.route.cooldown_ms;
        let group = t.told.as_ref().map(|told| format!("{}:{}", told.hook, told.group));
        let fits = |i: &&mut Incident| {
            i.kind == Kind::Alerts
                && i.rule == t.rule
                && i.group == group
                && i.cluster.as_ref() == Some(&t.subject.cluster)
                && i.resolved_ms.is_none_or(|at| now_ms - at <= cooldown)
        };
        if let Some(i) = self.incidents.values_mut().filter(fits).max_by_key(|i| i.opened_ms) {
            if i.resolved_ms.take().is_some() {
                i.note(now_ms, "again");
            }
            return i.id.clone();
        }
        let rule = self.rules.find(&t.rule).cloned();
        let own = rule.as_ref().map_or(t.rule.clone(), |r| r.title.clone());
        let title = t.told.as_ref().map_or(own, |told| told.title.clone());
        let mut incident = self.fresh(id(), Kind::Alerts, &title, t.severity, now_ms);
        incident.cluster = Some(t.subject.cluster.clone());
        incident.rule.clone_from(&t.rule);
        if let Some(rule) = rule {
            incident.channel = rule.channel.unwrap_or(self.route.channel);
            let threshold = t.metric.shown(t.threshold);
            incident.advice = rule.advice_for(&t.subject, &t.metric.shown(t.value), &threshold);
            incident.runbook.clone_from(&rule.runbook);
        }
        incident.group = group;
        if let Some(runbook) = t.told.as_ref().and_then(|told| told.runbook.clone()) {
            incident.runbook = Some(runbook);
        }
        let new = incident.id.clone();
        self.incidents.insert(new.clone(), incident);
        new
    }

    /// Counts what every incident stands for now, and ends those that stand for nothing.
    fn summarise(&mut self, now_ms: i64, out: &mut Outcome) {
        let mut members: BTreeMap<&IncidentId, Vec<&Tracked>> = BTreeMap::new();
        for t in self.book.tracked.values().filter(|t| t.phase == Phase::Firing) {
            if let Some(id) = &t.incident {
                members.entry(id).or_default().push(t);
            }
        }
        for (id, i) in self.incidents.iter_mut().filter(|(_, i)| i.kind == Kind::Alerts) {
            let mut all = members.remove(id).unwrap_or_default();
            if !i.is_open() && all.is_empty() {
                continue;
            }
            all.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.fired_ms.cmp(&b.fired_ms)));
            let mut next = count(&all, i.summary.over, now_ms);
            if all.is_empty() {
                // What it was about stays readable when it is over.
                next.lines.clone_from(&i.summary.lines);
            }
            let worst = all.iter().map(|t| t.severity).max();
            let counts = |s: &Summary| (s.firing, s.muted, s.folded, s.over);
            let moved = counts(&next) != counts(&i.summary)
                || worst.is_some_and(|w| w > i.severity)
                || next != i.summary && now_ms - i.changed_ms >= REFRESH_MS;
            if moved {
                i.severity = i.severity.max(worst.unwrap_or(i.severity));
                i.changed_ms = now_ms;
                out.touched.insert(id.clone());
            }
            if moved || i.summary.lines.is_empty() {
                i.summary = next;
            }
            if all.is_empty() {
                i.resolved_ms = Some(now_ms);
                i.note(now_ms, "over");
                out.touched.insert(id.clone());
            }
        }
    }
}

/// The first few names, and how many more.
fn listed(names: &[String]) -> String {
    let named = names.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn count(all: &[&Tracked], over: u32, now_ms: i64) -> Summary {
    let mut summary = Summary { over, ..Summary::default() };
    let mut quiet = Vec::new();
    for t in all {
        if let Some(why) = &t.muted {
            summary.muted += 1;
            if quiet.len() < NAMED_MAX {
                quiet.push(Line::of(t, now_ms));
            }
            if summary.muted_why.len() < REASONS_MAX && !summary.muted_why.contains(why) {
                summary.muted_why.push(why.clone());
            }
        } else if t.folded {
            summary.folded += 1;
            if summary.folded_names.len() < NAMED_MAX {
                summary.folded_names.push(format!("{}: {}", t.subject.label(), t.shown()));
            }
        } else {
            summary.firing += 1;
            if summary.lines.len() < NAMED_MAX {
                summary.lines.push(Line::of(t, now_ms));
            }
        }
    }
    if summary.firing == 0 {
        // A silence makes nobody forget what it is about.
        summary.lines = quiet;
    }
    summary
}
