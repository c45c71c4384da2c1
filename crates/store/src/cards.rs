//! Cards: the messages gantry keeps up to date. Last value wins: `wanted` counts up with every change worth
//! showing, `shown` is the newest one people see; what was skipped in between is never sent.

use std::collections::BTreeSet;

use gantry_core::id::{
    BoardId, CardId, ChannelId, GuildId, IncidentId, MessageId, OperationId, PlanId,
};

use crate::dialect::Text;
use crate::error::StoreError;
use crate::pool::{Fail, Row, Tx, Value, args};
use crate::sql;
use crate::store::{Store, absurd};

/// A card to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCard {
    /// Its id.
    pub id: CardId,
    /// The server it is in.
    pub guild: GuildId,
    /// The channel it is in.
    pub channel: ChannelId,
}

/// What a card is about. Its column is called `plan_id` for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardAbout {
    /// A plan and what came of it.
    Plan(PlanId),
    /// An incident.
    Incident(IncidentId),
    /// A status board.
    Board(BoardId),
}

impl std::str::FromStr for CardAbout {
    type Err = gantry_core::id::BadId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("in_") {
            text.parse().map(Self::Incident)
        } else if text.starts_with("bo_") {
            text.parse().map(Self::Board)
        } else {
            text.parse().map(Self::Plan)
        }
    }
}

/// A card as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRow {
    /// Its id.
    pub id: CardId,
    /// What it is about now.
    pub about: CardAbout,
    /// The server it is in.
    pub guild: GuildId,
    /// The channel it is in.
    pub channel: ChannelId,
    /// The message, once known.
    pub message: Option<MessageId>,
    /// The newest version worth showing.
    pub wanted: i64,
    /// The newest version shown.
    pub shown: i64,
    /// Failed attempts since it was shown last.
    pub attempts: u32,
    /// When it was made, milliseconds.
    pub created_ms: i64,
    /// Why it could not be shown last time.
    pub last_error: Option<String>,
    /// Whether nobody tries any more.
    pub given_up: bool,
}

impl Store {
    /// The card, where there is one.
    pub async fn find_card(&self, id: &CardId) -> Result<Option<CardRow>, StoreError> {
        self.one_card(sql::CARD_FIND, args![id]).await
    }

    /// The card a plan was shown on, even if a newer plan has taken its place there.
    pub async fn find_card_of_plan(&self, plan: &PlanId) -> Result<Option<CardRow>, StoreError> {
        self.one_card(sql::CARD_OF_PLAN, args![plan]).await
    }

    /// The card that shows an operation.
    pub async fn find_card_of_operation(
        &self,
        operation: &OperationId,
    ) -> Result<Option<CardRow>, StoreError> {
        self.one_card(sql::CARD_OF_OPERATION, args![operation]).await
    }

    /// The card of an incident, where it has one.
    pub async fn find_card_of_incident(
        &self,
        incident: &IncidentId,
    ) -> Result<Option<CardRow>, StoreError> {
        self.one_card(sql::CARD_OF_INCIDENT, args![incident.as_str()]).await
    }

    /// The card of a board, where it has one.
    pub async fn find_card_of_board(&self, board: &BoardId) -> Result<Option<CardRow>, StoreError> {
        self.one_card(sql::CARD_OF_INCIDENT, args![board.as_str()]).await
    }

    /// Posts in forums of a server that are cards, the newest first: each has its thread's id.
    pub async fn known_posts(&self, guild: GuildId) -> Result<BTreeSet<MessageId>, StoreError> {
        self.call("look for posts", async {
            let rows = self.pool.rows(sql::POSTS_KNOWN, args![guild.to_string()]).await?;
            rows.iter().map(|row| Ok(MessageId(row.parsed("message_id")?))).collect()
        })
        .await
    }

    async fn one_card(&self, text: Text, args: Vec<Value>) -> Result<Option<CardRow>, StoreError> {
        self.call("read a card", async {
            self.pool.row(text, args).await?.as_ref().map(read).transpose()
        })
        .await
    }

