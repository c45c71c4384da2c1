//! Read-only questions: what cards and lists show. Live where somebody asks for one thing, from memory where
//! the whole cluster is listed.

use std::time::Duration;

use gantry_core::action::GuestRef;
use gantry_core::alert::Incident;
use gantry_core::id::{BoardId, ClusterId, GuestKind, NodeName, OperationId, Upid, Vmid};
use gantry_core::operation::Operation;
use gantry_core::plan::LiveGuest;
use gantry_core::pod::{self, Difference, PodSpec};
use gantry_core::world::{Guest, GuestStatus, Node, Storage};
use gantry_proxmox::{
    Freshness, GuestRef as At, State, TaskEntry, TaskFilter, TaskSource, TaskStatus,
};
use gantry_store::{AuditFilter, CardAbout, CardRow, OpFilter, Page, StoredPlan};

use crate::{BoardView, Engine, Error, PodHealth};

/// How long a container may take to say where it is reached; somebody waits for the card.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(5);
/// Most cards, and most addresses of one, that are shown: containers may run many of their own inside.
const ADDRESSES_SHOWN: usize = 8;

/// What a card has to show now.
#[derive(Debug, Clone)]
pub struct CardView {
    /// The card.
    pub card: CardRow,
    /// Its plan and what became of it.
    pub plan: StoredPlan,
    /// The operation, once confirmed.
    pub operation: Option<Operation>,
}

/// What a card has to show now, whatever it is about.
#[derive(Debug, Clone)]
pub enum CardShows {
    /// A plan and what became of it.
    Plan(Box<CardView>),
    /// An incident.
    Incident(Box<Incident>),
    /// A status board.
    Board(Box<BoardView>),
    /// A board that was taken down: its message is to be deleted.
    BoardGone(BoardId),
}

/// How an endpoint or node answers, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLine {
    /// Host and port.
    pub name: String,
    /// `up`, `down`, `trying again` or `not asked yet`.
    pub state: &'static str,
    /// Since when, milliseconds.
    pub since_ms: i64,
    /// Why it is not up.
    pub reason: Option<String>,
}

/// Everything about one guest, read now.
#[derive(Debug, Clone)]
pub struct GuestDetail {
    /// The guest.
    pub live: LiveGuest,
    /// Its notes, without gantry's own part.
    pub description: String,
    /// Whether it starts with its node.
    pub onboot: bool,
    /// Its network cards, as Proxmox writes them.
    pub nets: Vec<String>,
    /// Its operating system type.
    pub ostype: Option<String>,
    /// Its specification, where it is a pod.
    pub pod: Option<PodSpec>,
    /// What of it is not as it was applied last.
    pub drift: Vec<Difference>,
    /// Settings that wait for its next start.
    pub waiting: Vec<String>,
    /// Whether gantry's database knows it; a pod that is not in there was found by its notes.
    pub in_store: bool,
    /// Addresses of a running container, as it tells them itself: `eth0: 10.0.0.5, fd00::5`.
    pub addresses: Vec<String>,
    /// How it is, where it is a pod with a health check that runs.
    pub health: Option<PodHealth>,
}

/// Everything about one node.
#[derive(Debug, Clone)]
pub struct NodeDetail {
    /// The node as last seen.
    pub node: Node,
    /// Version of Proxmox VE.
    pub pve_version: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Load average over 1, 5 and 15 minutes.
    pub load: Vec<f64>,
    /// Guests on it.
    pub guests: Vec<Guest>,
    /// Storages it sees.
    pub storages: Vec<Storage>,
    /// Why live figures are missing.
    pub fault: Option<String>,
}

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Only of this node.
    pub node: Option<NodeName>,
    /// Only about this guest.
    pub vmid: Option<Vmid>,
    /// Only those that run.
    pub running_only: bool,
    /// Only those that failed.
    pub failed_only: bool,
    /// At most this many.
    pub limit: u32,
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLine {
    /// Its id.
    pub upid: Upid,
    /// When it started, milliseconds, by its node's clock.
    pub started_ms: i64,
    /// When it ended, milliseconds; `None` while it runs or where Proxmox does not say.
    pub ended_ms: Option<i64>,
    /// `None` while it runs; then `OK`, `WARNINGS: n` or the error.
    pub status: Option<String>,
}

