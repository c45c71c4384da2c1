//! Pods of sets and the keepers of their volumes, looked at with the set's eyes: only guests with the set's tags are
//! touched, and none is deleted that owns volumes the set did not make for it.

use gantry_core::action::{Action, GuestRef};
use gantry_core::id::{ClusterId, GuestKind, Upid, Vmid};
use gantry_core::operation::{Operation, StepKind};
use gantry_core::plan::LiveGuest;
use gantry_core::plan::Planned;
use gantry_core::pod::{PodSpec, plan_pod};
use gantry_core::set::identity::set_tag;
use gantry_core::set::member::{facts_of, keeper_of, pod_of};
use gantry_core::set::{Identity, Revision, SetAction, SetRef, SetStep, SlotRecord, Work};
use gantry_core::world::OWN_TAG;
use gantry_proxmox::{Freshness, GuestRef as At, SetConfig};
use gantry_store::PodRow;

use super::pod::create_request;
use super::{Aim, CallFault, Look, Seen};
use crate::{Engine, Error};

/// An operation on one ordinal, taken apart.
pub(super) struct Part<'a> {
    set: &'a SetRef,
    identity: &'a Identity,
    work: Work,
    revision: &'a Revision,
}

/// The part of an operation that is about an ordinal.
pub(super) fn part(op: &Operation) -> Option<Part<'_>> {
    match &op.action {
        Action::Set(SetAction::Member { set, identity, work, revision, .. }) => {
            Some(Part { set, identity, work: *work, revision })
        }
        _ => None,
    }
}

impl Part<'_> {
    /// What its pod is made from.
    pub(super) fn image(&self) -> &str {
        &self.revision.spec.template.image
    }

    pub(super) fn guest(&self) -> Option<GuestRef> {
        let vmid: Option<Vmid> =
            if self.work.is_keeper() { self.identity.keeper } else { Some(self.identity.vmid) };
        vmid.map(|vmid| GuestRef { cluster: self.set.cluster.clone(), vmid })
    }
}

impl Engine {
    /// Looks before a step on an ordinal.
    pub(super) async fn look_before_member(&self, op: &Operation, n: usize) -> Result<Look, Error> {
        let (Some(part), kind) = (part(op), &op.steps[n].kind) else {
            return Ok(Look::Changed("there is no ordinal to do this to".into()));
        };
        match kind {
            StepKind::Set(SetStep::Create | SetStep::MakeKeeper) => {
                self.look_before_made(op, n, &part).await
            }
            StepKind::Set(SetStep::Unprotect) => match self.look_before_unprotect(op, &part).await?
            {
                Look::Go(aim) => self.look_at_user(&part, aim).await,
                other => Ok(other),
            },
            StepKind::Delete => match self.look_before_guest(op, n).await? {
                Look::Go(aim) => self.look_at_volumes(&part, aim).await,
                other => Ok(other),
            },
            _ => match self.look_before_guest(op, n).await? {
                Look::Go(aim) => self.look_at_tags(&part, aim).await,
                other => Ok(other),
            },
        }
    }

    async fn live(&self, part: &Part<'_>) -> Result<Option<LiveGuest>, Error> {
        match part.guest() {
            Some(guest) => self.look_at_guest(&guest, GuestKind::Lxc).await,
            None => Ok(None),
        }
    }

    async fn look_at_tags(&self, part: &Part<'_>, aim: Aim) -> Result<Look, Error> {
        let Some(live) = self.live(part).await? else {
            return Ok(Look::Changed(format!("{} is gone", part.identity.name)));
        };
        Ok(match not_ours(part, &live) {
            Some(why) => Look::Changed(why),
            None => Look::Go(aim),
        })
    }

    /// The last look before something is deleted: is it the set's, and does nothing of somebody else's go with it?
    async fn look_at_volumes(&self, part: &Part<'_>, aim: Aim) -> Result<Look, Error> {
        let Some(live) = self.live(part).await? else {
            return Ok(Look::Already("it was already gone".into()));
        };
        if let Some(why) = not_ours(part, &live) {
            return Ok(Look::Changed(why));
        }
        if part.work == Work::DropVolumes {
            return self.look_at_user(part, aim).await;
        }
        let own: Vec<&String> = live.disks.iter().filter(|d| owns(d, part.identity.vmid)).collect();
        Ok(match own.as_slice() {
            [] => Look::Go(aim),
            volumes => Look::Changed(format!(
                "{} owns volumes that the set did not give it and that would be deleted with it: {}. Move or delete them at Proxmox",
                part.identity.name,
                volumes.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(", ")
            )),
        })
    }

