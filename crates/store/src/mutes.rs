//! What people say about alerts: silences, maintenance windows, other values for rules, who stands in on call.

use gantry_core::alert::{DutyShift, Mirror, Muting, Override};
use gantry_core::audit::AuditRow;
use gantry_core::id::GuildId;
use serde::de::DeserializeOwned;

use crate::audit;
use crate::dialect::Text;
use crate::error::StoreError;
use crate::pool::{Fail, Value, args};
use crate::sql;
use crate::store::Store;

fn json<T: serde::Serialize>(value: &T) -> Result<String, Fail> {
    serde_json::to_string(value)
        .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))
}

pub(crate) fn mute_args(mute: &Muting) -> Result<Vec<Value>, Fail> {
    let guild = mute.guild.to_string();
    Ok(args![mute.id.as_str(), guild, mute.kind.as_str(), mute.until_ms, json(mute)?])
}

impl Store {
    /// Keeps a silence or a maintenance window with what shall stand for it where its alerts come from, and the audit
    /// row, all at once.
    pub async fn save_mute(
        &self,
        mute: &Muting,
        mirrors: &[Mirror],
        row: &AuditRow,
    ) -> Result<(), StoreError> {
        self.call(format!("keep the {}", mute.kind.as_str()), async {
            let mut tx = self.pool.begin().await?;
            tx.write(sql::MUTE_SAVE, mute_args(mute)?).await?;
            crate::hooks::insert_mirrors(&mut tx, mirrors).await?;
            audit::insert(&mut tx, row).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Keeps that a silence ends now, and that what stands for it elsewhere shall end, with the audit row.
    pub async fn end_mute(&self, mute: &Muting, row: &AuditRow) -> Result<(), StoreError> {
        self.call(format!("end the {}", mute.kind.as_str()), async {
            let mut tx = self.pool.begin().await?;
            tx.write(sql::MUTE_SAVE, mute_args(mute)?).await?;
            tx.write(sql::MIRRORS_END, args![mute.id.as_str()]).await?;
            audit::insert(&mut tx, row).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Silences and maintenance windows of a server that are not over.
    pub async fn list_mutes(&self, guild: GuildId, now_ms: i64) -> Result<Vec<Muting>, StoreError> {
        self.call("read the silences", async {
            self.read_data(sql::MUTES_LIST, args![guild.to_string(), now_ms]).await
        })
        .await
    }

    /// Keeps other values for a rule, in place of those for the same selector, with the audit row.
    pub async fn save_override(&self, said: &Override, row: &AuditRow) -> Result<(), StoreError> {
        self.call(format!("keep the override of {}", said.rule), async {
            let args = args![
                said.guild.to_string(),
                said.rule.as_str(),
                said.exception.on.as_str(),
                said.at_ms,
                json(said)?
            ];
            self.with_audit(sql::OVERRIDE_SAVE, args, row).await
        })
        .await
    }

    /// Forgets all overrides of a rule, with the audit row.
    pub async fn remove_overrides(
        &self,
        guild: GuildId,
        rule: &str,
        row: &AuditRow,
    ) -> Result<(), StoreError> {
        self.call(format!("forget the overrides of {rule}"), async {
            self.with_audit(sql::OVERRIDES_REMOVE, args![guild.to_string(), rule], row).await
        })
        .await
    }

    /// What people of a server made of its rules, oldest first.
    pub async fn list_overrides(&self, guild: GuildId) -> Result<Vec<Override>, StoreError> {
        self.call("read the overrides of rules", async {
            self.read_data(sql::OVERRIDES_LIST, args![guild.to_string()]).await
        })
        .await
    }

    /// Notes who stands in on call, with the audit row.
    pub async fn add_shift(
        &self,
        shift: &DutyShift,
        at_ms: i64,
        row: &AuditRow,
    ) -> Result<(), StoreError> {
        self.call("note who is on call", async {
            let args =
                args![shift.guild.to_string(), shift.from_ms, shift.until_ms, at_ms, json(shift)?];
            self.with_audit(sql::SHIFT_ADD, args, row).await
        })
        .await
    }

    /// Who stands in on call, oldest first; without what is over.
    pub async fn list_shifts(
        &self,
        guild: GuildId,
        now_ms: i64,
    ) -> Result<Vec<DutyShift>, StoreError> {
        self.call("read who is on call", async {
            self.read_data(sql::SHIFTS_LIST, args![guild.to_string(), now_ms]).await
        })
        .await
    }

    async fn with_audit(&self, text: Text, args: Vec<Value>, row: &AuditRow) -> Result<(), Fail> {
        let mut tx = self.pool.begin().await?;
        tx.write(text, args).await?;
        audit::insert(&mut tx, row).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn read_data<T: DeserializeOwned>(
        &self,
        text: Text,
        args: Vec<Value>,
    ) -> Result<Vec<T>, Fail> {
        let rows = self.pool.rows(text, args).await?;
        rows.iter()
            .map(|row| {
                serde_json::from_str(&row.text("data")?)
                    .map_err(|e| Fail::Row(format!("a row does not read back: {e}")))
            })
            .collect()
    }
}
