//! One interaction from arrival to answer: who asks, where the answer goes, what was already seen.
//!
//! Order is the promise: decide from memory, acknowledge, then touch anything slow. An interaction delivered
//! twice acts once. Every way out ends in something the asker can read, logged once.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_core::action::Verb;
use gantry_core::id::MessageId;
use gantry_core::policy::{Actor, Ruling, Target};
use serenity::all::{ComponentInteraction, ModalInteraction};
use tracing::Instrument;

use crate::actor::actor;
use crate::card::{self, Card};
use crate::desk::{ALREADY_ACKNOWLEDGED, Desk, UNKNOWN_INTERACTION, code_of};
use crate::face::{Context, Face, FaceError, store_error};
use crate::fault::Fault;
use crate::token::ScreenId;

/// How long something may take before the interaction is acknowledged without it: half of Discord's 3 s.
pub const DECIDE_WITHIN: Duration = Duration::from_millis(1500);

/// One interaction being served.
#[derive(Debug)]
pub struct Visit {
    /// The face.
    pub face: Face,
    /// Where the answer goes.
    pub desk: Desk,
    /// Who asks.
    pub actor: Actor,
    /// The message whose button or menu was pressed.
    pub message: Option<MessageId>,
}

/// Whether to go on after acknowledging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Go {
    /// Seen for the first time: go on.
    On,
    /// Somebody else serves it, or the asker has been told why not.
    Stop,
}

impl Visit {
    /// A visit that came from a button or menu.
    pub fn of_component(
        face: &Face,
        http: Arc<serenity::all::Http>,
        i: &ComponentInteraction,
    ) -> Result<Self, Desk> {
        let desk = Desk::new(face, http, i.application_id, i.id, &i.token);
        match actor(i.guild_id, i.member.as_ref(), i.channel_id, i.channel.as_ref()) {
            Some(actor) => Ok(Self {
                face: face.clone(),
                desk,
                actor,
                message: Some(MessageId(i.message.id.get())),
            }),
            None => Err(desk),
        }
    }

    /// A visit that came from a form.
    pub fn of_modal(
        face: &Face,
        http: Arc<serenity::all::Http>,
        i: &ModalInteraction,
    ) -> Result<Self, Desk> {
        let desk = Desk::new(face, http, i.application_id, i.id, &i.token);
        match actor(i.guild_id, i.member.as_ref(), i.channel_id, i.channel.as_ref()) {
            Some(actor) => Ok(Self {
                face: face.clone(),
                desk,
                actor,
                message: i.message.as_ref().map(|m| MessageId(m.id.get())),
            }),
            None => Err(desk),
        }
    }

    /// Policy, from memory.
    pub fn may(&self, verb: Verb, target: Target<'_>) -> Ruling {
        self.face.engine().may(&self.actor, verb, target)
    }

