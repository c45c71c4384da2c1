//! Port forwards, proven by TCP and UDP echo over IPv4 and IPv6 through the kernel's nftables.
//!
//! The node has an outside (192.0.2.0/24, 2001:db8::/64) with a client, and a bridge (10.9.0.0/24, fd09::/64) with two
//! guests that echo what they get, with their own name and the address it came from. The client has no route to the
//! guests unless a test gives it one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gantry_nodeshell::{Error, Expected, ForwardState, ForwardTable, LiveTable, NodeShell};

use crate::yard::{Guarded, Namespace, Yard, able, node};

const ECHO: &str = r#"
import socket, sys, threading
name, ports = sys.argv[1], [int(p) for p in sys.argv[2:]]
def stream(s):
    while True:
        c, peer = s.accept()
        c.sendall(f"{name} {peer[0]} ".encode() + c.recv(100))
        c.close()
def datagram(s):
    while True:
        data, peer = s.recvfrom(100)
        s.sendto(f"{name} {peer[0]} ".encode() + data, peer)
for port in ports:
    for family, address in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
        for kind, serve in (socket.SOCK_STREAM, stream), (socket.SOCK_DGRAM, datagram):
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, port))
            if kind == socket.SOCK_STREAM:
                s.listen(20)
            threading.Thread(target=serve, args=(s,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"#;

/// Reads `tcp|udp address port seconds`, answers what came back, or `-`.
const CLIENT: &str = r#"
import socket, sys
for line in sys.stdin:
    kind, address, port, seconds = line.split()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(float(seconds))
    try:
        s.connect((address, int(port)))
        s.send(b"hello")
        print(s.recv(200).decode() or "-", flush=True)
    except OSError:
        print("-", flush=True)
    s.close()
"#;

/// Seconds an answer may take on a loaded machine.
const PATIENCE: &str = "10";
/// Seconds of silence that are taken for silence.
const SILENCE: &str = "0.7";

/// Somebody who connects from a namespace.
struct Client {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Client {
    fn new(place: &Namespace) -> Self {
        let mut child = Command::new("nsenter")
            .args(["-t", &place.pid().to_string(), "-n", "/usr/bin/python3", "-c", CLIENT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from: BufReader::new(from) }
    }

    fn ask(&mut self, what: &str, seconds: &str) -> String {
        writeln!(self.to, "{what} {seconds}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Expects this answer: who answered, and whom it saw.
    fn hears(&mut self, what: &str, answer: &str) {
        assert_eq!(self.ask(what, PATIENCE), format!("{answer} hello"), "{what}");
    }

    fn hears_nothing(&mut self, what: &str) {
        assert_eq!(self.ask(what, SILENCE), "-", "{what}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Town {
    yard: Yard,
    shell: NodeShell,
    outside: Namespace,
    five: Namespace,
    six: Namespace,
    _echoes: Vec<Guarded>,
}

impl Town {
    fn new() -> Option<Self> {
        let tools = ["nft", "ss", "ip", "python3", "sysctl"];
        if !able("GANTRY_REQUIRE_NETNS", &tools) {
            return None;
        }
        let yard = Yard::new()?;
        let outside = Namespace::new();
        yard.net.cable("out", &outside, "eth0");
        yard.net.sh("ip address add 192.0.2.1/24 dev out; ip address add 192.0.2.9/24 dev out
             ip address add 2001:db8::1/64 dev out nodad
             ip link add vmbr1 type bridge; ip link set vmbr1 up
             ip address add 10.9.0.1/24 dev vmbr1; ip address add fd09::1/64 dev vmbr1 nodad
             sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        outside.sh(
            "ip address add 192.0.2.2/24 dev eth0; ip address add 2001:db8::2/64 dev eth0 nodad",
        );
        let guest = |n: u32| {
            let guest = Namespace::new();
            yard.net.cable(&format!("veth{n}"), &guest, "eth0");
            yard.net.sh(&format!("ip link set veth{n} master vmbr1"));
            guest.sh(&format!(
                "ip address add 10.9.0.{n}/24 dev eth0; ip address add fd09::{n}/64 dev eth0 nodad
                 ip route add default via 10.9.0.1; ip -6 route add default via fd09::1"
            ));
            guest
        };
        let (five, six) = (guest(5), guest(6));
        let echo = |place: &Namespace, name: &str, ports: &str| {
            let mut echo = Guarded::sh(
                "exec nsenter -t \"$1\" -n /usr/bin/python3 -c \"$2\" \"$3\" $4",
                &[&place.pid().to_string(), ECHO, name, ports],
            );
            assert!(echo.says("ready"), "no echo");
            echo
        };
        let echoes = vec![echo(&five, "five", "80 53"), echo(&six, "six", "80 8080")];
        let shell = yard.shell();
        Some(Self { yard, shell, outside, five, six, _echoes: echoes })
    }

    async fn apply(&self, lines: &[&str]) -> Result<ForwardState, Error> {
        self.shell.apply_forwards(&node(), Expected::Any, table(lines)).await
    }

    async fn state(&self) -> ForwardState {
        self.shell.forwards(&node()).await.unwrap()
    }
}

fn table(lines: &[&str]) -> ForwardTable {
    ForwardTable::new(lines.iter().map(|l| l.parse().unwrap())).unwrap()
}

const ALL: &[&str] = &[
    "tcp,ipv4,any,8080,10.9.0.5,80",
    "udp,ipv4,any,5353,10.9.0.5,53",
    "tcp,ipv6,any,8080,fd09::5,80",
    "udp,ipv6,any,5353,fd09::5,53",
];

#[tokio::test(flavor = "multi_thread")]
async fn tcp_and_udp_are_forwarded_over_ipv4_and_ipv6_and_guests_see_who_comes() {
    let Some(town) = Town::new() else { return };
    let mut client = Client::new(&town.outside);
    assert_eq!(town.state().await.live, LiveTable::Absent);
    client.hears_nothing("tcp 192.0.2.1 8080");

    let now = town.apply(ALL).await.unwrap();
    assert!(now.is(&table(ALL)), "{now:?}");
    client.hears("tcp 192.0.2.1 8080", "five 192.0.2.2");
    client.hears("udp 192.0.2.1 5353", "five 192.0.2.2");
    client.hears("tcp 2001:db8::1 8080", "five 2001:db8::2");
    client.hears("udp 2001:db8::1 5353", "five 2001:db8::2");
    client.hears_nothing("tcp 192.0.2.1 8081");

    // A neighbour, the guest itself and the node reach it by the node's address as well; replies come back because
    // the node steps in between. With bridge netfilter on, as pve-firewall has it, the neighbour's way is another one
    // through the kernel, and a guest does not reach itself: a bridge gives no frame back to the port it came from.
    for value in [1, 0] {
        let names = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"];
        for name in names {
            if let Err(error) =
                town.yard.net.try_sh(&format!("sysctl -qw net.bridge.{name}={value}"))
            {
                eprintln!("\n!!!!!! {name}={value} is NOT TESTED: {error}\n");
            }
        }
        Client::new(&town.six).hears("tcp 192.0.2.1 8080", "five 10.9.0.1");
        Client::new(&town.six).hears("udp 2001:db8::1 5353", "five fd09::1");
    }
    Client::new(&town.five).hears("tcp 10.9.0.1 8080", "five 10.9.0.1");
    Client::new(&town.five).hears("tcp 2001:db8::1 8080", "five fd09::1");
    let mut on_node = Client::new(&town.yard.net);
    on_node.hears("tcp 192.0.2.1 8080", "five 10.9.0.1");
    on_node.hears("udp 192.0.2.1 5353", "five 10.9.0.1");
    on_node.hears("tcp 2001:db8::1 8080", "five fd09::1");
    // Loopback is the node's own.
    on_node.hears_nothing("tcp 127.0.0.1 8080");

    // Traffic that only passes through is nobody's forward.
    town.outside.sh("ip route add 10.9.0.0/24 via 192.0.2.1");
    client.hears("tcp 10.9.0.6 8080", "six 192.0.2.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_goes_before_any_and_what_is_removed_ends() {
    let Some(town) = Town::new() else { return };
    let mut client = Client::new(&town.outside);
    let both = ["tcp,ipv4,any,8080,10.9.0.5,80", "tcp,ipv4,192.0.2.9,8080,10.9.0.6,80"];
    let first = town.apply(&both).await.unwrap();
    client.hears("tcp 192.0.2.1 8080", "five 192.0.2.2");
    client.hears("tcp 192.0.2.9 8080", "six 192.0.2.2");

    // The same again, in another order, is the same.
    let again = town.apply(&[both[1], both[0]]).await.unwrap();
    assert_eq!(first, again);
    assert!(again.is(&table(&both)));

    let less = town.apply(&both[1..]).await.unwrap();
    assert!(less.is(&table(&both[1..])) && !less.is(&table(&both)));
    client.hears_nothing("tcp 192.0.2.1 8080");
    client.hears("tcp 192.0.2.9 8080", "six 192.0.2.2");

    let none = town.apply(&[]).await.unwrap();
    assert!(none.is(&ForwardTable::default()), "{none:?}");
    client.hears_nothing("tcp 192.0.2.9 8080");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let Some(town) = Town::new() else { return };
    let (shell, target) = (&town.shell, node());
    let mine = town.apply(&ALL[..1]).await.unwrap();
    let unchanged = || async { assert_eq!(town.state().await, mine) };

    // Somebody else was quicker.
    let stale = Expected::Generation(table(&ALL[..2]).generation());
    let error = shell.apply_forwards(&target, stale, table(ALL)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    let error = shell.apply_forwards(&target, Expected::Absent, table(ALL)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    unchanged().await;

    // A program of the node listens there.
    let mut busy = Guarded::sh(
        "exec nsenter -t \"$1\" -n /usr/bin/python3 -c \"$2\" node 7777",
        &[&town.yard.net.pid().to_string(), ECHO],
    );
    assert!(busy.says("ready"));
    for line in ["tcp,ipv4,any,7777,10.9.0.5,80", "udp,ipv6,2001:db8::1,7777,fd09::5,53"] {
        let error = town.apply(&[ALL[0], line]).await.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
        assert!(error.to_string().contains("7777"), "{error}");
    }
    unchanged().await;

    // The kernel refuses the last line of the transaction: nothing of the rest is in force either.
    let nft = "#!/bin/sh\nif [ \"$1\" = -f ]; then { cat \"$2\"; echo 'add rule inet gantry nowhere accept'; } >\"$2.bad\"; exec /usr/sbin/nft -f \"$2.bad\"; fi\nexec /usr/sbin/nft \"$@\"\n";
    town.yard.write("bin/nft", nft);
    town.yard.net.sh(&format!("chmod 755 {}", town.yard.path("bin/nft").display()));
    let error = town.apply(ALL).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    std::fs::remove_file(town.yard.path("bin/nft")).unwrap();
    unchanged().await;
    Client::new(&town.outside).hears("tcp 192.0.2.1 8080", "five 192.0.2.2");

    // Forwarding is the owner's to switch on.
    town.yard.net.sh("sysctl -qw net.ipv6.conf.all.forwarding=0");
    let error = town.apply(ALL).await.unwrap_err();
    assert!(error.to_string().contains("forwarding of ipv6 is off"), "{error}");
    let state = town.state().await;
    assert!(state.forwards_ipv4 && !state.forwards_ipv6);
    assert!(state.is(&table(&ALL[..1])));

    // Straight to the script, without the types: two at one place, a port of the node, a wrong generation.
    let generation = table(&ALL[..1]).generation();
    for forwards in [
        "tcp,ipv4,any,80,10.9.0.5,80 tcp,ipv4,any,80,10.9.0.6,80",
        "tcp,ipv4,any,8006,10.9.0.5,80",
        "tcp,ipv4,any,80,127.0.0.1,80",
        "tcp,ipv4,any,80,10.9.0.5,81",
    ] {
        let line = format!("gantry-node/1 forward-apply any {generation} {forwards}");
        assert_eq!(town.yard.ssh("user", &[], Some(&line)).0, 64, "{forwards}");
    }
    assert!(town.state().await.is(&table(&ALL[..1])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_change_is_seen_and_a_restart_puts_everything_back() {
    let Some(town) = Town::new() else { return };
    let mut client = Client::new(&town.outside);
    town.apply(ALL).await.unwrap();

    town.yard.net.sh("nft add element inet gantry any4 '{ tcp . 9999 : 10.9.0.6 . 80 }'");
    let state = town.state().await;
    assert!(!state.untouched && !state.is(&table(ALL)));
    assert_eq!(state.table().unwrap().len(), ALL.len() + 1, "the kernel's truth, not the file's");
    client.hears("tcp 192.0.2.1 9999", "six 192.0.2.2");
    assert!(town.apply(ALL).await.unwrap().is(&table(ALL)));
    client.hears_nothing("tcp 192.0.2.1 9999");

    // A rule changed behind our back, the maps as they were.
    town.yard.net.sh("nft insert rule inet gantry pre tcp dport 8080 accept");
    let state = town.state().await;
    assert!(!state.untouched && state.table() == Some(&table(ALL)));

    // The node starts anew.
    town.yard.net.sh("nft flush ruleset");
    let state = town.state().await;
    assert_eq!(state.live, LiveTable::Absent);
    assert_eq!(state.kept, Some(table(ALL).generation()));
    client.hears_nothing("tcp 192.0.2.1 8080");
    let (ok, _, said) = town.yard.by_hand("restore", "");
    assert!(ok, "{said}");
    assert!(town.state().await.is(&table(ALL)));
    client.hears("tcp 192.0.2.1 8080", "five 192.0.2.2");
    client.hears("udp 2001:db8::1 5353", "five 2001:db8::2");

    // Somebody else's table of our name is not taken for ours.
    town.yard.net.sh("nft flush ruleset; nft add table inet gantry");
    assert_eq!(town.state().await.live, LiveTable::Foreign);

    // A file that was tampered with puts nothing back.
    town.yard.write("state/forwards", "tcp,ipv4,any,80,10.9.0.5,80\nflush ruleset\n");
    let (ok, _, said) = town.yard.by_hand("restore", "");
    assert!(!ok && said.contains("no forward was put back"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_led_to_an_address_that_the_node_has_itself() {
    let Some(town) = Town::new() else { return };
    // As a lease, a shared address or a gateway of the SDN gives it one: in no configuration.
    town.yard.net.sh("ip address add 10.9.0.77/24 dev vmbr1");
    let mine = town.apply(&ALL[..1]).await.unwrap();
    for told in ["10.9.0.77", "10.9.0.1", "fd09::1", "192.0.2.9"] {
        assert!(
            mine.local.contains(&told.parse().unwrap()),
            "{told} is not told: {:?}",
            mine.local
        );
    }
    for line in [
        "tcp,ipv4,any,9022,10.9.0.77,22",
        "tcp,ipv4,any,9022,10.9.0.1,22",
        "tcp,ipv6,any,9022,fd09::1,22",
    ] {
        let error = town.apply(&[ALL[0], line]).await.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
        assert!(error.to_string().contains("an address of this node"), "{error}");
        assert_eq!(town.state().await, mine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_could_not_be_written_down_is_not_taken_for_somebody_elses() {
    let Some(town) = Town::new() else { return };
    let files = ["forwards", "forwards.generation", "forwards.seal"];
    town.apply(&ALL[..1]).await.unwrap();
    let read =
        |file: &str| std::fs::read_to_string(town.yard.path(&format!("state/{file}"))).unwrap();
    let before: Vec<String> = files.iter().map(|f| read(f)).collect();
    town.apply(ALL).await.unwrap();
    // Killed, or the disk full, between putting it in force and writing it down.
    for (file, text) in files.iter().zip(&before) {
        town.yard.write(&format!("state/{file}"), text);
    }
    let state = town.state().await;
    assert!(!state.untouched && !state.is(&table(ALL)), "it is not kept for the next start");
    assert!(state.is_broken_off());
    let LiveTable::Ours { generation, .. } = state.live else { panic!("{:?}", state.live) };
    let again =
        town.shell.apply_forwards(&node(), Expected::Generation(generation), table(ALL)).await;
    assert!(again.unwrap().is(&table(ALL)));
    // What somebody has put into it is somebody's, whatever was written down.
    for (file, text) in files.iter().zip(&before) {
        town.yard.write(&format!("state/{file}"), text);
    }
    town.yard.net.sh("nft add element inet gantry any4 '{ tcp . 9999 : 10.9.0.6 . 80 }'");
    assert!(!town.state().await.is_broken_off());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_waits_for_a_change_that_is_under_way() {
    let Some(town) = Town::new() else { return };
    town.apply(&ALL[..1]).await.unwrap();
    let lock = town.yard.path("state/locks/change");
    let mut holds = Guarded::sh(
        "exec 9<>\"$1\"; flock -x 9; echo holds; exec sleep 60",
        &[&lock.display().to_string()],
    );
    assert!(holds.says("holds"));
    let busy = town.shell.forwards(&node()).await.unwrap_err();
    assert!(busy.to_string().contains("under way"), "{busy}");
    drop(holds);
    assert!(town.state().await.is(&table(&ALL[..1])));
}
