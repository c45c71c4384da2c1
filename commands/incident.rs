//! What people write about an incident, and the file it leaves behind.

use gantry_core::action::Verb;
use gantry_core::alert::post_mortem;
use gantry_core::id::IncidentId;
use serenity::all::{CreateActionRow, CreateInputText, CreateModal, InputTextStyle};

use crate::alert::{find, may, named};
use crate::card::{self, Card, File, Tone, text};
use crate::face::FaceError;
use crate::form::input;
use crate::line;
use crate::paint::{MODAL_TITLE_MAX, label};
use crate::token::Token;
use crate::visit::{Go, Visit, acknowledged};

/// The form's one field.
const TEXT: &str = "text";
/// Most letters of a note; as the engine keeps them.
const NOTE_MAX: u16 = gantry_engine::NOTE_MAX as u16;

/// Pressed: Note. Opens the form; whoever sends it is asked about again.
pub(crate) async fn open_note(visit: &Visit, id: &IncidentId) -> Result<(), FaceError> {
    if !may(visit, Verb::AlertNote).await? {
        return Ok(());
    }
    let field = CreateInputText::new(InputTextStyle::Paragraph, "What shall be known", TEXT)
        .placeholder("What was found, what was tried, what comes next")
        .required(true)
        .max_length(NOTE_MAX);
    let modal = CreateModal::new(
        Token::Note(id.clone()).to_string(),
        label("Note on this incident", MODAL_TITLE_MAX),
    )
    .components(vec![CreateActionRow::InputText(field)]);
    acknowledged(visit.desk.modal(modal).await).map(drop)
}

/// The form was sent.
pub(crate) async fn noted(
    visit: &Visit,
    id: &IncidentId,
    inputs: &[(String, String)],
) -> Result<(), FaceError> {
    if visit.begin(true, true).await? == Go::Stop {
        return Ok(());
    }
    let said = visit.face.engine().note(&visit.actor, id, input(inputs, TEXT)).await?;
    visit.face.wake_courier();
    visit.say(&card::said(Verb::AlertNote, &named(visit, id).await, &said)).await
}

/// Pressed: Post-mortem. A file to be filled in, for the presser.
pub(crate) async fn file(visit: &Visit, id: &IncidentId) -> Result<(), FaceError> {
    if !may(visit, Verb::AlertShow).await? || visit.begin_press(false).await? == Go::Stop {
        return Ok(());
    }
    let incident = find(visit, Verb::AlertShow, Some(id.as_str())).await?.incident;
    let mut card = Card::new(Tone::Plain, line!["Post-mortem: ", text(incident.headline())]).say(
        "Everything gantry knows of it stands in the file, with the questions only you can answer.",
    );
    card.files.push(File {
        name: format!("post-mortem-{}.md", incident.id),
        text: post_mortem(&incident, visit.now_ms()),
    });
    visit.say(&card).await
}
