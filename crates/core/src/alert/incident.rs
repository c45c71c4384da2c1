//! An incident: alerts that belong together, told in one message that is kept up to date. Counts are exact; only names
//! are left out where there are many, and it is said how many.

use serde::{Deserialize, Serialize};

use super::{Call, Metric, Severity, Subject, Tracked};
use crate::id::{ChannelId, ClusterId, GuildId, IncidentId, NoteId, UserId};

/// Alerts named in a message; more are counted.
pub(super) const NAMED_MAX: usize = 12;
/// Entries of a timeline that are kept; older ones are counted.
const TIMELINE_MAX: usize = 40;

/// What an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Alerts of one rule in one cluster.
    Alerts,
    /// What happened while gantry did not look, or while it was quiet.
    CatchUp,
    /// More than may be told in an hour.
    Overflow,
}

impl Kind {
    /// The text kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::CatchUp => "catch-up",
            Self::Overflow => "overflow",
        }
    }
}

/// Why an incident has no message of its own yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Milder than the server wants to be told.
    Mild,
    /// Quiet hours.
    Quiet,
    /// Too many messages this hour; counted in the digest.
    Overflow,
    /// All of it is silenced or in maintenance.
    Muted,
}

impl Hold {
    /// In people's words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Mild => "milder than this server wants to be told",
            Self::Quiet => "it is quiet hours; told when they end, if it is still so",
            Self::Overflow => "this hour's messages are used up; counted in the digest",
            Self::Muted => "silenced or in maintenance",
        }
    }
}

/// Somebody takes care of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// When, milliseconds.
    pub at_ms: i64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, milliseconds.
    pub at_ms: i64,
    /// What.
    pub text: String,
}

/// What somebody wrote about it. Kept apart from what the desk knows, so that neither overwrites the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its id.
    pub id: NoteId,
    /// When, milliseconds.
    pub at_ms: i64,
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// What.
    pub text: String,
    /// Whether it stands in the incident's thread.
    pub told: bool,
}

/// One alert as its message names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What it is about.
    pub subject: Subject,
    /// What was measured.
    pub metric: Metric,
    /// The value with its limit, in words.
    pub shown: String,
    /// More about it.
    pub detail: String,
    /// How bad.
    pub severity: Severity,
    /// Since when it fires, milliseconds.
    pub since_ms: i64,
    /// Whether it comes and goes.
    pub flaps: bool,
    /// What it was held against.
    pub threshold: f64,
}

/// What an incident comes to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Alerts that fire and are told.
    pub firing: u32,
    /// Alerts that fire and are silenced.
    pub muted: u32,
    /// Alerts folded into this one.
    pub folded: u32,
    /// Alerts that fired since it began and are over.
    pub over: u32,
    /// The first of those that fire and are told, the worst first; where all are silenced, the first of those.
    pub lines: Vec<Line>,
    /// The first of those that are folded.
    pub folded_names: Vec<String>,
    /// Why the muted ones are.
    pub muted_why: Vec<String>,
}

impl Summary {
    /// How many alerts the names in `lines` are the first of.
    pub fn named(&self) -> u32 {
        if self.firing == 0 { self.muted } else { self.firing }
    }
}

/// Alerts that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// The server it is told in.
    pub guild: GuildId,
    /// The channel it is told in.
    pub channel: ChannelId,
    /// The cluster, where it is about one.
    pub cluster: Option<ClusterId>,
    /// What it is.
    pub kind: Kind,
    /// The rule.
    pub rule: String,
    /// Which of the rule's groups, where others tell what is wrong.
    #[serde(default)]
    pub group: Option<String>,
    /// Its headline.
    pub title: String,
    /// How bad the worst of it was.
    pub severity: Severity,
    /// When it began, milliseconds.
    pub opened_ms: i64,
    /// When something about it changed last.
    pub changed_ms: i64,
    /// When it ended.
    pub resolved_ms: Option<i64>,
    /// When its message was asked for; `None`: not yet.
    pub posted_ms: Option<i64>,
    /// Why it has no message.
    pub hold: Option<Hold>,
    /// What it comes to.
    pub summary: Summary,
    /// What to do about it.
    pub advice: String,
    /// Where more is written.
    pub runbook: Option<String>,
    /// Who takes care of it.
    pub ack: Option<Ack>,
    /// Calls made for it.
    pub calls: Vec<Call>,
    /// What happened, oldest first.
    pub timeline: Vec<Entry>,
    /// Entries left out before those.
    pub older: u32,
    /// The text of an incident that is not about alerts.
    pub body: Vec<String>,
    /// From when until when nobody looked, milliseconds.
    #[serde(default)]
    pub blind_ms: Option<(i64, i64)>,
    /// Whether people were told of it afterwards in a digest.
    #[serde(default)]
    pub told: bool,
    /// What people wrote about it, oldest first; read beside it.
    #[serde(skip)]
    pub notes: Vec<Note>,
}

impl Incident {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.resolved_ms.is_none()
    }

    /// Writes something into its timeline.
    pub fn note(&mut self, at_ms: i64, text: impl Into<String>) {
        self.timeline.push(Entry { at_ms, text: text.into() });
        if self.timeline.len() > TIMELINE_MAX {
            // The first entry says how it began and stays.
            self.timeline.remove(1);
            self.older = self.older.saturating_add(1);
        }
        self.changed_ms = at_ms;
    }

    /// How many entries its timeline ever had.
    pub fn entries(&self) -> u64 {
        u64::from(self.older) + u64::try_from(self.timeline.len()).unwrap_or(0)
    }

    /// The entries from number `from` up to, without, number `until`, as far as they are kept; they are numbered from 0.
    pub fn entries_between(&self, from: u64, until: u64) -> Vec<&Entry> {
        let number = |n: usize| match u64::try_from(n).unwrap_or(u64::MAX) {
            // The first one stays when others are left out.
            0 => 0,
            n => n.saturating_add(u64::from(self.older)),
        };
        let all = self.timeline.iter().enumerate();
        all.filter(|(n, _)| (from..until).contains(&number(*n))).map(|(_, e)| e).collect()
    }

    /// One line: `Storage fills up: local on pve1, 3 more`.
    pub fn headline(&self) -> String {
        let Some(first) = self.summary.lines.first() else { return self.title.clone() };
        let more = self.summary.named().saturating_sub(1);
        let more = if more > 0 { format!(", {more} more") } else { String::new() };
        format!("{}: {}{more}", self.title, first.subject.label())
    }

    /// Whether all that fires in it is silenced or in maintenance: it is open, and nobody is told.
    pub fn is_silenced(&self) -> bool {
        self.is_open() && self.summary.firing == 0 && self.summary.muted > 0
    }

    /// Every alert it stands for now.
    pub fn counted(&self) -> u32 {
        self.summary.firing + self.summary.muted + self.summary.folded
    }
}

impl Line {
    /// An alert as it is named.
    pub(super) fn of(t: &Tracked, now_ms: i64) -> Self {
        Self {
            subject: t.subject.clone(),
            metric: t.metric,
            shown: t.shown(),
            detail: t.detail.clone(),
            severity: t.severity,
            since_ms: t.fired_ms,
            flaps: t.flaps(now_ms),
            threshold: t.threshold,
        }
    }
}
