//! Puts the rooms together: a configuration in, a running gantry out.
//!
//! `gantry run`, `gantry demo` and every test start here, so that only addresses and the clock differ between them.
//! Order of starting: database, clusters, engine, REST front, gateway. Order of stopping: see `supervise`.

use std::sync::Arc;
use std::time::Duration;

use gantry_commands::{Face, FaceSettings};
use gantry_core::id::ClusterId;
use gantry_engine::{Clock, Engine, Settings, Witness};
use gantry_nodeshell::NodeShell;
use gantry_store::{Store, StoreError};
use secrecy::ExposeSecret as _;
use serenity::http::Http;
use tokio::sync::watch;
use url::Url;

use crate::clients::{client, publisher};
use crate::config::Config;
use crate::discord::{self, Front, FrontError, GatewayEnd, GatewayStatus};
use crate::door::{Door, front_settings, gateway_settings, preflight_settings, reason, scope};
use crate::exit;
use crate::http_side;
use crate::supervise::{Ended, Stage, Supervisor};

/// Why gantry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database is behind and may not be brought up to date here.
    #[error("the database lacks {}; run `gantry migrate`, or set store.migrate = true", .0.join(", "))]
    Behind(Vec<String>),
    /// A cluster's part of the configuration cannot work.
    #[error("cluster {cluster}: {source}")]
    Cluster {
        /// Its id.
        cluster: ClusterId,
        /// What is wrong.
        source: gantry_proxmox::Error,
    },
    /// A cluster's node shell cannot be opened.
    #[error("cluster {cluster}: {source}")]
    Shell {
        /// Its id.
        cluster: ClusterId,
        /// What is wrong.
        source: Box<gantry_nodeshell::Error>,
    },
    /// The door to Discord could not be opened.
    #[error("{0}{source}", source = source_text(.0))]
    Front(#[from] FrontError),
    /// An HTTP client could not be built.
    #[error("could not prepare the HTTP client for Discord: {0}")]
    Http(#[from] reqwest::Error),
    /// A name server's configuration cannot be used.
    #[error("[[dns]]: {0}")]
    Dns(#[from] gantry_dns::Error),
    /// The HTTP side's address cannot be had.
    #[error("http.listen: {listen} cannot be had: {source}")]
    Listen {
        /// The address.
        listen: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// An address in the configuration is none.
    #[error("discord.api_url: {0}")]
    Address(#[from] url::ParseError),
}

fn source_text(error: &FrontError) -> String {
    std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default()
}

impl Error {
    /// The exit code that fits.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(_) | Self::Behind(_) => exit::DATABASE,
            Self::Cluster { .. } | Self::Shell { .. } | Self::Dns(_) | Self::Address(_) => {
                exit::USAGE
            }
            Self::Front(FrontError::Address { .. } | FrontError::Token) => exit::USAGE,
            Self::Front(_) | Self::Http(_) | Self::Listen { .. } => exit::FAILED,
        }
    }
}

/// A running gantry. It runs until `stop`; dropping it without stopping leaves its tasks to the runtime's end.
pub struct Running {
    address: Option<std::net::SocketAddr>,
    engine: Engine,
    face: Face,
    front: Front,
    http: Arc<Http>,
    gateway: GatewayStatus,
    ready: watch::Receiver<u32>,
    supervisor: Supervisor,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("tasks", &self.supervisor).finish_non_exhaustive()
    }
}

/// Starts gantry. Returns once everything is started; Discord may not have been reached yet (see
/// [`Running::connected`]), and an outage there is waited out.
pub async fn build(
    config: &Config,
    clock: Clock,
    witness: Arc<dyn Witness>,
) -> Result<Running, Error> {
    let store = open_store(config).await?;
    // What a process before this one was doing when it died goes on at once.
    store.take_over().await?;
    // Its clock may have run ahead; nothing waits until this one gets there.
    store.bring_back(clock.now_ms()).await?;
    let mut clusters = Vec::new();
    for cluster in &config.clusters {
        let client = client(cluster)
            .map_err(|source| Error::Cluster { cluster: cluster.id.clone(), source })?;
        let shell = match &cluster.node_shell {
            None => None,
            Some(shell) => Some(Arc::new(NodeShell::new(shell.config()).map_err(|source| {
                Error::Shell { cluster: cluster.id.clone(), source: Box::new(source) }
            })?)),
        };
        clusters.push(gantry_engine::Cluster { id: cluster.id.clone(), client, shell });
    }
    if config.policy.rules.is_empty() {
        tracing::warn!("there are no policy rules: nobody may do anything; see docs/policy.md");
    }
    let api_base: Url = config.discord.api_url.parse()?;
    let gateway = GatewayStatus::default();
    let engine = Engine::new(
        store.clone(),
        clusters,
        config.policy.clone(),
        clock.clone(),
        settings(config),
        witness,
    )
    .with_gateway({
        let status = gateway.clone();
        Arc::new(move || status.all_connected())
    })
    .with_publisher(publisher(&config.dns)?)
    .with_attachments(Arc::new(discord::Files::new(api_base.clone())));
    let managers = gantry_http::Alertmanagers::new(&config.http.hooks)?;
    let engine =
        if managers.is_empty() { engine } else { engine.with_silencer(Arc::new(managers)) };
    let front = Front::start(front_settings(&config.discord, api_base.clone())).await?;
    let face = Face::new(
        engine.clone(),
        FaceSettings {
            owner: owner(),
            board_every: Duration::from_secs(config.boards.every_s.into()),
            ..FaceSettings::default()
        },
        Arc::new(front.clone()),
    );
    let http = Arc::new(discord::http(front.url(), &config.discord.token)?);
    let http_side = match http_side::settings(config) {
        None => None,
        Some(settings) => {
            let known = http_side::Known { gateway: gateway.clone(), front: front.clone() };
            let server = gantry_http::Server::bind(&settings, engine.clone(), Arc::new(known));
            let listen = settings.listen;
            Some(server.await.map_err(|source| Error::Listen { listen, source })?)
        }
    };
    let (ready_in, ready) = watch::channel(0);

    let mut supervisor = Supervisor::default();
    {
        let (stop, front) = (supervisor.stop_of(Stage::Ground), front.clone());
        supervisor.spawn("front", Stage::Ground, async move {
            tokio::select! {
                () = front.token_rejected() => Err(reason(&GatewayEnd::BadToken)),
                () = stop.cancelled() => {
                    front.stop().await;
                    Ok(())
                }
            }
        });
    }
    {
        let (stop, engine) = (supervisor.stop_of(Stage::Work), engine.clone());
        supervisor.spawn("engine", Stage::Work, async move {
            engine.run(stop).await;
            Ok(())
        });
    }
    {
        let (stop, face, http) =
            (supervisor.stop_of(Stage::Messages), face.clone(), Arc::clone(&http));
        supervisor.spawn("courier", Stage::Messages, async move {
            face.courier(http, stop).await;
            Ok(())
        });
    }
    {
        let (stop, face) = (supervisor.stop_of(Stage::Messages), face.clone());
        supervisor.spawn("boards", Stage::Messages, async move {
            face.boards(stop).await;
            Ok(())
        });
    }
    {
        let door = Door {
            asked: preflight_settings(&config.discord, &front, api_base.clone()),
            settings: gateway_settings(&config.discord, &front, api_base, ready_in, &store, &clock),
            face: face.clone(),
            http: Arc::clone(&http),
            scope: scope(&config.discord.register),
            status: gateway.clone(),
            stop: supervisor.stop_of(Stage::Doors),
        };
        supervisor.spawn("gateway", Stage::Doors, door.keep());
    }
    let address = http_side.as_ref().and_then(|server| server.address().ok());
    if let Some(server) = http_side {
        tracing::info!(address = ?address, "serving health, metrics and webhooks");
        let stop = supervisor.stop_of(Stage::Doors);
        supervisor.spawn("http", Stage::Doors, async move {
            server.serve(stop).await;
            Ok(())
        });
    }
    Ok(Running { address, engine, face, front, http, gateway, ready, supervisor })
}

impl Running {
    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The Discord face.
    pub fn face(&self) -> &Face {
        &self.face
    }

    /// Where the HTTP side listens, where there is one.
    pub fn http_address(&self) -> Option<std::net::SocketAddr> {
        self.address
    }

    /// The REST front; its statistics.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// The client that speaks through the front.
    pub fn http(&self) -> &Arc<Http> {
        &self.http
    }

    /// The shards.
    pub fn gateway(&self) -> &GatewayStatus {
        &self.gateway
    }

    /// Waits until a shard is ready for the first time, or until something ends.
    pub async fn connected(&mut self) -> Result<(), Ended> {
        let mut ready = self.ready.clone();
        tokio::select! {
            biased;
            connected = async { ready.wait_for(|n| *n > 0).await.is_ok() } => {
                if connected {
                    Ok(())
                } else {
                    // The gateway task dropped its end: it is over, and its reason is on its way.
                    Err(self.supervisor.wait().await)
                }
            }
            ended = self.supervisor.wait() => Err(ended),
        }
    }

    /// Waits until something ends that must not.
    pub async fn wait(&mut self) -> Ended {
        self.supervisor.wait().await
    }

    /// Stops everything in order, within 10 s. Returns the names of tasks that had to be ended.
    pub async fn stop(self) -> Vec<&'static str> {
        let overran = self.supervisor.stop().await;
        self.engine.store().close().await;
        overran
    }
}

