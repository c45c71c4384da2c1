//! The gateway runner: serenity dispatches, our sessions connect, and this file supervises both.
//! It ends only when asked to or with a [`GatewayEnd`] that says what to do.
//!
//! Why serenity does not talk to Discord itself: its close codes 4010, 4011 and 4012 cannot be seen
//! from outside (the runner logs them and identifies again for ever, spinning until the next
//! heartbeat), identifies cannot be counted or held back, `start()` may never return after a
//! shutdown, and a failing GET /gateway silently sends the token to another host. Counting failed
//! connections from outside would only guess. So serenity is connected to [`super::local`], which
//! makes each of these impossible, and interactions reach the framework by [`super::short`]. Called
//! by the process.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use secrecy::Secret;
use serenity::client::ClientBuilder;
use serenity::framework::Framework;
use serenity::model::gateway::GatewayIntents;
use serenity::model::id::ApplicationId;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::end::GatewayEnd;
use super::front::loopback_url;
use super::identify::{CountIdentify, IdentifyGate};
use super::local::Hub;
use super::preflight::{Preflight, PreflightSettings};
use super::short::{Door, ShortWay};
use super::status::{GatewayStatus, Stage};
use super::{bot_authorization, dial, session};

/// serenity starts its shards 5 s apart; a shard that is later than this behind its turn is stuck.
const ATTACH_SLACK: Duration = Duration::from_secs(60);
/// See [`ATTACH_SLACK`].
const ATTACH_SPACING: Duration = Duration::from_secs(6);
/// serenity comes back to us within 10 s when it loses a loopback connection.
const LONGEST_ABSENCE: Duration = Duration::from_secs(20);
/// How often its presence is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Which shards this process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shards {
    /// As many as Discord recommends, all of them here.
    #[default]
    Auto,
    /// Exactly the shards `first`, `first + 1`, … `last` of `total`; both ends included, counted
    /// from 0. Two processes with four shards each say `0, 3, 8` and `4, 7, 8`.
    Range {
        /// First shard of this process.
        first: u32,
        /// Last shard of this process, itself included.
        last: u32,
        /// All shards of all processes.
        total: u32,
    },
}

/// A shard became ready: a new session, not a resumed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardReady {
    /// The shard.
    pub shard: u32,
    /// All shards there are.
    pub total: u32,
    /// The application's id.
    pub application_id: u64,
    /// The bot's name.
    pub bot_name: String,
    /// Servers on this shard.
    pub guilds: u32,
}

/// How the gateway is run.
#[derive(Clone)]
pub struct GatewaySettings {
    /// The bot token.
    pub token: Secret<String>,
    /// The front's address.
    pub front_url: Url,
    /// The configured API address; decides what gateway is acceptable.
    pub api_base: Url,
    /// Which shards run here.
    pub shards: Shards,
    /// What Discord is to send. Slash commands and buttons come without any.
    pub intents: GatewayIntents,
    /// Sessions of the day's budget never spent.
    pub identify_reserve: u32,
    /// An HTTP proxy on the way to Discord.
    pub proxy: Option<Url>,
    /// Sent with the websocket's handshake.
    pub user_agent: String,
    /// Name lookup, TCP, TLS and handshake together.
    pub connect_timeout: Duration,
    /// From identify or resume to READY or RESUMED.
    pub ready_timeout: Duration,
    /// What a stop may take.
    pub stop_within: Duration,
    /// Told before each identify.
    pub count_identify: CountIdentify,
    /// Told at each READY; must not block.
    pub on_ready: Arc<dyn Fn(ShardReady) + Send + Sync>,
}

impl GatewaySettings {
    /// The settings of production for a token and a front.
    #[must_use]
    pub fn new(token: Secret<String>, front_url: Url, api_base: Url) -> Self {
        let front = super::FrontSettings::default();
        Self {
            token,
            front_url,
            api_base,
            shards: Shards::Auto,
            intents: GatewayIntents::empty(),
            identify_reserve: 50,
            proxy: None,
            user_agent: front.user_agent,
            connect_timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(30),
            stop_within: Duration::from_secs(5),
            count_identify: Arc::new(|_| Box::pin(std::future::ready(()))),
            on_ready: Arc::new(|_| ()),
        }
    }
}

impl std::fmt::Debug for GatewaySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewaySettings")
            .field("api_base", &self.api_base.as_str())
            .field("shards", &self.shards)
            .field("intents", &self.intents)
            .finish_non_exhaustive()
    }
}

