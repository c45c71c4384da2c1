//! What the Proxmox API cannot do, over SSH, as a closed list of typed commands.
//!
//! Promises: only lines of [`Command`] leave; a node proves who it is by its pinned host key before anything is said;
//! every call has a deadline and every queue a bound; one dead node slows no other; an error says whether something
//! may have been carried out ([`Error::advice`]). The other end is [`SCRIPT`], which takes exactly this list and
//! checks every word again. Called by `gantry-engine` and by `gantry doctor`.

mod answer;
mod bridge;
mod client;
mod command;
mod config;
mod error;
mod forward;
mod image;
mod link;
mod node;
mod pin;
mod ruleset;
mod session;
mod words;

pub use answer::{HealthOutcome, Lock, Probe, ProfileLine};
pub use bridge::{BridgeState, Kept, PortState};
pub use client::NodeShell;
pub use command::{AppArmor, BridgeSetting, Command, Expected, HealthCheck, PortFlag, Seccomp};
pub use config::{Config, Deadlines, NodeAddress};
pub use error::Error;
pub use forward::{BadForward, FORWARDS_MAX, Family, Forward, ForwardTable, Generation, Listen};
pub use forward::{Protocol, RESERVED_PORTS};
pub use gantry_core::advice::Advice;
pub use image::{Checksum, CopiedImage, Format, ImageInfo};
pub use pin::HostKey;
pub use ruleset::{ForwardState, LiveTable};
pub use session::Progress;
pub use words::{ImageRef, Interface, Program, StorageName, TemplateName, Volume, Word};

/// The script that stands on a node as the forced command of gantry's key.
pub const SCRIPT: &str = include_str!("../node/gantry-node");

/// The unit that puts bridge settings and port forwards back when a node starts.
pub const BOOT_UNIT: &str = include_str!("../node/gantry-node.service");

/// Where the script is installed on a node.
pub const SCRIPT_PATH: &str = "/usr/local/sbin/gantry-node";

/// The protocol this crate speaks; the script says which one it speaks.
pub const PROTOCOL: u32 = 1;

/// The SHA-256 of [`SCRIPT`], 64 lower-case hexadecimal digits; [`Probe::script`] is compared with it.
pub fn script_sha256() -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(Sha256::digest(SCRIPT.as_bytes()))
}

/// The line of `authorized_keys` for a public key, `ssh-ed25519 AAAA… gantry`.
pub fn authorized_keys_line(public_key: &str) -> String {
    format!("restrict,command=\"{SCRIPT_PATH}\" {}", public_key.trim())
}
