//! What a node's forwards rest on, read now: the guests with their addresses, the nodes' own addresses, and which
//! bridges end at their node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::future::join_all;
use gantry_core::action::GuestRef;
use gantry_core::forward::{
    Desired, Entry, ForwardSpec, Found, Ground, KeptForward, Leads, ends_at_node, fixed_addresses,
};
use gantry_core::id::{ClusterId, GuestKind, NodeName, Vmid};
use gantry_core::network::Scope;
use gantry_core::plan::{LiveGuest, describe};
use gantry_core::world::{Guest, GuestStatus};
use gantry_proxmox::{FirewallAt, Freshness, GuestRef as At, Row};

use crate::{Engine, Error};

/// How long the nodes' own addresses are believed while nobody confirms anything, milliseconds. They change with a
/// node's network, which is rare; whatever is confirmed is compared with a reading of that moment.
const OWN_VALID_MS: i64 = 5 * 60 * 1000;
/// Guests that are read at the same time: one that is silent must not keep the others waiting.
const READS_AT_ONCE: usize = 8;

/// The addresses of the nodes of one cluster, as read last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own {
    read_ms: i64,
    /// By node, as its configuration says.
    nodes: BTreeMap<NodeName, BTreeSet<IpAddr>>,
    /// By node, as its kernel says over the node shell: leases and shared addresses stand in no configuration.
    pub(crate) live: BTreeMap<NodeName, BTreeSet<IpAddr>>,
    /// Gateways of the SDN: every node has them.
    gateways: Option<BTreeSet<IpAddr>>,
    /// Whether some of it could not be read, and was not known from before either.
    unread: bool,
}

impl Own {
    fn all(&self) -> BTreeSet<IpAddr> {
        let nodes = self.nodes.values().chain(self.live.values()).chain(&self.gateways);
        nodes.flatten().copied().collect()
    }
}

/// The gateways that nodes have themselves: those of zones that are routed by them.
fn gateways(objects: &BTreeMap<String, BTreeMap<String, String>>) -> impl Iterator<Item = IpAddr> {
    objects.iter().filter_map(|(key, subnet)| {
        let vnet = key.strip_prefix("subnet/")?.split('/').next()?;
        let zone = objects.get(&format!("vnet/{vnet}"))?.get("zone")?;
        let kind = objects.get(&format!("zone/{zone}"))?.get("type")?;
        let routed = kind == "simple" || kind == "evpn";
        subnet.get("gateway").filter(|_| routed)?.parse().ok()
    })
}

/// The addresses an interface of a node has.
fn addresses(row: &Row) -> impl Iterator<Item = IpAddr> {
    let texts = ["cidr", "cidr6", "address", "address6"].map(|key| row.fields.get(key));
    texts.into_iter().flatten().filter_map(|text| text.split('/').next()?.parse::<IpAddr>().ok())
}

impl Engine {
    /// All forwards of a cluster with what the `wanted` ones rest on, read now. `confirming`: whether somebody is
    /// about to confirm something, so that nothing is believed from before.
    pub(crate) async fn ground(
        &self,
        cluster: &ClusterId,
        all: Vec<KeptForward>,
        wanted: impl Fn(&ForwardSpec) -> bool,
        confirming: bool,
    ) -> Result<Ground, Error> {
        let mut ground = Ground { all, ..Ground::default() };
        let mut looked: BTreeMap<Vmid, ForwardSpec> = BTreeMap::new();
        for spec in ground.all.iter().map(|k| &k.spec).filter(|s| wanted(s)) {
            looked.entry(spec.vmid).or_insert_with(|| spec.clone());
        }
        if !looked.is_empty() {
            (ground.own, ground.own_unread) = self.own_addresses(cluster, confirming).await?;
        }
        let looked: Vec<ForwardSpec> = looked.into_values().collect();
        for some in looked.chunks(READS_AT_ONCE) {
            let reads = some.iter().map(|spec| Box::pin(self.read_leads(spec, &ground.all)));
            for (spec, read) in some.iter().zip(join_all(reads).await) {
                match read {
                    Ok(Some(leads)) => {
                        ground.guests.insert(spec.vmid, leads);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(%cluster, vmid = %spec.vmid, %error, "could not read where a forward leads");
                        ground.unread.insert(spec.vmid);
                    }
                }
            }
        }
        Ok(ground)
    }

    /// What forwards to one guest rest on; `None`: it is gone.
    async fn read_leads(
        &self,
        spec: &ForwardSpec,
        all: &[KeptForward],
    ) -> Result<Option<Leads>, Error> {
        let Some(live) = self.look_at_leads_to(spec).await? else { return Ok(None) };
        let node = &live.guest.node;
        let away = all.iter().any(|k| k.spec.vmid == spec.vmid && k.spec.node != *node);
        Ok(Some(self.leads(&spec.cluster, &live.guest, away).await?))
    }

