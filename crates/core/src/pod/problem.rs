//! What is wrong with a specification: every mistake with the key it stands under, all of them together.

use serde::{Deserialize, Serialize};

use crate::id::StorageId;
use crate::image::ImageRef;

/// Longest host name label (RFC 1123).
const LABEL_MAX: usize = 63;
/// Longest name of a network interface in Linux (`IFNAMSIZ` less its end).
const INTERFACE_MAX: usize = 15;
/// Characters of what was typed that are repeated to whoever typed it.
const QUOTED_MAX: usize = 40;
/// Longest tag gantry writes; keeps cards readable.
pub(super) const TAG_MAX: usize = 64;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The field, as people write it: `networks[0].vlan`.
    pub field: String,
    /// What is wrong and what would be right.
    pub why: String,
}

/// Collects mistakes under a key.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// Notes `why` under `field` unless `ok`.
    pub fn check(&mut self, ok: bool, field: impl Into<String>, why: impl Into<String>) {
        if !ok {
            self.found.push(Problem { field: field.into(), why: why.into() });
        }
    }

    /// Everything found, in the order it was looked for.
    pub fn done(self) -> Vec<Problem> {
        self.found
    }
}

/// What somebody typed, as it is repeated to them: `“twenty”`.
pub fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED_MAX).collect();
    let more = if text.chars().nth(QUOTED_MAX).is_some() { "…" } else { "" };
    format!("“{short}{more}”")
}

/// A label of RFC 1123, lower case: the name of a pod, a set or a deployment.
pub fn is_label(text: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= LABEL_MAX
        && text.starts_with(ok)
        && text.ends_with(ok)
        && text.chars().all(|c| ok(c) || c == '-')
}

/// A DNS name: labels separated by dots.
pub(super) fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|l| is_label(&l.to_ascii_lowercase()))
}

/// An allow-list grammar: `storage:vztmpl/file`, no path in the file part.
pub(super) fn is_template_volume(text: &str) -> bool {
    let Some((storage, rest)) = text.split_once(':') else { return false };
    let Some(file) = rest.strip_prefix("vztmpl/") else { return false };
    storage.parse::<StorageId>().is_ok()
        && !file.is_empty()
        && file.len() <= 255
        && !file.starts_with('.')
        && !file.contains("..")
        && file.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
}

/// A template on a storage, the name of one of Proxmox's list, or a registry's reference with its tag.
pub(crate) fn is_image(text: &str) -> bool {
    match text.parse() {
        Ok(ImageRef::Template(_)) => true,
        Ok(ImageRef::Oci(_)) => text.contains(':'),
        _ => is_template_volume(text),
    }
}

/// The name of a network interface or bridge.
pub(super) fn is_interface(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= INTERFACE_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// A tag as Proxmox takes it.
pub(super) fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TAG_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c))
}

/// A line of `authorized_keys`.
pub(super) fn is_ssh_key(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let key = words.next().unwrap_or_default();
    (kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-"))
        && key.len() >= 32
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
        && !text.contains(['\n', '\r', '\0'])
}

/// A resource pool.
pub(super) fn is_pool(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

/// An absolute path that leads nowhere else: no `..`, no commas (they separate options at Proxmox), no control characters.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() > 1
        && text.len() <= 255
        && !text.ends_with('/')
        && !text.contains("//")
        && text.split('/').all(|part| part != "." && part != "..")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.+@ ".contains(c))
        && !text.split('/').any(|part| part.starts_with(' ') || part.ends_with(' '))
}
