//! Sharing of reads that many people ask within a second: one request upstream, one decoded answer for all.
//!
//! A write starts a new generation, so nobody reads from before their own write. The breaker stands inside the
//! loader: a failing load is not cached, and without it every wave of waiters would hit the server again.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;

use crate::error::Error;

/// Whether a shared answer, at most [`crate::Tuning::cache_ttl`] old, will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// It will. For everything that people look at.
    #[default]
    Shared,
    /// It will not: asks the server now. For every look before a step that destroys something.
    Fresh,
}

type Shared = Arc<dyn Any + Send + Sync>;

/// Different answers kept at once; each lives for a second.
const ENTRIES_MAX: u64 = 1_000;

pub(crate) struct Reads {
    cache: Option<Cache<(u64, String), Shared>>,
    generation: AtomicU64,
}

impl Reads {
    pub(crate) fn new(ttl: Duration) -> Self {
        let cache = (!ttl.is_zero())
            .then(|| Cache::builder().max_capacity(ENTRIES_MAX).time_to_live(ttl).build());
        Self { cache, generation: AtomicU64::new(0) }
    }

    /// What was read before is not given to anybody any more.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Gives the shared answer or loads it; everybody who asks meanwhile waits for the same load.
    pub(crate) async fn get<T, F>(
        &self,
        key: String,
        freshness: Freshness,
        load: F,
    ) -> Result<Arc<T>, Error>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Error>>,
    {
        let Some(cache) = &self.cache else {
            return load.await.map(Arc::new);
        };
        let key = (self.generation.load(Ordering::Acquire), key);
        let shared: Shared = match freshness {
            Freshness::Fresh => {
                let value = Arc::new(load.await?);
                cache.insert(key, Arc::clone(&value) as Shared).await;
                return Ok(value);
            }
            Freshness::Shared => cache
                .try_get_with(key, async { load.await.map(|v| Arc::new(v) as Shared) })
                .await
                .map_err(|e: Arc<Error>| (*e).clone())?,
        };
        shared.downcast().map_err(|_| Error::Decode {
            what: "a shared read".to_owned(),
            why: "two calls of different types share one path".to_owned(),
            write: false,
        })
    }
}
