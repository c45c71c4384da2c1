//! Reads everything that is logged during the whole test run, at TRACE, and remembers the first line that holds a
//! secret. `Bot::close` fails when there is one.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use tracing_subscriber::fmt::MakeWriter;

/// Secrets of this test run in every form they could leak in.
static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Finds any of them in one walk over a line: there are hundreds, and millions of lines.
static FINDER: RwLock<Option<Arc<AhoCorasick>>> = RwLock::new(None);
/// The first lines that held one, cut.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Bytes looked at, so that a test can tell that logging was on.
static SEEN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Switches logging on for the whole process, once.
pub fn install() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let show = std::env::var("GANTRY_TEST_LOG").is_ok();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(Canary { show })
            .finish();
        let _ = tracing::subscriber::set_global_default(subscriber);
    });
}

/// From now on no line may hold `secret`, plain, percent-encoded or in base64.
pub fn watch_for(secret: &str) {
    let encoded: String =
        secret
            .bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() {
                    (b as char).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect();
    let mut secrets = SECRETS.lock().unwrap();
    let before = secrets.len();
    for form in [secret.to_owned(), encoded, base64(secret.as_bytes())] {
        if !secrets.contains(&form) {
            secrets.push(form);
        }
    }
    if secrets.len() > before {
        let finder = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(secrets.iter())
            .unwrap();
        *FINDER.write().unwrap() = Some(Arc::new(finder));
    }
}

/// Fails when a secret was logged.
pub fn check() {
    let found = FOUND.lock().unwrap();
    assert!(found.is_empty(), "a secret was logged:\n{}", found.join("\n"));
}

/// How many bytes of log have been looked at.
pub fn seen() -> u64 {
    SEEN.load(std::sync::atomic::Ordering::Relaxed)
}

struct Canary {
    show: bool,
}

impl<'a> MakeWriter<'a> for Canary {
    type Writer = Line;
    fn make_writer(&'a self) -> Line {
        Line { bytes: Vec::new(), show: self.show }
    }
}

/// One line of log.
struct Line {
    bytes: Vec<u8>,
    show: bool,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        SEEN.fetch_add(self.bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        if self.show {
            let line = String::from_utf8_lossy(&self.bytes);
            if !line.contains("TRACE") {
                eprint!("{line}");
            }
        }
        let finder = FINDER.read().unwrap_or_else(PoisonError::into_inner).clone();
        if finder.is_some_and(|finder| finder.is_match(&self.bytes)) {
            let line = String::from_utf8_lossy(&self.bytes);
            let mut found = FOUND.lock().unwrap();
            if found.len() < 10 {
                found.push(line.chars().take(400).collect());
            }
        }
    }
}

/// Standard base64 without padding: what a leak inside a longer encoding would look like at its start.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks_exact(3)
        .flat_map(|c| {
            let n = (u32::from(c[0]) << 16) | (u32::from(c[1]) << 8) | u32::from(c[2]);
            [18, 12, 6, 0].map(|shift| LETTERS[(n >> shift) as usize & 63] as char)
        })
        .collect()
}
