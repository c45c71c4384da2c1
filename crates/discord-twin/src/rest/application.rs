//! The application and its commands: global and per guild, single and bulk.

use serde_json::{Map, Value, json};

use super::{Call, Reply, nothing, ok};
use crate::check::{self, Registered};
use crate::fault::{Fault, Findings};
use crate::render;
use crate::snowflake;
use crate::state::{Command, State};
use crate::world::APPLICATION_ID;

/// New commands a day and scope.
const CREATES_A_DAY: usize = 200;
const DAY_MS: u64 = 86_400_000;
/// Chat-input, user and message commands per scope.
const PER_KIND: [usize; 3] = [100, 15, 15];

pub(super) fn serve(state: &mut State, method: &str, template: &str, call: &Call<'_>) -> Reply {
    if template == "/applications/@me" {
        return ok(render::application(&state.world));
    }
    if call.id(0) != APPLICATION_ID {
        return Err(Fault::unknown("Application"));
    }
    if template == "/applications/{application_id}" {
        return ok(render::application(&state.world));
    }
    let in_guild = template.contains("/guilds/");
    let scope = in_guild.then(|| call.id(1));
    if let Some(guild) = scope
        && !state.world.guilds.contains_key(&guild)
    {
        return Err(Fault::missing_access());
    }
    if template.ends_with("/permissions") {
        return if template.contains("{command_id}") {
            Err(Fault::unknown("application command permissions"))
        } else {
            ok(json!([]))
        };
    }
    let id = call.id(if in_guild { 2 } else { 1 });
    let one = template.ends_with("{command_id}");
    match (method, one) {
        ("GET", false) => ok(list(state, scope, call.flag("with_localizations"))),
        ("POST", false) => create(state, scope, call),
        ("PUT", false) => overwrite(state, scope, call),
        ("GET", true) => ok(shown(find(state, scope, id)?, true)),
        ("PATCH", true) => edit(state, scope, id, call),
        ("DELETE", true) => {
            find(state, scope, id)?;
            state.commands.retain(|command| command.id != id);
            changed(call);
            nothing()
        }
        _ => Err(Fault::not_found()),
    }
}

fn changed(call: &Call<'_>) {
    call.shared.emit(json!({"type": "commands_changed"}));
}

fn find(state: &State, scope: Option<u64>, id: u64) -> Result<&Command, Fault> {
    let mut list = state.commands.iter();
    list.find(|command| command.id == id && command.guild_id == scope)
        .ok_or_else(|| Fault::unknown("application command"))
}

fn list(state: &State, scope: Option<u64>, localizations: bool) -> Value {
    let list = state.commands.iter().filter(|command| command.guild_id == scope);
    list.map(|command| shown(command, localizations)).collect()
}

/// Lists leave the localization tables out unless they are asked for.
fn shown(command: &Command, localizations: bool) -> Value {
    let mut value = command.json.clone();
    if !localizations && let Some(map) = value.as_object_mut() {
        map.remove("name_localizations");
        map.remove("description_localizations");
    }
    value
}

/// The command object that is kept and returned for a checked request.
fn made(
    state: &mut State,
    call: &Call<'_>,
    scope: Option<u64>,
    id: u64,
    given: &Map<String, Value>,
) -> Value {
    let now = call.shared.now_ms();
    let get = |key: &str, default: Value| {
        given.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(default)
    };
    let bits = given.get("default_member_permissions").and_then(snowflake::from_json);
    let kind = get("type", json!(1));
    let mut value = json!({
        "id": id.to_string(), "application_id": APPLICATION_ID.to_string(),
        "version": state.mint.next(now).to_string(), "type": kind,
        "name": get("name", json!("")), "name_localizations": get("name_localizations", Value::Null),
        "description": get("description", json!("")),
        "description_localizations": get("description_localizations", Value::Null),
        "default_member_permissions": bits.map(|bits| bits.to_string()),
        "nsfw": get("nsfw", json!(false)),
    });
    if let Some(options) = given.get("options").filter(|value| value.is_array()) {
        value["options"] = prune(options);
    }
    if let Some(guild) = scope {
        value["guild_id"] = json!(guild.to_string());
    } else {
        let guild_only = given.get("dm_permission") == Some(&json!(false));
        let contexts = if guild_only { json!([0]) } else { Value::Null };
        value["contexts"] = get("contexts", contexts);
        value["dm_permission"] = get("dm_permission", json!(true));
        value["integration_types"] = get("integration_types", json!([0]));
    }
    value
}

/// Options come back without nulls and empty lists, numbers as integers where they are whole.
fn prune(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(prune).collect(),
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, value)| {
                let empty =
                    value.as_array().is_some_and(Vec::is_empty) && key.as_str() != "options";
                !value.is_null() && !empty && **value != json!(false)
            });
            Value::Object(kept.map(|(key, value)| (key.clone(), prune(value))).collect())
        }
        other => other.clone(),
    }
}

