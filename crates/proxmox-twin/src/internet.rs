//! The world outside: the few files, OCI images and appliance templates that nodes can fetch.
//!
//! Nothing is ever fetched: a catalogue says what is there, how large it is, and which digest it has. What is not
//! in it gives the errors an unknown host or path gives. Tests and the control API change it while it runs.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

/// A file behind a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// `https://…`
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// What the server says it is.
    #[serde(default = "octets")]
    pub mimetype: String,
    /// SHA-256 of what is in it, as hex.
    #[serde(default)]
    pub sha256: String,
}

fn octets() -> String {
    "application/octet-stream".to_owned()
}

impl RemoteFile {
    /// A file whose digest follows from its URL.
    pub fn new(url: &str, bytes: u64) -> Self {
        let sha256 = hex::encode(Sha256::digest(url.as_bytes()));
        Self { url: url.to_owned(), bytes, mimetype: octets(), sha256 }
    }

    /// The checksum of this file by one of the server's algorithms, as hex.
    pub fn checksum(&self, algorithm: &str) -> String {
        checksum(&self.sha256, algorithm)
    }
}

/// The catalogue holds one digest a file; the others follow from it, each with its proper length.
pub(crate) fn checksum(sha256: &str, algorithm: &str) -> String {
    let length = match algorithm {
        "sha256" => return sha256.to_owned(),
        "md5" => 32,
        "sha1" => 40,
        "sha224" => 56,
        "sha384" => 96,
        _ => 128,
    };
    let hash = hex::encode(Sha512::digest(format!("{algorithm}:{sha256}")));
    hash.chars().take(length).collect()
}

/// An OCI image under one tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteImage {
    /// With its registry: `registry.demo/shop/web`.
    pub repository: String,
    /// `1`
    pub tag: String,
    /// `sha256:…` of its manifest.
    #[serde(default)]
    pub digest: String,
    /// Size of all its layers.
    pub bytes: u64,
    /// Guests made from it start but never become healthy.
    #[serde(default)]
    pub unhealthy: bool,
    /// Its entrypoint.
    #[serde(default)]
    pub entrypoint: String,
}

impl RemoteImage {
    /// A healthy image whose digest follows from its reference.
    pub fn new(repository: &str, tag: &str, bytes: u64) -> Self {
        let digest = hex::encode(Sha256::digest(format!("{repository}:{tag}")));
        Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: format!("sha256:{digest}"),
            bytes,
            unhealthy: false,
            entrypoint: "/sbin/entrypoint".to_owned(),
        }
    }

    /// Guests made from it never become healthy.
    #[must_use]
    pub fn unhealthy(mut self) -> Self {
        self.unhealthy = true;
        self
    }

    /// `repository:tag`
    pub fn reference(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

/// A row of the appliance index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appliance {
    /// File name of the template.
    pub template: String,
    /// `debian-12`
    pub os: String,
    /// `12.7-1`
    pub version: String,
    /// `system`, `mail`, …
    pub section: String,
    /// One line about it.
    pub headline: String,
    /// Its size.
    pub bytes: u64,
}

/// Everything nodes can fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Internet {
    /// Files behind URLs.
    pub files: Vec<RemoteFile>,
    /// OCI images.
    pub images: Vec<RemoteImage>,
    /// The appliance index.
    pub appliances: Vec<Appliance>,
}

/// A reference with the registry and namespace that are meant when they are left out.
pub(crate) fn full_reference(reference: &str) -> String {
    let (first, rest) = reference.split_once('/').unwrap_or(("", reference));
    let registry = first.contains(['.', ':']) || first == "localhost";
    match (registry, first) {
        (true, "docker.io") if !rest.contains('/') => format!("docker.io/library/{rest}"),
        (true, _) => reference.to_owned(),
        (false, "") => format!("docker.io/library/{reference}"),
        (false, _) => format!("docker.io/{reference}"),
    }
}

/// Host of a URL or of a full reference.
pub(crate) fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

