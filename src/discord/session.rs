//! One shard's connection to Discord, kept up for ever: connect, identify or resume, heartbeat,
//! notice silence, come back. Interactions go to the [`ShortWay`], other events to the [`Hub`],
//! untouched.
//!
//! Invariants: a close code that reconnecting cannot mend ends the runner at once; no event of a
//! session is handed on twice; an identify is sent only through the gate. Spawned by the runner,
//! one task a shard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::HeaderValue;
use secrecy::{ExposeSecret, Secret};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::dial::{self, Socket};
use super::end::GatewayEnd;
use super::forward::chain;
use super::gateway::ShardReady;
use super::identify::IdentifyGate;
use super::jitter;
use super::local::Hub;
use super::short::ShortWay;
use super::status::{GatewayStatus, Stage};

/// Discord says hello at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Sending one small frame, or a close.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// A heartbeat is answered within half its interval, and within this, or the connection is dead.
const LONGEST_ACK: Duration = Duration::from_secs(20);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Identifies in a row without READY after which something is wrong that waiting does not mend.
const IN_VAIN: u32 = 5;
/// A session that could not be resumed for this long is given up for a new one.
const RESUME_FOR: Duration = Duration::from_secs(120);
/// Identifies within [`FLAPPING`] after which each next one waits longer.
const FLAPS: usize = 6;
/// See [`FLAPS`].
const FLAPPING: Duration = Duration::from_secs(120);
/// Commands (presence and the like) a minute; Discord allows 120 frames, heartbeats included.
const COMMANDS: usize = 60;
/// What we close with when we want to come back: 1000 and 1001 would end the session.
const COME_BACK: u16 = 4000;

/// What all sessions share.
pub(super) struct Shards {
    pub(super) token: Secret<String>,
    pub(super) api_base: Url,
    pub(super) gateway_url: Url,
    pub(super) proxy: Option<Url>,
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) user_agent: HeaderValue,
    pub(super) intents: u64,
    pub(super) total: u32,
    pub(super) connect_timeout: Duration,
    pub(super) ready_timeout: Duration,
    pub(super) gate: IdentifyGate,
    pub(super) hub: Arc<Hub>,
    pub(super) short: Arc<ShortWay>,
    pub(super) status: GatewayStatus,
    pub(super) on_ready: Arc<dyn Fn(ShardReady) + Send + Sync>,
}

#[derive(Debug)]
struct Resume {
    id: String,
    url: Option<Url>,
    seq: u64,
}

/// How one connection ended.
enum Ended {
    Stopped,
    Fatal(GatewayEnd),
    /// Try again, with the session if there is one.
    Resume(String),
    /// Try again with a new session, after a moment chosen by Discord's rules.
    Fresh(String, Duration),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    op: u8,
    #[serde(borrow)]
    t: Option<std::borrow::Cow<'a, str>>,
    s: Option<u64>,
}

#[derive(Deserialize)]
struct Data<T> {
    d: T,
}

#[derive(Deserialize)]
struct HelloData {
    heartbeat_interval: u64,
}

#[derive(Deserialize)]
struct ReadyData {
    session_id: String,
    resume_gateway_url: Option<String>,
    #[serde(default)]
    guilds: Vec<IgnoredAny>,
    user: ReadyUser,
    application: ReadyApplication,
}

#[derive(Deserialize)]
struct ReadyUser {
    username: String,
}

#[derive(Deserialize)]
struct ReadyApplication {
    id: String,
}

/// Keeps `shard` connected until `stop`; an error ends the whole runner.
pub(super) async fn keep(
    shards: Arc<Shards>,
    shard: u32,
    commands: mpsc::Receiver<String>,
    stop: CancellationToken,
) -> Result<(), GatewayEnd> {
    let mut session = Session {
        shards,
        shard,
        commands,
        stop,
        resume: None,
        failures: 0,
        in_vain: 0,
        identified: VecDeque::new(),
        commanded: VecDeque::new(),
        down_since: Instant::now(),
    };
    let ended = session.keep().await;
    session.shards.status.stage(shard, Stage::Stopped);
    ended
}

struct Session {
    shards: Arc<Shards>,
    shard: u32,
    commands: mpsc::Receiver<String>,
    stop: CancellationToken,
    resume: Option<Resume>,
    failures: u32,
    in_vain: u32,
    identified: VecDeque<Instant>,
    commanded: VecDeque<Instant>,
    down_since: Instant,
}

