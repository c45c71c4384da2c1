//! The control API: plain HTTP with JSON, for the demo page and tests in other processes.
//!
//! It looks at the cluster, makes trouble, and changes guests behind the API's back. Never part of the API
//! the twin simulates.

use hyper::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::guest::Guest;
use crate::internet::{RemoteFile, RemoteImage};
use crate::server::Shared;
use crate::shell::NodeMeddling;
use crate::state::{State, unique_tags};
use crate::trouble::Trouble;
use crate::wire::Payload;

type Outcome = Result<Value, (u16, String)>;

/// Answers one control request.
pub(crate) fn serve(shared: &Shared, method: &str, path: &str, body: &[u8]) -> Response<Payload> {
    let outcome =
        if method == "OPTIONS" { Ok(Value::Null) } else { route(shared, method, path, body) };
    let (status, value) = match outcome {
        Ok(value) => (200, value),
        Err((status, sentence)) => (status, json!({"error": sentence})),
    };
    let mut response = Response::new(Payload::whole(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    let text = header::HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, text("application/json"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, text("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, text("content-type"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, text("GET, POST, DELETE, OPTIONS"));
    headers.insert(header::CACHE_CONTROL, text("no-store"));
    response
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|e| (400, format!("The body cannot be used: {e}.")))
}

fn route(shared: &Shared, method: &str, path: &str, body: &[u8]) -> Outcome {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["control", "state"]) => Ok(shared.lock().control_state()),
        ("GET", ["control", "changes"]) => Ok(json!(shared.lock().changes)),
        ("DELETE", ["control", "changes"]) => {
            shared.lock().changes.clear();
            Ok(Value::Null)
        }
        ("GET", ["control", "requests"]) => {
            let state = shared.lock();
            Ok(json!({"requests": state.requests, "dropped": state.requests_dropped}))
        }
        ("DELETE", ["control", "requests"]) => {
            shared.lock().forget_requests();
            Ok(Value::Null)
        }
        ("GET", ["control", "trouble"]) => Ok(json!(shared.lock().troubles.active)),
        ("POST", ["control", "trouble"]) => {
            let trouble: Trouble = parse(body)?;
            let id = shared.lock().trouble(trouble).map_err(|e| (400, format!("{e}.")))?;
            shared.changed.send_modify(|n| *n += 1);
            Ok(json!({"id": id}))
        }
        ("DELETE", ["control", "trouble"]) => {
            clear_all(shared);
            Ok(Value::Null)
        }
        ("DELETE", ["control", "trouble", id]) => {
            let known = id.parse().is_ok_and(|id| shared.lock().clear_trouble(id));
            shared.changed.send_modify(|n| *n += 1);
            if known {
                Ok(Value::Null)
            } else {
                Err((404, format!("There is no trouble {id}; GET /control/trouble lists them.")))
            }
        }
        ("POST", ["control", "network"]) => {
            let order: NetworkOrder = parse(body)?;
            let options = (!order.delete).then_some(order.options);
            shared
                .lock()
                .meddle_network(&order.node, &order.iface, options)
                .map_err(|e| (400, e))?;
            Ok(Value::Null)
        }
        ("POST", ["control", "node"]) => {
            let order: NodeMeddling = parse(body)?;
            shared.lock().meddle_node(order);
            Ok(Value::Null)
        }
        ("GET", ["control", "internet"]) => Ok(json!(shared.lock().internet)),
        ("POST", ["control", "internet"]) => {
            let order: Publication = parse(body)?;
            let mut state = shared.lock();
            match order {
                Publication::Image(image) => state.internet.publish_image(image),
                Publication::File(file) => state.internet.publish_file(file),
                Publication::Withdraw(what) => state.internet.withdraw(&what),
            }
            Ok(Value::Null)
        }
        ("GET", ["control", "volumes", node, storage]) => {
            Ok(json!(shared.lock().volume_views(node, storage)))
        }
        ("POST", ["control", "ran"]) => {
            let task: Ran = parse(body)?;
            shared.lock().remember_ran(&task.kind, &task.id, &task.node, &task.user, &task.exit);
            shared.changed.send_modify(|n| *n += 1);
            Ok(Value::Null)
        }
        ("POST", ["control", "guests"]) => {
            let order: Meddling = parse(body)?;
            meddle(&mut shared.lock(), &order).map_err(|e| (400, e))?;
            Ok(Value::Null)
        }
        _ => {
            Err((404, format!("There is no {method} {path}; see the README of the Proxmox twin.")))
        }
    }
}

/// Ends all troubles.
pub(crate) fn clear_all(shared: &Shared) {
    {
        let mut state = shared.lock();
        let ids: Vec<u64> = state.troubles.active.iter().map(|t| t.id).collect();
        for id in ids {
            state.clear_trouble(id);
        }
    }
    shared.changed.send_modify(|n| *n += 1);
}

/// A task that somebody else has just begun and ended: a backup, a migration, …
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ran {
    /// `vzdump`, `vzmigrate`, …
    kind: String,
    /// A guest's number, or empty for a job.
    #[serde(default)]
    id: String,
    node: String,
    #[serde(default = "root")]
    user: String,
    /// `OK`, or why it failed.
    exit: String,
}

fn root() -> String {
    "root@pam".to_owned()
}

/// A change of a live interface behind the API's back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkOrder {
    node: String,
    iface: String,
    #[serde(default)]
    options: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    delete: bool,
}

