//! What can go wrong with a pod, as types: each with what it means and what to do, in people's words.

use std::fmt;

use crate::operation::StepKind;

/// What went wrong with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PodFault {
    /// It could not be created.
    Creation,
    /// It could not be deleted.
    Deletion,
    /// It could not be started.
    Start,
    /// It could not be stopped.
    Stop,
    /// Pods could not be listed.
    List,
    /// Its network could not be set up.
    NetworkSetup,
    /// Its network could not be cleaned up.
    NetworkCleanup,
    /// Its settings or limits could not be changed.
    ResourceUpdate,
    /// A guest with that number or name is there already.
    AlreadyExists,
    /// It is not there.
    NotFound,
    /// It still runs.
    StillRunning,
    /// It is in a state in which that cannot be done.
    InvalidState,
}

/// Words by which Proxmox and LXC speak of networks.
const NETWORK_WORDS: [&str; 6] = ["bridge", "veth", "network", "vlan", "vnet", "interface"];

/// Words by which Proxmox and gantry say that something is not as it should be for this.
const INVALID_WORDS: [&str; 6] = [
    "is locked",
    "not running",
    "already running",
    "not as it was",
    "was changed meanwhile",
    "with that number is called",
];

impl PodFault {
    /// What a step that failed with Proxmox's (or gantry's) words `why` comes to. Of two that fit, the more telling one.
    pub fn of(step: &StepKind, why: &str) -> Option<Self> {
        let why = why.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|w| why.contains(w));
        let ending = matches!(step, StepKind::Delete | StepKind::Shutdown { .. } | StepKind::Kill);
        let by_step = match step {
            StepKind::CreatePod => Self::Creation,
            StepKind::Delete => Self::Deletion,
            StepKind::Start | StepKind::Reboot { .. } | StepKind::Resume => Self::Start,
            StepKind::Shutdown { .. } | StepKind::Kill | StepKind::Suspend => Self::Stop,
            StepKind::Pod(_) => Self::ResourceUpdate,
            _ => return None,
        };
        Some(if says(&NETWORK_WORDS) {
            if ending { Self::NetworkCleanup } else { Self::NetworkSetup }
        } else if says(&["already exists", "there already is"]) {
            Self::AlreadyExists
        } else if says(&["is gone", "configuration file", "no such"])
            && says(&["gone", "not exist", "no such"])
        {
            Self::NotFound
        } else if *step == StepKind::Delete && says(&["is running", "still running"]) {
            Self::StillRunning
        } else if says(&INVALID_WORDS) {
            Self::InvalidState
        } else {
            by_step
        })
    }

    /// What to do about it.
    pub fn next(self) -> &'static str {
        match self {
            Self::Creation => {
                "Nothing of it is left at Proxmox unless the line above says so; correct the cause and create it again."
            }
            Self::Deletion => "It is still there. Correct the cause, then delete it again.",
            Self::Start => {
                "The pod exists and is off. `/pod start` tries again; `/pod delete` removes it."
            }
            Self::Stop => {
                "If it does not listen, `kill` pulls the plug; what is not on disk is lost then."
            }
            Self::List => {
                "What is shown was known before, with its age; `/cluster status` shows what answers."
            }
            Self::NetworkSetup => {
                "Its network could not be set up: see that the bridge or vnet is on that node, then start it or apply its specification again."
            }
            Self::NetworkCleanup => {
                "Its network could not be cleaned up; look at the node's interfaces before you go on."
            }
            Self::ResourceUpdate => {
                "`/pod show` says what differs now; applying again does only what is left."
            }
            Self::AlreadyExists => {
                "Choose another name, or `/pod apply` to change the one that is there."
            }
            Self::NotFound => "`/pod list` shows what is there.",
            Self::StillRunning => "Stop it first.",
            Self::InvalidState => "Look at it with `/pod show`, then ask again.",
        }
    }
}

impl fmt::Display for PodFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creation => "the pod could not be created",
            Self::Deletion => "the pod could not be deleted",
            Self::Start => "the pod could not be started",
            Self::Stop => "the pod could not be stopped",
            Self::List => "the pods could not be listed",
            Self::NetworkSetup => "the pod's network could not be set up",
            Self::NetworkCleanup => "the pod's network could not be cleaned up",
            Self::ResourceUpdate => "the pod's settings could not be changed",
            Self::AlreadyExists => "such a pod is there already",
            Self::NotFound => "the pod is not there",
            Self::StillRunning => "the pod still runs",
            Self::InvalidState => "the pod is in a state in which that cannot be done",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxmoxs_words_lead_to_the_fault_they_mean() {
        let create = StepKind::CreatePod;
        for (step, why, fault) in [
            (&create, "CT 104 already exists on node 'pve1'", PodFault::AlreadyExists),
            (&create, "storage 'nosto' does not exist", PodFault::Creation),
            (&StepKind::Start, "bridge 'vmbr9' does not exist", PodFault::NetworkSetup),
            (&StepKind::Start, "startup for container '104' failed", PodFault::Start),
            (&StepKind::Kill, "could not delete veth104i0", PodFault::NetworkCleanup),
            (&StepKind::Kill, "CT 104 not running", PodFault::InvalidState),
            (
                &StepKind::Delete,
                "unable to destroy CT 104 - container is running",
                PodFault::StillRunning,
            ),
            (
                &StepKind::Delete,
                "Configuration file 'nodes/pve1/lxc/999.conf' does not exist",
                PodFault::NotFound,
            ),
            (&StepKind::Start, "CT is locked (backup)", PodFault::InvalidState),
            (
                &StepKind::Shutdown { timeout_s: 5 },
                "the configuration of web-0 was changed meanwhile",
                PodFault::InvalidState,
            ),
        ] {
            assert_eq!(PodFault::of(step, why), Some(fault), "{why}");
            assert!(!fault.next().is_empty() && !fault.to_string().is_empty());
        }
        assert_eq!(PodFault::of(&StepKind::CancelTask, "x"), None);
    }
}
