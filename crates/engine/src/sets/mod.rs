//! Keeps sets as they shall be: on each reading of a cluster, one pass over the sets this process leads.
//!
//! A pass observes, asks `core::set::reconcile`, and hands the sets that something is to be done about to a task each
//! (`work`), so that one that waits for a node or a name server keeps no other waiting. Actions become ordinary
//! operations (`child`), which carry the promises: looked at live before each step, recorded before each call, found
//! again after a crash. What is written down names the generation of its lease, so a process that lost it changes
//! nothing.

mod child;
pub(crate) mod facts;
mod names;
mod pass;
mod stray;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use gantry_core::id::{ClusterId, OperationId, Vmid};
use gantry_core::set::seen::{Index, observe};
use gantry_core::set::{
    Decision, Observed, Revision, Set, SetAction, SetRef, SlotRecord, reconcile,
};
use gantry_core::world::{ClusterView, Guest};
use gantry_store::{OpFilter, SetRow, SlotRow, Sound};

use crate::{Engine, Error};

/// Open operations that are looked at in one pass; more than workers ever have.
const OPEN_MAX: u32 = 1000;

/// What is kept in memory about sets: for policy and autocompletion before anything is read, and what was looked at
/// when.
#[derive(Default)]
pub(crate) struct Memory {
    sets: ArcSwap<BTreeMap<SetRef, Arc<Set>>>,
    /// Clusters whose sets were read since the start.
    read: Mutex<BTreeSet<ClusterId>>,
    names: names::Looked,
    strays: stray::Looked,
    /// Sets that do not read back; each is told once.
    damaged: Mutex<BTreeSet<SetRef>>,
}

impl Memory {
    /// Keeps what was read. One that does not read back is remembered as it was.
    fn keep(&self, cluster: &ClusterId, read: &Sound<SetRow>) {
        let stays = |set: &SetRef| {
            set.cluster != *cluster || read.damaged.iter().any(|(name, _)| *name == set.name)
        };
        self.sets.rcu(|old| {
            let kept = old.iter().filter(|(set, _)| stays(set));
            let mut next: BTreeMap<SetRef, Arc<Set>> =
                kept.map(|(k, v)| (k.clone(), v.clone())).collect();
            next.extend(read.rows.iter().map(|r| {
                let address = r.set.address();
                // Most are as they were; comparing costs less than copying.
                let known = old.get(&address).filter(|known| ***known == r.set).cloned();
                let set = known.unwrap_or_else(|| Arc::new(r.set.clone()));
                (address, set)
            }));
            next
        });
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster.clone());
    }

    /// One is gone.
    fn forget(&self, set: &SetRef) {
        self.sets.rcu(|old| {
            let mut next = BTreeMap::clone(old);
            next.remove(set);
            next
        });
    }

    /// Tells of what does not read back, once for each set as long as that is so.
    fn tell_damaged(&self, cluster: &ClusterId, damaged: &[(String, String)]) {
        let mut told = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|set| set.cluster != *cluster || damaged.iter().any(|(n, _)| *n == set.name));
        for (name, why) in damaged {
            let set = SetRef { cluster: cluster.clone(), name: name.clone() };
            if told.insert(set) {
                tracing::error!(%cluster, set = name, why, "a set does not read back: nothing is done about it until its rows are mended; all others are kept up");
            }
        }
    }
}

/// A change of what a set shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetChange {
    /// So many pods.
    Scale(u32),
    /// Replace all pods.
    Restart {
        /// By ones from another image.
        image: Option<String>,
    },
    /// Back to an earlier revision.
    Undo {
        /// Which; left out: the last one that worked before the newest.
        to: Option<u32>,
    },
}

/// A set as it is now.
#[derive(Debug, Clone)]
pub struct SetNow {
    /// What it shall be.
    pub row: SetRow,
    /// What is seen of it.
    pub seen: Observed,
    /// Where it stands, and what is waited for.
    pub decision: Decision,
    /// Its revisions, newest first; empty where nobody asked for them.
    pub revisions: Vec<Revision>,
}

impl Engine {
    /// All sets as seen last, by cluster and name. Memory only.
    pub fn sets(&self) -> Vec<Arc<Set>> {
        self.inner.sets.sets.load().values().cloned().collect()
    }

    /// Whether the sets of every cluster were read since the start; before that nobody can say that there is none of a
    /// name. Memory only.
    pub fn are_sets_read(&self) -> bool {
        let read = self.inner.sets.read.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.clusters.keys().all(|cluster| read.contains(cluster))
    }

    /// A set as seen last. Memory only.
    pub fn set_seen(&self, set: &SetRef) -> Option<Arc<Set>> {
        self.inner.sets.sets.load().get(set).cloned()
    }

