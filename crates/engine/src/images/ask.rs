//! From what somebody calls an image to what shall be done: which node, which storage, which file, how large.
//!
//! Policy is asked before anything is read, and the operator's list of hosts before any node is sent anywhere.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{ClusterId, GuestKind, NodeName, StorageId};
use gantry_core::image::{
    Attachment, Checksum, Content, DiskFormat, Fetch, ImageAction, ImageRef, ImageUrl, ImageVolid,
    OciRef, Place, PruneFilter, Source, TemplateName,
};
use gantry_core::near::nearest;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::NodeState;

use crate::propose::Answer;
use crate::{Engine, Error};

/// Most near misses named.
const SIMILAR_MAX: usize = 5;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub enum ImageAsk {
    /// Have an image on one node (`pull`), or on all that need it (`prepare`).
    Fetch {
        /// `image.pull` or `image.prepare`.
        verb: Verb,
        /// Where.
        cluster: ClusterId,
        /// Which.
        image: ImageRef,
        /// On which node; `None`: pull chooses one, prepare takes all.
        node: Option<NodeName>,
        /// On which storage; `None`: the shared one, else the one with the most room.
        storage: Option<StorageId>,
        /// What an address must give.
        checksum: Option<Checksum>,
    },
    /// Put a file that somebody attached onto a storage.
    Upload {
        /// Where.
        cluster: ClusterId,
        /// Which.
        file: Attachment,
        /// On which node; `None`: one is chosen.
        node: Option<NodeName>,
        /// On which storage; `None`: the shared one, else the one with the most room.
        storage: Option<StorageId>,
        /// What it must be, where somebody said.
        checksum: Option<Checksum>,
    },
    /// Delete an image.
    Delete {
        /// Where.
        cluster: ClusterId,
        /// Which.
        volid: ImageVolid,
        /// On which node, where several have one of that name.
        node: Option<NodeName>,
    },
    /// Delete what nothing uses.
    Prune {
        /// Where.
        cluster: ClusterId,
        /// Among which.
        filter: PruneFilter,
    },
    /// Move a guest's disk to another storage or into another format.
    Move {
        /// Whose.
        guest: GuestRef,
        /// Container or virtual machine.
        kind: GuestKind,
        /// Which.
        disk: String,
        /// Where to; `None`: where it is.
        storage: Option<StorageId>,
        /// As what.
        format: Option<DiskFormat>,
        /// Whether the old one goes.
        delete_original: bool,
    },
    /// Make a converted copy of a disk image on a storage.
    ConvertFile {
        /// Where.
        cluster: ClusterId,
        /// Which.
        volid: ImageVolid,
        /// On which node, where several have one of that name.
        node: Option<NodeName>,
        /// Into what.
        to: DiskFormat,
    },
    /// Make a guest a template.
    Template {
        /// Which.
        guest: GuestRef,
        /// Container or virtual machine.
        kind: GuestKind,
    },
}

/// A place that was looked for.
enum PlaceFound {
    One(Place),
    Not(Answer),
}

impl Engine {
    pub(crate) async fn propose_image(
        &self,
        actor: &Actor,
        ask: ImageAsk,
    ) -> Result<Answer, Error> {
        let (verb, action, shown) = match ask {
            ImageAsk::Fetch { verb, cluster, image, node, storage, checksum } => {
                let what = What::Named(image);
                let want = Want { verb, cluster, what, node, storage, checksum };
                match self.resolve_fetch(actor, want).await? {
                    Ok(resolved) => resolved,
                    Err(answer) => return Ok(answer),
                }
            }
            ImageAsk::Upload { cluster, file, node, storage, checksum } => {
                let (verb, what) = (Verb::ImagePull, What::Attached(file));
                let want = Want { verb, cluster, what, node, storage, checksum };
                match self.resolve_fetch(actor, want).await? {
                    Ok(resolved) => resolved,
                    Err(answer) => return Ok(answer),
                }
            }
            ImageAsk::Delete { cluster, volid, node } => {
                let (verb, shown) = (Verb::ImageDelete, volid.to_string());
                if let Ruling::Denied { because } = self.may(actor, verb, Target::Within(&cluster))
                {
                    return self.refuse(actor, verb, &shown, because).await;
                }
                match self.find_place(actor, &cluster, &volid, node.as_ref()) {
                    PlaceFound::One(place) => (verb, ImageAction::Delete { cluster, place }, shown),
                    PlaceFound::Not(answer) => return Ok(answer),
                }
            }
            ImageAsk::ConvertFile { cluster, volid, node, to } => {
                let (verb, shown) = (Verb::ImageConvert, volid.to_string());
                if let Ruling::Denied { because } = self.may(actor, verb, Target::Within(&cluster))
                {
                    return self.refuse(actor, verb, &shown, because).await;
                }
                match self.find_place(actor, &cluster, &volid, node.as_ref()) {
                    PlaceFound::One(place) => {
                        (verb, ImageAction::ConvertFile { cluster, place, to }, shown)
                    }
                    PlaceFound::Not(answer) => return Ok(answer),
                }
            }
            ImageAsk::Prune { cluster, filter } => (
                Verb::ImagePrune,
                ImageAction::Prune { cluster, filter },
                "unused images".to_owned(),
            ),
            ImageAsk::Move { guest, kind, disk, storage, format, delete_original } => {
                let (verb, shown) = (Verb::ImageConvert, format!("{disk} of {guest}"));
                if let Ruling::Denied { because } = self.guest_ruling(actor, verb, &guest) {
                    return self.refuse(actor, verb, &shown, because).await;
                }
                let storage = match storage {
                    Some(storage) => storage,
                    None => match self.storage_of_disk(&guest, kind, &disk).await? {
                        Some(storage) => storage,
                        None => {
                            let why = format!(
                                "{guest} has no disk {disk}; `/guest show` names its disks."
                            );
                            return Ok(Answer::Refused { why });
                        }
                    },
                };
                let action =
                    ImageAction::MoveDisk { guest, kind, disk, storage, format, delete_original };
                (verb, action, shown)
            }
            ImageAsk::Template { guest, kind } => {
                let shown = guest.to_string();
                (Verb::ImageConvert, ImageAction::MakeTemplate { guest, kind }, shown)
            }
        };
        self.propose_action(actor, verb, Action::Image(action), &shown).await
    }

