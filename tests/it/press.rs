//! Whose press counts: rights at the moment of pressing, one operation per plan, no button that works elsewhere.

use std::time::Duration;

use discord_twin::world::{HOMELAB_GUILD, VIEWER_ROLE};
use proxmox_twin::{GuestSpec, Trouble};

use serde_json::json;

use crate::bot_test;
use crate::harness::Bot;

async fn proposed(bot: &Bot) -> crate::harness::Reply {
    bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
    bot.operator().runs("/guest stop guest:shop").await
}

bot_test! {
    async fn the_viewer_is_refused_with_the_reason_and_it_is_written_down(bot: &mut Bot) {
        let question = proposed(bot).await;
        let refused = bot.viewer().does(&question, "confirm").await;
        assert!(refused.is_ephemeral());
        assert!(refused.text().contains("guest.stop"), "{}", refused.text());
        assert_eq!(bot.changes(), Vec::<String>::new());
        assert!(bot.audit().await.iter().any(|r| r.starts_with("press-denied guest.stop")), "{:?}", bot.audit().await);
        // Asking is refused as well, to the viewer alone.
        let refused = bot.viewer().runs("/guest stop guest:shop").await;
        assert!(refused.is_ephemeral());
        crate::harness::until("the refusal is written down", async || {
            bot.audit().await.iter().any(|r| r.starts_with("denied guest.stop"))
        })
        .await;
    }
}

bot_test! {
    async fn pressed_twice_acts_once(bot: &mut Bot) {
        let question = proposed(bot).await;
        let custom_id = bot.custom_id(question.message, "confirm");
        let press = || bot.discord.press_forged(question.message, "operator", &custom_id);
        let (a, b, c) = tokio::join!(press(), press(), press());
        for answer in [a, b, c] {
            assert_eq!(answer.unwrap().error, None);
        }
        bot.until_says(question.message, "has shut down").await;
        let ops = bot.settle().await;
        assert_eq!(ops.len(), 1);
        assert_eq!(bot.changes(), ["shutdown 5000"]);
        // And once more, long after.
        let late = bot.operator().forges(question.message, &custom_id).await;
        assert!(late.is_ephemeral());
        assert_eq!(bot.settle().await.len(), 1);
    }
}

bot_test! {
    async fn a_button_minted_before_a_restart_works_after_it(bot: &mut Bot) {
        let question = proposed(bot).await;
        bot.restart().await;
        bot.operator().confirms(&question, "").await;
        bot.settle().await;
        assert_eq!(bot.changes(), ["shutdown 5000"]);
    }
}

bot_test! {
    async fn rights_lost_since_asking_are_lost_at_the_press(bot: &mut Bot) {
        let question = proposed(bot).await;
        bot.discord.set_roles(HOMELAB_GUILD, "operator", &[VIEWER_ROLE]).unwrap();
        let refused = bot.operator().does(&question, "confirm").await;
        assert!(refused.is_ephemeral());
        assert_eq!(bot.changes(), Vec::<String>::new());
    }
}

bot_test! {
    async fn forged_buttons_do_nothing(bot: &mut Bot) {
        let question = proposed(bot).await;
        let real = bot.custom_id(question.message, "confirm");
        let mut forged = vec![
            "gantry:1:confirm:".to_owned(),
            "gantry:2".to_owned() + &real[8..],
            real.to_lowercase(),
            real.replace("confirm", "cancel-op"),
            format!("{real}0"),
            "x".repeat(100),
        ];
        let mut flipped = real.clone().into_bytes();
        let last = flipped.len() - 1;
        flipped[last] = if flipped[last] == b'0' { b'1' } else { b'0' };
        forged.push(String::from_utf8(flipped).unwrap());
        for custom_id in forged {
            let answer = bot.admin().forges(question.message, &custom_id).await;
            assert!(answer.is_ephemeral(), "{custom_id}");
        }
        assert_eq!(bot.changes(), Vec::<String>::new());
        assert_eq!(bot.settle().await.len(), 0);
    }
}

