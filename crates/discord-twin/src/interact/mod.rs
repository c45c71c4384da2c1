//! What a person does: uses a command, types, presses, selects, sends a modal. Builds the
//! interaction as Discord does, sends it through the gateway, waits for the answer or 3 s.

mod component;
mod form;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

pub(crate) use component::all_components;
use component::{check_values, custom_ids, find_component, resolve};
use form::filled;

use crate::answer::{Answer, Outcome, Refused};
use crate::message::{self, Origin, with_extras};
use crate::permission;
use crate::render;
use crate::slash;
use crate::snowflake::random_hex;
use crate::state::{Ack, Interaction, Shared, State};
use crate::world::APPLICATION_ID;

/// Bytes of an attachment an interaction may bring.
const ATTACHMENT_LIMIT: u64 = 10 << 20;

/// Who does something, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) guild_id: u64,
    pub(crate) channel_id: u64,
    pub(crate) user_id: u64,
}

/// The answer to typing.
#[derive(Clone, Debug, Serialize)]
pub struct Completion {
    /// `[{name, value}]`
    pub choices: Value,
    /// How long the bot took.
    pub took_ms: u64,
}

struct New {
    place: Place,
    kind: u8,
    name: String,
    data: Value,
    message_id: Option<u64>,
    focused_kind: i64,
    parent: Option<Value>,
}

/// Uses a slash command, written as text.
pub(crate) async fn command(
    shared: &Arc<Shared>,
    place: Place,
    text: &str,
) -> Result<Answer, Refused> {
    let line = {
        let state = shared.lock();
        may_use(&state, place)?;
        slash::parse(&state, place.guild_id, place.user_id, text, None)?
    };
    run_line(shared, place, line).await
}

/// Uses a slash command, given as name and options.
pub(crate) async fn structured(
    shared: &Arc<Shared>,
    place: Place,
    name: &str,
    options: &Value,
) -> Result<Answer, Refused> {
    let line = {
        let state = shared.lock();
        may_use(&state, place)?;
        slash::structured(&state, place.guild_id, place.user_id, name, options)?
    };
    run_line(shared, place, line).await
}

async fn run_line(
    shared: &Arc<Shared>,
    place: Place,
    line: slash::Line,
) -> Result<Answer, Refused> {
    let new = New {
        place,
        kind: 2,
        name: line.name,
        data: line.data,
        message_id: None,
        focused_kind: 0,
        parent: None,
    };
    Ok(answer(shared, deliver(shared, new).await))
}

/// Types into an autocompleted option.
pub(crate) async fn autocomplete(
    shared: &Arc<Shared>,
    place: Place,
    text: &str,
    focused: &str,
) -> Result<Completion, Refused> {
    let line = {
        let state = shared.lock();
        may_use(&state, place)?;
        slash::parse(&state, place.guild_id, place.user_id, text, Some(focused))?
    };
    let new = New {
        place,
        kind: 4,
        name: line.name,
        data: line.data,
        message_id: None,
        focused_kind: line.focused_kind,
        parent: None,
    };
    let id = deliver(shared, new).await?;
    let state = shared.lock();
    let interaction = state.interactions.get(&id).ok_or("The interaction is forgotten.")?;
    if interaction.ack != Some(Ack::Choices) {
        return Err(Refused("Loading options failed".into()));
    }
    let took_ms = interaction.acked_ms.saturating_sub(interaction.created_ms);
    Ok(Completion { choices: interaction.choices.clone(), took_ms })
}

