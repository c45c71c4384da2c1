//! What a change of a network comes to, on the configuration as it is now. Always the same shape: save what was,
//! write, reload, wait for Keep, and otherwise put back.

use std::ops::RangeInclusive;

use super::asked::{Asked, asked};
use super::switch::LOST_TOLD_MAX;
use super::{
    Edit, FIREWALL, Flip, Kernel, Net, NetworkAction, NetworkChange, NetworkStep, Objects, Scope,
    as_now, diff_lines, edits_back, fingerprint, lost_by_reload, lost_unseen, switch_lines,
};
use crate::operation::StepKind;
use crate::plan::{Draft, Planned};
use crate::world::Users;

/// How long somebody has to press Keep where nobody says, seconds.
pub const KEEP_DEFAULT_S: u32 = 300;
/// Shortest and longest wait for Keep, seconds. Longer ones would hold up every other change of that network.
pub const KEEP_RANGE_S: RangeInclusive<u32> = 30..=1200;

/// Said of every change of a node's network.
const ONLY_WHILE: &str = "Putting back works only while the node's API can be reached. If this change cuts it off, gantry \
                          says so and goes on trying for an hour; the way back is then the node's own console.";

/// Whether an edit touches what carries the node's own address, on which its API may be reached.
pub fn is_alarm(objects: &Objects, edits: &[Edit]) -> bool {
    let carries = |key: &str| {
        objects.get(key).is_some_and(|s| s.contains_key("cidr") || s.contains_key("cidr6"))
    };
    let port_of = |key: &str| {
        objects.iter().any(|(name, s)| {
            carries(name)
                && ["bridge_ports", "slaves", "vlan-raw-device"]
                    .iter()
                    .filter_map(|k| s.get(*k))
                    .any(|list| list.split(' ').any(|p| p == key))
        })
    };
    edits.iter().any(|edit| {
        let takes_port = match edit {
            Edit::Create { settings, .. } | Edit::Update { settings, .. } => settings
                .get("bridge_ports")
                .is_some_and(|list| list.split(' ').any(|p| carries(p) || port_of(p))),
            Edit::Delete { .. } => false,
        };
        carries(edit.key()) || port_of(edit.key()) || takes_port
    })
}

/// Plans `action` on `net`. `users` are guests that use what is removed, as people read them.
pub fn plan_network(action: &NetworkAction, net: &Net, users: &Users) -> Planned {
    let refused = |why: String| Planned::Refused { why };
    let place = match &action.scope {
        Scope::Node(node) => format!("{node} ({})", action.cluster),
        Scope::Sdn => format!("the SDN of {}", action.cluster),
    };
    let (apply, revert) = match action.scope {
        Scope::Node(_) => ("/bridge apply", "/bridge revert"),
        Scope::Sdn => ("/vnet apply", "/vnet revert"),
    };
    let own = matches!(action.change, NetworkChange::Apply | NetworkChange::Revert);
    if let Some(pending) = net.pending.as_deref().filter(|_| !own) {
        return refused(format!(
            "{place} has pending changes that gantry did not make; a reload would make them real along with this. \
             `{apply}` or `{revert}` decides about them first. Pending now:\n{}",
            excerpt(pending)
        ));
    }
    match &action.change {
        NetworkChange::Revert => plan_revert(net, &place),
        NetworkChange::Apply => match foreign(net) {
            Ok(None) => Planned::Nothing { why: format!("Nothing is pending on {place}.") },
            Err(why) => refused(format!(
                "The pending changes of {place} cannot be applied with a way back: {why}. Apply them on Proxmox's own page, \
                 or drop them with `{revert}`."
            )),
            Ok(Some(edits)) => {
                let asked = Asked {
                    name: scope_name(&action.scope),
                    target: format!("pending changes of {place}"),
                    effect: format!(
                        "Apply what somebody has staged on {place}: not staged by gantry."
                    ),
                    edits,
                    flips: Vec::new(),
                    warnings: Vec::new(),
                };
                finish(action, net, asked)
            }
        },
        change => match asked(change, net, &place, users) {
            Ok(asked) => finish(action, net, asked),
            Err(no) => no.into(),
        },
    }
}

fn scope_name(scope: &Scope) -> String {
    match scope {
        Scope::Node(node) => node.to_string(),
        Scope::Sdn => "SDN".to_owned(),
    }
}

/// What somebody else has staged, as edits of what runs.
fn foreign(net: &Net) -> Result<Option<Vec<Edit>>, String> {
    if net.pending.is_none() {
        return Ok(None);
    }
    let running = net.former()?;
    let keys = running.keys().chain(net.objects.keys()).cloned().collect();
    let edits = edits_back(&running, &net.objects, &keys);
    if edits.is_empty() {
        return Err("the diff shows changes that gantry cannot write back".to_owned());
    }
    Ok(Some(edits))
}

