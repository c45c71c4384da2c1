//! Which node a pod goes to, and why: every node is told, chosen or not.
//!
//! Pure. The caller reads the nodes; the same facts always choose the same node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::LivePlace;
use super::process::too_old;
use super::{Match, PodSpec};
use crate::id::{NodeName, StorageId};
use crate::near::it_has;

/// A guest that is on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
}

/// A node a pod could go to.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The node, read just now.
    pub place: LivePlace,
    /// Guests on it.
    pub runs: Vec<Neighbour>,
    /// Why it could not be read, where it could not.
    pub unread: Option<String>,
}

/// Where a pod goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The node.
    pub node: NodeName,
    /// Storage of its root disk there.
    pub storage: StorageId,
    /// A sentence for each node: the chosen one first.
    pub why: Vec<String>,
}

/// A node that could take the pod.
struct Fit<'a> {
    candidate: &'a Candidate,
    storage: StorageId,
    room: u64,
    alike: usize,
    enough: bool,
}

/// Chooses a node.
///
/// # Errors
/// A sentence for each node that says why not; empty where there is no node.
pub fn choose(spec: &PodSpec, candidates: &[Candidate]) -> Result<Choice, Vec<String>> {
    let mut out = Vec::new();
    let mut fits: Vec<Fit<'_>> = Vec::new();
    for candidate in candidates {
        match fit(spec, candidate, candidates) {
            Ok(found) => fits.push(found),
            Err(why) => out.push(format!("{}: {why}.", candidate.place.node)),
        }
    }
    // Enough memory first, then few of the same kind, then much memory; the name makes it the same every time.
    fits.sort_by(|a, b| {
        let by_name = || a.candidate.place.node.as_str().cmp(b.candidate.place.node.as_str());
        b.enough
            .cmp(&a.enough)
            .then(a.alike.cmp(&b.alike))
            .then(b.candidate.place.memory_free.cmp(&a.candidate.place.memory_free))
            .then_with(by_name)
    });
    let Some(best) = fits.first() else { return Err(out) };
    let mut why = vec![format!("{}: {}.", best.candidate.place.node, facts(spec, best))];
    why.extend(
        fits.iter()
            .skip(1)
            .map(|f| format!("{} could take it: {}.", f.candidate.place.node, facts(spec, f))),
    );
    why.extend(out);
    Ok(Choice { node: best.candidate.place.node.clone(), storage: best.storage.clone(), why })
}

fn names<'a>(runs: impl Iterator<Item = &'a Neighbour>) -> String {
    let names: Vec<&str> = runs.map(|n| n.name.as_str()).collect();
    match names.len() {
        0..=3 => names.join(", "),
        n => format!("{} and {} more", names[..3].join(", "), n - 3),
    }
}

/// Guests on a node that a rule means, without the pod itself.
fn meant<'a>(
    spec: &'a PodSpec,
    candidate: &'a Candidate,
    rule: &'a Match,
) -> impl Iterator<Item = &'a Neighbour> {
    candidate.runs.iter().filter(move |n| n.name != spec.name && rule.meets(&n.tags))
}

