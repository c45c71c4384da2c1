//! Everything that changes, behind one lock: messages, interactions, commands, gateway
//! sessions, troubles, the request log. Nothing here waits; every list has a bound.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::limit::Limiter;
use crate::options::Options;
use crate::permission;
use crate::snowflake::Mint;
use crate::trouble::Troubles;
use crate::world::{APPLICATION_ID, Channel, Guild, World};

/// Messages kept per channel; older ones are forgotten.
const MESSAGES_PER_CHANNEL: usize = 2000;
/// Requests kept in the log.
const LOG_KEPT: usize = 20_000;
/// Bytes of attachments kept in memory.
const ATTACHMENT_BYTES: usize = 256 << 20;
/// Interactions remembered; far beyond 15 minutes of anyone's typing.
const INTERACTIONS_KEPT: usize = 20_000;

/// A message and what only the twin knows about it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Discord's message object.
    pub(crate) json: Value,
    pub(crate) ephemeral_for: Option<u64>,
    pub(crate) thinking: bool,
    pub(crate) failed: Option<String>,
    pub(crate) interaction_id: Option<u64>,
    pub(crate) edited: bool,
    /// Whom it pinged when it was created.
    pub(crate) pings: Value,
    /// All uploads, those hidden behind embeds included: filename → URL.
    pub(crate) files: BTreeMap<String, String>,
}

impl Stored {
    pub(crate) fn id(&self) -> u64 {
        self.json.get("id").and_then(crate::snowflake::from_json).unwrap_or(0)
    }
    pub(crate) fn channel_id(&self) -> u64 {
        self.json.get("channel_id").and_then(crate::snowflake::from_json).unwrap_or(0)
    }
    pub(crate) fn author_id(&self) -> u64 {
        self.json.pointer("/author/id").and_then(crate::snowflake::from_json).unwrap_or(0)
    }
    pub(crate) fn flags(&self) -> u64 {
        self.json["flags"].as_u64().unwrap_or(0)
    }
}

/// How an interaction was answered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    Message,
    Deferred,
    DeferredUpdate,
    Updated,
    Choices,
    Modal,
}

/// An interaction from its creation until it is forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Interaction {
    pub(crate) id: u64,
    pub(crate) token: String,
    /// 2 command, 3 component, 4 autocomplete, 5 modal.
    pub(crate) kind: u8,
    pub(crate) user_id: u64,
    pub(crate) guild_id: Option<u64>,
    pub(crate) channel_id: u64,
    /// What the person did, e.g. `/pod delete`.
    pub(crate) name: String,
    /// The message a component or modal came from.
    pub(crate) message_id: Option<u64>,
    /// Type of the focused option, for autocomplete.
    pub(crate) focused_kind: i64,
    pub(crate) created_ms: u64,
    pub(crate) ack: Option<Ack>,
    pub(crate) acked_ms: u64,
    /// The message `@original` means.
    pub(crate) original: Option<u64>,
    /// The first follow-up after a deferred response replaces it.
    pub(crate) owes_original: bool,
    pub(crate) modal: Option<Value>,
    pub(crate) choices: Value,
    pub(crate) expired: bool,
    pub(crate) metadata: Value,
    pub(crate) answered: Arc<Notify>,
}

/// A registered command.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) id: u64,
    pub(crate) guild_id: Option<u64>,
    pub(crate) json: Value,
}

/// A file in memory.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(crate) content_type: String,
    pub(crate) bytes: Bytes,
}

/// One REST request of the bot.
#[derive(Clone, Debug, Serialize)]
pub struct LogEntry {
    /// Unix milliseconds (twin time).
    pub at_ms: u64,
    /// HTTP method.
    pub method: String,
    /// Path below `/api/v10`.
    pub path: String,
    /// Query string without `?`.
    pub query: String,
    /// METHOD and template; `unknown` when no endpoint matched.
    pub route: String,
    /// Status answered; 0 when the connection was cut instead.
    pub status: u16,
    /// JSON body (`payload_json` of an upload); null when there was none.
    pub body: Value,
    /// Whether the body was multipart.
    pub multipart: bool,
    /// Names of uploaded files.
    pub files: Vec<String>,
    /// The answer's JSON body, for checks against the official schema.
    #[serde(skip)]
    pub answer: Value,
}

/// The state proper.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) mint: Mint,
    pub(crate) messages: HashMap<u64, BTreeMap<u64, Stored>>,
    pub(crate) interactions: BTreeMap<u64, Interaction>,
    pub(crate) commands: Vec<Command>,
    /// Creations per scope within the last 24 hours.
    pub(crate) command_creates: HashMap<Option<u64>, VecDeque<u64>>,
    /// (channel, nonce) → (message, when).
    pub(crate) nonces: HashMap<(u64, String), (u64, u64)>,
    pub(crate) attachments: BTreeMap<u64, Attachment>,
    pub(crate) attachment_bytes: usize,
    /// Files people uploaded for a command, as the interaction tells of them.
    pub(crate) uploads: BTreeMap<u64, Value>,
    pub(crate) gateway: Gateway,
    pub(crate) limiter: Limiter,
    pub(crate) troubles: Troubles,
    pub(crate) log: VecDeque<LogEntry>,
    pub(crate) log_dropped: u64,
    pub(crate) token_reset: bool,
}

