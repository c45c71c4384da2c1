//! What gantry looks at while it keeps sets up: little while nothing is to be done, live state before each thing that
//! cannot be undone, configurations slowly; and what it does not let one broken set or silent server do to the others.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::set::SetRef;
use proxmox_twin::Trouble;
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, Reply, until};

async fn a_set(bot: &Bot, name: &str, from: u32, replicas: u32, more: &str) -> Reply {
    let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
    let command = format!(
        "/set create name:{name} replicas:{replicas} image:{image} vmids:{from}-{} nodes:pve1 storage:local-lvm {more}",
        from + 9
    );
    let question = bot.admin().runs(command.trim()).await;
    bot.admin().confirms(&question, "").await;
    let stands = format!("{replicas} of {replicas} pods ready, revision 1: as it shall be");
    bot.until_says(question.message, &stands).await;
    bot.settle().await;
    question
}

/// Requests for what `is` wants, since they were forgotten.
fn asked(bot: &Bot, is: impl Fn(&str) -> bool) -> Vec<String> {
    let all = bot.proxmox.requests();
    let text = all.iter().map(|r| format!("{} {}", r.method, r.path));
    text.filter(|line| is(line)).collect()
}

/// Lets the bot read the cluster, and waits until the configuration of this pod was read as well.
async fn reads_configuration(bot: &Bot, vmid: u32) {
    let path = format!("GET /nodes/pve1/lxc/{vmid}/config");
    until("its configuration is read", async || {
        bot.looks().await;
        !asked(bot, |line| line == path).is_empty()
    })
    .await;
}

bot_test! {
    async fn a_set_that_stands_costs_one_question_a_reading(bot: &mut Bot) {
        a_set(bot, "calm", 7700, 3, "").await;
        // Each configuration is read once after it was made, then not for ten minutes.
        for vmid in 7700..7703 {
            reads_configuration(bot, vmid).await;
        }
        let mut calm = 0;
        until("what was just made has been read", async || {
            bot.proxmox.forget();
            bot.clock.advance(Duration::from_secs(61));
            bot.looks().await;
            bot.looks().await;
            calm = if asked(bot, |line| line.contains("/lxc")).is_empty() { calm + 1 } else { 0 };
            calm == 3
        })
        .await;
        bot.proxmox.forget();
        let readings = || asked(bot, |line| line == "GET /cluster/resources").len();
        until("it was read three times", async || {
            bot.looks().await;
            readings() >= 3
        })
        .await;
        let others = asked(bot, |line| line.contains("/lxc"));
        assert_eq!(others, Vec::<String>::new(), "no pod is asked about");
        // The view's time moves only when it is read: one question for each.
        let before = readings();
        bot.looks().await;
        assert!(readings() <= before + 1, "one `cluster/resources` a reading");
        let changes = asked(bot, |line| !line.starts_with("GET"));
        assert_eq!(changes, Vec::<String>::new());
    }
}

/// The writes that take something away from a guest, each with whether its state and its configuration were read since
/// the write before.
fn taken(all: &[String]) -> Vec<(String, bool)> {
    let mut looked: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    let mut taken = Vec::new();
    for line in all {
        let Some((_, rest)) = line.split_once("/lxc/") else { continue };
        let (vmid, what) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        let own = looked.entry(vmid.to_owned()).or_default();
        match (line.split(' ').next().unwrap(), what) {
            ("GET", "status/current") => own.0 = true,
            ("GET", "config") => own.1 = true,
            ("DELETE", _) | ("POST", "status/shutdown" | "status/stop") | ("PUT", "config") => {
                taken.push((line.clone(), *own == (true, true)));
                *own = (false, false);
            }
            _ => {}
        }
    }
    taken
}

bot_test! {
    async fn before_anything_is_taken_away_it_is_looked_at(bot: &mut Bot) {
        a_set(bot, "seen", 7710, 1, "volume:data:1:/data").await;
        bot.proxmox.forget();
        let card = bot.confirmed("/set rollout start set:seen", "").await;
        bot.until_says(card.message, "1 of 1 pods ready, revision 2: as it shall be").await;
        bot.settle().await;
        let card = bot.confirmed("/set delete set:seen volumes:true", "seen").await;
        bot.until_says(card.message, "was deleted").await;
        bot.settle().await;
        let all = asked(bot, |line| line.contains("/lxc"));
        let taken = taken(&all);
        assert!(taken.iter().all(|(_, looked)| *looked), "{taken:?} in {all:?}");
        // Twice the pod, shut down and deleted; once the container that keeps its volume, unprotected and deleted.
        assert_eq!(taken.len(), 6, "{taken:?}");
    }
}

