//! Brings a database's tables to what this binary needs: all pending changes or none, under a lock.
//!
//! The files are in `migrations/` at the root of the repository; adding one means adding its line here.

use sha2::{Digest, Sha256};

use crate::dialect::Kind;
use crate::error::StoreError;
use crate::pool::{Fail, Row, Tx, args};
use crate::sql;
use crate::store::Store;

/// One change of the tables.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    /// Rows put in after it, in tests.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only tests insert samples"))]
    pub(crate) samples: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
            samples: include_str!(concat!("../../../migrations/samples/", $name, ".sql")),
        }
    };
}

/// Every migration, in order.
pub(crate) const ALL: &[Migration] = &[
    migration!(1, "0001_start"),
    migration!(2, "0002_turns"),
    migration!(3, "0003_sets"),
    migration!(4, "0004_networks"),
    migration!(5, "0005_images"),
    migration!(6, "0006_answers"),
    migration!(7, "0007_health"),
    migration!(8, "0008_alerts"),
    migration!(9, "0009_forward_ports"),
    migration!(10, "0010_incident_threads"),
    migration!(11, "0011_boards"),
    migration!(12, "0012_hooks"),
    migration!(13, "0013_forward_pins"),
    migration!(14, "0014_forward_leftovers"),
];

/// The advisory lock that keeps two processes from migrating a PostgreSQL database at once: "gantry" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(113668128240249)";
/// A migration may rewrite large tables, and waits for another process's one. Ends with the transaction.
const NO_LIMITS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";

impl Migration {
    pub(crate) fn text(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Sqlite => self.sqlite,
            Kind::Postgres => self.postgres,
        }
    }

    fn sha256(&self, kind: Kind) -> String {
        hex::encode(Sha256::digest(self.text(kind).as_bytes()))
    }
}

/// A migration as the database remembers it.
struct Applied {
    version: i64,
    name: String,
    sha256: String,
}

fn applied(row: &Row) -> Result<Applied, Fail> {
    Ok(Applied {
        version: row.int("version")?,
        name: row.text("name")?,
        sha256: row.text("sha256")?,
    })
}

impl Store {
    /// Applies what is pending and returns the names of what was applied now. Takes as long as it takes.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let what = "migrate the database";
        // No deadline: giving up halfway would only mean doing it all again.
        self.migrate_up_to(i64::MAX, false).await.map_err(|fail| self.tell(what, fail))
    }

    /// Names of the migrations that `migrate` would apply.
    pub async fn pending(&self) -> Result<Vec<String>, StoreError> {
        let done = self.applied().await?;
        Ok(ALL.iter().skip(done.len()).map(|m| m.name.to_owned()).collect())
    }

    /// Fails when the database was made by a newer or an altered gantry.
    pub(crate) async fn refuse_strangers(&self) -> Result<(), StoreError> {
        self.applied().await.map(|_| ())
    }

    async fn applied(&self) -> Result<Vec<Applied>, StoreError> {
        let read = self.call("read which migrations were applied", async {
            let rows = self.pool.rows(sql::MIGRATIONS_LIST, args![]).await?;
            rows.iter().map(applied).collect::<Result<Vec<_>, Fail>>()
        });
        match read.await {
            Ok(done) => self.check(&done).map(|()| done),
            // No such table: nothing was applied yet.
            Err(StoreError::NotSetUp { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The database's list must be the beginning of ours.
    fn check(&self, done: &[Applied]) -> Result<(), StoreError> {
        let known = ALL.last().map_or(0, |m| m.version);
        if let Some(found) = done.last().map(|a| a.version).filter(|v| *v > known) {
            return Err(StoreError::Newer { place: self.place().to_owned(), found, known });
        }
        for (done, ours) in done.iter().zip(ALL) {
            if done.version != ours.version || done.sha256 != ours.sha256(self.kind()) {
                return Err(StoreError::Altered {
                    place: self.place().to_owned(),
                    name: done.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Applies up to `version`, with sample rows after each one where asked.
    pub(crate) async fn migrate_up_to(
        &self,
        version: i64,
        samples: bool,
    ) -> Result<Vec<String>, Fail> {
        let mut tx = self.pool.begin().await?;
        if let Tx::Postgres(_) = tx {
            tx.script(NO_LIMITS).await?;
            tx.script(LOCK).await?;
        }
        tx.write(sql::MIGRATIONS_TABLE, args![]).await?;
        let rows = tx.rows(sql::MIGRATIONS_LIST, args![]).await?;
        let done = rows.iter().map(applied).collect::<Result<Vec<_>, Fail>>()?;
        self.check(&done)?;
        let mut names = Vec::new();
        for migration in ALL.iter().skip(done.len()).filter(|m| m.version <= version) {
            tx.script(migration.text(self.kind())).await?;
            let sha256 = migration.sha256(self.kind());
            tx.write(sql::MIGRATION_INSERT, args![migration.version, migration.name, sha256])
                .await?;
            #[cfg(feature = "testing")]
            if samples {
                tx.script(migration.samples).await?;
            }
            names.push(migration.name.to_owned());
        }
        #[cfg(not(feature = "testing"))]
        let _ = samples;
        tx.commit().await?;
        Ok(names)
    }
}
