//! Port forwards: written down first, let through the guest's firewall, put in force as a whole table. What did not come
//! about is taken back: the record, the rule, the line.
//!
//! A table that somebody has changed by hand is not written over, except by `/forward apply`, which shows what is lost.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::forward::{
    Desired, Entry, Facts, Family, ForwardAction, ForwardSpec, ForwardStep, Found, KeptForward,
    Proto, desired, fixed_addresses, plan_add, plan_apply, plan_remove,
};
use gantry_core::id::{ClusterId, GuestKind, NodeName, Vmid};
use gantry_core::operation::Operation;
use gantry_core::plan::{LiveGuest, Planned, describe};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::{Guest, GuestStatus};
use gantry_nodeshell::{
    Advice, BadForward, Expected, Forward, ForwardState, ForwardTable, Listen, LiveTable, Protocol,
};
use gantry_proxmox::{FirewallAt, Freshness, GuestRef as At, NewRule};

use super::{Aim, CallFault, Look, Planning, Seen};
use crate::shell::{Need, Who};
use crate::{Engine, Error};

/// Pause before a table is put in force anew after somebody else's came in between.
const AGAIN: Duration = Duration::from_secs(1);

fn action(op: &Operation) -> Result<&ForwardAction, Error> {
    match &op.action {
        Action::Forward(action) => Ok(action),
        _ => Err(Error::Missing { what: "a forward".into() }),
    }
}

fn kept(action: &ForwardAction) -> Result<&KeptForward, Error> {
    action.forward().ok_or_else(|| Error::Missing { what: "a forward".into() })
}

/// A line of the table as the node shell writes it.
fn line(entry: &Entry) -> Result<Forward, BadForward> {
    let protocol = match entry.proto {
        Proto::Tcp => Protocol::Tcp,
        Proto::Udp => Protocol::Udp,
    };
    let listen = entry.listen.map_or(Listen::Any, Listen::At);
    Forward::new(protocol, listen, entry.port, entry.target, entry.target_port)
}

/// A line of the table in force.
fn entry(forward: &Forward) -> Entry {
    Entry {
        proto: match forward.protocol() {
            Protocol::Tcp => Proto::Tcp,
            Protocol::Udp => Proto::Udp,
        },
        listen: match forward.listen() {
            Listen::Any => None,
            Listen::At(address) => Some(address),
        },
        port: forward.port(),
        target: forward.target(),
        target_port: forward.target_port(),
    }
}

/// The whole table as it shall be.
pub(crate) fn table(desired: &Desired) -> Result<ForwardTable, String> {
    let lines = desired.entries.iter().map(line).collect::<Result<Vec<_>, _>>();
    lines.and_then(ForwardTable::new).map_err(|e| e.to_string())
}

/// What is known of a node's table, in the words of plans.
pub(crate) fn facts(state: &ForwardState) -> Facts {
    let mut has = state.table().map(|table| table.iter().map(entry).collect::<Vec<_>>());
    if let Some(all) = &mut has {
        all.sort();
    }
    let mut forwards = Vec::new();
    if state.forwards_ipv4 {
        forwards.push(Family::Ipv4);
    }
    if state.forwards_ipv6 {
        forwards.push(Family::Ipv6);
    }
    Facts { has, touched: is_touched(state), forwards }
}

/// Whether somebody else has a hand in a table. One that is gone was taken by a restart or a flush: nobody's work is lost
/// by putting it back.
pub(crate) fn is_touched(state: &ForwardState) -> bool {
    match &state.live {
        LiveTable::Absent => false,
        LiveTable::Foreign => true,
        LiveTable::Ours { .. } => !state.untouched,
    }
}

/// Which table must be in force for a new one to take its place; `force`: whatever somebody has made of it.
pub(crate) fn expected(state: &ForwardState, force: bool) -> Expected {
    match &state.live {
        LiveTable::Absent => Expected::Absent,
        LiveTable::Ours { generation, .. } => Expected::Generation(generation.clone()),
        LiveTable::Foreign if force => Expected::Any,
        // Refused by the node: another table than the absent one is in force.
        LiveTable::Foreign => Expected::Absent,
    }
}

impl Engine {
    /// A forward is judged by the guest it opens; a node's whole table by the node.
    pub(super) fn forward_ruling(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &ForwardAction,
    ) -> Ruling {
        match action.forward() {
            Some(forward) => {
                let guest =
                    GuestRef { cluster: forward.spec.cluster.clone(), vmid: forward.spec.vmid };
                self.guest_ruling(actor, verb, &guest)
            }
            None => self.may(actor, verb, Target::Node(action.cluster(), action.node())),
        }
    }

