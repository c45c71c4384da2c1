//! Card → message. The only place that knows Discord's limits; whatever a card holds, what comes out is within
//! them, says what was cut, and brings the whole text as a file. Called by `desk` and `courier`.

use serenity::all::{
    ButtonStyle, CreateActionRow, CreateAttachment, CreateButton, CreateEmbed, CreateEmbedFooter,
    CreateSelectMenu, CreateSelectMenuKind, CreateSelectMenuOption,
};

use crate::card::{Card, Line, Look, Part, Piece, Row, Tone};
use crate::escape;

mod text;

use text::{body_within, line_within, lines_within, push_line};
pub use text::{cut, units};

// Discord, resources/message and components/reference. Counted in UTF-16 units, the strictest reading.
/// Embed title.
pub const TITLE_MAX: usize = 256;
/// Embed description.
pub const DESCRIPTION_MAX: usize = 4096;
/// Fields of an embed.
pub const FIELDS_MAX: usize = 25;
/// Name of a field.
pub const FIELD_NAME_MAX: usize = 256;
/// Value of a field.
pub const FIELD_VALUE_MAX: usize = 1024;
/// Footer of an embed.
pub const FOOTER_MAX: usize = 2048;
/// All text of all embeds of a message together.
pub const EMBED_SUM_MAX: usize = 6000;
/// Rows of components.
pub const ROWS_MAX: usize = 5;
/// Buttons in a row.
pub const BUTTONS_MAX: usize = 5;
/// A button's label.
pub const LABEL_MAX: usize = 80;
/// Options of a select; also choices of an autocompletion.
pub const OPTIONS_MAX: usize = 25;
/// Label, value and description of an option.
pub const OPTION_TEXT_MAX: usize = 100;
/// Placeholder of a select.
pub const PLACEHOLDER_MAX: usize = 150;
/// Title of a form.
pub const MODAL_TITLE_MAX: usize = 45;
/// Label of a form's input.
pub const INPUT_LABEL_MAX: usize = 45;
/// Text of an input, typed or given.
pub const INPUT_VALUE_MAX: usize = 4000;
/// Placeholder of an input.
pub const INPUT_HINT_MAX: usize = 100;
/// Files of a message.
pub const FILES_MAX: usize = 10;

/// Our own bound for a file: a tenth of Discord's 10 MiB, more than anybody reads on a phone.
const FILE_MAX: usize = 1 << 20;
/// Characters of a file's name.
const FILE_NAME_MAX: usize = 80;
/// Characters of its ending: `toml`, `png`.
const FILE_KIND_MAX: usize = 5;
/// Our own bound for the small print; leaves the sum to the text.
const OUR_FOOTER_MAX: usize = 300;
/// Room kept for the sentence that says what was cut.
const CUT_NOTE_ROOM: usize = 80;
/// Room kept for the description when fields are many.
const DESCRIPTION_ROOM: usize = 2000;
/// Name of the file that holds the whole text.
const WHOLE: &str = "whole-text.txt";

/// A card within Discord's limits, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Painted {
    /// Title, markdown.
    pub title: String,
    /// Text, markdown.
    pub description: String,
    /// Colour of the bar.
    pub colour: u32,
    /// Fields: name, value, whether beside others.
    pub fields: Vec<(String, String, bool)>,
    /// Small print, plain.
    pub footer: String,
    /// Rows under it.
    pub rows: Vec<Row>,
    /// Files: name and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Which of the files stands in the embed as a picture.
    pub picture: Option<String>,
}

