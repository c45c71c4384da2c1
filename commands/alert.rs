//! `/alert …`, and the buttons under an incident's message.

use gantry_core::action::Verb;
use gantry_core::alert::Incident;
use gantry_core::id::IncidentId;
use gantry_core::policy::{Ruling, Target};
use gantry_engine::AlertView;

use crate::act;
use crate::alert_chart;
use crate::card::{self, Card, IncidentList, Place, Tone};
use crate::face::{Context, FaceError};
use crate::press::{address, unknown};
use crate::screen::View;
use crate::show::{self, PAGE};
use crate::token::ScreenId;
use crate::visit::{Go, Visit, said, serve};

/// Incidents read for one list, which shows them in pages; older ones are found by their id.
const LISTED_MAX: u32 = 2_000;

/// Alerts: what is wrong
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "show", "ack", "silence", "note", "explain", "history", "test"),
    subcommand_required
)]
pub async fn alert(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// What is wrong now, and what is not told and why
#[poise::command(slash_command, guild_only)]
async fn list(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| open_list(&visit, false).await).await
}

/// What is wrong now, or what was, for the asker.
pub(crate) async fn open_list(visit: &Visit, history: bool) -> Result<(), FaceError> {
    show::open(visit, View::Alerts { history, page: 0 }).await
}

/// The list as it is now: what is wrong, the worst first and what is silenced apart; what was, newest first.
pub(crate) async fn draw(
    visit: &Visit,
    history: bool,
    page: &mut u64,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let verb = if history { Verb::AlertHistory } else { Verb::AlertList };
    let read = engine.incidents(&visit.actor, verb, !history, LISTED_MAX).await?.rows;
    let (mut rows, mut quiet) = (read, Vec::new());
    let mut alerts = Vec::new();
    if !history {
        (quiet, rows) = rows.into_iter().partition(Incident::is_silenced);
        // Stable: of the same severity the newest stays first.
        rows.sort_by_key(|i| std::cmp::Reverse(i.severity));
        alerts = engine.alerts(&visit.actor).await?;
    }
    let place = Place::clamp(*page, PAGE, rows.len() as u64);
    *page = place.page;
    let from = usize::try_from(place.offset()).unwrap_or(usize::MAX).min(rows.len());
    let to = from.saturating_add(PAGE as usize).min(rows.len());
    Ok(card::incident_list(&IncidentList {
        title: if history { "Incidents" } else { "What is wrong now" },
        rows: &rows[from..to],
        place,
        quiet: &quiet,
        alerts: &alerts,
        read_ms: visit.now_ms(),
        screen: id,
    }))
}

/// One incident as its message shows it; the newest open one where nothing is said.
pub(crate) async fn open_one(visit: &Visit, asked: Option<&str>) -> Result<(), FaceError> {
    if !may(visit, Verb::AlertShow).await? || visit.begin(true, false).await? == Go::Stop {
        return Ok(());
    }
    let view = find(visit, Verb::AlertShow, asked).await?;
    visit.say(&card::incident(&view.incident)).await
}

/// What an incident is called, for whoever may see it; else its id.
pub(crate) async fn named(visit: &Visit, id: &IncidentId) -> String {
    let found = visit.face.engine().incident(&visit.actor, Verb::AlertShow, id).await;
    found.ok().flatten().map_or_else(|| id.to_string(), |view| view.incident.headline())
}

/// Earlier incidents, newest first
#[poise::command(slash_command, guild_only)]
async fn history(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| open_list(&visit, true).await).await
}

/// One incident with its timeline
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Which: in_…; the newest open one where nothing is said"]
    #[max_length = 40]
    incident: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| open_one(&visit, incident.as_deref()).await).await
}

