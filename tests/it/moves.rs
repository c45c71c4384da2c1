//! Guests moved to other nodes: by command, from an alert's message, by high availability; refused with the reason; once,
//! whatever is lost or killed.

use std::time::Duration;

use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, Trouble};
use serde_json::{Value, json};

use crate::alerts::{config, first_look, id_of, told};
use crate::bot_test;
use crate::crash::{Case, through_all_moments};
use crate::harness::{Bot, Reply, text_of, until};
use crate::lost::goes_wrong;

/// Where Proxmox has a guest.
fn node_of(bot: &Bot, vmid: u32) -> String {
    bot.proxmox.guest(vmid).unwrap().node
}

/// What an answer says, without markdown's escapes.
pub fn plain(reply: &Reply) -> String {
    reply.text().replace('\\', "")
}

/// The message in a channel that says `text`, as somebody sees it.
async fn says(bot: &Bot, channel: &str, who: &str, text: &str) -> u64 {
    let find = || {
        let seen = bot.discord.messages(channel, who).unwrap_or_default();
        seen.iter().rev().find(|m: &&Value| text_of(m).contains(text)).map(id_of)
    };
    until(&format!("somebody says “{text}”"), async || find().is_some()).await;
    find().unwrap()
}

bot_test! {
    async fn a_running_container_is_shut_down_moved_and_started(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running()).await;
        let question = bot.admin().runs("/guest migrate guest:shop to:pve2").await;
        let text = plain(&question);
        assert!(text.contains("Shut CT 5000 down, move it from pve1 to pve2"), "{text}");
        assert!(text.contains("cannot be reached"), "{text}");
        assert_eq!(bot.changes(), Vec::<String>::new(), "nothing before the press");
        bot.admin().confirms(&question, "").await;
        let said = bot.until_says(question.message, "was moved to pve2").await;
        assert!(said.contains("on pve2, lab) is running"), "{said}");
        assert_eq!(node_of(bot, 5000), "pve2");
        assert_eq!(bot.changes(), ["shutdown 5000", "migrate 5000", "start 5000"]);
        let audit = bot.audit().await;
        assert!(audit.iter().any(|r| r.starts_with("confirmed guest.migrate")), "{audit:?}");
    }
}

bot_test! {
    async fn a_running_machine_is_moved_live_with_its_local_disks(bot: &mut Bot) {
        bot.has_guest(GuestSpec::qemu(5000, "db").running()).await;
        let question = bot.admin().runs("/guest migrate guest:db to:pve2").await;
        assert!(question.text().contains("while it goes on running"), "{}", question.text());
        assert!(plain(&question).contains("Copy local-lvm:vm-5000-disk-0"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "was moved to pve2").await;
        assert_eq!((node_of(bot, 5000).as_str(), bot.changes()), ("pve2", vec!["migrate 5000".to_owned()]));
    }
}

bot_test! {
    async fn what_cannot_be_moved_is_refused_with_the_reason(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running()).await;
        bot.has_guest(GuestSpec::lxc(5001, "kept").snapshot("old")).await;
        bot.has_guest(GuestSpec::lxc(5002, "busy").locked("backup")).await;
        bot.has_guest(GuestSpec::qemu(5003, "tied").set("hostpci0", "0000:01:00.0")).await;
        bot.has_guest(GuestSpec::lxc(5004, "bound").set("mp0", "/srv/data,mp=/data")).await;
        bot.has_guest(GuestSpec::lxc(5005, "zfs").on("pve4").disk("local-zfs", 8)).await;
        for (command, why) in [
            ("/guest migrate guest:shop to:pve1", "is on pve1 already"),
            ("/guest migrate guest:shop to:pve9", "has no node pve9"),
            ("/guest migrate guest:shop to:pve2 restart:False", "restart:True"),
            ("/guest migrate guest:kept to:pve2", "Delete them first"),
            ("/guest migrate guest:busy to:pve2", "locked by Proxmox (backup)"),
            ("/guest migrate guest:tied to:pve2", "hostpci0"),
            ("/guest migrate guest:bound to:pve2", "a path on pve1"),
            ("/guest migrate guest:zfs to:pve1", "has no storage of that name"),
        ] {
            let answer = bot.admin().runs(command).await;
            assert!(plain(&answer).contains(why), "{command}: {}", answer.text());
            assert!(answer.is_ephemeral(), "{command}");
        }
        bot.trouble(Trouble::NodeDown { node: "pve3".into() });
        bot.looks().await;
        let answer = bot.admin().runs("/guest migrate guest:shop to:pve3").await;
        assert!(answer.text().contains("pve3 is not online"), "{}", answer.text());
        let viewer = bot.viewer().runs("/guest migrate guest:shop to:pve2").await;
        assert!(viewer.text().contains("Not allowed"), "{}", viewer.text());
        assert_eq!(bot.changes(), Vec::<String>::new());
    }
}

