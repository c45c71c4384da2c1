//! What can be asked of forwards, and the steps it comes to.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::KeptForward;
use crate::action::Verb;
use crate::id::{ClusterId, ForwardId, NodeName};

/// A change of forwards with its target resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum ForwardAction {
    /// One more.
    Add {
        /// The forward.
        forward: Box<KeptForward>,
    },
    /// One less.
    Remove {
        /// The forward.
        forward: Box<KeptForward>,
    },
    /// Make a node's table what was asked for, whatever somebody has made of it by hand.
    Apply {
        /// In which cluster.
        cluster: ClusterId,
        /// On which node.
        node: NodeName,
    },
}

impl ForwardAction {
    /// The cluster.
    pub fn cluster(&self) -> &ClusterId {
        match self {
            Self::Add { forward } | Self::Remove { forward } => &forward.spec.cluster,
            Self::Apply { cluster, .. } => cluster,
        }
    }

    /// The node whose table changes.
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Add { forward } | Self::Remove { forward } => &forward.spec.node,
            Self::Apply { node, .. } => node,
        }
    }

    /// The forward it is about.
    pub fn forward(&self) -> Option<&KeptForward> {
        match self {
            Self::Add { forward } | Self::Remove { forward } => Some(forward),
            Self::Apply { .. } => None,
        }
    }

    /// The verb it is asked with.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Add { .. } => Verb::ForwardAdd,
            Self::Remove { .. } => Verb::ForwardRemove,
            Self::Apply { .. } => Verb::ForwardApply,
        }
    }

    /// What it is about, as people read it.
    pub fn shown(&self) -> String {
        match self {
            Self::Add { forward } | Self::Remove { forward } => {
                format!("{} ({})", forward.spec, forward.spec.cluster)
            }
            Self::Apply { cluster, node } => format!("the forwards of {node} ({cluster})"),
        }
    }

    /// What two operations must not work on at the same time: `forwards lab/pve1`.
    pub fn turn(&self) -> String {
        turn(self.cluster(), self.node())
    }
}

/// The turn of a node's forwards.
pub(crate) fn turn(cluster: &ClusterId, node: &NodeName) -> String {
    format!("forwards {cluster}/{node}")
}

/// What somebody confirms anew of a forward that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Which.
    pub id: ForwardId,
    /// Where it listens from now on.
    pub node: NodeName,
    /// The address it leads to, where its guest has no fixed one.
    pub pinned: Option<IpAddr>,
    /// What its guest is called from now on, where that is something else.
    #[serde(default)]
    pub name: Option<String>,
}

/// One thing that is done to forwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "forward", rename_all = "kebab-case")]
pub enum ForwardStep {
    /// Keep it in the store: from now on it is wanted.
    Record {
        /// The address that was shown, where the guest has no fixed one.
        #[serde(default)]
        pinned: Option<IpAddr>,
    },
    /// Keep what was confirmed anew of forwards that lead nowhere.
    Confirm {
        /// Which, and what.
        forwards: Vec<Confirmed>,
    },
    /// Let it through the guest's firewall.
    Allow,
    /// Put the node's table in force.
    Put,
    /// Take everything back when it did not come about: the record, the rule, the line of the table.
    TakeBack,
    /// Take it out of the store: from now on it is not wanted.
    Forget,
    /// Take its rule out of the guest's firewall.
    Disallow,
}

impl ForwardStep {
    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Record { .. } => "Writing the forward down",
            Self::Confirm { .. } => "Writing down what was confirmed",
            Self::Allow => "Adding the firewall rule",
            Self::Put => "Putting the node's table in force",
            Self::TakeBack => "Taking it back",
            Self::Forget => "Taking the forward off the list",
            Self::Disallow => "Removing the firewall rule",
        }
    }

    /// A short name for lists and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Record { .. } => "write the forward down",
            Self::Confirm { .. } => "write down what was confirmed",
            Self::Allow => "add the firewall rule",
            Self::Put => "put the table in force",
            Self::TakeBack => "take it back",
            Self::Forget => "take the forward off the list",
            Self::Disallow => "remove the firewall rule",
        }
    }

    /// The words after "Could not".
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Record { .. } => "write down the forward",
            Self::Confirm { .. } => "write down what was confirmed of",
            Self::Allow => "add the firewall rule of",
            Self::Put => "put in force",
            Self::TakeBack => "take back",
            Self::Forget => "take off the list",
            Self::Disallow => "remove the firewall rule of",
        }
    }

    /// Whether it is gantry's own record: whether it was written can be read, and writing it again changes nothing.
    pub fn is_own_record(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Confirm { .. } | Self::Forget)
    }

    /// Whether it belongs to taking things back.
    pub fn is_undo(&self) -> bool {
        *self == Self::TakeBack
    }
}
