//! The checksum of an image as it lies on its storage, taken by its node over the node shell, and held against what was
//! noted when it was fetched.

use std::time::Duration;

use gantry_core::action::Verb;
use gantry_core::id::ClusterId;
use gantry_core::image::Place;
use gantry_core::policy::Actor;

use super::show::ImageDetail;
use crate::shell::{Need, Who};
use crate::{Engine, Error};

/// Longest somebody waits for all of them: an interaction's answer can be given for 15 minutes.
const WITHIN: Duration = Duration::from_secs(10 * 60);
/// Most copies that are summed for one question; each is read from its first byte to its last.
const COPIES_MAX: usize = 4;

impl Engine {
    /// Adds the checksums of what `detail` found. What cannot be summed is told among its faults.
    pub async fn sum_images(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        detail: &mut ImageDetail,
    ) {
        let rows: Vec<(Place, Option<String>)> = detail
            .rows
            .iter()
            .take(COPIES_MAX)
            .map(|r| (r.place.clone(), r.record.as_ref().and_then(|r| r.digest.clone())))
            .collect();
        let work = async {
            for (place, noted) in rows {
                match self.sum(actor, verb, cluster, &place).await {
                    Ok(sum) => {
                        let words = held(&place, &sum, noted.as_deref());
                        detail.sums.push((place.to_string(), words));
                    }
                    Err(error) => detail.faults.push(error.to_string()),
                }
            }
        };
        if tokio::time::timeout(WITHIN, work).await.is_err() {
            let minutes = WITHIN.as_secs() / 60;
            detail.faults.push(format!("not all copies were read in {minutes} minutes"));
        }
        let left = detail.rows.len().saturating_sub(COPIES_MAX);
        if left > 0 {
            detail
                .faults
                .push(format!("{left} more copies were not read; name a node for one of them"));
        }
    }

    async fn sum(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        place: &Place,
    ) -> Result<String, Error> {
        let shell = self.need_shell(cluster, &place.node, Need::Images)?;
        let volume = place.volid.to_string().parse().map_err(|_| Error::Missing {
            what: format!("a way to name {} to its node", place.volid),
        })?;
        let who = Who::Asker(actor, verb, place.volid.file());
        Ok(shell.checksum(who, volume, &mut |_| {}).await?.sha256)
    }
}

/// A sum, with what it says about what was noted. An OCI image's digest is not that of the file.
fn held(place: &Place, sum: &str, noted: Option<&str>) -> String {
    match noted.and_then(|n| n.strip_prefix("sha256:")) {
        Some(noted) if noted == sum => format!("{sum}, as it was fetched"),
        Some(noted) if !place.volid.file().ends_with(".tar") => {
            format!("{sum}, NOT as it was fetched: {noted}")
        }
        _ => sum.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_held_against_what_was_fetched() {
        let at = |volid: &str| Place {
            node: "pve1".parse().unwrap(),
            shared: false,
            volid: volid.parse().unwrap(),
        };
        let iso = at("local:iso/a.iso");
        assert_eq!(held(&iso, "ab", Some("sha256:ab")), "ab, as it was fetched");
        assert!(held(&iso, "ab", Some("sha256:cd")).contains("NOT as it was fetched: cd"));
        assert_eq!(held(&iso, "ab", Some("sha512:cd")), "ab");
        assert_eq!(held(&at("local:vztmpl/a_1.tar"), "ab", Some("sha256:cd")), "ab");
    }
}
