//! What a person sees: the cards of the main job as text, and each of them within Discord's limits.

use gantry_core::action::{Action, GuestRef, Tier, Verb};
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{
    AuditId, ChannelId, GuestKind, GuildId, OperationId, PlanId, RoleId, UserId,
};
use gantry_core::operation::{OpState, Operation, Outcome, Progress, Step, StepKind, StepState};
use gantry_core::plan::{LiveGuest, Plan, Planned, plan_guest};
use gantry_core::pod::{Condition, Health, Probe, Problem};
use gantry_core::policy::Actor;
use gantry_core::world::{ClusterView, Guest, GuestStatus, Node, NodeState, Storage};
use gantry_engine::{PodHealth, TaskLine, TaskLog};

use super::*;
use crate::fault::Fault;
use crate::paint::{paint, plain};
use crate::token::ScreenId;

/// 2026-11-21 06:00:00 UTC.
const NOW: i64 = 1_795_240_800_000;

fn screen() -> ScreenId {
    ScreenId::mint(NOW, "token", "view")
}

fn actor() -> Actor {
    Actor {
        user: UserId(7),
        name: "olga".into(),
        roles: vec![RoleId(10), RoleId(1)],
        guild: GuildId(1),
        channel: ChannelId(99),
        parent_channel: None,
    }
}

fn guest(name: &str, vmid: u32, status: GuestStatus) -> Guest {
    Guest {
        cluster: "lab".parse().unwrap(),
        vmid: vmid.try_into().unwrap(),
        kind: GuestKind::Lxc,
        name: name.into(),
        node: "pve1".parse().unwrap(),
        status,
        lock: None,
        tags: vec!["gantry".into(), "web".into()],
        pool: Some("prod".into()),
        template: false,
        cpu: 0.42,
        cores: 2.0,
        mem: 300 << 20,
        mem_max: 1 << 30,
        disk: 1 << 30,
        disk_max: 8 << 30,
        uptime_s: 93_600,
        ha: None,
    }
}

fn delete_plan() -> Plan {
    let live = LiveGuest {
        guest: guest("web-0", 201, GuestStatus::Running),
        digest: "d".into(),
        disks: vec!["rootfs: local-lvm:vm-201-disk-0, 8 GiB".into()],
        protected: false,
        snapshots: Some(2),
        read_ms: NOW,
    };
    let action = delete_action();
    let Planned::Ready(draft) = plan_guest(Verb::GuestDelete, &action, &live) else {
        panic!("not plannable")
    };
    Plan {
        id: PlanId::new(NOW, 1),
        verb: Verb::GuestDelete,
        action,
        asker: actor(),
        rule: "admins".into(),
        tier: Tier::TypedName,
        name: draft.name,
        target: draft.target,
        effects: draft.effects,
        changes: draft.changes,
        warnings: draft.warnings,
        steps: draft.steps,
        fingerprint: draft.fingerprint,
        digest: live.digest,
        observed_ms: NOW,
        created_ms: NOW,
        expires_ms: NOW + 600_000,
    }
}

fn delete_action() -> Action {
    Action::Delete {
        guest: GuestRef { cluster: "lab".parse().unwrap(), vmid: 201.try_into().unwrap() },
        kind: GuestKind::Lxc,
        timeout_s: 60,
    }
}

fn operation(state: OpState) -> Operation {
    let plan = delete_plan();
    let mut steps: Vec<Step> =
        [StepKind::Shutdown { timeout_s: 60 }, StepKind::Delete].map(Step::new).into();
    steps[0].state = StepState::Done;
    steps[0].attempt = 1;
    steps[0].intent_ms = Some(NOW);
    steps[0].ended_ms = Some(NOW + 8_000);
    steps[0].result = Some("OK".into());
    steps[1].state = StepState::Submitted;
    steps[1].attempt = 1;
    steps[1].intent_ms = Some(NOW + 8_000);
    Operation {
        id: OperationId::new(NOW, 2),
        plan: plan.id,
        verb: plan.verb,
        action: plan.action,
        name: plan.name,
        target: plan.target,
        state,
        steps,
        fingerprint: plan.fingerprint,
        digest: plan.digest,
        vmid: None,
        by: UserId(7),
        by_name: "olga".into(),
        created_ms: NOW,
        started_ms: Some(NOW),
        ended_ms: None,
        cancel_by: None,
        progress: Progress {
            log: vec!["Logical volume \"vm-201-disk-0\" removed".into()],
            percent: Some(50),
            remark: None,
            read_ms: NOW + 11_000,
        },
        outcome: None,
        broken: None,
    }
}

/// The card as text; painted besides, so that nothing here is ever cut.
fn see(card: &Card) -> String {
    assert!(paint(card).files.len() <= card.files.len(), "cut: {}", plain(card));
    plain(card)
}

