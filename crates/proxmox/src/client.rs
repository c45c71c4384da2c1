//! The client of one cluster: which endpoint a call goes through, and what its outcome means for breakers,
//! the pool's state and repetition.
//!
//! Invariants: a write is sent at most once (another endpoint is tried only while provably nothing was sent);
//! a read is repeated only where that can help; a node that is offline never makes its neighbours look down.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use gantry_core::id::{ClusterId, NodeName};
use secrecy::{ExposeSecret, Secret};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use url::Url;

use crate::answer::envelope::{Good, List};
use crate::answer::{ClusterStatus, Node, Version};
use crate::breaker::{Breakers, Permit, Position};
use crate::cache::{Freshness, Reads};
use crate::classify::{self, Asked};
use crate::config::{ClusterConfig, Tuning};
use crate::error::Error;
use crate::limit::Limits;
use crate::path::Path;
use crate::pool::{Health, Tracker};
use crate::retry::{self, Verdict};
use crate::tls::Tls;
use crate::transport::{self, Answer, Call, Endpoint, Failure};

/// How often those that are down are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Endpoint(usize),
    Node(NodeName),
}

struct Inner {
    id: ClusterId,
    urls: Vec<Url>,
    insecure: bool,
    secret: Secret<String>,
    tuning: Tuning,
    endpoints: Vec<Endpoint>,
    limits: Limits,
    breakers: Arc<Breakers<Key>>,
    tracker: Tracker,
    reads: Reads,
    turn: AtomicUsize,
}

/// A cheap handle; clones share connections, limits, breakers and shared reads.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("cluster", &self.0.id).finish_non_exhaustive()
    }
}

/// One endpoint as discovery found it.
#[derive(Debug, Clone)]
pub struct EndpointFound {
    /// Host and port.
    pub endpoint: String,
    /// The node that answers there.
    pub node: Option<NodeName>,
    /// Why it did not answer.
    pub error: Option<Error>,
}

