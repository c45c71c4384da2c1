//! What is asked of Discord before a gateway connection is tried: is the token good, which gateway,
//! how many shards, how many sessions are left today. A gateway that is not Discord's own is refused
//! here. Called by the process at start, by `doctor`, and by the identify gate when it runs low.

use std::time::Duration;

use secrecy::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::end::{GatewayEnd, minutes};
use super::forward::chain;
use super::{bot_authorization, dial};

/// One question of the preflight; the front's own deadlines are shorter.
const TIMEOUT: Duration = Duration::from_secs(90);

/// What the preflight needs to know.
#[derive(Clone, Debug)]
pub struct PreflightSettings {
    /// The front's address.
    pub front_url: Url,
    /// The configured API address, which decides what gateway is acceptable.
    pub api_base: Url,
    /// The bot token.
    pub token: Secret<String>,
    /// Sessions of the day's budget that are never spent.
    pub identify_reserve: u32,
}

/// What Discord said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The application the commands belong to.
    pub application_id: u64,
    /// The bot's user id.
    pub bot_id: u64,
    /// The bot's name.
    pub bot_name: String,
    /// Shards Discord recommends.
    pub shards: u32,
    /// Sessions left today.
    pub remaining: u32,
    /// Sessions a day.
    pub total: u32,
    /// Until the count starts again.
    pub reset_after: Duration,
    /// Sessions that may be started within 5 s.
    pub max_concurrency: u32,
    /// Where to connect; checked.
    pub gateway_url: Url,
    /// Privileged intents switched on for the application (`flags` of the application).
    pub application_flags: u64,
}

/// Why gantry does not connect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// 401.
    #[error(
        "Discord refused the bot token. Make a new one on the application's Bot page and put it into discord.token_file."
    )]
    BadToken,
    /// No answer from Discord (or not through the proxy).
    #[error("Discord could not be reached for {what}: {why}")]
    Unreachable {
        /// The question asked.
        what: &'static str,
        /// What happened.
        why: String,
    },
    /// Discord answered something that is no answer.
    #[error("Discord's answer to {what} could not be used: {why}")]
    Strange {
        /// The question asked.
        what: &'static str,
        /// What was wrong with it.
        why: String,
    },
    /// The gateway named is not Discord's own.
    #[error("{0}")]
    WrongGateway(String),
    /// Too few sessions are left today.
    #[error("only {remaining} of {total} gateway sessions are left today and {reserve} are kept in reserve; new ones in {}", minutes(*.reset_after))]
    Budget {
        /// Sessions left.
        remaining: u32,
        /// Sessions a day.
        total: u32,
        /// Sessions kept.
        reserve: u32,
        /// Until the count starts again.
        reset_after: Duration,
    },
    /// Asked to stop while waiting.
    #[error("stopped while waiting for gateway sessions")]
    Stopped,
}

impl PreflightError {
    /// The same ending in the gateway runner's terms, for one set of exit codes.
    #[must_use]
    pub fn into_end(self) -> GatewayEnd {
        match self {
            Self::BadToken => GatewayEnd::BadToken,
            Self::WrongGateway(why) => GatewayEnd::WrongGateway(why),
            Self::Budget { remaining, reserve, reset_after, .. } => {
                GatewayEnd::IdentifyBudget { remaining, reserve, reset_after }
            }
            other => GatewayEnd::CannotConnect { shard: 0, hint: other.to_string() },
        }
    }
}

#[derive(Deserialize)]
struct BotGateway {
    url: String,
    shards: u32,
    session_start_limit: SessionStartLimit,
}

#[derive(Deserialize)]
struct SessionStartLimit {
    total: u32,
    remaining: u32,
    /// Milliseconds.
    reset_after: u64,
    max_concurrency: u32,
}

#[derive(Deserialize)]
struct Application {
    id: String,
    #[serde(default)]
    flags: u64,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: String,
}

/// How many sessions are left, and where to connect.
pub(super) struct Budget {
    pub(super) gateway_url: Url,
    pub(super) shards: u32,
    pub(super) remaining: u32,
    pub(super) total: u32,
    pub(super) reset_after: Duration,
    pub(super) max_concurrency: u32,
}

