//! Threads: from a message, standing alone, renamed, archived, locked.

use serde_json::{Value, json};

use super::channel::{access, need};
use super::{Call, Reply, ok};
use crate::check::{self, Kind};
use crate::fault::{Fault, Findings};
use crate::gateway::intent;
use crate::message::{self, Origin};
use crate::permission;
use crate::render;
use crate::state::State;
use crate::world::{APPLICATION_ID, Channel, Thread};

/// Minutes after which a silent thread may be put away.
const AUTO_ARCHIVE: [u64; 4] = [60, 1440, 4320, 10_080];
/// Flag of a message that has a thread.
const HAS_THREAD: u64 = 1 << 5;

pub(super) fn serve(state: &mut State, template: &str, call: Call<'_>) -> Reply {
    let parent = call.id(0);
    let bits = access(state, parent)?;
    if state.channel(parent).is_some_and(|channel| channel.kind == 15) {
        need(bits & permission::SEND_MESSAGES != 0)?;
        return post(state, call);
    }
    let call = &call;
    need(bits & permission::CREATE_PUBLIC_THREADS != 0)?;
    let from_message = template.contains("{message_id}");
    let mut found = Findings::default();
    check::object(
        &mut found,
        "",
        &call.body,
        &[
            check::req("name", Kind::Text(1, 100)),
            check::opt("auto_archive_duration", Kind::Int(60, 10_080)),
            check::opt("type", Kind::Int(10, 12)),
            check::opt("invitable", Kind::Bool),
            check::opt("rate_limit_per_user", Kind::Int(0, 21_600)),
        ],
    );
    let minutes = call.body["auto_archive_duration"].as_u64().unwrap_or(4320);
    if !AUTO_ARCHIVE.contains(&minutes) {
        let message = "Value must be one of {60, 1440, 4320, 10080}.";
        found.add("auto_archive_duration", "BASE_TYPE_CHOICES", message);
    }
    found.into_result()?;
    let guild = state.guild_of_channel(parent).map(|guild| guild.id);
    let Some(guild_id) = guild else {
        return Err(Fault::new(400, 50_024, "Cannot execute action on this channel type"));
    };
    let id = if from_message {
        let starter = state
            .message_mut(parent, call.id(1))
            .filter(|message| message.ephemeral_for.is_none())
            .ok_or_else(|| Fault::unknown("Message"))?;
        if starter.flags() & HAS_THREAD != 0 {
            let message = "A thread has already been created for this message";
            return Err(Fault::new(400, 160_004, message));
        }
        starter.json["flags"] = json!(starter.flags() | HAS_THREAD);
        call.id(1)
    } else {
        state.mint.next(call.shared.now_ms())
    };
    let kind = call.body["type"].as_u64().and_then(|kind| u8::try_from(kind).ok()).unwrap_or(11);
    let thread = Channel {
        id,
        guild_id: guild,
        name: call.body["name"].as_str().unwrap_or_default().trim().to_owned(),
        kind,
        topic: None,
        parent_id: Some(parent),
        position: 0,
        overwrites: Vec::new(),
        thread: Some(Thread {
            owner_id: APPLICATION_ID,
            archived: false,
            locked: false,
            auto_archive_minutes: minutes,
        }),
        recipient: None,
        tags: Vec::new(),
        requires_tag: false,
    };
    let mut value = render::channel(&state.world, &thread, None);
    if let Some(guild) = state.world.guilds.get_mut(&guild_id) {
        guild.channels.push(thread);
    }
    if from_message {
        if let Some(starter) = state.message_mut(parent, call.id(1)) {
            starter.json["thread"] = value.clone();
        }
        call.shared.emit_message("message_update", parent, call.id(1));
    } else {
        let note = Origin { kind: 18, ..Origin::plain(parent, APPLICATION_ID) };
        let body = json!({"content": value["name"], "allowed_mentions": {"parse": []}});
        message::create(call.shared, state, &note, &body, Vec::new())?;
    }
    value["newly_created"] = json!(true);
    state.dispatch("THREAD_CREATE", &value, guild, intent::GUILDS, call.shared.now_ms());
    call.shared.emit(json!({"type": "channels_changed", "channel_id": id.to_string()}));
    Ok((201, value))
}

