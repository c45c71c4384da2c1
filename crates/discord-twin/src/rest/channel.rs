//! Channels and their messages: create, edit, delete, read, react, pin, typing.

use serde_json::{Value, json};

use super::{Call, Reply, nothing, ok};
use crate::check::{self, Body};
use crate::fault::{Fault, Findings};
use crate::gateway::intent;
use crate::message::{self, Origin};
use crate::permission;
use crate::render;
use crate::state::{State, Stored};
use crate::world::APPLICATION_ID;

/// How long a nonce makes creation idempotent; the documentation says "the past few minutes".
const NONCE_MS: u64 = 300_000;
/// Pinned messages per channel.
const PINS: usize = 250;
/// Different reactions per message.
const REACTIONS: usize = 20;

pub(super) fn serve(state: &mut State, method: &str, template: &str, call: Call<'_>) -> Reply {
    let channel = call.id(0);
    let bits = access(state, channel)?;
    let rest = template.strip_prefix("/channels/{channel_id}").unwrap_or(template);
    match (method, rest) {
        ("GET", "") => {
            let found = state.channel(channel).ok_or_else(|| Fault::unknown("Channel"))?;
            ok(render::channel(&state.world, found, state.last_message(channel)))
        }
        ("PATCH", "") => super::thread::edit(state, &call),
        ("GET", "/messages") => history(state, &call),
        ("POST", "/messages") => create(state, call, bits),
        ("POST", "/typing") => nothing(),
        ("GET", "/pins") => ok(json!(pins(state, channel))),
        ("GET", "/messages/pins") => {
            let items: Vec<Value> = pins(state, channel)
                .into_iter()
                .map(|one| json!({"pinned_at": one["timestamp"], "message": one}))
                .collect();
            ok(json!({"items": items, "has_more": false}))
        }
        ("GET", "/messages/{message_id}") => ok(visible(state, channel, call.id(1))?.json.clone()),
        ("PATCH", "/messages/{message_id}") => edit(state, call),
        ("DELETE", "/messages/{message_id}") => {
            let own = visible(state, channel, call.id(1))?.author_id() == APPLICATION_ID;
            need(own || bits & permission::MANAGE_MESSAGES != 0)?;
            message::delete(call.shared, state, channel, call.id(1));
            nothing()
        }
        ("PUT" | "DELETE", "/pins/{message_id}" | "/messages/pins/{message_id}") => {
            need(bits & permission::MANAGE_MESSAGES != 0)?;
            pin(state, &call, method == "PUT")
        }
        (_, reactions) if reactions.contains("/reactions") => react(state, method, &call, bits),
        _ => Err(Fault::not_found()),
    }
}

/// The bot's permissions in a channel it can see.
pub(super) fn access(state: &State, channel: u64) -> Result<u64, Fault> {
    state.channel(channel).ok_or_else(|| Fault::unknown("Channel"))?;
    let bits = state.permissions(channel, APPLICATION_ID);
    if bits & permission::VIEW_CHANNEL == 0 { Err(Fault::missing_access()) } else { Ok(bits) }
}

pub(super) fn need(granted: bool) -> Result<(), Fault> {
    if granted { Ok(()) } else { Err(Fault::missing_permissions()) }
}

/// A message that the channel endpoints can see; ephemeral ones are not among them.
fn visible(state: &State, channel: u64, id: u64) -> Result<&Stored, Fault> {
    let found = state.message(channel, id).filter(|message| message.ephemeral_for.is_none());
    found.ok_or_else(|| Fault::unknown("Message"))
}

