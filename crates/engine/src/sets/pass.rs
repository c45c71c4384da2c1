//! One pass over the sets of a cluster that this process leads: decided here, worked on in a task for each set.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_core::id::{ClusterId, OperationId, Vmid};
use gantry_core::set::seen::Index;
use gantry_core::set::{Slot, reconcile};
use gantry_core::world::ClusterView;
use gantry_store::{LedSets, SetRow, SlotRow};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::stray;
use crate::{Engine, Error};

/// How often it is looked whether the cluster was read again.
const LOOK: Duration = Duration::from_millis(500);
/// How long this process leads a set without a pass; longer than a few readings.
const LEAD_MS: i64 = 60_000;
/// Sets of a cluster that are worked on at the same time. Each waits for nodes and name servers within deadlines; the
/// others take their turn, those that waited longest first.
const AT_WORK: usize = 32;

/// What all sets of a pass work on.
pub(super) struct Round {
    /// The reading.
    pub(super) view: Arc<ClusterView>,
    /// Open operations on guests, by number.
    pub(super) open: HashMap<Vmid, OperationId>,
    /// Numbers that are in use or promised.
    pub(super) numbers: Mutex<BTreeSet<Vmid>>,
}

/// Sets that are being worked on, by the task that does.
#[derive(Default)]
struct AtWork {
    tasks: JoinSet<()>,
    names: HashMap<Id, String>,
    /// When work on a set was begun last, by a count of all.
    begun: BTreeMap<String, u64>,
    count: u64,
    /// Reads configurations.
    looking: Option<Id>,
}

impl AtWork {
    /// Takes notice of tasks that have ended.
    fn settle(&mut self, cluster: &ClusterId) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => {
                    let id = error.id();
                    let set = self.names.get(&id);
                    tracing::error!(%error, %cluster, set, "the work on a set broke off");
                    id
                }
            };
            self.names.remove(&id);
            if self.looking == Some(id) {
                self.looking = None;
            }
        }
    }

    fn holds(&self, set: &str) -> bool {
        self.names.values().any(|name| name == set)
    }

    fn begin(&mut self, set: &str, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(work).id();
        self.names.insert(id, set.to_owned());
        self.count += 1;
        self.begun.insert(set.to_owned(), self.count);
    }
}

impl Engine {
    /// A pass after each reading of the cluster, until `stop`. What is being worked on then breaks off; the next
    /// process finds it.
    pub(crate) async fn keep_sets(&self, cluster: &ClusterId, stop: CancellationToken) {
        let mut read_ms = 0;
        let mut at_work = AtWork::default();
        loop {
            at_work.settle(cluster);
            let view = self.view(cluster);
            let newer = view.filter(|v| v.observed_ms > read_ms);
            if let Some(view) = newer {
                read_ms = view.observed_ms;
                if let Err(error) = self.pass(cluster, &mut at_work).await {
                    tracing::warn!(%error, %cluster, "could not look after the sets; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.clock.sleep(LOOK) => {}
            }
        }
    }

    async fn pass(&self, cluster: &ClusterId, at_work: &mut AtWork) -> Result<(), Error> {
        let fail = || Error::store("look after the sets");
        let owner = &self.inner.settings.owner;
        let LedSets { all, led } =
            self.store().lead_sets(cluster, owner, self.now_ms(), LEAD_MS).await.map_err(fail())?;
        self.inner.sets.keep(cluster, &all);
        if all.rows.is_empty() && all.damaged.is_empty() {
            return Ok(());
        }
        let slots = self.store().sound_slots(cluster).await.map_err(fail())?;
        let damaged: Vec<(String, String)> = [all.damaged, slots.damaged].concat();
        self.inner.sets.tell_damaged(cluster, &damaged);
        let open = self.open_on_guests(cluster).await?;
        let Some(view) = self.view(cluster) else { return Ok(()) };
        let index = Index::new(&view);
        let mut numbers: BTreeSet<Vmid> = index.numbers().collect();
        let mut by_set: HashMap<String, Vec<SlotRow>> = HashMap::new();
        for slot in slots.rows {
            numbers.insert(slot.record.identity.vmid);
            numbers.extend(slot.record.identity.keeper);
            by_set.entry(slot.set.clone()).or_default().push(slot);
        }
        let round = Arc::new(Round { view: view.clone(), open, numbers: Mutex::new(numbers) });
        let known: BTreeSet<&str> = all.rows.iter().map(|r| r.set.name()).collect();
        at_work.begun.retain(|name, _| known.contains(name.as_str()));
        let mut sets: Vec<SetRow> = all
            .rows
            .into_iter()
            .filter(|r| led.contains(r.set.name()))
            .filter(|r| damaged.iter().all(|(n, _)| n != r.set.name()))
            .collect();
        sets.sort_by_key(|row| at_work.begun.get(row.set.name()).copied().unwrap_or(0));
        let mut unread = Vec::new();
        for row in sets {
            let slots = by_set.remove(row.set.name()).unwrap_or_default();
            if at_work.holds(row.set.name())
                || !self.is_to_be_worked_on(&row, &slots, &index, &round, &mut unread)
                || at_work.tasks.len() >= AT_WORK
            {
                continue;
            }
            let (engine, round, name) = (self.clone(), round.clone(), row.set.name().to_owned());
            at_work.begin(&name, async move {
                let address = row.set.address();
                if let Err(error) = engine.keep_set(row, slots, &round).await {
                    tracing::warn!(%error, set = %address, "could not look after a set; trying again");
                }
            });
        }
        self.read_slowly(at_work, unread);
        Ok(())
    }

    /// Looks at one set without waiting for anything. Pods whose configuration may be read are put into `unread`.
    fn is_to_be_worked_on(
        &self,
        row: &SetRow,
        slots: &[SlotRow],
        index: &Index<'_>,
        round: &Round,
        unread: &mut Vec<(i64, SetRow, Slot)>,
    ) -> bool {
        let ended = slots.iter().filter_map(|s| s.operation.as_ref());
        let ended = ended.filter(|op| op.state.is_terminal()).count() > 0;
        let seen = self.observe_set(&row.set, slots.to_vec(), index, &round.open);
        let decision = reconcile(&row.set, &seen, self.now_ms());
        if ended || !decision.acts.is_empty() || self.are_names_due(row, &seen) {
            return true;
        }
        let due = self.strays_due(&row.set, &seen);
        unread.extend(due.into_iter().map(|(at_ms, slot)| (at_ms, row.clone(), slot)));
        false
    }

    /// Reads the configurations of a few pods, those first that were not read for the longest time.
    fn read_slowly(&self, at_work: &mut AtWork, mut unread: Vec<(i64, SetRow, Slot)>) {
        if unread.is_empty() || at_work.looking.is_some() {
            return;
        }
        unread.sort_by_key(|(at_ms, ..)| *at_ms);
        unread.truncate(stray::AT_ONCE);
        let engine = self.clone();
        let looks = async move {
            let looks = unread.iter().map(|(_, row, slot)| engine.looked_for_strays(row, slot));
            futures::future::join_all(looks).await;
        };
        at_work.looking = Some(at_work.tasks.spawn(looks).id());
    }
}
