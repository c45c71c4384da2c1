//! Answers about one guest: its state now, and its configuration with the digest that guards writes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gantry_core::id::Vmid;
use serde::Deserialize;
use serde_json::Value;

use crate::lenient;

/// `GET /nodes/{node}/{lxc|qemu}/{vmid}/status/current`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GuestStatus {
    /// `running` or `stopped`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
    /// QEMU only: `running`, `paused`, `suspended`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub qmpstatus: Option<String>,
    /// `backup`, `migrate`, … while something works on it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub lock: Option<String>,
    /// Its number.
    #[serde(default, deserialize_with = "lenient::vmid")]
    pub vmid: Option<Vmid>,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// Tags, separated by `;`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub tags: Option<String>,
    /// Seconds since start.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub uptime: Option<u64>,
    /// Load, 0 to 1.
    #[serde(default, deserialize_with = "lenient::f64")]
    pub cpu: Option<f64>,
    /// Cores.
    #[serde(default, deserialize_with = "lenient::f64")]
    pub cpus: Option<f64>,
    /// Memory in use, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub mem: Option<u64>,
    /// Memory, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub maxmem: Option<u64>,
    /// Root disk in use, bytes; zero for QEMU.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub disk: Option<u64>,
    /// Root disk, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub maxdisk: Option<u64>,
    /// Received since start, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub netin: Option<u64>,
    /// Sent since start, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub netout: Option<u64>,
    /// Whether the HA manager owns it: its start and stop become requests to that manager.
    #[serde(default, rename = "ha", deserialize_with = "ha_managed")]
    pub ha_managed: bool,
    /// A template cannot run.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
}

impl GuestStatus {
    /// Whether it runs (a paused machine does).
    pub fn is_running(&self) -> bool {
        self.status.as_deref() == Some("running")
    }

    /// Whether a QEMU machine is paused or suspended.
    pub fn is_paused(&self) -> bool {
        matches!(self.qmpstatus.as_deref(), Some("paused" | "suspended" | "prelaunch"))
    }
}

/// One row of `GET /nodes/{node}/lxc/{vmid}/interfaces`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LxcInterface {
    /// Its name inside.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// Its hardware address.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hwaddr: Option<String>,
    /// All its addresses; older servers leave this out.
    #[serde(default, rename = "ip-addresses", deserialize_with = "lenient::list")]
    addresses: Vec<LxcAddress>,
    /// One of its IPv4 addresses, with its prefix.
    #[serde(default, deserialize_with = "lenient::text")]
    inet: Option<String>,
    /// One of its IPv6 addresses, with its prefix.
    #[serde(default, deserialize_with = "lenient::text")]
    inet6: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct LxcAddress {
    #[serde(default, rename = "ip-address", deserialize_with = "lenient::text")]
    address: Option<String>,
}

impl LxcInterface {
    /// Its addresses without prefixes, as the container tells them.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let listed = self.addresses.iter().filter_map(|a| a.address.as_deref());
        let single = [&self.inet, &self.inet6].into_iter().filter_map(|a| a.as_deref());
        let mut all = Vec::new();
        for text in listed.chain(single) {
            if let Ok(address) = text.split('/').next().unwrap_or_default().parse()
                && !all.contains(&address)
            {
                all.push(address);
            }
        }
        all
    }
}

fn ha_managed<'de, D: serde::Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(d)?;
    Ok(value.get("managed").is_some_and(truthy))
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64().is_some_and(|n| n != 0.0),
        Value::String(s) => s == "1" || s == "true",
        _ => false,
    }
}

/// `GET /nodes/{node}/{lxc|qemu}/{vmid}/config`: the common fields typed, everything else in `raw`.
#[derive(Debug, Clone, Default)]
pub struct GuestConfig {
    /// Guards writes: a write with a stale digest is refused.
    pub digest: Option<String>,
    /// `hostname` of a container, `name` of a machine.
    pub name: Option<String>,
    /// The notes.
    pub description: Option<String>,
    /// Tags, separated by `;`.
    pub tags: Option<String>,
    /// Cores.
    pub cores: Option<u64>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Swap in MiB, containers only.
    pub swap_mib: Option<u64>,
    /// `backup`, `migrate`, … while something works on it.
    pub lock: Option<String>,
    /// Protection against deletion.
    pub protection: bool,
    /// Whether it starts with its node.
    pub onboot: bool,
    /// Containers: whether root inside is not root outside.
    pub unprivileged: bool,
    /// A template cannot run.
    pub template: bool,
    /// Every key as answered; numbers and booleans as text, lists and objects as JSON text.
    pub raw: BTreeMap<String, String>,
}

impl GuestConfig {
    /// Every disk or volume key with its value (`rootfs`, `mp0`, `scsi0`, …).
    pub fn volumes(&self) -> impl Iterator<Item = (&str, &str)> {
        const PREFIXES: [&str; 9] =
            ["mp", "scsi", "virtio", "sata", "ide", "unused", "efidisk", "tpmstate", "rootfs"];
        self.raw.iter().filter_map(|(key, value)| {
            let known = PREFIXES.iter().any(|p| {
                key.strip_prefix(p).is_some_and(|rest| {
                    rest.bytes().all(|b| b.is_ascii_digit()) && (!rest.is_empty() || *p == "rootfs")
                })
            });
            known.then_some((key.as_str(), value.as_str()))
        })
    }
}

impl<'de> Deserialize<'de> for GuestConfig {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw: BTreeMap<String, Value> = BTreeMap::deserialize(d)?;
        let raw: BTreeMap<String, String> = raw
            .into_iter()
            .filter_map(|(key, value)| {
                let text = match value {
                    Value::Null => return None,
                    Value::Bool(b) => u8::from(b).to_string(),
                    Value::Number(n) => n.to_string(),
                    Value::String(s) => s,
                    other => other.to_string(),
                };
                Some((key, text))
            })
            .collect();
        let text = |key: &str| raw.get(key).cloned();
        let number = |key: &str| raw.get(key).and_then(|v| v.trim().parse().ok());
        let flag = |key: &str| raw.get(key).is_some_and(|v| v == "1" || v == "true");
        Ok(Self {
            digest: text("digest"),
            name: text("hostname").or_else(|| text("name")),
            description: text("description"),
            tags: text("tags"),
            cores: number("cores"),
            memory_mib: number("memory"),
            swap_mib: number("swap"),
            lock: text("lock"),
            protection: flag("protection"),
            onboot: flag("onboot"),
            unprivileged: flag("unprivileged"),
            template: flag("template"),
            raw,
        })
    }
}

/// A row of `GET …/pending`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PendingSetting {
    /// The setting.
    #[serde(default)]
    pub key: String,
    /// Its value from the next start on.
    #[serde(default)]
    pub pending: Option<Value>,
    /// Whether it is taken out at the next start: 1, or 2 by force.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub delete: Option<u64>,
}

impl PendingSetting {
    /// Whether it changes at the next start.
    pub fn waits(&self) -> bool {
        self.pending.is_some() || self.delete.is_some_and(|n| n > 0)
    }
}
