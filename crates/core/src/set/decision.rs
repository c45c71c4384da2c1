//! What is decided about a set: the next few actions, or the reason why there are none.

use super::seen::Drift;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Give the ordinal an identity.
    Allot(u32),
    /// Make the keeper of its volumes.
    MakeKeeper(u32),
    /// Make its pod and start it.
    Create(u32),
    /// Switch its pod on.
    Start(u32),
    /// Shut its pod down and delete it; its volumes are the keeper's and stay.
    Remove(u32),
    /// Delete the keeper with the volumes.
    DropVolumes(u32),
    /// Forget the ordinal: nothing of it is left.
    Forget(u32),
    /// Note that its pod was ready.
    NoteReady(u32),
    /// Let exactly these ordinals' names answer.
    Publish(Vec<u32>),
    /// The newest revision works.
    Good,
    /// The newest revision does not work; go back where something is known to work.
    Halt(String),
    /// Tell people about a drift that was not told yet.
    Report(u32, Drift),
    /// Nothing is left to delete: forget the set.
    Gone,
}

/// Where a set stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Everything is as it shall be.
    Converged,
    /// Something is being done.
    Working,
    /// Something has to happen first that gantry does not do.
    Waiting,
    /// Older pods are left alone because somebody paused the rollout.
    Paused,
    /// The rollout did not work and nothing is there to go back to.
    Halted,
    /// It is gone.
    Deleted,
}

impl Phase {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "as it shall be",
            Self::Working => "working",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Deleted => "deleted",
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where the set stands.
    pub phase: Phase,
    /// What to do, all of it now.
    pub acts: Vec<Act>,
    /// Fingerprint of what this rests on; empty where nothing is to do.
    pub fingerprint: String,
    /// Pods that shall exist.
    pub wanted: u32,
    /// Of those, ready.
    pub ready: u32,
    /// Of those, made from the newest revision.
    pub current: u32,
    /// What is waited for, a sentence each.
    pub waits: Vec<String>,
}

impl Decision {
    /// What is waited for, each reason once with all the pods it holds for: `web-2, web-1: …`.
    pub fn gathered(&self) -> Vec<String> {
        let mut reasons: Vec<(Vec<&str>, &str)> = Vec::new();
        for wait in &self.waits {
            let (name, why) = wait.split_once(": ").unwrap_or(("", wait));
            match reasons.iter_mut().find(|(_, same)| *same == why) {
                Some((names, _)) => names.push(name),
                None => reasons.push((vec![name], why)),
            }
        }
        let line = |(names, why): (Vec<&str>, &str)| match names.as_slice() {
            [""] => why.to_owned(),
            _ => format!("{}: {why}", names.join(", ")),
        };
        reasons.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_told_once_with_all_its_pods() {
        let waits =
            ["web-2: older.", "The names are brought up to date.", "web-1: older.", "web-0: off."];
        let decision = Decision {
            phase: Phase::Waiting,
            acts: Vec::new(),
            fingerprint: String::new(),
            wanted: 3,
            ready: 3,
            current: 1,
            waits: waits.map(str::to_owned).to_vec(),
        };
        let told = ["web-2, web-1: older.", "The names are brought up to date.", "web-0: off."];
        assert_eq!(decision.gathered(), told);
    }
}
