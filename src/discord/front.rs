//! The one door for Discord REST calls: a server on loopback that serenity is pointed at and that
//! forwards to Discord, owning rate limits, deadlines, repeats and the count of invalid requests.
//! Answers to interactions enter it from within ([`super::within`]).
//!
//! Invariant: nothing but `/api/v10/` of the configured host is reachable through it, and only for
//! who already holds the bot's token or a token in the path. Started by the process before anything
//! else of Discord.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::Secret;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::buckets::Limiter;
use super::{bot_authorization, dial, forward, lock};

/// Connections to the front at once: serenity's pool and the courier's, far below this.
const MAX_CONNECTIONS: usize = 512;
/// Large uploads held in memory at once (each at most [`forward::MAX_BODY`]).
const LARGE_BODIES: usize = 4;
/// Discord blocks an address after 10,000 invalid requests in this time.
const INVALID_WINDOW: Duration = Duration::from_secs(600);
/// Grain of the sliding window.
const INVALID_GRAIN: Duration = Duration::from_secs(10);
/// Time given to requests in flight when the front stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How the front behaves. `Default` is what production uses against discord.com, without a token.
#[derive(Clone, Debug)]
pub struct FrontSettings {
    /// Where requests go, e.g. `https://discord.com`. Plain HTTP is accepted for loopback only.
    pub api_base: Url,
    /// The bot token, with or without its `Bot ` prefix.
    pub token: Secret<String>,
    /// TCP and TLS to Discord.
    pub connect_timeout: Duration,
    /// One attempt, from request line to the end of the answer. Uploads get four times as long.
    pub total_timeout: Duration,
    /// Everything for the first answer to an interaction, waiting included (Discord: 3 s).
    pub callback_deadline: Duration,
    /// How long any other request may wait for limits and repeats before its last attempt starts.
    pub wait_deadline: Duration,
    /// Sent as `User-Agent`; Discord requires `DiscordBot (url, version)`.
    pub user_agent: String,
    /// An HTTP proxy on the way to Discord.
    pub proxy: Option<Url>,
    /// Discord's global limit for one bot, requests per second.
    pub global_per_second: u32,
    /// Invalid requests (401, 403, 429 but not `shared`) in ten minutes after which only
    /// interaction callbacks are still sent. Discord blocks the address at 10,000.
    pub invalid_limit: u64,
    /// Requests that may wait for one bucket.
    pub queue: usize,
}

impl Default for FrontSettings {
    fn default() -> Self {
        Self {
            api_base: dial::discord(),
            token: Secret::new(String::new()),
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(15),
            callback_deadline: Duration::from_millis(2_500),
            wait_deadline: Duration::from_secs(60),
            user_agent: concat!(
                "DiscordBot (",
                env!("CARGO_PKG_REPOSITORY"),
                ", ",
                env!("CARGO_PKG_VERSION"),
                ")"
            )
            .to_owned(),
            proxy: None,
            global_per_second: 50,
            invalid_limit: 8_000,
            queue: 256,
        }
    }
}

/// Why the front could not start.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The API address would send the token in clear or nowhere.
    #[error("discord.api_url {url}: {why}")]
    Address {
        /// The address as configured.
        url: Url,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token has characters no header can carry.
    #[error("the Discord bot token contains characters that no token has; copy it again")]
    Token,
    /// The client towards Discord could not be built.
    #[error("could not prepare the HTTP client for Discord")]
    Client(#[source] reqwest::Error),
    /// No port on loopback.
    #[error("could not open a port on 127.0.0.1 for the Discord front")]
    Listen(#[source] std::io::Error),
}

/// A snapshot of what the front has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontStats {
    /// Requests accepted from our side.
    pub requests: u64,
    /// Answers 2xx and 3xx passed back.
    pub ok: u64,
    /// Answers 4xx passed back, without 429.
    pub client_errors: u64,
    /// Answers 5xx and lost answers passed back.
    pub server_errors: u64,
    /// 429s of scope `user` received (own pace misjudged).
    pub limited_user: u64,
    /// 429s of the bot's global limit received.
    pub limited_global: u64,
    /// 429s of scope `shared` received (somebody else's doing).
    pub limited_shared: u64,
    /// 429s without Discord's JSON received (Cloudflare).
    pub limited_address: u64,
    /// Requests given back as 429 because the limit lifts after their deadline.
    pub limits_passed_on: u64,
    /// Attempts repeated after a 5xx, a lost answer to a read or a failed connection.
    pub repeats: u64,
    /// Requests refused because they were none of ours.
    pub forbidden: u64,
    /// Requests refused because the queue of their bucket was full.
    pub queue_full: u64,
    /// Requests refused because of too many invalid ones.
    pub braked: u64,
    /// Invalid requests in the last ten minutes.
    pub invalid_recent: u64,
    /// Rate-limit buckets in memory.
    pub buckets: usize,
    /// Requests waiting for a bucket now.
    pub waiting: usize,
    /// Discord refused the token.
    pub token_rejected: bool,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) ok: AtomicU64,
    pub(super) client_errors: AtomicU64,
    pub(super) server_errors: AtomicU64,
    pub(super) limited_user: AtomicU64,
    pub(super) limited_global: AtomicU64,
    pub(super) limited_shared: AtomicU64,
    pub(super) limited_address: AtomicU64,
    pub(super) limits_passed_on: AtomicU64,
    pub(super) repeats: AtomicU64,
    pub(super) forbidden: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) braked: AtomicU64,
}

