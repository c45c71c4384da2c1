//! Planning what makes a pod what its specification says: one set of settings, disks that grow, a restart where one
//! is needed. No difference: nothing to do. What cannot be done is told, and then nothing is.

use super::diff::{Difference, Edit, Takes, differences, drift};
use super::process::{is_process, too_old};
use super::{NOTES_KEY, PodSpec, PodStep, Raw, claims, notes};
use crate::operation::StepKind;
use crate::plan::{Change, Draft, LiveGuest, Planned, describe, fingerprint, hash, snapshots_go};
use crate::world::GuestStatus;

/// A pod as it is, with all that is known of what it should have been.
#[derive(Debug, Clone, PartialEq)]
pub struct LivePod {
    /// The guest.
    pub live: LiveGuest,
    /// Its configuration, waiting changes included.
    pub raw: Raw,
    /// Settings that wait for its next start.
    pub waiting: Vec<String>,
    /// What was applied last, from the store or from its notes.
    pub applied: Option<PodSpec>,
    /// The operation that created it, as its notes say.
    pub created_by: String,
    /// Its node's version of Proxmox VE, where that was asked and told.
    pub version: Option<(u32, u32)>,
}

impl LivePod {
    /// Fingerprint of the facts a change rests on.
    pub fn fingerprint(&self) -> String {
        hash(&serde_json::json!([fingerprint(&self.live), self.waiting]))
    }
}

/// How a specification is applied.
#[derive(Debug, Clone, Copy)]
pub struct Applying<'a> {
    /// What it shall be.
    pub spec: &'a PodSpec,
    /// Only these settings; empty: all.
    pub only: &'a [String],
    /// Whether it is restarted where a change needs that.
    pub restart: bool,
    /// How long going down may take, seconds.
    pub timeout_s: u32,
}

/// What cannot be seen in the configuration, but is known from what was applied last.
fn unseen(spec: &PodSpec, pod: &LivePod) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut differs = |what: &str, is: String, shall: String, takes: Takes| {
        if is != shall {
            all.push(Difference { what: what.into(), is, shall, takes, edit: Edit::Nothing });
        }
    };
    if let Some(applied) = &pod.applied {
        let image = |s: &PodSpec| s.template.image.clone();
        differs("Image", image(applied), image(spec), Takes::Anew);
    }
    if let Some(node) = &spec.node {
        differs(
            "Node",
            pod.live.guest.node.to_string(),
            node.to_string(),
            Takes::Elsewhere(
                "gantry does not move pods: migrate it at Proxmox, or leave `node` out".into(),
            ),
        );
    }
    let pool = |pool: Option<&String>| pool.cloned().unwrap_or_else(|| "–".into());
    differs(
        "Pool",
        pool(pod.live.guest.pool.as_ref()),
        pool(spec.template.pool.as_ref()),
        Takes::Elsewhere("put it into that pool at Proxmox, then apply again".into()),
    );
    all
}

fn line(d: &Difference) -> String {
    format!("**{}**: {} → {}", d.what, d.is, d.shall)
}

/// Why nothing can be done to it now.
fn refusal(spec: &PodSpec, pod: &LivePod) -> Option<String> {
    let g = &pod.live.guest;
    if !g.is_pod() {
        return Some(format!("{} is not a pod: gantry does not own it.", describe(g)));
    }
    if spec.name != g.name {
        return Some(format!("{} is not called {}; a pod keeps its name.", describe(g), spec.name));
    }
    if let Some(lock) = &g.lock {
        return Some(format!(
            "{} is locked by Proxmox ({lock}). Wait until that is over; `/task list` shows what holds it. If nothing does, `/guest unlock` takes it off.",
            describe(g)
        ));
    }
    match g.status {
        GuestStatus::Running | GuestStatus::Stopped => None,
        GuestStatus::Unknown => Some(format!(
            "Nobody can say whether {} runs, because {} does not answer. Nothing was changed.",
            describe(g),
            g.node
        )),
        frozen => Some(format!("{} is {}; resume it first.", describe(g), frozen.as_str())),
    }
}

