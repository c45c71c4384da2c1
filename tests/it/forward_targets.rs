//! Where forwards lead and who may open them: what a container only says of itself is confirmed, a guest that moves is
//! told of, and a port of a pod is opened by whoever may open ports.

use std::collections::BTreeMap;

use discord_twin::world::ADMIN_ROLE;
use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, NodeMeddling};
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, Reply, until};
use crate::pods::{file, plans};

/// What a container without a fixed address says first. The simulated DHCP gives loopback addresses, which nothing is
/// ever led to.
const LEASED: &str = "10.20.21.2";

fn in_force(bot: &Bot, node: &str) -> Vec<String> {
    bot.proxmox.forwards(node).unwrap_or_default()
}

fn leads(to: &str) -> Vec<String> {
    vec![format!("tcp,ipv4,any,8080,{to},80")]
}

/// Adds a forward and waits until it is in force.
async fn adds(bot: &Bot, command: &str) -> Reply {
    let question = bot.confirmed(command, "").await;
    let op = bot.settle().await.remove(0);
    assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
    question
}

fn says(bot: &Bot, vmid: u32, addresses: &[&str]) {
    let addresses = addresses.iter().map(|a| (*a).to_owned()).collect();
    bot.proxmox.meddle_node(NodeMeddling::Says { vmid, addresses });
}

/// Creates the pod of a file, which says an address once it runs.
async fn made(bot: &Bot, text: &str) {
    let plan = plans(bot, text).await;
    bot.admin().confirms(&plan, "").await;
    let op = bot.settle().await.remove(0);
    assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
    says(bot, op.vmid.unwrap().get(), &[LEASED]);
}

async fn listed(bot: &Bot) -> String {
    bot.admin().runs("/forward list").await.text()
}

/// Confirms `/forward apply` and waits for its end.
async fn applies(bot: &Bot, node: &str, words: &[&str]) {
    let question = bot.admin().runs(&format!("/forward apply node:{node}")).await;
    for word in words {
        assert!(question.text().contains(word), "{word} is not in:\n{}", question.text());
    }
    bot.admin().confirms(&question, "").await;
    bot.until_says(question.message, "Now as asked for").await;
    assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
}

bot_test! {
    async fn what_a_container_says_of_itself_counts_only_as_it_was_confirmed(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop-0").on("pve1").running()).await;
        let add = "/forward add guest:shop-0 port:8080 to:80";
        let no = bot.admin().runs(add).await.text();
        assert!(no.contains("a loopback address"), "{no}");
        says(bot, 5000, &[LEASED]);
        // Whoever is root inside takes an address of a node, between question and press.
        let question = bot.admin().runs(add).await;
        let text = question.text();
        assert!(text.contains("no fixed address") && text.contains(LEASED), "{text}");
        says(bot, 5000, &["10.20.0.11"]);
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "an address of a node").await;
        assert!(in_force(bot, "pve1").is_empty());
        let no = bot.admin().runs(add).await.text();
        assert!(no.contains("an address of a node"), "{no}");

        says(bot, 5000, &[LEASED]);
        adds(bot, add).await;
        assert_eq!(in_force(bot, "pve1"), leads(LEASED));
        // Another address beside the confirmed one changes nothing; another one instead breaks it.
        says(bot, 5000, &["10.20.9.9", LEASED]);
        bot.clock.advance(std::time::Duration::from_secs(31));
        assert_eq!(in_force(bot, "pve1"), leads(LEASED));
        says(bot, 5000, &["10.20.9.9"]);
        until("nothing is led there", async || in_force(bot, "pve1").is_empty()).await;
        let text = listed(bot).await;
        for words in [LEASED, "10.20.9.9", "/forward apply node:pve1"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        applies(bot, "pve1", &["10.20.9.9", LEASED]).await;
        assert_eq!(in_force(bot, "pve1"), leads("10.20.9.9"));
        assert!(listed(bot).await.contains("as asked for"));
        let nothing = bot.admin().runs("/forward apply node:pve1").await.text();
        assert!(nothing.contains("as they were asked for"), "{nothing}");
    }
}

/// A bridge without ports on two nodes, and a guest with a fixed address on the first one's.
async fn on_a_bridge_of_its_own(bot: &Bot, vmid: u32, name: &str, bridge: &str) {
    for node in ["pve1", "pve2"] {
        let options = [("type", "bridge"), ("autostart", "1"), ("active", "1")];
        let options: BTreeMap<String, String> =
            options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        bot.proxmox.meddle_network(node, "vmbr9", Some(options)).unwrap();
    }
    let card = format!("name=eth0,bridge={bridge},ip=10.9.0.5/24");
    bot.has_guest(GuestSpec::lxc(vmid, name).on("pve1").set("net0", &card).running()).await;
}

