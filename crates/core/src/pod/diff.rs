//! What is between a pod as it is and as it shall be: typed changes, each with what it takes.
//!
//! Pure. The same comparison, against what was applied last, tells drift: what somebody else changed meanwhile.

use serde::{Deserialize, Serialize};

use super::config::{self, Raw, SCALARS};
use super::props::{Props, bytes};
use super::{Mount, PodSpec};

/// What a change takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    /// It works at once, also while the pod runs.
    Nothing,
    /// A running pod has to be restarted.
    Restart,
    /// The pod has to be deleted and created anew; its disks go with it.
    Anew,
    /// gantry cannot do it: why, and who can.
    Elsewhere(String),
}

/// What is sent for a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// A setting gets this value.
    Set(String, String),
    /// A setting is taken out.
    Unset(String),
    /// A disk grows to this size, GiB.
    Grow(String, u64),
    /// Nothing can be sent.
    Nothing,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What differs, as people say it.
    pub what: String,
    /// As it is.
    pub is: String,
    /// As it shall be.
    pub shall: String,
    /// What the change takes.
    pub takes: Takes,
    /// What is sent.
    pub edit: Edit,
}

impl Difference {
    /// The setting it is about: `memory`, `net0`, `rootfs`; empty where nothing can be sent.
    pub fn key(&self) -> &str {
        match &self.edit {
            Edit::Set(key, _) | Edit::Unset(key) | Edit::Grow(key, _) => key,
            Edit::Nothing => "",
        }
    }
}

/// How people call a setting.
fn named(key: &str) -> &'static str {
    match key {
        "hostname" => "Name",
        "cores" => "Cores",
        "cpulimit" => "CPU limit",
        "cpuunits" => "CPU share",
        "memory" => "Memory",
        "swap" => "Swap",
        "nameserver" => "DNS servers",
        "searchdomain" => "DNS search",
        "env" => "Environment",
        "entrypoint" => "Entrypoint",
        "features" => "Features",
        "onboot" => "Starts with its node",
        "startup" => "Start order",
        "tags" => "Tags",
        "protection" => "Protection",
        "unprivileged" => "Unprivileged",
        _ => "Setting",
    }
}

/// A setting's value as people read it. Values of the environment are nobody's business.
fn shown(key: &str, value: Option<&str>) -> String {
    let Some(value) = value else {
        return match key {
            "onboot" | "protection" | "unprivileged" => "no".into(),
            _ => "–".into(),
        };
    };
    match key {
        "memory" | "swap" => format!("{value} MiB"),
        "onboot" | "protection" | "unprivileged" => "yes".into(),
        "env" => {
            let names = value.split('\0').map(|v| v.split('=').next().unwrap_or_default());
            names.collect::<Vec<_>>().join(", ")
        }
        "tags" => value.replace(';', ", "),
        _ => value.to_owned(),
    }
}

/// What a change of a scalar setting takes. Proxmox applies the first group to a running container
/// (`PVE::LXC::Config`, fast-plug and hot-plug); all others wait for a restart.
fn takes(key: &str, is: Option<&str>, shall: Option<&str>) -> Takes {
    match key {
        "cores" | "cpulimit" | "cpuunits" | "memory" | "swap" | "onboot" | "startup" | "tags"
        | "protection" => Takes::Nothing,
        "unprivileged" => Takes::Anew,
        "features" => {
            let rest = |text: Option<&str>| {
                let mut props = Props::read(text.unwrap_or_default());
                props.put("nesting", None::<&str>);
                props.text()
            };
            if rest(is) == rest(shall) {
                return Takes::Restart;
            }
            Takes::Elsewhere(
                "Proxmox lets only root@pam itself change features other than nesting, no API token: set it on the node with `pct set`, then apply again".into(),
            )
        }
        _ => Takes::Restart,
    }
}

