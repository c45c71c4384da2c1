//! Changes of networks under kill -9, lost answers, errors and a node that is cut off: whatever happens and nobody
//! having pressed Keep, everything is as it was, and what the card says is true.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::operation::{OpState, Operation};
use gantry_proxmox::{Client, IfaceChange, SdnView, TaskStatus};
use proxmox_twin::Trouble;

use crate::bot_test;
use crate::harness::{Bot, moments, until};
use crate::lost;
use crate::network::waits_for_keep;

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
    /// How many steps it has.
    steps: usize,
}

/// Makes the world in which a change can be asked for.
async fn ready(bot: &Bot, change: &Change) {
    let (client, node) = (bot.somebody(), "pve1".parse().unwrap());
    let there = client.node_network(&node).await.unwrap();
    if !there.ifaces.iter().any(|i| i.id == "vmbr7") {
        client
            .create_iface(&node, "vmbr7", &bridge(&[("mtu", "9000"), ("comments", "old")]))
            .await
            .unwrap();
        over(&client, client.reload_network(&node).await.unwrap()).await;
    }
    if change.ask.starts_with("/vnet delete")
        && client.sdn_vnets(SdnView::Running).await.unwrap().is_empty()
    {
        let kept = kept(
            bot,
            "/vnet create name:web zone:z1 kind:simple subnet:10.8.0.0/24 gateway:10.8.0.1 keep:20",
        )
        .await;
        assert_eq!(kept.state, OpState::Succeeded, "{:?}", kept.outcome);
    }
    if change.ask.starts_with("/bridge apply") && there.changes.is_none() {
        client.create_iface(&node, "vmbr8", &bridge(&[("mtu", "1300")])).await.unwrap();
    }
    if change.ask.starts_with("/vnet apply")
        && client.sdn_zones(SdnView::Staged).await.unwrap().is_empty()
    {
        let settings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        client.create_sdn_zone("z9", &settings(&[("type", "simple")]), None).await.unwrap();
        client.create_sdn_vnet("other", &settings(&[("zone", "z9")]), None).await.unwrap();
    }
}

/// Asks, confirms, and presses Keep once that is asked for.
async fn kept(bot: &Bot, ask: &str) -> Operation {
    let question = waits_for_keep(bot, ask).await;
    bot.admin().does(&question, "keep").await;
    bot.settle().await.remove(0)
}

/// Everything that runs, and what is pending.
async fn world(bot: &Bot) -> String {
    let (client, node) = (bot.somebody(), "pve1".parse().unwrap());
    let net = client.node_network(&node).await.unwrap();
    let ifaces = &net.ifaces;
    let staged = (
        net.changes.is_some(),
        client.sdn_zones(SdnView::Staged).await.unwrap(),
        client.sdn_vnets(SdnView::Staged).await.unwrap(),
    );
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
    format!("{ifaces:?} {staged:?} {vnets:?} {zones:?} {subnets:?} {switches:?}")
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
    let reason = op.outcome.as_ref().and_then(|o| o.reason.clone()).unwrap_or_default();
    assert!(!reason.contains("somebody"), "{at}: nobody else did anything: {reason}");
    // A reload of the SDN is one on every node.
    let mut reloads: BTreeMap<String, usize> = BTreeMap::new();
    for change in bot.proxmox.changes().iter().filter(|c| c.user != "control") {
        if ["network", "sdn"].contains(&change.what.as_str()) {
            *reloads.entry(format!("{} {}", change.what, change.node)).or_default() += 1;
        }
    }
    assert!(reloads.values().all(|n| *n <= 2), "{at}: more than once there and back: {reloads:?}");
}

/// The world before a change. What somebody else has staged for `/bridge apply` is no part of it: it was real for a
/// while, and putting back takes it away.
async fn before(bot: &Bot, change: &Change) -> String {
    ready(bot, &Change { ask: "", ..*change }).await;
    if change.ask.starts_with("/vnet delete") {
        ready(bot, change).await;
    }
    world(bot).await
}

/// Kill -9 at the points of every step.
async fn killed(bot: &mut Bot, change: Change) {
    let before = before(bot, &change).await;
    let mut reached = 0;
    for step in 0..change.steps {
        // Every step and every point, not each of one with each of the other.
        for point in [["after look", "after call"], ["after intent", "after upid"]][step % 2] {
            ready(bot, &change).await;
            bot.proxmox.forget();
            let begin = async |bot: &Bot| bot.confirmed(change.ask, change.typed).await;
            let (dies, _) = bot.dies_at(point, step, begin).await;
            reached += usize::from(dies);
            is_as_before(bot, &before, &format!("{}, killed {point} of step {step}", change.ask))
                .await;
        }
    }
    assert!(reached >= change.steps, "only {reached} points were reached");
}

