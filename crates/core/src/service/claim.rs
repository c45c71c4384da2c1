//! The claim: one TXT record per service and zone that lists every record gantry wrote there.
//!
//! A record is gantry's if the claim lists it, and only then. The claim stands in the zone, not in gantry's database,
//! so it is written together with the records, survives the database, and is seen by people and by other gantrys.
//! docs/decisions/0008-dns-claim.md says why it is one list and not a mark beside each record.
//!
//! ```text
//! _gantry.nginx.lab.example. TXT "heritage=gantry,v=1,owner=lab/web,rev=7" "A web-0 10.0.0.5" "A @ 10.0.0.5"
//!                                "SRV _http._tcp 0 100 8080 web-0"
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::dns::{Data, Key, Kind, Name};
use crate::id::BadId;

/// How a claim begins.
const HERITAGE: &str = "heritage=gantry";
/// The only form so far.
const VERSION: &str = "v=1";
/// The label it stands under.
const LABEL: &str = "_gantry";

/// What gantry wrote for one service in one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose service it is.
    pub owner: String,
    /// Counts every write, so that two writers cannot both build on the same state.
    pub revision: u64,
    /// Every record gantry wrote.
    pub records: BTreeMap<Key, BTreeSet<Data>>,
}

/// What the strings of a TXT record are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Somebody else's text.
    NotAClaim,
    /// A claim that this gantry cannot read, with the string it stumbled over.
    Unreadable(String),
    /// A claim.
    Claim(Claim),
}

/// Where the claim of `service` in `zone` stands: below the service where it is within the zone, otherwise (reverse
/// zones) below the zone, with the whole name of the service in front. Fails where that is too long.
pub fn place(service: &Name, zone: &Name) -> Result<Name, BadId> {
    if service.is_within(zone) {
        service.child(LABEL)
    } else {
        zone.child(&format!("{LABEL}.{service}"))
    }
}

/// What names in the claim are relative to.
fn base<'n>(service: &'n Name, zone: &'n Name) -> &'n Name {
    if service.is_within(zone) { service } else { zone }
}

impl Claim {
    /// The strings of its TXT record; each is shorter than 255 bytes because labels are at most 63.
    pub fn strings(&self, service: &Name, zone: &Name) -> Vec<String> {
        let base = base(service, zone);
        let head = format!("{HERITAGE},{VERSION},owner={},rev={}", self.owner, self.revision);
        let lines = self.records.iter().flat_map(|(key, data)| {
            data.iter().filter_map(|data| {
                let name = key.name.relative_to(base)?;
                let rest = match data {
                    Data::A(a) => a.to_string(),
                    Data::Aaaa(a) => a.to_string(),
                    Data::Ptr(target) => target.relative_to(service)?.to_owned(),
                    Data::Srv { priority, weight, port, target } => {
                        format!("{priority} {weight} {port} {}", target.relative_to(service)?)
                    }
                    Data::Txt(_) | Data::Other(..) => return None,
                };
                Some(format!("{} {name} {rest}", key.kind))
            })
        });
        std::iter::once(head).chain(lines).collect()
    }

    /// Reads what [`Claim::strings`] wrote.
    pub fn read(strings: &[String], service: &Name, zone: &Name) -> Reading {
        let Some(head) = strings.first() else { return Reading::NotAClaim };
        let mut fields = head.split(',');
        if fields.next() != Some(HERITAGE) {
            return Reading::NotAClaim;
        }
        let unreadable = || Reading::Unreadable(head.chars().take(80).collect());
        if fields.next() != Some(VERSION) {
            return unreadable();
        }
        let owner = fields.next().and_then(|f| f.strip_prefix("owner="));
        let revision = fields.next().and_then(|f| f.strip_prefix("rev=")?.parse().ok());
        let (Some(owner), Some(revision), None) = (owner, revision, fields.next()) else {
            return unreadable();
        };
        let mut records: BTreeMap<Key, BTreeSet<Data>> = BTreeMap::new();
        for line in strings.iter().skip(1) {
            match entry(line, base(service, zone), service) {
                Some((key, data)) => records.entry(key).or_default().insert(data),
                None => return Reading::Unreadable(line.chars().take(80).collect()),
            };
        }
        Reading::Claim(Self { owner: owner.to_owned(), revision, records })
    }
}

fn entry(line: &str, base: &Name, service: &Name) -> Option<(Key, Data)> {
    let words: Vec<&str> = line.split(' ').collect();
    let target = |text: &str| Name::below(text, service).ok();
    let (kind, name, data) = match words.as_slice() {
        [kind @ "A", name, a] => (kind, name, Data::A(a.parse::<Ipv4Addr>().ok()?)),
        [kind @ "AAAA", name, a] => (kind, name, Data::Aaaa(a.parse::<Ipv6Addr>().ok()?)),
        [kind @ "PTR", name, host] => (kind, name, Data::Ptr(target(host)?)),
        [kind @ "SRV", name, priority, weight, port, host] => {
            let priority = priority.parse().ok()?;
            let (weight, port) = (weight.parse().ok()?, port.parse().ok()?);
            (kind, name, Data::Srv { priority, weight, port, target: target(host)? })
        }
        _ => return None,
    };
    Some((Key { name: Name::below(name, base).ok()?, kind: Kind::of(kind)? }, data))
}
