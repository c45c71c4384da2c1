//! Message bodies: created, edited, sent as response or follow-up. Which keys are known depends
//! on the door the body comes through; the rules are the same behind each.

use serde_json::Value;

use super::shape::{Key, Kind, at, object, opt, req};
use super::{COMPONENTS_V2, EPHEMERAL, component, embed};
use crate::fault::Findings;
use crate::snowflake;

/// Characters of a message's content.
const CONTENT: usize = 2000;

/// The door a body comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// `POST /channels/{id}/messages`
    Create,
    /// The first message of a forum's post.
    Post,
    /// `PATCH /channels/{id}/messages/{id}`
    Edit,
    /// Data of an interaction response.
    Response,
    /// A follow-up.
    Followup,
    /// Editing the original response or a follow-up.
    WebhookEdit,
}

const CREATE: &[Key] = &[
    opt("content", Kind::Text(0, CONTENT)),
    opt("nonce", Kind::TextOrInt(25)),
    opt("enforce_nonce", Kind::Bool),
    opt("tts", Kind::Bool),
    opt("embeds", Kind::List(0, 10)),
    opt("allowed_mentions", Kind::Object),
    opt("message_reference", Kind::Object),
    opt("components", Kind::List(0, 40)),
    opt("sticker_ids", Kind::List(0, 3)),
    opt("attachments", Kind::List(0, 10)),
    opt("flags", Kind::Int(0, i64::MAX)),
    opt("poll", Kind::Object),
    opt("shared_client_theme", Kind::Object),
];
const POST: &[Key] = &[
    opt("content", Kind::Text(0, CONTENT)),
    opt("embeds", Kind::List(0, 10)),
    opt("allowed_mentions", Kind::Object),
    opt("sticker_ids", Kind::List(0, 3)),
    opt("components", Kind::List(0, 40)),
    opt("flags", Kind::Int(0, i64::MAX)),
    opt("attachments", Kind::List(0, 10)),
    opt("poll", Kind::Object),
    opt("shared_client_theme", Kind::Object),
];
const EDIT: &[Key] = &[
    opt("content", Kind::Text(0, CONTENT)),
    opt("embeds", Kind::List(0, 10)),
    opt("flags", Kind::Int(0, i64::MAX)),
    opt("allowed_mentions", Kind::Object),
    opt("components", Kind::List(0, 40)),
    opt("attachments", Kind::List(0, 10)),
    opt("sticker_ids", Kind::List(0, 3)),
];
const RESPONSE: &[Key] = &[
    opt("tts", Kind::Bool),
    opt("content", Kind::Text(0, CONTENT)),
    opt("embeds", Kind::List(0, 10)),
    opt("allowed_mentions", Kind::Object),
    opt("flags", Kind::Int(0, i64::MAX)),
    opt("components", Kind::List(0, 40)),
    opt("attachments", Kind::List(0, 10)),
    opt("poll", Kind::Object),
];
const FOLLOWUP: &[Key] = &[
    opt("content", Kind::Text(0, CONTENT)),
    opt("username", Kind::Text(0, 80)),
    opt("avatar_url", Kind::Any),
    opt("tts", Kind::Bool),
    opt("embeds", Kind::List(0, 10)),
    opt("allowed_mentions", Kind::Object),
    opt("components", Kind::List(0, 40)),
    opt("attachments", Kind::List(0, 10)),
    opt("flags", Kind::Int(0, i64::MAX)),
    opt("thread_name", Kind::Text(0, 100)),
    opt("applied_tags", Kind::List(0, 5)),
    opt("poll", Kind::Object),
];
const WEBHOOK_EDIT: &[Key] = &[
    opt("content", Kind::Text(0, CONTENT)),
    opt("embeds", Kind::List(0, 10)),
    opt("flags", Kind::Int(0, i64::MAX)),
    opt("allowed_mentions", Kind::Object),
    opt("components", Kind::List(0, 40)),
    opt("attachments", Kind::List(0, 10)),
    opt("poll", Kind::Object),
];
const MENTIONS: &[Key] = &[
    opt("parse", Kind::List(0, 3)),
    opt("users", Kind::List(0, 100)),
    opt("roles", Kind::List(0, 100)),
    opt("replied_user", Kind::Bool),
];
const ATTACHMENT: &[Key] = &[
    req("id", Kind::TextOrInt(25)),
    opt("filename", Kind::Text(0, 1024)),
    opt("description", Kind::Text(0, 1024)),
    opt("title", Kind::Text(0, 1024)),
    opt("is_remix", Kind::Bool),
    opt("is_spoiler", Kind::Bool),
    opt("duration_secs", Kind::Number),
    opt("waveform", Kind::Text(0, 400)),
    // A client may send back the whole object it was given.
    opt("url", Kind::Any),
    opt("proxy_url", Kind::Any),
    opt("size", Kind::Any),
    opt("content_type", Kind::Any),
    opt("height", Kind::Any),
    opt("width", Kind::Any),
    opt("ephemeral", Kind::Any),
    opt("flags", Kind::Any),
    // discord.py's own mark in an attachment it keeps.
    opt("spoiler", Kind::Any),
];
const REFERENCE: &[Key] = &[
    opt("type", Kind::Int(0, 1)),
    opt("message_id", Kind::Snowflake),
    opt("channel_id", Kind::Snowflake),
    opt("guild_id", Kind::Snowflake),
    opt("fail_if_not_exists", Kind::Bool),
];

