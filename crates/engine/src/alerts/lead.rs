//! Leads the alert desks: each new look at a cluster is taken in, and what came of it is kept before the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gantry_core::alert::{Book, Desk, Outcome, Reading, Snapshot, derive};
use gantry_core::id::{ClusterId, IncidentId};
use gantry_core::world::ClusterView;
use gantry_store::{AlertWork, DeskWork, StoreError};
use tokio_util::sync::CancellationToken;

use super::look::Looked;
use super::own::OwnLooked;
use crate::{Engine, random};

/// Pause between two looks for a newer view: what a poll saw is told within this.
const TICK: Duration = Duration::from_millis(500);
/// How long one process leads without renewing.
const LEASE_MS: i64 = 20_000;
/// Pause when the store does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// Longer than this without a look, and people are told what happened meanwhile.
const BLIND_MS: i64 = 120_000;
/// Longer than this, and people are told even when nothing happened.
const BLIND_LONG_MS: i64 = 600_000;
/// Lines of that message.
const MEANWHILE_MAX: usize = 25;
/// What is remembered of a cluster is kept at least this often, also when nothing changed.
const KEEP_LOOK_MS: i64 = 30_000;
/// Ended incidents stay with their desk this long: the cooldown, and the count of an hour's messages.
const LATELY_MS: i64 = 26 * 3_600_000;
/// How long incidents can be looked up.
const HISTORY_MS: i64 = 90 * 86_400_000;
/// How long what others told is remembered, so that a retry is known.
const HEARD_KEPT_MS: i64 = 7 * 86_400_000;
/// Pause between two sweeps of what is older.
const SWEEP_MS: i64 = 3_600_000;

/// What the leader holds.
pub(super) struct Led {
    pub(super) generation: i64,
    renewed_ms: i64,
    swept_ms: i64,
    pub(super) heard_ms: i64,
    pub(super) desks: Vec<Seat>,
    clusters: BTreeMap<ClusterId, Watch>,
    own: OwnLooked,
}

/// A desk, and what of it is not kept yet.
pub(super) struct Seat {
    pub(super) desk: Desk,
    pub(super) unsaved: BTreeSet<IncidentId>,
}

impl Seat {
    /// Everything is kept.
    pub(super) fn saved(&mut self) {
        self.unsaved.clear();
        self.desk.book.dirty.clear();
        self.desk.book.gone.clear();
    }
}

/// A cluster as it was looked at last.
#[derive(Default)]
struct Watch {
    before: Option<Snapshot>,
    kept_ms: i64,
    observed_ms: i64,
    stepped_ms: i64,
    looked: Looked,
}

impl Engine {
    /// Watches for alerts until `stop`. Returns at once when no server wants any.
    pub(crate) async fn keep_alerts(&self, stop: CancellationToken) {
        if self.inner.settings.alerts.routes.is_empty() {
            return;
        }
        let mut led: Option<Led> = None;
        let mut trouble = false;
        while !stop.is_cancelled() {
            let pause = match self.alert_turn(&mut led).await {
                Ok(()) => {
                    trouble = false;
                    TICK
                }
                Err(error) => {
                    if !trouble {
                        tracing::warn!(%error, "alerts cannot be kept: the store does not answer; trying again");
                    }
                    trouble = true;
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.clock.sleep(pause) => {}
            }
        }
    }

    async fn alert_turn(&self, led: &mut Option<Led>) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        let renew = led.as_ref().is_none_or(|l| now_ms - l.renewed_ms >= LEASE_MS / 3);
        if renew {
            let owner = &self.inner.settings.owner;
            let Some(generation) = self.store().lead_alerts(owner, now_ms, LEASE_MS).await? else {
                self.lead_no_more(led);
                return Ok(());
            };
            match led {
                Some(l) if l.generation == generation => l.renewed_ms = now_ms,
                _ => *led = Some(self.take_desks(generation, now_ms).await?),
            }
        }
        let Some(l) = led else { return Ok(()) };
        match self.take_heard(l).await {
            Ok(true) => {
                self.note_tracked(l.desks.iter().map(|s| s.desk.book.tracked.len()).max());
            }
            Ok(false) => {
                tracing::warn!("another process leads the alert desks now");
                self.lead_no_more(led);
                return Ok(());
            }
            Err(error) => {
                // What was not kept is taken in again, from what was kept before.
                self.lead_no_more(led);
                return Err(error);
            }
        }
        let own = self.look_at_own(&mut l.own).await;
        let new = self.new_views(l);
        if new.is_empty() && own.is_none() {
            return Ok(());
        }
        self.refresh_desks(l).await?;
        if let Some(reading) = own {
            for seat in &mut l.desks {
                self.step_desk(seat, &reading, now_ms);
            }
            if !self.keep_desks(l, None).await? {
                tracing::warn!("another process leads the alert desks now");
                self.lead_no_more(led);
                return Ok(());
            }
        }
        for (view, around) in self.look_at_all(l, new).await {
            if !self.take_in(l, &view, &around).await? {
                tracing::warn!("another process leads the alert desks now");
                self.lead_no_more(led);
                return Ok(());
            }
            if let Some(newest) = &around.backups {
                self.note_backups(&view, newest);
            }
        }
        self.note_alerts(Some(l.desks.iter().flat_map(|s| s.desk.book.tracked.values())));
        if now_ms - l.swept_ms >= SWEEP_MS {
            l.swept_ms = now_ms;
            self.store().forget_incidents(now_ms - HISTORY_MS).await?;
            self.store().forget_heard(now_ms - HEARD_KEPT_MS).await?;
        }
        Ok(())
    }

