//! Reads of what ages and breaks by itself: replication, certificates, disks, pools, Ceph, guests without backup job.
//! Slow devices answer slowly: asked rarely.

use std::sync::Arc;

use gantry_core::id::{NodeName, Vmid};
use serde::Deserialize;
use serde_json::Value;

use crate::cache::Freshness;
use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::path::Path;

/// One row of `GET /nodes/{node}/replication`: a job whose guest runs there.
#[derive(Debug, Clone, Deserialize)]
pub struct Replication {
    /// The guest.
    #[serde(default, deserialize_with = "lenient::vmid")]
    pub guest: Option<Vmid>,
    /// Failures in a row.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub fail_count: Option<u64>,
    /// Why it failed last.
    #[serde(default, deserialize_with = "lenient::text")]
    pub error: Option<String>,
    /// Where the copy goes.
    #[serde(default, deserialize_with = "lenient::text")]
    pub target: Option<String>,
}

/// One row of `GET /nodes/{node}/certificates/info`.
#[derive(Debug, Clone, Deserialize)]
pub struct Certificate {
    /// `pve-ssl.pem`, `pveproxy-ssl.pem`, `pve-root-ca.pem`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub filename: Option<String>,
    /// When it ends, seconds since the epoch.
    #[serde(default, deserialize_with = "lenient::u64")]
    pub notafter: Option<u64>,
}

/// One row of `GET /nodes/{node}/disks/list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Disk {
    /// `/dev/sda`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub devpath: Option<String>,
    /// Its model.
    #[serde(default, deserialize_with = "lenient::text")]
    pub model: Option<String>,
    /// `PASSED`, `OK`, `FAILED!`, `UNKNOWN`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub health: Option<String>,
}

/// One row of `GET /nodes/{node}/disks/zfs`.
#[derive(Debug, Clone, Deserialize)]
pub struct ZfsPool {
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// `ONLINE`, `DEGRADED`, `FAULTED`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub health: Option<String>,
}

/// Ceph's word on itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CephHealth {
    /// `HEALTH_OK`, `HEALTH_WARN`, `HEALTH_ERR`.
    pub status: String,
    /// The summaries of its checks.
    pub reasons: Vec<String>,
}

#[derive(Deserialize)]
struct Uncovered {
    #[serde(default, deserialize_with = "lenient::vmid")]
    vmid: Option<Vmid>,
}

impl Client {
    /// `GET /nodes/{node}/replication`. Lists only guests on which the token has `VM.Audit`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn replications(&self, node: &NodeName) -> Result<Arc<Vec<Replication>>, Error> {
        let path = Path::node("/nodes/{node}/replication", node);
        self.list(self.get(path), Freshness::Fresh).await
    }

    /// `GET /nodes/{node}/certificates/info`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn certificates(&self, node: &NodeName) -> Result<Arc<Vec<Certificate>>, Error> {
        let path = Path::node("/nodes/{node}/certificates/info", node);
        self.list(self.get(path), Freshness::Fresh).await
    }

    /// `GET /nodes/{node}/disks/list`, with SMART. Needs `Sys.Audit` on the node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn disks(&self, node: &NodeName) -> Result<Arc<Vec<Disk>>, Error> {
        let path = Path::node("/nodes/{node}/disks/list", node);
        self.list(self.slow(path), Freshness::Fresh).await
    }

    /// `GET /nodes/{node}/disks/zfs`. Needs `Sys.Audit` on `/`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn zfs_pools(&self, node: &NodeName) -> Result<Arc<Vec<ZfsPool>>, Error> {
        let path = Path::node("/nodes/{node}/disks/zfs", node);
        self.list(self.slow(path), Freshness::Fresh).await
    }

    /// `GET /cluster/ceph/status`. Where there is no Ceph, Proxmox answers 500.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ceph_health(&self) -> Result<CephHealth, Error> {
        let answer: Value = self.fetch(&self.slow(Path::fixed("/cluster/ceph/status"))).await?;
        let health = &answer["health"];
        let status = health["status"].as_str().unwrap_or("HEALTH_UNKNOWN").to_owned();
        let checks = health["checks"].as_object();
        let reasons = checks
            .into_iter()
            .flat_map(|all| all.values())
            .filter_map(|check| check["summary"]["message"].as_str().map(str::to_owned))
            .collect();
        Ok(CephHealth { status, reasons })
    }

    /// `GET /cluster/backup-info/not-backed-up`: guests that no backup job has. Needs `Sys.Audit` on `/`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn not_backed_up(&self) -> Result<Vec<Vmid>, Error> {
        let path = Path::fixed("/cluster/backup-info/not-backed-up");
        let rows: Arc<Vec<Uncovered>> = self.list(self.get(path), Freshness::Fresh).await?;
        Ok(rows.iter().filter_map(|r| r.vmid).collect())
    }
}
