//! The node shell of a cluster: one method a command, each with an answer of its own type.
//!
//! Writes are never repeated here. What changes something is to be recorded by the caller before it is called, and
//! looked for when the answer is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_core::id::{NodeName, Vmid};
use secrecy::ExposeSecret as _;

use crate::answer::{HealthOutcome, Lock, Probe, ProfileLine, Unreadable};
use crate::bridge::BridgeState;
use crate::command::{AppArmor, BridgeSetting, Command, Expected, HealthCheck, PortFlag, Seccomp};
use crate::config::Config;
use crate::error::Error;
use crate::forward::ForwardTable;
use crate::image::{Checksum, CopiedImage, Format, ImageInfo};
use crate::link::Dial;
use crate::node::Node;
use crate::ruleset::ForwardState;
use crate::session::Progress;
use crate::words::{ImageRef, Interface, StorageName, TemplateName, Volume};

/// The node shell of a cluster.
pub struct NodeShell {
    nodes: BTreeMap<NodeName, Node>,
    public_key: String,
}

impl std::fmt::Debug for NodeShell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.nodes.keys()).finish()
    }
}

impl NodeShell {
    /// A node shell that has not connected yet; each node is dialled when it is first asked.
    ///
    /// # Errors
    /// [`Error::Config`] for a key that cannot be read or a node without host keys.
    pub fn new(config: Config) -> Result<Self, Error> {
        let refused = |why: String| Error::Config { why };
        // The decoder's own words could quote the key.
        let key = russh::keys::decode_secret_key(config.private_key.expose_secret(), None)
            .map_err(|_| {
                refused(
                    "the node shell's private key cannot be read; it must be an OpenSSH key without a passphrase: \
                     ssh-keygen -t ed25519 -N '' -f FILE"
                        .to_owned(),
                )
            })?;
        let public_key = key
            .public_key()
            .to_openssh()
            .map_err(|_| refused("the node shell's private key has no public half".to_owned()))?;
        let key = Arc::new(key);
        let mut nodes = BTreeMap::new();
        for (name, address) in config.nodes {
            if address.host_keys.is_empty() {
                return Err(refused(format!(
                    "{name} has no host key; a node shell without one is not opened"
                )));
            }
            let dial = Dial {
                node: name.clone(),
                address,
                user: config.user.clone(),
                key: key.clone(),
                connect: config.deadlines.connect,
                keepalive: config.deadlines.keepalive,
            };
            nodes.insert(name, Node::new(dial, config.deadlines.clone()));
        }
        Ok(Self { nodes, public_key })
    }

