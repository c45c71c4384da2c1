//! What a change of a guest's snapshots comes to on what was read just now.

use super::{SnapshotAction, SnapshotFacts, SnapshotStep, Snapshots, Taken};
use crate::alert::utc;
use crate::id::GuestKind;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned, describe, fingerprint, hash};
use crate::world::GuestStatus;

/// Snapshots named at most in a sentence.
const NAMED: usize = 8;

/// A moment as a plan says it.
fn moment(taken: &Taken) -> String {
    match taken.at_ms {
        // By the minute; nobody decides by a second.
        Some(ms) => format!("{} UTC", utc(ms).chars().take(16).collect::<String>()),
        None => "an unknown time".to_owned(),
    }
}

/// The names there are, for a sentence about one that is not there.
fn there(snapshots: &Snapshots) -> String {
    let names: Vec<&str> = snapshots.taken.iter().map(|t| t.name.as_str()).take(NAMED).collect();
    match names.as_slice() {
        [] => "It has none.".to_owned(),
        names => format!("It has {}.", names.join(", ")),
    }
}

/// Plans a change of a guest's snapshots.
pub fn plan_snapshot(action: &SnapshotAction, facts: &SnapshotFacts) -> Planned {
    let g = &facts.live.guest;
    let who = describe(g);
    let refused = |why: String| Planned::Refused { why };
    if let Some(lock) = &g.lock {
        return refused(format!(
            "{who} is locked by Proxmox ({lock}). Wait until that is over; `/task list` shows what holds it."
        ));
    }
    if g.status == GuestStatus::Unknown {
        return refused(format!(
            "Nobody can say whether {who} runs, because {} does not answer. Nothing was changed.",
            g.node
        ));
    }
    let made = match &action.change {
        SnapshotStep::Create { .. } => create(action, facts),
        SnapshotStep::Delete { .. } => delete(action, facts),
        SnapshotStep::Rollback { .. } => rollback(action, facts),
    };
    let made = match made {
        Ok(made) => made,
        Err(planned) => return *planned,
    };
    let rows = &facts.snapshots;
    Planned::Ready(Draft {
        name: g.name.clone(),
        target: who,
        // Which snapshots there are is part of what was confirmed: one of the same name may be another one.
        fingerprint: hash(&serde_json::json!([
            fingerprint(&facts.live),
            action.change,
            rows.taken,
            rows.current,
            made.steps
        ])),
        digest: facts.live.digest.clone(),
        effects: made.effects,
        changes: made.changes,
        warnings: made.warnings,
        steps: made.steps,
    })
}

struct Made {
    effects: Vec<String>,
    changes: Vec<Change>,
    warnings: Vec<String>,
    steps: Vec<StepKind>,
}

fn create(action: &SnapshotAction, facts: &SnapshotFacts) -> Result<Made, Box<Planned>> {
    let SnapshotStep::Create { name, note, ram } = &action.change else {
        return Err(Box::new(Planned::Refused { why: "that takes no snapshot".into() }));
    };
    let g = &facts.live.guest;
    let (who, short) = (describe(g), format!("{} {}", g.kind.short(), g.vmid));
    let refused = |why: String| Err(Box::new(Planned::Refused { why }));
    let runs = g.status != GuestStatus::Stopped;
    if g.template {
        return refused(format!("{who} is a template; templates do not change."));
    }
    if let Some(taken) = facts.snapshots.find(name) {
        return refused(format!(
            "{who} has a snapshot `{name}` already, taken {}. Give it another name.",
            moment(taken)
        ));
    }
    if facts.able == Some(false) {
        return refused(format!(
            "Proxmox cannot take snapshots of {who}: its disks lie on {}. Every disk has to lie on a storage that has snapshots, such as LVM-thin, ZFS or Ceph{}.",
            facts.storages.join(", "),
            if g.kind == GuestKind::Qemu { ", or be a qcow2 file" } else { "" }
        ));
    }
    if *ram && g.kind == GuestKind::Lxc {
        return refused(format!(
            "{who} is a container: Proxmox keeps the memory of machines only."
        ));
    }
    if *ram && !runs {
        return refused(format!("{who} is off, so there is no memory to keep with the snapshot."));
    }
    let disks = match facts.live.disks.len() {
        0 => String::new(),
        1 => " and its disk".to_owned(),
        n => format!(" and its {n} disks"),
    };
    let mut effects = vec![format!(
        "Take the snapshot `{name}` of {short}: its settings{disks} as they are then."
    )];
    if *ram {
        effects.push("Its memory is kept as well; it stands still while that is written.".into());
    }
    if !note.is_empty() {
        effects.push(format!("Note: {note}"));
    }
    let mut warnings = Vec::new();
    if runs && !ram {
        warnings.push(
            "It runs: what its programs have not written yet is not in the snapshot, as after a power cut."
                .into(),
        );
    }
    warnings.push("A snapshot is no backup: it lies on the same disks, and fills them.".into());
    Ok(Made {
        effects,
        changes: vec![Change {
            what: "Snapshots".into(),
            before: facts.snapshots.taken.len().to_string(),
            after: (facts.snapshots.taken.len() + 1).to_string(),
        }],
        warnings,
        steps: vec![StepKind::Snapshot(action.change.clone())],
    })
}

