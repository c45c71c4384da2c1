//! A report, for whoever asked for it.

use gantry_core::report::{self, Report};

use super::{Card, Clock, Line, Piece, Tone, bar, bytes, code, text};
use crate::line;

/// The report.
pub fn report_card(r: &Report) -> Card {
    let i = &r.incidents;
    let mut card =
        Card::new(if i.open > 0 { Tone::Warning } else { Tone::Good }, "Report").say(line![
            "From ",
            Piece::Time(r.from_ms, Clock::Full),
            " until ",
            Piece::Time(r.until_ms, Clock::Full),
            "."
        ]);
    let count = |n: usize| i.began.get(n).copied().unwrap_or(0);
    let mut wrong = vec![line![text(format!(
        "{} critical, {} error, {} warning, {} info; {} open now",
        count(3),
        count(2),
        count(1),
        count(0),
        i.open
    ))]];
    if let Some(ms) = i.mean_ack_ms {
        wrong.push(line![text(format!(
            "{} acknowledged, after {} on average",
            i.acked,
            report::span(ms)
        ))]);
    }
    if let Some(ms) = i.mean_length_ms {
        wrong.push(line![text(format!("over after {} on average", report::span(ms)))]);
    }
    wrong.extend(
        i.longest
            .iter()
            .take(3)
            .map(|(what, ms)| line!["• ", text(what), " · ", text(report::span(*ms))]),
    );
    card = card.field("Incidents", wrong);
    let rules = i.rules.iter().map(|(rule, n)| line![code(rule), text(format!(" {n}"))]).collect();
    card = card.field("Rules that fired most", rules);
    for c in &r.clusters {
        if let Some(fault) = &c.fault {
            card = card.say(line![
                "⚠ ",
                text(c.cluster.as_str()),
                " cannot be read now; its figures are old: ",
                text(fault)
            ]);
        }
        let storages: Vec<Line> = c
            .storages
            .iter()
            .take(10)
            .map(|s| line![text(bar(s.share())), " ", text(report::capacity(s))])
            .collect();
        card = card.field(line![text(format!("Storages of {}", c.cluster))], storages);
        let cpu: Vec<Line> =
            c.cpu.iter().map(|(g, n)| line![text(format!("{g}: {n:.1} cores"))]).collect();
        let memory: Vec<Line> =
            c.memory.iter().map(|(g, n)| line![text(format!("{g}: {}", bytes(*n)))]).collect();
        card = card.field(line![text(format!("Most CPU now, {}", c.cluster))], cpu);
        card = card.field(line![text(format!("Most memory now, {}", c.cluster))], memory);
        let mut backups = Vec::new();
        match &c.backups {
            None => backups.push(Line::from("could not be read")),
            Some(b) => {
                backups.push(line![text(format!(
                    "{} guests backed up, {} without any backup",
                    b.fresh, b.none
                ))]);
                backups.extend(
                    b.old
                        .iter()
                        .map(|(g, days)| line!["⚠ ", text(format!("{g}: {days} days old"))]),
                );
            }
        }
        card = card.field(line![text(format!("Backups of {}", c.cluster))], backups);
    }
    let (done, failed) = r.operations;
    card.say(line![text(format!("Changes made through gantry: {done} done, {failed} failed."))])
}
