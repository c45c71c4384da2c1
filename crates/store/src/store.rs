//! Opens and closes the database, and gives every call its deadline and its words. The methods stand with
//! the tables they are about: plans, operations, cards, audit, pods, screens, settings.

use std::fmt::Display;
use std::fs::{File, OpenOptions, TryLockError};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::address::{self, Address, Place};
use crate::dialect::{Kind, Trouble};
use crate::error::StoreError;
use crate::pool::{DEADLINE, Fail, Lock, POSTGRES_CONNECTIONS, Pool, args, words};
use crate::sql;

/// Longest wait for connections to end; a silent server must not keep gantry from stopping.
const CLOSE: Duration = Duration::from_secs(3);
/// Most rows one page may have; bounds memory, whatever is asked.
const PAGE_MAX: u32 = 1000;
/// No lease is this long: one that seems to be was written before the clock was set back, and counts as lapsed.
pub(crate) const LEASE_LONGEST_MS: i64 = 60 * 60 * 1000;

/// A lease that seems so many times as long as it was taken for was written by a clock that ran ahead; nobody waits for
/// that clock's time.
const LEASE_TIMES: i64 = 10;

/// The moment after which no lease of `lease_ms` can end that was taken by now.
pub(crate) fn absurd(now_ms: i64, lease_ms: i64) -> i64 {
    now_ms.saturating_add(lease_ms.saturating_mul(LEASE_TIMES).min(LEASE_LONGEST_MS))
}

/// The database. Cheap to clone; all clones share the same connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: Pool,
    place: Arc<Place>,
    lock: Option<Lock>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.place.name).finish()
    }
}

/// Part of a list, newest first unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows asked for.
    pub rows: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

impl Store {
    /// Opens `sqlite:PATH` (made with mode 0600 where it is not there yet), `sqlite::memory:` or
    /// `postgres://…`. Does not change tables: see [`Store::migrate`]. Refuses a SQLite file that another
    /// process has open, a damaged one, and a database made by a newer gantry.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, POSTGRES_CONNECTIONS).await
    }

    /// The same with so many connections at most, at least one. SQLite takes as many as it needs.
    pub async fn open_with(url: &str, connections: u32) -> Result<Self, StoreError> {
        let (mut address, place) = address::parse(url)?;
        let lock = match &mut address {
            Address::File(path) => {
                let (real, lock) = take_file(path, &place)?;
                *path = real;
                Some(lock)
            }
            Address::Memory | Address::Server(_) => None,
        };
        let what = "open the database";
        let pool = match tokio::time::timeout(DEADLINE, Pool::open(&address, connections)).await {
            Ok(Ok(pool)) => pool,
            Ok(Err(error)) => {
                let kind = match address {
                    Address::Server(_) => Kind::Postgres,
                    Address::File(_) | Address::Memory => Kind::Sqlite,
                };
                let mut trouble = crate::dialect::trouble(kind, &error);
                if kind == Kind::Postgres && trouble == Trouble::Busy {
                    trouble = Trouble::Lost;
                }
                return Err(words(trouble, &place, what, &error.to_string()));
            }
            Err(_) => return Err(late(what, &place)),
        };
        let store = Self { pool, place: Arc::new(place), lock };
        let checked = async {
            if let Address::File(path) = &address {
                store.check_file(path).await?;
            }
            store.refuse_strangers().await
        };
        match checked.await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Which database it is.
    pub fn kind(&self) -> Kind {
        self.pool.kind()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.call("reach the database", async {
            self.pool.rows(sql::PING, args![]).await?;
            Ok(())
        })
        .await
    }

    /// Ends all connections, and lets another process have the file. Calls after it fail.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE, self.pool.close()).await.is_err() {
            tracing::warn!(
                database = self.place(),
                "the database's connections did not end in time"
            );
        }
        if let Some(lock) = &self.lock
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(%error, "could not unlock the database file; it unlocks when gantry ends");
        }
    }

    /// Runs one call within its deadline and puts its failure into words: `could not {what}: …`.
    pub(crate) async fn call<T>(
        &self,
        what: impl Display + Send,
        work: impl Future<Output = Result<T, Fail>> + Send,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(fail)) => Err(self.pool.tell(&self.place, &what.to_string(), fail)),
            Err(_) => Err(late(&what.to_string(), &self.place)),
        }
    }

    /// Puts a failure outside of `call` into words.
    pub(crate) fn tell(&self, what: &str, fail: Fail) -> StoreError {
        self.pool.tell(&self.place, what, fail)
    }

    pub(crate) fn place(&self) -> &str {
        &self.place.name
    }

    /// Looks for damage before anything is built on the file.
    async fn check_file(&self, path: &Path) -> Result<(), StoreError> {
        /// Files up to this size are checked in well under a second at each start; larger ones would delay it.
        const CHECKED_UP_TO: u64 = 64 * 1024 * 1024;
        if std::fs::metadata(path).map_or(0, |m| m.len()) > CHECKED_UP_TO {
            return Ok(());
        }
        self.call("check the database", async {
            let found = self.pool.row(sql::QUICK_CHECK, args![]).await?;
            match found.map(|row| row.text("quick_check")).transpose()? {
                Some(answer) if answer != "ok" => Err(Fail::Row(answer)),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// A page's length as it is bound.
pub(crate) fn page_limit(limit: u32) -> i64 {
    limit.min(PAGE_MAX).into()
}

/// A page's start as it is bound.
pub(crate) fn page_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn late(what: &str, place: &Place) -> StoreError {
    StoreError::Late {
        what: what.to_owned(),
        place: place.name.clone(),
        waited_s: DEADLINE.as_secs(),
    }
}

/// Makes the file where it is not there, readable by its owner only, and locks `PATH.lock` for this process.
/// SQLite itself would let a second process in; two gantries on one file would share leases and cards.
fn take_file(path: &Path, place: &Place) -> Result<(PathBuf, Lock), StoreError> {
    let failed = |what: &str, error: &std::io::Error| {
        let trouble = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Trouble::Full,
            _ => Trouble::Denied,
        };
        words(trouble, place, what, &error.to_string())
    };
    let make = |path: &Path| -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    };
    make(path).map_err(|e| failed("make or open the database file", &e))?;
    // One file has one lock, whichever way it is written.
    let real = path.canonicalize().map_err(|e| failed("find the database file", &e))?;
    let mut beside = real.clone().into_os_string();
    beside.push(".lock");
    let lock = make(Path::new(&beside)).map_err(|e| failed("make the database's lock file", &e))?;
    match lock.try_lock() {
        Ok(()) => Ok((real, Arc::new(lock))),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::InUse { path: real.display().to_string() })
        }
        Err(TryLockError::Error(e)) => Err(failed("lock the database file", &e)),
    }
}
