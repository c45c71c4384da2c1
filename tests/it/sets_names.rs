//! Headless services as a person and a resolver see them: names that answer with ready pods, taken away before a pod
//! goes, healed after a wrong key.

use std::time::Duration;

use proxmox_twin::Trouble;
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, DNS_KEY, Reply, until};

/// Asks for two pods with a service, fills the form in, and waits until they answer.
async fn a_named_set(bot: &Bot) -> Reply {
    let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
    let form = bot
        .admin()
        .runs(&format!(
            "/set create name:front replicas:2 image:{image} vmids:7400-7409 nodes:pve1 storage:local-lvm \
             address:10.0.0.10/24 service:nginx.lab.example more:true"
        ))
        .await;
    let typed = json!({ "ports": "http:8080", "volumes": "data:1:/data", "tags": "shop" });
    let question = bot.admin().fills(&form, &typed).await;
    for words in ["Create 2 pods", "nginx.lab.example answer with the pods that are ready"] {
        assert!(question.text().contains(words), "{words} is not in:\n{}", question.text());
    }
    bot.admin().confirms(&question, "").await;
    bot.until_says(question.message, "2 of 2 pods ready, revision 1: as it shall be").await;
    question
}

/// Records that resolvers see; the claim is gantry's own.
fn records(bot: &Bot) -> Vec<String> {
    bot.dns.records().into_iter().filter(|r| !r.contains(" TXT ")).collect()
}

/// What the zone says while the pods of these ordinals are ready.
fn of_pods(ordinals: &[u32]) -> Vec<String> {
    let mut all: Vec<String> = ordinals
        .iter()
        .flat_map(|n| {
            let (address, name) =
                (format!("10.0.0.{}", 10 + n), format!("front-{n}.nginx.lab.example."));
            [
                format!("{name} 30 A {address}"),
                format!("nginx.lab.example. 30 A {address}"),
                format!("_http._tcp.nginx.lab.example. 30 SRV 0 100 8080 {name}"),
                format!("{}.0.0.10.in-addr.arpa. 30 PTR {name}", 10 + n),
            ]
        })
        .collect();
    all.sort();
    all
}

async fn answers_with(bot: &Bot, ordinals: &[u32]) {
    let mut last = Vec::new();
    let wanted = of_pods(ordinals);
    until(&format!("the names are those of {ordinals:?}"), async || {
        bot.looks().await;
        last = records(bot);
        last == wanted
    })
    .await;
}

bot_test! {
    async fn names_answer_with_the_pods_that_are_ready(bot: &mut Bot) {
        a_named_set(bot).await;
        assert_eq!(records(bot), of_pods(&[0, 1]));
        let pod = bot.proxmox.guest(7400).unwrap();
        assert!(pod.config["mp0"].contains("mp=/data"), "{:?}", pod.config);
        assert!(pod.config["tags"].contains("shop"), "{:?}", pod.config);

        // One stops and cannot be started: its names go, and come back with it.
        let start = Trouble::TaskFails { task: "vzstart".into(), exitstatus: "no".into(), times: None };
        bot.trouble(start);
        bot.meddles(&json!({ "action": "stop", "vmid": 7401 }));
        answers_with(bot, &[0]).await;
        // The records change first; then it is written down that they have.
        until("the card counts the names that are left", async || {
            let shown = bot.admin().runs("/set show set:front").await.text();
            shown.contains("nginx.lab.example answers with 1 of them")
        })
        .await;
        bot.proxmox.clear_all_trouble();
        bot.clock.advance(Duration::from_secs(600));
        answers_with(bot, &[0, 1]).await;

        // Somebody deletes a record by hand: looked at again now and then, it comes back.
        bot.settle().await;
        bot.dns.loses("front-0.nginx.lab.example.", "A");
        bot.clock.advance(Duration::from_secs(601));
        answers_with(bot, &[0, 1]).await;

        // A scaled pod's names go before it does.
        let question = bot.admin().runs("/set scale set:front replicas:1").await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "1 of 1 pods ready, revision 1: as it shall be").await;
        assert_eq!(records(bot), of_pods(&[0]));
        let question = bot.admin().runs("/set delete set:front").await;
        bot.admin().confirms(&question, "front").await;
        bot.until_says(question.message, "was deleted").await;
        assert_eq!(bot.dns.records(), Vec::<String>::new(), "nothing is left, the claim neither");
    }
}

