//! Keep, or put back now: pressed under a change of a network that is real and waits for somebody's word.
//!
//! Policy is asked for whoever presses, as if they asked for the change themselves. The first decision counts;
//! the clock's own is one of them.

use gantry_core::audit::AuditEvent;
use gantry_core::id::OperationId;
use gantry_core::network::Decision;
use gantry_core::policy::{Actor, Ruling};

use crate::{Engine, Error};

/// What came of pressing Keep or Put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It is decided.
    Decided,
    /// Not for this presser.
    Denied {
        /// The deciding rule.
        because: String,
    },
    /// Too late, or nothing waits.
    Over {
        /// Why.
        why: String,
    },
}

impl Engine {
    /// Keeps the change of `operation`, or has it put back at once.
    ///
    /// # Errors
    /// When the store does not answer; nothing is decided then.
    pub async fn decide(
        &self,
        presser: &Actor,
        operation: &OperationId,
        keep: bool,
    ) -> Result<Kept, Error> {
        let over = |why: &str| Ok(Kept::Over { why: why.to_owned() });
        let Some(op) = self.operation(operation).await? else {
            return over("That operation is not there.");
        };
        let Some(stored) = self.find_plan(&op.plan).await? else {
            return over("That operation's plan is not there.");
        };
        let rule = match self.may_plan(presser, &stored.plan) {
            Ruling::Allowed { rule, .. } => rule,
            Ruling::Denied { because } => {
                self.press_denied(presser, &stored.plan, &because).await?;
                return Ok(Kept::Denied { because });
            }
        };
        let (decision, event, detail) = if keep {
            (Decision::Keep, AuditEvent::Confirmed, format!("keep: {rule}"))
        } else {
            (Decision::PutBack, AuditEvent::CancelAsked, format!("put back: {rule}"))
        };
        let mut row = self.plan_row(event, presser, &stored.plan, &detail);
        row.operation = Some(op.id.clone());
        let decided = self
            .store()
            .press_network_change(operation, decision, &presser.name, self.now_ms(), &row)
            .await
            .map_err(Error::store("keep what was decided"))?;
        if decided {
            self.card_touched();
            return Ok(Kept::Decided);
        }
        match self.network_decision(&op).await? {
            Some((Decision::Keep, by)) => over(&format!("{by} has already pressed Keep.")),
            Some((Decision::PutBack, by)) => {
                over(&format!("{by} has already had the former configuration put back."))
            }
            Some((Decision::Failed, _)) => {
                over("The change went wrong; the former configuration is being put back.")
            }
            Some((Decision::Lapsed, _)) | None => {
                over("The time is over; the former configuration is being put back.")
            }
        }
    }
}
