//! Bridges and vnets as a person sees them: the diff, the press, Keep, and what happens when nobody presses.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::operation::OpState;
use gantry_proxmox::IfaceChange;
use proxmox_twin::Trouble;

use crate::bot_test;
use crate::harness::{Bot, Reply};

fn bridge(pairs: &[(&str, &str)]) -> IfaceChange {
    let mut set: BTreeMap<String, String> =
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    set.insert("type".into(), "bridge".into());
    IfaceChange { set, unset: Vec::new() }
}

/// Whether a node runs with that interface now, and whether nothing is pending.
async fn seen(bot: &Bot, iface: &str) -> (bool, bool) {
    let net = bot.somebody().node_network(&"pve1".parse().unwrap()).await.unwrap();
    (net.ifaces.iter().any(|r| r.id == iface), net.changes.is_none())
}

fn reloads(bot: &Bot) -> usize {
    bot.proxmox.changes().iter().filter(|c| c.what == "network" && c.user != "control").count()
}

/// Asks for a bridge, confirms, and waits until Keep is asked for.
pub async fn waits_for_keep(bot: &Bot, command: &str) -> Reply {
    let question = bot.confirmed(command, "").await;
    bot.until_says(question.message, "Press it once you have seen").await;
    question
}

bot_test! {
    async fn a_bridge_is_created_and_kept(bot: &mut Bot) {
        let question = bot
            .admin()
            .runs("/bridge create name:vmbr5 node:pve1 deployment:shop mtu:1400 vlanaware:True stp:True keep:2")
            .await;
        let text = question.text();
        for words in ["vmbr5", "MTU 1400", "gantry:shop", "within 2 min", "spanning tree", "own console"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert_eq!(seen(bot, "vmbr5").await, (false, true), "asking changes nothing");
        bot.admin().confirms(&question, "").await;
        let text = bot.until_says(question.message, "Press it once you have seen").await;
        assert!(text.contains("/bridge create"), "who may keep is said: {text}");
        assert_eq!(seen(bot, "vmbr5").await, (true, true), "it is real while it waits");
        bot.admin().does(&question, "keep").await;
        bot.until_says(question.message, "kept it").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        assert_eq!(seen(bot, "vmbr5").await, (true, true));
        assert_eq!(reloads(bot), 1, "nothing was put back");
        let shown = bot.admin().runs("/bridge show bridge:vmbr5 node:pve1").await.text();
        assert!(shown.contains("1400") && shown.contains("gantry:shop"), "{shown}");
        let listed = bot.viewer().runs("/bridge list node:pve1").await.text();
        assert!(listed.contains("vmbr5") && listed.contains("Nothing is pending"), "{listed}");
        let again = bot.admin().runs("/bridge create name:vmbr5 node:pve1 deployment:shop mtu:1400 vlanaware:True").await;
        assert!(again.text().contains("already has just this bridge"), "{}", again.text());
    }
}

bot_test! {
    async fn a_bridge_that_nobody_keeps_is_put_back(bot: &mut Bot) {
        let question = waits_for_keep(bot, "/bridge create name:vmbr6 node:pve1 keep:1").await;
        assert_eq!(seen(bot, "vmbr6").await, (true, true));
        bot.clock.advance(Duration::from_secs(61));
        let text = bot.until_says(question.message, "Nobody pressed Keep").await;
        assert!(text.contains("vmbr6 is not configured"), "{text}");
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Cancelled, "{:?}", op.outcome);
        assert_eq!(seen(bot, "vmbr6").await, (false, true));
        assert_eq!(reloads(bot), 2, "once there, once back");
    }
}

