//! Autocompletion: from the inventory in memory, never from Proxmox or the database, so it cannot be late.
//! Offers only what the asker may see, and guests only where the verb makes sense.

use std::sync::Arc;

use gantry_core::action::Verb;
use gantry_core::policy::{Actor, Target};
use gantry_core::world::{ClusterView, Guest, GuestStatus};
use gantry_engine::Engine;
use serenity::all::{
    AutocompleteChoice, CreateAutocompleteResponse, ResolvedOption, ResolvedValue,
};

use crate::actor::actor;
use crate::face::Context;
use crate::paint::{OPTION_TEXT_MAX, OPTIONS_MAX, label, units};

/// Most guests whose rights are looked up for one answer: bounds the work of a keystroke. Whoever is not among
/// them is found by typing more of the name, or by typing it whole.
pub const LOOKED_AT_MAX: usize = 10_000;

/// Whether a verb can do something to a guest in its state; unknown states are never left out.
pub fn makes_sense(verb: Verb, guest: &Guest) -> bool {
    use GuestStatus::{Paused, Running, Stopped, Suspended, Unknown};
    let status = guest.status;
    match verb {
        Verb::GuestStart | Verb::PodStart => matches!(status, Stopped | Unknown) && !guest.template,
        Verb::GuestShutdown
        | Verb::GuestStop
        | Verb::PodStop
        | Verb::GuestReboot
        | Verb::PodRestart
        | Verb::GuestSuspend => matches!(status, Running | Unknown),
        Verb::GuestKill | Verb::PodKill => status != Stopped,
        Verb::GuestResume => matches!(status, Paused | Suspended | Unknown),
        _ => true,
    }
}

/// A guest as it stands in the list: `web-0 · CT 201 · pve1 · running`.
pub fn guest_label(guest: &Guest, with_cluster: bool) -> String {
    let place = if with_cluster {
        format!("{}/{}", guest.cluster, guest.node)
    } else {
        guest.node.to_string()
    };
    let rest =
        format!(" · {} {} · {place} · {}", guest.kind.short(), guest.vmid, guest.status.as_str());
    let room = OPTION_TEXT_MAX.saturating_sub(units(&rest)).max(8);
    label(&(label(&guest.name, room) + &rest), OPTION_TEXT_MAX)
}

/// Guests for what has been typed so far: names that begin with it first, then names and numbers that contain it.
pub fn guests<'a>(
    views: &'a [Arc<ClusterView>],
    verb: Verb,
    typed: &str,
    may: impl Fn(&Guest) -> bool,
) -> Vec<&'a Guest> {
    let typed = typed.trim().to_lowercase();
    let (cluster, text) = match typed.split_once('/') {
        Some((c, t)) if views.iter().any(|v| v.cluster.as_str() == c) => (Some(c), t),
        _ => (None, typed.as_str()),
    };
    let mut first: Vec<&Guest> = Vec::new();
    let mut then: Vec<&Guest> = Vec::new();
    let mut looked_at = 0;
    let all = views
        .iter()
        .filter(|v| cluster.is_none_or(|c| v.cluster.as_str() == c))
        .flat_map(|v| &v.guests);
    for guest in all {
        if (verb.is_pod() && !guest.is_pod()) || !makes_sense(verb, guest) {
            continue;
        }
        let begins = starts(&guest.name, text) || guest.vmid.to_string().starts_with(text);
        if !begins && !contains(&guest.name, text) {
            continue;
        }
        looked_at += 1;
        if looked_at > LOOKED_AT_MAX {
            break;
        }
        let list = if begins { &mut first } else { &mut then };
        if list.len() < OPTIONS_MAX && may(guest) {
            list.push(guest);
        }
        if first.len() == OPTIONS_MAX {
            break;
        }
    }
    first.sort_by(|a, b| (&a.name, a.vmid).cmp(&(&b.name, b.vmid)));
    first.into_iter().chain(then).take(OPTIONS_MAX).collect()
}

/// Both sides in small letters, without building a string where names are ASCII, as Proxmox wants them.
fn starts(name: &str, text: &str) -> bool {
    if name.is_ascii() && text.is_ascii() {
        name.len() >= text.len()
            && name.as_bytes()[..text.len()].eq_ignore_ascii_case(text.as_bytes())
    } else {
        name.to_lowercase().starts_with(text)
    }
}

fn contains(name: &str, text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    if name.is_ascii() && text.is_ascii() {
        name.as_bytes().windows(text.len()).any(|w| w.eq_ignore_ascii_case(text.as_bytes()))
    } else {
        name.to_lowercase().contains(text)
    }
}

