//! Proxmox VE's notifications, sent by a webhook target with the body of `gantry_core::notify`. Each is something that
//! happened; nothing says when it is over.

use std::collections::BTreeMap;

use gantry_core::alert::{Heard, HeardState, Told};
use gantry_core::notify::TEST_TITLE;
use serde::Deserialize;
use serde_json::Value;

use super::{Hooked, Read, digest, parse, severity};

#[derive(Deserialize)]
struct Payload {
    title: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    timestamp: Value,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

pub(super) fn read(hook: &Hooked, body: &[u8], now_ms: i64) -> Result<Read, String> {
    let said: Payload = parse(body)?;
    let field = |name: &str| said.fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, host, job) = (field("type"), field("hostname"), field("job-id"));
    // Seconds, as a number or in quotes.
    let seconds = said.timestamp.as_i64().or_else(|| said.timestamp.as_str()?.parse().ok());
    let at_ms = seconds.map_or(now_ms, |s| s.saturating_mul(1000));
    // The first lines say it; a backup's whole log follows.
    let detail: Vec<&str> =
        said.message.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect();
    // A test has no fields and says the same each time, to the second: each that arrives is one.
    let is_test = kind.is_empty() && said.title.trim() == TEST_TITLE;
    let arrived = if is_test { now_ms.to_string() } else { String::new() };
    let sum = digest(&[&said.title, &said.message, kind, host, job, &arrived]);
    let heard = Heard {
        key: format!("{kind}:{host}:{at_ms}:{sum}"),
        name: if host.is_empty() { hook.cluster.to_string() } else { host.to_owned() },
        state: HeardState::Event,
        at_ms,
        detail: detail.join(" · "),
        cluster: hook.cluster.clone(),
        node: host.split('.').next().and_then(|h| h.parse().ok()),
        vmid: None,
        task: (!kind.is_empty()).then(|| kind.to_owned()),
        told: Told {
            hook: hook.name.clone(),
            group: digest(&[kind, &said.title]),
            title: said.title.clone(),
            severity: severity(Some(&said.severity)),
            runbook: None,
            labels: BTreeMap::new(),
        },
    };
    Ok(Read { heard: vec![heard], left_out: 0 })
}
