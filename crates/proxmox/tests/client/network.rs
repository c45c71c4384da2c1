//! Networks, SDN and firewalls of the simulated cluster, read and written by the client.

use std::collections::BTreeMap;

use gantry_proxmox::{Error, FirewallAt, IfaceChange, NewRule, SdnView};

use crate::twin::{cluster, finished, lxc, node};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[tokio::test]
async fn a_bridge_is_staged_reloaded_and_reverted() {
    let (_twin, client) = cluster().await;
    let at = node("pve1");
    let has = async |iface: &str| {
        let net = client.node_network(&at).await.unwrap();
        (net.ifaces.iter().any(|r| r.id == iface), net.changes)
    };
    assert_eq!(has("vmbr5").await, (false, None));
    let change =
        IfaceChange { set: map(&[("type", "bridge"), ("mtu", "1400")]), unset: Vec::new() };
    client.create_iface(&at, "vmbr5", &change).await.unwrap();
    let (there, changes) = has("vmbr5").await;
    assert!(there && changes.unwrap().contains("+\tmtu 1400"));
    let taken = client.create_iface(&at, "vmbr5", &change).await.unwrap_err();
    assert!(matches!(taken, Error::Exists { .. }), "{taken}");
    client.revert_network(&at).await.unwrap();
    assert_eq!(has("vmbr5").await, (false, None));
    client.create_iface(&at, "vmbr5", &change).await.unwrap();
    let task = client.reload_network(&at).await.unwrap();
    assert!(finished(&client, &task.upid).await.is_success());
    assert_eq!(has("vmbr5").await, (true, None));
    let less = IfaceChange { set: map(&[("type", "bridge")]), unset: vec!["mtu".into()] };
    client.update_iface(&at, "vmbr5", &less).await.unwrap();
    assert!(has("vmbr5").await.1.unwrap().contains("-\tmtu 1400"));
    client.delete_iface(&at, "vmbr5").await.unwrap();
    assert!(!has("vmbr5").await.0);
}

#[tokio::test]
async fn a_change_without_its_type_is_never_sent() {
    let (_twin, client) = cluster().await;
    for set in [map(&[("mtu", "1400")]), map(&[("type", "bridge"), ("iface", "lo")])] {
        let change = IfaceChange { set, unset: Vec::new() };
        let error = client.update_iface(&node("pve1"), "vmbr0", &change).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    assert_eq!(client.node_network(&node("pve1")).await.unwrap().changes, None);
}

#[tokio::test]
async fn a_vnet_is_staged_and_applied() {
    let (_twin, client) = cluster().await;
    client.create_sdn_zone("z1", &map(&[("type", "simple")]), None).await.unwrap();
    let vnet = map(&[("zone", "z1"), ("isolate-ports", "1")]);
    client.create_sdn_vnet("web", &vnet, None).await.unwrap();
    let subnet = map(&[("gateway", "10.8.0.1"), ("snat", "1")]);
    client.create_sdn_subnet("web", "10.8.0.0/24", &subnet, None).await.unwrap();
    assert!(client.sdn_vnets(SdnView::Running).await.unwrap().is_empty());
    let task = client.apply_sdn(None).await.unwrap();
    assert!(finished(&client, &task.upid).await.is_success());
    let running = client.sdn_vnets(SdnView::Running).await.unwrap();
    assert_eq!(running[0].id, "web");
    assert_eq!(running[0].fields["isolate-ports"], "1");
    let subnets = client.sdn_subnets("web", SdnView::Running).await.unwrap();
    assert_eq!(subnets[0].id, "z1-10.8.0.0-24");
    client.delete_sdn_subnet("web", "z1-10.8.0.0-24", None).await.unwrap();
    client.delete_sdn_vnet("web", None).await.unwrap();
    client.rollback_sdn(None).await.unwrap();
    assert_eq!(client.sdn_vnets(SdnView::Staged).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_sdn_lock_keeps_others_out() {
    let (_twin, client) = cluster().await;
    let lock = client.lock_sdn().await.unwrap();
    assert!(!format!("{lock:?}").contains('-'), "the token is not shown");
    client.create_sdn_zone("z1", &map(&[("type", "simple")]), None).await.unwrap_err();
    client.create_sdn_zone("z1", &map(&[("type", "simple")]), Some(&lock)).await.unwrap();
    client.rollback_sdn(Some(&lock)).await.unwrap();
    client.create_sdn_zone("z1", &map(&[("type", "simple")]), None).await.unwrap();
}

#[tokio::test]
async fn firewall_rules_come_and_go() {
    let (_twin, client) = cluster().await;
    for at in [FirewallAt::Node(node("pve1")), FirewallAt::Guest(lxc(104))] {
        let rule = NewRule {
            proto: "tcp".into(),
            dport: 8080,
            dest: None,
            comment: "gantry forward fw_1".into(),
        };
        client.add_firewall_rule(&at, &rule).await.unwrap();
        let rules = client.firewall_rules(&at).await.unwrap();
        assert_eq!(rules.len(), 1, "{rules:?}");
        assert_eq!(rules[0].comment(), "gantry forward fw_1");
        let digest = rules[0].fields.get("digest").cloned();
        client.delete_firewall_rule(&at, rules[0].pos, digest.as_deref()).await.unwrap();
        assert!(client.firewall_rules(&at).await.unwrap().is_empty());
        client.set_firewall_options(&at, &map(&[("enable", "1")]), &[], None).await.unwrap();
        assert_eq!(client.firewall_options(&at).await.unwrap()["enable"], "1");
    }
}
