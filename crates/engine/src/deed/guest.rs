//! Guests: power and deletion, containers and virtual machines alike.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{GuestKind, Upid};
use gantry_core::operation::{Expect, Operation, Step, StepKind, StepState};
use gantry_core::plan::{LiveGuest, Planned, describe, fingerprint, plan_guest};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::GuestStatus;
use gantry_proxmox::{Delete, GuestRef as At, Shutdown};

use super::{Aim, CallFault, Look, Planning, Seen, is_new, target};
use crate::{Engine, Error};

/// Clocks of nodes may differ from ours by this much when a restart is recognised by uptime, seconds.
const UPTIME_SLACK_S: i64 = 5;

impl Engine {
    pub(crate) fn guest_ruling(&self, actor: &Actor, verb: Verb, guest: &GuestRef) -> Ruling {
        let view = self.view(&guest.cluster);
        match view.as_ref().and_then(|v| v.guest(guest.vmid)) {
            Some(seen) => self.may(actor, verb, Target::Guest(seen)),
            None => self.may(actor, verb, Target::Cluster(&guest.cluster)),
        }
    }

    pub(super) async fn plan_guest_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &Action,
        guest: &GuestRef,
        kind: GuestKind,
    ) -> Result<Planning, Error> {
        self.its_node_must_be_up(guest, kind)?;
        let mut live = self.look_at_guest(guest, kind).await?;
        if let (Some(live), Action::Delete { .. }) = (&mut live, action) {
            self.count_snapshots(live).await?;
        }
        Ok(match live {
            Some(live) => {
                let mut planned = plan_guest(verb, action, &live);
                if let (Action::Delete { .. }, Planned::Ready(draft)) = (action, &mut planned) {
                    self.tell_forwards_to(guest, draft).await?;
                }
                Planning {
                    planned,
                    ruling: self.may(actor, verb, Target::Guest(&live.guest)),
                    read_ms: live.read_ms,
                }
            }
            None => self.is_gone(actor, verb, guest, kind),
        })
    }

    /// A guest whose node is known to be lost is not asked about.
    pub(super) fn its_node_must_be_up(
        &self,
        guest: &GuestRef,
        kind: GuestKind,
    ) -> Result<(), Error> {
        let view = self.view(&guest.cluster);
        let Some(seen) = view.as_ref().and_then(|v| v.guest(guest.vmid)) else { return Ok(()) };
        let what = || format!("read {} {}", kind.short(), guest.vmid);
        self.must_be_up(&guest.cluster, &seen.node, what)
    }

    /// The plan for a guest that is not there any more.
    pub(super) fn is_gone(
        &self,
        actor: &Actor,
        verb: Verb,
        guest: &GuestRef,
        kind: GuestKind,
    ) -> Planning {
        let why = format!(
            "{} {} ({}) is gone: Proxmox does not know it any more.",
            kind.short(),
            guest.vmid,
            guest.cluster
        );
        Planning {
            planned: Planned::Nothing { why },
            ruling: self.guest_ruling(actor, verb, guest),
            read_ms: self.now_ms(),
        }
    }

    pub(super) async fn look_before_guest(&self, op: &Operation, n: usize) -> Result<Look, Error> {
        let step = &op.steps[n];
        let Some((guest, kind)) = target(op) else {
            return Ok(Look::Changed("there is no guest to do this to".into()));
        };
        let Some(live) = self.look_at_guest(&guest, kind).await? else {
            return Ok(match step.kind {
                StepKind::Delete => Look::Already("it was already gone".into()),
                _ => Look::Changed(format!("{} is gone", op.target)),
            });
        };
        if let Some(why) = is_another(op, n, &live) {
            return Ok(Look::Changed(why));
        }
        let status = live.guest.status;
        let already = match step.expects_status(kind) {
            // A restart is never already done.
            Some(states) if !matches!(step.kind, StepKind::Reboot { .. }) => {
                states.contains(&status)
            }
            _ => false,
        };
        if already {
            return Ok(Look::Already(format!("it was already {}", status.as_str())));
        }
        if n == 0 && fingerprint(&live) != op.fingerprint {
            return Ok(Look::Changed(format!(
                "{} is not as it was when this was confirmed: it is {} on {}{} now",
                op.name,
                status.as_str(),
                live.guest.node,
                live.guest.lock.as_ref().map(|l| format!(", locked ({l})")).unwrap_or_default()
            )));
        }
        if let Some(lock) = &live.guest.lock {
            return Ok(Look::Changed(format!("it is locked by Proxmox ({lock})")));
        }
        if step.kind == StepKind::Delete && status != GuestStatus::Stopped {
            return Ok(Look::Changed(format!("it is {} again", status.as_str())));
        }
        let seen = self
            .tasks_like(&guest.cluster, &live.guest.node, guest.vmid, step.kind.task_types())
            .await?;
        Ok(Look::Go(Aim { node: live.guest.node, vmid: Some(guest.vmid), seen }))
    }

    pub(super) async fn call_guest(
        &self,
        op: &Operation,
        step: &StepKind,
        aim: &Aim,
    ) -> Result<Option<Upid>, CallFault> {
        let client =
            self.client(op.action.cluster()).map_err(|e| CallFault::never_sent(e.to_string()))?;
        let kind = op.action.guest().map_or(GuestKind::Lxc, |(_, kind)| kind);
        let vmid =
            aim.vmid.ok_or_else(|| CallFault::never_sent("there is no guest to do this to"))?;
        let at = At { node: aim.node.clone(), kind, vmid };
        let accepted = match step {
            StepKind::Start => client.start(&at).await?,
            StepKind::Shutdown { timeout_s } => {
                let how = Shutdown { timeout_s: Some(*timeout_s), force_stop: false };
                client.shutdown(&at, how).await?
            }
            StepKind::Kill => client.stop(&at).await?,
            StepKind::Reboot { timeout_s } => client.reboot(&at, Some(*timeout_s)).await?,
            StepKind::Suspend => client.suspend(&at).await?,
            StepKind::Resume => client.resume(&at).await?,
            StepKind::Delete => {
                let how = Delete { purge: true, destroy_unreferenced_disks: false, force: false };
                client.delete(&at, how).await?
            }
            StepKind::CreatePod
            | StepKind::CancelTask
            | StepKind::Pod(_)
            | StepKind::Set(_)
            | StepKind::Network(_)
            | StepKind::Forward(_)
            | StepKind::Notify(_)
            | StepKind::Unlock
            | StepKind::Migrate(_)
            | StepKind::Snapshot(_)
            | StepKind::Image(_) => {
                return Err(CallFault::never_sent("that is not something done to a guest"));
            }
        };
        Ok(Some(accepted.upid))
    }

    pub(super) async fn is_guest_met(&self, op: &Operation, n: usize) -> Result<Seen, Error> {
        let step = &op.steps[n];
        let Some((guest, kind)) = target(op) else {
            return Ok(Seen { met: false, now: "There is no guest yet.".into() });
        };
        let live = self.look_at_guest(&guest, kind).await?;
        Ok(match (step.kind.expects(kind), live) {
            (Expect::Gone, None) => Seen { met: true, now: format!("{} is gone.", op.target) },
            (_, None) => {
                Seen { met: false, now: format!("{} {} does not exist.", kind.short(), guest.vmid) }
            }
            (expect, Some(live)) => {
                let status = live.guest.status;
                let now = format!("{} is {}.", describe(&live.guest), status.as_str());
                let met = match expect {
                    Expect::Exists => live.guest.lock.is_none() && live.guest.name == op.name,
                    Expect::Status(states) => {
                        states.contains(&status) && self.has_restarted(step, &live)
                    }
                    Expect::Gone | Expect::TaskEnded => false,
                };
                Seen { met, now }
            }
        })
    }

    /// A restart shows in the uptime, together with its task: alone, a guest that was started just before looks the same.
    /// For every other step there is nothing to compare.
    fn has_restarted(&self, step: &Step, live: &LiveGuest) -> bool {
        let (StepKind::Reboot { .. }, Some(intent_ms)) = (&step.kind, step.intent_ms) else {
            return true;
        };
        if step.upid.is_none() {
            return false;
        }
        let since_s = (self.now_ms() - intent_ms) / 1000;
        i64::try_from(live.guest.uptime_s).unwrap_or(i64::MAX) <= since_s + UPTIME_SLACK_S
    }

    pub(super) async fn guest_tasks_since(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Vec<Upid>, Error> {
        let step = &op.steps[n];
        let (Some((guest, _)), Some(node)) = (target(op), step.node.as_ref()) else {
            return Ok(Vec::new());
        };
        let mut tasks =
            self.tasks_like(op.action.cluster(), node, guest.vmid, step.kind.task_types()).await?;
        tasks.retain(|upid| is_new(upid, &step.seen));
        Ok(tasks)
    }

    /// Forgets the pod that was deleted.
    pub(super) async fn forget_pod(&self, op: &Operation) -> Result<(), Error> {
        let Some((guest, _)) = target(op) else { return Ok(()) };
        self.store()
            .remove_pod(&guest.cluster, guest.vmid)
            .await
            .map(|_| ())
            .map_err(Error::store("forget the pod"))
    }
}

