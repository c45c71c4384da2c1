//! Changes of networks under lost answers, errors and a node that is cut off: whatever happens and nobody having pressed
//! Keep, everything is as it was, and what the card says is true.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::operation::OpState;
use gantry_proxmox::{Client, IfaceChange, SdnView, TaskStatus};
use proxmox_twin::Trouble;

use crate::bot_test;
use crate::harness::{Bot, until};

fn bridge(pairs: &[(&str, &str)]) -> IfaceChange {
    let all = [("type", "bridge"), ("autostart", "1")];
    let set: BTreeMap<String, String> =
        all.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    IfaceChange { set, unset: Vec::new() }
}

async fn over(client: &Client, accepted: gantry_proxmox::Accepted) {
    until("the task is over", async || {
        matches!(client.task_status(&accepted.upid).await, Ok(TaskStatus::Stopped { .. }))
    })
    .await;
}

/// A change of a network that is asked for again and again, and put back each time.
struct Change {
    ask: &'static str,
    /// What is typed for what cannot be undone.
    typed: &'static str,
}

/// Makes the world in which a change can be asked for.
async fn ready(bot: &Bot) {
    let (client, node) = (bot.somebody(), "pve1".parse().unwrap());
    let there = client.node_network(&node).await.unwrap();
    if !there.ifaces.iter().any(|i| i.id == "vmbr7") {
        client
            .create_iface(&node, "vmbr7", &bridge(&[("mtu", "9000"), ("comments", "old")]))
            .await
            .unwrap();
        over(&client, client.reload_network(&node).await.unwrap()).await;
    }
}

/// Everything that runs, and whether anything is pending.
async fn world(bot: &Bot) -> String {
    let (client, node) = (bot.somebody(), "pve1".parse().unwrap());
    let net = client.node_network(&node).await.unwrap();
    let ifaces = &net.ifaces;
    let staged = net.changes.is_some();
    let vnets = client.sdn_vnets(SdnView::Running).await.unwrap();
    let zones = client.sdn_zones(SdnView::Running).await.unwrap();
    let mut subnets = Vec::new();
    for vnet in &vnets {
        subnets.push(client.sdn_subnets(&vnet.id, SdnView::Running).await.unwrap());
    }
    let shown = bot.admin().runs("/bridge show bridge:vmbr7 node:pve1").await.text();
    let switches: Vec<&str> = shown
        .lines()
        .filter(|l| {
            ["spanning tree", "multicast snooping", "isolated"].iter().any(|w| l.contains(w))
        })
        .collect();
    format!("{ifaces:?} {staged} {vnets:?} {zones:?} {subnets:?} {switches:?}")
}

async fn is_as_before(bot: &Bot, before: &str, at: &str) {
    let op = bot.ends().await;
    assert!(
        matches!(op.state, OpState::Cancelled | OpState::Failed),
        "{at}: ended as {:?}: {:?}",
        op.state,
        op.outcome
    );
    assert_eq!(world(bot).await, before, "{at}: {:?}", op.outcome);
}

/// Every call lost, cut off or refused once.
async fn gone_wrong(bot: &mut Bot, change: Change, calls: &[&str]) {
    ready(bot).await;
    let before = world(bot).await;
    for call in calls {
        for kind in 0..4 {
            ready(bot).await;
            let (matching, times) = ((*call).to_owned(), Some(1));
            let trouble = match (kind, call.starts_with("SSH")) {
                (0, _) => Trouble::AnswerLost { matching, times },
                (1, _) => Trouble::RequestLost { matching, times },
                (2, _) => Trouble::Truncate { matching, times },
                (_, false) => Trouble::Error {
                    matching,
                    status: 500,
                    reason: "unable to fork worker".into(),
                    times,
                },
                (_, true) => Trouble::ShellFails {
                    matching,
                    status: 65,
                    reason: "the bridge does not take it".into(),
                    times,
                },
            };
            let at = format!("{}, {trouble:?}", change.ask);
            bot.trouble(trouble);
            bot.confirmed(change.ask, change.typed).await;
            is_as_before(bot, &before, &at).await;
            bot.proxmox.clear_all_trouble();
        }
    }
}

const SECURE: &str =
    "/bridge secure bridge:vmbr7 node:pve1 vlans:\"10 20\" stp:True snooping:False keep:1";
const DELETE: &str = "/bridge delete bridge:vmbr7 node:pve1 keep:1";
const VNET: &str =
    "/vnet create name:shop zone:z2 kind:simple subnet:10.7.0.0/24 gateway:10.7.0.1 keep:1";

bot_test! {
    async fn calls_that_go_wrong_while_a_bridge_is_made_safer(bot: &mut Bot) {
        let calls = ["PUT /nodes/*/network/*", "PUT /nodes/*/network", "SSH /nodes/*/bridge-set"];
        gone_wrong(bot, Change { ask: SECURE, typed: "" }, &calls).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_a_bridge_is_removed(bot: &mut Bot) {
        let calls = ["DELETE /nodes/*/network/*", "PUT /nodes/*/network", "POST /nodes/*/network"];
        gone_wrong(bot, Change { ask: DELETE, typed: "vmbr7" }, &calls).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_a_vnet_is_made(bot: &mut Bot) {
        let calls = ["POST /cluster/sdn/zones", "POST /cluster/sdn/vnets", "PUT /cluster/sdn", "DELETE /cluster/sdn/vnets/*"];
        gone_wrong(bot, Change { ask: VNET, typed: "" }, &calls).await;
    }
}

bot_test! {
    async fn a_change_that_cuts_its_node_off_says_what_to_do_at_the_console(bot: &mut Bot) {
        let question = bot.admin().runs("/bridge create name:vmbr6 node:pve1 keep:1").await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        // Its own mistake, or somebody else's: from now on nobody reaches the node.
        let broken = bot.trouble(Trouble::NetworkBroken { node: "pve1".into() });
        let text = bot.until_says(question.message, "may have cut pve1 off").await;
        assert!(text.contains("/etc/network/interfaces") && text.contains("ifreload -a"), "{text}");
        bot.clock.advance(Duration::from_secs(61));
        // Somebody was at the console: it is put back as soon as the node answers.
        bot.proxmox.clear_trouble(broken);
        bot.clock.advance(Duration::from_secs(60));
        bot.until_says(question.message, "Nobody pressed Keep").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Cancelled, "{:?}", op.outcome);
        let net = bot.somebody().node_network(&"pve1".parse().unwrap()).await.unwrap();
        assert!(!net.ifaces.iter().any(|i| i.id == "vmbr6") && net.changes.is_none());
    }
}
