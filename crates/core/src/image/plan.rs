//! Plans of fetching, deleting and pruning images, from what was read just now.

use serde_json::json;

use super::reference::ImageRef;
use super::step::{Doomed, Fetch, ImageStep, Place, PruneFilter, Source};
use super::url::ImageRules;
use super::used::{ImageRecord, Unused, Usage};
use crate::id::ClusterId;
use crate::near::it_has;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned, hash};

/// First version of Proxmox VE that pulls OCI images.
const OCI_SINCE: (u32, u32) = (9, 1);
/// Room that must stay on a storage after a fetch, bytes: full storages stop guests.
pub(super) const ROOM_LEFT: u64 = 256 << 20;
/// Room that must be there for an image whose size nobody tells before, bytes.
const ROOM_UNKNOWN: u64 = 1 << 30;
/// Most images one prune deletes; more would not fit a card. The rest goes with the next one.
const PRUNE_MAX: usize = 20;
/// Most users named on a card.
const USERS_SHOWN: usize = 8;

/// A file on a storage, read just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveVolume {
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was made, seconds since the epoch.
    pub created_s: u64,
}

/// A storage as a node sees it, read just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Whether it can be used now.
    pub active: bool,
    /// Whether it takes this kind of content.
    pub holds: bool,
    /// Free bytes.
    pub free: u64,
}

/// What is true of one place an image shall be at, read just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePlace {
    /// Whether the node is online.
    pub online: bool,
    /// The node's version of Proxmox VE, where it told.
    pub version: Option<(u32, u32)>,
    /// The storage; `None`: the node has none of that name.
    pub room: Option<Room>,
    /// Storages of the node that would take it.
    pub others: Vec<String>,
    /// The file, where it is there.
    pub file: Option<LiveVolume>,
    /// What gantry noted of it.
    pub record: Option<ImageRecord>,
    /// Whether the node has a node shell.
    pub shell: bool,
    /// Whether the node's template list has it; `None`: it was not asked.
    pub listed: Option<bool>,
    /// When this was read, milliseconds.
    pub read_ms: i64,
}

/// What is true of an image that shall be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDoomed {
    /// The file, where it is there.
    pub file: Option<LiveVolume>,
    /// What gantry noted of it.
    pub record: Option<ImageRecord>,
    /// Who uses it.
    pub users: Vec<String>,
    /// Other images on that storage.
    pub others: Vec<String>,
}

/// What fetching comes to at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchNow {
    /// It can be sent.
    Go,
    /// Only over the node shell.
    OverShell,
    /// It is there.
    There(String),
    /// It cannot be done; why, and what would help.
    Refused(String),
}

/// A size as people read it.
pub(crate) fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib {
        tib if tib >= 1024.0 * 1024.0 => format!("{:.1} TiB", tib / (1024.0 * 1024.0)),
        gib if gib >= 1024.0 => format!("{:.1} GiB", gib / 1024.0),
        mib => format!("{mib:.1} MiB"),
    }
}

impl Fetch {
    /// What fetching it comes to on what was read just now.
    pub fn now(&self, live: &LivePlace) -> FetchNow {
        let (place, node) = (&self.place, &self.place.node);
        let storage = place.volid.storage();
        if !live.online {
            return FetchNow::Refused(format!("{node} is not online."));
        }
        let others = match live.others.as_slice() {
            [] => String::new(),
            some => format!(" Storages there that do: {}.", some.join(", ")),
        };
        let Some(room) = live.room else {
            return FetchNow::Refused(format!("{node} has no storage {storage}.{others}"));
        };
        if let Some(file) = live.file {
            return self.there(file, live.record.as_ref());
        }
        if !room.active {
            return FetchNow::Refused(format!("{storage} on {node} is not active now.{others}"));
        }
        if !room.holds {
            return FetchNow::Refused(format!(
                "{storage} on {node} does not take a {}.{others}",
                place.volid.content().words()
            ));
        }
        let mut go = FetchNow::Go;
        if let Source::Oci { reference } = &self.source
            && let Some((major, minor)) = live.version
            && (major, minor) < OCI_SINCE
        {
            if !live.shell {
                return FetchNow::Refused(format!(
                    "{node} runs Proxmox VE {major}.{minor}; pulling {reference} needs 9.1 or newer, or the node shell with skopeo \
                     on {node} (docs/nodeshell.md). A template of `/image show` or the address of a .tar.zst works as it is."
                ));
            }
            go = FetchNow::OverShell;
        }
        if live.listed == Some(false) {
            return FetchNow::Refused(format!(
                "The template list of {node} has no {}. `pveam update` on the node reads it anew.",
                self.source.shown()
            ));
        }
        let needs = self.bytes.map_or(ROOM_UNKNOWN, |b| b.saturating_add(ROOM_LEFT));
        if room.free < needs {
            let what = match self.bytes {
                Some(bytes) => {
                    format!("it takes {}, and {} must stay free", size(bytes), size(ROOM_LEFT))
                }
                None => format!(
                    "its size is not known before, and {} must be free then",
                    size(ROOM_UNKNOWN)
                ),
            };
            return FetchNow::Refused(format!(
                "{storage} on {node} has {} free; {what}. `/image prune` shows what nothing uses.",
                size(room.free)
            ));
        }
        go
    }

