//! Durable operations and the inventory: everything gantry does between a question and a truthful answer.
//!
//! Knows no face: commands and the HTTP side ask it, nobody is asked by it. What is about to happen is
//! recorded before it happens; what happened is read from Proxmox, never assumed.

mod alerts;
mod attachments;
mod board;
mod clock;
mod confirm;
mod deed;
mod error;
mod figures;
mod forwards;
mod health;
mod history;
mod images;
mod inventory;
mod keep;
mod meter;
mod notify;
mod observe;
mod place;
mod pods;
mod propose;
mod recent;
mod runner;
mod sets;
mod shell;
mod step;
mod view;
mod watch;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::Duration;

use gantry_core::action::Verb;
use gantry_core::id::{AuditId, CardId, ClusterId, OperationId, PlanId};
use gantry_core::image::ImageRules;
use gantry_core::pod::HealthRules;
use gantry_core::policy::{Actor, Policy, Ruling, Target};
use tokio::sync::Notify;

pub use alerts::{AlertSettings, AlertView, MuteAsk, NOTE_MAX, Said, Silencer};
pub use attachments::{Attachments, Pieces};
pub use board::BoardView;
pub use clock::Clock;
pub use confirm::{Abandoned, Cancelled, Peek, Pressed};
pub use deed::SnapshotAsk;
pub use error::{Error, FaultParts};
pub use figures::{AlertFigures, BackupFigures, ClusterFigures, EndpointFigures};
pub use forwards::{ForwardAsk, ForwardList, NodeForwards, ShownForward, Standing};
pub use health::PodHealth;
pub use history::{Course, History, Measure, Subject, Timeframe};
pub use images::{ImageAsk, ImageDetail, ImageFilter, ImageList, ImageRow, KnownImage};
pub use keep::Kept;
pub use notify::{NotifyAsk, NotifyHook, NotifyState};
pub use pods::Limits;
pub use propose::{Answer, Ask};
pub use recent::RecentOp;
pub use sets::{SetChange, SetNow};
pub use shell::Need;
pub use view::{
    CardShows, CardView, EndpointLine, GuestDetail, NodeDetail, TaskLine, TaskLog, TaskQuery,
};
pub use witness::{POINTS, Tracer, Witness};

/// How the clients' calls are counted.
pub use gantry_proxmox::{BUCKETS_S, CallFigures, KindFigures};
/// The store's own types, for faces that must not know SQL.
pub use gantry_store as store;

/// What can be tuned. Times are on the engine's clock.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a plan may be confirmed.
    pub plan_life: Duration,
    /// How long a graceful shutdown may take where nobody says, seconds.
    pub shutdown_timeout_s: u32,
    /// How long a worker owns an operation without renewing; a crash is noticed after this.
    pub lease: Duration,
    /// Most operations carried out at once.
    pub workers: usize,
    /// Pause between two reads of a cluster; Proxmox itself refreshes every 10 s.
    pub poll: Duration,
    /// First pause between two looks at a running task.
    pub task_poll_min: Duration,
    /// Longest pause between two looks at a running task.
    pub task_poll_max: Duration,
    /// Longest a single step may take before gantry says it does not know.
    pub step_deadline: Duration,
    /// How long an answer that was lost is looked for where Proxmox answers.
    pub settle: Duration,
    /// How long looking goes on where Proxmox does not answer.
    pub settle_unreachable: Duration,
    /// Who this process is, in leases.
    pub owner: String,
    /// Where nodes may fetch images from.
    pub images: ImageRules,
    /// Which addresses health checks may ask.
    pub health: HealthRules,
    /// Who is told about what.
    pub alerts: AlertSettings,
    /// Webhooks through which clusters tell what Proxmox itself notices.
    pub notify: Vec<NotifyHook>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            plan_life: Duration::from_secs(600),
            shutdown_timeout_s: 60,
            lease: Duration::from_secs(15),
            workers: 64,
            poll: Duration::from_secs(10),
            task_poll_min: Duration::from_millis(500),
            task_poll_max: Duration::from_secs(2),
            step_deadline: Duration::from_secs(30 * 60),
            settle: Duration::from_secs(10),
            settle_unreachable: Duration::from_secs(300),
            owner: "gantry".into(),
            images: ImageRules::default(),
            health: HealthRules::default(),
            alerts: AlertSettings::default(),
            notify: Vec::new(),
        }
    }
}

/// A cluster and the client that reaches it.
#[derive(Clone)]
pub struct Cluster {
    /// Its name in the configuration.
    pub id: ClusterId,
    /// The client.
    pub client: gantry_proxmox::Client,
    /// What the API cannot do, over SSH; `None` where it is not set up.
    pub shell: Option<Arc<gantry_nodeshell::NodeShell>>,
}

/// The engine. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    publisher: Arc<gantry_dns::Publisher>,
    attachments: Option<Arc<dyn Attachments>>,
    gateway: Option<Connected>,
    silencer: Option<Arc<dyn Silencer>>,
}

/// Says whether Discord's gateway is connected. Memory only.
pub type Connected = Arc<dyn Fn() -> bool + Send + Sync>;

