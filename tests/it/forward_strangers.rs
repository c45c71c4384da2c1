//! Forwards while guests go, come back and share numbers: nobody's guest is opened by somebody else's forward, and what
//! was removed leaves nothing behind.

use gantry_core::id::GuestKind;
use gantry_core::operation::OpState;
use gantry_proxmox::{Client, ClusterConfig, FirewallAt, GuestRef, Tls};
use proxmox_twin::{GuestSpec, Trouble};
use secrecy::Secret;
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, Reply, until};
use crate::pods::{file, plans};

/// Longer than the pause between two looks at the tables.
pub const A_LOOK: std::time::Duration = std::time::Duration::from_secs(31);

pub fn in_force(bot: &Bot) -> Vec<String> {
    bot.proxmox.forwards("pve1").unwrap_or_default()
}

/// The comments of the rules in a guest's firewall, as somebody at Proxmox's own page sees them.
pub async fn rules(bot: &Bot, vmid: u32) -> Vec<String> {
    let (client, at) = firewall(bot, vmid);
    client.firewall_rules(&at).await.unwrap().iter().map(|r| r.comment().to_owned()).collect()
}

fn firewall(bot: &Bot, vmid: u32) -> (Client, FirewallAt) {
    let endpoints = bot.proxmox.endpoints().iter().map(|e| e.parse().unwrap()).collect();
    let (id, secret) = bot.proxmox.token();
    let mut config = ClusterConfig::new("lab".parse().unwrap(), endpoints, id, Secret::new(secret));
    config.tls = Tls::CaPem(bot.proxmox.ca_pem());
    let guest = GuestRef::new("pve1".parse().unwrap(), GuestKind::Lxc, vmid.try_into().unwrap());
    (Client::new(config).unwrap(), FirewallAt::Guest(guest))
}

pub async fn has(bot: &Bot, vmid: u32, name: &str, node: &str, address: &str) {
    let card = format!("name=eth0,bridge=vmbr0,ip={address}/16");
    bot.has_guest(GuestSpec::lxc(vmid, name).on(node).set("net0", &card).running()).await;
}

pub async fn confirmed(bot: &Bot, command: &str, name: &str) -> Reply {
    let question = bot.admin().runs(command).await;
    bot.admin().confirms(&question, name).await;
    question
}

/// Adds a forward and waits until it is in force.
pub async fn added(bot: &Bot, command: &str) {
    confirmed(bot, command, "").await;
    let op = bot.settle().await.remove(0);
    assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
}

pub async fn listed(bot: &Bot) -> String {
    bot.admin().runs("/forward list").await.text()
}

/// The id of the forward that listens at this port.
pub async fn id_of(bot: &Bot, port: u16) -> String {
    listed(bot).await;
    let all = bot.engine().known_forwards();
    all.iter().find(|k| k.spec.port == port).expect("it is on the list").id.to_string()
}

/// Somebody deletes a guest on Proxmox's own page.
async fn somebody_deletes(bot: &Bot, vmid: u32) {
    bot.meddles(&json!({"action": "stop", "vmid": vmid}));
    bot.meddles(&json!({"action": "destroy", "vmid": vmid}));
    bot.looks().await;
}

