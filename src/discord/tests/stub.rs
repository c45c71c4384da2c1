//! A stub of Discord for these tests: a REST server that answers as it is told and counts, and a
//! gateway that says hello, takes identifies and resumes, and makes trouble on request.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::Secret;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use url::Url;

use crate::discord::{FrontSettings, lock};

/// A token whose every trace in a log is a failure.
pub(super) const TOKEN: &str = "canary-bot-token.Zm9v.YmFy";

/// A request the stub got.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) authorization: String,
    pub(super) body: Bytes,
    pub(super) at: Instant,
}

/// What the stub answers.
pub(super) struct Reply(pub(super) u16, pub(super) Vec<(&'static str, String)>, pub(super) String);

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self(status, vec![("content-type", "application/json".into())], body.to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.1.push((name, value.to_string()));
        self
    }

    /// A 429 as Discord writes it.
    pub(super) fn limited(scope: &str, retry_after: f64) -> Self {
        let global = scope == "global";
        let body = json!({"message": "limited", "retry_after": retry_after, "global": global});
        let reply = Self::json(429, &body)
            .with("retry-after", retry_after.ceil())
            .with("x-ratelimit-scope", scope);
        if global { reply.with("x-ratelimit-global", "true") } else { reply }
    }
}

type Handler = dyn Fn(Seen) -> BoxFuture<'static, Reply> + Send + Sync;

/// The REST half.
pub(super) struct Rest {
    pub(super) url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Rest {
    pub(super) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Seen) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let answer: Arc<Handler> = Arc::new(move |seen| Box::pin(answer(seen)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let record = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
                        async move {
                            let (head, body) = request.into_parts();
                            let seen = Seen {
                                path: head.uri.to_string(),
                                authorization: head
                                    .headers
                                    .get("authorization")
                                    .map_or_else(String::new, |value| {
                                        value.to_str().unwrap().to_owned()
                                    }),
                                body: body.collect().await?.to_bytes(),
                                at: Instant::now(),
                            };
                            lock(&record).push(seen.clone());
                            let Reply(status, headers, body) = answer(seen).await;
                            if status == 0 {
                                // Stands for a connection that breaks before an answer.
                                return std::future::pending().await;
                            }
                            let mut reply = Response::new(Full::new(Bytes::from(body)));
                            *reply.status_mut() = StatusCode::from_u16(status).unwrap();
                            for (name, value) in headers {
                                reply.headers_mut().insert(name, value.parse().unwrap());
                            }
                            Ok::<_, hyper::Error>(reply)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url: url(address), seen }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    pub(super) fn front_settings(&self) -> FrontSettings {
        FrontSettings {
            api_base: self.url.clone(),
            token: Secret::new(TOKEN.to_owned()),
            ..FrontSettings::default()
        }
    }
}

fn url(address: SocketAddr) -> Url {
    Url::parse(&format!("http://{address}")).unwrap()
}

/// A limit of `limit` requests in each window, counted and announced as Discord does.
pub(super) struct Window {
    limit: u32,
    length: Duration,
    state: Mutex<(Instant, u32)>,
}

impl Window {
    pub(super) fn new(limit: u32, length: Duration) -> Self {
        Self { limit, length, state: Mutex::new((Instant::now() - length, 0)) }
    }

    pub(super) fn answer(&self, bucket: &str, ok: &Value) -> Reply {
        let mut state = lock(&self.state);
        if state.0.elapsed() >= self.length {
            *state = (Instant::now(), 0);
        }
        let left = self.length.saturating_sub(state.0.elapsed()).as_secs_f64();
        let reply = if state.1 >= self.limit {
            Reply::limited("user", left)
        } else {
            state.1 += 1;
            Reply::json(200, ok)
        };
        reply
            .with("x-ratelimit-bucket", bucket)
            .with("x-ratelimit-limit", self.limit)
            .with("x-ratelimit-remaining", self.limit - state.1.min(self.limit))
            .with("x-ratelimit-reset-after", format!("{left:.3}"))
            .with("x-ratelimit-reset", "1")
    }
}

/// What happens to an identify or a resume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Then {
    Accept,
    Close(u16),
    Invalid,
    Nothing,
}

/// What is done to every open connection.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Close(u16),
    Cut,
    Reconnect,
    Invalid(bool),
    Garbage,
    /// Heartbeats are no longer answered, and nothing else is.
    Freeze,
    /// An interaction with this id.
    Interaction(u64),
    /// The same in a form no library knows yet.
    StrangeInteraction(u64),
    /// The event with this sequence number once more.
    Again(u64),
}

#[derive(Debug, Default)]
pub(super) struct Record {
    /// Shard, total and time of each identify.
    pub(super) identifies: Vec<(u32, u32, Instant)>,
    /// Sequence number of each resume.
    pub(super) resumes: Vec<u64>,
    /// The identify payloads.
    pub(super) payloads: Vec<Value>,
    pub(super) connections: u32,
    pub(super) open: u32,
    pub(super) close_codes: Vec<Option<u16>>,
}

pub(super) struct GatewayStub {
    pub(super) address: SocketAddr,
    pub(super) record: Arc<Mutex<Record>>,
    pub(super) on_identify: Arc<Mutex<Then>>,
    pub(super) on_resume: Arc<Mutex<Then>>,
    /// Connections are dropped as soon as they are made.
    pub(super) refuse: Arc<AtomicBool>,
    orders: broadcast::Sender<Order>,
    history: Arc<Mutex<VecDeque<(u64, Value)>>>,
}

impl GatewayStub {
    pub(super) async fn start(interval_ms: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stub = Self {
            address: listener.local_addr().unwrap(),
            record: Arc::default(),
            on_identify: Arc::new(Mutex::new(Then::Accept)),
            on_resume: Arc::new(Mutex::new(Then::Accept)),
            refuse: Arc::default(),
            orders: broadcast::channel(64).0,
            history: Arc::default(),
        };
        let side = Side {
            address: stub.address,
            interval_ms,
            record: Arc::clone(&stub.record),
            on_identify: Arc::clone(&stub.on_identify),
            on_resume: Arc::clone(&stub.on_resume),
            orders: stub.orders.clone(),
            history: Arc::clone(&stub.history),
        };
        let refuse = Arc::clone(&stub.refuse);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if refuse.load(Ordering::SeqCst) {
                    lock(&side.record).connections += 1;
                    continue;
                }
                let side = side.clone();
                tokio::spawn(async move {
                    lock(&side.record).connections += 1;
                    lock(&side.record).open += 1;
                    side.serve(stream).await;
                    lock(&side.record).open -= 1;
                });
            }
        });
        stub
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(super) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    pub(super) fn identifies(&self) -> usize {
        lock(&self.record).identifies.len()
    }

    pub(super) fn resumes(&self) -> usize {
        lock(&self.record).resumes.len()
    }
}

