//! Images for people: lists and one of them, with who uses it. And what is kept in memory for completion.

use std::collections::BTreeSet;

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName, StorageId};
use gantry_core::image::{
    Content, ImageFault, ImageRecord, ImageRef, LiveVolume, OciRef, Place, Usage,
};
use gantry_core::policy::{Actor, Target};
use gantry_core::world::NodeState;

use crate::{Engine, Error};

/// Most repositories whose tags are remembered.
const REPOSITORIES_KEPT: usize = 50;
/// Most tags of one repository that are remembered: the newest.
const TAGS_KEPT: usize = 50;
/// Most tags shown.
const TAGS_SHOWN: usize = 20;

/// Which images to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageFilter {
    /// Only as this node sees them.
    pub node: Option<NodeName>,
    /// Only on this storage.
    pub storage: Option<StorageId>,
    /// Only of this kind.
    pub content: Option<Content>,
    /// Only those gantry fetched.
    pub fetched: bool,
}

/// An image in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRow {
    /// Where it lies.
    pub place: Place,
    /// Size and age.
    pub file: LiveVolume,
    /// What gantry noted of it.
    pub record: Option<ImageRecord>,
    /// Pods that use it.
    pub users: Vec<String>,
}

/// Images, by volume and node.
#[derive(Debug, Clone, Default)]
pub struct ImageList {
    /// Those found.
    pub rows: Vec<ImageRow>,
    /// Storages that could not be read, with the reason.
    pub faults: Vec<String>,
    /// When this was read, milliseconds.
    pub read_ms: i64,
}

/// One image, or what can be had under a name.
#[derive(Debug, Clone, Default)]
pub struct ImageDetail {
    /// Where it lies, with what is known of each file.
    pub rows: Vec<ImageRow>,
    /// Who uses any of them, drives of virtual machines included.
    pub users: Vec<String>,
    /// What can be had: lines of `name: value`.
    pub offer: Vec<(String, String)>,
    /// Checksums taken now: where, and what came of it.
    pub sums: Vec<(String, String)>,
    /// Storages or servers that could not be asked, with the reason.
    pub faults: Vec<String>,
    /// When this was read, milliseconds.
    pub read_ms: i64,
}

/// An image that memory knows, for completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownImage {
    /// What stands for it in a command.
    pub value: String,
    /// What it is: size and place, or its headline.
    pub hint: String,
}

impl Engine {
    /// What policy says about `verb` on what is done to images. Memory only.
    pub fn ruling_on_images(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &gantry_core::image::ImageAction,
    ) -> gantry_core::policy::Ruling {
        self.image_ruling(actor, verb, action)
    }

    /// Images of a cluster that `actor` may see, read now. Shared storages are read once.
    pub async fn images(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        filter: &ImageFilter,
    ) -> Result<ImageList, Error> {
        let records = self.image_records(cluster).await?;
        let mut list = ImageList { read_ms: self.now_ms(), ..ImageList::default() };
        for node in self.view(cluster).iter().flat_map(|v| &v.nodes) {
            let wanted = filter.node.as_ref().is_none_or(|n| *n == node.name);
            if wanted
                && node.state != NodeState::Up
                && self.may(actor, verb, Target::Node(cluster, &node.name)).is_allowed()
            {
                let name = &node.name;
                list.faults.push(format!(
                    "{name} does not answer: what is on its own storages is not known now"
                ));
            }
        }
        for (node, storage, shared) in self.image_storages(cluster, filter.node.as_ref()) {
            let other = filter.storage.as_ref().is_some_and(|s| *s != storage);
            if other || !self.may(actor, verb, Target::Node(cluster, &node)).is_allowed() {
                continue;
            }
            match self.images_on(cluster, &node, &storage, shared).await {
                Ok(found) => list.rows.extend(found.into_iter().map(|(place, file)| {
                    let record = records.iter().find(|r| r.is_of(&place)).cloned();
                    ImageRow { place, file, record, users: Vec::new() }
                })),
                Err(error) => list.faults.push(error.to_string()),
            }
        }
        list.rows.retain(|r| {
            filter.content.is_none_or(|c| c == r.place.volid.content())
                && (!filter.fetched || r.record.is_some())
        });
        let places: Vec<Place> = list.rows.iter().map(|r| r.place.clone()).collect();
        let usages = self.pod_usages(cluster, &places).await?;
        for row in &mut list.rows {
            row.users = who(&usages, &row.place);
        }
        list.rows.sort_by(|a, b| {
            (a.place.volid.to_string(), a.place.owner())
                .cmp(&(b.place.volid.to_string(), b.place.owner()))
        });
        Ok(list)
    }

