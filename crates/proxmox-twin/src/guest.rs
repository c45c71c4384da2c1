//! A guest: its configuration exactly as given, its state, and figures that follow from seed and time.
//!
//! Configuration values are kept as text; `config_json` gives them the mixed types the real API gives.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::noise::{integral, unit, wave};
use crate::volume::volid_of;

/// Container or virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// An LXC container ("CT" in messages).
    Lxc,
    /// A QEMU virtual machine ("VM" in messages).
    Qemu,
}

impl GuestKind {
    /// `lxc` or `qemu`, as in paths.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu",
        }
    }

    /// `CT` or `VM`, as in messages.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Lxc => "CT",
            Self::Qemu => "VM",
        }
    }

    /// The configuration file's folder, as in "does not exist" messages.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu-server",
        }
    }

    /// Task type prefix: `vz` or `qm`.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Lxc => "vz",
            Self::Qemu => "qm",
        }
    }
}

/// Average demand of a guest, around which its figures move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    /// Fraction of its own cores.
    pub(crate) cpu: f64,
    /// Fraction of its memory.
    pub(crate) mem: f64,
    /// Bytes per second in.
    pub(crate) net: f64,
    /// Bytes per second read.
    pub(crate) io: f64,
    /// Fraction of its disk in use.
    pub(crate) fill: f64,
}

impl Load {
    /// Something plausible for a seed.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self {
            seed,
            cpu: 0.01 + 0.22 * unit(seed ^ 1).powi(2),
            mem: 0.25 + 0.5 * unit(seed ^ 2),
            net: 400.0 + 180_000.0 * unit(seed ^ 3).powi(3),
            io: 200.0 + 90_000.0 * unit(seed ^ 4).powi(3),
            fill: 0.12 + 0.5 * unit(seed ^ 5),
        }
    }
}

/// A snapshot and the configuration it holds.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parent: Option<String>,
    pub(crate) time: u64,
    pub(crate) vmstate: bool,
    pub(crate) config: BTreeMap<String, String>,
}

/// One guest.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) vmid: u32,
    pub(crate) kind: GuestKind,
    pub(crate) node: String,
    pub(crate) config: BTreeMap<String, String>,
    /// Changes that wait for the next start; `None` = removal.
    pub(crate) pending: BTreeMap<String, Option<String>>,
    pub(crate) pool: Option<String>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) parent: Option<String>,
    /// Seconds since the epoch of the last start, while running.
    pub(crate) running: Option<f64>,
    pub(crate) paused: bool,
    pub(crate) pid: u32,
    pub(crate) load: Load,
    pub(crate) ignores_shutdown: bool,
    /// When it came to be, and every completed run, for graphs with true gaps.
    pub(crate) born: f64,
    pub(crate) runs: Vec<(f64, f64)>,
    /// What it was made from: a template's volume id, or the reference of its OCI image.
    pub(crate) image: Option<String>,
    /// Its image never answers a health check.
    pub(crate) unhealthy: bool,
    /// Volumes that were there before it and outlive a failed creation.
    pub(crate) borrowed: Vec<String>,
    /// State of its high-availability resource, where it is one. The manager does nothing but move it when asked.
    pub(crate) ha: Option<String>,
}

/// Present figures of a running guest.
pub(crate) struct Figures {
    pub(crate) cpu: f64,
    pub(crate) mem: u64,
    pub(crate) disk: u64,
    pub(crate) netin: u64,
    pub(crate) netout: u64,
    pub(crate) diskread: u64,
    pub(crate) diskwrite: u64,
    pub(crate) uptime: u64,
}

/// How far a counter's rate swings around its average.
const RATE_DEPTH: f64 = 0.8;

impl Guest {
    /// `web-0`; guests without a name are called after their id, as the server does.
    pub(crate) fn name(&self) -> String {
        let key = if self.kind == GuestKind::Lxc { "hostname" } else { "name" };
        match self.config.get(key) {
            Some(name) => name.clone(),
            None => format!("{}{}", self.kind.short(), self.vmid),
        }
    }

    pub(crate) fn lock(&self) -> Option<&str> {
        self.config.get("lock").map(String::as_str)
    }

    pub(crate) fn is_template(&self) -> bool {
        self.config.get("template").is_some_and(|v| v == "1")
    }

    pub(crate) fn is_protected(&self) -> bool {
        self.config.get("protection").is_some_and(|v| v == "1")
    }

