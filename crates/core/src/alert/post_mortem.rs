//! What an incident leaves behind as a file: everything that is known of it, and the questions only people can answer.

use std::fmt::Write as _;

use super::Incident;

const DAY_MS: i64 = 86_400_000;

/// The incident as a Markdown file, to be filled in by whoever took care of it.
pub fn post_mortem(i: &Incident, now_ms: i64) -> String {
    let mut out = String::new();
    let until = i.resolved_ms.unwrap_or(now_ms);
    let _ = writeln!(out, "# {}\n", one_line(&i.headline()));
    let _ = writeln!(out, "| | |\n|---|---|");
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "| {name} | {} |", one_line(value).replace('|', "\\|"));
    };
    row("Incident", i.id.as_str());
    if let Some(cluster) = &i.cluster {
        row("Cluster", cluster.as_str());
    }
    row("Severity", i.severity.as_str());
    row("Began", &utc(i.opened_ms));
    match i.resolved_ms {
        Some(at) => row("Over", &utc(at)),
        None => row("Over", "not yet"),
    }
    row("Lasted", &span(until - i.opened_ms));
    match &i.ack {
        Some(ack) => {
            let after = span(ack.at_ms - i.opened_ms);
            row("Acknowledged", &format!("{} by {}, after {after}", utc(ack.at_ms), ack.name));
        }
        None => row("Acknowledged", "by nobody"),
    }
    let s = &i.summary;
    let counts = format!(
        "{} firing, {} silenced, {} folded in, {} over",
        s.firing, s.muted, s.folded, s.over
    );
    row("Alerts", &counts);
    row("Rule", if i.rule.is_empty() { "none" } else { &i.rule });
    if let Some(runbook) = &i.runbook {
        row("Runbook", runbook);
    }
    out.push_str("\n## What was seen\n\n");
    for line in &s.lines {
        let detail =
            if line.detail.is_empty() { String::new() } else { format!(" – {}", line.detail) };
        let text = format!(
            "{}: {}, since {}{detail}",
            line.subject.label(),
            line.shown,
            utc(line.since_ms)
        );
        let _ = writeln!(out, "- {}", one_line(&text));
    }
    for text in s.folded_names.iter().chain(&i.body) {
        let _ = writeln!(out, "- {}", one_line(text));
    }
    out.push_str("\n## Timeline (UTC)\n\n");
    for (at_ms, text) in course(i) {
        let _ = writeln!(out, "- {} {}", utc(at_ms), one_line(&text));
    }
    if i.older > 0 {
        let _ = writeln!(out, "- … {} entries were left out after the first", i.older);
    }
    for question in [
        "What happened, and how was it noticed?",
        "Whom did it hurt, and how?",
        "Why did it happen?",
        "What helped, what did not?",
        "What is done so that it does not happen again? (who, until when)",
    ] {
        let _ = write!(out, "\n## {question}\n\n\n");
    }
    out
}

/// Timeline, calls and notes in the order in which they happened.
fn course(i: &Incident) -> Vec<(i64, String)> {
    let mut all: Vec<(i64, String)> =
        i.timeline.iter().map(|e| (e.at_ms, e.text.clone())).collect();
    all.extend(i.calls.iter().map(|c| {
        let whom = match (c.user, c.role) {
            (Some(user), _) => format!("user {user}"),
            (None, Some(role)) => format!("role {role}"),
            (None, None) => "nobody".to_owned(),
        };
        (c.at_ms, format!("called: {whom}"))
    }));
    all.extend(i.notes.iter().map(|n| (n.at_ms, format!("{}: {}", n.name, n.text))));
    all.sort_by_key(|(at_ms, _)| *at_ms);
    all
}

/// Text of others on one line, without what would make a heading, a table or a link of it.
fn one_line(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut out = String::with_capacity(flat.len());
    for c in flat.trim().chars() {
        if "<>[]`*_#".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// How long, in the two largest units: `2 h 5 min`.
fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{m} min {s} s"),
        (0, _, _) => format!("{h} h {m} min"),
        _ => format!("{d} d {h} h"),
    }
}

/// A moment as people write it: `2026-11-21 20:15:09`. Days are counted as in Howard Hinnant's `civil_from_days`.
pub fn utc(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS) / 1000);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Ack, Book, Desk, Duty, Kind, Note, Route, Rules, Severity};
    use crate::id::{ChannelId, GuildId, IncidentId, NoteId, UserId};

    #[test]
    fn moments_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(1_700_308_800_000), "2023-11-18 12:00:00");
        assert_eq!(utc(1_709_210_096_000), "2024-02-29 12:34:56");
        assert_eq!(utc(4_102_444_799_000), "2099-12-31 23:59:59");
    }

    fn incident() -> Incident {
        let route = Route { threads: true, ..Route::of(GuildId(1), ChannelId(2)) };
        let desk = Desk {
            route: Route { duty: Duty::default(), ..route },
            rules: Rules::default(),
            mutes: vec![],
            book: Book::default(),
            incidents: std::collections::BTreeMap::new(),
        };
        desk.fresh(
            IncidentId::new(5, 5),
            Kind::Alerts,
            "Node down",
            Severity::Critical,
            1_700_308_800_000,
        )
    }

    #[test]
    fn a_file_tells_when_who_and_what_and_breaks_out_of_nothing() {
        let mut i = incident();
        i.note(i.opened_ms, "began: pve3");
        i.ack = Some(Ack { user: UserId(3), name: "olga".into(), at_ms: i.opened_ms + 90_000 });
        i.notes.push(Note {
            id: NoteId::new(1, 1),
            at_ms: i.opened_ms + 100_000,
            user: UserId(3),
            name: "olga".into(),
            text: "# power\n| cut [x](https://e.vil)".into(),
            told: true,
        });
        i.resolved_ms = Some(i.opened_ms + 3_900_000);
        let file = post_mortem(&i, i.opened_ms);
        assert!(file.starts_with("# Node down\n"), "{file}");
        assert!(file.contains("| Lasted | 1 h 5 min |"), "{file}");
        assert!(file.contains("by olga, after 1 min 30 s"), "{file}");
        assert!(
            file.contains("- 2023-11-18 12:01:40 olga: \\# power | cut \\[x\\](https://e.vil)"),
            "{file}"
        );
        assert_eq!(file.matches("\n# ").count(), 0, "one heading of the first rank");
    }

    #[test]
    fn entries_keep_their_numbers_when_older_ones_are_left_out() {
        let mut i = incident();
        for n in 0..50 {
            i.note(n, format!("e{n}"));
        }
        assert_eq!(i.entries(), 50);
        let texts: Vec<_> = i.entries_between(45, 50).iter().map(|e| e.text.as_str()).collect();
        assert_eq!(texts, ["e45", "e46", "e47", "e48", "e49"]);
        assert_eq!(i.entries_between(0, 1)[0].text, "e0", "the first stays");
        assert_eq!(i.entries_between(1, 5).len(), 0, "these were left out");
    }
}
