//! What explains that a guest is off: a lock, an operation of gantry's, a task of anybody, high availability.

use std::collections::BTreeSet;

use super::{Around, Excuse, TaskSeen};
use crate::world::Guest;

/// States in which high availability is at work on a guest.
const HA_WORKING: [&str; 7] =
    ["migrate", "relocate", "recovery", "fence", "freeze", "request_stop", "request_start"];
/// What the names of workers that switch a guest off end with.
const STOPPING: [&str; 7] =
    ["stop", "shutdown", "suspend", "reboot", "reset", "rollback", "destroy"];

/// Whether a worker of this name changes where or whether a guest runs.
pub(super) fn changes(kind: &str) -> bool {
    stops(kind) || kind.ends_with("start") || kind.ends_with("resume") || kind.ends_with("migrate")
}

fn stops(kind: &str) -> bool {
    STOPPING.iter().any(|w| kind.ends_with(w)) || kind.ends_with("migrate")
}

/// Whether an excuse ends by itself and the guest should be back then.
pub(super) fn passing(excuse: &Excuse) -> bool {
    matches!(excuse, Excuse::Backup | Excuse::Migration | Excuse::Ha { .. } | Excuse::Lock { .. })
}

/// What is at work on a guest right now.
pub(super) fn busy(guest: &Guest, around: &Around) -> Option<Excuse> {
    match guest.lock.as_deref() {
        Some("backup") => return Some(Excuse::Backup),
        Some("migrate") => return Some(Excuse::Migration),
        Some(lock) => return Some(Excuse::Lock { lock: lock.to_owned() }),
        None => {}
    }
    if let Some(id) = around.own.get(&guest.vmid) {
        return Some(Excuse::Operation { id: id.clone() });
    }
    let running = around
        .tasks
        .iter()
        .flatten()
        .find(|t| t.ended_ms.is_none() && t.upid.id() == guest.vmid.to_string());
    if let Some(task) = running {
        return Some(of_task(task, around));
    }
    guest
        .ha
        .as_deref()
        .filter(|state| HA_WORKING.contains(state))
        .map(|state| Excuse::Ha { state: state.to_owned() })
}

/// What explains that a guest went off since the look before.
pub(super) fn explained(
    guest: &Guest,
    around: &Around,
    older: &BTreeSet<String>,
) -> Option<Excuse> {
    if let Some(excuse) = busy(guest, around) {
        return Some(excuse);
    }
    let vmid = guest.vmid.to_string();
    let done = around.tasks.iter().flatten().find(|t| {
        // By what was seen, not by the clock: clocks of nodes differ.
        let late = !older.contains(t.upid.as_str());
        let about = t.upid.id() == vmid && stops(t.upid.kind());
        let all = t.upid.kind() == "stopall" && *t.upid.node() == guest.node;
        late && t.failure.is_none() && (about || all)
    });
    done.map(|task| match of_task(task, around) {
        // It is over, and the guest is still off: not something that passes.
        Excuse::Migration => {
            Excuse::Task { user: task.upid.user().to_owned(), kind: task.upid.kind().to_owned() }
        }
        other => other,
    })
}

fn of_task(task: &TaskSeen, around: &Around) -> Excuse {
    let (kind, user) = (task.upid.kind(), task.upid.user());
    match () {
        () if user == around.own_user => Excuse::Operation { id: task.upid.as_str().to_owned() },
        () if kind == "vzdump" => Excuse::Backup,
        () if kind.ends_with("migrate") => Excuse::Migration,
        () => Excuse::Task { user: user.to_owned(), kind: kind.to_owned() },
    }
}
