//! What is known about each shard right now: written by the sessions, read by `/cluster status` and
//! metrics. Reading never waits for the network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::lock;

/// Where a shard's connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for its turn or between two attempts.
    Waiting,
    /// Opening the connection.
    Connecting,
    /// Starting a new session.
    Identifying,
    /// Taking up the session again.
    Resuming,
    /// Receiving events.
    Connected,
    /// Stopped.
    Stopped,
}

/// One shard, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardLine {
    /// Its number, from 0.
    pub shard: u32,
    /// Where it stands.
    pub stage: Stage,
    /// How long it has stood there.
    pub for_how_long: Duration,
    /// Heartbeat round trip, once known.
    pub latency: Option<Duration>,
    /// Age of the last frame from Discord.
    pub last_event: Option<Duration>,
    /// New sessions asked for since the start.
    pub identifies: u32,
    /// Sessions taken up again since the start.
    pub resumes: u32,
    /// Events handed on since the start.
    pub events: u64,
    /// Events that could not be handed on.
    pub lost: u64,
    /// Servers on this shard when it became ready.
    pub guilds: Option<u32>,
    /// What went wrong last.
    pub last_problem: Option<String>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) stage: Stage,
    pub(super) since: Instant,
    pub(super) latency: Option<Duration>,
    pub(super) last_event: Option<Instant>,
    pub(super) identifies: u32,
    pub(super) resumes: u32,
    pub(super) events: u64,
    pub(super) lost: u64,
    pub(super) guilds: Option<u32>,
    pub(super) last_problem: Option<String>,
}

/// The shards of this process. Clones share it; make one with `default()` and give it to
/// [`super::run`].
#[derive(Debug, Clone, Default)]
pub struct GatewayStatus(Arc<Mutex<BTreeMap<u32, Entry>>>);

impl GatewayStatus {
    /// All shards of this process, in order.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardLine> {
        let now = Instant::now();
        lock(&self.0)
            .iter()
            .map(|(shard, entry)| ShardLine {
                shard: *shard,
                stage: entry.stage,
                for_how_long: now - entry.since,
                latency: entry.latency,
                last_event: entry.last_event.map(|at| now - at),
                identifies: entry.identifies,
                resumes: entry.resumes,
                events: entry.events,
                lost: entry.lost,
                guilds: entry.guilds,
                last_problem: entry.last_problem.clone(),
            })
            .collect()
    }

    /// Whether there are shards and all of them receive events.
    #[must_use]
    pub fn all_connected(&self) -> bool {
        let shards = lock(&self.0);
        !shards.is_empty() && shards.values().all(|entry| entry.stage == Stage::Connected)
    }

    pub(super) fn edit<T>(&self, shard: u32, edit: impl FnOnce(&mut Entry) -> T) -> T {
        let mut shards = lock(&self.0);
        edit(shards.entry(shard).or_insert_with(|| Entry {
            stage: Stage::Waiting,
            since: Instant::now(),
            latency: None,
            last_event: None,
            identifies: 0,
            resumes: 0,
            events: 0,
            lost: 0,
            guilds: None,
            last_problem: None,
        }))
    }

    pub(super) fn stage(&self, shard: u32, stage: Stage) {
        self.edit(shard, |entry| {
            if entry.stage != stage {
                entry.stage = stage;
                entry.since = Instant::now();
            }
        });
    }
}