    /// A file of that name is there: is it this one?
    fn there(&self, file: LiveVolume, record: Option<&ImageRecord>) -> FetchNow {
        let place = &self.place;
        let other = |what: String| {
            FetchNow::Refused(format!(
                "{place} is there already, and {what}. Delete it first with `/image delete`, or pull onto another storage."
            ))
        };
        if self.bytes.is_some_and(|b| b != file.bytes) {
            return other(format!(
                "has {} instead of {}: another version, or left over from a fetch that did not end",
                size(file.bytes),
                size(self.bytes.unwrap_or(0))
            ));
        }
        let Some(record) = record else {
            return FetchNow::There(format!(
                "{place} is there already, {}. gantry did not fetch it and cannot say where it is from.",
                size(file.bytes)
            ));
        };
        let wanted = self.source.digest();
        if record.source != self.source.shown() && (wanted.is_none() || record.digest != wanted) {
            return other(format!("came from {}", record.source));
        }
        if wanted.is_some() && record.digest.is_some() && record.digest != wanted {
            return other("has another checksum".to_owned());
        }
        FetchNow::There(format!("{place} is there already, {}.", size(file.bytes)))
    }
}

fn row(what: &str, after: impl Into<String>) -> Change {
    Change { what: what.to_owned(), before: "–".to_owned(), after: after.into() }
}

/// Plans having images at places; `live` stands in the order of `fetches`.
pub fn plan_fetch(
    cluster: &ClusterId,
    fetches: &[Fetch],
    live: &[LivePlace],
    rules: &ImageRules,
) -> Planned {
    let (mut steps, mut effects, mut there, mut refused) = (vec![], vec![], vec![], vec![]);
    let mut warnings = Vec::new();
    for (fetch, live) in fetches.iter().zip(live) {
        if let Err(bad) = allowed(&fetch.source, rules) {
            return Planned::Refused { why: format!("{bad}.") };
        }
        match fetch.now(live) {
            FetchNow::There(why) => there.push(why),
            FetchNow::Refused(why) => refused.push(why),
            FetchNow::Go => {
                effects.push(format!("Fetch {} as {}.", fetch.source.shown(), fetch.place));
                steps.push(StepKind::Image(Box::new(ImageStep::Fetch(fetch.clone()))));
            }
            FetchNow::OverShell => {
                effects.push(format!(
                    "Fetch {} as {} with skopeo on {}, over the node shell: its Proxmox is older than 9.1.",
                    fetch.source.shown(),
                    fetch.place,
                    fetch.place.node
                ));
                steps.push(StepKind::Image(Box::new(ImageStep::Copy(fetch.clone()))));
            }
        }
    }
    if !refused.is_empty() {
        return Planned::Refused { why: refused.join("\n") };
    }
    let (Some(first), false) = (fetches.first(), steps.is_empty()) else {
        return Planned::Nothing { why: there.join("\n") };
    };
    effects.extend(there.iter().cloned());
    if let Source::Url { url, .. } = &first.source {
        effects.push("Proxmox checks the checksum and keeps nothing that does not match.".into());
        if !url.is_https() {
            warnings.push(
                "It comes without TLS: only the checksum proves that it is the right file.".into(),
            );
        }
    }
    if let Source::Attachment { checksum, .. } = &first.source {
        effects.push("gantry hands it on from Discord's own file store as it comes.".into());
        if checksum.is_none() {
            warnings
                .push("Nobody gave a checksum: the file is taken as Discord hands it out.".into());
        }
        if fetches.len() > 1 {
            warnings.push("It is sent once to each place.".into());
        }
    }
    if let Source::Oci { reference } = &first.source {
        warnings.push(format!(
            "A tag can be moved: what “{}” names today is fetched, and its digest noted.",
            reference.tag()
        ));
    }
    let mut changes = vec![row("Source", first.source.shown())];
    changes.push(row("Kind", first.place.volid.content().words()));
    changes.push(row("Size", first.bytes.map_or_else(|| "not known before".to_owned(), size)));
    if let Some(digest) = first.source.digest() {
        changes.push(row("Checksum", short(&digest)));
    }
    for (fetch, live) in fetches.iter().zip(live) {
        if let Some(room) = live.room.filter(|_| live.file.is_none()) {
            changes.push(row(
                "Free now",
                format!(
                    "{} on {} ({})",
                    size(room.free),
                    fetch.place.volid.storage(),
                    fetch.place.node
                ),
            ));
        }
    }
    let present: Vec<bool> = live.iter().map(|l| l.file.is_some()).collect();
    Planned::Ready(Draft {
        name: first.place.volid.file().to_owned(),
        target: match fetches {
            [one] => format!("{} ({cluster})", one.place),
            several => {
                format!("{} at {} places ({cluster})", first.place.volid.file(), several.len())
            }
        },
        effects,
        changes,
        warnings,
        steps,
        fingerprint: hash(&json!([cluster, fetches, present])),
        digest: String::new(),
    })
}

