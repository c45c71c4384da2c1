//! The endpoints and nodes of a cluster with their state and age: who answered when, who does not, since when
//! and why. Filled by every answer; read without any I/O for health pages and for error texts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gantry_core::id::{ClusterId, NodeName};
use tokio::time::Instant;

use crate::breaker::Position;

/// How an endpoint or node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answered last time.
    Up,
    /// It did not.
    Down,
    /// It was never asked.
    Unknown,
    /// It did not answer lately and is being tried again.
    HalfOpen,
}

/// One endpoint as last seen.
#[derive(Debug, Clone)]
pub struct EndpointHealth {
    /// Host and port.
    pub endpoint: String,
    /// The node that answers there, once known.
    pub node: Option<NodeName>,
    /// How it stands.
    pub state: State,
    /// Since when it stands so.
    pub since: SystemTime,
    /// Age of its last answer.
    pub last_answer_age: Option<Duration>,
    /// What happened last time it failed.
    pub last_error: Option<String>,
    /// Requests under way.
    pub in_flight: usize,
}

/// One node as last seen.
#[derive(Debug, Clone)]
pub struct NodeHealth {
    /// Its name.
    pub node: NodeName,
    /// How it stands.
    pub state: State,
    /// Since when it stands so.
    pub since: SystemTime,
    /// Age of its last answer, or of the cluster's word that it is online.
    pub last_answer_age: Option<Duration>,
    /// What happened last time it failed.
    pub last_error: Option<String>,
}

/// A cluster's connections at one moment.
#[derive(Debug, Clone)]
pub struct Health {
    /// The cluster.
    pub cluster: ClusterId,
    /// Whether certificates are not checked.
    pub insecure: bool,
    /// Its endpoints, in configured order.
    pub endpoints: Vec<EndpointHealth>,
    /// Its nodes, by name.
    pub nodes: Vec<NodeHealth>,
    /// Calls that wait for their turn.
    pub waiting: usize,
}

impl Health {
    /// Whether at least one endpoint is not known to be down.
    pub fn is_reachable(&self) -> bool {
        self.endpoints.iter().any(|e| e.state != State::Down)
    }
}

impl EndpointHealth {
    /// For example `pve3:8006 unreachable since 12:03 UTC (connection timed out)`.
    pub fn sentence(&self) -> String {
        sentence(&self.endpoint, self.state, self.since, self.last_error.as_deref())
    }
}

impl NodeHealth {
    /// For example `pve3 unreachable since 12:03 UTC (connection timed out)`.
    pub fn sentence(&self) -> String {
        sentence(self.node.as_str(), self.state, self.since, self.last_error.as_deref())
    }
}

fn sentence(name: &str, state: State, since: SystemTime, error: Option<&str>) -> String {
    match state {
        State::Up => format!("{name} answers"),
        State::Unknown => format!("{name} was not asked yet"),
        State::Down | State::HalfOpen => format!("{name} {}", unreachable(since, error)),
    }
}

/// `unreachable since 12:03 UTC (connection timed out)`.
fn unreachable(since: SystemTime, error: Option<&str>) -> String {
    let s = since.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (hour, minute) = (s / 3_600 % 24, s / 60 % 60);
    let why = error.map(|e| format!(" ({e})")).unwrap_or_default();
    format!("unreachable since {hour:02}:{minute:02} UTC{why}")
}

#[derive(Debug, Clone)]
struct Track {
    up: Option<bool>,
    since: SystemTime,
    answered: Option<Instant>,
    error: Option<String>,
    /// Down because Proxmox says so, not because it did not answer us.
    by_word: bool,
}

impl Track {
    fn new() -> Self {
        Self { up: None, since: SystemTime::now(), answered: None, error: None, by_word: false }
    }

    fn set(&mut self, up: bool, why: Option<&str>) {
        self.by_word = false;
        if self.up != Some(up) {
            self.up = Some(up);
            self.since = SystemTime::now();
        }
        if up {
            self.answered = Some(Instant::now());
        } else if let Some(why) = why {
            self.error = Some(why.to_owned());
        }
    }

    fn state(&self, position: Position) -> State {
        match (self.up, position) {
            (_, Position::HalfOpen) => State::HalfOpen,
            (_, Position::Open { .. }) | (Some(false), Position::Closed) => State::Down,
            (Some(true), Position::Closed) => State::Up,
            (None, Position::Closed) => State::Unknown,
        }
    }

    fn age(&self) -> Option<Duration> {
        self.answered.map(|at| at.elapsed())
    }
}

/// Node names that are remembered; a Proxmox cluster has at most a few dozen.
const NODES_MAX: usize = 512;

struct Inner {
    endpoints: Vec<(Track, Option<NodeName>)>,
    nodes: BTreeMap<NodeName, Track>,
}

/// The memory behind [`Health`].
pub(crate) struct Tracker {
    names: Vec<String>,
    inner: Mutex<Inner>,
}