/// A change of what nodes can fetch.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Publication {
    Image(RemoteImage),
    File(RemoteFile),
    Withdraw(String),
}

/// A change made behind the API's back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meddling {
    /// `start`, `stop`, `destroy`, `rename`, `migrate`, `tag`, `recreate`, `set`, `sicken`, `heal`.
    pub action: String,
    /// Which guest.
    pub vmid: u32,
    /// The new name, for `rename` and `recreate`.
    #[serde(default)]
    pub name: Option<String>,
    /// The new place, for `migrate`.
    #[serde(default)]
    pub node: Option<String>,
    /// The new tags, for `tag`.
    #[serde(default)]
    pub tags: Option<String>,
    /// Configuration keys to write, for `set`; an empty text removes the key.
    #[serde(default)]
    pub config: std::collections::BTreeMap<String, String>,
}

/// Carries it out at once, without a task; noted among the changes as by `control`.
pub(crate) fn meddle(state: &mut State, order: &Meddling) -> Result<(), String> {
    let (now, vmid) = (state.now(), order.vmid);
    let pid = state.next_pid();
    if order.action == "start" {
        state.apply_pending(now, vmid);
    }
    let known = |name: &str| state.node(name).is_some();
    let target = order.node.clone().unwrap_or_default();
    let target_known = known(&target);
    let Some(guest) = state.guests.get_mut(&vmid) else {
        return Err(format!("There is no guest {vmid}."));
    };
    let node = guest.node.clone();
    match order.action.as_str() {
        "start" => guest.start(now, pid),
        "stop" => guest.stop(now),
        "destroy" => {
            let gone = state.guests.remove(&vmid);
            state.sdn.addresses.retain(|a| a.vmid != Some(vmid));
            state.firewall.remove(&format!("guest/{vmid}"));
            if let Some(guest) = gone {
                state.free_disks(&guest, false);
            }
        }
        "rename" => rename(guest, order)?,
        "sicken" => guest.unhealthy = true,
        "heal" => guest.unhealthy = false,
        "migrate" if target_known => {
            state.carry(vmid, &target)?;
            if let Some(guest) = state.guests.get_mut(&vmid) {
                guest.node = target;
            }
        }
        "migrate" => return Err("Say which known node to migrate to.".to_owned()),
        "tag" => {
            let tags = unique_tags(order.tags.as_deref().unwrap_or_default());
            guest.config.insert("tags".to_owned(), tags);
        }
        "set" => {
            for (key, value) in &order.config {
                if value.is_empty() {
                    guest.config.remove(key);
                } else {
                    guest.config.insert(key.clone(), value.clone());
                }
            }
        }
        "recreate" => {
            // Another guest under the same id: fresh birth, no snapshots, other addresses.
            guest.stop(now);
            guest.born = now;
            guest.runs.clear();
            guest.snapshots.clear();
            guest.parent = None;
            guest.config.remove("description");
            let mac = crate::world::mac(crate::noise::mix(u64::from(pid)));
            for (key, value) in &mut guest.config {
                if key.starts_with("net") && key != "nameserver" {
                    *value = replace_mac(value, &mac);
                }
            }
            if order.name.is_some() {
                rename(guest, order)?;
            }
        }
        other => {
            return Err(format!(
                "There is no action {other}; use start, stop, destroy, rename, migrate, tag, recreate, set, sicken or heal."
            ));
        }
    }
    state.note(now, &order.action, Some(vmid), &node, "control", "");
    Ok(())
}

fn rename(guest: &mut Guest, order: &Meddling) -> Result<(), String> {
    let name = order.name.clone().ok_or("Say the new name.")?;
    let key = if guest.kind == crate::guest::GuestKind::Lxc { "hostname" } else { "name" };
    guest.config.insert(key.to_owned(), name);
    Ok(())
}

fn replace_mac(value: &str, mac: &str) -> String {
    value
        .split(',')
        .map(|part| match part.split_once('=') {
            Some((key, old)) if old.len() == 17 && old.matches(':').count() == 5 => {
                format!("{key}={mac}")
            }
            _ => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(",")
}
