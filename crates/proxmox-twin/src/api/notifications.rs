//! Webhook targets, matchers, and the test of a target, with the sentences of proxmox-notify.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Call;
use crate::notify::{Notice, Options, Webhook, decoded, many, pair};
use crate::reply::{Refusal, Reply};
use crate::state::State;

/// What every cluster has from the start.
const BUILTIN: [(&str, &str); 2] = [("mail-to-root", "sendmail"), ("default-matcher", "matcher")];
/// Longest name of a target or matcher, and longest comment.
const NAME_MAX: usize = 32;
const COMMENT_MAX: usize = 128;
/// What may be taken out of a target and of a matcher.
const WEBHOOK_OPTIONAL: [&str; 5] = ["comment", "disable", "header", "body", "secret"];
const MATCHER_OPTIONAL: [&str; 8] = [
    "match-severity",
    "match-field",
    "match-calendar",
    "target",
    "mode",
    "invert-match",
    "comment",
    "disable",
];

/// Whether the node that is asked is new enough for a path: webhooks came with 8.3.
pub(super) fn is_known(state: &State, local: &str, path: &str) -> bool {
    if !path.starts_with("/cluster/notifications/endpoints/webhook") {
        return true;
    }
    let version = state.node(local).map(|n| n.version.clone()).unwrap_or_default();
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (8, 3)
}

fn name(call: &Call<'_>) -> String {
    call.text("name").unwrap_or_default()
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::json(400, text)
}

fn unknown(text: impl Into<String>) -> Refusal {
    Refusal::json(404, text)
}

fn quorum(call: &Call<'_>) -> Result<(), Refusal> {
    if call.state.troubles.no_quorum() {
        return Err(Refusal::failed("cfs-lock 'file-notifications_cfg' error: no quorum!"));
    }
    Ok(())
}

/// Targets and matchers stand in one file, by name.
fn unique(call: &Call<'_>, name: &str) -> Result<(), Refusal> {
    let state = &call.state.notify;
    let taken = state.webhooks.contains_key(name)
        || state.matchers.contains_key(name)
        || BUILTIN.iter().any(|(n, _)| *n == name);
    if taken {
        return Err(bad(format!(
            "Cannot create '{name}', an entity with the same name already exists"
        )));
    }
    Ok(())
}

fn digest(call: &Call<'_>) -> Result<(), Refusal> {
    match call.text("digest") {
        Some(given) if given != call.state.notify.digest() => {
            Err(bad("detected modified configuration - file changed by other user? Try again."))
        }
        _ => Ok(()),
    }
}

/// What the file itself does not take.
fn saved(kind: &str, name: &str, options: &Options) -> Result<(), Refusal> {
    let comment = options.get("comment").and_then(Value::as_str).unwrap_or_default();
    let url = options.get("url").and_then(Value::as_str);
    let wrong = if !(2..=NAME_MAX).contains(&name.len()) {
        Some("name: value must be 2 to 32 characters long")
    } else if comment.len() > COMMENT_MAX || comment.contains('\n') {
        Some("comment: value may only be 128 characters long, in one line")
    } else if url.is_some_and(|u| !u.starts_with("http://") && !u.starts_with("https://")) {
        Some("url: value does not match the regex pattern")
    } else {
        None
    };
    match wrong {
        Some(why) => Err(Refusal::failed(format!("could not save {kind} '{name}': {why}"))),
        None => Ok(()),
    }
}

fn note(call: &mut Call<'_>, what: &str, name: &str) {
    let (now, local, user) = (call.now, call.local.clone(), call.caller.id());
    call.state.note(now, what, None, &local, &user, name);
}

fn flag(value: Option<&Value>) -> bool {
    value == Some(&json!("1"))
}

fn shown(name: &str, options: &Options) -> Value {
    let mut row = json!({"name": name, "origin": "user-created"});
    if let Some(map) = row.as_object_mut() {
        for (key, value) in options {
            let flag = matches!(key.as_str(), "disable" | "invert-match");
            let value = if flag { json!(u8::from(value == &json!("1"))) } else { value.clone() };
            map.insert(key.clone(), value);
        }
    }
    row
}

fn shown_webhook(name: &str, webhook: &Webhook) -> Value {
    let mut row = shown(name, &webhook.options);
    let secrets: Vec<String> = webhook.secrets.keys().map(|s| format!("name={s}")).collect();
    if let (false, Some(map)) = (secrets.is_empty(), row.as_object_mut()) {
        map.insert("secret".to_owned(), json!(secrets));
    }
    row
}

