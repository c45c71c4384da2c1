//! Answers to interactions: the first response within 3 s, then edits and follow-ups with the
//! token for 15 minutes. Each rule here is a sentence of "Receiving and Responding".

use serde_json::{Value, json};

use super::{Call, Reply, nothing, ok};
use crate::check::{self, Body, COMPONENTS_V2, EPHEMERAL, LOADING, Source};
use crate::fault::{Fault, Findings};
use crate::message::{self, Origin};
use crate::state::{Ack, Interaction, State};
use crate::world::APPLICATION_ID;

pub(super) fn serve(state: &mut State, method: &str, template: &str, call: Call<'_>) -> Reply {
    if template.starts_with("/interactions") {
        return callback(state, call);
    }
    if call.id(0) != APPLICATION_ID {
        return Err(Fault::unknown("Webhook"));
    }
    let id = {
        let interaction = by_token(state, call.text(1)).ok_or_else(Fault::invalid_webhook_token)?;
        let life = call.shared.options.token_life.as_millis();
        if u128::from(call.shared.now_ms().saturating_sub(interaction.created_ms)) > life {
            return Err(Fault::invalid_webhook_token());
        }
        // Before the first response the token is no webhook yet.
        if interaction.ack.is_none() || matches!(interaction.ack, Some(Ack::Choices | Ack::Modal)) {
            return Err(Fault::unknown("Webhook"));
        }
        interaction.id
    };
    if !template.contains("/messages/") {
        return follow_up(state, id, call);
    }
    let target = if template.ends_with("@original") {
        state.interactions.get(&id).and_then(|one| one.original)
    } else {
        Some(call.id(2)).filter(|target| {
            state.find_message(*target).is_some_and(|message| message.interaction_id == Some(id))
        })
    };
    let target = target.ok_or_else(|| Fault::unknown("Message"))?;
    let message = state.find_message(target).ok_or_else(|| Fault::unknown("Message"))?;
    let (channel, flags) = (message.channel_id(), message.flags());
    match method {
        "GET" => ok(message.json.clone()),
        "DELETE" => {
            message::delete(call.shared, state, channel, target);
            nothing()
        }
        _ => {
            let mut found = Findings::default();
            let v2 = flags & COMPONENTS_V2 != 0;
            check::message(&mut found, "", &call.body, Body::WebhookEdit, v2);
            found.into_result()?;
            message::edit(call.shared, state, (channel, target), &call.body, call.uploads)?;
            if let Some(own) = state.interactions.get_mut(&id)
                && own.original == Some(target)
            {
                own.owes_original = false;
            }
            message_json(state, channel, target)
        }
    }
}

/// A token starts with its interaction's id, in hexadecimal.
fn by_token<'s>(state: &'s State, token: &str) -> Option<&'s Interaction> {
    let id = u64::from_str_radix(token.get(..16)?, 16).ok()?;
    state.interactions.get(&id).filter(|one| one.token == token)
}

fn message_json(state: &State, channel: u64, id: u64) -> Reply {
    let found = state.message(channel, id).ok_or_else(|| Fault::unknown("Message"))?;
    ok(found.json.clone())
}

