//! What stands behind buttons and menus, and which interactions were answered already.

use gantry_core::id::UserId;

use crate::dialect::Text;
use crate::error::StoreError;
use crate::pool::args;
use crate::sql;
use crate::store::Store;

/// Rows deleted by one statement: short locks.
const FORGET_BATCH: i64 = 1000;
/// Statements one call makes; the next call goes on.
const FORGET_ROUNDS: usize = 20;

/// The state of a message with buttons or of a form; the button carries only the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// Its id: `sc_` and a ULID.
    pub id: String,
    /// What it is: a list, a choice, a form.
    pub kind: String,
    /// Who may use it.
    pub owner: UserId,
    /// Its state, JSON.
    pub data: String,
    /// When it was made, milliseconds.
    pub created_ms: i64,
    /// Until when it works, milliseconds.
    pub expires_ms: i64,
}

impl Store {
    /// Whether this interaction was never seen before; whoever asks first gets `true`, on any process.
    pub async fn first_sight(&self, interaction: u64, now_ms: i64) -> Result<bool, StoreError> {
        self.call("note an interaction", async {
            let args = args![interaction.to_string(), now_ms];
            Ok(self.pool.write(sql::INTERACTION_INSERT, args).await? == 1)
        })
        .await
    }

    /// Forgets interactions seen, and screens expired, before `before_ms`; returns how many. At most 20,000
    /// of each a call.
    pub async fn forget(&self, before_ms: i64) -> Result<u64, StoreError> {
        let mut gone = self.forget_from(sql::INTERACTIONS_FORGET, before_ms).await?;
        gone += self.forget_from(sql::SCREENS_FORGET, before_ms).await?;
        Ok(gone)
    }

    async fn forget_from(&self, text: Text, before_ms: i64) -> Result<u64, StoreError> {
        let mut gone = 0;
        for _ in 0..FORGET_ROUNDS {
            let batch = self
                .call("forget what is old", async {
                    Ok(self.pool.write(text, args![before_ms, FORGET_BATCH]).await?)
                })
                .await?;
            gone += batch;
            if batch < FORGET_BATCH.unsigned_abs() {
                break;
            }
        }
        Ok(gone)
    }

    /// Keeps a screen, in place of an older state of it.
    pub async fn save_screen(&self, screen: &Screen) -> Result<(), StoreError> {
        self.call(format!("save screen {}", screen.id), async {
            let args = args![
                screen.id.as_str(),
                screen.kind.as_str(),
                screen.owner.to_string(),
                screen.data.as_str(),
                screen.created_ms,
                screen.expires_ms
            ];
            self.pool.write(sql::SCREEN_SAVE, args).await?;
            Ok(())
        })
        .await
    }

    /// The screen, where there is one that still works.
    pub async fn find_screen(&self, id: &str, now_ms: i64) -> Result<Option<Screen>, StoreError> {
        self.call("read a screen", async {
            let Some(row) = self.pool.row(sql::SCREEN_FIND, args![id, now_ms]).await? else {
                return Ok(None);
            };
            Ok(Some(Screen {
                id: row.text("id")?,
                kind: row.text("kind")?,
                owner: UserId(row.parsed("owner_id")?),
                data: row.text("data")?,
                created_ms: row.int("created_ms")?,
                expires_ms: row.int("expires_ms")?,
            }))
        })
        .await
    }
}