    /// A set, with what was seen of it last and where it stands; `None` when there is none.
    pub async fn set_now(&self, set: &SetRef) -> Result<Option<SetNow>, Error> {
        let fail = || Error::store("read the set");
        let Some(row) = self.store().find_set(set).await.map_err(fail())? else { return Ok(None) };
        let slots = self.store().list_slots(&set.cluster, Some(&set.name)).await.map_err(fail())?;
        let view = self
            .view(&set.cluster)
            .unwrap_or_else(|| Arc::new(ClusterView::unseen(set.cluster.clone())));
        let open = self.open_on_guests(&set.cluster).await?;
        let seen = self.observe_set(&row.set, slots, &Index::new(&view), &open);
        let decision = reconcile(&row.set, &seen, self.now_ms());
        Ok(Some(SetNow { row, seen, decision, revisions: Vec::new() }))
    }

    /// The same with its revisions.
    pub async fn set_history(&self, set: &SetRef) -> Result<Option<SetNow>, Error> {
        let Some(mut now) = self.set_now(set).await? else { return Ok(None) };
        now.revisions =
            self.store().list_revisions(set).await.map_err(Error::store("read the revisions"))?;
        Ok(Some(now))
    }

    /// What a change comes to, on what the set shall be now; `Err` says why there is none.
    pub(crate) async fn changed_set(
        &self,
        set: &SetRef,
        change: SetChange,
    ) -> Result<Result<SetAction, String>, Error> {
        let fail = || Error::store("read the set");
        let Some(row) = self.store().find_set(set).await.map_err(fail())? else {
            return Ok(Err(format!("There is no set {set}. `/set list` shows those there are.")));
        };
        let now = &row.set;
        let mut spec = now.spec().clone();
        let why = match change {
            SetChange::Scale(replicas) => {
                let why = format!("scaled from {} to {replicas}", spec.replicas);
                spec.replicas = replicas;
                why
            }
            SetChange::Restart { image: Some(image) } if image != spec.template.image => {
                let why = format!("image {image}");
                spec.template.image = image;
                why
            }
            SetChange::Restart { .. } => {
                spec.restarts = spec.restarts.saturating_add(1);
                "all pods again".to_owned()
            }
            SetChange::Undo { to } => {
                let revisions = self.store().list_revisions(set).await.map_err(fail())?;
                let wanted = match to {
                    Some(n) => revisions.into_iter().find(|r| r.number == n),
                    None => now
                        .good
                        .clone()
                        .filter(|g| g.key != now.newest.key)
                        .or_else(|| revisions.into_iter().find(|r| r.key != now.newest.key)),
                };
                let Some(wanted) = wanted else {
                    return Ok(Err(format!(
                        "Set {set} has no such revision to go back to. `/set history` shows those there are."
                    )));
                };
                let (name, at_ms) = (&row.set.by_name, self.now_ms());
                let back = row.set.clone().back_to(&wanted, name, at_ms);
                spec = back.newest.spec;
                format!("undo of {} to {}", row.set.newest.number, wanted.number)
            }
        };
        Ok(Ok(SetAction::Put { set: set.clone(), spec: Box::new(spec), why }))
    }

    /// Open operations on guests of a cluster, whoever asked for them, by number.
    pub(crate) async fn open_on_guests(
        &self,
        cluster: &ClusterId,
    ) -> Result<HashMap<Vmid, OperationId>, Error> {
        let filter =
            OpFilter { open_only: true, cluster: Some(cluster.clone()), ..OpFilter::default() };
        let open = self.operations(&filter, 0, OPEN_MAX).await?.rows;
        Ok(open
            .into_iter()
            .filter_map(|op| {
                let vmid = op.action.guest().map(|(guest, _)| guest.vmid).or(op.vmid)?;
                Some((vmid, op.id))
            })
            .collect())
    }

    /// Lays the records of one set over a reading. An operation that has ended counts as at work until the cluster
    /// was read after its end: what it did cannot be seen before.
    fn observe_set(
        &self,
        set: &Set,
        slots: Vec<SlotRow>,
        index: &Index<'_>,
        open: &HashMap<Vmid, OperationId>,
    ) -> Observed {
        let unsettled: HashMap<u32, OperationId> = slots
            .iter()
            .filter_map(|s| Some((s.record.identity.ordinal, s.operation.as_ref()?.id.clone())))
            .collect();
        let busy = |record: &SlotRecord| {
            let id = &record.identity;
            let ours = unsettled.get(&id.ordinal);
            let theirs = || open.get(&id.vmid).or_else(|| open.get(id.keeper.as_ref()?));
            ours.or_else(theirs).map(ToString::to_string)
        };
        let now_ms = self.now_ms();
        let ready = |record: &SlotRecord, guest: &Guest| {
            let id = &record.identity;
            let checked = set.revision_for(id.ordinal).spec.template.health.is_some();
            let pod = (&set.cluster, id.vmid);
            self.inner.health.readiness(pod, record.made_ms, checked, guest, now_ms)
        };
        observe(set, slots.into_iter().map(|s| s.record).collect(), index, busy, ready)
    }
}
