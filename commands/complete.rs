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

mod record;
mod world;

pub use record::{forward, hook, operation, rule, set, task};
pub(crate) use world::storages;
pub use world::{any_storage, bridge, cluster, image, node, other_node, storage};

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

/// Somebody who types into an option, and what that is about.
pub(crate) struct Typing<'a> {
    pub(crate) actor: Actor,
    pub(crate) engine: &'a Engine,
    /// The command's own.
    pub(crate) verb: Verb,
    /// What was typed so far, in small letters.
    pub(crate) typed: String,
    options: &'a [ResolvedOption<'a>],
}

impl<'a> Typing<'a> {
    /// `None` outside a server, or behind what is no verb.
    fn of(ctx: Context<'a>, typed: &str) -> Option<Self> {
        let i = ctx.interaction;
        let actor = actor(i.guild_id, i.member.as_deref(), i.channel_id, i.channel.as_ref())?;
        // `pod delete` is `pod.delete`.
        let verb = ctx.command().qualified_name.replace(' ', ".").parse().ok()?;
        let engine = ctx.framework.user_data.engine();
        let typed = typed.trim().to_lowercase();
        Some(Self { actor, engine, verb, typed, options: ctx.args })
    }

    /// Whether the asker may do that, with the command's own verb.
    pub(crate) fn may(&self, target: Target<'_>) -> bool {
        self.engine.may(&self.actor, self.verb, target).is_allowed()
    }

    /// Whether what was typed is part of it.
    pub(crate) fn fits(&self, text: &str) -> bool {
        contains(text, &self.typed)
    }

    /// Another option of the same command, as far as it is filled in.
    pub(crate) fn other(&self, name: &str) -> Option<&str> {
        let value = &self.options.iter().find(|o| o.name == name)?.value;
        let text = match value {
            ResolvedValue::String(text) => *text,
            ResolvedValue::Autocomplete { value, .. } => *value,
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The clusters that are meant: the one that was chosen, else all.
    pub(crate) fn views(&self) -> Vec<Arc<ClusterView>> {
        let only = self.other("cluster");
        let mut views = self.engine.views();
        views.retain(|v| only.is_none_or(|c| v.cluster.as_str() == c));
        views
    }

    /// The same where the asker may do that somewhere.
    pub(crate) fn views_within(&self) -> Vec<Arc<ClusterView>> {
        let mut views = self.views();
        views.retain(|v| self.may(Target::Within(&v.cluster)));
        views
    }
}

/// Any context a completion is called with.
pub(crate) type Any<'a> = poise::Context<'a, crate::Face, crate::FaceError>;

/// What may be offered to who types: as it is shown, and as it is sent.
pub(crate) fn offer<'a>(
    ctx: Any<'a>,
    typed: &str,
    find: impl FnOnce(&Typing<'a>) -> Vec<(String, String)>,
) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    answer(Typing::of(ctx, typed).map(|t| find(&t)).unwrap_or_default())
}

fn answer(choices: Vec<(String, String)>) -> CreateAutocompleteResponse {
    let choices = choices
        .into_iter()
        .filter(|(_, value)| !value.is_empty() && units(value) <= OPTION_TEXT_MAX)
        .take(OPTIONS_MAX)
        .map(|(name, value)| AutocompleteChoice::new(label(&name, OPTION_TEXT_MAX), value))
        .collect();
    CreateAutocompleteResponse::new().set_choices(choices)
}

/// Each value once, by value.
pub(crate) fn once(mut found: Vec<(String, String)>) -> Vec<(String, String)> {
    found.sort_by(|a, b| a.1.cmp(&b.1));
    found.dedup_by(|a, b| a.1 == b.1);
    found
}

/// Completes a guest or pod.
pub async fn guest(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        if !t.may(Target::Any) {
            return Vec::new();
        }
        let views = t.engine.views();
        let many = views.len() > 1;
        let found = guests(&views, t.verb, &t.typed, |g| t.may(Target::Guest(g)));
        found.into_iter().map(|g| (guest_label(g, many), g.address().to_string())).collect()
    })
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
