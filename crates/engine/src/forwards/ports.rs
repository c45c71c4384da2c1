//! Forwards that come and go with their guests: those of a guest that is deleted, and the ports of pods.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::forward::{Family, ForwardSpec, KeptForward, Proto};
use gantry_core::id::{ClusterId, ForwardId, NodeName, Vmid};
use gantry_core::operation::Operation;
use gantry_core::plan::{Draft, Planned};
use gantry_core::pod::{Ipv6, PodAction, PodSpec, Protocol};
use gantry_core::policy::{Actor, Ruling};
use gantry_core::world::Guest;

use crate::deed::target;
use crate::shell::Need;
use crate::{Engine, Error, random};

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
        let all = self.kept_forwards(&guest.cluster).await?;
        let own: Vec<&KeptForward> = all.iter().filter(|k| k.spec.vmid == guest.vmid).collect();
        if own.is_empty() {
            return Ok(());
        }
        for forward in own {
            self.unsettle(&guest.cluster, &forward.spec.node).await?;
        }
        self.store()
            .remove_forwards_to(&guest.cluster, guest.vmid)
            .await
            .map_err(Error::store("forget the forwards"))?;
        self.forwards_due();
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
        let mut there: Vec<ForwardSpec> = there.into_iter().map(|k| k.spec).collect();
        for old in own.iter().filter(|o| !wanted.iter().any(|w| w.spec == o.spec)) {
            draft.effects.push(format!("Forward {} no longer.", old.spec));
        }
        for forward in &wanted {
            if own.iter().any(|o| o.spec == forward.spec) {
                continue;
            }
            if let Err(why) = forward.spec.check(&there) {
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

    /// Keeps the forwards that the specification of a pod asks for; the tables follow.
    pub(crate) async fn remember_ports(&self, op: &Operation) -> Result<(), Error> {
        let (cluster, vmid, spec, node) = match &op.action {
            Action::CreatePod { cluster, spec, placed, .. } => {
                let placed = spec.placed(placed.as_ref());
                let (Some(vmid), Some(node)) = (op.vmid, placed.node.clone()) else {
                    return Ok(());
                };
                (cluster, vmid, placed, node)
            }
            Action::Pod(PodAction::Apply { guest, spec, .. }) => {
                let view = self.view(&guest.cluster);
                let Some(node) = view.and_then(|v| v.guest(guest.vmid).map(|g| g.node.clone()))
                else {
                    return Ok(());
                };
                (&guest.cluster, guest.vmid, PodSpec::clone(spec), node)
            }
            _ => return Ok(()),
        };
        let wanted = self.port_forwards(cluster, Some(vmid), &spec, &node, &op.by_name);
        let before = self.kept_forwards(cluster).await?;
        let own: Vec<&KeptForward> =
            before.iter().filter(|k| k.spec.vmid == vmid && k.port.is_some()).collect();
        if wanted.is_empty() && own.is_empty() {
            return Ok(());
        }
        for forward in own {
            self.unsettle(cluster, &forward.spec.node).await?;
        }
        let taken = self
            .store()
            .set_pod_forwards(cluster, vmid, &wanted)
            .await
            .map_err(Error::store("keep the forwards"))?;
        for (new, other) in taken {
            tracing::warn!(forward = %new.spec, taken = %other.spec, "a port of a pod is not forwarded: its place is taken");
        }
        self.forwards_due();
        Ok(())
    }
}
