//! Interactions that serenity cannot read. It turns them into "unknown events" and drops them, so the
//! person would see "the application did not respond" and nobody would know why. They are answered
//! here, in words, and logged. Registered by the runner.

use async_trait::async_trait;
use serde_json::{Value, json};
use serenity::client::{Context, RawEventHandler};
use serenity::model::event::Event;
use serenity::model::id::InteractionId;

/// Interaction types that take a message as answer: command, button or select, modal.
const ANSWERABLE: [u64; 3] = [2, 3, 5];

pub(super) struct Strange;

#[async_trait]
impl RawEventHandler for Strange {
    async fn raw_event(&self, context: Context, event: Event) {
        let Event::Unknown(unknown) = event else { return };
        if unknown.kind != "INTERACTION_CREATE" {
            return;
        }
        let event = &unknown.value;
        let kind = event.get("type").and_then(Value::as_u64);
        let name = event.pointer("/data/name").and_then(Value::as_str).unwrap_or("?");
        tracing::error!(?kind, command = name, "Discord sent a command in a form unknown to us");
        let id = event.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let token = event.get("token").and_then(Value::as_str);
        let (Some(id), Some(token)) = (id.filter(|id| *id != 0_u64), token) else { return };
        if !kind.is_some_and(|kind| ANSWERABLE.contains(&kind)) {
            return;
        }
        let answer = json!({ "type": 4, "data": {
            "flags": 64,
            "allowed_mentions": { "parse": [] },
            "content": "gantry could not read this command: Discord sent it in a form this version \
                        does not know. Nothing was done. Update gantry, or tell whoever runs it.",
        }});
        let sent = context
            .http
            .create_interaction_response(InteractionId::new(id), token, &answer, Vec::new())
            .await;
        if sent.is_err() {
            tracing::warn!(command = name, "that could not be answered either");
        }
    }
}
