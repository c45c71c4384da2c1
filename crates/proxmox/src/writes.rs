//! Calls that change something. Each is sent at most once; what came of it is decided by the task's exit status.
//!
//! After an error ask [`Error::advice`]: `Probe` means that the change may have happened.

use gantry_core::id::{GuestKind, NodeName, Upid, Vmid};
use http::Method;

use crate::client::Client;
use crate::create::CreateLxc;
use crate::decode::decode;
use crate::error::Error;
use crate::form::Form;
use crate::path::Path;
use crate::transport::Call;

/// Where a guest is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GuestRef {
    /// The node it is on now.
    pub node: NodeName,
    /// Container or machine.
    pub kind: GuestKind,
    /// Its number.
    pub vmid: Vmid,
}

impl GuestRef {
    /// A guest on a node.
    pub fn new(node: NodeName, kind: GuestKind, vmid: Vmid) -> Self {
        Self { node, kind, vmid }
    }

    pub(crate) fn path(&self, template: &'static str) -> Path {
        Path::guest(template, &self.node, self.kind, self.vmid)
    }
}

impl std::fmt::Display for GuestRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} on {}", self.kind.short(), self.vmid, self.node)
    }
}

/// Proxmox took the order; the task tells what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The task.
    pub upid: Upid,
}

/// How a guest is shut down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// How long the guest has, in seconds; Proxmox's default is 60 for containers.
    pub timeout_s: Option<u32>,
    /// Pulls the plug when the time is over. Off unless asked for.
    pub force_stop: bool,
}

/// What is deleted along with a guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delete {
    /// Also its jobs, HA entries, replication and permissions.
    pub purge: bool,
    /// Also disks that belong to it without being in its configuration.
    pub destroy_unreferenced_disks: bool,
    /// Containers only: even if it runs.
    pub force: bool,
}

/// A change of a guest's configuration.
#[derive(Debug, Clone, Default)]
pub struct SetConfig {
    /// Keys with their new values.
    pub set: Vec<(String, String)>,
    /// Keys that are removed.
    pub delete: Vec<String>,
    /// The digest that was read; a change by somebody else in between gives [`Error::Conflict`].
    pub digest: String,
}

impl SetConfig {
    /// An empty change of the configuration that was read with this digest.
    pub fn new(digest: impl Into<String>) -> Self {
        Self { digest: digest.into(), ..Self::default() }
    }

    /// Sets one key.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.set.push((key.to_owned(), value.to_string()));
        self
    }

    /// Removes one key.
    #[must_use]
    pub fn delete(mut self, key: &str) -> Self {
        self.delete.push(key.to_owned());
        self
    }

    fn form(&self) -> Result<Form, Error> {
        if self.digest.is_empty() {
            return Err(Error::refused("digest", "is needed for every change of a configuration"));
        }
        for key in self.set.iter().map(|(key, _)| key).chain(&self.delete) {
            let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
            if key.is_empty() || !key.chars().all(ok) {
                return Err(Error::refused(key, "is not the name of a setting"));
            }
            // Proxmox accepts `lock`, and nothing in its API takes a lock off again (measured).
            if matches!(
                key.as_str(),
                "lock" | "digest" | "delete" | "revert" | "skiplock" | "force"
            ) {
                return Err(Error::refused(key, "cannot be set this way"));
            }
        }
        let mut form = Form::new().with("digest", &self.digest);
        for (key, value) in &self.set {
            form.push(key, value);
        }
        let delete = (!self.delete.is_empty()).then(|| self.delete.join(","));
        Ok(form.with_some("delete", delete))
    }
}

impl Client {
    pub(crate) fn change(&self, method: Method, path: Path) -> Call {
        Call::write(method, path, self.tuning().write_timeout)
    }

    pub(crate) async fn accepted(&self, call: Call) -> Result<Accepted, Error> {
        let answer = self.submit(&call).await?;
        let upid: String = decode(&call, &answer, self.secret())?;
        let upid = upid.parse().map_err(|_| Error::Decode {
            what: call.what(),
            why: "no task id".to_owned(),
            write: true,
        })?;
        Ok(Accepted { upid })
    }

    async fn power(
        &self,
        guest: &GuestRef,
        template: &'static str,
        form: Form,
    ) -> Result<Accepted, Error> {
        let mut call = self.change(Method::POST, guest.path(template));
        call.body = form;
        self.accepted(call).await
    }

