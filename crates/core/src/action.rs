//! What can be asked of gantry, how risky it is, and what it comes to once the target is known.
//!
//! A `Verb` is what policy speaks about (`guest.delete`); an `Action` is a verb with its target resolved,
//! ready to be planned. Adding a verb without a risk does not compile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::forward::ForwardAction;
use crate::id::{ClusterId, GuestKind, Upid, Vmid};
use crate::image::{Fetch, ImageAction};
use crate::migrate::Migration;
use crate::network::NetworkAction;
use crate::notify::NotifyAction;
use crate::pod::placement::Choice;
use crate::pod::{PodAction, PodSpec};
use crate::set::SetAction;
use crate::snapshot::SnapshotAction;

/// How much asking it takes before something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Done at once.
    None,
    /// Somebody presses a button under the plan.
    Button,
    /// Somebody types the target's name; for what cannot be undone.
    TypedName,
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $tier:ident, $writes:literal;)*) => {
        /// What can be asked. The text form (`pod.delete`) stands in policies, audit rows and logs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Verb { $($(#[$doc])* $variant,)* }

        impl Verb {
            /// Every verb, in the order of help pages.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text form: `noun.verb`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The least confirmation this takes; a policy rule may ask for more, never for less.
            pub fn tier(self) -> Tier {
                match self { $(Self::$variant => Tier::$tier,)* }
            }

            /// Whether it changes anything outside gantry.
            pub fn writes(self) -> bool {
                match self { $(Self::$variant => $writes,)* }
            }
        }

        impl FromStr for Verb {
            type Err = UnknownVerb;
            fn from_str(text: &str) -> Result<Self, UnknownVerb> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownVerb(text.chars().take(80).collect())),
                }
            }
        }
    };
}

