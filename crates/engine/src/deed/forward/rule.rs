//! The rule that lets a forward through its guest's own firewall, found again by its comment.

use gantry_core::forward::{ForwardSpec, KeptForward};
use gantry_proxmox::{FirewallAt, GuestRef as At, NewRule};

use crate::deed::CallFault;
use crate::{Engine, Error};

/// Rules of one forward that are removed at most; there is one.
const RULES_MAX: usize = 4;

impl Engine {
    /// The firewall of the guest a forward leads to; `None`: the guest is gone.
    async fn firewall_of(&self, spec: &ForwardSpec) -> Result<Option<FirewallAt>, Error> {
        let live = self.look_at_leads_to(spec).await?;
        Ok(live.map(|l| FirewallAt::Guest(At::new(l.guest.node, l.guest.kind, spec.vmid))))
    }

    pub(super) async fn allow(&self, forward: &KeptForward) -> Result<(), CallFault> {
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

    pub(super) async fn disallow(&self, forward: &KeptForward) -> Result<(), CallFault> {
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
    pub(super) async fn rule_of(&self, forward: &KeptForward) -> Result<Option<bool>, Error> {
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
}
