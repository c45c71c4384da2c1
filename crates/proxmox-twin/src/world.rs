//! What the cluster looks like at the start: a builder for tests, and the world of the demo.
//!
//! Plain values; `state` turns them into a living cluster.

use std::collections::BTreeMap;

use crate::guest::GuestKind;
use crate::internet::Internet;

/// A node and its hardware.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Name, a DNS label.
    pub name: String,
    /// CPU threads.
    pub cores: u32,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// Seconds it has been up when the twin starts.
    pub uptime: u64,
}

impl NodeSpec {
    /// A node with 16 threads and 64 GiB, up for some weeks.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cores: 16, memory_gib: 64, uptime: 41 * 86_400 }
    }

    /// With other hardware.
    #[must_use]
    pub fn hardware(mut self, cores: u32, memory_gib: u64) -> Self {
        self.cores = cores;
        self.memory_gib = memory_gib;
        self
    }
}

/// A storage definition, as in `storage.cfg`.
#[derive(Debug, Clone)]
pub struct StorageSpec {
    /// Its id.
    pub name: String,
    /// `dir`, `lvmthin`, `zfspool`, `nfs`, `pbs`.
    pub plugin: String,
    /// Comma separated content types.
    pub content: String,
    /// One storage for all nodes?
    pub shared: bool,
    /// Nodes that have it; empty = all.
    pub nodes: Vec<String>,
    /// Size in GiB.
    pub total_gib: u64,
    /// Fraction in use before any guest.
    pub used: f64,
    /// Volumes that are there from the start: (name below the storage, bytes).
    pub volumes: Vec<(String, u64)>,
}

impl StorageSpec {
    /// A storage on every node.
    pub fn new(name: &str, plugin: &str, content: &str, total_gib: u64) -> Self {
        Self {
            name: name.to_owned(),
            plugin: plugin.to_owned(),
            content: content.to_owned(),
            shared: matches!(plugin, "nfs" | "pbs" | "rbd"),
            nodes: Vec::new(),
            total_gib,
            used: 0.18,
            volumes: Vec::new(),
        }
    }

    /// With a volume, e.g. `vztmpl/debian-12….tar.zst`.
    #[must_use]
    pub fn volume(mut self, name: &str, bytes: u64) -> Self {
        self.volumes.push((name.to_owned(), bytes));
        self
    }

    /// Only on these nodes.
    #[must_use]
    pub fn only(mut self, nodes: &[&str]) -> Self {
        self.nodes = nodes.iter().map(|n| (*n).to_owned()).collect();
        self
    }
}

/// A guest to begin with.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// Its id.
    pub vmid: u32,
    /// Container or machine.
    pub kind: GuestKind,
    /// Where it is; empty = the first node.
    pub node: String,
    /// Does it run?
    pub running: bool,
    /// Its pool.
    pub pool: Option<String>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// Does it ignore requests to shut down?
    pub ignores_shutdown: bool,
    /// Average demand (fraction of its cores, fraction of its memory), instead of a seeded one.
    pub demand: Option<(f64, f64)>,
    /// Names of its snapshots, oldest first.
    pub snapshots: Vec<String>,
    pub(crate) ha: Option<String>,
}

impl GuestSpec {
    fn new(vmid: u32, kind: GuestKind, config: &[(&str, String)]) -> Self {
        Self {
            vmid,
            kind,
            node: String::new(),
            running: false,
            pool: None,
            config: config.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            ignores_shutdown: false,
            demand: None,
            snapshots: Vec::new(),
            ha: None,
        }
    }

    /// A stopped Debian container with 2 cores, 1 GiB and 8 GiB of disk on `local-lvm`.
    pub fn lxc(vmid: u32, name: &str) -> Self {
        let own = |text: &str| text.to_owned();
        Self::new(
            vmid,
            GuestKind::Lxc,
            &[
                ("hostname", own(name)),
                ("arch", own("amd64")),
                ("ostype", own("debian")),
                ("cores", own("2")),
                ("memory", own("1024")),
                ("swap", own("512")),
                ("unprivileged", own("1")),
                ("rootfs", format!("local-lvm:vm-{vmid}-disk-0,size=8G")),
                (
                    "net0",
                    format!(
                        "name=eth0,bridge=vmbr0,hwaddr={},ip=dhcp,type=veth",
                        mac(u64::from(vmid))
                    ),
                ),
            ],
        )
    }