verbs! {
    /// State of a cluster: quorum, nodes, storages.
    ClusterStatus = "cluster.status", None, false;
    /// Whether a cluster tells gantry what Proxmox itself notices.
    ClusterNotifyShow = "cluster.notify.show", None, false;
    /// Have it tell: a notification target and a matcher at Proxmox.
    ClusterNotifyInstall = "cluster.notify.install", Button, true;
    /// Have Proxmox send a test.
    ClusterNotifyTest = "cluster.notify.test", None, true;
    /// Take target and matcher away.
    ClusterNotifyRemove = "cluster.notify.remove", Button, true;
    /// Nodes of a cluster.
    NodeList = "node.list", None, false;
    /// One node.
    NodeStatus = "node.status", None, false;
    /// Containers and virtual machines.
    GuestList = "guest.list", None, false;
    /// One guest.
    GuestShow = "guest.show", None, false;
    /// Start a guest.
    GuestStart = "guest.start", None, true;
    /// Ask the guest's system to shut down.
    GuestShutdown = "guest.shutdown", Button, true;
    /// The same as shutdown: `stop` never pulls the plug.
    GuestStop = "guest.stop", Button, true;
    /// Pull the plug: the guest ends at once, unsaved data is lost.
    GuestKill = "guest.kill", Button, true;
    /// Restart through the guest's own system.
    GuestReboot = "guest.reboot", Button, true;
    /// Freeze a guest where it is.
    GuestSuspend = "guest.suspend", Button, true;
    /// Let a suspended guest go on.
    GuestResume = "guest.resume", None, true;
    /// Take a lock off that a task which died has left behind.
    GuestUnlock = "guest.unlock", TypedName, true;
    /// Move a guest to another node.
    GuestMigrate = "guest.migrate", Button, true;
    /// Snapshots of a guest.
    GuestSnapshotList = "guest.snapshot.list", None, false;
    /// Take a snapshot of a guest.
    GuestSnapshotCreate = "guest.snapshot.create", Button, true;
    /// Delete a snapshot: nothing leads back to that moment any more.
    GuestSnapshotDelete = "guest.snapshot.delete", TypedName, true;
    /// Go back to a snapshot: everything written since is lost.
    GuestSnapshotRollback = "guest.snapshot.rollback", TypedName, true;
    /// Delete a guest and its disks.
    GuestDelete = "guest.delete", TypedName, true;
    /// Create a pod: a container that gantry owns.
    PodCreate = "pod.create", Button, true;
    /// Make a pod what a file says.
    PodApply = "pod.apply", Button, true;
    /// Change how much a pod may use.
    PodUpdate = "pod.update", Button, true;
    /// Delete what a creation of a pod left behind: only what that creation made, while off and not used since.
    PodClean = "pod.clean", TypedName, true;
    /// Pods.
    PodList = "pod.list", None, false;
    /// One pod.
    PodShow = "pod.show", None, false;
    /// A pod's specification, as a file.
    PodSpec = "pod.spec", None, false;
    /// Start a pod.
    PodStart = "pod.start", None, true;
    /// Shut a pod down gracefully.
    PodStop = "pod.stop", Button, true;
    /// Pull a pod's plug.
    PodKill = "pod.kill", Button, true;
    /// Restart a pod.
    PodRestart = "pod.restart", Button, true;
    /// Delete a pod and its disks.
    PodDelete = "pod.delete", TypedName, true;
    /// Sets of pods.
    SetList = "set.list", None, false;
    /// One set with its pods.
    SetShow = "set.show", None, false;
    /// How far a rollout is.
    SetStatus = "set.rollout.status", None, false;
    /// Revisions of a set.
    SetHistory = "set.history", None, false;
    /// Create a set: pods from one template, each with its own identity.
    SetCreate = "set.create", Button, true;
    /// Make a set what a file says.
    SetApply = "set.apply", Button, true;
    /// Change how many pods a set has.
    SetScale = "set.scale", Button, true;
    /// Replace all pods of a set, one after another.
    SetRollout = "set.rollout.start", Button, true;
    /// Pause a rollout.
    SetPause = "set.rollout.pause", None, true;
    /// Go on with a paused rollout.
    SetResume = "set.rollout.resume", Button, true;
    /// Go back to an earlier revision.
    SetUndo = "set.rollout.undo", Button, true;
    /// Delete a set and its pods.
    SetDelete = "set.delete", TypedName, true;
    /// Adopt, restore or ignore what somebody changed by hand on a pod of a set.
    SetDrift = "set.drift", Button, true;
    /// What gantry does to one pod of a set, in the name of whoever confirmed the set.
    SetMember = "set.member", Button, true;
    /// Bridges of a node, and what is pending there.
    BridgeList = "bridge.list", None, false;
    /// One bridge.
    BridgeShow = "bridge.show", None, false;
    /// Create a bridge.
    BridgeCreate = "bridge.create", Button, true;
    /// Make a bridge safer.
    BridgeSecure = "bridge.secure", Button, true;
    /// Remove a bridge.
    BridgeDelete = "bridge.delete", TypedName, true;
    /// Apply what somebody has staged on a node.
    BridgeApply = "bridge.apply", Button, true;
    /// Drop what is staged on a node.
    BridgeRevert = "bridge.revert", Button, true;
    /// Zones, vnets and subnets of the software-defined network.
    VnetList = "vnet.list", None, false;
    /// Create a vnet, and its zone where that is new.
    VnetCreate = "vnet.create", Button, true;
    /// Remove a vnet with its subnets.
    VnetDelete = "vnet.delete", TypedName, true;
    /// Apply what somebody has staged in the software-defined network.
    VnetApply = "vnet.apply", Button, true;
    /// Drop what is staged in the software-defined network.
    VnetRevert = "vnet.revert", Button, true;
    /// Port forwards, and whether each node's table is as it shall be.
    ForwardList = "forward.list", None, false;
    /// Lead a port of a node to a guest.
    ForwardAdd = "forward.add", Button, true;
    /// Lead it nowhere any more.
    ForwardRemove = "forward.remove", Button, true;
    /// Make a node's table what was asked for, whatever somebody has made of it by hand.
    ForwardApply = "forward.apply", Button, true;
    /// Images on storages.
    ImageList = "image.list", None, false;
    /// One image: what it is, where it is, what can be had.
    ImageShow = "image.show", None, false;
    /// Fetch an image onto a storage.
    ImagePull = "image.pull", Button, true;
    /// Have an image where it is needed.
    ImagePrepare = "image.prepare", Button, true;
    /// Turn a disk or guest into another form.
    ImageConvert = "image.convert", Button, true;
    /// What gantry fetched, and what it costs.
    ImageCache = "image.cache", None, false;
    /// Who uses an image.
    ImageUsedBy = "image.used-by", None, false;
    /// Delete images that nothing uses.
    ImagePrune = "image.prune", TypedName, true;
    /// Delete an image.
    ImageDelete = "image.delete", TypedName, true;
    /// Tasks of a cluster, whoever started them.
    TaskList = "task.list", None, false;
    /// One task.
    TaskShow = "task.show", None, false;
    /// A task's log.
    TaskLog = "task.log", None, false;
    /// Stop a running task.
    TaskCancel = "task.cancel", Button, true;
    /// Operations gantry has carried out.
    OpList = "op.list", None, false;
    /// One operation with its steps.
    OpShow = "op.show", None, false;
    /// Ask a running operation to stop.
    OpCancel = "op.cancel", None, true;
    /// A guest's figures over time, as a picture.
    GraphGuest = "graph.guest", None, false;
    /// A node's figures over time.
    GraphNode = "graph.node", None, false;
    /// How full a storage was.
    GraphStorage = "graph.storage", None, false;
    /// One figure of several guests side by side.
    GraphCompare = "graph.compare", None, false;
    /// What fires now.
    AlertList = "alert.list", None, false;
    /// One incident.
    AlertShow = "alert.show", None, false;
    /// What fired before.
    AlertHistory = "alert.history", None, false;
    /// Why something is told, or is not.
    AlertExplain = "alert.explain", None, false;
    /// Take care of an incident.
    AlertAck = "alert.ack", None, true;
    /// Keep alerts from being told for a while.
    AlertSilence = "alert.silence", None, true;
    /// Write something about an incident, for its thread and its file.
    AlertNote = "alert.note", None, true;
    /// Send a message to the channel of alerts, to see that it arrives.
    AlertTest = "alert.test", None, true;
    /// Rules of alerts.
    RuleList = "rule.list", None, false;
    /// One rule with what this server made of it.
    RuleShow = "rule.show", None, false;
    /// Switch a rule on.
    RuleEnable = "rule.enable", None, true;
    /// Switch a rule off.
    RuleDisable = "rule.disable", None, true;
    /// Other values of a rule for this server.
    RuleOverride = "rule.override", None, true;
    /// Silences and maintenance windows.
    MaintenanceList = "maintenance.list", None, false;
    /// Say that somebody works on something.
    MaintenanceStart = "maintenance.start", None, true;
    /// End a maintenance window or a silence.
    MaintenanceEnd = "maintenance.end", None, true;
    /// Who is on call.
    OncallShow = "oncall.show", None, false;
    /// Somebody stands in on call.
    OncallOverride = "oncall.override", None, true;
    /// Status boards of this server.
    BoardList = "board.list", None, false;
    /// Put a status board into a channel: it shows everybody there what its maker may see.
    BoardCreate = "board.create", None, true;
    /// Take a status board away.
    BoardDelete = "board.delete", None, true;
    /// Room, use, backups and incidents of the last days.
    Report = "report", None, false;
    /// Who asked for what, and what came of it.
    AuditList = "audit.list", None, false;
    /// What the asker may run.
    Help = "help", None, false;
    /// Who gantry takes the asker for, and which rules apply.
    Whoami = "whoami", None, false;
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Verb {
    type Error = UnknownVerb;
    fn try_from(text: String) -> Result<Self, UnknownVerb> {
        text.parse()
    }
}

impl From<Verb> for String {
    fn from(verb: Verb) -> Self {
        verb.as_str().to_owned()
    }
}

impl Verb {
    /// Whether policy needs no rule to allow it: it shows the asker nothing but their own rights.
    pub fn is_open_to_all(self) -> bool {
        matches!(self, Self::Help | Self::Whoami)
    }

    /// Whether it acts on pods only.
    pub fn is_pod(self) -> bool {
        self.as_str().starts_with("pod.")
    }

    /// The imperative for a button: `Delete`, `Shut down`, …
    pub fn imperative(self) -> &'static str {
        match self {
            Self::GuestStart | Self::PodStart => "Start",
            Self::GuestShutdown | Self::GuestStop | Self::PodStop => "Shut down",
            Self::GuestKill | Self::PodKill => "Pull the plug of",
            Self::GuestReboot | Self::PodRestart => "Restart",
            Self::GuestSuspend => "Suspend",
            Self::GuestResume => "Resume",
            Self::GuestDelete | Self::PodDelete => "Delete",
            Self::GuestUnlock => "Unlock",
            Self::GuestMigrate => "Move",
            Self::GuestSnapshotCreate => "Take a snapshot of",
            Self::GuestSnapshotDelete => "Delete a snapshot of",
            Self::GuestSnapshotRollback => "Roll back",
            Self::PodCreate | Self::SetCreate | Self::BridgeCreate | Self::VnetCreate => "Create",
            Self::SetApply | Self::BridgeApply | Self::VnetApply => "Apply",
            Self::SetScale => "Scale",
            Self::SetRollout => "Roll out",
            Self::SetPause => "Pause",
            Self::SetResume => "Resume",
            Self::SetUndo => "Undo",
            Self::SetDelete => "Delete",
            Self::SetDrift => "Restore",
            Self::SetMember => "Keep up",
            Self::BridgeSecure => "Secure",
            Self::BridgeDelete | Self::VnetDelete => "Remove",
            Self::BridgeRevert | Self::VnetRevert => "Drop",
            Self::ClusterNotifyInstall => "Set up",
            Self::ClusterNotifyTest => "Test",
            Self::ClusterNotifyRemove => "Remove",
            Self::ForwardAdd => "Forward",
            Self::ForwardRemove => "Remove",
            Self::ForwardApply => "Apply",
            Self::PodApply | Self::PodUpdate => "Change",
            Self::PodClean => "Clean up",
            Self::ImagePull => "Fetch",
            Self::ImagePrepare => "Prepare",
            Self::ImageConvert => "Convert",
            Self::ImagePrune | Self::ImageDelete => "Delete",
            Self::TaskCancel => "Stop",
            Self::OpCancel => "Cancel",
            Self::AlertAck => "Acknowledge",
            Self::AlertSilence => "Silence",
            Self::BoardCreate => "Put up",
            Self::BoardDelete => "Take down",
            Self::AlertNote => "Note",
            Self::AlertTest => "Test",
            Self::RuleEnable => "Switch on",
            Self::RuleDisable => "Switch off",
            Self::RuleOverride => "Override",
            Self::MaintenanceStart => "Begin",
            Self::MaintenanceEnd => "End",
            Self::OncallOverride => "Stand in",
            _ => "Show",
        }
    }
}

