//! What a caller may do after an error: the one vocabulary between clients and durable operations.
//!
//! Every client's error answers with it, so that the runner needs to know no client's details.

use std::time::Duration;

/// What a caller may do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing was carried out; the same call may be made again after this pause.
    RetryAfter(Duration),
    /// It may have been carried out: read the state and the task list, never repeat blindly.
    Probe,
    /// Repeating does not help, and nothing is known to have been carried out.
    GiveUp,
}
