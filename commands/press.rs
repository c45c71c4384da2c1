//! The one door for buttons and menus. A press carries an id; what it means is in the database, who presses is
//! in the press itself, and whether they may is asked again.

use std::pin::Pin;
use std::sync::Arc;

use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::{CardId, OperationId, PlanId};
use gantry_core::policy::{Ruling, Target};
use gantry_core::set::Choice;
use gantry_engine::{Abandoned, Ask, Cancelled, Kept, Peek, Pressed};
use serenity::all::{ComponentInteraction, ComponentInteractionDataKind, Http};

use crate::act;
use crate::card::{self, Tone, code, text};
use crate::desk::Desk;
use crate::face::{Face, FaceError, store_error};
use crate::form;
use crate::line;
use crate::screen::{self, View};
use crate::show;
use crate::token::{BadToken, ScreenId, Token};
use crate::visit::{DECIDE_WITHIN, Go, Visit, only_in_servers, said};

/// Serves a press.
pub async fn press(face: &Face, http: Arc<Http>, i: &ComponentInteraction) {
    let visit = match Visit::of_component(face, http, i) {
        Ok(visit) => Arc::new(visit),
        Err(desk) => return outside(&desk).await,
    };
    let token = i.data.custom_id.parse::<Token>();
    let what = format!("press {}", token.as_ref().map_or("unknown", Token::action));
    let picked = match &i.data.kind {
        ComponentInteractionDataKind::StringSelect { values } => values.first().cloned(),
        _ => None,
    };
    visit.clone().run(&what, heap(|| serve(&visit, token, picked))).await;
}

/// Says that nothing is done outside servers.
pub async fn outside(desk: &Desk) {
    if let Err(error) = desk.answer(&only_in_servers()).await {
        tracing::warn!(
            error = crate::desk::words_of(&error),
            "could not answer a press outside a server"
        );
    }
}

/// On the heap, made in a frame of its own: what a press leads to goes deep, and stacks are small.
fn heap<F>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

async fn serve(
    visit: &Visit,
    token: Result<Token, BadToken>,
    picked: Option<String>,
) -> Result<(), FaceError> {
    let Ok(token) = token else { return unknown(visit).await };
    match token {
        Token::Confirm(plan) => heap(|| confirm(visit, &plan)).await,
        Token::CancelPlan(plan) => heap(|| cancel_plan(visit, &plan)).await,
        Token::Adopt(plan) => heap(|| settle_drift(visit, &plan, Choice::Adopt)).await,
        Token::Ignore(plan) => heap(|| settle_drift(visit, &plan, Choice::Ignore)).await,
        Token::CancelOp(operation) => heap(|| cancel_op(visit, &operation)).await,
        Token::Keep(operation) => heap(|| decide(visit, &operation, true)).await,
        Token::PutBack(operation) => heap(|| decide(visit, &operation, false)).await,
        Token::Clean(operation) => heap(|| clean(visit, &operation)).await,
        Token::ShowOp(operation) => heap(|| show::open(visit, View::Op { operation })).await,
        Token::Ack(id) => heap(|| crate::alert::press_ack(visit, &id)).await,
        Token::Mute(id) => {
            heap(|| crate::alert::press_silence(visit, &id, picked.as_deref())).await
        }
        Token::Why(id) => heap(|| crate::alert::why(visit, &id)).await,
        Token::Chart(id) => heap(|| crate::alert::chart(visit, &id)).await,
        Token::Remedy(id) => heap(|| crate::alert::remedy(visit, &id, picked.as_deref())).await,
        Token::Note(id) => heap(|| crate::incident::open_note(visit, &id)).await,
        Token::PostMortem(id) => heap(|| crate::incident::file(visit, &id)).await,
        Token::BoardPick(_) => heap(|| crate::board::pick(visit, picked.as_deref())).await,
        Token::BoardGuests(id) => heap(|| crate::board::guests(visit, &id)).await,
        Token::BoardAlerts(_) => heap(|| crate::alert::open_list(visit, false)).await,
        Token::First(id) => heap(|| turn(visit, &id, |_| 0)).await,
        Token::Back(id) => heap(|| turn(visit, &id, |page| page.saturating_sub(1))).await,
        Token::Next(id) => heap(|| turn(visit, &id, |page| page.saturating_add(1))).await,
        // Every list clamps a page that does not exist to its last one. Half the range, so that offsets hold.
        Token::Last(id) => heap(|| turn(visit, &id, |_| u64::from(u32::MAX))).await,
        Token::Refresh(id) => heap(|| turn(visit, &id, |page| page)).await,
        Token::Edit(id) => heap(|| form::edit_again(visit, &id)).await,
        Token::Pick(id) => match picked {
            Some(value) => heap(|| pick(visit, &id, &value)).await,
            None => unknown(visit).await,
        },
        Token::TypedName(_) | Token::Form(_) => unknown(visit).await,
    }
}

