//! What each change of a network asks for, on the configuration as it is: the edits, or why not.

use super::{Edit, FIREWALL, Flip, Kernel, Net, NetworkChange, Settings, Switch};
use crate::plan::Planned;
use crate::world::Users;

/// What is asked for, ready to be planned.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) target: String,
    pub(super) effect: String,
    pub(super) edits: Vec<Edit>,
    /// What is set over the node shell.
    pub(super) flips: Vec<Flip>,
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
    users: &Users,
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
            let (mut warnings, mut flips) = (Vec::new(), Vec::new());
            match &net.kernel {
                _ if !spec.stp => {}
                Kernel::Said(_) => flips.push(Flip {
                    node: None,
                    bridge: name.to_owned(),
                    port: None,
                    switch: Switch::Stp,
                    on: true,
                }),
                Kernel::Silent(why) => return Err(refused(silent(place, why))),
                _ => warnings.push(beyond(place, &[Switch::Stp])),
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
                flips,
                warnings,
            })
        }
        NetworkChange::SecureBridge { name, how } => {
            let before = bridge(name.as_str())?;
            let after = how.settings(before);
            let beyond_api = how.beyond_the_api();
            let (mut warnings, mut edits, mut flips) = (Vec::new(), Vec::new(), Vec::new());
            let mut left = Vec::new();
            match &net.kernel {
                _ if beyond_api.is_empty() => {}
                Kernel::Said(bridges) => {
                    let Some(now) = bridges.get(name.as_str()) else {
                        return Err(refused(format!("{name} on {place} is not up.")));
                    };
                    let uplinks = before.get("bridge_ports").map_or("", String::as_str);
                    flips = how.flips(name.as_str(), uplinks, now);
                    flips.retain(|f| net.kernel.now(f) != Some(f.on));
                    if how.isolate_ports == Some(true) {
                        warnings.push(
                            "A guest's port is a new one at each of its starts and not isolated then: ask again, or use a \
                             vnet with isolated ports, which stays so."
                                .to_owned(),
                        );
                    }
                }
                Kernel::Silent(why) => return Err(refused(silent(place, why))),
                _ => left = beyond_api,
            }
            if after != *before {
                if after.contains_key("bridge_vlan_aware")
                    != before.contains_key("bridge_vlan_aware")
                {
                    warnings.push(
                        "Guests with a VLAN tag on it may lose their connection until they are restarted.".into(),
                    );
                }
                edits.push(Edit::update(name.as_str(), before, after));
            }
            let empty = Settings::new();
            let firewall = net.objects.get(FIREWALL).unwrap_or(&empty);
            if let Some(after) = how.firewall(firewall).filter(|after| after != firewall) {
                edits.push(Edit::update(FIREWALL, firewall, after));
                warnings.push(format!(
                    "The firewall's defaults are {place}'s, for all its bridges; they hold where the cluster's firewall is switched on."
                ));
            }
            if edits.is_empty() && flips.is_empty() {
                return Err(if left.is_empty() {
                    nothing(format!("{name} on {place} is already like that."))
                } else {
                    refused(beyond(place, &left))
                });
            }
            if !left.is_empty() {
                warnings.push(beyond(place, &left));
            }
            Ok(Asked {
                name: name.to_string(),
                target: format!("{name} on {place}"),
                effect: format!("Change the bridge {name} on {place}."),
                edits,
                flips,
                warnings,
            })
        }
        NetworkChange::DeleteBridge { name } => {
            bridge(name.as_str())?;
            if !users.is_empty() {
                return Err(refused(format!(
                    "{} on {name}. Move their network cards first.",
                    users.words()
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
                flips: Vec::new(),
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
                flips: Vec::new(),
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
                    "{} on {name}. Move their network cards first.",
                    users.words()
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
                flips: Vec::new(),
                warnings: Vec::new(),
            })
        }
        NetworkChange::Apply | NetworkChange::Revert => {
            Err(refused("that is not an edit of a network".into()))
        }
    }
}

/// What the API has no name for, and what does the same.
fn beyond(place: &str, what: &[Switch]) -> String {
    let what: Vec<&str> = what.iter().map(|s| s.words()).collect();
    format!(
        "Proxmox's API cannot set {}, and the node shell, which can, is not set up for {place}; so that part is left as it \
         is. A vnet with isolated ports (`/vnet create … isolate:True`) and the guests' own firewall do what bridges cannot.",
        what.join(", ")
    )
}

/// Why what the API cannot set is not set now.
fn silent(place: &str, why: &str) -> String {
    format!(
        "What Proxmox's API cannot set goes over the node shell of {place}, which does not answer: {why}. Nothing was changed."
    )
}