    /// Starts a guest. A locked guest is accepted too; its task then fails.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(&self, guest: &GuestRef) -> Result<Accepted, Error> {
        self.power(guest, "/nodes/{node}/{kind}/{vmid}/status/start", Form::new()).await
    }

    /// Asks the guest to shut down.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when it does not run; else see [`Error`].
    pub async fn shutdown(&self, guest: &GuestRef, how: Shutdown) -> Result<Accepted, Error> {
        let form = Form::new()
            .with_some("timeout", how.timeout_s)
            .with_flag("forceStop", how.force_stop.then_some(true));
        self.power(guest, "/nodes/{node}/{kind}/{vmid}/status/shutdown", form).await
    }

    /// Pulls the plug.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when it does not run; else see [`Error`].
    pub async fn stop(&self, guest: &GuestRef) -> Result<Accepted, Error> {
        self.power(guest, "/nodes/{node}/{kind}/{vmid}/status/stop", Form::new()).await
    }

    /// Shuts the guest down and starts it again.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when it does not run; else see [`Error`].
    pub async fn reboot(
        &self,
        guest: &GuestRef,
        timeout_s: Option<u32>,
    ) -> Result<Accepted, Error> {
        let form = Form::new().with_some("timeout", timeout_s);
        self.power(guest, "/nodes/{node}/{kind}/{vmid}/status/reboot", form).await
    }

    /// Suspends a guest (containers: freezes, which Proxmox calls experimental).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn suspend(&self, guest: &GuestRef) -> Result<Accepted, Error> {
        self.power(guest, "/nodes/{node}/{kind}/{vmid}/status/suspend", Form::new()).await
    }

    /// Resumes a suspended guest.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resume(&self, guest: &GuestRef) -> Result<Accepted, Error> {
        self.power(guest, "/nodes/{node}/{kind}/{vmid}/status/resume", Form::new()).await
    }

    /// Destroys a guest and its disks.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `force` on a machine (Proxmox has it for containers only); else see [`Error`].
    pub async fn delete(&self, guest: &GuestRef, how: Delete) -> Result<Accepted, Error> {
        if how.force && guest.kind == GuestKind::Qemu {
            return Err(Error::refused("force", "a virtual machine must be stopped first"));
        }
        let mut call = self.change(Method::DELETE, guest.path("/nodes/{node}/{kind}/{vmid}"));
        // Arguments of DELETE belong into the query; a body is refused with 501.
        call.query = Form::new()
            .with_flag("purge", how.purge.then_some(true))
            .with_flag("force", how.force.then_some(true))
            .with_flag("destroy-unreferenced-disks", Some(how.destroy_unreferenced_disks));
        self.accepted(call).await
    }

    /// Creates a container.
    ///
    /// # Errors
    /// [`Error::Exists`] when the VMID was taken meanwhile; else see [`Error`].
    pub async fn create_lxc(&self, node: &NodeName, spec: &CreateLxc) -> Result<Accepted, Error> {
        let mut call = self.change(Method::POST, Path::node("/nodes/{node}/lxc", node));
        call.body = spec.form()?;
        self.accepted(call).await
    }

    /// Changes a guest's configuration at once, without a task.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the digest is stale. Any 500 may have changed a part: its advice is `Probe`.
    pub async fn set_config(&self, guest: &GuestRef, change: &SetConfig) -> Result<(), Error> {
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/config");
        let mut call = self.change(Method::PUT, path);
        call.body = change.form()?;
        self.submit(&call).await.map(|_| ())
    }

    /// Lets a container's disk grow to `size_gib`. Proxmox refuses to shrink one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn grow_disk(
        &self,
        guest: &GuestRef,
        disk: &str,
        size_gib: u64,
    ) -> Result<Accepted, Error> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if disk.is_empty() || !disk.chars().all(plain) {
            return Err(Error::refused("disk", "is the name of a disk such as rootfs or mp0"));
        }
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/resize");
        let mut call = self.change(Method::PUT, path);
        call.body = Form::new().with("disk", disk).with("size", format!("{size_gib}G"));
        self.accepted(call).await
    }

    /// Asks a running task to stop. A finished one is no error.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stop_task(&self, upid: &Upid) -> Result<(), Error> {
        let path = Path::task("/nodes/{node}/tasks/{upid}", upid);
        let call = self.change(Method::DELETE, path);
        self.submit(&call).await.map(|_| ())
    }
}
