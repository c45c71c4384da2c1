//! Reports: asked for, or sent by themselves at their time. One that is sent is kept under an id that follows from server
//! and time, so that a kill in between sends it once.

use gantry_core::action::Verb;
use gantry_core::alert::{Book, Desk, Incident, Kind, Rules, Severity};
use gantry_core::id::{ClusterId, GuildId};
use gantry_core::policy::{Actor, Target};
use gantry_core::report::{self, Backups, Capacity, ClusterReport, DAY_MS, Every, Report};
use gantry_core::world::{ClusterView, Guest, GuestStatus, NodeState};
use gantry_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::rights::LOOKED_AT;
use super::{id_from, rare::backups};
use crate::{Engine, Error, Measure, Subject, Timeframe};

/// Storages whose course is read, the fullest first: a call each.
const STORAGES_MAX: usize = 24;
/// Incidents counted in a report that is sent; of more the oldest are left out.
const INCIDENTS_MAX: u32 = 25_000;
/// Guests named that use most.
const CONSUMERS: usize = 5;
/// Guests named whose backup is old.
const OLD_MAX: usize = 10;
/// Pause between two looks whether one is due.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
/// How long one process sends them without renewing: longer than the pause, and than making one takes.
const LEASE_MS: i64 = 300_000;
/// A report whose time is longer ago is not sent any more.
const LATE_MAX_MS: i64 = 6 * 3_600_000;
/// Longest for the backups of a cluster, and for one course.
const READ_WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

impl Engine {
    /// A report for somebody on the last `days` days: of the clusters they may see.
    pub async fn report(&self, actor: &Actor, days: u32) -> Result<Report, Error> {
        let mine = |c: &&ClusterId| self.may(actor, Verb::Report, Target::Cluster(c)).is_allowed();
        let clusters: Vec<ClusterId> = self.inner.clusters.keys().filter(mine).cloned().collect();
        let span_ms = i64::from(days.max(1)) * DAY_MS;
        let made = self.make_report(actor.guild, &clusters, span_ms, Some(actor)).await;
        made.map_err(Error::store("read what the report is about"))
    }

    /// Whether a guest stands in the report of whoever asked; in one that is sent stand all of them.
    fn reports_on(&self, reader: Option<&Actor>, guest: &Guest) -> bool {
        let may = |actor, verb| self.may(actor, verb, Target::Guest(guest)).is_allowed();
        reader.is_none_or(|actor| may(actor, Verb::Report) && may(actor, Verb::GuestList))
    }

    async fn make_report(
        &self,
        guild: GuildId,
        clusters: &[ClusterId],
        span_ms: i64,
        reader: Option<&Actor>,
    ) -> Result<Report, StoreError> {
        let now_ms = self.now_ms();
        let from_ms = now_ms - span_ms;
        let most = if reader.is_some() { LOOKED_AT } else { INCIDENTS_MAX };
        let mut all = self.store().incidents_lately(guild, from_ms, most).await?;
        all.retain(|i| i.cluster.as_ref().is_none_or(|c| clusters.contains(c)));
        if let Some(actor) = reader {
            let alerts = self.store().list_alerts(guild).await?;
            let may = |i: &Incident, verb| self.ruling_on(actor, verb, i, &alerts).is_allowed();
            all.retain(|i| may(i, Verb::Report) && may(i, Verb::AlertList));
        }
        let operations = self.store().count_operations(clusters, from_ms).await?;
        let mut reports = Vec::new();
        for cluster in clusters {
            if let Some(view) = self.view(cluster) {
                reports.push(self.of_cluster(&view, from_ms, now_ms, reader).await);
            }
        }
        Ok(Report {
            from_ms,
            until_ms: now_ms,
            clusters: reports,
            incidents: report::incidents(&all, from_ms, now_ms),
            operations,
        })
    }

    async fn of_cluster(
        &self,
        view: &ClusterView,
        from_ms: i64,
        now_ms: i64,
        reader: Option<&Actor>,
    ) -> ClusterReport {
        let guests: Vec<&Guest> =
            view.guests.iter().filter(|g| self.reports_on(reader, g)).collect();
        let mut running: Vec<&Guest> =
            guests.iter().copied().filter(|g| g.status == GuestStatus::Running).collect();
        running.sort_by(|a, b| (b.cpu * b.cores).total_cmp(&(a.cpu * a.cores)));
        let cpu = running.iter().take(CONSUMERS).map(|g| (name(g), g.cpu * g.cores)).collect();
        running.sort_by_key(|g| std::cmp::Reverse(g.mem));
        let memory = running.iter().take(CONSUMERS).map(|g| (name(g), g.mem)).collect();
        let backups = match self.client(&view.cluster) {
            Ok(client) => {
                let read = tokio::time::timeout(READ_WITHIN, backups(client, view)).await;
                read.ok().flatten().map(|newest| {
                    let mut out = Backups::default();
                    for guest in guests.iter().filter(|g| !g.template) {
                        match newest.get(&guest.vmid) {
                            Some(at_ms) if *at_ms >= from_ms => out.fresh += 1,
                            Some(at_ms) => out.old.push((name(guest), (now_ms - at_ms) / DAY_MS)),
                            None => out.none += 1,
                        }
                    }
                    out.older = u32::try_from(out.old.len()).unwrap_or(u32::MAX);
                    out.old.sort_by_key(|(_, days)| std::cmp::Reverse(*days));
                    out.old.truncate(OLD_MAX);
                    out
                })
            }
            Err(_) => None,
        };
        ClusterReport {
            cluster: view.cluster.clone(),
            storages: self.capacities(view).await,
            cpu,
            memory,
            backups,
            fault: view.fault.clone(),
            silent: view
                .nodes
                .iter()
                .filter(|n| n.state != NodeState::Up)
                .map(|n| n.name.to_string())
                .collect(),
        }
    }

