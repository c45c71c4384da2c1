//! What is done to one kind of target, a file a kind: how policy judges it, how it is planned on the world as it is
//! now, looked at before a step, called, found again after a lost answer, and seen to be done.
//!
//! A new kind of target is a new file here and an arm in each function below; the walk of an operation
//! (`step/`), proposing and confirming stay as they are.

mod convert;
pub(crate) mod forward;
mod guest;
mod image;
mod image_shell;
mod member;
mod migrate;
pub(crate) mod network;
mod notify;
mod pod;
mod pod_change;
pub(crate) mod set;
mod snapshot;
mod task;
mod unlock;

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{GuestKind, NodeName, Upid, Vmid};
use gantry_core::operation::{Operation, StepKind};
use gantry_core::plan::Planned;
use gantry_core::pod::PodStep;
use gantry_core::policy::{Actor, Ruling};
use gantry_core::set::{SetAction, SetStep};
use gantry_proxmox::{Advice, Error as ProxmoxError};

pub use snapshot::SnapshotAsk;

use crate::meter::Meter;
use crate::{Engine, Error};

/// Where a call goes.
#[derive(Debug, Clone)]
pub(crate) struct Aim {
    /// The node the target is on now.
    pub(crate) node: NodeName,
    /// The guest; `None` for a pod whose VMID is not chosen yet and for what is no guest.
    pub(crate) vmid: Option<Vmid>,
    /// Tasks of the same kind that are there already.
    pub(crate) seen: Vec<Upid>,
}

/// What a look before a step comes to.
pub(crate) enum Look {
    /// It is as it was confirmed; the call may be sent.
    Go(Aim),
    /// It is already so.
    Already(String),
    /// It is not what was confirmed any more.
    Changed(String),
    /// An older operation is at work on the same; look again.
    Wait(String),
}

/// What a look after a step comes to.
pub(crate) struct Seen {
    /// Whether what was promised is so.
    pub(crate) met: bool,
    /// What is true now, as a sentence.
    pub(crate) now: String,
}

/// A call that was not answered with a result.
#[derive(Debug, Clone)]
pub(crate) struct CallFault {
    /// A sentence for people, without the full stop.
    pub(crate) text: String,
    /// Whether it may have been carried out.
    pub(crate) advice: Advice,
    /// Whether the number or name it wanted is taken.
    pub(crate) taken: bool,
}

impl From<ProxmoxError> for CallFault {
    fn from(error: ProxmoxError) -> Self {
        Self {
            text: error.to_string(),
            advice: error.advice(),
            taken: matches!(error, ProxmoxError::Exists { .. }),
        }
    }
}

impl CallFault {
    /// What a node did not do over SSH, or what kept it from being asked.
    pub(crate) fn shell(error: Error) -> Self {
        match error {
            Error::Shell { source, .. } => {
                Self { text: source.to_string(), advice: source.advice(), taken: false }
            }
            Error::Store { .. } => Self::not_stored(error.to_string()),
            error => Self::never_sent(error.to_string()),
        }
    }

    /// Something that cannot be sent at all.
    pub(crate) fn never_sent(why: impl Into<String>) -> Self {
        Self { text: why.into(), advice: Advice::GiveUp, taken: false }
    }

    /// The database did not take it; nothing was sent to Proxmox.
    pub(crate) fn not_stored(why: impl Into<String>) -> Self {
        let advice = Advice::RetryAfter(std::time::Duration::from_secs(1));
        Self { text: why.into(), advice, taken: false }
    }
}

/// A plan on the world as it is now.
pub(crate) struct Planning {
    /// What planning comes to.
    pub(crate) planned: Planned,
    /// Policy on what was read.
    pub(crate) ruling: Ruling,
    /// When it was read, milliseconds.
    pub(crate) read_ms: i64,
}

/// The guest an operation is about, once there is one.
pub(crate) fn target(op: &Operation) -> Option<(GuestRef, GuestKind)> {
    match &op.action {
        Action::CreatePod { cluster, .. } => op.vmid.map(|vmid| {
            let guest = GuestRef { cluster: cluster.clone(), vmid };
            (guest, GuestKind::Lxc)
        }),
        Action::Set(_) => member::part(op).and_then(|p| Some((p.guest()?, GuestKind::Lxc))),
        action => action.guest().map(|(guest, kind)| (guest.clone(), kind)),
    }
}

impl Engine {
    /// What policy says about `verb` on the target of `action` as it was seen last. Memory only.
    pub(crate) fn ruling(&self, actor: &Actor, verb: Verb, action: &Action) -> Ruling {
        match action {
            Action::Power { guest, .. }
            | Action::Delete { guest, .. }
            | Action::Unlock { guest, .. } => self.guest_ruling(actor, verb, guest),
            Action::Snapshot(action) => self.guest_ruling(actor, verb, &action.guest),
            Action::Migrate(action) => self.migration_ruling_seen(actor, verb, action),
            Action::CreatePod { cluster, spec, placed, fetch } => {
                let ruling = self.may_make(actor, verb, cluster, &spec.placed(placed.as_ref()));
                self.with_fetch(actor, cluster, fetch.as_deref(), ruling)
            }
            Action::Pod(change) => self.pod_change_ruling(actor, verb, change),
            Action::CancelTask { cluster, upid } => self.may_task(actor, verb, cluster, upid),
            Action::Set(action) => self.set_ruling(actor, verb, action),
            Action::Network(action) => self.network_ruling(actor, verb, action),
            Action::Image(action) => self.image_ruling(actor, verb, action),
            Action::Forward(action) => self.forward_ruling(actor, verb, action),
            Action::Notify(action) => self.notify_ruling(actor, verb, action),
        }
    }

