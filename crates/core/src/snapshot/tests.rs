//! Which names are taken, which changes are planned, and what their plans say.

use super::*;
use crate::id::GuestKind;
use crate::operation::StepKind;
use crate::plan::{Draft, Planned};
use crate::world::{Guest, GuestStatus};

/// 2026-11-20 01:00 UTC.
const THEN_MS: i64 = 1_795_136_400_000;

fn taken(name: &str, hours: i64) -> Taken {
    Taken {
        name: name.into(),
        note: String::new(),
        at_ms: Some(THEN_MS + hours * 3_600_000),
        parent: None,
        ram: false,
        unfinished: None,
    }
}

fn facts() -> SnapshotFacts {
    SnapshotFacts {
        live: LiveGuest {
            guest: Guest::sample(201, "web-0"),
            digest: "d1".into(),
            disks: vec!["rootfs: 8G on local-lvm (vm-201-disk-0)".into()],
            protected: false,
            snapshots: None,
            read_ms: 0,
        },
        snapshots: Snapshots {
            taken: vec![taken("before", 0), taken("after", 5)],
            current: Some("after".into()),
        },
        able: Some(true),
        storages: vec!["local-lvm (lvmthin)".into()],
        newest_only: vec![],
    }
}

fn name(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

fn create(text: &str, ram: bool) -> SnapshotStep {
    SnapshotStep::Create { name: name(text), note: String::new(), ram }
}

fn planned(facts: &SnapshotFacts, change: SnapshotStep) -> Planned {
    let g = &facts.live.guest;
    plan_snapshot(&SnapshotAction { guest: g.address(), kind: g.kind, change }, facts)
}

fn ready(facts: &SnapshotFacts, change: SnapshotStep) -> Draft {
    match planned(facts, change) {
        Planned::Ready(draft) => draft,
        other => panic!("{other:?}"),
    }
}

fn refused(facts: &SnapshotFacts, change: SnapshotStep) -> String {
    match planned(facts, change) {
        Planned::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_those_that_proxmox_takes() {
    for good in ["before-upgrade", "a1", "X_y", &"a".repeat(40)] {
        assert_eq!(good.parse::<SnapshotName>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        "a",
        "1st",
        "-x",
        "a b",
        "a.b",
        "naïve",
        "a/../b",
        "current",
        "Pending",
        "vzdump",
        &"a".repeat(41),
    ] {
        assert!(bad.parse::<SnapshotName>().is_err(), "{bad}");
    }
    let made = SnapshotName::at(THEN_MS);
    assert_eq!(made.as_str(), "gantry-20261120-010000");
    assert_eq!(made.as_str().parse::<SnapshotName>(), Ok(made.clone()));
}

#[test]
fn a_snapshot_says_what_it_holds_and_what_it_does_not() {
    let draft = ready(&facts(), create("now", false));
    assert_eq!(
        draft.effects,
        ["Take the snapshot `now` of CT 201: its settings and its disk as they are then."]
    );
    assert!(draft.warnings[0].contains("as after a power cut"), "{:?}", draft.warnings);
    let mut machine = facts();
    machine.live.guest.kind = GuestKind::Qemu;
    let draft = ready(&machine, create("now", true));
    assert!(draft.effects[1].contains("memory is kept"), "{:?}", draft.effects);
    assert_eq!(draft.steps, [StepKind::Snapshot(create("now", true))]);
}

#[test]
fn what_cannot_be_taken_is_refused_with_the_reason() {
    let mut dir = facts();
    dir.able = Some(false);
    dir.storages = vec!["local (dir)".into()];
    let why = refused(&dir, create("now", false));
    assert!(why.contains("its disks lie on local (dir)") && why.contains("LVM-thin"), "{why}");
    assert!(
        refused(&facts(), create("before", false)).contains("already, taken 2026-11-20 01:00 UTC")
    );
    assert!(refused(&facts(), create("now", true)).contains("is a container"));
    let mut off = facts();
    off.live.guest.kind = GuestKind::Qemu;
    off.live.guest.status = GuestStatus::Stopped;
    assert!(refused(&off, create("now", true)).contains("no memory to keep"));
    let mut locked = facts();
    locked.live.guest.lock = Some("snapshot".into());
    assert!(refused(&locked, create("now", false)).contains("locked by Proxmox (snapshot)"));
    let mut lost = facts();
    lost.live.guest.status = GuestStatus::Unknown;
    assert!(refused(&lost, create("now", false)).contains("Nobody can say"));
    let mut template = facts();
    template.live.guest.template = true;
    assert!(refused(&template, create("now", false)).contains("template"));
}

#[test]
fn a_rollback_says_since_when_things_are_lost_and_starts_what_ran() {
    let back = SnapshotStep::Rollback { name: name("before") };
    let draft = ready(&facts(), back.clone());
    assert_eq!(draft.steps, [StepKind::Snapshot(back.clone()), StepKind::Start]);
    assert_eq!(
        draft.effects,
        [
            "Pull the plug of CT 201: Proxmox does not shut it down for this.",
            "Put its settings and disks back to `before`, as they were 2026-11-20 01:00 UTC.",
            "Start it again.",
            "Snapshots taken later stay: after.",
        ]
    );
    assert_eq!(
        draft.warnings[0],
        "Everything written since 2026-11-20 01:00 UTC is lost: files, databases, settings."
    );
    let mut off = facts();
    off.live.guest.status = GuestStatus::Stopped;
    assert_eq!(ready(&off, back.clone()).steps.len(), 1);
    let mut kept = facts();
    kept.live.guest.kind = GuestKind::Qemu;
    kept.snapshots.taken[0].ram = true;
    let draft = ready(&kept, back.clone());
    assert_eq!(draft.steps.len(), 1, "it runs by itself");
    assert!(draft.effects.iter().any(|e| e.contains("It runs on from there")));
    let mut zfs = facts();
    zfs.newest_only = vec!["rootfs".into()];
    assert!(refused(&zfs, back.clone()).contains("Taken after `before`: after"));
    ready(&zfs, SnapshotStep::Rollback { name: name("after") });
    let mut half = facts();
    half.snapshots.taken[0].unfinished = Some("delete".into());
    assert!(refused(&half, back).contains("not whole"));
    let gone = SnapshotStep::Rollback { name: name("never") };
    assert!(refused(&facts(), gone).contains("It has before, after."));
}

#[test]
fn deleting_what_is_not_there_is_nothing_to_do() {
    let gone = SnapshotStep::Delete { name: name("never") };
    assert!(
        matches!(planned(&facts(), gone), Planned::Nothing { why } if why.contains("has no snapshot `never`"))
    );
    let draft = ready(&facts(), SnapshotStep::Delete { name: name("before") });
    assert!(draft.effects[0].contains("taken 2026-11-20 01:00 UTC"), "{:?}", draft.effects);
    assert!(draft.warnings[0].contains("cannot be undone"));
}

#[test]
fn another_snapshot_of_the_same_name_is_another_plan() {
    let back = SnapshotStep::Rollback { name: name("before") };
    let mut again = facts();
    again.snapshots.taken[0].at_ms = Some(THEN_MS + 60_000);
    assert_ne!(ready(&facts(), back.clone()).fingerprint, ready(&again, back).fingerprint);
}

#[test]
fn what_cannot_be_undone_asks_for_the_name() {
    let of = |change| {
        let guest = facts().live.guest;
        SnapshotAction { guest: guest.address(), kind: guest.kind, change }.tier()
    };
    assert_eq!(of(create("now", false)), Tier::Button);
    assert_eq!(of(SnapshotStep::Delete { name: name("before") }), Tier::TypedName);
    assert_eq!(of(SnapshotStep::Rollback { name: name("before") }), Tier::TypedName);
}
