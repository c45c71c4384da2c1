//! Text in pieces: what we say, and what others wrote. The painter escapes the second kind, so that a
//! guest called `**@everyone**` is read as exactly that.
//!
//! A `&'static str` becomes our own words, a `String` becomes somebody else's: the compiler keeps them apart.

use std::borrow::Cow;

use gantry_core::id::UserId;

/// How a moment is shown; Discord puts it into the reader's own zone and language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// `3 minutes ago`, kept current by the reader's client.
    Ago,
    /// Date and time.
    Full,
    /// Time of day.
    Short,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Our own words; may hold Discord markdown.
    Ours(Cow<'static, str>),
    /// From outside: shown letter by letter.
    Theirs(String),
    /// From outside, in bold.
    Bold(String),
    /// From outside, as code.
    Code(String),
    /// A sentence of ours with names from outside in it: escaped, save commands and verbs in backticks.
    Told(String),
    /// A moment, milliseconds since the epoch.
    Time(i64, Clock),
    /// A person; pings nobody by itself.
    Person(UserId),
}

impl From<&'static str> for Piece {
    fn from(words: &'static str) -> Self {
        Self::Ours(Cow::Borrowed(words))
    }
}

impl From<String> for Piece {
    fn from(words: String) -> Self {
        Self::Theirs(words)
    }
}

/// A line of text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line(pub Vec<Piece>);

impl Line {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds pieces at the end.
    #[must_use]
    pub fn and(mut self, more: impl IntoIterator<Item = Piece>) -> Self {
        self.0.extend(more);
        self
    }
}

impl From<&'static str> for Line {
    fn from(words: &'static str) -> Self {
        Self(vec![words.into()])
    }
}

impl From<Piece> for Line {
    fn from(piece: Piece) -> Self {
        Self(vec![piece])
    }
}

/// A line from pieces: `line!["Deleting ", bold(&name)]`.
#[macro_export]
#[doc(hidden)]
macro_rules! line {
    ($($piece:expr),* $(,)?) => {
        $crate::card::Line(vec![$($crate::card::Piece::from($piece)),*])
    };
}

/// Somebody else's words.
pub fn text(words: impl Into<String>) -> Piece {
    Piece::Theirs(words.into())
}

/// Somebody else's words, in bold.
pub fn bold(words: impl Into<String>) -> Piece {
    Piece::Bold(words.into())
}

/// Somebody else's words, as code.
pub fn code(words: impl Into<String>) -> Piece {
    Piece::Code(words.into())
}

/// A sentence from plan, engine or policy.
pub fn told(words: impl Into<String>) -> Piece {
    Piece::Told(words.into())
}

/// A moment, as `3 minutes ago`.
pub fn ago(ms: i64) -> Piece {
    Piece::Time(ms, Clock::Ago)
}

/// `As of 12 seconds ago`: under everything that shows observed state.
pub fn as_of(ms: i64) -> Line {
    if ms <= 0 { Line::from("Not read yet.") } else { line!["As of ", ago(ms)] }
}
