//! Gateway addresses, the bot itself, users, guilds and their members. Only reads, except for
//! opening a direct message.

use serde_json::{Value, json};

use super::{Call, Reply, ok};
use crate::fault::Fault;
use crate::render;
use crate::snowflake;
use crate::state::State;
use crate::world::{APPLICATION_ID, Channel, Guild};

pub(super) fn serve(state: &mut State, method: &str, template: &str, call: &Call<'_>) -> Reply {
    let now = call.shared.now_ms();
    match (method, template) {
        ("GET", "/gateway") => ok(json!({"url": call.shared.gateway_url()})),
        ("GET", "/gateway/bot") => {
            let limit = state.gateway.budget(now);
            ok(json!({
                "url": call.shared.gateway_url(), "shards": call.shared.options.shards,
                "session_start_limit": limit,
            }))
        }
        ("GET", "/users/@me") => ok(render::bot_user(&state.world)),
        ("GET", "/users/@me/guilds") => {
            let list: Vec<Value> = state.world.guilds.values().map(partial_guild).collect();
            ok(json!(list))
        }
        ("POST", "/users/@me/channels") => open_dm(state, call),
        ("GET", "/users/{user_id}") => {
            let user = state.world.users.get(&call.id(0)).ok_or_else(|| Fault::unknown("User"))?;
            ok(render::user(user))
        }
        ("GET", "/oauth2/applications/@me") => ok(render::application(&state.world)),
        _ => {
            let guild =
                state.world.guilds.get(&call.id(0)).ok_or_else(|| Fault::unknown("Guild"))?;
            one_guild(state, guild, template, call)
        }
    }
}

fn one_guild(state: &State, guild: &Guild, template: &str, call: &Call<'_>) -> Reply {
    let channels = |threads: bool| -> Vec<Value> {
        let list = guild.channels.iter().filter(|channel| channel.thread.is_some() == threads);
        list.map(|channel| render::channel(&state.world, channel, state.last_message(channel.id)))
            .collect()
    };
    match template {
        "/guilds/{guild_id}" => {
            let mut value = render::guild(guild);
            if call.flag("with_counts") {
                value["approximate_member_count"] = json!(guild.members.len());
                value["approximate_presence_count"] = json!(guild.members.len());
            }
            ok(value)
        }
        "/guilds/{guild_id}/channels" => ok(json!(channels(false))),
        "/guilds/{guild_id}/roles" => {
            let list: Vec<Value> = guild.roles.iter().map(render::role).collect();
            ok(json!(list))
        }
        "/guilds/{guild_id}/threads/active" => {
            ok(json!({"threads": channels(true), "members": []}))
        }
        "/guilds/{guild_id}/members/{user_id}" => {
            let known = state.world.users.contains_key(&call.id(1));
            let what = if known { "Member" } else { "User" };
            let member = guild.member(call.id(1)).ok_or_else(|| Fault::unknown(what))?;
            ok(render::member(&state.world, member))
        }
        _ => Err(Fault::not_found()),
    }
}

fn partial_guild(guild: &Guild) -> Value {
    let me = guild.member(APPLICATION_ID);
    let bits = me.map_or(0, |me| crate::permission::in_guild(guild, me));
    json!({
        "id": guild.id.to_string(), "name": guild.name, "icon": null, "banner": null,
        "owner": false, "permissions": bits.to_string(), "features": [],
    })
}

fn open_dm(state: &mut State, call: &Call<'_>) -> Reply {
    let Some(user) = call.body.get("recipient_id").and_then(snowflake::from_json) else {
        return Err(Fault::form("recipient_id", "BASE_TYPE_REQUIRED", "This field is required"));
    };
    if user == APPLICATION_ID {
        return Err(Fault::new(400, 50_007, "Cannot send messages to this user"));
    }
    if !state.world.users.contains_key(&user) {
        return Err(Fault::unknown("User"));
    }
    if let Some(dm) = state.world.dms.iter().find(|dm| dm.recipient == Some(user)) {
        return ok(render::channel(&state.world, dm, state.last_message(dm.id)));
    }
    let dm = Channel {
        id: state.mint.next(call.shared.now_ms()),
        guild_id: None,
        name: String::new(),
        kind: 1,
        topic: None,
        parent_id: None,
        position: 0,
        overwrites: Vec::new(),
        thread: None,
        recipient: Some(user),
        tags: Vec::new(),
        requires_tag: false,
    };
    let value = render::channel(&state.world, &dm, None);
    state.world.dms.push(dm);
    ok(value)
}
