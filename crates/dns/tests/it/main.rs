//! Headless services at real name servers: PowerDNS, BIND and Knot, started on loopback ports and read back with dig.
//!
//! Without their packages the tests say so and pass; with `GANTRY_REQUIRE_DNS` set they fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod daemon;
mod lab;
mod life;
mod line;
mod trouble;
mod twin;
