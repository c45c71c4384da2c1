//! Forwards that come and go with their guests: those of a guest that is deleted, and the ports of pods.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::forward::{FORWARDS_MAX, Family, ForwardSpec, KeptForward, Proto};
use gantry_core::id::{ClusterId, ForwardId, NodeName, Vmid};
use gantry_core::operation::Operation;
use gantry_core::plan::{Draft, Planned};
use gantry_core::pod::{Ipv6, PodAction, PodSpec, Protocol};
use gantry_core::policy::{Actor, Ruling};
use gantry_core::set::{Choice, Set, SetAction};
use gantry_core::world::Guest;

use crate::deed::target;
use crate::shell::Need;
use crate::{Engine, Error, random};

/// Forwards that a plan names; beyond that they are counted.
const TOLD_MAX: usize = 12;

impl Engine {
    /// Says in the plan of a deletion which forwards go with the guest.
    pub(crate) async fn tell_forwards_to(
        &self,
        guest: &GuestRef,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        let all = self.kept_forwards(&guest.cluster).await?;
        for forward in all.iter().filter(|k| k.spec.vmid == guest.vmid) {
            draft.effects.push(format!("Remove the port forward {}.", forward.spec));
        }
        Ok(())
    }

    /// Forgets the forwards to a guest that was deleted; the tables follow.
    pub(crate) async fn forget_forwards(&self, op: &Operation) -> Result<(), Error> {
        let Some((guest, _)) = target(op) else { return Ok(()) };
        let gone = self.store().remove_forwards_to(&guest.cluster, guest.vmid).await;
        if gone.map_err(Error::store("forget the forwards"))? > 0 {
            self.forwards_due();
        }
        Ok(())
    }

    /// Keeps the forwards to a pod of a set that is made again under the same number; its new firewall has none of
    /// their rules.
    pub(crate) async fn keep_forwards_to(&self, guest: &GuestRef) -> Result<(), Error> {
        let kept = self.store().forget_forward_rules(&guest.cluster, guest.vmid).await;
        if kept.map_err(Error::store("keep the forwards"))? > 0 {
            self.forwards_due();
        }
        Ok(())
    }

    /// Forgets the forwards to pods of a set that were forgotten while they were not there.
    pub(crate) async fn forget_forwards_to(
        &self,
        cluster: &ClusterId,
        pods: &[(Vmid, String)],
    ) -> Result<(), Error> {
        let mut gone = false;
        for forward in self.kept_forwards(cluster).await? {
            if pods
                .iter()
                .any(|(vmid, name)| (*vmid, name) == (forward.spec.vmid, &forward.spec.name))
            {
                let removed = self.store().remove_forward(&forward.id).await;
                gone |= removed.map_err(Error::store("forget the forwards"))?;
            }
        }
        if gone {
            self.forwards_due();
        }
        Ok(())
    }

