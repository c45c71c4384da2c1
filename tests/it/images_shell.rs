//! Images over the node shell: files converted, OCI images copied by older nodes, checksums taken.

use gantry_core::operation::OpState;
use proxmox_twin::Trouble;

use crate::bot_test;
use crate::harness::Bot;
use crate::images::{fetched, read};

/// What was done over SSH.
fn over_ssh(bot: &Bot, what: &str) -> usize {
    bot.proxmox.changes().iter().filter(|c| c.what == what).count()
}

bot_test! {
    async fn a_file_is_converted_beside_itself_over_the_node_shell(bot: &mut Bot) {
        bot.proxmox.put_file("pve1", "local:import/debian.qcow2", 5 << 20);
        bot.looks().await;
        let command = "/image convert image:local:import/debian.qcow2 to:raw node:pve1";
        let question = bot.admin().runs(command).await;
        for words in ["local:import/debian.raw on pve1", "qemu-img", "stays as it is", "cannot be stopped"] {
            assert!(read(&question).contains(words), "{words} is not in:\n{}", read(&question));
        }
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "was converted").await;
        let op = bot.settle().await.remove(0);
        assert_eq!((op.state, over_ssh(bot, "image-convert")), (OpState::Succeeded, 1), "{:?}", op.outcome);
        let audit = bot.audit().await.join("\n");
        assert!(audit.contains("image.convert"), "{audit}");
        for (command, says) in [
            (command.to_owned(), "there already"),
            ("/image convert image:local:import/debain.qcow2 to:raw node:pve1".to_owned(), "It has: local:import/debian"),
            ("/image convert image:local:import/debian.qcow2 to:qcow2 node:pve1".to_owned(), "is qcow2 already"),
            ("/image convert image:local:import/debian.qcow2 node:pve1".to_owned(), "Give to:raw"),
            ("/image convert image:alpine:3.22 to:raw node:pve1".to_owned(), "not where it lies"),
            ("/image convert to:raw".to_owned(), "either guest or image"),
        ] {
            let answer = bot.admin().runs(&command).await;
            assert!(read(&answer).contains(says), "{command}: {says} is not in:\n{}", read(&answer));
        }
        let shown = bot.admin().runs("/image show image:local:import/debian.qcow2 node:pve1 checksum:True").await;
        assert!(read(&shown).contains("SHA-256, taken just now"), "{}", read(&shown));
        bot.without_shell().await;
        bot.proxmox.put_file("pve1", "local:import/other.raw", 5 << 20);
        let answer = bot.admin().runs("/image convert image:local:import/other.raw to:qcow2 node:pve1").await;
        for words in ["node shell is not set up for pve1", "move the disk to another storage"] {
            assert!(read(&answer).contains(words), "{words} is not in:\n{}", read(&answer));
        }
        let shown = bot.admin().runs("/image show image:local:import/other.raw node:pve1 checksum:True").await;
        assert!(read(&shown).contains("node shell is not set up"), "{}", read(&shown));
    }
}

bot_test! {
    async fn an_older_node_copies_oci_images_with_skopeo(bot: &mut Bot) {
        bot.proxmox.installs("pve1", "8.4.1");
        let command = "/image pull image:alpine:3.22 node:pve1 storage:local";
        let question = bot.admin().runs(command).await;
        assert!(read(&question).contains("with skopeo on pve1, over the node shell"), "{}", read(&question));
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "is there").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        assert_eq!((over_ssh(bot, "image-copy"), fetched(bot)), (1, 0));
        let record = bot.engine().store().list_images(None).await.unwrap().remove(0);
        assert!(record.digest.is_some_and(|d| d.starts_with("sha256:")), "the manifest's digest is noted");
        // A node that lacks the program says so, and what to do.
        bot.trouble(Trouble::ShellFails {
            matching: "SSH /nodes/*/image-copy".into(),
            status: 69,
            reason: "skopeo is not installed on this node".into(),
            times: Some(1),
        });
        let card = bot.confirmed("/image pull image:redis:8 node:pve1 storage:local", "").await;
        let text = bot.until_says(card.message, "Could not fetch").await;
        for words in ["skopeo is not installed", "gantry doctor", "is not there"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        bot.settle().await;
        bot.without_shell().await;
        let answer = bot.admin().runs("/image pull image:nginx:1.29 node:pve1 storage:local").await;
        for words in ["runs Proxmox VE 8.4", "needs 9.1", "docs/nodeshell.md"] {
            assert!(read(&answer).contains(words), "{words} is not in:\n{}", read(&answer));
        }
    }
}