pub(crate) async fn unknown(visit: &Visit) -> Result<(), FaceError> {
    tracing::warn!("a button that is not ours was pressed");
    let note = card::note(
        Tone::Bad,
        "✗ This button does not work",
        "It is not one of gantry's, or it is from an older version. Nothing was done. Run the command again",
    );
    visit.say(&note).await
}

async fn turn(
    visit: &Visit,
    id: &ScreenId,
    page: impl FnOnce(u64) -> u64,
) -> Result<(), FaceError> {
    let mut view = screen::load_in_time(visit, id).await?;
    if let Some(at) = view.page_mut() {
        *at = page(*at);
    }
    show::redraw(visit, view, id).await
}

/// What a menu's choice leads to.
async fn pick(visit: &Visit, id: &ScreenId, value: &str) -> Result<(), FaceError> {
    let mut view = screen::load_in_time(visit, id).await?;
    if let Some(time) = view.time_mut() {
        return match screen::GraphTime::ALL.into_iter().find(|t| t.as_str() == value) {
            Some(picked) => {
                *time = picked;
                show::redraw(visit, view, id).await
            }
            None => unknown(visit).await,
        };
    }
    match view {
        View::Guests { filter, .. } => match address(value) {
            Some(guest) => show::open(visit, View::Guest { guest, pod: filter.pods }).await,
            None => unknown(visit).await,
        },
        View::Nodes { .. } => {
            let parts = value.split_once('/');
            match parts.and_then(|(c, n)| Some((c.parse().ok()?, n.parse().ok()?))) {
                Some((cluster, node)) => show::open(visit, View::Node { cluster, node }).await,
                None => unknown(visit).await,
            }
        }
        View::MoveTo { guest } => {
            Box::pin(crate::migrate::to_node(visit, &guest.to_string(), value, true)).await
        }
        View::Snapshots { guest } => Box::pin(crate::snapshot::picked(visit, &guest, value)).await,
        View::Guest { guest, .. } => match value.parse::<Verb>() {
            Ok(verb) if verb.writes() => act::on_picked(visit, verb, &guest, None).await,
            _ => unknown(visit).await,
        },
        View::Choice { verb, timeout_s, .. } => match address(value) {
            Some(guest) if verb.writes() => act::on_picked(visit, verb, &guest, timeout_s).await,
            Some(guest) if verb == Verb::GuestSnapshotList => {
                show::open(visit, View::Snapshots { guest }).await
            }
            Some(guest) => show::open(visit, View::Guest { guest, pod: verb.is_pod() }).await,
            None => unknown(visit).await,
        },
        View::Tasks { cluster, page, shown, .. } => {
            let place = value.parse::<u64>().ok().and_then(|n| n.checked_sub(page * show::PAGE));
            let upid = place.and_then(|n| usize::try_from(n).ok()).and_then(|n| shown.get(n));
            match upid.cloned() {
                Some(upid) => show::open(visit, View::Task { cluster, upid }).await,
                None => unknown(visit).await,
            }
        }
        View::Task { cluster, upid } if value == Verb::TaskCancel.as_str() => {
            let who = format!("{} {}", upid.kind(), upid.id());
            let verb = Verb::TaskCancel;
            if let Ruling::Denied { because } =
                visit.face.engine().may_task(&visit.actor, verb, &cluster, &upid)
            {
                return visit.refuse(verb, &who, &because).await;
            }
            act::carry(visit, verb, &who, None, Ask::TaskCancel { cluster, upid }, true).await
        }
        View::Images { cluster, .. } => {
            let parts = value.split_once('/');
            match parts.and_then(|(n, v)| Some((n.parse().ok()?, v.parse().ok()?))) {
                Some((node, image)) => {
                    let node = Some(node);
                    show::open(
                        visit,
                        View::Image { cluster, image, node, users: false, sum: false },
                    )
                    .await
                }
                None => unknown(visit).await,
            }
        }
        View::Help { .. } => {
            Box::pin(show::redraw(visit, View::Help { noun: Some(value.to_owned()) }, id)).await
        }
        View::Alerts { .. } => Box::pin(crate::alert::open_one(visit, Some(value))).await,
        View::Mutes { .. } => Box::pin(crate::maintenance::end_one(visit, value)).await,
        View::Ops { .. } => match value.parse() {
            Ok(operation) => show::open(visit, View::Op { operation }).await,
            Err(_) => unknown(visit).await,
        },
        _ => unknown(visit).await,
    }
}