/// Every difference between `raw`, the configuration as read, and `spec`.
pub fn differences(spec: &PodSpec, raw: &Raw) -> Vec<Difference> {
    let mut spec = spec.clone();
    if spec.template.root.storage.is_none() {
        // Left open when it was created; where it is now is where it was put.
        let is = raw.get("rootfs").and_then(|text| storage_of(text)?.parse().ok());
        spec.template.root.storage = is;
    }
    let spec = &spec;
    let mut all: Vec<Difference> =
        SCALARS.iter().filter_map(|key| scalar(spec, raw, key)).collect();
    root(spec, raw, &mut all);
    volumes(spec, raw, &mut all);
    cards(spec, raw, &mut all);
    all
}

fn scalar(spec: &PodSpec, raw: &Raw, key: &str) -> Option<Difference> {
    let (is, shall) = (config::told(raw, key), config::wanted(spec, key));
    if config::same(key, is.as_deref(), shall.as_deref()) {
        return None;
    }
    let takes = takes(key, is.as_deref(), shall.as_deref());
    let edit = match (&takes, &shall) {
        (Takes::Anew | Takes::Elsewhere(_), _) => Edit::Nothing,
        (_, Some(value)) => Edit::Set(key.to_owned(), value.clone()),
        (_, None) => Edit::Unset(key.to_owned()),
    };
    let (mut before, mut after) = (shown(key, is.as_deref()), shown(key, shall.as_deref()));
    if key == "env" && before == after {
        before.push_str(" (other values)");
        after.push_str(" (new values)");
    }
    Some(Difference { what: named(key).to_owned(), is: before, shall: after, takes, edit })
}

/// A disk that shall have another size.
fn size(what: String, key: &str, text: &str, shall_gib: u64) -> Option<Difference> {
    // A directory without a size has no limit to compare with.
    let is = bytes(Props::read(text).get("size")?).filter(|b| *b > 0)?;
    let shall = shall_gib << 30;
    let (takes, edit) = match is.cmp(&shall) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => (Takes::Nothing, Edit::Grow(key.to_owned(), shall_gib)),
        std::cmp::Ordering::Greater => (
            Takes::Elsewhere("a disk never shrinks: ask for its present size or more".into()),
            Edit::Nothing,
        ),
    };
    let gib = |bytes: u64| match bytes % (1 << 30) {
        0 => format!("{} GiB", bytes >> 30),
        _ => format!("{:.2} GiB", bytes as f64 / f64::from(1u32 << 30)),
    };
    Some(Difference { what, is: gib(is), shall: gib(shall), takes, edit })
}

fn storage_of(text: &str) -> Option<String> {
    Some(Props::read(text).head?.split_once(':')?.0.to_owned())
}

/// A volume that lies on another storage than it shall.
fn moved(what: &str, text: &str, shall: Option<&str>) -> Option<Difference> {
    let (is, shall) = (storage_of(text)?, shall?);
    (is != shall).then(|| Difference {
        what: format!("{what}: storage"),
        is,
        shall: shall.to_owned(),
        takes: Takes::Elsewhere("move the volume at Proxmox, then apply again".into()),
        edit: Edit::Nothing,
    })
}

fn root(spec: &PodSpec, raw: &Raw, all: &mut Vec<Difference>) {
    let Some(text) = raw.get("rootfs") else { return };
    let root = &spec.template.root;
    all.extend(size("Root disk".into(), "rootfs", text, root.size_gib));
    all.extend(moved("Root disk", text, root.storage.as_ref().map(|s| s.as_str())));
}

/// Settings `prefixN` that are there, by number.
fn numbered<'a>(raw: &'a Raw, prefix: &str) -> Vec<(u32, &'a str)> {
    let mut found: Vec<(u32, &str)> = raw
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.parse().ok()?, value.as_str())))
        .collect();
    found.sort_unstable();
    found
}

