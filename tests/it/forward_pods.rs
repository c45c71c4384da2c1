//! Forwards to pods of sets, ports that two pods want, and what somebody is told of forwards to guests they may not see.

use discord_twin::world::OPERATOR_ROLE;
use gantry_core::operation::OpState;
use proxmox_twin::NodeMeddling;

use crate::bot_test;
use crate::forward_strangers::{
    A_LOOK, added, confirmed, has, id_of, in_force, listed, pod, rules,
};
use crate::harness::until;
use crate::pods::plans;

bot_test! {
    async fn a_pod_of_a_set_that_is_replaced_keeps_its_forward(bot: &mut Bot) {
        let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
        let create = format!(
            "/set create name:depot replicas:1 image:{image} vmids:7900-7909 nodes:pve1 storage:local-lvm \
             address:10.20.9.10/16"
        );
        let card = confirmed(bot, &create, "").await;
        bot.until_says(card.message, "1 of 1 pods ready, revision 1: as it shall be").await;
        bot.settle().await;
        bot.looks().await;
        added(bot, "/forward add guest:depot-0 port:8080 to:80").await;
        let line = ["tcp,ipv4,any,8080,10.20.9.10,80"];
        assert_eq!(in_force(bot), line);
        let id = id_of(bot, 8080).await;

        let question = bot.admin().runs("/set rollout start set:depot").await;
        assert!(question.text().contains("Port forwards to its pods stay"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "1 of 1 pods ready, revision 2: as it shall be").await;
        bot.settle().await;
        let replaced = bot.proxmox.changes().iter().filter(|c| c.what == "create" && c.vmid == Some(7900)).count();
        assert_eq!(replaced, 2);
        // It leads there again, through a firewall that is a new one.
        until("it is in force again", async || in_force(bot) == line).await;
        until("its new firewall lets it through", async || {
            bot.clock.advance(A_LOOK);
            rules(bot, 7900).await.len() == 1
        })
        .await;
        assert_eq!(id_of(bot, 8080).await, id);
        assert!(listed(bot).await.contains("as asked for"));

        // A pod that goes for good takes its forward along, and the plan says so.
        let question = bot.admin().runs("/set scale set:depot replicas:0").await;
        assert!(question.text().contains("Remove the port forward"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "0 of 0 pods ready, revision 2: as it shall be").await;
        until("its line is gone", async || in_force(bot).is_empty()).await;
        assert!(listed(bot).await.contains("There are none"));
    }
}

bot_test! {
    async fn a_port_that_two_pods_want_at_once_is_one_pods_and_the_other_is_told(bot: &mut Bot) {
        let one = plans(bot, &pod("shop-8", 8090, "10.20.6.8")).await;
        let two = plans(bot, &pod("shop-9", 8090, "10.20.6.9")).await;
        let (admin, other) = (bot.admin(), bot.admin());
        tokio::join!(admin.confirms(&one, ""), other.confirms(&two, ""));
        let ops = bot.settle().await;
        let of = |state| ops.iter().filter(|op| op.state == state).count();
        assert_eq!((of(OpState::Succeeded), of(OpState::Warned)), (1, 1), "{ops:?}");
        let mut told = 0;
        for card in [one, two] {
            let text = bot.until_says(card.message, "was created").await;
            told += usize::from(text.contains("that port was taken meanwhile"));
        }
        assert_eq!(told, 1, "who has not got the port is told, and only they");
        until("the port leads to one of them", async || in_force(bot).len() == 1).await;
    }
}

bot_test! {
    async fn whoever_may_not_see_a_guest_is_not_told_what_leads_to_it(bot: &mut Bot) {
        bot.configured(&format!(
            r#"
[[policy.rules]]
name = "operators open ports"
roles = [{OPERATOR_ROLE}]
verbs = ["forward.*", "pod.*"]
on = ["*"]

[[policy.rules]]
name = "payroll is not theirs"
effect = "deny"
roles = [{OPERATOR_ROLE}]
verbs = ["*"]
on = ["name:payroll*"]
"#
        ))
        .await;
        has(bot, 5000, "shop-0", "pve1", "10.20.5.5").await;
        has(bot, 5001, "payroll-db", "pve1", "10.20.5.6").await;
        added(bot, "/forward add guest:payroll-db port:8443 to:443").await;
        let hidden = |text: &str, words: &str| {
            assert!(text.contains(words) && !text.contains("payroll"), "{words}:\n{text}");
        };
        let taken = bot.operator().runs("/forward add guest:shop-0 port:8443 to:443").await.text();
        hidden(&taken, "a guest you may not see");
        let id = bot.discord.upload("web.toml", pod("shop-9", 8443, "10.20.6.9").as_bytes());
        let taken = bot.operator().runs(&format!("/pod apply file:{id}")).await.text();
        hidden(&taken, "a guest you may not see");
        hidden(&bot.operator().runs("/forward list").await.text(), "a guest you may not see");
        assert!(listed(bot).await.contains("payroll-db"), "others see it");
        // Somebody has written into the table by hand, and the guest is called something else now.
        let forwards = vec!["tcp,ipv4,any,9999,10.20.7.7,22".to_owned()];
        bot.proxmox.meddle_node(NodeMeddling::Forwards { node: "pve1".into(), forwards });
        has(bot, 5001, "payroll-new", "pve1", "10.20.5.6").await;
        let asked = bot.operator().runs("/forward apply node:pve1").await.text();
        hidden(&asked, "9999");
        hidden(&bot.operator().runs("/forward list").await.text(), "leads nowhere");
    }
}
