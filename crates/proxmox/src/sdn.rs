//! The software-defined network: zones, vnets, subnets, addresses. Like a node's network it is edited beside what
//! runs; `apply_sdn` makes it real on every node.

use std::collections::BTreeMap;

use gantry_core::id::NodeName;
use http::Method;
use serde_json::Value;

use crate::client::Client;
use crate::decode::decode;
use crate::error::Error;
use crate::form::Form;
use crate::network::{Row, is_key, rows};
use crate::path::Path;
use crate::transport::Call;
use crate::writes::Accepted;

/// Which of the SDN's two configurations is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SdnView {
    /// What the next apply makes real.
    Staged,
    /// What was applied last.
    Running,
    /// What runs, with `state` and `pending` where the two differ.
    Pending,
}

/// The SDN's lock (PVE 9.1 and newer): while somebody holds it, only calls that name it may write.
#[derive(Clone, PartialEq, Eq)]
pub struct SdnLock(String);

impl std::fmt::Debug for SdnLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SdnLock(…)")
    }
}

fn form(
    settings: &BTreeMap<String, String>,
    unset: &[String],
    lock: Option<&SdnLock>,
) -> Result<Form, Error> {
    let mut form = Form::new();
    for (key, value) in settings {
        if !is_key(key) {
            return Err(Error::refused(key, "is not the name of a setting"));
        }
        if key == "dhcp-range" {
            // A list: the key once for each.
            for range in value.split(';') {
                form.push(key, range);
            }
        } else {
            form.push(key, value);
        }
    }
    let unset = (!unset.is_empty()).then(|| unset.join(","));
    Ok(form.with_some("delete", unset).with_some("lock-token", lock.map(|l| l.0.as_str())))
}

impl Client {
    async fn sdn_list(&self, path: Path, view: SdnView, id: &str) -> Result<Vec<Row>, Error> {
        let mut call = self.get(path);
        call.query = Form::new()
            .with_flag("running", (view == SdnView::Running).then_some(true))
            .with_flag("pending", (view == SdnView::Pending).then_some(true));
        let list: Option<Vec<BTreeMap<String, Value>>> = self.fetch(&call).await?;
        Ok(rows(list.unwrap_or_default(), id))
    }

    async fn sdn_write(&self, mut call: Call, form: Form) -> Result<(), Error> {
        if call.method == Method::DELETE {
            call.query = form;
        } else {
            call.body = form;
        }
        self.submit(&call).await.map(|_| ())
    }

