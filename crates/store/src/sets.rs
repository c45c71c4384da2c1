//! Sets: what each shall be, who leads it, its revisions, and who its ordinals are.
//!
//! What a set shall be is changed by commands, compare-and-set on its version. What its ordinals are is changed by the
//! leader, fenced by the generation of its lease, and by operations about what they did; each change reads the row
//! again inside its transaction, so that neither overwrites the other.

use std::collections::BTreeSet;

use gantry_core::audit::AuditRow;
use gantry_core::id::{CardId, ClusterId, OperationId, Vmid};
use gantry_core::operation::Operation;
use gantry_core::plan::Plan;
use gantry_core::set::{Revision, Set, SetRef, SlotRecord};

use crate::audit;
use crate::cards::{self, NewCard};
use crate::error::StoreError;
use crate::operations;
use crate::plans;
use crate::pool::{Fail, Row, Tx, args};
use crate::sql;
use crate::store::Store;

/// A set as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct SetRow {
    /// What it shall be.
    pub set: Set,
    /// Counts changes of that; a change names the one it was made on.
    pub version: i64,
    /// Generation of the newest lease; what a leader writes names its own.
    pub generation: i64,
}

/// An ordinal as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotRow {
    /// The set's name.
    pub set: String,
    /// What is written down.
    pub record: SlotRecord,
    /// The operation on it whose end was not taken notice of yet.
    pub operation: Option<Operation>,
}

/// Rows that read back, and those that do not: one that was damaged stops none of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound<T> {
    /// What reads back.
    pub rows: Vec<T>,
    /// Names of sets that something does not read back of, each with what it is.
    pub damaged: Vec<(String, String)>,
}

impl<T> Sound<T> {
    /// Parts rows by whether `read` makes sense of them.
    fn of(rows: &[Row], read: impl Fn(&Row) -> Result<T, Fail>) -> Result<Self, Fail> {
        let mut sound = Self { rows: Vec::new(), damaged: Vec::new() };
        for row in rows {
            match read(row) {
                Ok(one) => sound.rows.push(one),
                Err(Fail::Row(why)) => sound.damaged.push((row.text("name")?, why)),
                Err(other) => return Err(other),
            }
        }
        Ok(sound)
    }
}

/// All sets of a cluster, and who of them is led.
#[derive(Debug, Clone, PartialEq)]
pub struct LedSets {
    /// All of them, by name.
    pub all: Sound<SetRow>,
    /// Names of those that the asker leads.
    pub led: BTreeSet<String>,
}

/// An operation of the reconciler on one ordinal, with everything that is kept in one transaction with it.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The set.
    pub set: &'a SetRef,
    /// The ordinal.
    pub ordinal: u32,
    /// The leader's generation.
    pub generation: i64,
    /// Its plan; confirmed from the start.
    pub plan: &'a Plan,
    /// The operation.
    pub operation: &'a Operation,
    /// The message that shows it: the one of the command that is under way, or a new one.
    pub card: Result<CardId, NewCard>,
    /// In whose name.
    pub audit: &'a AuditRow,
}

