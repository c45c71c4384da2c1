//! Credentials, tickets, tokens, and what a caller may do.
//!
//! Secrets are compared and forgotten: nothing here prints them, except the answer that makes a new token.

use std::collections::BTreeMap;

use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Call, Request};
use crate::access::{Caller, PRIVILEGES, Session, Token, User};
use crate::reply::{Refusal, Reply};
use crate::state::State;

/// Seconds a ticket is good for.
const TICKET_LIFE: f64 = 7_200.0;

fn failed() -> Refusal {
    Refusal::bare(401, "Authentication failed!")
}

/// Who is calling, by token or by ticket.
///
/// # Errors
/// 401 with the server's three different reasons.
pub(super) fn authenticate(state: &State, request: &Request) -> Result<Caller, Refusal> {
    if let Some(header) = &request.authorization
        && let Some(rest) = header.strip_prefix("PVEAPIToken")
        && let Some(value) = rest.strip_prefix(['=', ' '])
    {
        let value = value.split(';').next().unwrap_or_default();
        let value = percent_decode_str(value).decode_utf8_lossy();
        return by_token(state, &value);
    }
    let ticket = request.cookie.as_ref().and_then(|cookies| {
        cookies
            .split(';')
            .find_map(|c| c.trim().strip_prefix("PVEAuthCookie="))
            .map(|t| percent_decode_str(t).decode_utf8_lossy().into_owned())
    });
    let Some(ticket) = ticket else { return Err(Refusal::bare(401, "No ticket")) };
    let session = state.access.sessions.get(&ticket).filter(|s| s.until > state.now());
    let Some(session) = session else { return Err(failed()) };
    if request.method != "GET" && request.csrf.as_deref() != Some(session.csrf.as_str()) {
        return Err(Refusal::bare(401, "Permission denied - invalid csrf token"));
    }
    Ok(Caller { user: session.user.clone(), token: None })
}

