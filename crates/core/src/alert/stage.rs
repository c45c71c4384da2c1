//! A small cluster that tests move: two looks are laid side by side every 10 s, and what is told is read back.

use std::collections::BTreeMap;

use super::*;
use crate::id::{ChannelId, GuildId, IncidentId, RoleId};
use crate::world::{ClusterView, Guest, GuestStatus, Node, NodeState, Storage};

pub(super) const S: i64 = 1000;
pub(super) const MIN: i64 = 60 * S;
/// A Saturday at noon, UTC.
pub(super) const NOON: i64 = 1_700_308_800_000;

pub(super) struct Stage {
    pub(super) desk: Desk,
    pub(super) view: ClusterView,
    pub(super) around: Around,
    pub(super) before: Option<Snapshot>,
    pub(super) now: i64,
    pub(super) ids: u128,
    pub(super) touched: u32,
}

pub(super) fn route() -> Route {
    Route {
        guild: GuildId(1),
        channel: ChannelId(2),
        clusters: vec![],
        least: Severity::Warning,
        mention_from: Severity::Critical,
        mention: Some(RoleId(9)),
        quiet: None,
        per_hour: 100,
        cooldown_ms: 5 * MIN,
        escalation: vec![],
        duty: Duty::default(),
        threads: true,
        reports: vec![],
    }
}

pub(super) fn node(name: &str) -> Node {
    Node {
        name: name.parse().unwrap(),
        state: NodeState::Up,
        since_ms: 0,
        reason: None,
        seen_ms: 1,
        cpu: 0.1,
        cores: 8.0,
        mem: 1,
        mem_max: 10,
        disk: 1,
        disk_max: 10,
        uptime_s: 1,
    }
}

pub(super) fn guest(vmid: u32, name: &str, node: &str) -> Guest {
    Guest {
        node: node.parse().unwrap(),
        cpu: 0.1,
        mem: 1,
        mem_max: 10,
        disk: 1,
        disk_max: 10,
        uptime_s: 5,
        ..Guest::sample(vmid, name)
    }
}

pub(super) fn storage(id: &str, node: &str) -> Storage {
    Storage {
        id: id.parse().unwrap(),
        node: node.parse().unwrap(),
        kind: "dir".into(),
        shared: false,
        used: 10,
        total: 100,
        active: true,
        content: vec![],
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        let mut view = ClusterView::unseen("lab".parse().unwrap());
        view.observed_ms = 1;
        view.quorate = Some(true);
        view.nodes = vec![node("pve1"), node("pve2"), node("pve3")];
        view.guests = (0..6u32)
            .map(|n| guest(200 + n, &format!("web-{n}"), ["pve1", "pve2"][n as usize % 2]))
            .collect();
        view.storages = ["pve1", "pve2", "pve3"].map(|n| storage("local", n)).into();
        let around =
            Around { tasks: Some(vec![]), own_user: "gantry@pve!bot".into(), ..Around::default() };
        let desk = Desk {
            route: route(),
            rules: defaults(),
            mutes: vec![],
            book: Book::default(),
            incidents: BTreeMap::new(),
        };
        let mut stage = Self { desk, view, around, before: None, now: NOON, ids: 0, touched: 0 };
        stage.look();
        stage
    }

    /// One look at the cluster.
    pub(super) fn look(&mut self) {
        let derived = derive(self.before.as_ref(), &self.view, &self.around, self.now);
        self.before = Some(derived.snapshot);
        let (ids, now) = (&mut self.ids, self.now);
        let mut id = || {
            *ids += 1;
            IncidentId::new(now, *ids)
        };
        let out = self.desk.step(&derived.reading, self.now, &mut id);
        self.touched += u32::try_from(out.touched.len()).unwrap();
    }

    /// Time passes, looking every 10 s.
    pub(super) fn passes(&mut self, seconds: i64) {
        for _ in 0..seconds / 10 {
            self.now += 10 * S;
            self.look();
        }
    }

    pub(super) fn guest(&mut self, vmid: u32) -> &mut Guest {
        self.view.guests.iter_mut().find(|g| g.vmid.get() == vmid).unwrap()
    }

    pub(super) fn stops(&mut self, vmid: u32) {
        self.guest(vmid).status = GuestStatus::Stopped;
    }

    pub(super) fn starts(&mut self, vmid: u32) {
        self.guest(vmid).status = GuestStatus::Running;
    }

    pub(super) fn node_is(&mut self, name: &str, state: NodeState) {
        let node = self.view.nodes.iter_mut().find(|n| n.name.as_str() == name).unwrap();
        node.state = state;
        for guest in self.view.guests.iter_mut().filter(|g| g.node.as_str() == name) {
            guest.status =
                if state == NodeState::Down { GuestStatus::Unknown } else { GuestStatus::Running };
        }
    }

    pub(super) fn fills(&mut self, node: &str, percent: u64) {
        self.view.storages.iter_mut().find(|s| s.node.as_str() == node).unwrap().used = percent;
    }

    pub(super) fn task(
        &mut self,
        kind: &str,
        id: &str,
        user: &str,
        failure: Option<&str>,
        running: bool,
    ) {
        let started = self.now / 1000;
        let n = self.around.tasks.as_ref().map_or(0, Vec::len);
        let upid = format!("UPID:pve1:{n:08X}:00000001:{started:08X}:{kind}:{id}:{user}:");
        let task = TaskSeen {
            upid: upid.parse().unwrap(),
            ended_ms: (!running).then_some(self.now),
            failure: failure.map(str::to_owned),
        };
        self.around.tasks.get_or_insert_default().insert(0, task);
    }

    /// The messages, oldest first: `headline · firing/silenced/folded/over · open`.
    pub(super) fn messages(&self) -> Vec<String> {
        let posted = self.desk.incidents.values().filter(|i| i.posted_ms.is_some());
        posted
            .map(|i| {
                let s = &i.summary;
                let state = match (&i.resolved_ms, &i.ack) {
                    (Some(_), _) => "over",
                    (None, Some(_)) => "acknowledged",
                    (None, None) => "open",
                };
                format!(
                    "{} · {}/{}/{}/{} · {state}",
                    i.headline(),
                    s.firing,
                    s.muted,
                    s.folded,
                    s.over
                )
            })
            .collect()
    }

    pub(super) fn held(&self) -> Vec<Hold> {
        self.desk.incidents.values().filter_map(|i| i.hold).collect()
    }
}
