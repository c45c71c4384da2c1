//! A pod: an LXC container that gantry owns. Its specification is kept in the store and, so that it can be
//! adopted back when the database is lost, in the guest's notes.
//!
//! `PodSpec` is one pod; `PodTemplate` is what many pods of a set have in common.

mod action;
mod address;
mod apply;
mod claim;
mod config;
mod diff;
mod disk;
mod fault;
mod file;
mod health;
pub mod label;
#[cfg(test)]
mod laws;
mod network;
mod notes;
mod place;
pub mod placement;
mod plan;
mod problem;
mod process;
mod props;
mod pulse;
mod stored;
mod unit;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use action::{PodAction, PodStep};
pub use address::{HealthRules, InnerCard, is_told_inside};
pub use apply::{Applying, LivePod, plan_apply, plan_clean};
pub use claim::{claims, is_reserved, volume_owner};
pub use config::{Raw, settings};
pub use diff::{Difference, Edit, Takes, differences, drift, is_done};
pub use disk::{Mount, Root};
pub use fault::PodFault;
pub use file::PodFile;
pub use health::{Health, Probe};
pub use label::Match;
pub use network::{Dns, Ipv4, Ipv6, Network};
use notes::NOTES_KEY;
pub use notes::{NOTES_MAX, notes, read_notes};
pub use place::Place;
pub use plan::{LivePlace, fetch_first, plan_new, plan_pod, tell_place};
pub(crate) use problem::is_image;
pub use problem::{Problem, Problems, is_label, quoted};
pub use process::{Boot, Env, Features, Port, Protocol};
pub use pulse::{Condition, Life, Pulse};
pub use unit::{Cidr4, Cidr6, Milli};

use crate::id::NodeName;
use crate::world::OWN_TAG;

/// Most a single container may ask for; Proxmox's own bound for `cores` and `cpulimit`.
const CORES_MAX: u32 = 8192;
/// Proxmox's own bound for `cpuunits`.
const CPU_UNITS_MAX: u32 = 500_000;
/// Proxmox's own least memory for a container, MiB (`lxc` create, `memory`).
const MEMORY_MIN_MIB: u64 = 16;
/// 16 TiB in MiB: a bound against slips of the finger.
const MEMORY_MAX_MIB: u64 = 16 * 1024 * 1024;
/// Most tags and labels a pod may carry; keeps cards readable.
const TAGS_MAX: usize = 20;
/// Most cards; Proxmox takes 32, a card at Discord shows fewer.
const NETWORKS_MAX: usize = 16;
/// Most volumes besides the root disk; Proxmox takes 256.
const MOUNTS_MAX: usize = 64;
/// Characters of the notes left for the operation's id, gantry's marks and what JSON has to say twice.
const NOTES_MARGIN: usize = 300;

