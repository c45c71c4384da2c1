//! Status boards. Their messages are cards: posted, edited and posted anew by the courier like any other.

use gantry_core::audit::AuditRow;
use gantry_core::board::Board;
use gantry_core::id::{BoardId, CardId, GuildId};

use crate::audit;
use crate::error::StoreError;
use crate::pool::{Fail, Row, args};
use crate::sql;
use crate::store::{Store, absurd};

/// A board as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardRow {
    /// The board.
    pub board: Board,
    /// Whether it was taken down; its message goes next.
    pub gone: bool,
    /// What its message was asked to show last.
    pub shown: String,
    /// When, milliseconds.
    pub asked_ms: i64,
}

impl Store {
    /// Does `what` (`boards`, `reports`) alone until `now_ms + lease_ms`, unless somebody else does.
    pub async fn lead(
        &self,
        what: &'static str,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<bool, StoreError> {
        self.call(format!("lead the {what}"), async {
            let until = now_ms.saturating_add(lease_ms);
            let absurd = absurd(now_ms, lease_ms);
            let args = args![what, owner, until, now_ms, absurd];
            Ok(self.pool.write_row(sql::ALERT_LEAD, args).await?.is_some())
        })
        .await
    }

    /// Keeps a new board, with the audit row, and asks for its message. `false`: its channel has one.
    pub async fn add_board(&self, board: &Board, row: &AuditRow) -> Result<bool, StoreError> {
        self.call("keep a board", async {
            let mut tx = self.pool.begin().await?;
            let data = serde_json::to_string(board)
                .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))?;
            let (guild, channel) = (board.guild.to_string(), board.channel.to_string());
            let args = args![board.id.as_str(), guild.as_str(), channel.as_str(), data];
            if tx.write(sql::BOARD_INSERT, args).await? != 1 {
                return Ok(false);
            }
            let args = args![&card_of(&board.id)?, board.id.as_str(), guild, channel, 0];
            tx.write(sql::CARD_FOR_INCIDENT, args).await?;
            tx.write(sql::CARD_WANT_FOR_INCIDENT, args![board.id.as_str()]).await?;
            audit::insert(&mut tx, row).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// The board, also while its message waits to be deleted.
    pub async fn find_board(&self, id: &BoardId) -> Result<Option<BoardRow>, StoreError> {
        self.call(format!("read board {id}"), async {
            self.pool.row(sql::BOARD_FIND, args![id.as_str()]).await?.as_ref().map(read).transpose()
        })
        .await
    }

    /// Boards of a server, or of all, oldest first.
    pub async fn list_boards(&self, guild: Option<GuildId>) -> Result<Vec<BoardRow>, StoreError> {
        self.call("read the boards", async {
            let args = args![guild.map(|g| g.to_string())];
            self.pool.rows(sql::BOARDS_LIST, args).await?.iter().map(read).collect()
        })
        .await
    }

    /// Takes a board down, with the audit row, and asks for its message to go. `false`: it is down already.
    pub async fn take_board_down(&self, id: &BoardId, row: &AuditRow) -> Result<bool, StoreError> {
        self.call(format!("take board {id} down"), async {
            let mut tx = self.pool.begin().await?;
            if tx.write(sql::BOARD_GONE, args![id.as_str()]).await? != 1 {
                return Ok(false);
            }
            tx.write(sql::CARD_ANEW, args![id.as_str()]).await?;
            audit::insert(&mut tx, row).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Asks for a board's message to be edited, and notes for what. One that nobody tried to show any more is tried again.
    pub async fn ask_board(
        &self,
        id: &BoardId,
        shown: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.call(format!("ask for board {id}"), async {
            let mut tx = self.pool.begin().await?;
            if tx.write(sql::BOARD_ASKED, args![id.as_str(), shown, now_ms]).await? == 1 {
                tx.write(sql::CARD_ANEW, args![id.as_str()]).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Forgets a board whose message is gone.
    pub async fn forget_board(&self, id: &BoardId) -> Result<(), StoreError> {
        self.call(format!("forget board {id}"), async {
            let mut tx = self.pool.begin().await?;
            if tx.write(sql::BOARD_REMOVE, args![id.as_str()]).await? == 1 {
                tx.write(sql::CARD_REMOVE, args![id.as_str()]).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}

/// Its card is named after it.
fn card_of(board: &BoardId) -> Result<CardId, Fail> {
    let id = board.as_str().replacen("bo_", "ca_", 1);
    id.parse().map_err(|e| Fail::Row(format!("a board without a card: {e}")))
}

fn read(row: &Row) -> Result<BoardRow, Fail> {
    let id = row.text("id")?;
    let board: Board = serde_json::from_str(&row.text("data")?)
        .map_err(|e| Fail::Row(format!("board {id} does not read back: {e}")))?;
    Ok(BoardRow {
        board,
        gone: row.int("gone")? != 0,
        shown: row.text("shown")?,
        asked_ms: row.int("asked_ms")?,
    })
}
