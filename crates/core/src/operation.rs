//! The life of an operation: which states there are, which moves are legal, what a step waits for.
//!
//! Before each call its intent is recorded, after it the task id. What is not sure stays `Unknown`;
//! nothing is ever called done because a request was accepted.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Verb};
use crate::forward::ForwardStep;
use crate::id::{GuestKind, NodeName, OperationId, PlanId, Upid, UserId, Vmid};
use crate::image::ImageStep;
use crate::migrate::MigrateStep;
use crate::network::NetworkStep;
use crate::notify::NotifyStep;
use crate::pod::PodStep;
use crate::set::SetStep;
use crate::snapshot::SnapshotStep;
use crate::world::GuestStatus;

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpState {
    /// Confirmed, waiting for a worker.
    Queued,
    /// A worker is on it, or was when it died.
    Running,
    /// Done, and seen to be done.
    Succeeded,
    /// Done, but Proxmox warned.
    Warned,
    /// Not done; the outcome says what is true now.
    Failed,
    /// Stopped because somebody asked.
    Cancelled,
    /// Nobody can say whether it was done; the outcome says what to check.
    Unknown,
}

impl OpState {
    /// Every state.
    pub const ALL: &'static [Self] = &[
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Warned,
        Self::Failed,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The text kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Warned => "warned",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is over.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether `next` may follow.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Cancelled | Self::Failed),
            // Running again: another worker took over after a crash.
            Self::Running => next != Self::Queued,
            _ => false,
        }
    }
}

/// One thing that is done at Proxmox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum StepKind {
    /// Create the pod's container.
    CreatePod,
    /// Switch the guest on.
    Start,
    /// Ask the guest to shut down.
    Shutdown {
        /// How long it may take, seconds.
        timeout_s: u32,
    },
    /// Pull the plug.
    Kill,
    /// Restart.
    Reboot {
        /// How long going down may take, seconds.
        timeout_s: u32,
    },
    /// Freeze.
    Suspend,
    /// Unfreeze.
    Resume,
    /// Delete with disks.
    Delete,
    /// Stop a task.
    CancelTask,
    /// A step on a set.
    Set(SetStep),
    /// Something done to a network configuration.
    Network(NetworkStep),
    /// Something done to a pod.
    Pod(PodStep),
    /// Something done to an image.
    Image(Box<ImageStep>),
    /// Something done to a port forward.
    Forward(ForwardStep),
    /// Something done to a cluster's notifications.
    Notify(NotifyStep),
    /// Take the lock off.
    Unlock,
    /// Move it to another node.
    Migrate(MigrateStep),
    /// Change its snapshots.
    Snapshot(SnapshotStep),
}

/// What must be seen before a step counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The guest exists and has one of these states.
    Status(&'static [GuestStatus]),
    /// The guest exists.
    Exists,
    /// The guest is gone.
    Gone,
    /// The task has ended.
    TaskEnded,
}

