//! What goes wrong with images, told from Proxmox's own text: the kind of trouble, and what helps against it.

/// The kinds of trouble with images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFault {
    /// It could not be fetched.
    Download,
    /// It is not the file that was meant.
    Checksum,
    /// It could not be unpacked.
    Extract,
    /// It could not be turned into another format.
    Conversion,
    /// A file system could not be mounted.
    Mount,
    /// It is not what its name says.
    InvalidFormat,
    /// The storage has no room.
    Full,
    /// The storage is not there, not active, or does not take such files.
    Storage,
    /// ZFS said no.
    Zfs,
    /// A file of that name is there.
    Cache,
    /// Something uses it.
    InUse,
    /// The node cannot do it: an older Proxmox, or a tool that is missing.
    Unable,
}

impl ImageFault {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Download,
        Self::Checksum,
        Self::Extract,
        Self::Conversion,
        Self::Mount,
        Self::InvalidFormat,
        Self::Full,
        Self::Storage,
        Self::Zfs,
        Self::Cache,
        Self::InUse,
        Self::Unable,
    ];

    /// The kind a text of Proxmox tells, the narrowest first; `None` where it tells none.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|p| text.contains(p));
        Some(if has(&["checksum", "wrong sha"]) {
            Self::Checksum
        } else if has(&[
            "no space left",
            "out of space",
            "not enough space",
            "disk quota",
            "reached threshold",
        ]) {
            Self::Full
        } else if has(&["refusing to override", "already exists"]) {
            Self::Cache
        } else if has(&["in use", "protected"]) {
            Self::InUse
        } else if has(&["zfs error", "cannot create 'rpool", "zpool", "dataset"]) {
            Self::Zfs
        } else if has(&["mount", "losetup"]) && has(&["fail", "error", "can't", "cannot"]) {
            Self::Mount
        } else if has(&["qemu-img"]) {
            Self::Conversion
        } else if has(&["tar:", "unpack", "extract", "decompress", "archive contains errors"]) {
            Self::Extract
        } else if has(&[
            "not implemented",
            "skopeo: not found",
            "command not found",
            "is not installed",
            "no such file or directory",
        ]) {
            Self::Unable
        } else if has(&[
            "wrong file",
            "invalid format",
            "unknown format",
            "unsupported format",
            "missing format",
        ]) {
            Self::InvalidFormat
        } else if has(&["storage '", "storage is not", "not active", "does not support"]) {
            Self::Storage
        } else if has(&[
            "download",
            "wget",
            "http error",
            "404",
            "403",
            "manifest unknown",
            "unable to resolve",
            "timed out",
            "connection refused",
            "skopeo",
            "registry",
            "certificate",
            "no such template",
        ]) {
            Self::Download
        } else {
            return None;
        })
    }

    /// What it is, as the beginning of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Download => "It could not be fetched",
            Self::Checksum => "What came is not the file that was meant",
            Self::Extract => "It could not be unpacked",
            Self::Conversion => "It could not be converted",
            Self::Mount => "Its file system could not be mounted",
            Self::InvalidFormat => "It is not what its name says",
            Self::Full => "The storage is full",
            Self::Storage => "The storage cannot take it",
            Self::Zfs => "ZFS refused it",
            Self::Cache => "A file of that name is there already",
            Self::InUse => "Something uses it",
            Self::Unable => "The node cannot do that",
        }
    }

    /// What helps.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Download => {
                "The node fetches by itself: it must reach that host, and the name or tag must exist. `/image show` asks it. Nothing of it is kept; run the command again."
            }
            Self::Checksum => {
                "Proxmox deleted what came. Compare the checksum with the one its publisher gives; if they are the same, the download was cut or tampered with: try again."
            }
            Self::Extract => {
                "The archive is damaged or no container template. Delete it with `/image delete` and pull it again."
            }
            Self::Conversion => {
                "The source stays as it was. Look at the log for what qemu-img says; the target storage must take that format."
            }
            Self::Mount => {
                "The file system inside is damaged, or of a kind this node does not know. Nothing was changed."
            }
            Self::InvalidFormat => {
                "Check that the file is what its ending says; Proxmox decides by the ending."
            }
            Self::Full => {
                "Make room: `/image prune` shows what nothing uses. Proxmox removes a download that did not end."
            }
            Self::Storage => {
                "`/node status` shows the node's storages; the storage must be active and take this kind of content."
            }
            Self::Zfs => {
                "Look at the pool on the node (`zpool status`); the source stays as it was."
            }
            Self::Cache => {
                "`/image show` tells what that file is. To fetch it anew, delete it first."
            }
            Self::InUse => "`/image used-by` names who.",
            Self::Unable => {
                "`gantry doctor` names programs a node lacks. OCI images need Proxmox VE 9.1 or newer, or skopeo and the node shell; a template or an address works with any."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_proxmox_are_told_apart() {
        for (text, want) in [
            ("checksum mismatch: got 'ab' expect 'cd'", ImageFault::Checksum),
            ("wrong checksum 'ab' != 'cd'", ImageFault::Checksum),
            ("download failed: 404 Not Found", ImageFault::Download),
            ("command 'wget …' failed: exit code 8", ImageFault::Download),
            ("write error: No space left on device", ImageFault::Full),
            (
                "refusing to override existing file '/var/lib/vz/template/iso/x.iso'",
                ImageFault::Cache,
            ),
            (
                "cannot remove volume 'local:iso/x.iso': it is in use by guest 100",
                ImageFault::InUse,
            ),
            ("zfs error: cannot create 'rpool/data/x': out of quota", ImageFault::Zfs),
            ("mount: /var/lib/lxc/.pve: mounting failed", ImageFault::Mount),
            ("unable to extract archive", ImageFault::Extract),
            ("command '/usr/bin/qemu-img convert' failed", ImageFault::Conversion),
            ("storage 'nope' does not exist", ImageFault::Storage),
            ("invalid format - format error", ImageFault::InvalidFormat),
        ] {
            assert_eq!(ImageFault::read(text), Some(want), "{text}");
        }
        assert_eq!(ImageFault::read("exit code 1"), None);
    }

    #[test]
    fn every_kind_has_words_and_advice() {
        for kind in ImageFault::ALL {
            assert!(!kind.words().is_empty() && kind.advice().ends_with(['.', '?']), "{kind:?}");
        }
    }
}
