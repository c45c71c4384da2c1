//! Many people asking the same make one request; whoever needs fresh eyes gets them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use gantry_proxmox::{Client, Freshness};

use crate::errors::guest;
use crate::server::{Ca, Reply, Server, config, json};

#[tokio::test]
async fn five_hundred_people_asking_the_same_make_one_request() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| {
        let rows = json(r#"[{"type":"lxc","vmid":104,"node":"pve1","name":"web-0"}]"#);
        Reply::Later(Duration::from_millis(100), Box::new(rows))
    })
    .await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    let all = join_all((0..500).map(|_| client.resources(Freshness::Shared))).await;
    for answer in all {
        assert_eq!(answer.unwrap()[0].name.as_deref(), Some("web-0"));
    }
    assert_eq!(server.count(), 1);
    client.resources(Freshness::Shared).await.unwrap();
    assert_eq!(server.count(), 1, "still within the second");
    client.resources(Freshness::Fresh).await.unwrap();
    assert_eq!(server.count(), 2, "fresh eyes look themselves");
}

#[tokio::test]
async fn nobody_reads_from_before_their_own_write() {
    let ca = Ca::new();
    let state = Arc::new(AtomicUsize::new(0));
    let server = Server::start(&ca, move |seen| {
        if seen.method == "POST" {
            state.store(1, Ordering::SeqCst);
            return json("\"UPID:pve1:0000ABCD:0001E240:6563A1B2:vzstart:104:gantry@pve!bot:\"");
        }
        let status = ["stopped", "running"][state.load(Ordering::SeqCst)];
        json(&format!(r#"{{"status":"{status}"}}"#))
    })
    .await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    assert!(!client.guest_status(&guest(), Freshness::Shared).await.unwrap().is_running());
    client.start(&guest()).await.unwrap();
    assert!(client.guest_status(&guest(), Freshness::Shared).await.unwrap().is_running());
}

#[tokio::test]
async fn a_failed_read_is_shared_but_not_kept() {
    let ca = Ca::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Server::start(&ca, move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            let no = Reply::Status(403, "Permission check failed (/, Sys.Audit)", String::new());
            return Reply::Later(Duration::from_millis(100), Box::new(no));
        }
        json("[]")
    })
    .await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    let all = join_all((0..100).map(|_| client.nodes(Freshness::Shared))).await;
    assert!(all.iter().all(Result::is_err));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    client.nodes(Freshness::Shared).await.unwrap();
}

#[tokio::test]
async fn when_the_first_asker_leaves_the_others_still_get_their_answer() {
    let ca = Ca::new();
    let server =
        Server::start(&ca, |_| Reply::Later(Duration::from_millis(200), Box::new(json("[]"))))
            .await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.nodes(Freshness::Shared).await }
    });
    while server.count() == 0 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn({
        let client = client.clone();
        async move { client.nodes(Freshness::Shared).await }
    });
    tokio::task::yield_now().await;
    first.abort();
    second.await.unwrap().unwrap();
}
