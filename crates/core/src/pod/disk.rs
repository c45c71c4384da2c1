//! A pod's root disk and further volumes.

use serde::{Deserialize, Serialize};

use super::claim::volume_owner;
use super::problem::{Problems, is_label, is_path};
use crate::id::StorageId;

/// 64 TiB in GiB: a bound against slips of the finger.
pub(super) const DISK_MAX_GIB: u64 = 64 * 1024;
/// Root disk where nobody says, GiB.
const ROOT_GIB: u64 = 8;

/// The root disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Root {
    /// Its storage; left out: the one with the most room on the node chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageId>,
    /// Its size, GiB. It only ever grows.
    pub size_gib: u64,
}

impl Default for Root {
    fn default() -> Self {
        Self { storage: None, size_gib: ROOT_GIB }
    }
}

/// A volume besides the root disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mount {
    /// What it is called in the specification; Proxmox knows it by its path.
    pub name: String,
    /// Where it is mounted inside.
    pub path: String,
    /// Its storage; left out: that of the root disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageId>,
    /// Its size, GiB. It only ever grows.
    pub size_gib: u64,
    /// An existing volume of the pod itself to take instead of making one: `local-lvm:vm-201-disk-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Whether backups hold it.
    #[serde(skip_serializing_if = "super::is_default")]
    pub backup: bool,
    /// Whether nothing may be written to it.
    #[serde(skip_serializing_if = "super::is_default")]
    pub read_only: bool,
}

impl Default for Mount {
    fn default() -> Self {
        Self {
            name: String::new(),
            path: String::new(),
            storage: None,
            size_gib: ROOT_GIB,
            volume: None,
            backup: false,
            read_only: false,
        }
    }
}

impl Mount {
    pub(super) fn check(&self, at: &str, found: &mut Problems) {
        let key = |name: &str| format!("{at}.{name}");
        found.check(is_label(&self.name), key("name"), "letters a-z, digits and -");
        found.check(
            is_path(&self.path),
            key("path"),
            "an absolute path such as /var/lib/data, without .. and without a / at its end",
        );
        found.check(
            (1..=DISK_MAX_GIB).contains(&self.size_gib),
            key("size_gib"),
            "1 GiB to 64 TiB",
        );
        found.check(
            self.volume.as_deref().is_none_or(is_volume),
            key("volume"),
            "an existing volume such as local-lvm:vm-201-disk-1",
        );
    }
}

/// A disk volume's id: no host path (bind mounts are root@pam's alone), nothing that leads out of the storage.
fn is_volume(text: &str) -> bool {
    let Some((storage, name)) = text.split_once(':') else { return false };
    storage.parse::<StorageId>().is_ok()
        && name.len() <= 200
        // A bare size would make a new volume.
        && volume_owner(text).is_some()
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.contains("..")
                && part != "."
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        })
}
