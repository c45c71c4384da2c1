//! Circuit breakers, one per key: whoever did not answer lately is not asked for a while.
//!
//! Invariants: while open nobody passes; half-open lets exactly one probe pass; a permit dropped without a
//! report counts as nothing and frees the probe; a report from before the last change of position is ignored.
//! The time is an argument, so that the model test needs no clock.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How far back results count.
    pub window: Duration,
    /// Fewer results than this never open it.
    pub min_calls: usize,
    /// Part of the results that must be failures, 0 to 1.
    pub failure_ratio: f64,
    /// How long it stays open the first time; doubles with every failed probe.
    pub cool_down: Duration,
    /// Longest time between two probes.
    pub cool_down_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            min_calls: 3,
            failure_ratio: 0.5,
            cool_down: Duration::from_secs(2),
            cool_down_max: Duration::from_secs(30),
        }
    }
}

/// Results kept per key; more say nothing more.
const SAMPLES_MAX: usize = 64;
/// Keys kept; more are names that do not exist.
const KEYS_MAX: usize = 1_024;
/// What a second caller is told while a probe is under way.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Everybody passes.
    Closed,
    /// Nobody passes yet.
    Open {
        /// Time until a probe may pass; zero when it is due.
        retry_in: Duration,
    },
    /// One probe is under way, or may start.
    HalfOpen,
}

/// The breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// When it is worth asking again.
    pub retry_in: Duration,
}

#[derive(Debug)]
enum Stand {
    Closed,
    Open { until: Instant },
    HalfOpen { probing: bool },
}

#[derive(Debug)]
struct Cell {
    stand: Stand,
    samples: VecDeque<(Instant, bool)>,
    /// Changes with every change of position.
    generation: u64,
    cool_down: Duration,
}

/// A map of breakers with the same settings.
#[derive(Debug)]
pub struct Breakers<K> {
    settings: Settings,
    cells: Mutex<HashMap<K, Cell>>,
}

/// Permission for one call. Report how it went, or drop it when nothing was learnt.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once counts as cancelled"]
pub struct Permit<K: Eq + Hash + Clone> {
    owner: Arc<Breakers<K>>,
    key: K,
    generation: u64,
    probe: bool,
    reported: bool,
}

impl<K: Eq + Hash + Clone> Breakers<K> {
    /// Breakers that are all closed.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, cells: Mutex::new(HashMap::new()) })
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<K, Cell>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Cell {
        Cell {
            stand: Stand::Closed,
            samples: VecDeque::new(),
            generation: 0,
            cool_down: self.settings.cool_down,
        }
    }

    /// Asks whether a call may be made now.
    ///
    /// # Errors
    /// [`Rejected`] while the breaker is open or its probe is under way.
    pub fn acquire(self: &Arc<Self>, key: &K, now: Instant) -> Result<Permit<K>, Rejected> {
        let mut cells = self.cells();
        let (generation, probe) = match cells.get_mut(key) {
            None => (0, false),
            Some(cell) => match cell.stand {
                Stand::Closed => (cell.generation, false),
                Stand::Open { until } if now < until => {
                    return Err(Rejected { retry_in: until - now });
                }
                Stand::HalfOpen { probing: true } => {
                    return Err(Rejected { retry_in: PROBE_PAUSE });
                }
                Stand::Open { .. } => {
                    cell.generation += 1;
                    cell.stand = Stand::HalfOpen { probing: true };
                    (cell.generation, true)
                }
                Stand::HalfOpen { probing: false } => {
                    cell.stand = Stand::HalfOpen { probing: true };
                    (cell.generation, true)
                }
            },
        };
        let (owner, key) = (Arc::clone(self), key.clone());
        Ok(Permit { owner, key, generation, probe, reported: false })
    }

    /// Where the breaker of a key stands.
    pub fn position(&self, key: &K, now: Instant) -> Position {
        match self.cells().get(key).map(|cell| &cell.stand) {
            None | Some(Stand::Closed) => Position::Closed,
            Some(Stand::Open { until }) => {
                Position::Open { retry_in: until.saturating_duration_since(now) }
            }
            Some(Stand::HalfOpen { .. }) => Position::HalfOpen,
        }
    }

    /// Every key whose breaker is not closed.
    pub fn not_closed(&self) -> Vec<K> {
        let cells = self.cells();
        let open = cells.iter().filter(|(_, cell)| !matches!(cell.stand, Stand::Closed));
        open.map(|(key, _)| key.clone()).collect()
    }

    fn report(&self, key: &K, generation: u64, probe: bool, ok: bool, now: Instant) {
        let mut cells = self.cells();
        if !cells.contains_key(key) {
            if ok {
                return; // Only failures are worth a place in the map.
            }
            if cells.len() >= KEYS_MAX {
                cells.retain(|_, cell| !matches!(cell.stand, Stand::Closed));
            }
            if cells.len() >= KEYS_MAX {
                return;
            }
        }
        let cell = cells.entry(key.clone()).or_insert_with(|| self.fresh());
        if cell.generation != generation {
            return;
        }
        match (&cell.stand, ok) {
            (Stand::Closed, _) => {
                cell.samples.push_back((now, ok));
                let window = self.settings.window;
                while cell.samples.len() > SAMPLES_MAX
                    || cell
                        .samples
                        .front()
                        .is_some_and(|(at, _)| now.saturating_duration_since(*at) > window)
                {
                    cell.samples.pop_front();
                }
                let failures = cell.samples.iter().filter(|(_, ok)| !ok).count();
                if !ok && self.is_too_much(failures, cell.samples.len()) {
                    cell.open(now);
                }
            }
            (Stand::HalfOpen { .. }, true) if probe => {
                cell.stand = Stand::Closed;
                cell.generation += 1;
                cell.samples.clear();
                cell.cool_down = self.settings.cool_down;
            }
            (Stand::HalfOpen { .. }, false) if probe => {
                cell.cool_down = (cell.cool_down * 2).min(self.settings.cool_down_max);
                cell.open(now);
            }
            _ => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "at most SAMPLES_MAX")]
    fn is_too_much(&self, failures: usize, calls: usize) -> bool {
        calls >= self.settings.min_calls.max(1)
            && failures as f64 >= self.settings.failure_ratio * calls as f64
    }

    fn cancel(&self, key: &K, generation: u64) {
        if let Some(cell) = self.cells().get_mut(key)
            && cell.generation == generation
            && matches!(cell.stand, Stand::HalfOpen { .. })
        {
            cell.stand = Stand::HalfOpen { probing: false };
        }
    }
}

impl Cell {
    fn open(&mut self, now: Instant) {
        self.stand = Stand::Open { until: now + self.cool_down };
        self.generation += 1;
        self.samples.clear();
    }
}

impl<K: Eq + Hash + Clone> Permit<K> {
    /// The subject answered.
    pub fn success(mut self, now: Instant) {
        self.reported = true;
        self.owner.report(&self.key, self.generation, self.probe, true, now);
    }

    /// The subject did not answer.
    pub fn failure(mut self, now: Instant) {
        self.reported = true;
        self.owner.report(&self.key, self.generation, self.probe, false, now);
    }

    /// Whether this is the one call that decides about a half-open breaker.
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        if !self.reported && self.probe {
            self.owner.cancel(&self.key, self.generation);
        }
    }
}
