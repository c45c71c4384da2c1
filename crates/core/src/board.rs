//! Status boards: a message of a channel that is kept up to date with how clusters are.

use serde::{Deserialize, Serialize};

use crate::id::{BoardId, ChannelId, ClusterId, GuildId, UserId};

/// A board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Its id.
    pub id: BoardId,
    /// The server.
    pub guild: GuildId,
    /// The channel; it has one board at most.
    pub channel: ChannelId,
    /// What it shows: what its maker might see when it was made.
    pub clusters: Vec<ClusterId>,
    /// Who made it.
    pub by: UserId,
    /// Their name.
    pub by_name: String,
    /// When, milliseconds.
    pub created_ms: i64,
}
