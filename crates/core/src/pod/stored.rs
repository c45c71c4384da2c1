//! Specifications as they are kept: one flat object, with the pod's name and node beside its template. The
//! first version, which knew one card, one address and no mounts, still reads.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::network::{Ipv4, Ipv6, Network};
use super::process::{Boot, Features};
use super::{PodSpec, PodTemplate, Root};
use crate::id::{NodeName, StorageId};

/// The keys that say which pod it is; all others are the template's.
const IDENTITY: [&str; 2] = ["name", "node"];

/// Parts the keys that say which pod it is from those of its template.
pub(super) fn part(mut whole: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let mut identity = Map::new();
    for key in IDENTITY {
        if let Some(value) = whole.remove(key) {
            identity.insert(key.to_owned(), value);
        }
    }
    (identity, whole)
}

/// Which pod it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<NodeName>,
}

impl Serialize for PodSpec {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            node: Option<&'a NodeName>,
            #[serde(flatten)]
            template: &'a PodTemplate,
        }
        Flat { name: &self.name, node: self.node.as_ref(), template: &self.template }.serialize(out)
    }
}

impl<'de> Deserialize<'de> for PodSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let whole = Map::<String, Value>::deserialize(from)?;
        let bad = |error: serde_json::Error| serde::de::Error::custom(error);
        // Only the first version has its bridge at the top.
        if whole.contains_key("bridge") {
            let first: First = serde_json::from_value(Value::Object(whole)).map_err(bad)?;
            return first.now().map_err(serde::de::Error::custom);
        }
        let (identity, template) = part(whole);
        let identity: Identity = serde_json::from_value(Value::Object(identity)).map_err(bad)?;
        Ok(Self {
            name: identity.name,
            node: identity.node,
            template: serde_json::from_value(Value::Object(template)).map_err(bad)?,
        })
    }
}

/// How a pod of the first version got its address.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FirstAddress {
    Dhcp,
    Fixed { cidr: String, gateway: Option<String> },
}

/// The first version.
#[derive(Deserialize)]
struct First {
    name: String,
    node: NodeName,
    image: String,
    cores: u32,
    memory_mib: u64,
    swap_mib: u64,
    storage: StorageId,
    disk_gib: u64,
    bridge: String,
    vlan: Option<u16>,
    address: FirstAddress,
    firewall: bool,
    nesting: bool,
    start_on_boot: bool,
    start: bool,
    tags: Vec<String>,
    pool: Option<String>,
    ssh_keys: Vec<String>,
    note: String,
}

impl First {
    fn now(self) -> Result<PodSpec, String> {
        let mut card = Network {
            bridge: self.bridge,
            vlan: self.vlan,
            firewall: self.firewall,
            ..Network::default()
        };
        let gateway = |text: &str| format!("`{text}` is no gateway");
        match self.address {
            FirstAddress::Dhcp => card.ipv4 = Ipv4::Dhcp,
            FirstAddress::Fixed { cidr, gateway: via } if cidr.contains(':') => {
                card.ipv6 = Ipv6::Fixed(cidr.parse()?);
                card.gateway6 = via.map(|g| g.parse().map_err(|_| gateway(&g))).transpose()?;
            }
            FirstAddress::Fixed { cidr, gateway: via } => {
                card.ipv4 = Ipv4::Fixed(cidr.parse()?);
                card.gateway4 = via.map(|g| g.parse().map_err(|_| gateway(&g))).transpose()?;
            }
        }
        Ok(PodSpec {
            name: self.name,
            node: Some(self.node),
            template: PodTemplate {
                image: self.image,
                cores: self.cores,
                memory_mib: self.memory_mib,
                swap_mib: self.swap_mib,
                root: Root { storage: Some(self.storage), size_gib: self.disk_gib },
                networks: vec![card],
                features: Features { nesting: self.nesting, ..Features::default() },
                boot: Boot { start: self.start_on_boot, ..Boot::default() },
                start: self.start,
                tags: self.tags,
                pool: self.pool,
                ssh_keys: self.ssh_keys,
                note: self.note,
                ..PodTemplate::default()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_the_first_version_still_reads() {
        let old = r#"{"name":"web-0","node":"pve1","image":"local:vztmpl/debian-12.tar.zst","cores":2,
            "memory_mib":1024,"swap_mib":0,"storage":"local-lvm","disk_gib":8,"bridge":"vmbr0","vlan":20,
            "address":{"fixed":{"cidr":"10.0.0.5/24","gateway":"10.0.0.1"}},"firewall":true,"nesting":false,
            "start_on_boot":true,"start":true,"tags":["web"],"pool":null,"ssh_keys":[],"note":"shop"}"#;
        let spec: PodSpec = serde_json::from_str(old).unwrap();
        assert_eq!(spec.problems(), []);
        assert_eq!(spec.template.networks[0].describe(), "vmbr0 VLAN 20, 10.0.0.5/24 via 10.0.0.1");
        assert_eq!(spec.template.root.storage.as_ref().unwrap().as_str(), "local-lvm");
        assert_eq!((spec.template.root.size_gib, spec.template.features.nesting), (8, false));
        let old =
            old.replace(r#"{"fixed":{"cidr":"10.0.0.5/24","gateway":"10.0.0.1"}}"#, r#""dhcp""#);
        let spec: PodSpec = serde_json::from_str(&old).unwrap();
        assert_eq!(spec.template.networks[0].ipv4, Ipv4::Dhcp);
        let again: PodSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }
}
