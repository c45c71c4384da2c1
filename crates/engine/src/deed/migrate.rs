//! Moving a guest to another node. Done only when the guest is seen on that node, as it was before and with no lock.
//!
//! Where high availability carries it out, the task that asks for it ends at once: what counts is where the guest is, and
//! a move of its that failed is told as soon as it is seen.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{NodeName, Upid};
use gantry_core::migrate::{
    How, MigrateStep, Migration, MoveFacts, Precondition, TargetNode, Volume, plan_migration,
};
use gantry_core::operation::Operation;
use gantry_core::plan::{LiveGuest, Planned, describe};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::{Guest, GuestStatus};
use gantry_proxmox::{
    ExitStatus, Freshness, GuestRef as At, LocalDisk, Migrate, MigrateCheck, Resource,
    ResourceKind, TaskEntry, TaskFilter,
};

use super::guest::is_another;
use super::{Aim, CallFault, Look, Planning, Seen};
use crate::propose::Answer;
use crate::{Engine, Error};

/// Newest tasks of a guest that are looked at to see what became of a move that high availability carries out.
const TASKS_LOOKED_AT: u64 = 20;

impl Engine {
    /// Asks for a guest to be moved.
    pub(crate) async fn propose_migration(
        &self,
        actor: &Actor,
        who: &str,
        to: &NodeName,
        restart: bool,
    ) -> Result<Answer, Error> {
        let verb = Verb::GuestMigrate;
        let found = match self.named(actor, verb, who).await? {
            Ok(found) => found,
            Err(answer) => return Ok(*answer),
        };
        let guest = found.address();
        let action =
            Action::Migrate(Migration { guest, kind: found.kind, to: to.clone(), restart });
        self.propose_action(actor, verb, action, &describe(&found)).await
    }

    /// Reads everything a move rests on; `None` when the guest is gone.
    async fn move_facts(&self, action: &Migration) -> Result<Option<MoveFacts>, Error> {
        let (guest, kind) = (&action.guest, action.kind);
        let Some(live) = self.look_at_guest(guest, kind).await? else { return Ok(None) };
        let client = self.client(&guest.cluster)?;
        let what = || format!("read what moving {} {} takes", kind.short(), guest.vmid);
        let fail = || Error::proxmox(what(), &guest.cluster);
        let at = At::new(live.guest.node.clone(), kind, guest.vmid);
        let rows = client.resources(Freshness::Fresh).await.map_err(fail())?;
        let config = client.guest_config(&at, Freshness::Fresh).await.map_err(fail())?;
        let mut volumes: Vec<Volume> =
            config.volumes().filter_map(|(key, text)| Volume::read(key, text)).collect();
        for volume in &mut volumes {
            let storage = rows.iter().find(|r| {
                r.kind == ResourceKind::Storage
                    && r.node.as_ref() == Some(&live.guest.node)
                    && volume.storage.as_deref() == r.storage.as_ref().map(|s| s.as_str())
            });
            if let Some(storage) = storage {
                volume.shared |= storage.shared;
                volume.plugin.clone_from(&storage.plugintype);
            }
        }
        let snapshots = client.snapshots(&at).await.map_err(fail())?;
        // Asked only where it can be answered: a machine that is locked is refused by that very question.
        let elsewhere = live.guest.node != action.to;
        let says = match elsewhere && live.guest.lock.is_none() {
            true => client.migrate_check(&at, &action.to).await.map_err(fail())?,
            false => None,
        };
        let nodes = rows.iter().filter(|r| r.kind == ResourceKind::Node);
        let mut names: Vec<String> =
            nodes.filter_map(|r| r.node.as_ref().map(ToString::to_string)).collect();
        names.sort();
        Ok(Some(MoveFacts {
            volumes,
            snapshots: snapshots.iter().filter(|s| s.name.as_deref() != Some("current")).count(),
            target: target_node(&rows, &action.to),
            nodes: names,
            says: says.map(|says| precondition(&says, &action.to)),
            live,
        }))
    }

    async fn plan_move(&self, action: &Migration) -> Result<Option<(LiveGuest, Planned)>, Error> {
        let facts = self.move_facts(action).await?;
        Ok(facts.map(|facts| {
            let planned = plan_migration(action, &facts);
            (facts.live, planned)
        }))
    }