impl StepKind {
    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::CreatePod => "Creating the container",
            Self::Start => "Starting",
            Self::Shutdown { .. } => "Shutting down",
            Self::Kill => "Pulling the plug",
            Self::Reboot { .. } => "Restarting",
            Self::Suspend => "Suspending",
            Self::Resume => "Resuming",
            Self::Delete => "Deleting",
            Self::CancelTask => "Stopping the task",
            Self::Set(step) => step.doing(),
            Self::Network(step) => step.doing(),
            Self::Pod(step) => step.doing(),
            Self::Image(step) => step.doing(),
            Self::Forward(step) => step.doing(),
            Self::Notify(step) => step.doing(),
            Self::Unlock => "Taking the lock off",
            Self::Migrate(step) => step.doing(),
            Self::Snapshot(step) => step.doing(),
        }
    }

    /// A short name for lists and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreatePod => "create",
            Self::Start => "start",
            Self::Shutdown { .. } => "shutdown",
            Self::Kill => "kill",
            Self::Reboot { .. } => "reboot",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Delete => "delete",
            Self::CancelTask => "cancel task",
            Self::Set(step) => step.name(),
            Self::Network(step) => step.name(),
            Self::Pod(step) => step.name(),
            Self::Image(step) => step.name(),
            Self::Forward(step) => step.name(),
            Self::Notify(step) => step.name(),
            Self::Unlock => "unlock",
            Self::Migrate(_) => "migrate",
            Self::Snapshot(step) => step.name(),
        }
    }

    /// The worker types Proxmox may give the task of this step (`lxc`, `qemu`); used to find a task whose
    /// answer was lost. HA-managed guests get `hastart`/`hastop`.
    pub fn task_types(&self) -> &'static [&'static str] {
        match self {
            Self::CreatePod => &["vzcreate"],
            Self::Start => &["vzstart", "qmstart", "hastart"],
            Self::Shutdown { .. } => &["vzshutdown", "qmshutdown", "hastop"],
            Self::Kill => &["vzstop", "qmstop", "hastop"],
            Self::Reboot { .. } => &["vzreboot", "qmreboot"],
            Self::Suspend => &["vzsuspend", "qmsuspend", "qmpause"],
            Self::Resume => &["vzresume", "qmresume"],
            Self::Delete => &["vzdestroy", "qmdestroy"],
            Self::CancelTask | Self::Forward(_) | Self::Notify(_) | Self::Unlock => &[],
            Self::Set(step) => step.task_types(),
            Self::Network(step) => step.task_types(),
            Self::Pod(step) => step.task_types(),
            Self::Image(step) => step.task_types(),
            Self::Migrate(step) => step.task_types(),
            Self::Snapshot(step) => step.task_types(),
        }
    }

    /// What must be seen before it counts as done. Proxmox does not tell a suspended container apart from a
    /// running or stopped one, so there only its existence can be seen.
    pub fn expects(&self, kind: GuestKind) -> Expect {
        match self {
            Self::Suspend | Self::Resume if kind == GuestKind::Lxc => Expect::Exists,
            Self::CreatePod | Self::Image(_) => Expect::Exists,
            Self::Start | Self::Resume | Self::Reboot { .. } => {
                Expect::Status(&[GuestStatus::Running])
            }
            Self::Shutdown { .. } | Self::Kill => Expect::Status(&[GuestStatus::Stopped]),
            Self::Suspend => {
                Expect::Status(&[GuestStatus::Paused, GuestStatus::Suspended, GuestStatus::Stopped])
            }
            Self::Delete => Expect::Gone,
            // What must be seen of a network is in its own steps.
            Self::CancelTask
            | Self::Network(_)
            | Self::Forward(_)
            | Self::Notify(_)
            | Self::Unlock => Expect::TaskEnded,
            Self::Set(step) => step.expects(kind),
            Self::Pod(step) => step.expects(kind),
            Self::Migrate(step) => step.expects(),
            Self::Snapshot(step) => step.expects(),
        }
    }

    /// Whether its task may take hours: it copies disks or memory.
    pub fn is_long_task(&self) -> bool {
        matches!(self, Self::Migrate(_) | Self::Snapshot(_))
    }

    /// Whether nothing but its task tells that it was done: what it leaves may have been so before.
    pub fn is_told_by_its_task(&self) -> bool {
        matches!(self, Self::Snapshot(SnapshotStep::Rollback { .. }))
    }

    /// Whether the configuration is another one after it, by its own doing.
    pub fn changes_configuration(&self) -> bool {
        matches!(self, Self::Pod(_) | Self::Snapshot(_))
    }

    /// Whether it belongs to putting things back: done although something failed or somebody cancelled.
    pub fn is_undo(&self) -> bool {
        match self {
            Self::Network(step) => step.is_undo(),
            Self::Forward(step) => step.is_undo(),
            _ => false,
        }
    }

    /// Whether it is gantry's own record: whether it was written can be read, and writing it again changes nothing.
    pub fn is_own_record(&self) -> bool {
        match self {
            Self::Set(step) => *step == SetStep::Record,
            Self::Forward(step) => step.is_own_record(),
            _ => false,
        }
    }

    /// Whether its call itself takes long, rather than starting a task that does.
    pub fn is_long_call(&self) -> bool {
        matches!(self, Self::Image(step) if step.is_long_call())
    }

    /// Whether letting go of its long call ends it: a file that is handed on is kept only once all of it has come.
    pub fn ends_when_let_go(&self) -> bool {
        matches!(self, Self::Image(step) if step.is_upload())
    }

    /// Whether its call may be sent again once a look has shown that it was not carried out.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Network(step) => step.is_repeatable(),
            // A whole table, a rule that is looked for, a record: each is once, however often it is sent.
            Self::Forward(_) => true,
            Self::Notify(step) => step.is_repeatable(),
            Self::Image(step) => step.is_long_call(),
            _ => false,
        }
    }

    /// Whether it only tries what the steps before it have made: should that fail, it is told, and they stand.
    pub fn is_trial(&self) -> bool {
        matches!(self, Self::Notify(NotifyStep::Test))
    }
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Recorded; the call may or may not have been sent.
    Intent,
    /// Proxmox has given a task id.
    Submitted,
    /// Seen to be done.
    Done,
    /// Not needed: the world was already so.
    Skipped,
    /// Not done.
    Failed,
}

/// One step of an operation, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// Where it stands.
    pub state: StepState,
    /// How often the call was tried; more than 1 only where the call before was provably not sent.
    pub attempt: u32,
    /// The node the newest intent was meant for; a task whose answer was lost is looked for there.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// When the newest intent was recorded, milliseconds.
    pub intent_ms: Option<i64>,
    /// Tasks of the same kind on the same guest that were there before the intent: never ours to adopt.
    #[serde(default)]
    pub seen: Vec<Upid>,
    /// The task, once known.
    pub upid: Option<Upid>,
    /// Whether the task was found by looking rather than told by Proxmox.
    pub adopted: bool,
    /// Exit status or error text.
    pub result: Option<String>,
    /// When it ended, milliseconds.
    pub ended_ms: Option<i64>,
    /// Until when it waits for somebody, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// What its call learned that no look afterwards tells: the digest of an image that was handed on or copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<String>,
}

