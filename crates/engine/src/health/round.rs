//! Who asks, when, and what is written down: one loop a cluster, in every process.
//!
//! The process that holds the cluster's watch asks and writes; every other one reads what it wrote. A process that lost
//! the watch writes nothing more: what it writes names the watch's generation.

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_core::id::{ClusterId, Vmid};
use gantry_core::pod::{Health, Life, Pulse};
use tokio_util::sync::CancellationToken;

use super::ask::{Answer, Question};
use super::{Book, KEPT_AT_ONCE, Pod};
use crate::{Engine, Error};

/// How often it is looked who is to be asked; the shortest rhythm of a check is a second.
const LOOK: Duration = Duration::from_millis(500);
/// How long the watch is held without renewing.
const WATCH_MS: i64 = 30_000;
/// How often it is renewed.
const RENEW_MS: i64 = 10_000;
/// How often a process that asks nobody reads what the one that does wrote.
const FOLLOW_MS: i64 = 5_000;

/// How often it is written down who is still as before, all of them together.
const STILL_MS: i64 = 10_000;

/// Where one process stands with one cluster.
#[derive(Default)]
struct Round {
    /// The reading that was taken notice of last, milliseconds.
    read_ms: i64,
    /// The generation of the watch, where this process holds it.
    generation: Option<i64>,
    /// When holding it was tried last, milliseconds.
    tried_ms: i64,
    /// When it was read what another process wrote, milliseconds.
    followed_ms: i64,
    /// When it was written down who is still as before, milliseconds.
    still_ms: i64,
}

fn watch_of(cluster: &ClusterId) -> String {
    format!("health {cluster}")
}

impl Engine {
    /// Asks the pods of a cluster how they are, until `stop`.
    pub(crate) async fn keep_health(&self, cluster: &ClusterId, stop: CancellationToken) {
        let mut round = Round::default();
        loop {
            if let Err(error) = self.health_round(cluster, &mut round).await {
                tracing::warn!(%error, %cluster, "could not look after the health of pods; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.clock.sleep(LOOK) => {}
            }
        }
    }

    async fn health_round(&self, cluster: &ClusterId, round: &mut Round) -> Result<(), Error> {
        let fail = || Error::store("look after the health of pods");
        let (store, book, now_ms) = (self.store(), &self.inner.health, self.now_ms());
        let Some(view) = self.view(cluster).filter(|v| v.observed_ms > 0) else { return Ok(()) };
        let before = round.generation;
        if now_ms - round.tried_ms >= RENEW_MS {
            round.tried_ms = now_ms;
            let owner = &self.inner.settings.owner;
            let held = store.hold_watch(&watch_of(cluster), owner, now_ms, WATCH_MS).await;
            round.generation = held.map_err(fail())?;
        }
        let taken_up = round.generation.is_some() && round.generation != before;
        if view.observed_ms > round.read_ms || taken_up {
            let rows = store.list_sound_pods(cluster).await.map_err(fail())?;
            // Only what is not known here is taken from the store by the one that asks.
            let follow = round.generation.is_none() || taken_up;
            let kept: BTreeMap<Vmid, Pulse> =
                if rows.iter().all(|r| r.spec.template.health.is_none()) {
                    BTreeMap::new()
                } else {
                    store.list_health(cluster).await.map_err(fail())?.into_iter().collect()
                };
            book.take(rows, &view, &kept, follow);
            if round.generation.is_some() {
                store.forget_health(cluster).await.map_err(fail())?;
            }
            round.read_ms = view.observed_ms;
            round.followed_ms = now_ms;
        }
        let Some(generation) = round.generation else {
            if now_ms - round.followed_ms >= FOLLOW_MS && book.has_wards(cluster) {
                round.followed_ms = now_ms;
                book.follow(cluster, store.list_health(cluster).await.map_err(fail())?);
            }
            return Ok(());
        };
        let still = now_ms - round.still_ms >= STILL_MS;
        if still {
            round.still_ms = now_ms;
        }
        let news = book.news(cluster, still);
        if !news.is_empty() {
            let watch = watch_of(cluster);
            if !store.save_health((&watch, generation), cluster, &news).await.map_err(fail())? {
                tracing::info!(%cluster, "another process asks the pods now");
                *round = Round { read_ms: round.read_ms, tried_ms: now_ms, ..Round::default() };
                return Ok(());
            }
            book.written(cluster, news);
        }
        self.ask_who_is_due(cluster, now_ms);
        Ok(())
    }

    /// Asks, the longest waiting first. Nobody waits for the answers.
    fn ask_who_is_due(&self, cluster: &ClusterId, now_ms: i64) {
        for vmid in self.inner.health.due(cluster, now_ms) {
            let Ok(permit) = self.inner.health.room.clone().try_acquire_owned() else { return };
            let Some(question) = self.inner.health.begin(cluster, vmid, now_ms) else { continue };
            let (engine, (question, life)) = (self.clone(), question);
            // Bounded by the permits, the client's deadline and the check's own.
            tokio::spawn(async move {
                let (cluster, check) = (question.cluster.clone(), question.check.clone());
                let answer = engine.ask_pod(question).await;
                let now_ms = engine.now_ms();
                engine.inner.health.answered(&cluster, vmid, (life, &check), answer, now_ms);
                drop(permit);
            });
        }
    }
}

impl Book {
    fn has_wards(&self, cluster: &ClusterId) -> bool {
        let pods = self.pods();
        pods.get(cluster).is_some_and(|pods| pods.values().any(|p| matches!(p, Pod::Ward(_))))
    }

