//! Names and records of the DNS, as far as gantry writes them, and the exact difference between two states.
//!
//! A [`Name`] is lower case and without the dot at its end; everything that reaches a name server went through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::BadId;

/// Longest label (RFC 1035 §2.3.4).
pub const LABEL_MAX: usize = 63;
/// Longest name as text without the dot at its end: 255 octets on the wire.
pub const NAME_MAX: usize = 253;

const NAME_RULE: &str = "labels of a-z, 0-9, - and _, at most 63 characters each and 253 together";

/// A fully qualified name such as `web-0.nginx.lab.example`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name as text, without the dot at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As zone files and PowerDNS write it, with the dot.
    pub fn dotted(&self) -> String {
        format!("{}.", self.0)
    }

    /// Its labels, the most special first.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// `label.self`; fails where that is too long or no name.
    pub fn child(&self, label: &str) -> Result<Self, BadId> {
        format!("{label}.{}", self.0).parse()
    }

    /// Whether it is `zone` or below it.
    pub fn is_within(&self, zone: &Name) -> bool {
        match self.0.strip_suffix(zone.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }

    /// What is left of it under `base`; `@` for `base` itself, nothing where it is not within.
    pub fn relative_to(&self, base: &Name) -> Option<&str> {
        if !self.is_within(base) {
            return None;
        }
        match self.0.strip_suffix(base.as_str())?.strip_suffix('.') {
            Some(rest) => Some(rest),
            None => Some("@"),
        }
    }

    /// The other way round: `@` is `base`, everything else stands below it.
    pub fn below(relative: &str, base: &Name) -> Result<Self, BadId> {
        if relative == "@" { Ok(base.clone()) } else { base.child(relative) }
    }

    /// Where the PTR record of an address stands: octets backwards in `in-addr.arpa` (RFC 1035 §3.5), nibbles
    /// backwards in `ip6.arpa` (RFC 3596 §2.5).
    pub fn reverse(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                Self(format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
            }
            IpAddr::V6(v6) => {
                let nibbles = v6.octets().into_iter().rev().flat_map(|o| [o & 15, o >> 4]);
                let text: String = nibbles.map(|n| format!("{n:x}.")).collect();
                Self(format!("{text}ip6.arpa"))
            }
        }
    }

    /// The most special of `zones` that it is within.
    pub fn zone_among<'z>(&self, zones: impl IntoIterator<Item = &'z Name>) -> Option<&'z Name> {
        zones.into_iter().filter(|z| self.is_within(z)).max_by_key(|z| z.0.len())
    }
}

impl FromStr for Name {
    type Err = BadId;
    /// Takes any case and a dot at the end, as people write them.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let plain = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= LABEL_MAX
                && l.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
        };
        if plain.len() <= NAME_MAX && plain.split('.').all(label) {
            Ok(Self(plain))
        } else {
            Err(BadId::new("DNS name", text, NAME_RULE))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a label a host may have (RFC 1123 §2.1): a-z, 0-9 and - inside, at most 63.
pub fn is_host_label(text: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= LABEL_MAX
        && text.starts_with(ok)
        && text.ends_with(ok)
        && text.chars().all(|c| ok(c) || c == '-')
}

/// The kinds of records gantry writes, and the alias, which shuts every other kind out of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// An alias; never written.
    Cname,
    /// A name for an address.
    Ptr,
    /// Where a service listens.
    Srv,
    /// Text.
    Txt,
}

impl Kind {
    /// As zone files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }

    /// The other way round.
    pub fn of(text: &str) -> Option<Self> {
        [Self::A, Self::Aaaa, Self::Cname, Self::Ptr, Self::Srv, Self::Txt]
            .into_iter()
            .find(|k| k.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name for an address.
    Ptr(Name),
    /// Where a service listens (RFC 2782).
    Srv {
        /// Lower is asked first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// Port.
        port: u16,
        /// Host.
        target: Name,
    },
    /// Strings of at most 255 bytes.
    Txt(Vec<String>),
    /// Something gantry would not write, as the server shows it. Kept as it is, never made.
    Other(Kind, String),
}

impl Data {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::A(_) => Kind::A,
            Self::Aaaa(_) => Kind::Aaaa,
            Self::Ptr(_) => Kind::Ptr,
            Self::Srv { .. } => Kind::Srv,
            Self::Txt(_) => Kind::Txt,
            Self::Other(kind, _) => *kind,
        }
    }

    /// An address record.
    pub fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::A(v4),
            IpAddr::V6(v6) => Self::Aaaa(v6),
        }
    }
}

/// As zone files write it; names with their dot, texts in quotes.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(a) => write!(f, "{a}"),
            Self::Aaaa(a) => write!(f, "{a}"),
            Self::Ptr(name) => write!(f, "{name}."),
            Self::Srv { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}.")
            }
            Self::Txt(strings) => {
                for (n, text) in strings.iter().enumerate() {
                    let gap = if n == 0 { "" } else { " " };
                    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, "{gap}\"{text}\"")?;
                }
                Ok(())
            }
            Self::Other(_, text) => f.write_str(text),
        }
    }
}