pub(super) fn targets(call: &mut Call<'_>) -> Reply {
    let mut rows = vec![json!({"name": "mail-to-root", "type": "sendmail", "origin": "builtin"})];
    for (name, webhook) in &call.state.notify.webhooks {
        let mut row = json!({"name": name, "type": "webhook", "origin": "user-created"});
        if let Some(map) = row.as_object_mut() {
            if let Some(comment) = webhook.options.get("comment") {
                map.insert("comment".to_owned(), comment.clone());
            }
            let off = u8::from(flag(webhook.options.get("disable")));
            map.insert("disable".to_owned(), json!(off));
        }
        rows.push(row);
    }
    Ok(Value::Array(rows).into())
}

pub(super) fn test(call: &mut Call<'_>) -> Reply {
    let name = name(call);
    let Some(webhook) = call.state.notify.webhooks.get(&name) else {
        return Err(unknown(format!("endpoint '{name}' does not exist")));
    };
    let notice = Notice {
        severity: "info".to_owned(),
        title: "Test notification".to_owned(),
        message: format!("This is a test of the notification target '{name}'"),
        fields: BTreeMap::new(),
        at: call.now as i64,
    };
    // Sent once the lock is given back; the answer waits for it.
    let post = webhook.post(&notice);
    call.state.notify.asked = Some(post);
    note(call, "notify-test", &name);
    Ok(Value::Null.into())
}

pub(super) fn webhooks(call: &mut Call<'_>) -> Reply {
    let all = call.state.notify.webhooks.iter().map(|(name, w)| shown_webhook(name, w));
    Ok(Value::Array(all.collect()).into())
}

pub(super) fn webhook(call: &mut Call<'_>) -> Reply {
    let name = name(call);
    let Some(webhook) = call.state.notify.webhooks.get(&name) else {
        return Err(unknown(format!("endpoint '{name}' not found")));
    };
    let mut row = shown_webhook(&name, webhook);
    if let Some(map) = row.as_object_mut() {
        map.insert("digest".to_owned(), json!(call.state.notify.digest()));
    }
    Ok(row.into())
}

/// A target sends where it is told: only who may reach the network from the node may say where.
fn may_send(call: &Call<'_>) -> Result<(), Refusal> {
    call.need("/", &["Sys.Audit", "Sys.Modify"]).or_else(|_| call.need("/", &["Sys.AccessNetwork"]))
}

/// The parameters that were given, lists always as lists.
fn given(call: &Call<'_>, keys: &[&str], lists: &[&str]) -> Options {
    let mut options = Options::new();
    for key in keys {
        if let Some(value) = call.args.get(*key) {
            let value =
                if lists.contains(key) { json!(many(Some(value))) } else { json!(call.text(key)) };
            options.insert((*key).to_owned(), value);
        }
    }
    options
}

const WEBHOOK_KEYS: [&str; 6] = ["url", "method", "body", "comment", "disable", "header"];
const MATCHER_LISTS: [&str; 4] = ["match-severity", "match-field", "match-calendar", "target"];

fn checked_pairs(
    call: &Call<'_>,
    what: &str,
    old: Option<&Webhook>,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut all: Vec<(String, String)> = Vec::new();
    for text in many(call.args.get(what)) {
        let (name, value) = pair(&text);
        let known = old.and_then(|w| w.secrets.get(&name)).filter(|_| what == "secret");
        let value = match (value, known) {
            (Some(value), _) if decoded(&value).is_some() => value,
            (Some(_), _) => {
                return Err(bad(format!(
                    "{what} '{name}' does not have valid base64 encoded data"
                )));
            }
            (None, Some(old)) => old.clone(),
            (None, None) if what == "secret" => {
                return Err(bad(format!("secret '{name}' not known")));
            }
            (None, None) => return Err(bad(format!("header '{name}' has empty value"))),
        };
        if what == "secret" && all.iter().any(|(n, _)| *n == name) {
            return Err(bad(format!("secret '{name}' defined multiple times")));
        }
        all.push((name, value));
    }
    Ok(all)
}

pub(super) fn create_webhook(call: &mut Call<'_>) -> Reply {
    may_send(call)?;
    quorum(call)?;
    let name = name(call);
    unique(call, &name)?;
    let options = given(call, &WEBHOOK_KEYS, &["header"]);
    saved("endpoint", &name, &options)?;
    let secrets = checked_pairs(call, "secret", None)?.into_iter().collect();
    call.state.notify.webhooks.insert(name.clone(), Webhook { options, secrets });
    note(call, "notify-target", &name);
    Ok(Value::Null.into())
}

fn deleted(call: &Call<'_>, optional: &[&str]) -> Result<Vec<String>, Refusal> {
    let keys = many(call.args.get("delete"));
    match keys.iter().find(|k| !optional.contains(&k.as_str())) {
        Some(key) => Err(Refusal::failed(format!("unknown variant `{key}`"))),
        None => Ok(keys),
    }
}

