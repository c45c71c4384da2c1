//! Every measured form of an error becomes its typed one, and its advice is safe.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_core::id::GuestKind;
use gantry_proxmox::{Advice, Client, Delete, Error, Freshness, GuestRef, SetConfig};

use crate::server::{Ca, Reply, SECRET, Server, config, json};

pub fn guest() -> GuestRef {
    GuestRef::new("pve1".parse().unwrap(), GuestKind::Lxc, "104".parse().unwrap())
}

fn message(text: &str) -> String {
    format!(r#"{{"data":null,"message":"{text}\n"}}"#)
}

/// Asks once for reading and once for writing, and returns both errors.
async fn both(status: u16, reason: &'static str, body: &str) -> (Error, Error) {
    let ca = Ca::new();
    let body = body.to_owned();
    let server = Server::start(&ca, move |_| Reply::Status(status, reason, body.clone())).await;
    let mut config = config(&ca, &[&server]);
    config.tuning.read_attempts = 1;
    let client = Client::new(config).unwrap();
    let read = client.guest_status(&guest(), Freshness::Fresh).await.unwrap_err();
    let write = client.delete(&guest(), Delete::default()).await.unwrap_err();
    assert_eq!(server.count(), 2, "one request each");
    (read, write)
}

fn words(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn authentication() {
    for reason in ["No ticket", "Authentication failed!"] {
        let (read, write) = both(401, reason, "").await;
        assert_eq!(read, Error::Auth { reason: words(reason) });
        assert_eq!(read, write);
        assert_eq!(read.advice(), Advice::GiveUp);
    }
}

#[tokio::test]
async fn a_401_is_never_asked_again() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| Reply::Status(401, "No ticket", String::new())).await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    client.nodes(Freshness::Shared).await.unwrap_err();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_missing_privilege_names_path_and_privilege() {
    let (read, write) = both(403, "Permission check failed (/vms/100, VM.PowerMgmt)", "").await;
    assert_eq!(
        read,
        Error::Denied {
            path: Some(words("/vms/100")),
            privilege: Some(words("VM.PowerMgmt")),
            reason: words("Permission check failed (/vms/100, VM.PowerMgmt)"),
        }
    );
    assert_eq!(read.to_string(), "the API token lacks VM.PowerMgmt on /vms/100");
    assert_eq!(write.advice(), Advice::GiveUp);
    let only_root = "Permission check failed (changing feature flags (except nesting) is only \
                     allowed for root@pam)";
    for (reason, body) in [("Permission check failed", String::new()), ("x", message(only_root))] {
        let (read, _) = both(403, reason, &body).await;
        assert!(matches!(read, Error::Denied { path: None, privilege: None, .. }), "{read:?}");
    }
}

#[tokio::test]
async fn refused_parameters_keep_their_names() {
    let body = r#"{"data":null,"message":"Parameter verification failed.\n",
        "errors":{"vmid":"type check ('integer') failed - got 'abc'","cores":"too small"}}"#;
    let (read, _) = both(400, "Parameter verification failed.", body).await;
    let Error::Invalid { errors, .. } = &read else { panic!("{read:?}") };
    assert_eq!(errors["vmid"], "type check ('integer') failed - got 'abc'");
    assert_eq!(errors.len(), 2);
    // An errors map stands in a 500 too (measured on resize).
    let body = r#"{"data":null,"errors":{"disk":"no such disk"}}"#;
    let (_, write) = both(500, "format error", body).await;
    assert!(matches!(write, Error::Invalid { .. }));
}

#[tokio::test]
async fn what_stands_only_in_the_reason_phrase_is_read() {
    let vm8 = r#"{"data":null}"#;
    let gone = "Configuration file 'nodes/pve1/lxc/999.conf' does not exist";
    let cases: Vec<(&'static str, Error)> = vec![
        (gone, Error::NotFound { what: words(gone) }),
        (
            "storage 'nope' does not exist",
            Error::NotFound { what: words("storage 'nope' does not exist") },
        ),
        (
            "CT 100 already exists on node 'pve1'",
            Error::Exists { what: words("CT 100 already exists on node 'pve1'") },
        ),
        (
            "unable to create VM 101: config file already exists",
            Error::Exists { what: words("unable to create VM 101: config file already exists") },
        ),
        (
            "detected modified configuration - file changed by other user? Try again.",
            Error::Conflict,
        ),
        ("checksum mismatch (file change by other user?)", Error::Conflict),
        ("CT is locked (backup)", Error::Locked { kind: words("backup") }),
        ("VM is locked (snapshot-delete)", Error::Locked { kind: words("snapshot-delete") }),
        (
            "can't lock file '/run/lock/lxc/pve-config-104.lock' - got timeout",
            Error::Locked { kind: words("file lock") },
        ),
        (
            "cfs-lock 'file-user_cfg' error: got lock request timeout",
            Error::Locked { kind: words("cluster lock") },
        ),
        ("cluster not ready - no quorum?", Error::NoQuorum),
        ("create pool failed: cfs-lock 'file-user_cfg' error: no quorum!", Error::NoQuorum),
        ("CT 104 not running", Error::NotRunning { what: words("CT 104 not running") }),
        ("VM 101 is not running", Error::NotRunning { what: words("VM 101 is not running") }),
    ];
    for (reason, expected) in cases {
        let (read, write) = both(500, reason, vm8).await;
        assert_eq!(read, expected);
        assert_eq!(write, expected);
        assert_ne!(write.advice(), Advice::Probe, "{reason}");
    }
}

