//! Named tasks that are expected to run for ever, and an ordered stop.
//!
//! A task that ends without being asked to ends the process, with its name and its reason. Stopping goes stage by
//! stage: doors first, work next, messages last; each stage has its share of [`STOP_WITHIN`]. Called by `lib`.

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest time from the signal to the end of the process; service managers kill after 10 s at the earliest.
pub const STOP_WITHIN: Duration = Duration::from_secs(9);

/// In which order tasks stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// What lets questions in: the gateway.
    Doors,
    /// What works on operations.
    Work,
    /// What tells people about it.
    Messages,
    /// What the others stand on.
    Ground,
}

impl Stage {
    /// Every stage, in stopping order, with the longest it may take.
    const ORDER: [(Self, Duration); 4] = [
        (Self::Doors, Duration::from_secs(2)),
        (Self::Work, Duration::from_secs(4)),
        (Self::Messages, Duration::from_secs(2)),
        (Self::Ground, Duration::from_secs(1)),
    ];
}

/// Why a task ended, when nobody asked it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{task} ended: {reason}")]
pub struct Ended {
    /// Its name.
    pub task: &'static str,
    /// The reason, as a sentence.
    pub reason: String,
    /// The exit code that fits.
    pub code: u8,
}

/// A task's own account of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// As a sentence.
    pub text: String,
    /// The exit code that fits.
    pub code: u8,
}

struct Task {
    name: &'static str,
    stage: Stage,
    abort: AbortHandle,
}

/// The tasks of one process.
#[derive(Default)]
pub struct Supervisor {
    set: JoinSet<Result<(), Reason>>,
    tasks: HashMap<Id, Task>,
    stops: HashMap<Stage, CancellationToken>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.tasks.values().map(|t| t.name)).finish()
    }
}

impl Supervisor {
    /// The token that asks a stage to stop.
    pub fn stop_of(&mut self, stage: Stage) -> CancellationToken {
        self.stops.entry(stage).or_default().clone()
    }

    /// Starts a task. It must end soon after its stage is asked to stop, and not before.
    pub fn spawn<F>(&mut self, name: &'static str, stage: Stage, task: F)
    where
        F: Future<Output = Result<(), Reason>> + Send + 'static,
    {
        let abort = self.set.spawn(task);
        self.tasks.insert(abort.id(), Task { name, stage, abort });
    }

    /// Waits until a task ends that was not asked to. Pending for ever when there is none.
    pub async fn wait(&mut self) -> Ended {
        loop {
            match self.set.join_next_with_id().await {
                Some(Ok((id, result))) => {
                    if let Some(ended) = self.note(id, Some(result)) {
                        return ended;
                    }
                }
                Some(Err(e)) => {
                    let panicked = e.is_panic();
                    if let Some(ended) = self.note(e.id(), None).filter(|_| panicked) {
                        return ended;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    fn note(&mut self, id: Id, result: Option<Result<(), Reason>>) -> Option<Ended> {
        let Task { name, stage, .. } = self.tasks.remove(&id)?;
        let asked = self.stops.get(&stage).is_some_and(CancellationToken::is_cancelled);
        match result {
            Some(Ok(())) if asked => None,
            Some(Ok(())) => Some(Ended {
                task: name,
                reason: "it stopped by itself, which it must not".to_owned(),
                code: crate::exit::BROKEN,
            }),
            Some(Err(Reason { text, code })) => Some(Ended { task: name, reason: text, code }),
            None => Some(Ended {
                task: name,
                reason: "a defect: it panicked; the log line before this one says where".to_owned(),
                code: crate::exit::BROKEN,
            }),
        }
    }

    /// Stops stage by stage. Tasks that overrun their stage are ended; their names are returned.
    pub async fn stop(mut self) -> Vec<&'static str> {
        let end = Instant::now() + STOP_WITHIN;
        let mut overran = Vec::new();
        for (stage, longest) in Stage::ORDER {
            self.stop_of(stage).cancel();
            let until = end.min(Instant::now() + longest);
            while self.tasks.values().any(|t| t.stage == stage) {
                match tokio::time::timeout_at(until, self.set.join_next_with_id()).await {
                    Ok(Some(Ok((id, result)))) => self.tell(id, Some(result)),
                    Ok(Some(Err(e))) => {
                        let id = e.id();
                        if e.is_panic() {
                            self.tell(id, None);
                        } else {
                            self.tasks.remove(&id);
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        self.tasks.retain(|_, t| {
                            let late = t.stage == stage;
                            if late {
                                t.abort.abort();
                                overran.push(t.name);
                            }
                            !late
                        });
                    }
                }
            }
        }
        for name in &overran {
            tracing::warn!(task = name, "did not stop in time and was ended");
        }
        // Whatever was ended gets to run its destructors, but nobody waits for it.
        self.set.shutdown().now_or_never();
        overran
    }

    fn tell(&mut self, id: Id, result: Option<Result<(), Reason>>) {
        if let Some(ended) = self.note(id, result) {
            tracing::warn!(task = ended.task, reason = ended.reason, "ended while stopping");
        }
    }
}

/// Waits for SIGTERM or SIGINT and says which.
pub async fn asked_to_stop() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    type Log = Arc<Mutex<Vec<&'static str>>>;

    fn until_asked(sup: &mut Supervisor, name: &'static str, stage: Stage, log: &Log) {
        let (stop, log) = (sup.stop_of(stage), log.clone());
        sup.spawn(name, stage, async move {
            stop.cancelled().await;
            log.lock().unwrap().push(name);
            Ok(())
        });
    }

    #[tokio::test]
    async fn stages_stop_in_order() {
        let (mut sup, log) = (Supervisor::default(), Log::default());
        until_asked(&mut sup, "front", Stage::Ground, &log);
        until_asked(&mut sup, "engine", Stage::Work, &log);
        until_asked(&mut sup, "gateway", Stage::Doors, &log);
        until_asked(&mut sup, "courier", Stage::Messages, &log);
        assert_eq!(sup.stop().await, Vec::<&str>::new());
        assert_eq!(*log.lock().unwrap(), ["gateway", "engine", "courier", "front"]);
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_told_with_its_reason() {
        let mut sup = Supervisor::default();
        until_asked(&mut sup, "engine", Stage::Work, &Log::default());
        sup.spawn("gateway", Stage::Doors, async {
            Err(Reason { text: "Discord refused the token".to_owned(), code: 4 })
        });
        let ended = sup.wait().await;
        assert_eq!(ended.to_string(), "gateway ended: Discord refused the token");
        assert_eq!(ended.code, 4);
        sup.spawn("courier", Stage::Messages, async { Ok(()) });
        assert_eq!(sup.wait().await.task, "courier");
        sup.stop().await;
    }

    #[tokio::test]
    async fn a_panic_is_an_end_with_a_name() {
        let mut sup = Supervisor::default();
        sup.spawn("engine", Stage::Work, async { panic!("on purpose") });
        let ended = sup.wait().await;
        assert_eq!((ended.task, ended.code), ("engine", crate::exit::BROKEN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_does_not_hold_up_the_stop() {
        let (mut sup, log) = (Supervisor::default(), Log::default());
        sup.spawn("engine", Stage::Work, std::future::pending());
        until_asked(&mut sup, "courier", Stage::Messages, &log);
        let start = Instant::now();
        assert_eq!(sup.stop().await, ["engine"]);
        assert_eq!(*log.lock().unwrap(), ["courier"]);
        assert!(start.elapsed() <= STOP_WITHIN);
    }
}
