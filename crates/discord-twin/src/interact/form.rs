//! A modal filled in: checked as the client checks it, and shaped as the client sends it.

use serde_json::{Value, json};

use super::component::all_components;
use crate::answer::Refused;

/// The modal's components as the client sends them back, checked as the client checks them.
pub(super) fn filled(modal: &Value, values: &Value) -> Result<Value, Refused> {
    let inputs = all_components(&modal["components"]);
    for key in values.as_object().into_iter().flat_map(|map| map.keys()) {
        if !inputs.iter().any(|one| one["custom_id"] == key.as_str()) {
            return Err(Refused(format!("The modal has no input \"{key}\".")));
        }
    }
    let mut next = 0_u64;
    let mut rows = Vec::new();
    for row in modal["components"].as_array().into_iter().flatten() {
        next += 1;
        let id = next;
        match row["type"].as_u64() {
            Some(1) => {
                next += 1;
                let input = fill(&row["components"][0], values, next)?;
                rows.push(json!({"type": 1, "id": id, "components": [input]}));
            }
            Some(18) => {
                next += 1;
                let input = fill(&row["component"], values, next)?;
                rows.push(json!({"type": 18, "id": id, "component": input}));
            }
            Some(kind) => rows.push(json!({"type": kind, "id": id})),
            None => {}
        }
    }
    Ok(json!(rows))
}

fn fill(input: &Value, values: &Value, id: u64) -> Result<Value, Refused> {
    let name = input["custom_id"].as_str().unwrap_or_default();
    let given = &values[name];
    let required = input["required"] != false;
    let missing = || Refused(format!("\"{name}\" must be filled in."));
    let mut out = json!({"type": input["type"], "id": id, "custom_id": name});
    if input["type"] != 4 {
        let list = match given {
            Value::Array(list) => list.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        if required && list.is_empty() {
            return Err(missing());
        }
        out["values"] = json!(list);
        return Ok(out);
    }
    let text = given.as_str().or(input["value"].as_str()).unwrap_or_default();
    let count = text.chars().count() as u64;
    if count == 0 && required {
        return Err(missing());
    }
    let min = input["min_length"].as_u64().unwrap_or(0);
    let max = input["max_length"].as_u64().unwrap_or(4000);
    if count > 0 && (count < min || count > max) {
        return Err(Refused(format!("\"{name}\" must have {min} to {max} characters.")));
    }
    out["value"] = json!(text);
    Ok(out)
}
