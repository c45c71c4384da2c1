//! Permission bits and how a member's permissions in a channel are computed.
//! Source: Discord documentation, "Permissions", the algorithm given there in pseudocode.

use crate::world::{Channel, Guild, Member};

/// Everything, past all overwrites.
pub const ADMINISTRATOR: u64 = 1 << 3;
/// Add reactions.
pub const ADD_REACTIONS: u64 = 1 << 6;
/// See a channel at all.
pub const VIEW_CHANNEL: u64 = 1 << 10;
/// Write messages.
pub const SEND_MESSAGES: u64 = 1 << 11;
/// Delete and pin other people's messages.
pub const MANAGE_MESSAGES: u64 = 1 << 13;
/// Links and embeds are shown.
pub const EMBED_LINKS: u64 = 1 << 14;
/// Upload files.
pub const ATTACH_FILES: u64 = 1 << 15;
/// Read older messages.
pub const READ_MESSAGE_HISTORY: u64 = 1 << 16;
/// Ping @everyone, @here and roles that are not mentionable.
pub const MENTION_EVERYONE: u64 = 1 << 17;
/// Use application commands.
pub const USE_APPLICATION_COMMANDS: u64 = 1 << 31;
/// Change and archive threads.
pub const MANAGE_THREADS: u64 = 1 << 34;
/// Open public threads.
pub const CREATE_PUBLIC_THREADS: u64 = 1 << 35;
/// Write in threads.
pub const SEND_MESSAGES_IN_THREADS: u64 = 1 << 38;
/// Every bit this twin knows of; what an administrator is shown with.
pub const ALL: u64 = (1 << 53) - 1;

/// What `@everyone` may do in the demo guilds.
pub(crate) const EVERYONE: u64 = VIEW_CHANNEL
    | SEND_MESSAGES
    | ADD_REACTIONS
    | EMBED_LINKS
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | USE_APPLICATION_COMMANDS
    | CREATE_PUBLIC_THREADS
    | SEND_MESSAGES_IN_THREADS;

/// Permissions of `member` in the guild as a whole.
pub(crate) fn in_guild(guild: &Guild, member: &Member) -> u64 {
    if guild.owner_id == member.user_id {
        return ALL;
    }
    let mut bits = 0;
    for role in &guild.roles {
        if role.id == guild.id || member.roles.contains(&role.id) {
            bits |= role.permissions;
        }
    }
    if bits & ADMINISTRATOR != 0 { ALL } else { bits }
}

/// Permissions of `member` in `channel`; a thread takes those of its parent.
pub(crate) fn in_channel(guild: &Guild, channel: &Channel, member: &Member) -> u64 {
    let base = in_guild(guild, member);
    if base & ADMINISTRATOR != 0 {
        return ALL;
    }
    let source = if channel.thread.is_some() {
        channel.parent_id.and_then(|id| guild.channel(id)).unwrap_or(channel)
    } else {
        channel
    };
    let mut bits = base;
    let apply = |bits: &mut u64, deny: u64, allow: u64| *bits = (*bits & !deny) | allow;
    for over in source.overwrites.iter().filter(|over| over.id == guild.id) {
        apply(&mut bits, over.deny, over.allow);
    }
    let (mut deny, mut allow) = (0, 0);
    for over in source.overwrites.iter().filter(|over| member.roles.contains(&over.id)) {
        deny |= over.deny;
        allow |= over.allow;
    }
    apply(&mut bits, deny, allow);
    for over in source.overwrites.iter().filter(|over| over.id == member.user_id) {
        apply(&mut bits, over.deny, over.allow);
    }
    if bits & VIEW_CHANNEL == 0 { 0 } else { bits }
}
