//! Pods: which containers gantry owns, and what they shall be.

use gantry_core::id::{ClusterId, Vmid};
use gantry_core::pod::PodSpec;

use crate::error::StoreError;
use crate::pool::{Fail, Row, args};
use crate::sql;
use crate::store::Store;

/// A pod as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRow {
    /// The cluster.
    pub cluster: ClusterId,
    /// The container's number.
    pub vmid: Vmid,
    /// Its name.
    pub name: String,
    /// What it shall be.
    pub spec: PodSpec,
    /// The operation that created it, as written in its notes.
    pub operation: String,
    /// When it was created, milliseconds.
    pub created_ms: i64,
}

impl Store {
    /// Keeps a pod, in place of what was known of it.
    pub async fn save_pod(&self, pod: &PodRow) -> Result<(), StoreError> {
        self.call(format!("save pod {}", pod.name), async {
            let spec = serde_json::to_string(&pod.spec)
                .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))?;
            let args = args![
                &pod.cluster,
                pod.vmid,
                pod.name.as_str(),
                pod.operation.as_str(),
                pod.created_ms,
                spec
            ];
            self.pool.write(sql::POD_SAVE, args).await?;
            Ok(())
        })
        .await
    }

    /// The pod, where there is one.
    pub async fn find_pod(
        &self,
        cluster: &ClusterId,
        vmid: Vmid,
    ) -> Result<Option<PodRow>, StoreError> {
        self.call(format!("read pod {cluster}/{vmid}"), async {
            let row = self.pool.row(sql::POD_FIND, args![cluster, vmid]).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// All pods, or those of one cluster, by cluster and number.
    pub async fn list_pods(&self, cluster: Option<&ClusterId>) -> Result<Vec<PodRow>, StoreError> {
        self.call("list pods", async {
            let rows =
                self.pool.rows(sql::PODS_LIST, args![cluster.map(ClusterId::as_str)]).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// The pods of a cluster that read back, by number; one that was damaged stops no other. For
    /// what needs all of them there is `list_pods`.
    pub async fn list_sound_pods(&self, cluster: &ClusterId) -> Result<Vec<PodRow>, StoreError> {
        self.call(format!("list pods of {cluster}"), async {
            let rows = self.pool.rows(sql::PODS_LIST, args![Some(cluster.as_str())]).await?;
            let mut sound = Vec::with_capacity(rows.len());
            for row in &rows {
                match read(row) {
                    Ok(pod) => sound.push(pod),
                    Err(Fail::Row(why)) => tracing::debug!(%cluster, why, "left out"),
                    Err(other) => return Err(other),
                }
            }
            Ok(sound)
        })
        .await
    }

    /// Forgets a pod. `false`: there was none.
    pub async fn remove_pod(&self, cluster: &ClusterId, vmid: Vmid) -> Result<bool, StoreError> {
        self.call(format!("forget pod {cluster}/{vmid}"), async {
            Ok(self.pool.write(sql::POD_REMOVE, args![cluster, vmid]).await? == 1)
        })
        .await
    }
}

fn read(row: &Row) -> Result<PodRow, Fail> {
    let name = row.text("name")?;
    Ok(PodRow {
        cluster: row.parsed("cluster")?,
        vmid: row.vmid("vmid")?,
        spec: serde_json::from_str(&row.text("spec")?)
            .map_err(|e| Fail::Row(format!("pod {name} does not read back: {e}")))?,
        name,
        operation: row.text("operation_id")?,
        created_ms: row.int("created_ms")?,
    })
}
