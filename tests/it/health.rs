//! How pods are, as a person sees it: asked where they are, told with age and reason, known again after a restart.

use std::sync::atomic::{AtomicU32, Ordering};

use gantry_core::action::GuestRef;
use gantry_core::pod::Condition;
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, until};

/// Each test has an address of its own: pods of the simulated cluster really answer on them.
static ADDRESS: AtomicU32 = AtomicU32::new(10);

fn address() -> String {
    let process = std::process::id() % 200 + 20;
    format!("127.{process}.200.{}", ADDRESS.fetch_add(1, Ordering::Relaxed))
}

async fn pulls_the_image(bot: &Bot) {
    let command = "/image pull image:registry.demo/shop/web:1 node:pve1 storage:local";
    let question = bot.admin().runs(command).await;
    bot.admin().confirms(&question, "").await;
    bot.settle().await;
    bot.looks().await;
}

/// Applies a file for a pod made from the image; what it is.
async fn applies(bot: &Bot, name: &str, ipv4: &str, health: &str) -> GuestRef {
    let text = format!(
        r#"
name = "{name}"
node = "pve1"
image = "local:vztmpl/web_1.tar"

[root]
storage = "local-lvm"
size_gib = 4

[[networks]]
bridge = "vmbr0"
ipv4 = "{ipv4}"

[health]
{health}
"#
    );
    let file = bot.discord.upload("pod.toml", text.as_bytes());
    let told = bot.admin().runs(&format!("/pod apply file:{file}")).await;
    assert!(told.text().contains("Asked"), "{}", told.text());
    let posted = bot
        .discord
        .until_message("#ops", "admin", crate::harness::PATIENCE, |m| {
            m.to_string().contains("gantry:1:confirm:") && crate::harness::text_of(m).contains(name)
        })
        .await
        .unwrap_or_else(|| panic!("no plan for {name} was posted"));
    let message = posted["id"].as_str().unwrap().parse().unwrap();
    bot.admin().confirms(&crate::harness::Reply { message, ..told }, "").await;
    let op = bot.settle().await.remove(0);
    assert_eq!(op.state, gantry_core::operation::OpState::Succeeded, "{:?}", op.outcome);
    bot.looks().await;
    GuestRef { cluster: "lab".parse().unwrap(), vmid: op.vmid.unwrap() }
}

async fn until_it_is(bot: &Bot, pod: &GuestRef, wanted: Condition) {
    let engine = bot.engine();
    until(&format!("the pod is {wanted:?}"), async || {
        engine.pod_health(pod).and_then(|h| h.condition) == Some(wanted)
    })
    .await;
}

async fn shown(bot: &Bot, name: &str) -> String {
    bot.admin().runs(&format!("/pod show pod:{name}")).await.text().replace(['*', '\\'], "")
}

bot_test! {
    async fn a_pod_that_falls_ill_is_told_with_the_reason_and_known_after_a_restart(bot: &mut Bot) {
        pulls_the_image(bot).await;
        let address = address();
        let check = "probe = { http = { port = 8080 } }\ninterval_s = 2\ntimeout_s = 1\ngrace_s = 0";
        let pod = applies(bot, "well-0", &format!("{address}/8"), check).await;
        until_it_is(bot, &pod, Condition::Healthy).await;
        let text = shown(bot, "well-0").await;
        for words in ["✓ healthy for", "Asked", "GET :8080/ is 200, every 2 s", &format!("eth0: {address}")] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        let list = bot.admin().runs("/pod list name:well").await.text();
        assert!(list.contains("✓ healthy"), "{list}");

        bot.meddles(&json!({ "action": "sicken", "vmid": pod.vmid.get() }));
        until_it_is(bot, &pod, Condition::Unhealthy).await;
        let text = shown(bot, "well-0").await;
        assert!(text.contains("✗ unhealthy for") && text.contains("refuses the connection"), "{text}");
        let list = bot.admin().runs("/pod list name:well").await.text();
        assert!(list.contains("✗ unhealthy"), "{list}");

        // What it was is known again at once, with its age.
        let since = bot.engine().pod_health(&pod).unwrap().since_ms;
        let kept = async |bot: &Bot| {
            let all = bot.engine().store().list_health(&pod.cluster).await.unwrap();
            all.iter().any(|(vmid, p)| *vmid == pod.vmid && p.condition == Condition::Unhealthy)
        };
        until("it is written down", async || kept(bot).await).await;
        bot.restart().await;
        until_it_is(bot, &pod, Condition::Unhealthy).await;
        assert_eq!(bot.engine().pod_health(&pod).unwrap().since_ms, since);

        bot.meddles(&json!({ "action": "heal", "vmid": pod.vmid.get() }));
        until_it_is(bot, &pod, Condition::Healthy).await;
        // Nobody asks a pod that is off.
        bot.meddles(&json!({ "action": "stop", "vmid": pod.vmid.get() }));
        bot.looks().await;
        let engine = bot.engine();
        until("nobody asks it any more", async || engine.pod_health(&pod).is_none()).await;
        assert!(shown(bot, "well-0").await.contains("Not asked while it does not run"));
    }
}

bot_test! {
    async fn a_pod_with_dhcp_is_asked_where_it_says_it_is(bot: &mut Bot) {
        pulls_the_image(bot).await;
        let check = "probe = { tcp = { port = 8080 } }\ninterval_s = 1\ntimeout_s = 1\ngrace_s = 0";
        let pod = applies(bot, "leased-0", "dhcp", check).await;
        until_it_is(bot, &pod, Condition::Healthy).await;
        let text = shown(bot, "leased-0").await;
        assert!(text.contains("eth0: 127.20."), "{text}");
    }
}

bot_test! {
    async fn a_command_inside_is_asked_through_the_node_shell(bot: &mut Bot) {
        pulls_the_image(bot).await;
        let check = "probe = { command = { run = [\"healthcheck\", \"--quiet\"] } }\ninterval_s = 1\ntimeout_s = 1\ngrace_s = 0";
        let pod = applies(bot, "inside-0", "dhcp", check).await;
        until_it_is(bot, &pod, Condition::Healthy).await;
        bot.meddles(&json!({ "action": "sicken", "vmid": pod.vmid.get() }));
        until_it_is(bot, &pod, Condition::Unhealthy).await;
        let text = shown(bot, "inside-0").await;
        assert!(text.contains("healthcheck` ended with 1"), "{text}");
        // Asked again and again; a row before the first time and one for each other end.
        let audit = bot.engine().audit(&gantry_engine::store::AuditFilter::default(), 0, 100).await.unwrap();
        let said: Vec<&str> = audit
            .rows
            .iter()
            .map(|row| row.detail.as_str())
            .filter(|detail| detail.contains("over SSH"))
            .collect();
        assert!(said.iter().any(|d| d.contains("again and again")), "{said:?}");
        assert!(said.iter().any(|d| d.contains("not healthy, status 1")), "{said:?}");
        assert!(said.len() < 10 && !said.iter().any(|d| d.contains("--quiet")), "{said:?}");
        bot.without_shell().await;
        until("it says that it takes the node shell", async || {
            shown(bot, "inside-0").await.contains("The node shell is not set up for pve1")
        })
        .await;
    }
}