    /// `GET /cluster/sdn/zones`. Never shared.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sdn_zones(&self, view: SdnView) -> Result<Vec<Row>, Error> {
        self.sdn_list(Path::fixed("/cluster/sdn/zones"), view, "zone").await
    }

    /// `GET /cluster/sdn/vnets`. Never shared.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sdn_vnets(&self, view: SdnView) -> Result<Vec<Row>, Error> {
        self.sdn_list(Path::fixed("/cluster/sdn/vnets"), view, "vnet").await
    }

    /// `GET /cluster/sdn/vnets/{vnet}/subnets`. Never shared.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sdn_subnets(&self, vnet: &str, view: SdnView) -> Result<Vec<Row>, Error> {
        let path = Path::fixed("/cluster/sdn/vnets/{vnet}/subnets").with("{vnet}", vnet);
        self.sdn_list(path, view, "subnet").await
    }

    /// `GET /cluster/sdn/ipams/{ipam}/status`: which addresses are given to whom.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sdn_addresses(&self, ipam: &str) -> Result<Vec<Row>, Error> {
        let path = Path::fixed("/cluster/sdn/ipams/{ipam}/status").with("{ipam}", ipam);
        self.sdn_list(path, SdnView::Staged, "ip").await
    }

    /// `GET /cluster/sdn/dry-run`: what applying would change on a node (PVE 9.1 and newer).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sdn_dry_run(&self, node: &NodeName) -> Result<BTreeMap<String, String>, Error> {
        let mut call = self.get(Path::fixed("/cluster/sdn/dry-run"));
        call.query = Form::new().with("node", node);
        let found: BTreeMap<String, Value> = self.fetch(&call).await?;
        Ok(found.into_iter().filter_map(|(k, v)| v.as_str().map(|v| (k, v.to_owned()))).collect())
    }

    /// Stages a new zone.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_sdn_zone(
        &self,
        zone: &str,
        settings: &BTreeMap<String, String>,
        lock: Option<&SdnLock>,
    ) -> Result<(), Error> {
        let call = self.change(Method::POST, Path::fixed("/cluster/sdn/zones"));
        self.sdn_write(call, form(settings, &[], lock)?.with("zone", zone)).await
    }

    /// Stages new settings of a zone. Its type cannot be changed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_sdn_zone(
        &self,
        zone: &str,
        settings: &BTreeMap<String, String>,
        unset: &[String],
        lock: Option<&SdnLock>,
    ) -> Result<(), Error> {
        let path = Path::fixed("/cluster/sdn/zones/{zone}").with("{zone}", zone);
        let mut settings = settings.clone();
        settings.remove("type");
        self.sdn_write(self.change(Method::PUT, path), form(&settings, unset, lock)?).await
    }

    /// Stages the removal of a zone; it must have no vnets.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_sdn_zone(&self, zone: &str, lock: Option<&SdnLock>) -> Result<(), Error> {
        let path = Path::fixed("/cluster/sdn/zones/{zone}").with("{zone}", zone);
        self.sdn_write(self.change(Method::DELETE, path), form(&BTreeMap::new(), &[], lock)?).await
    }

    /// Stages a new vnet.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_sdn_vnet(
        &self,
        vnet: &str,
        settings: &BTreeMap<String, String>,
        lock: Option<&SdnLock>,
    ) -> Result<(), Error> {
        let call = self.change(Method::POST, Path::fixed("/cluster/sdn/vnets"));
        self.sdn_write(call, form(settings, &[], lock)?.with("vnet", vnet)).await
    }

    /// Stages new settings of a vnet.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_sdn_vnet(
        &self,
        vnet: &str,
        settings: &BTreeMap<String, String>,
        unset: &[String],
        lock: Option<&SdnLock>,
    ) -> Result<(), Error> {
        let path = Path::fixed("/cluster/sdn/vnets/{vnet}").with("{vnet}", vnet);
        self.sdn_write(self.change(Method::PUT, path), form(settings, unset, lock)?).await
    }

    /// Stages the removal of a vnet; it must have no subnets.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_sdn_vnet(&self, vnet: &str, lock: Option<&SdnLock>) -> Result<(), Error> {
        let path = Path::fixed("/cluster/sdn/vnets/{vnet}").with("{vnet}", vnet);
        self.sdn_write(self.change(Method::DELETE, path), form(&BTreeMap::new(), &[], lock)?).await
    }

    /// Stages a new subnet, given as its network: `10.8.0.0/24`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_sdn_subnet(
        &self,
        vnet: &str,
        cidr: &str,
        settings: &BTreeMap<String, String>,
        lock: Option<&SdnLock>,
    ) -> Result<(), Error> {
        let path = Path::fixed("/cluster/sdn/vnets/{vnet}/subnets").with("{vnet}", vnet);
        let form = form(settings, &[], lock)?.with("type", "subnet").with("subnet", cidr);
        self.sdn_write(self.change(Method::POST, path), form).await
    }

    /// Stages new settings of a subnet, given by its id: `z1-10.8.0.0-24`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_sdn_subnet(
        &self,
        vnet: &str,
        subnet: &str,
        settings: &BTreeMap<String, String>,
        unset: &[String],
        lock: Option<&SdnLock>,
    ) -> Result<(), Error> {
        let path = Path::fixed("/cluster/sdn/vnets/{vnet}/subnets/{subnet}")
            .with("{vnet}", vnet)
            .with("{subnet}", subnet);
        self.sdn_write(self.change(Method::PUT, path), form(settings, unset, lock)?).await
    }

    /// Stages the removal of a subnet, given by its id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_sdn_subnet(
        &self,
        vnet: &str,
        subnet: &str,
        lock: Option<&SdnLock>,
    ) -> Result<(), Error> {
        let path = Path::fixed("/cluster/sdn/vnets/{vnet}/subnets/{subnet}")
            .with("{vnet}", vnet)
            .with("{subnet}", subnet);
        self.sdn_write(self.change(Method::DELETE, path), form(&BTreeMap::new(), &[], lock)?).await
    }

    /// Makes real what is staged, on every node; its task is a `reloadnetworkall`. Gives the lock back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply_sdn(&self, lock: Option<&SdnLock>) -> Result<Accepted, Error> {
        let mut call = self.change(Method::PUT, Path::fixed("/cluster/sdn"));
        call.body = Form::new().with_some("lock-token", lock.map(|l| l.0.as_str()));
        self.accepted(call).await
    }

    /// Drops what is staged (PVE 9.1 and newer).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rollback_sdn(&self, lock: Option<&SdnLock>) -> Result<(), Error> {
        let call = self.change(Method::POST, Path::fixed("/cluster/sdn/rollback"));
        self.sdn_write(call, form(&BTreeMap::new(), &[], lock)?).await
    }

    /// Takes the SDN's lock; refused while something is pending.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn lock_sdn(&self) -> Result<SdnLock, Error> {
        let call = self.change(Method::POST, Path::fixed("/cluster/sdn/lock"));
        let answer = self.submit(&call).await?;
        decode::<String>(&call, &answer, self.secret()).map(SdnLock)
    }

    /// Gives the SDN's lock back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn unlock_sdn(&self, lock: &SdnLock) -> Result<(), Error> {
        let call = self.change(Method::DELETE, Path::fixed("/cluster/sdn/lock"));
        self.sdn_write(call, Form::new().with("lock-token", &lock.0)).await
    }
}
