//! The closed list of commands, and the one line each becomes.
//!
//! Nothing but a [`Command`] is ever sent, and every part of it is a type whose values hold no character that a shell
//! reads: the line needs no quoting because nothing in it could be quoted.

use std::fmt;
use std::time::Duration;

use gantry_core::id::Vmid;

use crate::config::Deadlines;
use crate::forward::{ForwardTable, Generation};
use crate::image::Format;
use crate::words::{ImageRef, Interface, Program, StorageName, TemplateName, Volume, Word};

/// Longest line that is sent, in bytes; the script takes no longer one. 256 forwards of the longest kind fit.
pub(crate) const LINE_MAX: usize = 32_768;
/// Words of a health check, the program not counted.
const WORDS_MAX: usize = 31;
/// Longest a health check may take, in seconds.
const HEALTH_MAX_S: u8 = 60;

/// A switch of a bridge that the API does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BridgeSetting {
    /// The spanning tree protocol.
    Stp,
    /// Multicast snooping.
    McastSnooping,
    /// VLAN filtering.
    VlanFiltering,
}

impl BridgeSetting {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stp => "stp",
            Self::McastSnooping => "mcast-snooping",
            Self::VlanFiltering => "vlan-filtering",
        }
    }
}

/// A switch of a bridge's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortFlag {
    /// Isolated ports do not reach each other, only ports that are not isolated.
    Isolated,
    /// Whether the bridge learns addresses at it.
    Learning,
    /// Whether frames to unknown addresses leave by it.
    Flood,
}

impl PortFlag {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Learning => "learning",
            Self::Flood => "flood",
        }
    }
}

/// Which table must be in force for a new one to take its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Any, or none.
    Any,
    /// There must be none.
    Absent,
    /// This one; another writer in between is refused as a conflict.
    Generation(Generation),
}

/// The AppArmor profile of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppArmor {
    /// What Proxmox chooses.
    Default,
    /// `lxc-container-default-with-nesting`.
    Nesting,
    /// None. The node's owner must have allowed it there.
    Unconfined,
}

/// The seccomp rules of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seccomp {
    /// What Proxmox chooses.
    Default,
    /// LXC's common rules, whatever features are set.
    Common,
}

/// A health check inside a container: a program and its words, no shell.
#[derive(Clone, PartialEq, Eq)]
pub struct HealthCheck {
    program: Program,
    words: Vec<Word>,
    seconds: u8,
}

/// A word of a health check may be a password: only the program is shown.
impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HealthCheck({} and {} words)", self.program, self.words.len())
    }
}

impl HealthCheck {
    /// A check that is ended after `seconds`, 1 to 60. `None` for more seconds or more than 31 words.
    pub fn new(program: Program, words: Vec<Word>, seconds: u8) -> Option<Self> {
        let ok = (1..=HEALTH_MAX_S).contains(&seconds) && words.len() <= WORDS_MAX;
        ok.then_some(Self { program, words, seconds })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

/// Everything that can be asked of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What the script and the node can do.
    Probe,
    /// A bridge as it is.
    BridgeShow(Interface),
    /// Switches something of a bridge, now and at every start of the node.
    BridgeSet(Interface, BridgeSetting, bool),
    /// Switches something of a port: bridge, port, what, on. Lasts as long as the port; the ports of guests are new
    /// at every start of the guest.
    PortSet(Interface, Interface, PortFlag, bool),
    /// The forwards in force.
    ForwardList,
    /// Puts this table in force, in one transaction, now and at every start of the node.
    ForwardApply(Expected, ForwardTable),
    /// Runs a health check in a container.
    Exec(Vmid, HealthCheck),
    /// Takes the lock off a guest's configuration.
    Unlock(Vmid),
    /// Sets the AppArmor and seccomp lines of a container; in force from its next start.
    LxcProfile(Vmid, AppArmor, Seccomp),
    /// What an image is.
    ImageInfo(Volume, Format),
    /// Makes a converted copy: source, its format, target, its format. The target must not exist.
    ImageConvert(Volume, Format, Volume, Format),
    /// Copies an OCI image into a storage as a container template.
    ImageCopy(ImageRef, StorageName, TemplateName),
    /// The SHA-256 of a volume.
    ImageChecksum(Volume),
}

/// How long a command may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Seconds.
    Short,
    /// It moves gigabytes.
    Long,
}

