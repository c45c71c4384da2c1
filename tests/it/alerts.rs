//! Alerts as people meet them: one message that is kept up to date, the press that takes care of it, what is not told
//! and why, and nothing lost or told twice when the process dies in between.

use discord_twin::world as ids;
use proxmox_twin::{GuestSpec, Trouble};
use serde_json::{Value, json};

use crate::bot_test;
use crate::harness::{Bot, PATIENCE, text_of, until};

/// Alerts for the server of the tests, with quick rules for stories about the clock.
pub fn config(more: &str) -> String {
    format!(
        r#"
[[policy.rules]]
name = "operators take care of alerts"
roles = [{operator}]
verbs = ["alert.*", "maintenance.*"]
on = ["*"]

[[alerts.servers]]
guild = {guild}
channel = {channel}
mention_role = {operator}
{more}
"#,
        operator = ids::OPERATOR_ROLE,
        guild = ids::HOMELAB_GUILD,
        channel = ids::ALERTS_CHANNEL,
    )
}

/// Messages in the channel of alerts, oldest first.
pub fn alerts(bot: &Bot) -> Vec<Value> {
    bot.discord.messages("#alerts", "operator").unwrap()
}

pub fn id_of(message: &Value) -> u64 {
    message["id"].as_str().and_then(|id| id.parse().ok()).unwrap()
}

/// Waits until a message in the channel of alerts says `text`; its id.
pub async fn told(bot: &Bot, text: &str) -> u64 {
    let mut found = 0;
    let fits = |m: &Value| text_of(m).replace('\\', "").contains(text);
    let seen = bot
        .discord
        .until(PATIENCE, |_| {
            let all = alerts(bot);
            let newest = |one: &dyn Fn(&Value) -> bool| {
                all.iter().rev().find(|m| one(m) && fits(m)).map(id_of)
            };
            // Whoever is called reads the same words below the card.
            found = newest(&is_card).or_else(|| newest(&|_| true)).unwrap_or(0);
            found != 0
        })
        .await;
    let all: Vec<String> = alerts(bot).iter().map(text_of).collect();
    assert!(seen, "nobody was told “{text}”; told was:\n{}", all.join("\n---\n"));
    found
}

/// Cards that say `text`, not the calls beside them. The simulated cluster has a trouble of its own: old backups.
pub fn cards(bot: &Bot, text: &str) -> usize {
    alerts(bot).iter().filter(|m| is_card(m) && text_of(m).contains(text)).count()
}

fn is_card(message: &Value) -> bool {
    let told_alone = message["twin"]["ephemeral_for"].is_string();
    !told_alone && message["embeds"].as_array().is_some_and(|e| !e.is_empty())
}

bot_test! {
    async fn a_node_dies_and_returns_in_one_message(bot: &mut Bot) {
        bot.configured(&config("")).await;
        bot.looks().await;
        let down = bot.trouble(Trouble::NodeDown { node: "pve3".into() });
        let message = told(bot, "Node down: pve3").await;
        let text = bot.until_says(message, "guests there").await;
        assert!(text.contains("critical"), "{text}");
        told(bot, "critical: Node down: pve3").await;
        bot.proxmox.clear_trouble(down);
        let text = bot.until_says(message, "Over").await;
        assert!(text.contains("Timeline"), "{text}");
        assert_eq!(cards(bot, "Node down"), 1, "one message, edited");
        let calls = alerts(bot).iter().filter(|m| text_of(m).contains("see above")).count();
        assert_eq!(calls, 1, "called once, not for the end");
    }
}

bot_test! {
    async fn a_storage_fills_and_somebody_takes_care_also_across_a_restart(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let (node, storage) = ("pve1".to_owned(), "local-lvm".to_owned());
        let full = bot.trouble(Trouble::FillStorage { node, storage, percent: 90.0 });
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        let shown = bot.message(message);
        let picture = shown["embeds"][0]["image"]["url"].as_str().unwrap_or_default();
        assert!(picture.contains("alert.png"), "with a picture: {shown}");

        let ack = bot.custom_id(message, "ack");
        let viewer = bot.discord.press_forged(message, "viewer", &ack).await.unwrap();
        assert_eq!(viewer.error, None);
        until("the viewer is told what they may not acknowledge", async || {
            let told = bot.discord.messages("#alerts", "viewer").unwrap();
            told.iter().any(|m| text_of(m).replace('\\', "").contains("on **Storage fills up: local-lvm on pve1**"))
        })
        .await;
        let operator = bot.discord.press(message, "operator", &ack).await.unwrap();
        assert_eq!(operator.error, None);
        let text = bot.until_says(message, "acknowledged by").await;
        assert!(text.contains("Taken care of"), "{text}");

        bot.restart().await;
        bot.looks().await;
        let why = bot.custom_id(message, "why");
        let why = bot.discord.press(message, "operator", &why).await.unwrap();
        assert_eq!(why.error, None);
        bot.proxmox.clear_trouble(full);
        let text = bot.until_says(message, "Over").await;
        assert!(text.contains("Taken care of"), "the acknowledgement survives: {text}");
        assert_eq!(cards(bot, "Storage fills up"), 1);
        let audit = bot.audit().await;
        assert!(audit.iter().any(|r| r.starts_with("denied alert.ack")), "{audit:?}");
        assert_eq!(audit.iter().filter(|r| r.starts_with("confirmed alert.ack")).count(), 1);
    }
}

