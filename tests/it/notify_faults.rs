//! Notifications being set up and removed under lost answers, errors and kill -9: each object is written once, and what a
//! card says is true.

use gantry_core::operation::OpState;
use serde_json::json;

use crate::bot_test;
use crate::crash::{Case, through_all_moments_from};
use crate::harness::{Bot, moments};
use crate::lost::{Mishap, trouble};
use crate::notify::{MATCHER, SECRET, TARGET, begins};

const INSTALL: &str = "/cluster notify install";
const REMOVE: &str = "/cluster notify remove";
const MISHAPS: [Mishap; 4] =
    [Mishap::AnswerLost, Mishap::RequestLost, Mishap::Truncated, Mishap::ServerError];

fn gone(bot: &Bot) {
    for name in [MATCHER, TARGET] {
        bot.proxmox.meddle_notifications(name, None);
    }
}

async fn there(bot: &Bot) {
    bot.confirmed(INSTALL, "").await;
    // Whether its test is heard in time is not the question here, and depends on what else the machine does.
    let state = bot.settle().await[0].state;
    assert!(matches!(state, OpState::Succeeded | OpState::Warned), "{state:?}");
}

fn times(bot: &Bot, what: &str) -> usize {
    bot.proxmox.changes().iter().filter(|c| c.what == what).count()
}

/// Every call of a command lost, cut off or refused once: it is looked for, and each object is written once.
async fn goes_wrong(bot: &Bot, command: &str, calls: &[(&str, &str)], prepare: impl AsyncFn(&Bot)) {
    for (call, did) in calls {
        for mishap in MISHAPS {
            prepare(bot).await;
            bot.proxmox.forget();
            bot.trouble(trouble(mishap, call, ""));
            let question = bot.confirmed(command, "").await;
            let op = bot.settle().await.remove(0);
            let at = format!("{command}: {call}, {mishap:?}: {:?}", op.outcome);
            assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
            assert!(times(bot, did) <= 1, "{at}: {:?}", bot.changes());
            // A test that was not answered, and not heard, is told; everything else is looked for and done.
            let heard = matches!(mishap, Mishap::AnswerLost | Mishap::Truncated);
            let wanted = match *did {
                "notify-test" if !heard => OpState::Warned,
                _ => OpState::Succeeded,
            };
            assert_eq!(op.state, wanted, "{at}");
            assert_eq!(times(bot, did), usize::from(wanted == OpState::Succeeded), "{at}");
            let summary = op.outcome.unwrap().summary;
            bot.until_says(question.message, &summary).await;
            if command == INSTALL {
                assert_eq!(
                    bot.proxmox.webhook_secret(TARGET, "token").as_deref(),
                    Some(SECRET),
                    "{at}"
                );
            }
        }
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_it_is_set_up(bot: &mut Bot) {
        begins(bot).await;
        let calls = [
            ("POST /cluster/notifications/endpoints/webhook", "notify-target"),
            ("POST /cluster/notifications/matchers", "notify-matcher"),
            ("POST /cluster/notifications/targets/*/test", "notify-test"),
        ];
        goes_wrong(bot, INSTALL, &calls, async |bot| gone(bot)).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_it_is_put_right(bot: &mut Bot) {
        begins(bot).await;
        there(bot).await;
        let calls = [
            ("PUT /cluster/notifications/endpoints/webhook/*", "notify-target"),
            ("PUT /cluster/notifications/matchers/*", "notify-matcher"),
        ];
        goes_wrong(bot, INSTALL, &calls, async |bot| {
            for name in [TARGET, MATCHER] {
                bot.proxmox.meddle_notifications(name, Some(("disable", json!("1"))));
            }
        })
        .await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_it_is_removed(bot: &mut Bot) {
        begins(bot).await;
        let calls = [
            ("DELETE /cluster/notifications/matchers/*", "notify-matcher-gone"),
            ("DELETE /cluster/notifications/endpoints/webhook/*", "notify-target-gone"),
        ];
        goes_wrong(bot, REMOVE, &calls, async |bot| there(bot).await).await;
    }
}

bot_test! {
    async fn a_secret_that_is_sent_again_is_known_to_have_arrived(bot: &mut Bot) {
        begins(bot).await;
        there(bot).await;
        let calls = [("PUT /cluster/notifications/endpoints/webhook/*", "notify-target")];
        goes_wrong(bot, "/cluster notify install secret:True", &calls, async |_| {}).await;
    }
}

bot_test! {
    async fn it_is_set_up_once_wherever_the_process_dies(bot: &mut Bot) {
        begins(bot).await;
        let case = Case { steps: 2, done: &["notify-target", "notify-matcher"] };
        through_all_moments_from(
            bot,
            case,
            async |bot, _| gone(bot),
            async |bot, _, ()| bot.confirmed(INSTALL, "").await,
        )
        .await;
    }
}

bot_test! {
    async fn it_is_removed_once_wherever_the_process_dies(bot: &mut Bot) {
        begins(bot).await;
        let case = Case { steps: 2, done: &["notify-matcher-gone", "notify-target-gone"] };
        through_all_moments_from(
            bot,
            case,
            async |bot, _| there(bot).await,
            async |bot, _, ()| bot.confirmed(REMOVE, "").await,
        )
        .await;
    }
}

bot_test! {
    async fn a_test_is_sent_once_wherever_the_process_dies(bot: &mut Bot) {
        begins(bot).await;
        let mut reached = 0;
        for (_, point) in moments(1) {
            gone(bot);
            bot.proxmox.forget();
            let begin = async |bot: &Bot| bot.confirmed(INSTALL, "").await;
            let (dies, _) = bot.dies_at(point, 2, begin).await;
            reached += usize::from(dies);
            let op = bot.settle().await.remove(0);
            let at = format!("killed {point}: {:?}", op.outcome);
            assert!(times(bot, "notify-test") <= 1, "{at}");
            // Between the intent and the call nobody can know whether it was sent; that it was not heard is told.
            let warns = point == "after intent" && op.state == OpState::Warned;
            assert!(warns || op.state == OpState::Succeeded, "{at}");
        }
        assert!(reached >= moments(1).count() - 2, "only {reached} points were reached");
    }
}