bot_test! {
    async fn a_pod_that_is_back_before_it_is_made_again_is_not_made_twice(bot: &mut Bot) {
        a_set(bot, "back", 7830, 1, "").await;
        bot.proxmox.forget();
        bot.guillotine.set("before look", 0);
        bot.meddles(&json!({ "action": "destroy", "vmid": 7830 }));
        bot.looks().await;
        assert!(bot.guillotine.has_fallen(Duration::from_secs(20)).await, "it shall be made again");
        // On a reading in which it was gone; meanwhile somebody restores it from a backup.
        let tags = "gantry;gantry-set.back";
        bot.proxmox.has(proxmox_twin::GuestSpec::lxc(7830, "back-0").on("pve1").tags(tags).running());
        bot.restart().await;
        bot.settle().await;
        bot.looks().await;
        until("the set stands with that one", async || {
            bot.looks().await;
            bot.admin().runs("/set show set:back").await.text().contains("1 of 1 ready")
        })
        .await;
        bot.settle().await;
        let made = bot.changes().into_iter().filter(|c| c.ends_with("7830")).collect::<Vec<_>>();
        assert_eq!(made, Vec::<String>::new(), "nothing was done to it");
    }
}

bot_test! {
    async fn a_pod_that_is_somebody_elses_at_the_last_moment_is_not_deleted(bot: &mut Bot) {
        a_set(bot, "mine", 7720, 1, "").await;
        // Its shutdown takes long; meanwhile somebody takes the tags off, and gives it a disk of their own.
        bot.trouble(Trouble::TaskSlow { task: "vzshutdown".into(), seconds: 3.0 });
        let question = bot.admin().runs("/set scale set:mine replicas:0").await;
        bot.admin().confirms(&question, "").await;
        until("it is being shut down", async || !asked(bot, |l| l.ends_with("/7720/status/shutdown")).is_empty()).await;
        bot.meddles(&json!({ "action": "set", "vmid": 7720, "config": { "tags": "precious" } }));
        bot.until_says(question.message, "0 of 0 pods ready").await;
        bot.settle().await;
        let pod = bot.proxmox.guest(7720).expect("it is still there");
        assert_eq!(pod.status, "stopped");
        assert_eq!(asked(bot, |l| l.starts_with("DELETE")), Vec::<String>::new());
    }
}

bot_test! {
    async fn what_the_summary_does_not_tell_is_noticed_too(bot: &mut Bot) {
        let question = a_set(bot, "deep", 7730, 1, "").await;
        let net0 = bot.proxmox.guest(7730).unwrap().config["net0"].clone();
        let told = async |words: &str| {
            bot.proxmox.forget();
            bot.clock.advance(Duration::from_secs(601));
            let mut found = None;
            until(&format!("somebody says “{words}”"), async || {
                bot.looks().await;
                found = bot
                    .discord
                    .until_message("#ops", "admin", Duration::from_millis(200), |m| {
                        crate::harness::text_of(m).replace('\\', "").contains(words)
                    })
                    .await;
                found.is_some()
            })
            .await;
            let message = found.unwrap()["id"].as_str().unwrap().parse().unwrap();
            Reply { message, ..question.clone() }
        };
        let changes = |key: &str, value: &str| {
            bot.meddles(&json!({ "action": "set", "vmid": 7730, "config": { key: value } }));
        };
        let setting = |key: &str| bot.proxmox.guest(7730).unwrap().config[key].clone();

        // Taken for what it shall be; told no more, until something else is changed.
        changes("swap", "2048");
        let card = told("Swap: 2048 MiB instead of 0 MiB").await;
        bot.admin().does(&card, "adopt").await;
        bot.settle().await;
        bot.looks().await;
        let shown = bot.admin().runs("/set show set:deep").await.text();
        assert!(!shown.contains("Swap"), "{shown}");
        assert_eq!(setting("swap"), "2048");

        // Made again as it shall be.
        let moved = net0.replace("vmbr0", "vmbr1");
        assert_ne!(moved, net0, "the card is on vmbr0");
        changes("net0", &moved);
        let card = told("bridge vmbr1 instead of bridge vmbr0").await;
        assert_eq!(setting("net0"), moved, "nothing is undone silently");
        bot.admin().confirms(&card, "").await;
        bot.until_says(card.message, "as it shall be").await;
        bot.settle().await;
        assert_eq!((setting("net0"), setting("swap")), (net0, "0".to_owned()));
    }
}

