//! Plans: open until they are confirmed once, or dropped. Every move is compare-and-set on `state = 'open'`,
//! in one transaction with its audit row and the wish for a newer card.

use gantry_core::audit::AuditRow;
use gantry_core::id::{CardId, OperationId, PlanId};
use gantry_core::operation::Operation;
use gantry_core::plan::Plan;

use crate::audit;
use crate::cards::{self, NewCard};
use crate::error::StoreError;
use crate::operations;
use crate::pool::{Fail, Row, Tx, args};
use crate::sql;
use crate::store::Store;

/// Most plans one sweep expires; the next sweep takes the rest.
const EXPIRE_BATCH: i64 = 100;
/// Why a plan that nobody confirmed in time was dropped.
const EXPIRED: &str = "expired";

/// Where a plan stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanState {
    /// May be confirmed.
    Open,
    /// Was confirmed, and started this operation.
    Confirmed(OperationId),
    /// Never will be carried out; why.
    Dropped(String),
}

/// A plan as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPlan {
    /// The plan.
    pub plan: Plan,
    /// Where it stands.
    pub state: PlanState,
    /// The card it was shown on.
    pub card: CardId,
}

/// What confirming came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// The operation was started now.
    Started,
    /// Somebody was faster: that operation was started.
    Already(OperationId),
    /// The plan had been dropped, or had expired; why.
    Dropped(String),
    /// There is no such plan.
    NotFound,
}

