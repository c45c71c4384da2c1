//! What people write about incidents.

use gantry_core::action::Verb;
use gantry_core::alert::Note;
use gantry_core::audit::AuditEvent;
use gantry_core::id::{IncidentId, NoteId};
use gantry_core::policy::Actor;

use super::Said;
use crate::{Engine, Error, random};

/// Most letters of a note: it stands in one message.
pub const NOTE_MAX: usize = 1500;
/// Most notes of an incident; more than anybody reads.
const NOTES_MAX: usize = 200;

impl Engine {
    /// Writes something about an incident, in the actor's name; open or over. It goes into the incident's thread.
    pub async fn note(&self, actor: &Actor, id: &IncidentId, text: &str) -> Result<Said, Error> {
        let verb = Verb::AlertNote;
        let incident = match self.own_incident(actor, id).await? {
            Ok(incident) => incident,
            Err(said) => return Ok(said),
        };
        if let Some(said) = self.refused(actor, verb, &incident).await? {
            return Ok(said);
        }
        let over = |why: &str| Ok(Said::Over { why: why.to_owned() });
        let text: String = text.trim().chars().take(NOTE_MAX).collect();
        if text.is_empty() {
            return over("There is nothing in it. Nothing was kept.");
        }
        if incident.notes.len() >= NOTES_MAX {
            return over("It has 200 notes already. Write in its thread.");
        }
        let now_ms = self.now_ms();
        let note = Note {
            id: NoteId::new(now_ms, random()),
            at_ms: now_ms,
            user: actor.user,
            name: actor.name.clone(),
            text,
            told: false,
        };
        let row = self.audit_row(
            AuditEvent::Confirmed,
            actor,
            verb,
            &incident.headline(),
            note.id.as_str(),
        );
        let kept = self.store().add_note(id, &note, &row).await;
        if !kept.map_err(Error::store("keep the note"))? {
            return over("There is no such incident in this server.");
        }
        self.card_touched();
        let place = match incident.posted_ms {
            Some(_) => "The note stands in the incident's thread and in its file.",
            None => "The note stands in the incident's file; the incident has no message.",
        };
        Ok(Said::Done(format!("{}. {place}", incident.headline()), None))
    }
}
