//! Who is asking: read from the interaction alone, as Discord signed it, and read anew on every press.

use gantry_core::id::{ChannelId, GuildId, RoleId, UserId};
use gantry_core::policy::Actor;
use serenity::all::{ChannelType, Member, PartialChannel};

/// The actor of an interaction; `None` outside a server, where nobody has roles.
pub fn actor(
    guild: Option<serenity::all::GuildId>,
    member: Option<&Member>,
    channel_id: serenity::all::ChannelId,
    channel: Option<&PartialChannel>,
) -> Option<Actor> {
    let (guild, member) = (guild?, member?);
    let mut roles: Vec<RoleId> = member.roles.iter().map(|r| RoleId(r.get())).collect();
    // Discord does not list `@everyone`, whose id is the server's.
    let everyone = RoleId(guild.get());
    if !roles.contains(&everyone) {
        roles.push(everyone);
    }
    // For anything but a thread the parent is a category, which policy does not know.
    let parent = channel.filter(|c| is_thread(c.kind)).and_then(|c| c.parent_id);
    Some(Actor {
        user: UserId(member.user.id.get()),
        name: member.display_name().to_owned(),
        roles,
        guild: GuildId(guild.get()),
        channel: ChannelId(channel_id.get()),
        parent_channel: parent.map(|p| ChannelId(p.get())),
    })
}

fn is_thread(kind: ChannelType) -> bool {
    matches!(kind, ChannelType::PublicThread | ChannelType::PrivateThread | ChannelType::NewsThread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Member {
        serde_json::from_value(serde_json::json!({
            "guild_id": "1", "roles": ["10", "11"], "joined_at": "2024-01-01T00:00:00Z",
            "deaf": false, "mute": false, "flags": 0, "nick": "Olga (ops)", "permissions": "0",
            "user": {"id": "7", "username": "olga", "discriminator": "0", "global_name": "Olga"}
        }))
        .unwrap()
    }

    fn channel(kind: u8) -> PartialChannel {
        serde_json::from_value(serde_json::json!({
            "id": "99", "name": "x", "type": kind, "permissions": "0", "parent_id": "5"
        }))
        .unwrap()
    }

    #[test]
    fn roles_hold_everyone_and_a_thread_knows_its_channel() {
        let build = |c: &PartialChannel| {
            actor(Some(1.into()), Some(&member()), 99.into(), Some(c)).unwrap()
        };
        let in_thread = build(&channel(11));
        assert_eq!(in_thread.roles, [RoleId(10), RoleId(11), RoleId(1)]);
        assert_eq!(in_thread.parent_channel, Some(ChannelId(5)));
        assert_eq!(in_thread.name, "Olga (ops)");
        // The parent of a text channel is its category: never a channel in the sense of policy.
        assert_eq!(build(&channel(0)).parent_channel, None);
    }

    #[test]
    fn there_is_no_actor_in_a_direct_message() {
        assert_eq!(actor(None, None, 99.into(), None), None);
        assert_eq!(actor(Some(1.into()), None, 99.into(), None), None);
    }
}
