//! What people call an image: a template of Proxmox's list, an OCI reference, a URL, or a volume that is there.
//!
//! Each form is an allow-list grammar; what matches none of them is refused with the rule it broke. Every part of
//! them reaches a node's file system or network, so nothing is ever passed on that was not parsed here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::url::{Host, ImageUrl};
use crate::id::StorageId;

/// Longest reference that is read.
const TEXT_MAX: usize = 1024;
/// Longest file name (`maxLength` of Proxmox's own parameter).
const FILE_MAX: usize = 255;
/// Longest OCI tag (the distribution specification).
const TAG_MAX: usize = 128;
/// Longest repository path; the distribution specification bounds host and path together.
const REPOSITORY_MAX: usize = 255;
/// The registry that names without one belong to.
const DOCKER_HUB: &str = "docker.io";

/// A text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be used: {rule}")]
pub struct BadImage {
    /// The text as given, cut to 80 characters.
    pub text: String,
    /// The rule it broke.
    pub rule: String,
}

impl BadImage {
    pub(super) fn new(text: &str, rule: impl Into<String>) -> Self {
        // Control characters must not reach a card or a log.
        let clean = text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { text: clean, rule: rule.into() }
    }
}

/// What an image is for; Proxmox keeps each kind in a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Container templates, OCI archives included.
    Vztmpl,
    /// ISO images.
    Iso,
    /// Disk images to import: qcow2, raw, vmdk, ova.
    Import,
}

impl Content {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Vztmpl, Self::Iso, Self::Import];

    /// Proxmox's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vztmpl => "vztmpl",
            Self::Iso => "iso",
            Self::Import => "import",
        }
    }

    /// People's words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Vztmpl => "container template",
            Self::Iso => "ISO image",
            Self::Import => "disk image",
        }
    }

    /// What a file is, by its ending: the endings Proxmox takes for each kind.
    pub fn of_file(name: &str) -> Option<Self> {
        let ends = |endings: &[&str]| endings.iter().any(|e| name.ends_with(e));
        if ends(&[".tar.zst", ".tar.gz", ".tar.xz", ".tar"]) {
            Some(Self::Vztmpl)
        } else if ends(&[".iso", ".img"]) {
            Some(Self::Iso)
        } else if ends(&[".qcow2", ".raw", ".vmdk", ".ova"]) {
            Some(Self::Import)
        } else {
            None
        }
    }
}

impl FromStr for Content {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|c| c.as_str() == text).ok_or(())
    }
}

/// Letters, digits, `.`, `_`, `+`, `-`; starts with a letter or digit: no path, no option, no hidden file.
pub(super) fn is_file_name(name: &str) -> bool {
    name.len() <= FILE_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
        && !name.contains("..")
}

macro_rules! texts {
    ($($name:ident),*) => { $(
        impl TryFrom<String> for $name {
            type Error = BadImage;
            fn try_from(text: String) -> Result<Self, BadImage> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )* };
}
texts!(TemplateName, OciRef, ImageVolid, ImageRef);

/// The file name of a container template, as Proxmox's list has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateName(String);

impl TemplateName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TemplateName {
    type Err = BadImage;
    fn from_str(text: &str) -> Result<Self, BadImage> {
        if is_file_name(text) && Content::of_file(text) == Some(Content::Vztmpl) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadImage::new(
            text,
            "a template is a file name of letters, digits, ., _, + and - that ends in .tar.zst, .tar.gz or .tar.xz",
        ))
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image that lies on a storage: `local:vztmpl/debian-12….tar.zst`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageVolid {
    storage: StorageId,
    content: Content,
    file: String,
}

impl ImageVolid {
    /// The volume a file of that kind is on that storage.
    ///
    /// # Errors
    /// [`BadImage`] when the file name is none.
    pub fn new(storage: StorageId, content: Content, file: &str) -> Result<Self, BadImage> {
        if !is_file_name(file) {
            return Err(BadImage::new(
                file,
                "a file name has letters, digits, ., _, + and -, and starts with a letter or digit",
            ));
        }
        Ok(Self { storage, content, file: file.to_owned() })
    }

    /// Its storage.
    pub fn storage(&self) -> &StorageId {
        &self.storage
    }

    /// What it is for.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Its file name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The same file on another storage.
    #[must_use]
    pub fn on(&self, storage: StorageId) -> Self {
        Self { storage, ..self.clone() }
    }
}

impl FromStr for ImageVolid {
    type Err = BadImage;
    fn from_str(text: &str) -> Result<Self, BadImage> {
        let bad = || {
            BadImage::new(
                text,
                "a volume looks like local:vztmpl/name.tar.zst, local:iso/name.iso or local:import/name.qcow2",
            )
        };
        let (storage, rest) = text.split_once(':').ok_or_else(bad)?;
        let (content, file) = rest.split_once('/').ok_or_else(bad)?;
        Self::new(storage.parse().map_err(|_| bad())?, content.parse().map_err(|()| bad())?, file)
            .map_err(|_| bad())
    }
}

impl fmt::Display for ImageVolid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.storage, self.content.as_str(), self.file)
    }
}

