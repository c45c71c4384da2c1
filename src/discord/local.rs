//! The gateway that serenity sees: a websocket on loopback that never drops, fed by the sessions.
//!
//! serenity 0.12.5 loops on close codes 4010 to 4012, ignores `resume_gateway_url` and
//! `max_concurrency`, hides close codes and may dial another host when GET /gateway fails. So it is
//! given this instead of Discord, and [`super::session`] does the real thing. Only who knows the bot
//! token is served.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::{lock, same_secret};

/// Events that may wait for serenity; it only spawns a task for each, so this is a burst.
const WAITING_EVENTS: usize = 2048;
/// Commands that may wait for Discord.
const WAITING_COMMANDS: usize = 32;
/// How long an event waits when serenity does not keep up, before it counts as lost.
const DELIVERY: Duration = Duration::from_secs(2);
/// serenity identifies at once.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// The heartbeat interval serenity is given, ms; its heartbeats only cross this process.
const HEARTBEAT_MS: u64 = 45_000;

/// A shard that serenity has asked for the first time.
pub(super) struct Wanted {
    pub(super) shard: u32,
    pub(super) commands: mpsc::Receiver<String>,
}

struct Slot {
    events: Option<mpsc::Sender<Message>>,
    /// Since when serenity has not been there.
    gone: Option<Instant>,
    commands: mpsc::Sender<String>,
    ready: Option<Utf8Bytes>,
}

/// Where sessions hand events in and serenity's shards take them out.
pub(super) struct Hub {
    token: String,
    shards: RangeInclusive<u32>,
    total: u32,
    slots: Mutex<HashMap<u32, Slot>>,
    wanted: mpsc::UnboundedSender<Wanted>,
}

#[derive(Deserialize)]
struct Frame {
    op: u8,
    #[serde(default)]
    d: serde_json::Value,
}

impl Hub {
    /// `token` as serenity sends it, with its prefix.
    pub(super) fn new(
        token: String,
        shards: RangeInclusive<u32>,
        total: u32,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Wanted>) {
        let (wanted, asked) = mpsc::unbounded_channel();
        (Arc::new(Self { token, shards, total, slots: Mutex::default(), wanted }), asked)
    }

    /// Hands an event to serenity; `false` when it could not be.
    pub(super) async fn deliver(&self, shard: u32, text: Utf8Bytes) -> bool {
        let events = lock(&self.slots).get(&shard).and_then(|slot| slot.events.clone());
        let Some(events) = events else { return false };
        matches!(timeout(DELIVERY, events.send(Message::Text(text))).await, Ok(Ok(())))
    }

    /// Keeps READY for a shard of serenity's that starts over, without its list of servers.
    pub(super) fn remember_ready(&self, shard: u32, text: &Utf8Bytes) {
        let Ok(mut ready) = serde_json::from_str::<serde_json::Value>(text) else { return };
        if let Some(guilds) = ready.pointer_mut("/d/guilds") {
            *guilds = serde_json::json!([]);
        }
        if let Some(slot) = lock(&self.slots).get_mut(&shard) {
            slot.ready = Some(ready.to_string().into());
        }
    }

    /// Serves serenity until `stop`.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let hub = Arc::clone(&self);
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = hub.connection(stream) => {}
                }
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        // serenity says little; the default keeps 128 KiB for each shard.
        let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
        let accepting = tokio_tungstenite::accept_async_with_config(stream, Some(config));
        let Ok(Ok(mut socket)) = timeout(IDENTIFY_TIMEOUT, accepting).await else {
            return;
        };
        let hello = serde_json::json!({
            "op": 10, "s": null, "t": null, "d": { "heartbeat_interval": HEARTBEAT_MS }
        });
        if socket.send(Message::text(hello.to_string())).await.is_err() {
            return;
        }
        let Ok(Some(shard)) = timeout(IDENTIFY_TIMEOUT, self.identified(&mut socket)).await else {
            let _ = socket.close(None).await;
            return;
        };
        let (events, mut waiting) = mpsc::channel(WAITING_EVENTS);
        let (commands, ready) = self.attach(shard, events.clone());
        if let Some(ready) = ready
            && socket.send(Message::Text(ready)).await.is_err()
        {
            return;
        }
        loop {
            tokio::select! {
                event = waiting.recv() => {
                    let Some(event) = event else { break };
                    if socket.send(event).await.is_err() {
                        break;
                    }
                }
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => {
                        let Ok(frame) = serde_json::from_str::<Frame>(&text) else { continue };
                        match frame.op {
                            1 => {
                                let ack = Message::text(r#"{"op":11,"d":null,"s":null,"t":null}"#);
                                if socket.send(ack).await.is_err() {
                                    break;
                                }
                            }
                            2 | 6 => {}
                            _ => {
                                let _ = commands.try_send(text.to_string());
                            }
                        }
                    }
                    Some(Ok(Message::Close(_))) => {
                        // The library answers a close by itself; wait for the other side to go.
                        while let Ok(Some(Ok(_))) =
                            timeout(Duration::from_secs(1), socket.next()).await {}
                        break;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                }
            }
        }
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get_mut(&shard)
            && slot.events.as_ref().is_some_and(|current| current.same_channel(&events))
        {
            slot.events = None;
            slot.gone = Some(Instant::now());
        }
    }

    /// A shard that serenity has left alone for longer than `longest`.
    pub(super) fn abandoned(&self, longest: Duration) -> Option<u32> {
        let slots = lock(&self.slots);
        let gone = |slot: &Slot| slot.gone.is_some_and(|since| since.elapsed() > longest);
        slots.iter().find(|(_, slot)| gone(slot)).map(|(shard, _)| *shard)
    }

    /// The shard that a client proved to be serenity's own; `None` for anybody else.
    async fn identified(&self, socket: &mut WebSocketStream<TcpStream>) -> Option<u32> {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let frame = serde_json::from_str::<Frame>(&text).ok()?;
            if !matches!(frame.op, 2 | 6) {
                continue;
            }
            let token = frame.d.get("token").and_then(serde_json::Value::as_str)?;
            if !same_secret(token.as_bytes(), self.token.as_bytes()) {
                tracing::warn!("somebody on this machine tried to read the gateway's events");
                return None;
            }
            if frame.op == 6 {
                // serenity takes up a session after a hiccup on loopback. Its own number is not in
                // the frame, so it is asked to start over, which costs Discord nothing.
                let again = Message::text(r#"{"op":9,"d":false,"s":null,"t":null}"#);
                let _ = socket.send(again).await;
                return None;
            }
            let number = |at: usize| -> Option<u32> {
                frame.d.get("shard")?.get(at)?.as_u64()?.try_into().ok()
            };
            let shard = number(0)?;
            let known = number(1) == Some(self.total) && self.shards.contains(&shard);
            return known.then_some(shard);
        }
        None
    }

    fn attach(
        &self,
        shard: u32,
        events: mpsc::Sender<Message>,
    ) -> (mpsc::Sender<String>, Option<Utf8Bytes>) {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get_mut(&shard) {
            slot.events = Some(events);
            slot.gone = None;
            return (slot.commands.clone(), slot.ready.clone());
        }
        let (commands, asked) = mpsc::channel(WAITING_COMMANDS);
        let (ours, ready) = (commands.clone(), None);
        slots.insert(shard, Slot { events: Some(events), gone: None, commands: ours, ready });
        let _ = self.wanted.send(Wanted { shard, commands: asked });
        (commands, None)
    }
}
