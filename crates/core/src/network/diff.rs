//! Before and after for people, and reading back what ran before from the diff that Proxmox shows.

use std::collections::{BTreeMap, BTreeSet};

use super::{Edit, Objects, Settings, settable};
use crate::plan::Change;

/// What a person calls a setting.
fn word(key: &str) -> &str {
    match key {
        "bridge_ports" | "ovs_ports" => "ports",
        "bridge_vlan_aware" | "vlanaware" => "tells VLANs apart",
        "bridge_vids" => "VLANs",
        "cidr" => "address",
        "cidr6" => "IPv6 address",
        "gateway6" => "IPv6 gateway",
        "mtu" => "MTU",
        "comments" => "comment",
        "autostart" => "up at boot",
        "isolate-ports" => "ports isolated",
        "snat" => "source NAT",
        "nosmurfs" => "drops packets from broadcast senders",
        "tcpflags" => "drops impossible TCP flags",
        other => other,
    }
}

fn value(key: &str, value: &str) -> String {
    match (key, value) {
        ("bridge_vlan_aware" | "autostart" | "vlanaware" | "isolate-ports" | "snat", "1") => {
            "yes".to_owned()
        }
        ("nosmurfs" | "tcpflags", "1") => "yes".to_owned(),
        ("nosmurfs" | "tcpflags", _) => "no".to_owned(),
        _ => value.to_owned(),
    }
}

/// How people read an object's name: `vmbr5`, `vnet web`, `subnet z1-10.8.0.0-24`.
fn title(key: &str) -> String {
    let mut parts = key.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(kind), Some(_), Some(id)) | (Some(kind), Some(id), None) => format!("{kind} {id}"),
        _ => key.to_owned(),
    }
}

fn summary(settings: &Settings) -> String {
    let kind = settings.get("type").cloned().unwrap_or_default();
    let rest = settings
        .iter()
        .filter(|(k, _)| k.as_str() != "type" && k.as_str() != "autostart")
        .map(|(k, v)| format!("{} {}", word(k), value(k, v)));
    std::iter::once(kind).filter(|k| !k.is_empty()).chain(rest).collect::<Vec<_>>().join(" · ")
}

/// Before and after of every edit, a line each; an update gives a line for each setting that changes.
pub fn diff_lines(before: &Objects, edits: &[Edit]) -> Vec<Change> {
    let mut lines = Vec::new();
    for edit in edits {
        let key = edit.key();
        let was = before.get(key);
        match edit {
            Edit::Create { settings, .. } => lines.push(Change {
                what: title(key),
                before: "–".into(),
                after: summary(settings),
            }),
            Edit::Delete { .. } => lines.push(Change {
                what: title(key),
                before: was.map(summary).unwrap_or_default(),
                after: "gone".into(),
            }),
            Edit::Update { settings, .. } => {
                let empty = Settings::new();
                let was = was.unwrap_or(&empty);
                let keys: BTreeSet<&String> = was.keys().chain(settings.keys()).collect();
                let show = |s: &Settings, k: &str| {
                    s.get(k).map_or_else(|| "not set".to_owned(), |v| value(k, v))
                };
                lines.extend(keys.into_iter().filter(|k| was.get(*k) != settings.get(*k)).map(
                    |k| Change {
                        what: format!("{}: {}", title(key), word(k)),
                        before: show(was, k),
                        after: show(settings, k),
                    },
                ));
            }
        }
    }
    lines
}

/// The interface whose lines are being read, and whether over IPv6.
type At = Option<(String, bool)>;

/// What one side of a diff says of an interface.
#[derive(Default)]
struct Side {
    /// Interfaces whose own line stands on this side only.
    whole: BTreeSet<String>,
    options: BTreeMap<String, Vec<(String, String)>>,
}

