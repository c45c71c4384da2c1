//! How a pod is: what its health check was answered, and what that comes to. Pure; the moment is an argument.
//!
//! A pod starts as `Starting`. Enough good answers in a row make it healthy, enough bad ones unhealthy; while it has
//! never been healthy, bad ones do not count before its time of grace is over. What was not answered for long is not
//! known, whatever it was before. Pods and pods of sets alike are judged by this and by nothing else.

use serde::{Deserialize, Serialize};

use super::Health;

/// An uptime that went back by more than this is another start, seconds.
const RESTARTED_S: u64 = 5;
/// How much longer than the check's own rhythm an answer may be missing before nothing is known, milliseconds. A
/// restart of gantry fits into it.
const UNKNOWN_AFTER_MS: i64 = 60_000;

/// What the answers come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Not enough was answered yet.
    Starting,
    /// It does its work.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Condition {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Which start of which pod it is about. What the one before answered says nothing about this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When the pod of that number was made, milliseconds.
    pub made_ms: i64,
    /// How long it has been running, seconds.
    pub uptime_s: u64,
}

/// What is known of one pod's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// What the answers come to.
    pub condition: Condition,
    /// Since when, milliseconds.
    pub since_ms: i64,
    /// When it was asked last, milliseconds.
    pub asked_ms: Option<i64>,
    /// When it answered last, or did not in time, milliseconds.
    pub answered_ms: Option<i64>,
    /// What was wrong with the newest answer; `None` where it was good.
    pub why: Option<String>,
    /// Good answers in a row.
    good: u32,
    /// Bad answers in a row that count.
    bad: u32,
    /// When the pod of that number was made, milliseconds.
    made_ms: i64,
    /// How long it had been running when it was looked at last, seconds.
    uptime_s: u64,
    /// When it was started, milliseconds.
    started_ms: i64,
}

impl Pulse {
    /// A pod that was not asked yet.
    pub fn new(life: Life, now_ms: i64) -> Self {
        let up_ms = i64::try_from(life.uptime_s).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
        let started_ms = now_ms.saturating_sub(up_ms);
        Self {
            condition: Condition::Starting,
            since_ms: started_ms,
            asked_ms: None,
            answered_ms: None,
            why: None,
            good: 0,
            bad: 0,
            made_ms: life.made_ms,
            uptime_s: life.uptime_s,
            started_ms,
        }
    }

    /// When the pod of that number was made, milliseconds.
    pub fn made_ms(&self) -> i64 {
        self.made_ms
    }

    /// Which start of which pod it is about.
    pub fn life(&self) -> Life {
        Life { made_ms: self.made_ms, uptime_s: self.uptime_s }
    }

    /// Whether it is about this start of this pod.
    pub fn is_about(&self, life: Life) -> bool {
        self.made_ms == life.made_ms && life.uptime_s.saturating_add(RESTARTED_S) >= self.uptime_s
    }

    /// Looks at the pod: a new start, or a new pod of that number, begins anew. Whether it did.
    pub fn look(&mut self, life: Life, now_ms: i64) -> bool {
        if !self.is_about(life) {
            *self = Self::new(life, now_ms);
            return true;
        }
        self.uptime_s = life.uptime_s;
        false
    }

    /// Whether it is time to ask.
    pub fn is_due(&self, check: &Health, now_ms: i64) -> bool {
        self.asked_ms.is_none_or(|asked| now_ms >= asked.saturating_add(ms(check.interval_s)))
    }

    /// It is being asked.
    pub fn asked(&mut self, now_ms: i64) {
        self.asked_ms = Some(now_ms);
    }

    /// Takes an answer; `Err` says what was wrong, as a sentence without a full stop.
    pub fn answered(&mut self, check: &Health, answer: Result<(), String>, now_ms: i64) {
        self.answered_ms = Some(now_ms);
        let next = match answer {
            Ok(()) => {
                (self.good, self.bad, self.why) = (self.good.saturating_add(1), 0, None);
                (self.good >= check.healthy_after).then_some(Condition::Healthy)
            }
            Err(why) => {
                (self.good, self.why) = (0, Some(why));
                let grace = now_ms < self.started_ms.saturating_add(ms(check.grace_s));
                if self.condition == Condition::Starting && grace {
                    return;
                }
                self.bad = self.bad.saturating_add(1);
                (self.bad >= check.unhealthy_after).then_some(Condition::Unhealthy)
            }
        };
        if let Some(next) = next.filter(|n| *n != self.condition) {
            (self.condition, self.since_ms) = (next, now_ms);
        }
    }

    /// Whether it is too long ago that anything was answered.
    pub fn is_old(&self, check: &Health, now_ms: i64) -> bool {
        let rhythm = ms(check.interval_s).saturating_add(ms(check.timeout_s));
        let known = rhythm.saturating_mul(2).saturating_add(UNKNOWN_AFTER_MS);
        self.answered_ms.is_some_and(|at| now_ms > at.saturating_add(known))
    }

    /// Since when it does its work, milliseconds; `Err` says why that is not known to be so.
    pub fn ready_since(&self, check: &Health, now_ms: i64) -> Result<i64, String> {
        match (self.condition, self.answered_ms) {
            (_, None) => Err("its health has not been asked yet".into()),
            _ if self.is_old(check, now_ms) => Err("its health was not asked for long".into()),
            (Condition::Healthy, _) => Ok(self.since_ms),
            _ => Err(self.why.clone().unwrap_or_else(|| "not often enough in a row".into())),
        }
    }
}

