//! Interactions that serenity's models cannot read, or that there is no room for. Left alone, the person would see "the application
//! did not respond" and nobody would know why. They are answered in words, and logged. Called by the
//! short way.

use serde_json::{Value, json};
use serenity::http::Http;
use serenity::model::id::InteractionId;

/// Interaction types that take a message as answer: command, button or select, modal.
const ANSWERABLE: [u64; 3] = [2, 3, 5];

/// Says that nothing was done, and why.
pub(super) async fn answer(http: &Http, text: &str, why: serde_json::error::Category) {
    let event = serde_json::from_str::<Value>(text).unwrap_or_default();
    let event = event.get("d").unwrap_or(&Value::Null);
    let kind = event.get("type").and_then(Value::as_u64);
    let name = event.pointer("/data/name").and_then(Value::as_str).unwrap_or("?");
    tracing::error!(?kind, command = name, ?why, "Discord sent a command in a form unknown to us");
    let words = "gantry could not read this command: Discord sent it in a form this version does not know. Nothing \
                 was done. Update gantry, or tell whoever runs it.";
    say(http, event, words).await;
}

/// Says that nothing was done because there is no room.
pub(super) async fn busy(http: &Http, text: &str) {
    let event = serde_json::from_str::<Value>(text).unwrap_or_default();
    let words =
        "gantry is serving too many commands at once. Nothing was done. Try again in a moment.";
    say(http, event.get("d").unwrap_or(&Value::Null), words).await;
}

async fn say(http: &Http, event: &Value, words: &str) {
    let kind = event.get("type").and_then(Value::as_u64);
    let id = event.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let token = event.get("token").and_then(Value::as_str);
    let (Some(id), Some(token)) = (id.filter(|id| *id != 0_u64), token) else { return };
    if !kind.is_some_and(|kind| ANSWERABLE.contains(&kind)) {
        return;
    }
    let answer = json!({ "type": 4, "data": {
        "flags": 64,
        "allowed_mentions": { "parse": [] },
        "content": words,
    }});
    let sent =
        http.create_interaction_response(InteractionId::new(id), token, &answer, Vec::new()).await;
    if sent.is_err() {
        tracing::warn!("that could not be answered either");
    }
}