    /// Now, milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.face.engine().now_ms()
    }

    /// What people quote and the log is searched for.
    pub fn reference(&self) -> String {
        self.desk.reference()
    }

    /// A new screen's id.
    pub fn screen_id(&self, purpose: &str) -> ScreenId {
        ScreenId::mint(self.now_ms(), self.desk.seed(), purpose)
    }

    /// Whether this interaction is seen for the first time. When the store cannot say, what only reads goes on and
    /// what writes is refused.
    pub async fn first_sight(&self, writes: bool) -> Result<Go, FaceError> {
        match self.face.engine().store().first_sight(self.desk.id(), self.now_ms()).await {
            Ok(true) => Ok(Go::On),
            Ok(false) => {
                tracing::info!("interaction was delivered twice; served once");
                Ok(Go::Stop)
            }
            Err(error) if !writes => {
                tracing::warn!(%error, "cannot tell whether this interaction is new; it only reads, so it is served");
                Ok(Go::On)
            }
            Err(error) => Err(store_error("Could not begin")(error)),
        }
    }

    /// Acknowledges, then looks whether the interaction is new.
    pub async fn begin(&self, ephemeral: bool, writes: bool) -> Result<Go, FaceError> {
        if acknowledged(self.desk.defer(ephemeral).await)? == Go::Stop {
            return Ok(Go::Stop);
        }
        self.first_sight(writes).await
    }

    /// Acknowledges a press without changing its message, then looks whether the interaction is new.
    pub async fn begin_press(&self, writes: bool) -> Result<Go, FaceError> {
        if acknowledged(self.desk.defer_update().await)? == Go::Stop {
            return Ok(Go::Stop);
        }
        self.first_sight(writes).await
    }

    /// Says no, and writes it down.
    pub async fn refuse(&self, verb: Verb, target: &str, because: &str) -> Result<(), FaceError> {
        let shown = self.desk.answer(&card::refusal(verb, target, because)).await;
        if acknowledged(shown)? == Go::Stop || self.first_sight(false).await? == Go::Stop {
            return Ok(());
        }
        self.face.engine().denied(&self.actor, verb, target, because).await?;
        Ok(())
    }

    /// Shows a card to the asker.
    pub async fn say(&self, card: &Card) -> Result<(), FaceError> {
        acknowledged(self.desk.answer(card).await).map(drop)
    }

    /// Shows what went wrong; the one place that logs it.
    pub async fn show_error(&self, error: &FaceError) {
        let reference = self.reference();
        tracing::warn!(reference, %error, "interaction could not be served");
        if let Err(shown) = self.desk.answer(&card::fault(&error.fault(&reference))).await {
            tracing::warn!(
                reference,
                error = crate::desk::words_of(&shown),
                "and the asker could not be told"
            );
        }
    }

    /// Runs the work of an interaction: within its span, counted until it is over, its error shown.
    pub async fn run<F>(self: Arc<Self>, what: &str, work: F)
    where
        F: Future<Output = Result<(), FaceError>>,
    {
        let _held = self.face.visits().token();
        let span = tracing::info_span!(
            "interaction",
            id = self.desk.id(),
            what,
            user = self.actor.user.0,
            guild = self.actor.guild.0,
            channel = self.actor.channel.0,
        );
        let visit = self.clone();
        async move {
            let begun = Instant::now();
            let result = work.await;
            if let Err(error) = &result {
                visit.show_error(error).await;
            }
            let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(took_ms, ok = result.is_ok(), "interaction served");
        }
        .instrument(span)
        .await;
    }
}

/// Serves a slash command: `work` gets the visit and ends in an answer.
pub async fn serve<F, W>(ctx: Context<'_>, work: W) -> Result<(), FaceError>
where
    W: FnOnce(Arc<Visit>) -> F,
    F: Future<Output = Result<(), FaceError>>,
{
    let i = ctx.interaction;
    let face: &Face = ctx.framework.user_data;
    let http = ctx.framework.serenity_context.http.clone();
    let desk = Desk::new(face, http, i.application_id, i.id, &i.token);
    let Some(actor) = actor(i.guild_id, i.member.as_deref(), i.channel_id, i.channel.as_ref())
    else {
        desk.answer(&only_in_servers()).await?;
        return Ok(());
    };
    let visit = Arc::new(Visit { face: face.clone(), desk, actor, message: None });
    let name = ctx.command().qualified_name.clone();
    visit.clone().run(&name, work(visit)).await;
    Ok(())
}

/// Said in direct messages, where nobody has roles.
pub fn only_in_servers() -> Card {
    card::note(
        card::Tone::Bad,
        "✗ Only in a server",
        "gantry decides by your roles, and there are none here. Nothing was done",
    )
}

/// Turns “acknowledged already” and “too late” into `Stop`: nothing more can be shown through this interaction.
pub fn acknowledged(result: Result<(), serenity::Error>) -> Result<Go, FaceError> {
    match result {
        Ok(()) => Ok(Go::On),
        Err(error) => match code_of(Some(&error)) {
            Some(ALREADY_ACKNOWLEDGED) => {
                tracing::info!("acknowledged already by somebody else; left to them");
                Ok(Go::Stop)
            }
            Some(UNKNOWN_INTERACTION) => {
                tracing::warn!(
                    "interaction was gone before it could be acknowledged; nothing was done"
                );
                Ok(Go::Stop)
            }
            _ => Err(error.into()),
        },
    }
}

/// A fault of the asker's making: no log entry is worth it, the words are all.
pub fn said(what: &str, why: &str, next: &str, reference: &str) -> FaceError {
    FaceError::Said(Box::new(Fault::new(what, why, next, reference)))
}