    /// The same for making the table of `node` what was asked for: with the forwards to guests that are on it now.
    pub(super) async fn ground_of(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        has: &[Entry],
    ) -> Result<Ground, Error> {
        let view = self.view(cluster);
        let here =
            |vmid| view.as_ref().and_then(|v| v.guest(vmid)).is_some_and(|g| g.node == *node);
        let all = self.kept_forwards(cluster).await?;
        let mut ground =
            self.ground(cluster, all, |s| s.node == *node || here(s.vmid), true).await?;
        ground.in_force = has.to_vec();
        Ok(ground)
    }

    /// The same for a forward that is not kept yet, with the guest it leads to; `None`: that is gone.
    pub(super) async fn ground_for(
        &self,
        spec: &ForwardSpec,
        all: Vec<KeptForward>,
    ) -> Result<(Ground, Option<(Found, Guest)>), Error> {
        let mut ground = self.ground(&spec.cluster, all, |_| false, true).await?;
        let Some(live) = self.look_at_leads_to(spec).await? else { return Ok((ground, None)) };
        let guest = live.guest;
        (ground.own, ground.own_unread) = self.own_addresses(&spec.cluster, true).await?;
        let leads = self.leads(&spec.cluster, &guest, spec.node != guest.node).await?;
        ground.guests.insert(spec.vmid, leads);
        let at = At::new(guest.node.clone(), guest.kind, spec.vmid);
        let options =
            self.client(&spec.cluster)?.firewall_options(&FirewallAt::Guest(at)).await.map_err(
                Error::proxmox(format!("read the firewall of {}", spec.name), &spec.cluster),
            )?;
        let found = Found {
            shown: describe(&guest),
            name: guest.name.clone(),
            firewall: options.get("enable").is_some_and(|v| v == "1"),
        };
        Ok((ground, Some((found, guest))))
    }

    /// The table a node shall have; `has` is the one in force, whose lines stay where a guest cannot be read.
    pub(crate) async fn desired_forwards(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        kept: &[KeptForward],
        has: &[Entry],
    ) -> Result<Desired, Error> {
        let mut ground = self.ground(cluster, kept.to_vec(), |s| s.node == *node, false).await?;
        ground.in_force = has.to_vec();
        Ok(ground.desired(node))
    }

    /// Keeps the addresses that ports of pods are first seen with: theirs from now on.
    pub(crate) async fn keep_learned(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        desired: &Desired,
    ) -> Result<(), Error> {
        for (id, to) in &desired.learned {
            let kept = self.store().pin_forward(id, *to).await;
            if !kept.map_err(Error::store("keep the address of a forward"))? {
                let what = format!(
                    "the address of the forward {id}, which somebody else has just learned"
                );
                return Err(Error::Missing { what });
            }
            tracing::info!(%cluster, %node, forward = %id, address = %to, "a port of a pod leads to its first address from now on");
        }
        Ok(())
    }

    /// The guest a forward leads to, read now; `None`: the cluster knows no guest of that number.
    pub(super) async fn look_at_leads_to(
        &self,
        spec: &ForwardSpec,
    ) -> Result<Option<LiveGuest>, Error> {
        self.look_at_number(&GuestRef { cluster: spec.cluster.clone(), vmid: spec.vmid }).await
    }

    /// The guest of a number, whatever it is, read now.
    pub(super) async fn look_at_number(
        &self,
        guest: &GuestRef,
    ) -> Result<Option<LiveGuest>, Error> {
        let seen = self.view(&guest.cluster).and_then(|v| v.guest(guest.vmid).map(|g| g.kind));
        let kinds = match seen {
            Some(GuestKind::Qemu) => [GuestKind::Qemu, GuestKind::Lxc],
            _ => [GuestKind::Lxc, GuestKind::Qemu],
        };
        for kind in kinds {
            if let Some(live) = self.look_at_guest(guest, kind).await? {
                return Ok(Some(live));
            }
        }
        Ok(None)
    }

