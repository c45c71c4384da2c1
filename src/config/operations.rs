//! `[operations]`: how long plans live, how patient operations are, how often clusters are read.

use std::time::Duration;

use super::read::Section;

/// Timings of plans and operations. Every duration is in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations {
    /// How long a plan may be confirmed after it was shown.
    pub plan_life_s: u32,
    /// How long a guest gets to shut down by itself.
    pub shutdown_timeout_s: u32,
    /// Operations worked on at the same time.
    pub workers: u32,
    /// How long a worker keeps an operation without renewing; after a crash, this passes before it is taken up again.
    pub lease_s: u32,
    /// How often clusters are read. Proxmox itself measures every 10 s.
    pub poll_s: u32,
    /// How long one step may take before its outcome is called unknown.
    pub step_deadline_s: u32,
    /// How long a lost answer is looked for before it is judged.
    pub settle_s: u32,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            plan_life_s: 600,
            shutdown_timeout_s: 60,
            workers: 64,
            lease_s: 15,
            poll_s: 10,
            step_deadline_s: 1800,
            settle_s: 10,
        }
    }
}

impl Operations {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let d = Self::default();
        let operations = Self {
            plan_life_s: s.number("plan_life_s", d.plan_life_s, 30..=86_400),
            shutdown_timeout_s: s.number("shutdown_timeout_s", d.shutdown_timeout_s, 1..=3_600),
            workers: s.number("workers", d.workers, 1..=1000),
            lease_s: s.number("lease_s", d.lease_s, 5..=600),
            poll_s: s.number("poll_s", d.poll_s, 5..=3_600),
            step_deadline_s: s.number("step_deadline_s", d.step_deadline_s, 60..=86_400),
            settle_s: s.number("settle_s", d.settle_s, 1..=600),
        };
        s.finish();
        operations
    }

    /// `plan_life_s` as a duration.
    pub fn plan_life(&self) -> Duration {
        Duration::from_secs(self.plan_life_s.into())
    }
}