bot_test! {
    async fn a_number_that_is_used_again_opens_nobody_elses_guest(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "pve1", "10.20.5.5").await;
        added(bot, "/forward add guest:shop-0 port:8080 to:80").await;
        somebody_deletes(bot, 5000).await;
        has(bot, 5000, "payroll", "pve1", "10.20.5.66").await;
        until("the port leads nowhere", async || in_force(bot).is_empty()).await;
        // A process that knows nothing from before does not open it either.
        bot.restart().await;
        bot.looks().await;
        let text = listed(bot).await;
        for words in ["asked for shop-0", "called payroll now", "/forward apply node:pve1"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        bot.clock.advance(A_LOOK);
        listed(bot).await;
        assert!(in_force(bot).is_empty() && rules(bot, 5000).await.is_empty());
        // Whoever may open that guest decides.
        let question = bot.admin().runs("/forward apply node:pve1").await;
        assert!(question.text().contains("payroll") && question.text().contains("10.20.5.66"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        assert_eq!(in_force(bot), ["tcp,ipv4,any,8080,10.20.5.66,80"]);
        until("its firewall lets it through", async || rules(bot, 5000).await.len() == 1).await;
    }
}

bot_test! {
    async fn a_removal_that_broke_off_still_closes_the_guests_firewall(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "pve1", "10.20.5.5").await;
        added(bot, "/forward add guest:shop-0 port:8080 to:80").await;
        let id = id_of(bot, 8080).await;
        let matching = "DELETE /nodes/*/lxc/*/firewall/rules/*".to_owned();
        bot.trouble(Trouble::Error { matching, status: 500, reason: "unable to fork worker".into(), times: None });
        confirmed(bot, &format!("/forward remove forward:{id}"), "").await;
        // An error of Proxmox's does not say that nothing was done.
        assert_eq!(bot.settle().await[0].state, OpState::Unknown);
        until("its line is gone", async || in_force(bot).is_empty()).await;
        assert_eq!(rules(bot, 5000).await.len(), 1);
        let text = listed(bot).await;
        assert!(text.contains("removed has still a line"), "{text}");
        // Whoever goes on knows it, too.
        bot.restart().await;
        bot.looks().await;
        bot.proxmox.clear_all_trouble();
        until("its rule is gone", async || {
            bot.clock.advance(A_LOOK);
            rules(bot, 5000).await.is_empty()
        })
        .await;
        let rows = bot.engine().audit(&Default::default(), 0, 200).await.unwrap().rows;
        let own = |event: &str| {
            let fits = |r: &&gantry_core::audit::AuditRow| {
                r.user.is_none() && r.event.as_str() == event && r.detail.contains("remove the rule")
            };
            rows.iter().filter(fits).count()
        };
        assert!(own("about-to") > 0 && own("answered") > 0);
        until("nothing is left to do", async || {
            bot.clock.advance(A_LOOK);
            listed(bot).await.contains("There are none") && !listed(bot).await.contains("removed has")
        })
        .await;
    }
}

bot_test! {
    async fn a_rule_that_somebody_takes_out_is_not_put_back(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "pve1", "10.20.5.5").await;
        added(bot, "/forward add guest:shop-0 port:8080 to:80").await;
        let (client, at) = firewall(bot, 5000);
        client.delete_firewall_rule(&at, 0, None).await.unwrap();
        bot.restart().await;
        bot.looks().await;
        // Another one is put in meanwhile: the keeper has been at work.
        added(bot, "/forward add guest:shop-0 port:8081 to:81").await;
        bot.clock.advance(A_LOOK);
        let text = listed(bot).await;
        assert_eq!(rules(bot, 5000).await.len(), 1, "gantry has opened what somebody closed:\n{text}");
        let text = listed(bot).await;
        assert_eq!(text.matches("was taken out of its guest's firewall").count(), 1, "{text}");
    }
}

