//! Keeping every node's table what was asked for. Level-triggered: each pass compares what is with what shall be,
//! whatever has happened meanwhile: a guest has another fixed address, a node has started anew, a table was flushed. What
//! somebody has written into the table by hand is told of, not fought.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use gantry_core::action::Verb;
use gantry_core::forward::KeptForward;
use gantry_core::id::{ClusterId, NodeName};
use gantry_store::OpFilter;

use crate::deed::forward::{is_touched, table};
use crate::shell::{Need, Who};
use crate::{Engine, Error};

/// Pause between two looks at a cluster's tables.
const EVERY: Duration = Duration::from_secs(30);
/// Where it is kept from whose tables something has to go.
fn unsettled_key(cluster: &ClusterId) -> String {
    format!("forwards-unsettled:{cluster}")
}

impl Engine {
    /// Keeps every node's table what was asked for; never returns.
    pub(crate) async fn keep_forwards(&self, cluster: &ClusterId) {
        let mut begun = false;
        loop {
            if self.view(cluster).is_some_and(|v| v.observed_ms > 0) {
                if !begun {
                    begun = self.remember_unsettled(cluster).await;
                }
                if let Err(error) = self.forwards_pass(cluster).await {
                    tracing::warn!(%cluster, %error, "could not look at the forwards; looking again");
                }
            }
            tokio::select! {
                () = self.inner.forwards.due.notified() => {}
                () = self.inner.clock.sleep(EVERY) => {}
            }
        }
    }

    async fn remember_unsettled(&self, cluster: &ClusterId) -> bool {
        match self.store().setting(&unsettled_key(cluster)).await {
            Ok(text) => {
                let text = text.unwrap_or_default();
                let nodes = text.split(' ').filter_map(|n| n.parse().ok());
                self.inner.forwards.of(cluster, |k| k.unsettled.extend(nodes));
                true
            }
            Err(error) => {
                tracing::warn!(%cluster, %error, "could not read which forwards have to go");
                false
            }
        }
    }

    async fn save_unsettled(&self, cluster: &ClusterId) -> Result<(), Error> {
        let nodes: Vec<String> = self
            .inner
            .forwards
            .of(cluster, |k| k.unsettled.iter().map(ToString::to_string).collect());
        self.store()
            .set_setting(&unsettled_key(cluster), &nodes.join(" "), self.now_ms())
            .await
            .map_err(Error::store("note which forwards have to go"))
    }

    /// Notes that something has to go from a node's table, so that it goes even when it cannot go now.
    pub(crate) async fn unsettle(&self, cluster: &ClusterId, node: &NodeName) -> Result<(), Error> {
        if self.inner.forwards.of(cluster, |k| k.unsettled.insert(node.clone())) {
            self.save_unsettled(cluster).await?;
        }
        Ok(())
    }

    async fn forwards_pass(&self, cluster: &ClusterId) -> Result<(), Error> {
        let kept = self.kept_forwards(cluster).await?;
        let mut nodes: BTreeSet<NodeName> = kept.iter().map(|k| k.spec.node.clone()).collect();
        self.inner.forwards.of(cluster, |k| {
            nodes.extend(k.unsettled.iter().cloned());
            k.allowed.retain(|id| kept.iter().any(|f| f.id == *id));
            k.kept.clone_from(&kept);
        });
        // One node after another would let one that is silent keep the others waiting.
        join_all(nodes.iter().map(|node| Box::pin(self.keep_node(cluster, node, &kept)))).await;
        Ok(())
    }

    /// Puts one node's table right where that is gantry's to do.
    async fn keep_node(&self, cluster: &ClusterId, node: &NodeName, kept: &[KeptForward]) {
        match self.try_node(cluster, node, kept).await {
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
    ) -> Result<Option<String>, Error> {
        let turn = format!("forwards {cluster}/{node}");
        let filter = OpFilter { open_only: true, turn: Some(turn), ..OpFilter::default() };
        if self.operations(&filter, 0, 1).await?.total > 0 {
            // It is being worked on: what is now is neither what was nor what shall be.
            return Ok(None);
        }
        let shell = self.need_shell(cluster, node, Need::Forwards)?;
        let shown = format!("the forwards of {node} ({cluster})");
        let who = Who::Gantry(Verb::ForwardApply, &shown);
        let state = shell.watch_forwards(who).await?;
        let desired = self.desired_forwards(cluster, node, kept).await?;
        let wanted = table(&desired).map_err(|what| Error::Missing { what })?;
        if is_touched(&state) {
            return Ok(Some(
                "somebody has changed the table by hand; `/forward apply` makes it what was asked for".to_owned(),
            ));
        }
        let empty = wanted.is_empty() && state.table().is_none_or(|t| t.is_empty());
        if !state.is(&wanted) && !empty {
            if let Err(fault) = self.put_forwards(who, cluster, node, false).await {
                return Ok(Some(fault.text));
            }
            tracing::info!(%cluster, %node, forwards = wanted.len(), "put the forwards of a node right");
        }
        for forward in kept.iter().filter(|k| k.spec.node == *node) {
            let known = self.inner.forwards.of(cluster, |k| k.allowed.contains(&forward.id));
            if !known {
                self.ensure_rule(forward).await?;
                self.inner.forwards.of(cluster, |k| k.allowed.insert(forward.id.clone()));
            }
        }
        let settled = !kept.iter().any(|k| k.spec.node == *node)
            && self.inner.forwards.of(cluster, |k| k.unsettled.remove(node));
        if settled {
            self.save_unsettled(cluster).await?;
        }
        let broken: Vec<String> =
            desired.broken.iter().map(|(s, why)| format!("{s}: {}", why.words(s))).collect();
        Ok((!broken.is_empty()).then(|| broken.join("; ")))
    }
}
