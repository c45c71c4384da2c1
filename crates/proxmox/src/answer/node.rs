//! Answers about one node: its figures and its network interfaces.

use serde::Deserialize;
use serde_json::Value;

use crate::lenient;

/// `GET /nodes/{node}/status`.
#[derive(Debug, Clone, Default)]
pub struct NodeStatus {
    /// Load of all cores together, 0 to 1.
    pub cpu: Option<f64>,
    /// Cores.
    pub cpus: Option<u64>,
    /// Load average over 1, 5 and 15 minutes.
    pub loadavg: Vec<f64>,
    /// Memory in use and in total, bytes.
    pub memory: Usage,
    /// Swap in use and in total, bytes.
    pub swap: Usage,
    /// Root file system in use and in total, bytes.
    pub rootfs: Usage,
    /// Seconds since boot.
    pub uptime: Option<u64>,
    /// `pve-manager/9.1.3/…`.
    pub pveversion: Option<String>,
    /// The running kernel's release.
    pub kernel: Option<String>,
}

/// Used and total bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// In use, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub used: Option<u64>,
    /// In total, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub total: Option<u64>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default, deserialize_with = "lenient::f64")]
    cpu: Option<f64>,
    #[serde(default)]
    cpuinfo: Value,
    #[serde(default)]
    loadavg: Value,
    #[serde(default)]
    memory: Value,
    #[serde(default)]
    swap: Value,
    #[serde(default)]
    rootfs: Value,
    #[serde(default, deserialize_with = "lenient::u64")]
    uptime: Option<u64>,
    #[serde(default, deserialize_with = "lenient::text")]
    pveversion: Option<String>,
    #[serde(default, rename = "current-kernel")]
    current_kernel: Value,
    #[serde(default, deserialize_with = "lenient::text")]
    kversion: Option<String>,
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str().and_then(|s| s.trim().parse().ok()))
}

fn usage(value: Value) -> Usage {
    serde_json::from_value(value).unwrap_or_default()
}

impl<'de> Deserialize<'de> for NodeStatus {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(d)?;
        let cpus = raw.cpuinfo.get("cpus");
        let release = raw.current_kernel.get("release").and_then(Value::as_str);
        Ok(Self {
            cpu: raw.cpu,
            cpus: cpus.and_then(|c| c.as_u64().or_else(|| c.as_str()?.parse().ok())),
            loadavg: raw
                .loadavg
                .as_array()
                .map(|all| all.iter().filter_map(number).collect())
                .unwrap_or_default(),
            memory: usage(raw.memory),
            swap: usage(raw.swap),
            rootfs: usage(raw.rootfs),
            uptime: raw.uptime,
            pveversion: raw.pveversion,
            kernel: release.map(str::to_owned).or(raw.kversion),
        })
    }
}

/// One row of `GET /nodes/{node}/network`.
#[derive(Debug, Clone, Deserialize)]
pub struct Iface {
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub iface: Option<String>,
    /// `bridge`, `eth`, `bond`, `vlan`, `OVSBridge`, …
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// Whether it is up.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: bool,
    /// Whether it comes up with the node.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub autostart: bool,
    /// Address with prefix length.
    #[serde(default, deserialize_with = "lenient::text")]
    pub cidr: Option<String>,
    /// Gateway.
    #[serde(default, deserialize_with = "lenient::text")]
    pub gateway: Option<String>,
    /// Ports of a bridge, separated by spaces.
    #[serde(default, deserialize_with = "lenient::text")]
    pub bridge_ports: Option<String>,
    /// Whether the bridge filters by VLAN.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub bridge_vlan_aware: bool,
    /// Its comment.
    #[serde(default, deserialize_with = "lenient::text")]
    pub comments: Option<String>,
}

impl Iface {
    /// Whether guests can be attached to it.
    pub fn is_bridge(&self) -> bool {
        matches!(self.kind.as_deref(), Some("bridge" | "OVSBridge" | "vnet"))
    }
}
