//! Text within a length: shortened before it is escaped, cut at whole lines, and honest about what is missing.
//! Called by `paint` only.

use super::{CUT_NOTE_ROOM, DESCRIPTION_MAX, FIELD_VALUE_MAX};
use crate::card::{Clock, Line, Part, Piece};
use crate::escape;

/// Room for a log box in the description, so that what stands around it is always seen.
const LOG_MAX: usize = 1500;
/// Room for one log line.
const LOG_LINE_MAX: usize = 300;
/// What stands where something was cut off.
const MORE: char = '…';
/// Units as cards write them after a number.
const MEASURES: &[&str] = &[
    "%", "B", "KiB", "MiB", "GiB", "TiB", "PiB", "ms", "s", "min", "h", "d", "day", "days", "core",
    "cores",
];
/// Of these, those a span of time is put together from: `3 h 5 min`.
const SPANS: &[&str] = &["s", "min", "h", "d"];

/// Length as Discord counts it.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The longest start of `text` within `max` units, with `…` where something is missing.
pub fn cut(text: &str, max: usize) -> String {
    if units(text) <= max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut room = max.saturating_sub(1);
    for c in text.chars() {
        if c.len_utf16() > room {
            break;
        }
        room -= c.len_utf16();
        out.push(c);
    }
    if max > 0 {
        out.push(MORE);
    }
    out
}

/// The same with spaces that do not break between a number and its unit: on a phone `1.1 GiB` stays on one line. What
/// is in backticks is left as it is: it is there to be copied.
fn together(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let mut out = String::with_capacity(text.len() + 8);
    let (mut code, mut held) = (false, false);
    for (n, word) in words.iter().enumerate() {
        out.push_str(word);
        let mut escaped = false;
        for c in word.chars() {
            code ^= c == '`' && !escaped;
            escaped = c == '\\' && !escaped;
        }
        let Some(next) = words.get(n + 1) else { break };
        let measured = |n: usize, of: &[&str]| {
            words.get(n).and_then(|w| measure(w)).is_some_and(|unit| of.contains(&unit))
        };
        let number = word.ends_with(|c: char| c.is_ascii_digit());
        let on =
            held && measured(n, SPANS) && next.parse::<u64>().is_ok() && measured(n + 2, SPANS);
        held = !code && (number && measured(n + 1, MEASURES) || on);
        out.push(if held { '\u{a0}' } else { ' ' });
    }
    out
}

/// The unit a word is, whatever stands after it: `GiB),`.
fn measure(word: &str) -> Option<&str> {
    let end = word.find(|c: char| !c.is_ascii_alphabetic() && c != '%').unwrap_or(word.len());
    let (unit, rest) = word.split_at(end);
    let other = rest.starts_with(|c: char| c.is_alphanumeric() || "-_=".contains(c));
    (!other && MEASURES.contains(&unit)).then_some(unit)
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Ours(words) => together(words),
        Piece::Theirs(words) => together(&escape::markdown(words)),
        Piece::Bold(words) if words.trim().is_empty() => escape::markdown(words),
        Piece::Bold(words) => format!("**{}**", together(&escape::markdown(words))),
        Piece::Code(words) => escape::code(words),
        Piece::Told(words) => together(&escape::told(words)),
        Piece::Time(ms, clock) => {
            let style = match clock {
                Clock::Ago => "R",
                Clock::Full => "f",
                Clock::Short => "T",
            };
            format!("<t:{}:{style}>", ms.div_euclid(1000))
        }
        Piece::Person(user) => format!("<@{user}>"),
    }
}

/// Length of a piece as it came, in characters.
fn raw_len(piece: &Piece) -> usize {
    match piece {
        Piece::Ours(words) => words.chars().count(),
        Piece::Theirs(w) | Piece::Bold(w) | Piece::Code(w) | Piece::Told(w) => w.chars().count(),
        Piece::Time(..) | Piece::Person(_) => 0,
    }
}

/// A piece shortened before it is escaped, so that no escape is ever cut in half.
fn piece_within(whole: &Piece, room: usize) -> String {
    let shorter = |n: usize| match whole {
        Piece::Ours(words) => Piece::Ours(cut(words, n).into()),
        Piece::Theirs(words) => Piece::Theirs(cut(words, n)),
        Piece::Bold(words) => Piece::Bold(cut(words, n)),
        Piece::Code(words) => Piece::Code(cut(words, n)),
        Piece::Told(words) => Piece::Told(cut(words, n)),
        Piece::Time(..) | Piece::Person(_) => Piece::Ours("".into()),
    };
    let mut n = room;
    loop {
        let text = piece(&shorter(n));
        if units(&text) <= room || n == 0 {
            return if units(&text) <= room { text } else { String::new() };
        }
        n /= 2;
    }
}

