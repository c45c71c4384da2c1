//! Which endpoint a call goes through, and what its outcome means for breakers, the pool's state and repetition.
//!
//! Invariants: one call of `attempt` sends at most once; a node that is offline never makes its neighbours look
//! down; a call that waited for its turn looks again before it sends. Called by `client` only.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_core::id::{ClusterId, NodeName};
use secrecy::{ExposeSecret, Secret};
use tokio::time::Instant;
use url::Url;

use crate::breaker::{Breakers, Permit, Position};
use crate::cache::Reads;
use crate::classify::{self, Asked};
use crate::config::Tuning;
use crate::error::Error;
use crate::limit::Limits;
use crate::meter::Meter;
use crate::pool::Tracker;
use crate::retry::Verdict;
use crate::transport::{Answer, Call, Endpoint, Failure};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Endpoint(usize),
    Node(NodeName),
}

pub(crate) struct Inner {
    pub(crate) id: ClusterId,
    pub(crate) urls: Vec<Url>,
    pub(crate) insecure: bool,
    pub(crate) token_id: String,
    pub(crate) secret: Secret<String>,
    pub(crate) tuning: Tuning,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) limits: Limits,
    pub(crate) breakers: Arc<Breakers<Key>>,
    pub(crate) tracker: Tracker,
    pub(crate) reads: Reads,
    pub(crate) turn: AtomicUsize,
    pub(crate) meter: Arc<Meter>,
}

impl Inner {
    /// What Proxmox says about a node.
    pub(crate) fn hear_of(&self, node: &NodeName, online: bool) {
        if self.tracker.reported(node, online) {
            tracing::info!(cluster = %self.id, %node, online, "Proxmox reports the node");
        }
    }

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
        match sent {
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
        }
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

    /// One attempt through one given endpoint.
    pub(crate) async fn through(&self, endpoint: usize, call: &Call) -> Result<Answer, Error> {
        let key = Key::Endpoint(endpoint);
        let permit =
            self.breakers.acquire(&key, Instant::now()).map_err(|rejected| Error::BreakerOpen {
                subject: self.tracker.name(endpoint).to_owned(),
                why: self.tracker.why_endpoint(endpoint),
                retry_in: rejected.retry_in,
            })?;
        let _turn = self.limits.turn(endpoint, call.path.node_name(), call.is_write()).await?;
        self.send(endpoint, call, permit, None).await.map_err(|failure| failure.error)
    }

    /// One attempt through the best endpoint that is not in `tried` yet.
    pub(crate) async fn attempt(
        &self,
        call: &Call,
        tried: &Mutex<Vec<usize>>,
    ) -> Result<Answer, (Error, Verdict)> {
        let stop = |error| (error, Verdict::Stop);
        let mut skip = tried.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if skip.len() >= self.endpoints.len() {
            skip.clear();
        }
        loop {
            let node_permit = self.node_permit(call).map_err(stop)?;
            let (endpoint, permit) = self.choose(call, &skip).map_err(stop)?;
            let was_down = self.tracker.is_down(endpoint);
            let _turn = self
                .limits
                .turn(endpoint, call.path.node_name(), call.is_write())
                .await
                .map_err(stop)?;
            // The world may have changed while this call waited for its turn.
            let now = Instant::now();
            let opened =
                |key: &Key| matches!(self.breakers.position(key, now), Position::Open { .. });
            let node_opened = call.path.node_name().is_some_and(|n| opened(&Key::Node(n.clone())));
            if node_opened {
                continue; // Ends in `node_permit` with the reason.
            }
            let worse = self.tracker.is_down(endpoint) && !was_down;
            let others = self.endpoints.len() > skip.len() + 1;
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
            let result = self.send(endpoint, call, permit, node_permit).await;
            return result.map_err(|failure| {
                let tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
                let verdict = self.verdict(call, &failure, &tried, endpoint);
                (failure.error, verdict)
            });
        }
    }
}
