//! Port forwards as a person sees them: asked for, put in force through a node's SSH, put right, told of, removed.

use gantry_core::operation::OpState;
use gantry_proxmox::{FirewallAt, GuestRef};
use proxmox_twin::{GuestSpec, NodeMeddling, Trouble};

use crate::bot_test;
use crate::harness::{Bot, until};

/// The comments of the rules in a guest's firewall.
pub async fn rules(bot: &Bot, vmid: u32) -> Vec<String> {
    let kind = gantry_core::id::GuestKind::Lxc;
    let at = GuestRef::new("pve1".parse().unwrap(), kind, vmid.try_into().unwrap());
    let all = bot.somebody().firewall_rules(&FirewallAt::Guest(at)).await.unwrap();
    all.iter().map(|r| r.comment().to_owned()).collect()
}

async fn has(bot: &Bot, vmid: u32, name: &str, address: &str) {
    let card = format!("name=eth0,bridge=vmbr0,ip={address}/16");
    bot.has_guest(GuestSpec::lxc(vmid, name).on("pve1").set("net0", &card).running()).await;
}

fn in_force(bot: &Bot) -> Vec<String> {
    bot.proxmox.forwards("pve1").unwrap_or_default()
}

fn applied(bot: &Bot) -> usize {
    bot.proxmox.changes().iter().filter(|c| c.what == "forward-apply").count()
}

bot_test! {
    async fn a_forward_is_added_listed_refused_twice_and_removed(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "10.20.5.5").await;
        has(bot, 5001, "shop-1", "10.20.5.6").await;
        let question = bot.admin().runs("/forward add guest:shop-0 port:8080 to:80").await;
        let text = question.text();
        for words in ["10.20.5.5:80", "port 8080 of pve1", "firewall"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert!(in_force(bot).is_empty(), "nothing before the press");
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "in force").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        assert_eq!(in_force(bot), ["tcp,ipv4,any,8080,10.20.5.5,80"]);
        assert_eq!(rules(bot, 5000).await.len(), 1);
        // Every call to the node has its row, in the name of whoever confirmed it.
        let rows = bot.engine().audit(&Default::default(), 0, 100).await.unwrap().rows;
        for (event, words) in [("about-to", "pve1 over SSH, forward-apply"), ("answered", "(1 forwards): done")] {
            let found = rows.iter().any(|r| {
                r.event.as_str() == event && r.detail.contains(words) && r.user.is_some() && r.operation.is_some()
            });
            assert!(found, "no row {event} {words}");
        }
        let listed = bot.admin().runs("/forward list").await.text();
        assert!(listed.contains("as asked for") && listed.contains("8080"), "{listed}");

        let again = bot.admin().runs("/forward add guest:shop-0 port:8080 to:80").await.text();
        assert!(again.contains("just this forward already"), "{again}");
        let taken = bot.admin().runs("/forward add guest:shop-1 port:8080").await.text();
        assert!(taken.contains("taken") && taken.contains("shop-0"), "{taken}");
        let own = bot.admin().runs("/forward add guest:shop-1 port:8006").await.text();
        assert!(own.contains("needs port 8006 for itself"), "{own}");
        let six = bot.admin().runs("/forward add guest:shop-1 port:8081 version:ipv6").await.text();
        assert!(six.contains("has no ipv6 address"), "{six}");

        let card = bot.confirmed("/forward add guest:shop-1 port:5353 proto:udp", "").await;
        bot.until_says(card.message, "in force").await;
        bot.settle().await;
        assert_eq!(in_force(bot).len(), 2);
        let id = bot.engine().known_forwards().iter().find(|k| k.spec.port == 8080).map(|k| k.id.to_string());
        let id = match id {
            Some(id) => id,
            None => {
                bot.admin().runs("/forward list").await;
                bot.engine().known_forwards()[1].id.to_string()
            }
        };
        let card = bot.confirmed(&format!("/forward remove forward:{id}"), "").await;
        bot.until_says(card.message, "removed").await;
        bot.settle().await;
        assert_eq!(in_force(bot), ["udp,ipv4,any,5353,10.20.5.6,5353"]);
        assert!(rules(bot, 5000).await.is_empty());
        assert_eq!(rules(bot, 5001).await.len(), 1);
        let refused = bot.viewer().runs("/forward add guest:shop-0 port:8082").await;
        assert!(refused.is_ephemeral() && refused.text().contains("forward.add"), "{}", refused.text());
    }
}

bot_test! {
    async fn a_forward_goes_with_its_guest(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "10.20.5.5").await;
        let card = bot.confirmed("/forward add guest:shop-0 port:8080", "").await;
        bot.until_says(card.message, "in force").await;
        bot.settle().await;
        let question = bot.admin().runs("/guest delete guest:shop-0").await;
        assert!(question.text().contains("Remove the port forward"), "{}", question.text());
        bot.admin().confirms(&question, "shop-0").await;
        bot.until_says(question.message, "was deleted").await;
        until("its line is gone from the table", async || in_force(bot).is_empty()).await;
        let listed = bot.admin().runs("/forward list").await.text();
        assert!(listed.contains("There are none"), "{listed}");
    }
}

