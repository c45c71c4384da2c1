//! Fresh eyes: reads the target right before a step and right after it.
//!
//! Before: is it still what was confirmed? After: is what was promised really so?

use std::time::Duration;

use gantry_core::action::Action;
use gantry_core::id::{GuestKind, NodeName, Upid, Vmid};
use gantry_core::operation::{Expect, StepKind};
use gantry_core::plan::{LiveGuest, Planned, describe, fingerprint, plan_pod};
use gantry_core::world::GuestStatus;
use gantry_store::OpFilter;

use super::{Carrier, LOOK_AGAIN, Parked};
use crate::Error;

/// Clocks of nodes may differ from ours by this much when a restart is recognised by uptime, seconds.
const UPTIME_SLACK_S: i64 = 5;
/// Pause between two looks at whether an older operation on the same guest has ended.
const TURN_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
/// Open operations on one guest that are looked at; more than anybody starts.
const OPEN_LOOKED_AT: u32 = 100;

/// Where a call goes.
#[derive(Debug, Clone)]
pub(crate) struct Aim {
    /// The node the target is on now.
    pub(crate) node: NodeName,
    /// The guest; `None` for a pod whose VMID is not chosen yet and for tasks.
    pub(crate) vmid: Option<Vmid>,
    /// Tasks of the same kind that are there already.
    pub(crate) seen: Vec<Upid>,
}

/// What a look before a step comes to.
pub(super) enum Look {
    Go(Aim),
    Already(String),
    Changed(String),
    Unreadable(Error),
}

/// What a look after a step comes to.
pub(super) struct Seen {
    pub(super) met: bool,
    pub(super) now: String,
}

