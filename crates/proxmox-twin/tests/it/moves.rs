//! Moves that do not work out: the target is lost, somebody stops them, their worker dies.

use std::time::Duration;

use proxmox_twin::{GuestSpec, Trouble, World};

use crate::{Desk, Got};

/// A running machine and a running container whose moves take seconds, both on their way to `pve2`.
async fn on_their_way() -> (Desk, [(u32, Got); 2]) {
    let world = World::empty()
        .guest(GuestSpec::qemu(100, "db").running())
        .guest(GuestSpec::lxc(101, "shop").running());
    let desk = Desk::new(world).await;
    for task in ["qmigrate", "vzmigrate"] {
        desk.twin.trouble(Trouble::TaskSlow { task: task.into(), seconds: 5.0 }).unwrap();
    }
    let live = [("target", "pve2"), ("online", "1"), ("with-local-disks", "1")];
    let machine = desk.post("/nodes/pve1/qemu/100/migrate", &live).await;
    let restart = [("target", "pve2"), ("restart", "1")];
    let container = desk.post("/nodes/pve1/lxc/101/migrate", &restart).await;
    let moves = [(100, machine), (101, container)];
    for (_, got) in &moves {
        while !log(&desk, got).await.contains("found local disk") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    (desk, moves)
}

async fn log(desk: &Desk, got: &Got) -> String {
    let upid = got.data().as_str().unwrap().to_owned();
    desk.get(&format!("/nodes/pve1/tasks/{upid}/log?limit=0")).await.text
}

/// Both are where they were, running, without a lock, and their logs say `why`.
async fn are_back(desk: &Desk, moves: &[(u32, Got); 2], why: [&str; 2]) {
    let ends = ["migration problems", "migration aborted"];
    for (((vmid, got), exit), why) in moves.iter().zip(ends).zip(why) {
        assert_eq!(desk.exit(got).await, exit);
        let guest = desk.twin.guest(*vmid).unwrap();
        assert_eq!(
            (guest.node.as_str(), guest.status.as_str(), guest.lock),
            ("pve1", "running", None)
        );
        assert_eq!(desk.twin.count("migrate", *vmid), 0);
        let told = log(desk, got).await;
        assert!(told.contains(why) && told.contains(&format!("TASK ERROR: {exit}")), "{told}");
    }
    // The container was down for a while, the machine never.
    assert_eq!((desk.twin.count("start", 101), desk.twin.count("start", 100)), (1, 0));
}

#[tokio::test]
async fn a_move_whose_target_is_lost_ends_where_it_began() {
    let (desk, moves) = on_their_way().await;
    desk.twin.trouble(Trouble::NodeDown { node: "pve2".into() }).unwrap();
    are_back(&desk, &moves, ["Broken pipe", "failed: exit code 255"]).await;
}

#[tokio::test]
async fn a_move_that_is_stopped_ends_where_it_began() {
    let (desk, moves) = on_their_way().await;
    for (_, got) in &moves {
        let upid = got.data().as_str().unwrap();
        assert!(desk.delete(&format!("/nodes/pve1/tasks/{upid}")).await.data().is_null());
    }
    let why = "interrupted by signal";
    are_back(&desk, &moves, [why, why]).await;
}

#[tokio::test]
async fn a_worker_that_dies_leaves_its_lock_and_no_last_word() {
    let desk = Desk::new(World::empty().guest(GuestSpec::qemu(100, "db").running())).await;
    let exitstatus = "unexpected status".to_owned();
    desk.twin
        .trouble(Trouble::TaskFails { task: "qmigrate".into(), exitstatus, times: None })
        .unwrap();
    let live = [("target", "pve2"), ("online", "1"), ("with-local-disks", "1")];
    let got = desk.post("/nodes/pve1/qemu/100/migrate", &live).await;
    assert_eq!(desk.exit(&got).await, "unexpected status");
    let guest = desk.twin.guest(100).unwrap();
    assert_eq!((guest.node.as_str(), guest.lock.as_deref()), ("pve1", Some("migrate")));
    assert!(!log(&desk, &got).await.contains("TASK"));
}
