//! Calls about images whose answers get lost, that never arrive, that fail: in each kind of step.

use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, Trouble};

use crate::bot_test;
use crate::harness::Bot;
use crate::images::{published, published_file};
use crate::lost::goes_wrong;

bot_test! {
    async fn a_pull_that_goes_wrong(bot: &mut Bot) {
        let call = "POST /nodes/*/storage/*/oci-registry-pull";
        goes_wrong(bot, call, "ociregistrypull", "image", async |bot, round| {
            bot.confirmed(&published(bot, &format!("registry.demo/lost/one:{round}")), "").await
        })
        .await;
    }
}

bot_test! {
    async fn a_template_download_that_goes_wrong(bot: &mut Bot) {
        // Its task has no id: only its log tells which file it is about.
        let names = [
            "debian-13-standard_13.1-1_amd64.tar.zst",
            "archlinux-base_20240911-1_amd64.tar.zst",
            "debian-13-standard_13.1-1_amd64.tar.zst",
            "debian-13-standard_13.1-1_amd64.tar.zst",
            "debian-13-standard_13.1-1_amd64.tar.zst",
        ];
        goes_wrong(bot, "POST /nodes/*/aplinfo", "download", "image", async |bot, round| {
            let node = ["pve1", "pve1", "pve2", "pve3", "pve3"][round];
            let name = names[round];
            bot.confirmed(&format!("/image pull image:{name} node:{node} storage:local"), "").await
        })
        .await;
    }
}

bot_test! {
    async fn an_address_that_goes_wrong(bot: &mut Bot) {
        let call = "POST /nodes/*/storage/*/download-url";
        goes_wrong(bot, call, "download", "image", async |bot, round| {
            let url = format!("https://iso.demo/lost-{round}.iso");
            bot.confirmed(&published_file(bot, &url, 1 << 20), "").await
        })
        .await;
    }
}

bot_test! {
    async fn a_delete_of_an_image_that_goes_wrong(bot: &mut Bot) {
        let call = "DELETE /nodes/*/storage/*/content/*/*";
        goes_wrong(bot, call, "imgdel", "imgdel", async |bot, round| {
            let file = format!("lost_{round}.tar");
            bot.proxmox.put_file("pve1", &format!("local:vztmpl/{file}"), 1 << 20);
            bot.confirmed(&format!("/image delete image:local:vztmpl/{file} node:pve1"), &file).await
        })
        .await;
    }
}

bot_test! {
    async fn a_move_of_a_disk_that_goes_wrong(bot: &mut Bot) {
        let call = "POST /nodes/*/lxc/*/move_volume";
        goes_wrong(bot, call, "move_volume", "move_volume", async |bot, round| {
            let vmid = 5000 + u32::try_from(round).unwrap();
            bot.has_guest(GuestSpec::lxc(vmid, &format!("lost-{round}")).on("pve1")).await;
            bot.confirmed(&format!("/image convert guest:{vmid} storage:nas"), "").await
        })
        .await;
    }
}

bot_test! {
    async fn a_machine_that_does_not_become_a_template(bot: &mut Bot) {
        let call = "POST /nodes/*/qemu/*/template";
        goes_wrong(bot, call, "qmtemplate", "template", async |bot, round| {
            let (vmid, name) = (5000 + u32::try_from(round).unwrap(), format!("lost-{round}"));
            bot.has_guest(GuestSpec::qemu(vmid, &name).on("pve1").disk("nas", 4)).await;
            bot.confirmed(&format!("/image convert guest:{vmid} to:template"), &name).await
        })
        .await;
    }
}

bot_test! {
    async fn the_second_of_two_deletions_that_goes_wrong(bot: &mut Bot) {
        for tag in ["1", "2"] {
            bot.confirmed(&published(bot, &format!("registry.demo/lost/old:{tag}")), "").await;
        }
        bot.settle().await;
        bot.proxmox.forget();
        // The answer of every deletion is lost; each is found by its own file.
        bot.trouble(Trouble::AnswerLost { matching: "DELETE /nodes/*/storage/*/content/*/*".into(), times: None });
        let card = bot.confirmed("/image prune days:0", "unused images").await;
        bot.until_says(card.message, "deleted").await;
        let op = bot.settle().await.remove(0);
        assert_eq!((op.state, op.steps.len()), (OpState::Succeeded, 2), "{:?}", op.outcome);
        assert!(op.steps.iter().all(|s| s.adopted), "{:?}", op.steps);
        assert_eq!(bot.proxmox.changes().iter().filter(|c| c.what == "imgdel").count(), 2);
    }
}

bot_test! {
    async fn a_file_that_is_handed_on_and_lost(bot: &mut Bot) {
        // Proxmox starts nothing before the file has come whole, so what was looked for in vain is sent again.
        let call = "POST /nodes/*/storage/*/upload";
        let matching = || call.to_owned();
        let times = Some(1);
        let troubles = [
            Trouble::AnswerLost { matching: matching(), times },
            Trouble::RequestLost { matching: matching(), times },
            Trouble::Truncate { matching: matching(), times },
            Trouble::Error { matching: matching(), status: 500, reason: "unable to fork worker".into(), times },
        ];
        for (round, trouble) in troubles.into_iter().enumerate() {
            bot.proxmox.forget();
            let at = format!("{trouble:?}");
            bot.trouble(trouble);
            let id = bot.discord.upload(&format!("lost-{round}.iso"), b"hello iso");
            let card = bot.confirmed(&format!("/image pull file:{id} node:pve1 storage:local"), "").await;
            let op = bot.settle().await.remove(0);
            assert_eq!(op.state, OpState::Succeeded, "{at}: {:?}", op.outcome);
            assert_eq!(bot.proxmox.changes().iter().filter(|c| c.what == "image").count(), 1, "{at}");
            bot.until_says(card.message, "is there").await;
            bot.proxmox.clear_all_trouble();
        }
        bot.proxmox.forget();
        bot.trouble(Trouble::TaskFails {
            task: "imgcopy".into(),
            exitstatus: "command 'cp' failed: No space left on device".into(),
            times,
        });
        let id = bot.discord.upload("lost-full.iso", b"hello iso");
        let card = bot.confirmed(&format!("/image pull file:{id} node:pve1 storage:local"), "").await;
        let text = bot.until_says(card.message, "Could not fetch").await;
        assert!(text.contains("The storage is full"), "{text}");
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
    }
}

