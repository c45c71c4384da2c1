//! Operations: a list, and one with its steps and its trail.

use gantry_core::audit::AuditRow;
use gantry_core::operation::{OpState, Operation};

use super::audit::trail_line;
use super::progress::{begun, step_line};
use super::{Button, Card, Choice, Line, Look, Place, Select, Tone, ago, span, text};
use crate::line;
use crate::token::{ScreenId, Token};
use crate::words;

/// A page of operations.
#[derive(Debug, Clone)]
pub struct OpList<'a> {
    /// Those on this page that the asker may see.
    pub rows: &'a [Operation],
    /// Where the page is; counts those the asker may not see, too.
    pub place: Place,
    /// The filters in force.
    pub filters: &'a [String],
    /// Rows of this page the asker may not see.
    pub hidden: usize,
    /// Its screen.
    pub screen: &'a ScreenId,
}

fn mark(state: OpState) -> (&'static str, Tone) {
    match state {
        OpState::Queued => ("○", Tone::Working),
        OpState::Running => ("●", Tone::Working),
        OpState::Succeeded => ("✓", Tone::Good),
        OpState::Warned => ("⚠", Tone::Warning),
        OpState::Failed => ("✗", Tone::Bad),
        OpState::Cancelled => ("–", Tone::Quiet),
        OpState::Unknown => ("?", Tone::Unknown),
    }
}

fn subject(op: &Operation) -> String {
    format!("{} {}", words::verb(op.verb).todo, op.name)
}

/// The list, newest first.
pub fn op_list(list: &OpList<'_>) -> Card {
    let mut card = Card::new(Tone::Plain, "Operations");
    if !list.filters.is_empty() {
        card = card.say(line!["Only: ", text(list.filters.join(", "))]);
    }
    card = card.say(if list.place.total == 0 {
        Line::from("None.")
    } else {
        line![text(list.place.words())]
    });
    card = card.lines(list.rows.iter().map(|op| {
        line![
            mark(op.state).0,
            " ",
            super::bold(subject(op)),
            text(format!(" · {} · {} · ", op.state.as_str(), op.by_name)),
            ago(op.created_ms),
        ]
    }));
    if list.hidden > 0 {
        card = card.say(line![text(format!("{} on this page you may not see.", list.hidden))]);
    }
    card.select(Select {
        token: Token::Pick(list.screen.clone()),
        hint: "Show one …".into(),
        choices: list
            .rows
            .iter()
            .map(|op| Choice {
                value: op.id.to_string(),
                label: subject(op),
                hint: format!("{} · {}", op.state.as_str(), op.by_name),
            })
            .collect(),
    })
    .buttons(list.place.buttons(list.screen))
}

/// [`begun`] at the beginning of a line.
fn begun_title(op: &Operation) -> String {
    let begun = begun(op);
    let (first, rest) = begun.split_at(1);
    first.to_uppercase() + rest
}

/// One operation: steps, result, and who did what when.
pub fn op_show(op: &Operation, trail: &[AuditRow], trail_total: u64, now_ms: i64) -> Card {
    let (mark, tone) = mark(op.state);
    let mut card = Card::new(tone, line![mark, " ", text(subject(op))])
        .say(line![super::bold(op.state.as_str()), " · ", text(&op.target)])
        .say(line![text(begun_title(op)), " ", ago(op.created_ms)]);
    card = card.say(match (op.started_ms, op.ended_ms) {
        (Some(from), Some(to)) => line![text(format!("Took {}.", span(to - from)))],
        (Some(from), None) => line![text(format!("Running for {}.", span(now_ms - from)))],
        _ => Line::from("Waiting for a worker."),
    });
    if let Some(outcome) = &op.outcome {
        card = card.say(super::told(&outcome.summary));
        if let Some(reason) = &outcome.reason {
            card = card.say(line!["Proxmox says: ", super::code(reason)]);
        }
        if !outcome.now.is_empty() {
            card = card.say(match outcome.now_ms {
                Some(ms) => line!["Now: ", super::told(&outcome.now), " Seen ", ago(ms), "."],
                None => line!["Last known: ", super::told(&outcome.now)],
            });
        }
        if let Some(advice) = &outcome.advice {
            card = card.say(line!["→ ", super::told(advice)]);
        }
        if op.state != OpState::Succeeded {
            card = card.log(&outcome.log);
        }
    } else {
        card = card.log(&op.progress.log);
    }
    let mut steps: Vec<Line> = Vec::new();
    for step in &op.steps {
        steps.push(step_line(step, op.state.is_terminal()));
        if let Some(upid) = &step.upid {
            steps.push(line!["  ", super::code(upid.as_str())]);
        }
    }
    card = card.field("Steps", steps);
    let mut lines: Vec<Line> = trail.iter().map(trail_line).collect();
    let left = trail_total.saturating_sub(trail.len() as u64);
    if left > 0 {
        lines.push(line![text(format!("… {left} older"))]);
    }
    card = card.field("Who did what", lines);
    if op.can_cancel() {
        card =
            card.buttons(vec![Button::new(Token::CancelOp(op.id.clone()), "Cancel", Look::Plain)]);
    }
    card.foot(format!("ref {} · plan {}", op.id, op.plan))
}
