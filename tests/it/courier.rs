//! Messages tell the latest state, however slow Discord is: one sender at a time, whose lease lasts as long as it sends.

use discord_twin::Trouble;
use proxmox_twin::GuestSpec;

use crate::bot_test;
use crate::harness::{Bot, until};

/// On the bot's clock this is far beyond a card's lease, and beyond the time an answer has before the courier posts.
const SLOW_MS: u64 = 3_000;

/// Calls to Discord that were answered, by route.
fn answered(bot: &Bot, route: &str) -> usize {
    bot.discord.log().iter().filter(|e| e.route == route && e.status < 300).count()
}

bot_test! {
    async fn an_edit_that_takes_longer_than_its_lease_does_not_overwrite_a_newer_one(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        let question = bot.operator().runs("/guest stop guest:shop").await;
        let edits = || answered(bot, "PATCH /channels/{channel_id}/messages/{message_id}");
        let before = edits();
        bot.discord.trouble(Trouble::Hang { route: "edit message".into(), ms: SLOW_MS, times: 1 });
        bot.operator().confirms(&question, "").await;
        bot.settle().await;
        until("the slow edit and another one have arrived", async || edits() >= before + 2).await;
        let store = bot.engine().store().clone();
        until("nothing more is to be shown", async || {
            !store.cards_pending().await.unwrap_or(true)
        })
        .await;
        let shown = crate::harness::text_of(&bot.message(question.message));
        assert!(shown.contains("has shut down"), "an old state came last:\n{shown}");
    }
}

bot_test! {
    async fn an_answer_that_is_slow_to_arrive_is_not_posted_twice(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").pool("prod")).await;
        bot.discord.trouble(Trouble::Hang { route: "edit original".into(), ms: SLOW_MS, times: 1 });
        // Starting asks nothing: the card wants to be shown from the first moment.
        let started = bot.operator().runs("/guest start guest:shop").await;
        bot.settle().await;
        bot.until_says(started.message, "is running").await;
        tokio::task::yield_now().await;
        assert_eq!(answered(bot, "POST /channels/{channel_id}/messages"), 0, "the courier posted it as well");
    }
}
