//! `/node …`

use gantry_core::id::{ClusterId, NodeName};

use crate::cluster::filter;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{Visit, said, serve};

/// Nodes
#[poise::command(slash_command, guild_only, subcommands("list", "status"), subcommand_required)]
pub async fn node(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// All nodes
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Only of this cluster"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let cluster = filter(&visit, cluster.as_deref())?;
        show::open(&visit, View::Nodes { cluster, page: 0 }).await
    })
    .await
}

/// One node: load, guests, storages
#[poise::command(slash_command, guild_only)]
async fn status(
    ctx: Context<'_>,
    #[description = "Which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let only = filter(&visit, cluster.as_deref())?;
        let (cluster, node) = find(&visit, &node, only.as_ref())?;
        show::open(&visit, View::Node { cluster, node }).await
    })
    .await
}

/// The node somebody means. Memory only; a name that two clusters have is never guessed.
pub(crate) fn find(
    visit: &Visit,
    name: &str,
    only: Option<&ClusterId>,
) -> Result<(ClusterId, NodeName), FaceError> {
    let views = visit.face.engine().views();
    let hits: Vec<(ClusterId, NodeName)> = views
        .iter()
        .filter(|v| only.is_none_or(|c| v.cluster == *c))
        .flat_map(|v| v.nodes.iter().map(move |n| (v.cluster.clone(), n.name.clone())))
        .filter(|(_, n)| n.as_str() == name.trim())
        .collect();
    match hits.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(said(
            "No such node",
            &format!("{name} is not a node gantry has seen. Nothing was done"),
            "`/node list` shows them.",
            &visit.reference(),
        )),
        _ => Err(said(
            "Which one?",
            &format!("Several clusters have a node {name}. Nothing was done"),
            "Give the option cluster.",
            &visit.reference(),
        )),
    }
}
