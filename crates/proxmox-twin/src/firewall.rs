//! The firewall's files: options, rules in their order, aliases and sets of addresses, one scope each for the
//! cluster, a node and a guest.
//!
//! Nothing is filtered here. New rules come first, so positions shift; every scope has a digest of its own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::network::Options;

/// A set of addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct IpSet {
    pub(crate) comment: Option<String>,
    /// By address: its options.
    pub(crate) members: BTreeMap<String, Options>,
}

/// One file of the firewall.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) options: Options,
    pub(crate) rules: Vec<Options>,
    pub(crate) aliases: BTreeMap<String, Options>,
    pub(crate) sets: BTreeMap<String, IpSet>,
}

/// Macros this twin knows; the real server has some 80.
const MACROS: [&str; 14] = [
    "DNS",
    "FTP",
    "HTTP",
    "HTTPS",
    "MySQL",
    "NTP",
    "Ping",
    "PostgreSQL",
    "Rsync",
    "SMTP",
    "SSH",
    "Syslog",
    "VNC",
    "Web",
];
/// Protocols by name.
const PROTOCOLS: [&str; 12] = [
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "ipv6-icmp",
    "sctp",
    "dccp",
    "udplite",
    "esp",
    "ah",
    "gre",
    "vrrp",
];

impl Scope {
    pub(crate) fn digest(&self) -> String {
        let hash = Sha256::digest(format!("{self:?}"));
        hex::encode(hash).chars().take(40).collect()
    }

    /// A rule as the API shows it.
    pub(crate) fn row(&self, pos: usize, rule: &Options) -> Value {
        let mut row: Map<String, Value> = rule
            .iter()
            .map(|(key, value)| {
                let shown = match (key.as_str(), value.parse::<u64>()) {
                    ("enable", Ok(number)) => json!(number),
                    _ => json!(value),
                };
                (key.clone(), shown)
            })
            .collect();
        row.insert("pos".into(), json!(pos));
        row.insert("digest".into(), json!(self.digest()));
        Value::Object(row)
    }
}

/// What is wrong with a rule: the key and the sentence.
pub(crate) fn check(
    rule: &Options,
    guest: bool,
    cluster: &Scope,
) -> Result<(), (&'static str, String)> {
    let of = |key: &str| rule.get(key).map(String::as_str);
    let action = of("action").unwrap_or_default();
    if of("type") == Some("group") {
        return Err(("action", format!("security group '{action}' does not exist")));
    }
    if !matches!(action, "ACCEPT" | "DROP" | "REJECT") {
        return Err(("action", format!("unknown action '{action}'")));
    }
    if let Some(name) = of("macro")
        && !MACROS.contains(&name)
    {
        return Err(("macro", format!("unknown macro '{name}'")));
    }
    if let Some(name) = of("iface")
        && guest
        && !(name.starts_with("net") && name.len() > 3)
    {
        return Err(("iface", "value does not look like a valid interface: 'net\\d+'".to_owned()));
    }
    if let Some(name) = of("proto")
        && !PROTOCOLS.contains(&name)
        && name.parse::<u8>().is_err()
    {
        return Err(("proto", format!("unknown protocol '{name}'")));
    }
    for key in ["dport", "sport"] {
        let Some(ports) = of(key) else { continue };
        if of("proto").is_none() && of("macro").is_none() {
            return Err(("proto", format!("missing property - '{key}' requires this property")));
        }
        if let Some(port) = ports.split(',').find(|p| !port_fits(p)) {
            let key = if key == "dport" { "dport" } else { "sport" };
            return Err((key, format!("invalid port '{port}'")));
        }
    }
    for key in ["source", "dest"] {
        let Some(addresses) = of(key) else { continue };
        if let Some(bad) = addresses.split(',').find(|a| !address_fits(a, cluster)) {
            let key = if key == "source" { "source" } else { "dest" };
            return Err((key, format!("no such alias or address '{bad}'")));
        }
    }
    Ok(())
}

/// `80`, `8000:8100`, or a service's name.
fn port_fits(text: &str) -> bool {
    let number = |t: &str| {
        t.parse::<u32>().map_or_else(
            |_| !t.starts_with(|c: char| c.is_ascii_digit()) && !t.is_empty(),
            |n| (1..=65_535).contains(&n),
        )
    };
    text.split(':').count() <= 2 && text.split(':').all(number)
}

/// An address, a network, a range, `+set`, or the name of an alias.
fn address_fits(text: &str, cluster: &Scope) -> bool {
    let ip = |t: &str| t.parse::<std::net::IpAddr>().is_ok();
    if let Some(set) = text.strip_prefix('+') {
        return cluster.sets.contains_key(set.trim_start_matches("dc/"));
    }
    if let Some((from, to)) = text.split_once('-')
        && ip(from)
    {
        return ip(to);
    }
    match text.split_once('/') {
        Some(("dc", alias)) => cluster.aliases.contains_key(&alias.to_lowercase()),
        Some((network, mask)) => ip(network) && mask.parse::<u8>().is_ok(),
        None => ip(text) || cluster.aliases.contains_key(&text.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::options;

    #[test]
    fn rules_say_what_is_wrong() {
        let fine =
            options([("type", "in"), ("action", "ACCEPT"), ("proto", "tcp"), ("dport", "80,443")]);
        let cluster = Scope::default();
        assert_eq!(check(&fine, true, &cluster), Ok(()));
        let with = |key: &str, value: &str| {
            let mut rule = fine.clone();
            rule.insert(key.to_owned(), value.to_owned());
            check(&rule, true, &cluster).err().map(|(key, _)| key)
        };
        assert_eq!(with("dport", "70000"), Some("dport"));
        assert_eq!(with("proto", "smoke"), Some("proto"));
        assert_eq!(with("source", "nobody"), Some("source"));
        assert_eq!(with("source", "10.0.0.0/8"), None);
        assert_eq!(with("iface", "eth0"), Some("iface"));
        assert_eq!(with("action", "MAYBE"), Some("action"));
    }
}