/// Part of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLog {
    /// The lines.
    pub lines: Vec<String>,
    /// Number of the first of them, counted from 0.
    pub start: u32,
    /// How many there are in all.
    pub total: u32,
}

impl Engine {
    /// How every endpoint of a cluster answers. Memory only.
    pub fn endpoints(&self, cluster: &ClusterId) -> Vec<EndpointLine> {
        let Ok(client) = self.client(cluster) else { return Vec::new() };
        client
            .health()
            .endpoints
            .iter()
            .map(|e| EndpointLine {
                name: e.endpoint.clone(),
                state: match e.state {
                    State::Up => "up",
                    State::Down => "down",
                    State::HalfOpen => "trying again",
                    State::Unknown => "not asked yet",
                },
                since_ms: system_ms(e.since),
                reason: e.last_error.clone(),
            })
            .collect()
    }

    /// One guest, read now; `None` when it is not there.
    pub async fn guest(&self, guest: &GuestRef) -> Result<Option<GuestDetail>, Error> {
        let view = self.view(&guest.cluster);
        let Some(seen) = view.as_ref().and_then(|v| v.guest(guest.vmid)) else { return Ok(None) };
        let kind = seen.kind;
        self.must_be_up(&guest.cluster, &seen.node, || {
            format!("read {} {}", kind.short(), guest.vmid)
        })?;
        let Some(mut live) = self.look_at_guest(guest, kind).await? else { return Ok(None) };
        // Snapshots that cannot be counted are left out: a card without them is better than none.
        if let Err(error) = self.count_snapshots(&mut live).await {
            tracing::debug!(%error, "snapshots were not counted");
        }
        let config = self
            .client(&guest.cluster)?
            .guest_config(&At::new(live.guest.node.clone(), kind, guest.vmid), Freshness::Shared)
            .await
            .map_err(Error::proxmox(
                format!("read {} {}", kind.short(), guest.vmid),
                &guest.cluster,
            ))?;
        let notes = config.description.clone().unwrap_or_default();
        let kept = self
            .store()
            .find_pod(&guest.cluster, guest.vmid)
            .await
            .map_err(Error::store("read the pods"))?;
        let from_notes = pod::read_notes(&notes).map(|(spec, _)| spec);
        let description = notes.split("<!-- gantry:").next().unwrap_or_default().trim().to_owned();
        let spec =
            live.guest.is_pod().then(|| kept.as_ref().map(|p| p.spec.clone()).or(from_notes));
        let spec = spec.flatten();
        let waiting = match live.guest.is_pod() && live.guest.status == GuestStatus::Running {
            // A card without them is better than none.
            true => {
                let at = At::new(live.guest.node.clone(), kind, guest.vmid);
                let client = self.client(&guest.cluster)?;
                client.waiting_settings(&at, Freshness::Shared).await.unwrap_or_default()
            }
            false => Vec::new(),
        };
        let addresses = self.addresses(&live).await;
        Ok(Some(GuestDetail {
            addresses,
            health: self.pod_health(guest),
            drift: spec.as_ref().map(|s| pod::drift(s, &config.raw)).unwrap_or_default(),
            waiting,
            description,
            onboot: config.onboot,
            nets: config
                .raw
                .iter()
                .filter(|(k, _)| k.strip_prefix("net").is_some_and(|n| n.parse::<u8>().is_ok()))
                .map(|(k, v)| format!("{k}: {v}"))
                .collect(),
            ostype: config.raw.get("ostype").cloned(),
            in_store: kept.is_some(),
            pod: spec,
            live,
        }))
    }