/// Counts a new name against the day's creations.
fn count_create(state: &mut State, scope: Option<u64>, new: usize, now: u64) -> Result<(), Fault> {
    let creates = state.command_creates.entry(scope).or_default();
    while creates.front().is_some_and(|at| *at + DAY_MS <= now) {
        creates.pop_front();
    }
    if creates.len() + new > CREATES_A_DAY {
        let message = format!(
            "Max number of daily application command creates has been reached ({CREATES_A_DAY})"
        );
        return Err(Fault::new(429, 30_034, message));
    }
    creates.extend(std::iter::repeat_n(now, new));
    Ok(())
}

fn same(command: &Command, scope: Option<u64>, given: &Map<String, Value>) -> bool {
    let kind = given.get("type").and_then(Value::as_u64).unwrap_or(1);
    command.guild_id == scope
        && Some(&command.json["name"]) == given.get("name")
        && command.json["type"] == kind
}

fn create(state: &mut State, scope: Option<u64>, call: &Call<'_>) -> Reply {
    let mut found = Findings::default();
    check::command(&mut found, "", &call.body, Registered::Whole);
    found.into_result()?;
    let given = call.body.as_object().cloned().unwrap_or_default();
    let now = call.shared.now_ms();
    let old = state.commands.iter().position(|command| same(command, scope, &given));
    let old_id = old.and_then(|at| state.commands.get(at)).map(|command| command.id);
    if old.is_none() {
        let kind = given.get("type").and_then(Value::as_u64).unwrap_or(1);
        let there =
            state.commands.iter().filter(|one| one.guild_id == scope && one.json["type"] == kind);
        let max =
            usize::try_from(kind).ok().and_then(|kind| PER_KIND.get(kind.wrapping_sub(1))).copied();
        if max.is_some_and(|max| there.count() >= max) {
            let max = max.unwrap_or_default();
            return Err(Fault::new(
                400,
                30_032,
                format!("Maximum number of application commands reached ({max})."),
            ));
        }
        count_create(state, scope, 1, now)?;
    }
    let id = old_id.unwrap_or_else(|| state.mint.next(now));
    let json = made(state, call, scope, id, &given);
    let command = Command { id, guild_id: scope, json: json.clone() };
    match old.and_then(|at| state.commands.get_mut(at)) {
        Some(slot) => *slot = command,
        None => state.commands.push(command),
    }
    changed(call);
    Ok((if old.is_some() { 200 } else { 201 }, json))
}

fn overwrite(state: &mut State, scope: Option<u64>, call: &Call<'_>) -> Reply {
    let Some(list) = call.body.as_array() else {
        return Err(Fault::form(
            "",
            "LIST_TYPE_CONVERT",
            "Only iterables may be used in a ListType",
        ));
    };
    let mut found = Findings::default();
    check::bulk(&mut found, list);
    found.into_result()?;
    let now = call.shared.now_ms();
    let given: Vec<Map<String, Value>> =
        list.iter().filter_map(Value::as_object).cloned().collect();
    let known = |one: &Map<String, Value>| {
        state.commands.iter().find(|command| same(command, scope, one)).map(|command| command.id)
    };
    let ids: Vec<Option<u64>> = given.iter().map(known).collect();
    let new = ids.iter().filter(|id| id.is_none()).count();
    count_create(state, scope, new, now)?;
    let mut kept = Vec::new();
    for (one, id) in given.iter().zip(ids) {
        let id = id.unwrap_or_else(|| state.mint.next(now));
        let json = made(state, call, scope, id, one);
        kept.push(Command { id, guild_id: scope, json });
    }
    state.commands.retain(|command| command.guild_id != scope);
    state.commands.extend(kept);
    changed(call);
    ok(list_value(state, scope))
}

fn list_value(state: &State, scope: Option<u64>) -> Value {
    list(state, scope, true)
}

fn edit(state: &mut State, scope: Option<u64>, id: u64, call: &Call<'_>) -> Reply {
    let mut found = Findings::default();
    check::command(&mut found, "", &call.body, Registered::Partial);
    found.into_result()?;
    let mut merged = find(state, scope, id)?.json.as_object().cloned().unwrap_or_default();
    for (key, value) in call.body.as_object().into_iter().flatten() {
        merged.insert(key.clone(), value.clone());
    }
    let json = made(state, call, scope, id, &merged);
    if let Some(slot) = state.commands.iter_mut().find(|command| command.id == id) {
        slot.json = json.clone();
    }
    changed(call);
    ok(json)
}
