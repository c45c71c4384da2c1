//! The whole difference between the two databases: how a claim skips rows somebody else holds, how a write
//! transaction begins, what settings a connection gets, and what their error codes mean.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Row as _, SqliteConnection};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The embedded one: a file, one process.
    Sqlite,
    /// A server; several processes may share it.
    Postgres,
}

impl Kind {
    /// The name people know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// One SQL text. The two differ in nothing but the row locks, which SQLite has no need of: its write
/// transactions exclude each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl Text {
    /// The same text on both.
    pub(crate) const fn same(sql: &'static str) -> Self {
        Self { sqlite: sql, postgres: sql }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn on(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Sqlite => self.sqlite,
            Kind::Postgres => self.postgres,
        }
    }
}

/// A text with a row lock in the middle: rows held by somebody else are passed over.
macro_rules! claiming {
    ($before:expr, $after:expr) => {
        $crate::dialect::Text {
            sqlite: concat!($before, $after),
            postgres: concat!($before, " FOR UPDATE SKIP LOCKED", $after),
        }
    };
}
/// A text that holds the row it reads until the transaction ends.
macro_rules! holding {
    ($sql:expr) => {
        $crate::dialect::Text { sqlite: $sql, postgres: concat!($sql, " FOR UPDATE") }
    };
}
pub(crate) use {claiming, holding};

/// Takes SQLite's write lock at once: a transaction that reads first and writes later could otherwise fail
/// halfway when another one wrote in between.
pub(crate) const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";
/// PostgreSQL locks rows, not the database.
pub(crate) const BEGIN_POSTGRES: &str = "BEGIN";

/// How long SQLite waits for a lock that another program holds (`sqlite3`, a backup).
const SQLITE_BUSY: Duration = Duration::from_secs(5);
/// Limits of a PostgreSQL session: a stuck statement, a lock nobody gives back and a forgotten transaction
/// all end by themselves, the statement before gantry stops waiting for it (`DEADLINE` in pool.rs).
const POSTGRES_LIMITS: &str = "SET statement_timeout = 8000; SET lock_timeout = 5000; \
     SET idle_in_transaction_session_timeout = 30000";

/// How long a connection may take to answer when it is given back; what was to be rolled back is, on the way.
const RELEASE: Duration = Duration::from_secs(2);

/// How a SQLite file is opened. FULL: a commit has reached the disk when it returns, since an intent that was
/// forgotten by a power cut could be carried out twice.
pub(crate) fn sqlite_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY)
        .disable_statement_logging()
}

/// How a PostgreSQL server is spoken to.
pub(crate) fn postgres_options(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("gantry").disable_statement_logging()
}

/// Settings of a fresh PostgreSQL connection. Sent as statements, since connection poolers in between refuse
/// start-up parameters they do not know.
pub(crate) async fn prepare_postgres(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(POSTGRES_LIMITS)).await?;
    Ok(())
}

/// Whether a SQLite connection may begin a transaction. When the disk is full, SQLite ends a transaction by
/// itself (sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction"); sqlx goes on counting
/// it and would refuse every later one on that connection, so it has to be replaced.
pub(crate) fn is_usable(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

/// True outside of a transaction only: inside, `now()` stays at its beginning. Sent as one message, which PostgreSQL
/// takes for statement and transaction at once; fails in a transaction that was aborted.
const OUTSIDE: &str = "SELECT now() = statement_timestamp()";

/// Whether a PostgreSQL connection may go back to the pool. The pool itself would wait for the answer without
/// end, so a server that went silent would keep every connection taken long after it is back. And it does not see a
/// transaction that was left open: whoever stops waiting while `BEGIN` is on its way leaves one that sqlx 0.9 does not
/// count and so never ends. A later write on that connection would look kept, and not be.
pub(crate) async fn is_alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let asked = sqlx::raw_sql(OUTSIDE).fetch_one(connection);
    match tokio::time::timeout(RELEASE, asked).await {
        Ok(Ok(row)) => row.try_get(0),
        // An aborted transaction: this connection is given up.
        Ok(Err(sqlx::Error::Database(_))) => Ok(false),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// What kind of trouble an error of the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    NotSetUp,
    Full,
    Busy,
    Lost,
    Denied,
    Damaged,
    Taken,
    Other,
}

/// Tells errors apart by code, never by their words.
pub(crate) fn trouble(kind: Kind, error: &sqlx::Error) -> Trouble {
    use sqlx::Error;
    match error {
        Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            match kind {
                Kind::Sqlite => code.parse().map_or(Trouble::Other, sqlite_code),
                Kind::Postgres => postgres_code(&code),
            }
        }
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => Trouble::Lost,
        Error::PoolTimedOut => Trouble::Busy,
        Error::ColumnDecode { .. } | Error::Decode(_) => Trouble::Damaged,
        Error::ColumnNotFound(_) => Trouble::NotSetUp,
        _ => Trouble::Other,
    }
}

