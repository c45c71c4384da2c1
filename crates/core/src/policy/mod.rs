//! Who may do what to which guests, where. Deny by default; a deny rule beats every allow rule.
//!
//! `rule` is pure and is asked twice: when somebody asks, and again for whoever presses the button, with
//! the roles Discord signed into that very press. The ruling names the rule that decided.

mod selector;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use selector::Facts;
pub use selector::{BadSelector, BadVerbPattern, Selector, VerbPattern, glob};

use crate::action::{Tier, Verb};
use crate::alert::Subject;
use crate::id::{ChannelId, ClusterId, GuildId, NodeName, RoleId, UserId, Vmid};
use crate::world::Guest;

/// Whoever asks or presses, as Discord signed it into the interaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// Their name where they asked; for people to read, never for deciding.
    pub name: String,
    /// Their roles, `@everyone` (the guild's id) included.
    pub roles: Vec<RoleId>,
    /// The server. There is no actor without one: commands work in servers only.
    pub guild: GuildId,
    /// The channel or thread.
    pub channel: ChannelId,
    /// The channel a thread belongs to.
    pub parent_channel: Option<ChannelId>,
}

/// What is acted upon, as far as policy looks at it.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Anything at all: asked to know whether a verb is open to somebody for some target.
    Any,
    /// Anything at all in a cluster: asked to know whether a verb is open to somebody for some target there.
    Within(&'a ClusterId),
    /// A whole cluster.
    Cluster(&'a ClusterId),
    /// A node.
    Node(&'a ClusterId, &'a NodeName),
    /// A guest.
    Guest(&'a Guest),
    /// What an alert is about, with what is known of it: a guest that is not seen any more, a storage, a task.
    Subject(&'a Subject),
    /// A pod that does not exist yet.
    NewPod {
        /// Where.
        cluster: &'a ClusterId,
        /// Its name.
        name: &'a str,
        /// Its tags.
        tags: &'a [String],
        /// Its pool.
        pool: Option<&'a str>,
        /// The nodes it may be made on, each of which has to be allowed; empty where nobody knows yet.
        nodes: &'a [NodeName],
        /// The first and last number it may get; `None` where nobody knows yet.
        vmids: Option<(Vmid, Vmid)>,
    },
}

/// Whether a rule gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Gives.
    #[default]
    Allow,
    /// Takes, whatever other rules give.
    Deny,
}

/// One rule. Empty `roles` and `users` together cover nobody; empty `channels` or `guilds` cover all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the operator calls it; shown whenever it decides.
    pub name: String,
    /// Gives or takes.
    #[serde(default)]
    pub effect: Effect,
    /// Roles it is for. The server's own id means everyone there.
    #[serde(default)]
    pub roles: Vec<RoleId>,
    /// Users it is for.
    #[serde(default)]
    pub users: Vec<UserId>,
    /// Verbs.
    pub verbs: Vec<VerbPattern>,
    /// Targets; one of them must cover it.
    pub on: Vec<Selector>,
    /// Channels it holds in; a thread counts as its channel.
    #[serde(default)]
    pub channels: Vec<ChannelId>,
    /// Servers it holds in.
    #[serde(default)]
    pub guilds: Vec<GuildId>,
    /// Asks for more confirmation than the verb itself.
    #[serde(default)]
    pub confirm: Option<Tier>,
}

impl Rule {
    fn is_for(&self, actor: &Actor) -> bool {
        self.users.contains(&actor.user) || self.roles.iter().any(|r| actor.roles.contains(r))
    }

    fn holds_in(&self, actor: &Actor) -> bool {
        (self.guilds.is_empty() || self.guilds.contains(&actor.guild))
            && (self.channels.is_empty()
                || self.channels.contains(&actor.channel)
                || actor.parent_channel.is_some_and(|p| self.channels.contains(&p)))
    }
}

/// All rules, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// The rules that are for somebody where they are, in the order of the configuration.
    pub fn here<'p>(&'p self, actor: &'p Actor) -> impl Iterator<Item = &'p Rule> {
        self.rules.iter().filter(|r| r.is_for(actor) && r.holds_in(actor))
    }
}

/// What policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Go on.
    Allowed {
        /// The rule that allows it.
        rule: String,
        /// The confirmation it takes.
        needs: Tier,
    },
    /// Not for this person, here, on this.
    Denied {
        /// The deciding rule, or what is missing, as a sentence.
        because: String,
    },
}

