//! What is looked at beside the cluster's own view: tasks each time, node figures every minute. Whatever cannot be read
//! is left out; the desks then leave what they know as it is. What is read rarely is in `rare`.

use std::time::Duration;

use futures::future::join_all;
use gantry_core::alert::{Around, NodeFigures, TaskSeen};
use gantry_core::id::ClusterId;
use gantry_core::world::{ClusterView, Node, NodeState};
use gantry_proxmox::{Client, Freshness};

use super::wear;
use crate::Engine;

/// Longest that one look beside the view may take; it must not hold up what the view already says.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(8);
/// Pause between two looks at the figures of nodes.
pub(super) const FIGURES_EVERY_MS: i64 = 60_000;
/// Most nodes whose figures are read.
pub(super) const NODES_MAX: usize = 64;
impl Engine {
    /// Looks at everything that is due.
    pub(super) async fn look_around(
        &self,
        cluster: &ClusterId,
        view: &ClusterView,
        figures_due: bool,
    ) -> Around {
        let mut around = Around::default();
        let Ok(client) = self.client(cluster) else { return around };
        around.own_user = client.token_id().to_owned();
        if view.fault.is_some() {
            return around;
        }
        match self.open_on_guests(cluster).await {
            Ok(open) => around.own = open.into_iter().map(|(v, id)| (v, id.to_string())).collect(),
            Err(error) => tracing::warn!(%error, "could not look at gantry's own operations"),
        }
        let tasks = tokio::time::timeout(LOOK_WITHIN, client.cluster_tasks());
        let figures = async {
            match figures_due {
                true => Some(figures(client, view).await),
                false => None,
            }
        };
        let replications = async {
            match figures_due {
                true => wear::replications(client, view).await,
                false => None,
            }
        };
        let (tasks, figures, replications) = tokio::join!(tasks, figures, replications);
        around.replications = replications;
        around.breakers = Some(wear::breakers(client));
        around.tasks = match tasks {
            Ok(Ok(tasks)) => Some(tasks.into_iter().map(task).collect()),
            Ok(Err(error)) => {
                tracing::debug!(%cluster, %error, "could not read the tasks for alerts");
                None
            }
            Err(_) => None,
        };
        around.figures = figures;
        around
    }
}

fn task(entry: gantry_proxmox::TaskEntry) -> TaskSeen {
    let failure = entry.exit.as_ref().filter(|e| !e.is_success()).map(ToString::to_string);
    let ended_ms = entry.ended_s.map(|s| i64::try_from(s).unwrap_or(0).saturating_mul(1000));
    TaskSeen { upid: entry.upid, ended_ms, failure }
}

async fn figures(client: &Client, view: &ClusterView) -> Vec<NodeFigures> {
    let up = view.nodes.iter().filter(|n| n.state == NodeState::Up).take(NODES_MAX);
    let read = up.map(|node| async move {
        let status = client.node_status(&node.name, Freshness::Shared);
        match tokio::time::timeout(LOOK_WITHIN, status).await {
            Ok(Ok(status)) => Some(figures_of(node, &status)),
            // A node that does not answer is told of by its own alert.
            Ok(Err(_)) | Err(_) => None,
        }
    });
    join_all(read).await.into_iter().flatten().collect()
}

fn figures_of(node: &Node, status: &gantry_proxmox::NodeStatus) -> NodeFigures {
    let swap = match (status.swap.used, status.swap.total) {
        (Some(used), Some(total)) if total > 0 => Some(used as f64 / total as f64 * 100.0),
        _ => None,
    };
    let load = status.loadavg.get(1).copied().filter(|_| node.cores > 0.0);
    NodeFigures { node: node.name.clone(), swap, load: load.map(|l| l / node.cores) }
}
