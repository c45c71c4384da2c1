//! The face as one value: the engine behind it, its settings, and what must be waited for before stopping.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_core::id::CardId;
use gantry_engine::Engine;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::fault::Fault;
use crate::wire::Wire;

/// How long one process owns a card without renewing.
pub(crate) const CARD_LEASE: Duration = Duration::from_secs(25);

/// How the face behaves. `Default` is right for production.
#[derive(Debug, Clone)]
pub struct FaceSettings {
    /// Name under which this process claims cards; must differ between processes that share a database.
    pub owner: String,
    /// Permission bits a member needs before Discord shows the commands at all. `None` shows them to everyone:
    /// who may do what is decided by policy on every use, and a server's admins can override this bit anyway.
    pub default_member_permissions: Option<u64>,
    /// Least time between two edits of one message.
    pub edit_every: Duration,
    /// Least time between two edits of a status board.
    pub board_every: Duration,
    /// Messages edited at the same time.
    pub parallel_edits: usize,
    /// How long a card may wait for the answer that posts it before the courier posts it itself.
    pub post_grace: Duration,
    /// How long the courier waits for a card that is not due yet; changes wake it earlier.
    pub courier_pause: Duration,
    /// How long it waits when no card wants anything, and nobody in this process will wake it: for cards of
    /// processes that died.
    pub courier_idle: Duration,
    /// How long lists, questions and forms keep working.
    pub screen_life: Duration,
}

impl Default for FaceSettings {
    fn default() -> Self {
        Self {
            owner: format!("face-{}", std::process::id()),
            default_member_permissions: None,
            edit_every: Duration::from_secs(1),
            board_every: Duration::from_secs(30),
            parallel_edits: 8,
            post_grace: Duration::from_secs(10),
            courier_pause: Duration::from_millis(250),
            courier_idle: Duration::from_secs(5),
            screen_life: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The Discord face. Cheap to clone.
#[derive(Clone)]
pub struct Face(Arc<Inner>);

struct Inner {
    engine: Engine,
    settings: FaceSettings,
    wire: Arc<dyn Wire>,
    wake: Notify,
    visits: TaskTracker,
    /// Cards that somebody in this process is sending.
    sending: Mutex<HashSet<CardId>>,
}

impl std::fmt::Debug for Face {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Face").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Face {
    /// A face in front of `engine` that answers interactions through `wire`.
    pub fn new(engine: Engine, settings: FaceSettings, wire: Arc<dyn Wire>) -> Self {
        Self(Arc::new(Inner {
            engine,
            settings,
            wire,
            wake: Notify::new(),
            visits: TaskTracker::new(),
            sending: Mutex::default(),
        }))
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The way of answers to Discord.
    pub(crate) fn wire(&self) -> Arc<dyn Wire> {
        Arc::clone(&self.0.wire)
    }

    /// Its settings.
    pub fn settings(&self) -> &FaceSettings {
        &self.0.settings
    }

    /// Tells the courier that a message wants to be edited.
    pub fn wake_courier(&self) {
        self.0.wake.notify_one();
    }

    pub(crate) async fn courier_woken(&self) {
        self.0.wake.notified().await;
    }

    /// Takes a card for sending; `None` while somebody else in this process does.
    pub(crate) fn take(&self, card: &CardId) -> Option<Taken> {
        let mut sending = self.0.sending.lock().unwrap_or_else(PoisonError::into_inner);
        sending.insert(card.clone()).then(|| Taken { face: self.clone(), card: card.clone() })
    }

    pub(crate) fn visits(&self) -> &TaskTracker {
        &self.0.visits
    }

    /// Waits until every interaction that has begun is answered; for an ordered stop.
    pub async fn drained(&self) {
        self.0.visits.close();
        self.0.visits.wait().await;
    }
}

/// A card that is this holder's alone, among all of this process, until it is dropped.
pub(crate) struct Taken {
    face: Face,
    card: CardId,
}

impl Taken {
    /// Does `work` while no other process takes the card over: its lease is renewed on the engine's clock, however
    /// long the network takes in real time. `first` is how long it is safe without. `None`: it was taken over all
    /// the same, and the work was given up.
    pub(crate) async fn keep<T>(
        &self,
        first: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.renew(first) => None,
        }
    }

    /// Renews until the card is lost.
    async fn renew(&self, first: Duration) {
        let (engine, owner) = (self.face.engine(), &self.face.settings().owner);
        let mut pause = first / 3;
        loop {
            engine.clock().sleep(pause).await;
            pause = CARD_LEASE / 3;
            let lease_ms = i64::try_from(CARD_LEASE.as_millis()).unwrap_or(i64::MAX);
            match engine.store().keep_card(&self.card, owner, engine.now_ms(), lease_ms).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, "could not hold on to a message's lease"),
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.face.0.sending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.card);
        // The courier may have been turned away meanwhile.
        self.face.wake_courier();
    }
}

/// What can go wrong while an interaction is served. Always ends as a card; see `Visit::show_error`.
#[derive(Debug, thiserror::Error)]
pub enum FaceError {
    /// From the engine.
    #[error("{0}")]
    Engine(#[from] gantry_engine::Error),
    /// From the store, while doing what the text says.
    #[error("{what}: {source}")]
    Store {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        source: gantry_engine::store::StoreError,
    },
    /// From Discord.
    #[error("{}", crate::desk::words_of(.0))]
    Discord(Box<serenity::Error>),
    /// Said already in the words a person shall read.
    #[error("{}: {}", .0.what, .0.why_and_now)]
    Said(Box<Fault>),
}

impl From<serenity::Error> for FaceError {
    fn from(error: serenity::Error) -> Self {
        Self::Discord(Box::new(error))
    }
}

impl FaceError {
    /// The four lines a person reads.
    pub fn fault(&self, reference: &str) -> Fault {
        match self {
            Self::Engine(error) => Fault::of_engine(error, reference),
            Self::Store { what, source } => Fault::of_store(source, what, reference),
            Self::Discord(error) => Fault::of_discord(error, reference),
            Self::Said(fault) => (**fault).clone(),
        }
    }
}

/// Makes a store error of the face.
pub(crate) fn store_error(
    what: &'static str,
) -> impl FnOnce(gantry_engine::store::StoreError) -> FaceError {
    move |source| FaceError::Store { what, source }
}

/// A poise context of ours.
pub type Context<'a> = poise::ApplicationContext<'a, Face, FaceError>;