bot_test! {
    async fn a_set_that_does_not_read_back_stops_no_other(bot: &mut Bot) {
        a_set(bot, "good", 7740, 1, "").await;
        a_set(bot, "hurt", 7750, 1, "").await;
        let store = bot.engine().store().clone();
        let broken = "UPDATE sets SET data = '{}' WHERE name = 'hurt'";
        let set = SetRef { cluster: "lab".parse().unwrap(), name: "hurt".into() };
        until("no pass that began before writes the row anew", async || {
            gantry_store::testing::execute(&store, broken).await.unwrap();
            bot.looks().await;
            bot.looks().await;
            store.find_set(&set).await.is_err()
        })
        .await;
        for vmid in [7740, 7750] {
            bot.meddles(&json!({ "action": "destroy", "vmid": vmid }));
        }
        until("the other one's pod is made again", async || {
            bot.looks().await;
            bot.proxmox.guest(7740).is_some_and(|g| g.status == "running")
        })
        .await;
        bot.settle().await;
        assert!(bot.proxmox.guest(7750).is_none(), "nothing is done about what cannot be read");
        // Nothing may be taken for unused because of it.
        assert!(store.find_set(&set).await.is_err());
    }
}

bot_test! {
    async fn a_name_server_that_does_not_answer_slows_no_other_set(bot: &mut Bot) {
        a_set(bot, "named", 7760, 1, "address:10.0.0.60/24 service:slow.lab.example").await;
        a_set(bot, "plain", 7770, 1, "").await;
        bot.dns.goes_silent(true);
        for vmid in [7760, 7770] {
            bot.meddles(&json!({ "action": "destroy", "vmid": vmid }));
        }
        until("the other set's pod runs again", async || {
            bot.looks().await;
            bot.proxmox.guest(7770).is_some_and(|g| g.status == "running")
        })
        .await;
        bot.dns.goes_silent(false);
        until("and so does this one's", async || {
            bot.looks().await;
            bot.proxmox.guest(7760).is_some_and(|g| g.status == "running")
        })
        .await;
        until("and answers", async || bot.dns.records().iter().any(|r| r.ends_with(" A 10.0.0.60"))).await;
        bot.settle().await;
    }
}

bot_test! {
    async fn a_deployment_lives_on_a_bridge_of_its_own(bot: &mut Bot) {
        let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
        let create = |name: &str, from: u32| {
            format!(
                "/set create name:{name} replicas:2 image:{image} vmids:{from}-{} nodes:pve1 \
                 storage:local-lvm bridge:vmbr7 deployment:true",
                from + 9
            )
        };
        let refused = bot.admin().runs(&create("shop", 7780)).await.text();
        let hint = "`/bridge create node:pve1 name:vmbr7 deployment:shop` makes one of its own";
        assert!(refused.contains("pve1 has no bridge vmbr7") && refused.contains(hint), "{refused}");
        let own = [("type", "bridge"), ("autostart", "1"), ("comments", "gantry:shop")];
        let own = own.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
        bot.proxmox.meddle_network("pve1", "vmbr7", Some(own)).unwrap();
        // What was read of the node's bridges is a few seconds old at most.
        until("it is seen whose it is", async || {
            let refused = bot.admin().runs(&create("mail", 7790)).await.text();
            refused.contains("was made for shop alone")
        })
        .await;

        let question = bot.admin().runs(&create("shop", 7780)).await;
        assert!(question.text().contains("all at once"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "2 of 2 pods ready, revision 1: as it shall be").await;
        bot.settle().await;
        for vmid in [7780, 7781] {
            let pod = bot.proxmox.guest(vmid).unwrap();
            assert!(pod.config["net0"].contains("bridge=vmbr7"), "{:?}", pod.config);
            assert!(!pod.config.contains_key("mp0"), "no volumes of its own");
        }
    }
}

bot_test! {
    async fn an_ordinal_is_the_same_after_its_replacement(bot: &mut Bot) {
        a_set(bot, "same", 7800, 2, "address:10.0.0.80/24 gateway:10.0.0.1 volume:data:1:/data").await;
        let who = |vmid| {
            let pod = bot.proxmox.guest(vmid).unwrap();
            (pod.name.clone(), pod.node.clone(), pod.config["net0"].clone(), pod.config["mp0"].clone())
        };
        let before = [who(7800), who(7801)];
        let (name, _, net0, _) = &before[1];
        assert_eq!(name, "same-1");
        // Locally administered, its own, and its address in the set's order.
        assert!(net0.contains("hwaddr=02:") && net0.contains("ip=10.0.0.81/24"), "{net0}");
        assert!(net0.contains("gw=10.0.0.1"), "{net0}");
        let question = bot.admin().runs("/set rollout start set:same").await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "2 of 2 pods ready, revision 2: as it shall be").await;
        bot.settle().await;
        assert_eq!([who(7800), who(7801)], before);
        let made = bot.proxmox.changes().iter().filter(|c| c.what == "create").count();
        assert_eq!(made, 6, "two keepers once, two pods twice");
    }
}

