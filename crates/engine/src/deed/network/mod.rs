//! Networks: staging a change, making it real, and putting the former configuration back.
//!
//! What was before is in the store before anything is written. Only what an operation touched is put back, and
//! never together with what somebody else has staged.

mod back;
mod read;
mod switch;
mod write;

use std::collections::BTreeSet;

use gantry_core::action::{Action, Verb};
use gantry_core::id::Upid;
use gantry_core::network::{
    Decision, Edit, FIREWALL, Flip, Net, NetworkAction, NetworkChange, NetworkStep, Objects, Scope,
    as_now, changed_since, fingerprint, is_as_edited, is_as_former, is_made, only_ours,
    plan_network, touched,
};
use gantry_core::operation::{Operation, StepKind};
use gantry_core::plan::Planned;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::Users;
use gantry_store::NetworkChangeRow;

use back::{foreign, in_use};

use super::{Aim, CallFault, Look, Planning, Seen, is_new};
use crate::shell::Who;
use crate::{Engine, Error};

fn action(op: &Operation) -> Result<&NetworkAction, Error> {
    match &op.action {
        Action::Network(action) => Ok(action),
        _ => Err(Error::Missing { what: "a network to change".into() }),
    }
}

fn step(op: &Operation, n: usize) -> Result<&NetworkStep, Error> {
    match &op.steps[n].kind {
        StepKind::Network(step) => Ok(step),
        _ => Err(Error::Missing { what: "a step of a network".into() }),
    }
}

/// The edits an operation makes; none for one that only drops what is staged.
fn edits(op: &Operation) -> &[Edit] {
    op.steps
        .iter()
        .find_map(|s| match &s.kind {
            StepKind::Network(NetworkStep::Stage { edits }) => Some(edits.as_slice()),
            _ => None,
        })
        .unwrap_or_default()
}

/// The switches an operation sets.
fn flips(op: &Operation) -> &[Flip] {
    op.steps
        .iter()
        .find_map(|s| match &s.kind {
            StepKind::Network(NetworkStep::Switch { flips }) => Some(flips.as_slice()),
            _ => None,
        })
        .unwrap_or_default()
}

/// Whether an operation changes the defaults of the node's firewall.
fn has_firewall(op: &Operation) -> bool {
    edits(op).iter().any(|e| e.key() == FIREWALL)
}

/// Whether the reload was ever sent, or may have been.
fn reload_sent(op: &Operation) -> bool {
    op.steps
        .iter()
        .any(|s| s.kind == StepKind::Network(NetworkStep::Reload) && s.intent_ms.is_some())
}

fn kept(row: &NetworkChangeRow) -> Option<&str> {
    match &row.decision {
        Some((Decision::Keep, by)) => Some(by),
        _ => None,
    }
}

impl Engine {
    pub(super) fn network_ruling(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &NetworkAction,
    ) -> Ruling {
        match &action.scope {
            Scope::Node(node) => self.may(actor, verb, Target::Node(&action.cluster, node)),
            Scope::Sdn => self.may(actor, verb, Target::Cluster(&action.cluster)),
        }
    }

