//! What a set shall be, as people write it down.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dns::Name;
use crate::id::{NodeName, StorageId, Vmid};
use crate::pod::{PodTemplate, Problem, is_reserved};
use crate::service::{Port, Service, TTL_DEFAULT_S};

/// Most pods of one set: a bound against slips of the finger, and on what one pass looks at.
pub const REPLICAS_MAX: u32 = 100;
/// Most volumes of one pod; a container has many more mount points, a card has not.
const VOLUMES_MAX: usize = 16;
/// Most nodes a set is spread over.
const NODES_MAX: usize = 32;
/// Longest name: what is left of a host name's label for `-` and the ordinal.
const NAME_MAX: usize = 50;
/// 64 TiB in GiB: a bound against slips of the finger.
const SIZE_MAX_GIB: u64 = 64 * 1024;
/// Longest of the times below: a week.
const SECONDS_MAX: u32 = 7 * 24 * 3600;
/// Most revisions that are kept.
const HISTORY_MAX: u32 = 100;

/// What a pod's identity is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetKind {
    /// Each pod keeps name, number, MAC, address and volumes over its replacement.
    #[default]
    Stateful,
    /// Pods are alike: no volumes of their own, all at once instead of one after another.
    Deployment,
}

/// Whether ordinals wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Management {
    /// One after another: the next one only when those before are ready.
    #[default]
    Ordered,
    /// All at once.
    Parallel,
}

/// What becomes of volumes when their pod is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// They stay, and are used again by the next pod of that ordinal.
    #[default]
    Retain,
    /// They are deleted.
    Delete,
}

/// How pods of an older revision are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "strategy", deny_unknown_fields)]
pub enum Update {
    /// From the highest ordinal down, a few at a time.
    Rolling {
        /// Ordinals below this keep their revision.
        #[serde(default)]
        partition: u32,
        /// Most pods that may be unready because of the update.
        #[serde(default = "one")]
        max_unavailable: u32,
    },
    /// Only where somebody deletes a pod.
    OnDelete,
}

impl Default for Update {
    fn default() -> Self {
        Self::Rolling { partition: 0, max_unavailable: 1 }
    }
}

/// A volume that each pod has one of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    /// Its name in the set.
    pub name: String,
    /// The storage it is made on; must hold container disks.
    pub storage: StorageId,
    /// Size, GiB.
    pub size_gib: u64,
    /// Where it is mounted inside.
    pub path: String,
    /// Whether backups of the pod contain it.
    #[serde(default)]
    pub backup: bool,
}

/// Addresses given to ordinals in turn, from the first one on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressPool {
    /// The first ordinal's address with prefix: `10.0.0.10/24`.
    pub first: String,
    /// Default gateway.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// The numbers a set may use: pods from the lower end, the keepers of their volumes from the upper end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmidRange {
    /// The first one.
    pub from: Vmid,
    /// The last one.
    pub to: Vmid,
}

impl VmidRange {
    /// How many numbers it has.
    pub fn len(self) -> u32 {
        (self.to.get() + 1).saturating_sub(self.from.get())
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether the number is one of them.
    pub fn contains(self, vmid: Vmid) -> bool {
        (self.from..=self.to).contains(&vmid)
    }
}

/// A headless service: a name that answers with the ready pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// The service's name: `web` answers as `web.<zone>`, its members as `web-0.web.<zone>`.
    pub name: String,
    /// The zone.
    pub zone: Name,
    /// Ports with an SRV record.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Whether pods are published before they are ready.
    #[serde(default)]
    pub publish_not_ready: bool,
}

impl ServiceSpec {
    /// As the publisher takes it; `owner` is the set.
    pub fn service(&self, owner: &str) -> Service {
        Service {
            name: self.name.clone(),
            zone: self.zone.clone(),
            owner: owner.to_owned(),
            ports: self.ports.clone(),
            ttl_s: TTL_DEFAULT_S,
            publish_not_ready: self.publish_not_ready,
            loopback: false,
        }
    }
}

