//! What a line that was taken does on its node, and what is said of it, with the script's exit status.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::forwards;
use super::grammar::{Forward, Line};
use crate::guest::GuestKind;
use crate::state::State;
use crate::volume::{Volume, volid_name};

/// Programs a node runs as health checks where its owner has said nothing.
const HEALTH_PROGRAMS: [&str; 6] = ["true", "test", "pidof", "pgrep", "pg_isready", "healthcheck"];
/// Seconds a conversion or copy takes at speed 1.0.
const LONG_SECONDS: f64 = 4.0;
/// Who is named in the list of changes.
pub(super) const USER: &str = "root@ssh";

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) status: u32,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// How long it takes; lines of progress come meanwhile.
    pub(super) takes: Duration,
}

impl Said {
    pub(super) fn done(stdout: String) -> Self {
        Self { status: 0, stdout, stderr: String::new(), takes: Duration::ZERO }
    }

    pub(super) fn leave(status: u32, why: impl AsRef<str>) -> Self {
        let stderr = format!("gantry-node: {}\n", why.as_ref());
        Self { status, stdout: String::new(), stderr, takes: Duration::ZERO }
    }
}

impl From<Result<String, String>> for Said {
    fn from(result: Result<String, String>) -> Self {
        match result {
            Ok(stdout) => Self::done(stdout),
            Err(why) => Self::leave(65, why),
        }
    }
}

impl State {
    /// Carries a line out on `node`.
    pub(super) fn act(&mut self, node: &str, line: &Line) -> Said {
        let now = self.now();
        match line {
            Line::Probe => {
                Said::done(probe(&self.shells.entry(node.to_owned()).or_default().script))
            }
            Line::BridgeShow(bridge) => self.show_bridge(node, bridge).into(),
            Line::BridgeSet { bridge, setting, on } => {
                let said: Said = self.set_bridge(node, bridge, setting, *on).into();
                if said.status == 0 {
                    let detail = format!("{bridge} {setting} {}", if *on { "on" } else { "off" });
                    self.note(now, "bridge-set", None, node, USER, &detail);
                }
                said
            }
            Line::PortSet { bridge, port, flag, on } => {
                let said: Said = self.set_port(node, (bridge, port), flag, *on).into();
                if said.status == 0 {
                    let detail = format!("{port} {flag} {}", if *on { "on" } else { "off" });
                    self.note(now, "port-set", None, node, USER, &detail);
                }
                said
            }
            Line::ForwardList => Said::done(self.forward_listing(node)),
            Line::ForwardApply { expected, generation, forwards } => {
                let said = self.apply_forwards(node, expected, generation, forwards);
                if said.status == 0 {
                    let detail = format!("{} forwards", forwards.len());
                    self.note(now, "forward-apply", None, node, USER, &detail);
                }
                said
            }
            Line::Exec { vmid, program, .. } => self.run_in(node, *vmid, program),
            Line::Unlock(vmid) => {
                let Some(guest) = self.guests.get_mut(vmid).filter(|g| g.node == node) else {
                    return Said::leave(65, format!("guest {vmid} is not on this node"));
                };
                let was = guest.config.remove("lock");
                if let Some(was) = &was {
                    self.note(now, "unlock", Some(*vmid), node, USER, was);
                }
                Said::done(format!("was {}\n", was.as_deref().unwrap_or("none")))
            }
            Line::LxcProfile { vmid, armor, filter } => self.profile(node, *vmid, armor, filter),
            Line::ImageInfo { volume, format } => self.image_info(node, volume, format).into(),
            Line::ImageConvert { source, from, target, to } => {
                self.convert(node, (source, from), (target, to))
            }
            Line::ImageCopy { reference, storage, name } => {
                self.copy_image(node, reference, storage, name)
            }
            Line::ImageChecksum(volume) => self.checksum(node, volume).into(),
        }
    }

    /// The answer of `forward-list`, with the node's own address.
    fn forward_listing(&mut self, node: &str) -> String {
        let own = self.nodes.iter().filter(|n| n.name == node);
        let local: Vec<_> = own.map(|n| n.address.to_string()).collect();
        self.shells.entry(node.to_owned()).or_default().forwards.listing(&local)
    }

