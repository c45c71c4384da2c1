//! `[log]`: what is logged, and in which form. Logs go to standard error.

use serde::{Deserialize, Serialize};

use super::read::Section;

/// What is logged when nobody says anything.
pub const DEFAULT_FILTER: &str = "info";

/// What is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `info`, `debug`, `info,gantry_proxmox=trace`, …; `RUST_LOG` goes before it.
    pub filter: String,
    /// The form of a line.
    pub format: Format,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: DEFAULT_FILTER.to_owned(), format: Format::Human }
    }
}

impl Log {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let d = Self::default();
        let filter = s.take("filter", d.filter);
        if let Err(e) = filter.parse::<tracing_subscriber::EnvFilter>() {
            s.mistake("filter", format!("{e}; write info, debug or info,gantry_proxmox=trace"));
        }
        let format = s.take("format", d.format);
        s.finish();
        Self { filter, format }
    }
}
