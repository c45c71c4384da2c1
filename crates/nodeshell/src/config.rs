//! Where the nodes are, how each proves who it is, and as whom gantry comes.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::id::NodeName;
use secrecy::Secret;

use crate::pin::HostKey;

/// One node's SSH.
#[derive(Debug, Clone)]
pub struct NodeAddress {
    /// Host name or address.
    pub host: String,
    /// Port, usually 22.
    pub port: u16,
    /// The host keys it may show; several while a key is being changed.
    pub host_keys: Vec<HostKey>,
}

/// The node shell of one cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its nodes. A node that is not here has no node shell.
    pub nodes: BTreeMap<NodeName, NodeAddress>,
    /// The user on the nodes; `root`, because nft, pct and ip need it. The forced command is what limits it.
    pub user: String,
    /// gantry's private key in OpenSSH form, without a passphrase.
    pub private_key: Secret<String>,
    /// How long things may take.
    pub deadlines: Deadlines,
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// Until a connection stands and gantry is logged in.
    pub connect: Duration,
    /// Until a command has ended. Longer than the 10 s for which the script waits for another change.
    pub command: Duration,
    /// Until a conversion, copy or checksum has ended. A little longer than the script's own 6 h.
    pub long_command: Duration,
    /// How long a command waits for its turn.
    pub queue: Duration,
    /// Silence after which a connection is asked whether it still stands; after three such times it is given up.
    pub keepalive: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            command: Duration::from_secs(30),
            long_command: Duration::from_secs(6 * 3600 + 300),
            queue: Duration::from_secs(30),
            keepalive: Duration::from_secs(10),
        }
    }
}
