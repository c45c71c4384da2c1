//! What the API cannot set of a bridge, as a person sees it: shown, set over the node shell, kept or put back with the
//! rest, and said where there is no node shell.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::operation::{OpState, StepState};
use gantry_engine::store::OpFilter;
use gantry_proxmox::FirewallAt;
use proxmox_twin::{GuestSpec, NodeMeddling, Trouble};

use crate::bot_test;
use crate::harness::{Bot, until};
use crate::network::waits_for_keep;

async fn shown(bot: &Bot, bridge: &str) -> String {
    shown_on(bot, bridge, "pve1").await
}

async fn shown_on(bot: &Bot, bridge: &str, node: &str) -> String {
    let text = bot.admin().runs(&format!("/bridge show bridge:{bridge} node:{node}")).await.text();
    // When it was read is another moment each time.
    text.replace("**", "")
        .lines()
        .filter(|l| !l.starts_with("As of"))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn firewall(bot: &Bot) -> BTreeMap<String, String> {
    let at = FirewallAt::Node("pve1".parse().unwrap());
    let mut all = bot.somebody().firewall_options(&at).await.unwrap();
    all.remove("digest");
    all
}

const SECURE: &str = "/bridge secure bridge:vmbr0 node:pve1 stp:True snooping:False isolate:True firewall:True keep:1";

bot_test! {
    async fn a_bridge_is_made_safer_over_the_node_shell_and_put_back(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop-0").on("pve1").running()).await;
        let (before, options) = (shown(bot, "vmbr0").await, firewall(bot).await);
        assert!(before.contains("spanning tree: off"), "{before}");
        let question = bot.admin().runs(SECURE).await;
        let text = question.text();
        for words in ["over the node shell", "spanning tree", "multicast snooping", "port isolation", "veth5000i0", "node firewall"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert!(!text.contains("eno1"), "what leads outside is not isolated:\n{text}");
        assert_eq!(shown(bot, "vmbr0").await, before, "asking changes nothing");
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        let now = shown(bot, "vmbr0").await;
        for words in ["spanning tree: on", "multicast snooping: off"] {
            assert!(now.contains(words), "{words} is not in:\n{now}");
        }
        // All of the guests' and none of the node's own: eno1 is the bridge's only other port.
        let ports = |text: &str| -> (usize, usize) {
            let of = text.split("isolated ports: ").nth(1).and_then(|t| t.lines().next()).unwrap().to_owned();
            let (isolated, all) = of.split_once(" of ").unwrap();
            (isolated.trim().parse().unwrap(), all.trim().parse().unwrap())
        };
        let (isolated, all) = ports(&now);
        assert!(isolated > 0 && isolated + 1 == all, "{isolated} of {all}");
        assert_eq!(firewall(bot).await.get("tcpflags").map(String::as_str), Some("1"));
        bot.clock.advance(Duration::from_secs(61));
        bot.until_says(question.message, "Nobody pressed Keep").await;
        assert_eq!(bot.settle().await[0].state, OpState::Cancelled);
        let after = shown(bot, "vmbr0").await;
        assert!(after.contains("spanning tree: off") && after.contains("multicast snooping: on"), "{after}");
        assert_eq!(ports(&after).0, 0, "{after}");
        assert_eq!(firewall(bot).await, options);
        // Every call over SSH has its rows.
        let rows = bot.engine().audit(&Default::default(), 0, 200).await.unwrap().rows;
        for words in ["bridge-set vmbr0 stp on", "port-set vmbr0 veth5000i0 isolated on", "bridge-set vmbr0 stp off"] {
            for event in ["about-to", "answered"] {
                let found = rows.iter().any(|r| r.event.as_str() == event && r.detail.contains(words));
                assert!(found, "no row {event} {words}");
            }
        }
    }
}

bot_test! {
    async fn a_spanning_tree_that_is_kept_outlives_the_next_reload(bot: &mut Bot) {
        let question = waits_for_keep(bot, "/bridge create name:vmbr5 node:pve1 stp:True keep:5").await;
        assert!(shown(bot, "vmbr5").await.contains("spanning tree: on"));
        bot.admin().does(&question, "keep").await;
        bot.until_says(question.message, "kept it").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        // Another change of that node, kept or not: Proxmox's reload switches it off, gantry on again.
        let question = bot.admin().runs("/bridge create name:vmbr6 node:pve1 keep:1").await;
        assert!(question.text().contains("Switch spanning tree of vmbr5 on again"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        assert!(shown(bot, "vmbr5").await.contains("spanning tree: on"));
        bot.clock.advance(Duration::from_secs(61));
        bot.until_says(question.message, "Nobody pressed Keep").await;
        bot.settle().await;
        assert!(shown(bot, "vmbr5").await.contains("spanning tree: on"));
        let again = bot.admin().runs("/bridge secure bridge:vmbr5 node:pve1 stp:True").await.text();
        assert!(again.contains("already like that"), "{again}");
    }
}

const VNET: &str =
    "/vnet create name:web zone:z1 kind:simple subnet:10.8.0.0/24 gateway:10.8.0.1 keep:1";

/// Somebody has switched spanning tree on, on a bridge of one node.
fn has_stp(bot: &Bot, node: &str) {
    let (node, bridge) = (node.to_owned(), "vmbr0".to_owned());
    bot.proxmox.meddle_node(NodeMeddling::Stp { node, bridge, on: true });
}

bot_test! {
    async fn a_spanning_tree_outlives_a_change_of_the_sdn(bot: &mut Bot) {
        let plain = bot.admin().runs(VNET).await.text();
        assert!(!plain.contains("panning tree"), "nothing is on: {plain}");
        has_stp(bot, "pve2");
        let question = bot.admin().runs(VNET).await;
        let again = "Switch spanning tree of vmbr0 on pve2 on again";
        assert!(question.text().contains(again), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        assert!(shown_on(bot, "vmbr0", "pve2").await.contains("spanning tree: on"));
        // Putting back reloads every node as well.
        bot.clock.advance(Duration::from_secs(61));
        bot.until_says(question.message, "Nobody pressed Keep").await;
        assert_eq!(bot.settle().await[0].state, OpState::Cancelled);
        assert!(shown_on(bot, "vmbr0", "pve2").await.contains("spanning tree: on"));
        assert!(shown_on(bot, "vmbr0", "pve1").await.contains("spanning tree: off"), "nobody asked for that");
        // One that does not tell may lose it: that is said.
        bot.trouble(Trouble::ShellFails {
            matching: "SSH /nodes/pve2/bridge-show".into(),
            status: 69,
            reason: "ip is not installed on this node".into(),
            times: None,
        });
        let warned = bot.admin().runs(VNET).await.text();
        for words in ["Whether spanning tree is on anywhere on pve2 is not known", "/bridge secure"] {
            assert!(warned.contains(words), "{words} is not in:\n{warned}");
        }
    }
}

bot_test! {
    async fn a_node_that_reloads_later_than_the_others_keeps_its_spanning_tree(bot: &mut Bot) {
        has_stp(bot, "pve2");
        let slow = |task: &str, seconds: f64| Trouble::TaskSlow { task: task.into(), seconds };
        bot.trouble(slow("reloadnetworkall", 1.0));
        bot.trouble(slow("srvreload", 3.0));
        let question = bot.confirmed(VNET, "").await;
        let engine = bot.engine();
        until("all nodes are being reloaded", async || {
            let page = engine.operations(&OpFilter::default(), 0, 1).await.unwrap();
            page.rows[0].steps.get(2).is_some_and(|s| s.state == StepState::Submitted)
        })
        .await;
        // This one is at it for longer than the task that was asked for.
        bot.somebody().reload_network(&"pve2".parse().unwrap()).await.unwrap();
        bot.until_says(question.message, "Press it once you have seen").await;
        bot.admin().does(&question, "keep").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        let reloaded = || bot.proxmox.changes().iter().any(|c| c.what == "network" && c.node == "pve2");
        until("that reload is over", async || reloaded()).await;
        assert!(shown_on(bot, "vmbr0", "pve2").await.contains("spanning tree: on"));
    }
}

bot_test! {
    async fn a_bridge_with_a_spanning_tree_that_nobody_keeps_is_gone_without_a_trace(bot: &mut Bot) {
        let question = waits_for_keep(bot, "/bridge create name:vmbr5 node:pve1 stp:True keep:5").await;
        bot.admin().does(&question, "put-back").await;
        bot.until_says(question.message, "did not keep it").await;
        assert_eq!(bot.settle().await[0].state, OpState::Cancelled);
        // Made again by that name, it does not come up with what nobody kept.
        let question = waits_for_keep(bot, "/bridge create name:vmbr5 node:pve1 keep:5").await;
        bot.admin().does(&question, "keep").await;
        bot.settle().await;
        bot.proxmox.meddle_node(NodeMeddling::Restart { node: "pve1".into() });
        assert!(shown(bot, "vmbr5").await.contains("spanning tree: off"));
    }
}

bot_test! {
    async fn a_switch_that_does_not_take_puts_everything_back(bot: &mut Bot) {
        bot.trouble(Trouble::ShellFails {
            matching: "SSH /nodes/*/bridge-set".into(),
            status: 65,
            reason: "vmbr0 does not take stp on".into(),
            times: Some(1),
        });
        let question = bot.admin().runs("/bridge secure bridge:vmbr0 node:pve1 vlans:\"10 20\" stp:True").await;
        bot.admin().confirms(&question, "").await;
        let text = bot.until_says(question.message, "is back").await;
        assert!(text.contains("does not take stp on"), "{text}");
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
        let now = shown(bot, "vmbr0").await;
        assert!(now.contains("spanning tree: off") && !now.contains("bridge_vids"), "{now}");
    }
}

bot_test! {
    async fn without_a_node_shell_it_is_said_and_the_rest_is_done(bot: &mut Bot) {
        bot.without_shell().await;
        let refused = bot.admin().runs("/bridge secure bridge:vmbr0 node:pve1 stp:True").await.text();
        for words in ["cannot set spanning tree", "node shell", "isolate:True"] {
            assert!(refused.contains(words), "{words} is not in:\n{refused}");
        }
        let rest = bot.admin().runs("/bridge secure bridge:vmbr0 node:pve1 stp:True vlanaware:True").await.text();
        assert!(rest.contains("left as it is") && rest.contains("tells VLANs apart"), "{rest}");
        let text = shown(bot, "vmbr0").await;
        assert!(text.contains("is not set up for this node"), "{text}");
    }
}

bot_test! {
    async fn without_a_node_shell_what_a_reload_may_switch_off_is_named_before_it_is_confirmed(bot: &mut Bot) {
        bot.without_shell().await;
        bot.trouble(Trouble::NodeDown { node: "pve4".into() });
        bot.looks().await;
        // The SDN reloads every node that is up; a bridge, its own.
        for (ask, nodes) in [(VNET, "pve1, pve2, pve3, pve5."), ("/bridge create name:vmbr5 node:pve1", "pve1.")] {
            let text = bot.admin().runs(ask).await.text();
            for words in [nodes, "vmbr0 on pve1", "vmbr1 on pve1", "neither see that nor switch it on again"] {
                assert!(text.contains(words), "{ask}: {words} is not in:\n{text}");
            }
            assert_eq!(text.contains("vmbr0 on pve2"), ask == VNET, "{text}");
            assert!(!text.contains("pve4"), "{text}");
        }
        let dropped = bot.admin().runs("/vnet revert").await.text();
        assert!(!dropped.contains("panning tree"), "nothing is reloaded: {dropped}");
    }
}

bot_test! {
    async fn a_node_shell_that_does_not_answer_is_told_before_anything_is_changed(bot: &mut Bot) {
        bot.trouble(Trouble::ShellFails {
            matching: "SSH /nodes/*/bridge-show".into(),
            status: 69,
            reason: "ip is not installed on this node".into(),
            times: None,
        });
        let refused = bot.admin().runs("/bridge secure bridge:vmbr0 node:pve1 stp:True").await.text();
        assert!(refused.contains("does not answer") && refused.contains("ip is not installed"), "{refused}");
        let plain = bot.admin().runs("/bridge create name:vmbr6 node:pve1").await.text();
        assert!(plain.contains("A reload switches spanning tree off"), "{plain}");
    }
}

bot_test! {
    async fn a_node_shell_that_fails_keeps_no_bridge_from_being_put_back(bot: &mut Bot) {
        let times = None;
        let fails = Trouble::ShellFails {
            matching: "SSH /nodes/*/bridge-set".into(),
            status: 70,
            reason: "nothing can be written".into(),
            times,
        };
        // Or nobody hears from it at all.
        let silent = Trouble::RequestLost { matching: "SSH /nodes/*/*".into(), times };
        for (trouble, why) in [(fails, "nothing can be written"), (silent, "")] {
            let question = waits_for_keep(bot, "/bridge create name:vmbr5 node:pve1 stp:True keep:5").await;
            let at = format!("{trouble:?}");
            bot.trouble(trouble);
            bot.admin().does(&question, "put-back").await;
            let text = bot.until_says(question.message, "is back").await;
            for words in ["set back over the node shell", why, "vmbr5 is not configured"] {
                assert!(text.contains(words), "{at}: {words} is not in:\n{text}");
            }
            assert_eq!(bot.settle().await[0].state, OpState::Failed, "{at}");
            let net = bot.somebody().node_network(&"pve1".parse().unwrap()).await.unwrap();
            assert!(!net.ifaces.iter().any(|i| i.id == "vmbr5") && net.changes.is_none(), "{at}");
            bot.proxmox.clear_all_trouble();
        }
    }
}
