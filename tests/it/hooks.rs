//! Webhooks in: what a sender tells becomes a message like any other of gantry's, once, whatever is killed when; what
//! somebody without the secret tells becomes nothing.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::alerts::{cards, config as alerts_config, told};
use crate::bot_test;
use crate::harness::{Bot, canary, text_of, until};
use crate::http::{client, config as http_config};

/// The secret of every hook here.
const SECRET: &str = "canary-secret-of-the-webhooks";

fn config() -> String {
    canary::watch_for(SECRET);
    let hook = |name: &str, kind: &str| {
        format!("[[http.hooks]]\nname = \"{name}\"\nkind = \"{kind}\"\ntoken = \"{SECRET}\"\n")
    };
    let hooks = [hook("prom", "alertmanager"), hook("pve", "proxmox"), hook("any", "generic")];
    format!("{}{}", alerts_config(""), http_config(&hooks.concat()))
}

async fn post(
    bot: &Bot,
    path: &str,
    token: &str,
    body: impl Into<reqwest::Body>,
) -> (StatusCode, String) {
    let url = format!("{}/hooks/{path}", bot.http());
    let call = client().post(url).bearer_auth(token).header("Content-Type", "application/json");
    let answer = call.body(body).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// Says that so many bytes will come, and gives the answer to that.
async fn announces(bot: &Bot, bytes: usize) -> String {
    let address = bot.http().replace("http://", "");
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /hooks/generic/any HTTP/1.1\r\nHost: x\r\nX-Gantry-Token: {SECRET}\r\n\
         Content-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0_u8; 64];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// As Alertmanager sends one alert.
fn alert(name: &str, host: &str, status: &str) -> String {
    json!({
        "version": "4", "groupKey": format!("{{}}:{{alertname=\"{name}\"}}"), "status": status, "truncatedAlerts": 0,
        "alerts": [{
            "status": status, "fingerprint": format!("{name}-{host}"),
            "labels": {"alertname": name, "instance": host, "severity": "error"},
            "annotations": {"summary": "as measured"},
            "startsAt": "2026-11-21T01:29:58.543Z", "endsAt": "0001-01-01T00:00:00Z",
        }]
    })
    .to_string()
}

async fn says(bot: &Bot, path: &str, body: String) -> String {
    let (status, text) = post(bot, path, SECRET, body).await;
    assert_eq!(status, 200, "{text}");
    text.trim().to_owned()
}

bot_test! {
    async fn an_alert_of_others_is_one_message_taken_care_of_and_resolved(bot: &mut Bot) {
        bot.configured(&config()).await;
        bot.looks().await;
        assert_eq!(says(bot, "alertmanager/prom", alert("DiskFull", "db1", "firing")).await, r#"{"new":1,"again":0}"#);
        let message = told(bot, "DiskFull: db1").await;
        bot.until_says(message, "as measured").await;
        assert_eq!(says(bot, "alertmanager/prom", alert("DiskFull", "db1", "firing")).await, r#"{"new":0,"again":1}"#);
        let ack = bot.custom_id(message, "ack");
        let pressed = bot.discord.press(message, "operator", &ack).await.unwrap();
        assert_eq!(pressed.error, None);
        bot.until_says(message, "Taken care of").await;
        says(bot, "alertmanager/prom", alert("DiskFull", "db2", "firing")).await;
        bot.until_says(message, "1 more").await;
        says(bot, "alertmanager/prom", alert("DiskFull", "db1", "resolved")).await;
        says(bot, "alertmanager/prom", alert("DiskFull", "db2", "resolved")).await;
        bot.until_says(message, "Over").await;
        assert_eq!(cards(bot, "DiskFull"), 1);
    }
}

bot_test! {
    async fn what_was_answered_is_told_though_the_process_dies_at_once(bot: &mut Bot) {
        bot.configured(&config()).await;
        bot.looks().await;
        for n in 0..5 {
            says(bot, "alertmanager/prom", alert(&format!("Lost{n}"), "db1", "firing")).await;
            bot.restart().await;
        }
        for n in 0..5 {
            told(bot, &format!("Lost{n}: db1")).await;
        }
        until("the desks have taken in everything", async || {
            bot.engine().store().figures().await.is_ok_and(|f| f.hooks_waiting == 0)
        })
        .await;
        for n in 0..5 {
            assert_eq!(cards(bot, &format!("Lost{n}")), 1, "once");
        }
    }
}

bot_test! {
    async fn a_storm_is_counted_to_the_last_one_in_few_messages(bot: &mut Bot) {
        bot.configured(&config()).await;
        bot.looks().await;
        let alerts: Vec<Value> = (0..500)
            .map(|n| {
                let one: Value = serde_json::from_str(&alert("Storm", &format!("h{n}"), "firing")).unwrap();
                one["alerts"][0].clone()
            })
            .collect();
        for part in alerts.chunks(100) {
            let body = json!({"version": "4", "groupKey": "storm", "alerts": part}).to_string();
            assert_eq!(says(bot, "alertmanager/prom", body).await, r#"{"new":100,"again":0}"#);
        }
        let message = told(bot, "Storm").await;
        bot.until_says(message, "499 more").await;
        assert_eq!(cards(bot, "Storm"), 1);
    }
}

bot_test! {
    async fn proxmox_tells_what_gantry_does_not_watch_and_nothing_twice(bot: &mut Bot) {
        bot.configured(&config()).await;
        bot.looks().await;
        // Nodes have their own clock; the bot's runs ahead here.
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let wall_s = i64::try_from(wall.as_secs()).unwrap();
        let note = |kind: &str, title: &str, at_s: i64| {
            json!({"title": title, "message": "see the log", "severity": "error",
                   "timestamp": at_s, "fields": {"type": kind, "hostname": "pve1"}})
            .to_string()
        };
        let fencing = note("fencing", "Node pve3 fenced", wall_s);
        says(bot, "proxmox/pve", fencing.clone()).await;
        assert_eq!(says(bot, "proxmox/pve", fencing).await, r#"{"new":0,"again":1}"#, "a replay is counted");
        let message = told(bot, "Node pve3 fenced: pve1").await;
        bot.until_says(message, "see the log").await;
        assert_eq!(cards(bot, "fenced"), 1);

        // A sender's clock may say anything; what comes after it is still told.
        for at_s in [i64::MAX, i64::MIN, 0] {
            says(bot, "proxmox/pve", note("vzdump", "vzdump backup status: odd", at_s)).await;
        }
        told(bot, "vzdump backup status: odd").await;
        bot.proxmox.ran("vzdump", "", "pve1", "root@pam", "job errors");
        let engine = bot.engine();
        let lab = "lab".parse().unwrap();
        let mut began_s = None;
        until("the task is seen", async || {
            let tasks = engine.recent_tasks(&lab);
            began_s = tasks.iter().find(|t| t.upid.kind() == "vzdump").map(|t| t.started_ms / 1000);
            began_s.is_some()
        })
        .await;
        let failed = note("vzdump", "vzdump backup status: failed", began_s.unwrap());
        says(bot, "proxmox/pve", failed).await;
        until("the list says that gantry saw it itself", async || {
            bot.operator().runs("/alert list").await.text().contains("saw it itself")
        })
        .await;
        assert_eq!(cards(bot, "vzdump backup status: failed"), 0);
    }
}

bot_test! {
    async fn any_program_can_tell_something(bot: &mut Bot) {
        bot.configured(&config()).await;
        bot.looks().await;
        let ups = |state: &str| {
            json!({"title": "UPS on battery", "id": "ups-1", "state": state, "severity": "critical",
                   "text": "12 min left @everyone <@1>", "node": "pve1"})
            .to_string()
        };
        says(bot, "generic/any", ups("firing")).await;
        let message = told(bot, "UPS on battery: pve1").await;
        let shown = bot.message(message);
        assert!(text_of(&shown).contains("critical"), "{shown}");
        let mentions = shown["mentions"].as_array().map_or(0, Vec::len);
        assert!(mentions == 0 && shown["mention_everyone"] != true, "{shown}");
        says(bot, "generic/any", ups("resolved")).await;
        bot.until_says(message, "Over").await;
    }
}

bot_test! {
    async fn what_somebody_without_the_secret_sends_changes_nothing(bot: &mut Bot) {
        bot.configured(&config()).await;
        bot.looks().await;
        let good = alert("Spoofed", "db1", "firing");
        for token in ["", "x", &SECRET[1..], crate::http::TOKEN] {
            let (status, _) = post(bot, "alertmanager/prom", token, good.clone()).await;
            assert_eq!(status, 401, "{token}");
        }
        assert_eq!(post(bot, "generic/prom", SECRET, good.clone()).await.0, 401, "another door's secret");
        let url = format!("{}/hooks/alertmanager/prom", bot.http());
        let plain = client().post(&url).bearer_auth(SECRET).body(good.clone()).send().await.unwrap();
        assert_eq!(plain.status(), 415);
        assert_eq!(client().get(&url).bearer_auth(SECRET).send().await.unwrap().status(), 405);
        assert!(announces(bot, 10 * 1024 * 1024).await.starts_with("HTTP/1.1 413"));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in ["", "{}", "null", "[1]", deep.as_str(), "{\"version\":\"4\",\"alerts\":[{}]}"] {
            let (status, text) = post(bot, "alertmanager/prom", SECRET, body.to_owned()).await;
            assert_eq!(status, 400, "{text}");
        }
        let figures = bot.engine().store().figures().await.unwrap();
        assert_eq!(figures.hooks_waiting, 0);
        assert_eq!(cards(bot, "Spoofed"), 0);
        // What is right still comes through, and a name that would call everybody calls nobody.
        says(bot, "alertmanager/prom", alert("@everyone", "db1", "firing")).await;
        let message = told(bot, "everyone: db1").await;
        assert_ne!(bot.message(message)["mention_everyone"], true);
        assert!(bot.changes().is_empty());
    }
}