fn fit<'a>(spec: &PodSpec, candidate: &'a Candidate, all: &[Candidate]) -> Result<Fit<'a>, String> {
    let (place, rules) = (&candidate.place, &spec.template.place);
    if let Some(node) = &spec.node
        && *node != place.node
    {
        return Err(format!("not asked for, {node} is"));
    }
    if !rules.wants(place.node.as_str()) {
        return Err(format!("not among {}", rules.nodes.join(", ")));
    }
    if let Some(why) = &candidate.unread {
        return Err(format!("could not be read: {why}"));
    }
    if !place.online {
        return Err("not online".into());
    }
    for rule in &rules.apart {
        let there = names(meant(spec, candidate, rule));
        if !there.is_empty() {
            return Err(format!("runs {there}, to be kept apart from {rule}"));
        }
    }
    for rule in &rules.together {
        let anywhere = all.iter().any(|c| meant(spec, c, rule).next().is_some());
        if anywhere && meant(spec, candidate, rule).next().is_none() {
            return Err(format!("runs no {rule}, to be kept together with it"));
        }
    }
    if spec.template.sets_process()
        && let Some(why) = too_old(place.version)
    {
        return Err(why.split(". ").next().unwrap_or_default().to_owned());
    }
    if !place.has_image {
        return Err(format!("has no image {}", spec.template.image));
    }
    if let Some(card) = spec.template.networks.iter().find(|c| !place.bridges.contains(&c.bridge)) {
        let have = it_has(&card.bridge, place.bridges.iter().map(String::as_str));
        return Err(format!("has no bridge {}.{}", card.bridge, have.trim_end_matches('.')));
    }
    let (storage, room) = storage(spec, place)?;
    let alike = rules.spread.iter().map(|rule| meant(spec, candidate, rule).count()).sum();
    let enough = place.memory_free >= spec.template.memory_mib << 20;
    Ok(Fit { candidate, storage, room, alike, enough })
}

/// The storage of the root disk: the one asked for, else the one with the most room.
fn storage(spec: &PodSpec, place: &LivePlace) -> Result<(StorageId, u64), String> {
    let template = &spec.template;
    let mut wanted: BTreeMap<Option<&StorageId>, u64> =
        BTreeMap::from([(template.root.storage.as_ref(), template.root.size_gib)]);
    for mount in template.mounts.iter().filter(|m| m.volume.is_none()) {
        let on = mount.storage.as_ref().or(template.root.storage.as_ref());
        *wanted.entry(on).or_default() += mount.size_gib;
    }
    for (storage, gib) in wanted.iter().filter_map(|(s, gib)| s.map(|s| (s, gib))) {
        match place.storages.get(storage) {
            None => {
                let have = place.storages.keys().map(StorageId::as_str);
                let have = it_has(storage.as_str(), have);
                return Err(format!(
                    "has no storage {storage} for container disks.{}",
                    have.trim_end_matches('.')
                ));
            }
            Some(free) if *free < gib << 30 => {
                return Err(format!(
                    "{storage} has {} free, {gib} GiB are asked for",
                    gib_of(*free)
                ));
            }
            Some(_) => {}
        }
    }
    if let Some(storage) = &template.root.storage {
        return Ok((storage.clone(), place.storages.get(storage).copied().unwrap_or(0)));
    }
    let asked = wanted.get(&None).copied().unwrap_or(0);
    place
        .storages
        .iter()
        .filter(|(_, free)| **free >= asked << 30)
        .max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.as_str().cmp(a.0.as_str())))
        .map(|(storage, free)| (storage.clone(), *free))
        .ok_or_else(|| format!("no storage has {asked} GiB free for container disks"))
}

fn gib_of(bytes: u64) -> String {
    let gib = bytes as f64 / (1u64 << 30) as f64;
    if gib < 1024.0 { format!("{gib:.1} GiB") } else { format!("{:.1} TiB", gib / 1024.0) }
}

