//! Who may: one secret for each door, compared in constant time, and addresses that keep guessing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, Secret};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// Where a sender that cannot set `Authorization` puts the secret.
const OWN_HEADER: &str = "x-gantry-token";
/// Wrong secrets from one address within [`WINDOW`]; then it is told to wait.
const WRONG_MAX: u32 = 10;
/// That time.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered; more than that at once are an attack of many, whom this does not stop anyway.
const ADDRESSES_MAX: usize = 1024;

/// The digest of a secret: of one length whatever the secret is, and of no use to whoever reads memory.
#[derive(Clone)]
pub(crate) struct Lock([u8; 32]);

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock(..)")
    }
}

impl Lock {
    pub(crate) fn new(secret: &Secret<String>) -> Self {
        Self(Sha256::digest(secret.expose_secret().as_bytes()).into())
    }

    /// A lock that nothing opens.
    pub(crate) fn closed() -> Self {
        Self([0; 32])
    }

    /// Whether the request carries the secret. Takes as long whatever it carries.
    pub(crate) fn opens_for(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| {
            let (scheme, secret) = v.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
        });
        let own = headers.get(OWN_HEADER).and_then(|v| v.to_str().ok()).map(str::trim);
        let offered: [u8; 32] =
            Sha256::digest(bearer.or(own).unwrap_or_default().as_bytes()).into();
        let differing = offered.iter().zip(&self.0).fold(0_u8, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

/// Addresses that brought wrong secrets.
#[derive(Debug, Default)]
pub(crate) struct Guesses(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Guesses {
    /// Notes a wrong secret. `true`: too many lately. A right one always opens: behind a proxy many share an address.
    pub(crate) fn wrong(&self, from: IpAddr) -> bool {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&from) {
            all.retain(|_, (since, _)| now - *since < WINDOW);
            if all.len() >= ADDRESSES_MAX {
                return true;
            }
        }
        let (since, count) = all.entry(from).or_insert((now, 0));
        if now - *since >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        if *count == 1 {
            tracing::warn!(%from, "somebody brought a wrong secret to the HTTP side");
        }
        *count > WRONG_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        [(http::HeaderName::from_static(name), value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn only_the_secret_opens() {
        let lock = Lock::new(&Secret::new("right-and-long-enough".to_owned()));
        assert!(lock.opens_for(&with("authorization", "Bearer right-and-long-enough")));
        assert!(lock.opens_for(&with("authorization", "bearer  right-and-long-enough ")));
        assert!(lock.opens_for(&with("x-gantry-token", "right-and-long-enough")));
        for wrong in
            ["Bearer", "Bearer ", "Bearer right-and-long-enougH", "Basic right-and-long-enough"]
        {
            assert!(!lock.opens_for(&with("authorization", wrong)), "{wrong}");
        }
        assert!(!lock.opens_for(&HeaderMap::new()));
        for offered in ["", "x"] {
            assert!(!Lock::closed().opens_for(&with("x-gantry-token", offered)));
        }
        assert!(!format!("{lock:?}").contains("right"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_guessing_is_told_to_wait() {
        let guesses = Guesses::default();
        let from = IpAddr::from([10, 0, 0, 1]);
        assert!((0..WRONG_MAX).all(|_| !guesses.wrong(from)));
        assert!(guesses.wrong(from));
        assert!(!guesses.wrong(IpAddr::from([10, 0, 0, 2])));
        tokio::time::advance(WINDOW).await;
        assert!(!guesses.wrong(from));
    }
}
