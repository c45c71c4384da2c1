//! The REST front: limits of every kind are waited out and lose nothing, faults are repeated only
//! where that is safe, and nothing that is not ours gets through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::stub::{Reply, Rest, TOKEN, Window};
use crate::discord::{Front, FrontError, FrontSettings};

const MESSAGES: &str = "/api/v10/channels/11/messages";

fn bot() -> String {
    format!("Bot {TOKEN}")
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn post(front: &Front, path: &str, body: &str) -> reqwest::Response {
    client()
        .post(front.url().join(path).unwrap())
        .header("authorization", bot())
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send()
        .await
        .unwrap()
}

async fn get(front: &Front, path: &str) -> reqwest::Response {
    client()
        .get(front.url().join(path).unwrap())
        .header("authorization", bot())
        .send()
        .await
        .unwrap()
}

/// A stub that answers 429 the first time and 200 afterwards.
async fn limited_once(reply: fn() -> Reply) -> Rest {
    let first = AtomicU32::new(0);
    Rest::start(move |_| {
        let reply = if first.fetch_add(1, Ordering::SeqCst) == 0 {
            reply()
        } else {
            Reply::json(200, &json!({"id": "1"}))
        };
        async { reply }
    })
    .await
}

#[tokio::test]
async fn a_429_of_every_scope_is_waited_out_and_the_message_arrives_once() {
    for (scope, reply) in [
        ("user", (|| Reply::limited("user", 0.3)) as fn() -> Reply),
        ("shared", || Reply::limited("shared", 0.3)),
        ("global", || Reply::limited("global", 0.3)),
        ("cloudflare", || Reply(429, vec![("retry-after", "1".into())], "error code: 1015".into())),
    ] {
        let rest = limited_once(reply).await;
        let front = Front::start(rest.front_settings()).await.unwrap();
        let started = Instant::now();
        let answer = post(&front, MESSAGES, r#"{"content":"x"}"#).await;
        assert_eq!(answer.status(), 200, "{scope}");
        assert!(started.elapsed() >= Duration::from_millis(300), "{scope}: waited");
        let seen = rest.seen();
        assert_eq!(seen.len(), 2, "{scope}");
        assert_eq!(seen[1].body, r#"{"content":"x"}"#, "{scope}: the same body again");
        let stats = front.stats();
        assert_eq!(stats.limits_passed_on, 0);
        // A shared limit is somebody else's doing and does not count as invalid.
        assert_eq!(stats.invalid_recent, u64::from(scope != "shared"), "{scope}");
    }
}

#[tokio::test]
async fn two_hundred_messages_to_one_channel_all_arrive_without_a_single_429() {
    let window = Arc::new(Window::new(20, Duration::from_millis(300)));
    let rest = Rest::start(move |_| {
        let window = Arc::clone(&window);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            window.answer("abc", &json!({"id": "1"}))
        }
    })
    .await;
    let settings = FrontSettings { global_per_second: 1000, ..rest.front_settings() };
    let front = Front::start(settings).await.unwrap();
    let answers = join_all((0..200).map(|n| {
        let front = &front;
        async move { post(front, MESSAGES, &format!("message {n}")).await.status() }
    }))
    .await;
    assert!(answers.iter().all(|status| *status == 200));
    let mut bodies: Vec<_> = rest.seen().into_iter().map(|seen| seen.body).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 200, "each arrived");
    assert_eq!(rest.seen().len(), 200, "none was sent twice");
    assert_eq!(front.stats().limited_user, 0);
}

#[tokio::test]
async fn an_unknown_route_is_tried_by_one_request_alone() {
    let window = Arc::new(Window::new(5, Duration::from_secs(60)));
    let rest = Rest::start(move |_| {
        let window = Arc::clone(&window);
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            window.answer("abc", &json!({}))
        }
    })
    .await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    join_all((0..5).map(|_| post(&front, MESSAGES, "x"))).await;
    let seen = rest.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(300), "the second waited");
    assert!(seen[4].at - seen[1].at < Duration::from_millis(250), "then four at once");
}

#[tokio::test]
async fn routes_of_one_bucket_share_it_and_channels_do_not() {
    let one = Arc::new(Window::new(2, Duration::from_millis(600)));
    let rest = Rest::start(move |seen| {
        let one = Arc::clone(&one);
        async move {
            if seen.path.contains("/11/") {
                one.answer("shared-by-two", &json!({}))
            } else {
                Reply::json(200, &json!({})).with("x-ratelimit-bucket", "shared-by-two")
            }
        }
    })
    .await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    for path in ["/api/v10/channels/11/messages", "/api/v10/channels/11/typing"] {
        assert_eq!(post(&front, path, "").await.status(), 200);
    }
    let started = Instant::now();
    assert_eq!(post(&front, "/api/v10/channels/22/messages", "").await.status(), 200);
    assert!(started.elapsed() < Duration::from_millis(300), "another channel is free");
    assert_eq!(post(&front, "/api/v10/channels/11/typing", "").await.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(300), "the same channel waits");
    assert_eq!(front.stats().limited_user, 0);
}

