//! The twin tried from outside with plain clients: every promise of its README has a test here.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod contract;
mod control;
mod forms;
mod gateway;
mod harness;
mod interactions;
mod messages;
mod rest;