/// Who types, and behind what; `None` outside a server.
pub(crate) fn asker<'a>(ctx: Context<'a>) -> Option<(Actor, &'a Engine)> {
    let i = ctx.interaction;
    let actor = actor(i.guild_id, i.member.as_deref(), i.channel_id, i.channel.as_ref())?;
    Some((actor, ctx.framework.user_data.engine()))
}

/// The verb a command asks for: `pod delete` is `pod.delete`.
pub(crate) fn verb_of(ctx: Context<'_>) -> Option<Verb> {
    ctx.command().qualified_name.replace(' ', ".").parse().ok()
}

/// Another option of the same command, as far as it is filled in.
pub(crate) fn other<'a>(options: &'a [ResolvedOption<'a>], name: &str) -> Option<&'a str> {
    options.iter().find(|o| o.name == name).and_then(|o| match &o.value {
        ResolvedValue::String(text) => Some(*text),
        ResolvedValue::Autocomplete { value, .. } => Some(*value),
        _ => None,
    })
}

pub(crate) fn answer(choices: Vec<(String, String)>) -> CreateAutocompleteResponse {
    let choices = choices
        .into_iter()
        .filter(|(_, value)| !value.is_empty() && units(value) <= OPTION_TEXT_MAX)
        .take(OPTIONS_MAX)
        .map(|(name, value)| AutocompleteChoice::new(label(&name, OPTION_TEXT_MAX), value))
        .collect();
    CreateAutocompleteResponse::new().set_choices(choices)
}

/// Completes a guest or pod.
pub async fn guest(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    if !engine.may(&actor, verb, Target::Any).is_allowed() {
        return answer(Vec::new());
    }
    let views = engine.views();
    let found =
        guests(&views, verb, typed, |g| engine.may(&actor, verb, Target::Guest(g)).is_allowed());
    let many = views.len() > 1;
    answer(found.into_iter().map(|g| (guest_label(g, many), g.address().to_string())).collect())
}

/// Completes a cluster.
pub async fn cluster(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let typed = typed.to_lowercase();
    let seen = engine.views_for(&actor, verb);
    let found = seen.iter().filter(|v| {
        v.cluster.as_str().to_lowercase().contains(&typed)
            && (!v.guests.is_empty()
                || engine.may(&actor, verb, Target::Within(&v.cluster)).is_allowed())
    });
    answer(found.map(|v| (v.cluster.to_string(), v.cluster.to_string())).collect())
}

/// Completes a forward the asker may remove.
pub async fn forward(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let Some((actor, engine)) = asker(ctx) else { return answer(Vec::new()) };
    let typed = typed.to_lowercase();
    let mut found = Vec::new();
    for forward in engine.known_forwards() {
        let label = format!("{} ({})", forward.spec, forward.spec.cluster);
        let fits = label.to_lowercase().contains(&typed) || forward.id.as_str().contains(&typed);
        if fits && engine.may_remove(&actor, &forward).is_allowed() {
            found.push((label, forward.id.to_string()));
        }
        if found.len() == OPTIONS_MAX {
            break;
        }
    }
    answer(found)
}

/// Completes a node; those of another cluster than the one chosen are left out.
pub async fn node(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let only = other(ctx.args, "cluster");
    let typed = typed.to_lowercase();
    let views = engine.views();
    let many = views.len() > 1;
    let mut found = Vec::new();
    for view in views.iter().filter(|v| only.is_none_or(|c| v.cluster.as_str() == c)) {
        for node in view.nodes.iter().filter(|n| n.name.as_str().to_lowercase().contains(&typed)) {
            let target = Target::Node(&view.cluster, &node.name);
            let allowed = if verb == Verb::PodCreate {
                engine.may(&actor, verb, Target::Within(&view.cluster)).is_allowed()
            } else {
                engine.may(&actor, verb, target).is_allowed()
                    || engine.may(&actor, Verb::NodeList, target).is_allowed()
            };
            if allowed {
                let state = match node.state {
                    gantry_core::world::NodeState::Up => "up",
                    gantry_core::world::NodeState::Down => "down",
                    gantry_core::world::NodeState::Unknown => "not answering",
                };
                let place = if many { format!("{} · ", view.cluster) } else { String::new() };
                found.push((format!("{} · {place}{state}", node.name), node.name.to_string()));
            }
        }
    }
    answer(found)
}

/// Completes a container template.
pub async fn image(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let Some((actor, engine)) = asker(ctx) else { return answer(Vec::new()) };
    let only = other(ctx.args, "cluster");
    let typed = typed.to_lowercase();
    let views = engine.views();
    let mut found: Vec<(String, String)> = views
        .iter()
        .filter(|v| only.is_none_or(|c| v.cluster.as_str() == c))
        .filter(|v| engine.may(&actor, Verb::PodCreate, Target::Within(&v.cluster)).is_allowed())
        .flat_map(|v| &v.templates)
        .filter(|t| t.to_lowercase().contains(&typed))
        .map(|t| (t.clone(), t.clone()))
        .collect();
    found.sort();
    found.dedup();
    answer(found)
}

/// Completes a rule of alerts.
pub async fn rule(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    if !engine.may(&actor, verb, Target::Any).is_allowed() {
        return answer(Vec::new());
    }
    let typed = typed.to_lowercase();
    let all = engine.rule_names();
    let fits = |(id, title): &&(String, String)| {
        id.contains(&typed) || title.to_lowercase().contains(&typed)
    };
    let shown = all.iter().filter(fits).map(|(id, title)| (format!("{id} · {title}"), id.clone()));
    answer(shown.collect())
}

/// Completes a set.
pub async fn set(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let Some((actor, engine)) = asker(ctx) else { return answer(Vec::new()) };
    let typed = typed.to_lowercase();
    let sets = engine.sets();
    let found = sets
        .iter()
        .map(|s| s.address())
        .filter(|s| s.to_string().to_lowercase().contains(&typed))
        .filter(|s| engine.may_set(&actor, Verb::SetShow, s).is_allowed());
    answer(found.map(|s| (s.to_string(), s.to_string())).collect())
}

/// Completes a storage that is there, whatever it holds.
pub async fn any_storage(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let (only, node) = (other(ctx.args, "cluster"), other(ctx.args, "node"));
    let typed = typed.to_lowercase();
    let mut found: Vec<(String, String)> = engine
        .views()
        .iter()
        .filter(|v| only.is_none_or(|c| v.cluster.as_str() == c))
        .flat_map(|v| v.storages.iter().map(move |s| (&v.cluster, s)))
        .filter(|(_, s)| node.is_none_or(|n| n.is_empty() || s.node.as_str() == n))
        .filter(|(_, s)| s.id.as_str().to_lowercase().contains(&typed))
        .filter(|(c, s)| engine.may(&actor, verb, Target::Node(c, &s.node)).is_allowed())
        .map(|(_, s)| {
            let used = crate::card::percent(s.used as f64, s.total as f64);
            (format!("{} · {} · {used} used", s.id, s.kind), s.id.to_string())
        })
        .collect();
    found.sort_by(|a, b| a.1.cmp(&b.1));
    found.dedup_by(|a, b| a.1 == b.1);
    answer(found)
}

/// Completes a storage that holds container disks.
pub async fn storage(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let Some((actor, engine)) = asker(ctx) else { return answer(Vec::new()) };
    let (only, node) = (other(ctx.args, "cluster"), other(ctx.args, "node"));
    let typed = typed.to_lowercase();
    let views = engine.views();
    let mut found: Vec<(String, String)> = views
        .iter()
        .filter(|v| only.is_none_or(|c| v.cluster.as_str() == c))
        .filter(|v| engine.may(&actor, Verb::PodCreate, Target::Within(&v.cluster)).is_allowed())
        .flat_map(|v| &v.storages)
        .filter(|s| s.active && s.content.iter().any(|c| c == "rootdir"))
        .filter(|s| node.is_none_or(|n| n.is_empty() || s.shared || s.node.as_str() == n))
        .filter(|s| s.id.as_str().to_lowercase().contains(&typed))
        .map(|s| {
            let free = crate::card::bytes(s.total.saturating_sub(s.used));
            (format!("{} · {} · {free} free", s.id, s.kind), s.id.to_string())
        })
        .collect();
    found.sort_by(|a, b| a.1.cmp(&b.1));
    found.dedup_by(|a, b| a.1 == b.1);
    answer(found)
}

/// Completes a bridge or vnet of the node that is chosen, else of any.
pub async fn bridge(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let (only, node) = (other(ctx.args, "cluster"), other(ctx.args, "node"));
    let typed = typed.to_lowercase();
    let mut found: Vec<(String, String)> = Vec::new();
    for view in engine.views().iter().filter(|v| only.is_none_or(|c| v.cluster.as_str() == c)) {
        if !engine.may(&actor, verb, Target::Within(&view.cluster)).is_allowed() {
            continue;
        }
        let bridges = engine.known_bridges(&view.cluster);
        let here =
            bridges.iter().filter(|(n, _)| node.is_none_or(|w| w.is_empty() || n.as_str() == w));
        for (_, name) in here.filter(|(_, b)| b.to_lowercase().contains(&typed)) {
            let nodes = bridges.iter().filter(|(_, b)| b == name).count();
            let of = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
            found.push((format!("{name} · on {of}"), name.clone()));
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.1 == b.1);
    answer(found)
}

/// Completes an operation of lately that was asked for on this server.
pub async fn operation(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let typed = typed.trim().to_lowercase();
    let ops = engine.recent_operations();
    let found = ops
        .iter()
        .filter(|op| op.guild == Some(actor.guild))
        .filter(|op| contains(op.id.as_str(), &typed) || contains(&op.words, &typed))
        .filter(|op| crate::show::may_action(engine, &actor, verb, &op.action, op.by).is_allowed())
        .map(|op| (format!("{} · {}", op.words, op.state.as_str()), op.id.to_string()));
    answer(found.collect())
}

/// Completes a task of Proxmox seen lately; only those that run where one shall be stopped.
pub async fn task(
    ctx: poise::Context<'_, crate::Face, crate::FaceError>,
    typed: &str,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let only = other(ctx.args, "cluster");
    let typed = typed.trim().to_lowercase();
    let mut found: Vec<(i64, String, String)> = Vec::new();
    for view in engine.views().iter().filter(|v| only.is_none_or(|c| v.cluster.as_str() == c)) {
        for task in engine.recent_tasks(&view.cluster).iter() {
            let upid = &task.upid;
            let state = task.status.as_deref().unwrap_or("running");
            let words = format!("{} {} · {} · {state}", upid.kind(), upid.id(), upid.node());
            let asked = verb != Verb::TaskCancel || task.status.is_none();
            if asked
                && (contains(upid.as_str(), &typed) || contains(&words, &typed))
                && engine.may_task(&actor, verb, &view.cluster, upid).is_allowed()
            {
                found.push((task.started_ms, words, upid.to_string()));
            }
        }
    }
    found.sort_by_key(|(started_ms, _, _)| std::cmp::Reverse(*started_ms));
    answer(found.into_iter().map(|(_, words, upid)| (words, upid)).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use gantry_core::id::GuestKind;

    use super::*;

    fn guest(vmid: u32, name: &str, status: GuestStatus) -> Guest {
        Guest {
            cluster: "lab".parse().unwrap(),
            vmid: vmid.try_into().unwrap(),
            kind: GuestKind::Lxc,
            name: name.into(),
            node: "pve1".parse().unwrap(),
            status,
            lock: None,
            tags: vec![],
            pool: None,
            template: false,
            cpu: 0.0,
            cores: 1.0,
            mem: 0,
            mem_max: 0,
            disk: 0,
            disk_max: 0,
            uptime_s: 0,
            ha: None,
        }
    }

    fn view(guests: Vec<Guest>) -> Vec<Arc<ClusterView>> {
        let mut view = ClusterView::unseen("lab".parse().unwrap());
        view.guests = guests;
        vec![Arc::new(view)]
    }

    #[test]
    fn what_begins_with_it_comes_before_what_contains_it() {
        let views = view(vec![
            guest(100, "old-web", GuestStatus::Stopped),
            guest(101, "web-1", GuestStatus::Stopped),
            guest(102, "Web-0", GuestStatus::Stopped),
            guest(103, "web-2", GuestStatus::Running),
        ]);
        let names = |typed: &str| -> Vec<String> {
            guests(&views, Verb::GuestStart, typed, |_| true)
                .into_iter()
                .map(|g| g.name.clone())
                .collect()
        };
        assert_eq!(names("web"), ["Web-0", "web-1", "old-web"]);
        assert_eq!(names("lab/10"), ["Web-0", "old-web", "web-1"]);
        assert_eq!(names("nothing"), Vec::<String>::new());
    }

    #[test]
    fn ten_thousand_guests_cost_at_most_ten_thousand_questions_and_give_25() {
        let many = (0..50_000).map(|n| guest(100 + n, &format!("g-{n}"), GuestStatus::Stopped));
        let views = view(many.collect());
        let asked = Cell::new(0);
        let none = guests(&views, Verb::GuestStart, "", |_| {
            asked.set(asked.get() + 1);
            false
        });
        assert!(none.is_empty());
        assert_eq!(asked.get(), LOOKED_AT_MAX);
        asked.set(0);
        let found = guests(&views, Verb::GuestStart, "g-4", |_| {
            asked.set(asked.get() + 1);
            true
        });
        assert_eq!(found.len(), OPTIONS_MAX);
        assert_eq!(asked.get(), OPTIONS_MAX);
    }

    #[test]
    fn a_label_fits_whatever_the_name() {
        let long = guest(100, &"ä\u{202e}".repeat(3000), GuestStatus::Unknown);
        let text = guest_label(&long, true);
        assert!(units(&text) <= OPTION_TEXT_MAX);
        assert!(text.contains("CT 100"), "{text}");
        assert_eq!(
            guest_label(&guest(201, "web-0", GuestStatus::Running), false),
            "web-0 · CT 201 · pve1 · running"
        );
    }
}
