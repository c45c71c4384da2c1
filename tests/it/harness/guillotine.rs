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
    /// The point at which it falls about every second time, and the state of what decides.
    again: Mutex<Option<(&'static str, u64)>>,
    /// What is done at a point without stopping there, and how often still.
    aside: Mutex<Option<(&'static str, u32, Aside)>>,
    fallen: Notify,
}

/// Something done while an operation passes a point.
type Aside = Box<dyn Fn() + Send>;

impl Guillotine {
    /// The next operation to come to `point` in `step` goes no further.
    pub fn set(&self, point: &'static str, step: usize) {
        *self.set.lock().unwrap() = Some((point, step));
    }

    /// Whatever comes to `point` goes no further about every second time, in an order that `seed` decides and that no
    /// rhythm of the bot's can stay in step with: what is tried again gets through.
    pub fn set_again(&self, point: &'static str, seed: u64) {
        *self.again.lock().unwrap() = Some((point, seed));
    }

    /// The next `times` that something comes to `point`, `does` is done, and it goes on.
    pub fn meanwhile(&self, point: &'static str, times: u32, does: impl Fn() + Send + 'static) {
        *self.aside.lock().unwrap() = Some((point, times, Box::new(does)));
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
        if let Some((at, left, does)) = &mut *self.aside.lock().unwrap()
            && *at == point
            && *left > 0
        {
            *left -= 1;
            does();
        }
        let again = match &mut *self.again.lock().unwrap() {
            Some((at, state)) if *at == point => {
                // Knuth's MMIX generator; its high bits are good enough for this.
                *state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                *state >> 63 == 1
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
