//! What a person types after `/`, turned into the `data` of a command interaction the way the
//! client does it: options found by name, values typed by the registered option, users and
//! roles resolved.

use serde_json::{Map, Value, json};

use crate::permission;
use crate::render;
use crate::state::{Command, State};
use crate::world::Guild;

/// A command line, understood.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// `/pod delete`
    pub(crate) name: String,
    /// The interaction's `data`.
    pub(crate) data: Value,
    /// Type of the focused option (autocomplete).
    pub(crate) focused_kind: i64,
}

type Pairs = Vec<(String, String)>;

/// Commands a member may see in a guild, guild commands first.
pub(crate) fn visible(state: &State, guild_id: u64, user_id: u64) -> Vec<&Command> {
    let Some(guild) = state.world.guilds.get(&guild_id) else { return Vec::new() };
    let Some(member) = guild.member(user_id) else { return Vec::new() };
    let bits = permission::in_guild(guild, member);
    let may = |command: &&Command| {
        if command.guild_id.is_some_and(|id| id != guild_id) {
            return false;
        }
        let in_guilds = command.json["contexts"]
            .as_array()
            .is_none_or(|contexts| contexts.iter().any(|context| context == 0));
        let needed = command.json["default_member_permissions"].as_str();
        let needed = needed.and_then(|text| text.parse::<u64>().ok());
        let admin = bits & permission::ADMINISTRATOR != 0;
        in_guilds && needed.is_none_or(|needed| admin || (needed != 0 && bits & needed == needed))
    };
    let mut list: Vec<&Command> = state.commands.iter().filter(may).collect();
    list.sort_by_key(|command| (command.guild_id.is_none(), command.id));
    list
}

/// Understands `/name [group] [sub] opt:value …`. `focused` names the option being typed.
pub(crate) fn parse(
    state: &State,
    guild_id: u64,
    user_id: u64,
    text: &str,
    focused: Option<&str>,
) -> Result<Line, String> {
    let text = text.trim_start();
    let rest = text.strip_prefix('/').ok_or("A command starts with a slash, e.g. /help.")?;
    let (words, pairs) = split(rest, focused)?;
    let mut words = words.into_iter();
    let name = words.next().ok_or("Name a command after the slash.")?;
    let words: Vec<String> = words.collect();
    build(state, guild_id, user_id, &name, &words, &pairs, focused)
}

/// The same from structured options: `[{name, value?, options?}]`.
pub(crate) fn structured(
    state: &State,
    guild_id: u64,
    user_id: u64,
    name: &str,
    options: &Value,
) -> Result<Line, String> {
    let (mut words, mut pairs) = (Vec::new(), Vec::new());
    let mut list = options;
    loop {
        let entries = list.as_array().map_or(&[][..], Vec::as_slice);
        let sub = entries.iter().find(|one| one.get("value").is_none());
        if let Some(sub) = sub {
            words.push(sub["name"].as_str().unwrap_or_default().to_owned());
            list = &sub["options"];
            continue;
        }
        for one in entries {
            let value = match &one["value"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            pairs.push((one["name"].as_str().unwrap_or_default().to_owned(), value));
        }
        return build(state, guild_id, user_id, name, &words, &pairs, None);
    }
}

/// Words before the first `opt:`, then the pairs.
fn split(text: &str, focused: Option<&str>) -> Result<(Vec<String>, Pairs), String> {
    let (mut words, mut pairs) = (Vec::new(), Vec::new());
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, _) = rest.split_at(end);
        let Some((name, _)) = word.split_once(':') else {
            if !pairs.is_empty() {
                return Err(format!(
                    "\"{word}\" belongs to no option: write option:value, and put values with spaces in quotes."
                ));
            }
            words.push(word.to_owned());
            rest = rest.get(end..).unwrap_or_default().trim_start();
            continue;
        };
        let after = rest.get(name.len() + 1..).unwrap_or_default();
        let (value, next) = value_of(after, focused == Some(name))?;
        pairs.push((name.to_owned(), value));
        rest = next.trim_start();
    }
    Ok((words, pairs))
}

/// A value, quoted or up to the next space, and what follows it.
fn value_of(text: &str, open_end: bool) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    if open_end { Ok((value, "")) } else { Err("A quote was opened and not closed.".into()) }
}

