//! Plans and operations, from the question to the end.

use super::*;

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
      ● 2026-11-21 06:00:08 UTC olga makes gantry send · delete
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
    ● 2026-11-21 06:00:08 UTC olga makes gantry send guest.delete web-0 (lab/201)
      delete
    ● 2026-11-21 06:00:02 UTC olga confirmed guest.delete web-0 (lab/201)
      rule admins
    ○ 2026-11-21 06:00:00 UTC olga asked for guest.delete web-0 (lab/201)
      rule admins
    1 on this page you may not see.
    [Refresh]
    "#);
}
