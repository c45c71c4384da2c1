//! Waiting for one's turn: a rate limit for the cluster, a number of requests in flight per endpoint, and a
//! number of requests in flight about one node.
//!
//! Invariants: nobody waits longer than the deadline; no more than `queue_length` wait; reads never take the
//! last slot of an endpoint nor the writes' tokens, so a crowd of readers cannot starve a write; calls about
//! one silent node never take all slots of the endpoints that pass them on.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_core::id::NodeName;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::Tuning;
use crate::error::Error;

/// Nodes with slots of their own; unused ones are forgotten beyond this.
const NODES_MAX: usize = 256;

/// The limits of one cluster.
pub(crate) struct Limits {
    reads: DefaultDirectRateLimiter,
    writes: DefaultDirectRateLimiter,
    clock: DefaultClock,
    endpoints: Vec<Slots>,
    /// Per node, reads and writes apart.
    nodes: Mutex<HashMap<(NodeName, bool), Arc<Semaphore>>>,
    per_node: usize,
    waiting: AtomicUsize,
    queue_length: usize,
    queue_timeout: Duration,
}

struct Slots {
    all: Semaphore,
    readers: Semaphore,
}

/// A place among the requests in flight; given back when dropped.
pub(crate) struct Turn<'a> {
    _node: Option<OwnedSemaphorePermit>,
    _all: SemaphorePermit<'a>,
    _reader: Option<SemaphorePermit<'a>>,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limits {
    pub(crate) fn new(tuning: &Tuning, endpoints: usize) -> Self {
        let positive = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = |per_second: u32, burst: u32| {
            RateLimiter::direct(
                Quota::per_second(positive(per_second)).allow_burst(positive(burst)),
            )
        };
        let slots = |_| Slots {
            all: Semaphore::new(tuning.in_flight.max(1)),
            readers: Semaphore::new(tuning.in_flight.saturating_sub(1).max(1)),
        };
        Self {
            reads: quota(tuning.per_second, tuning.burst),
            writes: quota(tuning.per_second / 2, tuning.burst / 2),
            clock: DefaultClock::default(),
            endpoints: (0..endpoints).map(slots).collect(),
            nodes: Mutex::new(HashMap::new()),
            per_node: (tuning.in_flight / 2).max(1),
            waiting: AtomicUsize::new(0),
            queue_length: tuning.queue_length,
            queue_timeout: tuning.queue_timeout,
        }
    }

    /// How many calls wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many requests are under way to an endpoint.
    pub(crate) fn in_flight(&self, endpoint: usize, of: usize) -> usize {
        self.endpoints.get(endpoint).map_or(0, |s| of.saturating_sub(s.all.available_permits()))
    }

    fn node_slots(&self, node: &NodeName, write: bool) -> Arc<Semaphore> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= NODES_MAX {
            nodes.retain(|_, slots| Arc::strong_count(slots) > 1);
        }
        let new = || Arc::new(Semaphore::new(self.per_node));
        Arc::clone(nodes.entry((node.clone(), write)).or_insert_with(new))
    }

    /// Waits for a token and a slot.
    pub(crate) async fn turn(
        &self,
        endpoint: usize,
        node: Option<&NodeName>,
        write: bool,
    ) -> Result<Turn<'_>, Error> {
        let full = Error::RateLimited { retry_in: Duration::from_secs(1) };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue_length && !write {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(full);
        }
        let _waiting = Waiting(&self.waiting);
        let deadline = Instant::now() + self.queue_timeout;
        let slots = self.endpoints.get(endpoint).ok_or_else(|| full.clone())?;
        let in_time = async {
            let node = match node {
                Some(node) => self.node_slots(node, write).acquire_owned().await.ok(),
                None => None,
            };
            let reader = if write { None } else { slots.readers.acquire().await.ok() };
            (node, reader, slots.all.acquire().await.ok())
        };
        let Ok((node, reader, Some(all))) = timeout_at(deadline, in_time).await else {
            return Err(full);
        };
        let bucket = if write { &self.writes } else { &self.reads };
        while let Err(not_until) = bucket.check() {
            let wait = not_until.wait_time_from(self.clock.now());
            let at = Instant::now() + wait;
            if at > deadline {
                return Err(Error::RateLimited { retry_in: wait });
            }
            sleep_until(at).await;
        }
        Ok(Turn { _node: node, _all: all, _reader: reader })
    }
}
