//! What a change of forwards comes to, on what is known right now.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::{Desired, Drift, Entry, Family, ForwardStep, KeptForward, drift};
use crate::id::NodeName;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned};

/// The guest a forward leads to, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As people read it: `web-0 (CT 201 on pve1, lab)`.
    pub shown: String,
    /// Its name.
    pub name: String,
    /// The addresses it has.
    pub addresses: Vec<IpAddr>,
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

/// Plans one more forward. `there` are all that are kept; `found` is the guest, where it is there.
pub fn plan_add(
    forward: &KeptForward,
    there: &[KeptForward],
    found: Option<&Found>,
    facts: &Facts,
) -> Planned {
    let refused = |why: String| Planned::Refused { why };
    let spec = &forward.spec;
    let same = |other: &&KeptForward| {
        other.spec.collides(spec)
            && (other.spec.vmid, other.spec.target_port) == (spec.vmid, spec.target_port)
    };
    if let Some(other) = there.iter().find(same) {
        return Planned::Nothing {
            why: format!("There is just this forward already: {}.", other.spec),
        };
    }
    let specs: Vec<_> = there.iter().map(|k| k.spec.clone()).collect();
    if let Err(why) = spec.check(&specs) {
        return refused(format!("{why}."));
    }
    let Some(found) = found else {
        return refused(format!("{} is gone: Proxmox does not know it any more.", spec.name));
    };
    let family = spec.family.as_str();
    let Some(target) = found.addresses.iter().find(|a| Family::of(**a) == spec.family) else {
        return refused(format!(
            "{} has no {family} address that is known now. A container has one once it runs; a fixed address is known always.",
            found.shown
        ));
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
        steps: [ForwardStep::Record, ForwardStep::Allow, ForwardStep::Put, ForwardStep::TakeBack]
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

/// Plans making a node's table what was asked for.
pub fn plan_apply(cluster: &str, node: &NodeName, desired: &Desired, facts: &Facts) -> Planned {
    let has = facts.has.clone().unwrap_or_default();
    let difference = drift(&has, desired);
    if difference.is_none() && !facts.touched && facts.has.is_some() {
        return Planned::Nothing {
            why: format!("The forwards of {node} are as they were asked for."),
        };
    }
    let mut warnings: Vec<String> = desired
        .broken
        .iter()
        .map(|(spec, why)| format!("{spec} leads nowhere now: {}.", why.words()))
        .collect();
    if facts.touched {
        warnings.push("Somebody has changed the table by hand; what is not listed as a forward of gantry's is lost.".into());
    }
    let entries: Vec<String> = desired.entries.iter().map(Entry::shown).collect();
    let before: Vec<String> = has.iter().map(Entry::shown).collect();
    Planned::Ready(Draft {
        name: node.to_string(),
        target: format!("the forwards of {node} ({cluster})"),
        effects: vec![format!(
            "Make gantry's table on {node} what was asked for: {} forwards.",
            entries.len()
        )],
        changes: difference.as_ref().map(changes).unwrap_or_default(),
        warnings,
        steps: vec![StepKind::Forward(ForwardStep::Put)],
        fingerprint: hash(&serde_json::json!([before, facts.touched, entries])),
        digest: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::{ForwardSpec, Proto};

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
            created_by: "ada".into(),
            created_ms: 1,
        }
    }

    fn found(addresses: &[&str]) -> Found {
        Found {
            shown: "web-201 (CT 201 on pve1, lab)".into(),
            name: "web-201".into(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            firewall: false,
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
        let (one, ok) = (kept(8080, 201), found(&["10.9.0.5"]));
        let Planned::Ready(draft) = plan_add(&one, &[], Some(&ok), &facts()) else { panic!() };
        assert!(draft.effects[0].contains("10.9.0.5:80"), "{:?}", draft.effects);
        let again = plan_add(&one, std::slice::from_ref(&one), Some(&ok), &facts());
        assert!(matches!(again, Planned::Nothing { .. }));
        let other = kept(8080, 202);
        let taken = why(plan_add(&other, std::slice::from_ref(&one), Some(&ok), &facts()));
        assert!(taken.contains("taken") && taken.contains("web-201"), "{taken}");
        assert!(why(plan_add(&one, &[], Some(&found(&["fd00::5"])), &facts())).contains("ipv4"));
        assert!(why(plan_add(&one, &[], None, &facts())).contains("gone"));
        let off = Facts { forwards: vec![], ..facts() };
        assert!(why(plan_add(&one, &[], Some(&ok), &off)).contains("net.ipv4.ip_forward"));
        let foreign = Facts { touched: true, ..facts() };
        assert!(why(plan_add(&one, &[], Some(&ok), &foreign)).contains("/forward apply"));
        assert!(why(plan_remove(&one, true, &foreign)).contains("/forward apply"));
    }

    #[test]
    fn applying_shows_what_is_lost_and_what_comes() {
        let node: NodeName = "pve1".parse().unwrap();
        let all = [kept(8080, 201).spec];
        let addresses = [(all[0].vmid, vec!["10.9.0.5".parse().unwrap()])].into();
        let desired = super::super::desired(&node, &all, &addresses);
        let mut by_hand = desired.entries.clone();
        by_hand[0].target_port = 81;
        let facts = Facts { has: Some(by_hand), touched: true, ..facts() };
        let Planned::Ready(draft) = plan_apply("lab", &node, &desired, &facts) else { panic!() };
        assert_eq!(draft.changes.len(), 2);
        let fine = Facts { has: Some(desired.entries.clone()), touched: false, ..facts };
        assert!(matches!(plan_apply("lab", &node, &desired, &fine), Planned::Nothing { .. }));
    }
}
