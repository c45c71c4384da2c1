//! Pods from files: apply twice is once, what differs is shown first, foreign changes are told, the place is told, and
//! what a failed creation leaves behind is one press away from gone.

use gantry_core::operation::OpState;
use proxmox_twin::Trouble;
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, Reply};

/// A specification; `more` stands at its top level.
pub fn file(name: &str, more: &str) -> String {
    format!(
        r#"
name = "{name}"
image = "local:vztmpl/{image}"
memory_mib = 1024
tags = ["web"]
{more}
[root]
size_gib = 8

[[networks]]
bridge = "vmbr0"
ipv4 = "dhcp"

[[mounts]]
name = "data"
path = "/srv/data"
size_gib = 4
"#,
        image = proxmox_twin::DEBIAN_TEMPLATE
    )
}

/// Sends a file with `/pod apply`; what the sender is told.
async fn sends(bot: &Bot, text: &str) -> Reply {
    bot.looks().await;
    let id = bot.discord.upload("web.toml", text.as_bytes());
    bot.admin().runs(&format!("/pod apply file:{id}")).await
}

/// Sends a file and waits for the plan in the channel.
pub async fn plans(bot: &Bot, text: &str) -> Reply {
    let mut told = sends(bot, text).await;
    assert!(told.text().contains("Asked"), "{}", told.text());
    let mut plan = 0;
    let found = bot
        .discord
        .until(crate::harness::PATIENCE, |twin| {
            let all = twin.messages("#ops", "admin").unwrap_or_default();
            let with_plan = all.iter().rev().find(|m| m.to_string().contains("gantry:1:confirm:"));
            let id = with_plan.and_then(|m| m["id"].as_str()?.parse::<u64>().ok());
            plan = id.unwrap_or(0);
            plan > told.message
        })
        .await;
    assert!(found, "no plan was posted");
    told.message = plan;
    told
}

fn text(bot: &Bot, reply: &Reply) -> String {
    crate::harness::text_of(&bot.message(reply.message))
}

/// Applies a file and waits until it is done.
pub async fn applies(bot: &Bot, spec: &str) -> gantry_core::operation::Operation {
    let plan = plans(bot, spec).await;
    bot.admin().confirms(&plan, "").await;
    bot.settle().await.remove(0)
}