    /// The forwards that are kept of a cluster.
    pub(crate) async fn kept_forwards(
        &self,
        cluster: &ClusterId,
    ) -> Result<Vec<KeptForward>, Error> {
        self.store().list_forwards(Some(cluster)).await.map_err(Error::store("read the forwards"))
    }

    /// The guest a forward leads to with the addresses it has now, and what policy goes by; `None`: it is gone.
    async fn look_at_target(&self, spec: &ForwardSpec) -> Result<Option<(Found, Guest)>, Error> {
        let Some(live) = self.look_at_leads_to(spec).await? else { return Ok(None) };
        let addresses = self.addresses_of(&spec.cluster, &live.guest).await?;
        let at = At::new(live.guest.node.clone(), live.guest.kind, spec.vmid);
        let options =
            self.client(&spec.cluster)?.firewall_options(&FirewallAt::Guest(at)).await.map_err(
                Error::proxmox(format!("read the firewall of {}", spec.name), &spec.cluster),
            )?;
        let found = Found {
            shown: describe(&live.guest),
            name: live.guest.name.clone(),
            addresses,
            firewall: options.get("enable").is_some_and(|v| v == "1"),
        };
        Ok(Some((found, live.guest)))
    }

    /// The guest a forward leads to, read now; `None`: the cluster knows no guest of that number.
    async fn look_at_leads_to(&self, spec: &ForwardSpec) -> Result<Option<LiveGuest>, Error> {
        let guest = GuestRef { cluster: spec.cluster.clone(), vmid: spec.vmid };
        let seen = self.view(&guest.cluster).and_then(|v| v.guest(guest.vmid).map(|g| g.kind));
        let kinds = match seen {
            Some(GuestKind::Qemu) => [GuestKind::Qemu, GuestKind::Lxc],
            _ => [GuestKind::Lxc, GuestKind::Qemu],
        };
        for kind in kinds {
            if let Some(live) = self.look_at_guest(&guest, kind).await? {
                return Ok(Some(live));
            }
        }
        Ok(None)
    }

    /// The firewall of the guest a forward leads to; `None`: the guest is gone.
    async fn firewall_of(&self, spec: &ForwardSpec) -> Result<Option<FirewallAt>, Error> {
        let live = self.look_at_leads_to(spec).await?;
        Ok(live.map(|l| FirewallAt::Guest(At::new(l.guest.node, l.guest.kind, spec.vmid))))
    }

    /// The addresses a guest has: those of its configuration, and those a running container was given.
    async fn addresses_of(&self, cluster: &ClusterId, guest: &Guest) -> Result<Vec<IpAddr>, Error> {
        let client = self.client(cluster)?;
        let at = At::new(guest.node.clone(), guest.kind, guest.vmid);
        let fail = || Error::proxmox(format!("read the addresses of {}", guest.name), cluster);
        let config = client.guest_config(&at, Freshness::Fresh).await.map_err(fail())?;
        let fixed = config.raw.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let mut found = fixed_addresses(fixed);
        let given = guest.kind == GuestKind::Lxc && guest.status == GuestStatus::Running;
        if given && (!found.iter().any(IpAddr::is_ipv4) || !found.iter().any(IpAddr::is_ipv6)) {
            for address in client.container_addresses(&at).await.map_err(fail())? {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
        }
        Ok(found)
    }

    /// The table a node shall have, by the addresses guests have now.
    pub(crate) async fn desired_forwards(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        kept: &[KeptForward],
    ) -> Result<Desired, Error> {
        let specs: Vec<ForwardSpec> =
            kept.iter().map(|k| k.spec.clone()).filter(|s| s.node == *node).collect();
        let mut addresses: BTreeMap<Vmid, Vec<IpAddr>> = BTreeMap::new();
        for spec in &specs {
            let vmid = spec.vmid;
            if addresses.contains_key(&vmid) {
                continue;
            }
            if let Some(live) = self.look_at_leads_to(spec).await? {
                addresses.insert(vmid, self.addresses_of(cluster, &live.guest).await?);
            }
        }
        Ok(desired(node, &specs, &addresses))
    }

    pub(super) async fn plan_forward_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &ForwardAction,
    ) -> Result<Planning, Error> {
        let (cluster, node) = (action.cluster(), action.node());
        let shell = self.need_shell(cluster, node, Need::Forwards)?;
        let shown = action.shown();
        let state = shell.forwards(Who::Asker(actor, verb, &shown)).await?;
        let facts = facts(&state);
        let all = self.kept_forwards(cluster).await?;
        let mut ruling = self.forward_ruling(actor, verb, action);
        let planned = match action {
            ForwardAction::Add { forward } => {
                let target = self.look_at_target(&forward.spec).await?;
                if let Some((_, guest)) = &target
                    && ruling.is_allowed()
                    && let denied @ Ruling::Denied { .. } =
                        self.may(actor, verb, Target::Guest(guest))
                {
                    // Tags and pool may have changed since the summary was read.
                    ruling = denied;
                }
                plan_add(forward, &all, target.as_ref().map(|(found, _)| found), &facts)
            }
            ForwardAction::Remove { forward } => {
                plan_remove(forward, all.iter().any(|k| k.id == forward.id), &facts)
            }
            ForwardAction::Apply { .. } => {
                let desired = self.desired_forwards(cluster, node, &all).await?;
                plan_apply(cluster.as_str(), node, &desired, &facts)
            }
        };
        Ok(Planning { planned, ruling, read_ms: self.now_ms() })
    }

