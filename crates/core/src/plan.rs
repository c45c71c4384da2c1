//! A plan: what would happen, in people's words, bound to the world it was made for.
//!
//! Made from live facts, shown, and carried out only while the same facts still give the same fingerprint.
//! A plan is data: it can be kept, loaded on another process and compared.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::action::{Action, Power, Tier, Verb};
use crate::id::PlanId;
use crate::operation::StepKind;
use crate::policy::Actor;
use crate::world::{Guest, GuestStatus};

/// A guest read just now, with what the cluster summary does not tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveGuest {
    /// The guest as it is now.
    pub guest: Guest,
    /// Proxmox's digest of its configuration.
    pub digest: String,
    /// Its disks, as `rootfs: local-lvm:vm-201-disk-0, 8 GiB`.
    pub disks: Vec<String>,
    /// Whether Proxmox protects it against deletion.
    pub protected: bool,
    /// Number of snapshots that would go with it, where known.
    pub snapshots: Option<u32>,
    /// When this was read, milliseconds.
    pub read_ms: i64,
}

/// One line of before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What changes: `Status`, `Disks`, …
    pub what: String,
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
}

/// What would happen, and on what evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id; also the key that makes confirming it once.
    pub id: PlanId,
    /// What was asked.
    pub verb: Verb,
    /// With its target resolved.
    pub action: Action,
    /// Who asked, where.
    pub asker: Actor,
    /// The rule that allowed it.
    pub rule: String,
    /// The confirmation it takes.
    pub tier: Tier,
    /// The target's name; what has to be typed where typing is asked.
    pub name: String,
    /// The target as people read it: `web-0 (CT 201 on pve1, lab)`.
    pub target: String,
    /// What will be done, a sentence each.
    pub effects: Vec<String>,
    /// Before and after.
    pub changes: Vec<Change>,
    /// What else is touched or worth knowing before pressing.
    pub warnings: Vec<String>,
    /// Steps, in order.
    pub steps: Vec<StepKind>,
    /// Fingerprint of the facts it rests on.
    pub fingerprint: String,
    /// Digest of the guest's configuration; empty where there is no guest yet.
    #[serde(default)]
    pub digest: String,
    /// When those facts were read, milliseconds.
    pub observed_ms: i64,
    /// When it was made, milliseconds.
    pub created_ms: i64,
    /// Until when it may be confirmed, milliseconds.
    pub expires_ms: i64,
}

/// What planning comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// Here is what would happen.
    Ready(Draft),
    /// Nothing to do: it is already so.
    Nothing {
        /// Why, as a sentence.
        why: String,
    },
    /// It cannot be done now.
    Refused {
        /// Why, and what would help.
        why: String,
    },
}

/// The part of a plan that follows from the action and the facts alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The target's name.
    pub name: String,
    /// The target as people read it.
    pub target: String,
    /// What will be done.
    pub effects: Vec<String>,
    /// Before and after.
    pub changes: Vec<Change>,
    /// What else is worth knowing.
    pub warnings: Vec<String>,
    /// Steps.
    pub steps: Vec<StepKind>,
    /// Fingerprint of the facts.
    pub fingerprint: String,
    /// Digest of the guest's configuration; empty where there is no guest yet.
    pub digest: String,
}

/// Said wherever a container is suspended or resumed.
const UNSEEN: &str = "Proxmox calls this experimental for containers and does not show whether one is suspended: \
                      only the task's own result can be told.";

/// How people read a guest: `web-0 (CT 201 on pve1, lab)`.
pub fn describe(guest: &Guest) -> String {
    format!(
        "{} ({} {} on {}, {})",
        guest.name,
        guest.kind.short(),
        guest.vmid,
        guest.node,
        guest.cluster
    )
}

/// Fingerprint of a guest's facts: identity, place, pool, power, lock and configuration. Its snapshots stand in the file that
/// the digest is made of, so they need no place here.
pub fn fingerprint(live: &LiveGuest) -> String {
    let g = &live.guest;
    hash(&serde_json::json!([
        g.cluster,
        g.vmid,
        g.kind,
        g.name,
        g.node,
        g.pool,
        g.status,
        g.lock,
        g.ha,
        live.digest,
        live.protected
    ]))
}

