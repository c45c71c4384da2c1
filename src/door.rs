//! The way to Discord: what is asked before connecting, the commands registered, the shards kept.

use std::sync::Arc;
use std::time::Duration;

use gantry_commands::{Face, Scope};
use gantry_engine::Clock;
use gantry_store::Store;
use serenity::http::Http;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::{self, Register, Shards};
use crate::discord::{
    self, Front, FrontSettings, GatewayEnd, GatewaySettings, GatewayStatus, Preflight,
    PreflightSettings,
};
use crate::supervise::Reason;

/// Sessions of Discord's daily budget (1,000) that are never spent: enough to start again after the reason was found.
const IDENTIFY_RESERVE: u32 = 50;
/// A day's sessions are waited for at most this long; longer, and the process ends with the reason.
const BUDGET_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// Pause between two tries to register commands.
const REGISTER_PAUSE: Duration = Duration::from_secs(60);
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What the gateway task works with.
pub(crate) struct Door {
    pub(crate) asked: PreflightSettings,
    pub(crate) settings: GatewaySettings,
    pub(crate) face: Face,
    pub(crate) http: Arc<Http>,
    pub(crate) scope: Scope,
    pub(crate) status: GatewayStatus,
    pub(crate) stop: CancellationToken,
}

impl Door {
    /// Asks Discord whether it may connect, registers the commands, runs the shards.
    pub(crate) async fn keep(self) -> Result<(), Reason> {
        let preflight =
            discord::preflight_patiently(&self.asked, BUDGET_WAIT_MAX, &self.stop).await;
        let preflight = match preflight {
            Ok(preflight) => preflight,
            Err(_) if self.stop.is_cancelled() => return Ok(()),
            Err(error) => return Err(reason(&error.into_end())),
        };
        tracing::info!(
            bot = preflight.bot_name,
            application = preflight.application_id,
            sessions_left = preflight.remaining,
            "Discord knows the bot"
        );
        let registering = self.register(&preflight);
        let running = discord::run(
            self.settings.clone(),
            self.face.framework(),
            &preflight,
            self.status.clone(),
            self.stop.clone(),
        );
        // Commands that cannot be registered yet do not keep those that are from working.
        let ended = tokio::select! {
            ended = running => ended,
            () = async { registering.await; std::future::pending().await } => Ok(()),
        };
        ended.map_err(|end| reason(&end))?;
        // What was asked before the door closed is still answered; the stage's deadline bounds it.
        self.face.drained().await;
        Ok(())
    }

    async fn register(&self, preflight: &Preflight) {
        loop {
            let done =
                self.face.register(&self.http, preflight.application_id.into(), &self.scope).await;
            match done {
                Ok(registered) => {
                    tracing::info!(?registered, "commands are registered");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "commands could not be registered; trying again in {} s", REGISTER_PAUSE.as_secs());
                }
            }
            tokio::time::sleep(REGISTER_PAUSE).await;
        }
    }
}

/// Why the gateway ended, for the supervisor.
pub(crate) fn reason(end: &GatewayEnd) -> Reason {
    Reason { text: end.to_string(), code: end.exit_code() }
}

/// How the shards connect; each one that becomes ready counts up `ready`.
pub(crate) fn gateway_settings(
    discord: &config::Discord,
    front: &Front,
    api_base: Url,
    ready: watch::Sender<u32>,
    store: &Store,
    clock: &Clock,
) -> GatewaySettings {
    let mut settings = GatewaySettings::new(discord.token.clone(), front.url().clone(), api_base);
    settings.shards = match discord.shards {
        Shards::Auto => discord::Shards::Auto,
        Shards::Range { first, last, total } => discord::Shards::Range { first, last, total },
    };
    settings.proxy.clone_from(&discord.proxy);
    settings.identify_reserve = IDENTIFY_RESERVE;
    let (store, clock) = (store.clone(), clock.clone());
    settings.count_identify = Arc::new(move |shard| {
        let (store, day) = (store.clone(), clock.now_ms() / DAY_MS);
        Box::pin(async move {
            match store.bump_counter("gateway identifies", day, 1).await {
                Ok(today) => tracing::debug!(shard, today, "a gateway session is started"),
                Err(error) => tracing::warn!(%error, "a gateway session was not counted"),
            }
        })
    });
    settings.on_ready = Arc::new(move |shard| {
        tracing::info!(
            shard = shard.shard,
            of = shard.total,
            bot = shard.bot_name,
            servers = shard.guilds,
            "connected to Discord"
        );
        ready.send_modify(|n| *n += 1);
    });
    settings
}

/// What is asked of Discord before a shard connects.
pub(crate) fn preflight_settings(
    discord: &config::Discord,
    front: &Front,
    api_base: Url,
) -> PreflightSettings {
    PreflightSettings {
        front_url: front.url().clone(),
        api_base,
        token: discord.token.clone(),
        identify_reserve: IDENTIFY_RESERVE,
    }
}

/// How the REST front speaks to Discord.
pub(crate) fn front_settings(discord: &config::Discord, api_base: Url) -> FrontSettings {
    FrontSettings {
        api_base,
        token: discord.token.clone(),
        proxy: discord.proxy.clone(),
        ..FrontSettings::default()
    }
}

/// Where the commands are registered.
pub(crate) fn scope(register: &Register) -> Scope {
    match register {
        Register::Global => Scope::Global,
        Register::Guilds(guilds) => Scope::Guilds(guilds.clone()),
    }
}
