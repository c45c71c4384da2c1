//! Repeating reads. The only file that knows `backoff` (unmaintained, the owner's choice, replaceable here).
//!
//! Attempts and total time are capped by ourselves: `backoff`'s own `max_elapsed_time` does not hold when a
//! `retry_after` is given (measured), so neither of the two is used. Writes never come through here.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backoff::ExponentialBackoffBuilder;

use crate::error::Error;

/// How often and how long.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) attempts: u32,
    pub(crate) first_pause: Duration,
    pub(crate) total: Duration,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another attempt may help.
    Again,
    /// It will not.
    Stop,
}

/// Longest pause between two attempts; people wait.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Runs `attempt` (its number as argument, from 0) until it succeeds or the policy ends.
pub(crate) async fn read<T, F, Fut>(policy: &Policy, mut attempt: F) -> Result<T, Error>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, (Error, Verdict)>>,
{
    let pauses = ExponentialBackoffBuilder::new()
        .with_initial_interval(policy.first_pause)
        .with_max_interval(PAUSE_MAX)
        .with_multiplier(2.0)
        .with_randomization_factor(0.5)
        .with_max_elapsed_time(None)
        .build();
    let last: Mutex<Option<Error>> = Mutex::new(None);
    let mut made = 0;
    let all = backoff::future::retry(pauses, || {
        let run = attempt(made);
        made += 1;
        let is_last = made >= policy.attempts;
        let last = &last;
        async move {
            run.await.map_err(|(error, verdict)| {
                if is_last || verdict == Verdict::Stop {
                    return backoff::Error::permanent(error);
                }
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
                backoff::Error::transient(error)
            })
        }
    });
    match tokio::time::timeout(policy.total, all).await {
        Ok(result) => result,
        Err(_) => {
            Err(last.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(|| {
                Error::AnswerLost {
                    endpoint: "the cluster".to_owned(),
                    why: format!("no answer within {} s", policy.total.as_secs()),
                    write: false,
                }
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn cut() -> Error {
        let (endpoint, why) = ("pve1:8006".to_owned(), "cut".to_owned());
        Error::AnswerLost { endpoint, why, write: false }
    }

    fn policy(attempts: u32, pause_ms: u64, total_ms: u64) -> Policy {
        Policy {
            attempts,
            first_pause: Duration::from_millis(pause_ms),
            total: Duration::from_millis(total_ms),
        }
    }

    async fn failing(policy: &Policy, verdict: Verdict) -> (u32, Duration) {
        let (mut made, started) = (0, Instant::now());
        let error = read::<(), _, _>(policy, |_| {
            made += 1;
            async move { Err((cut(), verdict)) }
        })
        .await
        .unwrap_err();
        assert_eq!(error, cut());
        (made, started.elapsed())
    }

    #[tokio::test]
    async fn attempts_are_capped() {
        let (made, _) = failing(&policy(4, 1, 10_000), Verdict::Again).await;
        assert_eq!(made, 4);
    }

    #[tokio::test]
    async fn total_time_is_capped_and_the_last_error_is_told() {
        let (made, took) = failing(&policy(1_000_000, 40, 200), Verdict::Again).await;
        assert!(made < 10 && took < Duration::from_millis(400), "{made} in {took:?}");
    }

    #[tokio::test]
    async fn what_cannot_help_is_not_repeated() {
        let (made, _) = failing(&policy(4, 1, 10_000), Verdict::Stop).await;
        assert_eq!(made, 1);
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_ends_with_the_total() {
        let never = read::<(), _, _>(&policy(4, 1, 50), |_| std::future::pending()).await;
        assert!(matches!(never, Err(Error::AnswerLost { write: false, .. })));
    }
}