fn build(
    state: &State,
    guild_id: u64,
    user_id: u64,
    name: &str,
    words: &[String],
    pairs: &[(String, String)],
    focused: Option<&str>,
) -> Result<Line, String> {
    let guild = state.world.guilds.get(&guild_id).ok_or("No such guild.")?;
    let list = visible(state, guild_id, user_id);
    let command = list
        .iter()
        .find(|command| command.json["name"] == name && command.json["type"] == 1)
        .ok_or_else(|| {
            let names: Vec<String> = list
                .iter()
                .map(|one| format!("/{}", one.json["name"].as_str().unwrap_or_default()))
                .collect();
            format!("There is no command /{name} for you here; there are {}.", or_none(&names))
        })?;
    let mut path = format!("/{name}");
    let mut level = &command.json["options"];
    let mut subs: Vec<(String, i64)> = Vec::new();
    let mut words = words.iter();
    loop {
        let children: Vec<&Value> = level
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| matches!(one["type"].as_i64(), Some(1 | 2)))
            .collect();
        let Some(word) = words.next() else {
            if children.is_empty() {
                break;
            }
            let names: Vec<String> = children.iter().map(|one| text_of(one, "name")).collect();
            return Err(format!("{path} needs one of: {}.", or_none(&names)));
        };
        let Some(child) = children.iter().find(|one| one["name"] == word.as_str()) else {
            let names: Vec<String> = children.iter().map(|one| text_of(one, "name")).collect();
            return Err(format!("{path} has no \"{word}\"; it has {}.", or_none(&names)));
        };
        path = format!("{path} {word}");
        subs.push((word.clone(), child["type"].as_i64().unwrap_or(1)));
        level = &child["options"];
    }
    let known: Vec<&Value> = level.as_array().into_iter().flatten().collect();
    let mut resolved = Map::new();
    let (mut options, mut focused_kind) = (Vec::new(), 0);
    for (key, value) in pairs {
        let Some(option) = known.iter().find(|one| one["name"] == key.as_str()) else {
            let names: Vec<String> = known.iter().map(|one| text_of(one, "name")).collect();
            return Err(format!("{path} has no option \"{key}\"; it has {}.", or_none(&names)));
        };
        if options.iter().any(|one: &Value| one["name"] == key.as_str()) {
            return Err(format!("Option \"{key}\" is given twice."));
        }
        let kind = option["type"].as_i64().unwrap_or(3);
        if focused == Some(key.as_str()) {
            if option["autocomplete"] != true {
                return Err(format!("Option \"{key}\" of {path} has no autocompletion."));
            }
            focused_kind = kind;
            options.push(json!({"name": key, "type": kind, "value": value, "focused": true}));
            continue;
        }
        let typed = match typed(state, guild, option, kind, value, &mut resolved) {
            Ok(typed) => typed,
            // While another option is being typed, the client sends half-written ones as they are.
            Err(_) if focused.is_some() => json!(value),
            Err(why) => return Err(format!("Option \"{key}\" of {path}: {why}")),
        };
        options.push(json!({"name": key, "type": kind, "value": typed}));
    }
    if let Some(focused) = focused.filter(|_| focused_kind == 0) {
        let option = known.iter().find(|one| one["name"] == focused && one["autocomplete"] == true);
        let option =
            option.ok_or_else(|| format!("{path} has no autocompleted option \"{focused}\"."))?;
        focused_kind = option["type"].as_i64().unwrap_or(3);
        options.push(json!({"name": focused, "type": focused_kind, "value": "", "focused": true}));
    } else if focused.is_none() {
        let missing = known.iter().find(|one| {
            one["required"] == true && !pairs.iter().any(|(key, _)| one["name"] == key.as_str())
        });
        if let Some(missing) = missing {
            return Err(format!("{path} needs the option \"{}\".", text_of(missing, "name")));
        }
    }
    let mut options = json!(options);
    for (name, kind) in subs.iter().rev() {
        options = json!([{"name": name, "type": kind, "options": options}]);
    }
    let mut data = json!({"id": command.id.to_string(), "name": name, "type": 1});
    if options.as_array().is_some_and(|list| !list.is_empty()) {
        data["options"] = options;
    }
    if !resolved.is_empty() {
        data["resolved"] = Value::Object(resolved);
    }
    if let Some(guild) = command.guild_id {
        data["guild_id"] = json!(guild.to_string());
    }
    Ok(Line { name: path, data, focused_kind })
}

