//! `/set …`: several pods from one template, each with its own identity.

use gantry_core::action::Verb;
use gantry_core::policy::Ruling;
use gantry_core::set::{Keep, SetAction, SetRef};
use gantry_engine::{Ask, SetChange};

use crate::act;
use crate::cluster::filter;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{Visit, said, serve};

/// Sets: pods from one template that keep who they are
#[poise::command(
    slash_command,
    guild_only,
    subcommands(
        "crate::set_create::create",
        "crate::set_create::apply",
        "list",
        "show",
        "scale",
        "rollout",
        "delete",
        "history"
    ),
    subcommand_required
)]
pub async fn set(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// All sets you may see
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Only in this cluster"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let cluster = filter(&visit, cluster.as_deref())?;
        show::open(&visit, View::Sets { cluster, page: 0 }).await
    })
    .await
}

/// One set with its pods: node, state, readiness, revision, address
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
) -> Result<(), FaceError> {
    look(ctx, set, Verb::SetShow).await
}

/// Revisions of a set, with what changed
#[poise::command(slash_command, guild_only)]
async fn history(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
) -> Result<(), FaceError> {
    look(ctx, set, Verb::SetHistory).await
}

/// Change how many pods a set has
#[poise::command(slash_command, guild_only)]
async fn scale(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
    #[description = "How many pods"]
    #[max = 100]
    replicas: u32,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| change(&visit, Verb::SetScale, &set, SetChange::Scale(replicas)).await)
        .await
}

/// Delete a set with its pods; volumes stay unless you say otherwise
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
    #[description = "Delete the volumes as well (as the set says; usually no)"] volumes: Option<
        bool,
    >,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let set = find(&visit, &set)?;
        let seen = visit.face.engine().set_seen(&set);
        let volumes = match volumes {
            Some(true) => Keep::Delete,
            Some(false) => Keep::Retain,
            None => seen.map_or(Keep::Retain, |s| s.spec().on_delete),
        };
        propose(&visit, Verb::SetDelete, SetAction::Delete { set, volumes }).await
    })
    .await
}

/// Replace pods of a set by newer ones
#[poise::command(
    slash_command,
    guild_only,
    subcommands("start", "status", "pause", "resume", "undo"),
    subcommand_required
)]
async fn rollout(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Replace all pods one after another, with another image or as they are
#[poise::command(slash_command, guild_only)]
async fn start(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
    #[description = "Another image; left out: the same again"]
    #[autocomplete = "complete::image"]
    #[max_length = 255]
    image: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let image = image.map(|i| i.trim().to_owned());
        change(&visit, Verb::SetRollout, &set, SetChange::Restart { image }).await
    })
    .await
}

/// How far a rollout is
#[poise::command(slash_command, guild_only)]
async fn status(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
) -> Result<(), FaceError> {
    look(ctx, set, Verb::SetStatus).await
}

/// Replace no more pods until somebody resumes
#[poise::command(slash_command, guild_only)]
async fn pause(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
) -> Result<(), FaceError> {
    hold(ctx, set, Verb::SetPause, true).await
}

/// Go on with a paused rollout
#[poise::command(slash_command, guild_only)]
async fn resume(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
) -> Result<(), FaceError> {
    hold(ctx, set, Verb::SetResume, false).await
}

/// Go back to an earlier revision
#[poise::command(slash_command, guild_only)]
async fn undo(
    ctx: Context<'_>,
    #[description = "Name, or cluster/name"]
    #[autocomplete = "complete::set"]
    #[max_length = 100]
    set: String,
    #[description = "Which revision; left out: the last one that worked"]
    #[min = 1]
    revision: Option<u32>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        change(&visit, Verb::SetUndo, &set, SetChange::Undo { to: revision }).await
    })
    .await
}

/// Shows one set.
async fn look(ctx: Context<'_>, set: String, verb: Verb) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let set = find(&visit, &set)?;
        show::open(&visit, View::Set { set, verb }).await
    })
    .await
}

/// Pauses a rollout, or goes on with it.
async fn hold(ctx: Context<'_>, set: String, verb: Verb, on: bool) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let set = find(&visit, &set)?;
        propose(&visit, verb, SetAction::Pause { set, on }).await
    })
    .await
}

/// The set somebody means, among those they may see. Memory only.
fn find(visit: &Visit, text: &str) -> Result<SetRef, FaceError> {
    let text = text.trim();
    let engine = visit.face.engine();
    let found: Vec<SetRef> = engine
        .sets()
        .iter()
        .map(|s| s.address())
        .filter(|s| s.name == text || s.to_string() == text)
        .filter(|s| engine.may_set(&visit.actor, Verb::SetShow, s).is_allowed())
        .collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] if !engine.are_sets_read() => Err(said(
            "Not read yet",
            &format!(
                "gantry has just started and has not read the sets of every cluster, so nobody can say whether there is one called {text}. \
                 Nothing was done"
            ),
            "Ask again in a moment. `/cluster status` shows a cluster that does not answer.",
            &visit.reference(),
        )),
        [] => Err(said(
            "No such set",
            &format!("You may see no set called {text}. Nothing was done"),
            "`/set list` shows those there are.",
            &visit.reference(),
        )),
        several => Err(said(
            "Which set?",
            &format!(
                "Several are called {text}: {}. Nothing was done",
                several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ),
            "Write it with its cluster.",
            &visit.reference(),
        )),
    }
}

/// Plans an action on a set and shows what it would do.
pub async fn propose(visit: &Visit, verb: Verb, action: SetAction) -> Result<(), FaceError> {
    let set = action.set().clone();
    // A new set is judged by what it shall be, before anything is read.
    let new = matches!(action, SetAction::Put { .. });
    if !new
        && let Ruling::Denied { because } = visit.face.engine().may_set(&visit.actor, verb, &set)
    {
        return visit.refuse(verb, &format!("set {set}"), &because).await;
    }
    let ask = Ask::Set { verb, action: Box::new(action) };
    act::carry(visit, verb, &set.to_string(), None, ask, true).await
}

async fn change(visit: &Visit, verb: Verb, text: &str, change: SetChange) -> Result<(), FaceError> {
    let set = find(visit, text)?;
    if let Ruling::Denied { because } = visit.face.engine().may_set(&visit.actor, verb, &set) {
        return visit.refuse(verb, &format!("set {set}"), &because).await;
    }
    let ask = Ask::SetChange { verb, set: set.clone(), change };
    act::carry(visit, verb, &set.to_string(), None, ask, true).await
}
