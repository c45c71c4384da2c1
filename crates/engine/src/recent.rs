//! What was done lately, in memory, for completion: gantry's operations, and tasks and bridges of each cluster.
//!
//! Completion must answer within a keystroke, so nothing is asked when somebody types. What stands here may be some
//! seconds old; what is done with it is read live.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_core::action::Action;
use gantry_core::id::{ClusterId, GuildId, NodeName, OperationId, UserId};
use gantry_core::operation::OpState;
use gantry_store::OpFilter;

use crate::view::{TaskLine, TaskQuery};
use crate::watch::Watched;
use crate::{Engine, Error};

/// Most operations kept: more than anybody scrolls through.
const OPERATIONS_KEPT: u32 = 50;
/// Most tasks kept of each cluster.
const TASKS_KEPT: u32 = 200;
/// Pause between two reads of a cluster's tasks; one call each.
const TASKS_EVERY: Duration = Duration::from_secs(15);

/// An operation as completion needs it.
#[derive(Debug, Clone)]
pub struct RecentOp {
    /// Its id.
    pub id: OperationId,
    /// What it does, for policy.
    pub action: Action,
    /// `pod delete web-0 (lab/201)`.
    pub words: String,
    /// Where it stands.
    pub state: OpState,
    /// Who confirmed it.
    pub by: UserId,
    /// The server it was asked for on; others never hear of it.
    pub guild: Option<GuildId>,
}

/// Operations of lately, newest first.
#[derive(Default)]
pub(crate) struct Memory(ArcSwap<Vec<RecentOp>>);

impl Engine {
    /// Operations of lately, newest first. Memory only.
    pub fn recent_operations(&self) -> Arc<Vec<RecentOp>> {
        self.inner.recent.0.load_full()
    }

    /// Tasks of a cluster seen last, newest first. Memory only.
    pub fn recent_tasks(&self, cluster: &ClusterId) -> Arc<Vec<TaskLine>> {
        self.cluster(cluster).map(Watched::tasks).unwrap_or_default()
    }

    /// Bridges and vnets of a cluster's nodes seen last. Memory only.
    pub fn known_bridges(&self, cluster: &ClusterId) -> Arc<Vec<(NodeName, String)>> {
        self.cluster(cluster).map(Watched::bridges).unwrap_or_default()
    }

    /// Reads the newest operations again. Which server one belongs to never changes, so that is asked once.
    pub(crate) async fn remember_operations(&self) -> Result<(), Error> {
        let page = self.operations(&OpFilter::default(), 0, OPERATIONS_KEPT).await?;
        let before = self.recent_operations();
        let mut next = Vec::with_capacity(page.rows.len());
        for op in page.rows {
            // One without a card, such as a set's own work, gets none once it is over.
            let known = before.iter().find(|k| k.id == op.id);
            let guild = match known.filter(|k| k.guild.is_some() || k.state.is_terminal()) {
                Some(known) => known.guild,
                None => self
                    .store()
                    .find_card_of_operation(&op.id)
                    .await
                    .map_err(Error::store("read the operations"))?
                    .map(|card| card.guild),
            };
            next.push(RecentOp {
                words: format!("{} {}", op.verb.as_str().replace('.', " "), op.target),
                id: op.id,
                action: op.action,
                state: op.state,
                by: op.by,
                guild,
            });
        }
        self.inner.recent.0.store(Arc::new(next));
        Ok(())
    }

    /// Keeps a cluster's tasks young.
    pub(crate) async fn keep_tasks(&self, watched: &Watched) {
        let cluster = watched.view().cluster.clone();
        loop {
            self.see_tasks(&cluster).await;
            self.inner.clock.sleep(TASKS_EVERY).await;
        }
    }

    /// Reads a cluster's tasks now.
    pub(crate) async fn see_tasks(&self, cluster: &ClusterId) {
        let query = TaskQuery { limit: TASKS_KEPT, ..TaskQuery::default() };
        match (self.tasks(cluster, query).await, self.inner.clusters.get(cluster)) {
            (Ok(tasks), Some(watched)) => watched.saw_tasks(tasks),
            (Ok(_), None) => {}
            (Err(error), _) => tracing::debug!(%cluster, %error, "could not read the tasks"),
        }
    }
}