/// What a cluster looks like from its endpoints.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// The cluster's own name; `None` for a single node or without `Sys.Audit` on `/`.
    pub name: Option<String>,
    /// Whether it may change anything.
    pub quorate: bool,
    /// Its nodes and whether they are online.
    pub nodes: Vec<(NodeName, bool)>,
    /// Every endpoint.
    pub endpoints: Vec<EndpointFound>,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration cannot work.
    pub fn new(config: ClusterConfig) -> Result<Self, Error> {
        config.check()?;
        let endpoints = transport::endpoints(&config)?;
        let insecure = config.tls == Tls::Insecure;
        if insecure {
            tracing::warn!(
                cluster = %config.id,
                "certificates of this cluster are NOT checked (tls = insecure): anybody on the way can read \
                 the API token"
            );
        }
        let names = endpoints.iter().map(|e| e.name().to_owned()).collect();
        Ok(Self(Arc::new(Inner {
            id: config.id,
            urls: config.endpoints,
            insecure,
            secret: config.token_secret,
            limits: Limits::new(&config.tuning, endpoints.len()),
            breakers: Breakers::new(config.tuning.breaker.clone()),
            tracker: Tracker::new(names),
            reads: Reads::new(config.tuning.cache_ttl),
            turn: AtomicUsize::new(0),
            tuning: config.tuning,
            endpoints,
        })))
    }

    /// The cluster's name in the configuration.
    pub fn cluster(&self) -> &ClusterId {
        &self.0.id
    }

    /// Whether certificates are not checked.
    pub fn is_insecure(&self) -> bool {
        self.0.insecure
    }

    /// Deadlines and limits in use.
    pub fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    /// The pool's state now, without asking anybody.
    pub fn health(&self) -> Health {
        let inner = &*self.0;
        let now = Instant::now();
        let of = inner.tuning.in_flight.max(1);
        Health {
            cluster: inner.id.clone(),
            insecure: inner.insecure,
            endpoints: inner.tracker.endpoint_health(
                |n| inner.breakers.position(&Key::Endpoint(n), now),
                |n| inner.limits.in_flight(n, of),
            ),
            nodes: inner
                .tracker
                .node_health(|node| inner.breakers.position(&Key::Node(node.clone()), now)),
            waiting: inner.limits.waiting(),
        }
    }

    /// Asks every endpoint at once who it is and which nodes there are. Takes no longer than the connect
    /// limit plus one read.
    ///
    /// # Errors
    /// When no endpoint answers: the most telling of their errors.
    pub async fn discover(&self) -> Result<Discovery, Error> {
        let inner = &*self.0;
        let limit = inner.tuning.connect_timeout + inner.tuning.read_timeout;
        let ask = |endpoint: usize| async move {
            let late = || {
                Err(Error::Unreachable {
                    endpoint: inner.tracker.name(endpoint).to_owned(),
                    why: "connection timed out".to_owned(),
                })
            };
            timeout(limit, self.ask_status(endpoint)).await.unwrap_or_else(|_| late())
        };
        let answers = join_all((0..inner.endpoints.len()).map(ask)).await;
        let mut found = Discovery::default();
        let mut best: Option<Error> = None;
        let mut answered = false;
        for (endpoint, answer) in answers.into_iter().enumerate() {
            let mut error = None;
            match answer {
                Ok(status) => {
                    if found.nodes.is_empty() {
                        found.nodes =
                            status.nodes.iter().map(|n| (n.node.clone(), n.online)).collect();
                        found.quorate = status.quorate;
                        found.name = status.name;
                    }
                    answered = true;
                }
                Err(e) => {
                    let telling = !matches!(e, Error::Unreachable { .. });
                    if best.is_none() || telling {
                        best = Some(e.clone());
                    }
                    error = Some(e);
                }
            }
            let endpoint = inner.tracker.name(endpoint).to_owned();
            found.endpoints.push(EndpointFound { endpoint, node: None, error });
        }
        for (n, endpoint) in found.endpoints.iter_mut().enumerate() {
            endpoint.node = inner.tracker.owner(n);
        }
        match best {
            Some(error) if !answered => Err(error),
            _ => Ok(found),
        }
    }

    /// `GET /cluster/status` through one endpoint; where the token may not see it, `GET /nodes` will do.
    async fn ask_status(&self, endpoint: usize) -> Result<ClusterStatus, Error> {
        let deadline = self.0.tuning.read_timeout;
        let call = Call::get(Path::fixed("/cluster/status"), deadline);
        match self.through(endpoint, &call).await {
            Ok(answer) => {
                let status: ClusterStatus = decode(&call, &answer, self.secret())?;
                self.learn(Some(endpoint), &status);
                Ok(status)
            }
            Err(Error::Denied { .. }) => {
                let call = Call::get(Path::fixed("/nodes"), deadline);
                let answer = self.through(endpoint, &call).await?;
                let nodes: List<Node> = decode(&call, &answer, self.secret())?;
                self.note_nodes(&nodes.0);
                let nodes = nodes.0.into_iter().filter_map(|n| {
                    let online = n.is_online();
                    let node = n.node?;
                    Some(crate::answer::ClusterStatusNode { node, online, local: false, ip: None })
                });
                let status = ClusterStatus { name: None, quorate: true, nodes: nodes.collect() };
                self.learn(None, &status);
                Ok(status)
            }
            Err(error) => Err(error),
        }
    }

    /// Which node sits behind which endpoint: by its own word, by address, or by host name.
    pub(crate) fn learn(&self, asked: Option<usize>, status: &ClusterStatus) {
        let inner = &*self.0;
        for row in &status.nodes {
            let why = (!row.online).then_some("offline for the cluster");
            inner.note_node(&row.node, row.online, why);
            if let (Some(endpoint), true) = (asked, row.local) {
                inner.tracker.belongs(endpoint, &row.node);
            }
            for (n, url) in inner.urls.iter().enumerate() {
                let host = url.host_str().unwrap_or_default();
                let label = host.split('.').next().unwrap_or_default();
                let same = row.ip.as_deref() == Some(host) || label == row.node.as_str();
                if same && inner.tracker.owner(n).is_none() {
                    inner.tracker.belongs(n, &row.node);
                }
            }
        }
    }

    /// Takes over what Proxmox says about its nodes.
    pub(crate) fn note_nodes(&self, nodes: &[Node]) {
        for row in nodes {
            // `unknown` is a node without figures, not one that is gone.
            if let (Some(node), Some(status)) = (&row.node, row.status.as_deref()) {
                let why = (status == "offline").then_some("offline for the cluster");
                if status != "unknown" {
                    self.0.note_node(node, why.is_none(), why);
                }
            }
        }
    }

    /// Looks for those that are down until the end of time; spawn it once per cluster. Without it they are
    /// found again by the next person who asks.
    pub async fn keep_watch(&self) {
        let mut tick = interval(WATCH_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.watch_once().await;
        }
    }

    /// Asks every endpoint and node that is down and due once.
    pub async fn watch_once(&self) {
        let inner = &*self.0;
        let now = Instant::now();
        let due = |key: &Key| match inner.breakers.position(key, now) {
            Position::Open { retry_in } => retry_in.is_zero(),
            Position::Closed | Position::HalfOpen => true,
        };
        let endpoints = (0..inner.endpoints.len())
            .filter(|n| inner.tracker.is_down(*n) && due(&Key::Endpoint(*n)));
        let deadline = inner.tuning.read_timeout;
        let ask_endpoint = |n| async move {
            let call = Call::get(Path::fixed("/version"), deadline);
            let _ = self.through(n, &call).await;
        };
        let nodes = inner.breakers.not_closed().into_iter().filter(due).filter_map(|k| match k {
            Key::Node(node) => Some(node),
            Key::Endpoint(_) => None,
        });
        let ask_node = |node: NodeName| async move {
            let call = Call::get(Path::node("/nodes/{node}/version", &node), deadline);
            let _ = self.attempt(&call, &Mutex::new(Vec::new())).await;
        };
        futures::future::join(join_all(endpoints.map(ask_endpoint)), join_all(nodes.map(ask_node)))
            .await;
    }

    pub(crate) fn secret(&self) -> &str {
        self.0.secret.expose_secret()
    }

    /// One attempt through one given endpoint.
    async fn through(&self, endpoint: usize, call: &Call) -> Result<Answer, Error> {
        let key = Key::Endpoint(endpoint);
        let permit = self.0.breakers.acquire(&key, Instant::now()).map_err(|rejected| {
            Error::BreakerOpen {
                subject: self.0.tracker.name(endpoint).to_owned(),
                why: self.0.tracker.why_endpoint(endpoint),
                retry_in: rejected.retry_in,
            }
        })?;
        let _turn = self.0.limits.turn(endpoint, call.is_write()).await?;
        self.0.send(endpoint, call, permit, None).await.map_err(|failure| failure.error)
    }

    /// One attempt through the best endpoint that is not in `tried` yet.
    async fn attempt(
        &self,
        call: &Call,
        tried: &Mutex<Vec<usize>>,
    ) -> Result<Answer, (Error, Verdict)> {
        let stop = |error| (error, Verdict::Stop);
        let inner = &*self.0;
        let mut skip = tried.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if skip.len() >= inner.endpoints.len() {
            skip.clear();
        }
        loop {
            let node_permit = inner.node_permit(call).map_err(stop)?;
            let (endpoint, permit) = inner.choose(call, &skip).map_err(stop)?;
            let was_down = inner.tracker.is_down(endpoint);
            let _turn = inner.limits.turn(endpoint, call.is_write()).await.map_err(stop)?;
            // The world may have changed while this call waited for its turn.
            let now = Instant::now();
            let opened =
                |key: &Key| matches!(inner.breakers.position(key, now), Position::Open { .. });
            let node_opened = call.path.node_name().is_some_and(|n| opened(&Key::Node(n.clone())));
            if node_opened {
                continue; // Ends in `node_permit` with the reason.
            }
            let worse = inner.tracker.is_down(endpoint) && !was_down;
            let others = inner.endpoints.len() > skip.len() + 1;
            if !skip.contains(&endpoint) && (opened(&Key::Endpoint(endpoint)) || worse) && others {
                skip.push(endpoint);
                continue;
            }
            {
                let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                if !tried.contains(&endpoint) {
                    tried.push(endpoint);
                }
            }
            let result = inner.send(endpoint, call, permit, node_permit).await;
            return result.map_err(|failure| {
                let tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                let verdict = inner.verdict(call, &failure, &tried, endpoint);
                (failure.error, verdict)
            });
        }
    }

    /// A read: repeated where that can help, within the limits.
    pub(crate) async fn answer(&self, call: &Call) -> Result<Answer, Error> {
        let policy = retry::Policy::from(&self.0.tuning);
        let policy = retry::Policy { total: policy.total.max(call.deadline), ..policy };
        let tried = Mutex::new(Vec::new());
        retry::read(&policy, |_| self.attempt(call, &tried)).await
    }

    /// A read with its decoded answer.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let answer = self.answer(call).await?;
        decode(call, &answer, self.secret())
    }

    /// A read that many people ask.
    pub(crate) async fn shared<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        call: Call,
        freshness: Freshness,
    ) -> Result<Arc<T>, Error> {
        let load = Box::pin(async { self.fetch(&call).await });
        self.0.reads.get(call.target(), freshness, load).await
    }

    /// A write: sent at most once. Another endpoint is tried only when no connection came about.
    pub(crate) async fn submit(&self, call: &Call) -> Result<Answer, Error> {
        self.0.reads.forget();
        let tried = Mutex::new(Vec::new());
        let result = loop {
            match self.attempt(call, &tried).await {
                Ok(answer) => break Ok(answer),
                Err((error, _)) => {
                    let all = {
                        let tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                        tried.len() >= self.0.endpoints.len()
                    };
                    let connected = !matches!(error, Error::Unreachable { .. } | Error::Tls { .. });
                    if all || connected {
                        break Err(error);
                    }
                }
            }
        };
        self.0.reads.forget();
        result
    }

    /// `GET /version`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn version(&self) -> Result<Arc<Version>, Error> {
        let call = Call::get(Path::fixed("/version"), self.0.tuning.read_timeout);
        self.shared(call, Freshness::Shared).await
    }
}

