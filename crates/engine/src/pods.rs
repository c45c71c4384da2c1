//! Asking for pods: a new one, one as a file says, other limits, and the end of a half-created one.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{ClusterId, NodeName, OperationId};
use gantry_core::plan::describe;
use gantry_core::pod::{PodAction, PodSpec};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::{Found, Guest, find_guest};

use crate::propose::Answer;
use crate::{Engine, Error};

/// Other limits for a pod; what is left out stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU cores.
    pub cores: Option<u32>,
    /// Memory, MiB.
    pub memory_mib: Option<u64>,
    /// Swap, MiB.
    pub swap_mib: Option<u64>,
    /// Root disk, GiB.
    pub disk_gib: Option<u64>,
}

impl Limits {
    /// The settings they are about.
    fn keys(&self) -> Vec<String> {
        [
            ("cores", self.cores.is_some()),
            ("memory", self.memory_mib.is_some()),
            ("swap", self.swap_mib.is_some()),
            ("rootfs", self.disk_gib.is_some()),
        ]
        .into_iter()
        .filter(|(_, said)| *said)
        .map(|(key, _)| key.to_owned())
        .collect()
    }

    fn put(&self, spec: &mut PodSpec) {
        let template = &mut spec.template;
        template.cores = self.cores.unwrap_or(template.cores);
        template.memory_mib = self.memory_mib.unwrap_or(template.memory_mib);
        template.swap_mib = self.swap_mib.unwrap_or(template.swap_mib);
        template.root.size_gib = self.disk_gib.unwrap_or(template.root.size_gib);
    }
}

impl Engine {
    pub(crate) async fn propose_pod(
        &self,
        actor: &Actor,
        cluster: ClusterId,
        mut spec: Box<PodSpec>,
    ) -> Result<Answer, Error> {
        let shown = spec.name.clone();
        let verb = Verb::PodCreate;
        let typed = self.settle_pod_image(&cluster, &mut spec);
        let typed = typed.as_ref();
        let mut action =
            Action::CreatePod { cluster: cluster.clone(), spec, placed: None, fetch: None };
        // Asked before anything is read, so that a refusal tells nothing about the world.
        if let Ruling::Denied { because } = self.ruling(actor, verb, &action) {
            return self.refuse(actor, verb, &shown, because).await;
        }
        if let Action::CreatePod { spec, placed, fetch, .. } = &mut action
            && spec.problems().is_empty()
        {
            if spec.node.is_none() || spec.template.root.storage.is_none() {
                let asked: &PodSpec = spec;
                let may = |node: &NodeName| {
                    let there = PodSpec { node: Some(node.clone()), ..asked.clone() };
                    self.may_make(actor, verb, &cluster, &there).is_allowed()
                };
                let mut chosen = self.place_pod(&cluster, spec, false, may).await?;
                if let Err(why) = &chosen
                    && why.iter().any(|w| w.contains("has no image"))
                    && self.pod_image_source(actor, &cluster, spec, typed).await?.is_some()
                {
                    chosen = self.place_pod(&cluster, spec, true, may).await?;
                }
                match chosen {
                    Ok(choice) => *placed = Some(choice),
                    Err(why) => {
                        let why = format!("No node of {cluster} can take it.\n{}", why.join("\n"));
                        return Ok(Answer::Refused { why });
                    }
                }
            }
            let spec = spec.placed(placed.as_ref());
            *fetch = self.pod_image_fetch(actor, &cluster, &spec, typed).await?.map(Box::new);
        }
        self.propose_action(actor, verb, action, &shown).await
    }

    /// Creates the pod, or changes the one of that name.
    pub(crate) async fn propose_apply(
        &self,
        actor: &Actor,
        cluster: ClusterId,
        mut spec: Box<PodSpec>,
        restart: bool,
    ) -> Result<Answer, Error> {
        let there: Vec<Guest> = self
            .view(&cluster)
            .map(|v| v.guests.iter().filter(|g| g.name == spec.name).cloned().collect())
            .unwrap_or_default();
        let guest = match there.as_slice() {
            [] => return self.propose_pod(actor, cluster, spec).await,
            [one] => {
                self.settle_pod_image(&cluster, &mut spec);
                one.address()
            }
            several => {
                // Which names there are is said to those who may see them only.
                let sees =
                    |g: &Guest| self.may(actor, Verb::PodApply, Target::Guest(g)).is_allowed();
                if let Some(hidden) = several.iter().find(|g| !sees(g))
                    && let Ruling::Denied { because } =
                        self.may(actor, Verb::PodApply, Target::Guest(hidden))
                {
                    return self.refuse(actor, Verb::PodApply, &spec.name, because).await;
                }
                let list: Vec<String> = several.iter().map(describe).collect();
                return Ok(Answer::Refused {
                    why: format!("Several guests have that name: {}.", list.join(", ")),
                });
            }
        };
        self.propose_change(actor, Verb::PodApply, guest, spec, Vec::new(), restart).await
    }

