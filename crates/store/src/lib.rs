//! The only place with SQL: plans, operations, cards, audit and gantry's other memory, on SQLite or
//! PostgreSQL, with the same texts on both.
//!
//! Invariants: a state never moves without the audit row that belongs to it; a plan starts at most one
//! operation; an operation is written only by the holder of its newest lease; time is always an argument.

mod address;
mod ahead;
mod alerts;
mod audit;
mod boards;
mod cards;
mod dialect;
mod error;
mod figures;
mod forwards;
mod health;
mod hooks;
mod images;
mod incident_notes;
mod incidents;
mod migration;
mod mutes;
mod network_changes;
mod operations;
mod plans;
mod pods;
mod pool;
mod screens;
mod sets;
mod settings;
mod sql;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use alerts::{AlertWork, DeskWork};
pub use audit::AuditFilter;
pub use boards::BoardRow;
pub use cards::{CardAbout, CardRow, NewCard};
pub use dialect::Kind;
pub use error::StoreError;
pub use figures::StoreFigures;
pub use forwards::Leftover;
pub use hooks::{HookRow, Kept, MirrorRow, MirrorState};
pub use incident_notes::IncidentThread;
pub use network_changes::NetworkChangeRow;
pub use operations::{Lease, OpFilter};
pub use plans::{Confirmation, PlanState, StoredPlan};
pub use pods::PodRow;
pub use pool::POSTGRES_CONNECTIONS;
pub use screens::Screen;
pub use sets::{LedSets, Member, SetRow, SlotRow, Sound};
pub use store::{Page, Store};
