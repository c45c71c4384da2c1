//! Who is let in, error bodies, rate limits, the block, troubles, reads.

use std::time::{Duration, Instant};

use discord_twin::world::{ADMIN_USER, HOMELAB_GUILD};
use discord_twin::{Options, Trouble, Twin};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{APP, OPS, Rest, bot, quick, register};

fn messages() -> String {
    format!("/channels/{OPS}/messages")
}

#[tokio::test]
async fn only_the_bot_token_and_a_bots_user_agent_get_in() {
    let twin = Twin::start(quick()).await.unwrap();
    let mut rest = Rest::new(&twin);
    let me = rest.get("/users/@me").await;
    assert_eq!((me.status, me.json["username"].as_str()), (200, Some("gantry")));
    assert_eq!(
        me.header("content-type"),
        "application/json",
        "exactly, or discord.py does not parse it"
    );
    let good = rest.token.clone();
    for token in ["", "Bot wrong", "demo-token", "Bearer demo-token"] {
        rest.token = token.into();
        let refused = rest.get("/users/@me").await;
        assert_eq!(
            (refused.status, refused.json["message"].as_str()),
            (401, Some("401: Unauthorized"))
        );
    }
    assert_eq!(rest.get("/gateway").await.status, 200, "public");
    assert_eq!(rest.get("/gateway/bot").await.status, 401);
    rest.token = good;
    rest.agent = "curl/8".into();
    assert_eq!(rest.get("/users/@me").await.code(), 40_333);
}

#[tokio::test]
async fn unknown_things_have_their_codes() {
    let (_twin, rest, _socket) = bot().await;
    let ops = OPS;
    for (method, path, status, code) in [
        (Method::GET, "/nowhere".to_owned(), 404, 0),
        (Method::PUT, "/users/@me".to_owned(), 405, 0),
        (Method::GET, "/channels/1".to_owned(), 404, 10_003),
        (Method::GET, format!("/channels/{ops}/messages/1"), 404, 10_008),
        (Method::GET, "/guilds/1".to_owned(), 404, 10_004),
        (Method::GET, format!("/guilds/{HOMELAB_GUILD}/members/1"), 404, 10_013),
        (Method::GET, "/users/1".to_owned(), 404, 10_013),
        (Method::GET, "/applications/1/commands".to_owned(), 404, 10_002),
        (Method::GET, format!("/applications/{APP}/commands/1"), 404, 10_063),
        (Method::GET, format!("/applications/{APP}/guilds/1/commands"), 403, 50_001),
        (Method::POST, "/interactions/1/x/callback".to_owned(), 404, 10_062),
    ] {
        let reply = rest.send(method, &path, Value::Null).await;
        assert_eq!((reply.status, reply.code()), (status, code), "{path}: {}", reply.text);
    }
}

#[tokio::test]
async fn reads() {
    let (_twin, rest, _socket) = bot().await;
    assert_eq!(rest.get("/applications/@me").await.json["id"], APP);
    assert_eq!(rest.get("/oauth2/applications/@me").await.json["name"], "gantry");
    let guild = format!("/guilds/{HOMELAB_GUILD}");
    assert_eq!(rest.get(&guild).await.json["name"], "Homelab Ops");
    assert_eq!(rest.get(&format!("{guild}/roles")).await.json.as_array().unwrap().len(), 5);
    assert_eq!(rest.get(&format!("{guild}/channels")).await.json.as_array().unwrap().len(), 6);
    let member = rest.get(&format!("{guild}/members/{ADMIN_USER}")).await;
    assert_eq!(member.json["user"]["global_name"], "Ada (admin)");
    assert_eq!(rest.get("/users/@me/guilds").await.json.as_array().unwrap().len(), 2);
    assert_eq!(rest.get(&format!("/channels/{OPS}")).await.json["name"], "ops");
    let dm =
        rest.post("/users/@me/channels", json!({"recipient_id": ADMIN_USER.to_string()})).await;
    let again =
        rest.post("/users/@me/channels", json!({"recipient_id": ADMIN_USER.to_string()})).await;
    assert_eq!(dm.id(), again.id());
    let sent =
        rest.post(&format!("/channels/{}/messages", dm.id()), json!({"content": "psst"})).await;
    assert_eq!(sent.status, 200);
}

