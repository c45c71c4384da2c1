//! Sets as a person sees them: pods that come back as themselves, volumes that outlive them, rollouts that go back by
//! themselves, changes by hand that are told instead of fought.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, PATIENCE, Reply, until};

/// Each test has addresses of its own: pods of the simulated cluster really answer on them.
static NETWORK: AtomicU32 = AtomicU32::new(0);

/// Pulls the demo's images onto two nodes, as somebody with a shell would.
async fn pulls_images(bot: &Bot) {
    let (id, secret) = bot.proxmox.token();
    let http = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
    let base = bot.proxmox.endpoints().remove(0);
    for node in ["pve1", "pve2"] {
        for tag in ["1", "2", "3"] {
            let url = format!("{base}/api2/json/nodes/{node}/storage/local/oci-registry-pull");
            let answer = http
                .post(url)
                .header("Authorization", format!("PVEAPIToken={id}={secret}"))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(format!("reference=registry.demo%2Fshop%2Fweb%3A{tag}"))
                .send()
                .await
                .unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
        }
    }
    until("the images are there", async || {
        ["pve1", "pve2"].iter().all(|node| {
            let all = bot.proxmox.volumes(node, "local");
            ["web_1", "web_2", "web_3"].iter().all(|w| all.iter().any(|v| v.volid.contains(w)))
        })
    })
    .await;
}

/// Asks for a set of two with a volume each, confirms it, and waits until it stands.
async fn a_set_of_two(bot: &Bot) -> Reply {
    pulls_images(bot).await;
    let network = NETWORK.fetch_add(1, Ordering::Relaxed) + 10;
    let process = std::process::id() % 200 + 20;
    let question = bot
        .admin()
        .runs(&format!(
            "/set create name:shop replicas:2 image:local:vztmpl/web_1.tar vmids:7000-7099 nodes:pve1,pve2 \
             storage:local-lvm address:127.{process}.{network}.10/8 volume:data:4:/data health:http:8080/"
        ))
        .await;
    let text = question.text();
    for words in ["Create 2 pods", "shop-0 to shop-1", "…-volumes", "in your name"] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    bot.admin().confirms(&question, "").await;
    bot.until_says(question.message, "2 of 2 pods ready, revision 1: as it shall be").await;
    question
}

/// What a volume that this guest owns holds; another number, other content.
fn data_of(bot: &Bot, owner: u32) -> Option<u64> {
    let name = format!("vm-{owner}-disk-1");
    ["pve1", "pve2"].iter().find_map(|node| {
        let all = bot.proxmox.volumes(node, "local-lvm");
        all.into_iter().find(|v| v.volid.ends_with(&name)).map(|v| v.data)
    })
}

fn runs(bot: &Bot, vmid: u32) -> bool {
    bot.proxmox.guest(vmid).is_some_and(|g| g.status == "running" && g.lock.is_none())
}

async fn commands(bot: &Bot, command: &str, name: &str, says: &str) -> String {
    let question = bot.admin().runs(command).await;
    bot.admin().confirms(&question, name).await;
    bot.until_says(question.message, says).await
}

bot_test! {
    async fn pods_of_a_set_come_back_as_themselves(bot: &mut Bot) {
        a_set_of_two(bot).await;
        let pod = bot.proxmox.guest(7000).unwrap();
        assert_eq!((pod.name.as_str(), pod.status.as_str(), pod.node.as_str()), ("shop-0", "running", "pve1"));
        let keeper = bot.proxmox.guest(7099).unwrap();
        assert_eq!((keeper.name.as_str(), keeper.status.as_str()), ("shop-0-volumes", "stopped"));
        assert_eq!(keeper.config["protection"], "1");
        assert!(pod.config["mp0"].contains("vm-7099-disk-1,mp=/data"), "{:?}", pod.config);
        let shown = bot.admin().runs("/set show set:shop").await.text();
        for words in ["2 of 2 ready", "pve2", "running", "as it shall be"] {
            assert!(shown.contains(words), "{words} is not in:\n{shown}");
        }

        // Somebody deletes a pod behind gantry's back: it comes back with its number, MAC, address and data.
        let data = data_of(bot, 7099);
        assert!(data.is_some());
        bot.meddles(&json!({ "action": "destroy", "vmid": 7000 }));
        bot.looks().await;
        until("shop-0 runs again", async || runs(bot, 7000)).await;
        bot.settle().await;
        let again = bot.proxmox.guest(7000).unwrap();
        assert_eq!((again.name, again.config["net0"].clone()), (pod.name, pod.config["net0"].clone()));
        assert_eq!((again.config["mp0"].clone(), data_of(bot, 7099)), (pod.config["mp0"].clone(), data));
        let told = bot
            .discord
            .until_message("#ops", "admin", PATIENCE, |m| {
                crate::harness::text_of(m).contains("shop-0 (CT 7000 on pve1, lab)")
            })
            .await;
        assert!(told.is_some(), "what gantry did by itself is told in the channel");

        commands(bot, "/set scale set:shop replicas:3", "", "3 of 3 pods ready, revision 1: as it shall be").await;
        assert!(runs(bot, 7002));
        commands(bot, "/set scale set:shop replicas:1", "", "1 of 1 pods ready, revision 1: as it shall be").await;
        assert!(bot.proxmox.guest(7001).is_none() && bot.proxmox.guest(7002).is_none());
        assert!(data_of(bot, 7098).is_some(), "volumes of scaled pods stay");
        let kept = data_of(bot, 7098);
        commands(bot, "/set scale set:shop replicas:2", "", "2 of 2 pods ready, revision 1: as it shall be").await;
        assert_eq!(data_of(bot, 7098), kept, "and are used again");

        commands(bot, "/set delete set:shop", "shop", "was deleted").await;
        assert!((7000..7003).all(|vmid| bot.proxmox.guest(vmid).is_none()));
        assert_eq!((data_of(bot, 7099), data_of(bot, 7098)), (data, kept), "volumes stay");
        let listed = bot.admin().runs("/set list").await.text();
        assert!(!listed.contains("lab/shop"), "{listed}");
        // Nobody could have done that without a right to.
        let refused = bot.viewer().runs("/set create name:x replicas:1 image:local:vztmpl/web_1.tar vmids:7200-7210").await;
        assert!(refused.is_ephemeral());
        for (verb, by) in [("set.create", "Ada (admin)"), ("set.member", "Ada (admin)")] {
            let rows = bot.audit().await;
            assert!(rows.iter().any(|r| r.contains(verb) && r.contains(by)), "{rows:?}");
        }
    }
}

