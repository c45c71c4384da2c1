//! Cards: what a person reads, as values. Everything here is pure; `paint` turns a card into a message.
//!
//! The important word comes first, a line says one thing, observed state says its age.

mod alert;
mod alert_list;
mod audit;
mod board;
mod cluster;
mod forward;
mod graph;
mod guest;
mod help;
mod image;
mod line;
mod network;
mod node;
mod notify;
mod op;
mod outcome;
mod progress;
mod proposal;
mod question;
mod report;
mod set;
mod snapshot;
mod task;
mod units;

pub use alert::{MUTE_TIMES, explain, incident, remedies, said};
pub use alert_list::{IncidentList, incident_list, mute_list, rule_list, rule_show};
pub use audit::{AuditList, audit_list};
pub use board::{board, board_list};
pub use cluster::{ClusterCard, cluster_status};
pub use forward::forward_list;
pub use graph::graph;
pub use guest::{GuestList, GuestShow, PodShow, guest_list, guest_show, pod_show, status_mark};
pub use help::{HelpEntry, PAGES, asked_for, help_page, page_of, whoami};
pub use image::{ImageListCard, ImageShowCard, image_list, image_show};
pub use line::{Clock, Line, Piece, ago, as_of, bold, code, text, told};
pub use network::{bridge_list, bridge_show, vnet_list};
pub use node::{NodeFacts, NodeList, node_list, node_show};
pub use notify::notifications;
pub use op::{OpList, op_list, op_show};
pub use outcome::outcome;
pub use progress::{progress, still};
pub(crate) use proposal::sentence as full_stop;
pub use proposal::{changed, dropped, proposal};
pub use question::{
    choice, fault, file_problems, not_read_yet, note, problems, refusal, unknown_guest,
};
pub use report::report_card;
pub use set::{set_history, set_list, set_show};
pub use snapshot::{move_to, snapshot_list};
pub use task::{TaskList, task_list, task_log, task_show};
pub use units::{bar, bytes, percent, span};

use crate::token::Token;

/// What colour the bar at the side has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Information.
    Plain,
    /// Waiting for somebody.
    Question,
    /// Under way.
    Working,
    /// Done.
    Good,
    /// Done with warnings, or something to look at.
    Warning,
    /// Not done, or refused.
    Bad,
    /// Nobody knows.
    Unknown,
    /// Over, nothing happened.
    Quiet,
}

/// A part of a card's body.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A line of text.
    Line(Line),
    /// Lines of a log, in a box. The newest stand last and are kept when room is short.
    Log(Vec<String>),
}

impl<T: Into<Line>> From<T> for Part {
    fn from(line: T) -> Self {
        Self::Line(line.into())
    }
}

/// A small heading with lines under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The heading.
    pub name: Line,
    /// The lines.
    pub lines: Vec<Line>,
    /// Whether it may stand beside others.
    pub inline: bool,
}

/// How a button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The expected thing to press.
    Main,
    /// Anything else.
    Plain,
    /// What cannot be undone or hurts.
    Danger,
}

/// A button.
#[derive(Debug, Clone, PartialEq)]
pub struct Button {
    /// What it does.
    pub token: Token,
    /// What stands on it; shown as it is, never as markdown.
    pub label: String,
    /// How it looks.
    pub look: Look,
    /// Whether it can be pressed.
    pub enabled: bool,
}

impl Button {
    /// A button that can be pressed.
    pub fn new(token: Token, label: impl Into<String>, look: Look) -> Self {
        Self { token, label: label.into(), look, enabled: true }
    }
}

/// One thing a select offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What comes back when it is picked; at most 100 characters.
    pub value: String,
    /// What stands there.
    pub label: String,
    /// A smaller line under it.
    pub hint: String,
}

/// A menu of which one thing can be picked.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// What it does.
    pub token: Token,
    /// What stands on it before something is picked.
    pub hint: String,
    /// What it offers; at most 25 are shown, callers page beyond that.
    pub choices: Vec<Choice>,
}

/// A row under a card.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// Buttons.
    Buttons(Vec<Button>),
    /// A menu.
    Select(Select),
}

/// A text file that goes with a card.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// A picture that stands in a card.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its file's name, ending in `.png`.
    pub name: String,
    /// The PNG.
    pub png: Vec<u8>,
}

/// What a person reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Colour.
    pub tone: Tone,
    /// First line; the important word first.
    pub title: Line,
    /// The text.
    pub body: Vec<Part>,
    /// Headings with lines.
    pub fields: Vec<Field>,
    /// Small print: what to quote when asking for help. Never markdown.
    pub footer: String,
    /// Buttons and menus.
    pub rows: Vec<Row>,
    /// Files.
    pub files: Vec<File>,
    /// A picture.
    pub picture: Option<Picture>,
}

