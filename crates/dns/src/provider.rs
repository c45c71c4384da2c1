//! One name server and the zones it may write: the same three calls whatever it speaks.

use std::collections::BTreeSet;

use gantry_core::dns::{Change, Key, Name, Sets};

use crate::error::Error;
use crate::powerdns::{PowerDns, PowerDnsConfig};
use crate::rfc2136::{Rfc2136, Rfc2136Config};

/// A configured name server.
#[derive(Debug)]
pub struct Provider {
    name: String,
    zones: Vec<Name>,
    server: Server,
}

/// What it speaks. The DNS plugin of Proxmox' SDN is not here: it has no call that sets a record, Proxmox calls its
/// PowerDNS by itself. Point a PowerDNS provider at the same server (docs/services.md).
#[derive(Debug)]
enum Server {
    PowerDns(PowerDns),
    Rfc2136(Rfc2136),
}

/// What a zone is like where everything works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Something to look at, in a sentence.
    pub note: Option<String>,
}

impl Provider {
    /// PowerDNS by its HTTP API.
    pub fn powerdns(name: &str, zones: Vec<Name>, config: PowerDnsConfig) -> Result<Self, Error> {
        Self::new(name, zones, Server::PowerDns(PowerDns::new(config)?))
    }

    /// Any server that takes RFC 2136 updates signed with TSIG: BIND, Knot, PowerDNS and others.
    pub fn rfc2136(name: &str, zones: Vec<Name>, config: Rfc2136Config) -> Result<Self, Error> {
        Self::new(name, zones, Server::Rfc2136(Rfc2136::new(config)?))
    }

    fn new(name: &str, zones: Vec<Name>, server: Server) -> Result<Self, Error> {
        if zones.is_empty() {
            return Err(Error::Config { why: format!("{name} has no zone") });
        }
        Ok(Self { name: name.to_owned(), zones, server })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The zones it may write.
    pub fn zones(&self) -> &[Name] {
        &self.zones
    }

    /// The sets of `keys` that are there, and the aliases at their names. What the server has with authority, past
    /// every cache.
    pub async fn read(&self, zone: &Name, keys: &BTreeSet<Key>) -> Result<Sets, Error> {
        match &self.server {
            Server::PowerDns(server) => server.read(zone, keys).await,
            Server::Rfc2136(server) => server.read(zone, keys).await,
        }
    }

    /// Which of `keys` truly stand in the zone: an answer can also be made from a wildcard (`*.lab.example`).
    pub(crate) async fn really_there(
        &self,
        zone: &Name,
        keys: BTreeSet<Key>,
    ) -> Result<BTreeSet<Key>, Error> {
        match &self.server {
            Server::PowerDns(_) => Ok(keys), // its API shows records, not answers
            Server::Rfc2136(server) => server.really_there(zone, keys).await,
        }
    }

    /// Carries all changes of a zone out, or none. RFC 2136: only if every set is still as it was read (`before`).
    /// PowerDNS has no such condition; what was read is a moment old there.
    pub async fn apply(&self, zone: &Name, changes: &[Change]) -> Result<(), Error> {
        match &self.server {
            Server::PowerDns(server) => server.apply(zone, changes).await,
            Server::Rfc2136(server) => server.apply(zone, changes).await,
        }
    }

    /// Whether the server is there, accepts the key and lets it write the zone. Changes nothing.
    pub async fn check(&self, zone: &Name) -> Result<Health, Error> {
        match &self.server {
            Server::PowerDns(server) => server.check(zone).await,
            Server::Rfc2136(server) => server.check(zone).await,
        }
    }
}
