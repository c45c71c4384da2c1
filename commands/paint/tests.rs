//! Whatever a card holds, its message is within Discord's limits and says what was cut.

use gantry_core::id::{OperationId, PlanId, UserId};
use proptest::prelude::*;

use super::*;
use crate::card::Clock;
use crate::card::{Button, Choice, Field, File, Select};
use crate::token::{ScreenId, Token};

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        ".{0,80}",
        "[*_`<@#\\[\\]~|:/\\\\]{0,200}",
        (any::<char>(), 0usize..3000).prop_map(|(c, n)| c.to_string().repeat(n)),
        "(```|``|`|\u{202e}|@everyone|<@1>|https://x|\n){0,40}",
    ]
}

fn any_line() -> impl Strategy<Value = Line> {
    let piece = (0usize..6, any_text(), any::<i64>()).prop_map(|(n, t, ms)| match n {
        0 => Piece::Theirs(t),
        1 => Piece::Bold(t),
        2 => Piece::Code(t),
        3 => Piece::Told(t),
        4 => Piece::Time(ms, Clock::Ago),
        _ => Piece::Person(UserId(u64::MAX)),
    });
    proptest::collection::vec(piece, 0..5).prop_map(Line)
}

fn any_row() -> impl Strategy<Value = Row> {
    let token = (0usize..3, 0i64..9).prop_map(|(n, ms)| match n {
        0 => Token::Confirm(PlanId::new(ms, 1)),
        1 => Token::CancelOp(OperationId::new(ms, 1)),
        _ => Token::Pick(ScreenId::mint(ms, "", "")),
    });
    let choice = (any_text(), any_text(), any_text()).prop_map(|(value, label, hint)| Choice {
        value,
        label,
        hint,
    });
    (
        any::<bool>(),
        any_text(),
        proptest::collection::vec((token, any_text()), 0..9),
        proptest::collection::vec(choice, 0..40),
    )
        .prop_map(|(buttons, hint, tokens, choices)| {
            if buttons || tokens.is_empty() {
                Row::Buttons(
                    tokens.into_iter().map(|(t, l)| Button::new(t, l, Look::Plain)).collect(),
                )
            } else {
                Row::Select(Select { token: tokens[0].0.clone(), hint, choices })
            }
        })
}

fn any_card() -> impl Strategy<Value = Card> {
    let part = prop_oneof![
        any_line().prop_map(Part::Line),
        proptest::collection::vec(any_text(), 0..30).prop_map(Part::Log),
    ];
    let field = (any_line(), proptest::collection::vec(any_line(), 0..8), any::<bool>())
        .prop_map(|(name, lines, inline)| Field { name, lines, inline });
    let file = (any_text(), any_text()).prop_map(|(name, text)| File { name, text });
    (
        any_line(),
        proptest::collection::vec(part, 0..30),
        proptest::collection::vec(field, 0..30),
        any_text(),
        proptest::collection::vec(any_row(), 0..8),
        proptest::collection::vec(file, 0..12),
    )
        .prop_map(|(title, body, fields, footer, rows, files)| Card {
            tone: Tone::Plain,
            title,
            body,
            fields,
            footer,
            rows,
            files,
            picture: None,
        })
}