    pub(super) async fn plan_network_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &NetworkAction,
    ) -> Result<Planning, Error> {
        let firewall = matches!(&action.change,
            NetworkChange::SecureBridge { how, .. } if how.firewall.is_some());
        let mut net = self.network_and(&action.cluster, &action.scope, firewall).await?;
        if let (Scope::Node(node), false) =
            (&action.scope, matches!(action.change, NetworkChange::Revert))
        {
            let shown = action.shown();
            let who = Who::Asker(actor, verb, &shown);
            net.kernel = self.kernel(who, (&action.cluster, node), &net).await?;
        }
        let users = self.network_users(&action.cluster, &action.scope, &action.change).await?;
        let users = self.users_for(Some(actor), &users);
        let mut planned = plan_network(action, &net, &users);
        let ruling = self.network_ruling(actor, verb, action);
        if matches!((&planned, &action.scope), (Planned::Ready(_), Scope::Sdn))
            && action.change != NetworkChange::Revert
            && ruling.is_allowed()
        {
            // Only now: every node is asked over its shell.
            let (kernel, unknown) = Box::pin(self.kernels(actor, verb, action)).await?;
            net.kernel = kernel;
            planned = plan_network(action, &net, &users);
            if let Planned::Ready(draft) = &mut planned {
                draft.warnings.extend(unknown);
            }
        }
        Ok(Planning { planned, ruling, read_ms: net.read_ms })
    }

    /// Goes on, at the node in an operation's own name; for the SDN at whichever answers.
    async fn go_on(&self, action: &NetworkAction, seen: Vec<Upid>) -> Result<Look, Error> {
        let node = match &action.scope {
            Scope::Node(node) => node.clone(),
            Scope::Sdn => self.some_node(&action.cluster).await?,
        };
        Ok(Look::Go(Aim { node, vmid: None, seen }))
    }

    async fn change_row(&self, op: &Operation) -> Result<Option<NetworkChangeRow>, Error> {
        self.store()
            .find_network_change(&op.id)
            .await
            .map_err(Error::store("read the former configuration"))
    }

    pub(super) async fn look_before_network(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Look, Error> {
        let action = action(op)?;
        let place = &action.scope;
        let step = step(op, n)?;
        let row = self.change_row(op).await?;
        if step.is_undo() {
            // What is kept, or was never touched, needs no node that answers.
            match &row {
                None => return Ok(Look::Already("nothing was changed".into())),
                Some(row) if kept(row).is_some() => {
                    return Ok(Look::Already("the change is kept".into()));
                }
                Some(_) => {}
            }
        }
        let go = |seen| self.go_on(action, seen);
        match step {
            NetworkStep::Keep { .. } => return go(Vec::new()).await,
            NetworkStep::Switch { flips } | NetworkStep::SwitchBack { flips } => {
                let look = self.look_before_switch(op, action, flips, step.is_undo());
                return Box::pin(look).await;
            }
            _ => {}
        }
        let net = self.network_and(&action.cluster, place, has_firewall(op)).await?;
        let ours = touched(edits(op));
        let former = row.as_ref().map(|r| &r.former.objects);
        match (step, former) {
            (NetworkStep::Save | NetworkStep::Revert, _) => {
                if self.is_as_confirmed(op, action, &net).await? {
                    return go(Vec::new()).await;
                }
                if *step == NetworkStep::Revert && net.pending.is_none() {
                    return Ok(Look::Already("nothing is pending any more".into()));
                }
                Ok(Look::Changed(format!(
                    "the network configuration of {place} was changed since this was confirmed"
                )))
            }
            (_, None) => Ok(Look::Changed("the former configuration was not saved".into())),
            (NetworkStep::Stage { edits }, Some(former)) => {
                if is_as_edited(&net, former, edits) {
                    Ok(Look::Already("it was already written".into()))
                } else if net.pending.is_none() && net.objects == *former {
                    let users = self.users_of_removed(action).await?;
                    if let Some(why) = in_use(&users) {
                        return Ok(Look::Changed(why));
                    }
                    go(Vec::new()).await
                } else if op.steps[n].attempt > 0
                    && only_ours(&net, former, &ours)
                    && changed_since(&net, former, edits).is_empty()
                {
                    // Every object is as it was or as it shall be: gantry's own doing.
                    Ok(Look::Changed("only a part of the change could be written".into()))
                } else {
                    Ok(Look::Changed(format!(
                        "somebody else has changed the network configuration of {place} meanwhile"
                    )))
                }
            }
            (NetworkStep::Reload, Some(former)) => {
                if !is_as_edited(&net, former, edits(op)) || !only_ours(&net, former, &ours) {
                    return Ok(Look::Changed(format!(
                        "what is pending on {place} is not what was confirmed"
                    )));
                }
                if net.pending.is_none() {
                    return Ok(Look::Already("it was already real".into()));
                }
                let users = self.users_of_removed(action).await?;
                if let Some(why) = in_use(&users) {
                    return Ok(Look::Changed(why));
                }
                go(self.reloads(&action.cluster, place).await?).await
            }
            (NetworkStep::PutBack, Some(former)) => {
                if net.pending.is_none() && is_as_former(&net.objects, former, &ours) {
                    return Ok(Look::Already("it is as it was before".into()));
                }
                if !only_ours(&net, former, &ours) {
                    return Ok(Look::Changed(foreign(place)));
                }
                if let Some(why) = self.not_put_back(action, &net, former, edits(op)).await? {
                    return Ok(Look::Changed(why));
                }
                go(Vec::new()).await
            }
            (NetworkStep::PutBackReload, Some(former)) => {
                if !is_as_former(&net.objects, former, &ours) {
                    return Ok(Look::Changed(format!(
                        "somebody has changed what was put back on {place}"
                    )));
                }
                if net.pending.is_none() {
                    return Ok(Look::Already("nothing is left to apply".into()));
                }
                if !only_ours(&net, former, &ours) {
                    return Ok(Look::Changed(foreign(place)));
                }
                go(self.reloads(&action.cluster, place).await?).await
            }
            (
                NetworkStep::Keep { .. }
                | NetworkStep::Switch { .. }
                | NetworkStep::SwitchBack { .. },
                Some(_),
            ) => go(Vec::new()).await,
        }
    }

    /// Whether the network and the switches are what they were when the change was confirmed.
    async fn is_as_confirmed(
        &self,
        op: &Operation,
        action: &NetworkAction,
        net: &Net,
    ) -> Result<bool, Error> {
        let flips = flips(op);
        let before = match flips {
            [] => Vec::new(),
            flips => as_now(&Box::pin(self.kernel_for(op, action, flips)).await?, flips),
        };
        Ok(fingerprint(net, &before) == op.fingerprint)
    }

    pub(super) async fn call_network(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Option<Upid>, CallFault> {
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let action = action(op).map_err(unsent)?;
        let (cluster, scope) = (&action.cluster, &action.scope);
        let client = self.client(cluster).map_err(unsent)?;
        let store = self.store();
        let stored = |e: gantry_store::StoreError| CallFault::not_stored(e.to_string());
        match step(op, n).map_err(unsent)? {
            NetworkStep::Save => {
                // The look before this has read it; once more, so that what is saved is what was compared.
                let net =
                    self.network_and(cluster, scope, has_firewall(op)).await.map_err(unsent)?;
                if !self.is_as_confirmed(op, action, &net).await.map_err(unsent)? {
                    return Err(CallFault::never_sent(
                        "the network configuration was changed since this was confirmed",
                    ));
                }
                let objects = net.former().map_err(CallFault::never_sent)?;
                let former = Net { objects, pending: None, running: None, ..net };
                store
                    .save_network_change(&op.id, cluster, &former, self.now_ms())
                    .await
                    .map_err(stored)?;
                Ok(None)
            }
            NetworkStep::Stage { edits } => {
                self.stage(cluster, scope, edits).await?;
                Ok(None)
            }
            NetworkStep::Reload | NetworkStep::PutBackReload => {
                let accepted = match scope {
                    Scope::Node(node) => client.reload_network(node).await?,
                    Scope::Sdn => client.apply_sdn(None).await?,
                };
                Ok(Some(accepted.upid))
            }
            NetworkStep::Keep { within_s } => {
                let until_ms = self.now_ms().saturating_add(i64::from(*within_s) * 1000);
                store.open_network_change(&op.id, until_ms).await.map_err(stored)?;
                Ok(None)
            }
            NetworkStep::PutBack => self.put_back(op, action).await.map(|()| None),
            NetworkStep::Switch { flips } | NetworkStep::SwitchBack { flips } => {
                Box::pin(self.call_switch(op, action, flips)).await.map(|()| None)
            }
            NetworkStep::Revert => {
                match scope {
                    Scope::Node(node) => client.revert_network(node).await?,
                    Scope::Sdn => client.rollback_sdn(None).await?,
                }
                Ok(None)
            }
        }
    }

    /// Guests on what an action removes, by the guests there are now.
    async fn users_of_removed(&self, action: &NetworkAction) -> Result<Users, Error> {
        let users = self.network_users(&action.cluster, &action.scope, &action.change).await?;
        // Who reads it is not known here, so nobody is named.
        Ok(self.users_for(None, &users))
    }

    pub(super) async fn is_network_met(&self, op: &Operation, n: usize) -> Result<Seen, Error> {
        let action = action(op)?;
        let step = step(op, n)?;
        let row = self.change_row(op).await?;
        if *step == NetworkStep::Save && row.is_some() {
            return Ok(Seen { met: true, now: "The former configuration is saved.".into() });
        }
        match step {
            NetworkStep::SwitchBack { .. } if row.as_ref().is_none_or(|r| kept(r).is_some()) => {
                return Ok(Seen { met: true, now: "What was switched stays so.".into() });
            }
            NetworkStep::Switch { flips } | NetworkStep::SwitchBack { flips } => {
                return Box::pin(self.is_switch_met(op, action, flips, step.is_undo())).await;
            }
            _ => {}
        }
        let net = self.network_and(&action.cluster, &action.scope, has_firewall(op)).await?;
        let ours = touched(edits(op));
        let quiet = net.pending.is_none();
        let met = match (step, &row) {
            (NetworkStep::Revert, _) => quiet,
            (NetworkStep::Save, _) | (_, None) => false,
            (NetworkStep::Stage { edits }, Some(row)) => {
                is_as_edited(&net, &row.former.objects, edits)
            }
            (NetworkStep::Reload, Some(row)) => {
                quiet && is_made(&net, &row.former.objects, edits(op)) && is_up(&net, edits(op))
            }
            (NetworkStep::Keep { .. }, Some(row)) => row.decision.is_some(),
            (NetworkStep::PutBack, Some(row)) => {
                kept(row).is_some() || is_as_former(&net.objects, &row.former.objects, &ours)
            }
            (NetworkStep::PutBackReload, Some(row)) => {
                kept(row).is_some()
                    || (quiet && is_as_former(&net.objects, &row.former.objects, &ours))
            }
            (NetworkStep::Switch { .. } | NetworkStep::SwitchBack { .. }, Some(_)) => false,
        };
        Ok(Seen { met, now: describe(&net, &ours) })
    }

    pub(super) async fn network_tasks_since(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Vec<Upid>, Error> {
        let action = action(op)?;
        let step = &op.steps[n];
        if step.kind.task_types().is_empty() {
            return Ok(Vec::new());
        }
        let mut tasks = self.reloads(&action.cluster, &action.scope).await?;
        // A reload of an earlier step of this very operation is not this step's.
        let earlier: Vec<&Upid> = op.steps.iter().filter_map(|s| s.upid.as_ref()).collect();
        tasks.retain(|upid| is_new(upid, &step.seen) && !earlier.contains(&upid));
        Ok(tasks)
    }

    /// What was decided about a change of a network, and by whom.
    pub(crate) async fn network_decision(
        &self,
        op: &Operation,
    ) -> Result<Option<(Decision, String)>, Error> {
        Ok(self.change_row(op).await?.and_then(|row| row.decision))
    }
}

/// Whether bridges that were made are up.
fn is_up(net: &Net, edits: &[Edit]) -> bool {
    matches!(net.scope, Scope::Sdn)
        || edits.iter().all(|e| match e {
            Edit::Create { key, settings } if settings.contains_key("autostart") => {
                net.active.contains(key)
            }
            _ => true,
        })
}

/// What is true of some objects, as a sentence.
fn describe(net: &Net, keys: &BTreeSet<String>) -> String {
    let place = &net.scope;
    let there: Objects = net
        .objects
        .iter()
        .filter(|(k, _)| keys.contains(*k))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let gone: Vec<&str> =
        keys.iter().filter(|k| !there.contains_key(*k)).map(String::as_str).collect();
    let mut parts: Vec<String> = there
        .keys()
        .map(|k| {
            let up = if matches!(place, Scope::Node(_)) && *k != FIREWALL && !net.active.contains(k)
            {
                " (not up)"
            } else {
                ""
            };
            format!("{k} is configured on {place}{up}")
        })
        .collect();
    if !gone.is_empty() {
        parts.push(format!("{} is not configured on {place}", gone.join(", ")));
    }
    parts.push(match net.pending {
        None => "nothing is pending".to_owned(),
        Some(_) => "changes are pending".to_owned(),
    });
    format!("{}.", parts.join("; "))
}
