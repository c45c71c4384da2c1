//! The clusters and what is in them.

use super::*;

fn node(name: &str, state: NodeState) -> Node {
    Node {
        name: name.parse().unwrap(),
        state,
        since_ms: NOW - 240_000,
        reason: (state != NodeState::Up).then(|| "no answer within 3 s".to_owned()),
        seen_ms: NOW - 12_000,
        cpu: 0.1,
        cores: 8.0,
        mem: 8 << 30,
        mem_max: 32 << 30,
        disk: 10 << 30,
        disk_max: 100 << 30,
        uptime_s: 864_000,
    }
}

#[test]
fn a_cluster_with_a_node_that_does_not_answer() {
    let mut view = ClusterView::unseen("lab".parse().unwrap());
    view.observed_ms = NOW - 4_000;
    view.quorate = Some(true);
    view.version = Some("9.1.1".into());
    view.nodes = vec![node("pve1", NodeState::Up), node("pve3", NodeState::Unknown)];
    view.guests =
        vec![guest("web-0", 201, GuestStatus::Running), guest("db-0", 202, GuestStatus::Stopped)];
    view.storages = vec![Storage {
        id: "local-lvm".parse().unwrap(),
        node: "pve1".parse().unwrap(),
        kind: "lvmthin".into(),
        shared: false,
        used: 95 << 30,
        total: 100 << 30,
        active: true,
        content: vec!["rootdir".into()],
    }];
    // Proxmox goes on listing what the silent node had.
    view.storages.push(Storage { node: "pve3".parse().unwrap(), ..view.storages[0].clone() });
    let card = cluster_status(&ClusterCard {
        view: &view,
        hidden: 3,
        endpoints: &[],
        now_ms: NOW,
        screen: &screen(),
    });
    insta::assert_snapshot!(see(&card), @r#"
    ⚠ lab: 1 node missing
    3 more guests exist that you may not see.
    As of 2026-11-21 05:59:56 UTC

    Nodes up
      1 of 2

    Guests
      1 of 2 running

    Quorum
      yes

    Nodes
      ● pve1 · 10 % CPU · 25 % memory · up 10 d 0 h
      ? pve3 is unreachable · began 2026-11-21 05:56:00 UTC · no answer within 3 s
        showing what was known 12 s ago: 10 % CPU · 25 % memory · up 10 d 0 h

    Storages
      ⚠ ▰▰▰▰▰▰▰▰▰▱ local-lvm · 95 % · pve1 · 5 GiB free
      ? local-lvm · pve3 · node not answering; 95 % when last seen 2026-11-21 05:59:48 UTC

    Proxmox VE 9.1.1
    [Refresh]
    "#);
}

fn health(condition: Option<Condition>) -> PodHealth {
    let why = match condition {
        Some(Condition::Healthy) => None,
        _ => Some("10.20.0.7:8080 refuses the connection".to_owned()),
    };
    PodHealth { condition, since_ms: NOW - 180_000, answered_ms: Some(NOW - 4_000), why }
}

#[test]
fn how_a_pod_is_with_age_and_reason() {
    let check = Health::new(Probe::Http { port: 8080, path: "/ready".into(), status: 200 });
    let told = |health: &PodHealth| {
        let card = Card::new(Tone::Plain, "web-0").say(guest::health_line(health, &check, NOW));
        see(&card).lines().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(
        told(&health(Some(Condition::Healthy))),
        "✓ healthy for 3 min. Asked 4 s ago: GET :8080/ready is 200, every 10 s"
    );
    assert_eq!(
        told(&health(Some(Condition::Unhealthy))),
        "✗ unhealthy for 3 min: 10.20.0.7:8080 refuses the connection. Asked 4 s ago: GET :8080/ready is 200, every 10 s"
    );
}

#[test]
fn guests_on_pages() {
    let rows: Vec<Guest> =
        vec![guest("web-0", 201, GuestStatus::Running), guest("db-0", 202, GuestStatus::Stopped)];
    let card = guest_list(&GuestList {
        title: "Guests",
        rows: &rows,
        place: Place::clamp(1, 2, 57),
        filters: &["tag web".into()],
        hidden: 4,
        running: 30,
        unknown: 0,
        observed_ms: NOW - 4_000,
        health: &[Some(health(Some(Condition::Unhealthy))), None],
        faults: &[],
        screen: &screen(),
    });
    insta::assert_snapshot!(see(&card), @r#"
    Guests
    Only: tag web
    3–4 of 57 · page 2 of 29 · 30 running
    ● web-0 · CT 201 · pve1 · 42 % CPU · 300 MiB · ✗ unhealthy
    ○ db-0 · CT 202 · pve1 · stopped
    As of 2026-11-21 05:59:56 UTC. 4 more exist that you may not see.
    [Show one … ▾]
      - web-0 · CT 201 · pve1 · lab · running
      - db-0 · CT 202 · pve1 · lab · stopped
    [« First] [‹ Back] [Next ›] [Last »] [Refresh]
    "#);
}

#[test]
fn one_guest() {
    let card = guest_show(&GuestShow {
        guest: &guest("web-0", 201, GuestStatus::Running),
        disks: &["rootfs: local-lvm:vm-201-disk-0, 8 GiB".into()],
        nets: &["net0: name=eth0,bridge=vmbr0,ip=dhcp".into()],
        addresses: &["eth0: 10.20.0.7".into()],
        notes: "The shop's front door.",
        onboot: true,
        protected: false,
        snapshots: Some(2),
        ostype: Some("debian"),
        read_ms: NOW,
        stale: None,
        verbs: &[Choice {
            value: "guest.stop".into(),
            label: "Shut down web-0".into(),
            hint: "shut down".into(),
        }],
        screen: &screen(),
    });
    insta::assert_snapshot!(see(&card), @r#"
    ● web-0
    running for 1 d 2 h · CT 201 on pve1 · lab
    As of 2026-11-21 06:00:00 UTC

    CPU
      42 % of 2 cores

    Memory
      300 MiB of 1 GiB (29 %)

    Disk
      1 GiB of 8 GiB (12 %)

    Facts
      Tags: gantry, web
      Pool: prod
      System: debian
      Starts with its node
      2 snapshots

    Disks
      rootfs: local-lvm:vm-201-disk-0, 8 GiB

    Network
      net0: name=eth0,bridge=vmbr0,ip=dhcp

    Addresses
      eth0: 10.20.0.7

    Notes
      The shop's front door.
    [Do something with web-0 … ▾]
      - Shut down web-0 · shut down
    [Refresh]
    "#);
}
