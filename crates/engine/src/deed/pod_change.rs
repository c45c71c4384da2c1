//! Pods that exist: making one what its specification says, and deleting what a creation left behind.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{GuestKind, NodeName, OperationId, Upid};
use gantry_core::operation::{Operation, StepKind};
use gantry_core::plan::{Planned, describe};
use gantry_core::pod::{
    self, Applying, Edit, LivePod, PodAction, PodSpec, PodStep, is_done, plan_apply, plan_clean,
};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::GuestStatus;
use gantry_proxmox::{Freshness, GuestRef as At, SetConfig, TaskFilter};
use gantry_store::PodRow;

use super::guest::is_another;
use super::{Aim, CallFault, Look, Planning, Seen};
use crate::{Engine, Error};

/// The task of a start, whoever asked for it.
const START_TASK: &str = "vzstart";
/// Newest tasks of a container that are looked at for what became of it.
const TASKS_LOOKED_AT: u64 = 500;
/// A node's clock may be behind ours by this much, seconds.
const CLOCKS_S: u64 = 60;

impl Engine {
    /// A pod as it is now, with its configuration and what was applied last; `None` when it is not there.
    pub(crate) async fn look_at_pod(&self, guest: &GuestRef) -> Result<Option<LivePod>, Error> {
        let kind = GuestKind::Lxc;
        let Some(mut live) = self.look_at_guest(guest, kind).await? else { return Ok(None) };
        let client = self.client(&guest.cluster)?;
        let at = At::new(live.guest.node.clone(), kind, guest.vmid);
        let fail =
            || Error::proxmox(format!("read {} {}", kind.short(), guest.vmid), &guest.cluster);
        let config = client.guest_config(&at, Freshness::Fresh).await.map_err(fail())?;
        // What is compared and what the write is bound to have to be the same state.
        live.digest = config.digest.clone().unwrap_or_default();
        let waiting = match live.guest.status {
            GuestStatus::Running => {
                client.waiting_settings(&at, Freshness::Fresh).await.map_err(fail())?
            }
            _ => Vec::new(),
        };
        let kept = self
            .store()
            .find_pod(&guest.cluster, guest.vmid)
            .await
            .map_err(Error::store("read the pods"))?;
        let told = pod::read_notes(config.description.as_deref().unwrap_or_default());
        let created_by = told
            .as_ref()
            .map(|(_, operation)| operation.clone())
            .or_else(|| kept.as_ref().map(|row| row.operation.clone()))
            .unwrap_or_default();
        Ok(Some(LivePod {
            live,
            raw: config.raw.clone(),
            waiting,
            applied: kept.map(|row| row.spec).or_else(|| told.map(|(spec, _)| spec)),
            created_by,
            version: None,
        }))
    }

    /// Policy for a change: on the pod as it is, and on what it would become. Tags and pool decide who may do what, so
    /// nobody may give a pod marks they could not have created it with.
    pub(super) fn pod_change_ruling(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &PodAction,
    ) -> Ruling {
        let is = self.guest_ruling(actor, verb, action.guest());
        let PodAction::Apply { guest, spec, .. } = action else {
            // What a creation left is deleted like any pod.
            return is.and(self.guest_ruling(actor, Verb::PodDelete, action.guest()));
        };
        if !is.is_allowed() {
            return is;
        }
        let view = self.view(&guest.cluster);
        let seen = view.as_ref().and_then(|v| v.guest(guest.vmid));
        let nodes = seen.map(|g| std::slice::from_ref(&g.node)).unwrap_or_default();
        is.and(self.may_be(actor, verb, guest, spec, nodes))
    }

    /// Policy on what a pod would become on those nodes.
    pub(crate) fn may_be(
        &self,
        actor: &Actor,
        verb: Verb,
        guest: &GuestRef,
        spec: &PodSpec,
        nodes: &[NodeName],
    ) -> Ruling {
        let target = Target::NewPod {
            cluster: &guest.cluster,
            name: &spec.name,
            tags: &spec.all_tags(),
            pool: spec.template.pool.as_deref(),
            nodes,
            vmids: Some((guest.vmid, guest.vmid)),
        };
        self.may(actor, verb, target)
    }

