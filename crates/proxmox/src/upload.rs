//! Handing a file to a node: a form whose last part is a stream, so that no file is ever held whole.
//!
//! The form's length is known before the first byte leaves. pveproxy keeps what has come in a temporary file and
//! starts the task only once all of it is there: where the stream breaks off, Proxmox has done nothing.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use gantry_core::id::{NodeName, StorageId};
use gantry_core::image::{Checksum, Content};
use http::Method;
use reqwest::multipart::{Form as Multipart, Part};

use crate::client::Client;
use crate::error::Error;
use crate::form::Form;
use crate::path::Path;
use crate::transport::Call;
use crate::writes::Accepted;

/// Longest an upload may take, from the first byte to the answer: 500 MiB at 3.5 Mbit/s.
const UPLOAD_WITHIN: Duration = Duration::from_secs(20 * 60);

/// A file in pieces. An error is a sentence without the full stop; it ends the upload.
pub type Pieces = BoxStream<'static, Result<Bytes, String>>;

/// What is handed over.
#[derive(Debug, Clone)]
pub struct Upload<'a> {
    /// As what: ISO image, container template, disk image.
    pub content: Content,
    /// Under which name. A file of that name is overwritten by Proxmox: look before.
    pub file: &'a str,
    /// Its size, bytes; a stream of another length is broken off.
    pub bytes: u64,
    /// What it must be; Proxmox keeps nothing else.
    pub checksum: Option<&'a Checksum>,
}

/// The stream of one upload. Taken when its first byte is asked for, so that an endpoint that cannot be reached does
/// not use it up.
pub(crate) struct Feed {
    file: String,
    bytes: u64,
    pieces: Mutex<Option<Pieces>>,
    broken: Mutex<Option<String>>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// How far a stream is: the feed it belongs to, the pieces once taken, the bytes that went out.
struct Flow {
    feed: Arc<Feed>,
    pieces: Option<Pieces>,
    sent: u64,
}

impl Feed {
    fn new(file: &str, bytes: u64, pieces: Pieces) -> Arc<Self> {
        let (pieces, broken) = (Mutex::new(Some(pieces)), Mutex::new(None));
        Arc::new(Self { file: file.to_owned(), bytes, pieces, broken })
    }

    /// Why the stream broke off, where it did.
    pub(crate) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn break_off(&self, why: String) -> io::Error {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        io::Error::other("the file broke off")
    }

    fn stream(self: &Arc<Self>) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
        let begin = Flow { feed: Arc::clone(self), pieces: None, sent: 0 };
        stream::try_unfold(begin, |mut flow| async move {
            let mut pieces = match flow.pieces.take() {
                Some(pieces) => pieces,
                None => {
                    let taken =
                        flow.feed.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
                    taken.ok_or_else(|| flow.feed.break_off("it was on its way before".into()))?
                }
            };
            let (bytes, sent) = (flow.feed.bytes, flow.sent);
            match pieces.next().await {
                Some(Ok(piece)) => {
                    let sent = sent.saturating_add(piece.len() as u64);
                    if sent > bytes {
                        let why = format!("it is longer than the {bytes} bytes that were told");
                        return Err(flow.feed.break_off(why));
                    }
                    Ok(Some((piece, Flow { pieces: Some(pieces), sent, ..flow })))
                }
                Some(Err(why)) => Err(flow.feed.break_off(why)),
                None if sent < bytes => {
                    Err(flow.feed.break_off(format!("it ended after {sent} of {bytes} bytes")))
                }
                None => Ok(None),
            }
        })
    }

    /// The form: plain fields first, the file last, as pveproxy reads it.
    pub(crate) fn form(self: &Arc<Self>, fields: &Form) -> Multipart {
        let body = reqwest::Body::wrap_stream(self.stream());
        let part = Part::stream_with_length(body, self.bytes).file_name(self.file.clone());
        fields
            .pairs()
            .fold(Multipart::new(), |form, (key, value)| {
                form.text(key.to_owned(), value.to_owned())
            })
            .part("filename", part)
    }
}

impl Client {
    /// `POST …/upload`: hands a file over, piece by piece.
    ///
    /// # Errors
    /// [`Error::Broken`] when `pieces` broke off: Proxmox has kept nothing. Else see [`Error`]; a wrong checksum
    /// shows in the task.
    pub async fn upload(
        &self,
        node: &NodeName,
        storage: &StorageId,
        what: &Upload<'_>,
        pieces: Pieces,
    ) -> Result<Accepted, Error> {
        let path = Path::storage("/nodes/{node}/storage/{storage}/upload", node, storage);
        let mut call = Call::write(Method::POST, path, UPLOAD_WITHIN);
        call.body = Form::new()
            .with("content", what.content.as_str())
            .with_some("checksum-algorithm", what.checksum.map(Checksum::algorithm))
            .with_some("checksum", what.checksum.map(Checksum::hex));
        call.file = Some(Feed::new(what.file, what.bytes, pieces));
        self.accepted(call).await
    }
}