/// What speaks for a node: `3.0 GiB memory free, 80.0 GiB on local-lvm, runs no other app=web`.
fn facts(spec: &PodSpec, fit: &Fit<'_>) -> String {
    let mut text = format!(
        "{} memory free{}, {} on {}",
        gib_of(fit.candidate.place.memory_free),
        if fit.enough { "" } else { " (less than asked for)" },
        gib_of(fit.room),
        fit.storage
    );
    let bridges: Vec<&str> =
        spec.template.networks.iter().map(|card| card.bridge.as_str()).collect();
    if !bridges.is_empty() {
        text.push_str(&format!(", has {}", bridges.join(", ")));
    }
    for rule in &spec.template.place.spread {
        match meant(spec, fit.candidate, rule).count() {
            0 => text.push_str(&format!(", runs no other {rule}")),
            n => text.push_str(&format!(", runs {n} other {rule}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn node(name: &str, free_gib: u64, runs: &[(&str, &str)]) -> Candidate {
        let mut place = LivePlace::unread(name.parse().unwrap());
        place.online = true;
        place.memory_free = free_gib << 30;
        place.has_image = true;
        place.bridges = vec!["vmbr0".into()];
        place.storages = [("local-lvm", 80u64), ("tank", 400)]
            .map(|(s, gib)| (s.parse().unwrap(), gib << 30))
            .into();
        let runs = runs
            .iter()
            .map(|(name, tag)| Neighbour { name: (*name).into(), tags: vec![(*tag).into()] })
            .collect();
        Candidate { place, runs, unread: None }
    }

    fn free() -> PodSpec {
        PodSpec { node: None, ..sample() }
    }

    #[test]
    fn the_node_with_the_most_memory_is_chosen_and_every_node_is_told() {
        let mut nodes = vec![node("pve1", 2, &[]), node("pve2", 8, &[]), node("pve3", 9, &[])];
        nodes[2].place.online = false;
        let choice = choose(&free(), &nodes).unwrap();
        assert_eq!((choice.node.as_str(), choice.storage.as_str()), ("pve2", "local-lvm"));
        assert_eq!(
            choice.why,
            [
                "pve2: 8.0 GiB memory free, 80.0 GiB on local-lvm, has vmbr0.",
                "pve1 could take it: 2.0 GiB memory free, 80.0 GiB on local-lvm, has vmbr0.",
                "pve3: not online.",
            ]
        );
    }

    #[test]
    fn rules_come_before_memory() {
        let nodes = vec![
            node("pve1", 2, &[("db-0", "app+db")]),
            node("pve2", 8, &[("web-1", "app+web")]),
            node("pve3", 9, &[("web-2", "app+web"), ("web-3", "app+web")]),
        ];
        let mut spec = free();
        spec.template.place.spread = vec!["app=web".parse().unwrap()];
        let choice = choose(&spec, &nodes).unwrap();
        assert_eq!(choice.node.as_str(), "pve1");
        assert!(choice.why[0].ends_with("runs no other app=web."), "{choice:?}");
        spec.template.place.nodes = vec!["!pve1".into()];
        assert_eq!(choose(&spec, &nodes).unwrap().node.as_str(), "pve2");
        spec.template.place.apart = vec!["app=web".parse().unwrap()];
        assert_eq!(
            choose(&spec, &nodes).unwrap_err(),
            [
                "pve1: not among !pve1.",
                "pve2: runs web-1, to be kept apart from app=web.",
                "pve3: runs web-2, web-3, to be kept apart from app=web.",
            ]
        );
        let mut spec = free();
        spec.template.place.together = vec!["app=db".parse().unwrap()];
        assert_eq!(choose(&spec, &nodes).unwrap().node.as_str(), "pve1");
        spec.template.place.together = vec!["app=cache".parse().unwrap()];
        assert_eq!(choose(&spec, &nodes).unwrap().node.as_str(), "pve3", "there is none yet");
    }

    #[test]
    fn a_storage_is_chosen_where_none_is_named() {
        let nodes = [node("pve1", 2, &[])];
        let mut spec = free();
        spec.template.root.storage = None;
        assert_eq!(choose(&spec, &nodes).unwrap().storage.as_str(), "tank");
        spec.template.root.size_gib = 500;
        assert_eq!(
            choose(&spec, &nodes).unwrap_err(),
            ["pve1: no storage has 500 GiB free for container disks."]
        );
        spec.template.root.storage = Some("local-lvm".parse().unwrap());
        spec.template.root.size_gib = 100;
        assert_eq!(
            choose(&spec, &nodes).unwrap_err(),
            ["pve1: local-lvm has 80.0 GiB free, 100 GiB are asked for."]
        );
    }

    #[test]
    fn too_little_memory_everywhere_is_said_and_not_refused() {
        let nodes = [node("pve1", 0, &[])];
        let choice = choose(&free(), &nodes).unwrap();
        assert!(choice.why[0].contains("(less than asked for)"), "{choice:?}");
        assert_eq!(choose(&free(), &[]), Err(vec![]));
    }
}
