//! `/cluster …`

use gantry_core::action::Verb;
use gantry_core::id::ClusterId;
use gantry_core::policy::Target;

use crate::complete;
use crate::face::{Context, FaceError};
use crate::notify::notify;
use crate::screen::View;
use crate::show;
use crate::visit::{Visit, said, serve};

/// Clusters
#[poise::command(slash_command, guild_only, subcommands("status", "notify"), subcommand_required)]
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
    // Only clusters that are some business of theirs are named.
    let theirs = |cluster: &&ClusterId| {
        Verb::ALL
            .iter()
            .filter(|v| !v.is_open_to_all())
            .any(|v| visit.may(*v, Target::Within(cluster)).is_allowed())
    };
    let names = || {
        let names: Vec<String> = known.iter().filter(theirs).map(ToString::to_string).collect();
        if names.is_empty() { "none that you may see".to_owned() } else { names.join(", ") }
    };
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