impl Session {
    async fn keep(&mut self) -> Result<(), GatewayEnd> {
        loop {
            let (why, wait) = match Box::pin(self.connection()).await {
                Ended::Stopped => return Ok(()),
                Ended::Fatal(end) => return Err(end),
                Ended::Resume(why) => (why, Duration::ZERO),
                Ended::Fresh(why, wait) => {
                    self.resume = None;
                    (why, wait)
                }
            };
            if self.shards.status.edit(self.shard, |entry| entry.stage == Stage::Connected) {
                self.down_since = Instant::now();
            }
            self.shards.status.stage(self.shard, Stage::Waiting);
            self.shards.status.edit(self.shard, |entry| entry.last_problem = Some(why.clone()));
            if self.in_vain >= IN_VAIN {
                return Err(GatewayEnd::CannotConnect { shard: self.shard, hint: why });
            }
            if self.resume.is_some() && self.down_since.elapsed() > RESUME_FOR {
                self.resume = None;
            }
            let wait = wait.max(self.pause());
            tracing::warn!(
                shard = self.shard,
                resume = self.resume.is_some(),
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "gateway connection lost: {why}"
            );
            self.failures += 1;
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Grows with failures in a row, and with new sessions in a short time.
    fn pause(&mut self) -> Duration {
        let spread = 0.75 + jitter() / 2.0;
        let by_failures = if self.failures == 0 {
            Duration::from_millis(200)
        } else {
            Duration::from_millis(500) * 2_u32.saturating_pow(self.failures.min(8))
        };
        while self.identified.front().is_some_and(|at| at.elapsed() > FLAPPING) {
            self.identified.pop_front();
        }
        let flaps = self.identified.len().saturating_sub(FLAPS);
        let by_flaps = Duration::from_secs(5) * u32::try_from(flaps).unwrap_or(u32::MAX).min(12);
        by_failures.max(by_flaps).min(LONGEST_PAUSE).mul_f64(spread)
    }

    async fn connection(&mut self) -> Ended {
        let shards = Arc::clone(&self.shards);
        let stop = self.stop.clone();
        let mut turn = None;
        if self.resume.is_none() {
            turn = tokio::select! {
                () = stop.cancelled() => return Ended::Stopped,
                turn = shards.gate.turn(self.shard) => turn,
            };
        }
        shards.status.stage(self.shard, Stage::Connecting);
        let url = self.resume.as_ref().and_then(|resume| resume.url.clone());
        let url = url.unwrap_or_else(|| shards.gateway_url.clone());
        let dialling = dial::connect(
            &url,
            &shards.api_base,
            shards.proxy.as_ref(),
            &shards.tls,
            &shards.user_agent,
        );
        let dialled = tokio::select! {
            () = stop.cancelled() => return Ended::Stopped,
            dialled = timeout(shards.connect_timeout, dialling) => dialled,
        };
        let mut socket = match dialled {
            Ok(Ok(socket)) => socket,
            failed => {
                // The session's own host may be gone while the session is not.
                if let Some(resume) = &mut self.resume {
                    resume.url = None;
                }
                return Ended::Resume(match failed {
                    Ok(Err(error)) => chain(&error),
                    _ => "the Discord gateway did not answer".to_owned(),
                });
            }
        };
        let hello = tokio::select! {
            () = stop.cancelled() => return Ended::Stopped,
            hello = timeout(HELLO_TIMEOUT, self.hello(&mut socket)) => hello,
        };
        let interval = match hello {
            Ok(Ok(interval)) => interval,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Resume("the Discord gateway said no hello".to_owned()),
        };
        let first = if let Some(resume) = &self.resume {
            shards.status.stage(self.shard, Stage::Resuming);
            shards.status.edit(self.shard, |entry| entry.resumes += 1);
            serde_json::json!({ "op": 6, "d": {
                "token": bare(&shards.token), "session_id": resume.id, "seq": resume.seq,
            }})
        } else {
            let Some(turn) = &mut turn else { return Ended::Resume("no turn".to_owned()) };
            if let Err(end) = shards.gate.spend(turn).await {
                return match end {
                    // The question about the budget failed, not the connection: ask again later.
                    GatewayEnd::CannotConnect { hint, .. } => Ended::Resume(hint),
                    end => Ended::Fatal(end),
                };
            }
            self.in_vain += 1;
            self.identified.push_back(Instant::now());
            shards.status.stage(self.shard, Stage::Identifying);
            shards.status.edit(self.shard, |entry| entry.identifies += 1);
            serde_json::json!({ "op": 2, "d": {
                "token": bare(&shards.token),
                "intents": shards.intents,
                "shard": [self.shard, shards.total],
                "compress": false,
                "large_threshold": 50,
                "properties": {
                    "os": std::env::consts::OS, "browser": "gantry", "device": "gantry",
                },
            }})
        };
        drop(turn);
        if let Err(ended) = send(&mut socket, first.to_string()).await {
            return ended;
        }
        let ended = self.listen(&mut socket, interval).await;
        let code = if matches!(ended, Ended::Stopped) { 1000 } else { COME_BACK };
        let frame = CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::default() };
        let _ = timeout(Duration::from_secs(1), socket.close(Some(frame))).await;
        ended
    }

    async fn hello(&self, socket: &mut Socket) -> Result<Duration, Ended> {
        loop {
            let text = match self.frame(socket.next().await)? {
                Some(text) => text,
                None => continue,
            };
            if let Ok(Data { d: HelloData { heartbeat_interval } }) = serde_json::from_str(&text) {
                // An absurd interval must not make us spin or sleep for ever.
                let interval = Duration::from_millis(heartbeat_interval);
                return Ok(interval.clamp(Duration::from_millis(100), Duration::from_secs(300)));
            }
        }
    }

    /// A frame's text; `None` for frames without one.
    fn frame(&self, frame: Option<Result<Message, WsError>>) -> Result<Option<Utf8Bytes>, Ended> {
        match frame {
            Some(Ok(Message::Text(text))) => Ok(Some(text)),
            Some(Ok(Message::Close(close))) => Err(self.closed(close.as_ref())),
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(Ended::Resume(format!("the connection broke ({error})"))),
            None => Err(Ended::Resume("the connection ended".to_owned())),
        }
    }

    /// What a close code means (Discord's table of gateway close codes).
    fn closed(&self, close: Option<&CloseFrame>) -> Ended {
        let Some(close) = close else {
            return Ended::Resume("Discord closed the connection".to_owned());
        };
        let code = u16::from(close.code);
        let bits = self.shards.intents;
        let total = self.shards.total;
        let fatal = match code {
            4004 => GatewayEnd::BadToken,
            4010 => GatewayEnd::BadShard { shard: self.shard, total },
            4011 => GatewayEnd::ShardingRequired { total },
            4012 => GatewayEnd::BadVersion,
            4013 => GatewayEnd::BadIntents { bits },
            4014 => GatewayEnd::DisallowedIntents { bits },
            // Not authenticated, unknown session, wrong sequence, session timed out.
            4003 | 4006 | 4007 | 4009 => {
                return Ended::Fresh(format!("Discord ended the session ({code})"), Duration::ZERO);
            }
            _ => return Ended::Resume(format!("Discord closed the connection ({code})")),
        };
        Ended::Fatal(fatal)
    }

    async fn listen(&mut self, socket: &mut Socket, interval: Duration) -> Ended {
        let shards = Arc::clone(&self.shards);
        let stop = self.stop.clone();
        let mut beat_at = Instant::now() + interval.mul_f64(jitter());
        let mut ack_by: Option<Instant> = None;
        let mut beat_sent = Instant::now();
        let mut ready_by = Some(Instant::now() + shards.ready_timeout);
        let far = Instant::now() + Duration::from_secs(86_400 * 365);
        loop {
            let beat = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                () = sleep_until(ack_by.unwrap_or(far)) => {
                    return Ended::Resume("Discord stopped answering heartbeats".to_owned());
                }
                () = sleep_until(ready_by.unwrap_or(far)) => {
                    let why = "Discord did not say ready".to_owned();
                    return Ended::Fresh(why, Duration::ZERO);
                }
                () = sleep_until(beat_at) => true,
                frame = socket.next() => {
                    let text = match self.frame(frame) {
                        Ok(Some(text)) => text,
                        Ok(None) => continue,
                        Err(ended) => return ended,
                    };
                    shards.status.edit(self.shard, |e| e.last_event = Some(Instant::now()));
                    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(&text) else {
                        tracing::warn!(shard = self.shard, bytes = text.len(), "unreadable event");
                        continue;
                    };
                    match envelope.op {
                        0 => {
                            let name = envelope.t.unwrap_or_default();
                            if let Some(ended) = self.dispatch(&name, envelope.s, &text).await {
                                return ended;
                            }
                            if matches!(&*name, "READY" | "RESUMED") {
                                ready_by = None;
                            }
                            false
                        }
                        1 => true,
                        7 => return Ended::Resume("Discord asked us to reconnect".to_owned()),
                        9 => {
                            let moment = Duration::from_secs(1).mul_f64(1.0 + 4.0 * jitter());
                            let resumable = serde_json::from_str::<Data<bool>>(&text);
                            if resumable.is_ok_and(|told| told.d) && self.resume.is_some() {
                                return Ended::Resume("Discord asked us to resume".to_owned());
                            }
                            return Ended::Fresh("Discord ended the session".to_owned(), moment);
                        }
                        11 => {
                            ack_by = None;
                            let took = beat_sent.elapsed();
                            shards.status.edit(self.shard, |e| e.latency = Some(took));
                            false
                        }
                        _ => false,
                    }
                }
                Some(command) = self.commands.recv(), if ready_by.is_none() => {
                    if self.may_command() && let Err(ended) = send(socket, command).await {
                        return ended;
                    }
                    false
                }
            };
            if beat {
                let seq = self.resume.as_ref().map(|resume| resume.seq);
                let heartbeat = serde_json::json!({ "op": 1, "d": seq }).to_string();
                if let Err(ended) = send(socket, heartbeat).await {
                    return ended;
                }
                beat_sent = Instant::now();
                beat_at = beat_sent + interval;
                ack_by.get_or_insert(beat_sent + (interval / 2).min(LONGEST_ACK));
            }
        }
    }

