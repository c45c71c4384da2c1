//! Port forwards beside their operations: asking for them, showing them, and keeping every node's table what was asked
//! for. Level-triggered: each pass compares what is with what shall be, whatever has happened meanwhile: a guest has
//! another address, a node has started anew, a table was flushed. What somebody has written into the table by hand is
//! told of, not fought.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::forward::{Entry, Family, ForwardAction, ForwardSpec, KeptForward, Proto, drift};
use gantry_core::id::{ClusterId, ForwardId, NodeName, Vmid};
use gantry_core::operation::Operation;
use gantry_core::plan::{Draft, Planned, describe};
use gantry_core::pod::{Ipv6, PodAction, PodSpec, Protocol};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::{Found, find_guest};
use gantry_store::OpFilter;
use tokio::sync::Notify;

use crate::deed::forward::{facts, is_touched, table};
use crate::deed::target;
use crate::propose::Answer;
use crate::shell::{Need, Who};
use crate::{Engine, Error, random};

/// Pause between two looks at a cluster's tables.
const EVERY: Duration = Duration::from_secs(30);
/// Nodes shown at most; more than a cluster has.
const NODES_MAX: usize = 64;

/// What somebody asks of forwards.
#[derive(Debug, Clone)]
pub enum ForwardAsk {
    /// One more.
    Add {
        /// The guest as typed or completed.
        who: String,
        /// Where it listens; the guest's node where nobody says.
        node: Option<NodeName>,
        /// TCP or UDP.
        proto: Proto,
        /// IPv4 or IPv6; that of `listen`, or IPv4.
        family: Option<Family>,
        /// The address it listens at; every one where left out.
        listen: Option<IpAddr>,
        /// The port it listens at.
        port: u16,
        /// The port of the guest.
        target_port: u16,
    },
    /// One less.
    Remove {
        /// Which.
        forward: ForwardId,
    },
    /// Make a node's table what was asked for.
    Apply {
        /// In which cluster.
        cluster: ClusterId,
        /// On which node.
        node: NodeName,
    },
}

/// How a node's table stands to what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// As asked for.
    AsAsked,
    /// There is no node shell for it.
    NotSetUp,
    /// It could not be read.
    Unread {
        /// Why.
        why: String,
    },
    /// It is not; gantry puts it right by itself unless somebody has a hand in it.
    Differs {
        /// In force, and not asked for.
        extra: Vec<Entry>,
        /// Asked for, and not in force.
        missing: Vec<Entry>,
        /// Whether somebody has changed it by hand.
        touched: bool,
    },
}

/// The forwards of one node.
#[derive(Debug, Clone)]
pub struct NodeForwards {
    /// The node.
    pub node: NodeName,
    /// What was asked for.
    pub kept: Vec<KeptForward>,
    /// Which of them lead nowhere now, and why.
    pub broken: Vec<(ForwardSpec, &'static str)>,
    /// How its table stands to that.
    pub standing: Standing,
}

/// The forwards of a cluster.
#[derive(Debug, Clone)]
pub struct ForwardList {
    /// Which.
    pub cluster: ClusterId,
    /// Its nodes, by name.
    pub nodes: Vec<NodeForwards>,
    /// When this was read, milliseconds.
    pub read_ms: i64,
}

/// What is known of one cluster's forwards.
#[derive(Debug, Default)]
struct Known {
    kept: Vec<KeptForward>,
    /// Nodes from whose tables something has to go although they have no forwards any more.
    unsettled: BTreeSet<NodeName>,
    /// Forwards whose firewall rule was seen.
    allowed: BTreeSet<ForwardId>,
    /// What was said of a node last, so that it is said once.
    told: BTreeMap<NodeName, String>,
}

/// What the engine remembers of forwards between two looks.
#[derive(Default)]
pub(crate) struct Memory {
    known: Mutex<BTreeMap<ClusterId, Known>>,
    due: Notify,
}

impl Memory {
    fn of<T>(&self, cluster: &ClusterId, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(all.entry(cluster.clone()).or_default())
    }
}

/// Where it is kept from whose tables something has to go.
fn unsettled_key(cluster: &ClusterId) -> String {
    format!("forwards-unsettled:{cluster}")
}

impl Engine {
    /// Forwards as read last, for completion. Memory only.
    pub fn known_forwards(&self) -> Vec<KeptForward> {
        let all = self.inner.forwards.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().flat_map(|k| k.kept.iter().cloned()).collect()
    }

