//! Health of pods of sets: asked from here with TCP or HTTP, kept in memory, asked anew after a restart of gantry.
//!
//! A pod counts as ready once enough answers in a row were good, and as not ready once enough were bad; what is not
//! known is not ready.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_core::id::{ClusterId, Vmid};
use gantry_core::pod::{Health as Check, Probe};
use gantry_core::set::{Observed, Pod, Readiness, Set, SlotRecord};
use gantry_core::world::{Guest, GuestStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::Engine;

/// Most questions under way at once.
const AT_ONCE: usize = 64;
/// Most of an HTTP answer that is read: the status line is all that counts.
const ANSWER_MAX: u64 = 512;
/// An uptime that went back by more than this is another start, seconds.
const RESTARTED_S: u64 = 5;

/// What is known of one pod's health.
#[derive(Debug, Clone, Default)]
struct Known {
    good: u32,
    bad: u32,
    since_ms: Option<i64>,
    asked_ms: i64,
    uptime_s: u64,
    /// Which pod of that number it was asked of: what the one before it answered says nothing about this one.
    made_ms: i64,
    why: String,
}

impl Known {
    fn is_about(&self, made_ms: i64, uptime_s: u64) -> bool {
        self.made_ms == made_ms && uptime_s + RESTARTED_S >= self.uptime_s
    }
}

/// Health of all pods that are asked.
pub(crate) struct Health {
    known: Mutex<HashMap<(ClusterId, Vmid), Known>>,
    room: Arc<Semaphore>,
}

impl Default for Health {
    fn default() -> Self {
        Self { known: Mutex::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// When the guest was started, by its uptime.
fn booted_ms(guest: &Guest, now_ms: i64) -> i64 {
    now_ms.saturating_sub(
        i64::try_from(guest.uptime_s).unwrap_or(i64::MAX / 1000).saturating_mul(1000),
    )
}

impl Health {
    /// Whether a running pod does its work, as known now. Memory only.
    pub(super) fn readiness(
        &self,
        set: &Set,
        record: &SlotRecord,
        guest: &Guest,
        now_ms: i64,
    ) -> Readiness {
        if set.revision_for(record.identity.ordinal).spec.template.health.is_none() {
            return Readiness::Ready(booted_ms(guest, now_ms));
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (set.cluster.clone(), record.identity.vmid);
        match known.get(&key).filter(|k| k.is_about(record.made_ms, guest.uptime_s)) {
            None => Readiness::NotReady("its health has not been asked yet".into()),
            Some(Known { since_ms: Some(since), .. }) => Readiness::Ready(*since),
            Some(known) => Readiness::NotReady(known.why.clone()),
        }
    }

    fn note(
        &self,
        key: (ClusterId, Vmid),
        made_ms: i64,
        check: &Check,
        answer: Result<(), String>,
        now_ms: i64,
    ) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // An answer of the pod before this one comes too late.
        let Some(known) = all.get_mut(&key).filter(|k| k.made_ms == made_ms) else { return };
        match answer {
            Ok(()) => {
                (known.good, known.bad) = (known.good.saturating_add(1), 0);
                if known.good >= check.healthy_after && known.since_ms.is_none() {
                    known.since_ms = Some(now_ms);
                }
            }
            Err(why) => {
                (known.good, known.bad) = (0, known.bad.saturating_add(1));
                known.why = why;
                if known.bad >= check.unhealthy_after {
                    known.since_ms = None;
                }
            }
        }
    }

    /// Whether it is time to ask; notes that it is being asked. A guest that was started again begins anew.
    fn is_due(
        &self,
        key: &(ClusterId, Vmid),
        check: &Check,
        (made_ms, uptime_s): (i64, u64),
        now_ms: i64,
    ) -> bool {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(key.clone()).or_default();
        if !known.is_about(made_ms, uptime_s) {
            *known = Known {
                made_ms,
                why: "its health has not been asked yet".into(),
                ..Known::default()
            };
        }
        known.uptime_s = uptime_s;
        let due = now_ms - known.asked_ms >= i64::from(check.interval_s) * 1000;
        if due {
            known.asked_ms = now_ms;
        }
        due
    }
}

impl Engine {
    /// Asks pods of a set how they are, where it is time to. Nobody waits for the answers.
    pub(super) fn ask_health(
        &self,
        set: &Set,
        seen: &Observed,
        guest: impl Fn(Vmid) -> Option<Guest>,
    ) {
        let now_ms = self.now_ms();
        for slot in &seen.slots {
            let id = &slot.record.identity;
            let Some(check) = set.revision_for(id.ordinal).spec.template.health.clone() else {
                continue;
            };
            let running = matches!(slot.pod, Pod::Ours { status: GuestStatus::Running, .. });
            let address = id.address.as_deref().and_then(|a| a.split('/').next()?.parse().ok());
            let (true, Some(address), Some(guest)) = (running, address, guest(id.vmid)) else {
                continue;
            };
            let key = (set.cluster.clone(), id.vmid);
            let health = &self.inner.sets.health;
            let this = (slot.record.made_ms, guest.uptime_s);
            if !health.is_due(&key, &check, this, now_ms) {
                continue;
            }
            let Ok(permit) = health.room.clone().try_acquire_owned() else { continue };
            let engine = self.clone();
            // Bounded by the permits and by its own deadline; its answer is for the next pass.
            tokio::spawn(async move {
                let answer = ask(address, &check).await;
                engine.inner.sets.health.note(key, this.0, &check, answer, engine.now_ms());
                drop(permit);
            });
        }
    }
}

/// Asks once, within the check's own time.
async fn ask(address: IpAddr, check: &Check) -> Result<(), String> {
    let within = Duration::from_secs(u64::from(check.timeout_s));
    match tokio::time::timeout(within, ask_now(address, &check.probe)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("{address} did not answer within {} s", check.timeout_s)),
    }
}

async fn ask_now(address: IpAddr, probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Tcp { port } => connect(address, *port).await.map(drop),
        Probe::Http { port, path, status } => {
            let mut stream = connect(address, *port).await?;
            let host = SocketAddr::new(address, *port);
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gantry\r\nConnection: close\r\n\r\n"
            );
            let broke = |e: std::io::Error| format!("{host} broke off: {e}");
            stream.write_all(request.as_bytes()).await.map_err(broke)?;
            let mut answer = Vec::new();
            stream.take(ANSWER_MAX).read_to_end(&mut answer).await.map_err(broke)?;
            let answer = String::from_utf8_lossy(&answer);
            let line = answer.lines().next().unwrap_or_default();
            let code: Option<u16> = line
                .strip_prefix("HTTP/1.")
                .and_then(|l| l.split(' ').nth(1))
                .and_then(|c| c.parse().ok());
            match code {
                Some(code) if code == *status => Ok(()),
                Some(code) => Err(format!("GET :{port}{path} is {code}, not {status}")),
                None => Err(format!("{host} does not speak HTTP")),
            }
        }
        Probe::Command { .. } => {
            Err("commands inside a pod need the node shell, which sets do not use".into())
        }
    }
}

async fn connect(address: IpAddr, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((address, port)).await.map_err(|e| format!("{address}:{port}: {e}"))
}