    /// How much is remembered, for those who tell more.
    fn note_tracked(&self, most: Option<usize>) {
        let most = u64::try_from(most.unwrap_or(0)).unwrap_or(u64::MAX);
        self.inner.tracked.store(most, std::sync::atomic::Ordering::Relaxed);
    }

    fn lead_no_more(&self, led: &mut Option<Led>) {
        *led = None;
        self.note_tracked(None);
        self.note_alerts(None::<std::iter::Empty<&gantry_core::alert::Tracked>>);
    }

    /// Reads what was kept.
    async fn take_desks(&self, generation: i64, now_ms: i64) -> Result<Led, StoreError> {
        let settings = &self.inner.settings.alerts;
        let mut desks = Vec::new();
        for route in &settings.routes {
            let kept = self.store().list_alerts(route.guild).await?;
            let incidents = self.store().incidents_lately(route.guild, now_ms - LATELY_MS).await?;
            let desk = Desk {
                route: route.clone(),
                rules: settings.rules.clone(),
                mutes: Vec::new(),
                book: Book::of(kept),
                incidents: incidents.into_iter().map(|i| (i.id.clone(), i)).collect(),
            };
            desks.push(Seat { desk, unsaved: BTreeSet::new() });
        }
        let mut clusters = BTreeMap::new();
        for id in self.inner.clusters.keys() {
            let before = self.store().last_look(id).await?.and_then(|text| {
                serde_json::from_str(&text)
                    .inspect_err(|error| tracing::warn!(%error, cluster = %id, "what was seen last does not read back; beginning anew"))
                    .ok()
            });
            clusters.insert(id.clone(), Watch { before, ..Watch::default() });
        }
        tracing::info!(generation, servers = desks.len(), "leading the alert desks");
        Ok(Led {
            generation,
            renewed_ms: now_ms,
            swept_ms: now_ms,
            heard_ms: 0,
            desks,
            clusters,
            own: OwnLooked::default(),
        })
    }

    /// Clusters that were read again, and those that cannot be read for another while.
    fn new_views(&self, led: &Led) -> Vec<Arc<ClusterView>> {
        let now_ms = self.now_ms();
        let poll_ms = i64::try_from(self.inner.settings.poll.as_millis()).unwrap_or(i64::MAX);
        let fresh = |view: &Arc<ClusterView>| {
            let Some(watch) = led.clusters.get(&view.cluster) else { return false };
            let seen = view.observed_ms > 0 || view.fault.is_some();
            seen && (view.observed_ms != watch.observed_ms || now_ms - watch.stepped_ms >= poll_ms)
        };
        self.views().into_iter().filter(fresh).collect()
    }

