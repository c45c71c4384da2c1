//! Snapshots of guests: taken, listed, deleted, rolled back to; refused with the reason; once, whatever is lost or killed.

use gantry_core::operation::OpState;
use proxmox_twin::GuestSpec;
use serde_json::json;

use crate::bot_test;
use crate::crash::{Case, through_all_moments};
use crate::lost::goes_wrong;
use crate::moves::plain;

bot_test! {
    async fn a_snapshot_is_taken_listed_and_deleted(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running()).await;
        let question = bot
            .admin()
            .runs("/guest snapshot create guest:shop name:before-upgrade note:\"the big one\"")
            .await;
        assert!(question.text().contains("as after a power cut"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "has the snapshot before-upgrade").await;
        let list = bot.viewer().runs("/guest snapshot list guest:shop").await;
        assert!(plain(&list).contains("before-upgrade"), "{}", list.text());
        assert!(list.text().contains("the big one"), "{}", list.text());
        assert!(list.is_ephemeral());
        let question = bot.admin().runs("/guest snapshot delete guest:shop snapshot:before-upgrade").await;
        assert!(question.text().contains("cannot be undone"), "{}", question.text());
        bot.admin().confirms(&question, "shop").await;
        bot.until_says(question.message, "was deleted").await;
        assert_eq!(bot.changes(), ["snapshot 5000", "delsnapshot 5000"]);
        let audit = bot.audit().await;
        for verb in ["guest.snapshot.create", "guest.snapshot.delete"] {
            assert!(audit.iter().any(|r| r.starts_with(&format!("confirmed {verb}"))), "{audit:?}");
        }
    }
}

bot_test! {
    async fn rolling_back_says_since_when_and_starts_what_ran(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().snapshot("old").snapshot("newer")).await;
        let list = bot.admin().runs("/guest snapshot list guest:shop").await;
        let menu = bot.custom_id(list.message, "pick");
        let picked = bot.discord.select(list.message, "admin", &menu, &["guest.snapshot.rollback newer"]).await.unwrap();
        assert_eq!(picked.error, None, "{picked:?}");
        let question = bot.admin().runs("/guest snapshot rollback guest:shop snapshot:old").await;
        let text = plain(&question);
        assert!(text.contains("Everything written since 20"), "{text}");
        assert!(text.contains("Snapshots taken later stay: newer"), "{text}");
        // The wrong name does nothing.
        bot.admin().confirms(&question, "shop-1").await;
        assert_eq!(bot.changes(), Vec::<String>::new());
        bot.admin().confirms(&question, "shop").await;
        let said = bot.until_says(question.message, "was rolled back to the snapshot old").await;
        assert!(said.contains("is running"), "{said}");
        assert_eq!(bot.changes(), ["rollback 5000", "start 5000"]);
    }
}

bot_test! {
    async fn what_cannot_be_done_is_refused_with_the_reason(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "plain").disk("local", 8)).await;
        bot.has_guest(GuestSpec::lxc(5001, "shop").snapshot("old").running()).await;
        bot.has_guest(GuestSpec::lxc(5002, "busy").locked("snapshot")).await;
        bot.has_guest(GuestSpec::lxc(5003, "zfs").on("pve4").disk("local-zfs", 8).snapshot("a1").snapshot("a2")).await;
        for (command, why) in [
            ("/guest snapshot create guest:plain name:now", "its disks lie on local (dir)"),
            ("/guest snapshot create guest:shop name:old", "already"),
            ("/guest snapshot create guest:shop name:current", "keeps that word"),
            ("/guest snapshot create guest:shop name:1st", "the first one a letter"),
            ("/guest snapshot create guest:shop name:now memory:True", "is a container"),
            ("/guest snapshot create guest:busy name:now", "locked by Proxmox (snapshot)"),
            ("/guest snapshot rollback guest:shop snapshot:never", "It has old."),
            ("/guest snapshot rollback guest:zfs snapshot:a1", "only the newest snapshot"),
            ("/guest snapshot delete guest:shop snapshot:never", "has no snapshot"),
        ] {
            let answer = bot.admin().runs(command).await;
            assert!(plain(&answer).contains(why), "{command}: {}", answer.text());
        }
        for command in [
            "/guest snapshot create guest:shop",
            "/guest snapshot delete guest:shop snapshot:old",
            "/guest snapshot rollback guest:shop snapshot:old",
        ] {
            let viewer = bot.viewer().runs(command).await;
            assert!(viewer.text().contains("Not allowed"), "{command}: {}", viewer.text());
        }
        assert_eq!(bot.changes(), Vec::<String>::new());
    }
}

