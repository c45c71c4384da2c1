//! What keeps an alert from being told: silences, maintenance windows, quiet hours. Each has an end.

use serde::{Deserialize, Serialize};

use super::{Severity, Subject};
use crate::id::{GuildId, MuteId, UserId};
use crate::policy::Selector;

const DAY_MIN: i64 = 24 * 60;

/// Who made it and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MuteKind {
    /// Somebody silenced an alert.
    Silence,
    /// Somebody works there.
    Maintenance,
}

impl MuteKind {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
        }
    }
}

/// A silence or a maintenance window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Muting {
    /// Its id.
    pub id: MuteId,
    /// The server it holds in.
    pub guild: GuildId,
    /// What it is.
    pub kind: MuteKind,
    /// Only this rule.
    pub rule: Option<String>,
    /// Only what this covers.
    pub on: Selector,
    /// Only these, by key; empty: everything `on` covers, or nothing where a silence is on everything.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// From when, milliseconds.
    pub from_ms: i64,
    /// Until when, milliseconds.
    pub until_ms: i64,
    /// Who.
    pub by: UserId,
    /// Their name.
    pub by_name: String,
    /// Why.
    pub reason: String,
}

impl Muting {
    /// Whether it holds now.
    pub fn holds(&self, now_ms: i64) -> bool {
        (self.from_ms..self.until_ms).contains(&now_ms)
    }

    /// Whether it covers an alert.
    pub fn covers(&self, rule: &str, subject: &Subject) -> bool {
        // Nobody silences a whole rule everywhere: a silence of nothing in particular is a silence of nothing.
        let of_nothing = self.kind == MuteKind::Silence && self.on == Selector::everything();
        let named = match self.subjects.is_empty() {
            true => !of_nothing,
            false => self.subjects.contains(&subject.key()),
        };
        self.rule.as_deref().is_none_or(|r| r == rule) && named && self.on.fits(&subject.facts())
    }

    /// What it is on, in people's words: `node pve1, lab`; `guest` says what a guest of a cluster is called.
    pub fn about(&self, guest: impl Fn(&str, &str) -> Option<String>) -> String {
        let called =
            |cluster: &str, vmid: &str| guest(cluster, vmid).unwrap_or(format!("guest {vmid}"));
        if let [first, rest @ ..] = self.subjects.as_slice() {
            let mut parts = first.splitn(3, '/');
            let mut part = || parts.next().unwrap_or_default();
            let (cluster, kind, id) = (part(), part(), part());
            let what = match (kind, id.strip_prefix("vzdump/")) {
                ("cluster", _) => return self.and_more(format!("cluster {cluster}"), rest.len()),
                ("node", _) => format!("node {id}"),
                ("guest", _) => called(cluster, id),
                ("task", Some(vmid)) => format!("backups of {}", called(cluster, vmid)),
                ("storage" | "disk", _) => id.replacen('@', " on ", 1),
                _ => id.to_owned(),
            };
            return self.and_more(format!("{what}, {cluster}"), rest.len());
        }
        let words = || self.on.as_str().split(' ');
        let word = |key: &str| words().find_map(|w| w.strip_prefix(key));
        match (word("cluster:"), word("node:"), word("vmid:"), words().count()) {
            (Some(cluster), Some(node), None, 2) => {
                format!("node {node} and its guests, {cluster}")
            }
            (Some(cluster), None, Some(vmid), 2) => {
                format!("{}, {cluster}", called(cluster, vmid))
            }
            (Some(cluster), None, None, 1) => format!("cluster {cluster}"),
            _ => self.on.as_str().to_owned(),
        }
    }

    fn and_more(&self, first: String, more: usize) -> String {
        let what = if more > 0 { format!("{first} and {more} more") } else { first };
        match &self.rule {
            Some(rule) => format!("{what} ({rule})"),
            None => what,
        }
    }

    /// Why an alert is not told, in people's words.
    pub fn words(&self) -> String {
        let what = match self.kind {
            MuteKind::Silence => "silenced",
            MuteKind::Maintenance => "in maintenance",
        };
        if self.reason.is_empty() {
            format!("{what} by {}", self.by_name)
        } else {
            format!("{what} by {}: {}", self.by_name, self.reason)
        }
    }
}

/// Hours in which only what is bad enough is told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// From this minute of the day.
    pub from_min: u32,
    /// Until this one, not included; may lie on the next day.
    pub until_min: u32,
    /// How far local time is ahead of UTC, minutes.
    pub offset_min: i32,
    /// Told all the same from here on.
    pub except_from: Severity,
}

impl QuietHours {
    /// Whether it is quiet at that moment.
    pub fn is_quiet(&self, now_ms: i64) -> bool {
        let minute = (now_ms.div_euclid(60_000) + i64::from(self.offset_min)).rem_euclid(DAY_MIN);
        let (from, until) = (i64::from(self.from_min), i64::from(self.until_min));
        if from <= until {
            (from..until).contains(&minute)
        } else {
            minute >= from || minute < until
        }
    }

    /// `22:00–07:00`.
    pub fn words(&self) -> String {
        let at = |m: u32| format!("{:02}:{:02}", m / 60, m % 60);
        format!("{}–{}", at(self.from_min), at(self.until_min))
    }
}
