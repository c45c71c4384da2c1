//! Configurations of pods, read slowly: what the cluster's summary does not tell about a foreign change.
//!
//! A few a reading, each pod every ten minutes; at once where the summary shows a change that nobody was told of, and
//! before somebody's decision about one. What was found is kept with the ordinal, so that it is told once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gantry_core::action::GuestRef;
use gantry_core::id::{ClusterId, GuestKind, NodeName, Vmid};
use gantry_core::set::{Observed, Pod, Set, SetRef, Slot, SlotRecord, strayed};
use gantry_proxmox::{Error as ProxmoxError, Freshness, GuestRef as At};
use gantry_store::SetRow;

use crate::{Engine, Error};

/// How often a pod's configuration is read, milliseconds.
const EVERY_MS: i64 = 600_000;
/// Configurations read after one reading of the cluster: a thousand pods take twenty minutes, and a node is asked less
/// than once a second.
pub(super) const AT_ONCE: usize = 8;
/// Most pods remembered; beyond it all are read anew. Far more than there are.
const REMEMBERED_MAX: usize = 50_000;

/// When configurations were read last by this process, and of which pod of that number.
#[derive(Default)]
pub(super) struct Looked(Mutex<HashMap<(ClusterId, Vmid), (i64, i64)>>);

impl Looked {
    /// When that pod's was read last; `None`: not yet, or too long ago.
    fn due(&self, set: &Set, record: &SlotRecord, now_ms: i64) -> Option<i64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&(set.cluster.clone(), record.identity.vmid)) {
            Some((made_ms, at_ms)) if *made_ms == record.made_ms => {
                (now_ms - at_ms >= EVERY_MS).then_some(*at_ms)
            }
            _ => Some(0),
        }
    }

    fn note(&self, set: &Set, record: &SlotRecord, now_ms: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert((set.cluster.clone(), record.identity.vmid), (record.made_ms, now_ms));
    }
}

/// Whether it is a pod of the set's that nothing is being done to.
fn is_quiet(slot: &Slot) -> bool {
    slot.busy.is_none() && slot.record.key.is_some() && matches!(slot.pod, Pod::Ours { .. })
}

/// Whether a change is seen that nobody was told of or asked to be left with.
fn is_untold(slot: &Slot) -> bool {
    let Some(drift) = &slot.drift else { return false };
    let known = Some(&drift.fingerprint);
    slot.record.reported.as_ref() != known && slot.record.ignored.as_ref() != known
}

impl Engine {
    /// Pods of a set whose configuration may be read, with when that was done last. Memory only.
    pub(super) fn strays_due(&self, set: &Set, seen: &Observed) -> Vec<(i64, Slot)> {
        let (now_ms, looked) = (self.now_ms(), &self.inner.sets.strays);
        let quiet = seen.slots.iter().filter(|s| is_quiet(s));
        quiet.filter_map(|s| Some((looked.due(set, &s.record, now_ms)?, s.clone()))).collect()
    }

    /// Reads the configurations of pods that somebody changed before that is told, so that all of it is told together.
    /// Returns whether something was found that was not known.
    pub(super) async fn look_at_untold(&self, row: &SetRow, seen: &Observed) -> bool {
        let mut found = false;
        for slot in seen.slots.iter().filter(|s| is_quiet(s) && is_untold(s)) {
            found |= self.looked_for_strays(row, slot).await;
        }
        found
    }

    /// The same for one pod; one that cannot be read is read another time.
    pub(super) async fn looked_for_strays(&self, row: &SetRow, slot: &Slot) -> bool {
        self.look_for_strays(row, slot).await.unwrap_or_else(|error| {
            tracing::debug!(%error, pod = %slot.record.identity.name, "its configuration was not read");
            false
        })
    }

    /// Reads one pod's configuration and keeps what is not as it was made. Returns whether that is news.
    async fn look_for_strays(&self, row: &SetRow, slot: &Slot) -> Result<bool, Error> {
        let Pod::Ours { node, .. } = &slot.pod else { return Ok(false) };
        let (set, record) = (&row.set, &slot.record);
        // Noted first: one that cannot be read is not asked again and again.
        self.inner.sets.strays.note(set, record, self.now_ms());
        let Some(found) = self.strays_now(set, record, node).await? else { return Ok(false) };
        if found == record.strayed {
            return Ok(false);
        }
        let made_ms = record.made_ms;
        let keep = move |r: &mut SlotRecord| {
            // Made again meanwhile: what was read is of the one before.
            if r.made_ms == made_ms && r.key.is_some() {
                r.strayed = found;
            }
        };
        self.store()
            .change_slot(&set.address(), slot.ordinal(), Some(row.generation), keep)
            .await
            .map_err(Error::store("write down what was changed"))
    }

    /// The same before somebody's decision about a change of one ordinal, whoever leads the set.
    pub(super) async fn look_before_resolving(
        &self,
        set: &SetRef,
        ordinal: u32,
    ) -> Result<(), Error> {
        let Some(now) = self.set_now(set).await? else { return Ok(()) };
        let Some(slot) = now.seen.slot(ordinal).filter(|s| is_quiet(s)) else { return Ok(()) };
        self.look_for_strays(&now.row, slot).await.map(drop)
    }

    /// What of its configuration is not as it was made, read now; `None` where that cannot be told.
    async fn strays_now(
        &self,
        set: &Set,
        record: &SlotRecord,
        node: &NodeName,
    ) -> Result<Option<Vec<String>>, Error> {
        let guest = GuestRef { cluster: set.cluster.clone(), vmid: record.identity.vmid };
        let made = self
            .store()
            .find_pod(&guest.cluster, guest.vmid)
            .await
            .map_err(Error::store("read what the pod was made from"))?
            .filter(|row| row.created_ms == record.made_ms);
        let Some(made) = made else { return Ok(None) };
        let at = At::new(node.clone(), GuestKind::Lxc, guest.vmid);
        let what = format!("read the configuration of {}", record.identity.name);
        let config = match self.client(&guest.cluster)?.guest_config(&at, Freshness::Fresh).await {
            Ok(config) => config,
            Err(ProxmoxError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(Error::proxmox(what, &guest.cluster)(error)),
        };
        let volumes = &set.revision_for(record.identity.ordinal).spec.volumes;
        Ok(Some(strayed(&made.spec, volumes, record.identity.keeper, &config.raw)))
    }
}
