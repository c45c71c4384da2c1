//! What a service says, and that nothing but its own records is ever touched.

use proptest::prelude::*;

use super::claim::{Claim, Reading};
use super::plan::{Blocked, Kept, Plan, Why, claim_key, keys, plan};
use super::*;
use crate::dns::{apply, changes};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn nginx() -> Service {
    Service {
        name: "nginx".into(),
        zone: name("lab.example"),
        owner: "lab/web".into(),
        ports: vec![Port { name: "http".into(), protocol: Protocol::Tcp, port: 8080 }],
        ttl_s: 30,
        publish_not_ready: false,
        loopback: false,
    }
}

fn member(name: &str, addresses: &[&str], ready: bool) -> Member {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    Member { name: name.into(), addresses, ready }
}

fn said(service: &Service, members: &[Member]) -> Vec<String> {
    service.records(members).iter().map(ToString::to_string).collect()
}

/// Zones of the tests: forward, and both reverse ones.
fn zones() -> Vec<Name> {
    vec![name("lab.example"), name("0.0.10.in-addr.arpa"), name("8.b.d.0.1.0.0.2.ip6.arpa")]
}

/// Carries a publication out in `world`, zone by zone, the service's own first, as the publisher does.
fn publish(world: &mut Sets, service: &Service, members: &[Member]) -> Result<Vec<Kept>, Blocked> {
    let (split, _) = service.by_zone(members, &zones());
    let mut kept = Vec::new();
    let mut split: Vec<_> = split.into_iter().collect();
    split.sort_by_key(|(zone, _)| !service.zone.is_within(zone));
    for (zone, desired) in split {
        let step = plan(service, &zone, &readable(world, service, &zone, &desired)?, &desired)?;
        apply(world, &step.changes);
        kept.extend(step.kept);
    }
    Ok(kept)
}

/// The part of `world` that the publisher reads.
fn readable(world: &Sets, service: &Service, zone: &Name, desired: &Sets) -> Result<Sets, Blocked> {
    let place = claim_key(service, zone)?;
    let claim: Sets =
        world.get_key_value(&place).map(|(k, s)| (k.clone(), s.clone())).into_iter().collect();
    let keys = keys(service, zone, &claim, desired)?;
    let names: BTreeSet<&Name> = keys.iter().map(|k| &k.name).collect();
    Ok(world
        .iter()
        .filter(|(k, _)| {
            **k == place || keys.contains(k) || k.kind == Kind::Cname && names.contains(&k.name)
        })
        .map(|(k, s)| (k.clone(), s.clone()))
        .collect())
}

#[test]
fn a_service_names_its_ready_members() {
    let members = [
        member("web-0", &["10.0.0.5", "2001:db8::5", "fe80::1", "127.0.0.1"], true),
        member("web-1", &["10.0.0.6"], false),
        member("web-2", &[], true),
    ];
    let nibbles = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    assert_eq!(
        said(&nginx(), &members),
        [
            format!("{nibbles} 30 PTR web-0.nginx.lab.example."),
            "5.0.0.10.in-addr.arpa 30 PTR web-0.nginx.lab.example.".to_owned(),
            "_http._tcp.nginx.lab.example 30 SRV 0 100 8080 web-0.nginx.lab.example.".to_owned(),
            "nginx.lab.example 30 A 10.0.0.5".to_owned(),
            "nginx.lab.example 30 AAAA 2001:db8::5".to_owned(),
            "web-0.nginx.lab.example 30 A 10.0.0.5".to_owned(),
            "web-0.nginx.lab.example 30 AAAA 2001:db8::5".to_owned(),
        ]
    );
}

#[test]
fn members_that_are_not_ready_have_names_only_where_that_is_asked_for() {
    let members = [member("web-0", &["10.0.0.5"], false)];
    assert_eq!(said(&nginx(), &members), Vec::<String>::new());
    let early = Service { publish_not_ready: true, ..nginx() };
    assert_eq!(said(&early, &members).len(), 4);
}

#[test]
fn all_mistakes_of_a_service_are_told_together() {
    assert_eq!(nginx().problems(), []);
    let port = |name: &str, port| Port { name: name.into(), protocol: Protocol::Tcp, port };
    let wrong = Service {
        name: "Ngi_nx".into(),
        zone: name(&format!("{0}.{0}.{0}", "z".repeat(63))),
        owner: "a,b".into(),
        ports: vec![port("http", 80), port("http", 81), port("80", 0), port("a--b", 1)],
        ttl_s: 0,
        publish_not_ready: false,
        loopback: false,
    };
    let fields: Vec<_> = wrong.problems().into_iter().map(|p| p.field).collect();
    assert_eq!(fields, ["service", "zone", "owner", "ttl", "ports", "ports", "ports", "ports"]);
    let twice = [member("a", &[], true), member("a", &[], true), member("b.c", &[], true)];
    assert_eq!(nginx().member_problems(&twice).len(), 2);
}