    /// What shows that a container its creation left behind was put to use since, as a sentence; `None` where nothing
    /// does. `live` has its snapshots counted.
    async fn used_since(
        &self,
        operation: &OperationId,
        pod: &LivePod,
    ) -> Result<Option<String>, Error> {
        let g = &pod.live.guest;
        let said = |text: &str| Ok(Some(format!("{} {text}", describe(g))));
        let Some(op) = self.operation(operation).await? else {
            return said("was created by an operation that is not known any more.");
        };
        if op.left_behind() != Some(g.vmid) {
            return said("is not what a failed creation left.");
        }
        let made = op.steps.iter().find(|s| s.kind == StepKind::CreatePod);
        if made.and_then(|s| s.node.as_ref()) != Some(&g.node) {
            return said("was moved since.");
        }
        if pod.live.snapshots != Some(0) {
            return said("has snapshots.");
        }
        if let (Action::CreatePod { spec, .. }, Some(applied)) = (&op.action, &pod.applied)
            && **spec != *applied
        {
            return said("was changed since.");
        }
        // Whoever started it: the very creation's own attempt does not count, and neither does what was done before to
        // another container of that number.
        let own: Vec<&Upid> = op.steps.iter().filter_map(|s| s.upid.as_ref()).collect();
        let creation = made.and_then(|s| s.upid.as_ref());
        let asked_s = u64::try_from(op.created_ms / 1000).unwrap_or(0).saturating_sub(CLOCKS_S);
        let filter = TaskFilter {
            vmid: Some(g.vmid),
            // By the node's own clock where its creation is known.
            since_s: Some(creation.map_or(asked_s, Upid::started_s)),
            limit: Some(TASKS_LOOKED_AT),
            ..TaskFilter::default()
        };
        let what = format!("read the tasks of {}", g.node);
        let tasks = self
            .client(&g.cluster)?
            .node_tasks(&g.node, &filter)
            .await
            .map_err(Error::proxmox(what, &g.cluster))?;
        let is_creation = |upid: &Upid| creation == Some(upid);
        // Newest first.
        let mut since = tasks.iter().map(|t| &t.upid).take_while(|u| !is_creation(u));
        if since.any(|u| u.kind() == START_TASK && !own.contains(&u)) {
            return said("was started since.");
        }
        if creation.is_some() && !tasks.iter().any(|t| is_creation(&t.upid)) {
            return said("was created so long ago that its node does not tell what became of it.");
        }
        Ok(None)
    }

