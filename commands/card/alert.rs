//! Alerts: an incident's message, and why something is told.

use gantry_core::action::Verb;
use gantry_core::alert::{Effective, Incident, Kind, Metric, Muting, Severity, Summary, Unit};
use gantry_engine::{AlertView, Said};

use super::{
    Button, Card, Choice, Clock, Line, Look, Piece, Select, Tone, ago, bold, code, span, text, told,
};
use crate::line;
use crate::token::Token;
use crate::words;

/// Entries of a timeline shown in a message; `/alert show` has all.
const TIMELINE_SHOWN: usize = 6;
/// Notes shown in a message, and letters of each; the thread has them whole.
const NOTES_SHOWN: usize = 3;
/// See [`NOTES_SHOWN`].
const NOTE_SHOWN: usize = 160;

/// How long a silence may be, as the menu offers it: value, label, milliseconds.
pub const MUTE_TIMES: [(&str, &str, i64); 4] = [
    ("1h", "1 hour", 3_600_000),
    ("4h", "4 hours", 4 * 3_600_000),
    ("24h", "a day", 24 * 3_600_000),
    ("7d", "a week", 7 * 24 * 3_600_000),
];

fn tone(incident: &Incident) -> Tone {
    if !incident.is_open() {
        return if incident.kind == Kind::CatchUp { Tone::Plain } else { Tone::Good };
    }
    match incident.severity {
        Severity::Info => Tone::Plain,
        Severity::Warning => Tone::Warning,
        Severity::Error | Severity::Critical => Tone::Bad,
    }
}

pub(super) fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "ℹ",
        Severity::Warning => "⚠",
        Severity::Error => "✗",
        Severity::Critical => "‼",
    }
}

/// The message of an incident.
pub fn incident(incident: &Incident) -> Card {
    let i = incident;
    let s = &i.summary;
    let mut card = Card::new(tone(i), heading(i));
    if let Some((from, until)) = i.blind_ms {
        card = card.say(line![
            "Blind from ",
            Piece::Time(from, Clock::Full),
            " to ",
            Piece::Time(until, Clock::Full),
            ". Meanwhile:"
        ]);
    }
    card = card.lines(i.body.iter().map(|l| line!["• ", told(l)]));
    for l in &s.lines {
        let named = line![bold(l.subject.label()), " · "];
        card = card.say(match i.is_open() {
            true => line![mark(l.severity), " "].and(named.0).and([
                text(&l.shown),
                " · began ".into(),
                ago(l.since_ms),
                (if l.flaps { " · comes and goes" } else { "" }).into(),
            ]),
            // The mark would say that it still is so.
            false => line!["• "].and(named.0).and(["last: ".into(), text(&l.shown)]),
        });
        if !l.detail.is_empty() {
            card = card.say(line!["  ", text(&l.detail)]);
        }
    }
    let more = usize::try_from(s.named()).unwrap_or(0).saturating_sub(s.lines.len());
    if more > 0 {
        card = card.say(line![text(format!("… and {more} more; `/alert show` has all"))]);
    }
    if s.folded > 0 && i.kind == Kind::Alerts {
        let count = format!("{} more on the lost node, folded in here", s.folded);
        let names = s.folded_names.iter().map(|n| line!["• ", text(n)]).collect();
        card = card.field(line![text(count)], names);
    }
    if s.muted > 0 {
        let why = s.muted_why.join("; ");
        let many = match (s.muted, s.firing) {
            (_, 0) => "Not told".to_owned(),
            (n, _) => format!("{n} more not told"),
        };
        card = card.say(line![text(format!("{many}: {why}"))]);
    }
    if i.kind == Kind::Alerts {
        card = card
            .beside("Severity", line![i.severity.as_str()])
            .beside("Firing", line![text(firing(s))])
            .beside("Since", line![ago(i.opened_ms)]);
    }
    if let Some(ack) = &i.ack {
        card = card.beside("Taken care of", line![text(&ack.name), " ", ago(ack.at_ms)]);
    }
    if i.is_open() && !i.advice.is_empty() {
        card = card.say(line!["→ ", told(&i.advice)]);
    }
    if let Some(runbook) = &i.runbook {
        card = card.say(line!["Runbook: ", text(runbook)]);
    }
    if let Some(over) = i.resolved_ms.filter(|_| i.kind == Kind::Alerts) {
        let lasted = span(over - i.opened_ms);
        card = card.say(line!["● Over ", ago(over), text(format!(", after {lasted}"))]);
    }
    card = card.field("Timeline", timeline(i, TIMELINE_SHOWN)).field("Notes", notes(i));
    controls(card, i).foot(format!("ref {}", i.id))
}

