//! Connections: how many requests, how long idle, TLS and plain.

use std::time::Duration;

use proxmox_twin::{Options, World};
use reqwest::header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Desk, client};

#[tokio::test]
async fn the_hundredth_answer_closes() {
    let desk = Desk::new(World::empty()).await;
    let mut closes = Vec::new();
    for n in 1..=250 {
        let got = desk.get("/version").await;
        assert_eq!(got.status, 200);
        if got.close {
            closes.push(n);
        }
    }
    assert_eq!(closes, [100, 200]);
    let mut conns: Vec<u64> = desk.twin.requests().iter().map(|r| r.conn).collect();
    conns.dedup();
    assert_eq!(conns.len(), 3);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let mut options = Options::quick(World::empty());
    options.idle_timeout = Duration::from_millis(300);
    let desk = Desk::with(options).await;
    desk.get("/version").await.data();
    tokio::time::sleep(Duration::from_millis(100)).await;
    desk.get("/version").await.data();
    tokio::time::sleep(Duration::from_millis(800)).await;
    desk.get("/version").await.data();
    let conns: Vec<u64> = desk.twin.requests().iter().map(|r| r.conn).collect();
    assert_eq!((conns[0] == conns[1], conns[1] == conns[2]), (true, false), "{conns:?}");
}

#[tokio::test]
async fn plain_http_is_sent_elsewhere() {
    let desk = Desk::new(World::empty()).await;
    let address = desk.twin.endpoints()[0].trim_start_matches("https://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(format!("GET /api2/json/version HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{text}");
    assert!(text.contains(&format!("Location: https://{address}/api2/json/version\r\n")), "{text}");
}

#[tokio::test]
async fn every_node_has_its_own_certificate() {
    let desk = Desk::new(World::empty()).await;
    let nodes = desk.get("/nodes").await;
    let mut seen = Vec::new();
    for row in nodes.data().as_array().unwrap() {
        let name = row["node"].as_str().unwrap();
        let fingerprint = desk.twin.fingerprint(name).unwrap();
        assert_eq!(row["ssl_fingerprint"], *fingerprint);
        assert_eq!((fingerprint.len(), fingerprint.matches(':').count()), (95, 31));
        assert!(!seen.contains(&fingerprint));
        seen.push(fingerprint);
        let endpoint = desk.twin.endpoint(name).unwrap();
        let got = desk
            .client
            .get(format!("{endpoint}/api2/json/cluster/status"))
            .header(header::AUTHORIZATION, &desk.auth)
            .send()
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_str(&got.text().await.unwrap()).unwrap();
        let local: Vec<&str> = body["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|r| r["local"] == 1)
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        assert_eq!(local, [name]);
    }
    // Without the authority the certificate is refused.
    let stranger =
        reqwest::Client::builder().build().unwrap().get(&desk.twin.endpoints()[0]).send().await;
    assert!(stranger.is_err());
}

#[tokio::test]
async fn dropping_the_twin_ends_everything() {
    let desk = Desk::new(World::empty()).await;
    let endpoint = desk.twin.endpoints()[0].clone();
    let http = client(&desk.twin);
    desk.get("/version").await.data();
    desk.twin.stop();
    let mut ended = false;
    for _ in 0..200 {
        if http.get(&endpoint).send().await.is_err() {
            ended = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(ended);
}

#[tokio::test]
async fn many_reads_sixty_four_at_a_time_lose_none() {
    let desk = Desk::new(World::empty()).await;
    let (url, auth) =
        (format!("{}/api2/json/version", desk.twin.endpoints()[0]), desk.auth.clone());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (http, url, auth) = (desk.client.clone(), url.clone(), auth.clone());
        workers.spawn(async move {
            let mut fine = 0;
            for _ in 0..40 {
                let sent = http.get(&url).header(header::AUTHORIZATION, &auth).send().await;
                fine += usize::from(sent.is_ok_and(|r| r.status() == 200));
            }
            fine
        });
    }
    let fine: usize = workers.join_all().await.into_iter().sum();
    assert_eq!(fine, 64 * 40);
}