/// Plans it.
pub fn plan_apply(how: &Applying<'_>, pod: &LivePod) -> Planned {
    let (spec, g) = (how.spec, &pod.live.guest);
    let mut problems = spec.problems();
    if how.only.is_empty() {
        problems.extend(claims(spec, Some((g.vmid, &pod.raw))));
    }
    if !problems.is_empty() {
        let list: Vec<String> =
            problems.iter().map(|p| format!("**{}**: {}", p.field, p.why)).collect();
        return Planned::Refused { why: list.join("\n") };
    }
    if let Some(why) = refusal(spec, pod) {
        return Planned::Refused { why };
    }
    let mut all = differences(spec, &pod.raw);
    all.extend(unseen(spec, pod));
    if !how.only.is_empty() {
        all.retain(|d| how.only.iter().any(|key| key == d.key()) || stuck(how.only, d));
    }
    let process = |d: &Difference| matches!(&d.edit, Edit::Set(key, _) if is_process(key));
    if all.iter().any(process)
        && let Some(why) = too_old(pod.version)
    {
        return Planned::Refused { why: format!("{} {why}", g.node) };
    }
    let anew: Vec<String> = all.iter().filter(|d| d.takes == Takes::Anew).map(line).collect();
    if !anew.is_empty() {
        return Planned::Refused {
            why: format!(
                "That can only be chosen when a pod is created; delete {} and create it anew, its disks go with it:\n{}",
                spec.name,
                anew.join("\n")
            ),
        };
    }
    let elsewhere: Vec<String> = all
        .iter()
        .filter_map(|d| match &d.takes {
            Takes::Elsewhere(why) => Some(format!("{}: {why}", line(d))),
            _ => None,
        })
        .collect();
    if !elsewhere.is_empty() {
        return Planned::Refused {
            why: format!("gantry cannot do that; nothing was changed:\n{}", elsewhere.join("\n")),
        };
    }
    ready(how, pod, all, g.status == GuestStatus::Running)
}

/// What was asked for and cannot be sent is told even where only some settings are looked at.
fn stuck(only: &[String], d: &Difference) -> bool {
    d.edit == Edit::Nothing
        && only.iter().any(|key| matches!((key.as_str(), d.what.as_str()), ("rootfs", "Root disk")))
}

fn ready(how: &Applying<'_>, pod: &LivePod, all: Vec<Difference>, running: bool) -> Planned {
    let (spec, g) = (how.spec, &pod.live.guest);
    let mut edits: Vec<Edit> =
        all.iter().map(|d| d.edit.clone()).filter(|e| !matches!(e, Edit::Grow(..))).collect();
    let wanted = notes(spec, &pod.created_by);
    let told = pod.raw.get(NOTES_KEY).map_or("", |t| t.trim_end());
    if told != wanted.trim_end() {
        edits.push(Edit::Set(NOTES_KEY.to_owned(), wanted));
    }
    let mut steps = Vec::new();
    if !edits.is_empty() {
        steps.push(StepKind::Pod(PodStep::Configure { edits }));
    }
    steps.extend(all.iter().filter_map(|d| match &d.edit {
        Edit::Grow(disk, size_gib) => {
            Some(StepKind::Pod(PodStep::Grow { disk: disk.clone(), size_gib: *size_gib }))
        }
        _ => None,
    }));
    let mut waiting: Vec<String> = all
        .iter()
        .filter(|d| running && d.takes == Takes::Restart)
        .map(|d| d.what.clone())
        .collect();
    waiting.extend(pod.waiting.iter().filter(|_| running && how.only.is_empty()).cloned());
    waiting.dedup();
    let (mut effects, mut warnings) = (Vec::new(), drifted(how, pod, &all));
    if steps.is_empty() && waiting.is_empty() {
        return Planned::Nothing {
            why: format!("{} already is what the specification says.", describe(g)),
        };
    }
    if all.iter().any(|d| !matches!(d.edit, Edit::Grow(..))) {
        effects.push(format!("Change the settings of {} {}.", g.kind.short(), g.vmid));
    } else if steps.iter().any(|s| matches!(s, StepKind::Pod(PodStep::Configure { .. }))) {
        effects.push("Keep the new specification in its notes.".into());
    }
    for d in all.iter().filter(|d| matches!(d.edit, Edit::Grow(..))) {
        effects.push(format!("Grow {} to {}. A disk never shrinks again.", d.what, d.shall));
    }
    if !waiting.is_empty() && how.restart {
        effects.push(format!(
            "Restart it, waiting up to {} s for it to go down: {} only then.",
            how.timeout_s,
            join(&waiting)
        ));
        steps.push(StepKind::Reboot { timeout_s: how.timeout_s });
    } else if !waiting.is_empty() {
        if steps.is_empty() {
            return Planned::Nothing {
                why: format!(
                    "{} is set up as the specification says; {} only after its next start. `/pod restart` does that.",
                    describe(g),
                    join(&waiting)
                ),
            };
        }
        warnings.push(format!("{} only after its next start.", join(&waiting)));
    }
    Planned::Ready(Draft {
        name: g.name.clone(),
        target: describe(g),
        effects,
        changes: all
            .iter()
            .map(|d| Change { what: d.what.clone(), before: d.is.clone(), after: d.shall.clone() })
            .collect(),
        warnings,
        steps,
        fingerprint: pod.fingerprint(),
        digest: pod.live.digest.clone(),
    })
}

