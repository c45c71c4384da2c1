//! Images as people meet them: fetched once, shown with their users, never deleted while something needs them.

use gantry_core::operation::OpState;
use proxmox_twin::{RemoteFile, RemoteImage, Trouble};

use crate::bot_test;
use crate::harness::{Bot, Reply, until};

const DEBIAN_13: &str = "debian-13-standard_13.1-1_amd64.tar.zst";
const OWN: &str = "https://templates.demo/own-rootfs_1.0_amd64.tar.zst";

/// Files that were really written to storages.
pub fn fetched(bot: &Bot) -> usize {
    bot.proxmox.changes().iter().filter(|c| c.what == "image").count()
}

/// What a reader sees: markdown's escapes are not shown.
pub fn read(reply: &Reply) -> String {
    reply.text().replace('\\', "")
}

/// Publishes an image, such as `registry.demo/crash/one:3`; the command that pulls it to pve1.
pub fn published(bot: &Bot, image: &str) -> String {
    let (name, tag) = image.rsplit_once(':').unwrap();
    bot.proxmox.publish_image(RemoteImage::new(name, tag, 1 << 20));
    format!("/image pull image:{image} node:pve1 storage:local")
}

/// Publishes a file of so many bytes; the command that fetches it to pve1, with its checksum.
pub fn published_file(bot: &Bot, url: &str, bytes: u64) -> String {
    let file = RemoteFile::new(url, bytes);
    let command =
        format!("/image pull image:{url} checksum:{} node:pve1 storage:local", file.sha256);
    bot.proxmox.publish_file(file);
    command
}

bot_test! {
    async fn an_oci_image_from_its_tag_to_its_end(bot: &mut Bot) {
        let question = bot.admin().runs("/image pull image:alpine:3.22 node:pve1 storage:local").await;
        for words in ["docker.io/library/alpine:3.22", "alpine_3.22.tar", "pve1", "tag can be moved"] {
            assert!(read(&question).contains(words), "{words} is not in:\n{}", read(&question));
        }
        bot.admin().confirms(&question, "").await;
        let text = bot.until_says(question.message, "is there").await;
        assert!(text.contains("OK"), "{text}");
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        let shown = bot.admin().runs("/image show image:local:vztmpl/alpine_3.22.tar node:pve1").await;
        for words in ["docker.io/library/alpine:3.22", "sha256:", "Nothing that gantry knows of"] {
            assert!(read(&shown).contains(words), "{words} is not in:\n{}", read(&shown));
        }
        let cache = bot.admin().runs("/image cache").await;
        assert!(read(&cache).contains("alpine_3.22.tar") && read(&cache).contains("1 in all"), "{}", read(&cache));
        let again = bot.admin().runs("/image pull image:alpine:3.22 node:pve1 storage:local").await;
        assert!(read(&again).contains("there already"), "{}", read(&again));
        let delete = bot.confirmed("/image delete image:pve1/local:vztmpl/alpine_3.22.tar", "alpine_3.22.tar").await;
        bot.until_says(delete.message, "deleted").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        assert!(bot.engine().store().list_images(None).await.unwrap().is_empty());
        let did: Vec<String> = bot.proxmox.changes().iter().filter(|c| c.user != "control").map(|c| c.what.clone()).collect();
        assert_eq!(did.len(), 2, "{did:?}");
    }
}

bot_test! {
    async fn a_template_and_an_address_are_fetched_and_their_sums_noted(bot: &mut Bot) {
        let card = bot.confirmed(&format!("/image pull image:{DEBIAN_13} node:pve2 storage:local"), "").await;
        bot.until_says(card.message, "is there").await;
        let sum = RemoteFile::new(OWN, 0).sha256;
        let card = bot.confirmed(&format!("/image pull image:{OWN} node:pve2 storage:local checksum:{sum}"), "").await;
        bot.until_says(card.message, "is there").await;
        bot.settle().await;
        let mut digests: Vec<String> = bot
            .engine()
            .store()
            .list_images(None)
            .await
            .unwrap()
            .into_iter()
            .map(|r| r.digest.unwrap().split(':').next().unwrap().to_owned())
            .collect();
        digests.sort();
        assert_eq!(digests, ["sha256", "sha512"]);
    }
}