fn text_of(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Types a value by its option, checking what the client checks.
fn typed(
    state: &State,
    guild: &Guild,
    option: &Value,
    kind: i64,
    value: &str,
    resolved: &mut Map<String, Value>,
) -> Result<Value, String> {
    let choices = option["choices"].as_array().map_or(&[][..], Vec::as_slice);
    if !choices.is_empty() {
        let same = |choice: &&Value| {
            let number = choice["value"].is_number().then(|| choice["value"].to_string());
            choice["name"] == value || choice["value"] == value || number.as_deref() == Some(value)
        };
        let names: Vec<String> = choices.iter().map(|one| text_of(one, "name")).collect();
        let found = choices.iter().find(same);
        return found
            .map(|choice| choice["value"].clone())
            .ok_or_else(|| format!("choose one of {}.", or_none(&names)));
    }
    let bound = |key: &str| option[key].as_f64();
    let in_range = |number: f64| {
        bound("min_value").is_none_or(|min| number >= min)
            && bound("max_value").is_none_or(|max| number <= max)
    };
    let range = || {
        format!("the number must lie between {} and {}.", option["min_value"], option["max_value"])
    };
    match kind {
        3 => {
            let count = value.chars().count();
            let limit = |key: &str, default| {
                option[key].as_u64().map_or(default, |n| usize::try_from(n).unwrap_or(default))
            };
            let (min, max) = (limit("min_length", 0), limit("max_length", 6000));
            if count < min || count > max {
                return Err(format!("the text must have {min} to {max} characters."));
            }
            Ok(json!(value))
        }
        4 => {
            let number: i64 =
                value.parse().map_err(|_| format!("\"{value}\" is not a whole number."))?;
            #[expect(clippy::cast_precision_loss, reason = "bounds are within ±2^53")]
            let good = in_range(number as f64);
            if good { Ok(json!(number)) } else { Err(range()) }
        }
        10 => {
            let number: f64 = value.parse().map_err(|_| format!("\"{value}\" is not a number."))?;
            if in_range(number) { Ok(json!(number)) } else { Err(range()) }
        }
        5 => match value.to_ascii_lowercase().as_str() {
            "true" | "yes" => Ok(json!(true)),
            "false" | "no" => Ok(json!(false)),
            _ => Err(format!("\"{value}\" is neither true nor false.")),
        },
        6 => user(state, guild, value, resolved)
            .ok_or_else(|| format!("there is no member \"{value}\".")),
        7 => channel(state, guild, value, resolved)
            .ok_or_else(|| format!("there is no channel \"{value}\".")),
        8 => role(guild, value, resolved).ok_or_else(|| format!("there is no role \"{value}\".")),
        9 => user(state, guild, value, resolved)
            .or_else(|| role(guild, value, resolved))
            .ok_or_else(|| format!("there is no member or role \"{value}\".")),
        11 => attachment(state, value, resolved)
            .ok_or_else(|| format!("there is no uploaded file \"{value}\".")),
        _ => Err("options of this type cannot be typed here.".into()),
    }
}

/// A file that was uploaded before, by its id.
fn attachment(state: &State, value: &str, resolved: &mut Map<String, Value>) -> Option<Value> {
    let id = value.parse::<u64>().ok()?;
    let json = state.uploads.get(&id)?.clone();
    put(resolved, "attachments", id, json);
    Some(json!(id.to_string()))
}

/// `<@1>`, `@name`, `name` or `1` without its decoration.
fn bare<'t>(text: &'t str, open: &[&str]) -> &'t str {
    let text = text.strip_suffix('>').unwrap_or(text);
    open.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text)
}

fn put(resolved: &mut Map<String, Value>, table: &str, id: u64, value: Value) {
    let slot = resolved.entry(table).or_insert_with(|| json!({}));
    slot[id.to_string()] = value;
}

fn user(
    state: &State,
    guild: &Guild,
    text: &str,
    resolved: &mut Map<String, Value>,
) -> Option<Value> {
    let wanted = bare(text, &["<@!", "<@", "@"]);
    let found = guild.members.iter().find(|member| {
        let user = state.world.users.get(&member.user_id);
        member.user_id.to_string() == wanted
            || user.is_some_and(|user| {
                user.username == wanted || user.global_name.as_deref() == Some(wanted)
            })
    })?;
    let user = state.world.users.get(&found.user_id)?;
    put(resolved, "users", user.id, render::user(user));
    let mut member = render::member_partial(found);
    member["permissions"] = json!(permission::in_guild(guild, found).to_string());
    put(resolved, "members", user.id, member);
    Some(json!(user.id.to_string()))
}

fn channel(
    state: &State,
    guild: &Guild,
    text: &str,
    resolved: &mut Map<String, Value>,
) -> Option<Value> {
    let wanted = bare(text, &["<#", "#"]);
    let mut list = guild.channels.iter();
    let found = list.find(|channel| channel.id.to_string() == wanted || channel.name == wanted)?;
    let mut value = render::channel(&state.world, found, None);
    value["permissions"] = json!(permission::EVERYONE.to_string());
    put(resolved, "channels", found.id, value);
    Some(json!(found.id.to_string()))
}

fn role(guild: &Guild, text: &str, resolved: &mut Map<String, Value>) -> Option<Value> {
    let wanted = bare(text, &["<@&", "@"]);
    let mut list = guild.roles.iter();
    let found = list.find(|role| role.id.to_string() == wanted || role.name == wanted)?;
    put(resolved, "roles", found.id, render::role(found));
    Some(json!(found.id.to_string()))
}
