//! A fresh database for one test: an SQLite file, or a database of a PostgreSQL server that this run started.

use std::path::PathBuf;
use std::sync::OnceLock;

use gantry_store::testing;

/// A database and a scratch folder that go with the test.
pub struct Database {
    url: String,
    folder: tempfile::TempDir,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("gantry.db").display());
        Self { url, folder }
    }

    /// `None`, said loudly, where no PostgreSQL is installed.
    pub fn postgres() -> Option<Self> {
        static SERVER: OnceLock<Option<testing::Postgres>> = OnceLock::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server =
            SERVER.get_or_init(|| runtime.block_on(testing::start_postgres()).unwrap()).as_ref()?;
        let url = runtime.block_on(server.fresh_database()).unwrap();
        Some(Self { url, folder: tempfile::tempdir().unwrap() })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a file into the scratch folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
