//! The Discord face: slash commands, buttons and forms in, cards out. It decides nothing and touches no
//! cluster: policy, plans and operations are the engine's, what is shown comes from its answers.
//!
//! `/pod delete` is `delete` in `pod.rs`. Buttons come in through `press`, forms through `form`; `courier` keeps
//! the messages of running operations up to date.

pub mod actor;
pub mod card;
mod desk;
mod escape;
mod fault;
pub mod paint;
pub mod token;
mod words;

pub use fault::Fault;

/// Settings of property tests: so many cases, and no files written beside the sources.
#[cfg(test)]
fn cases(n: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        failure_persistence: None,
        ..proptest::test_runner::Config::with_cases(n)
    }
}
