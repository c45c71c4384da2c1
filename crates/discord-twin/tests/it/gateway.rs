//! Sessions, resumes, compression, pacing, budgets and every close code.

use std::time::Duration;

use discord_twin::world::{HOMELAB_GUILD, OTHER_GUILD};
use discord_twin::{Options, SessionStartLimit, Trouble, Twin, World};
use serde_json::{Value, json};

use crate::harness::{INTENTS, PATIENCE, Rest, Socket, identify, quick};

fn since(twin: &Twin, what: &str) -> usize {
    twin.gateway_history().iter().filter(|event| event.what == what).count()
}

#[tokio::test]
async fn identify_gives_ready_and_guilds_only_with_the_intent() {
    let twin = Twin::start(quick()).await.unwrap();
    let (mut socket, ready) = Socket::ready(&twin, INTENTS, (0, 1)).await;
    assert_eq!(socket.hello["d"]["heartbeat_interval"], 41_250);
    assert_eq!(ready["guilds"].as_array().unwrap().len(), 2);
    assert_eq!(ready["guilds"][0]["unavailable"], true);
    assert_eq!(ready["shard"], json!([0, 1]));
    let guild = socket.expect("GUILD_CREATE").await;
    assert_eq!(guild["name"], "Homelab Ops");
    assert_eq!(guild["channels"].as_array().unwrap().len(), 6);
    assert!(twin.bot_online());

    let (mut socket, _) = Socket::ready(&twin, 0, (0, 1)).await;
    socket.heartbeat().await;
    assert_eq!(socket.seq, 1, "without GUILDS there is nothing but READY");
}

#[tokio::test]
async fn the_token_is_taken_with_and_without_its_prefix() {
    let twin = Twin::start(quick()).await.unwrap();
    let mut socket = Socket::plain(&twin).await;
    socket.send(&identify(&twin.token(), 0, (0, 1))).await;
    socket.expect("READY").await;
}

#[tokio::test]
async fn zlib_stream_is_one_stream_per_connection() {
    let twin = Twin::start(Options { world: World::with_guilds(50), ..quick() }).await.unwrap();
    let url = format!("{}/?v=10&encoding=json&compress=zlib-stream", twin.gateway_url());
    let mut socket = Socket::open(&url).await;
    socket.identify(&twin, INTENTS, (0, 1)).await;
    socket.expect("READY").await;
    for n in 0..50 {
        assert_eq!(socket.expect("GUILD_CREATE").await["name"], format!("Guild {n}"));
    }
    socket.heartbeat().await;
}

#[tokio::test]
async fn identify_compress_is_a_document_per_payload() {
    let twin = Twin::start(quick()).await.unwrap();
    let mut socket = Socket::plain(&twin).await;
    let mut payload = identify(&twin.token(), INTENTS, (0, 1));
    payload["d"]["compress"] = json!(true);
    socket.send(&payload).await;
    socket.expect("READY").await;
    socket.expect("GUILD_CREATE").await;
}

#[tokio::test]
async fn a_resume_replays_what_was_missed() {
    let twin = Twin::start(quick()).await.unwrap();
    let (mut socket, ready) = Socket::ready(&twin, INTENTS, (0, 1)).await;
    socket.expect("GUILD_CREATE").await;
    socket.expect("GUILD_CREATE").await;
    let seq = socket.seq;
    twin.trouble(Trouble::CutTcp);
    assert_eq!(socket.closed().await, 0, "cut, not closed");
    assert!(twin.until(PATIENCE, |twin| !twin.bot_online()).await);
    twin.say("operator", "#ops", "while you were away").unwrap();
    twin.say("admin", "#ops", "and again").unwrap();

    let url = format!("{}?v=10&encoding=json", ready["resume_gateway_url"].as_str().unwrap());
    let mut socket = Socket::open(&url).await;
    let session = &ready["session_id"];
    socket
        .send(&json!({"op": 6, "d": {"token": twin.token(), "session_id": session, "seq": seq}}))
        .await;
    let first = socket.next().await.unwrap();
    assert_eq!((first["t"].as_str(), first["s"].as_u64()), (Some("MESSAGE_CREATE"), Some(seq + 1)));
    assert_eq!(
        first["d"]["content"], "",
        "without the content intent other people's words are empty"
    );
    assert_eq!(socket.next().await.unwrap()["t"], "MESSAGE_CREATE");
    assert_eq!(socket.next().await.unwrap()["t"], "RESUMED");
    assert_eq!(since(&twin, "identify"), 1, "a resume is no identify");
    assert!(
        twin.gateway_history()
            .iter()
            .any(|event| event.what == "connect" && event.detail == "/gw-resume")
    );
}

