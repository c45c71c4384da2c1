//! The client against servers that misbehave in every way that was measured or feared.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod answers;
mod attacker;
mod connections;
mod errors;
mod forms;
mod images;
mod network;
mod once;
mod server;
mod sharing;
mod tls;
mod trouble;
mod twin;
