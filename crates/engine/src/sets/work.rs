//! The work on one set after a reading: settles what has ended, decides, carries out.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use gantry_core::action::Verb;
use gantry_core::audit::AuditEvent;
use gantry_core::id::Vmid;
use gantry_core::operation::OpState;
use gantry_core::set::identity::{Identity, allot};
use gantry_core::set::reconcile::TRIES;
use gantry_core::set::seen::{Index, left_keepers};
use gantry_core::set::{Act, Decision, Halt, Observed, Set, SetRef, SlotRecord, Work, reconcile};
use gantry_store::{SetRow, SlotRow};

use super::names::answering;
use super::pass::Round;
use crate::{Engine, Error};

/// Rounds in one pass: writing things down makes the next decision possible at once.
const ROUNDS: u32 = 4;

impl Engine {
    /// Works on one set until nothing more can be decided on this reading.
    pub(super) async fn keep_set(
        &self,
        mut row: SetRow,
        mut slots: Vec<SlotRow>,
        round: &Round,
    ) -> Result<(), Error> {
        let address = row.set.address();
        let index = Index::new(&round.view);
        let mut looked = false;
        for _ in 0..ROUNDS {
            self.settle(&row, &mut slots, &index).await?;
            let seen = self.observe_set(&row.set, slots, &index, &round.open);
            let mut written = !looked && self.look_at_untold(&row, &seen).await;
            looked = true;
            if !written {
                let decision = reconcile(&row.set, &seen, self.now_ms());
                if decision.acts.is_empty() {
                    if self.are_names_due(&row, &seen) {
                        self.publish(&row, &seen, &answering(&seen)).await?;
                    }
                    return Ok(());
                }
                tracing::debug!(set = %address, acts = ?decision.acts, "to be done");
                written = self.carry_out(&row, &seen, &decision, &index, round).await?;
            }
            if !written {
                return Ok(());
            }
            // What was written down changes what is to be done next; what was started is seen as at work.
            let fail = || Error::store("read the set again");
            let Some(next) = self.store().find_set(&address).await.map_err(fail())? else {
                return Ok(());
            };
            if next.generation != row.generation {
                return Ok(());
            }
            row = next;
            slots = self
                .store()
                .list_slots(&address.cluster, Some(&address.name))
                .await
                .map_err(fail())?;
        }
        Ok(())
    }

    /// Takes notice of operations that have ended, once the cluster was read after their end.
    async fn settle(
        &self,
        row: &SetRow,
        slots: &mut [SlotRow],
        index: &Index<'_>,
    ) -> Result<(), Error> {
        let read_ms = index.view().observed_ms;
        for slot in slots.iter_mut() {
            let Some(op) = &slot.operation else { continue };
            let ended_ms = op.ended_ms.unwrap_or(i64::MAX);
            if !op.state.is_terminal() || read_ms <= ended_ms {
                continue;
            }
            let worked = matches!(op.state, OpState::Succeeded | OpState::Warned);
            // A lost call, or gantry's own end in the middle of one, says nothing about the revision: it is tried
            // again after a pause, and never the reason to halt.
            let most = if op.state == OpState::Unknown { TRIES - 1 } else { u32::MAX };
            let why = op.outcome.as_ref().map_or_else(
                || op.state.as_str().to_owned(),
                |o| o.reason.clone().unwrap_or_else(|| o.summary.clone()),
            );
            let id = op.id.clone();
            let settle = move |record: &mut SlotRecord| {
                record.settled = Some(id);
                if !worked {
                    record.failures =
                        record.failures.saturating_add(1).min(most.max(record.failures));
                    record.failed_ms = ended_ms;
                    record.failed = Some(why);
                }
            };
            let ordinal = slot.record.identity.ordinal;
            let gone = !self
                .store()
                .change_slot(&row.set.address(), ordinal, Some(row.generation), settle.clone())
                .await
                .map_err(Error::store("settle an operation"))?;
            if gone {
                return Ok(());
            }
            settle(&mut slot.record);
            slot.operation = None;
        }
        Ok(())
    }

