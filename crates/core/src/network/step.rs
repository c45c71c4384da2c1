//! What can be asked of a network, and the steps it comes to.

use serde::{Deserialize, Serialize};

use super::{BridgeSpec, Edit, Flip, IfaceName, Scope, Secure, VnetSpec};
use crate::action::Verb;
use crate::id::ClusterId;

/// A change of a network with its target resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAction {
    /// In which cluster.
    pub cluster: ClusterId,
    /// On a node, or in the SDN.
    pub scope: Scope,
    /// The change.
    pub change: NetworkChange,
    /// How long somebody has to press Keep, seconds.
    pub keep_s: u32,
}

/// The change that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum NetworkChange {
    /// Make a bridge.
    CreateBridge {
        /// What it shall be.
        spec: BridgeSpec,
    },
    /// Make a bridge safer.
    SecureBridge {
        /// Which.
        name: IfaceName,
        /// How.
        how: Secure,
    },
    /// Remove a bridge.
    DeleteBridge {
        /// Which.
        name: IfaceName,
    },
    /// Make a vnet, and its zone where that is new.
    CreateVnet {
        /// What it shall be.
        spec: VnetSpec,
    },
    /// Remove a vnet with its subnets.
    DeleteVnet {
        /// Which.
        name: String,
    },
    /// Make real what somebody else has staged.
    Apply,
    /// Drop what is staged.
    Revert,
}

/// Which verb a change is asked with.
pub trait NetworkVerbs {
    /// The verb.
    fn verb(&self) -> Verb;
}

impl NetworkVerbs for NetworkAction {
    fn verb(&self) -> Verb {
        match (&self.change, &self.scope) {
            (NetworkChange::CreateBridge { .. }, _) => Verb::BridgeCreate,
            (NetworkChange::SecureBridge { .. }, _) => Verb::BridgeSecure,
            (NetworkChange::DeleteBridge { .. }, _) => Verb::BridgeDelete,
            (NetworkChange::CreateVnet { .. }, _) => Verb::VnetCreate,
            (NetworkChange::DeleteVnet { .. }, _) => Verb::VnetDelete,
            (NetworkChange::Apply, Scope::Node(_)) => Verb::BridgeApply,
            (NetworkChange::Revert, Scope::Node(_)) => Verb::BridgeRevert,
            (NetworkChange::Apply, Scope::Sdn) => Verb::VnetApply,
            (NetworkChange::Revert, Scope::Sdn) => Verb::VnetRevert,
        }
    }
}

impl NetworkAction {
    /// What it is about, as people read it before anything was looked at: `vmbr5 on pve1 (lab)`.
    pub fn shown(&self) -> String {
        let place = format!("{} ({})", self.scope, self.cluster);
        match &self.change {
            NetworkChange::CreateBridge { spec } => format!("{} on {place}", spec.name),
            NetworkChange::SecureBridge { name, .. } | NetworkChange::DeleteBridge { name } => {
                format!("{name} on {place}")
            }
            NetworkChange::CreateVnet { spec } => format!("vnet {} in {place}", spec.id),
            NetworkChange::DeleteVnet { name } => format!("vnet {name} in {place}"),
            NetworkChange::Apply | NetworkChange::Revert => format!("pending changes of {place}"),
        }
    }

    /// What two operations must not work on at the same time: `network lab/pve1`, `network lab/sdn`.
    pub fn turn(&self) -> String {
        match &self.scope {
            Scope::Node(node) => format!("network {}/{node}", self.cluster),
            Scope::Sdn => format!("network {}/sdn", self.cluster),
        }
    }
}

/// One thing that is done to a network configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "kebab-case")]
pub enum NetworkStep {
    /// Keep the former configuration in the store.
    Save,
    /// Write the change beside the running configuration; nothing is real yet.
    Stage {
        /// The edits, in order.
        edits: Vec<Edit>,
    },
    /// Make real what is staged.
    Reload,
    /// Set over the node shell what the API has no name for.
    Switch {
        /// The switches as they shall be.
        flips: Vec<Flip>,
    },
    /// Wait for somebody to press Keep.
    Keep {
        /// How long, seconds.
        within_s: u32,
    },
    /// Write the former configuration again, unless the change is kept.
    PutBack,
    /// Make it real again, unless the change is kept.
    PutBackReload,
    /// Set the switches as they were, unless the change is kept.
    SwitchBack {
        /// The switches as they were.
        flips: Vec<Flip>,
    },
    /// Drop what is staged.
    Revert,
}

impl NetworkStep {
    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Save => "Saving the former configuration",
            Self::Stage { .. } => "Writing the change",
            Self::Reload => "Reloading the network",
            Self::Switch { .. } => "Setting what the API cannot",
            Self::SwitchBack { .. } => "Setting back what the API cannot",
            Self::Keep { .. } => "Waiting for Keep",
            Self::PutBack => "Writing the former configuration back",
            Self::PutBackReload => "Reloading the former configuration",
            Self::Revert => "Dropping what was pending",
        }
    }

    /// A short name for lists and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Save => "save the former configuration",
            Self::Stage { .. } => "write the change",
            Self::Reload => "reload the network",
            Self::Switch { .. } => "set what the API cannot",
            Self::SwitchBack { .. } => "set back what the API cannot",
            Self::Keep { .. } => "wait for Keep",
            Self::PutBack => "put back",
            Self::PutBackReload => "reload what was put back",
            Self::Revert => "drop what was pending",
        }
    }

    /// The worker types Proxmox gives: `srvreload` on a node, `reloadnetworkall` for the SDN.
    pub fn task_types(&self) -> &'static [&'static str] {
        match self {
            Self::Reload | Self::PutBackReload => &["srvreload", "reloadnetworkall"],
            _ => &[],
        }
    }

    /// Whether it belongs to putting things back: done although something failed or somebody cancelled.
    pub fn is_undo(&self) -> bool {
        matches!(self, Self::PutBack | Self::PutBackReload | Self::SwitchBack { .. })
    }

    /// Whether its call may be sent again once a look has shown that it was not carried out. Writing down what shall
    /// be twice is writing it once; reloading what is still pending brings back what was. Only the first reload is
    /// never repeated: where that is not known to have happened, the way is back.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Reload)
    }
}

/// What became of a change that was waiting for Keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Somebody pressed Keep.
    Keep,
    /// Somebody pressed Put back.
    PutBack,
    /// Nobody pressed in time.
    Lapsed,
    /// It went wrong before anybody could press.
    Failed,
}

impl Decision {
    /// Every decision.
    pub const ALL: &'static [Self] = &[Self::Keep, Self::PutBack, Self::Lapsed, Self::Failed];

    /// The text kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::PutBack => "put-back",
            Self::Lapsed => "lapsed",
            Self::Failed => "failed",
        }
    }
}
