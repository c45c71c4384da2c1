//! World data as Discord's JSON objects. Pure; keys follow the API reference, so that strict
//! clients (serenity, discord.py, discord.js) find every field they insist on.

use serde_json::{Value, json};

use crate::clock::timestamp;
use crate::world::{APPLICATION_ID, Channel, Guild, Member, Role, User, World};

/// A user object.
pub(crate) fn user(user: &User) -> Value {
    json!({
        "id": user.id.to_string(), "username": user.username, "discriminator": "0",
        "global_name": user.global_name, "avatar": null, "bot": user.bot, "public_flags": 0,
        "flags": 0, "avatar_decoration_data": null, "banner": null, "accent_color": null,
        "collectibles": null, "primary_guild": null, "clan": null,
    })
}

/// A user by id; deleted ones are shown the way Discord shows them.
pub(crate) fn user_by_id(world: &World, id: u64) -> Value {
    world.users.get(&id).map_or_else(
        || json!({"id": id.to_string(), "username": "deleted_user", "discriminator": "0", "global_name": null, "avatar": null, "bot": false}),
        user,
    )
}

/// The bot as it sees itself (`GET /users/@me`, READY).
pub(crate) fn bot_user(world: &World) -> Value {
    let mut value = user_by_id(world, APPLICATION_ID);
    value["verified"] = json!(true);
    value["mfa_enabled"] = json!(true);
    value["email"] = Value::Null;
    value["locale"] = json!("en-US");
    value
}

/// A member object with its user.
pub(crate) fn member(world: &World, member: &Member) -> Value {
    let mut value = member_partial(member);
    value["user"] = user_by_id(world, member.user_id);
    value
}

/// A member object without its user, as in `resolved.members`.
pub(crate) fn member_partial(member: &Member) -> Value {
    let roles: Vec<String> = member.roles.iter().map(u64::to_string).collect();
    json!({
        "nick": member.nick, "avatar": null, "banner": null, "roles": roles,
        "joined_at": timestamp(member.joined_ms), "premium_since": null, "deaf": false,
        "mute": false, "flags": 0, "pending": false, "communication_disabled_until": null,
        "unusual_dm_activity_until": null, "avatar_decoration_data": null, "collectibles": null,
    })
}

/// A role object.
pub(crate) fn role(role: &Role) -> Value {
    json!({
        "id": role.id.to_string(), "name": role.name, "color": role.color,
        "colors": {"primary_color": role.color, "secondary_color": null, "tertiary_color": null},
        "hoist": role.position > 0, "icon": null, "unicode_emoji": null, "position": role.position,
        "permissions": role.permissions.to_string(), "managed": false,
        "mentionable": role.mentionable, "flags": 0, "description": null,
    })
}

/// Flag of a forum that takes no post without a tag.
const REQUIRE_TAG: u64 = 1 << 4;

/// A channel or thread object.
pub(crate) fn channel(world: &World, channel: &Channel, last_message: Option<u64>) -> Value {
    let overwrites: Vec<Value> = channel
        .overwrites
        .iter()
        .map(|over| {
            json!({"id": over.id.to_string(), "type": over.kind,
                   "allow": over.allow.to_string(), "deny": over.deny.to_string()})
        })
        .collect();
    let mut value = json!({
        "id": channel.id.to_string(), "type": channel.kind, "flags": 0,
        "last_message_id": last_message.map(|id| id.to_string()),
    });
    if let Some(recipient) = channel.recipient {
        value["recipients"] = json!([user_by_id(world, recipient)]);
        return value;
    }
    value["guild_id"] = json!(channel.guild_id.map(|id| id.to_string()));
    value["name"] = json!(channel.name);
    value["parent_id"] = json!(channel.parent_id.map(|id| id.to_string()));
    value["rate_limit_per_user"] = json!(0);
    if let Some(thread) = &channel.thread {
        if !channel.tags.is_empty() {
            let ids: Vec<String> = channel.tags.iter().map(|(id, _)| id.to_string()).collect();
            value["applied_tags"] = json!(ids);
        }
        value["owner_id"] = json!(thread.owner_id.to_string());
        value["message_count"] = json!(0);
        value["member_count"] = json!(1);
        value["total_message_sent"] = json!(0);
        let opened = (channel.id >> 22) + crate::snowflake::DISCORD_EPOCH_MS;
        value["thread_metadata"] = json!({
            "archived": thread.archived, "locked": thread.locked,
            "auto_archive_duration": thread.auto_archive_minutes,
            "archive_timestamp": timestamp(opened), "create_timestamp": timestamp(opened),
        });
    } else {
        value["position"] = json!(channel.position);
        value["permission_overwrites"] = json!(overwrites);
        value["topic"] = json!(channel.topic);
        value["nsfw"] = json!(false);
        if channel.kind == 15 {
            let tag = |(id, name): &(u64, String)| {
                json!({"id": id.to_string(), "name": name, "moderated": false,
                       "emoji_id": null, "emoji_name": null})
            };
            value["flags"] = json!(if channel.requires_tag { REQUIRE_TAG } else { 0 });
            value["available_tags"] = json!(channel.tags.iter().map(tag).collect::<Vec<_>>());
            value["default_reaction_emoji"] = Value::Null;
            value["default_sort_order"] = Value::Null;
            value["default_forum_layout"] = json!(0);
        }
    }
    value
}

