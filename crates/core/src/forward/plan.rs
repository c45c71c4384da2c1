//! What a change of forwards comes to, on what is known right now.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::{Broken, Confirmed, Drift, Entry, Family, ForwardStep, Ground, KeptForward, drift};
use crate::id::NodeName;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned};

/// The guest a forward leads to, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As people read it: `web-0 (CT 201 on pve1, lab)`.
    pub shown: String,
    /// Its name.
    pub name: String,
    /// Whether its own firewall is switched on; then nothing passes without a rule.
    pub firewall: bool,
}

/// What is known of a node's table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The table in force; `None`: there is none.
    pub has: Option<Vec<Entry>>,
    /// Whether somebody has changed it by hand, or made one of that name.
    pub touched: bool,
    /// Families the node forwards.
    pub forwards: Vec<Family>,
}

impl Entry {
    /// As people read it: `tcp *:8080 → 10.9.0.5:80`.
    pub fn shown(&self) -> String {
        let at = |a: &IpAddr, port: u16| match a {
            IpAddr::V6(a) => format!("[{a}]:{port}"),
            IpAddr::V4(a) => format!("{a}:{port}"),
        };
        let from = match &self.listen {
            Some(a) => at(a, self.port),
            None => format!("*:{}", self.port),
        };
        format!("{} {from} → {}", self.proto.as_str(), at(&self.target, self.target_port))
    }
}

