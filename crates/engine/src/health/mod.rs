//! Health of pods, those of sets included: one machinery asks, judges, keeps and tells.
//!
//! One process at a time asks the pods of a cluster (`round`), at addresses that are their own (`ask`); what the answers
//! come to is `core::pod::Pulse`. It is kept in the store whenever it changes, so that a restart and other processes
//! know it. Everything that is told comes from memory.

mod ask;
mod round;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_core::action::GuestRef;
use gantry_core::id::{ClusterId, GuestKind, NodeName, Vmid};
use gantry_core::pod::{Condition, Health, Life, PodSpec, Pulse};
use gantry_core::set::Readiness;
use gantry_core::world::{ClusterView, Guest, GuestStatus};
use gantry_store::PodRow;
use tokio::sync::Semaphore;

use crate::Engine;

/// Most questions under way at once, over all clusters. A silent pod holds its place for the check's timeout.
const AT_ONCE: usize = 256;
/// A good answer that changes nothing is written down no more often than this, milliseconds.
const KEEP_EVERY_MS: i64 = 30_000;
/// Most rows written at a time.
const KEPT_AT_ONCE: usize = 500;

/// How a pod is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodHealth {
    /// What the answers come to; `None`: not known, because nobody asked yet or for long.
    pub condition: Option<Condition>,
    /// Since when, milliseconds.
    pub since_ms: i64,
    /// When it was asked last and answered, or did not in time, milliseconds.
    pub answered_ms: Option<i64>,
    /// What was wrong with the newest answer; `None` where it was good.
    pub why: Option<String>,
}

/// A running pod with a health check.
struct Ward {
    check: Health,
    spec: Arc<PodSpec>,
    node: NodeName,
    pulse: Pulse,
    /// What of it is in the store.
    kept: Option<Pulse>,
    /// Whether a question is under way.
    asking: bool,
    /// Where it is reached, where the container had to say so.
    told: Option<IpAddr>,
}

impl Ward {
    /// Whether the store should know that it is otherwise than before.
    fn has_changed(&self) -> bool {
        let Some(kept) = &self.kept else { return self.pulse.answered_ms.is_some() };
        (kept.condition, kept.since_ms, &kept.why)
            != (self.pulse.condition, self.pulse.since_ms, &self.pulse.why)
    }

    /// Whether the store should know that it still is so.
    fn is_old_news(&self) -> bool {
        let at = |p: &Pulse| p.answered_ms.unwrap_or(0);
        self.kept.as_ref().is_some_and(|kept| at(&self.pulse) - at(kept) >= KEEP_EVERY_MS)
    }
}

/// One pod of gantry's store.
enum Pod {
    /// It has no health check, or does not run.
    Unasked { made_ms: i64, checked: bool },
    /// It is to be asked.
    Ward(Box<Ward>),
}

/// What is known of the health of all pods.
pub(crate) struct Book {
    pods: Mutex<BTreeMap<ClusterId, BTreeMap<Vmid, Pod>>>,
    room: Arc<Semaphore>,
}

