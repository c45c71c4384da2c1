//! What moving a guest comes to on what was read just now.

use super::{How, MigrateStep, Migration, MoveFacts, Precondition, TargetNode, Volume};
use crate::id::GuestKind;
use crate::image::size;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned, describe, fingerprint, hash};
use crate::set::set_of_tag;
use crate::world::GuestStatus;

/// Kinds of storages whose disks Proxmox moves together with their snapshots.
const TAKES_SNAPSHOTS_ALONG: [&str; 2] = ["zfspool", "btrfs"];
/// Disks named at most.
const DISKS_NAMED: usize = 8;

/// Plans moving a guest.
pub fn plan_migration(action: &Migration, facts: &MoveFacts) -> Planned {
    let g = &facts.live.guest;
    let (who, to) = (describe(g), &action.to);
    let refused = |why: String| Planned::Refused { why };
    if g.node == *to {
        return Planned::Nothing { why: format!("{who} is on {to} already.") };
    }
    let Some(target) = &facts.target else {
        let there = facts.nodes.join(", ");
        return refused(format!("{} has no node {to}. Its nodes are {there}.", g.cluster));
    };
    if !target.online {
        return refused(format!("{to} is not online, so nothing can be moved there."));
    }
    if let Some(why) = obstacle(action, facts, target) {
        return refused(why);
    }
    let how = match g.status {
        GuestStatus::Stopped => How::Offline,
        _ if g.kind == GuestKind::Qemu => How::Online,
        _ => How::Restart,
    };
    let disks = local_disks(facts);
    let step = MigrateStep {
        to: to.clone(),
        how,
        local_disks: how == How::Online && !disks.is_empty(),
        ha: g.ha.is_some(),
    };
    let mut changes =
        vec![Change { what: "Node".into(), before: g.node.to_string(), after: to.to_string() }];
    if how == How::Restart {
        changes.push(Change {
            what: "Status".into(),
            before: g.status.as_str().into(),
            after: "running, restarted".into(),
        });
    }
    let steps = vec![StepKind::Migrate(step)];
    let effects = effects(action, facts, how, &disks);
    // What it comes to is part of what was confirmed: other disks, another way, another guest along is another plan.
    let fingerprint =
        hash(&serde_json::json!([fingerprint(&facts.live), to, steps, effects, facts.snapshots]));
    Planned::Ready(Draft {
        name: g.name.clone(),
        target: who,
        effects,
        changes,
        warnings: warnings(facts, target, how, !disks.is_empty()),
        steps,
        fingerprint,
        digest: facts.live.digest.clone(),
    })
}

/// Disks that only its node sees: as Proxmox lists them, else as its configuration says.
fn local_disks(facts: &MoveFacts) -> Vec<(String, Option<u64>)> {
    match facts.says.as_ref().filter(|s| !s.local_disks.is_empty()) {
        Some(says) => says.local_disks.clone(),
        None => {
            let local = facts.volumes.iter().filter(|v| v.is_local() && v.storage.is_some());
            local.map(|v| (v.what.clone(), None)).collect()
        }
    }
}

/// Why it cannot be moved there now, and what would help.
fn obstacle(action: &Migration, facts: &MoveFacts, target: &TargetNode) -> Option<String> {
    let g = &facts.live.guest;
    let (who, to) = (describe(g), &action.to);
    let container = g.kind == GuestKind::Lxc;
    if let Some(set) = g.tags.iter().find_map(|t| set_of_tag(t)) {
        return Some(format!(
            "{who} is a pod of the set {set}, and the set says where its pods are. Its `nodes` in `/set apply` change that."
        ));
    }
    if let Some(lock) = &g.lock {
        return Some(format!(
            "{who} is locked by Proxmox ({lock}). Wait until that is over; `/task list` shows what holds it."
        ));
    }
    match g.status {
        GuestStatus::Unknown => {
            return Some(format!(
                "Nobody can say whether {who} runs, because {} does not answer. Nothing was changed.",
                g.node
            ));
        }
        GuestStatus::Paused | GuestStatus::Suspended if container => {
            return Some(format!(
                "{who} is {}; resume it first, or shut it down.",
                g.status.as_str()
            ));
        }
        GuestStatus::Suspended => {
            return Some(format!("{who} is saved to disk; resume it first, or shut it down."));
        }
        GuestStatus::Running if container && !action.restart => {
            return Some(format!(
                "{who} runs, and Proxmox moves no container while it runs. With `restart:True` it is shut down, moved and started again."
            ));
        }
        _ => {}
    }
    let nothing = Precondition::default();
    let says = facts.says.as_ref().unwrap_or(&nothing);
    if !says.local_resources.is_empty() {
        return Some(format!(
            "{who} uses hardware of {}: {}. Proxmox moves no machine with that; take it out of its settings first.",
            g.node,
            says.local_resources.join(", ")
        ));
    }
    let mut discs = says.local_discs.clone();
    discs.extend(facts.volumes.iter().filter(|v| v.disc && !v.shared).map(|v| v.what.clone()));
    if let Some(disc) = discs.first() {
        return Some(format!(
            "{who} has a disc in its drive that only {} sees ({disc}). Take it out first.",
            g.node
        ));
    }
    storage_obstacle(action, facts, target).or_else(|| {
        let allowed = says.allowed.as_ref().is_none_or(|a| a.iter().any(|n| n == to.as_str()));
        if allowed && says.why_not.is_empty() {
            return None;
        }
        let why = match says.why_not.join("; ") {
            why if why.is_empty() => "it does not say why".to_owned(),
            why => why,
        };
        Some(format!("Proxmox does not let {who} go to {to}: {why}."))
    })
}

