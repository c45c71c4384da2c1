//! One node: its connection, its turn-taking, and its rest after a failure.
//!
//! Nothing here is shared between nodes, so a dead one slows nobody else. While a node rests nobody dials it; callers
//! get the reason at once. A changed host key and a refused key rest longer: trying again helps only after somebody
//! has done something.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::command::{Command, LINE_MAX, Length};
use crate::config::Deadlines;
use crate::error::Error;
use crate::link::{Dial, Link, NoChannel};
use crate::session::{self, Sink};

/// Commands under way at one node; sshd's `MaxSessions` is 10, and people want to log in as well.
const PARALLEL_MAX: usize = 8;
/// Of these, how many may be long; the rest stays free for what takes a moment.
const LONG_MAX: usize = 3;
/// Commands that wait or run; more are told to come back.
const QUEUE_MAX: usize = 256;
/// What one is told whom nobody can say when there is room.
const BUSY_PAUSE: Duration = Duration::from_secs(2);
/// First pause when a node opens no more sessions; doubles until the command's turn is over.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// Rest after the first failed connection; doubles up to the next.
const REST_MIN: Duration = Duration::from_secs(1);
/// Longest rest of a node that cannot be reached.
const REST_MAX: Duration = Duration::from_secs(30);
/// Rest after a refused key of ours.
const REST_AUTH: Duration = Duration::from_secs(60);
/// Rest after a changed host key.
const REST_HOST_KEY: Duration = Duration::from_secs(300);

struct Rest {
    until: Instant,
    error: Error,
    length: Duration,
}

pub(crate) struct Node {
    dial: Dial,
    deadlines: Deadlines,
    turns: Semaphore,
    long_turns: Semaphore,
    inside: AtomicUsize,
    link: AsyncMutex<Option<Arc<Link>>>,
    rest: Mutex<Option<Rest>>,
}

/// Counts who waits or runs.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    pub(crate) fn new(dial: Dial, deadlines: Deadlines) -> Self {
        Self {
            dial,
            deadlines,
            turns: Semaphore::new(PARALLEL_MAX),
            long_turns: Semaphore::new(LONG_MAX),
            inside: AtomicUsize::new(0),
            link: AsyncMutex::new(None),
            rest: Mutex::new(None),
        }
    }

    /// Runs a command and returns what it said.
    pub(crate) async fn run(&self, command: &Command, sink: Sink<'_>) -> Result<String, Error> {
        let line = command.line();
        if line.len() > LINE_MAX {
            return Err(Error::Config {
                why: format!("a line of {} bytes is too long", line.len()),
            });
        }
        let _inside = self.enter()?;
        let until = Instant::now() + self.deadlines.queue;
        let _long = match command.length() {
            Length::Long => Some(self.turn(&self.long_turns, until).await?),
            Length::Short => None,
        };
        let _turn = self.turn(&self.turns, until).await?;
        let channel = self.channel(until).await?;
        let write = command.is_write();
        let deadline = command.deadline(&self.deadlines);
        let said = session::run(&self.dial.node, channel, &line, write, deadline, sink).await;
        if matches!(said, Err(Error::AnswerLost { .. } | Error::TooLarge { .. })) {
            // Whatever is wrong with this connection, the next command does not find out by waiting.
            *self.link.lock().await = None;
        }
        let said = said.and_then(|said| session::judge(&self.dial.node, said, write));
        // The caller says what becomes of it; here stands that it was asked.
        tracing::debug!(node = %self.dial.node, verb = command.verb(), ok = said.is_ok(), "asked a node");
        said
    }

    /// Forgets a rest, so that the next command dials at once: somebody has put something right.
    pub(crate) fn wake(&self) {
        *self.resting() = None;
    }

    fn busy(&self) -> Error {
        Error::Busy { node: self.dial.node.clone(), retry_in: BUSY_PAUSE }
    }

    fn enter(&self) -> Result<Inside<'_>, Error> {
        let inside = Inside(&self.inside);
        if self.inside.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX {
            return Err(self.busy());
        }
        Ok(inside)
    }

    async fn turn<'a>(
        &self,
        turns: &'a Semaphore,
        until: Instant,
    ) -> Result<SemaphorePermit<'a>, Error> {
        match timeout_at(until, turns.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody closes the semaphore; the other case is that the wait was too long.
            Ok(Err(_)) | Err(_) => Err(self.busy()),
        }
    }

    /// A channel on the connection that stands, or on a new one. Nothing was sent when this fails.
    async fn channel(&self, until: Instant) -> Result<russh::Channel<russh::client::Msg>, Error> {
        let (mut dialled, mut pause) = (false, FULL_PAUSE);
        loop {
            let (link, fresh) = self.link(until).await?;
            match link.channel(self.deadlines.connect).await {
                Ok(channel) => return Ok(channel),
                // Sessions that have just ended still count on the other side for a moment.
                Err(NoChannel::Full) if Instant::now() + pause < until => {
                    sleep(pause).await;
                    pause *= 2;
                }
                Err(NoChannel::Full) => return Err(self.busy()),
                Err(NoChannel::Gone) => {
                    self.drop_link(&link).await;
                    // A connection that had stood may have died unnoticed: dial once more. A new one had its chance.
                    if fresh || dialled {
                        let node = self.dial.node.clone();
                        let why = "the connection was cut at once".to_owned();
                        return Err(self.rested(Error::Unreachable { node, why }));
                    }
                    dialled = true;
                }
            }
        }
    }

    async fn drop_link(&self, gone: &Arc<Link>) {
        let mut slot = self.link.lock().await;
        if slot.as_ref().is_some_and(|link| Arc::ptr_eq(link, gone)) {
            *slot = None;
        }
    }

    /// The connection, and whether it is new. One caller dials, the others wait for it.
    async fn link(&self, until: Instant) -> Result<(Arc<Link>, bool), Error> {
        let Ok(mut slot) = timeout_at(until, self.link.lock()).await else {
            return Err(self.busy());
        };
        if let Some(link) = slot.as_ref().filter(|link| !link.is_closed()) {
            return Ok((link.clone(), false));
        }
        *slot = None;
        self.may_dial()?;
        match Link::connect(&self.dial).await {
            Ok(link) => {
                self.wake();
                let link = Arc::new(link);
                *slot = Some(link.clone());
                Ok((link, true))
            }
            Err(error) => Err(self.rested(error)),
        }
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, Option<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_dial(&self) -> Result<(), Error> {
        let rest = self.resting();
        let Some(rest) = rest.as_ref() else { return Ok(()) };
        let left = rest.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        Err(match &rest.error {
            Error::Unreachable { node, why } => {
                Error::Resting { node: node.clone(), why: why.clone(), retry_in: left }
            }
            other => other.clone(),
        })
    }

    /// Remembers a failed connection, says so once in the log, and hands the error back.
    fn rested(&self, error: Error) -> Error {
        let mut rest = self.resting();
        let before = rest.as_ref().map_or(Duration::ZERO, |r| r.length);
        let length = match &error {
            Error::HostKey { .. } => REST_HOST_KEY,
            Error::Auth { .. } => REST_AUTH,
            _ => (before * 2).clamp(REST_MIN, REST_MAX),
        };
        match &error {
            Error::HostKey { .. } => {
                tracing::error!(node = %self.dial.node, "{error}; nothing was sent to it");
            }
            _ => tracing::warn!(node = %self.dial.node, rest_s = length.as_secs(), "{error}"),
        }
        *rest = Some(Rest { until: Instant::now() + length, error: error.clone(), length });
        error
    }
}
