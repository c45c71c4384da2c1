//! A graph: a picture with what it shows, and menus to look at it otherwise.

use super::{Button, Card, Choice, Line, Look, Picture, Select, Tone, text};
use crate::screen::GraphTime;
use crate::token::{ScreenId, Token};

/// A graph. `missing` names what could not be drawn, with the reason.
pub fn graph(
    title: &str,
    time: GraphTime,
    png: Option<Vec<u8>>,
    missing: Vec<Line>,
    screen: &ScreenId,
) -> Card {
    let tone = if png.is_some() { Tone::Plain } else { Tone::Warning };
    let mut card = Card::new(tone, Line(vec![text(title)])).lines(missing);
    card.picture = png.map(|png| Picture { name: "graph.png".into(), png });
    let choices = GraphTime::ALL.map(|t| Choice {
        value: t.as_str().into(),
        label: format!("Last {}", t.as_str()),
        hint: if t == time { "shown now".into() } else { String::new() },
    });
    card.select(Select {
        token: Token::Pick(screen.clone()),
        hint: format!("Last {}", time.as_str()),
        choices: choices.into(),
    })
    .buttons(vec![Button::new(Token::Refresh(screen.clone()), "Refresh", Look::Plain)])
}
