//! The control API: how a page or a test looks at the simulated Discord and acts in it as a
//! chosen member. Plain JSON; a mistake is a 4xx with one sentence that says what to do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::answer::Refused;
use crate::gateway::{self, Order};
use crate::interact::{self, Place};
use crate::message::{self, Origin, with_extras};
use crate::permission;
use crate::rest::query;
use crate::slash;
use crate::snowflake;
use crate::state::{Shared, State};
use crate::trouble::Trouble;
use crate::world::APPLICATION_ID;

/// Bytes of a control request.
const REQUEST: usize = 1 << 20;

/// Serves one request below `/control`.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    request: http::Request<hyper::body::Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_end_matches('/').to_owned();
    if (head.method.as_str(), path.as_str()) == ("GET", "/control/events") {
        return events(&shared);
    }
    let query = query(head.uri.query().unwrap_or_default());
    let body = match Limited::new(body, REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return json_response(413, &json!({"error": "The request is too large."})),
    };
    let body: Value = if body.is_empty() {
        Value::Null
    } else {
        match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(why) => return json_response(400, &json!({"error": format!("Send JSON: {why}.")})),
        }
    };
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    match answer(&shared, head.method.as_str(), &segments, &query, &body).await {
        Ok(value) => {
            let mut response = json_response(200, &value);
            if segments == ["log"] {
                let dropped = HeaderValue::from(shared.lock().log_dropped);
                response.headers_mut().insert("x-twin-dropped", dropped);
            }
            response
        }
        Err(Refused(why)) => {
            let status = if why.starts_with("There is no such") { 404 } else { 400 };
            json_response(status, &json!({"error": why}))
        }
    }
}

fn json_response(status: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

type Query = [(String, String)];

fn find<'q>(query: &'q Query, key: &str) -> Option<&'q str> {
    query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

fn id_in(query: &Query, key: &str) -> Result<u64, Refused> {
    find(query, key)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Refused(format!("Give ?{key}= an id.")))
}

fn id(body: &Value, key: &str) -> Result<u64, Refused> {
    body.get(key)
        .and_then(snowflake::from_json)
        .ok_or_else(|| Refused(format!("\"{key}\" must be an id.")))
}

fn text<'b>(body: &'b Value, key: &str) -> Result<&'b str, Refused> {
    body[key].as_str().ok_or_else(|| Refused(format!("\"{key}\" must be a text.")))
}

fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