impl Inner {
    fn note_node(&self, node: &NodeName, up: bool, why: Option<&str>) {
        if self.tracker.node(node, up, why) {
            let cluster = &self.id;
            if up {
                tracing::info!(%cluster, %node, "node answers again");
            } else {
                tracing::warn!(%cluster, %node, why, "node does not answer");
            }
        }
    }

    fn note_endpoint(&self, endpoint: usize, up: bool, why: Option<&str>) {
        if self.tracker.endpoint(endpoint, up, why) {
            let (cluster, endpoint) = (&self.id, self.tracker.name(endpoint));
            if up {
                tracing::info!(%cluster, endpoint, "endpoint answers");
            } else {
                tracing::warn!(%cluster, endpoint, why, "endpoint does not answer");
            }
        }
    }

    fn node_permit(&self, call: &Call) -> Result<Option<Permit<Key>>, Error> {
        let Some(node) = call.path.node_name() else { return Ok(None) };
        let key = Key::Node(node.clone());
        match self.breakers.acquire(&key, Instant::now()) {
            Ok(permit) => Ok(Some(permit)),
            Err(rejected) => Err(Error::BreakerOpen {
                subject: node.to_string(),
                why: self.tracker.why_node(node),
                retry_in: rejected.retry_in,
            }),
        }
    }