/// Asks Discord once.
///
/// # Errors
/// Whatever forbids connecting. A [`PreflightError::Budget`] means all else was fine.
pub async fn preflight(settings: &PreflightSettings) -> Result<Preflight, PreflightError> {
    let user: User = ask(settings, "the bot's user", "users/@me").await?;
    let application: Application =
        ask(settings, "the bot's application", "applications/@me").await?;
    let budget = budget(settings).await?;
    let reserve = settings.identify_reserve;
    if budget.remaining <= reserve {
        return Err(PreflightError::Budget {
            remaining: budget.remaining,
            total: budget.total,
            reserve,
            reset_after: budget.reset_after,
        });
    }
    Ok(Preflight {
        application_id: id("the bot's application", &application.id)?,
        bot_id: id("the bot's user", &user.id)?,
        bot_name: user.username,
        shards: budget.shards.max(1),
        remaining: budget.remaining,
        total: budget.total,
        reset_after: budget.reset_after,
        max_concurrency: budget.max_concurrency.max(1),
        gateway_url: budget.gateway_url,
        application_flags: application.flags,
    })
}

/// Asks until Discord can be reached and sessions are left, waiting for them at most `longest`;
/// outages are waited out without end, in growing steps up to 30 s.
///
/// # Errors
/// Whatever waiting does not mend, or [`PreflightError::Stopped`].
pub async fn preflight_patiently(
    settings: &PreflightSettings,
    longest: Duration,
    stop: &CancellationToken,
) -> Result<Preflight, PreflightError> {
    let mut pause = Duration::from_secs(1);
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return Err(PreflightError::Stopped),
            asked = preflight(settings) => asked,
        };
        let wait = match asked {
            Err(PreflightError::Budget { reset_after, remaining, .. })
                if reset_after <= longest =>
            {
                tracing::warn!(
                    remaining,
                    "too few gateway sessions are left today; connecting in {}",
                    minutes(reset_after)
                );
                reset_after + Duration::from_secs(1)
            }
            Err(error @ PreflightError::Unreachable { .. }) => {
                tracing::warn!(%error, "trying again in {} s", pause.as_secs());
                let wait = pause;
                pause = (pause * 2).min(Duration::from_secs(30));
                wait
            }
            other => return other,
        };
        tokio::select! {
            () = stop.cancelled() => return Err(PreflightError::Stopped),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// GET /gateway/bot, checked.
pub(super) async fn budget(settings: &PreflightSettings) -> Result<Budget, PreflightError> {
    let told: BotGateway = ask(settings, "the gateway", "gateway/bot").await?;
    let gateway_url =
        dial::check_gateway(&told.url, &settings.api_base).map_err(PreflightError::WrongGateway)?;
    Ok(Budget {
        gateway_url,
        shards: told.shards,
        remaining: told.session_start_limit.remaining,
        total: told.session_start_limit.total,
        reset_after: Duration::from_millis(told.session_start_limit.reset_after),
        max_concurrency: told.session_start_limit.max_concurrency,
    })
}

fn id(what: &'static str, text: &str) -> Result<u64, PreflightError> {
    text.parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| PreflightError::Strange { what, why: "its id is not a number".to_owned() })
}

async fn ask<T: DeserializeOwned>(
    settings: &PreflightSettings,
    what: &'static str,
    path: &str,
) -> Result<T, PreflightError> {
    let unreachable = |why: String| PreflightError::Unreachable { what, why };
    let strange = |why: String| PreflightError::Strange { what, why };
    let url = settings
        .front_url
        .join(&format!("/api/v10/{path}"))
        .map_err(|why| strange(why.to_string()))?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| unreachable(chain(&error)))?;
    let answer = client
        .get(url)
        .header(http::header::AUTHORIZATION, bot_authorization(&settings.token))
        .send()
        .await
        .map_err(|error| unreachable(chain(&error.without_url())))?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| unreachable(chain(&error.without_url())))?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| strange(error.to_string()));
    }
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said = serde_json::from_slice::<Said>(&body).map(|said| said.message).unwrap_or_default();
    let why = format!("{} {said}", status.as_u16());
    match status.as_u16() {
        401 => Err(PreflightError::BadToken),
        429 | 500.. => Err(unreachable(why)),
        _ => Err(strange(why)),
    }
}
