//! The way back: which edits give the former configuration again, and whether it is there. Only what an operation
//! touched is put back; what others changed meanwhile stays theirs.

use std::collections::BTreeSet;

use super::{Edit, Net, Objects, Settings, edited};

/// The objects that `edits` touch.
pub fn touched(edits: &[Edit]) -> BTreeSet<String> {
    edits.iter().map(|e| e.key().to_owned()).collect()
}

/// Zones before vnets before subnets; interfaces that others are plugged into come last to be made and first to go.
fn rank(key: &str, settings: Option<&Settings>) -> u8 {
    match key.split_once('/') {
        Some(("zone", _)) => 0,
        Some(("vnet", _)) => 1,
        Some(_) => 2,
        None => match settings.and_then(|s| s.get("type")).map(String::as_str) {
            Some("bridge" | "OVSBridge") => 4,
            Some("vlan") => 5,
            Some("bond" | "OVSBond") => 3,
            _ => 2,
        },
    }
}

/// The edits that make `keys` of `now` what they were in `former`.
pub fn edits_back(now: &Objects, former: &Objects, keys: &BTreeSet<String>) -> Vec<Edit> {
    let mut gone: Vec<&String> =
        keys.iter().filter(|k| now.contains_key(*k) && !former.contains_key(*k)).collect();
    gone.sort_by_key(|k| std::cmp::Reverse(rank(k, now.get(*k))));
    let mut wanted: Vec<&String> = keys.iter().filter(|k| former.contains_key(*k)).collect();
    wanted.sort_by_key(|k| rank(k, former.get(*k)));
    let mut edits: Vec<Edit> =
        gone.into_iter().map(|key| Edit::Delete { key: key.clone() }).collect();
    for key in wanted {
        let Some(was) = former.get(key) else { continue };
        match now.get(key) {
            None => edits.push(Edit::Create { key: key.clone(), settings: was.clone() }),
            Some(is) if is != was => edits.push(Edit::update(key, is, was.clone())),
            Some(_) => {}
        }
    }
    edits
}

/// Whether the staged configuration has what `edits` wanted, and nothing else differs from `former`.
pub fn is_as_edited(net: &Net, former: &Objects, edits: &[Edit]) -> bool {
    is_untouched(net, former, &touched(edits)) && is_made(net, former, edits)
}

/// Whether the staged configuration has what `edits` wanted.
pub fn is_made(net: &Net, former: &Objects, edits: &[Edit]) -> bool {
    let wanted = edited(former, edits);
    touched(edits).iter().all(|k| match (net.objects.get(k), wanted.get(k)) {
        (None, None) => true,
        (Some(is), Some(want)) => holds(is, want, unset_of(edits, k)),
        _ => false,
    })
}

/// Whether `keys` are what they were, as far as they can be written.
pub fn is_as_former(objects: &Objects, former: &Objects, keys: &BTreeSet<String>) -> bool {
    keys.iter().all(|k| objects.get(k) == former.get(k))
}

/// Settings that Proxmox never adds by itself: where one is there that nobody asked gantry for, a person wrote it.
const PEOPLES: &[&str] = &[
    "cidr",
    "cidr6",
    "gateway",
    "gateway6",
    "bridge_ports",
    "bridge_vlan_aware",
    "mtu",
    "comments",
];

/// What `edits` touch and is neither as it was nor as they made it: somebody has changed it since.
pub fn changed_since(net: &Net, former: &Objects, edits: &[Edit]) -> Vec<String> {
    let wanted = edited(former, edits);
    let strange = |is: &Settings, want: &Settings| {
        PEOPLES.iter().any(|k| is.contains_key(*k) && !want.contains_key(*k))
    };
    let ours = |k: &String| match (net.objects.get(k), wanted.get(k)) {
        (None, None) => true,
        (Some(is), Some(want)) => holds(is, want, unset_of(edits, k)) && !strange(is, want),
        _ => false,
    };
    let keys = touched(edits).into_iter();
    keys.filter(|k| net.objects.get(k) != former.get(k) && !ours(k)).collect()
}

/// Whether nothing is staged but what concerns `ours`. What others have made real meanwhile is not staged.
pub fn only_ours(net: &Net, former: &Objects, ours: &BTreeSet<String>) -> bool {
    if net.pending.is_none() {
        return true;
    }
    match net.former() {
        Ok(running) => is_untouched(net, &running, ours),
        // The diff cannot be told back: then nothing else may differ from what was saved.
        Err(_) => is_untouched(net, former, ours),
    }
}