fn on(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

impl Command {
    /// The verb, for logs and the audit.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::BridgeShow(..) => "bridge-show",
            Self::BridgeSet(..) => "bridge-set",
            Self::PortSet(..) => "port-set",
            Self::ForwardList => "forward-list",
            Self::ForwardApply(..) => "forward-apply",
            Self::Exec(..) => "exec",
            Self::Unlock(..) => "unlock",
            Self::LxcProfile(..) => "lxc-profile",
            Self::ImageInfo(..) => "image-info",
            Self::ImageConvert(..) => "image-convert",
            Self::ImageCopy(..) => "image-copy",
            Self::ImageChecksum(..) => "image-checksum",
        }
    }

    /// What may be written down of it: the verb and what it is done to; never the words of a health check, which may
    /// be a password, and of a table of forwards how many there are.
    pub fn shown(&self) -> String {
        match self {
            Self::Exec(vmid, check) => {
                format!("exec {vmid} {} ({} arguments)", check.program, check.words.len())
            }
            Self::ForwardApply(_, table) => {
                format!("forward-apply {} ({} forwards)", table.generation(), table.len())
            }
            _ => {
                let line = self.line();
                line.split_once(' ').map_or(line.clone(), |(_, rest)| rest.to_owned())
            }
        }
    }

    /// Whether it changes something on the node. A health check counts: what a program does is not known here.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Probe
            | Self::BridgeShow(..)
            | Self::ForwardList
            | Self::ImageInfo(..)
            | Self::ImageChecksum(..) => false,
            Self::BridgeSet(..)
            | Self::PortSet(..)
            | Self::ForwardApply(..)
            | Self::Exec(..)
            | Self::Unlock(..)
            | Self::LxcProfile(..)
            | Self::ImageConvert(..)
            | Self::ImageCopy(..) => true,
        }
    }

    pub(crate) fn length(&self) -> Length {
        match self {
            Self::ImageConvert(..) | Self::ImageCopy(..) | Self::ImageChecksum(..) => Length::Long,
            _ => Length::Short,
        }
    }

    pub(crate) fn deadline(&self, deadlines: &Deadlines) -> Duration {
        match self {
            Self::Exec(_, check) => deadlines.command + Duration::from_secs(check.seconds.into()),
            _ if self.length() == Length::Long => deadlines.long_command,
            _ => deadlines.command,
        }
    }

    /// The line that is sent, `gantry-node/1 verb words…`: letters, digits, `._/:=@,+%-` and single spaces.
    pub fn line(&self) -> String {
        let verb = self.verb();
        let rest = match self {
            Self::Probe | Self::ForwardList => String::new(),
            Self::BridgeShow(bridge) => format!(" {bridge}"),
            Self::BridgeSet(bridge, setting, value) => {
                format!(" {bridge} {} {}", setting.as_str(), on(*value))
            }
            Self::PortSet(bridge, port, flag, value) => {
                format!(" {bridge} {port} {} {}", flag.as_str(), on(*value))
            }
            Self::ForwardApply(expected, table) => {
                let expected = match expected {
                    Expected::Any => "any",
                    Expected::Absent => "none",
                    Expected::Generation(generation) => generation.as_str(),
                };
                let mut text = format!(" {expected} {}", table.generation());
                for forward in table.iter() {
                    text.push(' ');
                    text.push_str(&forward.to_string());
                }
                text
            }
            Self::Exec(vmid, check) => {
                let mut text = format!(" {vmid} {} -- {}", check.seconds, check.program);
                for word in &check.words {
                    text.push(' ');
                    text.push_str(word.as_str());
                }
                text
            }
            Self::Unlock(vmid) => format!(" {vmid}"),
            Self::LxcProfile(vmid, armor, filter) => {
                let armor = match armor {
                    AppArmor::Default => "default",
                    AppArmor::Nesting => "nesting",
                    AppArmor::Unconfined => "unconfined",
                };
                let filter = match filter {
                    Seccomp::Default => "default",
                    Seccomp::Common => "common",
                };
                format!(" {vmid} apparmor={armor} seccomp={filter}")
            }
            Self::ImageInfo(volume, format) => format!(" {volume} {}", format.as_str()),
            Self::ImageConvert(source, from, target, to) => {
                format!(" {source} {} {target} {}", from.as_str(), to.as_str())
            }
            Self::ImageCopy(reference, storage, name) => format!(" {reference} {storage} {name}"),
            Self::ImageChecksum(volume) => format!(" {volume} sha256"),
        };
        format!("gantry-node/{} {verb}{rest}", crate::PROTOCOL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{FORWARDS_MAX, Forward};

    #[test]
    fn the_longest_table_fits_into_a_line() {
        let forwards = (0..FORWARDS_MAX).map(|n| {
            let text = format!(
                "udp,ipv6,2001:db8:1111:2222:3333:4444:5555:{:x},59999,2001:db8:1111:2222:3333:4444:5555:6666,65535",
                0xff00 + n
            );
            text.parse::<Forward>().unwrap()
        });
        let table = ForwardTable::new(forwards).unwrap();
        let expected = Expected::Generation(table.generation());
        let line = Command::ForwardApply(expected, table).line();
        assert!(line.len() > 25_000 && line.len() <= LINE_MAX, "{}", line.len());
    }

    #[test]
    fn a_health_check_shows_no_words() {
        let words = vec!["--password=geheim".parse().unwrap()];
        let check = HealthCheck::new("healthcheck".parse().unwrap(), words, 5).unwrap();
        let shown = format!("{:?}", Command::Exec("100".parse().unwrap(), check));
        assert!(!shown.contains("geheim"), "{shown}");
        let words = vec!["--password=geheim".parse().unwrap()];
        let check = HealthCheck::new("healthcheck".parse().unwrap(), words, 5).unwrap();
        let command = Command::Exec("100".parse().unwrap(), check);
        assert_eq!(command.shown(), "exec 100 healthcheck (1 arguments)");
        assert_eq!(Command::Unlock("100".parse().unwrap()).shown(), "unlock 100");
    }
}