bot_test! {
    async fn a_world_that_changed_gives_a_new_plan(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running()).await;
        let question = bot.admin().runs("/guest migrate guest:shop to:pve2").await;
        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "It is off and stays off").await;
        assert_eq!(bot.changes(), Vec::<String>::new());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "was moved to pve2").await;
        assert_eq!(bot.changes(), ["migrate 5000"]);
    }
}

bot_test! {
    async fn high_availability_is_followed_to_its_real_end(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().managed()).await;
        let question = bot.admin().runs("/guest migrate guest:shop to:pve2").await;
        assert!(question.text().contains("High availability carries it out"), "{}", question.text());
        // Its own task takes long after the one that asked for it has ended.
        bot.trouble(Trouble::TaskSlow { task: "vzmigrate".into(), seconds: 1.0 });
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "High availability moves it").await;
        bot.until_says(question.message, "was moved to pve2").await;
        assert_eq!(node_of(bot, 5000), "pve2");
        bot.proxmox.clear_all_trouble();
        // What it did not manage is told, with its own words.
        bot.trouble(Trouble::TaskFails {
            task: "vzmigrate".into(),
            exitstatus: "no space left".into(),
            times: Some(1),
        });
        bot.looks().await;
        let question = bot.admin().runs("/guest migrate guest:shop to:pve3").await;
        bot.admin().confirms(&question, "").await;
        let text = bot.until_says(question.message, "its move failed: no space left").await;
        assert!(text.contains("on pve2"), "{text}");
    }
}

bot_test! {
    async fn from_an_alert_a_guest_is_moved_and_a_snapshot_taken(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.configured(&config("")).await;
        first_look(bot).await;
        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        let alert = told(bot, "Guest went off: shop (CT 5000)").await;
        let menu = bot.custom_id(alert, "remedy");
        // A viewer is refused, whatever the menu offers.
        let picked = bot.discord.select(alert, "viewer", &menu, &["guest.migrate lab/5000"]).await.unwrap();
        assert_eq!(picked.error, None, "{picked:?}");
        says(bot, "#alerts", "viewer", "Not allowed").await;

        let picked = bot.discord.select(alert, "operator", &menu, &["guest.migrate lab/5000"]).await.unwrap();
        assert_eq!(picked.error, None, "{picked:?}");
        let where_to = says(bot, "#alerts", "operator", "to which node").await;
        let nodes = bot.custom_id(where_to, "pick");
        bot.discord.select(where_to, "operator", &nodes, &["pve2"]).await.unwrap();
        let plan = says(bot, "#alerts", "operator", "It is off and stays off").await;
        let confirm = bot.custom_id(plan, "confirm");
        bot.discord.press(plan, "operator", &confirm).await.unwrap();
        bot.until_says(plan, "was moved to pve2").await;

        let picked = bot.discord.select(alert, "operator", &menu, &["guest.snapshot.create lab/5000"]).await.unwrap();
        assert_eq!(picked.error, None, "{picked:?}");
        let plan = says(bot, "#alerts", "operator", "Take the snapshot").await;
        let confirm = bot.custom_id(plan, "confirm");
        bot.discord.press(plan, "operator", &confirm).await.unwrap();
        bot.until_says(plan, "has the snapshot gantry-").await;
        assert_eq!(bot.changes(), ["migrate 5000", "snapshot 5000"]);
    }
}