struct Inner {
    store: gantry_store::Store,
    clusters: BTreeMap<ClusterId, watch::Watched>,
    policy: Arc<Policy>,
    clock: Clock,
    settings: Settings,
    witness: Arc<dyn Witness>,
    sets: sets::Memory,
    shells: shell::Memory,
    health: health::Book,
    forwards: forwards::Memory,
    recent: recent::Memory,
    figures: figures::Memory,
    /// Whether a webhook told something that the desks have not looked for.
    heard: AtomicBool,
    /// Things that webhooks told and that were not kept.
    turned_away: AtomicU64,
    /// How much of what webhooks told is taken in by one step.
    heard_at_once: AtomicU32,
    /// Wakes those who mirror silences.
    mirrors: tokio::sync::watch::Sender<()>,
    /// Wakes the runner when there is something to do.
    work: Notify,
    /// Wakes the courier when a card may have changed.
    cards: Notify,
}

impl Engine {
    /// Puts an engine together; nothing runs until `run`.
    pub fn new(
        store: gantry_store::Store,
        clusters: Vec<Cluster>,
        policy: Policy,
        clock: Clock,
        settings: Settings,
        witness: Arc<dyn Witness>,
    ) -> Self {
        let clusters =
            clusters.into_iter().map(|c| (c.id.clone(), watch::Watched::new(c))).collect();
        Self {
            inner: Arc::new(Inner {
                store,
                clusters,
                policy: Arc::new(policy),
                clock,
                settings,
                witness,
                sets: sets::Memory::default(),
                shells: shell::Memory::default(),
                health: health::Book::default(),
                forwards: forwards::Memory::default(),
                recent: recent::Memory::default(),
                figures: figures::Memory::default(),
                heard: AtomicBool::new(true),
                turned_away: AtomicU64::new(0),
                heard_at_once: AtomicU32::new(alerts::HEARD_AT_ONCE),
                mirrors: tokio::sync::watch::Sender::new(()),
                work: Notify::new(),
                cards: Notify::new(),
            }),
            publisher: Arc::default(),
            attachments: None,
            gateway: None,
            silencer: None,
        }
    }

    /// With a look at Discord's gateway, for alerts about gantry itself; without this call nothing is known of it.
    #[must_use]
    pub fn with_gateway(self, connected: Connected) -> Self {
        Self { gateway: Some(connected), ..self }
    }

    /// With name servers to publish headless services at; without this call there are none.
    #[must_use]
    pub fn with_publisher(self, publisher: gantry_dns::Publisher) -> Self {
        Self { publisher: Arc::new(publisher), ..self }
    }

    /// With a way to files that people attached; without this call none can be handed on.
    #[must_use]
    pub fn with_attachments(self, attachments: Arc<dyn Attachments>) -> Self {
        Self { attachments: Some(attachments), ..self }
    }

    /// With a way to silence alerts where they come from; without this call they are silenced here alone.
    #[must_use]
    pub fn with_silencer(self, silencer: Arc<dyn Silencer>) -> Self {
        Self { silencer: Some(silencer), ..self }
    }

    /// The name servers.
    pub fn publisher(&self) -> &gantry_dns::Publisher {
        &self.publisher
    }

    /// The store.
    pub fn store(&self) -> &gantry_store::Store {
        &self.inner.store
    }

    /// The engine's clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Milliseconds since the epoch, by the engine's clock.
    pub fn now_ms(&self) -> i64 {
        self.inner.clock.now_ms()
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// All rules.
    pub fn policy(&self) -> Arc<Policy> {
        self.inner.policy.clone()
    }

    /// Whether `actor` may do `verb` to `target`. Memory only.
    pub fn may(&self, actor: &Actor, verb: Verb, target: Target<'_>) -> Ruling {
        gantry_core::policy::rule(&self.inner.policy, actor, verb, target)
    }

    /// Why a deny rule forbids that, whatever else is allowed. Memory only.
    pub(crate) fn forbidden(
        &self,
        actor: &Actor,
        verb: Verb,
        target: Target<'_>,
    ) -> Option<String> {
        gantry_core::policy::forbidden(&self.inner.policy, actor, verb, target)
    }

    /// Resolves when a card may have to be drawn again.
    pub async fn cards_changed(&self) {
        self.inner.cards.notified().await;
    }

    fn cluster(&self, id: &ClusterId) -> Result<&watch::Watched, Error> {
        self.inner.clusters.get(id).ok_or_else(|| Error::UnknownCluster {
            cluster: id.to_string(),
            known: self
                .inner
                .clusters
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    fn client(&self, id: &ClusterId) -> Result<&gantry_proxmox::Client, Error> {
        self.cluster(id).map(watch::Watched::client)
    }

    fn plan_id(&self) -> PlanId {
        PlanId::new(self.now_ms(), random())
    }

    fn operation_id(&self) -> OperationId {
        OperationId::new(self.now_ms(), random())
    }

    fn audit_id(&self) -> AuditId {
        AuditId::new(self.now_ms(), random())
    }

    fn card_id(&self) -> CardId {
        CardId::new(self.now_ms(), random())
    }

    fn card_touched(&self) {
        self.inner.cards.notify_one();
    }
}

/// A fresh `sc_…` id for a screen.
impl Engine {
    /// A fresh id for something shown to one person, such as a page of a list.
    pub fn screen_id(&self) -> String {
        format!("sc_{}", &self.card_id().as_str()[3..])
    }
}

/// Randomness, in its one room. Ids need it for uniqueness, not for secrecy.
fn random() -> u128 {
    let mut bytes = [0u8; 16];
    // The operating system's source does not fail once the machine has booted; should it, time alone remains.
    if getrandom::fill(&mut bytes).is_err() {
        tracing::error!("the operating system gave no randomness");
    }
    u128::from_le_bytes(bytes)
}
