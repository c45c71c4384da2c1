//! What goes wrong between gantry and a node: keys, cuts, silence, crowds. Each error says whether something may have
//! been carried out.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use gantry_nodeshell::{Advice, BridgeSetting, Command, Error, HealthCheck, NodeShell};

use crate::net::{Mood, Proxy};
use crate::yard::{Yard, free_port, node, word};

fn health(argument: &str) -> HealthCheck {
    HealthCheck::new(word("healthcheck"), vec![word(argument)], 60).unwrap()
}

/// A node shell that reaches sshd through the proxy.
fn through(yard: &Yard, proxy: &Proxy) -> NodeShell {
    let mut config = yard.config();
    config.nodes = BTreeMap::from([(node(), yard.address(proxy.port))]);
    NodeShell::new(config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_let_in_is_refused_and_not_tried_again_at_once() {
    let Some(yard) = Yard::new() else { return };
    let proxy = Proxy::to(yard.port).await;
    let mut config = yard.config();
    config.nodes = BTreeMap::from([(node(), yard.address(proxy.port))]);
    config.private_key = secrecy::Secret::new(yard.read("other"));
    let shell = NodeShell::new(config).unwrap();
    for _ in 0..3 {
        let error = shell.probe(&node()).await.unwrap_err();
        assert!(matches!(error, Error::Auth { .. }), "{error:?}");
        assert_eq!(error.advice(), Advice::GiveUp);
        assert!(error.is_not_sent());
    }
    assert_eq!(proxy.accepted(), 1, "a refused key was offered again at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_is_refused_with_both_fingerprints_and_nothing_is_sent() {
    let Some(mut yard) = Yard::new() else { return };
    let proxy = Proxy::to(yard.port).await;
    let shell = through(&yard, &proxy);
    shell.probe(&node()).await.unwrap();
    let (pinned, log) = (yard.host_key().fingerprint(), yard.read("log"));

    // The node is set up anew, or somebody else answers at its address.
    proxy.set(Mood::Cut);
    yard.stop();
    yard.make_key("host");
    yard.start();
    proxy.set(Mood::Pass);
    let shown = yard.host_key().fingerprint();
    assert_ne!(pinned, shown);

    let before = proxy.accepted();
    let mut refused = 0;
    // The connection that was cut may be noticed with the first command only.
    for _ in 0..4 {
        let error =
            shell.set_bridge(&node(), word("vmbr1"), BridgeSetting::Stp, true).await.unwrap_err();
        if let Error::HostKey { expected, got, .. } = &error {
            assert_eq!((expected.as_slice(), got), (&[pinned.clone()][..], &shown));
            assert_eq!(error.advice(), Advice::GiveUp);
            let text = error.to_string();
            assert!(text.contains(&pinned) && text.contains(&shown), "{text}");
            refused += 1;
        }
    }
    assert!(refused >= 3, "{refused}");
    assert_eq!(proxy.accepted(), before + 1, "a node with a wrong key was dialled again");
    assert_eq!(yard.read("log"), log, "something was sent to a node with a wrong key");

    // An operator who has looked says so; the key is still wrong.
    shell.wake(&node());
    assert!(matches!(shell.probe(&node()).await, Err(Error::HostKey { .. })));
    assert_eq!(proxy.accepted(), before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_mid_command_leaves_the_outcome_open_and_the_next_command_works() {
    let Some(yard) = Yard::new() else { return };
    yard.write("guests/201", "status: running\n");
    yard.net.sh(&format!("mkfifo {0}/go {0}/there", yard.dir.path().display()));
    let proxy = Proxy::to(yard.port).await;
    let shell = through(&yard, &proxy);
    let there = yard.path("there");
    let begun = tokio::task::spawn_blocking(move || std::fs::read_to_string(there).unwrap());
    let cut = async {
        assert_eq!(begun.await.unwrap(), "here\n");
        proxy.set(Mood::Cut);
    };
    let target = node();
    let (ended, ()) = tokio::join!(shell.check_health(&target, word("201"), health("block")), cut);
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::AnswerLost { write: true, .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::Probe);
    assert!(!error.is_not_sent());

    proxy.set(Mood::Pass);
    shell.probe(&node()).await.unwrap();
    // It was carried out all the same: that is why nobody may send it again without looking.
    std::fs::OpenOptions::new()
        .write(true)
        .open(yard.path("go"))
        .unwrap()
        .write_all(b"on\n")
        .unwrap();
    let asked = yard.read("pct.log").lines().filter(|l| l.contains("<exec>")).count();
    assert_eq!(asked, 1, "the command was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_may_be_tried_again() {
    let Some(yard) = Yard::new() else { return };
    let mut config = yard.config();
    config.nodes = BTreeMap::from([(node(), yard.address(free_port()))]);
    let shell = NodeShell::new(config).unwrap();
    let error = shell.unlock(&node(), word("201")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(matches!(error.advice(), Advice::RetryAfter(_)) && error.is_not_sent());
    // For a while nobody knocks again; the reason is still told.
    let error = shell.unlock(&node(), word("201")).await.unwrap_err();
    let Error::Resting { why, .. } = &error else { panic!("{error:?}") };
    assert_eq!(why, "connection refused");
    assert!(matches!(error.advice(), Advice::RetryAfter(_)) && error.is_not_sent());
    let error = shell.probe(&word("pve9")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownNode { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_commands_at_once_share_one_connection_and_all_come_back() {
    let Some(yard) = Yard::new() else { return };
    let proxy = Proxy::to(yard.port).await;
    let shell = through(&yard, &proxy);
    let target = node();
    let all = join_all((0..40).map(|_| shell.probe(&target))).await;
    for probe in all {
        assert!(probe.unwrap().is_current());
    }
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_says_nothing_slows_no_other_node() {
    let Some(yard) = Yard::new() else { return };
    let proxy = Proxy::to(yard.port).await;
    proxy.set(Mood::Stall);
    let slow = word("pve2");
    let mut config = yard.config();
    config.nodes.insert(word("pve2"), yard.address(proxy.port));
    config.deadlines.connect = Duration::from_secs(5);
    let shell = NodeShell::new(config).unwrap();
    let target = node();
    let stuck = async {
        let began = Instant::now();
        let error = shell.probe(&slow).await.unwrap_err();
        (error, began.elapsed())
    };
    tokio::pin!(stuck);
    // While pve2 keeps silent, pve1 answers: the stalled future must still be waiting.
    for _ in 0..3 {
        tokio::select! {
            biased;
            over = &mut stuck => panic!("the silent node was given up early: {over:?}"),
            probe = shell.probe(&target) => { probe.unwrap(); }
        }
    }
    let (error, took) = stuck.await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(matches!(shell.probe(&slow).await, Err(Error::Resting { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_is_given_up_with_its_outcome_open() {
    let Some(yard) = Yard::new() else { return };
    yard.authorize("sleep 30");
    let mut config = yard.config();
    config.deadlines.command = Duration::from_millis(300);
    let shell = NodeShell::new(config).unwrap();
    let error = shell.unlock(&node(), word("201")).await.unwrap_err();
    assert!(matches!(error, Error::AnswerLost { write: true, .. }), "{error:?}");
    let error = shell.probe(&node()).await.unwrap_err();
    assert!(matches!(error.advice(), Advice::RetryAfter(_)), "a look may be repeated: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_instead_of_the_script_is_told_apart() {
    let Some(yard) = Yard::new() else { return };
    type Expected = fn(&Error) -> bool;
    let cases: [(&str, Expected); 5] = [
        ("head -c 3000000 /dev/zero", |e| matches!(e, Error::TooLarge { write: false, .. })),
        ("/usr/local/sbin/not-there", |e| matches!(e, Error::NotInstalled { .. })),
        ("echo hello", |e| matches!(e, Error::Decode { .. })),
        ("exit 70", |e| matches!(e, Error::Broken { .. })),
        ("kill -9 $$", |e| matches!(e, Error::AnswerLost { .. } | Error::Broken { .. })),
    ];
    for (command, expected) in cases {
        yard.authorize(command);
        let error = yard.shell().probe(&node()).await.unwrap_err();
        assert!(expected(&error), "{command}: {error:?}");
    }
    yard.authorize("exit 70");
    let error = yard.shell().unlock(&node(), word("201")).await.unwrap_err();
    assert_eq!(error.advice(), Advice::Probe);
    yard.authorize("exit 75");
    let error = yard.shell().unlock(&node(), word("201")).await.unwrap_err();
    assert!(matches!(error.advice(), Advice::RetryAfter(_)), "{error:?}");
}

#[test]
fn secrets_stay_out_of_sight() {
    let Some(yard) = Yard::new() else { return };
    let key = yard.read("user");
    let middle = key.lines().nth(2).unwrap().to_owned();
    let config = yard.config();
    assert!(!format!("{config:?}").contains(&middle));
    assert!(!format!("{:?}", NodeShell::new(config).unwrap()).contains(&middle));
    let mut broken = yard.config();
    broken.private_key = secrecy::Secret::new(key.replace(&middle, &middle[1..]));
    let error = NodeShell::new(broken).unwrap_err();
    assert!(!error.to_string().contains(&middle) && !format!("{error:?}").contains(&middle));
    assert_eq!(Command::Probe.line(), "gantry-node/1 probe");
}
