//! A pod: an LXC container that gantry owns. Its specification is kept in the store and, so that it can be
//! adopted back when the database is lost, in the guest's notes.

use serde::{Deserialize, Serialize};

use crate::id::{NodeName, StorageId};
use crate::world::OWN_TAG;

/// Longest host name label (RFC 1123).
const NAME_MAX: usize = 63;
/// Most a single container may ask for; a bound against slips of the finger, not a promise of Proxmox.
const CORES_MAX: u32 = 8192;
/// Proxmox's own least memory for a container, MiB (`lxc` create, `memory`).
const MEMORY_MIN_MIB: u64 = 16;
/// 16 TiB in MiB: a bound against slips of the finger.
const MEMORY_MAX_MIB: u64 = 16 * 1024 * 1024;
/// 64 TiB in GiB: likewise.
const DISK_MAX_GIB: u64 = 64 * 1024;
/// Most tags a pod may carry; keeps cards readable.
const TAGS_MAX: usize = 20;

/// How a pod gets its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// From a DHCP server.
    Dhcp,
    /// Fixed, as `10.0.0.5/24`, with an optional gateway.
    Fixed {
        /// Address and prefix length.
        cidr: String,
        /// Default gateway.
        gateway: Option<String>,
    },
}

/// What a pod shall be. Units are in the field names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodSpec {
    /// Host name: a label of RFC 1123.
    pub name: String,
    /// Where it shall be created.
    pub node: NodeName,
    /// Container template as volume id: `local:vztmpl/debian-12….tar.zst`.
    pub image: String,
    /// CPU cores.
    pub cores: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Swap, MiB.
    pub swap_mib: u64,
    /// Storage of the root disk.
    pub storage: StorageId,
    /// Root disk, GiB.
    pub disk_gib: u64,
    /// Bridge its network card is on.
    pub bridge: String,
    /// VLAN tag.
    pub vlan: Option<u16>,
    /// Address.
    pub address: Address,
    /// Whether the Proxmox firewall filters its card.
    pub firewall: bool,
    /// Whether containers may run inside.
    pub nesting: bool,
    /// Whether it starts with its node.
    pub start_on_boot: bool,
    /// Whether it is started once created.
    pub start: bool,
    /// Tags besides gantry's own.
    pub tags: Vec<String>,
    /// Resource pool.
    pub pool: Option<String>,
    /// Public SSH keys for root, one a line.
    pub ssh_keys: Vec<String>,
    /// Free text shown at the top of the guest's notes.
    pub note: String,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The field, as people see it.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub why: String,
}

impl PodSpec {
    /// Checks everything that can be known without asking Proxmox; reports all mistakes together.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |ok: bool, field: &'static str, why: &str| {
            if !ok {
                found.push(Problem { field, why: why.to_owned() });
            }
        };
        check(
            is_label(&self.name),
            "name",
            "letters a-z, digits and -, starting and ending with a letter or digit, at most 63 characters",
        );
        check(
            is_template_volume(&self.image),
            "image",
            "a container template such as local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
        );
        check((1..=CORES_MAX).contains(&self.cores), "cores", "1 to 8192");
        check(
            (MEMORY_MIN_MIB..=MEMORY_MAX_MIB).contains(&self.memory_mib),
            "memory",
            "16 MiB to 16 TiB",
        );
        check(self.swap_mib <= MEMORY_MAX_MIB, "swap", "0 to 16 TiB");
        check((1..=DISK_MAX_GIB).contains(&self.disk_gib), "disk", "1 GiB to 64 TiB");
        check(is_interface(&self.bridge), "bridge", "the name of a bridge such as vmbr0");
        check(self.vlan.is_none_or(|v| (1..=4094).contains(&v)), "vlan", "1 to 4094");
        if let Address::Fixed { cidr, gateway } = &self.address {
            check(is_cidr(cidr), "address", "dhcp, or an address with prefix such as 10.0.0.5/24");
            check(
                gateway.as_deref().is_none_or(|g| g.parse::<std::net::IpAddr>().is_ok()),
                "gateway",
                "an IP address such as 10.0.0.1",
            );
        }
        check(self.tags.len() <= TAGS_MAX, "tags", "at most 20 tags");
        check(
            self.tags.iter().all(|t| is_tag(t)),
            "tags",
            "tags are letters, digits, _, -, + and ., at most 64 characters",
        );
        check(!self.tags.iter().any(|t| t == OWN_TAG), "tags", "the tag gantry is added by itself");
        check(
            self.pool.as_deref().is_none_or(|p| {
                !p.is_empty()
                    && p.len() <= 64
                    && p.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
            }),
            "pool",
            "the name of a resource pool",
        );
        check(
            self.ssh_keys.len() <= 20 && self.ssh_keys.iter().all(|k| is_ssh_key(k)),
            "ssh keys",
            "public keys as in authorized_keys, one a line, at most 20",
        );
        check(self.note.chars().count() <= 1000, "note", "at most 1000 characters");
        found
    }

    /// All tags the guest gets, gantry's own first.
    pub fn all_tags(&self) -> Vec<String> {
        std::iter::once(OWN_TAG.to_owned()).chain(self.tags.iter().cloned()).collect()
    }
}

fn is_label(text: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= NAME_MAX
        && text.starts_with(ok)
        && text.ends_with(ok)
        && text.chars().all(|c| ok(c) || c == '-')
}