#[derive(Clone)]
struct Side {
    address: SocketAddr,
    interval_ms: u64,
    record: Arc<Mutex<Record>>,
    on_identify: Arc<Mutex<Then>>,
    on_resume: Arc<Mutex<Then>>,
    orders: broadcast::Sender<Order>,
    history: Arc<Mutex<VecDeque<(u64, Value)>>>,
}

impl Side {
    async fn serve(&self, stream: TcpStream) {
        let mut orders = self.orders.subscribe();
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        let hello = json!({"op": 10, "d": {"heartbeat_interval": self.interval_ms}});
        let _ = socket.send(Message::text(hello.to_string())).await;
        let mut frozen = false;
        let mut ready = false;
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Ok(order) = order else { return };
                    if !ready {
                        continue;
                    }
                    let frame = match order {
                        Order::Cut => return,
                        Order::Close(code) => {
                            let frame = CloseFrame { code: code.into(), reason: "".into() };
                            let _ = socket.close(Some(frame)).await;
                            while let Some(Ok(_)) = socket.next().await {}
                            return;
                        }
                        Order::Reconnect => json!({"op": 7, "d": null}).to_string(),
                        Order::Invalid(resumable) => json!({"op": 9, "d": resumable}).to_string(),
                        Order::Garbage => "{\"op\":0,".to_owned(),
                        Order::Freeze => {
                            frozen = true;
                            continue;
                        }
                        Order::Interaction(id) => self.event("INTERACTION_CREATE", interaction(id)),
                        Order::StrangeInteraction(id) => {
                            let mut strange = interaction(id);
                            strange["data"]["type"] = json!("new");
                            self.event("INTERACTION_CREATE", strange)
                        }
                        Order::Again(seq) => {
                            let history = lock(&self.history);
                            history.iter().find(|(s, _)| *s == seq).unwrap().1.to_string()
                        }
                    };
                    let _ = socket.send(Message::text(frame)).await;
                }
                frame = socket.next() => {
                    let text = match frame {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(close))) => {
                            let code = close.map(|close| u16::from(close.code));
                            lock(&self.record).close_codes.push(code);
                            while let Some(Ok(_)) = socket.next().await {}
                            return;
                        }
                        Some(Ok(_)) => continue,
                        _ => return,
                    };
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    let then = match frame["op"].as_u64().unwrap() {
                        1 if !frozen => {
                            let _ = socket.send(Message::text(r#"{"op":11}"#)).await;
                            continue;
                        }
                        2 => {
                            assert_eq!(frame["d"]["token"], TOKEN);
                            let shard = &frame["d"]["shard"];
                            let number = |v: &Value| u32::try_from(v.as_u64().unwrap()).unwrap();
                            let mut record = lock(&self.record);
                            record.identifies.push((
                                number(&shard[0]),
                                number(&shard[1]),
                                Instant::now(),
                            ));
                            record.payloads.push(frame["d"].clone());
                            drop(record);
                            *lock(&self.on_identify)
                        }
                        6 => {
                            assert_eq!(frame["d"]["token"], TOKEN);
                            let seq = frame["d"]["seq"].as_u64().unwrap();
                            lock(&self.record).resumes.push(seq);
                            *lock(&self.on_resume)
                        }
                        _ => continue,
                    };
                    let mut frames = Vec::new();
                    match then {
                        Then::Nothing => {}
                        Then::Invalid => frames.push(json!({"op": 9, "d": false}).to_string()),
                        Then::Close(code) => {
                            let frame = CloseFrame { code: code.into(), reason: "".into() };
                            let _ = socket.close(Some(frame)).await;
                            while let Some(Ok(_)) = socket.next().await {}
                            return;
                        }
                        Then::Accept if frame["op"] == 2 => {
                            ready = true;
                            lock(&self.history).clear();
                            let shard = frame["d"]["shard"].clone();
                            frames.push(self.event("READY", self.ready(&shard)));
                        }
                        Then::Accept => {
                            ready = true;
                            let from = frame["d"]["seq"].as_u64().unwrap();
                            frames.extend(
                                lock(&self.history)
                                    .iter()
                                    .filter(|(seq, _)| *seq > from)
                                    .map(|(_, event)| event.to_string()),
                            );
                            frames.push(self.event("RESUMED", json!({})));
                        }
                    }
                    for frame in frames {
                        let _ = socket.send(Message::text(frame)).await;
                    }
                }
            }
        }
    }

    fn event(&self, name: &str, data: Value) -> String {
        let mut history = lock(&self.history);
        let seq = history.back().map_or(0, |(seq, _)| *seq) + 1;
        let event = json!({"op": 0, "t": name, "s": seq, "d": data});
        history.push_back((seq, event.clone()));
        event.to_string()
    }

    fn ready(&self, shard: &Value) -> Value {
        json!({
            "v": 10, "session_id": "s-1", "shard": shard, "guilds": [],
            "resume_gateway_url": format!("ws://{}/resume", self.address),
            "user": user(),
            "application": {"id": "4001", "flags": 0},
        })
    }
}