/// Whether rules let a node fetch from there. No node fetches an attachment.
fn allowed(source: &Source, rules: &ImageRules) -> Result<(), super::reference::BadImage> {
    match source {
        Source::Oci { reference } => rules.check(&ImageRef::Oci(reference.clone())),
        Source::Url { url, .. } => rules.check(&ImageRef::Url(url.clone())),
        Source::Template { .. } | Source::Attachment { .. } => Ok(()),
    }
}

/// A checksum that fits a phone: `sha256:0123456789ab…`.
fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some((name, sum)) if sum.len() > 16 => format!("{name}:{}…", &sum[..12]),
        _ => digest.to_owned(),
    }
}

/// Names of users, at most so many.
fn named(users: &[String]) -> String {
    let shown = users.iter().take(USERS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match users.len().saturating_sub(USERS_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Plans deleting one image.
pub fn plan_delete(cluster: &ClusterId, place: &Place, live: &LiveDoomed) -> Planned {
    let Some(file) = live.file else {
        let have = it_has(&place.volid.to_string(), live.others.iter().map(String::as_str));
        return Planned::Nothing { why: format!("{place} is not there ({cluster}).{have}") };
    };
    if !live.users.is_empty() {
        return Planned::Refused {
            why: format!(
                "{place} is in use by {}. Nothing was deleted; what uses it must go, or be made from another image, first.",
                named(&live.users)
            ),
        };
    }
    let again = match &live.record {
        Some(record) if record.origin.is_lasting() => {
            format!("It came from {} and can be pulled again.", record.source)
        }
        _ => "gantry cannot fetch it again: keep a copy if it is the only one.".to_owned(),
    };
    let doomed = Doomed { place: place.clone(), bytes: file.bytes, created_s: file.created_s };
    Planned::Ready(Draft {
        name: place.volid.file().to_owned(),
        target: format!("{place} ({cluster})"),
        effects: vec![format!("Delete {place}, {}.", size(file.bytes)), again],
        changes: vec![Change {
            what: place.volid.content().words().to_owned(),
            before: size(file.bytes),
            after: "gone".into(),
        }],
        warnings: vec!["Guests made from it go on; new ones cannot be made from it.".into()],
        fingerprint: hash(&json!([cluster, doomed, live.users])),
        steps: vec![StepKind::Image(Box::new(ImageStep::Delete(doomed)))],
        digest: String::new(),
    })
}

/// Plans deleting what nothing uses. `foreign` counts files that gantry has no record of: they stay.
pub fn plan_prune(
    cluster: &ClusterId,
    filter: &PruneFilter,
    unused: &[Unused],
    foreign: usize,
    now_ms: i64,
) -> Planned {
    let stay = match foreign {
        0 => String::new(),
        n => format!(
            " {n} images that gantry did not fetch are left alone; `/image delete` takes one of them."
        ),
    };
    if unused.is_empty() {
        return Planned::Nothing {
            why: format!(
                "No image that gantry fetched has been unused for {} days or longer.{stay}",
                filter.days
            ),
        };
    }
    let now: Vec<&Unused> = unused.iter().take(PRUNE_MAX).collect();
    let bytes: u64 = now.iter().map(|u| u.doomed.bytes).sum();
    let days = |since_ms: i64| (now_ms.saturating_sub(since_ms) / 86_400_000).max(0);
    let mut warnings = Vec::new();
    if unused.len() > now.len() {
        warnings.push(format!(
            "{} more are unused; ask again once these are gone.",
            unused.len() - now.len()
        ));
    }
    if !stay.is_empty() {
        warnings.push(stay.trim().to_owned());
    }
    Planned::Ready(Draft {
        name: "unused images".into(),
        target: format!("{} unused images, {} ({cluster})", now.len(), size(bytes)),
        effects: vec![
            format!("Delete {} images that nothing uses: {} become free.", now.len(), size(bytes)),
            "Each is looked at once more right before it goes.".into(),
        ],
        changes: now
            .iter()
            .map(|u| Change {
                what: u.doomed.place.to_string(),
                before: format!("{}, unused for {} days", size(u.doomed.bytes), days(u.since_ms)),
                after: "gone".into(),
            })
            .collect(),
        warnings,
        fingerprint: hash(&json!([
            cluster,
            filter,
            now.iter().map(|u| &u.doomed).collect::<Vec<_>>()
        ])),
        steps: now
            .iter()
            .map(|u| StepKind::Image(Box::new(ImageStep::Delete(u.doomed.clone()))))
            .collect(),
        digest: String::new(),
    })
}

impl Doomed {
    /// Why it must not be deleted any more, if so; `None`: it is as it was seen. A missing file is the caller's case.
    pub fn changed(&self, file: LiveVolume, users: &[Usage]) -> Option<String> {
        if file.bytes != self.bytes || file.created_s != self.created_s {
            return Some(format!("{} is another file now ({})", self.place, size(file.bytes)));
        }
        // Who reads it is not known here, so nobody is named.
        let used = users.iter().filter(|u| u.needs(&self.place)).count();
        (used > 0).then(|| format!("{} is in use now; `/image used-by` tells by whom", self.place))
    }
}
