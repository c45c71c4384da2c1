//! The worker side: takes operations with a lease, carries them out, parks them when the process stops.
//!
//! A lease that is not renewed passes to another worker; the generation number keeps the old one from
//! writing anything more. Also sweeps what has expired.

use std::sync::Arc;
use std::time::Duration;

use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{OperationId, UserId};
use gantry_core::operation::Operation;
use gantry_store::Lease;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::step::{Carrier, Parked};

/// How often a worker looks for work that nobody told it about: leases of processes that died.
const IDLE_LOOK: Duration = Duration::from_secs(5);
/// The same while the store does not answer.
const STORE_PAUSE: Duration = Duration::from_millis(500);
/// How long work in flight may go on after a stop was asked; the process has 10 s in all.
const PARK_WITHIN: Duration = Duration::from_secs(7);
/// Pause between two sweeps.
const SWEEP: Duration = Duration::from_secs(5);
/// How long interaction ids are remembered; Discord resends within seconds, a token lives 15 minutes.
const REMEMBER_MS: i64 = 60 * 60 * 1000;

impl Engine {
    /// Watches the clusters, carries out operations and sweeps until `stop`; returns once everything is parked.
    pub async fn run(&self, stop: CancellationToken) {
        let mut watchers = JoinSet::new();
        for cluster in self.inner.clusters.keys().cloned().collect::<Vec<_>>() {
            let (engine, stop) = (self.clone(), stop.clone());
            watchers.spawn(async move { engine.watch(&cluster, stop).await });
        }
        let (engine, halt) = (self.clone(), stop.clone());
        watchers.spawn(async move { engine.sweep(halt).await });
        let (engine, halt) = (self.clone(), stop.clone());
        watchers.spawn(async move { engine.keep_alerts(halt).await });
        let (engine, halt) = (self.clone(), stop.clone());
        watchers.spawn(async move { engine.keep_mirrors(halt).await });
        let (engine, halt) = (self.clone(), stop.clone());
        watchers.spawn(async move { engine.keep_told(halt).await });
        let (engine, halt) = (self.clone(), stop.clone());
        watchers.spawn(async move { engine.keep_reports(halt).await });
        self.work(stop).await;
        watchers.shutdown().await;
    }

    async fn work(&self, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.inner.settings.workers));
        let mut running = JoinSet::new();
        let lease_ms = i64::try_from(self.inner.settings.lease.as_millis()).unwrap_or(i64::MAX);
        loop {
            while running.try_join_next().is_some() {}
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = room.clone().acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            let owner = &self.inner.settings.owner;
            let pause = match self.store().claim_operation(owner, self.now_ms(), lease_ms).await {
                Ok(Some(lease)) => {
                    let (engine, stop) = (self.clone(), stop.clone());
                    running.spawn(async move {
                        engine.carry(lease, stop, permit).await;
                    });
                    continue;
                }
                Ok(None) => IDLE_LOOK,
                Err(error) => {
                    tracing::error!(%error, "could not look for operations");
                    STORE_PAUSE
                }
            };
            drop(permit);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.inner.work.notified() => {}
                () = self.inner.clock.sleep(pause) => {}
            }
        }
        let parked = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(PARK_WITHIN, parked).await.is_err() {
            tracing::warn!(
                "some calls to Proxmox did not answer in time; they will be looked for at the next start"
            );
        }
        running.shutdown().await;
    }

    async fn carry(&self, lease: Lease, stop: CancellationToken, permit: OwnedSemaphorePermit) {
        let (id, generation) = (lease.operation.id.clone(), lease.generation);
        let span = tracing::info_span!(
            "operation",
            operation = %id,
            verb = %lease.operation.verb,
            target = %lease.operation.target,
            generation
        );
        let work = tracing::Instrument::instrument(
            async {
                let mut carrier = Carrier::new(self, lease, stop.clone(), permit);
                tokio::select! {
                    parked = carrier.run() => parked,
                    () = self.keep_lease(&id, generation) => Parked::LeaseLost,
                }
            },
            span,
        );
        let parked = work.await;
        match parked {
            Parked::Ended => {}
            Parked::Stopping => {
                tracing::info!(operation = %id, "parked; it goes on at the next start");
                if let Err(error) = self.store().release(&id, generation).await {
                    tracing::warn!(%error, operation = %id, "could not give the lease back; it runs out by itself");
                }
            }
            Parked::LeaseLost => {
                tracing::warn!(operation = %id, "another worker has taken over");
            }
        }
    }

    /// Renews the lease for as long as it is polled; returns when the lease is lost.
    async fn keep_lease(&self, id: &OperationId, generation: i64) {
        let lease = self.inner.settings.lease;
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        loop {
            self.inner.clock.sleep(lease / 3).await;
            match self.store().renew(id, generation, self.now_ms(), lease_ms).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, operation = %id, "could not renew the lease"),
            }
        }
    }

    async fn sweep(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.clock.sleep(SWEEP) => {}
            }
            if let Err(error) = self.remember_operations().await {
                tracing::debug!(%error, "could not read the newest operations");
            }
            let now = self.now_ms();
            let expired = self
                .store()
                .expire_plans(now, |plan| AuditRow {
                    id: self.audit_id(),
                    at_ms: now,
                    event: AuditEvent::Dropped,
                    user: None,
                    user_name: "gantry".into(),
                    guild: Some(plan.asker.guild),
                    channel: Some(plan.asker.channel),
                    verb: plan.verb,
                    target: plan.target.clone(),
                    plan: Some(plan.id.clone()),
                    operation: None,
                    detail: "expired".into(),
                })
                .await;
            match expired {
                Ok(0) => {}
                Ok(_) => self.card_touched(),
                Err(error) => tracing::warn!(%error, "could not expire plans"),
            }
            if let Err(error) = self.store().forget(now - REMEMBER_MS).await {
                tracing::warn!(%error, "could not forget old interactions");
            }
        }
    }

    /// An audit row about an operation, by whoever confirmed it.
    pub(crate) fn operation_row(
        &self,
        op: &Operation,
        event: AuditEvent,
        detail: String,
    ) -> AuditRow {
        AuditRow {
            id: self.audit_id(),
            at_ms: self.now_ms(),
            event,
            user: Some(UserId(op.by.0)),
            user_name: op.by_name.clone(),
            guild: None,
            channel: None,
            verb: op.verb,
            target: op.target.clone(),
            plan: Some(op.plan.clone()),
            operation: Some(op.id.clone()),
            detail,
        }
    }
}