    /// Whether somebody may remove a forward. Memory only.
    pub fn may_remove(&self, actor: &Actor, forward: &KeptForward) -> Ruling {
        let action = ForwardAction::Remove { forward: Box::new(forward.clone()) };
        self.ruling_on_forward(actor, Verb::ForwardRemove, &action)
    }

    /// What policy says about something done to forwards. Memory only.
    pub fn ruling_on_forward(&self, actor: &Actor, verb: Verb, action: &ForwardAction) -> Ruling {
        self.ruling(actor, verb, &Action::Forward(action.clone()))
    }

    /// Looks at the tables soon.
    fn forwards_due(&self) {
        self.inner.forwards.due.notify_waiters();
    }

    pub(crate) async fn propose_forward(
        &self,
        actor: &Actor,
        ask: ForwardAsk,
    ) -> Result<Answer, Error> {
        let action = match ask {
            ForwardAsk::Add { who, node, proto, family, listen, port, target_port } => {
                let verb = Verb::ForwardAdd;
                if let Ruling::Denied { because } = self.may(actor, verb, Target::Any) {
                    return self.refuse(actor, verb, &who, because).await;
                }
                let views = self.views_for(actor, verb);
                let guest = match find_guest(&views, &who) {
                    Found::One(guest) => guest.clone(),
                    Found::Several(guests) => {
                        let list: Vec<String> = guests.into_iter().map(describe).collect();
                        let why = format!(
                            "Several guests answer to that: {}. Say which, as cluster/number.",
                            list.join(", ")
                        );
                        return Ok(Answer::Refused { why });
                    }
                    Found::Nothing { similar } => {
                        return Ok(Answer::NotFound { text: who, similar });
                    }
                };
                let family = family.or(listen.map(Family::of)).unwrap_or(Family::Ipv4);
                let forward = KeptForward {
                    id: ForwardId::new(self.now_ms(), random()),
                    spec: ForwardSpec {
                        cluster: guest.cluster.clone(),
                        node: node.unwrap_or_else(|| guest.node.clone()),
                        proto,
                        family,
                        listen,
                        port,
                        vmid: guest.vmid,
                        name: guest.name.clone(),
                        target_port,
                    },
                    port: None,
                    created_by: actor.name.clone(),
                    created_ms: self.now_ms(),
                };
                ForwardAction::Add { forward: Box::new(forward) }
            }
            ForwardAsk::Remove { forward } => {
                let verb = Verb::ForwardRemove;
                if let Ruling::Denied { because } = self.may(actor, verb, Target::Any) {
                    return self.refuse(actor, verb, forward.as_str(), because).await;
                }
                let found = self.store().find_forward(&forward).await;
                match found.map_err(Error::store("read the forwards"))? {
                    Some(found) => ForwardAction::Remove { forward: Box::new(found) },
                    None => {
                        let why = "There is no such forward any more.".to_owned();
                        return Ok(Answer::Nothing { why });
                    }
                }
            }
            ForwardAsk::Apply { cluster, node } => ForwardAction::Apply { cluster, node },
        };
        let (verb, shown) = (action.verb(), action.shown());
        self.propose_action(actor, verb, Action::Forward(action), &shown).await
    }

    /// The forwards of a cluster with how each node's table stands to them, read now. `actor` asked.
    ///
    /// # Errors
    /// When the database does not answer; a node that does not is shown as such.
    pub async fn forwards(&self, actor: &Actor, cluster: &ClusterId) -> Result<ForwardList, Error> {
        let kept = self.kept_forwards(cluster).await?;
        self.inner.forwards.of(cluster, |k| k.kept.clone_from(&kept));
        let mut nodes: BTreeSet<NodeName> = kept.iter().map(|k| k.spec.node.clone()).collect();
        nodes.extend(self.inner.forwards.of(cluster, |k| k.unsettled.clone()));
        let reads = nodes.into_iter().take(NODES_MAX).map(|node| {
            let kept = &kept;
            async move {
                let (standing, broken) = Box::pin(self.standing(actor, cluster, &node, kept)).await;
                let kept = kept.iter().filter(|k| k.spec.node == node).cloned().collect();
                NodeForwards { node, kept, broken, standing }
            }
        });
        let nodes = join_all(reads).await;
        Ok(ForwardList { cluster: cluster.clone(), nodes, read_ms: self.now_ms() })
    }

