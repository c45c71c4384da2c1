//! What was written while the clock ran ahead, brought back to now: messages, boards and silences would wait until the
//! clock gets there. Asked for at each start, and by whoever begins to lead the alert desks.

use gantry_core::alert::{DutyShift, Muting};

use crate::error::StoreError;
use crate::pool::{Fail, args};
use crate::sql;
use crate::store::Store;

/// No pause that matters is longer; one that is, is cut short once, which costs a try.
const PAUSE_MAX_MS: i64 = 60_000;

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fail> {
    serde_json::from_str(text).map_err(|e| Fail::Row(format!("a row does not read back: {e}")))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Fail> {
    serde_json::to_string(value)
        .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))
}

impl Store {
    /// Brings back what lies ahead of `now_ms`; silences and stand-ins hold as long as they were meant to.
    pub async fn bring_back(&self, now_ms: i64) -> Result<(), StoreError> {
        self.call("bring back what lies ahead", async {
            let most = now_ms.saturating_add(PAUSE_MAX_MS);
            let mut tx = self.pool.begin().await?;
            tx.write(sql::CARDS_AHEAD, args![now_ms, most]).await?;
            tx.write(sql::BOARDS_AHEAD, args![now_ms]).await?;
            tx.write(sql::MIRRORS_AHEAD, args![now_ms, most]).await?;
            for row in tx.rows(sql::MUTES_ALL, args![now_ms]).await? {
                let mute: Muting = read(&row.text("data")?)?;
                if let Some(mute) = mute.brought_back(now_ms) {
                    tx.write(sql::MUTE_SAVE, crate::mutes::mute_args(&mute)?).await?;
                }
            }
            for row in tx.rows(sql::SHIFTS_AHEAD, args![now_ms]).await? {
                let mut shift: DutyShift = read(&row.text("data")?)?;
                let ahead = shift.from_ms - now_ms;
                (shift.from_ms, shift.until_ms) = (now_ms, shift.until_ms - ahead);
                let (guild, at_ms) = (row.text("guild_id")?, row.int("at_ms")?);
                let args = args![guild, at_ms, shift.from_ms, shift.until_ms, json(&shift)?];
                tx.write(sql::SHIFT_SAVE, args).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}