/// Paints a card.
pub fn paint(card: &Card) -> Painted {
    let mut missing = false;
    let title = line_within(&card.title, TITLE_MAX, &mut missing);
    let title = if title.trim().is_empty() { "–".to_owned() } else { title };
    let footer = cut(&escape::visible(&card.footer, false), OUR_FOOTER_MAX.min(FOOTER_MAX));

    let mut room = EMBED_SUM_MAX - units(&title) - units(&footer);
    let for_text = if card.body.is_empty() { 0 } else { DESCRIPTION_ROOM };
    let mut for_fields = room - for_text;
    let mut fields = Vec::new();
    for field in &card.fields {
        if fields.len() == FIELDS_MAX {
            missing = true;
            break;
        }
        let name = line_within(&field.name, FIELD_NAME_MAX, &mut missing);
        let name = if name.trim().is_empty() { "–".to_owned() } else { name };
        let Some(left) = for_fields.checked_sub(units(&name) + CUT_NOTE_ROOM) else {
            missing = true;
            break;
        };
        let value = lines_within(&field.lines, left.min(FIELD_VALUE_MAX), &mut missing);
        let value = if value.trim().is_empty() { "–".to_owned() } else { value };
        for_fields = for_fields.saturating_sub(units(&name) + units(&value));
        room -= units(&name) + units(&value);
        fields.push((name, value, field.inline));
    }
    let description = body_within(&card.body, room.min(DESCRIPTION_MAX), &mut missing);

    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    if missing {
        files.push((WHOLE.to_owned(), file_bytes(&plain(card))));
    }
    for file in card.files.iter().take(FILES_MAX - 1) {
        files.push((file_name(&file.name), file_bytes(&file.text)));
    }
    let picture = card.picture.as_ref().filter(|_| files.len() < FILES_MAX).map(|p| {
        files.push((file_name(&p.name), p.png.clone()));
        file_name(&p.name)
    });
    Painted {
        title,
        description,
        colour: colour(card.tone),
        fields,
        footer,
        rows: rows(&card.rows),
        files,
        picture,
    }
}

/// Colours that can be told apart by people who do not see red and green well.
fn colour(tone: Tone) -> u32 {
    match tone {
        Tone::Plain => 0x0058_65F2,
        Tone::Question => 0x003D_8BFD,
        Tone::Working => 0x00F0_B232,
        Tone::Good => 0x002D_A44E,
        Tone::Warning => 0x00E6_7E22,
        Tone::Bad => 0x00D8_3C3E,
        Tone::Unknown => 0x009B_59B6,
        Tone::Quiet => 0x0080_848E,
    }
}

fn rows(rows: &[Row]) -> Vec<Row> {
    let mut seen = std::collections::HashSet::new();
    let mut out = Vec::new();
    for row in rows {
        match row {
            Row::Buttons(buttons) => {
                let fresh: Vec<_> =
                    buttons.iter().filter(|b| seen.insert(b.token.to_string())).cloned().collect();
                for chunk in fresh.chunks(BUTTONS_MAX) {
                    let buttons = chunk.iter().cloned().map(|mut b| {
                        b.label = label(&b.label, LABEL_MAX);
                        b
                    });
                    out.push(Row::Buttons(buttons.collect()));
                }
            }
            Row::Select(select) => {
                if select.choices.is_empty() || !seen.insert(select.token.to_string()) {
                    continue;
                }
                let mut select = select.clone();
                let mut values = std::collections::HashSet::new();
                select.hint = label(&select.hint, PLACEHOLDER_MAX);
                select.choices.retain(|c| {
                    !c.value.is_empty()
                        && units(&c.value) <= OPTION_TEXT_MAX
                        && values.insert(c.value.clone())
                });
                select.choices.truncate(OPTIONS_MAX);
                for choice in &mut select.choices {
                    choice.label = label(&choice.label, OPTION_TEXT_MAX);
                    choice.hint = cut(&escape::visible(&choice.hint, false), OPTION_TEXT_MAX);
                }
                if !select.choices.is_empty() {
                    out.push(Row::Select(select));
                }
            }
        }
    }
    out.truncate(ROWS_MAX);
    out
}

/// Text for a label: no markdown there, so nothing to escape, but nothing unseen and never empty.
pub fn label(text: &str, max: usize) -> String {
    let text = cut(escape::visible(text, false).trim(), max);
    if text.is_empty() { "–".to_owned() } else { text }
}

fn file_name(name: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = name.chars().map(|c| if ok(c) { c } else { '_' }).collect();
    if name.trim_matches(['.', '_']).is_empty() {
        return "text.txt".to_owned();
    }
    // What kind of file it is stands at the end and stays.
    let (stem, kind) = match name.rsplit_once('.') {
        Some((stem, kind)) if kind.len() <= FILE_KIND_MAX => (stem, format!(".{kind}")),
        _ => (name.as_str(), String::new()),
    };
    stem.chars().take(FILE_NAME_MAX - kind.len()).chain(kind.chars()).collect()
}

fn file_bytes(text: &str) -> Vec<u8> {
    const END: &str = "\n… the rest was left out: the file would be larger than 1 MiB\n";
    if text.len() <= FILE_MAX {
        return text.as_bytes().to_vec();
    }
    let mut end = FILE_MAX - END.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{END}", &text[..end]).into_bytes()
}

