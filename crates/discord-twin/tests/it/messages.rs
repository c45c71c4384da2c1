//! Messages in channels: nonces, edits, uploads, mentions, reactions, threads, pins, history.

use discord_twin::world::{ADMIN_ROLE, ALERTS_CHANNEL, AUDIT_CHANNEL, OPERATOR_USER, VIEWER_USER};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{OPS, bot};

fn path() -> String {
    format!("/channels/{OPS}/messages")
}

#[tokio::test]
async fn an_enforced_nonce_makes_creation_idempotent() {
    let (twin, rest, _socket) = bot().await;
    let body = json!({"content": "once", "nonce": "op_1", "enforce_nonce": true});
    let first = rest.post(&path(), body.clone()).await;
    let second = rest.post(&path(), body.clone()).await;
    assert_eq!(first.id(), second.id());
    assert_eq!(twin.messages("#ops", "admin").unwrap().len(), 1);
    let elsewhere = rest.post(&format!("/channels/{ALERTS_CHANNEL}/messages"), body.clone()).await;
    assert_ne!(elsewhere.id(), first.id());
    let loose = json!({"content": "once", "nonce": "op_1"});
    assert_ne!(rest.post(&path(), loose).await.id(), first.id(), "only when enforced");
    twin.advance(std::time::Duration::from_secs(301));
    assert_ne!(rest.post(&path(), body).await.id(), first.id(), "after minutes it is forgotten");
}

#[tokio::test]
async fn edits_and_deletes() {
    let (twin, rest, _socket) = bot().await;
    let sent = rest.post(&path(), json!({"content": " hello ", "embeds": [{"title": "T"}]})).await;
    assert_eq!(sent.json["content"], "hello", "trimmed");
    assert_eq!(sent.json["embeds"][0]["type"], "rich");
    let one = format!("{}/{}", path(), sent.id());
    let edited = rest.patch(&one, json!({"content": "bye"})).await;
    assert_eq!(edited.json["embeds"][0]["title"], "T", "what is not named stays");
    assert!(edited.json["edited_timestamp"].is_string());
    let empty = rest.patch(&one, json!({"content": "", "embeds": []})).await;
    assert_eq!(empty.code(), 50_006);
    let foreign = twin.say("operator", "#ops", "mine").unwrap();
    let refused = rest.patch(&format!("{}/{foreign}", path()), json!({"content": "x"})).await;
    assert_eq!(refused.code(), 50_005);
    assert_eq!(rest.delete(&one).await.status, 204);
    assert_eq!(rest.get(&one).await.code(), 10_008);
    assert_eq!(rest.delete(&one).await.code(), 10_008);
}

#[tokio::test]
async fn history_pages_newest_first() {
    let (_twin, rest, _socket) = bot().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(rest.post(&path(), json!({"content": n.to_string()})).await.id());
    }
    let texts = |reply: &Value| -> String {
        reply.as_array().unwrap().iter().map(|one| one["content"].as_str().unwrap()).collect()
    };
    assert_eq!(texts(&rest.get(&format!("{}?limit=2", path())).await.json), "43");
    assert_eq!(texts(&rest.get(&format!("{}?before={}&limit=2", path(), ids[3])).await.json), "21");
    assert_eq!(texts(&rest.get(&format!("{}?after={}&limit=2", path(), ids[1])).await.json), "32");
    assert_eq!(rest.get(&format!("{}?limit=101", path())).await.code(), 50_035);
}

#[tokio::test]
async fn uploads_are_kept_and_served() {
    let (_twin, rest, _socket) = bot().await;
    // The header of a 3 by 2 picture; nothing more is read.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend([0, 0, 0, 3, 0, 0, 0, 2]);
    let body = json!({"content": "log", "attachments": [{"id": 0, "filename": "task.log", "description": "The log"}, {"id": "1", "filename": "c.png"}],
                      "embeds": [{"title": "Chart", "image": {"url": "attachment://c.png"}}]});
    let sent = rest.upload(&path(), &body, &[("task.log", b"TASK OK"), ("c.png", &png)]).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    let list = sent.json["attachments"].as_array().unwrap();
    assert_eq!(list.len(), 1, "a file shown in an embed is not listed again");
    assert_eq!(list[0]["description"], "The log");
    let url = list[0]["url"].as_str().unwrap().strip_prefix(&rest.url).unwrap().to_owned();
    let file = rest.raw(&url).await;
    assert_eq!(
        (file.text.as_str(), file.header("content-type")),
        ("TASK OK", "text/plain; charset=utf-8")
    );
    let image = sent.json["embeds"][0]["image"]["url"].as_str().unwrap();
    assert_eq!(
        rest.raw(image.strip_prefix(&rest.url).unwrap()).await.header("content-type"),
        "image/png"
    );

    let one = format!("{}/{}", path(), sent.id());
    let edited = rest.patch(&one, json!({"attachments": []})).await;
    assert_eq!(edited.json["attachments"], json!([]));
    let missing = json!({"embeds": [{"image": {"url": "attachment://no.png"}}]});
    assert_eq!(rest.post(&path(), missing).await.code(), 50_035);
    let unknown = json!({"content": "x", "attachments": [{"id": "7", "filename": "a"}]});
    assert_eq!(rest.post(&path(), unknown).await.code(), 50_035);
}