/// The twin's inside, shared by all its doors.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    pub(crate) events: broadcast::Sender<Value>,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(options: Options, url: String, stop: CancellationToken) -> Self {
        let limit = options.session_start_limit;
        let state = State {
            world: options.world.clone(),
            mint: Mint::default(),
            messages: HashMap::new(),
            interactions: BTreeMap::new(),
            commands: Vec::new(),
            command_creates: HashMap::new(),
            nonces: HashMap::new(),
            attachments: BTreeMap::new(),
            attachment_bytes: 0,
            uploads: BTreeMap::new(),
            gateway: Gateway::new(limit),
            limiter: Limiter::default(),
            troubles: Troubles::default(),
            log: VecDeque::new(),
            log_dropped: 0,
            token_reset: false,
        };
        let events = broadcast::Sender::new(4096);
        Self { state: Mutex::new(state), clock: Clock::default(), options, url, events, stop }
    }

    /// The state. Held for moments only, never across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Tells the page and waiting tests that something changed.
    pub(crate) fn emit(&self, event: Value) {
        drop(self.events.send(event));
    }

    pub(crate) fn emit_message(&self, what: &str, channel: u64, message: u64) {
        self.emit(json!({"type": what, "channel_id": channel.to_string(), "message_id": message.to_string()}));
    }

    /// The gateway's address.
    pub(crate) fn gateway_url(&self) -> String {
        format!("{}/gw", self.url.replacen("http", "ws", 1))
    }
}

impl State {
    pub(crate) fn guild_of_channel(&self, channel: u64) -> Option<&Guild> {
        self.world.guilds.values().find(|guild| guild.channel(channel).is_some())
    }

    pub(crate) fn channel(&self, id: u64) -> Option<&Channel> {
        self.world
            .guilds
            .values()
            .find_map(|guild| guild.channel(id))
            .or_else(|| self.world.dms.iter().find(|dm| dm.id == id))
    }

    pub(crate) fn channel_mut(&mut self, id: u64) -> Option<&mut Channel> {
        let guilds = self.world.guilds.values_mut();
        guilds.flat_map(|guild| guild.channels.iter_mut()).find(|channel| channel.id == id)
    }

    /// A user's permissions in a channel; everything in direct messages.
    pub(crate) fn permissions(&self, channel_id: u64, user_id: u64) -> u64 {
        if user_id == APPLICATION_ID && self.troubles.hides(channel_id) {
            return 0;
        }
        let Some(guild) = self.guild_of_channel(channel_id) else { return permission::EVERYONE };
        let (Some(channel), Some(member)) = (guild.channel(channel_id), guild.member(user_id))
        else {
            return 0;
        };
        permission::in_channel(guild, channel, member)
    }

    pub(crate) fn last_message(&self, channel: u64) -> Option<u64> {
        self.messages.get(&channel).and_then(|list| list.keys().next_back().copied())
    }

    pub(crate) fn message(&self, channel: u64, id: u64) -> Option<&Stored> {
        self.messages.get(&channel)?.get(&id)
    }

    pub(crate) fn message_mut(&mut self, channel: u64, id: u64) -> Option<&mut Stored> {
        self.messages.get_mut(&channel)?.get_mut(&id)
    }

    /// A message by id alone.
    pub(crate) fn find_message(&self, id: u64) -> Option<&Stored> {
        self.messages.values().find_map(|list| list.get(&id))
    }

    pub(crate) fn keep_message(&mut self, message: Stored) {
        let list = self.messages.entry(message.channel_id()).or_default();
        list.insert(message.id(), message);
        while list.len() > MESSAGES_PER_CHANNEL {
            list.pop_first();
        }
    }

    pub(crate) fn keep_attachment(&mut self, id: u64, attachment: Attachment) {
        self.attachment_bytes += attachment.bytes.len();
        self.attachments.insert(id, attachment);
        while self.attachment_bytes > ATTACHMENT_BYTES {
            let Some((_, old)) = self.attachments.pop_first() else { break };
            self.attachment_bytes -= old.bytes.len();
        }
    }

    pub(crate) fn keep_interaction(&mut self, interaction: Interaction) {
        self.interactions.insert(interaction.id, interaction);
        while self.interactions.len() > INTERACTIONS_KEPT {
            self.interactions.pop_first();
        }
    }

    pub(crate) fn keep_log(&mut self, entry: LogEntry) {
        self.log.push_back(entry);
        if self.log.len() > LOG_KEPT {
            self.log.pop_front();
            self.log_dropped += 1;
        }
    }
}