bot_test! {
    async fn one_odd_guest_or_a_node_that_is_down_stops_nothing_else(bot: &mut Bot) {
        has(bot, 5000, "shop-0", "pve1", "10.20.5.5").await;
        has(bot, 5001, "shop-1", "pve2", "10.20.5.6").await;
        has(bot, 5002, "shop-2", "pve1", "10.20.5.7").await;
        added(bot, "/forward add guest:shop-0 port:8080 to:80").await;
        added(bot, "/forward add guest:shop-1 port:8081 to:80 node:pve1").await;
        added(bot, "/forward add guest:shop-2 port:8082 to:80").await;
        // An address no table takes.
        has(bot, 5002, "shop-2", "pve1", "240.0.0.1").await;
        until("its line alone is gone", async || in_force(bot).len() == 2).await;
        let text = listed(bot).await;
        assert!(text.contains("240.0.0.1") && text.contains("no machine has"), "{text}");
        let id = id_of(bot, 8080).await;
        bot.trouble(Trouble::NodeDown { node: "pve2".into() });
        bot.looks().await;
        confirmed(bot, &format!("/forward remove forward:{id}"), "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        assert_eq!(in_force(bot), ["tcp,ipv4,any,8081,10.20.5.6,80"], "what cannot be read stays as it is");
        bot.proxmox.clear_all_trouble();
    }
}

/// A pod that wants a port of its node, at an address of its own.
pub fn pod(name: &str, port: u16, address: &str) -> String {
    file(
        name,
        &format!("node = \"pve1\"\nports = [{{ name = \"http\", port = 80, node_port = {port} }}]"),
    )
    .replace("\"dhcp\"", &format!("\"{address}/16\""))
}

async fn made(bot: &Bot, text: &str) -> u32 {
    let plan = plans(bot, text).await;
    bot.admin().confirms(&plan, "").await;
    let op = bot.settle().await.remove(0);
    assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
    op.vmid.unwrap().get()
}

bot_test! {
    async fn the_port_of_a_pod_that_is_gone_is_free_again(bot: &mut Bot) {
        let vmid = made(bot, &pod("shop-9", 8090, "10.20.6.9")).await;
        until("its port is led to it", async || in_force(bot).len() == 1).await;
        let own = |r: &gantry_core::audit::AuditRow| r.user.is_none() && r.detail.contains("add the rule");
        until("opening its firewall is in the audit log", async || {
            let rows = bot.engine().audit(&Default::default(), 0, 200).await.unwrap().rows;
            rows.iter().filter(|r| own(r)).count() == 2
        })
        .await;
        let id = id_of(bot, 8090).await;
        let no = bot.admin().runs(&format!("/forward remove forward:{id}")).await.text();
        assert!(no.contains("/pod apply"), "{no}");
        somebody_deletes(bot, vmid).await;
        made(bot, &pod("shop-9", 8090, "10.20.6.10")).await;
        until("the new one has the port", async || in_force(bot) == ["tcp,ipv4,any,8090,10.20.6.10,80"]).await;
        let second = made(bot, &pod("shop-8", 8091, "10.20.6.11")).await;
        let id = id_of(bot, 8091).await;
        somebody_deletes(bot, second).await;
        confirmed(bot, &format!("/forward remove forward:{id}"), "").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        until("its line is gone", async || in_force(bot).len() == 1).await;
    }
}

bot_test! {
    async fn a_port_taken_out_of_a_specification_is_closed_in_the_firewall(bot: &mut Bot) {
        let text = pod("shop-9", 8090, "10.20.6.9");
        let vmid = made(bot, &text).await;
        until("its firewall lets it through", async || rules(bot, vmid).await.len() == 1).await;
        // A change of something else leaves the port where it is.
        confirmed(bot, "/pod update pod:shop-9 memory:2048", "").await;
        bot.settle().await;
        assert_eq!(in_force(bot).len(), 1);
        let plan = plans(bot, &text.replace(", node_port = 8090", "").replace("1024", "2048")).await;
        bot.admin().confirms(&plan, "").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        until("line and rule are gone", async || {
            bot.clock.advance(A_LOOK);
            in_force(bot).is_empty() && rules(bot, vmid).await.is_empty()
        })
        .await;
    }
}

bot_test! {
    async fn nothing_is_led_to_a_gateway_that_the_nodes_have_themselves(bot: &mut Bot) {
        let ask = "/vnet create name:web zone:z1 kind:simple subnet:10.7.0.0/24 gateway:10.7.0.1 keep:1";
        let question = confirmed(bot, ask, "").await;
        bot.until_says(question.message, "Press it once you have seen").await;
        bot.admin().does(&question, "keep").await;
        bot.until_says(question.message, "kept it").await;
        bot.settle().await;
        has(bot, 5000, "shop-0", "pve1", "10.7.0.1").await;
        let no = bot.admin().runs("/forward add guest:shop-0 port:9022 to:22").await.text();
        assert!(no.contains("an address of a node"), "{no}");
    }
}