/// Take care of an incident: nobody else is called for it
#[poise::command(slash_command, guild_only)]
async fn ack(
    ctx: Context<'_>,
    #[description = "Which: in_…; the newest open one where nothing is said"]
    #[max_length = 40]
    incident: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::AlertAck;
        if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let view = find(&visit, Verb::AlertShow, incident.as_deref()).await?;
        let said = visit.face.engine().acknowledge(&visit.actor, &view.incident.id).await?;
        visit.face.wake_courier();
        visit.say(&card::said(verb, &view.incident.headline(), &said)).await
    })
    .await
}

/// Keep an incident quiet for a while
#[poise::command(slash_command, guild_only)]
async fn silence(
    ctx: Context<'_>,
    #[description = "Which: in_…; the newest open one where nothing is said"]
    #[max_length = 40]
    incident: Option<String>,
    #[description = "For how many hours; 4 where nothing is said"]
    #[min = 1]
    #[max = 720]
    hours: Option<u32>,
    #[description = "Why; stands wherever it is not told"]
    #[max_length = 200]
    reason: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::AlertSilence;
        if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let view = find(&visit, Verb::AlertShow, incident.as_deref()).await?;
        let for_ms = i64::from(hours.unwrap_or(4)) * 3_600_000;
        let reason = reason.unwrap_or_default();
        let engine = visit.face.engine();
        let said =
            engine.silence_incident(&visit.actor, &view.incident.id, for_ms, &reason).await?;
        visit.say(&card::said(verb, &view.incident.headline(), &said)).await
    })
    .await
}

/// Write something about an incident, for its thread and its file
#[poise::command(slash_command, guild_only)]
async fn note(
    ctx: Context<'_>,
    #[description = "What shall be known"]
    #[max_length = 1500]
    text: String,
    #[description = "Which: in_…; the newest open one where nothing is said"]
    #[max_length = 40]
    incident: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::AlertNote;
        if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let view = find(&visit, Verb::AlertShow, incident.as_deref()).await?;
        let said = visit.face.engine().note(&visit.actor, &view.incident.id, &text).await?;
        visit.face.wake_courier();
        visit.say(&card::said(verb, &view.incident.headline(), &said)).await
    })
    .await
}

/// Why an incident is told, or not: rule, values, route
#[poise::command(slash_command, guild_only)]
async fn explain(
    ctx: Context<'_>,
    #[description = "Which: in_…; the newest open one where nothing is said"]
    #[max_length = 40]
    incident: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if !may(&visit, Verb::AlertExplain).await? || visit.begin(true, false).await? == Go::Stop {
            return Ok(());
        }
        let view = find(&visit, Verb::AlertExplain, incident.as_deref()).await?;
        let mutes = visit.face.engine().mutes(visit.actor.guild).await?;
        let there = visit.face.engine().silenced_there(&view, &mutes).await?;
        visit.say(&card::explain(&view, &mutes, &there)).await
    })
    .await
}

/// Send a test message to the channel of alerts
#[poise::command(slash_command, guild_only)]
async fn test(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::AlertTest;
        if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let said = visit.face.engine().test_alert(&visit.actor).await?;
        visit.face.wake_courier();
        visit.say(&card::said(verb, "alerts", &said)).await
    })
    .await
}

/// Whether the asker may do that to anything; says so where not.
pub(crate) async fn may(visit: &Visit, verb: Verb) -> Result<bool, FaceError> {
    match visit.may(verb, Target::Any) {
        Ruling::Allowed { .. } => Ok(true),
        Ruling::Denied { because } => visit.refuse(verb, "", &because).await.map(|()| false),
    }
}

fn none(visit: &Visit) -> FaceError {
    said(
        "No such incident",
        "None of that name is yours to see, or nothing is wrong. Nothing was done",
        "`/alert list` shows what is wrong now, `/alert history` what was.",
        &visit.reference(),
    )
}

/// The incident somebody means, where they may do `verb` to it; the newest open one where they do not say.
pub(crate) async fn find(
    visit: &Visit,
    verb: Verb,
    asked: Option<&str>,
) -> Result<AlertView, FaceError> {
    let engine = visit.face.engine();
    let id: IncidentId = match asked {
        Some(text) => text.trim().parse().map_err(|_| none(visit))?,
        None => {
            let open = engine.incidents(&visit.actor, verb, true, 1).await?.rows;
            open.first().map(|i| i.id.clone()).ok_or_else(|| none(visit))?
        }
    };
    engine.incident(&visit.actor, verb, &id).await?.ok_or_else(|| none(visit))
}

