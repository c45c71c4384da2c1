//! Networks: the bridges of a node, one of them, and the SDN. What is pending stands first, because it decides
//! whether anything else can be changed.

use gantry_core::network::{Kernel, Net, Settings};
use gantry_core::operation::{Operation, StepKind};

use super::{Button, Card, Line, Look, Tone, ago, as_of, bold, code, text, told};
use crate::line;
use crate::token::{ScreenId, Token};
use crate::words;

/// Most objects on a card; a node with more is shown with how many are left out.
const SHOWN: usize = 20;
/// Most lines of what is pending on a card.
const PENDING_LINES: usize = 20;

/// The settings of an object in a few words, at phone width.
fn facts(settings: &Settings) -> String {
    let word = |key: &str, lead: &str| settings.get(key).map(|v| format!("{lead}{v}"));
    let on = |key: &str, words: &str| settings.get(key).map(|_| words.to_owned());
    [
        word("cidr", ""),
        word("cidr6", ""),
        word("gateway", "via "),
        word("bridge_ports", "ports "),
        on("bridge_vlan_aware", "VLAN-aware"),
        word("bridge_vids", "VLANs "),
        word("zone", "zone "),
        word("tag", "tag "),
        on("isolate-ports", "ports isolated"),
        on("vlanaware", "VLAN-aware"),
        on("snat", "source NAT"),
        word("bridge", "over "),
        word("mtu", "MTU "),
        word("alias", ""),
        word("comments", ""),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(" · ")
}

fn pending(card: Card, net: &Net, commands: (&'static str, &'static str)) -> Card {
    let Some(changes) = &net.pending else {
        return card.say("Nothing is pending.");
    };
    let lines: Vec<String> = changes
        .lines()
        .filter(|l| !l.starts_with("@@") && !l.starts_with("---") && !l.starts_with("+++"))
        .filter(|l| l.starts_with(['+', '-']) || l.contains(" → "))
        .take(PENDING_LINES)
        .map(str::to_owned)
        .collect();
    card.say(line![
        "⚠ Changes are pending: written, but not real until the network is reloaded. ",
        code(commands.0),
        " or ",
        code(commands.1),
        " decides about them."
    ])
    .log(&lines)
}

/// The bridges of a node.
pub fn bridge_list(cluster: &str, net: &Net, screen: &ScreenId) -> Card {
    let tone = if net.pending.is_some() { Tone::Warning } else { Tone::Plain };
    let mut card = Card::new(
        tone,
        line!["Bridges on ", text(net.scope.to_string()), text(format!(" · {cluster}"))],
    );
    card = pending(card, net, ("/bridge apply", "/bridge revert"));
    let bridges: Vec<_> = net
        .objects
        .iter()
        .filter(|(_, s)| s.get("type").is_some_and(|t| t == "bridge" || t == "OVSBridge"))
        .collect();
    for (name, settings) in bridges.iter().take(SHOWN) {
        let mark: Line = if net.active.contains(*name) { "● ".into() } else { "○ ".into() };
        card = card.say(mark.and([bold(name.as_str())])).say(text(facts(settings)));
    }
    if bridges.len() > SHOWN {
        card = card.say(text(format!("And {} more.", bridges.len() - SHOWN)));
    }
    if bridges.is_empty() {
        card = card.say("It has no bridges.");
    }
    card.say("● up · ○ not up").say(as_of(net.read_ms)).buttons(vec![refresh(screen)])
}

/// One bridge with every setting.
pub fn bridge_show(cluster: &str, net: &Net, name: &str, screen: &ScreenId) -> Card {
    let Some(settings) = net.objects.get(name) else {
        return Card::new(Tone::Bad, line!["✗ No bridge ", text(name)])
            .say(line![text(net.scope.to_string()), " has no interface of that name."])
            .say("`/bridge list` shows those it has.")
            .say(as_of(net.read_ms))
            .buttons(vec![refresh(screen)]);
    };
    let up = net.active.contains(name);
    let tone = if net.pending.is_some() || !up { Tone::Warning } else { Tone::Good };
    let mut card = Card::new(
        tone,
        line![bold(name), " on ", text(net.scope.to_string()), text(format!(" · {cluster}"))],
    )
    .say(if up { "It is up." } else { "It is not up." });
    for (key, value) in settings {
        card = card.say(line![text(key.clone()), ": ", bold(value.clone())]);
    }
    card = switches(card, net, name);
    pending(card, net, ("/bridge apply", "/bridge revert"))
        .say(as_of(net.read_ms))
        .buttons(vec![refresh(screen)])
}

/// What only the kernel knows of a bridge.
fn switches(card: Card, net: &Net, name: &str) -> Card {
    let word = |on: bool| if on { "on" } else { "off" };
    match &net.kernel {
        Kernel::Said(all) => match all.get(name) {
            Some(now) => {
                let isolated = now.ports.values().filter(|on| **on).count();
                card.say(line!["spanning tree: ", bold(word(now.stp))])
                    .say(line!["multicast snooping: ", bold(word(now.snooping))])
                    .say(line!["isolated ports: ", bold(format!("{isolated} of {}", now.ports.len()))])
            }
            None => card,
        },
        Kernel::Silent(why) => card.say(line![
            "⚠ Its spanning tree, multicast snooping and isolation could not be read: ",
            told(why.clone()),
            "."
        ]),
        Kernel::NotSetUp | Kernel::Unasked => card.say(
            "Spanning tree, multicast snooping and port isolation do not stand here: Proxmox's API neither shows nor sets them; \
             the node shell does, and is not set up for this node.",
        ),
    }
}

/// Zones, vnets and subnets.
pub fn vnet_list(cluster: &str, net: &Net, screen: &ScreenId) -> Card {
    let tone = if net.pending.is_some() { Tone::Warning } else { Tone::Plain };
    let mut card = Card::new(tone, line!["Networks over all nodes", text(format!(" · {cluster}"))]);
    card = pending(card, net, ("/vnet apply", "/vnet revert"));
    for (kind, heading) in [("zone/", "Zones"), ("vnet/", "Vnets"), ("subnet/", "Subnets")] {
        let mut lines = Vec::new();
        for (key, settings) in net.objects.iter().filter(|(k, _)| k.starts_with(kind)).take(SHOWN) {
            let id = key.rsplit('/').next().unwrap_or_default();
            let kind = settings.get("type").map(|t| format!(" · {t}")).unwrap_or_default();
            let facts = facts(settings);
            let rest = if facts.is_empty() { kind } else { format!("{kind} · {facts}") };
            lines.push(line![bold(id), text(rest)]);
        }
        card = card.field(heading, lines);
    }
    if net.objects.is_empty() {
        card = card.say("There are none yet. `/vnet create` makes the first, with its zone.");
    }
    card.say(as_of(net.read_ms)).buttons(vec![refresh(screen)])
}

fn refresh(screen: &ScreenId) -> Button {
    Button::new(Token::Refresh(screen.clone()), "Refresh", Look::Plain)
}

/// Whether an operation waits for somebody's word, and until when, milliseconds.
pub(super) fn waits_until(op: &Operation) -> Option<i64> {
    use gantry_core::network::NetworkStep;
    let (_, step) = op.current()?;
    match step.kind {
        StepKind::Network(NetworkStep::Keep { .. }) => step.until_ms,
        _ => None,
    }
}

/// A change that is real and waits for Keep.
pub(super) fn keep_question(op: &Operation, until_ms: i64) -> Card {
    let mut card = Card::new(Tone::Question, line!["Keep ", text(&op.name), "?"])
        .say(text(&op.target))
        .say(line![
            "The change is real now. It is put back ",
            ago(until_ms),
            " unless somebody presses Keep."
        ])
        .say(line![
            "Press it once you have seen that it works. Whoever may ",
            code(words::command(op.verb)),
            " here may press."
        ])
        .say("Putting back works only while the node's API can be reached.");
    if let Some(remark) = &op.progress.remark {
        card = card.say(line!["⚠ ", super::told(remark)]);
    }
    card.buttons(vec![
        Button::new(Token::Keep(op.id.clone()), "Keep", Look::Main),
        Button::new(Token::PutBack(op.id.clone()), "Put back now", Look::Danger),
        Button::new(Token::ShowOp(op.id.clone()), "Details", Look::Plain),
    ])
    .foot(format!("ref {} · confirmed by {}", op.id, op.by_name))
}