    fn apply_forwards(
        &mut self,
        node: &str,
        expected: &str,
        wanted: &str,
        all: &[Forward],
    ) -> Said {
        if forwards::generation(all) != wanted {
            return Said::leave(64, "the forwards are not those of the generation");
        }
        let own = self.nodes.iter().find(|n| n.name == node).map(|n| n.address.to_string());
        let shell = self.shells.entry(node.to_owned()).or_default();
        let live = shell.forwards.in_force();
        if expected != "any" && expected != live {
            let why = format!("the table in force is {live}, not {expected}; nothing was changed");
            return Said::leave(76, why);
        }
        let before = shell.forwards.kept.as_ref().map(|(_, f)| f.as_slice()).unwrap_or_default();
        if let Some(one) = all.iter().find(|f| Some(&f.target) == own.as_ref()) {
            let why = format!("{} is an address of this node; nothing was changed", one.target);
            return Said::leave(65, why);
        }
        for one in all.iter().filter(|f| !before.contains(f)) {
            if shell.listening.contains(&(one.proto.clone(), one.port)) {
                let (proto, port) = (&one.proto, one.port);
                let why = format!(
                    "a program of the node listens at {proto} port {port}; nothing was changed"
                );
                return Said::leave(76, why);
            }
        }
        shell.forwards.apply(wanted, all.to_vec());
        Said::done(self.forward_listing(node))
    }

    fn run_in(&mut self, node: &str, vmid: u32, program: &str) -> Said {
        let shell = self.shells.entry(node.to_owned()).or_default();
        if !HEALTH_PROGRAMS.contains(&program) && !shell.programs.iter().any(|p| p == program) {
            let why = format!(
                "{program} is not a health check of this node; its owner can add it to /etc/gantry-node/exec-programs"
            );
            return Said::leave(65, why);
        }
        let guest = self.guest_at(node, GuestKind::Lxc, vmid);
        let Some(guest) = guest.filter(|g| g.running.is_some()) else {
            return Said::leave(65, format!("container {vmid} is not running on this node"));
        };
        let (status, output) = match self.exec_answers.get(&vmid) {
            Some(answer) => answer.clone(),
            None if program == "true" || !guest.unhealthy => (Some(0), String::new()),
            None => (Some(1), format!("{} is not well", guest.name())),
        };
        let mut text = match status {
            Some(status) => format!("exit {status}\n"),
            None => "exit timeout\n".to_owned(),
        };
        for line in output.lines() {
            text.push_str(&format!("out {line}\n"));
        }
        Said::done(text)
    }

    fn profile(&mut self, node: &str, vmid: u32, armor: &str, filter: &str) -> Said {
        let allowed = self.shells.entry(node.to_owned()).or_default().unconfined;
        if self.guest_at(node, GuestKind::Lxc, vmid).is_none() {
            return Said::leave(65, format!("container {vmid} is not on this node"));
        }
        if armor == "unconfined" && !allowed {
            let why = "unconfined containers are not allowed on this node; its owner can create /etc/gantry-node/allow-unconfined";
            return Said::leave(65, why);
        }
        let now = self.now();
        let Some(guest) = self.guests.get_mut(&vmid) else {
            return Said::leave(65, format!("container {vmid} is not on this node"));
        };
        let profile = match armor {
            "nesting" => Some("lxc-container-default-with-nesting"),
            "unconfined" => Some("unconfined"),
            _ => None,
        };
        let rules = (filter == "common").then_some("/usr/share/lxc/config/common.seccomp");
        let mut lines: Vec<(String, String)> = Vec::new();
        for (key, value) in [("lxc.apparmor.profile", profile), ("lxc.seccomp.profile", rules)] {
            guest.config.remove(key);
            if let Some(value) = value {
                guest.config.insert(key.to_owned(), value.to_owned());
                lines.push((key.to_owned(), value.to_owned()));
            }
        }
        let others = guest
            .config
            .iter()
            .filter(|(k, _)| k.starts_with("lxc.") && !lines.iter().any(|(own, _)| own == *k));
        let text: String = others
            .map(|(k, v)| (k.clone(), v.clone()))
            .chain(lines.clone())
            .map(|(k, v)| format!("line {k}: {v}\n"))
            .collect();
        self.note(now, "lxc-profile", Some(vmid), node, USER, &format!("{armor} {filter}"));
        Said::done(text)
    }

    /// A volume that is there.
    fn need_volume(&self, node: &str, volid: &str) -> Result<&Volume, String> {
        let storage = volid.split(':').next().unwrap_or_default();
        if self.storage(storage).is_none() {
            return Err(format!("no volume {volid}: storage '{storage}' does not exist"));
        }
        self.volume(node, volid).ok_or_else(|| format!("volume {volid} does not exist"))
    }

