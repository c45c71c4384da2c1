//! What a twin can be told before it starts. The defaults are Discord's real figures.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::world::World;

/// How the gateway counts sessions; see "Session Start Limit" in Discord's documentation.
#[derive(Clone, Copy, Debug)]
pub struct SessionStartLimit {
    /// Identifies a day.
    pub total: u32,
    /// Identifies left.
    pub remaining: u32,
    /// Identifies at once per pacing window; key is `shard_id % max_concurrency`.
    pub max_concurrency: u32,
}

/// Settings of a twin.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; always a loopback address.
    pub bind: SocketAddr,
    /// The bot token, without `Bot `.
    pub token: String,
    /// Who and what exists.
    pub world: World,
    /// Address of the simulated cluster's control API, for the page's side panel.
    pub panel_url: Option<String>,
    /// Where the page reads the records of the simulated name server: `[{name, kind, ttl, content}]`.
    pub dns_url: Option<String>,
    /// Milliseconds between heartbeats.
    pub heartbeat_interval_ms: u64,
    /// Window within which `max_concurrency` identifies are taken.
    pub identify_window: Duration,
    /// Session budget.
    pub session_start_limit: SessionStartLimit,
    /// Shards that `GET /gateway/bot` recommends.
    pub shards: u32,
    /// Guilds a single shard may serve before 4011.
    pub guilds_per_shard: u64,
    /// Privileged intents switched on for the application (bits).
    pub privileged_intents: u64,
    /// Time for the first answer to an interaction.
    pub ack_deadline: Duration,
    /// Life of an interaction token.
    pub token_life: Duration,
    /// REST requests a second outside interaction endpoints; 0 switches the limit off.
    pub global_per_second: u32,
    /// Whether endpoints have rate limits at all; troubles work without.
    pub rate_limits: bool,
    /// Invalid requests in ten minutes before the address is blocked.
    pub invalid_requests: u32,
    /// Whether a REST call needs a `DiscordBot (url, version)` user agent.
    pub strict_user_agent: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "demo-token".into(),
            world: World::demo(),
            panel_url: None,
            dns_url: None,
            heartbeat_interval_ms: 41_250,
            identify_window: Duration::from_secs(5),
            session_start_limit: SessionStartLimit {
                total: 1000,
                remaining: 1000,
                max_concurrency: 1,
            },
            shards: 1,
            guilds_per_shard: 2500,
            privileged_intents: 0,
            ack_deadline: Duration::from_secs(3),
            token_life: Duration::from_secs(15 * 60),
            global_per_second: 50,
            rate_limits: true,
            invalid_requests: 10_000,
            strict_user_agent: true,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("bind", &self.bind)
            .field("token", &"[redacted]")
            .field("guilds", &self.world.guilds.len())
            .finish_non_exhaustive()
    }
}