/// Adds one to a counter.
pub(super) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Invalid requests of the last ten minutes.
#[derive(Default)]
pub(super) struct Invalid(Mutex<VecDeque<(Instant, u64)>>);

impl Invalid {
    pub(super) fn add(&self) {
        let now = Instant::now();
        let mut window = lock(&self.0);
        match window.back_mut() {
            Some((at, count)) if now - *at < INVALID_GRAIN => *count += 1,
            _ => window.push_back((now, 1)),
        }
        Self::trim(&mut window, now);
    }

    pub(super) fn recent(&self) -> u64 {
        let mut window = lock(&self.0);
        Self::trim(&mut window, Instant::now());
        window.iter().map(|(_, count)| count).sum()
    }

    fn trim(window: &mut VecDeque<(Instant, u64)>, now: Instant) {
        while window.front().is_some_and(|(at, _)| now - *at >= INVALID_WINDOW) {
            window.pop_front();
        }
    }
}

/// What every request of the front needs.
pub(super) struct Shared {
    pub(super) settings: FrontSettings,
    pub(super) authorization: HeaderValue,
    pub(super) client: reqwest::Client,
    pub(super) limiter: Limiter,
    pub(super) counters: Counters,
    pub(super) invalid: Invalid,
    pub(super) large: Semaphore,
    pub(super) rejected: watch::Sender<bool>,
}

/// The running front. Clones share it; it stops when asked, not when dropped.
#[derive(Clone)]
pub struct Front {
    url: Url,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Front {
    /// Opens a port on 127.0.0.1 and serves until [`Front::stop`].
    ///
    /// # Errors
    /// When the address is unsafe or no port can be had; nothing was sent to Discord.
    pub async fn start(settings: FrontSettings) -> Result<Self, FrontError> {
        if let Some(why) = dial::unsafe_api(&settings.api_base) {
            return Err(FrontError::Address { url: settings.api_base, why });
        }
        let mut authorization = HeaderValue::from_str(&bot_authorization(&settings.token))
            .map_err(|_| FrontError::Token)?;
        authorization.set_sensitive(true);
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(32)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(&settings.user_agent);
        if let Some(proxy) = &settings.proxy {
            client = client.proxy(reqwest::Proxy::all(proxy.as_str()).map_err(FrontError::Client)?);
        }
        let client = client.build().map_err(FrontError::Client)?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(FrontError::Listen)?;
        let address = listener.local_addr().map_err(FrontError::Listen)?;
        let front = Self {
            url: loopback_url("http", address),
            shared: Arc::new(Shared {
                limiter: Limiter::new(settings.global_per_second, settings.queue),
                settings,
                authorization,
                client,
                counters: Counters::default(),
                invalid: Invalid::default(),
                large: Semaphore::new(LARGE_BODIES),
                rejected: watch::Sender::new(false),
            }),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let serving = front.clone();
        front.tasks.spawn(async move { serving.serve(listener).await });
        Ok(front)
    }

    /// Where serenity is pointed at, e.g. `http://127.0.0.1:41873/`.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> FrontStats {
        let c = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (buckets, waiting) = self.shared.limiter.counts();
        FrontStats {
            requests: read(&c.requests),
            ok: read(&c.ok),
            client_errors: read(&c.client_errors),
            server_errors: read(&c.server_errors),
            limited_user: read(&c.limited_user),
            limited_global: read(&c.limited_global),
            limited_shared: read(&c.limited_shared),
            limited_address: read(&c.limited_address),
            limits_passed_on: read(&c.limits_passed_on),
            repeats: read(&c.repeats),
            forbidden: read(&c.forbidden),
            queue_full: read(&c.queue_full),
            braked: read(&c.braked),
            invalid_recent: self.shared.invalid.recent(),
            buckets,
            waiting,
            token_rejected: *self.shared.rejected.borrow(),
        }
    }

    /// Returns once Discord has refused the bot token (401). From then on nothing is sent with it,
    /// and the process should end with [`super::GatewayEnd::BadToken`].
    pub async fn token_rejected(&self) {
        let mut rejected = self.shared.rejected.subscribe();
        if rejected.wait_for(|rejected| *rejected).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes no new requests, lets those in flight end for up to 3 s, then closes.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("stopped with Discord requests still in flight");
        }
    }

    /// What every call needs.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A call from within the process; a stop waits for it as for those that came through the port.
    pub(super) fn track<F: Future>(&self, call: F) -> impl Future<Output = F::Output> {
        self.tasks.track_future(call)
    }

    async fn serve(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(seat) = Arc::clone(&room).acquire_owned().await else { return };
            let stream = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of descriptors, most likely: let some close.
                        tracing::warn!(%error, "the Discord front could not take a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let _ = stream.set_nodelay(true);
            let shared = Arc::clone(&self.shared);
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let shared = Arc::clone(&shared);
                    let request =
                        request.map(|body| body.map_err(std::io::Error::other).boxed_unsync());
                    async move { Ok::<_, Infallible>(forward::forward(&shared, request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(120))
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = std::pin::pin!(connection);
                let ended = tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::trace!(%error, "a connection to the Discord front ended early");
                }
                drop(seat);
            });
        }
    }
}

/// The URL of a server of ours on loopback.
pub(super) fn loopback_url(scheme: &str, address: SocketAddr) -> Url {
    // A scheme literal and a socket address always make a URL; the fallback is never dialled.
    Url::parse(&format!("{scheme}://{address}/")).unwrap_or_else(|_| dial::discord())
}
