//! The four ways to a real name server, all with the same zones, and the service that tests publish there.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gantry_core::dns::Name;
use gantry_core::service::{Member, Port, Protocol, Service};
use gantry_dns::{Algorithm, Clock, Deadlines, PowerDnsConfig, Provider, Publisher, Rfc2136Config};

use crate::daemon::{Daemon, free_port, have, run};

pub const API_KEY: &str = "correct-horse";
pub const SECRET: &str = "Zm9ydHktdHdvIG9jdGV0cyBvZiBzb21ldGhpbmcgc2VjcmV0IQ==";
pub const OTHER_SECRET: &str = "b3RoZXIgb2N0ZXRzIHRoYXQgYXJlIGp1c3QgYXMgc2VjcmV0IQ==";
pub const ZONES: [&str; 4] =
    ["lab.example", "wild.example", "0.0.10.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa"];

/// What a server is and how gantry speaks to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    PowerDnsApi,
    PowerDnsUpdate,
    Bind,
    Knot,
}

/// A server with zones, records of other people in them.
pub struct Lab {
    pub sort: Sort,
    pub dns_port: u16,
    pub api_port: u16,
    folder: tempfile::TempDir,
    daemon: Daemon,
}

fn zone_text(zone: &str) -> String {
    let mut text = format!(
        "$ORIGIN {zone}.\n$TTL 300\n@ SOA ns1.lab.example. hostmaster.lab.example. 1 3600 600 86400 60\n@ NS ns1.lab.example.\n"
    );
    text.push_str(match zone {
        "lab.example" => {
            "ns1 A 127.0.0.1\nwww A 192.0.2.80\nwww TXT \"somebody's\"\nweb-9.nginx A 192.0.2.9\nweb-8.nginx CNAME www\n"
        }
        "wild.example" => "* A 192.0.2.99\n* TXT \"v=spf1 -all\"\n* CAA 0 issue \"x\"\n",
        "0.0.10.in-addr.arpa" => "1 PTR router.lab.example.\n",
        _ => "",
    });
    text
}

