//! What others told through webhooks, taken in by whoever leads the desks: the same step as a look of gantry's own, and
//! kept in one transaction with the note that it was taken in. A kill between loses nothing and tells nothing twice.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gantry_core::alert::{Excuse, Heard, HeardState, readings};
use gantry_core::id::{ClusterId, IncidentId};
use gantry_store::{AlertWork, HookRow, Kept, StoreError};

use super::lead::{Led, work_of};
use crate::{Engine, Error, random};

/// Most that may wait for the desks; a sender is asked to come back later then.
pub(super) const HEARD_MAX: u64 = 20_000;
/// Alerts that are remembered at most before nothing new is taken in; the book is walked with every look.
const TRACKED_MAX: u64 = 20_000;
/// Taken in by one step, and kept in one transaction: few enough that it is short also where the database is not near.
pub(crate) const AT_ONCE: u32 = 250;
/// The same of what a sender tells.
const PART: usize = AT_ONCE as usize;
/// After a failure half as many are taken in, down to this: a database that is far away gets done with them.
const AT_LEAST: u32 = 8;
/// Longest that is waited for the tasks of a cluster when it tells of a backup that is not among those known: less than the
/// lease of whoever leads.
const TASKS_WITHIN: Duration = Duration::from_secs(2);
/// Without news of this process's own hooks, looked for this often: another process may have been told.
const LOOK_EVERY_MS: i64 = 5_000;
/// How far a notification may be from the task it reports, milliseconds: clocks differ, and it is sent before its task ends.
const NEAR_MS: i64 = 120_000;

/// How many are taken in next time.
fn next(at_once: u32, went: bool) -> u32 {
    if went { at_once.saturating_mul(2).min(AT_ONCE) } else { (at_once / 2).max(AT_LEAST) }
}

impl Engine {
    /// Keeps what a webhook told. `None`: too much waits already; nothing was kept, and the sender shall come back.
    pub async fn hear(&self, heard: Vec<Heard>) -> Result<Option<Kept>, Error> {
        let heard: Vec<Heard> = heard.into_iter().map(Heard::limited).collect();
        // Where very much is remembered already only ends are taken in, which make room; the sender says the rest again.
        let most = self.store().alerts_most().await;
        let full = most.map_err(Error::store("keep what a webhook told"))? >= TRACKED_MAX;
        let is_end = |h: &Heard| h.state == HeardState::Resolved;
        let (heard, rest): (Vec<_>, Vec<_>) = heard.into_iter().partition(|h| !full || is_end(h));
        self.turn_away(rest.len());
        let mut all = Kept::default();
        let mut left = heard.as_slice();
        while !left.is_empty() {
            // A part each time, in order. What was kept of a request that is refused in the end is counted when it is repeated.
            let (part, after) = left.split_at(left.len().min(PART));
            let kept = self.store().keep_heard(part, self.now_ms(), HEARD_MAX).await;
            if !matches!(kept, Ok(Some(_))) {
                self.turn_away(left.len());
            }
            let Some(kept) = kept.map_err(Error::store("keep what a webhook told"))? else {
                return Ok(None);
            };
            self.inner.heard.store(true, Ordering::Release);
            (all.new, all.again) = (all.new + kept.new, all.again + kept.again);
            left = after;
        }
        Ok(Some(all).filter(|_| rest.is_empty()))
    }

    /// Counts what a webhook told and was not kept; people are told by gantry's own alert about it.
    pub fn turn_away(&self, things: usize) {
        let things = u64::try_from(things).unwrap_or(u64::MAX);
        self.inner.turned_away.fetch_add(things, Ordering::Relaxed);
    }

