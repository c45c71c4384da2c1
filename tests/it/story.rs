//! The main job as a person sees it: ask, look at the plan, confirm, watch, read what came of it.

use gantry_core::operation::OpState;
use proxmox_twin::GuestSpec;

use crate::bot_test;

bot_test! {
    async fn what_comes_to_nothing_is_told_to_whoever_asked_and_to_nobody_else(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running()).await;
        let before = bot.viewer().sees();
        // Found out only after the command was acknowledged for the whole channel.
        for (command, told) in [
            ("/guest start guest:shop", "Nothing to do"),
            ("/set create name:x replicas:1 image:local:vztmpl/none.tar vmids:7000-7010", "Cannot create set"),
            ("/bridge delete bridge:vmbr77 node:pve1", "vmbr77"),
        ] {
            let answer = bot.admin().runs(command).await;
            assert!(answer.is_ephemeral() && answer.text().contains(told), "{command}: {}", answer.text());
        }
        assert_eq!(bot.viewer().sees(), before);
    }
}

bot_test! {
    async fn a_pod_from_birth_to_death(bot: &mut Bot) {
        let question = bot.asks_for_pod("young-0").await;
        assert!(!question.is_ephemeral(), "the channel sees what is proposed");
        let text = question.text();
        for words in ["young-0", "pve1", "Memory", "512 MiB"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        bot.admin().confirms(&question, "").await;
        let text = bot.until_says(question.message, "was created as CT").await;
        assert!(text.contains("OK"), "{text}");
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded);
        let vmid = op.vmid.unwrap();
        let guest = bot.proxmox.guest(vmid.get()).unwrap();
        assert_eq!((guest.name.as_str(), guest.status.as_str()), ("young-0", "running"));

        bot.looks().await;
        let shown = bot.operator().runs("/pod show pod:young-0").await;
        assert!(shown.is_ephemeral());
        assert!(shown.text().contains("running"), "{}", shown.text());

        let question = bot.admin().runs("/pod delete pod:young-0").await;
        assert!(question.text().contains("cannot be undone"), "{}", question.text());
        bot.admin().confirms(&question, "young-0").await;
        bot.until_says(question.message, "was deleted").await;
        bot.settle().await;
        assert!(bot.proxmox.guest(vmid.get()).is_none());
        let did = bot.changes();
        assert_eq!(
            did,
            [format!("create {vmid}"), format!("start {vmid}"), format!("shutdown {vmid}"), format!("destroy {vmid}")]
        );
        let audit = bot.admin().runs("/audit list").await;
        for words in ["Ada", "young-0", "delete"] {
            assert!(audit.text().contains(words), "{}", audit.text());
        }
        assert_eq!(
            bot.audit().await,
            [
                "proposed pod.create by Ada (admin)",
                "confirmed pod.create by Ada (admin)",
                "about-to pod.create by Ada (admin)",
                "about-to pod.create by Ada (admin)",
                "ended pod.create by Ada (admin)",
                "proposed pod.delete by Ada (admin)",
                "confirmed pod.delete by Ada (admin)",
                "about-to pod.delete by Ada (admin)",
                "about-to pod.delete by Ada (admin)",
                "ended pod.delete by Ada (admin)",
            ]
        );
    }
}

bot_test! {
    async fn a_pod_is_known_by_its_notes_when_the_database_is_lost(bot: &mut Bot) {
        let question = bot.asks_for_pod("young-0").await;
        bot.admin().confirms(&question, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded);
        let vmid = op.vmid.unwrap();
        bot.engine().store().remove_pod(op.action.cluster(), vmid).await.unwrap();
        bot.looks().await;
        let shown = bot.admin().runs("/pod show pod:young-0").await;
        assert!(shown.text().contains("512"), "{}", shown.text());
    }
}

bot_test! {
    async fn every_command_answers(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        let task = {
            bot.admin().runs("/guest reboot guest:shop").await;
            bot.proxmox.tasks()
        };
        drop(task);
        for command in [
            "/cluster status",
            "/node list",
            "/node status node:pve1",
            "/guest list",
            "/guest show guest:shop",
            "/pod list",
            "/task list",
            "/op list",
            "/audit list",
            "/help",
            "/whoami",
        ] {
            for person in [bot.admin(), bot.operator(), bot.viewer()] {
                let reply = person.runs(command).await;
                assert!(reply.is_ephemeral(), "{command}");
                assert!(!reply.text().trim().is_empty(), "{command} said nothing");
                assert!(!reply.text().contains("went wrong"), "{command}: {}", reply.text());
            }
        }
    }
}

bot_test! {
    async fn every_power_change_does_what_it_says(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "ct")).await;
        bot.has_guest(GuestSpec::qemu(5001, "vm")).await;
        for name in ["ct", "vm"] {
            for (verb, done) in [
                ("start", "was started"),
                ("reboot", "was restarted"),
                ("suspend", "was suspended"),
                ("resume", "goes on"),
                ("shutdown", "has shut down"),
                ("start", "was started"),
                ("kill", "plug"),
            ] {
                let card = bot.admin().runs(&format!("/guest {verb} guest:{name}")).await;
                let message = bot.message(card.message);
                if message["components"].to_string().contains(":confirm:") {
                    bot.admin().confirms(&card, "").await;
                }
                bot.until_says(card.message, done).await;
                let ops = bot.settle().await;
                assert_eq!(ops[0].state, OpState::Succeeded, "{verb} {name}: {:?}", ops[0].outcome);
                bot.looks().await;
            }
        }
    }
}

bot_test! {
    async fn what_is_already_so_is_said_without_a_button(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "ct")).await;
        let answer = bot.admin().runs("/guest stop guest:ct").await;
        assert!(answer.text().contains("already stopped"), "{}", answer.text());
        assert!(!bot.message(answer.message)["components"].to_string().contains("confirm"));
    }
}

bot_test! {
    async fn a_shutdown_that_is_ignored_fails_and_nothing_is_forced(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "unwilling").running().ignores_shutdown()).await;
        let question = bot.admin().runs("/guest delete guest:unwilling timeout:5").await;
        bot.admin().confirms(&question, "unwilling").await;
        bot.until_says(question.message, "Could not shut down").await;
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
        assert_eq!(bot.proxmox.guest(5000).unwrap().status, "running");
    }
}

bot_test! {
    async fn names_that_are_not_unique_ask(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "same")).await;
        bot.has_guest(GuestSpec::lxc(5001, "same")).await;
        let answer = bot.admin().runs("/guest start guest:same").await;
        assert!(answer.is_ephemeral());
        for number in ["5000", "5001"] {
            assert!(bot.message(answer.message).to_string().contains(number));
        }
        assert_eq!(bot.changes(), Vec::<String>::new());
    }
}