bot_test! {
    async fn a_failed_backup_is_over_when_the_next_one_succeeds(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.configured(&config("")).await;
        // One look first: what failed before gantry looked for the first time is not news.
        first_look(bot).await;
        bot.proxmox.ran("vzdump", "5000", "pve1", "root@pam", "job errors");
        let message = told(bot, "Backup failed: backup of shop (CT 5000)").await;
        bot.until_says(message, "job errors").await;
        bot.proxmox.ran("vzdump", "5000", "pve1", "root@pam", "OK");
        bot.until_says(message, "Over").await;
        assert_eq!(cards(bot, "Backup failed"), 1);
    }
}

bot_test! {
    async fn a_guest_that_goes_off_is_told_and_one_that_somebody_stops_is_not(bot: &mut Bot) {
        for (vmid, name) in [(5000, "shop"), (5001, "wiki")] {
            bot.has_guest(GuestSpec::lxc(vmid, name).running().pool("prod")).await;
        }
        bot.configured(&config("")).await;
        first_look(bot).await;
        bot.proxmox.ran("vzstop", "5001", "pve1", "root@pam", "OK");
        bot.meddles(&json!({"action": "stop", "vmid": 5001}));
        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        let message = told(bot, "Guest went off: shop (CT 5000)").await;
        let text = text_of(&bot.message(message));
        assert!(!text.contains("wiki"), "root stopped it: {text}");

        // From the message: start it again.
        let menu = bot.custom_id(message, "remedy");
        let picked = bot.discord.select(message, "operator", &menu, &["guest.start lab/5000"]).await.unwrap();
        assert_eq!(picked.error, None, "{picked:?}");
        bot.settle().await;
        bot.until_says(message, "Over").await;
        assert_eq!(bot.changes(), ["start 5000"]);
    }
}

bot_test! {
    async fn what_is_silenced_is_listed_with_the_reason_and_not_told(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.configured(&config("")).await;
        first_look(bot).await;
        let begun = bot.operator().runs("/maintenance start hours:2 guest:shop reason:\"new disk\"").await;
        assert!(begun.text().contains("Maintenance of"), "{}", begun.text());
        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        until("the list gives the reason", async || {
            bot.operator().runs("/alert list").await.text().contains("new disk")
        })
        .await;
        assert_eq!(cards(bot, "Guest went off"), 0, "nobody was told");
        let viewer = bot.viewer().runs("/alert ack").await;
        assert!(viewer.text().contains("Not allowed"), "{}", viewer.text());

        // What is silenced stands apart; the menu leads to what is wrong. Old backups the simulated cluster has by itself.
        let list = bot.operator().runs("/alert list").await;
        assert!(!list.text().contains("Guest went off"), "{}", list.text());
        picks(bot, list.message, "No backup for days").await;
        until("the incident is shown", async || {
            bot.operator().sees().iter().any(|t| t.contains("No backup for days") && t.contains("Severity"))
        })
        .await;
        // Ended from the list, it is told.
        let list = bot.operator().runs("/maintenance list").await;
        assert!(list.text().contains("shop (CT 5000), lab"), "{}", list.text());
        picks(bot, list.message, "End: shop").await;
        told(bot, "Guest went off: shop (CT 5000)").await;
    }
}

/// The operator picks from the menu of a list what begins with `label`.
async fn picks(bot: &Bot, message: u64, label: &str) {
    let shown = bot.message(message);
    let rows = shown["components"].as_array().unwrap();
    let options =
        rows.iter().filter_map(|row| row["components"][0]["options"].as_array()).flatten();
    let fits = |o: &&Value| o["label"].as_str().is_some_and(|l| l.starts_with(label));
    let value = options.clone().find(fits).unwrap_or_else(|| panic!("no {label} in {shown}"));
    let menu = bot.custom_id(message, "pick");
    let value = value["value"].as_str().unwrap();
    let picked = bot.discord.select(message, "operator", &menu, &[value]).await.unwrap();
    assert_eq!(picked.error, None);
}

bot_test! {
    async fn a_test_message_arrives_where_alerts_do(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let asked = bot.admin().runs("/alert test").await;
        assert!(asked.text().contains("on its way"), "{}", asked.text());
        told(bot, "Test of alerts").await;
        let list = bot.viewer().runs("/alert list").await;
        assert!(list.text().contains("What is wrong now"), "{}", list.text());
        let rule = bot.admin().runs("/rule override rule:storage-full on:node:pve1 threshold:92").await;
        assert!(rule.text().contains("other values"), "{}", rule.text());
        let rule = bot.admin().runs("/rule show rule:storage-full").await;
        assert!(rule.text().contains("threshold 92 %"), "{}", rule.text());
        let refused = bot.operator().runs("/rule disable rule:node-down").await;
        assert!(refused.text().contains("Not allowed"), "{}", refused.text());
        let none = bot.admin().runs("/oncall show").await;
        assert!(none.text().contains("Nobody"), "{}", none.text());
    }
}

bot_test! {
    async fn after_a_while_without_looking_people_are_told_what_happened(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.configured(&config("")).await;
        first_look(bot).await;
        bot.kill();
        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        bot.clock.advance(std::time::Duration::from_secs(1200));
        bot.begin().await;
        let message = told(bot, "did not see lab for a while").await;
        let text = bot.until_says(message, "Blind from").await;
        assert!(text.contains("shop (CT 5000) went off"), "{text}");
        told(bot, "Guest went off: shop (CT 5000)").await;
    }
}

/// Waits until what is remembered of the cluster is kept.
pub async fn first_look(bot: &Bot) {
    let engine = bot.engine();
    let lab = "lab".parse().unwrap();
    crate::harness::until("the cluster was looked at for alerts", async || {
        engine.store().last_look(&lab).await.is_ok_and(|look| look.is_some())
    })
    .await;
}
