//! Stops an operation for good at a chosen point, which is what a crash looks like from outside.

use std::sync::Mutex;

use futures::future::BoxFuture;
use gantry_core::id::OperationId;
use gantry_engine::Witness;
use tokio::sync::Notify;

/// A witness that lets everything pass until it is set.
#[derive(Default)]
pub struct Guillotine {
    set: Mutex<Option<(&'static str, usize)>>,
    /// The point at which it falls every second time, and whether it does the next time.
    again: Mutex<Option<(&'static str, bool)>>,
    fallen: Notify,
}

impl Guillotine {
    /// The next operation to come to `point` in `step` goes no further.
    pub fn set(&self, point: &'static str, step: usize) {
        *self.set.lock().unwrap() = Some((point, step));
    }

    /// Whatever comes to `point` goes no further every second time: what is tried again gets through. `first` says
    /// whether it falls the first time.
    pub fn set_again(&self, point: &'static str, first: bool) {
        *self.again.lock().unwrap() = Some((point, first));
    }

    /// Waits until it has fallen; false when it did not within `within`.
    pub async fn has_fallen(&self, within: std::time::Duration) -> bool {
        tokio::time::timeout(within, self.fallen.notified()).await.is_ok()
    }

    /// Lets everything pass again.
    pub fn lift(&self) {
        *self.set.lock().unwrap() = None;
        *self.again.lock().unwrap() = None;
    }
}

impl Witness for Guillotine {
    fn at<'a>(
        &'a self,
        point: &'static str,
        step: usize,
        _operation: &'a OperationId,
    ) -> BoxFuture<'a, ()> {
        let again = match &mut *self.again.lock().unwrap() {
            Some((at, falls)) if *at == point => {
                *falls = !*falls;
                !*falls
            }
            _ => false,
        };
        let falls = again || {
            let mut set = self.set.lock().unwrap();
            let falls = *set == Some((point, step));
            if falls {
                *set = None;
            }
            falls
        };
        if falls {
            self.fallen.notify_one();
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(()))
    }
}
