//! Bad weather at Discord and at Proxmox: limits, cuts, silent nodes. Messages arrive, others stay quick.

use std::time::{Duration, Instant};

use discord_twin::Trouble as Discord;
use proxmox_twin::{GuestSpec, Trouble};

use crate::bot_test;

bot_test! {
    async fn rate_limits_lose_no_message(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop")).await;
        for scope in ["user", "global", "shared"] {
            bot.discord.trouble(Discord::RateLimit {
                route: "edit message".into(),
                times: 2,
                retry_after_ms: 50, // real time, while the lease of a card passes twenty times as fast here
                scope: scope.into(),
            });
        }
        let card = bot.admin().runs("/guest start guest:shop").await;
        bot.until_says(card.message, "was started").await;
    }
}

bot_test! {
    async fn an_edit_whose_answer_is_lost_is_not_a_second_message(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop")).await;
        bot.discord.trouble(Discord::CutAfter { route: "edit message".into(), times: 2 });
        let before = bot.admin().sees().len();
        let card = bot.admin().runs("/guest start guest:shop").await;
        bot.until_says(card.message, "was started").await;
        assert_eq!(bot.admin().sees().len(), before + 1);
    }
}

bot_test! {
    async fn a_deleted_card_is_posted_again(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running()).await;
        let question = bot.admin().runs("/guest stop guest:shop").await;
        bot.trouble(Trouble::TaskSlow { task: "vzshutdown".into(), seconds: 2.0 });
        bot.admin().confirms(&question, "").await;
        bot.delete_message(question.message).await;
        let found = bot
            .discord
            .until_message("#ops", "admin", crate::harness::PATIENCE, |m| {
                crate::harness::text_of(m).contains("has shut down")
            })
            .await;
        assert!(found.is_some());
    }
}

bot_test! {
    async fn the_gateway_comes_back_and_nothing_is_done_twice(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop")).await;
        for trouble in [Discord::CutTcp, Discord::Reconnect, Discord::Close { code: 4000 }] {
            bot.discord.trouble(trouble);
            assert!(bot.discord.until_online(Duration::from_secs(30)).await);
        }
        let card = bot.admin().runs("/guest start guest:shop").await;
        bot.until_says(card.message, "was started").await;
        assert_eq!(bot.changes(), ["start 5000"]);
    }
}

bot_test! {
    async fn one_silent_node_slows_nobody_else(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5001, "here").on("pve1")).await;
        bot.has_guest(GuestSpec::lxc(5003, "there").on("pve3").running()).await;
        bot.trouble(Trouble::NodeSilent { node: "pve3".into() });
        // Somebody runs into it, which opens the breaker.
        for _ in 0..6 {
            bot.admin().runs("/guest show guest:there").await;
            bot.looks().await;
        }
        let begun = Instant::now();
        let card = bot.admin().runs("/guest start guest:here").await;
        bot.until_says(card.message, "was started").await;
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        // Said plainly, with what was known before.
        let nodes = bot.admin().runs("/node list").await.text();
        assert!(nodes.contains("pve3"), "{nodes}");
        assert!(nodes.contains("is unreachable"), "{nodes}");
        // It is found again by itself.
        bot.proxmox.clear_all_trouble();
        let engine = bot.engine();
        let cluster = engine.views()[0].cluster.clone();
        crate::harness::until("pve3 is up again", async || {
            engine.refresh(&cluster, Duration::ZERO).await;
            let pve3 = "pve3".parse().unwrap();
            engine.view(&cluster).is_some_and(|v| {
                v.node(&pve3).is_some_and(|n| n.state == gantry_core::world::NodeState::Up)
            })
        })
        .await;
    }
}

bot_test! {
    async fn what_is_on_a_node_that_is_down_is_told_from_memory_without_asking(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5003, "there").on("pve3").running()).await;
        bot.trouble(Trouble::NodeDown { node: "pve3".into() });
        bot.looks().await;
        bot.proxmox.forget();
        let shown = bot.admin().runs("/guest show guest:there").await.text();
        assert!(shown.contains("pve3 is down") && shown.contains("ago"), "{shown}");
        bot.looks().await;
        let node = bot.admin().runs("/node status node:pve3").await.text();
        assert!(node.contains("pve3 is down"), "{node}");
        bot.looks().await;
        let refused = bot.admin().runs("/guest stop guest:there").await;
        assert!(refused.is_ephemeral(), "nothing was proposed, so the channel need not know");
        assert!(refused.text().contains("pve3 is down"), "{}", refused.text());
        let asked: Vec<_> = bot.proxmox.requests();
        let asked: Vec<_> = asked.iter().filter(|r| r.path.contains("/nodes/pve3/lxc")).collect();
        assert!(asked.is_empty(), "{asked:?}");
    }
}

bot_test! {
    async fn five_hundred_people_make_one_request(bot: &mut Bot) {
        let engine = bot.engine();
        let cluster = engine.views()[0].cluster.clone();
        bot.looks().await;
        bot.proxmox.forget();
        bot.clock.advance(Duration::from_secs(60));
        let asked = futures::future::join_all(
            (0..500).map(|_| engine.refresh(&cluster, Duration::from_secs(1))),
        );
        let views = asked.await;
        assert_eq!(views.len(), 500);
        let upstream =
            bot.proxmox.requests().iter().filter(|r| r.path.ends_with("/cluster/resources")).count();
        // The watcher may have read once more on its own.
        assert!(upstream <= 2, "{upstream} requests");
    }
}

bot_test! {
    async fn without_quorum_nothing_is_changed_and_it_is_said(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running()).await;
        bot.trouble(Trouble::NoQuorum);
        let question = bot.admin().runs("/guest stop guest:shop").await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "quorum").await;
        assert_eq!(bot.changes(), Vec::<String>::new());
        bot.proxmox.clear_all_trouble();
        bot.clock.advance(Duration::from_secs(60));
        bot.settle().await;
    }
}

#[test]
fn logging_was_on_for_the_canary() {
    crate::harness::run(crate::harness::Database::sqlite(), |bot| async move {
        bot.close().await;
        assert!(crate::harness::canary::seen() > 10_000);
    });
}