    fn image_info(&self, node: &str, volid: &str, format: &str) -> Result<String, String> {
        let volume = self.need_volume(node, volid)?;
        let is = if volid.ends_with(".qcow2") { "qcow2" } else { "raw" };
        // Any file passes for raw; qcow2 begins with a mark of its own.
        if format == "qcow2" && is != "qcow2" {
            return Err(
                "it is not a qcow2 image: qemu-img: Could not open: Image is not in qcow2 format"
                    .to_owned(),
            );
        }
        let facts = serde_json::json!({
            "virtual-size": volume.bytes,
            "actual-size": volume.bytes,
            "filename": format!("/var/lib/vz/{}", volid_name(volid)),
            "format": format,
            "dirty-flag": false,
        });
        Ok(format!("image {facts}\n"))
    }

    fn long(&self) -> Duration {
        Duration::from_secs_f64((LONG_SECONDS * self.settings.speed).max(0.0))
    }

    fn convert(&mut self, node: &str, source: (&str, &str), target: (&str, &str)) -> Said {
        let storage = target.0.split(':').next().unwrap_or_default().to_owned();
        let Some(found) = self.storage(&storage) else {
            let why = format!("no volume {}: storage '{storage}' does not exist", target.0);
            return Said::leave(65, why);
        };
        if !matches!(found.spec.plugin.as_str(), "dir" | "nfs" | "cifs") {
            let why = format!("{} is not a file; move the disk through the API instead", target.0);
            return Said::leave(65, why);
        }
        if source.0 == target.0 {
            return Said::leave(65, "source and target are the same");
        }
        let volume = match self.need_volume(node, source.0) {
            Ok(volume) => volume.clone(),
            Err(why) => return Said::leave(65, why),
        };
        if self.volume_exists(node, target.0) {
            let why = format!("volume {} exists already; nothing was changed", target.0);
            return Said::leave(76, why);
        }
        if let Err(why) = self.image_info(node, source.0, source.1) {
            return Said::leave(65, why);
        }
        self.put_volume(node, target.0, volume);
        let now = self.now();
        self.note(now, "image-convert", None, node, USER, target.0);
        let takes = self.long();
        let said: Said = self.image_info(node, target.0, target.1).into();
        Said { takes, ..said }
    }

    fn copy_image(&mut self, node: &str, reference: &str, storage: &str, name: &str) -> Said {
        let volid = format!("{storage}:vztmpl/{name}.tar");
        if self.storage(storage).is_none() {
            let why = format!("no volume {volid}: storage '{storage}' does not exist");
            return Said::leave(65, why);
        }
        if self.volume_exists(node, &volid) {
            return Said::leave(76, format!("volume {volid} exists already; nothing was changed"));
        }
        let Some(image) = self.internet.image(reference).cloned() else {
            return Said::leave(65, format!("{reference} was not found: manifest unknown"));
        };
        let now = self.now();
        let volume = Volume {
            bytes: image.bytes,
            created: now as u64,
            data: self.fresh_data(),
            reference: Some(image.reference()),
            digest: Some(image.digest.clone()),
            unhealthy: image.unhealthy,
            ..Volume::default()
        };
        self.put_volume(node, &volid, volume);
        self.note(now, "image-copy", None, node, USER, &volid);
        let (digest, size, takes) = (image.digest, image.bytes, self.long());
        Said { takes, ..Said::done(format!("volume {volid}\ndigest {digest}\nsize {size}\n")) }
    }

    /// Of what a volume stands for: the same content has the same sum.
    fn checksum(&self, node: &str, volid: &str) -> Result<String, String> {
        let volume = self.need_volume(node, volid)?;
        let own = volume.digest.as_deref().map(|d| d.trim_start_matches("sha256:").to_owned());
        let sum = own
            .filter(|d| d.len() == 64)
            .unwrap_or_else(|| hex::encode(Sha256::digest(volume.data.to_be_bytes())));
        Ok(format!("sha256 {sum}\nsize {}\n", volume.bytes))
    }
}

fn probe(script: &str) -> String {
    let mut text = format!("version 1\nscript {script}\n");
    for tool in [
        "ip",
        "bridge",
        "nft",
        "ss",
        "conntrack",
        "qemu-img",
        "skopeo",
        "pct",
        "qm",
        "pvesm",
        "flock",
        "timeout",
        "logger",
        "systemctl",
    ] {
        text.push_str(&format!("tool {tool} yes\n"));
    }
    text.push_str("forwarding ipv4 on\nforwarding ipv6 on\nboot-unit yes\n");
    text
}
