//! The handle a test or the demo holds: starting, stopping, and everything the control API can
//! do as plain Rust. Dropping it stops the twin.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Refused};
use crate::control;
use crate::gateway::{self, GatewayEvent};
use crate::interact::{self, Completion, Place};
use crate::message::with_extras;
use crate::options::Options;
use crate::server;
use crate::state::{LogEntry, Shared, State};
use crate::trouble::{Active, Trouble};

/// Why a twin could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not on this machine; a twin never listens to others.
    #[error("the Discord twin listens on loopback addresses only, not on {0}")]
    NotLoopback(std::net::SocketAddr),
    /// The port is taken, or the like.
    #[error("the Discord twin could not listen on {address}")]
    Listen {
        /// Address that was asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A user by id or username.
#[derive(Clone, Debug)]
pub enum Who {
    /// Snowflake.
    Id(u64),
    /// Username, e.g. `operator`.
    Name(String),
}

impl From<u64> for Who {
    fn from(id: u64) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for Who {
    fn from(name: &str) -> Self {
        Self::Name(name.trim_start_matches('@').to_owned())
    }
}

/// A channel by id, or by name in the first guild that has it.
#[derive(Clone, Debug)]
pub enum Where {
    /// Snowflake.
    Id(u64),
    /// Name, with or without `#`.
    Name(String),
}

impl From<u64> for Where {
    fn from(id: u64) -> Self {
        Self::Id(id)
    }
}

impl From<&str> for Where {
    fn from(name: &str) -> Self {
        Self::Name(name.trim_start_matches('#').to_owned())
    }
}

/// A running twin.
#[derive(Debug)]
pub struct Twin {
    shared: Arc<Shared>,
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Twin {
    /// Starts a twin in the current tokio runtime.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let address = options.bind;
        if !address.ip().is_loopback() {
            return Err(Error::NotLoopback(address));
        }
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared::new(options, format!("http://{local}"), stop));
        tokio::spawn(server::listen(shared.clone(), listener));
        Ok(Self { shared })
    }

    /// Ends every connection and stops listening.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// `http://127.0.0.1:PORT`: the page, the REST API (`/api/v10`) and the control API.
    pub fn url(&self) -> String {
        self.shared.url.clone()
    }

    /// `ws://127.0.0.1:PORT/gw`
    pub fn gateway_url(&self) -> String {
        self.shared.gateway_url()
    }

    /// The bot token, without `Bot `.
    pub fn token(&self) -> String {
        self.shared.options.token.clone()
    }

    /// Whether any gateway session is connected.
    pub fn bot_online(&self) -> bool {
        self.shared.lock().gateway.online()
    }

    /// Waits until `ready` holds, looking again whenever something changes. False on timeout.
    pub async fn until(&self, within: Duration, mut ready: impl FnMut(&Self) -> bool) -> bool {
        let mut events = self.shared.events.subscribe();
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if ready(self) {
                return true;
            }
            // Not every change is an event (a heartbeat, say), so it also looks now and then.
            let look = tokio::time::Instant::now() + Duration::from_millis(50);
            drop(tokio::time::timeout_at(look.min(deadline), events.recv()).await);
            if tokio::time::Instant::now() >= deadline {
                return ready(self);
            }
        }
    }

    /// Waits for a connected bot.
    pub async fn until_online(&self, within: Duration) -> bool {
        self.until(within, Self::bot_online).await
    }

    /// Waits for a message in `channel` that `viewer` can see and `wanted` accepts.
    pub async fn until_message(
        &self,
        channel: impl Into<Where>,
        viewer: impl Into<Who>,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let (channel, viewer) = (channel.into(), viewer.into());
        let mut found = None;
        self.until(within, |twin| {
            let list = twin.messages(channel.clone(), viewer.clone()).unwrap_or_default();
            found = list.into_iter().rev().find(&wanted);
            found.is_some()
        })
        .await;
        found
    }

    fn place(&self, user: Who, channel: Where) -> Result<Place, Refused> {
        let state = self.shared.lock();
        let user_id = user_id(&state, &user)?;
        let channel_id = channel_id(&state, &channel)?;
        let guild_id = state.guild_of_channel(channel_id).map_or(0, |guild| guild.id);
        Ok(Place { guild_id, channel_id, user_id })
    }

    /// Uses a slash command: `run("operator", "#ops", "/pod delete pod:web-0")`.
    ///
    /// # Errors
    /// When the client would not send it: unknown command or option, missing value, no access.
    pub async fn run(
        &self,
        user: impl Into<Who>,
        channel: impl Into<Where>,
        text: &str,
    ) -> Result<Answer, Refused> {
        let place = self.place(user.into(), channel.into())?;
        interact::command(&self.shared, place, text).await
    }

    /// Uploads a file, as a client does before it sends a command with it; the id is what an attachment option takes.
    pub fn upload(&self, name: &str, bytes: &[u8]) -> u64 {
        let mut state = self.shared.lock();
        let id = state.mint.next(self.shared.now_ms());
        let url = format!("{}/attachments/1/{id}/{name}", self.shared.url);
        let json = serde_json::json!({
            "id": id.to_string(), "filename": name, "size": bytes.len(), "url": url,
            "proxy_url": url, "content_type": "text/plain; charset=utf-8", "ephemeral": true,
        });
        state.uploads.insert(id, json);
        let kept = crate::state::Attachment {
            content_type: "text/plain; charset=utf-8".to_owned(),
            bytes: bytes.to_vec().into(),
        };
        state.keep_attachment(id, kept);
        id
    }

    /// Types into an autocompleted option and returns what is offered.
    ///
    /// # Errors
    /// When the option has no autocompletion or the bot does not answer in time.
    pub async fn autocomplete(
        &self,
        user: impl Into<Who>,
        channel: impl Into<Where>,
        text: &str,
        focused: &str,
    ) -> Result<Completion, Refused> {
        let place = self.place(user.into(), channel.into())?;
        interact::autocomplete(&self.shared, place, text, focused).await
    }

    /// Presses a button, named by its custom_id or its label.
    ///
    /// # Errors
    /// When the message has no such enabled button, or this person cannot see it.
    pub async fn press(
        &self,
        message: u64,
        user: impl Into<Who>,
        button: &str,
    ) -> Result<Answer, Refused> {
        let (user, custom_id) = {
            let state = self.shared.lock();
            let custom_id = state.find_message(message).and_then(|message| {
                let list = interact::all_components(&message.json["components"]);
                let by_id = list.iter().find(|one| one["custom_id"] == button);
                let found = by_id.or_else(|| list.iter().find(|one| one["label"] == button))?;
                found["custom_id"].as_str().map(str::to_owned)
            });
            (user_id(&state, &user.into())?, custom_id.unwrap_or_else(|| button.to_owned()))
        };
        interact::component(&self.shared, message, user, &custom_id, None, false).await
    }

    /// Sends a component interaction that the client would never send.
    ///
    /// # Errors
    /// When the message or user does not exist.
    pub async fn press_forged(
        &self,
        message: u64,
        user: impl Into<Who>,
        custom_id: &str,
    ) -> Result<Answer, Refused> {
        let user = user_id(&self.shared.lock(), &user.into())?;
        interact::component(&self.shared, message, user, custom_id, None, true).await
    }

    /// Chooses values in a select menu.
    ///
    /// # Errors
    /// When the message has no such menu or the menu no such values.
    pub async fn select(
        &self,
        message: u64,
        user: impl Into<Who>,
        custom_id: &str,
        values: &[&str],
    ) -> Result<Answer, Refused> {
        let user = user_id(&self.shared.lock(), &user.into())?;
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        interact::component(&self.shared, message, user, custom_id, Some(values), false).await
    }

    /// Fills in and sends the modal that the interaction `opened_by` opened; `values` is an
    /// object of custom_id → text.
    ///
    /// # Errors
    /// When there is no such modal for this person, or the values break its own limits.
    pub async fn submit(
        &self,
        opened_by: u64,
        user: impl Into<Who>,
        values: &Value,
    ) -> Result<Answer, Refused> {
        let user = user_id(&self.shared.lock(), &user.into())?;
        interact::modal(&self.shared, opened_by, user, values).await
    }

    /// A person writes a plain message; returns its id.
    ///
    /// # Errors
    /// When they may not.
    pub fn say(
        &self,
        user: impl Into<Who>,
        channel: impl Into<Where>,
        text: &str,
    ) -> Result<u64, Refused> {
        let place = self.place(user.into(), channel.into())?;
        control::say(&self.shared, place.channel_id, place.user_id, text)
    }

    /// Messages of a channel as this person sees them, oldest first, with the `twin` extras.
    ///
    /// # Errors
    /// When the person cannot see the channel.
    pub fn messages(
        &self,
        channel: impl Into<Where>,
        viewer: impl Into<Who>,
    ) -> Result<Vec<Value>, Refused> {
        let (channel, viewer) = {
            let state = self.shared.lock();
            (channel_id(&state, &channel.into())?, user_id(&state, &viewer.into())?)
        };
        control::messages(&self.shared, channel, viewer, usize::MAX)
    }

    /// Turns a channel into a forum with these tags: its posts are threads, and nobody writes in itself.
    pub fn becomes_forum(&self, channel: u64, tags: &[&str]) {
        let mut state = self.shared.lock();
        let now = self.shared.now_ms();
        let tags = tags.iter().map(|t| (state.mint.next(now), (*t).to_owned())).collect();
        if let Some(channel) = state.channel_mut(channel) {
            channel.kind = 15;
            channel.tags = tags;
        }
    }

    /// From now on a forum takes no post without a tag.
    pub fn requires_tags(&self, forum: u64) {
        if let Some(channel) = self.shared.lock().channel_mut(forum) {
            channel.requires_tag = true;
        }
    }

    /// Archives a thread or a post, as Discord does by itself after a while.
    pub fn archives(&self, thread: u64) {
        let mut state = self.shared.lock();
        if let Some(thread) = state.channel_mut(thread).and_then(|c| c.thread.as_mut()) {
            thread.archived = true;
        }
    }

    /// Threads of a channel or posts of a forum, oldest first: id, name and tags.
    pub fn threads(&self, parent: u64) -> Vec<(u64, String, Vec<String>)> {
        let state = self.shared.lock();
        let channels = state.world.guilds.values().flat_map(|guild| &guild.channels);
        let mut all: Vec<_> = channels
            .filter(|c| c.thread.is_some() && c.parent_id == Some(parent))
            .map(|c| (c.id, c.name.clone(), c.tags.iter().map(|(_, name)| name.clone()).collect()))
            .collect();
        all.sort();
        all
    }

    /// One message by id, ephemeral or not, with the `twin` extras.
    pub fn message(&self, id: u64) -> Option<Value> {
        let state = self.shared.lock();
        state.find_message(id).map(|message| with_extras(&state, message))
    }

    /// Commands a person may see in the guild of a channel.
    ///
    /// # Errors
    /// When the channel or person does not exist.
    pub fn commands(
        &self,
        user: impl Into<Who>,
        channel: impl Into<Where>,
    ) -> Result<Vec<Value>, Refused> {
        let place = self.place(user.into(), channel.into())?;
        let state = self.shared.lock();
        let list = crate::slash::visible(&state, place.guild_id, place.user_id);
        Ok(list.into_iter().map(|command| command.json.clone()).collect())
    }

    /// Every REST request of the bot, oldest first (bounded; see [`Self::log_dropped`]).
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.lock().log.iter().cloned().collect()
    }

    /// Requests that no longer fit into the log.
    pub fn log_dropped(&self) -> u64 {
        self.shared.lock().log_dropped
    }

    /// Empties the log.
    pub fn clear_log(&self) {
        let mut state = self.shared.lock();
        state.log.clear();
        state.log_dropped = 0;
    }

    /// What happened at the gateway, oldest first.
    pub fn gateway_history(&self) -> Vec<GatewayEvent> {
        self.shared.lock().gateway.history.iter().cloned().collect()
    }

    /// Gateway sessions as JSON: shard, seq, whether connected.
    pub fn sessions(&self) -> Value {
        gateway::sessions(&self.shared.lock())
    }

    /// Sets the number of identifies left today.
    pub fn set_session_starts_left(&self, remaining: u32) {
        self.shared.lock().gateway.limit.remaining = remaining;
    }

    /// 401, 403 and 429 answers in the current ten minutes (429 `shared` does not count).
    pub fn invalid_requests(&self) -> u32 {
        self.shared.lock().limiter.invalid_count(self.shared.now_ms())
    }

    /// Starts a trouble; returns its number (0 for those that act at once).
    pub fn trouble(&self, trouble: Trouble) -> u64 {
        control::make_trouble(&self.shared, trouble)
    }

    /// Troubles in force.
    pub fn troubles(&self) -> Vec<Active> {
        self.shared.lock().troubles.list.clone()
    }

    /// Ends one trouble.
    pub fn end_trouble(&self, id: u64) {
        control::end_troubles(&self.shared, Some(id));
    }

    /// Ends all troubles.
    pub fn end_troubles(&self) {
        control::end_troubles(&self.shared, None);
    }

    /// Moves the twin's clock forward: deadlines, token lives and rate-limit windows pass.
    pub fn advance(&self, by: Duration) {
        control::advance(&self.shared, by);
    }

    /// Takes away or gives back a member's roles.
    ///
    /// # Errors
    /// When the guild or member does not exist.
    pub fn set_roles(
        &self,
        guild: u64,
        user: impl Into<Who>,
        roles: &[u64],
    ) -> Result<(), Refused> {
        let mut state = self.shared.lock();
        let user = user_id(&state, &user.into())?;
        let guild = state.world.guilds.get_mut(&guild).ok_or("There is no such guild.")?;
        let member = guild.members.iter_mut().find(|member| member.user_id == user);
        roles.clone_into(&mut member.ok_or("There is no such member.")?.roles);
        Ok(())
    }
}

fn user_id(state: &State, who: &Who) -> Result<u64, Refused> {
    let mut users = state.world.users.values();
    let found = match who {
        Who::Id(id) => users.find(|user| user.id == *id),
        Who::Name(name) => users.find(|user| user.username == *name),
    };
    found.map(|user| user.id).ok_or_else(|| Refused(format!("There is no such user: {who:?}.")))
}

fn channel_id(state: &State, place: &Where) -> Result<u64, Refused> {
    let missing = || Refused(format!("There is no such channel: {place:?}."));
    match place {
        Where::Id(id) => state.channel(*id).map(|channel| channel.id).ok_or_else(missing),
        Where::Name(name) => {
            let mut channels = state.world.guilds.values().flat_map(|guild| &guild.channels);
            let found = channels.find(|channel| channel.name == *name && channel.kind != 4);
            found.map(|channel| channel.id).ok_or_else(missing)
        }
    }
}
