//! One gateway connection: hello, identify or resume, heartbeats, orders, close codes.
//! It ends when the bot leaves, when the twin closes it, or when the twin stops.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::wire::Wire;
use super::{Identified, Order, Resumed, identify, resume};
use crate::state::Shared;

/// Bytes of one payload from the bot.
const PAYLOAD: usize = 4096;
/// Payloads a minute from the bot.
const PER_MINUTE: usize = 120;
/// API versions that are still served.
const VERSIONS: [&str; 2] = ["10", "9"];

/// Where a connection stands.
struct Connection {
    shared: Arc<Shared>,
    socket: WebSocket,
    wire: Wire,
    number: u64,
    session: Option<String>,
    shard: Option<(u64, u64)>,
    orders: Option<mpsc::Receiver<Order>>,
    /// Starts of the payloads of the last minute.
    recent: Vec<Instant>,
    heard: Instant,
}

/// How a connection ends.
enum End {
    /// The twin closes with a code.
    Close(u16, &'static str),
    /// The socket is simply gone, or shall be.
    Cut,
    /// The bot closed, with this code.
    Left(u16),
}

/// Serves one websocket until it ends.
pub(crate) async fn run(
    shared: Arc<Shared>,
    socket: WebSocket,
    path: String,
    query: HashMap<String, String>,
) {
    let zlib = query.get("compress").is_some_and(|kind| kind == "zlib-stream");
    let number = {
        let mut state = shared.lock();
        let now = shared.now_ms();
        state.gateway.note(now, "connect", None, path);
        state.gateway.connection()
    };
    let mut connection = Connection {
        shared,
        socket,
        wire: Wire::new(zlib),
        number,
        session: None,
        shard: None,
        orders: None,
        recent: Vec::new(),
        heard: Instant::now(),
    };
    let end = match (query.get("v"), query.get("encoding").map(String::as_str)) {
        (Some(version), _) if !VERSIONS.contains(&version.as_str()) => {
            End::Close(4012, "Invalid API version.")
        }
        (_, Some(encoding)) if encoding != "json" => End::Close(4002, "Only json is served."),
        _ => connection.serve().await.err().unwrap_or(End::Cut),
    };
    connection.finish(end).await;
}

impl Connection {
    async fn serve(&mut self) -> Result<(), End> {
        let interval = self.shared.options.heartbeat_interval_ms;
        let hello = json!({"op": 10, "s": null, "t": null, "d": {"heartbeat_interval": interval, "_trace": ["[\"discord-twin\"]"]}});
        self.send(hello.to_string()).await?;
        let stop = self.shared.stop.clone();
        // A client that has been silent for one and a half intervals is taken for dead.
        let patience = Duration::from_millis(interval + interval / 2 + 1000);
        loop {
            let silent_at = self.heard + patience;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(End::Close(1001, "The twin stops.")),
                order = next_order(&mut self.orders) => match order {
                    Order::Frame(text) => self.send(text).await?,
                    Order::Close(code, reason) => return Err(End::Close(code, reason)),
                    Order::InvalidSession(resumable) => {
                        let now = self.shared.now_ms();
                        if let Some(session) = self.session.take() {
                            let mut state = self.shared.lock();
                            state.gateway.leave(&session, self.number, !resumable, now);
                        }
                        self.orders = None;
                        self.invalid_session(resumable).await?;
                    }
                    Order::Cut => return Err(End::Cut),
                },
                message = self.socket.recv() => match message {
                    Some(Ok(message)) => self.received(message).await?,
                    Some(Err(_)) | None => return Err(End::Cut),
                },
                () = tokio::time::sleep_until(silent_at) => {
                    return Err(End::Close(4009, "Session timed out."));
                }
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        let message = self.wire.encode(text);
        self.socket.send(message).await.map_err(|_| End::Cut)
    }

    async fn received(&mut self, message: Message) -> Result<(), End> {
        let text = match message {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Message::Close(frame) => return Err(End::Left(frame.map_or(1005, |frame| frame.code))),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        let now = Instant::now();
        self.recent.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        self.recent.push(now);
        if self.recent.len() > PER_MINUTE {
            return Err(End::Close(4008, "Rate limited."));
        }
        if text.len() > PAYLOAD {
            return Err(End::Close(4002, "Payload too large."));
        }
        let Ok(payload) = serde_json::from_str::<Value>(&text) else {
            return Err(End::Close(4002, "Error while decoding payload."));
        };
        let data = &payload["d"];
        let known = self.session.is_some();
        match payload["op"].as_u64() {
            Some(1) => self.heartbeat().await,
            Some(2) if known => Err(End::Close(4005, "Already authenticated.")),
            Some(2) => self.identify(data).await,
            Some(6) if known => Err(End::Close(4005, "Already authenticated.")),
            Some(6) => self.resume(data).await,
            Some(3 | 4 | 8 | 31) if !known => Err(End::Close(4003, "Not authenticated.")),
            Some(8) => self.members(data).await,
            Some(3 | 4 | 31) => Ok(()),
            Some(_) => Err(End::Close(4001, "Unknown opcode.")),
            None => Err(End::Close(4002, "Error while decoding payload.")),
        }
    }

    async fn heartbeat(&mut self) -> Result<(), End> {
        self.heard = Instant::now();
        let zombie = {
            let mut state = self.shared.lock();
            let now = self.shared.now_ms();
            state.gateway.note(now, "heartbeat", self.shard, "");
            let session = self.session.as_ref().and_then(|id| state.gateway.sessions.get(id));
            session.is_some_and(|session| session.zombie)
        };
        if zombie {
            return Ok(());
        }
        self.send(json!({"op": 11, "s": null, "t": null, "d": null}).to_string()).await
    }

    async fn identify(&mut self, data: &Value) -> Result<(), End> {
        match identify(&self.shared, self.number, data) {
            Identified::Ready { session, frames, orders, compress } => {
                self.wire.per_payload = compress;
                self.shard = self.shared.lock().gateway.sessions.get(&session).map(|own| own.shard);
                self.session = Some(session);
                self.orders = Some(orders);
                self.shared.emit(json!({"type": "bot_online"}));
                for frame in frames {
                    self.send(frame).await?;
                }
                Ok(())
            }
            Identified::Paced => self.invalid_session(false).await,
            Identified::Close(code, reason) => Err(End::Close(code, reason)),
        }
    }

    async fn resume(&mut self, data: &Value) -> Result<(), End> {
        match resume(&self.shared, self.number, data) {
            Resumed::Replay { frames, orders, shard } => {
                self.session = data["session_id"].as_str().map(str::to_owned);
                self.shard = Some(shard);
                self.orders = Some(orders);
                self.shared.emit(json!({"type": "bot_online"}));
                for frame in frames {
                    self.send(frame).await?;
                }
                Ok(())
            }
            Resumed::Invalid => self.invalid_session(false).await,
            Resumed::Close(code, reason) => Err(End::Close(code, reason)),
        }
    }

    async fn invalid_session(&mut self, resumable: bool) -> Result<(), End> {
        let now = self.shared.now_ms();
        self.shared.lock().gateway.note(now, "op9", self.shard, resumable.to_string());
        self.send(json!({"op": 9, "s": null, "t": null, "d": resumable}).to_string()).await
    }

    /// Request guild members: only the bot is listed without the privileged intent.
    async fn members(&mut self, data: &Value) -> Result<(), End> {
        let frame = {
            let state = self.shared.lock();
            let guild = data["guild_id"].as_str().and_then(|id| id.parse().ok());
            let Some(guild) = guild.and_then(|id: u64| state.world.guilds.get(&id)) else {
                return Ok(());
            };
            let own = guild.member(crate::world::APPLICATION_ID);
            let members: Vec<Value> =
                own.iter().map(|own| crate::render::member(&state.world, own)).collect();
            json!({"op": 0, "s": null, "t": "GUILD_MEMBERS_CHUNK", "d": {
                "guild_id": guild.id.to_string(), "members": members, "chunk_index": 0,
                "chunk_count": 1, "not_found": [], "nonce": data["nonce"],
            }})
        };
        self.send(frame.to_string()).await
    }

    async fn finish(mut self, end: End) {
        let (gone, what, detail) = match &end {
            // 4007 and 4009 need a new session; so do codes after which nobody reconnects.
            End::Close(code, _) => {
                let gone = matches!(code, 4004 | 4007 | 4009..=4014);
                (gone, "closed", code.to_string())
            }
            End::Cut => (false, "left", "cut".to_owned()),
            End::Left(code) => (matches!(code, 1000 | 1001), "left", code.to_string()),
        };
        {
            let now = self.shared.now_ms();
            let mut state = self.shared.lock();
            state.gateway.note(now, what, self.shard, detail);
            if let Some(session) = &self.session {
                state.gateway.leave(session, self.number, gone, now);
            }
            if !state.gateway.online() {
                self.shared.emit(json!({"type": "bot_offline"}));
            }
        }
        if let End::Close(code, reason) = end {
            let frame = CloseFrame { code, reason: reason.into() };
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                // Waits for the other side's close, so that the code is not lost to a reset.
                let drain = async { while let Some(Ok(_)) = self.socket.recv().await {} };
                drop(tokio::time::timeout(Duration::from_secs(1), drain).await);
            }
        }
    }
}

/// The next order; never, while there is no session. A closed channel means the session was
/// taken over or fell too far behind.
async fn next_order(orders: &mut Option<mpsc::Receiver<Order>>) -> Order {
    match orders {
        Some(orders) => orders.recv().await.unwrap_or(Order::Cut),
        None => std::future::pending().await,
    }
}
