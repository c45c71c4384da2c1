//! Proxmox is the attacker: answers without end, bombs, redirects, nonsense.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use gantry_proxmox::{Client, Error, Freshness};

use crate::errors::guest;
use crate::server::{Ca, Reply, Server, config, json};

const LIMIT: usize = 1024 * 1024;

async fn answer_to(reply: Reply) -> Error {
    let ca = Ca::new();
    let server = Server::start(&ca, move |_| reply.clone()).await;
    let mut config = config(&ca, &[&server]);
    config.tuning.body_limit = LIMIT;
    config.tuning.read_attempts = 1;
    config.tuning.read_timeout = Duration::from_secs(5);
    Client::new(config).unwrap().nodes(Freshness::Fresh).await.unwrap_err()
}

#[tokio::test]
async fn an_announced_huge_answer_is_not_read() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n[".to_vec();
    assert_eq!(answer_to(Reply::Raw(head)).await, Error::TooLarge { limit: LIMIT, write: false });
}

#[tokio::test]
async fn an_endless_chunked_answer_is_cut_off() {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        bytes.extend_from_slice(b"10000\r\n");
        bytes.extend_from_slice(&vec![b' '; 0x1_0000]);
        bytes.extend_from_slice(b"\r\n");
    }
    assert_eq!(answer_to(Reply::Raw(bytes)).await, Error::TooLarge { limit: LIMIT, write: false });
}

#[tokio::test]
async fn a_compressed_bomb_is_cut_off() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..200 {
        gzip.write_all(&vec![b' '; LIMIT]).unwrap();
    }
    let body = gzip.finish().unwrap();
    assert!(body.len() < LIMIT, "{}", body.len());
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    assert_eq!(answer_to(Reply::Raw(bytes)).await, Error::TooLarge { limit: LIMIT, write: false });
}

#[tokio::test]
async fn deep_json_and_nonsense_are_errors_not_crashes() {
    let deep = format!(r#"{{"data":{}"#, "[".repeat(400_000));
    for body in [deep, "not json".to_owned(), "\u{0}".to_owned(), r#"{"data":"text"}"#.to_owned()] {
        let error = answer_to(Reply::Json(body)).await;
        assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    }
    let error = answer_to(Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await;
    assert!(matches!(error, Error::AnswerLost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_refused_and_the_token_stays() {
    let ca = Ca::new();
    let thief = Server::start(&ca, |_| json("[]")).await;
    let port = thief.port;
    for status in [301, 302, 307, 308] {
        let server = Server::start(&ca, move |_| {
            let head = format!(
                "HTTP/1.1 {status} Moved\r\nLocation: https://127.0.0.1:{port}/\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            Reply::Raw(head.into_bytes())
        })
        .await;
        let client = Client::new(config(&ca, &[&server])).unwrap();
        let read = client.nodes(Freshness::Fresh).await.unwrap_err();
        assert!(matches!(read, Error::Other { .. }), "{read:?}");
        client.start(&guest()).await.unwrap_err();
    }
    assert_eq!(thief.count(), 0);
    assert_eq!(thief.connections(), 0);
}
