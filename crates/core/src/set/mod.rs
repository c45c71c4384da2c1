//! Sets: several pods from one template, each with an identity of its own that outlives it.
//!
//! Everything here is decided from what was written down and what was seen, without a clock: the same set and the
//! same observation give the same decision. The engine observes, asks `reconcile`, and carries out what it says as
//! ordinary operations.

pub mod action;
mod decision;
mod diff;
pub mod file;
pub mod identity;
mod loss;
pub mod member;
pub mod plan;
pub mod reconcile;
pub mod seen;
pub mod spec;
pub mod state;
pub mod stray;

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod simulation;

pub use action::{Choice, SetAction, SetStep, Work};
pub use decision::{Act, Decision, Phase};
pub use diff::differences;
pub use file::SetFile;
pub use identity::Identity;
pub(crate) use identity::set_of_tag;
#[cfg(test)]
pub(crate) use identity::set_tag;
pub use loss::lost_volumes;
pub use reconcile::{STALE_MS, reconcile};
pub use seen::{Drift, Observed, Pod, Readiness, Slot};
pub use spec::{Keep, Management, SetKind, SetSpec, Update, VolumeSpec};
pub use state::{Facts, Halt, Names, Revision, Set, SetRef, SlotRecord};
pub use stray::strayed;
