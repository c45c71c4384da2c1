//! A node's interfaces: what is configured, what is staged, what is live.
//!
//! As on the real server, changes go to a second file first; reading shows that file when it is there, and the
//! difference between the two as text. Reloading makes the staged configuration the live one. A reload that takes
//! the node's own address away cuts it off: nobody can revert it through the API any more.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Options of an interface, by their API names.
pub(crate) type Options = BTreeMap<String, String>;
/// Interfaces by name.
pub(crate) type Interfaces = BTreeMap<String, Options>;

/// Network cards every node has; the first carries the management bridge.
const CARDS: [&str; 4] = ["eno1", "eno2", "enp65s0f0", "enp65s0f1"];
/// Lines of context around a change in a diff.
const CONTEXT: usize = 3;

/// Whether an interface waits for a reload, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staged {
    No,
    New,
    Changed,
    Deleted,
}

impl Staged {
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::New => Some("new"),
            Self::Changed => Some("changed"),
            Self::Deleted => Some("deleted"),
        }
    }
}

/// The interfaces of one node.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) live: Interfaces,
    pub(crate) staged: Option<Interfaces>,
}

/// Options given as pairs.
pub(crate) fn options<const N: usize>(pairs: [(&str, &str); N]) -> Options {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

impl Network {
    /// Two bridges on two cards, the first with the node's address.
    pub(crate) fn of_node(address: &str) -> Self {
        let mut live = Interfaces::new();
        for card in CARDS {
            live.insert(card.to_owned(), options([("type", "eth")]));
        }
        let mut first = options([("type", "bridge"), ("autostart", "1"), ("bridge_ports", "eno1")]);
        first.insert("cidr".to_owned(), format!("{address}/24"));
        first.insert("gateway".to_owned(), "10.20.0.1".to_owned());
        live.insert("vmbr0".to_owned(), first);
        let second = options([
            ("type", "bridge"),
            ("autostart", "1"),
            ("bridge_ports", "eno2"),
            ("bridge_vlan_aware", "1"),
            ("bridge_vids", "2-4094"),
        ]);
        live.insert("vmbr1".to_owned(), second);
        Self { live, staged: None }
    }

    /// What reading shows: the staged configuration when there is one.
    pub(crate) fn shown(&self) -> &Interfaces {
        self.staged.as_ref().unwrap_or(&self.live)
    }

    /// The configuration to change; begins staging.
    pub(crate) fn stage(&mut self) -> &mut Interfaces {
        let live = &self.live;
        self.staged.get_or_insert_with(|| live.clone())
    }

    /// How an interface differs from what is live.
    pub(crate) fn state_of(&self, name: &str) -> Staged {
        let Some(staged) = &self.staged else { return Staged::No };
        match (self.live.get(name), staged.get(name)) {
            (None, Some(_)) => Staged::New,
            (Some(_), None) => Staged::Deleted,
            (Some(a), Some(b)) if a != b => Staged::Changed,
            _ => Staged::No,
        }
    }

    /// The difference as text, or nothing when nothing is staged.
    pub(crate) fn changes(&self, stamp: &str) -> Option<String> {
        let (old, new) = (written(&self.live), written(self.staged.as_ref()?));
        let body = unified(&old, &new);
        (!body.is_empty()).then(|| {
            format!(
                "--- /etc/network/interfaces\t{stamp}\n+++ /etc/network/interfaces.new\t{stamp}\n{body}"
            )
        })
    }

    /// Makes the staged configuration the live one; `false` when `address` is not reachable any more.
    pub(crate) fn reload(&mut self, address: &str) -> bool {
        if let Some(staged) = self.staged.take() {
            self.live = staged;
        }
        self.carries(address)
    }

    /// Is there a way from a network card to the interface that has this address?
    fn carries(&self, address: &str) -> bool {
        self.live.iter().any(|(name, own)| {
            let has = own
                .get("cidr")
                .is_some_and(|c| c.split('/').next().is_some_and(|ip| ip == address));
            has && self.reaches_card(name, 0)
        })
    }

    fn reaches_card(&self, name: &str, depth: usize) -> bool {
        // Interfaces may stand on each other a few times: VLAN on bridge on bond on card.
        if depth > 8 {
            return false;
        }
        let Some(own) = self.live.get(name) else { return false };
        match own.get("type").map(String::as_str) {
            Some("eth") => name == "eno1" || name == "eno2",
            Some("vlan") => raw_device(name, own).is_some_and(|d| self.reaches_card(&d, depth + 1)),
            _ => ["bridge_ports", "slaves", "ovs_ports", "ovs_bonds"].iter().any(|key| {
                own.get(*key).is_some_and(|ports| {
                    words(ports).any(|port| self.reaches_card(port, depth + 1))
                })
            }),
        }
    }

    /// Live bridges.
    pub(crate) fn bridges(&self) -> impl Iterator<Item = &str> {
        self.live
            .iter()
            .filter(|(_, own)| own.get("type").is_some_and(|t| t == "bridge" || t == "OVSBridge"))
            .map(|(name, _)| name.as_str())
    }

    /// An interface as the API shows it.
    pub(crate) fn row(&self, name: &str, own: &Options, priority: usize) -> Map<String, Value> {
        let mut row = Map::new();
        row.insert("iface".into(), json!(name));
        row.insert("priority".into(), json!(priority));
        let kind = own.get("type").map_or("unknown", String::as_str);
        let families = match (own.contains_key("cidr"), own.contains_key("cidr6")) {
            (true, true) => json!(["inet", "inet6"]),
            (false, true) => json!(["inet6"]),
            _ => json!(["inet"]),
        };
        row.insert("families".into(), families);
        for (suffix, key) in [("", "cidr"), ("6", "cidr6")] {
            let method = if own.contains_key(key) { "static" } else { "manual" };
            row.insert(format!("method{suffix}"), json!(method));
            if let Some((address, length)) = own.get(key).and_then(|c| c.split_once('/')) {
                row.insert(format!("address{suffix}"), json!(address));
                row.insert(format!("netmask{suffix}"), json!(length));
            }
        }
        for (key, value) in own {
            let shown = match key.as_str() {
                "autostart" | "bridge_vlan_aware" => json!(1),
                // Comment lines of a file: each ends in a newline.
                "comments" | "comments6" => json!(format!("{}\n", value.trim_end_matches('\n'))),
                _ => json!(value),
            };
            if !(value == "0" && matches!(key.as_str(), "autostart" | "bridge_vlan_aware")) {
                row.insert(key.clone(), shown);
            }
        }
        if kind == "bridge" {
            row.entry("bridge_ports").or_insert(json!(""));
            row.insert("bridge_stp".into(), json!("off"));
            row.insert("bridge_fd".into(), json!("0"));
        }
        if kind == "eth" {
            row.insert("exists".into(), json!(1));
        }
        // A card without a cable is there and not active.
        if self.live.contains_key(name) && !matches!(name, "enp65s0f0" | "enp65s0f1") {
            row.insert("active".into(), json!(1));
        }
        row
    }

    /// Refuses what the writer of the file refuses.
    pub(crate) fn check(all: &Interfaces) -> Result<(), String> {
        let kind = |name: &str| all.get(name).and_then(|o| o.get("type")).map(String::as_str);
        let mut used: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, own) in all {
            let own_kind = own.get("type").map_or("", String::as_str);
            for (key, what) in [("slaves", "slave"), ("bridge_ports", "bridge port")] {
                let Some(ports) = own.get(key) else { continue };
                for port in words(ports) {
                    let Some(port_kind) = kind(port) else {
                        return Err(format!(
                            "{own_kind} '{name}' - unable to find {what} '{port}'"
                        ));
                    };
                    if key == "slaves" && !matches!(port_kind, "eth" | "bond") {
                        return Err(format!(
                            "bond '{name}' - wrong interface type on slave '{port}' ('{port_kind}' != 'eth or bond')"
                        ));
                    }
                    if all.get(port).is_some_and(|o| o.contains_key("cidr")) {
                        return Err(format!(
                            "interface '{port}' - ip address can't be set on interface if {} in '{name}'",
                            if key == "slaves" { "bonded" } else { "bridged" }
                        ));
                    }
                    if let Some(other) = used.insert(port, name) {
                        return Err(format!(
                            "iface '{port}' is already used by '{other}', can't add it to '{name}'"
                        ));
                    }
                    let mtu = |n: &str| {
                        all.get(n).and_then(|o| o.get("mtu")).and_then(|m| m.parse::<u32>().ok())
                    };
                    if let (Some(above), Some(below)) = (mtu(name), mtu(port))
                        && above > below
                    {
                        return Err(format!(
                            "interface '{name}' - mtu {above} is bigger than '{port}' - mtu {below}"
                        ));
                    }
                }
            }
            if own_kind == "vlan" {
                let Some(raw) = raw_device(name, own) else {
                    return Err(format!("vlan '{name}' - vlan-raw-device is not set"));
                };
                if kind(&raw).is_none() {
                    return Err(format!("vlan '{name}' - unable to find parent '{raw}'"));
                }
            }
        }
        Ok(())
    }
}

