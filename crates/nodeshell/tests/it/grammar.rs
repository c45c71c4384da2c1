//! No word of any type can change how the script reads a line: 10^4 commands and 10^4 wild lines through the script's
//! own parser (`gantry-node check`), compared word by word.

use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use gantry_core::id::Vmid;
use gantry_nodeshell::{
    AppArmor, BridgeSetting, Command, Expected, Format, Forward, ForwardTable, HealthCheck,
    ImageRef, Interface, PortFlag, Program, SCRIPT, Seccomp, StorageName, TemplateName, Volume,
    Word,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRng, TestRunner};

const CASES: usize = 10_000;

/// What the script's parser says of each line.
fn verdicts(lines: &[String]) -> Vec<String> {
    let mut script = tempfile::NamedTempFile::new().unwrap();
    script.write_all(SCRIPT.as_bytes()).unwrap();
    let mut child = Process::new("sh")
        .arg(script.path())
        .arg("check")
        .env_remove("SSH_CONNECTION")
        .env_remove("SSH_ORIGINAL_COMMAND")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let said: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(said.len(), lines.len());
    said
}

/// Words near the grammars: what a shell would read stands between what is allowed.
fn near() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z][a-zA-Z0-9._-]{0,14}",
        4 => "[a-z][a-z0-9-]{0,9}:[a-z0-9]{1,6}(/[a-zA-Z0-9._+-]{1,12}){0,2}",
        3 => "[a-z]{1,8}\\.[a-z]{2,3}(:[1-9][0-9]{0,4})?/[a-z0-9]{1,8}(:[a-z0-9.]{1,6})?",
        3 => "[a-zA-Z0-9._/:=@,+%-]{1,24}",
        2 => "[ -~]{0,16}",
        1 => any::<String>().prop_map(|s| s.chars().take(12).collect()),
    ]
}

/// A word of a type, made from whatever comes until one is taken.
fn typed<T: std::str::FromStr + std::fmt::Debug>() -> impl Strategy<Value = T> {
    near().prop_filter_map("not a word of this type", |text| text.parse::<T>().ok())
}

fn forward() -> impl Strategy<Value = Forward> {
    let address = (any::<bool>(), any::<u128>());
    (any::<bool>(), any::<bool>(), 1..=u16::MAX, address, any::<u32>(), 1..=u16::MAX)
        .prop_filter_map("not a forward", |(tcp, any, port, (six, bits), other, to)| {
            let protocol = if tcp { "tcp" } else { "udp" };
            // Half of the IPv6 addresses have long runs of zeros, so that every way of shortening comes up.
            let bits = if bits % 2 == 0 { bits & (u128::MAX << 80 | 0xffff) } else { bits };
            let (family, target, listen) = if six {
                let low = std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(other));
                let target = std::net::Ipv6Addr::from(bits >> 8 | 0xfd_u128 << 120);
                ("ipv6", target.to_string(), low.to_string())
            } else {
                let low = std::net::Ipv4Addr::from(bits as u32);
                ("ipv4", low.to_string(), std::net::Ipv4Addr::from(other).to_string())
            };
            let listen = if any { "any".to_owned() } else { listen };
            format!("{protocol},{family},{listen},{port},{target},{to}").parse().ok()
        })
}

