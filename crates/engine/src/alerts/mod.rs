//! Alerts: looks at clusters, feeds the alert desks (`core::alert`), keeps what they come to, answers about it.
//!
//! One process leads all desks, by lease. What one step changes is kept in one transaction, and the messages are the
//! courier's cards: asked for there and then, kept up to date in place.

mod ask;
mod hear;
mod lead;
mod look;
mod mirror;
mod note;
mod own;
mod rare;
mod report;
mod rights;
mod wear;

pub use ask::{AlertView, MuteAsk, Said};
use gantry_core::alert::{Route, Rules};
use gantry_core::id::{GuildId, IncidentId};
pub(crate) use hear::AT_ONCE as HEARD_AT_ONCE;
pub use mirror::Silencer;
pub use note::NOTE_MAX;
use sha2::{Digest, Sha256};

use crate::Engine;

/// Which servers are told about what.
#[derive(Debug, Clone, Default)]
pub struct AlertSettings {
    /// Where alerts go; a server at most once. None: nobody is told, nothing is watched for.
    pub routes: Vec<Route>,
    /// The rules, before what servers made of them.
    pub rules: Rules,
}

impl Engine {
    /// Where alerts of a server go.
    pub fn alert_route(&self, guild: GuildId) -> Option<&Route> {
        self.inner.settings.alerts.routes.iter().find(|r| r.guild == guild)
    }
}

/// The id of an incident that is the same however often it is made: it follows from what it is about and from when.
fn id_from(what: &str, at_ms: i64) -> IncidentId {
    let digest = Sha256::digest(what);
    let random = digest.iter().take(10).fold(0_u128, |n, b| (n << 8) | u128::from(*b));
    IncidentId::new(at_ms, random)
}
