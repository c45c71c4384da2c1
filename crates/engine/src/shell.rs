//! The node shell, as the engine uses it: no call without its row in the audit log before it, and a row for how it
//! ended. A call that is repeated by itself, such as a health check, has a row before the first time, a row whenever it
//! ends otherwise than before, and a tally every hour (docs/decisions/0012-shell-audit.md).
//!
//! Deadlines, turns and bounds are the node shell's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_core::action::Verb;
use gantry_core::audit::{AuditEvent, AuditRow};
use gantry_core::id::{ClusterId, NodeName, Vmid};
use gantry_core::operation::Operation;
use gantry_core::policy::Actor;
use gantry_nodeshell::{
    BridgeSetting, BridgeState, Checksum, Command, CopiedImage, Expected, Format, ForwardState,
    ForwardTable, HealthCheck, HealthOutcome, ImageInfo, ImageRef, Interface, Lock, NodeShell,
    PortFlag, Progress, StorageName, TemplateName, Volume,
};

use crate::{Engine, Error};

/// Repeated calls whose last end is remembered; more than a large fleet has. Beyond it all is forgotten, which costs rows.
const REMEMBERED_MAX: usize = 10_000;
/// Time between two tallies of a repeated call, milliseconds.
const TALLY_MS: i64 = 60 * 60 * 1000;

/// What a node shell is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// STP, multicast snooping, isolation of a bridge's ports.
    Bridges,
    /// Port forwards.
    Forwards,
    /// Health checks inside a container.
    Health,
    /// Taking off a lock.
    Unlock,
    /// AppArmor and seccomp lines.
    Profile,
    /// Looking into, converting and copying images.
    Images,
}

impl Need {
    /// The thing itself, as the end of "Proxmox's API has nothing for …".
    pub fn what(self) -> &'static str {
        match self {
            Self::Bridges => {
                "spanning tree, multicast snooping and the isolation of a bridge's ports"
            }
            Self::Forwards => "port forwards",
            Self::Health => "commands inside a container",
            Self::Unlock => "taking off a lock",
            Self::Profile => "AppArmor and seccomp profiles",
            Self::Images => "converting and copying images",
        }
    }

    /// What does the same without it, as sentences.
    pub fn instead(self) -> &'static str {
        match self {
            Self::Bridges => {
                "A vnet with isolated ports (`/vnet create … isolate:True`) and the guests' own firewall do what bridges cannot."
            }
            Self::Forwards => {
                "Without it: an address that your network routes, or a small guest with a proxy on two bridges."
            }
            Self::Health => "Health checks by TCP and HTTP need no node shell.",
            Self::Unlock => "On the node itself: `pct unlock` or `qm unlock`.",
            Self::Profile => "`unprivileged` and `features.nesting` are set through the API.",
            Self::Images => {
                "Without it: move the disk to another storage, and pull OCI images with Proxmox VE 9.1 and newer."
            }
        }
    }
}

/// In whose name a node is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who<'a> {
    /// A step of an operation, for whoever confirmed it.
    Step(&'a Operation),
    /// Somebody who looks at something: what they asked, and about what.
    Asker(&'a Actor, Verb, &'a str),
    /// gantry by itself: which verb it serves, and what it is about.
    Gantry(Verb, &'a str),
}

/// How a repeated call ended last.
#[derive(Debug, Clone)]
struct Last {
    ended: String,
    calls: u64,
    told_ms: i64,
}

/// What is remembered of repeated calls: by cluster, node and call.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<(ClusterId, NodeName, String), Option<Last>>>);

/// The shell of one node.
pub(crate) struct Shell<'a> {
    engine: &'a Engine,
    cluster: ClusterId,
    node: NodeName,
    shell: Arc<NodeShell>,
}

impl Engine {
    /// The node shell of a node; `None` where it is not set up.
    pub(crate) fn shell(&self, cluster: &ClusterId, node: &NodeName) -> Option<Shell<'_>> {
        let shell = self.inner.clusters.get(cluster)?.shell()?;
        shell.has(node).then(|| Shell {
            engine: self,
            cluster: cluster.clone(),
            node: node.clone(),
            shell: shell.clone(),
        })
    }

    /// The same where nothing goes without it.
    ///
    /// # Errors
    /// [`Error::NoShell`], which says what else there is.
    pub(crate) fn need_shell(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        need: Need,
    ) -> Result<Shell<'_>, Error> {
        self.shell(cluster, node).ok_or_else(|| Error::NoShell {
            node: node.clone(),
            cluster: cluster.clone(),
            need,
        })
    }

    /// Writes down what gantry does by itself.
    pub(crate) async fn append_own(
        &self,
        event: AuditEvent,
        verb: Verb,
        target: &str,
        detail: String,
    ) -> Result<(), Error> {
        let row = self.own_row(event, verb, target.to_owned(), detail);
        self.store().append_audit(&row).await.map_err(Error::store("write the audit log"))
    }

    /// An audit row about what gantry does by itself.
    pub(crate) fn own_row(
        &self,
        event: AuditEvent,
        verb: Verb,
        target: String,
        detail: String,
    ) -> AuditRow {
        AuditRow {
            id: self.audit_id(),
            at_ms: self.now_ms(),
            event,
            user: None,
            user_name: "gantry".into(),
            guild: None,
            channel: None,
            verb,
            target,
            plan: None,
            operation: None,
            detail,
        }
    }

    /// Whether a node has a node shell. Memory only.
    pub fn has_shell(&self, cluster: &ClusterId, node: &NodeName) -> bool {
        self.shell(cluster, node).is_some()
    }

    /// The nodes of a cluster that have a node shell. Memory only.
    pub fn shell_nodes(&self, cluster: &ClusterId) -> Vec<NodeName> {
        let shell = self.inner.clusters.get(cluster).and_then(|w| w.shell());
        shell.map(|s| s.nodes().cloned().collect()).unwrap_or_default()
    }
}

