//! Somebody who is told before and after every step of an operation that matters for crash safety.
//!
//! Production writes a trace event. A test can stop there for good, which is what a crash looks like from
//! outside, or make the moment last.

use futures::future::BoxFuture;
use gantry_core::id::OperationId;

/// The points, in the order an operation passes them. One step passes those up to `after verify`.
pub const POINTS: &[&str] = &[
    "before look",
    "after look",
    "before intent",
    "after intent",
    "before call",
    "after call",
    "before upid",
    "after upid",
    "before poll",
    "after poll",
    "before verify",
    "after verify",
    "before end",
    "after end",
];

/// Told at each of `POINTS`; the operation goes on when the future is ready.
pub trait Witness: Send + Sync {
    /// `operation` has come to `point` in step `step` (counted from 0).
    fn at<'a>(
        &'a self,
        point: &'static str,
        step: usize,
        operation: &'a OperationId,
    ) -> BoxFuture<'a, ()>;
}

/// Writes a trace event.
#[derive(Debug, Default)]
pub struct Tracer;

impl Witness for Tracer {
    fn at<'a>(
        &'a self,
        point: &'static str,
        step: usize,
        operation: &'a OperationId,
    ) -> BoxFuture<'a, ()> {
        tracing::trace!(%operation, step, point, "operation point");
        Box::pin(std::future::ready(()))
    }
}
