//! Guests and pods: lists and one of them.

use gantry_core::id::GuestKind;
use gantry_core::pod::{Condition, Difference, Health, PodSpec};
use gantry_core::world::{Guest, GuestStatus};
use gantry_engine::PodHealth;

use super::question::guest_choice;
use super::{
    Button, Card, Choice, Line, Look, Place, Select, Tone, as_of, bold, bytes, code, percent, span,
    text,
};
use crate::line;
use crate::token::{ScreenId, Token};

/// A page of guests.
#[derive(Debug, Clone)]
pub struct GuestList<'a> {
    /// `Guests` or `Pods`.
    pub title: &'static str,
    /// Those on this page.
    pub rows: &'a [Guest],
    /// Where the page is.
    pub place: Place,
    /// The filters in force, as people read them.
    pub filters: &'a [String],
    /// Guests that exist but that the asker may not see.
    pub hidden: usize,
    /// How many run, of all that match.
    pub running: usize,
    /// How many of them nobody can ask now.
    pub unknown: usize,
    /// Age of the oldest view shown, milliseconds.
    pub observed_ms: i64,
    /// How those on this page are that have a health check and run; as long as `rows`.
    pub health: &'a [Option<PodHealth>],
    /// Clusters whose newest read failed, with the reason.
    pub faults: &'a [(String, String)],
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// The mark before a guest.
pub fn status_mark(status: GuestStatus) -> &'static str {
    match status {
        GuestStatus::Running => "●",
        GuestStatus::Stopped => "○",
        GuestStatus::Paused | GuestStatus::Suspended => "◐",
        GuestStatus::Unknown => "?",
    }
}

/// `, 5 not known`, where there are any.
pub(super) fn not_known(unknown: usize) -> String {
    if unknown > 0 { format!(", {unknown} not known") } else { String::new() }
}

/// The list.
pub fn guest_list(list: &GuestList<'_>) -> Card {
    let mut card = Card::new(Tone::Plain, list.title);
    if !list.filters.is_empty() {
        card = card.say(line!["Only: ", text(list.filters.join(", "))]);
    }
    card = card.say(if list.place.total == 0 {
        Line::from("None.")
    } else {
        line![
            text(list.place.words()),
            text(format!(" · {} running{}", list.running, not_known(list.unknown)))
        ]
    });
    let health = list.health.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    card =
        card.lines(list.rows.iter().zip(health).map(|(guest, health)| guest_line(guest, health)));
    for (cluster, why) in list.faults {
        card = card.say(line!["⚠ ", bold(cluster), ": ", text(why)]);
    }
    card = card.say(if list.hidden == 0 {
        as_of(list.observed_ms)
    } else {
        as_of(list.observed_ms)
            .and([text(format!(". {} more exist that you may not see.", list.hidden))])
    });
    card.select(Select {
        token: Token::Pick(list.screen.clone()),
        hint: "Show one …".into(),
        choices: list.rows.iter().map(guest_choice).collect(),
    })
    .buttons(list.place.buttons(list.screen))
}

/// What a health check comes to, in a word with its mark.
fn health_mark(health: &PodHealth) -> &'static str {
    match health.condition {
        Some(Condition::Healthy) => "✓ healthy",
        Some(Condition::Unhealthy) => "✗ unhealthy",
        Some(Condition::Starting) => "… starting",
        None => "? health not known",
    }
}

/// The same with its age and the reason.
pub(super) fn health_line(health: &PodHealth, check: &Health, now_ms: i64) -> Line {
    let age = |at_ms: i64| span(now_ms.saturating_sub(at_ms).max(0));
    let mut line = line![bold(health_mark(health))];
    if health.condition.is_some() {
        line = line.and([text(format!(" for {}", age(health.since_ms)))]);
    }
    if let Some(why) = &health.why {
        line = line.and([text(format!(": {why}"))]);
    }
    let asked = match health.answered_ms {
        Some(at_ms) => format!(". Asked {} ago: ", age(at_ms)),
        None => ". Not asked yet: ".to_owned(),
    };
    line.and([text(asked), text(check.describe())])
}

