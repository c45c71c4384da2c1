//! A report, for whoever asked for it.

use gantry_core::report::{self, Report};

use super::{Card, Clock, Line, Piece, Tone, bar, bytes, text};
use crate::line;

/// The report; `rules` are the rules there are, by id, with what people call them.
pub fn report_card(r: &Report, rules: &[(String, String)]) -> Card {
    let i = &r.incidents;
    let mut card =
        Card::new(if i.open > 0 { Tone::Warning } else { Tone::Good }, "Report").say(line![
            "From ",
            Piece::Time(r.from_ms, Clock::Full),
            " until ",
            Piece::Time(r.until_ms, Clock::Full),
            "."
        ]);
    let mut wrong = vec![line![text(report::began(i))]];
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
            .map(|(what, ms)| line!["• ", text(what), ": lasted ", text(report::span(*ms))]),
    );
    card = card.field("Incidents", wrong);
    let title = |id: &String| {
        let known = rules.iter().find(|(known, _)| known == id);
        known.map_or_else(|| id.clone(), |(_, title)| title.clone())
    };
    let fired = i.rules.iter().map(|(rule, n)| {
        let times = if *n == 1 { "once".to_owned() } else { format!("{n} times") };
        line![text(title(rule)), text(format!(": {times}"))]
    });
    card = card.field("Rules that fired most", fired.collect());
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
        let mut backups = vec![line![text(report::backed_up(c))]];
        let old = c.backups.iter().flat_map(|b| &b.old);
        backups.extend(
            old.map(|(g, days)| line!["⚠ ", text(format!("{g}: newest is {days} days old"))]),
        );
        card = card.field(line![text(format!("Backups of {}", c.cluster))], backups);
    }
    let (done, failed) = r.operations;
    card.say(line![text(format!("Changes made through gantry: {done} done, {failed} failed."))])
}
