//! What a plan for a set rests on, read now.

use std::net::IpAddr;
use std::time::Duration;

use gantry_core::action::Verb;
use gantry_core::dns::Name;
use gantry_core::id::{GuestKind, NodeName, Vmid};
use gantry_core::plan::Planned;
use gantry_core::pod::{PodSpec, plan_pod};
use gantry_core::policy::Actor;
use gantry_core::set::identity::allot;
use gantry_core::set::member::keeper_of;
use gantry_core::set::plan::SetFacts;
use gantry_core::set::seen::{Index, left_keepers};
use gantry_core::set::{Pod, SetAction, SetRef, SetSpec, SlotRecord};
use gantry_core::world::{ClusterView, Guest};
use gantry_proxmox::Freshness;

use crate::{Engine, Error};

/// Whose volumes the ordinals that have no identity yet take up: at most one container for each.
pub(crate) fn left_to(spec: &SetSpec, view: &ClusterView, has: impl Fn(u32) -> bool) -> Vec<Guest> {
    let index = Index::new(view);
    let new = spec.ordinals().filter(|n| !has(*n));
    new.filter_map(|n| left_keepers(spec, n, &index).first().map(|g| Guest::clone(g))).collect()
}

/// Ordinals that keep a number for the container which owns their volumes.
pub(crate) fn kept<'a>(records: impl Iterator<Item = &'a SlotRecord>) -> Vec<u32> {
    records.map(|r| &r.identity).filter(|id| id.keeper.is_some()).map(|id| id.ordinal).collect()
}

impl Engine {
    /// Reads the cluster and the set now. What the asker may not see is not named; nobody asks where a plan that was
    /// confirmed is looked at again.
    pub(crate) async fn set_facts(
        &self,
        asker: Option<&Actor>,
        action: &SetAction,
    ) -> Result<SetFacts, Error> {
        let set = action.set();
        let view = self.refresh(&set.cluster, Duration::ZERO).await;
        if let SetAction::Resolve { ordinal, .. } = action {
            self.look_before_resolving(set, *ordinal).await?;
        }
        let now = self.set_now(set).await?;
        let mut facts = SetFacts::default();
        if let Some(now) = &now {
            facts.volumes = now.seen.slots.iter().filter(|s| s.keeper).count();
            facts.keepers = kept(now.seen.slots.iter().map(|s| &s.record));
            facts.pods = now
                .seen
                .slots
                .iter()
                .filter(|s| matches!(s.pod, Pod::Ours { .. } | Pod::Unseen))
                .map(|s| {
                    let id = &s.record.identity;
                    format!("{} (CT {} on {})", id.name, id.vmid, id.node)
                })
                .collect();
            if let SetAction::Resolve { ordinal, .. } = action {
                let drift = now.seen.slot(*ordinal).and_then(|s| s.drift.as_ref());
                facts.drift = drift.map(|d| d.fingerprint.clone());
                facts.mendable = drift.is_some_and(|d| d.mendable);
            }
            facts.set = Some(now.row.set.clone());
        }
        if let Some(fault) = view.fault.as_ref() {
            facts.obstacles.push(format!("{} could not be read: {fault}.", set.cluster));
        } else if let SetAction::Put { spec, .. } = action
            && spec.problems().is_empty()
        {
            let has = |n: u32| now.as_ref().is_some_and(|now| now.seen.slot(n).is_some());
            facts.left = left_to(spec, &view, has);
            facts.obstacles =
                self.obstacles(asker, (set, spec), &view, facts.set.is_none()).await?;
            facts.remarks.extend(self.without_reverse(spec));
        }
        Ok(facts)
    }

    /// Where addresses of a service have no names, as a sentence.
    fn without_reverse(&self, spec: &SetSpec) -> Option<String> {
        spec.service.as_ref()?;
        let first: IpAddr = spec.addresses.as_ref()?.first.split('/').next()?.parse().ok()?;
        let zone = Name::reverse(first);
        zone.zone_among(self.publisher().zones()).is_none().then(|| {
            format!("No configured name server has a reverse zone for {first}: the pods' addresses get no names (PTR).")
        })
    }

