//! `/graph …`: figures over time, as a picture only the asker sees.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::{ClusterId, NodeName, StorageId};
use gantry_core::policy::Target;
use gantry_engine::{Measure, Timeframe};

use crate::act::{self, Named};
use crate::card;
use crate::cluster::filter;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::{GraphOf, GraphTime, View};
use crate::show;
use crate::visit::{Visit, said, serve};

/// Figures over time, as a picture
#[poise::command(
    slash_command,
    guild_only,
    subcommands("guest", "node", "storage", "compare"),
    subcommand_required
)]
pub async fn graph(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// What of a guest is drawn.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
enum OfGuest {
    #[name = "CPU"]
    Cpu,
    #[name = "Memory"]
    Memory,
    #[name = "Network"]
    Network,
    #[name = "Disk reads and writes"]
    DiskIo,
    #[name = "Root disk"]
    Disk,
}

impl From<OfGuest> for GraphOf {
    fn from(of: OfGuest) -> Self {
        match of {
            OfGuest::Cpu => Self::Cpu,
            OfGuest::Memory => Self::Memory,
            OfGuest::Network => Self::Network,
            OfGuest::DiskIo => Self::DiskIo,
            OfGuest::Disk => Self::Disk,
        }
    }
}

/// What of a node is drawn.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
enum OfNode {
    #[name = "CPU"]
    Cpu,
    #[name = "Memory"]
    Memory,
    #[name = "Network"]
    Network,
    #[name = "Load average"]
    Load,
    #[name = "Root disk"]
    Disk,
}

impl From<OfNode> for GraphOf {
    fn from(of: OfNode) -> Self {
        match of {
            OfNode::Cpu => Self::Cpu,
            OfNode::Memory => Self::Memory,
            OfNode::Network => Self::Network,
            OfNode::Load => Self::Load,
            OfNode::Disk => Self::Disk,
        }
    }
}

/// How far back.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
enum Back {
    #[name = "Hour"]
    Hour,
    #[name = "Day"]
    Day,
    #[name = "Week"]
    Week,
    #[name = "Month"]
    Month,
    #[name = "Year"]
    Year,
}

impl From<Back> for GraphTime {
    fn from(back: Back) -> Self {
        match back {
            Back::Hour => Self::Hour,
            Back::Day => Self::Day,
            Back::Week => Self::Week,
            Back::Month => Self::Month,
            Back::Year => Self::Year,
        }
    }
}

impl GraphOf {
    /// The engine's word for it.
    pub(crate) fn measure(self) -> Measure {
        match self {
            Self::Cpu => Measure::Cpu,
            Self::Memory => Measure::Memory,
            Self::Network => Measure::Network,
            Self::DiskIo => Measure::DiskIo,
            Self::Disk => Measure::Disk,
            Self::Load => Measure::Load,
        }
    }
}

impl GraphTime {
    /// The engine's word for it.
    pub(crate) fn timeframe(self) -> Timeframe {
        match self {
            Self::Hour => Timeframe::Hour,
            Self::Day => Timeframe::Day,
            Self::Week => Timeframe::Week,
            Self::Month => Timeframe::Month,
            Self::Year => Timeframe::Year,
        }
    }
}

/// A guest over time
#[poise::command(slash_command, guild_only)]
async fn guest(
    ctx: Context<'_>,
    #[description = "Which guest: name or number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "What of it; CPU where nothing is said"] show: Option<OfGuest>,
    #[description = "How far back; an hour where nothing is said"] time: Option<Back>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let Some(guest) = one(&visit, Verb::GraphGuest, &guest).await? else { return Ok(()) };
        open(&visit, Asked::Guests(vec![guest]), show.map(Into::into), time).await
    })
    .await
}

/// A node over time
#[poise::command(slash_command, guild_only)]
async fn node(
    ctx: Context<'_>,
    #[description = "Which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "What of it; CPU where nothing is said"] show: Option<OfNode>,
    #[description = "How far back; an hour where nothing is said"] time: Option<Back>,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let only = filter(&visit, cluster.as_deref())?;
        let (cluster, node) = crate::node::find(&visit, &node, only.as_ref())?;
        open(&visit, Asked::Node(cluster, node), show.map(Into::into), time).await
    })
    .await
}

