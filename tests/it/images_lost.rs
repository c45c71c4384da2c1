//! Calls about images whose answers get lost, that never arrive, that fail: in each kind of step.

use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, RemoteFile, Trouble};

use crate::bot_test;
use crate::harness::{Bot, Reply};
use crate::lost::goes_wrong;

async fn confirmed(bot: &Bot, command: &str, typed: &str) -> Reply {
    let question = bot.admin().runs(command).await;
    bot.admin().confirms(&question, typed).await;
    question
}

bot_test! {
    async fn a_pull_that_goes_wrong(bot: &mut Bot) {
        let call = "POST /nodes/*/storage/*/oci-registry-pull";
        goes_wrong(bot, call, "ociregistrypull", "image", async |bot, round| {
            let tag = format!("{round}");
            bot.proxmox.publish_image(proxmox_twin::RemoteImage::new("registry.demo/lost/one", &tag, 1 << 20));
            let command = format!("/image pull image:registry.demo/lost/one:{tag} node:pve1 storage:local");
            let question = bot.admin().runs(&command).await;
            bot.admin().confirms(&question, "").await;
            question
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
            let question = bot.admin().runs(&format!("/image pull image:{name} node:{node} storage:local")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
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
            let card = confirmed(bot, &format!("/image pull file:{id} node:pve1 storage:local"), "").await;
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
        let card = confirmed(bot, &format!("/image pull file:{id} node:pve1 storage:local"), "").await;
        let text = bot.until_says(card.message, "Could not fetch").await;
        assert!(text.contains("The storage is full"), "{text}");
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
    }
}

bot_test! {
    async fn an_address_that_goes_wrong(bot: &mut Bot) {
        let call = "POST /nodes/*/storage/*/download-url";
        goes_wrong(bot, call, "download", "image", async |bot, round| {
            let url = format!("https://iso.demo/lost-{round}.iso");
            let file = RemoteFile::new(&url, 1 << 20);
            let sum = file.sha256.clone();
            bot.proxmox.publish_file(file);
            confirmed(bot, &format!("/image pull image:{url} checksum:{sum} node:pve1 storage:local"), "").await
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
            confirmed(bot, &format!("/image convert guest:{vmid} storage:nas"), "").await
        })
        .await;
    }
}