    /// Does what was decided. Returns whether something was written down that allows another decision.
    async fn carry_out(
        &self,
        row: &SetRow,
        seen: &Observed,
        decision: &Decision,
        index: &Index<'_>,
        round: &Round,
    ) -> Result<bool, Error> {
        let (set, generation) = (row.set.address(), row.generation);
        let fail = || Error::store("write down what became of a set");
        let mut written = false;
        for act in &decision.acts {
            let work = match act {
                Act::MakeKeeper(n) => Some((*n, Work::MakeKeeper)),
                Act::Create(n) => Some((*n, Work::Create)),
                Act::Start(n) => Some((*n, Work::Start)),
                Act::Remove(n) => Some((*n, Work::Remove)),
                Act::DropVolumes(n) => Some((*n, Work::DropVolumes)),
                _ => None,
            };
            if let Some((ordinal, work)) = work {
                let Some(slot) = seen.slot(ordinal) else { continue };
                if let Err(error) = self.start_child(row, slot, work).await {
                    tracing::warn!(%error, %set, ordinal, ?work, "could not begin; trying again");
                }
                continue;
            }
            written |= match act {
                Act::Allot(n) => {
                    let identity = {
                        let numbers =
                            &mut round.numbers.lock().unwrap_or_else(PoisonError::into_inner);
                        self.identity(row, *n, index, numbers)
                    };
                    let Some(identity) = identity else { continue };
                    let record = SlotRecord::new(identity);
                    self.store().add_slot(&set, generation, &record).await.map_err(fail())?
                }
                Act::Forget(n) => {
                    let forgotten =
                        self.store().remove_slot(&set, *n, generation).await.map_err(fail())?;
                    if forgotten {
                        Box::pin(self.forget_forwards_of(&set, seen, Some(*n))).await?;
                    }
                    forgotten
                }
                Act::NoteReady(n) => {
                    let now_ms = self.now_ms();
                    let ready = move |r: &mut SlotRecord| {
                        r.ready_ms = r.ready_ms.or(Some(now_ms));
                        (r.failures, r.failed) = (0, None);
                    };
                    self.store()
                        .change_slot(&set, *n, Some(generation), ready)
                        .await
                        .map_err(fail())?
                }
                Act::Publish(shall) => self.publish(row, seen, shall).await?,
                Act::Good => {
                    let mut next = row.set.clone();
                    next.good = Some(next.newest.clone());
                    self.write_set(row, &next).await?
                }
                Act::Halt(why) => self.halt(row, why).await?,
                Act::Report(n, drift) => {
                    if let Some(slot) = seen.slot(*n) {
                        self.report_drift(row, slot, drift).await?;
                    }
                    false
                }
                Act::Gone => {
                    let gone = self.store().remove_set(&set, generation).await.map_err(fail())?;
                    if gone {
                        self.inner.sets.forget(&set);
                        Box::pin(self.forget_forwards_of(&set, seen, None)).await?;
                    }
                    gone
                }
                _ => false,
            };
        }
        Ok(written)
    }

    /// Forgets the forwards to pods that are not made again: of one ordinal, or of all.
    async fn forget_forwards_of(
        &self,
        set: &SetRef,
        seen: &Observed,
        only: Option<u32>,
    ) -> Result<(), Error> {
        let all = seen.slots.iter().map(|s| &s.record.identity);
        let pods: Vec<(Vmid, String)> = all
            .filter(|id| only.is_none_or(|n| n == id.ordinal))
            .map(|id| (id.vmid, id.name.clone()))
            .collect();
        self.forget_forwards_to(&set.cluster, &pods).await
    }

    /// A new identity; volumes that an earlier set of this name left are taken up again where somebody confirmed that.
    fn identity(
        &self,
        row: &SetRow,
        ordinal: u32,
        index: &Index<'_>,
        numbers: &mut BTreeSet<Vmid>,
    ) -> Option<Identity> {
        let spec = row.set.spec();
        let mut identity = match allot(&row.set.cluster, spec, ordinal, numbers) {
            Ok(identity) => identity,
            Err(error) => {
                tracing::warn!(%error, set = %row.set.address(), ordinal, "no identity can be given");
                return None;
            }
        };
        let left = left_keepers(spec, ordinal, index);
        if let Some(kept) = left.iter().find(|g| row.set.adopts.contains(&g.vmid)) {
            identity.keeper = Some(kept.vmid);
            identity.node = kept.node.clone();
        }
        numbers.insert(identity.vmid);
        numbers.extend(identity.keeper);
        Some(identity)
    }

    pub(super) async fn write_set(&self, row: &SetRow, next: &Set) -> Result<bool, Error> {
        self.store()
            .lead_put_set(next, row.version, row.generation, self.now_ms())
            .await
            .map_err(Error::store("write down the set"))
    }

    /// Stops a rollout that does not work, and goes back to what did.
    async fn halt(&self, row: &SetRow, why: &str) -> Result<bool, Error> {
        let (set, now_ms) = (&row.set, self.now_ms());
        let good = set.good.as_ref().filter(|g| g.key != set.newest.key);
        let undone_to = good.map(|g| g.number);
        let mut next = match good {
            Some(good) => set.clone().back_to(good, "gantry", now_ms),
            None => set.clone(),
        };
        next.halted = Some(Halt {
            revision: set.newest.number,
            why: why.to_owned(),
            at_ms: now_ms,
            undone_to,
        });
        let back = undone_to.map_or_else(
            || "nothing that worked is there to go back to".to_owned(),
            |n| format!("going back to revision {n}"),
        );
        let detail = format!("revision {} halted: {why} {back}", set.newest.number);
        tracing::warn!(set = %set.address(), detail, "rollout halted");
        // Written first: going back deletes pods, and nothing is deleted without a row that says why.
        let row_of = self.own_row(
            AuditEvent::Ended,
            Verb::SetUndo,
            format!("set {}", set.address()),
            detail,
        );
        self.store().append_audit(&row_of).await.map_err(Error::store("write the audit log"))?;
        let written = self.write_set(row, &next).await?;
        self.card_touched();
        Ok(written)
    }
}