/// A post in a forum: a thread and its first message, which have one id.
fn post(state: &mut State, call: Call<'_>) -> Reply {
    let parent = call.id(0);
    let mut found = Findings::default();
    check::object(
        &mut found,
        "",
        &call.body,
        &[
            check::req("name", Kind::Text(1, 100)),
            check::opt("auto_archive_duration", Kind::Int(60, 10_080)),
            check::opt("rate_limit_per_user", Kind::Int(0, 21_600)),
            check::req("message", Kind::Object),
            check::opt("applied_tags", Kind::List(0, 5)),
        ],
    );
    check::message(&mut found, "message", &call.body["message"], check::Body::Post, false);
    found.into_result()?;
    let tags = tags_of(state, parent, &call.body["applied_tags"])?;
    let now = call.shared.now_ms();
    let id = state.mint.next(now);
    let guild = state.guild_of_channel(parent).map(|guild| guild.id);
    let thread = Channel {
        id,
        guild_id: guild,
        name: call.body["name"].as_str().unwrap_or_default().trim().to_owned(),
        kind: 11,
        topic: None,
        parent_id: Some(parent),
        position: 0,
        overwrites: Vec::new(),
        thread: Some(Thread {
            owner_id: APPLICATION_ID,
            archived: false,
            locked: false,
            auto_archive_minutes: call.body["auto_archive_duration"].as_u64().unwrap_or(4320),
        }),
        recipient: None,
        tags,
        requires_tag: false,
    };
    let mut value = render::channel(&state.world, &thread, Some(id));
    if let Some(guild) = guild.and_then(|guild| state.world.guilds.get_mut(&guild)) {
        guild.channels.push(thread);
    }
    let origin = Origin { id: Some(id), ..Origin::plain(id, APPLICATION_ID) };
    message::create(call.shared, state, &origin, &call.body["message"], call.uploads)?;
    let first = state.message(id, id).map(|message| message.json.clone());
    value["newly_created"] = json!(true);
    state.dispatch("THREAD_CREATE", &value, guild, intent::GUILDS, now);
    value["message"] = json!(first);
    call.shared.emit(json!({"type": "channels_changed", "channel_id": id.to_string()}));
    Ok((201, value))
}

/// The tags of a forum that these ids name.
fn tags_of(state: &State, forum: u64, ids: &Value) -> Result<Vec<(u64, String)>, Fault> {
    let known = state.channel(forum).map(|channel| channel.tags.clone()).unwrap_or_default();
    let ids = ids.as_array().into_iter().flatten();
    let tags: Vec<(u64, String)> = ids
        .map(|id| {
            let id: Option<u64> = id.as_str().and_then(|id| id.parse().ok());
            let tag = known.iter().find(|(known, _)| Some(*known) == id).cloned();
            tag.ok_or_else(|| Fault::new(400, 10_087, "Unknown Tag"))
        })
        .collect::<Result<_, _>>()?;
    let needed = state.channel(forum).is_some_and(|channel| channel.requires_tag);
    if needed && tags.is_empty() {
        let message = "A tag is required to create a forum post in this channel";
        return Err(Fault::new(400, 40_067, message));
    }
    Ok(tags)
}

/// Counts a message in the thread it was written in, where its starter shows it.
pub(super) fn count(state: &mut State, shared: &crate::state::Shared, thread: u64) {
    let parent = state.channel(thread).filter(|c| c.thread.is_some()).and_then(|c| c.parent_id);
    let Some(parent) = parent else { return };
    let Some(starter) = state.message_mut(parent, thread) else { return };
    let count = starter.json["thread"]["message_count"].as_u64().unwrap_or(0) + 1;
    starter.json["thread"]["message_count"] = json!(count);
    shared.emit_message("message_update", parent, thread);
}

/// `PATCH /channels/{id}`: threads only; the bot has no business changing channels.
pub(super) fn edit(state: &mut State, call: &Call<'_>) -> Reply {
    let id = call.id(0);
    let bits = state.permissions(id, APPLICATION_ID);
    let mut found = Findings::default();
    check::object(
        &mut found,
        "",
        &call.body,
        &[
            check::opt("name", Kind::Text(1, 100)),
            check::opt("archived", Kind::Bool),
            check::opt("locked", Kind::Bool),
            check::opt("invitable", Kind::Bool),
            check::opt("auto_archive_duration", Kind::Int(60, 10_080)),
            check::opt("rate_limit_per_user", Kind::Int(0, 21_600)),
            check::opt("flags", Kind::Int(0, i64::MAX)),
            check::opt("applied_tags", Kind::List(0, 5)),
        ],
    );
    found.into_result()?;
    let forum = state.channel(id).and_then(|channel| channel.parent_id);
    let tags = match (&call.body["applied_tags"], forum) {
        (Value::Array(_), Some(forum)) => Some(tags_of(state, forum, &call.body["applied_tags"])?),
        _ => None,
    };
    let Some(channel) = state.channel_mut(id) else { return Err(Fault::unknown("Channel")) };
    if let Some(tags) = tags {
        channel.tags = tags;
    }
    let Some(thread) = channel.thread.as_mut() else { return Err(Fault::missing_permissions()) };
    let own = thread.owner_id == APPLICATION_ID;
    need(own || bits & permission::MANAGE_THREADS != 0)?;
    if let Some(locked) = call.body["locked"].as_bool() {
        need(bits & permission::MANAGE_THREADS != 0)?;
        thread.locked = locked;
    }
    if let Some(archived) = call.body["archived"].as_bool() {
        thread.archived = archived;
    }
    if let Some(minutes) = call.body["auto_archive_duration"].as_u64() {
        thread.auto_archive_minutes = minutes;
    }
    if let Some(name) = call.body["name"].as_str() {
        name.trim().clone_into(&mut channel.name);
    }
    let guild = channel.guild_id;
    let Some(channel) = state.channel(id) else { return Err(Fault::unknown("Channel")) };
    let value: Value = render::channel(&state.world, channel, state.last_message(id));
    state.dispatch("THREAD_UPDATE", &value, guild, intent::GUILDS, call.shared.now_ms());
    call.shared.emit(json!({"type": "channels_changed", "channel_id": id.to_string()}));
    ok(value)
}
