//! Two looks at a cluster, laid side by side: what is measured now, and what happened between them.
//!
//! A guest that went off is only remarkable when nobody asked for it, so tasks and gantry's own operations are looked
//! at before anything is said. What is remembered between two looks is small and is kept, so that a restart misses
//! nothing: what happened meanwhile is found at the next look.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::backups::{self, BackupEnd};
use super::explain::{busy, changes, explained, passing};
use super::{Around, Excuse, Metric, Reading, Sample, Subject, TaskSeen, Wear};
use crate::id::{ClusterId, NodeName, Vmid};
use crate::world::{ClusterView, Guest, GuestStatus, NodeState};

/// Ended tasks remembered; more than `GET /cluster/tasks` ever lists.
const ENDED_KEPT: usize = 4000;
/// How long after it was asked high availability begins, at most, seconds: its manager looks every ten.
const HA_FOLLOWS_S: u64 = 600;
/// Guests named when a node goes.
const NAMED: usize = 8;

/// Why a guest is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stop {
    /// Nobody is known to have asked.
    Unexpected,
    /// Somebody asked.
    Meant(Excuse),
}

/// What is remembered of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenGuest {
    status: GuestStatus,
    node: NodeName,
    name: String,
    #[serde(default)]
    stop: Option<Stop>,
}

/// What is remembered of a cluster between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was looked at, milliseconds.
    pub at_ms: i64,
    nodes: BTreeMap<String, NodeState>,
    guests: BTreeMap<u32, SeenGuest>,
    ended: BTreeSet<String>,
    /// Those that were known one look earlier. A task that ended between two reads of one look belongs to the next.
    #[serde(default)]
    older: BTreeSet<String>,
    backups: BTreeMap<String, BackupEnd>,
    /// When each guest was backed up last, by what was ever seen: the newest backup may be deleted.
    #[serde(default)]
    backed_up: BTreeMap<u32, i64>,
    /// Whether tasks were ever read.
    tasks_known: bool,
}

/// What a look gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// The values.
    pub reading: Reading,
    /// What to remember.
    pub snapshot: Snapshot,
    /// What happened since the look before, in people's words.
    pub happenings: Vec<String>,
}

/// Derives samples from a look at a cluster, `before` being what is remembered of the one before.
pub fn derive(
    before: Option<&Snapshot>,
    view: &ClusterView,
    around: &Around,
    now_ms: i64,
) -> Derived {
    let mut out = Maker {
        cluster: view.cluster.clone(),
        samples: Vec::new(),
        covers: vec![Metric::Unreachable],
        happenings: Vec::new(),
        snapshot: before.cloned().unwrap_or_default(),
    };
    let fault = view.fault.clone().unwrap_or_default();
    let away = f64::from(u8::from(view.fault.is_some()));
    out.push(Sample::new(Subject::cluster(&view.cluster), Metric::Unreachable, away).detail(fault));
    if view.fault.is_some() || view.observed_ms == 0 {
        return out.done(now_ms, before.map_or(0, |b| b.at_ms));
    }
    out.cluster(view);
    let lost = out.nodes(view, around);
    out.storages(view, &lost);
    out.guests(view, around);
    if let Some(tasks) = &around.tasks {
        out.tasks(before, view, tasks, &around.own_user, now_ms);
    }
    out.slow(view, around, now_ms);
    out.done(now_ms, now_ms)
}

struct Maker {
    cluster: ClusterId,
    samples: Vec<Sample>,
    covers: Vec<Metric>,
    happenings: Vec<String>,
    snapshot: Snapshot,
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

impl Maker {
    fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// A value, or that nobody can say.
    fn figure(&mut self, subject: &Subject, metric: Metric, value: Option<f64>, known: bool) {
        if value.is_some() || !known {
            let value = value.filter(|_| known);
            let mut sample = Sample::new(subject.clone(), metric, 0.0);
            sample.value = value;
            self.push(sample);
        }
    }