#[test]
fn a_claim_reads_back_what_it_wrote() {
    let service = name("nginx.lab.example");
    for zone in zones() {
        let (split, _) =
            nginx().by_zone(&[member("web-0", &["10.0.0.5", "2001:db8::5"], true)], &zones());
        let records = split[&zone].iter().map(|(k, s)| (k.clone(), s.data.clone())).collect();
        let claim = Claim { owner: "lab/web".into(), revision: 7, records };
        assert!(!claim.records.is_empty());
        let strings = claim.strings(&service, &zone);
        assert_eq!(strings.len(), 1 + claim.records.values().map(BTreeSet::len).sum::<usize>());
        assert!(strings.iter().all(|s| s.len() < 256));
        assert_eq!(Claim::read(&strings, &service, &zone), Reading::Claim(claim));
    }
    let zone = name("lab.example");
    let read = |strings: &[&str]| {
        let strings: Vec<String> = strings.iter().map(ToString::to_string).collect();
        Claim::read(&strings, &service, &zone)
    };
    assert_eq!(read(&["v=spf1 -all"]), Reading::NotAClaim);
    assert_eq!(read(&[]), Reading::NotAClaim);
    for bad in [
        &["heritage=gantry,v=2,owner=a,rev=1"][..],
        &["heritage=gantry,v=1,owner=a"],
        &["heritage=gantry,v=1,owner=a,rev=1", "A web-0 10.0.0"],
        &["heritage=gantry,v=1,owner=a,rev=1", "MX web-0 10.0.0.1"],
    ] {
        assert!(matches!(read(bad), Reading::Unreadable(_)), "{bad:?}");
    }
}

#[test]
fn records_that_stand_in_the_way_are_left_alone_and_told() {
    let foreign = |n: &str, data| Record { name: name(n), ttl_s: 300, data };
    let a = |text: &str| Data::A(text.parse().unwrap());
    let alias = Data::Other(Kind::Cname, "elsewhere.example.".into());
    let mut world = sets([
        foreign("web-1.nginx.lab.example", a("192.0.2.1")),
        foreign("web-2.nginx.lab.example", alias.clone()),
    ]);
    let before = world.clone();
    let members: Vec<Member> = (0..3)
        .map(|n| member(&format!("web-{n}"), &[&format!("10.0.0.{}", n + 5)], true))
        .collect();
    let kept = publish(&mut world, &nginx(), &members).unwrap();
    let why: Vec<_> = kept.iter().map(|k| (k.key.to_string(), k.why)).collect();
    assert_eq!(
        why,
        [
            ("web-1.nginx.lab.example A".to_owned(), Why::NotOurs),
            ("web-2.nginx.lab.example CNAME".to_owned(), Why::Alias),
        ]
    );
    for (key, set) in &before {
        assert_eq!(world.get(key), Some(set));
    }
    // Somebody adds an address to a set of gantry's: it stays, even when the service goes.
    let key = Key { name: name("nginx.lab.example"), kind: Kind::A };
    world.get_mut(&key).unwrap().data.insert(a("192.0.2.9"));
    let kept = publish(&mut world, &nginx(), &members).unwrap();
    assert!(kept.iter().any(|k| k.key == key && k.why == Why::Beside));
    publish(&mut world, &nginx(), &[]).unwrap();
    assert_eq!(world.remove(&key).unwrap().data, BTreeSet::from([a("192.0.2.9")]));
    assert_eq!(world, before);
}

#[test]
fn nothing_is_written_into_a_service_of_somebody_else() {
    let mut world = Sets::new();
    let members = [member("web-0", &["10.0.0.5"], true)];
    publish(&mut world, &nginx(), &members).unwrap();
    let other = Service { owner: "other/web".into(), ..nginx() };
    let blocked = publish(&mut world, &other, &members).unwrap_err();
    assert!(blocked.to_string().contains("lab/web"), "{blocked}");
    // The name of the claim is taken by a text of somebody else.
    let place = claim_key(&nginx(), &name("lab.example")).unwrap();
    let text = Data::Txt(vec!["v=spf1 -all".into()]);
    let mut world = sets([Record { name: place.name, ttl_s: 60, data: text }]);
    let blocked = publish(&mut world, &nginx(), &members).unwrap_err();
    assert!(matches!(blocked, Blocked::Occupied { .. }), "{blocked}");
    assert_eq!(world.len(), 1);
}

#[test]
fn a_claim_that_was_tampered_with_does_not_lead_elsewhere() {
    // A PTR zone's claim that lists an address record outside the service.
    let zone = name("0.0.10.in-addr.arpa");
    let place = claim_key(&nginx(), &zone).unwrap();
    let text = ["heritage=gantry,v=1,owner=lab/web,rev=1", "A www 10.0.0.1"];
    let data = Data::Txt(text.map(str::to_owned).to_vec());
    let found = sets([Record { name: place.name, ttl_s: 60, data }]);
    let blocked = plan(&nginx(), &zone, &found, &Sets::new()).unwrap_err();
    assert!(matches!(blocked, Blocked::Unreadable { .. }), "{blocked}");
}