    /// A stopped virtual machine with 2 cores, 2 GiB and 32 GiB of disk on `local-lvm`.
    pub fn qemu(vmid: u32, name: &str) -> Self {
        let own = |text: &str| text.to_owned();
        Self::new(
            vmid,
            GuestKind::Qemu,
            &[
                ("name", own(name)),
                ("ostype", own("l26")),
                ("agent", own("1")),
                ("boot", own("order=scsi0;net0")),
                ("cores", own("2")),
                ("sockets", own("1")),
                ("numa", own("0")),
                ("memory", own("2048")),
                ("scsihw", own("virtio-scsi-single")),
                ("scsi0", format!("local-lvm:vm-{vmid}-disk-0,iothread=1,size=32G")),
                ("net0", format!("virtio={},bridge=vmbr0,firewall=1", mac(u64::from(vmid)))),
            ],
        )
    }

    /// On this node.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        node.clone_into(&mut self.node);
        self
    }

    /// Running.
    #[must_use]
    pub fn running(mut self) -> Self {
        self.running = true;
        self
    }

    /// In this pool (made if absent).
    #[must_use]
    pub fn pool(mut self, pool: &str) -> Self {
        self.pool = Some(pool.to_owned());
        self
    }

    /// With any configuration key.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With tags (`a;b`).
    #[must_use]
    pub fn tags(self, tags: &str) -> Self {
        self.set("tags", tags)
    }

    /// With notes.
    #[must_use]
    pub fn description(self, text: &str) -> Self {
        self.set("description", text)
    }

    /// Locked (`backup`, `migrate`, …).
    #[must_use]
    pub fn locked(self, lock: &str) -> Self {
        self.set("lock", lock)
    }

    /// A template.
    #[must_use]
    pub fn template(self) -> Self {
        self.set("template", "1")
    }

    /// Ignores requests to shut down, so they run into their timeout.
    #[must_use]
    pub fn ignores_shutdown(mut self) -> Self {
        self.ignores_shutdown = true;
        self
    }

    /// With average demand (fractions of its cores and of its memory).
    #[must_use]
    pub fn demand(mut self, cpu: f64, memory: f64) -> Self {
        self.demand = Some((cpu, memory));
        self
    }

    /// Cores and memory in MiB.
    #[must_use]
    pub fn size(self, cores: u32, memory_mib: u32) -> Self {
        self.set("cores", &cores.to_string()).set("memory", &memory_mib.to_string())
    }

    /// The boot disk: where and how large.
    #[must_use]
    pub fn disk(self, storage: &str, gib: u32) -> Self {
        let (key, vmid) = (if self.kind == GuestKind::Lxc { "rootfs" } else { "scsi0" }, self.vmid);
        let prefix =
            if storage == "local-zfs" && self.kind == GuestKind::Lxc { "subvol" } else { "vm" };
        self.set(key, &format!("{storage}:{prefix}-{vmid}-disk-0,size={gib}G"))
    }

    /// A resource of high availability, started.
    #[must_use]
    pub fn managed(mut self) -> Self {
        self.ha = Some("started".to_owned());
        self
    }

    /// With a snapshot.
    #[must_use]
    pub fn snapshot(mut self, name: &str) -> Self {
        self.snapshots.push(name.to_owned());
        self
    }
}

/// A stable locally administered MAC address.
pub(crate) fn mac(seed: u64) -> String {
    let n = crate::noise::mix(seed ^ 0xbc24);
    format!("BC:24:11:{:02X}:{:02X}:{:02X}", (n >> 16) & 0xff, (n >> 8) & 0xff, n & 0xff)
}

/// A task that ended before the twin started.
#[derive(Debug, Clone)]
pub struct PastTask {
    /// Hours before the start.
    pub hours_ago: f64,
    /// How long it took.
    pub seconds: f64,
    /// Where.
    pub node: String,
    /// `vzdump`, …
    pub kind: String,
    /// Usually a VMID.
    pub id: String,
    /// Who began it.
    pub user: String,
    /// `OK`, `WARNINGS: n` or the error.
    pub exit: String,
}

/// The cluster at the start.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Nodes; when empty, made from the names in the options.
    pub nodes: Vec<NodeSpec>,
    /// Storages.
    pub storages: Vec<StorageSpec>,
    /// Guests.
    pub guests: Vec<GuestSpec>,
    /// Pools and their comments.
    pub pools: Vec<(String, String)>,
    /// Tasks of the past, oldest first.
    pub history: Vec<PastTask>,
    /// What nodes can fetch.
    pub internet: Internet,
    /// First two bytes of the addresses DHCP gives on the nodes' own bridges; 10.20 when absent. With 127 in front,
    /// guests that answer can be reached (see the README, Presence).
    pub dhcp: Option<[u8; 2]>,
}

