//! A guest's snapshots: taking, deleting, rolling back. Done only when the list of snapshots says so and no lock is left.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::id::{GuestKind, Upid};
use gantry_core::operation::{Operation, Step};
use gantry_core::plan::{LiveGuest, Planned, describe};
use gantry_core::policy::{Actor, Target};
use gantry_core::snapshot::{
    NOTE_MAX, SnapshotAction, SnapshotFacts, SnapshotName, SnapshotStep, Snapshots, Taken,
    plan_snapshot,
};
use gantry_core::world::GuestStatus;
use gantry_proxmox::{Freshness, GuestRef as At, ResourceKind, Snapshot};

use super::guest::is_another;
use super::{Aim, CallFault, Look, Planning, Seen};
use crate::propose::Answer;
use crate::{Engine, Error};

/// What somebody asks for with a guest's snapshots. Names are as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotAsk {
    /// Take one; without a name it is called after the moment.
    Create {
        /// Its name.
        name: Option<String>,
        /// What it is for.
        note: String,
        /// Whether the memory of a running machine is kept with it.
        ram: bool,
    },
    /// Delete one.
    Delete {
        /// Its name.
        name: String,
    },
    /// Go back to one.
    Rollback {
        /// Its name.
        name: String,
    },
}

impl SnapshotAsk {
    /// The verb policy is asked about.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Create { .. } => Verb::GuestSnapshotCreate,
            Self::Delete { .. } => Verb::GuestSnapshotDelete,
            Self::Rollback { .. } => Verb::GuestSnapshotRollback,
        }
    }

    fn step(self, now_ms: i64) -> Result<SnapshotStep, String> {
        let read =
            |name: String| name.trim().parse::<SnapshotName>().map_err(|bad| format!("{bad}."));
        Ok(match self {
            Self::Create { name, note, ram } => SnapshotStep::Create {
                name: match name {
                    Some(name) => read(name)?,
                    None => SnapshotName::at(now_ms),
                },
                note: note
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .chars()
                    .take(NOTE_MAX)
                    .collect(),
                ram,
            },
            Self::Delete { name } => SnapshotStep::Delete { name: read(name)? },
            Self::Rollback { name } => SnapshotStep::Rollback { name: read(name)? },
        })
    }
}

impl Engine {
    /// Asks for a change of a guest's snapshots.
    pub(crate) async fn propose_snapshot(
        &self,
        actor: &Actor,
        who: &str,
        ask: SnapshotAsk,
    ) -> Result<Answer, Error> {
        let verb = ask.verb();
        let found = match self.named(actor, verb, who).await? {
            Ok(found) => found,
            Err(answer) => return Ok(*answer),
        };
        let change = match ask.step(self.now_ms()) {
            Ok(change) => change,
            Err(why) => return Ok(Answer::Refused { why }),
        };
        let action = SnapshotAction { guest: found.address(), kind: found.kind, change };
        self.propose_action(actor, verb, Action::Snapshot(action), &describe(&found)).await
    }

    /// A guest's snapshots as they are now, with the guest; `None` when it is gone.
    ///
    /// # Errors
    /// What Proxmox says.
    pub async fn snapshots(
        &self,
        guest: &GuestRef,
    ) -> Result<Option<(LiveGuest, Snapshots)>, Error> {
        let Some(kind) = self.kind_of(guest) else { return Ok(None) };
        let Some(live) = self.look_at_guest(guest, kind).await? else { return Ok(None) };
        let rows = self.snapshots_of(&live).await?;
        Ok(Some((live, rows)))
    }

    fn kind_of(&self, guest: &GuestRef) -> Option<GuestKind> {
        Some(self.view(&guest.cluster)?.guest(guest.vmid)?.kind)
    }

    async fn snapshots_of(&self, live: &LiveGuest) -> Result<Snapshots, Error> {
        let g = &live.guest;
        let at = At::new(g.node.clone(), g.kind, g.vmid);
        let what = format!("read the snapshots of {} {}", g.kind.short(), g.vmid);
        let rows = self.client(&g.cluster)?.snapshots(&at).await;
        Ok(read(&rows.map_err(Error::proxmox(what, &g.cluster))?))
    }