bot_test! {
    async fn a_conversion_that_goes_wrong(bot: &mut Bot) {
        let matching = || "SSH /nodes/*/image-convert".to_owned();
        let times = Some(1);
        let fails = |status, reason: &str| Trouble::ShellFails { matching: matching(), status, reason: reason.into(), times };
        // Nothing was done, or nobody heard that it was: looked for, and carried out once in all.
        for (round, trouble) in [
            Trouble::AnswerLost { matching: matching(), times },
            Trouble::RequestLost { matching: matching(), times },
            fails(75, "another change is under way on this node"),
            fails(70, "cannot put it in its place"),
        ]
        .into_iter()
        .enumerate()
        {
            bot.proxmox.forget();
            let at = format!("{trouble:?}");
            bot.trouble(trouble);
            bot.proxmox.put_file("pve1", &format!("local:import/lost-{round}.qcow2"), 5 << 20);
            let command = format!("/image convert image:local:import/lost-{round}.qcow2 to:raw node:pve1");
            let card = bot.confirmed(&command, "").await;
            let op = bot.settle().await.remove(0);
            assert_eq!(op.state, OpState::Succeeded, "{at}: {:?}", op.outcome);
            let done = bot.proxmox.changes().iter().filter(|c| c.what == "image-convert").count();
            assert_eq!(done, 1, "{at}");
            bot.until_says(card.message, "was converted").await;
            bot.proxmox.clear_all_trouble();
        }
        bot.proxmox.forget();
        bot.trouble(fails(65, "not converted, nothing is left of it: qemu-img: error while reading"));
        bot.proxmox.put_file("pve1", "local:import/bad.qcow2", 5 << 20);
        let card = bot.confirmed("/image convert image:local:import/bad.qcow2 to:raw node:pve1", "").await;
        let text = bot.until_says(card.message, "Could not convert").await;
        for words in ["error while reading", "could not be converted", "is not there"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
    }
}

bot_test! {
    async fn what_pruning_could_not_delete_is_deleted_the_next_time(bot: &mut Bot) {
        let call = "DELETE /nodes/*/storage/*/content/*/*".to_owned();
        let left = async |bot: &Bot| bot.engine().store().list_images(None).await.unwrap().len();
        for (round, trouble) in [
            Trouble::RequestLost { matching: call.clone(), times: Some(1) },
            Trouble::Error { matching: call, status: 500, reason: "unable to fork worker".into(), times: Some(1) },
            Trouble::TaskFails { task: "imgdel".into(), exitstatus: "rm: exit code 1".into(), times: Some(1) },
        ]
        .into_iter()
        .enumerate()
        {
            let at = format!("{trouble:?}");
            for half in ["a", "b"] {
                let image = format!("registry.demo/lost/prune:{round}-{half}");
                bot.confirmed(&published(bot, &image), "").await;
            }
            bot.settle().await;
            bot.proxmox.forget();
            bot.trouble(trouble);
            let card = bot.confirmed("/image prune days:0", "unused images").await;
            let op = bot.settle().await.remove(0);
            assert!(matches!(op.state, OpState::Failed | OpState::Unknown), "{at}: {:?}", op.outcome);
            let text = bot.until_says(card.message, "is still there").await.replace('\\', "");
            assert!(text.contains("prune_"), "{at}: {text}");
            assert_eq!(left(bot).await, 2, "{at}: a record of what is there is gone");
            bot.proxmox.clear_all_trouble();
            bot.confirmed("/image prune days:0", "unused images").await;
            let op = bot.settle().await.remove(0);
            assert_eq!(op.state, OpState::Succeeded, "{at}: {:?}", op.outcome);
            let gone = bot.proxmox.changes().iter().filter(|c| c.what == "imgdel").count();
            assert_eq!((gone, left(bot).await), (2, 0), "{at}");
        }
    }
}

bot_test! {
    async fn a_copy_by_an_older_node_that_goes_wrong(bot: &mut Bot) {
        bot.proxmox.installs("pve1", "8.4.1");
        let matching = || "SSH /nodes/*/image-copy".to_owned();
        let times = Some(1);
        for (round, trouble) in [
            Trouble::AnswerLost { matching: matching(), times },
            Trouble::RequestLost { matching: matching(), times },
            Trouble::Truncate { matching: matching(), times },
        ]
        .into_iter()
        .enumerate()
        {
            bot.proxmox.forget();
            let at = format!("{trouble:?}");
            bot.trouble(trouble);
            let image = format!("registry.demo/lost/old-node:{round}");
            let card = bot.confirmed(&published(bot, &image), "").await;
            bot.until_says(card.message, "is there").await;
            let op = bot.settle().await.remove(0);
            assert_eq!(op.state, OpState::Succeeded, "{at}: {:?}", op.outcome);
            let done = bot.proxmox.changes().iter().filter(|c| c.what == "image-copy").count();
            assert_eq!(done, 1, "{at}");
            bot.proxmox.clear_all_trouble();
        }
    }
}