    /// `running` or `stopped`: a paused virtual machine runs.
    pub(crate) const fn status(&self) -> &'static str {
        if self.running.is_some() { "running" } else { "stopped" }
    }

    /// Cores; a container without a limit has the node's.
    pub(crate) fn cores(&self, node_cores: u32) -> u32 {
        let number = |key: &str| self.config.get(key).and_then(|v| v.parse::<u32>().ok());
        match self.kind {
            GuestKind::Lxc => number("cores").unwrap_or(node_cores),
            GuestKind::Qemu => number("cores").unwrap_or(1) * number("sockets").unwrap_or(1),
        }
    }

    /// Bytes of memory.
    pub(crate) fn max_mem(&self) -> u64 {
        let text = self.config.get("memory").map_or("512", String::as_str);
        text.trim_start_matches("current=").parse::<u64>().unwrap_or(512) << 20
    }

    pub(crate) fn max_swap(&self) -> u64 {
        self.config.get("swap").and_then(|v| v.parse::<u64>().ok()).unwrap_or(512) << 20
    }

    /// Name of the disk that counts as "the" disk.
    pub(crate) fn boot_disk(&self) -> &'static str {
        const ORDER: [&str; 6] = ["rootfs", "scsi0", "virtio0", "sata0", "ide0", "efidisk0"];
        ORDER.into_iter().find(|key| self.config.contains_key(*key)).unwrap_or("rootfs")
    }

    /// Bytes of the boot disk.
    pub(crate) fn max_disk(&self) -> u64 {
        self.config.get(self.boot_disk()).map_or(0, |text| disk_bytes(text))
    }

    /// The volumes (`storage:name`) and sizes that belong to this guest.
    pub(crate) fn volumes(&self) -> Vec<(String, u64)> {
        self.config
            .iter()
            .filter(|(key, _)| is_disk(key))
            .filter_map(|(_, text)| Some((volid_of(text)?.to_owned(), disk_bytes(text))))
            .collect()
    }

    /// The text of `config` that digests are made of.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (key, value) in &self.config {
            hash.update(key.as_bytes());
            hash.update(b": ");
            hash.update(value.as_bytes());
            hash.update(b"\n");
        }
        for (key, value) in &self.pending {
            hash.update(format!("[pending] {key}: {value:?}\n").as_bytes());
        }
        if let Some(parent) = &self.parent {
            hash.update(format!("parent: {parent}\n").as_bytes());
        }
        for snapshot in &self.snapshots {
            hash.update(format!("[{}] {}\n", snapshot.name, snapshot.time).as_bytes());
        }
        // Real digests are SHA-1: 40 hex characters.
        hex::encode(hash.finalize()).chars().take(40).collect()
    }

    /// Figures at `now`, or `None` while stopped.
    pub(crate) fn figures(&self, now: f64) -> Option<Figures> {
        let started = self.running?;
        let load = self.load;
        let counter = |salt: u64, rate: f64| {
            (integral(load.seed ^ salt, RATE_DEPTH, started, now) * rate) as u64
        };
        Some(Figures {
            cpu: self.cpu_at(now),
            mem: self.mem_at(now),
            disk: if self.kind == GuestKind::Lxc { self.disk_at(now) } else { 0 },
            netin: counter(3, load.net),
            netout: counter(13, load.net * 0.7),
            diskread: counter(4, load.io),
            diskwrite: counter(14, load.io * 1.3),
            uptime: (now - started).max(0.0) as u64,
        })
    }

    fn cpu_at(&self, at: f64) -> f64 {
        if self.paused {
            return 0.0;
        }
        (self.load.cpu * (1.0 + 0.7 * wave(self.load.seed ^ 1, at))).clamp(0.0005, 1.0)
    }

    fn mem_at(&self, at: f64) -> u64 {
        let part = (self.load.mem * (1.0 + 0.12 * wave(self.load.seed ^ 2, at))).clamp(0.02, 0.98);
        (self.max_mem() as f64 * part) as u64
    }

    fn disk_at(&self, at: f64) -> u64 {
        let part = (self.load.fill * (1.0 + 0.02 * wave(self.load.seed ^ 5, at))).clamp(0.01, 0.99);
        (self.max_disk() as f64 * part) as u64
    }

    /// CPU fraction and memory bytes at any moment, if it ran then.
    pub(crate) fn demand_at(&self, at: f64) -> Option<(f64, u64)> {
        self.ran_at(at).then(|| (self.cpu_at(at), self.mem_at(at)))
    }

    /// Was it running at that moment?
    pub(crate) fn ran_at(&self, at: f64) -> bool {
        self.running.is_some_and(|since| at >= since)
            || self.runs.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// One point of a graph; only the time while it was not running.
    pub(crate) fn point(&self, at: f64, cores: u32) -> Value {
        if at < self.born {
            return json!({"time": at as u64});
        }
        if !self.ran_at(at) {
            return json!({"time": at as u64, "maxcpu": cores, "maxmem": self.max_mem(), "maxdisk": self.max_disk(), "cpu": 0, "mem": 0, "disk": 0, "netin": 0, "netout": 0, "diskread": 0, "diskwrite": 0});
        }
        let rate = |salt: u64, rate: f64| {
            rate * (1.0 + RATE_DEPTH * wave(self.load.seed ^ salt, at)).max(0.0)
        };
        let mem = self.mem_at(at);
        let cpu = self.cpu_at(at);
        json!({
            "time": at as u64,
            "cpu": cpu,
            "maxcpu": cores,
            "mem": mem,
            "memhost": mem + (mem >> 5),
            "maxmem": self.max_mem(),
            "disk": if self.kind == GuestKind::Lxc { self.disk_at(at) } else { 0 },
            "maxdisk": self.max_disk(),
            "netin": rate(3, self.load.net),
            "netout": rate(13, self.load.net * 0.7),
            "diskread": rate(4, self.load.io),
            "diskwrite": rate(14, self.load.io * 1.3),
            "pressurecpusome": cpu * 2.0,
            "pressureiosome": 0.0,
            "pressurememorysome": 0.0,
        })
    }

    /// Marks it started; the state has applied what waited for it (`State::apply_pending`).
    pub(crate) fn start(&mut self, at: f64, pid: u32) {
        self.running = Some(at);
        self.paused = false;
        self.pid = pid;
    }

    /// Marks it stopped.
    pub(crate) fn stop(&mut self, at: f64) {
        if let Some(since) = self.running.take() {
            self.runs.push((since, at));
        }
        self.paused = false;
    }

    /// The configuration with the mixed value types of the real answers.
    pub(crate) fn config_json(&self, config: &BTreeMap<String, String>) -> Map<String, Value> {
        let mut map = Map::new();
        for (key, value) in config {
            let shown = match key.as_str() {
                // Notes are stored line by line, so they always come back with one newline at the end.
                "description" => json!(format!("{}\n", value.trim_end_matches('\n'))),
                _ => typed(self.kind, key, value),
            };
            map.insert(key.clone(), shown);
        }
        map.insert("digest".to_owned(), json!(self.digest()));
        let raw: Vec<String> = map.keys().filter(|k| k.starts_with("lxc.")).cloned().collect();
        if self.kind == GuestKind::Lxc && !raw.is_empty() {
            let lines: Vec<Value> =
                raw.iter().map(|key| json!([key, map.remove(key).unwrap_or_default()])).collect();
            map.insert("lxc".to_owned(), Value::Array(lines));
        }
        map
    }
}

