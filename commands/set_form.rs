//! The form of `/set create`: what does not fit in options. Several volumes, ports of the service, environment, tags
//! and keys.

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, StorageId};
use gantry_core::pod::{Problem, quoted};
use gantry_core::policy::{Ruling, Target};
use gantry_core::service::{Port, Protocol};
use gantry_core::set::SetSpec;
use serde::{Deserialize, Serialize};
use serenity::all::CreateModal;

use crate::card;
use crate::face::FaceError;
use crate::form::{self, Field};
use crate::paint::{MODAL_TITLE_MAX, label};
use crate::screen::{self, View};
use crate::set_create::{self, Typed};
use crate::token::{ScreenId, Token};
use crate::visit::{Go, Visit, acknowledged};

const VOLUMES: &str = "volumes";
const PORTS: &str = "ports";
const ENV: &str = "env";
const TAGS: &str = "tags";
const KEYS: &str = "keys";

/// What is typed into the form of a new set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetInputs {
    /// Volumes, one a line: `data:4:/data`, with a storage in front where it is another: `tank:data:4:/data`.
    pub volumes: String,
    /// Ports of the service: `http:8080`, `dns:53/udp`.
    pub ports: String,
    /// `KEY=value`, one a line.
    pub env: String,
    /// Tags, and `pool:name`.
    pub tags: String,
    /// SSH keys, one a line.
    pub keys: String,
}

impl SetInputs {
    fn of(inputs: &[(String, String)]) -> Self {
        let text = |id: &str| form::input(inputs, id).trim().to_owned();
        Self {
            volumes: text(VOLUMES),
            ports: text(PORTS),
            env: text(ENV),
            tags: text(TAGS),
            keys: text(KEYS),
        }
    }
}

fn modal(id: &ScreenId, name: &str, typed: &SetInputs) -> CreateModal {
    let field = |label, id, value, hint| Field { label, id, value, hint };
    CreateModal::new(
        Token::Form(id.clone()).to_string(),
        label(&format!("New set {name}"), MODAL_TITLE_MAX),
    )
    .components(vec![
        field("Volumes of each pod, one a line", VOLUMES, &typed.volumes, "data:4:/data")
            .long(1000),
        field("Ports of the service", PORTS, &typed.ports, "http:8080, dns:53/udp").short(300),
        field("Environment, one a line", ENV, &typed.env, "MODE=production").long(form::INPUT_MAX),
        field("Tags and pool", TAGS, &typed.tags, "web, app=shop pool:prod").short(400),
        field("SSH keys, one a line", KEYS, &typed.keys, "ssh-ed25519 AAAA… me@desk")
            .long(form::INPUT_MAX),
    ])
}

/// Keeps what the options say and opens the form for the rest.
pub async fn open(visit: &Visit, cluster: ClusterId, spec: SetSpec) -> Result<(), FaceError> {
    let id = visit.screen_id("set");
    let form = modal(&id, &spec.name, &SetInputs::default());
    let view = View::SetForm { cluster, spec: Box::new(spec), inputs: SetInputs::default() };
    if form::keep(visit, &id, &view).await? == Go::Stop {
        return Ok(());
    }
    acknowledged(visit.desk.modal(form).await).map(drop)
}

/// The same form again, with what was typed.
pub async fn again(
    visit: &Visit,
    id: &ScreenId,
    spec: &SetSpec,
    typed: &SetInputs,
) -> Result<(), FaceError> {
    if let Ruling::Denied { because } = visit.may(Verb::SetCreate, Target::Any) {
        return visit.refuse(Verb::SetCreate, &spec.name, &because).await;
    }
    acknowledged(visit.desk.modal(modal(id, &spec.name, typed)).await).map(drop)
}

/// What was typed: put together with the options, checked, then planned.
pub async fn sent(
    visit: &Visit,
    id: &ScreenId,
    (cluster, spec): (ClusterId, Box<SetSpec>),
    inputs: &[(String, String)],
) -> Result<(), FaceError> {
    let typed = SetInputs::of(inputs);
    let (full, problems) = fill_in(&spec, &typed);
    if !problems.is_empty() {
        if visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let view = View::SetForm { cluster, spec, inputs: typed };
        screen::save(visit, id, &view).await?;
        return visit.say(&card::problems("set", &full.name, &problems, id)).await;
    }
    let tags = full.template.all_tags();
    let pool = full.template.pool.as_deref();
    let target = Target::NewPod {
        cluster: &cluster,
        name: &full.name,
        tags: &tags,
        pool,
        nodes: &full.nodes,
        vmids: Some((full.vmids.from, full.vmids.to)),
    };
    if let Ruling::Denied { because } = visit.may(Verb::SetCreate, target) {
        return visit.refuse(Verb::SetCreate, &full.name, &because).await;
    }
    set_create::made(visit, cluster, full).await
}

