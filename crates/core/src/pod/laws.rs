//! Laws that hold for every specification, checked on random ones: it comes back from each form it is kept in, a
//! container made from it shows no difference, and applying another one leaves only what cannot be applied.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::props::Props;
use super::*;
use crate::document::Format;

fn network() -> impl Strategy<Value = Network> {
    let v4 = prop_oneof![
        Just((Ipv4::None, None)),
        Just((Ipv4::Dhcp, None)),
        (any::<[u8; 4]>(), 0u8..=32, option::of(any::<[u8; 4]>())).prop_map(|(a, prefix, gw)| {
            (Ipv4::Fixed(Cidr4 { address: a.into(), prefix }), gw.map(Into::into))
        }),
    ];
    let v6 = prop_oneof![
        Just((Ipv6::None, None)),
        Just((Ipv6::Auto, None)),
        Just((Ipv6::Dhcp, None)),
        (any::<[u16; 8]>(), 0u8..=128, option::of(any::<[u16; 8]>())).prop_map(
            |(a, prefix, gw)| {
                (Ipv6::Fixed(Cidr6 { address: a.into(), prefix }), gw.map(Into::into))
            }
        ),
    ];
    (
        "vmbr[0-9]|vnet[0-9]",
        option::of(1u16..=4094),
        vec(1u16..=4094, 0..4),
        v4,
        v6,
        option::of(any::<[u8; 5]>()),
        option::of(64u16..),
        option::of(1u32..100_000_000),
        any::<(bool, bool)>(),
    )
        .prop_map(|(bridge, vlan, trunks, v4, v6, mac, mtu, rate, (firewall, link_down))| {
            Network {
                name: None,
                bridge,
                vlan,
                trunks,
                ipv4: v4.0,
                gateway4: v4.1,
                ipv6: v6.0,
                gateway6: v6.1,
                mac: mac.map(|m| {
                    let rest: Vec<String> = m.iter().map(|b| format!(":{b:02x}")).collect();
                    format!("bc{}", rest.concat())
                }),
                mtu,
                rate_mb_s: rate.map(Milli),
                firewall,
                link_down,
            }
        })
}

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let all = ["data", "logs", "cache", "www"];
    (subsequence(all.to_vec(), 0..=4), vec((1u64..100, any::<(bool, bool)>(), any::<bool>()), 4))
        .prop_map(|(names, rest)| {
            names
                .into_iter()
                .zip(rest)
                .map(|(name, (size_gib, (backup, read_only), own))| Mount {
                    name: name.into(),
                    path: format!("/srv/{name}"),
                    storage: own.then(|| "tank".parse().unwrap()),
                    size_gib,
                    volume: None,
                    backup,
                    read_only,
                })
                .collect()
        })
}

fn health() -> impl Strategy<Value = Health> {
    let probe = prop_oneof![
        (1u16..).prop_map(|port| Probe::Tcp { port }),
        (1u16.., "/[a-z]{0,8}(\\?a=[0-9])?", 100u16..600)
            .prop_map(|(port, path, status)| Probe::Http { port, path, status }),
        vec("[a-z/\"' -]{1,9}", 1..4).prop_map(|run| Probe::Command { run }),
    ];
    (probe, 1u32..100, 0u32..90).prop_map(|(probe, interval_s, grace_s)| Health {
        interval_s,
        timeout_s: interval_s.min(60),
        grace_s,
        ..Health::new(probe)
    })
}

fn template() -> impl Strategy<Value = PodTemplate> {
    let limits =
        (1u32..=64, option::of(1u32..64_000), option::of(1u32..500_000), 16u64..65_536, 0u64..9999);
    let process = (
        btree_map("[A-Z_]{1,6}", "[ -~äö€]{0,20}", 0..4),
        option::of("/[a-z]{1,8}( -[a-z=,]{1,5})?"),
        any::<(bool, bool, bool, bool)>(),
        option::of(0u32..99),
    );
    let marks = (
        btree_map("[a-z]{1,5}", "[a-z0-9.-]{0,5}", 0..4),
        subsequence(vec!["web", "Blue", "c++", "x.y"], 0..=4),
        "[ -~ä\n]{0,40}",
    );
    let place = (
        subsequence(vec!["pve*", "!pve9", "big"], 0..=3),
        subsequence(vec!["app=web", "db"], 0..=2),
    );
    let dns = (vec(any::<[u8; 4]>(), 0..3), subsequence(vec!["a.example", "lan"], 0..=2));
    (
        limits,
        process,
        marks,
        place,
        dns,
        vec(network(), 0..4),
        mounts(),
        option::of(health()),
        1u64..99,
    )
        .prop_map(
            |(limits, process, marks, place, dns, networks, mounts, health, size_gib)| {
                let (nesting, start, protection, boot) = process.2;
                PodTemplate {
                    place: Place {
                        nodes: place.0.into_iter().map(str::to_owned).collect(),
                        apart: place.1.iter().map(|m| m.parse().unwrap()).collect(),
                        ..Place::default()
                    },
                    image: "local:vztmpl/debian-12.tar.zst".into(),
                    cores: limits.0,
                    cpu_limit: limits.1.map(Milli),
                    cpu_units: limits.2,
                    memory_mib: limits.3,
                    swap_mib: limits.4,
                    root: Root { storage: Some("local-lvm".parse().unwrap()), size_gib },
                    mounts,
                    networks,
                    dns: Dns {
                        servers: dns.0.into_iter().map(std::net::IpAddr::from).collect(),
                        search: dns.1.into_iter().map(str::to_owned).collect(),
                    },
                    env: Env(process.0),
                    entrypoint: process.1,
                    unprivileged: true,
                    features: Features { nesting, ..Features::default() },
                    boot: Boot { start: boot, order: process.3, ..Boot::default() },
                    start,
                    labels: marks.0,
                    tags: marks.1.into_iter().map(str::to_owned).collect(),
                    ports: vec![],
                    health,
                    pool: None,
                    protection,
                    ssh_keys: vec![],
                    note: marks.2.trim().to_owned(),
                }
            },
        )
}