    /// One image, read now: the files of that name, who uses them, what can be had under it.
    pub async fn image(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        image: &ImageRef,
        node: Option<&NodeName>,
    ) -> Result<ImageDetail, Error> {
        let filter = ImageFilter { node: node.cloned(), ..ImageFilter::default() };
        let mut list = self.images(actor, verb, cluster, &filter).await?;
        let file = match image {
            ImageRef::Template(name) => name.as_str().to_owned(),
            ImageRef::Oci(oci) => oci.file(),
            ImageRef::Url(url) => url.file().to_owned(),
            ImageRef::Volume(volid) => volid.file().to_owned(),
        };
        list.rows.retain(|r| match image {
            ImageRef::Volume(volid) => r.place.volid == *volid,
            _ => r.place.volid.file() == file,
        });
        let mut detail =
            ImageDetail { read_ms: list.read_ms, faults: list.faults, ..ImageDetail::default() };
        let places: Vec<Place> = list.rows.iter().map(|r| r.place.clone()).collect();
        match self.image_usages(cluster, &places).await {
            Ok(usages) => {
                let needed = |u: &Usage| places.iter().any(|p| u.needs(p));
                let used = usages.into_iter().filter(needed);
                detail.users = self.users_told(actor, cluster, used);
            }
            Err(error) => detail.faults.push(format!("who uses it is not known: {error}")),
        }
        detail.rows = list.rows;
        if let Some(node) = self.node_to_ask(actor, verb, cluster, node) {
            self.offer(cluster, &node, image, &mut detail).await;
        }
        Ok(detail)
    }

    /// What can be had under that name.
    async fn offer(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        image: &ImageRef,
        detail: &mut ImageDetail,
    ) {
        let Ok(client) = self.client(cluster) else { return };
        let mut say = |what: &str, value: String| detail.offer.push((what.to_owned(), value));
        match image {
            ImageRef::Template(name) => match client.aplinfo(node).await {
                Ok(list) => {
                    match list.iter().find(|t| t.template.as_deref() == Some(name.as_str())) {
                        Some(row) => {
                            say("Template", row.headline.clone().unwrap_or_default());
                            say("System", row.os.clone().unwrap_or_default());
                            say("Version", row.version.clone().unwrap_or_default());
                        }
                        None => say("Template", format!("not in the list of {node}")),
                    }
                }
                Err(error) => detail.faults.push(error.to_string()),
            },
            ImageRef::Oci(reference) => {
                if let Err(bad) = self.inner.settings.images.check(image) {
                    detail.faults.push(format!("{bad}"));
                    return;
                }
                match client.oci_tags(node, reference).await {
                    Ok(tags) => {
                        self.remember_tags(cluster, reference, &tags);
                        let shown: Vec<String> =
                            tags.iter().rev().take(TAGS_SHOWN).cloned().collect();
                        say("Repository", reference.repository());
                        say("Tags", format!("{} in all: {}", tags.len(), shown.join(", ")));
                    }
                    Err(error) => {
                        tracing::info!(%cluster, %node, %reference, %error, "tags could not be listed");
                        detail.faults.push(not_listed(node, reference, &error.to_string()));
                    }
                }
            }
            ImageRef::Url(url) => {
                if let Err(bad) = self.inner.settings.images.check(image) {
                    detail.faults.push(format!("{bad}"));
                    return;
                }
                match client.url_metadata(node, url).await {
                    Ok(said) => {
                        say("Address", url.shown());
                        if let Some(size) = said.size {
                            say("Size", format!("{:.1} MiB", size as f64 / f64::from(1 << 20)));
                        }
                        say("Kind", said.mimetype.unwrap_or_default());
                    }
                    Err(error) => detail.faults.push(error.to_string()),
                }
            }
            ImageRef::Volume(_) => {}
        }
    }

