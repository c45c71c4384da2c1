//! Counts of calls and how long they took, for metrics. Fixed sets, atomics only: a call pays some nanoseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Error;
use crate::transport::{Answer, Failure};

/// Upper ends of the histogram's buckets, seconds. The last one is what Proxmox itself waits for another node, and more.
pub const BUCKETS_S: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 35.0];

/// How a call ended.
const OUTCOMES: [&str; 7] = ["ok", "refused", "failed", "unreachable", "timeout", "tls", "lost"];

/// Calls of one kind since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct KindFigures {
    /// `read` or `write`.
    pub kind: &'static str,
    /// How calls ended, each with how often: `ok`, `refused` (4xx), `failed` (5xx), `unreachable`, `timeout`, `tls`, `lost`.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Calls up to each of [`BUCKETS_S`], counted together from the smallest on.
    pub buckets: Vec<u64>,
    /// All calls.
    pub count: u64,
    /// Seconds all calls took together.
    pub sum_s: f64,
}

/// Calls since the start: reads, then writes.
#[derive(Debug, Clone, PartialEq)]
pub struct CallFigures(pub [KindFigures; 2]);

#[derive(Debug, Default)]
struct Kind {
    outcomes: [AtomicU64; OUTCOMES.len()],
    /// One for each bucket, and one for what took longer.
    buckets: [AtomicU64; BUCKETS_S.len() + 1],
    sum_us: AtomicU64,
}

/// The counters of one cluster's client.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    reads: Kind,
    writes: Kind,
}

fn outcome(result: &Result<Answer, Failure>) -> &'static str {
    match result {
        Ok(answer) if answer.status < 400 => "ok",
        Ok(answer) if answer.status < 500 => "refused",
        Ok(_) => "failed",
        Err(failure) => match &failure.error {
            Error::Tls { .. } => "tls",
            _ if failure.timeout => "timeout",
            Error::Unreachable { .. } => "unreachable",
            _ => "lost",
        },
    }
}

impl Meter {
    /// Counts one call.
    pub(crate) fn count(&self, write: bool, result: &Result<Answer, Failure>, took: Duration) {
        let kind = if write { &self.writes } else { &self.reads };
        let name = outcome(result);
        if let Some(n) = OUTCOMES.iter().position(|o| *o == name) {
            kind.outcomes[n].fetch_add(1, Ordering::Relaxed);
        }
        let s = took.as_secs_f64();
        let bucket = BUCKETS_S.iter().position(|end| s <= *end).unwrap_or(BUCKETS_S.len());
        kind.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        kind.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was counted.
    pub(crate) fn figures(&self) -> CallFigures {
        CallFigures([self.reads.figures("read"), self.writes.figures("write")])
    }
}

impl Kind {
    fn figures(&self, kind: &'static str) -> KindFigures {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let outcomes = OUTCOMES.iter().zip(&self.outcomes).map(|(o, n)| (*o, read(n))).collect();
        let mut so_far = 0;
        let mut buckets: Vec<u64> = self
            .buckets
            .iter()
            .map(|n| {
                so_far += read(n);
                so_far
            })
            .collect();
        let count = buckets.pop().unwrap_or(0);
        let sum_s = read(&self.sum_us) as f64 / 1_000_000.0;
        KindFigures { kind, outcomes, buckets, count, sum_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_outcome_and_length() {
        let meter = Meter::default();
        let answer = |status| Ok(Answer { status, reason: String::new(), body: Vec::new() });
        meter.count(false, &answer(200), Duration::from_millis(7));
        meter.count(false, &answer(403), Duration::from_secs(60));
        meter.count(true, &answer(500), Duration::from_millis(1));
        let CallFigures([reads, writes]) = meter.figures();
        assert_eq!((reads.count, writes.count), (2, 1));
        assert_eq!(reads.buckets[..3], [0, 1, 1]);
        assert_eq!(reads.buckets.last(), Some(&1), "a minute is in no bucket but +Inf");
        assert!((reads.sum_s - 60.007).abs() < 1e-6);
        let of =
            |kind: &KindFigures, name| kind.outcomes.iter().find(|(o, _)| *o == name).unwrap().1;
        assert_eq!((of(&reads, "ok"), of(&reads, "refused"), of(&writes, "failed")), (1, 1, 1));
    }
}
