//! Reads a cluster into a view: one `cluster/resources`, one `cluster/status`, and what is known of nodes
//! that do not answer. What cannot be read now keeps its last figures, marked with their age.

use std::collections::BTreeMap;

use gantry_core::id::NodeName;
use gantry_core::world::{ClusterView, Guest, GuestStatus, Node, NodeState, SeenImage, Storage};
use gantry_proxmox::{Client, Error, Freshness, Resource, ResourceKind, State};

/// Most storages whose images are read in one go.
const IMAGE_STORAGES_MAX: usize = 32;
/// Most nodes whose bridges are read.
const NODES_MAX: usize = 64;
/// Most images, and most offers, kept for completion.
const IMAGES_MAX: usize = 2000;

/// Reads a cluster again. `old` gives what cannot be read now, and since when nodes have been in their state.
pub(crate) async fn read(
    client: &Client,
    old: &ClusterView,
    now_ms: i64,
) -> Result<ClusterView, Error> {
    let resources = client.resources(Freshness::Fresh).await?;
    // The summary is worth having without the rest.
    let status = client.cluster_status(Freshness::Shared).await.ok();
    let version = match &old.version {
        Some(version) => Some(version.clone()),
        None => client.version().await.ok().and_then(|v| v.version.clone()),
    };
    let mut view = ClusterView::unseen(old.cluster.clone());
    view.observed_ms = now_ms;
    view.quorate = status.as_ref().map(|s| s.quorate);
    view.version = version;
    view.templates.clone_from(&old.templates);
    view.images.clone_from(&old.images);
    view.catalogue.clone_from(&old.catalogue);
    let known: BTreeMap<_, _> = old.guests.iter().map(|g| (g.vmid, g)).collect();
    for row in resources.iter() {
        match row.kind {
            ResourceKind::Node => view.nodes.extend(node(row, old, now_ms)),
            ResourceKind::Guest(_) => view.guests.extend(guest(row, &view.cluster, &known)),
            ResourceKind::Storage => view.storages.extend(storage(row, old)),
            ResourceKind::Pool | ResourceKind::Other => {}
        }
    }
    view.guests.sort_by_key(|g| g.vmid);
    view.nodes.sort_by(|a, b| a.name.cmp(&b.name));
    view.storages.sort_by(|a, b| (&a.id, &a.node).cmp(&(&b.id, &b.node)));
    apply_health(&mut view, client, old, now_ms);
    mark_unreachable(&mut view);
    Ok(view)
}

/// The view after a read that failed: what was known, with the reason and what the client knows of nodes.
pub(crate) fn failed(
    old: &ClusterView,
    client: &Client,
    now_ms: i64,
    fault: String,
) -> ClusterView {
    let mut view = old.clone();
    view.fault = Some(fault);
    apply_health(&mut view, client, old, now_ms);
    view
}

fn node(row: &Resource, old: &ClusterView, now_ms: i64) -> Option<Node> {
    let name = row.node.clone()?;
    let before = old.node(&name);
    let state = match row.status.as_deref() {
        Some("online") => NodeState::Up,
        Some("offline") => NodeState::Down,
        _ => NodeState::Unknown,
    };
    let fresh = row.maxmem.is_some_and(|m| m > 0);
    let keep = |now: Option<u64>, was: fn(&Node) -> u64| {
        now.filter(|_| fresh).or_else(|| before.map(was)).unwrap_or(0)
    };
    let keep_f = |now: Option<f64>, was: fn(&Node) -> f64| {
        now.filter(|_| fresh).or_else(|| before.map(was)).unwrap_or(0.0)
    };
    Some(Node {
        since_ms: before.filter(|b| b.state == state).map_or(now_ms, |b| b.since_ms),
        reason: match state {
            NodeState::Up => None,
            NodeState::Down => Some("the cluster says it is offline".into()),
            NodeState::Unknown => Some("the cluster has no news of it".into()),
        },
        seen_ms: if fresh { now_ms } else { before.map_or(0, |b| b.seen_ms) },
        cpu: keep_f(row.cpu, |n| n.cpu),
        cores: keep_f(row.maxcpu, |n| n.cores),
        mem: keep(row.mem, |n| n.mem),
        mem_max: keep(row.maxmem, |n| n.mem_max),
        disk: keep(row.disk, |n| n.disk),
        disk_max: keep(row.maxdisk, |n| n.disk_max),
        uptime_s: keep(row.uptime, |n| n.uptime_s),
        state,
        name,
    })
}

fn guest(
    row: &Resource,
    cluster: &gantry_core::id::ClusterId,
    known: &BTreeMap<gantry_core::id::Vmid, &Guest>,
) -> Option<Guest> {
    let (vmid, kind, node) = (row.vmid?, row.guest_kind()?, row.node.clone()?);
    let before = known.get(&vmid).filter(|g| g.kind == kind);
    // An unreachable node has no names and no figures to give; the guest keeps those it had.
    let last = before.filter(|_| row.maxmem.is_none_or(|m| m == 0));
    let name = row.name.clone().or_else(|| before.map(|g| g.name.clone()));
    Some(Guest {
        cluster: cluster.clone(),
        vmid,
        kind,
        name: name.unwrap_or_else(|| format!("{} {vmid}", kind.short())),
        node,
        status: GuestStatus::read(row.status.as_deref().unwrap_or("unknown"), None),
        lock: row.lock.clone().filter(|l| !l.is_empty()),
        tags: match (&row.tags, before) {
            (None, Some(before)) if row.name.is_none() => before.tags.clone(),
            _ => row.tags().map(str::to_owned).collect(),
        },
        pool: row.pool.clone(),
        template: row.template,
        cpu: last.map_or(row.cpu.unwrap_or(0.0), |b| b.cpu),
        cores: last.map_or(row.maxcpu.unwrap_or(0.0), |b| b.cores),
        mem: last.map_or(row.mem.unwrap_or(0), |b| b.mem),
        mem_max: last.map_or(row.maxmem.unwrap_or(0), |b| b.mem_max),
        disk: last.map_or(row.disk.unwrap_or(0), |b| b.disk),
        disk_max: last.map_or(row.maxdisk.unwrap_or(0), |b| b.disk_max),
        uptime_s: row.uptime.unwrap_or(0),
        ha: row.hastate.clone(),
    })
}

