//! What changes something: asked of the engine, shown to the whole channel, kept up to date by the courier.
//!
//! Whether the answer is public is decided from memory before acknowledging: a plan and its progress are for the
//! channel, refusals and questions for the asker alone. Called by commands, menus and forms.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::CardId;
use gantry_core::policy::{Ruling, Target};
use gantry_core::world::{Found, Guest, find_guest};
use gantry_engine::{Answer, Ask};

use crate::card::{self, Card, Tone, text};
use crate::face::{FaceError, store_error};
use crate::line;
use crate::screen::{self, View};
use crate::show;
use crate::visit::{Go, Visit};
use crate::words;

/// What a name leads to, among the guests the asker may see.
pub enum Named {
    /// One guest.
    One(Box<Guest>),
    /// Several.
    Several(Vec<Guest>),
    /// None; near misses.
    None(Vec<String>),
}

/// Finds a guest by what somebody typed. Memory only.
pub fn find(visit: &Visit, verb: Verb, who: &str) -> Named {
    let views = visit.face.engine().views_for(&visit.actor, verb);
    match find_guest(&views, who) {
        Found::One(guest) => Named::One(Box::new(guest.clone())),
        Found::Several(guests) => Named::Several(guests.into_iter().cloned().collect()),
        Found::Nothing { similar } => Named::None(similar),
    }
}

/// What is said where no guest answers to a name. A cluster that was not read since the start may have one.
pub fn unknown(visit: &Visit, verb: Verb, asked: &str, similar: &[String]) -> Card {
    let all_read = visit.face.engine().views().iter().all(|v| v.observed_ms > 0);
    if similar.is_empty() && !all_read {
        return card::not_read_yet(asked);
    }
    card::unknown_guest(verb, asked, similar)
}

/// What policy says from memory of a command on a guest.
pub enum Door {
    /// No; the asker was told.
    Shut,
    /// Yes, on this guest; where memory knows not just one, the answer is for the asker alone.
    Open(Option<Box<Guest>>),
}

/// Asks policy about a command on a guest that somebody named. Memory only.
pub async fn door(visit: &Visit, verb: Verb, who: &str) -> Result<Door, FaceError> {
    if let Ruling::Denied { because } = visit.may(verb, Target::Any) {
        visit.refuse(verb, who, &because).await?;
        return Ok(Door::Shut);
    }
    let Named::One(guest) = find(visit, verb, who) else { return Ok(Door::Open(None)) };
    if let Ruling::Denied { because } = visit.may(verb, Target::Guest(&guest)) {
        visit.refuse(verb, &gantry_core::plan::describe(&guest), &because).await?;
        return Ok(Door::Shut);
    }
    Ok(Door::Open(Some(guest)))
}

/// A command that acts on a guest.
pub async fn on_guest(
    visit: &Visit,
    verb: Verb,
    who: &str,
    timeout_s: Option<u32>,
) -> Result<(), FaceError> {
    // These take more than a guest: it is asked for, or there is a sensible answer.
    match verb {
        Verb::GuestMigrate => return Box::pin(crate::migrate::ask_where(visit, who)).await,
        Verb::GuestSnapshotCreate => return Box::pin(crate::snapshot::take(visit, who)).await,
        Verb::GuestSnapshotDelete | Verb::GuestSnapshotRollback => {
            return Box::pin(crate::snapshot::open(visit, verb, who)).await;
        }
        _ => {}
    }
    let Door::Open(guest) = door(visit, verb, who).await? else { return Ok(()) };
    let ask = match verb {
        Verb::GuestUnlock => Ask::Unlock { who: who.to_owned() },
        _ => Ask::Guest { verb, who: who.to_owned(), timeout_s },
    };
    // Known by now: what is told names it, whatever was typed.
    let shown = guest.as_ref().map_or(who, |g| g.name.as_str());
    carry(visit, verb, shown, timeout_s, ask, guest.is_some()).await
}

/// A command about something that needs no looking for: policy from memory, then the engine.
pub async fn on_target(
    visit: &Visit,
    verb: Verb,
    target: Target<'_>,
    shown: &str,
    ask: Ask,
) -> Result<(), FaceError> {
    match visit.may(verb, target) {
        Ruling::Denied { because } => visit.refuse(verb, shown, &because).await,
        Ruling::Allowed { .. } => carry(visit, verb, shown, None, ask, true).await,
    }
}

/// A command that takes the lock off a guest.
pub async fn unlock(visit: &Visit, who: &str) -> Result<(), FaceError> {
    on_guest(visit, Verb::GuestUnlock, who, None).await
}

/// A guest that was picked from a menu: its address, never its name.
pub async fn on_picked(
    visit: &Visit,
    verb: Verb,
    guest: &GuestRef,
    timeout_s: Option<u32>,
) -> Result<(), FaceError> {
    on_guest(visit, verb, &guest.to_string(), timeout_s).await
}

