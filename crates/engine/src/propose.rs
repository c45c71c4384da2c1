//! From a question to a plan: find the target, ask policy, read it live, say what would happen.
//!
//! Called by every face for everything that changes something. Nothing is changed here, except that
//! what needs no confirmation is queued at once.

use std::pin::Pin;
use std::sync::Arc;

use gantry_core::action::{Action, GuestRef, Power, Tier, Verb};
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{CardId, ClusterId, GuestKind, NodeName, OperationId, Upid, UserId};
use gantry_core::network::{NetworkAction, NetworkVerbs};
use gantry_core::operation::{OpState, Operation, Progress, Step};
use gantry_core::plan::{Draft, Plan, Planned, plan_guest};
use gantry_core::pod::PodSpec;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::set::{SetAction, SetRef};
use gantry_core::world::{ClusterView, Found, Guest, find_guest};
use gantry_store::NewCard;

use crate::deed::Planning;
use crate::pods::Limits;
use crate::sets::SetChange;
use crate::{Engine, Error};

/// What somebody asks for.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Something done to a guest.
    Guest {
        /// A `guest.*` or `pod.*` verb that writes.
        verb: Verb,
        /// The guest as typed or completed: `201`, `web-0`, `lab/201`.
        who: String,
        /// How long a graceful shutdown may take, seconds.
        timeout_s: Option<u32>,
    },
    /// A new pod.
    Pod {
        /// Where.
        cluster: ClusterId,
        /// What it shall be.
        spec: Box<PodSpec>,
    },
    /// Something done to a set.
    Set {
        /// A `set.*` verb that writes.
        verb: Verb,
        /// What.
        action: Box<SetAction>,
    },
    /// A change of what a set shall be, on what it shall be at that moment.
    SetChange {
        /// A `set.*` verb that writes.
        verb: Verb,
        /// Which.
        set: SetRef,
        /// The change.
        change: SetChange,
    },
    /// A change of a network.
    Network(Box<NetworkAction>),
    /// A pod that shall be what a specification says: created, or changed where it is there.
    Apply {
        /// Where.
        cluster: ClusterId,
        /// What it shall be.
        spec: Box<PodSpec>,
        /// Whether it is restarted where a change needs that.
        restart: bool,
    },
    /// Other limits for a pod.
    Update {
        /// The pod as typed or completed.
        who: String,
        /// The limits.
        limits: Limits,
    },
    /// Delete what the creation of a pod left behind.
    Clean {
        /// The operation that created it.
        operation: OperationId,
    },
    /// Something done to images.
    Image(crate::ImageAsk),
    /// Something done to port forwards.
    Forward(crate::ForwardAsk),
    /// Something done to a cluster's notifications.
    Notify(crate::NotifyAsk),
    /// Take the lock off a guest.
    Unlock {
        /// The guest as typed or completed.
        who: String,
    },
    /// Move a guest to another node.
    Migrate {
        /// The guest as typed or completed.
        who: String,
        /// Where to.
        to: NodeName,
        /// Whether it may be shut down and started for it, where it cannot be moved while it runs.
        restart: bool,
    },
    /// Change a guest's snapshots.
    Snapshot {
        /// The guest as typed or completed.
        who: String,
        /// The change.
        ask: crate::SnapshotAsk,
    },
    /// Stop a running task.
    TaskCancel {
        /// Where.
        cluster: ClusterId,
        /// Which.
        upid: Upid,
    },
}

/// What came of asking.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A plan waits for confirmation.
    Proposed {
        /// The plan.
        plan: Box<Plan>,
        /// The message to keep up to date.
        card: CardId,
    },
    /// No confirmation is needed; it is under way.
    Started {
        /// The plan.
        plan: Box<Plan>,
        /// The operation.
        operation: Box<Operation>,
        /// The message to keep up to date.
        card: CardId,
    },
    /// It is already so.
    Nothing {
        /// Why.
        why: String,
    },
    /// It cannot be done now.
    Refused {
        /// Why.
        why: String,
    },
    /// Policy says no.
    Denied {
        /// The deciding rule.
        because: String,
    },
    /// Several guests answer to that name.
    Several {
        /// Which.
        choices: Vec<Guest>,
    },
    /// Nothing the asker may see answers to that name.
    NotFound {
        /// What was looked for.
        text: String,
        /// Near misses.
        similar: Vec<String>,
    },
}

/// Shortest and longest graceful shutdown, seconds. Longer ones outlive the operation's own deadline.
pub(crate) const SHUTDOWN_RANGE_S: std::ops::RangeInclusive<u32> = 5..=1200;

/// On the heap, made in a frame of its own: this is deep in what a command calls, and stacks are small.
fn heap<F>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