fn history(state: &State, call: &Call<'_>) -> Reply {
    let channel = call.id(0);
    let bits = state.permissions(channel, APPLICATION_ID);
    if bits & permission::READ_MESSAGE_HISTORY == 0 {
        return ok(json!([]));
    }
    let number = |key: &str| call.query(key).and_then(|text| text.parse::<u64>().ok());
    let limit = match call.query("limit") {
        None => 50,
        Some(text) => text.parse().unwrap_or(0),
    };
    if !(1..=100).contains(&limit) {
        let message = "int value should be between 1 and 100.";
        return Err(Fault::form("limit", "NUMBER_TYPE_MAX", message));
    }
    let all = state.messages.get(&channel).into_iter().flatten();
    let all = all.filter(|(_, message)| message.ephemeral_for.is_none());
    let json = |message: &Stored| message.json.clone();
    let mut list: Vec<Value> = match (number("after"), number("before"), number("around")) {
        (Some(after), _, _) => {
            all.filter(|(id, _)| **id > after).take(limit).map(|(_, one)| json(one)).collect()
        }
        (_, _, Some(around)) => {
            let mut near: Vec<(u64, Value)> = all.map(|(id, one)| (*id, json(one))).collect();
            near.sort_by_key(|(id, _)| id.abs_diff(around));
            near.truncate(limit);
            near.sort_by_key(|(id, _)| *id);
            near.into_iter().map(|(_, one)| one).collect()
        }
        (_, before, _) => {
            let older = all.filter(|(id, _)| before.is_none_or(|before| **id < before));
            let older: Vec<Value> = older.map(|(_, one)| json(one)).collect();
            older.into_iter().rev().take(limit).rev().collect()
        }
    };
    list.reverse();
    ok(json!(list))
}