/// Puts what was typed into the specification; what cannot be read is told, all of it at once.
fn fill_in(spec: &SetSpec, inputs: &SetInputs) -> (SetSpec, Vec<Problem>) {
    let mut spec = spec.clone();
    let mut typed = Typed::default();
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect()
    };
    let root = spec.template.root.storage.clone();
    for line in lines(&inputs.volumes) {
        let (storage, rest) = match line.matches(':').count() {
            3 => line.split_once(':').unwrap_or(("", &line)),
            _ => ("", line.as_str()),
        };
        let storage = match storage.trim() {
            "" => root.clone(),
            named => match named.parse::<StorageId>() {
                Ok(storage) => Some(storage),
                Err(error) => {
                    typed.note("volumes", error.to_string());
                    continue;
                }
            },
        };
        spec.volumes.extend(typed.volume(rest, storage));
    }
    let ports: Vec<&str> = inputs.ports.split([',', ' ', '\n']).filter(|p| !p.is_empty()).collect();
    match &mut spec.service {
        Some(service) => {
            service.ports.extend(ports.into_iter().filter_map(|p| port(&mut typed, p)))
        }
        None if ports.is_empty() => {}
        None => typed.note("ports", "they are the service's; name a service in the command"),
    }
    for line in lines(&inputs.env) {
        match line.split_once('=') {
            Some((key, value)) => {
                spec.template.env.0.insert(key.trim().to_owned(), value.to_owned());
            }
            // The line may be a secret without its name; it is not repeated.
            None => typed.note("env", "each line is KEY=value"),
        }
    }
    form::tags(&mut spec.template, &inputs.tags);
    spec.template.ssh_keys = lines(&inputs.keys);
    typed.add(spec.problems());
    (spec, typed.found)
}

/// Reads `http:8080`, `http:8080/tcp`, `dns:53/udp`.
fn port(typed: &mut Typed, text: &str) -> Option<Port> {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let (number, protocol) = rest.split_once('/').unwrap_or((rest, "tcp"));
    let protocol = match protocol {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    };
    match (number.parse(), protocol) {
        (Ok(port), Some(protocol)) => Some(Port { name: name.to_owned(), protocol, port }),
        _ => {
            let like = "name and port, as in http:8080 or dns:53/udp";
            typed.note("ports", format!("{} cannot be read: {like}", quoted(text)));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_core::pod::{Network, PodTemplate, Root};
    use gantry_core::set::spec::{AddressPool, ServiceSpec, VmidRange};

    use super::*;

    fn spec() -> SetSpec {
        let range = VmidRange { from: 700.try_into().unwrap(), to: 709.try_into().unwrap() };
        let template = PodTemplate {
            image: "local:vztmpl/web_1.tar".into(),
            root: Root { storage: Some("local-lvm".parse().unwrap()), size_gib: 4 },
            networks: vec![Network::dhcp("vmbr0")],
            ..PodTemplate::default()
        };
        let service = ServiceSpec {
            name: "web".into(),
            zone: "lab.internal".parse().unwrap(),
            ports: Vec::new(),
            publish_not_ready: false,
        };
        SetSpec {
            name: "web".into(),
            service: Some(service),
            addresses: Some(AddressPool { first: "10.0.0.10/24".into(), gateway: None }),
            ..SetSpec::new(2, range, vec!["pve1".parse().unwrap()], template)
        }
    }

    #[test]
    fn what_is_typed_goes_where_it_belongs() {
        let typed = SetInputs {
            volumes: "data:4:/data\ntank:logs:1:/var/log/web\n".into(),
            ports: "http:8080, dns:53/udp".into(),
            env: "MODE=production\nEMPTY=".into(),
            tags: "web app=shop pool:prod".into(),
            keys: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0123456789abcdef me\n".into(),
        };
        let (spec, problems) = fill_in(&spec(), &typed);
        assert_eq!(problems, []);
        let volumes: Vec<String> =
            spec.volumes.iter().map(|v| format!("{} {} {}", v.storage, v.name, v.path)).collect();
        assert_eq!(volumes, ["local-lvm data /data", "tank logs /var/log/web"]);
        let service = spec.service.as_ref().unwrap();
        let ports: Vec<String> =
            service.ports.iter().map(|p| format!("{} {} {}", p.name, p.port, p.protocol)).collect();
        assert_eq!(ports, ["http 8080 tcp", "dns 53 udp"]);
        assert_eq!(spec.template.env.0["MODE"], "production");
        assert_eq!(spec.template.pool.as_deref(), Some("prod"));
        assert_eq!((spec.template.tags.len(), spec.template.ssh_keys.len()), (1, 1));
    }

    #[test]
    fn everything_wrong_is_told_at_once_and_no_value_of_the_environment_repeated() {
        let mut without = spec();
        without.service = None;
        let typed = SetInputs {
            volumes: "data".into(),
            ports: "http".into(),
            env: "hunter2".into(),
            ..SetInputs::default()
        };
        let (_, problems) = fill_in(&without, &typed);
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["volume", "ports", "env"]);
        assert!(!format!("{problems:?}").contains("hunter2"));
        let (_, problems) =
            fill_in(&spec(), &SetInputs { ports: "http:x".into(), ..SetInputs::default() });
        assert_eq!(
            problems[0].why,
            "“http:x” cannot be read: name and port, as in http:8080 or dns:53/udp"
        );
    }
}
