//! Networks: what a node's bridges and the cluster's SDN are and shall be, what changing them comes to, and how it
//! is put back.
//!
//! A node's interfaces and the SDN's zones, vnets and subnets are the same thing here: objects with settings, edited
//! in a staged configuration that only a reload makes real. Pure; read by the engine, shown by the face.

mod asked;
mod bridge;
mod diff;
mod plan;
mod restore;
mod scope;
mod sdn;
mod step;
mod switch;

pub use bridge::{BridgeSpec, FIREWALL, IfaceName, Secure, settable};
pub use diff::{diff_lines, former_of};
pub use plan::{KEEP_DEFAULT_S, KEEP_RANGE_S, is_alarm, plan_network};
pub use restore::{
    changed_since, edits_back, is_as_edited, is_as_former, is_made, only_ours, touched,
};
pub use scope::{Edit, Net, Objects, Scope, Settings, edited};
pub use sdn::{SubnetSpec, VnetSpec, ZoneKind, ZoneSpec, settable_sdn, subnet_cidr};
pub use step::{Decision, NetworkAction, NetworkChange, NetworkStep, NetworkVerbs};
pub use switch::{
    BridgeNow, Flip, Kernel, Switch, as_now, bridge_on, fingerprint, lost_by_reload, lost_unseen,
    switch_lines,
};
