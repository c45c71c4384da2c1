//! Calls about pods that go wrong at every step: the answer is lost, the request never arrives, Proxmox fails. Nothing is
//! done twice, nobody is told what is not so.

use crate::bot_test;
use crate::harness::{Bot, Reply};
use crate::lost::goes_wrong_from;
use crate::pods::{applies, file, plans};
use crate::pods_crash::a_leftover;

async fn a_pod(bot: &Bot, name: &str) {
    applies(bot, &file(name, "")).await;
    bot.looks().await;
}

/// Asks for something and confirms it.
async fn asks(bot: &Bot, command: &str, name: &str) -> Reply {
    let question = bot.admin().runs(command).await;
    bot.admin().confirms(&question, name).await;
    question
}

bot_test! {
    async fn a_pod_from_a_file_that_goes_wrong(bot: &mut Bot) {
        for (call, task, did) in [
            ("POST /nodes/*/lxc", "vzcreate", "create"),
            ("POST /nodes/*/lxc/*/status/start", "vzstart", "start"),
        ] {
            goes_wrong_from(bot, (call, task, did), async |_, _| {}, async |bot, round, ()| {
                let plan = plans(bot, &file(&format!("{did}-{round}"), "")).await;
                bot.admin().confirms(&plan, "").await;
                plan
            })
            .await;
        }
    }
}

bot_test! {
    async fn limits_that_are_not_taken(bot: &mut Bot) {
        let ready = async |bot: &Bot, round: usize| a_pod(bot, &format!("limit-{round}")).await;
        let call = "PUT /nodes/*/lxc/*/config";
        goes_wrong_from(bot, (call, "", "config"), ready, async |bot, round, ()| {
            asks(bot, &format!("/pod update pod:limit-{round} memory:2048"), "").await
        })
        .await;
    }
}

bot_test! {
    async fn a_disk_that_does_not_grow(bot: &mut Bot) {
        let ready = async |bot: &Bot, round: usize| a_pod(bot, &format!("disk-{round}")).await;
        let call = "PUT /nodes/*/lxc/*/resize";
        goes_wrong_from(bot, (call, "resize", "resize"), ready, async |bot, round, ()| {
            asks(bot, &format!("/pod update pod:disk-{round} disk:12"), "").await
        })
        .await;
    }
}

bot_test! {
    async fn a_restart_that_goes_wrong(bot: &mut Bot) {
        let ready = async |bot: &Bot, round: usize| a_pod(bot, &format!("boot-{round}")).await;
        let call = "POST /nodes/*/lxc/*/status/reboot";
        goes_wrong_from(bot, (call, "vzreboot", "reboot"), ready, async |bot, round, ()| {
            let spec = file(&format!("boot-{round}"), "entrypoint = \"/sbin/init\"");
            let plan = plans(bot, &spec).await;
            bot.admin().confirms(&plan, "").await;
            plan
        })
        .await;
    }
}

bot_test! {
    async fn a_leftover_that_does_not_go(bot: &mut Bot) {
        let ready = async |bot: &Bot, round: usize| a_leftover(bot, &format!("left-{round}")).await;
        let call = "DELETE /nodes/*/lxc/*";
        goes_wrong_from(bot, (call, "vzdestroy", "destroy"), ready, async |bot, round, question| {
            let asked = bot.admin().does(&question, "clean").await;
            bot.admin().confirms(&asked, &format!("left-{round}")).await;
            asked
        })
        .await;
    }
}

bot_test! {
    async fn a_pod_that_does_not_go(bot: &mut Bot) {
        for (call, task, did) in [
            ("POST /nodes/*/lxc/*/status/shutdown", "vzshutdown", "shutdown"),
            ("DELETE /nodes/*/lxc/*", "vzdestroy", "destroy"),
        ] {
            let ready = async |bot: &Bot, round: usize| a_pod(bot, &format!("{did}-{round}")).await;
            goes_wrong_from(bot, (call, task, did), ready, async |bot, round, ()| {
                let name = format!("{did}-{round}");
                asks(bot, &format!("/pod delete pod:{name}"), &name).await
            })
            .await;
        }
    }
}