    /// Where a container is reached, a line a network card. A card without them is better than none.
    async fn addresses(&self, live: &LiveGuest) -> Vec<String> {
        let g = &live.guest;
        if g.kind != GuestKind::Lxc || g.status != GuestStatus::Running {
            return Vec::new();
        }
        let cards = self.inner_cards(&g.cluster, &g.node, g.vmid);
        let cards = match tokio::time::timeout(ADDRESSES_WITHIN, cards).await {
            Ok(Ok(cards)) => cards,
            Ok(Err(error)) => return vec![format!("could not be read: {error}")],
            Err(_) => return vec!["the container did not say in time".to_owned()],
        };
        cards
            .iter()
            .filter(|card| card.name != "lo" && !card.addresses.is_empty())
            .map(|card| {
                let list: Vec<String> =
                    card.addresses.iter().take(ADDRESSES_SHOWN).map(ToString::to_string).collect();
                format!("{}: {}", card.name, list.join(", "))
            })
            .take(ADDRESSES_SHOWN)
            .collect()
    }

    /// One node: what was seen last, with live figures where it answers.
    pub async fn node(&self, cluster: &ClusterId, name: &NodeName) -> Result<NodeDetail, Error> {
        let client = self.client(cluster)?;
        let missing = || Error::Missing { what: format!("node {name} in {cluster}") };
        let view = self.view(cluster).ok_or_else(missing)?;
        let mut node = view.node(name).cloned().ok_or_else(missing)?;
        let live = match self.must_be_up(cluster, name, || format!("read {name}")) {
            Ok(()) => client.node_status(name, Freshness::Shared).await.map_err(|e| e.to_string()),
            Err(error) => Err(error.parts().why),
        };
        if let Ok(live) = &live {
            node.seen_ms = self.now_ms();
            node.cpu = live.cpu.unwrap_or(node.cpu);
            node.mem = live.memory.used.unwrap_or(node.mem);
            node.mem_max = live.memory.total.unwrap_or(node.mem_max);
            node.disk = live.rootfs.used.unwrap_or(node.disk);
            node.disk_max = live.rootfs.total.unwrap_or(node.disk_max);
            node.uptime_s = live.uptime.unwrap_or(node.uptime_s);
        }
        Ok(NodeDetail {
            pve_version: live.as_ref().ok().and_then(|l| l.pveversion.clone()),
            kernel: live.as_ref().ok().and_then(|l| l.kernel.clone()),
            load: live.as_ref().map(|l| l.loadavg.clone()).unwrap_or_default(),
            guests: view.guests.iter().filter(|g| g.node == *name).cloned().collect(),
            storages: view.storages.iter().filter(|s| s.node == *name).cloned().collect(),
            fault: live.err(),
            node,
        })
    }

    /// Tasks, newest first.
    pub async fn tasks(
        &self,
        cluster: &ClusterId,
        query: TaskQuery,
    ) -> Result<Vec<TaskLine>, Error> {
        let client = self.client(cluster)?;
        let node = query.node.clone().or_else(|| {
            let vmid = query.vmid?;
            self.view(cluster)?.guest(vmid).map(|g| g.node.clone())
        });
        if let Some(node) = &node {
            self.must_be_up(cluster, node, || format!("read the tasks of {node}"))?;
        }
        let mut entries: Vec<TaskEntry> = match &node {
            Some(node) => {
                let filter = TaskFilter {
                    vmid: query.vmid,
                    errors: query.failed_only,
                    source: if query.running_only { TaskSource::Active } else { TaskSource::All },
                    limit: Some(u64::from(query.limit)),
                    ..TaskFilter::default()
                };
                client.node_tasks(node, &filter).await
            }
            None => client.cluster_tasks().await,
        }
        .map_err(Error::proxmox("read the tasks", cluster))?;
        entries.retain(|t| {
            (!query.running_only || t.is_running())
                && (!query.failed_only || t.exit.as_ref().is_some_and(|e| !e.is_success()))
                && query.vmid.is_none_or(|v| t.upid.id() == v.to_string())
        });
        entries.sort_by_key(|t| std::cmp::Reverse(t.upid.started_s()));
        entries.truncate(query.limit as usize);
        Ok(entries
            .into_iter()
            .map(|t| TaskLine {
                started_ms: seconds_ms(t.upid.started_s()),
                ended_ms: t.ended_s.map(seconds_ms),
                status: t.exit.map(|e| e.to_string()),
                upid: t.upid,
            })
            .collect())
    }

