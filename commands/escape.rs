//! Makes text from outside safe to show: rendered, it reads letter by letter as it was, pings nobody, links
//! nowhere and cannot break out of a box. What cannot be seen is made visible. Called by `paint` only.

use gantry_core::action::Verb;

/// Whether a character is invisible or turns the writing direction; shown as its number instead.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Replaces what cannot be seen; line breaks become spaces unless `keep_breaks`.
pub fn visible(text: &str, keep_breaks: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if keep_breaks => out.push('\n'),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() && (c as u32) < 0x20 => {
                // The picture of the control character, as terminals show it.
                out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'));
            }
            c if c.is_control() || is_unseen(c) => {
                out.push_str(&format!("‹U+{:04X}›", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

/// One line of markdown that renders as `text`.
pub fn markdown(text: &str) -> String {
    let text = visible(text, false);
    let mut out = String::with_capacity(text.len() + 8);
    let mut line_start = true;
    let mut rest = text.as_str();
    let mut number = true;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let escape = match c {
            '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '<' => true,
            '#' | '-' | '+' | '>' | '=' => line_start,
            // `1.` at the start would become a list.
            '.' | ')' => number && !line_start,
            '@' => after.starts_with("everyone") || after.starts_with("here"),
            // No address becomes a link.
            ':' => after.starts_with("//") || is_emoji_name(after),
            _ => false,
        };
        if escape {
            out.push('\\');
        }
        out.push(c);
        number = c.is_ascii_digit() && (line_start || number);
        if c != ' ' {
            line_start = false;
        }
        rest = after;
    }
    out
}

/// Whether a colon followed by this would be read as an emoji's name.
fn is_emoji_name(after: &str) -> bool {
    let name = after.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    name >= 2 && after.as_bytes().get(name) == Some(&b':')
}

/// Inline code that shows `text`.
pub fn code(text: &str) -> String {
    let text = visible(text, false);
    if text.trim().is_empty() || text.contains('`') { markdown(&text) } else { format!("`{text}`") }
}

/// A line for the inside of a box: three backticks in a row can no longer close it.
pub fn boxed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in visible(text, false).chars() {
        if c == '`' && before == '`' {
            out.push('\u{200b}');
        }
        out.push(c);
        before = c;
    }
    out
}

/// A sentence of ours with outside names in it: backticks around a command of ours (`/node status`), a verb
/// (`guest.start`) and the bold name of a field at a line's start stay; everything else is escaped.
pub fn told(text: &str) -> String {
    let mut out = String::new();
    for (n, line) in text.split('\n').enumerate() {
        if n > 0 {
            out.push('\n');
        }
        told_line(line, &mut out);
    }
    out
}

fn told_line(line: &str, out: &mut String) {
    let mut plain = String::new();
    let mut rest = line;
    if let Some((field, after)) = field_of(rest) {
        out.push_str(&format!("**{field}**"));
        rest = after;
    }
    while !rest.is_empty() {
        let span = rest.strip_prefix('`').and_then(|inner| inner.split_once('`'));
        if let Some((word, after)) = span.filter(|(word, _)| is_ours(word)) {
            out.push_str(&markdown(&plain));
            plain.clear();
            out.push_str(&format!("`{word}`"));
            rest = after;
        } else if let Some(c) = rest.chars().next() {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out.push_str(&markdown(&plain));
}

/// `**vlan**: …` at the start of a line names a field of a specification; nothing else may be bold.
fn field_of(line: &str) -> Option<(&str, &str)> {
    let (word, after) = line.strip_prefix("**")?.split_once("**")?;
    let plain = word.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
    (plain && (1..=20).contains(&word.len()) && after.starts_with(": ")).then_some((word, after))
}

fn is_ours(word: &str) -> bool {
    let command = word.strip_prefix('/').is_some_and(|w| {
        (1..=60).contains(&w.len())
            && w.starts_with(|c: char| c.is_ascii_lowercase())
            && w.chars().all(|c| c.is_ascii_alphanumeric() || " -:_".contains(c))
    });
    command || word.parse::<Verb>().is_ok()
}

/// What a Discord client shows for markdown that `markdown` made: the test's own, simple reading.
#[cfg(test)]
pub fn rendered(markdown: &str) -> String {
    let mut out = String::new();
    let mut letters = markdown.chars().peekable();
    while let Some(c) = letters.next() {
        match letters.peek() {
            Some(next) if c == '\\' && next.is_ascii_punctuation() => {
                out.push(*next);
                letters.next();
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::cases(256))]
        #[test]
        fn what_is_shown_is_what_it_was(text in any::<String>()) {
            prop_assert_eq!(rendered(&markdown(&text)), visible(&text, false));
        }

        #[test]
        fn no_mark_is_left_unescaped(text in "[-a-z*_~`|<>\\[\\]#+.@:/ 1]{0,40}") {
            let out = markdown(&text);
            let mut escaped = false;
            for c in out.chars() {
                if !escaped {
                    prop_assert!(!"*_~`|<[]".contains(c), "{out}");
                }
                escaped = c == '\\' && !escaped;
            }
            prop_assert!(!out.contains("@everyone") || out.contains("\\@everyone"));
            prop_assert!(!out.replace("\\:", "\\").contains("://"), "{}", out);
        }

        #[test]
        fn a_box_cannot_be_closed(text in any::<String>()) {
            prop_assert!(!boxed(&text).contains("```"));
            prop_assert!(!boxed(&"`".repeat(text.len() % 9)).contains("``"));
        }
    }

    #[test]
    fn names_made_to_hurt_read_as_they_are() {
        for (name, shown) in [
            ("web-0", "web-0"),
            ("@everyone", "\\@everyone"),
            ("<@123>", "\\<@123>"),
            ("[x](https://evil)", "\\[x\\](https\\://evil)"),
            ("a_b*c", "a\\_b\\*c"),
            ("# big", "\\# big"),
            ("1. one", "1\\. one"),
            ("a\u{202e}b\u{200b}", "a‹U+202E›b‹U+200B›"),
            ("\u{1b}[31mred", "␛\\[31mred"),
            ("<t:1:R>", "\\<t:1:R>"),
        ] {
            assert_eq!(markdown(name), shown);
        }
        assert_eq!(code("a`b"), "a\\`b");
        assert_eq!(code("ok"), "`ok`");
    }

    #[test]
    fn our_own_commands_keep_their_backticks_and_others_do_not() {
        assert_eq!(
            told("Use `/node status` or `guest.start`."),
            "Use `/node status` or `guest.start`."
        );
        assert_eq!(told("**name**: wrong"), "**name**: wrong");
        assert_eq!(told("Start **x**: now"), "Start \\*\\*x\\*\\*: now");
        assert_eq!(
            told("guest `rm` and **@everyone**"),
            "guest \\`rm\\` and \\*\\*\\@everyone\\*\\*"
        );
    }
}
