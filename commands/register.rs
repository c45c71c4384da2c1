//! Tells Discord which commands there are, and the operator which rights they need. Registering is done only when
//! the definitions changed: new names count against 200 a day per server.

use gantry_core::action::Verb;
use gantry_core::id::GuildId;
use serenity::all::{ApplicationId, Http, LightMethod, Request, Route};
use sha2::{Digest, Sha256};

use crate::face::{Face, FaceError, store_error};
use crate::words::GERMAN;

/// Where commands are registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// In these servers only; seen at once, for trying things out.
    Guilds(Vec<GuildId>),
}

/// What registering came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// Discord has these very definitions already.
    Unchanged,
    /// They were sent; so many command groups, in so many places.
    Updated {
        /// Command groups.
        commands: usize,
        /// Places.
        places: usize,
    },
}

/// All commands, with their localised descriptions.
pub fn commands() -> Vec<poise::Command<Face, FaceError>> {
    let mut all = vec![
        crate::cluster::cluster(),
        crate::node::node(),
        crate::guest::guest(),
        crate::pod::pod(),
        crate::set::set(),
        crate::bridge::bridge(),
        crate::vnet::vnet(),
        crate::forward::forward(),
        crate::image::image(),
        crate::graph::graph(),
        crate::alert::alert(),
        crate::rule::rule(),
        crate::maintenance::maintenance(),
        crate::oncall::oncall(),
        crate::board::board(),
        crate::report::report(),
        crate::task::task(),
        crate::op::op(),
        crate::audit::audit(),
        crate::help::help(),
        crate::help::whoami(),
    ];
    for command in &mut all {
        localise(command, "");
    }
    all
}

fn localise(command: &mut poise::Command<Face, FaceError>, parent: &str) {
    let name = format!("{parent}{}", command.name);
    if let Some((_, german)) = GERMAN.iter().find(|(n, _)| *n == name) {
        command.description_localizations = vec![("de".into(), (*german).into())].into();
    }
    for sub in &mut command.subcommands {
        localise(sub, &format!("{name} "));
    }
}

/// The definitions as Discord gets them: a JSON array, and how many they are. Written one by one, since all of them as
/// a tree take ten times the memory.
fn definitions(
    global: bool,
    default_member_permissions: Option<u64>,
) -> Result<(String, usize), serde_json::Error> {
    let commands = commands();
    let mut all = String::from("[");
    let mut count = 0;
    for command in &commands {
        for definition in
            poise::builtins::create_application_commands(std::slice::from_ref(command))
        {
            let mut value = serde_json::to_value(definition)?;
            if let Some(map) = value.as_object_mut() {
                match default_member_permissions {
                    Some(bits) => {
                        map.insert("default_member_permissions".into(), bits.to_string().into());
                    }
                    None => {
                        map.remove("default_member_permissions");
                    }
                }
                // Deprecated; `contexts` says it now.
                map.remove("dm_permission");
                if global {
                    // In servers, installed by servers: without roles there is nothing to decide by.
                    map.insert("contexts".into(), serde_json::json!([0]));
                    map.insert("integration_types".into(), serde_json::json!([0]));
                } else {
                    map.remove("contexts");
                    map.remove("integration_types");
                }
            }
            if count > 0 {
                all.push(',');
            }
            all.push_str(&value.to_string());
            count += 1;
        }
    }
    all.push(']');
    Ok((all, count))
}

/// Puts the definitions in place. What Discord answers says them again, and is not kept.
async fn put(
    http: &Http,
    application: ApplicationId,
    place: Option<GuildId>,
    definitions: &str,
) -> Result<(), serenity::Error> {
    let route = match place {
        None => Route::Commands { application_id: application },
        Some(guild) => {
            Route::GuildCommands { application_id: application, guild_id: guild.0.into() }
        }
    };
    let request = Request::new(route, LightMethod::Put).body(Some(definitions.into()));
    let mut answer = http.request(request).await?;
    // Read to its end, so that the connection can be used again.
    while answer.chunk().await?.is_some() {}
    Ok(())
}

