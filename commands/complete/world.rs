//! Completion of what is in the clusters: nodes, storages, bridges, templates.

use gantry_core::action::Verb;
use gantry_core::policy::Target;
use gantry_core::world::{Found, Node, NodeState, find_guest};
use serenity::all::CreateAutocompleteResponse;

use super::{Any, Typing, offer, once};

/// Completes a cluster.
pub async fn cluster(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let seen = t.engine.views_for(&t.actor, t.verb);
        let found = seen.iter().filter(|v| {
            t.fits(v.cluster.as_str())
                && (!v.guests.is_empty() || t.may(Target::Within(&v.cluster)))
        });
        found.map(|v| (v.cluster.to_string(), v.cluster.to_string())).collect()
    })
}

/// Completes a node; those of another cluster than the one chosen are left out.
pub async fn node(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let many = t.engine.views().len() > 1;
        let mut found = Vec::new();
        for view in &t.views() {
            for node in view.nodes.iter().filter(|n| t.fits(n.name.as_str())) {
                let target = Target::Node(&view.cluster, &node.name);
                let allowed = if t.verb == Verb::PodCreate {
                    t.may(Target::Within(&view.cluster))
                } else {
                    t.may(target) || t.engine.may(&t.actor, Verb::NodeList, target).is_allowed()
                };
                if allowed {
                    let state = match node.state {
                        NodeState::Up => "up",
                        NodeState::Down => "down",
                        NodeState::Unknown => "not answering",
                    };
                    let place = if many { format!("{} · ", view.cluster) } else { String::new() };
                    found.push((format!("{} · {place}{state}", node.name), node.name.to_string()));
                }
            }
        }
        found
    })
}

/// Completes a node that the guest which was chosen is not on.
pub async fn other_node(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let views = t.engine.views_for(&t.actor, t.verb);
        let guest = match t.other("guest").map(|who| find_guest(&views, who)) {
            Some(Found::One(guest)) if t.may(Target::Guest(guest)) => Some(guest),
            _ => None,
        };
        let mut found = Vec::new();
        for view in t.views() {
            let meant = guest.is_none_or(|g| g.cluster == view.cluster);
            if !meant || !t.may(Target::Within(&view.cluster)) {
                continue;
            }
            let elsewhere = |n: &&Node| guest.is_none_or(|g| g.node != n.name);
            for node in view.nodes.iter().filter(elsewhere).filter(|n| t.fits(n.name.as_str())) {
                let state = match node.state {
                    NodeState::Up => {
                        let free = node.mem_max.saturating_sub(node.mem);
                        format!("{} of memory free", crate::card::bytes(free))
                    }
                    NodeState::Down => "down".to_owned(),
                    NodeState::Unknown => "not answering".to_owned(),
                };
                found.push((format!("{} · {state}", node.name), node.name.to_string()));
            }
        }
        once(found)
    })
}

/// Completes a container template.
pub async fn image(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let mut found = Vec::new();
        for view in t.views() {
            let within = Target::Within(&view.cluster);
            if t.engine.may(&t.actor, Verb::PodCreate, within).is_allowed() {
                let all = view.templates.iter().filter(|name| t.fits(name));
                found.extend(all.map(|name| (name.clone(), name.clone())));
            }
        }
        once(found)
    })
}

/// Completes a storage that is there, whatever it holds.
pub async fn any_storage(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let node = t.other("node");
        let mut found = Vec::new();
        for view in &t.views() {
            let here = view.storages.iter().filter(|s| {
                node.is_none_or(|n| s.node.as_str() == n)
                    && t.fits(s.id.as_str())
                    && t.may(Target::Node(&view.cluster, &s.node))
            });
            found.extend(here.map(|s| {
                let used = crate::card::percent(s.used as f64, s.total as f64);
                (format!("{} · {} · {used} used", s.id, s.kind), s.id.to_string())
            }));
        }
        once(found)
    })
}

/// Completes a storage that holds container disks.
pub async fn storage(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| storages(t, Verb::PodCreate, &["rootdir"]))
}

/// Storages of the chosen node, else of any, that hold one of `contents`, with what is free, for who may do `verb`.
pub(crate) fn storages(t: &Typing<'_>, verb: Verb, contents: &[&str]) -> Vec<(String, String)> {
    let node = t.other("node");
    let mut found = Vec::new();
    for view in &t.views() {
        if !t.engine.may(&t.actor, verb, Target::Within(&view.cluster)).is_allowed() {
            continue;
        }
        let here = view.storages.iter().filter(|s| {
            s.active
                && s.content.iter().any(|c| contents.contains(&c.as_str()))
                && node.is_none_or(|n| s.shared || s.node.as_str() == n)
                && t.fits(s.id.as_str())
        });
        found.extend(here.map(|s| {
            let free = crate::card::bytes(s.total.saturating_sub(s.used));
            (format!("{} · {} · {free} free", s.id, s.kind), s.id.to_string())
        }));
    }
    once(found)
}

/// Completes a bridge or vnet of the node that is chosen, else of any.
pub async fn bridge(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let node = t.other("node");
        let mut found = Vec::new();
        for view in t.views_within() {
            let bridges = t.engine.known_bridges(&view.cluster);
            let here = bridges.iter().filter(|(n, _)| node.is_none_or(|w| n.as_str() == w));
            for (_, name) in here.filter(|(_, b)| t.fits(b)) {
                let nodes = bridges.iter().filter(|(_, b)| b == name).count();
                let of = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
                found.push((format!("{name} · on {of}"), name.clone()));
            }
        }
        once(found)
    })
}