    /// The file somebody means, from memory; a name that several nodes have is never guessed.
    fn find_place(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        volid: &ImageVolid,
        node: Option<&NodeName>,
    ) -> PlaceFound {
        let refused = |why: String| PlaceFound::Not(Answer::Refused { why });
        let Some(view) = self.view(cluster) else {
            return refused(format!("There is no cluster {cluster}."));
        };
        let having: Vec<_> = view
            .storages
            .iter()
            .filter(|s| s.id == *volid.storage() && node.is_none_or(|n| *n == s.node))
            .filter(|s| view.node(&s.node).is_some_and(|n| n.state == NodeState::Up))
            .collect();
        let at = |node: &NodeName, shared| {
            PlaceFound::One(Place { node: node.clone(), shared, volid: volid.clone() })
        };
        let known: Vec<_> = having
            .iter()
            .filter(|s| {
                let text = volid.to_string();
                view.images.iter().any(|i| i.volid == text && (s.shared || i.node == s.node))
            })
            .collect();
        match (having.as_slice(), known.as_slice()) {
            ([], _) => {
                let wanted = volid.storage();
                let sees = |node: &NodeName| {
                    self.may(actor, Verb::ImageList, Target::Node(cluster, node)).is_allowed()
                };
                let have = view
                    .storages
                    .iter()
                    .filter(|s| node.is_none_or(|n| *n == s.node) && sees(&s.node))
                    .filter(|s| s.content.iter().any(|c| c.parse::<Content>().is_ok()))
                    .map(|s| s.id.as_str());
                let names = nearest(wanted.as_str(), have);
                let there = match names.as_slice() {
                    [] => String::new(),
                    some => format!(" There are: {}.", some.join(", ")),
                };
                refused(match node {
                    Some(node) => format!("{node} is not up, or has no storage {wanted}.{there}"),
                    None => format!("No node that is up has a storage {wanted}.{there}"),
                })
            }
            ([first, ..], _) if first.shared => at(&first.node, true),
            ([one], _) => at(&one.node, false),
            (_, [one]) => at(&one.node, false),
            (several, known) => {
                let list = if known.is_empty() { several.iter().collect() } else { known.to_vec() };
                let names: Vec<String> = list.iter().map(|s| s.node.to_string()).collect();
                refused(format!(
                    "{volid} can be on {}. Say which with the option node.",
                    names.join(", ")
                ))
            }
        }
    }

