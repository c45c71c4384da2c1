//! Leads the alert desks: each new look at a cluster is taken in, and what came of it is kept before the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, pending};
use futures::stream::FuturesUnordered;
use gantry_core::alert::{Around, Book, Desk, Outcome, Reading, Snapshot, Wear, derive};
use gantry_core::id::{ClusterId, IncidentId, Vmid};
use gantry_core::world::ClusterView;
use gantry_store::{AlertWork, DeskWork, StoreError};
use tokio_util::sync::CancellationToken;

use super::id_from;
use super::look::FIGURES_EVERY_MS;
use super::own::OwnLooked;
use super::rare::{Rarely, backups_in_time, wear_in_time};
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
/// Most incidents that a leader begins with: as many as there may be alerts that fire, and some that ended.
const LATELY_MAX: u32 = 25_000;
/// How long incidents can be looked up.
const HISTORY_MS: i64 = 90 * 86_400_000;
/// How long what others told is remembered, so that a retry is known.
const HEARD_KEPT_MS: i64 = 7 * 86_400_000;
/// Pause between two sweeps of what is older.
const SWEEP_MS: i64 = 3_600_000;

/// What the leader holds.
pub(super) struct Led<'a> {
    pub(super) generation: i64,
    renewed_ms: i64,
    swept_ms: i64,
    pub(super) heard_ms: i64,
    pub(super) desks: Vec<Seat>,
    clusters: BTreeMap<ClusterId, Watch>,
    own: OwnLooked,
    /// What is being read at clusters. No turn waits for it: one that hangs would hold up all the others.
    looks: FuturesUnordered<BoxFuture<'a, Look>>,
    /// What was read since the turn before.
    ready: Vec<Look>,
}

/// Something that was read at a cluster.
enum Look {
    /// What there is beside its view.
    Around(Arc<ClusterView>, Box<Around>),
    /// Its backups.
    Backups(ClusterId, Option<BTreeMap<Vmid, i64>>),
    /// What ages in it.
    Wear(ClusterId, Option<Wear>),
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
    figures_ms: i64,
    looking: bool,
    backups: Rarely<BTreeMap<Vmid, i64>>,
    wear: Rarely<Wear>,
}

impl Led<'_> {
    /// What was read beside views, with what was read rarely and not taken in yet.
    fn take_ready(&mut self) -> Vec<(Arc<ClusterView>, Around)> {
        let mut looks = Vec::new();
        for look in std::mem::take(&mut self.ready) {
            match look {
                Look::Around(view, around) => looks.push((view, *around)),
                Look::Backups(cluster, found) => {
                    if let Some(watch) = self.clusters.get_mut(&cluster) {
                        watch.backups.done(found);
                    }
                }
                Look::Wear(cluster, found) => {
                    if let Some(watch) = self.clusters.get_mut(&cluster) {
                        watch.wear.done(found);
                    }
                }
            }
        }
        for (view, around) in &mut looks {
            let Some(watch) = self.clusters.get_mut(&view.cluster) else { continue };
            watch.looking = false;
            if view.fault.is_none() {
                around.backups = watch.backups.take();
                around.wear = watch.wear.take();
            }
        }
        looks
    }
}

impl Engine {
    /// Watches for alerts until `stop`. Returns at once when no server wants any.
    pub(crate) async fn keep_alerts(&self, stop: CancellationToken) {
        if self.inner.settings.alerts.routes.is_empty() {
            return;
        }
        let mut led: Option<Led<'_>> = None;
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
            let read = async {
                match &mut led {
                    Some(l) if !l.looks.is_empty() => {
                        if let Some(look) = l.looks.next().await {
                            l.ready.push(look);
                        }
                    }
                    _ => pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = read => {}
                () = self.inner.clock.sleep(pause) => {}
            }
        }
    }

    async fn alert_turn<'a>(&'a self, led: &mut Option<Led<'a>>) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        self.count_turned_away().await?;
        let renew = led.as_ref().is_none_or(|l| now_ms - l.renewed_ms >= LEASE_MS / 3);
        if renew {
            let owner = &self.inner.settings.owner;
            let Some(generation) = self.store().lead_alerts(owner, now_ms, LEASE_MS).await? else {
                self.lead_no_more(led);
                return Ok(());
            };
            match led {
                // The lease may have run out; nobody else held it meanwhile, or it would be another generation yet.
                Some(l) if (0..=1).contains(&(generation - l.generation)) => {
                    (l.generation, l.renewed_ms) = (generation, now_ms);
                }
                _ => *led = Some(self.take_desks(generation, now_ms).await?),
            }
        }
        let Some(l) = led else { return Ok(()) };
        match self.take_heard(l).await {
            Ok(true) => {}
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
        let looks = l.take_ready();
        if !looks.is_empty() || own.is_some() {
            if !self.take_looks(l, looks, own).await? {
                tracing::warn!("another process leads the alert desks now");
                self.lead_no_more(led);
                return Ok(());
            }
            self.note_alerts(Some(l.desks.iter().flat_map(|s| s.desk.book.tracked.values())));
        }
        self.begin_looks(l);
        if now_ms - l.swept_ms >= SWEEP_MS {
            l.swept_ms = now_ms;
            self.store().forget_incidents(now_ms - HISTORY_MS).await?;
            self.store().forget_heard(now_ms - HEARD_KEPT_MS).await?;
        }
        Ok(())
    }

