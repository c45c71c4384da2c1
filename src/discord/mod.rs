//! Everything between gantry and Discord: one REST front that all calls go through, one gateway
//! runner that all events come from, and the checks made before either is trusted with the token.
//!
//! Invariant: the bot token is only ever sent to the configured API host and to a gateway host that
//! [`mod@preflight`] has checked; serenity itself is only ever pointed at loopback.

mod buckets;
mod dial;
mod end;
mod file;
mod forward;
pub mod front;
pub mod gateway;
mod identify;
mod local;
pub mod preflight;
mod route;
mod session;
mod short;
mod status;
mod strange;
mod within;

#[cfg(test)]
mod tests;

pub use end::GatewayEnd;
pub(crate) use file::Files;
pub use front::{Front, FrontError, FrontSettings, FrontStats};
pub use gateway::{GatewaySettings, ShardReady, Shards, run};
pub use identify::CountIdentify;
pub use preflight::{Preflight, PreflightError, PreflightSettings, preflight, preflight_patiently};
pub use status::{GatewayStatus, ShardLine, Stage};

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, Secret};
use serenity::builder::CreateAllowedMentions;
use serenity::http::{Http, HttpBuilder};
use url::Url;

/// Log targets that print secrets of their own accord, with the highest level that is safe.
///
/// serenity 0.12.5 puts whole requests (interaction tokens, bodies) into span fields at INFO, and
/// whole gateway payloads into warnings; tungstenite prints frames, the identify with the bot token
/// among them, at TRACE. The subscriber must apply these after, and above, whatever the operator
/// asked for.
pub const LOG_CEILING: &[(&str, tracing::level_filters::LevelFilter)] = &[
    ("serenity", tracing::level_filters::LevelFilter::OFF),
    ("tungstenite", tracing::level_filters::LevelFilter::INFO),
    ("tokio_tungstenite", tracing::level_filters::LevelFilter::INFO),
];

/// What serenity allows one REST call to take. It must exceed every deadline of the front, so that
/// it is always the front that decides and says why.
const SERENITY_TIMEOUT: Duration = Duration::from_secs(150);

/// A serenity HTTP client whose every call goes to the front at `front_url`. Mentions are off unless
/// a message asks for them.
///
/// # Errors
/// When the underlying HTTP client cannot be built.
pub fn http(front_url: &Url, token: &Secret<String>) -> Result<Http, reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(3))
        .timeout(SERENITY_TIMEOUT)
        .build()?;
    Ok(HttpBuilder::new(token.expose_secret())
        .client(client)
        .proxy(front_url.as_str().trim_end_matches('/'))
        .ratelimiter_disabled(true) // serenity ignores the proxy while its own limiter is on
        .default_allowed_mentions(CreateAllowedMentions::new())
        .build())
}

/// The `Authorization` value of a bot token, whether or not it was configured with its prefix.
fn bot_authorization(token: &Secret<String>) -> String {
    let token = token.expose_secret().trim();
    if token.starts_with("Bot ") { token.to_owned() } else { format!("Bot {token}") }
}

/// Compares two secrets in time that depends on their lengths only.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0_u8, |all, (x, y)| all | (x ^ y)) == 0
}

/// Locks even when a holder panicked: every state kept here is valid after each single assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number in `0.0..1.0` for spreading retries out; not fit for secrets.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}