#[tokio::test]
async fn buckets_say_what_is_left_and_then_429() {
    let twin = Twin::start(Options { rate_limits: true, ..quick() }).await.unwrap();
    let rest = Rest::new(&twin);
    for left in (0..5).rev() {
        let reply = rest.post(&messages(), json!({"content": "x"})).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-limit"), "5");
        assert_eq!(reply.header("x-ratelimit-remaining"), left.to_string());
        assert!(reply.header("x-ratelimit-reset-after").parse::<f64>().unwrap() <= 5.0);
        assert!(reply.header("x-ratelimit-reset").contains('.'));
        assert_eq!(reply.header("x-ratelimit-bucket").len(), 32);
    }
    let full = rest.post(&messages(), json!({"content": "x"})).await;
    assert_eq!(full.status, 429);
    assert_eq!(full.header("x-ratelimit-scope"), "user");
    assert!(full.json["retry_after"].as_f64().unwrap() > 0.0);
    assert_eq!(full.json["global"], false);
    assert!(full.header("retry-after").parse::<u64>().unwrap() >= 1);
    let other =
        rest.post(&format!("/channels/{}/messages", OPS + 1), json!({"content": "x"})).await;
    assert_eq!(other.status, 200, "another channel is another bucket");
    assert_eq!(twin.invalid_requests(), 1);
    twin.advance(Duration::from_secs(5));
    assert_eq!(rest.post(&messages(), json!({"content": "x"})).await.status, 200);
}

#[tokio::test]
async fn fifty_a_second_is_the_global_limit_and_interactions_stand_outside() {
    let options = Options { rate_limits: true, global_per_second: 3, ..quick() };
    let twin = Twin::start(options).await.unwrap();
    let rest = Rest::new(&twin);
    let mut limited = None;
    for n in 0..20 {
        let reply = rest.get(&format!("/users/{}", 1000 + n)).await;
        if reply.status == 429 {
            limited = Some(reply);
            break;
        }
    }
    let limited = limited.expect("twenty requests at once exceed three a second");
    assert_eq!(limited.header("x-ratelimit-global"), "true");
    assert_eq!(limited.header("x-ratelimit-scope"), "global");
    assert_eq!(limited.json["global"], true);
    assert_eq!(rest.post("/interactions/1/x/callback", json!({"type": 5})).await.code(), 10_062);
}

#[tokio::test]
async fn too_many_invalid_requests_block_the_address() {
    let twin = Twin::start(Options { invalid_requests: 3, ..quick() }).await.unwrap();
    let mut rest = Rest::new(&twin);
    let good = std::mem::replace(&mut rest.token, "Bot wrong".into());
    for _ in 0..3 {
        assert_eq!(rest.get("/users/@me").await.status, 401);
    }
    rest.token = good;
    let blocked = rest.get("/users/@me").await;
    assert_eq!(blocked.status, 429);
    assert!(blocked.header("content-type").starts_with("text/html"), "no JSON from Cloudflare");
    assert!(blocked.header("retry-after").parse::<u64>().unwrap() > 500);
    twin.advance(Duration::from_secs(601));
    assert_eq!(rest.get("/users/@me").await.status, 200);
}

