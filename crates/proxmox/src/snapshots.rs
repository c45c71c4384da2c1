//! Calls about a guest's snapshots.

use std::sync::Arc;

use gantry_core::id::GuestKind;
use gantry_core::snapshot::SnapshotName;
use http::Method;

use crate::answer::{Feature, Snapshot};
use crate::cache::Freshness;
use crate::client::Client;
use crate::error::Error;
use crate::form::Form;
use crate::writes::{Accepted, GuestRef};

impl Client {
    /// `GET …/{lxc|qemu}/{vmid}/snapshot`: all of them, and among them the present, called `current`. Needs `VM.Audit` on
    /// the guest.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the guest is not on that node; else see [`Error`].
    pub async fn snapshots(&self, guest: &GuestRef) -> Result<Arc<Vec<Snapshot>>, Error> {
        let call = self.slow(guest.path("/nodes/{node}/{kind}/{vmid}/snapshot"));
        self.list(call, Freshness::Fresh).await
    }

    /// `GET …/{lxc|qemu}/{vmid}/feature`: whether all disks of a guest lie where snapshots can be taken. A container's task
    /// fails without (measured). Needs `VM.Audit` on the guest.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the guest is not on that node; else see [`Error`].
    pub async fn can_snapshot(&self, guest: &GuestRef) -> Result<Option<bool>, Error> {
        let mut call = self.slow(guest.path("/nodes/{node}/{kind}/{vmid}/feature"));
        call.query = Form::new().with("feature", "snapshot");
        let feature: Feature = self.fetch(&call).await?;
        Ok(feature.has)
    }

    /// `POST …/{lxc|qemu}/{vmid}/snapshot`. `ram`: with the memory of a running machine.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the memory of a container; else see [`Error`].
    pub async fn take_snapshot(
        &self,
        guest: &GuestRef,
        name: &SnapshotName,
        note: &str,
        ram: bool,
    ) -> Result<Accepted, Error> {
        if ram && guest.kind == GuestKind::Lxc {
            return Err(Error::refused("vmstate", "only a virtual machine's memory can be kept"));
        }
        let mut call =
            self.change(Method::POST, guest.path("/nodes/{node}/{kind}/{vmid}/snapshot"));
        call.body = Form::new()
            .with("snapname", name)
            .with_some("description", (!note.is_empty()).then_some(note))
            .with_flag("vmstate", ram.then_some(true));
        self.accepted(call).await
    }

    /// `DELETE …/{lxc|qemu}/{vmid}/snapshot/{snapname}`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_snapshot(
        &self,
        guest: &GuestRef,
        name: &SnapshotName,
    ) -> Result<Accepted, Error> {
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/snapshot/{snapname}");
        let path = path.with("{snapname}", name.as_str());
        self.accepted(self.change(Method::DELETE, path)).await
    }

    /// `POST …/{lxc|qemu}/{vmid}/snapshot/{snapname}/rollback`. A running guest is stopped at once and stays off, unless
    /// the snapshot has its memory.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn roll_back(
        &self,
        guest: &GuestRef,
        name: &SnapshotName,
    ) -> Result<Accepted, Error> {
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/snapshot/{snapname}/rollback");
        let path = path.with("{snapname}", name.as_str());
        self.accepted(self.change(Method::POST, path)).await
    }
}