/// Runs the bot until `stop`, handing every event to `framework`. serenity's in-memory collectors see
/// no interactions: what a button means is in the database.
///
/// # Errors
/// Why it is no use going on; see [`GatewayEnd::exit_code`].
pub async fn run<F: Framework + 'static>(
    settings: GatewaySettings,
    framework: F,
    preflight: &Preflight,
    status: GatewayStatus,
    stop: CancellationToken,
) -> Result<(), GatewayEnd> {
    let (first, last, total) = named_shards(settings.shards, preflight)?;
    let gateway_url = dial::check_gateway(preflight.gateway_url.as_str(), &settings.api_base)
        .map_err(GatewayEnd::WrongGateway)?;
    let internal = |what: &str, error: &dyn std::fmt::Display| {
        GatewayEnd::Internal(format!("{what}: {error}"))
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|error| internal("no port on 127.0.0.1", &error))?;
    let address = listener.local_addr().map_err(|error| internal("no local address", &error))?;
    let local_url = loopback_url("ws", address).as_str().trim_end_matches('/').to_owned();
    let (hub, mut wanted) = Hub::new(bot_authorization(&settings.token), first..=last, total);
    for shard in first..=last {
        status.stage(shard, Stage::Waiting);
    }
    let shards = Arc::new(session::Shards {
        token: settings.token.clone(),
        api_base: settings.api_base.clone(),
        gateway_url,
        proxy: settings.proxy.clone(),
        tls: dial::tls().map_err(|error| internal("TLS", &error))?,
        user_agent: HeaderValue::from_str(&settings.user_agent)
            .map_err(|error| internal("user agent", &error))?,
        intents: settings.intents.bits(),
        total,
        connect_timeout: settings.connect_timeout,
        ready_timeout: settings.ready_timeout,
        gate: IdentifyGate::new(
            preflight,
            PreflightSettings {
                front_url: settings.front_url.clone(),
                api_base: settings.api_base.clone(),
                token: settings.token.clone(),
                identify_reserve: settings.identify_reserve,
            },
            Arc::clone(&settings.count_identify),
        ),
        hub: Arc::clone(&hub),
        short: Arc::new(ShortWay::default()),
        status,
        on_ready: Arc::clone(&settings.on_ready),
    });

    let http = super::http(&settings.front_url, &settings.token)
        .map_err(|error| internal("HTTP client", &error))?;
    http.set_application_id(ApplicationId::new(preflight.application_id.max(1)));
    // The builder asks GET /gateway and falls back to Discord's own host when that fails. Whatever
    // it came to is replaced before anything is started, and checked.
    let building = ClientBuilder::new_with_http(http, settings.intents)
        .framework(Door::new(framework, Arc::clone(&shards.short)));
    let mut client = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        client = building => client.map_err(|error| internal("serenity", &error))?,
    };
    let ws_url = Arc::clone(&client.ws_url);
    ws_url.lock().await.clone_from(&local_url);
    if *ws_url.lock().await != local_url {
        return Err(GatewayEnd::Internal("serenity's gateway address did not take".to_owned()));
    }
    let manager = Arc::clone(&client.shard_manager);

    let local_stop = CancellationToken::new();
    let local = tokio::spawn(Arc::clone(&hub).serve(listener, local_stop.clone()));
    // Not `first..=last`: serenity's `Range` includes its end, so the shards named are exactly these.
    let mut serenity = tokio::spawn(async move {
        client.start_shard_range(Range { start: first, end: last }, total).await
    });

    let sessions_stop = stop.child_token();
    let mut sessions = JoinSet::new();
    let mut missing: HashSet<u32> = (first..=last).collect();
    let mut attach_by = Instant::now() + ATTACH_SLACK;
    let mut look = tokio::time::interval(LOOK);
    let ended = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            _ = look.tick() => if let Some(shard) = hub.abandoned(LONGEST_ABSENCE) {
                break Err(GatewayEnd::Internal(format!("serenity left shard {shard}")));
            },
            Some(asked) = wanted.recv() => {
                missing.remove(&asked.shard);
                attach_by = Instant::now() + ATTACH_SPACING + ATTACH_SLACK;
                sessions.spawn(session::keep(
                    Arc::clone(&shards),
                    asked.shard,
                    asked.commands,
                    sessions_stop.clone(),
                ));
            }
            Some(session) = sessions.join_next() => match session {
                Ok(Err(end)) => break Err(end),
                Ok(Ok(())) if stop.is_cancelled() => break Ok(()),
                Ok(Ok(())) => break Err(GatewayEnd::Internal("a session ended by itself".to_owned())),
                Err(error) => break Err(internal("a session failed", &error)),
            },
            ended = &mut serenity => break Err(match ended {
                Ok(Ok(())) => GatewayEnd::Internal("serenity stopped by itself".to_owned()),
                Ok(Err(error)) => internal("serenity", &error),
                Err(error) => internal("serenity failed", &error),
            }),
            () = sleep_until(attach_by), if !missing.is_empty() => {
                break Err(GatewayEnd::Internal(format!(
                    "serenity did not start shard(s) {missing:?}"
                )));
            }
        }
    };
    match &ended {
        Ok(()) => tracing::info!("leaving the gateway"),
        Err(end) => tracing::error!(exit_code = end.exit_code(), "leaving the gateway: {end}"),
    }

    // Order: say goodbye to Discord, then let serenity close against a peer that still answers.
    sessions_stop.cancel();
    let leaving = async {
        while sessions.join_next().await.is_some() {}
        manager.shutdown_all().await;
    };
    if timeout(settings.stop_within, leaving).await.is_err() {
        tracing::warn!("the gateway did not close in time; leaving anyway");
    }
    // A shard still queued in serenity must not find anything at this port any more.
    "stopped".clone_into(&mut *ws_url.lock().await);
    serenity.abort();
    local_stop.cancel();
    let _ = local.await;
    ended
}

fn named_shards(shards: Shards, preflight: &Preflight) -> Result<(u32, u32, u32), GatewayEnd> {
    match shards {
        Shards::Auto => Ok((0, preflight.shards.max(1) - 1, preflight.shards.max(1))),
        Shards::Range { first, last, total } if first <= last && last < total => {
            Ok((first, last, total))
        }
        Shards::Range { first, last, total } => {
            Err(GatewayEnd::BadShard { shard: first.max(last), total })
        }
    }
}
