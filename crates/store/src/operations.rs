//! Operations: claimed with a lease, written only by the holder of the newest one.
//!
//! The lease's generation is the fence: it grows with every claim, and every write names the one it was
//! claimed with, so a worker that slept through its lease changes nothing.

use gantry_core::action::GuestRef;
use gantry_core::audit::AuditRow;
use gantry_core::id::{ClusterId, OperationId, PlanId, Vmid};
use gantry_core::operation::{OpState, Operation};

use crate::audit::{self, total_of};
use crate::dialect::Kind;
use crate::error::StoreError;
use crate::pool::{Fail, Row, Tx, Value, args};
use crate::sql;
use crate::store::{LEASE_LONGEST_MS, Page, Store, page_limit, page_offset};

/// The right to work on an operation until the lease ends or is renewed.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The operation as it was when claimed.
    pub operation: Operation,
    /// What every write has to name.
    pub generation: i64,
}

/// Which operations to list; all given ones must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpFilter {
    /// Only those not over.
    pub open_only: bool,
    /// Only in this cluster.
    pub cluster: Option<ClusterId>,
    /// Only about this guest.
    pub guest: Option<GuestRef>,
    /// Only those that work on this (`Operation::turn`).
    pub turn: Option<String>,
}

impl Store {
    /// The operation, where there is one.
    pub async fn find_operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        self.call(format!("read operation {id}"), async {
            let row = self.pool.row(sql::OPERATION_FIND, args![id]).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// Operations of these clusters that were confirmed at or after `since_ms` and are over: done, and failed or unknown.
    pub async fn count_operations(
        &self,
        clusters: &[ClusterId],
        since_ms: i64,
    ) -> Result<(u64, u64), StoreError> {
        self.call("count the operations", async {
            let (mut done, mut failed) = (0, 0);
            for cluster in clusters {
                let row = self.pool.row(sql::OPERATIONS_ENDED, args![cluster, since_ms]).await?;
                let Some(row) = row else { continue };
                done += row.int("done")?.max(0).unsigned_abs();
                failed += row.int("failed")?.max(0).unsigned_abs();
            }
            Ok((done, failed))
        })
        .await
    }

    /// Lists operations, newest first. At most 1000 a page.
    pub async fn list_operations(
        &self,
        filter: &OpFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Page<Operation>, StoreError> {
        let wanted = filter.guest.as_ref().map(|g| &g.cluster);
        if let (Some(a), Some(b)) = (wanted, &filter.cluster)
            && a != b
        {
            return Ok(Page { rows: Vec::new(), total: 0 });
        }
        // The narrowest condition leads, so that an index answers it.
        let (page, count) = if filter.guest.is_some() {
            (sql::OPERATIONS_GUEST_PAGE, sql::OPERATIONS_GUEST_COUNT)
        } else if filter.turn.is_some() {
            (sql::OPERATIONS_TURN_PAGE, sql::OPERATIONS_TURN_COUNT)
        } else if filter.open_only {
            (sql::OPERATIONS_OPEN_PAGE, sql::OPERATIONS_OPEN_COUNT)
        } else {
            (sql::OPERATIONS_PAGE, sql::OPERATIONS_COUNT)
        };
        let conditions = || -> Vec<Value> {
            args![
                i64::from(filter.open_only),
                wanted.or(filter.cluster.as_ref()).map(ClusterId::as_str),
                filter.guest.as_ref().map(|g| g.vmid),
                filter.turn.as_deref(),
            ]
        };
        self.call("list operations", async {
            let mut bound = conditions();
            bound.extend(args![page_limit(limit), page_offset(offset)]);
            let rows = self.pool.rows(page, bound).await?;
            let rows = rows.iter().map(read).collect::<Result<Vec<_>, Fail>>()?;
            let total = self.pool.row(count, conditions()).await?;
            Ok(Page { rows, total: total_of(total)? })
        })
        .await
    }

    /// Claims the oldest open operation that nobody holds, until `now_ms + lease_ms`.
    ///
    /// An operation that does not read back stays claimed for that long, so that it stops no other.
    pub async fn claim_operation(
        &self,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<Lease>, StoreError> {
        self.call("claim an operation", async {
            let until = now_ms.saturating_add(lease_ms);
            let args = args![owner, until, now_ms, now_ms.saturating_add(LEASE_LONGEST_MS)];
            let row = self.pool.write_row(sql::OPERATION_CLAIM, args).await?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(Lease { operation: read(&row)?, generation: row.int("lease_gen")? }))
        })
        .await
    }

    /// Holds on to an operation. `false`: it is over, or somebody else has it; stop working on it.
    pub async fn renew(
        &self,
        id: &OperationId,
        generation: i64,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<bool, StoreError> {
        self.call(format!("renew the lease of operation {id}"), async {
            let until = now_ms.saturating_add(lease_ms);
            Ok(self.pool.write(sql::OPERATION_RENEW, args![id, generation, until]).await? == 1)
        })
        .await
    }

    /// Lets go of an operation, so that another worker can have it at once.
    pub async fn release(&self, id: &OperationId, generation: i64) -> Result<bool, StoreError> {
        self.call(format!("release operation {id}"), async {
            Ok(self.pool.write(sql::OPERATION_RELEASE, args![id, generation]).await? == 1)
        })
        .await
    }

    /// Ends the leases of a process that is gone, where that is certain: on SQLite, whose lock lets one process in
    /// at a time. On PostgreSQL other processes may be at work, so leases run out by themselves.
    pub async fn take_over(&self) -> Result<(), StoreError> {
        if self.kind() != Kind::Sqlite {
            return Ok(());
        }
        self.call("take over from the last process", async {
            self.pool.write(sql::OPERATIONS_FREE, args![]).await?;
            self.pool.write(sql::CARDS_FREE, args![]).await?;
            self.pool.write(sql::SETS_FREE, args![]).await?;
            self.pool.write(sql::WATCHES_FREE, args![]).await?;
            self.pool.write(sql::ALERT_LEAD_FREE, args![]).await?;
            Ok(())
        })
        .await
    }

    /// Writes an operation with the audit row of the move, and asks for a newer card. `false`: somebody else
    /// has claimed it since, nothing was changed.
    ///
    /// `cancel_by` is only ever set, never taken back: what somebody asked meanwhile stays asked. Saving an
    /// ended operation again exactly as it is changes nothing and is `true`: the caller's answer was lost.
    pub async fn save_operation(
        &self,
        op: &Operation,
        generation: i64,
        audit: Option<&AuditRow>,
    ) -> Result<bool, StoreError> {
        self.call(format!("save operation {}", op.id), async {
            let mut tx = self.pool.begin().await?;
            let Some(row) = tx.row(sql::OPERATION_HOLD, args![&op.id]).await? else {
                return Ok(false);
            };
            if row.int("lease_gen")? != generation {
                return Ok(false);
            }
            let from = state(&row)?;
            let data = json(op)?;
            if from.is_terminal() && from == op.state && row.text("data")? == data {
                return Ok(true);
            }
            // Still waiting is no move.
            let waits = from == OpState::Queued && op.state == OpState::Queued;
            if !waits && !from.may_become(op.state) {
                let operation = op.id.clone();
                return Err(StoreError::IllegalMove { operation, from, to: op.state }.into());
            }
            let saved = tx
                .write(
                    sql::OPERATION_SAVE,
                    args![
                        &op.id,
                        generation,
                        op.state.as_str(),
                        subject(op),
                        op.vmid,
                        op.cancel_by.as_deref(),
                        data,
                        op.turn().as_deref(),
                    ],
                )
                .await?;
            if saved != 1 {
                return Ok(false);
            }
            if let Some(row) = audit {
                audit::insert(&mut tx, row).await?;
            }
            tx.write(sql::CARD_WANT_FOR_PLAN, args![&row.parsed::<PlanId>("plan_id")?]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Notes that somebody wants an operation stopped. `false`: it is over, or somebody has asked before.
    pub async fn ask_cancel(
        &self,
        id: &OperationId,
        by: &str,
        audit: &AuditRow,
    ) -> Result<bool, StoreError> {
        self.call(format!("ask operation {id} to stop"), async {
            let mut tx = self.pool.begin().await?;
            if tx.write(sql::OPERATION_CANCEL, args![id, by]).await? != 1 {
                return Ok(false);
            }
            audit::insert(&mut tx, audit).await?;
            tx.write(sql::CARD_WANT_FOR_OPERATION, args![id]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Numbers that open operations of a cluster have chosen for guests they are creating. The database also
    /// refuses to let two open operations choose the same one ([`StoreError::is_taken`]).
    pub async fn reserved_vmids(&self, cluster: &ClusterId) -> Result<Vec<Vmid>, StoreError> {
        self.call(format!("list reserved VMIDs of {cluster}"), async {
            let rows = self.pool.rows(sql::OPERATION_RESERVED, args![cluster]).await?;
            rows.iter().map(|row| row.vmid("new_vmid")).collect()
        })
        .await
    }
}

/// Adds a new operation inside the transaction that takes its plan.
pub(crate) async fn insert(tx: &mut Tx, plan: &PlanId, op: &Operation) -> Result<(), Fail> {
    if op.plan != *plan {
        return Err(Fail::Row(format!(
            "operation {} belongs to {}, not to {plan}",
            op.id, op.plan
        )));
    }
    tx.write(
        sql::OPERATION_INSERT,
        args![
            &op.id,
            plan,
            op.action.cluster(),
            subject(op),
            op.vmid,
            op.state.as_str(),
            op.created_ms,
            op.cancel_by.as_deref(),
            json(op)?,
            op.turn().as_deref(),
        ],
    )
    .await?;
    Ok(())
}

/// The guest an operation is about: its target, or the one it creates.
fn subject(op: &Operation) -> Option<Vmid> {
    op.action.guest().map(|(guest, _)| guest.vmid).or(op.vmid)
}

fn json(op: &Operation) -> Result<String, Fail> {
    serde_json::to_string(op)
        .map_err(|e| Fail::Row(format!("operation {} cannot be written as JSON: {e}", op.id)))
}

fn state(row: &Row) -> Result<OpState, Fail> {
    let text = row.text("state")?;
    OpState::ALL
        .iter()
        .copied()
        .find(|s| s.as_str() == text)
        .ok_or_else(|| Fail::Row(format!("`{text}` is no state of an operation")))
}

/// Columns and JSON must tell the same: nothing is done at Proxmox on the word of a row that contradicts
/// itself.
fn read(row: &Row) -> Result<Operation, Fail> {
    let id = row.text("id")?;
    let mut op: Operation = serde_json::from_str(&row.text("data")?)
        .map_err(|e| Fail::Row(format!("operation {id} does not read back: {e}")))?;
    if op.id.as_str() != id || op.plan.as_str() != row.text("plan_id")? || op.state != state(row)? {
        return Err(Fail::Row(format!("operation {id} contradicts itself")));
    }
    op.cancel_by = row.text_opt("cancel_by")?;
    Ok(op)
}

/// An operation from columns that a join calls `op_…`; `None` where it joined nothing.
pub(crate) fn read_joined(row: &Row) -> Result<Option<Operation>, Fail> {
    let Some(data) = row.text_opt("op_data")? else { return Ok(None) };
    let id = row.text("op_id")?;
    let mut op: Operation = serde_json::from_str(&data)
        .map_err(|e| Fail::Row(format!("operation {id} does not read back: {e}")))?;
    if op.id.as_str() != id
        || op.plan.as_str() != row.text("op_plan_id")?
        || op.state.as_str() != row.text("op_state")?
    {
        return Err(Fail::Row(format!("operation {id} contradicts itself")));
    }
    op.cancel_by = row.text_opt("op_cancel_by")?;
    Ok(Some(op))
}
