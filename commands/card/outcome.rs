//! How an operation ended, and what is true now.

use gantry_core::operation::{OpState, Operation, Outcome};

use super::progress::{begun, on_its_own, step_line};
use super::proposal::sentence;
use super::{Button, Card, Line, Look, Tone, ago, code, span, text, told};
use crate::line;
use crate::token::Token;
use crate::words;

/// The result, from the task's exit status and a fresh look.
pub fn outcome(op: &Operation) -> Card {
    let words = words::verb(op.verb);
    let name = || text(&op.name);
    let (tone, title) = match op.state {
        OpState::Succeeded => (Tone::Good, line!["✓ ", name(), " ", words.done]),
        OpState::Warned => (Tone::Warning, line!["⚠ ", name(), " ", words.done, ", with warnings"]),
        OpState::Failed => (Tone::Bad, line!["✗ Could not ", words.bare, " ", name()]),
        OpState::Cancelled => (Tone::Quiet, line!["○ Cancelled: ", words.bare, " ", name()]),
        OpState::Unknown => {
            (Tone::Unknown, line!["? Not known: was ", name(), " ", words.done, "?"])
        }
        OpState::Queued | OpState::Running => (Tone::Working, line![words.doing, " ", name()]),
    };
    let mut card = Card::new(tone, title).lines(on_its_own(op));
    if let Some(outcome) = &op.outcome {
        card = said(card, op, outcome);
    }
    // What is true now names the target as it is; the target as it was asked for would only repeat or contradict it.
    if op.outcome.as_ref().is_none_or(|o| o.now_ms.is_none()) {
        card = card.say(text(&op.target));
    }
    if op.steps.len() > 1 && op.state != OpState::Succeeded {
        card = card.field("Steps", op.steps.iter().map(|s| step_line(s, true)).collect());
    }
    let took = match (op.started_ms, op.ended_ms) {
        (Some(from), Some(to)) => format!(" · took {}", span(to - from)),
        _ => String::new(),
    };
    let mut buttons = vec![Button::new(Token::ShowOp(op.id.clone()), "Details", Look::Plain)];
    if let Some(vmid) = op.left_behind() {
        buttons.push(Button::new(
            Token::Clean(op.id.clone()),
            format!("Delete what is left (CT {vmid})"),
            Look::Danger,
        ));
    }
    card.buttons(buttons).foot(format!("ref {}{took} · {}", op.id, begun(op)))
}

fn said(mut card: Card, op: &Operation, outcome: &Outcome) -> Card {
    card = card.say(told(sentence(&outcome.summary)));
    // A set's result is where it stands, and that is told below with its age.
    let told_below = |reason: &&str| {
        outcome.now.trim().trim_end_matches('.') != reason.trim().trim_end_matches('.')
    };
    if let Some(reason) = outcome.reason.as_deref().filter(told_below) {
        card = card.say(line!["Result: ", code(reason)]);
    }
    if op.state != OpState::Succeeded {
        card = card.log(&outcome.log);
    }
    let now = match (outcome.now.trim(), outcome.now_ms) {
        ("", _) => Line::default(),
        (now, Some(ms)) => line!["Now: ", told(sentence(now)), " Seen ", ago(ms), "."],
        (now, None) => {
            line!["Last known: ", told(sentence(now)), " It could not be looked at again."]
        }
    };
    if !now.is_empty() {
        card = card.say(now);
    }
    if let Some(advice) = &outcome.advice {
        card = card.say(line!["→ ", told(sentence(advice))]);
    }
    card
}
