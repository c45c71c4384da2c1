//! Alerts in lists: incidents, what is not told, rules, silences.

use gantry_core::alert::{Incident, Muting, Phase, Rule, Tracked};

use super::alert::mark;
use super::{
    Card, Choice, Clock, Line, Piece, Place, Select, Tone, ago, as_of, bold, code, span, text, told,
};
use crate::line;
use crate::paint::OPTIONS_MAX;
use crate::token::{ScreenId, Token};

/// Alerts that are not told, named in a list.
const LISTED: usize = 20;

/// A page of incidents.
#[derive(Debug, Clone)]
pub struct IncidentList<'a> {
    /// `What is wrong now`, or `Incidents`.
    pub title: &'static str,
    /// Those on this page, in the order shown.
    pub rows: &'a [Incident],
    /// Where the page is.
    pub place: Place,
    /// Those of which everything is silenced or in maintenance.
    pub quiet: &'a [Incident],
    /// What is watched now; what of it is not told stands apart.
    pub alerts: &'a [Tracked],
    /// When it was read, milliseconds.
    pub read_ms: i64,
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// Incidents, with what is held back or silenced beside them.
pub fn incident_list(list: &IncidentList<'_>) -> Card {
    let open = list.rows.iter().any(Incident::is_open);
    let mut card = Card::new(if open { Tone::Warning } else { Tone::Good }, list.title);
    card = card.say(match list.place.total {
        0 => Line::from("● Nothing."),
        _ => line![text(list.place.words())],
    });
    for i in list.rows {
        let state = match (&i.resolved_ms, &i.ack, i.hold) {
            (Some(at), _, _) => line![" · over ", ago(*at)],
            (None, Some(ack), _) => line![" · taken care of by ", text(&ack.name)],
            (None, None, Some(hold)) if i.posted_ms.is_none() => line![" · ", hold.words()],
            _ => line![],
        };
        card = card.say(
            line![mark(i.severity), " ", bold(i.headline()), " · ", ago(i.opened_ms)].and(state.0),
        );
    }
    let choice = |i: &Incident| Choice {
        value: i.id.to_string(),
        label: i.headline(),
        hint: match (i.is_open(), i.is_silenced()) {
            (true, false) => i.severity.to_string(),
            (true, true) => format!("{}, not told", i.severity),
            (false, _) => format!("{}, over", i.severity),
        },
    };
    let choices: Vec<Choice> = list.rows.iter().chain(list.quiet).map(choice).collect();
    let hint = match choices.len().saturating_sub(OPTIONS_MAX) {
        0 => "Show one …".to_owned(),
        more => format!("Show one …; {more} more with /alert show"),
    };
    card.field("Not told", not_told(list))
        .say(as_of(list.read_ms))
        .select(Select { token: Token::Pick(list.screen.clone()), hint, choices })
        .buttons(list.place.buttons(list.screen))
}

/// What is not told, each with the reason.
fn not_told(list: &IncidentList<'_>) -> Vec<Line> {
    let quiet =
        |t: &&Tracked| t.phase == Phase::Held || t.phase == Phase::Firing && t.muted.is_some();
    let alerts = list.alerts.iter().filter(quiet).map(|t| {
        let why = match (&t.muted, &t.excuse) {
            (Some(why), _) => why.clone(),
            (None, Some(excuse)) => excuse.words(),
            (None, None) => String::new(),
        };
        line![bold(t.subject.label()), " · ", text(t.shown()), " · ", text(why)]
    });
    let mut lines: Vec<Line> = alerts.collect();
    let more = lines.len().saturating_sub(LISTED);
    lines.truncate(LISTED);
    if more > 0 {
        lines.push(line![text(format!("… and {more} more"))]);
    }
    lines
}

/// All rules.
pub fn rule_list(rules: &[Rule]) -> Card {
    let mut card = Card::new(Tone::Plain, "Rules of alerts");
    for rule in rules {
        let on = if rule.enabled { "●" } else { "○" };
        card = card.say(line![
            on,
            " ",
            code(&rule.id),
            " ",
            text(&rule.title),
            text(format!(" · {}", rule.severity)),
            text(match rule.exceptions.len() {
                0 => String::new(),
                n => format!(" · {n} with other values"),
            })
        ]);
    }
    card.say(
        "○ is off. `/rule show` has the values, `/rule override` changes them for this server.",
    )
}

/// One rule.
pub fn rule_show(rule: &Rule) -> Card {
    let mut card = Card::new(Tone::Plain, line![text(&rule.title)])
        .say(line!["Rule ", code(&rule.id), " looks at ", code(rule.metric.as_str()), "."])
        .say(line![
            "It is ",
            if rule.enabled { "on" } else { "off" },
            text(format!(", severity {}", rule.severity)),
            "."
        ]);
    let value = |v: f64| match rule.metric.shown(v) {
        text if text.is_empty() => format!("{v}"),
        text => text,
    };
    card = card.beside("Threshold", line![text(value(rule.threshold))]);
    if let Some(clear) = rule.clear {
        card = card.beside("Good again", line![text(value(clear))]);
    }
    if let Some(critical) = rule.critical {
        card = card.beside("Critical", line![text(value(critical))]);
    }
    card = card.beside("Must last", line![text(span(i64::from(rule.hold_s) * 1000))]);
    let on: Vec<&str> = rule.on.iter().map(|s| s.as_str()).collect();
    card = card.say(line!["For: ", code(on.join(" or "))]).say(line!["→ ", told(&rule.advice)]);
    let exceptions = rule.exceptions.iter().map(|e| {
        let mut words = Vec::new();
        words.extend(e.enabled.map(|on| if on { "on".to_owned() } else { "off".to_owned() }));
        words.extend(e.threshold.map(|v| format!("threshold {}", value(v))));
        words.extend(e.clear.map(|v| format!("good again {}", value(v))));
        words.extend(e.critical.map(|v| format!("critical {}", value(v))));
        words.extend(e.hold_s.map(|s| format!("must last {s} s")));
        words.extend(e.severity.map(|s| s.to_string()));
        line![code(e.on.as_str()), ": ", text(words.join(", "))]
    });
    card.field("Other values; the first that fits counts", exceptions.collect())
}

/// A page of silences and maintenance windows, each with what it is on.
pub fn mute_list(
    rows: &[(Muting, String)],
    place: Place,
    hidden: usize,
    screen: &ScreenId,
) -> Card {
    let mut card = Card::new(Tone::Plain, "Silences and maintenance");
    if place.total > 0 {
        card = card.say(line![text(place.words())]);
    } else if hidden == 0 {
        card = card.say("None. Everything is told.");
    }
    if hidden > 0 {
        let what = format!("{hidden} more about what is not yours to see.");
        card = card.say(line![text(what)]);
    }
    for (m, on) in rows {
        card = card.say(line!["• ", bold(on), " · ", text(m.words()), " · until "].and([
            Piece::Time(m.until_ms, Clock::Full),
            " · ".into(),
            code(m.id.as_str()),
        ]));
    }
    card.select(Select {
        token: Token::Pick(screen.clone()),
        hint: "End one now …".into(),
        choices: rows
            .iter()
            .map(|(m, on)| Choice {
                value: m.id.to_string(),
                label: format!("End: {on}"),
                hint: m.words(),
            })
            .collect(),
    })
    .buttons(place.buttons(screen))
}
