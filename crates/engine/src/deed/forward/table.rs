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
/// by putting it back; nor by writing down one of ours that was not.
pub(crate) fn is_touched(state: &ForwardState) -> bool {
    match &state.live {
        LiveTable::Absent => false,
        LiveTable::Foreign => true,
        LiveTable::Ours { .. } => !state.untouched && !state.is_broken_off(),
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
        let wanted = self.wanted(cluster, node, &state).await.map_err(CallFault::shell)?;
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

    /// The table a node shall have now that has this one.
    pub(crate) async fn wanted(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        state: &ForwardState,
    ) -> Result<ForwardTable, Error> {
        let desired = self.desired_now(cluster, node, state).await?;
        table(&desired).map_err(|what| Error::Missing { what })
    }

    /// The same as forwards, with those that lead nowhere.
    pub(crate) async fn desired_now(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        state: &ForwardState,
    ) -> Result<Desired, Error> {
        let all = self.kept_forwards(cluster).await?;
        self.inner.forwards.learn_local(cluster, node, state.local.iter().copied().collect());
        let has = facts(state).has.unwrap_or_default();
        let desired = self.desired_forwards(cluster, node, &all, &has).await?;
        self.keep_learned(cluster, node, &desired).await?;
        Ok(desired)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use gantry_core::forward::{ForwardSpec, forbidden};

    use super::*;

    /// An address of every range there is: what is said of one rests on its first sixteen bits, but for a few.
    fn addresses() -> impl Iterator<Item = IpAddr> {
        let four = (0..=u16::MAX).map(|head| Ipv4Addr::from(u32::from(head) << 16 | 9).into());
        let six = (0..=u16::MAX).map(|head| Ipv6Addr::from(u128::from(head) << 112 | 9).into());
        let odd = ["0.0.0.0", "255.255.255.255", "::", "::1", "::ffff:10.0.0.5", "64:ff9b::a00:5"];
        let odd = odd.map(|text| text.parse().unwrap());
        four.chain(six).chain(odd)
    }

    #[test]
    fn whatever_is_kept_and_led_to_is_a_line_that_the_node_shell_takes() {
        let (mut taken, any) = (0, BTreeSet::new());
        for address in addresses() {
            for listen in [None, Some(address)] {
                let spec = ForwardSpec { listen, ..spec_of(address) };
                let fine = spec.check(&[]).is_ok() && forbidden(address, &any).is_none();
                let made = line(&spec.entry(address));
                assert_eq!(fine, made.is_ok(), "{address} {listen:?}: {made:?}");
                if let Ok(made) = made {
                    assert!(made.to_string().parse::<Forward>().is_ok(), "{made}");
                    taken += 1;
                }
            }
        }
        assert!(taken > 100_000, "{taken}");
        for port in 0..=u16::MAX {
            let guest = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
            let spec = ForwardSpec { port, ..spec_of(guest) };
            let made = line(&spec.entry(guest));
            assert_eq!(spec.check(&[]).is_ok(), made.is_ok(), "{port}");
        }
    }

    fn spec_of(address: IpAddr) -> ForwardSpec {
        ForwardSpec {
            cluster: "lab".parse().unwrap(),
            node: "pve1".parse().unwrap(),
            proto: Proto::Tcp,
            family: Family::of(address),
            listen: None,
            port: 8080,
            vmid: 201.try_into().unwrap(),
            name: "web-0".into(),
            target_port: 80,
        }
    }
}
