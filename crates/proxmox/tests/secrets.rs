//! The token's secret and passwords are in no log at TRACE (hyper, reqwest and rustls included) and in no `Debug`.
//! A program of its own, because it catches everything that the process logs.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "shared with the other test program, which uses all of it")]
#[path = "client/server.rs"]
mod server;

use std::io;
use std::sync::{Arc, Mutex};

use gantry_core::id::GuestKind;
use gantry_proxmox::{Client, CreateLxc, Error, Freshness, GuestRef};
use secrecy::Secret;
use tracing_subscriber::fmt::MakeWriter;

use server::{Ca, Reply, SECRET, Server, config, json};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_token_is_in_no_log() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    let ca = Ca::new();
    let server = Server::start(&ca, |seen| match seen.target.as_str() {
        t if t.contains("status") => Reply::Cut,
        t if t.contains("nodes") => json("[]"),
        _ => Reply::Status(401, "Authentication failed!", String::new()),
    })
    .await;
    let configuration = config(&ca, &[&server]);
    let shown = format!("{configuration:?}");
    let client = Client::new(configuration).unwrap();
    client.nodes(Freshness::Fresh).await.unwrap();
    let guest = GuestRef::new("pve1".parse().unwrap(), GuestKind::Lxc, "104".parse().unwrap());
    let lost = client.start(&guest).await.unwrap_err();
    assert!(matches!(lost, Error::AnswerLost { .. }));
    let refused = client.resources(Freshness::Fresh).await.unwrap_err();
    let mut spec =
        CreateLxc::new("104".parse().unwrap(), "local:vztmpl/debian-12.tar.zst".parse().unwrap());
    let password = "correct-horse-battery";
    spec.password = Some(Secret::new(password.to_owned()));
    let created = client.create_lxc(&"pve1".parse().unwrap(), &spec).await.unwrap_err();

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("TRACE"), "traces are there");
    assert!(log.contains("hyper"), "hyper's too");
    assert!(log.contains("rustls"), "and rustls'");
    assert!(log.contains("GET") && log.contains("/nodes"), "and our own");
    let form = format!("{:?} {:?}", spec.form().unwrap(), spec);
    let texts = [log, shown, form, format!("{client:?} {lost:?} {refused:?} {created:?}")];
    for text in &texts {
        for secret in [SECRET, "c0ffee00%2D", password, "YzBmZmVlMDA"] {
            assert!(!text.contains(secret), "{secret} found");
        }
    }
}