/// Numbers that are free, in order.
fn free(taken: &[(u32, &str)]) -> impl Iterator<Item = u32> {
    let taken: Vec<u32> = taken.iter().map(|(n, _)| *n).collect();
    (0u32..).filter(move |n| !taken.contains(n))
}

fn volumes(spec: &PodSpec, raw: &Raw, all: &mut Vec<Difference>) {
    let template = &spec.template;
    let there = numbered(raw, "mp");
    let mut numbers = free(&there);
    for wanted in &template.mounts {
        let what = format!("Volume {}", wanted.name);
        let at =
            |(_, text): &&(u32, &str)| Props::read(text).get("mp") == Some(wanted.path.as_str());
        let Some((number, text)) = there.iter().find(at) else {
            let value = config::mount(wanted, template);
            all.push(new_volume(what, wanted, value, numbers.next()));
            continue;
        };
        let key = format!("mp{number}");
        // Settings before growth: a setting carries the size it was read with.
        all.extend(other_flags(what.clone(), key.clone(), text, wanted));
        let storage = wanted.storage.as_ref().or(template.root.storage.as_ref());
        if let Some(volume) = &wanted.volume {
            all.extend(other_volume(&what, text, volume));
        } else {
            all.extend(moved(&what, text, storage.map(|s| s.as_str())));
            all.extend(size(what, &key, text, wanted.size_gib));
        }
    }
    for (number, text) in &there {
        let props = Props::read(text);
        let path = props.get("mp").unwrap_or_default();
        if template.mounts.iter().any(|m| m.path == path) {
            continue;
        }
        all.push(Difference {
            what: format!("Volume at {path}"),
            is: props.head.clone().unwrap_or_default(),
            shall: "detached, its data kept as an unused disk".into(),
            takes: Takes::Restart,
            edit: Edit::Unset(format!("mp{number}")),
        });
    }
}

fn new_volume(
    what: String,
    wanted: &Mount,
    value: Option<Props>,
    number: Option<u32>,
) -> Difference {
    let head = value.as_ref().and_then(|v| v.head.clone()).unwrap_or_default();
    let shall = match (&wanted.volume, head.split_once(':')) {
        (None, Some((storage, _))) => {
            format!("{} GiB on {storage} at {}", wanted.size_gib, wanted.path)
        }
        _ => format!("{head} at {}", wanted.path),
    };
    let (takes, edit) = match (value, number) {
        (Some(value), Some(n)) => (Takes::Nothing, Edit::Set(format!("mp{n}"), value.text())),
        _ => {
            (Takes::Elsewhere("name a storage for it, or for the root disk".into()), Edit::Nothing)
        }
    };
    Difference { what, is: "–".into(), shall, takes, edit }
}

fn other_volume(what: &str, text: &str, volume: &str) -> Option<Difference> {
    let is = Props::read(text).head?;
    (is != volume).then(|| Difference {
        what: what.to_owned(),
        is,
        shall: volume.to_owned(),
        takes: Takes::Elsewhere("another volume is mounted there: detach it first".into()),
        edit: Edit::Nothing,
    })
}

fn other_flags(what: String, key: String, text: &str, wanted: &Mount) -> Option<Difference> {
    let is = Props::read(text);
    let mut shall = is.clone();
    config::flags(wanted, &mut shall);
    let on = |props: &Props| {
        let flag = |key: &str, yes: &'static str, no: &'static str| match props.get(key) {
            Some("1") => yes,
            _ => no,
        };
        format!(
            "{}, {}",
            flag("backup", "in backups", "not in backups"),
            flag("ro", "read-only", "writable")
        )
    };
    (on(&is) != on(&shall)).then(|| Difference {
        what,
        is: on(&is),
        shall: on(&shall),
        takes: Takes::Restart,
        edit: Edit::Set(key, shall.text()),
    })
}