/// What a set shall be. Units are in the field names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSpec {
    /// Its name: pods are called after it, `web-0`.
    pub name: String,
    /// Stateful or deployment.
    #[serde(default)]
    pub kind: SetKind,
    /// How many pods.
    pub replicas: u32,
    /// The first ordinal.
    #[serde(default)]
    pub first_ordinal: u32,
    /// The numbers it may use.
    pub vmids: VmidRange,
    /// Nodes that ordinals are put on in turn.
    pub nodes: Vec<NodeName>,
    /// Addresses; without, the template's own way (DHCP).
    #[serde(default)]
    pub addresses: Option<AddressPool>,
    /// The headless service.
    #[serde(default)]
    pub service: Option<ServiceSpec>,
    /// Volumes of each pod.
    #[serde(default)]
    pub volumes: Vec<VolumeSpec>,
    /// What becomes of volumes when a pod is scaled away.
    #[serde(default)]
    pub on_scale_down: Keep,
    /// What becomes of volumes when the set is deleted and nobody says otherwise.
    #[serde(default)]
    pub on_delete: Keep,
    /// One after another, or all at once.
    #[serde(default)]
    pub management: Management,
    /// How long a pod must have been ready before it counts, seconds.
    #[serde(default)]
    pub min_ready_s: u32,
    /// How older pods are replaced.
    #[serde(default)]
    pub update: Update,
    /// How long a new pod may take to become ready before the rollout halts, seconds.
    #[serde(default = "ten_minutes")]
    pub progress_deadline_s: u32,
    /// How many earlier revisions are kept.
    #[serde(default = "ten")]
    pub history: u32,
    /// Counts up with each `rollout start`: a new revision of the same template.
    #[serde(default)]
    pub restarts: u32,
    /// What each pod shall be. Its health check tells readiness; without one, a pod that runs is ready.
    pub template: PodTemplate,
}

fn one() -> u32 {
    1
}

fn ten() -> u32 {
    10
}

fn ten_minutes() -> u32 {
    600
}

impl SetSpec {
    /// A nameless set with everything else as usual.
    pub fn new(
        replicas: u32,
        vmids: VmidRange,
        nodes: Vec<NodeName>,
        template: PodTemplate,
    ) -> Self {
        Self {
            name: String::new(),
            kind: SetKind::default(),
            replicas,
            first_ordinal: 0,
            vmids,
            nodes,
            addresses: None,
            service: None,
            volumes: Vec::new(),
            on_scale_down: Keep::default(),
            on_delete: Keep::default(),
            management: Management::default(),
            min_ready_s: 0,
            update: Update::default(),
            progress_deadline_s: ten_minutes(),
            history: ten(),
            restarts: 0,
            template,
        }
    }

    /// Ordinals that shall exist, ascending.
    pub fn ordinals(&self) -> std::ops::Range<u32> {
        self.first_ordinal..self.first_ordinal.saturating_add(self.replicas)
    }

    /// Whether each pod has volumes of its own.
    pub fn has_volumes(&self) -> bool {
        !self.volumes.is_empty()
    }

    /// Most pods that may be unready because of an update.
    pub fn max_unavailable(&self) -> u32 {
        match self.update {
            Update::Rolling { max_unavailable, .. } => max_unavailable.max(1),
            Update::OnDelete => 1,
        }
    }

    /// Ordinals below this keep their revision.
    pub fn partition(&self) -> u32 {
        match self.update {
            Update::Rolling { partition, .. } => partition,
            Update::OnDelete => 0,
        }
    }

    /// Whether ordinals wait for each other.
    pub fn is_ordered(&self) -> bool {
        self.kind == SetKind::Stateful && self.management == Management::Ordered
    }

    /// What tells two revisions apart: everything a pod is made from, and nothing else. Two specifications with
    /// the same key make the same pods, whatever their number.
    pub fn key(&self) -> String {
        let value = serde_json::json!([self.template, self.volumes, self.restarts]);
        hex::encode(&Sha256::digest(value.to_string().as_bytes())[..8])
    }

