//! Watches a set until it is as it was confirmed, or until it is clear that it will not be, and tells the truth about it.
//!
//! Nothing is done here: pods are made and deleted by operations of their own. A command that only watches takes no
//! worker's place, so that many of them never keep the pods' operations waiting.

use std::time::Duration;

use gantry_core::operation::{OpState, Outcome, Progress, StepState};
use gantry_core::set::{Phase, STALE_MS, Set};

use super::{Carrier, Next, Parked};
use crate::deed::set::{commanded, standing};
use crate::sets::SetNow;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How much longer than the set's own deadline nothing may change before the command stops watching, milliseconds.
const PATIENCE_MS: i64 = 60_000;
/// Reasons shown at most.
const WAITS_MAX: usize = 5;

impl Carrier<'_> {
    pub(super) async fn converge(&mut self, n: usize) -> Result<Next, Parked> {
        self.place = None;
        // What was written down is looked at by the next pass, and that follows a reading.
        let (engine, cluster) = (self.engine.clone(), self.op.action.cluster().clone());
        tokio::spawn(async move { engine.refresh(&cluster, Duration::ZERO).await });
        let Some(action) = commanded(&self.op).cloned() else {
            return Ok(self.failed(n, "there is no set to watch".into(), None).await);
        };
        let set = action.set().clone();
        // Seen on a reading older than what was written down, nothing is believed.
        let since_ms = self.op.steps[..n].iter().filter_map(|s| s.ended_ms).max().unwrap_or(0);
        let mut moved_ms = self.engine.now_ms();
        // When the set could not be seen last: what was not looked at is not what did not change.
        let (mut blind_ms, mut looked_ms) = (0, moved_ms);
        let mut last = None;
        loop {
            self.check_stop()?;
            self.at("before poll", n).await;
            self.read_cancel().await;
            let now = self.engine.set_now(&set).await;
            self.at("after poll", n).await;
            match now {
                Ok(None) => {
                    let why = format!("set {set} is gone");
                    self.close_step(n, StepState::Done, Some(why)).await?;
                    return Ok(Next::Again);
                }
                Ok(Some(now)) => {
                    let place = (now.decision.ready, now.decision.current, now.seen.fingerprint());
                    if last.as_ref() != Some(&place) {
                        moved_ms = self.engine.now_ms();
                        last = Some(place);
                    }
                    let now_ms = self.engine.now_ms();
                    if now_ms - now.seen.at_ms > STALE_MS || now_ms - looked_ms > STALE_MS {
                        blind_ms = now_ms;
                    }
                    looked_ms = now_ms;
                    let still_ms = moved_ms.max(blind_ms);
                    if let Some(next) = self.judge(n, &now, since_ms, (moved_ms, still_ms)).await? {
                        return Ok(next);
                    }
                    self.show(&now).await?;
                }
                Err(error) => {
                    let remark = format!("{error}. Looking again.");
                    if self.op.progress.remark.as_ref() != Some(&remark) {
                        self.op.progress.remark = Some(remark);
                        self.save(None).await?;
                    }
                }
            }
            self.pause(LOOK).await?;
        }
    }

    /// Whether it is over, and how.
    async fn judge(
        &mut self,
        n: usize,
        now: &SetNow,
        since_ms: i64,
        (moved_ms, still_ms): (i64, i64),
    ) -> Result<Option<Next>, Parked> {
        let (set, decision) = (&now.row.set, &now.decision);
        let truth = standing(now);
        if set.command != self.op.id {
            let why = format!("{} took over. {truth}", set.command);
            self.close_step(n, StepState::Skipped, Some(why)).await?;
            return Ok(Some(Next::Again));
        }
        if let Some(by) = self.op.cancel_by.clone() {
            let summary = format!("{by} stopped watching; gantry goes on bringing the pods there.");
            let advice = "`/set rollout pause` keeps older pods as they are.".to_owned();
            return Ok(Some(self.over(OpState::Cancelled, summary, None, truth, Some(advice))));
        }
        let fresh = now.seen.at_ms > since_ms;
        if let Some(halt) = set.halted.as_ref().filter(|h| h.at_ms >= self.op.created_ms) {
            return Ok(self.halted(set, halt, decision.phase, truth));
        }
        if fresh && decision.phase == Phase::Converged {
            self.close_step(n, StepState::Done, Some(truth)).await?;
            return Ok(Some(Next::Again));
        }
        if fresh && decision.phase == Phase::Paused {
            let by = set.paused.clone().unwrap_or_default();
            self.close_step(n, StepState::Done, Some(format!("{truth} {by} paused the rollout.")))
                .await?;
            return Ok(Some(Next::Again));
        }
        let patience_ms = i64::from(set.spec().progress_deadline_s) * 1000 + PATIENCE_MS;
        let now_ms = self.engine.now_ms();
        if now_ms - moved_ms > patience_ms && now_ms - still_ms > PATIENCE_MS {
            let summary = format!(
                "{} is not there yet, and nothing has changed for {} s.",
                self.op.target,
                patience_ms / 1000
            );
            let why = decision.gathered().into_iter().take(WAITS_MAX).collect::<Vec<_>>().join(" ");
            let advice = "gantry goes on trying; `/set show` says where it stands.".to_owned();
            return Ok(Some(self.over(OpState::Failed, summary, Some(why), truth, Some(advice))));
        }
        Ok(None)
    }

    /// A rollout that did not work: told once its way back has ended.
    fn halted(
        &self,
        set: &Set,
        halt: &gantry_core::set::Halt,
        phase: Phase,
        truth: String,
    ) -> Option<Next> {
        let revision = halt.revision;
        match halt.undone_to {
            Some(back) if phase == Phase::Converged => {
                let summary = format!(
                    "Revision {revision} did not work: the rollout of set {} was halted and undone. All pods are as in revision {back} again.",
                    set.address()
                );
                let advice = "`/set history` shows what revision was what.".to_owned();
                Some(self.over(
                    OpState::Failed,
                    summary,
                    Some(halt.why.clone()),
                    truth,
                    Some(advice),
                ))
            }
            Some(_) => None,
            None => {
                let summary = format!(
                    "Revision {revision} of set {} does not work. Nothing that worked is there to go back to, so it stands still.",
                    set.address()
                );
                let advice = "Correct the set and apply it again, or delete it.".to_owned();
                Some(self.over(
                    OpState::Failed,
                    summary,
                    Some(halt.why.clone()),
                    truth,
                    Some(advice),
                ))
            }
        }
    }

    fn over(
        &self,
        state: OpState,
        summary: String,
        reason: Option<String>,
        now: String,
        advice: Option<String>,
    ) -> Next {
        let now_ms = Some(self.engine.now_ms());
        Next::End(state, Outcome { summary, reason, log: Vec::new(), now, now_ms, advice })
    }

    /// Saves where the set stands, when that is new.
    async fn show(&mut self, now: &SetNow) -> Result<(), Parked> {
        let decision = &now.decision;
        let mut remark = standing(now);
        for wait in decision.gathered().into_iter().take(WAITS_MAX) {
            remark.push('\n');
            remark.push_str(&wait);
        }
        let percent = (decision.wanted > 0).then(|| {
            let done = decision.ready.min(decision.current);
            u8::try_from(done * 100 / decision.wanted).unwrap_or(100)
        });
        if self.op.progress.remark.as_ref() != Some(&remark) {
            self.op.progress = Progress {
                remark: Some(remark),
                percent,
                log: Vec::new(),
                read_ms: self.engine.now_ms(),
            };
            self.save(None).await?;
        }
        Ok(())
    }
}