    /// Says in the plan of a set which forwards go with its pods, and what becomes of those to pods that are replaced.
    pub(crate) async fn tell_forwards_to_set(
        &self,
        action: &SetAction,
        now: Option<&Set>,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        let set = action.set();
        let (stays, replaced): (Box<dyn Fn(u32) -> bool + Send>, bool) = match action {
            SetAction::Put { spec, .. } => {
                let (ordinals, key) = (spec.ordinals(), spec.key());
                let replaced = now.is_some_and(|now| now.newest.key != key);
                (Box::new(move |n| ordinals.contains(&n)), replaced)
            }
            SetAction::Delete { .. } => (Box::new(|_| false), false),
            SetAction::Resolve { choice: Choice::Restore, .. } => (Box::new(|_| true), true),
            _ => return Ok(()),
        };
        let slots = self.store().list_slots(&set.cluster, Some(&set.name)).await;
        let slots = slots.map_err(Error::store("read the set"))?;
        let all = self.kept_forwards(&set.cluster).await?;
        let (mut going, mut staying) = (Vec::new(), false);
        for forward in &all {
            let slot = slots
                .iter()
                .map(|s| &s.record.identity)
                .find(|id| (id.vmid, &id.name) == (forward.spec.vmid, &forward.spec.name));
            match slot {
                Some(id) if stays(id.ordinal) => staying = true,
                Some(_) => going.push(format!("Remove the port forward {}.", forward.spec)),
                None => {}
            }
        }
        let more = going.len().saturating_sub(TOLD_MAX);
        draft.effects.extend(going.into_iter().take(TOLD_MAX));
        if more > 0 {
            draft.effects.push(format!("Remove {more} more port forwards."));
        }
        if staying && replaced {
            draft.effects.push(
                "Port forwards to its pods stay; one leads nowhere while its pod is replaced."
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Policy on the ports of a pod that shall listen on a node and do not yet: opening one is [`Verb::ForwardAdd`],
    /// whichever way it is asked for. `guest` is the pod, where it is there already.
    pub(crate) async fn ports_ruling(
        &self,
        actor: &Actor,
        (cluster, spec, node): (&ClusterId, &PodSpec, &NodeName),
        guest: Option<&Guest>,
    ) -> Result<Option<Ruling>, Error> {
        let mut wanted = self.port_forwards(cluster, guest.map(|g| g.vmid), spec, node, "");
        if let (Some(guest), false) = (guest, wanted.is_empty()) {
            let kept = self.kept_forwards(cluster).await?;
            wanted.retain(|w| !kept.iter().any(|k| k.spec.vmid == guest.vmid && k.spec == w.spec));
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let verb = Verb::ForwardAdd;
        Ok(Some(match guest {
            // What it shall be decides as much as what it is: tags and pool may change with it.
            Some(guest) => {
                let at = GuestRef { cluster: cluster.clone(), vmid: guest.vmid };
                let shall = self.may_be(actor, verb, &at, spec, std::slice::from_ref(node));
                self.may_listen(actor, verb, guest, node).and(shall)
            }
            None => {
                let shall = PodSpec { node: Some(node.clone()), ..spec.clone() };
                self.may_make(actor, verb, cluster, &shall)
            }
        }))
    }

    /// Says in the plan of a pod which of its ports are forwarded from then on and which no longer, and refuses those
    /// that cannot be. `guest` is the pod, where it is there already.
    pub(crate) async fn tell_ports(
        &self,
        actor: &Actor,
        (cluster, spec): (&ClusterId, &PodSpec),
        guest: Option<&Guest>,
        planned: &mut Planned,
    ) -> Result<(), Error> {
        let Some(node) = guest.map(|g| &g.node).or(spec.node.as_ref()) else { return Ok(()) };
        let Planned::Ready(draft) = planned else { return Ok(()) };
        let vmid = guest.map(|g| g.vmid);
        let wanted = self.port_forwards(cluster, vmid, spec, node, "");
        let (own, there): (Vec<KeptForward>, Vec<KeptForward>) = self
            .kept_forwards(cluster)
            .await?
            .into_iter()
            .partition(|k| Some(k.spec.vmid) == vmid && k.port.is_some());
        let dead = self.dead_ports(&wanted, &there).await;
        let sees = |spec: &ForwardSpec| self.sees_forward(actor, spec);
        for old in &dead {
            let shown = old.spec.shown_to(sees(&old.spec));
            draft.effects.push(format!("Forward {shown} no longer: that pod is gone."));
        }
        let live = there.into_iter().filter(|k| !dead.iter().any(|d| d.id == k.id));
        let mut there: Vec<ForwardSpec> = live.map(|k| k.spec).collect();
        for old in own.iter().filter(|o| !wanted.iter().any(|w| w.spec == o.spec)) {
            draft.effects.push(format!("Forward {} no longer.", old.spec));
        }
        for forward in &wanted {
            if own.iter().any(|o| o.spec == forward.spec) {
                continue;
            }
            if let Err(why) = forward.spec.check(&there) {
                let why = why.told(&sees);
                *planned = Planned::Refused { why: format!("Its node_port cannot be: {why}.") };
                return Ok(());
            }
            draft.effects.push(format!("Forward {}, once it has an address.", forward.spec));
            there.push(forward.spec.clone());
        }
        if !wanted.is_empty() && !self.has_shell(cluster, node) {
            draft.warnings.push(format!(
                "There is no node shell for {node}, so its node_port is not forwarded. {}",
                Need::Forwards.instead()
            ));
        }
        Ok(())
    }

    /// Ports of other pods that listen where one of these shall, and whose pod is gone: nothing can take them out of a
    /// specification any more.
    async fn dead_ports(&self, wanted: &[KeptForward], there: &[KeptForward]) -> Vec<KeptForward> {
        let mut dead = Vec::new();
        let collides = |k: &&KeptForward| wanted.iter().any(|w| w.spec.collides(&k.spec));
        for old in there.iter().filter(|k| k.port.is_some()).filter(collides) {
            // Where nobody can say, it is not gone.
            if Box::pin(self.is_guest_gone(&old.spec)).await.unwrap_or(false) {
                dead.push(old.clone());
            }
        }
        dead
    }

    /// The forwards a specification asks for.
    fn port_forwards(
        &self,
        cluster: &ClusterId,
        vmid: Option<Vmid>,
        spec: &PodSpec,
        node: &NodeName,
        by: &str,
    ) -> Vec<KeptForward> {
        // A plan is shown before there is a number.
        let Some(vmid) = vmid.or_else(|| Vmid::try_from(100).ok()) else { return Vec::new() };
        let six = spec.template.networks.iter().any(|n| n.ipv6 != Ipv6::None);
        let families = [(Family::Ipv4, true), (Family::Ipv6, six)];
        let mut all = Vec::new();
        for port in &spec.template.ports {
            let Some(node_port) = port.node_port else { continue };
            for (family, _) in families.iter().filter(|(_, has)| *has) {
                all.push(KeptForward {
                    id: ForwardId::new(self.now_ms(), random()),
                    spec: ForwardSpec {
                        cluster: cluster.clone(),
                        node: node.clone(),
                        proto: match port.protocol {
                            Protocol::Tcp => Proto::Tcp,
                            Protocol::Udp => Proto::Udp,
                        },
                        family: *family,
                        listen: None,
                        port: node_port,
                        vmid,
                        name: spec.name.clone(),
                        target_port: port.port,
                    },
                    port: Some(port.name.clone()),
                    pinned: None,
                    created_by: by.to_owned(),
                    created_ms: self.now_ms(),
                });
            }
        }
        all
    }

    /// Keeps the forwards that the specification of a pod asks for; the tables follow. What could not be kept, as a
    /// sentence.
    pub(crate) async fn remember_ports(&self, op: &Operation) -> Result<Option<String>, Error> {
        let (cluster, vmid, spec, node) = match &op.action {
            Action::CreatePod { cluster, spec, placed, .. } => {
                let placed = spec.placed(placed.as_ref());
                let (Some(vmid), Some(node)) = (op.vmid, placed.node.clone()) else {
                    return Ok(None);
                };
                (cluster, vmid, placed, node)
            }
            // What was asked for are these fields only: its ports stay as they were confirmed, and on the node they were
            // confirmed for.
            Action::Pod(PodAction::Apply { only, .. }) if !only.is_empty() => return Ok(None),
            Action::Pod(PodAction::Apply { guest, spec, .. }) => {
                let view = self.view(&guest.cluster);
                let Some(node) = view.and_then(|v| v.guest(guest.vmid).map(|g| g.node.clone()))
                else {
                    return Ok(None);
                };
                (&guest.cluster, guest.vmid, PodSpec::clone(spec), node)
            }
            _ => return Ok(None),
        };
        let wanted = self.port_forwards(cluster, Some(vmid), &spec, &node, &op.by_name);
        let before = self.kept_forwards(cluster).await?;
        let own: Vec<&KeptForward> =
            before.iter().filter(|k| k.spec.vmid == vmid && k.port.is_some()).collect();
        if wanted.is_empty() && own.is_empty() {
            return Ok(None);
        }
        let others: Vec<KeptForward> =
            before.iter().filter(|k| k.spec.vmid != vmid).cloned().collect();
        for dead in self.dead_ports(&wanted, &others).await {
            let removed = self.store().remove_forward(&dead.id).await;
            removed.map_err(Error::store("forget the forwards"))?;
        }
        let taken = self
            .store()
            .set_pod_forwards(cluster, vmid, &wanted)
            .await
            .map_err(Error::store("keep the forwards"))?;
        self.forwards_due();
        // Who reads the card is not known: nobody is told of another guest.
        let told = taken.iter().map(|(new, other)| match other {
            Some(_) => format!("{} is not forwarded: that port was taken meanwhile", new.spec),
            None => format!(
                "{} is not forwarded: {} has {FORWARDS_MAX} forwards, which is the most a node can have",
                new.spec, new.spec.node
            ),
        });
        let told: Vec<String> = told.collect();
        Ok((!told.is_empty()).then(|| told.join("; ")))
    }
}