    /// Before a keeper goes: whatever has the pod's number now mounts none of its volumes, whosever it is.
    async fn look_at_user(&self, part: &Part<'_>, aim: Aim) -> Result<Look, Error> {
        let (identity, cluster) = (part.identity, &part.set.cluster);
        let Some(keeper) = identity.keeper else {
            return Ok(Look::Changed("it has no keeper".into()));
        };
        let kept = At::new(aim.node.clone(), GuestKind::Lxc, keeper);
        let kept = self.volumes_of(cluster, &kept).await?;
        let guest = GuestRef { cluster: cluster.clone(), vmid: identity.vmid };
        for kind in [GuestKind::Lxc, GuestKind::Qemu] {
            let Some(live) = self.look_at_guest(&guest, kind).await? else { continue };
            let used = At::new(live.guest.node, kind, guest.vmid);
            let used = self.volumes_of(cluster, &used).await?;
            if let Some(volume) = used.iter().find(|v| kept.contains(v)) {
                return Ok(Look::Changed(format!(
                    "{} {} still uses the volume {volume}: nothing is deleted under it",
                    kind.short(),
                    guest.vmid
                )));
            }
        }
        Ok(Look::Go(aim))
    }

    /// Ids of the volumes a guest's configuration names now.
    async fn volumes_of(&self, cluster: &ClusterId, at: &At) -> Result<Vec<String>, Error> {
        let what = format!("read {} {}", at.kind.short(), at.vmid);
        let config = self
            .client(cluster)?
            .guest_config(at, Freshness::Fresh)
            .await
            .map_err(Error::proxmox(what, cluster))?;
        Ok(config.volumes().map(|(_, value)| volid(value).to_owned()).collect())
    }

    async fn look_before_made(
        &self,
        op: &Operation,
        n: usize,
        part: &Part<'_>,
    ) -> Result<Look, Error> {
        let Some(guest) = part.guest() else {
            return Ok(Look::Changed("it has no number".into()));
        };
        let pod = match self.wanted_pod(part).await? {
            Ok(pod) => pod,
            Err(why) => return Ok(Look::Changed(why)),
        };
        let place = self.look_at_place(&guest.cluster, &part.identity.node, &pod).await?;
        // Its number says who it is; a guest of the same name elsewhere is told as drift.
        let place = place.with_any_name();
        if let Planned::Refused { why } = plan_pod(&pod, &guest.cluster, &place) {
            return Ok(Look::Changed(why.trim_end_matches('.').to_owned()));
        }
        if self.look_at_guest(&guest, GuestKind::Lxc).await?.is_some()
            || self.look_at_guest(&guest, GuestKind::Qemu).await?.is_some()
        {
            return Ok(Look::Changed(format!(
                "there is a guest with the number {} already",
                guest.vmid
            )));
        }
        let kinds = op.steps[n].kind.task_types();
        let seen = self.tasks_like(&guest.cluster, &place.node, guest.vmid, kinds).await?;
        Ok(Look::Go(Aim { node: place.node, vmid: Some(guest.vmid), seen }))
    }

    /// What is created: the keeper, or the pod with the volumes its keeper has at this moment.
    async fn wanted_pod(&self, part: &Part<'_>) -> Result<Result<PodSpec, String>, Error> {
        let (spec, identity) = (&part.revision.spec, part.identity);
        if part.work == Work::MakeKeeper {
            return Ok(Ok(keeper_of(spec, identity)));
        }
        let Some(keeper) = identity.keeper.filter(|_| spec.has_volumes()) else {
            return Ok(pod_of(spec, identity, &[]));
        };
        let cluster = &part.set.cluster;
        let at = At::new(identity.node.clone(), GuestKind::Lxc, keeper);
        let config =
            self.client(cluster)?.guest_config(&at, Freshness::Fresh).await.map_err(
                Error::proxmox(format!("read the volumes of {}", identity.name), cluster),
            )?;
        let volumes: Vec<(String, String)> =
            config.volumes().filter_map(|(_, value)| mounted(value)).collect();
        Ok(pod_of(spec, identity, &volumes))
    }