bot_test! {
    async fn own_moves_are_no_news_to_the_alerts(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.configured(&config("")).await;
        first_look(bot).await;
        let question = bot.admin().runs("/guest migrate guest:shop to:pve2").await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "was moved to pve2").await;
        bot.clock.advance(Duration::from_secs(120));
        bot.looks().await;
        // Something else, told after it, shows that alerts were looked at meanwhile.
        bot.trouble(Trouble::FillStorage { node: "pve1".into(), storage: "local-lvm".into(), percent: 90.0 });
        told(bot, "Storage fills up: local-lvm on pve1").await;
        let seen = bot.discord.messages("#alerts", "admin").unwrap();
        for text in seen.iter().map(text_of).filter(|t| t.contains("shop")) {
            assert!(!["went off", "changed by others", "migrate"].iter().any(|w| text.contains(w)), "{text}");
        }
    }
}

bot_test! {
    async fn a_move_is_made_once_wherever_it_is_killed(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["shutdown", "migrate", "start"] };
        through_all_moments(bot, case, async |bot, round| {
            let vmid = 5000 + u32::try_from(round).unwrap();
            bot.has_guest(GuestSpec::lxc(vmid, &format!("move-{round}")).running()).await;
            let question = bot.admin().runs(&format!("/guest migrate guest:{vmid} to:pve2")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_move_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "POST /nodes/*/lxc/*/migrate", "vzmigrate", "migrate", async |bot, round| {
            let (vmid, name) = (5000 + round as u32, format!("lost-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name)).await;
            let question = bot.admin().runs(&format!("/guest migrate guest:{name} to:pve2")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_live_move_whose_answer_is_lost_is_found(bot: &mut Bot) {
        bot.has_guest(GuestSpec::qemu(5000, "db").running()).await;
        bot.trouble(Trouble::AnswerLost { matching: "POST /nodes/*/qemu/*/migrate".into(), times: Some(1) });
        let question = bot.admin().runs("/guest migrate guest:db to:pve3").await;
        bot.admin().confirms(&question, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!((op.state, op.steps[0].adopted), (OpState::Succeeded, true), "{:?}", op.outcome);
        assert_eq!(bot.changes(), ["migrate 5000"]);
    }
}

/// Asks for a move of guest 5000 that takes long, and waits until its disk is being copied.
async fn copies(bot: &Bot) -> Reply {
    for task in ["qmigrate", "vzmigrate"] {
        bot.trouble(Trouble::TaskSlow { task: task.into(), seconds: 20.0 });
    }
    let question = bot.confirmed("/guest migrate guest:5000 to:pve2", "").await;
    until("its disk is being copied", async || {
        bot.newest().await.is_some_and(|op| op.progress.percent.is_some())
    })
    .await;
    question
}

/// The guest is where it was and runs; nothing was moved.
fn stayed(bot: &Bot, said: &str) {
    let guest = bot.proxmox.guest(5000).unwrap();
    assert_eq!((guest.node.as_str(), guest.status.as_str()), ("pve1", "running"), "{said}");
    assert!(said.replace('\\', "").contains("on pve1, lab) is running"), "{said}");
    assert_eq!(bot.proxmox.count("migrate", 5000), 0);
}

bot_test! {
    async fn a_live_move_that_fails_says_where_the_machine_is_and_what_it_left(bot: &mut Bot) {
        bot.has_guest(GuestSpec::qemu(5000, "db").running()).await;
        for exitstatus in ["migration problems", "unexpected status"] {
            let task = "qmigrate".to_owned();
            bot.trouble(Trouble::TaskFails { task, exitstatus: exitstatus.into(), times: Some(1) });
            let question = bot.confirmed("/guest migrate guest:db to:pve2", "").await;
            let said = bot.until_says(question.message, "Could not move").await;
            assert!(said.contains(exitstatus), "{said}");
            assert_eq!(bot.settle().await[0].state, OpState::Failed);
            stayed(bot, &said);
            // A worker that was killed could not take its lock off any more.
            let locked = exitstatus == "unexpected status";
            assert_eq!(said.contains("locked (migrate)"), locked, "{said}");
            assert_eq!(said.contains("/guest unlock"), locked, "{said}");
        }
        let refused = bot.admin().runs("/guest migrate guest:db to:pve2").await;
        assert!(plain(&refused).contains("locked by Proxmox (migrate)"), "{}", refused.text());
        let question = bot.confirmed("/guest unlock guest:db", "db").await;
        bot.until_says(question.message, "was taken off").await;
        bot.settle().await;
        let question = bot.confirmed("/guest migrate guest:db to:pve2", "").await;
        bot.until_says(question.message, "was moved to pve2").await;
        assert_eq!(node_of(bot, 5000), "pve2");
    }
}

bot_test! {
    async fn a_move_whose_target_is_lost_on_the_way_ends_where_it_began(bot: &mut Bot) {
        for (guest, why) in [
            (GuestSpec::qemu(5000, "db"), "online migrate failure"),
            (GuestSpec::lxc(5000, "shop"), "failed: exit code 255"),
        ] {
            bot.has_guest(guest.running()).await;
            bot.proxmox.forget();
            let question = copies(bot).await;
            let down = bot.trouble(Trouble::NodeDown { node: "pve2".into() });
            let said = bot.until_says(question.message, "Could not move").await;
            assert!(said.replace('\\', "").contains(why), "{said}");
            assert_eq!(bot.settle().await[0].state, OpState::Failed);
            stayed(bot, &said);
            bot.proxmox.clear_trouble(down);
            bot.meddles(&json!({"action": "destroy", "vmid": 5000}));
        }
    }
}

bot_test! {
    async fn a_machine_whose_new_node_is_lost_as_it_arrives_is_not_said_to_run(bot: &mut Bot) {
        bot.has_guest(GuestSpec::qemu(5000, "db").running()).await;
        // Its task has ended well; before that can be seen, the node is gone, and so is the process.
        let lost = async |bot: &Bot| {
            let question = bot.confirmed("/guest migrate guest:db to:pve2", "").await;
            until("it has arrived", async || node_of(bot, 5000) == "pve2").await;
            bot.trouble(Trouble::NodeDown { node: "pve2".into() });
            question
        };
        let (dies, question) = bot.dies_at("before verify", 0, lost).await;
        assert!(dies);
        bot.until_says(question.message, "Checking").await;
        bot.clock.advance(Duration::from_secs(301));
        let said = bot.until_says(question.message, "could not be checked").await;
        assert!(said.contains("not known") && said.contains("pve2"), "{said}");
        assert_eq!(bot.settle().await[0].state, OpState::Unknown);
        assert_eq!(bot.changes(), ["migrate 5000"]);
    }
}

bot_test! {
    async fn a_live_move_that_somebody_stops_leaves_the_machine_running_where_it_was(bot: &mut Bot) {
        bot.has_guest(GuestSpec::qemu(5000, "db").running()).await;
        let question = copies(bot).await;
        bot.admin().does(&question, "cancel-op").await;
        let said = bot.until_says(question.message, "Stopped by").await;
        // Proxmox's own end says little; its log says why.
        for words in ["during: migrate", "migration problems", "interrupted by signal"] {
            assert!(said.contains(words), "{words} is not in:\n{said}");
        }
        assert_eq!(bot.settle().await[0].state, OpState::Cancelled);
        stayed(bot, &said);
        assert_eq!(bot.proxmox.guest(5000).unwrap().lock, None);
    }
}
