//! Objects with settings, as the API names them, and edits of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Kernel;
use crate::id::NodeName;

/// One object's settings, under the API's own names: `bridge_ports` → `eno1 eno2`. Only what can be set is kept.
pub type Settings = BTreeMap<String, String>;

/// Objects by key: `vmbr5` on a node; `zone/z1`, `vnet/v1`, `subnet/v1/z1-10.8.0.0-24` in the SDN.
pub type Objects = BTreeMap<String, Settings>;

/// Where a network configuration lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// A node's own interfaces (`/etc/network/interfaces`).
    Node(NodeName),
    /// The cluster's software-defined network.
    Sdn,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Sdn => f.write_str("the SDN"),
        }
    }
}

/// A network configuration, read just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    /// Where.
    pub scope: Scope,
    /// The configuration as it is staged: what the next reload makes real. Equal to what runs while nothing is pending.
    pub objects: Objects,
    /// The configuration that runs, where it can be told.
    pub running: Option<Objects>,
    /// What is staged and not applied, as Proxmox tells it; `None` while nothing is.
    pub pending: Option<String>,
    /// Objects that are up now; empty for the SDN.
    #[serde(default)]
    pub active: BTreeSet<String>,
    /// What the kernel says of the bridges, where that was asked.
    #[serde(default)]
    pub kernel: Kernel,
    /// When this was read, milliseconds.
    #[serde(default)]
    pub read_ms: i64,
}

impl Net {
    /// Fingerprint of everything a plan rests on: settings and pending changes, never counters or link states.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::json!([self.scope, self.objects, self.pending]).to_string();
        hex::encode(Sha256::digest(text.as_bytes()))
    }

    /// The bridges of a node that are up, as Linux has them.
    pub fn bridges_up(&self) -> impl Iterator<Item = &str> {
        let bridge = |s: &Settings| s.get("type").is_some_and(|t| t == "bridge");
        let up = move |(name, settings): &(&String, &Settings)| {
            bridge(settings) && self.active.contains(*name)
        };
        self.objects.iter().filter(up).map(|(name, _)| name.as_str())
    }

    /// The configuration that runs.
    ///
    /// # Errors
    /// A sentence saying why it cannot be told.
    pub fn former(&self) -> Result<Objects, String> {
        match (&self.running, &self.pending) {
            (Some(running), _) => Ok(running.clone()),
            (None, None) => Ok(self.objects.clone()),
            (None, Some(diff)) => super::former_of(&self.objects, diff),
        }
    }
}

/// One change of the staged configuration; settings are always the object's whole new settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum Edit {
    /// Add an object.
    Create {
        /// Its key.
        key: String,
        /// Its settings.
        settings: Settings,
    },
    /// Change an object.
    Update {
        /// Its key.
        key: String,
        /// Its settings afterwards.
        settings: Settings,
        /// Settings it has now and shall not have afterwards.
        unset: Vec<String>,
    },
    /// Remove an object.
    Delete {
        /// Its key.
        key: String,
    },
}

impl Edit {
    /// The object it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Create { key, .. } | Self::Update { key, .. } | Self::Delete { key } => key,
        }
    }

    /// An update of `before` into `settings`.
    pub fn update(key: &str, before: &Settings, settings: Settings) -> Self {
        let unset = before.keys().filter(|k| !settings.contains_key(*k)).cloned().collect();
        Self::Update { key: key.to_owned(), settings, unset }
    }
}

/// The objects after `edits`.
pub fn edited(objects: &Objects, edits: &[Edit]) -> Objects {
    let mut after = objects.clone();
    for edit in edits {
        match edit {
            Edit::Create { key, settings } | Edit::Update { key, settings, .. } => {
                after.insert(key.clone(), settings.clone());
            }
            Edit::Delete { key } => {
                after.remove(key);
            }
        }
    }
    after
}
