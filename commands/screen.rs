//! Screens: what a list, a question or a form has to remember so that its buttons work after a restart, on
//! another process and a day later. Kept as a row of the store; the `custom_id` carries only its id.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::{ClusterId, NodeName, OperationId, StorageId, Upid, UserId};
use gantry_core::image::ImageRef;
use gantry_core::network::IfaceName;
use gantry_core::pod::PodSpec;
use gantry_core::set::{SetRef, SetSpec};
use gantry_core::world::GuestStatus;
use gantry_engine::ImageFilter;
use gantry_engine::store::Screen;
use serde::{Deserialize, Serialize};

use crate::face::{FaceError, store_error};
use crate::set_form::SetInputs;
use crate::token::ScreenId;
use crate::visit::{DECIDE_WITHIN, Visit, said};

/// Which guests a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFilter {
    /// Pods only.
    pub pods: bool,
    /// Only in this cluster.
    pub cluster: Option<ClusterId>,
    /// Only in this state.
    pub state: Option<GuestStatus>,
    /// Only on this node.
    pub node: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only in this pool.
    pub pool: Option<String>,
    /// Only with this in the name, or with this number.
    pub text: Option<String>,
}

/// Which tasks a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFilter {
    /// Only on this node.
    pub node: Option<NodeName>,
    /// Only about this guest.
    pub guest: Option<GuestRef>,
    /// Only running ones.
    pub running: bool,
    /// Only failed ones.
    pub failed: bool,
}

/// What is typed into the form of a new pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodInputs {
    /// `dhcp` or `10.0.0.5/24 gw 10.0.0.1`.
    pub address: String,
    /// VLAN tag.
    pub vlan: String,
    /// Tags, and `pool:name`.
    pub tags: String,
    /// SSH keys, one a line.
    pub keys: String,
    /// Note.
    pub note: String,
}

/// What of something a graph shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphOf {
    /// Share of all cores.
    Cpu,
    /// Memory in use.
    Memory,
    /// Network, in and out.
    Network,
    /// Disk reads and writes.
    DiskIo,
    /// Root disk or storage in use.
    Disk,
    /// Load average.
    Load,
}

/// How far back a graph goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphTime {
    /// The last hour.
    Hour,
    /// The last day.
    Day,
    /// The last week.
    Week,
    /// The last month.
    Month,
    /// The last year.
    Year,
}

