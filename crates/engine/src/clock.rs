//! Time, in its one room. Everything in the engine asks this clock, so that a test can move it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A clock that follows the system, or one that a test moves forward. Cheap to clone; clones share time.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start_ms: i64,
    start: Instant,
    /// How many clock seconds pass in one real second.
    speed: f64,
    /// How far `advance` has moved it.
    moved: watch::Sender<Duration>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::adjustable(1.0)
    }

    /// A clock that runs `speed` times as fast as the system's and can be moved forward.
    pub fn adjustable(speed: f64) -> Self {
        let start_ms = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let (moved, _) = watch::channel(Duration::ZERO);
        Self { shared: Arc::new(Shared { start_ms, start: Instant::now(), speed, moved }) }
    }

    fn passed(&self) -> Duration {
        self.shared.start.elapsed().mul_f64(self.shared.speed) + *self.shared.moved.borrow()
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.shared.start_ms + i64::try_from(self.passed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Waits until `pause` has passed on this clock.
    pub async fn sleep(&self, pause: Duration) {
        let mut moved = self.shared.moved.subscribe();
        let until = self.passed() + pause;
        loop {
            let left = until.saturating_sub(self.passed());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.div_f64(self.shared.speed)) => {}
                _ = moved.changed() => {}
            }
        }
    }

    /// Moves the clock forward and wakes every sleeper whose time has come.
    pub fn advance(&self, by: Duration) {
        self.shared.moved.send_modify(|moved| *moved += by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn moving_the_clock_wakes_sleepers() {
        let clock = Clock::system();
        let before = clock.now_ms();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3601));
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
        assert!(clock.now_ms() - before >= 3_601_000);
    }
}