impl Engine {
    /// Clusters as `actor` may see them: only guests that policy shows, or lets them act on with `verb`.
    pub fn views_for(&self, actor: &Actor, verb: Verb) -> Vec<Arc<ClusterView>> {
        let sees = |g: &Guest| {
            self.may(actor, Verb::GuestShow, Target::Guest(g)).is_allowed()
                || (g.is_pod() && self.may(actor, Verb::PodShow, Target::Guest(g)).is_allowed())
                || self.may(actor, verb, Target::Guest(g)).is_allowed()
        };
        self.views()
            .into_iter()
            .map(|view| {
                if view.guests.iter().all(sees) {
                    return view;
                }
                let mut part = ClusterView::clone(&view);
                part.guests.retain(sees);
                Arc::new(part)
            })
            .collect()
    }

    /// Writes down that somebody was refused. Refusing does not wait for it to be written by anybody else.
    pub async fn denied(
        &self,
        actor: &Actor,
        verb: Verb,
        target: &str,
        because: &str,
    ) -> Result<(), Error> {
        let row = self.audit_row(AuditEvent::Denied, actor, verb, target, because);
        self.store().append_audit(&row).await.map_err(Error::store("write the audit log"))
    }

    /// Finds the target, asks policy, reads it live and says what would happen.
    pub async fn propose(&self, actor: &Actor, ask: Ask) -> Result<Answer, Error> {
        heap(|| self.propose_it(actor, ask)).await
    }

    async fn propose_it(&self, actor: &Actor, ask: Ask) -> Result<Answer, Error> {
        match ask {
            Ask::Guest { verb, who, timeout_s } => {
                heap(|| self.propose_guest(actor, verb, &who, timeout_s)).await
            }
            Ask::Pod { cluster, spec } => heap(|| self.propose_pod(actor, cluster, spec)).await,
            Ask::Set { verb, action } => {
                let shown = format!("set {}", action.set());
                heap(|| self.propose_action(actor, verb, Action::Set(*action), &shown)).await
            }
            Ask::SetChange { verb, set, change } => {
                heap(|| self.propose_set_change(actor, verb, set, change)).await
            }
            Ask::Network(action) => {
                let (verb, shown) = (action.verb(), action.shown());
                heap(|| self.propose_action(actor, verb, Action::Network(action), &shown)).await
            }
            Ask::Apply { cluster, spec, restart } => {
                heap(|| self.propose_apply(actor, cluster, spec, restart)).await
            }
            Ask::Update { who, limits } => heap(|| self.propose_update(actor, &who, &limits)).await,
            Ask::Clean { operation } => heap(|| self.propose_clean(actor, &operation)).await,
            Ask::Image(ask) => heap(|| self.propose_image(actor, ask)).await,
            Ask::Forward(ask) => heap(|| self.propose_forward(actor, ask)).await,
            Ask::Notify(ask) => heap(|| self.propose_notify(actor, ask)).await,
            Ask::Unlock { who } => heap(|| self.propose_unlock(actor, &who)).await,
            Ask::Migrate { who, to, restart } => {
                heap(|| self.propose_migration(actor, &who, &to, restart)).await
            }
            Ask::Snapshot { who, ask } => heap(|| self.propose_snapshot(actor, &who, ask)).await,
            Ask::TaskCancel { cluster, upid } => {
                heap(|| self.propose_cancel(actor, cluster, upid)).await
            }
        }
    }

    pub(crate) async fn refuse(
        &self,
        actor: &Actor,
        verb: Verb,
        target: &str,
        because: String,
    ) -> Result<Answer, Error> {
        self.denied(actor, verb, target, &because).await?;
        Ok(Answer::Denied { because })
    }

