//! `/set create` and `/set apply`: what a set shall be, from options, a form or a file.

use std::str::FromStr;

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName, StorageId, Vmid};
use gantry_core::pod::{Health, Ipv4, Network, PodTemplate, Probe, Problem, Root, quoted};
use gantry_core::policy::{Ruling, Target};
use gantry_core::set::spec::{AddressPool, ServiceSpec, SetKind, VmidRange};
use gantry_core::set::{SetAction, SetFile, SetRef, SetSpec, VolumeSpec};
use gantry_core::world::NodeState;
use gantry_engine::Ask;
use serenity::all::Attachment;

use crate::act;
use crate::attachment;
use crate::cluster::choose;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::set::propose;
use crate::set_form;
use crate::visit::{Go, Visit, said, serve};

/// CPU cores where nobody says.
const CORES: u32 = 1;
/// Memory where nobody says, MiB.
const MEMORY_MIB: u32 = 512;
/// Root disk where nobody says, GiB.
const DISK_GIB: u32 = 8;
/// How long a new pod may take to be ready where nobody says, seconds.
const DEADLINE_S: u32 = 600;
/// Bridge where nobody says: the one Proxmox's installer makes.
const BRIDGE: &str = "vmbr0";
/// Where somebody finds a right file.
const NEXT: &str = "Attach a specification as docs/sets.md shows it, as .toml or .yaml.";

/// Create a set; with a file, `apply` says more
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
pub async fn create(
    ctx: Context<'_>,
    #[description = "Its name; pods are called name-0, name-1, …"]
    #[max_length = 50]
    name: String,
    #[description = "How many pods"]
    #[max = 100]
    replicas: u32,
    #[description = "The image they are made from"]
    #[autocomplete = "complete::image"]
    #[max_length = 255]
    image: String,
    #[description = "Numbers it may use, such as 700-799"]
    #[max_length = 30]
    vmids: String,
    #[description = "Nodes, separated by commas; left out: all that are up"]
    #[max_length = 300]
    nodes: Option<String>,
    #[description = "Storage of the root disks (local-lvm)"]
    #[autocomplete = "complete::storage"]
    storage: Option<String>,
    #[description = "CPU cores (1)"]
    #[min = 1]
    #[max = 8192]
    cores: Option<u32>,
    #[description = "Memory in MiB (512)"]
    #[min = 16]
    #[max = 16_777_216]
    memory: Option<u32>,
    #[description = "Root disk in GiB (8)"]
    #[min = 1]
    #[max = 65_536]
    disk: Option<u32>,
    #[description = "Bridge of their network cards (vmbr0)"]
    #[autocomplete = "complete::bridge"]
    #[max_length = 15]
    bridge: Option<String>,
    #[description = "First address with prefix, such as 10.0.0.10/24; left out: DHCP"]
    #[max_length = 50]
    address: Option<String>,
    #[description = "Gateway"]
    #[max_length = 45]
    gateway: Option<String>,
    #[description = "A volume for each: name:GiB:/path, such as data:4:/data"]
    #[max_length = 200]
    volume: Option<String>,
    #[description = "Health check: tcp:80 or http:8080/health"]
    #[max_length = 200]
    health: Option<String>,
    #[description = "Seconds a new pod may take to be ready before a rollout is undone (600)"]
    #[min = 10]
    #[max = 86_400]
    deadline: Option<u32>,
    #[description = "DNS name that answers with the ready ones: web.lab.internal"]
    #[max_length = 200]
    service: Option<String>,
    #[description = "Pods are alike and have no volumes of their own (no)"] deployment: Option<
        bool,
    >,
    #[description = "Ask for the rest in a form: volumes, ports, environment, tags, keys (no)"]
    more: Option<bool>,
    #[description = "In which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if let Ruling::Denied { because } = visit.may(Verb::SetCreate, Target::Any) {
            return visit.refuse(Verb::SetCreate, &name, &because).await;
        }
        let cluster = choose(&visit, cluster.as_deref())?;
        if let Ruling::Denied { because } = visit.may(Verb::SetCreate, Target::Within(&cluster)) {
            return visit.refuse(Verb::SetCreate, &name, &because).await;
        }
        let mut typed = Typed::default();
        let storage = typed.read("storage", storage.as_deref().unwrap_or("local-lvm"));
        let vmids = typed.range(&vmids);
        let nodes = match &nodes {
            Some(text) => text.split(',').filter_map(|n| typed.read("nodes", n.trim())).collect(),
            None => up(&visit, &cluster),
        };
        let volumes = volume.as_deref().and_then(|v| typed.volume(v, storage.clone()));
        let health = health.as_deref().and_then(|h| typed.health(h));
        let service = service.as_deref().and_then(|s| typed.service(s));
        let mut network = Network::dhcp(bridge.as_deref().unwrap_or(BRIDGE));
        if address.is_some() {
            network.ipv4 = Ipv4::None;
        }
        let Some(vmids) = vmids else { return Err(typed.wrong(&visit)) };
        let spec = SetSpec {
            name: name.trim().to_owned(),
            kind: if deployment == Some(true) { SetKind::Deployment } else { SetKind::Stateful },
            addresses: address.map(|first| AddressPool { first: first.trim().to_owned(), gateway }),
            service,
            volumes: volumes.into_iter().collect(),
            progress_deadline_s: deadline.unwrap_or(DEADLINE_S),
            ..SetSpec::new(
                replicas,
                vmids,
                nodes,
                PodTemplate {
                    image: image.trim().to_owned(),
                    cores: cores.unwrap_or(CORES),
                    memory_mib: memory.unwrap_or(MEMORY_MIB).into(),
                    root: Root { storage, size_gib: disk.unwrap_or(DISK_GIB).into() },
                    networks: vec![network],
                    health,
                    ..PodTemplate::default()
                },
            )
        };
        typed.add(spec.problems());
        if !typed.found.is_empty() {
            return Err(typed.wrong(&visit));
        }
        match more {
            Some(true) => set_form::open(&visit, cluster, spec).await,
            _ => made(&visit, cluster, spec).await,
        }
    })
    .await
}