impl Face {
    /// Registers the commands where they are not registered yet in just this form.
    ///
    /// # Errors
    /// What Discord or the store says.
    pub async fn register(
        &self,
        http: &Http,
        application: ApplicationId,
        scope: &Scope,
    ) -> Result<Registered, FaceError> {
        http.set_application_id(application);
        let global = *scope == Scope::Global;
        let bits = self.settings().default_member_permissions;
        let (definitions, count) =
            definitions(global, bits).map_err(|e| FaceError::from(serenity::Error::from(e)))?;
        let hash = hex::encode(Sha256::digest(&definitions));
        let places: Vec<Option<GuildId>> = match scope {
            Scope::Global => vec![None],
            Scope::Guilds(guilds) => guilds.iter().copied().map(Some).collect(),
        };
        let store = self.engine().store();
        let mut sent = 0;
        for place in places {
            let key = match place {
                None => format!("commands:{application}:global"),
                Some(guild) => format!("commands:{application}:{guild}"),
            };
            let known = store
                .setting(&key)
                .await
                .map_err(store_error("Could not look up which commands are registered"))?;
            if known.as_deref() == Some(hash.as_str()) {
                continue;
            }
            put(http, application, place, &definitions).await?;
            store
                .set_setting(&key, &hash, self.engine().now_ms())
                .await
                .map_err(store_error("Could not note which commands are registered"))?;
            sent += 1;
        }
        Ok(if sent == 0 {
            Registered::Unchanged
        } else {
            Registered::Updated { commands: count, places: sent }
        })
    }
}

/// Every command on a line of its own, for a terminal.
pub fn commands_text() -> String {
    let mut out = String::new();
    for command in commands() {
        lines_of(&mut out, &command.name, &command);
    }
    out
}

fn lines_of(out: &mut String, name: &str, command: &poise::Command<Face, FaceError>) {
    if command.subcommands.is_empty() {
        line_of(out, name, command);
    }
    for sub in &command.subcommands {
        lines_of(out, &format!("{name} {}", sub.name), sub);
    }
}

fn line_of(out: &mut String, name: &str, command: &poise::Command<Face, FaceError>) {
    let options: Vec<String> = command
        .parameters
        .iter()
        .map(|p| if p.required { p.name.to_string() } else { format!("[{}]", p.name) })
        .collect();
    let left = format!("/{name} {}", options.join(" "));
    out.push_str(&format!("{left:<52} {}\n", command.description.as_deref().unwrap_or_default()));
}

