//! A cluster at a glance.

use gantry_core::world::{ClusterView, GuestStatus, Node, NodeState, Storage};
use gantry_engine::EndpointLine;

use super::node::node_lines;
use super::{Button, Card, Line, Look, Tone, ago, as_of, bar, bytes, percent, text};
use crate::line;
use crate::token::{ScreenId, Token};

/// Share of a storage from which it is worth a warning.
const STORAGE_FULL: f64 = 0.9;

/// What `cluster_status` shows.
#[derive(Debug, Clone)]
pub struct ClusterCard<'a> {
    /// The cluster; its guests already filtered to what the asker may see.
    pub view: &'a ClusterView,
    /// Guests the asker may not see.
    pub hidden: usize,
    /// Addresses of its API.
    pub endpoints: &'a [EndpointLine],
    /// Now, milliseconds.
    pub now_ms: i64,
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// The card.
pub fn cluster_status(c: &ClusterCard<'_>) -> Card {
    let v = c.view;
    let down = v.nodes.iter().filter(|n| n.state != NodeState::Up).count();
    let up = v.nodes.len() - down;
    let full = v.storages.iter().filter(|s| is_full(s)).count();
    let (tone, mark, word): (Tone, &'static str, String) = match (v.observed_ms, v.quorate) {
        (..=0, _) => (Tone::Unknown, "? ", "not read yet".into()),
        (_, Some(false)) => (Tone::Bad, "✗ ", "no quorum".into()),
        _ if v.fault.is_some() => (Tone::Unknown, "? ", "not answering".into()),
        _ if down == 1 => (Tone::Warning, "⚠ ", "1 node missing".into()),
        _ if down > 1 => (Tone::Warning, "⚠ ", format!("{down} nodes missing")),
        _ if full > 0 => (Tone::Warning, "⚠ ", "storage nearly full".into()),
        _ => (Tone::Good, "✓ ", "healthy".into()),
    };
    let mut card = Card::new(tone, line![mark, text(v.cluster.as_str()), ": ", text(word)]);
    if let Some(fault) = &v.fault {
        card = card.say(line!["⚠ ", text(fault)]);
    }
    if v.quorate == Some(false) {
        card = card.say("Without quorum Proxmox refuses every change.");
    }
    let running = v.guests.iter().filter(|g| g.status == GuestStatus::Running).count();
    let unknown = v.guests.iter().filter(|g| g.status == GuestStatus::Unknown).count();
    let guests =
        format!("{running} of {} running{}", v.guests.len(), super::guest::not_known(unknown));
    card = card
        .beside("Nodes up", line![text(format!("{up} of {}", v.nodes.len()))])
        .beside("Guests", line![text(guests)]);
    let quorum = match v.quorate {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    card = card.beside("Quorum", quorum);
    card =
        card.field("Nodes", v.nodes.iter().flat_map(|n| node_lines(n, c.now_ms, None)).collect());
    // A shared storage is one storage, whichever node it was seen from.
    let mut seen = std::collections::HashSet::new();
    let storages: Vec<Line> = v
        .storages
        .iter()
        .filter(|s| !s.shared || seen.insert(s.id.clone()))
        .map(|s| match silent(v, s) {
            Some(node) => silent_storage(s, node),
            None => storage_line(s),
        })
        .collect();
    card = card.field("Storages", storages);
    let trouble: Vec<Line> = c
        .endpoints
        .iter()
        .filter(|e| !matches!(e.state, "up" | "not asked yet"))
        .map(|e| {
            let line = line![text(&e.name), ": ", e.state, " · began ", ago(e.since_ms)];
            match &e.reason {
                Some(why) => line.and([" · ".into(), text(why)]),
                None => line,
            }
        })
        .collect();
    card = card.field("API addresses in trouble", trouble);
    if c.hidden > 0 {
        card =
            card.say(line![text(format!("{} more guests exist that you may not see.", c.hidden))]);
    }
    let version = v.version.as_deref().map(|v| format!("Proxmox VE {v}")).unwrap_or_default();
    card.say(as_of(v.observed_ms))
        .buttons(vec![Button::new(Token::Refresh(c.screen.clone()), "Refresh", Look::Plain)])
        .foot(version)
}

fn is_full(s: &Storage) -> bool {
    s.active && s.total > 0 && s.used as f64 / s.total as f64 >= STORAGE_FULL
}

/// The node of a storage that only it has, when it does not answer: Proxmox goes on listing the storage as it was.
fn silent<'a>(v: &'a ClusterView, s: &Storage) -> Option<&'a Node> {
    let node = v.nodes.iter().find(|n| n.name == s.node)?;
    (!s.shared && node.state != NodeState::Up).then_some(node)
}

pub(super) fn silent_storage(s: &Storage, node: &Node) -> Line {
    let lead = format!("? {} · {} · node not answering", s.id, s.node);
    if s.total == 0 {
        return line![text(lead)];
    }
    let share = percent(s.used as f64, s.total as f64);
    line![text(format!("{lead}; {share} when last seen ")), ago(node.seen_ms)]
}

/// A storage in one line.
pub(super) fn storage_line(s: &Storage) -> Line {
    let place = if s.shared { "shared".to_owned() } else { s.node.to_string() };
    if !s.active {
        return line!["✗ ", text(s.id.as_str()), text(format!(" · {place} · not active"))];
    }
    let share = s.used as f64 / s.total.max(1) as f64;
    let mark = if is_full(s) { "⚠ " } else { "" };
    line![
        mark,
        text(bar(share)),
        text(format!(
            " {} · {} · {place} · {} free",
            s.id,
            percent(s.used as f64, s.total as f64),
            bytes(s.total.saturating_sub(s.used))
        )),
    ]
}
