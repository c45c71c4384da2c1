//! What runs inside a pod and what it may do: environment, entrypoint, features, boot order, ports.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::problem::{Problems, is_label};

/// Most variables; they stand in one line of the configuration.
const ENV_MAX: usize = 64;
/// Longest value of a variable, bytes.
const ENV_VALUE_MAX: usize = 2000;
/// Longest entrypoint, bytes.
const ENTRYPOINT_MAX: usize = 1000;
/// Most ports; keeps cards and rule sets readable.
const PORTS_MAX: usize = 64;

/// Environment variables of an OCI container (Proxmox VE 9.1 and later).
///
/// Proxmox keeps them in the guest's configuration, readable for everybody who may look at it: no place for secrets.
/// Values are still never printed by `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Env(pub BTreeMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Env {
    pub(super) fn check(&self, found: &mut Problems) {
        found.check(self.0.len() <= ENV_MAX, "env", "at most 64 variables");
        for (name, value) in &self.0 {
            found.check(
                is_variable(name),
                format!("env.{name}"),
                "a variable's name is letters, digits and _, and does not start with a digit",
            );
            // Proxmox's own pattern for `env`; 0x09 to 0x0f pass it, but a line break would end the configuration's line.
            found.check(
                value.len() <= ENV_VALUE_MAX
                    && !value.chars().any(|c| c.is_ascii_control())
                    && value.trim() == value,
                format!("env.{name}"),
                // Proxmox keeps it in one line and trims that.
                "a value is at most 2000 bytes, without control characters and without spaces around it",
            );
        }
    }
}

/// First version of Proxmox VE whose containers take an environment and an entrypoint.
const PROCESS_SINCE: (u32, u32) = (9, 1);

/// Whether a setting says what runs inside.
pub(super) fn is_process(key: &str) -> bool {
    matches!(key, "env" | "entrypoint")
}

/// Why a node of this version cannot set what runs inside, as the end of a sentence; `None` where it can or did not
/// say which it has.
pub(super) fn too_old(version: Option<(u32, u32)>) -> Option<String> {
    let (major, minor) = version.filter(|v| *v < PROCESS_SINCE)?;
    Some(format!(
        "runs Proxmox VE {major}.{minor}; `env` and `entrypoint` need 9.1. Leave them out and set them inside the container, \
         in /etc/environment and as a service, or use a node with 9.1."
    ))
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn check_entrypoint(entrypoint: Option<&str>, found: &mut Problems) {
    found.check(
        entrypoint.is_none_or(|e| {
            !e.is_empty()
                && e.trim() == e
                && e.len() <= ENTRYPOINT_MAX
                && !e.chars().any(|c| c.is_ascii_control())
        }),
        "entrypoint",
        "one line of at most 1000 bytes",
    );
}

/// What the container may do besides the usual. A token may set `nesting`; the others are root@pam's own at Proxmox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// Containers may run inside.
    #[serde(skip_serializing_if = "super::is_true")]
    pub nesting: bool,
    /// The `keyctl` system call, which Docker inside an unprivileged container wants.
    #[serde(skip_serializing_if = "super::is_default")]
    pub keyctl: bool,
    /// FUSE file systems.
    #[serde(skip_serializing_if = "super::is_default")]
    pub fuse: bool,
    /// Device nodes may be made.
    #[serde(skip_serializing_if = "super::is_default")]
    pub mknod: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self { nesting: true, keyctl: false, fuse: false, mknod: false }
    }
}

impl Features {
    /// Names of the features that only root@pam may set.
    pub fn of_root(&self) -> Vec<&'static str> {
        [("keyctl", self.keyctl), ("fuse", self.fuse), ("mknod", self.mknod)]
            .into_iter()
            .filter_map(|(name, on)| on.then_some(name))
            .collect()
    }
}

/// When it starts by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boot {
    /// Whether it starts with its node.
    #[serde(skip_serializing_if = "super::is_true")]
    pub start: bool,
    /// Position in the order of starting; shut down in reverse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// Pause after its start before the next one starts, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_s: Option<u32>,
    /// How long its shutdown may take when the node goes down, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_s: Option<u32>,
}

impl Default for Boot {
    fn default() -> Self {
        Self { start: true, order: None, up_s: None, down_s: None }
    }
}

impl Boot {
    /// As Proxmox's `startup`: `order=1,up=10,down=60`; empty where nothing is said.
    pub fn startup(&self) -> String {
        [("order", self.order), ("up", self.up_s), ("down", self.down_s)]
            .into_iter()
            .filter_map(|(key, value)| value.map(|v| format!("{key}={v}")))
            .collect::<Vec<_>>()
            .join(",")
    }

    pub(super) fn check(&self, found: &mut Problems) {
        found.check(self.order.is_none_or(|n| n <= 9999), "boot.order", "0 to 9999");
        found.check(self.up_s.is_none_or(|n| n <= 86_400), "boot.up_s", "0 to 86400 seconds");
        found.check(self.down_s.is_none_or(|n| n <= 86_400), "boot.down_s", "0 to 86400 seconds");
    }
}

/// TCP or UDP.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port that shall be reachable from outside. With a `node_port` it becomes a port forward.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Port {
    /// What it is called; used by services.
    pub name: String,
    /// TCP or UDP.
    #[serde(skip_serializing_if = "super::is_default")]
    pub protocol: Protocol,
    /// Port inside the pod.
    pub port: u16,
    /// Port on the node that leads to it; left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
}

pub(super) fn check_ports(ports: &[Port], found: &mut Problems) {
    found.check(ports.len() <= PORTS_MAX, "ports", "at most 64 ports");
    for (n, port) in ports.iter().enumerate() {
        let key = |name: &str| format!("ports[{n}].{name}");
        found.check(
            is_label(&port.name) && port.name.len() <= 15,
            key("name"),
            "letters a-z, digits and -, at most 15 characters",
        );
        found.check(port.port > 0, key("port"), "1 to 65535");
        found.check(port.node_port != Some(0), key("node_port"), "1 to 65535");
        found.check(
            !ports[..n].iter().any(|p| p.name == port.name),
            key("name"),
            format!("{} stands here twice", port.name),
        );
        found.check(
            port.node_port.is_none()
                || !ports[..n]
                    .iter()
                    .any(|p| p.protocol == port.protocol && p.node_port == port.node_port),
            key("node_port"),
            "two ports cannot share one of the node",
        );
    }
}
