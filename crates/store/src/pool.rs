//! Runs the same text on whichever database there is. Nothing outside this file knows which one it is.
//!
//! Every call is bounded: getting a connection (`ACQUIRE`) and the whole call (`DEADLINE`).

use std::sync::Arc;
use std::time::Duration;

use gantry_core::id::{CardId, ClusterId, OperationId, PlanId, Vmid};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Connection, Postgres, Row as _, Sqlite, Transaction};

use crate::address::{Address, Place};
use crate::dialect::{self, Kind, Text, Trouble};
use crate::error::StoreError;

/// Longest wait for a free connection.
pub(crate) const ACQUIRE: Duration = Duration::from_secs(5);
/// Longest one call may take; beyond it nobody can say whether a write was kept. Longer than `ACQUIRE` plus
/// the databases' own limits on waiting for locks.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);
/// SQLite reads side by side; each costs a thread and a page cache.
const SQLITE_READERS: u32 = 2;
/// PostgreSQL connections a process takes where nobody says: enough for its workers, few enough for a shared server.
pub const POSTGRES_CONNECTIONS: u32 = 8;

/// A parameter of a text.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
}

impl From<&str> for Value {
    /// PostgreSQL takes no NUL in a text; names and messages from outside may hold one.
    fn from(text: &str) -> Self {
        Self::Text(Some(text.replace('\0', "\u{fffd}")))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}
impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}
impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.as_deref().into()
    }
}
impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(Some(n))
    }
}
impl From<Vmid> for Value {
    fn from(vmid: Vmid) -> Self {
        Self::Int(Some(vmid.get().into()))
    }
}
impl From<Option<Vmid>> for Value {
    fn from(vmid: Option<Vmid>) -> Self {
        Self::Int(vmid.map(|v| v.get().into()))
    }
}
macro_rules! from_id {
    ($($id:ty),*) => {$(
        impl From<&$id> for Value {
            fn from(id: &$id) -> Self {
                Self::from(id.as_str())
            }
        }
    )*};
}
from_id!(PlanId, OperationId, CardId, ClusterId);

/// The parameters of a text, in the order of `$1`, `$2`, …
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::pool::Value::from($value)),*] };
}
pub(crate) use args;

/// Runs `$call` of one text on one kind of connection.
macro_rules! run {
    ($db:ty, $sql:expr, $args:expr, $call:ident, $on:expr) => {{
        let mut query = sqlx::query::<$db>($sql);
        for value in $args {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Int(number) => query.bind(number),
            };
        }
        query.$call($on).await
    }};
}

/// What a call inside the store may fail with, before it is told to anybody.
pub(crate) enum Fail {
    /// The database said so.
    Sql(sqlx::Error),
    /// A row does not make sense.
    Row(String),
    /// Already in words.
    Told(StoreError),
}

impl From<sqlx::Error> for Fail {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}
impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        Self::Told(error)
    }
}

/// A row of either database. Columns are read by name.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn text(&self, column: &str) -> Result<String, Fail> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
    pub(crate) fn text_opt(&self, column: &str) -> Result<Option<String>, Fail> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
    pub(crate) fn int_opt(&self, column: &str) -> Result<Option<i64>, Fail> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, Fail> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
    /// A text that is an id or another checked form.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, column: &str) -> Result<T, Fail>
    where
        T::Err: std::fmt::Display,
    {
        parse(column, &self.text(column)?)
    }
    /// The same, where there may be none.
    pub(crate) fn parsed_opt<T: std::str::FromStr>(&self, column: &str) -> Result<Option<T>, Fail>
    where
        T::Err: std::fmt::Display,
    {
        self.text_opt(column)?.map(|text| parse(column, &text)).transpose()
    }
    /// A VMID.
    pub(crate) fn vmid(&self, column: &str) -> Result<Vmid, Fail> {
        let number = self.int(column)?;
        u32::try_from(number)
            .ok()
            .and_then(|n| Vmid::try_from(n).ok())
            .ok_or_else(|| Fail::Row(format!("column {column} holds {number}, which is no VMID")))
    }
}

fn parse<T: std::str::FromStr>(column: &str, text: &str) -> Result<T, Fail>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e| Fail::Row(format!("column {column}: {e}")))
}

