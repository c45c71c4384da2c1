//! The node shell of a cluster: each node by itself. Reachable, the pinned key, the script, its programs.

use futures::future::join_all;
use gantry_core::id::{ClusterId, NodeName};
use gantry_nodeshell::{Error, NodeShell, PROTOCOL, Probe, SCRIPT_PATH, authorized_keys_line};

use super::Report;
use crate::config::Cluster;

/// Programs whose absence takes something away, and what.
const TOOLS: &[(&str, &str)] = &[
    ("ip", "bridges"),
    ("bridge", "port isolation"),
    ("nft", "port forwards"),
    ("ss", "port forwards"),
    ("flock", "every change"),
    ("timeout", "health checks and images"),
    ("pct", "health checks and locks of containers"),
    ("pvesm", "images"),
    ("qemu-img", "conversions"),
];

pub(super) async fn examine(cluster: &Cluster, report: &mut Report) {
    let Some(config) = cluster.node_shell.as_ref().map(|s| s.config()) else { return };
    let shell = match NodeShell::new(config) {
        Ok(shell) => shell,
        Err(error) => {
            let subject = format!("{}: node shell", cluster.id);
            report.fail(&subject, error.to_string(), "correct [clusters.node_shell]");
            return;
        }
    };
    let nodes: Vec<NodeName> = shell.nodes().cloned().collect();
    let probes = join_all(nodes.iter().map(|node| shell.probe(node))).await;
    for (node, probe) in nodes.iter().zip(probes) {
        match probe {
            Ok(probe) => answered(&cluster.id, node, &probe, report),
            Err(error) => {
                let subject = subject(&cluster.id, node);
                report.fail(&subject, error.to_string(), fix(&error, shell.public_key()));
            }
        }
    }
}

fn subject(cluster: &ClusterId, node: &NodeName) -> String {
    format!("{cluster}: node shell {node}")
}

fn answered(cluster: &ClusterId, node: &NodeName, probe: &Probe, report: &mut Report) {
    let subject = subject(cluster, node);
    if probe.protocol != PROTOCOL {
        report.fail(
            &subject,
            format!(
                "its script speaks gantry-node/{}, this gantry gantry-node/{PROTOCOL}",
                probe.protocol
            ),
            format!("install this gantry's script as {SCRIPT_PATH}"),
        );
        return;
    }
    let mut lacking: Vec<String> = TOOLS
        .iter()
        .filter(|(tool, _)| !probe.has(tool))
        .map(|(tool, what)| format!("no {tool}: no {what}"))
        .collect();
    let mut fixes = Vec::new();
    if !lacking.is_empty() {
        fixes.push("install the missing programs on the node".to_owned());
    }
    if !probe.is_current() {
        lacking.push("its script is not the one of this gantry".to_owned());
        fixes.push(format!("install this gantry's script as {SCRIPT_PATH}"));
    }
    if !probe.boot_unit {
        lacking.push(
            "the boot unit is not enabled: bridge settings and forwards end with a restart"
                .to_owned(),
        );
        fixes.push("systemctl enable gantry-node.service".to_owned());
    }
    if lacking.is_empty() {
        report.ok(&subject, "the pinned host key, the script of this gantry");
    } else {
        report.warn(&subject, lacking.join("; "), fixes.join("\n"));
    }
}

/// What to do about it, as exactly as it can be said.
fn fix(error: &Error, public_key: &str) -> String {
    match error {
        Error::HostKey { .. } => {
            "if the node was set up anew, compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` at its \
             console and write that key into host_keys; if it was not, find out who answers at its address"
                .to_owned()
        }
        Error::Auth { .. } => format!(
            "add this line to /root/.ssh/authorized_keys on the node:\n{}",
            authorized_keys_line(public_key)
        ),
        Error::NotInstalled { .. } => format!(
            "install the script on the node as {SCRIPT_PATH}, mode 755; docs/nodeshell.md shows how"
        ),
        Error::Unreachable { .. } | Error::Resting { .. } => {
            "check the address, and that sshd runs and the firewall lets gantry in".to_owned()
        }
        Error::Refused { .. } | Error::Decode { .. } => {
            format!("install this gantry's script as {SCRIPT_PATH}; something else answers there")
        }
        _ => "try again; then look at the node's log: journalctl -t gantry-node -t sshd".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_has_a_fix_that_can_be_followed() {
        let node: NodeName = "pve1".parse().unwrap();
        let auth = Error::Auth { node: node.clone(), user: "root".to_owned() };
        assert_eq!(
            fix(&auth, "ssh-ed25519 AAAA gantry"),
            "add this line to /root/.ssh/authorized_keys on the node:\n\
             restrict,command=\"/usr/local/sbin/gantry-node\" ssh-ed25519 AAAA gantry"
        );
        let changed = Error::HostKey {
            node: node.clone(),
            expected: vec!["SHA256:a".to_owned()],
            got: "SHA256:b".to_owned(),
        };
        assert!(fix(&changed, "").contains("find out who answers"));

        let probe = |protocol, script: String, boot_unit| Probe {
            protocol,
            script,
            tools: TOOLS.iter().map(|(t, _)| ((*t).to_owned(), *t != "nft")).collect(),
            forwards_ipv4: true,
            forwards_ipv6: false,
            boot_unit,
        };
        let lab: ClusterId = "lab".parse().unwrap();
        let mut report = Report::default();
        answered(
            &lab,
            &node,
            &probe(PROTOCOL, gantry_nodeshell::script_sha256(), false),
            &mut report,
        );
        answered(&lab, &node, &probe(9, String::new(), true), &mut report);
        let text = report.to_string();
        assert!(
            text.contains("warn  lab: node shell pve1  no nft: no port forwards; the boot unit"),
            "{text}"
        );
        assert!(
            text.contains("FAIL  lab: node shell pve1  its script speaks gantry-node/9"),
            "{text}"
        );
    }
}
