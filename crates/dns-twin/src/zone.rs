//! A zone: sets of records by name and kind, and what PowerDNS refuses to put into it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// First serial; PowerDNS takes the date, the twin has no clock.
const SERIAL: u32 = 2_026_010_101;

/// All records of a name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// With the dot at its end.
    pub name: String,
    /// `A`, `SRV`, …
    pub kind: String,
    /// Seconds.
    pub ttl: u32,
    /// Content, and whether it is switched off.
    pub records: Vec<(String, bool)>,
}

/// A zone.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) serial: u32,
    pub(crate) sets: Vec<Set>,
}

impl Zone {
    pub(crate) fn new(name: &str, kind: &str, nameservers: &[String]) -> Self {
        let (name, kind) = (name.to_owned(), kind.to_owned());
        let mut zone = Self { name, kind, serial: SERIAL, sets: Vec::new() };
        zone.write_soa();
        if !nameservers.is_empty() {
            let records = nameservers.iter().map(|n| (n.clone(), false)).collect();
            zone.put(Set { name: zone.name.clone(), kind: "NS".into(), ttl: 3600, records });
        }
        zone
    }

    pub(crate) fn holds(&self, name: &str) -> bool {
        name == self.name || name.ends_with(&format!(".{}", self.name))
    }

    /// Replaces the set of the same name and kind; an empty one is removed.
    pub(crate) fn put(&mut self, set: Set) {
        self.sets.retain(|s| s.name != set.name || s.kind != set.kind);
        if !set.records.is_empty() {
            self.sets.push(set);
        }
    }

    pub(crate) fn count_up(&mut self) {
        self.serial += 1;
        self.write_soa();
    }

    fn write_soa(&mut self) {
        let (name, serial) = (self.name.clone(), self.serial);
        let content = format!(
            "a.misconfigured.dns.server.invalid. hostmaster.{name} {serial} 10800 3600 604800 3600"
        );
        self.put(Set { name, kind: "SOA".into(), ttl: 3600, records: vec![(content, false)] });
    }

    /// Why a set cannot be put in, in PowerDNS' words.
    pub(crate) fn refuses(&self, set: &Set) -> Option<String> {
        let Set { name, kind, .. } = set;
        let other = |s: &&Set| s.name == *name && s.kind != *kind;
        let alias = |s: &Set| s.kind == "CNAME" || kind == "CNAME";
        if !set.records.is_empty() && self.sets.iter().filter(other).any(alias) {
            return Some(format!("RRset {name} IN {kind}: Conflicts with pre-existing RRset"));
        }
        None
    }
}

/// Why a record's content is refused, in PowerDNS' words.
pub(crate) fn bad_content(name: &str, kind: &str, content: &str) -> Option<String> {
    let why = match kind {
        "A" if content.parse::<Ipv4Addr>().is_err() => "unable to parse IP address",
        "AAAA" if content.parse::<Ipv6Addr>().is_err() => "unable to parse IPv6 address",
        _ => return None,
    };
    Some(format!(
        "Record {name}/{kind} '{content}': Parsing record content (try 'pdnsutil check-zone'): {why}"
    ))
}