fn plan_revert(net: &Net, place: &str) -> Planned {
    let Some(pending) = &net.pending else {
        return Planned::Nothing { why: format!("Nothing is pending on {place}.") };
    };
    let changes = match foreign(net) {
        Ok(Some(edits)) => diff_lines(&net.former().unwrap_or_default(), &edits)
            .into_iter()
            .map(|c| crate::plan::Change {
                what: c.what,
                before: format!("pending: {}", c.after),
                after: "dropped".into(),
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut warnings = vec!["What is dropped is gone; it would have to be entered again.".into()];
    if changes.is_empty() {
        warnings.push(format!("Pending now:\n{}", excerpt(pending)));
    }
    Planned::Ready(Draft {
        name: scope_name(&net.scope),
        target: format!("pending changes of {place}"),
        effects: vec![format!("Drop what is pending on {place}. What runs stays as it is.")],
        changes,
        warnings,
        steps: vec![StepKind::Network(NetworkStep::Revert)],
        fingerprint: net.fingerprint(),
        digest: String::new(),
    })
}

/// The first lines of a diff; a card has little room.
fn excerpt(diff: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = diff
        .lines()
        .filter(|l| !l.starts_with("---") && !l.starts_with("+++") && !l.starts_with("@@"))
        .filter(|l| l.starts_with(['+', '-']))
        .collect();
    let more = lines.len().saturating_sub(LINES);
    let mut text = lines[..lines.len().min(LINES)].join("\n");
    if more > 0 {
        text.push_str(&format!("\n… and {more} more lines"));
    }
    text
}

/// The switches as they were, those of bridges that go away again first: they are set back while there still is one.
fn back(before: Vec<Flip>, edits: &[Edit]) -> (Vec<Flip>, Vec<Flip>) {
    let made =
        |name: &str| edits.iter().any(|e| matches!(e, Edit::Create { key, .. } if key == name));
    before.into_iter().partition(|f| made(&f.bridge))
}

fn finish(action: &NetworkAction, net: &Net, asked: Asked) -> Planned {
    let Asked { name, target, effect, edits, mut flips, mut warnings } = asked;
    let within_s = action.keep_s.clamp(*KEEP_RANGE_S.start(), *KEEP_RANGE_S.end());
    let before = &net.former().unwrap_or_else(|_| net.objects.clone());
    let minutes = if within_s.is_multiple_of(60) {
        format!("{} min", within_s / 60)
    } else {
        format!("{within_s} s")
    };
    let mut effects = vec![effect];
    // The firewall's defaults hold at once.
    let reloads = edits.iter().any(|e| e.key() != FIREWALL);
    if reloads {
        effects.push(format!("Reload the network of {} so that it is real.", action.scope));
    }
    if let Scope::Node(node) = &action.scope {
        if is_alarm(before, &edits) {
            warnings.insert(
                0,
                format!("It touches what carries an address of {}: a mistake here can cut the node off.", action.scope),
            );
        }
        if let (Kernel::Silent(why), false) = (&net.kernel, !reloads) {
            warnings.push(format!(
                "A reload switches spanning tree off where it was switched on over the node shell, which does not answer now ({why})."
            ));
        }
        if net.kernel == Kernel::NotSetUp && reloads {
            let bridges = net.bridges_up().map(str::to_owned).collect();
            warnings.extend(lost_unseen(&[(node.clone(), bridges)]));
        }
        warnings.push(ONLY_WHILE.into());
    }
    let mut steps = vec![NetworkStep::Save];
    let mut changes = diff_lines(before, &edits);
    changes.extend(switch_lines(&flips, &as_now(&net.kernel, &flips)));
    let mut shown: Vec<&str> = flips.iter().map(|f| f.switch.words()).collect();
    shown.dedup();
    if !shown.is_empty() {
        effects.push(format!("Set over the node shell: {}.", shown.join(", ")));
    }
    if !edits.is_empty() {
        // What others have staged is staged already: the same edits are only looked for.
        steps.push(NetworkStep::Stage { edits: edits.clone() });
    }
    if reloads {
        let lost = lost_by_reload(&net.kernel, &edits, &flips);
        for flip in lost.iter().take(LOST_TOLD_MAX) {
            effects.push(format!(
                "Switch spanning tree of {} on again, which the reload switches off.",
                flip.shown()
            ));
        }
        if let Some(more @ 1..) = lost.len().checked_sub(LOST_TOLD_MAX) {
            effects.push(format!("Switch spanning tree of {more} more bridges on again."));
        }
        flips.extend(lost);
        steps.push(NetworkStep::Reload);
    }
    let was = as_now(&net.kernel, &flips);
    let print = fingerprint(net, &was);
    let (gone, stay) = back(was, &edits);
    if !flips.is_empty() {
        steps.push(NetworkStep::Switch { flips });
    }
    steps.push(NetworkStep::Keep { within_s });
    if !gone.is_empty() {
        steps.push(NetworkStep::SwitchBack { flips: gone });
    }
    if !edits.is_empty() {
        steps.push(NetworkStep::PutBack);
    }
    if reloads {
        steps.push(NetworkStep::PutBackReload);
    }
    if !stay.is_empty() {
        steps.push(NetworkStep::SwitchBack { flips: stay });
    }
    effects.push(format!(
        "If nobody presses Keep within {minutes}, put the former configuration back."
    ));
    Planned::Ready(Draft {
        name,
        target,
        effects,
        changes,
        warnings,
        steps: steps.into_iter().map(StepKind::Network).collect(),
        fingerprint: print,
        digest: String::new(),
    })
}
