//! The audit log: rows are added, in the transaction of the move they tell of, and never changed.

use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{ChannelId, GuildId, OperationId, PlanId, UserId};

use crate::dialect::Text;
use crate::error::StoreError;
use crate::pool::{Fail, Row, Tx, Value, args};
use crate::sql;
use crate::store::{Page, Store, page_limit, page_offset};

/// Which rows to list; all given ones must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Rows about this plan.
    pub plan: Option<PlanId>,
    /// Rows about this operation.
    pub operation: Option<OperationId>,
    /// Rows about what this person did.
    pub user: Option<UserId>,
}

impl Store {
    /// Adds a row that belongs to no move of state: a refusal, for example.
    pub async fn append_audit(&self, row: &AuditRow) -> Result<(), StoreError> {
        self.call(format!("write the audit row {}", row.id), async {
            let mut tx = self.pool.begin().await?;
            insert(&mut tx, row).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Lists rows, newest first. At most 1000 a page.
    pub async fn list_audit(
        &self,
        filter: &AuditFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Page<AuditRow>, StoreError> {
        // The narrowest condition leads, so that an index answers it.
        let (page, count): (Text, Text) = if filter.operation.is_some() {
            (sql::AUDIT_OPERATION_PAGE, sql::AUDIT_OPERATION_COUNT)
        } else if filter.plan.is_some() {
            (sql::AUDIT_PLAN_PAGE, sql::AUDIT_PLAN_COUNT)
        } else if filter.user.is_some() {
            (sql::AUDIT_USER_PAGE, sql::AUDIT_USER_COUNT)
        } else {
            (sql::AUDIT_PAGE, sql::AUDIT_COUNT)
        };
        let conditions = || -> Vec<Value> {
            args![
                filter.plan.as_ref().map(PlanId::as_str),
                filter.operation.as_ref().map(OperationId::as_str),
                filter.user.map(|u| u.to_string()),
            ]
        };
        self.call("read the audit log", async {
            let mut bound = conditions();
            bound.extend(args![page_limit(limit), page_offset(offset)]);
            let rows = self.pool.rows(page, bound).await?;
            let rows = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
            let total = self.pool.row(count, conditions()).await?;
            Ok(Page { rows, total: total_of(total)? })
        })
        .await
    }
}

/// The number a count answered.
pub(crate) fn total_of(row: Option<Row>) -> Result<u64, Fail> {
    let total = row.map(|row| row.int("total")).transpose()?.unwrap_or(0);
    Ok(u64::try_from(total).unwrap_or(0))
}

/// Adds a row inside the transaction of the move it tells of. Adding the very same row again is fine: a
/// caller whose answer was lost may repeat itself.
pub(crate) async fn insert(tx: &mut Tx, row: &AuditRow) -> Result<(), Fail> {
    let added = tx
        .write(
            sql::AUDIT_INSERT,
            args![
                row.id.as_str(),
                row.at_ms,
                row.event.as_str(),
                row.user.map(|u| u.to_string()),
                row.user_name.as_str(),
                row.guild.map(|g| g.to_string()),
                row.channel.map(|c| c.to_string()),
                row.verb.as_str(),
                row.target.as_str(),
                row.plan.as_ref().map(PlanId::as_str),
                row.operation.as_ref().map(OperationId::as_str),
                row.detail.as_str(),
            ],
        )
        .await?;
    if added == 1 {
        return Ok(());
    }
    let there = tx.row(sql::AUDIT_FIND, args![row.id.as_str()]).await?;
    let same = match there {
        Some(there) => {
            let there = read(&there)?;
            (there.at_ms, there.event, &there.plan, &there.operation)
                == (row.at_ms, row.event, &row.plan, &row.operation)
        }
        None => false,
    };
    if same { Ok(()) } else { Err(Fail::Row(format!("another audit row has the id {}", row.id))) }
}

fn read(row: &Row) -> Result<AuditRow, Fail> {
    let event = row.text("event")?;
    Ok(AuditRow {
        id: row.parsed("id")?,
        at_ms: row.int("at_ms")?,
        event: AuditEvent::ALL
            .iter()
            .copied()
            .find(|e| e.as_str() == event)
            .ok_or_else(|| Fail::Row(format!("`{event}` is no audit event")))?,
        user: row.parsed_opt("user_id")?.map(UserId),
        user_name: row.text("user_name")?,
        guild: row.parsed_opt("guild_id")?.map(GuildId),
        channel: row.parsed_opt("channel_id")?.map(ChannelId),
        verb: row.parsed("verb")?,
        target: row.text("target")?,
        plan: row.parsed_opt("plan_id")?,
        operation: row.parsed_opt("operation_id")?,
        detail: row.text("detail")?,
    })
}
