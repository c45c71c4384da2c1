//! One cluster under watch: its newest view in memory, read again by one reader at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_core::id::{ClusterId, NodeName};
use gantry_core::world::{ClusterView, NodeState};
use tokio_util::sync::CancellationToken;

use crate::view::TaskLine;
use crate::{Cluster, Engine, Error, inventory};

/// A read that takes longer than this is given up; the view keeps its age.
const READ_WITHIN: Duration = Duration::from_secs(20);
/// After a read that failed, people asking again within this get the same answer.
const FAILED_HOLD_MS: i64 = 1_000;
/// A reading older than this says nothing about what is down; a few readings long.
const YOUNG_MS: i64 = 60_000;
/// Container templates and bridges change rarely and cost a call a storage or node.
const TEMPLATES_EVERY: Duration = Duration::from_secs(60);
/// All storages together; a silent node may take a read's whole time for each of its own.
const TEMPLATES_WITHIN: Duration = Duration::from_secs(60);

/// A cluster, its client and what was seen last.
pub(crate) struct Watched {
    cluster: Cluster,
    view: ArcSwap<ClusterView>,
    reading: tokio::sync::Mutex<()>,
    tried_ms: AtomicI64,
    /// One VMID is chosen at a time. A lock for each cluster: one that does not answer keeps no other waiting.
    choosing: tokio::sync::Mutex<()>,
    /// Tags of OCI repositories that somebody asked about, newest first; for completion.
    tags: Mutex<BTreeMap<String, Vec<String>>>,
    /// Tasks seen last, newest first; for completion.
    tasks: ArcSwap<Vec<TaskLine>>,
    /// Bridges and vnets of each node seen last; for completion.
    bridges: ArcSwap<Vec<(NodeName, String)>>,
}

impl Watched {
    pub(crate) fn new(cluster: Cluster) -> Self {
        let view = ClusterView::unseen(cluster.id.clone());
        Self {
            cluster,
            view: ArcSwap::from_pointee(view),
            reading: tokio::sync::Mutex::new(()),
            tried_ms: AtomicI64::new(0),
            choosing: tokio::sync::Mutex::new(()),
            tags: Mutex::new(BTreeMap::new()),
            tasks: ArcSwap::default(),
            bridges: ArcSwap::default(),
        }
    }

    pub(crate) fn client(&self) -> &gantry_proxmox::Client {
        &self.cluster.client
    }

    pub(crate) fn shell(&self) -> Option<&Arc<gantry_nodeshell::NodeShell>> {
        self.cluster.shell.as_ref()
    }

    /// Looks at, or changes, the tags that are remembered.
    pub(crate) fn tags<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Vec<String>>) -> T) -> T {
        look(&mut self.tags.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn tasks(&self) -> Arc<Vec<TaskLine>> {
        self.tasks.load_full()
    }

    pub(crate) fn saw_tasks(&self, tasks: Vec<TaskLine>) {
        self.tasks.store(Arc::new(tasks));
    }

    pub(crate) fn bridges(&self) -> Arc<Vec<(NodeName, String)>> {
        self.bridges.load_full()
    }

    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.view.load_full()
    }

    /// Held from choosing a VMID until the choice is kept.
    pub(crate) async fn choosing_vmid(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.choosing.lock().await
    }
}

impl Engine {
    /// All clusters as seen last. Memory only.
    pub fn views(&self) -> Vec<Arc<ClusterView>> {
        self.inner.clusters.values().map(Watched::view).collect()
    }

    /// One cluster as seen last. Memory only.
    pub fn view(&self, cluster: &ClusterId) -> Option<Arc<ClusterView>> {
        self.inner.clusters.get(cluster).map(Watched::view)
    }

