//! From a checked body to a message object: embeds and components as Discord returns them,
//! attachments, and whom the message pings. Called by every door that writes messages.

mod mention;
mod normal;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use mention::mentions;
use normal::{embed, embed_urls, number, resolve_media};

use crate::check::{COMPONENTS_V2, EPHEMERAL, LOADING};
use crate::clock::timestamp;
use crate::fault::Fault;
use crate::gateway::intent;
use crate::render;
use crate::snowflake;
use crate::state::{Attachment, Shared, State, Stored};
use crate::world::APPLICATION_ID;

/// Bytes of one uploaded file.
pub(crate) const FILE_BYTES: usize = 10 << 20;

/// A file as uploaded, `n` being the number in `files[n]`.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) n: u64,
    pub(crate) filename: String,
    pub(crate) content_type: String,
    pub(crate) bytes: Bytes,
}

/// What a new message is made of besides its body.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) channel_id: u64,
    pub(crate) author_id: u64,
    /// Message type: 0 plain, 19 reply, 20 slash command, 18/21 thread notes.
    pub(crate) kind: u8,
    pub(crate) extra_flags: u64,
    pub(crate) interaction_id: Option<u64>,
    pub(crate) ephemeral_for: Option<u64>,
    pub(crate) thinking: bool,
    /// Its id where that is given: a forum's post has the id of its thread.
    pub(crate) id: Option<u64>,
}

impl Origin {
    pub(crate) fn plain(channel_id: u64, author_id: u64) -> Self {
        Self {
            channel_id,
            author_id,
            kind: 0,
            extra_flags: 0,
            interaction_id: None,
            ephemeral_for: None,
            thinking: false,
            id: None,
        }
    }
}

/// Creates a message from a checked body and tells everyone. Returns its id.
pub(crate) fn create(
    shared: &Shared,
    state: &mut State,
    origin: &Origin,
    body: &Value,
    uploads: Vec<Upload>,
) -> Result<u64, Fault> {
    let now = shared.now_ms();
    let id = origin.id.unwrap_or_else(|| state.mint.next(now));
    let mut stored = Stored {
        json: json!({
            "id": id.to_string(), "channel_id": origin.channel_id.to_string(),
            "type": origin.kind, "content": "", "embeds": [], "components": [],
            "attachments": [], "mentions": [], "mention_roles": [], "mention_everyone": false,
            "author": render::user_by_id(&state.world, origin.author_id),
            "timestamp": timestamp(now), "edited_timestamp": null, "pinned": false, "tts": false,
            "flags": origin.extra_flags,
        }),
        ephemeral_for: origin.ephemeral_for,
        thinking: origin.thinking,
        failed: None,
        interaction_id: origin.interaction_id,
        edited: false,
        pings: json!({"everyone": false, "users": [], "roles": []}),
        files: BTreeMap::new(),
    };
    if let Some(interaction) = origin.interaction_id.and_then(|id| state.interactions.get(&id)) {
        stored.json["webhook_id"] = json!(APPLICATION_ID.to_string());
        stored.json["application_id"] = json!(APPLICATION_ID.to_string());
        stored.json["interaction_metadata"] = interaction.metadata.clone();
        if interaction.kind == 2 {
            stored.json["interaction"] = json!({
                "id": interaction.id.to_string(), "type": 2,
                "name": interaction.name.trim_start_matches('/'),
                "user": render::user_by_id(&state.world, interaction.user_id),
            });
        }
    }
    if let Some(nonce) = body.get("nonce").filter(|nonce| !nonce.is_null()) {
        stored.json["nonce"] = nonce.clone();
    }
    if let Some(reference) = body.get("message_reference").filter(|value| value.is_object()) {
        reply(state, &mut stored, origin.channel_id, reference)?;
    }
    apply(shared, state, &mut stored, body, uploads)?;
    if !origin.thinking && !matches!(origin.kind, 18 | 21) && is_empty(&stored.json) {
        return Err(Fault::empty_message());
    }
    let pings = mentions(state, &stored.json, body.get("allowed_mentions"));
    // A thread's or command's own words ping nobody; an ephemeral message reaches one person.
    stored.pings =
        json!({"everyone": pings["everyone"], "users": pings["users"], "roles": pings["roles"]});
    store(shared, state, stored, "MESSAGE_CREATE");
    Ok(id)
}

/// Edits a message by a checked body and tells everyone.
pub(crate) fn edit(
    shared: &Shared,
    state: &mut State,
    (channel, id): (u64, u64),
    body: &Value,
    uploads: Vec<Upload>,
) -> Result<(), Fault> {
    let Some(mut stored) = state.message(channel, id).cloned() else {
        return Err(Fault::unknown("Message"));
    };
    let before = stored.json.clone();
    let was_thinking = std::mem::replace(&mut stored.thinking, false);
    let flags = stored.flags() & !LOADING;
    stored.json["flags"] = json!(flags);
    apply(shared, state, &mut stored, body, uploads)?;
    if is_empty(&stored.json) {
        return Err(Fault::empty_message());
    }
    if was_thinking {
        // A deferred response that is filled in counts as new: it pings now.
        stored.pings = mentions(state, &stored.json, body.get("allowed_mentions"));
    } else if stored.json != before || body.as_object().is_some_and(|map| !map.is_empty()) {
        stored.json["edited_timestamp"] = json!(timestamp(shared.now_ms()));
        stored.edited = true;
    }
    store(shared, state, stored, "MESSAGE_UPDATE");
    Ok(())
}