    async fn resolve_fetch(
        &self,
        actor: &Actor,
        want: Want,
    ) -> Result<Result<(Verb, ImageAction, String), Answer>, Error> {
        let refuse = |why: String| Ok(Err(Answer::Refused { why }));
        let (verb, shown) = (want.verb, want.what.shown());
        if let Ruling::Denied { because } = self.may(actor, verb, Target::Within(&want.cluster)) {
            return self.refuse(actor, verb, &shown, because).await.map(Err);
        }
        // Nothing is asked of any node before its operator's list allows the host.
        if let What::Named(image) = &want.what
            && let Err(bad) = self.inner.settings.images.check(image)
        {
            return refuse(format!("{bad}."));
        }
        let Some((content, file)) = want.what.file() else {
            return refuse(format!("{shown} is no image's file name."));
        };
        let storage = match &want.what {
            What::Named(ImageRef::Volume(volid)) => Some(volid.storage().clone()),
            _ => want.storage.clone(),
        };
        let places = match self.choose_places(actor, &want, content, storage.as_ref(), &file) {
            Ok(places) => places,
            Err(why) => return refuse(why),
        };
        let Some(first) = places.first() else {
            return refuse(format!("No node that is up can take a {}.", content.words()));
        };
        let (source, bytes) = match self.resolve_source(&want, first).await? {
            Ok(found) => found,
            Err(answer) => return Ok(Err(answer)),
        };
        let fetches = places
            .into_iter()
            .map(|place| Fetch { place, source: source.clone(), bytes })
            .collect();
        Ok(Ok((verb, ImageAction::Fetch { cluster: want.cluster, fetches }, shown)))
    }

    /// Where the image shall be: one place for `pull`, one for each node or shared storage for `prepare`.
    fn choose_places(
        &self,
        actor: &Actor,
        want: &Want,
        content: Content,
        storage: Option<&StorageId>,
        file: &str,
    ) -> Result<Vec<Place>, String> {
        let cluster = &want.cluster;
        let view = self.view(cluster).ok_or_else(|| format!("There is no cluster {cluster}."))?;
        let up = |node: &NodeName| view.node(node).is_some_and(|n| n.state == NodeState::Up);
        let mut nodes: Vec<&NodeName> = view
            .nodes
            .iter()
            .map(|n| &n.name)
            .filter(|n| want.node.as_ref().is_none_or(|w| w == *n))
            .filter(|n| self.may(actor, want.verb, Target::Node(cluster, n)).is_allowed())
            .collect();
        if let Some(node) = &want.node {
            if view.node(node).is_none() {
                return Err(format!("{cluster} has no node {node}."));
            }
            // Denied or down: planning says which of the two.
            if nodes.is_empty() {
                nodes.push(node);
            }
        } else {
            nodes.retain(|n| up(n));
        }
        let mut places: Vec<Place> = Vec::new();
        let mut room: Vec<u64> = Vec::new();
        for node in nodes {
            let best = view
                .storages
                .iter()
                .filter(|s| s.node == *node && storage.is_none_or(|w| *w == s.id))
                .filter(|s| {
                    storage.is_some() || s.active && s.content.iter().any(|c| c == content.as_str())
                })
                .max_by_key(|s| (s.shared, s.total.saturating_sub(s.used)));
            let (id, shared, free) = match (best, storage) {
                (Some(s), _) => (s.id.clone(), s.shared, s.total.saturating_sub(s.used)),
                // Let planning say that the node has no such storage, and which it has.
                (None, Some(storage)) if want.node.is_some() => (storage.clone(), false, 0),
                (None, _) => continue,
            };
            let volid = ImageVolid::new(id, content, file).map_err(|e| format!("{e}."))?;
            let place = Place { node: node.clone(), shared, volid };
            if places.iter().all(|p| p.key() != place.key()) {
                places.push(place);
                room.push(free);
            }
        }
        if want.verb == Verb::ImagePull && places.len() > 1 {
            // One place is asked for: the shared one, else where there is most room.
            let best = (0..places.len()).max_by_key(|i| (places[*i].shared, room[*i])).unwrap_or(0);
            return Ok(vec![places.swap_remove(best)]);
        }
        Ok(places)
    }

    /// Where the image comes from, with what can be known before: its size, its checksum, that it exists.
    async fn resolve_source(
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

/// A wish to have an image.
struct Want {
    verb: Verb,
    cluster: ClusterId,
    what: What,
    node: Option<NodeName>,
    storage: Option<StorageId>,
    checksum: Option<Checksum>,
}

/// What is wished for.
enum What {
    Named(ImageRef),
    Attached(Attachment),
}

impl What {
    /// As people read it; nothing signed.
    fn shown(&self) -> String {
        match self {
            Self::Named(ImageRef::Url(url)) => url.shown(),
            Self::Named(other) => other.to_string(),
            Self::Attached(file) => format!("attachment {}", file.file()),
        }
    }

    /// The kind and the name of the file it becomes; `None`: its name is no image's.
    fn file(&self) -> Option<(Content, String)> {
        Some(match self {
            Self::Named(ImageRef::Template(name)) => (Content::Vztmpl, name.as_str().to_owned()),
            Self::Named(ImageRef::Oci(oci)) => (Content::Vztmpl, oci.file()),
            Self::Named(ImageRef::Url(url)) => {
                (Content::of_file(url.file())?, url.file().to_owned())
            }
            Self::Named(ImageRef::Volume(volid)) => (volid.content(), volid.file().to_owned()),
            Self::Attached(file) => (file.content(), file.file().to_owned()),
        })
    }
}
