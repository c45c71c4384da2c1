//! `/metrics`: figures out of memory and one small statement at the database. Nobody else is asked for a scrape.

mod names;
mod page;
mod process;

use std::time::Duration;

use gantry_core::alert::Severity;
use gantry_core::id::GuestKind;
use gantry_core::world::{ClusterView, GuestStatus, NodeState};
use gantry_engine::{BUCKETS_S, ClusterFigures, Engine};
use tokio::time::Instant;

use crate::{Discord, Surroundings};
use names::Name;
use page::Page;

pub use names::{Family, Kind};
pub(crate) use page::Counts;

/// The content type of the text format.
pub(crate) const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Longest wait for the database; a scrape has ten seconds.
const COUNT_WITHIN: Duration = Duration::from_secs(3);

/// Every metric there is.
pub fn families() -> &'static [Family] {
    names::ALL
}

/// What the HTTP side knows itself.
pub(crate) struct Own<'a> {
    pub(crate) version: &'static str,
    pub(crate) started_ms: i64,
    pub(crate) counts: &'a Counts,
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// The page as it is now.
pub(crate) async fn page(engine: &Engine, discord: &Surroundings, own: &Own<'_>) -> String {
    let mut page = Page::new();
    page.put(Name::BuildInfo, &[own.version], 1.0);
    page.put(Name::ProcessStart, &[], seconds(own.started_ms));
    process::write(&mut page);
    for figures in engine.cluster_figures() {
        cluster(&mut page, &figures);
        client(&mut page, &figures);
    }
    for (state, n) in engine.ended_operations() {
        page.put(Name::OperationsEnded, &[state.as_str()], n as f64);
    }
    let alerts = engine.alert_figures();
    page.put(Name::AlertDesksLed, &[], flag(alerts.firing.is_some()));
    if let Some(firing) = alerts.firing {
        for (severity, n) in Severity::ALL.iter().zip(firing) {
            page.put(Name::AlertsFiring, &[severity.as_str()], n as f64);
        }
        page.put(Name::AlertsMuted, &[], alerts.muted as f64);
    }
    discord_side(&mut page, discord.as_ref());
    database(&mut page, engine).await;
    own.counts.write(&mut page);
    page.text()
}

async fn database(page: &mut Page, engine: &Engine) {
    let begun = Instant::now();
    let figures = tokio::time::timeout(COUNT_WITHIN, engine.store().figures()).await;
    let took = begun.elapsed().as_secs_f64();
    let Ok(Ok(figures)) = figures else {
        page.put(Name::DatabaseUp, &[], 0.0);
        return;
    };
    page.put(Name::DatabaseUp, &[], 1.0);
    page.put(Name::DatabaseTook, &[], took);
    page.put(Name::CardsWaiting, &[], figures.cards_waiting as f64);
    page.put(Name::HooksWaiting, &[], figures.hooks_waiting as f64);
    page.put(Name::SilencesWaiting, &[], figures.mirrors_waiting as f64);
    // What there is none of is said too, so that nothing has to be guessed from an absent line.
    let mut all = |name, known: &[&str], counted: &[(String, u64)]| {
        for label in known {
            let n = counted.iter().find(|(l, _)| l == label).map_or(0, |(_, n)| *n);
            page.put(name, &[label], n as f64);
        }
    };
    all(Name::OperationsOpen, &["queued", "running"], &figures.operations);
    let severities = Severity::ALL.map(Severity::as_str);
    all(Name::IncidentsOpen, &severities, &figures.incidents);
    all(Name::Alerts, &["pending", "held", "firing", "over"], &figures.alerts);
}