    pub(super) async fn plan_migration_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &Migration,
    ) -> Result<Planning, Error> {
        let guest = &action.guest;
        self.its_node_must_be_up(guest, action.kind)?;
        Ok(match self.plan_move(action).await? {
            Some((live, planned)) => {
                let ruling = self.migration_ruling(actor, verb, action, Target::Guest(&live.guest));
                Planning { planned, ruling, read_ms: live.read_ms }
            }
            None => self.is_gone(actor, verb, guest, action.kind),
        })
    }

    /// Policy on a move: the guest has to be covered, and a rule that denies the node it goes to holds as well.
    pub(super) fn migration_ruling(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &Migration,
        target: Target<'_>,
    ) -> Ruling {
        let ruling = self.may(actor, verb, target);
        match target {
            Target::Guest(guest) if ruling.is_allowed() => {
                let there = Guest { node: action.to.clone(), ..guest.clone() };
                match self.may(actor, verb, Target::Guest(&there)) {
                    denied @ Ruling::Denied { .. } => denied,
                    Ruling::Allowed { .. } => ruling,
                }
            }
            _ => ruling,
        }
    }

    /// The same from memory.
    pub(super) fn migration_ruling_seen(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &Migration,
    ) -> Ruling {
        let view = self.view(&action.guest.cluster);
        match view.as_ref().and_then(|v| v.guest(action.guest.vmid)) {
            Some(seen) => self.migration_ruling(actor, verb, action, Target::Guest(seen)),
            None => self.guest_ruling(actor, verb, &action.guest),
        }
    }

    pub(super) async fn look_before_migration(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Look, Error> {
        let Action::Migrate(action) = &op.action else {
            return Ok(Look::Changed("there is no guest to move".into()));
        };
        let Some((live, planned)) = self.plan_move(action).await? else {
            return Ok(Look::Changed(format!("{} is gone", op.target)));
        };
        if live.guest.name != op.name
            && let Some(why) = is_another(op, n, &live)
        {
            return Ok(Look::Changed(why));
        }
        match planned {
            Planned::Nothing { .. } => {
                return Ok(Look::Already(format!("it was on {} already", action.to)));
            }
            Planned::Refused { why } => {
                return Ok(Look::Changed(why.trim_end_matches('.').to_owned()));
            }
            Planned::Ready(draft) if draft.fingerprint != op.fingerprint => {
                return Ok(Look::Changed(format!(
                    "{} is not as it was when this was confirmed: it is {} on {} now",
                    op.name,
                    live.guest.status.as_str(),
                    live.guest.node
                )));
            }
            Planned::Ready(_) => {}
        }
        let kinds = op.steps[n].kind.task_types();
        let node = live.guest.node;
        // Those of high availability are told apart from what comes by this list, too: whoever started them.
        let seen = self.tasks_on(&action.guest, &node, kinds).await?;
        Ok(Look::Go(Aim {
            node,
            vmid: Some(action.guest.vmid),
            seen: seen.into_iter().map(|(upid, _)| upid).collect(),
        }))
    }

    pub(super) async fn call_migrate(
        &self,
        op: &Operation,
        step: &MigrateStep,
        aim: &Aim,
    ) -> Result<Upid, CallFault> {
        let client =
            self.client(op.action.cluster()).map_err(|e| CallFault::never_sent(e.to_string()))?;
        let (Some(vmid), Some((_, kind))) = (aim.vmid, op.action.guest()) else {
            return Err(CallFault::never_sent("there is no guest to move"));
        };
        let how = Migrate {
            online: step.how == How::Online,
            with_local_disks: step.local_disks,
            restart: step.how == How::Restart,
        };
        let at = At { node: aim.node.clone(), kind, vmid };
        Ok(client.migrate(&at, &step.to, how).await?.upid)
    }

    pub(super) async fn is_migrated(
        &self,
        op: &Operation,
        wanted: &MigrateStep,
    ) -> Result<Seen, Error> {
        let Some((guest, kind)) = op.action.guest() else {
            return Ok(Seen { met: false, now: "There is no guest.".into() });
        };
        let Some(live) = self.look_at_guest(guest, kind).await? else {
            let now = format!("{} {} does not exist.", kind.short(), guest.vmid);
            return Ok(Seen { met: false, now });
        };
        let g = &live.guest;
        let lock = g.lock.as_ref().map(|l| format!(", locked ({l})")).unwrap_or_default();
        let now = format!("{} is {}{lock}.", describe(g), g.status.as_str());
        // What ran shall run there; what was paused goes on being paused.
        let as_before = match wanted.how {
            How::Restart => g.status == GuestStatus::Running,
            How::Online => g.status != GuestStatus::Stopped,
            How::Offline => true,
        };
        Ok(Seen { met: g.node == wanted.to && g.lock.is_none() && as_before, now })
    }

    /// Why a move that was asked of high availability will not come any more, where its own task has failed since.
    pub(crate) async fn given_up_by_ha(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Option<String>, Error> {
        let step = &op.steps[n];
        let (Some(node), Some((guest, _))) = (&step.node, op.action.guest()) else {
            return Ok(None);
        };
        let kinds = ["vzmigrate", "qmigrate"];
        let tasks = self.tasks_on(guest, node, &kinds).await?;
        let newest = tasks.into_iter().find(|(upid, _)| !step.seen.contains(upid));
        Ok(match newest {
            Some((_, Some(ExitStatus::Failed(why)))) => {
                Some(format!("high availability tried, and its move failed: {why}"))
            }
            _ => None,
        })
    }

    /// Tasks of some kinds on a guest, whoever started them, newest first, with how they ended.
    async fn tasks_on(
        &self,
        guest: &GuestRef,
        node: &NodeName,
        kinds: &[&str],
    ) -> Result<Vec<(Upid, Option<ExitStatus>)>, Error> {
        let filter = TaskFilter {
            vmid: Some(guest.vmid),
            limit: Some(TASKS_LOOKED_AT),
            ..TaskFilter::default()
        };
        let what = format!("read the tasks of {node}");
        let rows = self.client(&guest.cluster)?.node_tasks(node, &filter).await;
        let rows = rows.map_err(Error::proxmox(what, &guest.cluster))?;
        let about =
            |t: &TaskEntry| kinds.contains(&t.upid.kind()) && t.upid.id() == guest.vmid.to_string();
        Ok(rows.into_iter().filter(about).map(|t| (t.upid, t.exit)).collect())
    }
}

/// The node a guest shall go to; `None` when the cluster has none of that name.
fn target_node(rows: &[Resource], to: &NodeName) -> Option<TargetNode> {
    let node = rows.iter().find(|r| r.kind == ResourceKind::Node && r.node.as_ref() == Some(to))?;
    let usable = rows.iter().filter(|r| {
        r.kind == ResourceKind::Storage
            && r.node.as_ref() == Some(to)
            && r.status.as_deref() == Some("available")
    });
    Some(TargetNode {
        online: node.status.as_deref() == Some("online"),
        memory_free: node.maxmem.unwrap_or(0).saturating_sub(node.mem.unwrap_or(0)),
        storages: usable.filter_map(|r| r.storage.as_ref().map(ToString::to_string)).collect(),
    })
}

/// What Proxmox says, in our own terms.
fn precondition(says: &MigrateCheck, to: &NodeName) -> Precondition {
    let volid = |d: &LocalDisk| d.volid.clone().unwrap_or_default();
    // What cloud-init reads is a disc that Proxmox writes anew.
    let is_disc = |d: &&LocalDisk| d.cdrom && !volid(d).contains("cloudinit");
    let mut local_disks: Vec<(String, Option<u64>)> =
        says.local_disks.iter().filter(|d| !is_disc(d)).map(|d| (volid(d), d.size)).collect();
    local_disks.sort();
    let mut along = says.along.clone();
    along.sort();
    Precondition {
        allowed: says.allowed().map(<[String]>::to_vec),
        why_not: says.why_not(to.as_str()),
        local_resources: says.local_resources.clone(),
        local_disks,
        local_discs: says.local_disks.iter().filter(is_disc).map(volid).collect(),
        along,
    }
}
