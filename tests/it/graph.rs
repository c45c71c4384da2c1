//! Graphs as a person sees them: a picture that only they see, for what they may see, over the time they pick.

use proxmox_twin::GuestSpec;
use serde_json::Value;

use crate::bot_test;
use crate::harness::Bot;

/// Where the picture of a message stands; fails when it shows none.
fn picture(bot: &Bot, message: u64) -> String {
    let message: Value = bot.message(message);
    let url = message["embeds"][0]["image"]["url"].as_str().unwrap_or_default();
    assert!(url.contains("/attachments/") && url.contains("graph.png"), "{message}");
    url.to_owned()
}

bot_test! {
    async fn a_guest_over_an_hour_then_over_a_week(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        let graph = bot.viewer().runs("/graph guest guest:shop show:Memory").await;
        assert!(graph.is_ephemeral());
        assert!(graph.text().contains("Memory of shop"), "{}", graph.text());
        let first = picture(bot, graph.message);
        let menu = bot.custom_id(graph.message, "pick");
        let week = bot.discord.select(graph.message, "viewer", &menu, &["week"]).await.unwrap();
        assert_eq!(week.error, None, "{week:?}");
        bot.until_says(graph.message, "Last week").await;
        assert_ne!(first, picture(bot, graph.message), "the picture is a new one");
    }
}

bot_test! {
    async fn nodes_storages_and_guests_side_by_side(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.has_guest(GuestSpec::qemu(5001, "db").running().pool("prod")).await;
        for (command, title) in [
            ("/graph node node:pve1", "CPU of pve1"),
            ("/graph node node:pve2 show:\"Load average\" time:Day", "Load average of pve2"),
            ("/graph storage storage:local node:pve1 time:Month", "Disk of local"),
            ("/graph compare one:shop two:db show:Network", "Network of 2 guests"),
        ] {
            let graph = bot.operator().runs(command).await;
            assert!(graph.text().contains(title), "{command}: {}", graph.text());
            picture(bot, graph.message);
        }
        let graph = bot.operator().runs("/graph storage storage:local").await;
        assert!(graph.text().contains("Give the option node"), "{}", graph.text());
        let graph = bot.operator().runs("/graph guest guest:nobody").await;
        assert!(graph.text().contains("nobody"), "{}", graph.text());
    }
}