/// Opens the database, brought up to date if the configuration says so.
pub async fn open_store(config: &Config) -> Result<Store, Error> {
    let (url, connections) = (config.store.url.expose_secret(), config.store.connections);
    let store = Store::open_with(url, connections).await?;
    if config.store.migrate {
        for name in store.migrate().await? {
            tracing::info!(migration = name, "the database was brought up to date");
        }
    } else {
        let pending = store.pending().await?;
        if !pending.is_empty() {
            return Err(Error::Behind(pending));
        }
    }
    Ok(store)
}

fn settings(config: &Config) -> Settings {
    let o = &config.operations;
    let seconds = |s: u32| Duration::from_secs(s.into());
    Settings {
        plan_life: seconds(o.plan_life_s),
        shutdown_timeout_s: o.shutdown_timeout_s,
        lease: seconds(o.lease_s),
        workers: o.workers as usize,
        poll: seconds(o.poll_s),
        step_deadline: seconds(o.step_deadline_s),
        settle: seconds(o.settle_s),
        owner: owner(),
        images: config.images.clone(),
        health: config.health,
        alerts: config.alerts.clone(),
        notify: http_side::notify_hooks(&config.http),
        ..Settings::default()
    }
}

/// Who this process is, in leases: unlike any other process, also after a restart under the same process id.
fn owner() -> String {
    let mut bytes = [0_u8; 6];
    // Without randomness the process id still tells two processes of one machine apart.
    let _ = getrandom::fill(&mut bytes);
    let random: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{random}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_proxmox::Tuning;

    use crate::clients::tuning;
    use crate::config::{Limits, Operations};

    #[test]
    fn the_configuration_has_the_defaults_of_what_it_configures() {
        let (o, s) = (Operations::default(), Settings::default());
        let seconds = |s: u32| Duration::from_secs(s.into());
        assert_eq!(seconds(o.plan_life_s), s.plan_life);
        assert_eq!(o.shutdown_timeout_s, s.shutdown_timeout_s);
        assert_eq!(seconds(o.lease_s), s.lease);
        assert_eq!(o.workers as usize, s.workers);
        assert_eq!(seconds(o.poll_s), s.poll);
        assert_eq!(seconds(o.step_deadline_s), s.step_deadline);
        assert_eq!(seconds(o.settle_s), s.settle);
        let (ours, theirs) = (tuning(&Limits::default()), Tuning::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn two_processes_never_share_a_name() {
        assert_ne!(owner(), owner());
    }
}
