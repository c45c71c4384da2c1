//! The client of one cluster: reads repeated where that can help, writes sent at most once, discovery, and the
//! watch that finds those that were down. Where a call goes is decided in `route`.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use gantry_core::id::{ClusterId, NodeName};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::answer::envelope::List;
use crate::answer::{ClusterStatus, Node, Version};
use crate::breaker::{Breakers, Position};
use crate::cache::{Freshness, Reads};
use crate::config::{ClusterConfig, Tuning};
use crate::decode::decode;
use crate::error::Error;
use crate::limit::Limits;
use crate::meter::{CallFigures, Meter};
use crate::path::Path;
use crate::pool::{Health, Tracker};
use crate::retry;
use crate::route::{Inner, Key};
use crate::tls::Tls;
use crate::transport::{self, Answer, Call};

/// How often those that are down are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

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
        let meter = Arc::new(Meter::default());
        let endpoints = transport::endpoints(&config, &meter)?;
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
            token_id: config.token_id,
            secret: config.token_secret,
            limits: Limits::new(&config.tuning, endpoints.len()),
            breakers: Breakers::new(config.tuning.breaker.clone()),
            tracker: Tracker::new(names),
            reads: Reads::new(config.tuning.cache_ttl),
            turn: AtomicUsize::new(0),
            tuning: config.tuning,
            endpoints,
            meter,
        })))
    }

    /// The cluster's name in the configuration.
    pub fn cluster(&self) -> &ClusterId {
        &self.0.id
    }

    /// `user@realm!token`, as tasks of this client carry it.
    pub fn token_id(&self) -> &str {
        &self.0.token_id
    }

    /// Whether certificates are not checked.
    pub fn is_insecure(&self) -> bool {
        self.0.insecure
    }

    /// Deadlines and limits in use.
    pub fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    /// Calls since the start, and how long they took.
    pub fn calls(&self) -> CallFigures {
        self.0.meter.figures()
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
        match self.0.through(endpoint, &call).await {
            Ok(answer) => {
                let status: ClusterStatus = decode(&call, &answer, self.secret())?;
                self.learn(Some(endpoint), &status);
                Ok(status)
            }
            Err(Error::Denied { .. }) => {
                let call = Call::get(Path::fixed("/nodes"), deadline);
                let answer = self.0.through(endpoint, &call).await?;
                let nodes: List<Node> = decode(&call, &answer, self.secret())?;
                self.note_nodes(nodes.0.iter().map(|n| (n.node.as_ref(), n.status.as_deref())));
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
            inner.hear_of(&row.node, row.online);
            if let (Some(endpoint), true) = (asked, row.local) {
                inner.tracker.belongs(endpoint, &row.node);
            }
            for (n, url) in inner.urls.iter().enumerate() {
                let host = url.host_str().unwrap_or_default();
                let label = host.split('.').next().unwrap_or_default();
                // An address says something only where it is one endpoint's alone (not behind a forwarder).
                let alone = inner.urls.iter().filter(|u| u.host_str() == Some(host)).count() == 1;
                let same = (alone && row.ip.as_deref() == Some(host)) || label == row.node.as_str();
                if same && inner.tracker.owner(n).is_none() {
                    inner.tracker.belongs(n, &row.node);
                }
            }
        }
    }

    /// Takes over what Proxmox says about its nodes. `unknown` is a node without figures, not one that is gone.
    pub(crate) fn note_nodes<'a>(
        &self,
        rows: impl IntoIterator<Item = (Option<&'a NodeName>, Option<&'a str>)>,
    ) {
        for (node, status) in rows {
            if let (Some(node), Some(status @ ("online" | "offline"))) = (node, status) {
                self.0.hear_of(node, status == "online");
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
            let _ = self.0.through(n, &call).await;
        };
        // One failure marks a node as down, several open its breaker: both are asked, each as often as it may be.
        let mut nodes: BTreeSet<NodeName> = inner.tracker.down_nodes().into_iter().collect();
        nodes.extend(inner.breakers.not_closed().into_iter().filter_map(|k| match k {
            Key::Node(node) => Some(node),
            Key::Endpoint(_) => None,
        }));
        let nodes = nodes.into_iter().filter(|node| due(&Key::Node(node.clone())));
        let ask_node = |node: NodeName| async move {
            let call = Call::get(Path::node("/nodes/{node}/version", &node), deadline);
            let _ = self.0.attempt(&call, &Mutex::new(Vec::new())).await;
        };
        futures::future::join(join_all(endpoints.map(ask_endpoint)), join_all(nodes.map(ask_node)))
            .await;
    }

    pub(crate) fn secret(&self) -> &str {
        self.0.secret.expose_secret()
    }

    /// A read: repeated where that can help, within the limits.
    pub(crate) async fn answer(&self, call: &Call) -> Result<Answer, Error> {
        let policy = retry::Policy::from(&self.0.tuning);
        let policy = retry::Policy { total: policy.total.max(call.deadline), ..policy };
        let tried = Mutex::new(Vec::new());
        retry::read(&policy, |_| self.0.attempt(call, &tried)).await
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
        self.shared_noting(call, freshness, |_| {}).await
    }

    /// The same; `note` sees each answer once, however many people share it.
    pub(crate) async fn shared_noting<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        call: Call,
        freshness: Freshness,
        note: impl Fn(&T),
    ) -> Result<Arc<T>, Error> {
        let load = Box::pin(async {
            let answer = self.fetch(&call).await?;
            note(&answer);
            Ok(answer)
        });
        self.0.reads.get(call.target(), freshness, load).await
    }

    /// A write: sent at most once. Another endpoint is tried only when no connection came about.
    pub(crate) async fn submit(&self, call: &Call) -> Result<Answer, Error> {
        self.0.reads.forget();
        let tried = Mutex::new(Vec::new());
        let result = loop {
            match self.0.attempt(call, &tried).await {
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