bot_test! {
    async fn a_plan_expires(bot: &mut Bot) {
        let question = proposed(bot).await;
        let custom_id = bot.custom_id(question.message, "confirm");
        // Ten minutes pass at once here; which message the card is has been noted long before in reality.
        let plan = custom_id.rsplit(':').next().unwrap().parse().unwrap();
        let engine = bot.engine();
        crate::harness::until("the card knows its message", async || {
            let card = engine.store().find_card_of_plan(&plan).await.unwrap();
            card.is_some_and(|c| c.message.is_some())
        })
        .await;
        bot.clock.advance(Duration::from_secs(601));
        bot.until_says(question.message, "Nobody confirmed it in time").await;
        let late = bot.operator().forges(question.message, &custom_id).await;
        assert!(late.is_ephemeral());
        assert_eq!(bot.changes(), Vec::<String>::new());
    }
}

bot_test! {
    async fn a_changed_world_means_a_new_plan(bot: &mut Bot) {
        let question = proposed(bot).await;
        let first = bot.custom_id(question.message, "confirm");
        bot.meddles(&json!({"action": "tag", "vmid": 5000, "tags": "edited"}));
        let told = bot.operator().does(&question, "confirm").await;
        assert!(told.text().contains("changed"), "{}", told.text());
        assert_eq!(bot.changes().iter().filter(|c| c.starts_with("shutdown")).count(), 0);
        crate::harness::until("the message shows the new plan", async || {
            bot.custom_id(question.message, "confirm") != first
        })
        .await;
        bot.operator().confirms(&question, "").await;
        bot.settle().await;
        assert_eq!(bot.changes().iter().filter(|c| c.starts_with("shutdown")).count(), 1);
    }
}

bot_test! {
    async fn another_guest_with_the_same_number_is_not_touched(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "old").pool("prod")).await;
        let question = bot.admin().runs("/guest delete guest:old").await;
        bot.meddles(&json!({"action": "recreate", "vmid": 5000, "name": "new"}));
        let answer = bot.admin().confirms(&question, "old").await;
        assert!(answer.is_ephemeral(), "{}", answer.text());
        assert!(bot.settle().await.is_empty());
        assert!(bot.proxmox.guest(5000).is_some());
    }
}

bot_test! {
    async fn the_wrong_name_deletes_nothing(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "precious")).await;
        let question = bot.admin().runs("/guest delete guest:precious").await;
        let answer = bot.admin().confirms(&question, "Precious").await;
        assert!(answer.is_ephemeral());
        assert!(bot.settle().await.is_empty());
        bot.admin().confirms(&question, "precious").await;
        bot.settle().await;
        assert_eq!(bot.changes(), ["destroy 5000"]);
    }
}

bot_test! {
    async fn a_running_operation_can_be_cancelled(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "slow").running().pool("prod")).await;
        bot.trouble(Trouble::TaskSlow { task: "vzshutdown".into(), seconds: 120.0 });
        let question = bot.operator().runs("/guest delete guest:slow").await;
        bot.operator().confirms(&question, "slow").await;
        bot.until_says(question.message, "Shutting down").await;
        let refused = bot.viewer().does(&question, "cancel-op").await;
        assert!(refused.is_ephemeral());
        bot.operator().does(&question, "cancel-op").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, gantry_core::operation::OpState::Cancelled, "{op:?}");
        assert!(bot.proxmox.guest(5000).is_some());
    }
}

bot_test! {
    async fn guests_of_one_server_are_not_shown_in_another(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "secret-guest").pool("prod")).await;
        let question = bot.operator().runs("/guest show guest:secret-guest").await;
        assert!(question.text().contains("secret-guest"));
        // Same person, other server, no role there.
        let other = discord_twin::world::OTHER_OPS_CHANNEL;
        if let Ok(offered) = bot.discord.autocomplete("operator", other, "/guest show guest:sec", "guest").await {
            assert!(offered.choices.as_array().is_none_or(Vec::is_empty), "{offered:?}");
        }
    }
}
