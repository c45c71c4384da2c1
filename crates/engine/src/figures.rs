//! Figures for metrics, out of memory: what was read last, how the clients fare, what the desks count. Nothing is asked
//! of anybody when somebody looks at them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_core::alert::{Phase, Severity, Tracked};
use gantry_core::id::{ClusterId, Vmid};
use gantry_core::operation::OpState;
use gantry_core::world::ClusterView;
use gantry_proxmox::{CallFigures, State};

use crate::Engine;

/// One endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFigures {
    /// Host and port.
    pub name: String,
    /// `up`, `down`, `unknown` or `half-open`; the last means that its breaker lets one probe through.
    pub state: &'static str,
    /// Requests under way.
    pub in_flight: usize,
}

/// What is known of the backups of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupFigures {
    /// When this was read, milliseconds.
    pub read_ms: i64,
    /// The oldest among the newest backups of guests, milliseconds; `None` where no guest has one.
    pub oldest_ms: Option<i64>,
    /// Guests with a backup.
    pub with: u64,
    /// Guests without one; templates are left out.
    pub without: u64,
}

/// A cluster and the client that reads it.
#[derive(Debug, Clone)]
pub struct ClusterFigures {
    /// The cluster as read last.
    pub view: Arc<ClusterView>,
    /// Tasks that run, among those listed last.
    pub tasks_running: u64,
    /// Tasks that failed, among those listed last.
    pub tasks_failed: u64,
    /// Endpoints in configured order.
    pub endpoints: Vec<EndpointFigures>,
    /// Calls that wait for their turn.
    pub waiting: usize,
    /// Calls since the start.
    pub calls: CallFigures,
    /// Backups, where this process has read them.
    pub backups: Option<BackupFigures>,
}

/// What the desks of this process count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFigures {
    /// Alerts that fire and are told, mildest severity first; `None`: another process leads the desks.
    pub firing: Option<[u64; 4]>,
    /// Of those that fire, how many are silenced or in maintenance.
    pub muted: u64,
}

#[derive(Default)]
pub(crate) struct Memory {
    ended: [AtomicU64; OpState::ALL.len()],
    alerts: Mutex<AlertFigures>,
    backups: Mutex<BTreeMap<ClusterId, BackupFigures>>,
}

impl Engine {
    /// Every cluster. Memory only.
    pub fn cluster_figures(&self) -> Vec<ClusterFigures> {
        let backups = self.inner.figures.backups.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(id, watched): (&ClusterId, &crate::watch::Watched)| {
            let health = watched.client().health();
            let endpoints = health.endpoints.iter().map(|e| EndpointFigures {
                name: e.endpoint.clone(),
                state: match e.state {
                    State::Up => "up",
                    State::Down => "down",
                    State::Unknown => "unknown",
                    State::HalfOpen => "half-open",
                },
                in_flight: e.in_flight,
            });
            let tasks = watched.tasks();
            let bad = |s: &String| s != "OK" && !s.starts_with("WARNINGS");
            let failed = tasks.iter().filter(|t| t.status.as_ref().is_some_and(bad)).count();
            let running =
                tasks.iter().filter(|t| t.ended_ms.is_none() && t.status.is_none()).count();
            ClusterFigures {
                view: watched.view(),
                tasks_running: running as u64,
                tasks_failed: failed as u64,
                endpoints: endpoints.collect(),
                waiting: health.waiting,
                calls: watched.client().calls(),
                backups: backups.get(id).copied(),
            }
        };
        self.inner.clusters.iter().map(of).collect()
    }

    /// Operations that ended in this process since it started, by state.
    pub fn ended_operations(&self) -> Vec<(OpState, u64)> {
        let ended = OpState::ALL.iter().zip(&self.inner.figures.ended);
        ended
            .filter(|(state, _)| state.is_terminal())
            .map(|(state, count)| (*state, count.load(Ordering::Relaxed)))
            .collect()
    }

    /// What the desks of this process count.
    pub fn alert_figures(&self) -> AlertFigures {
        self.inner.figures.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count_ended(&self, state: OpState) {
        let at = OpState::ALL.iter().position(|s| *s == state);
        if let Some(count) = at.and_then(|n| self.inner.figures.ended.get(n)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes what fires; `None`: this process leads no more.
    pub(crate) fn note_alerts<'a>(&self, tracked: Option<impl Iterator<Item = &'a Tracked>>) {
        let mut next = AlertFigures::default();
        if let Some(tracked) = tracked {
            let mut firing = [0_u64; 4];
            for t in tracked.filter(|t| t.phase == Phase::Firing) {
                if t.muted.is_some() {
                    next.muted += 1;
                    continue;
                }
                let at = Severity::ALL.iter().position(|s| *s == t.severity);
                if let Some(count) = at.and_then(|n| firing.get_mut(n)) {
                    *count += 1;
                }
            }
            next.firing = Some(firing);
        }
        *self.inner.figures.alerts.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    pub(crate) fn note_backups(&self, view: &ClusterView, newest: &BTreeMap<Vmid, i64>) {
        let guests = view.guests.iter().filter(|g| !g.template);
        let (mut with, mut without) = (0, 0);
        for guest in guests {
            if newest.contains_key(&guest.vmid) { with += 1 } else { without += 1 }
        }
        let there = |v: &Vmid| view.guest(*v).is_some_and(|g| !g.template);
        let oldest = newest.iter().filter(|(v, _)| there(v)).map(|(_, at)| *at).min();
        let figures = BackupFigures { read_ms: self.now_ms(), oldest_ms: oldest, with, without };
        let mut backups = self.inner.figures.backups.lock().unwrap_or_else(PoisonError::into_inner);
        backups.insert(view.cluster.clone(), figures);
    }
}
