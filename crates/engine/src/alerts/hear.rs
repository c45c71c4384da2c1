//! What others told through webhooks, taken in by whoever leads the desks: the same step as a look of gantry's own, and
//! kept in one transaction with the note that it was taken in. A kill between loses nothing and tells nothing twice.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use gantry_core::alert::{Excuse, Heard, Outcome, readings};
use gantry_core::id::{ClusterId, IncidentId};
use gantry_store::{AlertWork, HookRow, Kept, StoreError};

use super::lead::{Led, work_of};
use crate::{Engine, Error, random};

/// Most that may wait for the desks; a sender is asked to come back later then.
const WAITING_MAX: u64 = 20_000;
/// Taken in by one step.
const AT_ONCE: u32 = 500;
/// Without news of this process's own hooks, looked for this often: another process may have been told.
const LOOK_EVERY_MS: i64 = 5_000;
/// How far a notification may be from the task it reports, milliseconds: clocks differ, and it is sent before its task ends.
const NEAR_MS: i64 = 120_000;

impl Engine {
    /// Keeps what a webhook told. `None`: too much waits already; nothing was kept, and the sender shall come back.
    pub async fn hear(&self, heard: Vec<Heard>) -> Result<Option<Kept>, Error> {
        let heard: Vec<Heard> = heard.into_iter().map(Heard::limited).collect();
        let kept = self.store().keep_heard(&heard, self.now_ms(), WAITING_MAX).await;
        let kept = kept.map_err(Error::store("keep what a webhook told"))?;
        if kept.is_some() {
            self.inner.heard.store(true, Ordering::Release);
        }
        Ok(kept)
    }

    /// Takes in what waits. `false`: somebody else leads.
    pub(super) async fn take_heard(&self, led: &mut Led) -> Result<bool, StoreError> {
        let now_ms = self.now_ms();
        let news = self.inner.heard.swap(false, Ordering::AcqRel);
        if !news && now_ms - led.heard_ms < LOOK_EVERY_MS {
            return Ok(true);
        }
        let done = self.take_waiting(led, now_ms).await;
        if done.is_err() {
            self.inner.heard.store(true, Ordering::Release);
        }
        done
    }

    async fn take_waiting(&self, led: &mut Led, now_ms: i64) -> Result<bool, StoreError> {
        let rows = self.store().waiting_heard(AT_ONCE).await?;
        led.heard_ms = now_ms;
        if rows.is_empty() {
            return Ok(true);
        }
        if rows.len() >= usize::try_from(AT_ONCE).unwrap_or(usize::MAX) {
            self.inner.heard.store(true, Ordering::Release);
        }
        self.refresh_desks(led).await?;
        let mut by_cluster: BTreeMap<&ClusterId, Vec<&HookRow>> = BTreeMap::new();
        for row in &rows {
            by_cluster.entry(&row.heard.cluster).or_default().push(row);
        }
        for (cluster, rows) in by_cluster {
            let view = self.view(cluster);
            let heard = rows.iter().map(|row| &row.heard);
            let seen = |heard: &Heard| self.seen_itself(heard);
            let all = readings(cluster, view.as_deref(), heard, seen, now_ms);
            for seat in &mut led.desks {
                let mut out = Outcome::default();
                for reading in &all {
                    let mut id = || IncidentId::new(now_ms, random());
                    out.touched.extend(seat.desk.step(reading, now_ms, &mut id).touched);
                }
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
        let (kind, node) =
            (heard.task.as_deref().filter(|k| *k == "vzdump")?, heard.node.as_ref()?);
        let tasks = self.recent_tasks(&heard.cluster);
        let task = tasks.iter().find(|t| {
            let ended = t.ended_ms.is_none_or(|at| at >= heard.at_ms - NEAR_MS);
            t.upid.kind() == kind
                && t.upid.node() == node
                && t.started_ms <= heard.at_ms + NEAR_MS
                && ended
        })?;
        Some(Excuse::Seen { what: task.upid.as_str().to_owned() })
    }
}
