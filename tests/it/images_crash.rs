//! Kill -9 anywhere in work on images: fetched once, handed on once, deleted once, converted once.

use proxmox_twin::GuestSpec;

use crate::bot_test;
use crate::crash::{Case, through_all_moments};
use crate::harness::{Bot, moments};
use crate::images::{published, published_file};

bot_test! {
    async fn an_image_is_fetched_once(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["image"] };
        through_all_moments(bot, case, async |bot, round| {
            bot.confirmed(&published(bot, &format!("registry.demo/crash/one:{round}")), "").await
        })
        .await;
    }
}

bot_test! {
    async fn an_image_is_deleted_once(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["imgdel"] };
        through_all_moments(bot, case, async |bot, round| {
            let file = format!("crash_{round}.tar");
            bot.proxmox.put_file("pve1", &format!("local:vztmpl/{file}"), 1 << 20);
            let command = format!("/image delete image:local:vztmpl/{file} node:pve1");
            bot.confirmed(&command, &file).await
        })
        .await;
    }
}

bot_test! {
    async fn an_address_is_fetched_once(bot: &mut Bot) {
        through_all_moments(bot, Case { steps: 1, done: &["image"] }, async |bot, round| {
            let url = format!("https://iso.demo/crash-{round}.iso");
            bot.confirmed(&published_file(bot, &url, 1 << 20), "").await
        })
        .await;
    }
}

bot_test! {
    async fn an_attachment_is_handed_on_once(bot: &mut Bot) {
        through_all_moments(bot, Case { steps: 1, done: &["image"] }, async |bot, round| {
            let id = bot.discord.upload(&format!("crash-{round}.iso"), b"not much of an image");
            bot.confirmed(&format!("/image pull file:{id} node:pve1 storage:local"), "").await
        })
        .await;
    }
}

bot_test! {
    async fn two_nodes_get_their_copies_once_each(bot: &mut Bot) {
        // Two steps of one kind: each is counted by its own file.
        let mut reached = 0;
        for (n, (step, point)) in moments(2).enumerate() {
            let image = format!("registry.demo/crash/two:{step}-{n}");
            published(bot, &image);
            bot.proxmox.forget();
            let command = format!("/image prepare image:{image} storage:local");
            let (dies, _) = bot.dies_at(point, step, async |bot| bot.confirmed(&command, "").await).await;
            reached += usize::from(dies);
            let op = bot.settle().await.remove(0);
            let mut nodes: Vec<String> =
                bot.proxmox.changes().iter().filter(|c| c.what == "image").map(|c| c.node.clone()).collect();
            nodes.sort();
            let all = nodes.len();
            nodes.dedup();
            let at = format!("killed {point} of step {step}: {:?} {nodes:?}", op.state);
            assert_eq!(all, nodes.len(), "{at}: fetched twice");
            if op.state == gantry_core::operation::OpState::Succeeded {
                assert_eq!(all, op.steps.len(), "{at}");
            } else {
                assert!(point == "after intent", "{at}: {:?}", op.outcome);
            }
        }
        assert!(reached >= moments(2).count() - 2, "only {reached} points were reached");
    }
}

bot_test! {
    async fn each_of_several_unused_images_is_deleted_once(bot: &mut Bot) {
        let mut reached = 0;
        for (n, (step, point)) in moments(2).enumerate() {
            for half in ["a", "b"] {
                let image = format!("registry.demo/crash/old:{step}-{n}-{half}");
                bot.confirmed(&published(bot, &image), "").await;
            }
            bot.settle().await;
            bot.proxmox.forget();
            let begin = async |bot: &Bot| bot.confirmed("/image prune days:0", "unused images").await;
            let (dies, _) = bot.dies_at(point, step, begin).await;
            reached += usize::from(dies);
            let op = bot.settle().await.remove(0);
            let mut gone: Vec<String> =
                bot.proxmox.changes().iter().filter(|c| c.what == "imgdel").map(|c| c.detail.clone()).collect();
            gone.sort();
            let all = gone.len();
            gone.dedup();
            let at = format!("killed {point} of step {step}: {:?} {gone:?}", op.state);
            assert_eq!(all, gone.len(), "{at}: deleted twice");
            if op.state == gantry_core::operation::OpState::Succeeded {
                assert_eq!(all, op.steps.len(), "{at}");
                assert!(bot.engine().store().list_images(None).await.unwrap().is_empty(), "{at}: a record is left");
            } else {
                assert!(point == "after intent", "{at}: {:?}", op.outcome);
            }
        }
        assert!(reached >= moments(2).count() - 2, "only {reached} points were reached");
    }
}

bot_test! {
    async fn a_disk_is_moved_once(bot: &mut Bot) {
        through_all_moments(bot, Case { steps: 1, done: &["move_volume"] }, async |bot, round| {
            let vmid = 5000 + u32::try_from(round).unwrap();
            bot.has_guest(GuestSpec::lxc(vmid, &format!("move-{round}")).on("pve1")).await;
            bot.confirmed(&format!("/image convert guest:{vmid} storage:nas"), "").await
        })
        .await;
    }
}

bot_test! {
    async fn a_guest_becomes_a_template_once(bot: &mut Bot) {
        through_all_moments(bot, Case { steps: 1, done: &["template"] }, async |bot, round| {
            let (vmid, name) = (5000 + u32::try_from(round).unwrap(), format!("golden-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name).on("pve1")).await;
            bot.confirmed(&format!("/image convert guest:{vmid} to:template"), &name).await
        })
        .await;
    }
}

bot_test! {
    async fn a_pod_whose_image_has_to_come_first_is_created_once(bot: &mut Bot) {
        through_all_moments(bot, Case { steps: 3, done: &["image", "create", "start"] }, async |bot, round| {
            let image = format!("registry.demo/crash/pod:{round}");
            published(bot, &image);
            let command = format!("/pod create name:fresh-{round} image:{image} node:pve1 storage:local-lvm");
            let form = bot.admin().runs(&command).await;
            let question = bot.admin().fills(&form, &serde_json::json!({ "address": "dhcp" })).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_file_is_converted_once(bot: &mut Bot) {
        through_all_moments(bot, Case { steps: 1, done: &["image-convert"] }, async |bot, round| {
            bot.proxmox.put_file("pve1", &format!("local:import/crash-{round}.qcow2"), 5 << 20);
            let command = format!("/image convert image:local:import/crash-{round}.qcow2 to:raw node:pve1");
            bot.confirmed(&command, "").await
        })
        .await;
    }
}

bot_test! {
    async fn an_image_is_copied_once_by_an_older_node(bot: &mut Bot) {
        bot.proxmox.installs("pve1", "8.4.1");
        through_all_moments(bot, Case { steps: 1, done: &["image-copy"] }, async |bot, round| {
            bot.confirmed(&published(bot, &format!("registry.demo/crash/old-node:{round}")), "").await
        })
        .await;
    }
}