impl Default for Book {
    fn default() -> Self {
        Self { pods: Mutex::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// Which start of which pod a guest is.
fn life(row: &PodRow, guest: &Guest) -> Life {
    Life { made_ms: row.created_ms, uptime_s: guest.uptime_s }
}

/// When the guest was started, by its uptime.
fn booted_ms(guest: &Guest, now_ms: i64) -> i64 {
    let up_ms = i64::try_from(guest.uptime_s).unwrap_or(i64::MAX / 1000).saturating_mul(1000);
    now_ms.saturating_sub(up_ms)
}

impl Book {
    fn pods(&self) -> MutexGuard<'_, BTreeMap<ClusterId, BTreeMap<Vmid, Pod>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes notice of the pods there are and of what is seen of them. `kept` is what the store knows of their health;
    /// where `follow`, that goes before what is known here.
    fn take(
        &self,
        rows: Vec<PodRow>,
        view: &ClusterView,
        kept: &BTreeMap<Vmid, Pulse>,
        follow: bool,
    ) {
        let mut all = self.pods();
        let mut old = all.remove(&view.cluster).unwrap_or_default();
        let mut next = BTreeMap::new();
        for row in rows {
            let runs = |g: &&Guest| {
                g.kind == GuestKind::Lxc && g.is_pod() && g.status == GuestStatus::Running
            };
            let guest = view.guest(row.vmid).filter(runs);
            let check = row.spec.template.health.clone();
            let (Some(guest), Some(check)) = (guest, check.clone()) else {
                let unasked = Pod::Unasked { made_ms: row.created_ms, checked: check.is_some() };
                next.insert(row.vmid, unasked);
                continue;
            };
            let life = life(&row, guest);
            let stored = kept.get(&row.vmid);
            let known = match old.remove(&row.vmid) {
                Some(Pod::Ward(ward)) => Some(*ward),
                _ => None,
            };
            // Another check asks something else: what the one before was answered does not count.
            let known = known.filter(|w| w.check == check);
            let mut ward = known.unwrap_or_else(|| Ward {
                pulse: stored.cloned().unwrap_or_else(|| Pulse::new(life, view.observed_ms)),
                kept: stored.cloned(),
                spec: Arc::new(row.spec.clone()),
                node: guest.node.clone(),
                asking: false,
                told: None,
                check,
            });
            if follow && let Some(stored) = stored {
                ward.pulse = stored.clone();
                ward.kept = Some(stored.clone());
            }
            if *ward.spec != row.spec {
                ward.spec = Arc::new(row.spec.clone());
                ward.told = None;
            }
            ward.node = guest.node.clone();
            if ward.pulse.look(life, view.observed_ms) {
                ward.told = None;
            }
            next.insert(row.vmid, Pod::Ward(Box::new(ward)));
        }
        all.insert(view.cluster.clone(), next);
    }

    /// What the store knows, read by a process that asks nobody itself.
    fn follow(&self, cluster: &ClusterId, kept: Vec<(Vmid, Pulse)>) {
        let mut all = self.pods();
        let Some(pods) = all.get_mut(cluster) else { return };
        for (vmid, pulse) in kept {
            if let Some(Pod::Ward(ward)) = pods.get_mut(&vmid) {
                // A start that was seen here and not there yet is not taken back.
                if pulse.is_about(ward.pulse.life()) {
                    ward.pulse = pulse;
                }
            }
        }
    }

    /// How a pod is; `None` where nobody asks: it has no check, does not run, or is not known.
    fn find(&self, guest: &GuestRef, now_ms: i64) -> Option<PodHealth> {
        match self.pods().get(&guest.cluster)?.get(&guest.vmid)? {
            Pod::Unasked { .. } => None,
            Pod::Ward(ward) => {
                let pulse = &ward.pulse;
                let known = pulse.answered_ms.is_some() && !pulse.is_old(&ward.check, now_ms);
                Some(PodHealth {
                    condition: known.then_some(pulse.condition),
                    since_ms: pulse.since_ms,
                    answered_ms: pulse.answered_ms,
                    why: pulse.why.clone(),
                })
            }
        }
    }

    /// Whether a running pod of a set does its work. `made_ms` is when it was made, `checked` whether its set has a
    /// health check for it. Memory only.
    pub(crate) fn readiness(
        &self,
        (cluster, vmid): (&ClusterId, Vmid),
        made_ms: i64,
        checked: bool,
        guest: &Guest,
        now_ms: i64,
    ) -> Readiness {
        let unasked = || Readiness::NotReady("its health has not been asked yet".into());
        let pods = self.pods();
        match pods.get(cluster).and_then(|pods| pods.get(&vmid)) {
            // What is known of the pod before it says nothing about this one.
            Some(Pod::Ward(ward)) if ward.pulse.made_ms() >= made_ms => {
                let life = Life { made_ms: ward.pulse.made_ms(), uptime_s: guest.uptime_s };
                match ward.pulse.ready_since(&ward.check, now_ms) {
                    _ if !ward.pulse.is_about(life) => unasked(),
                    Ok(since_ms) => Readiness::Ready(since_ms),
                    Err(why) => Readiness::NotReady(why),
                }
            }
            Some(Pod::Unasked { made_ms: made, checked }) if *made >= made_ms => match checked {
                true => unasked(),
                false => Readiness::Ready(booted_ms(guest, now_ms)),
            },
            _ if checked => unasked(),
            _ => Readiness::Ready(booted_ms(guest, now_ms)),
        }
    }
}

impl Engine {
    /// How a pod is, as its health check tells; `None` where nobody asks: it has no check, or does not run. Memory only.
    pub fn pod_health(&self, guest: &GuestRef) -> Option<PodHealth> {
        self.inner.health.find(guest, self.now_ms())
    }
}
