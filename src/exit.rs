//! The exit codes of the program: service managers and scripts decide by them. `gantry --help` lists them.

/// Everything went well.
pub const OK: u8 = 0;
/// Something checked by `doctor` is not in order, or something failed that no other code names.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong; trying again changes nothing.
pub const USAGE: u8 = 2;
/// The database cannot be used: out of reach, in use by another gantry, or not migrated.
pub const DATABASE: u8 = 3;
/// A part of gantry ended that must not; start it again.
pub const BROKEN: u8 = 5;
/// The first of Discord's own codes, 20 to 29; see [`crate::discord::GatewayEnd::exit_code`].
pub const DISCORD: u8 = 20;