    pub(super) async fn call_make(
        &self,
        op: &Operation,
        aim: &Aim,
    ) -> Result<Option<Upid>, CallFault> {
        let Some(part) = part(op) else {
            return Err(CallFault::never_sent("there is no ordinal to make"));
        };
        let never = |e: Error| CallFault::never_sent(e.to_string());
        let pod = self.wanted_pod(&part).await.map_err(never)?.map_err(CallFault::never_sent)?;
        let client = self.client(&part.set.cluster).map_err(never)?;
        let request = create_request(&pod, None, op, aim)?;
        Ok(Some(client.create_lxc(&aim.node, &request).await?.upid))
    }

    async fn look_before_unprotect(&self, op: &Operation, part: &Part<'_>) -> Result<Look, Error> {
        let Some(live) = self.live(part).await? else {
            return Ok(Look::Already("it was already gone".into()));
        };
        if let Some(why) = not_ours(part, &live) {
            return Ok(Look::Changed(why));
        }
        if live.guest.name != op.name {
            return Ok(Look::Changed(format!("it is called {} now", live.guest.name)));
        }
        if !live.protected {
            return Ok(Look::Already("it was not protected".into()));
        }
        Ok(Look::Go(Aim { node: live.guest.node, vmid: Some(live.guest.vmid), seen: Vec::new() }))
    }

    pub(super) async fn call_unprotect(
        &self,
        op: &Operation,
        aim: &Aim,
    ) -> Result<Option<Upid>, CallFault> {
        let never = |e: Error| CallFault::never_sent(e.to_string());
        let Some(part) = part(op) else {
            return Err(CallFault::never_sent("there is no ordinal to do this to"));
        };
        let Some(live) = self.live(&part).await.map_err(never)? else {
            return Err(CallFault::never_sent("it is gone"));
        };
        let at = At::new(aim.node.clone(), GuestKind::Lxc, live.guest.vmid);
        let change = SetConfig::new(live.digest).set("protection", 0);
        self.client(&part.set.cluster).map_err(never)?.set_config(&at, &change).await?;
        Ok(None)
    }

    pub(super) async fn is_unprotected(&self, op: &Operation) -> Result<Seen, Error> {
        let live = match part(op) {
            Some(part) => self.live(&part).await?,
            None => None,
        };
        Ok(match live {
            None => Seen { met: true, now: format!("{} is gone.", op.target) },
            Some(live) if live.protected => {
                Seen { met: false, now: format!("{} is protected.", op.target) }
            }
            Some(_) => Seen { met: true, now: format!("{} is not protected.", op.target) },
        })
    }

    /// Writes down what the pod was made from.
    pub(super) async fn remember_made(&self, op: &Operation) -> Result<(), Error> {
        let Some(part) = part(op) else { return Ok(()) };
        let fail = || Error::store("remember the pod");
        let Ok(pod) = pod_or_as_made(&part) else { return Ok(()) };
        let (facts, key, number) =
            (facts_of(&pod), part.revision.key.clone(), part.revision.number);
        let now_ms = self.now_ms();
        let made = move |record: &mut SlotRecord| {
            record.key = Some(key);
            record.revision = number;
            record.made_ms = now_ms;
            record.ready_ms = None;
            record.facts = Some(facts);
            (record.strayed, record.adopted) = (Vec::new(), Vec::new());
            (record.reported, record.ignored) = (None, None);
        };
        self.store()
            .change_slot(part.set, part.identity.ordinal, None, made)
            .await
            .map_err(fail())?;
        let row = PodRow {
            cluster: part.set.cluster.clone(),
            vmid: part.identity.vmid,
            name: pod.name.clone(),
            spec: pod,
            operation: op.id.to_string(),
            created_ms: now_ms,
        };
        self.store().save_pod(&row).await.map_err(fail())
    }

    /// The pod that was removed, where the set makes it again under the same number; read now.
    pub(super) async fn is_made_again(&self, op: &Operation) -> Result<Option<GuestRef>, Error> {
        let Some(part) = part(op).filter(|p| p.work == Work::Remove) else { return Ok(None) };
        let row = self.store().find_set(part.set).await.map_err(Error::store("read the set"))?;
        let again = row.is_some_and(|row| {
            let set = &row.set;
            set.deleting.is_none() && set.spec().ordinals().contains(&part.identity.ordinal)
        });
        Ok(part.guest().filter(|_| again))
    }

