//! Planning a new pod: whether its place can take it, and what would happen, in people's words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::process::too_old;
use super::{PodSpec, claims};
use crate::id::{ClusterId, NodeName, StorageId};
use crate::near::it_has;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned, hash};

/// Nodes told on a plan; more are only counted, so that it stays readable on a phone.
const PLACES_SHOWN: usize = 6;

/// Facts about the place where a pod shall be created, read just now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivePlace {
    /// The node.
    pub node: NodeName,
    /// Whether it is online.
    pub online: bool,
    /// Free memory of the node, bytes.
    pub memory_free: u64,
    /// Storages of the node that take container disks, with their free bytes.
    pub storages: BTreeMap<StorageId, u64>,
    /// Whether the image is there, or is fetched before.
    pub has_image: bool,
    /// Images that are there on the storage the wanted one is looked for on.
    #[serde(default)]
    pub images: Vec<String>,
    /// Bridges and vnets of the node.
    pub bridges: Vec<String>,
    /// Whether a guest of the cluster already has that name.
    pub name_taken: bool,
    /// Which ones do, as far as the asker may see them.
    pub same_name: Vec<String>,
    /// The node's version of Proxmox VE, where that matters and it told.
    pub version: Option<(u32, u32)>,
    /// When this was read, milliseconds.
    pub read_ms: i64,
}

impl LivePlace {
    /// A place nobody has looked at.
    pub fn unread(node: NodeName) -> Self {
        Self {
            node,
            online: false,
            memory_free: 0,
            storages: BTreeMap::new(),
            has_image: false,
            images: Vec::new(),
            bridges: Vec::new(),
            name_taken: false,
            same_name: Vec::new(),
            version: None,
            read_ms: 0,
        }
    }
}

impl LivePlace {
    /// The same where other guests may have the name: what is made is told apart by its number.
    #[must_use]
    pub fn with_any_name(mut self) -> Self {
        self.name_taken = false;
        self.same_name.clear();
        self
    }
}

/// Why the place cannot take the pod, the first reason found; `None` where it can.
fn refusal(spec: &PodSpec, place: &LivePlace) -> Option<String> {
    let (node, template) = (&place.node, &spec.template);
    let of_root = template.features.of_root();
    if !of_root.is_empty() {
        return Some(format!(
            "Proxmox lets only root@pam itself set {}, no API token. Create the pod without, set it on the node with `pct set`, then apply the specification with it.",
            of_root.join(" and ")
        ));
    }
    if !place.online {
        return Some(format!("{node} is not online."));
    }
    if place.name_taken {
        let which = match place.same_name.as_slice() {
            [] => String::new(),
            some => format!(": {}", some.join(", ")),
        };
        let name = &spec.name;
        return Some(format!(
            "There already is a guest called {name}{which}. Choose another name."
        ));
    }
    if template.sets_process()
        && let Some(why) = too_old(place.version)
    {
        return Some(format!("{node} {why}"));
    }
    if !place.has_image {
        return Some(format!(
            "{node} has no image {}, and where it comes from is not known.{} `/image prepare` brings what another node has, \
             `/image pull` fetches a template, a name:tag or an address.",
            template.image,
            it_has(&template.image, place.images.iter().map(String::as_str))
        ));
    }
    if let Some(card) = template.networks.iter().find(|c| !place.bridges.contains(&c.bridge)) {
        let have = place.bridges.iter().map(String::as_str);
        return Some(format!(
            "{node} has no bridge {}.{}",
            card.bridge,
            it_has(&card.bridge, have)
        ));
    }
    let Some(wanted) = asked_room(spec) else {
        return Some(format!("No storage on {node} was chosen for its disk."));
    };
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64);
    wanted.into_iter().find_map(|(storage, asked)| match place.storages.get(storage) {
        None => {
            let have = place.storages.keys().map(StorageId::as_str);
            Some(format!(
                "{node} has no storage {storage} for container disks.{}",
                it_has(storage.as_str(), have)
            ))
        }
        Some(free) if *free < asked << 30 => {
            Some(format!("{storage} on {node} has {} free; {asked} GiB are asked for.", gib(*free)))
        }
        Some(_) => None,
    })
}