/// The configuration that runs, from the staged one and the unified diff that leads to it
/// (`changes` of `GET /nodes/{node}/network`; the file is `/etc/network/interfaces`).
///
/// # Errors
/// A sentence saying what in the diff cannot be told back with certainty.
pub fn former_of(staged: &Objects, diff: &str) -> Result<Objects, String> {
    let (mut old, mut new) = (Side::default(), Side::default());
    let (mut old_at, mut new_at): (At, At) = (None, None);
    for line in diff.lines() {
        if line.starts_with("--- ") || line.starts_with("+++ ") || line.starts_with("diff ") {
            continue;
        }
        if line.starts_with("@@") {
            (old_at, new_at) = (None, None);
            continue;
        }
        let Some(mark) = line.chars().next() else { continue };
        let text = line[mark.len_utf8()..].trim();
        match mark {
            '-' => read_line(&mut old, &mut old_at, text, true)?,
            '+' => read_line(&mut new, &mut new_at, text, true)?,
            // The same line may belong to one interface before and to another after. Before the first header of a
            // hunk nobody knows whose it is, and it is the same one's on both sides.
            ' ' if old_at.is_some() || new_at.is_some() || text.starts_with("iface ") => {
                read_line(&mut old, &mut old_at, text, false)?;
                read_line(&mut new, &mut new_at, text, false)?;
            }
            _ => {}
        }
    }
    let mut former = staged.clone();
    for (name, options) in &new.options {
        if new.whole.contains(name) && !old.whole.contains(name) {
            former.remove(name);
            continue;
        }
        let settings = former.entry(name.clone()).or_default();
        for (key, _) in options {
            settings.remove(key);
        }
    }
    for name in new.whole.difference(&old.whole) {
        former.remove(name);
    }
    for (name, options) in &old.options {
        let settings = former.entry(name.clone()).or_default();
        for (key, value) in options {
            settings.insert(key.clone(), value.clone());
        }
    }
    for settings in former.values_mut() {
        let read: Vec<(String, String)> =
            settings.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        *settings = settable(read.iter().map(|(k, v)| (k.as_str(), v.clone())));
        if !settings.contains_key("type") {
            settings.insert("type".into(), kind_of(settings).into());
        }
    }
    Ok(former)
}

fn kind_of(settings: &Settings) -> &'static str {
    let has = |k: &str| settings.contains_key(k);
    if has("slaves") {
        "bond"
    } else if has("vlan-raw-device") {
        "vlan"
    } else if has("bridge_ports") || has("bridge_vlan_aware") {
        "bridge"
    } else {
        "eth"
    }
}

/// Reads one line of the file into a side; only lines that stand on one side alone change anything.
fn read_line(side: &mut Side, at: &mut At, text: &str, only: bool) -> Result<(), String> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let rest = words.collect::<Vec<_>>().join(" ");
    match first {
        "" => {}
        "auto" | "allow-hotplug" => {
            if only {
                for name in rest.split(' ') {
                    side.options
                        .entry(name.to_owned())
                        .or_default()
                        .push(("autostart".into(), "1".into()));
                }
            }
        }
        "iface" => {
            let name = rest.split(' ').next().unwrap_or_default().to_owned();
            let v6 = rest.split(' ').nth(1) == Some("inet6");
            if only {
                side.whole.insert(name.clone());
                side.options.entry(name.clone()).or_default();
            }
            *at = Some((name, v6));
        }
        "source" | "source-directory" => {}
        _ => {
            let v6 = at.as_ref().is_some_and(|(_, v6)| *v6);
            let Some((key, value)) = option(first, &rest, v6, text)? else { return Ok(()) };
            let Some((name, _)) = at else {
                return Err(format!("it is not clear which interface `{text}` belongs to"));
            };
            let list = side.options.entry(name.clone()).or_default();
            match list.iter_mut().find(|(k, _)| *k == key && key == "comments") {
                Some((_, comment)) => *comment = format!("{comment}\n{value}"),
                None => list.push((key, value)),
            }
        }
    }
    Ok(())
}

