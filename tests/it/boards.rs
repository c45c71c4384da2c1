//! Status boards as people meet them: one message that stays true, comes back when somebody deletes it, and is the same
//! one after a crash.

use std::time::Duration;

use proxmox_twin::{GuestSpec, Trouble};
use serde_json::Value;

use crate::bot_test;
use crate::harness::{Bot, text_of, until};

/// Boards in the channel people use, oldest first.
fn boards(bot: &Bot) -> Vec<Value> {
    let mut all = bot.discord.messages("#ops", "viewer").unwrap();
    all.retain(|m| !m["twin"]["ephemeral_for"].is_string() && text_of(m).contains("Looked at"));
    all
}

fn id_of(message: &Value) -> u64 {
    message["id"].as_str().and_then(|id| id.parse().ok()).unwrap()
}

/// Waits until there is a board that is not `other`; its message.
async fn board(bot: &Bot, other: u64) -> u64 {
    let found = || boards(bot).iter().map(id_of).find(|id| *id != other);
    until("there is a board", async || found().is_some()).await;
    found().unwrap()
}

fn edits(bot: &Bot, message: u64) -> usize {
    let own = |e: &&discord_twin::LogEntry| {
        e.method == "PATCH" && e.path.ends_with(&format!("/messages/{message}"))
    };
    bot.discord.log().iter().filter(own).count()
}

bot_test! {
    async fn a_board_stays_true_comes_back_and_goes(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        let viewer = bot.viewer().runs("/board create").await;
        assert!(viewer.text().contains("Not allowed"), "{}", viewer.text());
        let made = bot.admin().runs("/board create").await;
        assert!(made.text().contains("It shows lab"), "{}", made.text());
        let message = board(bot, 0).await;
        let text = bot.until_says(message, "nodes up").await;
        for seen in ["quorate", "Nodes", "Storages", "running", "Looked at"] {
            assert!(text.contains(seen), "{seen}: {text}");
        }
        let again = bot.admin().runs("/board create").await;
        assert!(again.text().contains("has a board already"), "{}", again.text());

        // It follows what happens, in the same message.
        let down = bot.trouble(Trouble::NodeDown { node: "pve3".into() });
        let text = bot.until_says(message, "pve3** is down").await;
        assert!(text.contains("1 node missing"), "{text}");
        bot.proxmox.clear_trouble(down);
        bot.until_says(message, "all is well").await;

        // Killed: the same message goes on. Deleted by somebody: there is another one.
        bot.restart().await;
        bot.trouble(Trouble::NodeDown { node: "pve2".into() });
        bot.until_says(message, "pve2** is down").await;
        assert_eq!(boards(bot).len(), 1);
        bot.delete_message(message).await;
        bot.clock.advance(Duration::from_secs(300));
        let second = board(bot, message).await;
        bot.until_says(second, "pve2** is down").await;

        let list = bot.viewer().runs("/board list").await;
        assert!(list.text().contains("bo_"), "{}", list.text());
        let refused = bot.operator().runs("/board delete").await;
        assert!(refused.text().contains("Not allowed"), "{}", refused.text());
        let gone = bot.admin().runs("/board delete").await;
        assert!(gone.text().contains("goes as well"), "{}", gone.text());
        until("its message is gone", async || boards(bot).is_empty()).await;
        let audit = bot.audit().await;
        for row in ["denied board.create", "confirmed board.create", "denied board.delete", "confirmed board.delete"] {
            assert_eq!(audit.iter().filter(|r| r.starts_with(row)).count(), 1, "{row}: {audit:?}");
        }
    }
}

bot_test! {
    async fn from_a_board_one_looks_at_a_guest_and_acts_on_it(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").pool("prod")).await;
        bot.admin().runs("/board create").await;
        let message = board(bot, 0).await;
        bot.until_says(message, "nodes up").await;
        let menu = bot.custom_id(message, "board-pick");
        let panel = bot.discord.select(message, "operator", &menu, &["lab/5000"]).await.unwrap();
        assert_eq!(panel.error, None, "{panel:?}");
        let seen = || {
            let all = bot.discord.messages("#ops", "operator").unwrap();
            all.into_iter().rev().find(|m| m["twin"]["ephemeral_for"].is_string() && text_of(m).contains("shop"))
        };
        until("the panel is there", async || seen().is_some()).await;
        let panel = id_of(&seen().unwrap());
        let act = bot.custom_id(panel, "pick");
        let started = bot.discord.select(panel, "operator", &act, &["guest.start"]).await.unwrap();
        assert_eq!(started.error, None, "{started:?}");
        until("it was started", async || bot.changes() == ["start 5000"]).await;
        bot.settle().await;
        // The board is everybody's; what a press shows is the presser's.
        let all = bot.custom_id(message, "board-guests");
        let list = bot.discord.press(message, "viewer", &all).await.unwrap();
        assert_eq!(list.error, None, "{list:?}");
        assert_eq!(boards(bot).len(), 1);
    }
}

bot_test! {
    async fn a_board_is_edited_no_more_often_than_said(bot: &mut Bot) {
        bot.admin().runs("/board create").await;
        let message = board(bot, 0).await;
        bot.until_says(message, "nodes up").await;
        let (begin, before) = (bot.clock.now_ms(), edits(bot, message));
        // Something changes with every look for some minutes of the bot's clock.
        for n in 0..40 {
            let node = ["pve1", "pve2"][n % 2].to_owned();
            let id = bot.trouble(Trouble::FillStorage { node, storage: "local-lvm".into(), percent: 40.0 + n as f64 });
            bot.looks().await;
            bot.proxmox.clear_trouble(id);
            bot.clock.advance(Duration::from_secs(3));
        }
        let passed_s = (bot.clock.now_ms() - begin) / 1000;
        let made = edits(bot, message) - before;
        let most = usize::try_from(passed_s / 30).unwrap() + 2;
        assert!(made <= most, "{made} edits in {passed_s} s");
    }
}

bot_test! {
    async fn a_board_shows_nothing_that_its_maker_may_not_see(bot: &mut Bot) {
        let rule = |verbs: &str, effect: &str, on: &str| {
            let role = discord_twin::world::OPERATOR_ROLE;
            format!("[[policy.rules]]\nname = \"{verbs}\"\neffect = \"{effect}\"\nroles = [{role}]\nverbs = [\"{verbs}\"]\non = [\"{on}\"]\n")
        };
        let boards_all = rule("board.*", "allow", "*");
        for (verb, on) in [("alert.list", "*"), ("op.list", "cluster:lab"), ("alert.list", "tag:critical"), ("op.list", "tag:critical")] {
            bot.configured(&format!("{boards_all}{}", rule(verb, "deny", on))).await;
            let refused = bot.operator().runs("/board create").await.text();
            assert!(refused.contains("Not allowed") && refused.contains(verb), "{verb} on {on}: {refused}");
        }
        bot.configured(&boards_all).await;
        let made = bot.operator().runs("/board create").await.text();
        assert!(made.contains("It shows lab"), "{made}");
    }
}
