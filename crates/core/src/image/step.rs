//! What is done to images: as it is asked for, and as steps of an operation. A step says everything it needs, so
//! that any operation can have one (a pod's creation fetches its image first).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::attachment::Attachment;
use super::convert::DiskFormat;
use super::reference::{Checksum, ImageVolid, OciRef, TemplateName};
use super::url::ImageUrl;
use crate::action::GuestRef;
use crate::id::{ClusterId, GuestKind, NodeName, StorageId};

/// Where an image lies or shall lie: the same volume id means another file on each node, unless its storage is shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The node that is asked; with a shared storage, any that has it.
    pub node: NodeName,
    /// Whether all nodes see the same file.
    pub shared: bool,
    /// The volume.
    pub volid: ImageVolid,
}

impl Place {
    /// What tells two files apart: `pve1/local:iso/x.iso`, or the bare volume id on a shared storage.
    pub fn key(&self) -> String {
        if self.shared { self.volid.to_string() } else { format!("{}/{}", self.node, self.volid) }
    }

    /// The node a record is kept under: `*` on a shared storage.
    pub fn owner(&self) -> &str {
        if self.shared { "*" } else { self.node.as_str() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shared {
            write!(f, "{} (shared)", self.volid)
        } else {
            write!(f, "{} on {}", self.volid, self.node)
        }
    }
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Source {
    /// Proxmox's template list; Proxmox checks it against its signed index.
    Template {
        /// Its file name there.
        name: TemplateName,
        /// The sum its list gives, as `sha512:…`, where it gives one.
        #[serde(default)]
        digest: Option<String>,
    },
    /// A registry.
    Oci {
        /// What.
        reference: OciRef,
    },
    /// An address.
    Url {
        /// Which, letter by letter as Proxmox gets it.
        url: ImageUrl,
        /// What the file must be.
        checksum: Checksum,
    },
    /// A file somebody attached to a message: gantry hands it on, piece by piece.
    Attachment {
        /// Which.
        file: Attachment,
        /// What the file must be, where somebody said.
        checksum: Option<Checksum>,
    },
}

impl Source {
    /// For people and records; nothing signed.
    pub fn shown(&self) -> String {
        match self {
            Self::Template { name, .. } => name.to_string(),
            Self::Oci { reference } => reference.to_string(),
            Self::Url { url, .. } => url.shown(),
            Self::Attachment { file, .. } => format!("attachment {}", file.file()),
        }
    }

    /// The sum that is known before anything is fetched.
    pub fn digest(&self) -> Option<String> {
        match self {
            Self::Template { digest, .. } => digest.clone(),
            Self::Oci { .. } => None,
            Self::Url { checksum, .. } => Some(checksum.to_string()),
            Self::Attachment { checksum, .. } => checksum.as_ref().map(ToString::to_string),
        }
    }

    /// The same for a record: without an address that is signed and soon worth nothing.
    #[must_use]
    pub fn to_keep(&self) -> Self {
        match self {
            Self::Attachment { file, checksum } => {
                Self::Attachment { file: file.without_address(), checksum: checksum.clone() }
            }
            other => other.clone(),
        }
    }

    /// Whether it can be fetched again later.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Attachment { .. })
    }
}

/// An image that shall be at a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fetch {
    /// Where to.
    pub place: Place,
    /// Where from.
    pub source: Source,
    /// Its size, bytes, where it is known before.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// An image that shall go, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Doomed {
    /// Where it lies.
    pub place: Place,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was made, seconds since the epoch: another time, another file.
    pub created_s: u64,
}

/// Which images pruning looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PruneFilter {
    /// Only on this node and on shared storages.
    pub node: Option<NodeName>,
    /// Only on this storage.
    pub storage: Option<StorageId>,
    /// Only those nothing has used for so many days.
    pub days: u32,
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "image", rename_all = "kebab-case")]
pub enum ImageAction {
    /// Have images at places: what is missing is fetched.
    Fetch {
        /// In which cluster.
        cluster: ClusterId,
        /// What, where.
        fetches: Vec<Fetch>,
    },
    /// Delete one image.
    Delete {
        /// In which cluster.
        cluster: ClusterId,
        /// Which.
        place: Place,
    },
    /// Delete what gantry fetched and nothing uses.
    Prune {
        /// In which cluster.
        cluster: ClusterId,
        /// Among which.
        filter: PruneFilter,
    },
    /// Move a guest's disk to another storage, or into another format.
    MoveDisk {
        /// Whose.
        guest: GuestRef,
        /// Container or virtual machine.
        kind: GuestKind,
        /// Which: `rootfs`, `mp0`, `scsi0`.
        disk: String,
        /// Where to.
        storage: StorageId,
        /// As what; virtual machines on file storages only.
        format: Option<DiskFormat>,
        /// Whether the old disk goes once the new one is there; else it stays as an unused disk of the guest.
        delete_original: bool,
    },
    /// Turn a disk image that lies on a storage into another form, beside it.
    ConvertFile {
        /// In which cluster.
        cluster: ClusterId,
        /// Which.
        place: Place,
        /// Into what.
        to: DiskFormat,
    },
    /// Turn a stopped guest into a template; it never runs again.
    MakeTemplate {
        /// Which.
        guest: GuestRef,
        /// Container or virtual machine.
        kind: GuestKind,
    },
}

impl ImageAction {
    /// The cluster it acts on.
    pub fn cluster(&self) -> &ClusterId {
        match self {
            Self::Fetch { cluster, .. }
            | Self::Delete { cluster, .. }
            | Self::ConvertFile { cluster, .. }
            | Self::Prune { cluster, .. } => cluster,
            Self::MoveDisk { guest, .. } | Self::MakeTemplate { guest, .. } => &guest.cluster,
        }
    }