#[tokio::test]
async fn resumes_that_cannot_be() {
    let twin = Twin::start(quick()).await.unwrap();
    let resume = |session: &Value, seq: u64| json!({"op": 6, "d": {"token": twin.token(), "session_id": session, "seq": seq}});
    let mut socket = Socket::plain(&twin).await;
    socket.send(&resume(&json!("nonsense"), 1)).await;
    assert_eq!(socket.opcode(9).await["d"], false);
    // The connection stays; a new identify on it is fine.
    socket.identify(&twin, 0, (0, 1)).await;
    let ready = socket.expect("READY").await;

    let mut other = Socket::plain(&twin).await;
    other.send(&resume(&ready["session_id"], 99)).await;
    assert_eq!(other.closed().await, 4007);

    // A normal closure ends the session for good.
    socket.leave(1000).await;
    assert!(twin.until(PATIENCE, |twin| twin.sessions() == json!([])).await);
    let mut late = Socket::plain(&twin).await;
    late.send(&resume(&ready["session_id"], 1)).await;
    assert_eq!(late.opcode(9).await["d"], false);
}

#[tokio::test]
async fn reconnect_invalid_session_and_zombie() {
    let twin = Twin::start(quick()).await.unwrap();
    let (mut socket, _) = Socket::ready(&twin, 0, (0, 1)).await;
    twin.trouble(Trouble::Reconnect);
    socket.opcode(7).await;
    twin.trouble(Trouble::InvalidSession { resumable: false });
    assert_eq!(socket.opcode(9).await["d"], false);
    assert_eq!(twin.sessions(), json!([]));
    tokio::time::sleep(Duration::from_millis(2)).await;
    socket.identify(&twin, 0, (0, 1)).await;
    socket.expect("READY").await;

    let zombie = twin.trouble(Trouble::Zombie);
    socket.send(&json!({"op": 1, "d": 1})).await;
    assert!(twin.until(PATIENCE, |twin| since(twin, "heartbeat") == 1).await);
    twin.end_trouble(zombie);
    // Had the first beat been acknowledged, its ack would come before this close.
    twin.trouble(Trouble::Close { code: 4000 });
    assert_eq!(socket.next().await, Err(4000));
}

#[tokio::test]
async fn a_silent_client_is_closed() {
    let twin = Twin::start(Options { heartbeat_interval_ms: 100, ..quick() }).await.unwrap();
    let (mut socket, _) = Socket::ready(&twin, 0, (0, 1)).await;
    assert_eq!(socket.closed().await, 4009);
}

#[tokio::test]
async fn close_codes_for_what_is_sent() {
    let twin = Twin::start(quick()).await.unwrap();
    let cases: Vec<(u16, String)> = vec![
        (4001, json!({"op": 99, "d": null}).to_string()),
        (4002, "not json".into()),
        (4002, json!({"op": 1, "d": "x".repeat(4096)}).to_string()),
        (4002, json!({"no": "op"}).to_string()),
        (4003, json!({"op": 3, "d": {}}).to_string()),
        (4004, identify("Bot wrong", 0, (0, 1)).to_string()),
        (4010, identify(&twin.token(), 0, (3, 2)).to_string()),
        (4013, identify(&twin.token(), 1 << 40, (0, 1)).to_string()),
        (4014, identify(&twin.token(), 1 << 15, (0, 1)).to_string()),
    ];
    for (code, payload) in cases {
        let mut socket = Socket::plain(&twin).await;
        socket.text(payload.clone()).await;
        assert_eq!(socket.closed().await, code, "{}", payload.chars().take(80).collect::<String>());
    }
    let (mut socket, _) = Socket::ready(&twin, 0, (0, 1)).await;
    socket.identify(&twin, 0, (0, 1)).await;
    assert_eq!(socket.closed().await, 4005);

    let mut old = Socket::open(&format!("{}?v=1&encoding=json", twin.gateway_url())).await;
    assert_eq!(old.closed().await, 4012);
    twin.trouble(Trouble::CloseIdentify { code: 4011, times: 1 });
    let mut asked = Socket::plain(&twin).await;
    asked.identify(&twin, 0, (0, 1)).await;
    assert_eq!(asked.closed().await, 4011);
}

#[tokio::test]
async fn privileged_intents_can_be_switched_on() {
    let twin = Twin::start(Options { privileged_intents: 1 << 15, ..quick() }).await.unwrap();
    let (mut socket, _) = Socket::ready(&twin, (1 << 9) | (1 << 15), (0, 1)).await;
    twin.say("operator", "#ops", "hello").unwrap();
    assert_eq!(socket.expect("MESSAGE_CREATE").await["content"], "hello");
}

