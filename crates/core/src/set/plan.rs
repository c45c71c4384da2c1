//! What a command on a set would do, in people's words.

use sha2::{Digest, Sha256};

use super::action::{Choice, SetAction};
use super::diff::differences;
use super::loss::{self, lost_volumes};
use super::spec::{Keep, SetSpec, Update};
use super::state::Set;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned};
use crate::pod::Probe;
use crate::set::SetStep;
use crate::world::Guest;

/// Most lines of a difference on a card.
const LINES_MAX: usize = 12;
/// Pods named in a sentence before the rest is counted.
const NAMED_MAX: usize = 5;
/// Pods are deleted with their root disks.
const FOR_GOOD: &str = "What is on the pods' root disks is lost; this cannot be undone.";

/// What is true now, as far as a plan for a set rests on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetFacts {
    /// The set, where there is one.
    pub set: Option<Set>,
    /// Its pods that exist, by name.
    pub pods: Vec<String>,
    /// Ordinals whose volumes are there.
    pub volumes: usize,
    /// Ordinals for whose volumes a number is kept, ascending.
    pub keepers: Vec<u32>,
    /// What stands in the way on the nodes: no image, no bridge, not online, a sentence each.
    pub obstacles: Vec<String>,
    /// What stands in nobody's way but should be known, a sentence each.
    pub remarks: Vec<String>,
    /// Containers that own volumes which an earlier set of this name left, and which the ordinals that have no
    /// identity yet take up.
    pub left: Vec<Guest>,
    /// The drift that is there now, by fingerprint, where one is to be resolved.
    pub drift: Option<String>,
    /// Whether that is about the set's own pod.
    pub mendable: bool,
}

