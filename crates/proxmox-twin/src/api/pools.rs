//! Pools. They live in a file that is locked cluster-wide, so without quorum they refuse late.

use std::time::Duration;

use serde_json::{Value, json};

use super::Call;
use crate::reply::{Refusal, Reply};
use crate::state::Pool;

/// How long the real server waits for the lock before it gives up (measured: 9.9 s).
const LOCK_WAIT: f64 = 9.9;

fn quorum(call: &Call<'_>, what: &str) -> Result<(), Refusal> {
    if !call.state.troubles.no_quorum() {
        return Ok(());
    }
    let pause = Duration::from_secs_f64(LOCK_WAIT * call.state.settings.speed.max(0.0));
    Err(Refusal::failed(format!("{what} pool failed: cfs-lock 'file-user_cfg' error: no quorum!"))
        .after(pause))
}

fn members(call: &Call<'_>, pool: &str, kind: Option<&str>) -> Vec<Value> {
    let mut rows: Vec<Value> = call
        .state
        .guests
        .values()
        .filter(|g| g.pool.as_deref() == Some(pool))
        .filter(|g| kind.is_none_or(|k| k == g.kind.path()))
        .map(|g| {
            json!({
                "id": format!("{}/{}", g.kind.path(), g.vmid),
                "type": g.kind.path(),
                "vmid": g.vmid,
                "node": g.node,
                "name": g.name(),
                "status": g.status(),
                "maxmem": g.max_mem(),
                "maxdisk": g.max_disk(),
                "template": u8::from(g.is_template()),
            })
        })
        .collect();
    if kind.is_none_or(|k| k == "storage")
        && let Some(found) = call.state.pools.get(pool)
    {
        for storage in &found.storages {
            rows.push(json!({"id": format!("storage/{}/{storage}", call.local), "type": "storage", "storage": storage, "node": call.local}));
        }
    }
    rows
}

pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let wanted = call.text("poolid");
    let kind = call.text("type");
    if let Some(name) = &wanted {
        call.need(&format!("/pool/{name}"), &["Pool.Audit"])?;
        if !call.state.pools.contains_key(name) {
            return Err(Refusal::failed(format!("pool '{name}' does not exist")));
        }
    }
    let rows = call
        .state
        .pools
        .iter()
        .filter(|(name, _)| wanted.as_ref().is_none_or(|w| w == *name))
        .filter(|(name, _)| {
            call.need_any(&format!("/pool/{name}"), &["Pool.Audit", "Pool.Allocate"]).is_ok()
        })
        .map(|(name, pool)| {
            let mut row = json!({"poolid": name});
            if let Some(map) = row.as_object_mut() {
                if !pool.comment.is_empty() {
                    map.insert("comment".into(), json!(pool.comment));
                }
                if wanted.is_some() {
                    map.insert("members".into(), json!(members(call, name, kind.as_deref())));
                }
            }
            row
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn show(call: &mut Call<'_>) -> Reply {
    let name = call.text("poolid").unwrap_or_default();
    let Some(pool) = call.state.pools.get(&name) else {
        return Err(Refusal::failed(format!("pool '{name}' does not exist")));
    };
    let comment = pool.comment.clone();
    let mut row = json!({"members": members(call, &name, call.text("type").as_deref())});
    if let (false, Some(map)) = (comment.is_empty(), row.as_object_mut()) {
        map.insert("comment".into(), json!(comment));
    }
    Ok(row.into())
}

pub(super) fn create(call: &mut Call<'_>) -> Reply {
    quorum(call, "create")?;
    let name = call.text("poolid").unwrap_or_default();
    if call.state.pools.contains_key(&name) {
        return Err(Refusal::failed(format!("create pool failed: pool '{name}' already exists")));
    }
    let comment = call.text("comment").unwrap_or_default();
    call.state.pools.insert(name.clone(), Pool { comment, storages: Vec::new() });
    let (now, local, user) = (call.now, call.local.clone(), call.caller.id());
    call.state.note(now, "pool", None, &local, &user, &format!("create {name}"));
    Ok(Value::Null.into())
}

pub(super) fn update(call: &mut Call<'_>) -> Reply {
    quorum(call, "update")?;
    let name = call.text("poolid").unwrap_or_default();
    if !call.state.pools.contains_key(&name) {
        return Err(Refusal::failed(format!("update pools failed: pool '{name}' does not exist")));
    }
    let (delete, moving) = (call.flag("delete"), call.flag("allow-move"));
    let split = |text: String| -> Vec<String> {
        text.split([',', ';', ' ']).filter(|p| !p.is_empty()).map(str::to_owned).collect()
    };
    let vms = call.text("vms").map(split).unwrap_or_default();
    for vmid in vms.iter().filter_map(|v| v.parse::<u32>().ok()) {
        call.need_any(&format!("/vms/{vmid}"), &["VM.Allocate"])?;
        let Some(guest) = call.state.guests.get_mut(&vmid) else {
            return Err(Refusal::failed(format!("update pools failed: VM {vmid} does not exist")));
        };
        match (&guest.pool, delete) {
            (Some(pool), true) if *pool == name => guest.pool = None,
            (_, true) => {
                return Err(Refusal::failed(format!(
                    "update pools failed: VM {vmid} is not a pool member"
                )));
            }
            (Some(pool), false) if *pool == name => {
                return Err(Refusal::failed(format!(
                    "update pools failed: VM {vmid} is already a pool member"
                )));
            }
            (Some(pool), false) if !moving => {
                return Err(Refusal::failed(format!(
                    "update pools failed: VM {vmid} is already a member of pool '{pool}' and 'allow-move' is not set"
                )));
            }
            _ => guest.pool = Some(name.clone()),
        }
    }
    let storages = call.text("storage").map(split).unwrap_or_default();
    let comment = call.text("comment");
    if let Some(pool) = call.state.pools.get_mut(&name) {
        for storage in storages {
            pool.storages.retain(|s| *s != storage);
            if !delete {
                pool.storages.push(storage);
            }
        }
        if let Some(comment) = comment {
            pool.comment = comment;
        }
    }
    let (now, local, user) = (call.now, call.local.clone(), call.caller.id());
    call.state.note(now, "pool", None, &local, &user, &format!("update {name}"));
    Ok(Value::Null.into())
}

pub(super) fn delete(call: &mut Call<'_>) -> Reply {
    quorum(call, "delete")?;
    let name = call.text("poolid").unwrap_or_default();
    let Some(pool) = call.state.pools.get(&name) else {
        return Err(Refusal::failed(format!("delete pool failed: pool '{name}' does not exist")));
    };
    if let Some(guest) = call.state.guests.values().find(|g| g.pool.as_deref() == Some(&name)) {
        return Err(Refusal::failed(format!(
            "delete pool failed: pool '{name}' is not empty (contains VM {})",
            guest.vmid
        )));
    }
    if let Some(storage) = pool.storages.first() {
        return Err(Refusal::failed(format!(
            "delete pool failed: pool '{name}' is not empty (contains storage '{storage}')"
        )));
    }
    call.state.pools.remove(&name);
    let (now, local, user) = (call.now, call.local.clone(), call.caller.id());
    call.state.note(now, "pool", None, &local, &user, &format!("delete {name}"));
    Ok(Value::Null.into())
}