/// Numbers where the real server gives numbers, text where it gives text (`memory` of a VM, `agent`, `cpulimit`).
pub(crate) fn typed(kind: GuestKind, key: &str, value: &str) -> Value {
    const LXC: [&str; 12] = [
        "cores",
        "memory",
        "swap",
        "cpuunits",
        "onboot",
        "unprivileged",
        "protection",
        "template",
        "tty",
        "console",
        "debug",
        "snaptime",
    ];
    const QEMU: [&str; 20] = [
        "cores",
        "sockets",
        "balloon",
        "cpuunits",
        "onboot",
        "protection",
        "template",
        "numa",
        "vcpus",
        "acpi",
        "kvm",
        "tablet",
        "shares",
        "autostart",
        "freeze",
        "localtime",
        "reboot",
        "snaptime",
        "ciupgrade",
        "smp",
    ];
    let numeric = match kind {
        GuestKind::Lxc => LXC.contains(&key),
        GuestKind::Qemu => QEMU.contains(&key),
    };
    match value.parse::<i64>() {
        Ok(number) if numeric => json!(number),
        _ => json!(value),
    }
}

/// Does this configuration key hold a disk?
pub(crate) fn is_disk(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    key == "rootfs"
        || (stem.len() < key.len()
            && matches!(
                stem,
                "mp" | "scsi" | "virtio" | "sata" | "ide" | "efidisk" | "tpmstate" | "unused"
            ))
}

/// Bytes of `size=` in a volume text.
pub(crate) fn disk_bytes(text: &str) -> u64 {
    text.split(',')
        .find_map(|part| part.strip_prefix("size="))
        .and_then(crate::schema::bytes_of)
        .unwrap_or(0)
}

/// Bytes as the server writes sizes: `8G`, else `512M`, else `…K`.
pub(crate) fn size_text(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) {
        format!("{}G", bytes >> 30)
    } else if bytes.is_multiple_of(1 << 20) {
        format!("{}M", bytes >> 20)
    } else {
        format!("{}K", bytes >> 10)
    }
}
