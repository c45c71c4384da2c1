//! The calls that change something, one place. Each is sent once; what came of it is the caller's to find out.

use gantry_core::action::Action;
use gantry_core::id::{ClusterId, Upid};
use gantry_core::operation::{Operation, StepKind};
use gantry_core::pod::{self, Address, PodSpec};
use gantry_proxmox::{
    CreateLxc, Delete, Error as ProxmoxError, GuestRef as At, NetIf, RootFs, Shutdown,
};
use gantry_store::PodRow;

use crate::step::Aim;
use crate::{Engine, Error};

impl Engine {
    /// Sends the call of step `n`. `Ok(None)` for calls that give no task.
    pub(crate) async fn call(
        &self,
        op: &Operation,
        n: usize,
        aim: &Aim,
    ) -> Result<Option<Upid>, ProxmoxError> {
        let cluster = op.action.cluster();
        let client =
            self.client(cluster).map_err(|e| ProxmoxError::Config { why: e.to_string() })?;
        let kind = op.action.guest().map_or(gantry_core::id::GuestKind::Lxc, |(_, kind)| kind);
        let no_guest = || ProxmoxError::Config { why: "there is no guest to do this to".into() };
        let at =
            || aim.vmid.map(|vmid| At { node: aim.node.clone(), kind, vmid }).ok_or_else(no_guest);
        let accepted = match &op.steps[n].kind {
            StepKind::CreatePod => {
                let Action::CreatePod { spec, .. } = &op.action else { return Err(no_guest()) };
                let request = create_request(spec, op, aim)?;
                client.create_lxc(&aim.node, &request).await?
            }
            StepKind::Start => client.start(&at()?).await?,
            StepKind::Shutdown { timeout_s } => {
                let how = Shutdown { timeout_s: Some(*timeout_s), force_stop: false };
                client.shutdown(&at()?, how).await?
            }
            StepKind::Kill => client.stop(&at()?).await?,
            StepKind::Reboot { timeout_s } => client.reboot(&at()?, Some(*timeout_s)).await?,
            StepKind::Suspend => client.suspend(&at()?).await?,
            StepKind::Resume => client.resume(&at()?).await?,
            StepKind::Delete => {
                let how = Delete { purge: true, destroy_unreferenced_disks: false, force: false };
                client.delete(&at()?, how).await?
            }
            StepKind::CancelTask => {
                let Action::CancelTask { upid, .. } = &op.action else { return Err(no_guest()) };
                client.stop_task(upid).await?;
                return Ok(None);
            }
        };
        Ok(Some(accepted.upid))
    }

    /// Asks Proxmox to stop a task of a running operation.
    pub(crate) async fn stop_task(&self, cluster: &ClusterId, upid: &Upid) -> Result<(), Error> {
        self.client(cluster)?
            .stop_task(upid)
            .await
            .map_err(Error::proxmox(format!("stop the task {}", upid.kind()), cluster))
    }

    /// Keeps gantry's record of its pods in line with a step that is over.
    pub(crate) async fn remember_pod(&self, op: &Operation, step: &StepKind) -> Result<(), Error> {
        match (&op.action, step) {
            (Action::CreatePod { cluster, spec }, StepKind::CreatePod) => {
                let Some(vmid) = op.vmid else { return Ok(()) };
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
            (Action::Delete { guest, .. }, StepKind::Delete) => self
                .store()
                .remove_pod(&guest.cluster, guest.vmid)
                .await
                .map(|_| ())
                .map_err(Error::store("forget the pod")),
            _ => Ok(()),
        }
    }
}

fn create_request(spec: &PodSpec, op: &Operation, aim: &Aim) -> Result<CreateLxc, ProxmoxError> {
    let invalid = |why: &str| ProxmoxError::Config { why: why.to_owned() };
    let vmid = aim.vmid.ok_or_else(|| invalid("no VMID was chosen"))?;
    let mut net = NetIf {
        name: "eth0".into(),
        bridge: Some(spec.bridge.clone()),
        tag: spec.vlan,
        firewall: Some(spec.firewall),
        ..NetIf::default()
    };
    match &spec.address {
        Address::Dhcp => net.ip = Some("dhcp".into()),
        Address::Fixed { cidr, gateway } => {
            let bad = |_| invalid("the gateway is not an IP address of the same family");
            if cidr.contains(':') {
                net.ip6 = Some(cidr.clone());
                net.gw6 = gateway.as_deref().map(str::parse).transpose().map_err(bad)?;
            } else {
                net.ip = Some(cidr.clone());
                net.gw = gateway.as_deref().map(str::parse).transpose().map_err(bad)?;
            }
        }
    }
    let number = |n: u64| u32::try_from(n).map_err(|_| invalid("a size is too large"));
    let mut request = CreateLxc::new(vmid, spec.image.parse()?);
    request.rootfs =
        Some(RootFs { storage: spec.storage.clone(), size_gib: number(spec.disk_gib)? });
    request.hostname = Some(spec.name.clone());
    request.cores = Some(spec.cores);
    request.memory_mib = Some(number(spec.memory_mib)?);
    request.swap_mib = Some(number(spec.swap_mib)?);
    request.net = vec![net];
    request.tags = spec.all_tags();
    request.pool = spec.pool.clone();
    request.description = Some(pod::notes(spec, op.id.as_str()));
    request.unprivileged = true;
    request.nesting = spec.nesting;
    request.onboot = Some(spec.start_on_boot);
    request.ssh_public_keys = spec.ssh_keys.clone();
    Ok(request)
}
