//! Whom a message reaches: mentions in its text, held against `allowed_mentions`, the sender's
//! permission and whether a role may be mentioned. Pure.

use serde_json::{Value, json};

use crate::permission;
use crate::snowflake;
use crate::state::State;

/// Text of a message that can ping: its content and its V2 text displays.
fn speaking(message: &Value) -> String {
    fn displays(value: &Value, text: &mut String) {
        if value["type"] == 10 {
            text.push('\n');
            text.push_str(value["content"].as_str().unwrap_or_default());
        }
        for one in value.as_array().into_iter().flatten() {
            displays(one, text);
        }
        if value.is_object() {
            displays(&value["components"], text);
        }
    }
    let mut text = message["content"].as_str().unwrap_or_default().to_owned();
    displays(&message["components"], &mut text);
    text
}

/// Whom a message mentions, given what `allowed_mentions` lets through.
pub(super) fn mentions(state: &State, message: &Value, allowed: Option<&Value>) -> Value {
    let text = speaking(message);
    let allowed = allowed.filter(|allowed| !allowed.is_null());
    let parse = |word: &str| {
        allowed.is_none_or(|allowed| {
            allowed["parse"].as_array().is_some_and(|list| list.iter().any(|one| one == word))
        })
    };
    let listed = |key: &str, id: u64| {
        allowed.is_some_and(|allowed| {
            let list = allowed[key].as_array().into_iter().flatten();
            list.filter_map(snowflake::from_json).any(|one| one == id)
        })
    };
    let channel = message.get("channel_id").and_then(snowflake::from_json).unwrap_or(0);
    let author = message.pointer("/author/id").and_then(snowflake::from_json).unwrap_or(0);
    let loud = state.permissions(channel, author) & permission::MENTION_EVERYONE != 0;
    let guild = state.guild_of_channel(channel);

    let (mut users, mut roles) = (Vec::new(), Vec::new());
    for (role, id) in tags(&text) {
        if role {
            let mentionable =
                guild.and_then(|guild| guild.role(id)).is_some_and(|role| role.mentionable || loud);
            if mentionable && (parse("roles") || listed("roles", id)) && !roles.contains(&id) {
                roles.push(id);
            }
        } else if state.world.users.contains_key(&id)
            && (parse("users") || listed("users", id))
            && !users.contains(&id)
        {
            users.push(id);
        }
    }
    let replied = message.pointer("/referenced_message/author/id").and_then(snowflake::from_json);
    let ping_reply = allowed.is_none_or(|allowed| allowed["replied_user"] == true);
    if let Some(replied) = replied.filter(|id| ping_reply && !users.contains(id)) {
        users.push(replied);
    }
    let everyone =
        loud && parse("everyone") && (text.contains("@everyone") || text.contains("@here"));
    let text_ids = |ids: Vec<u64>| -> Vec<String> { ids.iter().map(u64::to_string).collect() };
    json!({"everyone": everyone, "users": text_ids(users), "roles": text_ids(roles)})
}

/// `<@id>`, `<@!id>` and `<@&id>` in a text: (is a role, id).
fn tags(text: &str) -> Vec<(bool, u64)> {
    let mut found = Vec::new();
    for piece in text.split("<@").skip(1) {
        let Some((inner, _)) = piece.split_once('>') else { continue };
        let (role, digits) = match inner.strip_prefix('&') {
            Some(rest) => (true, rest),
            None => (false, inner.strip_prefix('!').unwrap_or(inner)),
        };
        if let Ok(id) = digits.parse() {
            found.push((role, id));
        }
    }
    found
}
