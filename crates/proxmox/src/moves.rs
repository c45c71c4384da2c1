//! Calls that move a guest to another node, and the one that asks beforehand whether it may go there.

use gantry_core::id::{GuestKind, NodeName};
use http::Method;

use crate::answer::MigrateCheck;
use crate::client::Client;
use crate::error::Error;
use crate::form::Form;
use crate::writes::{Accepted, GuestRef};

/// How a guest is moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Migrate {
    /// Machines: while it goes on running.
    pub online: bool,
    /// Machines: with the disks that only its node sees.
    pub with_local_disks: bool,
    /// Containers: shut down before, started after. There is no other way while one runs.
    pub restart: bool,
}

impl Client {
    /// `GET …/{lxc|qemu}/{vmid}/migrate`: what keeps a guest from going to a node. Needs `VM.Migrate` on the guest.
    /// For containers Proxmox VE has it from 9 on; before, it is `None`.
    ///
    /// # Errors
    /// [`Error::Locked`] while a machine is locked; else see [`Error`].
    pub async fn migrate_check(
        &self,
        guest: &GuestRef,
        target: &NodeName,
    ) -> Result<Option<MigrateCheck>, Error> {
        let mut call = self.slow(guest.path("/nodes/{node}/{kind}/{vmid}/migrate"));
        call.query = Form::new().with("target", target);
        match self.fetch(&call).await {
            Ok(check) => Ok(Some(check)),
            Err(Error::NotImplemented { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `POST …/{lxc|qemu}/{vmid}/migrate`. The task of a guest of high availability only asks for the move and ends early.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn migrate(
        &self,
        guest: &GuestRef,
        target: &NodeName,
        how: Migrate,
    ) -> Result<Accepted, Error> {
        let set = |flag: bool| flag.then_some(true);
        let mut call = self.change(Method::POST, guest.path("/nodes/{node}/{kind}/{vmid}/migrate"));
        // Each kind refuses what the other has.
        call.body = match guest.kind {
            GuestKind::Lxc => Form::new().with_flag("restart", set(how.restart)),
            GuestKind::Qemu => Form::new()
                .with_flag("online", set(how.online))
                .with_flag("with-local-disks", set(how.with_local_disks)),
        }
        .with("target", target);
        self.accepted(call).await
    }
}
