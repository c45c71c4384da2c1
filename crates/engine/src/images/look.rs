//! Live reads of images and of who uses them, past every cache.

use std::collections::BTreeSet;

use futures::future::join_all;
use gantry_core::action::{Action, Verb};
use gantry_core::id::{ClusterId, GuestKind, NodeName};
use gantry_core::image::{
    Content, Doomed, Fetch, ImageAction, ImageRef, LiveDoomed, LivePlace, LiveVolume, Place,
    PruneFilter, Room, Source, Unused, Usage, UsedBy, unused,
};
use gantry_core::policy::Actor;
use gantry_core::set::SetRef;
use gantry_core::world::NodeState;
use gantry_proxmox::{Freshness, GuestRef as At, ResourceKind, Storage, Volume};
use gantry_store::OpFilter;

use crate::{Engine, Error};

/// Most virtual machines whose drives are read to learn who uses an ISO image.
const MACHINES_READ: usize = 300;
/// Open operations looked at; a page of the store holds no more.
const OPEN_LOOKED_AT: u32 = 1000;
/// Configurations read at once.
const READ_AT_ONCE: usize = 8;

pub(super) fn live(volume: &Volume) -> LiveVolume {
    LiveVolume { bytes: volume.size.unwrap_or(0), created_s: volume.ctime.unwrap_or(0) }
}

fn free(storage: &Storage) -> u64 {
    storage
        .avail
        .unwrap_or_else(|| storage.total.unwrap_or(0).saturating_sub(storage.used.unwrap_or(0)))
}