#[tokio::test]
async fn who_is_pinged() {
    let (twin, rest, _socket) = bot().await;
    let text = format!("<@{OPERATOR_USER}> <@!{VIEWER_USER}> <@&{ADMIN_ROLE}> @everyone");
    let cases = [
        (json!({}), vec![OPERATOR_USER, VIEWER_USER]),
        (json!({"allowed_mentions": {"parse": []}}), vec![]),
        (json!({"allowed_mentions": {"parse": ["users"]}}), vec![OPERATOR_USER, VIEWER_USER]),
        (json!({"allowed_mentions": {"users": [VIEWER_USER.to_string()]}}), vec![VIEWER_USER]),
    ];
    for (mut body, users) in cases {
        body["content"] = json!(text);
        let sent = rest.post(&path(), body.clone()).await;
        let pings = twin.message(sent.id()).unwrap()["twin"]["pings"].clone();
        let users: Vec<String> = users.iter().map(u64::to_string).collect();
        assert_eq!(pings["users"], json!(users), "{body}");
        assert_eq!(pings["everyone"], false, "the bot may not ping everyone");
        assert_eq!(pings["roles"], json!([]), "the role is not mentionable");
        assert_eq!(sent.json["mentions"].as_array().unwrap().len(), users.len());
    }
    let embed = json!({"embeds": [{"description": text}]});
    let sent = rest.post(&path(), embed).await;
    assert_eq!(
        twin.message(sent.id()).unwrap()["twin"]["pings"]["users"],
        json!([]),
        "embeds ping nobody"
    );
    let original = twin.say("operator", "#ops", "question").unwrap();
    for (allowed, users) in
        [(json!({"parse": []}), 0), (json!({"parse": [], "replied_user": true}), 1)]
    {
        let body = json!({"content": "answer", "message_reference": {"message_id": original.to_string()}, "allowed_mentions": allowed});
        let sent = rest.post(&path(), body).await;
        assert_eq!(sent.json["type"], 19);
        assert_eq!(
            twin.message(sent.id()).unwrap()["twin"]["pings"]["users"].as_array().unwrap().len(),
            users
        );
    }
    let dangling = json!({"content": "x", "message_reference": {"message_id": "1"}});
    assert_eq!(rest.post(&path(), dangling).await.code(), 50_035);
}

#[tokio::test]
async fn permissions_of_people_and_bot() {
    let (twin, rest, _socket) = bot().await;
    assert!(twin.say("operator", AUDIT_CHANNEL, "x").is_err(), "#audit-log is the bot's to write");
    assert!(twin.say("admin", AUDIT_CHANNEL, "x").is_ok());
    assert_eq!(
        rest.post(&format!("/channels/{AUDIT_CHANNEL}/messages"), json!({"content": "x"}))
            .await
            .status,
        200
    );
    let category = OPS + 4;
    assert_eq!(
        rest.post(&format!("/channels/{category}/messages"), json!({"content": "x"})).await.code(),
        50_008
    );
}

#[tokio::test]
async fn reactions_and_pins() {
    let (twin, rest, _socket) = bot().await;
    let id = rest.post(&path(), json!({"content": "x"})).await.id();
    let react = format!("{}/{id}/reactions/%F0%9F%91%8D/@me", path());
    for _ in 0..2 {
        assert_eq!(rest.send(Method::PUT, &react, Value::Null).await.status, 204);
    }
    let message = twin.message(id).unwrap();
    assert_eq!(message["reactions"][0]["emoji"]["name"], "👍");
    assert_eq!(message["reactions"][0]["count"], 1);
    assert_eq!(rest.send(Method::DELETE, &react, Value::Null).await.status, 204);
    assert_eq!(twin.message(id).unwrap()["reactions"], json!([]));
    let bad = format!("{}/{id}/reactions/abc/@me", path());
    assert_eq!(rest.send(Method::PUT, &bad, Value::Null).await.code(), 10_014);
    let pin = format!("/channels/{OPS}/messages/pins/{id}");
    assert_eq!(rest.send(Method::PUT, &pin, Value::Null).await.status, 204);
    assert_eq!(rest.get(&format!("/channels/{OPS}/pins")).await.json[0]["id"], id.to_string());
}

#[tokio::test]
async fn threads() {
    let (twin, rest, mut socket) = bot().await;
    let id = rest.post(&path(), json!({"content": "incident"})).await.id();
    let threads = format!("{}/{id}/threads", path());
    let made = rest.post(&threads, json!({"name": "History", "auto_archive_duration": 1440})).await;
    assert_eq!((made.status, made.id()), (201, id));
    assert_eq!(socket.expect("THREAD_CREATE").await["parent_id"], OPS.to_string());
    assert_eq!(rest.post(&threads, json!({"name": "Again"})).await.code(), 160_004);
    assert_eq!(rest.post(&threads, json!({"name": ""})).await.code(), 50_035);
    let inside = format!("/channels/{id}/messages");
    assert_eq!(rest.post(&inside, json!({"content": "first"})).await.status, 200);
    assert_eq!(twin.messages(id, "viewer").unwrap().len(), 1);
    let closed =
        rest.patch(&format!("/channels/{id}"), json!({"archived": true, "name": "Closed"})).await;
    assert_eq!(closed.json["thread_metadata"]["archived"], true);
    assert_eq!(closed.json["name"], "Closed");
    assert_eq!(rest.post(&inside, json!({"content": "wakes it"})).await.status, 200);
    assert_eq!(
        rest.get(&format!("/channels/{id}")).await.json["thread_metadata"]["archived"],
        false
    );
    let alone =
        rest.post(&format!("/channels/{OPS}/threads"), json!({"name": "Alone", "type": 11})).await;
    assert_eq!(alone.status, 201);
    assert_eq!(twin.messages("#ops", "viewer").unwrap().last().unwrap()["type"], 18);
}
