//! How text becomes websocket frames: plain, one zlib stream per connection (`zlib-stream`), or
//! one zlib document per payload (`identify.compress`).

use axum::extract::ws::Message;
use flate2::{Compress, Compression, FlushCompress};

/// Payloads shorter than this stay plain under `identify.compress`, as Discord does.
const PER_PAYLOAD_FROM: usize = 1024;

/// The outgoing encoding of one connection.
pub(super) struct Wire {
    stream: Option<Compress>,
    pub(super) per_payload: bool,
}

impl Wire {
    pub(super) fn new(zlib_stream: bool) -> Self {
        let stream = zlib_stream.then(|| Compress::new(Compression::default(), true));
        Self { stream, per_payload: false }
    }

    pub(super) fn encode(&mut self, text: String) -> Message {
        if let Some(stream) = &mut self.stream {
            return Message::Binary(deflate(stream, text.as_bytes(), FlushCompress::Sync).into());
        }
        if self.per_payload && text.len() >= PER_PAYLOAD_FROM {
            let mut whole = Compress::new(Compression::default(), true);
            return Message::Binary(
                deflate(&mut whole, text.as_bytes(), FlushCompress::Finish).into(),
            );
        }
        Message::Text(text.into())
    }
}

/// Compresses all of `input` and flushes.
fn deflate(stream: &mut Compress, mut input: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len() / 2 + 128);
    loop {
        let before = stream.total_in();
        if stream.compress_vec(input, &mut output, flush).is_err() {
            return output;
        }
        let taken = usize::try_from(stream.total_in() - before).unwrap_or(input.len());
        input = input.get(taken..).unwrap_or_default();
        // Spare room means that everything, the flush marker included, has been written.
        if input.is_empty() && output.len() < output.capacity() {
            return output;
        }
        output.reserve(output.capacity().max(256));
    }
}
