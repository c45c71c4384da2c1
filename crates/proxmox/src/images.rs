//! Calls about images: what can be had, fetching it onto a storage, deleting it, moving a disk, making a template.
//!
//! Nodes fetch by themselves; gantry only says from where. Addresses and names come typed from `gantry-core`, so
//! what was checked there is, letter by letter, what is sent here.

use gantry_core::id::{GuestKind, NodeName, StorageId};
use gantry_core::image::{
    Checksum, Content, DiskFormat, ImageUrl, ImageVolid, OciRef, TemplateName,
};
use http::Method;

use crate::answer::UrlMetadata;
use crate::answer::envelope::List;
use crate::client::Client;
use crate::decode::decode;
use crate::error::Error;
use crate::form::Form;
use crate::path::Path;
use crate::transport::Call;
use crate::writes::{Accepted, GuestRef};

/// A file a node shall download.
#[derive(Debug, Clone)]
pub struct DownloadUrl<'a> {
    /// From where.
    pub url: &'a ImageUrl,
    /// As what.
    pub content: Content,
    /// Under which name.
    pub file: &'a str,
    /// What it must be; Proxmox keeps nothing else.
    pub checksum: Option<&'a Checksum>,
}

/// A disk that shall be copied to another storage.
#[derive(Debug, Clone)]
pub struct MoveDisk<'a> {
    /// Which: `rootfs`, `mp0`, `scsi0`.
    pub disk: &'a str,
    /// Where to.
    pub storage: &'a StorageId,
    /// As what; virtual machines only.
    pub format: Option<DiskFormat>,
    /// Whether the old disk is deleted afterwards.
    pub delete_original: bool,
    /// The digest of the configuration that was read.
    pub digest: &'a str,
}

impl Client {
    fn post_image(&self, path: Path, form: Form) -> Call {
        let mut call = Call::write(Method::POST, path, self.tuning().write_timeout);
        call.body = form;
        call
    }

    /// `POST /nodes/{node}/aplinfo`: downloads a container template of Proxmox's list.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the list has no such template; else see [`Error`].
    pub async fn download_template(
        &self,
        node: &NodeName,
        storage: &StorageId,
        template: &TemplateName,
    ) -> Result<Accepted, Error> {
        let form = Form::new().with("storage", storage).with("template", template);
        self.accepted(self.post_image(Path::node("/nodes/{node}/aplinfo", node), form)).await
    }

    /// `POST …/download-url`.
    ///
    /// # Errors
    /// See [`Error`]. A wrong checksum or an unknown host shows in the task.
    pub async fn download_url(
        &self,
        node: &NodeName,
        storage: &StorageId,
        what: &DownloadUrl<'_>,
    ) -> Result<Accepted, Error> {
        let path = Path::storage("/nodes/{node}/storage/{storage}/download-url", node, storage);
        let form = Form::new()
            .with("url", what.url)
            .with("content", what.content.as_str())
            .with("filename", what.file)
            .with_some("checksum", what.checksum.map(Checksum::hex))
            .with_some("checksum-algorithm", what.checksum.map(Checksum::algorithm));
        self.accepted(self.post_image(path, form)).await
    }

    /// `POST …/oci-registry-pull`, since Proxmox VE 9.1. The file is named after repository and tag.
    ///
    /// # Errors
    /// [`Error::NotImplemented`] on an older node; else see [`Error`].
    pub async fn pull_oci(
        &self,
        node: &NodeName,
        storage: &StorageId,
        reference: &OciRef,
    ) -> Result<Accepted, Error> {
        let path =
            Path::storage("/nodes/{node}/storage/{storage}/oci-registry-pull", node, storage);
        self.accepted(self.post_image(path, Form::new().with("reference", reference))).await
    }

    /// `GET …/query-oci-repo-tags`, since Proxmox VE 9.1: asks the registry now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn oci_tags(
        &self,
        node: &NodeName,
        reference: &OciRef,
    ) -> Result<Vec<String>, Error> {
        let path = Path::node("/nodes/{node}/query-oci-repo-tags", node);
        let mut call = Call::get(path, self.tuning().write_timeout);
        call.query = Form::new().with("reference", reference.repository());
        let tags: List<Option<String>> = self.fetch(&call).await?;
        Ok(tags.0.into_iter().flatten().collect())
    }

    /// `GET …/query-url-metadata`: asks the address now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn url_metadata(
        &self,
        node: &NodeName,
        url: &ImageUrl,
    ) -> Result<UrlMetadata, Error> {
        let path = Path::node("/nodes/{node}/query-url-metadata", node);
        let mut call = Call::get(path, self.tuning().write_timeout);
        call.query = Form::new().with("url", url);
        self.fetch(&call).await
    }

    /// `DELETE …/content/{volume}`: deletes an image.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_image(
        &self,
        node: &NodeName,
        volid: &ImageVolid,
    ) -> Result<Accepted, Error> {
        let path = Path::volume(
            "/nodes/{node}/storage/{storage}/content/{volume}",
            node,
            volid.storage(),
            &volid.to_string(),
        );
        self.accepted(Call::write(Method::DELETE, path, self.tuning().write_timeout)).await
    }

    /// Copies a guest's disk to another storage and lets the guest use the copy (`move_volume`, `move_disk`).
    ///
    /// # Errors
    /// [`Error::Conflict`] when the configuration changed; [`Error::Invalid`] for a format asked of a container.
    pub async fn move_guest_disk(
        &self,
        guest: &GuestRef,
        what: &MoveDisk<'_>,
    ) -> Result<Accepted, Error> {
        let container = guest.kind == GuestKind::Lxc;
        if container && what.format.is_some() {
            return Err(Error::refused("format", "a container's disk has the form of its storage"));
        }
        let path = guest.path(if container {
            "/nodes/{node}/{kind}/{vmid}/move_volume"
        } else {
            "/nodes/{node}/{kind}/{vmid}/move_disk"
        });
        let form = Form::new()
            .with(if container { "volume" } else { "disk" }, what.disk)
            .with("storage", what.storage)
            .with_some("format", what.format.map(DiskFormat::as_str))
            .with_flag("delete", Some(what.delete_original))
            .with_some("digest", (!what.digest.is_empty()).then_some(what.digest));
        self.accepted(self.post_image(path, form)).await
    }

    /// Turns a stopped guest into a template. A container is one when this returns (`None`); a virtual machine's
    /// disks take a task.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn make_template(&self, guest: &GuestRef) -> Result<Option<Accepted>, Error> {
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/template");
        let call = self.post_image(path, Form::new());
        if guest.kind == GuestKind::Qemu {
            return self.accepted(call).await.map(Some);
        }
        let answer = self.submit(&call).await?;
        let _: Option<serde::de::IgnoredAny> = decode(&call, &answer, self.secret())?;
        Ok(None)
    }
}