    pub(super) async fn plan_pod_change_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &PodAction,
    ) -> Result<Planning, Error> {
        let mut found = self.look_at_pod(action.guest()).await?;
        if let Some(found) = &mut found {
            match action {
                PodAction::Clean { .. } => self.count_snapshots(&mut found.live).await?,
                PodAction::Apply { spec, .. } if spec.template.sets_process() => {
                    let g = &found.live.guest;
                    found.version = self.pve_version(&g.cluster, &g.node).await?;
                }
                PodAction::Apply { .. } => {}
            }
        }
        let read_ms = found.as_ref().map_or_else(|| self.now_ms(), |pod| pod.live.read_ms);
        let mut ruling = self.pod_change_ruling(actor, verb, action);
        if let Some(found) = &found
            && ruling.is_allowed()
            && let denied @ Ruling::Denied { .. } =
                self.may(actor, verb, Target::Guest(&found.live.guest))
        {
            // Tags and pool may have changed since the summary was read.
            ruling = denied;
        }
        let opened = match (action, &found) {
            (PodAction::Apply { spec, .. }, Some(found)) => {
                let g = &found.live.guest;
                Box::pin(self.ports_ruling(actor, (&g.cluster, spec, &g.node), Some(g))).await?
            }
            _ => None,
        };
        if let Some(opens) = opened {
            ruling = ruling.and(opens);
        }
        let mut used = None;
        if let (PodAction::Clean { operation, .. }, Some(found)) = (action, &found) {
            ruling = ruling.and(self.may(actor, Verb::PodDelete, Target::Guest(&found.live.guest)));
            used = Box::pin(self.used_since(operation, found)).await?;
        }
        let planned = match (action, &found) {
            (PodAction::Clean { operation, .. }, found) => {
                plan_clean(operation.as_str(), found.as_ref(), used.as_deref())
            }
            (PodAction::Apply { guest, .. }, None) => {
                Planned::Refused { why: format!("CT {} ({}) is gone.", guest.vmid, guest.cluster) }
            }
            (PodAction::Apply { spec, only, restart, timeout_s, .. }, Some(found)) => {
                let how = Applying { spec, only, restart: *restart, timeout_s: *timeout_s };
                let mut planned = plan_apply(&how, found);
                let g = &found.live.guest;
                self.tell_lacking_shell(&mut planned, spec, (&g.cluster, &g.node));
                if only.is_empty() {
                    let at = (&g.cluster, &**spec);
                    Box::pin(self.tell_ports(actor, at, Some(g), &mut planned)).await?;
                }
                planned
            }
        };
        Ok(Planning { planned, ruling, read_ms })
    }

    pub(super) async fn look_before_pod_step(
        &self,
        op: &Operation,
        n: usize,
        step: &PodStep,
    ) -> Result<Look, Error> {
        let Some((guest, _)) = op.action.guest() else {
            return Ok(Look::Changed("there is no pod to do this to".into()));
        };
        let Some(found) = self.look_at_pod(guest).await? else {
            return Ok(Look::Changed(format!("{} is gone", op.target)));
        };
        if let Some(why) = is_another(op, n, &found.live) {
            return Ok(Look::Changed(why));
        }
        if let Some(lock) = &found.live.guest.lock {
            return Ok(Look::Changed(format!("it is locked by Proxmox ({lock})")));
        }
        if step.edits().iter().all(|edit| is_done(edit, &found.raw)) {
            return Ok(Look::Already("it was already so".into()));
        }
        if n == 0 && found.fingerprint() != op.fingerprint {
            return Ok(Look::Changed(format!(
                "{} is not as it was when this was confirmed: it is {} on {} now",
                op.name,
                found.live.guest.status.as_str(),
                found.live.guest.node
            )));
        }
        let node = found.live.guest.node;
        let kinds = op.steps[n].kind.task_types();
        let seen = match kinds {
            [] => Vec::new(),
            kinds => self.tasks_like(&guest.cluster, &node, guest.vmid, kinds).await?,
        };
        Ok(Look::Go(Aim { node, vmid: Some(guest.vmid), seen }))
    }

    pub(super) async fn call_pod_step(
        &self,
        op: &Operation,
        step: &PodStep,
        aim: &Aim,
    ) -> Result<Option<Upid>, CallFault> {
        let client =
            self.client(op.action.cluster()).map_err(|e| CallFault::never_sent(e.to_string()))?;
        let vmid =
            aim.vmid.ok_or_else(|| CallFault::never_sent("there is no pod to do this to"))?;
        let at = At { node: aim.node.clone(), kind: GuestKind::Lxc, vmid };
        match step {
            PodStep::Configure { edits } => {
                // Bound to the configuration that was confirmed: whoever changed it meanwhile makes Proxmox refuse.
                let mut change = SetConfig::new(op.digest.clone());
                for edit in edits {
                    change = match edit {
                        Edit::Set(key, value) => change.set(key, value),
                        Edit::Unset(key) => change.delete(key),
                        Edit::Grow(..) | Edit::Nothing => change,
                    };
                }
                client.set_config(&at, &change).await?;
                Ok(None)
            }
            PodStep::Grow { disk, size_gib } => {
                Ok(Some(client.grow_disk(&at, disk, *size_gib).await?.upid))
            }
        }
    }

    pub(super) async fn is_pod_step_met(
        &self,
        op: &Operation,
        step: &PodStep,
    ) -> Result<Seen, Error> {
        let Some((guest, _)) = op.action.guest() else {
            return Ok(Seen { met: false, now: "There is no pod.".into() });
        };
        let Some(found) = self.look_at_pod(guest).await? else {
            return Ok(Seen { met: false, now: format!("{} is gone.", op.target) });
        };
        let left: Vec<String> = PodStep::Configure {
            edits: step.edits().into_iter().filter(|edit| !is_done(edit, &found.raw)).collect(),
        }
        .touches();
        let met = step.edits().iter().all(|edit| is_done(edit, &found.raw));
        let who = describe(&found.live.guest);
        let status = found.live.guest.status.as_str();
        let now = match (met, left.is_empty()) {
            (true, _) => format!("{who} is {status} and set up as asked for."),
            (false, true) => format!("{who} is {status}; its notes are not as asked for."),
            (false, false) => {
                format!("{who} is {status}; not as asked for: {}.", left.join(", "))
            }
        };
        Ok(Seen { met, now })
    }

    /// Keeps the specification that was applied.
    pub(super) async fn remember_applied(&self, op: &Operation) -> Result<(), Error> {
        let Action::Pod(PodAction::Apply { guest, spec, .. }) = &op.action else { return Ok(()) };
        let kept = self
            .store()
            .find_pod(&guest.cluster, guest.vmid)
            .await
            .map_err(Error::store("read the pods"))?;
        let row = match kept {
            Some(row) => PodRow { spec: PodSpec::clone(spec), ..row },
            // Found by its notes: from now on the store knows it again.
            None => PodRow {
                cluster: guest.cluster.clone(),
                vmid: guest.vmid,
                name: spec.name.clone(),
                spec: PodSpec::clone(spec),
                operation: self.look_at_pod(guest).await?.map(|p| p.created_by).unwrap_or_default(),
                created_ms: self.now_ms(),
            },
        };
        self.store().save_pod(&row).await.map_err(Error::store("remember the pod"))
    }
}
