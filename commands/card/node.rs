//! Nodes: a list and one of them. Three states: up, down, and nobody knows.

use gantry_core::world::{Guest, Node, NodeState, Storage};

use super::cluster::{silent_storage, storage_line};
use super::{
    Button, Card, Choice, Line, Look, Place, Select, Tone, ago, as_of, bold, bytes, code, percent,
    span, status_mark, text,
};
use crate::line;
use crate::token::{ScreenId, Token};

/// Guests named on a node's card before the rest is counted.
const GUESTS_SHOWN: usize = 15;

/// A page of nodes.
#[derive(Debug, Clone)]
pub struct NodeList<'a> {
    /// Those on this page, with their cluster.
    pub rows: &'a [(String, Node)],
    /// Where the page is.
    pub place: Place,
    /// Now, milliseconds; gives the age of figures.
    pub now_ms: i64,
    /// Age of the oldest view shown, milliseconds.
    pub observed_ms: i64,
    /// Clusters whose newest read failed, with the reason.
    pub faults: &'a [(String, String)],
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// The list.
pub fn node_list(list: &NodeList<'_>) -> Card {
    let bad = list.rows.iter().any(|(_, n)| n.state != NodeState::Up);
    let mut card = Card::new(if bad { Tone::Warning } else { Tone::Good }, "Nodes")
        .say(line![text(list.place.words())]);
    for (cluster, node) in list.rows {
        card = card.lines(node_lines(node, list.now_ms, Some(cluster)));
    }
    for (cluster, why) in list.faults {
        card = card.say(line!["⚠ ", bold(cluster), ": ", text(why)]);
    }
    card.say(as_of(list.observed_ms))
        .select(Select {
            token: Token::Pick(list.screen.clone()),
            hint: "Show one …".into(),
            choices: list
                .rows
                .iter()
                .map(|(cluster, node)| Choice {
                    value: format!("{cluster}/{}", node.name),
                    label: node.name.to_string(),
                    hint: cluster.clone(),
                })
                .collect(),
        })
        .buttons(list.place.buttons(list.screen))
}

/// A node in one or two lines; one that does not answer says since when and how old its figures are.
pub(super) fn node_lines(node: &Node, now_ms: i64, cluster: Option<&str>) -> Vec<Line> {
    let place = cluster.map(|c| format!(" · {c}")).unwrap_or_default();
    let figures = format!(
        "{} CPU · {} memory · up {}",
        percent(node.cpu, 1.0),
        percent(node.mem as f64, node.mem_max as f64),
        span(i64::try_from(node.uptime_s).unwrap_or(0).saturating_mul(1000)),
    );
    match node.state {
        NodeState::Up => {
            vec![line!["● ", bold(node.name.as_str()), text(place), text(format!(" · {figures}"))]]
        }
        NodeState::Down | NodeState::Unknown => {
            let (mark, word) = match node.state {
                NodeState::Down => ("✗ ", " is down · began "),
                _ => ("? ", " is unreachable · began "),
            };
            let mut line =
                line![mark, bold(node.name.as_str()), word, ago(node.since_ms), text(place)];
            if let Some(reason) = &node.reason {
                line = line.and([" · ".into(), text(reason)]);
            }
            let age = if node.seen_ms > 0 {
                line![text(format!(
                    "  showing what was known {} ago: {figures}",
                    span(now_ms - node.seen_ms)
                ))]
            } else {
                line!["  nothing known of it yet"]
            };
            vec![line, age]
        }
    }
}

/// What `node_show` shows.
#[derive(Debug, Clone)]
pub struct NodeFacts<'a> {
    /// Its cluster.
    pub cluster: &'a str,
    /// The node.
    pub node: &'a Node,
    /// Version of Proxmox VE.
    pub version: Option<&'a str>,
    /// Kernel.
    pub kernel: Option<&'a str>,
    /// Load averages of 1, 5 and 15 minutes; empty where unknown.
    pub load: &'a [f64],
    /// Its guests that the asker may see.
    pub guests: &'a [Guest],
    /// Guests there that the asker may not see.
    pub hidden: usize,
    /// Its storages.
    pub storages: &'a [Storage],
    /// Now, milliseconds.
    pub now_ms: i64,
    /// Why this is older than wanted.
    pub stale: Option<&'a str>,
    /// Its screen.
    pub screen: &'a ScreenId,
}

/// The card of a node.
pub fn node_show(facts: &NodeFacts<'_>) -> Card {
    let node = facts.node;
    let (tone, mark) = match node.state {
        NodeState::Up => (Tone::Good, "●"),
        NodeState::Down => (Tone::Bad, "✗"),
        NodeState::Unknown => (Tone::Unknown, "?"),
    };
    let mut card = Card::new(tone, line![mark, " ", text(node.name.as_str())]).lines(node_lines(
        node,
        facts.now_ms,
        Some(facts.cluster),
    ));
    if let Some(why) = facts.stale {
        card = card.say(line!["⚠ ", text(why)]);
    }
    card = card
        .beside("CPU", line![text(format!("{} of {} cores", percent(node.cpu, 1.0), node.cores))])
        .beside("Memory", line![text(format!("{} of {}", bytes(node.mem), bytes(node.mem_max)))])
        .beside(
            "Root disk",
            line![text(format!("{} of {}", bytes(node.disk), bytes(node.disk_max)))],
        );
    let mut system = Vec::new();
    if let Some(version) = facts.version {
        system.push(line!["Proxmox VE: ", text(version)]);
    }
    if let Some(kernel) = facts.kernel {
        system.push(line!["Kernel: ", text(kernel)]);
    }
    if !facts.load.is_empty() {
        let load: Vec<String> = facts.load.iter().map(|l| format!("{l:.2}")).collect();
        system.push(line!["Load: ", text(load.join(" · "))]);
    }
    card = card.field("System", system);
    let mut guests: Vec<Line> = facts
        .guests
        .iter()
        .take(GUESTS_SHOWN)
        .map(|g| line![status_mark(g.status), " ", text(&g.name), " ", code(g.vmid.to_string())])
        .collect();
    if facts.guests.len() > GUESTS_SHOWN {
        guests.push(line![text(format!(
            "… and {} more, see /guest list",
            facts.guests.len() - GUESTS_SHOWN
        ))]);
    }
    if facts.hidden > 0 {
        guests.push(line![text(format!("… and {} you may not see", facts.hidden))]);
    }
    card.field(line![text(format!("Guests: {}", facts.guests.len() + facts.hidden))], guests)
        .field("Storages", facts.storages.iter().map(|s| seen_storage(s, node)).collect())
        .say(as_of(node.seen_ms))
        .buttons(vec![Button::new(Token::Refresh(facts.screen.clone()), "Refresh", Look::Plain)])
}

/// A storage as this node sees it; one that all nodes share is not gone because this node is.
fn seen_storage(s: &Storage, node: &Node) -> Line {
    match node.state {
        NodeState::Up => storage_line(s),
        _ if s.shared => line!["? ", text(s.id.as_str()), " · shared; this node does not answer"],
        _ => silent_storage(s, node),
    }
}