fn callback(state: &mut State, call: Call<'_>) -> Reply {
    let shared = call.shared;
    let now = shared.now_ms();
    let interaction = state
        .interactions
        .get(&call.id(0))
        .filter(|one| one.token == call.text(1))
        .cloned()
        .ok_or_else(|| Fault::unknown("Interaction"))?;
    if interaction.ack.is_some() {
        let message = "Interaction has already been acknowledged.";
        return Err(Fault::new(400, 40_060, message));
    }
    let deadline = shared.options.ack_deadline.as_millis();
    let late = u128::from(now.saturating_sub(interaction.created_ms)) > deadline;
    if interaction.expired || late {
        return Err(Fault::unknown("Interaction"));
    }
    let source = match interaction.kind {
        2 => Source::Command,
        3 => Source::Component,
        4 => Source::Autocomplete(interaction.focused_kind),
        _ => Source::Modal(interaction.message_id.is_some()),
    };
    let origin = interaction.message_id.and_then(|id| state.find_message(id));
    let v2 = origin.is_some_and(|message| message.flags() & COMPONENTS_V2 != 0);
    let mut found = Findings::default();
    let kind = check::callback(&mut found, &call.body, source, v2);
    found.into_result()?;
    let with_response = call.flag("with_response");
    let data = call.body.get("data").cloned().unwrap_or(Value::Null);
    let (ack, message) = match kind {
        Some(4) => (Ack::Message, Some(respond(state, &interaction, &data, call, false)?)),
        Some(5) => (Ack::Deferred, Some(respond(state, &interaction, &data, call, true)?)),
        Some(6) => (Ack::DeferredUpdate, interaction.message_id),
        Some(7) => {
            let id = interaction.message_id.ok_or_else(|| Fault::unknown("Message"))?;
            let channel =
                state.find_message(id).ok_or_else(|| Fault::unknown("Message"))?.channel_id();
            message::edit(shared, state, (channel, id), &data, call.uploads)?;
            (Ack::Updated, Some(id))
        }
        Some(8) => (Ack::Choices, None),
        _ => (Ack::Modal, None),
    };
    if let Some(own) = state.interactions.get_mut(&interaction.id) {
        own.ack = Some(ack);
        own.acked_ms = now;
        own.original = message;
        own.owes_original = ack == Ack::Deferred;
        match ack {
            Ack::Choices => own.choices = data["choices"].clone(),
            Ack::Modal => own.modal = Some(data.clone()),
            _ => {}
        }
        own.answered.notify_one();
    }
    if ack == Ack::Modal {
        shared.emit(json!({
            "type": "modal_open", "interaction_id": interaction.id.to_string(),
            "user_id": interaction.user_id.to_string(), "modal": data,
        }));
    }
    if !with_response {
        return nothing();
    }
    let stored = message.and_then(|id| state.find_message(id));
    let flags = stored.map_or(0, crate::state::Stored::flags);
    ok(json!({
        "interaction": {
            "id": interaction.id.to_string(), "type": interaction.kind,
            "response_message_id": message.map(|id| id.to_string()),
            "response_message_loading": flags & LOADING != 0,
            "response_message_ephemeral": flags & EPHEMERAL != 0,
        },
        "resource": stored.map(|stored| json!({"type": kind, "message": stored.json})),
    }))
}

/// Creates the message of a type 4 or 5 response.
fn respond(
    state: &mut State,
    interaction: &Interaction,
    data: &Value,
    call: Call<'_>,
    deferred: bool,
) -> Result<u64, Fault> {
    let flags = data["flags"].as_u64().unwrap_or(0);
    let ephemeral = flags & EPHEMERAL != 0;
    let origin = Origin {
        kind: if interaction.kind == 2 { 20 } else { 0 },
        extra_flags: if deferred { LOADING } else { 0 } | if ephemeral { EPHEMERAL } else { 0 },
        interaction_id: Some(interaction.id),
        ephemeral_for: ephemeral.then_some(interaction.user_id),
        thinking: deferred,
        ..Origin::plain(interaction.channel_id, APPLICATION_ID)
    };
    let body = if deferred { json!({}) } else { data.clone() };
    message::create(call.shared, state, &origin, &body, call.uploads)
}

fn follow_up(state: &mut State, id: u64, call: Call<'_>) -> Reply {
    let mut found = Findings::default();
    let body = if call.body.is_null() { json!({}) } else { call.body.clone() };
    check::message(&mut found, "", &body, Body::Followup, false);
    found.into_result()?;
    let Some(interaction) = state.interactions.get_mut(&id) else {
        return Err(Fault::invalid_webhook_token());
    };
    let (user, channel) = (interaction.user_id, interaction.channel_id);
    // The first follow-up after a deferred response is that response; its ephemerality stands.
    if std::mem::take(&mut interaction.owes_original)
        && let Some(original) = interaction.original
        && state.message(channel, original).is_some()
    {
        message::edit(call.shared, state, (channel, original), &body, call.uploads)?;
        return message_json(state, channel, original);
    }
    let ephemeral = body["flags"].as_u64().unwrap_or(0) & EPHEMERAL != 0;
    let origin = Origin {
        extra_flags: if ephemeral { EPHEMERAL } else { 0 },
        interaction_id: Some(id),
        ephemeral_for: ephemeral.then_some(user),
        ..Origin::plain(channel, APPLICATION_ID)
    };
    let message = message::create(call.shared, state, &origin, &body, call.uploads)?;
    message_json(state, channel, message)
}
