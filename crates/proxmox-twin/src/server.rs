//! One HTTPS listener per node: connections, their limits, and the troubles that meet a request.
//!
//! Invariants of the real server kept here: HTTP/1.1 only, 5 s idle, 100 requests a connection, the connection
//! ends after every answer from 400 on. A node that is down refuses connections, a silent one never answers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Request, Router};
use crate::reply::{Answer, Refusal};
use crate::state::State;
use crate::trouble::{ActiveTrouble, Trouble};
use crate::view::RequestRecord;
use crate::wire::{self, Payload};

/// Requests the real server answers on one connection.
const REQUESTS_PER_CONNECTION: u32 = 100;
/// Largest body it takes.
const BODY_LIMIT: usize = 512 * 1024;
/// Largest upload this twin takes; the real server's limit is its disk.
const UPLOAD_LIMIT: usize = 64 * 1024 * 1024;
/// Header lines and bytes it takes.
const HEADER_LINES: usize = 64;
/// The smallest buffer hyper allows, which is the real server's limit too.
const HEADER_BYTES: usize = 8 * 1024;

/// What every listener shares.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) router: Router,
    /// Counts changes of the list of troubles, so that waiting parts look again.
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) idle: Duration,
    pub(crate) stop: CancellationToken,
    connections: AtomicU64,
}

impl Shared {
    pub(crate) fn new(state: State, router: Router, idle: Duration) -> Self {
        Self {
            state: Mutex::new(state),
            router,
            changed: watch::Sender::new(0),
            idle,
            stop: CancellationToken::new(),
            connections: AtomicU64::new(0),
        }
    }

    /// The cluster, brought up to now.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance();
        state
    }

    /// Waits until `met` holds; looks again at every change of troubles.
    pub(crate) async fn until(&self, met: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        while !met(&self.lock()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Serves one node until the twin stops.
pub(crate) async fn listen(
    shared: Arc<Shared>,
    node: String,
    listener: TcpListener,
    tls: TlsAcceptor,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut changed = shared.changed.subscribe();
    let mut open = Some(listener);
    let mut clients = shared.stop.child_token();
    loop {
        let down = shared.lock().troubles.down(&node);
        if down {
            // The port stays ours but refuses; what was connected is cut.
            drop(open.take());
            clients.cancel();
            let reserved = reserve(address).await?;
            loop {
                tokio::select! {
                    () = shared.stop.cancelled() => return Ok(()),
                    _ = changed.changed() => {}
                }
                if !shared.lock().troubles.down(&node) {
                    break;
                }
            }
            clients = shared.stop.child_token();
            open = Some(reserved.listen(1024)?);
            continue;
        }
        let Some(listener) = &open else { return Ok(()) };
        tokio::select! {
            () = shared.stop.cancelled() => return Ok(()),
            _ = changed.changed() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let (shared, node, tls) = (Arc::clone(&shared), node.clone(), tls.clone());
                let clients = clients.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = clients.cancelled() => {}
                        () = connection(shared, node, stream, tls) => {}
                    }
                });
            },
        }
    }
}

/// A bound socket that does not listen: connections are refused and nobody else can take the port.
async fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let mut last = io::Error::other("never tried");
    for _ in 0..50 {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(last)
}

async fn connection(shared: Arc<Shared>, node: String, stream: TcpStream, tls: TlsAcceptor) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    shared.until(|state| !state.troubles.silent(&node)).await;
    let mut first = [0_u8; 1];
    match tokio::time::timeout(shared.idle, stream.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    // 22 begins a TLS handshake; anything else is somebody speaking plain HTTP.
    if first != [22] {
        plain(stream).await;
        return;
    }
    let Ok(Ok(stream)) = tokio::time::timeout(shared.idle * 6, tls.accept(stream)).await else {
        return;
    };
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let count = Arc::new(AtomicU32::new(0));
    let idle = shared.idle;
    let service = service_fn(move |request| {
        let (shared, node) = (Arc::clone(&shared), node.clone());
        let served = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { handle(shared, node, number, served, request).await }
    });
    let outcome = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_headers(HEADER_LINES)
        .max_buf_size(HEADER_BYTES.max(8192))
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = outcome {
        tracing::trace!(%error, "connection ended");
    }
}