    pub(super) async fn look_before_forward(
        &self,
        op: &Operation,
        n: usize,
        step: ForwardStep,
    ) -> Result<Look, Error> {
        let action = action(op)?;
        let (cluster, node) = (action.cluster(), action.node());
        let go = || Ok(Look::Go(Aim { node: node.clone(), vmid: None, seen: Vec::new() }));
        let already = |why: &str| Ok(Look::Already(why.to_owned()));
        match step {
            ForwardStep::Record => {
                let forward = kept(action)?;
                let target = self.look_at_target(&forward.spec).await?.map(|(found, _)| found);
                let all = self.kept_forwards(cluster).await?;
                if all.iter().any(|k| k.id == forward.id) {
                    return already("it was already written down");
                }
                let shell = self.need_shell(cluster, node, Need::Forwards)?;
                let facts = facts(&shell.forwards(Who::Step(op)).await?);
                match plan_add(forward, &all, target.as_ref(), &facts) {
                    Planned::Ready(draft) if draft.fingerprint == op.fingerprint => go(),
                    Planned::Ready(_) => Ok(Look::Changed(format!(
                        "{} is not as it was when this was confirmed",
                        forward.spec.name
                    ))),
                    Planned::Nothing { why } | Planned::Refused { why } => Ok(Look::Changed(why)),
                }
            }
            ForwardStep::Forget => {
                let forward = kept(action)?;
                match self.find_forward(forward).await? {
                    true => go(),
                    false => already("it was already off the list"),
                }
            }
            ForwardStep::Allow => {
                let forward = kept(action)?;
                match self.rule_of(forward).await? {
                    None => Ok(Look::Changed(format!("{} is gone", forward.spec.name))),
                    Some(true) => already("the rule is there"),
                    Some(false) => go(),
                }
            }
            ForwardStep::Disallow => match self.rule_of(kept(action)?).await? {
                None => already("the guest is gone, and its firewall with it"),
                Some(false) => already("the rule is gone"),
                Some(true) => go(),
            },
            ForwardStep::Put => {
                let state = self.forwards_now(op, action).await?;
                let wanted = self.wanted(cluster, node).await?;
                let force = matches!(action, ForwardAction::Apply { .. });
                if state.is(&wanted) {
                    return already("that table is in force");
                }
                if is_touched(&state) && !force {
                    return Ok(Look::Changed(format!(
                        "somebody has changed gantry's table on {node} by hand"
                    )));
                }
                if force && n == 0 {
                    let all = self.kept_forwards(cluster).await?;
                    let desired = self.desired_forwards(cluster, node, &all).await?;
                    let now = plan_apply(cluster.as_str(), node, &desired, &facts(&state));
                    if let Planned::Ready(draft) = now
                        && draft.fingerprint != op.fingerprint
                    {
                        return Ok(Look::Changed(format!(
                            "the forwards of {node} are not as they were when this was confirmed"
                        )));
                    }
                }
                go()
            }
            ForwardStep::TakeBack => {
                let forward = kept(action)?;
                let broken = op.broken.is_some();
                if !broken {
                    return already("it stands");
                }
                if !self.find_forward(forward).await?
                    && self.rule_of(forward).await? != Some(true)
                    && self.forwards_now(op, action).await?.is(&self.wanted(cluster, node).await?)
                {
                    return already("nothing of it is left");
                }
                go()
            }
        }
    }

