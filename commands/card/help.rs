//! What may be run here, and by whom gantry takes the asker for.

use gantry_core::action::{Tier, Verb};
use gantry_core::policy::{Actor, Effect, Rule, Selector};

use super::{Card, Choice, Line, Piece, Select, Tone, bold, code, text, told};
use crate::line;
use crate::token::{ScreenId, Token};

/// One command on the help page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelpEntry {
    /// What it asks for.
    pub verb: Verb,
    /// What it does, in a few words.
    pub does: &'static str,
    /// What one would type.
    pub example: &'static str,
}

/// Commands that all stand on one page; of more those used most do, and a menu leads to the others.
const SHORT_MAX: usize = 14;
/// What is used most, in the order in which somebody new would want to know it.
const MOST_USED: [Verb; 12] = [
    Verb::ClusterStatus,
    Verb::GuestList,
    Verb::GuestShow,
    Verb::GuestStart,
    Verb::GuestStop,
    Verb::PodCreate,
    Verb::PodList,
    Verb::PodDelete,
    Verb::AlertList,
    Verb::GraphGuest,
    Verb::OpList,
    Verb::Whoami,
];

/// What the asker may run: all of it where that is little, else what is used most with a menu of the other groups;
/// with `noun`, all commands of that one. `more` counts the commands left out.
pub fn help_page(
    entries: &[HelpEntry],
    more: usize,
    noun: Option<&str>,
    screen: &ScreenId,
) -> Card {
    let mut card = Card::new(Tone::Plain, "What you can do here");
    if entries.iter().all(|e| e.verb.is_open_to_all()) {
        card = card.say("Nothing on the clusters yet: no rule gives your roles anything in this channel. `/whoami` shows what gantry knows of you.");
    }
    let is_short = entries.len() <= SHORT_MAX;
    let of = |noun: &str| -> Vec<Line> {
        entries.iter().filter(|e| noun_of(e.verb) == noun).map(entry_line).collect()
    };
    let mut nouns: Vec<&str> = entries.iter().map(|e| noun_of(e.verb)).collect();
    nouns.dedup();
    match noun {
        Some(noun) => card = card.field(heading(noun), of(noun)),
        None if is_short => {
            for noun in &nouns {
                card = card.field(heading(noun), of(noun));
            }
        }
        None => {
            let used = MOST_USED.iter().filter_map(|v| entries.iter().find(|e| e.verb == *v));
            card = card.field("Used most", used.map(entry_line).collect());
        }
    }
    if !is_short {
        card = card
            .say(line![
                text(entries.len().to_string()),
                " commands are yours here. The menu shows each group; while you type `/`, Discord says what a command does."
            ])
            .select(Select {
                token: Token::Pick(screen.clone()),
                hint: "Show the commands for …".into(),
                choices: nouns
                    .iter()
                    .map(|noun| Choice {
                        value: (*noun).to_owned(),
                        label: heading(noun).to_owned(),
                        hint: match of(noun).len() {
                            1 => "1 command".to_owned(),
                            n => format!("{n} commands"),
                        },
                    })
                    .collect(),
            });
    }
    if more > 0 {
        card = card.say(line![text(format!(
            "{more} more commands exist that your roles may not run in this channel."
        ))]);
    }
    card.say("`stop` shuts down gracefully; only `kill` pulls the plug. Whatever changes something shows its plan first or its progress after.")
}

fn entry_line(entry: &HelpEntry) -> Line {
    let asks = match entry.verb.tier() {
        Tier::None => "",
        Tier::Button => " · asks first",
        Tier::TypedName => " · asks for the name",
    };
    line![code(entry.example), " ", entry.does, asks]
}

/// `guest`; what is about the asker stands together.
fn noun_of(verb: Verb) -> &'static str {
    match verb {
        Verb::Help | Verb::Whoami => "yourself",
        _ => verb.as_str().split('.').next().unwrap_or_default(),
    }
}

fn heading(noun: &str) -> &'static str {
    match noun {
        "cluster" => "Clusters",
        "node" => "Nodes",
        "guest" => "Guests: containers and machines",
        "pod" => "Pods: containers that gantry owns",
        "set" => "Sets of pods",
        "bridge" => "Bridges of a node",
        "vnet" => "Networks over all nodes (SDN)",
        "forward" => "Port forwards",
        "image" => "Images: what guests are made from",
        "graph" => "Graphs",
        "alert" => "Alerts",
        "rule" => "Rules of alerts",
        "maintenance" => "Maintenance",
        "oncall" => "On call",
        "board" => "Status boards",
        "report" => "Reports",
        "task" => "Proxmox's tasks",
        "op" => "Operations of gantry",
        "audit" => "Audit",
        _ => "Yourself",
    }
}

