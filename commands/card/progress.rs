//! An operation under way.

use gantry_core::action::{Action, Tier, Verb};
use gantry_core::operation::{OpState, Operation, Step, StepKind, StepState};
use gantry_core::set::{SetAction, SetStep};

use super::{Button, Card, Line, Look, Tone, ago, bar, code, span, text, told};
use crate::line;
use crate::token::Token;
use crate::words;

/// Lines of a task's log shown while it runs.
const LOG_LINES: usize = 6;

/// What is happening now. `now_ms` gives the time taken so far.
pub fn progress(op: &Operation, now_ms: i64) -> Card {
    if let Some(until_ms) = super::network::waits_until(op) {
        return super::network::keep_question(op, until_ms);
    }
    let words = words::verb(op.verb);
    let queued = op.state == OpState::Queued;
    let title = if queued {
        line!["● Waiting: ", words.bare, " ", text(&op.name)]
    } else {
        line!["● ", words.doing, " ", text(&op.name)]
    };
    let mut card = Card::new(Tone::Working, title)
        .lines(on_its_own(op))
        .say(headline(op))
        .say(text(&op.target));
    if op.steps.len() > 1 {
        let current = op.current().filter(|_| !queued).map(|(n, _)| n);
        card = card.lines(op.steps.iter().enumerate().map(|(n, step)| {
            // A step that only watches sends nothing, and is under way all the same.
            let watched = Some(n) == current && step.kind == StepKind::Set(SetStep::Converge);
            if watched { line!["● ", step.kind.doing()] } else { step_line(step, false) }
        }));
    }
    let started = op.started_ms.unwrap_or(op.created_ms);
    card = card.say(if queued {
        line!["Asked for ", ago(op.created_ms), "; its turn has not come yet."]
    } else {
        line!["Running for ", text(span(now_ms - started)), ", started ", ago(started), "."]
    });
    if let Some(remark) = &op.progress.remark {
        card = card.lines(remark_lines(op, remark));
    }
    let tail = op.progress.log.len().saturating_sub(LOG_LINES);
    card = card.log(&op.progress.log[tail..]);
    if let Some(who) = &op.cancel_by {
        card = card.say(line!["Asked to stop by ", text(who), "."]);
    }
    if op.progress.read_ms > 0 {
        card = card.say(super::as_of(op.progress.read_ms));
    }
    if op.broken.is_some() {
        card = card.say("⚠ It went wrong; what was before is being put back.");
    }
    let mut buttons = Vec::new();
    let undoing = op.current().is_some_and(|(_, step)| step.kind.is_undo());
    if op.can_cancel() && !undoing {
        buttons.push(Button::new(Token::CancelOp(op.id.clone()), "Cancel", Look::Plain));
    }
    buttons.push(Button::new(Token::ShowOp(op.id.clone()), "Details", Look::Plain));
    card.buttons(buttons).foot(format!("ref {} · {}", op.id, begun(op)))
}

/// What is remarked: where a set stands and what is waited for is no warning, anything else is.
fn remark_lines(op: &Operation, remark: &str) -> Vec<Line> {
    let watches =
        op.current().is_some_and(|(_, step)| step.kind == StepKind::Set(SetStep::Converge));
    if !watches {
        return vec![line!["⚠ ", told(remark)]];
    }
    let lines = remark.lines().enumerate();
    lines.map(|(n, l)| if n == 0 { line![told(l)] } else { line!["• ", told(l)] }).collect()
}

/// Who began it, and how: what needs no confirmation was not confirmed, and what keeps a set up nobody pressed for.
pub(super) fn begun(op: &Operation) -> String {
    let by = &op.by_name;
    match op.verb.tier() {
        _ if op.verb == Verb::SetMember => format!("by gantry, in the name of {by}"),
        Tier::None => format!("started by {by}"),
        Tier::Button | Tier::TypedName => format!("confirmed by {by}"),
    }
}

/// Why gantry does by itself what nobody asked for at that moment.
pub(super) fn on_its_own(op: &Operation) -> Option<Line> {
    match &op.action {
        Action::Set(SetAction::Member { why, .. }) => Some(line![told(why)]),
        _ => None,
    }
}

/// The bar and which step it is on.
fn headline(op: &Operation) -> Line {
    let total = op.steps.len().max(1);
    let over = op.steps.iter().filter(|s| !is_open(s)).count();
    let within = op.progress.percent.map_or(0.0, |p| f64::from(p.min(100)) / 100.0);
    let share = if over < total { (over as f64 + within) / total as f64 } else { 1.0 };
    let mut line = line![text(bar(share)), text(format!(" {:.0} %", share * 100.0))];
    if let Some((n, step)) = op.current() {
        line =
            line.and([text(format!(" · step {} of {total}: ", n + 1)), step.kind.doing().into()]);
    }
    line
}

fn is_open(step: &Step) -> bool {
    matches!(step.state, StepState::Pending | StepState::Intent | StepState::Submitted)
}

/// One step with its mark; `over` when the operation has ended, so that nothing of it can still be running.
pub(super) fn step_line(step: &Step, over: bool) -> Line {
    let (mark, word): (&'static str, &'static str) = match step.state {
        StepState::Pending if over => ("○ ", " · not begun"),
        StepState::Intent | StepState::Submitted if over => ("? ", " · not known how it ended"),
        StepState::Pending => ("○ ", ""),
        StepState::Intent => ("● ", " · about to be sent"),
        StepState::Submitted => ("● ", " · running"),
        StepState::Done => ("✓ ", ""),
        StepState::Skipped => ("– ", " · not needed"),
        StepState::Failed => ("✗ ", " · failed"),
    };
    let mut line = line![mark, step.kind.doing(), word];
    if step.adopted {
        line = line.and([" · found by looking".into()]);
    }
    if step.attempt > 1 {
        line =
            line.and([text(format!(" · sent {} times, the earlier never arrived", step.attempt))]);
    }
    if let (Some(from), Some(to)) = (step.intent_ms, step.ended_ms) {
        line = line.and([text(format!(" · {}", span(to - from)))]);
    }
    match &step.result {
        Some(result) if result != "OK" => line.and([" · ".into(), code(result)]),
        _ => line,
    }
}

/// Said to whoever presses Cancel.
pub fn still(op_text: &str) -> Card {
    Card::new(Tone::Working, "Asked to stop")
        .say("The step that runs now is stopped where Proxmox can stop it. The message shows what came of it.")
        .foot(format!("ref {op_text}"))
}
