//! The whole cluster as one value behind one lock, and the clock that moves it.
//!
//! Invariant: `advance` runs before anything is read, and carries out due task steps in the order of their
//! time; nothing else changes the world on its own. Servers, dispatcher and control API share it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::access::Access;
use crate::firewall::Scope;
use crate::guest::{Guest, GuestKind, Load, Snapshot};
use crate::internet::Internet;
use crate::network::Network;
use crate::noise::{mix, unit, wave};
use crate::sdn::Sdn;
use crate::shell::{ExecAnswers, NodeFiles};
use crate::task::Task;
use crate::trouble::{Trouble, Troubles};
use crate::view::{Change, RequestRecord};
use crate::volume::Volume;
use crate::world::{NodeSpec, StorageSpec, World};

/// How many request records are kept before the oldest is dropped.
const REQUESTS_KEPT: usize = 20_000;

/// A node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) cores: u32,
    pub(crate) memory: u64,
    pub(crate) address: String,
    /// Seconds since the epoch.
    pub(crate) booted: f64,
    pub(crate) fingerprint: String,
    /// Times during which it was down, for gaps in graphs.
    pub(crate) outages: Vec<(f64, Option<f64>)>,
    /// Which version of Proxmox VE it says it runs.
    pub(crate) version: String,
}

/// A storage with what lies on it, per node unless shared.
pub(crate) struct Storage {
    pub(crate) spec: StorageSpec,
    /// (node or "" when shared, name below the storage).
    pub(crate) volumes: BTreeMap<(String, String), Volume>,
}

impl Storage {
    pub(crate) fn on(&self, node: &str) -> bool {
        self.spec.nodes.is_empty() || self.spec.nodes.iter().any(|n| n == node)
    }

    pub(crate) fn owner(&self, node: &str) -> String {
        if self.spec.shared { String::new() } else { node.to_owned() }
    }

    pub(crate) fn holds(&self, content: &str) -> bool {
        self.spec.content.split(',').any(|c| c == content)
    }
}

/// A pool.
#[derive(Default)]
pub(crate) struct Pool {
    pub(crate) comment: String,
    pub(crate) storages: Vec<String>,
}

/// Settings that do not change while it runs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) cluster: String,
    pub(crate) speed: f64,
    pub(crate) unauthorised_delay: Duration,
    pub(crate) proxy_timeout: Duration,
    pub(crate) seed: u64,
}

/// The cluster.
pub(crate) struct State {
    pub(crate) settings: Settings,
    started: Instant,
    /// Seconds since the epoch at the start.
    pub(crate) epoch: f64,
    pub(crate) nodes: Vec<Node>,
    /// Interfaces by node.
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) sdn: Sdn,
    /// The firewall's files: `cluster`, `node/pve1`, `guest/100`.
    pub(crate) firewall: BTreeMap<String, Scope>,
    pub(crate) guests: BTreeMap<u32, Guest>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) access: Access,
    pub(crate) troubles: Troubles,
    /// By number, so that numbers stay true when old ones go.
    pub(crate) tasks: BTreeMap<u64, Task>,
    pub(crate) by_upid: HashMap<String, u64>,
    pub(crate) next_task: u64,
    /// When (microseconds since the epoch) which task's next step is due.
    pub(crate) due: BinaryHeap<Reverse<(u64, u64)>>,
    pids: u32,
    pub(crate) next_data: u64,
    pub(crate) internet: Internet,
    dhcp: [u8; 2],
    /// What the script and the kernel of each node know.
    pub(crate) shells: BTreeMap<String, NodeFiles>,
    pub(crate) exec_answers: ExecAnswers,
    /// Addresses that whoever is root in a container gives its cards.
    pub(crate) said_addresses: BTreeMap<u32, Vec<String>>,
    pub(crate) changes: Vec<Change>,
    change_count: u64,
    pub(crate) requests: VecDeque<RequestRecord>,
    pub(crate) requests_dropped: u64,
    first_request: u64,
    /// Tags only Sys.Modify on / may set or remove.
    pub(crate) registered_tags: Vec<String>,
    /// What ages and breaks by itself.
    pub(crate) wear: crate::wear::Wear,
    /// Notification targets and matchers.
    pub(crate) notify: crate::notify::Notifications,
}