#[test]
fn what_is_as_it_shall_be_needs_no_change() {
    let mut world = Sets::new();
    let members = [member("web-0", &["10.0.0.5"], true)];
    publish(&mut world, &nginx(), &members).unwrap();
    let (zone, desired) = nginx().by_zone(&members, &zones()).0.pop_first().unwrap();
    let found = readable(&world, &nginx(), &zone, &desired).unwrap();
    let again = plan(&nginx(), &zone, &found, &desired).unwrap();
    assert_eq!(again, Plan { ours: desired, ..Plan::default() });
}

fn any_set() -> impl Strategy<Value = (Key, Set)> {
    let own = prop::sample::select(vec![
        "nginx",
        "web-0.nginx",
        "web-1.nginx",
        "_http._tcp.nginx",
        "www",
        "xnginx",
        "nginx.web-0",
    ]);
    let kinds = vec![Kind::A, Kind::Aaaa, Kind::Cname, Kind::Txt, Kind::Srv];
    (own, prop::sample::select(kinds), 1..3_u8, 1..400_u32).prop_map(|(label, kind, n, ttl_s)| {
        let data = |n: u8| match kind {
            Kind::A => Data::A([10, 0, 0, n].into()),
            Kind::Aaaa => Data::Aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)].into()),
            other => Data::Other(other, format!("x{n}")),
        };
        let key = Key { name: name(&format!("{label}.lab.example")), kind };
        (key, Set { ttl_s, data: (0..n).map(data).collect() })
    })
}

fn any_world() -> impl Strategy<Value = Sets> {
    prop::collection::btree_map(0..40_u8, any_set(), 0..12)
        .prop_map(|m| m.into_values().collect::<Sets>())
}

fn any_members() -> impl Strategy<Value = Vec<Member>> {
    let one = (prop::collection::btree_set(0..6_u8, 0..3), any::<bool>(), any::<bool>());
    prop::collection::vec(one, 0..5).prop_map(|members| {
        let member = |(n, (last, v6, ready)): (usize, (BTreeSet<u8>, bool, bool))| Member {
            name: format!("web-{n}"),
            addresses: last
                .into_iter()
                .map(|l| match v6 {
                    true => IpAddr::V6([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(l)].into()),
                    false => IpAddr::V4([10, 0, 0, l].into()),
                })
                .collect(),
            ready,
        };
        members.into_iter().enumerate().map(member).collect()
    })
}

proptest! {
    #[test]
    fn applying_the_difference_gives_what_was_desired(a in any_world(), b in any_world()) {
        let difference = changes(&a, &b);
        for change in &difference {
            prop_assert_ne!(&change.before, &change.after);
        }
        let mut now = a.clone();
        apply(&mut now, &difference);
        prop_assert_eq!(&now, &b);
        prop_assert!(changes(&now, &b).is_empty());
    }

    /// Whatever stood in the zones before, and however the members come and go: foreign records stay as they are, the
    /// service says what it shall unless something stands in its way, a second pass changes nothing, and a service
    /// that goes leaves the zones as they were.
    #[test]
    fn only_the_services_own_records_are_touched(
        world in any_world(),
        life in prop::collection::vec(any_members(), 1..4),
    ) {
        let service = nginx();
        let foreign = world.clone();
        let mut world = world;
        for members in life {
            let kept = publish(&mut world, &service, &members).unwrap();
            for (key, set) in &foreign {
                prop_assert_eq!(world.get(key), Some(set), "{} was touched", key);
            }
            let (split, unserved) = service.by_zone(&members, &zones());
            prop_assert!(unserved.is_empty());
            for (key, set) in split.into_values().flatten() {
                let blocked = kept.iter().any(|k| k.key.name == key.name);
                prop_assert!(blocked || world.get(&key) == Some(&set), "{} is not published", key);
            }
            let before = world.clone();
            publish(&mut world, &service, &members).unwrap();
            prop_assert_eq!(&world, &before);
        }
        publish(&mut world, &service, &[]).unwrap();
        prop_assert_eq!(world, foreign);
    }
}

#[test]
fn loopback_addresses_have_names_only_where_everything_is_simulated_on_one_machine() {
    let pods = [member("web-0", &["127.20.0.10", "10.0.0.5"], true)];
    let real = said(&nginx(), &pods).join("\n");
    assert!(real.contains("10.0.0.5") && !real.contains("127.20.0.10"), "{real}");
    let simulated = said(&Service { loopback: true, ..nginx() }, &pods).join("\n");
    assert!(simulated.contains("127.20.0.10"), "{simulated}");
}
