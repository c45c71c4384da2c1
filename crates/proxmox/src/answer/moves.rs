//! Answers about moving a guest and about its snapshots.

use serde::Deserialize;
use serde_json::Value;

use crate::lenient;

/// One row of `GET /nodes/{node}/{lxc|qemu}/{vmid}/snapshot`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Snapshot {
    /// Its name; `current` is the present and no snapshot.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::text")]
    pub description: Option<String>,
    /// When it was taken, seconds.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub snaptime: Option<u64>,
    /// The one before it; of `current`: the one the guest goes on from.
    #[serde(default, deserialize_with = "lenient::text")]
    pub parent: Option<String>,
    /// Whether memory was kept with it.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub vmstate: bool,
    /// `prepare` or `delete` while it is not whole.
    #[serde(default, deserialize_with = "lenient::text")]
    pub snapstate: Option<String>,
}

/// `GET …/feature`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Feature {
    #[serde(default, rename = "hasFeature", deserialize_with = "lenient::bool")]
    pub(crate) has: Option<bool>,
}

/// A disk that only its node sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct LocalDisk {
    /// Its volume id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub volid: Option<String>,
    /// Its size, bytes.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub size: Option<u64>,
    /// Whether it is a disc in a drive; what cloud-init reads is one as well.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub cdrom: bool,
}

/// `GET /nodes/{node}/{lxc|qemu}/{vmid}/migrate`. The two kinds spell the same things with `-` and with `_`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct MigrateCheck {
    #[serde(default, alias = "allowed-nodes")]
    allowed_nodes: Option<Vec<String>>,
    #[serde(default, alias = "not-allowed-nodes")]
    not_allowed_nodes: Value,
    /// Disks that only its node sees, discs in drives among them.
    #[serde(default, deserialize_with = "lenient::list")]
    pub local_disks: Vec<LocalDisk>,
    /// Hardware that ties it to its node: `hostpci0`.
    #[serde(default, deserialize_with = "lenient::list")]
    pub local_resources: Vec<String>,
    /// Other guests that high availability moves along: `vm:202`.
    #[serde(default, rename = "dependent-ha-resources", deserialize_with = "lenient::list")]
    pub along: Vec<String>,
}

impl MigrateCheck {
    /// Nodes it may go to; `None` where the answer does not say. Older servers say so for stopped machines only.
    pub fn allowed(&self) -> Option<&[String]> {
        self.allowed_nodes.as_deref()
    }

    /// Why `node` is not among them, in words of the API with their values.
    pub fn why_not(&self, node: &str) -> Vec<String> {
        // Servers key it by node; the schema shows what stands under each.
        let of = self.not_allowed_nodes.get(node).unwrap_or(&Value::Null);
        let list = |key: &str| of.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut why = Vec::new();
        let storages: Vec<String> = list("unavailable_storages")
            .iter()
            .filter_map(|s| s.as_str().map(str::to_owned))
            .collect();
        if !storages.is_empty() {
            why.push(format!("it has no storage {}", storages.join(", ")));
        }
        for row in list("blocking-ha-resources") {
            let sid = row.get("sid").and_then(Value::as_str).unwrap_or("another guest");
            why.push(format!("a rule of high availability keeps it apart from {sid}"));
        }
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let lxc: MigrateCheck = serde_json::from_str(
            r#"{"running":1,"allowed-nodes":["pve2"],"not-allowed-nodes":{"pve3":{"blocking-ha-resources":[{"sid":"ct:300","cause":"resource-affinity"}]}},"dependent-ha-resources":["ct:301"]}"#,
        )
        .unwrap();
        assert_eq!(lxc.allowed(), Some(&["pve2".to_owned()][..]));
        assert_eq!(lxc.along, ["ct:301"]);
        assert!(lxc.why_not("pve3")[0].contains("ct:300"));
        assert!(lxc.why_not("pve2").is_empty());
        let qemu: MigrateCheck = serde_json::from_str(
            r#"{"running":0,"not_allowed_nodes":{"pve2":{"unavailable_storages":["zfs"]}},"local_disks":[{"volid":"local:iso/x.iso","size":"7","cdrom":1}],"local_resources":["hostpci0"],"mapped-resources":[]}"#,
        )
        .unwrap();
        assert_eq!(qemu.allowed(), None);
        assert_eq!((qemu.local_disks[0].size, qemu.local_disks[0].cdrom), (Some(7), true));
        assert_eq!(qemu.why_not("pve2"), ["it has no storage zfs"]);
    }
}