    pub(super) async fn call_forward(
        &self,
        op: &Operation,
        step: ForwardStep,
    ) -> Result<(), CallFault> {
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let stored = |e: gantry_store::StoreError| CallFault::not_stored(e.to_string());
        let action = action(op).map_err(unsent)?;
        match step {
            ForwardStep::Record => {
                let forward = kept(action).map_err(unsent)?;
                match self.store().add_forward(forward).await.map_err(stored)? {
                    None => Ok(()),
                    Some(other) => {
                        Err(CallFault::never_sent(format!("that port is taken: {}", other.spec)))
                    }
                }
            }
            ForwardStep::Forget => {
                let forward = kept(action).map_err(unsent)?;
                // Should the node not be reached afterwards, its table is put right later on.
                self.unsettle(action.cluster(), action.node()).await.map_err(unsent)?;
                self.store().remove_forward(&forward.id).await.map_err(stored)?;
                Ok(())
            }
            ForwardStep::Allow => self.allow(kept(action).map_err(unsent)?).await,
            ForwardStep::Disallow => self.disallow(kept(action).map_err(unsent)?).await,
            ForwardStep::Put => {
                let force = matches!(action, ForwardAction::Apply { .. });
                self.put_forwards(Who::Step(op), action.cluster(), action.node(), force).await
            }
            ForwardStep::TakeBack => {
                let forward = kept(action).map_err(unsent)?;
                self.unsettle(action.cluster(), action.node()).await.map_err(unsent)?;
                self.store().remove_forward(&forward.id).await.map_err(stored)?;
                self.disallow(forward).await?;
                self.put_forwards(Who::Step(op), action.cluster(), action.node(), false).await
            }
        }
    }

    /// Puts in force what a node's table shall be, on what is in force right now.
    pub(crate) async fn put_forwards(
        &self,
        who: Who<'_>,
        cluster: &ClusterId,
        node: &NodeName,
        force: bool,
    ) -> Result<(), CallFault> {
        let shell = self.need_shell(cluster, node, Need::Forwards).map_err(CallFault::shell)?;
        let state = shell.forwards(who).await.map_err(CallFault::shell)?;
        let wanted = self.wanted(cluster, node).await.map_err(CallFault::shell)?;
        if state.is(&wanted) {
            return Ok(());
        }
        if is_touched(&state) && !force {
            return Err(CallFault::never_sent(format!(
                "somebody has changed gantry's table on {node} by hand"
            )));
        }
        let expected = expected(&state, force);
        let Err(error) = shell.apply_forwards(who, expected, wanted).await else { return Ok(()) };
        let conflict = matches!(&error, Error::Shell { source, .. }
            if matches!(**source, gantry_nodeshell::Error::Conflict { .. }));
        let mut fault = CallFault::shell(error);
        // Refused because another table came in between, or because a program of the node listens there? The first
        // passes.
        if conflict
            && let Ok(now) = shell.forwards(who).await
            && now.live != state.live
        {
            fault.advice = Advice::RetryAfter(AGAIN);
        }
        Err(fault)
    }

    async fn allow(&self, forward: &KeptForward) -> Result<(), CallFault> {
        let spec = &forward.spec;
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let Some(at) = self.firewall_of(spec).await.map_err(unsent)? else {
            return Err(CallFault::never_sent(format!("{} is gone", spec.name)));
        };
        let rule = NewRule {
            proto: spec.proto.as_str().to_owned(),
            dport: spec.target_port,
            dest: None,
            comment: forward.comment(),
        };
        let client = self.client(&spec.cluster).map_err(unsent)?;
        Ok(client.add_firewall_rule(&at, &rule).await?)
    }

    async fn disallow(&self, forward: &KeptForward) -> Result<(), CallFault> {
        let spec = &forward.spec;
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let Some(at) = self.firewall_of(spec).await.map_err(unsent)? else { return Ok(()) };
        let client = self.client(&spec.cluster).map_err(unsent)?;
        // Positions shift: each is read anew, and the digest makes Proxmox refuse a stale one.
        for _ in 0..RULES_MAX {
            let rules = client.firewall_rules(&at).await?;
            let Some(rule) = rules.iter().find(|r| r.comment() == forward.comment()) else {
                return Ok(());
            };
            let digest = rule.fields.get("digest").map(String::as_str);
            client.delete_firewall_rule(&at, rule.pos, digest).await?;
        }
        Ok(())
    }