/// Plans a command on a set.
pub fn plan_set(action: &SetAction, facts: &SetFacts) -> Planned {
    let refused = |why: String| Planned::Refused { why };
    let nothing = |why: String| Planned::Nothing { why };
    let set = action.set();
    if let Some(now) = &facts.set
        && now.deleting.is_some()
    {
        return refused(format!("{set} is being deleted; wait until that is over."));
    }
    let draft = |effects, changes, warnings, steps| {
        Planned::Ready(Draft {
            name: set.name.clone(),
            target: format!("set {set}"),
            effects,
            changes,
            warnings,
            steps,
            fingerprint: fingerprint(action, facts),
            digest: String::new(),
        })
    };
    let both = || vec![StepKind::Set(SetStep::Record), StepKind::Set(SetStep::Converge)];
    let missing = || refused(format!("There is no set {set}. `/set list` shows which there are."));
    match action {
        SetAction::Put { spec, .. } => {
            let problems = spec.problems();
            if !problems.is_empty() {
                let list: Vec<String> =
                    problems.iter().map(|p| format!("**{}**: {}", p.field, p.why)).collect();
                return refused(list.join("\n"));
            }
            if !facts.obstacles.is_empty() {
                return refused(facts.obstacles.join("\n"));
            }
            match &facts.set {
                None => {
                    let warnings = [spec_warnings(spec), facts.remarks.clone()].concat();
                    let effects = [created(spec), taken_up(&facts.left)].concat();
                    draft(effects, begins(spec), warnings, both())
                }
                Some(now) => {
                    let changes = differences(now.spec(), spec);
                    if changes.is_empty() {
                        let again = match now.is_stuck() {
                            true => " Its rollout is halted; `/set rollout start` tries again.",
                            false => "",
                        };
                        return nothing(format!(
                            "{set} is already specified exactly like this.{again}"
                        ));
                    }
                    if let Some(why) = immutable(now.spec(), spec) {
                        return refused(why);
                    }
                    let mut warnings = [spec_warnings(spec), facts.remarks.clone()].concat();
                    if changes.len() > LINES_MAX {
                        warnings
                            .push(format!("And {} more differences.", changes.len() - LINES_MAX));
                    }
                    let mut effects = changed(now, spec);
                    if spec.replicas < now.spec().replicas {
                        warnings.push(FOR_GOOD.into());
                    }
                    if let Some(told) = loss::told(&set.name, &lost_volumes(action, facts)) {
                        effects.push(told);
                        warnings.push(loss::WARNING.into());
                    }
                    effects.extend(taken_up(&facts.left));
                    draft(effects, changes.into_iter().take(LINES_MAX).collect(), warnings, both())
                }
            }
        }
        SetAction::Pause { on, .. } => {
            let Some(now) = &facts.set else { return missing() };
            if now.paused.is_some() == *on {
                let state = if *on { "already paused" } else { "not paused" };
                return nothing(format!("The rollout of {set} is {state}."));
            }
            let effects = if *on {
                vec![
                    "Replace no more pods by newer ones until somebody resumes.".into(),
                    "Pods that are lost are still made again.".into(),
                ]
            } else {
                vec!["Go on replacing older pods.".into()]
            };
            let steps = if *on { vec![StepKind::Set(SetStep::Record)] } else { both() };
            draft(effects, Vec::new(), Vec::new(), steps)
        }
        SetAction::Delete { volumes, .. } => {
            if facts.set.is_none() {
                return missing();
            }
            let mut effects = vec![
                "Shut its pods down and delete them, from the highest ordinal down.".to_owned(),
                "Then forget the set with its revisions.".into(),
            ];
            let mut warnings = Vec::new();
            if !facts.pods.is_empty() {
                warnings.push(FOR_GOOD.to_owned());
            }
            let mut changes: Vec<Change> = facts
                .pods
                .iter()
                .take(LINES_MAX)
                .map(|pod| Change { what: "Pod".into(), before: pod.clone(), after: "gone".into() })
                .collect();
            match volumes {
                Keep::Retain if facts.volumes > 0 => effects.push(format!(
                    "The volumes of {} ordinals stay, in the containers called …-volumes.",
                    facts.volumes
                )),
                Keep::Retain => {}
                Keep::Delete => {
                    effects.push("Delete the volumes as well.".into());
                    warnings.push(loss::WARNING.into());
                    changes.push(Change {
                        what: "Volumes".into(),
                        before: format!("of {} ordinals", facts.volumes),
                        after: "gone".into(),
                    });
                }
            }
            draft(effects, changes, warnings, both())
        }
        SetAction::Resolve { pod, what, choice, drift, .. } => {
            if facts.set.is_none() {
                return missing();
            }
            if facts.drift.as_ref() != Some(drift) {
                return nothing(format!(
                    "{pod} is not as it was told any more. `/set show` says how it is now."
                ));
            }
            let changes = what.iter().map(|w| Change {
                what: "Drift".into(),
                before: w.clone(),
                after: resolved(*choice).into(),
            });
            let (effects, steps) = match choice {
                Choice::Adopt => (
                    vec![format!(
                        "Take {pod} as it is now for what it shall be. Its next replacement follows the set's template again."
                    )],
                    vec![StepKind::Set(SetStep::Record)],
                ),
                Choice::Ignore => (
                    vec![format!("Leave {pod} as it is, and do not speak of exactly this again.")],
                    vec![StepKind::Set(SetStep::Record)],
                ),
                Choice::Restore => (
                    vec![
                        format!(
                            "Shut {pod} down, delete it and make it again with the same identity."
                        ),
                        "Its volumes stay; what is on its root disk is lost.".into(),
                    ],
                    both(),
                ),
            };
            draft(effects, changes.take(LINES_MAX).collect(), Vec::new(), steps)
        }
        SetAction::Member { .. } => refused("that is done by gantry itself".into()),
    }
}

fn resolved(choice: Choice) -> &'static str {
    match choice {
        Choice::Adopt => "as it shall be",
        Choice::Restore => "made again",
        Choice::Ignore => "left alone",
    }
}

fn created(spec: &SetSpec) -> Vec<String> {
    let many = if spec.is_ordered() { "one after another" } else { "all at once" };
    let mut effects = vec![format!(
        "Create {} pods, {many}: {} to {}, on {}.",
        spec.replicas,
        pod_name(spec, spec.first_ordinal),
        pod_name(spec, spec.first_ordinal + spec.replicas.saturating_sub(1)),
        spec.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )];
    if spec.replicas == 0 {
        effects = vec!["Write the set down; it has no pods until it is scaled.".into()];
    }
    for volume in &spec.volumes {
        effects.push(format!(
            "Give each a volume {} of {} GiB on {}, mounted at {}. A stopped container called …-volumes owns it, so that it outlives the pod.",
            volume.name, volume.size_gib, volume.storage, volume.path
        ));
    }
    if let Some(service) = &spec.service {
        effects.push(format!(
            "Let {}.{} answer with the pods that are ready.",
            service.name, service.zone
        ));
    }
    effects
        .push("From then on keep it so: pods that are lost are made again, in your name.".into());
    effects
}

