//! The store, on both databases: every test of `both!` runs once on a fresh SQLite file and once on a fresh
//! PostgreSQL database.

#![expect(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod harness;

mod alerts;
mod audit;
mod cards;
mod health;
mod hooks;
mod images;
mod leases;
mod memory;
mod migrations;
mod networks;
mod plans;
mod secrets;
mod sets;
mod trouble;
