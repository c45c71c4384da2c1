//! Counts for metrics: one statement over small indexes, asked when somebody scrapes.

use crate::error::StoreError;
use crate::pool::args;
use crate::sql;
use crate::store::Store;

/// What waits and what is open, as the database has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Operations that are not over, by state.
    pub operations: Vec<(String, u64)>,
    /// Open incidents, by severity.
    pub incidents: Vec<(String, u64)>,
    /// Alerts, by phase.
    pub alerts: Vec<(String, u64)>,
    /// Cards that are to show something newer.
    pub cards_waiting: u64,
    /// Things told through webhooks that the desks have not taken in.
    pub hooks_waiting: u64,
    /// Silences to be made or ended at Alertmanager.
    pub mirrors_waiting: u64,
}

impl Store {
    /// Counts what is open.
    pub async fn figures(&self) -> Result<StoreFigures, StoreError> {
        self.call("count what is open", async {
            let mut figures = StoreFigures::default();
            for row in self.pool.rows(sql::FIGURES, args![]).await? {
                let (what, label) = (row.text("what")?, row.text("label")?);
                let total = u64::try_from(row.int("total")?).unwrap_or(0);
                match what.as_str() {
                    "operation" => figures.operations.push((label, total)),
                    "incident" => figures.incidents.push((label, total)),
                    "alert" => figures.alerts.push((label, total)),
                    "cards" => figures.cards_waiting = total,
                    "hooks" => figures.hooks_waiting = total,
                    _ => figures.mirrors_waiting += total,
                }
            }
            Ok(figures)
        })
        .await
    }
}
