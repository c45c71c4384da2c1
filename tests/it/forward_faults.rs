//! Forwards under kill -9, lost answers and errors: nothing is left half done, and what a card says is true.

use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, NodeMeddling, Trouble};

use crate::bot_test;
use crate::crash::{Case, through_all_points_from};
use crate::harness::{Bot, Reply};

async fn a_guest(bot: &Bot) {
    let card = "name=eth0,bridge=vmbr0,ip=10.20.5.5/16";
    bot.has_guest(GuestSpec::lxc(5000, "shop-0").on("pve1").set("net0", card).running()).await;
}

fn in_force(bot: &Bot) -> Vec<String> {
    bot.proxmox.forwards("pve1").unwrap_or_default()
}

/// Adds a forward and waits for it; its id.
async fn added(bot: &Bot, port: usize) -> String {
    let question = bot.admin().runs(&format!("/forward add guest:shop-0 port:{port} to:80")).await;
    bot.admin().confirms(&question, "").await;
    assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
    bot.admin().runs("/forward list").await;
    let all = bot.engine().known_forwards();
    let found = all.iter().find(|k| usize::from(k.spec.port) == port);
    found.expect("it is on the list").id.to_string()
}

async fn confirmed(bot: &Bot, command: &str) -> Reply {
    let question = bot.admin().runs(command).await;
    bot.admin().confirms(&question, "").await;
    question
}

/// The table as somebody has made it by hand.
fn by_hand(bot: &Bot, port: usize) {
    let forwards = vec![format!("tcp,ipv4,any,{port},10.20.7.7,22")];
    bot.proxmox.meddle_node(NodeMeddling::Forwards { node: "pve1".into(), forwards });
}

bot_test! {
    async fn a_table_is_made_what_was_asked_for_once(bot: &mut Bot) {
        a_guest(bot).await;
        added(bot, 8080).await;
        let case = Case { steps: 1, done: &["forward-apply"] };
        through_all_points_from(
            bot,
            case,
            async |bot, round| by_hand(bot, 20_000 + round),
            async |bot, _, ()| confirmed(bot, "/forward apply node:pve1").await,
        )
        .await;
        assert_eq!(in_force(bot), ["tcp,ipv4,any,8080,10.20.5.5,80"]);
    }
}

/// Every way in which a call can go wrong, once each.
fn mishaps(call: &str) -> [Trouble; 4] {
    let (matching, times) = (call.to_owned(), Some(1));
    let error = match call.strip_prefix("SSH ") {
        Some(_) => Trouble::ShellFails {
            matching: matching.clone(),
            status: 70,
            reason: "the forwards are in force, but nothing can be written".into(),
            times,
        },
        None => Trouble::Error {
            matching: matching.clone(),
            status: 500,
            reason: "unable to fork worker".into(),
            times,
        },
    };
    [
        Trouble::AnswerLost { matching: matching.clone(), times },
        Trouble::RequestLost { matching: matching.clone(), times },
        Trouble::Truncate { matching, times },
        error,
    ]
}

bot_test! {
    async fn calls_of_a_removal_that_go_wrong_are_looked_for_and_told(bot: &mut Bot) {
        a_guest(bot).await;
        let mut port = 9000;
        for call in ["SSH /nodes/*/forward-apply", "DELETE /nodes/*/lxc/*/firewall/rules/*"] {
            for trouble in mishaps(call) {
                port += 1;
                let id = added(bot, port).await;
                let (at, is_error) = (format!("{trouble:?}"), matches!(trouble, Trouble::Error { .. } | Trouble::ShellFails { .. }));
                bot.trouble(trouble);
                confirmed(bot, &format!("/forward remove forward:{id}")).await;
                let op = bot.settle().await.remove(0);
                assert!(is_error || op.state == OpState::Succeeded, "{at}: {:?}", op.outcome);
                bot.proxmox.clear_all_trouble();
                // Whatever the card says: it is not wanted any more, and the table follows.
                crate::harness::until("its line is gone", async || in_force(bot).is_empty()).await;
            }
        }
    }
}
