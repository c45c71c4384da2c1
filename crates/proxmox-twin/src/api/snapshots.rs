//! Snapshots: list, take, delete, roll back.

use serde_json::{Value, json};

use super::Call;
use crate::effect::Effect;
use crate::guest::GuestKind;
use crate::reply::{Refusal, Reply};
use crate::task::Script;

/// The list always ends with the pseudo entry `current` (measured).
pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let guest = call.guest()?;
    let mut rows: Vec<Value> = guest
        .snapshots
        .iter()
        .map(|s| {
            let mut row = json!({"name": s.name, "description": s.description, "snaptime": s.time});
            if let Some(map) = row.as_object_mut() {
                if let Some(parent) = &s.parent {
                    map.insert("parent".into(), json!(parent));
                }
                if guest.kind == GuestKind::Qemu {
                    map.insert("vmstate".into(), json!(u8::from(s.vmstate)));
                }
            }
            row
        })
        .collect();
    let mut current = json!({
        "name": "current",
        "description": "You are here!",
        "digest": guest.digest(),
        "running": u8::from(guest.running.is_some()),
    });
    if let (Some(parent), Some(map)) = (&guest.parent, current.as_object_mut()) {
        map.insert("parent".into(), json!(parent));
    }
    rows.push(current);
    Ok(Value::Array(rows).into())
}

fn snapname(call: &Call<'_>) -> String {
    call.text("snapname").unwrap_or_default()
}

fn run(call: &mut Call<'_>, suffix: &str, script: Script) -> Reply {
    let id = call.vmid().to_string();
    let kind = format!("{}{suffix}", call.kind.prefix());
    call.task(&kind, &id, script)
}

pub(super) fn take(call: &mut Call<'_>) -> Reply {
    call.guest()?;
    call.quorum()?;
    let (vmid, name) = (call.vmid(), snapname(call));
    // Each kind keeps another word for itself; letters count for containers' `vzdump`, not for machines' `pending`.
    let reserved = name == "current"
        || match call.kind {
            GuestKind::Lxc => name == "vzdump",
            GuestKind::Qemu => name.eq_ignore_ascii_case("pending"),
        };
    if reserved {
        return Err(Refusal::failed(format!(
            "unable to use snapshot name '{name}' (reserved name)"
        )));
    }
    let (description, vmstate) =
        (call.text("description").unwrap_or_default(), call.flag("vmstate"));
    // Memory is kept where there is some.
    let vmstate = vmstate && call.guest()?.running.is_some();
    let mut script = Script::new()
        .act(0.1, Effect::Lock { vmid, lock: "snapshot" })
        .undo(Effect::Unlock { vmid, lock: "snapshot" });
    if vmstate {
        script = script
            .say(0.4, "saving VM state and RAM using storage 'local-lvm'")
            .say(1.5, "completed saving the VM state in 2s, saved 512.31 MiB");
    }
    for (volid, _) in call.guest()?.volumes() {
        let volume = volid.split(':').nth(1).unwrap_or_default().to_owned();
        script = script.say(0.6, format!("  Logical volume \"snap_{volume}_{name}\" created."));
    }
    run(call, "snapshot", script.act(0.3, Effect::SnapTake { vmid, name, description, vmstate }))
}

pub(super) fn delete(call: &mut Call<'_>) -> Reply {
    call.guest()?;
    call.quorum()?;
    let (vmid, name) = (call.vmid(), snapname(call));
    let script = Script::new()
        .act(0.1, Effect::Lock { vmid, lock: "snapshot-delete" })
        .undo(Effect::Unlock { vmid, lock: "snapshot-delete" })
        .say(
            0.8,
            format!("  Logical volume \"snap_vm-{vmid}-disk-0_{name}\" successfully removed."),
        )
        .act(0.2, Effect::SnapDrop { vmid, name });
    run(call, "delsnapshot", script)
}

pub(super) fn rollback(call: &mut Call<'_>) -> Reply {
    call.guest()?;
    call.quorum()?;
    let (vmid, name, start) = (call.vmid(), snapname(call), call.flag("start"));
    let script = Script::new()
        .act(0.1, Effect::Lock { vmid, lock: "rollback" })
        .undo(Effect::Unlock { vmid, lock: "rollback" })
        .say(0.9, format!("  Logical volume \"vm-{vmid}-disk-0\" successfully removed."))
        .say(0.4, format!("  Logical volume \"vm-{vmid}-disk-0\" created."))
        .act(0.2, Effect::Rollback { vmid, name, start });
    run(call, "rollback", script)
}
