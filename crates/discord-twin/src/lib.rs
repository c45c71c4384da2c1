//! A simulated Discord on one loopback port: gateway, REST v10, a control API through which
//! people and tests act as chosen members, and a page that looks like the client.
//!
//! It imports nothing of the bot it serves and nothing of any Discord library, so that it can
//! share no mistake with them. Rules come from Discord's public documentation; what is stricter
//! or looser here is listed in this crate's README.

#![recursion_limit = "256"]

mod answer;
mod check;
mod clock;
mod control;
mod fault;
mod gateway;
mod interact;
mod limit;
mod message;
mod options;
mod page;
pub mod permission;
mod render;
mod rest;
mod route;
mod server;
mod slash;
mod snowflake;
mod state;
mod trouble;
mod twin;
pub mod world;

#[cfg(feature = "contract")]
pub mod contract;

pub use answer::{Answer, Outcome, Refused, text_of};
pub use gateway::GatewayEvent;
pub use interact::Completion;
pub use options::{Options, SessionStartLimit};
pub use snowflake::DISCORD_EPOCH_MS;
pub use state::LogEntry;
pub use trouble::{Active, Trouble};
pub use twin::{Error, Twin, Where, Who};
pub use world::World;