/// Every way in which a call can go wrong, once each.
fn mishaps(call: &str) -> [Trouble; 4] {
    lost::mishaps(call, (65, "the bridge does not take it"))
}

/// Every call lost, cut off or refused once.
async fn gone_wrong(bot: &mut Bot, change: Change, calls: &[&str]) {
    let before = before(bot, &change).await;
    for call in calls {
        for trouble in mishaps(call) {
            ready(bot, &change).await;
            bot.proxmox.forget();
            let at = format!("{}, {trouble:?}", change.ask);
            bot.trouble(trouble);
            bot.confirmed(change.ask, change.typed).await;
            is_as_before(bot, &before, &at).await;
            assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
            bot.proxmox.clear_all_trouble();
        }
    }
}

const SECURE: &str =
    "/bridge secure bridge:vmbr7 node:pve1 vlans:\"10 20\" stp:True snooping:False keep:1";
const DELETE: &str = "/bridge delete bridge:vmbr7 node:pve1 keep:1";
const APPLY: &str = "/bridge apply node:pve1 keep:1";
const VNET: &str =
    "/vnet create name:shop zone:z2 kind:simple subnet:10.7.0.0/24 gateway:10.7.0.1 keep:1";
const VNET_DELETE: &str = "/vnet delete vnet:web keep:1";
const VNET_APPLY: &str = "/vnet apply keep:1";

bot_test! {
    async fn kill_9_while_a_bridge_is_made_safer(bot: &mut Bot) {
        killed(bot, Change { ask: SECURE, typed: "", steps: 8 }).await;
    }
}

bot_test! {
    async fn kill_9_while_a_bridge_is_removed(bot: &mut Bot) {
        killed(bot, Change { ask: DELETE, typed: "vmbr7", steps: 6 }).await;
    }
}

bot_test! {
    async fn kill_9_while_what_somebody_staged_is_applied(bot: &mut Bot) {
        killed(bot, Change { ask: APPLY, typed: "", steps: 6 }).await;
    }
}

bot_test! {
    async fn kill_9_while_a_vnet_is_made(bot: &mut Bot) {
        killed(bot, Change { ask: VNET, typed: "", steps: 6 }).await;
    }
}

bot_test! {
    async fn kill_9_while_a_vnet_is_removed(bot: &mut Bot) {
        killed(bot, Change { ask: VNET_DELETE, typed: "web", steps: 6 }).await;
    }
}

bot_test! {
    async fn kill_9_while_somebodys_vnet_is_applied(bot: &mut Bot) {
        killed(bot, Change { ask: VNET_APPLY, typed: "", steps: 6 }).await;
    }
}

bot_test! {
    async fn what_somebody_staged_is_dropped_whatever_is_killed_or_lost(bot: &mut Bot) {
        let (client, node) = (bot.somebody(), "pve1".parse().unwrap());
        let staged = async |n: usize| {
            assert!(client.node_network(&node).await.unwrap().changes.is_none(), "before {n}");
            client.create_iface(&node, "vmbr8", &bridge(&[])).await.unwrap();
        };
        let mut reached = 0;
        for (n, (step, point)) in moments(1).enumerate() {
            staged(n).await;
            let begin = async |bot: &Bot| bot.confirmed("/bridge revert node:pve1", "").await;
            let (dies, _) = bot.dies_at(point, step, begin).await;
            reached += usize::from(dies);
            let op = bot.ends().await;
            assert_eq!(op.state, OpState::Succeeded, "killed {point}: {:?}", op.outcome);
        }
        assert!(reached >= moments(1).count() - 2, "only {reached} points were reached");
        for (n, trouble) in mishaps("DELETE /nodes/*/network").into_iter().enumerate() {
            staged(n).await;
            let at = format!("{trouble:?}");
            bot.trouble(trouble);
            bot.confirmed("/bridge revert node:pve1", "").await;
            let op = bot.ends().await;
            assert_eq!(op.state, OpState::Succeeded, "{at}: {:?}", op.outcome);
            assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
        }
        assert!(client.node_network(&node).await.unwrap().changes.is_none());
    }
}

