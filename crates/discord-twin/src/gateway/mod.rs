//! Gateway sessions: who is connected as which shard, what they have been sent, what they may
//! still resume. Sockets live in `socket`; this room only decides and keeps.

mod socket;
mod wire;

use std::collections::{HashMap, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub(crate) use socket::run;

use crate::options::SessionStartLimit;
use crate::render;
use crate::snowflake::{random_hex, shard_of};
use crate::state::{Shared, State};
use crate::world::APPLICATION_ID;

/// Intent bits by name.
pub(crate) mod intent {
    pub(crate) const GUILDS: u64 = 1;
    pub(crate) const GUILD_MESSAGES: u64 = 1 << 9;
    pub(crate) const GUILD_MESSAGE_REACTIONS: u64 = 1 << 10;
    pub(crate) const DIRECT_MESSAGES: u64 = 1 << 12;
    /// GUILD_MEMBERS, GUILD_PRESENCES, MESSAGE_CONTENT.
    pub(crate) const PRIVILEGED: u64 = (1 << 1) | (1 << 8) | (1 << 15);
    pub(crate) const MESSAGE_CONTENT: u64 = 1 << 15;
    /// Every documented intent.
    pub(crate) const KNOWN: u64 = ((1 << 17) - 1) | (1 << 20) | (1 << 21) | (1 << 24) | (1 << 25);
}

/// Events kept per session for a resume.
const REPLAY: usize = 5000;
/// Frames a connection may be behind before it is cut.
pub(super) const BEHIND: usize = 8192;
/// Twin milliseconds a session stays resumable after its connection ended.
const RESUMABLE_MS: u64 = 180_000;
/// Day of the session budget, in milliseconds.
const BUDGET_DAY_MS: u64 = 86_400_000;
/// Gateway happenings kept for tests.
const HISTORY: usize = 5000;
/// Pacing violations within one window after which the connection is closed with 4008.
const PACING_PATIENCE: u32 = 3;

/// What a connection is told to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send this text.
    Frame(String),
    /// Close with a code and reason.
    Close(u16, &'static str),
    /// Op 9; the session is over unless it is resumable.
    InvalidSession(bool),
    /// End the TCP connection without a close frame.
    Cut,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) shard: (u64, u64),
    pub(crate) intents: u64,
    pub(crate) seq: u64,
    replay: VecDeque<(u64, String)>,
    pub(crate) out: Option<mpsc::Sender<Order>>,
    connection: u64,
    left_ms: u64,
    pub(crate) zombie: bool,
    guilds: u64,
}

/// One thing that happened at the gateway.
#[derive(Clone, Debug, Serialize)]
pub struct GatewayEvent {
    /// Unix milliseconds (twin time).
    pub at_ms: u64,
    /// `connect`, `identify`, `ready`, `resume`, `resumed`, `heartbeat`, `op9`, `pacing`,
    /// `closed` (by the twin), `left` (by the bot).
    pub what: &'static str,
    /// Shard, when known.
    pub shard: Option<(u64, u64)>,
    /// Close code, path of the connection, or other detail.
    pub detail: String,
}

/// Sessions and budgets.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) sessions: HashMap<String, Session>,
    pub(crate) limit: SessionStartLimit,
    budget_since_ms: u64,
    buckets: HashMap<u64, (u64, u32)>,
    pub(crate) history: VecDeque<GatewayEvent>,
    next_connection: u64,
}

/// What to do with an identify.
pub(super) enum Identified {
    Ready { session: String, frames: Vec<String>, orders: mpsc::Receiver<Order>, compress: bool },
    Paced,
    Close(u16, &'static str),
}

impl Gateway {
    pub(crate) fn new(limit: SessionStartLimit) -> Self {
        Self {
            sessions: HashMap::new(),
            limit,
            budget_since_ms: 0,
            buckets: HashMap::new(),
            history: VecDeque::new(),
            next_connection: 0,
        }
    }

    pub(crate) fn online(&self) -> bool {
        self.sessions.values().any(|session| session.out.is_some())
    }

    pub(super) fn connection(&mut self) -> u64 {
        self.next_connection += 1;
        self.next_connection
    }

    pub(crate) fn note(
        &mut self,
        at_ms: u64,
        what: &'static str,
        shard: Option<(u64, u64)>,
        detail: impl Into<String>,
    ) {
        self.history.push_back(GatewayEvent { at_ms, what, shard, detail: detail.into() });
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// The `session_start_limit` object.
    pub(crate) fn budget(&mut self, now_ms: u64) -> Value {
        let reset_after = if self.budget_since_ms == 0 {
            BUDGET_DAY_MS
        } else if now_ms >= self.budget_since_ms + BUDGET_DAY_MS {
            self.limit.remaining = self.limit.total;
            self.budget_since_ms = 0;
            BUDGET_DAY_MS
        } else {
            self.budget_since_ms + BUDGET_DAY_MS - now_ms
        };
        json!({
            "total": self.limit.total, "remaining": self.limit.remaining,
            "reset_after": reset_after, "max_concurrency": self.limit.max_concurrency,
        })
    }

    /// Sends an order to every connected session.
    pub(crate) fn order_all(&mut self, order: impl Fn() -> Order) -> usize {
        let mut count = 0;
        for session in self.sessions.values_mut() {
            if let Some(out) = &session.out {
                count += usize::from(out.try_send(order()).is_ok());
            }
        }
        count
    }

    /// Marks present connections as zombies, or heals them.
    pub(crate) fn zombies(&mut self, zombie: bool) {
        for session in self.sessions.values_mut() {
            session.zombie = zombie && session.out.is_some();
        }
    }

    /// Forgets that a connection carried this session; `gone` ends the session as well.
    pub(super) fn leave(&mut self, id: &str, connection: u64, gone: bool, now_ms: u64) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.connection == connection
        {
            session.out = None;
            session.left_ms = now_ms;
            session.zombie = false;
            if gone {
                self.sessions.remove(id);
            }
        }
    }