    /// Takes in what waits. `false`: somebody else leads.
    pub(super) async fn take_heard(&self, led: &mut Led<'_>) -> Result<bool, StoreError> {
        let now_ms = self.now_ms();
        let news = self.inner.heard.swap(false, Ordering::AcqRel);
        if !news && now_ms - led.heard_ms < LOOK_EVERY_MS {
            return Ok(true);
        }
        let at_once = self.inner.heard_at_once.load(Ordering::Relaxed);
        let done = self.take_waiting(led, at_once, now_ms).await;
        self.inner.heard_at_once.store(next(at_once, done.is_ok()), Ordering::Relaxed);
        if done.is_err() {
            self.inner.heard.store(true, Ordering::Release);
        }
        done
    }

    async fn take_waiting(
        &self,
        led: &mut Led<'_>,
        at_once: u32,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let rows = self.store().waiting_heard(at_once).await?;
        led.heard_ms = now_ms;
        if rows.is_empty() {
            return Ok(true);
        }
        if rows.len() >= usize::try_from(at_once).unwrap_or(usize::MAX) {
            self.inner.heard.store(true, Ordering::Release);
        }
        self.refresh_desks(led).await?;
        let mut by_cluster: BTreeMap<&ClusterId, Vec<&HookRow>> = BTreeMap::new();
        for row in &rows {
            by_cluster.entry(&row.heard.cluster).or_default().push(row);
        }
        for (cluster, rows) in by_cluster {
            // Proxmox tells of a backup the moment it is over; the tasks that were read last may be older than that.
            let new =
                |row: &&HookRow| is_backup(&row.heard) && self.seen_itself(&row.heard).is_none();
            if rows.iter().any(new) {
                let seeing = self.see_tasks(cluster);
                if tokio::time::timeout(TASKS_WITHIN, seeing).await.is_err() {
                    tracing::debug!(%cluster, "the tasks were not read in time");
                }
            }
            let view = self.view(cluster);
            let heard = rows.iter().map(|row| &row.heard);
            let seen = |heard: &Heard| self.seen_itself(heard);
            let all = readings(cluster, view.as_deref(), heard, seen, now_ms);
            for seat in &mut led.desks {
                let mut id = || IncidentId::new(now_ms, random());
                let out = seat.desk.step_told(&all, now_ms, &mut id);
                seat.unsaved.extend(out.touched);
            }
            let taken = rows.iter().map(|row| (row.id.as_str(), row.seq)).collect();
            let desks: Vec<_> = led.desks.iter().map(work_of).collect();
            let shown = desks.iter().any(|d| !d.incidents.is_empty());
            let work = AlertWork { desks, look: None, taken };
            if !self.store().save_alerts(led.generation, &work, now_ms).await? {
                return Ok(false);
            }
            for seat in &mut led.desks {
                seat.saved();
            }
            if shown {
                self.card_touched();
            }
        }
        Ok(true)
    }

    /// A backup that Proxmox reports and gantry watches as a task: told under the rule about backups, not twice.
    fn seen_itself(&self, heard: &Heard) -> Option<Excuse> {
        let kind = heard.task.as_deref().filter(|_| is_backup(heard))?;
        let node = heard.node.as_ref()?;
        let tasks = self.recent_tasks(&heard.cluster);
        let task = tasks.iter().find(|t| {
            // Its sender's clock may say anything.
            let ended = t.ended_ms.is_none_or(|at| at >= heard.at_ms.saturating_sub(NEAR_MS));
            t.upid.kind() == kind
                && t.upid.node() == node
                && t.started_ms <= heard.at_ms.saturating_add(NEAR_MS)
                && ended
        })?;
        Some(Excuse::Seen { what: task.upid.as_str().to_owned() })
    }
}

/// Whether it reports a backup, which gantry watches as a task.
fn is_backup(heard: &Heard) -> bool {
    heard.task.as_deref() == Some("vzdump")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_does_not_get_done_is_given_less_and_then_more_again() {
        let mut at_once = AT_ONCE;
        for _ in 0..10 {
            at_once = next(at_once, false);
        }
        assert_eq!(at_once, AT_LEAST);
        for _ in 0..10 {
            at_once = next(at_once, true);
        }
        assert_eq!(at_once, AT_ONCE);
    }
}
