//! Sets: a list, one set, its revisions.

use gantry_core::action::Verb;
use gantry_core::id::ClusterId;
use gantry_core::set::SetRef;

use super::PAGE;
use crate::card::{self, Card, Place, Tone};
use crate::face::FaceError;
use crate::token::ScreenId;
use crate::visit::Visit;

/// A page of the sets the asker may see.
pub(super) async fn sets(
    visit: &Visit,
    cluster: Option<&ClusterId>,
    page: &mut u64,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let all: Vec<SetRef> = engine
        .sets()
        .iter()
        .map(|s| s.address())
        .filter(|s| cluster.is_none_or(|c| s.cluster == *c))
        .filter(|s| engine.may_set(&visit.actor, Verb::SetList, s).is_allowed())
        .collect();
    let place = Place::clamp(*page, PAGE, all.len() as u64);
    *page = place.page;
    let mut rows = Vec::new();
    for set in
        all.iter().skip(usize::try_from(place.offset()).unwrap_or(usize::MAX)).take(PAGE as usize)
    {
        rows.extend(engine.set_now(set).await?);
    }
    if engine.are_sets_read() {
        return Ok(card::set_list(&rows, place, id));
    }
    let why = "gantry has just started and has not read the sets of every cluster";
    Ok(match rows.as_slice() {
        [] => card::note(Tone::Warning, "… Not read yet", &format!("{why}. Ask again in a moment")),
        rows => {
            card::set_list(rows, place, id).say(card::text(format!("⚠ {why}: there may be more.")))
        }
    })
}

/// One set, or its revisions.
pub(super) async fn set(
    visit: &Visit,
    set: &SetRef,
    verb: Verb,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let now = if verb == Verb::SetHistory {
        engine.set_history(set).await?
    } else {
        engine.set_now(set).await?
    };
    Ok(match now {
        None => card::note(
            Tone::Quiet,
            "○ No such set",
            "It is gone. `/set list` shows those there are",
        ),
        Some(now) if verb == Verb::SetHistory => card::set_history(&now, id),
        Some(now) => card::set_show(&now, id),
    })
}