/// The whole card as plain text: for the attached file and for tests.
pub fn plain(card: &Card) -> String {
    let mut out = plain_line(&card.title);
    for part in &card.body {
        match part {
            Part::Line(line) => push_line(&mut out, &plain_line(line)),
            Part::Log(lines) => {
                for line in lines {
                    push_line(&mut out, &format!("    {}", escape::visible(line, false)));
                }
            }
        }
    }
    for field in &card.fields {
        push_line(&mut out, &format!("\n{}", plain_line(&field.name)));
        for line in &field.lines {
            push_line(&mut out, &format!("  {}", plain_line(line)));
        }
    }
    if let Some(picture) = &card.picture {
        push_line(&mut out, &format!("\n(picture {})", file_name(&picture.name)));
    }
    if !card.footer.is_empty() {
        push_line(&mut out, &format!("\n{}", escape::visible(&card.footer, false)));
    }
    for row in &card.rows {
        match row {
            Row::Buttons(buttons) => {
                let labels: Vec<String> = buttons
                    .iter()
                    .map(|b| {
                        if b.enabled { format!("[{}]", b.label) } else { format!("({})", b.label) }
                    })
                    .collect();
                push_line(&mut out, &labels.join(" "));
            }
            Row::Select(select) => {
                push_line(&mut out, &format!("[{} ▾]", select.hint));
                for choice in &select.choices {
                    push_line(&mut out, &format!("  - {} · {}", choice.label, choice.hint));
                }
            }
        }
    }
    out.push('\n');
    out
}

fn plain_line(line: &Line) -> String {
    line.0
        .iter()
        .map(|p| match p {
            Piece::Ours(words) => words.to_string(),
            Piece::Theirs(w) | Piece::Bold(w) | Piece::Code(w) => escape::visible(w, false),
            Piece::Told(w) => escape::visible(w, true),
            Piece::Time(ms, _) => chrono::DateTime::from_timestamp_millis(*ms)
                .map(|t| t.format("%Y-%m-%d %H:%M:%S UTC").to_string())
                .unwrap_or_default(),
            Piece::Person(user) => format!("user {user}"),
        })
        .collect()
}

impl Painted {
    /// The embed.
    pub fn embed(&self) -> CreateEmbed {
        let mut embed = CreateEmbed::new().title(&self.title).colour(self.colour);
        if !self.description.trim().is_empty() {
            embed = embed.description(&self.description);
        }
        for (name, value, inline) in &self.fields {
            embed = embed.field(name, value, *inline);
        }
        if let Some(name) = &self.picture {
            embed = embed.attachment(name);
        }
        if !self.footer.trim().is_empty() {
            embed = embed.footer(CreateEmbedFooter::new(&self.footer));
        }
        embed
    }

    /// The rows under it; empty clears those of an earlier state.
    pub fn components(&self) -> Vec<CreateActionRow> {
        self.rows
            .iter()
            .map(|row| match row {
                Row::Buttons(buttons) => CreateActionRow::Buttons(
                    buttons
                        .iter()
                        .map(|b| {
                            CreateButton::new(b.token.to_string())
                                .label(&b.label)
                                .disabled(!b.enabled)
                                .style(match b.look {
                                    Look::Main => ButtonStyle::Primary,
                                    Look::Plain => ButtonStyle::Secondary,
                                    Look::Danger => ButtonStyle::Danger,
                                })
                        })
                        .collect(),
                ),
                Row::Select(select) => {
                    let options = select
                        .choices
                        .iter()
                        .map(|c| {
                            let option = CreateSelectMenuOption::new(&c.label, &c.value);
                            if c.hint.trim().is_empty() {
                                option
                            } else {
                                option.description(&c.hint)
                            }
                        })
                        .collect();
                    CreateActionRow::SelectMenu(
                        CreateSelectMenu::new(
                            select.token.to_string(),
                            CreateSelectMenuKind::String { options },
                        )
                        .placeholder(&select.hint),
                    )
                }
            })
            .collect()
    }

    /// Whether there are files.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// The files.
    pub fn attachments(&self) -> Vec<CreateAttachment> {
        self.files.iter().map(|(name, data)| CreateAttachment::bytes(data.clone(), name)).collect()
    }
}

#[cfg(test)]
mod tests;
