//! For tests only (cargo feature `testing`): a PostgreSQL of one's own, and looks behind the store's door.
//!
//! The server listens on 127.0.0.1, belongs to the calling process and ends with it, even when that is
//! killed: a shell waits for the end of a pipe that only this process holds open.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};
use tempfile::TempDir;

use crate::dialect::Kind;
use crate::pool::{Fail, Pool};
use crate::sql;
use crate::store::Store;

/// Set to 1 where tests must run on PostgreSQL too; without it they are skipped where there is none.
pub const REQUIRE: &str = "GANTRY_REQUIRE_POSTGRES";
/// The user PostgreSQL runs as when the tests run as root, which it refuses: `nobody`.
const NOBODY: u32 = 65534;
/// Longest wait for the server to answer; a loaded machine takes seconds.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Another process may take the port between choosing and using it.
const PORT_TRIES: u32 = 3;
/// Speed instead of durability: nothing here outlives the process. Many connections, since tests run side
/// by side.
const SETTINGS: &str = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=300 -c shared_buffers=32MB";

/// A running server.
pub struct Postgres {
    port: u16,
    databases: AtomicU64,
    guard: Child,
    dir: TempDir,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The shell ends the server; waiting for it keeps the directory until then.
        let _ = self.guard.wait();
    }
}

/// Starts a server. `None`: this machine has no PostgreSQL, which has been said on stderr; an error when the
/// environment asks for one (`GANTRY_REQUIRE_POSTGRES=1`) or when it does not start.
pub async fn start_postgres() -> Result<Option<Postgres>, String> {
    let Some(bin) = binaries() else {
        if std::env::var(REQUIRE).is_ok_and(|v| v == "1") {
            return Err(format!("{REQUIRE}=1, but there is no PostgreSQL on this machine"));
        }
        // Straight to stderr: the test runner hides what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: no PostgreSQL on this machine, so HALF OF THE DATABASE TESTS DID NOT RUN. \
             Install it (Debian: apt-get install postgresql). {REQUIRE}=1 makes this a failure. ***\n"
        );
        return Ok(None);
    };
    let mut why = String::new();
    for _ in 0..PORT_TRIES {
        match start_once(&bin).await {
            Ok(server) => return Ok(Some(server)),
            Err(error) => why = error,
        }
    }
    Err(format!("PostgreSQL did not start: {why}"))
}

