//! `/task …`: what Proxmox works on, whoever asked for it.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::{ClusterId, Upid};
use gantry_core::policy::Ruling;
use gantry_engine::Ask;

use crate::act::{self, Named};
use crate::card;
use crate::cluster::{choose, filter};
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::{TaskFilter, View};
use crate::show;
use crate::visit::{Visit, said, serve};

/// Tasks of Proxmox
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "show", "log", "cancel"),
    subcommand_required
)]
pub async fn task(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Tasks of a cluster, newest first
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Only about this guest"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: Option<String>,
    #[description = "Only of this node"]
    #[autocomplete = "complete::node"]
    node: Option<String>,
    #[description = "Only those that run"] running: Option<bool>,
    #[description = "Only those that failed"] failed: Option<bool>,
    #[description = "Of which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let guest = match guest {
            None => None,
            Some(who) => match act::find(&visit, Verb::GuestShow, &who) {
                Named::One(guest) => Some(guest.address()),
                Named::Several(_) => return visit.say(&several(&who)).await,
                Named::None(similar) => {
                    let told = act::unknown(&visit, Verb::GuestShow, &who, &similar);
                    return visit.say(&told).await;
                }
            },
        };
        let only = filter(&visit, cluster.as_deref())?;
        let node = node.map(|n| crate::node::find(&visit, &n, only.as_ref())).transpose()?;
        let cluster = match (&guest, &node) {
            (Some(GuestRef { cluster, .. }), _) => cluster.clone(),
            (None, Some((cluster, _))) => cluster.clone(),
            (None, None) => choose(&visit, cluster.as_deref())?,
        };
        let filter = TaskFilter {
            node: node.map(|(_, node)| node),
            guest,
            running: running.unwrap_or(false),
            failed: failed.unwrap_or(false),
        };
        show::open(&visit, View::Tasks { cluster, filter, page: 0, shown: Vec::new() }).await
    })
    .await
}

fn several(who: &str) -> card::Card {
    card::note(
        card::Tone::Bad,
        crate::press::titled("✗ Which ", who),
        "Several guests answer to that. Write cluster/number",
    )
}

/// One task with the end of its log
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Its id, as Proxmox prints it: UPID:…"]
    #[autocomplete = "complete::task"]
    #[max_length = 600]
    task: String,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (cluster, upid) = find(&visit, &task, cluster.as_deref())?;
        show::open(&visit, View::Task { cluster, upid }).await
    })
    .await
}

/// A task's log; the end of it where no line is given
#[poise::command(slash_command, guild_only)]
async fn log(
    ctx: Context<'_>,
    #[description = "Its id, as Proxmox prints it: UPID:…"]
    #[autocomplete = "complete::task"]
    #[max_length = 600]
    task: String,
    #[description = "First line to show"]
    #[min = 1]
    #[max = 100_000_000]
    line: Option<u32>,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (cluster, upid) = find(&visit, &task, cluster.as_deref())?;
        show::open(&visit, View::TaskLog { cluster, upid, from: line }).await
    })
    .await
}

/// Stop a running task
#[poise::command(slash_command, guild_only)]
async fn cancel(
    ctx: Context<'_>,
    #[description = "Its id, as Proxmox prints it: UPID:…"]
    #[autocomplete = "complete::task"]
    #[max_length = 600]
    task: String,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (cluster, upid) = find(&visit, &task, cluster.as_deref())?;
        let verb = Verb::TaskCancel;
        let who = format!("{} {}", upid.kind(), upid.id());
        let ruling = visit.face.engine().may_task(&visit.actor, verb, &cluster, &upid);
        if let Ruling::Denied { because } = ruling {
            return visit.refuse(verb, &who, &because).await;
        }
        act::carry(&visit, verb, &who, None, Ask::TaskCancel { cluster, upid }, true).await
    })
    .await
}

/// The task somebody means and the cluster its node is in. Memory only.
fn find(visit: &Visit, task: &str, cluster: Option<&str>) -> Result<(ClusterId, Upid), FaceError> {
    let upid: Upid = task.trim().parse().map_err(|error: gantry_core::id::BadId| {
        said(
            "No such task",
            &format!("{error}. Nothing was done"),
            "`/task list` offers the tasks to pick from.",
            &visit.reference(),
        )
    })?;
    if cluster.is_some() {
        return Ok((choose(visit, cluster)?, upid));
    }
    let views = visit.face.engine().views();
    let mut hits = views.iter().filter(|v| v.node(upid.node()).is_some());
    match (hits.next(), hits.next()) {
        (Some(one), None) => Ok((one.cluster.clone(), upid)),
        _ => Ok((choose(visit, None)?, upid)),
    }
}