fn check_limits(p: &Painted) {
    let within = |text: &str, max: usize, what: &str| {
        assert!(units(text) <= max, "{what}: {} > {max}", units(text));
    };
    within(&p.title, TITLE_MAX, "title");
    assert!(!p.title.trim().is_empty());
    within(&p.description, DESCRIPTION_MAX, "description");
    within(&p.footer, FOOTER_MAX, "footer");
    assert!(p.fields.len() <= FIELDS_MAX);
    let mut sum = units(&p.title) + units(&p.description) + units(&p.footer);
    for (name, value, _) in &p.fields {
        within(name, FIELD_NAME_MAX, "field name");
        within(value, FIELD_VALUE_MAX, "field value");
        assert!(!name.trim().is_empty() && !value.trim().is_empty());
        sum += units(name) + units(value);
    }
    assert!(sum <= EMBED_SUM_MAX, "sum {sum}");
    assert!(p.rows.len() <= ROWS_MAX);
    assert!(p.files.len() <= FILES_MAX);
    assert_eq!(p.description.matches("```").count() % 2, 0, "an open box");
    let mut ids = std::collections::HashSet::new();
    for row in &p.rows {
        match row {
            Row::Buttons(buttons) => {
                assert!((1..=BUTTONS_MAX).contains(&buttons.len()));
                for b in buttons {
                    assert!(ids.insert(b.token.to_string()));
                    within(&b.label, LABEL_MAX, "label");
                    assert!(!b.label.trim().is_empty());
                }
            }
            Row::Select(s) => {
                assert!(ids.insert(s.token.to_string()));
                assert!((1..=OPTIONS_MAX).contains(&s.choices.len()));
                within(&s.hint, PLACEHOLDER_MAX, "placeholder");
                for c in &s.choices {
                    within(&c.label, OPTION_TEXT_MAX, "option label");
                    within(&c.value, OPTION_TEXT_MAX, "option value");
                    within(&c.hint, OPTION_TEXT_MAX, "option hint");
                    assert!(!c.label.trim().is_empty() && !c.value.is_empty());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::cases(200))]
    #[test]
    fn whatever_is_in_a_card_the_message_is_within_limits(card in any_card()) {
        check_limits(&paint(&card));
    }
}

#[test]
fn a_short_card_is_painted_whole() {
    let card = Card::new(Tone::Good, line!["✓ ", text("a_b"), " started"]).say("Done.").foot("ref");
    let painted = paint(&card);
    assert_eq!(painted.title, "✓ a\\_b started");
    assert_eq!(painted.description, "Done.");
    assert!(painted.files.is_empty());
}

#[test]
fn a_number_stands_on_one_line_with_its_unit_and_what_is_copied_is_as_it_was() {
    let card = Card::new(Tone::Plain, "Full")
        .say(text("up 41 d 0 h · 1.1 GiB of 8 GiB (55 %), 2 of them"))
        .say(crate::card::told("Wait 3 min, or use `/pod update pod:web-0 memory:5 h`"))
        .say(crate::card::code("5 GiB free"))
        .log(&["12 GiB copied".to_owned()]);
    let painted = paint(&card);
    let expected = "up 41_d_0_h · 1.1_GiB of 8_GiB (55_%), 2 of them\n\
                    Wait 3_min, or use `/pod update pod:web-0 memory:5 h`\n`5 GiB free`\n\
                    ```\n12 GiB copied\n```";
    assert_eq!(painted.description.replace('\u{a0}', "_"), expected);
    assert!(!plain(&card).contains('\u{a0}'), "the text that is attached has plain spaces");
}

#[test]
fn what_does_not_fit_is_counted_and_attached() {
    let lines: Vec<Line> = (0..500).map(|n| line![text(format!("guest number {n}"))]).collect();
    let painted = paint(&Card::new(Tone::Plain, "Guests").lines(lines));
    let last = painted.description.lines().last().unwrap_or_default();
    assert!(last.starts_with("… ") && last.ends_with(" more lines in the attached file"), "{last}");
    let shown = painted.description.lines().count() - 1;
    assert!(last.contains(&format!("… {} more", 500 - shown)), "{last} after {shown}");
    let (_, whole) = &painted.files[0];
    assert!(String::from_utf8_lossy(whole).contains("guest number 499"));
}

#[test]
fn of_a_long_log_the_end_is_kept() {
    let log: Vec<String> = (0..10_000).map(|n| format!("line {n}")).collect();
    let painted = paint(&Card::new(Tone::Bad, "Log").log(&log).say("Now: stopped"));
    assert!(painted.description.contains("line 9999\n```"));
    assert!(painted.description.starts_with("… "));
    assert!(painted.description.ends_with("Now: stopped"));
    check_limits(&painted);
}

use crate::card::text;
use crate::line;
