//! From what a set shall be and what is seen of it to the next few actions, or to the reason why there are none.
//!
//! Level-triggered: it remembers nothing, so it does not matter what was missed. What it never does: act on old news,
//! touch a guest that is not the set's, take away more ready pods than the update strategy allows, delete volumes that
//! shall be kept, or undo silently what somebody did by hand.

use super::decision::{Act, Decision, Phase};
use super::seen::{Observed, Pod, Readiness, Slot};
use super::spec::{Keep, Update};
use super::state::Set;
use crate::world::GuestStatus;

/// A reading older than this decides nothing; clusters are read every 10 s.
pub const STALE_MS: i64 = 60_000;
/// Most pods worked on at the same time, for sets that are not ordered.
const ACTS_MAX: usize = 5;
/// Failed tries in a row after which a new revision is given up.
pub const TRIES: u32 = 3;
/// Pause after the first failure; doubles with each.
const PAUSE_FIRST_MS: i64 = 10_000;
/// Longest pause after a failure.
const PAUSE_LONGEST_MS: i64 = 600_000;

/// How long nothing is tried again after failures.
pub fn pause_ms(failures: u32) -> i64 {
    if failures == 0 {
        return 0;
    }
    (PAUSE_FIRST_MS << (failures - 1).min(10)).min(PAUSE_LONGEST_MS)
}

struct Work<'a> {
    set: &'a Set,
    seen: &'a Observed,
    now_ms: i64,
    out: Decision,
    /// Ordinals that are taken out of service by this decision.
    leaving: Vec<u32>,
    /// Pods that something is being done to.
    busy: usize,
}

/// Decides. `now_ms` is the moment of deciding.
pub fn reconcile(set: &Set, seen: &Observed, now_ms: i64) -> Decision {
    let wanted = if set.deleting.is_some() { 0 } else { set.spec().replicas };
    let out = Decision {
        phase: Phase::Waiting,
        acts: Vec::new(),
        fingerprint: String::new(),
        wanted,
        ready: 0,
        current: 0,
        waits: Vec::new(),
    };
    let mut work = Work { set, seen, now_ms, out, leaving: Vec::new(), busy: 0 };
    work.count();
    if now_ms - seen.at_ms > STALE_MS {
        let why = seen.fault.as_deref().unwrap_or("it was not read");
        let age_s = (now_ms - seen.at_ms) / 1000;
        let wait =
            format!("{} was read {age_s} s ago ({why}): nothing is done on old news.", set.cluster);
        work.out.waits.push(wait);
        return work.out;
    }
    work.report();
    work.remove_excess();
    if set.deleting.is_none() {
        if let Some(why) = work.failing() {
            work.out.acts.push(Act::Halt(why));
        } else {
            work.keep_up();
            work.roll();
        }
    }
    work.publish();
    work.finish()
}