/// What pods of one kind have in common: everything but which pod it is. Units are in the field names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PodTemplate {
    /// Rules for choosing a node.
    #[serde(rename = "placement", skip_serializing_if = "is_default")]
    pub place: Place,
    /// Container template as volume id: `local:vztmpl/debian-12….tar.zst`.
    pub image: String,
    /// CPU cores it sees.
    pub cores: u32,
    /// CPU time it may use at most, in cores; left out: all it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<Milli>,
    /// Share of CPU time when there is not enough; left out: Proxmox's default, 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_units: Option<u32>,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Swap, MiB.
    #[serde(skip_serializing_if = "is_default")]
    pub swap_mib: u64,
    /// Root disk.
    pub root: Root,
    /// Further volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Network cards; the first is the one it is reached by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Name resolution inside.
    #[serde(skip_serializing_if = "is_default")]
    pub dns: Dns,
    /// Environment variables (OCI images, Proxmox VE 9.1).
    #[serde(skip_serializing_if = "is_default")]
    pub env: Env,
    /// What is started instead of the image's own command (OCI images, Proxmox VE 9.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// Whether root inside is nobody outside. Fixed once created.
    #[serde(skip_serializing_if = "is_true")]
    pub unprivileged: bool,
    /// What it may do besides the usual.
    #[serde(skip_serializing_if = "is_default")]
    pub features: Features,
    /// When it starts by itself.
    #[serde(skip_serializing_if = "is_default")]
    pub boot: Boot,
    /// Whether it is started once created.
    #[serde(skip_serializing_if = "is_true")]
    pub start: bool,
    /// Labels, kept as tags `key+value`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Tags besides gantry's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Ports that shall be reachable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// How its health is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Resource pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Whether Proxmox refuses to delete it.
    #[serde(skip_serializing_if = "is_default")]
    pub protection: bool,
    /// Public SSH keys for root, one a line. Only put in when it is created.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// Free text shown at the top of the guest's notes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Default for PodTemplate {
    fn default() -> Self {
        Self {
            place: Place::default(),
            image: String::new(),
            cores: 1,
            cpu_limit: None,
            cpu_units: None,
            memory_mib: 512,
            swap_mib: 0,
            root: Root::default(),
            mounts: Vec::new(),
            networks: Vec::new(),
            dns: Dns::default(),
            env: Env::default(),
            entrypoint: None,
            unprivileged: true,
            features: Features::default(),
            boot: Boot::default(),
            start: true,
            labels: BTreeMap::new(),
            tags: Vec::new(),
            ports: Vec::new(),
            health: None,
            pool: None,
            protection: false,
            ssh_keys: Vec::new(),
            note: String::new(),
        }
    }
}

/// What one pod shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// Host name: a label of RFC 1123.
    pub name: String,
    /// The node it shall be created on; left out: chosen by the template's rules.
    pub node: Option<NodeName>,
    /// Everything else.
    pub template: PodTemplate,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_true(value: &bool) -> bool {
    *value
}

impl PodTemplate {
    /// The pod `name` made from this; its node is chosen by the template's rules unless `node` says.
    pub fn pod(&self, name: impl Into<String>, node: Option<NodeName>) -> PodSpec {
        PodSpec { name: name.into(), node, template: self.clone() }
    }

    /// Whether it says what runs inside: environment or entrypoint, which older versions of Proxmox VE do not take.
    pub fn sets_process(&self) -> bool {
        !self.env.0.is_empty() || self.entrypoint.is_some()
    }

    /// All tags the guest gets: gantry's own, those of its labels, the plain ones.
    pub fn all_tags(&self) -> Vec<String> {
        let labels = self.labels.iter().map(|(key, value)| label::tag(key, value));
        std::iter::once(OWN_TAG.to_owned()).chain(labels).chain(self.tags.iter().cloned()).collect()
    }