bot_test! {
    async fn what_is_not_what_was_meant_is_not_kept(bot: &mut Bot) {
        let wrong = "0".repeat(64);
        let card = bot.confirmed(&format!("/image pull image:{OWN} node:pve1 storage:local checksum:{wrong}"), "").await;
        let text = bot.until_says(card.message, "Could not fetch").await;
        for words in ["checksum mismatch", "not the file that was meant", "is not there"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
        assert!(bot.engine().store().list_images(None).await.unwrap().is_empty());
        for (command, says) in [
            (format!("/image pull image:{OWN} node:pve1"), "needs its checksum"),
            (format!("/image pull image:https://evil.demo/x.iso checksum:{wrong}"), "images.hosts"),
            (format!("/image pull image:http://169.254.169.254/x.iso checksum:{wrong}"), "link-local"),
            ("/image pull image:evil.demo/a/b:1".to_owned(), "images.registries"),
            ("/image pull image:alpine:9.99 node:pve1".to_owned(), "has no tag 9.99"),
            ("/image pull image:debian-99-standard_1_amd64.tar.zst node:pve1".to_owned(), "It has: debian-"),
            ("/image pull image:local:vztmpl/x.tar.zst".to_owned(), "place, not a source"),
            (format!("/image pull image:https://cloud.demo/images/nothing.iso checksum:{wrong} node:pve1"), "404"),
            ("/image pull image:alpine:3.22 node:pve1 storage:local-lvm".to_owned(), "does not take a container template"),
            ("/image pull image:alpine:3.22 node:pve1 storage:nope".to_owned(), "no storage nope"),
            ("/image pull image:alpine:3.22 storage:nope".to_owned(), "No node of lab that is up has a storage nope. There are: local"),
            ("/image prepare image:alpine:3.22 storage:locall".to_owned(), "has a storage locall. There are: local"),
        ] {
            let answer = bot.admin().runs(&command).await;
            assert!(read(&answer).contains(says), "{command}: {says} is not in:\n{}", read(&answer));
            assert!(!bot.message(answer.message)["components"].to_string().contains(":confirm:"), "{command}");
        }
        assert_eq!(fetched(bot), 0);
    }
}

bot_test! {
    async fn a_full_storage_is_told_before_and_after(bot: &mut Bot) {
        let url = "https://cloud.demo/images/huge.iso";
        bot.proxmox.publish_file(RemoteFile::new(url, 1 << 50));
        let sum = RemoteFile::new(url, 0).sha256;
        let before = bot.admin().runs(&format!("/image pull image:{url} node:pve1 storage:local checksum:{sum}")).await;
        for words in ["it takes 1024.0 TiB", "free", "/image prune"] {
            assert!(read(&before).contains(words), "{words} is not in:\n{}", read(&before));
        }
        bot.proxmox.publish_image(RemoteImage::new("registry.demo/big/one", "1", 1 << 20));
        bot.trouble(Trouble::TaskFails {
            task: "ociregistrypull".into(),
            exitstatus: "unable to write: No space left on device".into(),
            times: Some(1),
        });
        let card = bot.confirmed("/image pull image:registry.demo/big/one:1 node:pve1 storage:local", "").await;
        let after = bot.until_says(card.message, "Could not fetch").await;
        for words in ["No space left", "The storage is full", "is not there"] {
            assert!(after.contains(words), "{words} is not in:\n{after}");
        }
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
    }
}

bot_test! {
    async fn ten_people_at_once_fetch_it_once(bot: &mut Bot) {
        let mut cards = Vec::new();
        for _ in 0..10 {
            cards.push(bot.admin().runs("/image prepare image:nginx:1.29 node:pve1 storage:local").await);
        }
        let admin = bot.admin();
        futures::future::join_all(cards.iter().map(|card| admin.confirms(card, ""))).await;
        let ops = bot.settle().await;
        assert!(!ops.is_empty() && ops.iter().all(|op| op.state == OpState::Succeeded), "{ops:?}");
        assert_eq!(fetched(bot), 1);
        assert_eq!(bot.proxmox.tasks().iter().filter(|t| t.upid.contains(":ociregistrypull:")).count(), 1);
    }
}

bot_test! {
    async fn each_node_gets_its_own_copy_and_a_shared_storage_one(bot: &mut Bot) {
        let card = bot.confirmed("/image prepare image:redis:8 storage:local", "").await;
        bot.until_says(card.message, "is there").await;
        let op = bot.settle().await.remove(0);
        let nodes = op.steps.len();
        assert!(nodes >= 3, "{:?}", op.steps);
        assert_eq!(fetched(bot), nodes);
        let again = bot.admin().runs("/image prepare image:redis:8 storage:local").await;
        assert!(read(&again).contains("there already"), "{}", read(&again));
        let card = bot.confirmed("/image prepare image:redis:8 storage:nas", "").await;
        bot.until_says(card.message, "is there").await;
        assert_eq!(bot.settle().await[0].steps.len(), 1, "a shared storage is filled once");
    }
}

bot_test! {
    async fn an_image_in_use_stays_and_its_users_are_named(bot: &mut Bot) {
        let question = bot.asks_for_pod("shop-0").await;
        bot.admin().confirms(&question, "").await;
        bot.settle().await;
        bot.looks().await;
        let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
        let users = bot.admin().runs(&format!("/image used-by image:{image} node:pve1")).await;
        assert!(read(&users).contains("pod shop-0"), "{}", read(&users));
        let answer = bot.admin().runs(&format!("/image delete image:{image} node:pve1")).await;
        assert!(read(&answer).contains("in use by pod shop-0"), "{}", read(&answer));
        let several = bot.admin().runs(&format!("/image delete image:{image}")).await;
        assert!(read(&several).contains("option node"), "{}", read(&several));
        let other = bot.admin().runs(&format!("/image delete image:{image} node:pve2")).await;
        assert!(read(&other).contains("cannot fetch it again"), "{}", read(&other));
    }
}

bot_test! {
    async fn pruning_deletes_what_was_shown_or_asks_again(bot: &mut Bot) {
        for image in ["alpine:3.22", "redis:8"] {
            let card = bot.confirmed(&format!("/image pull image:{image} node:pve1 storage:local"), "").await;
            bot.until_says(card.message, "is there").await;
        }
        bot.settle().await;
        let young = bot.admin().runs("/image prune").await;
        assert!(read(&young).contains("unused for 30 days"), "{}", read(&young));
        let preview = bot.admin().runs("/image prune days:0").await;
        for words in ["alpine_3.22.tar", "redis_8.tar", "56.0 MiB", "left alone"] {
            assert!(read(&preview).contains(words), "{words} is not in:\n{}", read(&preview));
        }
        // Another one comes between the preview and the press: nothing is deleted, a new plan is shown.
        let card = bot.confirmed("/image pull image:nginx:1.29 node:pve1 storage:local", "").await;
        bot.until_says(card.message, "is there").await;
        bot.settle().await;
        bot.admin().confirms(&preview, "unused images").await;
        let changed = bot.until_says(preview.message, "3 images").await.replace('\\', "");
        assert!(changed.contains("nginx_1.29.tar"), "{changed}");
        assert_eq!(bot.engine().store().list_images(None).await.unwrap().len(), 3);
        bot.admin().confirms(&preview, "unused images").await;
        bot.until_says(preview.message, "deleted").await;
        let op = bot.settle().await.remove(0);
        assert_eq!((op.state, op.steps.len()), (OpState::Succeeded, 3));
        assert!(bot.engine().store().list_images(None).await.unwrap().is_empty());
    }
}

bot_test! {
    async fn disks_move_and_guests_become_templates(bot: &mut Bot) {
        bot.has_guest(proxmox_twin::GuestSpec::lxc(5000, "golden").on("pve1")).await;
        bot.has_guest(proxmox_twin::GuestSpec::qemu(5001, "machine").on("pve1").disk("nas", 4)).await;
        let card = bot.confirmed("/image convert guest:golden storage:nas", "").await;
        bot.until_says(card.message, "was converted").await;
        let card = bot.confirmed("/image convert guest:golden to:template", "golden").await;
        bot.until_says(card.message, "is a template").await;
        let ops = bot.settle().await;
        assert!(ops.iter().all(|op| op.state == OpState::Succeeded), "{ops:?}");
        bot.looks().await;
        let no = bot.admin().runs("/image convert guest:golden to:qcow2").await;
        assert!(read(&no).contains("form its storage keeps"), "{}", read(&no));
        let no = bot.admin().runs("/image convert guest:machine to:qcow2 storage:local-lvm").await;
        assert!(read(&no).contains("block devices"), "{}", read(&no));
    }
}

bot_test! {
    async fn a_disk_takes_the_form_its_storage_keeps(bot: &mut Bot) {
        for (vmid, node, storage, volume) in [
            (5000, "pve1", "local-lvm", "local-lvm:vm-5000-disk-"),
            (5001, "pve4", "local-zfs", "local-zfs:subvol-5001-disk-"),
        ] {
            bot.has_guest(proxmox_twin::GuestSpec::lxc(vmid, &format!("roomy-{vmid}")).on(node)).await;
            // Onto a directory of files, and from there onto a block device or a dataset.
            for (storage, volume) in [("nas", format!("nas:{vmid}/vm-{vmid}-disk-")), (storage, volume.to_owned())] {
                let card = bot.confirmed(&format!("/image convert guest:{vmid} storage:{storage}"), "").await;
                bot.until_says(card.message, "was converted").await;
                assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
                let guest = bot.proxmox.guest(vmid).unwrap();
                assert!(guest.config["rootfs"].starts_with(&volume), "{storage}: {:?}", guest.config);
                assert!(guest.config.keys().any(|k| k.starts_with("unused")), "the old one stays: {:?}", guest.config);
                bot.looks().await;
            }
        }
    }
}

bot_test! {
    async fn viewers_look_and_change_nothing(bot: &mut Bot) {
        for command in ["/image list", r#"/image list kind:"ISO image" node:pve1"#, "/image cache", "/image show image:alpine:3.22"] {
            let reply = bot.viewer().runs(command).await;
            assert!(reply.is_ephemeral() && !read(&reply).contains("went wrong"), "{command}: {}", read(&reply));
        }
        for command in [
            "/image pull image:alpine:3.22",
            "/image prepare image:alpine:3.22",
            "/image prune",
            "/image delete image:local:iso/debian-12.7.0-amd64-netinst.iso node:pve1",
            // What is wrong with the rest is not told to whoever may not.
            "/image delete image:alpine:3.22 node:nowhere",
            "/image pull image:local:vztmpl/x.tar.zst storage:_",
            "/image convert image:nothing to:raw",
        ] {
            let reply = bot.viewer().runs(command).await;
            assert!(reply.is_ephemeral() && !read(&reply).contains("confirm"), "{command}: {}", read(&reply));
            let verb = command.trim_start_matches('/').split(' ').take(2).collect::<Vec<_>>().join(".");
            assert!(read(&reply).contains(&verb), "{command}: {verb} is not in:\n{}", read(&reply));
        }
        assert_eq!(fetched(bot), 0);
    }
}

bot_test! {
    async fn an_attached_file_is_handed_on_and_its_digest_noted(bot: &mut Bot) {
        let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let id = bot.discord.upload("own-tools_1.0.tar.gz", &bytes);
        let question = bot.admin().runs(&format!("/image pull file:{id} node:pve1 storage:local")).await;
        for words in ["own-tools_1.0.tar.gz", "11.4 MiB", "Nobody gave a checksum"] {
            assert!(read(&question).contains(words), "{words} is not in:\n{}", read(&question));
        }
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "is there").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded);
        let there = bot.proxmox.volumes("pve1", "local");
        let kept = there.iter().find(|v| v.volid.ends_with("own-tools_1.0.tar.gz")).expect("it is there");
        assert_eq!(kept.bytes, bytes.len() as u64);
        let record = bot.engine().store().list_images(None).await.unwrap().remove(0);
        // The simulated node takes the sum of what came to it, by itself.
        assert_eq!(record.digest, kept.digest.as_ref().map(|sum| format!("sha256:{sum}")));
        assert!(record.digest.is_some());
        assert!(!serde_json::to_string(&record).unwrap().contains("http"), "an address is kept: {record:?}");
        // The audit and the cards never hold the address.
        let text = bot.message(question.message).to_string() + &bot.audit().await.join("\n");
        assert!(!text.contains("/attachments/"), "{text}");
    }
}