bot_test! {
    async fn a_snapshot_that_came_meanwhile_gives_a_new_plan(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").snapshot("old")).await;
        let question = bot.admin().runs("/guest snapshot rollback guest:shop snapshot:old").await;
        bot.meddles(&json!({"action": "start", "vmid": 5000}));
        bot.admin().confirms(&question, "shop").await;
        bot.until_says(question.message, "Pull the plug of CT 5000").await;
        assert_eq!(bot.changes(), Vec::<String>::new());
    }
}

bot_test! {
    async fn a_machine_keeps_its_memory(bot: &mut Bot) {
        bot.has_guest(GuestSpec::qemu(5000, "db").running()).await;
        let question = bot.admin().runs("/guest snapshot create guest:db name:with-ram memory:True").await;
        assert!(question.text().contains("Its memory is kept"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "has the snapshot with-ram").await;
        bot.looks().await;
        let question = bot.admin().runs("/guest snapshot rollback guest:db snapshot:with-ram").await;
        assert!(question.text().contains("It runs on from there"), "{}", question.text());
        bot.admin().confirms(&question, "db").await;
        bot.until_says(question.message, "was rolled back").await;
        let op = bot.settle().await.remove(0);
        assert_eq!((op.state, op.steps.len()), (OpState::Succeeded, 1));
    }
}

bot_test! {
    async fn a_snapshot_is_taken_once_wherever_it_is_killed(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["snapshot"] };
        through_all_moments(bot, case, async |bot, round| {
            let vmid = 5000 + u32::try_from(round).unwrap();
            bot.has_guest(GuestSpec::lxc(vmid, &format!("snap-{round}"))).await;
            let question = bot.admin().runs(&format!("/guest snapshot create guest:{vmid} name:now")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_snapshot_is_deleted_once_wherever_it_is_killed(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["delsnapshot"] };
        through_all_moments(bot, case, async |bot, round| {
            let (vmid, name) = (5000 + u32::try_from(round).unwrap(), format!("snap-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name).snapshot("old")).await;
            let question = bot.admin().runs(&format!("/guest snapshot delete guest:{vmid} snapshot:old")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_rollback_is_made_once_wherever_it_is_killed(bot: &mut Bot) {
        let case = Case { steps: 2, done: &["rollback", "start"] };
        through_all_moments(bot, case, async |bot, round| {
            let (vmid, name) = (5000 + u32::try_from(round).unwrap(), format!("back-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name).snapshot("old").running()).await;
            let question = bot.admin().runs(&format!("/guest snapshot rollback guest:{vmid} snapshot:old")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_snapshot_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "POST /nodes/*/lxc/*/snapshot", "vzsnapshot", "snapshot", async |bot, round| {
            let (vmid, name) = (5000 + round as u32, format!("lost-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name)).await;
            let question = bot.admin().runs(&format!("/guest snapshot create guest:{name} name:now")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_deletion_of_a_snapshot_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "DELETE /nodes/*/lxc/*/snapshot/*", "vzdelsnapshot", "delsnapshot", async |bot, round| {
            let (vmid, name) = (5000 + round as u32, format!("lost-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name).snapshot("old")).await;
            let question = bot.admin().runs(&format!("/guest snapshot delete guest:{name} snapshot:old")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_rollback_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "POST /nodes/*/lxc/*/snapshot/*/rollback", "vzrollback", "rollback", async |bot, round| {
            let (vmid, name) = (5000 + round as u32, format!("lost-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name).snapshot("old")).await;
            let question = bot.admin().runs(&format!("/guest snapshot rollback guest:{name} snapshot:old")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}
