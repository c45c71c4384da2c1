//! A specification as settings of Proxmox, and settings as Proxmox tells them, in one spelling: what `create` sends,
//! what `apply` compares.

use std::collections::BTreeMap;

use super::props::Props;
use super::{Ipv4, Ipv6, Mount, Network, PodSpec, PodTemplate};

/// A container's configuration as read: keys with their text.
pub type Raw = BTreeMap<String, String>;

/// Scalar settings that are compared and set as a whole.
pub(super) const SCALARS: [&str; 16] = [
    "hostname",
    "cores",
    "cpulimit",
    "cpuunits",
    "memory",
    "swap",
    "nameserver",
    "searchdomain",
    "env",
    "entrypoint",
    "features",
    "onboot",
    "startup",
    "tags",
    "protection",
    "unprivileged",
];

/// What a specification wants of a scalar setting; `None`: not set.
pub(super) fn wanted(spec: &PodSpec, key: &str) -> Option<String> {
    let t = &spec.template;
    let list = |parts: Vec<String>, with: &str| (!parts.is_empty()).then(|| parts.join(with));
    let flag = |on: bool| on.then(|| "1".to_owned());
    match key {
        "hostname" => Some(spec.name.clone()),
        "cores" => Some(t.cores.to_string()),
        "cpulimit" => t.cpu_limit.map(|n| n.to_string()),
        "cpuunits" => t.cpu_units.map(|n| n.to_string()),
        "memory" => Some(t.memory_mib.to_string()),
        "swap" => Some(t.swap_mib.to_string()),
        "nameserver" => list(t.dns.servers.iter().map(ToString::to_string).collect(), " "),
        "searchdomain" => list(t.dns.search.clone(), " "),
        "env" => list(t.env.0.iter().map(|(k, v)| format!("{k}={v}")).collect(), "\0"),
        "entrypoint" => t.entrypoint.clone(),
        "features" => features(t),
        "onboot" => flag(t.boot.start),
        "startup" => Some(t.boot.startup()).filter(|s| !s.is_empty()),
        "tags" => list(t.all_tags(), ";"),
        "protection" => flag(t.protection),
        "unprivileged" => flag(t.unprivileged),
        _ => None,
    }
}

fn features(t: &PodTemplate) -> Option<String> {
    let f = &t.features;
    let on: Vec<&str> =
        [("fuse", f.fuse), ("keyctl", f.keyctl), ("mknod", f.mknod), ("nesting", f.nesting)]
            .into_iter()
            .filter_map(|(name, on)| on.then_some(name))
            .collect();
    let text: Vec<String> = on.into_iter().map(|name| format!("{name}=1")).collect();
    (!text.is_empty()).then(|| text.join(","))
}

/// A scalar setting as Proxmox tells it, in the spelling of `wanted`; a default that is spelled out counts as not set.
pub(super) fn told(raw: &Raw, key: &str) -> Option<String> {
    let text = raw.get(key).map(|t| t.trim()).filter(|t| !t.is_empty());
    let flag = |text: Option<&str>| {
        text.is_some_and(|t| matches!(t, "1" | "true" | "yes" | "on")).then(|| "1".to_owned())
    };
    match key {
        // Proxmox's own defaults (`lxc` create).
        "memory" | "swap" => Some(text.unwrap_or("512").to_owned()),
        "onboot" | "protection" | "unprivileged" => flag(text),
        "cpulimit" => text?.parse::<super::Milli>().ok().filter(|n| n.0 > 0).map(|n| n.to_string()),
        "features" => {
            let mut props = Props::read(text?);
            props.parts.retain(|_, value| value != "0");
            Some(props.text()).filter(|t| !t.is_empty())
        }
        "startup" => {
            let mut props = Props::read(text?);
            // `order` may stand without its key.
            if let Some(order) = props.head.take() {
                props.put("order", Some(order));
            }
            let order = ["order", "up", "down"];
            let parts = order.iter().filter_map(|k| props.get(k).map(|v| format!("{k}={v}")));
            Some(parts.collect::<Vec<_>>().join(",")).filter(|t| !t.is_empty())
        }
        "nameserver" | "searchdomain" => {
            let parts = text?.split([' ', ',', ';']).filter(|p| !p.is_empty());
            Some(parts.collect::<Vec<_>>().join(" "))
        }
        _ => text.map(str::to_owned),
    }
}

