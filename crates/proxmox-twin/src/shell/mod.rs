//! The SSH end of every node: a forced command that takes a closed list of lines, with the exit statuses and answers of
//! the script that stands on a real node.
//!
//! Troubles meet a line as they meet a request: method `SSH`, path `/nodes/{node}/{verb}`. A cut connection does not
//! stop what was begun.

mod act;
mod bridges;
mod door;
mod forwards;
mod grammar;

use std::collections::{BTreeMap, BTreeSet};

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use serde::Deserialize;

pub(crate) use door::listen;
pub(crate) use grammar::Forward;

use crate::Error;
use crate::state::State;

/// What a node's script and kernel know.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeFiles {
    pub(crate) bridges: bridges::Bridges,
    pub(crate) forwards: forwards::Forwards,
    /// Ports at which programs of the node listen.
    listening: BTreeSet<(String, u16)>,
    /// More programs that may run as health checks.
    programs: BTreeSet<String>,
    /// Whether its owner allows unconfined containers.
    unconfined: bool,
    /// What `probe` says of the script: 64 hexadecimal digits.
    script: String,
}

/// How a program inside a guest ends: its status, or `None` when it takes too long, and what it says.
pub(crate) type ExecAnswers = BTreeMap<u32, (Option<u8>, String)>;

/// Something done on a node by hand, past the script.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeMeddling {
    /// `nft flush ruleset`: no table any more.
    Flush {
        /// On which node.
        node: String,
    },
    /// Somebody has written forwards into the table by hand.
    Forwards {
        /// On which node.
        node: String,
        /// What it holds now, as `tcp,ipv4,any,8080,10.0.0.5,80`.
        forwards: Vec<String>,
    },
    /// The node has restarted: its boot unit has put everything back. Its guests are as they were.
    Restart {
        /// Which.
        node: String,
    },
    /// A program of the node listens at a port.
    Listens {
        /// On which node.
        node: String,
        /// `tcp` or `udp`.
        proto: String,
        /// At which port.
        port: u16,
    },
    /// The node's owner lets one more program run as a health check.
    Program {
        /// On which node.
        node: String,
        /// Which.
        program: String,
    },
    /// The node's owner allows unconfined containers.
    Unconfined {
        /// On which node.
        node: String,
    },
    /// The script that `probe` says is installed, by its SHA-256.
    Script {
        /// On which node.
        node: String,
        /// 64 hexadecimal digits.
        sha256: String,
    },
    /// A bridge's STP was switched by hand.
    Stp {
        /// On which node.
        node: String,
        /// Which bridge.
        bridge: String,
        /// On or off.
        on: bool,
    },
    /// How programs end inside a guest from now on.
    Exec {
        /// Which guest.
        vmid: u32,
        /// Exit status; absent = it takes too long.
        status: Option<u8>,
        /// What it says.
        #[serde(default)]
        output: String,
    },
    /// Whoever is root in a container gives its cards these addresses, beside those it was given.
    Says {
        /// Which guest.
        vmid: u32,
        /// IPv4 addresses without their prefix; none: it says what it was given again.
        addresses: Vec<String>,
    },
}

impl State {
    /// Does something on a node by hand.
    pub(crate) fn meddle_node(&mut self, order: NodeMeddling) {
        match order {
            NodeMeddling::Flush { node } => self.on_node(node).forwards.live = None,
            NodeMeddling::Forwards { node, forwards } => {
                let own = &mut self.on_node(node).forwards;
                let generation = own.in_force().to_owned();
                own.live = Some((generation, forwards::read(&forwards)));
                own.touched = true;
            }
            NodeMeddling::Restart { node } => {
                let shell = self.on_node(node);
                shell.forwards.restore();
                let kept = shell.bridges.kept.clone();
                shell.bridges = bridges::Bridges::default();
                shell.bridges.kept.clone_from(&kept);
                for (line, on) in kept {
                    let words: Vec<&str> = line.split(' ').collect();
                    if let ["bridge", name, setting] = words.as_slice() {
                        let own = shell.bridges.switches.entry((*name).to_owned()).or_default();
                        match *setting {
                            "stp" => own.stp = on,
                            "mcast-snooping" => own.no_snooping = !on,
                            _ => own.filtering = Some(on),
                        }
                    }
                }
            }
            NodeMeddling::Listens { node, proto, port } => {
                self.on_node(node).listening.insert((proto, port));
            }
            NodeMeddling::Program { node, program } => {
                self.on_node(node).programs.insert(program);
            }
            NodeMeddling::Unconfined { node } => self.on_node(node).unconfined = true,
            NodeMeddling::Script { node, sha256 } => self.on_node(node).script = sha256,
            NodeMeddling::Stp { node, bridge, on } => {
                self.on_node(node).bridges.switches.entry(bridge).or_default().stp = on;
            }
            NodeMeddling::Exec { vmid, status, output } => {
                self.exec_answers.insert(vmid, (status, output));
            }
            NodeMeddling::Says { vmid, addresses } => {
                self.said_addresses.insert(vmid, addresses);
            }
        }
    }

    fn on_node(&mut self, node: String) -> &mut NodeFiles {
        self.shells.entry(node).or_default()
    }

    /// The forwards in force on a node.
    pub(crate) fn live_forwards(&self, node: &str) -> Option<&Vec<Forward>> {
        self.shells.get(node)?.forwards.live.as_ref().map(|(_, forwards)| forwards)
    }
}

/// Whether a line is taken.
pub(crate) fn takes(line: &str) -> Result<(), &'static str> {
    grammar::parse(line).map(drop)
}

/// A fresh ed25519 key.
pub(crate) fn key() -> Result<PrivateKey, Error> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|e| Error::Certificates(e.to_string()))?;
    Ok(PrivateKey::from(Ed25519Keypair::from_seed(&seed)))
}

/// A key as OpenSSH keeps it in a file.
pub(crate) fn private_text(key: &PrivateKey) -> Result<String, Error> {
    let text = key.to_openssh(LineEnding::LF).map_err(|e| Error::Certificates(e.to_string()))?;
    Ok(text.as_str().to_owned())
}

/// Its public half, `ssh-ed25519 AAAA…`.
pub(crate) fn public_text(key: &PrivateKey) -> Result<String, Error> {
    key.public_key().to_openssh().map_err(|e| Error::Certificates(e.to_string()))
}