impl Step {
    /// A step not begun.
    pub fn new(kind: StepKind) -> Self {
        Self {
            kind,
            state: StepState::Pending,
            attempt: 0,
            node: None,
            intent_ms: None,
            seen: Vec::new(),
            upid: None,
            adopted: false,
            result: None,
            ended_ms: None,
            until_ms: None,
            learned: None,
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// One sentence: what happened.
    pub summary: String,
    /// Proxmox's own words: exit status or error.
    pub reason: Option<String>,
    /// The last lines of the task's log.
    pub log: Vec<String>,
    /// What was true when looked at last, as a sentence.
    pub now: String,
    /// When that was looked at, milliseconds; `None` when looking failed.
    pub now_ms: Option<i64>,
    /// What to do next, where there is something.
    pub advice: Option<String>,
}

/// How an operation broke before its steps that put things back were carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// How it would have ended.
    pub state: OpState,
    /// In words.
    pub outcome: Outcome,
}

/// What a progress card shows while a step runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last lines of the running task's log.
    pub log: Vec<String>,
    /// Percent done, where the task says.
    pub percent: Option<u8>,
    /// Something worth saying, for example that a node does not answer and gantry goes on asking.
    pub remark: Option<String>,
    /// When this was read, milliseconds.
    pub read_ms: i64,
}

/// An operation as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The plan it carries out; one plan gives one operation.
    pub plan: PlanId,
    /// What was asked.
    pub verb: Verb,
    /// With its target resolved.
    pub action: Action,
    /// The target's name.
    pub name: String,
    /// The target as people read it.
    pub target: String,
    /// Where it stands.
    pub state: OpState,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Fingerprint of the facts that were confirmed.
    pub fingerprint: String,
    /// Digest of the guest's configuration that was confirmed; empty where there was no guest yet.
    #[serde(default)]
    pub digest: String,
    /// The VMID of a pod being created, once chosen.
    pub vmid: Option<Vmid>,
    /// Who confirmed it.
    pub by: UserId,
    /// Their name then.
    pub by_name: String,
    /// When it was confirmed, milliseconds.
    pub created_ms: i64,
    /// When a worker first took it, milliseconds.
    pub started_ms: Option<i64>,
    /// When it ended, milliseconds.
    pub ended_ms: Option<i64>,
    /// Who asked it to stop, where somebody did.
    pub cancel_by: Option<String>,
    /// What the progress card shows.
    pub progress: Progress,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// How it broke, once it is putting things back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
}

impl Operation {
    /// The first step that is not over, with its number.
    pub fn current(&self) -> Option<(usize, &Step)> {
        self.steps.iter().enumerate().find(|(_, s)| {
            matches!(s.state, StepState::Pending | StepState::Intent | StepState::Submitted)
        })
    }

    /// What it works on, where two operations must not work on that at the same time; operations with the same turn
    /// are carried out one after another, oldest first.
    pub fn turn(&self) -> Option<String> {
        // Once it is written down what a set shall be, the next command may be: waiting for pods holds nobody up.
        if matches!(self.current(), Some((_, Step { kind: StepKind::Set(SetStep::Converge), .. })))
        {
            return None;
        }
        let new = || self.vmid.map(|vmid| format!("guest {}/{vmid}", self.action.cluster()));
        self.action.turn().or_else(new)
    }

    /// The container that a creation which came to no good end may have left behind.
    pub fn left_behind(&self) -> Option<Vmid> {
        let ended_badly =
            matches!(self.state, OpState::Failed | OpState::Cancelled | OpState::Unknown);
        let sent = self.steps.first().is_some_and(|s| s.intent_ms.is_some());
        self.vmid.filter(|_| ended_badly && sent && matches!(self.action, Action::CreatePod { .. }))
    }

    /// Whether a Cancel button makes sense.
    pub fn can_cancel(&self) -> bool {
        !self.state.is_terminal() && self.cancel_by.is_none()
    }
}

/// Task percent as its log tells it (`… 42%`), from the newest line that has one.
pub fn percent_in(log: &[String]) -> Option<u8> {
    log.iter().rev().find_map(|line| {
        let (before, _) = line.split_once('%')?;
        let digits: String = before
            .chars()
            .rev()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let whole = digits.split('.').next()?;
        whole.parse::<u8>().ok().filter(|n| *n <= 100)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_operation_never_moves_again() {
        for from in OpState::ALL.iter().filter(|s| s.is_terminal()) {
            assert!(OpState::ALL.iter().all(|to| !from.may_become(*to)));
        }
        assert!(OpState::Running.may_become(OpState::Unknown));
        assert!(!OpState::Running.may_become(OpState::Queued));
        assert!(!OpState::Queued.may_become(OpState::Succeeded));
    }

    #[test]
    fn percent_is_read_from_the_newest_line() {
        let log = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        assert_eq!(percent_in(&log(&["extracting 10%", "extracting 42.5% (1 of 2)"])), Some(42));
        assert_eq!(percent_in(&log(&["done", "150%"])), None);
        assert_eq!(percent_in(&log(&[])), None);
    }
}