    /// Checks everything that can be known without asking Proxmox; reports all mistakes together.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        found.check(
            problem::is_image(&self.image),
            "image",
            format!(
                "{} is none of these: a container template such as local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst, the name of one, \
                 or name:tag of a registry",
                quoted(&self.image)
            ),
        );
        self.check_limits(&mut found);
        self.check_mounts(&mut found);
        self.check_networks(&mut found);
        self.dns.check(&mut found);
        self.env.check(&mut found);
        process::check_entrypoint(self.entrypoint.as_deref(), &mut found);
        self.boot.check(&mut found);
        self.check_tags(&mut found);
        process::check_ports(&self.ports, &mut found);
        if let Some(health) = &self.health {
            health.check(&mut found);
        }
        self.place.check(&mut found);
        found.check(
            self.pool.as_deref().is_none_or(problem::is_pool),
            "pool",
            "the name of a resource pool",
        );
        found.check(self.ssh_keys.len() <= 20, "ssh_keys", "at most 20");
        // Its text is not repeated: it may be a private one.
        if let Some(n) = self.ssh_keys.iter().position(|k| !problem::is_ssh_key(k)) {
            let why = format!("line {} is no public key as in authorized_keys", n + 1);
            found.check(false, "ssh_keys", why);
        }
        found.check(self.note.chars().count() <= 1000, "note", "at most 1000 characters");
        found.done()
    }

    fn check_limits(&self, found: &mut Problems) {
        found.check((1..=CORES_MAX).contains(&self.cores), "cores", "1 to 8192");
        found.check(
            self.cpu_limit.is_none_or(|n| (1..=CORES_MAX * 1000).contains(&n.0)),
            "cpu_limit",
            "above 0 and at most 8192 cores; left out for no limit",
        );
        found.check(
            self.cpu_units.is_none_or(|n| (1..=CPU_UNITS_MAX).contains(&n)),
            "cpu_units",
            "1 to 500000",
        );
        found.check(
            (MEMORY_MIN_MIB..=MEMORY_MAX_MIB).contains(&self.memory_mib),
            "memory_mib",
            "16 MiB to 16 TiB",
        );
        found.check(self.swap_mib <= MEMORY_MAX_MIB, "swap_mib", "0 to 16 TiB");
        found.check(
            (1..=disk::DISK_MAX_GIB).contains(&self.root.size_gib),
            "root.size_gib",
            "1 GiB to 64 TiB",
        );
    }

    fn check_mounts(&self, found: &mut Problems) {
        found.check(self.mounts.len() <= MOUNTS_MAX, "mounts", "at most 64 volumes");
        for (n, mount) in self.mounts.iter().enumerate() {
            mount.check(&format!("mounts[{n}]"), found);
            let before = &self.mounts[..n];
            found.check(
                !before.iter().any(|m| m.path == mount.path),
                format!("mounts[{n}].path"),
                format!("two volumes cannot both be mounted at {}", mount.path),
            );
            found.check(
                !before.iter().any(|m| m.name == mount.name),
                format!("mounts[{n}].name"),
                format!("two volumes cannot both be called {}", mount.name),
            );
        }
    }

    fn check_networks(&self, found: &mut Problems) {
        found.check(self.networks.len() <= NETWORKS_MAX, "networks", "at most 16 cards");
        for (n, card) in self.networks.iter().enumerate() {
            card.check(&format!("networks[{n}]"), found);
            let name = card.inner_name(n);
            found.check(
                !self.networks[..n].iter().enumerate().any(|(m, c)| c.inner_name(m) == name),
                format!("networks[{n}].name"),
                format!("two cards cannot both be called {name}"),
            );
            found.check(
                card.mac.is_none()
                    || !self.networks[..n].iter().any(|c| {
                        let same = |a: &String| {
                            card.mac.as_ref().is_some_and(|b| a.eq_ignore_ascii_case(b))
                        };
                        c.mac.as_ref().is_some_and(same)
                    }),
                format!("networks[{n}].mac"),
                "two cards cannot share one hardware address",
            );
        }
    }

    fn check_tags(&self, found: &mut Problems) {
        for (key, value) in &self.labels {
            found.check(
                label::is_key(key) && label::is_value(value) && label::fits(key, value),
                format!("labels.{key}"),
                "key and value are a-z, 0-9, -, _ and ., together at most 63 characters",
            );
        }
        found.check(
            self.tags.len() + self.labels.len() <= TAGS_MAX,
            "tags",
            "at most 20 tags and labels",
        );
        if let Some(bad) = self.tags.iter().find(|t| !problem::is_tag(t)) {
            let rule = "a tag has letters, digits, _, -, + and ., at most 64 characters";
            found.check(false, "tags", format!("{} cannot be one: {rule}", quoted(bad)));
        }
        found.check(
            !self.tags.iter().any(|t| t.eq_ignore_ascii_case(OWN_TAG)),
            "tags",
            "the tag gantry is added by itself",
        );
        if let Some((key, value)) = self.tags.iter().find_map(|t| label::label(t)) {
            found.check(
                false,
                "tags",
                format!("{key}+{value} is how a label is kept; write it as label {key}={value}"),
            );
        }
    }
}