/// Which set of records: the DNS answers, replaces and signs them by name and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Owner name.
    pub name: Name,
    /// Kind.
    pub kind: Kind,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Owner name.
    pub name: Name,
    /// How long others may remember it, seconds.
    pub ttl_s: u32,
    /// What it says.
    pub data: Data,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.name, self.ttl_s, self.data.kind(), self.data)
    }
}

/// All records of one name and kind. Never empty in a [`Sets`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Set {
    /// How long others may remember it, seconds.
    pub ttl_s: u32,
    /// What its records say.
    pub data: BTreeSet<Data>,
}

/// Records by name and kind.
pub type Sets = BTreeMap<Key, Set>;

/// Groups records; where two of a set differ in their TTL, the shorter counts.
pub fn sets(records: impl IntoIterator<Item = Record>) -> Sets {
    let mut sets = Sets::new();
    for Record { name, ttl_s, data } in records {
        let key = Key { name, kind: data.kind() };
        let set = sets.entry(key).or_insert_with(|| Set { ttl_s, data: BTreeSet::new() });
        set.ttl_s = set.ttl_s.min(ttl_s);
        set.data.insert(data);
    }
    sets
}

/// One set that is to become another; `None` is “not there”.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which set.
    pub key: Key,
    /// As it was read.
    pub before: Option<Set>,
    /// As it shall be.
    pub after: Option<Set>,
}

impl Change {
    /// What is new in it.
    pub fn added(&self) -> impl Iterator<Item = &Data> {
        let before = self.before.as_ref();
        let after = self.after.iter().flat_map(|s| &s.data);
        after.filter(move |d| !before.is_some_and(|b| b.data.contains(d)))
    }

    /// What is no longer in it.
    pub fn removed(&self) -> impl Iterator<Item = &Data> {
        let after = self.after.as_ref();
        let before = self.before.iter().flat_map(|s| &s.data);
        before.filter(move |d| !after.is_some_and(|a| a.data.contains(d)))
    }
}

/// The exact difference between two states: nothing in it that is equal in both.
pub fn changes(now: &Sets, desired: &Sets) -> Vec<Change> {
    let keys: BTreeSet<&Key> = now.keys().chain(desired.keys()).collect();
    keys.into_iter()
        .filter(|key| now.get(key) != desired.get(key))
        .map(|key| Change {
            key: key.clone(),
            before: now.get(key).cloned(),
            after: desired.get(key).cloned(),
        })
        .collect()
}

/// What a server does with changes; for tests and for what a person is shown.
pub fn apply(sets: &mut Sets, changes: &[Change]) {
    for change in changes {
        match &change.after {
            Some(set) => sets.insert(change.key.clone(), set.clone()),
            None => sets.remove(&change.key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_what_the_standards_allow() {
        assert_eq!(name("Web-0.Lab.Example.").as_str(), "web-0.lab.example");
        assert_eq!(name("_http._tcp.nginx.lab").labels().next(), Some("_http"));
        let long =
            format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(long.len(), 253);
        assert_eq!(name(&long).as_str(), long);
        for bad in ["", ".", "a..b", "-x.\n", "a b", "ä.de", &format!("{long}e"), &"x".repeat(64)]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        for bad in ["", "-a", "a-", "a_b", "A", "a.b", &"x".repeat(64)] {
            assert!(!is_host_label(bad), "{bad:?}");
        }
        assert!(is_host_label("web-0") && is_host_label("0") && is_host_label(&"x".repeat(63)));
    }

    #[test]
    fn a_name_belongs_to_its_zone_and_not_to_one_that_only_ends_alike() {
        assert!(name("a.lab.example").is_within(&name("lab.example")));
        assert!(name("lab.example").is_within(&name("lab.example")));
        assert!(!name("xlab.example").is_within(&name("lab.example")));
        assert_eq!(name("a.b.lab").relative_to(&name("lab")), Some("a.b"));
        assert_eq!(name("lab").relative_to(&name("lab")), Some("@"));
        assert_eq!(name("xlab").relative_to(&name("lab")), None);
        let zones = [name("example"), name("lab.example"), name("b.example")];
        assert_eq!(name("a.lab.example").zone_among(&zones), Some(&zones[1]));
    }

    #[test]
    fn addresses_stand_backwards() {
        let reverse = |a: &str| Name::reverse(a.parse().unwrap()).to_string();
        assert_eq!(reverse("10.1.2.3"), "3.2.1.10.in-addr.arpa");
        // The example of RFC 3596 §2.5.
        assert_eq!(
            reverse("4321:0:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa"
        );
    }
}
