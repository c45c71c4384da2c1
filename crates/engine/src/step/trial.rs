//! A last step that only tries what the steps before it have made: what comes of it is told, and they stand.

use gantry_core::action::Action;
use gantry_core::notify::shown_url;
use gantry_core::operation::{OpState, Outcome, Progress, StepState};

use super::wait::VERIFY_WITHIN;
use super::{Carrier, Parked};

impl Carrier<'_> {
    /// Whether step `n`, which ended in `state`, is a trial of something that was made before it.
    pub(super) fn is_told_only(&self, n: usize, state: OpState) -> bool {
        n > 0 && state != OpState::Cancelled && self.op.steps[n].kind.is_trial()
    }

    /// Notes what came of a trial that went wrong, as a warning.
    pub(super) async fn tell_trial(
        &mut self,
        n: usize,
        state: OpState,
        outcome: Outcome,
    ) -> Result<(), Parked> {
        let why = match (state, outcome.reason) {
            // Whether it was sent is not known; that it was not heard is.
            (OpState::Unknown, _) => self.unheard(),
            (_, Some(reason)) => reason,
            (_, None) => outcome.summary,
        };
        tracing::warn!(step = n, %why, "what was made could not be seen to work");
        let step = &mut self.op.steps[n];
        step.state = StepState::Failed;
        step.result = Some(format!("WARNINGS: {why}"));
        step.ended_ms = Some(self.engine.now_ms());
        self.op.progress = Progress::default();
        self.save(None).await
    }

    /// Said where Proxmox was asked to send a test and gantry has not heard it.
    pub(super) fn unheard(&self) -> String {
        let (who, url) = match &self.op.action {
            Action::Notify(action) => (action.cluster().to_string(), shown_url(action.url())),
            action => (action.cluster().to_string(), "gantry".to_owned()),
        };
        format!(
            "Proxmox was asked to send a test, and it was not heard within {} s: can the nodes of {who} reach {url}?",
            VERIFY_WITHIN.as_secs()
        )
    }
}