fn firing(s: &Summary) -> String {
    let quiet = if s.muted > 0 { format!(", {} silenced", s.muted) } else { String::new() };
    format!("{} now{quiet}, {} over", s.firing + s.muted, s.over)
}

fn heading(i: &Incident) -> Line {
    match (i.is_open(), i.kind) {
        (_, Kind::CatchUp) => line!["ℹ ", text(&i.title)],
        (true, _) => line![mark(i.severity), " ", text(i.headline())],
        (false, _) => line!["● Over: ", text(i.headline())],
    }
}

fn timeline(i: &Incident, shown: usize) -> Vec<Line> {
    let skip = i.timeline.len().saturating_sub(shown);
    let left = u64::from(i.older) + u64::try_from(skip).unwrap_or(0);
    let mut lines = Vec::new();
    if left > 0 {
        lines.push(line![text(format!("{left} earlier"))]);
    }
    lines.extend(
        i.timeline
            .iter()
            .skip(skip)
            .map(|e| line![Piece::Time(e.at_ms, Clock::Short), " ", text(&e.text)]),
    );
    lines
}

/// The newest of what people wrote.
fn notes(i: &Incident) -> Vec<Line> {
    let skip = i.notes.len().saturating_sub(NOTES_SHOWN);
    let mut lines = Vec::new();
    if skip > 0 {
        lines.push(line![text(format!("{skip} earlier"))]);
    }
    lines.extend(i.notes.iter().skip(skip).map(|n| {
        let short = crate::paint::cut(&n.text, NOTE_SHOWN);
        line![Piece::Time(n.at_ms, Clock::Short), " ", bold(&n.name), ": ", text(short)]
    }));
    lines
}

/// What can be done about an incident from its message: value of the menu and what stands there.
pub fn remedies(i: &Incident) -> Vec<(Verb, String, String)> {
    let guests = i.summary.lines.iter().filter(|l| l.subject.vmid.is_some()).take(6);
    let mut all = Vec::new();
    for line in guests {
        let Some(vmid) = line.subject.vmid else { continue };
        let verbs: &[Verb] = match line.metric {
            Metric::GuestStopped | Metric::GuestHa => {
                &[Verb::GuestStart, Verb::GuestMigrate, Verb::GuestSnapshotCreate]
            }
            Metric::GuestCpu | Metric::GuestMemory => &[
                Verb::GuestReboot,
                Verb::GuestShutdown,
                Verb::GuestMigrate,
                Verb::GuestSnapshotCreate,
            ],
            Metric::GuestDisk => &[Verb::GuestMigrate, Verb::GuestSnapshotCreate],
            _ => &[],
        };
        for verb in verbs {
            let address = format!("{}/{vmid}", line.subject.cluster);
            all.push((*verb, address, line.subject.label()));
        }
    }
    all
}

fn controls(card: Card, i: &Incident) -> Card {
    if i.kind != Kind::Alerts {
        return card;
    }
    let mut buttons = Vec::new();
    if i.is_open() {
        let mut ack = Button::new(Token::Ack(i.id.clone()), "Acknowledge", Look::Main);
        ack.enabled = i.ack.is_none();
        buttons.push(ack);
    }
    buttons.push(Button::new(Token::Why(i.id.clone()), "Why", Look::Plain));
    if i.summary.lines.first().is_some_and(|l| crate::alert_chart::can_draw(l.metric)) {
        buttons.push(Button::new(Token::Chart(i.id.clone()), "Graph", Look::Plain));
    }
    buttons.push(Button::new(Token::Note(i.id.clone()), "Note", Look::Plain));
    if !i.is_open() {
        buttons.push(Button::new(Token::PostMortem(i.id.clone()), "Post-mortem", Look::Plain));
    }
    let card = card.buttons(buttons);
    if !i.is_open() {
        return card;
    }
    let times = MUTE_TIMES.iter().map(|(value, label, _)| Choice {
        value: (*value).into(),
        label: format!("Silence for {label}"),
        hint: String::new(),
    });
    let remedies = remedies(i).into_iter().map(|(verb, address, label)| Choice {
        value: format!("{} {address}", verb.as_str()),
        label: format!("{} {label}", words::verb(verb).todo),
        hint: match verb {
            Verb::GuestMigrate => "asks where to, then shows its plan",
            _ => "shows its plan first where it asks",
        }
        .into(),
    });
    card.select(Select {
        token: Token::Mute(i.id.clone()),
        hint: "Silence …".into(),
        choices: times.collect(),
    })
    .select(Select {
        token: Token::Remedy(i.id.clone()),
        hint: "Do something …".into(),
        choices: remedies.collect(),
    })
}