    async fn dispatch(&mut self, name: &str, seq: Option<u64>, text: &Utf8Bytes) -> Option<Ended> {
        if name == "READY" {
            match serde_json::from_str::<Data<ReadyData>>(text) {
                Ok(Data { d: ready }) => self.ready(ready, seq, text),
                Err(error) => {
                    // Without a session id there is nothing to keep; the next attempt may be better.
                    let why = format!("Discord's ready could not be read ({error})");
                    return Some(Ended::Fresh(why, Duration::from_secs(5)));
                }
            }
        } else if let (Some(resume), Some(seq)) = (&mut self.resume, seq) {
            if seq <= resume.seq {
                tracing::debug!(shard = self.shard, seq, "event seen before, dropped");
                return None;
            }
            resume.seq = seq;
        }
        if name == "RESUMED" {
            self.failures = 0;
            self.shards.status.stage(self.shard, Stage::Connected);
            tracing::info!(shard = self.shard, "gateway session resumed");
        }
        if name == "INTERACTION_CREATE" {
            self.shards.status.edit(self.shard, |entry| entry.events += 1);
            self.shards.short.begin(self.shard, text);
            return None;
        }
        let delivered = self.shards.hub.deliver(self.shard, text.clone()).await;
        self.shards
            .status
            .edit(self.shard, |entry| if delivered { entry.events += 1 } else { entry.lost += 1 });
        if !delivered {
            tracing::error!(shard = self.shard, event = name, "an event could not be handed on");
        }
        None
    }