/// A text that names no verb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not something gantry can do; verbs look like `guest.start` or `pod.delete`")]
pub struct UnknownVerb(pub String);

/// A guest's address that survives migration: never its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GuestRef {
    /// The cluster.
    pub cluster: ClusterId,
    /// The number inside it.
    pub vmid: Vmid,
}

impl fmt::Display for GuestRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.vmid)
    }
}

/// A change of power state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Switch on.
    Start,
    /// Ask the guest's system to shut down; fails when it does not within the time given.
    Shutdown,
    /// Pull the plug.
    Kill,
    /// Restart through the guest's system.
    Reboot,
    /// Freeze.
    Suspend,
    /// Unfreeze.
    Resume,
}

/// A verb with its target resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Change a guest's power state.
    Power {
        /// Which guest.
        guest: GuestRef,
        /// Container or virtual machine.
        kind: GuestKind,
        /// The change.
        change: Power,
        /// How long a graceful shutdown or reboot may take, seconds.
        timeout_s: u32,
    },
    /// Delete a guest with its disks, shutting it down first where it runs.
    Delete {
        /// Which guest.
        guest: GuestRef,
        /// Container or virtual machine.
        kind: GuestKind,
        /// How long the shutdown before it may take, seconds.
        timeout_s: u32,
    },
    /// Take the lock off a guest.
    Unlock {
        /// Which guest.
        guest: GuestRef,
        /// Container or virtual machine.
        kind: GuestKind,
    },
    /// Move a guest to another node.
    Migrate(Migration),
    /// Change a guest's snapshots.
    Snapshot(SnapshotAction),
    /// Create a container that gantry owns.
    CreatePod {
        /// In which cluster.
        cluster: ClusterId,
        /// What it shall be.
        spec: Box<PodSpec>,
        /// Where it goes, where its specification leaves that open.
        #[serde(default)]
        placed: Option<Choice>,
        /// Where its image comes from, where it is not on the node yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fetch: Option<Box<Fetch>>,
    },
    /// Something done to a pod that exists.
    Pod(PodAction),
    /// Stop a running Proxmox task.
    CancelTask {
        /// In which cluster.
        cluster: ClusterId,
        /// Which task.
        upid: Upid,
    },
    /// Something done to a set.
    Set(SetAction),
    /// Change a network.
    Network(Box<NetworkAction>),
    /// Something done to images.
    Image(ImageAction),
    /// Something done to port forwards.
    Forward(ForwardAction),
    /// Something done to a cluster's notifications.
    Notify(NotifyAction),
}