fn by_token(state: &State, value: &str) -> Result<Caller, Refusal> {
    let (name, secret) = value.split_once('=').ok_or_else(failed)?;
    let (user, token) = name.split_once('!').ok_or_else(failed)?;
    let known =
        state.access.users.get(user).and_then(|u| u.tokens.get(token)).ok_or_else(failed)?;
    let expired = known.expire != 0 && (known.expire as f64) < state.now();
    if known.secret != secret || expired {
        return Err(failed());
    }
    Ok(Caller { user: user.to_owned(), token: Some(token.to_owned()) })
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness from the system there are no secrets to protect in a simulation.
    let _ = getrandom::fill(&mut bytes);
    let text = hex::encode(bytes);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

pub(super) fn login(call: &mut Call<'_>) -> Reply {
    let refused = || {
        Refusal::json(401, "authentication failure").after(call.state.settings.unauthorised_delay)
    };
    let name = call.text("username").unwrap_or_default();
    let user = match call.text("realm") {
        Some(realm) if !name.contains('@') => format!("{name}@{realm}"),
        _ => name,
    };
    let password = call.text("password").unwrap_or_default();
    let known = call.state.access.users.get(&user).and_then(|u| u.password.clone());
    // A valid ticket of the same user renews as a password.
    let renewing = call
        .state
        .access
        .sessions
        .get(&password)
        .is_some_and(|s| s.user == user && s.until > call.now);
    if known.is_none_or(|k| k != password) && !renewing {
        return Err(refused());
    }
    let stamp = format!("{:08X}", call.now as u64);
    let engine = base64::engine::general_purpose::STANDARD;
    let sign = |what: &str| engine.encode(Sha256::digest(format!("{what}{}", uuid())));
    let ticket = format!("PVE:{user}:{stamp}::{}{}", sign("ticket"), sign("more"));
    let csrf = format!("{stamp}:{}", sign("csrf").trim_end_matches('='));
    let until = call.now + TICKET_LIFE;
    call.state
        .access
        .sessions
        .insert(ticket.clone(), Session { user: user.clone(), csrf: csrf.clone(), until });
    Ok(json!({
        "username": user,
        "ticket": ticket,
        "CSRFPreventionToken": csrf,
        "clustername": call.state.settings.cluster,
        "cap": {"vms": {}, "storage": {}, "nodes": {}, "dc": {}, "access": {}, "sdn": {}, "mapping": {}},
    })
    .into())
}

/// Paths that are always listed.
const USUAL_PATHS: [&str; 9] = [
    "/",
    "/access",
    "/access/groups",
    "/access/realm",
    "/mapping",
    "/nodes",
    "/sdn",
    "/storage",
    "/vms",
];

pub(super) fn permissions(call: &mut Call<'_>) -> Reply {
    let who = match call.text("userid") {
        None => call.caller.clone(),
        Some(id) => {
            let (user, token) = match id.split_once('!') {
                Some((user, token)) => (user.to_owned(), Some(token.to_owned())),
                None => (id, None),
            };
            let other = Caller { user, token };
            if other.user != call.caller.user {
                call.need("/access", &["Sys.Audit"])?;
            }
            other
        }
    };
    let mut paths: Vec<String> = match call.text("path") {
        Some(path) => vec![path],
        None => {
            let mut all: Vec<String> = USUAL_PATHS.iter().map(|p| (*p).to_owned()).collect();
            all.extend(call.state.access.acl.iter().map(|e| e.path.clone()));
            all.extend(call.state.pools.keys().map(|p| format!("/pool/{p}")));
            all
        }
    };
    paths.sort();
    paths.dedup();
    let mut map = Map::new();
    for path in paths {
        let mask = call.state.access.effective(&who, &path, None);
        if mask == 0 && call.text("path").is_none() {
            continue;
        }
        let held: Map<String, Value> = PRIVILEGES
            .iter()
            .enumerate()
            .filter(|(n, _)| mask & (1 << n) != 0)
            .map(|(_, name)| ((*name).to_owned(), json!(1)))
            .collect();
        map.insert(path, Value::Object(held));
    }
    Ok(Value::Object(map).into())
}

pub(super) fn acl(call: &mut Call<'_>) -> Reply {
    let rows = call
        .state
        .access
        .acl
        .iter()
        .filter(|e| {
            call.need_any(&e.path, &["Permissions.Modify", "Sys.Audit"]).is_ok()
                || e.subject == call.caller.id()
        })
        .map(|e| {
            let kind = if e.subject.contains('!') { "token" } else { "user" };
            json!({"path": e.path, "ugid": e.subject, "type": kind, "roleid": e.role, "propagate": u8::from(e.propagate)})
        })
        .collect();
    Ok(Value::Array(rows).into())
}

fn token_row(id: &str, token: &Token) -> Value {
    let mut row =
        json!({"tokenid": id, "expire": token.expire, "privsep": u8::from(token.separated)});
    if let (Some(comment), Some(map)) = (&token.comment, row.as_object_mut()) {
        map.insert("comment".into(), json!(comment));
    }
    row
}

fn sees(call: &Call<'_>, user: &str) -> bool {
    call.caller.user == user
        || call.need_any("/access/groups", &["User.Modify", "Sys.Audit"]).is_ok()
}

pub(super) fn users(call: &mut Call<'_>) -> Reply {
    let full = call.flag("full");
    let rows = call
        .state
        .access
        .users
        .iter()
        .filter(|(id, _)| sees(call, id))
        .map(|(id, user)| {
            let mut row = json!({"userid": id, "enable": 1, "expire": 0, "realm-type": if id.ends_with("@pam") { "pam" } else { "pve" }});
            if let Some(map) = row.as_object_mut() {
                if let Some(comment) = &user.comment {
                    map.insert("comment".into(), json!(comment));
                }
                if full {
                    let tokens: Vec<Value> = user.tokens.iter().map(|(i, t)| token_row(i, t)).collect();
                    map.insert("tokens".into(), json!(tokens));
                }
            }
            row
        })
        .collect();
    Ok(Value::Array(rows).into())
}

fn user_of<'a>(call: &'a mut Call<'_>) -> Result<(String, &'a mut User), Refusal> {
    let id = call.text("userid").unwrap_or_default();
    if call.caller.user != id {
        call.need_any("/access/groups", &["User.Modify"])
            .map_err(|_| Refusal::denied("/access/groups, User.Modify"))?;
    }
    let user = call.state.access.users.get_mut(&id);
    user.map(|u| (id.clone(), u)).ok_or_else(|| Refusal::failed(format!("no such user ('{id}')")))
}

pub(super) fn tokens(call: &mut Call<'_>) -> Reply {
    let (_, user) = user_of(call)?;
    Ok(user.tokens.iter().map(|(i, t)| token_row(i, t)).collect::<Value>().into())
}

pub(super) fn new_token(call: &mut Call<'_>) -> Reply {
    let id = call.text("tokenid").unwrap_or_default();
    let separated = call.text("privsep").is_none_or(|v| v == "1");
    let (comment, expire) = (call.text("comment"), call.number("expire").unwrap_or(0));
    let (name, user) = user_of(call)?;
    if user.tokens.contains_key(&id) {
        return Err(Refusal::parameter("tokenid", "Token already exists."));
    }
    let secret = uuid();
    let token = Token { secret: secret.clone(), separated, comment, expire };
    user.tokens.insert(id.clone(), token);
    // Here the server gives the flag as text (measured).
    Ok(json!({
        "full-tokenid": format!("{name}!{id}"),
        "value": secret,
        "info": {"privsep": if separated { "1" } else { "0" }},
    })
    .into())
}

pub(super) fn drop_token(call: &mut Call<'_>) -> Reply {
    let id = call.text("tokenid").unwrap_or_default();
    let (name, user) = user_of(call)?;
    if user.tokens.remove(&id).is_none() {
        return Err(Refusal::failed(format!("no such token '{id}' for user '{name}'")));
    }
    let subject = format!("{name}!{id}");
    call.state.access.acl.retain(|e| e.subject != subject);
    Ok(Value::Null.into())
}

/// An account with one token, used when the twin is set up.
pub(crate) fn account(password: Option<String>, token: Option<(&str, Token)>) -> User {
    let tokens = token.map(|(id, t)| (id.to_owned(), t)).into_iter().collect::<BTreeMap<_, _>>();
    User { password, comment: None, tokens }
}
