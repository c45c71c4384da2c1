//! The images of pods and of sets: fetched once with the first pod, brought to nodes, counted as used.

use gantry_core::operation::OpState;

use crate::bot_test;
use crate::harness::until;
use crate::images::{fetched, read};

bot_test! {
    async fn ten_pods_at_once_fetch_their_image_once(bot: &mut Bot) {
        let mut cards = Vec::new();
        for n in 0..10 {
            let command = format!("/pod create name:fresh-{n} image:nginx:1.29 node:pve1 storage:local-lvm");
            let form = bot.admin().runs(&command).await;
            cards.push(bot.admin().fills(&form, &serde_json::json!({ "address": "dhcp" })).await);
        }
        assert!(read(&cards[9]).contains("Fetch docker.io/library/nginx:1.29"), "{}", read(&cards[9]));
        let admin = bot.admin();
        futures::future::join_all(cards.iter().map(|card| admin.confirms(card, ""))).await;
        let ops = bot.settle().await;
        assert_eq!(ops.len(), 10);
        assert!(ops.iter().all(|op| op.state == OpState::Succeeded), "{ops:?}");
        assert_eq!(fetched(bot), 1);
        assert_eq!(bot.proxmox.tasks().iter().filter(|t| t.upid.contains(":ociregistrypull:")).count(), 1);
        let record = bot.engine().store().list_images(None).await.unwrap().remove(0);
        assert!(record.last_used_ms > 0, "{record:?}");
    }
}

bot_test! {
    async fn a_pod_brings_its_image_to_a_node_that_has_not_got_it(bot: &mut Bot) {
        bot.confirmed("/image pull image:alpine:3.22 node:pve1 storage:local", "").await;
        bot.settle().await;
        let command = "/pod create name:edge image:local:vztmpl/alpine_3.22.tar node:pve2 storage:local-lvm";
        let form = bot.admin().runs(command).await;
        let question = bot.admin().fills(&form, &serde_json::json!({ "address": "dhcp" })).await;
        assert!(read(&question).contains("Fetch docker.io/library/alpine:3.22"), "{}", read(&question));
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "was created").await;
        let records = bot.engine().store().list_images(None).await.unwrap();
        assert_eq!(records.iter().map(|r| r.owner.as_str()).collect::<Vec<_>>(), ["pve1", "pve2"]);
        // Neither node has this one, and nobody knows where it comes from: what is there is said.
        let command = "/pod create name:lone image:local:vztmpl/alpine_3.2.tar node:pve2 storage:local-lvm";
        let form = bot.admin().runs(command).await;
        let answer = bot.admin().fills(&form, &serde_json::json!({ "address": "dhcp" })).await;
        for words in ["no image local:vztmpl/alpine_3.2.tar", "It has: local:vztmpl/alpine_3.22.tar"] {
            assert!(read(&answer).contains(words), "{words} is not in:\n{}", read(&answer));
        }
        let command = "/pod create name:lone image:alpine:3.22 node:pve2 storage:local-lvm bridge:vmbr9";
        let form = bot.admin().runs(command).await;
        let answer = bot.admin().fills(&form, &serde_json::json!({ "address": "dhcp" })).await;
        assert!(read(&answer).contains("no bridge vmbr9. It has: vmbr0"), "{}", read(&answer));
        let command = "/pod create name:lone image:evil.demo/a/b:1 node:pve2 storage:local-lvm";
        let form = bot.admin().runs(command).await;
        let answer = bot.admin().fills(&form, &serde_json::json!({ "address": "dhcp" })).await;
        assert!(read(&answer).contains("images.registries"), "{}", read(&answer));
    }
}

bot_test! {
    async fn the_image_of_a_sets_pods_counts_as_used(bot: &mut Bot) {
        bot.confirmed("/image pull image:alpine:3.22 node:pve1 storage:local", "").await;
        bot.settle().await;
        let text = r#"
name = "fresh"
replicas = 1
nodes = ["pve1"]
vmids = { from = 7300, to = 7309 }

[template]
image = "local:vztmpl/alpine_3.22.tar"
root = { storage = "local-lvm", size_gib = 1 }
networks = [{ bridge = "vmbr0" }]
"#;
        let id = bot.discord.upload("web.toml", text.as_bytes());
        let card = bot.confirmed(&format!("/set apply file:{id}"), "").await;
        let engine = bot.engine();
        until("a pod of the set was made from it", async || {
            engine.store().list_images(None).await.is_ok_and(|all| all.iter().any(|r| r.last_used_ms > 0))
        })
        .await;
        let users = bot.admin().runs("/image used-by image:local:vztmpl/alpine_3.22.tar node:pve1").await;
        for words in ["set fresh", "pod fresh-0"] {
            assert!(read(&users).contains(words), "{words} is not in:\n{}", read(&users));
        }
        let none = bot.admin().runs("/image prune days:0").await;
        assert!(read(&none).contains("No image that gantry fetched"), "{}", read(&none));
        bot.settle().await;
        assert!(card.message > 0);
    }
}
