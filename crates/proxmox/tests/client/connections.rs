//! The real server ends connections all the time; no read may be lost by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use gantry_proxmox::{Client, Freshness};

use crate::server::{Ca, Reply, Server, config, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_reads_through_a_server_that_ends_connections_lose_none() {
    let ca = Ca::new();
    let server = Server::start_with(&ca, 100, |_| json("[]")).await;
    let mut config = config(&ca, &[&server]);
    config.tuning.cache_ttl = Duration::ZERO;
    config.tuning.in_flight = 64;
    config.tuning.connect_timeout = Duration::from_secs(10);
    config.tuning.read_timeout = Duration::from_secs(10);
    config.tuning.read_attempts = 1;
    let client = Client::new(config).unwrap();
    let lost = stream::iter(0..10_000)
        .map(|_| client.nodes(Freshness::Fresh))
        .buffer_unordered(64)
        .filter(|answer| std::future::ready(answer.is_err()))
        .count()
        .await;
    assert_eq!(lost, 0);
    assert_eq!(server.count(), 10_000);
    // 100 are unavoidable, 64 are open at the end. The rest of the bound: while a call waits for a pooled
    // connection hyper opens another one, and on a busy machine both may be ready.
    let bound = 10_000 / 100 + 64 + 64;
    assert!(server.connections() <= bound, "{} connections", server.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_survive_a_server_that_cuts_connections_without_a_word() {
    let ca = Ca::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let server = Server::start(&ca, move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) % 10 == 9 { Reply::Cut } else { json("[]") }
    })
    .await;
    let mut config = config(&ca, &[&server]);
    config.tuning.cache_ttl = Duration::ZERO;
    config.tuning.connect_timeout = Duration::from_secs(5);
    let client = Client::new(config).unwrap();
    for n in 0..300 {
        client.nodes(Freshness::Fresh).await.unwrap_or_else(|e| panic!("{n}: {e:?}"));
    }
}

#[tokio::test]
async fn a_connection_closed_without_a_word_while_idle_costs_no_read() {
    let ca = Ca::new();
    let raw = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"data\":[]}";
    let server = Server::start(&ca, |_| Reply::Raw(raw.to_vec())).await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    for n in 0..50 {
        client.nodes(Freshness::Fresh).await.unwrap_or_else(|e| panic!("{n}: {e:?}"));
    }
}

#[tokio::test]
async fn the_doubled_connection_header_of_pvedaemon_is_understood() {
    let ca = Ca::new();
    let raw = b"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: Keep-Alive\r\n\
        Content-Length: 11\r\n\r\n{\"data\":[]}";
    let server = Server::start(&ca, |_| Reply::Raw(raw.to_vec())).await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    for _ in 0..10 {
        client.nodes(Freshness::Fresh).await.unwrap();
    }
    assert_eq!(server.count(), 10);
}