    /// Whom it is time to ask, the longest waiting first.
    fn due(&self, cluster: &ClusterId, now_ms: i64) -> Vec<Vmid> {
        let pods = self.pods();
        let mut due: Vec<(i64, Vmid)> = pods
            .get(cluster)
            .into_iter()
            .flatten()
            .filter_map(|(vmid, pod)| match pod {
                Pod::Ward(ward) if !ward.asking && ward.pulse.is_due(&ward.check, now_ms) => {
                    Some((ward.pulse.asked_ms.unwrap_or(0), *vmid))
                }
                _ => None,
            })
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, vmid)| vmid).collect()
    }

    /// Notes that a pod is being asked; whom and what, and which start of it.
    fn begin(&self, cluster: &ClusterId, vmid: Vmid, now_ms: i64) -> Option<(Question, Life)> {
        let mut pods = self.pods();
        let Some(Pod::Ward(ward)) = pods.get_mut(cluster)?.get_mut(&vmid) else { return None };
        ward.asking = true;
        ward.pulse.asked(now_ms);
        let question = Question {
            cluster: cluster.clone(),
            node: ward.node.clone(),
            vmid,
            spec: ward.spec.clone(),
            check: ward.check.clone(),
            told: ward.told,
        };
        Some((question, ward.pulse.life()))
    }

    /// Takes an answer. One of a pod, a start or a check before this one comes too late.
    fn answered(
        &self,
        cluster: &ClusterId,
        vmid: Vmid,
        (life, check): (Life, &Health),
        answer: Answer,
        now_ms: i64,
    ) {
        let mut pods = self.pods();
        let Some(Pod::Ward(ward)) = pods.get_mut(cluster).and_then(|p| p.get_mut(&vmid)) else {
            return;
        };
        ward.asking = false;
        let now = ward.pulse.life();
        let same = now.made_ms == life.made_ms && now.uptime_s >= life.uptime_s;
        if !same || ward.check != *check {
            return;
        }
        ward.told = answer.told;
        ward.pulse.answered(check, answer.said, now_ms);
    }

    /// What the store should know, as much as is written at a time: who is otherwise than before, and where `still`, who
    /// is as before.
    fn news(&self, cluster: &ClusterId, still: bool) -> Vec<(Vmid, Pulse)> {
        let pods = self.pods();
        let wards = pods.get(cluster).into_iter().flatten().filter_map(|(vmid, pod)| match pod {
            Pod::Ward(w) if w.has_changed() || still && w.is_old_news() => {
                Some((*vmid, w.pulse.clone()))
            }
            Pod::Ward(_) | Pod::Unasked { .. } => None,
        });
        wards.take(KEPT_AT_ONCE).collect()
    }

    fn written(&self, cluster: &ClusterId, news: Vec<(Vmid, Pulse)>) {
        let mut pods = self.pods();
        let Some(pods) = pods.get_mut(cluster) else { return };
        for (vmid, pulse) in news {
            if let Some(Pod::Ward(ward)) = pods.get_mut(&vmid) {
                ward.kept = Some(pulse);
            }
        }
    }
}