/// `lab/201`, as our own menus say it.
pub(crate) fn address(value: &str) -> Option<GuestRef> {
    let (cluster, vmid) = value.split_once('/')?;
    Some(GuestRef { cluster: cluster.parse().ok()?, vmid: vmid.parse().ok()? })
}

/// A plan's buttons work where the plan was shown and nowhere else.
pub(crate) async fn in_its_place(visit: &Visit, plan: &PlanId) -> Result<(), FaceError> {
    let stored = visit
        .face
        .engine()
        .store()
        .find_plan(plan)
        .await
        .map_err(store_error("Could not look up the plan"))?;
    let Some(stored) = stored else {
        return Err(said(
            "That plan is not there any more",
            "It was dropped long ago, or it belongs to another gantry. Nothing was done",
            "Run the command again.",
            &visit.reference(),
        ));
    };
    let asker = &stored.plan.asker;
    if asker.guild != visit.actor.guild || asker.channel != visit.actor.channel {
        tracing::warn!(%plan, "a plan's button was pressed outside its channel");
        let because = "this plan was made in another channel, and its buttons work only there";
        visit
            .face
            .engine()
            .denied(&visit.actor, stored.plan.verb, &stored.plan.target, because)
            .await?;
        return Err(said(
            "Not from here",
            "This plan was made in another channel; its buttons work only there. Nothing was done",
            "Run the command here, if you may.",
            &visit.reference(),
        ));
    }
    remember_message(visit, &stored.card).await;
    Ok(())
}

/// A crash between showing a plan and noting where leaves a card without its message; the press tells which it is.
async fn remember_message(visit: &Visit, card: &CardId) {
    let store = visit.face.engine().store();
    let Some(message) = visit.message else { return };
    let lost = store.find_card(card).await.ok().flatten().is_some_and(|c| c.message.is_none());
    if lost && let Err(error) = store.card_posted(card, visit.actor.channel, message).await {
        tracing::warn!(%error, %card, "could not note which message the card is");
    }
}

/// What has to be known before a press on Confirm can be acknowledged.
async fn before_confirm(visit: &Visit, plan: &PlanId) -> Result<Option<Peek>, FaceError> {
    if visit.first_sight(true).await? == Go::Stop {
        return Ok(None);
    }
    in_its_place(visit, plan).await?;
    Ok(Some(visit.face.engine().peek(&visit.actor, plan).await?))
}

