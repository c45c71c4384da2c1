//! How the gateway runner can end, each with a sentence for the operator and an exit code of its
//! own, so that a service manager can tell "fix the configuration" from "try again later".

use std::time::Duration;

/// The gateway runner stopped for good. Restarting at once changes nothing, except for
/// [`GatewayEnd::CannotConnect`] and [`GatewayEnd::Internal`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayEnd {
    /// Close code 4004, or 401 from the API.
    #[error(
        "Discord refused the bot token. Make a new one on the application's Bot page and put it into discord.token_file."
    )]
    BadToken,
    /// Close code 4010, or shard settings that cannot be.
    #[error("Discord refused shard {shard} of {total}. Correct discord.shards.")]
    BadShard {
        /// The shard that was refused.
        shard: u32,
        /// The number of shards it claimed there are.
        total: u32,
    },
    /// Close code 4011.
    #[error(
        "the bot is in too many servers for {total} shard(s). Raise the total in discord.shards, or leave it on automatic."
    )]
    ShardingRequired {
        /// The number of shards in use.
        total: u32,
    },
    /// Close code 4012.
    #[error("Discord no longer speaks gateway version 10. Update gantry.")]
    BadVersion,
    /// Close code 4013.
    #[error("Discord does not know the intents {bits} that gantry asked for. Update gantry.")]
    BadIntents {
        /// The intents as a number.
        bits: u64,
    },
    /// Close code 4014.
    #[error(
        "the bot asks for intents ({bits}) that are not switched on. Switch them on under Privileged Gateway Intents on the application's Bot page."
    )]
    DisallowedIntents {
        /// The intents as a number.
        bits: u64,
    },
    /// Too few of the day's identifies are left; going on could cost the token.
    #[error("only {remaining} of the day's gateway sessions are left and {reserve} are kept in reserve; Discord gives new ones in {}. Something restarts gantry too often.", minutes(*.reset_after))]
    IdentifyBudget {
        /// Sessions left.
        remaining: u32,
        /// Sessions kept untouched.
        reserve: u32,
        /// Until Discord resets the count.
        reset_after: Duration,
    },
    /// The API named a gateway that must not see the token.
    #[error("{0}")]
    WrongGateway(String),
    /// A shard kept failing although nothing says why.
    #[error("shard {shard} could not be connected to Discord: {hint}")]
    CannotConnect {
        /// The shard.
        shard: u32,
        /// What was seen last.
        hint: String,
    },
    /// A fault of gantry itself.
    #[error("the gateway runner failed: {0}")]
    Internal(String),
}

impl GatewayEnd {
    /// The process's exit code for this end; 20 to 29 belong to the gateway.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadToken => 20,
            Self::BadShard { .. } => 21,
            Self::ShardingRequired { .. } => 22,
            Self::BadVersion => 23,
            Self::BadIntents { .. } => 24,
            Self::DisallowedIntents { .. } => 25,
            Self::IdentifyBudget { .. } => 26,
            Self::WrongGateway(_) => 27,
            Self::CannotConnect { .. } => 28,
            Self::Internal(_) => 29,
        }
    }
}

/// A duration for people, rounded up to minutes.
pub(super) fn minutes(duration: Duration) -> String {
    let minutes = duration.as_secs().div_ceil(60);
    if minutes >= 60 {
        format!("{} h {} min", minutes / 60, minutes % 60)
    } else {
        format!("{minutes} min")
    }
}
