//! Rate limits as Discord documents them: buckets named by `X-RateLimit-Bucket` and kept per
//! top-level resource, learned from answers and never hard-coded; the global limit; the holds that
//! 429s impose. Waiting is first come, first served, bounded in number and in time.
//! Time is monotonic throughout; `X-RateLimit-Reset` (wall clock) is not used.

use std::collections::HashMap;
use std::hash::RandomState;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::{Quota, RateLimiter};
use http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::lock;
use super::route::{Kind, Route};

/// Added to each reset: Discord rounds to milliseconds, and a moment late beats a 429.
const MARGIN: Duration = Duration::from_millis(15);
/// A bucket nobody used for this long after its reset is forgotten; Discord's own windows are
/// seconds long.
const IDLE: Duration = Duration::from_secs(30);
/// How often idle buckets are looked for.
const SWEEP: Duration = Duration::from_secs(10);
/// Route names remembered. There are about 240 in the whole API; more means somebody makes them up.
const MAX_ROUTES: usize = 1024;
/// Two resets closer than this are the same window seen through network jitter.
const SAME_WINDOW: Duration = Duration::from_millis(250);

type MonotonicLimiter = RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    MonotonicClock,
    governor::middleware::NoOpMiddleware<std::time::Instant>,
>;

/// Why a request may not be sent in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Refusal {
    /// The queue of its bucket is full.
    QueueFull,
    /// The limit lifts only after the request's deadline.
    TooLate { retry_after: Duration, global: bool },
}

/// What an answer's headers say about its bucket.
#[derive(Debug, Default, Clone)]
pub(super) struct RateHeaders {
    bucket: Option<Box<str>>,
    limit: Option<u32>,
    remaining: Option<u32>,
    reset_after: Option<Duration>,
}

impl RateHeaders {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            bucket: text("x-ratelimit-bucket").filter(|b| b.len() <= 128).map(Into::into),
            limit: text("x-ratelimit-limit").and_then(|v| v.trim().parse().ok()),
            remaining: text("x-ratelimit-remaining").and_then(|v| v.trim().parse().ok()),
            reset_after: text("x-ratelimit-reset-after").and_then(seconds),
        }
    }
}

/// A duration written as decimal seconds; anything absurd is `None`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let value: f64 = text.trim().parse().ok()?;
    (value.is_finite() && (0.0..=86_400.0).contains(&value)).then(|| Duration::from_secs_f64(value))
}

#[derive(Debug)]
struct State {
    known: bool,
    limit: Option<u32>,
    remaining: u32,
    reset_at: Option<Instant>,
    hold_until: Option<Instant>,
    in_flight: u32,
    /// The answer named another bucket: whoever waits here must look again.
    moved: bool,
    used: Instant,
}

enum Take {
    Taken,
    Moved,
    Until(Instant),
    Change,
}

/// One bucket for one resource.
#[derive(Debug)]
struct Bucket {
    /// Whether Discord named it; otherwise it stands for one route until the first answer.
    named: bool,
    state: Mutex<State>,
    line: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    changed: Notify,
}

