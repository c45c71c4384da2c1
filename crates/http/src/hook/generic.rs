//! A webhook for any program; its shape is in docs/alerts.md. One object, or a list of them.

use std::collections::BTreeMap;

use gantry_core::alert::{Heard, HeardState, Told};
use serde::Deserialize;
use serde_json::Value;

use super::{Hooked, Read, digest, moment, parse, severity};

#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    Many(Vec<Value>),
    One(Value),
}

#[derive(Deserialize)]
struct Said {
    title: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    cluster: Option<String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    vmid: Option<u32>,
    #[serde(default)]
    at: Value,
    #[serde(default)]
    runbook: Option<String>,
}

pub(super) fn read(hook: &Hooked, body: &[u8], now_ms: i64) -> Result<Read, String> {
    let said = match parse(body)? {
        Payload::Many(all) => all,
        Payload::One(one) => vec![one],
    };
    let (mut heard, mut wrong) = (Vec::new(), Vec::new());
    for value in said {
        let said = serde_json::from_value(value)
            .map_err(|e| format!("not the JSON that is expected here: {e}"));
        match said.and_then(|said| one(hook, said, now_ms)) {
            Ok(said) => heard.push(said),
            Err(why) => wrong.push(why),
        }
    }
    // One that cannot be read does not take the others with it.
    match wrong.first() {
        Some(why) if heard.is_empty() => Err(why.clone()),
        _ => Ok(Read { heard, left_out: u64::try_from(wrong.len()).unwrap_or(u64::MAX) }),
    }
}

fn one(hook: &Hooked, said: Said, now_ms: i64) -> Result<Heard, String> {
    let state = match said.state.as_deref() {
        None | Some("event") => HeardState::Event,
        Some("firing") => HeardState::Firing,
        Some("resolved") => HeardState::Resolved,
        Some(other) => {
            return Err(format!("state `{other}`; write firing, resolved or event"));
        }
    };
    if said.title.trim().is_empty() {
        return Err("title is empty".into());
    }
    let id = said.id.filter(|id| !id.is_empty());
    // Seconds or RFC 3339; now where nothing is said.
    let at_ms = match &said.at {
        Value::Number(n) => n.as_f64().map(|s| (s * 1000.0) as i64),
        Value::String(text) => moment(text),
        _ => None,
    };
    let text = said.text.unwrap_or_default();
    let key = match (state, id) {
        (HeardState::Event, id) => {
            let at = at_ms.unwrap_or(now_ms).to_string();
            let id = id.unwrap_or_default();
            format!("{id}:{}", digest(&[&id, &said.title, &text, &at]))
        }
        (_, Some(id)) => id,
        (_, None) => {
            return Err("firing and resolved need an id, so that they belong together".into());
        }
    };
    Ok(Heard {
        key,
        name: said.name.or(said.node.clone()).unwrap_or_else(|| said.title.clone()),
        state,
        // Of what has a beginning and an end the last word counts, whatever time it names.
        at_ms: at_ms.unwrap_or(if state == HeardState::Event { now_ms } else { 0 }),
        detail: text,
        cluster: hook.cluster(said.cluster.as_deref()),
        node: said.node.and_then(|n| n.parse().ok()),
        vmid: said.vmid.and_then(|v| v.try_into().ok()),
        task: None,
        told: Told {
            hook: hook.name.clone(),
            group: digest(&[&said.title]),
            severity: severity(said.severity.as_deref()),
            title: said.title,
            runbook: said.runbook,
            labels: BTreeMap::new(),
        },
    })
}
