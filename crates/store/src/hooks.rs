//! What others told through webhooks, until the alert desks have taken it in, and the silences mirrored to where
//! alerts come from. A sender is answered once its words are here.

use gantry_core::alert::{Heard, HeardState, Mirror};
use gantry_core::id::MuteId;
use sha2::{Digest, Sha256};

use crate::audit::total_of;
use crate::error::StoreError;
use crate::pool::{Fail, Row, Tx, args};
use crate::sql;
use crate::store::Store;

/// Rows forgotten in one go.
const FORGET_AT_ONCE: i64 = 5000;

/// Rows of one hook that are read back at once.
const NEWEST_READ: i64 = 100;

/// Something that was told and waits for the desks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRow {
    /// Its id.
    pub id: String,
    /// When it was told last, in order.
    pub seq: i64,
    /// What was told.
    pub heard: Heard,
}

/// What became of words that were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Never told before.
    pub new: u32,
    /// Told before; counted.
    pub again: u32,
}

/// A mirrored silence to be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRow {
    /// What it is.
    pub mirror: Mirror,
    /// Whether it shall end; otherwise it shall be made.
    pub ending: bool,
    /// Its id at Alertmanager, once known.
    pub silence: Option<String>,
    /// How often it was tried, this time included.
    pub attempts: i64,
}

/// Where a mirrored silence stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorState {
    /// The hook.
    pub hook: String,
    /// `wanted`, `made`, `ending`, `ended`, `given-up`.
    pub state: String,
    /// What went wrong last.
    pub last_error: Option<String>,
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Fail> {
    serde_json::to_string(value)
        .map_err(|e| Fail::Row(format!("it cannot be written as JSON: {e}")))
}

impl Store {
    /// Keeps what a hook told, all of it or nothing. `None`: more than `most` wait already; nothing was kept.
    pub async fn keep_heard(
        &self,
        heard: &[Heard],
        now_ms: i64,
        most: u64,
    ) -> Result<Option<Kept>, StoreError> {
        self.call("keep what a webhook told", async {
            let mut tx = self.pool.begin().await?;
            let row = tx.row(sql::HOOKS_COUNT, args![]).await?;
            let newest = row.as_ref().map(|row| row.int("newest")).transpose()?.unwrap_or(0);
            let waiting = total_of(row)?;
            if waiting.saturating_add(u64::try_from(heard.len()).unwrap_or(u64::MAX)) > most {
                return Ok(None);
            }
            // In the order of arrival, also within a millisecond and where two machines' clocks differ: what is said to be
            // over must not be taken in before it is said to be so.
            let first = now_ms.saturating_mul(1000).max(newest.saturating_add(1));
            let mut kept = Kept::default();
            let id = |one: &Heard| hex::encode(Sha256::digest(one.identity().as_bytes()));
            let mut rows: Vec<_> = heard
                .iter()
                .zip(0_i64..)
                .map(|(one, n)| (id(one), first.saturating_add(n), one))
                .collect();
            // Rows are taken in one order everywhere: of two that hold what the other one needs, PostgreSQL refuses one.
            rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            for (id, seq, one) in rows {
                let text = match one.state {
                    HeardState::Event => sql::HOOK_SAVE_EVENT,
                    HeardState::Firing | HeardState::Resolved => sql::HOOK_SAVE,
                };
                let args = args![id, one.told.hook.as_str(), seq, json(one)?];
                match tx.row(text, args).await?.map(|row| row.int("again")).transpose()? {
                    Some(0) => kept.new += 1,
                    _ => kept.again += 1,
                }
            }
            tx.commit().await?;
            Ok(Some(kept))
        })
        .await
    }

    /// How much waits for the desks.
    pub async fn heard_waiting(&self) -> Result<u64, StoreError> {
        self.call("count what webhooks told", async {
            total_of(self.pool.row(sql::HOOKS_COUNT, args![]).await?)
        })
        .await
    }

    /// What waits for the desks, oldest first.
    pub async fn waiting_heard(&self, limit: u32) -> Result<Vec<HookRow>, StoreError> {
        self.call("read what webhooks told", async {
            let rows = self.pool.rows(sql::HOOKS_LIST, args![i64::from(limit)]).await?;
            rows.iter()
                .map(|row| {
                    let id = row.text("id")?;
                    let heard = serde_json::from_str(&row.text("data")?).map_err(|e| {
                        Fail::Row(format!("what a webhook told does not read back: {e}"))
                    })?;
                    Ok(HookRow { id, seq: row.int("seq")?, heard })
                })
                .collect()
        })
        .await
    }

    /// What a hook told at or after `since_ms`, newest first, with when that was, milliseconds. The newest only.
    pub async fn heard_since(
        &self,
        hook: &str,
        since_ms: i64,
    ) -> Result<Vec<(i64, Heard)>, StoreError> {
        self.call("read what a webhook told", async {
            // What was told at that moment or later cannot have been taken in before it.
            let args = args![hook, since_ms.saturating_mul(1000), since_ms, NEWEST_READ];
            let rows = self.pool.rows(sql::HOOKS_SINCE, args).await?;
            rows.iter()
                .map(|row| {
                    let heard = serde_json::from_str(&row.text("data")?).map_err(|e| {
                        Fail::Row(format!("what a webhook told does not read back: {e}"))
                    })?;
                    Ok((row.int("seq")? / 1000, heard))
                })
                .collect()
        })
        .await
    }

