//! `…/firewall`: options, rules by position, aliases and sets of addresses.

use serde_json::{Map, Value, json};

use super::Call;
use crate::firewall::{IpSet, Scope, check};
use crate::network::Options;
use crate::reply::{Refusal, Reply};

/// Parameters that are not part of a rule or of the options.
const NOT_FIELDS: [&str; 9] =
    ["node", "vmid", "pos", "digest", "delete", "moveto", "name", "rename", "cidr"];

/// Whose firewall a path speaks of: the cluster's, a node's, a guest's.
fn key(call: &Call<'_>) -> Result<String, Refusal> {
    if call.args.contains_key("vmid") {
        return Ok(format!("guest/{}", call.guest()?.vmid));
    }
    Ok(match call.text("node") {
        Some(node) => format!("node/{node}"),
        None => "cluster".to_owned(),
    })
}

fn scope(call: &Call<'_>) -> Result<Scope, Refusal> {
    Ok(call.state.firewall.get(&key(call)?).cloned().unwrap_or_default())
}

/// Writes a scope back, if nobody has changed it since the caller looked.
fn write(call: &mut Call<'_>, scope: Scope) -> Reply {
    let key = key(call)?;
    let (now, user) = (call.now, call.caller.id());
    let vmid = key.strip_prefix("guest/").and_then(|v| v.parse().ok());
    let node = call.node();
    call.state.firewall.insert(key.clone(), scope);
    call.state.note(now, "firewall", vmid, &node, &user, &key);
    Ok(Value::Null.into())
}

fn fresh(call: &Call<'_>, scope: &Scope) -> Result<(), Refusal> {
    match call.text("digest") {
        Some(given) if given != scope.digest() => Err(Refusal::failed(
            "detected modified configuration - file changed by other user? Try again.",
        )),
        _ => Ok(()),
    }
}

fn fields(call: &Call<'_>) -> Options {
    call.args
        .keys()
        .filter(|k| !NOT_FIELDS.contains(&k.as_str()))
        .filter_map(|k| Some((k.clone(), call.text(k)?)))
        .collect()
}

fn removed(call: &Call<'_>) -> Vec<String> {
    let text = call.text("delete").unwrap_or_default();
    text.split([',', ';', ' ']).filter(|k| !k.is_empty()).map(str::to_owned).collect()
}

pub(super) fn options(call: &mut Call<'_>) -> Reply {
    let scope = scope(call)?;
    let mut row: Map<String, Value> = scope
        .options
        .iter()
        .map(|(k, v)| (k.clone(), v.parse::<u64>().map_or_else(|_| json!(v), |n| json!(n))))
        .collect();
    row.insert("digest".into(), json!(scope.digest()));
    Ok(Value::Object(row).into())
}

pub(super) fn set_options(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let mut scope = scope(call)?;
    fresh(call, &scope)?;
    for key in removed(call) {
        scope.options.remove(&key);
    }
    scope.options.extend(fields(call));
    write(call, scope)
}

pub(super) fn rules(call: &mut Call<'_>) -> Reply {
    let scope = scope(call)?;
    let rows = scope.rules.iter().enumerate().map(|(n, rule)| scope.row(n, rule)).collect();
    Ok(Value::Array(rows).into())
}

/// The position in the path, if there is a rule.
fn position(call: &Call<'_>, scope: &Scope) -> Result<usize, Refusal> {
    let pos = call.number("pos").unwrap_or_default();
    usize::try_from(pos)
        .ok()
        .filter(|pos| *pos < scope.rules.len())
        .ok_or_else(|| Refusal::failed(format!("no rule at position {pos}")))
}

pub(super) fn rule(call: &mut Call<'_>) -> Reply {
    let scope = scope(call)?;
    let pos = position(call, &scope)?;
    let empty = Options::new();
    Ok(scope.row(pos, scope.rules.get(pos).unwrap_or(&empty)).into())
}

fn checked(call: &Call<'_>, rule: &Options) -> Result<(), Refusal> {
    let cluster = call.state.firewall.get("cluster").cloned().unwrap_or_default();
    let guest = call.args.contains_key("vmid");
    check(rule, guest, &cluster).map_err(|(key, text)| Refusal::parameter(key, text))
}

/// New rules come first.
pub(super) fn create_rule(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let mut scope = scope(call)?;
    fresh(call, &scope)?;
    let mut rule = fields(call);
    rule.entry("enable".to_owned()).or_insert_with(|| "0".to_owned());
    checked(call, &rule)?;
    scope.rules.insert(0, rule);
    write(call, scope)
}

pub(super) fn update_rule(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let mut scope = scope(call)?;
    fresh(call, &scope)?;
    let pos = position(call, &scope)?;
    if let Some(to) = call.number("moveto").and_then(|n| usize::try_from(n).ok()) {
        let rule = scope.rules.remove(pos);
        // The target counts before the rule is taken out.
        let at = if to > pos { to - 1 } else { to };
        scope.rules.insert(at.min(scope.rules.len()), rule);
        return write(call, scope);
    }
    let mut rule = scope.rules.get(pos).cloned().unwrap_or_default();
    for key in removed(call) {
        rule.remove(&key);
    }
    rule.extend(fields(call));
    checked(call, &rule)?;
    if let Some(place) = scope.rules.get_mut(pos) {
        *place = rule;
    }
    write(call, scope)
}