    fn forget_stale(&mut self, now_ms: u64) {
        self.sessions
            .retain(|_, session| session.out.is_some() || now_ms < session.left_ms + RESUMABLE_MS);
    }
}

impl Session {
    fn push(&mut self, name: &str, data: &Value) -> String {
        self.seq += 1;
        let text = json!({"op": 0, "s": self.seq, "t": name, "d": data}).to_string();
        self.replay.push_back((self.seq, text.clone()));
        if self.replay.len() > REPLAY {
            self.replay.pop_front();
        }
        text
    }
}

impl State {
    /// Sends an event to every session whose shard and intents it concerns. Returns how many
    /// sessions got it or will get it when they resume.
    pub(crate) fn dispatch(
        &mut self,
        name: &str,
        data: &Value,
        guild: Option<u64>,
        intent: u64,
        now_ms: u64,
    ) -> usize {
        self.gateway.forget_stale(now_ms);
        let mut heard = 0;
        for session in self.gateway.sessions.values_mut() {
            let (index, count) = session.shard;
            let wanted = intent == 0 || session.intents & intent != 0;
            if !wanted || shard_of(guild, count) != index {
                continue;
            }
            heard += 1;
            let stripped = (name.starts_with("MESSAGE_")
                && session.intents & intent::MESSAGE_CONTENT == 0)
                .then(|| without_content(data));
            let text = session.push(name, stripped.as_ref().unwrap_or(data));
            if let Some(out) = &session.out
                && out.try_send(Order::Frame(text)).is_err()
            {
                session.out = None;
                session.left_ms = now_ms;
            }
        }
        heard
    }
}

/// Without the message content intent, other people's messages come empty.
fn without_content(data: &Value) -> Value {
    let mut data = data.clone();
    let me = APPLICATION_ID.to_string();
    let own = data["author"]["id"] == me.as_str();
    let mentioned = data["mentions"]
        .as_array()
        .is_some_and(|list| list.iter().any(|user| user["id"] == me.as_str()));
    if !own && !mentioned && data.get("content").is_some() {
        data["content"] = json!("");
        for key in ["embeds", "attachments", "components"] {
            data[key] = json!([]);
        }
    }
    data
}

/// Judges an identify and opens the session.
pub(super) fn identify(shared: &Shared, connection: u64, data: &Value) -> Identified {
    let now = shared.now_ms();
    let mut state = shared.lock();
    let state = &mut *state;
    let shard = match shard(data) {
        Ok(shard) => shard,
        Err(()) => return Identified::Close(4010, "Invalid shard."),
    };
    state.gateway.note(now, "identify", Some(shard), "");
    if !token_matches(shared, state, data) {
        return Identified::Close(4004, "Authentication failed.");
    }
    if let Some(code) = state.troubles.close_identify() {
        return Identified::Close(code, "Asked for by a trouble.");
    }
    // Every identify with a valid token costs one of the day's sessions, paced or not.
    if state.gateway.budget_since_ms == 0 || now >= state.gateway.budget_since_ms + BUDGET_DAY_MS {
        state.gateway.budget(now);
        state.gateway.budget_since_ms = now;
    }
    if state.gateway.limit.remaining == 0 {
        state.token_reset = true;
        state.gateway.order_all(|| Order::Close(4004, "Authentication failed."));
        state.gateway.sessions.clear();
        return Identified::Close(4004, "Session budget exhausted; the token was reset.");
    }
    state.gateway.limit.remaining -= 1;
    let mine = state.world.guilds.keys().filter(|id| shard_of(Some(**id), shard.1) == shard.0);
    let guilds: Vec<u64> = mine.copied().collect();
    if guilds.len() as u64 > shared.options.guilds_per_shard {
        return Identified::Close(4011, "Sharding required.");
    }
    let Some(intents) = data["intents"].as_u64().filter(|bits| bits & !intent::KNOWN == 0) else {
        return Identified::Close(4013, "Invalid intent(s).");
    };
    if intents & intent::PRIVILEGED & !shared.options.privileged_intents != 0 {
        return Identified::Close(4014, "Disallowed intent(s).");
    }
    let window = u64::try_from(shared.options.identify_window.as_millis()).unwrap_or(5000);
    let key = shard.0 % u64::from(state.gateway.limit.max_concurrency.max(1));
    let (since, violations) = state.gateway.buckets.entry(key).or_insert((0, 0));
    if *since != 0 && now < *since + window {
        *violations += 1;
        let patience = *violations < PACING_PATIENCE;
        state.gateway.note(now, "pacing", Some(shard), format!("bucket {key}"));
        return if patience { Identified::Paced } else { Identified::Close(4008, "Rate limited.") };
    }
    (*since, *violations) = (now, 0);

    let (out, orders) = mpsc::channel(BEHIND);
    let mut session = Session {
        id: random_hex(16),
        shard,
        intents,
        seq: 0,
        replay: VecDeque::new(),
        out: Some(out),
        connection,
        left_ms: 0,
        zombie: false,
        guilds: guilds.len() as u64,
    };
    let unavailable: Vec<Value> =
        guilds.iter().map(|id| json!({"id": id.to_string(), "unavailable": true})).collect();
    let ready = json!({
        "v": 10, "user": render::bot_user(&state.world), "guilds": unavailable,
        "session_id": session.id, "session_type": "normal",
        "resume_gateway_url": format!("{}-resume", shared.gateway_url()),
        "shard": [shard.0, shard.1], "application": {"id": APPLICATION_ID.to_string(), "flags": 0},
        "user_settings": {}, "relationships": [], "private_channels": [], "presences": [],
        "guild_join_requests": [], "geo_ordered_rtc_regions": ["rotterdam"], "auth": {},
        "_trace": ["[\"discord-twin\"]"],
    });
    let mut frames = vec![session.push("READY", &ready)];
    if intents & intent::GUILDS != 0 {
        for id in &guilds {
            if let Some(guild) = state.world.guilds.get(id) {
                frames
                    .push(session.push("GUILD_CREATE", &render::guild_create(&state.world, guild)));
            }
        }
    }
    state.gateway.note(now, "ready", Some(shard), session.id.clone());
    let id = session.id.clone();
    state.gateway.sessions.insert(id.clone(), session);
    let compress = data["compress"] == true;
    Identified::Ready { session: id, frames, orders, compress }
}

/// What to do with a resume.
pub(super) enum Resumed {
    Replay { frames: Vec<String>, orders: mpsc::Receiver<Order>, shard: (u64, u64) },
    Invalid,
    Close(u16, &'static str),
}

/// Judges a resume and takes the session over.
pub(super) fn resume(shared: &Shared, connection: u64, data: &Value) -> Resumed {
    let now = shared.now_ms();
    let mut state = shared.lock();
    let state = &mut *state;
    state.gateway.note(now, "resume", None, data["session_id"].as_str().unwrap_or_default());
    if !token_matches(shared, state, data) {
        return Resumed::Close(4004, "Authentication failed.");
    }
    state.gateway.forget_stale(now);
    let id = data["session_id"].as_str().unwrap_or_default();
    let Some(session) = state.gateway.sessions.get_mut(id) else { return Resumed::Invalid };
    let Some(seq) = data["seq"].as_u64().filter(|seq| *seq <= session.seq) else {
        return Resumed::Close(4007, "Invalid seq.");
    };
    let oldest = session.replay.front().map_or(session.seq + 1, |(seq, _)| *seq);
    if seq + 1 < oldest {
        let id = session.id.clone();
        state.gateway.sessions.remove(&id);
        return Resumed::Invalid;
    }
    if let Some(old) = session.out.take() {
        drop(old.try_send(Order::Close(4000, "Resumed elsewhere.")));
    }
    let (out, orders) = mpsc::channel(BEHIND);
    session.out = Some(out);
    session.connection = connection;
    session.zombie = false;
    let missed = session.replay.iter().filter(|(at, _)| *at > seq);
    let mut frames: Vec<String> = missed.map(|(_, text)| text.clone()).collect();
    frames.push(session.push("RESUMED", &json!({"_trace": ["discord-twin"]})));
    let shard = session.shard;
    state.gateway.note(now, "resumed", Some(shard), format!("{} replayed", frames.len() - 1));
    Resumed::Replay { frames, orders, shard }
}

fn shard(data: &Value) -> Result<(u64, u64), ()> {
    if data["shard"].is_null() {
        return Ok((0, 1));
    }
    let part = |n: usize| data["shard"].get(n).and_then(Value::as_u64);
    match (part(0), part(1)) {
        (Some(index), Some(count)) if index < count => Ok((index, count)),
        _ => Err(()),
    }
}

fn token_matches(shared: &Shared, state: &State, data: &Value) -> bool {
    let token = data["token"].as_str().unwrap_or_default();
    let token = token.strip_prefix("Bot ").unwrap_or(token);
    !state.token_reset && token == shared.options.token
}

/// What the control API tells about sessions.
pub(crate) fn sessions(state: &State) -> Value {
    let list = state.gateway.sessions.values().map(|session| {
        json!({
            "session_id": session.id, "shard": [session.shard.0, session.shard.1],
            "intents": session.intents, "seq": session.seq,
            "connected": session.out.is_some(), "guilds": session.guilds,
        })
    });
    list.collect()
}
