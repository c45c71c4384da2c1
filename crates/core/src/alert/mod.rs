//! Alerts: from what was seen to who is told what. Pure: readings, rules and the time go in, changes come out.
//!
//! `derive` lays two looks at a cluster side by side and gives samples; `evaluate` holds samples against rules; `desk`
//! groups, folds, mutes and escalates what fires. Nothing is ever dropped: what is not told is counted, with the reason.

mod ahead;
mod around;
mod backups;
mod derive;
mod desk;
mod evaluate;
mod explain;
mod incident;
#[cfg(test)]
mod laws;
mod metric;
mod mirror;
mod mute;
mod own;
mod post_mortem;
#[cfg(test)]
mod regressions;
mod route;
mod rule;
mod sample;
#[cfg(test)]
mod stage;
mod subject;
mod tell;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeline;
mod told;
#[cfg(test)]
mod told_tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use around::{Around, DiskSeen, NodeFigures, TaskSeen, Wear};
pub use derive::{Derived, Snapshot, derive};
pub use desk::{Call, Desk, Outcome};
use evaluate::judge;
pub use evaluate::{Book, Change, Ended, Key, Phase, Tracked, evaluate};
pub use incident::{Ack, Entry, Hold, Incident, Kind, Line, Note, Summary};
pub use metric::{Metric, Unit};
pub use mirror::{MIRRORS_MAX, Mirror, mirrors};
pub use mute::{MuteKind, Muting, QuietHours};
pub use own::{OWN, OwnHealth, own_reading};
pub use post_mortem::{post_mortem, utc};
pub use route::{Duty, DutyShift, Route, Step};
pub use rule::{BadRules, Effective, Exception, Override, Rule, Rules, defaults};
pub use sample::{Excuse, Reading, Sample};
pub use subject::{Subject, SubjectKind};
pub use told::{Heard, HeardState, OWN_KEY, Told, plain, readings};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look at it today.
    Warning,
    /// Something does not work.
    Error,
    /// Somebody has to act now.
    Critical,
}

impl Severity {
    /// All, mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