    fn done(mut self, now_ms: i64, at_ms: i64) -> Derived {
        self.snapshot.at_ms = at_ms;
        let reading = Reading {
            cluster: self.cluster,
            at_ms: now_ms,
            covers: self.covers,
            samples: self.samples,
        };
        Derived { reading, snapshot: self.snapshot, happenings: self.happenings }
    }

    fn cluster(&mut self, view: &ClusterView) {
        let mut sample = Sample::new(Subject::cluster(&view.cluster), Metric::NoQuorum, 0.0);
        sample.value = view.quorate.map(|q| f64::from(u8::from(!q)));
        sample.detail = "nothing can be changed until a majority of nodes is back".into();
        self.push(sample);
        self.covers.push(Metric::NoQuorum);
    }

    /// Returns the nodes that cannot be relied on.
    fn nodes(&mut self, view: &ClusterView, around: &Around) -> Vec<NodeName> {
        use Metric::{NodeCpu, NodeDisk, NodeDown, NodeMemory, NodeUnknown};
        let mut lost = Vec::new();
        for node in &view.nodes {
            let subject = Subject::node(&view.cluster, node);
            let up = node.state == NodeState::Up;
            if !up {
                lost.push(node.name.clone());
            }
            let reason = node.reason.clone().unwrap_or_default();
            let detail = if up { reason } else { join(&[&reason, &there(view, &node.name)]) };
            let flag = |is: bool| f64::from(u8::from(is));
            let down = node.state == NodeState::Down;
            self.push(Sample::new(subject.clone(), NodeDown, flag(down)).detail(detail.clone()));
            let unknown = node.state == NodeState::Unknown;
            self.push(Sample::new(subject.clone(), NodeUnknown, flag(unknown)).detail(detail));
            let known = up && node.mem_max > 0;
            self.figure(&subject, NodeCpu, Some(node.cpu * 100.0), known);
            self.figure(&subject, NodeMemory, share(node.mem, node.mem_max), known);
            self.figure(&subject, NodeDisk, share(node.disk, node.disk_max), known);
            let was = self.snapshot.nodes.insert(node.name.to_string(), node.state);
            if let Some(was) = was.filter(|was| *was != node.state) {
                let word = |s: NodeState| match s {
                    NodeState::Up => "up",
                    NodeState::Down => "down",
                    NodeState::Unknown => "not answering",
                };
                self.happenings.push(format!(
                    "node {}: {}, was {}",
                    node.name,
                    word(node.state),
                    word(was)
                ));
            }
        }
        self.covers.extend([NodeDown, NodeUnknown, NodeCpu, NodeMemory, NodeDisk]);
        if let Some(open) = &around.breakers {
            for node in &view.nodes {
                let why = open.get(&node.name);
                let subject = Subject::node(&view.cluster, node);
                let bad = f64::from(u8::from(why.is_some()));
                let sample = Sample::new(subject, Metric::OwnBreaker, bad);
                self.push(sample.detail(why.cloned().unwrap_or_default()));
            }
            self.covers.push(Metric::OwnBreaker);
        }
        lost
    }

    fn storages(&mut self, view: &ClusterView, lost: &[NodeName]) {
        let mut shared = BTreeSet::new();
        for storage in &view.storages {
            if storage.shared && (lost.contains(&storage.node) || !shared.insert(&storage.id)) {
                continue;
            }
            let subject = Subject::storage(&view.cluster, storage);
            let known = !lost.contains(&storage.node);
            let used = share(storage.used, storage.total).filter(|_| storage.active);
            self.figure(&subject, Metric::StorageUsed, used, known && storage.active);
            let inactive = f64::from(u8::from(!storage.active));
            self.figure(&subject, Metric::StorageInactive, Some(inactive), known);
        }
        self.covers.extend([Metric::StorageUsed, Metric::StorageInactive]);
    }

