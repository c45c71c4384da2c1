//! Port forwards: written down first, let through the guest's firewall, put in force as a whole table. What did not come
//! about is taken back: the record, the rule, the line.
//!
//! A table that somebody has changed by hand is not written over, except by `/forward apply`, which shows what is lost.

mod ground;
mod rule;
mod table;

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::forward::{
    Asking, Confirmed, Desired, ForwardAction, ForwardSpec, ForwardStep, KeptForward, plan_add,
    plan_apply, plan_remove,
};
use gantry_core::id::{ClusterId, NodeName};
use gantry_core::operation::Operation;
use gantry_core::plan::Planned;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::Guest;
use gantry_nodeshell::{ForwardState, ForwardTable};

pub(crate) use ground::Own;
pub(crate) use table::{facts, is_touched, table};

use super::{Aim, CallFault, Look, Planning, Seen};
use crate::shell::{Need, Who};
use crate::{Engine, Error};

fn action(op: &Operation) -> Result<&ForwardAction, Error> {
    match &op.action {
        Action::Forward(action) => Ok(action),
        _ => Err(Error::Missing { what: "a forward".into() }),
    }
}

fn kept(action: &ForwardAction) -> Result<&KeptForward, Error> {
    action.forward().ok_or_else(|| Error::Missing { what: "a forward".into() })
}

impl Engine {
    /// Policy on a forward to `guest` that listens on `node`: a rule that names a node means that one as much as the
    /// guest's own.
    pub(crate) fn may_listen(
        &self,
        actor: &Actor,
        verb: Verb,
        guest: &Guest,
        node: &NodeName,
    ) -> Ruling {
        let listening = Guest { node: node.clone(), ..guest.clone() };
        self.may(actor, verb, Target::Guest(guest)).and(self.may(
            actor,
            verb,
            Target::Guest(&listening),
        ))
    }

    /// A forward is judged by the guest it opens, where that is and where the forward listens; a node's whole table by
    /// the node.
    pub(super) fn forward_ruling(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &ForwardAction,
    ) -> Ruling {
        match action.forward() {
            Some(forward) => {
                let guest =
                    GuestRef { cluster: forward.spec.cluster.clone(), vmid: forward.spec.vmid };
                let view = self.view(&guest.cluster);
                match view.as_ref().and_then(|v| v.guest(guest.vmid)) {
                    Some(seen) => self.may_listen(actor, verb, seen, &forward.spec.node),
                    // Gone: what is left of it is the node's.
                    None => self.guest_ruling(actor, verb, &guest).and(self.may(
                        actor,
                        verb,
                        Target::Node(&guest.cluster, &forward.spec.node),
                    )),
                }
            }
            None => self.may(actor, verb, Target::Node(action.cluster(), action.node())),
        }
    }

    /// The forwards that are kept of a cluster.
    pub(crate) async fn kept_forwards(
        &self,
        cluster: &ClusterId,
    ) -> Result<Vec<KeptForward>, Error> {
        self.store().list_forwards(Some(cluster)).await.map_err(Error::store("read the forwards"))
    }

