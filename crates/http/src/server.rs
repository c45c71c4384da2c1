//! The listener: how many may come, how long they may take, what they get.
//!
//! Slow or silent connections are ended by time, not waited for; whoever comes when the house is full is sent away at
//! once. A stop lets answers under way finish, for a while.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use gantry_engine::Engine;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Guesses, Lock};
use crate::hook::{self, Hooked};
use crate::metrics::{self, Counts};
use crate::{HttpSettings, Surroundings, ready};

/// Connections at once; each holds some kilobytes.
const CONNECTIONS: usize = 512;
/// Longest life of a connection, and longest for the answers under way after that: whoever asks and does not read the
/// answers holds no place for ever. Whoever comes often connects anew.
const LIFE: Life = Life { whole: Duration::from_secs(60), ending: Duration::from_secs(15) };
/// Longest until a request's head is there.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Longest until a body is there.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Largest head, bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Most header lines.
const HEADERS_MAX: usize = 64;
/// Largest body, bytes; thousands of alerts of Alertmanager's.
const BODY_MAX: usize = 4 * 1024 * 1024;
/// Bodies read at once: what they take together stays small.
const BODIES: usize = 4;
/// Answers under way get this long when gantry stops; its stage has two seconds.
const STOP_WITHIN: Duration = Duration::from_millis(1_500);
/// Pause after a connection could not be taken, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Scrapes at once.
const SCRAPES: usize = 4;

/// A listener that is bound and not yet served.
pub struct Server {
    listener: TcpListener,
    router: Router,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// What every request needs.
struct Shared {
    engine: Engine,
    discord: Surroundings,
    token: Option<Lock>,
    hooks: BTreeMap<String, Hooked>,
    nothing: Lock,
    guesses: Guesses,
    counts: Counts,
    bodies: Semaphore,
    scrapes: Semaphore,
    version: &'static str,
    started_ms: i64,
}

#[derive(Clone, Copy)]
struct Peer(IpAddr);

/// See [`LIFE`].
#[derive(Clone, Copy)]
struct Life {
    whole: Duration,
    ending: Duration,
}

type Common = State<Arc<Shared>>;

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn bind(
        settings: &HttpSettings,
        engine: Engine,
        discord: Surroundings,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let hooks = settings
            .hooks
            .iter()
            .map(|h| (hook::path_of(h.kind, &h.name), Hooked::new(h, &settings.clusters)))
            .collect();
        let shared = Arc::new(Shared {
            started_ms: engine.now_ms(),
            engine,
            discord,
            token: settings.token.as_ref().map(Lock::new),
            hooks,
            nothing: Lock::closed(),
            guesses: Guesses::default(),
            counts: Counts::default(),
            bodies: Semaphore::new(BODIES),
            scrapes: Semaphore::new(SCRAPES),
            version: settings.version,
        });
        let router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .route("/hooks/{kind}/{name}", post(hooked))
            .with_state(shared);
        Ok(Self { listener, router })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn serve(self, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Full: closed at once, so that nobody waits for those who only hold a place.
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
            let router = self.router.clone().layer(Extension(Peer(from.ip())));
            let stop = stop.clone();
            tasks.spawn(async move {
                serve_one(stream, router, stop, LIFE).await;
                drop(place);
            });
        }
        tasks.close();
        if tokio::time::timeout(STOP_WITHIN, tasks.wait()).await.is_err() {
            tracing::debug!("stopped with HTTP answers under way");
        }
    }
}

async fn serve_one(stream: TcpStream, router: Router, stop: CancellationToken, life: Life) {
    let _ = stream.set_nodelay(true);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = tokio::time::sleep(life.whole) => {
            connection.as_mut().graceful_shutdown();
            let Ok(ended) = tokio::time::timeout(life.ending, connection).await else {
                tracing::debug!("an HTTP connection was ended: its answers were not read");
                return;
            };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "an HTTP connection ended early");
    }
}

fn say(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into()).into_response()
}

impl Shared {
    /// Counts an answer and gives it.
    fn counted(&self, route: &'static str, answer: Response) -> Response {
        self.counts.answer(route, answer.status().as_u16());
        answer
    }

    fn refuse(&self, from: IpAddr) -> Response {
        if self.guesses.wrong(from) {
            let mut answer = say(StatusCode::TOO_MANY_REQUESTS, "too many wrong secrets; wait\n");
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
            return answer;
        }
        let mut answer = say(StatusCode::UNAUTHORIZED, "the secret is wrong or missing\n");
        let scheme = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(http::header::WWW_AUTHENTICATE, scheme);
        answer
    }
}

async fn readyz(State(shared): Common) -> Response {
    let parts = ready::parts(&shared.engine, &shared.discord).await;
    let (ready, text) = ready::text(&parts);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    shared.counted("/readyz", say(status, text))
}