    /// One task; `None` when Proxmox does not know it.
    pub async fn task(&self, cluster: &ClusterId, upid: &Upid) -> Result<Option<TaskLine>, Error> {
        let status = match self.task_status(cluster, upid).await {
            Ok(TaskStatus::Running) => None,
            Ok(TaskStatus::Stopped { exit }) => Some(exit.to_string()),
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(TaskLine {
            upid: upid.clone(),
            started_ms: seconds_ms(upid.started_s()),
            ended_ms: None,
            status,
        }))
    }

    /// Part of a task's log.
    pub async fn task_log(
        &self,
        cluster: &ClusterId,
        upid: &Upid,
        start: u32,
        limit: u32,
    ) -> Result<TaskLog, Error> {
        let log = self
            .client(cluster)?
            .task_log(upid, u64::from(start), u64::from(limit))
            .await
            .map_err(Error::proxmox("read the task's log", cluster))?;
        Ok(TaskLog { lines: log.lines, start, total: u32::try_from(log.total).unwrap_or(u32::MAX) })
    }

    /// One operation.
    pub async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, Error> {
        self.store().find_operation(id).await.map_err(Error::store("read the operation"))
    }

    /// Operations, newest first.
    pub async fn operations(
        &self,
        filter: &OpFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Page<Operation>, Error> {
        self.store()
            .list_operations(filter, offset, limit)
            .await
            .map_err(Error::store("read the operations"))
    }

    /// The audit log, newest first.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Page<gantry_core::audit::AuditRow>, Error> {
        self.store()
            .list_audit(filter, offset, limit)
            .await
            .map_err(Error::store("read the audit log"))
    }

    /// What a card has to show now.
    pub async fn card_shows(&self, card: &CardRow) -> Result<CardShows, Error> {
        let fail = || Error::store("read what the message shows");
        let plan = match &card.about {
            CardAbout::Plan(plan) => plan,
            CardAbout::Incident(id) => {
                let incident = self.store().find_incident(id).await.map_err(fail())?;
                let missing = || Error::Missing { what: format!("incident {id}") };
                return Ok(CardShows::Incident(Box::new(incident.ok_or_else(missing)?)));
            }
            CardAbout::Board(id) => {
                let row = self.store().find_board(id).await.map_err(fail())?;
                let Some(row) = row.filter(|r| !r.gone) else {
                    return Ok(CardShows::BoardGone(id.clone()));
                };
                let view = self.board_view(row.board).await.map_err(fail())?;
                return Ok(CardShows::Board(Box::new(view)));
            }
        };
        let plan = self
            .store()
            .find_plan(plan)
            .await
            .map_err(fail())?
            .ok_or_else(|| Error::Missing { what: format!("plan {plan}") })?;
        let operation = match &plan.state {
            gantry_store::PlanState::Confirmed(id) => {
                self.store().find_operation(id).await.map_err(fail())?
            }
            _ => None,
        };
        Ok(CardShows::Plan(Box::new(CardView { card: card.clone(), plan, operation })))
    }
}

fn seconds_ms(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX / 1000).saturating_mul(1000)
}

fn system_ms(time: std::time::SystemTime) -> i64 {
    time.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
