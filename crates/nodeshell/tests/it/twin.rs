//! The twin's SSH end held against the real one: the same lines to sshd with the shipped script and to the simulated
//! node, the same statuses and answers. What a test of the whole bot sees is what a node would say.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use gantry_nodeshell::{Config, Deadlines, NodeAddress, NodeShell};
use proxmox_twin::{GuestSpec, NodeMeddling, Options, Twin, World};
use secrecy::Secret;

use crate::yard::{Yard, able, node, word};

/// Facts of a machine that differ between two ends, and what stands in their place.
const PLACES: &[(&str, &str)] = &[("script ", "script …"), ("tool ", "tool …")];

/// Generations of the tables below, as `printf … | sort | sha256sum | cut -c 1-16` gives them.
fn generation(forwards: &[&str]) -> String {
    let all = forwards.iter().map(|f| f.parse().unwrap());
    gantry_nodeshell::ForwardTable::new(all).unwrap().generation().to_string()
}

/// The lines, in this order: what one leaves behind the next one finds.
fn lines() -> Vec<String> {
    let web = "tcp,ipv4,any,8080,10.9.0.5,80";
    let dns = "udp,ipv6,any,5353,fd09::5,53";
    let (none, one, two) = (generation(&[]), generation(&[web]), generation(&[dns, web]));
    let lines = [
        "probe".to_owned(),
        "bridge-show vmbr1".to_owned(),
        "bridge-show vmbr7".to_owned(),
        "bridge-set vmbr1 stp on".to_owned(),
        "bridge-set vmbr1 mcast-snooping off".to_owned(),
        "bridge-set vmbr7 stp on".to_owned(),
        "bridge-set vmbr1 stp maybe".to_owned(),
        "port-set vmbr1 veth201i0 isolated on".to_owned(),
        "port-set vmbr1 veth999i0 isolated on".to_owned(),
        "bridge-set vmbr1 stp off".to_owned(),
        "forward-list".to_owned(),
        format!("forward-apply none {one} {web}"),
        format!("forward-apply none {two} {dns} {web}"),
        format!("forward-apply {one} {two} {dns} {web}"),
        format!("forward-apply {one} {one} {web}"),
        format!("forward-apply any {one} {dns}"),
        format!("forward-apply any {one} tcp,ipv4,any,22,10.9.0.5,80"),
        format!("forward-apply any {one} {web} {web}"),
        "forward-list".to_owned(),
        format!("forward-apply {two} {none}"),
        "forward-list".to_owned(),
        "exec 201 5 -- healthcheck".to_owned(),
        "exec 201 5 -- sh -c id".to_owned(),
        "exec 202 5 -- true".to_owned(),
        "exec 203 5 -- true".to_owned(),
        "exec 201 61 -- true".to_owned(),
        "unlock 202".to_owned(),
        "unlock 202".to_owned(),
        "unlock 999".to_owned(),
        "lxc-profile 202 apparmor=nesting seccomp=common".to_owned(),
        "lxc-profile 202 apparmor=unconfined seccomp=default".to_owned(),
        "lxc-profile 202 apparmor=default seccomp=default".to_owned(),
        "lxc-profile 999 apparmor=default seccomp=default".to_owned(),
        "image-info nowhere:100/vm-100-disk-0.qcow2 qcow2".to_owned(),
        "image-info local:100/vm-100-disk-9.qcow2 qcow2".to_owned(),
        "image-checksum local:100/vm-100-disk-9.qcow2 sha256".to_owned(),
        "format-disk now".to_owned(),
    ];
    lines.into_iter().map(|l| format!("gantry-node/1 {l}")).collect()
}