fn spec() -> impl Strategy<Value = PodSpec> {
    template().prop_map(|template| template.pod("web-0", None)).prop_filter("notes", |s| {
        // A note that ends as gantry's own part begins is another test.
        s.problems().is_empty()
    })
}

/// What Proxmox makes of a setting: volumes get names, cards hardware addresses, tags lower case.
fn taken(raw: &mut Raw, key: &str, value: &str) {
    let mut props = Props::read(value);
    let value = match key {
        "tags" => value.to_ascii_lowercase(),
        k if k == "rootfs" || (k.starts_with("mp") && k != "mp") => {
            if let Some((storage, size)) =
                props.head.clone().as_deref().and_then(|h| h.split_once(':'))
                && let Ok(gib) = size.parse::<u64>()
            {
                props.head = Some(format!("{storage}:vm-201-disk-{k}"));
                props.put("size", Some(format!("{gib}G")));
            }
            props.text()
        }
        k if k.starts_with("net") && k.len() < 6 => {
            if props.get("hwaddr").is_none() {
                props.put("hwaddr", Some("BC:24:11:00:00:01"));
            }
            props.put("type", Some("veth"));
            props.text()
        }
        _ => value.to_owned(),
    };
    raw.insert(key.to_owned(), value);
}

fn made(spec: &PodSpec) -> Raw {
    let mut raw = BTreeMap::new();
    for (key, value) in settings(spec).unwrap() {
        taken(&mut raw, &key, &value);
    }
    raw
}

fn carried_out(raw: &mut Raw, edit: &Edit) {
    match edit {
        Edit::Set(key, value) => taken(raw, key, value),
        Edit::Unset(key) => {
            raw.remove(key);
        }
        Edit::Grow(key, gib) => {
            let mut props = Props::read(&raw[key]);
            props.put("size", Some(format!("{gib}G")));
            raw.insert(key.clone(), props.text());
        }
        Edit::Nothing => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_specification_comes_back_from_every_form(spec in spec()) {
        let json = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(&serde_json::from_str::<PodSpec>(&json).unwrap(), &spec);
        prop_assert_eq!(read_notes(&notes(&spec, "op_1")), Some((spec.clone(), "op_1".to_owned())));
        let file = PodFile { cluster: Some("lab".parse().unwrap()), spec };
        for format in [Format::Toml, Format::Yaml] {
            let text = file.write(format).unwrap();
            prop_assert_eq!(PodFile::read(&text, format), Ok(file.clone()), "{}", text);
        }
    }

    #[test]
    fn what_was_just_made_shows_no_difference(spec in spec()) {
        prop_assert_eq!(differences(&spec, &made(&spec)), vec![]);
    }

    #[test]
    fn applying_once_leaves_only_what_cannot_be_applied(old in spec(), new in spec()) {
        let mut raw = made(&old);
        for difference in differences(&new, &raw) {
            carried_out(&mut raw, &difference.edit);
            prop_assert!(is_done(&difference.edit, &raw), "{:?} in {:?}", difference, raw);
        }
        let left = differences(&new, &raw);
        prop_assert!(
            left.iter().all(|d| matches!(d.takes, Takes::Elsewhere(_) | Takes::Anew)),
            "{:#?}", left
        );
    }

    #[test]
    fn only_what_was_done_counts_as_done(old in spec(), new in spec()) {
        let raw = made(&old);
        for difference in differences(&new, &raw) {
            if difference.edit != Edit::Nothing {
                prop_assert!(!is_done(&difference.edit, &raw), "{:?} in {:?}", difference, raw);
            }
        }
    }
}