/// Confirm: opens the form where a name has to be typed, else carries out. The form can only be the very first
/// answer, so the look into the database comes before the acknowledgement, and is cut short in time.
async fn confirm(visit: &Visit, plan: &PlanId) -> Result<(), FaceError> {
    let mut look = std::pin::pin!(before_confirm(visit, plan));
    let (peek, late) = match tokio::time::timeout(DECIDE_WITHIN, &mut look).await {
        Ok(peek) => (peek?, false),
        Err(_) => {
            tracing::warn!(%plan, "the database is slow; acknowledged first");
            visit.desk.defer_update().await?;
            (look.await?, true)
        }
    };
    match peek {
        None => Ok(()),
        Some(Peek::NeedsName { .. }) if late => {
            let note = card::note(
                Tone::Warning,
                "⚠ Press again",
                "gantry's database was too slow to open the form in time. Nothing was done",
            );
            visit.say(&note).await
        }
        Some(Peek::NeedsName { name, doing, .. }) => {
            visit.desk.modal(form::name_form(plan, doing, &name)).await?;
            Ok(())
        }
        Some(Peek::Ready) => {
            if !late {
                visit.desk.defer_update().await?;
            }
            carry_out(visit, plan, None).await
        }
        Some(Peek::Denied { because }) => say_denied(visit, plan, &because).await,
        Some(Peek::Over { why }) => visit.say(&over(&why)).await,
    }
}

fn over(why: &str) -> card::Card {
    card::note(Tone::Quiet, "○ Too late", why)
}

async fn say_denied(visit: &Visit, plan: &PlanId, because: &str) -> Result<(), FaceError> {
    let stored = visit.face.engine().store().find_plan(plan).await.ok().flatten();
    let card = match stored {
        Some(s) => card::refusal(s.plan.verb, &s.plan.target, because),
        None => card::note(Tone::Bad, "✗ Not allowed", because),
    };
    visit.say(&card).await
}

/// Confirms for whoever pressed. What follows in the message is the courier's; the presser is told only what the
/// message does not show.
pub(crate) async fn carry_out(
    visit: &Visit,
    plan: &PlanId,
    typed: Option<&str>,
) -> Result<(), FaceError> {
    let pressed = visit.face.engine().confirm(&visit.actor, plan, typed).await?;
    tell_pressed(visit, plan, pressed).await
}

/// Answers a drift for whoever pressed.
async fn settle_drift(visit: &Visit, plan: &PlanId, choice: Choice) -> Result<(), FaceError> {
    if visit.begin_press(true).await? == Go::Stop {
        return Ok(());
    }
    in_its_place(visit, plan).await?;
    let pressed = visit.face.engine().answer_drift(&visit.actor, plan, choice).await?;
    tell_pressed(visit, plan, pressed).await
}

async fn tell_pressed(visit: &Visit, plan: &PlanId, pressed: Pressed) -> Result<(), FaceError> {
    visit.face.wake_courier();
    match pressed {
        Pressed::Started { operation, .. } => {
            tracing::info!(%plan, %operation, "confirmed");
            Ok(())
        }
        Pressed::Already { operation } => {
            let card = card::Card::new(Tone::Quiet, "○ Already started").say(line![
                "Somebody was quicker. It runs once, as ",
                code(operation.as_str()),
                "."
            ]);
            visit.say(&card).await
        }
        Pressed::Denied { because } => say_denied(visit, plan, &because).await,
        Pressed::WrongName { expected } => {
            let card = card::Card::new(Tone::Bad, "✗ The name does not match")
                .say(line!["Its name is ", code(&expected), ", letter by letter."])
                .say("Nothing was done. The plan still stands: press again.");
            visit.say(&card).await
        }
        Pressed::NeedsName { name } => {
            let card = card::Card::new(Tone::Warning, "⚠ Not done: this takes the name")
                .say(line!["A rule asks for the name ", code(&name), ". Nothing was done yet."])
                .say("Press the first button of the message and type it.");
            visit.say(&card).await
        }
        Pressed::Changed { what, .. } => visit.say(&card::changed(&what)).await,
        Pressed::Over { why } => visit.say(&over(&why)).await,
    }
}