fn user() -> Value {
    json!({"id": "4001", "username": "gantry", "discriminator": "0000", "avatar": null, "bot": true,
           "global_name": null, "verified": true, "mfa_enabled": false, "email": null, "flags": 0})
}

fn interaction(id: u64) -> Value {
    json!({
        "id": id.to_string(), "application_id": "4001", "type": 2,
        "token": format!("canary-interaction-token-{id}"), "version": 1,
        "guild_id": "5001", "channel_id": "5002", "locale": "en-GB", "guild_locale": "en-GB",
        "app_permissions": "0", "entitlements": [], "authorizing_integration_owners": {"0": "5001"},
        "context": 0, "attachment_size_limit": 10_485_760,
        "member": {"user": user(), "roles": [], "joined_at": "2024-01-01T00:00:00Z", "deaf": false,
                   "mute": false, "flags": 0, "permissions": "0", "nick": null, "pending": false,
                   "avatar": null, "premium_since": null},
        "data": {"id": "6001", "name": "ping", "type": 1, "options": []},
    })
}

/// The answers of REST that a start needs, for a gateway at `gateway`.
pub(super) fn discord_answers(seen: &Seen, gateway: &str, remaining: u32) -> Reply {
    match seen.path.as_str() {
        "/api/v10/users/@me" => Reply::json(200, &user()),
        "/api/v10/applications/@me" => Reply::json(200, &json!({"id": "4001", "flags": 0})),
        "/api/v10/gateway" => Reply::json(200, &json!({"url": gateway})),
        "/api/v10/gateway/bot" => Reply::json(
            200,
            &json!({"url": gateway, "shards": 1, "session_start_limit": {
                "total": 1000, "remaining": remaining, "reset_after": 7_200_000,
                "max_concurrency": 1}}),
        ),
        path if path.ends_with("/callback") => Reply(204, vec![], String::new()),
        _ => Reply::json(404, &json!({"message": "404: Not Found", "code": 0})),
    }
}

/// Waits for `what` to hold, at most `within`; fails the test loudly otherwise.
pub(super) async fn eventually(within: Duration, what: &str, holds: impl Fn() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}
