//! What a long call tells while it is under way, and what it learned on the way.
//!
//! Most calls are answered at once with a task that is followed afterwards. Handing on a file and commands of the node
//! shell take long themselves: the call writes here, the walk that waits for it reads.

use std::sync::{Arc, Mutex, PoisonError};

/// Shared between a call and whoever waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    percent: Option<u8>,
    remark: Option<String>,
    fresh: bool,
    learned: Option<String>,
}

impl Meter {
    fn with<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far it is, 0 to 100.
    pub(crate) fn percent(&self, percent: u8) {
        self.with(|told| {
            told.fresh |= told.percent != Some(percent);
            told.percent = Some(percent.min(100));
        });
    }

    /// How far it is, in words.
    pub(crate) fn say(&self, remark: impl Into<String>) {
        let remark = remark.into();
        self.with(|told| {
            told.fresh |= told.remark.as_ref() != Some(&remark);
            told.remark = Some(remark);
        });
    }

    /// Something worth keeping with the step: the digest of an image.
    pub(crate) fn learn(&self, what: String) {
        self.with(|told| told.learned = Some(what));
    }

    /// What was learned.
    pub(crate) fn learned(&self) -> Option<String> {
        self.with(|told| told.learned.clone())
    }

    /// Percent and words, where there is something new since the last time.
    pub(crate) fn news(&self) -> Option<(Option<u8>, Option<String>)> {
        self.with(|told| {
            std::mem::take(&mut told.fresh).then(|| (told.percent, told.remark.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let meter = Meter::default();
        assert_eq!(meter.news(), None);
        meter.percent(5);
        assert_eq!(meter.clone().news(), Some((Some(5), None)));
        meter.percent(5);
        assert_eq!(meter.news(), None);
        meter.say("copying");
        meter.learn("sha256:ab".into());
        assert_eq!(meter.news(), Some((Some(5), Some("copying".into()))));
        assert_eq!(meter.learned(), Some("sha256:ab".into()));
    }
}