/// SQLite result codes (sqlite.org/rescode.html). The low byte is the primary code.
fn sqlite_code(code: i32) -> Trouble {
    /// Not enough room for the shared-memory file.
    const IOERR_SHMSIZE: i32 = 4874;
    /// The file ends before it should.
    const IOERR_SHORT_READ: i32 = 522;
    /// `UNIQUE` and `PRIMARY KEY`.
    const UNIQUE: [i32; 2] = [2067, 1555];
    match code {
        IOERR_SHMSIZE => return Trouble::Full,
        IOERR_SHORT_READ => return Trouble::Damaged,
        _ if UNIQUE.contains(&code) => return Trouble::Taken,
        _ => {}
    }
    match code & 0xff {
        // ERROR: no such table or column; our texts are prepared by a test, so the database is behind.
        1 | 17 => Trouble::NotSetUp,
        // PERM, READONLY, CANTOPEN, AUTH
        3 | 8 | 14 | 23 => Trouble::Denied,
        // BUSY, LOCKED
        5 | 6 => Trouble::Busy,
        // CORRUPT, NOTADB
        11 | 26 => Trouble::Damaged,
        // FULL
        13 => Trouble::Full,
        _ => Trouble::Other,
    }
}

/// SQLSTATE codes (postgresql.org/docs/current/errcodes-appendix.html).
fn postgres_code(code: &str) -> Trouble {
    match code {
        // Undefined table, column, function; no such schema.
        "42P01" | "42703" | "42883" | "3F000" => Trouble::NotSetUp,
        "23505" => Trouble::Taken,
        // Disk full, out of memory.
        "53100" | "53200" => Trouble::Full,
        // Too many connections, lock not available, deadlock, serialization failure, statement timed out.
        "53300" | "55P03" | "40P01" | "40001" | "57014" => Trouble::Busy,
        // Shutdowns, start-up, idle transaction ended.
        "57P01" | "57P02" | "57P03" | "25P03" => Trouble::Lost,
        // Password, role, privilege, no such database, read-only.
        "28000" | "28P01" | "42501" | "3D000" | "25006" => Trouble::Denied,
        // Data or index corrupted.
        "XX001" | "XX002" => Trouble::Damaged,
        _ if code.starts_with("08") => Trouble::Lost,
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        assert_eq!(sqlite_code(13), Trouble::Full);
        assert_eq!(sqlite_code(5), Trouble::Busy);
        assert_eq!(sqlite_code(5 | (2 << 8)), Trouble::Busy);
        assert_eq!(sqlite_code(11), Trouble::Damaged);
        assert_eq!(sqlite_code(26), Trouble::Damaged);
        assert_eq!(sqlite_code(2067), Trouble::Taken);
        assert_eq!(postgres_code("53100"), Trouble::Full);
        assert_eq!(postgres_code("57P01"), Trouble::Lost);
        assert_eq!(postgres_code("08006"), Trouble::Lost);
        assert_eq!(postgres_code("40P01"), Trouble::Busy);
        assert_eq!(postgres_code("XX001"), Trouble::Damaged);
    }
}
