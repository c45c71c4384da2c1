//! Ids as types, so that a VMID is never passed where a task or a plan is meant.
//!
//! Grammars are allow-lists taken from Proxmox (`pve-node`, `pve-vmid`, `PVE::UPID`) and Discord (snowflakes).
//! Everything that reaches a URL path or a database key has gone through one of these constructors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Smallest VMID Proxmox accepts (`pve-vmid`).
pub const VMID_MIN: u32 = 100;
/// Largest VMID Proxmox accepts (`pve-vmid`).
pub const VMID_MAX: u32 = 999_999_999;

/// A text that is not a valid id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct BadId {
    /// What was expected, in people's words.
    pub kind: &'static str,
    /// The text as given, cut to 80 characters.
    pub text: String,
    /// The rule it broke.
    pub rule: &'static str,
}

impl BadId {
    pub(crate) fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        Self { kind, text: text.chars().take(80).collect(), rule }
    }
}

/// A name of letters, digits, `-` (and `_`, `.` where `extra` allows), starting with a letter or digit.
fn is_name(text: &str, max: usize, extra: &str) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || extra.contains(c))
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $extra:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                if is_name(text, $max, $extra) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadId::new($kind, text, $rule))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_id!(
    /// The operator's name for a cluster, as written in the configuration.
    ClusterId, "cluster name", 32, "_", "letters, digits, - and _, at most 32 characters"
);
name_id!(
    /// A Proxmox node name (`pve-node`).
    NodeName, "node name", 63, "", "letters, digits and -, at most 63 characters"
);
name_id!(
    /// A Proxmox storage id (`pve-storage-id`).
    StorageId, "storage id", 100, "-_.", "letters, digits, -, _ and ., at most 100 characters"
);

/// A guest's number inside one cluster (`pve-vmid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vmid(u32);

impl Vmid {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vmid {
    type Error = BadId;
    fn try_from(n: u32) -> Result<Self, BadId> {
        if (VMID_MIN..=VMID_MAX).contains(&n) {
            Ok(Self(n))
        } else {
            Err(BadId::new("VMID", &n.to_string(), "a whole number from 100 to 999999999"))
        }
    }
}

impl From<Vmid> for u32 {
    fn from(id: Vmid) -> Self {
        id.0
    }
}

impl FromStr for Vmid {
    type Err = BadId;
    /// Accepts digits only: `3proxy` is a name, never VMID 3.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId::new("VMID", text, "a whole number from 100 to 999999999");
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) || text.starts_with('0') {
            return Err(bad());
        }
        text.parse::<u32>().map_err(|_| bad()).and_then(Self::try_from)
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a guest is a container or a virtual machine; the word is the API's path segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// An LXC container.
    Lxc,
    /// A QEMU virtual machine.
    Qemu,
}

impl GuestKind {
    /// The API's path segment: `lxc` or `qemu`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu",
        }
    }

    /// What people call it: `CT` or `VM`, as in Proxmox's own messages.
    pub fn short(self) -> &'static str {
        match self {
            Self::Lxc => "CT",
            Self::Qemu => "VM",
        }
    }
}

impl fmt::Display for GuestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A Proxmox task id. Grammar of `PVE::UPID`:
/// `UPID:node:pid:pstart:starttime:type:id:user[!token]:` (numbers in hex).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upid {
    text: String,
    node: NodeName,
    started_s: u64,
    kind: String,
    id: String,
    user: String,
}

