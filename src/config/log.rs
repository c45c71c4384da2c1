//! `[log]`: what is logged, in which form, and where. Logs go to standard error, and to a file where one is named.

use std::path::PathBuf;

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
    /// A file to write to as well.
    pub file: Option<PathBuf>,
    /// Megabytes after which it is put aside.
    pub rotate_mb: u32,
    /// Files put aside that are kept.
    pub keep: u32,
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
        Self {
            filter: DEFAULT_FILTER.to_owned(),
            format: Format::Human,
            file: None,
            rotate_mb: 100,
            keep: 7,
        }
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
        let file = s.may::<String>("file").map(|f| s.reader().resolve(&f));
        let rotate_mb = s.number("rotate_mb", d.rotate_mb, 1..=100_000);
        let keep = s.number("keep", d.keep, 0..=1000);
        s.finish();
        Self { filter, format, file, rotate_mb, keep }
    }
}
