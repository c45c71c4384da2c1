//! An attached file on its way to a node: told how far it is, and its digest learned as it passes.

use futures::StreamExt as _;
use futures::stream;
use gantry_core::image::Attachment;
use sha2::{Digest as _, Sha256};

use crate::Engine;
use crate::attachments::Pieces;
use crate::deed::CallFault;
use crate::meter::Meter;

/// What passes by: its digest and its bytes so far.
struct Passing {
    pieces: Pieces,
    sum: Sha256,
    seen: u64,
}

impl Engine {
    /// Opens an attached file; `meter` learns how far it is and, at its end, its digest.
    pub(crate) async fn open_attachment(
        &self,
        file: &Attachment,
        meter: &Meter,
    ) -> Result<Pieces, CallFault> {
        let Some(source) = &self.attachments else {
            return Err(CallFault::never_sent("this process has no way to files at Discord"));
        };
        let pieces = source.open(file.url().to_owned()).await.map_err(|why| {
            CallFault::never_sent(format!(
                "{} could not be fetched: {why}. Discord keeps an attachment's address for about a day; attach it again",
                file.file()
            ))
        })?;
        Ok(told(pieces, file.bytes(), meter.clone()))
    }
}

fn told(pieces: Pieces, bytes: u64, meter: Meter) -> Pieces {
    let passing = Passing { pieces, sum: Sha256::new(), seen: 0 };
    stream::unfold(passing, move |mut passing| {
        let meter = meter.clone();
        async move {
            let piece = passing.pieces.next().await?;
            if let Ok(piece) = &piece {
                passing.sum.update(piece);
                passing.seen = passing.seen.saturating_add(piece.len() as u64);
                let seen = passing.seen;
                let percent = seen.saturating_mul(100).checked_div(bytes).unwrap_or(100).min(100);
                meter.percent(u8::try_from(percent).unwrap_or(100));
                meter.say(format!(
                    "Handing it on: {:.1} of {:.1} MiB.",
                    seen as f64 / f64::from(1 << 20),
                    bytes as f64 / f64::from(1 << 20)
                ));
                if seen == bytes {
                    let sum = hex::encode(passing.sum.clone().finalize());
                    meter.learn(format!("sha256:{sum}"));
                }
            }
            Some((piece, passing))
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn what_passes_is_counted_and_its_digest_learned() {
        let parts = ["hello ", "iso"].map(|p| Ok(Bytes::from_static(p.as_bytes())));
        let meter = Meter::default();
        let out: Vec<_> = told(stream::iter(parts).boxed(), 9, meter.clone()).collect().await;
        assert_eq!(out.len(), 2);
        assert_eq!(meter.news().unwrap().0, Some(100));
        let sum = hex::encode(Sha256::digest(b"hello iso"));
        assert_eq!(meter.learned(), Some(format!("sha256:{sum}")));
    }

    #[tokio::test]
    async fn a_file_that_ends_early_has_no_digest() {
        let parts = vec![Ok(Bytes::from_static(b"hel")), Err("cut".to_owned())];
        let meter = Meter::default();
        let out: Vec<_> = told(stream::iter(parts).boxed(), 9, meter.clone()).collect().await;
        assert_eq!((out.len(), meter.learned()), (2, None));
    }
}