bot_test! {
    async fn applying_a_file_twice_is_once(bot: &mut Bot) {
        let spec = file("shop-9", "cores = 2\nlabels = { app = \"web\" }");
        let plan = plans(bot, &spec).await;
        let shown = text(bot, &plan);
        for words in ["Create shop-9", "Chosen pve", "memory free", "GiB on nas", "/srv/data", "app+web"] {
            assert!(shown.contains(words), "{words} is not in:\n{shown}");
        }
        bot.admin().confirms(&plan, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{op:?}");
        let vmid = op.vmid.unwrap().get();
        let made = bot.proxmox.guest(vmid).unwrap();
        assert_eq!(made.config["cores"], "2");
        assert!(made.config["mp0"].contains("mp=/srv/data"), "{:?}", made.config);
        assert!(made.config["tags"].contains("app+web"), "{:?}", made.config);
        bot.proxmox.forget();
        let again = sends(bot, &spec).await;
        assert!(again.text().contains("Nothing to do"), "{}", again.text());
        assert!(bot.changes().is_empty(), "{:?}", bot.changes());
    }
}

bot_test! {
    async fn a_change_is_shown_and_made_in_one_go(bot: &mut Bot) {
        let op = applies(bot, &file("shop-9", "")).await;
        let vmid = op.vmid.unwrap().get();
        bot.proxmox.forget();
        let spec = file("shop-9", "cores = 4\nentrypoint = \"/sbin/init\"").replace("memory_mib = 1024", "memory_mib = 2048").replace("size_gib = 8", "size_gib = 12");
        let plan = plans(bot, &spec).await;
        let shown = text(bot, &plan);
        for words in ["Change shop-9", "1024 MiB → 2048 MiB", "8 GiB → 12 GiB", "Restart it"] {
            assert!(shown.replace("**", "").contains(words), "{words} is not in:\n{shown}");
        }
        bot.admin().confirms(&plan, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        let did = bot.changes();
        assert_eq!(did, [format!("config {vmid}"), format!("resize {vmid}"), format!("reboot {vmid}")]);
        let config = bot.proxmox.guest(vmid).unwrap().config;
        assert_eq!((config["cores"].as_str(), config["memory"].as_str()), ("4", "2048"));
        assert!(config["rootfs"].contains("size=12G"), "{config:?}");
        assert!(sends(bot, &spec).await.text().contains("Nothing to do"));
    }
}

bot_test! {
    async fn foreign_changes_are_told_apart_from_wishes(bot: &mut Bot) {
        let op = applies(bot, &file("shop-9", "")).await;
        let vmid = op.vmid.unwrap().get();
        bot.meddles(&json!({"action": "set", "vmid": vmid, "config": {"memory": "4096"}}));
        bot.looks().await;
        let shown = bot.admin().runs("/pod show pod:shop-9").await;
        assert!(shown.text().contains("4096 MiB"), "{}", shown.text());
        let plan = plans(bot, &file("shop-9", "cores = 2")).await;
        let shown = text(bot, &plan).replace("**", "");
        assert!(shown.contains("Changed outside gantry: Memory is 4096 MiB, 1024 MiB was applied"), "{shown}");
        assert!(shown.contains("4096 MiB → 1024 MiB"), "{shown}");
        // The world changes once more before anybody presses.
        bot.meddles(&json!({"action": "set", "vmid": vmid, "config": {"memory": "8192"}}));
        let pressed = bot.admin().confirms(&plan, "").await;
        assert!(pressed.text().contains("things changed"), "{}", pressed.text());
        let shown = bot.until_says(plan.message, "8192").await;
        assert!(shown.contains("1024"), "{shown}");
        assert_eq!(bot.proxmox.guest(vmid).unwrap().config["memory"], "8192", "nothing was written");
    }
}

bot_test! {
    async fn every_mistake_of_a_file_is_told_and_nothing_done(bot: &mut Bot) {
        let bad = file("Shop_9", "colour = \"red\"\ncores = 0").replace("ipv4 = \"dhcp\"", "ipv4 = \"10.0.0.5\"");
        let told = sends(bot, &bad).await;
        assert!(told.is_ephemeral());
        for words in ["name", "colour", "cores", "networks[0].ipv4"] {
            assert!(told.text().replace("\\", "").contains(words), "{words} is not in:\n{}", told.text());
        }
        let id = bot.discord.upload("web.txt", b"name: x");
        let told = bot.admin().runs(&format!("/pod apply file:{id}")).await;
        assert!(told.text().contains("does not end in"), "{}", told.text());
        assert!(bot.changes().is_empty());
        // Who may do nothing learns nothing.
        let id = bot.discord.upload("web.toml", bad.as_bytes());
        let told = bot.viewer().runs(&format!("/pod apply file:{id}")).await;
        assert!(told.text().contains("Not allowed"), "{}", told.text());
    }
}

bot_test! {
    async fn a_specification_goes_out_and_comes_back(bot: &mut Bot) {
        applies(bot, &file("shop-9", "cores = 3")).await;
        bot.looks().await;
        let out = bot.admin().runs("/pod spec pod:shop-9 format:YAML").await;
        let url = out.answer.message.as_ref().and_then(|m| m["attachments"][0]["url"].as_str());
        let text = reqwest::get(url.unwrap_or_else(|| panic!("no file: {}", out.text()))).await.unwrap().text().await.unwrap();
        assert!(text.contains("cores: 3"), "{text}");
        let id = bot.discord.upload("shop-9.yaml", text.as_bytes());
        let told = bot.admin().runs(&format!("/pod apply file:{id}")).await;
        assert!(told.text().contains("Nothing to do"), "{}", told.text());
    }
}

bot_test! {
    async fn limits_change_while_it_runs(bot: &mut Bot) {
        let op = applies(bot, &file("shop-9", "")).await;
        let vmid = op.vmid.unwrap().get();
        bot.proxmox.forget();
        bot.looks().await;
        let plan = bot.admin().runs("/pod update pod:shop-9 memory:2048 cores:2").await;
        bot.admin().confirms(&plan, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        assert_eq!(bot.changes(), [format!("config {vmid}")]);
        bot.looks().await;
        let told = bot.admin().runs("/pod update pod:shop-9 disk:4").await;
        assert!(told.text().contains("never shrinks"), "{}", told.text());
    }
}

bot_test! {
    async fn no_place_is_told_with_every_node(bot: &mut Bot) {
        let spec = file("shop-9", "").replace("[root]", "[placement]\nnodes = [\"pve9\"]\n\n[root]");
        let told = sends(bot, &spec).await;
        assert!(told.text().contains("pve1: not among pve9"), "{}", told.text());
        let spec = file("shop-9", "").replace("vmbr0", "vmbr77");
        let told = sends(bot, &spec).await;
        assert!(told.text().contains("pve2: has no bridge vmbr77"), "{}", told.text());
    }
}

bot_test! {
    async fn a_half_created_pod_is_a_press_and_its_name_away_from_gone(bot: &mut Bot) {
        bot.trouble(Trouble::TaskFails {
            task: "vzstart".into(),
            exitstatus: "bridge 'vmbr0' does not exist".into(),
            times: Some(1),
        });
        let question = bot.asks_for_pod("half-0").await;
        bot.admin().confirms(&question, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Failed);
        let vmid = op.vmid.unwrap().get();
        let text = bot.until_says(question.message, "network").await;
        assert!(text.contains(&format!("Delete what is left (CT {vmid})")), "{text}");
        bot.looks().await;
        // Not for everybody.
        let denied = bot.viewer().does(&question, "clean").await;
        assert!(denied.text().contains("Not allowed"), "{}", denied.text());
        assert!(bot.proxmox.guest(vmid).is_some());
        let asked = bot.admin().does(&question, "clean").await;
        let wrong = bot.admin().confirms(&asked, "half").await;
        assert!(bot.proxmox.guest(vmid).is_some(), "{}", wrong.text());
        bot.admin().confirms(&asked, "half-0").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        assert!(bot.proxmox.guest(vmid).is_none());
        let again = bot.admin().does(&question, "clean").await;
        assert!(again.text().contains("Nothing to do"), "{}", again.text());
    }
}

bot_test! {
    async fn only_what_that_creation_made_is_cleaned(bot: &mut Bot) {
        bot.trouble(Trouble::TaskFails { task: "vzstart".into(), exitstatus: "no".into(), times: Some(1) });
        let question = bot.asks_for_pod("half-0").await;
        bot.admin().confirms(&question, "").await;
        let op = bot.settle().await.remove(0);
        let vmid = op.vmid.unwrap().get();
        bot.until_says(question.message, "Delete what is left").await;
        // Somebody starts it by hand: from then on it is in use.
        bot.looks().await;
        bot.admin().runs("/pod start pod:half-0").await;
        bot.settle().await;
        bot.looks().await;
        let told = bot.admin().does(&question, "clean").await;
        assert!(told.text().contains("in use"), "{}", told.text());
        // Off again it is still somebody's.
        let stop = bot.admin().runs("/pod kill pod:half-0").await;
        bot.admin().confirms(&stop, "").await;
        bot.settle().await;
        bot.looks().await;
        let told = bot.admin().does(&question, "clean").await;
        assert!(told.text().contains("was started since"), "{}", told.text());
        assert!(bot.proxmox.guest(vmid).is_some());
    }
}

bot_test! {
    async fn what_runs_inside_is_refused_where_the_node_is_too_old(bot: &mut Bot) {
        let inside = "entrypoint = \"/sbin/init\"";
        let op = applies(bot, &file("shop-9", "node = \"pve1\"")).await;
        let vmid = op.vmid.unwrap().get();
        for node in ["pve1", "pve2", "pve3", "pve4", "pve5"] {
            bot.proxmox.installs(node, "8.4.14");
        }
        bot.proxmox.forget();
        let told = sends(bot, &file("shop-9", inside)).await.text().replace('\\', "");
        assert!(told.contains("pve1 runs Proxmox VE 8.4; `env` and `entrypoint` need 9.1"), "{told}");
        assert!(told.contains("/etc/environment"), "{told}");
        let told = sends(bot, &file("shop-8", &format!("node = \"pve1\"\n{inside}"))).await.text();
        assert!(told.contains("8.4") && told.contains("need 9.1"), "{told}");
        // Left open, a node that can is chosen.
        bot.proxmox.installs("pve2", "9.1.4");
        let plan = plans(bot, &file("shop-8", inside)).await;
        let shown = text(bot, &plan);
        assert!(shown.contains("Chosen pve2") && shown.contains("pve1: runs Proxmox VE 8.4"), "{shown}");
        assert!(bot.changes().is_empty(), "{:?}", bot.changes());
        assert!(!bot.proxmox.guest(vmid).unwrap().config.contains_key("entrypoint"));
    }
}

bot_test! {
    async fn limits_change_live_and_what_waits_for_a_restart_is_said_before(bot: &mut Bot) {
        let op = applies(bot, &file("shop-9", "")).await;
        let vmid = op.vmid.unwrap().get();
        bot.proxmox.forget();
        bot.looks().await;
        let plan = bot.admin().runs("/pod update pod:shop-9 memory:2048 swap:256 cores:3 disk:9").await;
        assert!(!text(bot, &plan).contains("estart"), "{}", text(bot, &plan));
        bot.admin().confirms(&plan, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        assert_eq!(bot.changes(), [format!("config {vmid}"), format!("resize {vmid}")]);
        let now = bot.proxmox.guest(vmid).unwrap();
        assert_eq!(now.status, "running", "it went on running");
        let config = &now.config;
        let limits = ["memory", "swap", "cores"].map(|key| config[key].as_str());
        assert_eq!(limits, ["2048", "256", "3"]);
        assert!(config["rootfs"].contains("size=9G"), "{config:?}");
        // In force now, not at the next start.
        bot.looks().await;
        let shown = bot.admin().runs("/pod show pod:shop-9").await.text();
        assert!(!shown.contains("next start") && shown.contains("of 3 cores"), "{shown}");
        let later = file("shop-9", "cores = 3\nswap_mib = 256\nentrypoint = \"/sbin/init\"")
            .replace("memory_mib = 1024", "memory_mib = 2048")
            .replace("size_gib = 8", "size_gib = 9");
        let plan = plans(bot, &later).await;
        let shown = text(bot, &plan).replace('*', "");
        assert!(shown.contains("Restart it") && shown.contains("Entrypoint changes only then"), "{shown}");
    }
}

bot_test! {
    async fn snapshots_that_go_with_a_pod_are_counted(bot: &mut Bot) {
        let vmid = applies(bot, &file("shop-9", "node = \"pve1\"").replace("size_gib = 8", "storage = \"local-lvm\"\nsize_gib = 8")).await.vmid.unwrap();
        for name in ["one", "two", "three"] {
            takes_snapshot(bot, vmid.get(), name).await;
        }
        bot.looks().await;
        let question = bot.admin().runs("/pod delete pod:shop-9").await;
        assert!(text(bot, &question).contains("3 snapshots go with it"), "{}", text(bot, &question));
        let shown = bot.admin().runs("/pod show pod:shop-9").await.text();
        assert!(shown.contains("3 snapshots"), "{shown}");
        // One more is a changed world.
        takes_snapshot(bot, vmid.get(), "four").await;
        let pressed = bot.admin().confirms(&question, "shop-9").await;
        assert!(pressed.text().contains("things changed"), "{}", pressed.text());
        bot.until_says(question.message, "4 snapshots go with it").await;
        assert!(bot.proxmox.guest(vmid.get()).is_some());
        bot.admin().confirms(&question, "shop-9").await;
        bot.until_says(question.message, "was deleted").await;
    }
}

/// Somebody takes a snapshot at Proxmox.
async fn takes_snapshot(bot: &Bot, vmid: u32, name: &str) {
    let (id, secret) = bot.proxmox.token();
    let http = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
    let node = bot.proxmox.guest(vmid).unwrap().node;
    let base = bot.proxmox.endpoint(&node).unwrap();
    let url = format!("{base}/api2/json/nodes/{node}/lxc/{vmid}/snapshot");
    let answer = http
        .post(url)
        .header("Authorization", format!("PVEAPIToken={id}={secret}"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("snapname={name}"))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    crate::harness::until("the snapshot is there", async || {
        bot.proxmox
            .guest(vmid)
            .is_some_and(|g| g.lock.is_none() && g.snapshots.iter().any(|s| s == name))
    })
    .await;
}

bot_test! {
    async fn a_name_that_is_taken_tells_of_no_guest_that_may_not_be_seen(bot: &mut Bot) {
        bot.has_guest(proxmox_twin::GuestSpec::lxc(5005, "secret-0")).await;
        let told = sends(bot, &file("secret-0", "")).await.text();
        assert!(told.contains("not a pod"), "{told}");
        let plan = bot.asks_for_pod("secret-0").await;
        assert!(plan.text().contains("lab/5005"), "who may see it is told which: {}", plan.text());
    }
}