fn command() -> impl Strategy<Value = Command> {
    let vmid = || (100_u32..=999_999_999).prop_map(|n| Vmid::try_from(n).unwrap());
    let format = || prop_oneof![Just(Format::Raw), Just(Format::Qcow2)];
    let setting = prop_oneof![
        Just(BridgeSetting::Stp),
        Just(BridgeSetting::McastSnooping),
        Just(BridgeSetting::VlanFiltering)
    ];
    let flag =
        prop_oneof![Just(PortFlag::Isolated), Just(PortFlag::Learning), Just(PortFlag::Flood)];
    let armor =
        prop_oneof![Just(AppArmor::Default), Just(AppArmor::Nesting), Just(AppArmor::Unconfined)];
    let filter = prop_oneof![Just(Seccomp::Default), Just(Seccomp::Common)];
    prop_oneof![
        Just(Command::Probe),
        typed::<Interface>().prop_map(Command::BridgeShow),
        (typed(), setting, any::<bool>()).prop_map(|(b, s, on)| Command::BridgeSet(b, s, on)),
        (typed(), typed(), flag, any::<bool>())
            .prop_map(|(b, p, f, on)| Command::PortSet(b, p, f, on)),
        prop::collection::vec(forward(), 0..6).prop_filter_map("conflict", |all| {
            let table = ForwardTable::new(all).ok()?;
            Some(Command::ForwardApply(Expected::Generation(table.generation()), table))
        }),
        (vmid(), typed::<Program>(), prop::collection::vec(typed::<Word>(), 0..31), 1_u8..=60)
            .prop_map(|(v, p, w, s)| Command::Exec(v, HealthCheck::new(p, w, s).unwrap())),
        vmid().prop_map(Command::Unlock),
        (vmid(), armor, filter).prop_map(|(v, a, s)| Command::LxcProfile(v, a, s)),
        (typed::<Volume>(), format()).prop_map(|(v, f)| Command::ImageInfo(v, f)),
        (typed(), format(), typed(), format())
            .prop_map(|(s, a, t, b)| Command::ImageConvert(s, a, t, b)),
        (typed::<ImageRef>(), typed::<StorageName>(), typed::<TemplateName>())
            .prop_map(|(r, s, n)| Command::ImageCopy(r, s, n)),
        typed::<Volume>().prop_map(Command::ImageChecksum),
    ]
}

fn runner() -> TestRunner {
    let config = Config {
        max_global_rejects: 10_000_000,
        max_local_rejects: 10_000_000,
        ..Config::default()
    };
    let seed = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, seed)
}

#[test]
fn the_twin_takes_the_lines_that_the_script_takes() {
    let (mut runner, commands, words) = (runner(), command(), prop::collection::vec(near(), 0..6));
    let verbs = [
        "bridge-set",
        "exec 100 5 --",
        "image-info",
        "image-copy",
        "forward-apply any 0123456789abcdef",
        "",
    ];
    let lines: Vec<String> = (0..CASES)
        .map(|n| {
            if n % 2 == 0 {
                return commands.new_tree(&mut runner).unwrap().current().line();
            }
            let words = words.new_tree(&mut runner).unwrap().current();
            format!("gantry-node/1 {} {}", verbs[n / 2 % verbs.len()], words.join(" "))
        })
        .map(|line| line.replace(['\n', '\0'], "\r"))
        .collect();
    for (line, said) in lines.iter().zip(verdicts(&lines)) {
        let taken = proxmox_twin::takes_line(line);
        assert_eq!(taken.is_ok(), said.starts_with("taken"), "{line:?}: {said}, {taken:?}");
    }
}

fn words_of(line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(|w| format!("<{w}>")).collect();
    format!("taken {} {}", words.len(), words.join(" "))
}

#[test]
fn every_command_arrives_word_for_word() {
    let (mut runner, commands) = (runner(), command());
    let lines: Vec<String> =
        (0..CASES).map(|_| commands.new_tree(&mut runner).unwrap().current().line()).collect();
    for (line, said) in lines.iter().zip(verdicts(&lines)) {
        assert_eq!(said, words_of(line));
    }
}

#[test]
fn a_wild_line_is_refused_or_made_of_harmless_words() {
    let (mut runner, words) = (runner(), prop::collection::vec(near(), 0..6));
    let verbs = [
        "probe",
        "bridge-show",
        "bridge-set",
        "exec 100 5 --",
        "image-info",
        "image-copy",
        "image-checksum",
        "forward-apply any 0123456789abcdef",
        "unlock",
        "",
    ];
    let lines: Vec<String> = (0..CASES)
        .map(|n| {
            let words = words.new_tree(&mut runner).unwrap().current();
            format!("gantry-node/1 {} {}", verbs[n % verbs.len()], words.join(" "))
        })
        // A line is a line here; that a line break is refused is shown through sshd.
        .map(|line| line.replace(['\n', '\0'], "\r"))
        .collect();
    let mut taken = 0;
    for (line, said) in lines.iter().zip(verdicts(&lines)) {
        if said.starts_with("taken") {
            taken += 1;
            assert_eq!(said, words_of(line), "read in another way than it was written");
            let harmless = |c: char| c.is_ascii_alphanumeric() || " ._/:=@,+%-".contains(c);
            assert!(line.chars().all(harmless), "{line:?}");
        }
    }
    assert!(
        taken > CASES / 50,
        "only {taken} were taken: the wild lines are too wild to say anything"
    );
}
