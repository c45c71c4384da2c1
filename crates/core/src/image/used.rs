//! Who uses an image, and which images nothing uses. References are read from what refers, never counted in a
//! field of their own: a count that is kept can drift, one that is made anew cannot.

use serde::{Deserialize, Serialize};

use super::reference::ImageVolid;
use super::step::{Doomed, Place, PruneFilter};
use crate::id::{ClusterId, Vmid};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What gantry noted of an image it fetched: one for each file, by its digest where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its cluster.
    pub cluster: ClusterId,
    /// The node it lies on; `*` on a shared storage.
    pub owner: String,
    /// The volume.
    pub volid: ImageVolid,
    /// `sha256:…`, `sha512:…`; of an OCI image, the digest of its configuration.
    pub digest: Option<String>,
    /// Its size when it was fetched, bytes.
    pub bytes: u64,
    /// Where it came from, as people read it.
    pub source: String,
    /// The same, to fetch it again elsewhere; as JSON of `Source`.
    pub origin: super::step::Source,
    /// The operation that fetched it.
    pub operation: String,
    /// When it was there, milliseconds.
    pub prepared_ms: i64,
    /// When a guest was made from it last, milliseconds; 0 = never.
    pub last_used_ms: i64,
}

impl ImageRecord {
    /// Whether this is the record of the file at `place`.
    pub fn is_of(&self, place: &Place) -> bool {
        self.volid == place.volid && self.owner == place.owner()
    }

    /// Since when nothing has needed it, milliseconds, given that nothing uses it now.
    pub fn idle_since_ms(&self) -> i64 {
        self.prepared_ms.max(self.last_used_ms)
    }
}

/// Something that refers to an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Usage {
    /// The volume it names.
    pub volid: String,
    /// The node it needs it on; `None`: any.
    pub node: Option<String>,
    /// Who, as people read it: `pod web-0 (lab/201)`.
    pub who: String,
    /// What somebody has to be allowed to see to be told who; `None`: everybody may be told.
    #[serde(default)]
    pub of: Option<UsedBy>,
}

/// What uses an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsedBy {
    /// A guest, by its number.
    Guest(Vmid),
    /// A set, by its name.
    Set(String),
}

impl Usage {
    /// Whether it needs the file at `place`. What does not say where it runs needs every copy.
    pub fn needs(&self, place: &Place) -> bool {
        self.volid == place.volid.to_string()
            && (place.shared || self.node.as_deref().is_none_or(|n| n == place.node.as_str()))
    }
}

/// An image nothing uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Which, as it was seen.
    pub doomed: Doomed,
    /// Since when, milliseconds.
    pub since_ms: i64,
}

/// Images that gantry fetched, that are there, and that nothing has used for as long as the filter says: largest
/// first. Files gantry has no record of are never among them.
pub fn unused(
    there: &[Doomed],
    records: &[ImageRecord],
    usages: &[Usage],
    filter: &PruneFilter,
    now_ms: i64,
) -> Vec<Unused> {
    let before_ms = now_ms.saturating_sub(i64::from(filter.days).saturating_mul(DAY_MS));
    let mut found: Vec<Unused> = there
        .iter()
        .filter(|d| filter.storage.as_ref().is_none_or(|s| s == d.place.volid.storage()))
        .filter(|d| d.place.shared || filter.node.as_ref().is_none_or(|n| *n == d.place.node))
        .filter(|d| !usages.iter().any(|u| u.needs(&d.place)))
        .filter_map(|d| {
            let record = records.iter().find(|r| r.is_of(&d.place))?;
            let since_ms = record.idle_since_ms();
            (since_ms <= before_ms).then(|| Unused { doomed: d.clone(), since_ms })
        })
        .collect();
    found.sort_by_key(|u| (std::cmp::Reverse(u.doomed.bytes), u.doomed.place.key()));
    found
}