    fn ready(&mut self, ready: ReadyData, seq: Option<u64>, text: &Utf8Bytes) {
        let url = ready.resume_gateway_url.as_deref().and_then(|url| {
            dial::check_gateway(url, &self.shards.api_base)
                .map_err(|why| tracing::warn!(shard = self.shard, "resume address ignored: {why}"))
                .ok()
        });
        self.resume = Some(Resume { id: ready.session_id, url, seq: seq.unwrap_or(0) });
        self.failures = 0;
        self.in_vain = 0;
        let guilds = u32::try_from(ready.guilds.len()).unwrap_or(u32::MAX);
        self.shards.hub.remember_ready(self.shard, text);
        self.shards.status.stage(self.shard, Stage::Connected);
        self.shards.status.edit(self.shard, |entry| entry.guilds = Some(guilds));
        tracing::info!(shard = self.shard, guilds, bot = %ready.user.username, "gateway ready");
        (self.shards.on_ready)(ShardReady {
            shard: self.shard,
            total: self.shards.total,
            application_id: ready.application.id.parse().unwrap_or(0),
            bot_name: ready.user.username,
            guilds,
        });
    }

    fn may_command(&mut self) -> bool {
        while self.commanded.front().is_some_and(|at| at.elapsed() > Duration::from_secs(60)) {
            self.commanded.pop_front();
        }
        if self.commanded.len() >= COMMANDS {
            tracing::warn!(shard = self.shard, "gateway command dropped: too many in a minute");
            return false;
        }
        self.commanded.push_back(Instant::now());
        true
    }
}

async fn send(socket: &mut Socket, text: String) -> Result<(), Ended> {
    match timeout(SEND_TIMEOUT, socket.send(Message::text(text))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Ended::Resume(format!("the connection broke ({error})"))),
        Err(_) => Err(Ended::Resume("the connection takes nothing any more".to_owned())),
    }
}

/// The token as the gateway documents it, without the prefix REST wants.
fn bare(token: &Secret<String>) -> &str {
    let token = token.expose_secret().trim();
    token.strip_prefix("Bot ").unwrap_or(token)
}