    /// Checks everything that can be known without asking Proxmox; reports all mistakes together.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut check = |ok: bool, field: &'static str, why: &str| {
            if !ok {
                found.push(Problem { field: field.to_owned(), why: why.to_owned() });
            }
        };
        check(
            is_label(&self.name, NAME_MAX),
            "name",
            "letters a-z, digits and -, starting and ending with a letter or digit, at most 50 characters",
        );
        check(self.replicas <= REPLICAS_MAX, "replicas", "0 to 100");
        check(self.first_ordinal <= 10_000, "first_ordinal", "0 to 10000");
        let wanted = self.replicas.saturating_mul(1 + u32::from(self.has_volumes()));
        check(
            self.vmids.from <= self.vmids.to && self.vmids.len() >= wanted.max(1),
            "vmids",
            "from and to, with a number for each replica, and another one for each where there are volumes",
        );
        check(
            !self.nodes.is_empty() && self.nodes.len() <= NODES_MAX,
            "nodes",
            "at least one node, at most 32",
        );
        check(self.volumes.len() <= VOLUMES_MAX, "volumes", "at most 16");
        // Other names of images are the template's own to refuse, or good for a pod by itself only.
        check(
            self.template.image.contains(":vztmpl/") || !crate::pod::is_image(&self.template.image),
            "template.image",
            "what lies on a storage, such as local:vztmpl/web_1.tar; `/image prepare` brings an image to the nodes",
        );
        check(
            self.kind == SetKind::Stateful || self.volumes.is_empty(),
            "volumes",
            "a deployment's pods have no volumes of their own; use a stateful set",
        );
        for (n, volume) in self.volumes.iter().enumerate() {
            check(is_label(&volume.name, 40), "volumes.name", "letters a-z, digits and -");
            check(
                (1..=SIZE_MAX_GIB).contains(&volume.size_gib),
                "volumes.size_gib",
                "1 GiB to 64 TiB",
            );
            check(is_path(&volume.path), "volumes.path", "an absolute path such as /data, not /");
            let again = |v: &VolumeSpec| v.name == volume.name || v.path == volume.path;
            check(
                !self.volumes[..n].iter().any(again),
                "volumes",
                "names and paths must differ from each other",
            );
        }
        if let Some(pool) = &self.addresses {
            let last = self.first_ordinal.saturating_add(self.replicas.saturating_sub(1));
            check(
                super::identity::address_of(pool, last.saturating_sub(self.first_ordinal))
                    .is_some(),
                "addresses",
                "an address with prefix such as 10.0.0.10/24, with room for every replica",
            );
            check(
                pool.gateway.as_deref().is_none_or(|g| g.parse::<IpAddr>().is_ok()),
                "addresses.gateway",
                "an IP address such as 10.0.0.1",
            );
        }
        check(self.min_ready_s <= SECONDS_MAX, "min_ready_s", "at most a week");
        check(
            (10..=SECONDS_MAX).contains(&self.progress_deadline_s),
            "progress_deadline_s",
            "10 seconds to a week",
        );
        check((1..=HISTORY_MAX).contains(&self.history), "history", "1 to 100");
        if let Update::Rolling { partition, max_unavailable } = self.update {
            check(partition <= 20_000, "update.partition", "an ordinal");
            check(
                (1..=REPLICAS_MAX).contains(&max_unavailable),
                "update.max_unavailable",
                "1 to 100",
            );
        }
        check(
            self.template.root.storage.is_some(),
            "template.root.storage",
            "name the storage of the root disk: pods of a set do not move to another one",
        );
        check(
            !self.template.tags.iter().any(|t| is_reserved(t)),
            "template.tags",
            "tags that begin with gantry- are gantry's own",
        );
        check(
            self.template.ports.iter().all(|p| p.node_port.is_none()),
            "template.ports.node_port",
            "several pods of a set would want the same port of a node; `/forward add` leads one to a pod of your choice",
        );
        check(
            self.template.mounts.is_empty(),
            "template.mounts",
            "pods of a set have `volumes` instead, which outlive the pod",
        );
        check(
            self.service.is_none() || self.addresses.is_some(),
            "addresses",
            "a service needs addresses that gantry knows; name the first one",
        );
        check(
            self.addresses.is_none() || !self.template.networks.is_empty(),
            "template.networks",
            "a card that the address is for",
        );
        if let Some(service) = &self.service {
            let who = self.name.clone();
            found.extend(
                service
                    .service(&who)
                    .problems()
                    .into_iter()
                    .map(|p| Problem { field: format!("service.{}", p.field), ..p }),
            );
        }
        let pod = self.template.pod(format!("{}-0", self.name), None);
        found.extend(
            pod.problems()
                .into_iter()
                .map(|p| Problem { field: format!("template.{}", p.field), ..p }),
        );
        found
    }
}

fn is_label(text: &str, max: usize) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= max
        && text.starts_with(ok)
        && text.ends_with(ok)
        && text.chars().all(|c| ok(c) || c == '-')
}

/// An absolute path that ends up in one of Proxmox's property strings: no comma, no `..`.
fn is_path(text: &str) -> bool {
    text.len() <= 200
        && text.len() > 1
        && text.starts_with('/')
        && !text.ends_with('/')
        && text[1..].split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        })
}