/// Presses a button or sends a selection. `forge` skips what the client would not offer.
pub(crate) async fn component(
    shared: &Arc<Shared>,
    message_id: u64,
    user_id: u64,
    custom_id: &str,
    values: Option<Vec<String>>,
    forge: bool,
) -> Result<Answer, Refused> {
    let new = {
        let state = shared.lock();
        let message = state.find_message(message_id).ok_or("There is no such message.")?;
        let hidden = message.ephemeral_for.is_some_and(|owner| owner != user_id);
        if hidden && !forge {
            return Err(Refused("This person cannot see that message.".into()));
        }
        let channel_id = message.channel_id();
        let guild_id = state.guild_of_channel(channel_id).map_or(0, |guild| guild.id);
        let place = Place { guild_id, channel_id, user_id };
        may_be_here(&state, place)?;
        let found = find_component(&message.json["components"], custom_id);
        if !forge {
            let component = found.ok_or_else(|| {
                let ids = custom_ids(&message.json["components"]).join(", ");
                format!(
                    "That message has no component with custom_id \"{custom_id}\"; it has: {ids}."
                )
            })?;
            if component["disabled"] == true {
                return Err(Refused("This component is disabled.".into()));
            }
            check_values(component, values.as_deref())?;
        }
        let fallback = if values.is_some() { 3 } else { 2 };
        let kind = found.and_then(|one| one["type"].as_i64()).unwrap_or(fallback);
        let mut data = json!({"custom_id": custom_id, "component_type": kind});
        if let Some(id) = found.map(|one| one["id"].clone()) {
            data["id"] = id;
        }
        if kind != 2 {
            data["values"] = json!(values.clone().unwrap_or_default());
            resolve(&state, guild_id, kind, values.as_deref().unwrap_or_default(), &mut data);
        }
        let parent = message.interaction_id.and_then(|id| state.interactions.get(&id));
        New {
            place,
            kind: 3,
            name: parent.map_or_else(String::new, |parent| parent.name.clone()),
            data,
            message_id: Some(message_id),
            focused_kind: 0,
            parent: None,
        }
    };
    Ok(answer(shared, deliver(shared, new).await))
}

/// Sends a modal that was opened by the interaction `opened_by`.
pub(crate) async fn modal(
    shared: &Arc<Shared>,
    opened_by: u64,
    user_id: u64,
    values: &Value,
) -> Result<Answer, Refused> {
    let new = {
        let state = shared.lock();
        let source = state.interactions.get(&opened_by).ok_or("There is no such interaction.")?;
        let modal = source.modal.as_ref().ok_or("That interaction opened no modal.")?;
        if source.user_id != user_id {
            return Err(Refused("The modal was opened for somebody else.".into()));
        }
        let components = filled(modal, values)?;
        New {
            place: Place {
                guild_id: source.guild_id.unwrap_or(0),
                channel_id: source.channel_id,
                user_id,
            },
            kind: 5,
            name: source.name.clone(),
            data: json!({"custom_id": modal["custom_id"], "components": components, "resolved": {}}),
            message_id: source.message_id,
            focused_kind: 0,
            parent: Some(source.metadata.clone()),
        }
    };
    Ok(answer(shared, deliver(shared, new).await))
}

fn may_be_here(state: &State, place: Place) -> Result<u64, Refused> {
    let user = state.world.users.get(&place.user_id).ok_or("There is no such user.")?;
    if user.bot {
        return Err(Refused("Bots cannot use interactions.".into()));
    }
    state.channel(place.channel_id).ok_or("There is no such channel.")?;
    if place.guild_id != 0 {
        let guild = state.world.guilds.get(&place.guild_id).ok_or("There is no such guild.")?;
        guild.channel(place.channel_id).ok_or("That channel is not in that guild.")?;
        guild.member(place.user_id).ok_or("That user is not a member of that guild.")?;
    }
    let bits = state.permissions(place.channel_id, place.user_id);
    if bits & permission::VIEW_CHANNEL == 0 {
        return Err(Refused("This person cannot see that channel.".into()));
    }
    Ok(bits)
}

fn may_use(state: &State, place: Place) -> Result<(), Refused> {
    let bits = may_be_here(state, place)?;
    if bits & permission::USE_APPLICATION_COMMANDS == 0 {
        return Err(Refused(
            "This person may not use application commands in that channel.".into(),
        ));
    }
    Ok(())
}

