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