    /// What a guest's configuration says of its addresses, and what a running container says itself. `away`: whether a
    /// forward to it listens on another node, so that it matters where its bridges end.
    async fn leads(&self, cluster: &ClusterId, guest: &Guest, away: bool) -> Result<Leads, Error> {
        let client = self.client(cluster)?;
        let at = At::new(guest.node.clone(), guest.kind, guest.vmid);
        let fail = || Error::proxmox(format!("read the addresses of {}", guest.name), cluster);
        let config = client.guest_config(&at, Freshness::Fresh).await.map_err(fail())?;
        let fixed = fixed_addresses(config.raw.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let all = fixed.iter().any(IpAddr::is_ipv4) && fixed.iter().any(IpAddr::is_ipv6);
        let tells = guest.kind == GuestKind::Lxc && guest.status == GuestStatus::Running;
        let given = if tells && !all {
            client.container_addresses(&at).await.map_err(fail())?
        } else {
            Vec::new()
        };
        let bridges: Vec<&str> = config
            .raw
            .iter()
            .filter(|(k, _)| k.starts_with("net"))
            .filter_map(|(_, card)| card.split(',').find_map(|p| p.strip_prefix("bridge=")))
            .collect();
        let ends_there =
            away && !bridges.is_empty() && self.all_end_at(cluster, &guest.node, &bridges).await?;
        let name = guest.name.clone();
        Ok(Leads { name, node: guest.node.clone(), fixed, given, ends_there })
    }

    /// Whether none of these bridges of a node is reached from another one.
    async fn all_end_at(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        bridges: &[&str],
    ) -> Result<bool, Error> {
        let net = self.network(cluster, &Scope::Node(node.clone())).await?;
        let is_bridge = |kind: &str| kind == "bridge" || kind == "OVSBridge";
        let ports: BTreeMap<String, bool> = net
            .objects
            .iter()
            .filter(|(_, s)| s.get("type").is_some_and(|t| is_bridge(t)))
            .map(|(name, s)| {
                let plugged = ["bridge_ports", "ovs_ports"].iter().any(|k| s.contains_key(*k));
                (name.clone(), plugged)
            })
            .collect();
        let mut vnets = BTreeMap::new();
        if bridges.iter().any(|b| !ports.contains_key(*b)) {
            let sdn = self.network(cluster, &Scope::Sdn).await?;
            let running = sdn.running.unwrap_or(sdn.objects);
            let is_simple = |zone: Option<&String>| {
                let zone = zone.and_then(|z| running.get(&format!("zone/{z}")));
                zone.and_then(|z| z.get("type")).is_some_and(|t| t == "simple")
            };
            vnets = running
                .iter()
                .filter_map(|(k, s)| {
                    Some((k.strip_prefix("vnet/")?.to_owned(), is_simple(s.get("zone"))))
                })
                .collect();
        }
        Ok(bridges.iter().all(|b| ends_at_node(b, &ports, &vnets)))
    }

    /// Every address the nodes of a cluster have: nothing of a guest's may be one of them. And whether some of them could
    /// not be read.
    ///
    /// # Errors
    /// When the cluster does not answer; with `fresh` also when one of its nodes that is online does not.
    async fn own_addresses(
        &self,
        cluster: &ClusterId,
        fresh: bool,
    ) -> Result<(BTreeSet<IpAddr>, bool), Error> {
        let before = self.inner.forwards.own(cluster);
        let recent = before.read_ms > 0 && self.now_ms() - before.read_ms < OWN_VALID_MS;
        if !fresh && recent && !before.unread {
            return Ok((before.all(), false));
        }
        let client = self.client(cluster)?;
        let what = "read the addresses of the nodes";
        let status = client.cluster_status(Freshness::Fresh).await;
        let status = match status.map_err(Error::proxmox(what, cluster)) {
            Ok(status) => status,
            Err(error) if fresh => return Err(error),
            Err(_) => return Ok((before.all(), before.read_ms == 0 || before.unread)),
        };
        let reads = status.nodes.iter().map(|n| async move {
            let ip = n.ip.iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
            let own: BTreeSet<IpAddr> = ip.collect();
            let seen = if n.online { Some(client.node_network(&n.node).await) } else { None };
            (n.node.clone(), seen, own)
        });
        let live = before.live.clone();
        let mut own = Own { read_ms: self.now_ms(), live, ..Own::default() };
        for (node, seen, mut found) in join_all(reads).await {
            let known = before.nodes.get(&node);
            match seen {
                Some(Ok(seen)) => found.extend(seen.ifaces.iter().flat_map(addresses)),
                Some(Err(error)) if fresh => {
                    let what = format!("read the addresses of {node}");
                    return Err(Error::proxmox(what, cluster)(error));
                }
                // A node that does not answer has the addresses it had.
                Some(Err(_)) | None => {
                    own.unread |= known.is_none();
                    found.extend(known.into_iter().flatten());
                }
            }
            own.nodes.insert(node, found);
        }
        own.gateways = match Box::pin(self.network(cluster, &Scope::Sdn)).await {
            Ok(net) => {
                let running = net.running.unwrap_or_default();
                Some(gateways(&running).chain(gateways(&net.objects)).collect())
            }
            Err(error) if error.is_absent() => Some(BTreeSet::new()),
            Err(error) if fresh => return Err(error),
            Err(_) => before.gateways,
        };
        own.unread |= own.gateways.is_none();
        self.inner.forwards.learn_own(cluster, own.clone());
        Ok((own.all(), own.unread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_of_routed_zones_are_addresses_of_the_nodes() {
        let object = |fields: &[(&str, &str)]| -> BTreeMap<String, String> {
            fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let objects = [
            ("zone/here".to_owned(), object(&[("type", "simple")])),
            ("zone/far".to_owned(), object(&[("type", "vlan")])),
            ("vnet/shop".to_owned(), object(&[("zone", "here")])),
            ("vnet/lan".to_owned(), object(&[("zone", "far")])),
            ("subnet/shop/here-10.7.0.0-24".to_owned(), object(&[("gateway", "10.7.0.1")])),
            ("subnet/lan/far-10.8.0.0-24".to_owned(), object(&[("gateway", "10.8.0.1")])),
            ("subnet/lost/here-10.9.0.0-24".to_owned(), object(&[("gateway", "10.9.0.1")])),
        ];
        let found: Vec<IpAddr> = gateways(&objects.into()).collect();
        assert_eq!(found, ["10.7.0.1".parse::<IpAddr>().unwrap()]);
    }
}
