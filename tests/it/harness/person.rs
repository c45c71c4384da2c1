//! A person at Discord: runs commands, presses buttons, fills in modals, reads.

use discord_twin::{Answer, Outcome};
use serde_json::{Value, json};

use super::{Bot, text_of};

/// The channel people use unless they say otherwise.
const CHANNEL: &str = "#ops";

/// Somebody with a name.
pub struct Person<'a> {
    bot: &'a Bot,
    name: &'static str,
}

/// What somebody got as an answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The first answer.
    pub answer: Answer,
    /// The message it led to; 0 when there is none.
    pub message: u64,
}

impl Reply {
    /// Everything it says, as it was right after the answer.
    pub fn text(&self) -> String {
        self.answer.text().replace('\u{a0}', " ")
    }

    pub fn is_ephemeral(&self) -> bool {
        self.answer.is_ephemeral()
    }
}

impl<'a> Person<'a> {
    pub fn new(bot: &'a Bot, name: &'static str) -> Self {
        Self { bot, name }
    }

    /// Runs a command and waits until it is answered with more than “thinking”.
    pub async fn runs(&self, text: &str) -> Reply {
        let answer = self
            .bot
            .discord
            .run(self.name, CHANNEL, text)
            .await
            .unwrap_or_else(|e| panic!("the client would not send {text}: {e}"));
        self.finished(answer, None, text).await
    }

    /// Presses the button that does `action` (`confirm`, `cancel-plan`, `cancel-op`, …), whatever stands on it.
    pub async fn does(&self, reply: &Reply, action: &str) -> Reply {
        let custom_id = self.bot.custom_id(reply.message, action);
        let before = self.before(reply.message);
        let answer = self
            .bot
            .discord
            .press(reply.message, self.name, &custom_id)
            .await
            .unwrap_or_else(|e| panic!("{} cannot press {custom_id}: {e}", self.name));
        self.finished(answer, before, action).await
    }

    /// Presses Confirm, and types `name` where that is asked.
    pub async fn confirms(&self, reply: &Reply, name: &str) -> Reply {
        let pressed = self.does(reply, "confirm").await;
        if pressed.answer.outcome == Outcome::Modal {
            return self.types(&pressed, name).await;
        }
        pressed
    }

    /// Sends what a client would never send.
    pub async fn forges(&self, message: u64, custom_id: &str) -> Reply {
        let before = self.before(message);
        let answer = self.bot.discord.press_forged(message, self.name, custom_id).await.unwrap();
        self.finished(answer, before, custom_id).await
    }

    /// Fills in the first text field of the modal that `reply` opened.
    pub async fn types(&self, reply: &Reply, text: &str) -> Reply {
        let modal = reply.answer.modal.as_ref().expect("a modal is open");
        let field = first_field(modal);
        self.fills(reply, &json!({ field: text })).await
    }

    /// Fills in the modal that `reply` opened.
    pub async fn fills(&self, reply: &Reply, values: &Value) -> Reply {
        let before = self.before(reply.message);
        let answer = self
            .bot
            .discord
            .submit(reply.answer.interaction_id, self.name, values)
            .await
            .unwrap_or_else(|e| panic!("{} cannot send the modal: {e}", self.name));
        self.finished(answer, before, "modal").await
    }

    /// Follows an answer until there is something to read: the message it wrote, what it told this person alone,
    /// or the change it made to the message it was pressed on.
    async fn finished(
        &self,
        mut answer: Answer,
        before: Option<(u64, String)>,
        what: &str,
    ) -> Reply {
        assert!(
            answer.outcome != Outcome::Failed,
            "{what} failed for {}: {:?}",
            self.name,
            answer.error
        );
        if answer.outcome == Outcome::Modal {
            return Reply { message: before.map_or(0, |(id, _)| id), answer };
        }
        let since = answer.interaction_id;
        let mut found = None;
        let done = self
            .bot
            .discord
            .until(super::PATIENCE, |twin| {
                let written = twin.messages(CHANNEL, self.name).unwrap_or_default();
                let new = written.into_iter().rev().find(|m| {
                    let id = m["id"].as_str().and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
                    let told = m["twin"]["ephemeral_for"].is_string();
                    // A press may be answered by a message of its own.
                    let pressed = before.as_ref().is_some_and(|(pressed, _)| *pressed == id);
                    let own = answer.message_id() == Some(id) && !pressed;
                    m["twin"]["thinking"] == false && (own || (id > since && told))
                });
                let changed = before
                    .as_ref()
                    .and_then(|(id, text)| twin.message(*id).filter(|m| text_of(m) != *text));
                found = new.or(changed);
                found.is_some()
            })
            .await;
        assert!(done, "{what} by {} was never answered", self.name);
        let message = found
            .as_ref()
            .and_then(|m| m["id"].as_str())
            .and_then(|id| id.parse().ok())
            .unwrap_or(0);
        answer.message = found;
        Reply { answer, message }
    }

    /// A message as it is before something is pressed on it.
    fn before(&self, message: u64) -> Option<(u64, String)> {
        self.bot.discord.message(message).map(|m| (message, text_of(&m)))
    }

    /// What this person sees in the channel, oldest first.
    pub fn sees(&self) -> Vec<String> {
        self.bot.discord.messages(CHANNEL, self.name).unwrap().iter().map(text_of).collect()
    }
}

/// The custom_id of a modal's first text field.
fn first_field(modal: &Value) -> String {
    fn find(value: &Value) -> Option<String> {
        if value["type"] == 4 {
            return value["custom_id"].as_str().map(str::to_owned);
        }
        let inner = value["components"].as_array().into_iter().flatten();
        inner.chain(value.get("component")).find_map(find)
    }
    find(modal).expect("the modal has a text field")
}