bot_test! {
    async fn somebody_else_may_put_it_back_at_once_and_others_may_not(bot: &mut Bot) {
        let question = waits_for_keep(bot, "/bridge create name:vmbr6 node:pve1 keep:5").await;
        for action in ["keep", "put-back"] {
            let refused = bot.operator().does(&question, action).await;
            assert!(refused.text().contains("bridge.create"), "{}", refused.text());
        }
        bot.admin().does(&question, "put-back").await;
        bot.until_says(question.message, "did not keep it").await;
        bot.settle().await;
        assert_eq!(seen(bot, "vmbr6").await, (false, true));
        assert!(bot.audit().await.iter().any(|l| l == "press-denied bridge.create by Olga (operator)" || l.starts_with("press-denied bridge.create")));
    }
}

bot_test! {
    async fn a_removed_and_a_changed_bridge_come_back_as_they_were(bot: &mut Bot) {
        let client = bot.somebody();
        let node = "pve1".parse().unwrap();
        client.create_iface(&node, "vmbr7", &bridge(&[("autostart", "1"), ("mtu", "9000"), ("comments", "old"), ("cidr", "10.7.0.1/24")])).await.unwrap();
        let task = client.reload_network(&node).await.unwrap();
        crate::harness::until("the reload is over", async || {
            matches!(client.task_status(&task.upid).await, Ok(gantry_proxmox::TaskStatus::Stopped { .. }))
        })
        .await;
        let before = client.node_network(&node).await.unwrap().ifaces;
        for command in ["/bridge delete bridge:vmbr7 node:pve1", "/bridge secure bridge:vmbr7 node:pve1 vlans:\"10 20\""] {
            let question = bot.admin().runs(command).await;
            bot.admin().confirms(&question, "vmbr7").await;
            bot.until_says(question.message, "Press it once you have seen").await;
            assert_ne!(client.node_network(&node).await.unwrap().ifaces, before, "{command}");
            bot.admin().does(&question, "put-back").await;
            bot.until_says(question.message, "did not keep it").await;
            bot.settle().await;
            assert_eq!(client.node_network(&node).await.unwrap().ifaces, before, "{command}");
        }
    }
}

bot_test! {
    async fn what_somebody_else_has_staged_is_never_applied_along(bot: &mut Bot) {
        let client = bot.somebody();
        let node = "pve1".parse().unwrap();
        // Staged before it is asked.
        client.create_iface(&node, "vmbr8", &bridge(&[("mtu", "1300")])).await.unwrap();
        let refused = bot.admin().runs("/bridge create name:vmbr9 node:pve1").await.text();
        assert!(refused.contains("pending changes that gantry did not make"), "{refused}");
        assert!(refused.contains("vmbr8"), "the foreign change is shown: {refused}");
        // Dropped by its own command, after a look at it.
        let question = bot.admin().runs("/bridge revert node:pve1").await;
        assert!(question.text().contains("vmbr8"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "were dropped").await;
        assert_eq!(seen(bot, "vmbr8").await, (false, true));
        // Staged between question and press: the world has changed.
        let question = bot.admin().runs("/bridge create name:vmbr9 node:pve1").await;
        client.create_iface(&node, "vmbr8", &bridge(&[])).await.unwrap();
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Dropped").await;
        assert_eq!(seen(bot, "vmbr9").await, (false, false));
        assert_eq!(reloads(bot), 0);
    }
}

bot_test! {
    async fn what_is_staged_while_keep_is_awaited_stays_staged(bot: &mut Bot) {
        let question = waits_for_keep(bot, "/bridge create name:vmbr6 node:pve1 keep:1").await;
        let client = bot.somebody();
        let node = "pve1".parse().unwrap();
        client.create_iface(&node, "vmbr8", &bridge(&[])).await.unwrap();
        bot.clock.advance(Duration::from_secs(61));
        bot.until_says(question.message, "somebody else has staged changes").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Failed);
        // Neither applied along nor dropped: the card says so, and a person decides.
        assert_eq!(seen(bot, "vmbr8").await, (true, false));
        assert_eq!(reloads(bot), 1);
    }
}

