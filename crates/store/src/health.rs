//! How pods are, as their health checks tell, and who asks them.
//!
//! One process at a time asks the pods of a cluster: it holds a watch, and what it writes names that watch's generation.
//! All others read what it wrote.

use gantry_core::id::{ClusterId, Vmid};
use gantry_core::pod::Pulse;

use crate::error::StoreError;
use crate::pool::{Fail, args};
use crate::sql;
use crate::store::Store;

impl Store {
    /// Holds the watch named `what` until `now_ms + lease_ms`, where nobody else does; its generation. Holding it again
    /// keeps the generation while the lease has not run out.
    pub async fn hold_watch(
        &self,
        what: &str,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.call(format!("hold the watch {what}"), async {
            let until = now_ms.saturating_add(lease_ms);
            let row = self.pool.row(sql::WATCH_HOLD, args![what, owner, now_ms, until]).await?;
            row.map(|row| row.int("lease_gen")).transpose()
        })
        .await
    }

    /// Keeps the health of pods of a cluster, all of it or none. `false`: the watch is somebody else's by now.
    pub async fn save_health(
        &self,
        watch: (&str, i64),
        cluster: &ClusterId,
        pulses: &[(Vmid, Pulse)],
    ) -> Result<bool, StoreError> {
        self.call(format!("keep the health of pods of {cluster}"), async {
            let (what, generation) = watch;
            let mut tx = self.pool.begin().await?;
            let row = tx.row(sql::WATCH_FIND, args![what]).await?;
            if row.map(|row| row.int("lease_gen")).transpose()? != Some(generation) {
                return Ok(false);
            }
            for (vmid, pulse) in pulses {
                let data = serde_json::to_string(pulse)
                    .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))?;
                tx.write(sql::HEALTH_SAVE, args![cluster, *vmid, data]).await?;
            }
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Forgets the health of pods that are forgotten themselves.
    pub async fn forget_health(&self, cluster: &ClusterId) -> Result<(), StoreError> {
        self.call(format!("forget the health of pods of {cluster}"), async {
            self.pool.write(sql::HEALTH_FORGET, args![cluster]).await?;
            Ok(())
        })
        .await
    }

    /// The health of pods of a cluster, by number. A row that does not read back is left out: it is asked anew.
    pub async fn list_health(&self, cluster: &ClusterId) -> Result<Vec<(Vmid, Pulse)>, StoreError> {
        self.call(format!("read the health of pods of {cluster}"), async {
            let rows = self.pool.rows(sql::HEALTH_LIST, args![cluster]).await?;
            let mut all = Vec::with_capacity(rows.len());
            for row in &rows {
                let vmid = row.vmid("vmid")?;
                match serde_json::from_str(&row.text("data")?) {
                    Ok(pulse) => all.push((vmid, pulse)),
                    Err(error) => {
                        tracing::warn!(%error, %cluster, %vmid, "the health of a pod does not read back");
                    }
                }
            }
            Ok(all)
        })
        .await
    }
}