/// The guild object of `GET /guilds/{id}`.
pub(crate) fn guild(guild: &Guild) -> Value {
    let roles: Vec<Value> = guild.roles.iter().map(role).collect();
    json!({
        "id": guild.id.to_string(), "name": guild.name, "icon": null, "icon_hash": null,
        "splash": null, "discovery_splash": null, "home_header": null,
        "owner_id": guild.owner_id.to_string(), "region": "deprecated", "afk_channel_id": null,
        "afk_timeout": 300, "widget_enabled": false, "widget_channel_id": null,
        "verification_level": 1, "default_message_notifications": 1, "explicit_content_filter": 0,
        "roles": roles, "emojis": [], "stickers": [], "features": [], "mfa_level": 0,
        "application_id": null, "system_channel_id": null, "system_channel_flags": 0,
        "rules_channel_id": null, "public_updates_channel_id": null, "max_presences": null,
        "max_members": 500_000, "max_video_channel_users": 25, "max_stage_video_channel_users": 50,
        "vanity_url_code": null, "description": null, "banner": null, "premium_tier": 0,
        "premium_subscription_count": 0, "premium_progress_bar_enabled": false,
        "preferred_locale": "en-GB", "nsfw": false, "nsfw_level": 0, "incidents_data": null,
        "safety_alerts_channel_id": null, "latest_onboarding_question_id": null,
    })
}

/// The payload of GUILD_CREATE: the guild plus what only the gateway tells. Without the
/// members intent Discord lists the bot only.
pub(crate) fn guild_create(world: &World, source: &Guild) -> Value {
    let mut value = guild(source);
    let (threads, channels): (Vec<_>, Vec<_>) =
        source.channels.iter().partition(|channel| channel.thread.is_some());
    let list = |list: Vec<&Channel>| -> Vec<Value> {
        list.into_iter().map(|one| channel(world, one, None)).collect()
    };
    value["channels"] = json!(list(channels));
    value["threads"] = json!(list(threads));
    let me: Vec<Value> =
        source.member(APPLICATION_ID).iter().map(|own| member(world, own)).collect();
    value["members"] = json!(me);
    value["member_count"] = json!(source.members.len());
    value["joined_at"] =
        json!(timestamp(source.member(APPLICATION_ID).map_or(0, |own| own.joined_ms)));
    value["large"] = json!(false);
    value["unavailable"] = json!(false);
    value["lazy"] = json!(true);
    for key in ["voice_states", "presences", "stage_instances", "guild_scheduled_events"] {
        value[key] = json!([]);
    }
    value["soundboard_sounds"] = json!([]);
    value
}

/// The application object.
pub(crate) fn application(world: &World) -> Value {
    let owner = world.users.values().find(|user| !user.bot).map(user);
    json!({
        "id": APPLICATION_ID.to_string(), "name": world.application_name, "icon": null,
        "description": "Runs infrastructure from chat", "rpc_origins": [], "bot_public": false,
        "bot_require_code_grant": false, "bot": user_by_id(world, APPLICATION_ID), "owner": owner,
        "summary": "", "verify_key": "00".repeat(32), "team": null, "flags": 0, "hook": true,
        "type": null, "is_monetized": false, "is_verified": false, "is_discoverable": false,
        "redirect_uris": [], "interactions_endpoint_url": null,
        "role_connections_verification_url": null, "tags": [],
        "integration_types_config": {"0": {}}, "approximate_guild_count": world.guilds.len(),
        "approximate_user_install_count": 0, "approximate_user_authorization_count": 0,
        "eligible_oauth2_scopes": ["bot", "applications.commands"], "flags_new": "0", "event_webhooks_status": 1,
        "storefront_available": false, "internal_guild_restriction": 1,
        "discoverability_state": 1, "discovery_eligibility_flags": 0, "monetization_state": 1,
        "store_application_state": 1, "rpc_application_state": 0, "verification_state": 1,
        "interactions_event_types": [], "interactions_version": 1, "explicit_content_filter": 0,
    })
}
