//! Headless services in the DNS: what a service shall say is made true at PowerDNS or at any server that takes
//! RFC 2136 updates, and read back.
//!
//! Promises: a record that gantry did not write is never changed; a write is never sent again blindly (what is there
//! is read first); every call has a deadline and every answer a bound; no key reaches a log or an error. Called by
//! `gantry-engine`, which decides when, and by `gantry doctor`.

mod error;
mod powerdns;
mod provider;
mod publisher;
mod rfc2136;
mod tls;
mod txt;

pub use error::{Error, KeyProblem};
pub use powerdns::PowerDnsConfig;
pub use provider::{Health, Provider};
pub use publisher::{Published, Publisher, ZoneState};
pub use rfc2136::{Algorithm, Clock, Rfc2136Config};

use std::time::Duration;

/// How long things may take. The defaults fit a name server in the same building.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// Until a connection stands.
    pub connect: Duration,
    /// One read, from the first byte sent to the last byte of the answer.
    pub read: Duration,
    /// One write. Longer: a server signs and stores before it answers.
    pub write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(5),
            write: Duration::from_secs(15),
        }
    }
}
