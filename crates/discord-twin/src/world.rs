//! Who and what exists: guilds, roles, channels, members. Plain data, built once per twin.
//! The demo world's ids are constants, so that configuration files may name its roles.

use std::collections::BTreeMap;

use crate::permission;

/// The bot's application; its bot user has the same id, as with every application since 2016.
pub const APPLICATION_ID: u64 = 1_100_000_000_000_000_001;
/// The demo guild "Homelab Ops".
pub const HOMELAB_GUILD: u64 = 1_100_000_000_000_000_100;
/// The second guild "Other Team"; on another shard than the first when there are two.
pub const OTHER_GUILD: u64 = 1_100_000_000_004_194_404;
/// Role `admin` of Homelab Ops (has ADMINISTRATOR).
pub const ADMIN_ROLE: u64 = 1_100_000_000_000_000_201;
/// Role `operator` of Homelab Ops.
pub const OPERATOR_ROLE: u64 = 1_100_000_000_000_000_202;
/// Role `viewer` of Homelab Ops.
pub const VIEWER_ROLE: u64 = 1_100_000_000_000_000_203;
/// Role of the bot in Homelab Ops.
pub const BOT_ROLE: u64 = 1_100_000_000_000_000_204;
/// User `admin`, "Ada (admin)".
pub const ADMIN_USER: u64 = 1_100_000_000_000_000_301;
/// User `operator`, "Olga (operator)".
pub const OPERATOR_USER: u64 = 1_100_000_000_000_000_302;
/// User `viewer`, "Vic (viewer)".
pub const VIEWER_USER: u64 = 1_100_000_000_000_000_303;
/// Channel #ops.
pub const OPS_CHANNEL: u64 = 1_100_000_000_000_000_401;
/// Channel #alerts.
pub const ALERTS_CHANNEL: u64 = 1_100_000_000_000_000_402;
/// Channel #audit-log; people read there, the bot writes.
pub const AUDIT_CHANNEL: u64 = 1_100_000_000_000_000_403;
/// Channel #general.
pub const GENERAL_CHANNEL: u64 = 1_100_000_000_000_000_404;
/// Channel #ops of "Other Team".
pub const OTHER_OPS_CHANNEL: u64 = 1_100_000_000_004_194_504;

/// First guild of [`World::with_guilds`]; the others follow at distances of one millisecond.
const MANY_BASE: u64 = 1_200_000_000_000_000_000;
/// When everyone in the world joined (2026-01-01).
const JOINED_MS: u64 = 1_767_225_600_000;

/// A person or a bot.
#[derive(Clone, Debug)]
pub struct User {
    /// Snowflake.
    pub id: u64,
    /// Unique handle.
    pub username: String,
    /// Name shown to people.
    pub global_name: Option<String>,
    /// Bots cannot press or type anything.
    pub bot: bool,
    /// Language of the client, e.g. `en-GB`.
    pub locale: String,
}

/// A role of one guild. The role with the guild's own id is `@everyone`.
#[derive(Clone, Debug)]
pub struct Role {
    /// Snowflake.
    pub id: u64,
    /// Name without `@`.
    pub name: String,
    /// 24-bit colour.
    pub color: u32,
    /// Bits of [`crate::permission`].
    pub permissions: u64,
    /// Higher stands above.
    pub position: i64,
    /// Whether everyone may ping it.
    pub mentionable: bool,
}

/// A permission overwrite of a channel, for a role or a member.
#[derive(Clone, Copy, Debug)]
pub struct Overwrite {
    /// Role or user id.
    pub id: u64,
    /// 0 role, 1 member.
    pub kind: u8,
    /// Bits granted.
    pub allow: u64,
    /// Bits taken.
    pub deny: u64,
}

/// What makes a channel a thread.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Who opened it.
    pub owner_id: u64,
    /// Put away.
    pub archived: bool,
    /// Only moderators may reopen it.
    pub locked: bool,
    /// Minutes of silence until it is put away.
    pub auto_archive_minutes: u64,
}

/// A text channel (0), direct message (1), category (4), thread (10, 11, 12) or forum (15).
#[derive(Clone, Debug)]
pub struct Channel {
    /// Snowflake.
    pub id: u64,
    /// `None` in direct messages.
    pub guild_id: Option<u64>,
    /// Name without `#`.
    pub name: String,
    /// Discord's channel type.
    pub kind: u8,
    /// Text under the name.
    pub topic: Option<String>,
    /// Category, or the channel a thread belongs to.
    pub parent_id: Option<u64>,
    /// Order in the list.
    pub position: i64,
    /// Exceptions to the guild's permissions.
    pub overwrites: Vec<Overwrite>,
    /// Set for threads.
    pub thread: Option<Thread>,
    /// The person at the other end of a direct message.
    pub recipient: Option<u64>,
    /// Tags of a forum: id and name; those a post has, for posts.
    pub tags: Vec<(u64, String)>,
    /// A forum that takes no post without a tag.
    pub requires_tag: bool,
}

/// A user's place in a guild.
#[derive(Clone, Debug)]
pub struct Member {
    /// The user.
    pub user_id: u64,
    /// Name in this guild only.
    pub nick: Option<String>,
    /// Roles, without `@everyone`.
    pub roles: Vec<u64>,
    /// Unix milliseconds.
    pub joined_ms: u64,
}

/// A server, in people's words.
#[derive(Clone, Debug)]
pub struct Guild {
    /// Snowflake.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Two letters for the round icon.
    pub icon_text: String,
    /// Owner; may do everything.
    pub owner_id: u64,
    /// Roles, `@everyone` first.
    pub roles: Vec<Role>,
    /// Channels and threads.
    pub channels: Vec<Channel>,
    /// Members.
    pub members: Vec<Member>,
}

