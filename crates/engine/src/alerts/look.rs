//! What is looked at beside the cluster's own view: tasks each time, node figures every minute, backups now and then.
//! Whatever cannot be read is left out; the desks then leave what they know as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use gantry_core::alert::{Around, NodeFigures, TaskSeen};
use gantry_core::id::{ClusterId, Vmid};
use gantry_core::world::{ClusterView, Node, NodeState};
use gantry_proxmox::{Client, Freshness};

use super::wear;
use crate::Engine;

/// Longest that one look beside the view may take; it must not hold up what the view already says.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(8);
/// Longest for the backups of all storages.
const BACKUPS_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks at the figures of nodes.
const FIGURES_EVERY_MS: i64 = 60_000;
/// Pause between two looks at backups: a call a storage.
const BACKUPS_EVERY_MS: i64 = 30 * 60_000;
/// Pause between two looks at what ages: slow calls to every node.
const WEAR_EVERY_MS: i64 = 30 * 60_000;
/// Longest for those.
const WEAR_WITHIN: Duration = Duration::from_secs(60);
/// Most nodes whose figures are read.
pub(super) const NODES_MAX: usize = 64;
/// Most storages whose backups are read.
const STORAGES_MAX: usize = 32;

/// When things were looked at last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looked {
    figures_ms: i64,
    backups_ms: i64,
    wear_ms: i64,
}

impl Engine {
    /// Looks at everything that is due.
    pub(super) async fn look_around(
        &self,
        cluster: &ClusterId,
        view: &ClusterView,
        looked: &mut Looked,
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
        let now_ms = self.now_ms();
        let tasks = tokio::time::timeout(LOOK_WITHIN, client.cluster_tasks());
        let figures_due = now_ms - looked.figures_ms >= FIGURES_EVERY_MS;
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
        if figures.is_some() {
            looked.figures_ms = now_ms;
        }
        around.figures = figures;
        if now_ms - looked.backups_ms >= BACKUPS_EVERY_MS {
            looked.backups_ms = now_ms;
            around.backups =
                tokio::time::timeout(BACKUPS_WITHIN, backups(client, view)).await.ok().flatten();
        }
        if now_ms - looked.wear_ms >= WEAR_EVERY_MS {
            looked.wear_ms = now_ms;
            let wear = wear::read(client, view, now_ms);
            around.wear = tokio::time::timeout(WEAR_WITHIN, wear).await.ok();
        }
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

/// The newest backup of each guest; `None` when a storage could not be read, since a guest's newest may be there.
pub(super) async fn backups(client: &Client, view: &ClusterView) -> Option<BTreeMap<Vmid, i64>> {
    let mut newest: BTreeMap<Vmid, i64> = BTreeMap::new();
    let mut shared = Vec::new();
    let holds = view.storages.iter().filter(|s| s.content.iter().any(|c| c == "backup"));
    for storage in holds.take(STORAGES_MAX) {
        if storage.shared && shared.contains(&&storage.id) {
            continue;
        }
        if !storage.active || view.node(&storage.node).is_none_or(|n| n.state != NodeState::Up) {
            return None;
        }
        if storage.shared {
            shared.push(&storage.id);
        }
        let read =
            client.storage_content(&storage.node, &storage.id, Some("backup"), Freshness::Shared);
        let volumes = match read.await {
            Ok(volumes) => volumes,
            Err(error) => {
                tracing::debug!(storage = %storage.id, %error, "could not read backups");
                return None;
            }
        };
        for volume in volumes.iter() {
            let (Some(vmid), Some(at_s)) = (volume.vmid, volume.ctime) else { continue };
            let at_ms = i64::try_from(at_s).unwrap_or(0).saturating_mul(1000);
            let known = newest.entry(vmid).or_insert(at_ms);
            *known = at_ms.max(*known);
        }
    }
    Some(newest)
}
