//! The short way for interactions: from the session straight to the framework, past serenity's
//! websocket, which would read each of them twice more. At 50 a second that is a quarter of the
//! whole cost of an acknowledgement. Everything else takes the long way through [`super::local`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serenity::client::{Client, Context, FullEvent};
use serenity::framework::Framework;
use serenity::model::application::Interaction;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{lock, strange};

/// How long an interaction waits for serenity to handle READY, which came before it. Answering later
/// than 3 s is no use.
const CONTEXT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Interactions served at once. Each waits for Discord, Proxmox or the database with a deadline; more than this and
/// something is stuck, or somebody floods.
const AT_ONCE: usize = 512;
/// Interactions that are being told that there is no room; beyond these they are only counted in the log.
const TOLD_AT_ONCE: usize = 64;

/// What the sessions need to call the framework themselves.
pub(super) struct ShortWay {
    seats: Arc<Semaphore>,
    tellers: Arc<Semaphore>,
    framework: OnceLock<Arc<dyn Framework>>,
    contexts: Mutex<HashMap<u32, Context>>,
    known: Notify,
}

impl Default for ShortWay {
    fn default() -> Self {
        Self {
            seats: Arc::new(Semaphore::new(AT_ONCE)),
            tellers: Arc::new(Semaphore::new(TOLD_AT_ONCE)),
            framework: OnceLock::new(),
            contexts: Mutex::default(),
            known: Notify::new(),
        }
    }
}

/// What there is room for.
enum Room {
    Serve(OwnedSemaphorePermit),
    Tell(OwnedSemaphorePermit),
    Nothing,
}

#[derive(Deserialize)]
struct Event {
    d: Interaction,
}

impl ShortWay {
    /// Begins to serve an INTERACTION_CREATE of `shard`, or says that too many are served already.
    pub(super) fn begin(self: &Arc<Self>, shard: u32, text: &Utf8Bytes) {
        let (short, text) = (Arc::clone(self), text.clone());
        match self.room() {
            Room::Serve(seat) => {
                tokio::spawn(async move {
                    short.dispatch(shard, text).await;
                    drop(seat);
                });
            }
            Room::Tell(seat) => {
                tracing::error!(shard, at_once = AT_ONCE, "too many interactions at once; refused");
                tokio::spawn(async move {
                    if let Ok((_, context)) = timeout(CONTEXT_TIMEOUT, short.ready(shard)).await {
                        strange::busy(&context.http, &text).await;
                    }
                    drop(seat);
                });
            }
            Room::Nothing => {
                tracing::error!(shard, "too many interactions at once; one was left unanswered");
            }
        }
    }

    fn room(&self) -> Room {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return Room::Serve(seat);
        }
        match Arc::clone(&self.tellers).try_acquire_owned() {
            Ok(seat) => Room::Tell(seat),
            Err(_) => Room::Nothing,
        }
    }

    /// Reads an INTERACTION_CREATE of `shard` and lets the framework handle it.
    async fn dispatch(self: Arc<Self>, shard: u32, text: Utf8Bytes) {
        let Ok((framework, context)) = timeout(CONTEXT_TIMEOUT, self.ready(shard)).await else {
            tracing::error!(shard, "an interaction came before serenity was ready, and was lost");
            return;
        };
        match serde_json::from_str::<Event>(&text) {
            Ok(Event { d: interaction }) => {
                framework.dispatch(context, FullEvent::InteractionCreate { interaction }).await;
            }
            // The error's text may quote the payload, which holds a token.
            Err(error) => strange::answer(&context.http, &text, error.classify()).await,
        }
    }

    async fn ready(&self, shard: u32) -> (Arc<dyn Framework>, Context) {
        loop {
            let known = self.known.notified();
            let mut known = std::pin::pin!(known);
            known.as_mut().enable();
            let context = lock(&self.contexts).get(&shard).cloned();
            if let (Some(framework), Some(context)) = (self.framework.get(), context) {
                return (Arc::clone(framework), context);
            }
            known.await;
        }
    }
}

/// The framework as serenity is given it: notes each shard's context in passing.
pub(super) struct Door<F> {
    inner: Option<F>,
    short: Arc<ShortWay>,
}

impl<F> Door<F> {
    pub(super) fn new(inner: F, short: Arc<ShortWay>) -> Self {
        Self { inner: Some(inner), short }
    }
}

#[async_trait]
impl<F: Framework + 'static> Framework for Door<F> {
    async fn init(&mut self, client: &Client) {
        if let Some(mut inner) = self.inner.take() {
            inner.init(client).await;
            let _ = self.short.framework.set(Arc::new(inner));
        }
    }

    async fn dispatch(&self, context: Context, event: FullEvent) {
        if matches!(event, FullEvent::Ready { .. }) {
            lock(&self.short.contexts).insert(context.shard_id.0, context.clone());
            self.short.known.notify_waiters();
        }
        if let Some(framework) = self.short.framework.get() {
            framework.dispatch(context, event).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_served_up_to_a_bound_then_told_then_left() {
        let short = ShortWay::default();
        let mut seats = Vec::new();
        for _ in 0..AT_ONCE {
            let Room::Serve(seat) = short.room() else { panic!("there was room") };
            seats.push(seat);
        }
        for _ in 0..TOLD_AT_ONCE {
            let Room::Tell(seat) = short.room() else { panic!("somebody had to be told") };
            seats.push(seat);
        }
        assert!(matches!(short.room(), Room::Nothing));
        seats.clear();
        assert!(matches!(short.room(), Room::Serve(_)));
    }
}