    async fn capacities(&self, view: &ClusterView) -> Vec<Capacity> {
        let mut seen = std::collections::HashSet::new();
        let mut storages: Vec<_> = view
            .storages
            .iter()
            .filter(|s| s.active && s.total > 0 && (!s.shared || seen.insert(&s.id)))
            .collect();
        let share = |s: &gantry_core::world::Storage| s.used as f64 / s.total as f64;
        storages.sort_by(|a, b| share(b).total_cmp(&share(a)));
        let mut out = Vec::new();
        for s in storages.into_iter().take(STORAGES_MAX) {
            let subject = Subject::Storage(view.cluster.clone(), s.node.clone(), s.id.clone());
            let read = self.history(&subject, Measure::Disk, Timeframe::Month);
            let course = tokio::time::timeout(READ_WITHIN, read).await;
            let per_day = match course {
                Ok(Ok(Some(h))) => {
                    h.courses.first().and_then(|(_, points)| report::per_day(points))
                }
                _ => None,
            };
            let name = if s.shared { s.id.to_string() } else { format!("{} on {}", s.id, s.node) };
            out.push(Capacity { name, used: s.used as f64, total: s.total as f64, per_day });
        }
        out
    }

    /// Sends reports at their time until `stop`. Returns at once when no server wants any.
    pub(crate) async fn keep_reports(&self, stop: CancellationToken) {
        if self.inner.settings.alerts.routes.iter().all(|r| r.reports.is_empty()) {
            return;
        }
        while !stop.is_cancelled() {
            let owner = &self.inner.settings.owner;
            let sent = async {
                if self.store().lead("reports", owner, self.now_ms(), LEASE_MS).await? {
                    Box::pin(self.send_reports()).await?;
                }
                Ok::<_, StoreError>(())
            };
            tokio::select! {
                () = stop.cancelled() => return,
                sent = sent => if let Err(error) = sent {
                    tracing::warn!(%error, "a report could not be made; trying again");
                },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.clock.sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sends the reports whose time has come.
    async fn send_reports(&self) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        for route in &self.inner.settings.alerts.routes {
            for slot in &route.reports {
                let due_ms = slot.latest(now_ms);
                let key = format!("report:{}:{}", route.guild, slot.every.as_str());
                let due = due_ms.to_string();
                let sent = self.store().setting(&key).await?;
                // The first time there is nothing to say about the time before.
                if sent.as_deref() == Some(due.as_str())
                    || sent.is_none()
                    || now_ms - due_ms > LATE_MAX_MS
                {
                    if sent.as_deref() != Some(due.as_str()) {
                        self.store().set_setting(&key, &due, now_ms).await?;
                    }
                    continue;
                }
                let mut clusters = route.clusters.clone();
                if clusters.is_empty() {
                    clusters = self.inner.clusters.keys().cloned().collect();
                }
                let made =
                    self.make_report(route.guild, &clusters, slot.every.span_ms(), None).await?;
                let incident = self.sent(route, &made, slot.every, due_ms);
                self.store().post_unasked(&incident).await?;
                self.store().set_setting(&key, &due, now_ms).await?;
                self.card_touched();
            }
        }
        Ok(())
    }

    /// A report as the message that is sent; its id follows from server and time.
    fn sent(
        &self,
        route: &gantry_core::alert::Route,
        made: &Report,
        every: Every,
        due_ms: i64,
    ) -> Incident {
        let id = id_from(&format!("{}:{}:{due_ms}", route.guild, every.as_str()), due_ms);
        let desk = Desk {
            route: route.clone(),
            rules: Rules::default(),
            mutes: Vec::new(),
            book: Book::default(),
            incidents: std::collections::BTreeMap::new(),
        };
        let title = match every {
            Every::Day => "The last day",
            Every::Week => "The last week",
        };
        let mut incident = desk.fresh(id, Kind::CatchUp, title, Severity::Info, due_ms);
        incident.posted_ms = Some(due_ms);
        incident.resolved_ms = Some(due_ms);
        incident.body = report::lines(made, every);
        incident
    }
}

fn name(g: &Guest) -> String {
    format!("{} ({} {})", g.name, g.kind.short(), g.vmid)
}
