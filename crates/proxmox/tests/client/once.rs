//! A write is sent at most once, whatever happens to it.

use std::time::Duration;

use gantry_core::id::GuestKind;
use gantry_proxmox::{Advice, Client, Delete, Error, Freshness, GuestRef, Shutdown};
use tokio::net::TcpListener;

use crate::errors::guest;
use crate::server::{Ca, Reply, Server, config, json};

const UPID: &str = "\"UPID:pve1:0000ABCD:0001E240:6563A1B2:vzdestroy:104:gantry@pve!bot:\"";

#[tokio::test]
async fn an_answer_that_is_lost_in_any_way_is_probed_and_not_repeated() {
    for reply in [Reply::Cut, Reply::Silence, Reply::Truncated, Reply::Raw(Vec::new())] {
        let ca = Ca::new();
        let (name, sent) = (format!("{reply:?}"), reply);
        let servers = [
            Server::start(&ca, {
                let sent = sent.clone();
                move |_| sent.clone()
            })
            .await,
            Server::start(&ca, move |_| sent.clone()).await,
        ];
        let client = Client::new(config(&ca, &[&servers[0], &servers[1]])).unwrap();
        let error = client.delete(&guest(), Delete::default()).await.unwrap_err();
        assert!(matches!(error, Error::AnswerLost { write: true, .. }), "{name}: {error:?}");
        assert_eq!(error.advice(), Advice::Probe, "{name}");
        assert!(!error.is_not_sent());
        assert_eq!(servers[0].count() + servers[1].count(), 1, "{name}");
    }
}

#[tokio::test]
async fn an_accepted_write_whose_answer_makes_no_sense_is_probed() {
    for body in ["null", "42", "\"no task\"", "{}"] {
        let ca = Ca::new();
        let server = Server::start(&ca, move |_| json(body)).await;
        let client = Client::new(config(&ca, &[&server])).unwrap();
        let error = client.start(&guest()).await.unwrap_err();
        assert_eq!(error.advice(), Advice::Probe, "{body}: {error:?}");
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn a_refused_connection_is_not_sent_and_says_so() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| json(UPID)).await;
    let mut config = config(&ca, &[&server]);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    config.endpoints = vec![format!("https://{closed}").parse().unwrap()];
    let client = Client::new(config).unwrap();
    let error = client.start(&guest()).await.unwrap_err();
    assert_eq!(
        error,
        Error::Unreachable { endpoint: closed.to_string(), why: "connection refused".to_owned() }
    );
    assert!(error.is_not_sent());
    assert!(matches!(error.advice(), Advice::RetryAfter(_)));
}

#[tokio::test]
async fn a_write_goes_to_another_endpoint_only_when_no_connection_came_about() {
    let ca = Ca::new();
    let alive = Server::start(&ca, |_| json(UPID)).await;
    let mut config = config(&ca, &[&alive]);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    config.endpoints.insert(0, format!("https://{closed}").parse().unwrap());
    config.tuning.breaker.min_calls = 1_000;
    let client = Client::new(config).unwrap();
    for n in 1..=10 {
        client.start(&guest()).await.unwrap();
        assert_eq!(alive.count(), n);
    }
}

#[tokio::test]
async fn each_write_has_a_connection_of_its_own() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| json(UPID)).await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    client.nodes(Freshness::Fresh).await.unwrap_err(); // A kept-alive connection is there now.
    for _ in 0..5 {
        client.start(&guest()).await.unwrap();
    }
    let mut used: Vec<usize> = server.seen().iter().map(|s| s.connection).collect();
    used.dedup();
    assert_eq!(used.len(), 6);
}

#[tokio::test]
async fn what_a_call_looks_like_on_the_wire() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| json(UPID)).await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    let vm = GuestRef::new("pve1".parse().unwrap(), GuestKind::Qemu, "200".parse().unwrap());
    client.shutdown(&guest(), Shutdown { timeout_s: Some(30), force_stop: false }).await.unwrap();
    let purge = Delete { purge: true, force: true, ..Delete::default() };
    let accepted = client.delete(&guest(), purge).await.unwrap();
    assert_eq!(accepted.upid.kind(), "vzdestroy");
    client.stop_task(&accepted.upid).await.unwrap();
    client.reboot(&vm, None).await.unwrap();
    client.delete(&vm, purge).await.unwrap_err();
    let seen: Vec<String> =
        server.seen().iter().map(|s| format!("{} {} [{}]", s.method, s.target, s.body)).collect();
    assert_eq!(
        seen,
        [
            "POST /api2/json/nodes/pve1/lxc/104/status/shutdown [timeout=30]",
            "DELETE /api2/json/nodes/pve1/lxc/104?purge=1&force=1&destroy-unreferenced-disks=0 []",
            "DELETE /api2/json/nodes/pve1/tasks/UPID%3Apve1%3A0000ABCD%3A0001E240%3A6563A1B2%3A\
             vzdestroy%3A104%3Agantry%40pve%21bot%3A []",
            "POST /api2/json/nodes/pve1/qemu/200/status/reboot []",
        ]
    );
    for seen in server.seen() {
        assert!(seen.head.contains("authorization: PVEAPIToken=gantry@pve!bot="), "{}", seen.head);
        assert!(!seen.head.to_lowercase().contains("transfer-encoding"), "chunked is refused");
    }
}

#[tokio::test]
async fn a_crowd_of_readers_does_not_starve_a_write() {
    let ca = Ca::new();
    let server = Server::start(&ca, |seen| {
        if seen.method == "POST" {
            return json(UPID);
        }
        Reply::Later(Duration::from_millis(300), Box::new(json("[]")))
    })
    .await;
    let mut config = config(&ca, &[&server]);
    config.tuning.in_flight = 2;
    config.tuning.cache_ttl = Duration::ZERO;
    config.tuning.queue_timeout = Duration::from_secs(1);
    let client = Client::new(config).unwrap();
    let readers: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.nodes(Freshness::Fresh).await })
        })
        .collect();
    while server.count() == 0 {
        tokio::task::yield_now().await;
    }
    let asked = std::time::Instant::now();
    client.start(&guest()).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(300), "{:?}", asked.elapsed());
    let mut refused = 0;
    for reader in readers {
        match reader.await.unwrap() {
            Ok(_) => {}
            Err(Error::RateLimited { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused > 0, "waiting is bounded");
}