/// What each storage has to have room for, GiB; `None` where no storage was chosen for the root disk.
fn asked_room(spec: &PodSpec) -> Option<BTreeMap<&StorageId, u64>> {
    let root = spec.template.root.storage.as_ref()?;
    let mut wanted = BTreeMap::from([(root, spec.template.root.size_gib)]);
    for mount in spec.template.mounts.iter().filter(|m| m.volume.is_none()) {
        *wanted.entry(mount.storage.as_ref().unwrap_or(root)).or_default() += mount.size_gib;
    }
    Some(wanted)
}

/// What a pod will be, a line each; `before` is what stands on the left.
fn rows(spec: &PodSpec) -> Vec<Change> {
    let template = &spec.template;
    let row = |what: &str, after: String| Change { what: what.into(), before: "–".into(), after };
    let storage = |s: Option<&StorageId>| s.map(|s| format!(" on {s}")).unwrap_or_default();
    let mut limits =
        format!("{} core{}", template.cores, if template.cores == 1 { "" } else { "s" });
    if let Some(limit) = template.cpu_limit {
        limits.push_str(&format!(", at most {limit}"));
    }
    let root = template.root.storage.as_ref();
    let mut rows = vec![
        row("Image", template.image.clone()),
        row("CPU", limits),
        row("Memory", format!("{} MiB, swap {} MiB", template.memory_mib, template.swap_mib)),
        row("Disk", format!("{} GiB{}", template.root.size_gib, storage(root))),
    ];
    for mount in &template.mounts {
        let what = match &mount.volume {
            Some(volume) => format!("{volume} at {}", mount.path),
            None => format!(
                "{} GiB{} at {}",
                mount.size_gib,
                storage(mount.storage.as_ref().or(root)),
                mount.path
            ),
        };
        rows.push(row("Volume", what));
    }
    rows.extend(template.networks.iter().map(|card| row("Network", card.describe())));
    if !template.env.0.is_empty() {
        // Names only: values may be nobody's business.
        let names: Vec<&str> = template.env.0.keys().map(String::as_str).collect();
        rows.push(row("Environment", names.join(", ")));
    }
    if let Some(health) = &template.health {
        rows.push(row("Health", health.describe()));
    }
    rows.push(row("Tags", spec.all_tags().join(", ")));
    if let Some(pool) = &template.pool {
        rows.push(row("Pool", pool.clone()));
    }
    rows
}

/// Plans a new pod that people ask for.
pub fn plan_new(spec: &PodSpec, cluster: &ClusterId, place: &LivePlace) -> Planned {
    let claimed = claims(spec, None);
    if !claimed.is_empty() {
        let list: Vec<String> =
            claimed.iter().map(|p| format!("**{}**: {}", p.field, p.why)).collect();
        return Planned::Refused { why: list.join("\n") };
    }
    plan_pod(spec, cluster, place)
}

/// Plans a new pod, also one that gantry makes by itself.
pub fn plan_pod(spec: &PodSpec, cluster: &ClusterId, place: &LivePlace) -> Planned {
    let problems = spec.problems();
    if !problems.is_empty() {
        let list: Vec<String> =
            problems.iter().map(|p| format!("**{}**: {}", p.field, p.why)).collect();
        return Planned::Refused { why: list.join("\n") };
    }
    if let Some(why) = refusal(spec, place) {
        return Planned::Refused { why };
    }
    let template = &spec.template;
    let mut warnings = Vec::new();
    if place.memory_free < template.memory_mib << 20 {
        warnings.push(format!(
            "{} has only {:.1} GiB of memory free; the pod may take {} MiB.",
            place.node,
            place.memory_free as f64 / (1u64 << 30) as f64,
            template.memory_mib
        ));
    }
    let mut effects = vec![format!(
        "Create an {}privileged container {} on {}, with the next free VMID.",
        if template.unprivileged { "un" } else { "" },
        spec.name,
        place.node
    )];
    let mut steps = vec![StepKind::CreatePod];
    if template.start {
        effects.push("Start it.".into());
        steps.push(StepKind::Start);
    }
    if template.boot.start {
        effects.push("It starts by itself when its node boots.".into());
    }
    Planned::Ready(Draft {
        name: spec.name.clone(),
        target: format!("{} (new pod on {}, {cluster})", spec.name, place.node),
        effects,
        changes: rows(spec),
        warnings,
        steps,
        fingerprint: hash(&serde_json::json!([
            cluster,
            spec,
            place.node,
            place.online,
            place.has_image,
            place
                .bridges
                .iter()
                .filter(|b| template.networks.iter().any(|c| c.bridge == **b))
                .collect::<Vec<_>>(),
            place.name_taken
        ])),
        digest: String::new(),
    })
}

