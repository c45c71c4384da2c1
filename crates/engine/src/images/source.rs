//! Where an image comes from, with what can be known before it is fetched.

use gantry_core::image::{ImageRef, ImageUrl, OciRef, Place, Source, TemplateName};

use super::ask::{Want, What};
use crate::propose::Answer;
use crate::{Engine, Error};

/// Most near misses named.
const SIMILAR_MAX: usize = 5;

impl Engine {
    /// Where the image comes from, with what can be known before: its size, its checksum, that it exists.
    pub(super) async fn resolve_source(
        &self,
        want: &Want,
        place: &Place,
    ) -> Result<Result<(Source, Option<u64>), Answer>, Error> {
        let image = match &want.what {
            What::Named(image) => image,
            What::Attached(file) => {
                let (file, checksum) = (file.clone(), want.checksum.clone());
                let bytes = Some(file.bytes());
                return Ok(Ok((Source::Attachment { file, checksum }, bytes)));
            }
        };
        match image {
            ImageRef::Template(name) => self.template_source(want, place, name).await,
            ImageRef::Oci(reference) => self.oci_source(want, place, reference).await,
            ImageRef::Url(url) => self.url_source(want, place, url).await,
            ImageRef::Volume(volid) => {
                let records = self.image_records(&want.cluster).await?;
                let known = records.into_iter().find(|r| {
                    r.volid.file() == volid.file() && r.volid.content() == volid.content()
                });
                if let Some(known) = known.filter(|k| k.origin.is_lasting()) {
                    // A tag may have moved since; everything else is the same file.
                    let bytes =
                        (!matches!(known.origin, Source::Oci { .. })).then_some(known.bytes);
                    return Ok(Ok((known.origin, bytes)));
                }
                if let Ok(name) = volid.file().parse::<TemplateName>() {
                    return self.template_source(want, place, &name).await;
                }
                // Where it is there already, planning says so; nothing else can be done for it.
                Ok(Err(match self.find_image_file(&want.cluster, place).await? {
                    Some(_) => Answer::Nothing { why: format!("{place} is there already.") },
                    None => Answer::Refused {
                        why: format!(
                            "{place} is not there, and gantry does not know where it came from. `/image pull` with its name, reference or address fetches it."
                        ),
                    },
                }))
            }
        }
    }

    async fn template_source(
        &self,
        want: &Want,
        place: &Place,
        name: &TemplateName,
    ) -> Result<Result<(Source, Option<u64>), Answer>, Error> {
        let cluster = &want.cluster;
        let list = self.client(cluster)?.aplinfo(&place.node).await.map_err(Error::proxmox(
            format!("read the template list of {}", place.node),
            cluster,
        ))?;
        let row = list.iter().find(|t| t.template.as_deref() == Some(name.as_str()));
        let Some(row) = row else {
            if self.find_image_file(cluster, place).await?.is_some() {
                return Ok(Err(Answer::Nothing { why: format!("{place} is there already.") }));
            }
            let stem = name.as_str().split(['-', '_', '.']).next().unwrap_or_default();
            let similar: Vec<String> = list
                .iter()
                .filter_map(|t| t.template.clone())
                .filter(|t| t.starts_with(stem))
                .take(SIMILAR_MAX)
                .collect();
            let near = if similar.is_empty() {
                String::new()
            } else {
                format!(" It has: {}.", similar.join(", "))
            };
            return Ok(Err(Answer::Refused {
                why: format!(
                    "The template list of {} has no {name}.{near} `pveam update` on the node reads it anew.",
                    place.node
                ),
            }));
        };
        let digest = row.sha512sum.as_ref().map(|sum| format!("sha512:{sum}"));
        Ok(Ok((Source::Template { name: name.clone(), digest }, None)))
    }

    async fn oci_source(
        &self,
        want: &Want,
        place: &Place,
        reference: &OciRef,
    ) -> Result<Result<(Source, Option<u64>), Answer>, Error> {
        // An older node has no such call, and a registry may not list: then the pull itself tells.
        match self.client(&want.cluster)?.oci_tags(&place.node, reference).await {
            Ok(tags) => {
                self.remember_tags(&want.cluster, reference, &tags);
                if !tags.iter().any(|t| t == reference.tag()) {
                    let newest: Vec<String> =
                        tags.iter().rev().take(SIMILAR_MAX).cloned().collect();
                    return Ok(Err(Answer::Refused {
                        why: format!(
                            "{} has no tag {}. It has, among others: {}.",
                            reference.repository(),
                            reference.tag(),
                            newest.join(", ")
                        ),
                    }));
                }
            }
            Err(error) => tracing::debug!(%error, %reference, "tags could not be listed"),
        }
        Ok(Ok((Source::Oci { reference: reference.clone() }, None)))
    }

    async fn url_source(
        &self,
        want: &Want,
        place: &Place,
        url: &ImageUrl,
    ) -> Result<Result<(Source, Option<u64>), Answer>, Error> {
        let refuse = |why: String| Ok(Err(Answer::Refused { why }));
        let Some(checksum) = want.checksum.clone() else {
            return refuse(format!(
                "{} needs its checksum: give the option checksum with the sha256 or sha512 its publisher names. Without it, nobody could say that what came is what was meant.",
                url.shown()
            ));
        };
        let said = self.client(&want.cluster)?.url_metadata(&place.node, url).await;
        let bytes = match said {
            Ok(said) => said.size,
            Err(error) => {
                return refuse(format!("{} could not get {}: {error}.", place.node, url.shown()));
            }
        };
        Ok(Ok((Source::Url { url: url.clone(), checksum }, bytes)))
    }
}
