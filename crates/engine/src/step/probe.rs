//! Looks for a task whose answer was lost: after a crash, a timeout, a cut connection.
//!
//! Exactly one new task of ours is adopted. None, and the promise already holds: done. Anything else ends as
//! unknown, with what is true now. The call is never sent again.

use std::time::Duration;

use gantry_core::network::NetworkStep;
use gantry_core::operation::{OpState, StepKind, StepState};

use super::look::ms;
use super::{ATTEMPTS_MAX, Carrier, Next, Parked};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Least number of looks that found nothing before nothing is believed.
const LOOKS_MIN: u32 = 3;

impl Carrier<'_> {
    pub(super) async fn probe(&mut self, n: usize) -> Result<Next, Parked> {
        if matches!(
            self.op.steps[n].kind,
            StepKind::Network(NetworkStep::Save | NetworkStep::Keep { .. })
        ) {
            // Gantry's own table was written, or was not; writing it once more is writing it once.
            return self.once_more(n).await;
        }
        let began_ms = self.engine.now_ms();
        let intent_ms = self.op.steps[n].intent_ms.unwrap_or(began_ms);
        let settings = &self.engine.inner.settings;
        let settled_ms = intent_ms + ms(settings.settle);
        let give_up_ms = began_ms + ms(settings.settle_unreachable);
        let mut looks = 0;
        loop {
            self.check_stop()?;
            self.at("before poll", n).await;
            let found = self.engine.tasks_since(&self.op, n).await;
            self.at("after poll", n).await;
            match found {
                Ok(tasks) => match tasks.as_slice() {
                    [task] => {
                        tracing::info!(upid = %task, "found the task whose answer was lost");
                        let step = &mut self.op.steps[n];
                        step.state = StepState::Submitted;
                        step.upid = Some(task.clone());
                        step.adopted = true;
                        self.op.progress.remark =
                            Some("The answer was lost, but the task was found.".into());
                        self.save(None).await?;
                        return Ok(Next::Again);
                    }
                    [] => {
                        looks += 1;
                        if looks >= LOOKS_MIN && self.engine.now_ms() >= settled_ms {
                            return self.nothing_found(n).await;
                        }
                    }
                    several => {
                        let why = format!(
                            "the answer was lost, and {} tasks could be the one that was asked for",
                            several.len()
                        );
                        return Ok(self.unknown(n, why).await);
                    }
                },
                Err(error) if self.engine.now_ms() >= give_up_ms => {
                    let why =
                        format!("the answer was lost, and looking for the task failed: {error}");
                    return Ok(self.unknown(n, why).await);
                }
                Err(error) => {
                    let remark = format!("The answer was lost. Looking for the task: {error}.");
                    if self.op.progress.remark.as_ref() != Some(&remark) {
                        self.op.progress.remark = Some(remark);
                        self.save(None).await?;
                    }
                }
            }
            self.pause(PAUSE).await?;
        }
    }

    async fn nothing_found(&mut self, n: usize) -> Result<Next, Parked> {
        let seen = match self.engine.is_ours(&self.op, n).await {
            Ok(ours) => self.is_met(n).await.map(|seen| seen.met && ours),
            Err(error) => Err(error),
        };
        match seen {
            Ok(true) => {
                self.op.progress.remark = None;
                let result = match self.op.steps[n].result.take() {
                    Some(error) => format!("{error}, but it is seen to be done"),
                    None => "no task was found, but it is seen to be done".to_owned(),
                };
                self.close_step(n, StepState::Done, Some(result)).await?;
                Ok(Next::Again)
            }
            Ok(false)
                if self.op.steps[n].kind.is_repeatable()
                    && self.op.steps[n].attempt < ATTEMPTS_MAX =>
            {
                // Looked for, and provably not carried out.
                self.once_more(n).await
            }
            Ok(false) => {
                let why = match self.op.steps[n].result.clone() {
                    Some(error) => format!("{error}, and no task of ours is there"),
                    None => {
                        "gantry was interrupted while asking, and no task of ours is there".into()
                    }
                };
                Ok(self.unknown(n, why).await)
            }
            Err(error) => {
                let why = format!("the answer was lost, and looking again failed: {error}");
                Ok(self.unknown(n, why).await)
            }
        }
    }

    /// The step begins anew, with a look.
    async fn once_more(&mut self, n: usize) -> Result<Next, Parked> {
        self.op.steps[n].state = StepState::Pending;
        self.save(None).await?;
        Ok(Next::Again)
    }

    async fn unknown(&mut self, n: usize, why: String) -> Next {
        Next::End(OpState::Unknown, self.words_unknown(n, why).await)
    }
}