    pub(super) async fn plan_forward_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &ForwardAction,
    ) -> Result<Planning, Error> {
        let (cluster, node) = (action.cluster(), action.node());
        let shell = self.need_shell(cluster, node, Need::Forwards)?;
        let shown = action.shown();
        let state = shell.forwards(Who::Asker(actor, verb, &shown)).await?;
        let local = state.local.iter().copied().collect();
        self.inner.forwards.learn_local(cluster, node, local);
        let facts = facts(&state);
        let all = self.kept_forwards(cluster).await?;
        let mut ruling = self.forward_ruling(actor, verb, action);
        let sees = |spec: &ForwardSpec| self.sees_forward(actor, spec);
        let planned = match action {
            ForwardAction::Add { forward } => {
                let (ground, target) = self.ground_for(&forward.spec, all).await?;
                if let Some((_, guest)) = &target {
                    // Tags and pool may have changed since the summary was read.
                    ruling = ruling.and(self.may_listen(actor, verb, guest, &forward.spec.node));
                }
                plan_add(forward, &ground, target.as_ref().map(|(found, _)| found), &facts, &sees)
            }
            ForwardAction::Remove { forward } => {
                let there = all.iter().any(|k| k.id == forward.id);
                let gone = forward.port.is_some() && self.is_guest_gone(&forward.spec).await?;
                plan_remove(forward, there, gone, &facts)
            }
            ForwardAction::Apply { .. } => {
                let has = facts.has.as_deref().unwrap_or_default();
                let ground = self.ground_of(cluster, node, has).await?;
                let may = |k: &KeptForward| self.may_confirm(actor, k, node);
                let asking = Asking { may: &may, sees: &sees };
                plan_apply(cluster.as_str(), node, &ground, &facts, &asking)
            }
        };
        Ok(Planning { planned, ruling, read_ms: self.now_ms() })
    }

    /// Whether somebody may be told which guest a forward leads to.
    pub(crate) fn sees_forward(&self, actor: &Actor, spec: &ForwardSpec) -> bool {
        self.sees(actor, &spec.cluster, &format!("{}/{}", spec.cluster, spec.vmid))
    }

    /// Whether the number of the guest a forward was asked for is another one's, read now.
    async fn is_guest_another(&self, spec: &ForwardSpec) -> Result<bool, Error> {
        let live = self.look_at_leads_to(spec).await?;
        Ok(live.is_some_and(|live| live.guest.name != spec.name))
    }

    /// Whether the guest a forward was asked for is gone, or its number another one's, read now.
    pub(crate) async fn is_guest_gone(&self, spec: &ForwardSpec) -> Result<bool, Error> {
        let live = self.look_at_leads_to(spec).await?;
        Ok(live.is_none_or(|live| live.guest.name != spec.name))
    }

    /// Whether somebody may open the guest of a forward on `node`: what confirming its address or node anew comes to.
    fn may_confirm(&self, actor: &Actor, forward: &KeptForward, node: &NodeName) -> bool {
        let view = self.view(&forward.spec.cluster);
        let guest = view.as_ref().and_then(|v| v.guest(forward.spec.vmid));
        guest.is_some_and(|g| self.may_listen(actor, Verb::ForwardAdd, g, node).is_allowed())
    }

    /// Whether a node's forwards are what they were when making its table as asked for was confirmed; `confirming` are
    /// those of which something is still to be written down.
    async fn is_apply_as_confirmed(
        &self,
        op: &Operation,
        action: &ForwardAction,
        state: &ForwardState,
        confirming: &[Confirmed],
    ) -> Result<bool, Error> {
        let (cluster, node) = (action.cluster(), action.node());
        let facts = facts(state);
        let has = facts.has.as_deref().unwrap_or_default();
        let ground = self.ground_of(cluster, node, has).await?;
        let may = |k: &KeptForward| confirming.iter().any(|c| c.id == k.id);
        let asking = Asking { may: &may, sees: &|_| true };
        let now = plan_apply(cluster.as_str(), node, &ground, &facts, &asking);
        Ok(match now {
            Planned::Ready(draft) => draft.fingerprint == op.fingerprint,
            // It has come about meanwhile.
            Planned::Nothing { .. } => true,
            Planned::Refused { .. } => false,
        })
    }

    pub(super) async fn look_before_forward(
        &self,
        op: &Operation,
        step: &ForwardStep,
    ) -> Result<Look, Error> {
        let action = action(op)?;
        let (cluster, node) = (action.cluster(), action.node());
        let go = || Ok(Look::Go(Aim { node: node.clone(), vmid: None, seen: Vec::new() }));
        let already = |why: &str| Ok(Look::Already(why.to_owned()));
        match step {
            ForwardStep::Record { .. } => {
                let forward = kept(action)?;
                let all = self.kept_forwards(cluster).await?;
                if all.iter().any(|k| k.id == forward.id) {
                    return already("it was already written down");
                }
                let state = self.forwards_now(op, action).await?;
                let (ground, target) = self.ground_for(&forward.spec, all).await?;
                let facts = facts(&state);
                // Who reads the card is not known: nobody is told of another guest.
                let sees = |_: &ForwardSpec| false;
                match plan_add(forward, &ground, target.as_ref().map(|(f, _)| f), &facts, &sees) {
                    Planned::Ready(draft) if draft.fingerprint == op.fingerprint => go(),
                    Planned::Ready(_) => Ok(Look::Changed(format!(
                        "{} is not as it was when this was confirmed",
                        forward.spec.name
                    ))),
                    Planned::Nothing { why } | Planned::Refused { why } => Ok(Look::Changed(why)),
                }
            }
            ForwardStep::Confirm { forwards } => {
                if self.are_confirmed(cluster, forwards).await? {
                    return already("it was already written down");
                }
                let state = self.forwards_now(op, action).await?;
                match self.is_apply_as_confirmed(op, action, &state, forwards).await? {
                    true => go(),
                    false => Ok(Look::Changed(not_as_confirmed(node))),
                }
            }
            ForwardStep::Forget => {
                let forward = kept(action)?;
                match self.find_forward(forward).await? {
                    true => go(),
                    false => already("it was already off the list"),
                }
            }
            ForwardStep::Allow => {
                let forward = kept(action)?;
                if self.is_guest_another(&forward.spec).await? {
                    let spec = &forward.spec;
                    return Ok(Look::Changed(format!(
                        "{} is not the guest {} any more",
                        spec.name, spec.vmid
                    )));
                }
                match self.rule_of(forward).await? {
                    None => Ok(Look::Changed(format!("{} is gone", forward.spec.name))),
                    Some(true) => already("the rule is there"),
                    Some(false) => go(),
                }
            }
            ForwardStep::Disallow => match self.rule_of(kept(action)?).await? {
                None => already("the guest is gone, and its firewall with it"),
                Some(false) => already("the rule is gone"),
                Some(true) => go(),
            },
            ForwardStep::Put => {
                let state = self.forwards_now(op, action).await?;
                let desired = self.desired_now(cluster, node, &state).await?;
                if let Some(why) = leads_nowhere(action, &desired) {
                    return Ok(Look::Changed(why));
                }
                let wanted = table(&desired).map_err(|what| Error::Missing { what })?;
                let force = matches!(action, ForwardAction::Apply { .. });
                if state.is(&wanted) {
                    return already("that table is in force");
                }
                if is_touched(&state) && !force {
                    return Ok(Look::Changed(format!(
                        "somebody has changed gantry's table on {node} by hand"
                    )));
                }
                if force && !self.is_apply_as_confirmed(op, action, &state, &[]).await? {
                    return Ok(Look::Changed(not_as_confirmed(node)));
                }
                go()
            }
            ForwardStep::TakeBack => {
                let forward = kept(action)?;
                let broken = op.broken.is_some();
                if !broken {
                    return already("it stands");
                }
                if !self.find_forward(forward).await? && self.rule_of(forward).await? != Some(true)
                {
                    let state = self.forwards_now(op, action).await?;
                    if state.is(&self.wanted(cluster, node, &state).await?) {
                        return already("nothing of it is left");
                    }
                }
                go()
            }
        }
    }

    pub(super) async fn call_forward(
        &self,
        op: &Operation,
        step: &ForwardStep,
    ) -> Result<(), CallFault> {
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let stored = |e: gantry_store::StoreError| CallFault::not_stored(e.to_string());
        let action = action(op).map_err(unsent)?;
        match step {
            ForwardStep::Record { pinned } => {
                let forward = kept(action).map_err(unsent)?;
                let forward = KeptForward { pinned: *pinned, ..forward.clone() };
                match self.store().add_forward(&forward).await.map_err(stored)? {
                    None => Ok(()),
                    Some(other) => {
                        let taken = other.spec.place();
                        Err(CallFault::never_sent(format!("that port is taken: {taken}")))
                    }
                }
            }
            ForwardStep::Confirm { forwards } => {
                let all = self.kept_forwards(action.cluster()).await.map_err(unsent)?;
                for new in forwards {
                    let Some(old) = all.iter().find(|k| k.id == new.id) else { continue };
                    if !self.store().confirm_forward(new).await.map_err(stored)? {
                        let why =
                            format!("{} is gone, or its port on {} is taken", old.spec, new.node);
                        return Err(CallFault::never_sent(why));
                    }
                }
                self.forwards_due();
                Ok(())
            }
            ForwardStep::Forget => {
                let forward = kept(action).map_err(unsent)?;
                // Should the node not be reached afterwards, its table and the firewall are put right later on.
                self.store().remove_forward(&forward.id).await.map_err(stored)?;
                Ok(())
            }
            ForwardStep::Allow => self.allow(kept(action).map_err(unsent)?).await,
            ForwardStep::Disallow => self.disallow(kept(action).map_err(unsent)?).await,
            ForwardStep::Put => {
                let force = matches!(action, ForwardAction::Apply { .. });
                self.put_forwards(Who::Step(op), action.cluster(), action.node(), force).await
            }
            ForwardStep::TakeBack => {
                let forward = kept(action).map_err(unsent)?;
                self.store().remove_forward(&forward.id).await.map_err(stored)?;
                self.disallow(forward).await?;
                self.put_forwards(Who::Step(op), action.cluster(), action.node(), false).await
            }
        }
    }

    pub(super) async fn find_forward(&self, forward: &KeptForward) -> Result<bool, Error> {
        let found = self.store().find_forward(&forward.id).await;
        Ok(found.map_err(Error::store("read the forwards"))?.is_some())
    }

    /// Whether what was confirmed anew is written down.
    async fn are_confirmed(
        &self,
        cluster: &ClusterId,
        forwards: &[Confirmed],
    ) -> Result<bool, Error> {
        let all = self.kept_forwards(cluster).await?;
        let is = |c: &Confirmed| {
            all.iter().any(|k| {
                k.id == c.id
                    && (&k.spec.node, k.pinned) == (&c.node, c.pinned)
                    && c.name.as_ref().is_none_or(|name| *name == k.spec.name)
            })
        };
        Ok(forwards.iter().all(is))
    }

    /// Whether gantry's own record, which this step writes, is written.
    pub(super) async fn is_forward_written(
        &self,
        op: &Operation,
        step: &ForwardStep,
    ) -> Result<bool, Error> {
        let action = action(op)?;
        match step {
            ForwardStep::Record { .. } => self.find_forward(kept(action)?).await,
            ForwardStep::Forget => Ok(!self.find_forward(kept(action)?).await?),
            ForwardStep::Confirm { forwards } => {
                self.are_confirmed(action.cluster(), forwards).await
            }
            _ => Ok(false),
        }
    }

    async fn forwards_now(
        &self,
        op: &Operation,
        action: &ForwardAction,
    ) -> Result<ForwardState, Error> {
        let shell = self.need_shell(action.cluster(), action.node(), Need::Forwards)?;
        let state = shell.forwards(Who::Step(op)).await?;
        let local = state.local.iter().copied().collect();
        self.inner.forwards.learn_local(action.cluster(), action.node(), local);
        Ok(state)
    }

    pub(super) async fn is_forward_met(
        &self,
        op: &Operation,
        step: &ForwardStep,
    ) -> Result<Seen, Error> {
        let action = action(op)?;
        let (cluster, node) = (action.cluster(), action.node());
        let met = match step {
            ForwardStep::Record { .. } => self.find_forward(kept(action)?).await?,
            ForwardStep::Confirm { forwards } => self.are_confirmed(cluster, forwards).await?,
            ForwardStep::Forget => !self.find_forward(kept(action)?).await?,
            ForwardStep::Allow => self.rule_of(kept(action)?).await? == Some(true),
            ForwardStep::Disallow => self.rule_of(kept(action)?).await? != Some(true),
            ForwardStep::Put => {
                let state = self.forwards_now(op, action).await?;
                let desired = self.desired_now(cluster, node, &state).await?;
                let wanted = table(&desired).map_err(|what| Error::Missing { what })?;
                leads_nowhere(action, &desired).is_none() && state.is(&wanted)
            }
            ForwardStep::TakeBack => {
                let forward = kept(action)?;
                let state = self.forwards_now(op, action).await?;
                !self.find_forward(forward).await?
                    && self.rule_of(forward).await? != Some(true)
                    && state.is(&self.wanted(cluster, node, &state).await?)
            }
        };
        // Own records need no node to be told of.
        let now = match action.forward() {
            Some(forward) if step.is_own_record() => {
                let there = self.find_forward(forward).await?;
                let word = if there { "is on the list" } else { "is not on the list" };
                format!("{} {word}.", forward.spec)
            }
            _ => self.tell_forwards(op, action).await?,
        };
        Ok(Seen { met, now })
    }

    /// What is true of a node's forwards, as a sentence.
    async fn tell_forwards(&self, op: &Operation, action: &ForwardAction) -> Result<String, Error> {
        let node = action.node();
        let state = self.forwards_now(op, action).await?;
        let Some(forward) = action.forward() else {
            let count = state.table().map_or(0, ForwardTable::len);
            return Ok(format!("{count} forwards are in force on {node}."));
        };
        let spec = &forward.spec;
        let has = facts(&state).has.unwrap_or_default();
        let here = has.iter().find(|e| e.is_of(spec));
        Ok(match here {
            Some(entry) => format!("On {node} is in force: {}.", entry.shown()),
            None => format!("{} port {} of {node} leads nowhere.", spec.proto.as_str(), spec.port),
        })
    }
}

/// Why the forward that is added leads nowhere, where it does.
fn leads_nowhere(action: &ForwardAction, desired: &Desired) -> Option<String> {
    let ForwardAction::Add { forward } = action else { return None };
    let (spec, why) = desired.broken.iter().find(|(spec, _)| *spec == forward.spec)?;
    Some(format!("{spec} leads nowhere now: {}", why.words(spec)))
}

fn not_as_confirmed(node: &NodeName) -> String {
    format!("the forwards of {node} are not as they were when this was confirmed")
}