#[tokio::test]
async fn a_limit_beyond_the_deadline_is_passed_on_at_once() {
    let rest = Rest::start(|_| async { Reply::limited("user", 100.0) }).await;
    let settings = FrontSettings { wait_deadline: Duration::from_secs(2), ..rest.front_settings() };
    let front = Front::start(settings).await.unwrap();
    let started = Instant::now();
    let answer = post(&front, MESSAGES, "x").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "100");
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["retry_after"], 100.0);
    // The next one does not even ask.
    assert_eq!(post(&front, MESSAGES, "y").await.status(), 429);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(rest.seen().len(), 1);
    assert_eq!(front.stats().limits_passed_on, 2);
}

#[tokio::test]
async fn callbacks_do_not_wait_for_the_bots_global_limit_and_end_within_three_seconds() {
    let rest = Rest::start(|seen| async move {
        if seen.path.ends_with("/callback") {
            if seen.path.contains("slow") {
                return Reply(0, vec![], String::new());
            }
            return Reply(204, vec![], String::new());
        }
        Reply::limited("global", 30.0)
    })
    .await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    let waiting = {
        let front = front.clone();
        tokio::spawn(async move { post(&front, MESSAGES, "x").await })
    };
    while front.stats().limited_global == 0 {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    let answer = post(&front, "/api/v10/interactions/1/tok/callback", "{}").await;
    assert_eq!(answer.status(), 204);
    assert!(started.elapsed() < Duration::from_secs(1));
    let answer = post(&front, "/api/v10/interactions/2/slow/callback", "{}").await;
    assert_eq!(answer.status(), 504);
    assert!(started.elapsed() < Duration::from_millis(2_900), "{:?}", started.elapsed());
    waiting.abort();
}

#[tokio::test]
async fn a_limited_callback_is_sent_again_only_within_its_deadline() {
    let calls = AtomicU32::new(0);
    let rest = Rest::start(move |_| {
        let n = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            match n {
                0 => Reply::limited("user", 0.2),
                1 => Reply(204, vec![], String::new()),
                _ => Reply::limited("user", 5.0),
            }
        }
    })
    .await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    assert_eq!(post(&front, "/api/v10/interactions/1/t/callback", "{}").await.status(), 204);
    let started = Instant::now();
    assert_eq!(post(&front, "/api/v10/interactions/2/t/callback", "{}").await.status(), 429);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn reads_survive_thirty_per_cent_502_and_writes_are_never_repeated() {
    let calls = AtomicU32::new(0);
    let rest = Rest::start(move |_| {
        let n = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if matches!(n % 10, 0 | 3 | 6) {
                Reply(502, vec![("content-type", "text/html".into())], "<html>".into())
            } else {
                Reply::json(200, &json!({}))
            }
        }
    })
    .await;
    let settings = FrontSettings { global_per_second: 1000, ..rest.front_settings() };
    let front = Front::start(settings).await.unwrap();
    for n in 0..50 {
        assert_eq!(get(&front, "/api/v10/users/@me").await.status(), 200, "read {n}");
    }
    let before = rest.seen().len();
    let mut failed = 0;
    for _ in 0..20 {
        let answer = post(&front, MESSAGES, "x").await;
        if answer.status() == 502 {
            failed += 1;
            let body: serde_json::Value =
                serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert_eq!(body["code"], 0, "JSON, not Cloudflare's page");
        }
    }
    assert_eq!(failed, 6);
    assert_eq!(rest.seen().len() - before, 20);
}

#[tokio::test]
async fn a_server_that_is_down_is_tried_again_for_writes_too_because_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings = FrontSettings {
        api_base: url::Url::parse(&format!("http://{address}")).unwrap(),
        token: secrecy::Secret::new(TOKEN.to_owned()),
        ..FrontSettings::default()
    };
    let front = Front::start(settings).await.unwrap();
    let answer = post(&front, MESSAGES, "x").await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().await.unwrap().contains("nothing was sent"));
    assert_eq!(front.stats().repeats, 2);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_never_leaves() {
    let rest = Rest::start(|_| async { Reply::json(200, &json!({})) }).await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    let at = |path: &str| format!("{}{path}", front.url().as_str().trim_end_matches('/'));
    let client = client();
    for (authorization, path) in [
        (None, "/api/v10/users/@me"),
        (Some("Bot wrong"), "/api/v10/users/@me"),
        (Some("Bot wrong"), "/api/v10/webhooks/1/token"),
        (Some(&*bot()), "/"),
        (Some(&*bot()), "/api/v9/users/@me"),
        (Some(&*bot()), "/api/v10/%2e%2e/%2e%2e/admin"),
        (Some(&*bot()), "/metrics"),
    ] {
        let mut request = client.get(at(path));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
    // As a forward proxy, for a foreign host.
    let proxied = reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(front.url().as_str()).unwrap())
        .build()
        .unwrap();
    let foreign = proxied.get("http://127.0.0.9:1/api/v10/users/@me");
    let answer = foreign.header("authorization", bot()).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(rest.seen().is_empty());
    assert_eq!(front.stats().forbidden, 8);
    // A webhook's own token is enough for its path, and the bot's is not added to it.
    assert_eq!(client.get(at("/api/v10/webhooks/1/tok")).send().await.unwrap().status(), 200);
    assert_eq!(rest.seen()[0].authorization, "");
}

