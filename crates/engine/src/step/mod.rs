//! Carries out one operation, step by step: look, record the intent, call, record the task, wait, look again.
//!
//! Every line between two saves may be the last one this process runs. What the next process finds in the store
//! is enough to go on: `Pending` was never sent, `Intent` may have been, `Submitted` has a task to ask about.

mod converge;
mod keep;
mod look;
mod probe;
mod trial;
mod wait;
mod words;

use std::time::Duration;

use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::Upid;
use gantry_core::operation::{OpState, Operation, Outcome, StepKind, StepState};
use gantry_core::set::SetStep;
use gantry_proxmox::Advice;
use gantry_store::Lease;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::deed::{Aim, CallFault, Look};
use crate::meter::Meter;

/// Most tries of a call that was provably not carried out.
const ATTEMPTS_MAX: u32 = 20;
/// Pause between two looks at something that could not be read.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// An intent that took longer than this to record rests on a look that is too old.
const LOOK_VALID_MS: i64 = 5_000;
/// How often in a row recording may take that long before it is given up.
const TOO_OLD_MAX: u32 = 60;
/// Pause between two looks at how far a long call is.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Lines of a task's log that a card shows.
const LOG_LINES: u32 = 10;

/// Why a worker let go of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parked {
    /// It has ended and that is recorded.
    Ended,
    /// The process stops; the operation goes on elsewhere or later.
    Stopping,
    /// Another worker has it.
    LeaseLost,
}

/// What follows a piece of work on a step.
enum Next {
    /// Look at the operation again.
    Again,
    /// It is over.
    End(OpState, Outcome),
}

/// The worker of one operation.
pub(crate) struct Carrier<'a> {
    engine: &'a Engine,
    op: Operation,
    generation: i64,
    stop: CancellationToken,
    /// Its place among the operations that work at the same time; given up by one that only watches.
    place: Option<OwnedSemaphorePermit>,
    /// How often in a row a look was too old once the intent was recorded.
    too_old: u32,
}