    /// Plans `action` on the world as it is now, with policy for `actor` on what was read.
    pub(crate) async fn plan_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &Action,
    ) -> Result<Planning, Error> {
        match action {
            Action::Power { guest, kind, .. } | Action::Delete { guest, kind, .. } => {
                self.plan_guest_now(actor, verb, action, guest, *kind).await
            }
            Action::CreatePod { cluster, spec, placed, fetch } => {
                let fetch = fetch.as_deref();
                self.plan_pod_now(actor, verb, cluster, spec, placed.as_ref(), fetch).await
            }
            Action::Pod(change) => Box::pin(self.plan_pod_change_now(actor, verb, change)).await,
            Action::CancelTask { cluster, upid } => {
                self.plan_cancel_now(actor, verb, cluster, upid).await
            }
            Action::Set(action) => self.plan_set_now(actor, verb, action).await,
            Action::Network(action) => self.plan_network_now(actor, verb, action).await,
            Action::Image(action) => self.plan_image_now(actor, verb, action).await,
            Action::Forward(action) => Box::pin(self.plan_forward_now(actor, verb, action)).await,
            Action::Notify(action) => Box::pin(self.plan_notify_now(actor, verb, action)).await,
            Action::Unlock { guest, kind } => {
                Box::pin(self.plan_unlock_now(actor, verb, guest, *kind)).await
            }
            Action::Migrate(action) => Box::pin(self.plan_migration_now(actor, verb, action)).await,
            Action::Snapshot(action) => Box::pin(self.plan_snapshot_now(actor, verb, action)).await,
        }
    }

    /// Looks before step `n`: is it still what was confirmed, is it already so, where is it?
    pub(crate) async fn look(&self, op: &Operation, n: usize) -> Result<Look, Error> {
        match &op.steps[n].kind {
            StepKind::CreatePod => self.look_before_pod(op).await,
            StepKind::CancelTask => self.look_before_cancel(op).await,
            StepKind::Network(_) => self.look_before_network(op, n).await,
            StepKind::Pod(step) => self.look_before_pod_step(op, n, step).await,
            StepKind::Set(SetStep::Record) => self.look_before_record(op).await,
            StepKind::Image(step) => self.look_before_image(op, n, step).await,
            StepKind::Forward(step) => Box::pin(self.look_before_forward(op, step)).await,
            StepKind::Notify(step) => Box::pin(self.look_before_notify(op, step)).await,
            StepKind::Unlock => Box::pin(self.look_before_unlock(op)).await,
            StepKind::Migrate(_) => Box::pin(self.look_before_migration(op, n)).await,
            StepKind::Snapshot(_) => Box::pin(self.look_before_snapshot(op, n)).await,
            _ if is_member(op) => self.look_before_member(op, n).await,
            _ => self.look_before_guest(op, n).await,
        }
    }

    /// Sends the call of step `n`, once. `Ok(None)` for calls that give no task. A call that takes long tells how far
    /// it is.
    pub(crate) async fn call(
        &self,
        op: &Operation,
        n: usize,
        aim: &Aim,
        meter: &Meter,
    ) -> Result<Option<Upid>, CallFault> {
        match &op.steps[n].kind {
            StepKind::CreatePod => self.call_create_pod(op, aim).await,
            StepKind::CancelTask => self.call_cancel(op).await,
            StepKind::Set(SetStep::Record) => self.call_record(op).await,
            StepKind::Set(SetStep::Create | SetStep::MakeKeeper) => self.call_make(op, aim).await,
            StepKind::Set(SetStep::Unprotect) => self.call_unprotect(op, aim).await,
            // Watched by the walk itself; there is no call.
            StepKind::Set(SetStep::Converge) => Ok(None),
            StepKind::Network(_) => self.call_network(op, n).await,
            StepKind::Pod(step) => self.call_pod_step(op, step, aim).await,
            StepKind::Image(step) => self.call_image(op, step, aim, meter).await,
            StepKind::Forward(step) => Box::pin(self.call_forward(op, step)).await.map(|()| None),
            StepKind::Notify(step) => Box::pin(self.call_notify(op, step)).await.map(|()| None),
            StepKind::Unlock => Box::pin(self.call_unlock(op, aim)).await.map(|()| None),
            StepKind::Migrate(step) => Box::pin(self.call_migrate(op, step, aim)).await.map(Some),
            StepKind::Snapshot(step) => Box::pin(self.call_snapshot(op, step, aim)).await.map(Some),
            kind => self.call_guest(op, kind, aim).await,
        }
    }

    /// Whether what step `n` promises is so now. Reads live state.
    pub(crate) async fn is_met(&self, op: &Operation, n: usize) -> Result<Seen, Error> {
        match &op.steps[n].kind {
            StepKind::CancelTask => self.is_cancel_met(op).await,
            StepKind::Set(SetStep::Record) => self.is_record_met(op).await,
            StepKind::Set(SetStep::Converge) => self.is_converge_met(op).await,
            StepKind::Set(SetStep::Unprotect) => self.is_unprotected(op).await,
            StepKind::Network(_) => self.is_network_met(op, n).await,
            StepKind::Pod(step) => self.is_pod_step_met(op, step).await,
            StepKind::Image(step) => self.is_image_met(op, step).await,
            StepKind::Forward(step) => Box::pin(self.is_forward_met(op, step)).await,
            StepKind::Notify(step) => Box::pin(self.is_notify_met(op, n, step)).await,
            StepKind::Unlock => Box::pin(self.is_unlock_met(op)).await,
            StepKind::Migrate(step) => Box::pin(self.is_migrated(op, step)).await,
            StepKind::Snapshot(step) => {
                Box::pin(self.is_snapshot_met(op, &op.steps[n], step)).await
            }
            _ => self.is_guest_met(op, n).await,
        }
    }

    /// Whether gantry's own record, which step `n` writes, is written. Reads the database only.
    pub(crate) async fn is_written(&self, op: &Operation, n: usize) -> Result<bool, Error> {
        match &op.steps[n].kind {
            StepKind::Set(SetStep::Record) => Ok(self.is_record_met(op).await?.met),
            StepKind::Forward(step) => Box::pin(self.is_forward_written(op, step)).await,
            _ => Ok(false),
        }
    }

    /// Tasks of ours that fit step `n` and were not there before its intent.
    pub(crate) async fn tasks_since(&self, op: &Operation, n: usize) -> Result<Vec<Upid>, Error> {
        match &op.steps[n].kind {
            StepKind::Network(_) => self.network_tasks_since(op, n).await,
            StepKind::CancelTask
            | StepKind::Forward(_)
            | StepKind::Notify(_)
            | StepKind::Unlock
            | StepKind::Pod(PodStep::Configure { .. })
            | StepKind::Set(SetStep::Record | SetStep::Converge | SetStep::Unprotect) => {
                Ok(Vec::new())
            }
            StepKind::CreatePod | StepKind::Set(SetStep::Create | SetStep::MakeKeeper) => {
                self.create_tasks_since(op, n).await
            }
            StepKind::Image(step) if step.place().is_some() => {
                self.image_tasks_since(op, n, step).await
            }
            _ => self.guest_tasks_since(op, n).await,
        }
    }

    /// Whether what is there was made by this operation, where that has to be told apart.
    pub(crate) async fn is_ours(&self, op: &Operation, n: usize) -> Result<bool, Error> {
        match &op.steps[n].kind {
            StepKind::CreatePod | StepKind::Set(SetStep::Create | SetStep::MakeKeeper) => {
                self.notes_name(op).await
            }
            _ => Ok(true),
        }
    }

    /// Keeps gantry's own records in line with a step that is over. What of it could not be, as a sentence.
    pub(crate) async fn remember(&self, op: &Operation, n: usize) -> Result<Option<String>, Error> {
        if let StepKind::CreatePod | StepKind::Pod(PodStep::Configure { .. }) = &op.steps[n].kind {
            self.remember_step(op, n).await?;
            return Box::pin(self.remember_ports(op)).await;
        }
        self.remember_step(op, n).await.map(|()| None)
    }

    async fn remember_step(&self, op: &Operation, n: usize) -> Result<(), Error> {
        match &op.steps[n].kind {
            StepKind::Set(SetStep::Create) => {
                self.remember_made(op).await?;
                match member::part(op) {
                    Some(part) => self.touch_image(op, n, part.image()).await,
                    None => Ok(()),
                }
            }
            StepKind::Delete if is_member(op) => {
                match self.is_made_again(op).await? {
                    Some(guest) => Box::pin(self.keep_forwards_to(&guest)).await?,
                    None => Box::pin(self.forget_forwards(op)).await?,
                }
                self.remember_removed(op).await
            }
            StepKind::CreatePod => {
                self.remember_pod(op).await?;
                match &op.action {
                    Action::CreatePod { spec, .. } => {
                        self.touch_image(op, n, &spec.template.image).await
                    }
                    _ => Ok(()),
                }
            }
            StepKind::Image(step) => self.remember_image(op, n, step).await,
            StepKind::Delete => {
                Box::pin(self.forget_forwards(op)).await?;
                self.forget_pod(op).await
            }
            StepKind::Pod(PodStep::Configure { .. }) => self.remember_applied(op).await,
            _ => Ok(()),
        }
    }
}

/// Whether it is work on one ordinal of a set.
fn is_member(op: &Operation) -> bool {
    matches!(op.action, Action::Set(SetAction::Member { .. }))
}

/// A task is ours to adopt when it was not there before the intent.
fn is_new(upid: &Upid, seen: &[Upid]) -> bool {
    !seen.contains(upid)
}
