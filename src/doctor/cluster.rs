//! One cluster: every endpoint by itself, how it proves who it is, its version, and the token's privileges.

use std::fmt::Write as _;

use gantry_core::policy::Policy;
use gantry_proxmox::{Client, Error, Freshness, TlsProblem};

use super::{Report, privileges};
use crate::clients::client;
use crate::config::{Cluster, Tls};

/// Oldest Proxmox VE that gantry is made for.
const VERSION_MIN: u32 = 8;

pub(super) async fn examine(cluster: &Cluster, policy: &Policy, report: &mut Report) {
    let mut answering = None;
    for endpoint in &cluster.endpoints {
        let subject = format!("{}: {}", cluster.id, host(endpoint));
        let alone = Cluster { endpoints: vec![endpoint.clone()], ..cluster.clone() };
        let client = match client(&alone) {
            Ok(client) => client,
            Err(error) => {
                report.fail(&subject, error.to_string(), format!("correct cluster {}", cluster.id));
                return;
            }
        };
        match client.version().await {
            Ok(version) => {
                let number =
                    version.version.clone().unwrap_or_else(|| "without a number".to_owned());
                match version.major() {
                    Some(major) if major < VERSION_MIN => report.warn(
                        &subject,
                        format!("answers, but is Proxmox VE {number}"),
                        format!("gantry is made for Proxmox VE {VERSION_MIN} and newer; upgrade the node"),
                    ),
                    _ => report.ok(&subject, format!("answers: Proxmox VE {number}")),
                }
                answering.get_or_insert(client);
            }
            Err(error) => {
                let fix = fix(cluster, endpoint, &error);
                report.fail(&subject, error.to_string(), fix);
                if matches!(error, Error::Auth { .. }) {
                    return; // each wrong token costs 3 s, and the other endpoints say the same
                }
            }
        }
    }
    let Some(client) = answering else {
        // Nothing was tried, so nothing is in order; that nothing is checked at all is said anyway.
        if matches!(cluster.tls, Tls::Insecure) {
            trust(cluster, &[], report);
        }
        return;
    };
    if cluster.endpoints.len() == 1 {
        report.warn(
            &format!("{}: endpoints", cluster.id),
            "only one endpoint: when that node is down, gantry is blind for this cluster",
            "add another node's address to endpoints",
        );
    }
    let pins = nodes(cluster, &client, report).await;
    trust(cluster, &pins, report);
    match client.permissions().await {
        Ok(has) => privileges::compare(cluster, &privileges::needs(policy), &has, report),
        Err(error) => report.fail(
            &format!("{}: token", cluster.id),
            format!("its privileges cannot be read: {error}"),
            "try again; then look at the node's pveproxy log",
        ),
    }
}

/// `pins` are what the cluster itself says its nodes' certificates are, as `node fingerprint`.
fn trust(cluster: &Cluster, pins: &[(String, String)], report: &mut Report) {
    let subject = format!("{}: TLS", cluster.id);
    match &cluster.tls {
        Tls::System => report.ok(&subject, "by public roots"),
        Tls::CaFile(path) => report.ok(&subject, format!("by the CA in {}", path.display())),
        Tls::Fingerprints(pins) => {
            report.ok(&subject, format!("by {} pinned fingerprints", pins.len()));
        }
        Tls::Insecure => {
            let mut fix =
                "tls = { ca_file = \"pve-root-ca.pem\" } with a copy of /etc/pve/pve-root-ca.pem"
                    .to_owned();
            if !pins.is_empty() {
                let list: Vec<String> = pins.iter().map(|(_, pin)| format!("\"{pin}\"")).collect();
                let names: Vec<&str> = pins.iter().map(|(node, _)| node.as_str()).collect();
                let _ = write!(
                    fix,
                    "\nor tls = {{ fingerprints = [{}] }}: {}; compare with `pvenode cert info` on each, \
                     somebody on the way could have changed what is shown here",
                    list.join(", "),
                    names.join(", ")
                );
            }
            report.warn(
                &subject,
                "NOT CHECKED: anybody on the way can read the token and command the cluster",
                fix,
            );
        }
    }
}

/// The nodes as the cluster sees them, and the fingerprints that could be pinned.
async fn nodes(cluster: &Cluster, client: &Client, report: &mut Report) -> Vec<(String, String)> {
    let subject = format!("{}: nodes", cluster.id);
    match client.nodes(Freshness::Fresh).await {
        Ok(nodes) if nodes.is_empty() => {
            report.warn(&subject, "the token sees no node", "give it Sys.Audit on /nodes");
        }
        Ok(nodes) => {
            let away: Vec<String> = nodes
                .iter()
                .filter(|n| !n.is_online())
                .filter_map(|n| n.node.as_ref().map(ToString::to_string))
                .collect();
            if away.is_empty() {
                report.ok(&subject, format!("{} online", nodes.len()));
            } else {
                report.warn(
                    &subject,
                    format!("not online: {}", away.join(", ")),
                    "look at the node; gantry goes on with the others",
                );
            }
            return nodes
                .iter()
                .filter_map(|n| Some((n.node.as_ref()?.to_string(), n.ssl_fingerprint.clone()?)))
                .collect();
        }
        Err(error) => {
            report.fail(&subject, error.to_string(), "give the token Sys.Audit on /nodes");
        }
    }
    Vec::new()
}

fn fix(cluster: &Cluster, endpoint: &url::Url, error: &Error) -> String {
    match error {
        Error::Auth { .. } => format!(
            "check token_id and its secret. A new one: pveum user token remove {user} {name}; pveum user token add {user} {name} --privsep 1",
            user = cluster.token_id.split('!').next().unwrap_or_default(),
            name = cluster.token_id.split('!').nth(1).unwrap_or_default(),
        ),
        Error::Tls { problem: TlsProblem::Fingerprint { got, .. }, .. } => format!(
            "run `pvenode cert info` on that node; if it shows the same, add \"{got}\" to tls.fingerprints. \
             If it does not, somebody is in between"
        ),
        Error::Tls { problem: TlsProblem::Untrusted { .. }, .. } => {
            "copy /etc/pve/pve-root-ca.pem from a node and write tls = { ca_file = \"pve-root-ca.pem\" }, \
             or pin the certificate: tls = { fingerprints = [\"…\"] } with what `pvenode cert info` shows"
                .to_owned()
        }
        Error::Unreachable { .. } | Error::AnswerLost { .. } | Error::BreakerOpen { .. } => format!(
            "from this machine: curl -k {}api2/json/version must answer 401. Check address, port 8006, firewall, pveproxy",
            endpoint
        ),
        _ => "look at the node's pveproxy log: journalctl -u pveproxy".to_owned(),
    }
}

fn host(endpoint: &url::Url) -> String {
    let port = endpoint.port_or_known_default().unwrap_or(443);
    format!("{}:{port}", endpoint.host_str().unwrap_or_default())
}
