//! Keeping every node's table what was asked for. Level-triggered: each pass compares what is with what shall be,
//! whatever has happened meanwhile: a guest has another fixed address, a node has started anew, a table was flushed. What
//! somebody has written into the table by hand is told of, not fought.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use gantry_core::action::Verb;
use gantry_core::forward::KeptForward;
use gantry_core::id::{ClusterId, NodeName};
use gantry_store::{Leftover, OpFilter};

use crate::deed::forward::{facts, is_touched, table};
use crate::shell::{Need, Who};
use crate::{Engine, Error};

/// Pause between two looks at a cluster's tables.
const EVERY: Duration = Duration::from_secs(30);

impl Engine {
    /// Keeps every node's table what was asked for; never returns.
    pub(crate) async fn keep_forwards(&self, cluster: &ClusterId) {
        let due = self.inner.forwards.of(cluster, |k| k.due.clone());
        loop {
            if self.view(cluster).is_some_and(|v| v.observed_ms > 0)
                && let Err(error) = self.forwards_pass(cluster).await
            {
                tracing::warn!(%cluster, %error, "could not look at the forwards; looking again");
            }
            tokio::select! {
                () = due.notified() => {}
                () = self.inner.clock.sleep(EVERY) => {}
            }
        }
    }

    /// What removed forwards have left in a cluster.
    pub(crate) async fn leftovers(&self, cluster: &ClusterId) -> Result<Vec<Leftover>, Error> {
        let left = self.store().list_leftovers(cluster).await;
        left.map_err(Error::store("read what removed forwards have left"))
    }

    async fn forwards_pass(&self, cluster: &ClusterId) -> Result<(), Error> {
        // In this order: what is among the leftovers is not among the others any more.
        let left = self.leftovers(cluster).await?;
        let kept = self.kept_forwards(cluster).await?;
        let nodes = kept.iter().map(|k| &k.spec.node).chain(left.iter().map(|l| &l.node));
        let nodes: BTreeSet<NodeName> = nodes.cloned().collect();
        self.inner.forwards.of(cluster, |k| k.kept.clone_from(&kept));
        // One node after another would let one that is silent keep the others waiting.
        join_all(nodes.iter().map(|node| Box::pin(self.keep_node(cluster, node, &kept, &left))))
            .await;
        Ok(())
    }

    /// Puts one node's table right where that is gantry's to do.
    async fn keep_node(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        kept: &[KeptForward],
        left: &[Leftover],
    ) {
        match self.try_node(cluster, node, kept, left).await {
            Ok(said) => self.tell(cluster, node, said),
            Err(error) => self.tell(cluster, node, Some(error.to_string())),
        }
    }

    /// Says once in the log what is wrong with a node's table.
    fn tell(&self, cluster: &ClusterId, node: &NodeName, said: Option<String>) {
        let new = self.inner.forwards.of(cluster, |k| match said {
            None => k.told.remove(node).map(|_| None),
            Some(said) if k.told.get(node) == Some(&said) => None,
            Some(said) => {
                k.told.insert(node.clone(), said.clone());
                Some(Some(said))
            }
        });
        match new {
            Some(Some(why)) => {
                tracing::warn!(%cluster, %node, %why, "the forwards of a node are not as asked for")
            }
            Some(None) => {
                tracing::info!(%cluster, %node, "the forwards of a node are as asked for")
            }
            None => {}
        }
    }

    /// `Some`: what is not as asked for, and stays so.
    async fn try_node(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        kept: &[KeptForward],
        left: &[Leftover],
    ) -> Result<Option<String>, Error> {
        let turn = format!("forwards {cluster}/{node}");
        let filter = OpFilter { open_only: true, turn: Some(turn), ..OpFilter::default() };
        if self.operations(&filter, 0, 1).await?.total > 0 {
            // It is being worked on: what is now is neither what was nor what shall be.
            return Ok(None);
        }
        let left: Vec<&Leftover> = left.iter().filter(|l| l.node == *node).collect();
        // Before the table: a rule goes whether the node can be reached or not.
        let mut said = Vec::new();
        for one in left.iter().filter(|l| l.ruled) {
            if let Err(error) = self.drop_rule(one).await {
                said.push(error.to_string());
            }
        }
        let shell = self.need_shell(cluster, node, Need::Forwards)?;
        let shown = format!("the forwards of {node} ({cluster})");
        let who = Who::Gantry(Verb::ForwardApply, &shown);
        let state = shell.watch_forwards(who).await?;
        let local = state.local.iter().copied().collect();
        self.inner.forwards.learn_local(cluster, node, local);
        let has = facts(&state).has.unwrap_or_default();
        let desired = self.desired_forwards(cluster, node, kept, &has).await?;
        self.keep_learned(cluster, node, &desired).await?;
        let wanted = table(&desired).map_err(|what| Error::Missing { what })?;
        if is_touched(&state) {
            said.push("somebody has changed the table by hand; `/forward apply` makes it what was asked for".to_owned());
            return Ok(Some(said.join("; ")));
        }
        let empty = wanted.is_empty() && state.table().is_none_or(|t| t.is_empty());
        if !state.is(&wanted) && !empty {
            if let Err(fault) = self.put_forwards(who, cluster, node, false).await {
                said.push(fault.text);
                return Ok(Some(said.join("; ")));
            }
            tracing::info!(%cluster, %node, forwards = wanted.len(), "put the forwards of a node right");
        }
        // The table is right without them; what was not removed before it was read is not in this list.
        for one in &left {
            let gone = self.store().forget_leftover(one).await;
            gone.map_err(Error::store("note what removed forwards have left"))?;
        }
        let unruled = self.store().forwards_without_rule(cluster).await;
        let unruled = unruled.map_err(Error::store("read which forwards have no rule"))?;
        let leads = |k: &&KeptForward| {
            k.spec.node == *node
                && unruled.contains(&k.id)
                && !desired.broken.iter().any(|(spec, _)| *spec == k.spec)
                && !desired.unread.contains(&k.spec)
        };
        for forward in kept.iter().filter(leads) {
            if let Err(error) = self.ensure_rule(forward).await {
                said.push(error.to_string());
            }
        }
        said.extend(desired.broken.iter().map(|(s, why)| format!("{s}: {}", why.words(s))));
        let unread = |s| format!("{s}: its guest could not be read; its line stays");
        said.extend(desired.unread.iter().map(unread));
        Ok((!said.is_empty()).then(|| said.join("; ")))
    }
}