impl Card {
    /// A card with nothing but a title.
    pub fn new(tone: Tone, title: impl Into<Line>) -> Self {
        Self {
            tone,
            title: title.into(),
            body: Vec::new(),
            fields: Vec::new(),
            footer: String::new(),
            rows: Vec::new(),
            files: Vec::new(),
            picture: None,
        }
    }

    /// Adds a part to the text.
    #[must_use]
    pub fn say(mut self, part: impl Into<Part>) -> Self {
        self.body.push(part.into());
        self
    }

    /// Adds several lines.
    #[must_use]
    pub fn lines(mut self, lines: impl IntoIterator<Item = Line>) -> Self {
        self.body.extend(lines.into_iter().map(Part::Line));
        self
    }

    /// Adds a log box, unless there is no log.
    #[must_use]
    pub fn log(mut self, lines: &[String]) -> Self {
        if !lines.is_empty() {
            self.body.push(Part::Log(lines.to_vec()));
        }
        self
    }

    /// Adds a field, unless it has no lines.
    #[must_use]
    pub fn field(mut self, name: impl Into<Line>, lines: Vec<Line>) -> Self {
        if !lines.is_empty() {
            self.fields.push(Field { name: name.into(), lines, inline: false });
        }
        self
    }

    /// Adds a field that may stand beside others.
    #[must_use]
    pub fn beside(mut self, name: impl Into<Line>, line: impl Into<Line>) -> Self {
        self.fields.push(Field { name: name.into(), lines: vec![line.into()], inline: true });
        self
    }

    /// Adds a row of buttons, unless there are none.
    #[must_use]
    pub fn buttons(mut self, buttons: Vec<Button>) -> Self {
        if !buttons.is_empty() {
            self.rows.push(Row::Buttons(buttons));
        }
        self
    }

    /// Adds a menu, unless it offers nothing.
    #[must_use]
    pub fn select(mut self, select: Select) -> Self {
        if !select.choices.is_empty() {
            self.rows.push(Row::Select(select));
        }
        self
    }

    /// Sets the small print.
    #[must_use]
    pub fn foot(mut self, text: impl Into<String>) -> Self {
        self.footer = text.into();
        self
    }
}

/// Where a list stands: shown under it, and moved by its buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Page shown, from 0.
    pub page: u64,
    /// Rows on a page.
    pub size: u64,
    /// Rows in all.
    pub total: u64,
}

impl Place {
    /// The page nearest to `page` that exists.
    pub fn clamp(page: u64, size: u64, total: u64) -> Self {
        let size = size.max(1);
        Self { page: page.min(total.saturating_sub(1) / size), size, total }
    }

    /// Number of pages, at least 1.
    pub fn pages(self) -> u64 {
        self.total.div_ceil(self.size.max(1)).max(1)
    }

    /// Rows before this page.
    pub fn offset(self) -> u64 {
        self.page.saturating_mul(self.size)
    }

    /// `11–20 of 57`, or how many where all fit.
    pub fn words(self) -> String {
        if self.pages() <= 1 {
            return format!("{} in all", self.total);
        }
        let from = self.offset() + 1;
        let to = (self.offset() + self.size).min(self.total);
        format!("{from}–{to} of {} · page {} of {}", self.total, self.page + 1, self.pages())
    }

    /// The buttons that move it; always a refresh, the rest only where there is more than one page.
    pub fn buttons(self, screen: &crate::token::ScreenId) -> Vec<Button> {
        let mut row = Vec::new();
        if self.pages() > 1 {
            let mut add = |token, label: &str, enabled| {
                row.push(Button { token, label: label.into(), look: Look::Plain, enabled });
            };
            let (first, last) = (self.page == 0, self.page + 1 >= self.pages());
            add(Token::First(screen.clone()), "« First", !first);
            add(Token::Back(screen.clone()), "‹ Back", !first);
            add(Token::Next(screen.clone()), "Next ›", !last);
            add(Token::Last(screen.clone()), "Last »", !last);
        }
        row.push(Button::new(Token::Refresh(screen.clone()), "Refresh", Look::Plain));
        row
    }
}

#[cfg(test)]
mod seen;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_no_longer_exists_becomes_the_last_one() {
        assert_eq!(Place::clamp(9, 10, 57).page, 5);
        assert_eq!(Place::clamp(9, 10, 0).page, 0);
        assert_eq!(Place::clamp(1, 10, 10).page, 0);
        assert_eq!(Place::clamp(1, 10, 11).words(), "11–11 of 11 · page 2 of 2");
        assert_eq!(Place::clamp(0, 10, 3).words(), "3 in all");
    }
}
