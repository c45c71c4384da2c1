//! The Discord face: slash commands, buttons and forms in, cards out. It decides nothing and touches no
//! cluster: policy, plans and operations are the engine's, what is shown comes from its answers.
//!
//! `/pod delete` is `delete` in `pod.rs`. Buttons come in through `press`, forms through `form`; `courier` keeps
//! the messages of running operations up to date.

mod act;
pub mod actor;
mod alert;
mod alert_chart;
mod attachment;
mod audit;
mod board;
mod bridge;
pub mod card;
mod cluster;
pub mod complete;
mod courier;
mod desk;
mod dispatch;
mod escape;
mod face;
mod fault;
mod form;
mod forward;
mod graph;
mod guest;
mod help;
mod image;
mod incident;
mod incident_thread;
mod maintenance;
mod migrate;
mod node;
mod notify;
mod oncall;
mod op;
pub mod paint;
mod pod;
mod pod_spec;
mod press;
mod register;
mod report;
mod rule;
mod screen;
mod set;
mod set_create;
mod set_form;
mod show;
mod snapshot;
mod task;
pub mod token;
mod visit;
mod vnet;
mod wire;
mod words;

pub use courier::{card_for, first_nonce};
pub use face::{Context, Face, FaceError, FaceSettings};
pub use fault::Fault;
pub use register::{Registered, Scope, commands, commands_text, needed_privileges};
pub use wire::{Method, Wire};

/// Settings of property tests: so many cases, and no files written beside the sources.
#[cfg(test)]
fn cases(n: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        failure_persistence: None,
        ..proptest::test_runner::Config::with_cases(n)
    }
}
