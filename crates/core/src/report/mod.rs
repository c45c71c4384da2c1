//! A report on a stretch of time: what there is room for, who uses most, what was wrong and how quickly somebody cared.
//! Pure: figures in, figures and sentences out.

mod words;

pub use words::{backed_up, began, capacity, lines, span};

use serde::{Deserialize, Serialize};

use crate::alert::{Incident, Kind, Severity};
use crate::id::ClusterId;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Values without less than this between them say nothing about a trend.
const TREND_MIN_MS: i64 = 2 * DAY_MS;
/// A storage that is full later than this is not said to become full.
const FULL_MAX_DAYS: f64 = 365.0;
/// Incidents named.
const NAMED: usize = 5;

/// How full something is, and where that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// `local-lvm on pve1`.
    pub name: String,
    /// In use, bytes.
    pub used: f64,
    /// In all, bytes.
    pub total: f64,
    /// Growth, bytes a day; `None`: not enough values.
    pub per_day: Option<f64>,
}

impl Capacity {
    /// The share in use, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.total > 0.0 { self.used / self.total } else { 0.0 }
    }

    /// Days until it is full, where it grows and that is within a year.
    pub fn full_in_days(&self) -> Option<f64> {
        let per_day = self.per_day.filter(|d| *d > 0.0)?;
        let days = (self.total - self.used).max(0.0) / per_day;
        (days <= FULL_MAX_DAYS).then_some(days)
    }
}

/// Growth a day of a course of values, by least squares; `None` where there are too few.
pub fn per_day(points: &[(i64, Option<f64>)]) -> Option<f64> {
    let known: Vec<(f64, f64)> =
        points.iter().filter_map(|(at, v)| Some((*at as f64 / DAY_MS as f64, (*v)?))).collect();
    let (first, last) = (known.first()?.0, known.last()?.0);
    if known.len() < 3 || (last - first) * (DAY_MS as f64) < TREND_MIN_MS as f64 {
        return None;
    }
    let n = known.len() as f64;
    let (mean_x, mean_y) =
        (known.iter().map(|p| p.0).sum::<f64>() / n, known.iter().map(|p| p.1).sum::<f64>() / n);
    let above: f64 = known.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = known.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (below > 0.0).then(|| above / below)
}

/// Backups of a cluster's guests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backups {
    /// Guests with one from the time the report is about.
    pub fresh: u32,
    /// Guests whose newest is older.
    pub older: u32,
    /// Of those the ones with the oldest: name and days, oldest first.
    pub old: Vec<(String, i64)>,
    /// Guests without any.
    pub none: u32,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterReport {
    /// Which.
    pub cluster: ClusterId,
    /// Its storages.
    pub storages: Vec<Capacity>,
    /// Guests that use most CPU now: name, and cores' worth.
    pub cpu: Vec<(String, f64)>,
    /// Guests that use most memory now: name, and bytes.
    pub memory: Vec<(String, u64)>,
    /// `None`: they could not be read.
    pub backups: Option<Backups>,
    /// Why it could not be read; the figures are then old.
    pub fault: Option<String>,
    /// Nodes that do not answer now.
    pub silent: Vec<String>,
}

/// What was wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentFigures {
    /// Incidents that began, by severity, mildest first.
    pub began: [u32; 4],
    /// Those still open, whenever they began.
    pub open: u32,
    /// Acknowledged ones among those that began.
    pub acked: u32,
    /// Mean time to that, milliseconds.
    pub mean_ack_ms: Option<i64>,
    /// Mean time until they were over, milliseconds.
    pub mean_length_ms: Option<i64>,
    /// The longest: headline and milliseconds.
    pub longest: Vec<(String, i64)>,
    /// Rules that fired most: name and count.
    pub rules: Vec<(String, u32)>,
}

fn mean(values: &[i64]) -> Option<i64> {
    let n = i64::try_from(values.len()).ok().filter(|n| *n > 0)?;
    Some(values.iter().sum::<i64>() / n)
}

/// Figures of the incidents that began at or after `from_ms`, and of those still open.
pub fn incidents(all: &[Incident], from_ms: i64, now_ms: i64) -> IncidentFigures {
    let alerts = || all.iter().filter(|i| i.kind == Kind::Alerts);
    let began: Vec<&Incident> = alerts().filter(|i| i.opened_ms >= from_ms).collect();
    let mut out = IncidentFigures {
        open: u32::try_from(alerts().filter(|i| i.is_open()).count()).unwrap_or(u32::MAX),
        ..IncidentFigures::default()
    };
    for (n, severity) in Severity::ALL.into_iter().enumerate() {
        let count = began.iter().filter(|i| i.severity == severity).count();
        out.began[n] = u32::try_from(count).unwrap_or(u32::MAX);
    }
    let acks: Vec<i64> =
        began.iter().filter_map(|i| Some((i.ack.as_ref()?.at_ms - i.opened_ms).max(0))).collect();
    out.acked = u32::try_from(acks.len()).unwrap_or(u32::MAX);
    out.mean_ack_ms = mean(&acks);
    let ended: Vec<i64> = began.iter().filter_map(|i| Some(i.resolved_ms? - i.opened_ms)).collect();
    out.mean_length_ms = mean(&ended);
    let mut longest: Vec<(String, i64)> = began
        .iter()
        .map(|i| (i.headline(), i.resolved_ms.unwrap_or(now_ms) - i.opened_ms))
        .collect();
    longest.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
    longest.truncate(NAMED);
    out.longest = longest;
    let mut rules = std::collections::BTreeMap::<&str, u32>::new();
    for i in &began {
        *rules.entry(i.rule.as_str()).or_default() += 1;
    }
    let mut rules: Vec<(String, u32)> = rules.into_iter().map(|(r, n)| (r.to_owned(), n)).collect();
    rules.sort_by_key(|(rule, n)| (std::cmp::Reverse(*n), rule.clone()));
    rules.truncate(NAMED);
    out.rules = rules;
    out
}

