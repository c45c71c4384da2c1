//! Files that people attached, as they come from Discord's own store: in pieces, never whole in memory. The process
//! implements it, because it knows Discord; an operation asks for the file when it hands it on to a node.

use futures::future::BoxFuture;

pub use gantry_proxmox::Pieces;

/// Where attached files come from.
pub trait Attachments: Send + Sync {
    /// Opens the file at an address that Discord gave. Only Discord's own file hosts are ever asked, no redirect is
    /// followed, and a source that falls silent ends.
    ///
    /// The error is a sentence for people, without the full stop and without the address: that is signed.
    fn open(&self, url: String) -> BoxFuture<'_, Result<Pieces, String>>;
}
