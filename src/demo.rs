//! The demo: the real bot between a simulated Discord and a simulated cluster, in one process.
//!
//! Only this room knows the twins; `gantry run` never comes here. Called by `cli`.

/// The page's port when it is free.
pub const PORT: u16 = 8787;
