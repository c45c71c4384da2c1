//! Port forwards: what was asked for, and whether each node's table is that.

use gantry_engine::{ForwardList, Standing};

use super::{Button, Card, Look, Tone, as_of, bold, code, text, told};
use crate::line;
use crate::token::{ScreenId, Token};

/// Most forwards on a card.
const SHOWN: usize = 30;
/// Most lines of difference on a card.
const LINES: usize = 10;

/// All forwards of a cluster.
pub fn forward_list(list: &ForwardList, screen: &ScreenId) -> Card {
    let fine = list.nodes.iter().all(|n| {
        n.standing == Standing::AsAsked && n.broken.is_empty() && n.kept.iter().all(|k| !k.closed)
    });
    let tone = if fine { Tone::Plain } else { Tone::Warning };
    let mut card = Card::new(tone, line!["Port forwards", text(format!(" · {}", list.cluster))]);
    let mut left = SHOWN;
    for node in &list.nodes {
        card = card.say(bold(node.node.as_str()));
        for forward in node.kept.iter().take(left) {
            let by = match &forward.port {
                Some(port) => format!(" · port {port} of its specification"),
                None => format!(" · {}", forward.by),
            };
            card = card.say(line![
                text(forward.shown.clone()),
                text(by),
                " · ",
                code(forward.id.as_str())
            ]);
            if forward.closed {
                card = card.say(
                    "⚠ Its rule was taken out of its guest's firewall; gantry does not put it back. Where that firewall is on, \
                     nothing arrives. Removed and asked for anew, it gets its rule again.",
                );
            }
        }
        left = left.saturating_sub(node.kept.len());
        for (shown, why) in node.broken.iter().take(LINES) {
            let broken = line!["⚠ ", text(shown.clone()), " leads nowhere"];
            card = card.say(match why {
                Some(why) => broken.and([": ".into(), told(why.clone()), ".".into()]),
                None => broken.and([".".into()]),
            });
        }
        if node.left > 0 {
            let what = if node.left == 1 {
                "forward that was removed has"
            } else {
                "forwards that were removed have"
            };
            card = card.say(text(format!(
                "⚠ {} {what} still a line in its table or a rule in a firewall; gantry takes it out once it can.",
                node.left
            )));
        }
        card = standing(card, &node.standing);
    }
    let all: usize = list.nodes.iter().map(|n| n.kept.len()).sum();
    if all > SHOWN {
        card = card.say(text(format!("And {} more.", all - SHOWN)));
    }
    if all == 0 {
        card = card.say("There are none. `/forward add` leads a port of a node to a guest.");
    }
    card.say(as_of(list.read_ms)).buttons(vec![Button::new(
        Token::Refresh(screen.clone()),
        "Refresh",
        Look::Plain,
    )])
}

fn standing(card: Card, standing: &Standing) -> Card {
    match standing {
        Standing::AsAsked => card.say("● in force, as asked for"),
        Standing::NotSetUp => card.say(
            "⚠ There is no node shell for it, so nothing is forwarded. docs/nodeshell.md says how it is set up.",
        ),
        Standing::Unread { why } => {
            card.say(line!["⚠ Its table could not be read: ", told(why.clone()), "."])
        }
        Standing::Differs { extra, missing, touched } => {
            let lines: Vec<String> = extra
                .iter()
                .map(|e| format!("+ {}", e.shown()))
                .chain(missing.iter().map(|e| format!("- {}", e.shown())))
                .take(LINES)
                .collect();
            let card = if *touched {
                card.say(line![
                    "⚠ Somebody has changed its table by hand. gantry leaves it as it is; ",
                    code("/forward apply"),
                    " makes it what was asked for."
                ])
            } else {
                card.say("⚠ Its table is not as asked for yet; gantry puts it right.")
            };
            if lines.is_empty() { card } else { card.say("In force and not asked for (+), asked for and not in force (-):").log(&lines) }
        }
    }
}
