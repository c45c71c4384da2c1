//! `/cluster …`

use gantry_core::id::ClusterId;

use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{Visit, said, serve};

/// Clusters
#[poise::command(slash_command, guild_only, subcommands("status"), subcommand_required)]
pub async fn cluster(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// State of a cluster: quorum, nodes, storages
#[poise::command(slash_command, guild_only)]
async fn status(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let cluster = choose(&visit, cluster.as_deref())?;
        show::open(&visit, View::Cluster { cluster }).await
    })
    .await
}

/// The cluster somebody means; the only one where nobody says. Memory only.
pub(crate) fn choose(visit: &Visit, asked: Option<&str>) -> Result<ClusterId, FaceError> {
    let known: Vec<ClusterId> =
        visit.face.engine().views().iter().map(|v| v.cluster.clone()).collect();
    let names = || known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (asked, known.as_slice()) {
        (Some(name), _) => {
            known.iter().find(|c| c.as_str() == name.trim()).cloned().ok_or_else(|| {
                said(
                    "No such cluster",
                    &format!("{name} is not one of: {}. Nothing was done", names()),
                    "Choose one from the list.",
                    &visit.reference(),
                )
            })
        }
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(said(
            "Which cluster?",
            &format!("There are several: {}. Nothing was done", names()),
            "Give the option cluster.",
            &visit.reference(),
        )),
    }
}

/// A cluster as a filter: none when nobody says.
pub(crate) fn filter(visit: &Visit, asked: Option<&str>) -> Result<Option<ClusterId>, FaceError> {
    asked.map(|name| choose(visit, Some(name))).transpose()
}
