//! Who may do what to which guests, where. Deny by default; a deny rule beats every allow rule.
//!
//! `rule` is pure and is asked twice: when somebody asks, and again for whoever presses the button, with
//! the roles Discord signed into that very press. The ruling names the rule that decided.

use serde::{Deserialize, Serialize};

use crate::action::{Tier, Verb};
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

/// What conditions look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) cluster: &'a ClusterId,
    pub(crate) node: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) tags: &'a [String],
    pub(crate) pool: Option<&'a str>,
    pub(crate) vmid: Option<u32>,
    pub(crate) kind: Option<&'a str>,
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Everything,
    Cluster(String),
    Node(String),
    Pool(String),
    Tag(String),
    Vmid(u32, u32),
    Name(String),
    Kind(String),
}

/// Which targets a rule covers: conditions that must all hold, separated by spaces.
///
/// `*`, `cluster:lab`, `node:pve1`, `pool:prod`, `tag:web`, `vmid:100-199`, `name:web-*`, `kind:lxc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
    conditions: Vec<Condition>,
}

/// A selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a selector; write *, cluster:lab, node:pve1, pool:prod, tag:web, vmid:100-199, name:web-* or kind:lxc, several separated by spaces"
)]
pub struct BadSelector(String);

impl TryFrom<String> for Selector {
    type Error = BadSelector;
    fn try_from(text: String) -> Result<Self, BadSelector> {
        let bad = || BadSelector(text.chars().take(80).collect());
        let mut conditions = Vec::new();
        for word in text.split_whitespace() {
            let condition = match word.split_once(':') {
                None if word == "*" => Condition::Everything,
                None => return Err(bad()),
                Some((_, "")) => return Err(bad()),
                Some(("cluster", v)) => Condition::Cluster(v.to_owned()),
                Some(("node", v)) => Condition::Node(v.to_owned()),
                Some(("pool", v)) => Condition::Pool(v.to_owned()),
                Some(("tag", v)) => Condition::Tag(v.to_owned()),
                Some(("name", v)) => Condition::Name(v.to_owned()),
                Some(("kind", v @ ("lxc" | "qemu"))) => Condition::Kind(v.to_owned()),
                Some(("vmid", v)) => {
                    let (from, to) = v.split_once('-').unwrap_or((v, v));
                    let read = |s: &str| s.parse::<Vmid>().map(Vmid::get).map_err(|_| bad());
                    let (from, to) = (read(from)?, read(to)?);
                    if from > to {
                        return Err(bad());
                    }
                    Condition::Vmid(from, to)
                }
                Some(_) => return Err(bad()),
            };
            conditions.push(condition);
        }
        if conditions.is_empty() {
            return Err(bad());
        }
        Ok(Self { text, conditions })
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}

impl Selector {
    /// The selector as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn covers(&self, target: Target<'_>, effect: Effect) -> bool {
        self.conditions.iter().all(|c| c.holds(target, effect))
    }

    /// Whether it covers something with these facts.
    pub(crate) fn fits(&self, facts: &Facts<'_>) -> bool {
        self.conditions.iter().all(|c| c.holds_for(facts))
    }

    /// Everything.
    pub fn everything() -> Self {
        Self { text: "*".to_owned(), conditions: vec![Condition::Everything] }
    }

    /// Whether nothing in `cluster`, or nothing at all without one, is outside of it.
    fn covers_all(&self, cluster: Option<&ClusterId>) -> bool {
        self.conditions.iter().all(|c| match c {
            Condition::Everything => true,
            Condition::Cluster(want) => cluster.is_some_and(|c| c.as_str() == want),
            _ => false,
        })
    }
}

