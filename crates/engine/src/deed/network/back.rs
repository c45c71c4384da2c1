//! The way back of a network: never over somebody's newer change, never from under guests.

use std::collections::BTreeSet;

use gantry_core::network::{
    Edit, FIREWALL, Net, NetworkAction, Objects, Scope, changed_since, edits_back, only_ours,
    touched,
};
use gantry_core::operation::Operation;
use gantry_core::world::Users;

use super::{edits, has_firewall, reload_sent};
use crate::deed::CallFault;
use crate::{Engine, Error};

impl Engine {
    /// Why what was touched must stay as it is now: somebody has changed it since, or guests are on what would go.
    pub(super) async fn not_put_back(
        &self,
        action: &NetworkAction,
        net: &Net,
        former: &Objects,
        edits: &[Edit],
    ) -> Result<Option<String>, Error> {
        let newer = changed_since(net, former, edits);
        if !newer.is_empty() {
            return Ok(Some(format!(
                "somebody has changed {} on {} since, which gantry does not write over",
                newer.join(", "),
                action.scope
            )));
        }
        for edit in edits_back(&net.objects, former, &touched(edits)) {
            let Edit::Delete { key } = edit else { continue };
            let name = key.strip_prefix("vnet/").unwrap_or(&key);
            if name.contains('/') {
                continue;
            }
            let users = self.users_of(&action.cluster, &action.scope, name).await?;
            let users = self.users_for(None, &users);
            if let Some(why) = in_use(&users) {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Stages what leads back to the former configuration; nothing else.
    pub(super) async fn put_back(
        &self,
        op: &Operation,
        action: &NetworkAction,
    ) -> Result<(), CallFault> {
        let unsent = |e: Error| CallFault::never_sent(e.to_string());
        let (cluster, scope) = (&action.cluster, &action.scope);
        let Some(row) = self.change_row(op).await.map_err(unsent)? else { return Ok(()) };
        let (former, ours) = (&row.former.objects, touched(edits(op)));
        let net = self.network_and(cluster, scope, has_firewall(op)).await.map_err(unsent)?;
        if !only_ours(&net, former, &ours) {
            return Err(CallFault::never_sent(foreign(scope)));
        }
        if let Some(why) =
            self.not_put_back(action, &net, former, edits(op)).await.map_err(unsent)?
        {
            return Err(CallFault::never_sent(why));
        }
        if let (Scope::Node(node), true, false) = (scope, net.pending.is_some(), reload_sent(op)) {
            // Nothing of it is real yet: Proxmox's own way of dropping it is exact.
            let client = self.client(cluster).map_err(unsent)?;
            client.revert_network(node).await?;
            // The firewall's defaults hold at once: there is nothing staged to drop.
            let rest = BTreeSet::from([FIREWALL.to_owned()]);
            let rest: BTreeSet<String> = rest.intersection(&ours).cloned().collect();
            return self.stage(cluster, scope, &edits_back(&net.objects, former, &rest)).await;
        }
        self.stage(cluster, scope, &edits_back(&net.objects, former, &ours)).await
    }
}

/// That guests are on what would be removed; `None`: none are.
pub(super) fn in_use(users: &Users) -> Option<String> {
    (!users.is_empty()).then(|| format!("{} on what would be removed", users.words()))
}

pub(super) fn foreign(place: &Scope) -> String {
    format!(
        "somebody else has staged changes on {place} meanwhile, which gantry does not apply along"
    )
}
