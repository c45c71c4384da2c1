//! A sample bot for working on the page: logs in at a running twin, registers a few commands
//! and answers with rich cards. It decides nothing and knows no cluster.
//!
//! `cargo run -p discord-twin --example puppet -- http://127.0.0.1:PORT [token]`

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
struct Rest {
    http: reqwest::Client,
    api: String,
    token: String,
}

impl Rest {
    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.api))
            .header("authorization", format!("Bot {}", self.token))
            .header("user-agent", "DiscordBot (https://example.invalid/puppet, 1)");
        let answer = if body.is_null() { request } else { request.json(body) }.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            eprintln!("{path}: {status} {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn answer(&self, interaction: &Value, kind: u8, data: Value) -> Result<(), Failure> {
        let id = interaction["id"].as_str().unwrap_or_default();
        let token = interaction["token"].as_str().unwrap_or_default();
        let body = json!({"type": kind, "data": data});
        self.send(reqwest::Method::POST, &format!("/interactions/{id}/{token}/callback"), &body)
            .await?;
        Ok(())
    }

    async fn edit(&self, interaction: &Value, body: Value) -> Result<(), Failure> {
        let app = interaction["application_id"].as_str().unwrap_or_default();
        let token = interaction["token"].as_str().unwrap_or_default();
        let path = format!("/webhooks/{app}/{token}/messages/@original");
        self.send(reqwest::Method::PATCH, &path, &body).await?;
        Ok(())
    }
}

fn commands() -> Value {
    json!([
        {"name": "pod", "description": "Pods: containers that the bot owns", "options": [
            {"type": 1, "name": "create", "description": "Create a pod", "options": [
                {"type": 3, "name": "name", "description": "Its name", "required": true, "max_length": 40},
                {"type": 4, "name": "cores", "description": "CPU cores", "min_value": 1, "max_value": 16}]},
            {"type": 1, "name": "delete", "description": "Delete a pod for good", "options": [
                {"type": 3, "name": "pod", "description": "Which pod", "required": true, "autocomplete": true},
                {"type": 5, "name": "purge", "description": "Also from backup jobs"}]}]},
        {"name": "guest", "description": "Guests of the cluster", "options": [
            {"type": 1, "name": "list", "description": "Every guest, page by page", "options": [
                {"type": 3, "name": "node", "description": "Only on this node", "choices": [
                    {"name": "pve1", "value": "pve1"}, {"name": "pve2", "value": "pve2"}]}]}]},
        {"name": "broken", "description": "Never answers", "default_member_permissions": "0"},
    ])
}

fn page(n: u64) -> Value {
    let rows: String = (1..=8)
        .map(|row| {
            format!(
                "`{}` web-{}  **{}**  {} MiB\n",
                100 + n * 8 + row,
                n * 8 + row,
                if row % 3 == 0 { "stopped" } else { "running" },
                256 * row
            )
        })
        .collect();
    json!({
        "embeds": [{"title": format!("Guests — page {} of 3", n + 1), "description": rows, "color": 0x34_98_db,
                    "footer": {"text": "as of 2 s ago"}, "timestamp": chrono::Utc::now().to_rfc3339()}],
        "components": [
            {"type": 1, "components": [
                {"type": 2, "style": 2, "label": "Back", "custom_id": format!("page:{}:b", n.saturating_sub(1)), "disabled": n == 0},
                {"type": 2, "style": 1, "label": "Next", "custom_id": format!("page:{}:n", n + 1), "disabled": n == 2},
                {"type": 2, "style": 5, "label": "Docs", "url": "https://example.invalid/docs"}]},
            {"type": 1, "components": [{"type": 3, "custom_id": "pick", "placeholder": "Show one guest…", "options": [
                {"label": "web-1", "value": "101", "description": "running on pve1", "emoji": {"name": "🟢"}},
                {"label": "db-0", "value": "110", "description": "stopped on pve2", "emoji": {"name": "🔴"}}]}]}]
    })
}

fn proposal(pod: &str) -> Value {
    json!({
        "embeds": [{"title": format!("Delete {pod}?"), "color": 0xe7_4c_3c,
            "description": "This cannot be undone.\n- stops the container\n- removes `8 GiB` on *local-lvm*\n```\nvm-201-disk-0  8G\n```",
            "fields": [{"name": "Node", "value": "pve2", "inline": true}, {"name": "VMID", "value": "201", "inline": true},
                       {"name": "Uptime", "value": "<t:1767225600:R>", "inline": true}],
            "footer": {"text": "plan pl_01J8 · expires in 10 minutes"}}],
        "components": [{"type": 1, "components": [
            {"type": 2, "style": 4, "label": format!("Delete {pod}"), "custom_id": format!("ask:{pod}")},
            {"type": 2, "style": 2, "label": "Keep it", "custom_id": "keep"}]}]
    })
}

fn progress(pod: &str, percent: usize) -> Value {
    let bar = format!("{}{}", "▰".repeat(percent / 10), "▱".repeat(10 - percent / 10));
    json!({"content": "", "components": [], "embeds": [{"title": format!("Deleting {pod}"), "color": 0xf1_c4_0f,
        "description": format!("{bar} {percent} %\nstep **destroy** on pve2\n```\nremoving disk vm-201-disk-0\n```")}]})
}