fn known(body: Body) -> &'static [Key] {
    match body {
        Body::Create => CREATE,
        Body::Post => POST,
        Body::Edit => EDIT,
        Body::Response => RESPONSE,
        Body::Followup => FOLLOWUP,
        Body::WebhookEdit => WEBHOOK_EDIT,
    }
}

/// discord.py and discord.js send one and the same form through every door, `tts: false` in an
/// edit for example. A key that is known at another door and says nothing is left out.
fn without_idle_keys(value: &Value, keys: &[Key]) -> Value {
    let mut value = value.clone();
    if let Some(map) = value.as_object_mut() {
        let here = |name: &str| keys.iter().any(|key| key.is(name));
        let elsewhere = |name: &str| CREATE.iter().chain(FOLLOWUP).any(|key| key.is(name));
        map.retain(|name, value| {
            let idle =
                value.is_null() || *value == false || value.as_array().is_some_and(Vec::is_empty);
            here(name) || !idle || !elsewhere(name)
        });
    }
    value
}

/// Flags a bot may set through each door.
fn settable(body: Body) -> u64 {
    let common = (1 << 2) | COMPONENTS_V2;
    match body {
        Body::Create | Body::Post => common | (1 << 12) | (1 << 13),
        Body::Edit | Body::WebhookEdit => common,
        Body::Response | Body::Followup => common | EPHEMERAL | (1 << 12) | (1 << 13),
    }
}

/// Checks a message body. `v2_before` says whether the edited message is in V2 already.
pub(crate) fn message(
    found: &mut Findings,
    path: &str,
    value: &Value,
    body: Body,
    v2_before: bool,
) {
    let keys = known(body);
    let tidied = without_idle_keys(value, keys);
    let value = &tidied;
    let Some(map) = object(found, path, value, keys) else { return };
    let present = |key: &str| map.get(key).filter(|value| !value.is_null());
    let list = |key: &str| present(key).and_then(Value::as_array);

    let flags = present("flags").and_then(Value::as_u64);
    if let Some(extra) = flags.map(|flags| flags & !settable(body)).filter(|extra| *extra != 0) {
        let message = format!("Flags {extra} cannot be set here");
        found.add(&at(path, "flags"), "MESSAGE_FLAGS_NOT_ALLOWED", message);
    }
    let v2 = v2_before || flags.is_some_and(|flags| flags & COMPONENTS_V2 != 0);
    if v2_before && flags.is_some_and(|flags| flags & COMPONENTS_V2 == 0) {
        let message = "The IS_COMPONENTS_V2 flag cannot be removed once it was set";
        found.add(&at(path, "flags"), "MESSAGE_FLAG_CANNOT_BE_REMOVED", message);
    }
    if v2 {
        for key in ["content", "embeds", "poll", "sticker_ids"] {
            let empty = |value: &Value| value == "" || value.as_array().is_some_and(Vec::is_empty);
            if present(key).is_some_and(|value| !empty(value)) {
                let message = format!(
                    "The '{key}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                );
                found.add(
                    &at(path, key),
                    "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                    message,
                );
            }
        }
    }
    if let Some(embeds) = list("embeds") {
        embed::embeds(found, &at(path, "embeds"), embeds);
    }
    if let Some(components) = list("components") {
        component::components(found, &at(path, "components"), components, v2);
    }
    if let Some(mentions) = present("allowed_mentions") {
        allowed_mentions(found, &at(path, "allowed_mentions"), mentions);
    }
    for (n, attachment) in list("attachments").into_iter().flatten().enumerate() {
        object(found, &at(path, format!("attachments.{n}")), attachment, ATTACHMENT);
    }
    for (n, sticker) in list("sticker_ids").into_iter().flatten().enumerate() {
        super::one(found, &at(path, format!("sticker_ids.{n}")), sticker, Kind::Snowflake);
    }
    if let Some(reference) = present("message_reference") {
        object(found, &at(path, "message_reference"), reference, REFERENCE);
    }
}

fn allowed_mentions(found: &mut Findings, path: &str, value: &Value) {
    let Some(map) = object(found, path, value, MENTIONS) else { return };
    let list = |key: &str| map.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (n, word) in list("parse").iter().enumerate() {
        if !matches!(word.as_str(), Some("users" | "roles" | "everyone")) {
            let message = "Value must be one of {'everyone', 'roles', 'users'}.";
            found.add(&at(path, format!("parse.{n}")), "BASE_TYPE_CHOICES", message);
        }
    }
    for key in ["users", "roles"] {
        for (n, id) in list(key).iter().enumerate() {
            if snowflake::from_json(id).is_none() {
                let message = format!("Value \"{id}\" is not snowflake.");
                found.add(&at(path, format!("{key}.{n}")), "NUMBER_TYPE_COERCE", message);
            }
        }
        if !list(key).is_empty() && list("parse").iter().any(|word| word == key) {
            let message = format!("parse:[\"{key}\"] and {key}: [ids...] are mutually exclusive.");
            found.add(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message);
        }
    }
}