/// Why one of its disks cannot go there.
fn storage_obstacle(action: &Migration, facts: &MoveFacts, target: &TargetNode) -> Option<String> {
    let g = &facts.live.guest;
    let (who, to) = (describe(g), &action.to);
    let running = g.status != GuestStatus::Stopped;
    for volume in facts.volumes.iter().filter(|v| !v.disc) {
        let Some(storage) = &volume.storage else {
            if volume.shared {
                continue;
            }
            return Some(format!(
                "{} of {who} is a path on {} ({}). Proxmox moves it only where the mount says `shared=1`.",
                volume.key, g.node, volume.what
            ));
        };
        if !target.storages.contains(storage) {
            return Some(format!(
                "{} of {who} lies on {storage}, and {to} has no storage of that name that can be used now.",
                volume.key
            ));
        }
        if let Some(owner) = volume.owner().filter(|o| *o != g.vmid && volume.is_local()) {
            return Some(format!(
                "{} of {who} belongs to guest {owner} and lies on {} alone.",
                volume.key, g.node
            ));
        }
    }
    if facts.snapshots == 0 {
        return None;
    }
    let stuck = facts.volumes.iter().find(|v| stuck_by_snapshots(v, g.kind, running))?;
    let what = if facts.snapshots == 1 { "a snapshot" } else { "snapshots" };
    Some(format!(
        "{who} has {what}, and {} ({}) lies on {} alone: Proxmox does not move such a disk{} with snapshots. Delete them first; `/guest snapshot list` shows them.",
        stuck.key,
        stuck.what,
        g.node,
        if running && g.kind == GuestKind::Qemu { " of a running machine" } else { "" },
    ))
}

/// Whether snapshots keep a disk where it is. A running machine's local disks are copied block by block, without them.
fn stuck_by_snapshots(volume: &Volume, kind: GuestKind, running: bool) -> bool {
    if !volume.is_local() || volume.storage.is_none() {
        return false;
    }
    if running && kind == GuestKind::Qemu {
        return true;
    }
    let along = volume.plugin.as_deref().is_some_and(|p| TAKES_SNAPSHOTS_ALONG.contains(&p));
    // Files in this format carry their snapshots inside.
    let inside = kind == GuestKind::Qemu && volume.what.ends_with(".qcow2");
    !along && !inside
}

fn effects(
    action: &Migration,
    facts: &MoveFacts,
    how: How,
    disks: &[(String, Option<u64>)],
) -> Vec<String> {
    let g = &facts.live.guest;
    let (who, to) = (format!("{} {}", g.kind.short(), g.vmid), &action.to);
    let mut effects = match how {
        How::Offline => {
            vec![format!("Move {who} from {} to {to}. It is off and stays off.", g.node)]
        }
        How::Online => {
            vec![format!("Move {who} from {} to {to} while it goes on running.", g.node)]
        }
        How::Restart => vec![
            format!("Shut {who} down, move it from {} to {to}, and start it there.", g.node),
            "If it does not shut down within Proxmox's 180 s, nothing is moved.".into(),
        ],
    };
    for (disk, bytes) in disks.iter().take(DISKS_NAMED) {
        let size = bytes.map(|b| format!(", {}", size(b))).unwrap_or_default();
        effects.push(format!("Copy {disk}{size}: only {} sees it.", g.node));
    }
    if disks.len() > DISKS_NAMED {
        effects.push(format!("And {} more disks.", disks.len() - DISKS_NAMED));
    }
    if g.ha.is_some() {
        effects.push(format!(
            "High availability carries it out: gantry asks for it and then watches until {who} is on {to}."
        ));
    }
    let along = facts.says.as_ref().map(|s| s.along.as_slice()).unwrap_or_default();
    if !along.is_empty() {
        effects.push(format!("High availability moves along with it: {}.", along.join(", ")));
    }
    effects
}

fn warnings(facts: &MoveFacts, target: &TargetNode, how: How, copies: bool) -> Vec<String> {
    let g = &facts.live.guest;
    let mut warnings = Vec::new();
    if how == How::Restart {
        warnings.push("It cannot be reached from its shutdown until it runs again.".into());
    }
    if copies {
        warnings.push("Copying disks takes as long as the network between the nodes needs.".into());
    }
    // A container uses what it uses; a machine gets all that was given to it.
    let needs = if g.kind == GuestKind::Lxc { g.mem } else { g.mem_max };
    if how != How::Offline && needs > target.memory_free {
        warnings.push(format!(
            "It needs {} of memory, and there are {} free where it goes: something may be killed there.",
            size(needs),
            size(target.memory_free)
        ));
    }
    if facts.says.is_none() && g.ha.is_some() {
        warnings.push(
            "This Proxmox cannot be asked whether rules of high availability allow it.".into(),
        );
    }
    warnings
}