    /// What stands in the way of making pods from this: on the nodes, and among numbers and names.
    async fn obstacles(
        &self,
        asker: Option<&Actor>,
        (set, spec): (&SetRef, &SetSpec),
        view: &ClusterView,
        new: bool,
    ) -> Result<Vec<String>, Error> {
        let mut found: Vec<String> = Vec::new();
        // One reason with every node it holds for, instead of the same sentence for each.
        let mut refusals: Vec<(String, Vec<NodeName>, String)> = Vec::new();
        let taken = view.guests.iter().map(|g| g.vmid).collect();
        let mut nodes = spec.nodes.clone();
        nodes.sort();
        nodes.dedup();
        for node in &nodes {
            let Ok(mut identity) =
                allot(&set.cluster, spec, spec.first_ordinal, &Default::default())
            else {
                continue;
            };
            identity.node = node.clone();
            let pod = spec.template.pod(identity.name.clone(), Some(node.clone()));
            let keeper = spec.has_volumes().then(|| keeper_of(spec, &identity));
            for pod in std::iter::once(pod).chain(keeper) {
                if let Some(why) = self.refused_there(set, &pod).await? {
                    let kind = why.replace(node.as_str(), "");
                    match refusals.iter_mut().find(|(same, ..)| *same == kind) {
                        Some((_, nodes, _)) => nodes.push(node.clone()),
                        None => refusals.push((kind, vec![node.clone()], why)),
                    }
                    break;
                }
            }
        }
        found.extend(refusals.into_iter().map(|(_, nodes, why)| match nodes.as_slice() {
            [] | [_] => why,
            [_, more @ ..] => {
                let more: Vec<&str> = more.iter().map(NodeName::as_str).collect();
                format!("{why} The same on {}.", more.join(", "))
            }
        }));
        if let Some(service) = &spec.service
            && service.zone.zone_among(self.publisher().zones()).is_none()
        {
            found.push(format!(
                "No configured name server has the zone {}; add it to the configuration, or leave the service out.",
                service.zone
            ));
        }
        let sets = self.sets();
        let clash = sets.iter().find(|s| {
            let other = s.spec().vmids;
            s.address() != *set
                && s.cluster == set.cluster
                && spec.vmids.from <= other.to
                && other.from <= spec.vmids.to
        });
        if let Some(other) = clash {
            let (range, address) = (other.spec().vmids, other.address());
            let sees = asker.is_some_and(|a| self.may_set(a, Verb::SetShow, &address).is_allowed());
            found.push(if sees {
                format!(
                    "Set {address} has the numbers {} to {}; choose others.",
                    range.from, range.to
                )
            } else {
                "Another set has some of these numbers; choose others.".to_owned()
            });
        }
        if new {
            let index = Index::new(view);
            for ordinal in spec.ordinals() {
                match allot(&set.cluster, spec, ordinal, &taken) {
                    Err(error) => {
                        found.push(format!("No identity for {}-{ordinal}: {error}.", spec.name))
                    }
                    Ok(identity) => {
                        let same = view.guests.iter().find(|g| g.name == identity.name);
                        if let Some(same) = same {
                            // Which one is not said: the asker may not be allowed to see it.
                            found.push(format!(
                                "There already is a guest called {}. Choose another name for the set.",
                                same.name
                            ));
                        }
                    }
                }
                if found.len() >= 10 {
                    break;
                }
            }
            let strange = index
                .of_set(&spec.name)
                .iter()
                .filter(|g| g.kind == GuestKind::Lxc && !spec.vmids.contains(g.vmid))
                .map(|g| g.vmid)
                .collect::<Vec<Vmid>>();
            if let Some(vmid) = strange.first() {
                found.push(format!(
                    "CT {vmid} says it is a set {}'s, outside of these numbers; choose a range that holds it, or another name.",
                    spec.name
                ));
            }
        }
        Ok(found)
    }

    /// A bridge that was made for one deployment is not another one's.
    async fn bridge_of_another(
        &self,
        set: &SetRef,
        node: &NodeName,
        bridges: &[&String],
    ) -> Result<Option<String>, Error> {
        let what = format!("look at the bridges of {node}");
        let all = self
            .client(&set.cluster)?
            .networks(node, Freshness::Shared)
            .await
            .map_err(Error::proxmox(what, &set.cluster))?;
        let ours = all.iter().filter(|i| i.iface.as_ref().is_some_and(|n| bridges.contains(&n)));
        Ok(ours
            .filter_map(|i| {
                let note = i.comments.as_deref()?.split_whitespace().next()?;
                let owner = note.strip_prefix("gantry:")?;
                (owner != set.name).then(|| {
                    format!(
                        "Bridge {} on {node} was made for {owner} alone; name another one.",
                        i.iface.as_deref().unwrap_or_default()
                    )
                })
            })
            .next())
    }

    /// Why the node cannot take a pod, the first reason found.
    async fn refused_there(&self, set: &SetRef, pod: &PodSpec) -> Result<Option<String>, Error> {
        let Some(node) = &pod.node else { return Ok(None) };
        let place = self.look_at_place(&set.cluster, node, pod).await?;
        let bridges: Vec<&String> = pod.template.networks.iter().map(|c| &c.bridge).collect();
        if place.online
            && let Some(missing) = bridges.iter().find(|b| !place.bridges.contains(b))
        {
            return Ok(Some(format!(
                "{node} has no bridge {missing}. `/bridge create node:{node} name:{missing} deployment:{}` makes one of its own.",
                set.name
            )));
        }
        if place.online
            && let Some(why) = self.bridge_of_another(set, node, &bridges).await?
        {
            return Ok(Some(why));
        }
        // Its own pods have these names; others are looked for by number.
        let place = place.with_any_name();
        Ok(match plan_pod(pod, &set.cluster, &place) {
            Planned::Refused { why } => Some(why),
            Planned::Ready(_) | Planned::Nothing { .. } => None,
        })
    }
}