pub(super) fn line_within(line: &Line, max: usize, missing: &mut bool) -> String {
    let mut out = String::new();
    let mut used = 0;
    for p in &line.0 {
        // Escaping never shortens, so what is too long already is not escaped whole: a name may be 64 KiB.
        let text = if raw_len(p) > max - used { None } else { Some(piece(p)) };
        if let Some(text) = text.filter(|t| used + units(t) <= max) {
            used += units(&text);
            out.push_str(&text);
        } else {
            *missing = true;
            out.push_str(&piece_within(p, max - used));
            break;
        }
    }
    out
}

/// As many lines as fit; where some do not, the last line says how many are left out.
pub(super) fn lines_within(lines: &[Line], max: usize, missing: &mut bool) -> String {
    let mut out = String::new();
    let mut left = max.saturating_sub(CUT_NOTE_ROOM);
    for (n, line) in lines.iter().enumerate() {
        let mut shortened = false;
        let text = line_within(line, FIELD_VALUE_MAX, &mut shortened);
        let last = n + 1 == lines.len();
        let room = if last { left + CUT_NOTE_ROOM.min(max) } else { left };
        let need = units(&text) + usize::from(n > 0);
        if need > room {
            *missing = true;
            if n == 0 {
                out = line_within(line, left, &mut shortened);
                if lines.len() > 1 {
                    push_line(&mut out, &more(lines.len() - 1));
                }
            } else {
                push_line(&mut out, &more(lines.len() - n));
            }
            return out;
        }
        *missing |= shortened;
        left = left.saturating_sub(need);
        push_line(&mut out, &text);
    }
    out
}

pub(super) fn push_line(out: &mut String, line: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(line);
}

fn more(lines: usize) -> String {
    let s = if lines == 1 { "" } else { "s" };
    format!("… {lines} more line{s} in the attached file")
}

pub(super) fn body_within(parts: &[Part], max: usize, missing: &mut bool) -> String {
    let mut out = String::new();
    for (n, part) in parts.iter().enumerate() {
        let left = max.saturating_sub(units(&out) + 1);
        let mut part_missing = false;
        let text = match part {
            Part::Line(line) => line_within(line, DESCRIPTION_MAX, &mut part_missing),
            Part::Log(lines) => log_within(lines, LOG_MAX.min(left), &mut part_missing),
        };
        // Only the last part may use the room kept for saying what was cut.
        let last = n + 1 == parts.len();
        let room = if last { left } else { left.saturating_sub(CUT_NOTE_ROOM) };
        if units(&text) > room {
            *missing = true;
            let note = more(parts.len() - n);
            if units(&note) <= left {
                push_line(&mut out, &note);
            }
            return out;
        }
        *missing |= part_missing;
        push_line(&mut out, &text);
    }
    out
}

/// The newest lines of a log that fit into a box.
fn log_within(lines: &[String], max: usize, missing: &mut bool) -> String {
    const FENCES: usize = "```\n\n```".len();
    let mut left = max.saturating_sub(FENCES + CUT_NOTE_ROOM);
    let mut kept = Vec::new();
    for line in lines.iter().rev() {
        let shown = cut(&escape::boxed(&cut(line, LOG_LINE_MAX)), LOG_LINE_MAX);
        // A line cut between two backticks could meet the closing fence.
        let shown = shown.trim_end_matches('`').to_owned();
        if units(&shown) + 1 > left {
            break;
        }
        left -= units(&shown) + 1;
        *missing |= units(line) > LOG_LINE_MAX;
        kept.push(shown);
    }
    kept.reverse();
    let dropped = lines.len() - kept.len();
    let mut out = String::new();
    if dropped > 0 {
        *missing = true;
        let s = if dropped == 1 { "" } else { "s" };
        push_line(&mut out, &format!("… {dropped} earlier line{s} in the attached file"));
    }
    if kept.iter().any(|l| !l.trim().is_empty()) {
        push_line(&mut out, &format!("```\n{}\n```", kept.join("\n")));
    }
    out
}