/// Whose volumes are taken up, as a sentence, where there are some.
fn taken_up(left: &[Guest]) -> Vec<String> {
    if left.is_empty() {
        return Vec::new();
    }
    let shown =
        left.iter().take(LINES_MAX).map(|g| format!("{} (CT {} on {})", g.name, g.vmid, g.node));
    let mut shown: Vec<String> = shown.collect();
    if left.len() > LINES_MAX {
        shown.push(format!("{} more", left.len() - LINES_MAX));
    }
    vec![format!(
        "Take up the volumes that an earlier set of this name left: {}.",
        shown.join(", ")
    )]
}

/// What a new set's pods are made from.
fn begins(spec: &SetSpec) -> Vec<Change> {
    let row =
        |what: &str, after: String| Change { what: what.to_owned(), before: String::new(), after };
    let template = &spec.template;
    let root = match &template.root.storage {
        Some(storage) => format!("{} GiB on {storage}", template.root.size_gib),
        None => format!("{} GiB", template.root.size_gib),
    };
    let cores = if template.cores == 1 { "core" } else { "cores" };
    let mut rows = vec![
        row("Image", template.image.clone()),
        row(
            "Each pod",
            format!("{} {cores} · {} MiB memory · {root}", template.cores, template.memory_mib),
        ),
        row("Numbers", format!("{} to {}", spec.vmids.from, spec.vmids.to)),
    ];
    let bridges: Vec<&str> = template.networks.iter().map(|n| n.bridge.as_str()).collect();
    if !bridges.is_empty() {
        let addresses = match &spec.addresses {
            Some(pool) => format!("addresses from {}", pool.first),
            None => "addresses as the template says".to_owned(),
        };
        rows.push(row("Network", format!("{}, {addresses}", bridges.join(", "))));
    }
    if let Some(health) = &template.health {
        let check = match &health.probe {
            Probe::Tcp { port } => format!("TCP port {port} takes connections"),
            Probe::Http { port, path, status } => format!("GET :{port}{path} answers {status}"),
            // The program only: words after it may be passwords.
            Probe::Command { run } => {
                format!("`{}` ends with 0", run.first().map_or("", String::as_str))
            }
        };
        let deadline = format!("within {} s after it was made", spec.progress_deadline_s);
        rows.push(row("Ready when", format!("{check}, {deadline}")));
    }
    rows
}