impl Action {
    /// The cluster it acts on.
    pub fn cluster(&self) -> &ClusterId {
        match self {
            Self::Power { guest, .. } | Self::Delete { guest, .. } | Self::Unlock { guest, .. } => {
                &guest.cluster
            }
            Self::Migrate(action) => &action.guest.cluster,
            Self::Snapshot(action) => &action.guest.cluster,
            Self::Pod(pod) => &pod.guest().cluster,
            Self::CreatePod { cluster, .. } | Self::CancelTask { cluster, .. } => cluster,
            Self::Set(action) => &action.set().cluster,
            Self::Network(action) => &action.cluster,
            Self::Image(action) => action.cluster(),
            Self::Forward(action) => action.cluster(),
            Self::Notify(action) => action.cluster(),
        }
    }

    /// The least confirmation it takes, whatever its verb takes: of one verb, some things can be undone and some cannot.
    pub fn tier(&self) -> Tier {
        match self {
            Self::Image(action) if !action.can_be_undone() => Tier::TypedName,
            Self::Snapshot(action) => action.tier(),
            _ => Tier::None,
        }
    }

    /// What it works on, where two operations must not work on that at the same time: `guest lab/201`.
    pub fn turn(&self) -> Option<String> {
        match self {
            // Work on one pod has that guest's turn; `Operation::turn` knows its number.
            Self::Set(SetAction::Member { .. }) => None,
            Self::Set(action) => Some(format!("set {}", action.set())),
            Self::Network(action) => Some(action.turn()),
            Self::Image(action) => action.turn(),
            Self::Forward(action) => Some(action.turn()),
            Self::Notify(action) => Some(action.turn()),
            _ => self.guest().map(|(guest, _)| format!("guest {guest}")),
        }
    }

