//! Whether gantry can do its work: database, gateway, and at least one cluster. Says which part cannot.

use std::time::Duration;

use gantry_engine::Engine;

use crate::Surroundings;

/// Longest wait for the database.
const PING_WITHIN: Duration = Duration::from_secs(2);

/// Each part with whether it is ready.
pub(crate) async fn parts(engine: &Engine, discord: &Surroundings) -> Vec<(String, bool)> {
    let ping = tokio::time::timeout(PING_WITHIN, engine.store().ping()).await;
    let shards = discord.shards();
    let connected = !shards.is_empty() && shards.iter().all(|s| s.connected);
    let views = engine.views();
    let readable = |v: &gantry_core::world::ClusterView| v.observed_ms > 0 && v.fault.is_none();
    let any = views.iter().any(|v| readable(v));
    let mut parts = vec![
        ("database".to_owned(), matches!(ping, Ok(Ok(())))),
        ("gateway".to_owned(), connected),
        ("clusters".to_owned(), any),
    ];
    parts.extend(views.iter().map(|v| (format!("cluster {}", v.cluster), readable(v))));
    parts
}

/// As text, and whether all that must be is ready. One cluster of several may be away.
pub(crate) fn text(parts: &[(String, bool)]) -> (bool, String) {
    let needed = |name: &str| !name.starts_with("cluster ");
    let ready = parts.iter().all(|(name, ok)| *ok || !needed(name));
    let line = |(name, ok): &(String, bool)| {
        format!("{name}: {}\n", if *ok { "ready" } else { "not ready" })
    };
    (ready, parts.iter().map(line).collect())
}
