//! Tasks of Proxmox: stopping one that runs.

use gantry_core::action::{Action, Verb};
use gantry_core::id::{ClusterId, Upid};
use gantry_core::operation::Operation;
use gantry_core::plan::plan_cancel_task;
use gantry_core::policy::Actor;

use super::{Aim, CallFault, Look, Planning, Seen};
use crate::{Engine, Error};

impl Engine {
    pub(super) async fn plan_cancel_now(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        upid: &Upid,
    ) -> Result<Planning, Error> {
        let read_ms = self.now_ms();
        let running = self.task(cluster, upid).await?.is_some_and(|task| task.status.is_none());
        Ok(Planning {
            planned: plan_cancel_task(cluster, upid, running),
            ruling: self.may_task(actor, verb, cluster, upid),
            read_ms,
        })
    }

    pub(super) async fn look_before_cancel(&self, op: &Operation) -> Result<Look, Error> {
        let Action::CancelTask { cluster, upid } = &op.action else {
            return Ok(Look::Changed("there is no task to stop".into()));
        };
        let running = self.task(cluster, upid).await?.is_some_and(|t| t.status.is_none());
        Ok(if running {
            Look::Go(Aim { node: upid.node().clone(), vmid: None, seen: Vec::new() })
        } else {
            Look::Already("it had already ended".into())
        })
    }

    pub(super) async fn call_cancel(&self, op: &Operation) -> Result<Option<Upid>, CallFault> {
        let Action::CancelTask { cluster, upid } = &op.action else {
            return Err(CallFault::never_sent("there is no task to stop"));
        };
        let client = self.client(cluster).map_err(|e| CallFault::never_sent(e.to_string()))?;
        client.stop_task(upid).await?;
        Ok(None)
    }

    pub(super) async fn is_cancel_met(&self, op: &Operation) -> Result<Seen, Error> {
        let Action::CancelTask { cluster, upid } = &op.action else {
            return Ok(Seen { met: false, now: "There is no task.".into() });
        };
        let task = self.task(cluster, upid).await?;
        Ok(match task.and_then(|t| t.status) {
            Some(status) => Seen { met: true, now: format!("The task has ended: {status}.") },
            None => Seen { met: false, now: "The task is still running.".into() },
        })
    }

    /// Asks Proxmox to stop a task of a running operation.
    pub(crate) async fn stop_task(&self, cluster: &ClusterId, upid: &Upid) -> Result<(), Error> {
        self.client(cluster)?
            .stop_task(upid)
            .await
            .map_err(Error::proxmox(format!("stop the task {}", upid.kind()), cluster))
    }
}