bot_test! {
    async fn a_rollout_that_does_not_work_goes_back_by_itself(bot: &mut Bot) {
        a_set_of_two(bot).await;
        let data = (data_of(bot, 7099), data_of(bot, 7098));
        let image = |vmid| bot.proxmox.guest(vmid).and_then(|g| g.image).unwrap_or_default();
        let question = bot.admin().runs("/set rollout start set:shop image:local:vztmpl/web_2.tar").await;
        assert!(question.text().contains("1 at a time"), "{}", question.text());
        bot.admin().confirms(&question, "").await;
        let replaced = || runs(bot, 7001) && image(7001).ends_with("web:2");
        if !bot.discord.until(PATIENCE, |_| replaced()).await {
            let set = gantry_core::set::SetRef { cluster: "lab".parse().unwrap(), name: "shop".into() };
            let now = bot.engine().set_now(&set).await.unwrap().unwrap();
            let card = crate::harness::text_of(&bot.message(question.message));
            panic!("the highest is not replaced: {:?}\n{:?}\n{card}\n{:?}", now.decision, now.seen, bot.proxmox.guest(7001));
        }
        assert!(image(7000).ends_with("web:1"), "one at a time");
        bot.until_says(question.message, "not ready").await;
        bot.clock.advance(Duration::from_secs(11 * 60));
        let text = bot.until_says(question.message, "did not work").await;
        assert!(text.contains("halted and undone") && text.contains("was not ready within 600 s"), "{text}");
        bot.settle().await;
        assert!(image(7000).ends_with("web:1") && image(7001).ends_with("web:1"));
        assert_eq!((data_of(bot, 7099), data_of(bot, 7098)), data, "whatever happened to the pods");
        let history = bot.admin().runs("/set history set:shop").await.text();
        assert!(history.contains("undo of 2 to 1"), "{history}");
        for words in ["Revision 3 · current · the same as revision 1 · worked", "Revision 2 · did not work", "Revision 1 · worked"] {
            assert!(history.contains(words), "{words} is not in:\n{history}");
        }
        assert!(text.contains("Revision 3 is the same as revision 1"), "{text}");

        // Paused, started, resumed, undone by a person.
        let paused = bot.admin().runs("/set rollout pause set:shop").await;
        bot.until_says(paused.message, "is paused").await;
        commands(bot, "/set rollout start set:shop image:local:vztmpl/web_3.tar", "", "paused the rollout").await;
        assert!(image(7001).ends_with("web:1"));
        commands(bot, "/set rollout resume set:shop", "", "2 of 2 pods ready, revision 4: as it shall be").await;
        assert!(image(7000).ends_with("web:3") && image(7001).ends_with("web:3"));
        commands(bot, "/set rollout undo set:shop revision:1", "", "2 of 2 pods ready, revision 5: as it shall be").await;
        assert!(image(7000).ends_with("web:1") && image(7001).ends_with("web:1"));
    }
}

bot_test! {
    async fn what_somebody_changed_by_hand_is_told_and_left_to_people(bot: &mut Bot) {
        let question = a_set_of_two(bot).await;
        let changes = |mib: u32| {
            bot.meddles(&json!({ "action": "set", "vmid": 7001, "config": { "memory": mib.to_string() } }));
        };
        let told = async |mib: u32| {
            bot.looks().await;
            let words = format!("{mib} MiB of memory instead of");
            let found = bot
                .discord
                .until_message("#ops", "admin", PATIENCE, |m| crate::harness::text_of(m).contains(&words))
                .await
                .unwrap_or_else(|| panic!("nobody said “{words}”"));
            let message = found["id"].as_str().unwrap().parse().unwrap();
            Reply { message, ..question.clone() }
        };
        let memory = || bot.proxmox.guest(7001).unwrap().config["memory"].clone();
        changes(1024);
        let card = told(1024).await;
        // A viewer may look, not decide.
        bot.viewer().does(&card, "adopt").await;
        assert_eq!(memory(), "1024");
        bot.admin().does(&card, "ignore").await;
        bot.settle().await;
        assert_eq!(memory(), "1024", "left alone");
        changes(2048);
        let card = told(2048).await;
        bot.admin().does(&card, "adopt").await;
        bot.settle().await;
        bot.looks().await;
        let shown = bot.admin().runs("/set show set:shop").await.text();
        assert!(!shown.contains("instead of"), "{shown}");
        changes(4096);
        let card = told(4096).await;
        let data = data_of(bot, 7098);
        bot.admin().confirms(&card, "").await;
        bot.until_says(card.message, "as it shall be").await;
        bot.settle().await;
        assert_eq!((memory(), data_of(bot, 7098)), ("512".to_owned(), data));
    }
}