    /// The guest it acts on, where it acts on one.
    pub fn guest(&self) -> Option<(&GuestRef, GuestKind)> {
        match self {
            Self::MoveDisk { guest, kind, .. } | Self::MakeTemplate { guest, kind } => {
                Some((guest, *kind))
            }
            _ => None,
        }
    }

    /// Whether somebody can have back what was there before: a template never is a guest again, and a disk that was
    /// deleted is gone with the form it had.
    pub fn can_be_undone(&self) -> bool {
        match self {
            Self::Fetch { .. } | Self::ConvertFile { .. } => true,
            Self::MoveDisk { delete_original, .. } => !delete_original,
            Self::Delete { .. } | Self::Prune { .. } | Self::MakeTemplate { .. } => false,
        }
    }

    /// What it works on: `image lab/pve1/local:iso/x.iso`. Several images have no common turn; each of their steps
    /// waits for older operations on the same image by itself.
    pub fn turn(&self) -> Option<String> {
        let of =
            |cluster: &ClusterId, place: &Place| Some(format!("image {cluster}/{}", place.key()));
        match self {
            Self::Fetch { cluster, fetches } => match fetches.as_slice() {
                [one] => of(cluster, &one.place),
                _ => None,
            },
            Self::Delete { cluster, place } => of(cluster, place),
            Self::ConvertFile { cluster, place, to } => {
                super::file::converted(place, *to).and_then(|target| of(cluster, &target))
            }
            Self::Prune { cluster, .. } => Some(format!("images {cluster}")),
            Self::MoveDisk { guest, .. } | Self::MakeTemplate { guest, .. } => {
                Some(format!("guest {guest}"))
            }
        }
    }
}

/// One thing done at Proxmox to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "image", rename_all = "kebab-case")]
pub enum ImageStep {
    /// Fetch it.
    Fetch(Fetch),
    /// Fetch it from a registry over the node shell, on a node whose Proxmox cannot.
    Copy(Fetch),
    /// Delete it.
    Delete(Doomed),
    /// Move a disk.
    MoveDisk {
        /// Which.
        disk: String,
        /// The volume it is now; `move` makes another one.
        from: String,
        /// Where to.
        storage: StorageId,
        /// As what.
        format: Option<DiskFormat>,
        /// Whether the old one goes.
        delete_original: bool,
    },
    /// Make a converted copy of a file, over the node shell.
    ConvertFile {
        /// The file, as it was seen.
        seen: Doomed,
        /// Its form.
        from: DiskFormat,
        /// Where the copy shall be.
        target: Place,
        /// Its form.
        to: DiskFormat,
    },
    /// Turn the guest into a template.
    MakeTemplate,
}

impl ImageStep {
    /// What people read while it runs.
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Fetch(_) | Self::Copy(_) => "Fetching the image",
            Self::ConvertFile { .. } => "Converting the image",
            Self::Delete(_) => "Deleting the image",
            Self::MoveDisk { .. } => "Moving the disk",
            Self::MakeTemplate => "Making it a template",
        }
    }

    /// A short name for lists and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "fetch image",
            Self::Copy(_) => "copy image",
            Self::ConvertFile { .. } => "convert image",
            Self::Delete(_) => "delete image",
            Self::MoveDisk { .. } => "move disk",
            Self::MakeTemplate => "make template",
        }
    }

    /// In “could not …”, before the target's name.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Fetch(_) | Self::Copy(_) => "fetch",
            Self::ConvertFile { .. } => "convert",
            Self::Delete(_) => "delete",
            Self::MoveDisk { .. } => "move a disk of",
            Self::MakeTemplate => "make a template of",
        }
    }

    /// The worker types Proxmox gives its task.
    pub fn task_types(&self) -> &'static [&'static str] {
        match self {
            Self::Fetch(fetch) => match fetch.source {
                Source::Oci { .. } => &["ociregistrypull"],
                Source::Attachment { .. } => &["imgcopy"],
                Source::Template { .. } | Source::Url { .. } => &["download"],
            },
            Self::Delete(_) => &["imgdel"],
            Self::MoveDisk { .. } => &["move_volume", "qmmove"],
            Self::MakeTemplate => &["qmtemplate"],
            Self::Copy(_) | Self::ConvertFile { .. } => &[],
        }
    }

    /// Whether gantry itself hands the bytes on.
    pub fn is_upload(&self) -> bool {
        matches!(self, Self::Fetch(fetch) if matches!(fetch.source, Source::Attachment { .. }))
    }

    /// Whether its call itself takes long, rather than starting a task that does. Such a call may be made again once
    /// a look has shown that it came to nothing: Proxmox starts no task before a file has come whole, and the node's
    /// script writes no file that is there and does not begin while the same is under way.
    pub fn is_long_call(&self) -> bool {
        self.is_upload() || self.is_over_shell()
    }

    /// Whether the node shell does it; there is no task then.
    pub fn is_over_shell(&self) -> bool {
        matches!(self, Self::Copy(_) | Self::ConvertFile { .. })
    }

    /// Whether it reads or writes the file of that key.
    pub fn touches(&self, key: &str) -> bool {
        let source = match self {
            Self::ConvertFile { seen, .. } => Some(&seen.place),
            _ => None,
        };
        self.place().into_iter().chain(source).any(|p| p.key() == key)
    }

    /// The file it is about, where it is about one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Fetch(fetch) | Self::Copy(fetch) => Some(&fetch.place),
            Self::ConvertFile { target, .. } => Some(target),
            Self::Delete(doomed) => Some(&doomed.place),
            Self::MoveDisk { .. } | Self::MakeTemplate => None,
        }
    }
}