/// What a verb needs at Proxmox: for `gantry doctor` and the role in the manual. Paths are the callers' to choose.
pub fn needed_privileges(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::BoardCreate | Verb::Report => &["Sys.Audit", "Datastore.Audit", "VM.Audit"],
        Verb::ClusterStatus
        | Verb::NodeList
        | Verb::NodeStatus
        | Verb::GraphNode
        | Verb::GraphStorage => &["Sys.Audit", "Datastore.Audit"],
        Verb::GuestList
        | Verb::GuestShow
        | Verb::PodList
        | Verb::PodShow
        | Verb::PodSpec
        | Verb::GraphGuest
        | Verb::GraphCompare => &["VM.Audit"],
        Verb::GuestStart
        | Verb::GuestShutdown
        | Verb::GuestStop
        | Verb::GuestKill
        | Verb::GuestReboot
        | Verb::GuestSuspend
        | Verb::GuestResume
        | Verb::PodStart
        | Verb::PodStop
        | Verb::PodKill
        | Verb::PodRestart => &["VM.Audit", "VM.PowerMgmt"],
        Verb::GuestDelete | Verb::PodDelete | Verb::PodClean => {
            &["VM.Audit", "VM.PowerMgmt", "VM.Allocate"]
        }
        // Pods are made, replaced and deleted in the name of whoever confirmed the set.
        Verb::PodCreate
        | Verb::PodApply
        | Verb::PodUpdate
        | Verb::SetCreate
        | Verb::SetApply
        | Verb::SetScale
        | Verb::SetRollout
        | Verb::SetResume
        | Verb::SetUndo
        | Verb::SetDelete
        | Verb::SetDrift
        | Verb::SetMember => &[
            "VM.Audit",
            "VM.Allocate",
            "VM.PowerMgmt",
            "VM.Config.Disk",
            "VM.Config.CPU",
            "VM.Config.Memory",
            "VM.Config.Network",
            "VM.Config.Options",
            "Datastore.AllocateSpace",
            "Datastore.Audit",
            "SDN.Use",
        ],
        Verb::BridgeList | Verb::BridgeShow => &["Sys.Audit"],
        // What alerts look at: resources, tasks of everybody, backups on storages.
        Verb::AlertList => &["Sys.Audit", "VM.Audit", "Datastore.Audit"],
        Verb::BridgeCreate | Verb::BridgeSecure | Verb::BridgeApply | Verb::BridgeRevert => {
            &["Sys.Audit", "Sys.Modify"]
        }
        Verb::BridgeDelete => &["Sys.Audit", "Sys.Modify", "VM.Audit"],
        Verb::VnetList => &["SDN.Audit"],
        Verb::VnetCreate | Verb::VnetApply | Verb::VnetRevert => {
            &["SDN.Audit", "SDN.Allocate", "Sys.Audit"]
        }
        Verb::VnetDelete => &["SDN.Audit", "SDN.Allocate", "Sys.Audit", "VM.Audit"],
        Verb::ForwardList | Verb::ForwardApply => &["VM.Audit"],
        Verb::ForwardAdd | Verb::ForwardRemove => &["VM.Audit", "VM.Config.Network"],
        Verb::ClusterNotifyShow | Verb::ClusterNotifyTest | Verb::ClusterNotifyRemove => {
            &["Mapping.Modify"]
        }
        // Besides, a webhook target may be made only by whoever may reach the network from a node.
        Verb::ClusterNotifyInstall => &["Mapping.Modify", "Sys.AccessNetwork"],
        Verb::GuestUnlock => &["VM.Audit", "Sys.Audit"],
        // Tasks that high availability starts as root are seen with Sys.Audit.
        Verb::GuestMigrate => &["VM.Audit", "VM.Migrate", "Datastore.Audit", "Sys.Audit"],
        Verb::GuestSnapshotList => &["VM.Audit"],
        Verb::GuestSnapshotCreate | Verb::GuestSnapshotDelete => {
            &["VM.Audit", "VM.Snapshot", "Datastore.Audit"]
        }
        // What ran is started again.
        Verb::GuestSnapshotRollback => {
            &["VM.Audit", "VM.Snapshot.Rollback", "VM.PowerMgmt", "Datastore.Audit"]
        }
        Verb::ImageList | Verb::ImageCache => &["Datastore.Audit"],
        Verb::ImageUsedBy => &["Datastore.Audit", "VM.Audit"],
        Verb::ImageShow => &["Datastore.Audit", "VM.Audit", "Sys.AccessNetwork"],
        Verb::ImagePull | Verb::ImagePrepare => {
            &["Datastore.Audit", "Datastore.AllocateTemplate", "Sys.AccessNetwork"]
        }
        Verb::ImagePrune | Verb::ImageDelete => {
            &["Datastore.Audit", "Datastore.AllocateTemplate", "VM.Audit"]
        }
        Verb::ImageConvert => {
            &["VM.Audit", "VM.Allocate", "VM.Config.Disk", "Datastore.AllocateSpace"]
        }
        Verb::TaskList | Verb::TaskShow | Verb::TaskLog => &["Sys.Audit"],
        Verb::TaskCancel => &["Sys.Modify"],
        Verb::OpList
        | Verb::OpShow
        | Verb::OpCancel
        | Verb::SetList
        | Verb::SetShow
        | Verb::SetStatus
        | Verb::SetHistory
        | Verb::SetPause
        | Verb::AlertShow
        | Verb::AlertHistory
        | Verb::AlertExplain
        | Verb::AlertAck
        | Verb::AlertSilence
        | Verb::AlertNote
        | Verb::BoardList
        | Verb::BoardDelete
        | Verb::AlertTest
        | Verb::RuleList
        | Verb::RuleShow
        | Verb::RuleEnable
        | Verb::RuleDisable
        | Verb::RuleOverride
        | Verb::MaintenanceList
        | Verb::MaintenanceStart
        | Verb::MaintenanceEnd
        | Verb::OncallShow
        | Verb::OncallOverride
        | Verb::AuditList
        | Verb::Help
        | Verb::Whoami => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::card::page_of;

    fn leaves() -> Vec<(String, poise::Command<Face, FaceError>)> {
        let mut out = Vec::new();
        let mut left: Vec<(String, poise::Command<Face, FaceError>)> =
            commands().into_iter().rev().map(|c| (c.name.to_string(), c)).collect();
        while let Some((name, mut command)) = left.pop() {
            let subs = std::mem::take(&mut command.subcommands);
            if subs.is_empty() {
                out.push((name, command));
            } else {
                left.extend(
                    subs.into_iter().rev().map(|sub| (format!("{name} {}", sub.name), sub)),
                );
            }
        }
        out
    }

    #[test]
    fn every_command_has_a_verb_a_help_page_and_german_words() {
        for (name, _) in leaves() {
            let verb: Verb =
                name.replace(' ', ".").parse().unwrap_or_else(|e| panic!("/{name}: {e}"));
            let page = page_of(verb).unwrap_or_else(|| panic!("/{name} has no help page"));
            assert!(page.example.starts_with(&format!("/{name}")), "/{name}: {}", page.example);
            assert!(GERMAN.iter().any(|(n, _)| *n == name), "/{name} has no German description");
        }
    }

    #[test]
    fn every_verb_but_the_button_has_a_command() {
        let names: Vec<String> = leaves().into_iter().map(|(n, _)| n.replace(' ', ".")).collect();
        let buttons = [Verb::OpCancel, Verb::PodClean, Verb::SetDrift, Verb::SetMember];
        for verb in Verb::ALL.iter().filter(|v| !buttons.contains(v)) {
            assert!(names.iter().any(|n| n == verb.as_str()), "{verb} has no command");
        }
    }

    #[test]
    fn definitions_are_within_discords_limits() {
        let read = |global, bits| {
            let (json, count) = definitions(global, bits).unwrap();
            let all: Vec<Value> = serde_json::from_str(&json).unwrap();
            assert_eq!(all.len(), count);
            all
        };
        let all = read(true, None);
        assert!(all.len() <= 100);
        for command in &all {
            assert_eq!(command["contexts"], serde_json::json!([0]));
            assert!(command.get("default_member_permissions").is_none_or(Value::is_null));
            check(command);
            assert!(text_sum(command) <= 8000, "{} is too long", command["name"]);
        }
        let guild = read(false, Some(32));
        assert!(guild.iter().all(|c| c.get("contexts").is_none()));
        assert!(guild.iter().all(|c| c["default_member_permissions"] == "32"));
    }

    fn check(value: &Value) {
        let name = value["name"].as_str().unwrap();
        assert!(
            (1..=32).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_lowercase() || "-_".contains(c)),
            "{name}"
        );
        let description = value["description"].as_str().unwrap();
        assert!((1..=100).contains(&description.chars().count()), "{name}: {description}");
        for text in
            value["description_localizations"].as_object().into_iter().flat_map(|m| m.values())
        {
            assert!((1..=100).contains(&text.as_str().unwrap().chars().count()), "{text}");
        }
        let options = value["options"].as_array().cloned().unwrap_or_default();
        assert!(options.len() <= 25);
        let required: Vec<bool> =
            options.iter().map(|o| o["required"].as_bool().unwrap_or(false)).collect();
        let mut sorted = required.clone();
        sorted.sort_by_key(|r| !r);
        assert_eq!(required, sorted, "{name}: required options come first");
        options.iter().for_each(check);
    }

    fn text_sum(value: &Value) -> usize {
        let own: usize = ["name", "description"]
            .iter()
            .filter_map(|k| value[*k].as_str())
            .map(|t| t.chars().count())
            .sum();
        let below = value["options"].as_array().into_iter().flatten().map(text_sum);
        own + below.sum::<usize>()
    }

    #[test]
    fn the_list_for_a_terminal_names_every_command() {
        let text = commands_text();
        for (name, _) in leaves() {
            assert!(text.contains(&format!("/{name} ")), "{name}");
        }
    }
}