async fn handle(rest: Rest, event: Value) -> Result<(), Failure> {
    let data = &event["data"];
    let modal = |id: &str, title: &str, inputs: Value| json!({"custom_id": id, "title": title, "components": inputs});
    let input = |id: &str, label: &str, style: u8| json!({"type": 1, "components": [{"type": 4, "custom_id": id, "label": label, "style": style, "required": style == 1, "max_length": 200}]});
    match event["type"].as_u64() {
        Some(4) => {
            let names = ["web-0", "web-1", "db-0"]
                .map(|name| json!({"name": format!("{name} · running"), "value": name}));
            rest.answer(&event, 8, json!({"choices": names})).await
        }
        Some(2) => {
            let sub = data["options"][0]["name"].as_str().unwrap_or_default();
            let first =
                data["options"][0]["options"][0]["value"].as_str().unwrap_or("web-0").to_owned();
            match (data["name"].as_str(), sub) {
                (Some("pod"), "create") => {
                    let rows = json!([input("image", "Image", 1), input("notes", "Notes", 2)]);
                    rest.answer(&event, 9, modal(&format!("create:{first}"), "Create a pod", rows))
                        .await
                }
                (Some("pod"), _) => {
                    rest.answer(&event, 5, Value::Null).await?;
                    tokio::time::sleep(Duration::from_millis(600)).await;
                    rest.edit(&event, proposal(&first)).await
                }
                (Some("guest"), _) => rest.answer(&event, 4, page(0)).await,
                _ => Ok(()),
            }
        }
        Some(3) => {
            let id = data["custom_id"].as_str().unwrap_or_default();
            match id.split(':').collect::<Vec<_>>().as_slice() {
                ["page", n, ..] => rest.answer(&event, 7, page(n.parse().unwrap_or(0))).await,
                ["ask", pod] => {
                    let rows = json!([input("name", "Type the pod's name", 1)]);
                    rest.answer(&event, 9, modal(&format!("delete:{pod}"), "Really delete?", rows))
                        .await
                }
                ["keep"] => {
                    rest.answer(
                        &event,
                        7,
                        json!({"content": "Kept.", "embeds": [], "components": []}),
                    )
                    .await
                }
                _ => {
                    rest.answer(
                        &event,
                        4,
                        json!({"flags": 64, "content": format!("You chose {}", data["values"])}),
                    )
                    .await
                }
            }
        }
        Some(5) => {
            let id = data["custom_id"].as_str().unwrap_or_default().to_owned();
            let typed =
                data["components"][0]["components"][0]["value"].as_str().unwrap_or_default();
            match id.split_once(':') {
                Some(("delete", pod)) if typed == pod => {
                    rest.answer(&event, 6, Value::Null).await?;
                    for percent in (0..=100).step_by(20) {
                        rest.edit(&event, progress(pod, percent)).await?;
                        tokio::time::sleep(Duration::from_millis(700)).await;
                    }
                    let done = json!({"embeds": [{"title": format!("Deleted {pod}"), "color": 0x2e_cc_71, "description": "Task ended **OK** after 4.2 s."}]});
                    rest.edit(&event, done).await
                }
                Some(("delete", pod)) => {
                    let text = format!(
                        "You typed `{typed}`, the pod is called `{pod}`. Nothing was changed."
                    );
                    rest.answer(&event, 4, json!({"flags": 64, "content": text})).await
                }
                _ => {
                    let embed = json!({"title": "Created", "color": 0x2e_cc_71, "description": format!("image `{typed}`")});
                    rest.answer(&event, 4, json!({"embeds": [embed]})).await
                }
            }
        }
        _ => Ok(()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the twin's URL")?;
    let token = arguments.next().unwrap_or_else(|| "demo-token".into());
    let rest =
        Rest { http: reqwest::Client::builder().build()?, api: format!("{url}/api/v10"), token };
    let app = rest.send(reqwest::Method::GET, "/applications/@me", &Value::Null).await?;
    let path = format!("/applications/{}/commands", app["id"].as_str().unwrap_or_default());
    rest.send(reqwest::Method::PUT, &path, &commands()).await?;
    let gateway = rest.send(reqwest::Method::GET, "/gateway/bot", &Value::Null).await?;
    let address = format!("{}?v=10&encoding=json", gateway["url"].as_str().unwrap_or_default());
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await?;
    let identify = json!({"op": 2, "d": {"token": format!("Bot {}", rest.token), "intents": 1, "properties": {"os": "linux", "browser": "puppet", "device": "puppet"}}});
    socket.send(Message::text(identify.to_string())).await?;
    let mut beat = tokio::time::interval(Duration::from_secs(20));
    let mut seq = Value::Null;
    loop {
        tokio::select! {
            _ = beat.tick() => socket.send(Message::text(json!({"op": 1, "d": seq}).to_string())).await?,
            message = socket.next() => match message.ok_or("the twin left")?? {
                Message::Text(text) => {
                    let event: Value = serde_json::from_str(&text)?;
                    if !event["s"].is_null() {
                        seq = event["s"].clone();
                    }
                    if event["t"] == "INTERACTION_CREATE" {
                        tokio::spawn(handle(rest.clone(), event["d"].clone()));
                    }
                }
                Message::Close(frame) => return Err(format!("closed: {frame:?}").into()),
                _ => {}
            },
        }
    }
}