#[tokio::test]
async fn a_401_stops_everything_that_needs_the_token() {
    let rest = Rest::start(|_| async { Reply::json(401, &json!({"message": "401"})) }).await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    // A dead webhook is not a dead bot.
    post(&front, "/api/v10/webhooks/1/tok", "{}").await;
    assert!(!front.stats().token_rejected);
    assert_eq!(post(&front, MESSAGES, "x").await.status(), 401);
    tokio::time::timeout(Duration::from_secs(1), front.token_rejected()).await.unwrap();
    assert_eq!(post(&front, MESSAGES, "x").await.status(), 401);
    assert_eq!(rest.seen().len(), 2, "the last one was not sent");
}

#[tokio::test]
async fn too_many_invalid_requests_stop_all_but_callbacks() {
    let rest = Rest::start(|seen| async move {
        if seen.path.ends_with("/callback") {
            return Reply(204, vec![], String::new());
        }
        Reply::json(403, &json!({"code": 50001, "message": "Missing Access"}))
    })
    .await;
    let settings = FrontSettings { invalid_limit: 5, ..rest.front_settings() };
    let front = Front::start(settings).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(post(&front, MESSAGES, "x").await.status().as_u16());
    }
    assert_eq!(answers, [403, 403, 403, 403, 403, 503, 503, 503]);
    assert_eq!(post(&front, "/api/v10/interactions/1/t/callback", "{}").await.status(), 204);
    assert_eq!(front.stats().braked, 3);
}

#[tokio::test]
async fn a_full_queue_refuses_new_requests_but_keeps_those_it_has() {
    let rest = Rest::start(|_| async { Reply(0, vec![], String::new()) }).await;
    let settings = FrontSettings { queue: 3, ..rest.front_settings() };
    let front = Front::start(settings).await.unwrap();
    let held: Vec<_> = (0..4)
        .map(|_| {
            let front = front.clone();
            tokio::spawn(async move { post(&front, MESSAGES, "x").await })
        })
        .collect();
    while front.stats().waiting < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&front, MESSAGES, "x").await.status(), 503);
    assert_eq!(front.stats().queue_full, 1);
    for task in held {
        assert!(!task.is_finished());
        task.abort();
    }
    while front.stats().waiting > 0 {
        tokio::task::yield_now().await; // whoever hangs up leaves the queue
    }
}

#[tokio::test]
async fn the_global_limit_holds_in_every_second() {
    let rest = Rest::start(|_| async { Reply::json(200, &json!({})) }).await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    join_all((0..120).map(|n| {
        let front = &front;
        async move { get(front, &format!("/api/v10/channels/{n}")).await }
    }))
    .await;
    let times: Vec<_> = rest.seen().into_iter().map(|seen| seen.at).collect();
    for (n, start) in times.iter().enumerate() {
        // A little less than a second, for what the network adds.
        let within = times[n..].iter().filter(|at| **at - *start < Duration::from_millis(950));
        assert!(within.count() <= 50);
    }
}

#[tokio::test]
async fn uploads_pass_whole_and_oversized_ones_are_refused() {
    let rest = Rest::start(|_| async { Reply::json(200, &json!({})) }).await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    let body = "x".repeat(8 * 1024 * 1024);
    assert_eq!(post(&front, MESSAGES, &body).await.status(), 200);
    assert_eq!(rest.seen()[0].body.len(), body.len());
    let send = client()
        .post(front.url().join(MESSAGES).unwrap())
        .header("authorization", bot())
        .body("x".repeat(27 * 1024 * 1024))
        .send()
        .await;
    // The front may hang up before all of it is written.
    assert!(send.is_err() || send.is_ok_and(|answer| answer.status() == 413));
    assert_eq!(rest.seen().len(), 1);
}

#[tokio::test]
async fn an_address_that_would_leak_the_token_is_not_started() {
    let settings = FrontSettings {
        api_base: url::Url::parse("http://discord.com").unwrap(),
        ..FrontSettings::default()
    };
    assert!(matches!(Front::start(settings).await, Err(FrontError::Address { .. })));
}