/// Sends an interaction and waits until it is answered or too old. The waiting goes on in a
/// task of its own, so that an answer that never comes is noticed even if nobody waits here.
async fn deliver(shared: &Arc<Shared>, new: New) -> Result<u64, Refused> {
    let place = new.place;
    let (id, answered, heard) = {
        let mut state = shared.lock();
        let state = &mut *state;
        let now = shared.now_ms();
        let id = state.mint.next(now);
        let token = format!("{id:016x}{}", random_hex(48));
        let payload = payload(state, &new, id, &token)?;
        let answered = Arc::new(Notify::new());
        let mut metadata = json!({
            "id": id.to_string(), "type": new.kind, "user": render::user_by_id(&state.world, place.user_id),
            "authorizing_integration_owners": payload["authorizing_integration_owners"],
        });
        match new.kind {
            2 => metadata["name"] = json!(new.name.trim_start_matches('/')),
            3 => metadata["interacted_message_id"] = json!(new.message_id.map(|id| id.to_string())),
            5 => {
                metadata["triggering_interaction_metadata"] = new.parent.clone().unwrap_or_default()
            }
            _ => {}
        }
        state.keep_interaction(Interaction {
            id,
            token,
            kind: new.kind,
            user_id: place.user_id,
            guild_id: (place.guild_id != 0).then_some(place.guild_id),
            channel_id: place.channel_id,
            name: new.name.clone(),
            message_id: new.message_id,
            focused_kind: new.focused_kind,
            created_ms: now,
            ack: None,
            acked_ms: 0,
            original: None,
            owes_original: false,
            modal: None,
            choices: json!([]),
            expired: false,
            metadata,
            answered: answered.clone(),
        });
        let guild = (place.guild_id != 0).then_some(place.guild_id);
        let heard = state.dispatch("INTERACTION_CREATE", &payload, guild, 0, now);
        (id, answered, heard)
    };
    let waiting = tokio::spawn(wait(shared.clone(), id, answered, heard));
    drop(waiting.await);
    Ok(id)
}

async fn wait(shared: Arc<Shared>, id: u64, answered: Arc<Notify>, heard: usize) {
    if heard > 0 {
        loop {
            let left = {
                let state = shared.lock();
                let Some(own) = state.interactions.get(&id).filter(|own| own.ack.is_none()) else {
                    return;
                };
                let deadline =
                    u64::try_from(shared.options.ack_deadline.as_millis()).unwrap_or(3000);
                (own.created_ms + deadline).saturating_sub(shared.now_ms())
            };
            if left == 0 {
                break;
            }
            // One millisecond more: a response exactly at the deadline still counts.
            let pause = Duration::from_millis(left + 1);
            drop(tokio::time::timeout(pause, answered.notified()).await);
        }
    }
    fail(&shared, id, heard);
}

/// Nobody answered in time: the person is told what Discord tells.
fn fail(shared: &Shared, id: u64, heard: usize) {
    let mut state = shared.lock();
    let state = &mut *state;
    let Some(own) = state.interactions.get_mut(&id).filter(|own| own.ack.is_none()) else { return };
    own.expired = true;
    let (kind, user, channel) = (own.kind, own.user_id, own.channel_id);
    let why =
        if heard == 0 { "The bot is not connected" } else { "The application did not respond" };
    let event = json!({
        "type": "interaction_failed", "interaction_id": id.to_string(), "why": why,
        "user_id": user.to_string(), "channel_id": channel.to_string(),
    });
    shared.emit(event);
    if kind == 2 {
        let origin = Origin {
            kind: 20,
            extra_flags: crate::check::EPHEMERAL,
            interaction_id: Some(id),
            ephemeral_for: Some(user),
            thinking: true,
            ..Origin::plain(channel, APPLICATION_ID)
        };
        if let Ok(message) = message::create(shared, state, &origin, &json!({}), Vec::new())
            && let Some(stored) = state.message_mut(channel, message)
        {
            stored.thinking = false;
            stored.failed = Some("The application did not respond".into());
            shared.emit_message("message_update", channel, message);
        }
    }
}

