//! Every error becomes a `Fault` here, and nowhere else: what · why and what is true now · what to do · ref.
//! The log line with the whole cause is written once, at the place that shows the fault.

use gantry_engine::Error;
use gantry_engine::store::StoreError;

/// What a person is told when something went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What could not be done: `Could not delete web-0`.
    pub what: String,
    /// Why, and what is true now.
    pub why_and_now: String,
    /// What to do.
    pub next: String,
    /// What to search the log for.
    pub reference: String,
}

impl Fault {
    /// A fault with these four parts.
    pub fn new(
        what: impl Into<String>,
        why_and_now: impl Into<String>,
        next: impl Into<String>,
        reference: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            why_and_now: why_and_now.into(),
            next: next.into(),
            reference: reference.into(),
        }
    }

    /// From an error of the engine.
    pub fn of_engine(error: &Error, reference: &str) -> Self {
        let parts = error.parts();
        Self::new(parts.what, parts.why, parts.next, reference)
    }

    /// From an error of the store; `what` names what was wanted.
    pub fn of_store(error: &StoreError, what: &str, reference: &str) -> Self {
        let next = if error.is_busy() {
            "Try again in a few seconds."
        } else if error.is_full() {
            "Free space where gantry keeps its database, then try again."
        } else {
            "Try again; if it stays so, whoever runs gantry can look with `gantry doctor`."
        };
        Self::new(what, format!("{error}. Nothing was changed"), next, reference)
    }

    /// From a failing call to Discord; nothing to show it on may be left.
    pub fn of_discord(error: &serenity::Error, reference: &str) -> Self {
        Self::new(
            "Discord did not take the answer",
            crate::desk::words_of(error),
            "Look at the channel: what was started goes on by itself. `/op list` shows it.",
            reference,
        )
    }

    /// A mistake of ours.
    pub fn of_us(what: &str, reference: &str) -> Self {
        Self::new(
            what,
            "gantry made a mistake of its own; it is in the log. An operation that runs goes on by itself",
            "Try again. If it happens again, report it with the ref below.",
            reference,
        )
    }
}
