//! What a person sees after doing something, and the sentence they get when they could not.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// The client or the control API would not let this happen; the sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl From<&str> for Refused {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Refused {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// How the bot answered first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A message.
    Message,
    /// "… is thinking".
    Deferred,
    /// A modal opened.
    Modal,
    /// The message the component is on was edited.
    Updated,
    /// Acknowledged without any visible change.
    DeferredUpdate,
    /// No answer in time.
    Failed,
}

/// The answer to a command, press, selection or modal.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Snowflake of the interaction.
    #[serde(serialize_with = "as_text")]
    pub interaction_id: u64,
    /// How the bot answered first.
    pub outcome: Outcome,
    /// What the person was told when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The message as it was right after the answer, with the twin's extras.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
    /// The modal: `custom_id`, `title`, `components`, `interaction_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modal: Option<Value>,
    /// Milliseconds until the bot acknowledged.
    pub took_ms: u64,
}

fn as_text<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

impl Answer {
    pub(crate) fn failed(interaction_id: u64, why: String) -> Self {
        Self {
            interaction_id,
            outcome: Outcome::Failed,
            error: Some(why),
            message: None,
            modal: None,
            took_ms: 0,
        }
    }

    /// Id of the message, if there is one.
    pub fn message_id(&self) -> Option<u64> {
        self.message.as_ref()?.get("id").and_then(crate::snowflake::from_json)
    }

    /// Everything a person can read on the message: content, embeds, component texts.
    pub fn text(&self) -> String {
        self.message.as_ref().map(text_of).unwrap_or_default()
    }

    /// Whether only the asker sees the message.
    pub fn is_ephemeral(&self) -> bool {
        self.message.as_ref().is_some_and(|message| !message["twin"]["ephemeral_for"].is_null())
    }
}

/// Everything a person can read on a message, a line each.
pub fn text_of(message: &Value) -> String {
    fn add(lines: &mut Vec<String>, value: &Value) {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            lines.push(text.to_owned());
        }
    }
    fn components(lines: &mut Vec<String>, value: &Value) {
        for one in value.as_array().into_iter().flatten() {
            for key in ["content", "label", "placeholder"] {
                add(lines, &one[key]);
            }
            components(lines, &one["components"]);
        }
    }
    let mut lines = Vec::new();
    add(&mut lines, &message["content"]);
    for embed in message["embeds"].as_array().into_iter().flatten() {
        for path in ["/author/name", "/title", "/description"] {
            add(&mut lines, embed.pointer(path).unwrap_or(&Value::Null));
        }
        for field in embed["fields"].as_array().into_iter().flatten() {
            add(&mut lines, &field["name"]);
            add(&mut lines, &field["value"]);
        }
        add(&mut lines, embed.pointer("/footer/text").unwrap_or(&Value::Null));
    }
    components(&mut lines, &message["components"]);
    add(&mut lines, &message["twin"]["failed"]);
    lines.join("\n")
}