fn join(what: &[String]) -> String {
    let verb = if what.len() == 1 { "changes" } else { "change" };
    format!("{} {verb}", what.join(", "))
}

/// What somebody else changed since the pod was applied last, and what becomes of it.
fn drifted(how: &Applying<'_>, pod: &LivePod, all: &[Difference]) -> Vec<String> {
    let Some(applied) = &pod.applied else {
        return vec![
            "What was applied last is not known, so foreign changes cannot be told apart.".into(),
        ];
    };
    drift(applied, &pod.raw)
        .into_iter()
        .filter(|d| how.only.is_empty() || how.only.iter().any(|key| key == d.key()))
        .map(|d| {
            let put_back = all.iter().any(|a| a.what == d.what);
            let then = if put_back { "is changed with this" } else { "stays as it is" };
            format!(
                "Changed outside gantry: {} is {}, {} was applied; it {then}.",
                d.what, d.is, d.shall
            )
        })
        .collect()
}

/// Plans deleting what the creation `operation` left behind: only what it created itself, only while it is off, and only
/// when nothing shows that it was put to use since; `used` says what does, as a sentence.
pub fn plan_clean(operation: &str, pod: Option<&LivePod>, used: Option<&str>) -> Planned {
    let Some(pod) = pod else {
        return Planned::Nothing { why: "Nothing of it is left at Proxmox.".into() };
    };
    let g = &pod.live.guest;
    let refused = |why: String| Planned::Refused { why };
    if pod.created_by != operation {
        return refused(format!(
            "{} was not created by that operation. Nothing was deleted.",
            describe(g)
        ));
    }
    if let Some(lock) = &g.lock {
        return refused(format!(
            "{} is locked by Proxmox ({lock}). Wait until that is over.",
            describe(g)
        ));
    }
    if g.status != GuestStatus::Stopped {
        return refused(format!(
            "{} is {}; it is in use. `/pod delete` deletes it after asking for its name.",
            describe(g),
            g.status.as_str()
        ));
    }
    if pod.live.protected {
        return refused(format!("{} is protected against deletion.", describe(g)));
    }
    if let Some(used) = used {
        return refused(format!(
            "{used} It may be in use. `/pod delete` deletes {}, whatever became of it.",
            describe(g)
        ));
    }
    Planned::Ready(Draft {
        name: g.name.clone(),
        target: describe(g),
        effects: vec![format!(
            "Delete {} {} with its disks: it was created by {operation} and never finished.",
            g.kind.short(),
            g.vmid
        )],
        changes: vec![Change {
            what: "Status".into(),
            before: "stopped".into(),
            after: "gone".into(),
        }],
        warnings: snapshots_go(&pod.live).into_iter().collect(),
        steps: vec![StepKind::Delete],
        fingerprint: fingerprint(&pod.live),
        digest: pod.live.digest.clone(),
    })
}