impl GraphTime {
    /// All, shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// What a screen shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "view", rename_all = "kebab-case")]
pub enum View {
    /// A cluster at a glance.
    Cluster {
        /// Which.
        cluster: ClusterId,
    },
    /// Nodes.
    Nodes {
        /// Only of this cluster.
        cluster: Option<ClusterId>,
        /// Page.
        page: u64,
    },
    /// One node.
    Node {
        /// Its cluster.
        cluster: ClusterId,
        /// Its name.
        node: NodeName,
    },
    /// The bridges of a node.
    Bridges {
        /// Its cluster.
        cluster: ClusterId,
        /// Which node.
        node: NodeName,
    },
    /// One bridge.
    Bridge {
        /// Its cluster.
        cluster: ClusterId,
        /// Which node.
        node: NodeName,
        /// Which bridge.
        name: IfaceName,
    },
    /// Port forwards.
    Forwards {
        /// Of which cluster.
        cluster: ClusterId,
    },
    /// Zones, vnets and subnets.
    Vnets {
        /// Of which cluster.
        cluster: ClusterId,
    },
    /// Guests or pods.
    Guests {
        /// Which.
        filter: GuestFilter,
        /// Page.
        page: u64,
    },
    /// One guest or pod.
    Guest {
        /// Which.
        guest: GuestRef,
        /// Whether it was asked for as a pod.
        pod: bool,
    },
    /// Where shall a guest go?
    MoveTo {
        /// Which.
        guest: GuestRef,
    },
    /// A guest's snapshots.
    Snapshots {
        /// Which.
        guest: GuestRef,
    },
    /// Images.
    Images {
        /// Of which cluster.
        cluster: ClusterId,
        /// Which.
        filter: ImageFilter,
        /// Page.
        page: u64,
    },
    /// One image.
    Image {
        /// Its cluster.
        cluster: ClusterId,
        /// Which.
        image: ImageRef,
        /// Only as this node sees it.
        node: Option<NodeName>,
        /// Whether only its users are asked for.
        users: bool,
        /// Whether its checksum is taken now.
        #[serde(default)]
        sum: bool,
    },
    /// Tasks.
    Tasks {
        /// Of which cluster.
        cluster: ClusterId,
        /// Which.
        filter: TaskFilter,
        /// Page.
        page: u64,
        /// The tasks on the page shown, in order; what its menu picks from.
        shown: Vec<Upid>,
    },
    /// One task.
    Task {
        /// Its cluster.
        cluster: ClusterId,
        /// Which.
        upid: Upid,
    },
    /// A task's log.
    TaskLog {
        /// The task's cluster.
        cluster: ClusterId,
        /// Which.
        upid: Upid,
        /// First line wanted, from 1; `None` shows the end.
        from: Option<u32>,
    },
    /// Sets.
    Sets {
        /// Only in this cluster.
        cluster: Option<ClusterId>,
        /// Page.
        page: u64,
    },
    /// One set: its pods, or its revisions.
    Set {
        /// Which.
        set: SetRef,
        /// What was asked.
        verb: Verb,
    },
    /// Operations.
    Ops {
        /// Only those not over.
        open: bool,
        /// Only in this cluster.
        cluster: Option<ClusterId>,
        /// Only about this guest.
        guest: Option<GuestRef>,
        /// Page.
        page: u64,
    },
    /// One operation.
    Op {
        /// Which.
        operation: OperationId,
    },
    /// The audit log.
    Audit {
        /// Only about this operation.
        operation: Option<OperationId>,
        /// Only by this user.
        user: Option<UserId>,
        /// Page.
        page: u64,
    },
    /// What the asker may run.
    Help {
        /// Only commands of this noun; else those used most.
        noun: Option<String>,
    },
    /// What is wrong now, or what was.
    Alerts {
        /// What was, newest first; else what is wrong now, the worst first.
        history: bool,
        /// Page.
        page: u64,
    },
    /// Silences and maintenance windows.
    Mutes {
        /// Page.
        page: u64,
    },
    /// Which of several guests?
    Choice {
        /// What was asked.
        verb: Verb,
        /// The name that several answer to.
        asked: String,
        /// The time-out given with it, seconds.
        timeout_s: Option<u32>,
        /// Who they are.
        guests: Vec<GuestRef>,
        /// Page.
        page: u64,
    },
    /// Figures of guests over time.
    GraphGuests {
        /// Which guests.
        guests: Vec<GuestRef>,
        /// What of them.
        of: GraphOf,
        /// How far back.
        time: GraphTime,
    },
    /// Figures of a node over time.
    GraphNode {
        /// Its cluster.
        cluster: ClusterId,
        /// Its name.
        node: NodeName,
        /// What of it.
        of: GraphOf,
        /// How far back.
        time: GraphTime,
    },
    /// How full a storage was.
    GraphStorage {
        /// Its cluster.
        cluster: ClusterId,
        /// As this node sees it.
        node: NodeName,
        /// Its name.
        storage: StorageId,
        /// How far back.
        time: GraphTime,
    },
    /// The form of a new pod.
    PodForm {
        /// In which cluster.
        cluster: ClusterId,
        /// What the command's options say.
        spec: Box<PodSpec>,
        /// What is typed.
        inputs: PodInputs,
    },
    /// The form of a new set.
    SetForm {
        /// In which cluster.
        cluster: ClusterId,
        /// What the command's options say.
        spec: Box<SetSpec>,
        /// What is typed.
        inputs: SetInputs,
    },
}

impl View {
    /// What policy is asked for.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Cluster { .. } => Verb::ClusterStatus,
            Self::Nodes { .. } => Verb::NodeList,
            Self::Node { .. } => Verb::NodeStatus,
            Self::Bridges { .. } => Verb::BridgeList,
            Self::Bridge { .. } => Verb::BridgeShow,
            Self::Vnets { .. } => Verb::VnetList,
            Self::Forwards { .. } => Verb::ForwardList,
            Self::Guests { filter, .. } if filter.pods => Verb::PodList,
            Self::Guests { .. } => Verb::GuestList,
            Self::Guest { pod: true, .. } => Verb::PodShow,
            Self::Guest { .. } => Verb::GuestShow,
            Self::MoveTo { .. } => Verb::GuestMigrate,
            Self::Snapshots { .. } => Verb::GuestSnapshotList,
            Self::Images { filter, .. } if filter.fetched => Verb::ImageCache,
            Self::Images { .. } => Verb::ImageList,
            Self::Image { users: true, .. } => Verb::ImageUsedBy,
            Self::Image { .. } => Verb::ImageShow,
            Self::Tasks { .. } => Verb::TaskList,
            Self::Task { .. } => Verb::TaskShow,
            Self::TaskLog { .. } => Verb::TaskLog,
            Self::Ops { .. } => Verb::OpList,
            Self::Op { .. } => Verb::OpShow,
            Self::Audit { .. } => Verb::AuditList,
            Self::Sets { .. } => Verb::SetList,
            Self::Set { verb, .. } => *verb,
            Self::Help { .. } => Verb::Help,
            Self::Alerts { history: true, .. } => Verb::AlertHistory,
            Self::Alerts { .. } => Verb::AlertList,
            Self::Mutes { .. } => Verb::MaintenanceList,
            Self::Choice { verb, .. } => *verb,
            Self::GraphGuests { guests, .. } => crate::show::graph_verb(guests.len()),
            Self::GraphNode { .. } => Verb::GraphNode,
            Self::GraphStorage { .. } => Verb::GraphStorage,
            Self::PodForm { .. } => Verb::PodCreate,
            Self::SetForm { .. } => Verb::SetCreate,
        }
    }

    /// How far back it goes, where it is a graph.
    pub fn time_mut(&mut self) -> Option<&mut GraphTime> {
        match self {
            Self::GraphGuests { time, .. }
            | Self::GraphNode { time, .. }
            | Self::GraphStorage { time, .. } => Some(time),
            _ => None,
        }
    }

    /// The page it is on, where it has pages.
    pub fn page_mut(&mut self) -> Option<&mut u64> {
        match self {
            Self::Nodes { page, .. }
            | Self::Guests { page, .. }
            | Self::Images { page, .. }
            | Self::Tasks { page, .. }
            | Self::Sets { page, .. }
            | Self::Ops { page, .. }
            | Self::Audit { page, .. }
            | Self::Alerts { page, .. }
            | Self::Mutes { page }
            | Self::Choice { page, .. } => Some(page),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Choice { .. } => "question",
            Self::PodForm { .. } | Self::SetForm { .. } => "form",
            _ => "view",
        }
    }
}

