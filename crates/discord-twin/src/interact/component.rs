//! Components on a message: finding them, and what the client checks before it sends a press
//! or a selection.

use serde_json::Value;

use crate::answer::Refused;
use crate::render;
use crate::state::State;

/// A component by custom_id, anywhere in a tree.
pub(super) fn find_component<'v>(tree: &'v Value, custom_id: &str) -> Option<&'v Value> {
    if let Some(list) = tree.as_array() {
        return list.iter().find_map(|one| find_component(one, custom_id));
    }
    if tree["custom_id"] == custom_id {
        return Some(tree);
    }
    ["components", "accessory", "component"].iter().find_map(|key| {
        let inner = tree.get(key)?;
        find_component(inner, custom_id)
    })
}

/// Every component with a custom_id, in order.
pub(crate) fn all_components(tree: &Value) -> Vec<&Value> {
    if let Some(list) = tree.as_array() {
        return list.iter().flat_map(all_components).collect();
    }
    let mut found = Vec::new();
    if tree.get("custom_id").is_some() {
        found.push(tree);
    }
    for key in ["components", "accessory", "component"] {
        if let Some(inner) = tree.get(key) {
            found.extend(all_components(inner));
        }
    }
    found
}

pub(super) fn custom_ids(tree: &Value) -> Vec<String> {
    all_components(tree)
        .iter()
        .map(|one| one["custom_id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

pub(super) fn check_values(component: &Value, values: Option<&[String]>) -> Result<(), Refused> {
    if component["type"] == 2 {
        return Ok(());
    }
    let values = values.ok_or("A select needs values.")?;
    let bound = |key: &str, default: u64| component[key].as_u64().unwrap_or(default);
    let (min, max) = (bound("min_values", 1), bound("max_values", 1));
    let count = values.len() as u64;
    if count < min || count > max {
        return Err(Refused(format!("Choose {min} to {max} values.")));
    }
    if let Some(options) = component["options"].as_array() {
        let unknown =
            values.iter().find(|value| !options.iter().any(|one| one["value"] == value.as_str()));
        if let Some(unknown) = unknown {
            return Err(Refused(format!("The menu has no value \"{unknown}\".")));
        }
    }
    Ok(())
}

pub(super) fn resolve(
    state: &State,
    guild_id: u64,
    kind: i64,
    values: &[String],
    data: &mut Value,
) {
    let Some(guild) = state.world.guilds.get(&guild_id) else { return };
    for id in values.iter().filter_map(|value| value.parse::<u64>().ok()) {
        let key = id.to_string();
        if matches!(kind, 5 | 7)
            && let Some(member) = guild.member(id)
        {
            data["resolved"]["users"][&key] = render::user_by_id(&state.world, id);
            data["resolved"]["members"][&key] = render::member_partial(member);
        }
        if matches!(kind, 6 | 7)
            && let Some(role) = guild.role(id)
        {
            data["resolved"]["roles"][&key] = render::role(role);
        }
        if kind == 8
            && let Some(channel) = guild.channel(id)
        {
            data["resolved"]["channels"][&key] = render::channel(&state.world, channel, None);
        }
    }
}
