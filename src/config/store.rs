//! `[store]`: where gantry keeps what it must not forget.

use gantry_store::POSTGRES_CONNECTIONS;
use secrecy::{ExposeSecret as _, Secret};

use super::read::Section;

/// A SQLite file next to the configuration.
pub const DEFAULT_URL: &str = "sqlite:gantry.db";

/// Where gantry keeps what it must not forget.
#[derive(Debug, Clone)]
pub struct Store {
    /// `sqlite:PATH`, `sqlite::memory:` or `postgres://…`; a password may stand in it, so it is a secret.
    pub url: Secret<String>,
    /// Whether `gantry run` brings the schema up to date by itself.
    pub migrate: bool,
    /// Most connections to PostgreSQL; SQLite takes as many as it needs.
    pub connections: u32,
}

/// Most connections a configuration may ask for: PostgreSQL itself lets 100 in where nobody says.
const CONNECTIONS_MAX: u32 = 100;

impl Store {
    pub(super) fn read(mut s: Section<'_>) -> Option<Self> {
        let url = s.secret_or("url", "url_file", DEFAULT_URL);
        let migrate = s.take("migrate", true);
        let connections = s.number("connections", POSTGRES_CONNECTIONS, 2..=CONNECTIONS_MAX);
        let url = url.and_then(|url| {
            let text = url.expose_secret();
            if let Some(path) = text.strip_prefix("sqlite:") {
                let path = path.strip_prefix("//").unwrap_or(path);
                if path == ":memory:" {
                    return Some(url);
                }
                if path.is_empty() {
                    s.mistake("url", "names no file; sqlite:gantry.db");
                    return None;
                }
                let full = s.reader().resolve(path);
                return Some(Secret::new(format!("sqlite:{}", full.display())));
            }
            if text.starts_with("postgres://") || text.starts_with("postgresql://") {
                return Some(url);
            }
            s.mistake("url", "must start with sqlite: or postgres://");
            None
        });
        s.finish();
        Some(Self { url: url?, migrate, connections })
    }
}
