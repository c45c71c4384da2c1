//! Sets: a list, one with its pods, its revisions. Tables fit a phone's width.

use gantry_core::set::{Phase, Pod, Revision, Set, Slot, differences};
use gantry_engine::SetNow;

use super::{Card, Line, Place, Tone, ago, as_of, bold, text, told};
use crate::line;
use crate::token::ScreenId;

/// Differences shown for one revision.
const DIFFERENCES: usize = 6;
/// Reasons shown at most.
const WAITS: usize = 8;

fn tone(phase: Phase) -> (&'static str, Tone) {
    match phase {
        Phase::Converged => ("✓", Tone::Good),
        Phase::Working => ("●", Tone::Working),
        Phase::Waiting => ("○", Tone::Warning),
        Phase::Paused => ("‖", Tone::Question),
        Phase::Halted => ("✗", Tone::Bad),
        Phase::Deleted => ("–", Tone::Quiet),
    }
}

/// A page of sets.
pub fn set_list(rows: &[SetNow], place: Place, screen: &ScreenId) -> Card {
    let mut card = Card::new(Tone::Plain, "Sets").say(if place.total == 0 {
        Line::from("None. `/set create` makes one.")
    } else {
        line![text(place.words())]
    });
    card = card.lines(rows.iter().map(|now| {
        let d = &now.decision;
        line![
            tone(d.phase).0,
            " ",
            bold(now.row.set.address().to_string()),
            text(format!(
                " · {}/{} ready · revision {} · {}",
                d.ready,
                d.wanted,
                now.row.set.newest.number,
                d.phase.as_str()
            ))
        ]
    }));
    card.buttons(place.buttons(screen))
}

/// One set with its pods.
pub fn set_show(now: &SetNow, screen: &ScreenId) -> Card {
    let (set, decision) = (&now.row.set, &now.decision);
    let spec = set.spec();
    let (mark, tone) = tone(decision.phase);
    let mut card = Card::new(tone, line![mark, " Set ", text(set.address().to_string())])
        .say(line![text(format!(
            "{} of {} ready · {} of them on revision {} · {}",
            decision.ready,
            decision.wanted,
            decision.current,
            set.newest.number,
            decision.phase.as_str()
        ))])
        .say(line!["Image ", text(&spec.template.image)]);
    card = card.lines(state(set));
    let mut table = vec![format!(
        "{:<3}{:<7}{:<9}{:<6}{:<4}{}",
        "#", "node", "state", "ready", "rev", "address"
    )];
    table.extend(now.seen.slots.iter().map(|slot| row(slot, spec.min_ready_s, now.seen.at_ms)));
    card = card.log(&table);
    let drifts = now.seen.slots.iter().filter_map(|s| Some((s, s.drift.as_ref()?)));
    card = card.lines(drifts.flat_map(|(slot, drift)| {
        let name = slot.record.identity.name.clone();
        drift
            .what
            .iter()
            .map(move |what| line!["⚠ ", bold(name.clone()), " ", told(what)])
            .collect::<Vec<_>>()
    }));
    card = card.lines(decision.gathered().into_iter().take(WAITS).map(|w| line!["• ", told(w)]));
    if let Some(service) = &spec.service {
        let answering = now.seen.slots.iter().filter(|s| s.record.published).count();
        card = card.say(line![text(format!(
            "{}.{} answers with {answering} of them.",
            service.name, service.zone
        ))]);
    }
    card.say(as_of(now.seen.at_ms))
        .say(line!["Kept up in the name of ", text(&set.by_name), "."])
        .buttons(Place::clamp(0, 1, 0).buttons(screen))
        .foot(format!("ref {}", set.command))
}