async fn answer(
    shared: &Arc<Shared>,
    method: &str,
    path: &[&str],
    query: &Query,
    body: &Value,
) -> Result<Value, Refused> {
    match (method, path) {
        ("GET", ["state"]) => Ok(state_of(shared)),
        ("GET", ["channels", channel, "messages"]) => {
            let channel: u64 = channel.parse().map_err(|_| "Give a channel id.")?;
            let viewer = id_in(query, "as")?;
            let limit = find(query, "limit").and_then(|text| text.parse().ok()).unwrap_or(100);
            Ok(json!(messages(shared, channel, viewer, limit)?))
        }
        ("GET", ["commands"]) => {
            let (guild, user) = (id_in(query, "guild")?, id_in(query, "as")?);
            let state = shared.lock();
            let list = slash::visible(&state, guild, user).into_iter();
            Ok(list.map(|command| command.json.clone()).collect())
        }
        ("POST", ["interactions", "command"]) => {
            let place = place(body)?;
            let answer = match body["text"].as_str() {
                Some(text) => interact::command(shared, place, text).await?,
                None => {
                    let name = text(body, "name")?;
                    interact::structured(shared, place, name, &body["options"]).await?
                }
            };
            Ok(to_json(&answer))
        }
        ("POST", ["interactions", "autocomplete"]) => {
            let (line, focused) = (text(body, "text")?, text(body, "focused")?);
            let completion = interact::autocomplete(shared, place(body)?, line, focused).await?;
            Ok(to_json(&completion))
        }
        ("POST", ["interactions", "component"]) => {
            let values = body["values"].as_array().map(|list| {
                list.iter()
                    .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                    .collect()
            });
            let forge = find(query, "forge").is_some_and(|value| value != "0");
            let (message, user) = (id(body, "message_id")?, id(body, "user_id")?);
            let custom_id = text(body, "custom_id")?;
            let answer =
                interact::component(shared, message, user, custom_id, values, forge).await?;
            Ok(to_json(&answer))
        }
        ("POST", ["interactions", "modal"]) => {
            let (interaction, user) = (id(body, "interaction_id")?, id(body, "user_id")?);
            let answer = interact::modal(shared, interaction, user, &body["values"]).await?;
            Ok(to_json(&answer))
        }
        ("POST", ["messages"]) => {
            let (channel, user) = (id(body, "channel_id")?, id(body, "user_id")?);
            let id = say(shared, channel, user, text(body, "content")?)?;
            Ok(json!({"message_id": id.to_string()}))
        }
        ("GET", ["log"]) => Ok(to_json(&shared.lock().log)),
        ("DELETE", ["log"]) => {
            let mut state = shared.lock();
            state.log.clear();
            state.log_dropped = 0;
            Ok(json!({}))
        }
        ("GET", ["gateway"]) => {
            let mut state = shared.lock();
            let limit = state.gateway.budget(shared.now_ms());
            Ok(json!({
                "sessions": gateway::sessions(&state), "history": to_json(&state.gateway.history),
                "session_start_limit": limit,
                "invalid_requests": state.limiter.invalid_count(shared.now_ms()),
            }))
        }
        ("POST", ["clock"]) => {
            let ms = body["advance_ms"].as_u64().ok_or("\"advance_ms\" must be a number.")?;
            advance(shared, Duration::from_millis(ms));
            Ok(json!({"now_ms": shared.now_ms()}))
        }
        ("POST", ["trouble"]) => {
            let trouble: Trouble = serde_json::from_value(body.clone())
                .map_err(|why| Refused(format!("That is no trouble this twin knows: {why}.")))?;
            Ok(json!({"id": make_trouble(shared, trouble)}))
        }
        ("GET", ["trouble"]) => Ok(to_json(&shared.lock().troubles.list)),
        ("DELETE", ["trouble"]) => {
            end_troubles(shared, None);
            Ok(json!({}))
        }
        ("DELETE", ["trouble", one]) => {
            let one = one.parse().map_err(|_| "Give the number of a trouble.")?;
            end_troubles(shared, Some(one));
            Ok(json!({}))
        }
        _ => Err(Refused(format!(
            "There is no such control call: {method} /control/{}.",
            path.join("/")
        ))),
    }
}

fn place(body: &Value) -> Result<Place, Refused> {
    let guild_id = if body["guild_id"].is_null() { 0 } else { id(body, "guild_id")? };
    Ok(Place { guild_id, channel_id: id(body, "channel_id")?, user_id: id(body, "user_id")? })
}

/// What the page draws first.
pub(crate) fn state_of(shared: &Shared) -> Value {
    let state = shared.lock();
    let guilds: Vec<Value> = state
        .world
        .guilds
        .values()
        .map(|guild| {
            let roles: Vec<Value> = guild
                .roles
                .iter()
                .map(|role| json!({"id": role.id.to_string(), "name": role.name, "color": role.color,
                                   "permissions": role.permissions.to_string(), "position": role.position}))
                .collect();
            let channels: Vec<Value> = guild
                .channels
                .iter()
                .map(|channel| json!({
                    "id": channel.id.to_string(), "name": channel.name, "type": channel.kind,
                    "topic": channel.topic, "parent_id": channel.parent_id.map(|id| id.to_string()),
                    "position": channel.position,
                    "archived": channel.thread.as_ref().is_some_and(|thread| thread.archived),
                }))
                .collect();
            let members: Vec<Value> = guild.members.iter().map(|member| person(&state, guild, member)).collect();
            json!({"id": guild.id.to_string(), "name": guild.name, "icon_text": guild.icon_text,
                   "roles": roles, "channels": channels, "members": members})
        })
        .collect();
    json!({
        "application": {"id": APPLICATION_ID.to_string(), "bot": {
            "id": APPLICATION_ID.to_string(), "username": state.world.application_name,
            "discriminator": "0", "avatar": null,
        }},
        "bot_online": state.gateway.online(), "panel_url": shared.options.panel_url,
        "dns_url": shared.options.dns_url, "guilds": guilds,
    })
}

