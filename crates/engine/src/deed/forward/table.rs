//! A node's whole table: how it is written for the node shell, what is known of the one in force, and putting one there.

use std::time::Duration;

use gantry_core::forward::{Desired, Entry, Facts, Family, Proto};
use gantry_core::id::{ClusterId, NodeName};
use gantry_nodeshell::{
    Advice, BadForward, Expected, Forward, ForwardState, ForwardTable, Listen, LiveTable, Protocol,
};

use crate::deed::CallFault;
use crate::shell::{Need, Who};
use crate::{Engine, Error};

/// Pause before a table is put in force anew after somebody else's came in between.
const AGAIN: Duration = Duration::from_secs(1);

/// A line of the table as the node shell writes it.
fn line(entry: &Entry) -> Result<Forward, BadForward> {
    let protocol = match entry.proto {
        Proto::Tcp => Protocol::Tcp,
        Proto::Udp => Protocol::Udp,
    };
    let listen = entry.listen.map_or(Listen::Any, Listen::At);
    Forward::new(protocol, listen, entry.port, entry.target, entry.target_port)
}

/// A line of the table in force.
fn entry(forward: &Forward) -> Entry {
    Entry {
        proto: match forward.protocol() {
            Protocol::Tcp => Proto::Tcp,
            Protocol::Udp => Proto::Udp,
        },
        listen: match forward.listen() {
            Listen::Any => None,
            Listen::At(address) => Some(address),
        },
        port: forward.port(),
        target: forward.target(),
        target_port: forward.target_port(),
    }
}

/// The whole table as it shall be.
pub(crate) fn table(desired: &Desired) -> Result<ForwardTable, String> {
    let lines = desired.entries.iter().map(line).collect::<Result<Vec<_>, _>>();
    lines.and_then(ForwardTable::new).map_err(|e| e.to_string())
}

/// What is known of a node's table, in the words of plans.
pub(crate) fn facts(state: &ForwardState) -> Facts {
    let mut has = state.table().map(|table| table.iter().map(entry).collect::<Vec<_>>());
    if let Some(all) = &mut has {
        all.sort();
    }
    let mut forwards = Vec::new();
    if state.forwards_ipv4 {
        forwards.push(Family::Ipv4);
    }
    if state.forwards_ipv6 {
        forwards.push(Family::Ipv6);
    }
    Facts { has, touched: is_touched(state), forwards }
}

/// Whether somebody else has a hand in a table. One that is gone was taken by a restart or a flush: nobody's work is lost
/// by putting it back.
pub(crate) fn is_touched(state: &ForwardState) -> bool {
    match &state.live {
        LiveTable::Absent => false,
        LiveTable::Foreign => true,
        LiveTable::Ours { .. } => !state.untouched,
    }
}

/// Which table must be in force for a new one to take its place; `force`: whatever somebody has made of it.
fn expected(state: &ForwardState, force: bool) -> Expected {
    match &state.live {
        LiveTable::Absent => Expected::Absent,
        LiveTable::Ours { generation, .. } => Expected::Generation(generation.clone()),
        LiveTable::Foreign if force => Expected::Any,
        // Refused by the node: another table than the absent one is in force.
        LiveTable::Foreign => Expected::Absent,
    }
}

impl Engine {
    /// Puts in force what a node's table shall be, on what is in force right now.
    pub(crate) async fn put_forwards(
        &self,
        who: Who<'_>,
        cluster: &ClusterId,
        node: &NodeName,
        force: bool,
    ) -> Result<(), CallFault> {
        let shell = self.need_shell(cluster, node, Need::Forwards).map_err(CallFault::shell)?;
        let state = shell.forwards(who).await.map_err(CallFault::shell)?;
        let wanted = self.wanted(cluster, node).await.map_err(CallFault::shell)?;
        if state.is(&wanted) {
            return Ok(());
        }
        if is_touched(&state) && !force {
            return Err(CallFault::never_sent(format!(
                "somebody has changed gantry's table on {node} by hand"
            )));
        }
        let expected = expected(&state, force);
        let Err(error) = shell.apply_forwards(who, expected, wanted).await else { return Ok(()) };
        let conflict = matches!(&error, Error::Shell { source, .. }
            if matches!(**source, gantry_nodeshell::Error::Conflict { .. }));
        let mut fault = CallFault::shell(error);
        // Refused because another table came in between, or because a program of the node listens there? The first
        // passes.
        if conflict
            && let Ok(now) = shell.forwards(who).await
            && now.live != state.live
        {
            fault.advice = Advice::RetryAfter(AGAIN);
        }
        Err(fault)
    }

    /// The table a node shall have now.
    pub(crate) async fn wanted(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
    ) -> Result<ForwardTable, Error> {
        let all = self.kept_forwards(cluster).await?;
        let desired = self.desired_forwards(cluster, node, &all).await?;
        table(&desired).map_err(|what| Error::Missing { what })
    }
}
