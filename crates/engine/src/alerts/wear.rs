//! Reads what ages and breaks by itself, of every node that is up. Whatever cannot be read is left out; what a token may
//! not see is as if it were not there.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use gantry_core::alert::{DiskSeen, Wear};
use gantry_core::id::{NodeName, Vmid};
use gantry_core::world::{ClusterView, Node, NodeState};
use gantry_proxmox::{Client, State};

use super::look::{LOOK_WITHIN, NODES_MAX};

/// The certificate of a cluster's own authority: it lasts ten years, and renewing it is another matter.
const AUTHORITY: &str = "pve-root-ca.pem";
/// Where a node's API has its own certificate when one was put there.
const OWN_CERTIFICATE: &str = "pveproxy-ssl.pem";
/// What SMART says of a disk that is well, or of one that cannot be asked.
const DISK_WELL: [&str; 4] = ["PASSED", "OK", "UNKNOWN", ""];
const DAY_S: f64 = 86_400.0;

fn up(view: &ClusterView) -> impl Iterator<Item = &Node> {
    view.nodes.iter().filter(|n| n.state == NodeState::Up).take(NODES_MAX)
}

/// Failures of every guest's replication; `None` when a node could not be read, since a guest's job may be there.
pub(super) async fn replications(
    client: &Client,
    view: &ClusterView,
) -> Option<BTreeMap<Vmid, (u32, String)>> {
    let read = up(view).map(|node| async {
        tokio::time::timeout(LOOK_WITHIN, client.replications(&node.name)).await.ok()?.ok()
    });
    let mut all: BTreeMap<Vmid, (u32, String)> = BTreeMap::new();
    for jobs in join_all(read).await {
        for job in jobs?.iter() {
            let Some(guest) = job.guest else { continue };
            let failed = u32::try_from(job.fail_count.unwrap_or(0)).unwrap_or(u32::MAX);
            let to = job.target.as_deref().unwrap_or("another node");
            let why = match (&job.error, failed) {
                (_, 0) => String::new(),
                (Some(error), _) => format!("to {to}: {error}"),
                (None, _) => format!("to {to}"),
            };
            let known = all.entry(guest).or_default();
            if failed >= known.0 {
                *known = (failed, why);
            }
        }
    }
    let lost = view.nodes.iter().any(|n| n.state != NodeState::Up);
    (!lost).then_some(all)
}

/// Nodes that the client does not ask for now.
pub(super) fn breakers(client: &Client) -> BTreeMap<NodeName, String> {
    let health = client.health();
    let open = health.nodes.iter().filter(|n| n.state == State::Down);
    open.map(|n| (n.node.clone(), n.last_error.clone().unwrap_or_default())).collect()
}

/// Everything else.
pub(super) async fn read(client: &Client, view: &ClusterView, now_ms: i64) -> Wear {
    let nodes = join_all(up(view).map(|node| of_node(client, node, now_ms))).await;
    let (ceph, uncovered) = tokio::join!(client.ceph_health(), client.not_backed_up());
    let mut wear = Wear {
        whole: nodes.iter().all(|n| n.disks_read) && view.nodes.len() == nodes.len(),
        ..Wear::default()
    };
    for node in nodes {
        wear.certificates.extend(node.certificate);
        wear.disks.extend(node.disks);
    }
    wear.ceph = ceph.ok().and_then(|ceph| {
        let level = match ceph.status.as_str() {
            "HEALTH_OK" => 0,
            "HEALTH_WARN" => 1,
            "HEALTH_ERR" => 2,
            _ => return None,
        };
        Some((level, ceph.reasons.join("; ")))
    });
    wear.uncovered = uncovered.ok().map(BTreeSet::from_iter);
    wear
}

struct OfNode {
    certificate: Option<(NodeName, f64)>,
    disks: Vec<DiskSeen>,
    disks_read: bool,
}

async fn of_node(client: &Client, node: &Node, now_ms: i64) -> OfNode {
    let name = &node.name;
    let (certificates, disks, pools) =
        tokio::join!(client.certificates(name), client.disks(name), client.zfs_pools(name));
    let certificate = certificates.ok().and_then(|all| {
        let shown = |file: &str| all.iter().find(|c| c.filename.as_deref() == Some(file));
        let other = || all.iter().find(|c| c.filename.as_deref() != Some(AUTHORITY));
        let ends_s = shown(OWN_CERTIFICATE).or_else(other)?.notafter?;
        Some((name.clone(), (ends_s as f64 - now_ms as f64 / 1000.0) / DAY_S))
    });
    let disks_read = disks.is_ok();
    let mut seen = Vec::new();
    for disk in disks.iter().flat_map(|all| all.iter()) {
        let Some(path) = &disk.devpath else { continue };
        let health = disk.health.clone().unwrap_or_default();
        let model = disk.model.clone().unwrap_or_default();
        seen.push(DiskSeen {
            node: name.clone(),
            name: path.clone(),
            is_pool: false,
            well: DISK_WELL.iter().any(|w| w.eq_ignore_ascii_case(&health)),
            says: format!("{model} says: {health}").trim_start().to_owned(),
        });
    }
    for pool in pools.iter().flat_map(|all| all.iter()) {
        let (Some(pool_name), Some(health)) = (&pool.name, &pool.health) else { continue };
        seen.push(DiskSeen {
            node: name.clone(),
            name: pool_name.clone(),
            is_pool: true,
            well: health == "ONLINE",
            says: format!("its state is {health}"),
        });
    }
    OfNode { certificate, disks: seen, disks_read }
}
