//! What the audit log remembers: who asked for what, which rule decided, what came of it.

use serde::{Deserialize, Serialize};

use crate::action::Verb;
use crate::id::{AuditId, ChannelId, GuildId, OperationId, PlanId, UserId};
use crate::policy::Actor;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditEvent {
    /// Somebody asked and policy said no.
    Denied,
    /// A plan was shown.
    Proposed,
    /// Somebody confirmed a plan, or asked for something that needs no confirmation.
    Confirmed,
    /// Somebody pressed a button that was not theirs to press.
    PressDenied,
    /// A plan was dropped: by its Cancel button, because it expired, or because the world changed.
    Dropped,
    /// A call that changes something is about to be sent.
    AboutTo,
    /// A node was asked over SSH; the detail says what and how it ended.
    Answered,
    /// Somebody asked a running operation to stop.
    CancelAsked,
    /// An operation ended; the detail says how.
    Ended,
}

impl AuditEvent {
    /// Every event.
    pub const ALL: &'static [Self] = &[
        Self::Denied,
        Self::Proposed,
        Self::Confirmed,
        Self::PressDenied,
        Self::Dropped,
        Self::AboutTo,
        Self::Answered,
        Self::CancelAsked,
        Self::Ended,
    ];

    /// The text kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Proposed => "proposed",
            Self::Confirmed => "confirmed",
            Self::PressDenied => "press-denied",
            Self::Dropped => "dropped",
            Self::AboutTo => "about-to",
            Self::Answered => "answered",
            Self::CancelAsked => "cancel-asked",
            Self::Ended => "ended",
        }
    }
}

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its id.
    pub id: AuditId,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// What happened.
    pub event: AuditEvent,
    /// Who; `None` when gantry went on by itself.
    pub user: Option<UserId>,
    /// Their name at that moment; for people to read.
    pub user_name: String,
    /// Where.
    pub guild: Option<GuildId>,
    /// Where in there.
    pub channel: Option<ChannelId>,
    /// What was asked.
    pub verb: Verb,
    /// On what, as people read it: `web-0 (lab/201)`.
    pub target: String,
    /// The plan it belongs to.
    pub plan: Option<PlanId>,
    /// The operation it belongs to.
    pub operation: Option<OperationId>,
    /// The deciding rule, the result, or the reason.
    pub detail: String,
}

impl AuditRow {
    /// A row about what `actor` did.
    pub fn by(
        id: AuditId,
        at_ms: i64,
        event: AuditEvent,
        actor: &Actor,
        verb: Verb,
        target: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            id,
            at_ms,
            event,
            user: Some(actor.user),
            user_name: actor.name.clone(),
            guild: Some(actor.guild),
            channel: Some(actor.channel),
            verb,
            target: target.into(),
            plan: None,
            operation: None,
            detail: detail.into(),
        }
    }
}
