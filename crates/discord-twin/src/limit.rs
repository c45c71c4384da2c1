//! Rate limits of the REST side: a bucket per endpoint and top-level resource, the global
//! limit per second, and the block after too many invalid requests.

use std::collections::HashMap;

use crate::route::Route;

/// What a bucket says in its headers.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_ms: u64,
    pub(crate) reset_after_ms: u64,
    pub(crate) bucket: String,
}

/// The outcome of asking for a slot.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// Go ahead; headers when the endpoint is limited.
    Free(Option<Quota>),
    /// Wait; `quota` is `None` when the global limit was hit.
    Full { retry_after_ms: u64, quota: Option<Quota> },
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    started_ms: u64,
    used: u32,
}

/// Counters of one bot.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    buckets: HashMap<String, Window>,
    global: Window,
    invalid: Window,
}

/// Window of the invalid-request block.
const INVALID_WINDOW_MS: u64 = 600_000;
/// Buckets kept; stale ones are dropped above this, so tokens of old interactions do not pile up.
const BUCKETS_KEPT: usize = 4096;

impl Limiter {
    /// Takes a slot for one request.
    pub(crate) fn take(&mut self, route: &Route, now_ms: u64, global_per_second: u32) -> Slot {
        if route.endpoint.global && global_per_second > 0 {
            if now_ms >= self.global.started_ms + 1000 {
                self.global = Window { started_ms: now_ms, used: 0 };
            }
            if self.global.used >= global_per_second {
                let retry_after_ms = self.global.started_ms + 1000 - now_ms;
                return Slot::Full { retry_after_ms, quota: None };
            }
            self.global.used += 1;
        }
        let (limit, span) = route.endpoint.limit;
        if limit == 0 {
            return Slot::Free(None);
        }
        if self.buckets.len() > BUCKETS_KEPT {
            self.buckets.retain(|_, window| now_ms < window.started_ms + 60_000);
        }
        let key = format!("{} {}", route.name(), route.major());
        let window = self.buckets.entry(key).or_default();
        if now_ms >= window.started_ms + span {
            *window = Window { started_ms: now_ms, used: 0 };
        }
        let full = window.used >= limit;
        window.used += u32::from(!full);
        let reset_ms = window.started_ms + span;
        let quota = Quota {
            limit,
            remaining: limit - window.used,
            reset_ms,
            reset_after_ms: reset_ms - now_ms,
            bucket: bucket_hash(&route.name()),
        };
        if full {
            Slot::Full { retry_after_ms: quota.reset_after_ms, quota: Some(quota) }
        } else {
            Slot::Free(Some(quota))
        }
    }

    /// Counts a 401, 403 or 429 (a `shared` 429 does not count).
    pub(crate) fn invalid(&mut self, now_ms: u64) {
        if now_ms >= self.invalid.started_ms + INVALID_WINDOW_MS {
            self.invalid = Window { started_ms: now_ms, used: 0 };
        }
        self.invalid.used += 1;
    }

    /// Seconds the address stays blocked, if it is.
    pub(crate) fn banned(&self, now_ms: u64, limit: u32) -> Option<u64> {
        let until = self.invalid.started_ms + INVALID_WINDOW_MS;
        (self.invalid.used >= limit && now_ms < until).then(|| (until - now_ms).div_ceil(1000))
    }

    /// Invalid requests in the current window.
    pub(crate) fn invalid_count(&self, now_ms: u64) -> u32 {
        if now_ms < self.invalid.started_ms + INVALID_WINDOW_MS { self.invalid.used } else { 0 }
    }
}

/// A stable name for a bucket that gives nothing away, as Discord's hashes do (FNV-1a, twice).
fn bucket_hash(name: &str) -> String {
    let fnv = |seed: u64| {
        name.bytes()
            .fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    format!("{:016x}{:016x}", fnv(0xcbf2_9ce4_8422_2325), fnv(0x9ae1_6a3b_2f90_404f))
}

/// The bucket name of an endpoint.
pub(crate) fn bucket_of(route: &Route) -> String {
    bucket_hash(&route.name())
}
