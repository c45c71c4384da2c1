//! Alertmanager's webhook, version 4, as Alertmanager 0.25 sends it. An alert is known by its fingerprint; alerts of one
//! group and one name are one incident.

use std::collections::BTreeMap;

use gantry_core::alert::{Heard, HeardState, OWN_KEY, Told};
use gantry_core::id::{NodeName, Vmid};
use serde::Deserialize;

use super::{Hooked, Read, digest, moment, parse, severity};

/// Labels that say what an alert is about, the most telling first.
const NAMING: [&str; 10] =
    ["guest", "vmname", "name", "node", "instance", "host", "device", "storage", "service", "job"];

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    version: String,
    #[serde(default, rename = "groupKey")]
    group_key: String,
    alerts: Vec<Alert>,
    #[serde(default, rename = "truncatedAlerts")]
    truncated: u64,
}

#[derive(Deserialize)]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default, rename = "startsAt")]
    starts_at: String,
    #[serde(default, rename = "endsAt")]
    ends_at: String,
    #[serde(default)]
    fingerprint: String,
}

pub(super) fn read(hook: &Hooked, body: &[u8]) -> Result<Read, String> {
    let payload: Payload = parse(body)?;
    if payload.version != "4" {
        return Err(format!("version `{}`; gantry reads version 4", payload.version));
    }
    let heard = payload.alerts.into_iter().map(|a| one(hook, &payload.group_key, a)).collect();
    Ok(Read { heard, left_out: payload.truncated })
}

fn one(hook: &Hooked, group_key: &str, alert: Alert) -> Heard {
    let resolved = alert.status == "resolved";
    let Alert { labels, annotations, .. } = alert;
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let title = label("alertname").unwrap_or("Alert").to_owned();
    let naming: Vec<&str> = NAMING.iter().filter_map(|n| label(n)).take(2).collect();
    let name = if naming.is_empty() { title.clone() } else { naming.join(" · ") };
    let text = |name: &str| annotations.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let detail: Vec<&str> =
        ["summary", "description", "message"].iter().filter_map(|n| text(n)).collect();
    let runbook = text("runbook_url").or(text("runbook")).map(str::to_owned);
    let (node, vmid) = place(&label);
    let key = if alert.fingerprint.is_empty() {
        let all: Vec<&str> = labels.iter().flat_map(|(k, v)| [k.as_str(), v.as_str()]).collect();
        format!("{OWN_KEY}{}", digest(&all))
    } else {
        alert.fingerprint
    };
    let at = if resolved { &alert.ends_at } else { &alert.starts_at };
    Heard {
        key,
        name,
        state: if resolved { HeardState::Resolved } else { HeardState::Firing },
        at_ms: moment(at).unwrap_or(0),
        detail: detail.join(" · "),
        cluster: hook.cluster(label("cluster")),
        node,
        vmid,
        task: None,
        told: Told {
            hook: hook.name.clone(),
            group: digest(&[group_key, &title]),
            severity: severity(label("severity")),
            title,
            runbook,
            labels: labels.clone(),
        },
    }
}

/// The node and the guest an alert is about: by labels of their own, by the `id` of prometheus-pve-exporter
/// (`lxc/201`, `node/pve1`), by the host in `instance`. Whether the cluster has them is looked at later.
fn place<'a>(label: &impl Fn(&str) -> Option<&'a str>) -> (Option<NodeName>, Option<Vmid>) {
    let (kind, id) = label("id").and_then(|id| id.split_once('/')).unwrap_or_default();
    let vmid = label("vmid").or(Some(id).filter(|_| matches!(kind, "lxc" | "qemu")));
    let host = label("instance").map(|i| {
        let host = i.rsplit_once(':').map_or(i, |(host, _)| host);
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        if is_address { host } else { host.split('.').next().unwrap_or(host) }
    });
    let node = label("node").or(Some(id).filter(|_| kind == "node")).or(host);
    (node.and_then(|n| n.parse().ok()), vmid.and_then(|v| v.parse().ok()))
}
