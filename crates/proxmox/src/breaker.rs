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
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        if !self.reported && self.probe {
            self.owner.cancel(&self.key, self.generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings() -> Settings {
        Settings {
            window: Duration::from_secs(30),
            min_calls: 3,
            failure_ratio: 0.5,
            cool_down: Duration::from_secs(2),
            cool_down_max: Duration::from_secs(16),
        }
    }

    fn opened(start: Instant) -> Arc<Breakers<u8>> {
        let breakers = Breakers::new(settings());
        for _ in 0..3 {
            breakers.acquire(&1, start).unwrap().failure(start);
        }
        breakers
    }

    #[test]
    fn a_hundred_callers_of_a_half_open_breaker_make_one_probe() {
        let start = Instant::now();
        let breakers = opened(start);
        assert!(breakers.acquire(&1, start).is_err());
        let due = start + Duration::from_secs(2);
        let passed: Vec<_> = (0..100).filter_map(|_| breakers.acquire(&1, due).ok()).collect();
        assert_eq!(passed.len(), 1);
        drop(passed);
        assert!(breakers.acquire(&1, due).is_ok(), "a cancelled probe frees its place");
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_its_limit() {
        let mut now = Instant::now();
        let breakers = opened(now);
        for seconds in [2, 4, 8, 16, 16] {
            let rejected = breakers.acquire(&1, now).map(drop).unwrap_err();
            assert_eq!(rejected.retry_in, Duration::from_secs(seconds));
            now += rejected.retry_in;
            breakers.acquire(&1, now).unwrap().failure(now);
        }
    }

    #[test]
    fn a_late_result_from_before_it_opened_changes_nothing() {
        let start = Instant::now();
        let breakers = Breakers::new(settings());
        // The cell exists, so that the late permit carries its generation.
        breakers.acquire(&1, start).unwrap().failure(start);
        let late = breakers.acquire(&1, start).unwrap();
        for _ in 0..2 {
            breakers.acquire(&1, start).unwrap().failure(start);
        }
        late.success(start);
        assert!(matches!(breakers.position(&1, start), Position::Open { .. }));
    }

    #[test]
    fn keys_do_not_touch_each_other() {
        let start = Instant::now();
        let breakers = opened(start);
        assert!(breakers.acquire(&2, start).is_ok());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Call,
        Succeed(usize),
        Fail(usize),
        Cancel(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Call),
            2 => (0..8_usize).prop_map(Step::Succeed),
            3 => (0..8_usize).prop_map(Step::Fail),
            1 => (0..8_usize).prop_map(Step::Cancel),
            2 => (0..9_000_u64).prop_map(Step::Wait),
        ]
    }

    /// The whole behaviour again, as plainly as it can be said.
    #[derive(Default)]
    struct Model {
        samples: Vec<(u64, bool)>,
        era: u64,
        open_until: Option<u64>,
        half_open: bool,
        probing: bool,
        cool_down: u64,
        known: bool,
    }

    impl Model {
        fn call(&mut self, now: u64) -> Option<(u64, bool)> {
            if let Some(until) = self.open_until {
                if now < until {
                    return None;
                }
                self.open_until = None;
                self.half_open = true;
                self.probing = false;
                self.era += 1;
            }
            if self.half_open {
                if self.probing {
                    return None;
                }
                self.probing = true;
                return Some((self.era, true));
            }
            Some((self.era, false))
        }

        fn open(&mut self, now: u64) {
            self.open_until = Some(now + self.cool_down);
            self.half_open = false;
            self.era += 1;
            self.samples.clear();
        }

        fn result(&mut self, era: u64, probe: bool, ok: bool, now: u64) {
            if !self.known && ok {
                return;
            }
            self.known = true;
            if era != self.era {
                return;
            }
            if probe && ok {
                self.half_open = false;
                self.era += 1;
                self.samples.clear();
                self.cool_down = 2_000;
            } else if probe {
                self.cool_down = (self.cool_down * 2).min(16_000);
                self.open(now);
            } else {
                self.samples.push((now, ok));
                self.samples.retain(|(at, _)| now - at <= 30_000);
                let excess = self.samples.len().saturating_sub(SAMPLES_MAX);
                self.samples.drain(..excess);
                let failed = self.samples.iter().filter(|(_, ok)| !ok).count();
                if !ok && self.samples.len() >= 3 && failed * 2 >= self.samples.len() {
                    self.open(now);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..200)) {
            let start = Instant::now();
            let breakers = Breakers::new(settings());
            let mut model = Model { cool_down: 2_000, ..Model::default() };
            let mut now = 0;
            let mut permits: Vec<(Permit<u8>, u64, bool)> = Vec::new();
            for step in steps {
                let at = start + Duration::from_millis(now);
                match step {
                    Step::Wait(ms) => now += ms,
                    Step::Call => match (breakers.acquire(&1, at), model.call(now)) {
                        (Ok(permit), Some((era, probe))) => {
                            prop_assert_eq!(permit.probe, probe);
                            permits.push((permit, era, probe));
                        }
                        (Err(rejected), None) => prop_assert!(!rejected.retry_in.is_zero()),
                        (real, model) => prop_assert!(false, "{:?} but model {:?}", real, model),
                    },
                    Step::Succeed(n) | Step::Fail(n) if n < permits.len() => {
                        let ok = matches!(step, Step::Succeed(_));
                        let (permit, era, probe) = permits.remove(n);
                        if ok { permit.success(at) } else { permit.failure(at) }
                        model.result(era, probe, ok, now);
                    }
                    Step::Cancel(n) if n < permits.len() => {
                        let (permit, era, probe) = permits.remove(n);
                        drop(permit);
                        if probe && era == model.era && model.half_open {
                            model.probing = false;
                        }
                    }
                    _ => {}
                }
                let probes = permits.iter().filter(|(p, era, _)| p.probe && *era == model.era);
                prop_assert!(probes.count() <= 1);
            }
        }
    }
}