    /// Notes which message the card is.
    pub async fn card_posted(
        &self,
        id: &CardId,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<(), StoreError> {
        let args = args![id, channel.to_string(), message.to_string()];
        self.change_card(sql::CARD_POSTED, id, args).await
    }

    /// Notes which message an answer has put the card into, and ends the answer's hold on it (see
    /// [`Store::keep_card`]).
    pub async fn card_answered(
        &self,
        id: &CardId,
        owner: &str,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<(), StoreError> {
        let args = args![id, channel.to_string(), message.to_string(), owner];
        self.change_card(sql::CARD_ANSWERED, id, args).await
    }

    /// Whether a card wants to show something newer, now or later.
    pub async fn cards_pending(&self) -> Result<bool, StoreError> {
        self.call("look for cards", async {
            Ok(self.pool.row(sql::CARDS_PENDING, args![]).await?.is_some())
        })
        .await
    }

    /// Cards that want to show something newer, were made before `now_ms` and are not given up: each with the version it
    /// shows. At most `limit`.
    pub async fn cards_waiting(
        &self,
        now_ms: i64,
        limit: u32,
    ) -> Result<Vec<(CardId, i64)>, StoreError> {
        self.call("look for cards that wait", async {
            let rows = self.pool.rows(sql::CARDS_WAITING, args![now_ms, i64::from(limit)]).await?;
            rows.iter().map(|row| Ok((row.parsed("id")?, row.int("shown")?))).collect()
        })
        .await
    }

    /// Holds on to a card while it is being sent. `false`: somebody else shows it now.
    pub async fn keep_card(
        &self,
        id: &CardId,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<bool, StoreError> {
        self.call(format!("hold on to card {id}"), async {
            let args = args![id, owner, now_ms.saturating_add(lease_ms), now_ms];
            Ok(self.pool.write(sql::CARD_KEEP, args).await? == 1)
        })
        .await
    }

    /// Claims the card that has waited longest, until `now_ms + lease_ms`: it wants to show something newer,
    /// is due, and its message is known or was not told within `grace_ms` of making it.
    pub async fn claim_card(
        &self,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
        grace_ms: i64,
    ) -> Result<Option<CardRow>, StoreError> {
        self.call("claim a card", async {
            let until = now_ms.saturating_add(lease_ms);
            let made_by = now_ms.saturating_sub(grace_ms);
            let absurd = absurd(now_ms, lease_ms);
            let args = args![owner, until, now_ms, made_by, absurd];
            self.pool.write_row(sql::CARD_CLAIM, args).await?.as_ref().map(read).transpose()
        })
        .await
    }

    /// Notes that people see `version` now; a newer one is not shown before `next_due_ms`. Ends the claim.
    ///
    /// When `owner` has lost the claim, somebody may have shown something newer, which this has just overwritten:
    /// then nothing is noted, and the card is to be shown once more.
    pub async fn card_shown(
        &self,
        id: &CardId,
        owner: &str,
        version: i64,
        next_due_ms: i64,
    ) -> Result<(), StoreError> {
        self.call(format!("save card {id}"), async {
            let args = args![id, version, next_due_ms, owner];
            if self.pool.write(sql::CARD_SHOWN, args).await? == 0 {
                self.pool.write(sql::CARD_WANT, args![id]).await?;
            }
            Ok(())
        })
        .await
    }

    /// Notes that showing failed and when to try again. Ends the claim, if `owner` still has it.
    pub async fn card_retry(
        &self,
        id: &CardId,
        owner: &str,
        due_ms: i64,
        error: &str,
    ) -> Result<(), StoreError> {
        self.change_card(sql::CARD_RETRY, id, args![id, due_ms, error, owner]).await
    }

    /// Notes that somebody deleted the message: the card is to be posted anew, now. Ends the claim.
    pub async fn card_lost(&self, id: &CardId) -> Result<(), StoreError> {
        self.change_card(sql::CARD_LOST, id, args![id]).await
    }

    /// Notes that the card cannot be shown and nobody shall try again. Ends the claim, if `owner` still has it.
    pub async fn card_given_up(
        &self,
        id: &CardId,
        owner: &str,
        error: &str,
    ) -> Result<(), StoreError> {
        self.change_card(sql::CARD_GIVEN_UP, id, args![id, error, owner]).await
    }

    async fn change_card(
        &self,
        text: Text,
        id: &CardId,
        args: Vec<Value>,
    ) -> Result<(), StoreError> {
        self.call(format!("save card {id}"), async {
            self.pool.write(text, args).await?;
            Ok(())
        })
        .await
    }
}

/// Adds a card inside the transaction of its plan.
pub(crate) async fn insert(
    tx: &mut Tx,
    card: &NewCard,
    plan: &PlanId,
    wanted: i64,
    created_ms: i64,
) -> Result<(), Fail> {
    tx.write(
        sql::CARD_INSERT,
        args![
            &card.id,
            plan,
            card.guild.to_string(),
            card.channel.to_string(),
            wanted,
            created_ms,
        ],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<CardRow, Fail> {
    Ok(CardRow {
        id: row.parsed("id")?,
        about: row.parsed("plan_id")?,
        guild: GuildId(row.parsed("guild_id")?),
        channel: ChannelId(row.parsed("channel_id")?),
        message: row.parsed_opt("message_id")?.map(MessageId),
        wanted: row.int("wanted")?,
        shown: row.int("shown")?,
        attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
        created_ms: row.int("created_ms")?,
        last_error: row.text_opt("last_error")?,
        given_up: row.int("given_up")? != 0,
    })
}