/// Proposes a new set, once all of it was said.
pub async fn made(visit: &Visit, cluster: ClusterId, spec: SetSpec) -> Result<(), FaceError> {
    let set = SetRef { cluster, name: spec.name.clone() };
    let action = SetAction::Put { set, spec: Box::new(spec), why: "created".into() };
    propose(visit, Verb::SetCreate, action).await
}

/// Nodes of a cluster that are up, by name.
fn up(visit: &Visit, cluster: &ClusterId) -> Vec<NodeName> {
    let view = visit.face.engine().view(cluster);
    let nodes = view.iter().flat_map(|v| &v.nodes);
    nodes.filter(|n| n.state == NodeState::Up).map(|n| n.name.clone()).collect()
}

/// What was typed, with everything that is wrong about it.
#[derive(Default)]
pub struct Typed {
    /// Everything that is wrong.
    pub found: Vec<Problem>,
}

impl Typed {
    /// Notes a mistake.
    pub fn note(&mut self, field: &str, why: impl Into<String>) {
        self.found.push(Problem { field: field.to_owned(), why: why.into() });
    }

    fn read<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|e: T::Err| self.note(field, e.to_string())).ok()
    }

    /// Adds what is wrong with the whole, except where that follows from a field that could not be read.
    pub fn add(&mut self, problems: Vec<Problem>) {
        let noted: Vec<String> = self.found.iter().map(|p| p.field.clone()).collect();
        let follows = |p: &Problem| {
            noted.iter().any(|n| p.field == *n || p.field.split('.').any(|part| part == n))
        };
        self.found.extend(problems.into_iter().filter(|p| !follows(p)));
    }

    /// Reads `700-799`, or one number.
    fn range(&mut self, text: &str) -> Option<VmidRange> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to): (Option<Vmid>, Option<Vmid>) =
            (from.trim().parse().ok(), to.trim().parse().ok());
        let range = from.zip(to).map(|(from, to)| VmidRange { from, to });
        if range.is_none() {
            self.note("vmids", "two numbers from 100 to 999999999, such as 700-799");
        }
        range
    }

    /// Reads `data:4:/data`.
    pub fn volume(&mut self, text: &str, storage: Option<StorageId>) -> Option<VolumeSpec> {
        let mut parts = text.trim().splitn(3, ':');
        let (name, size, path) = (parts.next()?, parts.next(), parts.next());
        match (size.and_then(|s| s.trim().parse().ok()), path, storage) {
            (Some(size_gib), Some(path), Some(storage)) => Some(VolumeSpec {
                name: name.trim().to_owned(),
                storage,
                size_gib,
                path: path.trim().to_owned(),
                backup: false,
            }),
            // That of the root disk, which is told by itself.
            (Some(_), Some(_), None) => None,
            _ => {
                let like = "name, GiB and path, as in data:4:/data";
                self.note("volume", format!("{} cannot be read: {like}", quoted(text)));
                None
            }
        }
    }

    fn health(&mut self, text: &str) -> Option<Health> {
        let probe = match text.trim().split_once(':') {
            Some(("tcp", port)) => port.parse().ok().map(|port| Probe::Tcp { port }),
            Some(("http", rest)) => {
                let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let path = if path.is_empty() { "/" } else { path };
                port.parse().ok().map(|port| Probe::Http {
                    port,
                    path: path.to_owned(),
                    status: 200,
                })
            }
            _ => None,
        };
        if probe.is_none() {
            self.note("health", "tcp:PORT or http:PORT/path, as in http:8080/health");
        }
        probe.map(Health::new)
    }

    fn service(&mut self, text: &str) -> Option<ServiceSpec> {
        let Some((name, zone)) = text.trim().split_once('.') else {
            self.note("service", "a name in a zone, as in web.lab.internal");
            return None;
        };
        let zone = self.read("service", zone)?;
        Some(ServiceSpec {
            name: name.to_owned(),
            zone,
            ports: Vec::new(),
            publish_not_ready: false,
        })
    }

    fn wrong(&self, visit: &Visit) -> FaceError {
        let list: Vec<String> =
            self.found.iter().map(|p| format!("{}: {}", p.field, p.why)).collect();
        said(
            "Nothing was changed",
            &list.join("; "),
            "Run the command again with that corrected.",
            &visit.reference(),
        )
    }
}

