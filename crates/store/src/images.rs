//! Images that gantry fetched: one row a file. Who uses them is not kept here: it is read from what uses them.

use gantry_core::id::{ClusterId, NodeName};
use gantry_core::image::{ImageRecord, Place};

use crate::error::StoreError;
use crate::pool::{Fail, Row, args};
use crate::sql;
use crate::store::Store;

impl Store {
    /// Keeps what is known of an image, in place of what was; when it was used last stays.
    pub async fn save_image(&self, image: &ImageRecord) -> Result<(), StoreError> {
        self.call(format!("note image {}", image.volid), async {
            let data = serde_json::to_string(image)
                .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))?;
            let bytes = i64::try_from(image.bytes).unwrap_or(i64::MAX);
            let args = args![
                &image.cluster,
                image.owner.as_str(),
                image.volid.to_string(),
                image.digest.as_deref(),
                bytes,
                image.prepared_ms,
                image.last_used_ms,
                data
            ];
            self.pool.write(sql::IMAGE_SAVE, args).await?;
            Ok(())
        })
        .await
    }

    /// All images gantry fetched, or those of one cluster, by cluster and volume.
    pub async fn list_images(
        &self,
        cluster: Option<&ClusterId>,
    ) -> Result<Vec<ImageRecord>, StoreError> {
        self.call("list images", async {
            let rows =
                self.pool.rows(sql::IMAGES_LIST, args![cluster.map(ClusterId::as_str)]).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Notes that a guest was made from an image on a node, at `now_ms`. An image gantry did not fetch has no row.
    pub async fn touch_image(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        volid: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.call(format!("note the use of {volid}"), async {
            self.pool.write(sql::IMAGE_TOUCH, args![cluster, volid, node.as_str(), now_ms]).await?;
            Ok(())
        })
        .await
    }

    /// Forgets an image. `false`: there was none.
    pub async fn remove_image(
        &self,
        cluster: &ClusterId,
        place: &Place,
    ) -> Result<bool, StoreError> {
        self.call(format!("forget image {place}"), async {
            let args = args![cluster, place.owner(), place.volid.to_string()];
            Ok(self.pool.write(sql::IMAGE_REMOVE, args).await? == 1)
        })
        .await
    }
}

fn read(row: &Row) -> Result<ImageRecord, Fail> {
    let volid = row.text("volid")?;
    let mut image: ImageRecord = serde_json::from_str(&row.text("data")?)
        .map_err(|e| Fail::Row(format!("image {volid} does not read back: {e}")))?;
    // The column is the newer one: using an image does not rewrite what is known of it.
    image.last_used_ms = row.int("last_used_ms")?;
    Ok(image)
}