    async fn propose_change(
        &self,
        actor: &Actor,
        verb: Verb,
        guest: GuestRef,
        spec: Box<PodSpec>,
        only: Vec<String>,
        restart: bool,
    ) -> Result<Answer, Error> {
        let shown = spec.name.clone();
        let timeout_s = self.inner.settings.shutdown_timeout_s;
        let apply = PodAction::Apply { guest, spec, only, restart, timeout_s };
        self.propose_action(actor, verb, Action::Pod(apply), &shown).await
    }

    pub(crate) async fn propose_update(
        &self,
        actor: &Actor,
        who: &str,
        limits: &Limits,
    ) -> Result<Answer, Error> {
        let verb = Verb::PodUpdate;
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Any) {
            return self.refuse(actor, verb, who, because).await;
        }
        let views = self.views_for(actor, verb);
        let found = match find_guest(&views, who) {
            Found::One(guest) => guest.clone(),
            Found::Several(guests) => {
                return Ok(Answer::Refused {
                    why: format!(
                        "Several guests answer to that: {}. Say which, as cluster/number.",
                        guests.into_iter().map(describe).collect::<Vec<_>>().join(", ")
                    ),
                });
            }
            Found::Nothing { similar } => {
                return Ok(Answer::NotFound { text: who.to_owned(), similar });
            }
        };
        let target = describe(&found);
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Guest(&found)) {
            return self.refuse(actor, verb, &target, because).await;
        }
        let keys = limits.keys();
        if keys.is_empty() {
            return Ok(Answer::Nothing { why: "No limit was given.".into() });
        }
        if !found.is_pod() {
            return Ok(Answer::Refused {
                why: format!("{target} is not a pod: gantry does not own it."),
            });
        }
        let Some(pod) = self.look_at_pod(&found.address()).await? else {
            return Ok(Answer::Refused {
                why: format!("{target} is gone: Proxmox does not know it any more."),
            });
        };
        let Some(mut spec) = pod.applied else {
            return Ok(Answer::Refused {
                why: format!(
                    "What {target} shall be is not known: neither gantry's store nor its notes say. `/pod apply` with a file tells."
                ),
            });
        };
        limits.put(&mut spec);
        self.propose_change(actor, verb, found.address(), Box::new(spec), keys, false).await
    }

    pub(crate) async fn propose_clean(
        &self,
        actor: &Actor,
        operation: &OperationId,
    ) -> Result<Answer, Error> {
        let verb = Verb::PodClean;
        let shown = operation.to_string();
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Any) {
            return self.refuse(actor, verb, &shown, because).await;
        }
        let Some(op) = self.operation(operation).await? else {
            return Ok(Answer::NotFound { text: shown, similar: Vec::new() });
        };
        let (Action::CreatePod { cluster, .. }, Some(vmid)) = (&op.action, op.vmid) else {
            return Ok(Answer::Nothing { why: "That operation created nothing.".into() });
        };
        if !op.state.is_terminal() {
            return Ok(Answer::Refused { why: "It is still being created.".into() });
        }
        if op.left_behind().is_none() {
            return Ok(Answer::Nothing { why: "That operation left nothing behind.".into() });
        }
        let guest = GuestRef { cluster: cluster.clone(), vmid };
        let clean = PodAction::Clean { guest, operation: operation.clone() };
        self.propose_action(actor, verb, Action::Pod(clean), &op.name).await
    }

    /// The specification of a pod as it was applied last, with its cluster; `None` where nobody knows it.
    pub async fn applied_spec(&self, guest: &GuestRef) -> Result<Option<PodSpec>, Error> {
        Ok(self.look_at_pod(guest).await?.and_then(|pod| pod.applied))
    }
}
