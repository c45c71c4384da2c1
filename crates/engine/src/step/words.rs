//! How an operation ended, in people's words: what happened, Proxmox's own text, what is true now, what to do.

use gantry_core::action::{Action, Verb};
use gantry_core::image::ImageFault;
use gantry_core::network::NetworkStep;
use gantry_core::notify::NotifyStep;
use gantry_core::operation::{OpState, Operation, Outcome, StepKind, StepState};
use gantry_core::pod::{PodFault, PodStep};
use gantry_core::set::SetStep;
use gantry_core::snapshot::SnapshotStep;

use super::keep::cut_off;
use super::{Carrier, Next};

impl Carrier<'_> {
    /// All steps are over.
    pub(super) async fn success(&mut self) -> (OpState, Outcome) {
        let last = self.op.steps.len().saturating_sub(1);
        let (now, now_ms) = self.now(last).await;
        let warned = self
            .op
            .steps
            .iter()
            .find(|s| s.result.as_deref().is_some_and(|r| r.starts_with("WARNINGS")))
            .cloned();
        // A warning without its text is worth nothing.
        let log = match warned.as_ref().and_then(|s| s.upid.as_ref()) {
            Some(upid) => {
                self.engine.log_tail(self.op.action.cluster(), upid, super::LOG_LINES).await
            }
            None => Vec::new(),
        };
        let warned = warned.and_then(|s| s.result);
        let skipped = self.op.steps.iter().all(|s| s.state == StepState::Skipped);
        let who = &self.op.target;
        let summary = if skipped {
            let why = self.op.steps.iter().rev().find_map(|s| s.result.clone()).unwrap_or_default();
            format!("Nothing had to be done for {who}: {why}.")
        } else {
            match self.op.verb {
                Verb::GuestStart | Verb::PodStart => format!("{who} was started."),
                Verb::GuestShutdown | Verb::GuestStop | Verb::PodStop => {
                    format!("{who} has shut down.")
                }
                Verb::GuestKill | Verb::PodKill => format!("The plug of {who} was pulled."),
                Verb::GuestReboot | Verb::PodRestart => format!("{who} was restarted."),
                Verb::GuestSuspend => format!("{who} was suspended."),
                Verb::GuestResume => format!("{who} goes on."),
                Verb::GuestDelete | Verb::PodDelete => format!("{who} was deleted."),
                Verb::PodApply | Verb::PodUpdate => format!("{who} was changed."),
                Verb::PodClean => format!("What was left of {who} was deleted."),
                Verb::PodCreate => match self.op.vmid {
                    Some(vmid) => format!("{} was created as CT {vmid}.", self.op.name),
                    None => format!("{} was created.", self.op.name),
                },
                Verb::SetMember => match self.op.steps.last().map(|s| &s.kind) {
                    Some(StepKind::Delete) => format!("{who} was deleted."),
                    Some(StepKind::Set(SetStep::MakeKeeper)) => format!("{who} was made."),
                    _ => format!("{who} runs."),
                },
                Verb::SetDelete => format!("{who} was deleted."),
                Verb::SetPause => format!("The rollout of {who} is paused."),
                Verb::ImagePull | Verb::ImagePrepare => format!("{who} is there."),
                Verb::ImageDelete | Verb::ImagePrune => format!("{who}: deleted."),
                Verb::ImageConvert => format!("{who} was converted."),
                Verb::ForwardAdd => format!("{who}: in force."),
                Verb::ForwardRemove => format!("{who}: removed."),
                Verb::ForwardApply => format!("Now as asked for: {who}."),
                Verb::ClusterNotifyInstall if warned.is_some() => {
                    format!("{who}: in place, but not seen to work.")
                }
                Verb::ClusterNotifyInstall => format!("{who}: in place, and a test was heard."),
                Verb::ClusterNotifyTest => format!("{who}: the test was heard."),
                Verb::ClusterNotifyRemove => format!("{who}: removed."),
                Verb::GuestUnlock => format!("The lock of {who} was taken off."),
                Verb::GuestMigrate
                | Verb::GuestSnapshotCreate
                | Verb::GuestSnapshotDelete
                | Verb::GuestSnapshotRollback => moved_or_snapshot(&self.op),
                _ => format!("{who}: done."),
            }
        };
        let adopted = self.op.steps.iter().any(|s| s.adopted);
        let advice = adopted.then(|| {
            "An answer of Proxmox was lost on the way; the task was found and followed.".to_owned()
        });
        let state = if warned.is_some() { OpState::Warned } else { OpState::Succeeded };
        // What the newest step that was not skipped ended with: a task's own word, or how else it is known.
        let last = self.op.steps.iter().rev().find(|s| s.state == StepState::Done);
        let reason = warned.or_else(|| last.and_then(|s| s.result.clone()));
        (state, Outcome { summary, reason, log, now, now_ms, advice })
    }

    /// What was done before step `n`, as a further sentence.
    fn done_before(&self, n: usize) -> String {
        let done = self.op.steps[..n].iter().filter(|s| s.state == StepState::Done);
        let done: Vec<&str> = done.map(|s| s.kind.name()).collect();
        if done.is_empty() {
            String::new()
        } else {
            format!(" Done before that: {}.", done.join(", "))
        }
    }

    /// A step was not done.
    pub(super) async fn failed(&mut self, n: usize, why: String, log: Option<Vec<String>>) -> Next {
        let (now, now_ms) = self.now(n).await;
        let kind = &self.op.steps[n].kind;
        let of = match kind {
            StepKind::Image(step) if step.place().is_some() && self.op.verb.is_pod() => {
                "the image of "
            }
            _ => "",
        };
        let mut summary = format!("Could not {} {of}{}.", verb_of(kind), self.op.target);
        summary.push_str(&self.done_before(n));
        let advice = match kind {
            StepKind::Forward(step) if step.is_undo() => Some(
                "`/forward list` shows what is left; gantry puts the node's table right once it can be reached.".to_owned(),
            ),
            StepKind::Notify(NotifyStep::Test) if why.contains("status code 401") => Some(
                "The secret there is not the one in the configuration: `/cluster notify install secret:True` sends it again.".to_owned(),
            ),
            StepKind::Notify(NotifyStep::Test) => Some(
                "`curl -v` to that address, on a node, shows how far it gets.".to_owned(),
            ),
            StepKind::Network(NetworkStep::SwitchBack { .. }) => Some(
                "`/bridge show` tells how it stands once the node shell answers, and `/bridge secure` sets it.".to_owned(),
            ),
            StepKind::Network(step) if step.is_undo() => match &self.op.action {
                Action::Network(action) if now_ms.is_none() => Some(cut_off(&action.scope, true)),
                // It could be looked at just now, so nothing is cut off.
                Action::Network(_) => Some(
                    "What was changed stays. Take away what is in the way, then ask for the opposite change.".to_owned(),
                ),
                _ => None,
            },
            StepKind::Image(_) => {
                let log = log.as_deref().unwrap_or_default();
                let told = ImageFault::read(&why)
                    .or_else(|| log.iter().rev().find_map(|line| ImageFault::read(line)));
                told.map(|fault| format!("{}. {}", fault.words(), fault.advice()))
            }
            kind if self.op.verb.is_pod() => {
                PodFault::of(kind, &why).map(|fault| fault.next().to_owned())
            }
            StepKind::Shutdown { .. } => Some(PodFault::Stop.next().to_owned()),
            StepKind::Migrate(_) | StepKind::Snapshot(_) if now.contains("locked (") => Some(
                "Wait until its task is over. `/guest unlock` takes off a lock that a task which died has left behind.".to_owned(),
            ),
            _ => None,
        };
        self.op.steps[n].result = Some(why.clone());
        Next::End(
            OpState::Failed,
            Outcome {
                summary,
                reason: Some(why),
                log: log.unwrap_or_default(),
                now,
                now_ms,
                advice,
            },
        )
    }

    /// Somebody asked to stop before step `n` was begun.
    pub(super) async fn cancelled_before(&mut self, n: usize) -> Next {
        let (now, now_ms) = self.now(n).await;
        let by = self.op.cancel_by.clone().unwrap_or_default();
        let mut summary =
            format!("Stopped by {by} before: {} {}.", self.op.steps[n].kind.name(), self.op.target);
        summary.push_str(&self.done_before(n));
        Next::End(
            OpState::Cancelled,
            Outcome { summary, reason: None, log: Vec::new(), now, now_ms, advice: None },
        )
    }

    /// Somebody asked to stop, and the task of step `n` ended without success.
    pub(super) async fn cancelled_during(
        &mut self,
        n: usize,
        exit: String,
        log: Vec<String>,
    ) -> Next {
        let (now, now_ms) = self.now(n).await;
        let by = self.op.cancel_by.clone().unwrap_or_default();
        let summary =
            format!("Stopped by {by} during: {} {}.", self.op.steps[n].kind.name(), self.op.target);
        self.op.steps[n].result = Some(exit.clone());
        Next::End(
            OpState::Cancelled,
            Outcome {
                summary,
                reason: Some(exit),
                log,
                now,
                now_ms,
                advice: Some("What the task did until then stays; look before you go on.".into()),
            },
        )
    }

    /// Nobody can say.
    pub(super) async fn words_unknown(&mut self, n: usize, why: String) -> Outcome {
        let (now, now_ms) = self.now(n).await;
        self.op.steps[n].result = Some(why.clone());
        Outcome {
            summary: format!(
                "It is not known whether gantry's call to {} {} was carried out.",
                verb_of(&self.op.steps[n].kind),
                self.op.target
            ),
            reason: Some(why),
            log: Vec::new(),
            now,
            now_ms,
            advice: Some(
                "Nothing was sent twice. Check `/task list`; if the line above is not what you want, ask again."
                    .into(),
            ),
        }
    }
}