impl Carrier<'_> {
    /// Looks before step `n`; goes on while Proxmox does not answer, for a bounded time.
    pub(super) async fn look_until_readable(&mut self, n: usize) -> Result<Look, Parked> {
        let until = self.engine.now_ms() + ms(self.engine.inner.settings.settle_unreachable);
        loop {
            match self.look(n).await {
                Err(error) if error.is_passing() && self.engine.now_ms() < until => {
                    let remark = format!("{error}. Nothing was sent; trying again.");
                    if self.op.progress.remark.as_ref() != Some(&remark) {
                        self.op.progress.remark = Some(remark);
                        self.op.progress.read_ms = self.engine.now_ms();
                        self.save(None).await?;
                    }
                    self.pause(LOOK_AGAIN).await?;
                    self.read_cancel().await;
                    if self.op.cancel_by.is_some() {
                        return Ok(Look::Changed(
                            "stopped while waiting for Proxmox to answer".into(),
                        ));
                    }
                }
                Err(error) => return Ok(Look::Unreadable(error)),
                Ok(look) => return Ok(look),
            }
        }
    }

    /// Waits while an older operation is at work on the same guest: what it does is not there to be looked at yet.
    /// Returns why it is no longer waited for.
    pub(super) async fn wait_for_turn(&mut self) -> Result<Option<String>, Parked> {
        let Some((guest, _)) = self.target() else { return Ok(None) };
        let until = self.engine.now_ms() + ms(self.engine.inner.settings.step_deadline);
        let filter = OpFilter { open_only: true, guest: Some(guest), ..OpFilter::default() };
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
                    "{} was still at work on the same guest; nothing was sent",
                    other.id
                )));
            }
            let remark = format!("Waiting: {} is at work on the same guest.", other.id);
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

    async fn look(&self, n: usize) -> Result<Look, Error> {
        let step = &self.op.steps[n];
        match &self.op.action {
            Action::CreatePod { cluster, spec } if step.kind == StepKind::CreatePod => {
                let place = self.engine.look_at_place(cluster, spec).await?;
                Ok(match plan_pod(spec, cluster, &place) {
                    Planned::Ready(draft) if draft.fingerprint == self.op.fingerprint => {
                        Look::Go(Aim { node: place.node, vmid: self.op.vmid, seen: Vec::new() })
                    }
                    Planned::Ready(_) => {
                        Look::Changed("the node is not as it was when this was confirmed".into())
                    }
                    Planned::Nothing { why } | Planned::Refused { why } => Look::Changed(why),
                })
            }
            Action::CancelTask { cluster, upid } => {
                let running =
                    self.engine.task(cluster, upid).await?.is_some_and(|t| t.status.is_none());
                Ok(if running {
                    Look::Go(Aim { node: upid.node().clone(), vmid: None, seen: Vec::new() })
                } else {
                    Look::Already("it had already ended".into())
                })
            }
            _ => self.look_at_target(n).await,
        }
    }

    async fn look_at_target(&self, n: usize) -> Result<Look, Error> {
        let step = &self.op.steps[n];
        let Some((guest, kind)) = self.target() else {
            return Ok(Look::Changed("there is no guest to do this to".into()));
        };
        let Some(live) = self.engine.look_at_guest(&guest, kind).await? else {
            return Ok(match step.kind {
                StepKind::Delete => Look::Already("it was already gone".into()),
                _ => Look::Changed(format!("{} is gone", self.op.target)),
            });
        };
        if let Some(why) = self.is_another(&live) {
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
        if n == 0 && fingerprint(&live) != self.op.fingerprint {
            return Ok(Look::Changed(format!(
                "{} is not as it was when this was confirmed: it is {} on {}{} now",
                self.op.name,
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
            .engine
            .tasks_like(&guest.cluster, &live.guest.node, guest.vmid, step.kind.task_types())
            .await?;
        Ok(Look::Go(Aim { node: live.guest.node, vmid: Some(guest.vmid), seen }))
    }

    /// The guest this operation is about, once there is one.
    pub(super) fn target(
        &self,
    ) -> Option<(gantry_core::action::GuestRef, gantry_core::id::GuestKind)> {
        match &self.op.action {
            Action::Power { guest, kind, .. } | Action::Delete { guest, kind, .. } => {
                Some((guest.clone(), *kind))
            }
            Action::CreatePod { cluster, .. } => self.op.vmid.map(|vmid| {
                let guest = gantry_core::action::GuestRef { cluster: cluster.clone(), vmid };
                (guest, gantry_core::id::GuestKind::Lxc)
            }),
            Action::CancelTask { .. } => None,
        }
    }

    /// Why the guest with that number is not the one that was confirmed, if so.
    fn is_another(&self, live: &LiveGuest) -> Option<String> {
        if live.guest.name != self.op.name {
            return Some(format!(
                "the guest with that number is called {} now, not {}",
                live.guest.name, self.op.name
            ));
        }
        if !self.op.digest.is_empty() && live.digest != self.op.digest {
            return Some(format!("the configuration of {} was changed meanwhile", self.op.name));
        }
        None
    }

    /// Whether what step `n` promises is so now. Reads live state.
    pub(super) async fn is_met(&self, n: usize) -> Result<Seen, Error> {
        let step = &self.op.steps[n];
        if let Action::CancelTask { cluster, upid } = &self.op.action {
            let task = self.engine.task(cluster, upid).await?;
            return Ok(match task.and_then(|t| t.status) {
                Some(status) => Seen { met: true, now: format!("The task has ended: {status}.") },
                None => Seen { met: false, now: "The task is still running.".into() },
            });
        }
        let Some((guest, kind)) = self.target() else {
            return Ok(Seen { met: false, now: "There is no guest yet.".into() });
        };
        let live = self.engine.look_at_guest(&guest, kind).await?;
        Ok(match (step.kind.expects(kind), live) {
            (Expect::Gone, None) => Seen { met: true, now: format!("{} is gone.", self.op.target) },
            (_, None) => {
                Seen { met: false, now: format!("{} {} does not exist.", kind.short(), guest.vmid) }
            }
            (expect, Some(live)) => {
                let status = live.guest.status;
                let now = format!("{} is {}.", describe(&live.guest), status.as_str());
                let met = match expect {
                    Expect::Exists => live.guest.lock.is_none() && live.guest.name == self.op.name,
                    Expect::Status(states) => {
                        states.contains(&status) && self.has_restarted(n, &live)
                    }
                    Expect::Gone | Expect::TaskEnded => false,
                };
                Seen { met, now }
            }
        })
    }

    /// A restart shows in the uptime; for every other step there is nothing to compare.
    fn has_restarted(&self, n: usize, live: &LiveGuest) -> bool {
        let step = &self.op.steps[n];
        let (StepKind::Reboot { .. }, Some(intent_ms)) = (&step.kind, step.intent_ms) else {
            return true;
        };
        let since_s = (self.engine.now_ms() - intent_ms) / 1000;
        i64::try_from(live.guest.uptime_s).unwrap_or(i64::MAX) <= since_s + UPTIME_SLACK_S
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

/// The power states a step leads to, where it leads to one.
trait ExpectsStatus {
    fn expects_status(&self, kind: GuestKind) -> Option<&'static [GuestStatus]>;
}

impl ExpectsStatus for gantry_core::operation::Step {
    fn expects_status(&self, kind: GuestKind) -> Option<&'static [GuestStatus]> {
        match self.kind.expects(kind) {
            Expect::Status(states) => Some(states),
            _ => None,
        }
    }
}