    fn guests(&mut self, view: &ClusterView, around: &Around) {
        use Metric::{GuestCpu, GuestDisk, GuestHa, GuestMemory, GuestStopped};
        let mut there = BTreeSet::new();
        for guest in view.guests.iter().filter(|g| !g.template) {
            there.insert(guest.vmid.get());
            let subject = Subject::guest(guest);
            let known = guest.status != GuestStatus::Unknown;
            self.stopped(guest, &subject, around);
            let running = guest.status == GuestStatus::Running;
            self.figure(&subject, GuestCpu, Some(guest.cpu * 100.0).filter(|_| running), known);
            let memory = share(guest.mem, guest.mem_max).filter(|_| running);
            self.figure(&subject, GuestMemory, memory, known);
            let disk = share(guest.disk, guest.disk_max).filter(|_| running && guest.disk > 0);
            self.figure(&subject, GuestDisk, disk, known);
            if let Some(state) = &guest.ha {
                let error = f64::from(u8::from(state == "error"));
                let sample = Sample::new(subject, GuestHa, error);
                self.push(sample.detail(format!("high availability says: {state}")));
            }
        }
        let gone: Vec<u32> =
            self.snapshot.guests.keys().filter(|v| !there.contains(v)).copied().collect();
        for vmid in gone {
            self.snapshot.backed_up.remove(&vmid);
            if let Some(old) = self.snapshot.guests.remove(&vmid) {
                self.happenings.push(format!("{} ({vmid}) is gone", old.name));
            }
        }
        self.covers.extend([GuestStopped, GuestCpu, GuestMemory, GuestDisk, GuestHa]);
    }

    /// Whether a guest is off that should not be, and what is remembered of it.
    fn stopped(&mut self, guest: &Guest, subject: &Subject, around: &Around) {
        let mut sample = Sample::new(subject.clone(), Metric::GuestStopped, 0.0);
        let old = self.snapshot.guests.get(&guest.vmid.get()).cloned();
        if guest.status == GuestStatus::Unknown {
            sample.value = None;
            self.push(sample);
            return;
        }
        let mut stop = old.as_ref().and_then(|o| o.stop.clone());
        let was = old.as_ref().map(|o| o.status);
        let label = subject.label();
        if guest.status != GuestStatus::Stopped {
            stop = None;
        } else if was == Some(GuestStatus::Running) {
            let cause = explained(guest, around, &self.snapshot.older);
            let how = cause.as_ref().map_or("nobody is known to have asked".into(), Excuse::words);
            self.happenings.push(format!("{label} went off: {how}"));
            stop = Some(cause.map_or(Stop::Unexpected, Stop::Meant));
        }
        if was == Some(GuestStatus::Stopped) && guest.status == GuestStatus::Running {
            self.happenings.push(format!("{label} was started"));
        }
        if let Some(old) = old.as_ref().filter(|o| o.node != guest.node) {
            self.happenings.push(format!("{label} moved from {} to {}", old.node, guest.node));
        }
        match &stop {
            Some(Stop::Unexpected) => {
                sample.value = Some(1.0);
                sample.detail = "it went off, and nobody is known to have asked for it".into();
                // A task that began later explains it as well: it is being taken care of.
                sample.excuse = busy(guest, around);
            }
            Some(Stop::Meant(excuse)) if passing(excuse) => {
                let still = busy(guest, around);
                sample.value = Some(1.0);
                sample.detail = "it is off".into();
                sample.excuse = still;
            }
            Some(Stop::Meant(_)) | None => {}
        }
        let seen = SeenGuest {
            status: guest.status,
            node: guest.node.clone(),
            name: guest.name.clone(),
            stop,
        };
        self.snapshot.guests.insert(guest.vmid.get(), seen);
        self.push(sample);
    }