impl Guild {
    /// The channel or thread with this id.
    pub fn channel(&self, id: u64) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.id == id)
    }

    /// The member with this user id.
    pub fn member(&self, user_id: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.user_id == user_id)
    }

    /// The role with this id.
    pub fn role(&self, id: u64) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == id)
    }
}

/// Everything that exists before the bot logs in.
#[derive(Clone, Debug)]
pub struct World {
    /// Name of the application and of the bot user.
    pub application_name: String,
    /// Every user, by id.
    pub users: BTreeMap<u64, User>,
    /// Every guild the bot is in, by id.
    pub guilds: BTreeMap<u64, Guild>,
    /// Direct message channels.
    pub dms: Vec<Channel>,
}

impl World {
    /// The bot and three people, in no guild.
    pub fn empty() -> Self {
        let mut users = BTreeMap::new();
        let people = [
            (APPLICATION_ID, "gantry", None, true),
            (ADMIN_USER, "admin", Some("Ada (admin)"), false),
            (OPERATOR_USER, "operator", Some("Olga (operator)"), false),
            (VIEWER_USER, "viewer", Some("Vic (viewer)"), false),
        ];
        for (id, username, global_name, bot) in people {
            let user = User {
                id,
                username: username.into(),
                global_name: global_name.map(Into::into),
                bot,
                locale: "en-GB".into(),
            };
            users.insert(id, user);
        }
        Self { application_name: "gantry".into(), users, guilds: BTreeMap::new(), dms: Vec::new() }
    }

    /// "Homelab Ops" with its three people, and the small "Other Team".
    pub fn demo() -> Self {
        let mut world = Self::empty();
        let homelab = homelab();
        let other = small_guild(OTHER_GUILD, OTHER_OPS_CHANNEL, "Other Team", "OT");
        world.guilds.insert(homelab.id, homelab);
        world.guilds.insert(other.id, other);
        world
    }

    /// `count` small guilds with one channel each, for memory and sharding measurements.
    pub fn with_guilds(count: u64) -> Self {
        let mut world = Self::empty();
        for n in 0..count {
            let id = MANY_BASE + (n << 22);
            world.guilds.insert(id, small_guild(id, id + 1, &format!("Guild {n}"), "G"));
        }
        world
    }
}

fn text(guild: u64, id: u64, name: &str, topic: &str, parent: Option<u64>, at: i64) -> Channel {
    Channel {
        id,
        guild_id: Some(guild),
        name: name.into(),
        kind: 0,
        topic: (!topic.is_empty()).then(|| topic.into()),
        parent_id: parent,
        position: at,
        overwrites: Vec::new(),
        thread: None,
        recipient: None,
        tags: Vec::new(),
        requires_tag: false,
    }
}

fn category(guild: u64, id: u64, name: &str, at: i64) -> Channel {
    Channel { kind: 4, ..text(guild, id, name, "", None, at) }
}

fn role(id: u64, name: &str, color: u32, permissions: u64, position: i64) -> Role {
    Role { id, name: name.into(), color, permissions, position, mentionable: false }
}

fn member(user_id: u64, roles: &[u64]) -> Member {
    Member { user_id, nick: None, roles: roles.to_vec(), joined_ms: JOINED_MS }
}

fn homelab() -> Guild {
    let id = HOMELAB_GUILD;
    let (operations, lounge) = (id + 305, id + 306);
    let mut audit = text(id, AUDIT_CHANNEL, "audit-log", "Who did what, when", Some(operations), 2);
    let write = permission::SEND_MESSAGES;
    audit.overwrites = vec![
        Overwrite { id, kind: 0, allow: 0, deny: write },
        Overwrite { id: BOT_ROLE, kind: 0, allow: write, deny: 0 },
    ];
    let bot_extra = permission::MANAGE_THREADS | permission::MANAGE_MESSAGES;
    Guild {
        id,
        name: "Homelab Ops".into(),
        icon_text: "HO".into(),
        owner_id: ADMIN_USER,
        roles: vec![
            role(id, "@everyone", 0, permission::EVERYONE, 0),
            role(VIEWER_ROLE, "viewer", 0x95_a5_a6, 0, 1),
            role(OPERATOR_ROLE, "operator", 0x34_98_db, 0, 2),
            role(ADMIN_ROLE, "admin", 0xe7_4c_3c, permission::ADMINISTRATOR, 3),
            role(BOT_ROLE, "gantry", 0xe6_7e_22, bot_extra, 4),
        ],
        channels: vec![
            category(id, operations, "Operations", 0),
            text(id, OPS_CHANNEL, "ops", "Run infrastructure here", Some(operations), 0),
            text(id, ALERTS_CHANNEL, "alerts", "What is wrong, once", Some(operations), 1),
            audit,
            category(id, lounge, "Lounge", 1),
            text(id, GENERAL_CHANNEL, "general", "Everything else", Some(lounge), 0),
        ],
        members: vec![
            member(APPLICATION_ID, &[BOT_ROLE]),
            member(ADMIN_USER, &[ADMIN_ROLE]),
            member(OPERATOR_USER, &[OPERATOR_ROLE]),
            member(VIEWER_USER, &[VIEWER_ROLE]),
        ],
    }
}

fn small_guild(id: u64, channel: u64, name: &str, icon: &str) -> Guild {
    Guild {
        id,
        name: name.into(),
        icon_text: icon.into(),
        owner_id: ADMIN_USER,
        roles: vec![role(id, "@everyone", 0, permission::EVERYONE, 0)],
        channels: vec![text(id, channel, "ops", "", None, 0)],
        members: vec![
            member(APPLICATION_ID, &[]),
            member(ADMIN_USER, &[]),
            member(OPERATOR_USER, &[]),
        ],
    }
}