    /// The guest it acts on, where there is one already.
    pub fn guest(&self) -> Option<(&GuestRef, GuestKind)> {
        match self {
            Self::Power { guest, kind, .. }
            | Self::Delete { guest, kind, .. }
            | Self::Unlock { guest, kind } => Some((guest, *kind)),
            Self::Migrate(action) => Some((&action.guest, action.kind)),
            Self::Snapshot(action) => Some((&action.guest, action.kind)),
            Self::Pod(pod) => Some((pod.guest(), GuestKind::Lxc)),
            Self::Image(action) => action.guest(),
            Self::CreatePod { .. }
            | Self::CancelTask { .. }
            | Self::Set(_)
            | Self::Network(_)
            | Self::Forward(_)
            | Self::Notify(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_one_text_and_reads_back() {
        for verb in Verb::ALL {
            assert_eq!(verb.as_str().parse::<Verb>().as_ref(), Ok(verb));
        }
        assert!("guest.rename".parse::<Verb>().is_err());
    }

    #[test]
    fn what_cannot_be_undone_asks_for_the_name() {
        assert_eq!(Verb::GuestDelete.tier(), Tier::TypedName);
        assert_eq!(Verb::PodDelete.tier(), Tier::TypedName);
        assert_eq!(Verb::PodClean.tier(), Tier::TypedName);
        assert_eq!(Verb::GuestSnapshotDelete.tier(), Tier::TypedName);
        assert_eq!(Verb::GuestSnapshotRollback.tier(), Tier::TypedName);
        assert!(Verb::ALL.iter().all(|v| v.writes() || v.tier() == Tier::None));
    }
}
