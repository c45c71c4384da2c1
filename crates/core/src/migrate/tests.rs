//! Which moves are planned, how, and which are refused with which reason.

use super::*;
use crate::operation::StepKind;
use crate::plan::{Draft, Planned};
use crate::world::{Guest, GuestStatus};

fn container() -> MoveFacts {
    let guest = Guest { mem: 1 << 30, mem_max: 2 << 30, ..Guest::sample(201, "web-0") };
    MoveFacts {
        live: LiveGuest {
            guest,
            digest: "d1".into(),
            disks: vec![],
            protected: false,
            snapshots: None,
            read_ms: 0,
        },
        volumes: vec![on("rootfs", "local-lvm:vm-201-disk-0,size=8G", "lvmthin")],
        snapshots: 0,
        target: Some(TargetNode {
            online: true,
            memory_free: 8 << 30,
            storages: vec!["local-lvm".into(), "nas".into()],
        }),
        nodes: vec!["pve1".into(), "pve2".into()],
        says: Some(Precondition::default()),
    }
}

fn machine() -> MoveFacts {
    let mut facts = container();
    facts.live.guest.kind = GuestKind::Qemu;
    facts.volumes = vec![on("scsi0", "local-lvm:vm-201-disk-0,size=32G", "lvmthin")];
    facts.says = Some(Precondition {
        local_disks: vec![("local-lvm:vm-201-disk-0".into(), Some(32 << 30))],
        allowed: Some(vec!["pve2".into()]),
        ..Precondition::default()
    });
    facts
}

fn on(key: &str, text: &str, plugin: &str) -> Volume {
    Volume { plugin: Some(plugin.into()), ..Volume::read(key, text).unwrap() }
}

fn asked(facts: &MoveFacts, to: &str, restart: bool) -> Planned {
    let g = &facts.live.guest;
    let (guest, to) = (g.address(), to.parse().unwrap());
    plan_migration(&Migration { guest, kind: g.kind, to, restart }, facts)
}

fn planned(facts: &MoveFacts) -> Draft {
    match asked(facts, "pve2", true) {
        Planned::Ready(draft) => draft,
        other => panic!("{other:?}"),
    }
}

