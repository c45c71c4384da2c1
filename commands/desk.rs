//! Where one interaction is answered: acknowledged once, then edited or followed up, whichever kind it is.
//! Its token is a secret that lasts 15 minutes and never reaches a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use gantry_core::id::{ChannelId, MessageId};
use serde::{Deserialize, Serialize};
use serenity::all::{
    ApplicationId, Builder, CreateAllowedMentions, CreateInteractionResponse,
    CreateInteractionResponseFollowup, CreateInteractionResponseMessage, CreateModal,
    EditAttachments, EditInteractionResponse, Http, InteractionId,
};

use crate::card::Card;
use crate::face::Face;
use crate::paint::{Painted, paint};
use crate::wire::{Method, Wire};

/// How far an interaction has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    /// Not at all.
    Fresh,
    /// Acknowledged; a message of its own will follow, which only the asker sees.
    Deferred,
    /// Acknowledged; a message of its own will follow, for the whole channel.
    DeferredPublic,
    /// Acknowledged; the message its button is on stays as it is.
    DeferredUpdate,
    /// Answered.
    Answered,
}

/// Error code: the interaction was acknowledged already, here or on another process.
pub const ALREADY_ACKNOWLEDGED: isize = 40060;
/// Error code: no such message.
pub const UNKNOWN_MESSAGE: isize = 10008;
/// Error code: no such interaction; it was answered too late.
pub const UNKNOWN_INTERACTION: isize = 10062;

/// Where an answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// Its channel.
    pub channel: ChannelId,
    /// Its message.
    pub message: MessageId,
}

/// The part of a message that is needed; the rest of what Discord sends back is ours.
#[derive(Deserialize)]
struct MessageAnswer {
    id: serenity::all::MessageId,
    channel_id: serenity::all::ChannelId,
}

impl From<MessageAnswer> for Posted {
    fn from(message: MessageAnswer) -> Self {
        Self { channel: ChannelId(message.channel_id.get()), message: MessageId(message.id.get()) }
    }
}

/// One interaction's desk.
pub struct Desk {
    /// For what is not JSON alone: answers with files.
    http: Arc<Http>,
    wire: Arc<dyn Wire>,
    application: ApplicationId,
    id: InteractionId,
    token: Token,
    stage: AtomicU8,
}

