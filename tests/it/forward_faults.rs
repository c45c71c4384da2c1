//! Forwards under kill -9, lost answers and errors: nothing is left half done, and what a card says is true.

use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, NodeMeddling, Trouble};

use crate::bot_test;
use crate::crash::{Case, through_all_moments_from};
use crate::forward::rules;
use crate::harness::{Bot, moments, until};
use crate::lost;

async fn a_guest(bot: &Bot) {
    let card = "name=eth0,bridge=vmbr0,ip=10.20.5.5/16";
    bot.has_guest(GuestSpec::lxc(5000, "shop-0").on("pve1").set("net0", card).running()).await;
}

fn in_force(bot: &Bot) -> Vec<String> {
    bot.proxmox.forwards("pve1").unwrap_or_default()
}

/// Adds a forward and waits for it; its id.
async fn added(bot: &Bot, port: usize) -> String {
    bot.confirmed(&format!("/forward add guest:shop-0 port:{port} to:80"), "").await;
    assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
    bot.admin().runs("/forward list").await;
    let all = bot.engine().known_forwards();
    let found = all.iter().find(|k| usize::from(k.spec.port) == port);
    found.expect("it is on the list").id.to_string()
}

/// The table as somebody has made it by hand.
fn by_hand(bot: &Bot, port: usize) {
    let forwards = vec![format!("tcp,ipv4,any,{port},10.20.7.7,22")];
    bot.proxmox.meddle_node(NodeMeddling::Forwards { node: "pve1".into(), forwards });
}

bot_test! {
    async fn a_forward_is_removed_once(bot: &mut Bot) {
        a_guest(bot).await;
        let case = Case { steps: 3, done: &["firewall", "forward-apply"] };
        through_all_moments_from(
            bot,
            case,
            async |bot, round| added(bot, 20_000 + round).await,
            async |bot, _, id| bot.confirmed(&format!("/forward remove forward:{id}"), "").await,
        )
        .await;
        until("nothing is in force", async || in_force(bot).is_empty()).await;
    }
}

bot_test! {
    async fn what_was_written_before_somebody_stopped_it_is_taken_back(bot: &mut Bot) {
        a_guest(bot).await;
        // Written down; the process dies before it can note that, and somebody wants it to stop meanwhile.
        bot.guillotine.set("after call", 0);
        let question = bot.confirmed("/forward add guest:shop-0 port:8080 to:80", "").await;
        assert!(bot.guillotine.has_fallen(std::time::Duration::from_secs(20)).await);
        until("it can be stopped", async || bot.message(question.message).to_string().contains(":cancel-op:")).await;
        bot.admin().does(&question, "cancel-op").await;
        until("it is noted", async || {
            let page = bot.engine().operations(&Default::default(), 0, 1).await.unwrap();
            page.rows[0].cancel_by.is_some()
        })
        .await;
        bot.restart().await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Cancelled, "{:?}", op.outcome);
        let text = bot.until_says(question.message, "Nothing of it is left").await;
        assert!(text.contains("write the forward down"), "what was done is told: {text}");
        let listed = bot.admin().runs("/forward list").await.text();
        assert!(listed.contains("There are none"), "{listed}");
        bot.clock.advance(std::time::Duration::from_secs(61));
        bot.looks().await;
        assert!(in_force(bot).is_empty());
    }
}

bot_test! {
    async fn a_table_is_made_what_was_asked_for_once(bot: &mut Bot) {
        a_guest(bot).await;
        added(bot, 8080).await;
        let case = Case { steps: 1, done: &["forward-apply"] };
        through_all_moments_from(
            bot,
            case,
            async |bot, round| by_hand(bot, 20_000 + round),
            async |bot, _, ()| bot.confirmed("/forward apply node:pve1", "").await,
        )
        .await;
        assert_eq!(in_force(bot), ["tcp,ipv4,any,8080,10.20.5.5,80"]);
    }
}

/// A guest without a fixed address has a forward and says another address than the one that was confirmed, so that
/// nothing is led there any more.
async fn has_moved(bot: &Bot, round: usize) {
    let says = |address: String| {
        bot.proxmox.meddle_node(NodeMeddling::Says { vmid: 5000, addresses: vec![address] });
    };
    if bot.proxmox.guest(5000).is_none() {
        says("10.20.21.250".to_owned());
        bot.has_guest(GuestSpec::lxc(5000, "shop-0").on("pve1").running()).await;
        added(bot, 8080).await;
    }
    says(format!("10.20.21.{round}"));
    let mut looks = 0;
    until("nothing is led there", async || {
        // Longer than the pause between two looks of gantry's, and not again before it can have looked.
        if looks % 20 == 0 {
            bot.clock.advance(std::time::Duration::from_secs(31));
        }
        looks += 1;
        in_force(bot).is_empty()
    })
    .await;
}

