//! From what somebody calls an image to what shall be done: which node, which storage, which file, how large.
//!
//! Policy is asked before anything is read, and the operator's list of hosts before any node is sent anywhere.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{ClusterId, GuestKind, NodeName, StorageId};
use gantry_core::image::{
    Attachment, Checksum, Content, DiskFormat, Fetch, ImageAction, ImageRef, ImageVolid,
    PruneFilter,
};
use gantry_core::policy::{Actor, Ruling, Target};

use super::place::PlaceFound;
use crate::propose::Answer;
use crate::{Engine, Error};

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
}

/// A wish to have an image.
pub(super) struct Want {
    pub(super) verb: Verb,
    pub(super) cluster: ClusterId,
    pub(super) what: What,
    pub(super) node: Option<NodeName>,
    pub(super) storage: Option<StorageId>,
    pub(super) checksum: Option<Checksum>,
}

/// What is wished for.
pub(super) enum What {
    Named(ImageRef),
    Attached(Attachment),
}

impl What {
    /// As people read it; nothing signed.
    pub(super) fn shown(&self) -> String {
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