    /// Writes down that the pod is gone.
    pub(super) async fn remember_removed(&self, op: &Operation) -> Result<(), Error> {
        let Some(part) = part(op) else { return Ok(()) };
        if part.work == Work::Remove {
            let gone = |record: &mut SlotRecord| {
                (record.key, record.facts, record.ready_ms) = (None, None, None);
                (record.strayed, record.adopted) = (Vec::new(), Vec::new());
                (record.reported, record.ignored, record.failures) = (None, None, 0);
            };
            self.store()
                .change_slot(part.set, part.identity.ordinal, None, gone)
                .await
                .map_err(Error::store("forget the pod"))?;
        }
        self.forget_pod(op).await
    }
}

/// The pod without its volumes' ids: what is remembered needs no more.
fn pod_or_as_made(part: &Part<'_>) -> Result<PodSpec, String> {
    let mut spec = part.revision.spec.clone();
    spec.volumes.clear();
    pod_of(&spec, part.identity, &[])
}

fn not_ours(part: &Part<'_>, live: &LiveGuest) -> Option<String> {
    let tag = set_tag(&part.set.name);
    let has = |tag: &str| live.guest.tags.iter().any(|t| t == tag);
    (!has(OWN_TAG) || !has(&tag)).then(|| {
        format!("CT {} does not carry the set's tags any more: it is not touched", live.guest.vmid)
    })
}

/// Whether a disk, as people read it (`mp0: 4G on local-lvm (vm-700-disk-1)`), is a volume besides the root disk that
/// is deleted with the guest of that number.
fn owns(disk: &str, vmid: Vmid) -> bool {
    let Some((key, rest)) = disk.split_once(": ") else { return false };
    let marks = [
        format!("vm-{vmid}-"),
        format!("subvol-{vmid}-"),
        format!("base-{vmid}-"),
        format!("basevol-{vmid}-"),
        // Storages of files keep a folder a guest, and what is in it belongs to that guest, whatever it is called.
        format!("({vmid}/"),
        format!(":{vmid}/"),
    ];
    key != "rootfs" && marks.iter().any(|m| rest.contains(m.as_str()))
}

/// The id of a volume, without its options.
fn volid(value: &str) -> &str {
    value.split(',').next().unwrap_or(value)
}

/// Where a volume is mounted, and its id: `local-lvm:vm-799-disk-1,mp=/volumes/data,size=4G`.
fn mounted(value: &str) -> Option<(String, String)> {
    let mut parts = value.split(',');
    let volid = parts.next()?.to_owned();
    let path = parts.find_map(|p| p.strip_prefix("mp="))?.to_owned();
    Some((path, volid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_volumes_named_after_the_guest_go_with_it() {
        let vmid = Vmid::try_from(700).unwrap();
        assert!(!owns("rootfs: 8G on local-lvm (vm-700-disk-0)", vmid));
        assert!(!owns("mp0: 4G on local-lvm (vm-799-disk-1)", vmid));
        assert!(owns("mp1: 4G on local-lvm (vm-700-disk-1)", vmid));
        assert!(owns("unused0: local-zfs:subvol-700-disk-2", vmid));
        assert!(owns("mp2: 4G on nas (700/vm-700-disk-0.raw)", vmid));
        assert!(!owns("mp1: 4G on local-lvm (vm-7001-disk-1)", vmid));
        assert!(owns("mp1: 4G on nas (700/any.raw)", vmid));
        assert!(owns("unused1: nas:700/any.raw", vmid));
        assert!(!owns("mp1: 4G on nas (1700/any.raw)", vmid));
    }

    #[test]
    fn a_keepers_volumes_are_found_by_where_they_are_mounted() {
        let value = "local-lvm:vm-799-disk-1,mp=/volumes/data,backup=1,size=4G";
        let found = ("/volumes/data".to_owned(), "local-lvm:vm-799-disk-1".to_owned());
        assert_eq!(mounted(value), Some(found));
        assert_eq!(mounted("local-lvm:vm-799-disk-0,size=4G"), None);
    }
}