bot_test! {
    async fn what_somebody_staged_in_the_sdn_is_dropped_whatever_is_killed_or_lost(bot: &mut Bot) {
        let client = bot.somebody();
        let staged = async |bot: &Bot| ready(bot, &Change { ask: VNET_APPLY, typed: "", steps: 0 }).await;
        let dropped = async |op: Operation, at: &str| {
            assert_eq!(op.state, OpState::Succeeded, "{at}: {:?}", op.outcome);
            let (zones, vnets) = (client.sdn_zones(SdnView::Staged).await, client.sdn_vnets(SdnView::Staged).await);
            assert!(zones.unwrap().is_empty() && vnets.unwrap().is_empty(), "{at}");
        };
        let mut reached = 0;
        for (step, point) in moments(1) {
            staged(bot).await;
            let begin = async |bot: &Bot| bot.confirmed("/vnet revert", "").await;
            let (dies, _) = bot.dies_at(point, step, begin).await;
            reached += usize::from(dies);
            dropped(bot.ends().await, point).await;
        }
        assert!(reached >= moments(1).count() - 2, "only {reached} points were reached");
        for trouble in mishaps("POST /cluster/sdn/rollback") {
            staged(bot).await;
            let at = format!("{trouble:?}");
            bot.trouble(trouble);
            bot.confirmed("/vnet revert", "").await;
            dropped(bot.ends().await, &at).await;
            assert!(bot.proxmox.troubles().is_empty(), "{at}: that call was never made");
        }
        assert!(!bot.proxmox.changes().iter().any(|c| c.what == "sdn"), "nothing was reloaded");
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_a_bridge_is_made_safer(bot: &mut Bot) {
        let calls = ["PUT /nodes/*/network/*", "PUT /nodes/*/network", "SSH /nodes/*/bridge-set"];
        gone_wrong(bot, Change { ask: SECURE, typed: "", steps: 8 }, &calls).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_a_bridge_is_removed(bot: &mut Bot) {
        let calls = ["DELETE /nodes/*/network/*", "PUT /nodes/*/network", "POST /nodes/*/network"];
        gone_wrong(bot, Change { ask: DELETE, typed: "vmbr7", steps: 6 }, &calls).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_a_vnet_is_made(bot: &mut Bot) {
        let calls = ["POST /cluster/sdn/zones", "POST /cluster/sdn/vnets", "PUT /cluster/sdn", "DELETE /cluster/sdn/vnets/*"];
        gone_wrong(bot, Change { ask: VNET, typed: "", steps: 6 }, &calls).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_what_somebody_staged_is_applied(bot: &mut Bot) {
        let calls = ["PUT /nodes/*/network", "DELETE /nodes/*/network/*"];
        gone_wrong(bot, Change { ask: APPLY, typed: "", steps: 6 }, &calls).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_somebodys_vnet_is_applied(bot: &mut Bot) {
        let calls = ["PUT /cluster/sdn", "DELETE /cluster/sdn/vnets/*", "DELETE /cluster/sdn/zones/*"];
        gone_wrong(bot, Change { ask: VNET_APPLY, typed: "", steps: 6 }, &calls).await;
    }
}

bot_test! {
    async fn calls_that_go_wrong_while_a_vnet_is_removed(bot: &mut Bot) {
        let calls = ["DELETE /cluster/sdn/vnets/*", "PUT /cluster/sdn", "POST /cluster/sdn/vnets"];
        gone_wrong(bot, Change { ask: VNET_DELETE, typed: "web", steps: 6 }, &calls).await;
    }
}

bot_test! {
    async fn a_change_that_cuts_its_node_off_says_what_to_do_at_the_console(bot: &mut Bot) {
        let question = waits_for_keep(bot, "/bridge create name:vmbr6 node:pve1 keep:1").await;
        // Its own mistake, or somebody else's: from now on nobody reaches the node.
        let broken = bot.trouble(Trouble::NetworkBroken { node: "pve1".into() });
        let text = bot.until_says(question.message, "may have cut pve1 off").await;
        for words in ["goes on trying for 1 h", "/etc/network/interfaces", "ifreload -a"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
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

bot_test! {
    async fn a_change_of_the_sdn_goes_on_though_nothing_has_been_read_since_the_start(bot: &mut Bot) {
        // It was confirmed; the process dies before it has looked, and the next one knows no node yet.
        bot.guillotine.set("before look", 0);
        let ask = "/vnet create name:shop zone:z2 kind:simple keep:5";
        let question = bot.confirmed(ask, "").await;
        assert!(bot.guillotine.has_fallen(Duration::from_secs(20)).await);
        bot.kill();
        bot.guillotine.lift();
        bot.clock.advance(Duration::from_secs(60));
        let unread = bot.trouble(Trouble::Error {
            matching: "GET /cluster/resources".into(),
            status: 500,
            reason: "unable to fork worker".into(),
            times: None,
        });
        bot.begin_unread().await;
        bot.until_says(question.message, "Nothing was sent; trying again").await;
        bot.proxmox.clear_trouble(unread);
        bot.until_says(question.message, "Press it once you have seen").await;
        bot.admin().does(&question, "keep").await;
        bot.until_says(question.message, "kept it").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        // Asked and pressed before the first reading.
        bot.kill();
        bot.trouble(Trouble::Error {
            matching: "GET /cluster/resources".into(),
            status: 500,
            reason: "unable to fork worker".into(),
            times: Some(1),
        });
        bot.begin_unread().await;
        let question = waits_for_keep(bot, "/vnet create name:web zone:z2 keep:5").await;
        bot.admin().does(&question, "keep").await;
        bot.until_says(question.message, "kept it").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
    }
}