/// Answers plain HTTP with a redirect.
async fn plain(mut stream: TcpStream) {
    let mut head = vec![0_u8; HEADER_BYTES];
    let Ok(Ok(length)) = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut head)).await
    else {
        return;
    };
    let text = String::from_utf8_lossy(head.get(..length).unwrap_or_default()).into_owned();
    let path = text.split_whitespace().nth(1).unwrap_or("/");
    let host = text
        .lines()
        .find_map(|l| l.split_once(':').filter(|(k, _)| k.eq_ignore_ascii_case("host")))
        .map_or("127.0.0.1", |(_, v)| v.trim());
    let location = format!("https://{host}{path}");
    let body = "301 Moved Permanently\n";
    let answer = format!(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: {location}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Why no answer is given.
#[derive(Debug, thiserror::Error)]
#[error("cut by trouble")]
struct Cut;

type Served = Result<Response<Payload>, Cut>;

async fn handle(
    shared: Arc<Shared>,
    node: String,
    conn: u64,
    served: u32,
    request: hyper::Request<Incoming>,
) -> Served {
    shared.until(|state| !state.troubles.silent(&node)).await;
    let request = match read(request, &node).await {
        Ok(request) => request,
        Err(refusal) => return Ok(finish(Err(refusal).into(), served, false)),
    };
    let (number, troubles) = {
        let mut state = shared.lock();
        let now = state.now();
        let number = state.record(RequestRecord {
            at_ms: (now * 1e3) as u64,
            method: request.method.clone(),
            path: request.path.clone(),
            params: masked(&request),
            status: 0,
            node,
            conn,
        });
        let troubles = state.troubles.for_request(&request.method, &request.path);
        (number, troubles)
    };
    let anyway = troubles.iter().any(|t| matches!(t.trouble, Trouble::Hang { anyway: true, .. }));
    if !anyway {
        return meet(shared, number, served, troubles, request).await;
    }
    // On its own, so that it goes on when the client leaves.
    tokio::spawn(meet(shared, number, served, troubles, request)).await.unwrap_or(Err(Cut))
}

/// Lives through the troubles of a request, in the order: before, instead, the action, after.
async fn meet(
    shared: Arc<Shared>,
    number: u64,
    served: u32,
    troubles: Vec<ActiveTrouble>,
    request: Request,
) -> Served {
    let mut instead = None;
    let (mut lost, mut half) = (false, false);
    for active in &troubles {
        match &active.trouble {
            Trouble::RequestLost { .. } => return Err(Cut),
            Trouble::Hang { ms, .. } => hold(&shared, active.id, *ms).await,
            Trouble::Error { status, reason, .. } => {
                let message = if reason.is_empty() { "simulated error" } else { reason };
                instead = Some(if *status >= 595 {
                    Refusal::bare(*status, message)
                } else {
                    Refusal::json(*status, message)
                });
            }
            Trouble::AnswerLost { .. } => lost = true,
            Trouble::Truncate { .. } => half = true,
            _ => {}
        }
    }
    let (mut reply, asked) = match instead {
        Some(refusal) => (Err(refusal), None),
        None => {
            let mut state = shared.lock();
            let reply = api::serve(&mut state, &shared.router, request);
            (reply, state.notify.asked.take())
        }
    };
    if let Some(asked) = asked {
        // The test of a notification target is answered once it was delivered, or was not.
        let sent = match asked {
            Ok(post) => post.send().await,
            Err(why) => Err(why),
        };
        if let Err(why) = sent {
            reply = Err(Refusal::failed(format!("Could not test target: {why}")));
        }
    }
    // Turned into text outside the lock: large answers take a while.
    let answer: Answer = reply.into();
    for active in &troubles {
        if let Trouble::HangAfter { ms, .. } = &active.trouble {
            hold(&shared, active.id, *ms).await;
        }
    }
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    if lost {
        return Err(Cut);
    }
    shared.lock().answered(number, answer.status);
    Ok(finish(answer, served, half))
}

/// Holds for a time, or until the trouble is cleared.
pub(crate) async fn hold(shared: &Shared, id: u64, ms: Option<u64>) {
    let cleared = shared.until(|state| !state.troubles.is_active(id));
    match ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        None => cleared.await,
    }
}