fn person(state: &State, guild: &crate::world::Guild, member: &crate::world::Member) -> Value {
    let user = state.world.users.get(&member.user_id);
    let own = guild.roles.iter().filter(|role| member.roles.contains(&role.id) && role.color != 0);
    let color = own.max_by_key(|role| role.position).map(|role| role.color);
    let roles: Vec<String> = member.roles.iter().map(u64::to_string).collect();
    json!({
        "user": {
            "id": member.user_id.to_string(), "username": user.map(|user| &user.username),
            "global_name": user.and_then(|user| user.global_name.as_ref()),
            "bot": user.is_some_and(|user| user.bot),
        },
        "nick": member.nick, "roles": roles, "color_hint": color,
    })
}

/// Messages of a channel as `viewer` sees them, oldest first.
pub(crate) fn messages(
    shared: &Shared,
    channel: u64,
    viewer: u64,
    limit: usize,
) -> Result<Vec<Value>, Refused> {
    let mut state = shared.lock();
    interact::bury_deferred(shared, &mut state);
    state.channel(channel).ok_or("There is no such channel.")?;
    if state.permissions(channel, viewer) & permission::VIEW_CHANNEL == 0 {
        return Err(Refused("This person cannot see that channel.".into()));
    }
    let all = state.messages.get(&channel).into_iter().flat_map(|list| list.values().rev());
    let mine = all.filter(|message| message.ephemeral_for.is_none_or(|owner| owner == viewer));
    let mut list: Vec<Value> =
        mine.take(limit).map(|message| with_extras(&state, message)).collect();
    list.reverse();
    Ok(list)
}

/// A person writes a plain message.
pub(crate) fn say(shared: &Shared, channel: u64, user: u64, content: &str) -> Result<u64, Refused> {
    let mut state = shared.lock();
    let state = &mut *state;
    state.channel(channel).ok_or("There is no such channel.")?;
    if state.permissions(channel, user) & permission::SEND_MESSAGES == 0 {
        return Err(Refused("This person may not write in that channel.".into()));
    }
    let body = json!({"content": content});
    message::create(shared, state, &Origin::plain(channel, user), &body, Vec::new())
        .map_err(|fault| Refused(fault.message))
}

/// Moves the twin's time and wakes whoever waits for it.
pub(crate) fn advance(shared: &Shared, by: Duration) {
    shared.clock.advance(by);
    let mut state = shared.lock();
    for interaction in state.interactions.values().rev().take(1000) {
        if interaction.ack.is_none() {
            interaction.answered.notify_one();
        }
    }
    interact::bury_deferred(shared, &mut state);
}

/// Starts a trouble; the gateway kinds act at once and leave nothing behind, except the zombie.
pub(crate) fn make_trouble(shared: &Shared, trouble: Trouble) -> u64 {
    let mut state = shared.lock();
    match trouble {
        Trouble::Close { code } => {
            state.gateway.order_all(|| Order::Close(code, "Asked for by a trouble."));
        }
        Trouble::Reconnect => {
            let frame = json!({"op": 7, "s": null, "t": null, "d": null}).to_string();
            state.gateway.order_all(|| Order::Frame(frame.clone()));
        }
        Trouble::InvalidSession { resumable } => {
            state.gateway.order_all(|| Order::InvalidSession(resumable));
        }
        Trouble::CutTcp => {
            state.gateway.order_all(|| Order::Cut);
        }
        Trouble::Zombie => {
            state.gateway.zombies(true);
            return state.troubles.add(trouble);
        }
        other => return state.troubles.add(other),
    }
    0
}

/// Ends one trouble, or all.
pub(crate) fn end_troubles(shared: &Shared, id: Option<u64>) {
    let mut state = shared.lock();
    state.troubles.list.retain(|active| id.is_some_and(|id| id != active.id));
    if !state.troubles.list.iter().any(|active| matches!(active.trouble, Trouble::Zombie)) {
        state.gateway.zombies(false);
    }
}

/// Server-sent events until the listener leaves or the twin stops.
fn events(shared: &Arc<Shared>) -> Response<Body> {
    let heard = shared.events.subscribe();
    let stop = shared.stop.clone();
    let stream = stream::unfold((heard, stop), |(mut heard, stop)| async move {
        let value = tokio::select! {
            () = stop.cancelled() => return None,
            value = heard.recv() => match value {
                Ok(value) => value,
                // Too slow a listener: it re-reads everything.
                Err(RecvError::Lagged(missed)) => json!({"type": "missed", "count": missed}),
                Err(RecvError::Closed) => return None,
            },
        };
        let event = Event::default().data(value.to_string());
        Some((Ok::<_, Infallible>(event), (heard, stop)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}