#[tokio::test]
async fn troubles_on_rest() {
    let (twin, rest, _socket) = bot().await;
    let limit = |scope: &str| Trouble::RateLimit {
        route: "create message".into(),
        times: 1,
        retry_after_ms: 700,
        scope: scope.into(),
    };
    for (scope, counted) in [("user", 1), ("shared", 1), ("global", 2)] {
        twin.trouble(limit(scope));
        assert_eq!(rest.get("/users/@me").await.status, 200, "another endpoint is not concerned");
        let reply = rest.post(&messages(), json!({"content": "x"})).await;
        assert_eq!((reply.status, reply.header("x-ratelimit-scope")), (429, scope));
        assert_eq!(reply.json["retry_after"], 0.7);
        assert_eq!(twin.invalid_requests(), counted, "shared does not count");
        assert_eq!(rest.post(&messages(), json!({"content": "x"})).await.status, 200);
    }
    twin.clear_log();

    twin.trouble(Trouble::Error { route: "*".into(), status: 502, times: 1, body: None });
    let broken = rest.get("/users/@me").await;
    assert_eq!((broken.status, &broken.json), (502, &Value::Null));

    let before = twin.messages("#ops", "admin").unwrap().len();
    twin.trouble(Trouble::CutAfter { route: "create message".into(), times: 1 });
    assert!(
        rest.try_send(Method::POST, &messages(), json!({"content": "carried out"})).await.is_err()
    );
    assert_eq!(twin.messages("#ops", "admin").unwrap().len(), before + 1);
    assert_eq!(twin.log().last().unwrap().status, 0, "no answer was given");
    twin.trouble(Trouble::CutBefore { route: "create message".into(), times: 1 });
    assert!(rest.try_send(Method::POST, &messages(), json!({"content": "lost"})).await.is_err());
    assert_eq!(twin.messages("#ops", "admin").unwrap().len(), before + 1);

    twin.trouble(Trouble::Hang { route: "GET /users/@me".into(), ms: 150, times: 1 });
    let started = Instant::now();
    assert_eq!(rest.get("/users/@me").await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(150));

    let id = twin.trouble(Trouble::NoAccess { channel_id: OPS.to_string() });
    assert_eq!(rest.post(&messages(), json!({"content": "x"})).await.code(), 50_001);
    assert_eq!(twin.troubles().len(), 1);
    twin.end_trouble(id);
    assert_eq!(rest.post(&messages(), json!({"content": "x"})).await.status, 200);
}

#[tokio::test]
async fn registering_commands() {
    let (twin, rest, _socket) = bot().await;
    register(&rest).await;
    let path = format!("/applications/{APP}/commands");
    let list = rest.get(&path).await;
    let ids = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let before = ids(&list.json);
    register(&rest).await;
    assert_eq!(ids(&rest.get(&path).await.json), before, "the same names keep their ids");

    let one = format!("{path}/{}", before[0]);
    let edited = rest.patch(&one, json!({"description": "New words"})).await;
    assert_eq!(edited.json["description"], "New words");
    assert_eq!(edited.json["options"].as_array().unwrap().len(), 2, "the rest stays");
    assert_eq!(rest.get(&one).await.json["description"], "New words");
    let made = rest.post(&path, json!({"name": "extra", "description": "x"})).await;
    assert_eq!(made.status, 201);
    let again = rest.post(&path, json!({"name": "extra", "description": "y"})).await;
    assert_eq!((again.status, again.id()), (200, made.id()), "creating the same name overwrites");
    assert_eq!(rest.delete(&format!("{path}/{}", made.id())).await.status, 204);

    let guild = format!("/applications/{APP}/guilds/{HOMELAB_GUILD}/commands");
    let local = rest
        .put(
            &guild,
            json!([{"name": "local", "description": "x", "default_member_permissions": "8"}]),
        )
        .await;
    assert_eq!(local.json[0]["default_member_permissions"], "8");
    assert_eq!(local.json[0]["guild_id"], HOMELAB_GUILD.to_string());
    assert!(twin.commands("admin", "#ops").unwrap().iter().any(|one| one["name"] == "local"));
    assert!(!twin.commands("viewer", "#ops").unwrap().iter().any(|one| one["name"] == "local"));
    assert_eq!(rest.put(&guild, json!([])).await.json, json!([]));
}

#[tokio::test]
async fn two_hundred_new_commands_a_day() {
    let (twin, rest, _socket) = bot().await;
    let path = format!("/applications/{APP}/commands");
    let batch = |from: u32| -> Value {
        (from..from + 100).map(|n| json!({"name": format!("c{n}"), "description": "x"})).collect()
    };
    assert_eq!(rest.put(&path, batch(0)).await.status, 200);
    assert_eq!(rest.put(&path, batch(100)).await.status, 200);
    assert_eq!(rest.put(&path, batch(100)).await.status, 200, "known names cost nothing");
    assert_eq!(rest.put(&path, batch(200)).await.code(), 30_034);
    twin.advance(Duration::from_secs(86_401));
    assert_eq!(rest.put(&path, batch(200)).await.status, 200);
}
