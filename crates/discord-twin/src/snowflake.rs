//! Snowflakes: Discord's 64-bit ids, milliseconds since 2015 in the upper 42 bits.
//! Minted ids grow strictly, so sorting by id is sorting by age.

use serde_json::Value;

/// First millisecond of 2015, the epoch of Discord's ids.
pub const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;

/// Mints ids that never repeat within one twin.
#[derive(Debug, Default)]
pub(crate) struct Mint {
    last: u64,
}

impl Mint {
    /// The next id at `now_ms` (Unix milliseconds).
    pub(crate) fn next(&mut self, now_ms: u64) -> u64 {
        let fresh = now_ms.saturating_sub(DISCORD_EPOCH_MS) << 22;
        self.last = fresh.max(self.last + 1);
        self.last
    }
}

/// Reads an id out of JSON; Discord takes strings and integers alike.
pub(crate) fn from_json(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// The shard of `shards` that hears of this guild; direct messages go to shard 0.
pub(crate) fn shard_of(guild_id: Option<u64>, shards: u64) -> u64 {
    guild_id.map_or(0, |id| (id >> 22) % shards.max(1))
}

/// Hex of `bytes` random bytes, for tokens and session ids.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    if getrandom::fill(&mut buffer).is_err() {
        // Uniqueness is all that is needed; the address of a fresh allocation and the clock give it.
        let seed = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default().to_be_bytes();
        for (slot, byte) in buffer.iter_mut().zip(seed.iter().cycle()) {
            *slot = *byte;
        }
    }
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}
