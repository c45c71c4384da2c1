//! A plan before anybody has said yes to it, and a plan that was dropped.

use gantry_core::action::{Action, Tier, Verb};
use gantry_core::plan::{Change, Plan};
use gantry_core::set::{Choice, SetAction};

use super::{Button, Card, Line, Look, Piece, Tone, ago, as_of, bold, text, told};
use crate::line;
use crate::token::Token;
use crate::words;

/// What would happen, with the buttons that decide it.
pub fn proposal(plan: &Plan) -> Card {
    let words = words::verb(plan.verb);
    let hurts = plan.tier == Tier::TypedName
        || matches!(plan.verb, Verb::GuestKill | Verb::PodKill | Verb::TaskCancel);
    let look = if hurts { Look::Danger } else { Look::Main };
    let hint = match plan.tier {
        Tier::TypedName => line!["You will be asked to type ", bold(&plan.name), "."],
        _ => Line::default(),
    };
    let mut card = Card::new(
        if hurts { Tone::Warning } else { Tone::Question },
        line![words.todo, " ", text(&plan.name), "?"],
    )
    .say(text(&plan.target))
    .lines(plan.effects.iter().map(|e| line!["• ", told(e)]))
    .lines(plan.warnings.iter().map(|w| line!["⚠ ", told(w)]));
    if !hint.is_empty() {
        card = card.say(hint);
    }
    card.field("What changes", plan.changes.iter().map(change).collect())
        .say(line![
            "Asked by ",
            Piece::Person(plan.asker.user),
            " under rule ",
            bold(&plan.rule),
            "."
        ])
        .say(line!["Lapses ", ago(plan.expires_ms), "."])
        .say(as_of(plan.observed_ms))
        .buttons(buttons(plan, look))
        .foot(format!("ref {}", plan.id))
}

fn buttons(plan: &Plan, look: Look) -> Vec<Button> {
    let id = || plan.id.clone();
    if let Action::Set(SetAction::Resolve { pod, choice, .. }) = &plan.action {
        let ignore = Button::new(Token::Ignore(id()), "Ignore", Look::Plain);
        let typed = plan.tier == Tier::TypedName;
        return match choice {
            // Chosen by somebody whose rule asks for the name: confirmed like every plan that takes one.
            Choice::Ignore if typed => {
                vec![Button::new(Token::Confirm(id()), "Ignore", Look::Main)]
            }
            Choice::Ignore => vec![ignore],
            Choice::Adopt => {
                vec![Button::new(Token::Confirm(id()), "Adopt as it is", Look::Main), ignore]
            }
            Choice::Restore => vec![
                Button::new(Token::Confirm(id()), format!("Restore {pod}"), Look::Danger),
                Button::new(Token::Adopt(id()), "Adopt as it is", Look::Main),
                ignore,
            ],
        };
    }
    let label = format!("{} {}", words::verb(plan.verb).todo, plan.name);
    vec![
        Button::new(Token::Confirm(id()), label, look),
        Button::new(Token::CancelPlan(id()), "Cancel", Look::Plain),
    ]
}

fn change(change: &Change) -> Line {
    if change.before == "–" || change.before.is_empty() {
        line![text(&change.what), ": ", bold(&change.after)]
    } else {
        line![text(&change.what), ": ", text(&change.before), " → ", bold(&change.after)]
    }
}

/// A plan nobody can press any more.
pub fn dropped(plan: &Plan, why: &str) -> Card {
    let words = words::verb(plan.verb);
    let reason = match why {
        "expired" => Line::from(
            "Nobody confirmed it in time. Nothing was changed. Ask again if it is still wanted.",
        ),
        "" => Line::from("Nothing was changed."),
        why => line!["Why: ", told(sentence(why)), " Nothing was changed."],
    };
    Card::new(Tone::Quiet, line!["○ Dropped: ", words.bare, " ", text(&plan.name)])
        .say(reason)
        .say(text(&plan.target))
        .foot(format!("ref {}", plan.id))
}

/// Said to whoever pressed while the world had moved on.
pub fn changed(what: &str) -> Card {
    Card::new(Tone::Warning, "⚠ Not done: things changed meanwhile")
        .say(line!["What changed: ", told(sentence(what))])
        .say("The message now shows the new plan. Look at it, then press again.")
}

/// The text with a full stop at its end. Its first letter stays as it is: it may be a guest's name.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', '!', '?', '…']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}