    /// What people said since: silences, other values, who is on call, who takes care.
    pub(super) async fn refresh_desks(&self, led: &mut Led) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        for seat in &mut led.desks {
            let guild = seat.desk.route.guild;
            seat.desk.mutes = self.store().list_mutes(guild, now_ms).await?;
            seat.desk.route.duty.shifts = self.store().list_shifts(guild, now_ms).await?;
            let overrides = self.store().list_overrides(guild).await?;
            seat.desk.rules = self.inner.settings.alerts.rules.clone().overridden(&overrides);
            let mut out = Outcome::default();
            for (id, ack) in self.store().incident_acks(guild).await? {
                seat.desk.acknowledged(&id, &ack, &mut out);
            }
            seat.unsaved.extend(out.touched);
        }
        Ok(())
    }

    async fn look_at_all(
        &self,
        led: &mut Led,
        views: Vec<Arc<ClusterView>>,
    ) -> Vec<(Arc<ClusterView>, gantry_core::alert::Around)> {
        let looks = views.into_iter().map(|view| {
            let mut looked = led.clusters.get(&view.cluster).map(|w| w.looked).unwrap_or_default();
            async move {
                let around = self.look_around(&view.cluster, &view, &mut looked).await;
                (view, around, looked)
            }
        });
        let all = join_all(looks).await;
        let mut out = Vec::new();
        for (view, around, looked) in all {
            if let Some(watch) = led.clusters.get_mut(&view.cluster) {
                watch.looked = looked;
            }
            out.push((view, around));
        }
        out
    }

    /// Takes in one look and keeps what came of it. `false`: somebody else leads.
    async fn take_in(
        &self,
        led: &mut Led,
        view: &ClusterView,
        around: &gantry_core::alert::Around,
    ) -> Result<bool, StoreError> {
        let now_ms = self.now_ms();
        let Some(watch) = led.clusters.get_mut(&view.cluster) else { return Ok(true) };
        let before = watch.before.clone();
        let derived = derive(before.as_ref(), view, around, now_ms);
        let since_ms = before.as_ref().map_or(0, |b| b.at_ms);
        let blind_ms = now_ms - since_ms;
        let seen = view.fault.is_none();
        let told = seen
            && since_ms > 0
            && (blind_ms >= BLIND_LONG_MS
                || blind_ms >= BLIND_MS && !derived.happenings.is_empty());
        for seat in &mut led.desks {
            self.step_desk(seat, &derived.reading, now_ms);
            let wants = &seat.desk.route.clusters;
            if told && (wants.is_empty() || wants.contains(&view.cluster)) {
                let body = meanwhile(&derived.happenings);
                let id = IncidentId::new(now_ms, random());
                let id = seat.desk.catch_up(&view.cluster, body, since_ms, now_ms, id);
                seat.unsaved.insert(id);
            }
        }
        let mut next = derived.snapshot;
        let same = before.as_ref().is_some_and(|b| {
            let at_ms = next.at_ms;
            next.at_ms = b.at_ms;
            let same = *b == next;
            next.at_ms = at_ms;
            same
        });
        let keep = !same || now_ms - watch.kept_ms >= KEEP_LOOK_MS;
        let look = keep.then(|| serde_json::to_string(&next).unwrap_or_default());
        let look = look.filter(|text| !text.is_empty()).map(|text| (&view.cluster, text));
        if !self.keep_desks(led, look).await? {
            return Ok(false);
        }
        let Some(watch) = led.clusters.get_mut(&view.cluster) else { return Ok(true) };
        if keep {
            watch.kept_ms = now_ms;
        }
        watch.before = Some(next);
        watch.observed_ms = view.observed_ms;
        watch.stepped_ms = now_ms;
        Ok(true)
    }

    /// Keeps what the desks came to, with what is remembered of a cluster. `false`: somebody else leads.
    async fn keep_desks(
        &self,
        led: &mut Led,
        look: Option<(&ClusterId, String)>,
    ) -> Result<bool, StoreError> {
        let desks = led.desks.iter().map(work_of).collect();
        let work = AlertWork { desks, look, taken: Vec::new() };
        let nothing = work.look.is_none()
            && work
                .desks
                .iter()
                .all(|d| d.alerts.is_empty() && d.gone.is_empty() && d.incidents.is_empty());
        if !nothing && !self.store().save_alerts(led.generation, &work, self.now_ms()).await? {
            return Ok(false);
        }
        let shown = work.desks.iter().any(|d| !d.incidents.is_empty());
        for seat in &mut led.desks {
            seat.saved();
        }
        if shown {
            self.card_touched();
        }
        Ok(true)
    }

    fn step_desk(&self, seat: &mut Seat, reading: &Reading, now_ms: i64) {
        let mut id = || IncidentId::new(now_ms, random());
        let out = seat.desk.step(reading, now_ms, &mut id);
        seat.unsaved.extend(out.touched);
    }
}

pub(super) fn work_of(seat: &Seat) -> DeskWork<'_> {
    let book = &seat.desk.book;
    DeskWork {
        guild: seat.desk.route.guild,
        alerts: book.dirty.iter().filter_map(|key| book.tracked.get(key)).collect(),
        gone: book.gone.iter().collect(),
        incidents: seat.unsaved.iter().filter_map(|id| seat.desk.incidents.get(id)).collect(),
    }
}

/// What happened while nobody looked.
fn meanwhile(happenings: &[String]) -> Vec<String> {
    if happenings.is_empty() {
        return vec!["Nothing that alerts look at changed meanwhile.".to_owned()];
    }
    let mut body: Vec<String> = happenings.iter().take(MEANWHILE_MAX).cloned().collect();
    if happenings.len() > MEANWHILE_MAX {
        let more = happenings.len() - MEANWHILE_MAX;
        body.push(format!("and {more} more; `/task list` shows the tasks"));
    }
    body
}