    /// Whether the rule of a forward is in its guest's firewall; `None`: the guest is gone.
    async fn rule_of(&self, forward: &KeptForward) -> Result<Option<bool>, Error> {
        let spec = &forward.spec;
        let Some(at) = self.firewall_of(spec).await? else { return Ok(None) };
        let rules = self.client(&spec.cluster)?.firewall_rules(&at).await.map_err(
            Error::proxmox(format!("read the firewall of {}", spec.name), &spec.cluster),
        )?;
        Ok(Some(rules.iter().any(|r| r.comment() == forward.comment())))
    }

    /// Adds the firewall rule of a forward where it is missing; `true`: it was.
    pub(crate) async fn ensure_rule(&self, forward: &KeptForward) -> Result<bool, Error> {
        if self.rule_of(forward).await? != Some(false) {
            return Ok(false);
        }
        let (cluster, name) = (&forward.spec.cluster, &forward.spec.name);
        self.allow(forward).await.map_err(|fault| Error::Missing {
            what: format!("the firewall rule of {name} ({cluster}): {}", fault.text),
        })?;
        Ok(true)
    }

    async fn find_forward(&self, forward: &KeptForward) -> Result<bool, Error> {
        let found = self.store().find_forward(&forward.id).await;
        Ok(found.map_err(Error::store("read the forwards"))?.is_some())
    }

    async fn forwards_now(
        &self,
        op: &Operation,
        action: &ForwardAction,
    ) -> Result<ForwardState, Error> {
        let shell = self.need_shell(action.cluster(), action.node(), Need::Forwards)?;
        shell.forwards(Who::Step(op)).await
    }

    /// The table a node shall have now.
    pub(crate) async fn wanted(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
    ) -> Result<ForwardTable, Error> {
        let all = self.kept_forwards(cluster).await?;
        let desired = self.desired_forwards(cluster, node, &all).await?;
        table(&desired).map_err(|what| Error::Missing { what })
    }

    pub(super) async fn is_forward_met(
        &self,
        op: &Operation,
        step: ForwardStep,
    ) -> Result<Seen, Error> {
        let action = action(op)?;
        let (cluster, node) = (action.cluster(), action.node());
        let met = match step {
            ForwardStep::Record => self.find_forward(kept(action)?).await?,
            ForwardStep::Forget => !self.find_forward(kept(action)?).await?,
            ForwardStep::Allow => self.rule_of(kept(action)?).await? == Some(true),
            ForwardStep::Disallow => self.rule_of(kept(action)?).await? != Some(true),
            ForwardStep::Put => {
                self.forwards_now(op, action).await?.is(&self.wanted(cluster, node).await?)
            }
            ForwardStep::TakeBack => {
                let forward = kept(action)?;
                !self.find_forward(forward).await?
                    && self.rule_of(forward).await? != Some(true)
                    && self.forwards_now(op, action).await?.is(&self.wanted(cluster, node).await?)
            }
        };
        // Own records need no node to be told of.
        let now = match action.forward() {
            Some(forward) if step.is_own_record() => {
                let there = self.find_forward(forward).await?;
                let word = if there { "is on the list" } else { "is not on the list" };
                format!("{} {word}.", forward.spec)
            }
            _ => self.tell_forwards(op, action).await?,
        };
        Ok(Seen { met, now })
    }

    /// What is true of a node's forwards, as a sentence.
    async fn tell_forwards(&self, op: &Operation, action: &ForwardAction) -> Result<String, Error> {
        let node = action.node();
        let state = self.forwards_now(op, action).await?;
        let Some(forward) = action.forward() else {
            let count = state.table().map_or(0, ForwardTable::len);
            return Ok(format!("{count} forwards are in force on {node}."));
        };
        let spec = &forward.spec;
        let has = facts(&state).has.unwrap_or_default();
        let here = has.iter().find(|e| {
            (e.proto, Family::of(e.target), e.listen, e.port)
                == (spec.proto, spec.family, spec.listen, spec.port)
        });
        Ok(match here {
            Some(entry) => format!("On {node} is in force: {}.", entry.shown()),
            None => format!("{} port {} of {node} leads nowhere.", spec.proto.as_str(), spec.port),
        })
    }
}

/// Rules of one forward that are removed at most; there is one.
const RULES_MAX: usize = 4;
