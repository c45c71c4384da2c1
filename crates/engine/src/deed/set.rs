//! Sets: writing down what they shall be. What follows is the reconciler's (`sets/`).

use gantry_core::action::{Action, Tier, Verb};
use gantry_core::advice::Advice;
use gantry_core::id::{Upid, Vmid};
use gantry_core::operation::Operation;
use gantry_core::plan::Planned;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::set::identity::set_tag;
use gantry_core::set::plan::{SetFacts, fingerprint, plan_set};
use gantry_core::set::{
    Choice, Facts, Phase, Revision, Set, SetAction, SetRef, SetSpec, SlotRecord, lost_volumes,
};
use gantry_store::{SetRow, StoreError};

use super::{Aim, CallFault, Look, Planning, Seen};
use crate::sets::facts::{kept, left_to};
use crate::{Engine, Error};

impl From<StoreError> for CallFault {
    fn from(error: StoreError) -> Self {
        let advice = if error.is_lost() { Advice::Probe } else { Advice::GiveUp };
        Self { text: error.to_string(), advice, taken: false }
    }
}

impl Engine {
    /// A set is judged like a new pod: by its cluster, nodes, numbers, name, tags and pool, as it is and as it shall be.
    pub(super) fn set_ruling(&self, actor: &Actor, verb: Verb, action: &SetAction) -> Ruling {
        let known = self.set_seen(action.set());
        self.ruling_on_set(actor, verb, action, known.as_deref())
    }

    fn ruling_on_set(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &SetAction,
        known: Option<&Set>,
    ) -> Ruling {
        let set = action.set();
        let judge = |spec: &SetSpec| {
            let tags = spec.template.all_tags();
            let pool = spec.template.pool.as_deref();
            let target = Target::NewPod {
                cluster: &set.cluster,
                name: &set.name,
                tags: &tags,
                pool,
                nodes: &spec.nodes,
                vmids: Some((spec.vmids.from, spec.vmids.to)),
            };
            self.may(actor, verb, target)
        };
        let was = known.map(Set::spec);
        let shall = match action {
            SetAction::Put { spec, .. } => Some(&**spec),
            _ => None,
        };
        if let Some(because) = self.forbidden_on_pods(actor, verb, set, [was, shall]) {
            return Ruling::Denied { because };
        }
        match (was.map(judge), shall.map(judge)) {
            (Some(Ruling::Denied { because }), _) => Ruling::Denied { because },
            (_, Some(ruling)) | (Some(ruling), None) => ruling,
            // Nobody knows it: only who may do that to all of the cluster is told so.
            (None, None) => self.may(actor, verb, Target::Cluster(&set.cluster)),
        }
    }

    /// Why a rule forbids `verb` on a pod of the set, by what it is called or by what it is now: what is done to the set
    /// is done to its pods. Memory only.
    fn forbidden_on_pods(
        &self,
        actor: &Actor,
        verb: Verb,
        set: &SetRef,
        specs: [Option<&SetSpec>; 2],
    ) -> Option<String> {
        let called = specs.into_iter().flatten().find_map(|spec| {
            let (tags, pool) = (spec.template.all_tags(), spec.template.pool.as_deref());
            spec.ordinals().find_map(|ordinal| {
                let target = Target::NewPod {
                    cluster: &set.cluster,
                    name: &format!("{}-{ordinal}", set.name),
                    tags: &tags,
                    pool,
                    nodes: &spec.nodes,
                    vmids: Some((spec.vmids.from, spec.vmids.to)),
                };
                self.forbidden(actor, verb, target)
            })
        });
        called.or_else(|| {
            let view = self.view(&set.cluster)?;
            let tag = set_tag(&set.name);
            let own = view.guests.iter().filter(|g| g.is_pod() && g.tags.contains(&tag));
            own.into_iter().find_map(|g| self.forbidden(actor, verb, Target::Guest(g)))
        })
    }