/// The device below a VLAN: named, or what stands before the dot.
fn raw_device(name: &str, own: &Options) -> Option<String> {
    own.get("vlan-raw-device").cloned().or_else(|| {
        let (device, tag) = name.split_once('.')?;
        tag.parse::<u16>().is_ok().then(|| device.to_owned())
    })
}

/// Members of a list of names.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', ';']).filter(|w| !w.is_empty() && *w != "none")
}

/// The configuration file.
fn written(all: &Interfaces) -> Vec<String> {
    let mut lines = vec!["auto lo".to_owned(), "iface lo inet loopback".to_owned(), String::new()];
    for (name, own) in all {
        if own.get("autostart").is_some_and(|v| v == "1") {
            lines.push(format!("auto {name}"));
        }
        let kind = own.get("type").map_or("", String::as_str);
        let method = if own.contains_key("cidr") { "static" } else { "manual" };
        lines.push(format!("iface {name} inet {method}"));
        for (key, label) in [("cidr", "address"), ("gateway", "gateway")] {
            if let Some(value) = own.get(key) {
                lines.push(format!("\t{label} {value}"));
            }
        }
        if kind == "bridge" {
            let ports = own.get("bridge_ports").filter(|p| !p.is_empty());
            lines.push(format!("\tbridge-ports {}", ports.map_or("none", String::as_str)));
            lines.push("\tbridge-stp off".to_owned());
            lines.push("\tbridge-fd 0".to_owned());
            if own.get("bridge_vlan_aware").is_some_and(|v| v == "1") {
                lines.push("\tbridge-vlan-aware yes".to_owned());
                let vids = own.get("bridge_vids").map_or("2-4094", String::as_str);
                lines.push(format!("\tbridge-vids {vids}"));
            }
        }
        for (key, label) in [
            ("slaves", "bond-slaves"),
            ("bond_mode", "bond-mode"),
            ("bond-primary", "bond-primary"),
            ("bond_xmit_hash_policy", "bond-xmit-hash-policy"),
            ("vlan-raw-device", "vlan-raw-device"),
            ("mtu", "mtu"),
        ] {
            if let Some(value) = own.get(key) {
                lines.push(format!("\t{label} {value}"));
            }
        }
        if kind == "bond" {
            lines.push("\tbond-miimon 100".to_owned());
        }
        if let Some(comments) = own.get("comments") {
            lines.extend(comments.lines().map(|line| format!("#{line}")));
        }
        lines.push(String::new());
        if own.contains_key("cidr6") {
            lines.push(format!("iface {name} inet6 static"));
            for (key, label) in [("cidr6", "address"), ("gateway6", "gateway")] {
                if let Some(value) = own.get(key) {
                    lines.push(format!("\t{label} {value}"));
                }
            }
            lines.push(String::new());
        }
    }
    lines
}

