//! What each change of a network asks for, on the configuration as it is: the edits, or why not.

use super::{Edit, Net, NetworkChange};
use crate::plan::Planned;

/// What is asked for, ready to be planned.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) target: String,
    pub(super) effect: String,
    pub(super) edits: Vec<Edit>,
    pub(super) warnings: Vec<String>,
}

/// Why it is not.
pub(super) struct No {
    /// It is already so.
    nothing: bool,
    why: String,
}

impl From<No> for Planned {
    fn from(no: No) -> Self {
        if no.nothing { Self::Nothing { why: no.why } } else { Self::Refused { why: no.why } }
    }
}

/// The edits that `change` comes to; `users` are guests on what is removed.
pub(super) fn asked(
    change: &NetworkChange,
    net: &Net,
    place: &str,
    users: &[String],
) -> Result<Asked, No> {
    let refused = |why: String| No { nothing: false, why };
    let nothing = |why: String| No { nothing: true, why };
    let problems = match change {
        NetworkChange::CreateBridge { spec } => spec.problems(),
        NetworkChange::SecureBridge { how, .. } => how.problems(),
        NetworkChange::CreateVnet { spec } => spec.problems(),
        _ => Vec::new(),
    };
    if !problems.is_empty() {
        let list: Vec<String> =
            problems.iter().map(|p| format!("**{}**: {}", p.field, p.why)).collect();
        return Err(refused(list.join("\n")));
    }
    let bridge = |name: &str| match net.objects.get(name) {
        None => Err(refused(format!("{place} has no bridge {name}."))),
        Some(s) if s.get("type").map(String::as_str) != Some("bridge") => {
            let kind = s.get("type").cloned().unwrap_or_default();
            Err(refused(format!("{name} on {place} is no Linux bridge, but: {kind}.")))
        }
        Some(settings) => Ok(settings),
    };
    match change {
        NetworkChange::CreateBridge { spec } => {
            let name = spec.name.as_str();
            let settings = spec.settings();
            if let Some(is) = net.objects.get(name) {
                let same = settings.iter().all(|(k, v)| is.get(k) == Some(v));
                return Err(if same {
                    nothing(format!("{place} already has just this bridge {name}."))
                } else {
                    refused(format!(
                        "{place} already has an interface {name}. Choose another name."
                    ))
                });
            }
            for port in &spec.ports {
                let Some(is) = net.objects.get(port.as_str()) else {
                    return Err(refused(format!("{place} has no interface {port} to plug in.")));
                };
                if is.contains_key("cidr") || is.contains_key("cidr6") {
                    return Err(refused(format!(
                        "{port} carries an address of {place}; plugged into a bridge it would lose it."
                    )));
                }
                if let Some((user, _)) = net.objects.iter().find(|(_, s)| {
                    ["bridge_ports", "slaves", "ovs_ports"]
                        .iter()
                        .filter_map(|k| s.get(*k))
                        .any(|list| list.split(' ').any(|p| p == port.as_str()))
                }) {
                    return Err(refused(format!("{port} is already plugged into {user}.")));
                }
            }
            if let (Some(_), Some((other, _))) =
                (&spec.gateway, net.objects.iter().find(|(_, s)| s.contains_key("gateway")))
            {
                return Err(refused(format!(
                    "{place} already has its default gateway on {other}; a node has one."
                )));
            }
            let mut warnings = Vec::new();
            if spec.stp {
                warnings.push(beyond(&["spanning tree"]));
            }
            if spec.ports.is_empty() {
                warnings.push(
                    "It has no ports: guests on it reach each other and this node only.".into(),
                );
            }
            Ok(Asked {
                name: name.to_owned(),
                target: format!("{name} on {place}"),
                effect: format!("Create the bridge {name} on {place}."),
                edits: vec![Edit::Create { key: name.to_owned(), settings }],
                warnings,
            })
        }
        NetworkChange::SecureBridge { name, how } => {
            let before = bridge(name.as_str())?;
            let after = how.settings(before);
            let beyond_api = how.beyond_the_api();
            if after == *before {
                return Err(if beyond_api.is_empty() {
                    nothing(format!("{name} on {place} is already like that."))
                } else {
                    refused(beyond(&beyond_api))
                });
            }
            let mut warnings = Vec::new();
            if !beyond_api.is_empty() {
                warnings.push(beyond(&beyond_api));
            }
            if after.contains_key("bridge_vlan_aware") != before.contains_key("bridge_vlan_aware") {
                warnings.push(
                    "Guests with a VLAN tag on it may lose their connection until they are restarted.".into(),
                );
            }
            Ok(Asked {
                name: name.to_string(),
                target: format!("{name} on {place}"),
                effect: format!("Change the bridge {name} on {place}."),
                edits: vec![Edit::update(name.as_str(), before, after)],
                warnings,
            })
        }
        NetworkChange::DeleteBridge { name } => {
            bridge(name.as_str())?;
            if !users.is_empty() {
                return Err(refused(format!(
                    "{} guests are on {name}: {}. Move their network cards first.",
                    users.len(),
                    users.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
                )));
            }
            if let Some((user, _)) = net
                .objects
                .iter()
                .find(|(_, s)| s.get("vlan-raw-device").is_some_and(|d| d == name.as_str()))
            {
                return Err(refused(format!("{user} is built on {name}; remove that first.")));
            }
            Ok(Asked {
                name: name.to_string(),
                target: format!("{name} on {place}"),
                effect: format!("Remove the bridge {name} from {place}."),
                edits: vec![Edit::Delete { key: name.to_string() }],
                warnings: Vec::new(),
            })
        }
        NetworkChange::CreateVnet { spec } => {
            let key = format!("vnet/{}", spec.id);
            if net.objects.contains_key(&key) {
                return Err(refused(format!("There already is a vnet {}.", spec.id)));
            }
            let zone = format!("zone/{}", spec.zone);
            let kind = match (&spec.new_zone, net.objects.get(&zone)) {
                (Some(_), Some(_)) => {
                    return Err(refused(format!(
                        "There already is a zone {}: leave its kind out to use it.",
                        spec.zone
                    )));
                }
                (None, None) => {
                    return Err(refused(format!(
                        "There is no zone {}. Give its kind to make it.",
                        spec.zone
                    )));
                }
                (None, Some(zone)) => zone.get("type").cloned().unwrap_or_default(),
                (Some(_), None) => String::new(),
            };
            if kind == "simple" && spec.tag.is_some() {
                return Err(refused(format!(
                    "{} is a simple zone: its vnets have no number.",
                    spec.zone
                )));
            }
            if ["vlan", "vxlan", "qinq", "evpn"].contains(&kind.as_str()) && spec.tag.is_none() {
                return Err(refused(format!(
                    "A vnet in the {kind} zone {} needs a tag.",
                    spec.zone
                )));
            }
            Ok(Asked {
                name: spec.id.clone(),
                target: format!("vnet {} in {place}", spec.id),
                effect: format!(
                    "Create the vnet {} in zone {}{}; every node gets a bridge of that name.",
                    spec.id,
                    spec.zone,
                    if spec.new_zone.is_some() { ", which is new" } else { "" }
                ),
                edits: spec.edits(),
                warnings: Vec::new(),
            })
        }
        NetworkChange::DeleteVnet { name } => {
            let key = format!("vnet/{name}");
            if !net.objects.contains_key(&key) {
                return Err(refused(format!("There is no vnet {name} in {place}.")));
            }
            if !users.is_empty() {
                return Err(refused(format!(
                    "{} guests are on {name}: {}. Move their network cards first.",
                    users.len(),
                    users.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
                )));
            }
            let below = format!("subnet/{name}/");
            let mut edits: Vec<Edit> = net
                .objects
                .keys()
                .filter(|k| k.starts_with(&below))
                .map(|k| Edit::Delete { key: k.clone() })
                .collect();
            edits.push(Edit::Delete { key });
            Ok(Asked {
                name: name.clone(),
                target: format!("vnet {name} in {place}"),
                effect: format!("Remove the vnet {name} with its subnets from every node."),
                edits,
                warnings: Vec::new(),
            })
        }
        NetworkChange::Apply | NetworkChange::Revert => {
            Err(refused("that is not an edit of a network".into()))
        }
    }
}

/// What the API has no name for, and what does the same.
fn beyond(what: &[&str]) -> String {
    format!(
        "Proxmox's API cannot set {}, so that part is left as it is. A vnet with isolated ports (`/vnet create … isolate:True`) \
         and the guests' own firewall do what bridges cannot. No command of gantry's sets it over the node shell.",
        what.join(", ")
    )
}