    /// The same on what was read just now: on the set in the database, not in memory; making one with another verb
    /// takes the right to create as well; and whoever takes up volumes must be allowed that on those who own them.
    fn ruling_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &SetAction,
        facts: &SetFacts,
    ) -> Ruling {
        let known = facts.set.as_ref();
        let mut ruling = self.ruling_on_set(actor, verb, action, known);
        let new = known.is_none() && matches!(action, SetAction::Put { .. });
        if new && verb != Verb::SetCreate {
            ruling = both(ruling, self.ruling_on_set(actor, Verb::SetCreate, action, None));
        }
        for keeper in &facts.left {
            let theirs = match self.may(actor, verb, Target::Guest(keeper)) {
                // Which ones is not said: the asker may not be allowed to see them.
                Ruling::Denied { because } => Ruling::Denied {
                    because: format!(
                        "volumes that an earlier set of this name left would be taken up, and for them {because}"
                    ),
                },
                allowed => allowed,
            };
            ruling = both(ruling, theirs);
        }
        ruling
    }

    /// What policy says about `verb` on a set. Memory only.
    pub fn may_set(&self, actor: &Actor, verb: Verb, set: &SetRef) -> Ruling {
        self.set_ruling(actor, verb, &SetAction::Pause { set: set.clone(), on: true })
    }

    pub(super) async fn plan_set_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &SetAction,
    ) -> Result<Planning, Error> {
        let facts = self.set_facts(Some(actor), action).await?;
        let ruling = match self.ruling_now(actor, verb, action, &facts) {
            // Whatever verb it is: what nobody can have back takes the name.
            Ruling::Allowed { rule, .. } if !lost_volumes(action, &facts).is_empty() => {
                Ruling::Allowed { rule, needs: Tier::TypedName }
            }
            ruling => ruling,
        };
        let mut planned = match &facts.set {
            // Creating is no way to change what is there.
            Some(now) if verb == Verb::SetCreate && now.deleting.is_none() => Planned::Refused {
                why: format!(
                    "There is a set {} already. Choose another name, or use `/set apply`, `/set scale` or `/set rollout start`.",
                    action.set()
                ),
            },
            _ => plan_set(action, &facts),
        };
        if let Planned::Ready(draft) = &mut planned {
            Box::pin(self.tell_forwards_to_set(action, facts.set.as_ref(), draft)).await?;
        }
        Ok(Planning { planned, ruling, read_ms: self.now_ms() })
    }

    pub(super) async fn look_before_record(&self, op: &Operation) -> Result<Look, Error> {
        let Some(action) = commanded(op) else {
            return Ok(Look::Changed("there is nothing to write down".into()));
        };
        let facts = self.set_facts(None, action).await?;
        if facts.set.as_ref().is_some_and(|s| s.command == op.id) {
            return Ok(Look::Already("it was written down".into()));
        }
        let node = facts.set.as_ref().map(Set::spec).or(match action {
            SetAction::Put { spec, .. } => Some(&**spec),
            _ => None,
        });
        Ok(match plan_set(action, &facts) {
            Planned::Ready(draft) if draft.fingerprint == op.fingerprint => {
                match node.and_then(|s| s.nodes.first()).cloned() {
                    Some(node) => Look::Go(Aim { node, vmid: None, seen: Vec::new() }),
                    None => Look::Changed("the set names no node".into()),
                }
            }
            Planned::Ready(_) => {
                Look::Changed("the set is not as it was when this was confirmed".into())
            }
            Planned::Nothing { why } | Planned::Refused { why } => Look::Changed(why),
        })
    }

    pub(super) async fn call_record(&self, op: &Operation) -> Result<Option<Upid>, CallFault> {
        let Some(action) = commanded(op) else {
            return Err(CallFault::never_sent("there is nothing to write down"));
        };
        let set = action.set();
        let row = self.store().find_set(set).await?;
        if row.as_ref().is_some_and(|r| r.set.command == op.id) {
            return Ok(None);
        }
        let plan = self.store().find_plan(&op.plan).await?;
        let Some(asker) = plan.map(|p| p.plan.asker) else {
            return Err(CallFault::never_sent("its plan is not there any more"));
        };
        let version = row.as_ref().map(|r| r.version);
        let left = self.left_now(op, action, row.as_ref().map(|r| &r.set)).await?;
        let Some(mut next) = self.next_set(op, action, row) else {
            return Err(CallFault::never_sent(format!("there is no set {set}")));
        };
        next.by = op.by;
        next.by_name = op.by_name.clone();
        next.command = op.id.clone();
        (next.guild, next.channel) = (asker.guild, asker.channel);
        if let Some(left) = left {
            next.adopts = left;
        }
        let now_ms = self.now_ms();
        let written = match (action, version) {
            (SetAction::Resolve { ordinal, choice, drift, .. }, Some(version)) => {
                let change = self.resolving(set, *ordinal, *choice, drift).await?;
                self.store().put_set_and_slot(&next, version, now_ms, *ordinal, change).await?
            }
            _ => self.store().put_set(&next, version, now_ms).await?,
        };
        if !written {
            return Err(CallFault::never_sent("the set was changed at this very moment"));
        }
        Ok(None)
    }

    /// The keepers that were confirmed to be taken up, where a specification is written down; they are still those.
    async fn left_now(
        &self,
        op: &Operation,
        action: &SetAction,
        set: Option<&Set>,
    ) -> Result<Option<Vec<Vmid>>, CallFault> {
        let SetAction::Put { set: at, spec, .. } = action else { return Ok(None) };
        let slots = self.store().list_slots(&at.cluster, Some(&at.name)).await?;
        let has = |n: u32| slots.iter().any(|s| s.record.identity.ordinal == n);
        let view = self.view(&at.cluster);
        let left = view.map_or_else(Vec::new, |view| left_to(spec, &view, has));
        let vmids = left.iter().map(|g| g.vmid).collect();
        let keepers = kept(slots.iter().map(|s| &s.record));
        let facts = SetFacts { set: set.cloned(), left, keepers, ..SetFacts::default() };
        if fingerprint(action, &facts) != op.fingerprint {
            return Err(CallFault::never_sent(
                "the set, or volumes it takes up, were changed at this very moment",
            ));
        }
        Ok(Some(vmids))
    }

    /// What the set shall be after this.
    fn next_set(&self, op: &Operation, action: &SetAction, row: Option<SetRow>) -> Option<Set> {
        let now_ms = self.now_ms();
        match (action, row) {
            (SetAction::Put { spec, why, .. }, Some(row)) => {
                let spec = SetSpec::clone(spec);
                let mut next = row.set.with(spec, &op.by_name, now_ms, why);
                // Asked for again after a halt: tried again.
                next.halted = None;
                Some(next)
            }
            (SetAction::Put { set, spec, why }, None) => Some(Set {
                cluster: set.cluster.clone(),
                newest: Revision {
                    number: 1,
                    key: spec.key(),
                    spec: SetSpec::clone(spec),
                    by_name: op.by_name.clone(),
                    at_ms: now_ms,
                    why: why.clone(),
                },
                good: None,
                paused: None,
                halted: None,
                deleting: None,
                names: Default::default(),
                adopts: Vec::new(),
                by: op.by,
                by_name: op.by_name.clone(),
                guild: gantry_core::id::GuildId(0),
                channel: gantry_core::id::ChannelId(0),
                command: op.id.clone(),
            }),
            (SetAction::Pause { on, .. }, Some(row)) => {
                let mut next = row.set;
                next.paused = on.then(|| op.by_name.clone());
                Some(next)
            }
            (SetAction::Delete { volumes, .. }, Some(row)) => {
                let mut next = row.set;
                next.deleting = Some(*volumes);
                Some(next)
            }
            (SetAction::Resolve { .. }, Some(row)) => Some(row.set),
            (SetAction::Member { .. }, _) | (_, None) => None,
        }
    }

    /// What an answer to a drift changes about its ordinal.
    async fn resolving(
        &self,
        set: &SetRef,
        ordinal: u32,
        choice: Choice,
        drift: &str,
    ) -> Result<impl FnOnce(&mut SlotRecord) + Send, CallFault> {
        let seen = self.view(&set.cluster);
        let slots = self.store().list_slots(&set.cluster, Some(&set.name)).await?;
        let slot = slots.iter().find(|s| s.record.identity.ordinal == ordinal);
        let facts = slot.and_then(|s| seen.as_ref()?.guest(s.record.identity.vmid).map(Facts::of));
        let drift = drift.to_owned();
        Ok(move |record: &mut SlotRecord| match choice {
            Choice::Adopt => {
                record.facts = facts;
                record.adopted = record.strayed.clone();
            }
            Choice::Ignore => record.ignored = Some(drift),
            // Without a key it is made again.
            Choice::Restore => record.key = None,
        })
    }

    pub(super) async fn is_record_met(&self, op: &Operation) -> Result<Seen, Error> {
        let Some(action) = commanded(op) else {
            return Ok(Seen { met: false, now: "There is nothing to write down.".into() });
        };
        let row =
            self.store().find_set(action.set()).await.map_err(Error::store("read the set"))?;
        let met = match (&row, action) {
            (Some(row), _) => row.set.command == op.id,
            // It was written down, carried out and forgotten meanwhile.
            (None, SetAction::Delete { .. }) => true,
            (None, _) => false,
        };
        let now = match (met, row) {
            (true, _) => "It is written down.".to_owned(),
            (false, Some(row)) => format!("The set is as {} asked for it.", row.set.command),
            (false, None) => format!("There is no set {}.", action.set()),
        };
        Ok(Seen { met, now })
    }

    /// Where a set stands, as a sentence; for the end of a command on it.
    pub(super) async fn is_converge_met(&self, op: &Operation) -> Result<Seen, Error> {
        let Some(action) = commanded(op) else {
            return Ok(Seen { met: false, now: String::new() });
        };
        Ok(match self.set_now(action.set()).await? {
            None => Seen { met: true, now: format!("There is no set {} any more.", action.set()) },
            Some(now) => {
                Seen { met: matches!(now.decision.phase, Phase::Converged), now: standing(&now) }
            }
        })
    }
}

