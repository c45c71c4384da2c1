//! Fresh eyes: reads the target right before a step and right after it, waiting while it cannot be read and while
//! an older operation is at work on the same target.

use std::time::Duration;

use gantry_core::action::Action;
use gantry_store::OpFilter;

use super::keep::cut_off;
use super::{Carrier, LOOK_AGAIN, Parked};
use crate::Error;
use crate::deed::{Look, Seen};

/// How long putting something back is tried where Proxmox does not answer. Bounded, so that an operation ends and
/// says so; long, because the node may come back.
pub(super) const PUT_BACK_WITHIN: Duration = Duration::from_secs(3600);
/// Pause between two looks at whether an older operation on the same target has ended.
const TURN_AGAIN: Duration = Duration::from_secs(1);
/// Open operations on one target that are looked at; more than anybody starts.
const OPEN_LOOKED_AT: u32 = 100;

impl Carrier<'_> {
    /// Looks before step `n`; goes on while Proxmox does not answer, for a bounded time.
    pub(super) async fn look_until_readable(
        &mut self,
        n: usize,
    ) -> Result<Result<Look, Error>, Parked> {
        let undo = self.op.steps[n].kind.is_undo();
        let patience = match undo && !self.is_passed_over(n) {
            true => PUT_BACK_WITHIN,
            false => self.engine.inner.settings.settle_unreachable,
        };
        let began_ms = self.engine.now_ms();
        let until = began_ms + ms(patience);
        let turn_until = began_ms + ms(self.engine.inner.settings.step_deadline);
        loop {
            match self.engine.look(&self.op, n).await {
                Ok(Look::Wait(why)) if self.engine.now_ms() >= turn_until => {
                    return Ok(Ok(Look::Changed(format!("{why} for too long; nothing was sent"))));
                }
                Ok(Look::Wait(why)) => {
                    self.remark(format!("Waiting: {why}.")).await?;
                    self.pause(TURN_AGAIN).await?;
                    self.read_cancel().await;
                    if self.op.cancel_by.is_some() && !undo {
                        return Ok(Ok(Look::Changed(
                            "stopped while waiting for another operation; nothing was sent".into(),
                        )));
                    }
                }
                Err(error) if error.is_passing() && self.engine.now_ms() < until => {
                    let remark = match &self.op.action {
                        Action::Network(action) if undo => {
                            format!("{error}. {}", cut_off(&action.scope, false))
                        }
                        _ => format!("{error}. Nothing was sent; trying again."),
                    };
                    if self.op.progress.remark.as_ref() != Some(&remark) {
                        self.op.progress.remark = Some(remark);
                        self.op.progress.read_ms = self.engine.now_ms();
                        self.save(None).await?;
                    }
                    self.pause(LOOK_AGAIN).await?;
                    self.read_cancel().await;
                    if self.op.cancel_by.is_some() && !undo {
                        return Ok(Ok(Look::Changed(
                            "stopped while waiting for Proxmox to answer".into(),
                        )));
                    }
                }
                look => return Ok(look),
            }
        }
    }

    /// Shows a remark on the card, once.
    async fn remark(&mut self, remark: String) -> Result<(), Parked> {
        if self.op.progress.remark.as_ref() != Some(&remark) {
            self.op.progress.remark = Some(remark);
            self.op.progress.read_ms = self.engine.now_ms();
            self.save(None).await?;
        }
        Ok(())
    }

    /// Waits while an older operation is at work on the same target: what it does is not there to be looked at yet.
    /// Returns why it is no longer waited for.
    pub(super) async fn wait_for_turn(&mut self) -> Result<Option<String>, Parked> {
        let Some(turn) = self.op.turn() else { return Ok(None) };
        // A turn begins with what it is about: `guest lab/201`.
        let what = turn.split(' ').next().unwrap_or("target").to_owned();
        let until = self.engine.now_ms() + ms(self.engine.inner.settings.step_deadline);
        let filter = OpFilter { open_only: true, turn: Some(turn), ..OpFilter::default() };
        loop {
            let open = match self.engine.operations(&filter, 0, OPEN_LOOKED_AT).await {
                Ok(open) => open.rows,
                Err(error) => return Ok(Some(format!("{error}; nothing was sent"))),
            };
            let Some(other) = open.iter().find(|o| o.id < self.op.id) else {
                self.op.progress.remark = None;
                return Ok(None);
            };
            if self.engine.now_ms() >= until {
                return Ok(Some(format!(
                    "{} was still at work on the same {what}; nothing was sent",
                    other.id
                )));
            }
            let remark = format!("Waiting: {} is at work on the same {what}.", other.id);
            if self.op.progress.remark.as_ref() != Some(&remark) {
                self.op.progress.remark = Some(remark);
                self.op.progress.read_ms = self.engine.now_ms();
                self.save(None).await?;
            }
            self.pause(TURN_AGAIN).await?;
            self.read_cancel().await;
            if self.op.cancel_by.is_some() {
                return Ok(Some(
                    "stopped while waiting for another operation; nothing was sent".into(),
                ));
            }
        }
    }

    /// Whether what step `n` promises is so now.
    pub(super) async fn is_met(&self, n: usize) -> Result<Seen, Error> {
        self.engine.is_met(&self.op, n).await
    }

    /// What is true now, as a sentence, with the time it was read; for the end of an operation.
    pub(super) async fn now(&self, n: usize) -> (String, Option<i64>) {
        match self.is_met(n.min(self.op.steps.len().saturating_sub(1))).await {
            Ok(seen) => (seen.now, Some(self.engine.now_ms())),
            Err(error) => (format!("What is true now could not be read: {error}."), None),
        }
    }
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