/// Keeps a screen; it belongs to whoever opened it.
pub async fn save(visit: &Visit, id: &ScreenId, view: &View) -> Result<(), FaceError> {
    let now_ms = visit.now_ms();
    let life = i64::try_from(visit.face.settings().screen_life.as_millis()).unwrap_or(i64::MAX);
    let data = serde_json::to_string(view).map_err(|_| broken(visit))?;
    let screen = Screen {
        id: id.as_str().to_owned(),
        kind: view.kind().to_owned(),
        owner: visit.actor.user,
        data,
        created_ms: now_ms,
        expires_ms: now_ms.saturating_add(life),
    };
    visit
        .face
        .engine()
        .store()
        .save_screen(&screen)
        .await
        .map_err(store_error("Could not keep this list"))
}

/// Loads a screen for its owner while the press can still be acknowledged.
pub async fn load_in_time(visit: &Visit, id: &ScreenId) -> Result<View, FaceError> {
    match tokio::time::timeout(DECIDE_WITHIN, load(visit, id)).await {
        Ok(view) => view,
        Err(_) => Err(said(
            "Could not look up what this button belongs to",
            "gantry's database was too slow. Nothing was done",
            "Press again.",
            &visit.reference(),
        )),
    }
}

/// Loads a screen for its owner.
pub async fn load(visit: &Visit, id: &ScreenId) -> Result<View, FaceError> {
    let found = visit
        .face
        .engine()
        .store()
        .find_screen(id.as_str(), visit.now_ms())
        .await
        .map_err(store_error("Could not look up what this button belongs to"))?;
    let Some(screen) = found else {
        return Err(said(
            "This list is too old",
            "Lists and forms are kept for a day; this one is gone. Nothing was done",
            "Run the command again.",
            &visit.reference(),
        ));
    };
    if screen.owner != visit.actor.user {
        return Err(said(
            "This is somebody else's list",
            "Only whoever opened it can turn its pages. Nothing was done",
            "Run the command yourself: you will see what you may see.",
            &visit.reference(),
        ));
    }
    serde_json::from_str(&screen.data).map_err(|_| broken(visit))
}

fn broken(visit: &Visit) -> FaceError {
    said(
        "This list cannot be read",
        "It was made by another version of gantry. Nothing was done",
        "Run the command again.",
        &visit.reference(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_survives_the_database() {
        let view = View::Tasks {
            cluster: "lab".parse().unwrap(),
            filter: TaskFilter { running: true, ..TaskFilter::default() },
            page: 3,
            shown: vec![
                "UPID:pve1:0000ABCD:0001E240:6563A1B2:vzdestroy:201:root@pam:".parse().unwrap(),
            ],
        };
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<View>(&text).unwrap(), view);
    }
}