    async fn standing(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        node: &NodeName,
        kept: &[KeptForward],
    ) -> (Standing, Vec<(ForwardSpec, &'static str)>) {
        let unread = |e: Error| (Standing::Unread { why: e.to_string() }, Vec::new());
        let desired = match self.desired_forwards(cluster, node, kept).await {
            Ok(desired) => desired,
            Err(error) => return unread(error),
        };
        let broken = desired.broken.iter().map(|(s, why)| (s.clone(), why.words())).collect();
        let Some(shell) = self.shell(cluster, node) else { return (Standing::NotSetUp, broken) };
        let shown = format!("the forwards of {node} ({cluster})");
        let who = Who::Asker(actor, Verb::ForwardList, &shown);
        let state = match shell.forwards(who).await {
            Ok(state) => state,
            Err(error) => return (Standing::Unread { why: error.to_string() }, broken),
        };
        let has = facts(&state).has.unwrap_or_default();
        let touched = is_touched(&state);
        let standing = match drift(&has, &desired) {
            None if !touched => Standing::AsAsked,
            difference => {
                let difference = difference.unwrap_or_default();
                Standing::Differs { extra: difference.extra, missing: difference.missing, touched }
            }
        };
        (standing, broken)
    }

    /// Keeps every node's table what was asked for; never returns.
    pub(crate) async fn keep_forwards(&self, cluster: &ClusterId) {
        let mut begun = false;
        loop {
            if self.view(cluster).is_some_and(|v| v.observed_ms > 0) {
                if !begun {
                    begun = self.remember_unsettled(cluster).await;
                }
                if let Err(error) = self.forwards_pass(cluster).await {
                    tracing::warn!(%cluster, %error, "could not look at the forwards; looking again");
                }
            }
            tokio::select! {
                () = self.inner.forwards.due.notified() => {}
                () = self.inner.clock.sleep(EVERY) => {}
            }
        }
    }

    async fn remember_unsettled(&self, cluster: &ClusterId) -> bool {
        match self.store().setting(&unsettled_key(cluster)).await {
            Ok(text) => {
                let text = text.unwrap_or_default();
                let nodes = text.split(' ').filter_map(|n| n.parse().ok());
                self.inner.forwards.of(cluster, |k| k.unsettled.extend(nodes));
                true
            }
            Err(error) => {
                tracing::warn!(%cluster, %error, "could not read which forwards have to go");
                false
            }
        }
    }

    async fn save_unsettled(&self, cluster: &ClusterId) -> Result<(), Error> {
        let nodes: Vec<String> = self
            .inner
            .forwards
            .of(cluster, |k| k.unsettled.iter().map(ToString::to_string).collect());
        self.store()
            .set_setting(&unsettled_key(cluster), &nodes.join(" "), self.now_ms())
            .await
            .map_err(Error::store("note which forwards have to go"))
    }

    /// Notes that something has to go from a node's table, so that it goes even when it cannot go now.
    pub(crate) async fn unsettle(&self, cluster: &ClusterId, node: &NodeName) -> Result<(), Error> {
        if self.inner.forwards.of(cluster, |k| k.unsettled.insert(node.clone())) {
            self.save_unsettled(cluster).await?;
        }
        Ok(())
    }

    async fn forwards_pass(&self, cluster: &ClusterId) -> Result<(), Error> {
        let kept = self.kept_forwards(cluster).await?;
        let mut nodes: BTreeSet<NodeName> = kept.iter().map(|k| k.spec.node.clone()).collect();
        self.inner.forwards.of(cluster, |k| {
            nodes.extend(k.unsettled.iter().cloned());
            k.allowed.retain(|id| kept.iter().any(|f| f.id == *id));
            k.kept.clone_from(&kept);
        });
        // One node after another would let one that is silent keep the others waiting.
        join_all(nodes.iter().map(|node| Box::pin(self.keep_node(cluster, node, &kept)))).await;
        Ok(())
    }

    /// Puts one node's table right where that is gantry's to do.
    async fn keep_node(&self, cluster: &ClusterId, node: &NodeName, kept: &[KeptForward]) {
        match self.try_node(cluster, node, kept).await {
            Ok(said) => self.tell(cluster, node, said),
            Err(error) => self.tell(cluster, node, Some(error.to_string())),
        }
    }

    /// Says once in the log what is wrong with a node's table.
    fn tell(&self, cluster: &ClusterId, node: &NodeName, said: Option<String>) {
        let new = self.inner.forwards.of(cluster, |k| match said {
            None => k.told.remove(node).map(|_| None),
            Some(said) if k.told.get(node) == Some(&said) => None,
            Some(said) => {
                k.told.insert(node.clone(), said.clone());
                Some(Some(said))
            }
        });
        match new {
            Some(Some(why)) => {
                tracing::warn!(%cluster, %node, %why, "the forwards of a node are not as asked for")
            }
            Some(None) => {
                tracing::info!(%cluster, %node, "the forwards of a node are as asked for")
            }
            None => {}
        }
    }

    /// `Some`: what is not as asked for, and stays so.
    async fn try_node(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        kept: &[KeptForward],
    ) -> Result<Option<String>, Error> {
        let turn = format!("forwards {cluster}/{node}");
        let filter = OpFilter { open_only: true, turn: Some(turn), ..OpFilter::default() };
        if self.operations(&filter, 0, 1).await?.total > 0 {
            // It is being worked on: what is now is neither what was nor what shall be.
            return Ok(None);
        }
        let shell = self.need_shell(cluster, node, Need::Forwards)?;
        let shown = format!("the forwards of {node} ({cluster})");
        let who = Who::Gantry(Verb::ForwardApply, &shown);
        let state = shell.watch_forwards(who).await?;
        let desired = self.desired_forwards(cluster, node, kept).await?;
        let wanted = table(&desired).map_err(|what| Error::Missing { what })?;
        if is_touched(&state) {
            return Ok(Some(
                "somebody has changed the table by hand; `/forward apply` makes it what was asked for".to_owned(),
            ));
        }
        let empty = wanted.is_empty() && state.table().is_none_or(|t| t.is_empty());
        if !state.is(&wanted) && !empty {
            if let Err(fault) = self.put_forwards(who, cluster, node, false).await {
                return Ok(Some(fault.text));
            }
            tracing::info!(%cluster, %node, forwards = wanted.len(), "put the forwards of a node right");
        }
        for forward in kept.iter().filter(|k| k.spec.node == *node) {
            let known = self.inner.forwards.of(cluster, |k| k.allowed.contains(&forward.id));
            if !known {
                self.ensure_rule(forward).await?;
                self.inner.forwards.of(cluster, |k| k.allowed.insert(forward.id.clone()));
            }
        }
        let settled = !kept.iter().any(|k| k.spec.node == *node)
            && self.inner.forwards.of(cluster, |k| k.unsettled.remove(node));
        if settled {
            self.save_unsettled(cluster).await?;
        }
        let broken: Vec<String> =
            desired.broken.iter().map(|(s, why)| format!("{s}: {}", why.words())).collect();
        Ok((!broken.is_empty()).then(|| broken.join("; ")))
    }

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

    /// Says in the plan of a pod which of its ports are forwarded, and refuses those that cannot be.
    pub(crate) async fn tell_ports(
        &self,
        cluster: &ClusterId,
        spec: &PodSpec,
        planned: &mut Planned,
    ) -> Result<(), Error> {
        let Some(node) = spec.node.clone() else { return Ok(()) };
        let wanted = self.port_forwards(cluster, None, spec, &node, "");
        if wanted.is_empty() {
            return Ok(());
        }
        let there: Vec<ForwardSpec> =
            self.kept_forwards(cluster).await?.into_iter().map(|k| k.spec).collect();
        let Planned::Ready(draft) = planned else { return Ok(()) };
        for forward in &wanted {
            if let Err(why) = forward.spec.check(&there) {
                *planned = Planned::Refused { why: format!("Its node_port cannot be: {why}.") };
                return Ok(());
            }
            draft.effects.push(format!("Forward {}, once it has an address.", forward.spec));
        }
        if !self.has_shell(cluster, &node) {
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