/// A gibibyte-and-a-bit template's size, close to the published one.
const DEBIAN_BYTES: u64 = 126_515_062;
const ALPINE_BYTES: u64 = 3_221_225;
const UBUNTU_BYTES: u64 = 141_589_318;
/// The Debian template every world has.
pub const DEBIAN_TEMPLATE: &str = "debian-12-standard_12.7-1_amd64.tar.zst";

impl World {
    /// No guests, no pools; the usual storages.
    pub fn empty() -> Self {
        Self { storages: storages(), internet: Internet::demo(), ..Self::default() }
    }

    /// With a guest.
    #[must_use]
    pub fn guest(mut self, guest: GuestSpec) -> Self {
        self.guests.push(guest);
        self
    }

    /// With a node (replaces the names in the options).
    #[must_use]
    pub fn node(mut self, node: NodeSpec) -> Self {
        self.nodes.push(node);
        self
    }

    /// With a storage.
    #[must_use]
    pub fn storage(mut self, storage: StorageSpec) -> Self {
        self.storages.push(storage);
        self
    }

    /// With a pool.
    #[must_use]
    pub fn pool(mut self, name: &str, comment: &str) -> Self {
        self.pools.push((name.to_owned(), comment.to_owned()));
        self
    }

    /// Five nodes and two dozen guests: what a small company runs.
    pub fn demo() -> Self {
        let lxc = GuestSpec::lxc;
        let vm = GuestSpec::qemu;
        let zfs = "local-zfs";
        let mut world = Self::empty()
            .node(NodeSpec::new("pve1").hardware(32, 128))
            .node(NodeSpec::new("pve2").hardware(32, 128))
            .node(NodeSpec::new("pve3").hardware(24, 96))
            .node(NodeSpec::new("pve4").hardware(16, 64))
            .node(NodeSpec::new("pve5").hardware(8, 32))
            .storage(
                StorageSpec::new(zfs, "zfspool", "images,rootdir", 1800).only(&["pve4", "pve5"]),
            )
            .pool("prod", "What customers see")
            .pool("lab", "Try things here");
        world.dhcp = Some([127, 20]);
        world.guests = vec![
            lxc(101, "web-0").on("pve1").running().pool("prod").tags("prod;web").size(4, 2048).demand(0.22, 0.55).set("onboot", "1"),
            lxc(102, "web-1").on("pve2").running().pool("prod").tags("prod;web").size(4, 2048).demand(0.2, 0.52).set("onboot", "1"),
            lxc(103, "web-2").on("pve3").running().pool("prod").tags("prod;web").size(4, 2048).demand(0.18, 0.5).set("onboot", "1"),
            vm(104, "db-primary").on("pve1").running().pool("prod").tags("critical;db;prod").size(8, 32_768).disk("local-lvm", 200).demand(0.35, 0.81).set("onboot", "1").set("protection", "1").snapshot("before-upgrade"),
            vm(105, "db-replica").on("pve2").running().pool("prod").tags("critical;db;prod").size(8, 32_768).disk("local-lvm", 200).demand(0.15, 0.78).set("onboot", "1"),
            lxc(106, "cache-0").on("pve3").running().pool("prod").tags("cache;prod").size(2, 4096).demand(0.12, 0.88),
            lxc(107, "queue").on("pve2").running().pool("prod").tags("prod").size(2, 2048),
            lxc(108, "proxy-edge").on("pve1").running().pool("prod").tags("critical;prod").size(2, 1024).demand(0.3, 0.4),
            vm(109, "mail").on("pve3").running().pool("prod").tags("critical;mail").size(4, 8192).disk("local-lvm", 120),
            vm(110, "gitlab").on("pve1").running().tags("dev").size(8, 16_384).disk("local-lvm", 160).demand(0.28, 0.83),
            lxc(111, "ci-runner-0").on("pve4").running().tags("ci;dev").size(8, 8192).disk(zfs, 40).demand(0.62, 0.7),
            lxc(112, "ci-runner-1").on("pve5").running().tags("ci;dev").size(4, 8192).disk(zfs, 40).demand(0.55, 0.66),
            lxc(113, "monitoring").on("pve4").running().tags("infra").size(4, 8192).disk(zfs, 64).demand(0.2, 0.72).snapshot("clean"),
            lxc(114, "dns-0").on("pve1").running().tags("infra").size(1, 512).demand(0.02, 0.3),
            lxc(115, "dns-1").on("pve5").running().tags("infra").size(1, 512).disk(zfs, 4).demand(0.02, 0.3),
            vm(116, "windows-build").on("pve3").pool("lab").tags("ci;lab").size(8, 16_384).disk("nas", 120).set("ostype", "win11"),
            lxc(117, "backup-target").on("pve4").running().tags("infra").locked("backup").disk(zfs, 16),
            lxc(118, "scratch").on("pve2").running().pool("lab").tags("lab"),
            lxc(119, "scratch").on("pve5").pool("lab").tags("lab").disk(zfs, 8),
            lxc(120, "stubborn").on("pve2").running().pool("lab").tags("lab").ignores_shutdown(),
            vm(121, "k3s-0").on("pve3").running().pool("lab").tags("k3s;lab").size(4, 8192).demand(0.3, 0.6),
            vm(122, "k3s-1").on("pve4").running().pool("lab").tags("k3s;lab").size(4, 8192).disk(zfs, 64).demand(0.25, 0.58),
            lxc(123, "xn--caf-dma.everyone-here.a-very-long-name-that-keeps-going-and-going.example.internal")
                .on("pve5")
                .pool("lab")
                .disk(zfs, 8)
                .description(&nasty_notes()),
            vm(9000, "debian-12-cloud").on("pve1").template().tags("template").disk("local-lvm", 4),
            lxc(9001, "alpine-base").on("pve4").template().tags("template").disk(zfs, 2).set("ostype", "alpine"),
        ];
        let past =
            |hours_ago: f64, seconds: f64, node: &str, kind: &str, id: &str, exit: &str| PastTask {
                hours_ago,
                seconds,
                node: node.to_owned(),
                kind: kind.to_owned(),
                id: id.to_owned(),
                user: "root@pam".to_owned(),
                exit: exit.to_owned(),
            };
        world.history = vec![
            past(29.5, 312.0, "pve1", "vzdump", "", "OK"),
            past(29.4, 290.0, "pve2", "vzdump", "", "WARNINGS: 1"),
            past(26.0, 2.0, "pve2", "vzstart", "118", "OK"),
            past(9.2, 4.0, "pve4", "vzsnapshot", "113", "OK"),
            past(5.5, 318.0, "pve1", "vzdump", "", "OK"),
            past(5.4, 7.0, "pve4", "vzdump", "117", "job errors"),
            past(3.1, 21.0, "pve3", "qmstart", "121", "OK"),
            past(
                1.2,
                61.0,
                "pve2",
                "vzshutdown",
                "120",
                "command 'lxc-stop -n 120 --timeout 60' failed: got timeout",
            ),
        ];
        world
    }
}

