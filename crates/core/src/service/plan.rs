//! From what a zone holds and what a service shall say to the changes in between, and what is left alone.
//!
//! Promise: a record that the claim does not list is never changed and never removed. Where somebody else's records
//! stand in the way, that one name is not published and said to be so; the rest is.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{Claim, Reading, place};
use super::{Service, set_at};
use crate::dns::{Change, Data, Key, Kind, Name, Set, Sets};

/// Records of somebody else that gantry met and left as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub key: Key,
    /// What stands there.
    pub data: BTreeSet<Data>,
    /// What it means for the service.
    pub why: Why,
}

/// What somebody else's records mean for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// They were there first: the service does not publish this name and kind.
    NotOurs,
    /// The name is an alias (CNAME), and an alias shuts out everything else.
    Alias,
    /// They were added to a set of gantry's, which goes on beside them.
    Beside,
}

/// What is to be done in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The exact changes, the claim's among them; empty where everything is as it shall be.
    pub changes: Vec<Change>,
    /// What is left alone.
    pub kept: Vec<Kept>,
    /// Gantry's records once the changes are carried out.
    pub ours: Sets,
}

/// Why nothing at all may be written in a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Somebody else's service.
    #[error("the service belongs to {owner}")]
    Owner {
        /// The owner named in the claim.
        owner: String,
    },
    /// The claim's name holds text of somebody else.
    #[error("{place} holds a text that is not gantry's")]
    Occupied {
        /// Where the claim would stand.
        place: Name,
    },
    /// A claim this gantry cannot read, or two of them.
    #[error("the claim at {place} cannot be read (`{text}`)")]
    Unreadable {
        /// Where the claim stands.
        place: Name,
        /// The part that was not understood.
        text: String,
    },
    /// The names would be too long.
    #[error("{0}")]
    Name(#[from] crate::id::BadId),
}

/// Every set that has to be read before [`plan`] can be trusted: the claim first; with it, what it lists and what is
/// wanted. An alias at one of the names is to be read with it.
pub fn keys(
    service: &Service,
    zone: &Name,
    found: &Sets,
    desired: &Sets,
) -> Result<BTreeSet<Key>, Blocked> {
    let (claim, _) = claim(service, zone, found)?;
    Ok(claim.records.into_keys().chain(desired.keys().cloned()).collect())
}

/// Where the claim of `service` stands in `zone`.
pub fn claim_key(service: &Service, zone: &Name) -> Result<Key, Blocked> {
    let full = service.zone.child(&service.name)?;
    Ok(Key { name: place(&full, zone)?, kind: Kind::Txt })
}

/// What it takes to make `found` say `desired`, for the sets of this service in `zone`. `found` holds the claim's set,
/// every set of [`keys`], and the aliases at their names.
pub fn plan(service: &Service, zone: &Name, found: &Sets, desired: &Sets) -> Result<Plan, Blocked> {
    let place = claim_key(service, zone)?;
    let (claim, beside) = claim(service, zone, found)?;
    let mut plan = Plan::default();
    let mut ours: BTreeMap<Key, BTreeSet<Data>> = BTreeMap::new();
    let keys: BTreeSet<&Key> = claim.records.keys().chain(desired.keys()).collect();
    for key in keys {
        // A claim that somebody tampered with must not lead gantry to names that are not the service's.
        if !service.may_write(key) {
            let text = key.to_string();
            return Err(Blocked::Unreadable { place: place.name, text });
        }
        let wrote = claim.records.get(key);
        let before = found.get(key);
        let foreign: BTreeSet<Data> = before
            .iter()
            .flat_map(|s| &s.data)
            .filter(|d| !wrote.is_some_and(|w| w.contains(d)))
            .cloned()
            .collect();
        let mut wanted = desired.get(key);
        if wanted.is_some() {
            let alias = set_at(found, &key.name, Kind::Cname);
            if let Some(alias) = alias {
                let key = Key { name: key.name.clone(), kind: Kind::Cname };
                plan.kept.push(Kept { key, data: alias.data.clone(), why: Why::Alias });
                wanted = None;
            } else if wrote.is_none() && !foreign.is_empty() {
                let why = Why::NotOurs;
                plan.kept.push(Kept { key: key.clone(), data: foreign.clone(), why });
                wanted = None;
            }
        }
        if wrote.is_some() && !foreign.is_empty() {
            let why = Why::Beside;
            plan.kept.push(Kept { key: key.clone(), data: foreign.clone(), why });
        }
        if let Some(wanted) = wanted {
            ours.insert(key.clone(), wanted.data.clone());
            plan.ours.insert(key.clone(), wanted.clone());
        }
        let after = match (wanted, before) {
            (Some(wanted), _) => {
                let data = wanted.data.union(&foreign).cloned().collect();
                Some(Set { ttl_s: wanted.ttl_s, data })
            }
            (None, Some(before)) if !foreign.is_empty() => {
                Some(Set { ttl_s: before.ttl_s, data: foreign })
            }
            (None, _) => None,
        };
        if before != after.as_ref() {
            plan.changes.push(Change { key: key.clone(), before: before.cloned(), after });
        }
    }
    plan.kept.dedup();
    if !plan.changes.is_empty() || ours != claim.records {
        let before = found.get(&place).cloned();
        let mut data = beside;
        if !ours.is_empty() {
            let full = service.zone.child(&service.name)?;
            let revision = claim.revision.saturating_add(1);
            let next = Claim { owner: service.owner.clone(), revision, records: ours };
            data.insert(Data::Txt(next.strings(&full, zone)));
        }
        let after = (!data.is_empty()).then_some(Set { ttl_s: service.ttl_s, data });
        plan.changes.push(Change { key: place, before, after });
    }
    Ok(plan)
}

/// The claim in `found`, and other texts at its name.
fn claim(service: &Service, zone: &Name, found: &Sets) -> Result<(Claim, BTreeSet<Data>), Blocked> {
    let place = claim_key(service, zone)?;
    let full = service.zone.child(&service.name)?;
    let none = Claim { owner: service.owner.clone(), revision: 0, records: BTreeMap::new() };
    let Some(set) = found.get(&place) else { return Ok((none, BTreeSet::new())) };
    let (mut claim, mut beside) = (None, BTreeSet::new());
    for data in &set.data {
        let reading = match data {
            Data::Txt(strings) => Claim::read(strings, &full, zone),
            _ => Reading::NotAClaim,
        };
        match reading {
            Reading::NotAClaim => _ = beside.insert(data.clone()),
            Reading::Claim(found) if found.owner != service.owner => {
                return Err(Blocked::Owner { owner: found.owner });
            }
            Reading::Claim(found) if claim.is_none() => claim = Some(found),
            Reading::Claim(_) => {
                let text = "two claims".to_owned();
                return Err(Blocked::Unreadable { place: place.name, text });
            }
            Reading::Unreadable(text) => {
                return Err(Blocked::Unreadable { place: place.name, text });
            }
        }
    }
    match claim {
        Some(claim) => Ok((claim, beside)),
        None if beside.is_empty() => Ok((none, beside)),
        None => Err(Blocked::Occupied { place: place.name }),
    }
}