    /// The nodes that have a node shell.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.keys()
    }

    /// gantry's public key, `ssh-ed25519 AAAA… comment`, for `authorized_keys`.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Whether a node has one.
    pub fn has(&self, node: &NodeName) -> bool {
        self.nodes.contains_key(node)
    }

    /// Forgets that a node did not answer or showed a wrong key, so that the next command dials at once.
    pub fn wake(&self, node: &NodeName) {
        if let Some(node) = self.nodes.get(node) {
            node.wake();
        }
    }

    /// Runs a command and returns its raw answer; the methods below read it.
    ///
    /// # Errors
    /// [`Error`]; its advice says whether the command may have been carried out.
    pub async fn run(
        &self,
        node: &NodeName,
        command: &Command,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<String, Error> {
        let node = self.nodes.get(node).ok_or_else(|| Error::UnknownNode { node: node.clone() })?;
        node.run(command, progress).await
    }

    async fn ask<T>(
        &self,
        node: &NodeName,
        command: Command,
        read: impl FnOnce(&str) -> Result<T, Unreadable>,
    ) -> Result<T, Error> {
        self.follow(node, command, &mut |_| {}, read).await
    }

    async fn follow<T>(
        &self,
        node: &NodeName,
        command: Command,
        progress: &mut (dyn FnMut(Progress) + Send),
        read: impl FnOnce(&str) -> Result<T, Unreadable>,
    ) -> Result<T, Error> {
        let said = self.run(node, &command, progress).await?;
        read(&said).map_err(|Unreadable(why)| Error::Decode {
            node: node.clone(),
            verb: command.verb(),
            why,
            write: command.is_write(),
        })
    }

    /// What the script and the node can do.
    pub async fn probe(&self, node: &NodeName) -> Result<Probe, Error> {
        self.ask(node, Command::Probe, Probe::read).await
    }

    /// A bridge as it is.
    pub async fn bridge(&self, node: &NodeName, bridge: Interface) -> Result<BridgeState, Error> {
        self.ask(node, Command::BridgeShow(bridge), BridgeState::read).await
    }

    /// Switches something of a bridge, now and at every start of the node. Answers the bridge as it is then.
    pub async fn set_bridge(
        &self,
        node: &NodeName,
        bridge: Interface,
        setting: BridgeSetting,
        on: bool,
    ) -> Result<BridgeState, Error> {
        self.ask(node, Command::BridgeSet(bridge, setting, on), BridgeState::read).await
    }

    /// Switches something of a port. Answers the bridge as it is then.
    pub async fn set_port(
        &self,
        node: &NodeName,
        bridge: Interface,
        port: Interface,
        flag: PortFlag,
        on: bool,
    ) -> Result<BridgeState, Error> {
        self.ask(node, Command::PortSet(bridge, port, flag, on), BridgeState::read).await
    }

    /// The forwards in force.
    pub async fn forwards(&self, node: &NodeName) -> Result<ForwardState, Error> {
        self.ask(node, Command::ForwardList, ForwardState::read).await
    }

    /// Puts a whole table in force if `expected` is in force now. Answers what is in force then.
    pub async fn apply_forwards(
        &self,
        node: &NodeName,
        expected: Expected,
        table: ForwardTable,
    ) -> Result<ForwardState, Error> {
        self.ask(node, Command::ForwardApply(expected, table), ForwardState::read).await
    }

    /// Runs a health check in a container that runs.
    pub async fn check_health(
        &self,
        node: &NodeName,
        vmid: Vmid,
        check: HealthCheck,
    ) -> Result<HealthOutcome, Error> {
        self.ask(node, Command::Exec(vmid, check), HealthOutcome::read).await
    }

    /// Takes the lock off a guest's configuration.
    pub async fn unlock(&self, node: &NodeName, vmid: Vmid) -> Result<Lock, Error> {
        self.ask(node, Command::Unlock(vmid), Lock::read).await
    }

    /// Sets the AppArmor and seccomp lines of a container. Answers the raw lines as they are then.
    pub async fn set_profile(
        &self,
        node: &NodeName,
        vmid: Vmid,
        armor: AppArmor,
        filter: Seccomp,
    ) -> Result<Vec<ProfileLine>, Error> {
        let command = Command::LxcProfile(vmid, armor, filter);
        self.ask(node, command, |said| Ok(ProfileLine::read_all(said))).await
    }

    /// What an image is.
    pub async fn image(
        &self,
        node: &NodeName,
        volume: Volume,
        format: Format,
    ) -> Result<ImageInfo, Error> {
        self.ask(node, Command::ImageInfo(volume, format), ImageInfo::read).await
    }

    /// Makes a converted copy of `source` as `target`, which must not exist.
    pub async fn convert_image(
        &self,
        node: &NodeName,
        source: (Volume, Format),
        target: (Volume, Format),
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImageInfo, Error> {
        let command = Command::ImageConvert(source.0, source.1, target.0, target.1);
        self.follow(node, command, progress, ImageInfo::read).await
    }

    /// Copies an OCI image into a storage as the container template `name`.tar, which must not exist.
    pub async fn copy_image(
        &self,
        node: &NodeName,
        reference: ImageRef,
        storage: StorageName,
        name: TemplateName,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<CopiedImage, Error> {
        let command = Command::ImageCopy(reference, storage, name);
        self.follow(node, command, progress, CopiedImage::read).await
    }

    /// The SHA-256 of a volume.
    pub async fn checksum(
        &self,
        node: &NodeName,
        volume: Volume,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Checksum, Error> {
        self.follow(node, Command::ImageChecksum(volume), progress, Checksum::read).await
    }
}