/// An allow-list grammar: `storage:vztmpl/file`, no path in the file part.
fn is_template_volume(text: &str) -> bool {
    let Some((storage, rest)) = text.split_once(':') else { return false };
    let Some(file) = rest.strip_prefix("vztmpl/") else { return false };
    storage.parse::<StorageId>().is_ok()
        && !file.is_empty()
        && file.len() <= 255
        && !file.starts_with('.')
        && !file.contains("..")
        && file.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
}

fn is_interface(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 15
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let Ok(prefix) = prefix.parse::<u8>() else { return false };
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => prefix <= 32,
        Ok(std::net::IpAddr::V6(_)) => prefix <= 128,
        Err(_) => false,
    }
}

fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c))
}

fn is_ssh_key(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let key = words.next().unwrap_or_default();
    (kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-"))
        && key.len() >= 32
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
        && !text.contains(['\n', '\r', '\0'])
}

/// Opens gantry's part of a guest's notes.
const NOTES_OPEN: &str = "<!-- gantry:pod:1 ";
/// Closes it.
const NOTES_CLOSE: &str = " -->";

/// A pod's notes: a line for people, and the specification as a comment that Proxmox's page does not show.
///
/// `operation` names the operation that creates it, so that a create whose answer was lost can be recognised.
pub fn notes(spec: &PodSpec, operation: &str) -> String {
    let mut public = spec.clone();
    public.note = String::new();
    let json = serde_json::json!({ "operation": operation, "spec": public });
    // `--` may not stand inside a comment; JSON can always say it otherwise.
    let json = json.to_string().replace("--", "-\\u002d").replace("->", "-\\u003e");
    let lead = if spec.note.is_empty() {
        "This container is a pod owned by gantry. Change it through gantry.".to_owned()
    } else {
        spec.note.clone()
    };
    format!("{lead}\n\n{NOTES_OPEN}{json}{NOTES_CLOSE}\n")
}

/// What `notes` wrote, read back: the specification and the operation that created the guest.
///
/// The last part counts: what people write stands before it, and could otherwise pass for it.
pub fn read_notes(text: &str) -> Option<(PodSpec, String)> {
    let (lead, rest) = text.rsplit_once(NOTES_OPEN)?;
    let (json, _) = rest.split_once(NOTES_CLOSE)?;
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let mut spec: PodSpec = serde_json::from_value(value.get("spec")?.clone()).ok()?;
    let lead = lead.trim();
    if !lead.starts_with("This container is a pod owned by gantry") {
        spec.note = lead.to_owned();
    }
    Some((spec, value.get("operation")?.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod that is right in every field.
    pub(crate) fn sample() -> PodSpec {
        PodSpec {
            name: "web-0".into(),
            node: "pve1".parse().unwrap(),
            image: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst".into(),
            cores: 2,
            memory_mib: 1024,
            swap_mib: 0,
            storage: "local-lvm".parse().unwrap(),
            disk_gib: 8,
            bridge: "vmbr0".into(),
            vlan: None,
            address: Address::Dhcp,
            firewall: true,
            nesting: false,
            start_on_boot: true,
            start: true,
            tags: vec!["web".into()],
            pool: None,
            ssh_keys: vec![],
            note: String::new(),
        }
    }

    #[test]
    fn all_mistakes_are_told_together() {
        let mut spec = sample();
        assert_eq!(spec.problems(), []);
        spec.name = "Web_0".into();
        spec.image = "local:vztmpl/../../etc/passwd".into();
        spec.cores = 0;
        spec.vlan = Some(5000);
        spec.address = Address::Fixed { cidr: "10.0.0.5".into(), gateway: Some("x".into()) };
        spec.tags = vec!["a,b".into(), "gantry".into()];
        let fields: Vec<_> = spec.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(
            fields,
            ["name", "image", "cores", "vlan", "address", "gateway", "tags", "tags"]
        );
    }

    #[test]
    fn volume_paths_cannot_escape() {
        for bad in [
            "local:vztmpl/../x",
            "local:vztmpl//etc/x",
            "local:vztmpl/a/b",
            "local:backup/x",
            "local:vztmpl/%2e%2e",
            "local:vztmpl/a:b",
            "local:vztmpl/a\0b",
            "/etc/passwd",
        ] {
            assert!(!is_template_volume(bad), "{bad:?}");
        }
    }

    #[test]
    fn notes_bring_a_pod_back() {
        let mut spec = sample();
        assert_eq!(read_notes(&notes(&spec, "op_1")), Some((spec.clone(), "op_1".into())));
        spec.note = "Front door of the shop -- do not touch --> really".into();
        let (back, operation) = read_notes(&notes(&spec, "op_2")).unwrap();
        assert_eq!((back, operation.as_str()), (spec, "op_2"));
        assert_eq!(read_notes("somebody else's notes"), None);
    }

    #[test]
    fn a_note_cannot_pass_for_gantrys_own_part() {
        let (mut spec, mut forged) = (sample(), sample());
        forged.memory_mib = 16;
        spec.note = notes(&forged, "op_forged");
        let (back, operation) = read_notes(&notes(&spec, "op_real")).unwrap();
        assert_eq!((back.memory_mib, operation.as_str()), (1024, "op_real"));
    }
}
