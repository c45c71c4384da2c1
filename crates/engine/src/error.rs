//! What can go wrong in the engine, as people read it: what · why and what is true now · what to do.

use gantry_core::id::{ClusterId, NodeName};
use gantry_store::StoreError;

use crate::shell::Need;

/// An engine error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be read or written.
    #[error("could not {what}: {source}")]
    Store {
        /// What was attempted, as the end of "could not …".
        what: &'static str,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Proxmox did not do or say what was asked.
    #[error("could not {what} ({cluster}): {source}")]
    Proxmox {
        /// What was attempted, as the end of "could not …".
        what: String,
        /// Where.
        cluster: ClusterId,
        /// Why.
        #[source]
        source: Box<gantry_proxmox::Error>,
    },
    /// A node did not do or say over SSH what was asked.
    #[error("could not {what} ({cluster}): {source}")]
    Shell {
        /// What was attempted, as the end of "could not …".
        what: String,
        /// Where.
        cluster: ClusterId,
        /// Why.
        #[source]
        source: Box<gantry_nodeshell::Error>,
    },
    /// The node shell is not set up where it is needed.
    #[error("the node shell is not set up for {node} ({cluster}), and Proxmox's API has nothing for {}. {}", need.what(), need.instead())]
    NoShell {
        /// The node.
        node: NodeName,
        /// Where.
        cluster: ClusterId,
        /// What for.
        need: Need,
    },
    /// No cluster has that name.
    #[error("there is no cluster {cluster}; configured are {known}")]
    UnknownCluster {
        /// The name given.
        cluster: String,
        /// The names there are.
        known: String,
    },
    /// The cluster says that the node is offline: nobody answers for it, so nobody is asked.
    #[error("could not {what} ({cluster}): {node} is down: {reason}")]
    NodeDown {
        /// What was attempted, as the end of "could not …".
        what: String,
        /// Where.
        cluster: ClusterId,
        /// Which node.
        node: NodeName,
        /// Why it counts as down, in people's words.
        reason: String,
    },
    /// Something that was asked for by id is not there.
    #[error("{what} is not there")]
    Missing {
        /// What.
        what: String,
    },
}

/// An error cut into the parts a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultParts {
    /// What could not be done.
    pub what: String,
    /// Why, and what is true now.
    pub why: String,
    /// What to do.
    pub next: String,
}

impl Error {
    pub(crate) fn store(what: &'static str) -> impl FnOnce(StoreError) -> Self {
        move |source| Self::Store { what, source }
    }

    pub(crate) fn proxmox(
        what: impl Into<String>,
        cluster: &ClusterId,
    ) -> impl FnOnce(gantry_proxmox::Error) -> Self {
        let (what, cluster) = (what.into(), cluster.clone());
        move |source| Self::Proxmox { what, cluster, source: Box::new(source) }
    }

    /// The parts a person reads.
    pub fn parts(&self) -> FaultParts {
        match self {
            Self::Store { what, source } => FaultParts {
                what: format!("Could not {what}"),
                why: format!("{source}. Nothing was changed at Proxmox."),
                next: "Try again; `gantry doctor` on the host says more.".into(),
            },
            Self::Proxmox { what, cluster, source } => FaultParts {
                what: format!("Could not {what}"),
                why: format!("{source}."),
                next: format!("`/cluster status cluster:{cluster}` shows what answers."),
            },
            Self::Shell { what, source, .. } => FaultParts {
                what: format!("Could not {what}"),
                why: format!("{source}."),
                next: "`gantry doctor` on gantry's host looks at the node shell of every node."
                    .into(),
            },
            Self::NoShell { node, cluster, need } => FaultParts {
                what: format!("The node shell is not set up for {node} ({cluster})"),
                why: format!("Proxmox's API has nothing for {}. Nothing was changed.", need.what()),
                next: format!(
                    "{} docs/nodeshell.md says how a node shell is set up.",
                    need.instead()
                ),
            },
            Self::NodeDown { what, cluster, node, reason } => FaultParts {
                what: format!("Could not {what}"),
                why: format!("{node} is down: {}.", reason.trim_end_matches('.')),
                next: format!(
                    "`/node status node:{node} cluster:{cluster}` shows when it is back."
                ),
            },
            Self::UnknownCluster { cluster, known } => FaultParts {
                what: format!("There is no cluster {cluster}"),
                why: format!("Configured are {known}."),
                next: "Choose one from the list.".into(),
            },
            Self::Missing { what } => FaultParts {
                what: format!("{what} is not there"),
                why: "It may have been removed, or the id is wrong.".into(),
                next: "Look it up in the list command.".into(),
            },
        }
    }
}