bot_test! {
    async fn foreign_changes_are_applied_with_a_way_back(bot: &mut Bot) {
        let client = bot.somebody();
        let node = "pve1".parse().unwrap();
        client.create_iface(&node, "vmbr8", &bridge(&[("mtu", "1300"), ("autostart", "1")])).await.unwrap();
        let question = bot.admin().runs("/bridge apply node:pve1 keep:1").await;
        assert!(question.text().contains("not staged by gantry"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        assert_eq!(seen(bot, "vmbr8").await, (true, true));
        bot.clock.advance(Duration::from_secs(61));
        bot.until_says(question.message, "Nobody pressed Keep").await;
        bot.settle().await;
        assert_eq!(seen(bot, "vmbr8").await, (false, true));
    }
}

bot_test! {
    async fn a_node_that_is_cut_off_is_told_of_and_put_back_once_it_answers(bot: &mut Bot) {
        let question = waits_for_keep(bot, "/bridge create name:vmbr6 node:pve1 keep:1").await;
        let silent = bot.trouble(Trouble::NodeSilent { node: "pve1".into() });
        bot.clock.advance(Duration::from_secs(61));
        let text = bot.until_says(question.message, "may have cut pve1 off").await;
        assert!(text.contains("ifreload -a"), "{text}");
        bot.proxmox.clear_trouble(silent);
        bot.clock.advance(Duration::from_secs(60));
        bot.until_says(question.message, "Nobody pressed Keep").await;
        bot.settle().await;
        assert_eq!(seen(bot, "vmbr6").await, (false, true));
    }
}

bot_test! {
    async fn waiting_for_keep_survives_kill_9_before_and_after_its_deadline(bot: &mut Bot) {
        // Killed while waiting, pressed afterwards.
        let question = waits_for_keep(bot, "/bridge create name:vmbr5 node:pve1 keep:20").await;
        bot.restart().await;
        bot.until_says(question.message, "Press it once you have seen").await;
        bot.admin().does(&question, "keep").await;
        bot.until_says(question.message, "kept it").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        // Killed while waiting; the deadline passes while nothing runs.
        let question = waits_for_keep(bot, "/bridge create name:vmbr6 node:pve1 keep:1").await;
        bot.kill();
        bot.clock.advance(Duration::from_secs(120));
        bot.begin().await;
        bot.until_says(question.message, "Nobody pressed Keep").await;
        assert_eq!(bot.settle().await[0].state, OpState::Cancelled);
        assert_eq!(seen(bot, "vmbr5").await, (true, true));
        assert_eq!(seen(bot, "vmbr6").await, (false, true));
    }
}

bot_test! {
    async fn a_reload_that_fails_is_put_back(bot: &mut Bot) {
        bot.trouble(Trouble::TaskFails {
            task: "srvreload".into(),
            exitstatus: "command 'ifreload -a' failed: exit code 1".into(),
            times: Some(1),
        });
        let question = bot.admin().runs("/bridge create name:vmbr6 node:pve1").await;
        bot.admin().confirms(&question, "").await;
        let text = bot.until_says(question.message, "is back").await;
        assert!(text.contains("exit code 1"), "{text}");
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Failed);
        assert_eq!(seen(bot, "vmbr6").await, (false, true));
    }
}

bot_test! {
    async fn only_whoever_may_changes_bridges(bot: &mut Bot) {
        for command in ["/bridge create name:vmbr6 node:pve1", "/bridge revert node:pve1", "/vnet create name:web zone:z1 kind:simple"] {
            let refused = bot.operator().runs(command).await;
            assert!(refused.is_ephemeral() && refused.text().contains("no rule gives"), "{}", refused.text());
        }
        assert_eq!(reloads(bot), 0);
    }
}

bot_test! {
    async fn a_bridge_in_use_is_not_removed(bot: &mut Bot) {
        bot.has_guest(proxmox_twin::GuestSpec::lxc(5000, "web-0").on("pve1").running()).await;
        let refused = bot.admin().runs("/bridge delete bridge:vmbr0 node:pve1").await.text();
        assert!(refused.contains("web-0"), "{refused}");
    }
}

bot_test! {
    async fn a_vnet_with_its_zone_comes_and_goes(bot: &mut Bot) {
        let ask = "/vnet create name:web zone:z1 kind:simple isolate:True subnet:10.8.0.0/24 gateway:10.8.0.1 snat:True keep:1";
        let question = bot.admin().runs(ask).await;
        let text = question.text();
        for words in ["zone z1", "vnet web", "10.8.0.1", "ports isolated"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        bot.clock.advance(Duration::from_secs(61));
        bot.until_says(question.message, "Nobody pressed Keep").await;
        let listed = bot.admin().runs("/vnet list").await.text();
        assert!(listed.contains("There are none yet") && listed.contains("Nothing is pending"), "{listed}");

        let question = bot.admin().runs(ask).await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        bot.admin().does(&question, "keep").await;
        bot.until_says(question.message, "kept it").await;
        let listed = bot.admin().runs("/vnet list").await.text();
        assert!(listed.contains("web") && listed.contains("z1-10.8.0.0-24"), "{listed}");

        let question = bot.admin().runs("/vnet delete vnet:web keep:1").await;
        bot.admin().confirms(&question, "web").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        bot.admin().does(&question, "put-back").await;
        bot.until_says(question.message, "did not keep it").await;
        let listed = bot.admin().runs("/vnet list").await.text();
        assert!(listed.contains("z1-10.8.0.0-24") && listed.contains("Nothing is pending"), "{listed}");
    }
}

/// Whatever happened and nobody having pressed Keep: the world is as before, and the operation says it did not stay.
async fn is_as_before(bot: &Bot, bridge: &str, at: &str) {
    let op = bot.ends().await;
    assert!(
        matches!(op.state, OpState::Cancelled | OpState::Failed),
        "{at}: ended as {:?}: {:?}",
        op.state,
        op.outcome
    );
    assert_eq!(seen(bot, bridge).await, (false, true), "{at}: {:?}", op.outcome);
    assert!(reloads(bot) <= 2, "{at}: reloaded {} times", reloads(bot));
}

bot_test! {
    async fn kill_9_at_any_step_leaves_nothing_behind(bot: &mut Bot) {
        let mut round = 20;
        let mut reached = 0;
        for step in 0..6 {
            for point in ["after look", "after intent", "after call", "after upid", "before poll"] {
                round += 1;
                let name = format!("vmbr{round}");
                bot.proxmox.forget();
                let command = format!("/bridge create name:{name} node:pve1 keep:1");
                let (dies, _) = bot.dies_at(point, step, async |bot| bot.confirmed(&command, "").await).await;
                reached += usize::from(dies);
                is_as_before(bot, &name, &format!("killed {point} of step {step}")).await;
            }
        }
        assert!(reached >= 18, "only {reached} points were reached");
    }
}

bot_test! {
    async fn lost_answers_and_errors_at_every_call_leave_nothing_behind(bot: &mut Bot) {
        let mut round = 20;
        for call in ["POST /nodes/*/network", "PUT /nodes/*/network", "DELETE /nodes/*/network/*"] {
            for kind in 0..4 {
                round += 1;
                let name = format!("vmbr{round}");
                let (matching, times) = (call.to_owned(), Some(1));
                let trouble = match kind {
                    0 => Trouble::AnswerLost { matching, times },
                    1 => Trouble::RequestLost { matching, times },
                    2 => Trouble::Truncate { matching, times },
                    _ => Trouble::Error { matching, status: 500, reason: "unable to fork worker".into(), times },
                };
                let at = format!("{call}, {trouble:?}");
                bot.proxmox.forget();
                bot.trouble(trouble);
                let question = bot.admin().runs(&format!("/bridge create name:{name} node:pve1 keep:1")).await;
                bot.admin().confirms(&question, "").await;
                is_as_before(bot, &name, &at).await;
                bot.proxmox.clear_all_trouble();
            }
        }
    }
}