fn delete(action: &SnapshotAction, facts: &SnapshotFacts) -> Result<Made, Box<Planned>> {
    let (g, name) = (&facts.live.guest, action.change.snapshot());
    let who = describe(g);
    let Some(taken) = facts.snapshots.find(name) else {
        let why = format!("{who} has no snapshot `{name}`. {}", there(&facts.snapshots));
        return Err(Box::new(Planned::Nothing { why }));
    };
    let mut effects = vec![format!(
        "Delete the snapshot `{name}` of {} {}, taken {}.",
        g.kind.short(),
        g.vmid,
        moment(taken)
    )];
    effects.push("The guest as it is now stays, and so do its other snapshots.".into());
    if !taken.note.is_empty() {
        effects.push(format!("Its note: {}", taken.note));
    }
    Ok(Made {
        effects,
        changes: vec![Change {
            what: "Snapshots".into(),
            before: facts.snapshots.taken.len().to_string(),
            after: facts.snapshots.taken.len().saturating_sub(1).to_string(),
        }],
        warnings: vec!["This cannot be undone: nothing leads back to that moment any more.".into()],
        steps: vec![StepKind::Snapshot(action.change.clone())],
    })
}

fn rollback(action: &SnapshotAction, facts: &SnapshotFacts) -> Result<Made, Box<Planned>> {
    let (g, name) = (&facts.live.guest, action.change.snapshot());
    let (who, short) = (describe(g), format!("{} {}", g.kind.short(), g.vmid));
    let refused = |why: String| Err(Box::new(Planned::Refused { why }));
    let Some(taken) = facts.snapshots.find(name) else {
        return refused(format!("{who} has no snapshot `{name}`. {}", there(&facts.snapshots)));
    };
    if let Some(state) = &taken.unfinished {
        return refused(format!(
            "The snapshot `{name}` of {who} is not whole ({state}): it was broken off while it was being made or deleted."
        ));
    }
    let later = facts.snapshots.after(taken);
    if let (Some(disk), false) = (facts.newest_only.first(), later.is_empty()) {
        return refused(format!(
            "{disk} lies on ZFS, where only the newest snapshot can be gone back to. Taken after `{name}`: {}. Delete those first.",
            later.join(", ")
        ));
    }
    let since = moment(taken);
    // A machine whose memory was kept goes on from there by itself.
    let starts = g.status != GuestStatus::Stopped && !taken.ram;
    let mut effects = Vec::new();
    if g.status != GuestStatus::Stopped {
        effects.push(format!("Pull the plug of {short}: Proxmox does not shut it down for this."));
    }
    effects.push(format!("Put its settings and disks back to `{name}`, as they were {since}."));
    if taken.ram {
        effects.push("It runs on from there, with the memory that was kept.".into());
    } else if starts {
        effects.push("Start it again.".into());
    }
    if !later.is_empty() {
        let names = later.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        effects.push(format!("Snapshots taken later stay: {names}."));
    }
    let mut warnings =
        vec![format!("Everything written since {since} is lost: files, databases, settings.")];
    if g.is_pod() {
        warnings.push(
            "It is a pod: what goes back in its settings is told by `/pod show` as changed outside gantry."
                .into(),
        );
    }
    if let Some(state) = &g.ha {
        warnings.push(format!(
            "It is a high-availability resource ({state}): the HA manager may start it by itself."
        ));
    }
    warnings.push("This cannot be undone, unless a snapshot of now is taken first.".into());
    let mut steps = vec![StepKind::Snapshot(action.change.clone())];
    if starts {
        steps.push(StepKind::Start);
    }
    Ok(Made {
        effects,
        changes: vec![Change {
            what: "Disks and settings".into(),
            before: "as they are now".into(),
            after: format!("as of {since}"),
        }],
        warnings,
        steps,
    })
}
