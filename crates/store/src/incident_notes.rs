//! What people write about incidents, and the threads in which incidents are told.

use gantry_core::alert::Note;
use gantry_core::audit::AuditRow;
use gantry_core::id::{ChannelId, IncidentId, MessageId, NoteId, UserId};

use crate::audit;
use crate::error::StoreError;
use crate::pool::{Fail, Row, args};
use crate::sql;
use crate::store::Store;

/// The thread on an incident's message, and how much of the incident stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentThread {
    /// The message it hangs on.
    pub starter: MessageId,
    /// The thread; `None`: it could not be opened, or is gone, and nobody tries again.
    pub thread: Option<ChannelId>,
    /// So many entries of the timeline stand in it.
    pub told: u64,
    /// A message that may be on its way reaches up to this entry; the same as `told` where there is none.
    pub telling: u64,
    /// The tags of a forum's post, as words.
    pub tags: String,
}

impl Store {
    /// The thread of an incident, where one was opened or tried.
    pub async fn incident_thread(
        &self,
        incident: &IncidentId,
    ) -> Result<Option<IncidentThread>, StoreError> {
        self.call(format!("read the thread of incident {incident}"), async {
            let row = self.pool.row(sql::INCIDENT_THREAD_FIND, args![incident.as_str()]).await?;
            row.map(|row| {
                let count =
                    |name| -> Result<u64, Fail> { Ok(row.int(name)?.max(0).unsigned_abs()) };
                Ok(IncidentThread {
                    starter: MessageId(row.parsed("starter_id")?),
                    thread: row.parsed_opt("thread_id")?.map(ChannelId),
                    told: count("told")?,
                    telling: count("telling")?,
                    tags: row.text("tags")?,
                })
            })
            .transpose()
        })
        .await
    }

    /// Notes which thread an incident has, and how much stands in it.
    pub async fn save_incident_thread(
        &self,
        incident: &IncidentId,
        thread: &IncidentThread,
    ) -> Result<(), StoreError> {
        self.call(format!("keep the thread of incident {incident}"), async {
            let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            let args = args![
                incident.as_str(),
                thread.starter.to_string(),
                thread.thread.map(|t| t.to_string()),
                count(thread.told),
                count(thread.telling),
                thread.tags.as_str(),
            ];
            self.pool.write(sql::INCIDENT_THREAD_SAVE, args).await?;
            Ok(())
        })
        .await
    }

    /// Keeps what somebody wrote about an incident, with the audit row, and asks for a newer card. `false`: there is no
    /// such incident.
    pub async fn add_note(
        &self,
        incident: &IncidentId,
        note: &Note,
        row: &AuditRow,
    ) -> Result<bool, StoreError> {
        self.call(format!("keep a note about incident {incident}"), async {
            let mut tx = self.pool.begin().await?;
            let args = args![
                note.id.as_str(),
                incident.as_str(),
                note.at_ms,
                note.user.to_string(),
                note.name.as_str(),
                note.text.as_str(),
            ];
            if tx.write(sql::NOTE_ADD, args).await? != 1 {
                return Ok(false);
            }
            audit::insert(&mut tx, row).await?;
            tx.write(sql::CARD_WANT_FOR_INCIDENT, args![incident.as_str()]).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Notes that a note stands in its incident's thread.
    pub async fn note_told(&self, note: &NoteId) -> Result<(), StoreError> {
        self.call(format!("note that {note} was told"), async {
            self.pool.write(sql::NOTE_TOLD, args![note.as_str()]).await?;
            Ok(())
        })
        .await
    }
}

pub(crate) fn read(row: &Row) -> Result<Note, Fail> {
    Ok(Note {
        id: row.parsed("id")?,
        at_ms: row.int("at_ms")?,
        user: UserId(row.parsed("user_id")?),
        name: row.text("user_name")?,
        text: row.text("text")?,
        told: row.int("told")? != 0,
    })
}