impl Work<'_> {
    fn wanted(&self) -> std::ops::Range<u32> {
        match self.set.deleting {
            Some(_) => 0..0,
            None => self.set.spec().ordinals(),
        }
    }

    fn is_ready(&self, slot: &Slot) -> bool {
        slot.is_ready(self.set.spec().min_ready_s, self.now_ms)
    }

    /// Whether the pod was made from something else than it shall be made from.
    fn is_outdated(&self, slot: &Slot) -> bool {
        let want = &self.set.revision_for(slot.ordinal()).key;
        slot.record.key.as_ref() != Some(want)
    }

    /// Whether an outdated pod may be replaced at all.
    fn may_replace(&self, slot: &Slot) -> bool {
        let rolls = matches!(self.set.spec().update, Update::Rolling { .. });
        // Without a key somebody asked for it to be made again, or nobody knows what it was made from.
        let asked = slot.record.key.is_none();
        let rolls = rolls && self.set.paused.is_none() && self.is_outdated(slot);
        !self.set.is_stuck() && (asked || rolls)
    }

    fn wanted_slots(&self) -> impl DoubleEndedIterator<Item = &Slot> {
        let wanted = self.wanted();
        self.seen.slots.iter().filter(move |s| wanted.contains(&s.ordinal()))
    }

    fn count(&mut self) {
        let (mut ready, mut current, mut busy) = (0, 0, 0);
        for slot in self.wanted_slots() {
            let up = self.is_ready(slot);
            ready += u32::from(up);
            let newest = slot.record.key.as_ref() == Some(&self.set.newest.key);
            current += u32::from(newest && slot.pod != Pod::Absent);
        }
        busy += self.seen.slots.iter().filter(|s| s.busy.is_some()).count();
        (self.out.ready, self.out.current, self.busy) = (ready, current, busy);
    }

    fn wait(&mut self, slot: &Slot, why: impl AsRef<str>) {
        self.out.waits.push(format!("{}: {}", slot.record.identity.name, why.as_ref()));
    }

    /// Room for one more pod to work on.
    fn has_room(&self) -> bool {
        let limit = if self.set.spec().is_ordered() { 1 } else { ACTS_MAX };
        self.busy < limit
    }

    fn act(&mut self, act: Act) {
        self.busy += 1;
        self.out.acts.push(act);
    }

    /// Drifts that were neither told nor ignored; and first readiness.
    fn report(&mut self) {
        for slot in &self.seen.slots {
            if let Some(drift) = &slot.drift {
                let known = Some(&drift.fingerprint);
                let told =
                    slot.record.reported.as_ref() == known || slot.record.ignored.as_ref() == known;
                if !told && slot.busy.is_none() {
                    self.out.acts.push(Act::Report(slot.ordinal(), drift.clone()));
                }
            }
            let fresh = slot.record.ready_ms.is_none() || slot.record.failures > 0;
            if fresh && slot.record.key.is_some() && self.is_ready(slot) {
                self.out.acts.push(Act::NoteReady(slot.ordinal()));
            }
        }
    }

    /// Takes away what shall not exist, from the highest ordinal down.
    fn remove_excess(&mut self) {
        let wanted = self.wanted();
        let keep = self.set.deleting.unwrap_or(self.set.spec().on_scale_down);
        let seen = self.seen;
        for slot in seen.slots.iter().rev().filter(|s| !wanted.contains(&s.ordinal())) {
            let ordinal = slot.ordinal();
            if slot.busy.is_some() {
                self.wait(slot, "gantry is at work on it.");
                if self.set.spec().is_ordered() {
                    return;
                }
                continue;
            }
            match &slot.pod {
                Pod::Ours { lock: Some(lock), .. } => {
                    self.wait(slot, format!("locked by Proxmox ({lock})."));
                }
                Pod::Unseen => self.wait(slot, "its node does not answer; it may still run."),
                Pod::Ours { .. } if self.is_pausing(slot) => self.wait_after_failure(slot),
                Pod::Ours { .. } => {
                    if self.has_room() {
                        self.leave(slot);
                    }
                }
                // Taken off running pods, tags make strangers of them: what such a one mounts may be these volumes.
                Pod::Stranger if slot.keeper && keep == Keep::Delete => {
                    self.wait(slot, "another guest has its number and may use its volumes; they are not deleted.");
                }
                Pod::Absent if slot.keeper && keep == Keep::Delete => {
                    if self.is_pausing(slot) {
                        self.wait_after_failure(slot);
                    } else if self.has_room() {
                        self.act(Act::DropVolumes(ordinal));
                    }
                }
                // The keeper stays, and the ordinal keeps who it was.
                Pod::Absent | Pod::Stranger if slot.keeper && self.set.deleting.is_none() => {
                    continue;
                }
                Pod::Absent | Pod::Stranger if self.is_named(slot) => {
                    self.wait(slot, "its names are taken out of DNS first.");
                    continue;
                }
                Pod::Absent | Pod::Stranger => {
                    self.out.acts.push(Act::Forget(ordinal));
                    continue;
                }
            }
            if self.set.spec().is_ordered() {
                return;
            }
        }
    }

    /// Removes a pod, but first takes its names away.
    fn leave(&mut self, slot: &Slot) {
        self.leaving.push(slot.ordinal());
        if self.is_named(slot) {
            self.wait(slot, "its names are taken out of DNS first.");
        } else {
            self.act(Act::Remove(slot.ordinal()));
        }
    }

    /// Whether its names answer, as far as is written down.
    fn is_named(&self, slot: &Slot) -> bool {
        slot.record.published && self.set.spec().service.is_some()
    }

    fn is_pausing(&self, slot: &Slot) -> bool {
        self.now_ms < slot.record.failed_ms + pause_ms(slot.record.failures)
    }

    fn wait_after_failure(&mut self, slot: &Slot) {
        let record = &slot.record;
        let left_s = (record.failed_ms + pause_ms(record.failures) - self.now_ms).max(0) / 1000;
        let why = record.failed.clone().unwrap_or_default();
        self.wait(
            slot,
            format!("tried again in {left_s} s, after {} failures: {why}", record.failures),
        );
    }

    /// Why the newest revision does not work, where that is so.
    fn failing(&self) -> Option<String> {
        let newest = &self.set.newest;
        let proven = self.set.good.as_ref().is_some_and(|g| g.key == newest.key);
        if proven || self.set.is_stuck() {
            return None;
        }
        let deadline_s = self.set.spec().progress_deadline_s;
        for slot in self.wanted_slots() {
            let record = &slot.record;
            let name = &record.identity.name;
            if self.set.revision_for(slot.ordinal()).key != newest.key {
                continue;
            }
            let made = record.key.as_ref() == Some(&newest.key);
            if record.failures >= TRIES
                && record.ready_ms.is_none()
                && (made || record.key.is_none())
            {
                let why = record.failed.clone().unwrap_or_default();
                return Some(format!("{name} failed {} times: {why}", record.failures));
            }
            let late = self.now_ms >= record.made_ms + i64::from(deadline_s) * 1000;
            if made
                && record.ready_ms.is_none()
                && late
                && slot.busy.is_none()
                && !self.is_ready(slot)
            {
                let why = match &slot.readiness {
                    Readiness::NotReady(why) => why.clone(),
                    Readiness::Ready(_) => "it was not ready for long enough".into(),
                };
                return Some(format!("{name} was not ready within {deadline_s} s: {why}."));
            }
        }
        None
    }

    /// Makes what is missing and starts what is off, from the lowest ordinal up.
    fn keep_up(&mut self) {
        let (set, seen) = (self.set, self.seen);
        let ordered = set.spec().is_ordered();
        for ordinal in self.wanted() {
            let Some(slot) = seen.slot(ordinal) else {
                if set.is_stuck() {
                    return;
                }
                self.out.acts.push(Act::Allot(ordinal));
                continue;
            };
            if self.is_ready(slot) {
                continue;
            }
            self.raise(slot);
            if ordered {
                return;
            }
        }
    }

    fn raise(&mut self, slot: &Slot) {
        let ordinal = slot.ordinal();
        if slot.busy.is_some() {
            return self.wait(slot, "gantry is at work on it.");
        }
        if self.is_pausing(slot) {
            return self.wait_after_failure(slot);
        }
        let proven = slot.record.ready_ms.is_some();
        match &slot.pod {
            Pod::Unseen => {
                self.wait(
                    slot,
                    "its node does not answer; it may still run, so it is not made again.",
                );
            }
            Pod::Stranger => {
                self.wait(slot, "another guest has its number; nothing is done about that.")
            }
            Pod::Absent if self.set.is_stuck() && !proven => {
                self.wait(slot, "not made: the rollout is halted.");
            }
            Pod::Absent if slot.record.identity.keeper.is_some() && !slot.keeper => {
                if self.has_room() {
                    self.act(Act::MakeKeeper(ordinal));
                }
            }
            Pod::Absent => {
                if self.has_room() {
                    self.act(Act::Create(ordinal));
                }
            }
            Pod::Ours { lock: Some(lock), .. } => {
                self.wait(slot, format!("locked by Proxmox ({lock})."));
            }
            // Broken and old: replaced below instead.
            Pod::Ours { .. } if self.may_replace(slot) => {}
            Pod::Ours { status: GuestStatus::Stopped, .. } => {
                if self.has_room() {
                    self.act(Act::Start(ordinal));
                }
            }
            Pod::Ours { status: GuestStatus::Running, .. } => match &slot.readiness {
                Readiness::NotReady(why) => self.wait(slot, format!("not ready: {why}.")),
                Readiness::Ready(_) => self.wait(slot, "ready, but not for long enough yet."),
            },
            Pod::Ours { status, .. } => {
                self.wait(slot, format!("it is {}; somebody did that.", status.as_str()));
            }
        }
    }

    /// Replaces older pods from the highest ordinal down: broken ones at once, ready ones while enough others are.
    fn roll(&mut self) {
        let seen = self.seen;
        let down = self.out.wanted.saturating_sub(self.out.ready);
        let mut budget = self.set.spec().max_unavailable().saturating_sub(down);
        let wanted = self.wanted();
        for slot in seen.slots.iter().rev().filter(|s| wanted.contains(&s.ordinal())) {
            if !self.may_replace(slot) || slot.busy.is_some() || self.is_pausing(slot) {
                continue;
            }
            if !matches!(slot.pod, Pod::Ours { lock: None, .. }) {
                continue;
            }
            let ready = self.is_ready(slot);
            if ready && budget == 0 {
                self.wait(slot, "older than it shall be; it waits until enough others are ready.");
                continue;
            }
            // One that is ready but unpublished has given its place away already: it is on its way out.
            if !self.has_room() {
                continue;
            }
            if ready {
                budget -= 1;
            }
            self.leave(slot);
        }
    }

    /// Which names shall answer: ready ones that are not about to go.
    fn publish(&mut self) {
        let Some(service) = &self.set.spec().service else { return };
        let anyway = service.publish_not_ready;
        let shall: Vec<u32> = self
            .wanted_slots()
            .filter(|s| !self.leaving.contains(&s.ordinal()))
            .filter(|s| self.is_ready(s) || (anyway && matches!(s.pod, Pod::Ours { .. })))
            .map(Slot::ordinal)
            .collect();
        let does: Vec<u32> =
            self.seen.slots.iter().filter(|s| s.record.published).map(Slot::ordinal).collect();
        let names = &self.set.names;
        self.out.waits.extend(names.said.iter().cloned());
        if shall != does || names.again {
            if !names.again {
                self.out.waits.push("The names in DNS are brought up to date.".into());
            }
            self.out.acts.push(Act::Publish(shall));
        }
    }

    fn finish(mut self) -> Decision {
        let set = self.set;
        let wanted = self.wanted();
        let all_ready = self.out.ready == self.out.wanted;
        let outdated = self.wanted_slots().filter(|s| self.is_outdated(s)).count();
        let excess = self.seen.slots.iter().any(|s| {
            !wanted.contains(&s.ordinal()) && matches!(s.pod, Pod::Ours { .. } | Pod::Unseen)
        });
        let held = set.paused.is_some() || set.spec().update == Update::OnDelete;
        let proven = set.good.as_ref().is_some_and(|g| g.key == set.newest.key);
        if !proven && self.out.wanted > 0 && all_ready && self.out.current == self.out.wanted {
            self.out.acts.push(Act::Good);
        }
        let silent = |act: &Act| matches!(act, Act::NoteReady(_) | Act::Report(..) | Act::Good);
        let quiet = self.out.acts.iter().all(silent) && self.busy == 0;
        // What is left in DNS is found by the set that it belongs to: that one goes last.
        let named = set.spec().service.is_some()
            && (set.names.again || self.out.acts.iter().any(|a| matches!(a, Act::Publish(_))));
        self.out.phase = if set.deleting.is_some() && self.seen.slots.is_empty() && !named {
            self.out.acts.push(Act::Gone);
            Phase::Deleted
        } else if set.is_stuck() {
            Phase::Halted
        } else if quiet && all_ready && !excess && outdated == 0 && set.deleting.is_none() {
            Phase::Converged
        } else if quiet && all_ready && !excess && held && set.deleting.is_none() {
            if set.paused.is_some() { Phase::Paused } else { Phase::Converged }
        } else if quiet {
            Phase::Waiting
        } else {
            Phase::Working
        };
        if !self.out.acts.is_empty() {
            self.out.fingerprint = self.seen.fingerprint();
        }
        self.out
    }
}
