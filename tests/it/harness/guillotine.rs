//! Stops an operation for good at a chosen point, which is what a crash looks like from outside.

use std::sync::Mutex;

use futures::future::BoxFuture;
use gantry_core::id::OperationId;
use gantry_core::operation::Operation;
use gantry_engine::store::OpFilter;
use gantry_engine::{POINTS, Witness};
use tokio::sync::Notify;

use super::{Bot, PATIENCE, until};

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
    /// The next operation to come to `point` in `step` goes no further. The ends are those of the whole operation.
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

    /// Waits until it has fallen; false when `over` comes first.
    pub async fn falls_before(&self, over: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = self.fallen.notified() => true,
            () = over => false,
        }
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
            let falls = set.is_some_and(|(at, n)| at == point && (n == step || is_end(at)));
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

/// Passed once, when the whole operation ends.
fn is_end(point: &str) -> bool {
    point.ends_with(" end")
}

/// Every point that an operation of so many steps can pass, with its step.
pub fn points(steps: usize) -> impl Iterator<Item = (usize, &'static str)> {
    let every = (0..steps).flat_map(|step| POINTS.iter().map(move |point| (step, *point)));
    let ends = POINTS.iter().map(move |point| (steps, *point)).filter(|(_, point)| is_end(point));
    every.filter(|(_, point)| !is_end(point)).chain(ends)
}

/// Those of them before which something happened that a kill leaves behind, or could have.
pub fn moments(steps: usize) -> impl Iterator<Item = (usize, &'static str)> {
    points(steps).filter(|(_, point)| point.starts_with("after ") || *point == POINTS[0])
}

impl Bot {
    /// Kills the process when what `begin` begins comes to `point` of `step`, and starts it again; false when it ended
    /// without passing there. What `begin` gave comes back as well.
    pub async fn dies_at<T>(
        &mut self,
        point: &'static str,
        step: usize,
        begin: impl AsyncFnOnce(&Self) -> T,
    ) -> (bool, T) {
        let before = self.newest().await.map(|op| op.id);
        self.guillotine.set(point, step);
        let begun = begin(self).await;
        let over = async {
            if is_end(point) {
                // Written down before it is passed.
                tokio::time::sleep(PATIENCE).await;
                return;
            }
            let mut lapsed = false;
            until("something was begun and is over", async || {
                let Some(op) = self.newest().await else { return false };
                self.lets_keep_lapse(&op, &mut lapsed);
                Some(&op.id) != before.as_ref() && op.state.is_terminal()
            })
            .await;
        };
        let dies = self.guillotine.falls_before(over).await;
        if dies {
            self.restart().await;
        }
        self.guillotine.lift();
        (dies, begun)
    }

    /// The operation that was begun last.
    pub async fn newest(&self) -> Option<Operation> {
        let page = self.engine().operations(&OpFilter::default(), 0, 1).await.ok()?;
        page.rows.into_iter().next()
    }
}