impl Internet {
    /// What the demo's nodes can fetch.
    pub fn demo() -> Self {
        const MIB: u64 = 1 << 20;
        let file = RemoteFile::new;
        let image = RemoteImage::new;
        let appliance = |template: &str, os: &str, version: &str, headline: &str, bytes: u64| {
            let own = str::to_owned;
            Appliance {
                template: own(template),
                os: own(os),
                version: own(version),
                section: own("system"),
                headline: own(headline),
                bytes,
            }
        };
        Self {
            files: vec![
                file("https://cloud.demo/images/debian-13-generic-amd64.qcow2", 410 * MIB),
                file("https://cloud.demo/images/noble-server-cloudimg-amd64.img", 590 * MIB),
                file("https://iso.demo/debian-13.1.0-amd64-netinst.iso", 783 * MIB),
                file("https://iso.demo/rescue.iso.gz", 96 * MIB),
                file("https://templates.demo/own-rootfs_1.0_amd64.tar.zst", 64 * MIB),
            ],
            images: vec![
                image("registry.demo/shop/web", "1", 88 * MIB),
                // The update that goes wrong: it starts, and never answers its health check.
                image("registry.demo/shop/web", "2", 91 * MIB).unhealthy(),
                image("registry.demo/shop/web", "3", 91 * MIB),
                image("registry.demo/shop/api", "1.4.0", 143 * MIB),
                image("docker.io/library/alpine", "3.22", 4 * MIB),
                image("docker.io/library/nginx", "1.29", 72 * MIB),
                image("docker.io/library/postgres", "17", 152 * MIB),
                image("docker.io/library/redis", "8", 52 * MIB),
            ],
            appliances: vec![
                appliance(
                    crate::world::DEBIAN_TEMPLATE,
                    "debian-12",
                    "12.7-1",
                    "Debian 12 Bookworm (standard)",
                    126_515_062,
                ),
                appliance(
                    "debian-13-standard_13.1-1_amd64.tar.zst",
                    "debian-13",
                    "13.1-1",
                    "Debian 13 Trixie (standard)",
                    129_710_398,
                ),
                appliance(
                    "alpine-3.20-default_20240908_amd64.tar.xz",
                    "alpine",
                    "20240908",
                    "LXC default image for alpine 3.20 (20240908)",
                    3_221_225,
                ),
                appliance(
                    "ubuntu-24.04-standard_24.04-2_amd64.tar.zst",
                    "ubuntu-24.04",
                    "24.04-2",
                    "Ubuntu 24.04 Noble (standard)",
                    141_589_318,
                ),
                appliance(
                    "archlinux-base_20240911-1_amd64.tar.zst",
                    "archlinux",
                    "20240911-1",
                    "ArchLinux base image.",
                    149_422_211,
                ),
            ],
        }
    }

    pub(crate) fn file(&self, url: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|f| f.url == url)
    }

    pub(crate) fn image(&self, reference: &str) -> Option<&RemoteImage> {
        let full = full_reference(reference);
        self.images.iter().find(|i| i.reference() == full)
    }

    /// Tags of a repository, oldest first; `None` when nobody knows it.
    pub(crate) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        let full = full_reference(repository);
        let tags: Vec<String> =
            self.images.iter().filter(|i| i.repository == full).map(|i| i.tag.clone()).collect();
        (!tags.is_empty()).then_some(tags)
    }

    /// Is there any server of that name?
    pub(crate) fn knows_host(&self, host: &str) -> bool {
        self.files.iter().any(|f| host_of(&f.url) == host)
            || self.images.iter().any(|i| host_of(&i.repository) == host)
    }

    /// Puts a file there, in the place of one with the same URL.
    pub(crate) fn publish_file(&mut self, mut file: RemoteFile) {
        if file.sha256.is_empty() {
            file.sha256 = RemoteFile::new(&file.url, 0).sha256;
        }
        self.files.retain(|f| f.url != file.url);
        self.files.push(file);
    }

    /// Puts an image there, in the place of one with the same reference.
    pub(crate) fn publish_image(&mut self, mut image: RemoteImage) {
        if image.digest.is_empty() {
            image.digest = RemoteImage::new(&image.repository, &image.tag, 0).digest;
        }
        let reference = image.reference();
        self.images.retain(|i| i.reference() != reference);
        self.images.push(image);
    }

    /// Takes a URL or reference away.
    pub(crate) fn withdraw(&mut self, what: &str) {
        self.files.retain(|f| f.url != what);
        self.images.retain(|i| i.reference() != what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_as_registries_do() {
        assert_eq!(full_reference("alpine:3"), "docker.io/library/alpine:3");
        assert_eq!(full_reference("docker.io/alpine:3"), "docker.io/library/alpine:3");
        assert_eq!(full_reference("shop/web:1"), "docker.io/shop/web:1");
        assert_eq!(full_reference("registry.demo/shop/web:1"), "registry.demo/shop/web:1");
        assert_eq!(host_of("https://iso.demo/x?y"), "iso.demo");
    }

    #[test]
    fn checksums_have_the_length_of_their_algorithm() {
        let file = RemoteFile::new("https://iso.demo/a.iso", 1);
        for (algorithm, length) in [
            ("md5", 32),
            ("sha1", 40),
            ("sha224", 56),
            ("sha256", 64),
            ("sha384", 96),
            ("sha512", 128),
        ] {
            assert_eq!(file.checksum(algorithm).len(), length, "{algorithm}");
        }
    }
}
