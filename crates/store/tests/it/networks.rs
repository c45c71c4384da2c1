//! Changes of networks with their way back, and port forwards.

use std::collections::BTreeSet;

use gantry_core::audit::AuditEvent;
use gantry_core::forward::{Confirmed, Family, ForwardSpec, KeptForward, Proto};
use gantry_core::id::ForwardId;
use gantry_core::network::{Decision, Kernel, Net, Objects, Scope};

use crate::harness::*;

fn net(mtu: &str) -> Net {
    let settings = [("type".to_owned(), "bridge".to_owned()), ("mtu".to_owned(), mtu.to_owned())];
    Net {
        scope: Scope::Node("pve1".parse().unwrap()),
        objects: Objects::from([("vmbr5".to_owned(), settings.into())]),
        running: None,
        pending: None,
        active: BTreeSet::new(),
        kernel: Kernel::Unasked,
        read_ms: NOW,
    }
}

fn forward(n: u32, node: &str, port: u16, to: u32) -> KeptForward {
    KeptForward {
        id: ForwardId::new(NOW, n.into()),
        spec: ForwardSpec {
            cluster: lab(),
            node: node.parse().unwrap(),
            proto: Proto::Tcp,
            family: Family::Ipv4,
            listen: None,
            port,
            vmid: vmid(to),
            name: format!("web-{to}"),
            target_port: 80,
        },
        port: None,
        pinned: None,
        created_by: "ada".into(),
        created_ms: NOW,
    }
}