/// What became of a guest that was moved or whose snapshots were changed.
fn moved_or_snapshot(op: &Operation) -> String {
    let who = &op.target;
    match &op.action {
        Action::Migrate(action) => format!("{who} was moved to {}.", action.to),
        Action::Snapshot(action) => match &action.change {
            SnapshotStep::Create { name, .. } => format!("{who} has the snapshot {name}."),
            SnapshotStep::Delete { name } => format!("The snapshot {name} of {who} was deleted."),
            SnapshotStep::Rollback { name } => {
                format!("{who} was rolled back to the snapshot {name}.")
            }
        },
        _ => format!("{who}: done."),
    }
}

fn verb_of(kind: &StepKind) -> &'static str {
    match kind {
        StepKind::CreatePod => "create",
        StepKind::Start => "start",
        StepKind::Shutdown { .. } => "shut down",
        StepKind::Kill => "pull the plug of",
        StepKind::Reboot { .. } => "restart",
        StepKind::Suspend => "suspend",
        StepKind::Resume => "resume",
        StepKind::Delete => "delete",
        StepKind::CancelTask => "stop",
        StepKind::Set(step) => match step {
            SetStep::Record => "write down",
            SetStep::Converge => "finish",
            SetStep::MakeKeeper => "make",
            SetStep::Create => "create",
            SetStep::Unprotect => "take the protection off",
        },
        StepKind::Network(NetworkStep::Save) => "save the former configuration for",
        StepKind::Network(NetworkStep::Stage { .. }) => "write the change of",
        StepKind::Network(NetworkStep::Reload) => "reload the network for",
        StepKind::Network(NetworkStep::Keep { .. }) => "wait for Keep of",
        StepKind::Network(NetworkStep::PutBack | NetworkStep::PutBackReload) => {
            "put back what was before"
        }
        StepKind::Network(NetworkStep::Switch { .. }) => "set over the node shell",
        StepKind::Network(NetworkStep::SwitchBack { .. }) => "set back over the node shell",
        StepKind::Network(NetworkStep::Revert) => "drop the",
        StepKind::Pod(PodStep::Configure { .. }) => "change",
        StepKind::Pod(PodStep::Grow { .. }) => "grow a disk of",
        StepKind::Image(step) => step.verb(),
        StepKind::Forward(step) => step.verb(),
        StepKind::Notify(step) => step.verb(),
        StepKind::Unlock => "take the lock off",
        StepKind::Migrate(_) => "move",
        StepKind::Snapshot(step) => step.verb(),
    }
}