bot_test! {
    async fn a_guest_that_moves_takes_its_forward_along_once_somebody_confirms_it(bot: &mut Bot) {
        on_a_bridge_of_its_own(bot, 5000, "shop-0", "vmbr9").await;
        let no = bot.admin().runs("/forward add guest:shop-0 port:8080 to:80 node:pve2").await.text();
        assert!(no.contains("a bridge that ends at pve1"), "{no}");
        adds(bot, "/forward add guest:shop-0 port:8080 to:80").await;
        assert_eq!(in_force(bot, "pve1"), leads("10.9.0.5"));
        bot.meddles(&json!({"action": "migrate", "vmid": 5000, "node": "pve2"}));
        bot.looks().await;
        until("pve1 leads nowhere", async || in_force(bot, "pve1").is_empty()).await;
        let text = listed(bot).await;
        assert!(text.contains("is on pve2 now") && text.contains("/forward apply node:pve2"), "{text}");
        assert!(in_force(bot, "pve2").is_empty(), "nobody has confirmed a port of pve2");
        applies(bot, "pve2", &["Let pve2 listen", "instead of pve1"]).await;
        assert_eq!(in_force(bot, "pve2"), leads("10.9.0.5"));
        assert!(in_force(bot, "pve1").is_empty());
    }
}

bot_test! {
    async fn a_guest_that_moves_on_a_bridge_that_reaches_both_nodes_is_still_led_to(bot: &mut Bot) {
        on_a_bridge_of_its_own(bot, 5000, "shop-0", "vmbr0").await;
        adds(bot, "/forward add guest:shop-0 port:8080 to:80").await;
        bot.meddles(&json!({"action": "migrate", "vmid": 5000, "node": "pve2"}));
        bot.looks().await;
        bot.clock.advance(std::time::Duration::from_secs(61));
        let text = listed(bot).await;
        assert!(text.contains("as asked for") && !text.contains("leads nowhere"), "{text}");
        assert_eq!(in_force(bot, "pve1"), leads("10.9.0.5"));
    }
}

/// A pod that wants a port of its node.
fn pod(node: &str, port: u16) -> String {
    let ports = format!("ports = [{{ name = \"http\", port = 80, node_port = {port} }}]");
    file("shop-9", &format!("node = \"{node}\"\n{ports}"))
}

/// What the sender of a file is told.
async fn sends(bot: &Bot, text: &str) -> String {
    bot.looks().await;
    let id = bot.discord.upload("web.toml", text.as_bytes());
    bot.admin().runs(&format!("/pod apply file:{id}")).await.text()
}

fn denied(on: &str) -> String {
    format!(
        "[[policy.rules]]\nname = \"ports are closed\"\neffect = \"deny\"\nroles = [{ADMIN_ROLE}]\n\
         verbs = [\"forward.add\"]\non = [\"{on}\"]\n"
    )
}

bot_test! {
    async fn a_port_of_a_node_is_opened_only_by_whoever_may_open_ports_there(bot: &mut Bot) {
        bot.configured(&denied("node:pve2")).await;
        let card = "name=eth0,bridge=vmbr0,ip=10.20.5.5/16";
        bot.has_guest(GuestSpec::lxc(5000, "shop-0").on("pve1").set("net0", card).running()).await;
        let no = bot.admin().runs("/forward add guest:shop-0 port:8080 node:pve2").await.text();
        assert!(no.contains("ports are closed") && no.contains("forward.add"), "{no}");
        let no = sends(bot, &pod("pve2", 8081)).await;
        assert!(no.contains("ports are closed") && no.contains("forward.add"), "{no}");
        // On another node it is not forbidden, and its first address is learned.
        made(bot, &pod("pve1", 8081)).await;
        until("its port is led to it", async || in_force(bot, "pve1").len() == 1).await;
        // A second port of a pod that is there is one more port.
        bot.configured(&denied("*")).await;
        bot.looks().await;
        let no = sends(bot, &pod("pve1", 8082)).await;
        assert!(no.contains("ports are closed") && no.contains("forward.add"), "{no}");
        let same = sends(bot, &pod("pve1", 8081)).await;
        assert!(same.contains("Nothing to do"), "what is open is nobody's to open: {same}");
    }
}

bot_test! {
    async fn a_changed_port_of_a_pod_is_told_and_follows(bot: &mut Bot) {
        made(bot, &pod("pve1", 8081)).await;
        until("its port is led to it", async || in_force(bot, "pve1").len() == 1).await;
        let plan = plans(bot, &pod("pve1", 8082)).await;
        let text = crate::harness::text_of(&bot.message(plan.message));
        for words in [":8082 on pve1", "once it has an address", ":8081 on pve1", "no longer"] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        bot.admin().confirms(&plan, "").await;
        bot.settle().await;
        until("the new port is led to it", async || {
            in_force(bot, "pve1").iter().all(|f| f.contains(",8082,")) && in_force(bot, "pve1").len() == 1
        })
        .await;
    }
}
