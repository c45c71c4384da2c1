//! Strict validation of everything the bot sends, rule by rule as documented. Pure: JSON in,
//! findings out. The REST rooms call it before anything is changed.

mod callback;
mod command;
mod component;
mod embed;
mod message;
mod modal;
mod shape;

pub(crate) use callback::{Source, callback};
pub(crate) use command::{Registered, bulk, command};
pub(crate) use message::{Body, message};
pub(crate) use shape::{Kind, object, one, opt, req};

/// Flag of a message only its addressee sees.
pub(crate) const EPHEMERAL: u64 = 1 << 6;
/// Flag of a deferred response that is still being worked on.
pub(crate) const LOADING: u64 = 1 << 7;
/// Flag that switches a message to Components V2; it cannot be taken away again.
pub(crate) const COMPONENTS_V2: u64 = 1 << 15;
