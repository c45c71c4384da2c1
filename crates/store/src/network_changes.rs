//! Changes of networks: what was before, until when somebody may keep them, and what was decided. A decision is
//! made once; whoever comes later changes nothing.

use gantry_core::audit::AuditRow;
use gantry_core::id::{ClusterId, OperationId};
use gantry_core::network::{Decision, Net, Scope};

use crate::audit;
use crate::error::StoreError;
use crate::pool::{Fail, Row, args};
use crate::sql;
use crate::store::Store;

/// A change of a network as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkChangeRow {
    /// The operation.
    pub operation: OperationId,
    /// The configuration before it.
    pub former: Net,
    /// Until when somebody may keep the change, milliseconds; `None` while that has not begun.
    pub until_ms: Option<i64>,
    /// What was decided, and by whom.
    pub decision: Option<(Decision, String)>,
}

impl Store {
    /// Keeps the former configuration. What was kept first stays.
    pub async fn save_network_change(
        &self,
        operation: &OperationId,
        cluster: &ClusterId,
        former: &Net,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.call(format!("save the former network of {operation}"), async {
            let text = serde_json::to_string(former)
                .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))?;
            let scope = match &former.scope {
                Scope::Node(node) => node.as_str(),
                Scope::Sdn => "sdn",
            };
            let args = args![operation, cluster, scope, text, now_ms];
            self.pool.write(sql::NETWORK_CHANGE_SAVE, args).await?;
            Ok(())
        })
        .await
    }

    /// The change, where its former configuration was kept.
    pub async fn find_network_change(
        &self,
        operation: &OperationId,
    ) -> Result<Option<NetworkChangeRow>, StoreError> {
        self.call(format!("read the former network of {operation}"), async {
            let row = self.pool.row(sql::NETWORK_CHANGE_FIND, args![operation]).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// Sets until when somebody may keep the change; the first time counts.
    pub async fn open_network_change(
        &self,
        operation: &OperationId,
        until_ms: i64,
    ) -> Result<(), StoreError> {
        self.call(format!("begin to wait for Keep of {operation}"), async {
            self.pool.write(sql::NETWORK_CHANGE_UNTIL, args![operation, until_ms]).await?;
            Ok(())
        })
        .await
    }

    /// Decides by gantry itself. `false`: it was decided before.
    pub async fn decide_network_change(
        &self,
        operation: &OperationId,
        decision: Decision,
        by: &str,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        self.call(format!("decide about {operation}"), async {
            let args = args![operation, decision.as_str(), by, now_ms];
            Ok(self.pool.write(sql::NETWORK_CHANGE_DECIDE, args).await? == 1)
        })
        .await
    }

    /// Decides for somebody who pressed, with the audit row, and asks for a newer card. `false`: it was decided
    /// before, the time is over, or waiting has not begun.
    pub async fn press_network_change(
        &self,
        operation: &OperationId,
        decision: Decision,
        by: &str,
        now_ms: i64,
        audit: &AuditRow,
    ) -> Result<bool, StoreError> {
        self.call(format!("decide about {operation}"), async {
            let mut tx = self.pool.begin().await?;
            let args = args![operation, decision.as_str(), by, now_ms];
            if tx.write(sql::NETWORK_CHANGE_PRESS, args).await? != 1 {
                return Ok(false);
            }
            audit::insert(&mut tx, audit).await?;
            tx.write(sql::CARD_WANT_FOR_OPERATION, args![operation]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }
}

fn read(row: &Row) -> Result<NetworkChangeRow, Fail> {
    let operation: OperationId = row.parsed("operation_id")?;
    let former = serde_json::from_str(&row.text("former")?).map_err(|e| {
        Fail::Row(format!("the former network of {operation} does not read back: {e}"))
    })?;
    let decision = match row.text_opt("decision")? {
        None => None,
        Some(text) => {
            let known = Decision::ALL.iter().copied().find(|d| d.as_str() == text);
            let decision = known
                .ok_or_else(|| Fail::Row(format!("`{text}` is no decision about a network")))?;
            Some((decision, row.text("decided_by")?))
        }
    };
    Ok(NetworkChangeRow { operation, former, until_ms: row.int_opt("until_ms")?, decision })
}