bot_test! {
    async fn a_name_server_that_refuses_the_key_is_told_and_heals(bot: &mut Bot) {
        a_named_set(bot).await;
        bot.dns.takes_key("another key");
        let question = bot.admin().runs("/set scale set:front replicas:1").await;
        bot.admin().confirms(&question, "").await;
        let text = bot.until_says(question.message, "The names in DNS are not up to date").await;
        assert!(text.contains("refuses the key"), "{text}");
        assert!(!text.contains(DNS_KEY), "{text}");
        assert!(bot.proxmox.guest(7401).is_some(), "a pod whose names answer is not taken away");
        let shown = bot.admin().runs("/set show set:front").await.text();
        assert!(shown.contains("refuses the key"), "{shown}");
        bot.dns.takes_key(DNS_KEY);
        bot.until_says(question.message, "1 of 1 pods ready, revision 1: as it shall be").await;
        assert_eq!(records(bot), of_pods(&[0]));
        let shown = bot.admin().runs("/set show set:front").await.text();
        assert!(!shown.contains("refuses the key"), "{shown}");
    }
}

bot_test! {
    async fn records_of_somebody_else_stay_and_are_told(bot: &mut Bot) {
        bot.dns.has("front-1.nginx.lab.example.", "A", 300, &["192.0.2.1"]);
        a_named_set(bot).await;
        let has = records(bot);
        assert!(has.contains(&"front-1.nginx.lab.example. 300 A 192.0.2.1".to_owned()), "{has:?}");
        assert!(has.contains(&"nginx.lab.example. 30 A 10.0.0.10".to_owned()), "{has:?}");
        let shown = bot.admin().runs("/set show set:front").await.text();
        assert!(shown.contains("records of somebody else"), "{shown}");
    }
}

/// What happens to the name server while it is asked for something.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    /// It does what it is asked, and nobody hears of it.
    AnswersLost,
    /// It answers with an error.
    Fails,
    /// It refuses connections.
    Down,
    /// It answers nothing, and gantry is killed while it waits.
    Killed,
}

/// Asks for a change of the set while that happens; the message.
async fn asks_during(bot: &mut Bot, mishap: Mishap, command: &str, name: &str) -> u64 {
    match mishap {
        Mishap::AnswersLost => bot.dns.loses_answers(u32::MAX),
        Mishap::Fails => bot.dns.fails(true),
        Mishap::Down => bot.dns.goes_down().await,
        Mishap::Killed => bot.dns.goes_silent(true),
    }
    let message = bot.confirmed(command, name).await.message;
    match mishap {
        Mishap::AnswersLost => {}
        Mishap::Fails | Mishap::Down => {
            bot.until_says(message, "The names in DNS are not up to date").await;
            bot.dns.fails(false);
            if matches!(mishap, Mishap::Down) {
                bot.dns.comes_back().await.unwrap();
            }
        }
        Mishap::Killed => {
            until("it is asked", async || {
                bot.looks().await;
                bot.dns.waiting() > 0
            })
            .await;
            bot.restart().await;
            bot.dns.goes_silent(false);
        }
    }
    message
}

bot_test! {
    async fn names_get_there_whatever_the_name_server_does_meanwhile(bot: &mut Bot) {
        a_named_set(bot).await;
        bot.settle().await;
        for mishap in [Mishap::AnswersLost, Mishap::Fails, Mishap::Down, Mishap::Killed] {
            for replicas in [1, 2] {
                let command = format!("/set scale set:front replicas:{replicas}");
                let message = asks_during(bot, mishap, &command, "").await;
                let stands = format!("{replicas} of {replicas} pods ready, revision 1: as it shall be");
                bot.until_says(message, &stands).await;
                let ordinals: Vec<u32> = (0..replicas).collect();
                assert_eq!(records(bot), of_pods(&ordinals), "{mishap:?}");
                bot.settle().await;
            }
            bot.dns.loses_answers(0);
        }
        let message = asks_during(bot, Mishap::AnswersLost, "/set delete set:front", "front").await;
        bot.until_says(message, "was deleted").await;
        assert_eq!(bot.dns.records(), Vec::<String>::new(), "nothing is left, the claim neither");
    }
}