/// Who gantry takes the asker for: each verb with the rule that allows it, each other with the reason.
/// `rules` are those that are for them here.
pub fn whoami(
    actor: &Actor,
    allowed: &[(Verb, String)],
    denied: &[(Verb, String)],
    rules: &[&Rule],
) -> Card {
    let mut card = Card::new(Tone::Plain, line![text(&actor.name)])
        .say(line![Piece::Person(actor.user), text(format!(" · user {}", actor.user))]);
    let roles: Vec<Piece> = actor
        .roles
        .iter()
        .map(|r| {
            if r.0 == actor.guild.0 {
                text("@everyone ")
            } else {
                Piece::Ours(format!("<@&{r}> ").into())
            }
        })
        .collect();
    card = card.say(line!["Roles: "].and(roles));
    let place = match actor.parent_channel {
        Some(parent) => format!("Channel: <#{}> in <#{parent}>", actor.channel),
        None => format!("Channel: <#{}>", actor.channel),
    };
    card = card.say(Line(vec![Piece::Ours(place.into())]));
    let lines = by_reason(allowed).into_iter().map(|(why, list)| {
        let rule = rules.iter().find(|r| r.name == why);
        line![bold(short(&list)), text(rule.map(|r| on(r)).unwrap_or_default()), " · rule "]
            .and([told(why)])
    });
    card = card.field("You may", lines.collect());
    if allowed.iter().all(|(v, _)| v.is_open_to_all()) {
        card = card.say("You may ask for nothing on the clusters here.");
    }
    let never = rules.iter().filter(|r| r.effect == Effect::Deny).map(|r| {
        let verbs: Vec<String> = r.verbs.iter().cloned().map(String::from).collect();
        line![bold(everything(&verbs.join(", "))), text(on(r)), " · rule ", told(&r.name)]
    });
    card = card.field("Never, whatever else allows it", never.collect());
    let lines = by_reason(denied)
        .into_iter()
        .map(|(why, list)| line![bold(short(&list)), " · ", told(why)]);
    card.field("You may not", lines.collect())
        .say("Rights come from your roles alone and are looked at again on every press.")
}

/// Every verb that is somebody's to ask for: what gantry does by itself to keep a set up is nobody's.
pub fn asked_for() -> impl Iterator<Item = Verb> {
    Verb::ALL.iter().copied().filter(|v| *v != Verb::SetMember)
}

/// What a rule covers, where that is not everything: ` on pool:prod or tag:web`.
fn on(rule: &Rule) -> String {
    let on: Vec<&str> = rule.on.iter().map(Selector::as_str).collect();
    if on.contains(&"*") { String::new() } else { format!(" on {}", on.join(" or ")) }
}

/// `*` is a pattern; people read what it means.
fn everything(verbs: &str) -> &str {
    if verbs == "*" { "everything" } else { verbs }
}

/// Verbs grouped by why.
fn by_reason(verbs: &[(Verb, String)]) -> Vec<(String, Vec<&str>)> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (verb, why) in verbs {
        // The reason names its verb; verbs with the same reason stand together.
        let why = why.replace(&format!("`{verb}`"), "that");
        match groups.iter_mut().find(|(w, _)| *w == why) {
            Some((_, list)) => list.push(verb.as_str()),
            None => groups.push((why, vec![verb.as_str()])),
        }
    }
    groups
}