pub(crate) fn hash(value: &serde_json::Value) -> String {
    hex::encode(Sha256::digest(value.to_string().as_bytes()))
}

/// Said where snapshots go with a guest.
pub(crate) fn snapshots_go(live: &LiveGuest) -> Option<String> {
    match live.snapshots {
        None | Some(0) => None,
        Some(1) => Some("1 snapshot goes with it.".into()),
        Some(n) => Some(format!("{n} snapshots go with it.")),
    }
}

/// Plans what is done to a guest that exists.
pub fn plan_guest(verb: Verb, action: &Action, live: &LiveGuest) -> Planned {
    let g = &live.guest;
    let who = format!("{} {}", g.kind.short(), g.vmid);
    let refused = |why: String| Planned::Refused { why };
    let nothing = |why: String| Planned::Nothing { why };
    if verb.is_pod() && !g.is_pod() {
        return refused(format!(
            "{} is not a pod: gantry does not own it. Use the /guest command of the same name.",
            describe(g)
        ));
    }
    if let Some(lock) = &g.lock {
        return refused(format!(
            "{} is locked by Proxmox ({lock}). Wait until that is over; `/task list` shows what holds it.",
            describe(g)
        ));
    }
    if g.status == GuestStatus::Unknown {
        return refused(format!(
            "Nobody can say whether {} runs, because {} does not answer. Nothing was changed.",
            describe(g),
            g.node
        ));
    }
    let running = g.status == GuestStatus::Running;
    let container = g.kind == crate::id::GuestKind::Lxc;
    let frozen = matches!(g.status, GuestStatus::Paused | GuestStatus::Suspended);
    let mut warnings = Vec::new();
    if let Some(state) = &g.ha {
        warnings.push(format!(
            "It is a high-availability resource ({state}): the HA manager carries the change out, and may undo it."
        ));
    }
    let mut changes = Vec::new();
    let mut status = |after: &str| {
        changes.push(Change {
            what: "Status".into(),
            before: g.status.as_str().into(),
            after: after.into(),
        });
    };
    let (effects, steps) = match action {
        Action::Power { change, timeout_s, .. } => {
            if g.template && !matches!(change, Power::Shutdown | Power::Kill) {
                return refused(format!("{} is a template; templates do not run.", describe(g)));
            }
            match change {
                Power::Start if running => {
                    return nothing(format!("{} is already running.", g.name));
                }
                Power::Start if frozen => {
                    return refused(format!(
                        "{} is {}; resume it instead.",
                        g.name,
                        g.status.as_str()
                    ));
                }
                Power::Start => {
                    status("running");
                    (vec![format!("Start {who}.")], vec![StepKind::Start])
                }
                Power::Shutdown | Power::Kill if g.status == GuestStatus::Stopped => {
                    return nothing(format!("{} is already stopped.", g.name));
                }
                Power::Shutdown if frozen => {
                    return refused(format!(
                        "{} is {} and cannot shut itself down; resume it first.",
                        g.name,
                        g.status.as_str()
                    ));
                }
                Power::Shutdown => {
                    status("stopped");
                    (
                        vec![
                            format!(
                                "Ask the system in {who} to shut down, and wait up to {timeout_s} s."
                            ),
                            "If it does not, it stays on: nothing is forced.".into(),
                        ],
                        vec![StepKind::Shutdown { timeout_s: *timeout_s }],
                    )
                }
                Power::Kill => {
                    status("stopped");
                    warnings.push("Data that is not on disk yet is lost.".into());
                    (vec![format!("Pull the plug of {who} at once.")], vec![StepKind::Kill])
                }
                Power::Reboot if !running => {
                    return refused(format!("{} is {}, not running.", g.name, g.status.as_str()));
                }
                Power::Reboot => {
                    status("running, restarted");
                    (
                        vec![format!(
                            "Restart {who} through its own system, waiting up to {timeout_s} s for it to go down."
                        )],
                        vec![StepKind::Reboot { timeout_s: *timeout_s }],
                    )
                }
                Power::Suspend if frozen => {
                    return nothing(format!("{} is already {}.", g.name, g.status.as_str()));
                }
                Power::Suspend if !running => {
                    return refused(format!("{} is {}, not running.", g.name, g.status.as_str()));
                }
                Power::Suspend => {
                    status("suspended");
                    if container {
                        warnings.push(UNSEEN.into());
                    }
                    (vec![format!("Freeze {who} where it is.")], vec![StepKind::Suspend])
                }
                Power::Resume if running && !container => {
                    return nothing(format!("{} is already running.", g.name));
                }
                Power::Resume if !frozen && !container => {
                    return refused(format!(
                        "{} is {}; start it instead.",
                        g.name,
                        g.status.as_str()
                    ));
                }
                Power::Resume => {
                    status("running");
                    if container {
                        warnings.push(UNSEEN.into());
                    }
                    (vec![format!("Let {who} go on.")], vec![StepKind::Resume])
                }
            }
        }
        Action::Delete { timeout_s, .. } => {
            if live.protected {
                return refused(format!(
                    "{} is protected against deletion. Switch its protection off at Proxmox first.",
                    describe(g)
                ));
            }
            let mut effects = Vec::new();
            let mut steps = Vec::new();
            if running {
                effects.push(format!(
                    "Shut {who} down, waiting up to {timeout_s} s; if it stays on, stop here."
                ));
                steps.push(StepKind::Shutdown { timeout_s: *timeout_s });
            } else if frozen {
                return refused(format!(
                    "{} is {}; resume it and shut it down, or pull its plug, first.",
                    g.name,
                    g.status.as_str()
                ));
            }
            effects.push(format!(
                "Delete {who} with {} and remove it from backup jobs, replication, HA and access lists.",
                match live.disks.len() {
                    0 => "its configuration".to_owned(),
                    1 => "its disk".to_owned(),
                    n => format!("its {n} disks"),
                }
            ));
            effects.push("Backups stay where they are.".into());
            steps.push(StepKind::Delete);
            status("gone");
            for disk in live.disks.iter().take(8) {
                changes.push(Change {
                    what: "Disk".into(),
                    before: disk.clone(),
                    after: "gone".into(),
                });
            }
            if live.disks.len() > 8 {
                warnings.push(format!("And {} more disks.", live.disks.len() - 8));
            }
            warnings.extend(snapshots_go(live));
            warnings.push("This cannot be undone.".into());
            (effects, steps)
        }
        Action::CreatePod { .. }
        | Action::CancelTask { .. }
        | Action::Pod(_)
        | Action::Set(_)
        | Action::Network(_)
        | Action::Forward(_)
        | Action::Notify(_)
        | Action::Unlock { .. }
        | Action::Migrate(_)
        | Action::Snapshot(_)
        | Action::Image(_) => {
            return refused("that is not something done to a guest".into());
        }
    };
    Planned::Ready(Draft {
        name: g.name.clone(),
        target: describe(g),
        effects,
        changes,
        warnings,
        steps,
        fingerprint: fingerprint(live),
        digest: live.digest.clone(),
    })
}