/// Make a set exactly what a file says: TOML or YAML
#[poise::command(slash_command, guild_only)]
pub async fn apply(
    ctx: Context<'_>,
    #[description = "The specification, as .toml, .yaml or .yml, at most 64 KiB"] file: Attachment,
    #[description = "In which cluster, where the file does not say"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if let Ruling::Denied { because } = visit.may(Verb::SetApply, Target::Any) {
            return visit.refuse(Verb::SetApply, &file.filename, &because).await;
        }
        if visit.begin(false, true).await? == Go::Stop {
            return Ok(());
        }
        let (format, text) = attachment::read(&visit, &file, NEXT).await?;
        let read = SetFile::read(&text, format).map_err(|found| Typed { found }.wrong(&visit))?;
        let cluster = match (read.cluster, cluster) {
            (Some(named), None) => choose(&visit, Some(named.as_str()))?,
            (named, asked) => {
                let asked = choose(&visit, asked.as_deref())?;
                if named.is_some_and(|n| n != asked) {
                    return Err(said(
                        "Nothing was applied",
                        "The file is for another cluster than the command",
                        "Leave the cluster out here, or correct the file.",
                        &visit.reference(),
                    ));
                }
                asked
            }
        };
        let set = SetRef { cluster, name: read.spec.name.clone() };
        let action =
            SetAction::Put { set: set.clone(), spec: Box::new(read.spec), why: "applied".into() };
        let ask = Ask::Set { verb: Verb::SetApply, action: Box::new(action) };
        act::carried(&visit, Verb::SetApply, &set.to_string(), None, ask, true).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_numbers_is_read_whole_and_its_mistake_told_once() {
        let mut typed = Typed::default();
        let range = typed.range(" 700 - 799 ").map(|r| (r.from.get(), r.to.get()));
        assert_eq!((range, typed.range("700").map(|r| r.len())), (Some((700, 799)), Some(1)));
        assert!(typed.found.is_empty());
        assert_eq!(typed.range("any"), None);
        assert_eq!(typed.found.len(), 1, "{:?}", typed.found);
    }

    #[test]
    fn what_follows_from_a_mistake_is_not_a_second_one() {
        let problem = |field: &str| Problem { field: field.into(), why: "no".into() };
        let mut typed = Typed { found: vec![problem("storage")] };
        typed.add(vec![problem("template.root.storage"), problem("name")]);
        let fields: Vec<&str> = typed.found.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["storage", "name"]);
    }
}