/// Whether two texts of a scalar setting mean the same.
pub(super) fn same(key: &str, a: Option<&str>, b: Option<&str>) -> bool {
    let set = |text: Option<&str>, at: &[char]| {
        let mut parts: Vec<String> = text
            .unwrap_or_default()
            .split(at)
            .filter(|p| !p.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        parts.sort();
        parts.dedup();
        parts
    };
    match key {
        // Proxmox folds tags to lower case and sorts them as its options say.
        "tags" => set(a, &[';', ',', ' ']) == set(b, &[';', ',', ' ']),
        "env" => {
            let vars = |text: Option<&str>| {
                let mut parts: Vec<String> = text
                    .unwrap_or_default()
                    .split('\0')
                    .filter(|p| !p.is_empty())
                    .map(str::to_owned)
                    .collect();
                parts.sort();
                parts
            };
            vars(a) == vars(b)
        }
        _ => a == b,
    }
}

/// A card as Proxmox's `netN`. What `base` says of its own making (type, hardware address) is kept.
pub(super) fn net(card: &Network, position: usize, base: Option<&Props>) -> Props {
    let mut props = Props::default();
    for key in ["hwaddr", "type", "host-managed"] {
        props.put(key, base.and_then(|b| b.get(key)));
    }
    props.put("name", Some(card.inner_name(position)));
    props.put("bridge", Some(&card.bridge));
    props.put("tag", card.vlan);
    let trunks: Vec<String> = card.trunks.iter().map(u16::to_string).collect();
    props.put("trunks", (!trunks.is_empty()).then(|| trunks.join(";")));
    props.put("ip", (card.ipv4 != Ipv4::None).then(|| card.ipv4.to_string()));
    props.put("gw", card.gateway4);
    props.put("ip6", (card.ipv6 != Ipv6::None).then(|| card.ipv6.to_string()));
    props.put("gw6", card.gateway6);
    if let Some(mac) = &card.mac {
        props.put("hwaddr", Some(mac.to_ascii_uppercase()));
    }
    props.put("mtu", card.mtu);
    props.put("rate", card.rate_mb_s);
    props.put("firewall", card.firewall.then_some(1));
    props.put("link_down", card.link_down.then_some(1));
    props
}

/// A card as Proxmox tells it, in the spelling of `net`.
pub(super) fn read_net(text: &str) -> Props {
    let mut props = Props::read(text);
    props.parts.retain(|key, value| {
        !(matches!(key.as_str(), "firewall" | "link_down") && value == "0"
            || matches!(key.as_str(), "ip" | "ip6") && value == "manual")
    });
    if let Some(mac) = props.parts.get_mut("hwaddr") {
        mac.make_ascii_uppercase();
    }
    if let Some(rate) = props.get("rate").and_then(|r| r.parse::<super::Milli>().ok()) {
        props.put("rate", Some(rate));
    }
    props
}

/// A volume as `mpN`: a new one of its size, or one that exists.
pub(super) fn mount(mount: &Mount, t: &PodTemplate) -> Option<Props> {
    let storage = mount.storage.as_ref().or(t.root.storage.as_ref());
    let head = match (&mount.volume, storage) {
        (Some(volume), _) => volume.clone(),
        (None, Some(storage)) => format!("{storage}:{}", mount.size_gib),
        (None, None) => return None,
    };
    let mut props = Props { head: Some(head), ..Props::default() };
    props.put("mp", Some(&mount.path));
    flags(mount, &mut props);
    Some(props)
}

/// Puts what a specification says about a volume into its settings.
pub(super) fn flags(mount: &Mount, props: &mut Props) {
    props.put("backup", mount.backup.then_some(1));
    props.put("ro", mount.read_only.then_some(1));
}

/// Every setting a new container is created with, besides its number, image, pool, keys and notes.
///
/// `None` where no storage was chosen for its disks.
pub fn settings(spec: &PodSpec) -> Option<Vec<(String, String)>> {
    let t = &spec.template;
    let mut all: Vec<(String, String)> = SCALARS
        .iter()
        // Proxmox takes `unprivileged` for on where it is not said; it is always said.
        .filter(|key| !matches!(**key, "unprivileged" | "onboot"))
        .filter_map(|key| Some(((*key).to_owned(), wanted(spec, key)?)))
        .collect();
    let bit = |on: bool| u8::from(on).to_string();
    all.push(("unprivileged".into(), bit(t.unprivileged)));
    all.push(("onboot".into(), bit(t.boot.start)));
    let storage = t.root.storage.as_ref()?;
    all.push(("rootfs".into(), format!("{storage}:{}", t.root.size_gib)));
    for (n, volume) in t.mounts.iter().enumerate() {
        all.push((format!("mp{n}"), mount(volume, t)?.text()));
    }
    for (n, card) in t.networks.iter().enumerate() {
        all.push((format!("net{n}"), net(card, n, None).text()));
    }
    Some(all)
}
