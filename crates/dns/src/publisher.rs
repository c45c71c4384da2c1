//! Makes true what a service shall say: read, write the difference, read again, tell what is so.
//!
//! Level-triggered: it remembers nothing, and may be called again at any time with whatever is wanted now. After a
//! write whose answer is lost it reads before it decides; a write goes out again only when the zone still shows the
//! old state.

use std::collections::BTreeSet;

use gantry_core::advice::Advice;
use gantry_core::dns::{Change, Key, Name, Sets};
use gantry_core::service::plan::{Blocked, Kept, Plan, Why, claim_key, keys, plan};
use gantry_core::service::{Member, Service};

use crate::error::Error;
use crate::provider::{Health, Provider};

/// Rounds of reading and writing a zone before it is said not to settle: one to write, one to see it, and two for
/// somebody else's write in between or an answer that was lost.
const ROUNDS_MAX: u32 = 4;

/// All name servers gantry may write to.
#[derive(Debug, Default)]
pub struct Publisher {
    providers: Vec<Provider>,
    zones: Vec<Name>,
    loopback: bool,
}

/// What is true in one zone now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneState {
    /// Which zone.
    pub zone: Name,
    /// The provider's name in the configuration.
    pub provider: String,
    /// The service's records as they were read at the end.
    pub ours: Sets,
    /// What was changed on the way; for [`Publisher::look`], what would be.
    pub changes: Vec<Change>,
    /// Records of somebody else that were met and left alone.
    pub kept: Vec<Kept>,
}

/// What is true now. The service's own zone is always among `zones`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// The service's own zone first, then reverse zones.
    pub zones: Vec<ZoneState>,
    /// Reverse zones that could not be brought up to date, and why. Calling again tries again.
    pub failed: Vec<(Name, Error)>,
    /// Names of addresses for which no reverse zone is configured: they have no PTR.
    pub unserved: Vec<Name>,
}

impl Published {
    /// Whether something had to be changed, or would have to be.
    pub fn is_changed(&self) -> bool {
        self.zones.iter().any(|z| !z.changes.is_empty())
    }
}

impl Publisher {
    /// Puts providers together; a zone may belong to one of them only.
    pub fn new(providers: Vec<Provider>) -> Result<Self, Error> {
        let zones: Vec<Name> = providers.iter().flat_map(|p| p.zones().to_vec()).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = zones.iter().find(|z| !seen.insert(*z)) {
            return Err(Error::Config { why: format!("zone {twice} is configured twice") });
        }
        Ok(Self { providers, zones, loopback: false })
    }

    /// Gives loopback addresses names too, which means something only where everything runs on one machine.
    #[must_use]
    pub fn with_loopback(mut self, loopback: bool) -> Self {
        self.loopback = loopback;
        self
    }

    /// The providers.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Every zone that may be written.
    pub fn zones(&self) -> &[Name] {
        &self.zones
    }

    /// Makes the DNS say what `service` with these `members` shall say. An error is about the service's own zone:
    /// then nothing is known to be as it shall be. Errors of reverse zones are in [`Published::failed`].
    pub async fn publish(&self, service: &Service, members: &[Member]) -> Result<Published, Error> {
        self.run(service, members, true).await
    }

    /// Removes everything gantry wrote for `service`, and nothing else.
    pub async fn withdraw(&self, service: &Service) -> Result<Published, Error> {
        self.run(service, &[], true).await
    }

    /// What [`Publisher::publish`] would change. Writes nothing.
    pub async fn look(&self, service: &Service, members: &[Member]) -> Result<Published, Error> {
        self.run(service, members, false).await
    }

    /// Every zone with whether it can be written. Changes nothing.
    pub async fn check(&self) -> Vec<(&Provider, &Name, Result<Health, Error>)> {
        let mut all = Vec::new();
        for provider in &self.providers {
            for zone in provider.zones() {
                all.push((provider, zone, provider.check(zone).await));
            }
        }
        all
    }