fn guest_line(g: &Guest, health: Option<&PodHealth>) -> Line {
    let mut line = line![
        status_mark(g.status),
        " ",
        bold(&g.name),
        text(format!(" · {} {} · {}", g.kind.short(), g.vmid, g.node)),
    ];
    if g.status == GuestStatus::Running {
        line = line.and([text(format!(" · {} CPU · {}", percent(g.cpu, 1.0), bytes(g.mem)))]);
    } else {
        line = line.and([text(format!(" · {}", g.status.as_str()))]);
    }
    if let Some(health) = health {
        line = line.and([text(format!(" · {}", health_mark(health)))]);
    }
    if let Some(lock) = &g.lock {
        line = line.and([" · locked: ".into(), text(lock)]);
    }
    if g.template {
        line = line.and([" · template".into()]);
    }
    line
}

/// One guest, read just now.
#[derive(Debug, Clone)]
pub struct GuestShow<'a> {
    /// The guest.
    pub guest: &'a Guest,
    /// Its disks.
    pub disks: &'a [String],
    /// Its network cards.
    pub nets: &'a [String],
    /// Where it is reached, as the container says.
    pub addresses: &'a [String],
    /// Its notes, without gantry's own part.
    pub notes: &'a str,
    /// Whether it starts with its node.
    pub onboot: bool,
    /// Whether Proxmox protects it against deletion.
    pub protected: bool,
    /// Number of snapshots, where known.
    pub snapshots: Option<u32>,
    /// Its operating system, as Proxmox names it.
    pub ostype: Option<&'a str>,
    /// When it was read, milliseconds.
    pub read_ms: i64,
    /// Why what is shown is older than wanted; `None` when it is fresh.
    pub stale: Option<&'a str>,
    /// What the asker may do with it now: verb's text and words.
    pub verbs: &'a [Choice],
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// The card of a guest.
pub fn guest_show(show: &GuestShow<'_>) -> Card {
    let g = show.guest;
    let tone = match g.status {
        GuestStatus::Running => Tone::Good,
        GuestStatus::Stopped => Tone::Quiet,
        GuestStatus::Paused | GuestStatus::Suspended => Tone::Working,
        GuestStatus::Unknown => Tone::Unknown,
    };
    let mut card = Card::new(tone, line![status_mark(g.status), " ", text(&g.name)]).say(line![
        bold(g.status.as_str()),
        text(format!(
            "{} · {} {} on {} · {}",
            if g.uptime_s > 0 {
                format!(
                    " for {}",
                    span(i64::try_from(g.uptime_s).unwrap_or(0).saturating_mul(1000))
                )
            } else {
                String::new()
            },
            g.kind.short(),
            g.vmid,
            g.node,
            g.cluster
        )),
    ]);
    if let Some(lock) = &g.lock {
        card = card.say(line![
            "⚠ Locked by Proxmox: ",
            bold(lock),
            ". Changes are refused until that is over."
        ]);
    }
    if let Some(why) = show.stale {
        card = card.say(line!["⚠ ", text(why)]);
    }
    let cpu = if g.status == GuestStatus::Running {
        format!("{} of {} cores", percent(g.cpu, 1.0), g.cores)
    } else {
        format!("{} cores", g.cores)
    };
    card = card.beside("CPU", line![text(cpu)]);
    card = card.beside("Memory", line![text(used_of(g.status, g.mem, g.mem_max))]);
    let disk = if g.kind == GuestKind::Lxc { g.disk } else { 0 };
    card = card.beside("Disk", line![text(used_of(g.status, disk, g.disk_max))]);
    let mut facts = Vec::new();
    if !g.tags.is_empty() {
        facts.push(line!["Tags: ", text(g.tags.join(", "))]);
    }
    if let Some(pool) = &g.pool {
        facts.push(line!["Pool: ", text(pool)]);
    }
    if let Some(ostype) = show.ostype {
        facts.push(line!["System: ", text(ostype)]);
    }
    if show.stale.is_none() {
        facts.push(line![if show.onboot {
            "Starts with its node"
        } else {
            "Does not start with its node"
        }]);
    }
    if show.protected {
        facts.push(line!["Protected against deletion"]);
    }
    if let Some(n) = show.snapshots.filter(|n| *n > 0) {
        let noun = if n == 1 { "snapshot" } else { "snapshots" };
        facts.push(line![text(format!("{n} {noun}"))]);
    }
    if let Some(ha) = &g.ha {
        facts.push(line!["High availability: ", text(ha)]);
    }
    if g.template {
        facts.push(line!["Is a template"]);
    }
    card = card
        .field("Facts", facts)
        .field("Disks", show.disks.iter().map(|d| line![code(d)]).collect())
        .field("Network", show.nets.iter().map(|n| line![code(n)]).collect())
        .field("Addresses", show.addresses.iter().map(|a| line![code(a)]).collect());
    let notes: Vec<Line> = show.notes.lines().map(|l| line![text(l)]).collect();
    card = card.field("Notes", notes).say(as_of(show.read_ms));
    card.select(Select {
        token: Token::Pick(show.screen.clone()),
        hint: format!("Do something with {} …", g.name),
        choices: show.verbs.to_vec(),
    })
    .buttons(vec![Button::new(Token::Refresh(show.screen.clone()), "Refresh", Look::Plain)])
}