/// The interaction's token; its `Debug` says nothing.
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("id", &self.id)
            .field("token", &self.token)
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk for an interaction that nobody has answered yet.
    pub fn new(
        face: &Face,
        http: Arc<Http>,
        application: ApplicationId,
        id: InteractionId,
        token: impl Into<String>,
    ) -> Self {
        if http.application_id().is_none() {
            http.set_application_id(application);
        }
        Self {
            http,
            wire: face.wire(),
            application,
            id,
            token: Token(token.into()),
            stage: AtomicU8::new(Stage::Fresh as u8),
        }
    }

    /// The interaction's id.
    pub fn id(&self) -> u64 {
        self.id.get()
    }

    /// What screens of this interaction are named after.
    pub fn seed(&self) -> &str {
        &self.token.0
    }

    /// What people quote and the log is searched for.
    pub fn reference(&self) -> String {
        format!("ix_{}", self.id)
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Fresh,
            1 => Stage::Deferred,
            2 => Stage::DeferredPublic,
            3 => Stage::DeferredUpdate,
            _ => Stage::Answered,
        }
    }

    fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    async fn respond(
        &self,
        response: CreateInteractionResponse,
        then: Stage,
    ) -> Result<(), serenity::Error> {
        let path = format!("interactions/{}/{}/callback", self.id, self.token.0);
        let done = self.send(Method::Post, path, &response).await.map(drop);
        self.note(done.as_ref().err(), then);
        done
    }

    /// Notes how far an answer got.
    fn note(&self, failed: Option<&serenity::Error>, then: Stage) {
        if failed.is_none() || code_of(failed) == Some(ALREADY_ACKNOWLEDGED) {
            self.set(then);
        }
    }

    /// Sends JSON past every socket of our own.
    async fn send(
        &self,
        method: Method,
        path: String,
        body: &impl Serialize,
    ) -> Result<Vec<u8>, serenity::Error> {
        let json = serde_json::to_vec(body)?;
        self.wire.send(method, path, json).await
    }

    /// Acknowledges at once; the answer follows as a message of its own.
    ///
    /// # Errors
    /// What Discord or the way there says.
    pub async fn defer(&self, ephemeral: bool) -> Result<(), serenity::Error> {
        let message = CreateInteractionResponseMessage::new().ephemeral(ephemeral);
        let then = if ephemeral { Stage::Deferred } else { Stage::DeferredPublic };
        self.respond(CreateInteractionResponse::Defer(message), then).await
    }

    /// Acknowledges a press; the message stays as it is until somebody edits it.
    ///
    /// # Errors
    /// What Discord or the way there says.
    pub async fn defer_update(&self) -> Result<(), serenity::Error> {
        self.respond(CreateInteractionResponse::Acknowledge, Stage::DeferredUpdate).await
    }

    /// Opens a form; only possible as the first answer.
    ///
    /// # Errors
    /// What Discord or the way there says.
    pub async fn modal(&self, modal: CreateModal) -> Result<(), serenity::Error> {
        self.respond(CreateInteractionResponse::Modal(modal), Stage::Answered).await
    }

    /// Shows a card to whoever asked and to nobody else, whatever was answered before: as the first answer, in place
    /// of “thinking…”, or as a message of its own. A “thinking…” that the whole channel sees is taken away.
    ///
    /// # Errors
    /// What Discord or the way there says.
    pub async fn answer(&self, card: &Card) -> Result<(), serenity::Error> {
        match self.stage() {
            Stage::Fresh => {
                let painted = paint(card);
                let message = CreateInteractionResponseMessage::new()
                    .ephemeral(true)
                    .allowed_mentions(CreateAllowedMentions::new())
                    .embed(painted.embed())
                    .components(painted.components());
                if painted.has_files() {
                    let message =
                        CreateInteractionResponse::Message(message.files(painted.attachments()));
                    let to = (self.id, self.token.0.as_str());
                    let done = message.execute(&*self.http, to).await;
                    self.note(done.as_ref().err(), Stage::Answered);
                    return done;
                }
                self.respond(CreateInteractionResponse::Message(message), Stage::Answered).await
            }
            Stage::Deferred => self.edit(card).await.map(drop),
            Stage::DeferredPublic => match self.take_away().await {
                // Who sees a message is fixed by its acknowledgement, and the first message after it would be that one.
                Ok(()) => self.follow_up(card).await,
                Err(error) => {
                    tracing::warn!(
                        error = words_of(&error),
                        "what is for the asker alone is shown to the channel"
                    );
                    self.edit(card).await.map(drop)
                }
            },
            Stage::DeferredUpdate | Stage::Answered => self.follow_up(card).await,
        }
    }

    /// Puts a card in place of “thinking…” or of the message the press came from.
    ///
    /// # Errors
    /// What Discord or the way there says.
    pub async fn edit(&self, card: &Card) -> Result<Posted, serenity::Error> {
        let painted = paint(card);
        let edit = EditInteractionResponse::new()
            .allowed_mentions(CreateAllowedMentions::new())
            .embeds(vec![painted.embed()])
            .components(painted.components())
            .attachments(EditAttachments::new());
        let posted = if painted.has_files() {
            self.edit_with_files(edit, &painted).await?
        } else {
            let path = format!("webhooks/{}/{}/messages/@original", self.application, self.token.0);
            let answer = self.send(Method::Patch, path, &edit).await?;
            serde_json::from_slice::<MessageAnswer>(&answer)?.into()
        };
        if matches!(self.stage(), Stage::Deferred | Stage::DeferredPublic) {
            self.set(Stage::Answered);
        }
        Ok(posted)
    }

    /// Deletes the first answer.
    async fn take_away(&self) -> Result<(), serenity::Error> {
        let path = format!("webhooks/{}/{}/messages/@original", self.application, self.token.0);
        match self.wire.send(Method::Delete, path, Vec::new()).await {
            Err(error) if code_of(Some(&error)) != Some(UNKNOWN_MESSAGE) => Err(error),
            _ => {
                self.set(Stage::Answered);
                Ok(())
            }
        }
    }

    async fn edit_with_files(
        &self,
        edit: EditInteractionResponse,
        painted: &Painted,
    ) -> Result<Posted, serenity::Error> {
        let mut attachments = EditAttachments::new();
        for file in painted.attachments() {
            attachments = attachments.add(file);
        }
        let edit = edit.attachments(attachments);
        let message = edit.execute(&*self.http, self.token.0.as_str()).await?;
        Ok(Posted {
            channel: ChannelId(message.channel_id.get()),
            message: MessageId(message.id.get()),
        })
    }

    /// A further message that only the asker sees.
    async fn follow_up(&self, card: &Card) -> Result<(), serenity::Error> {
        let painted = paint(card);
        let message = CreateInteractionResponseFollowup::new()
            .ephemeral(true)
            .allowed_mentions(CreateAllowedMentions::new())
            .embed(painted.embed())
            .components(painted.components());
        if painted.has_files() {
            let message = message.files(painted.attachments());
            return message.execute(&*self.http, (None, self.token.0.as_str())).await.map(drop);
        }
        let path = format!("webhooks/{}/{}", self.application, self.token.0);
        self.send(Method::Post, path, &message).await.map(drop)
    }
}

/// Discord's error code, where it gave one.
pub fn code_of(error: Option<&serenity::Error>) -> Option<isize> {
    match error {
        Some(serenity::Error::Http(serenity::http::HttpError::UnsuccessfulRequest(r))) => {
            Some(r.error.code)
        }
        _ => None,
    }
}

/// The HTTP status Discord answered with, where it answered.
pub fn status_of(error: &serenity::Error) -> Option<u16> {
    match error {
        serenity::Error::Http(serenity::http::HttpError::UnsuccessfulRequest(r)) => {
            Some(r.status_code.as_u16())
        }
        _ => None,
    }
}

/// What went wrong in a call to Discord, without its address: that may hold an interaction's token.
pub fn words_of(error: &serenity::Error) -> String {
    use serenity::http::HttpError;
    match error {
        serenity::Error::Http(HttpError::UnsuccessfulRequest(r)) => {
            let mut words = format!(
                "Discord answered {} ({}): {}",
                r.status_code.as_u16(),
                r.error.code,
                r.error.message
            );
            for e in r.error.errors.iter().take(5) {
                words.push_str(&format!("; {}: {}", e.path, e.message));
            }
            words
        }
        serenity::Error::Http(HttpError::Request(e)) if e.is_timeout() => {
            "Discord did not answer in time".to_owned()
        }
        serenity::Error::Http(HttpError::Request(e)) if e.is_connect() => {
            "Discord cannot be reached".to_owned()
        }
        serenity::Error::Http(HttpError::Request(_)) => {
            "the connection to Discord broke off".to_owned()
        }
        other => other.to_string(),
    }
}