    fn tasks(
        &mut self,
        before: Option<&Snapshot>,
        view: &ClusterView,
        tasks: &[TaskSeen],
        own: &str,
        now_ms: i64,
    ) {
        let first = before.is_none_or(|b| !b.tasks_known);
        let mut listed = BTreeSet::new();
        // Oldest first, so that the newest outcome is the one that stays.
        let mut ended: Vec<&TaskSeen> = tasks.iter().filter(|t| t.ended_ms.is_some()).collect();
        ended.sort_by_key(|t| t.ended_ms);
        for task in ended {
            let text = task.upid.as_str().to_owned();
            let is_new = !self.snapshot.ended.contains(&text);
            listed.insert(text);
            if first || !is_new {
                continue;
            }
            let guest = task.upid.id().parse::<Vmid>().ok().and_then(|v| view.guest(v));
            if task.upid.kind() == "vzdump" {
                self.backup(task, guest);
            } else {
                self.ended(task, guest, by_us(task, tasks, own));
            }
        }
        self.snapshot.tasks_known = true;
        let ended = listed.into_iter().take(ENDED_KEPT).collect();
        self.snapshot.older = std::mem::replace(&mut self.snapshot.ended, ended);
        backups::forget(&mut self.snapshot.backups, view, now_ms);
        self.samples.extend(backups::outcomes(&self.snapshot.backups, view));
        self.covers.extend([Metric::TaskFailed, Metric::BackupFailed, Metric::GuestChanged]);
    }

    fn backup(&mut self, task: &TaskSeen, guest: Option<&Guest>) {
        let node = task.upid.node().clone();
        let (id, name) = match (task.upid.id(), guest) {
            ("", _) => (format!("vzdump@{node}"), format!("backup job on {node}")),
            (vmid, Some(g)) => (
                format!("vzdump/{vmid}"),
                format!("backup of {} ({} {vmid})", g.name, g.kind.short()),
            ),
            (vmid, None) => (format!("vzdump/{vmid}"), format!("backup of {vmid}")),
        };
        let how = task.failure.as_deref().map_or("done".to_owned(), |why| format!("failed: {why}"));
        self.happenings.push(format!("{name}: {how}"));
        let at_ms = task.ended_ms.unwrap_or(0);
        let failure = task.failure.clone();
        self.snapshot.backups.insert(id, BackupEnd { name, node, at_ms, failure });
    }

    fn ended(&mut self, task: &TaskSeen, guest: Option<&Guest>, ours: bool) {
        let upid = &task.upid;
        let about = guest.map_or(upid.id().to_owned(), |g| Subject::guest(g).label());
        if let Some(why) = &task.failure {
            let name = join(&[upid.kind(), &about]);
            let subject = Subject::task(&self.cluster, upid.as_str(), &name, upid.node());
            let detail = format!("{} asked for it; it ended with: {why}", upid.user());
            self.happenings.push(format!("{name} of {} failed: {why}", upid.user()));
            let mut sample = Sample::new(subject, Metric::TaskFailed, 1.0).detail(detail);
            if ours {
                // Its own message tells that it failed, and why.
                sample.excuse = Some(Excuse::Operation { id: upid.as_str().to_owned() });
            }
            self.push(sample);
        } else if let Some(guest) = guest.filter(|_| !ours && changes(upid.kind())) {
            let detail = format!("{} by {}", upid.kind(), upid.user());
            self.push(Sample::new(Subject::guest(guest), Metric::GuestChanged, 1.0).detail(detail));
        }
    }

    /// What is read less often.
    fn slow(&mut self, view: &ClusterView, around: &Around, now_ms: i64) {
        if let Some(figures) = &around.figures {
            for f in figures {
                let Some(node) = view.node(&f.node) else { continue };
                let subject = Subject::node(&view.cluster, node);
                let known = node.state == NodeState::Up;
                self.figure(&subject, Metric::NodeSwap, f.swap, known);
                self.figure(&subject, Metric::NodeLoad, f.load, known);
            }
        }
        if let Some(newest) = &around.backups {
            let remembered = &mut self.snapshot.backed_up;
            self.samples.extend(backups::ages(newest, remembered, view, now_ms));
            self.covers.push(Metric::BackupAge);
        }
        if let Some(failing) = &around.replications {
            for guest in view.guests.iter().filter(|g| failing.contains_key(&g.vmid)) {
                let Some((count, why)) = failing.get(&guest.vmid) else { continue };
                let subject = Subject::guest(guest);
                let sample = Sample::new(subject, Metric::Replication, f64::from(*count));
                self.push(sample.detail(why.clone()));
            }
            self.covers.push(Metric::Replication);
        }
        if let Some(wear) = &around.wear {
            self.wear(view, wear);
        }
    }

