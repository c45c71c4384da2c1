//! Follows a task to its end and checks that what it promises is so.

use std::time::Duration;

use gantry_core::id::Upid;
use gantry_core::network::NetworkStep;
use gantry_core::notify::NotifyStep;
use gantry_core::operation::{OpState, StepKind, StepState, percent_in};
use gantry_proxmox::{ExitStatus, TaskStatus};

use super::look::ms;
use super::{Carrier, LOG_LINES, Next, Parked};

/// Least time between two saves of progress.
const PROGRESS_EVERY_MS: i64 = 2_000;
/// How long the promise of a task that said OK may take to show.
pub(super) const VERIFY_WITHIN: Duration = Duration::from_secs(15);
/// The same where the HA manager carries it out: its task ends before the guest has changed state.
const VERIFY_HA_WITHIN: Duration = Duration::from_secs(180);
/// How long a task may take that copies disks or memory, and how long high availability may take to do so.
const LONG_WITHIN: Duration = Duration::from_secs(12 * 3600);
/// How long a node may be silent after its network was reloaded before the former configuration is put back.
const RELOAD_WITHIN: Duration = Duration::from_secs(120);
/// Pause between two checks of the promise.
const VERIFY_PAUSE: Duration = Duration::from_millis(500);
/// How often a task may be missing before its end is no longer waited for.
const MISSING_MAX: u32 = 5;
/// How often Proxmox is asked to stop a task. Asking again is safe, and people can press Cancel only once.
const STOP_TRIES: u32 = 30;