impl Lab {
    /// Starts the server; `None` where it is not installed.
    pub fn start(sort: Sort) -> Option<Self> {
        let needed: &[&str] = match sort {
            Sort::PowerDnsApi | Sort::PowerDnsUpdate => {
                &["pdns_server", "pdnsutil", "sqlite3", "dig", "nsupdate"]
            }
            Sort::Bind => &["named", "dig", "nsupdate"],
            Sort::Knot => &["knotd", "dig", "nsupdate"],
        };
        if !have(needed) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for zone in ZONES {
            std::fs::write(folder.path().join(format!("{zone}.zone")), zone_text(zone)).unwrap();
        }
        let (dns_port, api_port) = (free_port(), free_port());
        write_config(sort, folder.path(), dns_port, api_port);
        let daemon = launch(sort, folder.path());
        Some(Self { sort, dns_port, api_port, folder, daemon })
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again on what it had on disk.
    pub fn restart(&mut self) {
        self.daemon.kill();
        self.daemon = launch(self.sort, self.folder.path());
    }

    /// A provider for the server.
    pub fn provider(&self) -> Provider {
        self.provider_at(self.dns_port, self.api_port)
    }

    /// The same at other ports, behind which something else stands.
    pub fn provider_at(&self, dns_port: u16, api_port: u16) -> Provider {
        let zones = ZONES.iter().map(|z| name(z)).collect();
        match self.sort {
            Sort::PowerDnsApi => {
                Provider::powerdns("lab", zones, powerdns_config(api_port)).unwrap()
            }
            _ => Provider::rfc2136("lab", zones, rfc2136_config(dns_port)).unwrap(),
        }
    }

    pub fn publisher(&self) -> Publisher {
        Publisher::new(vec![self.provider()]).unwrap()
    }

    /// What a resolver sees: the answers' contents, sorted.
    pub fn dig(&self, words: &[&str]) -> Vec<String> {
        let port = self.dns_port.to_string();
        let server = ["@127.0.0.1", "-p", &port, "+short", "+norecurse", "+time=5", "+tries=3"];
        let text = run("dig", &[&server, words].concat());
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Every record of a zone but its SOA, sorted, by zone transfer.
    pub fn whole(&self, zone: &str) -> Vec<String> {
        let port = self.dns_port.to_string();
        let words = ["@127.0.0.1", "-p", &port, zone, "AXFR", "+noall", "+answer", "+time=5"];
        let text = run("dig", &words);
        assert!(text.contains("SOA"), "no transfer of {zone}: {text}");
        let squeeze = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut lines: Vec<String> =
            text.lines().filter(|l| !l.contains("SOA")).map(squeeze).collect();
        lines.sort();
        lines
    }

    pub fn everything(&self) -> Vec<String> {
        ZONES.iter().flat_map(|z| self.whole(z)).collect()
    }

    pub fn serial(&self, zone: &str) -> String {
        self.dig(&[zone, "SOA"]).join("").split(' ').nth(2).unwrap().to_owned()
    }

    /// Somebody else's update, by hand.
    pub fn nsupdate(&self, zone: &str, lines: &str) {
        let file = self.folder.path().join("by-hand");
        let text = format!("server 127.0.0.1 {}\nzone {zone}\n{lines}\nsend\n", self.dns_port);
        std::fs::write(&file, text).unwrap();
        let key = format!("hmac-sha256:gantry:{SECRET}");
        run("nsupdate", &["-y", &key, file.to_str().unwrap()]);
    }
}

fn write_config(sort: Sort, folder: &Path, dns_port: u16, api_port: u16) {
    let w = folder.display();
    let zones = |line: &dyn Fn(&str) -> String| ZONES.iter().map(|z| line(z)).collect::<String>();
    match sort {
        Sort::Bind => {
            let zone = |z: &str| {
                format!(
                    "zone \"{z}\" {{ type primary; file \"{z}.zone\"; allow-update {{ key gantry; key big; }}; }};\n"
                )
            };
            let text = format!(
                "options {{ directory \"{w}\"; listen-on port {dns_port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                 pid-file \"{w}/pid\"; session-keyfile \"{w}/session.key\"; recursion no; dnssec-validation no;
                 allow-transfer {{ any; }}; notify no; }};
                 controls {{ }};
                 key gantry {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
                 key big {{ algorithm hmac-sha512; secret \"{SECRET}\"; }};
                 key reader {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};
                 {}",
                zones(&zone)
            );
            std::fs::write(folder.join("named.conf"), text).unwrap();
        }
        Sort::Knot => {
            let zone = |z: &str| {
                format!(
                    "  - domain: {z}\n    file: {z}.zone\n    storage: {w}\n    zonefile-sync: 0\n    acl: [update, transfer]\n"
                )
            };
            let text = format!(
                "server:\n    rundir: {w}\n    listen: 127.0.0.1@{dns_port}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
                 log:\n  - target: stderr\n    any: info\n\
                 database:\n    storage: {w}/db\n    journal-db-max-size: 16M\n    kasp-db-max-size: 16M\n    timer-db-max-size: 2M\n\
                 key:\n  - id: gantry\n    algorithm: hmac-sha256\n    secret: {SECRET}\n  - id: reader\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
                 acl:\n  - id: update\n    key: gantry\n    action: update\n  - id: transfer\n    address: 127.0.0.0/8\n    action: transfer\n\
                 zone:\n{}",
                zones(&zone)
            );
            std::fs::create_dir(folder.join("db")).unwrap();
            std::fs::write(folder.join("knot.conf"), text).unwrap();
        }
        Sort::PowerDnsApi | Sort::PowerDnsUpdate => {
            let text = format!(
                "launch=gsqlite3\ngsqlite3-database={w}/pdns.db\nlocal-address=127.0.0.1\nlocal-port={dns_port}\n\
                 api=yes\napi-key={API_KEY}\nwebserver=yes\nwebserver-address=127.0.0.1\nwebserver-port={api_port}\nwebserver-allow-from=127.0.0.0/8\n\
                 dnsupdate=yes\nallow-dnsupdate-from=127.0.0.0/8\ncache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\nzone-cache-refresh-interval=0\n\
                 socket-dir={w}\ndaemon=no\nguardian=no\nloglevel=6\n"
            );
            std::fs::write(folder.join("pdns.conf"), text).unwrap();
            let schema = "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql";
            let schema = format!(".read {schema}");
            run("sqlite3", &[folder.join("pdns.db").to_str().unwrap(), &schema]);
            let config = format!("--config-dir={w}");
            let util = |words: &[&str]| run("pdnsutil", &[&[config.as_str()], words].concat());
            for key in ["gantry", "reader"] {
                util(&["import-tsig-key", key, "hmac-sha256", SECRET]);
            }
            for zone in ZONES {
                util(&["load-zone", zone, &format!("{w}/{zone}.zone")]);
                util(&["set-meta", zone, "SOA-EDIT-API", "INCREASE"]);
                util(&["set-meta", zone, "TSIG-ALLOW-DNSUPDATE", "gantry"]);
            }
        }
    }
}

fn launch(sort: Sort, folder: &Path) -> Daemon {
    let conf = |file: &str| folder.join(file).display().to_string();
    let command = |name: &str| Command::new(crate::daemon::program(name).unwrap());
    match sort {
        Sort::Bind => {
            let mut named = command("named");
            named.args(["-g", "-n", "1", "-c", &conf("named.conf")]);
            Daemon::start(named, &["all zones loaded"])
        }
        Sort::Knot => {
            let mut knot = command("knotd");
            knot.args(["-c", &conf("knot.conf")]);
            Daemon::start(knot, &["server started"])
        }
        Sort::PowerDnsApi | Sort::PowerDnsUpdate => {
            let mut pdns = command("pdns_server");
            pdns.arg(format!("--config-dir={}", folder.display()));
            Daemon::start(pdns, &["Listening for HTTP requests", "ready to distribute questions"])
        }
    }
}

/// Short, so that tests of silence are; long enough for a busy machine otherwise.
pub fn deadlines() -> Deadlines {
    let seconds = Duration::from_secs;
    Deadlines { connect: seconds(5), read: seconds(20), write: seconds(20) }
}

pub fn powerdns_config(port: u16) -> PowerDnsConfig {
    PowerDnsConfig {
        url: format!("http://127.0.0.1:{port}").parse().unwrap(),
        key: secrecy::Secret::new(API_KEY.to_owned()),
        ca_file: None,
        deadlines: deadlines(),
    }
}

pub fn rfc2136_config(port: u16) -> Rfc2136Config {
    Rfc2136Config {
        server: format!("127.0.0.1:{port}"),
        key_name: "gantry".to_owned(),
        algorithm: Algorithm::HmacSha256,
        secret: secrecy::Secret::new(SECRET.to_owned()),
        deadlines: deadlines(),
        clock: Clock::system(),
    }
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The service of the tests: `nginx.lab.example`, one port.
pub fn nginx() -> Service {
    Service {
        name: "nginx".into(),
        zone: name("lab.example"),
        owner: "lab/web".into(),
        ports: vec![Port { name: "http".into(), protocol: Protocol::Tcp, port: 8080 }],
        ttl_s: 30,
        publish_not_ready: false,
        loopback: false,
    }
}

/// `web-<n>` with an IPv4 and an IPv6 address.
pub fn web(n: u8, ready: bool) -> Member {
    let v4 = IpAddr::V4([10, 0, 0, n + 10].into());
    let v6 = IpAddr::V6([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n) + 0x10].into());
    Member { name: format!("web-{n}"), addresses: vec![v4, v6], ready }
}

/// `web-0` up to, without, `web-<count>`, all ready.
pub fn webs(count: u8) -> Vec<Member> {
    (0..count).map(|n| web(n, true)).collect()
}