/// Pressed: Acknowledge. The message itself shows it; the presser is told only what it does not show.
pub(crate) async fn press_ack(visit: &Visit, id: &IncidentId) -> Result<(), FaceError> {
    if visit.begin_press(true).await? == Go::Stop {
        return Ok(());
    }
    let outcome = visit.face.engine().acknowledge(&visit.actor, id).await?;
    visit.face.wake_courier();
    match outcome {
        gantry_engine::Said::Done(..) => Ok(()),
        other => visit.say(&card::said(Verb::AlertAck, &named(visit, id).await, &other)).await,
    }
}

/// Picked: for how long it shall be silent.
pub(crate) async fn press_silence(
    visit: &Visit,
    id: &IncidentId,
    picked: Option<&str>,
) -> Result<(), FaceError> {
    let time = card::MUTE_TIMES.iter().find(|(value, _, _)| Some(*value) == picked);
    let Some((_, _, for_ms)) = time else { return unknown(visit).await };
    if visit.begin_press(true).await? == Go::Stop {
        return Ok(());
    }
    let outcome = visit.face.engine().silence_incident(&visit.actor, id, *for_ms, "").await?;
    visit.say(&card::said(Verb::AlertSilence, &named(visit, id).await, &outcome)).await
}

/// Pressed: Why.
pub(crate) async fn why(visit: &Visit, id: &IncidentId) -> Result<(), FaceError> {
    if !may(visit, Verb::AlertExplain).await? {
        return Ok(());
    }
    if visit.begin_press(false).await? == Go::Stop {
        return Ok(());
    }
    let view = find(visit, Verb::AlertExplain, Some(id.as_str())).await?;
    let mutes = visit.face.engine().mutes(visit.actor.guild).await?;
    let there = visit.face.engine().silenced_there(&view, &mutes).await?;
    visit.say(&card::explain(&view, &mutes, &there)).await
}

/// Pressed: Graph.
pub(crate) async fn chart(visit: &Visit, id: &IncidentId) -> Result<(), FaceError> {
    if !may(visit, Verb::AlertShow).await? || visit.begin_press(false).await? == Go::Stop {
        return Ok(());
    }
    let view = find(visit, Verb::AlertShow, Some(id.as_str())).await?;
    let mut shown =
        card::Card::new(Tone::Plain, crate::line![card::text(view.incident.headline())]);
    shown.picture = Box::pin(alert_chart::picture(visit.face.engine(), &view.incident)).await;
    if shown.picture.is_none() {
        shown = shown.say("There is nothing to draw, or Proxmox did not give the figures in time.");
    }
    visit.say(&shown).await
}

/// Picked: what to do about it. Only what the message offers, through plan and confirmation like any command.
pub(crate) async fn remedy(
    visit: &Visit,
    id: &IncidentId,
    picked: Option<&str>,
) -> Result<(), FaceError> {
    let Some((verb, place)) = picked.and_then(|p| p.split_once(' ')) else {
        return unknown(visit).await;
    };
    let (Ok(verb), Some(guest)) = (verb.parse::<Verb>(), address(place)) else {
        return unknown(visit).await;
    };
    let offered = [
        Verb::GuestStart,
        Verb::GuestReboot,
        Verb::GuestShutdown,
        Verb::GuestMigrate,
        Verb::GuestSnapshotCreate,
    ];
    if !offered.contains(&verb) {
        return unknown(visit).await;
    }
    tracing::info!(incident = %id, %verb, %guest, "asked for from an alert");
    // On the heap: a proposal is large, and every press would carry room for it.
    Box::pin(act::on_picked(visit, verb, &guest, None)).await
}