#[tokio::test]
async fn an_unclear_500_on_a_write_is_probed() {
    for reason in [
        "bridge 'nope' does not exist",
        "'storage-local'-locked command timed out - aborting",
        "unable to open file - No space left on device",
    ] {
        let (read, write) = both(500, reason, &message(reason)).await;
        assert_eq!(write.advice(), Advice::Probe, "{reason}");
        assert_eq!(read.advice(), Advice::GiveUp, "{reason}");
        assert!(write.to_string().contains(reason));
    }
}

#[tokio::test]
async fn a_node_behind_the_endpoint_that_does_not_answer() {
    for (status, reason) in [
        (595, "Network is unreachable"),
        (595, "Connection timed out"),
        (596, "error:0A000086:SSL routines::certificate verify failed"),
        (597, "Connection reset by peer"),
        (599, "Too many redirections"),
    ] {
        let (read, write) = both(status, reason, "").await;
        let Error::NodeOffline { node, why, write: false } = &read else { panic!("{read:?}") };
        assert_eq!(node.as_ref().unwrap().as_str(), "pve1");
        assert_eq!(why, reason);
        assert_eq!(write.advice(), Advice::Probe);
        assert!(matches!(read.advice(), Advice::RetryAfter(_)));
    }
}

#[tokio::test]
async fn calls_that_this_version_does_not_have() {
    let (read, _) = both(501, "Method 'GET /nope' not implemented", "").await;
    assert_eq!(read, Error::NotImplemented { what: words("Method 'GET /nope' not implemented") });
}

#[tokio::test]
async fn a_taken_vmid_is_told_from_bad_parameters() {
    let ca = Ca::new();
    let body = r#"{"data":null,"errors":{"vmid":"VM 100 already exists"}}"#.to_owned();
    let server = Server::start(&ca, move |_| Reply::Status(400, "x", body.clone())).await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    assert_eq!(client.is_free("100".parse().unwrap()).await, Ok(false));
}

#[tokio::test]
async fn an_echoed_secret_is_blotted_out() {
    let (read, _) = both(500, "x", &message(&format!("bad token {SECRET} <b>"))).await;
    assert!(!format!("{read:?} {read}").contains(SECRET));
    assert!(read.to_string().contains("•••"));
}

#[tokio::test]
async fn gateway_errors_of_reads_are_repeated_and_counted() {
    let ca = Ca::new();
    let left = Arc::new(Mutex::new(2));
    let server = Server::start(&ca, move |_| {
        let mut left = left.lock().unwrap();
        if *left == 0 {
            return json("[]");
        }
        *left -= 1;
        Reply::Status(502, "Bad Gateway", String::new())
    })
    .await;
    let mut config = config(&ca, &[&server]);
    config.tuning.breaker.min_calls = 100;
    let client = Client::new(config).unwrap();
    assert!(client.nodes(Freshness::Shared).await.unwrap().is_empty());
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_configuration_is_never_written_without_its_digest_nor_locked() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| json("null")).await;
    let client = Client::new(config(&ca, &[&server])).unwrap();
    for change in [
        SetConfig::new("").set("memory", 512),
        SetConfig::new("d").set("lock", "backup"),
        SetConfig::new("d").set("skiplock", 1),
        SetConfig::new("d").delete("lock"),
        SetConfig::new("d").set("net0&x", 1),
    ] {
        let error = client.set_config(&guest(), &change).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    assert_eq!(server.count(), 0);
    client.set_config(&guest(), &SetConfig::new("abc").set("memory", 512)).await.unwrap();
    assert_eq!(server.seen()[0].body, "digest=abc&memory=512");
}

#[test]
fn advice_of_what_was_not_sent_is_to_wait() {
    let second = Duration::from_secs(1);
    let not_sent = [
        Error::Unreachable { endpoint: words("a:1"), why: words("connection refused") },
        Error::RateLimited { retry_in: second },
        Error::BreakerOpen { subject: words("pve3"), why: words("x"), retry_in: second },
    ];
    for error in not_sent {
        assert!(error.is_not_sent());
        assert!(matches!(error.advice(), Advice::RetryAfter(_)), "{error:?}");
    }
    let lost = Error::AnswerLost { endpoint: words("a:1"), why: words("cut"), write: true };
    assert!(!lost.is_not_sent());
    assert_eq!(lost.advice(), Advice::Probe);
}