fn cluster(page: &mut Page, figures: &ClusterFigures) {
    let view: &ClusterView = &figures.view;
    let id = view.cluster.as_str();
    page.put(Name::ClusterReadable, &[id], flag(view.fault.is_none() && view.observed_ms > 0));
    if view.observed_ms == 0 {
        return;
    }
    page.put(Name::ClusterSeen, &[id], seconds(view.observed_ms));
    if let Some(quorate) = view.quorate {
        page.put(Name::ClusterQuorate, &[id], flag(quorate));
    }
    for node in &view.nodes {
        let at = [id, node.name.as_str()];
        let state = match node.state {
            NodeState::Up => "up",
            NodeState::Down => "down",
            NodeState::Unknown => "unknown",
        };
        page.put(Name::NodeUp, &at, flag(node.state == NodeState::Up));
        page.state(Name::NodeState, &at, &["up", "down", "unknown"], state);
        if node.seen_ms == 0 {
            continue;
        }
        page.put(Name::NodeSeen, &at, seconds(node.seen_ms));
        page.put(Name::NodeCpu, &at, node.cpu);
        page.put(Name::NodeMemory, &at, node.mem_max as f64);
        page.put(Name::NodeMemoryUsed, &at, node.mem as f64);
        page.put(Name::NodeDisk, &at, node.disk_max as f64);
        page.put(Name::NodeDiskUsed, &at, node.disk as f64);
        page.put(Name::NodeUptime, &at, node.uptime_s as f64);
    }
    guests(page, view);
    let mut shared = std::collections::BTreeSet::new();
    for storage in &view.storages {
        if storage.shared && !shared.insert(&storage.id) {
            continue;
        }
        let node = if storage.shared { "" } else { storage.node.as_str() };
        let at = [id, node, storage.id.as_str()];
        page.put(Name::StorageActive, &at, flag(storage.active));
        if storage.total > 0 {
            page.put(Name::StorageSize, &at, storage.total as f64);
            page.put(Name::StorageUsed, &at, storage.used as f64);
        }
    }
    page.put(Name::Tasks, &[id, "running"], figures.tasks_running as f64);
    page.put(Name::Tasks, &[id, "failed"], figures.tasks_failed as f64);
    if let Some(backups) = figures.backups {
        page.put(Name::BackupsRead, &[id], seconds(backups.read_ms));
        page.put(Name::GuestsBackedUp, &[id], backups.with as f64);
        page.put(Name::GuestsNotBackedUp, &[id], backups.without as f64);
        if let Some(oldest) = backups.oldest_ms {
            page.put(Name::BackupOldest, &[id], seconds(oldest));
        }
    }
}

fn guests(page: &mut Page, view: &ClusterView) {
    const STATUSES: [GuestStatus; 5] = [
        GuestStatus::Running,
        GuestStatus::Stopped,
        GuestStatus::Paused,
        GuestStatus::Suspended,
        GuestStatus::Unknown,
    ];
    let id = view.cluster.as_str();
    let mut counts = [[0_u64; STATUSES.len()]; 2];
    let mut templates = 0_u64;
    for guest in &view.guests {
        if guest.template {
            templates += 1;
            continue;
        }
        let row = usize::from(guest.kind == GuestKind::Qemu);
        let column = STATUSES.iter().position(|s| *s == guest.status).unwrap_or(0);
        if let Some(count) = counts.get_mut(row).and_then(|row| row.get_mut(column)) {
            *count += 1;
        }
    }
    for (kind, row) in ["lxc", "qemu"].iter().zip(counts) {
        for (status, n) in STATUSES.iter().zip(row) {
            page.put(Name::Guests, &[id, kind, status.as_str()], n as f64);
        }
    }
    page.put(Name::Templates, &[id], templates as f64);
}

fn client(page: &mut Page, figures: &ClusterFigures) {
    let id = figures.view.cluster.as_str();
    for endpoint in &figures.endpoints {
        let at = [id, endpoint.name.as_str()];
        let states = ["up", "down", "half-open", "unknown"];
        page.state(Name::ProxmoxEndpoint, &at, &states, endpoint.state);
        page.put(Name::ProxmoxInFlight, &at, endpoint.in_flight as f64);
    }
    page.put(Name::ProxmoxWaiting, &[id], figures.waiting as f64);
    for kind in &figures.calls.0 {
        for (outcome, n) in &kind.outcomes {
            page.put(Name::ProxmoxRequests, &[id, kind.kind, outcome], *n as f64);
        }
        let buckets = BUCKETS_S.iter().copied().zip(kind.buckets.iter().copied());
        page.histogram(Name::ProxmoxDuration, &[id, kind.kind], buckets, kind.count, kind.sum_s);
    }
}

fn discord_side(page: &mut Page, discord: &dyn Discord) {
    for s in discord.shards() {
        let shard = s.shard.to_string();
        let at = [shard.as_str()];
        page.put(Name::ShardConnected, &at, flag(s.connected));
        if let Some(latency) = s.latency {
            page.put(Name::ShardLatency, &at, latency.as_secs_f64());
        }
        if let Some(guilds) = s.guilds {
            page.put(Name::ShardGuilds, &at, guilds.into());
        }
        page.put(Name::ShardIdentifies, &at, s.identifies.into());
        page.put(Name::ShardResumes, &at, s.resumes.into());
        page.put(Name::ShardEvents, &at, s.events as f64);
        page.put(Name::ShardLost, &at, s.lost as f64);
    }
    let rest = discord.rest();
    for (outcome, n) in rest.answers {
        page.put(Name::RestRequests, &[outcome], n as f64);
    }
    for (scope, n) in rest.limited {
        page.put(Name::RestLimited, &[scope], n as f64);
    }
    for (reason, n) in rest.refused {
        page.put(Name::RestRefused, &[reason], n as f64);
    }
    page.put(Name::RestRepeats, &[], rest.repeats as f64);
    page.put(Name::RestInvalid, &[], rest.invalid_recent as f64);
    page.put(Name::RestWaiting, &[], rest.waiting as f64);
}