/// Notes that try every way to break out of a message.
fn nasty_notes() -> String {
    let mut text = "@everyone <@1> <@&2> [click](https://example.invalid) ```code``` \u{202e}txet\u{202c} \u{200b}\n\
                    | a | table |\n# heading\n> quote **bold** ~~gone~~ ||spoiler||\n"
        .to_owned();
    while text.len() < 6000 {
        text.push_str("This machine was built by somebody who wrote everything down, twice. ");
    }
    text
}

fn storages() -> Vec<StorageSpec> {
    vec![
        StorageSpec::new("local", "dir", "iso,vztmpl,backup,snippets,import", 94)
            .volume(&format!("vztmpl/{DEBIAN_TEMPLATE}"), DEBIAN_BYTES)
            .volume("vztmpl/alpine-3.20-default_20240908_amd64.tar.xz", ALPINE_BYTES)
            .volume("vztmpl/ubuntu-24.04-standard_24.04-2_amd64.tar.zst", UBUNTU_BYTES)
            .volume("iso/debian-12.7.0-amd64-netinst.iso", 661_651_456),
        StorageSpec::new("local-lvm", "lvmthin", "images,rootdir", 1700),
        StorageSpec::new("nas", "nfs", "images,rootdir,iso,vztmpl,backup", 12_000)
            .volume(&format!("vztmpl/{DEBIAN_TEMPLATE}"), DEBIAN_BYTES),
        StorageSpec::new("pbs", "pbs", "backup", 20_000)
            .volume("backup/vm/104/2026-11-20T01:00:04Z", 92_341_796_864)
            .volume("backup/ct/101/2026-11-20T01:12:41Z", 2_147_483_648),
    ]
}
