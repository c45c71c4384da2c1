//! What the API cannot set of a bridge, as a person sees it: shown, set over the node shell, kept or put back with the
//! rest, and said where there is no node shell.

use std::time::Duration;

use gantry_core::operation::OpState;
use proxmox_twin::Trouble;

use crate::bot_test;
use crate::harness::Bot;
use crate::network::waits_for_keep;

async fn shown(bot: &Bot, bridge: &str) -> String {
    let text = bot.admin().runs(&format!("/bridge show bridge:{bridge} node:pve1")).await.text();
    // When it was read is another moment each time.
    text.replace("**", "")
        .lines()
        .filter(|l| !l.starts_with("As of"))
        .collect::<Vec<_>>()
        .join("\n")
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

bot_test! {
    async fn a_change_of_the_sdn_says_which_spanning_trees_it_switches_off(bot: &mut Bot) {
        let ask = "/vnet create name:web zone:z1 kind:simple subnet:10.8.0.0/24 gateway:10.8.0.1 keep:1";
        let plain = bot.admin().runs(ask).await.text();
        assert!(!plain.contains("spanning tree"), "nothing is on: {plain}");
        bot.proxmox.meddle_node(proxmox_twin::NodeMeddling::Stp { node: "pve2".into(), bridge: "vmbr0".into(), on: true });
        let warned = bot.admin().runs(ask).await.text();
        for words in ["switches spanning tree off: vmbr0 on pve2", "/bridge secure"] {
            assert!(warned.contains(words), "{words} is not in:\n{warned}");
        }
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
        bot.proxmox.meddle_node(proxmox_twin::NodeMeddling::Restart { node: "pve1".into() });
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
        let question = waits_for_keep(bot, "/bridge create name:vmbr5 node:pve1 stp:True keep:5").await;
        bot.trouble(Trouble::ShellFails {
            matching: "SSH /nodes/*/bridge-set".into(),
            status: 70,
            reason: "nothing can be written".into(),
            times: None,
        });
        bot.admin().does(&question, "put-back").await;
        let text = bot.until_says(question.message, "is back").await;
        for words in ["set back over the node shell", "nothing can be written", "vmbr5 is not configured"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
        let net = bot.somebody().node_network(&"pve1".parse().unwrap()).await.unwrap();
        assert!(!net.ifaces.iter().any(|i| i.id == "vmbr5") && net.changes.is_none());
    }
}