/// The connections.
#[derive(Clone)]
pub(crate) enum Pool {
    /// One connection writes, so that writers queue up in order here instead of polling a lock.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// A write transaction. Dropped without `commit`, it never happened.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Pool {
    /// Connects once, so that a wrong address is told in its own words, then keeps a pool.
    pub(crate) async fn open(address: &Address, connections: u32) -> Result<Self, sqlx::Error> {
        match address {
            Address::Memory => {
                // One connection that never ends: it is the database.
                let pool = SqlitePoolOptions::new()
                    .max_connections(1)
                    .min_connections(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .acquire_timeout(ACQUIRE)
                    .connect_with(dialect::sqlite_options().in_memory(true))
                    .await?;
                Ok(Self::Sqlite { write: pool.clone(), read: pool })
            }
            Address::File(path) => {
                let options = dialect::sqlite_options().filename(path);
                let write = SqlitePoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(ACQUIRE)
                    .before_acquire(|connection, _| {
                        Box::pin(async move { Ok(dialect::is_usable(connection)) })
                    })
                    .connect_with(options.clone())
                    .await?;
                let read = SqlitePoolOptions::new()
                    .max_connections(SQLITE_READERS)
                    .acquire_timeout(ACQUIRE)
                    .connect_lazy_with(options);
                Ok(Self::Sqlite { write, read })
            }
            Address::Server(options) => {
                let options = dialect::postgres_options((**options).clone());
                let first = sqlx::PgConnection::connect_with(&options);
                let first = tokio::time::timeout(ACQUIRE, first)
                    .await
                    .map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
                first.close().await?;
                let pool = PgPoolOptions::new()
                    .max_connections(connections.max(1))
                    .acquire_timeout(ACQUIRE)
                    .after_connect(|connection, _| {
                        Box::pin(async move { dialect::prepare_postgres(connection).await })
                    })
                    .after_release(|connection, _| Box::pin(dialect::is_alive(connection)))
                    .connect_lazy_with(options);
                Ok(Self::Postgres(pool))
            }
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Sqlite { .. } => Kind::Sqlite,
            Self::Postgres(_) => Kind::Postgres,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                // Readers first: the last connection to close folds the write-ahead log into the file.
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Begins a write transaction.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { write, .. } => {
                Tx::Sqlite(write.begin_with(dialect::BEGIN_SQLITE).await?)
            }
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(dialect::BEGIN_POSTGRES).await?),
        })
    }

    /// Reads.
    pub(crate) async fn rows(&self, text: Text, args: Vec<Value>) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { read, .. } => {
                into_rows(run!(Sqlite, text.sqlite, args, fetch_all, read)?, Row::Sqlite)
            }
            Self::Postgres(pool) => {
                into_rows(run!(Postgres, text.postgres, args, fetch_all, pool)?, Row::Postgres)
            }
        })
    }

    /// Reads one row.
    pub(crate) async fn row(
        &self,
        text: Text,
        args: Vec<Value>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(text, args).await?.into_iter().next())
    }

    /// Writes with one statement; returns how many rows it touched.
    pub(crate) async fn write(&self, text: Text, args: Vec<Value>) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { write, .. } => {
                run!(Sqlite, text.sqlite, args, execute, write)?.rows_affected()
            }
            Self::Postgres(pool) => {
                run!(Postgres, text.postgres, args, execute, pool)?.rows_affected()
            }
        })
    }

    /// Writes with one statement that returns at most one row.
    pub(crate) async fn write_row(
        &self,
        text: Text,
        args: Vec<Value>,
    ) -> Result<Option<Row>, sqlx::Error> {
        let rows = match self {
            Self::Sqlite { write, .. } => {
                into_rows(run!(Sqlite, text.sqlite, args, fetch_all, write)?, Row::Sqlite)
            }
            Self::Postgres(pool) => {
                into_rows(run!(Postgres, text.postgres, args, fetch_all, pool)?, Row::Postgres)
            }
        };
        Ok(rows.into_iter().next())
    }

    /// Puts a failure into words.
    pub(crate) fn tell(&self, place: &Place, what: &str, fail: Fail) -> StoreError {
        let (trouble, cause) = match fail {
            Fail::Told(error) => return error,
            Fail::Row(cause) => (Trouble::Damaged, cause),
            Fail::Sql(error) => {
                let mut trouble = dialect::trouble(self.kind(), &error);
                // The pool goes on trying while the server refuses; when it gives up with connections to
                // spare, none could be made.
                if let (sqlx::Error::PoolTimedOut, Self::Postgres(pool)) = (&error, self)
                    && pool.size() < pool.options().get_max_connections()
                {
                    trouble = Trouble::Lost;
                }
                (trouble, error.to_string())
            }
        };
        words(trouble, place, what, &cause)
    }
}

/// The error for one kind of trouble.
pub(crate) fn words(trouble: Trouble, place: &Place, what: &str, cause: &str) -> StoreError {
    let (what, cause, place) = (what.to_owned(), place.without_secrets(cause), place.name.clone());
    match trouble {
        Trouble::NotSetUp => StoreError::NotSetUp { what, place, cause },
        Trouble::Full => StoreError::Full { what, place, cause },
        Trouble::Busy => StoreError::Busy { what, place, cause },
        Trouble::Lost => StoreError::Lost { what, place, cause },
        Trouble::Denied => StoreError::Denied { what, place, cause },
        Trouble::Damaged => StoreError::Damaged { what, place, cause },
        Trouble::Taken => StoreError::Taken { what, place, cause },
        Trouble::Other => StoreError::Other { what, place, cause },
    }
}

fn into_rows<R>(rows: Vec<R>, wrap: fn(R) -> Row) -> Vec<Row> {
    rows.into_iter().map(wrap).collect()
}

impl Tx {
    /// Runs a statement; returns how many rows it touched.
    pub(crate) async fn write(&mut self, text: Text, args: Vec<Value>) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(tx) => {
                run!(Sqlite, text.sqlite, args, execute, &mut **tx)?.rows_affected()
            }
            Self::Postgres(tx) => {
                run!(Postgres, text.postgres, args, execute, &mut **tx)?.rows_affected()
            }
        })
    }

    /// Runs a statement and takes its first row.
    pub(crate) async fn row(
        &mut self,
        text: Text,
        args: Vec<Value>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(text, args).await?.into_iter().next())
    }

    /// Runs a statement and takes all its rows.
    pub(crate) async fn rows(
        &mut self,
        text: Text,
        args: Vec<Value>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(tx) => {
                into_rows(run!(Sqlite, text.sqlite, args, fetch_all, &mut **tx)?, Row::Sqlite)
            }
            Self::Postgres(tx) => {
                into_rows(run!(Postgres, text.postgres, args, fetch_all, &mut **tx)?, Row::Postgres)
            }
        })
    }

    /// Runs a script of several statements without parameters.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(|_| ()),
            Self::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(|_| ()),
        }
    }

    /// Keeps what was done.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }
}

/// What keeps a second process out of a SQLite file; ends with the last clone of the store.
pub(crate) type Lock = Arc<std::fs::File>;