/// A report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// From when, milliseconds.
    pub from_ms: i64,
    /// Until when.
    pub until_ms: i64,
    /// The clusters.
    pub clusters: Vec<ClusterReport>,
    /// What was wrong.
    pub incidents: IncidentFigures,
    /// Changes made through gantry in that time: done, failed.
    pub operations: (u64, u64),
}

/// What is sent by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// Each day.
    Day,
    /// Each week.
    Week,
}

impl Every {
    /// How long it covers, milliseconds.
    pub fn span_ms(self) -> i64 {
        match self {
            Self::Day => DAY_MS,
            Self::Week => 7 * DAY_MS,
        }
    }

    /// The word kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// When a report is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// How often.
    pub every: Every,
    /// On which day of the week, 0 is Monday; means nothing for a daily one.
    pub weekday: u32,
    /// At which minute of the day.
    pub minute: u32,
    /// How far local time is ahead of UTC, minutes.
    pub offset_min: i32,
}

impl Slot {
    /// The newest moment at or before `now_ms` at which it is due.
    pub fn latest(&self, now_ms: i64) -> i64 {
        let offset = i64::from(self.offset_min) * 60_000;
        let local = now_ms + offset;
        let within = i64::from(self.minute) * 60_000;
        let day = (local - within).div_euclid(DAY_MS);
        let due = match self.every {
            Every::Day => day,
            // 1970-01-01 was a Thursday: day 4 was the first Monday.
            Every::Week => day - (day - 4 - i64::from(self.weekday)).rem_euclid(7),
        };
        due * DAY_MS + within - offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: f64 = 1_073_741_824.0;

    #[test]
    fn a_storage_that_grows_steadily_is_full_when_one_would_say() {
        let points: Vec<(i64, Option<f64>)> = (0..30)
            .map(|d| (d * DAY_MS, (d % 7 != 3).then_some(100.0 * GIB + d as f64 * GIB)))
            .collect();
        let growth = per_day(&points).unwrap();
        assert!((growth - GIB).abs() < 1.0, "{growth}");
        let storage = Capacity {
            name: "x".into(),
            used: 130.0 * GIB,
            total: 150.0 * GIB,
            per_day: Some(growth),
        };
        assert_eq!(storage.full_in_days().map(f64::round), Some(20.0));
        let shrinks = Capacity { per_day: Some(-GIB), ..storage.clone() };
        assert_eq!(shrinks.full_in_days(), None);
        assert_eq!(
            Capacity { per_day: Some(1.0), ..storage }.full_in_days(),
            None,
            "not within a year"
        );
    }

    #[test]
    fn too_few_values_say_nothing() {
        assert_eq!(per_day(&[]), None);
        assert_eq!(per_day(&[(0, Some(1.0)), (DAY_MS, Some(2.0)), (DAY_MS + 5, Some(3.0))]), None);
        assert_eq!(per_day(&[(0, None), (9 * DAY_MS, None), (10 * DAY_MS, Some(1.0))]), None);
    }

    #[test]
    fn a_slot_comes_once_a_day_or_once_a_week_in_local_time() {
        // Saturday, 2023-11-18 12:00 UTC.
        let noon = 1_700_308_800_000;
        let hour = 3_600_000;
        let daily = Slot { every: Every::Day, weekday: 0, minute: 8 * 60, offset_min: 60 };
        assert_eq!(daily.latest(noon), noon - 5 * hour, "08:00 local is 07:00 UTC");
        assert_eq!(daily.latest(noon - 5 * hour - 1), noon - 29 * hour);
        let weekly = Slot { every: Every::Week, weekday: 0, minute: 8 * 60, offset_min: 0 };
        assert_eq!(weekly.latest(noon), noon - 4 * hour - 5 * DAY_MS, "the Monday before");
        let saturday = Slot { weekday: 5, ..weekly };
        assert_eq!(saturday.latest(noon), noon - 4 * hour);
        let sunday = Slot { weekday: 6, ..weekly };
        assert_eq!(sunday.latest(noon), noon - 4 * hour - 6 * DAY_MS);
    }
}
