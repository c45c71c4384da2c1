//! What the token may do, as `GET /access/permissions` says: the effective set, privilege separation included.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Path → privilege → whether it also holds below that path.
#[derive(Debug, Clone, Default)]
pub struct Permissions(pub BTreeMap<String, BTreeMap<String, bool>>);

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw: BTreeMap<String, BTreeMap<String, serde_json::Value>> = BTreeMap::deserialize(d)?;
        let yes = |v: &serde_json::Value| {
            v.as_bool().unwrap_or_else(|| v.as_f64().is_some_and(|n| n != 0.0) || v == "1")
        };
        Ok(Self(
            raw.into_iter()
                .map(|(path, all)| (path, all.into_iter().map(|(p, v)| (p, yes(&v))).collect()))
                .collect(),
        ))
    }
}

impl Permissions {
    /// Whether the token holds `privilege` on `path`. The nearest listed path decides; a parent counts only
    /// when the privilege propagates.
    pub fn allows(&self, path: &str, privilege: &str) -> bool {
        if let Some(here) = self.0.get(path) {
            return here.contains_key(privilege);
        }
        let mut rest = path;
        while rest != "/" {
            rest = match rest.rfind('/') {
                Some(0) | None => "/",
                Some(at) => rest.get(..at).unwrap_or("/"),
            };
            if let Some(parent) = self.0.get(rest) {
                return parent.get(privilege).copied().unwrap_or(false);
            }
        }
        false
    }

    /// Whether the token holds `privilege` anywhere at all.
    pub fn anywhere(&self, privilege: &str) -> bool {
        self.0.values().any(|all| all.contains_key(privilege))
    }

    /// A token without any privilege: the usual result of privilege separation without an ACL of its own.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }
}
