//! Turning disks and guests into other forms: a disk to another storage or format, a guest into a template.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::{GuestKind, StorageId, Upid};
use gantry_core::image::{DiskFormat, ImageAction, ImageStep, Room, plan_move, plan_template};
use gantry_core::near::it_has;
use gantry_core::operation::Operation;
use gantry_core::plan::{LiveGuest, Planned, describe, fingerprint};
use gantry_core::policy::{Actor, Target};
use gantry_proxmox::{Freshness, GuestRef as At, MoveDisk};

use super::{Aim, CallFault, Look, Planning, Seen, target};
use crate::{Engine, Error};

impl Engine {
    pub(super) async fn plan_convert_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &ImageAction,
    ) -> Result<Planning, Error> {
        let read_ms = self.now_ms();
        let Some((guest, kind)) = action.guest() else {
            let why = "that is nothing done to a guest".to_owned();
            let ruling = self.image_ruling(actor, verb, action);
            return Ok(Planning { planned: Planned::Refused { why }, ruling, read_ms });
        };
        let Some(live) = self.look_at_guest(guest, kind).await? else {
            let why =
                format!("{} {guest} is gone: Proxmox does not know it any more.", kind.short());
            let ruling = self.guest_ruling(actor, verb, guest);
            return Ok(Planning { planned: Planned::Refused { why }, ruling, read_ms });
        };
        let planned = match action {
            ImageAction::MoveDisk { disk, storage, format, delete_original, .. } => {
                let volume = self.disk_of(&live, disk).await?;
                match self.room_for_disk(&live, storage).await? {
                    Ok((room, plugin)) => {
                        let room = Some((room, plugin.as_str()));
                        let volume = volume.as_deref();
                        plan_move(&live, disk, volume, storage, room, *format, *delete_original)
                    }
                    Err(others) => {
                        let have = it_has(storage.as_str(), others.iter().map(String::as_str));
                        let why = format!("{} has no storage {storage}.{have}", live.guest.node);
                        Planned::Refused { why }
                    }
                }
            }
            _ => plan_template(&live),
        };
        let ruling = self.may(actor, verb, Target::Guest(&live.guest));
        Ok(Planning { planned, ruling, read_ms: live.read_ms })
    }

    /// The storage a disk is on now.
    pub(crate) async fn storage_of_disk(
        &self,
        guest: &GuestRef,
        kind: GuestKind,
        disk: &str,
    ) -> Result<Option<StorageId>, Error> {
        let Some(live) = self.look_at_guest(guest, kind).await? else { return Ok(None) };
        let volume = self.disk_of(&live, disk).await?.unwrap_or_default();
        Ok(volume.split_once(':').and_then(|(storage, _)| storage.parse().ok()))
    }

    /// A disk as the guest's configuration has it now.
    async fn disk_of(&self, live: &LiveGuest, disk: &str) -> Result<Option<String>, Error> {
        let g = &live.guest;
        let config = self
            .client(&g.cluster)?
            .guest_config(&At::new(g.node.clone(), g.kind, g.vmid), Freshness::Fresh)
            .await
            .map_err(Error::proxmox(format!("read {}", g.vmid), &g.cluster))?;
        Ok(config.volumes().find(|(key, _)| *key == disk).map(|(_, value)| value.to_owned()))
    }

    /// A storage for disks as the guest's node sees it now, with its plugin.
    ///
    /// `Ok(Err(_))`: the node has none of that name; those that take such disks.
    async fn room_for_disk(
        &self,
        live: &LiveGuest,
        storage: &StorageId,
    ) -> Result<Result<(Room, String), Vec<String>>, Error> {
        let g = &live.guest;
        let content = if g.kind == GuestKind::Lxc { "rootdir" } else { "images" };
        let storages = self
            .client(&g.cluster)?
            .storages(&g.node, Freshness::Fresh)
            .await
            .map_err(Error::proxmox(format!("read the storages of {}", g.node), &g.cluster))?;
        let found = storages.iter().find(|s| s.storage.as_ref() == Some(storage)).map(|s| {
            let room =
                Room { active: s.active, holds: s.holds(content), free: s.avail.unwrap_or(0) };
            (room, s.kind.clone().unwrap_or_default())
        });
        let others = storages.iter().filter(|s| s.active && s.holds(content));
        Ok(found.ok_or_else(|| {
            others.filter_map(|s| s.storage.as_ref().map(ToString::to_string)).collect()
        }))
    }

    pub(super) async fn look_before_convert(
        &self,
        op: &Operation,
        n: usize,
        step: &ImageStep,
    ) -> Result<Look, Error> {
        let Some((guest, kind)) = target(op) else {
            return Ok(Look::Changed("there is no guest to do this to".into()));
        };
        let Some(live) = self.look_at_guest(&guest, kind).await? else {
            return Ok(Look::Changed(format!("{} is gone", op.target)));
        };
        if self.is_convert_met(op, step).await?.met {
            return Ok(Look::Already("it was already so".into()));
        }
        if let Some(why) = super::image::is_same(op, n, &live) {
            return Ok(Look::Changed(why));
        }
        if n == 0 && fingerprint(&live) != op.fingerprint {
            return Ok(Look::Changed(format!(
                "{} is not as it was when this was confirmed",
                op.name
            )));
        }
        if let Some(lock) = &live.guest.lock {
            return Ok(Look::Changed(format!("it is locked by Proxmox ({lock})")));
        }
        let seen = self
            .tasks_like(&guest.cluster, &live.guest.node, guest.vmid, step.task_types())
            .await?;
        Ok(Look::Go(Aim { node: live.guest.node, vmid: Some(guest.vmid), seen }))
    }

    pub(super) async fn call_convert(
        &self,
        op: &Operation,
        step: &ImageStep,
        aim: &Aim,
    ) -> Result<Option<Upid>, CallFault> {
        let never = |why: &str| CallFault::never_sent(why);
        let client =
            self.client(op.action.cluster()).map_err(|e| CallFault::never_sent(e.to_string()))?;
        let (Some((_, kind)), Some(vmid)) = (target(op), aim.vmid) else {
            return Err(never("there is no guest to do this to"));
        };
        let at = At::new(aim.node.clone(), kind, vmid);
        match step {
            ImageStep::MoveDisk { disk, storage, format, delete_original, .. } => {
                let what = MoveDisk {
                    disk,
                    storage,
                    format: *format,
                    delete_original: *delete_original,
                    digest: &op.digest,
                };
                Ok(Some(client.move_guest_disk(&at, &what).await?.upid))
            }
            ImageStep::MakeTemplate => {
                Ok(client.make_template(&at).await?.map(|accepted| accepted.upid))
            }
            ImageStep::Fetch(_)
            | ImageStep::Copy(_)
            | ImageStep::ConvertFile { .. }
            | ImageStep::Delete(_) => Err(never("that is not something done to a guest")),
        }
    }

    pub(super) async fn is_convert_met(
        &self,
        op: &Operation,
        step: &ImageStep,
    ) -> Result<Seen, Error> {
        let gone = || Seen { met: false, now: format!("{} is gone.", op.target) };
        let Some((guest, kind)) = target(op) else { return Ok(gone()) };
        let Some(live) = self.look_at_guest(&guest, kind).await? else { return Ok(gone()) };
        Ok(match step {
            ImageStep::MoveDisk { disk, from, storage, format, .. } => {
                let volume = self.disk_of(&live, disk).await?.unwrap_or_default();
                let volid = volume.split(',').next().unwrap_or_default();
                let there = volid.split(':').next() == Some(storage.as_str()) && volid != from;
                let form = format.is_none_or(|f| f == DiskFormat::of_volume(volid));
                let met = there && form && live.guest.lock.is_none();
                Seen { met, now: format!("{disk} of {} is {volid}.", describe(&live.guest)) }
            }
            _ => {
                let word = if live.guest.template { "a template" } else { "no template" };
                Seen {
                    met: live.guest.template,
                    now: format!("{} is {word}.", describe(&live.guest)),
                }
            }
        })
    }
}
