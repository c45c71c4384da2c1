//! Networks as they are right now, in the one form that plans and looks rest on.

use std::collections::BTreeSet;

use futures::future::join_all;
use gantry_core::action::GuestRef;
use gantry_core::id::{ClusterId, NodeName, Upid};
use gantry_core::network::{
    FIREWALL, Kernel, Net, NetworkChange, Objects, Scope, Settings, diff_lines, edits_back,
    settable, settable_sdn,
};
use gantry_core::policy::Actor;
use gantry_core::world::{Guest, Users};
use gantry_proxmox::{
    Client, Error as ProxmoxError, FirewallAt, Freshness, GuestRef as At, Row, SdnView, TaskFilter,
};

use crate::observe::placed;
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

/// A guest if its network cards name `wanted`; `None` for others.
async fn uses(
    client: &Client,
    cluster: &ClusterId,
    guest: &Guest,
    wanted: &str,
) -> Result<Option<Guest>, Error> {
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
    Ok(uses.then(|| guest.clone()))
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
                    kernel: Kernel::Unasked,
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
                    kernel: Kernel::Unasked,
                    read_ms: self.now_ms(),
                })
            }
        }
    }

    /// The same, with the defaults of the node's firewall where those are asked for.
    pub(super) async fn network_and(
        &self,
        cluster: &ClusterId,
        scope: &Scope,
        firewall: bool,
    ) -> Result<Net, Error> {
        let mut net = self.network(cluster, scope).await?;
        if let (Scope::Node(node), true) = (scope, firewall) {
            let fail = Error::proxmox(format!("read the firewall of {scope}"), cluster);
            let at = FirewallAt::Node(node.clone());
            let options = self.client(cluster)?.firewall_options(&at).await.map_err(fail)?;
            let kept = options.into_iter().filter(|(k, _)| k == "nosmurfs" || k == "tcpflags");
            let mut settings: Settings = kept.collect();
            settings.insert("type".into(), "firewall".into());
            net.objects.insert(FIREWALL.to_owned(), settings);
        }
        Ok(net)
    }

    /// Guests that use what `change` removes.
    pub(super) async fn network_users(
        &self,
        cluster: &ClusterId,
        scope: &Scope,
        change: &NetworkChange,
    ) -> Result<Vec<Guest>, Error> {
        let name = match change {
            NetworkChange::DeleteBridge { name } => name.as_str(),
            NetworkChange::DeleteVnet { name } => name.as_str(),
            _ => return Ok(Vec::new()),
        };
        self.users_of(cluster, scope, name).await
    }

    /// Guests as `actor` may know them: those they may see by name, the others by their number alone.
    pub(crate) fn users_for(&self, actor: Option<&Actor>, guests: &[Guest]) -> Users {
        let sees = |g: &&Guest| actor.is_some_and(|a| self.sees_guest(a, g));
        let named = |g: &Guest| format!("{} ({} {})", g.name, g.kind.short(), g.vmid);
        let shown: Vec<String> = guests.iter().filter(sees).map(named).collect();
        Users { hidden: guests.len() - shown.len(), shown }
    }

    /// Guests whose network cards name a bridge or vnet, by the guests there are right now.
    pub(super) async fn users_of(
        &self,
        cluster: &ClusterId,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<Guest>, Error> {
        let client = self.client(cluster)?;
        // A guest that came or moved since the last reading counts as much as the others.
        let fail = Error::proxmox(format!("look for guests that use {name}"), cluster);
        let rows = client.resources(Freshness::Fresh).await.map_err(fail)?;
        let all = rows.iter().filter_map(|row| {
            let guest = GuestRef { cluster: cluster.clone(), vmid: row.vmid? };
            placed(row, &guest, row.guest_kind()?)
        });
        let here = |node: &NodeName| match scope {
            Scope::Node(only) => only == node,
            Scope::Sdn => true,
        };
        let guests: Vec<Guest> = all.filter(|g| here(&g.node)).collect();
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