impl Bucket {
    fn new(now: Instant, named: bool) -> Self {
        Self {
            named,
            state: Mutex::new(State {
                known: false,
                limit: None,
                remaining: 0,
                reset_at: None,
                hold_until: None,
                in_flight: 0,
                moved: false,
                used: now,
            }),
            line: tokio::sync::Mutex::new(()),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    fn take(&self, now: Instant) -> Take {
        let mut s = lock(&self.state);
        s.used = now;
        if s.moved {
            return Take::Moved;
        }
        if let Some(until) = s.hold_until {
            if now < until {
                return Take::Until(until);
            }
            s.hold_until = None;
        }
        if !s.known {
            if s.in_flight > 0 {
                return Take::Change;
            }
        } else if let Some(limit) = s.limit {
            if s.reset_at.is_some_and(|at| now >= at) {
                // Requests still on the way will be counted in the new window.
                s.remaining = limit.saturating_sub(s.in_flight);
                s.reset_at = None;
            }
            if s.remaining == 0 {
                match s.reset_at {
                    Some(at) => return Take::Until(at),
                    None if s.in_flight > 0 => return Take::Change,
                    None => s.remaining = limit.max(1),
                }
            }
            s.remaining -= 1;
        }
        s.in_flight += 1;
        Take::Taken
    }

    fn learn(&self, seen: &RateHeaders, now: Instant, answered: bool) {
        let mut s = lock(&self.state);
        s.known |= answered;
        s.used = now;
        let (Some(limit), Some(left), Some(after)) = (seen.limit, seen.remaining, seen.reset_after)
        else {
            return;
        };
        s.known = true;
        s.limit = Some(limit);
        let reset_at = now + after + MARGIN;
        let new_window = s.reset_at.is_none_or(|at| reset_at > at + SAME_WINDOW);
        // What is on the way may not have been counted yet: never promise it twice.
        let left = left.saturating_sub(s.in_flight);
        s.remaining = if new_window { left } else { left.min(s.remaining) };
        s.reset_at = Some(s.reset_at.map_or(reset_at, |at| at.max(reset_at)));
    }

    fn hold(&self, until: Instant) {
        let mut s = lock(&self.state);
        s.remaining = 0;
        s.hold_until = Some(s.hold_until.map_or(until, |at| at.max(until)));
    }
}

/// Leave to send one request. Dropping it ends the request, answered or not.
#[derive(Debug)]
pub(super) struct Permit {
    bucket: Option<Arc<Bucket>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(bucket) = &self.bucket {
            let mut s = lock(&bucket.state);
            s.in_flight = s.in_flight.saturating_sub(1);
            drop(s);
            bucket.changed.notify_one();
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize, &'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Holds {
    bot: Option<Instant>,
    all: Option<Instant>,
}

#[derive(Default)]
struct Maps {
    routes: HashMap<String, Arc<str>>,
    buckets: HashMap<(Arc<str>, u64), Arc<Bucket>>,
    swept: Option<Instant>,
}

/// All limits of one bot.
pub(super) struct Limiter {
    maps: Mutex<Maps>,
    holds: Mutex<Holds>,
    global: MonotonicLimiter,
    queue: usize,
    waiting: AtomicUsize,
    pub(super) hasher: RandomState,
}

impl Limiter {
    /// `per_second` requests in any one second; at most `queue` requests wait for one bucket.
    pub(super) fn new(per_second: u32, queue: usize) -> Self {
        // A token bucket lets through burst + rate within its first second, so both share the limit.
        let burst = (per_second / 5).max(1);
        let rate = per_second.saturating_sub(burst).max(1);
        let quota = Quota::per_second(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        Self {
            maps: Mutex::default(),
            holds: Mutex::default(),
            global: RateLimiter::direct_with_clock(quota, MonotonicClock),
            queue,
            waiting: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }

    /// Waits until `route` may be sent, at most until `deadline`. A request that was `admitted` once
    /// is not turned away by a full queue when it has to wait again.
    pub(super) async fn acquire(
        &self,
        route: &Route,
        deadline: Instant,
        admitted: bool,
    ) -> Result<Permit, Refusal> {
        let permit = match route.kind {
            Kind::Callback => Permit { bucket: None },
            Kind::Webhook | Kind::Bot => self.acquire_bucket(route, deadline, admitted).await?,
        };
        self.pass_global(route.kind, deadline).await?;
        Ok(permit)
    }

    async fn acquire_bucket(
        &self,
        route: &Route,
        deadline: Instant,
        mut admitted: bool,
    ) -> Result<Permit, Refusal> {
        const LATER: Refusal =
            Refusal::TooLate { retry_after: Duration::from_secs(1), global: false };
        loop {
            let bucket = self.bucket(route);
            if bucket.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue && !admitted {
                bucket.waiting.fetch_sub(1, Ordering::Relaxed);
                return Err(Refusal::QueueFull);
            }
            admitted = true;
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let waiting = Waiting(&bucket.waiting, &self.waiting);
            let line = timeout_at(deadline, bucket.line.lock()).await.map_err(|_| LATER)?;
            let taken = loop {
                let now = Instant::now();
                match bucket.take(now) {
                    Take::Taken => break true,
                    Take::Moved => break false,
                    Take::Until(at) if at > deadline => {
                        return Err(Refusal::TooLate { retry_after: at - now, global: false });
                    }
                    Take::Until(at) => {
                        // An answer may bring the moment forward or move the bucket.
                        let _ = timeout_at(at, bucket.changed.notified()).await;
                    }
                    Take::Change => {
                        timeout_at(deadline, bucket.changed.notified()).await.map_err(|_| LATER)?;
                    }
                }
            };
            drop(line);
            drop(waiting);
            if taken {
                return Ok(Permit { bucket: Some(bucket) });
            }
        }
    }

    async fn pass_global(&self, kind: Kind, deadline: Instant) -> Result<(), Refusal> {
        loop {
            let now = Instant::now();
            let held = {
                let holds = lock(&self.holds);
                let bot = if kind == Kind::Bot { holds.bot } else { None };
                holds.all.max(bot).filter(|at| *at > now)
            };
            if let Some(at) = held {
                if at > deadline {
                    return Err(Refusal::TooLate { retry_after: at - now, global: true });
                }
                sleep_until(at).await;
                continue;
            }
            if kind != Kind::Bot {
                return Ok(());
            }
            match self.global.check() {
                Ok(()) => return Ok(()),
                Err(not_yet) => {
                    let wait = not_yet.wait_time_from(MonotonicClock.now());
                    let at = now + wait.max(Duration::from_millis(1));
                    if at > deadline {
                        return Err(Refusal::TooLate { retry_after: wait, global: true });
                    }
                    sleep_until(at).await;
                }
            }
        }
    }

    /// Takes what an answer says about its bucket into account and ends the request. `answered` is
    /// false for answers of something in between (5xx), whose silence about limits means nothing.
    pub(super) fn learn(&self, route: &Route, permit: Permit, seen: &RateHeaders, answered: bool) {
        self.settle(route, permit, seen, answered, None);
    }

    /// A 429 of scope `user` or `shared`: the bucket rests for `retry_after`.
    pub(super) fn hold(
        &self,
        route: &Route,
        permit: Permit,
        seen: &RateHeaders,
        retry_after: Duration,
    ) {
        self.settle(route, permit, seen, false, Some(retry_after));
    }

    /// A global 429: every call with the bot token rests.
    pub(super) fn hold_bot(&self, retry_after: Duration) {
        let until = Instant::now() + retry_after + MARGIN;
        let mut holds = lock(&self.holds);
        holds.bot = Some(holds.bot.map_or(until, |at| at.max(until)));
    }

    /// A 429 for this address as a whole: everything rests.
    pub(super) fn hold_all(&self, retry_after: Duration) {
        let until = Instant::now() + retry_after + MARGIN;
        let mut holds = lock(&self.holds);
        holds.all = Some(holds.all.map_or(until, |at| at.max(until)));
    }

    /// Buckets kept and requests waiting now.
    pub(super) fn counts(&self) -> (usize, usize) {
        (lock(&self.maps).buckets.len(), self.waiting.load(Ordering::Relaxed))
    }

    fn settle(
        &self,
        route: &Route,
        mut permit: Permit,
        seen: &RateHeaders,
        answered: bool,
        hold: Option<Duration>,
    ) {
        let Some(old) = permit.bucket.take() else { return };
        let now = Instant::now();
        let mut bucket = Arc::clone(&old);
        if let Some(name) = &seen.bucket {
            let mut maps = lock(&self.maps);
            let known = maps.routes.get(&route.template);
            if known.is_none_or(|known| **known != **name) {
                if maps.routes.len() >= MAX_ROUTES {
                    maps.routes.clear();
                }
                maps.routes.insert(route.template.clone(), Arc::from(&**name));
            }
            if !old.named {
                maps.buckets.remove(&(Arc::from(route.template.as_str()), route.major));
            }
            let name: Arc<str> =
                maps.routes.get(&route.template).map_or_else(|| Arc::from(&**name), Arc::clone);
            bucket = Arc::clone(
                maps.buckets
                    .entry((name, route.major))
                    .or_insert_with(|| Arc::new(Bucket::new(now, true))),
            );
        }
        {
            let mut s = lock(&old.state);
            s.in_flight = s.in_flight.saturating_sub(1);
            // A named bucket stays: other routes may share it.
            s.moved |= !old.named && !Arc::ptr_eq(&old, &bucket);
        }
        bucket.learn(seen, now, answered);
        if let Some(retry_after) = hold {
            bucket.hold(now + retry_after + MARGIN);
        }
        old.changed.notify_one();
        if !Arc::ptr_eq(&old, &bucket) {
            bucket.changed.notify_one();
        }
    }

    fn bucket(&self, route: &Route) -> Arc<Bucket> {
        let now = Instant::now();
        let mut maps = lock(&self.maps);
        if maps.swept.is_none_or(|at| now - at >= SWEEP) {
            maps.swept = Some(now);
            maps.buckets.retain(|_, bucket| {
                Arc::strong_count(bucket) > 1 || {
                    let s = lock(&bucket.state);
                    let end = s.reset_at.max(s.hold_until).unwrap_or(s.used).max(s.used);
                    end + IDLE > now
                }
            });
        }
        let known = maps.routes.get(&route.template).map(Arc::clone);
        let named = known.is_some();
        let name = known.unwrap_or_else(|| Arc::from(route.template.as_str()));
        let bucket = maps
            .buckets
            .entry((name, route.major))
            .or_insert_with(|| Arc::new(Bucket::new(now, named)));
        Arc::clone(bucket)
    }
}
