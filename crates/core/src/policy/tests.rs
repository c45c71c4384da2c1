//! What the rules of a policy come to.

use super::*;

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
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        pool: Some("prod".into()),
        ..Guest::sample(150, name)
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
    let ask = |roles: &[u64], channel, verb, target| rule(&p, &actor(roles, channel), verb, target);
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
    let ruling =
        rule(&p, &actor(&[10], 5), Verb::GuestDelete, Target::Guest(&guest("db", &["critical"])));
    assert_eq!(
        ruling,
        Ruling::Denied { because: "rule “hands off” forbids `guest.delete` here".into() }
    );
    assert!(rule(&p, &actor(&[10], 5), Verb::GuestDelete, Target::Any).is_allowed());
}

#[test]
fn only_a_deny_rule_forbids_outright() {
    let p = policy(
        r#"{"rules":[
        {"name":"sets","roles":[10],"verbs":["set.*"],"on":["name:db"]},
        {"name":"databases","effect":"deny","roles":[10],"verbs":["*"],"on":["name:db-*"]},
        {"name":"far","effect":"deny","roles":[10],"verbs":["*"],"on":["node:pve9"]}
    ]}"#,
    );
    let lab: ClusterId = "lab".parse().unwrap();
    let on = |role, name, nodes: &[&str]| {
        let nodes: Vec<NodeName> = nodes.iter().map(|n| n.parse().unwrap()).collect();
        let (cluster, tags, pool, nodes) = (&lab, &[][..], None, &nodes[..]);
        let target = Target::NewPod { cluster, name, tags, pool, nodes, vmids: None };
        forbidden(&p, &actor(&[role], 5), Verb::SetDelete, target)
    };
    assert_eq!(on(10, "db", &["pve1"]), None);
    assert_eq!(on(10, "web-0", &["pve1"]), None, "what nobody allows is not forbidden");
    assert_eq!(on(11, "db-0", &["pve1"]), None, "not this role");
    let because = Some("rule “databases” forbids `set.delete` here".to_owned());
    assert_eq!(on(10, "db-0", &["pve1", "pve2"]), because);
    assert!(on(10, "db", &["pve1", "pve9"]).unwrap().contains("far"));
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
    let needs =
        |verb, name: &str| match rule(&p, &actor(&[10], 5), verb, Target::Guest(&guest(name, &[])))
        {
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
    assert!(rule(&sample(), &a, Verb::GuestStop, Target::Guest(&guest("db", &[]))).is_allowed());
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
