//! The HTTP face: whether gantry lives and is ready, figures for Prometheus, webhooks in, silences out to Alertmanager.
//!
//! Off unless an address is configured. Whatever comes in is bounded in size, count and time before it is looked at, and
//! what a webhook tells is in the database before its sender is told so. Called by the process, which knows Discord.

mod auth;
mod hook;
mod metrics;
mod ready;
mod server;
mod silence;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gantry_core::id::ClusterId;
use secrecy::Secret;
use url::Url;

pub use hook::{HookKind, proxmox_commands};
pub use metrics::{Family, Kind, families};
pub use server::Server;
pub use silence::Alertmanagers;

/// What is served, and to whom.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Who has it may read `/metrics`; `None`: whoever reaches the port.
    pub token: Option<Secret<String>>,
    /// Webhooks in.
    pub hooks: Vec<Hook>,
    /// The clusters there are; a webhook may name one of them.
    pub clusters: Vec<ClusterId>,
    /// gantry's version.
    pub version: &'static str,
}

/// One webhook in.
#[derive(Debug, Clone)]
pub struct Hook {
    /// What it is called; the last part of its path.
    pub name: String,
    /// Who speaks there.
    pub kind: HookKind,
    /// The cluster it is about where it does not say.
    pub cluster: ClusterId,
    /// Who has it may speak there.
    pub token: Secret<String>,
    /// Where that Alertmanager is, so that silences hold there as well.
    pub url: Option<Url>,
    /// A bearer token for it.
    pub url_token: Option<Secret<String>>,
}

/// A shard of the gateway at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Shard {
    /// Its number.
    pub shard: u32,
    /// Whether it receives events.
    pub connected: bool,
    /// Heartbeat round trip, once known.
    pub latency: Option<Duration>,
    /// Servers when it became ready.
    pub guilds: Option<u32>,
    /// New sessions since the start.
    pub identifies: u32,
    /// Sessions taken up again since the start.
    pub resumes: u32,
    /// Events handed on since the start.
    pub events: u64,
    /// Events that could not be handed on.
    pub lost: u64,
}

/// Calls to Discord since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    /// Answers, by how they ended.
    pub answers: Vec<(&'static str, u64)>,
    /// Answers that said to wait, by scope.
    pub limited: Vec<(&'static str, u64)>,
    /// Calls that were not sent, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Calls repeated.
    pub repeats: u64,
    /// Invalid requests of the last ten minutes; Discord blocks the address at 10,000.
    pub invalid_recent: u64,
    /// Calls waiting for their turn.
    pub waiting: usize,
}

/// What the process knows of Discord. Answers at once, from memory.
pub trait Discord: Send + Sync {
    /// The shards of this process.
    fn shards(&self) -> Vec<Shard>;
    /// Calls.
    fn rest(&self) -> Rest;
}

/// Discord as the process knows it.
pub type Surroundings = Arc<dyn Discord>;
