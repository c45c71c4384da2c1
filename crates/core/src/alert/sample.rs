//! What was measured at one moment, and what explains it.

use serde::{Deserialize, Serialize};

use super::{Metric, Subject, Told};
use crate::id::ClusterId;

/// Why a bad value may be meant. Said wherever an alert is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Excuse {
    /// A backup is running on it.
    Backup,
    /// It is being moved to another node.
    Migration,
    /// High availability is at work on it.
    Ha {
        /// In which state.
        state: String,
    },
    /// An operation of gantry's.
    Operation {
        /// Which.
        id: String,
    },
    /// Somebody asked Proxmox for it.
    Task {
        /// Who.
        user: String,
        /// What the task is called at Proxmox.
        kind: String,
    },
    /// It is locked.
    Lock {
        /// Proxmox's word for the lock.
        lock: String,
    },
    /// gantry saw it itself, and tells it under a rule of its own.
    Seen {
        /// What it saw.
        what: String,
    },
}

impl Excuse {
    /// In people's words.
    pub fn words(&self) -> String {
        match self {
            Self::Backup => "a backup is running".into(),
            Self::Migration => "it is being migrated".into(),
            Self::Ha { state } => format!("high availability is at work ({state})"),
            Self::Operation { id } => format!("gantry's own operation {id}"),
            Self::Task { user, kind } => format!("{user} asked for it at Proxmox ({kind})"),
            Self::Lock { lock } => format!("it is locked ({lock})"),
            Self::Seen { what } => format!("gantry saw it itself: {what}"),
        }
    }
}

/// One value of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Of what.
    pub subject: Subject,
    /// What.
    pub metric: Metric,
    /// In the metric's unit; `None`: nobody can say, so what was true stays.
    pub value: Option<f64>,
    /// What people should know with it.
    pub detail: String,
    /// What explains a bad value.
    pub excuse: Option<Excuse>,
    /// Who says it, where it is not gantry itself.
    #[serde(default)]
    pub told: Option<Box<Told>>,
}

impl Sample {
    /// A value without more to it.
    pub fn new(subject: Subject, metric: Metric, value: f64) -> Self {
        Self {
            subject,
            metric,
            value: Some(value),
            detail: String::new(),
            excuse: None,
            told: None,
        }
    }

    /// With what people should know.
    #[must_use]
    pub fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail = text.into();
        self
    }
}

/// Everything measured of one cluster at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Which cluster.
    pub cluster: ClusterId,
    /// When, milliseconds.
    pub at_ms: i64,
    /// What was read completely: a subject without a sample of such a metric is gone.
    pub covers: Vec<Metric>,
    /// The values.
    pub samples: Vec<Sample>,
}