impl PodSpec {
    /// Checks everything that can be known without asking Proxmox; reports all mistakes together.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        found.check(
            is_label(&self.name),
            "name",
            "letters a-z, digits and -, starting and ending with a letter or digit, at most 63 characters",
        );
        if let Some(node) = &self.node {
            found.check(
                self.template.place.wants(node.as_str()),
                "node",
                format!("placement.nodes does not allow {node}"),
            );
        }
        let mut all = found.done();
        all.extend(self.template.problems());
        let mut found = Problems::default();
        found.check(
            notes(self, "").chars().count() + NOTES_MARGIN <= NOTES_MAX,
            "note",
            "the whole specification is too long to be kept in the guest's notes (8192 characters): shorten env, ssh_keys or the note",
        );
        all.extend(found.done());
        all
    }

    /// The same pod with its node and storage filled in where it leaves them open.
    pub fn placed(&self, at: Option<&placement::Choice>) -> Self {
        let mut spec = self.clone();
        if let Some(at) = at {
            spec.node.get_or_insert_with(|| at.node.clone());
            spec.template.root.storage.get_or_insert_with(|| at.storage.clone());
        }
        spec
    }

    /// All tags the guest gets, gantry's own first.
    pub fn all_tags(&self) -> Vec<String> {
        self.template.all_tags()
    }
}

/// A pod that is right in every field.
#[cfg(test)]
pub(crate) fn sample() -> PodSpec {
    PodSpec {
        name: "web-0".into(),
        node: Some("pve1".parse().unwrap()),
        template: PodTemplate {
            image: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst".into(),
            cores: 2,
            memory_mib: 1024,
            root: Root { storage: Some("local-lvm".parse().unwrap()), size_gib: 8 },
            networks: vec![Network::dhcp("vmbr0")],
            tags: vec!["web".into()],
            ..PodTemplate::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_together() {
        let mut spec = sample();
        assert_eq!(spec.problems(), []);
        spec.name = "Web_0".into();
        let t = &mut spec.template;
        t.image = "local:vztmpl/../../etc/passwd".into();
        t.cores = 0;
        t.networks[0].vlan = Some(5000);
        t.networks[0].gateway4 = Some("10.0.0.1".parse().unwrap());
        t.networks.push(Network { name: Some("eth0".into()), ..Network::dhcp("vmbr1") });
        t.mounts = vec![Mount { name: "data".into(), path: "/a/../b".into(), ..Mount::default() }];
        t.tags = vec!["a,b".into(), "gantry".into(), "app+web".into()];
        t.labels.insert("A".into(), "b".into());
        t.place.nodes = vec!["pve2".into()];
        t.health = Some(Health { timeout_s: 90, ..Health::new(Probe::Tcp { port: 0 }) });
        let fields: Vec<_> = spec.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(
            fields,
            [
                "name",
                "node",
                "image",
                "cores",
                "mounts[0].path",
                "networks[0].vlan",
                "networks[0].gateway4",
                "networks[1].name",
                "labels.A",
                "tags",
                "tags",
                "tags",
                "health.probe.tcp.port",
                "health.timeout_s",
            ]
        );
    }

    #[test]
    fn volume_paths_cannot_escape() {
        for bad in [
            "local:vztmpl/../x",
            "local:vztmpl//etc/x",
            "local:vztmpl/a/b",
            "local:backup/x",
            "local:vztmpl/%2e%2e",
            "local:vztmpl/a:b",
            "local:vztmpl/a\0b",
            "/etc/passwd",
        ] {
            assert!(!problem::is_template_volume(bad), "{bad:?}");
        }
        for bad in ["/etc/passwd", "/dev/sda1", "local:../x", "local:a/../b", "local:", "local:a,b"]
        {
            let mount = Mount {
                name: "x".into(),
                path: "/x".into(),
                volume: Some(bad.into()),
                ..Mount::default()
            };
            let template = PodTemplate { mounts: vec![mount], ..sample().template };
            assert_eq!(template.problems().len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn what_does_not_fit_into_the_notes_is_told_before() {
        let mut spec = sample();
        for n in 0..6 {
            spec.template.env.0.insert(format!("V{n}"), "x".repeat(1900));
        }
        let fields: Vec<_> = spec.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["note"]);
    }

    #[test]
    fn values_of_the_environment_are_never_printed() {
        let mut spec = sample();
        spec.template.env.0.insert("TOKEN".into(), "hunter2".into());
        assert!(!format!("{spec:?}").contains("hunter2"));
    }
}