/// Allowed where both are, with the stronger confirmation.
fn both(one: Ruling, other: Ruling) -> Ruling {
    match (one, other) {
        (Ruling::Allowed { rule, needs }, Ruling::Allowed { needs: more, .. }) => {
            Ruling::Allowed { rule, needs: needs.max(more) }
        }
        (Ruling::Denied { because }, _) | (_, Ruling::Denied { because }) => {
            Ruling::Denied { because }
        }
    }
}

/// Where a set stands, as a sentence.
pub(crate) fn standing(now: &crate::sets::SetNow) -> String {
    let (d, set) = (&now.decision, &now.row.set);
    let mut text = format!("{} of {} pods ready", d.ready, d.wanted);
    if d.current < d.wanted {
        text.push_str(&format!(", {} on revision {}", d.current, set.newest.number));
    } else {
        text.push_str(&format!(", revision {}", set.newest.number));
    }
    text.push_str(&format!(": {}.", d.phase.as_str()));
    match set.newest.same_as() {
        Some(n) => format!("{text} Revision {} is the same as revision {n}.", set.newest.number),
        None => text,
    }
}

/// The command an operation carries out, where it is one on a set.
pub(crate) fn commanded(op: &Operation) -> Option<&SetAction> {
    match &op.action {
        Action::Set(SetAction::Member { .. }) => None,
        Action::Set(action) => Some(action),
        _ => None,
    }
}