fn ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1000
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::Probe;
    use super::*;

    const MADE: Life = Life { made_ms: 7, uptime_s: 0 };

    fn check() -> Health {
        Health { grace_s: 30, ..Health::new(Probe::Tcp { port: 80 }) }
    }

    fn bad() -> Result<(), String> {
        Err("refused".into())
    }

    #[test]
    fn it_is_asked_at_once_and_then_in_its_rhythm() {
        let (mut pulse, check) = (Pulse::new(MADE, 1_000), check());
        assert!(pulse.is_due(&check, 1_000));
        pulse.asked(1_000);
        assert!(!pulse.is_due(&check, 10_999));
        assert!(pulse.is_due(&check, 11_000));
    }

    #[test]
    fn bad_answers_count_once_grace_is_over() {
        let (mut pulse, check) = (Pulse::new(MADE, 0), check());
        for at in [1_000, 11_000, 21_000, 29_999] {
            pulse.answered(&check, bad(), at);
        }
        assert_eq!(pulse.condition, Condition::Starting);
        assert_eq!(pulse.ready_since(&check, 30_000), Err("refused".into()));
        for at in [30_000, 40_000, 50_000] {
            assert_eq!(pulse.condition, Condition::Starting);
            pulse.answered(&check, bad(), at);
        }
        assert_eq!((pulse.condition, pulse.since_ms), (Condition::Unhealthy, 50_000));
        pulse.answered(&check, Ok(()), 60_000);
        assert_eq!(pulse.ready_since(&check, 60_000), Ok(60_000));
    }

    #[test]
    fn a_pod_that_was_healthy_has_no_grace_left() {
        let (mut pulse, check) = (Pulse::new(MADE, 0), check());
        pulse.answered(&check, Ok(()), 1_000);
        for at in [2_000, 3_000, 4_000] {
            pulse.answered(&check, bad(), at);
        }
        assert_eq!(pulse.condition, Condition::Unhealthy);
    }

    #[test]
    fn another_start_and_another_pod_begin_anew() {
        let check = check();
        let mut pulse = Pulse::new(Life { made_ms: 7, uptime_s: 100 }, 0);
        pulse.answered(&check, Ok(()), 0);
        assert!(!pulse.look(Life { made_ms: 7, uptime_s: 96 }, 10_000), "clocks are not exact");
        assert!(pulse.look(Life { made_ms: 7, uptime_s: 3 }, 20_000), "it was started again");
        assert_eq!(pulse.condition, Condition::Starting);
        pulse.answered(&check, Ok(()), 21_000);
        assert!(pulse.look(Life { made_ms: 8, uptime_s: 500 }, 30_000), "another has its number");
    }

    #[test]
    fn what_was_not_asked_for_long_is_not_known() {
        let (mut pulse, check) = (Pulse::new(MADE, 0), check());
        pulse.answered(&check, Ok(()), 1_000);
        assert_eq!(pulse.ready_since(&check, 61_000), Ok(1_000));
        assert!(pulse.ready_since(&check, 1_000 + 86_001).is_err());
        pulse.answered(&check, Ok(()), 100_000);
        assert_eq!(pulse.ready_since(&check, 100_000), Ok(1_000), "it was healthy all along");
    }

    proptest! {
        /// Whatever is answered: only rows of good answers make healthy, only rows of bad ones unhealthy, grace is kept,
        /// and `since` moves with the condition alone.
        #[test]
        fn only_enough_answers_in_a_row_change_what_it_is(
            answers in vec((any::<bool>(), 1i64..20_000), 0..80),
            healthy_after in 1u32..5,
            unhealthy_after in 1u32..5,
            grace_s in 0u32..120,
        ) {
            let check = Health { healthy_after, unhealthy_after, grace_s, ..check() };
            let mut pulse = Pulse::new(MADE, 0);
            let (mut now_ms, mut row, mut last, mut was_healthy) = (0i64, 0u32, None, false);
            for (good, pause) in answers {
                now_ms += pause;
                let before = pulse.clone();
                pulse.answered(&check, if good { Ok(()) } else { bad() }, now_ms);
                let grace = !was_healthy && before.condition == Condition::Starting
                    && now_ms < i64::from(grace_s) * 1000;
                row = match (good, grace) {
                    (false, true) => 0,
                    _ if last == Some(good) => row + 1,
                    _ => 1,
                };
                last = if !good && grace { None } else { Some(good) };
                let wanted = match good {
                    true if row >= healthy_after => Condition::Healthy,
                    false if row >= unhealthy_after => Condition::Unhealthy,
                    _ => before.condition,
                };
                prop_assert_eq!(pulse.condition, wanted);
                prop_assert_eq!(pulse.why.is_none(), good);
                let since = if wanted == before.condition { before.since_ms } else { now_ms };
                prop_assert_eq!(pulse.since_ms, since);
                prop_assert_eq!(pulse.ready_since(&check, now_ms).is_ok(), wanted == Condition::Healthy);
                was_healthy |= wanted == Condition::Healthy;
                let text = serde_json::to_string(&pulse).unwrap();
                prop_assert_eq!(serde_json::from_str::<Pulse>(&text).unwrap(), pulse.clone());
            }
        }
    }
}