async fn cancel_plan(visit: &Visit, plan: &PlanId) -> Result<(), FaceError> {
    if visit.begin_press(true).await? == Go::Stop {
        return Ok(());
    }
    in_its_place(visit, plan).await?;
    let abandoned = visit.face.engine().abandon(&visit.actor, plan).await?;
    visit.face.wake_courier();
    match abandoned {
        Abandoned::Dropped => Ok(()),
        Abandoned::Denied { because } => say_denied(visit, plan, &because).await,
        Abandoned::Over { why } => visit.say(&over(&why)).await,
    }
}

async fn cancel_op(visit: &Visit, operation: &OperationId) -> Result<(), FaceError> {
    if visit.begin_press(true).await? == Go::Stop {
        return Ok(());
    }
    let card = visit
        .face
        .engine()
        .store()
        .find_card_of_operation(operation)
        .await
        .map_err(store_error("Could not look up the operation"))?;
    // Shown in another server, or not shown at all: not this one's to stop.
    if card.is_none_or(|c| c.guild != visit.actor.guild) {
        let because = "this operation belongs to another server";
        visit
            .face
            .engine()
            .denied(&visit.actor, Verb::OpCancel, operation.as_str(), because)
            .await?;
        return visit.say(&card::refusal(Verb::OpCancel, operation.as_str(), because)).await;
    }
    let cancelled = visit.face.engine().cancel(&visit.actor, operation).await?;
    visit.face.wake_courier();
    match cancelled {
        Cancelled::Asked => visit.say(&card::still(operation.as_str())).await,
        Cancelled::Denied { because } => {
            visit.say(&card::refusal(Verb::OpCancel, operation.as_str(), &because)).await
        }
        Cancelled::Over { why } => visit.say(&over(&why)).await,
    }
}

/// Keep, or put back now. What follows in the message is the courier's.
async fn decide(visit: &Visit, operation: &OperationId, keep: bool) -> Result<(), FaceError> {
    if visit.begin_press(true).await? == Go::Stop {
        return Ok(());
    }
    let kept = visit.face.engine().decide(&visit.actor, operation, keep).await?;
    visit.face.wake_courier();
    match kept {
        Kept::Decided => Ok(()),
        Kept::Denied { because } => {
            let found = visit.face.engine().operation(operation).await?;
            let card = match found {
                Some(op) => card::refusal(op.verb, &op.target, &because),
                None => card::note(Tone::Bad, "✗ Not allowed", &because),
            };
            visit.say(&card).await
        }
        Kept::Over { why } => visit.say(&over(&why)).await,
    }
}

/// Asks to delete what the creation of a pod left behind; policy and a fresh look decide, as for everything.
async fn clean(visit: &Visit, operation: &OperationId) -> Result<(), FaceError> {
    let verb = Verb::PodClean;
    if let Ruling::Denied { because } = visit.may(verb, Target::Any) {
        return visit.refuse(verb, operation.as_str(), &because).await;
    }
    if visit.begin(false, true).await? == Go::Stop {
        return Ok(());
    }
    let card = visit
        .face
        .engine()
        .store()
        .find_card_of_operation(operation)
        .await
        .map_err(store_error("Could not look up the operation"))?;
    if card.is_none_or(|c| c.guild != visit.actor.guild) {
        let because = "this operation belongs to another server";
        visit.face.engine().denied(&visit.actor, verb, operation.as_str(), because).await?;
        return visit.say(&card::refusal(verb, operation.as_str(), because)).await;
    }
    let ask = Ask::Clean { operation: operation.clone() };
    act::carried(visit, verb, operation.as_str(), None, ask, true).await
}

/// Whether somebody may create pods at all; asked when the form opens.
pub(crate) fn may_create(visit: &Visit) -> Ruling {
    visit.may(Verb::PodCreate, Target::Any)
}

/// A title with somebody else's words at its end.
pub(crate) fn titled(words: &'static str, name: &str) -> card::Line {
    line![words, text(name)]
}
