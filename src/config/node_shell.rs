//! `[clusters.node_shell]`: what the Proxmox API cannot do, over SSH. Off as long as `nodes` is absent.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gantry_core::id::NodeName;
use gantry_nodeshell::{Config, Deadlines, HostKey, NodeAddress};
use secrecy::Secret;
use serde::{Deserialize, Serialize};

use super::read::Section;

/// Largest key file read, in bytes; an ed25519 key has 400.
const KEY_FILE_MAX: u64 = 16 * 1024;
/// sshd's port when none is written.
const SSH_PORT: u16 = 22;
/// Whom gantry logs in as when nobody says; nft, pct and ip need root, and the forced command limits it.
const USER: &str = "root";

/// The node shell of one cluster.
#[derive(Debug, Clone)]
pub struct NodeShell(Config);

/// A node as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "write { address = \"pve1.example\", host_keys = [\"ssh-ed25519 AAAA…\"] }"
)]
struct RawNode {
    address: String,
    host_keys: Vec<String>,
}

impl NodeShell {
    /// What the node shell is opened with.
    pub fn config(&self) -> Config {
        self.0.clone()
    }

    /// `None`: it is off, or there was a mistake, which has been told.
    pub(super) fn read(mut s: Section<'_>) -> Option<Self> {
        let raw = s.may::<BTreeMap<String, RawNode>>("nodes").unwrap_or_default();
        let user = s.take("user", USER.to_owned());
        let key_file = s.may::<String>("private_key_file");
        let connect = s.number("connect_timeout_s", 5, 1..=60);
        let command = s.number("command_timeout_s", 30, 15..=300);
        let nodes = nodes(&s, raw);
        let found = if nodes.is_empty() {
            if key_file.is_some() {
                s.mistake("nodes", "is missing; nodes = { pve1 = { address = \"pve1.example\", host_keys = [\"ssh-ed25519 AAAA…\"] } }");
            }
            None
        } else {
            let key = key(&s, key_file.as_deref());
            key.map(|private_key| Config {
                nodes,
                user: user.clone(),
                private_key,
                deadlines: Deadlines {
                    connect: Duration::from_secs(connect.into()),
                    command: Duration::from_secs(command.into()),
                    ..Deadlines::default()
                },
            })
        };
        if !is_user(&user) {
            s.mistake("user", "is not the name of a user: letters, digits, - and _");
        }
        let found = found.filter(|config| match gantry_nodeshell::NodeShell::new(config.clone()) {
            Ok(_) => true,
            Err(error) => {
                s.mistake("private_key_file", error.to_string());
                false
            }
        });
        s.finish();
        found.map(Self)
    }
}

fn nodes(s: &Section<'_>, raw: BTreeMap<String, RawNode>) -> BTreeMap<NodeName, NodeAddress> {
    let mut nodes = BTreeMap::new();
    for (name, raw) in raw {
        let at = format!("nodes.{name}");
        let mut host_keys = Vec::new();
        for (n, text) in raw.host_keys.iter().enumerate() {
            match text.parse::<HostKey>() {
                Ok(key) => host_keys.push(key),
                Err(error) => s.mistake(&format!("{at}.host_keys[{n}]"), error.to_string()),
            }
        }
        if raw.host_keys.is_empty() {
            s.mistake(
                &format!("{at}.host_keys"),
                "is empty; write the line of /etc/ssh/ssh_host_ed25519_key.pub of that node",
            );
        }
        let address = address(&raw.address);
        if address.is_none() {
            s.mistake(
                &format!("{at}.address"),
                "must look like pve1.example, 10.0.0.1:22 or [fd00::1]:22",
            );
        }
        match (name.parse::<NodeName>(), address) {
            (Err(error), _) => s.mistake(&at, error.to_string()),
            (Ok(name), Some((host, port))) => {
                nodes.insert(name, NodeAddress { host, port, host_keys });
            }
            (Ok(_), None) => {}
        }
    }
    nodes
}

/// Reads the key; what it holds is never part of a message.
fn key(s: &Section<'_>, file: Option<&str>) -> Option<Secret<String>> {
    let Some(file) = file else {
        s.mistake(
            "private_key_file",
            "is missing; make a key with: ssh-keygen -t ed25519 -N '' -C gantry -f secrets/node-key",
        );
        return None;
    };
    match read_key(&s.reader().resolve(file)) {
        Ok(key) => Some(key),
        Err(why) => {
            s.mistake("private_key_file", why);
            None
        }
    }
}

fn read_key(path: &Path) -> Result<Secret<String>, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|e| format!("cannot read {shown}: {e}"))?.len();
    if size > KEY_FILE_MAX {
        return Err(format!("{shown} holds {size} bytes; that is no key"));
    }
    std::fs::read_to_string(path)
        .map(Secret::new)
        .map_err(|e| format!("cannot read {shown}: {}", e.kind()))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
fn address(text: &str) -> Option<(String, u16)> {
    let host_ok = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host.starts_with(|c: char| c.is_ascii_alphanumeric())
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0);
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if rest.is_empty() { SSH_PORT } else { port(rest.strip_prefix(':')?)? };
        return Some((host.to_owned(), port));
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((text.to_owned(), SSH_PORT));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, number)) => (host, port(number)?),
        None => (text, SSH_PORT),
    };
    host_ok(host).then(|| (host.to_owned(), port))
}

fn is_user(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_or_without_a_port() {
        let is = |text: &str, host: &str, port| {
            assert_eq!(address(text), Some((host.to_owned(), port)), "{text}");
        };
        is("pve1.example", "pve1.example", 22);
        is("10.0.0.1:2222", "10.0.0.1", 2222);
        is("[fd00::1]:2222", "fd00::1", 2222);
        is("[fd00::1]", "fd00::1", 22);
        is("fd00::1", "fd00::1", 22);
        for bad in ["", "root@pve1", "ssh://pve1", "pve1:", "pve1:0", "pve1:22:22", "[x]:1", "-a"] {
            assert!(address(bad).is_none(), "{bad}");
        }
    }
}