/// What is particular about where it stands.
fn state(set: &Set) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(by) = &set.paused {
        lines.push(line!["‖ ", text(by), " paused the rollout."]);
    }
    if let Some(halt) = &set.halted {
        let back = match halt.undone_to {
            Some(n) => format!(" It was undone: back to revision {n}."),
            None => " Nothing that worked is there to go back to.".to_owned(),
        };
        lines.push(line![
            "✗ ",
            told(format!("Revision {} did not work: {}{back}", halt.revision, halt.why)),
            " ",
            ago(halt.at_ms)
        ]);
    }
    if set.deleting.is_some() {
        lines.push(Line::from("It is being deleted."));
    }
    lines
}

fn row(slot: &Slot, min_ready_s: u32, at_ms: i64) -> String {
    let record = &slot.record;
    let state = match (&slot.pod, &slot.busy) {
        (_, Some(_)) => "busy",
        (Pod::Absent, _) if slot.keeper => "volumes",
        (Pod::Absent, _) => "absent",
        (Pod::Ours { status, .. }, _) => status.as_str(),
        (Pod::Stranger, _) => "foreign",
        (Pod::Unseen, _) => "silent",
    };
    let node = match &slot.pod {
        Pod::Ours { node, .. } => node.as_str(),
        _ => record.identity.node.as_str(),
    };
    let cut = |text: &str, n: usize| text.chars().take(n).collect::<String>();
    let address = record.identity.address.as_deref().unwrap_or("DHCP");
    format!(
        "{:<3}{:<7}{:<9}{:<6}{:<4}{}",
        record.identity.ordinal,
        cut(node, 6),
        cut(state, 8),
        if slot.is_ready(min_ready_s, at_ms) { "yes" } else { "no" },
        if record.revision == 0 { "–".to_owned() } else { record.revision.to_string() },
        cut(address.split('/').next().unwrap_or_default(), 25)
    )
}

/// Revisions of a set, newest first, each with what it changed.
pub fn set_history(now: &SetNow, screen: &ScreenId) -> Card {
    let set = &now.row.set;
    let mut card =
        Card::new(Tone::Plain, line!["Revisions of set ", text(set.address().to_string())]);
    for (n, revision) in now.revisions.iter().enumerate().take(10) {
        let good = set.good.as_ref().is_some_and(|g| g.key == revision.key);
        let same = match revision.same_as() {
            Some(n) => format!(" · the same as revision {n}"),
            None => String::new(),
        };
        let mut lines = vec![line![
            text(format!("{} by {} · ", revision.why, revision.by_name)),
            ago(revision.at_ms)
        ]];
        lines.extend(changed(now.revisions.get(n + 1), revision));
        let title = format!(
            "Revision {}{}{same}{}",
            revision.number,
            if n == 0 { " · current" } else { "" },
            match (good, failed(now, revision.number)) {
                (true, _) => " · worked",
                (_, true) => " · did not work",
                _ => "",
            }
        );
        card = card.field(line![text(title)], lines);
    }
    card.say("`/set rollout undo` goes back to one of them.")
        .buttons(Place::clamp(0, 1, 0).buttons(screen))
}

/// Whether a revision did not work: its rollout was halted, or gantry went back from it by itself.
fn failed(now: &SetNow, number: u32) -> bool {
    let halted = now.row.set.halted.as_ref().is_some_and(|h| h.revision == number);
    let from = format!("undo of {number} to ");
    halted || now.revisions.iter().any(|r| r.by_name == "gantry" && r.why.starts_with(&from))
}

fn changed(before: Option<&Revision>, revision: &Revision) -> Vec<Line> {
    let Some(before) = before else {
        return vec![line!["Image ", text(&revision.spec.template.image)]];
    };
    let all = differences(&before.spec, &revision.spec);
    let mut lines: Vec<Line> = all
        .iter()
        .take(DIFFERENCES)
        .map(|c| line![text(&c.what), ": ", text(&c.before), " → ", bold(&c.after)])
        .collect();
    if all.len() > DIFFERENCES {
        lines.push(line![text(format!("and {} more", all.len() - DIFFERENCES))]);
    }
    lines
}
