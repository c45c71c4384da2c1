//! Calls that only look, one method a call.
//!
//! `Freshness::Shared` answers may be up to a second old and are shared by everybody who asks;
//! `Freshness::Fresh` asks the server now.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use gantry_core::id::{NodeName, StorageId, Upid, Vmid};
use serde_json::Value;

use crate::access::Permissions;
use crate::answer::envelope::List;
use crate::answer::{
    AplTemplate, ClusterStatus, GuestConfig, GuestStatus, Iface, LxcInterface, Node, NodeStatus,
    PendingSetting, Pool, Resource, ResourceKind, RrdPoint, Storage, StorageDefinition, TaskEntry,
    TaskFilter, TaskLog, TaskStatus, Timeframe, Volume,
};
use crate::cache::Freshness;
use crate::client::Client;
use crate::decode::decode_with_total;
use crate::error::Error;
use crate::form::Form;
use crate::path::Path;
use crate::transport::Call;
use crate::writes::GuestRef;

/// Most log lines asked for at once.
const LOG_LINES_MAX: u64 = 5_000;

impl Client {
    pub(crate) fn get(&self, path: Path) -> Call {
        Call::get(path, self.tuning().read_timeout)
    }

    /// A read that a node passes on to slow devices; waits as long as Proxmox itself would.
    pub(crate) fn slow(&self, path: Path) -> Call {
        Call::get(path, self.tuning().write_timeout)
    }

