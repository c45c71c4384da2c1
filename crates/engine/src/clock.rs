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
    /// How far it was moved forward.
    moved: watch::Sender<Duration>,
    /// Whether it follows the system's wall clock when that runs ahead.
    follows: bool,
}

/// How far the wall clock may be ahead before it is followed. Smaller steps are what NTP does all day.
const AHEAD_MAX_MS: i64 = 30_000;

fn wall_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

impl Clock {
    /// The system's clock: it never goes back, and follows the wall clock forward when the machine slept or its
    /// time was set.
    pub fn system() -> Self {
        Self::new(1.0, true)
    }

    /// A clock that runs `speed` times as fast as the system's and can be moved forward.
    pub fn adjustable(speed: f64) -> Self {
        Self::new(speed, false)
    }

    fn new(speed: f64, follows: bool) -> Self {
        let (moved, _) = watch::channel(Duration::ZERO);
        let (start_ms, start) = (wall_ms(), Instant::now());
        Self { shared: Arc::new(Shared { start_ms, start, speed, moved, follows }) }
    }

    fn passed(&self) -> Duration {
        self.shared.start.elapsed().mul_f64(self.shared.speed) + *self.shared.moved.borrow()
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        let own =
            self.shared.start_ms + i64::try_from(self.passed().as_millis()).unwrap_or(i64::MAX);
        let ahead = if self.shared.follows { wall_ms() - own } else { 0 };
        if ahead <= AHEAD_MAX_MS {
            return own;
        }
        tracing::warn!(ahead_ms = ahead, "the system's time jumped ahead; following it");
        self.advance(Duration::from_millis(ahead.unsigned_abs()));
        own + ahead
    }

    /// How far this clock is ahead of the wall clock: the system's time was set back. Zero where it does not follow it.
    pub fn ahead_of_wall(&self) -> Duration {
        if !self.shared.follows {
            return Duration::ZERO;
        }
        let ahead = self.now_ms() - wall_ms();
        Duration::from_millis(u64::try_from(ahead).unwrap_or(0))
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
