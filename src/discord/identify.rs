//! The identify gate: how often, how close together and how many new gateway sessions may be asked
//! for. Discord resets the token of a bot that identifies more than its daily budget, so the budget
//! is checked before each identify, not after. Used by all sessions of the process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep_until, timeout};

use super::end::GatewayEnd;
use super::lock;
use super::preflight::{Preflight, PreflightError, PreflightSettings, budget};

/// Discord allows `max_concurrency` identifies per 5 s; a little more, for the network's jitter.
const SPACING: Duration = Duration::from_millis(5_100);
/// The caller's counter may be a database: it may not hold up a connection.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// Told of every identify before it is sent, with the shard's number.
pub type CountIdentify = Arc<dyn Fn(u32) -> BoxFuture<'static, ()> + Send + Sync>;

/// One gate for all shards of the process.
pub(super) struct IdentifyGate {
    lanes: Vec<Arc<tokio::sync::Mutex<Option<Instant>>>>,
    remaining: Mutex<u32>,
    settings: PreflightSettings,
    count: CountIdentify,
    spacing: Duration,
}

/// A shard's turn: while it is held, no other shard of the same lane identifies.
pub(super) struct Turn {
    lane: OwnedMutexGuard<Option<Instant>>,
    shard: u32,
}

impl IdentifyGate {
    pub(super) fn new(
        preflight: &Preflight,
        settings: PreflightSettings,
        count: CountIdentify,
    ) -> Self {
        let lanes = preflight.max_concurrency.clamp(1, 64);
        Self {
            lanes: (0..lanes).map(|_| Arc::default()).collect(),
            remaining: Mutex::new(preflight.remaining),
            settings,
            count,
            spacing: SPACING,
        }
    }

    /// Waits for the shard's turn (lane `shard % max_concurrency`, 5 s apart).
    pub(super) async fn turn(&self, shard: u32) -> Option<Turn> {
        let lane = usize::try_from(shard).unwrap_or(0) % self.lanes.len();
        let lane = Arc::clone(self.lanes.get(lane)?).lock_owned().await;
        if let Some(last) = *lane {
            sleep_until(last + self.spacing).await;
        }
        Some(Turn { lane, shard })
    }

    /// Takes one session from the budget; to be called right before the identify is sent.
    pub(super) async fn spend(&self, turn: &mut Turn) -> Result<(), GatewayEnd> {
        let reserve = self.settings.identify_reserve;
        if *lock(&self.remaining) <= reserve {
            // Our own count is low; a new day may have begun.
            match budget(&self.settings).await {
                Ok(told) if told.remaining > reserve => *lock(&self.remaining) = told.remaining,
                Ok(told) => {
                    return Err(GatewayEnd::IdentifyBudget {
                        remaining: told.remaining,
                        reserve,
                        reset_after: told.reset_after,
                    });
                }
                Err(PreflightError::BadToken) => return Err(GatewayEnd::BadToken),
                Err(error) => {
                    return Err(GatewayEnd::CannotConnect {
                        shard: turn.shard,
                        hint: error.to_string(),
                    });
                }
            }
        }
        {
            let mut remaining = lock(&self.remaining);
            *remaining = remaining.saturating_sub(1);
        }
        if timeout(COUNT_TIMEOUT, (self.count)(turn.shard)).await.is_err() {
            tracing::warn!(shard = turn.shard, "counting a gateway session took too long");
        }
        *turn.lane = Some(Instant::now());
        Ok(())
    }
}