fn used_of(status: GuestStatus, used: u64, total: u64) -> String {
    match (status, used) {
        (GuestStatus::Running, 1..) => {
            format!("{} of {} ({})", bytes(used), bytes(total), percent(used as f64, total as f64))
        }
        _ => bytes(total),
    }
}

/// One pod: a guest and what was asked for.
#[derive(Debug, Clone)]
pub struct PodShow<'a> {
    /// The guest.
    pub guest: GuestShow<'a>,
    /// Its specification, where known.
    pub spec: Option<&'a PodSpec>,
    /// Whether gantry's own store knows it; otherwise its notes did.
    pub in_store: bool,
    /// What of it is not as it was applied last.
    pub drift: &'a [Difference],
    /// Settings that wait for its next start.
    pub waiting: &'a [String],
    /// Whether it could be read just now; otherwise nothing is known of its specification.
    pub live: bool,
    /// How it is, where it has a health check and runs.
    pub health: Option<&'a PodHealth>,
    /// Now, milliseconds.
    pub now_ms: i64,
}

/// The card of a pod.
pub fn pod_show(show: &PodShow<'_>) -> Card {
    let mut card = guest_show(&show.guest);
    if !show.live {
        return card;
    }
    let Some(spec) = show.spec else {
        return card.say(
            "⚠ Tagged as a pod, but neither gantry's store nor its notes hold a specification.",
        );
    };
    let template = &spec.template;
    let storage = template.root.storage.as_ref().map(|s| format!(" on {s}")).unwrap_or_default();
    let mut lines = vec![
        line!["Image: ", code(&template.image)],
        line![text(format!(
            "{} cores · {} MiB memory · {} GiB{storage}",
            template.cores, template.memory_mib, template.root.size_gib
        ))],
    ];
    lines.extend(template.networks.iter().map(|card| line![text(card.describe())]));
    lines.extend(
        template
            .mounts
            .iter()
            .map(|m| line![text(format!("{}: {} GiB at {}", m.name, m.size_gib, m.path))]),
    );
    lines.extend(template.ports.iter().map(|p| {
        let outside = p.node_port.map(|n| format!(" ← {n}")).unwrap_or_default();
        line![text(format!("Port {} {}/{}{outside}", p.name, p.port, p.protocol.as_str()))]
    }));
    card = card.field("As asked for", lines);
    if let Some(check) = &template.health {
        let told = match show.health {
            Some(health) => health_line(health, check, show.now_ms),
            None => line![text(format!("Not asked while it does not run: {}", check.describe()))],
        };
        card = card.field("Health", vec![told]);
    }
    if !show.drift.is_empty() {
        let lines = show.drift.iter().map(|d| {
            line![text(&d.what), ": ", bold(&d.is), " now, ", text(&d.shall), " was applied"]
        });
        card = card.field("⚠ Changed outside gantry", lines.collect());
    }
    if !show.waiting.is_empty() {
        let list = show.waiting.join(", ");
        card = card.say(line!["Waits for its next start: ", text(list), "."]);
    }
    if show.in_store {
        card
    } else {
        card.say("Its specification was read from the guest's notes.")
    }
}