    /// The one guest that somebody means, among those they may see; else what they are told. Memory only.
    pub(crate) async fn named(
        &self,
        actor: &Actor,
        verb: Verb,
        who: &str,
    ) -> Result<Result<Guest, Box<Answer>>, Error> {
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Any) {
            return self.refuse(actor, verb, who, because).await.map(|a| Err(Box::new(a)));
        }
        let views = self.views_for(actor, verb);
        Ok(match find_guest(&views, who) {
            Found::One(guest) => Ok(guest.clone()),
            Found::Several(guests) => {
                let choices = guests.into_iter().cloned().collect();
                Err(Box::new(Answer::Several { choices }))
            }
            Found::Nothing { similar } => {
                Err(Box::new(Answer::NotFound { text: who.to_owned(), similar }))
            }
        })
    }

    async fn propose_guest(
        &self,
        actor: &Actor,
        verb: Verb,
        who: &str,
        timeout_s: Option<u32>,
    ) -> Result<Answer, Error> {
        let found = match self.named(actor, verb, who).await? {
            Ok(found) => found,
            Err(answer) => return Ok(*answer),
        };
        let target = gantry_core::plan::describe(&found);
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Guest(&found)) {
            return self.refuse(actor, verb, &target, because).await;
        }
        let address = found.address();
        self.must_be_up(&address.cluster, &found.node, || {
            format!("read {} {}", found.kind.short(), address.vmid)
        })?;
        let Some(mut live) = self.look_at_guest(&address, found.kind).await? else {
            return Ok(Answer::Refused {
                why: format!("{target} is gone: Proxmox does not know it any more."),
            });
        };
        // Policy once more on what is true now: tags and pool may have changed since the summary was read.
        let (rule, needs) = match self.may(actor, verb, Target::Guest(&live.guest)) {
            Ruling::Allowed { rule, needs } => (rule, needs),
            Ruling::Denied { because } => return self.refuse(actor, verb, &target, because).await,
        };
        let timeout_s = timeout_s
            .unwrap_or(self.inner.settings.shutdown_timeout_s)
            .clamp(*SHUTDOWN_RANGE_S.start(), *SHUTDOWN_RANGE_S.end());
        let action = guest_action(verb, address, &live.guest, timeout_s);
        let Some(action) = action else {
            return Ok(Answer::Refused { why: format!("`{verb}` changes nothing.") });
        };
        if matches!(action, Action::Delete { .. }) {
            self.count_snapshots(&mut live).await?;
        }
        match plan_guest(verb, &action, &live) {
            Planned::Nothing { why } => Ok(Answer::Nothing { why }),
            Planned::Refused { why } => {
                Ok(Answer::Refused { why: why + &self.unlocking(&live.guest) })
            }
            Planned::Ready(mut draft) => {
                if let Action::Delete { guest, .. } = &action {
                    self.tell_forwards_to(guest, &mut draft).await?;
                }
                let plan = self.plan(actor, verb, action, (rule, needs), draft, live.read_ms);
                self.keep(actor, plan).await
            }
        }
    }

    /// How a lock that nothing holds any more is taken off, where a guest has one.
    fn unlocking(&self, guest: &Guest) -> String {
        let (node, vmid) = (&guest.node, guest.vmid);
        let tool = if guest.kind == GuestKind::Lxc { "pct" } else { "qm" };
        match &guest.lock {
            None => String::new(),
            Some(_) if self.has_shell(&guest.cluster, node) => {
                " If nothing does, `/guest unlock` takes it off.".to_owned()
            }
            Some(_) => {
                format!(" If nothing does, take it off on {node} itself: {tool} unlock {vmid}")
            }
        }
    }

    /// Plans an action whose target is known; refusals are written down under `shown`.
    pub(crate) async fn propose_action(
        &self,
        actor: &Actor,
        verb: Verb,
        action: Action,
        shown: &str,
    ) -> Result<Answer, Error> {
        // Asked before anything is read, so that a refusal tells nothing about the world.
        if let Ruling::Denied { because } = self.ruling(actor, verb, &action) {
            return self.refuse(actor, verb, shown, because).await;
        }
        let planning = Box::pin(self.plan_now(actor, verb, &action)).await?;
        let Planning { planned, ruling, read_ms } = planning;
        let (rule, needs) = match ruling {
            Ruling::Allowed { rule, needs } => (rule, needs),
            Ruling::Denied { because } => return self.refuse(actor, verb, shown, because).await,
        };
        match planned {
            Planned::Nothing { why } => Ok(Answer::Nothing { why }),
            Planned::Refused { why } => Ok(Answer::Refused { why }),
            Planned::Ready(draft) => {
                let plan = self.plan(actor, verb, action, (rule, needs), draft, read_ms);
                self.keep(actor, plan).await
            }
        }
    }

    async fn propose_set_change(
        &self,
        actor: &Actor,
        verb: Verb,
        set: SetRef,
        change: SetChange,
    ) -> Result<Answer, Error> {
        let shown = format!("set {set}");
        if let Ruling::Denied { because } = self.may_set(actor, verb, &set) {
            return self.refuse(actor, verb, &shown, because).await;
        }
        let action = match self.changed_set(&set, change).await? {
            Ok(action) => action,
            Err(why) => return Ok(Answer::Refused { why }),
        };
        self.propose_action(actor, verb, Action::Set(action), &shown).await
    }

    async fn propose_cancel(
        &self,
        actor: &Actor,
        cluster: ClusterId,
        upid: Upid,
    ) -> Result<Answer, Error> {
        let verb = Verb::TaskCancel;
        let shown = format!("task {} {} ({cluster})", upid.kind(), upid.id());
        if let Ruling::Denied { because } = self.may_task(actor, verb, &cluster, &upid) {
            return self.refuse(actor, verb, &shown, because).await;
        }
        if self.task(&cluster, &upid).await?.is_none() {
            return Ok(Answer::NotFound { text: upid.to_string(), similar: Vec::new() });
        }
        self.propose_action(actor, verb, Action::CancelTask { cluster, upid }, &shown).await
    }

    /// What policy says about a task: it is judged by the guest it works on, else by its node.
    pub fn may_task(&self, actor: &Actor, verb: Verb, cluster: &ClusterId, upid: &Upid) -> Ruling {
        let view = self.view(cluster);
        let guest = upid
            .id()
            .parse()
            .ok()
            .and_then(|vmid| view.as_ref().and_then(|v| v.guest(vmid)).cloned());
        match &guest {
            Some(guest) => self.may(actor, verb, Target::Guest(guest)),
            None => self.may(actor, verb, Target::Node(cluster, upid.node())),
        }
    }

    pub(crate) fn plan(
        &self,
        actor: &Actor,
        verb: Verb,
        action: Action,
        (rule, tier): (String, Tier),
        draft: Draft,
        observed_ms: i64,
    ) -> Plan {
        let created_ms = self.now_ms();
        let life = i64::try_from(self.inner.settings.plan_life.as_millis()).unwrap_or(i64::MAX);
        Plan {
            id: self.plan_id(),
            verb,
            asker: actor.clone(),
            rule,
            tier: tier.max(action.tier()),
            action,
            name: draft.name,
            target: draft.target,
            effects: draft.effects,
            changes: draft.changes,
            warnings: draft.warnings,
            steps: draft.steps,
            fingerprint: draft.fingerprint,
            digest: draft.digest,
            observed_ms,
            created_ms,
            expires_ms: created_ms.saturating_add(life),
        }
    }

    /// Keeps a plan; starts it where no confirmation is needed.
    async fn keep(&self, actor: &Actor, plan: Plan) -> Result<Answer, Error> {
        let card = NewCard { id: self.card_id(), guild: actor.guild, channel: actor.channel };
        let mut proposed =
            self.audit_row(AuditEvent::Proposed, actor, plan.verb, &plan.target, &plan.rule);
        proposed.plan = Some(plan.id.clone());
        if plan.tier > Tier::None {
            self.store()
                .save_plan(&plan, &card, &proposed)
                .await
                .map_err(Error::store("keep the plan"))?;
            return Ok(Answer::Proposed { plan: Box::new(plan), card: card.id });
        }
        let operation = self.new_operation(&plan, actor.user, &actor.name);
        let mut confirmed = self.audit_row(
            AuditEvent::Confirmed,
            actor,
            plan.verb,
            &plan.target,
            "needs no confirmation",
        );
        confirmed.plan = Some(plan.id.clone());
        confirmed.operation = Some(operation.id.clone());
        self.store()
            .save_started(&plan, &card, &operation, &[proposed, confirmed])
            .await
            .map_err(Error::store("start the operation"))?;
        self.inner.work.notify_one();
        Ok(Answer::Started { plan: Box::new(plan), operation: Box::new(operation), card: card.id })
    }

    /// The operation that carries out `plan`.
    pub(crate) fn new_operation(&self, plan: &Plan, by: UserId, by_name: &str) -> Operation {
        Operation {
            id: self.operation_id(),
            plan: plan.id.clone(),
            verb: plan.verb,
            action: plan.action.clone(),
            name: plan.name.clone(),
            target: plan.target.clone(),
            state: OpState::Queued,
            steps: plan.steps.iter().cloned().map(Step::new).collect(),
            fingerprint: plan.fingerprint.clone(),
            digest: plan.digest.clone(),
            vmid: None,
            by,
            by_name: by_name.to_owned(),
            created_ms: self.now_ms(),
            started_ms: None,
            ended_ms: None,
            cancel_by: None,
            progress: Progress::default(),
            outcome: None,
            broken: None,
        }
    }

    pub(crate) fn audit_row(
        &self,
        event: AuditEvent,
        actor: &Actor,
        verb: Verb,
        target: &str,
        detail: &str,
    ) -> AuditRow {
        AuditRow::by(self.audit_id(), self.now_ms(), event, actor, verb, target, detail)
    }
}

/// The action that a verb comes to; `None` for verbs that change nothing.
fn guest_action(verb: Verb, guest: GuestRef, seen: &Guest, timeout_s: u32) -> Option<Action> {
    let kind = seen.kind;
    let power = |change| Some(Action::Power { guest: guest.clone(), kind, change, timeout_s });
    match verb {
        Verb::GuestStart | Verb::PodStart => power(Power::Start),
        Verb::GuestShutdown | Verb::GuestStop | Verb::PodStop => power(Power::Shutdown),
        Verb::GuestKill | Verb::PodKill => power(Power::Kill),
        Verb::GuestReboot | Verb::PodRestart => power(Power::Reboot),
        Verb::GuestSuspend => power(Power::Suspend),
        Verb::GuestResume => power(Power::Resume),
        Verb::GuestDelete | Verb::PodDelete => Some(Action::Delete { guest, kind, timeout_s }),
        _ => None,
    }
}
