//! From the bytes of a good answer to its typed data.

use serde::de::DeserializeOwned;

use crate::answer::envelope::Good;
use crate::classify;
use crate::error::Error;
use crate::transport::{Answer, Call};

/// Reads `data` out of a good answer; null is handed to the type, which may know what it means.
pub(crate) fn decode<T: DeserializeOwned>(
    call: &Call,
    answer: &Answer,
    secret: &str,
) -> Result<T, Error> {
    decode_with_total(call, answer, secret).map(|(data, _)| data)
}

/// The same with `changes`, which stands beside `data` where a node's network has pending changes.
pub(crate) fn decode_with_changes<T: DeserializeOwned>(
    call: &Call,
    answer: &Answer,
    secret: &str,
) -> Result<(T, Option<String>), Error> {
    let good: Good<serde::de::IgnoredAny> =
        serde_json::from_slice(&answer.body).map_err(|e| Error::Decode {
            what: call.what(),
            why: classify::clean(&e.to_string(), secret),
            write: call.is_write(),
        })?;
    let changes = good.changes.map(|text| classify::clean_lines(&text, secret));
    Ok((decode(call, answer, secret)?, changes))
}

/// The same with `total`, which stands beside `data` in paged lists.
pub(crate) fn decode_with_total<T: DeserializeOwned>(
    call: &Call,
    answer: &Answer,
    secret: &str,
) -> Result<(T, Option<u64>), Error> {
    let bad = |e: serde_json::Error| Error::Decode {
        what: call.what(),
        why: classify::clean(&e.to_string(), secret),
        write: call.is_write(),
    };
    let good: Good<T> = serde_json::from_slice(&answer.body).map_err(bad)?;
    match good.data {
        Some(data) => Ok((data, good.total)),
        None => Ok((serde_json::from_str("null").map_err(bad)?, good.total)),
    }
}