/// Deletes a message and tells everyone.
pub(crate) fn delete(shared: &Shared, state: &mut State, channel: u64, id: u64) -> bool {
    let Some(old) = state.messages.get_mut(&channel).and_then(|list| list.remove(&id)) else {
        return false;
    };
    let guild = state.guild_of_channel(channel).map(|guild| guild.id);
    if old.ephemeral_for.is_none() {
        let mut data = json!({"id": id.to_string(), "channel_id": channel.to_string()});
        if let Some(guild) = guild {
            data["guild_id"] = json!(guild.to_string());
        }
        let bit = if guild.is_some() { intent::GUILD_MESSAGES } else { intent::DIRECT_MESSAGES };
        state.dispatch("MESSAGE_DELETE", &data, guild, bit, shared.now_ms());
    }
    shared.emit_message("message_delete", channel, id);
    true
}

/// Keeps a message and sends the events. Ephemeral ones are not told at the gateway.
pub(crate) fn store(shared: &Shared, state: &mut State, stored: Stored, event: &str) {
    let (channel, id) = (stored.channel_id(), stored.id());
    let guild = state.guild_of_channel(channel).map(|guild| guild.id);
    if stored.ephemeral_for.is_none() {
        let mut data = stored.json.clone();
        if let Some(guild) = guild.and_then(|id| state.world.guilds.get(&id)) {
            data["guild_id"] = json!(guild.id.to_string());
            if let Some(member) = guild.member(stored.author_id()) {
                data["member"] = render::member_partial(member);
            }
        }
        let bit = if guild.is_some() { intent::GUILD_MESSAGES } else { intent::DIRECT_MESSAGES };
        state.dispatch(event, &data, guild, bit, shared.now_ms());
    }
    state.keep_message(stored);
    shared.emit_message(&event.to_lowercase(), channel, id);
}

fn reply(state: &State, stored: &mut Stored, channel: u64, reference: &Value) -> Result<(), Fault> {
    let target = reference.get("message_id").and_then(snowflake::from_json);
    let found = target.and_then(|id| state.message(channel, id));
    match (target, found) {
        (Some(id), Some(original)) => {
            stored.json["type"] = json!(19);
            stored.json["message_reference"] =
                json!({"type": 0, "message_id": id.to_string(), "channel_id": channel.to_string()});
            stored.json["referenced_message"] = original.json.clone();
            Ok(())
        }
        (Some(_), None) if reference["fail_if_not_exists"] != false => Err(Fault::form(
            "message_reference",
            "MESSAGE_REFERENCE_UNKNOWN_MESSAGE",
            "Unknown message",
        )),
        _ => Ok(()),
    }
}

/// Writes the body's keys into the message object; absent keys stay as they are.
fn apply(
    shared: &Shared,
    state: &mut State,
    stored: &mut Stored,
    body: &Value,
    uploads: Vec<Upload>,
) -> Result<(), Fault> {
    let empty = Map::new();
    let map = body.as_object().unwrap_or(&empty);
    let ephemeral = stored.ephemeral_for.is_some();
    if let Some(flags) = map.get("flags").and_then(Value::as_u64) {
        // Ephemerality is decided when a response is created, never later.
        let kept = stored.flags() & (EPHEMERAL | LOADING | (1 << 5) | COMPONENTS_V2);
        let asked = flags & !EPHEMERAL;
        stored.json["flags"] = json!(kept | asked | if ephemeral { EPHEMERAL } else { 0 });
    } else if ephemeral {
        stored.json["flags"] = json!(stored.flags() | EPHEMERAL);
    }
    if stored.flags() & COMPONENTS_V2 != 0 && map.contains_key("flags") {
        stored.json["content"] = json!("");
        stored.json["embeds"] = json!([]);
    }
    if let Some(content) = map.get("content") {
        stored.json["content"] = json!(content.as_str().unwrap_or_default().trim());
    }
    if let Some(tts) = map.get("tts").and_then(Value::as_bool) {
        stored.json["tts"] = json!(tts);
    }
    attach(shared, state, stored, map.get("attachments"), uploads)?;
    if let Some(embeds) = map.get("embeds") {
        let list = embeds.as_array().map_or(&[][..], Vec::as_slice);
        let made: Result<Vec<Value>, Fault> =
            list.iter().enumerate().map(|(n, one)| embed(one, n, &stored.files)).collect();
        stored.json["embeds"] = json!(made?);
    }
    if let Some(components) = map.get("components") {
        let mut list = if components.is_array() { components.clone() } else { json!([]) };
        let mut next = 1;
        number(&mut list, &mut next);
        resolve_media(&mut list, &stored.files);
        stored.json["components"] = list;
    }
    let shown: Vec<String> = embed_urls(&stored.json["embeds"]);
    if let Some(list) = stored.json["attachments"].as_array_mut() {
        list.retain(|one| !shown.iter().any(|url| one["url"] == url.as_str()));
    }
    if map.contains_key("content")
        || map.contains_key("components")
        || map.contains_key("allowed_mentions")
    {
        let found = mentions(state, &stored.json, map.get("allowed_mentions"));
        stored.json["mention_everyone"] = found["everyone"].clone();
        stored.json["mention_roles"] = found["roles"].clone();
        let users = found["users"].as_array().into_iter().flatten();
        let users: Vec<Value> = users
            .filter_map(snowflake::from_json)
            .map(|id| render::user_by_id(&state.world, id))
            .collect();
        stored.json["mentions"] = json!(users);
    }
    Ok(())
}

