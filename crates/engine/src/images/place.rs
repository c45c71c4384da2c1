//! Where an image is, or shall be: which node, which storage. From memory, and only what the asker may see.

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName, StorageId};
use gantry_core::image::{Content, ImageVolid, Place};
use gantry_core::near::nearest;
use gantry_core::policy::{Actor, Target};
use gantry_core::world::{ClusterView, NodeState};

use super::ask::Want;
use crate::Engine;
use crate::propose::Answer;

/// A place that was looked for.
pub(super) enum PlaceFound {
    One(Place),
    Not(Answer),
}

impl Engine {
    /// The file somebody means, from memory; a name that several nodes have is never guessed.
    pub(super) fn find_place(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        volid: &ImageVolid,
        node: Option<&NodeName>,
    ) -> PlaceFound {
        let refused = |why: String| PlaceFound::Not(Answer::Refused { why });
        let Some(view) = self.view(cluster) else {
            return refused(format!("There is no cluster {cluster}."));
        };
        let having: Vec<_> = view
            .storages
            .iter()
            .filter(|s| s.id == *volid.storage() && node.is_none_or(|n| *n == s.node))
            .filter(|s| view.node(&s.node).is_some_and(|n| n.state == NodeState::Up))
            .collect();
        let at = |node: &NodeName, shared| {
            PlaceFound::One(Place { node: node.clone(), shared, volid: volid.clone() })
        };
        let known: Vec<_> = having
            .iter()
            .filter(|s| {
                let text = volid.to_string();
                view.images.iter().any(|i| i.volid == text && (s.shared || i.node == s.node))
            })
            .collect();
        match (having.as_slice(), known.as_slice()) {
            ([], _) => {
                let wanted = volid.storage();
                let there = self.storages_for_images(actor, &view, wanted, node);
                refused(match node {
                    Some(node) => format!("{node} is not up, or has no storage {wanted}.{there}"),
                    None => format!("No node that is up has a storage {wanted}.{there}"),
                })
            }
            ([first, ..], _) if first.shared => at(&first.node, true),
            ([one], _) => at(&one.node, false),
            (_, [one]) => at(&one.node, false),
            (several, known) => {
                let list = if known.is_empty() { several.iter().collect() } else { known.to_vec() };
                let names: Vec<String> = list.iter().map(|s| s.node.to_string()).collect();
                refused(format!(
                    "{volid} can be on {}. Say which with the option node.",
                    names.join(", ")
                ))
            }
        }
    }

    /// Storages that take images, those whose names are near to `wanted` first, as the end of a sentence: of one node,
    /// or of all the asker may see.
    fn storages_for_images(
        &self,
        actor: &Actor,
        view: &ClusterView,
        wanted: &StorageId,
        node: Option<&NodeName>,
    ) -> String {
        let sees = |node: &NodeName| {
            self.may(actor, Verb::ImageList, Target::Node(&view.cluster, node)).is_allowed()
        };
        let have = view
            .storages
            .iter()
            .filter(|s| node.is_none_or(|n| *n == s.node) && sees(&s.node))
            .filter(|s| s.content.iter().any(|c| c.parse::<Content>().is_ok()))
            .map(|s| s.id.as_str());
        match nearest(wanted.as_str(), have).as_slice() {
            [] => String::new(),
            some => format!(" There are: {}.", some.join(", ")),
        }
    }

    /// Where the image shall be: one place for `pull`, one for each node or shared storage for `prepare`.
    pub(super) fn choose_places(
        &self,
        actor: &Actor,
        want: &Want,
        content: Content,
        storage: Option<&StorageId>,
        file: &str,
    ) -> Result<Vec<Place>, String> {
        let cluster = &want.cluster;
        let view = self.view(cluster).ok_or_else(|| format!("There is no cluster {cluster}."))?;
        let up = |node: &NodeName| view.node(node).is_some_and(|n| n.state == NodeState::Up);
        let mut nodes: Vec<&NodeName> = view
            .nodes
            .iter()
            .map(|n| &n.name)
            .filter(|n| want.node.as_ref().is_none_or(|w| w == *n))
            .filter(|n| self.may(actor, want.verb, Target::Node(cluster, n)).is_allowed())
            .collect();
        if let Some(node) = &want.node {
            if view.node(node).is_none() {
                return Err(format!("{cluster} has no node {node}."));
            }
            // Denied or down: planning says which of the two.
            if nodes.is_empty() {
                nodes.push(node);
            }
        } else {
            nodes.retain(|n| up(n));
        }
        let mut places: Vec<Place> = Vec::new();
        let mut room: Vec<u64> = Vec::new();
        for node in nodes {
            let best = view
                .storages
                .iter()
                .filter(|s| s.node == *node && storage.is_none_or(|w| *w == s.id))
                .filter(|s| {
                    storage.is_some() || s.active && s.content.iter().any(|c| c == content.as_str())
                })
                .max_by_key(|s| (s.shared, s.total.saturating_sub(s.used)));
            let (id, shared, free) = match (best, storage) {
                (Some(s), _) => (s.id.clone(), s.shared, s.total.saturating_sub(s.used)),
                // Let planning say that the node has no such storage, and which it has.
                (None, Some(storage)) if want.node.is_some() => (storage.clone(), false, 0),
                (None, _) => continue,
            };
            let volid = ImageVolid::new(id, content, file).map_err(|e| format!("{e}."))?;
            let place = Place { node: node.clone(), shared, volid };
            if places.iter().all(|p| p.key() != place.key()) {
                places.push(place);
                room.push(free);
            }
        }
        if let (Some(wanted), []) = (storage, places.as_slice()) {
            let there = self.storages_for_images(actor, &view, wanted, None);
            return Err(format!("No node of {cluster} that is up has a storage {wanted}.{there}"));
        }
        if want.verb == Verb::ImagePull && places.len() > 1 {
            // One place is asked for: the shared one, else where there is most room.
            let best = (0..places.len()).max_by_key(|i| (places[*i].shared, room[*i])).unwrap_or(0);
            return Ok(vec![places.swap_remove(best)]);
        }
        Ok(places)
    }
}