/// Puts the fetch of its image before everything else on a plan: `step`, with what it does in words.
pub fn fetch_first(planned: &mut Planned, step: StepKind, effect: String) {
    let Planned::Ready(draft) = planned else { return };
    draft.steps.insert(0, step);
    draft.effects.insert(0, effect);
}

/// Tells on a plan why its node was chosen: `why` as `placement::choose` says it, the chosen one first.
pub fn tell_place(planned: &mut Planned, why: &[String]) {
    let Planned::Ready(draft) = planned else { return };
    let mut lines: Vec<String> = why.iter().take(PLACES_SHOWN).cloned().collect();
    if let Some(first) = lines.first_mut() {
        first.insert_str(0, "Chosen ");
    }
    if let Some(more) = why.len().checked_sub(PLACES_SHOWN).filter(|n| *n > 0) {
        lines.push(format!("{more} more nodes were looked at."));
    }
    let at = draft.effects.len().min(1);
    draft.effects.splice(at..at, lines);
}

#[cfg(test)]
mod tests {
    use super::super::{Env, sample};
    use super::*;

    fn place() -> LivePlace {
        let mut place = LivePlace::unread("pve1".parse().unwrap());
        place.online = true;
        place.memory_free = 8 << 30;
        place.storages = BTreeMap::from([("local-lvm".parse().unwrap(), 100 << 30)]);
        place.has_image = true;
        place.bridges = vec!["vmbr0".into()];
        place
    }

    fn refused(spec: &PodSpec, place: &LivePlace) -> Option<String> {
        match plan_pod(spec, &"lab".parse().unwrap(), place) {
            Planned::Refused { why } => Some(why),
            _ => None,
        }
    }

    #[test]
    fn a_name_that_is_taken_is_said_without_guests_that_may_not_be_seen() {
        let (spec, mut place) = (sample(), place());
        assert_eq!(refused(&spec, &place), None);
        (place.name_taken, place.same_name) = (true, vec!["lab/105".into()]);
        let why = refused(&spec, &place).unwrap();
        assert_eq!(why, "There already is a guest called web-0: lab/105. Choose another name.");
        place.same_name.clear();
        let why = refused(&spec, &place).unwrap();
        assert_eq!(why, "There already is a guest called web-0. Choose another name.");
        assert_eq!(refused(&spec, &place.with_any_name()), None);
    }

    #[test]
    fn what_runs_inside_takes_a_node_that_knows_it() {
        let (mut spec, mut place) = (sample(), place());
        place.version = Some((8, 4));
        assert_eq!(refused(&spec, &place), None, "nothing of it is asked for");
        spec.template.env = Env(BTreeMap::from([("PORT".into(), "80".into())]));
        let why = refused(&spec, &place).unwrap();
        assert!(
            why.starts_with("pve1 runs Proxmox VE 8.4; `env` and `entrypoint` need 9.1"),
            "{why}"
        );
        for version in [Some((9, 1)), Some((10, 0)), None] {
            place.version = version;
            assert_eq!(refused(&spec, &place), None, "{version:?}");
        }
    }
}