impl Ruling {
    /// Whether it allows.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Both: allowed where both allow, with the greater confirmation.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Allowed { rule, needs }, Self::Allowed { needs: also, .. }) => {
                Self::Allowed { rule, needs: needs.max(also) }
            }
            (denied @ Self::Denied { .. }, _) | (_, denied) => denied,
        }
    }
}

/// Why a deny rule forbids `verb` on `target`, whatever else is allowed; for what is done to something as a part of
/// something else, such as a pod of a set.
pub fn forbidden(policy: &Policy, actor: &Actor, verb: Verb, target: Target<'_>) -> Option<String> {
    if let Target::NewPod { cluster, name, tags, pool, nodes, vmids } = target
        && nodes.len() > 1
    {
        return nodes.iter().find_map(|node| {
            let nodes = std::slice::from_ref(node);
            let target = Target::NewPod { cluster, name, tags, pool, nodes, vmids };
            forbidden(policy, actor, verb, target)
        });
    }
    let denies = policy
        .rules
        .iter()
        .filter(|r| r.effect == Effect::Deny && r.is_for(actor) && r.holds_in(actor))
        .filter(|r| r.verbs.iter().any(|v| v.covers(verb)));
    // For `Any` and `Within` a deny rule decides only when it covers everything there.
    let decides = |r: &&Rule| match target {
        Target::Any => r.on.iter().any(|s| s.covers_all(None)),
        Target::Within(cluster) => r.on.iter().any(|s| s.covers_all(Some(cluster))),
        _ => r.on.iter().any(|s| s.covers(target, Effect::Deny)),
    };
    let deny = denies.into_iter().find(decides)?;
    Some(format!("rule “{}” forbids `{verb}` here", deny.name))
}

/// Decides. Deny rules first, then the first allow rule that covers actor, place, verb and target; the confirmation
/// needed is the greatest that the verb or any covering allow rule asks for.
pub fn rule(policy: &Policy, actor: &Actor, verb: Verb, target: Target<'_>) -> Ruling {
    if verb.is_open_to_all() {
        return Ruling::Allowed { rule: "open to everyone".to_owned(), needs: Tier::None };
    }
    if let Target::NewPod { cluster, name, tags, pool, nodes: [first, more @ ..], vmids } = target
        && !more.is_empty()
    {
        let judge = |node| {
            let nodes = std::slice::from_ref(node);
            rule(policy, actor, verb, Target::NewPod { cluster, name, tags, pool, nodes, vmids })
        };
        return more.iter().map(judge).fold(judge(first), Ruling::and);
    }
    if let Some(because) = forbidden(policy, actor, verb, target) {
        return Ruling::Denied { because };
    }
    let for_actor = || policy.rules.iter().filter(|r| r.is_for(actor));
    let covers_verb = |r: &&Rule| r.verbs.iter().any(|v| v.covers(verb));
    let covers_target = |r: &&Rule| r.on.iter().any(|s| s.covers(target, r.effect));

    let allows: Vec<&Rule> =
        for_actor().filter(|r| r.effect == Effect::Allow).filter(covers_verb).collect();
    let covering: Vec<&&Rule> =
        allows.iter().filter(|r| r.holds_in(actor) && covers_target(r)).collect();
    if let Some(first) = covering.first() {
        let needs = covering.iter().filter_map(|r| r.confirm).fold(verb.tier(), Tier::max);
        // A question that needs no confirmation cannot be made to need one: reads stay reads.
        let needs = if verb.writes() { needs } else { Tier::None };
        return Ruling::Allowed { rule: first.name.clone(), needs };
    }
    let because = if for_actor().next().is_none() {
        "no rule gives your roles anything".to_owned()
    } else if allows.is_empty() {
        format!("no rule gives your roles `{verb}`")
    } else if !allows.iter().any(|r| r.holds_in(actor)) {
        format!("your roles have `{verb}`, but not in this channel")
    } else {
        format!("your roles have `{verb}`, but not on this target")
    };
    Ruling::Denied { because }
}

/// The deny rule that may keep something in a cluster from somebody who has the rest of it; `None`: what they have there
/// they have whole, now and later.
pub fn narrowed<'p>(
    policy: &'p Policy,
    actor: &Actor,
    verb: Verb,
    cluster: &ClusterId,
) -> Option<&'p str> {
    let mut denies = policy.rules.iter().filter(|r| r.effect == Effect::Deny);
    let found = denies.find(|r| {
        r.is_for(actor)
            && r.holds_in(actor)
            && r.verbs.iter().any(|v| v.covers(verb))
            && r.on.iter().any(|s| s.covers(Target::Within(cluster), Effect::Deny))
    })?;
    Some(&found.name)
}