fn finish(answer: Answer, served: u32, half: bool) -> Response<Payload> {
    let close = answer.status >= 400 || served >= REQUESTS_PER_CONNECTION;
    wire::respond(answer, close, half)
}

/// Parameters for the record, without secrets.
fn masked(request: &Request) -> Value {
    let mut map = serde_json::Map::new();
    for (key, value) in &request.args {
        let secret = matches!(
            key.as_str(),
            "password" | "cipassword" | "otp" | "tfa-challenge" | "key" | "secret"
        );
        map.insert(key.clone(), if secret { json!("***") } else { value.clone() });
    }
    Value::Object(map)
}

/// Takes a request apart, refusing what the HTTP layer of the real server refuses.
async fn read(request: hyper::Request<Incoming>, node: &str) -> Result<Request, Refusal> {
    let (head, body) = request.into_parts();
    let method = head.method.clone();
    if ![Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(&method) {
        return Err(Refusal::bare(501, format!("method '{method}' not available")));
    }
    let path = percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    let Some(rest) = path.strip_prefix("/api2/") else {
        return Err(Refusal::text(501, format!("no such file '{path}'")));
    };
    let (format, below) = match rest.split_once('/') {
        Some((format, below)) => (format, format!("/{below}")),
        None => (rest, "/".to_owned()),
    };
    if format != "json" {
        return Err(Refusal::text(501, format!("no formatter for uri {below}, {format}")));
    }
    let text = |name: header::HeaderName| {
        head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
    };
    if text(header::TRANSFER_ENCODING).is_some() {
        return Err(Refusal::text(501, "chunked transfer encoding not supported"));
    }
    let length = text(header::CONTENT_LENGTH).and_then(|l| l.parse::<usize>().ok()).unwrap_or(0);
    let writes = method == Method::POST || method == Method::PUT;
    if length > 0 && !writes {
        return Err(Refusal::text(501, format!("Unexpected content for method '{method}'")));
    }
    let uploads = method == Method::POST && below.ends_with("/upload");
    let limit = if uploads { UPLOAD_LIMIT } else { BODY_LIMIT };
    if length > limit {
        return Err(Refusal::text(501, "for data too large"));
    }
    let mut args = wire::form(head.uri.query().unwrap_or_default().as_bytes());
    let mut upload = None;
    if length > 0 {
        let given = text(header::CONTENT_TYPE).unwrap_or_default();
        let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let bytes = Limited::new(body, limit)
            .collect()
            .await
            .map_err(|_| Refusal::text(501, "for data too large"))?
            .to_bytes();
        let more = match kind.as_str() {
            "application/json" => wire::json(&bytes)?,
            "application/x-www-form-urlencoded" | "" => wire::form(&bytes),
            "multipart/form-data" if uploads => {
                let form = wire::multipart(&given, &bytes)?;
                upload = form.file;
                form.fields
            }
            _ => {
                let shown = if given.is_empty() { "unknown" } else { &given };
                return Err(Refusal::text(
                    506,
                    format!("upload 'Content-Type '{shown}' not implemented"),
                ));
            }
        };
        args.extend(more);
    }
    let trimmed = below.trim_end_matches('/');
    Ok(Request {
        method: method.to_string(),
        path: if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() },
        authorization: text(header::AUTHORIZATION),
        cookie: text(header::COOKIE),
        csrf: head
            .headers
            .get("csrfpreventiontoken")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned),
        args,
        local: node.to_owned(),
        upload,
    })
}

/// Serves the control API on a plain port until the twin stops.
pub(crate) async fn control(shared: Arc<Shared>, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = tokio::select! {
            () = shared.stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => continue,
            },
        };
        let inner = Arc::clone(&shared);
        let stop = shared.stop.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let shared = Arc::clone(&inner);
                async move {
                    let (head, body) = request.into_parts();
                    let bytes = Limited::new(body, BODY_LIMIT).collect().await;
                    let bytes = bytes.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                    let answer = crate::control::serve(
                        &shared,
                        head.method.as_str(),
                        head.uri.path(),
                        &bytes,
                    );
                    Ok::<_, Infallible>(answer)
                }
            });
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stop.cancelled() => {}
                _ = serving => {}
            }
        });
    }
}