impl Store {
    /// The set, where there is one.
    pub async fn find_set(&self, set: &SetRef) -> Result<Option<SetRow>, StoreError> {
        self.call(format!("read set {set}"), async {
            let row = self.pool.row(sql::SET_FIND, args![&set.cluster, set.name.as_str()]).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// All sets, or those of one cluster, by name; an error where one does not read back. At most 1000.
    pub async fn list_sets(&self, cluster: Option<&ClusterId>) -> Result<Vec<SetRow>, StoreError> {
        self.call("list sets", async {
            let rows =
                self.pool.rows(sql::SETS_LIST, args![cluster.map(ClusterId::as_str)]).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Leads the sets of a cluster that nobody else leads, until `now_ms + lease_ms` at most and half of that at least;
    /// returns all sets of the cluster with those that are led now. At most 1000.
    ///
    /// Leading one again keeps its generation while the lease has not run out, and writes nothing while half of it is
    /// left.
    pub async fn lead_sets(
        &self,
        cluster: &ClusterId,
        owner: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<LedSets, StoreError> {
        self.call(format!("lead the sets of {cluster}"), async {
            let rows = self.pool.rows(sql::SETS_LEASES, args![cluster]).await?;
            let mut sets = LedSets { all: Sound::of(&rows, read)?, led: BTreeSet::new() };
            let mut due = false;
            for row in &rows {
                let own = row.text_opt("lease_owner")?.as_deref() == Some(owner);
                let left_ms = row.int("lease_until_ms")? - now_ms;
                if own && left_ms > 0 {
                    sets.led.insert(row.text("name")?);
                }
                due |= if own { left_ms <= lease_ms / 2 } else { left_ms <= 0 };
            }
            if due {
                let until = now_ms.saturating_add(lease_ms);
                let mut tx = self.pool.begin().await?;
                let taken = tx.rows(sql::SETS_LEAD, args![cluster, owner, now_ms, until]).await?;
                tx.commit().await?;
                for row in &taken {
                    let (name, version) = (row.text("name")?, row.int("version")?);
                    let known = sets.all.rows.iter_mut().find(|r| r.set.name() == name);
                    // One that was changed since it was read is looked at the next time.
                    if let Some(known) = known.filter(|r| r.version == version) {
                        known.generation = row.int("lease_gen")?;
                        sets.led.insert(name);
                    }
                }
            }
            Ok(sets)
        })
        .await
    }

    /// Writes down what a set shall be, with its newest revision. `version` is the one the change was made on;
    /// `None`: there was no such set. `false`: somebody was quicker, nothing was changed.
    pub async fn put_set(
        &self,
        set: &Set,
        version: Option<i64>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        self.call(format!("write down set {}", set.name()), async {
            let mut tx = self.pool.begin().await?;
            if !write(&mut tx, set, version, now_ms).await? {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// The same for the leader. `false`: it leads no more, or a command was quicker.
    pub async fn lead_put_set(
        &self,
        set: &Set,
        version: i64,
        generation: i64,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        self.call(format!("write down set {}", set.name()), async {
            let mut tx = self.pool.begin().await?;
            if !leads(&mut tx, &set.address(), generation).await?
                || !write(&mut tx, set, Some(version), now_ms).await?
            {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Writes down what a set shall be together with a change of one ordinal, both or neither. `false`: somebody was quicker, or there is no such
    /// ordinal; nothing was changed.
    pub async fn put_set_and_slot(
        &self,
        set: &Set,
        version: i64,
        now_ms: i64,
        ordinal: u32,
        change: impl FnOnce(&mut SlotRecord) + Send,
    ) -> Result<bool, StoreError> {
        self.call(format!("write down {}-{ordinal}", set.name()), async {
            let mut tx = self.pool.begin().await?;
            if !write(&mut tx, set, Some(version), now_ms).await? {
                return Ok(false);
            }
            let address = set.address();
            let Some(mut record) = hold(&mut tx, &address, ordinal).await? else {
                return Ok(false);
            };
            change(&mut record);
            save(&mut tx, &address, &record).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Numbers of a cluster that ordinals of sets keep for their pods and for the keepers of their volumes, whether a
    /// guest has them at this moment or not.
    pub async fn set_vmids(&self, cluster: &ClusterId) -> Result<Vec<Vmid>, StoreError> {
        self.call(format!("list the numbers of sets of {cluster}"), async {
            let rows = self.pool.rows(sql::ORDINALS_NUMBERS, args![cluster]).await?;
            let mut numbers = Vec::new();
            for row in &rows {
                numbers.push(row.vmid("vmid")?);
                // A damaged one keeps at least its pod's.
                numbers.extend(record(row).ok().and_then(|r| r.identity.keeper));
            }
            Ok(numbers)
        })
        .await
    }

    /// Forgets a set with its revisions and ordinals. `false`: the caller leads it no more.
    pub async fn remove_set(&self, set: &SetRef, generation: i64) -> Result<bool, StoreError> {
        self.call(format!("forget set {set}"), async {
            let mut tx = self.pool.begin().await?;
            if !leads(&mut tx, set, generation).await? {
                return Ok(false);
            }
            let key = || args![&set.cluster, set.name.as_str()];
            tx.write(sql::ORDINALS_REMOVE, key()).await?;
            let all = args![&set.cluster, set.name.as_str(), i64::MAX, -1];
            tx.write(sql::REVISIONS_FORGET, all).await?;
            tx.write(sql::SET_REMOVE, key()).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Revisions of a set, newest first.
    pub async fn list_revisions(&self, set: &SetRef) -> Result<Vec<Revision>, StoreError> {
        self.call(format!("list the revisions of set {set}"), async {
            let args = args![&set.cluster, set.name.as_str()];
            let rows = self.pool.rows(sql::REVISIONS_LIST, args).await?;
            rows.iter()
                .map(|row| {
                    serde_json::from_str(&row.text("data")?).map_err(|e| {
                        Fail::Row(format!("a revision of {set} does not read back: {e}"))
                    })
                })
                .collect()
        })
        .await
    }

    /// Ordinals of a cluster's sets, or of one, by set and ordinal.
    pub async fn list_slots(
        &self,
        cluster: &ClusterId,
        set: Option<&str>,
    ) -> Result<Vec<SlotRow>, StoreError> {
        self.call(format!("list the ordinals of sets of {cluster}"), async {
            let rows = self.pool.rows(sql::ORDINALS_LIST, args![cluster, set]).await?;
            rows.iter().map(slot).collect()
        })
        .await
    }

    /// Ordinals of a cluster's sets that read back, by set and ordinal.
    pub async fn sound_slots(&self, cluster: &ClusterId) -> Result<Sound<SlotRow>, StoreError> {
        self.call(format!("read the ordinals of sets of {cluster}"), async {
            let args = args![cluster, None::<&str>];
            let rows = self.pool.rows(sql::ORDINALS_LIST, args).await?;
            Sound::of(&rows, slot)
        })
        .await
    }

    /// Gives an ordinal an identity. `false`: the caller leads the set no more, or the ordinal or number is taken.
    pub async fn add_slot(
        &self,
        set: &SetRef,
        generation: i64,
        record: &SlotRecord,
    ) -> Result<bool, StoreError> {
        let added = self
            .call(format!("give {} an identity", record.identity.name), async {
                let mut tx = self.pool.begin().await?;
                if !leads(&mut tx, set, generation).await? {
                    return Ok(false);
                }
                let id = &record.identity;
                let args = args![
                    &set.cluster,
                    set.name.as_str(),
                    i64::from(id.ordinal),
                    id.vmid,
                    json(record)?
                ];
                tx.write(sql::ORDINAL_INSERT, args).await?;
                tx.commit().await?;
                Ok(true)
            })
            .await;
        match added {
            Err(error) if error.is_taken() => Ok(false),
            other => other,
        }
    }

    /// Changes what is written down about an ordinal, on what is there at that moment. Leaders name their generation,
    /// operations none: they have a lease of their own. `false`: there is no such ordinal, or no lease.
    pub async fn change_slot(
        &self,
        set: &SetRef,
        ordinal: u32,
        generation: Option<i64>,
        change: impl FnOnce(&mut SlotRecord) + Send,
    ) -> Result<bool, StoreError> {
        self.call(format!("write down {}-{ordinal}", set.name), async {
            let mut tx = self.pool.begin().await?;
            if let Some(generation) = generation
                && !leads(&mut tx, set, generation).await?
            {
                return Ok(false);
            }
            let Some(mut record) = hold(&mut tx, set, ordinal).await? else { return Ok(false) };
            change(&mut record);
            save(&mut tx, set, &record).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Forgets an ordinal. `false`: the caller leads the set no more.
    pub async fn remove_slot(
        &self,
        set: &SetRef,
        ordinal: u32,
        generation: i64,
    ) -> Result<bool, StoreError> {
        self.call(format!("forget {}-{ordinal}", set.name), async {
            let mut tx = self.pool.begin().await?;
            if !leads(&mut tx, set, generation).await? {
                return Ok(false);
            }
            let args = args![&set.cluster, set.name.as_str(), i64::from(ordinal)];
            tx.write(sql::ORDINAL_REMOVE, args).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Starts an operation on an ordinal: its plan, its audit row and the ordinal's record of it in one transaction.
    /// `false`: the caller leads the set no more, or another operation on that ordinal has not been settled; nothing
    /// was changed.
    pub async fn start_member(&self, member: &Member<'_>) -> Result<bool, StoreError> {
        let (set, op) = (member.set, member.operation);
        self.call(format!("start operation {}", op.id), async {
            let mut tx = self.pool.begin().await?;
            if !leads(&mut tx, set, member.generation).await? {
                return Ok(false);
            }
            let Some(mut record) = hold(&mut tx, set, member.ordinal).await? else {
                return Ok(false);
            };
            if record.operation != record.settled {
                return Ok(false);
            }
            record.operation = Some(op.id.clone());
            save(&mut tx, set, &record).await?;
            let card = match &member.card {
                Ok(card) => {
                    tx.write(sql::CARD_WANT, args![card]).await?;
                    card.clone()
                }
                Err(card) => {
                    cards::insert(&mut tx, card, &member.plan.id, 1, member.plan.created_ms)
                        .await?;
                    card.id.clone()
                }
            };
            plans::insert(&mut tx, member.plan, &card, Some(&op.id)).await?;
            operations::insert(&mut tx, &member.plan.id, op).await?;
            audit::insert(&mut tx, member.audit).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Tells people about a drift: a plan with a new card, due at once, and a note that it was told. `false`: the
    /// caller leads the set no more.
    pub async fn report_drift(
        &self,
        (set, ordinal, generation): (&SetRef, u32, i64),
        fingerprint: &str,
        plan: &Plan,
        card: &NewCard,
        audit: &AuditRow,
    ) -> Result<bool, StoreError> {
        self.call(format!("tell about {}-{ordinal}", set.name), async {
            let mut tx = self.pool.begin().await?;
            if !leads(&mut tx, set, generation).await? {
                return Ok(false);
            }
            let Some(mut record) = hold(&mut tx, set, ordinal).await? else { return Ok(false) };
            if record.reported.as_deref() == Some(fingerprint) {
                return Ok(false);
            }
            record.reported = Some(fingerprint.to_owned());
            save(&mut tx, set, &record).await?;
            cards::insert(&mut tx, card, &plan.id, 1, plan.created_ms).await?;
            plans::insert(&mut tx, plan, &card.id, None).await?;
            audit::insert(&mut tx, audit).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }
}

/// Whether that generation of the lease is the newest; holds the row until the transaction ends.
async fn leads(tx: &mut Tx, set: &SetRef, generation: i64) -> Result<bool, Fail> {
    let row = tx.row(sql::SET_HOLD, args![&set.cluster, set.name.as_str()]).await?;
    Ok(match row {
        Some(row) => row.int("lease_gen")? == generation,
        None => false,
    })
}

async fn write(tx: &mut Tx, set: &Set, version: Option<i64>, now_ms: i64) -> Result<bool, Fail> {
    let name = set.name();
    let data = serde_json::to_string(set)
        .map_err(|e| Fail::Row(format!("set {name} cannot be written as JSON: {e}")))?;
    let (cluster, command) = (&set.cluster, &set.command);
    let written = match version {
        None => {
            // What was left of an earlier set of that name is not this one's history.
            let all = args![cluster, name, i64::MAX, -1];
            tx.write(sql::REVISIONS_FORGET, all).await?;
            tx.write(sql::SET_INSERT, args![cluster, name, command, now_ms, data]).await?
        }
        Some(version) => {
            let args = args![cluster, name, version, command, now_ms, data];
            tx.write(sql::SET_CHANGE, args).await?
        }
    };
    if written != 1 {
        return Ok(false);
    }
    let newest = &set.newest;
    let revision = serde_json::to_string(newest)
        .map_err(|e| Fail::Row(format!("revision {} cannot be written: {e}", newest.number)))?;
    let number = i64::from(newest.number);
    tx.write(sql::REVISION_SAVE, args![cluster, name, number, revision]).await?;
    // The good one is what an undo needs; it stays however old it is.
    let oldest = number - i64::from(newest.spec.history);
    let good = set.good.as_ref().map_or(-1, |g| i64::from(g.number));
    tx.write(sql::REVISIONS_FORGET, args![cluster, name, oldest, good]).await?;
    Ok(true)
}

async fn hold(tx: &mut Tx, set: &SetRef, ordinal: u32) -> Result<Option<SlotRecord>, Fail> {
    let args = args![&set.cluster, set.name.as_str(), i64::from(ordinal)];
    tx.row(sql::ORDINAL_HOLD, args).await?.as_ref().map(record).transpose()
}

async fn save(tx: &mut Tx, set: &SetRef, record: &SlotRecord) -> Result<(), Fail> {
    let args = args![
        &set.cluster,
        set.name.as_str(),
        i64::from(record.identity.ordinal),
        record.operation.as_ref().map(OperationId::as_str),
        record.settled.as_ref().map(OperationId::as_str),
        json(record)?
    ];
    tx.write(sql::ORDINAL_SAVE, args).await?;
    Ok(())
}

fn json(record: &SlotRecord) -> Result<String, Fail> {
    serde_json::to_string(record)
        .map_err(|e| Fail::Row(format!("{} cannot be written as JSON: {e}", record.identity.name)))
}

fn record(row: &Row) -> Result<SlotRecord, Fail> {
    serde_json::from_str(&row.text("data")?)
        .map_err(|e| Fail::Row(format!("an ordinal does not read back: {e}")))
}

fn slot(row: &Row) -> Result<SlotRow, Fail> {
    Ok(SlotRow {
        set: row.text("name")?,
        record: record(row)?,
        operation: operations::read_joined(row)?,
    })
}

fn read(row: &Row) -> Result<SetRow, Fail> {
    Ok(SetRow {
        set: serde_json::from_str(&row.text("data")?)
            .map_err(|e| Fail::Row(format!("a set does not read back: {e}")))?,
        version: row.int("version")?,
        generation: row.int("lease_gen")?,
    })
}
