//! Embeds and components the way Discord gives them back: trimmed, numbered, without nulls,
//! with its own defaults, uploads resolved to their addresses. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fault::Fault;

/// An embed as Discord returns it: trimmed, without nulls, attachments resolved.
pub(super) fn embed(
    given: &Value,
    n: usize,
    files: &BTreeMap<String, String>,
) -> Result<Value, Fault> {
    let mut out = prune(given);
    out["type"] = json!("rich");
    for key in ["title", "description"] {
        if let Some(text) = out[key].as_str().map(|text| text.trim().to_owned()) {
            out[key] = json!(text);
        }
        if out[key].is_null() || out[key] == "" {
            out.as_object_mut().map(|map| map.remove(key));
        }
    }
    if out["fields"].as_array().is_some_and(Vec::is_empty) {
        out.as_object_mut().map(|map| map.remove("fields"));
    }
    for field in out.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        if field["inline"].is_null() {
            field["inline"] = json!(false);
        }
    }
    for (holder, key) in
        [("image", "url"), ("thumbnail", "url"), ("footer", "icon_url"), ("author", "icon_url")]
    {
        let Some(url) = out.pointer(&format!("/{holder}/{key}")).and_then(Value::as_str) else {
            continue;
        };
        let Some(name) = url.strip_prefix("attachment://") else {
            if key == "url" {
                out[holder]["proxy_url"] = json!(url);
            }
            continue;
        };
        let Some(found) = files.get(name).cloned() else {
            let path = format!("embeds.{n}.{holder}.{key}");
            return Err(Fault::form(&path, "ATTACHMENT_NOT_FOUND", "No such file was uploaded"));
        };
        let proxy = if key == "url" { "proxy_url" } else { "proxy_icon_url" };
        out[holder][proxy] = json!(found);
        out[holder][key] = json!(found);
    }
    Ok(out)
}

fn prune(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), prune(value))).collect())
        }
        Value::Array(list) => list.iter().map(prune).collect(),
        other => other.clone(),
    }
}

pub(super) fn embed_urls(embeds: &Value) -> Vec<String> {
    let list = embeds.as_array().into_iter().flatten();
    let paths = ["/image/url", "/thumbnail/url", "/footer/icon_url", "/author/icon_url"];
    list.flat_map(|embed| paths.map(|path| embed.pointer(path)))
        .flatten()
        .filter_map(|url| url.as_str().map(str::to_owned))
        .collect()
}

/// Gives every component an `id`, in document order, as Discord does; nulls are dropped.
pub(super) fn number(value: &mut Value, next: &mut u64) {
    if let Value::Array(list) = value {
        for one in list {
            number(one, next);
        }
    } else if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        if map.get("type").is_some_and(Value::is_number) {
            if map.get("id").and_then(Value::as_u64).unwrap_or(0) == 0 {
                map.insert("id".into(), json!(*next));
            }
            *next += 1;
            defaults(map);
        }
        for key in ["components", "accessory", "component"] {
            if let Some(inner) = map.get_mut(key) {
                number(inner, next);
            }
        }
    }
}

/// Fills in what Discord fills in.
fn defaults(map: &mut Map<String, Value>) {
    let table: &[(&str, Value)] = &match map.get("type").and_then(Value::as_u64) {
        Some(3 | 5..=8) => vec![("min_values", json!(1)), ("max_values", json!(1))],
        Some(11 | 13 | 17) => vec![("spoiler", json!(false))],
        Some(14) => vec![("divider", json!(true)), ("spacing", json!(1))],
        _ => Vec::new(),
    };
    for (key, value) in table {
        map.entry(*key).or_insert_with(|| value.clone());
    }
    for item in map.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        if item["spoiler"].is_null() {
            item["spoiler"] = json!(false);
        }
        if item["description"].is_null() {
            item["description"] = Value::Null;
        }
    }
}

pub(super) fn resolve_media(value: &mut Value, files: &BTreeMap<String, String>) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| resolve_media(one, files)),
        Value::Object(map) => {
            if let Some(Value::String(url)) = map.get_mut("url")
                && let Some(found) =
                    url.strip_prefix("attachment://").and_then(|name| files.get(name))
            {
                *url = found.clone();
            }
            for key in ["media", "file"] {
                if let Some(media) = map.get_mut(key).filter(|media| media["url"].is_string()) {
                    resolve_media(media, files);
                    media["proxy_url"] = media["url"].clone();
                    media["id"] = json!("0");
                }
            }
            map.values_mut().for_each(|one| resolve_media(one, files));
        }
        _ => {}
    }
}