/// `pve-manager/9.1.2/…` or `9.1.2` as major and minor number.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let text = text.strip_prefix("pve-manager/").unwrap_or(text);
    let mut parts = text.split(['.', '-', '/', '~']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Whether a pod's image, as its specification writes it, is the file at `place`.
fn is_named(image: &str, place: &Place) -> bool {
    if image == place.volid.to_string() {
        return true;
    }
    match image.parse() {
        Ok(ImageRef::Oci(oci)) => {
            place.volid.content() == Content::Vztmpl && oci.file() == place.volid.file()
        }
        Ok(ImageRef::Template(name)) => name.as_str() == place.volid.file(),
        Ok(ImageRef::Url(url)) => url.file() == place.volid.file(),
        _ => false,
    }
}

impl Engine {
    /// The place an image shall be at, as it is now.
    pub(crate) async fn look_at_image_place(
        &self,
        cluster: &ClusterId,
        fetch: &Fetch,
    ) -> Result<LivePlace, Error> {
        let (place, node) = (&fetch.place, &fetch.place.node);
        let client = self.client(cluster)?;
        let fail =
            || Error::proxmox(format!("look at {} on {node}", place.volid.storage()), cluster);
        let rows = client.resources(Freshness::Shared).await.map_err(fail())?;
        let online = rows.iter().any(|r| {
            r.kind == ResourceKind::Node
                && r.node.as_ref() == Some(node)
                && r.status.as_deref() == Some("online")
        });
        let mut found = LivePlace {
            online,
            version: None,
            room: None,
            others: Vec::new(),
            file: None,
            record: None,
            shell: self.has_shell(cluster, node),
            listed: None,
            read_ms: self.now_ms(),
        };
        if !online {
            return Ok(found);
        }
        let content = place.volid.content().as_str();
        let storages = client.storages(node, Freshness::Fresh).await.map_err(fail())?;
        found.others = storages
            .iter()
            .filter(|s| s.active && s.holds(content))
            .filter_map(|s| s.storage.as_ref().map(ToString::to_string))
            .collect();
        found.room = storages
            .iter()
            .find(|s| s.storage.as_ref() == Some(place.volid.storage()))
            .map(|s| Room { active: s.active, holds: s.holds(content), free: free(s) });
        if found.room.is_some_and(|room| room.active) {
            found.file = self.find_image_file(cluster, place).await?;
        }
        if found.file.is_some() {
            let records = self.image_records(cluster).await?;
            found.record = records.into_iter().find(|r| r.is_of(place));
            return Ok(found);
        }
        match &fetch.source {
            Source::Template { name, .. } => {
                let list = client.aplinfo(node).await.map_err(fail())?;
                found.listed =
                    Some(list.iter().any(|t| t.template.as_deref() == Some(name.as_str())));
            }
            Source::Oci { .. } => {
                let status = client.node_status(node, Freshness::Shared).await.map_err(fail())?;
                found.version = status.pveversion.as_deref().and_then(version);
            }
            Source::Url { .. } | Source::Attachment { .. } => {}
        }
        Ok(found)
    }

    /// The file at a place as it is now; `None` when it is not there.
    pub(crate) async fn find_image_file(
        &self,
        cluster: &ClusterId,
        place: &Place,
    ) -> Result<Option<LiveVolume>, Error> {
        self.find_image_among(cluster, place).await.map(|(file, _)| file)
    }

    /// The same with the other images of that kind on that storage.
    pub(crate) async fn find_image_among(
        &self,
        cluster: &ClusterId,
        place: &Place,
    ) -> Result<(Option<LiveVolume>, Vec<String>), Error> {
        let (node, storage) = (&place.node, place.volid.storage());
        let content = Some(place.volid.content().as_str());
        let volumes = self
            .client(cluster)?
            .storage_content(node, storage, content, Freshness::Fresh)
            .await
            .map_err(Error::proxmox(format!("read {storage} on {node}"), cluster))?;
        let wanted = place.volid.to_string();
        let file = volumes.iter().find(|v| v.volid.as_deref() == Some(&wanted)).map(live);
        Ok((file, volumes.iter().filter_map(|v| v.volid.clone()).collect()))
    }

    pub(super) async fn image_records(
        &self,
        cluster: &ClusterId,
    ) -> Result<Vec<gantry_core::image::ImageRecord>, Error> {
        self.store().list_images(Some(cluster)).await.map_err(Error::store("read the images"))
    }

    /// What stands against deleting an image, as `actor` may know it.
    pub(crate) async fn look_at_doomed(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        place: &Place,
    ) -> Result<LiveDoomed, Error> {
        let (file, others) = self.find_image_among(cluster, place).await?;
        let records = self.image_records(cluster).await?;
        let usages = self.image_usages(cluster, std::slice::from_ref(place)).await?;
        Ok(LiveDoomed {
            file,
            record: records.into_iter().find(|r| r.is_of(place)),
            users: self.users_told(actor, cluster, usages.into_iter().filter(|u| u.needs(place))),
            others,
        })
    }

    /// Who uses an image, as `actor` may know it: those they may not see are counted.
    pub(super) fn users_told(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        usages: impl Iterator<Item = Usage>,
    ) -> Vec<String> {
        let sees = |usage: &Usage| match &usage.of {
            None => true,
            Some(UsedBy::Guest(vmid)) => self.sees(actor, cluster, &format!("{cluster}/{vmid}")),
            Some(UsedBy::Set(name)) => {
                let set = SetRef { cluster: cluster.clone(), name: name.clone() };
                self.may_set(actor, Verb::SetShow, &set).is_allowed()
            }
        };
        let (shown, hidden): (BTreeSet<Usage>, BTreeSet<Usage>) = usages.partition(sees);
        let mut told: Vec<String> = shown.into_iter().map(|u| u.who).collect();
        told.sort();
        told.dedup();
        if !hidden.is_empty() {
            told.push(format!("{} that you may not see", hidden.len()));
        }
        told
    }

    /// Who uses the images at these places: specifications of pods, and drives of virtual machines where one of
    /// them is an ISO image.
    pub(crate) async fn image_usages(
        &self,
        cluster: &ClusterId,
        places: &[Place],
    ) -> Result<Vec<Usage>, Error> {
        let mut found = self.pod_usages(cluster, places).await?;
        if places.iter().any(|p| p.volid.content() == Content::Iso) {
            found.extend(self.drive_usages(cluster).await?);
        }
        Ok(found)
    }

    /// Pods and the images they were, or shall be, made from.
    pub(super) async fn pod_usages(
        &self,
        cluster: &ClusterId,
        places: &[Place],
    ) -> Result<Vec<Usage>, Error> {
        let pods =
            self.store().list_pods(Some(cluster)).await.map_err(Error::store("read the pods"))?;
        let view = self.view(cluster);
        let mut found = Vec::new();
        for pod in &pods {
            let node = view.as_ref().and_then(|v| v.guest(pod.vmid)).map(|g| g.node.to_string());
            let mut volids: Vec<String> = places
                .iter()
                .filter(|p| is_named(&pod.spec.template.image, p))
                .map(|p| p.volid.to_string())
                .collect();
            volids.sort();
            volids.dedup();
            found.extend(volids.into_iter().map(|volid| Usage {
                volid,
                node: node.clone(),
                who: format!("pod {} ({cluster}/{})", pod.name, pod.vmid),
                of: Some(UsedBy::Guest(pod.vmid)),
            }));
        }
        found.extend(self.set_usages(cluster, places).await?);
        found.extend(self.coming_usages(cluster, places).await?);
        Ok(found)
    }

    /// Pods that are being made, and files that are being converted: what they are made from must not go meanwhile.
    async fn coming_usages(
        &self,
        cluster: &ClusterId,
        places: &[Place],
    ) -> Result<Vec<Usage>, Error> {
        let filter =
            OpFilter { open_only: true, cluster: Some(cluster.clone()), ..OpFilter::default() };
        let open = self.operations(&filter, 0, OPEN_LOOKED_AT).await?.rows;
        let mut found = Vec::new();
        for op in &open {
            for place in places {
                let needs = match &op.action {
                    Action::CreatePod { spec, .. } => is_named(&spec.template.image, place),
                    Action::Image(ImageAction::ConvertFile { place: source, .. }) => {
                        source.key() == place.key()
                    }
                    _ => false,
                };
                if needs {
                    found.push(Usage {
                        volid: place.volid.to_string(),
                        node: None,
                        who: format!("{} ({cluster}, under way)", op.id),
                        of: None,
                    });
                }
            }
        }
        Ok(found)
    }

    /// Sets, by the revision they are going to and the one they would go back to. Their pods may be made anywhere.
    async fn set_usages(&self, cluster: &ClusterId, places: &[Place]) -> Result<Vec<Usage>, Error> {
        let sets =
            self.store().list_sets(Some(cluster)).await.map_err(Error::store("read the sets"))?;
        let mut found = Vec::new();
        for row in &sets {
            for revision in std::iter::once(&row.set.newest).chain(&row.set.good) {
                let spec = &revision.spec;
                let named = places.iter().filter(|p| is_named(&spec.template.image, p));
                found.extend(named.map(|p| Usage {
                    volid: p.volid.to_string(),
                    node: None,
                    who: format!("set {} ({cluster}, revision {})", spec.name, revision.number),
                    of: Some(UsedBy::Set(spec.name.clone())),
                }));
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// ISO images in drives of virtual machines, read one machine at a time. Where there are too many to read, what
    /// was not read counts as a user of everything: nothing is deleted on a guess.
    async fn drive_usages(&self, cluster: &ClusterId) -> Result<Vec<Usage>, Error> {
        let client = self.client(cluster)?;
        let fail = |what: &str| Error::proxmox(what.to_owned(), cluster);
        let rows = client
            .resources(Freshness::Fresh)
            .await
            .map_err(fail("read which virtual machines there are"))?;
        let machines: Vec<(At, String)> = rows
            .iter()
            .filter(|r| r.guest_kind() == Some(GuestKind::Qemu))
            .filter_map(|r| {
                let at = At::new(r.node.clone()?, GuestKind::Qemu, r.vmid?);
                Some((at, r.name.clone().unwrap_or_default()))
            })
            .collect();
        if machines.len() > MACHINES_READ {
            return Err(Error::Missing {
                what: format!(
                    "a way to tell who uses an ISO image among {} virtual machines (at most {MACHINES_READ} are read)",
                    machines.len()
                ),
            });
        }
        let mut found = Vec::new();
        for some in machines.chunks(READ_AT_ONCE) {
            let reads = some.iter().map(|(at, _)| client.guest_config(at, Freshness::Fresh));
            for ((at, name), config) in some.iter().zip(join_all(reads).await) {
                let config = match config {
                    Ok(config) => config,
                    Err(gantry_proxmox::Error::NotFound { .. }) => continue,
                    Err(error) => {
                        return Err(fail(&format!("read the drives of VM {}", at.vmid))(error));
                    }
                };
                for (key, value) in config.volumes().filter(|(_, v)| v.contains(":iso/")) {
                    found.push(Usage {
                        volid: value.split(',').next().unwrap_or_default().to_owned(),
                        node: Some(at.node.to_string()),
                        who: format!("{key} of VM {name} ({cluster}/{})", at.vmid),
                        of: Some(UsedBy::Guest(at.vmid)),
                    });
                }
            }
        }
        Ok(found)
    }

    /// Images that gantry fetched and nothing uses, and how many others there are.
    pub(crate) async fn unused_images(
        &self,
        cluster: &ClusterId,
        filter: &PruneFilter,
    ) -> Result<(Vec<Unused>, usize), Error> {
        let records = self.image_records(cluster).await?;
        let mut there = Vec::new();
        let mut foreign = 0;
        for (node, storage, shared) in self.image_storages(cluster, None) {
            let skip = filter.storage.as_ref().is_some_and(|s| *s != storage)
                || (!shared && filter.node.as_ref().is_some_and(|n| *n != node));
            if skip {
                continue;
            }
            for (place, file) in self.images_on(cluster, &node, &storage, shared).await? {
                if records.iter().any(|r| r.is_of(&place)) {
                    there.push(Doomed { place, bytes: file.bytes, created_s: file.created_s });
                } else {
                    foreign += 1;
                }
            }
        }
        let places: Vec<Place> = there.iter().map(|d| d.place.clone()).collect();
        let usages = self.image_usages(cluster, &places).await?;
        Ok((unused(&there, &records, &usages, filter, self.now_ms()), foreign))
    }

    /// Storages that take images, each with a node that is up to ask it: once where it is shared. Memory only.
    pub(super) fn image_storages(
        &self,
        cluster: &ClusterId,
        node: Option<&NodeName>,
    ) -> Vec<(NodeName, gantry_core::id::StorageId, bool)> {
        let Some(view) = self.view(cluster) else { return Vec::new() };
        let mut found: Vec<(NodeName, gantry_core::id::StorageId, bool)> = Vec::new();
        for s in &view.storages {
            let up = view.node(&s.node).is_some_and(|n| n.state == NodeState::Up);
            let takes = s.content.iter().any(|c| c.parse::<Content>().is_ok());
            let again = s.shared && found.iter().any(|(_, id, _)| *id == s.id);
            if up && takes && s.active && !again && node.is_none_or(|n| *n == s.node) {
                found.push((s.node.clone(), s.id.clone(), s.shared));
            }
        }
        found
    }

    /// The images on one storage as they are now; files whose names gantry would not pass on are left out.
    pub(super) async fn images_on(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        storage: &gantry_core::id::StorageId,
        shared: bool,
    ) -> Result<Vec<(Place, LiveVolume)>, Error> {
        let client = self.client(cluster)?;
        let takes: Vec<Content> = self
            .view(cluster)
            .and_then(|v| v.storages.iter().find(|s| s.id == *storage && s.node == *node).cloned())
            .map(|s| s.content.iter().filter_map(|c| c.parse().ok()).collect())
            .unwrap_or_default();
        let mut found = Vec::new();
        for content in takes {
            let volumes = client
                .storage_content(node, storage, Some(content.as_str()), Freshness::Fresh)
                .await
                .map_err(Error::proxmox(format!("read {storage} on {node}"), cluster))?;
            for volume in volumes.iter() {
                let Some(volid) = volume.volid.as_deref().and_then(|v| v.parse().ok()) else {
                    continue;
                };
                found.push((Place { node: node.clone(), shared, volid }, live(volume)));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_nodes_tell_them() {
        assert_eq!(version("pve-manager/9.1.2/abc"), Some((9, 1)));
        assert_eq!(version("8.4-1"), Some((8, 4)));
        assert_eq!(version("nonsense"), None);
    }

    #[test]
    fn a_pod_names_its_image_in_any_form() {
        let volid = "local:vztmpl/alpine_3.tar".parse().unwrap();
        let place = Place { node: "pve1".parse().unwrap(), shared: false, volid };
        assert!(is_named("local:vztmpl/alpine_3.tar", &place));
        assert!(is_named("alpine:3", &place));
        assert!(!is_named("alpine:4", &place));
        assert!(!is_named("nas:vztmpl/alpine_3.tar", &place));
    }
}
