//! The control API over HTTP, the events, the page, and that nothing listens beyond this host.

use std::net::SocketAddr;

use discord_twin::world::{HOMELAB_GUILD, OPERATOR_USER, VIEWER_USER};
use discord_twin::{Error, Options, Twin};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{OPS, bot, quick, register};

#[tokio::test]
async fn state_commands_and_messages() {
    let (_twin, rest, _socket) = bot().await;
    register(&rest).await;
    let state = rest.raw("/control/state").await;
    assert_eq!(state.json["bot_online"], true);
    let guild = &state.json["guilds"][0];
    assert_eq!(guild["name"], "Homelab Ops");
    assert_eq!(guild["members"][1]["user"]["username"], "admin");
    assert!(guild["members"][1]["color_hint"].is_number());
    let list = format!("/control/commands?guild={HOMELAB_GUILD}&as={VIEWER_USER}");
    assert_eq!(rest.raw(&list).await.json.as_array().unwrap().len(), 2, "not the admins' command");
    let said = json!({"channel_id": OPS.to_string(), "user_id": OPERATOR_USER.to_string(), "content": "hi"});
    assert_eq!(rest.control(Method::POST, "/messages", &said).await.status, 200);
    let seen = rest.raw(&format!("/control/channels/{OPS}/messages?as={VIEWER_USER}")).await;
    assert_eq!(seen.json[0]["content"], "hi");
    assert_eq!(seen.json[0]["twin"]["thinking"], false);
    let log = rest.raw("/control/log").await;
    assert!(
        log.json
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["route"] == "PUT /applications/{application_id}/commands")
    );
    assert_eq!(log.header("x-twin-dropped"), "0");
    assert!(!log.text.contains("demo-token"), "the log holds no token");
    rest.control(Method::DELETE, "/log", &Value::Null).await;
    assert_eq!(rest.raw("/control/log").await.json, json!([]));
}

#[tokio::test]
async fn a_person_acts_over_http() {
    let (_twin, rest, mut socket) = bot().await;
    register(&rest).await;
    let place = |text: &str| json!({"guild_id": HOMELAB_GUILD.to_string(), "channel_id": OPS.to_string(), "user_id": VIEWER_USER.to_string(), "text": text});
    let line = place("/help topic:Pods");
    let (answer, event) = tokio::join!(
        rest.control(Method::POST, "/interactions/command", &line),
        async {
            let event = socket.expect("INTERACTION_CREATE").await;
            let button = json!([{"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}]);
            rest.callback(
                &event,
                json!({"type": 4, "data": {"content": "hi", "components": button}}),
            )
            .await;
            event
        }
    );
    assert_eq!(event["data"]["options"][0]["value"], "pod", "a choice's value, not its name");
    assert_eq!(answer.json["outcome"], "message");
    assert!(answer.json["interaction_id"].is_string());
    let press = json!({"message_id": answer.json["message"]["id"], "user_id": VIEWER_USER.to_string(), "custom_id": "go"});
    let (pressed, _) =
        tokio::join!(rest.control(Method::POST, "/interactions/component", &press), async {
            let event = socket.expect("INTERACTION_CREATE").await;
            rest.callback(&event, json!({"type": 6})).await
        });
    assert_eq!(pressed.json["outcome"], "deferred_update");

    let structured = json!({"guild_id": HOMELAB_GUILD.to_string(), "channel_id": OPS.to_string(), "user_id": VIEWER_USER.to_string(),
        "name": "pod", "options": [{"name": "delete", "options": [{"name": "pod", "value": "web 0"}]}]});
    let (_, event) =
        tokio::join!(rest.control(Method::POST, "/interactions/command", &structured), async {
            let event = socket.expect("INTERACTION_CREATE").await;
            rest.callback(&event, json!({"type": 5})).await;
            event
        });
    assert_eq!(event["data"]["options"][0]["options"][0]["value"], "web 0");

    let wrong = rest.control(Method::POST, "/interactions/command", &place("/nope")).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.json["error"].as_str().unwrap().contains("no command /nope"));
    let mut forged = press.clone();
    forged["custom_id"] = json!("never-there");
    assert_eq!(rest.control(Method::POST, "/interactions/component", &forged).await.status, 400);
    let (sent, _) = tokio::join!(
        rest.control(Method::POST, "/interactions/component?forge=1", &forged),
        async {
            let event = socket.expect("INTERACTION_CREATE").await;
            rest.callback(&event, json!({"type": 6})).await
        }
    );
    assert_eq!(sent.status, 200);
}

#[tokio::test]
async fn troubles_and_clock_over_http() {
    let (twin, rest, _socket) = bot().await;
    let body = json!({"kind": "rate_limit", "route": "edit message", "times": 3, "retry_after_ms": 700, "scope": "global"});
    let made = rest.control(Method::POST, "/trouble", &body).await;
    let id = made.json["id"].as_u64().unwrap();
    assert_eq!(rest.raw("/control/trouble").await.json[0]["kind"], "rate_limit");
    rest.control(Method::DELETE, &format!("/trouble/{id}"), &Value::Null).await;
    assert!(twin.troubles().is_empty());
    for kind in ["reconnect", "zombie", "cut_tcp", "invalid_session", "close"] {
        assert_eq!(
            rest.control(Method::POST, "/trouble", &json!({"kind": kind})).await.status,
            200,
            "{kind}"
        );
    }
    let unknown = rest.control(Method::POST, "/trouble", &json!({"kind": "flood"})).await;
    assert_eq!(unknown.status, 400);
    rest.control(Method::DELETE, "/trouble", &Value::Null).await;
    assert!(twin.troubles().is_empty());
    let before =
        rest.control(Method::POST, "/clock", &json!({"advance_ms": 0})).await.json["now_ms"]
            .as_u64()
            .unwrap();
    let after =
        rest.control(Method::POST, "/clock", &json!({"advance_ms": 60_000})).await.json["now_ms"]
            .as_u64()
            .unwrap();
    assert!(after >= before + 60_000);
}

#[tokio::test]
async fn events_tell_what_changed() {
    let (twin, rest, _socket) = bot().await;
    let answer = reqwest::get(format!("{}/control/events", twin.url())).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.bytes_stream();
    let id = twin.say("operator", "#ops", "hi").unwrap();
    register(&rest).await;
    let mut text = String::new();
    while !text.contains("commands_changed") {
        text.push_str(&String::from_utf8_lossy(&stream.next().await.unwrap().unwrap()));
    }
    assert!(text.contains("message_create") && text.contains(&id.to_string()), "{text}");
}

#[tokio::test]
async fn the_page_is_served() {
    let (_twin, rest, _socket) = bot().await;
    let page = rest.raw("/").await;
    assert!(page.header("content-type").starts_with("text/html"));
    for name in ["style.css", "app.js", "markdown.js", "composer.js", "panel.js"] {
        assert_eq!(rest.raw(&format!("/page/{name}")).await.status, 200, "{name}");
    }
    assert_eq!(rest.raw("/page/other.js").await.status, 404);
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_stops() {
    let bind = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = Twin::start(Options { bind, ..quick() }).await;
    assert!(matches!(refused, Err(Error::NotLoopback(_))));
    let (twin, rest, mut socket) = bot().await;
    twin.stop();
    assert_eq!(socket.closed().await, 1001);
    drop(twin);
    assert!(rest.try_send(Method::GET, "/gateway", Value::Null).await.is_err());
}
