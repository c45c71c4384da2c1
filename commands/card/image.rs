//! Images: a list, the cache, and one of them.

use gantry_engine::{ImageDetail, ImageRow};

use super::{
    Button, Card, Choice, Line, Look, Place, Select, Tone, ago, as_of, bold, bytes, code, text,
    told,
};
use crate::line;
use crate::token::{ScreenId, Token};

/// Users named on a card before the rest is counted.
const USERS_SHOWN: usize = 15;
/// Longest value of a menu's choice.
const VALUE_MAX: usize = 100;
/// Storages that could not be read, named before the rest is counted.
const FAULTS_SHOWN: usize = 3;

/// A page of images.
#[derive(Debug, Clone)]
pub struct ImageListCard<'a> {
    /// Their cluster.
    pub cluster: &'a str,
    /// Those on this page.
    pub rows: &'a [ImageRow],
    /// All of them, for the sums.
    pub all: &'a [ImageRow],
    /// Storages that could not be read.
    pub faults: &'a [String],
    /// Whether only what gantry fetched is shown.
    pub fetched: bool,
    /// Where the page is.
    pub place: Place,
    /// When it was read, milliseconds.
    pub read_ms: i64,
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// The list.
pub fn image_list(list: &ImageListCard<'_>) -> Card {
    let title = if list.fetched { "Images gantry fetched" } else { "Images" };
    let tone = if list.faults.is_empty() { Tone::Plain } else { Tone::Warning };
    let sum: u64 = list.all.iter().map(|r| r.file.bytes).sum();
    let idle: Vec<&ImageRow> =
        list.all.iter().filter(|r| r.record.is_some() && r.users.is_empty()).collect();
    let free: u64 = idle.iter().map(|r| r.file.bytes).sum();
    let mut card = Card::new(tone, line![title, " · ", text(list.cluster)])
        .say(line![text(format!("{} · {}", list.place.words(), bytes(sum)))]);
    if list.fetched && !idle.is_empty() {
        card = card.say(line![
            text(format!("{} of them used by no pod, {}: ", idle.len(), bytes(free))),
            "`/image prune` shows which could go.",
        ]);
    }
    if list.all.is_empty() && list.faults.is_empty() {
        card = card.say("Nothing is there. `/image pull` fetches one.");
    }
    for row in list.rows {
        card = card.lines(row_lines(row));
    }
    faults(card, list.faults)
        .say(as_of(list.read_ms))
        .select(Select {
            token: Token::Pick(list.screen.clone()),
            hint: "Show one …".into(),
            choices: list.rows.iter().filter_map(choice).collect(),
        })
        .buttons(list.place.buttons(list.screen))
}

fn choice(row: &ImageRow) -> Option<Choice> {
    let value = format!("{}/{}", row.place.node, row.place.volid);
    (value.len() <= VALUE_MAX).then(|| Choice {
        value,
        label: row.place.volid.file().to_owned(),
        hint: place_words(row),
    })
}

fn place_words(row: &ImageRow) -> String {
    let storage = row.place.volid.storage();
    if row.place.shared {
        format!("{storage}, shared")
    } else {
        format!("{storage} on {}", row.place.node)
    }
}

/// An image in two short lines: what, then how large, where, and whether it is needed.
fn row_lines(row: &ImageRow) -> Vec<Line> {
    let users = match row.users.len() {
        0 => String::new(),
        1 => " · 1 user".to_owned(),
        n => format!(" · {n} users"),
    };
    vec![
        line![bold(row.place.volid.file())],
        line![text(format!("  {} · {}{users}", bytes(row.file.bytes), place_words(row)))],
    ]
}

fn faults(mut card: Card, faults: &[String]) -> Card {
    for why in faults.iter().take(FAULTS_SHOWN) {
        card = card.say(line!["⚠ ", told(why)]);
    }
    if faults.len() > FAULTS_SHOWN {
        card = card.say(line![text(format!(
            "⚠ and {} more could not be read",
            faults.len() - FAULTS_SHOWN
        ))]);
    }
    card
}

/// One image.
#[derive(Debug, Clone)]
pub struct ImageShowCard<'a> {
    /// What it was asked for as.
    pub title: &'a str,
    /// Its cluster.
    pub cluster: &'a str,
    /// What was read.
    pub detail: &'a ImageDetail,
    /// Whether only its users are asked for.
    pub users_only: bool,
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// The card of an image.
pub fn image_show(show: &ImageShowCard<'_>) -> Card {
    let detail = show.detail;
    let tone = if detail.faults.is_empty() { Tone::Plain } else { Tone::Warning };
    let mut card = Card::new(tone, line![text(show.title), " · ", text(show.cluster)]);
    if detail.rows.is_empty() {
        card = card.say("No storage that you may see has it.");
    }
    if !show.users_only {
        for row in &detail.rows {
            card = card.field(line![text(place_words(row))], where_lines(row));
        }
        let sums = detail.sums.iter().map(|(k, v)| line![text(k), ": ", code(v)]).collect();
        card = card.field("SHA-256, taken just now", sums);
        let offer = detail.offer.iter().map(|(k, v)| line![text(k), ": ", text(v)]).collect();
        card = card.field("What can be had", offer);
    }
    if !detail.rows.is_empty() {
        let mut users: Vec<Line> =
            detail.users.iter().take(USERS_SHOWN).map(|u| line!["• ", text(u)]).collect();
        if detail.users.len() > USERS_SHOWN {
            users.push(line![text(format!("… and {} more", detail.users.len() - USERS_SHOWN))]);
        }
        if users.is_empty() {
            users.push(Line::from("Nothing that gantry knows of."));
        }
        card = card.field("Used by", users);
    }
    faults(card, &detail.faults).say(as_of(detail.read_ms)).buttons(vec![Button::new(
        Token::Refresh(show.screen.clone()),
        "Refresh",
        Look::Plain,
    )])
}

fn where_lines(row: &ImageRow) -> Vec<Line> {
    let created_ms = i64::try_from(row.file.created_s).unwrap_or(0).saturating_mul(1000);
    let mut lines = vec![
        line![code(row.place.volid.to_string())],
        line![text(format!("{} · {}", row.place.volid.content().words(), bytes(row.file.bytes)))],
    ];
    if created_ms > 0 {
        lines.push(line!["Made ", ago(created_ms)]);
    }
    match &row.record {
        None => lines.push(Line::from("gantry did not fetch it.")),
        Some(record) => {
            lines.push(line!["From ", text(&record.source), ", fetched ", ago(record.prepared_ms)]);
            if let Some(digest) = &record.digest {
                let short: String = digest.chars().take(27).collect();
                lines.push(line!["Digest ", code(format!("{short}…"))]);
            }
            if record.last_used_ms > 0 {
                lines.push(line!["A pod was made from it ", ago(record.last_used_ms)]);
            }
        }
    }
    lines
}
