//! How a cluster's notifications stand, for whoever asked.

use gantry_core::id::ClusterId;
use gantry_core::notify::{matcher_name, shown_url, target_name};
use gantry_engine::NotifyState;

use super::{Card, Line, Tone, ago, bold, text, told};
use crate::line;

/// The target and the matcher of each webhook of a cluster, with when something was heard last.
pub fn notifications(cluster: &ClusterId, states: &[NotifyState]) -> Card {
    let right = |s: &NotifyState| {
        s.now.target.as_ref().is_some_and(|t| t.is_right(&s.hook, &s.url))
            && s.now.matcher.as_ref().is_some_and(|m| m.is_right(&s.hook))
    };
    let (tone, mark) = match states.iter().all(right) {
        true => (Tone::Good, "✓"),
        false => (Tone::Warning, "⚠"),
    };
    let title = format!("{mark} Notifications of {cluster}");
    let mut card = Card::new(tone, line![text(title)]);
    for s in states {
        let mut lines = vec![
            line!["Target ", bold(target_name(&s.hook)), " → ", text(shown_url(&s.url))],
            line!["Matcher ", bold(matcher_name(&s.hook)), filter(s)],
            line![told(s.now.shown(&s.hook, &s.url))],
        ];
        lines.push(match s.heard_ms {
            Some(at_ms) => line!["Something was heard ", ago(at_ms), "."],
            None => Line::from("Nothing was heard lately."),
        });
        if !s.now.others.is_empty() {
            let others = s.now.others.join(", ");
            lines.push(line![text(format!("Other matchers send there as well: {others}."))]);
        }
        if !right(s) {
            lines.push(Line::from("`/cluster notify install` makes them what they shall be."));
        }
        card = card.field(line![text(format!("Webhook {}", s.hook))], lines);
    }
    card.say("Whether the secret there is the right one Proxmox tells nobody: `/cluster notify test` tries it.")
}

fn filter(s: &NotifyState) -> super::Piece {
    match &s.now.matcher {
        Some(m) => text(format!(": {}", m.shown_filter())),
        None => text(String::new()),
    }
}
