//! What a change of forwards comes to, on what is known right now.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::{
    Broken, Confirmed, Drift, Entry, Family, ForwardSpec, ForwardStep, Ground, KeptForward, drift,
};
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

/// Plans one more forward. `ground` has all that are kept and the guest, where it is there; `found` is the guest; `sees`:
/// whether whoever asks may be told of the guest of another forward.
pub fn plan_add(
    forward: &KeptForward,
    ground: &Ground,
    found: Option<&Found>,
    facts: &Facts,
    sees: &dyn Fn(&ForwardSpec) -> bool,
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
        return refused(format!("{}.", why.told(sees)));
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
        Err(Broken::Another(name)) => {
            return refused(format!(
                "The guest {} is called {name} now, no longer {}. Ask again if that one is meant.",
                spec.vmid, spec.name
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

/// Plans one forward less. `there`: whether it is still kept; `gone`: whether its guest is gone, or another one has its
/// number now, so that no specification can take it out any more.
pub fn plan_remove(forward: &KeptForward, there: bool, gone: bool, facts: &Facts) -> Planned {
    let spec = &forward.spec;
    if !there {
        return Planned::Nothing { why: format!("{spec}: there is no such forward any more.") };
    }
    if let Some(port) = forward.port.as_ref().filter(|_| !gone) {
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

/// Who asks for a node's table to be made what was asked for.
pub struct Asking<'a> {
    /// Whether they may open the guest of a forward there, which confirming its address anew comes to.
    pub may: &'a dyn Fn(&KeptForward) -> bool,
    /// Whether they may be told of the guest of a forward.
    pub sees: &'a dyn Fn(&ForwardSpec) -> bool,
}

/// What is confirmed anew of a forward that leads nowhere now and shall listen on `node`, with a sentence; `None`: nothing
/// can be. The error says why it stays where it is.
fn anew(
    node: &NodeName,
    ground: &Ground,
    forward: &KeptForward,
    why: &Broken,
    sees: &dyn Fn(&ForwardSpec) -> bool,
) -> Result<Option<(Confirmed, String)>, String> {
    let spec = &forward.spec;
    let mut after = forward.clone();
    let effect = match why {
        Broken::Elsewhere(now) if now == node => {
            after.spec.node = node.clone();
            let others = ground.all.iter().filter(|k| k.id != forward.id);
            let others: Vec<_> = others.map(|k| k.spec.clone()).collect();
            after.spec.check(&others).map_err(|no| no.told(sees))?;
            format!(
                "Let {node} listen for {}:{} instead of {}: it is here now.",
                spec.name, spec.target_port, spec.node
            )
        }
        // Learned without being asked for: a pod had no address yet when it was.
        Broken::Unconfirmed(_) if forward.port.is_some() => return Ok(None),
        Broken::Unconfirmed(to) if spec.node == *node => {
            format!("Lead {spec} to {to}, which its guest says it has.")
        }
        Broken::Moved { from, to } if spec.node == *node => {
            format!("Lead {spec} to {to}, which its guest says it has, and no longer to {from}.")
        }
        Broken::Another(name) if spec.node == *node => {
            after.spec.name.clone_from(name);
            format!("Lead {spec} to {name}, which has the number {} now.", spec.vmid)
        }
        _ => return Ok(None),
    };
    let (pinned, to) = match ground.target(&after) {
        Ok(to) => (forward.pinned, Some(to)),
        Err(Broken::Unconfirmed(to) | Broken::Moved { to, .. }) => (Some(to), Some(to)),
        Err(_) => return Ok(None),
    };
    let at = match (why, to) {
        (Broken::Elsewhere(_) | Broken::Another(_), Some(to)) => format!(" That is {to}."),
        _ => String::new(),
    };
    let name = matches!(why, Broken::Another(_)).then(|| after.spec.name.clone());
    let confirmed = Confirmed { id: forward.id.clone(), node: node.clone(), pinned, name };
    Ok(Some((confirmed, format!("{effect}{at}"))))
}

/// What can be confirmed anew of the forwards that lead nowhere and shall listen on `node`, each with a sentence.
fn confirmable(
    node: &NodeName,
    ground: &Ground,
    asking: &Asking<'_>,
) -> (Vec<Confirmed>, Vec<String>, Vec<String>) {
    let (mut all, mut effects, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for forward in &ground.all {
        let Err(why) = ground.target(forward) else { continue };
        let shown = forward.spec.shown_to((asking.sees)(&forward.spec));
        match anew(node, ground, forward, &why, asking.sees) {
            Ok(None) => {}
            Ok(Some((confirmed, effect))) if (asking.may)(forward) => {
                effects.push(effect);
                all.push(confirmed);
            }
            Ok(Some(_)) => warnings.push(format!(
                "{shown} stays as it is: opening that guest here is not yours to confirm."
            )),
            Err(no) => warnings.push(format!("{shown} cannot move to {node}: {no}.")),
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
            if let Some(name) = &new.name {
                forward.spec.name.clone_from(name);
            }
        }
    }
    after
}

/// Plans making a node's table what was asked for.
pub fn plan_apply(
    cluster: &str,
    node: &NodeName,
    ground: &Ground,
    facts: &Facts,
    asking: &Asking<'_>,
) -> Planned {
    let (confirmed, mut effects, mut warnings) = confirmable(node, ground, asking);
    let desired = with(ground, &confirmed).desired(node);
    let has = facts.has.clone().unwrap_or_default();
    let difference = drift(&has, &desired);
    warnings.extend(desired.broken.iter().map(|(spec, why)| match (asking.sees)(spec) {
        true => format!("{spec} leads nowhere now: {}.", why.words(spec)),
        false => format!("{} leads nowhere now.", spec.shown_to(false)),
    }));
    let unread = desired.unread.iter().map(|spec| spec.shown_to((asking.sees)(spec)));
    warnings.extend(
        unread.map(|s| format!("{s}: its guest could not be read; its line stays as it is.")),
    );
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
            name: "web-201".into(),
            node: "pve1".parse().unwrap(),
            fixed: addresses(fixed),
            given: addresses(given),
            ends_there: false,
        };
        Ground {
            all: all.to_vec(),
            guests: [(201.try_into().unwrap(), leads)].into(),
            own: addresses(&["10.0.0.1"]).into_iter().collect(),
            ..Ground::default()
        }
    }

    fn plan_add(
        forward: &KeptForward,
        ground: &Ground,
        found: Option<&Found>,
        facts: &Facts,
    ) -> Planned {
        super::plan_add(forward, ground, found, facts, &|_| true)
    }

    fn plan_apply(node: &NodeName, ground: &Ground, facts: &Facts, may: bool) -> Planned {
        super::plan_apply("lab", node, ground, facts, &Asking { may: &|_| may, sees: &|_| true })
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
        assert!(why(plan_remove(&one, true, false, &foreign)).contains("/forward apply"));
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
        let apply = |facts: &Facts| plan_apply(&node, &ground, facts, true);
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
        let plan =
            |ground: &Ground, node: &NodeName, may: bool| plan_apply(node, ground, &empty, may);
        let Planned::Ready(draft) = plan(&ground, &pve1, true) else { panic!() };
        let pinned = Some("10.9.0.8".parse().unwrap());
        let anew = |node: &NodeName| Confirmed {
            id: one.id.clone(),
            node: node.clone(),
            pinned,
            name: None,
        };
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

    #[test]
    fn another_guest_of_that_number_is_led_to_only_once_somebody_confirms_it() {
        let node: NodeName = "pve1".parse().unwrap();
        let mut one = kept(8080, 201);
        one.spec.name = "shop-0".into();
        let mut ground = ground(&[one.clone()], &["10.9.0.5"], &[]);
        let desired = ground.desired(&node);
        assert!(desired.entries.is_empty(), "{desired:?}");
        assert_eq!(desired.broken[0].1, Broken::Another("web-201".into()));
        let empty = Facts { has: Some(vec![]), ..facts() };
        assert!(why(plan_apply(&node, &ground, &empty, false)).contains("not yours to confirm"));
        let Planned::Ready(draft) = plan_apply(&node, &ground, &empty, true) else { panic!() };
        assert!(draft.effects[0].contains("web-201") && draft.effects[0].contains("10.9.0.5"));
        let StepKind::Forward(ForwardStep::Confirm { forwards }) = &draft.steps[0] else {
            panic!()
        };
        let after = with(&ground, forwards);
        assert_eq!(after.desired(&node).entries.len(), 1);
        let Planned::Ready(then) = plan_apply(&node, &after, &empty, true) else { panic!() };
        assert_eq!(then.fingerprint, draft.fingerprint);
        // Nobody asks for a forward to another guest than the one they meant.
        let no = why(plan_add(
            &one,
            &super::Ground { all: vec![], ..ground.clone() },
            Some(&found()),
            &facts(),
        ));
        assert!(no.contains("is called web-201 now"), "{no}");
        // A port of a pod learns nothing of a stranger either, and may be taken off the list.
        ground.guests.get_mut(&201.try_into().unwrap()).unwrap().fixed.clear();
        ground.guests.get_mut(&201.try_into().unwrap()).unwrap().given = addresses(&["10.9.0.8"]);
        ground.all[0].port = Some("http".into());
        let desired = ground.desired(&node);
        assert_eq!((desired.learned.len(), desired.entries.len()), (0, 0));
        let port = ground.all[0].clone();
        assert!(why(plan_remove(&port, true, false, &empty)).contains("/pod apply"));
        assert!(matches!(plan_remove(&port, true, true, &empty), Planned::Ready(_)));
    }

    #[test]
    fn the_names_of_other_peoples_guests_are_not_told() {
        let (one, mut other) = (kept(8080, 201), kept(8080, 202));
        other.spec.name = "payroll-db".into();
        let ground = ground(std::slice::from_ref(&other), &["10.9.0.5"], &[]);
        let sees = |spec: &ForwardSpec| spec.name != "payroll-db";
        let no = why(super::plan_add(&one, &ground, Some(&found()), &facts(), &sees));
        assert!(no.contains("taken") && !no.contains("payroll"), "{no}");
        let node: NodeName = "pve1".parse().unwrap();
        let asking = Asking { may: &|_| false, sees: &sees };
        let no = why(super::plan_apply("lab", &node, &ground, &facts(), &asking));
        assert!(no.contains("leads nowhere") && !no.contains("payroll"), "{no}");
    }
}