#[tokio::test]
async fn too_many_guilds_need_shards() {
    let world = World::with_guilds(11);
    let twin = Twin::start(Options { world, guilds_per_shard: 10, ..quick() }).await.unwrap();
    let mut socket = Socket::plain(&twin).await;
    socket.identify(&twin, 0, (0, 1)).await;
    assert_eq!(socket.closed().await, 4011);
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (_socket, ready) = Socket::ready(&twin, 0, (0, 2)).await;
    let (_other, other) = {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Socket::ready(&twin, 0, (1, 2)).await
    };
    let count = |ready: &Value| ready["guilds"].as_array().unwrap().len();
    assert_eq!(count(&ready) + count(&other), 11);
}

#[tokio::test]
async fn more_than_120_payloads_a_minute_are_too_many() {
    let twin = Twin::start(quick()).await.unwrap();
    let (mut socket, _) = Socket::ready(&twin, 0, (0, 1)).await;
    for _ in 0..120 {
        socket.text(json!({"op": 1, "d": 1}).to_string()).await;
    }
    assert_eq!(socket.closed().await, 4008);
}

#[tokio::test]
async fn identifies_are_paced_by_bucket() {
    let limit = SessionStartLimit { total: 1000, remaining: 1000, max_concurrency: 2 };
    let options =
        Options { session_start_limit: limit, identify_window: Duration::from_secs(60), ..quick() };
    let twin = Twin::start(options).await.unwrap();
    let rest = Rest::new(&twin);
    let (_a, _) = Socket::ready(&twin, 0, (0, 4)).await;
    let (_b, _) = Socket::ready(&twin, 0, (1, 4)).await;
    let mut third = Socket::plain(&twin).await;
    third.identify(&twin, 0, (2, 4)).await;
    assert_eq!(third.opcode(9).await["d"], false, "bucket 0 is taken for this window");
    third.identify(&twin, 0, (2, 4)).await;
    third.opcode(9).await;
    third.identify(&twin, 0, (2, 4)).await;
    assert_eq!(third.closed().await, 4008, "patience ends");
    assert_eq!(since(&twin, "pacing"), 3);
    let bot = rest.get("/gateway/bot").await;
    assert_eq!(bot.json["session_start_limit"]["remaining"], 995);
    assert_eq!(bot.json["session_start_limit"]["max_concurrency"], 2);
    twin.advance(Duration::from_secs(61));
    let (_c, _) = Socket::ready(&twin, 0, (2, 4)).await;
}

#[tokio::test]
async fn an_exhausted_budget_ends_everything() {
    let twin = Twin::start(quick()).await.unwrap();
    let rest = Rest::new(&twin);
    let (mut socket, _) = Socket::ready(&twin, 0, (0, 1)).await;
    twin.set_session_starts_left(0);
    assert_eq!(rest.get("/gateway/bot").await.json["session_start_limit"]["remaining"], 0);
    let mut late = Socket::plain(&twin).await;
    late.identify(&twin, 0, (0, 1)).await;
    assert_eq!(late.closed().await, 4004);
    assert_eq!(socket.closed().await, 4004, "present sessions die too");
    assert_eq!(rest.get("/users/@me").await.status, 401, "the token was reset");
}

#[tokio::test]
async fn events_go_to_the_guilds_shard() {
    let twin = Twin::start(quick()).await.unwrap();
    let (mut zero, first) = Socket::ready(&twin, INTENTS, (0, 2)).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (mut one, second) = Socket::ready(&twin, INTENTS, (1, 2)).await;
    let ids = |ready: &Value| ready["guilds"][0]["id"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!((ids(&first) >> 22) % 2, 0);
    assert_eq!((ids(&second) >> 22) % 2, 1);
    assert_ne!(ids(&first), ids(&second));
    assert!([HOMELAB_GUILD, OTHER_GUILD].contains(&ids(&first)));
    twin.say("operator", "#ops", "hello").unwrap();
    let home = (HOMELAB_GUILD >> 22) % 2;
    let (hears, deaf) = if home == 0 { (&mut zero, &mut one) } else { (&mut one, &mut zero) };
    hears.expect("MESSAGE_CREATE").await;
    deaf.expect("GUILD_CREATE").await;
    let seq = deaf.seq;
    deaf.heartbeat().await;
    assert_eq!(deaf.seq, seq, "the other shard hears nothing");
}