fn storage(row: &Resource, old: &ClusterView) -> Option<Storage> {
    let (id, node) = (row.storage.clone()?, row.node.clone()?);
    let before = old.storages.iter().find(|s| s.id == id && s.node == node);
    let last = before.filter(|_| row.maxdisk.is_none_or(|m| m == 0));
    Some(Storage {
        kind: row.plugintype.clone().unwrap_or_default(),
        shared: row.shared,
        used: last.map_or(row.disk.unwrap_or(0), |b| b.used),
        total: last.map_or(row.maxdisk.unwrap_or(0), |b| b.total),
        id,
        node,
        active: row.status.as_deref() == Some("available"),
        content: row
            .content
            .as_deref()
            .unwrap_or_default()
            .split(',')
            .filter(|c| !c.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

/// What the client itself has seen of nodes: one that does not answer us is not up, whatever the summary says.
fn apply_health(view: &mut ClusterView, client: &Client, old: &ClusterView, now_ms: i64) {
    let health = client.health();
    for seen in &health.nodes {
        if seen.state != State::Down && seen.state != State::HalfOpen {
            continue;
        }
        let Some(node) = view.nodes.iter_mut().find(|n| n.name == seen.node) else { continue };
        if node.state != NodeState::Up {
            continue;
        }
        node.state = NodeState::Unknown;
        node.reason = Some(seen.last_error.clone().unwrap_or_else(|| "it does not answer".into()));
        let before = old.node(&node.name).filter(|b| b.state == NodeState::Unknown);
        node.since_ms = before.map_or(now_ms, |b| b.since_ms);
    }
}

/// Guests of a node that the cluster calls offline: nobody can say whether they run.
fn mark_unreachable(view: &mut ClusterView) {
    let down: Vec<NodeName> =
        view.nodes.iter().filter(|n| n.state == NodeState::Down).map(|n| n.name.clone()).collect();
    for guest in view.guests.iter_mut().filter(|g| down.contains(&g.node)) {
        guest.status = GuestStatus::Unknown;
    }
}

/// Images for completion, and the templates Proxmox's list has. A storage that cannot be read is left out; the next
/// read tries again.
pub(crate) async fn images(
    client: &Client,
    view: &ClusterView,
) -> (Vec<SeenImage>, Vec<(String, String)>) {
    let up = |node: &NodeName| view.node(node).is_some_and(|n| n.state == NodeState::Up);
    let mut places: Vec<&Storage> = Vec::new();
    for s in view.storages.iter().filter(|s| s.active && s.content.iter().any(|c| is_image(c))) {
        let again = s.shared && places.iter().any(|p| p.id == s.id);
        if up(&s.node) && !again {
            places.push(s);
        }
    }
    places.truncate(IMAGE_STORAGES_MAX);
    let mut found = Vec::new();
    for place in &places {
        for content in place.content.iter().filter(|c| is_image(c)) {
            let read =
                client.storage_content(&place.node, &place.id, Some(content), Freshness::Shared);
            match read.await {
                Ok(volumes) => found.extend(volumes.iter().filter_map(|v| {
                    let (node, kind) = (place.node.clone(), content.clone());
                    Some(SeenImage { node, kind, shared: place.shared, volid: v.volid.clone()? })
                })),
                Err(error) => {
                    tracing::debug!(node = %place.node, storage = %place.id, %error, "could not read images");
                    break;
                }
            }
        }
    }
    found.sort_by(|a, b| (&a.volid, &a.node).cmp(&(&b.volid, &b.node)));
    found.truncate(IMAGES_MAX);
    let node = places.first().map(|p| p.node.clone());
    let mut catalogue = Vec::new();
    if let Some(node) = node {
        match client.aplinfo(&node).await {
            Ok(list) => catalogue.extend(list.iter().filter_map(|t| {
                Some((t.template.clone()?, t.headline.clone().unwrap_or_default()))
            })),
            Err(error) => tracing::debug!(%node, %error, "could not read the template list"),
        }
        catalogue.sort();
        catalogue.truncate(IMAGES_MAX);
    }
    (found, catalogue)
}

/// Bridges and vnets of every node that is up. A node that cannot be read is left out; the next read tries again.
pub(crate) async fn bridges(client: &Client, view: &ClusterView) -> Vec<(NodeName, String)> {
    let mut found = Vec::new();
    for node in view.nodes.iter().filter(|n| n.state == NodeState::Up).take(NODES_MAX) {
        match client.networks(&node.name, Freshness::Shared).await {
            Ok(all) => found.extend(
                all.iter()
                    .filter(|i| i.is_bridge())
                    .filter_map(|i| Some((node.name.clone(), i.iface.clone()?))),
            ),
            Err(error) => tracing::debug!(node = %node.name, %error, "could not read bridges"),
        }
    }
    found
}

fn is_image(content: &str) -> bool {
    content.parse::<gantry_core::image::Content>().is_ok()
}

/// The container templates among images, each volume id once.
pub(crate) fn templates(images: &[SeenImage]) -> Vec<String> {
    let mut found: Vec<String> =
        images.iter().filter(|i| i.kind == "vztmpl").map(|i| i.volid.clone()).collect();
    found.dedup();
    found
}