/// Whether everything but `keys` is what it was.
fn is_untouched(net: &Net, former: &Objects, keys: &BTreeSet<String>) -> bool {
    let others = |o: &Objects| -> Objects {
        o.iter().filter(|(k, _)| !keys.contains(*k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    others(&net.objects) == others(former)
}

fn unset_of<'a>(edits: &'a [Edit], key: &str) -> &'a [String] {
    edits
        .iter()
        .find_map(|e| match e {
            Edit::Update { key: k, unset, .. } if k == key => Some(unset.as_slice()),
            _ => None,
        })
        .unwrap_or_default()
}

/// Proxmox adds settings of its own to what it was given; what was asked for must be there, what was taken away not.
fn holds(is: &Settings, want: &Settings, unset: &[String]) -> bool {
    want.iter().all(|(k, v)| is.get(k) == Some(v)) && unset.iter().all(|k| !is.contains_key(k))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Kernel, Scope};
    use super::*;

    fn objects() -> impl Strategy<Value = Objects> {
        let settings = proptest::collection::btree_map("[a-c]", "[x-z]", 1..4);
        proptest::collection::btree_map("[p-t]", settings, 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]
        #[test]
        fn putting_back_gives_what_was(former in objects(), now in objects()) {
            let all: BTreeSet<String> = former.keys().chain(now.keys()).cloned().collect();
            let edits = edits_back(&now, &former, &all);
            prop_assert_eq!(edited(&now, &edits), former.clone());
            prop_assert!(edits_back(&former, &former, &all).is_empty());
        }

        #[test]
        fn what_others_did_stays_theirs(former in objects(), now in objects()) {
            let ours: BTreeSet<String> = ["p".to_owned()].into();
            let after = edited(&now, &edits_back(&now, &former, &ours));
            for (key, settings) in &now {
                if key != "p" {
                    prop_assert_eq!(after.get(key), Some(settings));
                }
            }
        }
    }

    #[test]
    fn a_newer_change_of_the_same_object_is_told() {
        let settings = |pairs: &[(&str, &str)]| -> Settings {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let former: Objects =
            [("vmbr5".to_owned(), settings(&[("type", "bridge"), ("mtu", "1500")]))].into();
        let after = settings(&[("type", "bridge"), ("mtu", "9000")]);
        let edits = [
            Edit::update("vmbr5", &former["vmbr5"], after.clone()),
            Edit::Create { key: "vmbr6".into(), settings: settings(&[("type", "bridge")]) },
        ];
        let now = |five: Option<Settings>, six: Option<Settings>| Net {
            scope: Scope::Node("pve1".parse().unwrap()),
            objects: [("vmbr5", five), ("vmbr6", six)]
                .into_iter()
                .filter_map(|(k, v)| Some((k.to_owned(), v?)))
                .collect(),
            running: None,
            pending: None,
            active: BTreeSet::new(),
            kernel: Kernel::Unasked,
            read_ms: 0,
        };
        let told = |five, six| changed_since(&now(five, six), &former, &edits);
        let made = settings(&[("type", "bridge"), ("autostart", "1")]);
        assert!(told(Some(after.clone()), Some(made.clone())).is_empty());
        assert!(told(Some(former["vmbr5"].clone()), None).is_empty(), "half put back already");
        let newer = settings(&[("type", "bridge"), ("mtu", "1400")]);
        assert_eq!(told(Some(newer), Some(made.clone())), ["vmbr5"]);
        assert_eq!(told(None, Some(made)), ["vmbr5"]);
        let addressed = settings(&[("type", "bridge"), ("cidr", "10.0.0.1/24")]);
        assert_eq!(told(Some(after), Some(addressed)), ["vmbr6"]);
    }

    #[test]
    fn a_vnet_goes_subnets_first_and_comes_back_zone_first() {
        let keys = ["zone/z", "vnet/v", "subnet/v/z-10.0.0.0-24"];
        let all: Objects = keys.iter().map(|k| ((*k).to_owned(), Settings::new())).collect();
        let set: BTreeSet<String> = all.keys().cloned().collect();
        let order = |edits: Vec<Edit>| -> Vec<String> {
            edits.iter().map(|e| e.key().to_owned()).collect()
        };
        let gone = order(edits_back(&all, &Objects::new(), &set));
        assert_eq!(gone, [keys[2], keys[1], keys[0]]);
        let back = order(edits_back(&Objects::new(), &all, &set));
        assert_eq!(back, keys);
    }
}