pub(super) fn delete_rule(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let mut scope = scope(call)?;
    fresh(call, &scope)?;
    let pos = position(call, &scope)?;
    scope.rules.remove(pos);
    write(call, scope)
}

fn name(call: &Call<'_>) -> String {
    call.text("name").unwrap_or_default().to_lowercase()
}

fn alias_row(scope: &Scope, name: &str, own: &Options) -> Value {
    let mut row: Map<String, Value> = own.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    row.insert("name".into(), json!(name));
    row.insert("digest".into(), json!(scope.digest()));
    Value::Object(row)
}

fn alias_fields(call: &Call<'_>) -> Options {
    ["cidr", "comment"].into_iter().filter_map(|k| Some((k.to_owned(), call.text(k)?))).collect()
}

pub(super) fn aliases(call: &mut Call<'_>) -> Reply {
    let scope = scope(call)?;
    Ok(Value::Array(scope.aliases.iter().map(|(n, own)| alias_row(&scope, n, own)).collect())
        .into())
}

pub(super) fn alias(call: &mut Call<'_>) -> Reply {
    let (scope, name) = (scope(call)?, name(call));
    match scope.aliases.get(&name) {
        Some(own) => Ok(alias_row(&scope, &name, own).into()),
        None => Err(Refusal::parameter("name", "no such alias")),
    }
}

pub(super) fn create_alias(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let (mut scope, name) = (scope(call)?, name(call));
    if scope.aliases.contains_key(&name) {
        return Err(Refusal::parameter("name", format!("alias '{name}' already exists")));
    }
    scope.aliases.insert(name, alias_fields(call));
    write(call, scope)
}

pub(super) fn update_alias(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let (mut scope, name) = (scope(call)?, name(call));
    fresh(call, &scope)?;
    if scope.aliases.remove(&name).is_none() {
        return Err(Refusal::parameter("name", "no such alias"));
    }
    let new = call.text("rename").map_or(name, |n| n.to_lowercase());
    scope.aliases.insert(new, alias_fields(call));
    write(call, scope)
}

pub(super) fn delete_alias(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let (mut scope, name) = (scope(call)?, name(call));
    fresh(call, &scope)?;
    scope.aliases.remove(&name);
    write(call, scope)
}

pub(super) fn sets(call: &mut Call<'_>) -> Reply {
    let scope = scope(call)?;
    let rows = scope
        .sets
        .iter()
        .map(|(name, set)| {
            let mut row = json!({"name": name, "digest": scope.digest()});
            if let (Some(comment), Some(map)) = (&set.comment, row.as_object_mut()) {
                map.insert("comment".into(), json!(comment));
            }
            row
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn create_set(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let (mut scope, name) = (scope(call)?, name(call));
    fresh(call, &scope)?;
    let comment = call.text("comment");
    let old = call.text("rename").map(|n| n.to_lowercase());
    if let Some(old) = &old
        && !scope.sets.contains_key(old)
    {
        return Err(Refusal::parameter("rename", format!("IPSet '{old}' does not exist")));
    }
    if scope.sets.contains_key(&name) && old.as_ref() != Some(&name) {
        return Err(Refusal::parameter("name", format!("IPSet '{name}' already exists")));
    }
    let members = old.and_then(|o| scope.sets.remove(&o)).unwrap_or_default().members;
    scope.sets.insert(name, IpSet { comment, members });
    write(call, scope)
}

/// The set in the path, or the refusal.
fn set_of<'a>(scope: &'a mut Scope, name: &str) -> Result<&'a mut IpSet, Refusal> {
    scope
        .sets
        .get_mut(name)
        .ok_or_else(|| Refusal::parameter("name", format!("no such IPSet '{name}'")))
}

pub(super) fn delete_set(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let (mut scope, name) = (scope(call)?, name(call));
    let force = call.flag("force");
    if !set_of(&mut scope, &name)?.members.is_empty() && !force {
        return Err(Refusal::failed(format!("IPSet '{name}' is not empty")));
    }
    scope.sets.remove(&name);
    write(call, scope)
}

pub(super) fn members(call: &mut Call<'_>) -> Reply {
    let (mut scope, name) = (scope(call)?, name(call));
    let digest = scope.digest();
    let rows = set_of(&mut scope, &name)?
        .members
        .iter()
        .map(|(cidr, own)| {
            let mut row: Map<String, Value> =
                own.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
            row.insert("cidr".into(), json!(cidr));
            row.insert("digest".into(), json!(digest));
            Value::Object(row)
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn add_member(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let (mut scope, name) = (scope(call)?, name(call));
    let (cidr, own) = (call.text("cidr").unwrap_or_default(), fields(call));
    let set = set_of(&mut scope, &name)?;
    if set.members.contains_key(&cidr) {
        return Err(Refusal::parameter("cidr", format!("address '{cidr}' already exists")));
    }
    set.members.insert(cidr, own);
    write(call, scope)
}

pub(super) fn drop_member(call: &mut Call<'_>) -> Reply {
    call.quorum()?;
    let (mut scope, name) = (scope(call)?, name(call));
    fresh(call, &scope)?;
    let cidr = call.text("cidr").unwrap_or_default();
    set_of(&mut scope, &name)?.members.remove(&cidr);
    write(call, scope)
}