    /// The first endpoint in order whose breaker lets the call pass.
    fn choose(&self, call: &Call, skip: &[usize]) -> Result<(usize, Permit<Key>), Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = self.tracker.order(call.path.node_name(), turn);
        let mut first: Option<(usize, Duration)> = None;
        for endpoint in order.into_iter().filter(|n| !skip.contains(n)) {
            match self.breakers.acquire(&Key::Endpoint(endpoint), Instant::now()) {
                Ok(permit) => return Ok((endpoint, permit)),
                Err(rejected) => {
                    if first.is_none_or(|(_, soonest)| rejected.retry_in < soonest) {
                        first = Some((endpoint, rejected.retry_in));
                    }
                }
            }
        }
        let (endpoint, retry_in) = first.unwrap_or((0, Duration::from_secs(1)));
        Err(Error::BreakerOpen {
            subject: self.tracker.name(endpoint).to_owned(),
            why: self.tracker.why_endpoint(endpoint),
            retry_in,
        })
    }

    /// Sends, and tells breakers and pool what was learnt.
    async fn send(
        &self,
        endpoint: usize,
        call: &Call,
        permit: Permit<Key>,
        node_permit: Option<Permit<Key>>,
    ) -> Result<Answer, Failure> {
        let Some(to) = self.endpoints.get(endpoint) else {
            let why = "no such endpoint".to_owned();
            return Err(Failure { error: Error::Config { why }, timeout: false });
        };
        let sent = to.send(call).await;
        let now = Instant::now();
        let node = call.path.node_name();
        let foreign = node.is_some() && self.tracker.owner(endpoint).as_ref() != node;
        let result = match sent {
            Ok(answer) if answer.status >= 300 => {
                let (write, secret) = (call.is_write(), self.secret.expose_secret().as_str());
                let asked = Asked { write, node, secret };
                let error = classify::error(answer.status, &answer.reason, &answer.body, &asked);
                if matches!(answer.status, 502..=504) {
                    permit.failure(now);
                    self.note_endpoint(endpoint, false, Some(&error.to_string()));
                } else {
                    permit.success(now);
                    self.note_endpoint(endpoint, true, None);
                    match &error {
                        Error::NodeOffline { why, .. } => {
                            self.node_failed(node, node_permit, why, now);
                        }
                        _ => self.node_answered(node, node_permit, now),
                    }
                }
                Err(Failure { error, timeout: false })
            }
            Ok(answer) => {
                permit.success(now);
                self.note_endpoint(endpoint, true, None);
                self.node_answered(node, node_permit, now);
                Ok(answer)
            }
            Err(failure) => {
                match &failure.error {
                    Error::Unreachable { why, .. } => {
                        permit.failure(now);
                        self.note_endpoint(endpoint, false, Some(why));
                    }
                    Error::Tls { problem, .. } => {
                        permit.failure(now);
                        self.note_endpoint(endpoint, false, Some(&problem.to_string()));
                    }
                    // The endpoint took the request; the node behind it is the silent one.
                    Error::AnswerLost { why, .. } if failure.timeout && foreign => {
                        self.node_failed(node, node_permit, why, now);
                    }
                    Error::AnswerLost { why, .. } => {
                        permit.failure(now);
                        if failure.timeout {
                            self.note_endpoint(endpoint, false, Some(why));
                        }
                    }
                    Error::TooLarge { .. } | Error::Decode { .. } => {
                        permit.success(now);
                        self.note_endpoint(endpoint, true, None);
                    }
                    _ => {}
                }
                Err(failure)
            }
        };
        result
    }

    fn node_answered(&self, node: Option<&NodeName>, permit: Option<Permit<Key>>, now: Instant) {
        if let (Some(node), Some(permit)) = (node, permit) {
            permit.success(now);
            self.note_node(node, true, None);
        }
    }

    fn node_failed(
        &self,
        node: Option<&NodeName>,
        permit: Option<Permit<Key>>,
        why: &str,
        now: Instant,
    ) {
        if let Some(node) = node {
            if let Some(permit) = permit {
                permit.failure(now);
            }
            self.note_node(node, false, Some(why));
        }
    }

    /// Whether another attempt of a read can help.
    fn verdict(&self, call: &Call, failure: &Failure, tried: &[usize], endpoint: usize) -> Verdict {
        let untried = (0..self.endpoints.len()).any(|n| !tried.contains(&n));
        let node = call.path.node_name();
        let foreign = node.is_some() && self.tracker.owner(endpoint).as_ref() != node;
        let again = match &failure.error {
            // Three seconds of silence once are enough for people.
            Error::Unreachable { .. } => !failure.timeout || untried,
            Error::Tls { .. } => untried,
            // Every other endpoint would wait for the same silent node.
            Error::AnswerLost { .. } if failure.timeout => untried && !foreign,
            Error::AnswerLost { .. } => true,
            Error::NodeOffline { .. } => (0..self.endpoints.len()).any(|n| {
                !tried.contains(&n) && node.is_some() && self.tracker.owner(n).as_ref() == node
            }),
            Error::Other { status: 502..=504, .. } => true,
            Error::Locked { kind } => kind.ends_with(" lock"),
            _ => false,
        };
        if again { Verdict::Again } else { Verdict::Stop }
    }
}

/// Reads `data` out of a good answer; null is handed to the type, which may know what it means.
pub(crate) fn decode<T: DeserializeOwned>(
    call: &Call,
    answer: &Answer,
    secret: &str,
) -> Result<T, Error> {
    decode_with_total(call, answer, secret).map(|(data, _)| data)
}

/// The same with `total`, which stands beside `data` in paged lists.
pub(crate) fn decode_with_total<T: DeserializeOwned>(
    call: &Call,
    answer: &Answer,
    secret: &str,
) -> Result<(T, Option<u64>), Error> {
    let bad = |e: serde_json::Error| Error::Decode {
        what: call.what(),
        why: classify::clean(&e.to_string(), secret),
        write: call.is_write(),
    };
    let good: Good<T> = serde_json::from_slice(&answer.body).map_err(bad)?;
    match good.data {
        Some(data) => Ok((data, good.total)),
        None => Ok((serde_json::from_str("null").map_err(bad)?, good.total)),
    }
}