/// An option of the file as the API calls it; `None` for what Proxmox writes by itself.
fn option(
    first: &str,
    rest: &str,
    v6: bool,
    text: &str,
) -> Result<Option<(String, String)>, String> {
    let key = match first {
        "address" if v6 => "cidr6",
        "address" => "cidr",
        "gateway" if v6 => "gateway6",
        "gateway" => "gateway",
        "bridge-ports" | "bridge_ports" => "bridge_ports",
        "bridge-vids" => "bridge_vids",
        "bridge-vlan-aware" => {
            let on = rest == "yes" || rest == "1";
            return Ok(on.then(|| ("bridge_vlan_aware".into(), "1".into())));
        }
        "mtu" => "mtu",
        "vlan-id" => "vlan-id",
        "vlan-raw-device" => "vlan-raw-device",
        "bond-slaves" => "slaves",
        "bond-mode" => "bond_mode",
        "bond-primary" => "bond-primary",
        "bond-xmit-hash-policy" => "bond_xmit_hash_policy",
        "bridge-stp" | "bridge-fd" | "bond-miimon" | "bridge_stp" | "bridge_fd" => return Ok(None),
        _ if first.starts_with('#') => {
            return Ok(Some(("comments".into(), text.trim_start_matches('#').to_owned())));
        }
        _ => return Err(format!("gantry cannot write the setting `{first}` back")),
    };
    Ok(Some((key.to_owned(), rest.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_staged_bridge_was_not_there_before() {
        let mut staged = Objects::new();
        staged.insert("vmbr0".into(), settings(&[("type", "bridge"), ("cidr", "10.0.0.1/24")]));
        let before = staged.clone();
        staged.insert("vmbr7".into(), settings(&[("type", "bridge")]));
        let diff = "--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n@@ -10,3 +10,9 @@\n \
                    \tbridge-fd 0\n \n+auto vmbr7\n+iface vmbr7 inet manual\n+\tbridge-ports none\n+\tbridge-stp off\n+\tbridge-fd 0\n+\n";
        assert_eq!(former_of(&staged, diff), Ok(before));
    }

    #[test]
    fn a_changed_mtu_and_a_removed_bridge_come_back() {
        let mut staged = Objects::new();
        staged.insert("vmbr5".into(), settings(&[("type", "bridge"), ("mtu", "1400")]));
        let diff = "@@ -1,9 +1,4 @@\n iface vmbr5 inet manual\n \tbridge-ports none\n-\tmtu 9000\n+\tmtu 1400\n \n\
                    -auto vmbr6\n-iface vmbr6 inet static\n-\taddress 10.6.0.1/24\n-\tbridge-ports eno2\n-\tbridge-stp off\n-\tbridge-vlan-aware yes\n-\tbridge-vids 2-4094\n-#old one\n";
        let former = former_of(&staged, diff).unwrap();
        assert_eq!(former["vmbr5"]["mtu"], "9000");
        let old = settings(&[
            ("autostart", "1"),
            ("bridge_ports", "eno2"),
            ("bridge_vlan_aware", "1"),
            ("cidr", "10.6.0.1/24"),
            ("comments", "old one"),
            ("type", "bridge"),
        ]);
        assert_eq!(former["vmbr6"], old);
    }

    #[test]
    fn lines_that_moved_to_another_interface_are_told_back() {
        let mut staged = Objects::new();
        staged.insert("vmbr1".into(), settings(&[("type", "bridge"), ("mtu", "9000")]));
        let before = staged.clone();
        staged.insert("vmbr15".into(), settings(&[("type", "bridge"), ("mtu", "9000")]));
        let diff = "@@ -1,5 +1,11 @@\n auto vmbr1\n iface vmbr1 inet manual\n \tbridge-ports none\n+\tbridge-stp off\n\
                    +\tmtu 9000\n+\n+auto vmbr15\n+iface vmbr15 inet manual\n+\tbridge-ports none\n \tbridge-stp off\n \tmtu 9000\n \n";
        assert_eq!(former_of(&staged, diff), Ok(before));
    }

    #[test]
    fn what_cannot_be_told_back_is_said() {
        let staged = Objects::new();
        assert!(former_of(&staged, "@@ -1 +1 @@\n-\tmtu 9000\n").is_err());
        assert!(
            former_of(&staged, "@@ -1 +1 @@\n iface vmbr0 inet manual\n-\tpost-up do things\n")
                .is_err()
        );
    }

    #[test]
    fn changes_are_told_setting_by_setting() {
        let mut before = Objects::new();
        before.insert("vmbr5".into(), settings(&[("type", "bridge"), ("mtu", "1500")]));
        let after = settings(&[("type", "bridge"), ("bridge_vlan_aware", "1")]);
        let lines = diff_lines(&before, &[Edit::update("vmbr5", &before["vmbr5"], after)]);
        let text: Vec<String> =
            lines.iter().map(|c| format!("{} {} → {}", c.what, c.before, c.after)).collect();
        assert_eq!(text, ["vmbr5: tells VLANs apart not set → yes", "vmbr5: MTU 1500 → not set"]);
    }
}
