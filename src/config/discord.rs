//! `[discord]`: the bot's token, where Discord is, which shards this process runs, where commands are registered.

use gantry_core::id::GuildId;
use secrecy::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

use super::read::Section;

/// Discord's own address; everything else is a proxy or a twin.
pub const API_URL: &str = "https://discord.com";
/// Most shards a bot may have; far above any bot that runs clusters, below what a typing mistake gives.
const SHARDS_MAX: u32 = 10_000;

/// How gantry reaches Discord.
#[derive(Debug, Clone)]
pub struct Discord {
    /// The bot's token.
    pub token: Secret<String>,
    /// Where REST calls go, without a trailing slash.
    pub api_url: String,
    /// Which shards this process runs.
    pub shards: Shards,
    /// Where commands are registered.
    pub register: Register,
    /// An HTTP proxy for REST calls.
    pub proxy: Option<Url>,
}

/// Which shards this process runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawShards", into = "RawShards")]
pub enum Shards {
    /// As many as Discord recommends, all here.
    Auto,
    /// `first` to `last`, both included, of `total`.
    Range {
        /// The first shard run here.
        first: u32,
        /// The last shard run here.
        last: u32,
        /// All shards of the bot, wherever they run.
        total: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "write \"auto\" or { first = 0, last = 1, total = 4 }")]
enum RawShards {
    Word(String),
    Range(RawRange),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    first: u32,
    last: u32,
    total: u32,
}

impl TryFrom<RawShards> for Shards {
    type Error = String;
    fn try_from(raw: RawShards) -> Result<Self, String> {
        match raw {
            RawShards::Word(word) if word == "auto" => Ok(Self::Auto),
            RawShards::Word(word) => Err(format!(
                "`{word}` is not a choice; write \"auto\" or {{ first = 0, last = 1, total = 4 }}"
            )),
            RawShards::Range(RawRange { first, last, total }) => {
                if first <= last && last < total && total <= SHARDS_MAX {
                    Ok(Self::Range { first, last, total })
                } else {
                    Err(format!(
                        "shards {first} to {last} of {total} do not exist; first ≤ last < total ≤ {SHARDS_MAX}"
                    ))
                }
            }
        }
    }
}

impl From<Shards> for RawShards {
    fn from(shards: Shards) -> Self {
        match shards {
            Shards::Auto => Self::Word("auto".to_owned()),
            Shards::Range { first, last, total } => Self::Range(RawRange { first, last, total }),
        }
    }
}

/// Where commands are registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRegister", into = "RawRegister")]
pub enum Register {
    /// Once, for every server the bot is in.
    Global,
    /// In these servers only.
    Guilds(Vec<GuildId>),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "write \"global\" or a list of server ids")]
enum RawRegister {
    Word(String),
    Guilds(Vec<GuildId>),
}

impl TryFrom<RawRegister> for Register {
    type Error = String;
    fn try_from(raw: RawRegister) -> Result<Self, String> {
        match raw {
            RawRegister::Word(word) if word == "global" => Ok(Self::Global),
            RawRegister::Word(word) => {
                Err(format!("`{word}` is not a choice; write \"global\" or a list of server ids"))
            }
            RawRegister::Guilds(ids) if ids.is_empty() => {
                Err("the list is empty; write \"global\" or at least one server id".to_owned())
            }
            RawRegister::Guilds(ids) => Ok(Self::Guilds(ids)),
        }
    }
}

impl From<Register> for RawRegister {
    fn from(register: Register) -> Self {
        match register {
            Register::Global => Self::Word("global".to_owned()),
            Register::Guilds(ids) => Self::Guilds(ids),
        }
    }
}

impl Discord {
    pub(super) fn read(mut s: Section<'_>) -> Option<Self> {
        let token = s.secret(
            "token",
            "token_file",
            "set token_file to a file that holds the bot token (Developer Portal → Bot → Reset Token)",
        );
        let api_url = s.take("api_url", API_URL.to_owned());
        if !is_base_url(&api_url) {
            s.mistake("api_url", "must look like https://discord.com: no path, no user name");
        }
        let shards = s.take("shards", Shards::Auto);
        let register = s.take("register", Register::Global);
        let proxy = s.may::<Url>("proxy");
        s.finish();
        Some(Self {
            token: token?,
            api_url: api_url.trim_end_matches('/').to_owned(),
            shards,
            register,
            proxy,
        })
    }
}

/// Whether `text` is `http(s)://host[:port]` and nothing more.
pub(super) fn is_base_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|u| {
        matches!(u.scheme(), "http" | "https")
            && u.has_host()
            && u.path() == "/"
            && u.username().is_empty()
            && u.password().is_none()
            && u.query().is_none()
            && u.fragment().is_none()
    })
}