/// An OCI image: registry, repository, tag. Written out in full: `alpine:3` is `docker.io/library/alpine:3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OciRef {
    registry: Host,
    repository: String,
    tag: String,
}

impl OciRef {
    /// Where it comes from.
    pub fn registry(&self) -> &Host {
        &self.registry
    }

    /// The repository with its registry, without a tag: what tags are listed of.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The file Proxmox makes of it: the last part of the repository and the tag (measured: `alpine_3.tar`).
    pub fn file(&self) -> String {
        let last = self.repository.rsplit('/').next().unwrap_or_default();
        format!("{last}_{}.tar", self.tag)
    }
}

/// One part of a repository: small letters and digits, with single separators between (the distribution
/// specification's `path-component`).
fn is_component(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let chars =
        part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
    let twice =
        part.contains("..") || part.contains("._") || part.contains("_.") || part.contains("___");
    chars && edge(part.chars().next()) && edge(part.chars().next_back()) && !twice
}

impl FromStr for OciRef {
    type Err = BadImage;
    fn from_str(text: &str) -> Result<Self, BadImage> {
        let bad = |rule: &str| BadImage::new(text, rule);
        let rest =
            text.strip_prefix("docker://").or_else(|| text.strip_prefix("oci://")).unwrap_or(text);
        if rest.contains('@') {
            return Err(bad(
                "Proxmox pulls by tag, never by digest: give the tag; the digest of what was pulled is noted",
            ));
        }
        // The first part is a registry only where it cannot be part of a path (as Docker reads it).
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
                let host =
                    first.parse::<Host>().map_err(|why| bad(&format!("its registry: {why}")))?;
                (host, path)
            }
            _ => (Host::name(DOCKER_HUB), rest),
        };
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, tag),
            None => (path, "latest"),
        };
        let tag_start = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let tag_chars = tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !tag_start || !tag_chars || tag.len() > TAG_MAX || tag.contains("..") {
            return Err(bad("a tag has letters, digits, ., _ and -, and at most 128 of them"));
        }
        if path.is_empty() || path.len() > REPOSITORY_MAX || !path.split('/').all(is_component) {
            return Err(bad(
                "write a template's file name, name:tag, registry/name:tag, https://…, or storage:vztmpl/file; \
                 names of images are small letters",
            ));
        }
        let official = registry.to_string() == DOCKER_HUB && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        Ok(Self { registry, repository, tag: tag.to_owned() })
    }
}

impl fmt::Display for OciRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

/// An image as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ImageRef {
    /// A container template of Proxmox's list.
    Template(TemplateName),
    /// An OCI image of a registry.
    Oci(OciRef),
    /// A file at an address.
    Url(ImageUrl),
    /// A volume that is, or was, on a storage.
    Volume(ImageVolid),
}

impl FromStr for ImageRef {
    type Err = BadImage;
    fn from_str(text: &str) -> Result<Self, BadImage> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadImage::new(text, "it is empty"));
        }
        if text.len() > TEXT_MAX {
            return Err(BadImage::new(text, format!("it is longer than {TEXT_MAX} bytes")));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => text.parse().map(Self::Url),
                "docker" | "oci" => text.parse().map(Self::Oci),
                _ => Err(BadImage::new(text, "addresses start with https:// or http://")),
            };
        }
        let content =
            text.split_once(':').and_then(|(_, rest)| rest.split_once('/')).map(|(c, _)| c);
        if content.is_some_and(|c| c.parse::<Content>().is_ok()) {
            return text.parse().map(Self::Volume);
        }
        if !text.contains([':', '/']) && Content::of_file(text) == Some(Content::Vztmpl) {
            return text.parse().map(Self::Template);
        }
        text.parse().map(Self::Oci)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(name) => name.fmt(f),
            Self::Oci(oci) => oci.fmt(f),
            Self::Url(url) => url.fmt(f),
            Self::Volume(volid) => volid.fmt(f),
        }
    }
}

/// How a file proves to be the one that was meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Checksum {
    /// `sha256`, `sha384` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// The sum, in small hexadecimal letters.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl FromStr for Checksum {
    type Err = BadImage;
    /// `sha256:…`, or the bare sum: its length tells which it is. MD5 and SHA-1 prove nothing any more.
    fn from_str(text: &str) -> Result<Self, BadImage> {
        let bad = || {
            BadImage::new(
                text,
                "a checksum is sha256:, sha384: or sha512: and its hexadecimal digits",
            )
        };
        let text = text.trim();
        let (named, sum) = match text.split_once(':') {
            Some((name, sum)) => (Some(name.to_ascii_lowercase()), sum),
            None => (None, text),
        };
        let algorithm = match sum.len() {
            64 => Algorithm::Sha256,
            96 => Algorithm::Sha384,
            128 => Algorithm::Sha512,
            _ => return Err(bad()),
        };
        let sum = Self { algorithm, hex: sum.to_ascii_lowercase() };
        let digits = sum.hex.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits || named.is_some_and(|n| n != sum.algorithm()) {
            return Err(bad());
        }
        Ok(sum)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex)
    }
}
texts!(Checksum);