/// Asks the engine and shows its answer.
pub async fn carry(
    visit: &Visit,
    verb: Verb,
    who: &str,
    timeout_s: Option<u32>,
    ask: Ask,
    public: bool,
) -> Result<(), FaceError> {
    if visit.begin(!public, true).await? == Go::Stop {
        return Ok(());
    }
    carried(visit, verb, who, timeout_s, ask, public).await
}

/// The same, once acknowledged.
pub async fn carried(
    visit: &Visit,
    verb: Verb,
    who: &str,
    timeout_s: Option<u32>,
    ask: Ask,
    public: bool,
) -> Result<(), FaceError> {
    let engine = visit.face.engine();
    match engine.propose(&visit.actor, ask).await? {
        Answer::Proposed { plan, card } => {
            tracing::info!(plan = %plan.id, verb = %plan.verb, "proposed");
            post(visit, &card, &card::proposal(&plan), public, None).await
        }
        Answer::Started { operation, card, .. } => {
            tracing::info!(operation = %operation.id, verb = %operation.verb, "started without confirmation");
            let shown = card::progress(&operation, engine.now_ms());
            post(visit, &card, &shown, public, Some(1)).await
        }
        Answer::Nothing { why } => {
            visit.say(&card::note(Tone::Quiet, "○ Nothing to do", &why)).await
        }
        Answer::Refused { why } => {
            let title = line!["✗ Cannot ", words::verb(verb).bare, " ", text(who)];
            visit.say(&card::note(Tone::Bad, title, &why)).await
        }
        Answer::Denied { because } => visit.say(&card::refusal(verb, who, &because)).await,
        Answer::Several { choices } => {
            let id = visit.screen_id("choice");
            let view = View::Choice {
                verb,
                asked: who.to_owned(),
                timeout_s,
                guests: choices.iter().map(Guest::address).collect(),
                page: 0,
            };
            screen::save(visit, &id, &view).await?;
            visit.say(&card::choice(verb, who, &choices, 0, &id)).await
        }
        Answer::NotFound { text, similar } => {
            visit.say(&unknown(visit, verb, &text, &similar)).await
        }
    }
}

/// Puts a card into the channel and tells the store which message it is; from then on the courier keeps it.
async fn post(
    visit: &Visit,
    id: &CardId,
    shown: &Card,
    public: bool,
    version: Option<i64>,
) -> Result<(), FaceError> {
    let store = visit.face.engine().store();
    let owner = &visit.face.settings().owner;
    // While the answer is on its way, however long that takes, the courier does not post the same card.
    let taken = visit.face.take(id);
    if !public {
        // Memory did not know the target, so the acknowledgement is for the asker only. The channel gets the
        // card from the courier.
        store.card_lost(id).await.map_err(store_error("Could not post the plan"))?;
        visit.face.wake_courier();
        let note =
            card::note(Tone::Plain, "Asked", "The plan is posted in this channel in a moment");
        return visit.say(&note).await;
    }
    let answer = visit.desk.edit(shown);
    let answered = match &taken {
        Some(taken) => taken.keep(visit.face.settings().post_grace, answer).await,
        None => None,
    };
    let Some(answered) = answered else {
        tracing::warn!(card = %id, "the courier was quicker than the answer; it keeps the card");
        return Ok(());
    };
    let posted = match answered {
        Ok(posted) => store.card_answered(id, owner, posted.channel, posted.message).await,
        Err(error) => {
            // What was proposed or started stands; the courier posts it by itself.
            tracing::warn!(error = crate::desk::words_of(&error), card = %id, "the answer could not be shown; the courier will post it");
            store.card_lost(id).await
        }
    };
    posted.map_err(store_error("Could not note which message this is"))?;
    if let Some(version) = version {
        let due_ms = visit.now_ms().saturating_add(
            i64::try_from(visit.face.settings().edit_every.as_millis()).unwrap_or(1000),
        );
        store
            .card_shown(id, owner, version, due_ms)
            .await
            .map_err(store_error("Could not note what this message shows"))?;
    }
    visit.face.wake_courier();
    Ok(())
}

/// A command that shows one guest or pod.
pub async fn show_guest(visit: &Visit, who: &str, pod: bool) -> Result<(), FaceError> {
    let verb = if pod { Verb::PodShow } else { Verb::GuestShow };
    if let Ruling::Denied { because } = visit.may(verb, Target::Any) {
        return visit.refuse(verb, who, &because).await;
    }
    match find(visit, verb, who) {
        Named::One(guest) if pod && !guest.is_pod() => {
            let why = "It is not a pod: gantry does not own it. `/guest show` shows it";
            visit.say(&card::note(Tone::Bad, line!["✗ Not a pod: ", text(&guest.name)], why)).await
        }
        Named::One(guest) => show::open(visit, View::Guest { guest: guest.address(), pod }).await,
        Named::Several(guests) => {
            let view = View::Choice {
                verb,
                asked: who.to_owned(),
                timeout_s: None,
                guests: guests.iter().map(Guest::address).collect(),
                page: 0,
            };
            show::open(visit, view).await
        }
        Named::None(similar) => visit.say(&unknown(visit, verb, who, &similar)).await,
    }
}
