//! Somebody who wants more than they are given, and weather that would help them: what they see, what they stop,
//! what they slow down.

use std::time::{Duration, Instant};

use discord_twin::world::{HOMELAB_GUILD, OTHER_OPS_CHANNEL};
use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, Trouble};

use crate::bot_test;
use crate::harness::{Bot, PATIENCE};

/// Runs a command in the other server and waits for what it says there.
async fn elsewhere(bot: &Bot, who: &str, text: &str) -> String {
    let answer = bot.discord.run(who, OTHER_OPS_CHANNEL, text).await.unwrap();
    let since = answer.interaction_id;
    let said = bot
        .discord
        .until_message(OTHER_OPS_CHANNEL, who, PATIENCE, |m| {
            let id = m["id"].as_str().and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
            id > since && m["twin"]["thinking"] == false
        })
        .await;
    said.map(|m| crate::harness::text_of(&m)).unwrap_or_else(|| panic!("{text} was never answered"))
}

bot_test! {
    async fn what_one_server_did_is_not_told_in_another(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "secretguest").running().pool("prod")).await;
        let question = bot.admin().runs("/guest stop guest:secretguest").await;
        bot.admin().confirms(&question, "").await;
        let op = bot.settle().await.remove(0);
        // In the other server everybody may list and show operations and read the audit log.
        let told = elsewhere(bot, "operator", &format!("/op show op:{}", op.id)).await;
        assert!(told.contains("another server"), "{told}");
        for text in [
            "/op list".to_owned(),
            format!("/op show op:{}", op.id),
            "/audit list".to_owned(),
            format!("/audit list op:{}", op.id),
        ] {
            let told = elsewhere(bot, "operator", &text).await;
            assert!(!told.contains("secretguest") && !told.contains("5000"), "{text}: {told}");
        }
        // At home it is told.
        let told = bot.operator().runs(&format!("/op show op:{}", op.id)).await;
        assert!(told.text().contains("secretguest"), "{}", told.text());
        let told = bot.operator().runs("/op list").await;
        assert!(told.text().contains("secretguest"), "{}", told.text());
    }
}

bot_test! {
    async fn plans_and_refusals_are_no_way_to_names_one_may_not_see(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "secretguest").running()).await;
        bot.has_guest(GuestSpec::lxc(5001, "mine").running().tags("mine")).await;
        // A plan that nobody confirms, and a refusal that leaves nothing but words.
        bot.admin().runs("/guest stop guest:secretguest").await;
        bot.admin().runs("/guest stop guest:mine").await;
        bot.operator().runs("/guest stop guest:secretguest").await;
        crate::harness::until("the refusal is written down", async || {
            bot.audit().await.iter().any(|r| r.starts_with("denied guest.stop"))
        })
        .await;
        // Everybody may read the audit log of guests tagged `mine`, and of nothing else.
        bot.discord.set_roles(HOMELAB_GUILD, "viewer", &[]).unwrap();
        let told = bot.viewer().runs("/audit list").await;
        assert!(!told.text().contains("secretguest"), "{}", told.text());
        assert!(told.text().contains("mine"), "{}", told.text());
        let told = bot.admin().runs("/audit list").await;
        assert!(told.text().contains("secretguest"), "{}", told.text());
    }
}

bot_test! {
    async fn a_cancel_that_does_not_reach_proxmox_is_sent_again(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "slow").running().pool("prod")).await;
        bot.trouble(Trouble::TaskSlow { task: "vzshutdown".into(), seconds: 8.0 });
        bot.trouble(Trouble::RequestLost { matching: "DELETE /nodes/*/tasks/*".into(), times: Some(2) });
        let question = bot.operator().runs("/guest stop guest:slow").await;
        bot.operator().confirms(&question, "").await;
        bot.until_says(question.message, "Shutting down").await;
        bot.operator().does(&question, "cancel-op").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Cancelled, "{op:?}");
    }
}

bot_test! {
    async fn a_task_of_an_earlier_guest_with_the_same_number_is_not_taken_for_ours(bot: &mut Bot) {
        let question = bot.asks_for_pod("first").await;
        bot.admin().confirms(&question, "").await;
        let first = bot.settle().await.remove(0);
        assert_eq!(first.state, OpState::Succeeded, "{first:?}");
        let question = bot.admin().runs("/pod delete pod:first").await;
        bot.admin().confirms(&question, "first").await;
        bot.settle().await;
        bot.looks().await;
        bot.trouble(Trouble::RequestLost { matching: "POST /nodes/*/lxc".into(), times: Some(1) });
        let question = bot.asks_for_pod("second").await;
        bot.admin().confirms(&question, "").await;
        let second = bot.settle().await.remove(0);
        assert_eq!(second.vmid, first.vmid, "Proxmox gave another number; the test tests nothing");
        assert!(!second.steps[0].adopted, "{second:?}");
        // Whether it was carried out cannot be known; that it failed is not known either.
        assert_eq!(second.state, OpState::Unknown, "{second:?}");
    }
}

bot_test! {
    async fn storages_that_do_not_answer_keep_nobody_from_seeing_the_cluster(bot: &mut Bot) {
        bot.trouble(Trouble::Hang {
            matching: "GET /nodes/*/storage/*/content".into(),
            ms: None,
            times: None,
            anyway: false,
        });
        let begun = Instant::now();
        // Starting waits until the cluster has been read once.
        bot.restart().await;
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        let view = bot.engine().views().remove(0);
        assert_eq!(view.fault, None);
    }
}

bot_test! {
    async fn who_may_create_nothing_learns_nothing_of_nodes(bot: &mut Bot) {
        let told = bot.viewer().runs("/pod create name:x image:y node:no-such-node").await;
        assert!(told.is_ephemeral());
        assert!(told.text().contains("pod.create"), "{}", told.text());
        assert!(!told.text().contains("no-such-node"), "{}", told.text());
    }
}

bot_test! {
    async fn two_operations_on_one_guest_take_turns(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "busy").running()).await;
        let (one, two) = (
            bot.admin().runs("/guest stop guest:busy").await,
            bot.admin().runs("/guest reboot guest:busy").await,
        );
        bot.trouble(Trouble::TaskSlow { task: "vzshutdown".into(), seconds: 1.0 });
        bot.admin().confirms(&one, "").await;
        bot.admin().confirms(&two, "").await;
        bot.until_says(two.message, "is at work on the same guest").await;
        bot.until_says(one.message, "has shut down").await;
        bot.until_says(two.message, "Could not restart").await;
        bot.settle().await;
        assert_eq!(bot.changes(), ["shutdown 5000"]);
    }
}
