//! One node of five is silent: the others stay quick, its breaker opens, and it is found again by itself.

use std::time::{Duration, Instant};

use futures::future::join_all;
use gantry_core::id::NodeName;
use gantry_proxmox::{Client, Error, Freshness, State};

use crate::server::{Ca, Reply, Seen, Server, config, json};

fn name(n: usize) -> NodeName {
    format!("pve{n}").parse().unwrap()
}

/// Five nodes; a call about pve3 that reaches another node is passed on and waits for it.
async fn five(ca: &Ca) -> Vec<Server> {
    let mut all = Vec::new();
    for n in 1..=5 {
        let answer = move |seen: &Seen| {
            if seen.target.ends_with("/cluster/status") {
                let rows: Vec<String> = (1..=5)
                    .map(|m| {
                        let local = u8::from(m == n);
                        format!(r#"{{"type":"node","name":"pve{m}","online":1,"local":{local}}}"#)
                    })
                    .collect();
                return json(&format!("[{}]", rows.join(",")));
            }
            if n != 3 && seen.target.contains("/nodes/pve3/") {
                return Reply::Silence;
            }
            json(r#"{"uptime":5}"#)
        };
        all.push(Server::start(ca, answer).await);
    }
    all
}

fn client(ca: &Ca, servers: &[Server]) -> Client {
    let all: Vec<&Server> = servers.iter().collect();
    let mut config = config(ca, &all);
    config.tuning.cache_ttl = Duration::ZERO;
    config.tuning.breaker.cool_down = Duration::from_millis(300);
    config.tuning.breaker.cool_down_max = Duration::from_millis(600);
    Client::new(config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_learns_who_sits_where() {
    let ca = Ca::new();
    let servers = five(&ca).await;
    let client = client(&ca, &servers);
    assert!(client.health().endpoints.iter().all(|e| e.state == State::Unknown));
    servers[2].silence(true);
    let started = Instant::now();
    let found = client.discover().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(found.nodes.len(), 5);
    let owners: Vec<Option<String>> =
        found.endpoints.iter().map(|e| e.node.as_ref().map(ToString::to_string)).collect();
    let known = |n: &str| Some(n.to_owned());
    assert_eq!(owners, [known("pve1"), known("pve2"), None, known("pve4"), known("pve5")]);
    assert!(matches!(found.endpoints[2].error, Some(Error::Unreachable { .. })));
    let health = client.health();
    assert_eq!(health.endpoints[2].state, State::Down);
    assert_eq!(health.endpoints[0].state, State::Up);
    let sentence = health.endpoints[2].sentence();
    assert!(sentence.contains("unreachable since "), "{sentence}");
    assert!(sentence.ends_with(" UTC (connection timed out)"), "{sentence}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answering_is_an_error_after_the_connect_limit() {
    let ca = Ca::new();
    let servers = five(&ca).await;
    for server in &servers {
        server.silence(true);
    }
    let started = Instant::now();
    let error = client(&ca, &servers).discover().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_silent_node_does_not_slow_the_others_and_comes_back_by_itself() {
    let ca = Ca::new();
    let servers = five(&ca).await;
    let client = client(&ca, &servers);
    client.discover().await.unwrap();
    servers[2].silence(true);

    // People ask about the silent node until its breaker opens.
    let mut opened = None;
    for _ in 0..20 {
        let error = client.node_status(&name(3), Freshness::Fresh).await.unwrap_err();
        if let Error::BreakerOpen { subject, .. } = &error {
            assert_eq!(subject, "pve3");
            opened = Some(error);
            break;
        }
    }
    let opened = opened.expect("the breaker of pve3 opens").to_string();
    assert!(opened.starts_with("pve3 unreachable since "), "{opened}");

    // While it is open they hear so at once, and everybody else is served quickly.
    let started = Instant::now();
    client.node_status(&name(3), Freshness::Fresh).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    let quick = join_all((0..200).map(|n| {
        let client = client.clone();
        async move {
            let started = Instant::now();
            client.node_status(&name([1, 2, 4, 5][n % 4]), Freshness::Fresh).await.unwrap();
            started.elapsed()
        }
    }))
    .await;
    let slowest = quick.into_iter().max().unwrap();
    assert!(slowest < Duration::from_millis(700), "{slowest:?}");
    for n in [1, 2, 4, 5] {
        let health = client.health();
        let state = health.nodes.iter().find(|h| h.node == name(n)).unwrap().state;
        assert_eq!(state, State::Up, "pve{n}");
    }
    let down = |client: &Client| {
        let health = client.health();
        health.nodes.iter().find(|h| h.node == name(3)).unwrap().state
    };
    assert_ne!(down(&client), State::Up);

    // It answers again; nobody asks, the watch finds it.
    servers[2].silence(false);
    let watch = tokio::spawn({
        let client = client.clone();
        async move { client.keep_watch().await }
    });
    let found = async {
        while down(&client) != State::Up || client.health().endpoints[2].state != State::Up {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("found again");
    watch.abort();
    client.node_status(&name(3), Freshness::Fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_asked_at_its_own_endpoint() {
    let ca = Ca::new();
    let servers = five(&ca).await;
    let client = client(&ca, &servers);
    client.discover().await.unwrap();
    for _ in 0..10 {
        client.node_status(&name(4), Freshness::Fresh).await.unwrap();
    }
    let asked: Vec<usize> = servers
        .iter()
        .map(|s| s.seen().iter().filter(|s| s.target.contains("/nodes/")).count())
        .collect();
    assert_eq!(asked, [0, 0, 0, 10, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offline_node_is_no_reason_to_distrust_the_endpoint_that_says_so() {
    let ca = Ca::new();
    let server = Server::start(&ca, |seen| {
        if seen.target.contains("/nodes/pve3/") {
            return Reply::Status(595, "Network is unreachable", String::new());
        }
        json("[]")
    })
    .await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    for _ in 0..20 {
        client.node_status(&name(3), Freshness::Fresh).await.unwrap_err();
    }
    assert!(server.count() < 10, "the breaker of the node opened");
    assert_eq!(client.health().endpoints[0].state, State::Up);
    client.nodes(Freshness::Fresh).await.unwrap();
}

#[tokio::test]
async fn the_rate_limit_waits_a_bounded_time() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| json("[]")).await;
    let mut config = config(&ca, &[&server]);
    config.tuning.per_second = 10;
    config.tuning.burst = 1;
    config.tuning.cache_ttl = Duration::ZERO;
    config.tuning.queue_timeout = Duration::from_millis(350);
    let client = Client::new(config).unwrap();
    let started = Instant::now();
    let all = join_all((0..20).map(|_| client.nodes(Freshness::Fresh))).await;
    assert!(started.elapsed() < Duration::from_secs(1));
    let served = all.iter().filter(|a| a.is_ok()).count();
    assert!((2..=5).contains(&served), "{served}");
    for error in all.into_iter().filter_map(Result::err) {
        assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");
        assert!(error.is_not_sent());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_asking_about_a_silent_node_leaves_room_for_the_others() {
    let ca = Ca::new();
    let servers = five(&ca).await;
    let client = client(&ca, &servers);
    client.discover().await.unwrap();
    servers[2].silence(true);
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.node_status(&name(3), Freshness::Fresh).await })
        })
        .collect();
    while client.health().waiting == 0 {
        tokio::task::yield_now().await;
    }
    let mut slowest = Duration::ZERO;
    for n in 0..100 {
        let started = Instant::now();
        client.node_status(&name([1, 2, 4, 5][n % 4]), Freshness::Fresh).await.unwrap();
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_millis(300), "{slowest:?}");
    for asker in crowd {
        asker.await.unwrap().unwrap_err();
    }
    // The crowd was told by the breaker, not one after the other by timeouts.
    let asked: usize = servers
        .iter()
        .map(|s| s.seen().iter().filter(|s| s.target.contains("/nodes/pve3/")).count())
        .sum();
    assert!(asked < 20, "{asked}");
}

#[tokio::test]
async fn the_word_of_the_cluster_does_not_hide_a_silent_api() {
    let ca = Ca::new();
    let server = Server::start(&ca, |seen| {
        if seen.target.contains("/nodes/pve3/") {
            return Reply::Status(595, "Connection timed out", String::new());
        }
        json(r#"[{"node":"pve3","status":"online"},{"node":"pve4","status":"offline"}]"#)
    })
    .await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    let state = |n| {
        let health = client.health();
        health.nodes.iter().find(|h| h.node == name(n)).map(|h| (h.state, h.since))
    };
    client.nodes(Freshness::Fresh).await.unwrap();
    assert_eq!(state(3).unwrap().0, State::Up);
    assert_eq!(state(4).unwrap().0, State::Down);
    client.node_status(&name(3), Freshness::Fresh).await.unwrap_err();
    let down = state(3).unwrap();
    assert_eq!(down.0, State::Down);
    client.nodes(Freshness::Fresh).await.unwrap();
    assert_eq!(state(3).unwrap(), down, "still down, and since the same moment");
    let sentence = client.health().nodes[0].sentence();
    assert!(sentence.starts_with("pve3 unreachable since "), "{sentence}");
    assert!(sentence.ends_with("(Connection timed out)"), "{sentence}");
}
