//! Storages: definitions and state on a node; the appliance index.

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

pub(super) fn appliances(_: &mut Call<'_>) -> Reply {
    let row = |os: &str, version: &str, template: &str, headline: &str| {
        json!({
            "type": "lxc", "section": "system", "source": "http://download.proxmox.com/images", "architecture": "amd64",
            "package": template.split('_').next().unwrap_or_default(), "os": os, "version": version, "template": template,
            "headline": headline, "infopage": "https://pve.proxmox.com/wiki/Linux_Container",
        })
    };
    Ok(json!([
        row("debian-12", "12.7-1", crate::world::DEBIAN_TEMPLATE, "Debian 12 Bookworm (standard)"),
        row(
            "alpine",
            "20240908",
            "alpine-3.20-default_20240908_amd64.tar.xz",
            "LXC default image for alpine 3.20 (20240908)"
        ),
        row(
            "ubuntu-24.04",
            "24.04-2",
            "ubuntu-24.04-standard_24.04-2_amd64.tar.zst",
            "Ubuntu 24.04 Noble (standard)"
        ),
        row(
            "archlinux",
            "20240911-1",
            "archlinux-base_20240911-1_amd64.tar.zst",
            "ArchLinux base image."
        ),
    ])
    .into())
}