bot_test! {
    async fn an_attached_file_that_is_not_what_was_meant_is_not_kept(bot: &mut Bot) {
        let id = bot.discord.upload("tiny.iso", b"hello iso");
        let wrong = "0".repeat(64);
        let card = bot.confirmed(&format!("/image pull file:{id} checksum:{wrong} node:pve1 storage:local"), "").await;
        let text = bot.until_says(card.message, "Could not fetch").await;
        assert!(text.contains("not the file that was meant"), "{text}");
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
        for (name, says) in [("tiny.exe", "ends in"), ("tiny.iso.txt", "ends in")] {
            let id = bot.discord.upload(name, b"x");
            let answer = bot.admin().runs(&format!("/image pull file:{id} node:pve1")).await;
            assert!(read(&answer).contains(says), "{name}: {}", read(&answer));
        }
        let id = bot.discord.upload("empty.iso", b"");
        let answer = bot.admin().runs(&format!("/image pull file:{id} node:pve1")).await;
        assert!(read(&answer).contains("empty"), "{}", read(&answer));
        assert_eq!(fetched(bot), 0);
    }
}

bot_test! {
    async fn a_pull_shows_how_far_it_is(bot: &mut Bot) {
        let command = published_file(bot, "https://iso.demo/slow.iso", 3 << 30);
        let card = bot.confirmed(&command, "").await;
        let text = bot.until_says(card.message, " %").await;
        assert!(text.contains("Fetching the image"), "{text}");
        bot.settle().await;
    }
}