    /// Takes in what was read. `false`: somebody else leads.
    async fn take_looks(
        &self,
        led: &mut Led<'_>,
        looks: Vec<(Arc<ClusterView>, Around)>,
        own: Option<Reading>,
    ) -> Result<bool, StoreError> {
        self.refresh_desks(led).await?;
        if let Some(reading) = own {
            let now_ms = self.now_ms();
            for seat in &mut led.desks {
                self.step_desk(seat, &reading, now_ms);
            }
            if !self.keep_desks(led, None).await? {
                return Ok(false);
            }
        }
        for (view, around) in looks {
            if !self.take_in(led, &view, &around).await? {
                return Ok(false);
            }
            if let Some(newest) = &around.backups {
                self.note_backups(&view, newest);
            }
        }
        Ok(true)
    }

    fn lead_no_more(&self, led: &mut Option<Led<'_>>) {
        *led = None;
        self.note_alerts(None::<std::iter::Empty<&gantry_core::alert::Tracked>>);
    }

    /// Reads what was kept.
    async fn take_desks<'a>(&self, generation: i64, now_ms: i64) -> Result<Led<'a>, StoreError> {
        let settings = &self.inner.settings.alerts;
        // Whoever led before may have had a clock that ran ahead.
        self.store().bring_back(now_ms).await?;
        let mut desks = Vec::new();
        for route in &settings.routes {
            let (guild, since_ms) = (route.guild, now_ms - LATELY_MS);
            let kept = self.store().list_alerts(guild).await?;
            let incidents = self.store().incidents_lately(guild, since_ms, LATELY_MAX).await?;
            let mut desk = Desk {
                route: route.clone(),
                rules: settings.rules.clone(),
                mutes: Vec::new(),
                book: Book::of(kept),
                incidents: incidents.into_iter().map(|i| (i.id.clone(), i)).collect(),
            };
            let unsaved = desk.bring_back(now_ms).touched;
            desks.push(Seat { desk, unsaved });
        }
        let mut clusters = BTreeMap::new();
        for id in self.inner.clusters.keys() {
            let mut before: Option<Snapshot> = self.store().last_look(id).await?.and_then(|text| {
                serde_json::from_str(&text)
                    .inspect_err(|error| tracing::warn!(%error, cluster = %id, "what was seen last does not read back; beginning anew"))
                    .ok()
            });
            if let Some(before) = &mut before {
                before.at_ms = before.at_ms.min(now_ms);
            }
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
            looks: FuturesUnordered::new(),
            ready: Vec::new(),
        })
    }

    /// Clusters that were read again, and those that cannot be read for another while.
    fn new_views(&self, led: &Led<'_>) -> Vec<Arc<ClusterView>> {
        let now_ms = self.now_ms();
        let poll_ms = i64::try_from(self.inner.settings.poll.as_millis()).unwrap_or(i64::MAX);
        let fresh = |view: &Arc<ClusterView>| {
            let Some(watch) = led.clusters.get(&view.cluster) else { return false };
            let seen = view.observed_ms > 0 || view.fault.is_some();
            seen && !watch.looking
                && (view.observed_ms != watch.observed_ms || now_ms - watch.stepped_ms >= poll_ms)
        };
        self.views().into_iter().filter(fresh).collect()
    }

    /// What people said since: silences, other values, who is on call, who takes care.
    pub(super) async fn refresh_desks(&self, led: &mut Led<'_>) -> Result<(), StoreError> {
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

    /// Begins to look at what is due: at what there is beside each newer view, and rarely at what is slow.
    fn begin_looks<'a>(&'a self, led: &mut Led<'a>) {
        let now_ms = self.now_ms();
        for view in self.new_views(led) {
            let Some(watch) = led.clusters.get_mut(&view.cluster) else { continue };
            watch.looking = true;
            let figures_due = view.fault.is_none() && now_ms - watch.figures_ms >= FIGURES_EVERY_MS;
            if figures_due {
                watch.figures_ms = now_ms;
            }
            let of = view.clone();
            led.looks.push(Box::pin(async move {
                let around = self.look_around(&of.cluster, &of, figures_due).await;
                Look::Around(of, Box::new(around))
            }));
            let Ok(client) = self.client(&view.cluster) else { continue };
            if view.fault.is_some() {
                continue;
            }
            if watch.backups.begin(now_ms) {
                let of = view.clone();
                led.looks.push(Box::pin(async move {
                    Look::Backups(of.cluster.clone(), backups_in_time(client, &of).await)
                }));
            }
            if watch.wear.begin(now_ms) {
                led.looks.push(Box::pin(async move {
                    let wear = wear_in_time(client, &view, now_ms).await;
                    Look::Wear(view.cluster.clone(), wear)
                }));
            }
        }
    }

    /// Takes in one look and keeps what came of it. `false`: somebody else leads.
    async fn take_in(
        &self,
        led: &mut Led<'_>,
        view: &ClusterView,
        around: &Around,
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
                // The same one when this look cannot be kept, or its answer is lost, and it is taken in again.
                let guild = seat.desk.route.guild;
                let id = id_from(&format!("{guild}:{}:{since_ms}", view.cluster), since_ms);
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
        led: &mut Led<'_>,
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