    async fn snapshot_facts(
        &self,
        action: &SnapshotAction,
    ) -> Result<Option<SnapshotFacts>, Error> {
        let (guest, kind) = (&action.guest, action.kind);
        let Some(live) = self.look_at_guest(guest, kind).await? else { return Ok(None) };
        let snapshots = self.snapshots_of(&live).await?;
        let client = self.client(&guest.cluster)?;
        let what = || format!("read where the disks of {} {} lie", kind.short(), guest.vmid);
        let fail = || Error::proxmox(what(), &guest.cluster);
        let at = At::new(live.guest.node.clone(), kind, guest.vmid);
        let able = match action.change {
            SnapshotStep::Create { .. } => client.can_snapshot(&at).await.map_err(fail())?,
            _ => None,
        };
        let rows = client.resources(Freshness::Fresh).await.map_err(fail())?;
        let config = client.guest_config(&at, Freshness::Fresh).await.map_err(fail())?;
        let (mut storages, mut newest_only) = (Vec::new(), Vec::new());
        for (key, text) in config.volumes().filter(|(k, _)| !k.starts_with("unused")) {
            let Some(volume) = gantry_core::migrate::Volume::read(key, text) else { continue };
            let Some(storage) = volume.storage.filter(|_| !volume.disc) else { continue };
            let plugin = rows.iter().find(|r| {
                r.kind == ResourceKind::Storage
                    && r.node.as_ref() == Some(&live.guest.node)
                    && r.storage.as_ref().is_some_and(|s| s.as_str() == storage)
            });
            let plugin = plugin.and_then(|r| r.plugintype.clone()).unwrap_or_default();
            // ZFS goes back to the newest snapshot only; its plugin refuses any other.
            if matches!(plugin.as_str(), "zfspool" | "zfs") {
                newest_only.push(format!("{key} ({storage})"));
            }
            let shown = match plugin.as_str() {
                "" => storage,
                plugin => format!("{storage} ({plugin})"),
            };
            if !storages.contains(&shown) {
                storages.push(shown);
            }
        }
        Ok(Some(SnapshotFacts { live, snapshots, able, storages, newest_only }))
    }

