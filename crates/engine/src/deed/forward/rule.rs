//! The rule that lets a forward through its guest's own firewall, found again by its comment.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::audit::AuditEvent;
use gantry_core::forward::{ForwardSpec, KeptForward};
use gantry_proxmox::{FirewallAt, GuestRef as At, NewRule};
use gantry_store::Leftover;

use crate::deed::CallFault;
use crate::{Engine, Error};

/// Rules of one forward that are removed at most; there is one.
const RULES_MAX: usize = 4;

impl Engine {
    /// The firewall of the guest that has the number a forward leads to, and that guest's name; `None`: there is none.
    async fn firewall_of(&self, spec: &ForwardSpec) -> Result<Option<(FirewallAt, String)>, Error> {
        let guest = GuestRef { cluster: spec.cluster.clone(), vmid: spec.vmid };
        self.firewall_at(&guest).await
    }

    async fn firewall_at(&self, guest: &GuestRef) -> Result<Option<(FirewallAt, String)>, Error> {
        let live = self.look_at_number(guest).await?;
        Ok(live.map(|l| {
            let at = FirewallAt::Guest(At::new(l.guest.node, l.guest.kind, guest.vmid));
            (at, l.guest.name)
        }))
    }

    pub(super) async fn allow(&self, forward: &KeptForward) -> Result<(), CallFault> {
        let spec = &forward.spec;
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let Some((at, name)) = self.firewall_of(spec).await.map_err(unsent)? else {
            return Err(CallFault::never_sent(format!("{} is gone", spec.name)));
        };
        if name != spec.name {
            // Nobody has asked to open that one.
            let why = format!("the guest {} is called {name} now, not {}", spec.vmid, spec.name);
            return Err(CallFault::never_sent(why));
        }
        let rule = NewRule {
            proto: spec.proto.as_str().to_owned(),
            dport: spec.target_port,
            dest: None,
            comment: forward.comment(),
        };
        let client = self.client(&spec.cluster).map_err(unsent)?;
        client.add_firewall_rule(&at, &rule).await?;
        if let Err(error) = self.note_rule(forward).await {
            // It is there; whoever keeps the forwards sees that and notes it.
            tracing::warn!(%error, forward = %forward.id, "could not note a firewall rule");
        }
        Ok(())
    }

    /// Notes that the rule of a forward is there: from now on it is whoever takes it out who wants it so.
    async fn note_rule(&self, forward: &KeptForward) -> Result<(), Error> {
        let noted = self.store().note_forward_rule(&forward.id, self.now_ms()).await;
        noted.map_err(Error::store("note a firewall rule"))
    }

    pub(super) async fn disallow(&self, forward: &KeptForward) -> Result<(), CallFault> {
        let spec = &forward.spec;
        let guest = GuestRef { cluster: spec.cluster.clone(), vmid: spec.vmid };
        self.remove_rule(&guest, &forward.comment()).await?;
        let noted = self.store().note_rule_gone(&forward.id).await;
        noted.map_err(|e| CallFault::not_stored(e.to_string()))
    }

    /// Takes the rules with that comment out of the firewall of the guest of that number.
    async fn remove_rule(&self, guest: &GuestRef, comment: &str) -> Result<(), CallFault> {
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let Some((at, _)) = self.firewall_at(guest).await.map_err(unsent)? else { return Ok(()) };
        let client = self.client(&guest.cluster).map_err(unsent)?;
        // Positions shift: each is read anew, and the digest makes Proxmox refuse a stale one.
        for _ in 0..RULES_MAX {
            let rules = client.firewall_rules(&at).await?;
            let Some(rule) = rules.iter().find(|r| r.comment() == comment) else {
                return Ok(());
            };
            let digest = rule.fields.get("digest").map(String::as_str);
            client.delete_firewall_rule(&at, rule.pos, digest).await?;
        }
        Ok(())
    }

    /// Whether a rule with that comment is in the firewall of the guest of that number; `None`: there is no such guest.
    async fn has_rule(&self, guest: &GuestRef, comment: &str) -> Result<Option<bool>, Error> {
        let Some((at, name)) = self.firewall_at(guest).await? else { return Ok(None) };
        let what = format!("read the firewall of {name}");
        let rules = self.client(&guest.cluster)?.firewall_rules(&at).await;
        let rules = rules.map_err(Error::proxmox(what, &guest.cluster))?;
        Ok(Some(rules.iter().any(|r| r.comment() == comment)))
    }

    /// Whether the rule of a forward is in its guest's firewall; `None`: the guest is gone.
    pub(crate) async fn rule_of(&self, forward: &KeptForward) -> Result<Option<bool>, Error> {
        let spec = &forward.spec;
        let guest = GuestRef { cluster: spec.cluster.clone(), vmid: spec.vmid };
        self.has_rule(&guest, &forward.comment()).await
    }

    /// Adds the firewall rule of a forward where it is missing, once: gantry's own work, with its rows in the audit log.
    pub(crate) async fn ensure_rule(&self, forward: &KeptForward) -> Result<(), Error> {
        match self.rule_of(forward).await? {
            // Its guest has just gone; there will be another pass.
            None => return Ok(()),
            Some(true) => return self.note_rule(forward).await,
            Some(false) => {}
        }
        // Removed while this was looked at?
        if !self.find_forward(forward).await? {
            return Ok(());
        }
        let spec = &forward.spec;
        let target = format!("{spec} ({})", spec.cluster);
        let what = format!(
            "firewall of {} ({}): add the rule that lets {} {} in",
            spec.name,
            spec.vmid,
            spec.proto.as_str(),
            spec.target_port
        );
        self.tell_own((Verb::ForwardAdd, &target), &what, self.allow(forward)).await
    }

    /// Removes the firewall rule that a removed forward has left: gantry's own work, with its rows in the audit log.
    pub(crate) async fn drop_rule(&self, left: &Leftover) -> Result<(), Error> {
        let guest = GuestRef { cluster: left.cluster.clone(), vmid: left.vmid };
        let comment = gantry_core::forward::comment(&left.forward);
        if self.has_rule(&guest, &comment).await? == Some(true) {
            let target = format!("{} of {} ({})", left.forward, left.name, left.cluster);
            let what = format!(
                "firewall of {} ({}): remove the rule of a forward that was removed",
                left.name, left.vmid
            );
            let call = self.remove_rule(&guest, &comment);
            self.tell_own((Verb::ForwardRemove, &target), &what, call).await?;
        }
        let noted = self.store().note_rule_gone(&left.forward).await;
        noted.map_err(Error::store("note that a firewall rule is gone"))
    }

    /// A call that gantry makes by itself, with a row before it and a row after it.
    async fn tell_own(
        &self,
        (verb, target): (Verb, &str),
        what: &str,
        call: impl Future<Output = Result<(), CallFault>>,
    ) -> Result<(), Error> {
        self.append_own(AuditEvent::AboutTo, verb, target, what.to_owned()).await?;
        let answer = Box::pin(call).await;
        let ended = answer.as_ref().err().map_or("done", |fault| fault.text.as_str());
        let row = self.append_own(AuditEvent::Answered, verb, target, format!("{what}: {ended}"));
        if let Err(error) = row.await {
            // It was asked, and that it would be is written down.
            tracing::error!(%error, %what, %ended, "how a call ended could not be written down");
        }
        answer.map_err(|fault| Error::Missing { what: format!("{what}: {}", fault.text) })
    }
}