    /// A node that is up and that the asker may ask about images.
    fn node_to_ask(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        node: Option<&NodeName>,
    ) -> Option<NodeName> {
        self.image_storages(cluster, node)
            .into_iter()
            .map(|(node, _, _)| node)
            .find(|n| self.may(actor, verb, Target::Node(cluster, n)).is_allowed())
    }

    /// Remembers the tags a registry listed, for completion.
    pub(super) fn remember_tags(&self, cluster: &ClusterId, reference: &OciRef, tags: &[String]) {
        let Ok(watched) = self.cluster(cluster) else { return };
        let kept: Vec<String> = tags.iter().rev().take(TAGS_KEPT).cloned().collect();
        watched.tags(|all| {
            if all.len() >= REPOSITORIES_KEPT && !all.contains_key(&reference.repository()) {
                all.pop_first();
            }
            all.insert(reference.repository(), kept);
        });
    }

    /// Images that memory knows: files on storages of nodes the asker may see images of; with `offers`, also what can
    /// be had. Memory only.
    pub fn known_images(
        &self,
        asker: &Actor,
        cluster: &ClusterId,
        offers: bool,
    ) -> Vec<KnownImage> {
        let (Ok(watched), Some(view)) = (self.cluster(cluster), self.view(cluster)) else {
            return Vec::new();
        };
        let mut found: Vec<KnownImage> = Vec::new();
        if offers {
            found.extend(view.catalogue.iter().map(|(template, headline)| KnownImage {
                value: template.clone(),
                hint: headline.clone(),
            }));
            watched.tags(|all| {
                for (repository, tags) in all.iter() {
                    found.extend(tags.iter().map(|tag| KnownImage {
                        value: format!("{repository}:{tag}"),
                        hint: "OCI image".to_owned(),
                    }));
                }
            });
        }
        let may = |node| self.may(asker, Verb::ImageList, Target::Node(cluster, node)).is_allowed();
        let nodes: BTreeSet<&NodeName> =
            view.nodes.iter().map(|n| &n.name).filter(|n| may(n)).collect();
        let seen = view.storages.iter().filter(|s| s.shared && nodes.contains(&s.node));
        let shared: BTreeSet<&str> = seen.map(|s| s.id.as_str()).collect();
        for image in &view.images {
            let storage = image.volid.split(':').next().unwrap_or_default();
            let at_hand = nodes.contains(&image.node) || (image.shared && shared.contains(storage));
            if !at_hand {
                continue;
            }
            let known = KnownImage { value: image.volid.clone(), hint: image.kind.clone() };
            if !found.contains(&known) {
                found.push(known);
            }
        }
        found
    }
}

/// Why the tags of an image are not known, in people's words where Proxmox tells only that its tool failed.
fn not_listed(node: &NodeName, reference: &OciRef, why: &str) -> String {
    match ImageFault::read(why) {
        Some(ImageFault::Download) => {
            let (repository, registry) = (reference.repository(), reference.registry());
            format!(
                "{registry} lists no tags of {repository} for {node}: there is no such image, it is private, or {node} does not reach \
                 {registry}. Check the name; `/image list` shows what is on the storages"
            )
        }
        _ => why.to_owned(),
    }
}

fn who(usages: &[Usage], place: &Place) -> Vec<String> {
    usages.iter().filter(|u| u.needs(place)).map(|u| u.who.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_registry_has_is_told_in_plain_words() {
        let (node, image) = ("pve1".parse().unwrap(), "nope".parse().unwrap());
        let raw = "Proxmox answered 500 command 'skopeo list-tags docker://docker.io/library/nope' failed: exit code 1";
        let told = not_listed(&node, &image, raw);
        assert!(told.contains("there is no such image") && !told.contains("skopeo"), "{told}");
        let other = "pve1 did not answer within 10 s";
        assert_eq!(not_listed(&node, &image, other), other);
    }
}
