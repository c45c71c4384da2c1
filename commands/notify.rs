//! `/cluster notify …`: has a cluster tell gantry what Proxmox itself notices, through a notification target and a matcher.

use gantry_core::action::Verb;
use gantry_core::id::ClusterId;
use gantry_core::policy::{Ruling, Target};
use gantry_engine::{Ask, NotifyAsk};

use crate::act;
use crate::card::{self, Tone};
use crate::cluster::choose;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::visit::{Go, serve};

/// What Proxmox itself notices, told to gantry
#[poise::command(
    slash_command,
    guild_only,
    subcommands("install", "show", "test", "remove"),
    subcommand_required
)]
pub async fn notify(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Make the notification target and the matcher at Proxmox, and try them
#[poise::command(slash_command, guild_only)]
async fn install(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
    #[description = "Which webhook of the configuration, where the cluster has several"]
    #[autocomplete = "complete::hook"]
    #[max_length = 32]
    hook: Option<String>,
    #[description = "Send the secret again, after it was changed in the configuration (no)"]
    secret: Option<bool>,
) -> Result<(), FaceError> {
    ask(ctx, Verb::ClusterNotifyInstall, cluster, hook, secret.unwrap_or(false)).await
}

/// Whether they are there as they shall be, and when something was heard last
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let verb = Verb::ClusterNotifyShow;
        let cluster = choose(&visit, cluster.as_deref())?;
        if let Ruling::Denied { because } = visit.may(verb, Target::Cluster(&cluster)) {
            return visit.refuse(verb, &of(&cluster), &because).await;
        }
        if visit.begin(true, false).await? == Go::Stop {
            return Ok(());
        }
        let card = match Box::pin(visit.face.engine().notify_states(&cluster)).await? {
            Ok(states) => card::notifications(&cluster, &states),
            Err(why) => card::note(Tone::Quiet, "○ Not set up", &why),
        };
        visit.say(&card).await
    })
    .await
}

/// Have Proxmox send a test, and see whether gantry hears it
#[poise::command(slash_command, guild_only)]
async fn test(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
    #[description = "Which webhook of the configuration, where the cluster has several"]
    #[autocomplete = "complete::hook"]
    #[max_length = 32]
    hook: Option<String>,
) -> Result<(), FaceError> {
    ask(ctx, Verb::ClusterNotifyTest, cluster, hook, false).await
}

/// Take the notification target and the matcher away again; only gantry's own
#[poise::command(slash_command, guild_only)]
async fn remove(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
    #[description = "Which webhook of the configuration, where the cluster has several"]
    #[autocomplete = "complete::hook"]
    #[max_length = 32]
    hook: Option<String>,
) -> Result<(), FaceError> {
    ask(ctx, Verb::ClusterNotifyRemove, cluster, hook, false).await
}

async fn ask(
    ctx: Context<'_>,
    verb: Verb,
    cluster: Option<String>,
    hook: Option<String>,
    resend: bool,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let cluster = choose(&visit, cluster.as_deref())?;
        let (shown, target) = (of(&cluster), cluster.clone());
        let hook = hook.map(|h| h.trim().to_owned()).filter(|h| !h.is_empty());
        let ask = Ask::Notify(NotifyAsk { verb, cluster, hook, resend });
        Box::pin(act::on_target(&visit, verb, Target::Cluster(&target), &shown, ask)).await
    })
    .await
}

fn of(cluster: &ClusterId) -> String {
    format!("notifications of {cluster}")
}
