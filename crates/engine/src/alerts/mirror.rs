//! Silences at Alertmanager that stand for gantry's own. Each try looks first whether the silence is there already, so
//! that a lost answer makes no second one; one that cannot be made is tried until its time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use gantry_core::alert::{Heard, Metric, Mirror, OWN_KEY};
use gantry_store::{MirrorRow, StoreError};
use tokio_util::sync::CancellationToken;

use crate::{Engine, Error};

/// Nobody else takes a silence that is being worked on; longer than all calls of one try together.
const HOLD_MS: i64 = 60_000;
/// First pause after a failure; it doubles.
const PAUSE_MS: i64 = 5_000;
/// Longest pause after a failure.
const PAUSE_MAX_MS: i64 = 300_000;
/// How often is looked for work nobody told this process about.
const IDLE_LOOK: Duration = Duration::from_secs(15);

/// Pause between two looks at what fires there. Of what is silenced there nobody is told when it is over.
const ALERTS_EVERY: Duration = Duration::from_secs(60);
/// What fires there is noted as said again when nobody said so for this long: well before it would count as over.
const AGAIN_AFTER_MS: i64 = 12 * 3_600_000;
/// Looks in a row that must find an alert gone; an Alertmanager that has just started knows none for a minute.
const GONE_AFTER: u32 = 3;

/// Whoever can make silences where alerts come from. Errors are sentences for people.
pub trait Silencer: Send + Sync {
    /// The hooks whose alerts can be silenced there.
    fn hooks(&self) -> Vec<String>;
    /// The id of the silence that carries this one's mark and holds, where there is one.
    fn find<'a>(&'a self, mirror: &'a Mirror) -> BoxFuture<'a, Result<Option<String>, String>>;
    /// Makes the silence and gives its id. Sent at most once.
    fn make<'a>(&'a self, mirror: &'a Mirror) -> BoxFuture<'a, Result<String, String>>;
    /// Fingerprints of all alerts there, silenced ones among them.
    fn alerts<'a>(&'a self, hook: &'a str) -> BoxFuture<'a, Result<BTreeSet<String>, String>>;
    /// Ends the silence; one that is over already is fine.
    fn end<'a>(&'a self, hook: &'a str, silence: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

impl Engine {
    /// Hooks whose alerts can be silenced where they come from.
    pub(crate) fn mirrored_hooks(&self) -> Vec<String> {
        self.silencer.as_ref().map(|s| s.hooks()).unwrap_or_default()
    }

    /// Makes and ends mirrored silences until `stop`.
    pub(crate) async fn keep_mirrors(&self, stop: CancellationToken) {
        // Each Alertmanager by itself: one that does not answer keeps none of the others waiting.
        let hooks = self.mirrored_hooks();
        futures::future::join_all(hooks.iter().map(|hook| self.keep_mirrors_of(hook, &stop))).await;
    }

