//! Reads the nodes a pod could go to, and lets `core::pod::placement` choose.

use futures::stream::{self, StreamExt};
use gantry_core::id::{ClusterId, NodeName};
use gantry_core::pod::placement::{Candidate, Choice, Neighbour, choose};
use gantry_core::pod::{LivePlace, PodSpec};
use gantry_proxmox::{Freshness, ResourceKind};

use crate::{Engine, Error};

/// Most nodes looked at; Proxmox's own clusters end at about as many.
const NODES_MAX: usize = 64;
/// How many of them are read at the same time.
const READ_AT_ONCE: usize = 8;

impl Engine {
    /// Chooses where a pod goes. Read live: every node that its rules allow, and that `may` lets the asker use, is
    /// looked at. `fetched`: its image is brought to where it is missing.
    ///
    /// `Ok(Err(_))`: no node can take it; a sentence for each.
    pub(crate) async fn place_pod(
        &self,
        cluster: &ClusterId,
        spec: &PodSpec,
        fetched: bool,
        may: impl Fn(&NodeName) -> bool,
    ) -> Result<Result<Choice, Vec<String>>, Error> {
        let client = self.client(cluster)?;
        let rows = client
            .resources(Freshness::Fresh)
            .await
            .map_err(Error::proxmox("look at the nodes", cluster))?;
        let mut nodes: Vec<(NodeName, bool)> = rows
            .iter()
            .filter(|r| r.kind == ResourceKind::Node)
            .filter_map(|r| Some((r.node.clone()?, r.status.as_deref() == Some("online"))))
            .collect();
        nodes.retain(|(node, _)| may(node));
        nodes.sort();
        nodes.truncate(NODES_MAX);
        let neighbours = |node: &NodeName| -> Vec<Neighbour> {
            rows.iter()
                .filter(|r| r.guest_kind().is_some() && r.node.as_ref() == Some(node))
                .map(|r| Neighbour {
                    name: r.name.clone().unwrap_or_default(),
                    tags: r.tags().map(str::to_owned).collect(),
                })
                .collect()
        };
        let candidates: Vec<Candidate> = stream::iter(nodes)
            .map(|(node, online)| {
                let runs = neighbours(&node);
                let wanted = online
                    && spec.node.as_ref().is_none_or(|n| *n == node)
                    && spec.template.place.wants(node.as_str());
                async move {
                    let mut found = self.candidate(cluster, spec, node, wanted, runs).await;
                    found.place.has_image |= fetched;
                    found
                }
            })
            .buffered(READ_AT_ONCE)
            .collect()
            .await;
        Ok(choose(spec, &candidates))
    }

    async fn candidate(
        &self,
        cluster: &ClusterId,
        spec: &PodSpec,
        node: NodeName,
        wanted: bool,
        runs: Vec<Neighbour>,
    ) -> Candidate {
        // What is out anyway is not asked.
        if !wanted {
            return Candidate { place: LivePlace::unread(node), runs, unread: None };
        }
        match self.look_at_place(cluster, &node, spec).await {
            Ok(place) => Candidate { place, runs, unread: None },
            Err(error) => {
                Candidate { place: LivePlace::unread(node), runs, unread: Some(error.to_string()) }
            }
        }
    }
}
