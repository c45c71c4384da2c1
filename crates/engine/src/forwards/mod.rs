//! Port forwards beside their operations: asking for them and showing them. `keep` keeps every node's table what was
//! asked for; `ports` are the forwards that come and go with their guests.

mod keep;
mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use gantry_core::action::{Action, Verb};
use gantry_core::forward::{Entry, Family, ForwardAction, ForwardSpec, KeptForward, Proto, drift};
use gantry_core::id::{ClusterId, ForwardId, NodeName};
use gantry_core::plan::describe;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::{Found, find_guest};
use gantry_store::Leftover;
use tokio::sync::Notify;

use crate::deed::forward::{Own, facts, is_touched};
use crate::propose::Answer;
use crate::shell::Who;
use crate::{Engine, Error, random};

/// Nodes shown at most; more than a cluster has.
const NODES_MAX: usize = 64;
/// Forwards of a node whose firewall rule is looked for in a list at most; as many as a card shows.
const RULES_LOOKED_AT: usize = 30;
/// How many of them at once.
const RULES_AT_ONCE: usize = 8;
/// How long one of them may take: the list does not wait for a guest's firewall.
const RULE_WITHIN: Duration = Duration::from_secs(3);

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

/// A forward as whoever asks may know it.
#[derive(Debug, Clone)]
pub struct ShownForward {
    /// Its id.
    pub id: ForwardId,
    /// The whole of it; its guest only for somebody who may see that.
    pub shown: String,
    /// The name of the port in the pod's specification it comes from.
    pub port: Option<String>,
    /// Who asked.
    pub by: String,
    /// Whether somebody has taken its rule out of its guest's firewall; told only to those who may see the guest.
    pub closed: bool,
}

/// The forwards of one node.
#[derive(Debug, Clone)]
pub struct NodeForwards {
    /// The node.
    pub node: NodeName,
    /// What was asked for.
    pub kept: Vec<ShownForward>,
    /// Which of them lead nowhere now, and why; the reason only for somebody who may see the guest.
    pub broken: Vec<(String, Option<String>)>,
    /// How many that were removed have still to go from its table or from a firewall.
    pub left: usize,
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
    /// Wakes the keeper; a permit waits for one that is at work right now.
    due: Arc<Notify>,
    /// What was said of a node last, so that it is said once.
    told: BTreeMap<NodeName, String>,
    /// The nodes' own addresses.
    own: Own,
}

/// What the engine remembers of forwards between two looks.
#[derive(Default)]
pub(crate) struct Memory {
    known: Mutex<BTreeMap<ClusterId, Known>>,
}

impl Memory {
    fn of<T>(&self, cluster: &ClusterId, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(all.entry(cluster.clone()).or_default())
    }

    /// The nodes' own addresses as read last.
    pub(crate) fn own(&self, cluster: &ClusterId) -> Own {
        self.of(cluster, |k| k.own.clone())
    }

    /// Remembers the nodes' own addresses as Proxmox has them.
    pub(crate) fn learn_own(&self, cluster: &ClusterId, own: Own) {
        self.of(cluster, |k| {
            let live = std::mem::take(&mut k.own.live);
            k.own = own;
            k.own.live = live;
        });
    }

    /// Remembers the addresses a node says it has itself.
    pub(crate) fn learn_local(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        local: BTreeSet<IpAddr>,
    ) {
        self.of(cluster, |k| k.own.live.insert(node.clone(), local));
    }
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
    pub(crate) fn forwards_due(&self) {
        let all = self.inner.forwards.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().for_each(|known| known.due.notify_one());
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
                    pinned: None,
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
        let left = self.leftovers(cluster).await?;
        nodes.extend(left.iter().map(|l| l.node.clone()));
        let unruled = self.store().forwards_without_rule(cluster).await;
        let unruled = unruled.map_err(Error::store("read which forwards have no rule"))?;
        let reads = nodes.into_iter().take(NODES_MAX).map(|node| {
            let (kept, left, unruled) = (&kept, &left, &unruled);
            Box::pin(async move {
                self.node_forwards(actor, (cluster, node), kept, left, unruled).await
            })
        });
        let nodes = join_all(reads).await;
        Ok(ForwardList { cluster: cluster.clone(), nodes, read_ms: self.now_ms() })
    }

    /// The forwards of one node as `actor` may know them. `unruled`: those that never had a firewall rule.
    async fn node_forwards(
        &self,
        actor: &Actor,
        (cluster, node): (&ClusterId, NodeName),
        kept: &[KeptForward],
        left: &[Leftover],
        unruled: &[ForwardId],
    ) -> NodeForwards {
        let (standing, broken) = Box::pin(self.standing(actor, cluster, &node, kept)).await;
        let sees = |spec: &ForwardSpec| self.sees_forward(actor, spec);
        let here = || kept.iter().filter(|k| k.spec.node == node);
        let ruled = here().filter(|k| sees(&k.spec) && !unruled.contains(&k.id));
        let ruled = ruled.filter(|k| !broken.iter().any(|(spec, _)| *spec == k.spec));
        let ruled: Vec<&KeptForward> = ruled.take(RULES_LOOKED_AT).collect();
        let closed = self.closed(&ruled).await;
        let kept = here().map(|k| ShownForward {
            id: k.id.clone(),
            shown: k.spec.shown_to(sees(&k.spec)),
            port: k.port.clone(),
            by: k.created_by.clone(),
            closed: closed.contains(&k.id),
        });
        let kept = kept.collect();
        let broken = broken.iter().map(|(spec, why)| {
            let sees = sees(spec);
            (spec.shown_to(sees), sees.then(|| why.clone()))
        });
        let broken = broken.collect();
        let left = left.iter().filter(|l| l.node == node).count();
        NodeForwards { node, kept, broken, left, standing }
    }

    /// Of which forwards somebody has taken the rule out of the guest's firewall. Where that cannot be read, nothing is
    /// said.
    async fn closed(&self, forwards: &[&KeptForward]) -> BTreeSet<ForwardId> {
        let mut closed = BTreeSet::new();
        for part in forwards.chunks(RULES_AT_ONCE) {
            let mut looks = Vec::new();
            for forward in part {
                looks.push(tokio::time::timeout(RULE_WITHIN, Box::pin(self.rule_of(forward))));
            }
            for (forward, rule) in part.iter().zip(join_all(looks).await) {
                if matches!(rule, Ok(Ok(Some(false)))) {
                    closed.insert(forward.id.clone());
                }
            }
        }
        closed
    }

    async fn standing(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        node: &NodeName,
        kept: &[KeptForward],
    ) -> (Standing, Vec<(ForwardSpec, String)>) {
        let unread = |e: Error| (Standing::Unread { why: e.to_string() }, Vec::new());
        let shell = self.shell(cluster, node);
        let shown = format!("the forwards of {node} ({cluster})");
        let who = Who::Asker(actor, Verb::ForwardList, &shown);
        let state = match &shell {
            Some(shell) => Some(shell.forwards(who).await),
            None => None,
        };
        let has = match &state {
            Some(Ok(state)) => facts(state).has.unwrap_or_default(),
            _ => Vec::new(),
        };
        let desired = match self.desired_forwards(cluster, node, kept, &has).await {
            Ok(desired) => desired,
            Err(error) => return unread(error),
        };
        let broken = desired.broken.iter().map(|(s, why)| (s.clone(), why.words(s))).collect();
        let state = match state {
            Some(Ok(state)) => state,
            Some(Err(error)) => return (Standing::Unread { why: error.to_string() }, broken),
            None => return (Standing::NotSetUp, broken),
        };
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
}