async fn scrape(
    State(shared): Common,
    Extension(Peer(from)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if shared.token.as_ref().is_some_and(|lock| !lock.opens_for(&headers)) {
        let answer = shared.refuse(from);
        return shared.counted("/metrics", answer);
    }
    let Ok(_turn) = shared.scrapes.try_acquire() else {
        return shared.counted("/metrics", say(StatusCode::TOO_MANY_REQUESTS, "busy\n"));
    };
    let own = metrics::Own {
        version: shared.version,
        started_ms: shared.started_ms,
        counts: &shared.counts,
    };
    let text = metrics::page(&shared.engine, &shared.discord, &own).await;
    let mut answer = say(StatusCode::OK, text);
    let kind = HeaderValue::from_static(metrics::CONTENT);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    shared.counted("/metrics", answer)
}

async fn hooked(
    State(shared): Common,
    Extension(Peer(from)): Extension<Peer>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = Box::pin(take(&shared, from, &format!("{kind}/{name}"), &headers, body)).await;
    shared.counted("/hooks", answer)
}

async fn take(
    shared: &Shared,
    from: IpAddr,
    path: &str,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let hook = shared.hooks.get(path);
    // A hook that is not there answers like one whose secret is wrong.
    if !hook.map_or(&shared.nothing, |h| &h.lock).opens_for(headers) {
        return shared.refuse(from);
    }
    let Some(hook) = hook else { return shared.refuse(from) };
    let count = |result: &'static str, n: u64| shared.counts.hook(&hook.name, result, n);
    let json = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if !json.is_some_and(|v| v.trim().to_ascii_lowercase().starts_with("application/json")) {
        count("refused", 1);
        return say(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json\n");
    }
    let length = headers.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if length.and_then(|v| v.parse::<usize>().ok()).is_some_and(|n| n > BODY_MAX) {
        count("refused", 1);
        // Its sender will not say it again, so people have to hear of it.
        shared.engine.turn_away(1);
        tracing::warn!(hook = hook.name, "a webhook said more than is read at once");
        return say(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {BODY_MAX} bytes\n"));
    }
    let Ok(_turn) = shared.bodies.acquire().await else {
        return say(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    };
    let body = match tokio::time::timeout(BODY_WITHIN, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            count("refused", 1);
            shared.engine.turn_away(1);
            return say(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {BODY_MAX} bytes\n"));
        }
        Err(_) => {
            count("refused", 1);
            return say(StatusCode::REQUEST_TIMEOUT, "the body took too long\n");
        }
    };
    let read = match hook.read(&body, shared.engine.now_ms()) {
        Ok(read) => read,
        Err(why) => {
            count("refused", 1);
            shared.engine.turn_away(1);
            tracing::warn!(hook = hook.name, %why, "a webhook said something that cannot be read");
            return say(StatusCode::BAD_REQUEST, format!("{why}\n"));
        }
    };
    count("left-out", read.left_out);
    shared.engine.turn_away(usize::try_from(read.left_out).unwrap_or(usize::MAX));
    match shared.engine.hear(read.heard).await {
        Ok(Some(kept)) => {
            count("new", kept.new.into());
            count("again", kept.again.into());
            let text = format!("{{\"new\":{},\"again\":{}}}\n", kept.new, kept.again);
            let mut answer = say(StatusCode::OK, text);
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            answer
        }
        Ok(None) => {
            count("refused", 1);
            later("too much waits to be told; come back later\n")
        }
        Err(error) => {
            count("refused", 1);
            tracing::warn!(hook = hook.name, %error, "what a webhook told was not kept");
            later("it could not be kept; come back later\n")
        }
    }
}

/// The sender shall repeat itself.
fn later(text: &'static str) -> Response {
    let mut answer = say(StatusCode::SERVICE_UNAVAILABLE, text);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

/// For counters: a map with few keys, each known beforehand or configured.
pub(crate) fn bump<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K, n: u64) {
    if n > 0 {
        *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(0) += n;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Longer than anything here takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
        (ours.unwrap().0, theirs.unwrap())
    }

    #[tokio::test]
    async fn whoever_asks_and_does_not_read_holds_no_place_for_ever() {
        let (ours, mut theirs) = pair().await;
        let router = Router::new().route("/", get(async || vec![b'x'; 1 << 20]));
        let life = Life { whole: Duration::from_millis(50), ending: Duration::from_millis(50) };
        theirs.write_all("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200).as_bytes()).await.unwrap();
        let served = serve_one(ours, router, CancellationToken::new(), life);
        tokio::time::timeout(PATIENCE, served).await.expect("it ends");
    }

    #[tokio::test]
    async fn an_answer_under_way_is_finished_when_its_connection_has_lived_long() {
        let (ours, mut theirs) = pair().await;
        let router = Router::new().route(
            "/",
            get(async || {
                tokio::time::sleep(Duration::from_millis(100)).await;
                "done"
            }),
        );
        let life = Life { whole: Duration::from_millis(20), ending: PATIENCE };
        theirs.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut read = String::new();
        let served = serve_one(ours, router, CancellationToken::new(), life);
        let (_, answer) = tokio::join!(served, theirs.read_to_string(&mut read));
        assert!(answer.is_ok() && read.ends_with("done"), "{read}");
    }
}