impl Carrier<'_> {
    pub(super) async fn wait(&mut self, n: usize) -> Result<Next, Parked> {
        let Some(upid) = self.op.steps[n].upid.clone() else {
            if matches!(self.op.steps[n].kind, StepKind::Network(NetworkStep::Keep { .. })) {
                return self.wait_for_keep(n).await;
            }
            // Calls that give no task are over when they are answered.
            return self.verify(n, "OK".into(), false).await;
        };
        let settings = self.engine.inner.settings.clone();
        let reload = self.op.steps[n].kind == StepKind::Network(NetworkStep::Reload);
        let within = match &self.op.steps[n].kind {
            _ if reload => RELOAD_WITHIN,
            kind if kind.is_long_task() => settings.step_deadline.max(LONG_WITHIN),
            _ => settings.step_deadline,
        };
        let deadline_ms =
            self.op.steps[n].intent_ms.unwrap_or_else(|| self.engine.now_ms()) + ms(within);
        let mut pause = settings.task_poll_min;
        let mut missing = 0;
        let mut stop_tries = 0;
        loop {
            self.check_stop()?;
            self.at("before poll", n).await;
            let status = self.engine.task_status(self.op.action.cluster(), &upid).await;
            self.at("after poll", n).await;
            match status {
                Ok(TaskStatus::Stopped { exit }) => return self.ended(n, &upid, exit).await,
                Ok(TaskStatus::Running) => {
                    self.show_progress(&upid, None).await?;
                    self.read_cancel().await;
                    // Half a reload is worse than a whole one: what was asked to stop is put back afterwards.
                    let stops = !matches!(self.op.steps[n].kind, StepKind::Network(_));
                    if self.op.cancel_by.is_some() && stops && stop_tries < STOP_TRIES {
                        let taken = self.stop_task(&upid).await?;
                        stop_tries = if taken { STOP_TRIES } else { stop_tries + 1 };
                    }
                }
                Err(error) if error.is_absent() => {
                    missing += 1;
                    if missing >= MISSING_MAX {
                        return self.task_missing(n).await;
                    }
                }
                Err(error) => {
                    self.show_progress(&upid, Some(format!("{error}. Asking again."))).await?;
                }
            }
            if self.engine.now_ms() >= deadline_ms {
                let why =
                    format!("the task {upid} had not ended after {} min", within.as_secs() / 60);
                return Ok(Next::End(OpState::Unknown, self.words_unknown(n, why).await));
            }
            self.pause(pause).await?;
            pause = pause.mul_f64(1.5).min(settings.task_poll_max);
        }
    }

    /// Saves progress when there is something new, not too often.
    async fn show_progress(&mut self, upid: &Upid, remark: Option<String>) -> Result<(), Parked> {
        let now = self.engine.now_ms();
        let first = self.op.progress.read_ms == 0;
        if !first && now - self.op.progress.read_ms < PROGRESS_EVERY_MS {
            return Ok(());
        }
        let log = match &remark {
            None => self.engine.log_tail(self.op.action.cluster(), upid, LOG_LINES).await,
            Some(_) => self.op.progress.log.clone(),
        };
        self.op.progress.percent = percent_in(&log);
        self.op.progress.log = log;
        // Once somebody asked to stop, what came of that stays to be read.
        if remark.is_some() || self.op.cancel_by.is_none() {
            self.op.progress.remark = remark;
        }
        self.op.progress.read_ms = now;
        // Saved even when nothing is new: the card shows how long it has been running.
        self.save(None).await
    }

    /// Asks Proxmox to stop the task; what comes of it is read from the task, not from the answer. Whether it
    /// took the request: where it did not, it is asked again.
    async fn stop_task(&mut self, upid: &Upid) -> Result<bool, Parked> {
        let asked = self.engine.stop_task(self.op.action.cluster(), upid).await;
        let taken = asked.is_ok();
        self.op.progress.remark = Some(match asked {
            Ok(()) => "Proxmox was asked to stop the task.".into(),
            Err(error) => format!("Could not ask Proxmox to stop the task: {error}."),
        });
        self.save(None).await?;
        Ok(taken)
    }

    async fn ended(&mut self, n: usize, upid: &Upid, exit: ExitStatus) -> Result<Next, Parked> {
        match exit {
            ExitStatus::Ok => self.verify(n, "OK".into(), upid.kind().starts_with("ha")).await,
            ExitStatus::Warnings(count) => {
                self.verify(n, format!("WARNINGS: {count}"), upid.kind().starts_with("ha")).await
            }
            ExitStatus::Failed(text) => {
                let log = self.engine.log_tail(self.op.action.cluster(), upid, LOG_LINES).await;
                self.read_cancel().await;
                if self.op.cancel_by.is_some() {
                    return Ok(self.cancelled_during(n, text, log).await);
                }
                Ok(self.failed(n, text, Some(log)).await)
            }
        }
    }

    /// Success only when it can be seen.
    async fn verify(&mut self, n: usize, exit: String, ha: bool) -> Result<Next, Parked> {
        let settings = &self.engine.inner.settings;
        let began_ms = self.engine.now_ms();
        let moves = ha && matches!(self.op.steps[n].kind, StepKind::Migrate(_));
        let within_ms = began_ms
            + ms(match ha {
                _ if moves => LONG_WITHIN,
                true => VERIFY_HA_WITHIN,
                false => VERIFY_WITHIN,
            });
        let reload = self.op.steps[n].kind == StepKind::Network(NetworkStep::Reload);
        let patience = if reload { RELOAD_WITHIN } else { settings.settle_unreachable };
        let mut unreadable_ms = began_ms + ms(patience);
        loop {
            self.check_stop()?;
            self.at("before verify", n).await;
            let seen = self.is_met(n).await;
            self.at("after verify", n).await;
            match seen {
                Ok(seen) if seen.met => {
                    self.close_step(n, StepState::Done, Some(exit)).await?;
                    return Ok(Next::Again);
                }
                Ok(_) if self.engine.now_ms() >= within_ms => {
                    let why = match self.op.steps[n].kind {
                        StepKind::CancelTask => {
                            "Proxmox accepted it, but the task goes on".to_owned()
                        }
                        StepKind::Notify(NotifyStep::Test) => self.unheard(),
                        _ => format!("the task said {exit}, but that is not what can be seen"),
                    };
                    return Ok(self.failed(n, why, None).await);
                }
                Ok(seen) if moves => {
                    unreadable_ms = self.engine.now_ms() + ms(patience);
                    if let Some(next) = self.watch_ha(n, &seen.now).await? {
                        return Ok(next);
                    }
                }
                Ok(_) => {}
                Err(error) if self.engine.now_ms() >= unreadable_ms => {
                    let why = format!(
                        "the task said {exit}, but the result could not be checked: {error}"
                    );
                    return Ok(Next::End(OpState::Unknown, self.words_unknown(n, why).await));
                }
                Err(error) => {
                    let remark = format!("The task said {exit}. Checking: {error}.");
                    if self.op.progress.remark.as_ref() != Some(&remark) {
                        self.op.progress.remark = Some(remark);
                        self.save(None).await?;
                    }
                }
            }
            self.pause(VERIFY_PAUSE).await?;
        }
    }

    /// High availability was asked to move the guest, and is at it: says so, and ends where it has given up or somebody
    /// does not want to watch any longer.
    async fn watch_ha(&mut self, n: usize, now: &str) -> Result<Option<Next>, Parked> {
        match self.engine.given_up_by_ha(&self.op, n).await {
            Ok(Some(why)) => return Ok(Some(self.failed(n, why, None).await)),
            Ok(None) => {}
            // Looked at again with the next turn; where it is was read all the same.
            Err(error) => tracing::debug!(%error, "could not look at tasks of high availability"),
        }
        self.read_cancel().await;
        if let Some(by) = self.op.cancel_by.clone() {
            let why = format!("{by} stopped watching; high availability goes on with it");
            return Ok(Some(self.cancelled_during(n, why, Vec::new()).await));
        }
        let remark = format!("High availability moves it. Now: {now}");
        if self.op.progress.remark.as_ref() != Some(&remark) {
            self.op.progress.remark = Some(remark);
            self.op.progress.read_ms = self.engine.now_ms();
            self.save(None).await?;
        }
        Ok(None)
    }

    /// Proxmox no longer knows the task: only the state can tell, where it can.
    async fn task_missing(&mut self, n: usize) -> Result<Next, Parked> {
        let tells = !self.op.steps[n].kind.is_told_by_its_task();
        match self.is_met(n).await {
            Ok(seen) if seen.met && tells => {
                let result = "Proxmox no longer knows the task; seen to be done".to_owned();
                self.close_step(n, StepState::Done, Some(result)).await?;
                Ok(Next::Again)
            }
            _ => {
                let why = "Proxmox no longer knows the task".to_owned();
                Ok(Next::End(OpState::Unknown, self.words_unknown(n, why).await))
            }
        }
    }
}