bot_test! {
    async fn strangers_in_a_pods_place_are_told_of_by_number_and_left_alone(bot: &mut Bot) {
        let question = a_set(bot, "place", 7820, 2, "").await;
        let told = async |words: &str| {
            let mut found = None;
            until(&format!("somebody says “{words}”"), async || {
                bot.looks().await;
                let says = |m: &serde_json::Value| crate::harness::text_of(m).contains(words);
                found = bot.discord.until_message("#ops", "admin", Duration::from_millis(200), says).await;
                found.is_some()
            })
            .await;
            let found = found.unwrap();
            let message = found["id"].as_str().unwrap().parse().unwrap();
            (Reply { message, ..question.clone() }, crate::harness::text_of(&found))
        };
        // Another guest says it is place-0: which of them is right is for people.
        let twin = proxmox_twin::GuestSpec::lxc(5900, "place-0").tags("gantry;gantry-set.place");
        bot.has_guest(twin.on("pve2")).await;
        let (card, text) = told("CT 5900 on pve2 says it is place-0 as well.").await;
        assert!(text.contains("place-0 is not as it shall be. Nothing was changed."), "{text}");
        let buttons = bot.message(card.message)["components"].to_string();
        assert!(buttons.contains("Ignore") && !buttons.contains("Restore") && !buttons.contains("Adopt"), "{buttons}");

        // Somebody makes the container with the other's number their own.
        let own = json!({ "tags": "payroll", "hostname": "payroll-db" });
        bot.meddles(&json!({ "action": "set", "vmid": 7821, "config": own }));
        bot.proxmox.forget();
        let (card, text) = told("CT 7821 does not carry the set's tags: it is not touched.").await;
        assert!(!text.contains("payroll"), "whoever reads this may not be allowed to see it: {text}");
        let buttons = bot.message(card.message)["components"].to_string();
        assert!(buttons.contains("Ignore") && !buttons.contains("Restore") && !buttons.contains("Adopt"), "{buttons}");
        let shown = bot.admin().runs("/set show set:place").await.text();
        for words in ["another guest has its number; nothing is done about that", "1 of 2 ready"] {
            assert!(shown.contains(words), "{words} is not in:\n{shown}");
        }
        assert!(!shown.contains("payroll"), "{shown}");
        // Both are gone again: nothing of theirs was touched, and the set stands.
        bot.admin().does(&card, "ignore").await;
        bot.settle().await;
        for vmid in [5900, 7821] {
            let touched = asked(bot, |l| !l.starts_with("GET") && l.contains(&format!("/{vmid}")));
            assert_eq!(touched, Vec::<String>::new());
            bot.meddles(&json!({ "action": "destroy", "vmid": vmid }));
        }
        until("its own pod has the number again", async || {
            bot.looks().await;
            bot.proxmox.guest(7821).is_some_and(|g| g.name == "place-1" && g.status == "running")
        })
        .await;
        bot.settle().await;
    }
}

bot_test! {
    async fn what_was_not_read_yet_is_not_said_to_be_missing(bot: &mut Bot) {
        a_set(bot, "early", 7840, 1, "").await;
        bot.kill();
        let reading = bot.trouble(Trouble::Error {
            matching: "GET /cluster/resources".into(),
            status: 500,
            reason: "unable to fork worker".into(),
            times: None,
        });
        bot.begin_unread().await;
        for command in ["/set show set:early", "/set list", "/guest stop guest:early-0", "/pod stop pod:early-0"] {
            let text = bot.admin().runs(command).await.text();
            assert!(text.contains("has not read"), "{command}: {text}");
            for untrue in ["You may see no", "No guest", "No pod", "None."] {
                assert!(!text.contains(untrue), "{command}: {text}");
            }
        }
        bot.proxmox.clear_trouble(reading);
        until("the set is known", async || {
            bot.looks().await;
            bot.admin().runs("/set show set:early").await.text().contains("1 of 1 ready")
        })
        .await;
        let text = bot.admin().runs("/set show set:never").await.text();
        assert!(text.contains("You may see no set called never"), "{text}");
    }
}