impl Upid {
    /// The whole id, as Proxmox prints it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The node that runs the task; polls go there, even after the guest has moved.
    pub fn node(&self) -> &NodeName {
        &self.node
    }
    /// Start time, seconds since the epoch, by the node's clock.
    pub fn started_s(&self) -> u64 {
        self.started_s
    }
    /// The worker type, for example `vzdestroy`.
    pub fn kind(&self) -> &str {
        &self.kind
    }
    /// What the task works on, usually a VMID; may be empty.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// `user@realm`, with `!token` where a token asked.
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl FromStr for Upid {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = |rule| BadId::new("task id (UPID)", text, rule);
        let parts: Vec<&str> = text.split(':').collect();
        let [head, node, pid, pstart, start, kind, id, user, ""] = parts.as_slice() else {
            return Err(bad("nine parts separated by colons, the last one empty"));
        };
        let hex = |s: &str, min, max| {
            (min..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if *head != "UPID" || !hex(pid, 8, 8) || !hex(pstart, 8, 9) || !hex(start, 8, 8) {
            return Err(bad("UPID:node:pid:pstart:starttime:… with hexadecimal numbers"));
        }
        let plain = |s: &str| !s.contains(char::is_whitespace) && s.len() <= 255;
        if kind.is_empty() || user.is_empty() || !plain(kind) || !plain(id) || !plain(user) {
            return Err(bad("type and user without white space"));
        }
        Ok(Self {
            node: node.parse().map_err(|_| bad("a node name as second part"))?,
            started_s: u64::from_str_radix(start, 16)
                .map_err(|_| bad("a hexadecimal start time"))?,
            kind: (*kind).to_owned(),
            id: (*id).to_owned(),
            user: (*user).to_owned(),
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for Upid {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<Upid> for String {
    fn from(upid: Upid) -> Self {
        upid.text
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! snowflake {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

snowflake!(
    /// A Discord user.
    UserId
);
snowflake!(
    /// A Discord role. The role `@everyone` has its guild's id.
    RoleId
);
snowflake!(
    /// A Discord channel or thread.
    ChannelId
);
snowflake!(
    /// A Discord server.
    GuildId
);
snowflake!(
    /// A Discord message.
    MessageId
);

macro_rules! own_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes an id from a time and 80 random bits; sorts by time.
            pub fn new(now_ms: i64, random: u128) -> Self {
                let ulid = ulid::Ulid::from_parts(u64::try_from(now_ms).unwrap_or(0), random);
                Self(format!(concat!($prefix, "{}"), ulid))
            }
            /// The id as text, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId::new($kind, text, concat!("`", $prefix, "` and 26 characters"));
                let rest = text.strip_prefix($prefix).ok_or_else(bad)?;
                // Only the canonical spelling: one id has one text.
                match ulid::Ulid::from_string(rest) {
                    Ok(ulid) if ulid.to_string() == rest => Ok(Self(text.to_owned())),
                    _ => Err(bad()),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

own_id!(
    /// A plan that was shown to somebody.
    PlanId, "pl_", "plan's id"
);
own_id!(
    /// An operation that was started.
    OperationId, "op_", "operation's id"
);
own_id!(
    /// A row of the audit log.
    AuditId, "au_", "audit row's id"
);
own_id!(
    /// A port forward.
    ForwardId, "fw_", "forward's id"
);
own_id!(
    /// A message gantry keeps up to date.
    CardId, "ca_", "card's id"
);
own_id!(
    /// Alerts that belong together, told in one message.
    IncidentId, "in_", "incident's id"
);
own_id!(
    /// A status board of a channel.
    BoardId, "bo_", "board's id"
);
own_id!(
    /// What somebody wrote about an incident.
    NoteId, "nt_", "note's id"
);
own_id!(
    /// A silence or a maintenance window.
    MuteId, "si_", "silence's id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_named_3proxy_is_not_vmid_3() {
        assert!("3proxy".parse::<Vmid>().is_err());
        assert!("99".parse::<Vmid>().is_err());
        assert!("0100".parse::<Vmid>().is_err());
        assert!(" 100".parse::<Vmid>().is_err());
        assert_eq!("100".parse::<Vmid>().map(Vmid::get), Ok(100));
    }

    #[test]
    fn a_upid_keeps_its_text_and_its_parts() {
        let text = "UPID:pve1:0000ABCD:0001E240:6563A1B2:vzdestroy:201:root@pam!gantry:";
        let upid: Upid = text.parse().unwrap();
        assert_eq!(upid.as_str(), text);
        assert_eq!(upid.node().as_str(), "pve1");
        assert_eq!(upid.kind(), "vzdestroy");
        assert_eq!(upid.id(), "201");
        assert_eq!(upid.user(), "root@pam!gantry");
        assert_eq!(upid.started_s(), 0x6563_A1B2);
        for broken in [
            "",
            "UPID:pve1:ABCD:0001E240:6563A1B2:vzdestroy:201:root@pam:",
            "UPID:pve1:0000ABCD:0001E240:6563A1B2:vzdestroy:201:root@pam",
            "UPID:../etc:0000ABCD:0001E240:6563A1B2:vzdestroy:201:root@pam:",
            "UPID:pve1:0000ABCD:0001E240:6563A1B2:vz destroy:201:root@pam:",
        ] {
            assert!(broken.parse::<Upid>().is_err(), "{broken}");
        }
    }

    #[test]
    fn path_characters_never_pass_as_names() {
        for bad in ["", "..", "a/b", "a?b", "a#b", "-a", "pve1\n", "pvé1"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
            assert!(bad.parse::<ClusterId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn own_ids_have_one_spelling() {
        let id = PlanId::new(1_700_000_000_000, 42);
        assert_eq!(id.as_str().parse::<PlanId>().as_ref(), Ok(&id));
        assert!(id.as_str().to_lowercase().parse::<PlanId>().is_err());
        assert!(id.as_str().parse::<OperationId>().is_err());
    }
}
