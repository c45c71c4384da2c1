//! Waits for somebody to press Keep, and turns back when something broke or nobody did.
//!
//! The deadline is in the store, on gantry's clock: it passes while no gantry runs, and the next one acts on it.

use std::time::Duration;

use gantry_core::action::Action;
use gantry_core::network::{Decision, NetworkStep, Scope};
use gantry_core::operation::{Broken, OpState, Outcome, StepKind, StepState};

use super::look::PUT_BACK_WITHIN;
use super::{Carrier, LOOK_AGAIN, Next, Parked};

/// Pause between two looks at whether somebody has pressed.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two looks at whether the node still answers, milliseconds.
const REACHED_EVERY_MS: i64 = 10_000;

impl Carrier<'_> {
    /// Waits until it is decided whether the change stays.
    pub(super) async fn wait_for_keep(&mut self, n: usize) -> Result<Next, Parked> {
        let mut reached_ms = self.engine.now_ms();
        loop {
            self.check_stop()?;
            self.at("before poll", n).await;
            let row = self.engine.store().find_network_change(&self.op.id).await;
            self.at("after poll", n).await;
            let row = match row {
                Ok(Some(row)) => row,
                Ok(None) => {
                    let why = "the former configuration is not in the store".to_owned();
                    return Ok(self.failed(n, why, None).await);
                }
                Err(error) => {
                    tracing::warn!(%error, "could not read whether the change is kept; trying again");
                    self.pause(LOOK_AGAIN).await?;
                    continue;
                }
            };
            if let Some((decision, by)) = row.decision {
                let result = match decision {
                    Decision::Keep => format!("kept by {by}"),
                    Decision::PutBack => format!("{by} wants the former configuration back"),
                    Decision::Lapsed => "nobody pressed Keep in time".to_owned(),
                    Decision::Failed => "it went wrong before".to_owned(),
                };
                self.close_step(n, StepState::Done, Some(result)).await?;
                return Ok(Next::Again);
            }
            if self.op.steps[n].until_ms != row.until_ms {
                self.op.steps[n].until_ms = row.until_ms;
                self.save(None).await?;
            }
            self.read_cancel().await;
            if let Some(by) = self.op.cancel_by.clone() {
                self.decide(Decision::PutBack, &by).await?;
                continue;
            }
            if row.until_ms.is_none_or(|until| self.engine.now_ms() >= until) {
                self.decide(Decision::Lapsed, "").await?;
                continue;
            }
            if self.engine.now_ms() - reached_ms >= REACHED_EVERY_MS {
                reached_ms = self.engine.now_ms();
                self.say_whether_reached().await?;
            }
            self.pause(LOOK_PAUSE).await?;
        }
    }

    /// A node that a change has cut off is told of before the time is over.
    async fn say_whether_reached(&mut self) -> Result<(), Parked> {
        let Action::Network(action) = &self.op.action else { return Ok(()) };
        let remark = match self.engine.network(&action.cluster, &action.scope).await {
            Ok(_) => None,
            Err(error) => Some(format!("{error}. {}", cut_off(&action.scope, false))),
        };
        if self.op.progress.remark != remark {
            self.op.progress.remark = remark;
            self.op.progress.read_ms = self.engine.now_ms();
            self.save(None).await?;
        }
        Ok(())
    }

    /// Decides by gantry itself; goes on trying while the database does not answer. What was decided before stays.
    async fn decide(&mut self, decision: Decision, by: &str) -> Result<(), Parked> {
        loop {
            let now_ms = self.engine.now_ms();
            let store = self.engine.store();
            match store.decide_network_change(&self.op.id, decision, by, now_ms).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "could not keep what was decided; trying again");
                    self.pause(LOOK_AGAIN).await?;
                }
            }
        }
    }

    /// When step `n` broke and later steps put things back: notes how it broke and goes on there. Whether it does.
    pub(super) async fn turn_back(
        &mut self,
        n: usize,
        state: OpState,
        outcome: &Outcome,
    ) -> Result<bool, Parked> {
        let Some(back) = self.op.steps.iter().position(|s| s.kind.is_undo()) else {
            return Ok(false);
        };
        if self.is_passed_over(n) {
            return self.pass_over(n, state, outcome).await.map(|()| true);
        }
        // Saving what was is step 0: before it is over, nothing can have been touched.
        if self.op.broken.is_some() || n >= back || n == 0 {
            return Ok(false);
        }
        tracing::warn!(step = n, summary = %outcome.summary, "turning back");
        self.decide(Decision::Failed, "").await?;
        let now_ms = self.engine.now_ms();
        let step = &mut self.op.steps[n];
        step.state = StepState::Failed;
        step.ended_ms = Some(now_ms);
        for step in &mut self.op.steps[n + 1..back] {
            step.state = StepState::Skipped;
            step.result = Some("not reached".to_owned());
        }
        self.op.broken = Some(Broken { state, outcome: outcome.clone() });
        self.op.progress = gantry_core::operation::Progress::default();
        self.save(None).await?;
        Ok(true)
    }

    /// Whether step `n` sets back what only the node shell can, and more is put back after it: that must not wait for a
    /// node shell that does not answer, and must not be left undone because of it.
    pub(super) fn is_passed_over(&self, n: usize) -> bool {
        matches!(self.op.steps[n].kind, StepKind::Network(NetworkStep::SwitchBack { .. }))
            && self.op.steps[n + 1..].iter().any(|s| s.kind.is_undo())
    }

    /// Notes that step `n` could not be set back, and goes on with the one after it.
    async fn pass_over(
        &mut self,
        n: usize,
        state: OpState,
        outcome: &Outcome,
    ) -> Result<(), Parked> {
        tracing::warn!(step = n, summary = %outcome.summary, "not set back; putting back the rest");
        let now_ms = self.engine.now_ms();
        let step = &mut self.op.steps[n];
        step.state = StepState::Failed;
        step.ended_ms = Some(now_ms);
        let here = Broken { state, outcome: outcome.clone() };
        self.op.broken = Some(match self.op.broken.take() {
            None => here,
            Some(mut first) => {
                let both = [first.outcome.reason.take(), here.outcome.reason];
                let both: Vec<String> = both.into_iter().flatten().collect();
                first.outcome.reason = Some(both.join("; then: "));
                first
            }
        });
        self.op.progress = gantry_core::operation::Progress::default();
        self.save(None).await
    }

    /// How an operation ends that has taken everything back.
    async fn taken_back(&mut self, broken: Broken) -> (OpState, Outcome) {
        let last = self.op.steps.len().saturating_sub(1);
        let (now, now_ms) = self.now(last).await;
        let summary = format!("{} Nothing of it is left.", broken.outcome.summary);
        // What was not known is known now: it is not so.
        let state = if broken.state == OpState::Unknown { OpState::Failed } else { broken.state };
        (state, Outcome { summary, now, now_ms, ..broken.outcome })
    }

    /// How an operation ends that has put things back, or could have.
    pub(super) async fn network_success(&mut self) -> Option<(OpState, Outcome)> {
        if let (Action::Forward(_), Some(broken)) = (&self.op.action, self.op.broken.clone()) {
            return Some(self.taken_back(broken).await);
        }
        let Action::Network(action) = &self.op.action else { return None };
        let scope = action.scope.clone();
        let last = self.op.steps.len().saturating_sub(1);
        let (now, now_ms) = self.now(last).await;
        let back = format!("The former network configuration of {scope} is back.");
        if let Some(broken) = self.op.broken.clone() {
            let outcome = Outcome {
                summary: format!("{} {back}", broken.outcome.summary),
                now,
                now_ms,
                ..broken.outcome
            };
            // What was not known is known now: it is not so.
            let state =
                if broken.state == OpState::Unknown { OpState::Failed } else { broken.state };
            return Some((state, outcome));
        }
        let ended = |state, summary: String, advice: Option<String>| {
            let reason = None;
            Some((state, Outcome { summary, reason, log: Vec::new(), now, now_ms, advice }))
        };
        let who = self.op.target.clone();
        if self.op.steps.iter().any(|s| s.kind == StepKind::Network(NetworkStep::Revert)) {
            return ended(OpState::Succeeded, format!("The {who} were dropped."), None);
        }
        match self.engine.network_decision(&self.op).await {
            Ok(Some((Decision::Keep, by))) => {
                ended(OpState::Succeeded, format!("{by} kept it: {who} stays."), None)
            }
            Ok(Some((Decision::PutBack, by))) => {
                ended(OpState::Cancelled, format!("{by} did not keep it. {back}"), None)
            }
            Ok(_) => ended(
                OpState::Cancelled,
                format!("Nobody pressed Keep in time. {back}"),
                Some("Ask again, and press Keep once you have seen that it works.".into()),
            ),
            Err(error) => ended(
                OpState::Unknown,
                format!("Whether {who} was kept could not be read: {error}."),
                Some("The line above says what is true now.".into()),
            ),
        }
    }
}

/// What to do when a node does not answer after its network was changed; `over`: it is no longer tried.
pub(super) fn cut_off(scope: &Scope, over: bool) -> String {
    let hours = PUT_BACK_WITHIN.as_secs() / 3600;
    let tries = match over {
        true => "gantry has stopped trying".to_owned(),
        false => format!("gantry goes on trying for {hours} h"),
    };
    match scope {
        Scope::Node(node) => format!(
            "This change may have cut {node} off. The former configuration can only be put back from here once its API can be \
             reached; {tries}. At the console of {node}: correct /etc/network/interfaces and run `ifreload -a`."
        ),
        Scope::Sdn => format!(
            "The former configuration can only be put back once the cluster answers; {tries}."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_tried_is_not_said_to_be() {
        let node = Scope::Node("pve1".parse().unwrap());
        for scope in [node, Scope::Sdn] {
            let (now, later) = (cut_off(&scope, false), cut_off(&scope, true));
            assert!(now.contains("goes on trying for 1 h"), "{now}");
            assert!(later.contains("has stopped") && !later.contains("goes on"), "{later}");
        }
    }
}