    /// The cluster, read again when what is known is older than `older_than`. One reader at a time:
    /// whoever comes while it reads gets what it finds.
    pub async fn refresh(&self, cluster: &ClusterId, older_than: Duration) -> Arc<ClusterView> {
        let Some(watched) = self.inner.clusters.get(cluster) else {
            return Arc::new(ClusterView::unseen(cluster.clone()));
        };
        let asked_ms = self.now_ms();
        let limit = asked_ms - i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let fresh = |view: &ClusterView| view.observed_ms > 0 && view.observed_ms >= limit;
        if fresh(&watched.view()) {
            return watched.view();
        }
        let _reading = watched.reading.lock().await;
        let view = watched.view();
        let tried_ms = watched.tried_ms.load(Ordering::Relaxed);
        if fresh(&view)
            || tried_ms > asked_ms
            || asked_ms - tried_ms < FAILED_HOLD_MS && view.fault.is_some()
        {
            return view;
        }
        let now_ms = self.now_ms();
        // The start counts: who asks while this reads wants to know what is true later than that.
        watched.tried_ms.store(now_ms, Ordering::Relaxed);
        let read = inventory::read(watched.client(), &view, now_ms);
        let next = match tokio::time::timeout(READ_WITHIN, read).await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) => inventory::failed(&view, watched.client(), now_ms, error.to_string()),
            Err(_) => inventory::failed(
                &view,
                watched.client(),
                now_ms,
                format!("no answer within {} s", READ_WITHIN.as_secs()),
            ),
        };
        if next.fault != view.fault || view.observed_ms == 0 {
            match &next.fault {
                Some(fault) => tracing::warn!(%cluster, %fault, "could not read the cluster"),
                None => tracing::info!(%cluster, guests = next.guests.len(), "cluster read"),
            }
        }
        watched.view.store(Arc::new(next));
        watched.view()
    }

    /// An error where the newest reading says that a node is offline. Asking for what is on it would only wait for an
    /// answer that nobody gives. A reading that is not young decides nothing: then it is asked.
    pub(crate) fn must_be_up(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        what: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let Some(view) = self.view(cluster) else { return Ok(()) };
        let age_ms = self.now_ms().saturating_sub(view.observed_ms);
        let young = view.fault.is_none() && age_ms <= YOUNG_MS;
        match view.node(node).filter(|n| young && n.state == NodeState::Down) {
            Some(down) => Err(Error::NodeDown {
                what: what(),
                cluster: cluster.clone(),
                node: node.clone(),
                reason: down.reason.clone().unwrap_or_else(|| "it does not answer".to_owned()),
            }),
            None => Ok(()),
        }
    }

    /// Keeps the view of one cluster young until `stop`, and asks those that do not answer whether they do again.
    pub(crate) async fn watch(&self, cluster: &ClusterId, stop: CancellationToken) {
        let Some(watched) = self.inner.clusters.get(cluster) else { return };
        tokio::select! {
            () = self.keep_sets(cluster, stop.clone()) => {}
            () = self.keep_health(cluster, stop.clone()) => {}
            () = Box::pin(self.keep_forwards(cluster)) => {}
            () = self.poll(cluster, stop) => {}
            () = watched.client().keep_watch() => {}
            () = self.keep_templates(watched) => {}
            () = self.keep_tasks(watched) => {}
        }
    }

    /// Keeps the container templates young, apart from the view: a node that is silent about its storages must not
    /// keep anybody waiting for what the cluster says at once.
    async fn keep_templates(&self, watched: &Watched) {
        loop {
            let view = watched.view();
            if view.observed_ms == 0 {
                self.inner.clock.sleep(Duration::from_millis(100)).await;
                continue;
            }
            let read = inventory::images(watched.client(), &view);
            match tokio::time::timeout(TEMPLATES_WITHIN, read).await {
                Ok((images, catalogue)) => {
                    // Between two reads of the view, so that none of them is lost.
                    let _reading = watched.reading.lock().await;
                    let mut next = ClusterView::clone(&watched.view());
                    next.templates = inventory::templates(&images);
                    next.images = images;
                    next.catalogue = catalogue;
                    watched.view.store(Arc::new(next));
                }
                Err(_) => tracing::debug!("container templates were not read in time"),
            }
            let read = inventory::bridges(watched.client(), &view);
            if let Ok(bridges) = tokio::time::timeout(TEMPLATES_WITHIN, read).await {
                watched.bridges.store(Arc::new(bridges));
            }
            self.inner.clock.sleep(TEMPLATES_EVERY).await;
        }
    }

    async fn poll(&self, cluster: &ClusterId, stop: CancellationToken) {
        let poll = self.inner.settings.poll;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.refresh(cluster, poll / 2) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.clock.sleep(poll) => {}
            }
        }
    }
}