fn cards(spec: &PodSpec, raw: &Raw, all: &mut Vec<Difference>) {
    let there = numbered(raw, "net");
    let mut numbers = free(&there);
    let mut met = Vec::new();
    for (position, card) in spec.template.networks.iter().enumerate() {
        let name = card.inner_name(position);
        let what = format!("Card {name}");
        let found = there
            .iter()
            .map(|(n, text)| (*n, config::read_net(text)))
            .find(|(_, props)| props.get("name") == Some(name.as_str()));
        let (number, is) = match &found {
            Some((number, is)) => (Some(*number), Some(is)),
            None => (numbers.next(), None),
        };
        let Some(number) = number else { continue };
        met.push(number);
        let shall = config::net(card, position, is);
        if is == Some(&shall) {
            continue;
        }
        all.push(Difference {
            what,
            is: is.map_or_else(|| "–".into(), |is| only(is, &shall)),
            shall: is.map_or_else(|| card.describe(), |is| only(&shall, is)),
            // Proxmox unplugs and plugs the card of a running container; the system inside takes its address itself.
            takes: Takes::Nothing,
            edit: Edit::Set(format!("net{number}"), shall.text()),
        });
    }
    for (number, text) in there.iter().filter(|(n, _)| !met.contains(n)) {
        let props = config::read_net(text);
        all.push(Difference {
            what: format!("Card {}", props.get("name").unwrap_or("?")),
            is: props.get("bridge").unwrap_or("–").to_owned(),
            shall: "removed".into(),
            takes: Takes::Nothing,
            edit: Edit::Unset(format!("net{number}")),
        });
    }
}

/// The parts of `one` that `other` does not say the same of.
fn only(one: &Props, other: &Props) -> String {
    let mut parts: Vec<String> = one
        .parts
        .iter()
        .filter(|(key, value)| other.get(key) != Some(value))
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    let missing = other.parts.keys().filter(|key| one.get(key).is_none());
    parts.extend(missing.map(|key| format!("no {key}")));
    parts.join(", ")
}

/// What of a live configuration is not as it was applied last: somebody else changed it.
pub fn drift(applied: &PodSpec, raw: &Raw) -> Vec<Difference> {
    differences(applied, raw)
}

/// Whether what `edit` promises is so in `raw`.
pub fn is_done(edit: &Edit, raw: &Raw) -> bool {
    match edit {
        Edit::Nothing => true,
        Edit::Unset(key) => match key.as_str() {
            k if SCALARS.contains(&k) => config::told(raw, k).is_none(),
            k => !raw.contains_key(k),
        },
        Edit::Grow(key, gib) => raw
            .get(key)
            .and_then(|text| bytes(Props::read(text).get("size")?))
            .is_some_and(|is| is >= gib << 30),
        Edit::Set(key, value) => match key.as_str() {
            k if SCALARS.contains(&k) => {
                let wanted = Raw::from([(k.to_owned(), value.clone())]);
                let (is, shall) = (config::told(raw, k), config::told(&wanted, k));
                config::same(k, is.as_deref(), shall.as_deref())
            }
            k if k.starts_with("net") => raw.get(k).is_some_and(|is| {
                let (is, shall) = (config::read_net(is), config::read_net(value));
                // Proxmox adds what it chooses itself.
                shall.parts.iter().all(|(key, value)| is.get(key) == Some(value))
                    && is.parts.keys().all(|key| {
                        shall.get(key).is_some()
                            || matches!(key.as_str(), "hwaddr" | "type" | "host-managed")
                    })
            }),
            k if k.starts_with("mp") => raw.get(k).is_some_and(|is| {
                let (is, shall) = (Props::read(is), Props::read(value));
                let same = |key: &str| {
                    is.get(key).filter(|v| *v != "0") == shall.get(key).filter(|v| *v != "0")
                };
                same("mp") && same("backup") && same("ro")
            }),
            // The notes: Proxmox adds a line end.
            k => raw.get(k).is_some_and(|is| is.trim_end() == value.trim_end()),
        },
    }
}
