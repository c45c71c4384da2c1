//! A network that nobody keeps is put back, but never over what somebody did meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::operation::OpState;
use proxmox_twin::GuestSpec;

use crate::bot_test;
use crate::harness::{Bot, Reply};

/// A bridge that is real and waits for Keep.
async fn waits(bot: &Bot) -> Reply {
    let question = bot.admin().runs("/bridge create name:vmbr6 node:pve1 mtu:1400 keep:1").await;
    bot.admin().confirms(&question, "").await;
    bot.until_says(question.message, "Press it once you have seen").await;
    question
}

async fn mtu(bot: &Bot) -> String {
    bot.admin().runs("/bridge show bridge:vmbr6 node:pve1").await.text().replace('\\', "")
}

bot_test! {
    async fn a_newer_change_of_the_same_bridge_outlives_the_deadline(bot: &mut Bot) {
        let question = waits(bot).await;
        let newer = [("type", "bridge"), ("autostart", "1"), ("mtu", "1300")];
        let newer: BTreeMap<String, String> =
            newer.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
        bot.proxmox.meddle_network("pve1", "vmbr6", Some(newer)).unwrap();
        bot.clock.advance(Duration::from_secs(61));
        let text = bot.until_says(question.message, "does not write over").await;
        assert!(text.contains("somebody has changed vmbr6"), "{text}");
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Failed, "{:?}", op.outcome);
        let shown = mtu(bot).await;
        assert!(shown.contains("1300") && !shown.contains("1400"), "{shown}");
    }
}

bot_test! {
    async fn a_bridge_that_guests_came_to_stays(bot: &mut Bot) {
        let question = waits(bot).await;
        let card = "name=eth0,bridge=vmbr6,ip=dhcp";
        bot.has_guest(GuestSpec::lxc(5000, "moved-in").on("pve1").set("net0", card).running()).await;
        bot.clock.advance(Duration::from_secs(61));
        let text = bot.until_says(question.message, "1 guest is on what would be removed").await;
        assert!(!text.contains("cut pve1 off"), "the node answers: {text}");
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Failed, "{text}: {:?}", op.outcome);
        assert!(mtu(bot).await.contains("1400"), "the guest keeps its network");
    }
}