/// `1 pod`, `2 pods`.
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first few names, and how many more there are.
fn first_few(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn pod_name(spec: &SetSpec, ordinal: u32) -> String {
    format!("{}-{ordinal}", spec.name)
}

fn changed(now: &Set, spec: &SetSpec) -> Vec<String> {
    let mut effects = Vec::new();
    let old = now.spec();
    if spec.replicas > old.replicas {
        let more = usize::try_from(spec.replicas - old.replicas).unwrap_or(usize::MAX);
        effects.push(format!("Create {}.", counted(more, "more pod")));
    }
    if spec.replicas < old.replicas {
        let kept = match spec.on_scale_down {
            _ if !old.has_volumes() => "",
            Keep::Retain => "; their volumes stay",
            Keep::Delete => "; their volumes are deleted",
        };
        let gone = old.ordinals().rev().filter(|n| !spec.ordinals().contains(n));
        let gone: Vec<String> = gone.map(|n| pod_name(old, n)).collect();
        effects.push(format!(
            "Delete {}: {}, from the highest ordinal down{kept}.",
            counted(gone.len(), "pod"),
            first_few(&gone)
        ));
    }
    if spec.key() != now.newest.key {
        effects.push(match spec.update {
            Update::Rolling { partition, max_unavailable } => {
                let from = if partition > 0 {
                    format!(", ordinals from {partition} on")
                } else {
                    String::new()
                };
                format!(
                    "Replace pods by revision {}, {max_unavailable} at a time from the highest ordinal down{from}. \
                     Each must be ready within {} s, or the rollout halts and goes back.",
                    now.newest.number + 1,
                    spec.progress_deadline_s
                )
            }
            Update::OnDelete => {
                "Existing pods stay as they are until somebody deletes them.".into()
            }
        });
    }
    if effects.is_empty() {
        effects.push("Write it down; no pod has to be made or deleted for it.".into());
    }
    effects
}

fn spec_warnings(spec: &SetSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    if spec.on_scale_down == Keep::Delete && spec.has_volumes() {
        warnings.push("Volumes are deleted when a pod is scaled away.".into());
    }
    if spec.template.health.is_none() {
        warnings.push("No health check: a pod that runs counts as ready.".into());
    }
    warnings
}

/// Why `new` cannot follow `old`: what identities and volumes rest on does not change under them.
fn immutable(old: &SetSpec, new: &SetSpec) -> Option<String> {
    let mut what = Vec::new();
    if old.kind != new.kind {
        what.push("kind");
    }
    if old.vmids != new.vmids {
        what.push("vmids");
    }
    if old.volumes != new.volumes {
        what.push("volumes");
    }
    if old.first_ordinal != new.first_ordinal {
        what.push("first_ordinal");
    }
    let named = |spec: &SetSpec| spec.service.as_ref().map(|s| (s.name.clone(), s.zone.clone()));
    if old.service.is_some() && named(old) != named(new) {
        what.push("service");
    }
    (!what.is_empty()).then(|| {
        format!(
            "A set's {} cannot be changed: its pods' identities and volumes rest on that. \
             Create another set, or delete this one, keeping its volumes, and create it again.",
            what.join(", ")
        )
    })
}

/// Fingerprint of the facts: what the set shall be at this moment, and what is asked of it.
pub fn fingerprint(action: &SetAction, facts: &SetFacts) -> String {
    let set = facts.set.as_ref().map(|s| {
        serde_json::json!([
            s.newest.number,
            s.newest.spec,
            s.paused.is_some(),
            s.deleting,
            s.is_stuck()
        ])
    });
    let left: Vec<_> = facts.left.iter().map(|g| (g.vmid, &g.node)).collect();
    let lost = lost_volumes(action, facts);
    let value = serde_json::json!([action, set, facts.drift, left, lost]);
    hex::encode(Sha256::digest(value.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Health;
    use crate::set::SetRef;
    use crate::set::simulation::{World, sample, with_volumes};

    #[test]
    fn who_is_scaled_away_is_named_and_that_it_is_for_good() {
        let set = SetRef { cluster: "lab".parse().unwrap(), name: "web".into() };
        let facts = SetFacts {
            set: Some(crate::set::simulation::set_of(sample("web", 9))),
            pods: vec!["web-8".into()],
            ..SetFacts::default()
        };
        let plan = |action: SetAction| match plan_set(&action, &facts) {
            Planned::Ready(draft) => draft,
            other => panic!("{other:?}"),
        };
        let to = |replicas| SetAction::Put {
            set: set.clone(),
            spec: Box::new(sample("web", replicas)),
            why: "scaled".into(),
        };
        let few = plan(to(7));
        let told = "Delete 2 pods: web-8, web-7, from the highest ordinal down.";
        assert_eq!(few.effects, [told]);
        assert!(few.warnings.iter().any(|w| w == FOR_GOOD), "{:?}", few.warnings);
        let many = plan(to(2)).effects.join("");
        assert!(many.contains("web-8, web-7, web-6, web-5, web-4 and 2 more"), "{many}");
        assert_eq!(plan(to(10)).effects, ["Create 1 more pod."]);
        assert!(!plan(to(10)).warnings.iter().any(|w| w == FOR_GOOD));
        let whole = plan(SetAction::Delete { set: set.clone(), volumes: Keep::Retain });
        assert_eq!(whole.warnings, [FOR_GOOD]);
    }

    #[test]
    fn words_of_a_health_check_are_not_shown() {
        let check = |password: &str| {
            let run = ["redis-cli", "-a", password].map(str::to_owned).to_vec();
            let mut spec = sample("web", 1);
            spec.template.health = Some(Health::new(Probe::Command { run }));
            spec
        };
        let changed = differences(&check("hunter2"), &check("hunter3"));
        assert_eq!(changed.len(), 1);
        let begun = begins(&check("hunter2"));
        assert!(format!("{begun:?}").contains("redis-cli"));
        assert!(!format!("{changed:?}{begun:?}").contains("hunter"));
    }

    #[test]
    fn volumes_of_an_earlier_set_are_on_the_plan_and_belong_to_what_is_confirmed() {
        let set = SetRef { cluster: "lab".parse().unwrap(), name: "web".into() };
        let spec = Box::new(with_volumes(sample("web", 1)));
        let action = SetAction::Put { set, spec, why: "created".into() };
        let facts = |left| SetFacts { left, ..SetFacts::default() };
        let draft = |left| match plan_set(&action, &facts(left)) {
            Planned::Ready(draft) => draft,
            other => panic!("{other:?}"),
        };
        let world = World::new(sample("web", 1));
        let keeper = world.guest(799.try_into().unwrap(), "web-0-volumes", "pve1", vec![]);
        let (none, one) = (draft(vec![]), draft(vec![keeper]));
        assert_ne!(none.fingerprint, one.fingerprint);
        let shown = one.effects.join("\n");
        assert!(shown.contains("web-0-volumes (CT 799 on pve1)"), "{shown}");
        assert!(!none.effects.join("\n").contains("earlier set"));
    }
}
