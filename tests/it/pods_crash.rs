//! Kill -9 anywhere while a pod is made from a file, changed, cleaned up or deleted: nothing is done twice, nothing is
//! told that is not so.

use proxmox_twin::Trouble;

use crate::bot_test;
use crate::crash::{Case, through_all_moments_from};
use crate::harness::{Bot, Reply};
use crate::pods::{applies, file, plans};

/// A pod whose start failed; the message with its button.
pub async fn a_leftover(bot: &Bot, name: &str) -> Reply {
    bot.trouble(Trouble::TaskFails {
        task: "vzstart".into(),
        exitstatus: "no".into(),
        times: Some(1),
    });
    let question = bot.asks_for_pod(name).await;
    bot.admin().confirms(&question, "").await;
    bot.settle().await;
    bot.until_says(question.message, "Delete what is left").await;
    bot.looks().await;
    question
}

bot_test! {
    async fn a_pod_from_a_file_is_created_once(bot: &mut Bot) {
        let case = Case { steps: 2, done: &["create", "start"] };
        through_all_moments_from(bot, case, async |_, _| {}, async |bot, round, ()| {
            let plan = plans(bot, &file(&format!("filed-{round}"), "")).await;
            bot.admin().confirms(&plan, "").await;
            plan
        })
        .await;
    }
}

bot_test! {
    async fn limits_and_a_disk_are_changed_once(bot: &mut Bot) {
        applies(bot, &file("grown-0", "")).await;
        let case = Case { steps: 2, done: &["config", "resize"] };
        through_all_moments_from(bot, case, async |_, _| {}, async |bot, round, ()| {
            bot.looks().await;
            let (memory, disk) = (1100 + round, 8 + round);
            let ask = format!("/pod update pod:grown-0 memory:{memory} disk:{disk}");
            let question = bot.admin().runs(&ask).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_change_that_takes_a_restart_is_made_once(bot: &mut Bot) {
        applies(bot, &file("again-0", "")).await;
        let case = Case { steps: 2, done: &["config", "reboot"] };
        through_all_moments_from(bot, case, async |_, _| {}, async |bot, round, ()| {
            let spec = file("again-0", &format!("entrypoint = \"/sbin/init {round}\""));
            let plan = plans(bot, &spec).await;
            bot.admin().confirms(&plan, "").await;
            plan
        })
        .await;
    }
}

bot_test! {
    async fn what_a_creation_left_is_deleted_once(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["destroy"] };
        let ready = async |bot: &Bot, round: usize| a_leftover(bot, &format!("left-{round}")).await;
        through_all_moments_from(bot, case, ready, async |bot, round, question| {
            let asked = bot.admin().does(&question, "clean").await;
            bot.admin().confirms(&asked, &format!("left-{round}")).await;
            asked
        })
        .await;
    }
}

bot_test! {
    async fn a_running_pod_with_volumes_is_deleted_once(bot: &mut Bot) {
        let case = Case { steps: 2, done: &["shutdown", "destroy"] };
        let ready = async |bot: &Bot, round: usize| {
            applies(bot, &file(&format!("gone-{round}"), "")).await;
            bot.looks().await;
        };
        through_all_moments_from(bot, case, ready, async |bot, round, ()| {
            let name = format!("gone-{round}");
            let question = bot.admin().runs(&format!("/pod delete pod:{name}")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}
