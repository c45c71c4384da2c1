//! A guest's snapshots, and the question where it shall go.

use gantry_core::plan::{LiveGuest, describe};
use gantry_core::snapshot::Snapshots;
use gantry_core::world::Guest;

use super::{
    Button, Card, Choice, Clock, Line, Look, Piece, Select, Tone, as_of, bold, code, text,
};
use crate::line;
use crate::token::{ScreenId, Token};

/// Snapshots shown; a guest with more has tools that make them.
const SHOWN: usize = 25;

/// The list, newest first, with what may be done to one of them.
pub fn snapshot_list(
    live: &LiveGuest,
    snapshots: &Snapshots,
    choices: Vec<Choice>,
    screen: &ScreenId,
) -> Card {
    let g = &live.guest;
    let mut card =
        Card::new(Tone::Plain, line!["Snapshots of ", text(&g.name)]).say(text(describe(g)));
    if let Some(lock) = &g.lock {
        card = card.say(line!["⚠ Locked by Proxmox: ", bold(lock), "."]);
    }
    if snapshots.taken.is_empty() {
        card = card.say("None.");
    }
    for taken in snapshots.taken.iter().rev().take(SHOWN) {
        let mut row = line!["• ", bold(&taken.name)];
        if let Some(at) = taken.at_ms {
            row = row.and([" · ".into(), Piece::Time(at, Clock::Full)]);
        }
        if taken.ram {
            row = row.and([" · with memory".into()]);
        }
        if snapshots.current.as_deref() == Some(taken.name.as_str()) {
            row = row.and([" · goes on from here".into()]);
        }
        if let Some(state) = &taken.unfinished {
            row = row.and([" · ⚠ not whole: ".into(), text(state)]);
        }
        card = card.say(row);
        if !taken.note.is_empty() {
            card = card.say(line!["  ", text(&taken.note)]);
        }
    }
    let more = snapshots.taken.len().saturating_sub(SHOWN);
    if more > 0 {
        card = card.say(line![text(format!("… and {more} older ones"))]);
    }
    card.say("A snapshot is no backup: it lies on the same disks.")
        .say(as_of(live.read_ms))
        .select(Select {
            token: Token::Pick(screen.clone()),
            hint: "Roll back or delete …".into(),
            choices,
        })
        .buttons(vec![Button::new(Token::Refresh(screen.clone()), "Refresh", Look::Plain)])
}

/// Where shall it go?
pub fn move_to(guest: &Guest, choices: Vec<Choice>, screen: &ScreenId) -> Card {
    let card = Card::new(Tone::Question, line!["Move ", text(&guest.name), " to which node?"])
        .say(line!["It is on ", code(guest.node.as_str()), ". Nothing was done yet."]);
    if choices.is_empty() {
        return card.say(Line::from("No other node of its cluster is up."));
    }
    card.select(Select {
        token: Token::Pick(screen.clone()),
        hint: format!("Move {} to …", guest.name),
        choices,
    })
}
