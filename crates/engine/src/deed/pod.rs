//! Pods: creating a container that gantry owns.

use gantry_core::action::{Action, Verb};
use gantry_core::id::{ClusterId, NodeName, Upid};
use gantry_core::image::Fetch;
use gantry_core::operation::Operation;
use gantry_core::plan::Planned;
use gantry_core::pod::placement::Choice;
use gantry_core::pod::{self, LivePlace, PodSpec, plan_new};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::Guest;
use gantry_proxmox::{CreateLxc, Error as ProxmoxError};
use gantry_store::PodRow;

use super::{Aim, CallFault, Look, Planning, target};
use crate::{Engine, Error};

impl Engine {
    /// What policy says about making that pod, by memory only. Where its node is still open, it is allowed when it is
    /// on some node; its number is not chosen yet.
    pub fn may_make(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        spec: &PodSpec,
    ) -> Ruling {
        let tags = spec.all_tags();
        let pool = spec.template.pool.as_deref();
        let judge = |nodes: &[NodeName]| {
            let name = &spec.name;
            let target = Target::NewPod { cluster, name, tags: &tags, pool, nodes, vmids: None };
            self.may(actor, verb, target)
        };
        if let Some(node) = &spec.node {
            return judge(std::slice::from_ref(node));
        }
        let view = self.view(cluster);
        let nodes = view.iter().flat_map(|v| &v.nodes);
        nodes
            .map(|node| judge(std::slice::from_ref(&node.name)))
            .find(Ruling::is_allowed)
            .unwrap_or_else(|| judge(&[]))
    }

    pub(super) async fn plan_pod_now(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        spec: &PodSpec,
        placed: Option<&Choice>,
        fetch: Option<&Fetch>,
    ) -> Result<Planning, Error> {
        let (spec, why) = (&spec.placed(placed), placed.map_or(&[][..], |p| &p.why));
        let ruling = self.may_make(actor, verb, cluster, spec);
        let mut ruling = self.with_fetch(actor, cluster, fetch, ruling);
        let Some(node) = &spec.node else {
            let planned = Planned::Refused { why: "No node was chosen for it.".into() };
            return Ok(Planning { planned, ruling, read_ms: self.now_ms() });
        };
        if let Some(opens) = self.ports_ruling(actor, (cluster, spec, node), None).await? {
            ruling = ruling.and(opens);
        }
        let mut place = if spec.problems().is_empty() {
            self.look_at_place(cluster, node, spec).await?
        } else {
            // What is wrong by itself needs nobody to be asked.
            LivePlace::unread(node.clone())
        };
        place.same_name.retain(|address| self.sees(actor, cluster, address));
        let mut first = None;
        if let Some(fetch) = fetch.filter(|_| place.online && !place.has_image) {
            match self.plan_pod_image(cluster, fetch).await? {
                Ok(step) => first = Some(step),
                Err(why) => {
                    let planned = Planned::Refused { why };
                    return Ok(Planning { planned, ruling, read_ms: place.read_ms });
                }
            }
            place.has_image = true;
        }
        let mut planned = plan_new(spec, cluster, &place);
        pod::tell_place(&mut planned, why);
        self.tell_lacking_shell(&mut planned, spec, (cluster, &place.node));
        self.tell_ports(actor, (cluster, spec), None, &mut planned).await?;
        if let Some((step, effect)) = first {
            pod::fetch_first(&mut planned, step, effect);
        }
        Ok(Planning { planned, ruling, read_ms: place.read_ms })
    }

    /// Whether somebody may see the guest of that address; one that is not known yet, only who may see all.
    pub(crate) fn sees(&self, actor: &Actor, cluster: &ClusterId, address: &str) -> bool {
        let view = self.view(cluster);
        let vmid = address.rsplit('/').next().and_then(|n| n.parse().ok());
        match view.as_ref().zip(vmid).and_then(|(v, vmid)| v.guest(vmid)) {
            Some(guest) => self.sees_guest(actor, guest),
            None => self.sees_target(actor, Target::Cluster(cluster)),
        }
    }

    /// Whether somebody may see that guest.
    pub(crate) fn sees_guest(&self, actor: &Actor, guest: &Guest) -> bool {
        self.sees_target(actor, Target::Guest(guest))
    }

