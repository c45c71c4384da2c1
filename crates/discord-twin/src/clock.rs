//! The twin's time: the machine's clock plus an offset that tests move forward.
//! Every limit that Discord measures (3 s, 15 min, rate-limit windows) is measured with it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// Wall clock with an offset; it never runs backwards on purpose.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// Milliseconds since the Unix epoch, as Discord would see them.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = Utc::now().timestamp_millis() + self.offset_ms.load(Ordering::SeqCst);
        u64::try_from(now).unwrap_or(0)
    }

    /// Moves time forward.
    pub(crate) fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Discord's timestamp form: ISO 8601 with microseconds and a numeric zone.
pub(crate) fn timestamp(ms: u64) -> String {
    let at = DateTime::<Utc>::from_timestamp_millis(i64::try_from(ms).unwrap_or(0));
    at.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, false)
}
