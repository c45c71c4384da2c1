//! The desk's last step: which incidents get a message now, which are held back and counted, and who is called.

use std::collections::{BTreeMap, BTreeSet};

use super::desk::HOUR_MS;
use super::{Call, Desk, Hold, Incident, Kind, Outcome, Severity};
use crate::id::{ChannelId, ClusterId, IncidentId};

/// Least messages an hour that are kept for what calls somebody.
const RESERVE_LEAST: usize = 5;
/// Lines of a digest; more are counted.
const DIGEST_MAX: usize = 20;

/// Where a digest goes and what it is about. What it names is what its readers are told anyway: nothing of another
/// cluster, and nothing of another channel.
type Place = (ChannelId, Option<ClusterId>);

fn place(i: &Incident) -> Place {
    (i.channel, i.cluster.clone())
}

/// `More than 100 messages this hour: lab`
fn titled(words: &str, place: &Place) -> String {
    place.1.as_ref().map_or_else(|| words.to_owned(), |cluster| format!("{words}: {cluster}"))
}

impl Desk {
    /// Messages of the last hour.
    fn posts_used(&self, now_ms: i64) -> usize {
        let lately = self.incidents.values().filter(|i| i.kind == Kind::Alerts);
        lately.filter(|i| i.posted_ms.is_some_and(|at| now_ms - at < HOUR_MS)).count()
    }

    fn posts_left(&self, now_ms: i64) -> usize {
        let most = usize::try_from(self.route.per_hour).unwrap_or(usize::MAX);
        most.saturating_sub(self.posts_used(now_ms))
    }

    /// Messages beyond an hour's that only what calls somebody may use: mild ones must not crowd it out.
    fn reserve(&self) -> usize {
        usize::try_from(self.route.per_hour / 5).unwrap_or(usize::MAX).max(RESERVE_LEAST)
    }

    /// Decides which incidents get a message now, and calls somebody where that is due.
    pub(super) fn post(&mut self, now_ms: i64, out: &mut Outcome) {
        let mut left = self.posts_left(now_ms);
        let most = usize::try_from(self.route.per_hour).unwrap_or(usize::MAX);
        let most = most.saturating_add(self.reserve());
        let mut severe_left = most.saturating_sub(self.posts_used(now_ms));
        let quiet = self.route.quiet.filter(|q| q.is_quiet(now_ms));
        let mut order: Vec<IncidentId> = self
            .incidents
            .values()
            .filter(|i| i.is_open() && i.posted_ms.is_none() && i.kind == Kind::Alerts)
            .map(|i| i.id.clone())
            .collect();
        // The worst first, in case not all may be told.
        order.sort_by_key(|id| {
            self.incidents.get(id).map(|i| (std::cmp::Reverse(i.severity), i.opened_ms))
        });
        for id in order {
            let call = self.first_call(&id, now_ms);
            let Some(i) = self.incidents.get_mut(&id) else { continue };
            let hold = match () {
                () if i.summary.firing == 0 => Some(Hold::Muted),
                () if i.severity < self.route.least => Some(Hold::Mild),
                () if quiet.is_some_and(|q| i.severity < q.except_from) => Some(Hold::Quiet),
                () if left == 0 && i.severity < self.route.mention_from => Some(Hold::Overflow),
                () if severe_left == 0 => Some(Hold::Overflow),
                () => None,
            };
            if hold == i.hold && hold.is_some() {
                continue;
            }
            i.hold = hold;
            if hold.is_none() {
                left = left.saturating_sub(1);
                severe_left = severe_left.saturating_sub(1);
                i.posted_ms = Some(now_ms);
                i.calls.extend(call);
            }
            out.touched.insert(id);
        }
    }

    /// Who is called when an incident is told.
    fn first_call(&self, id: &IncidentId, now_ms: i64) -> Option<Call> {
        self.call_for(self.incidents.get(id)?.severity, now_ms)
    }

