//! Turning images and disks into other forms, as far as Proxmox's interface does: a disk moved to another storage
//! takes the form that storage keeps (directory → ZFS, LVM-thin, …), a virtual machine's disk can change between
//! raw and qcow2 on the way, a stopped guest can become a template.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::plan::{Room, size};
use super::step::ImageStep;
use crate::id::{GuestKind, StorageId};
use crate::operation::StepKind;
use crate::plan::{Change, Draft, LiveGuest, Planned, describe, fingerprint};
use crate::pod::volume_owner;
use crate::set::identity::set_of_tag;
use crate::world::GuestStatus;

/// Forms of a virtual machine's disk on a storage of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's own, with snapshots.
    Qcow2,
}

impl DiskFormat {
    /// Proxmox's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }

    /// The form a volume has, by its name: files say it, block devices are raw.
    pub fn of_volume(volid: &str) -> Self {
        if volid.ends_with(".qcow2") { Self::Qcow2 } else { Self::Raw }
    }
}

impl FromStr for DiskFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            _ => Err(()),
        }
    }
}

/// Kinds of storage that keep disks as files, where a form can be chosen.
const FILES: &[&str] = &["dir", "nfs", "cifs", "btrfs", "cephfs", "glusterfs"];

/// Why nothing can be done to a guest now, whatever it is.
fn busy(live: &LiveGuest) -> Option<String> {
    let g = &live.guest;
    // The pod would go on with the old volume and find the copy, as it was now, when it is made the next time.
    if let Some(set) = g.tags.iter().find_map(|t| set_of_tag(t)) {
        return Some(format!(
            "{} belongs to set {set}, whose pods find their volumes where the set put them. `/set apply` changes what its pods are.",
            describe(g)
        ));
    }
    if let Some(lock) = &g.lock {
        return Some(format!(
            "{} is locked by Proxmox ({lock}). Wait until that is over.",
            describe(g)
        ));
    }
    (g.status == GuestStatus::Unknown).then(|| {
        format!("Nobody can say whether {} runs, because {} does not answer.", describe(g), g.node)
    })
}

/// Plans moving a disk. `volume` is the disk as the configuration has it (`local:201/vm-201-disk-0.raw,size=8G`),
/// `kind` the plugin of the storage it shall go to.
pub fn plan_move(
    live: &LiveGuest,
    disk: &str,
    volume: Option<&str>,
    storage: &StorageId,
    room: Option<(Room, &str)>,
    format: Option<DiskFormat>,
    delete_original: bool,
) -> Planned {
    let g = &live.guest;
    let refused = |why: String| Planned::Refused { why };
    if let Some(why) = busy(live) {
        return refused(why);
    }
    let Some(volid) = volume.and_then(|v| v.split(',').next()).filter(|v| v.contains(':')) else {
        let disks = live.disks.join(", ");
        return refused(format!("{} has no disk {disk}. Its disks: {disks}.", describe(g)));
    };
    if let Some(owner) = volume_owner(volid).filter(|owner| *owner != g.vmid) {
        return refused(format!(
            "{disk} of {} is a volume of guest {owner}, which may use it as well: move it there.",
            describe(g)
        ));
    }
    let Some((room, plugin)) = room else {
        return refused(format!("{} has no storage {storage}.", g.node));
    };
    if !room.active || !room.holds {
        return refused(format!("{storage} on {} cannot take disks of guests now.", g.node));
    }
    let lxc = g.kind == GuestKind::Lxc;
    if format.is_some() && lxc {
        return refused(format!(
            "A container's disk has the form its storage keeps: raw on directories, a dataset on ZFS, a volume on LVM. Move {disk} to a storage of the wanted kind instead."
        ));
    }
    let files = FILES.contains(&plugin);
    if format == Some(DiskFormat::Qcow2) && !files {
        return refused(format!(
            "{storage} ({plugin}) keeps disks as block devices; qcow2 needs a storage of files ({}).",
            FILES.join(", ")
        ));
    }
    let here = volid.split(':').next() == Some(storage.as_str());
    let same_form = format.is_none_or(|f| f == DiskFormat::of_volume(volid));
    if here && same_form {
        return Planned::Nothing {
            why: format!("{disk} of {} is on {storage} already: {volid}.", g.name),
        };
    }
    if lxc && g.status != GuestStatus::Stopped {
        return refused(format!(
            "{} is {}. Proxmox moves disks of stopped containers only: stop it first.",
            describe(g),
            g.status.as_str()
        ));
    }
    let bytes = volume.and_then(size_in);
    if let Some(bytes) = bytes.filter(|b| *b > room.free) {
        return refused(format!(
            "{storage} on {} has {} free; {disk} has {}.",
            g.node,
            size(room.free),
            size(bytes)
        ));
    }
    let mut warnings = Vec::new();
    if live.snapshots.is_some_and(|n| n > 0) {
        warnings
            .push("It has snapshots; Proxmox may refuse to move disks that they need.".to_owned());
    }
    if g.status == GuestStatus::Running {
        warnings.push(
            "It runs: the disk is mirrored while it is in use, which takes longer.".to_owned(),
        );
    }
    let form = format.map(|f| format!(" as {}", f.as_str())).unwrap_or_default();
    Planned::Ready(Draft {
        name: g.name.clone(),
        target: format!("{disk} of {}", describe(g)),
        effects: vec![
            format!("Copy {disk} to {storage}{form} and let {} use the copy.", g.name),
            if delete_original {
                format!("Delete {volid} once the copy is in use.")
            } else {
                format!("{volid} stays, as an unused disk of {}.", g.name)
            },
        ],
        changes: vec![Change {
            what: disk.to_owned(),
            before: volid.to_owned(),
            after: format!("on {storage} ({plugin}){form}"),
        }],
        warnings,
        steps: vec![StepKind::Image(Box::new(ImageStep::MoveDisk {
            disk: disk.to_owned(),
            from: volid.to_owned(),
            storage: storage.clone(),
            format,
            delete_original,
        }))],
        fingerprint: fingerprint(live),
        digest: live.digest.clone(),
    })
}

