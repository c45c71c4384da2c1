//! The audit log as people read it.

use gantry_core::audit::{AuditEvent, AuditRow};

use super::{Card, Line, Place, Tone, ago, bold, code, text, told};
use crate::line;
use crate::token::ScreenId;

/// A page of the log.
#[derive(Debug, Clone)]
pub struct AuditList<'a> {
    /// Rows of this page that the asker may see, newest first.
    pub rows: &'a [AuditRow],
    /// Where the page is; counts those the asker may not see, too.
    pub place: Place,
    /// The filters in force.
    pub filters: &'a [String],
    /// Rows of this page the asker may not see.
    pub hidden: usize,
    /// Its screen.
    pub screen: &'a ScreenId,
}

fn event(event: AuditEvent) -> (&'static str, &'static str) {
    match event {
        AuditEvent::Denied => ("✗", "was refused"),
        AuditEvent::Proposed => ("○", "asked for"),
        AuditEvent::Confirmed => ("●", "confirmed"),
        AuditEvent::PressDenied => ("✗", "pressed without the right to"),
        AuditEvent::Dropped => ("–", "dropped"),
        AuditEvent::AboutTo => ("●", "makes gantry send"),
        AuditEvent::Answered => ("○", "got an answer"),
        AuditEvent::CancelAsked => ("–", "asked to stop"),
        AuditEvent::Ended => ("■", "ended"),
    }
}

fn who(row: &AuditRow) -> String {
    if row.user_name.is_empty() { "gantry".to_owned() } else { row.user_name.clone() }
}

/// The log.
pub fn audit_list(list: &AuditList<'_>) -> Card {
    let mut card = Card::new(Tone::Plain, "Audit log");
    if !list.filters.is_empty() {
        card = card.say(line!["Only: ", text(list.filters.join(", "))]);
    }
    card = card.say(if list.place.total == 0 {
        Line::from("Nothing yet.")
    } else {
        line![text(list.place.words())]
    });
    for row in list.rows {
        let (mark, did) = event(row.event);
        card = card.say(line![
            mark,
            " ",
            ago(row.at_ms),
            " ",
            bold(who(row)),
            " ",
            did,
            " ",
            code(row.verb.as_str()),
            text(if row.target.is_empty() { String::new() } else { format!(" {}", row.target) }),
        ]);
        if !row.detail.is_empty() {
            card = card.say(line!["  ", told(&row.detail)]);
        }
    }
    if list.hidden > 0 {
        card = card.say(line![text(format!("{} on this page you may not see.", list.hidden))]);
    }
    card.buttons(list.place.buttons(list.screen))
}

/// A row on an operation's own card, where the target is known already.
pub(super) fn trail_line(row: &AuditRow) -> Line {
    let (mark, did) = event(row.event);
    let line = line![mark, " ", ago(row.at_ms), " ", bold(who(row)), " ", did];
    if row.detail.is_empty() { line } else { line.and([" · ".into(), told(&row.detail)]) }
}
