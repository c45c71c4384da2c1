//! What the token may do against what the commands need, and the `pveum` lines that close the gap.

use std::collections::{BTreeMap, BTreeSet};

use gantry_core::action::Verb;
use gantry_core::policy::{Effect, Policy};
use gantry_proxmox::Permissions;

use super::Report;
use crate::config::Cluster;

/// The role the README makes.
pub const ROLE: &str = "Gantry";

/// A privilege and the verbs that need it.
pub(super) type Needs = BTreeMap<String, BTreeSet<Verb>>;

/// Without it `cluster/resources` leaves pools out, and rules on `pool:` cover nothing.
const POOLS: &str = "Pool.Audit";

/// A privilege that is more than most want to give, and what is missing without it.
const OPTIONAL: &[(&str, &str)] = &[
    ("Sys.Modify", "without it, /task cancel stops only tasks that gantry itself started"),
    (
        "Mapping.Modify",
        "without it, /cluster notify cannot look at or set up Proxmox's notifications; the README gives it on \
         /mapping/notifications alone",
    ),
];

/// Paths shown where a privilege is given for parts of the cluster only; more do not fit a line.
const PATHS_SHOWN: usize = 6;

/// What the verbs that some rule allows need; with no rules, what all verbs need.
pub(super) fn needs(policy: &Policy) -> Needs {
    let allowed = |verb: Verb| {
        policy.rules.is_empty()
            || policy
                .rules
                .iter()
                .any(|r| r.effect == Effect::Allow && r.verbs.iter().any(|v| v.covers(verb)))
    };
    let mut needs = Needs::new();
    for verb in Verb::ALL.iter().copied().filter(|v| allowed(*v)) {
        let privileges = gantry_commands::needed_privileges(verb);
        let pools = privileges.contains(&"VM.Audit").then_some(&POOLS);
        for privilege in privileges.iter().chain(pools) {
            needs.entry((*privilege).to_owned()).or_default().insert(verb);
        }
    }
    needs
}

/// The line that makes the role, with everything that any command needs.
pub fn role_line() -> String {
    let all: Vec<String> =
        needs(&Policy::default()).into_keys().filter(|p| !is_optional(p)).collect();
    format!("pveum role add {ROLE} --privs \"{}\"", all.join(" "))
}

fn is_optional(privilege: &str) -> bool {
    OPTIONAL.iter().any(|(name, _)| *name == privilege)
}

pub(super) fn compare(cluster: &Cluster, needs: &Needs, has: &Permissions, report: &mut Report) {
    let subject = format!("{}: token", cluster.id);
    let token = &cluster.token_id;
    let user = token.split('!').next().unwrap_or(token);
    if has.is_empty() {
        report.fail(
            &subject,
            format!(
                "{token} has no privilege at all. With privilege separation a token has only what both its user and \
                 the token itself were given"
            ),
            format!(
                "pveum acl modify / --users {user} --roles {ROLE}\npveum acl modify / --tokens '{token}' --roles {ROLE}"
            ),
        );
        return;
    }
    let missing: Vec<(&String, &BTreeSet<Verb>)> = needs
        .iter()
        .filter(|(privilege, _)| !has.anywhere(privilege) && !is_optional(privilege))
        .collect();
    for (privilege, without) in OPTIONAL {
        if needs.contains_key(*privilege) && !has.anywhere(privilege) {
            report.ok(&format!("{}: {privilege}", cluster.id), format!("not given; {without}"));
        }
    }
    if missing.is_empty() {
        report.ok(&subject, format!("{token} has every privilege the commands need"));
        narrow(cluster, needs, has, report);
        return;
    }
    let names: Vec<&str> = missing.iter().map(|(p, _)| p.as_str()).collect();
    let verbs: BTreeSet<&str> =
        missing.iter().flat_map(|(_, v)| v.iter().map(|v| v.as_str())).collect();
    let verbs: Vec<&str> = verbs.into_iter().collect();
    report.fail(
        &subject,
        format!("{token} lacks {}; needed for {}", names.join(", "), verbs.join(", ")),
        format!(
            "pveum role modify {ROLE} --append 1 --privs \"{}\"\n\
             and, with privilege separation, the role for both: pveum acl modify / --users {user} --roles {ROLE}; \
             pveum acl modify / --tokens '{token}' --roles {ROLE}",
            names.join(" ")
        ),
    );
}

/// A token that was given its rights for parts of the cluster only is said so: it explains what is not seen.
fn narrow(cluster: &Cluster, needs: &Needs, has: &Permissions, report: &mut Report) {
    let wanted = || needs.keys().filter(|p| !is_optional(p));
    let partly: Vec<&str> = wanted().filter(|p| !has.allows("/", p)).map(String::as_str).collect();
    if !partly.is_empty() {
        let holds = |all: &BTreeMap<String, bool>| partly.iter().any(|p| all.contains_key(*p));
        let mut paths: Vec<&str> =
            has.0.iter().filter(|(_, all)| holds(all)).map(|(path, _)| path.as_str()).collect();
        let more = paths.len().saturating_sub(PATHS_SHOWN);
        paths.truncate(PATHS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        report.ok(
            &format!("{}: scope", cluster.id),
            format!("{} only on {}{more}", partly.join(", "), paths.join(", ")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_makes_the_role_that_doctor_asks_for() {
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&role_line()), "README must say: {}", role_line());
    }

    #[test]
    fn a_policy_that_only_reads_needs_no_privilege_to_write() {
        let policy: Policy = serde_json::from_str(
            r#"{"rules":[{"name":"look","roles":[1],"verbs":["read"],"on":["*"]}]}"#,
        )
        .unwrap();
        let (all, some) = (needs(&Policy::default()), needs(&policy));
        assert!(all.contains_key("VM.PowerMgmt") && all.contains_key("VM.Allocate"), "{all:?}");
        assert!(some.contains_key("VM.Audit") && !some.contains_key("VM.Allocate"), "{some:?}");
    }
}