    pub(crate) async fn list<T>(
        &self,
        call: Call,
        freshness: Freshness,
    ) -> Result<Arc<Vec<T>>, Error>
    where
        T: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        let shared: Arc<Shared<T>> = self.shared(call, freshness).await?;
        Ok(Arc::clone(&shared.0))
    }

    /// `GET /cluster/status`: quorum, and which nodes corosync sees. Needs `Sys.Audit` on `/`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cluster_status(&self, freshness: Freshness) -> Result<Arc<ClusterStatus>, Error> {
        let call = self.get(Path::fixed("/cluster/status"));
        self.shared_noting(call, freshness, |status| self.learn(None, status)).await
    }

    /// `GET /cluster/resources`: everything the token may see, in one call.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resources(&self, freshness: Freshness) -> Result<Arc<Vec<Resource>>, Error> {
        let call = self.get(Path::fixed("/cluster/resources"));
        let note = |all: &Shared<Resource>| {
            let nodes = all.0.iter().filter(|row| row.kind == ResourceKind::Node);
            self.note_nodes(nodes.map(|row| (row.node.as_ref(), row.status.as_deref())));
        };
        Ok(Arc::clone(&self.shared_noting(call, freshness, note).await?.0))
    }

    /// `GET /nodes`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn nodes(&self, freshness: Freshness) -> Result<Arc<Vec<Node>>, Error> {
        let call = self.get(Path::fixed("/nodes"));
        let note = |all: &Shared<Node>| {
            self.note_nodes(all.0.iter().map(|n| (n.node.as_ref(), n.status.as_deref())));
        };
        Ok(Arc::clone(&self.shared_noting(call, freshness, note).await?.0))
    }

    /// `GET /nodes/{node}/status`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node_status(
        &self,
        node: &NodeName,
        freshness: Freshness,
    ) -> Result<Arc<NodeStatus>, Error> {
        self.shared(self.get(Path::node("/nodes/{node}/status", node)), freshness).await
    }

    /// `GET /cluster/nextid`: a number that was free a moment ago. Nothing is reserved; the caller serialises.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_id(&self) -> Result<Vmid, Error> {
        let call = self.get(Path::fixed("/cluster/nextid"));
        let id: Number = self.fetch(&call).await?;
        id.0.ok_or_else(|| undecodable(&call, "not a VMID"))
    }

    /// Whether a VMID is free.
    ///
    /// # Errors
    /// See [`Error`]; a taken number is `Ok(false)`.
    pub async fn is_free(&self, vmid: Vmid) -> Result<bool, Error> {
        let mut call = self.get(Path::fixed("/cluster/nextid"));
        call.query = Form::new().with("vmid", vmid);
        match self.answer(&call).await {
            Ok(_) => Ok(true),
            Err(Error::Exists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `GET /access/permissions`: what the token may do.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn permissions(&self) -> Result<Permissions, Error> {
        self.fetch(&self.get(Path::fixed("/access/permissions"))).await
    }

    /// `GET /cluster/tasks`: running and recent tasks of all nodes, newest first. Never shared.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cluster_tasks(&self) -> Result<Vec<TaskEntry>, Error> {
        let rows: List<crate::answer::TaskRow> =
            self.fetch(&self.get(Path::fixed("/cluster/tasks"))).await?;
        Ok(rows.0.into_iter().filter_map(crate::answer::TaskRow::entry).collect())
    }

    /// `GET /nodes/{node}/tasks`. Never shared: this is what a probe looks at.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node_tasks(
        &self,
        node: &NodeName,
        filter: &TaskFilter,
    ) -> Result<Vec<TaskEntry>, Error> {
        let mut call = self.get(Path::node("/nodes/{node}/tasks", node));
        call.query = Form::new()
            .with("source", filter.source.as_str())
            .with_some("vmid", filter.vmid)
            .with_some("since", filter.since_s)
            .with_some("until", filter.until_s)
            .with_some("typefilter", filter.kind.as_deref())
            .with_flag("errors", filter.errors.then_some(true))
            .with_some("userfilter", filter.user.as_deref())
            .with_some("start", filter.start)
            .with_some("limit", filter.limit);
        let rows: List<crate::answer::TaskRow> = self.fetch(&call).await?;
        Ok(rows.0.into_iter().filter_map(crate::answer::TaskRow::entry).collect())
    }

    /// `GET /nodes/{node}/tasks/{upid}/status`, on the node in the UPID.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the node does not know the task; else see [`Error`].
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, Error> {
        self.fetch(&self.get(Path::task("/nodes/{node}/tasks/{upid}/status", upid))).await
    }

    /// `GET /nodes/{node}/tasks/{upid}/log`: `limit` lines from line `start` (0 is the first).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<TaskLog, Error> {
        let mut call = self.get(Path::task("/nodes/{node}/tasks/{upid}/log", upid));
        let limit = limit.clamp(1, LOG_LINES_MAX);
        call.query = Form::new().with("start", start).with("limit", limit);
        let answer = self.answer(&call).await?;
        let (rows, total): (List<crate::answer::LogRow>, _) =
            decode_with_total(&call, &answer, self.secret())?;
        Ok(TaskLog::from_rows(rows.0, total))
    }

    /// The last `lines` lines of a task's log; a long log costs a second call.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn task_log_tail(&self, upid: &Upid, lines: u64) -> Result<TaskLog, Error> {
        let lines = lines.clamp(1, LOG_LINES_MAX);
        let mut log = self.task_log(upid, 0, lines).await?;
        if log.total > lines {
            log = self.task_log(upid, log.total - lines, lines).await?;
        }
        Ok(log)
    }

    /// `GET …/{lxc|qemu}/{vmid}/config`, with the digest that guards writes.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the guest is not on that node; else see [`Error`].
    pub async fn guest_config(
        &self,
        guest: &GuestRef,
        freshness: Freshness,
    ) -> Result<Arc<GuestConfig>, Error> {
        self.shared(self.get(guest.path("/nodes/{node}/{kind}/{vmid}/config")), freshness).await
    }

    /// `GET …/lxc/{vmid}/interfaces`: the addresses a container has now, loopback and link-local ones left out. None
    /// while it is off: Proxmox answers `null` then.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the container is not on that node; else see [`Error`].
    pub async fn container_addresses(&self, guest: &GuestRef) -> Result<Vec<IpAddr>, Error> {
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/interfaces");
        let cards: Option<Vec<BTreeMap<String, Value>>> = self.fetch(&self.get(path)).await?;
        let usable = |a: &IpAddr| match a {
            IpAddr::V4(a) => !a.is_loopback() || a.octets()[1..] != [0, 0, 1],
            IpAddr::V6(a) => !a.is_loopback() && (a.segments()[0] & 0xffc0) != 0xfe80,
        };
        let mut found: Vec<IpAddr> = Vec::new();
        for card in cards.unwrap_or_default() {
            if card.get("name").and_then(Value::as_str) == Some("lo") {
                continue;
            }
            let list = card.get("ip-addresses").and_then(Value::as_array);
            let listed = list.into_iter().flatten().filter_map(|a| a.get("ip-address")?.as_str());
            let named = ["inet", "inet6"].iter().filter_map(|k| card.get(*k)?.as_str());
            for text in listed.chain(named) {
                let address = text.split('/').next().and_then(|a| a.parse::<IpAddr>().ok());
                if let Some(address) = address.filter(usable)
                    && !found.contains(&address)
                {
                    found.push(address);
                }
            }
        }
        Ok(found)
    }

    /// `GET …/{lxc|qemu}/{vmid}/status/current`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the guest is not on that node; else see [`Error`].
    pub async fn guest_status(
        &self,
        guest: &GuestRef,
        freshness: Freshness,
    ) -> Result<Arc<GuestStatus>, Error> {
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/status/current");
        self.shared(self.get(path), freshness).await
    }

    /// `GET …/lxc/{vmid}/interfaces`: what a running container says of its network cards; of a stopped one nothing.
    /// Needs `VM.Audit` on the guest.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the guest is not on that node; else see [`Error`].
    pub async fn lxc_interfaces(
        &self,
        guest: &GuestRef,
        freshness: Freshness,
    ) -> Result<Arc<Vec<LxcInterface>>, Error> {
        self.list(self.slow(guest.path("/nodes/{node}/{kind}/{vmid}/interfaces")), freshness).await
    }

    /// `GET /nodes/{node}/storage`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn storages(
        &self,
        node: &NodeName,
        freshness: Freshness,
    ) -> Result<Arc<Vec<Storage>>, Error> {
        self.list(self.slow(Path::node("/nodes/{node}/storage", node)), freshness).await
    }

    /// `GET /nodes/{node}/storage/{storage}/content`, of one content type (`vztmpl`, `iso`, …) or of all.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn storage_content(
        &self,
        node: &NodeName,
        storage: &StorageId,
        content: Option<&str>,
        freshness: Freshness,
    ) -> Result<Arc<Vec<Volume>>, Error> {
        let path = Path::storage("/nodes/{node}/storage/{storage}/content", node, storage);
        let mut call = self.slow(path);
        call.query = Form::new().with_some("content", content);
        self.list(call, freshness).await
    }

    /// `GET /nodes/{node}/{kind}/{vmid}/rrddata`: a guest's figures over time. Needs `VM.Audit` on the guest.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn guest_history(
        &self,
        guest: &GuestRef,
        timeframe: Timeframe,
    ) -> Result<Arc<Vec<RrdPoint>>, Error> {
        self.history(guest.path("/nodes/{node}/{kind}/{vmid}/rrddata"), timeframe).await
    }

    /// `GET /nodes/{node}/rrddata`: a node's figures over time. Needs `Sys.Audit` on the node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node_history(
        &self,
        node: &NodeName,
        timeframe: Timeframe,
    ) -> Result<Arc<Vec<RrdPoint>>, Error> {
        self.history(Path::node("/nodes/{node}/rrddata", node), timeframe).await
    }

    /// `GET /nodes/{node}/storage/{storage}/rrddata`: how full a storage was. Needs `Datastore.Audit` on it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn storage_history(
        &self,
        node: &NodeName,
        storage: &StorageId,
        timeframe: Timeframe,
    ) -> Result<Arc<Vec<RrdPoint>>, Error> {
        let path = Path::storage("/nodes/{node}/storage/{storage}/rrddata", node, storage);
        self.history(path, timeframe).await
    }

    async fn history(&self, path: Path, timeframe: Timeframe) -> Result<Arc<Vec<RrdPoint>>, Error> {
        let mut call = self.get(path);
        call.query = Form::new().with("timeframe", timeframe.as_str()).with("cf", "AVERAGE");
        self.list(call, Freshness::Shared).await
    }

    /// `GET /storage`: the definitions.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn storage_list(&self) -> Result<Arc<Vec<StorageDefinition>>, Error> {
        self.list(self.get(Path::fixed("/storage")), Freshness::Shared).await
    }

    /// `GET …/pending`: settings of a guest that wait for its next start.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn waiting_settings(
        &self,
        guest: &GuestRef,
        freshness: Freshness,
    ) -> Result<Vec<String>, Error> {
        let path = guest.path("/nodes/{node}/{kind}/{vmid}/pending");
        let rows: Arc<Vec<PendingSetting>> = self.list(self.get(path), freshness).await?;
        Ok(rows.iter().filter(|row| row.waits()).map(|row| row.key.clone()).collect())
    }

    /// `GET /nodes/{node}/network`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn networks(
        &self,
        node: &NodeName,
        freshness: Freshness,
    ) -> Result<Arc<Vec<Iface>>, Error> {
        self.list(self.get(Path::node("/nodes/{node}/network", node)), freshness).await
    }

    /// `GET /pools`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pools(&self) -> Result<Arc<Vec<Pool>>, Error> {
        self.list(self.get(Path::fixed("/pools")), Freshness::Shared).await
    }

    /// `GET /nodes/{node}/aplinfo`: templates that can be downloaded.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn aplinfo(&self, node: &NodeName) -> Result<Arc<Vec<AplTemplate>>, Error> {
        let call = self.slow(Path::node("/nodes/{node}/aplinfo", node));
        self.list(call, Freshness::Shared).await
    }
}

/// A list inside an `Arc`, so that a shared read hands out the list and not its wrapping.
struct Shared<T>(Arc<Vec<T>>);

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Shared<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        crate::lenient::list(d).map(|all| Self(Arc::new(all)))
    }
}

struct Number(Option<Vmid>);

impl<'de> serde::Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        crate::lenient::vmid(d).map(Self)
    }
}

fn undecodable(call: &Call, why: &str) -> Error {
    Error::Decode { what: call.what(), why: why.to_owned(), write: call.is_write() }
}