bot_test! {
    async fn operations_tasks_and_bridges_are_completed_from_memory(bot: &mut Bot) {
        bot.confirmed("/image pull image:alpine:3.22 node:pve1 storage:local", "").await;
        let op = bot.settle().await.remove(0);
        let engine = bot.engine();
        until("the operation and its task are in memory", async || {
            let pulled = |t: &gantry_engine::TaskLine| t.upid.kind() == "ociregistrypull" && t.status.is_some();
            engine.recent_operations().iter().any(|o| o.id == op.id)
                && engine.views().iter().any(|v| engine.recent_tasks(&v.cluster).iter().any(pulled))
        })
        .await;
        let offered = async |who: &'static str, command: &'static str, option: &'static str| {
            let offered = bot.discord.autocomplete(who, "#ops", command, option).await.unwrap();
            offered.choices.to_string()
        };
        let ops = offered("admin", "/op show op:alpine", "op").await;
        assert!(ops.contains(op.id.as_str()) && ops.contains("image pull"), "{ops}");
        let tasks = offered("viewer", "/task show task:ociregistry", "task").await;
        assert!(tasks.contains("UPID:pve1:"), "{tasks}");
        let bridges = offered("admin", "/pod create name:x image:y bridge:vmb", "bridge").await;
        assert!(bridges.contains("vmbr0"), "{bridges}");
        // What is over cannot be stopped; who may not create pods learns of no bridge.
        assert_eq!(offered("admin", "/task cancel task:ociregistry", "task").await, "[]");
        assert_eq!(offered("viewer", "/pod create name:x image:y bridge:vmb", "bridge").await, "[]");
    }
}