/// One line of a comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Same,
    Gone,
    New,
}

/// A unified diff without its two headers.
pub(crate) fn unified(old: &[String], new: &[String]) -> String {
    // Longest common run of lines, the plain way: these files are short.
    let (n, m) = (old.len(), new.len());
    let width = m + 1;
    let mut table = vec![0_usize; (n + 1) * width];
    let at = |table: &[usize], i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            let best = if old.get(i) == new.get(j) {
                at(&table, i + 1, j + 1) + 1
            } else {
                at(&table, i + 1, j).max(at(&table, i, j + 1))
            };
            if let Some(cell) = table.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let mut rows: Vec<(Mark, &str)> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < n || j < m {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => {
                rows.push((Mark::Same, a));
                i += 1;
                j += 1;
            }
            (Some(a), b) if b.is_none() || at(&table, i + 1, j) >= at(&table, i, j + 1) => {
                rows.push((Mark::Gone, a));
                i += 1;
            }
            (_, Some(b)) => {
                rows.push((Mark::New, b));
                j += 1;
            }
            _ => break,
        }
    }
    hunks(&rows)
}

fn hunks(rows: &[(Mark, &str)]) -> String {
    let changed: Vec<usize> = rows
        .iter()
        .enumerate()
        .filter(|(_, (mark, _))| *mark != Mark::Same)
        .map(|(n, _)| n)
        .collect();
    let mut out = String::new();
    let mut next = 0;
    while let Some(first) = changed.get(next).copied() {
        let mut last = first;
        while let Some(more) = changed.get(next).copied()
            && more <= last + 2 * CONTEXT + 1
        {
            last = more;
            next += 1;
        }
        let from = first.saturating_sub(CONTEXT);
        let part = rows.get(from..(last + CONTEXT + 1).min(rows.len())).unwrap_or_default();
        let before = rows.get(..from).unwrap_or_default();
        let count =
            |rows: &[(Mark, &str)], not: Mark| rows.iter().filter(|(m, _)| *m != not).count();
        out.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            count(before, Mark::New) + 1,
            count(part, Mark::New),
            count(before, Mark::Gone) + 1,
            count(part, Mark::Gone)
        ));
        for (mark, line) in part {
            let sign = match mark {
                Mark::Same => ' ',
                Mark::Gone => '-',
                Mark::New => '+',
            };
            out.push_str(&format!("{sign}{line}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_reads_like_a_diff() {
        let mut network = Network::of_node("10.20.0.11");
        assert_eq!(network.changes("now"), None);
        network.stage().insert("vmbr9".to_owned(), options([("type", "bridge")]));
        let text = network.changes("now").unwrap();
        assert!(text.starts_with("--- /etc/network/interfaces\tnow\n+++ "), "{text}");
        assert!(text.contains("+iface vmbr9 inet manual\n+\tbridge-ports none\n"), "{text}");
        assert!(text.contains("\n@@ -"), "{text}");
        assert!(!text.contains("\n-"), "{text}");
    }

    #[test]
    fn a_reload_without_the_own_address_cuts_the_node_off() {
        let mut network = Network::of_node("10.20.0.11");
        assert!(network.reload("10.20.0.11"));
        if let Some(own) = network.stage().get_mut("vmbr0") {
            own.insert("bridge_ports".to_owned(), String::new());
        }
        assert!(!network.reload("10.20.0.11"));
    }

    #[test]
    fn ports_are_checked() {
        let mut network = Network::of_node("10.20.0.11");
        let bridge = options([("type", "bridge"), ("bridge_ports", "eno9")]);
        network.stage().insert("vmbr9".to_owned(), bridge);
        assert_eq!(
            Network::check(network.shown()),
            Err("bridge 'vmbr9' - unable to find bridge port 'eno9'".to_owned())
        );
    }
}