fn limits(e: &Effective, metric: Metric) -> Line {
    let mut words = match metric.unit() {
        Unit::Flag | Unit::Event => "as soon as it is so".to_owned(),
        _ if metric.low_is_bad() => format!("from {} down", metric.shown(e.threshold)),
        _ => format!("from {} up", metric.shown(e.threshold)),
    };
    if e.clear != e.threshold {
        words += &format!(", good again beyond {}", metric.shown(e.clear));
    }
    if let Some(critical) = e.critical {
        words += &format!(", critical at {}", metric.shown(critical));
    }
    if e.hold_ms > 0 {
        words += &format!(", for {}", span(e.hold_ms));
    }
    line![text(words)]
}

/// Why an incident is told, and why so.
pub fn explain(view: &AlertView, mutes: &[Muting], there: &[String]) -> Card {
    let i = &view.incident;
    let mut card = Card::new(Tone::Plain, line!["Why: ", text(i.headline())]);
    card = match &view.rule {
        Some(rule) => card.say(line![
            "Rule ",
            code(&rule.id),
            ", which looks at ",
            code(rule.metric.as_str()),
            "."
        ]),
        None => card.say("It comes from no rule."),
    };
    for (t, effective) in view.alerts.iter().take(8) {
        card = card.say(line![
            "• ",
            bold(t.subject.label()),
            ": ",
            text(t.shown()),
            ", went bad ",
            ago(t.bad_since_ms)
        ]);
        if let Some(e) = effective {
            let from = match &e.from {
                Some(on) => format!(" (values for {on})"),
                None => String::new(),
            };
            card = card.say(line!["  fires "].and(limits(e, t.metric).0).and([text(from)]));
        }
        if let Some(why) = &t.muted {
            card = card.say(line!["  not told: ", text(why)]);
        }
        if let Some(told) = &t.told {
            card = card.say(line!["  told by the webhook ", code(&told.hook)]);
        }
        if t.folded {
            card = card.say("  folded into the trouble of its node");
        }
    }
    let route = match (i.posted_ms, i.hold) {
        (Some(at), _) => {
            line!["Told ", ago(at), " in ", Piece::Ours(format!("<#{}>", i.channel).into()), "."]
        }
        (None, Some(hold)) => line!["Not told: ", hold.words(), "."],
        (None, None) => line!["Not told yet."],
    };
    card = card.say(route);
    for call in &i.calls {
        let whom = match (call.user, call.role) {
            (Some(user), _) => Piece::Person(user),
            (None, Some(role)) => Piece::Ours(format!("<@&{role}>").into()),
            (None, None) => "nobody".into(),
        };
        card = card.say(line!["Called ", whom, " ", ago(call.at_ms)]);
    }
    let covering =
        mutes.iter().filter(|m| view.alerts.iter().any(|(t, _)| m.covers(&t.rule, &t.subject)));
    let lines =
        covering.map(|m| line![text(m.words()), " until ", Piece::Time(m.until_ms, Clock::Full)]);
    card.field("Silences", lines.collect())
        .field("Where alerts come from", there.iter().map(|l| line![text(l)]).collect())
        .field("Timeline", timeline(i, 30))
        .foot(format!("ref {}", i.id))
}

/// What came of saying something.
pub fn said(verb: Verb, target: &str, said: &Said) -> Card {
    let words = words::verb(verb);
    match said {
        Said::Done(body, until) => {
            let card =
                Card::new(Tone::Good, line!["● ", text(capital(words.done))]).say(told(body));
            match until {
                Some(until) => card.say(line!["Until ", Piece::Time(*until, Clock::Full), "."]),
                None => card,
            }
        }
        Said::Denied { because } => super::refusal(verb, target, because),
        Said::Over { why } => super::note(Tone::Quiet, "○ Nothing changed", why),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|c| c.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}