/// How full a storage was
#[poise::command(slash_command, guild_only)]
async fn storage(
    ctx: Context<'_>,
    #[description = "Which storage"]
    #[autocomplete = "complete::any_storage"]
    storage: String,
    #[description = "As which node sees it; needed where nodes have one each of that name"]
    #[autocomplete = "complete::node"]
    node: Option<String>,
    #[description = "How far back; an hour where nothing is said"] time: Option<Back>,
    #[description = "Of which cluster, where several have a storage of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let only = filter(&visit, cluster.as_deref())?;
        let (cluster, node, storage) =
            find_storage(&visit, &storage, node.as_deref(), only.as_ref())?;
        open(&visit, Asked::Storage(cluster, node, storage), None, time).await
    })
    .await
}

/// Guests side by side
#[poise::command(slash_command, guild_only)]
async fn compare(
    ctx: Context<'_>,
    #[description = "The first guest"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    one: String,
    #[description = "The second"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    two: String,
    #[description = "A third"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    three: Option<String>,
    #[description = "A fourth"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    four: Option<String>,
    #[description = "What of them; CPU where nothing is said"] show: Option<OfGuest>,
    #[description = "How far back; an hour where nothing is said"] time: Option<Back>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let mut guests = Vec::new();
        for who in [Some(one), Some(two), three, four].into_iter().flatten() {
            let Some(guest) = self::one(&visit, Verb::GraphCompare, &who).await? else {
                return Ok(());
            };
            if !guests.contains(&guest) {
                guests.push(guest);
            }
        }
        open(&visit, Asked::Guests(guests), show.map(Into::into), time).await
    })
    .await
}

/// What somebody wants drawn.
enum Asked {
    Guests(Vec<GuestRef>),
    Node(ClusterId, NodeName),
    Storage(ClusterId, NodeName, StorageId),
}

async fn open(
    visit: &Visit,
    asked: Asked,
    of: Option<GraphOf>,
    time: Option<Back>,
) -> Result<(), FaceError> {
    let time = time.map_or(GraphTime::Hour, Into::into);
    let view = match asked {
        Asked::Guests(guests) => View::GraphGuests { guests, of: of.unwrap_or(GraphOf::Cpu), time },
        Asked::Node(cluster, node) => {
            View::GraphNode { cluster, node, of: of.unwrap_or(GraphOf::Cpu), time }
        }
        Asked::Storage(cluster, node, storage) => {
            View::GraphStorage { cluster, node, storage, time }
        }
    };
    show::open(visit, view).await
}

/// The guest somebody means; `None` once the asker has been told why there is not just one.
async fn one(visit: &Visit, verb: Verb, who: &str) -> Result<Option<GuestRef>, FaceError> {
    let note = match act::find(visit, verb, who) {
        Named::One(guest) => return Ok(Some(guest.address())),
        Named::Several(_) => card::note(
            card::Tone::Question,
            "Which one?",
            "Several guests have that name. Choose one from the list, or give its number",
        ),
        Named::None(similar) => act::unknown(visit, verb, who, &similar),
    };
    visit.say(&note).await?;
    Ok(None)
}

/// The storage somebody means. Memory only; where nodes have one each, the node has to be said.
fn find_storage(
    visit: &Visit,
    name: &str,
    node: Option<&str>,
    only: Option<&ClusterId>,
) -> Result<(ClusterId, NodeName, StorageId), FaceError> {
    let views = visit.face.engine().views();
    let mut hits: Vec<_> = views
        .iter()
        .filter(|v| only.is_none_or(|c| v.cluster == *c))
        .flat_map(|v| v.storages.iter().map(move |s| (&v.cluster, s)))
        .filter(|(_, s)| s.id.as_str() == name.trim())
        .filter(|(_, s)| node.is_none_or(|n| s.node.as_str() == n.trim()))
        .filter(|(cluster, s)| {
            visit.may(Verb::GraphStorage, Target::Node(cluster, &s.node)).is_allowed()
        })
        .collect();
    // A shared storage is the same whoever is asked.
    hits.dedup_by(|a, b| a.0 == b.0 && a.1.shared && b.1.shared && a.1.id == b.1.id);
    match hits.as_slice() {
        [(cluster, s)] => Ok(((*cluster).clone(), s.node.clone(), s.id.clone())),
        [] => Err(said(
            "No such storage",
            &format!("gantry has not seen a storage {name} there. Nothing was done"),
            "`/cluster status` shows them.",
            &visit.reference(),
        )),
        several => {
            let nodes: Vec<String> = several.iter().map(|(_, s)| s.node.to_string()).collect();
            Err(said(
                "Which one?",
                &format!("Each of these nodes has a storage {name}: {}", nodes.join(", ")),
                "Give the option node.",
                &visit.reference(),
            ))
        }
    }
}