impl Shell<'_> {
    /// A bridge as the kernel has it.
    pub(crate) async fn bridge(
        &self,
        who: Who<'_>,
        bridge: Interface,
    ) -> Result<BridgeState, Error> {
        let command = Command::BridgeShow(bridge.clone());
        self.once(who, &command, self.shell.bridge(&self.node, bridge)).await
    }

    /// Switches something of a bridge.
    pub(crate) async fn set_bridge(
        &self,
        who: Who<'_>,
        bridge: Interface,
        setting: BridgeSetting,
        on: bool,
    ) -> Result<BridgeState, Error> {
        let command = Command::BridgeSet(bridge.clone(), setting, on);
        self.once(who, &command, self.shell.set_bridge(&self.node, bridge, setting, on)).await
    }

    /// Switches something of a bridge's port.
    pub(crate) async fn set_port(
        &self,
        who: Who<'_>,
        (bridge, port): (Interface, Interface),
        flag: PortFlag,
        on: bool,
    ) -> Result<BridgeState, Error> {
        let command = Command::PortSet(bridge.clone(), port.clone(), flag, on);
        self.once(who, &command, self.shell.set_port(&self.node, bridge, port, flag, on)).await
    }

    /// The forwards in force.
    pub(crate) async fn forwards(&self, who: Who<'_>) -> Result<ForwardState, Error> {
        self.once(who, &Command::ForwardList, self.shell.forwards(&self.node)).await
    }

    /// The same, asked again and again by gantry itself.
    pub(crate) async fn watch_forwards(&self, who: Who<'_>) -> Result<ForwardState, Error> {
        let ended = |state: &ForwardState| match state.table() {
            Some(table) => format!("{} forwards, generation {}", table.len(), table.generation()),
            None => "no table of gantry's".to_owned(),
        };
        self.again(who, &Command::ForwardList, self.shell.forwards(&self.node), ended).await
    }

    /// Puts a whole table in force if `expected` is in force now.
    pub(crate) async fn apply_forwards(
        &self,
        who: Who<'_>,
        expected: Expected,
        table: ForwardTable,
    ) -> Result<ForwardState, Error> {
        let command = Command::ForwardApply(expected.clone(), table.clone());
        self.once(who, &command, self.shell.apply_forwards(&self.node, expected, table)).await
    }

    /// Runs a health check inside a container, again and again. What it says is not written down.
    pub(crate) async fn check_health(
        &self,
        who: Who<'_>,
        vmid: Vmid,
        check: HealthCheck,
    ) -> Result<HealthOutcome, Error> {
        let command = Command::Exec(vmid, check.clone());
        let ended = |outcome: &HealthOutcome| match outcome.status {
            Some(0) => "healthy".to_owned(),
            Some(status) => format!("not healthy, status {status}"),
            None => "not healthy, it took too long".to_owned(),
        };
        self.again(who, &command, self.shell.check_health(&self.node, vmid, check), ended).await
    }

    /// Takes the lock off a guest.
    pub(crate) async fn unlock(&self, who: Who<'_>, vmid: Vmid) -> Result<Lock, Error> {
        self.once(who, &Command::Unlock(vmid), self.shell.unlock(&self.node, vmid)).await
    }

    /// What an image is.
    pub(crate) async fn image(
        &self,
        who: Who<'_>,
        volume: Volume,
        format: Format,
    ) -> Result<ImageInfo, Error> {
        let command = Command::ImageInfo(volume.clone(), format);
        self.once(who, &command, self.shell.image(&self.node, volume, format)).await
    }

    /// Makes a converted copy.
    pub(crate) async fn convert_image(
        &self,
        who: Who<'_>,
        source: (Volume, Format),
        target: (Volume, Format),
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImageInfo, Error> {
        let (s, t) = (source.clone(), target.clone());
        let command = Command::ImageConvert(s.0, s.1, t.0, t.1);
        let call = self.shell.convert_image(&self.node, source, target, progress);
        self.once(who, &command, call).await
    }

    /// Copies an OCI image into a storage as a container template.
    pub(crate) async fn copy_image(
        &self,
        who: Who<'_>,
        reference: ImageRef,
        (storage, name): (StorageName, TemplateName),
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<CopiedImage, Error> {
        let command = Command::ImageCopy(reference.clone(), storage.clone(), name.clone());
        let call = self.shell.copy_image(&self.node, reference, storage, name, progress);
        self.once(who, &command, call).await
    }

    /// The SHA-256 of a volume.
    pub(crate) async fn checksum(
        &self,
        who: Who<'_>,
        volume: Volume,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Checksum, Error> {
        let command = Command::ImageChecksum(volume.clone());
        self.once(who, &command, self.shell.checksum(&self.node, volume, progress)).await
    }

    /// A call with a row before it and a row after it.
    async fn once<T>(
        &self,
        who: Who<'_>,
        command: &Command,
        call: impl Future<Output = Result<T, gantry_nodeshell::Error>>,
    ) -> Result<T, Error> {
        self.write(who, AuditEvent::AboutTo, self.said(command, None)).await?;
        // An SSH session is a large thing to keep on a stack.
        let answer = Box::pin(call).await;
        let ended = match &answer {
            Ok(_) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        let row = self.write(who, AuditEvent::Answered, self.said(command, Some(&ended))).await;
        if let Err(error) = row {
            // It was asked, and that it would be is written down.
            tracing::error!(%error, node = %self.node, %ended, "how a node answered could not be written down");
        }
        answer.map_err(|source| self.failed(command, source))
    }

    /// A call that gantry repeats by itself.
    async fn again<T>(
        &self,
        who: Who<'_>,
        command: &Command,
        call: impl Future<Output = Result<T, gantry_nodeshell::Error>>,
        ended: impl FnOnce(&T) -> String,
    ) -> Result<T, Error> {
        let key = (self.cluster.clone(), self.node.clone(), command.shown());
        if !self.is_known(&key) {
            let detail = format!("{}, again and again from now on", self.said(command, None));
            self.write(who, AuditEvent::AboutTo, detail).await?;
            self.learn(&key);
        }
        let answer = Box::pin(call).await;
        let ended = match &answer {
            Ok(answer) => ended(answer),
            Err(error) if error.is_not_sent() => "it could not be asked".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Some(tally) = self.note(&key, &ended) {
            let detail = format!("{}{tally}", self.said(command, Some(&ended)));
            if let Err(error) = self.write(who, AuditEvent::Answered, detail).await {
                tracing::error!(%error, node = %self.node, %ended, "how a node answered could not be written down");
            }
        }
        answer.map_err(|source| self.failed(command, source))
    }

    fn memory<T>(
        &self,
        look: impl FnOnce(&mut HashMap<(ClusterId, NodeName, String), Option<Last>>) -> T,
    ) -> T {
        look(&mut self.engine.inner.shells.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_known(&self, key: &(ClusterId, NodeName, String)) -> bool {
        self.memory(|all| all.contains_key(key))
    }

    fn learn(&self, key: &(ClusterId, NodeName, String)) {
        self.memory(|all| {
            if all.len() >= REMEMBERED_MAX {
                all.clear();
            }
            all.insert(key.clone(), None);
        });
    }

    /// Remembers how a repeated call ended; the words to add where that is to be written down.
    fn note(&self, key: &(ClusterId, NodeName, String), ended: &str) -> Option<String> {
        let now_ms = self.engine.now_ms();
        self.memory(|all| {
            let last = all.entry(key.clone()).or_default();
            let calls = last.as_ref().map_or(1, |l| l.calls + 1);
            let same = last.as_ref().is_some_and(|l| l.ended == ended);
            let told_ms = last.as_ref().map_or(now_ms, |l| l.told_ms);
            let due = !same || now_ms - told_ms >= TALLY_MS;
            *last = Some(Last {
                ended: ended.to_owned(),
                calls: if due { 0 } else { calls },
                told_ms: if due { now_ms } else { told_ms },
            });
            due.then(|| if calls > 1 { format!(" ({calls} times asked)") } else { String::new() })
        })
    }

    fn said(&self, command: &Command, ended: Option<&str>) -> String {
        let asked = format!("{} over SSH, {}", self.node, command.shown());
        match ended {
            Some(ended) => format!("{asked}: {ended}"),
            None => asked,
        }
    }

    fn failed(&self, command: &Command, source: gantry_nodeshell::Error) -> Error {
        Error::Shell {
            what: format!("ask {} over SSH ({})", self.node, command.verb()),
            cluster: self.cluster.clone(),
            source: Box::new(source),
        }
    }

    async fn write(&self, who: Who<'_>, event: AuditEvent, detail: String) -> Result<(), Error> {
        let engine = self.engine;
        let row = match who {
            Who::Step(op) => engine.operation_row(op, event, detail),
            Who::Asker(actor, verb, target) => {
                engine.audit_row(event, actor, verb, target, &detail)
            }
            Who::Gantry(verb, target) => {
                return engine.append_own(event, verb, target, detail).await;
            }
        };
        engine.store().append_audit(&row).await.map_err(Error::store("write the audit log"))
    }
}