/// `everything`; else `alert.*` where it is all of a noun's verbs, and the others one by one.
fn short(verbs: &[&str]) -> String {
    let noun = |verb: &str| verb.split('.').next().unwrap_or_default().to_owned();
    // These two are everybody's, under no rule.
    let given = |v: &Verb| !v.is_open_to_all();
    if asked_for().filter(given).all(|v| verbs.contains(&v.as_str())) {
        return "everything".to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    for verb in verbs {
        let of = noun(verb);
        let all = asked_for().filter(|v| noun(v.as_str()) == of).count();
        let word = match verbs.iter().filter(|v| noun(v) == of).count() {
            here if here == all && all > 1 => format!("{of}.*"),
            _ => (*verb).to_owned(),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(", ")
}

/// Every command's page. A test holds this list against the commands.
pub const PAGES: &[HelpEntry] = &[
    page(Verb::ClusterStatus, "quorum, nodes, storages", "/cluster status"),
    page(Verb::ClusterNotifyInstall, "have Proxmox tell gantry", "/cluster notify install"),
    page(Verb::ClusterNotifyShow, "whether it does", "/cluster notify show"),
    page(Verb::ClusterNotifyTest, "try it", "/cluster notify test"),
    page(Verb::ClusterNotifyRemove, "not any more", "/cluster notify remove"),
    page(Verb::NodeList, "all nodes", "/node list"),
    page(Verb::NodeStatus, "one node", "/node status node:pve1"),
    page(Verb::GuestList, "guests you may see", "/guest list state:running"),
    page(Verb::GuestShow, "one guest, read anew", "/guest show guest:web-0"),
    page(Verb::GuestStart, "start", "/guest start guest:web-0"),
    page(Verb::GuestShutdown, "shut down", "/guest shutdown guest:web-0"),
    page(Verb::GuestStop, "the same as shutdown", "/guest stop guest:web-0"),
    page(Verb::GuestKill, "pull the plug", "/guest kill guest:web-0"),
    page(Verb::GuestReboot, "restart", "/guest reboot guest:web-0"),
    page(Verb::GuestSuspend, "freeze", "/guest suspend guest:db-1"),
    page(Verb::GuestResume, "let it go on", "/guest resume guest:db-1"),
    page(Verb::GuestUnlock, "take a left-over lock off", "/guest unlock guest:web-0"),
    page(Verb::GuestMigrate, "move to another node", "/guest migrate guest:web-0 to:pve2"),
    page(
        Verb::GuestSnapshotCreate,
        "take a snapshot",
        "/guest snapshot create guest:web-0 name:before-upgrade",
    ),
    page(Verb::GuestSnapshotList, "its snapshots", "/guest snapshot list guest:web-0"),
    page(
        Verb::GuestSnapshotDelete,
        "delete one",
        "/guest snapshot delete guest:web-0 snapshot:before-upgrade",
    ),
    page(
        Verb::GuestSnapshotRollback,
        "go back to one",
        "/guest snapshot rollback guest:web-0 snapshot:before-upgrade",
    ),
    page(Verb::GuestDelete, "delete with its disks", "/guest delete guest:web-0"),
    page(Verb::PodCreate, "create a container", "/pod create name:web-1"),
    page(Verb::PodApply, "create or change from a file", "/pod apply file:web-1.toml"),
    page(Verb::PodSpec, "its specification as a file", "/pod spec pod:web-1"),
    page(Verb::PodUpdate, "other limits", "/pod update pod:web-1 memory:2048"),
    page(Verb::PodList, "all pods", "/pod list"),
    page(Verb::PodShow, "one pod", "/pod show pod:web-1"),
    page(Verb::PodStart, "start", "/pod start pod:web-1"),
    page(Verb::PodStop, "shut down", "/pod stop pod:web-1"),
    page(Verb::PodKill, "pull the plug", "/pod kill pod:web-1"),
    page(Verb::PodRestart, "restart", "/pod restart pod:web-1"),
    page(Verb::PodDelete, "delete with its disks", "/pod delete pod:web-1"),
    page(Verb::SetCreate, "create pods that keep who they are", "/set create name:web"),
    page(Verb::SetApply, "make a set what a file says", "/set apply file:…"),
    page(Verb::SetList, "all sets", "/set list"),
    page(Verb::SetShow, "one set with its pods", "/set show set:web"),
    page(Verb::SetScale, "more or fewer pods", "/set scale set:web replicas:5"),
    page(Verb::SetRollout, "replace its pods", "/set rollout start set:web"),
    page(Verb::SetStatus, "how far that is", "/set rollout status set:web"),
    page(Verb::SetPause, "hold it", "/set rollout pause set:web"),
    page(Verb::SetResume, "go on", "/set rollout resume set:web"),
    page(Verb::SetUndo, "go back", "/set rollout undo set:web"),
    page(Verb::SetDelete, "delete, keeping volumes", "/set delete set:web"),
    page(Verb::SetHistory, "its revisions", "/set history set:web"),
    page(Verb::BridgeList, "bridges and what is pending", "/bridge list node:pve1"),
    page(Verb::BridgeShow, "one bridge", "/bridge show bridge:vmbr0 node:pve1"),
    page(Verb::BridgeCreate, "create a bridge", "/bridge create name:vmbr5 node:pve1"),
    page(Verb::BridgeSecure, "make it safer", "/bridge secure bridge:vmbr5 node:pve1"),
    page(Verb::BridgeDelete, "remove a bridge", "/bridge delete bridge:vmbr5 node:pve1"),
    page(Verb::BridgeApply, "apply what is pending", "/bridge apply node:pve1"),
    page(Verb::BridgeRevert, "drop what is pending", "/bridge revert node:pve1"),
    page(Verb::VnetList, "zones, vnets, subnets", "/vnet list"),
    page(Verb::VnetCreate, "create a vnet", "/vnet create name:web zone:z1 kind:simple"),
    page(Verb::VnetDelete, "remove a vnet", "/vnet delete vnet:web"),
    page(Verb::VnetApply, "apply what is pending", "/vnet apply"),
    page(Verb::VnetRevert, "drop what is pending", "/vnet revert"),
    page(Verb::ForwardList, "ports that lead to guests", "/forward list"),
    page(Verb::ForwardAdd, "lead a port to a guest", "/forward add guest:web-0 port:8080"),
    page(Verb::ForwardRemove, "lead it nowhere", "/forward remove forward:fw_…"),
    page(Verb::ForwardApply, "make a node's table as asked", "/forward apply node:pve1"),
    page(Verb::ImageList, "images on storages", "/image list"),
    page(Verb::ImageShow, "one image, its users, its tags", "/image show image:alpine:3.22"),
    page(Verb::ImagePull, "fetch onto a storage", "/image pull image:alpine:3.22"),
    page(Verb::ImagePrepare, "have it on every node", "/image prepare image:alpine:3.22"),
    page(
        Verb::ImageConvert,
        "disk or guest into another form",
        "/image convert guest:web-0 to:template",
    ),
    page(Verb::ImageCache, "what gantry fetched", "/image cache"),
    page(Verb::ImageUsedBy, "who uses it", "/image used-by image:local:vztmpl/…"),
    page(Verb::ImagePrune, "delete what nothing uses", "/image prune days:30"),
    page(Verb::ImageDelete, "delete one", "/image delete image:local:vztmpl/…"),
    page(Verb::TaskList, "what Proxmox works on", "/task list running:True"),
    page(Verb::TaskShow, "one task", "/task show task:…"),
    page(Verb::TaskLog, "its log", "/task log task:…"),
    page(Verb::TaskCancel, "stop a running task", "/task cancel task:…"),
    page(Verb::OpList, "what gantry did", "/op list"),
    page(Verb::OpShow, "one operation with its trail", "/op show op:op_…"),
    page(Verb::GraphGuest, "a guest over time", "/graph guest guest:web-0 show:Memory"),
    page(Verb::GraphNode, "a node over time", "/graph node node:pve1 time:Day"),
    page(Verb::GraphStorage, "how full a storage was", "/graph storage storage:local-lvm"),
    page(Verb::GraphCompare, "guests side by side", "/graph compare one:web-0 two:web-1"),
    page(Verb::AlertList, "what is wrong now", "/alert list"),
    page(Verb::AlertShow, "one incident", "/alert show incident:in_…"),
    page(Verb::AlertAck, "take care of it", "/alert ack incident:in_…"),
    page(Verb::AlertSilence, "keep it quiet for a while", "/alert silence hours:4"),
    page(Verb::AlertNote, "write something about it", "/alert note text:…"),
    page(Verb::AlertExplain, "why it is told, or not", "/alert explain"),
    page(Verb::AlertHistory, "earlier incidents", "/alert history"),
    page(Verb::AlertTest, "a test message", "/alert test"),
    page(Verb::RuleList, "all rules", "/rule list"),
    page(Verb::RuleShow, "one rule", "/rule show rule:storage-full"),
    page(Verb::RuleEnable, "switch it on", "/rule enable rule:guest-cpu"),
    page(Verb::RuleDisable, "switch it off", "/rule disable rule:node-load"),
    page(
        Verb::RuleOverride,
        "other values here",
        "/rule override rule:storage-full on:node:pve1 threshold:92",
    ),
    page(Verb::MaintenanceList, "who works on what", "/maintenance list"),
    page(Verb::MaintenanceStart, "keep it quiet meanwhile", "/maintenance start node:pve1 hours:2"),
    page(Verb::MaintenanceEnd, "end it", "/maintenance end id:si_…"),
    page(Verb::OncallShow, "who is on call", "/oncall show"),
    page(Verb::OncallOverride, "stand in", "/oncall override who:@… hours:12"),
    page(Verb::BoardList, "boards of this server", "/board list"),
    page(Verb::BoardCreate, "a live board in this channel", "/board create"),
    page(Verb::BoardDelete, "take it down", "/board delete"),
    page(Verb::Report, "room, use, backups, incidents", "/report days:7"),
    page(Verb::AuditList, "who asked for what", "/audit list"),
    page(Verb::Help, "this page", "/help"),
    page(Verb::Whoami, "your rights here", "/whoami"),
];

const fn page(verb: Verb, does: &'static str, example: &'static str) -> HelpEntry {
    HelpEntry { verb, does, example }
}

/// The page of a verb, where it is a command of its own.
pub fn page_of(verb: Verb) -> Option<&'static HelpEntry> {
    PAGES.iter().find(|p| p.verb == verb)
}