/// Deferred responses whose token has died will never be filled in; they are shown as failed.
pub(crate) fn bury_deferred(shared: &Shared, state: &mut State) {
    let now = shared.now_ms();
    let life = u64::try_from(shared.options.token_life.as_millis()).unwrap_or(u64::MAX);
    let dead = |state: &State, interaction: Option<u64>| {
        let own = interaction.and_then(|id| state.interactions.get(&id));
        own.is_none_or(|own| now > own.created_ms + life)
    };
    let mut buried = Vec::new();
    for list in state.messages.values() {
        for message in list.values().filter(|message| message.thinking) {
            if dead(state, message.interaction_id) {
                buried.push((message.channel_id(), message.id()));
            }
        }
    }
    for (channel, id) in buried {
        if let Some(message) = state.message_mut(channel, id) {
            message.thinking = false;
            message.failed = Some("The application did not respond".into());
        }
        shared.emit_message("message_update", channel, id);
    }
}

/// The INTERACTION_CREATE payload.
fn payload(state: &State, new: &New, id: u64, token: &str) -> Result<Value, Refused> {
    let place = new.place;
    let channel = state.channel(place.channel_id).ok_or("There is no such channel.")?;
    let user = state.world.users.get(&place.user_id).ok_or("There is no such user.")?;
    let bits = state.permissions(place.channel_id, place.user_id);
    let mut partial = render::channel(&state.world, channel, state.last_message(place.channel_id));
    partial["permissions"] = json!(bits.to_string());
    let mut value = json!({
        "id": id.to_string(), "application_id": APPLICATION_ID.to_string(), "type": new.kind,
        "data": new.data, "channel_id": place.channel_id.to_string(), "channel": partial,
        "token": token, "version": 1, "locale": user.locale, "entitlements": [],
        "entitlement_sku_ids": [], "attachment_size_limit": ATTACHMENT_LIMIT,
        "app_permissions": state.permissions(place.channel_id, APPLICATION_ID).to_string(),
    });
    if let Some(guild) = state.world.guilds.get(&place.guild_id) {
        let member = guild.member(place.user_id).ok_or("That user is not a member.")?;
        let mut rendered = render::member(&state.world, member);
        rendered["permissions"] = json!(bits.to_string());
        value["member"] = rendered;
        value["guild_id"] = json!(guild.id.to_string());
        value["guild_locale"] = json!("en-GB");
        value["guild"] = json!({"id": guild.id.to_string(), "locale": "en-GB", "features": []});
        value["context"] = json!(0);
        value["authorizing_integration_owners"] = json!({"0": guild.id.to_string()});
    } else {
        value["user"] = render::user(user);
        value["context"] = json!(1);
        value["authorizing_integration_owners"] = json!({"0": "0"});
    }
    if let Some(message) = new.message_id.and_then(|id| state.find_message(id)) {
        value["message"] = message.json.clone();
    }
    Ok(value)
}

/// Sums up what became of an interaction.
fn answer(shared: &Shared, delivered: Result<u64, Refused>) -> Answer {
    let id = match delivered {
        Ok(id) => id,
        Err(Refused(why)) => return Answer::failed(0, why),
    };
    let state = shared.lock();
    let Some(own) = state.interactions.get(&id) else {
        return Answer::failed(id, "The interaction is forgotten.".into());
    };
    let outcome = match own.ack {
        None => return Answer::failed(id, "The application did not respond".into()),
        Some(Ack::Message | Ack::Choices) => Outcome::Message,
        Some(Ack::Deferred) => Outcome::Deferred,
        Some(Ack::DeferredUpdate) => Outcome::DeferredUpdate,
        Some(Ack::Updated) => Outcome::Updated,
        Some(Ack::Modal) => Outcome::Modal,
    };
    let message = own.original.and_then(|id| state.find_message(id));
    let modal = own.modal.as_ref().map(|modal| {
        let mut modal = modal.clone();
        modal["interaction_id"] = json!(id.to_string());
        modal
    });
    Answer {
        interaction_id: id,
        outcome,
        error: None,
        message: message.map(|message| with_extras(&state, message)),
        modal,
        took_ms: own.acked_ms.saturating_sub(own.created_ms),
    }
}
