//! Backups between two looks: how each ended last, and how old each guest's newest is. What can no longer be said of
//! anything, because it is gone, is forgotten; a backup that is gone makes nothing good.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metric, Sample, Subject};
use crate::id::{NodeName, Vmid};
use crate::world::{ClusterView, NodeState};

/// Outcomes of backups remembered.
const KEPT: usize = 4000;
/// A guest that is backed up may be newer than the look at its cluster.
const NEW_MS: i64 = 120_000;

/// How a backup ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BackupEnd {
    pub(super) name: String,
    pub(super) node: NodeName,
    pub(super) at_ms: i64,
    pub(super) failure: Option<String>,
}

/// The guest an outcome is about, by what it is known by: `vzdump/201`; `None` for a whole job, `vzdump@pve1`.
fn guest_of(id: &str) -> Option<Vmid> {
    id.strip_prefix("vzdump/")?.parse().ok()
}

/// Forgets how backups of guests and nodes ended that are not there any more: no later one can make that good.
pub(super) fn forget(ends: &mut BTreeMap<String, BackupEnd>, view: &ClusterView, now_ms: i64) {
    ends.retain(|id, end| {
        let node = view.node(&end.node);
        match guest_of(id) {
            Some(vmid) => {
                // Where its node is lost, nobody can say.
                let lost = node.is_some_and(|n| n.state != NodeState::Up);
                view.guest(vmid).is_some() || lost || now_ms - end.at_ms < NEW_MS
            }
            None => node.is_some(),
        }
    });
    while ends.len() > KEPT {
        let oldest = ends.iter().min_by_key(|(_, b)| b.at_ms);
        let Some(key) = oldest.map(|(k, _)| k.clone()) else { break };
        ends.remove(&key);
    }
}

/// How each ended last.
pub(super) fn outcomes(ends: &BTreeMap<String, BackupEnd>, view: &ClusterView) -> Vec<Sample> {
    let sample = |(id, end): (&String, &BackupEnd)| {
        let mut subject = Subject::task(&view.cluster, id, &end.name, &end.node);
        if let Some(guest) = guest_of(id).and_then(|v| view.guest(v)) {
            // Selectors by tag and pool hold for a guest's backup as well.
            subject.tags.clone_from(&guest.tags);
            subject.pool.clone_from(&guest.pool);
        }
        let failed = f64::from(u8::from(end.failure.is_some()));
        let sample = Sample::new(subject, Metric::BackupFailed, failed);
        sample.detail(end.failure.clone().unwrap_or_default())
    };
    ends.iter().map(sample).collect()
}

/// How old the newest backup of each guest is, days. One whose backups are gone is as old as the newest ever seen.
pub(super) fn ages(
    newest: &BTreeMap<Vmid, i64>,
    remembered: &mut BTreeMap<u32, i64>,
    view: &ClusterView,
    now_ms: i64,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    for guest in view.guests.iter().filter(|g| !g.template) {
        let vmid = guest.vmid.get();
        let mut sample = Sample::new(Subject::guest(guest), Metric::BackupAge, 0.0);
        let days = |at_ms: i64| (now_ms - at_ms).max(0) as f64 / 86_400_000.0;
        match (newest.get(&guest.vmid), remembered.get(&vmid)) {
            (Some(at_ms), _) => {
                remembered.insert(vmid, *at_ms);
                sample.value = Some(days(*at_ms));
            }
            (None, Some(at_ms)) => {
                sample.value = Some(days(*at_ms));
                sample.detail = "no backup of it is left".to_owned();
            }
            // Never seen with a backup: nobody can say how old it is.
            (None, None) => sample.value = None,
        }
        samples.push(sample);
    }
    samples
}
