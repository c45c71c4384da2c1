//! The way of an interaction's answers to Discord: straight into the REST front of this process, which owns limits,
//! deadlines and repeats. A socket of our own in between would cost a quarter of an acknowledgement's CPU.
//! Implemented by the process, held by the face, used by the desk.

use futures::future::BoxFuture;

/// How a call writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Something new.
    Post,
    /// A change.
    Patch,
    /// Something is taken away; without a body.
    Delete,
}

/// Sends one JSON call and returns the body of the answer.
///
/// The error is serenity's own, with Discord's code and text where Discord answered, so that it reads the same
/// whichever way a call took. It never holds the path: that has an interaction's token in it.
pub trait Wire: Send + Sync {
    /// `path` begins behind the API's version, e.g. `interactions/1/token/callback`.
    fn send(
        &self,
        method: Method,
        path: String,
        json: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, serenity::Error>>;

    /// Fetches a file that somebody attached, at most `limit` bytes of it. Only from Discord's own file hosts.
    ///
    /// The error is a sentence for people, without the full stop.
    fn fetch(&self, url: String, limit: usize) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}