fn refused(facts: &MoveFacts) -> String {
    match asked(facts, "pve2", true) {
        Planned::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

fn step(draft: &Draft) -> MigrateStep {
    match draft.steps.as_slice() {
        [StepKind::Migrate(step)] => step.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_running_container_is_restarted_and_a_stopped_one_is_not() {
    let draft = planned(&container());
    assert_eq!(step(&draft).how, How::Restart);
    assert_eq!(
        draft.effects[0],
        "Shut CT 201 down, move it from pve1 to pve2, and start it there."
    );
    assert!(draft.warnings[0].contains("cannot be reached"), "{:?}", draft.warnings);
    let mut off = container();
    off.live.guest.status = GuestStatus::Stopped;
    let draft = planned(&off);
    assert_eq!((step(&draft).how, draft.changes.len()), (How::Offline, 1));
    assert!(draft.effects[0].ends_with("It is off and stays off."), "{:?}", draft.effects);
    assert!(
        matches!(asked(&container(), "pve2", false), Planned::Refused { why } if why.contains("restart:True"))
    );
    assert!(matches!(asked(&off, "pve2", false), Planned::Ready(_)));
}

#[test]
fn a_running_machine_goes_on_running_and_takes_its_local_disks_along() {
    let draft = planned(&machine());
    let made = step(&draft);
    assert_eq!((made.how, made.local_disks, made.ha), (How::Online, true, false));
    assert_eq!(
        draft.effects,
        [
            "Move VM 201 from pve1 to pve2 while it goes on running.",
            "Copy local-lvm:vm-201-disk-0, 32.0 GiB: only pve1 sees it.",
        ]
    );
    let mut shared = machine();
    shared.volumes =
        vec![Volume { shared: true, ..on("scsi0", "nas:201/vm-201-disk-0.raw", "nfs") }];
    shared.says = Some(Precondition::default());
    assert!(!step(&planned(&shared)).local_disks);
    let mut paused = shared;
    paused.live.guest.status = GuestStatus::Paused;
    assert_eq!(step(&planned(&paused)).how, How::Online);
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    assert!(
        matches!(asked(&container(), "pve1", true), Planned::Nothing { why } if why.contains("already"))
    );
    let with = |change: fn(&mut MoveFacts)| {
        let mut facts = container();
        change(&mut facts);
        refused(&facts)
    };
    assert!(with(|f| f.target = None).contains("has no node pve2. Its nodes are pve1, pve2"));
    assert!(with(|f| f.target.as_mut().unwrap().online = false).contains("not online"));
    assert!(
        with(|f| f.live.guest.lock = Some("backup".into())).contains("locked by Proxmox (backup)")
    );
    assert!(with(|f| f.live.guest.status = GuestStatus::Unknown).contains("Nobody can say"));
    assert!(with(|f| f.live.guest.status = GuestStatus::Paused).contains("resume it first"));
    assert!(
        with(|f| f.live.guest.tags = vec![crate::set::set_tag("web")])
            .contains("a pod of the set web")
    );
    assert!(
        with(|f| f.volumes.push(Volume::read("mp0", "/srv/data,mp=/data").unwrap()))
            .contains("a path on pve1")
    );
    assert!(
        with(|f| f.volumes.push(on("mp0", "local-zfs:subvol-201-disk-1,mp=/x", "zfspool")))
            .contains("has no storage")
    );
    assert!(
        with(|f| f.volumes.push(on("mp0", "local-lvm:vm-900-disk-1,mp=/x", "lvmthin")))
            .contains("belongs to guest 900")
    );
    assert!(with(|f| f.snapshots = 1).contains("Delete them first"));
    assert!(
        with(|f| f.says.as_mut().unwrap().why_not =
            vec!["ct:300 may not be on the same node".into()])
        .contains("ct:300")
    );
    assert!(
        with(|f| f.says.as_mut().unwrap().allowed = Some(vec!["pve3".into()]))
            .contains("does not let")
    );
    let mut tied = machine();
    tied.says.as_mut().unwrap().local_resources = vec!["hostpci0".into()];
    assert!(refused(&tied).contains("hostpci0"));
    let mut disc = machine();
    disc.volumes.push(on("ide2", "local:iso/debian.iso,media=cdrom", "dir"));
    assert!(refused(&disc).contains("a disc in its drive"));
}

#[test]
fn snapshots_keep_only_what_they_keep() {
    let mut zfs = container();
    zfs.target.as_mut().unwrap().storages.push("local-zfs".into());
    zfs.volumes = vec![on("rootfs", "local-zfs:subvol-201-disk-0,size=8G", "zfspool")];
    zfs.snapshots = 2;
    planned(&zfs);
    let mut file = machine();
    file.live.guest.status = GuestStatus::Stopped;
    file.target.as_mut().unwrap().storages.push("local".into());
    file.volumes = vec![on("scsi0", "local:201/vm-201-disk-0.qcow2,size=32G", "dir")];
    file.snapshots = 1;
    planned(&file);
    file.live.guest.status = GuestStatus::Running;
    assert!(refused(&file).contains("of a running machine"), "{}", refused(&file));
    let mut shared = machine();
    shared.volumes =
        vec![Volume { shared: true, ..on("scsi0", "nas:201/vm-201-disk-0.qcow2", "nfs") }];
    shared.snapshots = 3;
    planned(&shared);
}

#[test]
fn memory_that_is_short_is_a_warning_and_high_availability_is_told() {
    let mut facts = machine();
    facts.target.as_mut().unwrap().memory_free = 1 << 30;
    facts.live.guest.ha = Some("started".into());
    facts.says.as_mut().unwrap().along = vec!["vm:202".into()];
    let draft = planned(&facts);
    assert!(step(&draft).ha);
    assert!(draft.effects.iter().any(|e| e.contains("watches until VM 201 is on pve2")));
    assert!(draft.effects.iter().any(|e| e.contains("vm:202")), "{:?}", draft.effects);
    assert!(draft.warnings.iter().any(|w| w.contains("2.0 GiB") && w.contains("1.0 GiB free")));
}

#[test]
fn another_way_is_another_plan() {
    let facts = container();
    let first = planned(&facts);
    let mut busy = facts.clone();
    busy.target.as_mut().unwrap().memory_free = 0;
    assert_eq!(first.fingerprint, planned(&busy).fingerprint, "free memory moves all the time");
    let mut off = facts.clone();
    off.live.guest.status = GuestStatus::Stopped;
    assert_ne!(first.fingerprint, planned(&off).fingerprint);
    let mut ha = facts;
    ha.live.guest.ha = Some("started".into());
    assert_ne!(first.fingerprint, planned(&ha).fingerprint);
}

#[test]
fn volumes_are_read_as_they_are_written() {
    assert_eq!(Volume::read("ide2", "none,media=cdrom"), None);
    let disk = Volume::read("scsi0", "nas:104/vm-104-disk-0.qcow2,size=8G").unwrap();
    assert_eq!((disk.storage.as_deref(), disk.owner().map(Vmid::get)), (Some("nas"), Some(104)));
    let linked = Volume::read("scsi0", "local-lvm:base-9000-disk-0/vm-105-disk-0").unwrap();
    assert_eq!(linked.owner().map(Vmid::get), Some(105));
    let seed = Volume::read("ide2", "local-lvm:vm-105-cloudinit,media=cdrom").unwrap();
    assert!(!seed.disc && seed.is_local());
    assert!(Volume::read("mp0", "/srv,mp=/srv,shared=1").unwrap().shared);
}
