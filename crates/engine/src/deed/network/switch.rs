//! Switches of bridges that only the node shell can set: read, set one after another, read again.

use std::collections::{BTreeMap, BTreeSet};

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName};
use gantry_core::network::{
    BridgeNow, Flip, Kernel, Net, NetworkAction, Scope, Switch, bridge_on, lost_unseen,
};
use gantry_core::operation::Operation;
use gantry_core::policy::Actor;
use gantry_core::world::NodeState;
use gantry_nodeshell::{BridgeSetting, BridgeState, Error as ShellError, PortFlag};
use gantry_proxmox::{TaskFilter, TaskSource};

use crate::deed::{CallFault, Look, Seen};
use crate::shell::{Need, Shell, Who};
use crate::{Engine, Error};

/// Bridges of a node that are asked for before its network is reloaded; more than a node has.
const BRIDGES_MAX: usize = 64;

fn now(state: &BridgeState) -> BridgeNow {
    BridgeNow {
        stp: state.stp,
        snooping: state.mcast_snooping,
        ports: state.ports.iter().map(|p| (p.name.clone(), p.isolated)).collect(),
    }
}

/// A bridge as the kernel has it; `None`: there is no bridge of that name.
async fn ask(shell: &Shell<'_>, who: Who<'_>, name: &str) -> Result<Option<BridgeNow>, Error> {
    // What the node shell has no word for is not a bridge it can switch.
    let Ok(bridge) = name.parse() else { return Ok(None) };
    match shell.bridge(who, bridge).await {
        Ok(state) => Ok(Some(now(&state))),
        Err(Error::Shell { source, .. }) if matches!(*source, ShellError::Failed { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// How switches stand, as a sentence.
fn told(kernel: &Kernel, flips: &[Flip]) -> String {
    let parts: Vec<String> = flips
        .iter()
        .map(|f| match kernel.now(f) {
            Some(on) => {
                format!(
                    "{} of {} is {}",
                    f.switch.words(),
                    f.shown(),
                    if on { "on" } else { "off" }
                )
            }
            None => format!("{} is not there", f.shown()),
        })
        .collect();
    let text = parts.join("; ");
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
        .unwrap_or_default()
}

/// The node whose bridge a flip is about.
fn node<'a>(action: &'a NetworkAction, flip: &'a Flip) -> Result<&'a NodeName, Error> {
    match (&flip.node, &action.scope) {
        (Some(node), _) | (None, Scope::Node(node)) => Ok(node),
        (None, Scope::Sdn) => {
            Err(Error::Missing { what: "a node whose bridges are switched".into() })
        }
    }
}

impl Engine {
    /// What the kernel of a node says of the bridges in `net`, for somebody who asks.
    ///
    /// # Errors
    /// When the audit log cannot be written; a node that does not answer is part of the answer.
    pub(super) async fn kernel(
        &self,
        who: Who<'_>,
        (cluster, node): (&ClusterId, &NodeName),
        net: &Net,
    ) -> Result<Kernel, Error> {
        let names: Vec<&str> = net.bridges_up().collect();
        let Some(shell) = self.shell(cluster, node) else { return Ok(Kernel::NotSetUp) };
        if names.len() > BRIDGES_MAX {
            return Ok(Kernel::Silent(format!("it has more than {BRIDGES_MAX} bridges")));
        }
        let mut said = BTreeMap::new();
        for name in names {
            match ask(&shell, who, name).await {
                Ok(Some(bridge)) => {
                    said.insert(name.to_owned(), bridge);
                }
                Ok(None) => {}
                Err(Error::Shell { source, .. }) => return Ok(Kernel::Silent(source.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(Kernel::Said(said))
    }

    /// What the kernels of all nodes with a node shell say of their bridges, for whoever asks for a change of the SDN:
    /// that reloads the network of every node, which switches spanning tree off. With a sentence for each node that
    /// does not tell, and one for those without a node shell.
    pub(super) async fn kernels(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &NetworkAction,
    ) -> Result<(Kernel, Vec<String>), Error> {
        let cluster = &action.cluster;
        let shown = action.shown();
        let (mut all, mut said, mut without) = (BTreeMap::new(), Vec::new(), Vec::new());
        let unknown = |node: &NodeName, why: &dyn std::fmt::Display| {
            format!(
                "Whether spanning tree is on anywhere on {node} is not known: {why}. Where it is, the reload switches it off; \
                 `/bridge secure` switches it on again."
            )
        };
        for (node, state) in &self.nodes(cluster).await? {
            let has_shell = self.has_shell(cluster, node);
            // What is down reloads nothing; only a node shell could tell more of it.
            if !has_shell && *state == NodeState::Down {
                continue;
            }
            let net = match self.network(cluster, &Scope::Node(node.clone())).await {
                Ok(net) => net,
                Err(_) if !has_shell => {
                    without.push((node.clone(), Vec::new()));
                    continue;
                }
                Err(error) => {
                    said.push(unknown(node, &error));
                    continue;
                }
            };
            let who = Who::Asker(actor, verb, &shown);
            match self.kernel(who, (cluster, node), &net).await? {
                Kernel::Said(bridges) => {
                    all.extend(bridges.into_iter().map(|(name, b)| (bridge_on(node, &name), b)));
                }
                Kernel::Silent(why) => said.push(unknown(node, &why)),
                Kernel::NotSetUp | Kernel::Unasked => {
                    let bridges = net.bridges_up().map(str::to_owned).collect();
                    without.push((node.clone(), bridges));
                }
            }
        }
        said.extend(lost_unseen(&without));
        Ok((Kernel::Said(all), said))
    }

    /// The network of a node with what its kernel says of one bridge. `actor` asked.
    ///
    /// # Errors
    /// What Proxmox says, or that the audit log cannot be written.
    pub async fn bridge(
        &self,
        actor: &Actor,
        (cluster, node): (&ClusterId, &NodeName),
        name: &str,
    ) -> Result<Net, Error> {
        let net = self.network(cluster, &Scope::Node(node.clone())).await?;
        let only = |net: &Net| Net {
            objects: net
                .objects
                .iter()
                .filter(|(k, _)| *k == name)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            ..net.clone()
        };
        let shown = format!("{name} on {node} ({cluster})");
        let who = Who::Asker(actor, Verb::BridgeShow, &shown);
        let kernel = self.kernel(who, (cluster, node), &only(&net)).await?;
        Ok(Net { kernel, ..net })
    }

    /// What the kernel says of the bridges that `flips` are about, for a step.
    pub(super) async fn kernel_for(
        &self,
        op: &Operation,
        action: &NetworkAction,
        flips: &[Flip],
    ) -> Result<Kernel, Error> {
        let mut said = BTreeMap::new();
        let mut asked = BTreeSet::new();
        for flip in flips.iter().filter(|f| asked.insert(f.key())) {
            let shell = self.need_shell(&action.cluster, node(action, flip)?, Need::Bridges)?;
            if let Some(bridge) = ask(&shell, Who::Step(op), &flip.bridge).await? {
                said.insert(flip.key(), bridge);
            }
        }
        Ok(Kernel::Said(said))
    }

    /// Why switches are not looked at yet: the task that reloads every node ends while some of them still reload, and
    /// such a reload would take away what was just switched.
    async fn still_reloads(
        &self,
        action: &NetworkAction,
        flips: &[Flip],
    ) -> Result<Option<String>, Error> {
        if matches!(action.scope, Scope::Node(_)) {
            return Ok(None);
        }
        let client = self.client(&action.cluster)?;
        let nodes: BTreeSet<&NodeName> = flips.iter().filter_map(|f| f.node.as_ref()).collect();
        for node in nodes {
            let (source, kind) = (TaskSource::Active, Some("srvreload".to_owned()));
            let filter = TaskFilter { source, kind, ..TaskFilter::default() };
            let fail = Error::proxmox(format!("read the tasks of {node}"), &action.cluster);
            let tasks = client.node_tasks(node, &filter).await.map_err(fail)?;
            if tasks.iter().any(|t| t.is_running()) {
                return Ok(Some(format!("{node} still reloads its network")));
            }
        }
        Ok(None)
    }

    /// `back`: whether they are set as they were; then what is gone needs nothing.
    pub(super) async fn look_before_switch(
        &self,
        op: &Operation,
        action: &NetworkAction,
        flips: &[Flip],
        back: bool,
    ) -> Result<Look, Error> {
        if let Some(why) = self.still_reloads(action, flips).await? {
            return Ok(Look::Wait(why));
        }
        let kernel = self.kernel_for(op, action, flips).await?;
        if kernel.has(flips, back) {
            return Ok(Look::Already("it is so already".into()));
        }
        match flips.iter().find(|f| !back && kernel.now(f).is_none()) {
            Some(gone) => Ok(Look::Changed(format!("{} is not there", gone.shown()))),
            None => self.go_on(action, Vec::new()).await,
        }
    }

    /// Sets what is not so yet. Each switch is once, however often it is set.
    pub(super) async fn call_switch(
        &self,
        op: &Operation,
        action: &NetworkAction,
        flips: &[Flip],
    ) -> Result<(), CallFault> {
        let kernel = self.kernel_for(op, action, flips).await.map_err(CallFault::shell)?;
        let who = Who::Step(op);
        for flip in flips.iter().filter(|f| kernel.now(f).is_some_and(|on| on != f.on)) {
            let at = node(action, flip).map_err(CallFault::shell)?;
            let shell = self.need_shell(&action.cluster, at, Need::Bridges);
            let shell = shell.map_err(CallFault::shell)?;
            let strange = |e: &dyn std::fmt::Display| CallFault::never_sent(e.to_string());
            let bridge = flip.bridge.parse().map_err(|e| strange(&e))?;
            let done = match (&flip.port, flip.switch) {
                (Some(port), _) => {
                    let port = port.parse().map_err(|e| strange(&e))?;
                    shell.set_port(who, (bridge, port), PortFlag::Isolated, flip.on).await
                }
                (None, Switch::Stp) => {
                    shell.set_bridge(who, bridge, BridgeSetting::Stp, flip.on).await
                }
                (None, Switch::Snooping) => {
                    shell.set_bridge(who, bridge, BridgeSetting::McastSnooping, flip.on).await
                }
                (None, Switch::Isolated) => {
                    return Err(CallFault::never_sent("isolation is a port's, not a bridge's"));
                }
            };
            done.map_err(CallFault::shell)?;
        }
        Ok(())
    }

    pub(super) async fn is_switch_met(
        &self,
        op: &Operation,
        action: &NetworkAction,
        flips: &[Flip],
        back: bool,
    ) -> Result<Seen, Error> {
        let kernel = self.kernel_for(op, action, flips).await?;
        Ok(Seen { met: kernel.has(flips, back), now: told(&kernel, flips) })
    }
}