    fn call_for(&self, severity: Severity, now_ms: i64) -> Option<Call> {
        let user = self.route.duty.now(now_ms);
        let role = self.route.mention.filter(|_| user.is_none());
        (severity >= self.route.mention_from && (user.is_some() || role.is_some()))
            .then_some(Call { n: 0, user, role, channel: None, at_ms: now_ms })
    }

    /// The digests of what could not be told singly.
    pub(super) fn overflow(
        &mut self,
        now_ms: i64,
        id: &mut dyn FnMut() -> IncidentId,
        out: &mut Outcome,
    ) {
        let concerned = |i: &&Incident| {
            i.kind == Kind::Overflow && i.is_open()
                || i.hold == Some(Hold::Overflow) && i.posted_ms.is_none()
        };
        let places: BTreeSet<Place> =
            self.incidents.values().filter(concerned).map(place).collect();
        for place in places {
            self.overflow_at(&place, now_ms, id, out);
        }
    }

    fn overflow_at(
        &mut self,
        at: &Place,
        now_ms: i64,
        id: &mut dyn FnMut() -> IncidentId,
        out: &mut Outcome,
    ) {
        let here = |i: &&Incident| i.channel == at.0 && i.cluster == at.1;
        let mut all = self.incidents.values().filter(here);
        let open = all.find(|i| i.kind == Kind::Overflow && i.is_open());
        let open = open.map(|i| (i.id.clone(), i.opened_ms));
        // One for each hour, so that none of what it counts is forgotten before it ends and its counts stay exact.
        let open = match open {
            Some((old, opened_ms)) if now_ms - opened_ms >= HOUR_MS => {
                self.end_digest(&old, now_ms, out);
                None
            }
            open => open,
        };
        let since_ms = open.as_ref().map_or(now_ms, |(_, opened_ms)| *opened_ms);
        let mut held: Vec<&Incident> = self
            .incidents
            .values()
            .filter(here)
            .filter(|i| i.hold == Some(Hold::Overflow) && i.posted_ms.is_none())
            // What ended before was counted by the digest before.
            .filter(|i| i.resolved_ms.is_none_or(|at| at >= since_ms))
            .collect();
        if held.is_empty() {
            if let Some((done, _)) = open
                && self.posts_left(now_ms) > 0
            {
                self.end_digest(&done, now_ms, out);
            }
            return;
        }
        held.sort_by_key(|i| (std::cmp::Reverse(i.severity), i.opened_ms));
        let mut body = digest(&held);
        let alerts: u64 = held.iter().map(|i| stood_for(i)).sum();
        body.insert(0, format!("{} incidents with {alerts} alerts, counted here", held.len()));
        let severity = held.iter().map(|i| i.severity).max().unwrap_or(Severity::Warning);
        let folded = u32::try_from(held.len()).unwrap_or(u32::MAX);
        let call = self.call_for(severity, now_ms);
        let target = match open {
            Some((id, _)) => id,
            None => {
                let title = format!("More than {} messages this hour", self.route.per_hour);
                let title = titled(&title, at);
                let mut fresh = self.fresh(id(), Kind::Overflow, &title, severity, now_ms);
                (fresh.channel, fresh.cluster) = at.clone();
                fresh.posted_ms = Some(now_ms);
                let new = fresh.id.clone();
                self.incidents.insert(new.clone(), fresh);
                out.touched.insert(new.clone());
                new
            }
        };
        if let Some(i) = self.incidents.get_mut(&target)
            && i.body != body
        {
            i.body = body;
            i.severity = i.severity.max(severity);
            // For what it counts nobody is called singly.
            if i.calls.is_empty() {
                i.calls.extend(call);
            }
            i.summary.folded = folded;
            i.changed_ms = now_ms;
            out.touched.insert(target);
        }
    }

    fn end_digest(&mut self, id: &IncidentId, now_ms: i64, out: &mut Outcome) {
        if let Some(i) = self.incidents.get_mut(id) {
            i.resolved_ms = Some(now_ms);
            i.changed_ms = now_ms;
            out.touched.insert(id.clone());
        }
    }

