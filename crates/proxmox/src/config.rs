//! What the client needs to know about one cluster: where, as whom, how trust is established, and the limits.
//!
//! Every default is a fact of the real server (see each field); the token's secret cannot be printed.

use std::time::Duration;

use gantry_core::id::ClusterId;
use secrecy::Secret;
use url::Url;

use crate::breaker::Settings as BreakerSettings;
use crate::error::Error;
use crate::tls::Tls;

/// One cluster as configured. `Debug` shows neither the secret nor what a proxy address may hold.
#[derive(Clone)]
pub struct ClusterConfig {
    /// The operator's name for the cluster.
    pub id: ClusterId,
    /// Where any node answers, for example `https://pve1.example:8006`. The first ones are not preferred.
    pub endpoints: Vec<Url>,
    /// `user@realm!token`.
    pub token_id: String,
    /// The token's UUID.
    pub token_secret: Secret<String>,
    /// How a node proves who it is.
    pub tls: Tls,
    /// The only proxy ever used; the environment's `HTTPS_PROXY` is not read.
    pub proxy: Option<Url>,
    /// Deadlines, limits and pauses.
    pub tuning: Tuning,
}

impl std::fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoints: Vec<String> = self.endpoints.iter().map(endpoint_name).collect();
        f.debug_struct("ClusterConfig")
            .field("id", &self.id)
            .field("endpoints", &endpoints)
            .field("token_id", &self.token_id)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy.as_ref().map(endpoint_name))
            .field("tuning", &self.tuning)
            .finish_non_exhaustive()
    }
}

impl ClusterConfig {
    /// A cluster with system roots and default limits.
    pub fn new(
        id: ClusterId,
        endpoints: Vec<Url>,
        token_id: impl Into<String>,
        token_secret: Secret<String>,
    ) -> Self {
        Self {
            id,
            endpoints,
            token_id: token_id.into(),
            token_secret,
            tls: Tls::SystemRoots,
            proxy: None,
            tuning: Tuning::default(),
        }
    }

    /// Finds what cannot work before anything is sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Config { why });
        if self.endpoints.is_empty() {
            return bad(format!("cluster {} has no endpoint", self.id));
        }
        for url in &self.endpoints {
            let shown = endpoint_name(url);
            if url.scheme() != "https" || url.host_str().is_none() {
                return bad(format!("endpoint {shown} must start with https://"));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return bad(format!("endpoint {shown} must not contain a user or password"));
            }
            if url.query().is_some() || url.fragment().is_some() {
                return bad(format!("endpoint {shown} must not contain ? or #"));
            }
        }
        let id = &self.token_id;
        let user_and_token = id.split_once('!').is_some_and(|(user, token)| {
            user.contains('@') && !token.is_empty() && !token.contains('!')
        });
        if !user_and_token || id.chars().any(|c| c.is_whitespace() || c.is_control() || c == ';') {
            return bad("the token id must look like user@realm!token".to_owned());
        }
        Ok(())
    }
}

/// Host and port of an endpoint: what people and logs see.
pub(crate) fn endpoint_name(url: &Url) -> String {
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        _ => "(no host)".to_owned(),
    }
}

/// Deadlines and limits. The defaults fit a real pveproxy.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// TCP and TLS together; a node that does not shake hands within it counts as unreachable.
    pub connect_timeout: Duration,
    /// One attempt of a read, from the first byte sent to the last byte of the answer.
    pub read_timeout: Duration,
    /// A read with all its repetitions.
    pub read_total: Duration,
    /// A write, or a slow read that a node passes on. Above Proxmox's own node-to-node limit of 30 s, so that
    /// its 595 arrives before we give up.
    pub write_timeout: Duration,
    /// Times a read is sent at most, all endpoints together.
    pub read_attempts: u32,
    /// First pause between two attempts of a read; doubles, with jitter.
    pub retry_pause: Duration,
    /// Reads a second against the whole cluster; writes have half of it in a bucket of their own.
    pub per_second: u32,
    /// Reads that may come at once.
    pub burst: u32,
    /// Requests in flight per endpoint; one of them is kept free of reads.
    pub in_flight: usize,
    /// How long a call waits for its turn before it is refused.
    pub queue_timeout: Duration,
    /// How many calls may wait for their turn.
    pub queue_length: usize,
    /// Circuit breakers of endpoints and nodes.
    pub breaker: BreakerSettings,
    /// How long a read that many people ask is shared; zero shares nothing.
    pub cache_ttl: Duration,
    /// Idle connections are dropped before pveproxy's 5.0 s do it.
    pub pool_idle: Duration,
    /// Largest answer that is read, after decompression.
    pub body_limit: usize,
    /// Asks for gzip.
    pub gzip: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(5),
            read_total: Duration::from_secs(15),
            write_timeout: Duration::from_secs(35),
            read_attempts: 4,
            retry_pause: Duration::from_millis(50),
            per_second: 10,
            burst: 20,
            in_flight: 6,
            queue_timeout: Duration::from_secs(8),
            queue_length: 2_000,
            breaker: BreakerSettings::default(),
            cache_ttl: Duration::from_secs(1),
            pool_idle: Duration::from_secs(4),
            body_limit: 64 * 1024 * 1024,
            gzip: true,
        }
    }
}