pub(super) fn update_webhook(call: &mut Call<'_>) -> Reply {
    may_send(call)?;
    quorum(call)?;
    let name = name(call);
    digest(call)?;
    let Some(old) = call.state.notify.webhooks.get(&name).cloned() else {
        return Err(unknown(format!("endpoint '{name}' not found")));
    };
    let mut new = old.clone();
    for key in deleted(call, &WEBHOOK_OPTIONAL)? {
        match key.as_str() {
            "secret" => new.secrets.clear(),
            key => {
                new.options.remove(key);
            }
        }
    }
    checked_pairs(call, "header", None)?;
    new.options.extend(given(call, &WEBHOOK_KEYS, &["header"]));
    if call.args.contains_key("secret") {
        new.secrets = checked_pairs(call, "secret", Some(&old))?.into_iter().collect();
    }
    saved("endpoint", &name, &new.options)?;
    call.state.notify.webhooks.insert(name.clone(), new);
    note(call, "notify-target", &name);
    Ok(Value::Null.into())
}

pub(super) fn delete_webhook(call: &mut Call<'_>) -> Reply {
    quorum(call)?;
    let name = name(call);
    if !call.state.notify.webhooks.contains_key(&name) {
        return Err(unknown(format!("endpoint '{name}' not found")));
    }
    let users: Vec<String> = call
        .state
        .notify
        .matchers
        .iter()
        .filter(|(_, m)| many(m.get("target")).contains(&name))
        .map(|(n, _)| n.clone())
        .collect();
    if !users.is_empty() {
        return Err(bad(format!("cannot delete '{name}', referenced by: {}", users.join(", "))));
    }
    call.state.notify.webhooks.remove(&name);
    note(call, "notify-target-gone", &name);
    Ok(Value::Null.into())
}

pub(super) fn matchers(call: &mut Call<'_>) -> Reply {
    let mut rows = vec![json!({
        "name": "default-matcher", "origin": "builtin", "mode": "all", "target": ["mail-to-root"],
        "comment": "Route all notifications to mail-to-root",
    })];
    rows.extend(call.state.notify.matchers.iter().map(|(name, m)| shown(name, m)));
    Ok(Value::Array(rows).into())
}

pub(super) fn matcher(call: &mut Call<'_>) -> Reply {
    let name = name(call);
    let Some(matcher) = call.state.notify.matchers.get(&name) else {
        return Err(unknown(format!("matcher '{name}' not found")));
    };
    let mut row = shown(&name, matcher);
    if let Some(map) = row.as_object_mut() {
        map.insert("digest".to_owned(), json!(call.state.notify.digest()));
    }
    Ok(row.into())
}

fn targets_exist(call: &Call<'_>) -> Result<(), Refusal> {
    let known = |t: &String| t == "mail-to-root" || call.state.notify.webhooks.contains_key(t);
    match many(call.args.get("target")).iter().find(|t| !known(t)) {
        Some(target) => Err(unknown(format!("endpoint '{target}' does not exist"))),
        None => Ok(()),
    }
}

pub(super) fn create_matcher(call: &mut Call<'_>) -> Reply {
    quorum(call)?;
    let name = name(call);
    unique(call, &name)?;
    targets_exist(call)?;
    let options = given(call, &MATCHER_OPTIONAL, &MATCHER_LISTS);
    saved("matcher", &name, &options)?;
    call.state.notify.matchers.insert(name.clone(), options);
    note(call, "notify-matcher", &name);
    Ok(Value::Null.into())
}

pub(super) fn update_matcher(call: &mut Call<'_>) -> Reply {
    quorum(call)?;
    let name = name(call);
    digest(call)?;
    let Some(mut new) = call.state.notify.matchers.get(&name).cloned() else {
        return Err(unknown(format!("matcher '{name}' not found")));
    };
    for key in deleted(call, &MATCHER_OPTIONAL)? {
        new.remove(&key);
    }
    targets_exist(call)?;
    new.extend(given(call, &MATCHER_OPTIONAL, &MATCHER_LISTS));
    saved("matcher", &name, &new)?;
    call.state.notify.matchers.insert(name.clone(), new);
    note(call, "notify-matcher", &name);
    Ok(Value::Null.into())
}

pub(super) fn delete_matcher(call: &mut Call<'_>) -> Reply {
    quorum(call)?;
    let name = name(call);
    if call.state.notify.matchers.remove(&name).is_none() {
        return Err(unknown(format!("matcher '{name}' not found")));
    }
    note(call, "notify-matcher-gone", &name);
    Ok(Value::Null.into())
}
