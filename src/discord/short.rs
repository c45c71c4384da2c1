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
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{lock, strange};

/// How long an interaction waits for serenity to handle READY, which came before it. Answering later
/// than 3 s is no use.
const CONTEXT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// What the sessions need to call the framework themselves.
#[derive(Default)]
pub(super) struct ShortWay {
    framework: OnceLock<Arc<dyn Framework>>,
    contexts: Mutex<HashMap<u32, Context>>,
    known: Notify,
}

#[derive(Deserialize)]
struct Event {
    d: Interaction,
}

impl ShortWay {
    /// Reads an INTERACTION_CREATE of `shard` and lets the framework handle it.
    pub(super) async fn dispatch(self: Arc<Self>, shard: u32, text: Utf8Bytes) {
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