impl Condition {
    /// What is not known yet of a pod to come is never allowed and always denied, by whatever asks for it.
    fn holds(&self, target: Target<'_>, effect: Effect) -> bool {
        let deny = effect == Effect::Deny;
        if let Target::NewPod { nodes, vmids, .. } = target {
            match self {
                Self::Node(want) => return nodes.first().map_or(deny, |n| n.as_str() == want),
                Self::Vmid(from, to) => {
                    return vmids.map_or(deny, |(first, last)| match (first.get(), last.get()) {
                        (first, last) if deny => first <= *to && *from <= last,
                        (first, last) => *from <= first && last <= *to,
                    });
                }
                _ => {}
            }
        }
        let (cluster, node, name, tags, pool, vmid, kind) = match target {
            Target::Any => return true,
            Target::Within(c) => {
                return match self {
                    Self::Cluster(want) => want == c.as_str(),
                    _ => true,
                };
            }
            Target::Cluster(c) => (c, None, None, &[][..], None, None, None),
            Target::Node(c, n) => (c, Some(n.as_str()), None, &[][..], None, None, None),
            Target::Guest(g) => (
                &g.cluster,
                Some(g.node.as_str()),
                Some(g.name.as_str()),
                g.tags.as_slice(),
                g.pool.as_deref(),
                Some(g.vmid.get()),
                Some(g.kind.as_str()),
            ),
            Target::NewPod { cluster, name, tags, pool, .. } => {
                (cluster, None, Some(name), tags, pool, None, Some("lxc"))
            }
        };
        self.holds_for(&Facts { cluster, node, name, tags, pool, vmid, kind })
    }

    fn holds_for(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Cluster(want) => want == facts.cluster.as_str(),
            Self::Node(want) => facts.node == Some(want.as_str()),
            Self::Pool(want) => facts.pool == Some(want.as_str()),
            // Proxmox folds tags to lower case, once they are set.
            Self::Tag(want) => facts.tags.iter().any(|t| t.eq_ignore_ascii_case(want)),
            Self::Vmid(from, to) => facts.vmid.is_some_and(|n| (*from..=*to).contains(&n)),
            Self::Name(pattern) => facts.name.is_some_and(|n| glob(pattern, n)),
            Self::Kind(want) => facts.kind == Some(want.as_str()),
        }
    }
}

