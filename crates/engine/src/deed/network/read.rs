//! Networks as they are right now, in the one form that plans and looks rest on.

use std::collections::BTreeSet;

use futures::future::join_all;
use gantry_core::id::{ClusterId, NodeName, Upid};
use gantry_core::network::{
    Net, NetworkChange, Objects, Scope, diff_lines, edits_back, settable, settable_sdn,
};
use gantry_core::world::Guest;
use gantry_proxmox::{
    Client, Error as ProxmoxError, Freshness, GuestRef as At, Row, SdnView, TaskFilter,
};

use crate::{Engine, Error};

/// Most vnets whose subnets are read; more than a cluster's bridges can carry.
const VNETS_MAX: usize = 500;
/// Most guests whose network cards are looked at before a bridge is removed.
const GUESTS_MAX: usize = 500;
/// How many of them at once.
const AT_ONCE: usize = 8;
/// Newest tasks that are looked at when a reload has to be found again.
const TASKS_LOOKED_AT: u64 = 50;

fn fields(row: &Row) -> impl Iterator<Item = (&str, String)> {
    row.fields.iter().map(|(k, v)| (k.as_str(), v.clone()))
}

async fn sdn_objects(client: &Client, view: SdnView) -> Result<Objects, ProxmoxError> {
    let mut objects = Objects::new();
    for zone in client.sdn_zones(view).await? {
        objects.insert(format!("zone/{}", zone.id), settable_sdn("zone", fields(&zone)));
    }
    let vnets = client.sdn_vnets(view).await?;
    if vnets.len() > VNETS_MAX {
        return Err(ProxmoxError::Config {
            why: format!("there are {} vnets; gantry reads at most {VNETS_MAX}", vnets.len()),
        });
    }
    for vnet in vnets {
        let subnets = match client.sdn_subnets(&vnet.id, view).await {
            Ok(subnets) => subnets,
            // Gone between two reads, or in this view only.
            Err(ProxmoxError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        for subnet in subnets {
            let key = format!("subnet/{}/{}", vnet.id, subnet.id);
            objects.insert(key, settable_sdn("subnet", fields(&subnet)));
        }
        objects.insert(format!("vnet/{}", vnet.id), settable_sdn("vnet", fields(&vnet)));
    }
    Ok(objects)
}

/// A diff without the lines that name its files and their times: those say nothing about what would change.
fn without_stamps(diff: &str) -> String {
    let named = |l: &&str| !l.starts_with("--- /") && !l.starts_with("+++ /");
    diff.lines().filter(named).collect::<Vec<_>>().join("\n")
}

/// How people read a guest whose network cards name `wanted`; `None` for others.
async fn uses(
    client: &Client,
    cluster: &ClusterId,
    guest: &Guest,
    wanted: &str,
) -> Result<Option<String>, Error> {
    let at = At::new(guest.node.clone(), guest.kind, guest.vmid);
    let config = match client.guest_config(&at, Freshness::Fresh).await {
        Ok(config) => config,
        Err(ProxmoxError::NotFound { .. }) => return Ok(None),
        Err(error) => {
            let what = format!("look at the network cards of {}", guest.name);
            return Err(Error::proxmox(what, cluster)(error));
        }
    };
    let uses = config
        .raw
        .iter()
        .any(|(k, v)| k.starts_with("net") && v.split(',').any(|part| part == wanted));
    Ok(uses.then(|| format!("{} ({} {})", guest.name, guest.kind.short(), guest.vmid)))
}

impl Engine {
    /// A network configuration, read now.
    ///
    /// # Errors
    /// What Proxmox says.
    pub async fn network(&self, cluster: &ClusterId, scope: &Scope) -> Result<Net, Error> {
        let client = self.client(cluster)?;
        let fail = || Error::proxmox(format!("read the network of {scope}"), cluster);
        match scope {
            Scope::Node(node) => {
                let seen = client.node_network(node).await.map_err(fail())?;
                let up = |row: &&Row| row.fields.get("active").is_some_and(|v| v == "1");
                Ok(Net {
                    scope: scope.clone(),
                    active: seen.ifaces.iter().filter(up).map(|r| r.id.clone()).collect(),
                    objects: seen
                        .ifaces
                        .iter()
                        .map(|r| (r.id.clone(), settable(fields(r))))
                        .collect(),
                    running: None,
                    pending: seen.changes.map(|diff| without_stamps(&diff)),
                    read_ms: self.now_ms(),
                })
            }
            Scope::Sdn => {
                let staged = sdn_objects(client, SdnView::Staged).await.map_err(fail())?;
                let running = sdn_objects(client, SdnView::Running).await.map_err(fail())?;
                let all: BTreeSet<String> = staged.keys().chain(running.keys()).cloned().collect();
                let edits = edits_back(&running, &staged, &all);
                let pending: Vec<String> = diff_lines(&running, &edits)
                    .into_iter()
                    .map(|c| format!("{}: {} → {}", c.what, c.before, c.after))
                    .collect();
                Ok(Net {
                    scope: scope.clone(),
                    objects: staged,
                    running: Some(running),
                    pending: (!pending.is_empty()).then(|| pending.join("\n")),
                    active: BTreeSet::new(),
                    read_ms: self.now_ms(),
                })
            }
        }
    }

    /// Guests that use what `change` removes, as people read them: `web-0 (CT 201)`.
    pub(super) async fn network_users(
        &self,
        cluster: &ClusterId,
        scope: &Scope,
        change: &NetworkChange,
    ) -> Result<Vec<String>, Error> {
        let name = match change {
            NetworkChange::DeleteBridge { name } => name.as_str(),
            NetworkChange::DeleteVnet { name } => name.as_str(),
            _ => return Ok(Vec::new()),
        };
        self.users_of(cluster, scope, name).await
    }

    /// Guests whose network cards name a bridge or vnet, as people read them.
    pub(super) async fn users_of(
        &self,
        cluster: &ClusterId,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<String>, Error> {
        let client = self.client(cluster)?;
        let Some(view) = self.view(cluster) else { return Ok(Vec::new()) };
        let here = |node: &NodeName| match scope {
            Scope::Node(only) => only == node,
            Scope::Sdn => true,
        };
        let guests: Vec<_> = view.guests.iter().filter(|g| here(&g.node)).collect();
        if guests.len() > GUESTS_MAX {
            return Err(Error::Missing {
                what: format!(
                    "a way to look at all {} guests that may use {name} (at most {GUESTS_MAX})",
                    guests.len()
                ),
            });
        }
        let wanted = format!("bridge={name}");
        let mut found = Vec::new();
        for part in guests.chunks(AT_ONCE) {
            let mut reads = Vec::new();
            for guest in part {
                reads.push(uses(client, cluster, guest, &wanted));
            }
            for answer in join_all(reads).await {
                found.extend(answer?);
            }
        }
        Ok(found)
    }

    /// Reloads that gantry itself has started, newest first.
    pub(super) async fn reloads(
        &self,
        cluster: &ClusterId,
        scope: &Scope,
    ) -> Result<Vec<Upid>, Error> {
        let client = self.client(cluster)?;
        let fail = || Error::proxmox(format!("read the tasks of {scope}"), cluster);
        let (tasks, kind) = match scope {
            Scope::Node(node) => {
                let filter = TaskFilter { limit: Some(TASKS_LOOKED_AT), ..TaskFilter::default() };
                (client.node_tasks(node, &filter).await.map_err(fail())?, "srvreload")
            }
            Scope::Sdn => (client.cluster_tasks().await.map_err(fail())?, "reloadnetworkall"),
        };
        let ours = client.token_id();
        Ok(tasks
            .into_iter()
            .map(|t| t.upid)
            .filter(|u| u.user() == ours && u.kind() == kind)
            .collect())
    }
}