both! {
    async fn what_was_before_is_kept_once_and_decided_once(db: Db) {
        let op = started(&db.store, 1).await;
        let store = &db.store;
        assert_eq!(store.find_network_change(&op.id).await.unwrap(), None);
        store.save_network_change(&op.id, &lab(), &net("1400"), NOW).await.unwrap();
        // Once more after a crash, on a world that has changed: the first counts.
        store.save_network_change(&op.id, &lab(), &net("9000"), NOW).await.unwrap();
        let row = store.find_network_change(&op.id).await.unwrap().unwrap();
        assert_eq!((row.former, row.until_ms, row.decision), (net("1400"), None, None));
        // Nobody can press before waiting has begun, nor when the time is over.
        let audit = |n| audit(n, AuditEvent::Confirmed, &plan(1));
        let press = async |decision, at, n| {
            store.press_network_change(&op.id, decision, "ada", at, &audit(n)).await.unwrap()
        };
        assert!(!press(Decision::Keep, NOW, 1).await);
        store.open_network_change(&op.id, NOW + 60).await.unwrap();
        store.open_network_change(&op.id, NOW + 600).await.unwrap();
        let until = store.find_network_change(&op.id).await.unwrap().unwrap().until_ms;
        assert_eq!(until, Some(NOW + 60), "the deadline moved");
        assert!(!press(Decision::Keep, NOW + 60, 2).await, "pressed too late");
        assert!(press(Decision::PutBack, NOW + 59, 3).await);
        assert!(!press(Decision::Keep, NOW + 59, 4).await);
        assert!(!store.decide_network_change(&op.id, Decision::Lapsed, "", NOW + 61).await.unwrap());
        let row = store.find_network_change(&op.id).await.unwrap().unwrap();
        assert_eq!(row.decision, Some((Decision::PutBack, "ada".into())));
        // Only the press that counted is in the audit log.
        assert_eq!(audited(store, AuditEvent::Confirmed).await, 2, "the start and one press");
    }

    async fn one_place_leads_to_one_guest(db: Db) {
        let store = &db.store;
        let one = forward(1, "pve1", 8080, 201);
        assert_eq!(store.add_forward(&one).await.unwrap(), None);
        assert_eq!(store.add_forward(&one).await.unwrap(), None, "the same again is fine");
        let taken = store.add_forward(&forward(2, "pve1", 8080, 202)).await.unwrap();
        assert_eq!(taken.as_ref(), Some(&one));
        let mut udp = forward(3, "pve1", 8080, 202);
        udp.spec.proto = Proto::Udp;
        let mut six = forward(4, "pve1", 8080, 202);
        six.spec.family = Family::Ipv6;
        six.spec.listen = Some("2001:db8::1".parse().unwrap());
        for other in [&udp, &six, &forward(5, "pve2", 8080, 202)] {
            assert_eq!(store.add_forward(other).await.unwrap(), None);
        }
        assert_eq!(store.find_forward(&six.id).await.unwrap().as_ref(), Some(&six));
        assert_eq!(store.list_forwards(Some(&lab())).await.unwrap().len(), 4);
        assert!(store.list_forwards(Some(&"prod".parse().unwrap())).await.unwrap().is_empty());
        assert!(store.remove_forward(&one.id).await.unwrap());
        assert!(!store.remove_forward(&one.id).await.unwrap());
        assert_eq!(store.remove_forwards_to(&lab(), vmid(202)).await.unwrap(), 3);
        assert!(store.list_forwards(None).await.unwrap().is_empty());
    }

    async fn an_address_is_learned_once_and_confirmed_as_often_as_somebody_asks(db: Db) {
        let store = &db.store;
        let (one, other) = (forward(1, "pve1", 8080, 201), forward(2, "pve2", 8080, 202));
        for one in [&one, &other] {
            store.add_forward(one).await.unwrap();
        }
        let at = |text: &str| -> std::net::IpAddr { text.parse().unwrap() };
        assert!(store.pin_forward(&one.id, at("10.9.0.7")).await.unwrap());
        assert!(!store.pin_forward(&one.id, at("10.9.0.8")).await.unwrap(), "the first one stays");
        let kept = async || store.find_forward(&one.id).await.unwrap().unwrap();
        assert_eq!(kept().await.pinned, Some(at("10.9.0.7")));
        let mut new = Confirmed { id: one.id.clone(), node: "pve1".parse().unwrap(), pinned: Some(at("fd09::8")), name: None };
        assert!(store.confirm_forward(&new).await.unwrap());
        assert!(store.confirm_forward(&new).await.unwrap(), "the same again is fine");
        assert_eq!(kept().await.pinned, Some(at("fd09::8")));
        // Another node, where nobody listens at that port; then one where somebody does.
        new.node = "pve3".parse().unwrap();
        assert!(store.confirm_forward(&new).await.unwrap());
        assert_eq!(kept().await.spec.node, new.node);
        new.node = "pve2".parse().unwrap();
        assert!(!store.confirm_forward(&new).await.unwrap());
        assert_eq!(kept().await.spec.node.as_str(), "pve3");
    }

    async fn what_a_removed_forward_leaves_is_kept_until_it_is_gone(db: Db) {
        let store = &db.store;
        let (one, two, three) =
            (forward(1, "pve1", 8080, 201), forward(2, "pve2", 8081, 201), forward(3, "pve3", 8082, 202));
        for one in [&one, &two, &three] {
            store.add_forward(one).await.unwrap();
        }
        let left = async || -> Vec<(String, String, bool)> {
            let all = store.list_leftovers(&lab()).await.unwrap();
            all.into_iter().map(|l| (l.forward.to_string(), l.node.to_string(), l.ruled)).collect()
        };
        let of = |f: &KeptForward, ruled| (f.id.to_string(), f.spec.node.to_string(), ruled);
        assert_eq!(store.forwards_without_rule(&lab()).await.unwrap().len(), 3);
        store.note_forward_rule(&one.id, 5).await.unwrap();
        store.note_forward_rule(&two.id, 5).await.unwrap();
        assert_eq!(store.forwards_without_rule(&lab()).await.unwrap(), std::slice::from_ref(&three.id));
        // Made anew under the same number: its firewall is empty again.
        assert_eq!(store.forget_forward_rules(&lab(), vmid(201)).await.unwrap(), 2);
        assert_eq!(store.forwards_without_rule(&lab()).await.unwrap().len(), 3);

        // Removed: line and rule. Two engines on one database remove on different nodes, and neither forgets the other's.
        assert!(store.remove_forward(&one.id).await.unwrap());
        assert!(store.remove_forward(&two.id).await.unwrap());
        assert_eq!(left().await, [of(&one, true), of(&two, true)]);
        // Moved to another node: the line on the old one. Where the new place is taken, nothing is.
        let node = |n: &str| n.parse().unwrap();
        let mut new = Confirmed { id: three.id.clone(), node: node("pve4"), pinned: None, name: Some("web-9".into()) };
        store.note_forward_rule(&three.id, 5).await.unwrap();
        assert!(store.confirm_forward(&new).await.unwrap());
        assert_eq!(left().await[2], of(&three, false));
        let kept = store.find_forward(&three.id).await.unwrap().unwrap();
        assert_eq!((kept.spec.node.as_str(), kept.spec.name.as_str()), ("pve4", "web-9"));
        assert_eq!(store.forwards_without_rule(&lab()).await.unwrap(), std::slice::from_ref(&three.id), "another guest's firewall");
        store.add_forward(&forward(4, "pve5", 8082, 203)).await.unwrap();
        new.node = node("pve5");
        assert!(!store.confirm_forward(&new).await.unwrap());
        assert_eq!(left().await.len(), 3);

        // A row goes only once the rule is gone as well.
        let all = store.list_leftovers(&lab()).await.unwrap();
        assert!(!store.forget_leftover(&all[0]).await.unwrap());
        store.note_rule_gone(&one.id).await.unwrap();
        assert!(store.forget_leftover(&all[0]).await.unwrap());
        assert_eq!(left().await, [of(&two, true), of(&three, false)]);
        // A guest that is gone took its firewall along.
        store.remove_forwards_to(&lab(), vmid(202)).await.unwrap();
        assert_eq!(left().await.last().map(|l| (l.1.as_str(), l.2)), Some(("pve4", false)));
    }

    async fn ports_of_a_pod_beyond_what_a_node_takes_are_told(db: Db) {
        let store = &db.store;
        let many: u32 = u32::try_from(gantry_core::forward::FORWARDS_MAX).unwrap() - 1;
        for n in 0..many {
            let port = u16::try_from(10_000 + n).unwrap();
            store.add_forward(&forward(n + 10, "pve1", port, 300)).await.unwrap();
        }
        let own = |n, port| KeptForward { port: Some("http".into()), ..forward(n, "pve1", port, 201) };
        let (fits, full) = (own(1, 9000), own(2, 9001));
        let taken = store.set_pod_forwards(&lab(), vmid(201), &[fits.clone(), full.clone()]).await.unwrap();
        assert_eq!(taken, [(full, None)]);
        assert_eq!(store.find_forward(&fits.id).await.unwrap(), Some(fits));
    }

    async fn forwards_of_a_specification_follow_it_and_leave_the_others_alone(db: Db) {
        let store = &db.store;
        let own = |n, port, name: &str| {
            let mut one = forward(n, "pve1", port, 201);
            one.port = Some(name.to_owned());
            one
        };
        let (asked, other) = (forward(1, "pve1", 9000, 201), forward(2, "pve1", 8443, 202));
        for one in [&asked, &other] {
            store.add_forward(one).await.unwrap();
        }
        let (http, https) = (own(3, 8080, "http"), own(4, 8443, "https"));
        let taken = store.set_pod_forwards(&lab(), vmid(201), &[http.clone(), https.clone()]).await.unwrap();
        assert_eq!(taken, [(https, Some(other.clone()))]);
        // Applied again: what is there stays the same row.
        store.set_pod_forwards(&lab(), vmid(201), &[own(5, 8080, "http")]).await.unwrap();
        let ids: Vec<ForwardId> =
            store.list_forwards(None).await.unwrap().into_iter().map(|k| k.id).collect();
        assert_eq!(ids, [http.id, other.id.clone(), asked.id.clone()]);
        store.set_pod_forwards(&lab(), vmid(201), &[own(6, 8081, "http")]).await.unwrap();
        let ports: Vec<u16> =
            store.list_forwards(None).await.unwrap().into_iter().map(|k| k.spec.port).collect();
        assert_eq!(ports, [8081, 8443, 9000]);
        store.set_pod_forwards(&lab(), vmid(201), &[]).await.unwrap();
        assert_eq!(store.list_forwards(None).await.unwrap().len(), 2);
    }
}
