//! The face as one value: the engine behind it, its settings, and what must be waited for before stopping.

use std::sync::Arc;
use std::time::Duration;

use gantry_engine::Engine;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::fault::Fault;
use crate::wire::Wire;

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
    /// Messages edited at the same time.
    pub parallel_edits: usize,
    /// How long a card may wait for the answer that posts it before the courier posts it itself.
    pub post_grace: Duration,
    /// How long the courier waits when nothing is to do; presses wake it earlier.
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
            parallel_edits: 8,
            post_grace: Duration::from_secs(10),
            courier_idle: Duration::from_millis(250),
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

    pub(crate) fn visits(&self) -> &TaskTracker {
        &self.0.visits
    }

    /// Waits until every interaction that has begun is answered; for an ordered stop.
    pub async fn drained(&self) {
        self.0.visits.close();
        self.0.visits.wait().await;
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