    /// Forgets what was taken in before `before_ms`, and mirrored silences that ended before it.
    pub async fn forget_heard(&self, before_ms: i64) -> Result<(), StoreError> {
        self.call("forget what webhooks told", async {
            self.pool.write(sql::HOOKS_FORGET, args![before_ms, FORGET_AT_ONCE]).await?;
            self.pool.write(sql::MIRRORS_FORGET, args![before_ms]).await?;
            Ok(())
        })
        .await
    }

    /// Takes the mirrored silence of a hook that has waited longest; nobody else takes it before `again_ms`.
    pub async fn claim_mirror(
        &self,
        hook: &str,
        now_ms: i64,
        again_ms: i64,
    ) -> Result<Option<MirrorRow>, StoreError> {
        self.call("look for silences to mirror", async {
            let row = self.pool.write_row(sql::MIRROR_CLAIM, args![now_ms, again_ms, hook]).await?;
            row.as_ref().map(mirror).transpose()
        })
        .await
    }

    /// Notes that a mirrored silence is there. One that shall end meanwhile is worked on again at once.
    pub async fn mirror_made(&self, id: &str, silence: &str) -> Result<(), StoreError> {
        self.call(format!("note the silence {id}"), async {
            self.pool.write(sql::MIRROR_MADE, args![id, silence]).await?;
            Ok(())
        })
        .await
    }

    /// Notes that nothing more is to be done about a mirrored silence that was claimed; `why`: it could not be done.
    pub async fn mirror_over(&self, row: &MirrorRow, why: Option<&str>) -> Result<(), StoreError> {
        let state = if why.is_some() { "given-up" } else { "ended" };
        let was = if row.ending { "ending" } else { "wanted" };
        self.call(format!("note the end of the silence {}", row.mirror.id), async {
            let args = args![row.mirror.id.as_str(), state, why.map(str::to_owned), was];
            self.pool.write(sql::MIRROR_OVER, args).await?;
            Ok(())
        })
        .await
    }

    /// Ends what waited for longer than the silence was to hold, such as that of a hook that is not configured any more.
    pub async fn end_lapsed_mirrors(&self, now_ms: i64) -> Result<(), StoreError> {
        self.call("end mirrored silences whose time is over", async {
            self.pool.write(sql::MIRRORS_LAPSED, args![now_ms]).await?;
            Ok(())
        })
        .await
    }

    /// Notes why it did not work, and when it is tried again.
    pub async fn mirror_retry(&self, id: &str, due_ms: i64, why: &str) -> Result<(), StoreError> {
        self.call(format!("note the silence {id}"), async {
            self.pool.write(sql::MIRROR_RETRY, args![id, due_ms, why]).await?;
            Ok(())
        })
        .await
    }

    /// Where the mirrors of a silence stand.
    pub async fn mirrors_of(&self, mute: &MuteId) -> Result<Vec<MirrorState>, StoreError> {
        self.call("read the mirrored silences", async {
            let rows = self.pool.rows(sql::MIRRORS_OF, args![mute.as_str()]).await?;
            rows.iter()
                .map(|row| {
                    Ok(MirrorState {
                        hook: row.text("hook")?,
                        state: row.text("state")?,
                        last_error: row.text_opt("last_error")?,
                    })
                })
                .collect()
        })
        .await
    }
}

fn mirror(row: &Row) -> Result<MirrorRow, Fail> {
    let mirror = serde_json::from_str(&row.text("data")?)
        .map_err(|e| Fail::Row(format!("a mirrored silence does not read back: {e}")))?;
    Ok(MirrorRow {
        mirror,
        ending: row.text("state")? == "ending",
        silence: row.text_opt("silence_id")?,
        attempts: row.int("attempts")?,
    })
}

/// Notes what the desks took in, inside the transaction that keeps what came of it.
pub(crate) async fn taken(tx: &mut Tx, rows: &[(&str, i64)], now_ms: i64) -> Result<(), Fail> {
    // In the order in which senders' words are kept; see there.
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    for (id, seq) in rows {
        // Told again meanwhile: it waits anew.
        tx.write(sql::HOOK_TAKEN, args![id, seq, now_ms]).await?;
    }
    Ok(())
}

/// Keeps mirrors of a silence inside its transaction.
pub(crate) async fn insert_mirrors(tx: &mut Tx, mirrors: &[Mirror]) -> Result<(), Fail> {
    for m in mirrors {
        let args = args![m.id.as_str(), m.mute.as_str(), m.hook.as_str(), m.until_ms, json(m)?];
        tx.write(sql::MIRROR_INSERT, args).await?;
    }
    Ok(())
}