bot_test! {
    async fn a_table_follows_the_guests_address_and_comes_back_after_a_flush(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "10.20.5.5").await;
        let card = bot.confirmed("/forward add guest:shop-0 port:8080", "").await;
        bot.until_says(card.message, "in force").await;
        bot.settle().await;
        // Somebody gives it another address.
        has(bot, 5000, "shop-0", "10.20.5.9").await;
        until("the table leads to the new address", async || {
            in_force(bot) == ["tcp,ipv4,any,8080,10.20.5.9,8080"]
        })
        .await;
        // The node starts anew without its boot unit, or somebody restarts nftables.
        bot.proxmox.meddle_node(NodeMeddling::Flush { node: "pve1".into() });
        until("the table is back", async || {
            in_force(bot) == ["tcp,ipv4,any,8080,10.20.5.9,8080"]
        })
        .await;
        // What gantry did by itself is in the audit log, under its own name.
        let own = |r: &&gantry_core::audit::AuditRow| {
            r.user.is_none() && r.detail.contains("forward-apply")
        };
        until("two calls have two rows each", async || {
            let rows = bot.engine().audit(&Default::default(), 0, 100).await.unwrap().rows;
            rows.iter().filter(own).count() >= 4
        })
        .await;
    }
}

bot_test! {
    async fn what_somebody_wrote_by_hand_is_told_of_and_not_fought(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "10.20.5.5").await;
        let card = bot.confirmed("/forward add guest:shop-0 port:8080", "").await;
        bot.until_says(card.message, "in force").await;
        bot.settle().await;
        let by_hand = vec!["tcp,ipv4,any,9999,10.20.7.7,22".to_owned()];
        bot.proxmox.meddle_node(NodeMeddling::Forwards { node: "pve1".into(), forwards: by_hand.clone() });
        let before = applied(bot);
        bot.clock.advance(std::time::Duration::from_secs(120));
        let listed = bot.admin().runs("/forward list").await.text();
        assert!(listed.contains("changed its table by hand") && listed.contains("9999"), "{listed}");
        let refused = bot.admin().runs("/forward add guest:shop-0 port:8081").await.text();
        assert!(refused.contains("/forward apply"), "{refused}");
        assert_eq!((in_force(bot), applied(bot)), (by_hand, before), "gantry fought");
        // A person decides, having seen what is lost.
        let question = bot.admin().runs("/forward apply node:pve1").await;
        assert!(question.text().contains("9999") && question.text().contains("lost"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "Now as asked for").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        assert_eq!(in_force(bot), ["tcp,ipv4,any,8080,10.20.5.5,8080"]);
    }
}

bot_test! {
    async fn a_forward_that_cannot_be_leaves_nothing_behind(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "10.20.5.5").await;
        bot.proxmox.meddle_node(NodeMeddling::Listens { node: "pve1".into(), proto: "tcp".into(), port: 8080 });
        let card = bot.confirmed("/forward add guest:shop-0 port:8080", "").await;
        let text = bot.until_says(card.message, "Nothing of it is left").await;
        assert!(text.contains("a program of the node listens at tcp port 8080"), "{text}");
        assert_eq!(bot.settle().await[0].state, OpState::Failed);
        assert!(in_force(bot).is_empty() && rules(bot, 5000).await.is_empty());
        let listed = bot.admin().runs("/forward list").await.text();
        assert!(listed.contains("There are none"), "{listed}");
    }
}

bot_test! {
    async fn answers_and_requests_lost_on_the_way_are_looked_for(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "10.20.5.5").await;
        let mut port = 9000;
        for call in ["SSH /nodes/*/forward-apply", "POST /nodes/*/lxc/*/firewall/rules"] {
            for kind in 0..3 {
                port += 1;
                let (matching, times) = (call.to_owned(), Some(1));
                let trouble = match kind {
                    0 => Trouble::AnswerLost { matching, times },
                    1 => Trouble::RequestLost { matching, times },
                    _ => Trouble::Truncate { matching, times },
                };
                let at = format!("{trouble:?}");
                let (before, rule) = (applied(bot), rules(bot, 5000).await.len());
                bot.trouble(trouble);
                let card = bot.confirmed(&format!("/forward add guest:shop-0 port:{port}"), "").await;
                bot.until_says(card.message, "in force").await;
                let op = bot.settle().await.remove(0);
                assert_eq!(op.state, OpState::Succeeded, "{at}: {:?}", op.outcome);
                assert_eq!(applied(bot), before + 1, "{at}");
                assert_eq!(rules(bot, 5000).await.len(), rule + 1, "{at}");
                bot.proxmox.clear_all_trouble();
            }
        }
        assert_eq!(in_force(bot).len(), 6);
    }
}

bot_test! {
    async fn without_a_node_shell_it_is_said_what_else_there_is(bot: &mut Bot) {
        bot.without_shell().await;
        has(bot, 5000, "shop-0", "10.20.5.5").await;
        let refused = bot.admin().runs("/forward add guest:shop-0 port:8080").await.text();
        assert!(refused.contains("node shell is not set up") && refused.contains("proxy"), "{refused}");
        bot.trouble(Trouble::Locked { vmid: 5000, lock: "backup".into() });
        bot.looks().await;
        let refused = bot.admin().runs("/guest unlock guest:shop-0").await.text();
        assert!(refused.contains("pct unlock"), "{refused}");
        // Whatever was typed, the answer names the guest, and says how the lock is taken off here.
        let refused = bot.admin().runs("/guest delete guest:5000").await.text();
        assert!(refused.contains("Cannot delete shop-0") && refused.contains("pct unlock 5000"), "{refused}");
    }
}