    /// What ages and breaks by itself.
    fn wear(&mut self, view: &ClusterView, wear: &Wear) {
        for (name, days) in &wear.certificates {
            let Some(node) = view.node(name) else { continue };
            let subject = Subject::node(&view.cluster, node);
            self.push(Sample::new(subject, Metric::CertificateDays, *days));
        }
        for disk in &wear.disks {
            let metric = if disk.is_pool { Metric::PoolDegraded } else { Metric::DiskFailing };
            let subject = Subject::disk(&view.cluster, &disk.name, &disk.node);
            let bad = f64::from(u8::from(!disk.well));
            self.push(Sample::new(subject, metric, bad).detail(disk.says.clone()));
        }
        if wear.whole {
            self.covers.extend([Metric::DiskFailing, Metric::PoolDegraded]);
        }
        if let Some((level, why)) = &wear.ceph {
            let subject = Subject::cluster(&view.cluster);
            let sample = Sample::new(subject, Metric::CephHealth, f64::from(*level));
            self.push(sample.detail(why.clone()));
        }
        if let Some(uncovered) = &wear.uncovered {
            for guest in view.guests.iter().filter(|g| !g.template) {
                let bad = f64::from(u8::from(uncovered.contains(&guest.vmid)));
                self.push(Sample::new(Subject::guest(guest), Metric::BackupNone, bad));
            }
            self.covers.push(Metric::BackupNone);
        }
    }
}

/// Whether gantry asked for it: by itself, or by asking high availability, which begins a task of its own as root a little
/// later.
fn by_us(task: &TaskSeen, tasks: &[TaskSeen], own: &str) -> bool {
    let upid = &task.upid;
    let led_to_it = |t: &TaskSeen| {
        let since = upid.started_s().checked_sub(t.upid.started_s());
        t.upid.user() == own
            && t.upid.kind().starts_with("ha")
            && t.upid.id() == upid.id()
            && since.is_some_and(|s| s <= HA_FOLLOWS_S)
    };
    upid.user() == own || tasks.iter().any(led_to_it)
}

fn join(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|p| !p.is_empty()).collect();
    parts.join(" ")
}

/// Who is on a node, for the message about its loss.
fn there(view: &ClusterView, node: &NodeName) -> String {
    let guests: Vec<&Guest> =
        view.guests.iter().filter(|g| g.node == *node && !g.template).collect();
    if guests.is_empty() {
        return "· no guests there".into();
    }
    let names: Vec<String> = guests.iter().take(NAMED).map(|g| g.name.clone()).collect();
    let more = guests.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("· {} guests there: {}{more}", guests.len(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_high_availability_does_for_gantry_is_gantrys_own() {
        let task = |kind: &str, vmid: u32, user: &str, at_s: u64| TaskSeen {
            upid: format!("UPID:pve1:00000001:00000001:{at_s:08X}:{kind}:{vmid}:{user}:")
                .parse()
                .unwrap(),
            ended_ms: Some(1),
            failure: None,
        };
        let own = "gantry@pve!bot";
        let tasks = [task("hamigrate", 201, own, 1000), task("vzstart", 202, own, 1000)];
        assert!(by_us(&tasks[0], &tasks, own));
        assert!(by_us(&task("vzmigrate", 201, "root@pam", 1012), &tasks, own));
        assert!(!by_us(&task("vzmigrate", 202, "root@pam", 1012), &tasks, own), "not asked for");
        assert!(!by_us(&task("vzmigrate", 201, "root@pam", 900), &tasks, own), "before it");
        assert!(!by_us(&task("vzmigrate", 201, "root@pam", 2000), &tasks, own), "long after");
    }
}