/// Lines of before and after for a table that is not as it shall be.
fn changes(drift: &Drift) -> Vec<Change> {
    let line = |e: &Entry, before: &str, after: &str| Change {
        what: e.shown(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let extra = drift.extra.iter().map(|e| line(e, "in force", "removed"));
    extra.chain(drift.missing.iter().map(|e| line(e, "missing", "in force"))).collect()
}

fn hash(value: &serde_json::Value) -> String {
    hex::encode(Sha256::digest(value.to_string().as_bytes()))
}

/// Said where a table is not gantry's alone any more.
fn touched(node: &NodeName) -> String {
    format!(
        "Somebody has changed gantry's table on {node} by hand, and gantry does not write over that by itself. \
         `/forward list` shows the difference; `/forward apply node:{node}` makes the table what was asked for."
    )
}

/// Plans one more forward. `ground` has all that are kept and the guest, where it is there; `found` is the guest.
pub fn plan_add(
    forward: &KeptForward,
    ground: &Ground,
    found: Option<&Found>,
    facts: &Facts,
) -> Planned {
    let refused = |why: String| Planned::Refused { why };
    let spec = &forward.spec;
    let same = |other: &&KeptForward| {
        other.spec.collides(spec)
            && (other.spec.vmid, other.spec.target_port) == (spec.vmid, spec.target_port)
    };
    if let Some(other) = ground.all.iter().find(same) {
        return Planned::Nothing {
            why: format!("There is just this forward already: {}.", other.spec),
        };
    }
    let specs: Vec<_> = ground.all.iter().map(|k| k.spec.clone()).collect();
    if let Err(why) = spec.check(&specs) {
        return refused(format!("{why}."));
    }
    let Some(found) = found else {
        return refused(format!("{} is gone: Proxmox does not know it any more.", spec.name));
    };
    let family = spec.family.as_str();
    // An address that the guest only says is confirmed by this very press, and stays the only one.
    let (target, pinned) = match ground.target(forward) {
        Ok(target) => (target, None),
        Err(Broken::Unconfirmed(given)) => (given, Some(given)),
        Err(Broken::NoAddress) => {
            return refused(format!(
                "{} has no {family} address that is known now. A container has one once it runs; a fixed address is known always.",
                found.shown
            ));
        }
        Err(Broken::Elsewhere(node)) => {
            return refused(format!(
                "{} is on a bridge that ends at {node}, so {} does not reach it. Let {node} listen.",
                found.shown, spec.node
            ));
        }
        Err(Broken::Forbidden(address, why)) => {
            return refused(format!(
                "{} has {address}, which is {why}; nothing is ever led there.",
                found.shown
            ));
        }
        Err(why) => return refused(format!("{spec}: {}.", why.words(spec))),
    };
    if facts.touched {
        return refused(touched(&spec.node));
    }
    if !facts.forwards.contains(&spec.family) {
        return refused(format!(
            "{} does not forward {family}. Switching that on changes what a node is, so it is its owner's to do: sysctl {}.",
            spec.node,
            match spec.family {
                Family::Ipv4 => "net.ipv4.ip_forward=1",
                Family::Ipv6 => "net.ipv6.conf.all.forwarding=1",
            }
        ));
    }
    let mut warnings = Vec::new();
    if found.firewall {
        warnings.push(
            "Its firewall is on: from then on that port is open to everybody who reaches the node."
                .to_owned(),
        );
    }
    if let Some(given) = pinned {
        warnings.push(format!(
            "It has no fixed address and only says that it has {given}. Should it say another one, this forward leads nowhere \
             until that is confirmed with `/forward apply`."
        ));
    }
    let to = match target {
        IpAddr::V6(a) => format!("[{a}]:{}", spec.target_port),
        IpAddr::V4(a) => format!("{a}:{}", spec.target_port),
    };
    let at = match spec.listen {
        Some(a) => format!("port {} of {a} on {}", spec.port, spec.node),
        None => format!("port {} of {}", spec.port, spec.node),
    };
    let proto = spec.proto.as_str();
    Planned::Ready(Draft {
        name: found.name.clone(),
        target: format!("{spec} ({})", spec.cluster),
        effects: vec![
            format!("Lead {proto} {at} to {}, {to}.", found.shown),
            format!("Add a rule to its firewall that lets {proto} {} in.", spec.target_port),
            "If that cannot be done, take everything back.".to_owned(),
        ],
        changes: vec![Change {
            what: format!("{proto} {family} {}", spec.port),
            before: "leads nowhere".to_owned(),
            after: to,
        }],
        warnings,
        steps: [
            ForwardStep::Record { pinned },
            ForwardStep::Allow,
            ForwardStep::Put,
            ForwardStep::TakeBack,
        ]
        .map(StepKind::Forward)
        .into(),
        fingerprint: hash(&serde_json::json!([spec, found.name, target])),
        digest: String::new(),
    })
}

/// Plans one forward less. `there`: whether it is still kept.
pub fn plan_remove(forward: &KeptForward, there: bool, facts: &Facts) -> Planned {
    let spec = &forward.spec;
    if !there {
        return Planned::Nothing { why: format!("{spec}: there is no such forward any more.") };
    }
    if let Some(port) = &forward.port {
        return Planned::Refused {
            why: format!(
                "It comes from the port `{port}` in the specification of {}: take its `node_port` out there and `/pod apply` it.",
                spec.name
            ),
        };
    }
    if facts.touched {
        return Planned::Refused { why: touched(&spec.node) };
    }
    Planned::Ready(Draft {
        name: spec.name.clone(),
        target: format!("{spec} ({})", spec.cluster),
        effects: vec![
            format!(
                "Lead {} port {} of {} nowhere any more. Open connections end.",
                spec.proto.as_str(),
                spec.port,
                spec.node
            ),
            format!("Remove its rule from the firewall of {}.", spec.name),
        ],
        changes: Vec::new(),
        warnings: Vec::new(),
        steps: [ForwardStep::Forget, ForwardStep::Disallow, ForwardStep::Put]
            .map(StepKind::Forward)
            .into(),
        fingerprint: hash(&serde_json::json!([forward.id, spec])),
        digest: String::new(),
    })
}

/// What can be confirmed anew of the forwards that lead nowhere and shall listen on `node`, each with a sentence.
/// `may`: whether whoever asks may open that guest there.
fn confirmable(
    node: &NodeName,
    ground: &Ground,
    may: &dyn Fn(&KeptForward) -> bool,
) -> (Vec<Confirmed>, Vec<String>, Vec<String>) {
    let (mut all, mut effects, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for forward in &ground.all {
        let spec = &forward.spec;
        let Err(why) = ground.target(forward) else { continue };
        let here = spec.node == *node;
        let (pinned, effect) = match &why {
            // Learned without being asked for: a pod had no address yet when it was.
            Broken::Unconfirmed(_) if forward.port.is_some() => continue,
            Broken::Unconfirmed(to) if here => {
                (Some(*to), format!("Lead {spec} to {to}, which its guest says it has."))
            }
            Broken::Moved { from, to } if here => (
                Some(*to),
                format!(
                    "Lead {spec} to {to}, which its guest says it has, and no longer to {from}."
                ),
            ),
            Broken::Elsewhere(now) if now == node => {
                let mut moved = forward.clone();
                moved.spec.node = node.clone();
                let others: Vec<_> = ground
                    .all
                    .iter()
                    .filter(|k| k.id != forward.id)
                    .map(|k| k.spec.clone())
                    .collect();
                if let Err(no) = moved.spec.check(&others) {
                    warnings.push(format!("{spec} cannot move to {node}: {no}."));
                    continue;
                }
                let pinned = match ground.target(&moved) {
                    Ok(_) => forward.pinned,
                    Err(Broken::Unconfirmed(to) | Broken::Moved { to, .. }) => Some(to),
                    Err(_) => continue,
                };
                let at = pinned.map(|a| format!(", {a}")).unwrap_or_default();
                (
                    pinned,
                    format!(
                        "Let {node} listen for {}:{}{at} instead of {}: it is here now.",
                        spec.name, spec.target_port, spec.node
                    ),
                )
            }
            _ => continue,
        };
        if may(forward) {
            effects.push(effect);
            all.push(Confirmed { id: forward.id.clone(), node: node.clone(), pinned });
        } else {
            warnings.push(format!(
                "{spec} stays as it is: opening that guest here is not yours to confirm."
            ));
        }
    }
    (all, effects, warnings)
}

/// The forwards once `confirmed` is written down.
fn with(ground: &Ground, confirmed: &[Confirmed]) -> Ground {
    let mut after = ground.clone();
    for forward in &mut after.all {
        if let Some(new) = confirmed.iter().find(|c| c.id == forward.id) {
            forward.spec.node = new.node.clone();
            forward.pinned = new.pinned;
        }
    }
    after
}

/// Plans making a node's table what was asked for. `may`: whether whoever asks may open the guest of a forward there,
/// which confirming its address anew comes to.
pub fn plan_apply(
    cluster: &str,
    node: &NodeName,
    ground: &Ground,
    facts: &Facts,
    may: &dyn Fn(&KeptForward) -> bool,
) -> Planned {
    let (confirmed, mut effects, mut warnings) = confirmable(node, ground, may);
    let desired = with(ground, &confirmed).desired(node);
    let has = facts.has.clone().unwrap_or_default();
    let difference = drift(&has, &desired);
    let broken = desired
        .broken
        .iter()
        .map(|(spec, why)| format!("{spec} leads nowhere now: {}.", why.words(spec)));
    warnings.extend(broken);
    let none_needed = facts.has.is_some() || desired.entries.is_empty();
    if confirmed.is_empty() && difference.is_none() && !facts.touched && none_needed {
        let mut why = format!("The forwards of {node} are as they were asked for.");
        for warning in &warnings {
            why.push('\n');
            why.push_str(warning);
        }
        return Planned::Nothing { why };
    }
    if facts.touched {
        warnings.push("Somebody has changed the table by hand; what is not listed as a forward of gantry's is lost.".into());
    }
    let entries: Vec<String> = desired.entries.iter().map(Entry::shown).collect();
    let before: Vec<String> = has.iter().map(Entry::shown).collect();
    effects.push(format!(
        "Make gantry's table on {node} what was asked for: {} forwards.",
        entries.len()
    ));
    let mut steps = Vec::new();
    if !confirmed.is_empty() {
        steps.push(StepKind::Forward(ForwardStep::Confirm { forwards: confirmed }));
    }
    steps.push(StepKind::Forward(ForwardStep::Put));
    Planned::Ready(Draft {
        name: node.to_string(),
        target: format!("the forwards of {node} ({cluster})"),
        effects,
        changes: difference.as_ref().map(changes).unwrap_or_default(),
        warnings,
        steps,
        // The same before and after what was confirmed is written down.
        fingerprint: hash(&serde_json::json!([before, facts.touched, entries])),
        digest: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{ForwardSpec, Leads, Proto};

    fn kept(port: u16, vmid: u32) -> KeptForward {
        KeptForward {
            id: crate::id::ForwardId::new(1, u128::from(vmid)),
            spec: ForwardSpec {
                cluster: "lab".parse().unwrap(),
                node: "pve1".parse().unwrap(),
                proto: Proto::Tcp,
                family: Family::Ipv4,
                listen: None,
                port,
                vmid: vmid.try_into().unwrap(),
                name: format!("web-{vmid}"),
                target_port: 80,
            },
            port: None,
            pinned: None,
            created_by: "ada".into(),
            created_ms: 1,
        }
    }

    fn found() -> Found {
        let (shown, name) = ("web-201 (CT 201 on pve1, lab)".into(), "web-201".into());
        Found { shown, name, firewall: false }
    }

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|a| a.parse().unwrap()).collect()
    }

    /// Those forwards, and guest 201 on pve1 with those addresses.
    fn ground(all: &[KeptForward], fixed: &[&str], given: &[&str]) -> Ground {
        let leads = Leads {
            node: "pve1".parse().unwrap(),
            fixed: addresses(fixed),
            given: addresses(given),
            ends_there: false,
        };
        Ground {
            all: all.to_vec(),
            guests: [(201.try_into().unwrap(), leads)].into(),
            own: addresses(&["10.0.0.1"]).into_iter().collect(),
        }
    }

    fn facts() -> Facts {
        Facts { has: None, touched: false, forwards: vec![Family::Ipv4] }
    }

    fn why(planned: Planned) -> String {
        match planned {
            Planned::Nothing { why } | Planned::Refused { why } => why,
            Planned::Ready(draft) => panic!("{draft:?}"),
        }
    }

    #[test]
    fn a_forward_is_planned_or_refused_with_what_helps() {
        let (one, ok) = (kept(8080, 201), found());
        let none = ground(&[], &["10.9.0.5"], &[]);
        let taken = ground(std::slice::from_ref(&one), &["10.9.0.5"], &[]);
        let Planned::Ready(draft) = plan_add(&one, &none, Some(&ok), &facts()) else { panic!() };
        assert!(draft.effects[0].contains("10.9.0.5:80"), "{:?}", draft.effects);
        assert_eq!(draft.steps[0], StepKind::Forward(ForwardStep::Record { pinned: None }));
        let again = plan_add(&one, &taken, Some(&ok), &facts());
        assert!(matches!(again, Planned::Nothing { .. }));
        let other = kept(8080, 202);
        let no = why(plan_add(&other, &taken, Some(&ok), &facts()));
        assert!(no.contains("taken") && no.contains("web-201"), "{no}");
        let six = ground(&[], &["fd00::5"], &[]);
        assert!(why(plan_add(&one, &six, Some(&ok), &facts())).contains("ipv4"));
        let node = ground(&[], &["10.0.0.1"], &[]);
        assert!(why(plan_add(&one, &node, Some(&ok), &facts())).contains("an address of a node"));
        assert!(why(plan_add(&one, &none, None, &facts())).contains("gone"));
        let off = Facts { forwards: vec![], ..facts() };
        assert!(why(plan_add(&one, &none, Some(&ok), &off)).contains("net.ipv4.ip_forward"));
        let foreign = Facts { touched: true, ..facts() };
        assert!(why(plan_add(&one, &none, Some(&ok), &foreign)).contains("/forward apply"));
        assert!(why(plan_remove(&one, true, &foreign)).contains("/forward apply"));
    }

    #[test]
    fn what_a_guest_only_says_is_confirmed_with_the_forward() {
        let one = kept(8080, 201);
        let says = ground(&[], &[], &["10.9.0.7"]);
        let Planned::Ready(draft) = plan_add(&one, &says, Some(&found()), &facts()) else {
            panic!()
        };
        let pinned = Some("10.9.0.7".parse().unwrap());
        assert_eq!(draft.steps[0], StepKind::Forward(ForwardStep::Record { pinned }));
        assert!(
            draft.warnings.iter().any(|w| w.contains("no fixed address")),
            "{:?}",
            draft.warnings
        );
    }

    #[test]
    fn applying_shows_what_is_lost_and_what_comes() {
        let node: NodeName = "pve1".parse().unwrap();
        let ground = ground(&[kept(8080, 201)], &["10.9.0.5"], &[]);
        let desired = ground.desired(&node);
        let mut by_hand = desired.entries.clone();
        by_hand[0].target_port = 81;
        let facts = Facts { has: Some(by_hand), touched: true, ..facts() };
        let apply = |facts: &Facts| plan_apply("lab", &node, &ground, facts, &|_| true);
        let Planned::Ready(draft) = apply(&facts) else { panic!() };
        assert_eq!((draft.changes.len(), draft.steps.len()), (2, 1));
        let fine = Facts { has: Some(desired.entries), touched: false, ..facts };
        assert!(matches!(apply(&fine), Planned::Nothing { .. }));
    }

    #[test]
    fn applying_confirms_another_address_and_another_node() {
        let (pve1, pve2): (NodeName, NodeName) = ("pve1".parse().unwrap(), "pve2".parse().unwrap());
        let mut one = kept(8080, 201);
        one.pinned = Some("10.9.0.7".parse().unwrap());
        let mut ground = ground(&[one.clone()], &[], &["10.9.0.8"]);
        let empty = Facts { has: Some(vec![]), ..facts() };
        let plan = |ground: &Ground, node: &NodeName, may: bool| {
            plan_apply("lab", node, ground, &empty, &|_| may)
        };
        let Planned::Ready(draft) = plan(&ground, &pve1, true) else { panic!() };
        let pinned = Some("10.9.0.8".parse().unwrap());
        let anew = |node: &NodeName| Confirmed { id: one.id.clone(), node: node.clone(), pinned };
        let first = |draft: &Draft| draft.steps[0].clone();
        let confirm = |node| StepKind::Forward(ForwardStep::Confirm { forwards: vec![anew(node)] });
        assert_eq!(first(&draft), confirm(&pve1));
        assert!(draft.effects[0].contains("10.9.0.8") && draft.effects[0].contains("10.9.0.7"));
        // Once that is written down, the plan has the same fingerprint.
        let after = with(&ground, &[anew(&pve1)]);
        let Planned::Ready(then) = plan(&after, &pve1, true) else { panic!() };
        assert_eq!((then.fingerprint, then.steps.len()), (draft.fingerprint, 1));
        // Who may not open that guest there confirms nothing.
        let no = why(plan(&ground, &pve1, false));
        assert!(no.contains("not yours to confirm"), "{no}");
        // It moved to a node whose bridge ends there.
        let guest = ground.guests.get_mut(&201.try_into().unwrap()).unwrap();
        (guest.node, guest.ends_there) = (pve2.clone(), true);
        let Planned::Ready(draft) = plan(&ground, &pve2, true) else { panic!() };
        assert_eq!(first(&draft), confirm(&pve2));
        let no = why(plan(&ground, &pve1, true));
        assert!(no.contains("/forward apply node:pve2"), "{no}");
    }
}