impl State {
    /// Builds the cluster of `world`; `names` are used when the world names no nodes.
    pub(crate) fn new(settings: Settings, world: World, names: &[String]) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let specs = if world.nodes.is_empty() {
            names.iter().map(|name| NodeSpec::new(name)).collect()
        } else {
            world.nodes
        };
        let nodes: Vec<Node> = specs
            .into_iter()
            .enumerate()
            .map(|(n, spec)| Node {
                name: spec.name,
                cores: spec.cores,
                memory: spec.memory_gib << 30,
                address: format!("10.20.0.{}", 11 + n),
                booted: epoch - spec.uptime as f64 - n as f64 * 977.0,
                fingerprint: String::new(),
                outages: Vec::new(),
                version: crate::api::VERSION.to_owned(),
            })
            .collect();
        let seed = settings.seed;
        let mut state = Self {
            settings,
            started: Instant::now(),
            epoch,
            networks: nodes
                .iter()
                .map(|n| (n.name.clone(), Network::of_node(&n.address)))
                .collect(),
            sdn: Sdn::default(),
            firewall: BTreeMap::new(),
            guests: BTreeMap::new(),
            storages: Vec::new(),
            pools: BTreeMap::new(),
            access: Access::new(),
            troubles: Troubles::default(),
            tasks: BTreeMap::new(),
            by_upid: HashMap::new(),
            next_task: 0,
            due: BinaryHeap::new(),
            pids: 4_000,
            next_data: 0,
            internet: world.internet,
            dhcp: world.dhcp.unwrap_or([10, 20]),
            shells: BTreeMap::new(),
            exec_answers: ExecAnswers::new(),
            said_addresses: BTreeMap::new(),
            changes: Vec::new(),
            change_count: 0,
            requests: VecDeque::new(),
            requests_dropped: 0,
            first_request: 0,
            registered_tags: vec!["critical".to_owned()],
            wear: crate::wear::Wear::default(),
            notify: crate::notify::Notifications::default(),
            nodes,
        };
        for spec in world.storages {
            let mut storage = Storage { volumes: BTreeMap::new(), spec };
            for (name, bytes) in storage.spec.volumes.clone() {
                let owners: Vec<String> = if storage.spec.shared {
                    vec![String::new()]
                } else {
                    state.nodes.iter().map(|n| n.name.clone()).collect()
                };
                for owner in owners {
                    let created = epoch as u64 - 40 * 86_400;
                    let data = state.fresh_data();
                    let volume = Volume { bytes, created, data, ..Volume::default() };
                    storage.volumes.insert((owner, name.clone()), volume);
                }
            }
            state.storages.push(storage);
        }
        for past in world.history {
            state.remember(&past);
        }
        for (name, comment) in world.pools {
            state.pools.insert(name, Pool { comment, storages: Vec::new() });
        }
        let first = state.nodes.first().map(|n| n.name.clone()).unwrap_or_default();
        for spec in world.guests {
            if let Some(pool) = &spec.pool {
                state.pools.entry(pool.clone()).or_default();
            }
            let own = mix(seed ^ u64::from(spec.vmid));
            let mut load = Load::from_seed(own);
            if let Some((cpu, mem)) = spec.demand {
                load.cpu = cpu;
                load.mem = mem;
            }
            let mut config = spec.config;
            if let Some(tags) = config.get("tags") {
                config.insert("tags".to_owned(), unique_tags(tags));
            }
            let mut guest = Guest {
                vmid: spec.vmid,
                kind: spec.kind,
                node: if spec.node.is_empty() { first.clone() } else { spec.node },
                config,
                pending: BTreeMap::new(),
                pool: spec.pool,
                snapshots: Vec::new(),
                parent: None,
                running: None,
                paused: false,
                pid: 10_000 + spec.vmid,
                load,
                ignores_shutdown: spec.ignores_shutdown,
                born: epoch - (30.0 + 370.0 * unit(own ^ 77)) * 86_400.0,
                runs: Vec::new(),
                image: None,
                unhealthy: false,
                borrowed: Vec::new(),
                ha: spec.ha,
            };
            let up = 3_600.0 + 20.0 * 86_400.0 * unit(own ^ 78);
            if spec.running {
                guest.running = Some(epoch - up);
            }
            // An earlier run that ended some hours before: the gap is visible in graphs.
            let gap = 1_800.0 + 9_000.0 * unit(own ^ 79);
            guest.runs.push((guest.born, epoch - up - gap));
            for (n, name) in spec.snapshots.iter().enumerate() {
                let parent = guest.parent.replace(name.clone());
                guest.snapshots.push(Snapshot {
                    name: name.clone(),
                    description: String::new(),
                    parent,
                    time: (epoch as u64).saturating_sub(86_400 * (9 - n.min(8) as u64)),
                    vmstate: false,
                    config: guest.config.clone(),
                });
            }
            state.adopt_disks(&guest);
            state.guests.insert(guest.vmid, guest);
        }
        state
    }

    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> f64 {
        self.epoch + self.started.elapsed().as_secs_f64()
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// Part of the cluster, as the others see it.
    pub(crate) fn online(&self, node: &str) -> bool {
        !self.troubles.down(node) && !self.troubles.cut_off(node)
    }

    /// Is there a bridge of that name on the node, its own or a vnet's?
    pub(crate) fn has_bridge(&self, node: &str, bridge: &str) -> bool {
        self.networks.get(node).is_some_and(|n| n.bridges().any(|b| b == bridge))
            || self.sdn.live_vnets(node).iter().any(|v| v == bridge)
    }

    pub(crate) fn storage(&self, name: &str) -> Option<&Storage> {
        self.storages.iter().find(|s| s.spec.name == name)
    }

    pub(crate) const fn next_pid(&mut self) -> u32 {
        self.pids = if self.pids > 4_000_000 { 2_000 } else { self.pids + 7 };
        self.pids
    }

    /// Notes a change that was really carried out.
    pub(crate) fn note(
        &mut self,
        at: f64,
        what: &str,
        vmid: Option<u32>,
        node: &str,
        user: &str,
        detail: &str,
    ) {
        self.change_count += 1;
        self.changes.push(Change {
            n: self.change_count,
            at_ms: (at * 1e3) as u64,
            what: what.to_owned(),
            vmid,
            node: node.to_owned(),
            user: user.to_owned(),
            detail: detail.to_owned(),
        });
    }

    pub(crate) fn note_guest(&mut self, at: f64, what: &str, vmid: u32, user: &str, detail: &str) {
        let node = self.guests.get(&vmid).map(|g| g.node.clone()).unwrap_or_default();
        self.note(at, what, Some(vmid), &node, user, detail);
    }

    /// Remembers a request when it arrives; the oldest goes when there are too many. Gives its number.
    pub(crate) fn record(&mut self, record: RequestRecord) -> u64 {
        if self.requests.len() >= REQUESTS_KEPT {
            self.requests.pop_front();
            self.requests_dropped += 1;
            self.first_request += 1;
        }
        self.requests.push_back(record);
        self.first_request + self.requests.len() as u64 - 1
    }

    /// Adds the status when it is known.
    pub(crate) fn answered(&mut self, number: u64, status: u16) {
        if let Some(at) = number.checked_sub(self.first_request)
            && let Some(record) = usize::try_from(at).ok().and_then(|at| self.requests.get_mut(at))
        {
            record.status = status;
        }
    }

    /// Forgets the requests so far.
    pub(crate) fn forget_requests(&mut self) {
        self.first_request += self.requests.len() as u64;
        self.requests.clear();
        self.requests_dropped = 0;
    }

    /// CPU fraction and memory bytes in use on every node, from the guests on it.
    pub(crate) fn node_load(&self, at: f64) -> HashMap<&str, (f64, u64)> {
        let mut sums: HashMap<&str, (f64, u64)> = HashMap::new();
        for guest in self.guests.values() {
            if let Some((cpu, mem)) = guest.demand_at(at) {
                let cores = guest.cores(1);
                let sum = sums.entry(guest.node.as_str()).or_default();
                sum.0 += cpu * f64::from(cores);
                sum.1 += mem;
            }
        }
        self.nodes
            .iter()
            .enumerate()
            .map(|(n, node)| {
                let (cores, mem) = sums.get(node.name.as_str()).copied().unwrap_or_default();
                let idle = 0.012 * (1.0 + 0.5 * wave(self.settings.seed ^ (n as u64 + 1), at));
                let cpu = (cores / f64::from(node.cores) + idle).clamp(0.0, 0.999);
                let floor = 2_u64 << 30;
                (node.name.as_str(), (cpu, (mem + floor).min(node.memory / 100 * 98)))
            })
            .collect()
    }

    /// Adds a trouble and does what it means at once.
    pub(crate) fn trouble(&mut self, trouble: Trouble) -> Result<u64, String> {
        let now = self.now();
        match &trouble {
            Trouble::NodeDown { node }
            | Trouble::NodeSilent { node }
            | Trouble::NetworkBroken { node } => {
                let found = self.nodes.iter_mut().find(|n| n.name == *node);
                let Some(found) = found else { return Err(format!("no node is called {node}")) };
                if matches!(trouble, Trouble::NodeDown { .. }) {
                    found.outages.push((now, None));
                }
            }
            Trouble::Locked { vmid, lock } => {
                let Some(guest) = self.guests.get_mut(vmid) else {
                    return Err(format!("no guest has the id {vmid}"));
                };
                guest.config.insert("lock".to_owned(), lock.clone());
            }
            Trouble::FillStorage { storage, .. } if self.storage(storage).is_none() => {
                return Err(format!("no storage is called {storage}"));
            }
            Trouble::Error { status, .. } if !(400..=599).contains(status) => {
                return Err("status must be within 400..=599".to_owned());
            }
            _ => {}
        }
        Ok(self.troubles.add(trouble))
    }

    /// Ends a trouble; `false` when there is none with that number.
    pub(crate) fn clear_trouble(&mut self, id: u64) -> bool {
        let now = self.now();
        match self.troubles.remove(id) {
            None => false,
            Some(Trouble::NodeDown { node }) => {
                if !self.troubles.down(&node)
                    && let Some(found) = self.nodes.iter_mut().find(|n| n.name == node)
                    && let Some(last) = found.outages.last_mut()
                {
                    last.1 = Some(now);
                }
                true
            }
            Some(Trouble::Locked { vmid, lock }) => {
                if let Some(guest) = self.guests.get_mut(&vmid)
                    && guest.lock() == Some(lock.as_str())
                {
                    guest.config.remove("lock");
                }
                true
            }
            Some(_) => true,
        }
    }

    /// Changes a live interface behind the API's back.
    pub(crate) fn meddle_network(
        &mut self,
        node: &str,
        iface: &str,
        options: Option<BTreeMap<String, String>>,
    ) -> Result<(), String> {
        let now = self.now();
        let Some(network) = self.networks.get_mut(node) else {
            return Err(format!("There is no node {node}."));
        };
        match options {
            Some(options) => network.live.insert(iface.to_owned(), options),
            None => network.live.remove(iface),
        };
        self.note(now, "network", None, node, "control", iface);
        Ok(())
    }

    /// The address a network card gets by DHCP: from IPAM on a vnet, always the same one on a node's own bridge,
    /// none where nobody answers.
    pub(crate) fn lease(&self, guest: &Guest, bridge: &str, mac: &str) -> Option<String> {
        if self.networks.get(&guest.node).is_some_and(|n| n.bridges().any(|b| b == bridge)) {
            let n = guest.vmid;
            let [a, b] = self.dhcp;
            return Some(format!("{a}.{b}.{}.{}/16", 1 + n / 250 % 200, n % 250 + 2));
        }
        self.sdn.address_of(bridge, mac)
    }

    /// The kind of a guest on a node, if that is where it is.
    pub(crate) fn guest_at(&self, node: &str, kind: GuestKind, vmid: u32) -> Option<&Guest> {
        self.guests.get(&vmid).filter(|g| g.kind == kind && g.node == node)
    }
}

/// Lower case, sorted, each once: what comes back of `A;c_1;x.y+z` is `a;c_1;x.y+z`.
pub(crate) fn unique_tags(text: &str) -> String {
    let mut tags: Vec<String> = text
        .split([';', ',', ' ', '\0'])
        .filter(|t| !t.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    tags.sort();
    tags.dedup();
    tags.join(";")
}