fn attach(
    shared: &Shared,
    state: &mut State,
    stored: &mut Stored,
    listed: Option<&Value>,
    uploads: Vec<Upload>,
) -> Result<(), Fault> {
    let entries = listed.and_then(Value::as_array);
    let about = |n: u64| {
        entries.into_iter().flatten().find(|entry| snowflake::from_json(&entry["id"]) == Some(n))
    };
    let existing = stored.json["attachments"].as_array().cloned().unwrap_or_default();
    let mut kept: Vec<Value> = match listed {
        None => existing.clone(),
        Some(_) => {
            let keep = |one: &&Value| {
                snowflake::from_json(&one["id"]).is_some_and(|id| about(id).is_some())
            };
            existing.iter().filter(keep).cloned().collect()
        }
    };
    for (n, entry) in entries.into_iter().flatten().enumerate() {
        let id = snowflake::from_json(&entry["id"]);
        let known = existing.iter().any(|one| snowflake::from_json(&one["id"]) == id)
            || uploads.iter().any(|upload| Some(upload.n) == id)
            || stored
                .files
                .values()
                .any(|url| id.is_some_and(|id| url.contains(&format!("/{id}/"))));
        if !known {
            let message = "This attachment was neither uploaded nor is it on the message";
            return Err(Fault::form(
                &format!("attachments.{n}.id"),
                "ATTACHMENT_NOT_FOUND",
                message,
            ));
        }
    }
    for upload in uploads {
        if upload.bytes.len() > FILE_BYTES {
            return Err(Fault::new(413, 40_005, "Request entity too large"));
        }
        let entry = about(upload.n);
        let id = state.mint.next(shared.now_ms());
        let name = entry.and_then(|entry| entry["filename"].as_str()).unwrap_or(&upload.filename);
        let name: String = name
            .chars()
            .map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' })
            .collect();
        let url = format!("{}/attachments/{}/{id}/{name}", shared.url, stored.channel_id());
        let (width, height) = png_size(&upload.bytes).unzip();
        let mut one = json!({
            "id": id.to_string(), "filename": name, "size": upload.bytes.len(), "url": url,
            "proxy_url": url, "content_type": upload.content_type,
        });
        if width.is_some() {
            one["width"] = json!(width);
            one["height"] = json!(height);
        }
        if let Some(description) = entry.and_then(|entry| entry["description"].as_str()) {
            one["description"] = json!(description);
        }
        if stored.ephemeral_for.is_some() {
            one["ephemeral"] = json!(true);
        }
        stored.files.insert(name, url);
        kept.push(one);
        let attachment = Attachment { content_type: upload.content_type, bytes: upload.bytes };
        state.keep_attachment(id, attachment);
    }
    stored.json["attachments"] = json!(kept);
    Ok(())
}

/// Width and height out of a PNG's header.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let word = |from: usize| Some(u32::from_be_bytes(header.get(from..from + 4)?.try_into().ok()?));
    Some((word(8)?, word(12)?))
}

fn is_empty(message: &Value) -> bool {
    let none = |key: &str| message[key].as_array().is_none_or(Vec::is_empty);
    message["content"] == "" && none("embeds") && none("components") && none("attachments")
}

/// A message with the extras of the control API.
pub(crate) fn with_extras(state: &State, stored: &Stored) -> Value {
    let mut value = stored.json.clone();
    let interaction = stored.interaction_id.and_then(|id| state.interactions.get(&id)).map(|one| {
        json!({"id": one.id.to_string(), "user_id": one.user_id.to_string(), "name": one.name})
    });
    value["twin"] = json!({
        "ephemeral_for": stored.ephemeral_for.map(|id| id.to_string()),
        "thinking": stored.thinking, "failed": stored.failed, "interaction": interaction,
        "edited": stored.edited, "pings": stored.pings,
    });
    value
}
