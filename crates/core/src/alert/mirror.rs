//! A silence at Alertmanager that stands for one of gantry's: exactly the alerts that somebody silenced, until then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metric, Muting, Phase, Tracked, plain};
use crate::id::MuteId;

/// Most silences made for one of gantry's. What is more is silenced here alone, which people are told.
pub const MIRRORS_MAX: usize = 50;

/// One silence there: one alert, by all its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// What it is known by; stands in its comment there.
    pub id: String,
    /// The silence it stands for.
    pub mute: MuteId,
    /// The hook the alert came through.
    pub hook: String,
    /// The alert's labels, all of them.
    pub labels: BTreeMap<String, String>,
    /// From when, milliseconds.
    pub from_ms: i64,
    /// Until when, milliseconds.
    pub until_ms: i64,
    /// Who silenced it.
    pub by: String,
    /// What stands there as comment.
    pub comment: String,
}

/// The silences that stand for `mute`; `hooks` are those whose Alertmanager can be told.
pub fn mirrors(mute: &Muting, alerts: &[Tracked], hooks: &[String]) -> Vec<Mirror> {
    let told = alerts
        .iter()
        .filter(|t| t.phase == Phase::Firing && t.metric == Metric::Told)
        .filter(|t| mute.subjects.contains(&t.subject.key()))
        .filter_map(|t| t.told.as_deref())
        .filter(|told| hooks.contains(&told.hook) && !told.labels.is_empty());
    told.take(MIRRORS_MAX)
        .enumerate()
        .map(|(n, told)| {
            let id = format!("{}-{n}", mute.id);
            Mirror {
                mute: mute.id.clone(),
                hook: told.hook.clone(),
                labels: told.labels.clone(),
                from_ms: mute.from_ms,
                until_ms: mute.until_ms,
                by: plain(&mute.by_name, 60),
                comment: format!("{} [gantry {id}]", plain(&mute.words(), 200)),
                id,
            }
        })
        .collect()
}