/// Why the guest with that number is not the one that was confirmed, if so.
pub(super) fn is_another(op: &Operation, n: usize, live: &LiveGuest) -> Option<String> {
    let done = |s: &&Step| s.state == StepState::Done;
    // Settings that a rollback has put back, the name among them, are those of then.
    if op.steps[..n].iter().filter(done).any(|s| s.kind.is_told_by_its_task()) {
        return None;
    }
    if live.guest.name != op.name {
        return Some(format!(
            "the guest with that number is called {} now, not {}",
            live.guest.name, op.name
        ));
    }
    // Once a step of its own has changed the configuration, the digest that was confirmed is over.
    let by_us = op.steps[..n].iter().filter(done).any(|s| s.kind.changes_configuration());
    if !op.digest.is_empty() && live.digest != op.digest && !by_us {
        return Some(format!("the configuration of {} was changed meanwhile", op.name));
    }
    None
}

/// The power states a step leads to, where it leads to one.
trait ExpectsStatus {
    fn expects_status(&self, kind: GuestKind) -> Option<&'static [GuestStatus]>;
}

impl ExpectsStatus for Step {
    fn expects_status(&self, kind: GuestKind) -> Option<&'static [GuestStatus]> {
        match self.kind.expects(kind) {
            Expect::Status(states) => Some(states),
            _ => None,
        }
    }
}