/// Matches `*` (any run of characters) and `?` (one); everything else stands for itself.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j, mut star, mut mark) = (0, 0, None, 0);
    while j < t.len() {
        if i < p.len() && p[i] == '*' {
            star = Some(i);
            mark = j;
            i += 1;
        } else if i < p.len() && (p[i] == '?' || p[i] == t[j]) {
            i += 1;
            j += 1;
        } else if let Some(s) = star {
            i = s + 1;
            mark += 1;
            j = mark;
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// Which verbs a rule covers: `*`, `guest.*`, `pod.delete`, or the word `read` for everything that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerbPattern(String);

/// A verb pattern that covers nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` covers no verb; write *, read, guest.*, pod.delete, …")]
pub struct BadVerbPattern(String);

impl TryFrom<String> for VerbPattern {
    type Error = BadVerbPattern;
    fn try_from(text: String) -> Result<Self, BadVerbPattern> {
        let pattern = Self(text);
        if Verb::ALL.iter().any(|v| pattern.covers(*v)) {
            Ok(pattern)
        } else {
            Err(BadVerbPattern(pattern.0.chars().take(80).collect()))
        }
    }
}

impl From<VerbPattern> for String {
    fn from(pattern: VerbPattern) -> Self {
        pattern.0
    }
}

impl VerbPattern {
    /// Whether it covers `verb`.
    pub fn covers(&self, verb: Verb) -> bool {
        match self.0.as_str() {
            "read" => !verb.writes(),
            pattern => glob(pattern, verb.as_str()),
        }
    }
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
    let for_actor = || policy.rules.iter().filter(|r| r.is_for(actor));
    let covers_verb = |r: &&Rule| r.verbs.iter().any(|v| v.covers(verb));
    let covers_target = |r: &&Rule| r.on.iter().any(|s| s.covers(target, r.effect));

    let denies = for_actor()
        .filter(|r| r.effect == Effect::Deny && r.holds_in(actor))
        .filter(covers_verb)
        // For `Any` and `Within` a deny rule decides only when it covers everything there.
        .find(|r| match target {
            Target::Any => r.on.iter().any(|s| s.covers_all(None)),
            Target::Within(cluster) => r.on.iter().any(|s| s.covers_all(Some(cluster))),
            _ => covers_target(r),
        });
    if let Some(deny) = denies {
        return Ruling::Denied {
            because: format!("rule “{}” forbids `{verb}` here", deny.name)
        };
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::GuestKind;
    use crate::world::GuestStatus;

    fn actor(roles: &[u64], channel: u64) -> Actor {
        Actor {
            user: UserId(7),
            name: "olga".into(),
            roles: roles.iter().map(|r| RoleId(*r)).collect(),
            guild: GuildId(1),
            channel: ChannelId(channel),
            parent_channel: None,
        }
    }

    fn guest(name: &str, tags: &[&str]) -> Guest {
        Guest {
            cluster: "lab".parse().unwrap(),
            vmid: 150.try_into().unwrap(),
            kind: GuestKind::Lxc,
            name: name.into(),
            node: "pve1".parse().unwrap(),
            status: GuestStatus::Running,
            lock: None,
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            pool: Some("prod".into()),
            template: false,
            cpu: 0.0,
            cores: 1.0,
            mem: 0,
            mem_max: 0,
            disk: 0,
            disk_max: 0,
            uptime_s: 0,
            ha: None,
        }
    }

    fn policy(text: &str) -> Policy {
        serde_json::from_str(text).unwrap()
    }

    fn sample() -> Policy {
        policy(
            r#"{"rules":[
            {"name":"ops power","roles":[10],"verbs":["guest.*","read"],"on":["pool:prod vmid:100-199"],"channels":[5]},
            {"name":"careful web","roles":[10],"verbs":["guest.start"],"on":["name:web-*"],"confirm":"button"},
            {"name":"hands off","effect":"deny","roles":[10],"verbs":["guest.delete"],"on":["tag:critical"]}
        ]}"#,
        )
    }

    #[test]
    fn nobody_may_do_anything_by_default() {
        for verb in Verb::ALL {
            let ruling = rule(&Policy::default(), &actor(&[10], 5), *verb, Target::Any);
            assert_eq!(ruling.is_allowed(), verb.is_open_to_all(), "{verb}");
        }
    }

    #[test]
    fn rules_look_at_role_verb_target_and_channel() {
        let (p, g) = (sample(), guest("db-0", &[]));
        let ask =
            |roles: &[u64], channel, verb, target| rule(&p, &actor(roles, channel), verb, target);
        assert!(ask(&[10], 5, Verb::GuestStop, Target::Guest(&g)).is_allowed());
        for (roles, channel, verb, word) in [
            (&[11][..], 5, Verb::GuestStop, "no rule gives your roles anything"),
            (&[10][..], 6, Verb::GuestStop, "not in this channel"),
            (&[10][..], 5, Verb::PodDelete, "no rule gives your roles `pod.delete`"),
        ] {
            match ask(roles, channel, verb, Target::Guest(&g)) {
                Ruling::Denied { because } => assert!(because.contains(word), "{because}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_deny_rule_beats_an_allow_rule_and_is_named() {
        let p = sample();
        let ruling = rule(
            &p,
            &actor(&[10], 5),
            Verb::GuestDelete,
            Target::Guest(&guest("db", &["critical"])),
        );
        assert_eq!(
            ruling,
            Ruling::Denied { because: "rule “hands off” forbids `guest.delete` here".into() }
        );
        assert!(rule(&p, &actor(&[10], 5), Verb::GuestDelete, Target::Any).is_allowed());
    }

    #[test]
    fn within_a_cluster_asks_for_some_target_there() {
        let p = policy(
            r#"{"rules":[
            {"name":"lab","roles":[10],"verbs":["pod.create"],"on":["cluster:lab name:web-*", "cluster:old"]},
            {"name":"frozen","effect":"deny","roles":[10],"verbs":["*"],"on":["cluster:old"]},
            {"name":"careful","effect":"deny","roles":[10],"verbs":["*"],"on":["tag:critical"]}
        ]}"#,
        );
        for (cluster, want) in [("lab", true), ("old", false), ("secret", false)] {
            let cluster: ClusterId = cluster.parse().unwrap();
            let ruling = rule(&p, &actor(&[10], 5), Verb::PodCreate, Target::Within(&cluster));
            assert_eq!(ruling.is_allowed(), want, "{cluster}");
        }
    }

    #[test]
    fn a_new_pod_is_judged_by_where_it_goes_and_what_is_unknown_is_denied() {
        let p = policy(
            r#"{"rules":[
            {"name":"lab","roles":[10],"verbs":["pod.create"],"on":["cluster:lab"]},
            {"name":"mgmt","effect":"deny","roles":[10],"verbs":["*"],"on":["node:mgmt", "vmid:100-199"]},
            {"name":"one","roles":[11],"verbs":["pod.create"],"on":["node:pve1 vmid:300-399"]},
            {"name":"tags","effect":"deny","roles":[11],"verbs":["*"],"on":["tag:critical"]}
        ]}"#,
        );
        let lab: ClusterId = "lab".parse().unwrap();
        let judge = |role, nodes: &[&str], vmids: Option<(u32, u32)>, tag: &str| {
            let nodes: Vec<NodeName> = nodes.iter().map(|n| n.parse().unwrap()).collect();
            let number = |n: u32| Vmid::try_from(n).unwrap();
            let vmids = vmids.map(|(a, b)| (number(a), number(b)));
            let tags = [tag.to_owned()];
            let (cluster, name, pool) = (&lab, "web", None);
            let target = Target::NewPod { cluster, name, tags: &tags, pool, nodes: &nodes, vmids };
            rule(&p, &actor(&[role], 5), Verb::PodCreate, target).is_allowed()
        };
        for (role, nodes, vmids, tag, want) in [
            (10, &["pve1"][..], Some((200, 299)), "", true),
            (10, &["mgmt"][..], Some((200, 299)), "", false),
            (10, &["pve1", "mgmt"][..], Some((200, 299)), "", false),
            (10, &[][..], Some((200, 299)), "", false),
            (10, &["pve1"][..], Some((150, 299)), "", false),
            (10, &["pve1"][..], None, "", false),
            (11, &["pve1"][..], Some((300, 310)), "", true),
            (11, &["pve1"][..], Some((300, 310)), "Critical", false),
            (11, &["pve1", "pve2"][..], Some((300, 310)), "", false),
            (11, &["pve1"][..], Some((390, 410)), "", false),
            (11, &[][..], None, "", false),
        ] {
            assert_eq!(judge(role, nodes, vmids, tag), want, "{role} {nodes:?} {vmids:?} {tag}");
        }
    }

    #[test]
    fn a_rule_can_only_raise_the_confirmation() {
        let p = sample();
        let needs = |verb, name: &str| match rule(
            &p,
            &actor(&[10], 5),
            verb,
            Target::Guest(&guest(name, &[])),
        ) {
            Ruling::Allowed { needs, .. } => needs,
            other @ Ruling::Denied { .. } => panic!("{other:?}"),
        };
        assert_eq!(needs(Verb::GuestStart, "db-0"), Tier::None);
        assert_eq!(needs(Verb::GuestStart, "web-0"), Tier::Button);
        assert_eq!(needs(Verb::GuestDelete, "db-0"), Tier::TypedName);
    }

    #[test]
    fn a_thread_counts_as_its_channel() {
        let mut a = actor(&[10], 99);
        a.parent_channel = Some(ChannelId(5));
        assert!(
            rule(&sample(), &a, Verb::GuestStop, Target::Guest(&guest("db", &[]))).is_allowed()
        );
    }

    #[test]
    fn mistakes_in_selectors_and_verbs_are_told() {
        for bad in ["", "web-*", "tag:", "vmid:5", "vmid:200-100", "colour:red", "kind:pod"] {
            assert!(Selector::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(VerbPattern::try_from("guest.unlok".to_owned()).is_err());
        assert!(VerbPattern::try_from("gest.*".to_owned()).is_err());
    }

    #[test]
    fn globs() {
        for (p, t, want) in [
            ("web-*", "web-0", true),
            ("*", "", true),
            ("a*b*c", "aXXbYYc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("web-*", "xweb-0", false),
            ("**x", "aax", true),
        ] {
            assert_eq!(glob(p, t), want, "{p} {t}");
        }
    }
}