async fn start_once(bin: &Path) -> Result<Postgres, String> {
    let dir = tempfile::Builder::new().prefix("gantry-pg-").tempdir().map_err(|e| e.to_string())?;
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    if root {
        chown(dir.path(), Some(NOBODY), Some(NOBODY)).map_err(|e| e.to_string())?;
    }
    let data = dir.path().join("data");
    let made = as_user(root, &bin.join("initdb"))
        .args(["-U", "gantry", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
        .arg(&data)
        .current_dir(dir.path())
        .output()
        .map_err(|e| format!("initdb: {e}"))?;
    if !made.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
    }
    let port = free_port()?;
    let guard = launch(root, bin, dir.path(), port)?;
    let mut server = Postgres { port, databases: AtomicU64::new(0), guard, dir };
    match wait_until_up(port, &mut server.guard).await {
        Ok(()) => Ok(server),
        Err(error) => {
            let log = std::fs::read_to_string(server.dir.path().join("log")).unwrap_or_default();
            Err(format!("{error}\n{log}"))
        }
    }
}

impl Postgres {
    /// Makes an empty database and returns its address.
    pub async fn fresh_database(&self) -> Result<String, String> {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection =
            PgConnection::connect(&url(self.port, "postgres")).await.map_err(|e| e.to_string())?;
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(create).await.map_err(|e| e.to_string())?;
        connection.close().await.map_err(|e| e.to_string())?;
        Ok(url(self.port, &name))
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://gantry@127.0.0.1:{port}/{database}")
}

fn binaries() -> Option<PathBuf> {
    let has = |dir: &Path| dir.join("initdb").exists() && dir.join("postgres").exists();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = debian.map(|e| e.path().join("bin")).filter(|d| has(d)).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.pop().or_else(|| std::env::split_paths(&path).find(|d| has(d)))
}

fn as_user(root: bool, program: &Path) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let nobody = NOBODY.to_string();
    command.arg(format!("--reuid={nobody}")).arg(format!("--regid={nobody}"));
    command.arg("--clear-groups").arg(program);
    command
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

fn launch(root: bool, bin: &Path, dir: &Path, port: u16) -> Result<Child, String> {
    // Waits for the end of its standard input, then stops the server (QUIT is PostgreSQL's immediate
    // shutdown). A server that ends by itself ends the shell.
    let script = r#"{ "$@" </dev/null >>"$LOG" 2>&1; kill $$; } & server=$!
        while read -r line; do :; done
        trap '' TERM
        while kill -0 $server 2>/dev/null && ! kill -QUIT "$(head -n 1 "$DIR/data/postmaster.pid")"; do
            sleep 0.1
        done
        wait; rm -rf "$DIR""#;
    let server = as_user(root, &bin.join("postgres"));
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(server.get_program()).args(server.get_args());
    shell.arg("-D").arg(dir.join("data")).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"]);
    shell.arg(dir).args(SETTINGS.split_whitespace());
    shell.env("LOG", dir.join("log")).env("DIR", dir).current_dir(dir);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C reaches the tests; the server ends after them, by the pipe.
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    shell.spawn().map_err(|e| format!("sh: {e}"))
}

async fn wait_until_up(port: u16, guard: &mut Child) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let why = match PgConnection::connect(&url(port, "postgres")).await {
            Ok(connection) => return connection.close().await.map_err(|e| e.to_string()),
            Err(error) => error.to_string(),
        };
        if guard.try_wait().ok().flatten().is_some() || begun.elapsed() > START_LIMIT {
            return Err(why);
        }
        // The server offers nothing to wait on but its answer.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a script on the connection that writes.
pub async fn execute(store: &Store, script: &str) -> Result<(), String> {
    let script = AssertSqlSafe(script.to_owned()).into_sql_str();
    let done = match &store.pool {
        Pool::Sqlite { write, .. } => sqlx::raw_sql(script).execute(write).await.map(|_| ()),
        Pool::Postgres(pool) => sqlx::raw_sql(script).execute(pool).await.map(|_| ()),
    };
    done.map_err(|e| e.to_string())
}

/// Asks for one number.
pub async fn number(store: &Store, query: &str) -> Result<i64, String> {
    let query = AssertSqlSafe(query.to_owned()).into_sql_str();
    let answer = match &store.pool {
        Pool::Sqlite { write, .. } => sqlx::query_scalar(query).fetch_one(write).await,
        Pool::Postgres(pool) => sqlx::query_scalar(query).fetch_one(pool).await,
    };
    answer.map_err(|e| e.to_string())
}

/// Prepares every SQL text of the store; returns how many there are and what the database refused.
pub async fn prepare_all(store: &Store) -> Result<(usize, Vec<String>), String> {
    let mut refused = Vec::new();
    for (name, text) in sql::ALL {
        let text = text.on(store.kind()).into_sql_str();
        let prepared = match &store.pool {
            Pool::Sqlite { write, .. } => write.prepare(text).await.map(|_| ()),
            Pool::Postgres(pool) => pool.prepare(text).await.map(|_| ()),
        };
        if let Err(error) = prepared {
            refused.push(format!("{name} on {}: {error}", store.kind().as_str()));
        }
    }
    Ok((sql::ALL.len(), refused))
}

/// Applies the migrations one by one, with sample rows after each, so that the next one finds tables that
/// are not empty.
pub async fn migrate_with_samples(store: &Store) -> Result<Vec<String>, String> {
    store.migrate_up_to(i64::MAX, true).await.map_err(|fail| match fail {
        Fail::Told(error) => error.to_string(),
        fail => store.tell("migrate with samples", fail).to_string(),
    })
}

/// The migrations' names, and for each whether its two texts are really there and its samples too.
pub fn migrations() -> Vec<(&'static str, bool)> {
    let whole = |m: &crate::migration::Migration| {
        !m.text(Kind::Sqlite).trim().is_empty()
            && !m.text(Kind::Postgres).trim().is_empty()
            && !m.samples.trim().is_empty()
    };
    crate::migration::ALL.iter().map(|m| (m.name, whole(m))).collect()
}
