//! `[[policy.rules]]`: who may do what, on what, where. Nothing is allowed that no rule allows.
//!
//! Every rule is read key by key, so that all its mistakes are told at once; rules that can never apply are mistakes.

use gantry_core::action::Tier;
use gantry_core::id::{ChannelId, ClusterId, GuildId, RoleId, UserId};
use gantry_core::policy::{Effect, Policy, Rule, Selector, VerbPattern};

use super::read::Section;

/// Most rules in a configuration; each one is looked at for each question.
const RULES_MAX: usize = 1000;

/// Reads the rules; `clusters` are the ids that selectors may name.
pub(super) fn read(mut s: Section<'_>, clusters: &[ClusterId]) -> Policy {
    let sections = s.sections("rules");
    if sections.len() > RULES_MAX {
        s.mistake("rules", format!("{} rules; at most {RULES_MAX}", sections.len()));
    }
    s.finish();
    let mut names = Vec::new();
    let mut rules = Vec::new();
    for section in sections {
        rules.extend(read_rule(section, clusters, &mut names));
    }
    Policy { rules }
}

fn read_rule(mut s: Section<'_>, clusters: &[ClusterId], names: &mut Vec<String>) -> Option<Rule> {
    let name =
        s.need::<String>("name", "name = \"operators\"; it is shown whenever the rule decides");
    if let Some(name) = &name {
        if names.contains(name) {
            s.mistake(
                "name",
                format!("another rule is called `{name}`; people must know which decided"),
            );
        }
        names.push(name.clone());
    }
    let effect = s.take("effect", Effect::Allow);
    let roles = s.each::<RoleId>("roles");
    let users = s.each::<UserId>("users");
    if roles.is_empty() && users.is_empty() {
        s.mistake("roles", "the rule is for nobody; name roles or users by their ids");
    }
    let verbs = s.each::<VerbPattern>("verbs");
    if verbs.is_empty() {
        s.mistake("verbs", "the rule covers no verb; verbs = [\"read\", \"guest.start\"]");
    }
    let on = s.each::<Selector>("on");
    if on.is_empty() {
        s.mistake("on", "the rule covers nothing; on = [\"*\"] covers everything");
    }
    for (n, selector) in on.iter().enumerate() {
        let named = selector.as_str().split_whitespace().filter_map(|w| w.strip_prefix("cluster:"));
        for unknown in named.filter(|c| !clusters.iter().any(|known| known.as_str() == *c)) {
            s.mistake(&format!("on[{n}]"), format!("no cluster has the id `{unknown}`"));
        }
    }
    let rule = Rule {
        name: name.unwrap_or_default(),
        effect,
        roles,
        users,
        verbs,
        on,
        channels: s.each::<ChannelId>("channels"),
        guilds: s.each::<GuildId>("guilds"),
        confirm: s.may::<Tier>("confirm"),
    };
    s.finish();
    Some(rule)
}
