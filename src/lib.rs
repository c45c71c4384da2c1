//! The process: configuration, command line, logs, and how the rooms are put together.
//!
//! `main`, the demo and every test start gantry through this crate, so that what is tested is what runs.

pub mod cli;
mod clients;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod discord;
pub mod doctor;
mod door;
pub mod exit;
mod http_side;
mod logfile;
pub mod running;
pub mod supervise;
pub mod telemetry;

pub use running::{Running, build};