/// Plans stopping a task.
pub fn plan_cancel_task(
    cluster: &crate::id::ClusterId,
    upid: &crate::id::Upid,
    running: bool,
) -> Planned {
    if !running {
        return Planned::Nothing { why: "That task has already ended.".into() };
    }
    Planned::Ready(Draft {
        name: upid.kind().to_owned(),
        target: format!("task {} {} on {} ({cluster})", upid.kind(), upid.id(), upid.node()),
        effects: vec![format!(
            "Stop the running task {} of {} on {}.",
            upid.kind(),
            upid.user(),
            upid.node()
        )],
        changes: vec![],
        warnings: vec![
            "What the task did so far stays; a guest may be left locked or half finished.".into(),
        ],
        steps: vec![StepKind::CancelTask],
        fingerprint: hash(&serde_json::json!([cluster, upid, running])),
        digest: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_went_to_another_pool_is_not_as_it_was_confirmed() {
        let guest = Guest {
            status: GuestStatus::Stopped,
            pool: Some("dev".into()),
            ..Guest::sample(150, "web-0")
        };
        let live = LiveGuest {
            guest,
            digest: String::new(),
            disks: Vec::new(),
            protected: false,
            snapshots: None,
            read_ms: 0,
        };
        let mut moved = live.clone();
        moved.guest.pool = Some("prod".into());
        assert_ne!(fingerprint(&live), fingerprint(&moved));
        moved.guest.pool = Some("dev".into());
        assert_eq!(fingerprint(&live), fingerprint(&moved));
    }
}