fn leads_to(round: usize) -> Vec<String> {
    vec![format!("tcp,ipv4,any,8080,10.20.21.{round},80")]
}

bot_test! {
    async fn an_address_is_confirmed_anew_once(bot: &mut Bot) {
        let case = Case { steps: 2, done: &["forward-apply"] };
        let last = moments(case.steps).count();
        through_all_moments_from(
            bot,
            case,
            async |bot, round| has_moved(bot, round).await,
            async |bot, _, ()| bot.confirmed("/forward apply node:pve1", "").await,
        )
        .await;
        until("it is led to where it was confirmed last", async || in_force(bot) == leads_to(last)).await;
    }
}

bot_test! {
    async fn what_was_confirmed_anew_is_in_force_whatever_becomes_of_the_call(bot: &mut Bot) {
        for (n, trouble) in mishaps("SSH /nodes/*/forward-apply").into_iter().enumerate() {
            has_moved(bot, n + 1).await;
            let (at, is_error) = (format!("{trouble:?}"), matches!(trouble, Trouble::ShellFails { .. }));
            bot.trouble(trouble);
            bot.confirmed("/forward apply node:pve1", "").await;
            let op = bot.settle().await.remove(0);
            assert!(is_error || op.state == OpState::Succeeded, "{at}: {:?}", op.outcome);
            assert!(op.state != OpState::Succeeded || in_force(bot) == leads_to(n + 1), "{at}: {:?}", op.outcome);
            assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
            // What was confirmed is written down before the call: even after one that failed the table follows.
            until("it is led there", async || in_force(bot) == leads_to(n + 1)).await;
        }
    }
}

/// Every way in which a call can go wrong, once each.
fn mishaps(call: &str) -> [Trouble; 4] {
    lost::mishaps(call, (70, "the forwards are in force, but nothing can be written"))
}

bot_test! {
    async fn an_addition_that_goes_wrong_comes_about_or_leaves_nothing(bot: &mut Bot) {
        a_guest(bot).await;
        let mut port = 9500;
        for call in ["SSH /nodes/*/forward-apply", "POST /nodes/*/lxc/*/firewall/rules"] {
            for trouble in mishaps(call) {
                port += 1;
                let (at, is_error) = (format!("{trouble:?}"), matches!(trouble, Trouble::Error { .. } | Trouble::ShellFails { .. }));
                let before = (in_force(bot).len(), rules(bot, 5000).await.len());
                bot.trouble(trouble);
                let card = bot.confirmed(&format!("/forward add guest:shop-0 port:{port} to:80"), "").await;
                let op = bot.settle().await.remove(0);
                assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
                let there = in_force(bot).iter().any(|line| line.contains(&format!(",{port},")));
                assert_eq!(op.state == OpState::Succeeded, there, "{at}: {:?}", op.outcome);
                assert!(is_error || there, "{at}: {:?}", op.outcome);
                let now = (in_force(bot).len(), rules(bot, 5000).await.len());
                let more = usize::from(there);
                assert_eq!(now, (before.0 + more, before.1 + more), "{at}: {:?}", op.outcome);
                bot.until_says(card.message, if there { "in force" } else { "Nothing of it is left" }).await;
            }
        }
    }
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
                bot.confirmed(&format!("/forward remove forward:{id}"), "").await;
                let op = bot.settle().await.remove(0);
                assert!(is_error || op.state == OpState::Succeeded, "{at}: {:?}", op.outcome);
                assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
                bot.proxmox.clear_all_trouble();
                // Whatever the card says: it is not wanted any more, and the table follows.
                until("its line is gone", async || in_force(bot).is_empty()).await;
            }
        }
    }
}

bot_test! {
    async fn calls_of_an_apply_that_go_wrong_are_looked_for_and_told(bot: &mut Bot) {
        a_guest(bot).await;
        added(bot, 8080).await;
        for (n, trouble) in mishaps("SSH /nodes/*/forward-apply").into_iter().enumerate() {
            by_hand(bot, 9000 + n);
            let (at, is_error) = (format!("{trouble:?}"), matches!(trouble, Trouble::ShellFails { .. }));
            bot.trouble(trouble);
            bot.confirmed("/forward apply node:pve1", "").await;
            let op = bot.settle().await.remove(0);
            let right = in_force(bot) == ["tcp,ipv4,any,8080,10.20.5.5,80"];
            assert_eq!(op.state == OpState::Succeeded, right, "{at}: {:?}", op.outcome);
            assert!(is_error || right, "{at}: {:?}", op.outcome);
            assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
            bot.proxmox.clear_all_trouble();
        }
    }
}
