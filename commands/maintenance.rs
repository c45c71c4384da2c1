//! `/maintenance …`: somebody works on something, and what it does meanwhile is not told.

use gantry_core::action::Verb;
use gantry_core::alert::{MuteKind, Muting};
use gantry_core::policy::{Selector, Target};
use gantry_engine::MuteAsk;

use crate::act::{self, Named};
use crate::alert::may;
use crate::card::{self, Card, Place};
use crate::cluster::{choose, filter};
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show::{self, PAGE};
use crate::token::ScreenId;
use crate::visit::{Go, Visit, said, serve};

/// Maintenance: nothing is told meanwhile
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "start", "end"),
    subcommand_required
)]
pub async fn maintenance(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Maintenance windows and silences that hold now
#[poise::command(slash_command, guild_only)]
async fn list(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| show::open(&visit, View::Mutes { page: 0 }).await).await
}

/// The list, as the asker may see it.
pub(crate) async fn draw(visit: &Visit, page: &mut u64, id: &ScreenId) -> Result<Card, FaceError> {
    let (mutes, hidden) = visit.face.engine().mutes_seen(&visit.actor).await?;
    let place = Place::clamp(*page, PAGE, mutes.len() as u64);
    *page = place.page;
    let views = visit.face.engine().views();
    let called = |cluster: &str, vmid: &str| {
        let view = views.iter().find(|v| v.cluster.as_str() == cluster)?;
        let guest = view.guest(vmid.parse().ok()?)?;
        Some(format!("{} ({} {})", guest.name, guest.kind.short(), guest.vmid))
    };
    let skip = usize::try_from(place.offset()).unwrap_or(usize::MAX);
    let shown = mutes.into_iter().skip(skip).take(PAGE as usize);
    let rows: Vec<(Muting, String)> = shown.map(|m| (m.clone(), m.about(called))).collect();
    Ok(card::mute_list(&rows, place, hidden, id))
}

/// Begin maintenance of a guest, a node with its guests, or a whole cluster
#[poise::command(slash_command, guild_only)]
async fn start(
    ctx: Context<'_>,
    #[description = "For how many hours"]
    #[min = 1]
    #[max = 720]
    hours: u32,
    #[description = "Which guest: name or number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: Option<String>,
    #[description = "Or which node"]
    #[autocomplete = "complete::node"]
    node: Option<String>,
    #[description = "Or which cluster; also where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
    #[description = "Why; stands wherever something is not told"]
    #[max_length = 200]
    reason: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::MaintenanceStart;
        let for_ms = i64::from(hours) * 3_600_000;
        let ask = |on: Selector, shown: String| MuteAsk {
            kind: MuteKind::Maintenance,
            rule: None,
            on,
            subjects: Vec::new(),
            for_ms,
            reason: reason.clone().unwrap_or_default(),
            shown,
        };
        if !may(&visit, verb).await? {
            return Ok(());
        }
        let engine = visit.face.engine();
        let done = if let Some(who) = &guest {
            let found = match act::find(&visit, verb, who) {
                Named::One(found) => found,
                Named::Several(_) => {
                    return Err(which(&visit, "Several guests have that name"));
                }
                Named::None(similar) => {
                    return visit.say(&act::unknown(&visit, verb, who, &similar)).await;
                }
            };
            let on = written(&visit, format!("cluster:{} vmid:{}", found.cluster, found.vmid))?;
            let shown = format!("Maintenance of {}", gantry_core::plan::describe(&found));
            if visit.begin(true, true).await? == Go::Stop {
                return Ok(());
            }
            engine.start_maintenance(&visit.actor, Target::Guest(&found), ask(on, shown)).await?
        } else if let Some(name) = &node {
            let only = filter(&visit, cluster.as_deref())?;
            let (cluster, node) = crate::node::find(&visit, name, only.as_ref())?;
            let on = written(&visit, format!("cluster:{cluster} node:{node}"))?;
            let shown = format!("Maintenance of node {node}");
            if visit.begin(true, true).await? == Go::Stop {
                return Ok(());
            }
            let target = Target::Node(&cluster, &node);
            engine.start_maintenance(&visit.actor, target, ask(on, shown)).await?
        } else {
            let Some(name) = cluster.as_deref() else {
                return Err(which(&visit, "Neither guest nor node nor cluster was given"));
            };
            let cluster = choose(&visit, Some(name))?;
            let on = written(&visit, format!("cluster:{cluster}"))?;
            if visit.begin(true, true).await? == Go::Stop {
                return Ok(());
            }
            let shown = format!("Maintenance of cluster {cluster}");
            let target = Target::Cluster(&cluster);
            engine.start_maintenance(&visit.actor, target, ask(on, shown)).await?
        };
        visit.say(&card::said(verb, "maintenance", &done)).await
    })
    .await
}

/// End a maintenance window or a silence before its time
#[poise::command(slash_command, guild_only)]
async fn end(
    ctx: Context<'_>,
    #[description = "Which: si_…, as /maintenance list shows it"]
    #[max_length = 40]
    id: String,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| end_one(&visit, id.trim()).await).await
}

/// Ends one, in the name of whoever asked or picked it.
pub(crate) async fn end_one(visit: &Visit, id: &str) -> Result<(), FaceError> {
    let verb = Verb::MaintenanceEnd;
    if !may(visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
        return Ok(());
    }
    let done = visit.face.engine().end_mute(&visit.actor, id).await?;
    visit.say(&card::said(verb, id, &done)).await
}

fn which(visit: &Visit, why: &str) -> FaceError {
    said(
        "Which one?",
        &format!("{why}. Nothing was done"),
        "Give one of the options guest, node or cluster.",
        &visit.reference(),
    )
}

fn written(visit: &Visit, text: String) -> Result<Selector, FaceError> {
    Selector::try_from(text).map_err(|e| which(visit, &e.to_string()))
}