impl Store {
    /// Keeps a plan that is being shown, its card (nothing wanted on it yet: the asker gets the plan as the
    /// answer) and its audit row.
    pub async fn save_plan(
        &self,
        plan: &Plan,
        card: &NewCard,
        audit: &AuditRow,
    ) -> Result<(), StoreError> {
        self.call(format!("save plan {}", plan.id), async {
            let mut tx = self.pool.begin().await?;
            cards::insert(&mut tx, card, &plan.id, 0, plan.created_ms).await?;
            insert(&mut tx, plan, &card.id, None).await?;
            audit::insert(&mut tx, audit).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Keeps a plan that needs no confirmation together with its operation; its card is wanted at once.
    pub async fn save_started(
        &self,
        plan: &Plan,
        card: &NewCard,
        op: &Operation,
        audit: &[AuditRow],
    ) -> Result<(), StoreError> {
        self.call(format!("start operation {}", op.id), async {
            let mut tx = self.pool.begin().await?;
            cards::insert(&mut tx, card, &plan.id, 1, plan.created_ms).await?;
            insert(&mut tx, plan, &card.id, Some(&op.id)).await?;
            operations::insert(&mut tx, &plan.id, op).await?;
            for row in audit {
                audit::insert(&mut tx, row).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// The plan, where there is one.
    pub async fn find_plan(&self, id: &PlanId) -> Result<Option<StoredPlan>, StoreError> {
        self.call(format!("read plan {id}"), async {
            let row = self.pool.row(sql::PLAN_FIND, args![id]).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// Starts `op` if the plan is still open, and not expired when `op` was made. However many confirm at
    /// once, one of them gets `Started`.
    pub async fn confirm_plan(
        &self,
        plan: &PlanId,
        op: &Operation,
        audit: &AuditRow,
    ) -> Result<Confirmation, StoreError> {
        self.call(format!("confirm plan {plan}"), async {
            let mut tx = self.pool.begin().await?;
            let bound = args![plan, &op.id, op.created_ms];
            let Some(row) = tx.row(sql::PLAN_CONFIRM, bound).await? else {
                let row = tx.row(sql::PLAN_FIND, args![plan]).await?;
                return match row.as_ref().map(state).transpose()? {
                    None => Ok(Confirmation::NotFound),
                    // Open, but over: the sweep has not come by yet.
                    Some(PlanState::Open) => Ok(Confirmation::Dropped(EXPIRED.to_owned())),
                    Some(PlanState::Confirmed(operation)) => Ok(Confirmation::Already(operation)),
                    Some(PlanState::Dropped(why)) => Ok(Confirmation::Dropped(why)),
                };
            };
            let card: CardId = row.parsed("card_id")?;
            operations::insert(&mut tx, plan, op).await?;
            audit::insert(&mut tx, audit).await?;
            tx.write(sql::CARD_WANT, args![&card]).await?;
            tx.commit().await?;
            Ok(Confirmation::Started)
        })
        .await
    }

    /// Drops the plan if it is still open.
    pub async fn drop_plan(
        &self,
        plan: &PlanId,
        why: &str,
        audit: &AuditRow,
    ) -> Result<bool, StoreError> {
        self.call(format!("drop plan {plan}"), async {
            let mut tx = self.pool.begin().await?;
            let Some(row) = tx.row(sql::PLAN_DROP, args![plan, why]).await? else {
                return Ok(false);
            };
            let card: CardId = row.parsed("card_id")?;
            audit::insert(&mut tx, audit).await?;
            tx.write(sql::CARD_WANT, args![&card]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Drops the old plan if it is still open, and shows the new one on its card.
    pub async fn replace_plan(
        &self,
        old: &PlanId,
        why: &str,
        new: &Plan,
        audit: &[AuditRow],
    ) -> Result<bool, StoreError> {
        self.call(format!("replace plan {old}"), async {
            let mut tx = self.pool.begin().await?;
            let Some(row) = tx.row(sql::PLAN_DROP, args![old, why]).await? else {
                return Ok(false);
            };
            let card: CardId = row.parsed("card_id")?;
            insert(&mut tx, new, &card, None).await?;
            for row in audit {
                audit::insert(&mut tx, row).await?;
            }
            tx.write(sql::CARD_SUBJECT, args![&card, &new.id]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Drops plans whose time is over, at most 100 a call, each with the audit row that `audit` makes of it.
    /// Returns how many.
    pub async fn expire_plans(
        &self,
        now_ms: i64,
        audit: impl Fn(&Plan) -> AuditRow + Send + Sync,
    ) -> Result<u64, StoreError> {
        let rows = self
            .call("look for expired plans", async {
                Ok(self.pool.rows(sql::PLANS_EXPIRED, args![now_ms, EXPIRE_BATCH]).await?)
            })
            .await?;
        let mut expired = 0;
        // A transaction each: short locks, and one bad plan stops no other.
        for row in rows {
            let dropped = self.call("expire a plan", async {
                let id: PlanId = row.parsed("id")?;
                let plan = match read_data(&row) {
                    Ok(plan) => Some(plan),
                    Err(fail) => {
                        // Nobody can tell what it was, so nobody may confirm it.
                        let error = self.tell("read an expired plan", fail);
                        tracing::error!(plan = %id, %error, "an expired plan was unreadable");
                        None
                    }
                };
                let mut tx = self.pool.begin().await?;
                let why = if plan.is_some() { EXPIRED } else { "unreadable" };
                let Some(row) = tx.row(sql::PLAN_DROP, args![&id, why]).await? else {
                    return Ok(false);
                };
                let card: CardId = row.parsed("card_id")?;
                if let Some(plan) = &plan {
                    audit::insert(&mut tx, &audit(plan)).await?;
                }
                tx.write(sql::CARD_WANT, args![&card]).await?;
                tx.commit().await?;
                Ok(true)
            });
            expired += u64::from(dropped.await?);
        }
        Ok(expired)
    }
}

pub(crate) async fn insert(
    tx: &mut Tx,
    plan: &Plan,
    card: &CardId,
    operation: Option<&OperationId>,
) -> Result<(), Fail> {
    let data = serde_json::to_string(plan)
        .map_err(|e| Fail::Row(format!("plan {} cannot be written as JSON: {e}", plan.id)))?;
    let state = if operation.is_some() { "confirmed" } else { "open" };
    tx.write(
        sql::PLAN_INSERT,
        args![
            &plan.id,
            card,
            state,
            operation.map(OperationId::as_str),
            plan.created_ms,
            plan.expires_ms,
            data,
        ],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<StoredPlan, Fail> {
    Ok(StoredPlan { plan: read_data(row)?, state: state(row)?, card: row.parsed("card_id")? })
}

fn state(row: &Row) -> Result<PlanState, Fail> {
    Ok(match row.text("state")?.as_str() {
        "open" => PlanState::Open,
        "confirmed" => PlanState::Confirmed(row.parsed("operation_id")?),
        "dropped" => PlanState::Dropped(row.text("why")?),
        other => return Err(Fail::Row(format!("`{other}` is no state of a plan"))),
    })
}

fn read_data(row: &Row) -> Result<Plan, Fail> {
    let id = row.text("id")?;
    let plan: Plan = serde_json::from_str(&row.text("data")?)
        .map_err(|e| Fail::Row(format!("plan {id} does not read back: {e}")))?;
    if plan.id.as_str() != id {
        return Err(Fail::Row(format!("plan {id} holds the data of plan {}", plan.id)));
    }
    Ok(plan)
}