    /// When quiet hours end: what came and went meanwhile, in one message a cluster.
    pub(super) fn after_quiet(
        &mut self,
        now_ms: i64,
        id: &mut dyn FnMut() -> IncidentId,
        out: &mut Outcome,
    ) {
        if self.route.quiet.is_some_and(|q| q.is_quiet(now_ms)) {
            return;
        }
        let mut missed: BTreeMap<Place, Vec<&Incident>> = BTreeMap::new();
        for i in self.incidents.values() {
            if i.hold == Some(Hold::Quiet) && !i.is_open() && !i.told {
                missed.entry(place(i)).or_default().push(i);
            }
        }
        let missed: Vec<(Place, Vec<String>, Vec<IncidentId>)> = missed
            .into_iter()
            .map(|(at, all)| (at, digest(&all), all.iter().map(|i| i.id.clone()).collect()))
            .collect();
        for (at, body, ids) in missed {
            let title = titled(&format!("During quiet hours {} came and went", ids.len()), &at);
            let mut note = self.fresh(id(), Kind::CatchUp, &title, Severity::Info, now_ms);
            (note.channel, note.cluster) = at;
            note.posted_ms = Some(now_ms);
            note.resolved_ms = Some(now_ms);
            note.body = body;
            out.touched.insert(note.id.clone());
            self.incidents.insert(note.id.clone(), note);
            for id in ids {
                if let Some(i) = self.incidents.get_mut(&id) {
                    i.told = true;
                    out.touched.insert(id);
                }
            }
        }
    }

    /// Calls the next ones where nobody takes care.
    pub(super) fn escalate(&mut self, now_ms: i64, out: &mut Outcome) {
        let on_call = self.route.duty.now(now_ms);
        let first = self.call_for(Severity::Critical, now_ms);
        for (id, i) in &mut self.incidents {
            let Some(posted) = i.posted_ms.filter(|_| i.is_open() && i.ack.is_none()) else {
                continue;
            };
            if i.kind != Kind::Alerts
                || i.severity < self.route.mention_from
                || i.summary.firing == 0
            {
                continue;
            }
            if i.calls.is_empty()
                && let Some(first) = &first
            {
                // It was milder when it was told.
                i.calls.push(first.clone());
                out.touched.insert(id.clone());
                continue;
            }
            let done = i.calls.iter().map(|c| c.n).max().unwrap_or(0);
            let Some(step) = usize::try_from(done).ok().and_then(|n| self.route.escalation.get(n))
            else {
                continue;
            };
            if now_ms - posted < step.after_ms {
                continue;
            }
            let user = on_call.filter(|_| step.role.is_none());
            let role = step.role.or(self.route.mention.filter(|_| user.is_none()));
            i.calls.push(Call { n: done + 1, user, role, channel: step.channel, at_ms: now_ms });
            let minutes = step.after_ms / 60_000;
            i.note(now_ms, format!("nobody acknowledged within {minutes} min: called the next"));
            out.touched.insert(id.clone());
        }
    }
}

/// Every alert an incident ever stood for.
fn stood_for(i: &Incident) -> u64 {
    u64::from(i.counted()) + u64::from(i.summary.over)
}

/// Incidents in one line each, with how many alerts each stood for, and how many there are beside those.
fn digest(all: &[&Incident]) -> Vec<String> {
    let line = |i: &&Incident| {
        let first = i.summary.lines.first().map(|l| format!(": {}", l.subject.label()));
        let more = match stood_for(i) {
            0 | 1 => String::new(),
            n => format!(", {} more", n - 1),
        };
        let now = if i.is_open() { "" } else { " (over)" };
        format!("{} · {}{}{more}{now}", i.severity, i.title, first.unwrap_or_default())
    };
    let mut body: Vec<String> = all.iter().take(DIGEST_MAX).map(line).collect();
    let rest = all.get(DIGEST_MAX..).unwrap_or_default();
    if !rest.is_empty() {
        let alerts: u64 = rest.iter().map(|i| stood_for(i)).sum();
        body.push(format!("and {} more with {alerts} alerts; `/alert list` shows all", rest.len()));
    }
    body
}
