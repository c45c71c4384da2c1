//! What the image commands answer.

use serde::Deserialize;

use crate::answer::{Answer, Unreadable};
use crate::words::Volume;

/// The format of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl Format {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What `qemu-img` says of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageInfo {
    /// Bytes a guest sees.
    pub virtual_size: u64,
    /// Bytes it takes on the storage now, where that is known.
    #[serde(default)]
    pub actual_size: Option<u64>,
    /// `raw` or `qcow2`.
    pub format: String,
}

impl ImageInfo {
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        Answer::read(text).json("image")
    }
}

/// An OCI image that became a container template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedImage {
    /// Where it is.
    pub volume: Volume,
    /// `sha256:…` of the manifest the reference stood for.
    pub digest: String,
    /// Bytes of the archive.
    pub size: u64,
}

impl CopiedImage {
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let answer = Answer::read(text);
        let volume = answer.one("volume")?;
        Ok(Self {
            volume: volume.parse().map_err(|e| Unreadable(format!("{e}")))?,
            digest: answer.one("digest")?.to_owned(),
            size: answer.number("size")?,
        })
    }
}

/// A checksum over a whole volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes that were read.
    pub size: u64,
}

impl Checksum {
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let answer = Answer::read(text);
        let sha256 = answer.one("sha256")?;
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Unreadable("`sha256` is not a checksum".to_owned()));
        }
        Ok(Self { sha256: sha256.to_owned(), size: answer.number("size")? })
    }
}