impl Tracker {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let endpoints = names.iter().map(|_| (Track::new(), None)).collect();
        Self { names, inner: Mutex::new(Inner { endpoints, nodes: BTreeMap::new() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self, endpoint: usize) -> &str {
        self.names.get(endpoint).map_or("", String::as_str)
    }

    /// An endpoint answered, or did not and why. True when its state changed.
    pub(crate) fn endpoint(&self, endpoint: usize, up: bool, why: Option<&str>) -> bool {
        let mut inner = self.inner();
        let Some((track, _)) = inner.endpoints.get_mut(endpoint) else { return false };
        let changed = track.up != Some(up);
        track.set(up, why);
        changed
    }

    /// A node answered, or did not. True when its state changed.
    pub(crate) fn node(&self, node: &NodeName, up: bool, why: Option<&str>) -> bool {
        self.of(node, |track| track.set(up, why))
    }

    /// Proxmox says that a node is online, or that it is not. Its word raises a node that is down only if its
    /// word was the reason: corosync may see a node whose API is silent. True when its state changed.
    pub(crate) fn reported(&self, node: &NodeName, online: bool) -> bool {
        self.of(node, |track| {
            let silent = track.up == Some(false) && !track.by_word;
            if online && !silent {
                track.set(true, None);
            } else if !online && !silent {
                track.set(false, Some("offline for the cluster"));
                track.by_word = true;
            }
        })
    }

    fn of(&self, node: &NodeName, change: impl FnOnce(&mut Track)) -> bool {
        let mut inner = self.inner();
        if !inner.nodes.contains_key(node) && inner.nodes.len() >= NODES_MAX {
            return false;
        }
        let track = inner.nodes.entry(node.clone()).or_insert_with(Track::new);
        let before = track.up;
        change(track);
        before.is_some() && before != track.up
    }

    /// Remembers which node answers at an endpoint.
    pub(crate) fn belongs(&self, endpoint: usize, node: &NodeName) {
        if let Some((_, owner)) = self.inner().endpoints.get_mut(endpoint) {
            *owner = Some(node.clone());
        }
    }

    /// The node behind an endpoint, once known.
    pub(crate) fn owner(&self, endpoint: usize) -> Option<NodeName> {
        self.inner().endpoints.get(endpoint).and_then(|(_, owner)| owner.clone())
    }

    /// Endpoint numbers in the order to try: the node's own first, those that failed last time last, the rest
    /// rotated so that the load spreads.
    pub(crate) fn order(&self, node: Option<&NodeName>, turn: usize) -> Vec<usize> {
        let inner = self.inner();
        let count = inner.endpoints.len();
        let mut order: Vec<(bool, bool, usize, usize)> = inner
            .endpoints
            .iter()
            .enumerate()
            .map(|(n, (track, owner))| {
                let foreign = node.is_none() || owner.as_ref() != node;
                (track.up == Some(false), foreign, (n + count - turn % count) % count, n)
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, _, n)| n).collect()
    }

    /// Whether an endpoint failed last time.
    pub(crate) fn is_down(&self, endpoint: usize) -> bool {
        self.inner().endpoints.get(endpoint).is_some_and(|(track, _)| track.up == Some(false))
    }

    /// Nodes that failed last time.
    pub(crate) fn down_nodes(&self) -> Vec<NodeName> {
        let inner = self.inner();
        let down = inner.nodes.iter().filter(|(_, track)| track.up == Some(false));
        down.map(|(node, _)| node.clone()).collect()
    }

    /// `unreachable since … (…)` for an endpoint.
    pub(crate) fn why_endpoint(&self, endpoint: usize) -> String {
        let inner = self.inner();
        let track = inner.endpoints.get(endpoint).map(|(track, _)| track);
        track.map_or_else(String::new, |t| unreachable(t.since, t.error.as_deref()))
    }

    /// `unreachable since … (…)` for a node.
    pub(crate) fn why_node(&self, node: &NodeName) -> String {
        let inner = self.inner();
        inner.nodes.get(node).map_or_else(
            || "does not answer".to_owned(),
            |t| unreachable(t.since, t.error.as_deref()),
        )
    }

    pub(crate) fn endpoint_health(
        &self,
        position: impl Fn(usize) -> Position,
        in_flight: impl Fn(usize) -> usize,
    ) -> Vec<EndpointHealth> {
        let inner = self.inner();
        let all = inner.endpoints.iter().zip(&self.names).enumerate();
        all.map(|(n, ((track, owner), name))| EndpointHealth {
            endpoint: name.clone(),
            node: owner.clone(),
            state: track.state(position(n)),
            since: track.since,
            last_answer_age: track.age(),
            last_error: track.error.clone(),
            in_flight: in_flight(n),
        })
        .collect()
    }

    pub(crate) fn node_health(&self, position: impl Fn(&NodeName) -> Position) -> Vec<NodeHealth> {
        let inner = self.inner();
        let all = inner.nodes.iter();
        all.map(|(node, track)| NodeHealth {
            node: node.clone(),
            state: track.state(position(node)),
            since: track.since,
            last_answer_age: track.age(),
            last_error: track.error.clone(),
        })
        .collect()
    }
}