#[test]
fn a_plan_before_anybody_said_yes() {
    insta::assert_snapshot!(see(&proposal(&delete_plan())), @r#"
    Delete web-0?
    web-0 (CT 201 on pve1, lab)
    • Shut CT 201 down, waiting up to 60 s; if it stays on, stop here.
    • Delete CT 201 with its disk and remove it from backup jobs, replication, HA and access lists.
    • Backups stay where they are.
    ⚠ 2 snapshots go with it.
    ⚠ This cannot be undone.
    You will be asked to type web-0.
    Asked by user 7 under rule admins.
    Lapses 2026-11-21 06:10:00 UTC.
    As of 2026-11-21 06:00:00 UTC

    What changes
      Status: running → gone
      Disk: rootfs: local-lvm:vm-201-disk-0, 8 GiB → gone

    ref pl_01M7YB1BR00000000000000001
    [Delete web-0] [Cancel]
    "#);
}

#[test]
fn a_plan_nobody_confirmed_in_time() {
    insta::assert_snapshot!(see(&dropped(&delete_plan(), "expired")), @r#"
    ○ Dropped: delete web-0
    Nobody confirmed it in time. Nothing was changed. Ask again if it is still wanted.
    web-0 (CT 201 on pve1, lab)

    ref pl_01M7YB1BR00000000000000001
    "#);
}

#[test]
fn an_operation_under_way() {
    insta::assert_snapshot!(see(&progress(&operation(OpState::Running), NOW + 12_000)), @r#"
    ● Deleting web-0
    ▰▰▰▰▰▰▰▱▱▱ 75 % · step 2 of 2: Deleting
    web-0 (CT 201 on pve1, lab)
    ✓ Shutting down · 8 s
    ● Deleting · running
    Running for 12 s, started 2026-11-21 06:00:00 UTC.
        Logical volume "vm-201-disk-0" removed
    As of 2026-11-21 06:00:11 UTC

    ref op_01M7YB1BR00000000000000002 · confirmed by olga
    [Cancel] [Details]
    "#);
}

#[test]
fn an_operation_that_waits_out_a_node() {
    let mut op = operation(OpState::Running);
    op.progress.remark = Some("pve1 does not answer; asking again every few seconds.".into());
    op.cancel_by = Some("otto".into());
    insta::assert_snapshot!(see(&progress(&op, NOW + 72_000)), @r#"
    ● Deleting web-0
    ▰▰▰▰▰▰▰▱▱▱ 75 % · step 2 of 2: Deleting
    web-0 (CT 201 on pve1, lab)
    ✓ Shutting down · 8 s
    ● Deleting · running
    Running for 1 min 12 s, started 2026-11-21 06:00:00 UTC.
    ⚠ pve1 does not answer; asking again every few seconds.
        Logical volume "vm-201-disk-0" removed
    Asked to stop by otto.
    As of 2026-11-21 06:00:11 UTC

    ref op_01M7YB1BR00000000000000002 · confirmed by olga
    [Details]
    "#);
}

#[test]
fn an_operation_that_worked() {
    let mut op = operation(OpState::Succeeded);
    op.ended_ms = Some(NOW + 12_000);
    op.outcome = Some(Outcome {
        summary: "CT 201 was deleted with its disk".into(),
        reason: Some("OK".into()),
        log: vec![],
        now: "CT 201 does not exist".into(),
        now_ms: Some(NOW + 12_000),
        advice: None,
    });
    insta::assert_snapshot!(see(&outcome(&op)), @r#"
    ✓ web-0 deleted
    CT 201 was deleted with its disk.
    Result: OK
    Now: CT 201 does not exist. Seen 2026-11-21 06:00:12 UTC.

    ref op_01M7YB1BR00000000000000002 · took 12 s · confirmed by olga
    [Details]
    "#);
}

#[test]
fn an_operation_that_failed() {
    let mut op = operation(OpState::Failed);
    op.ended_ms = Some(NOW + 12_000);
    op.steps[1].state = StepState::Failed;
    op.steps[1].result = Some("lvremove failed: exit code 5".into());
    op.outcome = Some(Outcome {
        summary: "The container was shut down, but not deleted".into(),
        reason: Some("lvremove failed: exit code 5".into()),
        log: vec![
            "  Logical volume in use.".into(),
            "TASK ERROR: lvremove failed: exit code 5".into(),
        ],
        now: "web-0 is stopped".into(),
        now_ms: Some(NOW + 12_000),
        advice: Some("Look at the storage with `/node status`, then delete it again".into()),
    });
    insta::assert_snapshot!(see(&outcome(&op)), @r#"
    ✗ Could not delete web-0
    The container was shut down, but not deleted.
    Result: lvremove failed: exit code 5
          Logical volume in use.
        TASK ERROR: lvremove failed: exit code 5
    Now: web-0 is stopped. Seen 2026-11-21 06:00:12 UTC.
    → Look at the storage with `/node status`, then delete it again.

    Steps
      ✓ Shutting down · 8 s
      ✗ Deleting · failed · lvremove failed: exit code 5

    ref op_01M7YB1BR00000000000000002 · took 12 s · confirmed by olga
    [Details]
    "#);
}

#[test]
fn an_operation_of_which_nobody_knows() {
    let mut op = operation(OpState::Unknown);
    op.ended_ms = Some(NOW + 300_000);
    op.outcome = Some(Outcome {
        summary: "The answer to the delete was lost and pve1 has not answered since".into(),
        reason: None,
        log: vec![],
        now: "web-0 was running".into(),
        now_ms: None,
        advice: Some("Check with `/guest show` once pve1 is back".into()),
    });
    insta::assert_snapshot!(see(&outcome(&op)), @r#"
    ? Not known: was web-0 deleted?
    The answer to the delete was lost and pve1 has not answered since.
    Last known: web-0 was running. It could not be looked at again.
    → Check with `/guest show` once pve1 is back.
    web-0 (CT 201 on pve1, lab)

    Steps
      ✓ Shutting down · 8 s
      ? Deleting · not known how it ended

    ref op_01M7YB1BR00000000000000002 · took 5 min · confirmed by olga
    [Details]
    "#);
}

#[test]
fn one_operation_with_its_trail() {
    let row = |n: i64, event, detail: &str| {
        AuditRow::by(
            AuditId::new(NOW + n, 1),
            NOW + n * 1000,
            event,
            &actor(),
            Verb::GuestDelete,
            "web-0 (lab/201)",
            detail,
        )
    };
    let trail = [
        row(8, AuditEvent::AboutTo, "delete"),
        row(2, AuditEvent::Confirmed, "rule admins"),
        row(0, AuditEvent::Proposed, "rule admins"),
    ];
    let card = op_show(&operation(OpState::Running), &trail, 5, NOW + 12_000);
    insta::assert_snapshot!(see(&card), @r#"
    ● Delete web-0
    running · web-0 (CT 201 on pve1, lab)
    Confirmed by olga 2026-11-21 06:00:00 UTC
    Running for 12 s.
        Logical volume "vm-201-disk-0" removed

    Steps
      ✓ Shutting down · 8 s
      ● Deleting · running

    Who did what
      ● 2026-11-21 06:00:08 UTC olga has gantry send · delete
      ● 2026-11-21 06:00:02 UTC olga confirmed · rule admins
      ○ 2026-11-21 06:00:00 UTC olga asked for · rule admins
      … 2 older

    ref op_01M7YB1BR00000000000000002 · plan pl_01M7YB1BR00000000000000001
    [Cancel]
    "#);
    let list = AuditList {
        rows: &trail,
        place: Place::clamp(0, 10, 3),
        filters: &[],
        hidden: 1,
        screen: &screen(),
    };
    insta::assert_snapshot!(see(&audit_list(&list)), @r#"
    Audit log
    3 in all
    ● 2026-11-21 06:00:08 UTC olga has gantry send guest.delete web-0 (lab/201)
      delete
    ● 2026-11-21 06:00:02 UTC olga confirmed guest.delete web-0 (lab/201)
      rule admins
    ○ 2026-11-21 06:00:00 UTC olga asked for guest.delete web-0 (lab/201)
      rule admins
    1 on this page you may not see.
    [Refresh]
    "#);
}

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
    ⚠ Nodes missing: lab
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
      ? pve3 unreachable since 2026-11-21 05:56:00 UTC · no answer within 3 s
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

#[test]
fn one_task() {
    let upid = "UPID:pve1:0000ABCD:0001E240:6563A1B2:vzdump:201:root@pam:";
    let task = TaskLine {
        upid: upid.parse().unwrap(),
        started_ms: NOW - 90_000,
        ended_ms: None,
        status: None,
    };
    let log = TaskLog { lines: vec!["INFO: 42%".into()], start: 30, total: 31 };
    insta::assert_snapshot!(see(&task_show("lab", &task, &log, NOW, true, &screen())), @r#"
    ● vzdump 201
    running
    pve1 · lab · by root@pam
    Started 2026-11-21 05:58:30 UTC, running for 1 min 30 s
        INFO: 42%
    30 earlier lines: /task log
    UPID:pve1:0000ABCD:0001E240:6563A1B2:vzdump:201:root@pam:
    As of 2026-11-21 06:00:00 UTC
    [Do something with it … ▾]
      - Stop this task · What it did so far stays; you are asked first
    [Refresh]
    "#);
}

#[test]
fn short_answers() {
    let both = [guest("db", 100, GuestStatus::Running), guest("db", 101, GuestStatus::Stopped)];
    let problems = [Problem { field: "vlan".into(), why: "1 to 4094".into() }];
    let fault = Fault::new(
        "Could not show web-0",
        "pve2 did not answer within 10 s; nothing was changed",
        "Try again, or `/node status`",
        "in_1",
    );
    let all = [
        choice(Verb::GuestStop, "db", &both, 0, &screen()),
        unknown_guest(Verb::GuestStop, "wep-0", &["web-0 (lab/201)".into()]),
        refusal(Verb::GuestDelete, "web-0", "no rule gives your roles `guest.delete`"),
        super::fault(&fault),
        super::problems("pod", "web-1", &problems, &screen()),
        changed("its status was stopped and is now running"),
    ];
    let text: Vec<String> = all.iter().map(see).collect();
    insta::assert_snapshot!(text.join("---\n"), @r#"
    Which db?
    2 guests answer to that. Nothing was done yet.
    [Shut down … ▾]
      - db · CT 100 · pve1 · lab · running
      - db · CT 101 · pve1 · lab · stopped
    ---
    ✗ No guest wep-0
    Nothing was done. Write a name, a number such as 201, or cluster/number.
    Did you mean:
    • web-0 (lab/201)
    ---
    ✗ Not allowed
    You asked for /guest delete on web-0.
    Why: no rule gives your roles `guest.delete`.
    Nothing was done. `/whoami` shows what you may do; whoever runs gantry can change it.
    ---
    ✗ Could not show web-0
    pve2 did not answer within 10 s; nothing was changed.
    → Try again, or `/node status`.

    ref in_1
    ---
    ✗ Cannot plan pod web-1
    One thing is wrong. Nothing was created.
    • vlan: 1 to 4094
    What comes from the command itself (name, image, cores, memory, disk, …) needs the command again.
    [Edit again]
    ---
    ⚠ Not done: things changed meanwhile
    What changed: its status was stopped and is now running.
    The message now shows the new plan. Look at it, then press again.
    "#);
}

#[test]
fn what_an_operator_may_do() {
    let some: Vec<HelpEntry> = PAGES
        .iter()
        .filter(|p| matches!(p.verb, Verb::GuestStop | Verb::GuestDelete | Verb::Help))
        .copied()
        .collect();
    let allowed = [(Verb::GuestStop, "operators".to_owned())];
    let denied = [
        (Verb::GuestDelete, "no rule gives your roles `guest.delete`".to_owned()),
        (Verb::PodDelete, "no rule gives your roles `pod.delete`".to_owned()),
    ];
    let text = see(&help_page(&some, 12)) + "---\n" + &see(&whoami(&actor(), &allowed, &denied));
    insta::assert_snapshot!(text, @r#"
    What you can do here
    12 more commands exist that your roles may not run in this channel.
    `stop` shuts down gracefully; only `kill` pulls the plug. Whatever changes something shows its plan first or its progress after.

    Guests: containers and machines
      /guest stop guest:web-0 the same as shutdown · asks first
      /guest delete guest:web-0 delete with its disks · asks for the name

    Yourself
      /help this page
    ---
    olga
    user 7 · user 7
    Roles: <@&10> @everyone 
    Channel: <#99>
    Rights come from your roles alone and are looked at again on every press. Some rules cover only some guests.

    You may
      guest.stop · rule operators

    You may not
      guest.delete, pod.delete · no rule gives your roles that
    "#);
}

#[test]
fn the_whole_help_page_fits() {
    assert_eq!(paint(&help_page(PAGES, 0)).files, []);
}

#[test]
fn names_from_outside_are_never_markdown() {
    let evil = "@everyone **x** <@1> [a](https://b)";
    let mut plan = delete_plan();
    plan.name = evil.into();
    plan.target = format!("{evil} (CT 201 on pve1, lab)");
    plan.effects = vec![format!("Delete {evil} with its disk.")];
    let painted = paint(&proposal(&plan));
    let shown = "\\@everyone \\*\\*x\\*\\* \\<@1> \\[a\\](https\\://b)";
    assert_eq!(painted.title, format!("Delete {shown}?"));
    assert!(painted.description.contains(&format!("Delete {shown} with its disk.")));
    // A button shows no markdown, so its label is the name itself.
    match &painted.rows[0] {
        Row::Buttons(buttons) => assert_eq!(buttons[0].label, format!("Delete {evil}")),
        Row::Select(_) => panic!("no buttons"),
    }
}
