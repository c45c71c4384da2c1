//! Who is trusted, and what a person reads when somebody is not.

use gantry_proxmox::{Client, Error, Fingerprint, Freshness, Tls, TlsProblem};

use crate::server::{Ca, Server, config, json};

async fn asks(ca: &Ca, server: &Server, tls: Tls) -> Result<(), Error> {
    let mut config = config(ca, &[server]);
    config.tls = tls;
    Client::new(config).unwrap().nodes(Freshness::Fresh).await.map(drop)
}

#[tokio::test]
async fn its_own_ca_is_trusted_and_another_one_is_not() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = Server::start(&ca, |_| json("[]")).await;
    asks(&ca, &server, Tls::CaPem(ca.pem())).await.unwrap();
    for tls in [Tls::CaPem(other.pem()), Tls::SystemRoots] {
        let error = asks(&ca, &server, tls).await.unwrap_err();
        let Error::Tls { problem: TlsProblem::Untrusted { .. }, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(error.is_not_sent());
    }
    assert_eq!(server.count(), 1, "the token reached nobody who was not trusted");
}

#[tokio::test]
async fn the_ca_may_be_a_file() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| json("[]")).await;
    let path = std::env::temp_dir().join(format!("gantry-ca-{}.pem", std::process::id()));
    std::fs::write(&path, ca.pem()).unwrap();
    asks(&ca, &server, Tls::CaFile(path.clone())).await.unwrap();
    std::fs::write(&path, "not a certificate").unwrap();
    let mut config = config(&ca, &[&server]);
    config.tls = Tls::CaFile(path.clone());
    assert!(matches!(Client::new(config), Err(Error::Config { .. })));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_and_a_changed_one_is_named() {
    let ca = Ca::new();
    let (server, before) =
        (Server::start(&ca, |_| json("[]")).await, Server::start(&ca, |_| json("[]")).await);
    asks(&ca, &server, Tls::Fingerprint(vec![before.fingerprint, server.fingerprint]))
        .await
        .unwrap();
    let error = asks(&ca, &server, Tls::Fingerprint(vec![before.fingerprint])).await.unwrap_err();
    let expected = Error::Tls {
        endpoint: format!("127.0.0.1:{}", server.port),
        problem: TlsProblem::Fingerprint {
            expected: vec![before.fingerprint.to_string()],
            got: server.fingerprint.to_string(),
        },
    };
    assert_eq!(error, expected);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn insecure_trusts_anybody_and_says_so() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = Server::start(&ca, |_| json("[]")).await;
    asks(&other, &server, Tls::Insecure).await.unwrap();
    let mut config = config(&ca, &[&server]);
    assert!(!Client::new(config.clone()).unwrap().is_insecure());
    config.proxy = Some("http://user:hunter2@proxy.example:3128".parse().unwrap());
    assert!(!format!("{config:?}").contains("hunter2"));
    config.proxy = None;
    config.tls = Tls::Insecure;
    let client = Client::new(config).unwrap();
    assert!(client.is_insecure() && client.health().insecure);
}

#[test]
fn fingerprints_are_read_as_proxmox_and_openssl_print_them() {
    let plain = "0a".repeat(32);
    let colons = vec!["0A"; 32].join(":");
    let a: Fingerprint = plain.parse().unwrap();
    assert_eq!(a, colons.parse().unwrap());
    assert_eq!(a.to_string(), colons);
    for bad in ["", "0a", "zz", &plain[2..], &format!("{plain}00")] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn endpoints_that_would_leak_the_token_are_refused() {
    let ca = Ca::new();
    let server = Server::start(&ca, |_| json("[]")).await;
    for bad in ["http://127.0.0.1:8006", "https://u:p@127.0.0.1", "https://127.0.0.1/?a=b"] {
        let mut config = config(&ca, &[&server]);
        config.endpoints = vec![bad.parse().unwrap()];
        assert!(matches!(Client::new(config), Err(Error::Config { .. })), "{bad}");
    }
    let mut config = config(&ca, &[&server]);
    config.token_id = "root@pam".to_owned();
    assert!(matches!(Client::new(config), Err(Error::Config { .. })));
}
