//! gantry's own health: each check with its interval and its time limit. What is in memory is looked at with each turn.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gantry_core::alert::{OWN, OwnHealth, Reading, own_reading};
use gantry_core::id::{CardId, ClusterId};
use gantry_store::StoreError;
use tokio::time::Instant;

use super::hear::HEARD_MAX;
use crate::Engine;

/// Pause between two readings.
const EVERY_MS: i64 = 10_000;
/// Pause between two looks at the database, and longest for one; longer counts as that long.
const DATABASE_EVERY_MS: i64 = 15_000;
/// See [`DATABASE_EVERY_MS`].
const DATABASE_WITHIN: Duration = Duration::from_secs(5);
/// Pause between two looks at the messages that wait, and longest for one.
const QUEUE_EVERY_MS: i64 = 15_000;
/// See [`QUEUE_EVERY_MS`].
const QUEUE_WITHIN: Duration = Duration::from_secs(5);
/// Messages that wait and are followed; more wait at least as long.
const WAITING_MAX: u32 = 200;
/// The count, a day, of what all processes turned away of what webhooks told, and how much of it people know of.
const AWAY: &str = "hooks:turned-away";
/// See [`AWAY`]: `day count`.
const AWAY_TOLD: &str = "hooks:turned-away:told";

/// What was looked at when, and what it came to.
#[derive(Debug, Default)]
pub(super) struct OwnLooked {
    read_ms: i64,
    database_ms: i64,
    queue_ms: i64,
    health: OwnHealth,
    /// Messages that wait, by what they show, and since when that is so.
    waiting: BTreeMap<(CardId, i64), i64>,
    /// What webhooks told and waits for the desks.
    hooks: Option<u64>,
}

impl Engine {
    fn day(&self) -> i64 {
        self.now_ms().div_euclid(gantry_core::report::DAY_MS)
    }

    /// Adds what this process turned away to what all of them did: whoever leads tells of it.
    pub(super) async fn count_turned_away(&self) -> Result<(), StoreError> {
        let here = self.inner.turned_away.swap(0, Ordering::Relaxed);
        if here == 0 {
            return Ok(());
        }
        let by = i64::try_from(here).unwrap_or(i64::MAX);
        let counted = self.store().bump_counter(AWAY, self.day(), by).await;
        if counted.is_err() {
            self.inner.turned_away.fetch_add(here, Ordering::Relaxed);
        }
        counted.map(drop)
    }

    /// How much was turned away today, and whether some of it is news.
    async fn turned_away(&self) -> Result<(u64, bool), StoreError> {
        let day = self.day();
        let today = self.store().counter(AWAY, day).await?;
        let told = self.store().setting(AWAY_TOLD).await?.unwrap_or_default();
        let now = format!("{day} {today}");
        let news = today > 0 && told != now;
        if news {
            self.store().set_setting(AWAY_TOLD, &now, self.now_ms()).await?;
        }
        Ok((u64::try_from(today).unwrap_or(0), news))
    }

    /// A reading of gantry's own health, where one is due.
    pub(super) async fn look_at_own(&self, looked: &mut OwnLooked) -> Option<Reading> {
        let now_ms = self.now_ms();
        if now_ms - looked.read_ms < EVERY_MS {
            return None;
        }
        let own: ClusterId = OWN.parse().ok()?;
        looked.read_ms = now_ms;
        looked.health.gateway = self.gateway.as_ref().map(|connected| connected());
        looked.health.clock_s = Some(self.inner.clock.ahead_of_wall().as_secs_f64());
        if now_ms - looked.database_ms >= DATABASE_EVERY_MS {
            looked.database_ms = now_ms;
            let begun = Instant::now();
            let answer = tokio::time::timeout(DATABASE_WITHIN, self.store().setting("alive")).await;
            let took = match answer {
                Ok(Ok(_)) => begun.elapsed(),
                // An answer that is an error, or none: as slow as it may be.
                Ok(Err(_)) | Err(_) => DATABASE_WITHIN,
            };
            looked.health.database_s = Some(took.as_secs_f64());
        }
        let mut more = false;
        if now_ms - looked.queue_ms >= QUEUE_EVERY_MS {
            looked.queue_ms = now_ms;
            let waiting = self.store().cards_waiting(now_ms, WAITING_MAX);
            let waiting = tokio::time::timeout(QUEUE_WITHIN, waiting).await;
            let hooks = tokio::time::timeout(QUEUE_WITHIN, self.store().heard_waiting()).await;
            looked.hooks = hooks.ok().and_then(Result::ok);
            let away = tokio::time::timeout(QUEUE_WITHIN, self.turned_away()).await;
            if let Ok(Ok(away)) = away {
                (looked.health.turned_away, more) = away;
            }
            looked.health.queue_s = waiting.ok().and_then(Result::ok).map(|now| {
                let since: BTreeMap<(CardId, i64), i64> = now
                    .into_iter()
                    .map(|card| {
                        let since = looked.waiting.get(&card).copied().unwrap_or(now_ms);
                        (card, since)
                    })
                    .collect();
                looked.waiting = since;
                let oldest = looked.waiting.values().min().copied().unwrap_or(now_ms);
                (now_ms - oldest) as f64 / 1000.0
            });
        }
        let share = |n: u64| 100.0 * n as f64 / HEARD_MAX as f64;
        looked.health.hooks = if more { Some(100.0) } else { looked.hooks.map(share) };
        Some(own_reading(&own, &looked.health, now_ms))
    }
}
