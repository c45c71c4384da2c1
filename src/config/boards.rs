//! `[boards]`: how often status boards are edited.

use super::read::Section;

/// How status boards are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boards {
    /// Least time between two edits of a board, seconds.
    pub every_s: u32,
}

pub(super) fn read(mut s: Section<'_>) -> Boards {
    let boards = Boards { every_s: s.number("every_s", 30, 5..=3600) };
    s.finish();
    boards
}
