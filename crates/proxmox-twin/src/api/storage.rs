//! Storages: definitions and state on a node.

use serde_json::{Map, Value, json};

use super::Call;
use crate::reply::{Refusal, Reply};
use crate::state::Storage;

fn visible(call: &Call<'_>, name: &str) -> bool {
    let path = format!("/storage/{name}");
    call.need_any(&path, &["Datastore.Audit", "Datastore.AllocateSpace"]).is_ok()
}

/// The storage, if the node in the path has it.
pub(super) fn here<'a>(call: &'a Call<'_>, name: &str) -> Result<&'a Storage, Refusal> {
    let node = call.node();
    match call.state.storage(name) {
        None => Err(Refusal::failed(format!("storage '{name}' does not exist"))),
        Some(storage) if !storage.on(&node) => {
            Err(Refusal::failed(format!("storage '{name}' is not available on node '{node}'")))
        }
        Some(storage) => Ok(storage),
    }
}

pub(super) fn definitions(call: &mut Call<'_>) -> Reply {
    let wanted = call.text("type");
    let rows = call
        .state
        .storages
        .iter()
        .filter(|s| wanted.as_ref().is_none_or(|w| *w == s.spec.plugin))
        .filter(|s| visible(call, &s.spec.name))
        .map(|s| {
            let mut row = json!({
                "storage": s.spec.name, "type": s.spec.plugin, "content": s.spec.content,
                "digest": "3a9f0e6d7cf0d1b5b1c9d2a7b6b0c1d2e3f4a5b6",
            });
            if let Some(map) = row.as_object_mut() {
                if s.spec.shared {
                    map.insert("shared".into(), json!(1));
                }
                if !s.spec.nodes.is_empty() {
                    map.insert("nodes".into(), json!(s.spec.nodes.join(",")));
                }
            }
            row
        })
        .collect();
    Ok(Value::Array(rows).into())
}

fn state_of(call: &Call<'_>, storage: &Storage) -> Map<String, Value> {
    let (used, total) = call.state.storage_use(&call.node(), storage);
    let mut row = Map::new();
    row.insert("type".into(), json!(storage.spec.plugin));
    row.insert("content".into(), json!(storage.spec.content));
    row.insert("shared".into(), json!(u8::from(storage.spec.shared)));
    row.insert("active".into(), json!(1));
    row.insert("enabled".into(), json!(1));
    row.insert("total".into(), json!(total));
    row.insert("used".into(), json!(used));
    row.insert("avail".into(), json!(total - used));
    row
}

pub(super) fn on_node(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let content = call.text("content");
    let only = call.text("storage");
    if let Some(name) = &only {
        here(call, name)?;
    }
    let rows = call
        .state
        .storages
        .iter()
        .filter(|s| s.on(&node) && only.as_ref().is_none_or(|o| *o == s.spec.name))
        .filter(|s| content.as_ref().is_none_or(|c| c.split([',', ';', ' ']).any(|c| s.holds(c))))
        .filter(|s| visible(call, &s.spec.name))
        .map(|s| {
            let mut row = state_of(call, s);
            let part = |key: &str| row.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            let fraction = part("used") / part("total").max(1.0);
            row.insert("storage".into(), json!(s.spec.name));
            row.insert("used_fraction".into(), json!(fraction));
            Value::Object(row)
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn status(call: &mut Call<'_>) -> Reply {
    let name = call.text("storage").unwrap_or_default();
    let storage = here(call, &name)?;
    Ok(Value::Object(state_of(call, storage)).into())
}
