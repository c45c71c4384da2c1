//! Small facts of gantry's own: settings it makes for itself, and counts a day.

use crate::error::StoreError;
use crate::pool::args;
use crate::sql;
use crate::store::Store;

impl Store {
    /// The value kept under a key.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.call(format!("read the setting {key}"), async {
            let row = self.pool.row(sql::SETTING_FIND, args![key]).await?;
            row.map(|row| row.text("value")).transpose()
        })
        .await
    }

    /// Keeps a value under a key.
    pub async fn set_setting(&self, key: &str, value: &str, now_ms: i64) -> Result<(), StoreError> {
        self.call(format!("save the setting {key}"), async {
            self.pool.write(sql::SETTING_SAVE, args![key, value, now_ms]).await?;
            Ok(())
        })
        .await
    }

    /// A count of a day (days since the epoch).
    pub async fn counter(&self, key: &str, day: i64) -> Result<i64, StoreError> {
        self.call(format!("read the count {key}"), async {
            let row = self.pool.row(sql::COUNTER_FIND, args![key, day]).await?;
            Ok(row.map(|row| row.int("value")).transpose()?.unwrap_or(0))
        })
        .await
    }

    /// Adds `by` to a count of a day (days since the epoch), and returns the sum.
    pub async fn bump_counter(&self, key: &str, day: i64, by: i64) -> Result<i64, StoreError> {
        self.call(format!("count {key}"), async {
            let row = self.pool.write_row(sql::COUNTER_BUMP, args![key, day, by]).await?;
            Ok(row.map(|row| row.int("value")).transpose()?.unwrap_or(0))
        })
        .await
    }
}
