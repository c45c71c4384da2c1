//! Tasks, short answers, help, and names from outside.

use super::*;

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
    let problem = |field: &str, why: &str| Problem { field: field.into(), why: why.into() };
    let problems = [
        problem("networks[0].vlan", "5000 is none; 1 to 4094"),
        problem("ssh_keys", "line 2 is no public key as in authorized_keys"),
    ];
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
    Several things are wrong. Nothing was created.
    • VLAN: 5000 is none; 1 to 4094
    • SSH keys: line 2 is no public key as in authorized_keys
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
    let rule = |effect, name: &str, verbs: &str, on: &str| gantry_core::policy::Rule {
        name: name.into(),
        effect,
        roles: vec![RoleId(10)],
        users: vec![],
        verbs: vec![verbs.to_owned().try_into().unwrap()],
        on: vec![on.to_owned().try_into().unwrap()],
        channels: vec![],
        guilds: vec![],
        confirm: None,
    };
    let gives = rule(Effect::Allow, "operators", "guest.stop", "pool:prod");
    let takes = rule(Effect::Deny, "critical guests are not deleted", "*", "tag:critical");
    let who = whoami(&actor(), &allowed, &denied, &[&gives, &takes]);
    let text = see(&help_page(&some, 12, None, &screen())) + "---\n" + &see(&who);
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
    Rights come from your roles alone and are looked at again on every press.

    You may
      guest.stop on pool:prod · rule operators

    Never, whatever else allows it
      everything on tag:critical · rule critical guests are not deleted

    You may not
      guest.delete, pod.delete · no rule gives your roles that
    "#);
}

#[test]
fn of_many_commands_the_most_used_come_first_and_a_menu_leads_to_all() {
    let first = help_page(PAGES, 0, None, &screen());
    let shown = see(&first);
    assert!(shown.contains("/cluster status quorum, nodes, storages"), "{shown}");
    let lines: usize = first.fields.iter().map(|f| f.lines.len()).sum();
    assert_eq!(lines, 12, "no more than a screen:\n{shown}");
    let Some(Row::Select(menu)) = first.rows.first() else { panic!("no menu:\n{shown}") };
    assert!(menu.choices.len() <= crate::paint::OPTIONS_MAX);
    let mut told = 0;
    for choice in &menu.choices {
        let group = help_page(PAGES, 0, Some(&choice.value), &screen());
        see(&group);
        told += group.fields.iter().map(|f| f.lines.len()).sum::<usize>();
    }
    assert_eq!(told, PAGES.len(), "every command stands in one group");
}

#[test]
fn who_may_do_everything_reads_so() {
    let allowed: Vec<_> = super::asked_for().map(|v| (v, "admins".to_owned())).collect();
    let card = whoami(&actor(), &allowed, &[], &[]);
    assert!(see(&card).contains("  everything · rule admins"), "{}", see(&card));
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
