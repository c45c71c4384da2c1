//! A report in sentences: for the message that is sent by itself, a line each.

use super::{Capacity, ClusterReport, Every, IncidentFigures, Report};

/// Storages told in a weekly report; a daily one tells those that matter.
const STORAGES: usize = 8;
/// A storage that is this full, or is so soon, stands in a daily report.
const FULL: f64 = 0.85;
/// See [`FULL`], days.
const SOON_DAYS: f64 = 30.0;

/// The report as lines.
pub fn lines(r: &Report, every: Every) -> Vec<String> {
    let mut out = vec![incidents(r)];
    let i = &r.incidents;
    if let Some(ack) = i.mean_ack_ms {
        out.push(format!("Acknowledged: {}, after {} on average", i.acked, span(ack)));
    }
    if let Some(length) = i.mean_length_ms {
        out.push(format!("Over after {} on average", span(length)));
    }
    if every == Every::Week {
        out.extend(
            i.longest.iter().take(3).map(|(what, ms)| format!("Longest: {what}, {}", span(*ms))),
        );
    }
    out.push(format!(
        "Changes made through gantry: {} done, {} failed",
        r.operations.0, r.operations.1
    ));
    for c in &r.clusters {
        cluster(c, every, &mut out);
    }
    out
}

fn incidents(r: &Report) -> String {
    format!("Incidents: {}", began(&r.incidents))
}

/// What began, the worst first, and how much is open: `1 critical, 3 warning; 1 open now`.
pub fn began(i: &IncidentFigures) -> String {
    let words = ["info", "warning", "error", "critical"];
    let parts: Vec<String> = i
        .began
        .iter()
        .zip(words)
        .rev()
        .filter(|(n, _)| **n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    let began = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    format!("{began}; {} open now", i.open)
}

fn cluster(c: &ClusterReport, every: Every, out: &mut Vec<String>) {
    let name = &c.cluster;
    if let Some(fault) = &c.fault {
        out.push(format!("{name}: cannot be read now ({fault}); figures are old"));
    }
    let matters = |s: &&Capacity| {
        every == Every::Week
            || s.share() >= FULL
            || s.full_in_days().is_some_and(|d| d <= SOON_DAYS)
    };
    for s in c.storages.iter().filter(matters).take(STORAGES) {
        out.push(format!("{name}: {}", capacity(s)));
    }
    if every == Every::Week {
        let cpu: Vec<String> = c.cpu.iter().map(|(g, n)| format!("{g} {n:.1} cores")).collect();
        if !cpu.is_empty() {
            out.push(format!("{name}: most CPU now: {}", cpu.join(", ")));
        }
        let memory: Vec<String> =
            c.memory.iter().map(|(g, n)| format!("{g} {}", bytes(*n as f64))).collect();
        if !memory.is_empty() {
            out.push(format!("{name}: most memory now: {}", memory.join(", ")));
        }
    }
    match &c.backups {
        None => out.push(format!("{name}: {}", backed_up(c))),
        Some(b) => {
            out.push(format!("{name}: {}", backed_up(c)));
            let old: Vec<String> =
                b.old.iter().take(5).map(|(g, days)| format!("{g} {days} days")).collect();
            if !old.is_empty() {
                out.push(format!("{name}: older backups only: {}", old.join(", ")));
            }
        }
    }
}

/// How many guests have a backup: `7 of 10 guests backed up in this time, 1 before it, 2 never`.
pub fn backed_up(c: &ClusterReport) -> String {
    match &c.backups {
        Some(b) => {
            let all = b.fresh + b.older + b.none;
            let guests = if all == 1 { "guest" } else { "guests" };
            let (fresh, older, none) = (b.fresh, b.older, b.none);
            format!(
                "{fresh} of {all} {guests} backed up in this time, {older} before it, {none} never"
            )
        }
        None if c.silent.is_empty() => "backups could not be read".to_owned(),
        None => {
            let (nodes, does) =
                (c.silent.join(", "), if c.silent.len() == 1 { "does" } else { "do" });
            format!("backups could not be read: {nodes} {does} not answer")
        }
    }
}

/// `local-lvm on pve1 72 %, grows 3.1 GiB a day, full in about 40 days`.
pub fn capacity(s: &Capacity) -> String {
    let mut text = format!("{} {:.0} %", s.name, s.share() * 100.0);
    match s.per_day {
        None => {}
        Some(growth) if growth.abs() * 100.0 < s.total * 0.01 => text += ", steady",
        Some(growth) if growth > 0.0 => text += &format!(", grows {} a day", bytes(growth)),
        Some(growth) => text += &format!(", shrinks {} a day", bytes(-growth)),
    }
    if let Some(days) = s.full_in_days() {
        text += &format!(", full in about {days:.0} days");
    }
    text
}

fn bytes(n: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (n, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value >= 100.0 || unit == 0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `45 s`, `12 min`, `3 h`, `2 days`.
pub fn span(ms: i64) -> String {
    match ms.max(0) / 1000 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Backups;
    use super::*;

    #[test]
    fn a_week_tells_all_and_a_day_what_matters() {
        let gib = 1_073_741_824.0;
        let storage = |name: &str, used: f64, growth: f64| Capacity {
            name: name.into(),
            used: used * gib,
            total: 100.0 * gib,
            per_day: Some(growth * gib),
        };
        let report = Report {
            from_ms: 0,
            until_ms: 1,
            clusters: vec![ClusterReport {
                cluster: "lab".parse().unwrap(),
                storages: vec![
                    storage("local on pve1", 90.0, 0.0),
                    storage("nas", 40.0, 3.0),
                    storage("pbs", 10.0, 0.5),
                ],
                cpu: vec![("web-0 (CT 101)".into(), 1.5)],
                memory: vec![],
                backups: Some(Backups {
                    fresh: 7,
                    older: 1,
                    old: vec![("db (VM 104)".into(), 9)],
                    none: 2,
                }),
                fault: None,
                silent: vec![],
            }],
            incidents: IncidentFigures {
                began: [0, 3, 0, 1],
                open: 1,
                acked: 2,
                mean_ack_ms: Some(90_000),
                ..IncidentFigures::default()
            },
            operations: (12, 1),
        };
        assert_eq!(
            lines(&report, Every::Day),
            [
                "Incidents: 1 critical, 3 warning; 1 open now",
                "Acknowledged: 2, after 90 s on average",
                "Changes made through gantry: 12 done, 1 failed",
                "lab: local on pve1 90 %, steady",
                "lab: nas 40 %, grows 3.0 GiB a day, full in about 20 days",
                "lab: 7 of 10 guests backed up in this time, 1 before it, 2 never",
                "lab: older backups only: db (VM 104) 9 days",
            ]
        );
        let mut lost = report.clone();
        lost.clusters[0].backups = None;
        lost.clusters[0].silent = vec!["pve3".into()];
        let told = lines(&lost, Every::Day).join("\n");
        assert!(told.contains("lab: backups could not be read: pve3 does not answer"), "{told}");
        let week = lines(&report, Every::Week).join("\n");
        assert!(
            week.contains("pbs 10 %") && week.contains("most CPU now: web-0 (CT 101) 1.5 cores"),
            "{week}"
        );
    }
}