/// What one end says, with what only this machine can say left out.
fn plain(status: i32, out: &str, err: &str) -> String {
    let mut text = format!("{status}\n");
    for line in out.lines().chain(err.lines()) {
        let shown = PLACES.iter().find(|(lead, _)| line.starts_with(lead)).map(|(_, to)| *to);
        match line.split_once(' ') {
            // Read as types below; there the kernel has more to say than anybody reads.
            Some(("bridge" | "ports" | "ruleset", _)) => {}
            Some(("boot-unit", _)) => {}
            _ => {
                let line = shown.unwrap_or(line);
                // The storage's own program says it, in words of its own.
                let line = line.split("storage 'nowhere'").next().unwrap_or(line);
                let line = line.split(": qemu-img").next().unwrap_or(line);
                if !text.ends_with(&format!("\n{line}\n")) {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// What `ssh` gets for a line at a port.
fn ask(yard: &Yard, key: &str, port: u16, line: &str) -> String {
    let mut ssh = Command::new("ssh");
    let out = ssh
        .args(["-q", "-T", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
        .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"])
        .arg(yard.path(key))
        .args(["-p", &port.to_string(), "root@127.0.0.1", "--", line])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = plain(out.status.code().unwrap_or(-1), &text(&out.stdout), &text(&out.stderr));
    // The yard's owner keeps files elsewhere.
    said.replace(&yard.path("etc").display().to_string(), "/etc/gantry-node")
}

/// A simulated node as the yard is: a bridge with one running guest, a locked one that is off.
async fn twin() -> Twin {
    let mut world = World::empty();
    world.guests = vec![
        GuestSpec::lxc(201, "web-0").on("pve1").set("net0", "name=eth0,bridge=vmbr1").running(),
        GuestSpec::lxc(202, "db-0").on("pve1").locked("backup"),
    ];
    let twin = Twin::start(Options::quick(world)).await.unwrap();
    twin.meddle_node(NodeMeddling::Exec { vmid: 201, status: Some(0), output: "well ".to_owned() });
    twin
}

fn set_up(yard: &Yard) {
    yard.net.sh(
        "ip link add vmbr1 type bridge; ip link set vmbr1 up; ip address add 10.20.0.11/24 dev vmbr1; ip link add veth201i0 type veth peer name inside; \
         ip link set veth201i0 master vmbr1; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
    );
    yard.write("guests/201", "status: running\n");
    yard.write("guests/202", "status: stopped\n");
    yard.write("pve/lxc/202.conf", "arch: amd64\nlock: backup\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_lines_get_the_same_answers() {
    let Some(yard) = Yard::new() else { return };
    if !able("GANTRY_REQUIRE_NETNS", &["nft", "ss", "sysctl", "ip", "bridge", "qemu-img"]) {
        return;
    }
    set_up(&yard);
    let twin = twin().await;
    yard.write("twin-key", &twin.shell_key());
    yard.net.sh(&format!("chmod 600 {}", yard.path("twin-key").display()));
    let port: u16 = twin.shells()[0].1.rsplit_once(':').unwrap().1.parse().unwrap();
    let (mut real, mut played) = (String::new(), String::new());
    for line in lines() {
        real.push_str(&format!("> {line}\n{}", ask(&yard, "user", yard.port, &line)));
        played.push_str(&format!("> {line}\n{}", ask(&yard, "twin-key", port, &line)));
    }
    if real != played {
        let differ = real.lines().zip(played.lines()).find(|(a, b)| a != b);
        panic!("the twin says otherwise, first at {differ:?}\nreal:\n{real}\nplayed:\n{played}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bridges_and_tables_read_the_same() {
    let Some(yard) = Yard::new() else { return };
    if !able("GANTRY_REQUIRE_NETNS", &["nft", "ss", "sysctl", "ip", "bridge"]) {
        return;
    }
    set_up(&yard);
    let twin = twin().await;
    let (name, address, key) = twin.shells().remove(0);
    let (host, port) = address.rsplit_once(':').unwrap();
    let end = NodeAddress {
        host: host.to_owned(),
        port: port.parse().unwrap(),
        host_keys: vec![key.parse().unwrap()],
    };
    let played = NodeShell::new(Config {
        nodes: BTreeMap::from([(word(&name), end)]),
        user: "root".to_owned(),
        private_key: Secret::new(twin.shell_key()),
        deadlines: Deadlines::default(),
    })
    .unwrap();
    let target = node();
    let mut seen = Vec::new();
    for shell in [yard.shell(), played] {
        let bridge = || word("vmbr1");
        let port = || word("veth201i0");
        use gantry_nodeshell::{BridgeSetting, Expected, PortFlag};
        shell.set_bridge(&target, bridge(), BridgeSetting::Stp, true).await.unwrap();
        shell.set_bridge(&target, bridge(), BridgeSetting::McastSnooping, false).await.unwrap();
        let state =
            shell.set_port(&target, bridge(), port(), PortFlag::Isolated, true).await.unwrap();
        let flags = state.port("veth201i0").cloned().unwrap();
        let table: Vec<_> = [
            "tcp,ipv4,any,8080,10.9.0.5,80",
            "tcp,ipv4,192.0.2.1,8081,10.9.0.5,80",
            "udp,ipv6,any,5353,fd09::5,53",
            "tcp,ipv6,2001:db8::1,443,fd09::5,8443",
        ]
        .map(|f| f.parse().unwrap())
        .into();
        let table = gantry_nodeshell::ForwardTable::new(table).unwrap();
        let applied = shell.apply_forwards(&target, Expected::Absent, table.clone()).await.unwrap();
        assert!(applied.is(&table), "{applied:?}");
        seen.push((
            (state.stp, state.mcast_snooping, state.mtu, state.kept),
            (flags.isolated, flags.learning, flags.flood),
            shell.forwards(&target).await.unwrap(),
        ));
    }
    assert_eq!(seen[0], seen[1]);
}
