//! Who comes in, and with what: every command of the list through the real sshd, everything else refused by it.

use gantry_nodeshell::{
    AppArmor, BridgeSetting, Command, Error, Expected, Format, ForwardTable, HealthCheck, PROTOCOL,
    PortFlag, Seccomp,
};

use crate::yard::{Yard, node, word};

fn every_command() -> Vec<Command> {
    let check = HealthCheck::new(word("healthcheck"), vec![word("a=1,b:%2")], 5).unwrap();
    vec![
        Command::Probe,
        Command::BridgeShow(word("vmbr9")),
        Command::BridgeSet(word("vmbr9"), BridgeSetting::Stp, true),
        Command::PortSet(word("vmbr9"), word("veth1"), PortFlag::Isolated, true),
        Command::ForwardList,
        Command::ForwardApply(Expected::Any, ForwardTable::default()),
        Command::Exec(word("201"), check),
        Command::Unlock(word("201")),
        Command::LxcProfile(word("201"), AppArmor::Nesting, Seccomp::Common),
        Command::ImageInfo(word("local:100/a.raw"), Format::Raw),
        Command::ImageConvert(
            word("local:100/a.raw"),
            Format::Raw,
            word("local:100/b.qcow2"),
            Format::Qcow2,
        ),
        Command::ImageCopy(word("127.0.0.1:9/tiny:1"), word("local"), word("tiny")),
        Command::ImageChecksum(word("local:100/a.raw")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_list_is_taken_by_the_script() {
    let Some(yard) = Yard::new() else { return };
    let shell = yard.shell();
    for command in every_command() {
        // Some find nothing to work on; none may be taken for something that is not in the list.
        let said = shell.run(&node(), &command, &mut |_| {}).await;
        assert!(
            matches!(said, Ok(_) | Err(Error::Failed { .. } | Error::Missing { .. })),
            "{}: {said:?}",
            command.line()
        );
    }
    let verbs: Vec<&str> = every_command().iter().map(Command::verb).collect();
    let log = yard.read("log");
    for verb in verbs {
        assert!(log.contains(&format!("what=\"{verb}")), "{verb} was not written down:\n{log}");
    }
    assert!(log.contains("from=127.0.0.1"), "{log}");
    assert!(!log.contains("a=1"), "words of a health check stand in the log:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_what_it_can_do() {
    let Some(yard) = Yard::new() else { return };
    let probe = yard.shell().probe(&node()).await.unwrap();
    assert_eq!(probe.protocol, PROTOCOL);
    assert!(probe.is_current(), "{probe:?}");
    assert!(probe.has("pct") && probe.has("ip"), "{probe:?}");
    assert!(!probe.forwards_ipv4 && !probe.boot_unit, "{probe:?}");
}

#[test]
fn what_is_not_in_the_list_is_refused_before_anything_is_done() {
    let Some(yard) = Yard::new() else { return };
    let mark = yard.path("mark").display().to_string();
    let mut lines = vec![
        "rm -rf /".to_owned(),
        "id".to_owned(),
        "sh".to_owned(),
        "gantry-node/1".to_owned(),
        "gantry-node/1 ".to_owned(),
        " gantry-node/1 probe".to_owned(),
        "gantry-node/1  probe".to_owned(),
        "gantry-node/2 probe".to_owned(),
        "gantry-node/1 probe extra".to_owned(),
        "gantry-node/1 restore".to_owned(),
        "gantry-node/1 eval id".to_owned(),
        format!("gantry-node/1 probe; touch {mark}"),
        format!("gantry-node/1 probe && touch {mark}"),
        format!("gantry-node/1 probe\ntouch {mark}"),
        format!("gantry-node/1 probe | touch {mark}"),
        format!("gantry-node/1 bridge-show $(touch {mark})"),
        format!("gantry-node/1 bridge-show `touch {mark}`"),
        format!("gantry-node/1 bridge-show 'vmbr0'"),
        format!("gantry-node/1 bridge-show \"vmbr0\""),
        "gantry-node/1 bridge-show vmbr0\\".to_owned(),
        "gantry-node/1 bridge-show vmbr*".to_owned(),
        "gantry-node/1 bridge-show ~".to_owned(),
        "gantry-node/1 bridge-show vmbr０".to_owned(),
        "gantry-node/1 bridge-show vmbr\u{a0}0".to_owned(),
        "gantry-node/1 bridge-show -h".to_owned(),
        "gantry-node/1\tprobe".to_owned(),
        "gantry-node/1 exec 201 5 -- sh\u{0b}-c".to_owned(),
        "gantry-node/1 image-info local:../../etc/shadow raw".to_owned(),
        "gantry-node/1 image-info local:/etc/shadow raw".to_owned(),
        "gantry-node/1 lxc-profile 201 apparmor=none seccomp=default".to_owned(),
        "gantry-node/1 forward-apply any 0123456789abcdef tcp,ipv4,any,22,10.0.0.5,22".to_owned(),
    ];
    lines.push(format!("gantry-node/1 bridge-show {}", "a".repeat(64 * 1024)));
    for line in &lines {
        let (status, out, error) = yard.ssh("user", &[], Some(line));
        let shown: String = line.chars().take(80).collect();
        assert_eq!(status, 64, "{shown:?}: {out}{error}");
        assert!(out.is_empty(), "{shown:?} answered {out}");
        assert!(error.starts_with("gantry-node: "), "{shown:?}: {error}");
    }
    // Somebody who wants a shell gets none either, with or without a terminal.
    assert_eq!(yard.ssh("user", &[], None).0, 64);
    let (status, out, _) = yard.ssh("user", &["-tt"], None);
    assert!(status != 0 && out.is_empty(), "{status} {out}");
    assert!(!yard.path("mark").exists(), "a line reached a shell");
    let log = yard.read("log");
    assert!(
        !log.contains("touch") && !log.contains("shadow"),
        "a refused line stands in the log:\n{log}"
    );
    assert_eq!(log.lines().filter(|l| l.contains("status=64")).count(), lines.len() + 1);
}

#[test]
fn a_caller_cannot_move_the_scripts_places_or_dig_tunnels() {
    let Some(yard) = Yard::new() else { return };
    let allow = "SetEnv=GANTRY_NODE_ETC=/tmp LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8";
    let (status, out, error) = yard.ssh("user", &["-o", allow], Some("gantry-node/1 probe"));
    assert_eq!(status, 0, "{error}");
    assert!(out.starts_with("version 1\n"), "{out}");
    let (status, ..) =
        yard.ssh("user", &["-o", allow], Some("gantry-node/1 bridge-show vmbr\u{e4}"));
    assert_eq!(status, 64);
    // A tunnel to sshd itself, which certainly listens.
    let tunnel = format!("127.0.0.1:{}", yard.port);
    let (status, out, _) = yard.ssh("user", &["-W", &tunnel], None);
    assert!(status != 0 && !out.contains("SSH-2.0"), "a tunnel was dug: {out}");
    let (status, out, _) = yard.ssh("user", &["-s"], Some("sftp"));
    assert!(status != 0 && out.is_empty(), "{out}");
    let (status, ..) = yard.ssh("other", &[], Some("gantry-node/1 probe"));
    assert_eq!(status, 255, "a key nobody let in");
}