    fn sees_target(&self, actor: &Actor, target: Target<'_>) -> bool {
        [Verb::GuestShow, Verb::PodShow]
            .into_iter()
            .any(|verb| self.may(actor, verb, target).is_allowed())
    }

    pub(super) async fn look_before_pod(&self, op: &Operation) -> Result<Look, Error> {
        let Action::CreatePod { cluster, spec, placed, .. } = &op.action else {
            return Ok(Look::Changed("there is no pod to create".into()));
        };
        let spec = &spec.placed(placed.as_ref());
        let Some(node) = &spec.node else {
            return Ok(Look::Changed("no node was chosen for it".into()));
        };
        let place = self.look_at_place(cluster, node, spec).await?;
        Ok(match plan_new(spec, cluster, &place) {
            Planned::Ready(draft) if draft.fingerprint == op.fingerprint => {
                Look::Go(Aim { node: place.node, vmid: op.vmid, seen: Vec::new() })
            }
            Planned::Ready(_) => {
                Look::Changed("the node is not as it was when this was confirmed".into())
            }
            Planned::Nothing { why } | Planned::Refused { why } => Look::Changed(why),
        })
    }

    pub(super) async fn call_create_pod(
        &self,
        op: &Operation,
        aim: &Aim,
    ) -> Result<Option<Upid>, CallFault> {
        let Action::CreatePod { cluster, spec, placed, .. } = &op.action else {
            return Err(CallFault::never_sent("there is no pod to create"));
        };
        let client = self.client(cluster).map_err(|e| CallFault::never_sent(e.to_string()))?;
        let request = create_request(spec, placed.as_ref(), op, aim)?;
        Ok(Some(client.create_lxc(&aim.node, &request).await?.upid))
    }

    /// Tasks that created a guest with the chosen VMID and were not there before the intent. A VMID can have been
    /// created and deleted before: where several are new, only the notes say whether the newest is ours.
    pub(super) async fn create_tasks_since(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Vec<Upid>, Error> {
        let mut tasks = self.guest_tasks_since(op, n).await?;
        if tasks.len() > 1 {
            tasks.truncate(usize::from(self.notes_name(op).await?));
        }
        Ok(tasks)
    }

    /// Whether the guest that has our VMID says in its notes that this operation created it.
    pub(super) async fn notes_name(&self, op: &Operation) -> Result<bool, Error> {
        let Some((guest, kind)) = target(op) else { return Ok(false) };
        let notes = self.notes(&guest, kind).await?.unwrap_or_default();
        Ok(pod::read_notes(&notes).is_some_and(|(_, operation)| operation == op.id.as_str()))
    }

    /// Keeps what the pod shall be.
    pub(super) async fn remember_pod(&self, op: &Operation) -> Result<(), Error> {
        let (Action::CreatePod { cluster, spec, .. }, Some(vmid)) = (&op.action, op.vmid) else {
            return Ok(());
        };
        let row = PodRow {
            cluster: cluster.clone(),
            vmid,
            name: spec.name.clone(),
            spec: PodSpec::clone(spec),
            operation: op.id.to_string(),
            created_ms: self.now_ms(),
        };
        self.store().save_pod(&row).await.map_err(Error::store("remember the pod"))
    }
}

pub(super) fn create_request(
    spec: &PodSpec,
    placed: Option<&Choice>,
    op: &Operation,
    aim: &Aim,
) -> Result<CreateLxc, ProxmoxError> {
    let invalid = |why: &str| ProxmoxError::Config { why: why.to_owned() };
    let vmid = aim.vmid.ok_or_else(|| invalid("no VMID was chosen"))?;
    let template = &spec.template;
    let mut request = CreateLxc::new(vmid, template.image.parse()?);
    request.settings = pod::settings(&spec.placed(placed))
        .ok_or_else(|| invalid("no storage was chosen for its disks"))?;
    request.pool = template.pool.clone();
    // Kept as it was written: what was left open stays open.
    request.description = Some(pod::notes(spec, op.id.as_str()));
    request.ssh_public_keys = template.ssh_keys.clone();
    Ok(request)
}
