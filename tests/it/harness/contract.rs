//! Holds every request of the whole test run against Discord's official OpenAPI document.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use discord_twin::LogEntry;
use discord_twin::contract::Checker;

/// Where the official documents are looked for.
const PLACE: &str = "GANTRY_CONTRACTS";

/// Fails when a request the bot made is not what Discord documents. Says loudly when there is no document.
pub fn check(log: &[LogEntry]) {
    static CHECKER: OnceLock<Option<Mutex<Checker>>> = OnceLock::new();
    let checker = CHECKER.get_or_init(|| {
        let folder = std::env::var_os(PLACE).map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/contracts"),
            PathBuf::from,
        );
        let path = folder.join("discord-openapi.json");
        if !path.exists() {
            eprintln!("\n*** SKIPPED: {} is not there, so requests are NOT held against it. Set {PLACE}. ***\n", path.display());
            return None;
        }
        Some(Mutex::new(Checker::load(&path).unwrap()))
    });
    let Some(checker) = checker else { return };
    let checker = checker.lock().unwrap();
    let wrong: Vec<String> = log
        .iter()
        // Requests that a twin was told to refuse or lose are checked as well: they were sent.
        .flat_map(|entry| checker.check(entry))
        .map(|violation| violation.to_string())
        .collect();
    assert!(wrong.is_empty(), "requests that Discord does not document:\n{}", wrong.join("\n"));
}
