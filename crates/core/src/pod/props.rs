//! Proxmox's property strings: `name=eth0,bridge=vmbr0,ip=dhcp`; the first part may stand without its key.

use std::collections::BTreeMap;

/// A property string in parts. Order is kept by key: two strings that say the same compare equal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Props {
    /// The part without a key, where there is one: a volume.
    pub(super) head: Option<String>,
    pub(super) parts: BTreeMap<String, String>,
}

impl Props {
    pub(super) fn read(text: &str) -> Self {
        let mut props = Self::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => {
                    props.parts.insert(key.to_owned(), value.to_owned());
                }
                None => props.head = Some(part.to_owned()),
            }
        }
        props
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.parts.get(key).map(String::as_str)
    }

    /// Sets a part, or takes it out.
    pub(super) fn put(&mut self, key: &str, value: Option<impl ToString>) {
        match value {
            Some(value) => self.parts.insert(key.to_owned(), value.to_string()),
            None => self.parts.remove(key),
        };
    }

    pub(super) fn text(&self) -> String {
        let parts = self.parts.iter().map(|(key, value)| format!("{key}={value}"));
        self.head.iter().cloned().chain(parts).collect::<Vec<_>>().join(",")
    }
}

/// A size as Proxmox writes it (`8G`, `512M`, `1.5T`), in bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    let part = match part {
        "" => 0,
        digits if digits.len() <= 6 => {
            let n = digits.parse::<u64>().ok()?;
            n.checked_mul(1 << shift)? / 10u64.pow(u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    whole.checked_add(part)
}