fn create(state: &mut State, call: Call<'_>, bits: u64) -> Reply {
    let channel = call.id(0);
    let found = state.channel(channel).ok_or_else(|| Fault::unknown("Channel"))?;
    if matches!(found.kind, 4 | 15) {
        return Err(Fault::new(400, 50_008, "Cannot send messages in a non-text channel"));
    }
    let wanted = if found.thread.is_some() {
        permission::SEND_MESSAGES_IN_THREADS
    } else {
        permission::SEND_MESSAGES
    };
    need(bits & wanted != 0)?;
    if !call.uploads.is_empty() {
        need(bits & permission::ATTACH_FILES != 0)?;
    }
    let mut checked = Findings::default();
    let body = if call.body.is_null() { json!({}) } else { call.body.clone() };
    check::message(&mut checked, "", &body, Body::Create, false);
    if call.uploads.len() > 10 {
        checked.add("attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.");
    }
    checked.into_result()?;
    let now = call.shared.now_ms();
    let nonce = match &body["nonce"] {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let enforced = nonce.filter(|_| body["enforce_nonce"] == true).map(|nonce| (channel, nonce));
    if let Some(key) = &enforced {
        state.nonces.retain(|_, (_, at)| now < *at + NONCE_MS);
        if let Some((id, _)) = state.nonces.get(key)
            && let Some(message) = state.message(channel, *id)
        {
            return ok(message.json.clone());
        }
    }
    if let Some(thread) = state.channel_mut(channel).and_then(|channel| channel.thread.as_mut()) {
        if thread.locked {
            return Err(Fault::new(400, 50_083, "Thread is archived"));
        }
        thread.archived = false;
    }
    let origin = Origin::plain(channel, APPLICATION_ID);
    let id = message::create(call.shared, state, &origin, &body, call.uploads)?;
    super::thread::count(state, call.shared, channel);
    if let Some(key) = enforced {
        state.nonces.insert(key, (id, now));
    }
    ok(state.message(channel, id).map(|message| message.json.clone()).unwrap_or_default())
}

fn edit(state: &mut State, call: Call<'_>) -> Reply {
    let (channel, id) = (call.id(0), call.id(1));
    let old = visible(state, channel, id)?;
    if old.author_id() != APPLICATION_ID {
        return Err(Fault::new(403, 50_005, "Cannot edit a message authored by another user"));
    }
    // Unlike a new message, an edit does not open a thread that is archived.
    if state.channel(channel).and_then(|c| c.thread.as_ref()).is_some_and(|t| t.archived) {
        return Err(Fault::new(400, 50_083, "Thread is archived"));
    }
    let v2 = old.flags() & check::COMPONENTS_V2 != 0;
    let mut checked = Findings::default();
    check::message(&mut checked, "", &call.body, Body::Edit, v2);
    checked.into_result()?;
    message::edit(call.shared, state, (channel, id), &call.body, call.uploads)?;
    ok(visible(state, channel, id)?.json.clone())
}

fn pins(state: &State, channel: u64) -> Vec<Value> {
    let all = state.messages.get(&channel).into_iter().flat_map(|list| list.values().rev());
    all.filter(|message| message.json["pinned"] == true)
        .map(|message| message.json.clone())
        .collect()
}

fn pin(state: &mut State, call: &Call<'_>, pinned: bool) -> Reply {
    let (channel, id) = (call.id(0), call.id(1));
    visible(state, channel, id)?;
    if pinned && pins(state, channel).len() >= PINS {
        return Err(Fault::new(400, 30_003, format!("Maximum number of pins reached ({PINS})")));
    }
    if let Some(message) = state.message_mut(channel, id) {
        message.json["pinned"] = json!(pinned);
    }
    call.shared.emit_message("message_update", channel, id);
    nothing()
}

/// Adds, removes or lists reactions of the bot.
fn react(state: &mut State, method: &str, call: &Call<'_>, bits: u64) -> Reply {
    let (channel, id, emoji) = (call.id(0), call.id(1), call.text(2).to_owned());
    visible(state, channel, id)?;
    if method == "GET" {
        let present =
            visible(state, channel, id)?.json["reactions"].as_array().is_some_and(|list| {
                list.iter().any(|one| one["emoji"]["name"] == emoji.as_str() && one["me"] == true)
            });
        let me = present.then(|| render::user_by_id(&state.world, APPLICATION_ID));
        return ok(json!(me.into_iter().collect::<Vec<_>>()));
    }
    if method == "PUT" {
        need(bits & permission::ADD_REACTIONS != 0)?;
        let custom = emoji.contains(':');
        if emoji.is_empty() || (!custom && emoji.chars().all(|c| c.is_ascii_alphanumeric())) {
            return Err(Fault::new(400, 10_014, "Unknown Emoji"));
        }
    }
    let guild = state.guild_of_channel(channel).map(|guild| guild.id);
    let Some(message) = state.message_mut(channel, id) else {
        return Err(Fault::unknown("Message"));
    };
    if message.json["reactions"].is_null() {
        message.json["reactions"] = json!([]);
    }
    let Some(list) = message.json["reactions"].as_array_mut() else { return nothing() };
    let name = emoji.split(':').next().unwrap_or(&emoji).to_owned();
    let event = match method {
        "PUT" => {
            if list.iter().any(|one| one["emoji"]["name"] == name.as_str()) {
                return nothing();
            }
            if list.len() >= REACTIONS {
                return Err(Fault::new(
                    400,
                    30_010,
                    format!("Maximum number of reactions reached ({REACTIONS})"),
                ));
            }
            let custom = emoji.split_once(':').map(|(_, id)| id.to_owned());
            list.push(json!({
                "emoji": {"id": custom, "name": name}, "count": 1, "me": true, "me_burst": false,
                "count_details": {"burst": 0, "normal": 1}, "burst_colors": [], "burst_count": 0, "burst_me": false,
            }));
            "MESSAGE_REACTION_ADD"
        }
        _ if emoji.is_empty() => {
            list.clear();
            "MESSAGE_REACTION_REMOVE_ALL"
        }
        _ => {
            list.retain(|one| one["emoji"]["name"] != name.as_str());
            "MESSAGE_REACTION_REMOVE"
        }
    };
    let mut data = json!({
        "user_id": APPLICATION_ID.to_string(), "channel_id": channel.to_string(),
        "message_id": id.to_string(), "emoji": {"id": null, "name": name},
        "burst": false, "type": 0, "message_author_id": APPLICATION_ID.to_string(),
    });
    if let Some(guild) = guild {
        data["guild_id"] = json!(guild.to_string());
    }
    state.dispatch(event, &data, guild, intent::GUILD_MESSAGE_REACTIONS, call.shared.now_ms());
    call.shared.emit_message("message_update", channel, id);
    nothing()
}
