//! Taking off a lock that a task which died has left behind. Never while a task of that guest runs: the lock is then
//! what keeps its disks whole.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::GuestKind;
use gantry_core::operation::{Operation, StepKind};
use gantry_core::plan::{Change, Draft, LiveGuest, Planned, describe, fingerprint};
use gantry_core::policy::{Actor, Target};
use gantry_proxmox::{TaskFilter, TaskSource};

use super::guest::is_another;
use super::{Aim, CallFault, Look, Planning, Seen};
use crate::propose::Answer;
use crate::shell::{Need, Who};
use crate::{Engine, Error};

impl Engine {
    /// Asks for a lock to be taken off.
    pub(crate) async fn propose_unlock(&self, actor: &Actor, who: &str) -> Result<Answer, Error> {
        let verb = Verb::GuestUnlock;
        let found = match self.named(actor, verb, who).await? {
            Ok(found) => found,
            Err(answer) => return Ok(*answer),
        };
        let action = Action::Unlock { guest: found.address(), kind: found.kind };
        self.propose_action(actor, verb, action, &describe(&found)).await
    }

    /// Why a guest cannot be unlocked now: a task of it runs.
    async fn works_on(&self, live: &LiveGuest) -> Result<Option<String>, Error> {
        let g = &live.guest;
        let filter = TaskFilter {
            vmid: Some(g.vmid),
            source: TaskSource::Active,
            limit: Some(20),
            ..TaskFilter::default()
        };
        let tasks = self
            .client(&g.cluster)?
            .node_tasks(&g.node, &filter)
            .await
            .map_err(Error::proxmox(format!("read the tasks of {}", g.node), &g.cluster))?;
        Ok(tasks.iter().find(|t| t.is_running()).map(|task| {
            format!(
                "the task {} of {} runs: the lock is its own, and taking it off could ruin the guest's disks",
                task.upid.kind(),
                g.name
            )
        }))
    }

    pub(super) async fn plan_unlock_now(
        &self,
        actor: &Actor,
        verb: Verb,
        guest: &GuestRef,
        kind: GuestKind,
    ) -> Result<Planning, Error> {
        let Some(live) = self.look_at_guest(guest, kind).await? else {
            let why = format!("{} {} ({}) is gone.", kind.short(), guest.vmid, guest.cluster);
            let ruling = self.guest_ruling(actor, verb, guest);
            let planned = Planned::Nothing { why };
            return Ok(Planning { planned, ruling, read_ms: self.now_ms() });
        };
        let ruling = self.may(actor, verb, Target::Guest(&live.guest));
        let who = describe(&live.guest);
        let planned = match (&live.guest.lock, self.works_on(&live).await?) {
            (None, _) => Planned::Nothing { why: format!("{who} is not locked.") },
            (Some(_), Some(why)) => Planned::Refused { why: format!("Not now: {why}.") },
            (Some(lock), None) => {
                self.need_shell(&guest.cluster, &live.guest.node, Need::Unlock)?;
                Planned::Ready(Draft {
                    name: live.guest.name.clone(),
                    target: who.clone(),
                    effects: vec![format!("Take the lock `{lock}` off {who}.")],
                    changes: vec![Change {
                        what: "Lock".into(),
                        before: lock.clone(),
                        after: "none".into(),
                    }],
                    warnings: vec![
                        "A lock is there for a reason. Take it off only when you know that what set it has died: a backup, a migration, a snapshot that was broken off.".into(),
                        "What that left behind (a half-made snapshot, a copied disk) stays.".into(),
                    ],
                    steps: vec![StepKind::Unlock],
                    fingerprint: fingerprint(&live),
                    digest: String::new(),
                })
            }
        };
        Ok(Planning { planned, ruling, read_ms: live.read_ms })
    }

    pub(super) async fn look_before_unlock(&self, op: &Operation) -> Result<Look, Error> {
        let Some((guest, kind)) = op.action.guest() else {
            return Ok(Look::Changed("there is no guest to unlock".into()));
        };
        let Some(live) = self.look_at_guest(guest, kind).await? else {
            return Ok(Look::Changed(format!("{} is gone", op.target)));
        };
        if let Some(why) = is_another(op, 0, &live) {
            return Ok(Look::Changed(why));
        }
        if live.guest.lock.is_none() {
            return Ok(Look::Already("it was not locked any more".into()));
        }
        if let Some(why) = self.works_on(&live).await? {
            return Ok(Look::Changed(why));
        }
        if fingerprint(&live) != op.fingerprint {
            return Ok(Look::Changed(format!(
                "{} is not as it was when this was confirmed",
                op.name
            )));
        }
        Ok(Look::Go(Aim { node: live.guest.node, vmid: Some(guest.vmid), seen: Vec::new() }))
    }

    pub(super) async fn call_unlock(&self, op: &Operation, aim: &Aim) -> Result<(), CallFault> {
        let vmid = aim.vmid.ok_or_else(|| CallFault::never_sent("there is no guest to unlock"))?;
        let shell = self
            .need_shell(op.action.cluster(), &aim.node, Need::Unlock)
            .map_err(CallFault::shell)?;
        shell.unlock(Who::Step(op), vmid).await.map(|_| ()).map_err(CallFault::shell)
    }

    pub(super) async fn is_unlock_met(&self, op: &Operation) -> Result<Seen, Error> {
        let Some((guest, kind)) = op.action.guest() else {
            return Ok(Seen { met: false, now: "There is no guest.".into() });
        };
        Ok(match self.look_at_guest(guest, kind).await? {
            None => Seen { met: false, now: format!("{} is gone.", op.target) },
            Some(live) => {
                let who = describe(&live.guest);
                match live.guest.lock {
                    None => Seen { met: true, now: format!("{who} is not locked.") },
                    Some(lock) => Seen { met: false, now: format!("{who} is locked ({lock}).") },
                }
            }
        })
    }
}