    async fn keep_mirrors_of(&self, hook: &str, stop: &CancellationToken) {
        let mut news = self.inner.mirrors.subscribe();
        loop {
            // What is cut short is looked for before it is tried again.
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.mirror_one(hook) => done,
            };
            match done {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, hook, "silences cannot be mirrored: the store does not answer");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = news.changed() => {}
                () = self.inner.clock.sleep(IDLE_LOOK) => {}
            }
        }
    }

    /// Looks every minute whether what fires here still fires where it comes from, until `stop`.
    pub(crate) async fn keep_told(&self, stop: CancellationToken) {
        if self.mirrored_hooks().is_empty() {
            return;
        }
        let mut missed: BTreeMap<String, u32> = BTreeMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.clock.sleep(ALERTS_EVERY) => {}
            }
            if let Err(error) = self.compare_told(&mut missed).await {
                tracing::warn!(%error, "could not compare alerts with Alertmanager");
            }
        }
    }

    async fn compare_told(&self, missed: &mut BTreeMap<String, u32>) -> Result<(), Error> {
        let Some(silencer) = &self.silencer else { return Ok(()) };
        let mut firing = BTreeMap::new();
        for route in &self.inner.settings.alerts.routes {
            let list = self.store().list_alerts(route.guild).await;
            for t in list.map_err(Error::store("read the alerts"))? {
                if t.metric == Metric::Told
                    && let Some(over) = Heard::over(&t, self.now_ms())
                    // Its sender knows it by no name, so that its list says nothing about it.
                    && !over.key.starts_with(OWN_KEY)
                {
                    let again = Heard::again(&t, self.now_ms())
                        .filter(|_| self.now_ms() - t.seen_ms >= AGAIN_AFTER_MS);
                    firing.insert(t.subject.key(), (over, again));
                }
            }
        }
        missed.retain(|key, _| firing.contains_key(key));
        let (mut over, mut again) = (Vec::new(), Vec::new());
        for hook in silencer.hooks() {
            let mine: Vec<_> = firing.iter().filter(|(_, (h, _))| h.told.hook == hook).collect();
            if mine.is_empty() {
                continue;
            }
            let there = match silencer.alerts(&hook).await {
                Ok(there) => there,
                Err(why) => {
                    tracing::debug!(hook, why, "could not look at what fires there");
                    continue;
                }
            };
            for (key, (heard, still)) in mine {
                if there.contains(&heard.key) {
                    missed.remove(key);
                    again.extend(still.clone());
                    continue;
                }
                let times = missed.entry(key.clone()).or_insert(0);
                *times += 1;
                if *times >= GONE_AFTER {
                    over.push(heard.clone());
                }
            }
        }
        if !over.is_empty() {
            tracing::info!(alerts = over.len(), "Alertmanager has these no more: they are over");
            self.hear(over).await?;
        }
        if !again.is_empty() {
            self.hear(again).await?;
        }
        Ok(())
    }

    /// Works on one of a hook. `false`: none is due.
    async fn mirror_one(&self, hook: &str) -> Result<bool, StoreError> {
        let Some(silencer) = &self.silencer else { return Ok(false) };
        let now_ms = self.now_ms();
        // Their time is over there as well.
        self.store().end_lapsed_mirrors(now_ms).await?;
        let claimed = self.store().claim_mirror(hook, now_ms, now_ms + HOLD_MS).await?;
        let Some(row) = claimed else { return Ok(false) };
        let id = row.mirror.id.clone();
        let done = if row.ending {
            end(silencer.as_ref(), &row).await.map(|()| None)
        } else {
            make(silencer.as_ref(), &row.mirror).await.map(Some)
        };
        match done {
            Ok(Some(silence)) => {
                tracing::info!(silence = %id, "silenced at Alertmanager as well");
                self.store().mirror_made(&id, &silence).await?;
            }
            Ok(None) => self.store().mirror_over(&row, None).await?,
            Err(why) => {
                let doubled = PAUSE_MS << row.attempts.clamp(1, 8).saturating_sub(1);
                let due_ms = now_ms + doubled.min(PAUSE_MAX_MS);
                tracing::warn!(silence = %id, %why, "Alertmanager was not told of a silence; trying again");
                self.store().mirror_retry(&id, due_ms, &why).await?;
            }
        }
        Ok(true)
    }
}

/// Looks, then makes: an earlier try may have worked without an answer.
async fn make(silencer: &dyn Silencer, mirror: &Mirror) -> Result<String, String> {
    match silencer.find(mirror).await? {
        Some(silence) => Ok(silence),
        None => silencer.make(mirror).await,
    }
}

async fn end(silencer: &dyn Silencer, row: &MirrorRow) -> Result<(), String> {
    let found = match &row.silence {
        Some(silence) => Some(silence.clone()),
        None => silencer.find(&row.mirror).await?,
    };
    match found {
        Some(silence) => silencer.end(&row.mirror.hook, &silence).await,
        None => Ok(()),
    }
}
