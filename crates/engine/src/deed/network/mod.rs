//! Networks: staging a change, making it real, and putting the former configuration back.
//!
//! What was before is in the store before anything is written. Only what an operation touched is put back, and
//! never together with what somebody else has staged.

mod read;
mod write;

use std::collections::BTreeSet;

use gantry_core::action::{Action, Verb};
use gantry_core::id::{NodeName, Upid};
use gantry_core::network::{
    Decision, Edit, Net, NetworkAction, NetworkStep, Objects, Scope, changed_since, edits_back,
    is_as_edited, is_as_former, is_made, only_ours, plan_network, touched,
};
use gantry_core::operation::{Operation, StepKind};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::NodeState;
use gantry_store::NetworkChangeRow;

use super::{Aim, CallFault, Look, Planning, Seen, is_new};
use crate::{Engine, Error};

/// Guests named where their network would be removed.
const USERS_SHOWN: usize = 8;

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
        let net = self.network(&action.cluster, &action.scope).await?;
        let users = self.network_users(&action.cluster, &action.scope, &action.change).await?;
        Ok(Planning {
            planned: plan_network(action, &net, &users),
            ruling: self.network_ruling(actor, verb, action),
            read_ms: net.read_ms,
        })
    }

    /// The node in an operation's own name; for the SDN one that is up.
    fn network_node(&self, action: &NetworkAction) -> Result<NodeName, Error> {
        if let Scope::Node(node) = &action.scope {
            return Ok(node.clone());
        }
        let view = self.view(&action.cluster);
        let up = view.as_ref().and_then(|v| v.nodes.iter().find(|n| n.state == NodeState::Up));
        up.map(|n| n.name.clone())
            .ok_or_else(|| Error::Missing { what: "a node that is up".into() })
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
        let go = |seen| -> Result<Look, Error> {
            Ok(Look::Go(Aim { node: self.network_node(action)?, vmid: None, seen }))
        };
        if matches!(step, NetworkStep::Keep { .. }) {
            return go(Vec::new());
        }
        let net = self.network(&action.cluster, place).await?;
        let ours = touched(edits(op));
        let former = row.as_ref().map(|r| &r.former.objects);
        match (step, former) {
            (NetworkStep::Save | NetworkStep::Revert, _) => {
                if net.fingerprint() == op.fingerprint {
                    return go(Vec::new());
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
                    go(Vec::new())
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
                go(self.reloads(&action.cluster, place).await?)
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
                go(Vec::new())
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
                go(self.reloads(&action.cluster, place).await?)
            }
            (NetworkStep::Keep { .. }, Some(_)) => go(Vec::new()),
        }
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
                let net = self.network(cluster, scope).await.map_err(unsent)?;
                if net.fingerprint() != op.fingerprint {
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
    async fn users_of_removed(&self, action: &NetworkAction) -> Result<Vec<String>, Error> {
        self.network_users(&action.cluster, &action.scope, &action.change).await
    }

    /// Why what was touched must stay as it is now: somebody has changed it since, or guests are on what would go.
    async fn not_put_back(
        &self,
        action: &NetworkAction,
        net: &Net,
        former: &Objects,
        edits: &[Edit],
    ) -> Result<Option<String>, Error> {
        let newer = changed_since(net, former, edits);
        if !newer.is_empty() {
            return Ok(Some(format!(
                "somebody has changed {} on {} since, which gantry does not write over",
                newer.join(", "),
                action.scope
            )));
        }
        for edit in edits_back(&net.objects, former, &touched(edits)) {
            let Edit::Delete { key } = edit else { continue };
            let name = key.strip_prefix("vnet/").unwrap_or(&key);
            if name.contains('/') {
                continue;
            }
            let users = self.users_of(&action.cluster, &action.scope, name).await?;
            if let Some(why) = in_use(&users) {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Stages what leads back to the former configuration; nothing else.
    async fn put_back(&self, op: &Operation, action: &NetworkAction) -> Result<(), CallFault> {
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let (cluster, scope) = (&action.cluster, &action.scope);
        let Some(row) = self.change_row(op).await.map_err(unsent)? else { return Ok(()) };
        let (former, ours) = (&row.former.objects, touched(edits(op)));
        let net = self.network(cluster, scope).await.map_err(unsent)?;
        if !only_ours(&net, former, &ours) {
            return Err(CallFault::never_sent(foreign(scope)));
        }
        if let Some(why) =
            self.not_put_back(action, &net, former, edits(op)).await.map_err(unsent)?
        {
            return Err(CallFault::never_sent(why));
        }
        if let (Scope::Node(node), true, false) = (scope, net.pending.is_some(), reload_sent(op)) {
            // Nothing of it is real yet: Proxmox's own way of dropping it is exact.
            let client = self.client(cluster).map_err(unsent)?;
            client.revert_network(node).await?;
            return Ok(());
        }
        self.stage(cluster, scope, &edits_back(&net.objects, former, &ours)).await
    }

    pub(super) async fn is_network_met(&self, op: &Operation, n: usize) -> Result<Seen, Error> {
        let action = action(op)?;
        let step = step(op, n)?;
        let row = self.change_row(op).await?;
        if *step == NetworkStep::Save && row.is_some() {
            return Ok(Seen { met: true, now: "The former configuration is saved.".into() });
        }
        let net = self.network(&action.cluster, &action.scope).await?;
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

/// That guests are on what would be removed; `None`: none are.
fn in_use(users: &[String]) -> Option<String> {
    (!users.is_empty()).then(|| {
        let some = users.iter().take(USERS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        format!("{} guests are on what would be removed: {some}", users.len())
    })
}

fn foreign(place: &Scope) -> String {
    format!(
        "somebody else has staged changes on {place} meanwhile, which gantry does not apply along"
    )
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
            let up = if matches!(place, Scope::Node(_)) && !net.active.contains(k) {
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
