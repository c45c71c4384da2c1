//! Answers about storages, what lies in them, and what templates can be had.

use gantry_core::id::{StorageId, Vmid};
use serde::Deserialize;

use crate::lenient;

/// One row of `GET /nodes/{node}/storage`.
#[derive(Debug, Clone, Deserialize)]
pub struct Storage {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::parsed")]
    pub storage: Option<StorageId>,
    /// `dir`, `zfspool`, `lvmthin`, `nfs`, `pbs`, …
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// What it may hold: `iso,vztmpl,…`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub content: Option<String>,
    /// Whether it can be used now.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: bool,
    /// Whether it is switched on.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub enabled: bool,
    /// Whether all nodes see the same content.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub shared: bool,
    /// In use, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub used: Option<u64>,
    /// In total, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub total: Option<u64>,
    /// Free, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub avail: Option<u64>,
}

impl Storage {
    /// Whether it may hold this content type (`rootdir`, `vztmpl`, `images`, …).
    pub fn holds(&self, content: &str) -> bool {
        self.content.as_deref().is_some_and(|c| c.split(',').any(|c| c.trim() == content))
    }
}

/// One row of `GET /storage`: the definition, the same for all nodes.
#[derive(Debug, Clone, Deserialize)]
pub struct StorageDefinition {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::parsed")]
    pub storage: Option<StorageId>,
    /// `dir`, `zfspool`, …
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// What it may hold.
    #[serde(default, deserialize_with = "lenient::text")]
    pub content: Option<String>,
    /// The nodes it is restricted to, separated by commas.
    #[serde(default, deserialize_with = "lenient::text")]
    pub nodes: Option<String>,
    /// Whether all nodes see the same content.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub shared: bool,
    /// Whether it is switched off.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub disable: bool,
}

/// One row of `GET /nodes/{node}/storage/{storage}/content`.
#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    /// `local:vztmpl/debian-12….tar.zst`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub volid: Option<String>,
    /// `vztmpl`, `iso`, `backup`, `images`, `rootdir`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub content: Option<String>,
    /// `raw`, `qcow2`, `tzst`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub format: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub size: Option<u64>,
    /// Creation time, seconds since the epoch.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub ctime: Option<u64>,
    /// The guest it belongs to.
    #[serde(default, deserialize_with = "lenient::vmid")]
    pub vmid: Option<Vmid>,
    /// Notes of a backup.
    #[serde(default, deserialize_with = "lenient::text")]
    pub notes: Option<String>,
    /// Whether pruning leaves it alone.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub protected: bool,
}

/// One row of `GET /nodes/{node}/aplinfo`: a template that can be downloaded.
#[derive(Debug, Clone, Deserialize)]
pub struct AplTemplate {
    /// File name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub template: Option<String>,
    /// `system`, `turnkeylinux`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub section: Option<String>,
    /// One line about it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub headline: Option<String>,
    /// `debian-12`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub os: Option<String>,
    /// Version of the template.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version: Option<String>,
    /// SHA-512 of the file, from the signed index.
    #[serde(default, deserialize_with = "lenient::text")]
    pub sha512sum: Option<String>,
}

/// `GET /nodes/{node}/query-url-metadata`: what a server says of a file.
#[derive(Debug, Clone, Deserialize)]
pub struct UrlMetadata {
    /// The name it gives the file.
    #[serde(default, deserialize_with = "lenient::text")]
    pub filename: Option<String>,
    /// What it says it is.
    #[serde(default, deserialize_with = "lenient::text")]
    pub mimetype: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub size: Option<u64>,
}