/// `size=8G` of a disk, in bytes.
fn size_in(volume: &str) -> Option<u64> {
    let text = volume.split(',').find_map(|p| p.strip_prefix("size="))?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "T" => 40,
        "G" => 30,
        "M" => 20,
        "K" => 10,
        _ => 0,
    };
    digits.parse::<u64>().ok()?.checked_shl(unit)
}

/// Plans turning a guest into a template.
pub fn plan_template(live: &LiveGuest) -> Planned {
    let g = &live.guest;
    let refused = |why: String| Planned::Refused { why };
    if let Some(why) = busy(live) {
        return refused(why);
    }
    if g.template {
        return Planned::Nothing { why: format!("{} is a template already.", describe(g)) };
    }
    if g.status != GuestStatus::Stopped {
        return refused(format!(
            "{} is {}. Only what is off can become a template: stop it first.",
            describe(g),
            g.status.as_str()
        ));
    }
    if live.snapshots.is_some_and(|n| n > 0) {
        return refused(format!("{} has snapshots; delete them first.", describe(g)));
    }
    Planned::Ready(Draft {
        name: g.name.clone(),
        target: describe(g),
        effects: vec![
            format!("Turn {} into a template that others are cloned from.", g.name),
            "Its disks become read-only; it never starts again.".into(),
        ],
        changes: vec![Change { what: "Template".into(), before: "no".into(), after: "yes".into() }],
        warnings: vec![
            "Proxmox cannot turn a template back into a guest; a clone of it is one.".into(),
        ],
        steps: vec![StepKind::Image(Box::new(ImageStep::MakeTemplate))],
        fingerprint: fingerprint(live),
        digest: live.digest.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Action, GuestRef, Tier};
    use crate::id::ClusterId;
    use crate::image::ImageAction;
    use crate::world::Guest;

    fn live(name: &str, vmid: u32, tags: &[&str]) -> LiveGuest {
        let guest = Guest {
            status: GuestStatus::Stopped,
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            ..Guest::sample(vmid, name)
        };
        LiveGuest {
            guest,
            digest: "d".into(),
            disks: Vec::new(),
            protected: false,
            snapshots: Some(0),
            read_ms: 0,
        }
    }

    #[test]
    fn a_disk_that_a_set_or_another_guest_needs_stays_where_it_is() {
        let nas: StorageId = "nas".parse().unwrap();
        let room = || Some((Room { active: true, holds: true, free: 1 << 40 }, "dir"));
        let moved = |live: &LiveGuest, volume: &str| {
            plan_move(live, "mp0", Some(volume), &nas, room(), None, true)
        };
        let own = "local-lvm:vm-700-disk-1,mp=/data,size=4G";
        let Planned::Ready(draft) = moved(&live("shop", 700, &["gantry"]), own) else { panic!() };
        assert_eq!(draft.steps.len(), 1);
        let why = |planned: Planned| match planned {
            Planned::Refused { why } => why,
            other => panic!("{other:?}"),
        };
        let of_set = live("web-0-volumes", 700, &["gantry", "gantry-set.web"]);
        assert!(why(moved(&of_set, own)).contains("belongs to set web"));
        assert!(why(plan_template(&of_set)).contains("belongs to set web"));
        let theirs =
            moved(&live("shop", 700, &["gantry"]), "local-lvm:vm-799-disk-1,mp=/data,size=4G");
        assert!(why(theirs).contains("a volume of guest 799"));
    }

    #[test]
    fn what_nobody_can_have_back_takes_the_name() {
        let cluster: ClusterId = "lab".parse().unwrap();
        let guest = GuestRef { cluster: cluster.clone(), vmid: 700.try_into().unwrap() };
        let kind = GuestKind::Lxc;
        let disk = |delete_original| ImageAction::MoveDisk {
            guest: guest.clone(),
            kind,
            disk: "rootfs".into(),
            storage: "nas".parse().unwrap(),
            format: None,
            delete_original,
        };
        for (action, tier) in [
            (disk(false), Tier::None),
            (disk(true), Tier::TypedName),
            (ImageAction::MakeTemplate { guest: guest.clone(), kind }, Tier::TypedName),
            (ImageAction::Fetch { cluster, fetches: Vec::new() }, Tier::None),
        ] {
            assert_eq!(Action::Image(action.clone()).tier(), tier, "{action:?}");
        }
    }
}
