//! Every test that needs the built process or the whole tree, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod alert_faults;
mod alerts;
mod attack;
mod boards;
mod browser;
mod competitors;
mod courier;
mod crash;
mod docs;
mod forward;
mod forward_faults;
mod forward_pods;
mod forward_strangers;
mod forward_targets;
mod graph;
mod harness;
mod health;
mod hooks;
mod http;
mod images;
mod images_crash;
mod images_lost;
mod images_pods;
mod images_shell;
mod incidents;
mod lost;
mod moves;
mod network;
mod network_faults;
mod network_switch;
mod notify;
mod notify_faults;
mod pod_faults;
mod pods;
mod pods_crash;
mod pods_lost;
mod press;
mod process;
mod prometheus;
mod putback;
mod reports;
mod rights;
mod sets;
mod sets_crash;
mod sets_eyes;
mod sets_leaders;
mod sets_lost;
mod sets_names;
mod snapshots;
mod storm;
mod story;
mod tidy;
mod unlock;
mod wear;
mod weather;
