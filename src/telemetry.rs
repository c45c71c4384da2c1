//! Logs: to standard error, for people or as JSON, with every known secret painted over.
//!
//! Two nets against leaks: crates that print raw frames and headers stay at `info` whatever the filter says, and the
//! writer replaces each secret it was told about, in the spellings a library might use. Called by `cli` once.

use std::io::{self, Write};
use std::sync::{Arc, RwLock};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{DEFAULT_FILTER, Format, Log, MASK};
use crate::discord::LOG_CEILING;
use crate::logfile::LogFile;

/// Crates that print payloads, headers or key material below `info`; [`LOG_CEILING`] holds those on Discord's side.
const RAW: &[&str] = &[
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "russh",
    "rustls",
    "sqlx",
    "tower",
    "tokio_rustls",
    "mio",
];

/// Secrets shorter than this are not painted over: they would hit ordinary words.
const SECRET_MIN: usize = 8;

/// Secrets that must never be printed. Clones share one list; secrets are added as the configuration is read.
#[derive(Clone, Default)]
pub struct Secrets(Arc<RwLock<Vec<String>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// Adds a secret in every spelling a library might print: plain, percent-encoded, base64, hexadecimal.
    pub fn add(&self, secret: &str) {
        if secret.len() < SECRET_MIN {
            return;
        }
        let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let mut list = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for text in [secret.to_owned(), percent, base64(secret.as_bytes()), hex.to_uppercase(), hex]
        {
            if !list.contains(&text) {
                list.push(text);
            }
        }
        // Longest first, so that a secret that holds another one is painted over as a whole.
        list.sort_by_key(|s| std::cmp::Reverse(s.len()));
    }

    /// `text` without them; `None` when there was none in it.
    pub fn paint(&self, text: &[u8]) -> Option<Vec<u8>> {
        let list = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let text = std::str::from_utf8(text).ok()?;
        if !list.iter().any(|s| text.contains(s.as_str())) {
            return None;
        }
        let mut out = text.to_owned();
        for secret in list.iter() {
            out = out.replace(secret.as_str(), MASK);
        }
        Some(out.into_bytes())
    }
}

/// Base64 without padding: what stands before the padding is the same in every alphabet-compatible form.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n =
            chunk.iter().fold(0_u32, |n, b| (n << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            out.push(char::from(DIGITS[(n >> (18 - 6 * i)) as usize & 63]));
        }
    }
    out
}

/// Writes log lines through [`Secrets`].
#[derive(Debug, Clone)]
struct Painted<W> {
    secrets: Secrets,
    to: W,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Painted<W> {
    type Writer = PaintedWriter<W::Writer>;
    fn make_writer(&'a self) -> Self::Writer {
        PaintedWriter { secrets: self.secrets.clone(), to: self.to.make_writer() }
    }
}

/// Gets one whole log line a call: that is how `tracing_subscriber` writes.
struct PaintedWriter<W> {
    secrets: Secrets,
    to: W,
}

impl<W: Write> Write for PaintedWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.secrets.paint(line) {
            Some(painted) => self.to.write_all(&painted)?,
            None => self.to.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Starts logging. `RUST_LOG` goes before `log.filter`. A second call in one process changes nothing.
pub fn start(log: &Log, secrets: &Secrets) {
    let Some(path) = &log.file else { return start_to(log, secrets, io::stderr) };
    match LogFile::open(path, u64::from(log.rotate_mb) * 1_000_000, log.keep) {
        Ok(file) => start_to(log, secrets, file),
        Err(error) => {
            start_to(log, secrets, io::stderr);
            tracing::error!(path = %path.display(), %error, "the log's file cannot be written; logging to standard error alone");
        }
    }
}

/// The same to another place; for tests that read what was logged.
pub fn start_to<W>(log: &Log, secrets: &Secrets, to: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&log.filter))
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let ceiling = Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_targets(RAW.iter().map(|name| (*name, LevelFilter::INFO)))
        .with_targets(LOG_CEILING.iter().copied());
    let writer = Painted { secrets: secrets.clone(), to };
    let registry = tracing_subscriber::registry().with(ceiling);
    let colours = log.file.is_none() && std::io::IsTerminal::is_terminal(&io::stderr());
    let done = match log.format {
        Format::Human => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(colours)
                    .with_writer(writer)
                    .with_filter(filter),
            )
            .try_init(),
        Format::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(writer)
                    .with_filter(filter),
            )
            .try_init(),
    };
    if done.is_err() {
        tracing::debug!("logging was started before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_painted_over_in_every_spelling() {
        let secrets = Secrets::default();
        secrets.add("canary/secret+1");
        for spelling in [
            "canary/secret+1",
            "canary%2Fsecret%2B1",
            "Y2FuYXJ5L3NlY3JldCsx",
            "63616e6172792f7365637265742b31",
        ] {
            let line = format!("token is {spelling} here");
            let painted = String::from_utf8(secrets.paint(line.as_bytes()).unwrap()).unwrap();
            assert!(!painted.contains(spelling), "{painted}");
            assert!(painted.contains(MASK));
        }
        assert_eq!(secrets.paint(b"nothing here"), None);
        assert!(!format!("{secrets:?}").contains("canary"));
    }

    #[test]
    fn base64_is_the_usual_one_without_padding() {
        for (text, want) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")]
        {
            assert_eq!(base64(text.as_bytes()), want);
        }
    }
}