    pub(super) async fn plan_snapshot_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &SnapshotAction,
    ) -> Result<Planning, Error> {
        let guest = &action.guest;
        self.its_node_must_be_up(guest, action.kind)?;
        Ok(match self.snapshot_facts(action).await? {
            Some(facts) => Planning {
                planned: plan_snapshot(action, &facts),
                ruling: self.may(actor, verb, Target::Guest(&facts.live.guest)),
                read_ms: facts.live.read_ms,
            },
            None => self.is_gone(actor, verb, guest, action.kind),
        })
    }

    pub(super) async fn look_before_snapshot(
        &self,
        op: &Operation,
        n: usize,
    ) -> Result<Look, Error> {
        let Action::Snapshot(action) = &op.action else {
            return Ok(Look::Changed("there is no guest with snapshots".into()));
        };
        let Some(facts) = self.snapshot_facts(action).await? else {
            return Ok(Look::Changed(format!("{} is gone", op.target)));
        };
        let name = action.change.snapshot();
        if matches!(action.change, SnapshotStep::Delete { .. })
            && facts.snapshots.find(name).is_none()
            && facts.live.guest.lock.is_none()
        {
            return Ok(Look::Already(format!("there was no snapshot {name} any more")));
        }
        if let Some(why) = is_another(op, n, &facts.live) {
            return Ok(Look::Changed(why));
        }
        match plan_snapshot(action, &facts) {
            Planned::Nothing { why } | Planned::Refused { why } => {
                return Ok(Look::Changed(why.trim_end_matches('.').to_owned()));
            }
            Planned::Ready(draft) if draft.fingerprint != op.fingerprint => {
                return Ok(Look::Changed(format!(
                    "{} or its snapshots are not as they were when this was confirmed",
                    op.name
                )));
            }
            Planned::Ready(_) => {}
        }
        let (guest, node) = (&action.guest, facts.live.guest.node);
        let kinds = op.steps[n].kind.task_types();
        let seen = self.tasks_like(&guest.cluster, &node, guest.vmid, kinds).await?;
        Ok(Look::Go(Aim { node, vmid: Some(guest.vmid), seen }))
    }

    pub(super) async fn call_snapshot(
        &self,
        op: &Operation,
        step: &SnapshotStep,
        aim: &Aim,
    ) -> Result<Upid, CallFault> {
        let client =
            self.client(op.action.cluster()).map_err(|e| CallFault::never_sent(e.to_string()))?;
        let (Some(vmid), Some((_, kind))) = (aim.vmid, op.action.guest()) else {
            return Err(CallFault::never_sent("there is no guest with snapshots"));
        };
        let at = At { node: aim.node.clone(), kind, vmid };
        let accepted = match step {
            SnapshotStep::Create { name, note, ram } => {
                client.take_snapshot(&at, name, note, *ram).await?
            }
            SnapshotStep::Delete { name } => client.delete_snapshot(&at, name).await?,
            SnapshotStep::Rollback { name } => client.roll_back(&at, name).await?,
        };
        Ok(accepted.upid)
    }

    pub(super) async fn is_snapshot_met(
        &self,
        op: &Operation,
        step: &Step,
        wanted: &SnapshotStep,
    ) -> Result<Seen, Error> {
        let Some((guest, kind)) = op.action.guest() else {
            return Ok(Seen { met: false, now: "There is no guest.".into() });
        };
        let Some(live) = self.look_at_guest(guest, kind).await? else {
            let now = format!("{} {} does not exist.", kind.short(), guest.vmid);
            return Ok(Seen { met: false, now });
        };
        let rows = self.snapshots_of(&live).await?;
        let (g, name) = (&live.guest, wanted.snapshot());
        let there = rows.find(name);
        let free = g.lock.is_none();
        let lock = g.lock.as_ref().map(|l| format!(", locked ({l})")).unwrap_or_default();
        let (met, mut now) = match wanted {
            SnapshotStep::Create { .. } => match there {
                Some(Taken { unfinished: None, .. }) => {
                    (free, format!("{} has the snapshot {name}", describe(g)))
                }
                Some(_) => (false, format!("The snapshot {name} of {} is not whole", describe(g))),
                None => (false, format!("{} has no snapshot {name}", describe(g))),
            },
            SnapshotStep::Delete { .. } => match there {
                Some(_) => (false, format!("{} still has the snapshot {name}", describe(g))),
                None => (free, format!("{} has no snapshot {name} any more", describe(g))),
            },
            SnapshotStep::Rollback { .. } => {
                let back = rows.current.as_deref() == Some(name.as_str());
                let runs = g.status == GuestStatus::Running;
                // It may have been at that snapshot before: without its task, being there says nothing.
                let by_task = step.upid.is_some();
                let awake = runs || !there.is_some_and(|t| t.ram);
                let now = match back {
                    true => format!(
                        "{} goes on from the snapshot {name}, {}",
                        describe(g),
                        g.status.as_str()
                    ),
                    false => format!("{} is {}", describe(g), g.status.as_str()),
                };
                (back && free && by_task && awake, now)
            }
        };
        now.push_str(&lock);
        now.push('.');
        Ok(Seen { met, now })
    }
}

/// The list as Proxmox gives it, with its pseudo entry for the present, in our own terms.
fn read(rows: &[Snapshot]) -> Snapshots {
    let mut all = Snapshots::default();
    for row in rows {
        match row.name.as_deref() {
            Some("current") => all.current.clone_from(&row.parent),
            Some(name) => all.taken.push(Taken {
                name: name.to_owned(),
                note: row.description.as_deref().unwrap_or_default().trim().to_owned(),
                at_ms: row
                    .snaptime
                    .filter(|s| *s > 0)
                    .and_then(|s| i64::try_from(s).ok())
                    .map(|s| s.saturating_mul(1000)),
                parent: row.parent.clone(),
                ram: row.vmstate,
                unfinished: row.snapstate.clone(),
            }),
            None => {}
        }
    }
    // Proxmox gives them in no order of its own.
    all.taken.sort_by(|a, b| (a.at_ms, &a.name).cmp(&(b.at_ms, &b.name)));
    all
}