bot_test! {
    async fn every_kind_of_trouble_is_told_in_words_of_its_own(bot: &mut Bot) {
        // What Proxmox's task says, and what a person reads.
        for (n, (exit, says)) in [
            ("download failed: exit code 8", "could not be fetched"),
            ("unable to extract archive", "could not be unpacked"),
            ("command '/usr/bin/qemu-img convert' failed: exit code 1", "could not be converted"),
            ("mount: /var/lib/lxc/.pve: mounting failed", "could not be mounted"),
            ("invalid format - format error", "not what its name says"),
            ("storage 'local' is not online", "The storage cannot take it"),
            ("zfs error: cannot create 'rpool/data/x': out of quota", "ZFS refused it"),
            ("refusing to override existing file 'x'", "A file of that name is there already"),
            ("cannot remove volume 'x': it is in use by guest 100", "Something uses it"),
        ]
        .into_iter()
        .enumerate()
        {
            let command = published(bot, &format!("registry.demo/bad/one:{n}"));
            bot.trouble(Trouble::TaskFails { task: "ociregistrypull".into(), exitstatus: exit.into(), times: Some(1) });
            let card = bot.confirmed(&command, "").await;
            let text = bot.until_says(card.message, "Could not fetch").await;
            assert!(text.contains(says), "{exit}: {says} is not in:\n{text}");
            bot.settle().await;
        }
        assert_eq!(fetched(bot), 0);
    }
}