impl<'a> Carrier<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        lease: Lease,
        stop: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let (op, generation) = (lease.operation, lease.generation);
        Self { engine, op, generation, stop, place: Some(place), too_old: 0 }
    }

    /// Works until the operation has ended or has to be let go.
    pub(crate) async fn run(&mut self) -> Parked {
        match self.go().await {
            Ok(()) => Parked::Ended,
            Err(parked) => parked,
        }
    }

    async fn go(&mut self) -> Result<(), Parked> {
        if self.op.state == OpState::Queued {
            self.op.state = OpState::Running;
            self.op.started_ms = Some(self.engine.now_ms());
            self.save(None).await?;
        } else {
            tracing::info!("going on where the last worker left off");
        }
        loop {
            self.check_stop()?;
            let Some((n, step)) = self.op.current() else {
                let (state, outcome) = match self.network_success().await {
                    Some(ended) => ended,
                    None => self.success().await,
                };
                return self.end(state, outcome).await;
            };
            let next = match step.state {
                // Writing down is compare-and-set on gantry's own record: whether it was done can be read, and doing
                // it again changes nothing.
                StepState::Intent if step.kind.is_own_record() => self.begin(n).await?,
                StepState::Intent => self.probe(n).await?,
                StepState::Submitted => self.wait(n).await?,
                _ if step.kind == StepKind::Set(SetStep::Converge) => self.converge(n).await?,
                _ => self.begin(n).await?,
            };
            if let Next::End(state, outcome) = next {
                if self.is_told_only(n, state) {
                    self.tell_trial(n, state, outcome).await?;
                    continue;
                }
                if self.turn_back(n, state, &outcome).await? {
                    continue;
                }
                return self.end(state, outcome).await;
            }
        }
    }

    /// Looks, records the intent and sends the call.
    async fn begin(&mut self, n: usize) -> Result<Next, Parked> {
        self.at("before look", n).await;
        self.read_cancel().await;
        // Putting back is never given up because somebody wanted the whole to stop.
        if self.op.cancel_by.is_some() && !self.op.steps[n].kind.is_undo() {
            if self.was_written(n).await? {
                let how = "it was written down before somebody wanted to stop".to_owned();
                self.close_step(n, StepState::Done, Some(how)).await?;
                return Ok(Next::Again);
            }
            return Ok(self.cancelled_before(n).await);
        }
        if n == 0
            && let Some(why) = self.wait_for_turn().await?
        {
            return Ok(self.failed(n, why, None).await);
        }
        let aim = match self.look_until_readable(n).await? {
            Ok(Look::Go(aim)) => aim,
            Ok(Look::Already(why)) => {
                // Own records only: a worker that got no further has done it, so it was not for nothing.
                let done = self.op.steps[n].state == StepState::Intent;
                let state = if done { StepState::Done } else { StepState::Skipped };
                self.close_step(n, state, Some(why)).await?;
                return Ok(Next::Again);
            }
            // Waited for long enough: told as a change.
            Ok(Look::Changed(why) | Look::Wait(why)) => return Ok(self.failed(n, why, None).await),
            Err(error) => {
                return Ok(self.failed(n, format!("{error}; nothing was sent"), None).await);
            }
        };
        self.at("after look", n).await;
        let looked_ms = self.engine.now_ms();
        let aim = match self.record_intent(n, aim).await? {
            Ok(aim) => aim,
            Err(error) => {
                return Ok(self.failed(n, format!("{error}; nothing was sent"), None).await);
            }
        };
        self.at("after intent", n).await;
        if self.engine.now_ms() - looked_ms > LOOK_VALID_MS {
            // Recording took long; what was seen may no longer be so.
            return self.not_sent(n).await;
        }
        self.too_old = 0;
        self.at("before call", n).await;
        let answer = self.call_and_tell(n, &aim).await?;
        self.at("after call", n).await;
        match answer {
            Ok(upid) => {
                self.at("before upid", n).await;
                self.op.steps[n].state = StepState::Submitted;
                self.op.steps[n].upid = upid;
                self.op.steps[n].result = None;
                self.op.progress.remark = None;
                self.save(None).await?;
                self.at("after upid", n).await;
                Ok(Next::Again)
            }
            Err(fault) => self.not_answered(n, fault).await,
        }
    }

    /// What was recorded was not sent: it is no attempt, and the step begins anew with a look.
    async fn not_sent(&mut self, n: usize) -> Result<Next, Parked> {
        let step = &mut self.op.steps[n];
        step.state = StepState::Pending;
        step.attempt = step.attempt.saturating_sub(1);
        self.save(None).await?;
        self.too_old += 1;
        if self.too_old < TOO_OLD_MAX {
            return Ok(Next::Again);
        }
        let why = "gantry's database takes so long that what was looked at is old before anything can be sent; nothing was sent";
        Ok(self.failed(n, why.to_owned(), None).await)
    }

    /// Whether gantry's own record of step `n` was written by a worker that got no further: then it was not stopped
    /// before, whoever wanted that since.
    async fn was_written(&mut self, n: usize) -> Result<bool, Parked> {
        let step = &self.op.steps[n];
        if step.state != StepState::Intent || !step.kind.is_own_record() {
            return Ok(false);
        }
        loop {
            match self.engine.is_written(&self.op, n).await {
                Ok(written) => return Ok(written),
                Err(error) => {
                    tracing::warn!(%error, "could not read whether it was written down; trying again");
                    self.pause(LOOK_AGAIN).await?;
                }
            }
        }
    }

    /// Sends the call and, where that takes long, shows how far it is. When the process stops meanwhile, the call is
    /// let go: the intent is recorded, and whoever goes on looks for what came of it.
    async fn call_and_tell(
        &mut self,
        n: usize,
        aim: &Aim,
    ) -> Result<Result<Option<Upid>, CallFault>, Parked> {
        let (engine, op, meter) = (self.engine, self.op.clone(), Meter::default());
        let long = op.steps[n].kind.is_long_call();
        let call = engine.call(&op, n, aim, &meter);
        tokio::pin!(call);
        let answer = loop {
            tokio::select! {
                answer = &mut call => break answer,
                () = self.stop.cancelled(), if long => return Err(Parked::Stopping),
                () = engine.inner.clock.sleep(TELL_EVERY), if long => {}
            }
            // The call goes on meanwhile: it may hold what telling waits for, such as the one connection that writes.
            let mut answer = None;
            let stopped = {
                let tell = self.tell(n, &meter);
                tokio::pin!(tell);
                loop {
                    tokio::select! {
                        ended = &mut call, if answer.is_none() => answer = Some(ended),
                        stopped = &mut tell => break stopped?,
                    }
                }
            };
            if let Some(answer) = answer {
                break answer;
            }
            if stopped {
                let text = "it was stopped on its way".to_owned();
                break Err(CallFault { text, advice: Advice::Probe, taken: false });
            }
        };
        if answer.is_ok() {
            self.op.steps[n].learned = meter.learned();
        }
        Ok(answer)
    }

    /// Tells how far a long call is. Returns whether somebody wants it to stop and it ends when it is let go.
    async fn tell(&mut self, n: usize, meter: &Meter) -> Result<bool, Parked> {
        self.read_cancel().await;
        if self.op.cancel_by.is_some() && self.op.steps[n].kind.ends_when_let_go() {
            return Ok(true);
        }
        if let Some((percent, remark)) = meter.news() {
            self.op.progress.percent = percent;
            self.op.progress.remark = remark;
            self.op.progress.read_ms = self.engine.now_ms();
            self.save(None).await?;
        }
        Ok(false)
    }

    /// Records the intent. For a new pod a VMID is chosen first, one at a time in each cluster.
    async fn record_intent(
        &mut self,
        n: usize,
        mut aim: Aim,
    ) -> Result<Result<Aim, crate::Error>, Parked> {
        self.at("before intent", n).await;
        let creating = self.op.steps[n].kind == StepKind::CreatePod;
        let engine = self.engine;
        let watched = engine.inner.clusters.get(self.op.action.cluster());
        let choosing = match watched.filter(|_| creating) {
            Some(watched) => Some(watched.choosing_vmid().await),
            None => None,
        };
        if creating && self.op.vmid.is_none() {
            match engine.free_vmid(self.op.action.cluster()).await {
                Ok(vmid) => self.op.vmid = Some(vmid),
                Err(error) => return Ok(Err(error)),
            }
        }
        let chosen = self.op.vmid;
        if creating {
            match self.created_before(n, &aim).await {
                Ok(seen) => aim.seen = seen,
                Err(error) => return Ok(Err(error)),
            }
        }
        let step = &mut self.op.steps[n];
        step.state = StepState::Intent;
        step.attempt += 1;
        step.intent_ms = Some(engine.now_ms());
        step.node = Some(aim.node.clone());
        step.seen = aim.seen.clone();
        let again = match step.attempt {
            ..=1 => String::new(),
            sent => format!(", attempt {sent}: the one before never arrived"),
        };
        let detail = format!("{} on {}{again}", step.kind.name(), aim.node);
        let row = engine.operation_row(&self.op, AuditEvent::AboutTo, detail);
        self.save(Some(&row)).await?;
        if creating && self.op.vmid != chosen {
            // Another process had taken it, and saving took the next one.
            match self.created_before(n, &aim).await {
                Ok(seen) => self.op.steps[n].seen = seen,
                Err(error) => return Ok(Err(error)),
            }
            self.save(None).await?;
        }
        if creating {
            aim.vmid = self.op.vmid;
        }
        drop(choosing);
        Ok(Ok(aim))
    }

    /// Tasks that created a guest with the chosen VMID before: Proxmox gives a free number again, and a task of
    /// then must never be taken for the one of now.
    async fn created_before(&self, n: usize, aim: &Aim) -> Result<Vec<Upid>, crate::Error> {
        let Some(vmid) = self.op.vmid else { return Ok(Vec::new()) };
        let kinds = self.op.steps[n].kind.task_types();
        self.engine.tasks_like(self.op.action.cluster(), &aim.node, vmid, kinds).await
    }

    /// A call ended without a task id: told apart by whether it may have been carried out.
    async fn not_answered(&mut self, n: usize, fault: CallFault) -> Result<Next, Parked> {
        let CallFault { text, advice, taken } = fault;
        tracing::warn!(error = %text, step = n, "the call was not answered with a task");
        let step = &mut self.op.steps[n];
        step.result = Some(text.clone());
        if taken && step.kind == StepKind::CreatePod && step.attempt < ATTEMPTS_MAX {
            // Somebody else took that VMID between choosing and creating: take the next one.
            step.state = StepState::Pending;
            self.op.vmid = None;
            self.save(None).await?;
            return Ok(Next::Again);
        }
        match advice {
            Advice::RetryAfter(pause) if step.attempt < ATTEMPTS_MAX => {
                step.state = StepState::Pending;
                self.op.progress.remark = Some(format!("{text}. Nothing was sent; trying again."));
                self.save(None).await?;
                self.pause(pause.max(Duration::from_millis(500))).await?;
                Ok(Next::Again)
            }
            Advice::RetryAfter(_) => {
                Ok(self.failed(n, format!("{text}. Nothing was sent."), None).await)
            }
            Advice::Probe => {
                self.op.progress.remark =
                    Some(format!("{text}. It may have been carried out; looking for the task."));
                self.save(None).await?;
                Ok(Next::Again)
            }
            Advice::GiveUp => Ok(self.failed(n, text, None).await),
        }
    }

    /// Marks a step as over and keeps gantry's own record of pods in line with it.
    async fn close_step(
        &mut self,
        n: usize,
        state: StepState,
        mut result: Option<String>,
    ) -> Result<(), Parked> {
        loop {
            match self.engine.remember(&self.op, n).await {
                Ok(None) => break,
                // Told as Proxmox's own warnings are.
                Ok(Some(warning)) => {
                    result = Some(format!("WARNINGS: {warning}"));
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "could not keep gantry's own record; trying again");
                    self.pause(LOOK_AGAIN).await?;
                }
            }
        }
        let step = &mut self.op.steps[n];
        step.state = state;
        step.result = result;
        step.ended_ms = Some(self.engine.now_ms());
        self.op.progress = gantry_core::operation::Progress::default();
        self.save(None).await
    }

    async fn end(&mut self, state: OpState, outcome: Outcome) -> Result<(), Parked> {
        let n = self.op.current().map_or(self.op.steps.len(), |(n, _)| n);
        self.at("before end", n).await;
        if let Some(step) = self.op.steps.get_mut(n) {
            // The step that ended it; those after it were never begun and stay so.
            step.state = StepState::Failed;
            step.ended_ms = Some(self.engine.now_ms());
        }
        self.op.state = state;
        self.op.ended_ms = Some(self.engine.now_ms());
        self.op.progress = gantry_core::operation::Progress::default();
        let detail = match &outcome.reason {
            Some(reason) => format!("{}: {} ({reason})", state.as_str(), outcome.summary),
            None => format!("{}: {}", state.as_str(), outcome.summary),
        };
        tracing::info!(state = state.as_str(), summary = %outcome.summary, "operation ended");
        self.op.outcome = Some(outcome);
        let row = self.engine.operation_row(&self.op, AuditEvent::Ended, detail);
        self.save(Some(&row)).await?;
        self.engine.count_ended(state);
        self.at("after end", n).await;
        let (engine, cluster) = (self.engine.clone(), self.op.action.cluster().clone());
        // Lists and autocompletion shall show it at once; nobody waits for this.
        tokio::spawn(async move { engine.refresh(&cluster, Duration::ZERO).await });
        Ok(())
    }

    /// Saves, and goes on trying while the database does not answer: what is known must not be lost.
    async fn save(&mut self, audit: Option<&AuditRow>) -> Result<(), Parked> {
        let mut pause = Duration::from_millis(200);
        loop {
            match self.engine.store().save_operation(&self.op, self.generation, audit).await {
                Ok(true) => {
                    self.engine.card_touched();
                    return Ok(());
                }
                Ok(false) => return Err(Parked::LeaseLost),
                Err(error @ gantry_store::StoreError::IllegalMove { .. }) => {
                    tracing::error!(%error, "the store refused the move; letting go");
                    return Err(Parked::LeaseLost);
                }
                Err(error) if error.is_taken() => {
                    // Another process of gantry's has just taken that VMID for a pod of its own.
                    self.op.vmid = self.op.vmid.and_then(|v| (v.get() + 1).try_into().ok());
                    self.pause(Duration::from_millis(50)).await?;
                }
                Err(error) => {
                    tracing::error!(%error, "could not save the operation; trying again");
                    self.pause(pause).await?;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    /// Reads whether somebody asked to stop; a database that does not answer is not a reason to stop.
    async fn read_cancel(&mut self) {
        match self.engine.store().find_operation(&self.op.id).await {
            Ok(Some(kept)) => self.op.cancel_by = kept.cancel_by,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "could not read whether to stop"),
        }
    }

    async fn at(&self, point: &'static str, step: usize) {
        self.engine.inner.witness.at(point, step, &self.op.id).await;
    }

    fn check_stop(&self) -> Result<(), Parked> {
        if self.stop.is_cancelled() { Err(Parked::Stopping) } else { Ok(()) }
    }

    /// Waits, unless the process stops.
    async fn pause(&self, pause: Duration) -> Result<(), Parked> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Parked::Stopping),
            () = self.engine.inner.clock.sleep(pause) => Ok(()),
        }
    }
}