    async fn run(
        &self,
        service: &Service,
        members: &[Member],
        write: bool,
    ) -> Result<Published, Error> {
        let service = &Service { loopback: service.loopback || self.loopback, ..service.clone() };
        let mistakes = [service.problems(), service.member_problems(members)].concat();
        if !mistakes.is_empty() {
            let why: Vec<_> = mistakes.iter().map(|p| format!("{}: {}", p.field, p.why)).collect();
            return Err(Error::Service { why: why.join("; ") });
        }
        let (mut split, unserved) = service.by_zone(members, &self.zones);
        let home = service.zone.zone_among(&self.zones).ok_or_else(|| self.out_of_zone(service))?;
        let desired = split.remove(home).unwrap_or_default();
        let first = self.settle(service, home, &desired, write).await?;
        let mut published = Published {
            zones: vec![first],
            failed: Vec::new(),
            unserved: unserved.into_keys().map(|k| k.name).collect(),
        };
        // Other forward zones can hold nothing of this service.
        for (zone, desired) in split.iter().filter(|(zone, _)| is_reverse(zone)) {
            match self.settle(service, zone, desired, write).await {
                Ok(state) => published.zones.push(state),
                Err(error) => published.failed.push((zone.clone(), error)),
            }
        }
        Ok(published)
    }

    fn out_of_zone(&self, service: &Service) -> Error {
        let zones: Vec<&str> = self.zones.iter().map(Name::as_str).collect();
        let zones = if zones.is_empty() {
            "every zone: none is configured".into()
        } else {
            zones.join(", ")
        };
        Error::OutOfZone { name: service.zone.to_string(), zones }
    }

    async fn settle(
        &self,
        service: &Service,
        zone: &Name,
        desired: &Sets,
        write: bool,
    ) -> Result<ZoneState, Error> {
        let provider = self
            .providers
            .iter()
            .find(|p| p.zones().contains(zone))
            .ok_or_else(|| self.out_of_zone(service))?;
        let mut changes = Vec::new();
        let mut last = None;
        for _ in 0..ROUNDS_MAX {
            let step = self.step(provider, service, zone, desired).await?;
            if step.changes.is_empty() || !write {
                changes.extend(step.changes);
                let (ours, kept) = (step.ours, step.kept);
                let (zone, provider) = (zone.clone(), provider.name().to_owned());
                return Ok(ZoneState { zone, provider, ours, changes, kept });
            }
            last = match provider.apply(zone, &step.changes).await {
                Ok(()) => {
                    changes.extend(step.changes);
                    None
                }
                // It may have been carried out, or somebody was faster: the next round reads what is so.
                Err(error) if error.advice() == Advice::Probe => {
                    tracing::info!(%zone, %error, "reading back what became of it");
                    changes.extend(step.changes);
                    Some(error)
                }
                Err(error @ Error::Conflict { .. }) => Some(error),
                Err(error) => return Err(error),
            };
        }
        let why =
            last.map_or("it shows other records than were written".to_owned(), |e| e.to_string());
        Err(Error::NotSettled { zone: zone.clone(), rounds: ROUNDS_MAX, why })
    }

    /// Reads a zone and says what is to be done.
    async fn step(
        &self,
        provider: &Provider,
        service: &Service,
        zone: &Name,
        desired: &Sets,
    ) -> Result<Plan, Error> {
        let blocked = |why: Blocked| Error::Blocked {
            service: service.full_name().unwrap_or_else(|| service.zone.clone()),
            zone: zone.clone(),
            why: why.to_string(),
        };
        let claim = claim_key(service, zone).map_err(blocked)?;
        let mut found = provider.read(zone, &BTreeSet::from([claim.clone()])).await?;
        let first = keys(service, zone, &found, desired);
        if let Err(Blocked::Occupied { .. }) = &first
            && provider.really_there(zone, BTreeSet::from([claim.clone()])).await?.is_empty()
        {
            found.remove(&claim);
        }
        let wanted = keys(service, zone, &found, desired).map_err(blocked)?;
        if !wanted.is_empty() {
            found.extend(provider.read(zone, &wanted).await?);
        }
        let step = plan(service, zone, &found, desired).map_err(blocked)?;
        let in_the_way = |k: &&Kept| matches!(k.why, Why::NotOurs | Why::Alias);
        let doubtful: BTreeSet<Key> =
            step.kept.iter().filter(in_the_way).map(|k| k.key.clone()).collect();
        if doubtful.is_empty() {
            return Ok(step);
        }
        let there = provider.really_there(zone, doubtful.clone()).await?;
        for key in doubtful.difference(&there) {
            found.remove(key);
        }
        plan(service, zone, &found, desired).map_err(blocked)
    }
}

fn is_reverse(zone: &Name) -> bool {
    let text = format!(".{zone}");
    text.ends_with(".in-addr.arpa") || text.ends_with(".ip6.arpa")
}
